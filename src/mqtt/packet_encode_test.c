/* mqtt/packet_encode_test.c: what is encoded, to the byte, and the law decode(encode(x)) == x for
 * packets drawn at random. */
#include "mqtt/notation.h"
#include "mqtt/packet.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define V3 VERSION_3_1
#define V4 VERSION_3_1_1
#define V5 VERSION_5_0

/* ----------------------------------------------------------------------------- to the byte ---- */

static void check(const struct packet *p, enum version version, const char *expected)
{
    struct notation n;
    struct bytes wanted = notation_read(&n, expected);
    size_t size = packet_size(p, version);
    uint8_t *out = malloc(size); /* exactly: a byte too many is seen by a sanitizer */
    assert_non_null(out);
    packet_encode(p, version, out);
    if (!bytes_equal(bytes_of(out, size), wanted))
        fail_msg("version %d: not %s", version, expected);
    free(out);
}

static void test_connect(void **state)
{
    struct packet p = { .type = PACKET_CONNECT };
    struct connect *c = &p.connect;
    c->version = V4;
    c->clean_start = true;
    c->keep_alive_s = 60;
    c->client_id = BYTES("id");
    check(&p, V4, "10 { s'MQTT' 04 02 003c s'id' }");
    c->is_bridge = true;
    check(&p, V4, "10 { s'MQTT' 84 02 003c s'id' }");
    c->version = V3;
    check(&p, V3, "10 { s'MQIsdp' 83 02 003c s'id' }");
    c->version = V5; /* where bridges have other means */
    c->has_password = true;
    c->password = BYTES("secret");
    check(&p, V5, "10 { s'MQTT' 05 42 003c 00 s'id' s'secret' }");
    c->has_username = true;
    c->username = BYTES("me");
    c->has_will = true;
    c->will.qos = 2;
    c->will.retain = true;
    c->will.topic = BYTES("will");
    c->will.properties.will_delay_interval = 10;
    properties_add(&c->will.properties, PROPERTY_WILL_DELAY_INTERVAL);
    check(&p, V5, "10 { s'MQTT' 05 f6 003c 00 s'id' { 18 0000000a } s'will' s'' s'me' s'secret' }");
    c->version = V4;
    c->is_bridge = false;
    check(&p, V4, "10 { s'MQTT' 04 f6 003c s'id' s'will' s'' s'me' s'secret' }");
}

static void test_connack(void **state)
{
    struct packet p = { .type = PACKET_CONNACK, .connack.session_present = true };
    check(&p, V3, "20 { 00 00 }"); /* not yet invented */
    check(&p, V4, "20 { 01 00 }");
    check(&p, V5, "20 { 01 00 00 }"); /* [MQTT-2.2.2-1] */
    p.connack.reason = REASON_NOT_AUTHORIZED;
    check(&p, V4, "20 { 00 05 }");    /* [MQTT3-3.2.2-4] */
    check(&p, V5, "20 { 00 87 00 }"); /* [MQTT-3.2.2-6] */
    p.connack.reason = REASON_SERVER_BUSY;
    check(&p, V4, "20 { 00 03 }");
    p.connack = (struct connack){ 0 };
    p.connack.properties.topic_alias_maximum = 10;
    p.connack.properties.maximum_packet_size = 2000000;
    p.connack.properties.receive_maximum = 20;
    properties_add(&p.connack.properties, PROPERTY_TOPIC_ALIAS_MAXIMUM);
    properties_add(&p.connack.properties, PROPERTY_MAXIMUM_PACKET_SIZE);
    properties_add(&p.connack.properties, PROPERTY_RECEIVE_MAXIMUM);
    check(&p, V5, "20 { 00 00 { 22 000a 27 001e8480 21 0014 } }");
    check(&p, V4, "20 { 00 00 }");
}

