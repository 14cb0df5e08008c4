/* bench/writer.c: see writer.h. */
#include "bench/writer.h"
#include "base/memory.h"
#include "bench/fail.h"

static struct writer *writer_of(struct peer *p)
{
    return container_of(p, struct writer, peer);
}

/* As many as the window has room for. */
static void on_dirty(struct peer *p)
{
    struct writer *w = writer_of(p);
    uint32_t window = w->load->spec->window;
    while (w->published < w->count && !w->awaits_puback[w->published % window]) {
        struct packet packet = { .type = PACKET_PUBLISH };
        packet.publish.qos = 1;
        packet.publish.packet_id = (uint16_t)(w->published % window + 1);
        w->compose(w, w->published, &packet.publish);
        peer_send(p, &packet);
        w->awaits_puback[w->published % window] = true;
        w->published++;
    }
}

static void on_packet(struct peer *p, const struct packet *packet)
{
    struct writer *w = writer_of(p);
    if (packet->type != PACKET_PUBACK)
        bench_fail("client %u: unexpected %s", p->index, packet_type_name(packet->type));
    const struct ack *ack = &packet->ack;
    if (ack->packet_id == 0 || ack->packet_id > w->load->spec->window ||
        !w->awaits_puback[ack->packet_id - 1])
        bench_fail("client %u: an acknowledgement of nothing, packet id %u", p->index,
                   ack->packet_id);
    if (reason_is_error(ack->reason))
        bench_fail("client %u: a message was refused: %s", p->index, reason_text(ack->reason));
    w->awaits_puback[ack->packet_id - 1] = false;
    w->acknowledged++;
    w->load->heard_ns = w->load->loop.now_ns;
    peer_mark_dirty(p);
}

void writer_init(struct writer *w, struct load *load, uint32_t index)
{
    static const struct peer_ops ops = { .on_packet = on_packet, .on_dirty = on_dirty };
    const struct bench_spec *spec = load->spec;
    struct peer_connect connect = { .clean_start = true };
    *w = (struct writer){ .load = load };
    w->awaits_puback = bench_alloc(spec->window, sizeof *w->awaits_puback);
    w->payload = bench_alloc(1, spec->payload_size);
    peer_init(&w->peer, &load->loop, &ops, index);
    connect.client_id = load_client_id(w->id, index);
    peer_open(&w->peer, &connect);
    while (w->peer.state != PEER_OPEN)
        load_turn(load, INT64_MAX, "CONNACK");
    if (w->peer.receive_max < spec->window)
        bench_fail("a window of %u is above the broker's Receive Maximum of %u", spec->window,
                   w->peer.receive_max);
}

void writer_fini(struct writer *w)
{
    peer_disconnect(&w->peer);
    peer_fini(&w->peer);
    memory_free(w->awaits_puback);
    memory_free(w->payload);
}

void writer_publish(struct writer *w, uint64_t count, writer_compose *compose,
                    enum writer_manner manner)
{
    w->compose = compose;
    w->count = count;
    w->published = w->acknowledged = 0;
    w->load->heard_ns = loop_now(&w->load->loop);
    peer_mark_dirty(&w->peer);
    while (w->acknowledged < w->count) {
        load_turn(w->load, INT64_MAX, "PUBACK");
        if (manner == WRITER_MAY_STOP && load_is_stopped(w->load))
            w->count = w->published;
    }
}
