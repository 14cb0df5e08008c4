/* chappe/client.h: an MQTT client without a socket.
 *
 * The client knows the protocol and nothing else: it opens no connection, reads no clock, starts no
 * thread and never blocks.  Its owner carries the bytes:
 *
 *              +-- receive(bytes, now) -->+                  +--> next(now): an event
 *     socket   |                          | chappe_client    |
 *              +<-- output() / sent() ----+                  +<-- publish(), subscribe(), ...
 *
 * After every chappe_client_receive, and when the clock reaches chappe_client_deadline_ns, call
 * chappe_client_next until it says false; then send what chappe_client_output holds.
 * chappe/loop.h is a ready-made owner for TCP.
 *
 * Threads: a client belongs to one thread at a time; two clients never touch each other.
 * Time: now_ns is the caller's monotonic clock in nanoseconds; it must not go back.
 * Ownership: what is passed in is copied.  What an event points to is borrowed until the next call
 * of chappe_client_next, _receive, _connect, _closed or _destroy.
 * Errors: functions return 0 or a negative errno, and after a failure nothing has changed:
 *     -EINVAL    the standard or this header does not allow these arguments
 *     -ENOMEM    no memory
 *     -ENOTCONN  needs a connection that the Server has accepted */
#ifndef CHAPPE_CLIENT_H
#define CHAPPE_CLIENT_H

#include <chappe/properties.h>
#include <chappe/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct chappe_client;

#define CHAPPE_NEVER INT64_MAX /* a deadline that does not come */

/* An Application Message (MQTT 5.0, section 3.3). */
struct chappe_message {
    struct chappe_bytes topic; /* a Topic Name; UTF-8 */
    struct chappe_bytes payload;
    int qos; /* 0, 1 or 2 */
    bool retain;
    bool dup; /* received: perhaps not the first time; ignored when publishing */
    struct chappe_bytes properties;
};

/* What CONNECT says (MQTT 5.0, section 3.1), and the client's own limits.  All zero is a start. */
struct chappe_client_options {
    enum chappe_version version;  /* 0: CHAPPE_MQTT_5_0 */
    const char *client_id;        /* NULL or "": the Server chooses; not with MQTT 3.1, nor in
                                     3.1.1 without clean_start */
    bool clean_start;             /* false: go on with the Session the Server may have.  In 3.x
                                     it also ends the Session with the connection.  In 5.0 it is
                                     meant for the first connection: a later one resumes, if a
                                     Session Expiry Interval kept the Session. */
    uint16_t keep_alive_s;        /* 0: off.  A Server Keep Alive replaces it [MQTT-3.2.2-21] */
    const char *username;         /* NULL: none */
    struct chappe_bytes password; /* data NULL: none.  3.x: only with a user name */
    const struct chappe_message *will; /* NULL: none.  Its properties are Will Properties. */
    struct chappe_bytes properties;    /* of CONNECT, 5.0 only.  The client keeps to them: Receive
                                          Maximum, Maximum Packet Size, Topic Alias Maximum
                                          (incoming aliases are resolved), Session Expiry Interval
                                          and Authentication Method mean what they say. */

    uint32_t packet_size_max;    /* largest packet taken from the Server, bytes; 0: as large as
                                    the protocol allows (256 MiB) or the property says */
    uint16_t inflight_max;       /* QoS 1 and 2 messages under way at once; 0: 20.  The Server's
                                    Receive Maximum may lower it [MQTT-3.3.4-9] */
    size_t queue_bytes_max;      /* of messages waiting and under way; 0: 64 MiB.  One message
                                    alone may be larger. */
    uint16_t topic_aliases_max;  /* outgoing Topic Aliases to use, if the Server takes them;
                                    the first topics get them; 0: none */
    uint32_t connect_timeout_ms; /* from chappe_client_connect to CONNACK; 0: 30 s.  Also the
                                    longest wait for unsent output when closing. */
    bool manual_acks;            /* the caller says chappe_client_acknowledge */

    /* One line of text for each packet sent and received, in Mosquitto's words, without a newline
     * and with control characters replaced.  NULL: none.  It must not call the client. */
    void (*trace)(void *context, const char *line);
    void *trace_context;
};

/* A new client, not connected.  0, -EINVAL or -ENOMEM. */
CHAPPE_API int chappe_client_create(const struct chappe_client_options *options,
                                    struct chappe_client **client);

