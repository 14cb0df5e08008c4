/* io/network_test.c: the network door on real sockets of the loopback device.
 *
 * Nothing here sleeps: a test waits in poller_wait, for what must come, and fails after PATIENCE.
 */
#include "io/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_NS INT64_C(10000000000)

static const struct network *const net = &network_real;

/* ------------------------------------------------------------------------------- helpers ------ */

/* A port that was free a moment ago. */
static int free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static struct listen_options local(int port)
{
    return (struct listen_options){
        .host = "127.0.0.1", .port = port, .family = AF_UNSPEC, .nodelay = true
    };
}

static struct stream *listen_with(struct listen_options o)
{
    const char *text = NULL;
    struct stream *out[4];
    assert_int_equal(net->listen(net, &o, out, 4, &text), 1);
    return out[0];
}

static struct stream *listen_on(int port)
{
    return listen_with(local(port));
}

static int dial(int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* What is told about the one stream that is watched; 0: nothing. */
static unsigned wait_for(struct poller *p, const void *tag, int64_t timeout_ns)
{
    struct net_event events[4];
    int count = net->poller_wait(p, events, 4, timeout_ns);
    assert_true(count <= 1);
    if (count == 0)
        return 0;
    assert_ptr_equal(events[0].tag, tag);
    return events[0].ready;
}

struct world {
    struct poller *poller;
    struct stream *listener, *stream;
    int port, peer; /* peer: the other end of stream */
};

static void world_open(struct world *w)
{
    w->poller = net->poller_create(net);
    assert_non_null(w->poller);
    w->port = free_port();
    w->listener = listen_on(w->port);
    w->peer = dial(w->port);
    assert_int_equal(net->watch(w->poller, w->listener, NET_READ, w), 0);
    assert_int_equal(wait_for(w->poller, w, PATIENCE_NS), NET_READ);
    assert_int_equal(w->listener->ops->accept(w->listener, &w->stream), 0);
    net->unwatch(w->poller, w->listener);
}

static void world_close(struct world *w)
{
    net->unwatch(w->poller, w->stream); /* fine if it was not watched */
    w->stream->ops->close(w->stream);
    w->listener->ops->close(w->listener);
    net->poller_destroy(w->poller);
    if (w->peer >= 0)
        close(w->peer);
}

static ssize_t send_text(struct stream *s, const char *text)
{
    struct iovec part = { (void *)text, strlen(text) };
    return s->ops->send(s, &part, 1);
}

/* -------------------------------------------------------------------------------- streams ----- */

static void test_bytes_both_ways(void **state)
{
    struct world w;
    char got[16] = "";
    world_open(&w);
    assert_int_equal(w.stream->ops->recv(w.stream, got, sizeof got), -EAGAIN);
    assert_int_equal(net->watch(w.poller, w.stream, NET_READ, &w), 0);
    assert_int_equal(wait_for(w.poller, &w, 0), 0);

    assert_int_equal(write(w.peer, "ping", 4), 4);
    assert_int_equal(wait_for(w.poller, &w, PATIENCE_NS), NET_READ);
    assert_int_equal(wait_for(w.poller, &w, 0), NET_READ); /* level triggered */
    assert_int_equal(w.stream->ops->recv(w.stream, got, 2), 2);
    assert_int_equal(wait_for(w.poller, &w, 0), NET_READ);
    assert_int_equal(w.stream->ops->recv(w.stream, got + 2, 10), 2);
    assert_string_equal(got, "ping");
    assert_int_equal(wait_for(w.poller, &w, 0), 0);

    char text[] = "pong";
    struct iovec parts[] = { { text, 2 }, { text, 0 }, { text + 2, 2 } };
    assert_int_equal(w.stream->ops->send(w.stream, parts, 3), 4);
    assert_int_equal(read(w.peer, got, sizeof got), 4);
    assert_memory_equal(got, "pong", 4);
    world_close(&w);
}

static void test_end_of_stream(void **state)
{
    struct world w;
    char got[4];
    world_open(&w);
    assert_int_equal(net->watch(w.poller, w.stream, NET_READ, &w), 0);
    close(w.peer);
    w.peer = -1;
    assert_true((wait_for(w.poller, &w, PATIENCE_NS) & NET_READ) != 0);
    assert_int_equal(w.stream->ops->recv(w.stream, got, sizeof got), 0);
    (void)send_text(w.stream, "x"); /* is answered by a reset, and no signal kills us */
    assert_true((wait_for(w.poller, &w, PATIENCE_NS) & (NET_HANGUP | NET_READ)) != 0);
    for (int i = 0; i < 1000 && send_text(w.stream, "x") > 0; i++) {
    }
    assert_true(send_text(w.stream, "x") < 0);
    world_close(&w);
}

/* A reset is told even to whoever watches for nothing. */
static void test_hangup_is_always_told(void **state)
{
    struct world w;
    struct linger at_once = { 1, 0 };
    world_open(&w);
    assert_int_equal(net->watch(w.poller, w.stream, 0, &w), 0);
    assert_int_equal(setsockopt(w.peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(w.peer);
    w.peer = -1;
    assert_true((wait_for(w.poller, &w, PATIENCE_NS) & NET_HANGUP) != 0);
    world_close(&w);
}

/* A peer that does not read: the socket fills, and tells when there is room again. */
static void test_backlog(void **state)
{
    static char much[256 * 1024];
    struct world w;
    size_t sent = 0, received = 0;
    struct iovec part = { much, sizeof much };
    ssize_t now;
    world_open(&w);
    while ((now = w.stream->ops->send(w.stream, &part, 1)) > 0)
        sent += (size_t)now;
    assert_int_equal(now, -EAGAIN);
    assert_int_equal(net->watch(w.poller, w.stream, NET_READ | NET_WRITE, &w), 0);
    assert_int_equal(wait_for(w.poller, &w, 0), 0);
    while (received < sent) {
        ssize_t got = read(w.peer, much, sizeof much);
        assert_true(got > 0);
        received += (size_t)got;
    }
    assert_int_equal(wait_for(w.poller, &w, PATIENCE_NS), NET_WRITE);
    assert_int_equal(net->watch(w.poller, w.stream, NET_READ, &w), 0); /* no longer interested */
    assert_int_equal(wait_for(w.poller, &w, 0), 0);
    world_close(&w);
}

/* A connection from this address to itself; what the listener calls it. */
static void check_name(const char *address, const char *format)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST }, *from;
    struct sockaddr_in6 own; /* the larger of the two; the port is at the same place */
    socklen_t size = sizeof own;
    char expected[80];
    const char *text = NULL;
    struct stream *listener, *stream;
    struct listen_options o = local(free_port());
    o.host = address;
    if (net->listen(net, &o, &listener, 1, &text) < 0) /* a machine without IPv6 */
        return;
    assert_int_equal(getaddrinfo(address, NULL, &hints, &from), 0);
    int peer = socket(from->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer, from->ai_addr, from->ai_addrlen), 0);
    ((struct sockaddr_in *)from->ai_addr)->sin_port = htons((uint16_t)o.port);
    assert_int_equal(connect(peer, from->ai_addr, from->ai_addrlen), 0);
    assert_int_equal(getsockname(peer, (struct sockaddr *)&own, &size), 0);
    assert_int_equal(listener->ops->accept(listener, &stream), 0);
    snprintf(expected, sizeof expected, format, address, ntohs(own.sin6_port));
    assert_string_equal(stream_peer(stream).text, expected);
    stream->ops->close(stream);
    close(peer);
    freeaddrinfo(from);
    listener->ops->close(listener);
}

