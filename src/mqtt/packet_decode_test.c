/* mqtt/packet_decode_test.c: the rules that a codec can judge, one row each.
 *
 * The last column is what packet_decode says.  For the notation of packets see mqtt/notation.h. */
#include "mqtt/notation.h"
#include "mqtt/packet.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define V3  VERSION_3_1
#define V4  VERSION_3_1_1
#define V5  VERSION_5_0
#define ANY VERSION_UNKNOWN /* in a row: the same in all three */

enum {
    OK = REASON_SUCCESS,
    MALFORMED = REASON_MALFORMED_PACKET,
    PROTOCOL = REASON_PROTOCOL_ERROR,
    UNSUPPORTED = REASON_UNSUPPORTED_PROTOCOL_VERSION,
    TOPIC_NAME = REASON_TOPIC_NAME_INVALID,
    ALIAS = REASON_TOPIC_ALIAS_INVALID,
};

struct row {
    uint8_t version;
    const char *packet;
    uint8_t why;
};

static void check_one(const char *text, enum version version, uint8_t why)
{
    struct notation n;
    struct bytes notated = notation_read(&n, text);
    /* In a block of exactly that size, so that a sanitizer sees each byte read past it. */
    uint8_t *block = malloc(notated.size);
    assert_non_null(block);
    memcpy(block, notated.data, notated.size);
    struct packet packet;
    enum reason found = 0xff;
    enum decode_result result =
        packet_decode(bytes_of(block, notated.size), version, &packet, &found);
    free(block);
    if (found != why || result != (why == OK ? DECODE_DONE : DECODE_BAD))
        fail_msg("version %d: %s: 0x%02x instead of 0x%02x", version, text, found, why);
    assert_int_equal(packet.type, notated.data[0] >> 4);
}

static void check(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (enum version v = V3; v <= V5; v++) {
            if (rows[i].version == v || rows[i].version == ANY)
                check_one(rows[i].packet, v, rows[i].why);
        }
    }
}
#define CHECK(rows) check(rows, sizeof(rows) / sizeof((rows)[0]))

/* --------------------------------------------------------------------------- fixed header ----- */

static const struct row header_rows[] = {
    { ANY, "c0 00", OK },
    { ANY, "d0 00", OK },
    { ANY, "c0 8000", MALFORMED },  /* Remaining Length not minimal [MQTT-1.5.5-1] */
    { ANY, "00 00", MALFORMED },    /* a reserved type */
    { ANY, "c0 01", MALFORMED },    /* cut */
    { ANY, "c0 00 00", MALFORMED }, /* more than the frame holds */
    { ANY, "c0 01 00", MALFORMED }, /* more than the packet holds */
    { ANY, "d0 01 00", MALFORMED },
    /* Reserved flags [MQTT-2.1.3-1] [MQTT3-2.2.2-1] */
    { ANY, "11 { s'MQTT' 04 02 0000 s'id' }", MALFORMED },
    { ANY, "21 { 00 00 }", MALFORMED },
    { ANY, "41 { 0001 }", MALFORMED },
    { ANY, "52 { 0001 }", MALFORMED },
    { ANY, "62 { 0001 }", OK },
    { ANY, "60 { 0001 }", MALFORMED }, /* [MQTT-3.6.1-1] [MQTT3-3.6.1-1] */
    { ANY, "63 { 0001 }", MALFORMED },
    { V3, "6a { 0001 }", OK }, /* in 3.1 a PUBREL may be a duplicate */
    { V4, "6a { 0001 }", MALFORMED },
    { V5, "6a { 0001 }", MALFORMED },
    { ANY, "72 { 0001 }", MALFORMED },
    { V4, "80 { 0001 s'a' 00 }", MALFORMED },    /* [MQTT3-3.8.1-1] */
    { V5, "80 { 0001 00 s'a' 00 }", MALFORMED }, /* [MQTT-3.8.1-1] */
    { V3, "8a { 0001 s'a' 00 }", OK },           /* may be a duplicate, too */
    { V4, "8a { 0001 s'a' 00 }", MALFORMED },
    { V4, "92 { 0001 00 }", MALFORMED },
    { V4, "a0 { 0001 s'a' }", MALFORMED },    /* [MQTT3-3.10.1-1] */
    { V5, "a0 { 0001 00 s'a' }", MALFORMED }, /* [MQTT-3.10.1-1] */
    { V3, "aa { 0001 s'a' }", OK },
    { ANY, "b2 { 0001 }", MALFORMED },
    { ANY, "c2 00", MALFORMED },
    { ANY, "d1 00", MALFORMED },
    { ANY, "e1 00", MALFORMED }, /* [MQTT-3.14.1-1] [MQTT3-3.14.1-1] */
    { V5, "f1 00", MALFORMED },  /* [MQTT-3.15.1-1] */
};

static void test_header(void **state)
{
    CHECK(header_rows);
}

/* ------------------------------------------------------------------------------- CONNECT ------ */

