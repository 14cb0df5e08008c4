/* mqtt/packet_decode.c: one function per Control Packet, each reading its fields in the order of
 * the standard's chapter on it.
 *
 *     frame -> flags fit the type? -> fields, front to back -> is anything left over?
 *
 * A fault is named where it is met: MALFORMED_PACKET for what cannot be read, PROTOCOL_ERROR for
 * what can be read but must not be said.  The structs are large and mostly optional; only what is
 * present is written.  Everything the codec alone can know is judged here; what takes a session, a
 * limit or the direction of travel (a Subscription Identifier from a Client, an alias above the
 * maximum) is the caller's. */
#include "mqtt/packet.h"
#include "mqtt/topic.h"
#include "mqtt/wire.h"

static enum reason decode_properties(struct reader *r, enum version version, int packet,
                                     struct properties *out)
{
    struct bytes list = { NULL, 0 };
    if (version_has_properties(version)) {
        uint32_t size;
        if (!read_varint(r, &size) || !read_bytes(r, size, &list))
            return REASON_MALFORMED_PACKET;
    }
    return properties_decode(list, packet, out);
}

static struct bytes read_rest(struct reader *r)
{
    struct bytes rest = bytes_of(r->next, reader_left(r));
    r->next = r->end;
    return rest;
}

static enum reason read_packet_id(struct reader *r, uint16_t *out)
{
    if (!read_u16(r, out))
        return REASON_MALFORMED_PACKET;
    return *out == 0 ? REASON_PROTOCOL_ERROR : REASON_SUCCESS; /* [MQTT-2.2.1-3] [MQTT-2.2.1-4] */
}

/* ------------------------------------------------------------------------------- CONNECT ------ */

enum {
    CONNECT_RESERVED = 0x01,
    CONNECT_CLEAN_START = 0x02,
    CONNECT_WILL = 0x04,
    CONNECT_WILL_RETAIN = 0x20,
    CONNECT_PASSWORD = 0x40,
    CONNECT_USERNAME = 0x80,
};

enum { LEVEL_BRIDGE = 0x80 }; /* "this 3.x Client is a bridge": older than the standards, in use */

/* [MQTT-3.1.2-1] [MQTT-3.1.2-2] [MQTT3-3.1.2-1] [MQTT3-3.1.2-2] */
static enum reason decode_protocol(struct reader *r, struct connect *out)
{
    struct bytes name;
    uint8_t level;
    if (!read_binary(r, &name) || !read_u8(r, &level))
        return REASON_MALFORMED_PACKET;

    uint8_t level_of_3 = level & (uint8_t)~LEVEL_BRIDGE;
    if (bytes_equal(name, BYTES("MQTT")) && level == VERSION_5_0)
        out->version = VERSION_5_0;
    else if (bytes_equal(name, BYTES("MQTT")) && level_of_3 == VERSION_3_1_1)
        out->version = VERSION_3_1_1;
    else if (bytes_equal(name, BYTES("MQIsdp")) && level_of_3 == VERSION_3_1)
        out->version = VERSION_3_1;
    else { /* the version that an answer is most likely understood in */
        out->version = level_of_3 >= VERSION_5_0 ? VERSION_5_0 : VERSION_3_1_1;
        return REASON_UNSUPPORTED_PROTOCOL_VERSION;
    }
    out->is_bridge = (level & LEVEL_BRIDGE) != 0;
    return REASON_SUCCESS;
}

/* MQTT 3.1 calls the reserved bit, and a Will's bits without a Will, unused: they are ignored. */
static enum reason decode_connect_flags(uint8_t flags, struct connect *out)
{
    bool is_3_1 = out->version == VERSION_3_1;
    out->clean_start = (flags & CONNECT_CLEAN_START) != 0;
    out->has_will = (flags & CONNECT_WILL) != 0;
    out->has_username = (flags & CONNECT_USERNAME) != 0;
    out->has_password = (flags & CONNECT_PASSWORD) != 0;
    out->will.qos = flags >> 3 & 3; /* bits 4 and 3 */
    out->will.retain = (flags & CONNECT_WILL_RETAIN) != 0;