static void test_names_of_peers(void **state)
{
    struct world w;
    world_open(&w);
    assert_string_equal(stream_peer(w.listener).text, "ipv4");
    world_close(&w);
    check_name("127.0.0.1", "%s:%d");
    check_name("127.255.10.99", "%s:%d");
    check_name("::1", "%s:%d");
}

static void test_watch_can_change_the_tag(void **state)
{
    struct world w;
    int other;
    world_open(&w);
    assert_int_equal(net->watch(w.poller, w.stream, NET_WRITE, &w), 0);
    assert_int_equal(wait_for(w.poller, &w, PATIENCE_NS), NET_WRITE);
    assert_int_equal(net->watch(w.poller, w.stream, NET_WRITE, &other), 0);
    assert_int_equal(wait_for(w.poller, &other, PATIENCE_NS), NET_WRITE);
    net->unwatch(w.poller, w.stream);
    net->unwatch(w.poller, w.stream);
    assert_int_equal(wait_for(w.poller, NULL, 0), 0);
    world_close(&w);
}

/* Whoever has the same descriptor next is somebody else. */
static void test_close_ends_watching(void **state)
{
    struct world w;
    int other;
    world_open(&w);
    assert_int_equal(net->watch(w.poller, w.stream, NET_WRITE, &w), 0);
    w.stream->ops->close(w.stream);
    assert_int_equal(wait_for(w.poller, NULL, 0), 0);
    close(w.peer);
    w.peer = dial(w.port);
    assert_int_equal(net->watch(w.poller, w.listener, NET_READ, &w), 0);
    assert_int_equal(wait_for(w.poller, &w, PATIENCE_NS), NET_READ);
    assert_int_equal(w.listener->ops->accept(w.listener, &w.stream), 0);
    net->unwatch(w.poller, w.listener);
    assert_int_equal(net->watch(w.poller, w.stream, NET_WRITE, &other), 0);
    assert_int_equal(wait_for(w.poller, &other, PATIENCE_NS), NET_WRITE);
    world_close(&w);
}

