/* session/inflight.c: a ring of slots indexed by the low bits of the Packet Identifier.
 *
 *     slot    0    1    2    3    4    5    6    7        capacity 8, next_id 12
 *     id      8    9    -   11    4    -    -    7        9 was sent after 8; 4 is the oldest
 *
 * One slot per identifier, no chains: an identifier whose slot is taken is skipped, and the ring
 * doubles before it is full.  Two identifiers that differ under a small mask differ under a larger
 * one, so growing never collides, and makes way for an identifier that the caller has chosen.
 * Rejected: a bitmap of 65536 bits per session (8 KiB each). */
#include "session/inflight.h"

enum { CAPACITY_FIRST = 8, CAPACITY_MAX = 65536, IN_FLIGHT_MAX = 65535 };

void inflight_init(struct inflight *w)
{
    *w = (struct inflight){ .next_id = 1 };
}

void inflight_fini(struct inflight *w)
{
    struct inflight_ring *r = w->ring;
    for (uint32_t i = 0; r != NULL && i < r->capacity; i++)
        if (r->slots[i].packet_id != 0)
            delivery_fini(&r->slots[i]);
    memory_free(r);
    inflight_init(w);
}

static uint16_t slot_of(const struct inflight_ring *r, uint16_t packet_id)
{
    return (uint16_t)(packet_id & (r->capacity - 1));
}

static void link_newest(struct inflight_ring *r, struct delivery *d)
{
    uint16_t slot = (uint16_t)(d - r->slots);
    if (r->count == 0)
        r->oldest = slot;
    else
        r->slots[r->newest].newer = slot;
    d->older = r->newest;
    d->newer = slot; /* the newest points at itself */
    r->newest = slot;
    r->count++;
}

static bool grow(struct inflight *w)
{
    struct inflight_ring *old = w->ring;
    uint32_t capacity = old == NULL ? CAPACITY_FIRST : old->capacity * 2;
    struct inflight_ring *r = memory_alloc_zero(sizeof *r + capacity * sizeof *r->slots);
    if (r == NULL)
        return false;

    r->capacity = capacity;
    r->bytes = inflight_bytes(w);
    for (struct delivery *d = NULL; (d = inflight_next(w, d)) != NULL;) {
        struct delivery *moved = &r->slots[slot_of(r, d->packet_id)];
        assert(moved->packet_id == 0);
        *moved = *d;
        link_newest(r, moved);
    }
    memory_free(old);
    w->ring = r;
    return true;
}

static bool is_crowded(const struct inflight_ring *r)
{
    return r == NULL || (r->count == r->capacity && r->capacity < CAPACITY_MAX);
}

static uint16_t id_after(uint16_t packet_id)
{
    return packet_id == UINT16_MAX ? 1 : (uint16_t)(packet_id + 1);
}

static inline __attribute__((always_inline)) struct delivery *
put(struct inflight_ring *r, const struct delivery *d, uint16_t packet_id)
{
    struct delivery *stored = &r->slots[slot_of(r, packet_id)];
    *stored = *d;
    stored->packet_id = packet_id;
    stored->state = d->qos == 1 ? DELIVERY_AWAITS_PUBACK : DELIVERY_AWAITS_PUBREC;
    r->bytes += delivery_size(stored);
    link_newest(r, stored);
    return stored;
}

struct delivery *inflight_add(struct inflight *w, const struct delivery *d)
{
    assert(d->message != NULL && d->qos > 0);
    if (inflight_count(w) == IN_FLIGHT_MAX || (is_crowded(w->ring) && !grow(w)))
        return NULL;

    uint16_t id = w->next_id; /* [MQTT-2.2.1-4]: non-zero and unused */
    while (w->ring->slots[slot_of(w->ring, id)].packet_id != 0)
        id = id_after(id);
    w->next_id = id_after(id);
    return put(w->ring, d, id);
}

struct delivery *inflight_add_above(struct inflight *w, const struct delivery *d, uint16_t floor)
{
    assert(d->message != NULL && d->qos > 0);
    if (is_crowded(w->ring) && !grow(w))
        return NULL;

    uint16_t id = w->next_id;
    for (uint32_t left = UINT16_MAX; left > 0; left--, id = id_after(id)) {
        id = id > floor ? id : (uint16_t)(floor + 1);
        if (w->ring->slots[slot_of(w->ring, id)].packet_id != 0)
            continue;
        w->next_id = id_after(id);
        return put(w->ring, d, id);
    }
    return NULL;
}

struct delivery *inflight_add_as(struct inflight *w, const struct delivery *d, uint16_t packet_id)
{
    assert(packet_id != 0 && d->qos > 0 && (d->message != NULL || d->qos == 2));
    if (inflight_find(w, packet_id) != NULL)
        return NULL;
    while (w->ring == NULL || w->ring->slots[slot_of(w->ring, packet_id)].packet_id != 0)
        if (!grow(w))
            return NULL;

    struct delivery *stored = put(w->ring, d, packet_id);
    if (d->message == NULL)
        stored->state = DELIVERY_AWAITS_PUBCOMP;
    return stored;
}

struct delivery *inflight_find(const struct inflight *w, uint16_t packet_id)
{
    if (inflight_count(w) == 0 || packet_id == 0)
        return NULL;
    struct delivery *d = &w->ring->slots[slot_of(w->ring, packet_id)];
    return d->packet_id == packet_id ? d : NULL;
}

void inflight_drop_message(struct inflight *w, struct delivery *d)
{
    assert(w->ring->bytes >= delivery_size(d));
    w->ring->bytes -= delivery_size(d);
    delivery_fini(d);
}

void inflight_remove(struct inflight *w, struct delivery *d)
{
    struct inflight_ring *r = w->ring;
    uint16_t slot = (uint16_t)(d - r->slots);
    assert(r->count > 0 && d->packet_id != 0);
    if (slot == r->oldest)
        r->oldest = d->newer;
    else
        r->slots[d->older].newer = slot == r->newest ? d->older : d->newer;
    if (slot == r->newest)
        r->newest = d->older;
    else
        r->slots[d->newer].older = d->older;
    inflight_drop_message(w, d);
    d->packet_id = 0;
    r->count--;
}

struct delivery *inflight_next(const struct inflight *w, const struct delivery *after)
{
    struct inflight_ring *r = w->ring;
    if (inflight_count(w) == 0)
        return NULL;
    if (after == NULL)
        return &r->slots[r->oldest];
    if (after == &r->slots[r->newest])
        return NULL;
    return &r->slots[after->newer];
}

void inflight_trim(struct inflight *w)
{
    if (inflight_count(w) > 0)
        return;
    memory_free(w->ring);
    w->ring = NULL;
}

void inflight_check(const struct inflight *w)
{
    uint32_t count = 0;
    size_t bytes = 0;
    for (struct delivery *d = NULL; (d = inflight_next(w, d)) != NULL; count++) {
        assert(d->packet_id != 0 && slot_of(w->ring, d->packet_id) == d - w->ring->slots);
        assert((d->state == DELIVERY_AWAITS_PUBCOMP) == (d->message == NULL));
        assert(d->state != DELIVERY_WAITS && count < w->ring->count);
        bytes += delivery_size(d);
    }
    assert(count == inflight_count(w) && bytes == inflight_bytes(w));
    assert(w->ring == NULL || count <= w->ring->capacity);
}
