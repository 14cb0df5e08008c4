/* io/network.c: epoll and TCP sockets behind the network door.
 *
 *     poller   one epoll instance and one eventfd that wakes it: each write is an edge, so nobody
 *              ever reads it
 *     stream   one descriptor; epoll's data is the tag the owner gave to watch()
 *
 * Level triggered: what was not read or written is reported again, nothing has to be remembered.
 * io_uring serves for one thing, where it is there and allowed: when many connections are to be
 * flushed at once.  Receivers on this machine then wake up once for many sends and do not take the
 * CPU from us between two of them.  For reading it was measured and left: it needs more memory for
 * each idle connection, and costs more when messages are few. */
#include "io/network.h"
#include "base/memory.h"
#include "base/uninitialized.h"
#include "io/send_ring.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    LISTEN_BACKLOG = 1024,
    EVENTS_MAX = 128,
    RING_SENDS_MIN = 8, /* fewer are cheaper one by one */
};

struct poller {
    int epoll_fd;
    int wake_fd;
    struct send_ring *ring; /* made when first used, by the thread that uses it */
    bool has_no_ring;
};

struct tcp_stream {
    struct stream stream;
    int fd;
    bool is_watched;
    bool is_v6;
    in_port_t port; /* as on the wire */
    union {
        struct in_addr v4;
        struct in6_addr v6;
    } peer;
};

struct tcp_listener {
    struct tcp_stream tcp;
    int spare_fd; /* given up for a moment when descriptors run out; -1: there is none */
};

static_assert(sizeof(struct peer_name) >= INET6_ADDRSTRLEN + sizeof ":65535", "any name fits");
static_assert(sizeof(struct tcp_stream) == 32, "there may be a million");

/* --------------------------------------------------------------------------------- poller ----- */

static void poller_destroy(struct poller *p)
{
    if (p == NULL)
        return;
    if (p->wake_fd >= 0)
        (void)close(p->wake_fd); /* no data to lose; so below */
    if (p->epoll_fd >= 0)
        (void)close(p->epoll_fd);
    send_ring_destroy(p->ring);
    memory_free(p);
}

static struct poller *poller_create(const struct network *network)
{
    struct poller *p = memory_alloc(sizeof *p);
    if (p == NULL)
        return NULL;
    p->ring = NULL;
    p->has_no_ring = network != &network_real;
    p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event wake = { .events = EPOLLIN | EPOLLET, .data.ptr = p };
    if (p->epoll_fd < 0 || p->wake_fd < 0 ||
        epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, p->wake_fd, &wake) != 0) {
        poller_destroy(p);
        return NULL;
    }
    return p;
}

/* Rounded up: waking a little late is fine, spinning until the deadline is not. */
static int timeout_ms(int64_t timeout_ns)
{
    int64_t ms = timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
    return timeout_ns == INT64_MAX ? -1 : ms > INT_MAX ? INT_MAX : (int)ms;
}

static unsigned ready_of(uint32_t events)
{
    unsigned ready = 0;
    if ((events & EPOLLIN) != 0)
        ready |= NET_READ;
    if ((events & EPOLLOUT) != 0)
        ready |= NET_WRITE;
    if ((events & (EPOLLHUP | EPOLLERR)) != 0)
        ready |= NET_HANGUP;
    return ready;
}

static int poller_wait(struct poller *p, struct net_event *events, int max, int64_t timeout_ns)
{
    struct epoll_event ready[EVENTS_MAX] UNINITIALIZED;
    int count =
        epoll_wait(p->epoll_fd, ready, max < EVENTS_MAX ? max : EVENTS_MAX, timeout_ms(timeout_ns));
    int out = 0;
    for (int i = 0; i < count; i++) {
        if (ready[i].data.ptr != p) /* else it was only a wake-up */
            events[out++] = (struct net_event){ ready[i].data.ptr, ready_of(ready[i].events) };
    }
    return out;
}

