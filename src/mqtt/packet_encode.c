/* mqtt/packet_encode.c: what packet_decode.c reads, written.
 *
 * Each packet has a _size, which counts the bytes after the fixed header, and a _write, which
 * writes them; packet_encode asserts that the two agree to the byte.  What a version cannot say is
 * left out in both, so a caller fills in the same struct whoever listens. */
#include "mqtt/packet.h"
#include "mqtt/wire.h"

/* --------------------------------------------------------------------------------- parts ------ */

static size_t section_size(const struct properties *p, enum version version)
{
    if (!version_has_properties(version))
        return 0;
    size_t size = properties_size(p);
    return varint_size(size) + size;
}

static uint8_t *section_write(const struct properties *p, enum version version, uint8_t *out)
{
    if (!version_has_properties(version))
        return out;
    out = write_varint(out, properties_size(p)); /* zero, if there are none [MQTT-2.2.2-1] */
    return properties_encode(p, out);
}

static size_t binary_size(struct bytes bytes)
{
    return 2 + bytes.size;
}

/* ------------------------------------------------------------------------------- CONNECT ------ */

static struct bytes protocol_name(enum version version)
{
    return version == VERSION_3_1 ? BYTES("MQIsdp") : BYTES("MQTT");
}

static uint8_t connect_flags(const struct connect *c)
{
    unsigned flags = (unsigned)c->clean_start << 1 | (unsigned)c->has_password << 6 |
                     (unsigned)c->has_username << 7;
    if (c->has_will)
        flags |= 1 << 2 | (unsigned)c->will.qos << 3 | (unsigned)c->will.retain << 5;
    return (uint8_t)flags;
}

static size_t connect_size(const struct connect *c)
{
    size_t size = binary_size(protocol_name(c->version)) + 1 + 1 + 2;
    size += section_size(&c->properties, c->version) + binary_size(c->client_id);
    if (c->has_will)
        size += section_size(&c->will.properties, c->version) + binary_size(c->will.topic) +
                binary_size(c->will.payload);
    if (c->has_username)
        size += binary_size(c->username);
    if (c->has_password)
        size += binary_size(c->password);
    return size;
}

static uint8_t *connect_write(const struct connect *c, uint8_t *out)
{
    assert(c->version == VERSION_3_1 || c->version == VERSION_3_1_1 || c->version == VERSION_5_0);
    assert(c->has_username || !c->has_password || c->version == VERSION_5_0);
    bool says_bridge = c->is_bridge && c->version != VERSION_5_0;
    out = write_binary(out, protocol_name(c->version));
    out = write_u8(out, (uint8_t)(c->version | (says_bridge ? 0x80 : 0)));
    out = write_u8(out, connect_flags(c));
    out = write_u16(out, c->keep_alive_s);
    out = section_write(&c->properties, c->version, out);
    out = write_binary(out, c->client_id); /* the order is fixed [MQTT-3.1.3-1] */
    if (c->has_will) {
        out = section_write(&c->will.properties, c->version, out);
        out = write_binary(out, c->will.topic);
        out = write_binary(out, c->will.payload);
    }
    if (c->has_username)
        out = write_binary(out, c->username);
    if (c->has_password)
        out = write_binary(out, c->password);
    return out;
}

/* ------------------------------------------------------------------------------- CONNACK ------ */

static size_t connack_size(const struct connack *c, enum version version)
{
    return 2 + section_size(&c->properties, version);
}

static uint8_t *connack_write(const struct connack *c, enum version version, uint8_t *out)
{
    /* Never present in a refusal [MQTT-3.2.2-6], nor in 3.1. */
    bool present = c->session_present && c->reason == REASON_SUCCESS && version != VERSION_3_1;
    out = write_u8(out, present);
    out = write_u8(out, version_has_reason_codes(version) ? (uint8_t)c->reason
                                                          : reason_to_connack_3(c->reason));
    return section_write(&c->properties, version, out);
}

/* ------------------------------------------------------------------------------- PUBLISH ------ */

