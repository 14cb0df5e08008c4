/* bench/publisher.c: keeps the window full, or publishes when it is told to. */
#include "bench/flows_run.h"

#include "bench/fail.h"
#include <stdio.h>

static struct publisher *publisher_of(struct peer *p)
{
    return container_of(p, struct publisher, peer);
}

/* How many messages may be under way: in the open loop as many as Packet Identifiers allow. */
static uint32_t window_size(const struct publisher *p)
{
    const struct bench_spec *spec = flows_of(&p->peer)->spec;
    uint32_t size = spec->rate > 0 ? UINT16_MAX : spec->window;
    return spec->qos > 0 && p->peer.receive_max < size ? p->peer.receive_max : size;
}

static void on_open(struct peer *peer)
{
    struct publisher *p = publisher_of(peer);
    struct flows *r = flows_of(peer);
    if (r->spec->qos > peer->qos_max)
        bench_fail("the broker takes messages of QoS %u at most", peer->qos_max);
    if (p->flow->frame_size > peer->packet_size_max)
        bench_fail("a PUBLISH of %zu bytes is above the broker's Maximum Packet Size of %u",
                   p->flow->frame_size, peer->packet_size_max);
    struct window *w = &p->flow->window;
    w->size = window_size(p);
    w->slots = bench_alloc(w->size, sizeof *w->slots);
    if (p->flow->index == 0 && w->size < r->spec->window && r->spec->rate == 0)
        fprintf(stderr, "bench: the broker's Receive Maximum cuts the window to %u\n", w->size);
    flows_on_ready(peer);
}

/* ------------------------------------------------------------------------------- publishing --- */

static void publish(struct publisher *p, struct slot *slot, int64_t time_ns)
{
    struct flows *r = flows_of(&p->peer);
    struct flow *f = p->flow;
    slot_take(slot, r->spec->qos, r->is_away ? 0 : r->copies, time_ns);
    flow_encode(f, f->published, window_packet_id(&f->window, slot), time_ns,
                peer_room(&p->peer, f->frame_size));
    f->published++;
    r->published++;
    r->load.result->published += r->load.is_counting;
    r->missing += r->copies;
    r->handshakes += r->spec->qos > 0;
}

static struct slot *next_slot(const struct publisher *p)
{
    return window_slot(&p->flow->window, p->flow->published);
}

/* The closed loop.  One look at the clock for all that goes out together. */
static void fill_window(struct peer *peer)
{
    struct publisher *p = publisher_of(peer);
    struct flows *r = flows_of(peer);
    if (!r->is_publishing || r->spec->rate > 0 || !slot_is_free(next_slot(p)))
        return;
    int64_t now = loop_now(peer->loop);
    for (struct slot *slot; r->published < r->publish_max; publish(p, slot, now)) {
        slot = next_slot(p);
        if (!slot_is_free(slot))
            return;
    }
}

/* Where losing is allowed, a message whose slot is needed is not looked after any more. */
void publisher_publish(struct publisher *p, int64_t time_ns)
{
    struct slot *slot = next_slot(p);
    if (!slot_is_free(slot) && !flows_of(&p->peer)->is_lossy)
        bench_fail("publisher %u: %u messages are under way, and the broker allows no more",
                   p->peer.index, p->flow->window.size);
    publish(p, slot, time_ns);
}

/* ------------------------------------------------------------------------------ the answers --- */

/* PUBACK or PUBREC: from here on the message is the broker's [MQTT-4.3.2-4] [MQTT-4.3.3-8]. */
static void count_answer(struct flows *r, int64_t sent_ns)
{
    if (r->is_away)
        r->load.result->delivered += r->load.is_counting;
    flows_count_time(r, &r->answer, sent_ns);
}

/* The answer to a PUBLISH or PUBREL: it must be the one that is due. */
static void on_answer(struct peer *peer, const struct packet *packet, enum awaits due,
                      enum awaits next)
{
    struct flows *r = flows_of(peer);
    const struct ack *ack = &packet->ack;
    struct slot *slot = window_answer(&publisher_of(peer)->flow->window, ack->packet_id, due);
    if (slot == NULL)
        bench_fail("publisher %u: a %s of nothing, Packet Identifier %u", peer->index,
                   packet_type_name(packet->type), ack->packet_id);
    if (reason_is_error(ack->reason))
        bench_fail("publisher %u: a message was refused: %s", peer->index,
                   reason_text(ack->reason));
    slot->awaits = next;
    flows_on_progress(r);
    if (due != AWAITS_PUBCOMP)
        count_answer(r, slot->time_ns);
    if (next == AWAITS_PUBCOMP) {
        peer_ack(peer, PACKET_PUBREL, ack->packet_id);
        return;
    }
    r->handshakes--;
    peer_mark_dirty(peer);
}

static void on_packet(struct peer *peer, const struct packet *packet)
{
    switch (packet->type) {
    case PACKET_PUBACK:
        on_answer(peer, packet, AWAITS_PUBACK, AWAITS_NOTHING);
        return;
    case PACKET_PUBREC:
        on_answer(peer, packet, AWAITS_PUBREC, AWAITS_PUBCOMP);
        return;
    case PACKET_PUBCOMP:
        on_answer(peer, packet, AWAITS_PUBCOMP, AWAITS_NOTHING);
        return;
    default:
        flows_on_other_packet(peer, packet);
    }
}

const struct peer_ops publisher_ops = { .on_packet = on_packet,
                                        .on_open = on_open,
                                        .on_dirty = fill_window };
