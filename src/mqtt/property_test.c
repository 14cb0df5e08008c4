/* mqtt/property_test.c */
#include "mqtt/notation.h"
#include "mqtt/packet.h"
#include "mqtt/property.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { WILL = 0 };

/* Each property with a value it may have, and where it may stand: table 2-4 of the standard, told
 * again.  Authentication Data comes with the method it needs. */
static const struct {
    uint8_t id;
    const char *list;
    int8_t packets[16]; /* ended by -1 */
} rows[] = {
#define ROW(id, list, ...)                                                                         \
    {                                                                                              \
        id, list,                                                                                  \
        {                                                                                          \
            __VA_ARGS__, -1                                                                        \
        }                                                                                          \
    }
    ROW(1, "01 01", PACKET_PUBLISH, WILL),
    ROW(2, "02 0000000a", PACKET_PUBLISH, WILL),
    ROW(3, "03 s'text/plain'", PACKET_PUBLISH, WILL),
    ROW(8, "08 s'answer/here'", PACKET_PUBLISH, WILL),
    ROW(9, "09 0003 00fffe", PACKET_PUBLISH, WILL),
    ROW(11, "0b ff7f", PACKET_PUBLISH, PACKET_SUBSCRIBE),
    ROW(17, "11 ffffffff", PACKET_CONNECT, PACKET_CONNACK, PACKET_DISCONNECT),
    ROW(18, "12 s'auto-1'", PACKET_CONNACK),
    ROW(19, "13 003c", PACKET_CONNACK),
    ROW(21, "15 s'SCRAM'", PACKET_CONNECT, PACKET_CONNACK, PACKET_AUTH),
    ROW(22, "15 s'SCRAM' 16 0002 00ff", PACKET_CONNECT, PACKET_CONNACK, PACKET_AUTH),
    ROW(23, "17 00", PACKET_CONNECT),
    ROW(24, "18 0000000a", WILL),
    ROW(25, "19 01", PACKET_CONNECT),
    ROW(26, "1a s'answers/me'", PACKET_CONNACK),
    ROW(28, "1c s'elsewhere:1883'", PACKET_CONNACK, PACKET_DISCONNECT),
    ROW(31, "1f s'because'", PACKET_CONNACK, PACKET_PUBACK, PACKET_PUBREC, PACKET_PUBREL,
        PACKET_PUBCOMP, PACKET_SUBACK, PACKET_UNSUBACK, PACKET_DISCONNECT, PACKET_AUTH),
    ROW(33, "21 0014", PACKET_CONNECT, PACKET_CONNACK),
    ROW(34, "22 000a", PACKET_CONNECT, PACKET_CONNACK),
    ROW(35, "23 0001", PACKET_PUBLISH),
    ROW(36, "24 01", PACKET_CONNACK),
    ROW(37, "25 00", PACKET_CONNACK),
    ROW(38, "26 s'name' s'value'", PACKET_CONNECT, PACKET_CONNACK, PACKET_PUBLISH, WILL,
        PACKET_PUBACK, PACKET_PUBREC, PACKET_PUBREL, PACKET_PUBCOMP, PACKET_SUBSCRIBE,
        PACKET_SUBACK, PACKET_UNSUBSCRIBE, PACKET_UNSUBACK, PACKET_DISCONNECT, PACKET_AUTH),
    ROW(39, "27 001e8480", PACKET_CONNECT, PACKET_CONNACK),
    ROW(40, "28 00", PACKET_CONNACK),
    ROW(41, "29 00", PACKET_CONNACK),
    ROW(42, "2a 00", PACKET_CONNACK),
#undef ROW
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static bool is_allowed(size_t row, int packet)
{
    for (const int8_t *p = rows[row].packets; *p != -1; p++) {
        if (*p == packet)
            return true;
    }
    return false;
}

static void test_placement(void **state)
{
    for (size_t row = 0; row < ROWS; row++) {
        for (int packet = 0; packet <= PACKET_AUTH; packet++) {
            struct notation n;
            struct properties p;
            struct bytes list = notation_read(&n, rows[row].list);
            enum reason why = properties_decode(list, packet, &p);
            if (why != (is_allowed(row, packet) ? REASON_SUCCESS : REASON_PROTOCOL_ERROR))
                fail_msg("property %d in packet %d: 0x%02x", rows[row].id, packet, why);
            if (why == REASON_SUCCESS)
                assert_true(properties_have(&p, rows[row].id));
        }
    }
}

static void test_twice(void **state)
{
    for (size_t row = 0; row < ROWS; row++) {
        struct notation n;
        struct properties p;
        struct bytes list = notation_read(&n, rows[row].list);
        memcpy(n.data + n.size, n.data, n.size);
        list.size *= 2;
        int packet = rows[row].packets[0];
        bool may_repeat = rows[row].id == PROPERTY_USER_PROPERTY ||
                          rows[row].id == PROPERTY_SUBSCRIPTION_IDENTIFIER;
        assert_int_equal(properties_decode(list, packet, &p),
                         may_repeat ? REASON_SUCCESS : REASON_PROTOCOL_ERROR);
    }
}

/* A list that ends inside a property is malformed, wherever the property may stand. */
static void test_cut(void **state)
{
    for (size_t row = 0; row < ROWS; row++) {
        struct notation n;
        struct properties p;
        struct bytes list = notation_read(&n, rows[row].list), first = list, rest = list;
        struct property property;
        assert_true(property_next(&rest, &property));
        first.size = property.encoded.size;
        for (size_t size = 1; size < first.size; size++) {
            for (int packet = 0; packet <= PACKET_AUTH; packet++)
                assert_int_equal(properties_decode(bytes_of(list.data, size), packet, &p),
                                 REASON_MALFORMED_PACKET);
        }
    }
}

static void test_unknown_identifiers(void **state)
{
    for (int id = 0; id < 256; id++) {
        bool known = false;
        for (size_t row = 0; row < ROWS; row++)
            known |= rows[row].id == id;
        assert_int_equal(property_name(id) != NULL, known);
        if (known)
            continue;
        uint8_t list[] = { (uint8_t)id, 0, 0, 0, 0, 0 };
        struct properties p;
        for (size_t size = 1; size <= sizeof list; size++)
            assert_int_equal(properties_decode(bytes_of(list, size), PACKET_PUBLISH, &p),
                             REASON_MALFORMED_PACKET);
    }
}

static const struct {
    const char *list;
    int packet;
    uint8_t why;
} values[] = {
    { "", PACKET_CONNECT, REASON_SUCCESS },
    { "21 0000", PACKET_CONNECT, REASON_PROTOCOL_ERROR }, /* Receive Maximum 0 */
    { "21 ffff", PACKET_CONNECT, REASON_SUCCESS },
    { "27 00000000", PACKET_CONNECT, REASON_PROTOCOL_ERROR }, /* Maximum Packet Size 0 */
    { "27 00000001", PACKET_CONNECT, REASON_SUCCESS },
    { "22 0000", PACKET_CONNECT, REASON_SUCCESS },
    { "23 0000", PACKET_PUBLISH, REASON_TOPIC_ALIAS_INVALID }, /* [MQTT-3.3.2-8] */
    { "23 ffff", PACKET_PUBLISH, REASON_SUCCESS },
    { "0b 00", PACKET_SUBSCRIBE, REASON_PROTOCOL_ERROR }, /* Subscription Identifier 0 */
    { "0b ffffff7f", PACKET_SUBSCRIBE, REASON_SUCCESS },
    { "0b 8000", PACKET_SUBSCRIBE, REASON_MALFORMED_PACKET }, /* [MQTT-1.5.5-1] */
    { "0b ffffffff7f", PACKET_SUBSCRIBE, REASON_MALFORMED_PACKET },
    { "0b 01 0b 01", PACKET_SUBSCRIBE, REASON_PROTOCOL_ERROR },
    { "0b 01 0b 01", PACKET_PUBLISH, REASON_SUCCESS },
    { "0b 01 0b 00", PACKET_PUBLISH, REASON_PROTOCOL_ERROR },
    { "01 02", PACKET_PUBLISH, REASON_PROTOCOL_ERROR }, /* flags are 0 or 1 */
    { "17 02", PACKET_CONNECT, REASON_PROTOCOL_ERROR },
    { "19 02", PACKET_CONNECT, REASON_PROTOCOL_ERROR },
    { "24 02", PACKET_CONNACK, REASON_PROTOCOL_ERROR },
    { "25 02", PACKET_CONNACK, REASON_PROTOCOL_ERROR },
    { "28 ff", PACKET_CONNACK, REASON_PROTOCOL_ERROR },
    { "29 02", PACKET_CONNACK, REASON_PROTOCOL_ERROR },
    { "2a 02", PACKET_CONNACK, REASON_PROTOCOL_ERROR },
    { "08 s'a/+'", PACKET_PUBLISH, REASON_PROTOCOL_ERROR }, /* [MQTT-3.3.2-14] */
    { "08 s'a/#'", WILL, REASON_PROTOCOL_ERROR },
    { "08 s''", PACKET_PUBLISH, REASON_PROTOCOL_ERROR },       /* [MQTT-4.7.3-1] */
    { "08 0001 ff", PACKET_PUBLISH, REASON_MALFORMED_PACKET }, /* [MQTT-3.3.2-13] */
    { "03 s''", PACKET_PUBLISH, REASON_SUCCESS },
    { "03 0002 c3a9", PACKET_PUBLISH, REASON_SUCCESS },
    { "03 0001 00", PACKET_PUBLISH, REASON_MALFORMED_PACKET }, /* [MQTT-3.3.2-19] */
    { "09 s''", PACKET_PUBLISH, REASON_SUCCESS },
    { "26 s'' s''", PACKET_PUBLISH, REASON_SUCCESS },
    { "26 0001 ff s'value'", PACKET_PUBLISH, REASON_MALFORMED_PACKET }, /* [MQTT-1.5.7-1] */
    { "26 s'name' 0001 00", PACKET_PUBLISH, REASON_MALFORMED_PACKET },  /* [MQTT-1.5.7-1] */
    { "26 s'name'", PACKET_PUBLISH, REASON_MALFORMED_PACKET },
    { "16 s'data'", PACKET_CONNECT, REASON_PROTOCOL_ERROR }, /* no method */
    { "16 s'data'", PACKET_AUTH, REASON_PROTOCOL_ERROR },
    { "16 s'data' 15 s'SCRAM'", PACKET_AUTH, REASON_SUCCESS },
    { "8001 01", PACKET_PUBLISH, REASON_MALFORMED_PACKET }, /* no identifier takes two bytes */
};

static void test_values(void **state)
{
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct notation n;
        struct properties p;
        enum reason why =
            properties_decode(notation_read(&n, values[i].list), values[i].packet, &p);
        if (why != values[i].why)
            fail_msg("%s: 0x%02x", values[i].list, why);
    }
}

