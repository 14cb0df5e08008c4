/* session/packet_id_set.c: see packet_id_set.h. */
#include "session/packet_id_set.h"
#include "base/memory.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

enum { CAPACITY_FIRST = 8, CAPACITY_MAX = 65536 };

void packet_id_set_fini(struct packet_id_set *s)
{
    memory_free(s->ids);
    *s = (struct packet_id_set){ 0 };
}

/* The index of the first element that is not less than id. */
static uint32_t lower_bound(const struct packet_id_set *s, uint16_t id)
{
    uint32_t low = 0, high = s->count;
    if (high > 0 && s->ids[high - 1] < id)
        return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool packet_id_set_has(const struct packet_id_set *s, uint16_t id)
{
    uint32_t at = lower_bound(s, id);
    return at < s->count && s->ids[at] == id;
}

int packet_id_set_add(struct packet_id_set *s, uint16_t id)
{
    uint32_t at = lower_bound(s, id);
    assert(id != 0 && (at == s->count || s->ids[at] != id));
    if (s->count == s->capacity) {
        uint32_t capacity = s->capacity == 0 ? CAPACITY_FIRST : s->capacity * 2;
        assert(capacity <= CAPACITY_MAX);
        uint16_t *ids = memory_resize(s->ids, capacity * sizeof *ids);
        if (ids == NULL)
            return -ENOMEM;
        s->ids = ids;
        s->capacity = capacity;
    }
    memmove(s->ids + at + 1, s->ids + at, (s->count - at) * sizeof *s->ids);
    s->ids[at] = id;
    s->count++;
    return 0;
}

bool packet_id_set_remove(struct packet_id_set *s, uint16_t id)
{
    uint32_t at = lower_bound(s, id);
    if (at == s->count || s->ids[at] != id)
        return false;
    s->count--;
    memmove(s->ids + at, s->ids + at + 1, (s->count - at) * sizeof *s->ids);
    return true;
}

void packet_id_set_trim(struct packet_id_set *s)
{
    if (s->count == 0)
        packet_id_set_fini(s);
}
