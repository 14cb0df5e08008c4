#include "base/memory.h"
#include "store/record.h"
#include <errno.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum { SEED = 77 };

/* One of each, with and without padding, and with nothing where nothing may be. */
static void write_all(struct buffer *out)
{
    static const struct record_entry entries[] = {
        { .queue = 1, .seq = 0x0102030405060708, .data = { (const uint8_t *)"abc", 3 } },
        { .queue = UINT64_MAX, .seq = 2, .data = { NULL, 0 } },
    };
    static const struct bytes parts[] = { { (const uint8_t *)"to", 2 },
                                          { NULL, 0 },
                                          { (const uint8_t *)"pic", 3 } };
    assert_int_equal(record_put(out, BYTES("key"), BYTES("value")), 0); /* 24 + 8: no padding */
    assert_int_equal(record_put(out, BYTES("key"), BYTES("")), 0);
    assert_int_equal(record_put(out, BYTES(""), BYTES("v")), 0);
    assert_int_equal(record_remove(out, BYTES("the key")), 0);
    assert_int_equal(record_append(out, entries, 2, parts, 3), 0);
    assert_int_equal(record_append(out, entries + 1, 1, NULL, 0), 0);
    assert_int_equal(record_finish(out, 5, 6), 0);
    assert_int_equal(record_drop(out, 7), 0);
}

static void print_record(struct buffer *out, const struct record *r)
{
    static const char *const types[] = { "?", "put", "remove", "append", "finish", "drop" };
    buffer_printf(out, "%s %u", types[r->type], r->count);
    if (r->type == RECORD_PUT || r->type == RECORD_REMOVE)
        buffer_printf(out, " '%.*s'", (int)r->key.size, (const char *)r->key.data);
    struct bytes list = r->list;
    struct record_entry e;
    while (record_next(r->type, &list, &e))
        buffer_printf(out, " %llx/%llx:%.*s", (unsigned long long)e.queue,
                      (unsigned long long)e.seq, (int)e.data.size, (const char *)e.data.data);
    assert_int_equal(list.size, 0);
    if (r->type == RECORD_PUT || r->type == RECORD_APPEND)
        buffer_printf(out, " = '%.*s'", (int)r->value.size, (const char *)r->value.data);
    buffer_printf(out, " (%zu)\n", r->size);
}

static void what_is_written_is_read(void **state)
{
    struct buffer bytes = { 0 }, text = { 0 };
    write_all(&bytes);
    for (struct bytes rest = buffer_bytes(&bytes); rest.size > 0;) {
        struct record r;
        assert_int_equal(record_read(rest, &r), 0);
        print_record(&text, &r);
        rest = bytes_after(rest, r.size);
    }
    assert_int_equal(buffer_append(&text, bytes_of("", 1)), 0);
    assert_string_equal((const char *)text.data,
                        "put 3 'key' = 'value' (32)\n"
                        "put 3 'key' = '' (32)\n"
                        "put 0 '' = 'v' (32)\n"
                        "remove 7 'the key' (32)\n"
                        "append 2 1/102030405060708:abc ffffffffffffffff/2: = 'topic' (72)\n"
                        "append 1 ffffffffffffffff/2: = '' (48)\n"
                        "finish 1 5/6: (40)\n"
                        "drop 1 7/0: (32)\n");
    buffer_fini(&bytes);
    buffer_fini(&text);
}

