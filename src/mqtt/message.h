/* mqtt/message.h: an Application Message on its way: one counted block, immutable.
 *
 *     [ struct message | topic | properties | payload ]
 *     [ struct message | topic | properties ] -> [ what was received, with the payload in it ]
 *
 * Properties are those that travel to subscribers unaltered, still encoded: everything but Topic
 * Alias, Subscription Identifier, Message Expiry Interval and a Will's delay.  [MQTT-3.3.2-4]
 * [MQTT-3.3.2-15]
 * [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-20]  The order of User Properties is kept
 * [MQTT-3.3.2-18]. */
#pragma once

#include "base/block.h"
#include "mqtt/packet.h"

#define MESSAGE_NEVER INT64_MAX /* expires_ns of a message that does not expire */

struct message {
    struct block block;
    int64_t expires_ns; /* monotonic; MESSAGE_NEVER */
    uint64_t origin;    /* handle of the publishing session (No Local), 0: none */
    struct bytes topic;
    struct bytes properties;
    struct bytes payload;
    uint8_t qos; /* as published */
    bool retain; /* as published */
};

/* A new message with one reference.  The topic is given apart, because an alias may stand for it
 * in the packet.  Of the properties, those in p->properties.raw are taken; fields are not looked
 * at.  expires_ns: computed by the caller.  NULL: no memory. */
struct message *message_create(struct bytes topic, const struct publish *p, uint64_t origin,
                               int64_t expires_ns);

/* A counted copy of a view: a struct message whose bytes live elsewhere and whose block is unused.
 * Its properties must be such as travel on.  NULL: no memory. */
struct message *message_copy(const struct message *view);

/* The same, but its payload stays where it is: in `owner`, to which it refers. */
struct message *message_refer(const struct message *view, struct block *owner);

/* A copy of a view at `out`, which has room for a struct message and message_size(view) bytes
 * behind it: a view that lives as long as that memory. */
struct message *message_write(const struct message *view, void *out);

static inline struct message *message_ref(struct message *m)
{
    block_ref(&m->block);
    return m;
}

static inline void message_unref(struct message *m) /* NULL is fine */
{
    if (m != NULL)
        block_unref(&m->block);
}

/* What it weighs in a queue: topic, properties and payload. */
static inline size_t message_size(const struct message *m)
{
    return m->topic.size + m->properties.size + m->payload.size;
}

static inline bool message_is_expired(const struct message *m, int64_t now_ns)
{
    return m->expires_ns <= now_ns;
}

/* Seconds left, rounded up, at least 1, for the Message Expiry Interval [MQTT-3.3.2-6]. */
uint32_t message_expiry_s(const struct message *m, int64_t now_ns);

/* The bytes of a property list that travel on (see above), written to out, which must have room for
 * list.size.  Returns how many. */
size_t message_properties_copy(struct bytes list, uint8_t *out);
