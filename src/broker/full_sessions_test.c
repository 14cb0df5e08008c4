/* broker/full_sessions_test.c: a set of handles, against a naive one. */
#include "base/memory.h"
#include "broker/full_sessions.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { HANDLES = 40, STEPS = 5000 };

static void test_random(void **state)
{
    bool model[HANDLES + 1] = { false };
    struct full_sessions *f = full_sessions_create();
    uint64_t random = 1;
    int count = 0;
    assert_non_null(f);
    for (int step = 0; step < STEPS; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned n = 1 + (unsigned)(random >> 33) % HANDLES;
        if (model[n])
            full_sessions_remove(f, n);
        else
            assert_int_equal(full_sessions_add(f, n), 0);
        count += model[n] ? -1 : 1;
        model[n] = !model[n];
        for (unsigned i = 1; i <= HANDLES; i++)
            assert_int_equal(full_sessions_has(f, i), model[i]);
        assert_int_equal(full_sessions_is_empty(f), count == 0);
    }
    for (unsigned i = 1; i <= HANDLES; i++)
        if (model[i])
            full_sessions_remove(f, i);
    full_sessions_destroy(f);
    full_sessions_destroy(NULL);
}

/* A group and a session with the same handle do not stand for each other. */
static void test_groups_are_apart(void **state)
{
    struct full_sessions *f = full_sessions_create();
    assert_int_equal(full_sessions_add(f, full_key_of_group(7)), 0);
    assert_false(full_sessions_has(f, 7));
    assert_true(full_sessions_has(f, full_key_of_group(7)));
    assert_int_equal(full_sessions_add(f, 7), 0);
    full_sessions_remove(f, full_key_of_group(7));
    assert_true(full_sessions_has(f, 7));
    full_sessions_remove(f, 7);
    assert_true(full_sessions_is_empty(f));
    full_sessions_destroy(f);
}

static void test_no_memory(void **state)
{
    struct full_sessions *f = full_sessions_create();
    (void)memory_fail_at(1);
    assert_int_equal(full_sessions_add(f, 1), -ENOMEM);
    (void)memory_fail_at(0);
    assert_true(full_sessions_is_empty(f));
    assert_false(full_sessions_has(f, 1));
    assert_int_equal(full_sessions_add(f, 1), 0);
    full_sessions_remove(f, 1);
    full_sessions_destroy(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_groups_are_apart),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
