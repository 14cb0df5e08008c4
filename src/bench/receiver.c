/* bench/receiver.c: is this the message that should come, and does it come once? */
#include "bench/receiver.h"

#include "base/memory.h"
#include "bench/fail.h"

void receiver_init(struct receiver *r, struct flow *flows, uint32_t first, uint32_t count)
{
    *r = (struct receiver){ .flows = flows, .first = first, .count = count, .topics_step = 1 };
    r->next = bench_alloc(count, sizeof *r->next);
}

void receiver_fini(struct receiver *r)
{
    memory_free(r->next);
}

/* Of the copies under way one is here.  A message whose slot has gone to a later one, which is so
 * only where losing is allowed, is let pass. */
static const char *tick_off(const struct flow *f, const struct stamp *stamp)
{
    if (f->published - stamp->number > f->window.size)
        return NULL;
    struct slot *slot = window_slot(&f->window, stamp->number);
    if (slot->missing == 0)
        return "came once more than it should";
    if (slot->time_ns != stamp->time_ns)
        return "has another payload";
    slot->missing--;
    return NULL;
}

/* Of a topic that it has subscribed to? */
static bool is_mine(const struct receiver *r, const struct flow *f, uint64_t number)
{
    return f->plan->scheme != TOPIC_IN_TURN ||
           flow_topic_index(f, number) % r->topics_step == r->topics_mine;
}

/* Has it got all of this flow that come before? */
static bool is_next(const struct receiver *r, const struct flow *f, uint64_t next, uint64_t number)
{
    while (next < number && !is_mine(r, f, next))
        next++;
    return next == number;
}

const char *receiver_take(struct receiver *r, const struct publish *m, struct arrival *out)
{
    *out = (struct arrival){ .flow = NULL };
    if (m->payload.size < STAMP_SIZE)
        return "has a payload of another size";
    out->stamp = stamp_read(m->payload.data);
    uint32_t index = out->stamp.flow - r->first;
    uint64_t number = out->stamp.number;
    if (index >= r->count)
        return "was meant for somebody else";

    struct flow *f = out->flow = &r->flows[r->first + index];
    if (number >= f->published)
        return "was never published";
    const char *wrong = flow_check(f, number, m);
    if (wrong != NULL)
        return wrong;
    if (!is_mine(r, f, number))
        return "was meant for somebody else";
    if (number < r->next[index])
        return "came twice, or after a later one";
    if (!r->may_skip && !is_next(r, f, r->next[index], number))
        return "came before an earlier one, which is late or lost";
    wrong = r->is_late ? NULL : tick_off(f, &out->stamp);
    if (wrong == NULL)
        r->next[index] = number + 1;
    return wrong;
}