static void test_publish(void **state)
{
    struct packet p = { .type = PACKET_PUBLISH };
    p.publish.topic = BYTES("a/b");
    p.publish.payload = BYTES("payload");
    p.publish.dup = true; /* of a delivery that is repeated, and never at QoS 0 */
    check(&p, V4, "30 { s'a/b' 'payload' }"); /* [MQTT-3.3.1-2] [MQTT-4.3.1-1] */
    check(&p, V5, "30 { s'a/b' 00 'payload' }");
    p.publish.qos = 1;
    p.publish.retain = true;
    p.publish.packet_id = 0x1234;
    check(&p, V4, "3b { s'a/b' 1234 'payload' }");
    p.publish.properties.topic_alias = 3;
    properties_add(&p.publish.properties, PROPERTY_TOPIC_ALIAS);
    p.publish.topic = BYTES("");
    check(&p, V5, "3b { s'' 1234 { 23 0003 } 'payload' }");
}

static void test_acks(void **state)
{
    struct packet p = { .type = PACKET_PUBACK, .ack.packet_id = 7 };
    check(&p, V4, "40 { 0007 }");
    check(&p, V5, "40 { 0007 }"); /* success is short */
    p.ack.reason = REASON_NO_MATCHING_SUBSCRIBERS;
    check(&p, V4, "40 { 0007 }");
    check(&p, V5, "40 { 0007 10 }");
    p.ack.properties.reason_string = BYTES("nobody");
    properties_add(&p.ack.properties, PROPERTY_REASON_STRING);
    check(&p, V5, "40 { 0007 10 { 1f s'nobody' } }");
    p.ack.reason = REASON_SUCCESS;
    p.type = PACKET_PUBREC;
    check(&p, V5, "50 { 0007 00 { 1f s'nobody' } }");
    p.ack.properties.present = 0;
    p.type = PACKET_PUBREL;
    check(&p, V5, "62 { 0007 }"); /* [MQTT-3.6.1-1] */
    p.type = PACKET_PUBCOMP;
    p.ack.reason = REASON_PACKET_IDENTIFIER_NOT_FOUND;
    check(&p, V5, "70 { 0007 92 }");
}

static void test_subscribe(void **state)
{
    struct packet p = { .type = PACKET_SUBSCRIBE, .subscribe.packet_id = 7 };
    struct notation n;
    p.subscribe.filters = notation_read(&n, "s'a' 01 s'b/#' 02");
    p.subscribe.properties.subscription_identifier = 200;
    properties_add(&p.subscribe.properties, PROPERTY_SUBSCRIPTION_IDENTIFIER);
    check(&p, V4, "82 { 0007 s'a' 01 s'b/#' 02 }");             /* [MQTT3-3.8.1-1] */
    check(&p, V5, "82 { 0007 { 0b c801 } s'a' 01 s'b/#' 02 }"); /* [MQTT-3.8.1-1] */
    p.type = PACKET_UNSUBSCRIBE;
    p.subscribe.properties.present = 0;
    p.subscribe.filters = notation_read(&n, "s'a'");
    check(&p, V4, "a2 { 0007 s'a' }");    /* [MQTT3-3.10.1-1] */
    check(&p, V5, "a2 { 0007 00 s'a' }"); /* [MQTT-3.10.1-1] */
}

static void test_suback(void **state)
{
    struct packet p = { .type = PACKET_SUBACK, .suback.packet_id = 7 };
    p.suback.reasons = BYTES("\x00\x01\x02\x87");
    check(&p, V5, "90 { 0007 00 00 01 02 87 }");
    check(&p, V4, "90 { 0007 00 01 02 80 }"); /* one word for all failures [MQTT3-3.9.3-2] */
    p.type = PACKET_UNSUBACK;
    p.suback.reasons = BYTES("\x00\x11");
    check(&p, V5, "b0 { 0007 00 00 11 }");
    check(&p, V4, "b0 { 0007 }");
}