    if ((flags & CONNECT_RESERVED) != 0 && !is_3_1)
        return REASON_MALFORMED_PACKET; /* [MQTT-3.1.2-3] [MQTT3-3.1.2-3] */
    if (out->has_will && out->will.qos == 3)
        return REASON_MALFORMED_PACKET; /* [MQTT-3.1.2-12] [MQTT3-3.1.2-14] */
    if (!out->has_will && (out->will.qos != 0 || out->will.retain) && !is_3_1)
        return REASON_PROTOCOL_ERROR; /* [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT3-3.1.2-11] */
    if (out->has_password && !out->has_username && out->version != VERSION_5_0)
        return REASON_PROTOCOL_ERROR; /* [MQTT3-3.1.2-22] */
    return REASON_SUCCESS;
}

static enum reason decode_will(struct reader *r, enum version version, struct will *out)
{
    enum reason why = decode_properties(r, version, 0, &out->properties);
    if (why != REASON_SUCCESS)
        return why;
    if (!read_string(r, &out->topic) || !read_binary(r, &out->payload))
        return REASON_MALFORMED_PACKET; /* [MQTT-3.1.2-9] [MQTT-3.1.3-11] */
    return topic_name_is_valid(out->topic) ? REASON_SUCCESS : REASON_TOPIC_NAME_INVALID;
}

/* In MQTT 3.1 the end of the packet outranks the two flags: what is announced may be missing. */
static enum reason decode_credentials(struct reader *r, struct connect *out)
{
    bool may_be_missing = out->version == VERSION_3_1;
    if (out->has_username && may_be_missing && reader_left(r) == 0)
        out->has_username = false;
    if (out->has_username && !read_string(r, &out->username))
        return REASON_MALFORMED_PACKET; /* [MQTT-3.1.2-17] [MQTT-3.1.3-12] */
    if (out->has_password && may_be_missing && reader_left(r) == 0)
        out->has_password = false;
    if (out->has_password && !read_binary(r, &out->password))
        return REASON_MALFORMED_PACKET; /* [MQTT-3.1.2-19] */
    return REASON_SUCCESS;
}

static enum reason decode_connect(struct reader *r, struct connect *out)
{
    out->version = VERSION_UNKNOWN;
    out->is_bridge = false;
    enum reason why = decode_protocol(r, out);
    if (why != REASON_SUCCESS)
        return why;

    uint8_t flags;
    if (!read_u8(r, &flags))
        return REASON_MALFORMED_PACKET;
    why = decode_connect_flags(flags, out);
    if (why != REASON_SUCCESS)
        return why;
    if (!read_u16(r, &out->keep_alive_s))
        return REASON_MALFORMED_PACKET;
    why = decode_properties(r, out->version, PACKET_CONNECT, &out->properties);
    if (why != REASON_SUCCESS)
        return why;

    /* The payload, in this order [MQTT-3.1.3-1].  Whether an empty identifier will do is for the
     * Server to say [MQTT-3.1.3-6], and 3.1's limit of 23 characters is not enforced. */
    if (!read_string(r, &out->client_id))
        return REASON_MALFORMED_PACKET; /* [MQTT-3.1.3-3] [MQTT-3.1.3-4] */
    if (out->has_will)
        why = decode_will(r, out->version, &out->will);
    return why != REASON_SUCCESS ? why : decode_credentials(r, out);
}

/* ------------------------------------------------------------------------------- CONNACK ------ */

static enum reason decode_connack(struct reader *r, enum version version, struct connack *out)
{
    uint8_t flags, code;
    if (!read_u8(r, &flags) || !read_u8(r, &code))
        return REASON_MALFORMED_PACKET;
    if (version == VERSION_3_1)
        flags = 0; /* unused there, and Session Present not yet invented */
    if (flags > 1)
        return REASON_MALFORMED_PACKET; /* [MQTT-3.2.2-1] */
    out->session_present = flags == 1;

    if (version_has_reason_codes(version)) {
        if (!reason_is_allowed(code, PACKET_CONNACK))
            return REASON_PROTOCOL_ERROR; /* [MQTT-3.2.2-8] */
        out->reason = code;
    } else {
        if (code > 5)
            return REASON_PROTOCOL_ERROR;
        out->reason = reason_from_connack_3(code);
    }
    if (out->session_present && out->reason != REASON_SUCCESS)
        return REASON_PROTOCOL_ERROR; /* [MQTT-3.2.2-6] [MQTT3-3.2.2-4] */
    return decode_properties(r, version, PACKET_CONNACK, &out->properties);
}