/* --------------------------------------------------------------------------------- poller ----- */

static void test_wake(void **state)
{
    struct poller *p = net->poller_create(net);
    net->poller_wake(p);
    net->poller_wake(p); /* twice is once */
    assert_int_equal(wait_for(p, NULL, INT64_MAX), 0);
    assert_int_equal(wait_for(p, NULL, 1), 0); /* rounded up; and silent again */
    net->poller_destroy(p);
    net->poller_destroy(NULL);
}

static void *wake(void *poller)
{
    net->poller_wake(poller);
    return NULL;
}

static void test_wake_from_another_thread(void **state)
{
    struct poller *p = net->poller_create(net);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wake, p), 0);
    assert_int_equal(wait_for(p, NULL, INT64_MAX), 0); /* comes back at all */
    assert_int_equal(pthread_join(thread, NULL), 0);
    net->poller_destroy(p);
}

/* -------------------------------------------------------------------------------- listeners --- */

static void close_all(struct stream **streams, int count)
{
    for (int i = 0; i < count; i++)
        streams[i]->ops->close(streams[i]);
}

static void test_accept_when_nobody_is_there(void **state)
{
    struct stream *listener = listen_on(free_port()), *out = NULL;
    assert_int_equal(listener->ops->accept(listener, &out), -EAGAIN);
    assert_null(out);
    close_all(&listener, 1);
}

/* The other end of a socket of ours, in this process, too. */
static int other_end(int fd)
{
    struct sockaddr_in own, theirs;
    socklen_t size = sizeof own;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &size), 0);
    for (int other = 0; other < 1024; other++) {
        size = sizeof theirs;
        if (getpeername(other, (struct sockaddr *)&theirs, &size) == 0 &&
            theirs.sin_family == AF_INET && theirs.sin_port == own.sin_port)
            return other;
    }
    fail();
    return -1;
}

static void test_connections_inherit_nodelay(void **state)
{
    for (int on = 0; on <= 1; on++) {
        struct listen_options o = local(free_port());
        o.nodelay = on;
        struct stream *listener = listen_with(o), *stream;
        int peer = dial(o.port), nodelay;
        socklen_t size = sizeof nodelay;
        assert_int_equal(listener->ops->accept(listener, &stream), 0);
        assert_int_equal(getsockopt(other_end(peer), IPPROTO_TCP, TCP_NODELAY, &nodelay, &size), 0);
        assert_int_equal(nodelay != 0, on);
        stream->ops->close(stream);
        close(peer);
        close_all(&listener, 1);
    }
}

