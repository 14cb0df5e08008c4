/* io/sendq.h: bytes that wait for a socket.
 *
 *     [ chunk: head head payload head | block: payload by reference | chunk: ... ]
 *        ^ sent so far
 *
 * Small things are copied into chunks that come from the worker's pool; large payloads, and packets
 * that many receive alike (io/batch.h), stay where they are and are referred to.  An idle
 * connection holds nothing.  One thread. */
#pragma once

#include "base/block.h"
#include "base/bytes.h"
#include <stdbool.h>
#include <sys/uio.h>

struct sendq_segment;

enum { CHUNK_POOL_MIN = 4 };

/* Chunks that were used and will be used again: one pool per worker. */
struct chunk_pool {
    struct sendq_segment *free_views;  /* segments without bytes of their own: small, and kept */
    struct sendq_segment *free_smalls; /* with room for a packet or two: likewise */
    size_t view_count, small_count;
    struct sendq_segment *free;
    size_t count;
    size_t unused; /* the fewest there have been since the last trim */
};

void chunk_pool_init(struct chunk_pool *p);
void chunk_pool_fini(struct chunk_pool *p);

/* Gives back the chunks that nobody has needed since the last trim, but for CHUNK_POOL_MIN. */
void chunk_pool_trim(struct chunk_pool *p);

static inline bool chunk_pool_is_minimal(const struct chunk_pool *p)
{
    return p->count <= CHUNK_POOL_MIN;
}

struct sendq {
    struct sendq_segment *first, *last;
    size_t size; /* bytes waiting */
};

void sendq_init(struct sendq *q);
void sendq_fini(struct sendq *q, struct chunk_pool *pool);

/* Room for `size` bytes in one piece, to be filled and then committed (all of it, before any other
 * call).  NULL: no memory and nothing changed. */
uint8_t *sendq_reserve(struct sendq *q, struct chunk_pool *pool, size_t size);
void sendq_commit(struct sendq *q, size_t size);

/* Appends bytes that live in a block, with a reference of its own.  0 or -ENOMEM. */
int sendq_refer(struct sendq *q, struct chunk_pool *pool, struct block *owner, struct bytes bytes);

/* The same for bytes that are only lent: neighbours of the same block become one part, and whoever
 * will not send them soon makes them his own, so that a slow reader does not keep a large block for
 * the sake of a few bytes.  sendq_own copies what is lent; what there is no memory for stays. */
int sendq_borrow(struct sendq *q, struct chunk_pool *pool, struct block *owner, struct bytes bytes);
void sendq_own(struct sendq *q, struct chunk_pool *pool);

/* The first parts, for sendmsg: how many of max were filled. */
int sendq_parts(const struct sendq *q, struct iovec *parts, int max);
void sendq_sent(struct sendq *q, struct chunk_pool *pool, size_t size); /* they are gone */

void sendq_check(const struct sendq *q); /* walks the invariants; asserts */
