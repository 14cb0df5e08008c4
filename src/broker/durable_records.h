/* broker/durable_records.h: what the broker keeps in the store, as bytes: docs/formats/records.md.
 *
 * Keys begin with a letter that says what they are.  Times are stored as wall time; `clock_ns` is
 * what has to be added to our monotonic time to get it.  Pure. */
#pragma once

#include "base/buffer.h"
#include "mqtt/message.h"
#include "store/record.h"

enum {
    KEY_SESSION = 's',
    KEY_SUBSCRIPTION = 'f',
    KEY_RETAINED = 'r',
    KEY_RECEIVED = 'q', /* QoS 2 from the Client: PUBREC sent, PUBREL awaited */
    KEY_GROUP = 'g',    /* of a Shared Subscription; its queue has the same number */
    KEY_RELEASED = 'p', /* QoS 2 to the Client: PUBREC has come, PUBCOMP awaited */
};

/* ------------------------------------------------------------------------------------ keys ---- */

struct durable_key { /* one of them, taken apart */
    uint8_t kind;
    uint64_t session;    /* or group */
    uint64_t number;     /* KEY_RECEIVED: Packet Identifier; KEY_RELEASED: seq */
    struct bytes filter; /* KEY_SUBSCRIPTION; KEY_RETAINED: the topic */
};

/* Appends the key.  0 or -ENOMEM. */
int durable_key_write(struct buffer *out, const struct durable_key *k);
bool durable_key_read(struct bytes bytes, struct durable_key *out); /* false: it is not one */

/* -------------------------------------------------------------------------------- messages ---- */

enum { STORED_MESSAGE_HEAD = 16, STORED_MESSAGE_PARTS = 4 };

/* As parts of a record's body; head is the memory for the first one. */
void stored_message_parts(const struct message *m, int64_t clock_ns,
                          uint8_t head[STORED_MESSAGE_HEAD], struct bytes parts[4]);

/* A counted message again.  NULL with *no_memory set or not: otherwise it is damaged. */
struct message *stored_message_read(struct bytes body, int64_t clock_ns, bool *no_memory);

/* How a message goes to one Session: the data of a queue's entry. */
struct stored_delivery {
    uint8_t qos;
    bool retain, until_sent;
    struct bytes ids; /* Subscription Identifiers, four bytes each, as stored */
};

enum { STORED_DELIVERY_HEAD = 4 };
/* count identifiers at ids; out has room for the head and four bytes for each. */
size_t stored_delivery_write(const struct stored_delivery *d, const uint32_t *ids, size_t count,
                             uint8_t *out);
bool stored_delivery_read(struct bytes data, struct stored_delivery *out);
uint32_t stored_delivery_id(const struct stored_delivery *d, size_t index);

/* -------------------------------------------------------------------------------- Sessions ---- */

struct stored_session {
    struct bytes client_id;
    struct bytes username; /* data NULL: none */
    uint32_t expiry_s;     /* UINT32_MAX: never */
    bool is_connected;
    int64_t since_ns;  /* wall time: when its connection began or ended */
    struct bytes will; /* a stored message; data NULL: none */
    uint32_t will_delay_s;
    int64_t will_lifetime_ns; /* MESSAGE_NEVER: no end */
    uint64_t sent_end;        /* not connected: all that was ever sent of its queue is before it */
};

int stored_session_write(struct buffer *out, const struct stored_session *s); /* 0 or -ENOMEM */
bool stored_session_read(struct bytes value, struct stored_session *out);

/* A stored message as bytes in one piece, for a Will.  0 or -ENOMEM. */
int stored_message_write(struct buffer *out, const struct message *m, int64_t clock_ns);

struct stored_subscription {
    uint32_t options; /* of router/subscriber.h: only those of SUBSCRIBE */
    uint32_t id;      /* 0: none */
};

enum { STORED_SUBSCRIPTION_SIZE = 8 };
void stored_subscription_write(const struct stored_subscription *s, uint8_t *out);
bool stored_subscription_read(struct bytes value, struct stored_subscription *out);