static void test_the_small_ones(void **state)
{
    struct packet p = { .type = PACKET_PINGREQ };
    check(&p, V4, "c0 00");
    p.type = PACKET_PINGRESP;
    check(&p, V5, "d0 00");
    p = (struct packet){ .type = PACKET_DISCONNECT };
    check(&p, V4, "e0 00");
    check(&p, V5, "e0 00");
    p.disconnect.reason = REASON_MALFORMED_PACKET;
    check(&p, V4, "e0 00");
    check(&p, V5, "e0 01 81");
    p.disconnect.properties.server_reference = BYTES("b");
    properties_add(&p.disconnect.properties, PROPERTY_SERVER_REFERENCE);
    check(&p, V5, "e0 { 81 { 1c s'b' } }");
    p = (struct packet){ .type = PACKET_AUTH };
    check(&p, V5, "f0 00");
    p.disconnect.reason = REASON_CONTINUE_AUTHENTICATION;
    p.disconnect.properties.authentication_method = BYTES("SCRAM");
    properties_add(&p.disconnect.properties, PROPERTY_AUTHENTICATION_METHOD);
    check(&p, V5, "f0 { 18 { 15 s'SCRAM' } }");
}

/* A PUBLISH can be too large to say; its size tells, before anybody tries. */
static void test_too_large(void **state)
{
    struct packet p = { .type = PACKET_PUBLISH };
    p.publish.topic = BYTES("a");
    p.publish.payload = bytes_of("", 268435455 - 3); /* never looked at */
    assert_int_equal(packet_size(&p, V4), PACKET_SIZE_MAX);
    p.publish.payload.size++;
    assert_true(packet_size(&p, V4) > PACKET_SIZE_MAX);
}

/* ------------------------------------------------------------------------------ at random ----- */

struct dice {
    uint64_t state;
    uint8_t pool[16384]; /* where the strings of one packet live */
    size_t used;
};

static uint32_t roll(struct dice *d, uint32_t sides)
{
    d->state += 0x9e3779b97f4a7c15; /* splitmix64 */
    uint64_t x = d->state;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return (uint32_t)((x ^ x >> 31) % sides);
}

static uint32_t roll_32(struct dice *d)
{
    return roll(d, 0x10000) << 16 | roll(d, 0x10000);
}

static bool coin(struct dice *d)
{
    return roll(d, 2) == 0;
}

static struct bytes take(struct dice *d, size_t size)
{
    assert_true(d->used + size <= sizeof d->pool);
    struct bytes taken = { d->pool + d->used, size };
    d->used += size;
    return taken;
}

/* Fit for a topic name: at least one character, no wildcard. */
static struct bytes random_name(struct dice *d)
{
    static const char *const parts[] = { "a", "/", "$", "temp", "\xc3\xa9", "\xf0\x9f\x93\xa1" };
    struct bytes start = take(d, 0);
    for (uint32_t n = 1 + roll(d, 5); n > 0; n--) {
        const char *part = parts[roll(d, 6)];
        struct bytes more = take(d, strlen(part));
        memcpy(d->pool + (more.data - d->pool), part, more.size);
    }
    return bytes_of(start.data, (size_t)(d->pool + d->used - start.data));
}

static struct bytes random_string(struct dice *d)
{
    return coin(d) ? random_name(d) : take(d, 0);
}

static struct bytes random_binary(struct dice *d)
{
    struct bytes taken = take(d, roll(d, 4) == 0 ? roll(d, 300) : roll(d, 10));
    for (size_t i = 0; i < taken.size; i++)
        d->pool[(size_t)(taken.data - d->pool) + i] = (uint8_t)roll(d, 256);
    return taken;
}

static void random_user_properties(struct dice *d, struct properties *p)
{
    uint8_t list[512], *end = list;
    p->user_count = roll(d, 4) == 0 ? 1 + roll(d, 4) : 0;
    for (uint32_t i = 0; i < p->user_count; i++) {
        end = write_u8(end, PROPERTY_USER_PROPERTY);
        end = write_binary(end, random_string(d));
        end = write_binary(end, random_string(d));
    }
    p->raw = take(d, (size_t)(end - list));
    memcpy(d->pool + (p->raw.data - d->pool), list, p->raw.size);
}

