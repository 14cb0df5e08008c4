/* base/grace.c: an epoch counter, a word per reader, three heaps of garbage under a lock.
 *
 *     epoch       7
 *     readers     seen 7 | seen 6 | offline (0)
 *     fresh       retired since the epoch was raised last
 *     waiting     retired before: may go when every reader has seen 7
 *     forgotten   may go now, in portions
 *
 * When nothing waits, the epoch is raised and what was fresh waits.  So what is retired may have to
 * wait for the heap before it, two grace periods in all; in return it need not know its epoch.
 *
 * Publication rules.  The epoch is raised after everything that waits was unlinked; a reader that
 * has read the raised epoch therefore sees it unlinked.  A reader's store to `seen` comes after its
 * last use of whatever it held; a collector that has read the store may free.
 *
 * Coming online is the one delicate step: the reader must not read shared structures while its
 * `seen` is still on its way.  It reads the epoch once more after the store.  These accesses and
 * the collector's are sequentially consistent: a collector that still found 0 did so after it
 * raised the epoch and before the reader's store, so this second read sees the raise.
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
    atomic_bool is_clean; /* there is no garbage; written under the lock */
    pthread_mutex_t lock; /* guards the heaps */
    struct retired *fresh, *waiting, *forgotten;
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
    atomic_init(&g->is_clean, true);
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

void grace_retire(struct grace *g, struct retired *r)
{
    pthread_mutex_lock(&g->lock);
    r->next = g->fresh;
    g->fresh = r;
    atomic_store_explicit(&g->is_clean, false, memory_order_relaxed);
    pthread_mutex_unlock(&g->lock);
}

/* Has every reader seen the epoch, so that nobody holds what waits? */
static bool is_forgotten(struct grace *g)
{
    unsigned long epoch = atomic_load(&g->epoch);
    for (size_t i = 0; i < g->reader_count; i++) {
        unsigned long seen = atomic_load(&g->readers[i].seen);
        if (seen != 0 && seen != epoch)
            return false;
    }
    return true;
}

static void forget_waiting(struct grace *g)
{
    if (g->waiting != NULL && g->forgotten == NULL && is_forgotten(g)) {
        g->forgotten = g->waiting;
        g->waiting = NULL;
    }
}

/* Under the lock. */
static void advance(struct grace *g)
{
    forget_waiting(g);
    if (g->waiting != NULL || g->fresh == NULL)
        return;
    g->waiting = g->fresh;
    g->fresh = NULL;
    (void)atomic_fetch_add(&g->epoch, 1);
    forget_waiting(g); /* perhaps nobody reads */
}

/* Unlinks a portion of what is forgotten.  Under the lock. */
static struct retired *take_portion(struct grace *g)
{
    struct retired *first = g->forgotten, **end = &first;
    for (size_t count = 0; *end != NULL && count < COLLECT_MAX; count++)
        end = &(*end)->next;
    g->forgotten = *end;
    *end = NULL;
    bool is_clean = g->fresh == NULL && g->waiting == NULL && g->forgotten == NULL;
    atomic_store_explicit(&g->is_clean, is_clean, memory_order_relaxed);
    return first;
}

void grace_collect(struct grace *g)
{
    if (atomic_load_explicit(&g->is_clean, memory_order_relaxed))
        return;
    if (pthread_mutex_trylock(&g->lock) != 0)
        return; /* somebody is at it; the next turn will do */
    advance(g);
    struct retired *garbage = take_portion(g);
    pthread_mutex_unlock(&g->lock);
    while (garbage != NULL) {
        struct retired *next = garbage->next;
        memory_free(garbage);
        garbage = next;
    }
}

void grace_destroy(struct grace *g)
{
    if (g == NULL)
        return;
    for (size_t i = 0; i < g->reader_count; i++)
        assert(atomic_load(&g->readers[i].seen) == 0);
    while (!atomic_load(&g->is_clean))
        grace_collect(g);
    pthread_mutex_destroy(&g->lock);
    memory_free(g);
}