static void test_limits(void **state)
{
    static uint8_t list[PROPERTIES_SIZE_MAX + 1];
    struct properties p;
    static const uint8_t user_property[] = { 38, 0, 0, 0, 0 };
    for (size_t i = 0; i <= USER_PROPERTIES_MAX; i++)
        memcpy(list + i * sizeof user_property, user_property, sizeof user_property);
    size_t size = USER_PROPERTIES_MAX * sizeof user_property;
    assert_int_equal(properties_decode(bytes_of(list, size), PACKET_PUBLISH, &p), REASON_SUCCESS);
    assert_int_equal(p.user_count, USER_PROPERTIES_MAX);
    assert_int_equal(
        properties_decode(bytes_of(list, size + sizeof user_property), PACKET_PUBLISH, &p),
        REASON_QUOTA_EXCEEDED);

    memset(list, 'a', sizeof list);
    list[0] = 38;
    write_u16(list + 1, 65535 - 4);
    write_u16(list + 3 + 65535 - 4, 0);
    assert_int_equal(properties_decode(bytes_of(list, PROPERTIES_SIZE_MAX), PACKET_PUBLISH, &p),
                     REASON_SUCCESS);
    assert_int_equal(properties_decode(bytes_of(list, PROPERTIES_SIZE_MAX + 1), PACKET_PUBLISH, &p),
                     REASON_PACKET_TOO_LARGE);
}