static void random_values(struct dice *d, struct properties *p)
{
    p->payload_format_indicator = coin(d);
    p->request_problem_information = coin(d);
    p->request_response_information = coin(d);
    p->maximum_qos = coin(d);
    p->retain_available = coin(d);
    p->wildcard_subscription_available = coin(d);
    p->subscription_identifier_available = coin(d);
    p->shared_subscription_available = coin(d);
    p->server_keep_alive = (uint16_t)roll(d, 65536);
    p->receive_maximum = (uint16_t)(1 + roll(d, 65535));
    p->topic_alias_maximum = (uint16_t)roll(d, 65536);
    p->topic_alias = (uint16_t)(1 + roll(d, 65535));
    p->message_expiry_interval = roll_32(d);
    p->subscription_identifier = 1 + roll(d, 1u << (7 * (1 + roll(d, 4)) - 1));
    p->session_expiry_interval = roll_32(d);
    p->will_delay_interval = roll_32(d);
    p->maximum_packet_size = 1 + roll(d, UINT32_MAX);
    p->content_type = random_string(d);
    p->response_topic = random_name(d);
    p->correlation_data = random_binary(d);
    p->assigned_client_identifier = random_string(d);
    p->authentication_method = random_string(d);
    p->authentication_data = random_binary(d);
    p->response_information = random_string(d);
    p->server_reference = random_string(d);
    p->reason_string = random_string(d);
}

/* Only what may stand in this packet, and in this version. */
static void random_properties(struct dice *d, int packet, enum version version,
                              struct properties *p)
{
    if (version != V5)
        return;
    random_values(d, p);
    random_user_properties(d, p);
#define PROPERTY(id, name, type, text, packets)                                                    \
    if (((packets) >> packet & 1) != 0 && roll(d, 3) == 0)                                         \
        properties_add(p, id);
    PROPERTY_TABLE(PROPERTY)
#undef PROPERTY
    p->present &= ~((uint64_t)1 << PROPERTY_USER_PROPERTY);
    if (properties_have(p, PROPERTY_AUTHENTICATION_DATA))
        properties_add(p, PROPERTY_AUTHENTICATION_METHOD);
}

static uint8_t random_code(struct dice *d, int type, enum version version)
{
    for (;;) {
        uint8_t code = (uint8_t)roll(d, 256);
        bool allowed = version == V5           ? reason_is_allowed(code, type)
                       : type != PACKET_SUBACK ? code == 0
                                               : code <= 2 || code == 0x80;
        if (allowed)
            return code;
    }
}

static void random_connect(struct dice *d, enum version version, struct connect *c)
{
    c->version = version;
    c->is_bridge = version != V5 && coin(d);
    c->clean_start = coin(d);
    c->keep_alive_s = (uint16_t)roll(d, 65536);
    c->client_id = random_string(d);
    random_properties(d, PACKET_CONNECT, version, &c->properties);
    c->has_will = coin(d);
    if (c->has_will) {
        c->will.qos = (uint8_t)roll(d, 3);
        c->will.retain = coin(d);
        c->will.topic = random_name(d);
        c->will.payload = random_binary(d);
        random_properties(d, 0, version, &c->will.properties);
    }
    c->has_username = coin(d);
    c->username = random_string(d);
    c->has_password = coin(d) && (c->has_username || version == V5);
    c->password = random_binary(d);
}

static void random_publish(struct dice *d, enum version version, struct publish *p)
{
    p->qos = (uint8_t)roll(d, 3);
    p->dup = p->qos > 0 && coin(d);
    p->retain = coin(d);
    p->packet_id = (uint16_t)(p->qos > 0 ? 1 + roll(d, 65535) : 0);
    p->payload = random_binary(d);
    random_properties(d, PACKET_PUBLISH, version, &p->properties);
    p->topic =
        properties_have(&p->properties, PROPERTY_TOPIC_ALIAS) ? random_string(d) : random_name(d);
}

