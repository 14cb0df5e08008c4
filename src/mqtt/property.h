/* mqtt/property.h: Properties (MQTT 5.0, section 2.2.2). */
#pragma once

#include "base/bytes.h"
#include "mqtt/reason.h"

/* PROPERTY(identifier, NAME, TYPE, "its name in text", packets that may carry it)
 * Types: BYTE, TWO, FOUR (integers of 1, 2, 4 bytes), VARINT, STRING, BINARY, PAIR.
 * The packets are a set of (1 << enum packet_type); bit 0 stands for the Will of a CONNECT. */
#define PROPERTY_TABLE(PROPERTY)                                                                   \
    PROPERTY(1, PAYLOAD_FORMAT_INDICATOR, BYTE, "payload-format-indicator", 1 << 3 | 1)            \
    PROPERTY(2, MESSAGE_EXPIRY_INTERVAL, FOUR, "message-expiry-interval", 1 << 3 | 1)              \
    PROPERTY(3, CONTENT_TYPE, STRING, "content-type", 1 << 3 | 1)                                  \
    PROPERTY(8, RESPONSE_TOPIC, STRING, "response-topic", 1 << 3 | 1)                              \
    PROPERTY(9, CORRELATION_DATA, BINARY, "correlation-data", 1 << 3 | 1)                          \
    PROPERTY(11, SUBSCRIPTION_IDENTIFIER, VARINT, "subscription-identifier", 1 << 3 | 1 << 8)      \
    PROPERTY(17, SESSION_EXPIRY_INTERVAL, FOUR, "session-expiry-interval",                         \
             1 << 1 | 1 << 2 | 1 << 14)                                                            \
    PROPERTY(18, ASSIGNED_CLIENT_IDENTIFIER, STRING, "assigned-client-identifier", 1 << 2)         \
    PROPERTY(19, SERVER_KEEP_ALIVE, TWO, "server-keep-alive", 1 << 2)                              \
    PROPERTY(21, AUTHENTICATION_METHOD, STRING, "authentication-method", 1 << 1 | 1 << 2 | 1 << 15)\
    PROPERTY(22, AUTHENTICATION_DATA, BINARY, "authentication-data", 1 << 1 | 1 << 2 | 1 << 15)    \
    PROPERTY(23, REQUEST_PROBLEM_INFORMATION, BYTE, "request-problem-information", 1 << 1)         \
    PROPERTY(24, WILL_DELAY_INTERVAL, FOUR, "will-delay-interval", 1)                              \
    PROPERTY(25, REQUEST_RESPONSE_INFORMATION, BYTE, "request-response-information", 1 << 1)       \
    PROPERTY(26, RESPONSE_INFORMATION, STRING, "response-information", 1 << 2)                     \
    PROPERTY(28, SERVER_REFERENCE, STRING, "server-reference", 1 << 2 | 1 << 14)                   \
    PROPERTY(31, REASON_STRING, STRING, "reason-string",                                           \
             1 << 2 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 9 | 1 << 11 | 1 << 14 | 1 << 15)    \
    PROPERTY(33, RECEIVE_MAXIMUM, TWO, "receive-maximum", 1 << 1 | 1 << 2)                         \
    PROPERTY(34, TOPIC_ALIAS_MAXIMUM, TWO, "topic-alias-maximum", 1 << 1 | 1 << 2)                 \
    PROPERTY(35, TOPIC_ALIAS, TWO, "topic-alias", 1 << 3)                                          \
    PROPERTY(36, MAXIMUM_QOS, BYTE, "maximum-qos", 1 << 2)                                         \
    PROPERTY(37, RETAIN_AVAILABLE, BYTE, "retain-available", 1 << 2)                               \
    PROPERTY(38, USER_PROPERTY, PAIR, "user-property", 0xffff & ~(1 << 12 | 1 << 13))              \
    PROPERTY(39, MAXIMUM_PACKET_SIZE, FOUR, "maximum-packet-size", 1 << 1 | 1 << 2)                \
    PROPERTY(40, WILDCARD_SUBSCRIPTION_AVAILABLE, BYTE, "wildcard-subscription-available", 1 << 2) \
    PROPERTY(41, SUBSCRIPTION_IDENTIFIER_AVAILABLE, BYTE, "subscription-identifier-available",     \
             1 << 2)                                                                               \
    PROPERTY(42, SHARED_SUBSCRIPTION_AVAILABLE, BYTE, "shared-subscription-available", 1 << 2)