static const struct row connect_rows[] = {
    { ANY, "10 { s'MQIsdp' 03 02 003c s'id' }", OK },
    { ANY, "10 { s'MQTT' 04 02 003c s'id' }", OK },
    { ANY, "10 { s'MQTT' 05 02 003c 00 s'id' }", OK },
    { ANY, "10 { s'MQIsdp' 83 02 003c s'id' }", OK }, /* bridges */
    { ANY, "10 { s'MQTT' 84 02 003c s'id' }", OK },
    { ANY, "10 { s'MQTT' 85 02 003c 00 s'id' }", UNSUPPORTED },
    /* Names and levels [MQTT-3.1.2-1] [MQTT-3.1.2-2] [MQTT3-3.1.2-1] [MQTT3-3.1.2-2] */
    { ANY, "10 { s'MQTT' 03 02 003c s'id' }", UNSUPPORTED },
    { ANY, "10 { s'MQTT' 06 02 003c s'id' }", UNSUPPORTED },
    { ANY, "10 { s'MQTT' 00 02 003c s'id' }", UNSUPPORTED },
    { ANY, "10 { s'MQIsdp' 04 02 003c s'id' }", UNSUPPORTED },
    { ANY, "10 { s'MQIsdp' 05 02 003c s'id' }", UNSUPPORTED },
    { ANY, "10 { s'mqtt' 04 02 003c s'id' }", UNSUPPORTED },
    { ANY, "10 { s'' 04 02 003c s'id' }", UNSUPPORTED },
    { ANY, "10 { s'HTTP' 04 02 003c s'id' }", UNSUPPORTED },
    /* Cut at each field [MQTT-3.1.4-1] */
    { ANY, "10 { }", MALFORMED },
    { ANY, "10 { 0004 'MQT' }", MALFORMED },
    { ANY, "10 { s'MQTT' }", MALFORMED },
    { ANY, "10 { s'MQTT' 04 }", MALFORMED },
    { ANY, "10 { s'MQTT' 04 02 00 }", MALFORMED },
    { ANY, "10 { s'MQTT' 04 02 003c }", MALFORMED }, /* no identifier [MQTT-3.1.3-3] */
    { ANY, "10 { s'MQTT' 04 02 003c 0002 'i' }", MALFORMED },
    { ANY, "10 { s'MQTT' 05 02 003c }", MALFORMED }, /* no length of properties */
    { ANY, "10 { s'MQTT' 05 02 003c 05 }", MALFORMED },
    { ANY, "10 { s'MQTT' 05 02 003c 8000 s'id' }", MALFORMED }, /* [MQTT-1.5.5-1] */
    { ANY, "10 { s'MQTT' 04 02 003c s'id' 00 }", MALFORMED },   /* and one byte too many */
    /* The client identifier */
    { ANY, "10 { s'MQTT' 04 02 003c s'' }", OK },    /* [MQTT3-3.1.3-6]: the Server decides */
    { ANY, "10 { s'MQTT' 04 00 003c s'' }", OK },    /* [MQTT3-3.1.3-8]: so it does here */
    { ANY, "10 { s'MQTT' 05 00 003c 00 s'' }", OK }, /* [MQTT-3.1.3-6] */
    { ANY, "10 { s'MQIsdp' 03 02 003c s'longer than twenty-three bytes' }", OK },
    { ANY, "10 { s'MQTT' 04 02 003c 0001 80 }", MALFORMED },    /* not UTF-8 [MQTT-3.1.3-4] */
    { ANY, "10 { s'MQTT' 05 02 003c 00 0001 00 }", MALFORMED }, /* U+0000 [MQTT-1.5.4-2] */
    /* Connect Flags */
    { ANY, "10 { s'MQTT' 04 03 003c s'id' }", MALFORMED },    /* [MQTT3-3.1.2-3] */
    { ANY, "10 { s'MQTT' 05 03 003c 00 s'id' }", MALFORMED }, /* [MQTT-3.1.2-3] */
    { ANY, "10 { s'MQIsdp' 03 03 003c s'id' }", OK },         /* unused in 3.1 */
    { ANY, "10 { s'MQTT' 04 0a 003c s'id' }",
      PROTOCOL }, /* Will QoS without Will [MQTT3-3.1.2-13] */
    { ANY, "10 { s'MQTT' 05 0a 003c 00 s'id' }", PROTOCOL }, /* [MQTT-3.1.2-11] */
    { ANY, "10 { s'MQTT' 04 22 003c s'id' }", PROTOCOL },    /* Will Retain [MQTT3-3.1.2-15] */
    { ANY, "10 { s'MQTT' 05 22 003c 00 s'id' }", PROTOCOL }, /* [MQTT-3.1.2-13] */
    { ANY, "10 { s'MQTT' 05 1a 003c 00 s'id' }", PROTOCOL }, /* even QoS 3 */
    { ANY, "10 { s'MQIsdp' 03 3a 003c s'id' }", OK },        /* unused in 3.1 */
    { ANY, "10 { s'MQTT' 04 06 003c s'id' s'will' s'w' }", OK },
    { ANY, "10 { s'MQTT' 04 0e 003c s'id' s'will' s'w' }", OK }, /* [MQTT3-3.1.2-14] */
    { ANY, "10 { s'MQTT' 04 36 003c s'id' s'will' s'w' }", OK },
    { ANY, "10 { s'MQTT' 04 1e 003c s'id' s'will' s'w' }", MALFORMED }, /* Will QoS 3 */
    { ANY, "10 { s'MQIsdp' 03 1e 003c s'id' s'will' s'w' }", MALFORMED },
    { ANY, "10 { s'MQTT' 05 1e 003c 00 s'id' 00 s'will' s'w' }", MALFORMED }, /* [MQTT-3.1.2-12] */
    /* The Will */
    { ANY, "10 { s'MQTT' 05 06 003c 00 s'id' 00 s'will' s'w' }", OK },
    { ANY, "10 { s'MQTT' 05 06 003c 00 s'id' { 18 0000000a } s'will' s'' }", OK },
    { ANY, "10 { s'MQTT' 05 06 003c 00 s'id' { 11 0000000a } s'will' s'' }", PROTOCOL },
    { ANY, "10 { s'MQTT' 05 06 003c 00 s'id' }", MALFORMED }, /* [MQTT-3.1.2-9] */
    { ANY, "10 { s'MQTT' 04 06 003c s'id' }", MALFORMED },    /* [MQTT3-3.1.2-9] */
    { ANY, "10 { s'MQTT' 04 06 003c s'id' s'will' }", MALFORMED },
    { ANY, "10 { s'MQTT' 04 06 003c s'id' s'a/#' s'w' }", TOPIC_NAME },
    { ANY, "10 { s'MQTT' 05 06 003c 00 s'id' 00 s'+' s'w' }", TOPIC_NAME },
    { ANY, "10 { s'MQTT' 04 06 003c s'id' s'' s'w' }", TOPIC_NAME },          /* [MQTT3-4.7.3-1] */
    { ANY, "10 { s'MQTT' 04 06 003c s'id' 0001 ff s'w' }", MALFORMED },       /* [MQTT3-3.1.3-10] */
    { ANY, "10 { s'MQTT' 05 06 003c 00 s'id' 00 0001 ff s'w' }", MALFORMED }, /* [MQTT-3.1.3-11] */
    { ANY, "10 { s'MQTT' 04 06 003c s'id' s'will' 0002 00ff }", OK }, /* the payload is binary */
    /* User Name and Password */
    { ANY, "10 { s'MQTT' 04 c2 003c s'id' s'me' s'secret' }", OK },
    { ANY, "10 { s'MQTT' 04 82 003c s'id' s'me' }", OK },
    { ANY, "10 { s'MQTT' 04 82 003c s'id' s'' }", OK },
    { ANY, "10 { s'MQTT' 04 82 003c s'id' }", MALFORMED },               /* [MQTT3-3.1.2-19] */
    { ANY, "10 { s'MQTT' 05 82 003c 00 s'id' }", MALFORMED },            /* [MQTT-3.1.2-17] */
    { ANY, "10 { s'MQTT' 04 c2 003c s'id' s'me' }", MALFORMED },         /* [MQTT3-3.1.2-21] */
    { ANY, "10 { s'MQTT' 05 c2 003c 00 s'id' s'me' }", MALFORMED },      /* [MQTT-3.1.2-19] */
    { ANY, "10 { s'MQTT' 04 02 003c s'id' s'me' }", MALFORMED },         /* [MQTT3-3.1.2-18] */
    { ANY, "10 { s'MQTT' 05 02 003c 00 s'id' s'me' }", MALFORMED },      /* [MQTT-3.1.2-16] */
    { ANY, "10 { s'MQTT' 05 82 003c 00 s'id' s'me' s'x' }", MALFORMED }, /* [MQTT-3.1.2-18] */
    { ANY, "10 { s'MQTT' 04 42 003c s'id' s'secret' }", PROTOCOL },      /* [MQTT3-3.1.2-22] */
    { ANY, "10 { s'MQIsdp' 03 42 003c s'id' s'secret' }", PROTOCOL },
    { ANY, "10 { s'MQTT' 05 42 003c 00 s'id' s'secret' }", OK },      /* new in 5.0 */
    { ANY, "10 { s'MQTT' 04 82 003c s'id' 0001 ff }", MALFORMED },    /* [MQTT3-3.1.3-11] */
    { ANY, "10 { s'MQTT' 05 82 003c 00 s'id' 0001 ff }", MALFORMED }, /* [MQTT-3.1.3-12] */
    { ANY, "10 { s'MQTT' 04 c2 003c s'id' s'me' 0003 00fffe }", OK }, /* a password is binary */
    { ANY, "10 { s'MQIsdp' 03 c2 003c s'id' }", OK }, /* 3.1: announced and missing is valid */
    { ANY, "10 { s'MQIsdp' 03 c2 003c s'id' s'me' }", OK },
    { ANY, "10 { s'MQIsdp' 03 c2 003c s'id' s'me' 00 }", MALFORMED },
    /* All at once, in the order of [MQTT-3.1.3-1] */
    { ANY,
      "10 { s'MQTT' 05 f6 003c { 11 0000000a 21 000a 22 000a 27 00001000 19 01 17 00"
      " 15 s'SCRAM' 16 s'data' 26 s'a' s'b' } s'id' { 01 01 02 0000000a 03 s'type'"
      " 08 s'answer' 09 s'data' 18 0000000a 26 s'a' s'b' } s'will' s'w' s'me' s'secret' }",
      OK },
    { ANY, "10 { s'MQTT' 05 02 003c { 16 s'data' } s'id' }", PROTOCOL }, /* data without method */
    { ANY, "10 { s'MQTT' 05 02 003c { 01 01 } s'id' }", PROTOCOL },      /* a Will's property */
};

