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
    for (size_t i = 0; i < q->count; i++)
        delivery_fini(queue_at(q, i));
    memory_free(q->ring);
    queue_init(q);
}

struct delivery *queue_at(const struct queue *q, size_t index)
{
    assert(index < q->count);
    return &q->ring[(q->head + index) & (q->capacity - 1)];
}

static int grow(struct queue *q)
{
    size_t capacity = q->capacity == 0 ? CAPACITY_FIRST : q->capacity * 2, bytes;
    if (__builtin_mul_overflow(capacity, sizeof *q->ring, &bytes))
        return -ENOMEM;
    struct delivery *ring = memory_alloc(bytes);
    if (ring == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < q->count; i++)
        ring[i] = *queue_at(q, i);
    memory_free(q->ring);
    q->ring = ring;
    q->capacity = capacity;
    q->head = 0;
    return 0;
}

int queue_push(struct queue *q, const struct delivery *d)
{
    assert(d->message != NULL);
    if (q->count == q->capacity && grow(q) != 0)
        return -ENOMEM;
    q->count++;
    *queue_at(q, q->count - 1) = *d;
    queue_at(q, q->count - 1)->state = DELIVERY_WAITS;
    q->bytes += delivery_size(d);
    q->qos0_count += d->qos == 0;
    return 0;
}

struct delivery *queue_first(const struct queue *q)
{
    return q->count == 0 ? NULL : queue_at(q, 0);
}

void queue_pop(struct queue *q, struct delivery *out)
{
    *out = *queue_at(q, 0);
    q->head = (q->head + 1) & (q->capacity - 1);
    q->count--;
    assert(q->bytes >= delivery_size(out));
    q->bytes -= delivery_size(out);
    q->qos0_count -= out->qos == 0;
}

void queue_unpop(struct queue *q, const struct delivery *d)
{
    assert(q->count < q->capacity);
    q->head = (q->head - 1) & (q->capacity - 1);
    q->count++;
    q->ring[q->head] = *d;
    q->bytes += delivery_size(d);
    q->qos0_count += d->qos == 0;
}

void queue_trim(struct queue *q)
{
    if (q->count > 0)
        return;
    memory_free(q->ring);
    queue_init(q);
}

void queue_check(const struct queue *q)
{
    size_t bytes = 0, qos0_count = 0;
    for (size_t i = 0; i < q->count; i++) {
        assert(queue_at(q, i)->state == DELIVERY_WAITS);
        bytes += delivery_size(queue_at(q, i));
        qos0_count += queue_at(q, i)->qos == 0;
    }
    assert(bytes == q->bytes && q->count <= q->capacity);
    assert(qos0_count == q->qos0_count);
}