enum property_id {
#define PROPERTY(id, name, type, text, packets) PROPERTY_##name = id,
    PROPERTY_TABLE(PROPERTY)
#undef PROPERTY
};

enum {
    USER_PROPERTIES_MAX = 1000,       /* per packet */
    PROPERTIES_SIZE_MAX = 64 * 1024,  /* bytes of one property list */
};

/* The properties of one packet.  A field means something only if its bit in `present` is set. */
struct properties {
    uint64_t present; /* 1 << enum property_id */
    struct bytes raw; /* decoded: the whole list as it came, without its length.
                         To encode: bytes of an already encoded list, appended as they are. */
    uint32_t user_count;            /* User Properties in raw */
    uint32_t subscription_id_count; /* Subscription Identifiers in raw (PUBLISH may have many) */

    uint8_t payload_format_indicator;
    uint8_t request_problem_information;
    uint8_t request_response_information;
    uint8_t maximum_qos;
    uint8_t retain_available;
    uint8_t wildcard_subscription_available;
    uint8_t subscription_identifier_available;
    uint8_t shared_subscription_available;
    uint16_t server_keep_alive;
    uint16_t receive_maximum;
    uint16_t topic_alias_maximum;
    uint16_t topic_alias;
    uint32_t message_expiry_interval;
    uint32_t subscription_identifier; /* the first */
    uint32_t session_expiry_interval;
    uint32_t will_delay_interval;
    uint32_t maximum_packet_size;
    struct bytes content_type;
    struct bytes response_topic;
    struct bytes correlation_data;
    struct bytes assigned_client_identifier;
    struct bytes authentication_method;
    struct bytes authentication_data;
    struct bytes response_information;
    struct bytes server_reference;
    struct bytes reason_string;
};

static inline bool properties_have(const struct properties *p, enum property_id id)
{
    return (p->present >> id & 1) != 0;
}

static inline void properties_add(struct properties *p, enum property_id id)
{
    p->present |= (uint64_t)1 << id;
}

/* One property of an encoded list. */
struct property {
    enum property_id id;
    uint32_t number;           /* integer types */
    struct bytes name;         /* PAIR only */
    struct bytes value;        /* STRING, BINARY, PAIR */
    struct bytes encoded;      /* the whole property as it stands in the list */
};

/* Walks a valid encoded list: *rest starts as the list; false at the end. */
bool property_next(struct bytes *rest, struct property *out);

/* Decodes and checks the list of one packet.  `packet` is the bit number of the packet in
 * PROPERTY_TABLE (0: the Will).  REASON_SUCCESS; REASON_MALFORMED_PACKET; REASON_PROTOCOL_ERROR
 * (a property twice, not allowed here, or a forbidden value); REASON_TOPIC_ALIAS_INVALID (0);
 * REASON_QUOTA_EXCEEDED and REASON_PACKET_TOO_LARGE (the limits above, in their order).
 * Only `present`, the counts, `raw` and the fields that are present are written. */
enum reason properties_decode(struct bytes list, int packet, struct properties *out);

/* Bytes of the encoded list without its length, and the encoding itself.  Order: by identifier as
 * in PROPERTY_TABLE, except that Topic Alias Maximum comes first and Maximum Packet Size and
 * Receive Maximum last (in this order), as Mosquitto's CONNACK has them; then raw. */
size_t properties_size(const struct properties *p);
uint8_t *properties_encode(const struct properties *p, uint8_t *out); /* the byte after the last */

/* Name as in PROPERTY_TABLE ("content-type"); NULL if unknown.  And back: 0 if unknown. */
const char *property_name(int id);
int property_from_name(struct bytes name);