static void test_connect(void **state)
{
    CHECK(connect_rows);
}

static void test_connect_fields(void **state)
{
    struct notation n;
    struct packet packet;
    enum reason why;
    struct bytes whole = notation_read(
        &n, "10 { s'MQTT' 05 f6 012c { 21 0014 } s'id' { 18 0000000a } s'will' s'w' s'me' s'pw' }");
    assert_int_equal(packet_decode(whole, VERSION_UNKNOWN, &packet, &why), DECODE_DONE);
    const struct connect *c = &packet.connect;
    assert_int_equal(c->version, VERSION_5_0);
    assert_false(c->is_bridge);
    assert_true(c->clean_start && c->has_will && c->has_username && c->has_password);
    assert_int_equal(c->keep_alive_s, 300);
    assert_true(bytes_equal(c->client_id, BYTES("id")));
    assert_true(bytes_equal(c->username, BYTES("me")));
    assert_true(bytes_equal(c->password, BYTES("pw")));
    assert_int_equal(c->will.qos, 2);
    assert_true(c->will.retain);
    assert_true(bytes_equal(c->will.topic, BYTES("will")));
    assert_true(bytes_equal(c->will.payload, BYTES("w")));
    assert_true(properties_have(&c->will.properties, PROPERTY_WILL_DELAY_INTERVAL));
    assert_int_equal(c->will.properties.will_delay_interval, 10);
    assert_int_equal(c->properties.receive_maximum, 20);

    whole = notation_read(&n, "10 { s'MQIsdp' 83 c0 0000 s'id' }");
    assert_int_equal(packet_decode(whole, VERSION_UNKNOWN, &packet, &why), DECODE_DONE);
    assert_true(c->is_bridge);
    assert_false(c->clean_start || c->has_will || c->has_username || c->has_password);
    assert_int_equal(c->properties.present, 0);
}

