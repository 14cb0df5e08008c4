/* base/block.h: a counted, immutable piece of memory that several owners and threads share.
 *
 * Embed it as the first member.  Whoever drops the last reference runs `destroy`.  Any thread. */
#pragma once

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block {
    _Atomic uint32_t refs;
    void (*destroy)(struct block *);
};

static inline void block_init(struct block *b, void (*destroy)(struct block *))
{
    atomic_init(&b->refs, 1);
    b->destroy = destroy;
}

/* Is the caller's reference the only one?  Then nobody else can make another, and nobody looks. */
static inline bool block_is_unshared(const struct block *b)
{
    return atomic_load_explicit(&b->refs, memory_order_acquire) == 1;
}

/* The caller has one of the references, or the lock that guards it.  What is not shared needs no
 * locked instruction: most messages have one owner for most of their life. */
static inline struct block *block_ref(struct block *b)
{
    if (block_is_unshared(b)) {
        atomic_store_explicit(&b->refs, 2, memory_order_relaxed);
        return b;
    }
    uint32_t before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    assert(before > 0 && before < UINT32_MAX);
    return b;
}

/* NULL is fine. */
static inline void block_unref(struct block *b)
{
    if (b == NULL)
        return;
    if (block_is_unshared(b)) {
        b->destroy(b);
        return;
    }
    uint32_t before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1)
        b->destroy(b);
}
