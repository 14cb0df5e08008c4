/* io/received.c: a block and how full it is. */
#include "io/received.h"
#include "base/list.h"
#include "base/memory.h"

enum { WORTH_SIZE = 4 * 1024 };

static void received_destroy(struct block *block)
{
    memory_free(container_of(block, struct received, block));
}

struct received *received_create(size_t capacity)
{
    assert(capacity <= UINT32_MAX);
    struct received *r = memory_alloc(sizeof *r + capacity);
    if (r == NULL)
        return NULL;
    block_init(&r->block, received_destroy);
    r->size = 0;
    r->capacity = (uint32_t)capacity;
    return r;
}

void received_append(struct received *r, struct bytes bytes)
{
    assert(bytes.size <= received_room(r));
    if (bytes.size > 0)
        memcpy(r->bytes + r->size, bytes.data, bytes.size);
    r->size += (uint32_t)bytes.size;
}

bool received_is_worth(const struct received *r, size_t size)
{
    return size >= WORTH_SIZE && size >= r->capacity / 2;
}