/* ------------------------------------------------------------------------------- CONNACK ------ */

static const struct row connack_rows[] = {
    { V3, "20 { 00 00 }", OK },
    { V4, "20 { 00 00 }", OK },
    { V4, "20 { 01 00 }", OK },
    { V3, "20 { 01 00 }", OK }, /* unused there */
    { V4, "20 { 00 05 }", OK },
    { V4, "20 { 00 06 }", PROTOCOL },
    { V4, "20 { 01 05 }", PROTOCOL }, /* [MQTT3-3.2.2-4] */
    { V4, "20 { 02 00 }", MALFORMED },
    { V4, "20 { 00 }", MALFORMED },
    { V4, "20 { 00 00 00 }", MALFORMED },
    { V5, "20 { 00 00 00 }", OK },
    { V5, "20 { 01 00 00 }", OK },
    { V5, "20 { 02 00 00 }", MALFORMED }, /* [MQTT-3.2.2-1] */
    { V5, "20 { 01 87 00 }", PROTOCOL },  /* [MQTT-3.2.2-6] */
    { V5, "20 { 00 01 00 }", PROTOCOL },  /* [MQTT-3.2.2-8] */
    { V5, "20 { 00 8b 00 }", PROTOCOL },
    { V5, "20 { 00 00 }", MALFORMED }, /* no length of properties [MQTT-2.2.2-1] */
    { V5, "20 { 00 00 { 22 000a 27 001e8480 21 0014 } }", OK },
    { V5,
      "20 { 00 00 { 11 00000001 12 s'id' 13 000a 1a s'r' 1c s's' 1f s'why' 24 01 25 00 28 00"
      " 29 00 2a 00 26 s'a' s'b' 15 s'm' 16 s'd' } }",
      OK },
    { V5, "20 { 00 00 { 24 02 } }", PROTOCOL }, /* Maximum QoS is 0 or 1 */
    { V5, "20 { 00 00 { 25 02 } }", PROTOCOL },
    { V5, "20 { 00 00 { 17 01 } }", PROTOCOL }, /* a Client's property */
};

static void test_connack(void **state)
{
    CHECK(connack_rows);
}

/* ------------------------------------------------------------------------------- PUBLISH ------ */