/* The bytes of the document. */
static void bytes_are_those_of_the_format(void **state)
{
    static const uint8_t put[] = {
        0xc0, 0x9a, 0x1f, 0x82, 0x76, 0x00, 0x44, 0xdf, /* sum */
        29,   0,    0,    0,                            /* length */
        1,    0,    0,    0,                            /* type */
        2,    0,    0,    0,    0,    0,    0,    0,    /* bytes of the key */
        'k',  'e',  'v',  'a',  'l',  0,    0,    0,
    };
    static const uint8_t append[] = {
        0,   0, 0, 0, 0, 0, 0, 0, 50, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0,   0,   0,   0, /* one
                                                                                            entry */
        9,   0, 0, 0, 0, 0, 0, 0, 8,  0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 'd', 'a', 'b', 'o', 'd',
        'y', 0, 0, 0, 0, 0, 0,
    };
    struct buffer b = { 0 };
    struct record_entry entry = { .queue = 9, .seq = 8, .data = BYTES("da") };
    struct bytes body = BYTES("body");
    assert_int_equal(record_put(&b, BYTES("ke"), BYTES("val")), 0);
    record_set_sum(b.data, SEED);
    assert_memory_equal(b.data, put, sizeof(put));
    assert_int_equal(record_append(&b, &entry, 1, &body, 1), 0);
    assert_int_equal(b.size, sizeof(put) + sizeof(append));
    assert_memory_equal(b.data + sizeof(put), append, sizeof(append));
    buffer_fini(&b);
}

/* A change of one byte of a good record, and what it is then. */
static void malformed_is_refused(void **state)
{
    enum { PUT, REMOVE, APPEND, FINISH, DROP };
    static const struct {
        int type;
        size_t offset;
        uint8_t value;
        int result;
    } rows[] = {
        { PUT, 8, 29, 0 },        /* as it is: 24 + 2 + 3 */
        { PUT, 8, 23, -EBADMSG }, /* length: less than a header */
        { PUT, 8, 25, -EBADMSG }, /* less than the key */
        { PUT, 8, 28, -EBADMSG }, /* what is left over is not zeros */
        { PUT, 8, 30, 0 },        /* a zero more in the value; the sum will tell */
        { PUT, 8, 33, -EBADMSG }, /* more than is there */
        { PUT, 11, 255, -EBADMSG },
        { PUT, 12, 0, -EBADMSG }, /* no type */
        { PUT, 12, 6, -EBADMSG },
        { PUT, 12, 2, -EBADMSG }, /* remove with a value */
        { PUT, 13, 1, -EBADMSG }, /* zeros */
        { PUT, 15, 1, -EBADMSG },
        { PUT, 20, 1, -EBADMSG },
        { PUT, 23, 1, -EBADMSG },
        { PUT, 16, 5, 0 }, /* all of it is the key */
        { PUT, 16, 6, -EBADMSG },
        { PUT, 19, 128, -EBADMSG },
        { PUT, 29, 1, -EBADMSG }, /* padding */
        { PUT, 31, 1, -EBADMSG },
        { REMOVE, 16, 2, 0 },
        { REMOVE, 16, 1, -EBADMSG }, /* more than the key */
        { APPEND, 16, 1, 0 },
        { APPEND, 16, 0, -EBADMSG }, /* a body that nobody waits for */
        { APPEND, 16, 2, -EBADMSG },
        { APPEND, 19, 255, -EBADMSG },
        { APPEND, 40, 6, 0 }, /* data: up to the end */
        { APPEND, 40, 7, -EBADMSG },
        { APPEND, 43, 255, -EBADMSG },
        { FINISH, 16, 1, 0 },
        { FINISH, 16, 0, -EBADMSG },
        { FINISH, 16, 2, -EBADMSG },
        { FINISH, 19, 16, -EBADMSG }, /* 16 times this is 0 in 32 bits */
        { FINISH, 8, 32, -EBADMSG },
        { DROP, 16, 1, 0 },
        { DROP, 16, 0, -EBADMSG },
        { DROP, 16, 2, -EBADMSG },
        { DROP, 19, 32, -EBADMSG },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buffer all[5] = { 0 };
        struct record_entry entry = { .queue = 9, .seq = 8, .data = BYTES("da") };
        struct bytes body = BYTES("body");
        record_put(&all[PUT], BYTES("ke"), BYTES("val"));
        record_remove(&all[REMOVE], BYTES("ke"));
        record_append(&all[APPEND], &entry, 1, &body, 1);
        record_finish(&all[FINISH], 1, 2);
        record_drop(&all[DROP], 1);

        struct record r;
        struct buffer *b = &all[rows[i].type];
        b->data[rows[i].offset] = rows[i].value;
        int result = record_read(buffer_bytes(b), &r);
        if (result != rows[i].result)
            fail_msg("row %zu: %d", i, result);
        for (size_t type = 0; type < COUNT_OF(all); type++)
            buffer_fini(&all[type]);
    }
}

