/* broker/durable.c: see durable.h.
 *
 *     worker -> chunk (slot / 1024) -> row (slot % 1024)
 *
 * Chunks are made by the worker whose sessions are in them and published with one store. */
#include "broker/durable.h"
#include "base/memory.h"
#include "router/subscriber.h"
#include <assert.h>

enum { CHUNK_ROWS = 1024, CHUNKS_MAX = 16 * 1024 }; /* 16 million sessions a worker */

struct chunk {
    struct durable rows[CHUNK_ROWS];
};

struct durable_table {
    unsigned workers;
    _Atomic(struct chunk *) *chunks; /* CHUNKS_MAX for each worker */
};

struct durable_table *durable_table_create(unsigned workers)
{
    struct durable_table *t = memory_alloc_zero(sizeof *t);
    if (t == NULL)
        return NULL;
    t->workers = workers;
    t->chunks = memory_alloc_zero(workers * CHUNKS_MAX * sizeof *t->chunks);
    if (t->chunks != NULL)
        return t;
    memory_free(t);
    return NULL;
}

void durable_table_destroy(struct durable_table *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < (size_t)t->workers * CHUNKS_MAX; i++)
        memory_free(atomic_load_explicit(&t->chunks[i], memory_order_relaxed));
    memory_free(t->chunks);
    memory_free(t);
}

/* NULL: there can be none. */
static _Atomic(struct chunk *) *chunk_of(const struct durable_table *t, uint64_t handle)
{
    uint32_t index = handle_slot(handle) / CHUNK_ROWS;
    if (index >= CHUNKS_MAX || handle_worker(handle) >= t->workers)
        return NULL;
    return &t->chunks[(size_t)handle_worker(handle) * CHUNKS_MAX + index];
}

static struct durable *row_of(const struct durable_table *t, uint64_t handle)
{
    _Atomic(struct chunk *) *at = chunk_of(t, handle);
    struct chunk *chunk = at == NULL ? NULL : atomic_load_explicit(at, memory_order_acquire);
    return chunk == NULL ? NULL : &chunk->rows[handle_slot(handle) % CHUNK_ROWS];
}

struct durable *durable_add(struct durable_table *t, uint64_t handle, uint64_t key,
                            uint64_t next_seq)
{
    _Atomic(struct chunk *) *at = chunk_of(t, handle);
    if (at == NULL)
        return NULL;
    struct chunk *chunk = atomic_load_explicit(at, memory_order_relaxed);
    if (chunk == NULL) {
        chunk = memory_alloc_zero(sizeof *chunk);
        if (chunk == NULL)
            return NULL;
        atomic_store_explicit(at, chunk, memory_order_release);
    }
    struct durable *d = &chunk->rows[handle_slot(handle) % CHUNK_ROWS];
    assert(key != 0 && atomic_load(&d->handle) == 0);
    atomic_store_explicit(&d->key, key, memory_order_relaxed);
    atomic_store_explicit(&d->next_seq, next_seq, memory_order_relaxed);
    atomic_store_explicit(&d->handle, handle, memory_order_release);
    return d;
}

void durable_remove(struct durable_table *t, uint64_t handle)
{
    struct durable *d = row_of(t, handle);
    if (d != NULL && atomic_load_explicit(&d->handle, memory_order_relaxed) == handle)
        atomic_store_explicit(&d->handle, 0, memory_order_relaxed);
}

struct durable *durable_find(const struct durable_table *t, uint64_t handle)
{
    struct durable *d = row_of(t, handle);
    if (d == NULL || atomic_load_explicit(&d->handle, memory_order_acquire) != handle)
        return NULL;
    return d;
}
