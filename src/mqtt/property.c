/* mqtt/property.c: one table says what a property is, one where it goes and what it may be.
 *
 *     identifier | value            identifier | value            ...
 *     02           00 00 0e 10      26           0001 'a' 0001 'b'
 *
 * A list is read once.  Each property is taken from the front by its type alone, then judged:
 * known? whole? allowed in this packet? there already? in range?  Then it is stored at its field's
 * offset.  Values of properties that are not allowed are still read first, so that a list cut in
 * the middle is called malformed whatever stands in it. */
#include "mqtt/property.h"
#include "mqtt/packet.h"
#include "mqtt/topic.h"
#include "mqtt/wire.h"
#include <assert.h>

enum type { UNKNOWN, BYTE, TWO, FOUR, VARINT, STRING, BINARY, PAIR };

struct kind {
    uint8_t type;
    uint16_t packets;
    const char *name;
};

static const struct kind kinds[] = {
#define PROPERTY(id, name, type, text, packets) [id] = { type, packets, text },
    PROPERTY_TABLE(PROPERTY)
#undef PROPERTY
};

enum { IDENTIFIERS = sizeof kinds / sizeof kinds[0] };
static_assert(IDENTIFIERS <= 64, "one bit each in properties.present");

#define BIT(id) (UINT64_C(1) << (id))

/* Everything with a field of its own: all but the User Property. */
#define PROPERTY(id, name, type, text, packets) | BIT(id)
static const uint64_t all_fields = (0 PROPERTY_TABLE(PROPERTY)) & ~BIT(PROPERTY_USER_PROPERTY);
#undef PROPERTY

struct field {
    uint16_t offset;      /* in struct properties */
    uint32_t least, most; /* of an integer */
};

