/* base/arena.c: chunks of growing size, a pointer that moves.
 *
 *     chunks --> [ 64 KiB: used used | free ] --> [ 32 KiB: full ] --> [ 16 KiB: full ]
 *                                    ^ next ^ end
 *
 * Every chunk is at least twice as large as the one before, so the newest is the largest, and is
 * what reset keeps: after a few turns the arena is one chunk that fits every turn. */
#include "base/arena.h"
#include "base/memory.h"

#include <assert.h>

enum { CHUNK_SIZE_MIN = 16 * 1024, ALIGNMENT = 16 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t size; /* with this head */
};

static_assert(sizeof(struct arena_chunk) % ALIGNMENT == 0, "the first allocation is aligned");

void arena_init(struct arena *a)
{
    *a = (struct arena){ 0 };
}

static void free_chunks(struct arena_chunk *chunk)
{
    while (chunk != NULL) {
        struct arena_chunk *older = chunk->older;
        memory_free(chunk);
        chunk = older;
    }
}

void arena_fini(struct arena *a)
{
    if (a == NULL)
        return;
    free_chunks(a->chunks);
    arena_init(a);
}

static void use_chunk(struct arena *a, struct arena_chunk *chunk)
{
    a->chunks = chunk;
    a->next = (char *)(chunk + 1);
    a->end = (char *)chunk + chunk->size;
}

/* A chunk with room for `needed` bytes; the caller has bounded them.  0 or -1: no memory. */
static int add_chunk(struct arena *a, size_t needed)
{
    size_t size = a->chunks == NULL ? CHUNK_SIZE_MIN : a->chunks->size * 2;
    if (size < needed + sizeof(struct arena_chunk))
        size = needed + sizeof(struct arena_chunk);
    struct arena_chunk *chunk = memory_alloc(size);
    if (chunk == NULL)
        return -1;
    *chunk = (struct arena_chunk){ .older = a->chunks, .size = size };
    use_chunk(a, chunk);
    return 0;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > PTRDIFF_MAX - 2 * ALIGNMENT)
        return NULL;
    size_t needed = (size + (size == 0) + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (needed > (size_t)(a->end - a->next) && add_chunk(a, needed) != 0)
        return NULL;
    void *out = a->next;
    a->next += needed;
    return out;
}

void arena_reset(struct arena *a)
{
    struct arena_chunk *largest = a->chunks;
    if (largest == NULL)
        return;
    free_chunks(largest->older);
    largest->older = NULL;
    use_chunk(a, largest);
}
