/* session/queue.c: see queue.h. */
#include "session/queue.h"
#include <errno.h>

enum { CAPACITY_FIRST = 8 };

void queue_init(struct queue *q)
{
    *q = (struct queue){ 0 };
}

void queue_fini(struct queue *q)
{
    for (size_t i = 0; i < queue_count(q); i++)
        delivery_fini(queue_at(q, i));
    memory_free(q->ring);
    queue_init(q);
}

struct delivery *queue_at(const struct queue *q, size_t index)
{
    struct queue_ring *r = q->ring;
    assert(index < queue_count(q));
    return &r->deliveries[(r->head + index) & (r->capacity - 1)];
}

static int grow(struct queue *q)
{
    struct queue_ring *old = q->ring;
    size_t capacity = old == NULL ? CAPACITY_FIRST : old->capacity * 2, bytes;
    if (__builtin_mul_overflow(capacity, sizeof(struct delivery), &bytes) ||
        __builtin_add_overflow(bytes, sizeof(struct queue_ring), &bytes))
        return -ENOMEM;
    struct queue_ring *r = memory_alloc(bytes);
    if (r == NULL)
        return -ENOMEM;
    *r = old == NULL ? (struct queue_ring){ 0 } : *old;
    for (size_t i = 0; i < r->count; i++)
        r->deliveries[i] = *queue_at(q, i);
    r->capacity = capacity;
    r->head = 0;
    memory_free(old);
    q->ring = r;
    return 0;
}

int queue_push(struct queue *q, const struct delivery *d)
{
    assert(d->message != NULL);
    if ((q->ring == NULL || q->ring->count == q->ring->capacity) && grow(q) != 0)
        return -ENOMEM;
    struct queue_ring *r = q->ring;
    r->count++;
    *queue_at(q, r->count - 1) = *d;
    queue_at(q, r->count - 1)->state = DELIVERY_WAITS;
    r->bytes += delivery_size(d);
    r->qos0_count += d->qos == 0;
    return 0;
}

struct delivery *queue_first(const struct queue *q)
{
    return queue_count(q) == 0 ? NULL : queue_at(q, 0);
}

void queue_pop(struct queue *q, struct delivery *out)
{
    struct queue_ring *r = q->ring;
    *out = *queue_at(q, 0);
    r->head = (r->head + 1) & (r->capacity - 1);
    r->count--;
    assert(r->bytes >= delivery_size(out));
    r->bytes -= delivery_size(out);
    r->qos0_count -= out->qos == 0;
}

void queue_unpop(struct queue *q, const struct delivery *d)
{
    struct queue_ring *r = q->ring;
    assert(r != NULL && r->count < r->capacity);
    r->head = (r->head - 1) & (r->capacity - 1);
    r->count++;
    r->deliveries[r->head] = *d;
    r->bytes += delivery_size(d);
    r->qos0_count += d->qos == 0;
}

void queue_trim(struct queue *q)
{
    if (queue_count(q) > 0)
        return;
    memory_free(q->ring);
    queue_init(q);
}

void queue_check(const struct queue *q)
{
    size_t bytes = 0, qos0_count = 0;
    for (size_t i = 0; i < queue_count(q); i++) {
        assert(queue_at(q, i)->state == DELIVERY_WAITS);
        bytes += delivery_size(queue_at(q, i));
        qos0_count += queue_at(q, i)->qos == 0;
    }
    assert(bytes == queue_bytes(q) && qos0_count == queue_qos0_count(q));
    assert(q->ring == NULL || q->ring->count <= q->ring->capacity);
}