/* Ends it; unsent messages are lost, no packet is sent.  NULL is fine. */
CHAPPE_API void chappe_client_destroy(struct chappe_client *client);

/* Other options for the next connection; Session and queue stay.  -EISCONN unless OFFLINE. */
CHAPPE_API int chappe_client_configure(struct chappe_client *client,
                                       const struct chappe_client_options *options);

/* ----------------------------------------------------------------------- the connection ------ */

enum chappe_client_state {
    CHAPPE_OFFLINE,    /* no connection */
    CHAPPE_CONNECTING, /* CONNECT is on its way, CONNACK awaited */
    CHAPPE_CONNECTED,
    CHAPPE_CLOSING, /* send the output there is, close the transport, and say so with _closed */
};

CHAPPE_API enum chappe_client_state chappe_client_state(const struct chappe_client *client);

/* The transport is there: puts CONNECT into the output.  0, -EISCONN unless OFFLINE, -ENOMEM. */
CHAPPE_API int chappe_client_connect(struct chappe_client *client, int64_t now_ns);

/* Bytes from the Server, in pieces of any size.  0, -ENOMEM, -ENOTCONN when OFFLINE. */
CHAPPE_API int chappe_client_receive(struct chappe_client *client, struct chappe_bytes bytes,
                                     int64_t now_ns);

/* Bytes for the Server, good until the next call of any function; then how many of them went. */
CHAPPE_API struct chappe_bytes chappe_client_output(const struct chappe_client *client);
CHAPPE_API void chappe_client_sent(struct chappe_client *client, size_t size, int64_t now_ns);

/* The transport is closed; error: 0 for the end of the stream, or a negative errno.  OFFLINE from
 * now on; a DISCONNECTED event follows, unless one has told of the end already. */
CHAPPE_API void chappe_client_closed(struct chappe_client *client, int error);

/* When chappe_client_next must be called at the latest; CHAPPE_NEVER. */
CHAPPE_API int64_t chappe_client_deadline_ns(const struct chappe_client *client);

/* ------------------------------------------------------------------------------- events ------ */

enum chappe_event_type {
    /* CONNACK: accepted.  session_present, properties. */
    CHAPPE_EVENT_CONNECTED = 1,
    /* CONNACK: refused.  reason, properties.  CLOSING from now on. */
    CHAPPE_EVENT_REFUSED,
    /* The connection has ended, or is about to; pending SUBSCRIBEs and UNSUBSCRIBEs are forgotten.
     *   error 0, reason          the Server sent DISCONNECT with this reason and these properties;
     *                            SUCCESS also when we disconnected
     *   error -EPROTO, reason    the Server broke the protocol in this way
     *   error -ETIMEDOUT         no CONNACK, or no answer to PINGREQ, in time
     *   error, anything else     as given to _closed (end of stream: -ECONNRESET), or -ENOMEM */
    CHAPPE_EVENT_DISCONNECTED,
    /* PUBLISH: message, packet_id (0 for QoS 0).  A Topic Alias is resolved already.  properties
     * are message.properties. */
    CHAPPE_EVENT_MESSAGE,
    /* A QoS 1 or 2 message is done; packet_id as chappe_client_publish gave it, and free again.
     *   error 0, reason   the Server's, of PUBACK, PUBREC or PUBCOMP, with properties; or ours if
     * the Server cannot take the message: PACKET_TOO_LARGE, QOS_NOT_SUPPORTED, RETAIN_NOT_SUPPORTED
     *   error -ESTALE     the Server lost the Session before it answered a QoS 2 message: it may
     * have it or not, and sending it again could deliver it twice */
    CHAPPE_EVENT_PUBLISHED,
    /* SUBACK, UNSUBACK: packet_id, reasons (one byte per filter, in order), properties.  An
     * UNSUBACK of 3.x has no reasons. */
    CHAPPE_EVENT_SUBSCRIBED,
    CHAPPE_EVENT_UNSUBSCRIBED,
    /* AUTH: reason, properties; answer with chappe_client_authenticate. */
    CHAPPE_EVENT_AUTH,
};

struct chappe_event {
    enum chappe_event_type type;
    int error; /* 0 or a negative errno */
    enum chappe_reason reason;
    bool session_present;
    uint16_t packet_id;
    struct chappe_message message;
    struct chappe_bytes reasons;
    struct chappe_bytes properties;
};

/* The next event, or false: none for now.  Acknowledges the message of the event before (unless
 * manual_acks), sends what has become possible to send, and looks at the deadlines. */