/* ------------------------------------------------------------------------------- PUBLISH ------ */

static enum reason check_publish_topic(const struct publish *p)
{
    if (p->topic.size == 0 && properties_have(&p->properties, PROPERTY_TOPIC_ALIAS))
        return REASON_SUCCESS;
    return topic_name_is_valid(p->topic) ? REASON_SUCCESS : REASON_TOPIC_NAME_INVALID;
}

/* The topic is judged last, so that an answer that refuses it has its packet_id. */
static enum reason decode_publish(struct reader *r, uint8_t flags, enum version version,
                                  struct publish *out)
{
    out->dup = (flags & 8) != 0;
    out->qos = flags >> 1 & 3;
    out->retain = (flags & 1) != 0;
    out->packet_id = 0;
    if (out->qos == 3) {
        out->qos = 0;
        return REASON_MALFORMED_PACKET; /* [MQTT-3.3.1-4] */
    }
    if (out->dup && out->qos == 0)
        return REASON_MALFORMED_PACKET; /* [MQTT-3.3.1-2] */

    if (!read_string(r, &out->topic))
        return REASON_MALFORMED_PACKET; /* [MQTT-3.3.2-1] */
    if (out->qos > 0) {
        enum reason why = read_packet_id(r, &out->packet_id);
        if (why != REASON_SUCCESS)
            return why;
    }
    enum reason why = decode_properties(r, version, PACKET_PUBLISH, &out->properties);
    if (why != REASON_SUCCESS)
        return why;
    out->payload = read_rest(r);
    return check_publish_topic(out);
}

/* --------------------------------------------------------- PUBACK, PUBREC, PUBREL, PUBCOMP -----
 */

/* In 5.0 both the properties and, without them, a Reason Code of success may be left out. */
static enum reason decode_ack(struct reader *r, int type, enum version version, struct ack *out)
{
    enum reason why = read_packet_id(r, &out->packet_id);
    if (why != REASON_SUCCESS)
        return why;
    uint8_t code = REASON_SUCCESS;
    if (version_has_reason_codes(version) && reader_left(r) > 0) {
        (void)read_u8(r, &code); /* there is one */
        if (!reason_is_allowed(code, type))
            return REASON_PROTOCOL_ERROR; /* [MQTT-3.4.2-1] and its siblings */
    }
    out->reason = code;
    if (reader_left(r) == 0)
        return properties_decode((struct bytes){ NULL, 0 }, type, &out->properties);
    return decode_properties(r, version, type, &out->properties);
}

/* ------------------------------------------------- SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK ----
 */

/* Takes one Topic Filter, and its options in a SUBSCRIBE. */
static inline bool read_filter(struct reader *r, int type, struct bytes *filter, uint8_t *options)
{
    return read_binary(r, filter) && (type != PACKET_SUBSCRIBE || read_u8(r, options));
}

static enum reason check_options_3(uint8_t options)
{
    if ((options & ~SUBSCRIBE_QOS) != 0 || options == 3)
        return REASON_MALFORMED_PACKET; /* [MQTT3-3.8.3-4] */
    return REASON_SUCCESS;
}

static enum reason check_options_5(struct bytes filter, uint8_t options)
{
    static const uint8_t known = SUBSCRIBE_QOS | SUBSCRIBE_NO_LOCAL |
                                 SUBSCRIBE_RETAIN_AS_PUBLISHED | SUBSCRIBE_RETAIN_HANDLING;
    if ((options & ~known) != 0)
        return REASON_MALFORMED_PACKET; /* [MQTT-3.8.3-5] */
    if ((options & SUBSCRIBE_QOS) == 3)
        return REASON_PROTOCOL_ERROR;
    if ((options & SUBSCRIBE_RETAIN_HANDLING) == SUBSCRIBE_RETAIN_HANDLING)
        return REASON_PROTOCOL_ERROR; /* there is no third way to handle retained messages */
    struct bytes share, rest;
    if ((options & SUBSCRIBE_NO_LOCAL) != 0 &&
        topic_filter_split_share(filter, &share, &rest) == SHARE_VALID)
        return REASON_PROTOCOL_ERROR; /* [MQTT-3.8.3-4] */
    return REASON_SUCCESS;
}