static void random_subscribe(struct dice *d, int type, enum version version, struct subscribe *s)
{
    uint8_t list[512], *end = list;
    s->packet_id = (uint16_t)(1 + roll(d, 65535));
    s->count = 1 + roll(d, 5);
    for (uint32_t i = 0; i < s->count; i++) {
        end = write_binary(end, random_string(d));
        if (type == PACKET_SUBSCRIBE)
            end = write_u8(end, (uint8_t)(roll(d, 3) | (version == V5 ? roll(d, 12) << 2 : 0)));
    }
    s->filters = take(d, (size_t)(end - list));
    memcpy(d->pool + (s->filters.data - d->pool), list, s->filters.size);
    random_properties(d, type, version, &s->properties);
}

static void random_suback(struct dice *d, int type, enum version version, struct suback *s)
{
    s->packet_id = (uint16_t)(1 + roll(d, 65535));
    random_properties(d, type, version, &s->properties);
    if (type == PACKET_UNSUBACK && version != V5)
        return;
    s->reasons = take(d, 1 + roll(d, 5));
    for (size_t i = 0; i < s->reasons.size; i++)
        d->pool[(size_t)(s->reasons.data - d->pool) + i] = random_code(d, type, version);
}

static void random_connack(struct dice *d, enum version version, struct connack *c)
{
    c->reason = version == V5 ? random_code(d, PACKET_CONNACK, version)
                              : reason_from_connack_3((uint8_t)roll(d, 6));
    c->session_present = c->reason == REASON_SUCCESS && version != V3 && coin(d);
    random_properties(d, PACKET_CONNACK, version, &c->properties);
}

static void random_disconnect(struct dice *d, int type, enum version version,
                              struct disconnect *out)
{
    out->reason = random_code(d, type, version);
    random_properties(d, type, version, &out->properties);
    if (type == PACKET_AUTH)
        properties_add(&out->properties, PROPERTY_AUTHENTICATION_METHOD);
}

static void random_packet(struct dice *d, int type, enum version version, struct packet *p)
{
    memset(p, 0, sizeof *p);
    d->used = 0;
    p->type = (enum packet_type)type;
    switch (p->type) {
    case PACKET_CONNECT:
        random_connect(d, version, &p->connect);
        break;
    case PACKET_CONNACK:
        random_connack(d, version, &p->connack);
        break;
    case PACKET_PUBLISH:
        random_publish(d, version, &p->publish);
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        p->ack.packet_id = (uint16_t)(1 + roll(d, 65535));
        p->ack.reason = random_code(d, type, version);
        random_properties(d, type, version, &p->ack.properties);
        break;
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE:
        random_subscribe(d, type, version, &p->subscribe);
        break;
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
        random_suback(d, type, version, &p->suback);
        break;
    case PACKET_DISCONNECT:
    case PACKET_AUTH:
        random_disconnect(d, type, version, &p->disconnect);
        break;
    case PACKET_PINGREQ:
    case PACKET_PINGRESP:
        break;
    }
}

/* The decoded list starts with the fields and ends with what was raw.  Fields are compared as they
 * would be encoded. */
static void check_properties(const struct properties *sent, const struct properties *got)
{
    uint64_t user = (uint64_t)(sent->user_count > 0) << PROPERTY_USER_PROPERTY;
    assert_true(got->present == (sent->present | user));
    assert_int_equal(got->user_count, sent->user_count);
    assert_int_equal(got->subscription_id_count,
                     properties_have(sent, PROPERTY_SUBSCRIPTION_IDENTIFIER));
    assert_int_equal(got->raw.size, properties_size(sent));

    uint8_t was[4096], is[4096];
    struct properties again = *got;
    again.raw = bytes_after(got->raw, got->raw.size - sent->raw.size);
    assert_int_equal(properties_size(&again), properties_size(sent));
    assert_true(properties_size(sent) <= sizeof was);
    size_t size = (size_t)(properties_encode(sent, was) - was);
    (void)properties_encode(&again, is);
    assert_memory_equal(was, is, size);
    assert_true(bytes_equal(got->raw, bytes_of(was, size)));
}