/* Who speaks is accepted then, and can be read at once; who is silent, a little later. */
static void test_deferred(void **state)
{
    for (int speaks = 0; speaks <= 1; speaks++) {
        struct listen_options o = local(free_port());
        o.deferred = true;
        struct stream *listener = listen_with(o), *stream;
        struct poller *p = net->poller_create(net);
        char got[4];
        assert_int_equal(net->watch(p, listener, NET_READ, &o), 0);
        int peer = dial(o.port);
        assert_int_equal(wait_for(p, &o, 0), 0);
        if (speaks)
            assert_int_equal(write(peer, "hi", 2), 2);
        assert_int_equal(wait_for(p, &o, PATIENCE_NS), NET_READ);
        assert_int_equal(listener->ops->accept(listener, &stream), 0);
        assert_int_equal(stream->ops->recv(stream, got, sizeof got), speaks ? 2 : -EAGAIN);
        stream->ops->close(stream);
        close(peer);
        net->unwatch(p, listener);
        close_all(&listener, 1);
        net->poller_destroy(p);
    }
}

static void test_port_in_use(void **state)
{
    int port = free_port();
    const char *text = NULL;
    struct stream *out[4];
    struct listen_options shared = local(port);
    shared.shared = shared.probe = true;
    struct stream *first = listen_on(port);
    assert_int_equal(net->listen(net, &shared, out, 4, &text), -EADDRINUSE);
    assert_string_equal(text, "bind");
    close_all(&first, 1);
    assert_int_equal(net->listen(net, &shared, out, 4, &text), 1); /* now it is free */
    close_all(out, 1);
}

/* Workers share a port among them; the probe sees that somebody else has it. */
static void test_shared_port(void **state)
{
    struct listen_options o = local(free_port());
    const char *text = NULL;
    struct stream *out[3];
    o.shared = true;
    o.probe = true;
    assert_int_equal(net->listen(net, &o, &out[0], 1, &text), 1);
    o.probe = false;
    assert_int_equal(net->listen(net, &o, &out[1], 1, &text), 1);
    o.probe = true;
    assert_int_equal(net->listen(net, &o, &out[2], 1, &text), -EADDRINUSE);
    close_all(out, 2);
}

