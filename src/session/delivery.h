/* session/delivery.h: one message on its way to one Client.
 *
 * A small value that moves from the queue to the in-flight window.  It owns one reference to its
 * message, and its list of Subscription Identifiers if it has several. */
#pragma once

#include "base/memory.h"
#include "mqtt/message.h"
#include <assert.h>

enum delivery_state {
    DELIVERY_WAITS,         /* in the queue */
    DELIVERY_AWAITS_PUBACK, /* QoS 1, sent */
    DELIVERY_AWAITS_PUBREC, /* QoS 2, sent */
    DELIVERY_AWAITS_PUBCOMP /* QoS 2, PUBREL sent; the message is no longer held */
};

enum {
    DELIVERY_RETAIN = 1 << 0,     /* the RETAIN flag of the PUBLISH */
    DELIVERY_MANY_IDS = 1 << 1,   /* ids.many is in use */
    DELIVERY_UNSENT = 1 << 2,     /* in flight, but not yet sent in this Network Connection */
    DELIVERY_UNSAFE = 1 << 3,     /* stored, but not on the disk yet: QoS 2 has to wait */
    DELIVERY_UNTIL_SENT = 1 << 4, /* persistence mode queued: finished for the store when sent */
    DELIVERY_STORE_FINISHED = 1 << 5, /* the store has been told already */
};

struct delivery {
    struct message *message;
    union {
        uint32_t one;   /* the Subscription Identifier, 0: none */
        uint32_t *many; /* many[0] of them follow */
    } ids;
    uint64_t seq;           /* its place in the Session's stored queue; 0: it is not stored */
    struct block *deposit;  /* a reference to what is still on its way to the disk, or NULL */
    uint64_t group;         /* handle of the Shared Subscription's group it came from, 0: none */
    uint64_t ticket;        /* to give back to that group when finished */
    uint32_t deposit_index; /* which of the deposit's entries this is */
    uint16_t packet_id;
    uint16_t older, newer; /* the window's order: slots */
    uint8_t qos : 2, state : 2;
    uint8_t flags;
};

static_assert(sizeof(struct delivery) == 64, "queues hold many of them");

/* Drops what it owns.  The struct itself is the caller's. */
static inline void delivery_fini(struct delivery *d)
{
    message_unref(d->message);
    d->message = NULL;
    if (d->deposit != NULL)
        block_unref(d->deposit);
    d->deposit = NULL;
    if ((d->flags & DELIVERY_MANY_IDS) != 0)
        memory_free(d->ids.many);
    d->ids.many = NULL;
    d->flags &= (uint8_t)~DELIVERY_MANY_IDS;
}

/* The identifiers as an array. */
static inline size_t delivery_ids(const struct delivery *d, const uint32_t **ids)
{
    if ((d->flags & DELIVERY_MANY_IDS) != 0) {
        *ids = d->ids.many + 1;
        return d->ids.many[0];
    }
    *ids = &d->ids.one;
    return d->ids.one != 0;
}

static inline size_t delivery_size(const struct delivery *d)
{
    return d->message == NULL ? 0 : message_size(d->message);
}
