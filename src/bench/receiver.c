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
    if (f->plan->scheme == TOPIC_IN_TURN &&
        flow_topic_index(f, number) % r->topics_step != r->topics_mine)
        return "was meant for somebody else";
    if (number < r->next[index])
        return "came twice, or after a later one";
    if (number > r->next[index] && !r->may_skip)
        return "came before an earlier one, which is late or lost";
    wrong = tick_off(f, &out->stamp);
    if (wrong == NULL)
        r->next[index] = number + 1;
    return wrong;
}