static void test_listen_fails(void **state)
{
    static const struct {
        const char *host, *interface;
        int error; /* 0: whatever it is */
        const char *step;
    } rows[] = {
        { "192.0.2.1", NULL, -EADDRNOTAVAIL, "bind" }, /* nobody's address (RFC 5737) */
        { "127.0.0.1", "no-such-device", 0, "bind to interface" },
        { "no such host", NULL, -EADDRNOTAVAIL, NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct listen_options o = local(free_port());
        const char *text = NULL;
        struct stream *out[4];
        o.host = rows[i].host;
        o.interface = rows[i].interface;
        int result = net->listen(net, &o, out, 4, &text);
        assert_true(result < 0);
        if (rows[i].error != 0)
            assert_int_equal(result, rows[i].error);
        assert_non_null(text);
        if (rows[i].step != NULL)
            assert_string_equal(text, rows[i].step);
    }
}

/* Both families on one port: IPv6 sockets do not take IPv4's connections, so both can be there. */
static void test_both_families(void **state)
{
    struct listen_options o = { .port = free_port(), .family = AF_UNSPEC };
    const char *text = NULL;
    struct stream *out[8];
    int count = net->listen(net, &o, out, 8, &text);
    assert_true(count == 1 || count == 2); /* 1: a machine without IPv6 */
    for (int i = 0; i < count; i++)
        assert_true(strcmp(stream_peer(out[i]).text, "ipv4") == 0 ||
                    strcmp(stream_peer(out[i]).text, "ipv6") == 0);
    if (count == 2)
        assert_string_not_equal(stream_peer(out[0]).text, stream_peer(out[1]).text);
    close_all(out, count);
}

/* ---------------------------------------------------------------------------- many sends ------ */

enum { MANY = 200, ROW_BROKEN = 3, ROW_EMPTY = 4, ROW_FULL = 5, ROW_TWO_PARTS = 6 };

static void accept_many(struct stream *listener, int port, struct stream **streams, int *peers)
{
    for (int i = 0; i < MANY; i++) {
        peers[i] = dial(port);
        assert_int_equal(listener->ops->accept(listener, &streams[i]), 0);
    }
}

/* Until it takes no more. */
static void fill(struct stream *s)
{
    static const char zeros[65536];
    struct iovec part = { (void *)zeros, sizeof zeros };
    ssize_t sent;
    while ((sent = s->ops->send(s, &part, 1)) > 0)
        ;
    assert_int_equal(sent, -EAGAIN);
}

/* Every stream gets its own answer: all of it, none, too full, gone. */
static void check_send_many(const struct network *network, int count)
{
    struct stream *streams[MANY], *listener;
    struct net_send sends[MANY];
    int peers[MANY], port = free_port();
    char got[16];
    struct poller *poller = network->poller_create(network);
    listener = listen_on(port);
    accept_many(listener, port, streams, peers);
    shutdown(peers[ROW_BROKEN], SHUT_RDWR);
    close(peers[ROW_BROKEN]);
    (void)send_text(streams[ROW_BROKEN], "x"); /* answered by a reset */
    fill(streams[ROW_FULL]);
    struct iovec parts[2] = { { (void *)"hello ", 6 }, { (void *)"world", 5 } };
    for (int i = 0; i < count; i++)
        sends[i] = (struct net_send){ streams[i], parts, i == ROW_TWO_PARTS ? 2 : 1, -1 };
    sends[ROW_EMPTY].count = 0;

    network->send_many(poller, sends, count);
    for (int i = 0; i < count; i++) {
        ssize_t expected = i == ROW_BROKEN      ? -EPIPE
                           : i == ROW_EMPTY     ? -1 /* as it was */
                           : i == ROW_FULL      ? -EAGAIN
                           : i == ROW_TWO_PARTS ? 11
                                                : 6;
        if (i == ROW_BROKEN && sends[i].result == -ECONNRESET)
            expected = -ECONNRESET;
        assert_int_equal(sends[i].result, expected);
        if (expected > 0)
            assert_int_equal(recv(peers[i], got, sizeof got, 0), expected);
    }
    for (int i = 0; i < MANY; i++) {
        streams[i]->ops->close(streams[i]);
        if (i != ROW_BROKEN)
            close(peers[i]);
    }
    listener->ops->close(listener);
    network->poller_destroy(poller);
}

static void test_send_many(void **state)
{
    static const int counts[] = { 7, 8, 128, MANY }; /* around the limits of the ring */
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        check_send_many(&network_real, counts[i]);
        check_send_many(&network_epoll, counts[i]);
    }
}

/* A message that fits in part: how much is told. */
static void test_short_send_of_many(void **state)
{
    static char zeros[16 * 1024 * 1024];
    struct iovec part = { zeros, sizeof zeros };
    struct stream *streams[MANY], *listener;
    struct net_send sends[8];
    int peers[MANY], port = free_port();
    struct poller *poller = net->poller_create(net);
    listener = listen_on(port);
    accept_many(listener, port, streams, peers);
    for (int i = 0; i < 8; i++)
        sends[i] = (struct net_send){ streams[i], &part, 1, -1 };
    net->send_many(poller, sends, 8);
    for (int i = 0; i < 8; i++)
        assert_in_range(sends[i].result, 1, sizeof zeros - 1);
    for (int i = 0; i < MANY; i++) {
        streams[i]->ops->close(streams[i]);
        close(peers[i]);
    }
    listener->ops->close(listener);
    net->poller_destroy(poller);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_both_ways),
        cmocka_unit_test(test_end_of_stream),
        cmocka_unit_test(test_hangup_is_always_told),
        cmocka_unit_test(test_backlog),
        cmocka_unit_test(test_names_of_peers),
        cmocka_unit_test(test_watch_can_change_the_tag),
        cmocka_unit_test(test_close_ends_watching),
        cmocka_unit_test(test_wake),
        cmocka_unit_test(test_wake_from_another_thread),
        cmocka_unit_test(test_accept_when_nobody_is_there),
        cmocka_unit_test(test_connections_inherit_nodelay),
        cmocka_unit_test(test_deferred),
        cmocka_unit_test(test_port_in_use),
        cmocka_unit_test(test_shared_port),
        cmocka_unit_test(test_listen_fails),
        cmocka_unit_test(test_both_families),
        cmocka_unit_test(test_send_many),
        cmocka_unit_test(test_short_send_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