/* All but the payload, after the fixed header. */
static size_t publish_head_rest_size(const struct publish *p, enum version version)
{
    return binary_size(p->topic) + (p->qos > 0 ? 2 : 0) + section_size(&p->properties, version);
}

size_t publish_head_size(const struct publish *p, enum version version)
{
    size_t rest = publish_head_rest_size(p, version);
    return 1 + varint_size(rest + p->payload.size) + rest;
}

static uint8_t *publish_head_write(const struct publish *p, enum version version, size_t remaining,
                                   uint8_t *out)
{
    assert(p->qos <= 2);                         /* [MQTT-3.3.1-4] */
    assert((p->qos > 0) == (p->packet_id != 0)); /* [MQTT-2.2.1-2] [MQTT-2.2.1-4] */
    bool dup = p->dup && p->qos > 0;             /* [MQTT-3.3.1-2] */
    out = write_u8(out, (uint8_t)(PACKET_PUBLISH << 4 | dup << 3 | p->qos << 1 | p->retain));
    out = write_varint(out, remaining);
    out = write_binary(out, p->topic);
    if (p->qos > 0)
        out = write_u16(out, p->packet_id);
    return section_write(&p->properties, version, out);
}

/* The Remaining Length of a packet of `size` bytes. */
static size_t remaining_of(size_t size)
{
    size_t length_size = 1;
    while (varint_size(size - 1 - length_size) > length_size)
        length_size++;
    return size - 1 - length_size;
}

void publish_head_encode(const struct publish *p, enum version version, size_t head, uint8_t *out)
{
    size_t remaining = remaining_of(head + p->payload.size);
    const uint8_t *end = publish_head_write(p, version, remaining, out);
    assert(end == out + head);
}

/* --------------------------------------- PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT, AUTH -----
 */

/* A Reason Code and properties, of which success without properties needs neither, and a bare
 * Reason Code, where that is allowed, does without the length of properties. */
static size_t outcome_size(enum reason reason, const struct properties *p, enum version version,
                           bool may_stand_alone)
{
    if (!version_has_reason_codes(version))
        return 0;
    size_t properties = properties_size(p);
    if (properties == 0 && reason == REASON_SUCCESS)
        return 0;
    if (properties == 0 && may_stand_alone)
        return 1;
    return 1 + varint_size(properties) + properties;
}

static uint8_t *outcome_write(enum reason reason, const struct properties *p, enum version version,
                              bool may_stand_alone, uint8_t *out)
{
    size_t size = outcome_size(reason, p, version, may_stand_alone);
    if (size > 0)
        out = write_u8(out, (uint8_t)reason);
    return size > 1 ? section_write(p, version, out) : out;
}

static size_t ack_size(const struct ack *a, enum version version)
{
    return 2 + outcome_size(a->reason, &a->properties, version, true);
}

static uint8_t *ack_write(const struct ack *a, enum version version, uint8_t *out)
{
    out = write_u16(out, a->packet_id);
    return outcome_write(a->reason, &a->properties, version, true, out);
}

/* ------------------------------------------------- SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK ----
 */

static size_t subscribe_size(const struct subscribe *s, enum version version)
{
    return 2 + section_size(&s->properties, version) + s->filters.size;
}

static uint8_t *subscribe_write(const struct subscribe *s, enum version version, uint8_t *out)
{
    assert(s->packet_id != 0);    /* [MQTT-2.2.1-3] */
    assert(s->filters.size >= 2); /* [MQTT-3.8.3-2] [MQTT-3.10.3-2] */
    out = write_u16(out, s->packet_id);
    out = section_write(&s->properties, version, out);
    return write_bytes(out, s->filters);
}

static bool suback_has_reasons(int type, enum version version)
{
    return type == PACKET_SUBACK || version_has_reason_codes(version);
}

static size_t suback_size(const struct suback *s, int type, enum version version)
{
    size_t reasons = suback_has_reasons(type, version) ? s->reasons.size : 0;
    return 2 + section_size(&s->properties, version) + reasons;
}

