/* mqtt/reason_test.c */
#include "mqtt/packet.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* As the chapters on the packets list them; reason.c has the transposed table of section 2.4. */
static const struct {
    enum packet_type type;
    uint8_t codes[32];
    size_t count;
} rows[] = {
#define ROW(type, ...)                                                                             \
    {                                                                                              \
        type, { __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ })                                  \
    }
    ROW(PACKET_CONNACK, 0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A,
        0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F),          /* [MQTT-3.2.2-8] */
    ROW(PACKET_PUBACK, 0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99), /* [MQTT-3.4.2-1] */
    ROW(PACKET_PUBREC, 0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99), /* [MQTT-3.5.2-1] */
    ROW(PACKET_PUBREL, 0x00, 0x92),                                           /* [MQTT-3.6.2-1] */
    ROW(PACKET_PUBCOMP, 0x00, 0x92),                                          /* [MQTT-3.7.2-1] */
    ROW(PACKET_SUBACK, 0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1,
        0xA2),                                                      /* [MQTT-3.9.3-2] */
    ROW(PACKET_UNSUBACK, 0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91), /* [MQTT-3.11.3-2] */
    ROW(PACKET_DISCONNECT, 0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E,
        0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F,
        0xA0, 0xA1, 0xA2),              /* [MQTT-3.14.2-1]; 0x8C from section 2.4 alone */
    ROW(PACKET_AUTH, 0x00, 0x18, 0x19), /* [MQTT-3.15.2-1] */
#undef ROW
};

static bool is_listed(size_t row, int code)
{
    for (size_t i = 0; i < rows[row].count; i++) {
        if (rows[row].codes[i] == code)
            return true;
    }
    return false;
}

static void test_every_code_in_every_packet(void **state)
{
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        for (int code = 0; code < 256; code++) {
            if (reason_is_allowed((uint8_t)code, rows[row].type) != is_listed(row, code))
                fail_msg("%s with 0x%02x", packet_type_name(rows[row].type), code);
        }
    }
    static const int without[] = { PACKET_CONNECT,     PACKET_PUBLISH, PACKET_SUBSCRIBE,
                                   PACKET_UNSUBSCRIBE, PACKET_PINGREQ, PACKET_PINGRESP };
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
        for (int code = 0; code < 256; code++)
            assert_false(reason_is_allowed((uint8_t)code, without[i]));
    }
}

static void test_text(void **state)
{
    assert_string_equal(reason_text(REASON_SUCCESS), "Success");
    assert_string_equal(reason_text(REASON_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED),
                        "Wildcard Subscriptions not supported");
    assert_string_equal(reason_text((enum reason)0x03), "Unknown reason");
    assert_string_equal(reason_text((enum reason)0xff), "Unknown reason");
}

static void test_is_error(void **state)
{
    assert_false(reason_is_error(REASON_REAUTHENTICATE));
    assert_true(reason_is_error(REASON_UNSPECIFIED_ERROR));
}

static void test_connack_3(void **state)
{
    for (uint8_t code = 0; code <= 5; code++)
        assert_int_equal(reason_to_connack_3(reason_from_connack_3(code)), code);
    assert_int_equal(reason_from_connack_3(6), REASON_UNSPECIFIED_ERROR);
    assert_int_equal(reason_to_connack_3(REASON_SERVER_BUSY), 3);
    assert_int_equal(reason_to_connack_3(REASON_BANNED), 5);
    assert_int_equal(reason_to_connack_3(REASON_QUOTA_EXCEEDED), 3);
    for (int code = 0x80; code <= 0xa2; code++) /* a refusal never turns into a welcome */
        assert_in_range(reason_to_connack_3((enum reason)code), 1, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_in_every_packet),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_is_error),
        cmocka_unit_test(test_connack_3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