#define FIELD(id, field, least, most)                                                              \
    [PROPERTY_##id] = { offsetof(struct properties, field), least, most }
#define FLAG(id, field) FIELD(id, field, 0, 1)
#define TEXT(id, field) FIELD(id, field, 0, 0)

static const struct field fields[IDENTIFIERS] = {
    FLAG(PAYLOAD_FORMAT_INDICATOR, payload_format_indicator),
    FIELD(MESSAGE_EXPIRY_INTERVAL, message_expiry_interval, 0, UINT32_MAX),
    TEXT(CONTENT_TYPE, content_type),
    TEXT(RESPONSE_TOPIC, response_topic),
    TEXT(CORRELATION_DATA, correlation_data),
    FIELD(SUBSCRIPTION_IDENTIFIER, subscription_identifier, 1, VARINT_MAX),
    FIELD(SESSION_EXPIRY_INTERVAL, session_expiry_interval, 0, UINT32_MAX),
    TEXT(ASSIGNED_CLIENT_IDENTIFIER, assigned_client_identifier),
    FIELD(SERVER_KEEP_ALIVE, server_keep_alive, 0, UINT16_MAX),
    TEXT(AUTHENTICATION_METHOD, authentication_method),
    TEXT(AUTHENTICATION_DATA, authentication_data),
    FLAG(REQUEST_PROBLEM_INFORMATION, request_problem_information),
    FIELD(WILL_DELAY_INTERVAL, will_delay_interval, 0, UINT32_MAX),
    FLAG(REQUEST_RESPONSE_INFORMATION, request_response_information),
    TEXT(RESPONSE_INFORMATION, response_information),
    TEXT(SERVER_REFERENCE, server_reference),
    TEXT(REASON_STRING, reason_string),
    FIELD(RECEIVE_MAXIMUM, receive_maximum, 1, UINT16_MAX),
    FIELD(TOPIC_ALIAS_MAXIMUM, topic_alias_maximum, 0, UINT16_MAX),
    FIELD(TOPIC_ALIAS, topic_alias, 1, UINT16_MAX), /* [MQTT-3.3.2-8] */
    FLAG(MAXIMUM_QOS, maximum_qos),                 /* 2 is said by saying nothing */
    FLAG(RETAIN_AVAILABLE, retain_available),
    FIELD(MAXIMUM_PACKET_SIZE, maximum_packet_size, 1, UINT32_MAX),
    FLAG(WILDCARD_SUBSCRIPTION_AVAILABLE, wildcard_subscription_available),
    FLAG(SUBSCRIPTION_IDENTIFIER_AVAILABLE, subscription_identifier_available),
    FLAG(SHARED_SUBSCRIPTION_AVAILABLE, shared_subscription_available),
};

static const void *field_of(const struct properties *p, int id)
{
    return (const char *)p + fields[id].offset;
}

/* ------------------------------------------------------------------------------ decoding ------ */

/* Takes a value from the front; false if it is not whole.  Strings are not yet checked. */
static bool read_value(struct reader *r, enum type type, struct property *out)
{
    uint8_t byte;
    uint16_t two;
    switch (type) {
    case BYTE:
        if (!read_u8(r, &byte))
            return false;
        out->number = byte;
        return true;
    case TWO:
        if (!read_u16(r, &two))
            return false;
        out->number = two;
        return true;
    case FOUR:
        return read_u32(r, &out->number);
    case VARINT:
        return read_varint(r, &out->number);
    case STRING:
    case BINARY:
        return read_binary(r, &out->value);
    case PAIR:
        return read_binary(r, &out->name) && read_binary(r, &out->value);
    case UNKNOWN:
        break;
    }
    return false;
}

/* Identifier and value; false at a property that is unknown or not whole.  Identifiers are Variable
 * Byte Integers, but all that exist take one byte. */
static inline bool read_property(struct reader *r, struct property *out)
{
    const uint8_t *start = r->next;
    uint8_t id;
    if (!read_u8(r, &id) || id >= IDENTIFIERS || !read_value(r, kinds[id].type, out))
        return false;
    out->id = id;
    out->encoded = bytes_of(start, (size_t)(r->next - start));
    return true;
}

bool property_next(struct bytes *rest, struct property *out)
{
    if (rest->size == 0)
        return false;
    struct reader r = { rest->data, rest->data + rest->size };
    if (!read_property(&r, out))
        return false;
    *rest = bytes_after(*rest, out->encoded.size);
    return true;
}

static void store(struct properties *out, const struct property *p)
{
    void *field = (char *)out + fields[p->id].offset;
    switch ((enum type)kinds[p->id].type) {
    case BYTE:
        *(uint8_t *)field = (uint8_t)p->number;
        break;
    case TWO:
        *(uint16_t *)field = (uint16_t)p->number;
        break;
    case FOUR:
    case VARINT:
        *(uint32_t *)field = p->number;
        break;
    case STRING:
    case BINARY:
        *(struct bytes *)field = p->value;
        break;
    case PAIR:
    case UNKNOWN:
        assert(false && "a property with a field");
    }
    properties_add(out, p->id);
}

static enum reason add_user_property(const struct property *p, struct properties *out)
{
    if (!utf8_is_valid(p->name) || !utf8_is_valid(p->value))
        return REASON_MALFORMED_PACKET; /* [MQTT-1.5.7-1] */
    if (out->user_count == USER_PROPERTIES_MAX)
        return REASON_QUOTA_EXCEEDED;
    out->user_count++;
    properties_add(out, PROPERTY_USER_PROPERTY);
    return REASON_SUCCESS;
}

/* Only a PUBLISH may have several, one for each subscription that it answers [MQTT-3.3.4-4]. */
static enum reason add_subscription_identifier(const struct property *p, int packet,
                                               struct properties *out)
{
    if (p->number == 0)
        return REASON_PROTOCOL_ERROR;
    if (out->subscription_id_count > 0 && packet != PACKET_PUBLISH)
        return REASON_PROTOCOL_ERROR;
    if (out->subscription_id_count++ == 0)
        store(out, p);
    return REASON_SUCCESS;
}

static enum reason add_number(const struct property *p, struct properties *out)
{
    if (p->number < fields[p->id].least || p->number > fields[p->id].most)
        return p->id == PROPERTY_TOPIC_ALIAS ? REASON_TOPIC_ALIAS_INVALID : REASON_PROTOCOL_ERROR;
    store(out, p);
    return REASON_SUCCESS;
}

static enum reason add_string(const struct property *p, struct properties *out)
{
    if (!utf8_is_valid(p->value))
        return REASON_MALFORMED_PACKET; /* [MQTT-1.5.4-1] */
    if (p->id == PROPERTY_RESPONSE_TOPIC && !topic_name_is_valid(p->value))
        return REASON_PROTOCOL_ERROR; /* [MQTT-3.3.2-14] */
    store(out, p);
    return REASON_SUCCESS;
}

static enum reason add_property(const struct property *p, int packet, struct properties *out)
{
    const struct kind *kind = &kinds[p->id];
    if ((kind->packets >> packet & 1) == 0)
        return REASON_PROTOCOL_ERROR;
    if (p->id == PROPERTY_USER_PROPERTY)
        return add_user_property(p, out);
    if (p->id == PROPERTY_SUBSCRIPTION_IDENTIFIER)
        return add_subscription_identifier(p, packet, out);
    if (properties_have(out, p->id))
        return REASON_PROTOCOL_ERROR;
    if (kind->type == STRING)
        return add_string(p, out);
    if (kind->type == BINARY) {
        store(out, p);
        return REASON_SUCCESS;
    }
    return add_number(p, out);
}

enum reason properties_decode(struct bytes list, int packet, struct properties *out)
{
    out->present = 0;
    out->raw = list;
    out->user_count = 0;
    out->subscription_id_count = 0;
    if (list.size == 0)
        return REASON_SUCCESS;
    if (list.size > PROPERTIES_SIZE_MAX)
        return REASON_PACKET_TOO_LARGE;

    struct reader r = { list.data, list.data + list.size };
    while (reader_left(&r) > 0) {
        struct property p;
        if (!read_property(&r, &p))
            return REASON_MALFORMED_PACKET;
        enum reason why = add_property(&p, packet, out);
        if (why != REASON_SUCCESS)
            return why;
    }
    /* Data without the method that explains it: sections 3.1.2.11.10 and 3.15.2.2.3. */
    if (properties_have(out, PROPERTY_AUTHENTICATION_DATA) &&
        !properties_have(out, PROPERTY_AUTHENTICATION_METHOD) && packet != PACKET_CONNACK)
        return REASON_PROTOCOL_ERROR;
    return REASON_SUCCESS;
}

/* ------------------------------------------------------------------------------ encoding ------ */

static size_t encoded_size(const struct properties *p, int id)
{
    switch ((enum type)kinds[id].type) {
    case BYTE:
        return 1 + 1;
    case TWO:
        return 1 + 2;
    case FOUR:
        return 1 + 4;
    case VARINT:
        return 1 + varint_size(*(const uint32_t *)field_of(p, id));
    case STRING:
    case BINARY:
        return 1 + 2 + ((const struct bytes *)field_of(p, id))->size;
    case PAIR:
    case UNKNOWN:
        break;
    }
    assert(false && "a property with a field");
    return 0;
}

static uint8_t *encode_one(const struct properties *p, int id, uint8_t *out)
{
    const void *field = field_of(p, id);
    out = write_u8(out, (uint8_t)id);
    switch ((enum type)kinds[id].type) {
    case BYTE:
        return write_u8(out, *(const uint8_t *)field);
    case TWO:
        return write_u16(out, *(const uint16_t *)field);
    case FOUR:
        return write_u32(out, *(const uint32_t *)field);
    case VARINT:
        return write_varint(out, *(const uint32_t *)field);
    case STRING:
    case BINARY:
        return write_binary(out, *(const struct bytes *)field);
    case PAIR:
    case UNKNOWN:
        break;
    }
    assert(false && "a property with a field");
    return out;
}

/* The lowest identifier in the set, which is not empty; it is taken out. */
static int take_first(uint64_t *set)
{
    int id = __builtin_ctzll(*set);
    *set &= *set - 1;
    return id;
}

size_t properties_size(const struct properties *p)
{
    size_t size = p->raw.size;
    for (uint64_t left = p->present & all_fields; left != 0;)
        size += encoded_size(p, take_first(&left));
    return size;
}

uint8_t *properties_encode(const struct properties *p, uint8_t *out)
{
    static const uint64_t out_of_order = BIT(PROPERTY_TOPIC_ALIAS_MAXIMUM) |
                                         BIT(PROPERTY_MAXIMUM_PACKET_SIZE) |
                                         BIT(PROPERTY_RECEIVE_MAXIMUM);
    if (properties_have(p, PROPERTY_TOPIC_ALIAS_MAXIMUM))
        out = encode_one(p, PROPERTY_TOPIC_ALIAS_MAXIMUM, out);
    for (uint64_t left = p->present & all_fields & ~out_of_order; left != 0;)
        out = encode_one(p, take_first(&left), out);
    if (properties_have(p, PROPERTY_MAXIMUM_PACKET_SIZE))
        out = encode_one(p, PROPERTY_MAXIMUM_PACKET_SIZE, out);
    if (properties_have(p, PROPERTY_RECEIVE_MAXIMUM))
        out = encode_one(p, PROPERTY_RECEIVE_MAXIMUM, out);
    return write_bytes(out, p->raw);
}

/* --------------------------------------------------------------------------------- names ------ */

const char *property_name(int id)
{
    return id >= 0 && id < IDENTIFIERS ? kinds[id].name : NULL;
}

int property_from_name(struct bytes name)
{
    for (int id = 1; id < IDENTIFIERS; id++) {
        if (kinds[id].name != NULL && bytes_equal(name, bytes_of_string(kinds[id].name)))
            return id;
    }
    return 0;
}