static enum reason decode_filters(struct reader *r, int type, enum version version,
                                  struct subscribe *out)
{
    const uint8_t *start = r->next;
    out->count = 0;
    while (reader_left(r) > 0) {
        struct bytes filter;
        uint8_t options = 0;
        if (!read_filter(r, type, &filter, &options) || !utf8_is_valid(filter))
            return REASON_MALFORMED_PACKET; /* [MQTT-3.8.3-1] [MQTT-3.10.3-1] */
        enum reason why =
            version == VERSION_5_0 ? check_options_5(filter, options) : check_options_3(options);
        if (why != REASON_SUCCESS)
            return why;
        out->count++;
    }
    out->filters = bytes_of(start, (size_t)(r->end - start));
    return out->count > 0 ? REASON_SUCCESS
                          : REASON_PROTOCOL_ERROR; /* [MQTT-3.8.3-2] [MQTT-3.10.3-2] */
}

static enum reason decode_subscribe(struct reader *r, int type, enum version version,
                                    struct subscribe *out)
{
    enum reason why = read_packet_id(r, &out->packet_id);
    if (why != REASON_SUCCESS)
        return why;
    why = decode_properties(r, version, type, &out->properties);
    return why != REASON_SUCCESS ? why : decode_filters(r, type, version, out);
}

/* A SUBACK of 3.1 may say 0x80 too: that version has no failure, but servers of our time send it.
 */
static bool suback_code_is_allowed(uint8_t code, int type, enum version version)
{
    if (version_has_reason_codes(version))
        return reason_is_allowed(code, type); /* [MQTT-3.9.3-2] [MQTT-3.11.3-2] */
    return code <= 2 || code == 0x80;         /* [MQTT3-3.9.3-2] */
}

static enum reason decode_suback(struct reader *r, int type, enum version version,
                                 struct suback *out)
{
    enum reason why = read_packet_id(r, &out->packet_id);
    if (why != REASON_SUCCESS)
        return why;
    why = decode_properties(r, version, type, &out->properties);
    if (why != REASON_SUCCESS)
        return why;
    out->reasons = (struct bytes){ NULL, 0 };
    if (type == PACKET_UNSUBACK && !version_has_reason_codes(version))
        return REASON_SUCCESS; /* nothing but the packet_id */

    out->reasons = read_rest(r);
    for (size_t i = 0; i < out->reasons.size; i++) {
        if (!suback_code_is_allowed(out->reasons.data[i], type, version))
            return REASON_PROTOCOL_ERROR;
    }
    return out->reasons.size > 0 ? REASON_SUCCESS : REASON_PROTOCOL_ERROR;
}

/* ---------------------------------------------------------------------- DISCONNECT, AUTH ------ */

static enum reason decode_disconnect(struct reader *r, enum version version, struct disconnect *out)
{
    uint8_t code = REASON_SUCCESS;
    if (version_has_reason_codes(version) && reader_left(r) > 0) {
        (void)read_u8(r, &code); /* there is one */
        if (!reason_is_allowed(code, PACKET_DISCONNECT))
            return REASON_PROTOCOL_ERROR; /* [MQTT-3.14.2-1] */
    }
    out->reason = code;
    if (reader_left(r) == 0)
        return properties_decode((struct bytes){ NULL, 0 }, PACKET_DISCONNECT, &out->properties);
    return decode_properties(r, version, PACKET_DISCONNECT, &out->properties);
}

/* Unlike a DISCONNECT it has both the Reason Code and the properties, or neither; and it names its
 * method unless it has nothing to say but success. */
static enum reason decode_auth(struct reader *r, enum version version, struct disconnect *out)
{
    if (version != VERSION_5_0)
        return REASON_MALFORMED_PACKET; /* a reserved type before 5.0 */
    out->reason = REASON_SUCCESS;
    if (reader_left(r) == 0)
        return properties_decode((struct bytes){ NULL, 0 }, PACKET_AUTH, &out->properties);
    uint8_t code = REASON_SUCCESS;
    (void)read_u8(r, &code); /* there is one */
    if (!reason_is_allowed(code, PACKET_AUTH))
        return REASON_PROTOCOL_ERROR; /* [MQTT-3.15.2-1] */
    out->reason = code;
    enum reason why = decode_properties(r, version, PACKET_AUTH, &out->properties);
    if (why != REASON_SUCCESS)
        return why;
    bool says_more = code != REASON_SUCCESS || out->properties.present != 0;
    if (says_more && !properties_have(&out->properties, PROPERTY_AUTHENTICATION_METHOD))
        return REASON_PROTOCOL_ERROR;
    return REASON_SUCCESS;
}

