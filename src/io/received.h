/* io/received.h: bytes as they came from a socket, counted.
 *
 *     block   [ PUBLISH | PUBLISH | PUBL             ]
 *                  ^         ^        size ^         ^ capacity
 *                  |         '--- a message that is kept: its payload stays here
 *                  '--- a queue that will send these very bytes in a moment
 *
 * Whoever needs some of them for longer than the call refers to the block instead of copying them.
 * What is counted in (size) does not change any more while somebody does. */
#pragma once

#include "base/block.h"
#include "base/bytes.h"

struct received {
    struct block block;
    uint32_t size, capacity;
    uint8_t bytes[];
};

/* An empty one with one reference.  NULL: no memory. */
struct received *received_create(size_t capacity);

static inline void received_unref(struct received *r) /* NULL is fine */
{
    if (r != NULL)
        block_unref(&r->block);
}

static inline size_t received_room(const struct received *r)
{
    return r->capacity - r->size;
}

static inline struct bytes received_bytes(const struct received *r)
{
    return (struct bytes){ r->bytes, r->size };
}

/* Counts in what has been written behind the others. */
static inline void received_commit(struct received *r, size_t size)
{
    assert(size <= received_room(r));
    r->size += (uint32_t)size;
}

/* Copies bytes for which there is room. */
void received_append(struct received *r, struct bytes bytes);

/* Is it right to keep the whole block for the sake of this many bytes of it?  A few large ones,
 * yes: at most as much again is kept in vain. */
bool received_is_worth(const struct received *r, size_t size);
