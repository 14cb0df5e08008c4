/* bench/pace.h: when the messages of the open loop should go out: evenly spaced, whatever happens.
 */
#pragma once

#include <stdint.h>

struct pace {
    int64_t start_ns;
    uint32_t rate; /* per second */
    uint64_t next; /* to go out */
};

static inline int64_t pace_due(const struct pace *p)
{
    return p->start_ns + (int64_t)(p->next / p->rate) * 1000000000 +
           (int64_t)(p->next % p->rate * UINT64_C(1000000000) / p->rate);
}