static void poller_wake(struct poller *p)
{
    uint64_t one = 1;
    (void)!write(p->wake_fd, &one, sizeof one); /* it would take 584 years to fill it */
}

static int watch(struct poller *p, struct stream *stream, unsigned interest, void *tag)
{
    struct tcp_stream *s = (struct tcp_stream *)stream;
    struct epoll_event event = { .data.ptr = tag };
    event.events |= (interest & NET_READ) != 0 ? EPOLLIN : 0;
    event.events |= (interest & NET_WRITE) != 0 ? EPOLLOUT : 0;
    int how = s->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(p->epoll_fd, how, s->fd, &event) != 0)
        return -errno;
    s->is_watched = true;
    return 0;
}

static void unwatch(struct poller *p, struct stream *stream)
{
    struct tcp_stream *s = (struct tcp_stream *)stream;
    if (s->is_watched)
        (void)epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL); /* it is there: cannot fail */
    s->is_watched = false;
}

/* ---------------------------------------------------------------------------------- stream ---- */

/* As recv and send, but no points where a thread may be cancelled: nobody is here, and being one
 * takes two locked instructions per call. */
static ssize_t recv_plain(int fd, void *out, size_t size)
{
    return syscall(SYS_recvfrom, fd, out, size, 0, NULL, NULL);
}

static ssize_t send_plain(int fd, const void *data, size_t size)
{
    return syscall(SYS_sendto, fd, data, size, MSG_NOSIGNAL, NULL, 0);
}