/* ------------------------------------------------------------------------------- encoding ----- */

static void check_encoding(const struct properties *p, const char *expected)
{
    struct notation n;
    uint8_t out[512];
    assert_true(properties_size(p) <= sizeof out);
    uint8_t *end = properties_encode(p, out);
    assert_int_equal(end - out, properties_size(p));
    if (!bytes_equal(bytes_of(out, properties_size(p)), notation_read(&n, expected)))
        fail_msg("not %s", expected);
}

/* Every field says what it was given, and nothing else. */
static void test_fields(void **state)
{
    for (size_t row = 0; row < ROWS; row++) {
        struct notation n;
        struct properties p;
        memset(&p, 0xa5, sizeof p); /* only what is present may be looked at */
        struct bytes list = notation_read(&n, rows[row].list);
        assert_int_equal(properties_decode(list, rows[row].packets[0], &p), REASON_SUCCESS);
        if (rows[row].id != PROPERTY_USER_PROPERTY)
            p.raw = (struct bytes){ NULL, 0 };
        check_encoding(&p, rows[row].list);
    }
}

static void test_order(void **state)
{
    struct notation n;
    struct properties p = { 0 };
    check_encoding(&p, "");
    p.topic_alias_maximum = 10;
    p.maximum_packet_size = 2000000;
    p.receive_maximum = 20;
    p.assigned_client_identifier = BYTES("auto-1");
    p.server_keep_alive = 60;
    properties_add(&p, PROPERTY_RECEIVE_MAXIMUM);
    properties_add(&p, PROPERTY_MAXIMUM_PACKET_SIZE);
    properties_add(&p, PROPERTY_SERVER_KEEP_ALIVE);
    properties_add(&p, PROPERTY_TOPIC_ALIAS_MAXIMUM);
    properties_add(&p, PROPERTY_ASSIGNED_CLIENT_IDENTIFIER);
    check_encoding(&p, "22 000a 12 s'auto-1' 13 003c 27 001e8480 21 0014");
    p.raw = notation_read(&n, "26 s'a' s'b'");
    check_encoding(&p, "22 000a 12 s'auto-1' 13 003c 27 001e8480 21 0014 26 s'a' s'b'");
}

