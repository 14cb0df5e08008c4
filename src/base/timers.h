/* base/timers.h: a hashed timing wheel.
 *
 *     coarse   1024 slots of 1 s    deadlines a second or more away
 *     fine     1024 slots of 4 ms   nearer ones
 *
 * A slot is scanned when its turn comes, and a timer that is not due yet (it belongs to a later
 * round) stays: nothing ever cascades, so no turn is long.  A timer never fires early; it fires at
 * most 4 ms late when set less than a second ahead, at most 1 s late otherwise.  Set and cancel
 * are O(1).  Rejected: a heap (three times the cost to re-arm), a cascading wheel (80 ms in one
 * turn with a million timers).  One thread.  Times are nanoseconds of any one monotonic clock. */
#pragma once

#include "base/list.h"
#include <stdint.h>

struct timers;

enum { TIMER_KINDS_MAX = 16 };

struct timer {
    struct list link;
    uint64_t deadline_and_kind; /* the kind is in the low four bits */
};

/* When it is due: as it was set, rounded up to 16 ns.  Meaningless if it never was. */
static inline int64_t timer_deadline_ns(const struct timer *timer)
{
    return (int64_t)(timer->deadline_and_kind & ~(uint64_t)(TIMER_KINDS_MAX - 1));
}

/* Its owner's: which object this timer is part of. */
static inline unsigned timer_kind(const struct timer *timer)
{
    return timer->deadline_and_kind % TIMER_KINDS_MAX;
}

struct timers *timers_create(int64_t now_ns); /* NULL: no memory */
void timers_destroy(struct timers *t);

void timer_init(struct timer *timer, unsigned kind); /* below TIMER_KINDS_MAX */
bool timer_is_set(const struct timer *timer);

/* (Re)arms. */
void timers_set(struct timers *t, struct timer *timer, int64_t deadline_ns);
void timers_cancel(struct timers *t, struct timer *timer); /* fine if not set */

/* One timer that is due, now unset; NULL when no more are due at now_ns.  Earlier slots first.
 * Bounded work per call apart from skipping timers of later rounds, and from sorting what became
 * due when the clock jumped by more than a round.  now_ns never goes backwards. */
struct timer *timers_expire(struct timers *t, int64_t now_ns);

/* When timers_expire should be called next: INT64_MAX when no timer is set.  Never later than the
 * promise at the top needs; may be earlier. */
int64_t timers_next_ns(struct timers *t);
