/* router/subscriber_list.c: one entry in place, the others in an array that is replaced.
 *
 *     list   first | more --> array   used 4, capacity 8
 *                             [ B | - | C | D |   |   |   |   ]    entries: who
 *                             [ b | - | c | d |   |   |   |   ]    indices: where it is kept
 *
 * Removing stores 0 into the handle and leaves a hole; an entry is never used a second time, so a
 * reader that has seen a handle always finds the options that belong to it.  When the array is
 * full, or less than half of what was used is left, the living are packed into a new one: O(1) per
 * change in the long run.  Readers still in the old array see everybody who was there when they
 * came. */
#include "router/subscriber_list.h"
#include "base/memory.h"

#include <assert.h>
#include <errno.h>

enum { ARRAY_CAPACITY_MIN = 2, ARRAY_PACK_MIN = 8 };

struct subscriber_array {
    struct retired retired; /* first, as whoever frees it expects */
    _Atomic uint32_t used;  /* entries below it are or were in use */
    uint32_t capacity;
    uint32_t **indices; /* as many as entries, in the same block; writer */
    struct subscriber_entry entries[];
};

static uint64_t grant(uint32_t options, uint32_t id)
{
    return (uint64_t)id << 32 | options;
}

static struct subscriber entry_read(const struct subscriber_entry *e)
{
    uint64_t handle = atomic_load_explicit(&e->handle, memory_order_acquire);
    uint64_t granted = atomic_load_explicit(&e->granted, memory_order_relaxed);
    return (struct subscriber){ handle, (uint32_t)granted, (uint32_t)(granted >> 32) };
}

static void entry_write(struct subscriber_entry *e, struct subscriber who)
{
    atomic_store_explicit(&e->granted, grant(who.options, who.id), memory_order_relaxed);
    atomic_store_explicit(&e->handle, who.handle, memory_order_release);
}

static bool entry_is_live(const struct subscriber_entry *e)
{
    return atomic_load_explicit(&e->handle, memory_order_relaxed) != 0;
}

static struct subscriber_array *array_of(const struct subscriber_list *l)
{
    return atomic_load_explicit(&l->more, memory_order_relaxed);
}

static uint32_t array_used(const struct subscriber_array *a)
{
    return atomic_load_explicit(&a->used, memory_order_relaxed);
}

static uint32_t array_count(const struct subscriber_list *l)
{
    return l->count - (entry_is_live(&l->first) ? 1 : 0);
}

static struct subscriber_array *array_create(uint32_t capacity)
{
    size_t per_entry = sizeof(struct subscriber_entry) + sizeof(uint32_t *), bytes;
    if (__builtin_mul_overflow(per_entry, (size_t)capacity, &bytes) ||
        __builtin_add_overflow(bytes, sizeof(struct subscriber_array), &bytes))
        return NULL;
    struct subscriber_array *a = memory_alloc_zero(bytes);
    if (a == NULL)
        return NULL;
    a->capacity = capacity;
    a->indices = (uint32_t **)(void *)&a->entries[capacity];
    return a;
}

static void array_put(struct subscriber_array *a, struct subscriber who, uint32_t *index)
{
    uint32_t at = array_used(a);
    assert(at < a->capacity);
    a->indices[at] = index;
    entry_write(&a->entries[at], who);
    atomic_store_explicit(&a->used, at + 1, memory_order_release);
    *index = at + 1;
}

/* The living entries of `old` (NULL: none) in a new array.  Indices are those of the new one from
 * now on, so the caller must put it in place.  NULL: no memory and nothing changed. */
static struct subscriber_array *array_pack(const struct subscriber_array *old, uint32_t capacity)
{
    struct subscriber_array *a = array_create(capacity);
    if (a == NULL || old == NULL)
        return a;
    for (uint32_t i = 0; i < array_used(old); i++)
        if (entry_is_live(&old->entries[i]))
            array_put(a, entry_read(&old->entries[i]), old->indices[i]);
    return a;
}

