/* bench/peer_open.c: how a peer comes and goes.
 *
 *     CLOSED --peer_open--> OPENING --CONNACK--> OPEN --peer_disconnect, the other side--> CLOSED
 *
 * CONNECT waits in `out` until the socket is connected: to the rest of the code a socket that is
 * not connected yet is one without room. */
#include "bench/fail.h"
#include "bench/peer_io.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { CLIENTS_PER_ADDRESS = 5000 };

void peer_init(struct peer *p, struct loop *l, const struct peer_ops *ops, uint32_t index)
{
    *p = (struct peer){ .loop = l, .ops = ops, .index = index, .fd = -1 };
    list_init(&p->dirty_link);
}

void peer_fini(struct peer *p)
{
    peer_close(p);
    buffer_fini(&p->in);
    buffer_fini(&p->out);
}

/* ---------------------------------------------------------------------------------- opening --- */

static void __attribute__((noreturn)) fail_to_connect(const struct peer *p, int error)
{
    const struct bench_target *t = p->loop->target;
    bench_fail("cannot connect to %s:%d: %s%s", t->host, t->port, strerror(error),
               error == ECONNREFUSED ? "; is a broker running there?" : "");
}

/* The kernel looks long for a free port when many of an address are taken.  There are more
 * addresses on loopback: each takes some thousand clients. */
static void choose_source(struct peer *p)
{
    const struct sockaddr_in *to = (const struct sockaddr_in *)&p->loop->address;
    uint32_t step = p->index / CLIENTS_PER_ADDRESS;
    if (to->sin_family != AF_INET || ntohl(to->sin_addr.s_addr) != INADDR_LOOPBACK || step == 0)
        return;
    struct sockaddr_in from = { .sin_family = AF_INET };
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + step);
    int on = 1;
    if (setsockopt(p->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0 ||
        bind(p->fd, (const struct sockaddr *)&from, sizeof from) != 0)
        bench_fail("client %u: bind: %s", p->index, strerror(errno));
}

static void open_socket(struct peer *p)
{
    const struct loop *l = p->loop;
    int on = 1;
    p->fd = socket(l->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0)
        bench_fail("client %u: no socket: %s", p->index, strerror(errno));
    if (setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        bench_fail("client %u: TCP_NODELAY: %s", p->index, strerror(errno));
    choose_source(p);
    if (connect(p->fd, (const struct sockaddr *)&l->address, l->address_size) != 0 &&
        errno != EINPROGRESS)
        fail_to_connect(p, errno);
    peer_watch(p, EPOLL_CTL_ADD, false);
}

static void send_connect(struct peer *p, const struct peer_connect *how)
{
    const struct bench_target *t = p->loop->target;
    struct packet packet = { .type = PACKET_CONNECT };
    packet.connect = (struct connect){
        .version = t->version,
        .clean_start = how->clean_start,
        .client_id = how->client_id,
        .has_username = t->username != NULL,
        .username = bytes_of_string(t->username),
        .has_password = t->password != NULL,
        .password = bytes_of_string(t->password),
    };
    if (how->session_expiry > 0) {
        properties_add(&packet.connect.properties, PROPERTY_SESSION_EXPIRY_INTERVAL);
        packet.connect.properties.session_expiry_interval = how->session_expiry;
    }
    peer_send(p, &packet);
}

void peer_open(struct peer *p, const struct peer_connect *how)
{
    struct loop *l = p->loop;
    assert(p->state == PEER_CLOSED);
    while (l->opening >= OPENING_MAX)
        loop_turn(l, INT64_MAX);
    p->state = PEER_OPENING;
    l->opening++;
    open_socket(p);
    if (how->relay_line == NULL) {
        send_connect(p, how);
        return;
    }
    size_t size = strlen(how->relay_line);
    memcpy(peer_room(p, size), how->relay_line, size);
}

static void on_accepted(struct peer *p)
{
    p->state = PEER_OPEN;
    p->loop->opening--;
    p->loop->open++;
    if (p->ops->on_open != NULL)
        p->ops->on_open(p);
}

size_t peer_on_relay_answer(struct peer *p, struct bytes in)
{
    if (in.size == 0)
        return 0;
    if (in.data[0] != '\n')
        bench_fail("client %u: not a relay's answer", p->index);
    p->packet_size_max = PACKET_SIZE_MAX;
    p->receive_max = UINT16_MAX;
    p->qos_max = 2;
    on_accepted(p);
    return 1;
}

void peer_on_connack(struct peer *p, const struct packet *packet)
{
    const struct connack *c = &packet->connack;
    if (packet->type != PACKET_CONNACK)
        bench_fail("client %u: %s instead of CONNACK", p->index, packet_type_name(packet->type));
    if (c->reason != REASON_SUCCESS)
        bench_fail("client %u: refused: %s", p->index, reason_text(c->reason));
    const struct properties *says = &c->properties;
    bool has_size_max = properties_have(says, PROPERTY_MAXIMUM_PACKET_SIZE);
    bool has_receive_max = properties_have(says, PROPERTY_RECEIVE_MAXIMUM);
    p->session_present = c->session_present;
    p->packet_size_max = has_size_max ? says->maximum_packet_size : PACKET_SIZE_MAX;
    p->receive_max = has_receive_max ? says->receive_maximum : UINT16_MAX;
    p->qos_max = properties_have(says, PROPERTY_MAXIMUM_QOS) ? says->maximum_qos : 2;
    on_accepted(p);
}

/* ---------------------------------------------------------------------------------- closing --- */

void peer_close(struct peer *p)
{
    if (p->state == PEER_CLOSED)
        return;
    p->loop->opening -= p->state == PEER_OPENING;
    p->loop->open -= p->state == PEER_OPEN;
    (void)close(p->fd); /* and out of epoll */
    list_remove(&p->dirty_link);
    p->fd = -1;
    p->state = PEER_CLOSED;
    p->life++;
    p->in.size = p->in_missing = 0;
    p->out.size = p->out_sent = 0;
    p->send_error = 0;
}

void peer_disconnect(struct peer *p)
{
    struct packet packet = { .type = PACKET_DISCONNECT };
    peer_send(p, &packet);
    peer_flush(p);
    peer_close(p);
}

void peer_on_hang_up(struct peer *p, int error)
{
    if (p->state == PEER_OPEN && p->ops->on_closed != NULL) {
        peer_close(p);
        p->ops->on_closed(p);
        return;
    }
    if (error != 0 && p->state == PEER_OPENING)
        fail_to_connect(p, error);
    if (error != 0)
        bench_fail("client %u: %s", p->index, strerror(error));
    bench_fail("client %u: the broker hung up", p->index);
}
