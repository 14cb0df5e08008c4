/* mqtt/packet.h: Control Packets (MQTT 5.0, sections 2 and 3; MQTT 3.1 and 3.1.1 alike).
 *
 * Bytes <-> structs, for both ends of a connection.  Decoding is one pass over contiguous bytes and
 * yields views into them: nothing is allocated, copied or logged.  Any thread.
 *
 *     frame_decode   how long is the packet at the start of these bytes?
 *     packet_decode  what does it say?
 *     packet_encode  say it */
#pragma once

#include "base/bytes.h"
#include "mqtt/property.h"
#include "mqtt/reason.h"
#include "mqtt/version.h"

enum packet_type {
    PACKET_CONNECT = 1,
    PACKET_CONNACK = 2,
    PACKET_PUBLISH = 3,
    PACKET_PUBACK = 4,
    PACKET_PUBREC = 5,
    PACKET_PUBREL = 6,
    PACKET_PUBCOMP = 7,
    PACKET_SUBSCRIBE = 8,
    PACKET_SUBACK = 9,
    PACKET_UNSUBSCRIBE = 10,
    PACKET_UNSUBACK = 11,
    PACKET_PINGREQ = 12,
    PACKET_PINGRESP = 13,
    PACKET_DISCONNECT = 14,
    PACKET_AUTH = 15,
};

enum { PACKET_SIZE_MAX = 268435455 + 5 }; /* what a Remaining Length can say, and the header */

struct will {
    uint8_t qos;
    bool retain;
    struct bytes topic;
    struct bytes payload;
    struct properties properties;
};

struct connect {
    enum version version;
    bool is_bridge; /* bit 7 of the level: a 3.x bridge announces itself */
    bool clean_start;
    bool has_will, has_username, has_password;
    uint16_t keep_alive_s;
    struct bytes client_id;
    struct bytes username;
    struct bytes password;
    struct will will;
    struct properties properties;
};

struct connack {
    bool session_present;
    enum reason reason; /* 3.x return codes are translated both ways */
    struct properties properties;
};

struct publish {
    bool dup, retain;
    uint8_t qos;
    uint16_t packet_id; /* 0 when qos is 0 */
    struct bytes topic; /* empty: a Topic Alias stands for it */
    struct bytes payload;
    struct properties properties;
};

struct ack { /* PUBACK, PUBREC, PUBREL, PUBCOMP */
    uint16_t packet_id;
    enum reason reason;
    struct properties properties;
};

enum { /* Subscription Options, section 3.8.3.1 */
    SUBSCRIBE_QOS = 0x03,
    SUBSCRIBE_NO_LOCAL = 0x04,
    SUBSCRIBE_RETAIN_AS_PUBLISHED = 0x08,
    SUBSCRIBE_RETAIN_HANDLING = 0x30, /* 0x00 send, 0x10 send if new, 0x20 do not send */
};

struct subscribe { /* SUBSCRIBE, and UNSUBSCRIBE without the options */
    uint16_t packet_id;
    uint32_t count;         /* Topic Filters, at least one */
    struct bytes filters;   /* encoded; walk with subscribe_next or unsubscribe_next */
    struct properties properties;
};

struct suback { /* SUBACK and UNSUBACK */
    uint16_t packet_id;
    struct bytes reasons; /* one byte each; none in a 3.x UNSUBACK */
    struct properties properties;
};

struct disconnect { /* DISCONNECT and AUTH */
    enum reason reason;
    struct properties properties;
};

struct packet {
    enum packet_type type;
    union {
        struct connect connect;
        struct connack connack;
        struct publish publish;
        struct ack ack;
        struct subscribe subscribe;
        struct suback suback;
        struct disconnect disconnect;
    };
};

const char *packet_type_name(int type); /* "CONNECT"…; "RESERVED" for 0 */

enum decode_result {
    DECODE_DONE,
    DECODE_MORE, /* the bytes so far are fine, but not all there */
    DECODE_BAD,
};

struct frame {
    enum packet_type type;
    uint8_t flags;       /* the low four bits of the first byte */
    uint8_t header_size; /* 2 to 5 */
    uint32_t size;       /* of the whole packet, fixed header included */
};

/* Looks at the fixed header.  DONE: the whole packet is in `in`.  MORE: *out is filled as soon as
 * the fixed header is complete (out->size is 0 before that).  BAD: the Remaining Length is
 * malformed or not minimal [MQTT-1.5.5-1], or the type is 0. */
enum decode_result frame_decode(struct bytes in, struct frame *out);

/* Decodes one whole packet (exactly as long as its frame says).  version is what CONNECT
 * established; ignored for CONNECT itself, which yields its own.  DONE or BAD; then *why is
 *   MALFORMED_PACKET, PROTOCOL_ERROR   as the standard names the fault,
 *   UNSUPPORTED_PROTOCOL_VERSION       (CONNECT) unknown protocol name or level,
 *   QUOTA_EXCEEDED, PACKET_TOO_LARGE   limits of mqtt/property.h,
 *   TOPIC_ALIAS_INVALID                a Topic Alias of 0,
 *   TOPIC_NAME_INVALID                 a wildcard or no name in PUBLISH or a Will.
 * On BAD, *out is filled as far as decoding came for CONNECT's version (an unknown one: the version
 * to answer in) and PUBLISH's qos and packet_id, which an answer may need (0 if not reached).
 * Strings are checked as UTF-8 [MQTT-1.5.4-1]; topic filters only as UTF-8. */
enum decode_result packet_decode(struct bytes whole, enum version version, struct packet *out,
                                 enum reason *why);

/* The same for a packet whose frame is known: whole has frame->size bytes. */
enum decode_result packet_decode_frame(const struct frame *frame, struct bytes whole,
                                       enum version version, struct packet *out, enum reason *why);

/* Walk the filters of a decoded packet: *rest starts as subscribe.filters. */
bool subscribe_next(struct bytes *rest, struct bytes *filter, uint8_t *options);
bool unsubscribe_next(struct bytes *rest, struct bytes *filter);

/* The encoded size, and the encoding into exactly that many bytes.  For SUBSCRIBE and UNSUBSCRIBE
 * `filters` is the encoded list.  Properties and reasons that the version does not have are left
 * out; a reason of SUCCESS without properties takes the short form.  A size above PACKET_SIZE_MAX
 * says that the packet cannot be encoded; encoding it all the same is asserted against. */
size_t packet_size(const struct packet *p, enum version version);
void packet_encode(const struct packet *p, enum version version, uint8_t *out);

/* A PUBACK, PUBREC, PUBREL or PUBCOMP of success, without properties: four bytes in any version. */
enum { ACK_PLAIN_SIZE = 4 };
void ack_plain_encode(enum packet_type type, uint16_t packet_id, uint8_t *out);

/* A PUBLISH without its payload, which the caller sends from where it is: the size of the head,
 * and the head of that size for a payload of p->payload.size bytes. */
size_t publish_head_size(const struct publish *p, enum version version);
void publish_head_encode(const struct publish *p, enum version version, size_t head, uint8_t *out);
