/* bench/subscriber.c: subscribes as the wiring says, then takes and acknowledges. */
#include "bench/flows_run.h"

#include "bench/fail.h"
#include <inttypes.h>

enum { FILTERS_PER_PACKET = 100 };

static struct subscriber *subscriber_of(struct peer *p)
{
    return container_of(p, struct subscriber, peer);
}

/* ------------------------------------------------------------------------------- the wiring --- */

void subscriber_init(struct subscriber *s, struct flows *r, uint32_t index)
{
    const struct bench_spec *spec = r->spec;
    bool is_pair = spec->wiring == WIRING_PAIRS;
    s->index = index;
    receiver_init(&s->receiver, r->flows, is_pair ? index : 0, is_pair ? 1 : spec->publishers);
    /* To look up which of many topics are its own takes time, which there is when it was away. */
    s->receiver.may_skip = (spec->wiring == WIRING_SPREAD && !r->is_away) ||
                           spec->wiring == WIRING_SHARED || r->is_lossy;
    s->receiver.is_late = r->is_away;
    if (spec->wiring == WIRING_SPREAD) {
        s->receiver.topics_mine = index;
        s->receiver.topics_step = spec->subscribers;
    }
}

static uint32_t filter_count(const struct subscriber *s, const struct bench_spec *spec)
{
    if (spec->wiring == WIRING_FANOUT)
        return spec->publishers;
    if (spec->wiring == WIRING_SPREAD)
        return (spec->topics - s->index + spec->subscribers - 1) / spec->subscribers;
    return 1;
}

static void format_filter(const struct subscriber *s, const struct flows *r, uint32_t n, char *out)
{
    const struct bench_spec *spec = r->spec;
    switch (spec->wiring) {
    case WIRING_PAIRS:
        flow_filter(&r->plan, s->index, false, out);
        return;
    case WIRING_FANOUT:
        flow_filter(&r->plan, n, false, out);
        return;
    case WIRING_SPREAD:
        flow_filter(&r->plan, s->index + n * spec->subscribers, spec->with_wildcards, out);
        return;
    case WIRING_FANIN:
    case WIRING_SHARED:
        flow_filter_all(&r->plan, spec->wiring == WIRING_SHARED, out);
        return;
    }
}

static void subscribe_to_some(struct subscriber *s)
{
    const struct flows *r = flows_of(&s->peer);
    char texts[FILTERS_PER_PACKET][FILTER_SIZE_MAX];
    const char *filters[FILTERS_PER_PACKET];
    uint32_t count = 0, all = filter_count(s, r->spec);
    for (; count < FILTERS_PER_PACKET && s->asked < all; count++, s->asked++) {
        format_filter(s, r, s->asked, texts[count]);
        filters[count] = texts[count];
    }
    peer_subscribe(&s->peer, 1, filters, count, r->spec->qos);
}

static void on_open(struct peer *peer)
{
    struct flows *r = flows_of(peer);
    if (r->spec->target.is_relay)
        flows_on_ready(peer);
    else
        subscribe_to_some(subscriber_of(peer));
}

static void on_suback(struct peer *peer, const struct suback *suback)
{
    struct subscriber *s = subscriber_of(peer);
    struct flows *r = flows_of(peer);
    if (suback->packet_id != 1 || suback->reasons.size != s->asked - s->granted)
        bench_fail("subscriber %u: a SUBACK of something else", s->index);
    for (size_t i = 0; i < suback->reasons.size; i++) {
        uint8_t reason = suback->reasons.data[i];
        if (reason >= 0x80)
            bench_fail("subscriber %u: a subscription was refused: %s", s->index,
                       reason_text(reason));
        if (reason != r->spec->qos)
            bench_fail("subscriber %u: QoS %u was granted instead of %u", s->index, reason,
                       r->spec->qos);
    }
    flows_on_progress(r);
    s->granted = s->asked;
    if (s->asked < filter_count(s, r->spec))
        subscribe_to_some(s);
    else
        flows_on_ready(peer);
}

/* -------------------------------------------------------------------------------- messages ---- */

static void __attribute__((noreturn)) complain(const struct subscriber *s, const struct publish *m,
                                               const struct arrival *a, const char *wrong)
{
    if (a->flow == NULL)
        bench_fail("subscriber %u: a message to %.*s %s", s->index, (int)m->topic.size,
                   (const char *)m->topic.data, wrong);
    bench_fail("subscriber %u: message %" PRIu64 " of publisher %u %s", s->index, a->stamp.number,
               a->stamp.flow, wrong);
}

static void on_publish(struct peer *peer, const struct publish *m)
{
    struct subscriber *s = subscriber_of(peer);
    struct flows *r = flows_of(peer);
    struct arrival a;
    const char *wrong = receiver_take(&s->receiver, m, &a);
    int64_t sent_ns = a.stamp.time_ns, now_ns = peer->loop->now_ns;
    if (wrong == NULL && (sent_ns < 0 || sent_ns > now_ns))
        wrong = "has an impossible time";
    if (wrong != NULL)
        complain(s, m, &a, wrong);
    flows_on_progress(r);
    r->missing--;
    r->load.result->delivered += r->load.is_counting;
    if (!r->is_away)
        flows_count_time(r, &r->latency, sent_ns);
    peer_mark_dirty(&r->publishers[a.stamp.flow].peer); /* there may be room in its window */
    if (m->qos == 1)
        peer_ack(peer, PACKET_PUBACK, m->packet_id);
    if (m->qos == 2) {
        peer_ack(peer, PACKET_PUBREC, m->packet_id);
        r->handshakes++;
        s->unreleased++;
    }
}

static void on_pubrel(struct peer *peer, const struct ack *ack)
{
    struct subscriber *s = subscriber_of(peer);
    if (s->unreleased == 0)
        bench_fail("subscriber %u: a PUBREL of nothing, Packet Identifier %u", s->index,
                   ack->packet_id);
    s->unreleased--;
    flows_of(peer)->handshakes--;
    peer_ack(peer, PACKET_PUBCOMP, ack->packet_id);
}

void subscriber_on_packet(struct peer *peer, const struct packet *packet)
{
    switch (packet->type) {
    case PACKET_PUBLISH:
        on_publish(peer, &packet->publish);
        return;
    case PACKET_PUBREL:
        on_pubrel(peer, &packet->ack);
        return;
    case PACKET_SUBACK:
        on_suback(peer, &packet->suback);
        return;
    default:
        flows_on_other_packet(peer, packet);
    }
}

const struct peer_ops subscriber_ops = { .on_packet = subscriber_on_packet, .on_open = on_open };
