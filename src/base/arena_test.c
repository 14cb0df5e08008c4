#include "base/arena.h"
#include "base/memory.h"
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void blocks_are_aligned_and_apart(void **state)
{
    static const size_t sizes[] = { 0, 1, 15, 16, 17, 100, 16 * 1024, 100000, 3 };
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
    struct arena a;
    arena_init(&a);
    for (int turn = 0; turn < 5; turn++) {
        uint8_t *blocks[COUNT];
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = arena_alloc(&a, sizes[i]);
            assert_non_null(blocks[i]);
            assert_int_equal((uintptr_t)blocks[i] % 16, 0);
            memset(blocks[i], (int)i + 1, sizes[i]);
        }
        for (size_t i = 0; i < COUNT; i++) {
            for (size_t j = 0; j < sizes[i]; j++)
                assert_int_equal(blocks[i][j], i + 1);
        }
        assert_ptr_not_equal(blocks[0], blocks[1]); /* an empty block has an address of its own */
        arena_reset(&a);
    }
    arena_fini(&a);
    arena_fini(NULL);
}

/* After a reset the same turn needs no memory. */
static void settles(void **state)
{
    struct arena a;
    arena_init(&a);
    arena_reset(&a);
    for (int turn = 0; turn < 10; turn++) {
        memory_fail_at(0);
        for (int i = 0; i < 1000; i++)
            assert_non_null(arena_alloc(&a, 200));
        if (turn > 1)
            assert_int_equal(memory_fail_at(0), 0);
        arena_reset(&a);
    }
    arena_fini(&a);
}

static void failure_changes_nothing(void **state)
{
    struct arena a;
    arena_init(&a);
    memory_fail_at(1);
    assert_null(arena_alloc(&a, 10));
    assert_non_null(arena_alloc(&a, 10));
    memory_fail_at(1);
    assert_null(arena_alloc(&a, 100000));
    memory_fail_at(0);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 40));
    assert_non_null(arena_alloc(&a, 10));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_apart),
        cmocka_unit_test(settles),
        cmocka_unit_test(failure_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
