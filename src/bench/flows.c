/* bench/flows.c: a run from the first connection to the last DISCONNECT.
 *
 *     connect, subscribe | publish: warm-up, counted | what is under way | PINGREQ, PINGRESP | bye
 *                       gone                                       back
 *
 * Subscribers that are away while messages are published come back for them when the counted time
 * is over: all that was acknowledged must be there, once, in order.
 *
 * A message twice would come before the PINGRESP that follows it, and fails as any other that is
 * not the next. */
#include "bench/flows.h"

#include "bench/fail.h"
#include "bench/flows_run.h"
#include <stdio.h>

enum { LOST_AFTER_MS = 2000 };

/* ------------------------------------------------------------------------------ the clients --- */

/* A relay joins those of one stream.  Where several write to one reader, it must not cut their
 * packets in pieces. */
static void format_relay_line(const struct flows *r, const struct peer *p, char *out, size_t size)
{
    const struct bench_spec *spec = r->spec;
    bool publishes = p->index < spec->publishers;
    bool is_pair = spec->wiring == WIRING_PAIRS;
    uint32_t stream = !is_pair ? 0 : publishes ? p->index : p->index - spec->publishers;
    bool is_whole = publishes && !is_pair && spec->publishers > 1;
    (void)snprintf(out, size, "%c %u %zu\n", publishes ? 'P' : 'S', stream,
                   is_whole ? r->flows[0].frame_size : 0);
}

static bool is_subscriber(const struct flows *r, const struct peer *p)
{
    return p->index - r->spec->publishers < r->spec->subscribers;
}

static void open_client(struct flows *r, struct peer *p)
{
    char id[CLIENT_ID_SIZE], line[64];
    struct peer_connect how = { .clean_start = true };
    how.client_id = load_client_id(id, p->index);
    if (r->spec->sessions != SESSIONS_CLEAN && is_subscriber(r, p)) {
        how.clean_start = false;
        how.session_expiry = SESSION_EXPIRY_S;
    }
    if (r->spec->target.is_relay) {
        format_relay_line(r, p, line, sizeof line);
        how.relay_line = line;
    }
    peer_open(p, &how);
}

static void ping(struct flows *r, struct peer *p)
{
    struct packet packet = { .type = PACKET_PINGREQ };
    peer_send(p, &packet);
    r->pings++;
}

static void say_goodbye(struct flows *r, struct peer *p)
{
    if (r->spec->target.is_relay)
        peer_close(p);
    else
        peer_disconnect(p);
}

static void for_each_client(struct flows *r, void (*visit)(struct flows *, struct peer *))
{
    for (uint32_t i = 0; i < r->spec->publishers; i++)
        visit(r, &r->publishers[i].peer);
    for (uint32_t i = 0; i < r->spec->subscribers; i++)
        visit(r, &r->subscribers[i].peer);
    if (r->spec->churn > 0)
        visit(r, &r->churner.peer);
}

void flows_on_ready(struct peer *p)
{
    struct flows *r = flows_of(p);
    flows_on_progress(r);
    r->unready--;
}

void flows_on_other_packet(struct peer *p, const struct packet *packet)
{
    struct flows *r = flows_of(p);
    if (packet->type != PACKET_PINGRESP || r->pings == 0)
        bench_fail("client %u: unexpected %s", p->index, packet_type_name(packet->type));
    flows_on_progress(r);
    r->pings--;
}

/* ---------------------------------------------------------------------------------- the run --- */

static void connect_all(struct flows *r)
{
    for_each_client(r, open_client);
    while (r->unready > 0)
        load_turn(&r->load, INT64_MAX, "clients to be connected and subscribed");
    load_ready(&r->load, r->load.loop.open);
}

/* The open loop: what is due goes out, each as if it had gone when it was due. */
static void publish_due(struct flows *r)
{
    int64_t now = loop_now(&r->load.loop);
    for (int64_t due; (due = pace_due(&r->pace)) <= now && r->published < r->publish_max;) {
        publisher_publish(&r->publishers[r->pace.next % r->spec->publishers], due);
        r->pace.next++;
    }
}

static void publish_for(struct flows *r, double seconds)
{
    struct loop *loop = &r->load.loop;
    int64_t until = seconds > 0 ? loop_now(loop) + (int64_t)(seconds * 1e9) : INT64_MAX;
    while (loop->now_ns < until && r->published < r->publish_max && !load_is_stopped(&r->load)) {
        int64_t next = until;
        if (r->spec->rate > 0) {
            publish_due(r);
            next = pace_due(&r->pace) < until ? pace_due(&r->pace) : until;
        }
        load_turn(&r->load, next, "messages to be taken and delivered");
    }
}

static void publish_all(struct flows *r)
{
    const struct bench_spec *spec = r->spec;
    r->pace = (struct pace){ .start_ns = loop_now(&r->load.loop), .rate = spec->rate };
    r->is_publishing = true;
    for (uint32_t i = 0; i < spec->publishers; i++)
        peer_mark_dirty(&r->publishers[i].peer);
    churner_start(&r->churner);
    if (spec->warm_up > 0)
        publish_for(r, spec->warm_up);
    load_begin(&r->load);
    r->begin_ns = r->load.counted_since_ns;
    if (spec->messages > 0)
        r->publish_max = r->published + spec->messages;
    publish_for(r, spec->seconds);
    r->is_publishing = false;
}

/* What has not come for so long, where losing is allowed, is lost. */
static bool has_lost(const struct flows *r)
{
    return r->is_lossy && r->load.loop.now_ns - r->load.heard_ns > LOST_AFTER_MS * INT64_C(1000000);
}

static void wait_for_acknowledgements(struct flows *r)
{
    while (r->handshakes > 0)
        load_turn(&r->load, INT64_MAX, "acknowledgements");
}

static void wait_for_the_last(struct flows *r)
{
    struct bench_result *result = r->load.result;
    while (r->missing > 0 && !r->is_away && !has_lost(r))
        load_turn(&r->load, INT64_MAX, "messages");
    wait_for_acknowledgements(r);
    while (r->churner.under_way > 0)
        load_turn(&r->load, INT64_MAX, "UNSUBACK");
    load_end(&r->load);
    histogram_streak_end(&r->latency);
    histogram_streak_end(&r->answer);
    if (r->missing == 0 || r->is_away)
        return;
    /* Nothing was done while we waited for what was lost. */
    result->seconds -= (double)(r->load.loop.now_ns - r->load.heard_ns) / 1e9;
    result->lost += r->missing;
}

static void take_what_was_kept(struct flows *r)
{
    absence_end(r);
    while (r->missing > 0)
        load_turn(&r->load, INT64_MAX,
                  "messages that were acknowledged; does the broker limit its queues "
                  "(max_queued_messages, max_queued_bytes)?");
    wait_for_acknowledgements(r);
}

static void finish(struct flows *r)
{
    if (!r->spec->target.is_relay)
        for_each_client(r, ping);
    while (r->pings > 0)
        load_turn(&r->load, INT64_MAX, "PINGRESP");
    for_each_client(r, say_goodbye);
    if (r->spec->sessions != SESSIONS_CLEAN)
        absence_forever(r);
}

void flows_run(const struct bench_spec *spec, struct bench_result *result,
               const struct bench_watch *watch)
{
    struct flows r;
    flows_init(&r, spec, result, watch);
    connect_all(&r);
    if (r.is_away)
        absence_begin(&r);
    publish_all(&r);
    wait_for_the_last(&r);
    if (r.is_away)
        take_what_was_kept(&r);
    finish(&r);
    flows_fini(&r);
}
