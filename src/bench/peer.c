/* bench/peer.c: what a peer says.
 *
 *     out   [ sent already | not yet            | spare ]
 *                          ^ out_sent           ^ out.size
 *
 * Packets of a turn gather here and go out in one send at its end.  What the socket does not take
 * waits for EPOLLOUT. */
#include "bench/fail.h"
#include "bench/peer_io.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

enum { UNSENT_MAX = 64 * 1024 * 1024 };

void peer_mark_dirty(struct peer *p)
{
    if (list_is_empty(&p->dirty_link))
        list_push_back(&p->loop->dirty, &p->dirty_link);
}

uint8_t *peer_room(struct peer *p, size_t size)
{
    uint8_t *room = buffer_reserve(&p->out, size);
    if (room == NULL)
        bench_fail("out of memory");
    buffer_commit(&p->out, size);
    peer_mark_dirty(p);
    return room;
}

void peer_send(struct peer *p, const struct packet *packet)
{
    size_t size = packet_size(packet, p->loop->version);
    if (size > p->packet_size_max && p->state == PEER_OPEN)
        bench_fail("client %u: a %s of %zu bytes is above the broker's Maximum Packet Size of %u",
                   p->index, packet_type_name(packet->type), size, p->packet_size_max);
    packet_encode(packet, p->loop->version, peer_room(p, size));
}

/* The short form, which all versions have. */
void peer_ack(struct peer *p, enum packet_type type, uint16_t packet_id)
{
    uint8_t *out = peer_room(p, 4);
    out[0] = (uint8_t)(type << 4 | (type == PACKET_PUBREL ? 2 : 0)); /* [MQTT-3.6.1-1] */
    out[1] = 2;
    out[2] = (uint8_t)(packet_id >> 8);
    out[3] = (uint8_t)packet_id;
}

/* SUBSCRIBE has a byte of options after each filter, UNSUBSCRIBE has not. */
static void send_filters(struct peer *p, struct packet *packet, const char *const *filters,
                         const uint8_t *options)
{
    struct buffer list = { 0 };
    for (uint32_t i = 0; i < packet->subscribe.count; i++) {
        struct bytes filter = bytes_of_string(filters[i]);
        uint8_t size[2] = { (uint8_t)(filter.size >> 8), (uint8_t)filter.size };
        if (buffer_append(&list, bytes_of(size, 2)) != 0 || buffer_append(&list, filter) != 0 ||
            (options != NULL && buffer_append(&list, bytes_of(options, 1)) != 0))
            bench_fail("out of memory");
    }
    packet->subscribe.filters = buffer_bytes(&list);
    peer_send(p, packet);
    buffer_fini(&list);
}

void peer_subscribe(struct peer *p, uint16_t packet_id, const char *const *filters, uint32_t count,
                    uint8_t qos)
{
    struct packet packet = { .type = PACKET_SUBSCRIBE };
    packet.subscribe = (struct subscribe){ .packet_id = packet_id, .count = count };
    send_filters(p, &packet, filters, &qos);
}

void peer_unsubscribe(struct peer *p, uint16_t packet_id, const char *const *filters,
                      uint32_t count)
{
    struct packet packet = { .type = PACKET_UNSUBSCRIBE };
    packet.subscribe = (struct subscribe){ .packet_id = packet_id, .count = count };
    send_filters(p, &packet, filters, NULL);
}

void peer_watch(struct peer *p, int how, bool waits_for_room)
{
    struct epoll_event event = { .data.ptr = p };
    event.events = EPOLLIN | (waits_for_room ? EPOLLOUT : 0u);
    if (epoll_ctl(p->loop->epoll_fd, how, p->fd, &event) != 0)
        bench_fail("epoll_ctl: %s", strerror(errno));
    p->waits_for_room = waits_for_room;
}

/* Forgets what has been sent, so that a buffer that is never empty does not grow for ever. */
static void drop_sent(struct peer *p)
{
    size_t left = p->out.size - p->out_sent;
    if (left > UNSENT_MAX)
        bench_fail("client %u: the broker does not take what it is sent: %zu bytes wait", p->index,
                   left);
    if (p->out_sent < left)
        return;
    memcpy(p->out.data, p->out.data + p->out_sent, left);
    p->out.size = left;
    p->out_sent = 0;
}

/* A send that fails for good is left to the read that follows: it may still find a DISCONNECT. */
void peer_flush(struct peer *p)
{
    while (p->out_sent < p->out.size) {
        ssize_t sent = send(p->fd, p->out.data + p->out_sent, p->out.size - p->out_sent,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0 && errno != EINTR) {
            p->send_error = errno;
            break;
        }
        p->out_sent += sent > 0 ? (size_t)sent : 0;
    }
    if (p->state == PEER_CLOSED)
        return;
    bool is_done = p->out_sent == p->out.size;
    if (p->out.size > 0)
        drop_sent(p);
    if (p->waits_for_room == is_done)
        peer_watch(p, EPOLL_CTL_MOD, !is_done);
}
