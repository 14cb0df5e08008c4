/* session/inflight.h: the messages of QoS 1 and 2 that were sent and are not finished.
 *
 * Slot `packet_id & mask` holds the delivery with that Packet Identifier, so finding one is an
 * index.  Identifiers rise by one and skip those whose slot is taken, or the caller says which.  A
 * list through the slots keeps the order of sending, which redelivery has to follow [MQTT-4.6.0-1].
 * All but the next identifier is in the slots' block, which a window that was never used does not
 * have. */
#pragma once

#include "session/delivery.h"

struct inflight_ring {
    uint32_t capacity; /* a power of two up to 65536 */
    uint32_t count;
    size_t bytes;            /* of the messages held */
    uint16_t oldest, newest; /* slots; meaningless when count is 0 */
    struct delivery slots[];
};

struct inflight {
    struct inflight_ring *ring; /* kept while it is empty, until trimmed; NULL: none */
    uint16_t next_id;

    /* What the session notes of its Network Connection; here, where there is room for it. */
    uint16_t window;  /* how many it may have open; 0: not attached to one */
    uint16_t resend;  /* Packet Identifier, 0: nothing left to send again */
    uint16_t unacked; /* sent in this connection and not finished */
};

static inline uint32_t inflight_count(const struct inflight *w)
{
    return w->ring == NULL ? 0 : w->ring->count;
}

static inline size_t inflight_bytes(const struct inflight *w)
{
    return w->ring == NULL ? 0 : w->ring->bytes;
}

void inflight_init(struct inflight *w);
void inflight_fini(struct inflight *w);

/* Takes over *d, gives it an unused Packet Identifier and makes it the newest.  The stored
 * delivery, valid until the next add, or NULL: no memory, or 65535 are in flight; then *d stays the
 * caller's. */
struct delivery *inflight_add(struct inflight *w, const struct delivery *d);

/* The same with an identifier above `floor`.  NULL: also when those are all in use. */
struct delivery *inflight_add_above(struct inflight *w, const struct delivery *d, uint16_t floor);

/* The same with this identifier; without a message it awaits PUBCOMP.  NULL: no memory, or the
 * identifier is in use.  Slots for the range that is in flight are needed: with one that is never
 * acknowledged, in the end for all identifiers. */
struct delivery *inflight_add_as(struct inflight *w, const struct delivery *d, uint16_t packet_id);

struct delivery *inflight_find(const struct inflight *w, uint16_t packet_id); /* NULL: none */

/* The message has arrived for good: drops it, keeps the Packet Identifier. */
void inflight_drop_message(struct inflight *w, struct delivery *d);
void inflight_remove(struct inflight *w, struct delivery *d);

/* Walks from the oldest to the newest: start with NULL; NULL at the end.  The delivery that was
 * just returned may not be removed before the next call. */
struct delivery *inflight_next(const struct inflight *w, const struct delivery *after);

void inflight_trim(struct inflight *w); /* gives memory back when nothing is in flight */
void inflight_check(const struct inflight *w);
