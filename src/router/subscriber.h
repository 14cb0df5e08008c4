/* router/subscriber.h: who gets a message: the answer to a match. */
#pragma once

#include <stdint.h>

/* A handle names a mailbox target from any thread without pointing at it.
 *
 *     63      56 55                  32 31                 0
 *     [ worker  | generation           | slot             ]   a session of that worker
 *     [ worker  | generation           | group id         ]   SUBSCRIBER_GROUP in options: a
 *                                                             Shared Subscription's group, at home
 *                                                             on that worker
 * 0 is nobody: generations start at 1. */
static inline uint64_t handle_make(unsigned worker, uint32_t generation, uint32_t slot)
{
    return (uint64_t)worker << 56 | (uint64_t)(generation & 0xffffff) << 32 | slot;
}

static inline unsigned handle_worker(uint64_t handle)
{
    return (unsigned)(handle >> 56);
}

static inline uint32_t handle_generation(uint64_t handle)
{
    return (uint32_t)(handle >> 32) & 0xffffff;
}

static inline uint32_t handle_slot(uint64_t handle)
{
    return (uint32_t)handle;
}

enum { /* the low byte is the Subscription Options byte of SUBSCRIBE */
       SUBSCRIBER_QOS = 0x03,
       SUBSCRIBER_NO_LOCAL = 0x04,
       SUBSCRIBER_RETAIN_AS_PUBLISHED = 0x08,
       SUBSCRIBER_GROUP = 0x100,   /* the handle is a group's */
       SUBSCRIBER_DURABLE = 0x400, /* what is delivered is stored, if its QoS is above 0 */
       SUBSCRIBER_HAS_ID = 0x200,  /* id is a Subscription Identifier */
};

struct subscriber {
    uint64_t handle;
    uint32_t options;
    uint32_t id; /* Subscription Identifier, 1 to 268435455 */
};
