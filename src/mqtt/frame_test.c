/* mqtt/frame_test.c */
#include "mqtt/notation.h"
#include "mqtt/packet.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct {
    const char *bytes;
    enum decode_result result;
    uint32_t size; /* 0: not known, or of no interest */
} rows[] = {
    { "", DECODE_MORE, 0 },
    { "30", DECODE_MORE, 0 },
    { "c0 00", DECODE_DONE, 2 },
    { "c0 00 c0", DECODE_DONE, 2 }, /* the next packet is another matter */
    { "30 03 00", DECODE_MORE, 5 },
    { "30 03 000161", DECODE_DONE, 5 },
    { "30 7f", DECODE_MORE, 2 + 127 },
    { "30 80", DECODE_MORE, 0 },
    { "30 80 01", DECODE_MORE, 3 + 128 },
    { "30 ff 7f", DECODE_MORE, 3 + 16383 },
    { "30 80 80 01", DECODE_MORE, 4 + 16384 },
    { "30 ff ff 7f", DECODE_MORE, 4 + 2097151 },
    { "30 80 80 80 01", DECODE_MORE, 5 + 2097152 },
    { "30 ff ff ff 7f", DECODE_MORE, PACKET_SIZE_MAX },
    { "30 ff ff ff", DECODE_MORE, 0 },
    { "30 ff ff ff ff", DECODE_BAD, 0 }, /* a fifth byte */
    { "30 80 80 80 80 01", DECODE_BAD, 0 },
    { "30 80 00", DECODE_BAD, 0 }, /* longer than necessary [MQTT-1.5.5-1] */
    { "30 83 80 00", DECODE_BAD, 0 },
    { "30 ff ff ff 00", DECODE_BAD, 0 },
    { "00", DECODE_BAD, 0 }, /* a forbidden type */
    { "0f 00", DECODE_BAD, 0 },
    { "f0 00", DECODE_DONE, 2 },
};

static void test_rows(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct notation n;
        struct bytes in = notation_read(&n, rows[i].bytes);
        struct frame frame = { .size = 4711 };
        enum decode_result result = frame_decode(in, &frame);
        if (result != rows[i].result || (result != DECODE_BAD && frame.size != rows[i].size))
            fail_msg("%s: result %d, size %u", rows[i].bytes, result, frame.size);
    }
    struct frame frame;
    assert_int_equal(frame_decode((struct bytes){ NULL, 0 }, &frame), DECODE_MORE);
}

static void test_fields(void **state)
{
    struct frame frame;
    assert_int_equal(frame_decode(BYTES("\x3d\x80\x01"), &frame), DECODE_MORE);
    assert_int_equal(frame.type, PACKET_PUBLISH);
    assert_int_equal(frame.flags, 0x0d);
    assert_int_equal(frame.header_size, 3);
}

/* However a stream is cut, each packet is MORE until its last byte is there, then DONE. */
static void test_prefixes(void **state)
{
    static const size_t bodies[] = { 0, 1, 2, 127, 128, 129, 16383, 16384, 20000 };
    static uint8_t packet[5 + 20000];
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        packet[0] = 0x30;
        size_t header = (size_t)(write_varint(packet + 1, bodies[i]) - packet);
        size_t whole = header + bodies[i];
        for (size_t size = 0; size <= whole; size++) {
            struct frame frame;
            enum decode_result result = frame_decode(bytes_of(packet, size), &frame);
            assert_int_equal(result, size < whole ? DECODE_MORE : DECODE_DONE);
            assert_int_equal(frame.size, size < header ? 0 : whole);
        }
    }
}

static void test_names(void **state)
{
    assert_string_equal(packet_type_name(0), "RESERVED");
    assert_string_equal(packet_type_name(PACKET_CONNECT), "CONNECT");
    assert_string_equal(packet_type_name(PACKET_UNSUBSCRIBE), "UNSUBSCRIBE");
    assert_string_equal(packet_type_name(PACKET_AUTH), "AUTH");
    assert_string_equal(packet_type_name(16), "RESERVED");
    assert_string_equal(packet_type_name(-1), "RESERVED");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
