/* io/batch.c: one block that is begun anew whenever all its readers have gone. */
#include "io/batch.h"
#include "base/list.h"
#include "base/memory.h"

struct batch_block {
    struct block block;
    struct batch_block *older;
    size_t used, capacity;
    uint8_t bytes[];
};

enum { BLOCK_SIZE = 64 * 1024 - sizeof(struct batch_block) };

void batch_init(struct batch *b)
{
    *b = (struct batch){ 0 };
}

static void block_destroy(struct block *block)
{
    memory_free(container_of(block, struct batch_block, block));
}

static void drop_full(struct batch *b)
{
    while (b->full != NULL) {
        struct batch_block *oldest = b->full;
        b->full = oldest->older;
        block_unref(&oldest->block);
    }
}

void batch_fini(struct batch *b)
{
    drop_full(b);
    if (b->current != NULL)
        block_unref(&b->current->block);
    batch_init(b);
}

static struct batch_block *begin(struct batch *b, size_t size)
{
    size_t capacity = size < BLOCK_SIZE ? BLOCK_SIZE : size;
    struct batch_block *fresh = memory_alloc(sizeof *fresh + capacity);
    if (fresh == NULL)
        return NULL;
    block_init(&fresh->block, block_destroy);
    fresh->used = 0;
    fresh->capacity = capacity;
    if (b->current != NULL) {
        b->current->older = b->full;
        b->full = b->current;
    }
    b->current = fresh;
    return fresh;
}

uint8_t *batch_reserve(struct batch *b, size_t size, struct block **owner)
{
    struct batch_block *into = b->current;
    if ((into == NULL || into->capacity - into->used < size) && (into = begin(b, size)) == NULL)
        return NULL;
    uint8_t *room = into->bytes + into->used;
    into->used += size;
    *owner = &into->block;
    return room;
}

void batch_turn(struct batch *b)
{
    if (b->full != NULL)
        drop_full(b);
    if (b->current != NULL && block_is_unshared(&b->current->block))
        b->current->used = 0;
}
