#include "base/buffer.h"
#include "base/memory.h"
#include <errno.h>
#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void appends_in_order(void **state)
{
    struct buffer b;
    buffer_init(&b);
    for (int i = 0; i < 10000; i++) {
        uint8_t byte = (uint8_t)(i * 7);
        assert_int_equal(buffer_append(&b, bytes_of(&byte, 1)), 0);
    }
    assert_int_equal(b.size, 10000);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(b.data[i], (uint8_t)(i * 7));
    buffer_fini(&b);
    assert_null(b.data);
    buffer_fini(NULL);
}

static void reserve_promises_room(void **state)
{
    static const size_t sizes[] = { 0, 1, 63, 64, 65, 1000, 100000 };
    struct buffer b = { 0 };
    size_t size = 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *out = buffer_reserve(&b, sizes[i]);
        assert_non_null(out);
        assert_ptr_equal(out, b.data + size);
        memset(out, 'x', sizes[i]);
        assert_int_equal(b.size, size); /* not counted before the commit */
        buffer_commit(&b, sizes[i]);
        size += sizes[i];
        assert_int_equal(buffer_bytes(&b).size, size);
    }
    buffer_fini(&b);
}

static void growth_is_geometric(void **state)
{
    struct buffer b = { 0 };
    memory_fail_at(0);
    for (int i = 0; i < 1 << 16; i++)
        assert_int_equal(buffer_append(&b, BYTES("0123456789abcdef")), 0);
    assert_true(memory_fail_at(0) <= 16);
    buffer_fini(&b);
}

static void prints(void **state)
{
    char long_text[500];
    memset(long_text, 'y', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';

    struct buffer b = { 0 };
    assert_int_equal(buffer_printf(&b, "%s", ""), 0);
    assert_int_equal(b.size, 0);
    assert_int_equal(buffer_printf(&b, "%d/%s", 42, "x"), 0);
    assert_true(bytes_equal(buffer_bytes(&b), BYTES("42/x")));
    assert_int_equal(buffer_printf(&b, "%s", long_text), 0);
    assert_int_equal(b.size, 4 + 499);
    assert_int_equal(buffer_printf(&b, "!"), 0);
    assert_int_equal(b.data[b.size - 1], '!');
    assert_int_equal(b.data[b.size - 2], 'y');
    buffer_fini(&b);
}

static void failure_changes_nothing(void **state)
{
    struct buffer b = { 0 };
    memory_fail_at(1);
    assert_int_equal(buffer_append(&b, BYTES("abc")), -ENOMEM);
    assert_int_equal(buffer_append(&b, BYTES("abc")), 0);
    char big[200] = { 0 };
    memory_fail_at(1);
    assert_int_equal(buffer_append(&b, bytes_of(big, sizeof(big))), -ENOMEM);
    memory_fail_at(1);
    assert_int_equal(buffer_printf(&b, "%200d", 1), -ENOMEM);
    assert_null(buffer_reserve(&b, SIZE_MAX));
    assert_null(buffer_reserve(&b, SIZE_MAX - b.size));
    assert_true(bytes_equal(buffer_bytes(&b), BYTES("abc")));
    buffer_fini(&b);
    memory_fail_at(0);
}

static void views(void **state)
{
    assert_true(bytes_equal(bytes_of_string(NULL), BYTES("")));
    assert_true(bytes_equal(bytes_of_string("ab"), BYTES("ab")));
    assert_false(bytes_equal(BYTES("ab"), BYTES("abc")));
    assert_true(bytes_start_with(BYTES("$SYS/x"), BYTES("$SYS")));
    assert_true(bytes_start_with(BYTES("x"), bytes_of(NULL, 0)));
    assert_false(bytes_start_with(BYTES("$"), BYTES("$SYS")));
    assert_true(bytes_equal(bytes_after(BYTES("a/b"), 2), BYTES("b")));
    assert_int_equal(bytes_after(BYTES("a"), 1).size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_in_order),
        cmocka_unit_test(reserve_promises_room),
        cmocka_unit_test(growth_is_geometric),
        cmocka_unit_test(prints),
        cmocka_unit_test(views),
        cmocka_unit_test(failure_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