static int accept_plain(int fd, struct sockaddr_storage *address)
{
    socklen_t size = sizeof *address;
    return (int)syscall(SYS_accept4, fd, address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void close_plain(int fd)
{
    (void)syscall(SYS_close, fd); /* it is ours: cannot fail in a way that matters */
}

static ssize_t tcp_recv(struct stream *stream, void *out, size_t size)
{
    ssize_t got;
    do
        got = recv_plain(((struct tcp_stream *)stream)->fd, out, size);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

static ssize_t tcp_send(struct stream *stream, const struct iovec *parts, int count)
{
    int fd = ((struct tcp_stream *)stream)->fd;
    struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count };
    ssize_t sent;
    do
        sent = count == 1 ? send_plain(fd, parts->iov_base, parts->iov_len) /* cheaper */
                          : sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

/* The descriptor has no copies: with it epoll's entry goes. */
static void tcp_close(struct stream *stream)
{
    struct tcp_stream *s = (struct tcp_stream *)stream;
    close_plain(s->fd); /* what was not sent by now is lost either way */
    memory_free(s);
}

/* Decimal, from 0 to 65535; returns the end.  Names of peers are logged for every connection, and
 * printf takes longer than all the rest of it. */
static char *put_number(char *out, unsigned number)
{
    char digits[8];
    int count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0)
        *out++ = digits[--count];
    return out;
}

static char *put_address(char *out, const struct tcp_stream *s)
{
    if (s->is_v6) {
        if (inet_ntop(AF_INET6, &s->peer.v6, out, INET6_ADDRSTRLEN) == NULL)
            memcpy(out, "?", sizeof "?");
        return out + strlen(out);
    }
    const uint8_t *bytes = (const uint8_t *)&s->peer.v4;
    for (int i = 0; i < 4; i++) {
        out = put_number(out, bytes[i]);
        *out++ = '.';
    }
    return out - 1;
}

static void tcp_name(const struct stream *stream, struct peer_name *out)
{
    const struct tcp_stream *s = (const struct tcp_stream *)stream;
    char *end = put_address(out->text, s);
    *end++ = ':';
    *put_number(end, ntohs(s->port)) = '\0';
}

static int no_accept(struct stream *stream, struct stream **out)
{
    return -EINVAL;
}

static const struct stream_ops tcp_ops = { tcp_recv, tcp_send, no_accept, tcp_name, tcp_close };

/* NULL: no memory. */
static struct tcp_stream *stream_create(int fd, const struct sockaddr_storage *peer)
{
    struct tcp_stream *s = memory_alloc_zero(sizeof *s);
    if (s == NULL)
        return NULL;
    s->stream.ops = &tcp_ops;
    s->fd = fd;
    s->is_v6 = peer->ss_family == AF_INET6;
    if (s->is_v6) {
        s->port = ((const struct sockaddr_in6 *)peer)->sin6_port;
        s->peer.v6 = ((const struct sockaddr_in6 *)peer)->sin6_addr;
    } else {
        s->port = ((const struct sockaddr_in *)peer)->sin_port;
        s->peer.v4 = ((const struct sockaddr_in *)peer)->sin_addr;
    }
    return s;
}

/* -------------------------------------------------------------------------------- listener ---- */

/* Out of descriptors: without this, the connection would wait in the backlog and wake us for ever.
 * With the spare one it can be accepted, and refused by closing it. */
static void refuse_one(struct tcp_listener *listener)
{
    if (listener->spare_fd < 0)
        return;
    (void)close(listener->spare_fd);
    int fd = accept4(listener->tcp.fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        (void)close(fd); /* that is the refusal */
    listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int listener_accept(struct stream *stream, struct stream **out)
{
    struct tcp_listener *listener = (struct tcp_listener *)stream;
    struct sockaddr_storage address = { 0 };
    int fd = accept_plain(listener->tcp.fd, &address);
    if (fd < 0) {
        int error = errno;
        if (error == EMFILE || error == ENFILE)
            refuse_one(listener);
        return -error;
    }
    struct tcp_stream *s = stream_create(fd, &address);
    if (s == NULL) {
        (void)close(fd); /* nothing was sent */
        return -ENOMEM;
    }
    *out = &s->stream;
    return 0;
}

static void listener_name(const struct stream *stream, struct peer_name *out)
{
    bool is_v6 = ((const struct tcp_stream *)stream)->is_v6;
    snprintf(out->text, sizeof out->text, is_v6 ? "ipv6" : "ipv4");
}

static void listener_close(struct stream *stream)
{
    struct tcp_listener *listener = (struct tcp_listener *)stream;
    if (listener->spare_fd >= 0)
        (void)close(listener->spare_fd); /* holds nothing */
    tcp_close(stream);
}

static const struct stream_ops listener_ops = { tcp_recv, tcp_send, listener_accept, listener_name,
                                                listener_close };

/* NULL: no memory. */
static struct tcp_listener *listener_create(int fd, bool is_v6)
{
    struct tcp_listener *l = memory_alloc_zero(sizeof *l);
    if (l == NULL)
        return NULL;
    l->tcp.stream.ops = &listener_ops;
    l->tcp.fd = fd;
    l->tcp.is_v6 = is_v6;
    l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* -1: goes without */
    return l;
}

/* What the connections inherit, and what makes them cheaper: failing costs speed, nothing else.
 *
 * A Client speaks first, so a connection is not worth a wake-up before its first bytes are there;
 * one that stays silent is accepted after about a second. */
static void set_speed(int fd, const struct listen_options *o)
{
    int on = 1, silence_s = 1;
    if (o->nodelay)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (o->deferred)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &silence_s, sizeof silence_s);
}

static int set_options(int fd, const struct listen_options *o, int family, const char **error_text)
{
    int on = 1;
    *error_text = "setsockopt";
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        return -errno;
    if (o->shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
        return -errno;
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0)
        return -errno;
    *error_text = "bind to interface";
    if (o->interface != NULL && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, o->interface,
                                           (socklen_t)strlen(o->interface)) != 0)
        return -errno;
    return 0;
}

/* A socket bound to the address, not listening yet: its descriptor, or a negative errno. */
static int bind_socket(const struct addrinfo *address, const struct listen_options *o,
                       const char **error_text)
{
    *error_text = "socket";
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int result = set_options(fd, o, address->ai_family, error_text);
    if (result == 0 && (*error_text = "bind", bind(fd, address->ai_addr, address->ai_addrlen)) != 0)
        result = -errno;
    if (result == 0)
        return fd;
    (void)close(fd); /* nobody was connected */
    return result;
}

static int open_listener(const struct addrinfo *address, const struct listen_options *o,
                         struct stream **out, const char **error_text)
{
    int fd = bind_socket(address, o, error_text);
    if (fd < 0)
        return fd;
    set_speed(fd, o);
    int result = listen(fd, LISTEN_BACKLOG) == 0 ? 0 : -errno;
    struct tcp_listener *l =
        result == 0 ? listener_create(fd, address->ai_family == AF_INET6) : NULL;
    if (l == NULL) {
        *error_text = "listen";
        (void)close(fd); /* nobody was connected */
        return result != 0 ? result : -ENOMEM;
    }
    *out = &l->tcp.stream;
    return 0;
}

/* A machine without IPv6 still serves IPv4: a family that does not exist here is passed over. */
static bool is_passable(int error)
{
    return error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL;
}

/* Two sockets on one port would share its connections: so ask first whether it is free.  Only by
 * binding: if the probe listened, a client could connect to it, and lose the connection. */
static int check_unused(const struct addrinfo *address, const struct listen_options *o,
                        const char **error_text)
{
    struct listen_options alone = *o;
    alone.shared = false;
    int fd = bind_socket(address, &alone, error_text);
    if (fd < 0)
        return is_passable(fd) ? 0 : fd;
    (void)close(fd); /* it was only a question */
    return 0;
}

static int network_listen(const struct network *network, const struct listen_options *o,
                          struct stream **out, int max, const char **error_text)
{
    struct addrinfo hints = { .ai_family = o->family,
                              .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_PASSIVE | AI_NUMERICSERV },
                    *addresses;
    char port[8];
    snprintf(port, sizeof port, "%d", o->port);
    int failed = getaddrinfo(o->host, port, &hints, &addresses);
    if (failed != 0) {
        *error_text = gai_strerror(failed);
        return -EADDRNOTAVAIL;
    }
    int count = 0, result = 0;
    for (struct addrinfo *a = addresses; a != NULL && count < max && result == 0; a = a->ai_next) {
        if (o->probe)
            result = check_unused(a, o, error_text);
        if (result == 0)
            result = open_listener(a, o, &out[count], error_text);
        count += result == 0;
        if (is_passable(result))
            result = 0;
    }
    freeaddrinfo(addresses);
    if (result == 0 && count > 0)
        return count;
    for (int i = 0; i < count; i++)
        out[i]->ops->close(out[i]);
    return result != 0 ? result : -EADDRNOTAVAIL;
}

/* ------------------------------------------------------------------------------ many sends ---- */

static struct send_ring *ring_of(struct poller *p)
{
    if (p->ring == NULL && !p->has_no_ring) {
        p->ring = send_ring_create();
        p->has_no_ring = p->ring == NULL; /* that will not change */
    }
    return p->ring;
}

/* Through the ring, as long as streams are plain sockets; others would not be asked first. */
static void send_many(struct poller *p, struct net_send *sends, int count)
{
    struct send_ring *ring = count >= RING_SENDS_MIN ? ring_of(p) : NULL;
    if (ring == NULL) {
        net_send_each(sends, count);
        return;
    }
    for (int i = 0; i < count; i++) {
        struct net_send *s = &sends[i];
        if (s->count > 0 && s->stream->ops == &tcp_ops)
            send_ring_add(ring, ((struct tcp_stream *)s->stream)->fd, s->parts, s->count,
                          &s->result);
        else
            net_send_each(s, 1);
    }
    send_ring_run(ring);
}

const struct network network_real = {
    poller_create, poller_destroy, poller_wait,    poller_wake,
    watch,         unwatch,        network_listen, send_many,
};

const struct network network_epoll = {
    poller_create, poller_destroy, poller_wait,    poller_wake,
    watch,         unwatch,        network_listen, send_many,
};
