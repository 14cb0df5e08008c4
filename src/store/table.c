/* store/table.c: open addressing, linear probing; a removed slot's run closes up.
 *
 * Invariant: between a key's home (`low` modulo the capacity) and the slot it is in, no slot is
 * free.  The table doubles at three quarters full and does not shrink: see base/map.c, which does
 * the same for objects that carry their keys. */
#include "store/table.h"
#include "base/memory.h"

#include <assert.h>
#include <errno.h>

enum { CAPACITY_MIN = 16 };

void table_fini(struct table *t)
{
    memory_free(t->slots);
    *t = (struct table){ 0 };
}

static struct table_slot *free_slot(struct table_slot *slots, size_t mask, struct table_key key)
{
    size_t i = key.low & mask;
    while (slots[i].value != 0)
        i = (i + 1) & mask;
    return &slots[i];
}

static int resize(struct table *t, size_t capacity)
{
    if (capacity > SIZE_MAX / sizeof(*t->slots))
        return -ENOMEM;
    struct table_slot *slots = memory_alloc_zero(capacity * sizeof(*slots));
    if (slots == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < t->capacity; i++)
        if (t->slots[i].value != 0)
            *free_slot(slots, capacity - 1, t->slots[i].key) = t->slots[i];
    memory_free(t->slots);
    t->slots = slots;
    t->capacity = capacity;
    return 0;
}

int table_reserve(struct table *t, size_t adds)
{
    if (adds > SIZE_MAX / 64 - t->count)
        return -ENOMEM;
    size_t capacity = t->capacity == 0 ? CAPACITY_MIN : t->capacity;
    while ((t->count + adds) * 4 > capacity * 3)
        capacity *= 2;
    return capacity == t->capacity ? 0 : resize(t, capacity);
}

struct table_slot *table_find(const struct table *t, struct table_key key)
{
    if (t->count == 0)
        return NULL;
    size_t mask = t->capacity - 1;
    for (size_t i = key.low & mask; t->slots[i].value != 0; i = (i + 1) & mask)
        if (t->slots[i].key.low == key.low && t->slots[i].key.high == key.high)
            return &t->slots[i];
    return NULL;
}

struct table_slot *table_add(struct table *t, struct table_key key, uint64_t value)
{
    assert(value != 0);
    assert((t->count + 1) * 4 <= t->capacity * 3); /* was reserved */
    struct table_slot *slot = free_slot(t->slots, t->capacity - 1, key);
    *slot = (struct table_slot){ key, value };
    t->count++;
    return slot;
}

void table_remove(struct table *t, struct table_slot *slot)
{
    assert(slot->value != 0);
    size_t mask = t->capacity - 1, hole = (size_t)(slot - t->slots);
    for (size_t i = (hole + 1) & mask; t->slots[i].value != 0; i = (i + 1) & mask) {
        size_t from_home = (i - t->slots[i].key.low) & mask, from_hole = (i - hole) & mask;
        if (from_home < from_hole)
            continue;
        t->slots[hole] = t->slots[i];
        hole = i;
    }
    t->slots[hole].value = 0;
    t->count--;
}

const struct table_slot *table_next(const struct table *t, uint64_t *cursor)
{
    while (*cursor < t->capacity) {
        const struct table_slot *slot = &t->slots[(*cursor)++];
        if (slot->value != 0)
            return slot;
    }
    return NULL;
}

void table_check(const struct table *t)
{
    size_t count = 0;
    for (size_t i = 0; i < t->capacity; i++) {
        if (t->slots[i].value == 0)
            continue;
        assert(table_find(t, t->slots[i].key) == &t->slots[i]);
        count++;
    }
    assert(count == t->count);
}
