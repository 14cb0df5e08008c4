#include "base/memory.h"
#include "store/log_maker.h"
#include "store/segment.h"
#include <errno.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const struct segment_header header = {
    .number = 0x1234,
    .store_id = 0xfedcba9876543210,
    .first_sequence = 7,
};

static const struct batch_header batch = {
    .records = 2,
    .sequence = 0x0102030405060708,
    .size = 64,
    .unsynced = 3,
};

/* ------------------------------------------------------------------------------ segments ------ */

static void segment_bytes_are_those_of_the_format(void **state)
{
    static const uint8_t expected[] = {
        'C',  'h',  'a',  'p',  'p',  'e',  '\n', 0,    /* */
        1,    0,    0,    0,    4,    3,    2,    1,    /* version, byte order */
        0x34, 0x12, 0,    0,    0,    0,    0,    0,    /* number */
        0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe, /* store id */
        7,    0,    0,    0,    0,    0,    0,    0,    /* first sequence */
        0x47, 0xc8, 0x30, 0x0d, 0xf0, 0xf3, 0xca, 0x08, /* sum */
    };
    uint8_t bytes[SEGMENT_FIRST_BATCH];
    memset(bytes, 0xaa, sizeof(bytes));
    segment_header_encode(&header, bytes);
    assert_memory_equal(bytes, expected, sizeof(expected));
    for (size_t i = SEGMENT_HEADER_SIZE; i < sizeof(bytes); i++)
        assert_int_equal(bytes[i], 0);

    struct segment_header again;
    assert_int_equal(segment_header_decode(bytes_of(bytes, SEGMENT_HEADER_SIZE), &again), 0);
    assert_memory_equal(&again, &header, sizeof(header));
    assert_true(segment_header_raw_id(bytes_of(bytes, SEGMENT_HEADER_SIZE)) == header.store_id);
    for (size_t size = 0; size < SEGMENT_HEADER_SIZE; size++)
        assert_int_equal(segment_header_decode(bytes_of(bytes, size), &again), -EBADMSG);
}