static const struct row publish_rows[] = {
    { V4, "30 { s'a/b' 'payload' }", OK },
    { V5, "30 { s'a/b' 00 'payload' }", OK },
    { V4, "30 { s'a/b' }", OK },
    { V4, "31 { s'a/b' }", OK },
    { V4, "32 { s'a/b' 0001 }", OK },
    { V4, "3b { s'a/b' ffff }", OK },
    { V5, "3d { s'a/b' 0001 00 }", OK },
    { V4, "38 { s'a/b' }", MALFORMED },         /* DUP, QoS 0 [MQTT3-3.3.1-2] */
    { V5, "38 { s'a/b' 00 }", MALFORMED },      /* [MQTT-3.3.1-2] */
    { V4, "36 { s'a/b' 0001 }", MALFORMED },    /* QoS 3 [MQTT3-3.3.1-4] */
    { V5, "36 { s'a/b' 0001 00 }", MALFORMED }, /* [MQTT-3.3.1-4] */
    { V3, "3e { s'a/b' 0001 }", MALFORMED },
    { V4, "32 { s'a/b' 0000 }", PROTOCOL },    /* [MQTT3-2.3.1-1] */
    { V5, "32 { s'a/b' 0000 00 }", PROTOCOL }, /* [MQTT-2.2.1-3] [MQTT-2.2.1-4] */
    { V4, "32 { s'a/b' 00 }", MALFORMED },
    { V4, "32 { s'a/b' }", MALFORMED },
    { V4, "30 { }", MALFORMED }, /* no topic [MQTT3-3.3.2-1] [MQTT-3.3.2-1] */
    { V4, "30 { 00 }", MALFORMED },
    { V4, "30 { 0004 'a/b' }", MALFORMED },
    { V5, "30 { s'a/b' }", MALFORMED }, /* no length of properties */
    { V5, "30 { s'a/b' 01 }", MALFORMED },
    { V5, "30 { s'a/b' 8000 }", MALFORMED },
    { V4, "30 { s'a/+' }", TOPIC_NAME },    /* [MQTT3-3.3.2-2] */
    { V5, "30 { s'a/#' 00 }", TOPIC_NAME }, /* [MQTT-3.3.2-2] [MQTT-4.7.0-1] */
    { V4, "30 { s'' }", TOPIC_NAME },       /* [MQTT3-4.7.3-1] */
    { V5, "30 { s'' 00 }", TOPIC_NAME },    /* [MQTT-4.7.3-1]: and no alias to stand for it */
    { V5, "30 { s'' { 23 0001 } }", OK },
    { V5, "30 { s'+' { 23 0001 } }", TOPIC_NAME },
    { V5, "30 { s'a/b' { 23 0000 } }", ALIAS }, /* [MQTT-3.3.2-8] */
    { V5, "30 { s'a/b' { 23 0001 23 0001 } }", PROTOCOL },
    { V4, "30 { 0002 'a' 00 }", MALFORMED },    /* [MQTT3-1.5.3-2] [MQTT3-4.7.3-2] */
    { V5, "30 { 0002 'a' 00 00 }", MALFORMED }, /* [MQTT-1.5.4-2] [MQTT-4.7.3-2] */
    { V4, "30 { 0003 eda080 }", MALFORMED },    /* [MQTT3-1.5.3-1] */
    { V5, "30 { 0003 eda080 00 }", MALFORMED }, /* [MQTT-1.5.4-1] */
    { V4, "30 { 0006 efbbbf 'a/b' }", OK },     /* U+FEFF stays [MQTT3-1.5.3-3] [MQTT-1.5.4-3] */
    { V4, "30 { s'a/b' 00ff }", OK },           /* a payload is anything */
    { V5,
      "30 { s'a/b' { 01 01 02 0000000a 03 s'type' 08 s'answer' 09 s'data' 0b 01 0b 02"
      " 26 s'a' s'b' 26 s'a' s'b' } 'payload' }",
      OK },
    { V5, "30 { s'a/b' { 01 02 } }", PROTOCOL },
    { V5, "30 { s'a/b' { 08 s'answer/+' } }", PROTOCOL }, /* [MQTT-3.3.2-14] */
    { V5, "30 { s'a/b' { 08 0001 ff } }", MALFORMED },    /* [MQTT-3.3.2-13] */
    { V5, "30 { s'a/b' { 03 0001 ff } }", MALFORMED },    /* [MQTT-3.3.2-19] */
    { V5, "30 { s'a/b' { 0b 00 } }", PROTOCOL },
    { V5, "30 { s'a/b' { 1f s'why' } }", PROTOCOL }, /* not in a PUBLISH */
};

static void test_publish(void **state)
{
    CHECK(publish_rows);
}

static void test_publish_fields(void **state)
{
    struct notation n;
    struct packet packet;
    enum reason why;
    struct bytes whole = notation_read(&n, "3b { s'a/b' 1234 'payload' }");
    assert_int_equal(packet_decode(whole, VERSION_3_1_1, &packet, &why), DECODE_DONE);
    assert_true(packet.publish.dup && packet.publish.retain);
    assert_int_equal(packet.publish.qos, 1);
    assert_int_equal(packet.publish.packet_id, 0x1234);
    assert_true(bytes_equal(packet.publish.topic, BYTES("a/b")));
    assert_true(bytes_equal(packet.publish.payload, BYTES("payload")));
    assert_int_equal(packet.publish.properties.present, 0);

    whole = notation_read(&n, "30 { s'a/b' { 0b 05 0b 06 26 s'k' s'v' } }");
    assert_int_equal(packet_decode(whole, VERSION_5_0, &packet, &why), DECODE_DONE);
    assert_int_equal(packet.publish.packet_id, 0); /* none [MQTT-2.2.1-2] [MQTT3-2.3.1-5] */
    assert_int_equal(packet.publish.payload.size, 0);
    assert_int_equal(packet.publish.properties.subscription_identifier, 5); /* the first */
    assert_int_equal(packet.publish.properties.subscription_id_count, 2);
    assert_int_equal(packet.publish.properties.user_count, 1);
    assert_int_equal(packet.publish.properties.raw.size, 11);
}