static void check_connect(const struct connect *sent, const struct connect *got)
{
    assert_int_equal(got->version, sent->version);
    assert_int_equal(got->is_bridge, sent->is_bridge);
    assert_int_equal(got->clean_start, sent->clean_start);
    assert_int_equal(got->keep_alive_s, sent->keep_alive_s);
    assert_true(bytes_equal(got->client_id, sent->client_id));
    check_properties(&sent->properties, &got->properties);
    assert_int_equal(got->has_will, sent->has_will);
    if (sent->has_will) {
        assert_int_equal(got->will.qos, sent->will.qos);
        assert_int_equal(got->will.retain, sent->will.retain);
        assert_true(bytes_equal(got->will.topic, sent->will.topic));
        assert_true(bytes_equal(got->will.payload, sent->will.payload));
        check_properties(&sent->will.properties, &got->will.properties);
    }
    assert_int_equal(got->has_username, sent->has_username);
    assert_int_equal(got->has_password, sent->has_password);
    if (sent->has_username)
        assert_true(bytes_equal(got->username, sent->username));
    if (sent->has_password)
        assert_true(bytes_equal(got->password, sent->password));
}

static void check_publish(const struct publish *sent, const struct publish *got)
{
    assert_int_equal(got->dup, sent->dup);
    assert_int_equal(got->qos, sent->qos);
    assert_int_equal(got->retain, sent->retain);
    assert_int_equal(got->packet_id, sent->packet_id);
    assert_true(bytes_equal(got->topic, sent->topic));
    assert_true(bytes_equal(got->payload, sent->payload));
    check_properties(&sent->properties, &got->properties);
}

static void check_equal(const struct packet *sent, const struct packet *got)
{
    assert_int_equal(got->type, sent->type);
    switch (sent->type) {
    case PACKET_CONNECT:
        check_connect(&sent->connect, &got->connect);
        break;
    case PACKET_CONNACK:
        assert_int_equal(got->connack.session_present, sent->connack.session_present);
        assert_int_equal(got->connack.reason, sent->connack.reason);
        check_properties(&sent->connack.properties, &got->connack.properties);
        break;
    case PACKET_PUBLISH:
        check_publish(&sent->publish, &got->publish);
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        assert_int_equal(got->ack.packet_id, sent->ack.packet_id);
        assert_int_equal(got->ack.reason, sent->ack.reason);
        check_properties(&sent->ack.properties, &got->ack.properties);
        break;
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE:
        assert_int_equal(got->subscribe.packet_id, sent->subscribe.packet_id);
        assert_int_equal(got->subscribe.count, sent->subscribe.count);
        assert_true(bytes_equal(got->subscribe.filters, sent->subscribe.filters));
        check_properties(&sent->subscribe.properties, &got->subscribe.properties);
        break;
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
        assert_int_equal(got->suback.packet_id, sent->suback.packet_id);
        assert_true(bytes_equal(got->suback.reasons, sent->suback.reasons));
        check_properties(&sent->suback.properties, &got->suback.properties);
        break;
    case PACKET_DISCONNECT:
    case PACKET_AUTH:
        assert_int_equal(got->disconnect.reason, sent->disconnect.reason);
        check_properties(&sent->disconnect.properties, &got->disconnect.properties);
        break;
    case PACKET_PINGREQ:
    case PACKET_PINGRESP:
        break;
    }
}

/* Any cut of a packet's bytes is not a packet, whatever the frame then says. */
static void check_prefixes(struct bytes whole, enum version version)
{
    struct frame frame;
    struct packet packet;
    enum reason why;
    for (size_t size = 0; size < whole.size; size++) {
        assert_int_equal(frame_decode(bytes_of(whole.data, size), &frame), DECODE_MORE);
        assert_int_equal(packet_decode(bytes_of(whole.data, size), version, &packet, &why),
                         DECODE_BAD);
    }
}

enum { SEED = 1794, PACKETS_EACH = 400 };