static void every_bit_of_a_segment_header_counts(void **state)
{
    uint8_t bytes[SEGMENT_FIRST_BATCH];
    struct segment_header h;
    segment_header_encode(&header, bytes);
    for (size_t bit = 0; bit < SEGMENT_HEADER_SIZE * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        /* Not another version, either: that would be said of a version alone. */
        assert_int_equal(segment_header_decode(bytes_of(bytes, sizeof(bytes)), &h), -EBADMSG);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void some_numbers_are_not_used(void **state)
{
    static const struct segment_header rows[] = {
        { .number = 0, .store_id = 1, .first_sequence = 1 },
        { .number = 1, .store_id = 1, .first_sequence = 0 },
        { .number = 1, .store_id = 1, .first_sequence = UINT64_MAX }, /* no next one */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t bytes[SEGMENT_FIRST_BATCH];
        struct segment_header h;
        segment_header_encode(&rows[i], bytes);
        assert_int_equal(segment_header_decode(bytes_of(bytes, sizeof(bytes)), &h), -EBADMSG);
    }
}

/* -------------------------------------------------------------------------------- names ------- */

static void names(void **state)
{
    static const struct {
        const char *name;
        enum segment_kind kind;
        uint64_t number; /* 0: it is not such a name */
    } rows[] = {
        { "0000000000000001.log", SEGMENT_LOG, 1 },
        { "0123456789abcdef.log", SEGMENT_LOG, 0x0123456789abcdef },
        { "ffffffffffffffff.spare", SEGMENT_SPARE, UINT64_MAX },
        { "0000000000000001.log", SEGMENT_SPARE, 0 },
        { "0000000000000001.spare", SEGMENT_LOG, 0 },
        { "0000000000000000.log", SEGMENT_LOG, 0 },
        { "0123456789ABCDEF.log", SEGMENT_LOG, 0 }, /* one way to write it */
        { "000000000000001.log", SEGMENT_LOG, 0 },
        { "00000000000000001.log", SEGMENT_LOG, 0 },
        { "0000000000000001.log~", SEGMENT_LOG, 0 },
        { "0000000000000001", SEGMENT_LOG, 0 },
        { " 000000000000001.log", SEGMENT_LOG, 0 },
        { "-000000000000001.log", SEGMENT_LOG, 0 },
        { "0x00000000000001.log", SEGMENT_LOG, 0 },
        { "lock", SEGMENT_LOG, 0 },
        { "", SEGMENT_LOG, 0 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t number = 0;
        bool is_name = segment_name_parse(rows[i].name, rows[i].kind, &number);
        if (is_name != (rows[i].number != 0) || number != rows[i].number)
            fail_msg("%s", rows[i].name);
        if (!is_name)
            continue;
        char name[SEGMENT_NAME_SIZE];
        segment_name(number, rows[i].kind, name);
        assert_string_equal(name, rows[i].name);
    }
}

static void paths(void **state)
{
    static const char expected[] = "a/b/000000000000002a.log";
    char out[sizeof(expected)];
    assert_int_equal(segment_path("a/b", 42, SEGMENT_LOG, out, sizeof(out)), 0);
    assert_string_equal(out, expected);
    assert_int_equal(segment_path("a/b", 42, SEGMENT_LOG, out, sizeof(out) - 1), -ENAMETOOLONG);
}

static int list_names(const struct files *files, const char *path, struct buffer *out)
{
    if (strcmp(path, "store") != 0)
        return -ENOENT;
    return buffer_append(out, BYTES("0000000000000010.log\0lock\0"
                                    "000000000000000f.log\0"
                                    "0000000000000011.spare\0ffffffffffffffff.log\0"
                                    "0000000000000010.logs\0x\0"));
}

static void segments_are_listed_in_order(void **state)
{
    static const struct files files = { .list = list_names };
    static const uint64_t expected[] = { 0xf, 0x10, UINT64_MAX };
    uint64_t *numbers;
    size_t count;
    assert_int_equal(segment_list(&files, "store", SEGMENT_LOG, &numbers, &count), 0);
    assert_int_equal(count, COUNT_OF(expected));
    assert_memory_equal(numbers, expected, sizeof(expected));
    memory_free(numbers);

    assert_int_equal(segment_list(&files, "store", SEGMENT_SPARE, &numbers, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(numbers[0], 0x11);
    memory_free(numbers);

    assert_int_equal(segment_list(&files, "other", SEGMENT_LOG, &numbers, &count), -ENOENT);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        memory_fail_at(nth);
        int result = segment_list(&files, "store", SEGMENT_LOG, &numbers, &count);
        memory_fail_at(0);
        assert_int_equal(result, -ENOMEM);
    }
}

/* ------------------------------------------------------------------------------- batches ------ */

static void batch_bytes_are_those_of_the_format(void **state)
{
    static const uint8_t expected[] = {
        0x09, 0x59, 0x88, 0xaf, 0x2b, 0xa5, 0x4c, 0x63, /* sum */
        'b',  't',  'c',  'h',  2,    0,    0,    0,    /* records */
        8,    7,    6,    5,    4,    3,    2,    1,    /* sequence */
        64,   0,    0,    0,    0,    0,    0,    0,    /* size */
        3,    0,    0,    0,    0,    0,    0,    0,    /* unsynced */
    };
    uint64_t seed = segment_seed(header.store_id, header.number);
    uint8_t bytes[BATCH_HEADER_SIZE];
    batch_header_encode(&batch, seed, bytes);
    assert_memory_equal(bytes, expected, sizeof(expected));

    struct batch_header again;
    assert_int_equal(batch_header_decode(bytes_of(bytes, sizeof(bytes)), seed, &again), 0);
    assert_int_equal(again.records, batch.records);
    assert_true(again.sequence == batch.sequence && again.size == batch.size &&
                again.unsynced == batch.unsynced);
    for (size_t size = 0; size < BATCH_HEADER_SIZE; size++)
        assert_int_equal(batch_header_decode(bytes_of(bytes, size), seed, &again), -EBADMSG);

    /* What an earlier use of the file has left behind. */
    uint64_t old_seed = segment_seed(header.store_id, header.number - 1);
    assert_int_equal(batch_header_decode(bytes_of(bytes, sizeof(bytes)), old_seed, &again),
                     -EBADMSG);
}

static void every_bit_of_a_batch_header_counts(void **state)
{
    uint8_t bytes[BATCH_HEADER_SIZE];
    struct batch_header h;
    batch_header_encode(&batch, 1, bytes);
    for (size_t bit = 0; bit < BATCH_HEADER_SIZE * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(batch_header_decode(bytes_of(bytes, sizeof(bytes)), 1, &h), -EBADMSG);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* Summed by somebody who knows how, and yet not a header. */
static void batch_headers_that_say_nothing(void **state)
{
    static const struct {
        struct batch_header header;
        int result;
    } rows[] = {
        { { .records = 1, .sequence = 1, .size = 32 }, 0 },
        { { .records = 1, .sequence = 1, .size = UINT64_MAX - 7 }, 0 }, /* the file will tell */
        { { .records = 1, .sequence = 1, .size = 33 }, -EBADMSG },
        { { .records = 0, .sequence = 1, .size = 0 }, -EBADMSG },
        { { .records = 1, .sequence = 0, .size = 32 }, -EBADMSG },
        { { .records = 1, .sequence = UINT64_MAX - 1, .size = 32 }, 0 },
        { { .records = 1, .sequence = UINT64_MAX, .size = 32 }, -EBADMSG }, /* no next one */
        { { .records = 1, .sequence = 5, .size = 32, .unsynced = 4 }, 0 },
        { { .records = 1, .sequence = 5, .size = 32, .unsynced = 5 }, -EBADMSG },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t bytes[BATCH_HEADER_SIZE];
        struct batch_header h;
        batch_header_encode(&rows[i].header, 1, bytes);
        if (batch_header_decode(bytes_of(bytes, sizeof(bytes)), 1, &h) != rows[i].result)
            fail_msg("row %zu", i);
    }
}

static void records_of_a_batch(void **state)
{
    struct buffer file = { 0 }, records = { 0 };
    record_put(&records, BYTES("key"), BYTES("value"));
    record_finish(&records, 1, 2);
    maker_batch(&file, &header, &records, 1, 0);
    uint64_t seed = maker_seed(&header);
    size_t size = file.size - BATCH_HEADER_SIZE;
    struct {
        uint32_t count;
        size_t size;  /* in the header */
        size_t given; /* bytes */
        uint64_t seed;
        int result;
    } rows[] = {
        { 2, size, size, seed, 0 },
        { 1, size, size, seed, -EBADMSG }, /* something is left over */
        { 3, size, size, seed, -EBADMSG },
        { UINT32_MAX, size, size, seed, -EBADMSG },
        { 2, size - 8, size - 8, seed, -EBADMSG },
        { 2, size - 8, size, seed, -EBADMSG },
        { 2, size, size, seed + 1, -EBADMSG },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct batch_header h = { .records = rows[i].count, .size = rows[i].size };
        struct bytes bytes = bytes_of(file.data + BATCH_HEADER_SIZE, rows[i].given);
        if (batch_check(&h, bytes, rows[i].seed) != rows[i].result)
            fail_msg("row %zu", i);
    }
    buffer_fini(&file);
    buffer_fini(&records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segment_bytes_are_those_of_the_format),
        cmocka_unit_test(every_bit_of_a_segment_header_counts),
        cmocka_unit_test(some_numbers_are_not_used),
        cmocka_unit_test(names),
        cmocka_unit_test(paths),
        cmocka_unit_test(segments_are_listed_in_order),
        cmocka_unit_test(batch_bytes_are_those_of_the_format),
        cmocka_unit_test(every_bit_of_a_batch_header_counts),
        cmocka_unit_test(batch_headers_that_say_nothing),
        cmocka_unit_test(records_of_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
