/* session/inflight.c: a ring of slots indexed by the low bits of the Packet Identifier.
 *
 *     slot    0    1    2    3    4    5    6    7        capacity 8, next_id 12
 *     id      8    9    -   11    4    -    -    7        9 was sent after 8; 4 is the oldest
 *
 * One slot per identifier, no chains: an identifier whose slot is taken is skipped, and the ring
 * doubles before it is full.  Two identifiers that differ under a small mask differ under a larger
 * one, so growing never collides.  Rejected: a bitmap of 65536 bits per session (8 KiB each). */
#include "session/inflight.h"

enum { CAPACITY_FIRST = 8, CAPACITY_MAX = 65536, IN_FLIGHT_MAX = 65535 };

void inflight_init(struct inflight *w)
{
    *w = (struct inflight){ .next_id = 1 };
}

void inflight_fini(struct inflight *w)
{
    for (uint32_t i = 0; i < w->capacity; i++)
        if (w->slots[i].packet_id != 0)
            delivery_fini(&w->slots[i]);
    memory_free(w->slots);
    inflight_init(w);
}

static uint16_t slot_of(const struct inflight *w, uint16_t packet_id)
{
    return (uint16_t)(packet_id & (w->capacity - 1));
}

static void link_newest(struct inflight *w, struct delivery *d)
{
    uint16_t slot = (uint16_t)(d - w->slots);
    if (w->count == 0)
        w->oldest = slot;
    else
        w->slots[w->newest].newer = slot;
    d->older = w->newest;
    d->newer = slot; /* the newest points at itself */
    w->newest = slot;
    w->count++;
}

static bool grow(struct inflight *w)
{
    struct inflight bigger = *w;
    bigger.capacity = w->capacity == 0 ? CAPACITY_FIRST : w->capacity * 2;
    bigger.slots = memory_alloc_zero(bigger.capacity * sizeof *bigger.slots);
    if (bigger.slots == NULL)
        return false;

    bigger.count = 0;
    for (struct delivery *d = NULL; (d = inflight_next(w, d)) != NULL;) {
        struct delivery *moved = &bigger.slots[slot_of(&bigger, d->packet_id)];
        assert(moved->packet_id == 0);
        *moved = *d;
        link_newest(&bigger, moved);
    }
    memory_free(w->slots);
    *w = bigger;
    return true;
}

static uint16_t id_after(uint16_t packet_id)
{
    return packet_id == UINT16_MAX ? 1 : (uint16_t)(packet_id + 1);
}

struct delivery *inflight_add(struct inflight *w, const struct delivery *d)
{
    assert(d->message != NULL && d->qos > 0);
    if (w->count == IN_FLIGHT_MAX)
        return NULL;
    if (w->count == w->capacity && w->capacity < CAPACITY_MAX && !grow(w))
        return NULL;

    uint16_t id = w->next_id; /* [MQTT-2.2.1-4]: non-zero and unused */
    while (w->slots[slot_of(w, id)].packet_id != 0)
        id = id_after(id);
    w->next_id = id_after(id);

    struct delivery *stored = &w->slots[slot_of(w, id)];
    *stored = *d;
    stored->packet_id = id;
    stored->state = d->qos == 1 ? DELIVERY_AWAITS_PUBACK : DELIVERY_AWAITS_PUBREC;
    w->bytes += delivery_size(stored);
    link_newest(w, stored);
    return stored;
}

struct delivery *inflight_find(const struct inflight *w, uint16_t packet_id)
{
    if (w->count == 0 || packet_id == 0)
        return NULL;
    struct delivery *d = &w->slots[slot_of(w, packet_id)];
    return d->packet_id == packet_id ? d : NULL;
}

void inflight_drop_message(struct inflight *w, struct delivery *d)
{
    assert(w->bytes >= delivery_size(d));
    w->bytes -= delivery_size(d);
    delivery_fini(d);
}

void inflight_remove(struct inflight *w, struct delivery *d)
{
    uint16_t slot = (uint16_t)(d - w->slots);
    assert(w->count > 0 && d->packet_id != 0);
    if (slot == w->oldest)
        w->oldest = d->newer;
    else
        w->slots[d->older].newer = slot == w->newest ? d->older : d->newer;
    if (slot == w->newest)
        w->newest = d->older;
    else
        w->slots[d->newer].older = d->older;
    inflight_drop_message(w, d);
    d->packet_id = 0;
    w->count--;
}

struct delivery *inflight_next(const struct inflight *w, const struct delivery *after)
{
    if (w->count == 0)
        return NULL;
    if (after == NULL)
        return &w->slots[w->oldest];
    if (after == &w->slots[w->newest])
        return NULL;
    return &w->slots[after->newer];
}

void inflight_trim(struct inflight *w)
{
    if (w->count > 0)
        return;
    memory_free(w->slots);
    w->slots = NULL;
    w->capacity = 0;
}

void inflight_check(const struct inflight *w)
{
    uint32_t count = 0;
    size_t bytes = 0;
    for (struct delivery *d = NULL; (d = inflight_next(w, d)) != NULL; count++) {
        assert(d->packet_id != 0 && slot_of(w, d->packet_id) == d - w->slots);
        assert((d->state == DELIVERY_AWAITS_PUBCOMP) == (d->message == NULL));
        assert(d->state != DELIVERY_WAITS && count < w->count);
        bytes += delivery_size(d);
    }
    assert(count == w->count && bytes == w->bytes && count <= w->capacity);
}