static uint8_t *suback_write(const struct suback *s, int type, enum version version, uint8_t *out)
{
    out = write_u16(out, s->packet_id);
    out = section_write(&s->properties, version, out);
    if (!suback_has_reasons(type, version))
        return out;
    if (version_has_reason_codes(version))
        return write_bytes(out, s->reasons);
    for (size_t i = 0; i < s->reasons.size; i++) {
        uint8_t code = s->reasons.data[i];
        out = write_u8(out, code < 0x80 ? code : 0x80); /* the one failure [MQTT3-3.9.3-2] */
    }
    return out;
}

/* ----------------------------------------------------------------------------- all of them ---- */

/* Bytes after the fixed header. */
static size_t remaining_size(const struct packet *p, enum version version)
{
    switch (p->type) {
    case PACKET_CONNECT:
        return connect_size(&p->connect);
    case PACKET_CONNACK:
        return connack_size(&p->connack, version);
    case PACKET_PUBLISH:
        return publish_head_rest_size(&p->publish, version) + p->publish.payload.size;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        return ack_size(&p->ack, version);
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE:
        return subscribe_size(&p->subscribe, version);
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
        return suback_size(&p->suback, p->type, version);
    case PACKET_PINGREQ:
    case PACKET_PINGRESP:
        return 0;
    case PACKET_DISCONNECT:
        return outcome_size(p->disconnect.reason, &p->disconnect.properties, version, true);
    case PACKET_AUTH:
        return outcome_size(p->disconnect.reason, &p->disconnect.properties, version, false);
    }
    assert(false && "a packet type");
    return 0;
}

size_t packet_size(const struct packet *p, enum version version)
{
    size_t remaining = remaining_size(p, version);
    return 1 + varint_size(remaining) + remaining;
}

static uint8_t *fixed_header_write(const struct packet *p, size_t remaining, uint8_t *out)
{
    bool has_fixed_2 =
        p->type == PACKET_PUBREL || p->type == PACKET_SUBSCRIBE || p->type == PACKET_UNSUBSCRIBE;
    out = write_u8(out, (uint8_t)(p->type << 4 | (has_fixed_2 ? 2 : 0)));
    return write_varint(out, remaining);
}

void ack_plain_encode(enum packet_type type, uint16_t packet_id, uint8_t *out)
{
    out = write_u8(out, (uint8_t)(type << 4 | (type == PACKET_PUBREL ? 2 : 0)));
    out = write_u8(out, 2);
    (void)write_u16(out, packet_id);
}

static uint8_t *body_write(const struct packet *p, enum version version, uint8_t *out)
{
    switch (p->type) {
    case PACKET_CONNECT:
        return connect_write(&p->connect, out);
    case PACKET_CONNACK:
        return connack_write(&p->connack, version, out);
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        return ack_write(&p->ack, version, out);
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE:
        return subscribe_write(&p->subscribe, version, out);
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
        return suback_write(&p->suback, p->type, version, out);
    case PACKET_PINGREQ:
    case PACKET_PINGRESP:
        return out;
    case PACKET_DISCONNECT:
        return outcome_write(p->disconnect.reason, &p->disconnect.properties, version, true, out);
    case PACKET_AUTH:
        assert(version == VERSION_5_0);
        return outcome_write(p->disconnect.reason, &p->disconnect.properties, version, false, out);
    case PACKET_PUBLISH:
        break; /* its flags are not fixed: it writes its own header */
    }
    assert(false && "a packet with a fixed header that says nothing");
    return out;
}

void packet_encode(const struct packet *p, enum version version, uint8_t *out)
{
    if (p->type == PACKET_PUBLISH) {
        out = publish_head_write(&p->publish, version, remaining_size(p, version), out);
        (void)write_bytes(out, p->publish.payload);
        return;
    }
    size_t remaining = remaining_size(p, version);
    uint8_t *body = fixed_header_write(p, remaining, out);
    uint8_t *end = body_write(p, version, body);
    assert((size_t)(end - body) == remaining);
}
