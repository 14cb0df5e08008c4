#include "base/memory.h"
#include "bench/process.h"
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MILLISECOND = 1000000 };

/* Keeps a thread busy until it has used so much CPU time. */
static void *burn_50_ms(void *unused)
{
    struct timespec t;
    do {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    } while (t.tv_sec == 0 && t.tv_nsec < 50 * MILLISECOND);
    return NULL;
}

static void test_threads_that_ended_count(void **state)
{
    struct process_cpu before, after;
    pthread_t thread;
    assert_int_equal(process_cpu_read(getpid(), &before), 0);
    assert_int_equal(pthread_create(&thread, NULL, burn_50_ms, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(process_cpu_read(getpid(), &after), 0);

    double user_s, system_s;
    process_cpu_between(&before, &after, &user_s, &system_s);
    assert_true(user_s + system_s >= 0.050);
    assert_true(user_s >= 0 && system_s >= 0);
}

static void test_the_split_is_that_of_the_ticks(void **state)
{
    static const struct {
        uint64_t user, system;
        double user_s;
    } rows[] = {
        { 30, 10, 0.75 }, { 0, 10, 0 }, { 10, 0, 1 }, { 0, 0, 0.5 }, /* nobody knows */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct process_cpu before = { 500, 7, 9 };
        struct process_cpu after = { 1000000500, 7 + rows[i].user, 9 + rows[i].system };
        double user_s, system_s;
        process_cpu_between(&before, &after, &user_s, &system_s);
        assert_true(user_s == rows[i].user_s);
        assert_true(user_s + system_s == 1);
    }
}

static void test_private_memory_grows_with_what_is_written(void **state)
{
    enum { SIZE = 8 * 1024 * 1024 };
    int64_t before, after;
    assert_int_equal(process_private_memory(getpid(), &before), 0);
    char *block = memory_alloc(SIZE);
    assert_non_null(block);
    memset(block, 1, SIZE);
    assert_int_equal(process_private_memory(getpid(), &after), 0);
    memory_free(block);
    assert_true(after - before >= SIZE);
}

static void test_who_is_gone_cannot_be_read(void **state)
{
    struct process_cpu cpu;
    int64_t bytes;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(process_cpu_read(child, &cpu), -ESRCH);
    assert_int_equal(process_private_memory(child, &bytes), -ESRCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_that_ended_count),
        cmocka_unit_test(test_the_split_is_that_of_the_ticks),
        cmocka_unit_test(test_private_memory_grows_with_what_is_written),
        cmocka_unit_test(test_who_is_gone_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
