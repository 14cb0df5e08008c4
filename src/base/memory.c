/* base/memory.c: malloc, counted.
 *
 *     thread A   unreported  +40 KiB  ----.
 *     thread B   unreported  -12 KiB       >--- at 64 KiB up or down --->  used, used_max
 *     thread C   unreported   +3 KiB  ----'
 *
 * What a block really takes is asked of the allocator, so nothing is stored beside it and a block
 * may come from one thread and be freed by another.  Between two reports a thread touches memory
 * of its own only: counting costs about a nanosecond and no cache line travels.  A thread that
 * ends keeps its last, partial step to itself: an error below 64 KiB per thread ever started.
 *
 * The process has one heap, so these counters are the process's, too: they and the log's sink are
 * the only state that is not passed in. */
#include "base/memory.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { REPORT_STEP = 64 * 1024 };

struct tally {
    int64_t unreported_bytes;
    uint64_t seen;    /* allocations since the last memory_fail_at */
    uint64_t fail_in; /* the one that fails, counted down; 0: none */
};

static _Thread_local struct tally tally;
static _Atomic int64_t used_bytes;
static _Atomic int64_t used_bytes_max;

static void raise_max(int64_t bytes)
{
    int64_t max = atomic_load_explicit(&used_bytes_max, memory_order_relaxed);
    while (bytes > max &&
           !atomic_compare_exchange_weak_explicit(&used_bytes_max, &max, bytes,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

static void count(int64_t change)
{
    int64_t unreported = tally.unreported_bytes + change;
    tally.unreported_bytes = unreported;
    if (unreported < REPORT_STEP && unreported > -REPORT_STEP)
        return;
    tally.unreported_bytes = 0;
    int64_t before = atomic_fetch_add_explicit(&used_bytes, unreported, memory_order_relaxed);
    raise_max(before + unreported);
}

/* Counts an attempt.  True: no block is that large, or a test wants this one to fail. */
static bool must_fail(size_t size)
{
    tally.seen++;
    bool chosen = tally.fail_in != 0 && --tally.fail_in == 0;
    return chosen || size > PTRDIFF_MAX;
}

static void *counted(void *block)
{
    if (block != NULL)
        count((int64_t)malloc_usable_size(block));
    return block;
}

/* An empty block is a block: NULL shall mean "no memory" and nothing else. */
static size_t at_least_one(size_t size)
{
    return size == 0 ? 1 : size;
}

void *memory_alloc(size_t size)
{
    if (must_fail(size))
        return NULL;
    return counted(malloc(at_least_one(size)));
}

void *memory_alloc_zero(size_t size)
{
    if (must_fail(size))
        return NULL;
    return counted(calloc(1, at_least_one(size)));
}

void *memory_resize(void *block, size_t size)
{
    if (must_fail(size))
        return NULL;
    int64_t before = block == NULL ? 0 : (int64_t)malloc_usable_size(block);
    void *resized = realloc(block, at_least_one(size));
    if (resized != NULL)
        count((int64_t)malloc_usable_size(resized) - before);
    return resized;
}

void memory_free(void *block)
{
    if (block == NULL)
        return;
    count(-(int64_t)malloc_usable_size(block));
    free(block);
}

void *memory_copy(const void *data, size_t size)
{
    void *copy = memory_alloc(size);
    if (copy != NULL && size > 0)
        memcpy(copy, data, size);
    return copy;
}

/* The caller's own partial step is known, so a program of one thread reads exact numbers. */
size_t memory_used(void)
{
    int64_t used = atomic_load_explicit(&used_bytes, memory_order_relaxed);
    used += tally.unreported_bytes;
    return used < 0 ? 0 : (size_t)used; /* frees may be reported before the allocations */
}

size_t memory_used_max(void)
{
    raise_max((int64_t)memory_used());
    return (size_t)atomic_load_explicit(&used_bytes_max, memory_order_relaxed);
}

uint64_t memory_fail_at(uint64_t nth)
{
    uint64_t seen = tally.seen;
    tally.seen = 0;
    tally.fail_in = nth;
    return seen;
}