/* No byte behind the end is looked at, and nothing is made of a part. */
static void a_part_is_no_record(void **state)
{
    struct buffer b = { 0 };
    write_all(&b);
    for (struct bytes rest = buffer_bytes(&b); rest.size > 0;) {
        struct record r, part;
        assert_int_equal(record_read(rest, &r), 0);
        for (size_t size = 0; size < r.size; size++) {
            uint8_t *copy = memory_copy(rest.data, size); /* the sanitizer guards its end */
            assert_int_equal(record_read(bytes_of(copy, size), &part), -EBADMSG);
            memory_free(copy);
        }
        rest = bytes_after(rest, r.size);
    }
    buffer_fini(&b);
}

/* Whatever changes, the structure or the sum tells. */
static void every_bit_counts(void **state)
{
    struct buffer b = { 0 };
    write_all(&b);
    for (struct bytes rest = buffer_bytes(&b); rest.size > 0;) {
        struct record r, flipped;
        uint8_t *at = (uint8_t *)rest.data;
        assert_int_equal(record_read(rest, &r), 0);
        record_set_sum(at, SEED);
        uint64_t sum = record_sum(rest, SEED);
        assert_memory_equal(at, &sum, 8);
        assert_int_not_equal(record_sum(rest, SEED + 1), sum);
        for (size_t bit = 64; bit < r.size * 8; bit++) {
            at[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (record_read(rest, &flipped) == 0)
                assert_int_not_equal(record_sum(rest, SEED), sum);
            at[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        rest = bytes_after(rest, r.size);
    }
    buffer_fini(&b);
}

static void too_large_is_refused(void **state)
{
    struct buffer b = { 0 };
    struct bytes small = BYTES("x");
    struct record_entry entry = { .queue = 1, .seq = 1, .data = small };
    static const size_t sizes[] = { UINT32_MAX - RECORD_HEADER_SIZE, (size_t)UINT32_MAX + 1,
                                    SIZE_MAX };
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct bytes large = bytes_of(small.data, sizes[i]); /* nobody may look */
        struct bytes parts[] = { small, large };
        struct record_entry entries[] = { entry, { .data = large } };
        assert_int_equal(record_put(&b, small, large), -EMSGSIZE);
        assert_int_equal(record_put(&b, large, small), -EMSGSIZE);
        assert_int_equal(record_append(&b, &entry, 1, parts, 2), -EMSGSIZE);
        assert_int_equal(record_append(&b, entries, 2, parts, 1), -EMSGSIZE);
        if (sizes[i] > UINT32_MAX)
            assert_int_equal(record_remove(&b, large), -EMSGSIZE);
    }
    assert_int_equal(b.size, 0);
    buffer_fini(&b);
}

static void without_memory_nothing_is_appended(void **state)
{
    struct record_entry entry = { .queue = 1, .seq = 1 };
    for (int type = RECORD_PUT; type <= RECORD_DROP; type++) {
        struct buffer b = { 0 };
        memory_fail_at(1);
        int result = type == RECORD_PUT      ? record_put(&b, BYTES("k"), BYTES("v"))
                     : type == RECORD_REMOVE ? record_remove(&b, BYTES("k"))
                     : type == RECORD_APPEND ? record_append(&b, &entry, 1, NULL, 0)
                     : type == RECORD_FINISH ? record_finish(&b, 1, 1)
                                             : record_drop(&b, 1);
        memory_fail_at(0);
        assert_int_equal(result, -ENOMEM);
        assert_int_equal(b.size, 0);
        buffer_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(bytes_are_those_of_the_format),
        cmocka_unit_test(malformed_is_refused),
        cmocka_unit_test(a_part_is_no_record),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(too_large_is_refused),
        cmocka_unit_test(without_memory_nothing_is_appended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
