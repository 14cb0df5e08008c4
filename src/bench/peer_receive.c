/* bench/peer_receive.c: from a socket to packets.
 *
 *     in   [ start of a packet | in_missing ]   read_buffer [ packet | packet | start of a packet ]
 *                                ^------- one readv fills both -------^             --> in
 *
 * A packet whose size is known is completed in place: a large one is not copied again and again
 * while it arrives.  Packets that lie whole in the loop's buffer are not copied at all. */
#include "bench/fail.h"
#include "bench/peer_io.h"

#include "base/uninitialized.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>

static void on_whole_packet(struct peer *p, struct bytes whole)
{
    UNINITIALIZED struct packet packet;
    enum reason why = REASON_SUCCESS;
    if (packet_decode(whole, p->loop->version, &packet, &why) != DECODE_DONE)
        bench_fail("client %u: a %s that cannot be decoded: %s", p->index,
                   packet_type_name(packet.type), reason_text(why));
    if (packet.type == PACKET_DISCONNECT && p->ops->on_closed == NULL)
        bench_fail("client %u: the broker disconnected it: %s", p->index,
                   reason_text(packet.disconnect.reason));
    if (p->state == PEER_OPENING)
        peer_on_connack(p, &packet);
    else
        p->ops->on_packet(p, &packet);
}

/* Handles all whole packets, unless one of them ends this connection; returns what is left. */
static struct bytes handle_packets(struct peer *p, struct bytes in)
{
    uint32_t life = p->life;
    if (p->state == PEER_OPENING && p->loop->target->is_relay)
        in = bytes_after(in, peer_on_relay_answer(p, in));
    for (;;) {
        struct frame frame;
        enum decode_result result = frame_decode(in, &frame);
        if (result == DECODE_BAD)
            bench_fail("client %u: bytes that are no packet", p->index);
        if (result == DECODE_MORE) {
            p->in_missing = frame.size > in.size ? frame.size - in.size : 0;
            return in;
        }
        on_whole_packet(p, bytes_of(in.data, frame.size));
        if (p->life != life)
            return bytes_of(NULL, 0); /* it was closed, perhaps even opened again */
        in = bytes_after(in, frame.size);
    }
}

static void keep(struct peer *p, struct bytes tail)
{
    p->in.size = 0;
    if (tail.size > 0 && buffer_append(&p->in, tail) != 0)
        bench_fail("out of memory");
}

/* The packet in p->in is whole. */
static bool complete(struct peer *p)
{
    uint32_t life = p->life;
    p->in_missing = 0;
    (void)handle_packets(p, buffer_bytes(&p->in)); /* exactly one: nothing is left */
    if (p->life != life)
        return false;
    p->in.size = 0;
    return true;
}

static void receive(struct peer *p)
{
    uint8_t *buffer = p->loop->read_buffer;
    size_t missing = p->in_missing, tail = missing == 0 ? p->in.size : 0;
    uint8_t *room = missing == 0 ? NULL : buffer_reserve(&p->in, missing);
    if (missing > 0 && room == NULL)
        bench_fail("out of memory");
    if (tail > 0)
        memcpy(buffer, p->in.data, tail); /* of a header, so it fits the headroom */
    struct iovec parts[2] = { { room, missing }, { buffer + tail, READ_SIZE } };
    ssize_t got = readv(p->fd, parts, 2);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        peer_on_hang_up(p, got < 0 ? errno : p->send_error);
        return;
    }
    loop_now(p->loop);
    size_t size = (size_t)got;
    if (missing > 0) {
        size_t part = size < missing ? size : missing;
        buffer_commit(&p->in, part);
        p->in_missing -= part;
        if (p->in_missing > 0 || !complete(p))
            return;
        size -= part;
    }
    uint32_t life = p->life;
    struct bytes rest = handle_packets(p, bytes_of(buffer, tail + size));
    if (p->life == life)
        keep(p, rest);
}

void peer_on_events(struct peer *p, uint32_t bits)
{
    if (p->state == PEER_CLOSED)
        return; /* in this turn, by another one's callback */
    if ((bits & EPOLLOUT) != 0)
        peer_mark_dirty(p);
    if ((bits & ~(uint32_t)EPOLLOUT) != 0)
        receive(p);
}
