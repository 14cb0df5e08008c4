#include "base/bytes.h"
#include "base/memory.h"
#include <pthread.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void counts_what_is_held(void **state)
{
    static const size_t sizes[] = { 0, 1, 24, 100, 4096, 65536, 1 << 20 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t before = memory_used();
        void *block = memory_alloc(sizes[i]);
        assert_non_null(block);
        assert_true(memory_used() >= before + sizes[i]);
        assert_true(memory_used_max() >= memory_used());
        block = memory_resize(block, sizes[i] * 3);
        assert_non_null(block);
        assert_true(memory_used() >= before + sizes[i] * 3);
        block = memory_resize(block, 0); /* is not free */
        assert_non_null(block);
        memory_free(block);
        assert_int_equal(memory_used(), before);
    }
    memory_free(NULL);
}

static void max_stays(void **state)
{
    size_t before = memory_used();
    memory_free(memory_alloc(10 << 20));
    assert_true(memory_used_max() >= before + (10 << 20));
    assert_int_equal(memory_used(), before);
}

static void zero_and_copy(void **state)
{
    uint8_t *zero = memory_alloc_zero(1000);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(zero[i], 0);
    memory_free(zero);
    char *copy = memory_copy("telegraph", 10);
    assert_string_equal(copy, "telegraph");
    memory_free(copy);
    copy = memory_copy(NULL, 0);
    assert_non_null(copy);
    memory_free(copy);
}

static void absurd_sizes_fail(void **state)
{
    volatile size_t absurd = SIZE_MAX - 7; /* volatile: or the compiler warns */
    void *block = memory_alloc(8);
    assert_null(memory_alloc(absurd));
    assert_null(memory_alloc_zero(absurd));
    assert_null(memory_resize(block, absurd));
    memory_free(block);
}

static void the_nth_fails(void **state)
{
    void *block = memory_alloc(8);
    for (uint64_t nth = 1; nth <= 4; nth++) {
        memory_fail_at(nth);
        for (uint64_t i = 1; i <= 5; i++) {
            void *other = i % 2 ? memory_alloc(8) : memory_alloc_zero(8);
            assert_true((other == NULL) == (i == nth));
            memory_free(other);
        }
        assert_int_equal(memory_fail_at(0), 5);
    }
    size_t before = memory_used();
    memory_fail_at(1);
    assert_null(memory_resize(block, 1000));
    assert_int_equal(memory_used(), before);
    assert_int_equal(memory_fail_at(0), 1);
    memory_free(block);
}

/* Threads allocate, and free what another thread has allocated. */
enum { THREADS = 4, BLOCKS = 2000 };
static void *blocks[THREADS][BLOCKS];

static void *allocate(void *argument)
{
    void **own = argument;
    for (size_t i = 0; i < BLOCKS; i++)
        own[i] = memory_alloc(i + 1);
    return NULL;
}

static void *release(void *argument)
{
    void **others = argument;
    for (size_t i = 0; i < BLOCKS; i++)
        memory_free(others[i]);
    return NULL;
}

static void run_threads(void *(*run)(void *))
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, blocks[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void threads_add_up(void **state)
{
    const size_t step = 64 * 1024, bytes = (size_t)THREADS * BLOCKS * (BLOCKS + 1) / 2;
    size_t before = memory_used();
    run_threads(allocate);
    assert_true(memory_used() + THREADS * step >= before + bytes);
    assert_true(memory_used_max() + THREADS * step >= before + bytes);
    run_threads(release);
    assert_true(memory_used() <= before + 2 * THREADS * step);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_what_is_held), cmocka_unit_test(max_stays),
        cmocka_unit_test(zero_and_copy),       cmocka_unit_test(absurd_sizes_fail),
        cmocka_unit_test(the_nth_fails),       cmocka_unit_test(threads_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
