/* bench/flows_setup.c: who takes part, and whether it can be done. */
#include "bench/fail.h"
#include "bench/flows_run.h"
#include "bench/scenarios.h"

#include "base/memory.h"
#include <inttypes.h>
#include <unistd.h>

enum { WAYS_MAX = 100 * 1000 * 1000 }; /* of eight bytes */

/* What scenario_check knows nothing of: how much of it there can be. */
static void check_spec(const struct bench_spec *spec)
{
    uint64_t ways = (uint64_t)spec->publishers * spec->subscribers;
    if (spec->publishers == 0 || spec->subscribers == 0)
        bench_fail("%s needs publishers and subscribers", spec->name);
    if (spec->publishers > FLOWS_MAX || spec->topics > FLOWS_MAX)
        bench_fail("%s can have %d publishers or topics at most", spec->name, FLOWS_MAX);
    if (spec->wiring != WIRING_PAIRS && ways > WAYS_MAX)
        bench_fail("%s has %" PRIu64 " ways from a publisher to a subscriber: too many to check",
                   spec->name, ways);
    if (spec->rate == 0 && (spec->window == 0 || spec->window > UINT16_MAX))
        bench_fail("%s needs a window from 1 to %d messages", spec->name, UINT16_MAX);
    if (spec->seconds <= 0 && spec->messages == 0)
        bench_fail("%s would never end: give it a time or a number of messages", spec->name);
}

static struct flow_plan plan_of(const struct bench_spec *spec)
{
    return (struct flow_plan){
        .version = spec->target.is_relay ? VERSION_3_1_1 : spec->target.version,
        .qos = spec->qos,
        .payload_size = spec->payload_size,
        .scheme = spec->wiring == WIRING_SPREAD ? TOPIC_IN_TURN
                  : spec->with_new_topics       ? TOPIC_OF_MESSAGE
                                                : TOPIC_OF_FLOW,
        .topics = spec->topics,
        .tag = (uint16_t)getpid(),
    };
}

static void add_clients(struct flows *r)
{
    const struct bench_spec *spec = r->spec;
    struct loop *loop = &r->load.loop;
    for (uint32_t i = 0; i < spec->publishers; i++) {
        flow_init(&r->flows[i], &r->plan, i);
        peer_init(&r->publishers[i].peer, loop, &publisher_ops, i);
        r->publishers[i].flow = &r->flows[i];
    }
    for (uint32_t i = 0; i < spec->subscribers; i++) {
        peer_init(&r->subscribers[i].peer, loop, &subscriber_ops, spec->publishers + i);
        subscriber_init(&r->subscribers[i], r, i);
    }
    peer_init(&r->churner.peer, loop, &churner_ops, scenario_connections(spec) - 1);
}

void flows_init(struct flows *r, const struct bench_spec *spec, struct bench_result *result,
                const struct bench_watch *watch)
{
    check_spec(spec);
    bool is_to_all = spec->wiring == WIRING_FANOUT || spec->wiring == WIRING_FANIN;
    *r = (struct flows){
        .spec = spec,
        .plan = plan_of(spec),
        .copies = is_to_all ? spec->subscribers : 1,
        .is_lossy = spec->rate > 0 && spec->qos == 0,
        .is_away = spec->sessions == SESSIONS_AWAY,
        .unready = scenario_connections(spec),
        .begin_ns = INT64_MAX,
        .latency = { .histogram = &result->latency },
        .answer = { .histogram = &result->answer },
        .publish_max = UINT64_MAX,
    };
    load_init(&r->load, spec, result, watch);
    r->flows = bench_alloc(spec->publishers, sizeof *r->flows);
    r->publishers = bench_alloc(spec->publishers, sizeof *r->publishers);
    r->subscribers = bench_alloc(spec->subscribers, sizeof *r->subscribers);
    r->churner.slots = bench_alloc(spec->churn, sizeof *r->churner.slots);
    add_clients(r);
}

void flows_fini(struct flows *r)
{
    for (uint32_t i = 0; i < r->spec->publishers; i++) {
        peer_fini(&r->publishers[i].peer);
        flow_fini(&r->flows[i]);
    }
    for (uint32_t i = 0; i < r->spec->subscribers; i++) {
        peer_fini(&r->subscribers[i].peer);
        receiver_fini(&r->subscribers[i].receiver);
    }
    peer_fini(&r->churner.peer);
    memory_free(r->churner.slots);
    memory_free(r->subscribers);
    memory_free(r->publishers);
    memory_free(r->flows);
    load_fini(&r->load);
}
