/* client/outbox.c: three rings.  A message is one block: the struct, then its bytes. */
#include "client/outbox.h"
#include "base/memory.h"
#include <errno.h>

static struct outgoing *outgoing_of(struct list *link)
{
    return container_of(link, struct outgoing, link);
}

void outbox_init(struct outbox *box)
{
    memset(box, 0, sizeof *box);
    list_init(&box->waiting);
    list_init(&box->inflight);
    list_init(&box->dropped);
}

static void free_all(struct list *ring)
{
    for (struct list *link; (link = list_pop_front(ring)) != NULL;)
        memory_free(outgoing_of(link));
}

void outbox_fini(struct outbox *box)
{
    free_all(&box->waiting);
    free_all(&box->inflight);
    free_all(&box->dropped);
}

static struct bytes put(uint8_t **at, struct bytes bytes)
{
    struct bytes copy = bytes_of(*at, bytes.size);
    if (bytes.size > 0)
        memcpy(*at, bytes.data, bytes.size);
    *at += bytes.size;
    return copy;
}

static size_t size_of(const struct outgoing *m)
{
    return sizeof *m + m->topic.size + m->payload.size + m->properties.size;
}

struct outgoing *outbox_add(struct outbox *box, struct bytes topic, struct bytes payload,
                            struct bytes properties)
{
    size_t size = sizeof(struct outgoing);
    if (__builtin_add_overflow(size, topic.size, &size) ||
        __builtin_add_overflow(size, payload.size, &size) ||
        __builtin_add_overflow(size, properties.size, &size))
        return NULL;
    struct outgoing *m = memory_alloc(size);
    if (m == NULL)
        return NULL;
    memset(m, 0, sizeof *m);
    uint8_t *at = (uint8_t *)(m + 1);
    m->topic = put(&at, topic);
    m->payload = put(&at, payload);
    m->properties = put(&at, properties);
    list_init(&m->link);
    list_push_back(&box->waiting, &m->link);
    box->count++;
    box->bytes += size;
    return m;
}

static struct outgoing *first_of(const struct list *ring)
{
    return list_is_empty(ring) ? NULL : outgoing_of(ring->next);
}

struct outgoing *outbox_first_waiting(const struct outbox *box)
{
    return first_of(&box->waiting);
}

struct outgoing *outbox_first_dropped(const struct outbox *box)
{
    return first_of(&box->dropped);
}

void outbox_mark_sent(struct outbox *box, struct outgoing *m)
{
    assert(box->waiting.next == &m->link);
    list_remove(&m->link);
    list_push_back(&box->inflight, &m->link);
    m->place = IS_INFLIGHT;
    box->inflight_count++;
    m->was_sent = true;
    m->awaits = m->qos == 1 ? AWAITS_PUBACK : AWAITS_PUBREC;
}

struct outgoing *outbox_next_inflight(const struct outbox *box, struct outgoing *m)
{
    struct list *next = m == NULL ? box->inflight.next : m->link.next;
    return next == &box->inflight ? NULL : outgoing_of(next);
}

struct outgoing *outbox_find(const struct outbox *box, uint16_t packet_id)
{
    struct outgoing *m = NULL;
    do
        m = outbox_next_inflight(box, m);
    while (m != NULL && m->packet_id != packet_id);
    return m;
}

/* Out of its ring and out of the books; it stays allocated. */
static void take(struct outbox *box, struct outgoing *m)
{
    list_remove(&m->link);
    if (m->place == IS_DROPPED)
        return;
    assert(box->count > 0);
    assert(box->bytes >= size_of(m));
    box->count--;
    box->bytes -= size_of(m);
    box->inflight_count -= (m->place == IS_INFLIGHT);
}

void outbox_remove(struct outbox *box, struct outgoing *m)
{
    take(box, m);
    memory_free(m);
}

void outbox_drop(struct outbox *box, struct outgoing *m, int error, uint8_t reason)
{
    assert(m->place != IS_DROPPED);
    take(box, m);
    m->place = IS_DROPPED;
    m->error = error;
    m->reason = reason;
    list_push_back(&box->dropped, &m->link);
}

/* Back to the head of the waiting: called for the last one first, to keep the order. */
static void wait_again(struct outbox *box, struct outgoing *m)
{
    list_remove(&m->link);
    list_push_front(&box->waiting, &m->link);
    m->place = IS_WAITING;
    box->inflight_count--;
}

static void requeue(struct outbox *box)
{
    for (struct list *at = box->inflight.prev, *before; at != &box->inflight; at = before) {
        before = at->prev;
        if (outgoing_of(at)->awaits != AWAITS_PUBCOMP)
            wait_again(box, outgoing_of(at));
    }
}

/* The Session is gone, and with it the meaning of "was sent". */
static void forget_sent(struct outbox *box, struct list *ring)
{
    for (struct list *at = ring->next, *next; at != ring; at = next) {
        next = at->next;
        struct outgoing *m = outgoing_of(at);
        if (!m->was_sent)
            continue;
        m->was_sent = false;
        if (m->qos == 2)
            outbox_drop(box, m, m->awaits == AWAITS_PUBCOMP ? 0 : -ESTALE, 0);
    }
}

void outbox_restart(struct outbox *box, bool session_present)
{
    requeue(box);
    if (session_present)
        return;
    forget_sent(box, &box->waiting);
    forget_sent(box, &box->inflight);
}