CHAPPE_API bool chappe_client_next(struct chappe_client *client, int64_t now_ns,
                                   struct chappe_event *event);

/* ------------------------------------------------------------------------------ packets ------ */

/* Publishes (sections 3.3 and 4.3).  QoS 0: encoded into the output at once, -ENOTCONN unless
 * CONNECTED.  QoS 1 and 2: kept until the Server has it, over as many connections as that takes,
 * also before the first; *packet_id (may be NULL) names it in its PUBLISHED event. -ENOBUFS:
 * queue_bytes_max is reached or no packet id is free; wait for PUBLISHED events, or with QoS 0 for
 * output to go.  -EMSGSIZE, -ENOTSUP (QoS 0): larger than the Server's Maximum Packet Size;
 * retained, where it keeps nothing. */
CHAPPE_API int chappe_client_publish(struct chappe_client *client,
                                     const struct chappe_message *message, uint16_t *packet_id);

enum { /* Subscription Options (section 3.8.3.1), added to the QoS; only the QoS before 5.0 */
       CHAPPE_NO_LOCAL = 0x04,
       CHAPPE_RETAIN_AS_PUBLISHED = 0x08,
       CHAPPE_RETAIN_SEND_IF_NEW = 0x10,
       CHAPPE_RETAIN_DO_NOT_SEND = 0x20,
};

struct chappe_subscription {
    struct chappe_bytes filter; /* a Topic Filter, or $share/NAME/FILTER */
    uint8_t options;            /* QoS 0 to 2, plus options of above */
};

/* SUBSCRIBE and UNSUBSCRIBE with count filters (sections 3.8 and 3.10).  A Subscription Identifier
 * is a property.  *packet_id (may be NULL) names it in its event.  0, -EINVAL, -ENOMEM, -ENOTCONN,
 * -ENOBUFS (no packet id is free), -EMSGSIZE (larger than the Server's Maximum Packet Size). */
CHAPPE_API int chappe_client_subscribe(struct chappe_client *client,
                                       const struct chappe_subscription *subscriptions,
                                       size_t count, struct chappe_bytes properties,
                                       uint16_t *packet_id);
CHAPPE_API int chappe_client_unsubscribe(struct chappe_client *client,
                                         const struct chappe_bytes *filters, size_t count,
                                         struct chappe_bytes properties, uint16_t *packet_id);

/* Acknowledges a received message of QoS 1 or 2: PUBACK or PUBREC with this reason (5.0; before it
 * only SUCCESS) and properties.  Until then it counts against our Receive Maximum.  Acknowledge in
 * the order of arrival [MQTT-4.6.0-2] [MQTT-4.6.0-3].  -ENOENT: no such message awaits it, for
 * instance because the connection was lost; the Server will send it again. */
CHAPPE_API int chappe_client_acknowledge(struct chappe_client *client, uint16_t packet_id,
                                         enum chappe_reason reason, struct chappe_bytes properties);

/* AUTH (section 4.12): CHAPPE_CONTINUE_AUTHENTICATION answers an AUTH event,
 * CHAPPE_REAUTHENTICATE starts anew.  The Authentication Method of CONNECT is added when the list
 * lacks it.  -EINVAL: CONNECT named no method. */
CHAPPE_API int chappe_client_authenticate(struct chappe_client *client, enum chappe_reason reason,
                                          struct chappe_bytes properties);

/* DISCONNECT (section 3.14) with this reason and properties (5.0; before it plain SUCCESS).  Output
 * before it is still sent, a message handed out is acknowledged.  CLOSING from now on. */
CHAPPE_API int chappe_client_disconnect(struct chappe_client *client, enum chappe_reason reason,
                                        struct chappe_bytes properties);

/* ---------------------------------------------------------------------------- questions ------ */

/* The Client Identifier, also one that the Server assigned; "" when there is none yet.  Good until
 * the next connection. */
CHAPPE_API const char *chappe_client_id(const struct chappe_client *client);

/* QoS 1 and 2 messages published and not yet done. */
CHAPPE_API size_t chappe_client_queued(const struct chappe_client *client);

/* Does a Topic Filter match a Topic Name (section 4.7)?  False if either is malformed; a
 * $share/NAME/ in front is skipped. */
CHAPPE_API bool chappe_topic_matches(struct chappe_bytes filter, struct chappe_bytes name);

#ifdef __cplusplus
}
#endif
#endif