static void test_walk(void **state)
{
    struct notation n;
    struct property p;
    struct bytes rest = notation_read(&n, "02 0000000a 26 s'name' s'value' 0b 8001 09 s'data'");
    assert_true(property_next(&rest, &p));
    assert_int_equal(p.id, PROPERTY_MESSAGE_EXPIRY_INTERVAL);
    assert_int_equal(p.number, 10);
    assert_int_equal(p.encoded.size, 5);
    assert_true(property_next(&rest, &p));
    assert_int_equal(p.id, PROPERTY_USER_PROPERTY);
    assert_true(bytes_equal(p.name, BYTES("name")));
    assert_true(bytes_equal(p.value, BYTES("value")));
    assert_true(property_next(&rest, &p));
    assert_int_equal(p.number, 128);
    assert_true(property_next(&rest, &p));
    assert_true(bytes_equal(p.value, BYTES("data")));
    assert_true(bytes_equal(p.encoded, BYTES("\x09\0\4data")));
    assert_int_equal(rest.size, 0);
    assert_false(property_next(&rest, &p));
    rest = (struct bytes){ NULL, 0 };
    assert_false(property_next(&rest, &p));
}

static void test_names(void **state)
{
    for (size_t row = 0; row < ROWS; row++)
        assert_int_equal(property_from_name(bytes_of_string(property_name(rows[row].id))),
                         rows[row].id);
    assert_string_equal(property_name(PROPERTY_CONTENT_TYPE), "content-type");
    assert_null(property_name(-1));
    assert_null(property_name(0));
    assert_null(property_name(43));
    assert_int_equal(property_from_name(BYTES("content_type")), 0);
    assert_int_equal(property_from_name(BYTES("")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placement), cmocka_unit_test(test_twice),
        cmocka_unit_test(test_cut),       cmocka_unit_test(test_unknown_identifiers),
        cmocka_unit_test(test_values),    cmocka_unit_test(test_limits),
        cmocka_unit_test(test_fields),    cmocka_unit_test(test_order),
        cmocka_unit_test(test_walk),      cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
