/* session/packet_id_set.c: see packet_id_set.h. */
#include "session/packet_id_set.h"
#include "base/memory.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

enum { CAPACITY_FIRST = 8, CAPACITY_MAX = 65536 };

void packet_id_set_fini(struct packet_id_set *s)
{
    memory_free(s->row);
    s->row = NULL;
}

/* The index of the first element that is not less than id. */
static uint32_t lower_bound(const struct packet_id_set *s, uint16_t id)
{
    uint32_t low = 0, high = packet_id_set_count(s);
    if (high > 0 && s->row->ids[high - 1] < id)
        return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->row->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct packet_id_set *s, uint32_t at, uint16_t id)
{
    return at < packet_id_set_count(s) && s->row->ids[at] == id;
}

bool packet_id_set_has(const struct packet_id_set *s, uint16_t id)
{
    return is_at(s, lower_bound(s, id), id);
}

static int grow(struct packet_id_set *s)
{
    struct packet_id_row *row = s->row;
    uint32_t count = packet_id_set_count(s);
    uint32_t capacity = row == NULL ? CAPACITY_FIRST : row->capacity * 2;
    assert(capacity <= CAPACITY_MAX);
    row = memory_resize(row, sizeof *row + capacity * sizeof *row->ids);
    if (row == NULL)
        return -ENOMEM;
    row->count = count;
    row->capacity = capacity;
    s->row = row;
    return 0;
}

int packet_id_set_add(struct packet_id_set *s, uint16_t id)
{
    uint32_t at = lower_bound(s, id);
    assert(id != 0 && !is_at(s, at, id));
    if ((s->row == NULL || s->row->count == s->row->capacity) && grow(s) != 0)
        return -ENOMEM;
    struct packet_id_row *row = s->row;
    memmove(row->ids + at + 1, row->ids + at, (row->count - at) * sizeof *row->ids);
    row->ids[at] = id;
    row->count++;
    return 0;
}

bool packet_id_set_remove(struct packet_id_set *s, uint16_t id)
{
    uint32_t at = lower_bound(s, id);
    if (!is_at(s, at, id))
        return false;
    struct packet_id_row *row = s->row;
    row->count--;
    memmove(row->ids + at, row->ids + at + 1, (row->count - at) * sizeof *row->ids);
    return true;
}

void packet_id_set_trim(struct packet_id_set *s)
{
    if (packet_id_set_count(s) == 0)
        packet_id_set_fini(s);
}