/* --------------------------------------------------------- PUBACK, PUBREC, PUBREL, PUBCOMP -----
 */

static const struct row ack_rows[] = {
    { ANY, "40 { 0001 }", OK },
    { ANY, "50 { 0001 }", OK },
    { ANY, "70 { ffff }", OK },
    { ANY, "40 { 0000 }", PROTOCOL },
    { ANY, "62 { 0000 }", PROTOCOL },
    { ANY, "40 { }", MALFORMED },
    { ANY, "40 { 00 }", MALFORMED },
    { V3, "40 { 0001 00 }", MALFORMED }, /* two bytes, no more */
    { V4, "40 { 0001 00 }", MALFORMED },
    { V4, "62 { 0001 00 }", MALFORMED },
    { V5, "40 { 0001 00 }", OK }, /* a Reason Code alone */
    { V5, "40 { 0001 10 }", OK },
    { V5, "40 { 0001 10 00 }", OK }, /* and the length of no properties */
    { V5, "40 { 0001 10 { 1f s'nobody' 26 s'a' s'b' } }", OK },
    { V5, "50 { 0001 97 }", OK },
    { V5, "62 { 0001 92 }", OK },
    { V5, "70 { 0001 92 }", OK },
    { V5, "40 { 0001 92 }", PROTOCOL }, /* [MQTT-3.4.2-1] */
    { V5, "50 { 0001 01 }", PROTOCOL }, /* [MQTT-3.5.2-1] */
    { V5, "62 { 0001 80 }", PROTOCOL }, /* [MQTT-3.6.2-1] */
    { V5, "70 { 0001 10 }", PROTOCOL }, /* [MQTT-3.7.2-1] */
    { V5, "40 { 0001 ff }", PROTOCOL },
    { V5, "40 { 0001 10 01 }", MALFORMED },
    { V5, "40 { 0001 10 00 00 }", MALFORMED },
    { V5, "40 { 0001 10 { 03 s'type' } }", PROTOCOL },
    { V5, "40 { 0001 10 { 1f s'a' 1f s'b' } }", PROTOCOL },
};

static void test_acks(void **state)
{
    CHECK(ack_rows);
}

/* ---------------------------------------------------------------- SUBSCRIBE, UNSUBSCRIBE ------ */

static const struct row subscribe_rows[] = {
    { V3, "82 { 0001 s'a' 00 }", OK },
    { V4, "82 { 0001 s'a' 00 s'b/#' 02 }", OK },
    { V5, "82 { 0001 00 s'a' 00 s'b/#' 02 }", OK },
    { V4, "82 { 0000 s'a' 00 }", PROTOCOL },    /* [MQTT3-2.3.1-1] */
    { V5, "82 { 0000 00 s'a' 00 }", PROTOCOL }, /* [MQTT-2.2.1-3] */
    { V3, "82 { 0001 }", PROTOCOL },
    { V4, "82 { 0001 }", PROTOCOL },    /* [MQTT3-3.8.3-3] */
    { V5, "82 { 0001 00 }", PROTOCOL }, /* [MQTT-3.8.3-2] */
    { V4, "82 { }", MALFORMED },
    { V5, "82 { 0001 }", MALFORMED },
    { V4, "82 { 0001 s'a' }", MALFORMED }, /* no options */
    { V4, "82 { 0001 s'a' 00 s'b' }", MALFORMED },
    { V4, "82 { 0001 0002 'a' }", MALFORMED },
    { V4, "82 { 0001 0001 ff 00 }", MALFORMED },    /* [MQTT3-3.8.3-1] */
    { V5, "82 { 0001 00 0001 ff 00 }", MALFORMED }, /* [MQTT-3.8.3-1] */
    { V4, "82 { 0001 s'' 00 }", OK },               /* which filters are fit is not for the codec */
    { V4, "82 { 0001 s'a#' 00 }", OK },
    { V4, "82 { 0001 s'a' 03 }", MALFORMED }, /* QoS 3 [MQTT3-3.8.3-4] */
    { V3, "82 { 0001 s'a' 04 }", MALFORMED },
    { V4, "82 { 0001 s'a' 04 }", MALFORMED }, /* reserved bits [MQTT3-3.8.3-4] */
    { V4, "82 { 0001 s'a' 80 }", MALFORMED },
    { V5, "82 { 0001 00 s'a' 2e }", OK }, /* QoS 2, No Local, Retain As Published, do not send */
    { V5, "82 { 0001 00 s'a' 03 }", PROTOCOL },
    { V5, "82 { 0001 00 s'a' 30 }", PROTOCOL },          /* Retain Handling 3 */
    { V5, "82 { 0001 00 s'a' 40 }", MALFORMED },         /* [MQTT-3.8.3-5] */
    { V5, "82 { 0001 00 s'a' 80 }", MALFORMED },         /* [MQTT-3.8.3-5] */
    { V5, "82 { 0001 00 s'a' 00 s'b' c0 }", MALFORMED }, /* in the last one, too */
    { V5, "82 { 0001 00 s'$share/g/a' 01 }", OK },
    { V5, "82 { 0001 00 s'$share/g/a' 05 }", PROTOCOL }, /* No Local, shared [MQTT-3.8.3-4] */
    { V5, "82 { 0001 { 0b 01 26 s'a' s'b' } s'a' 00 }", OK },
    { V5, "82 { 0001 { 0b ffffff7f } s'a' 00 }", OK },
    { V5, "82 { 0001 { 0b 00 } s'a' 00 }", PROTOCOL },
    { V5, "82 { 0001 { 0b 01 0b 02 } s'a' 00 }", PROTOCOL }, /* one is enough */
    { V5, "82 { 0001 { 1f s'why' } s'a' 00 }", PROTOCOL },

    { V4, "a2 { 0001 s'a' s'b/#' }", OK },
    { V5, "a2 { 0001 { 26 s'a' s'b' } s'a' }", OK },
    { V4, "a2 { 0000 s'a' }", PROTOCOL },
    { V4, "a2 { 0001 }", PROTOCOL },    /* [MQTT3-3.10.3-2] */
    { V5, "a2 { 0001 00 }", PROTOCOL }, /* [MQTT-3.10.3-2] */
    { V4, "a2 { 0001 s'a' 00 }", MALFORMED },
    { V4, "a2 { 0001 0001 ff }", MALFORMED },    /* [MQTT3-3.10.3-1] */
    { V5, "a2 { 0001 00 0001 ff }", MALFORMED }, /* [MQTT-3.10.3-1] */
    { V5, "a2 { 0001 { 0b 01 } s'a' }", PROTOCOL },
};