static void test_decode_of_encode_is_the_same(void **state)
{
    static struct dice d = { .state = SEED };
    for (enum version version = V3; version <= V5; version++) {
        int last = version == V5 ? PACKET_AUTH : PACKET_DISCONNECT;
        for (int i = 0; i < PACKETS_EACH * last; i++) {
            struct packet sent, got;
            enum reason why;
            random_packet(&d, 1 + i % last, version, &sent);
            size_t size = packet_size(&sent, version);
            uint8_t *out = malloc(size);
            assert_non_null(out);
            packet_encode(&sent, version, out);
            memset(&got, 0x5a, sizeof got); /* what is absent must not be needed */
            if (packet_decode(bytes_of(out, size), version, &got, &why) != DECODE_DONE)
                fail_msg("version %d, packet %d: 0x%02x", version, i, why);
            check_equal(&sent, &got);
            check_prefixes(bytes_of(out, size), version);
            free(out);
        }
    }
}

static void test_plain_acknowledgements(void **state)
{
    static const enum version versions[] = { VERSION_3_1, VERSION_3_1_1, VERSION_5_0 };
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        for (enum packet_type type = PACKET_PUBACK; type <= PACKET_PUBCOMP; type++) {
            struct packet p = { .type = type, .ack.packet_id = 0x1234 };
            uint8_t whole[8], plain[ACK_PLAIN_SIZE];
            assert_int_equal(packet_size(&p, versions[i]), ACK_PLAIN_SIZE);
            packet_encode(&p, versions[i], whole);
            ack_plain_encode(type, 0x1234, plain);
            assert_memory_equal(plain, whole, ACK_PLAIN_SIZE);
        }
    }
}

static void test_head_and_payload_are_the_packet(void **state)
{
    static struct dice d = { .state = SEED };
    for (int i = 0; i < PACKETS_EACH; i++) {
        enum version version = i % 2 == 0 ? V4 : V5;
        struct packet p;
        uint8_t whole[8192], head[8192];
        random_packet(&d, PACKET_PUBLISH, version, &p);
        packet_encode(&p, version, whole);
        size_t size = publish_head_size(&p.publish, version);
        assert_int_equal(size + p.publish.payload.size, packet_size(&p, version));
        publish_head_encode(&p.publish, version, size, head);
        assert_memory_equal(head, whole, size);
        assert_true(bytes_equal(bytes_of(whole + size, p.publish.payload.size), p.publish.payload));
    }
}

/* A stream that arrives in pieces of any size yields the packets that were put in. */
static void test_chopped_stream(void **state)
{
    enum { PACKETS = 50 };
    static struct dice d = { .state = SEED };
    static uint8_t stream[PACKETS * 4096];
    size_t sizes[PACKETS], size = 0;
    for (int i = 0; i < PACKETS; i++) {
        struct packet p;
        random_packet(&d, 1 + i % PACKET_AUTH, V5, &p);
        packet_encode(&p, V5, stream + size);
        sizes[i] = packet_size(&p, V5);
        size += sizes[i];
    }
    for (int round = 0; round < 100; round++) {
        size_t start = 0, arrived = 0;
        int decoded = 0;
        while (decoded < PACKETS) {
            struct frame frame;
            struct packet packet;
            enum reason why;
            struct bytes in = { stream + start, arrived - start };
            enum decode_result result = frame_decode(in, &frame);
            assert_int_not_equal(result, DECODE_BAD);
            if (result == DECODE_MORE) {
                arrived += 1 + roll(&d, round == 0 ? 1 : 200);
                arrived = arrived < size ? arrived : size;
                continue;
            }
            assert_int_equal(frame.size, sizes[decoded]);
            assert_int_equal(packet_decode(bytes_of(in.data, frame.size), V5, &packet, &why),
                             DECODE_DONE);
            start += frame.size;
            decoded++;
        }
        assert_int_equal(start, size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_connack),
        cmocka_unit_test(test_publish),
        cmocka_unit_test(test_acks),
        cmocka_unit_test(test_subscribe),
        cmocka_unit_test(test_suback),
        cmocka_unit_test(test_the_small_ones),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_decode_of_encode_is_the_same),
        cmocka_unit_test(test_head_and_payload_are_the_packet),
        cmocka_unit_test(test_plain_acknowledgements),
        cmocka_unit_test(test_chopped_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
