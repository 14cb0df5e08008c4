/* broker/full_sessions.h: Sessions whose queue is full and whose publishers are to be told.
 *
 * With queue_policy refuse-publisher, a publisher on any worker has to know before it acknowledges.
 * A Session enters this set when its queue reaches the limit and leaves it when there is room
 * again; asking costs one load while the set is empty.  Any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct full_sessions;

/* Groups of Shared Subscriptions are in the set, too.  Their handles may equal a session's; the top
 * bit, which no worker's number reaches, tells them apart. */
static inline uint64_t full_key_of_group(uint64_t handle)
{
    return handle | UINT64_C(1) << 63;
}

struct full_sessions *full_sessions_create(void); /* NULL: no memory */
void full_sessions_destroy(struct full_sessions *f);
int full_sessions_add(struct full_sessions *f, uint64_t handle); /* 0 or -ENOMEM */
void full_sessions_remove(struct full_sessions *f, uint64_t handle);
bool full_sessions_has(struct full_sessions *f, uint64_t handle);
bool full_sessions_is_empty(const struct full_sessions *f);