static void test_subscribe(void **state)
{
    CHECK(subscribe_rows);
}

static void test_walk_of_filters(void **state)
{
    struct notation n;
    struct packet packet;
    enum reason why;
    struct bytes filter, rest;
    uint8_t options;
    struct bytes whole = notation_read(&n, "82 { 0001 00 s'a' 01 s'' 2c }");
    assert_int_equal(packet_decode(whole, VERSION_5_0, &packet, &why), DECODE_DONE);
    assert_int_equal(packet.subscribe.count, 2);
    rest = packet.subscribe.filters;
    assert_true(subscribe_next(&rest, &filter, &options));
    assert_true(bytes_equal(filter, BYTES("a")));
    assert_int_equal(options & SUBSCRIBE_QOS, 1);
    assert_true(subscribe_next(&rest, &filter, &options));
    assert_int_equal(filter.size, 0);
    assert_int_equal(options, 0x20 | SUBSCRIBE_RETAIN_AS_PUBLISHED | SUBSCRIBE_NO_LOCAL);
    assert_false(subscribe_next(&rest, &filter, &options));

    whole = notation_read(&n, "a2 { 0001 s'a' s'b/#' }");
    assert_int_equal(packet_decode(whole, VERSION_3_1_1, &packet, &why), DECODE_DONE);
    assert_int_equal(packet.subscribe.count, 2);
    rest = packet.subscribe.filters;
    assert_true(unsubscribe_next(&rest, &filter));
    assert_true(unsubscribe_next(&rest, &filter));
    assert_true(bytes_equal(filter, BYTES("b/#")));
    assert_false(unsubscribe_next(&rest, &filter));
}

/* ----------------------------------------------------------------------- SUBACK, UNSUBACK ----- */

static const struct row suback_rows[] = {
    { V3, "90 { 0001 00 }", OK },
    { V4, "90 { 0001 00 01 02 80 }", OK },
    { V3, "90 { 0001 80 }", OK },       /* not in its standard, but on its wires */
    { V4, "90 { 0001 03 }", PROTOCOL }, /* [MQTT3-3.9.3-2] */
    { V4, "90 { 0001 87 }", PROTOCOL },
    { V4, "90 { 0001 }", PROTOCOL },
    { V4, "90 { 0000 00 }", PROTOCOL },
    { V4, "90 { 00 }", MALFORMED },
    { V5, "90 { 0001 00 00 01 02 87 }", OK },
    { V5, "90 { 0001 { 1f s'why' 26 s'a' s'b' } 80 }", OK },
    { V5, "90 { 0001 00 11 }", PROTOCOL }, /* [MQTT-3.9.3-2] */
    { V5, "90 { 0001 00 }", PROTOCOL },
    { V5, "90 { 0001 { 0b 01 } 00 }", PROTOCOL },

    { V3, "b0 { 0001 }", OK },
    { V4, "b0 { 0001 }", OK },
    { V4, "b0 { 0001 00 }", MALFORMED }, /* two bytes, no more */
    { V4, "b0 { 0000 }", PROTOCOL },
    { V5, "b0 { 0001 00 00 11 8f }", OK },
    { V5, "b0 { 0001 00 01 }", PROTOCOL }, /* [MQTT-3.11.3-2] */
    { V5, "b0 { 0001 00 }", PROTOCOL },
    { V5, "b0 { 0001 }", MALFORMED },
};

static void test_suback(void **state)
{
    CHECK(suback_rows);
}

/* ---------------------------------------------------------------------- DISCONNECT, AUTH ------ */

