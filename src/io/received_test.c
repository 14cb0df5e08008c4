/* io/received_test.c */
#include "base/memory.h"
#include "io/received.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_fills_up(void **state)
{
    size_t before = memory_used();
    struct received *r = received_create(8);
    assert_non_null(r);
    assert_int_equal(received_room(r), 8);
    received_append(r, BYTES("abc"));
    received_append(r, BYTES(""));
    memcpy(r->bytes + r->size, "defgh", 5);
    received_commit(r, 5);
    assert_int_equal(received_room(r), 0);
    assert_true(bytes_equal(received_bytes(r), BYTES("abcdefgh")));

    struct block *part = block_ref(&r->block);
    received_unref(r);
    assert_true(bytes_equal(received_bytes(r), BYTES("abcdefgh"))); /* somebody keeps it */
    block_unref(part);
    received_unref(NULL);
    assert_int_equal(memory_used(), before);
}

static void test_no_memory(void **state)
{
    (void)memory_fail_at(1);
    assert_null(received_create(8));
    (void)memory_fail_at(0);
}

static const struct {
    size_t capacity, size;
    bool is_worth;
} rows[] = {
    { 64 * 1024, 64 * 1024 - 20, true },
    { 64 * 1024, 32 * 1024, true },
    { 64 * 1024, 32 * 1024 - 1, false }, /* more than half of it would be kept in vain */
    { 8 * 1024, 4 * 1024, true },
    { 4 * 1024, 4 * 1024 - 1, false }, /* a copy is as cheap as a reference */
};

static void test_worth(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct received *r = received_create(rows[i].capacity);
        assert_non_null(r);
        assert_int_equal(received_is_worth(r, rows[i].size), rows[i].is_worth);
        received_unref(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fills_up),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_worth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