static void replace_array(struct subscriber_list *l, struct grace *g, struct subscriber_array *a)
{
    struct subscriber_array *old = array_of(l);
    atomic_store_explicit(&l->more, a, memory_order_release);
    if (old != NULL)
        grace_retire(g, &old->retired);
}

void subscriber_list_fini(struct subscriber_list *l, struct grace *g)
{
    struct subscriber_array *a = array_of(l);
    if (g != NULL) {
        replace_array(l, g, NULL);
    } else {
        memory_free(a);
    }
}

int subscriber_list_add(struct subscriber_list *l, struct grace *g, struct subscriber who,
                        uint32_t *index)
{
    assert(who.handle != 0);
    if (!l->first_taken) {
        l->first_taken = true;
        l->count++;
        *index = 0;
        entry_write(&l->first, who);
        return 0;
    }

    struct subscriber_array *a = array_of(l);
    if (a == NULL || array_used(a) == a->capacity) {
        uint32_t count = array_count(l), capacity = ARRAY_CAPACITY_MIN;
        assert(count < UINT32_MAX / 4);
        while (capacity < count + count / 2 + 1)
            capacity *= 2;
        a = array_pack(a, capacity);
        if (a == NULL)
            return -ENOMEM;
        replace_array(l, g, a);
    }
    array_put(a, who, index);
    l->count++;
    return 0;
}

static struct subscriber_entry *entry_at(const struct subscriber_list *l, uint32_t index)
{
    if (index == 0)
        return (struct subscriber_entry *)&l->first;
    struct subscriber_array *a = array_of(l);
    assert(a != NULL && index <= array_used(a));
    return &a->entries[index - 1];
}

void subscriber_list_remove(struct subscriber_list *l, struct grace *g, uint32_t index)
{
    struct subscriber_entry *e = entry_at(l, index);
    assert(entry_is_live(e));
    atomic_store_explicit(&e->handle, 0, memory_order_release);
    l->count--;
    if (index == 0)
        return;

    struct subscriber_array *a = array_of(l);
    uint32_t left = array_count(l), used = array_used(a);
    a->indices[index - 1] = NULL;
    if (left == 0) {
        replace_array(l, g, NULL);
    } else if (used >= ARRAY_PACK_MIN && left < used / 2) {
        struct subscriber_array *packed = array_pack(a, left * 2);
        if (packed != NULL) /* else the holes stay until the next removal */
            replace_array(l, g, packed);
    }
}

void subscriber_list_update(struct subscriber_list *l, uint32_t index, uint32_t options,
                            uint32_t id)
{
    struct subscriber_entry *e = entry_at(l, index);
    assert(entry_is_live(e));
    atomic_store_explicit(&e->granted, grant(options, id), memory_order_relaxed);
}

struct subscriber subscriber_list_at(const struct subscriber_list *l, uint32_t index)
{
    return entry_read(entry_at(l, index));
}

static void report(const struct subscriber_entry *e, struct match_sink *sink)
{
    struct subscriber who = entry_read(e);
    if (who.handle != 0)
        sink->match(sink, who);
}

void subscriber_list_report(const struct subscriber_list *l, struct match_sink *sink)
{
    report(&l->first, sink);
    const struct subscriber_array *a = atomic_load_explicit(&l->more, memory_order_acquire);
    if (a == NULL)
        return;
    uint32_t used = atomic_load_explicit(&a->used, memory_order_acquire);
    for (uint32_t i = 0; i < used; i++)
        report(&a->entries[i], sink);
}

void subscriber_list_check(const struct subscriber_list *l)
{
    uint32_t count = 0;
    if (entry_is_live(&l->first)) {
        assert(l->first_taken);
        count++;
    }
    const struct subscriber_array *a = array_of(l);
    for (uint32_t i = 0; a != NULL && i < array_used(a); i++) {
        assert(entry_is_live(&a->entries[i]) == (a->indices[i] != NULL));
        if (a->indices[i] != NULL) {
            assert(*a->indices[i] == i + 1);
            count++;
        }
    }
    assert(count == l->count);
    assert(a == NULL || array_count(l) > 0);
}