/* ----------------------------------------------------------------------------- all of them ---- */

/* [MQTT-2.1.3-1] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1] [MQTT-3.15.1-1] */
static bool flags_are_valid(const struct frame *f, enum version version)
{
    switch (f->type) {
    case PACKET_PUBLISH:
        return true; /* it has flags of its own */
    case PACKET_PUBREL:
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE:
        /* QoS 1, one would have said in 3.1, where such a packet could be sent again with DUP. */
        return f->flags == 2 || (f->flags == 10 && version == VERSION_3_1);
    default:
        return f->flags == 0;
    }
}

static enum reason decode_body(struct reader *r, const struct frame *f, enum version version,
                               struct packet *out)
{
    switch (f->type) {
    case PACKET_CONNECT:
        return decode_connect(r, &out->connect);
    case PACKET_CONNACK:
        return decode_connack(r, version, &out->connack);
    case PACKET_PUBLISH:
        return decode_publish(r, f->flags, version, &out->publish);
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        return decode_ack(r, f->type, version, &out->ack);
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE:
        return decode_subscribe(r, f->type, version, &out->subscribe);
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
        return decode_suback(r, f->type, version, &out->suback);
    case PACKET_PINGREQ:
    case PACKET_PINGRESP:
        return REASON_SUCCESS; /* nothing inside */
    case PACKET_DISCONNECT:
        return decode_disconnect(r, version, &out->disconnect);
    case PACKET_AUTH:
        return decode_auth(r, version, &out->disconnect);
    }
    return REASON_MALFORMED_PACKET;
}

/* What the caller may look at after a refusal. */
static void forget(enum packet_type type, struct packet *out)
{
    out->type = type;
    if (type == PACKET_CONNECT)
        out->connect.version = VERSION_UNKNOWN;
    if (type == PACKET_PUBLISH) {
        out->publish.qos = 0;
        out->publish.packet_id = 0;
    }
}

enum decode_result packet_decode_frame(const struct frame *frame, struct bytes whole,
                                       enum version version, struct packet *out, enum reason *why)
{
    *why = REASON_MALFORMED_PACKET;
    forget(frame->type, out);
    if (!flags_are_valid(frame, version))
        return DECODE_BAD;

    struct reader r = { whole.data + frame->header_size, whole.data + whole.size };
    *why = decode_body(&r, frame, version, out);
    if (*why == REASON_SUCCESS && reader_left(&r) > 0)
        *why = REASON_MALFORMED_PACKET; /* more bytes than the packet has fields */
    return *why == REASON_SUCCESS ? DECODE_DONE : DECODE_BAD;
}

enum decode_result packet_decode(struct bytes whole, enum version version, struct packet *out,
                                 enum reason *why)
{
    struct frame frame;
    if (frame_decode(whole, &frame) == DECODE_DONE && frame.size == whole.size)
        return packet_decode_frame(&frame, whole, version, out, why);
    *why = REASON_MALFORMED_PACKET;
    forget(whole.size > 0 ? whole.data[0] >> 4 : 0, out);
    return DECODE_BAD;
}

static bool filter_next(struct bytes *rest, int type, struct bytes *filter, uint8_t *options)
{
    if (rest->size == 0)
        return false;
    struct reader r = { rest->data, rest->data + rest->size };
    if (!read_filter(&r, type, filter, options))
        return false;
    *rest = bytes_of(r.next, reader_left(&r));
    return true;
}

bool subscribe_next(struct bytes *rest, struct bytes *filter, uint8_t *options)
{
    return filter_next(rest, PACKET_SUBSCRIBE, filter, options);
}

bool unsubscribe_next(struct bytes *rest, struct bytes *filter)
{
    return filter_next(rest, PACKET_UNSUBSCRIBE, filter, NULL);
}