static const struct row disconnect_rows[] = {
    { ANY, "e0 { }", OK },
    { V3, "e0 { 00 }", MALFORMED },
    { V4, "e0 { 00 }", MALFORMED },
    { V5, "e0 { 00 }", OK },
    { V5, "e0 { 04 }", OK },
    { V5, "e0 { 8e 00 }", OK },
    { V5, "e0 { 00 { 11 0000000a 26 s'a' s'b' } }", OK },
    { V5, "e0 { 9d { 1c s'elsewhere' 1f s'why' } }", OK },
    { V5, "e0 { 01 }", PROTOCOL }, /* [MQTT-3.14.2-1] */
    { V5, "e0 { 84 }", PROTOCOL },
    { V5, "e0 { 00 05 }", MALFORMED },
    { V5, "e0 { 00 00 00 }", MALFORMED },
    { V5, "e0 { 00 { 21 0001 } }", PROTOCOL },

    { V3, "f0 { }", MALFORMED }, /* a reserved type before 5.0 */
    { V4, "f0 { }", MALFORMED },
    { V5, "f0 { }", OK },
    { V5, "f0 { 00 00 }", OK },
    { V5, "f0 { 18 { 15 s'SCRAM' 16 s'data' 1f s'why' 26 s'a' s'b' } }", OK },
    { V5, "f0 { 19 { 15 s'SCRAM' } }", OK },
    { V5, "f0 { 18 }", MALFORMED },   /* the length of properties may not be left out */
    { V5, "f0 { 18 00 }", PROTOCOL }, /* no method */
    { V5, "f0 { 18 { 16 s'data' } }", PROTOCOL },
    { V5, "f0 { 00 { 1f s'why' } }", PROTOCOL },
    { V5, "f0 { 87 { 15 s'SCRAM' } }", PROTOCOL }, /* [MQTT-3.15.2-1] */
    { V5, "f0 { 18 { 15 s'SCRAM' } 00 }", MALFORMED },
    { V5, "f0 { 18 { 15 s'SCRAM' 15 s'SCRAM' } }", PROTOCOL },
};

static void test_disconnect(void **state)
{
    CHECK(disconnect_rows);
}

/* --------------------------------------------------------- what is left after a refusal ------- */

static void test_an_answer_has_what_it_needs(void **state)
{
    struct notation n;
    struct packet packet;
    enum reason why;
    (void)packet_decode(notation_read(&n, "10 { s'MQTT' 05 03 003c 00 s'id' }"), ANY, &packet,
                        &why);
    assert_int_equal(packet.connect.version, VERSION_5_0);
    (void)packet_decode(notation_read(&n, "10 { s'MQTT' 07 02 003c s'id' }"), ANY, &packet, &why);
    assert_int_equal(packet.connect.version, VERSION_5_0); /* to answer in */
    (void)packet_decode(notation_read(&n, "10 { s'MQTT' 02 02 003c s'id' }"), ANY, &packet, &why);
    assert_int_equal(packet.connect.version, VERSION_3_1_1);
    (void)packet_decode(notation_read(&n, "11 { s'MQTT' 05 02 003c }"), ANY, &packet, &why);
    assert_int_equal(packet.connect.version, VERSION_UNKNOWN);

    (void)packet_decode(notation_read(&n, "34 { s'a/#' 0007 }"), V4, &packet, &why);
    assert_int_equal(why, TOPIC_NAME);
    assert_int_equal(packet.publish.qos, 2);
    assert_int_equal(packet.publish.packet_id, 7);
    (void)packet_decode(notation_read(&n, "32 { 0001 ff 0007 }"), V4, &packet, &why);
    assert_int_equal(packet.publish.qos, 1);
    assert_int_equal(packet.publish.packet_id, 0);
    (void)packet_decode(notation_read(&n, "36 { s'a' 0007 }"), V4, &packet, &why);
    assert_int_equal(packet.publish.qos, 0);
    assert_int_equal(packet.publish.packet_id, 0);
}

/* Strings of 65535 bytes, the longest there are [MQTT-4.7.3-3]. */
static void test_longest_strings(void **state)
{
    struct packet packet = { .type = PACKET_PUBLISH }, again;
    uint8_t *topic = malloc(65535);
    assert_non_null(topic);
    memset(topic, 'a', 65535);
    packet.publish.topic = bytes_of(topic, 65535);
    size_t size = packet_size(&packet, V4);
    assert_int_equal(size, 1 + 3 + 2 + 65535);
    uint8_t *out = malloc(size);
    assert_non_null(out);
    packet_encode(&packet, V4, out);
    enum reason why;
    assert_int_equal(packet_decode(bytes_of(out, size), V4, &again, &why), DECODE_DONE);
    assert_true(bytes_equal(again.publish.topic, packet.publish.topic));
    free(out);
    free(topic);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_connect_fields),
        cmocka_unit_test(test_connack),
        cmocka_unit_test(test_publish),
        cmocka_unit_test(test_publish_fields),
        cmocka_unit_test(test_acks),
        cmocka_unit_test(test_subscribe),
        cmocka_unit_test(test_walk_of_filters),
        cmocka_unit_test(test_suback),
        cmocka_unit_test(test_disconnect),
        cmocka_unit_test(test_an_answer_has_what_it_needs),
        cmocka_unit_test(test_longest_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
