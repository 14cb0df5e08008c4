/* client/packet_ids.c: two tables with an entry for every identifier there is.
 *
 *     used[]    bit  id % 64 of word id / 64               8 KiB
 *     states[]  bits 2 (id % 4) and 2 (id % 4) + 1 of byte id / 4   16 KiB
 *
 * A table of a fixed size cannot be filled up by a hostile Server, and asks nothing of memory when
 * a packet arrives. */
#include "client/packet_ids.h"
#include <assert.h>
#include <string.h>

static bool is_used(const struct packet_ids *ids, uint16_t id)
{
    return (ids->used[id / 64] >> (id % 64) & 1) != 0;
}

uint16_t packet_ids_take(struct packet_ids *ids)
{
    for (uint32_t tries = 0; tries < UINT16_MAX; tries++) {
        ids->last = ids->last == UINT16_MAX ? 1 : (uint16_t)(ids->last + 1);
        if (!is_used(ids, ids->last)) {
            ids->used[ids->last / 64] |= UINT64_C(1) << (ids->last % 64);
            return ids->last;
        }
    }
    return 0;
}

void packet_ids_give_back(struct packet_ids *ids, uint16_t id)
{
    assert(is_used(ids, id));
    ids->used[id / 64] &= ~(UINT64_C(1) << (id % 64));
}

enum arrival arrivals_at(const struct arrivals *a, uint16_t id)
{
    return (enum arrival)(a->states[id / 4] >> (id % 4 * 2) & 3);
}

void arrivals_set(struct arrivals *a, uint16_t id, enum arrival state)
{
    unsigned shift = id % 4 * 2;
    enum arrival before = arrivals_at(a, id);
    a->count += (state != ARRIVAL_NONE);
    a->count -= (before != ARRIVAL_NONE);
    a->states[id / 4] = (uint8_t)((a->states[id / 4] & ~(3u << shift)) | (unsigned)state << shift);
}

void arrivals_forget_unacknowledged(struct arrivals *a)
{
    if (a->count == 0)
        return;
    for (uint32_t id = 1; id <= UINT16_MAX; id++) {
        if (arrivals_at(a, (uint16_t)id) != ARRIVAL_RECEIVED)
            arrivals_set(a, (uint16_t)id, ARRIVAL_NONE);
    }
}

void arrivals_forget_all(struct arrivals *a)
{
    memset(a, 0, sizeof *a);
}
