/* session/queue.h: deliveries that wait for their turn: first in, first out, in a ring that
 * doubles.  The book is kept in the ring's block: most queues are empty, and those are one NULL.
 * One thread. */
#pragma once

#include "session/delivery.h"

struct queue_ring {
    size_t capacity; /* a power of two */
    size_t head;     /* index of the oldest */
    size_t count;
    size_t bytes; /* of their messages */
    size_t qos0_count;
    struct delivery deliveries[];
};

struct queue {
    struct queue_ring *ring; /* kept while it is empty, until trimmed; NULL: none */
};

static inline size_t queue_count(const struct queue *q)
{
    return q->ring == NULL ? 0 : q->ring->count;
}

static inline size_t queue_bytes(const struct queue *q)
{
    return q->ring == NULL ? 0 : q->ring->bytes;
}

static inline size_t queue_qos0_count(const struct queue *q)
{
    return q->ring == NULL ? 0 : q->ring->qos0_count;
}

void queue_init(struct queue *q);
void queue_fini(struct queue *q);

int queue_push(struct queue *q, const struct delivery *d); /* takes over; 0 or -ENOMEM */
struct delivery *queue_first(const struct queue *q);       /* NULL: empty */
void queue_pop(struct queue *q, struct delivery *out);     /* not empty; *out is the caller's now */
void queue_unpop(struct queue *q, const struct delivery *d); /* right after a pop: back to front */
struct delivery *queue_at(const struct queue *q, size_t index); /* 0 is the oldest */

void queue_trim(struct queue *q); /* gives memory back when empty */
void queue_check(const struct queue *q);
