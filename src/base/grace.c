/* base/grace.c: an epoch counter, a word per reader, a queue under a lock.
 *
 *     epoch       7
 *     readers     seen 7 | seen 5 | offline (0)
 *     queue       oldest --> 5 --> 5 --> 6 --> 7 <-- newest      what is stamped up to 5 may go
 *
 * Publication rules.  A retirement happens after the object was unlinked, and raises the epoch; a
 * reader that has read the raised epoch therefore sees it unlinked.  A reader's store to `seen`
 * comes after its last use of whatever it held; a collector that has read the store may destroy.
 *
 * Coming online is the one delicate step: the reader must not read shared structures while its
 * `seen` is still on its way.  It reads the epoch once more after the store.  These accesses and
 * the collector's are sequentially consistent: a collector that still found 0 did so after some
 * retirement raised the epoch and before the reader's store, so this second read sees the raise.
 * (A fence would do as well, but ThreadSanitizer does not understand fences.) */
#include "base/grace.h"
#include "base/memory.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { CACHE_LINE = 64, COLLECT_MAX = 1024 };

struct reader {
    _Alignas(CACHE_LINE) atomic_ulong seen; /* 0: offline */
};

struct grace {
    atomic_ulong epoch;
    atomic_size_t waiting; /* how many are in the queue; written under the lock */
    pthread_mutex_t lock;  /* guards the queue */
    struct retired *oldest, *newest;
    size_t reader_count;
    struct reader *readers; /* in `memory`, on cache lines of their own */
    char memory[];
};

struct grace *grace_create(size_t readers)
{
    if (readers > (SIZE_MAX - sizeof(struct grace)) / sizeof(struct reader) - 1)
        return NULL;
    struct grace *g = memory_alloc_zero(sizeof(*g) + (readers + 1) * sizeof(struct reader));
    if (g == NULL)
        return NULL;
    if (pthread_mutex_init(&g->lock, NULL) != 0) {
        memory_free(g);
        return NULL;
    }
    atomic_init(&g->epoch, 1);
    g->reader_count = readers;
    uintptr_t start = ((uintptr_t)g->memory + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    g->readers = (struct reader *)start;
    return g;
}

static struct reader *reader_at(struct grace *g, size_t reader)
{
    assert(reader < g->reader_count);
    return &g->readers[reader];
}

void grace_online(struct grace *g, size_t reader)
{
    struct reader *r = reader_at(g, reader);
    assert(atomic_load_explicit(&r->seen, memory_order_relaxed) == 0);
    atomic_store(&r->seen, atomic_load(&g->epoch));
    (void)atomic_load(&g->epoch); /* see the top */
}

void grace_quiescent(struct grace *g, size_t reader)
{
    struct reader *r = reader_at(g, reader);
    unsigned long seen = atomic_load_explicit(&r->seen, memory_order_relaxed);
    assert(seen != 0);
    unsigned long epoch = atomic_load_explicit(&g->epoch, memory_order_acquire);
    if (epoch != seen)
        atomic_store_explicit(&r->seen, epoch, memory_order_release);
}

void grace_offline(struct grace *g, size_t reader)
{
    atomic_store_explicit(&reader_at(g, reader)->seen, 0, memory_order_release);
}

void grace_retire(struct grace *g, struct retired *r, void (*destroy)(struct retired *))
{
    r->destroy = destroy;
    r->next = NULL;
    pthread_mutex_lock(&g->lock);
    r->epoch = atomic_fetch_add(&g->epoch, 1) + 1; /* under the lock: the queue is sorted */
    if (g->oldest == NULL)
        g->oldest = r;
    else
        g->newest->next = r;
    g->newest = r;
    atomic_fetch_add_explicit(&g->waiting, 1, memory_order_relaxed);
    pthread_mutex_unlock(&g->lock);
}

/* What is stamped with this epoch or an older one, nobody holds. */
static unsigned long forgotten_epoch(struct grace *g)
{
    unsigned long oldest = atomic_load(&g->epoch);
    for (size_t i = 0; i < g->reader_count; i++) {
        unsigned long seen = atomic_load(&g->readers[i].seen);
        if (seen != 0 && seen < oldest)
            oldest = seen;
    }
    return oldest;
}

/* Unlinks at most COLLECT_MAX that may be destroyed.  Under the lock. */
static struct retired *take_forgotten(struct grace *g)
{
    unsigned long epoch = forgotten_epoch(g);
    struct retired *first = g->oldest, **end = &first;
    size_t count = 0;
    while (*end != NULL && (*end)->epoch <= epoch && count < COLLECT_MAX) {
        end = &(*end)->next;
        count++;
    }
    g->oldest = *end;
    if (g->oldest == NULL)
        g->newest = NULL;
    *end = NULL;
    atomic_fetch_sub_explicit(&g->waiting, count, memory_order_relaxed);
    return first;
}

static void destroy_all(struct retired *r)
{
    while (r != NULL) {
        struct retired *next = r->next;
        r->destroy(r);
        r = next;
    }
}

void grace_collect(struct grace *g)
{
    if (atomic_load_explicit(&g->waiting, memory_order_relaxed) == 0)
        return;
    if (pthread_mutex_trylock(&g->lock) != 0)
        return; /* somebody is at it; the next turn will do */
    struct retired *forgotten = take_forgotten(g);
    pthread_mutex_unlock(&g->lock);
    destroy_all(forgotten); /* may retire more */
}

void grace_destroy(struct grace *g)
{
    if (g == NULL)
        return;
    for (size_t i = 0; i < g->reader_count; i++)
        assert(atomic_load(&g->readers[i].seen) == 0);
    while (g->oldest != NULL)
        destroy_all(take_forgotten(g));
    pthread_mutex_destroy(&g->lock);
    memory_free(g);
}
