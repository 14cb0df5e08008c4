/* Peers against a listening socket that the test answers for. */
#include "bench/peer.h"

#include "base/memory.h"
#include <netinet/in.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What the one peer of a test has seen. */
struct seen {
    uint32_t opened, closed, packets;
    size_t payload_bytes;
};

struct scene {
    int listen_fd, fd; /* of the other side */
    struct bench_target target;
    struct loop loop;
    struct peer peer;
    struct seen seen;
};

static struct scene *scene_of(const struct peer *p)
{
    return p->loop->owner;
}

static void on_open(struct peer *p)
{
    scene_of(p)->seen.opened++;
}

static void on_closed(struct peer *p)
{
    scene_of(p)->seen.closed++;
}

/* PUBACK 7: says DISCONNECT; all else is counted. */
static void on_packet(struct peer *p, const struct packet *packet)
{
    struct seen *seen = &scene_of(p)->seen;
    seen->packets++;
    if (packet->type == PACKET_PUBLISH)
        seen->payload_bytes += packet->publish.payload.size;
    if (packet->type == PACKET_PUBACK && packet->ack.packet_id == 7)
        peer_disconnect(p);
}

static const struct peer_ops ops = { .on_packet = on_packet,
                                     .on_open = on_open,
                                     .on_closed = on_closed };

static void scene_init(struct scene *s, bool is_relay)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t size = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *s = (struct scene){ .fd = -1 };
    s->listen_fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->listen_fd, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(s->listen_fd, 8), 0);
    assert_int_equal(getsockname(s->listen_fd, (struct sockaddr *)&at, &size), 0);
    s->target = (struct bench_target){ .host = "127.0.0.1",
                                       .port = ntohs(at.sin_port),
                                       .version = VERSION_5_0,
                                       .is_relay = is_relay };
    loop_init(&s->loop, &s->target, s);
    peer_init(&s->peer, &s->loop, &ops, 0);
}

static void scene_fini(struct scene *s)
{
    peer_fini(&s->peer);
    loop_fini(&s->loop);
    (void)close(s->fd);
    (void)close(s->listen_fd);
}

#define turn_until(s, condition)                                                                   \
    do {                                                                                           \
        while (!(condition))                                                                       \
            loop_turn(&(s)->loop, INT64_MAX);                                                      \
    } while (0)

static void open_peer(struct scene *s, const struct peer_connect *how)
{
    peer_open(&s->peer, how);
    s->fd = accept(s->listen_fd, NULL, NULL);
    assert_true(s->fd >= 0);
    loop_turn(&s->loop, 0); /* what it says first goes out */
}

static size_t encode(const struct packet *p, uint8_t *out)
{
    size_t size = packet_size(p, VERSION_5_0);
    packet_encode(p, VERSION_5_0, out);
    return size;
}

static struct packet connack(void)
{
    struct packet p = { .type = PACKET_CONNACK };
    properties_add(&p.connack.properties, PROPERTY_RECEIVE_MAXIMUM);
    properties_add(&p.connack.properties, PROPERTY_MAXIMUM_PACKET_SIZE);
    properties_add(&p.connack.properties, PROPERTY_MAXIMUM_QOS);
    p.connack.properties.receive_maximum = 10;
    p.connack.properties.maximum_packet_size = 1000;
    p.connack.properties.maximum_qos = 1;
    return p;
}

static void connack_says_what_the_broker_takes(void **state)
{
    struct scene s;
    uint8_t bytes[256];
    struct packet packet, answer = connack();
    enum reason why;
    scene_init(&s, false);
    open_peer(&s, &(struct peer_connect){
                      .client_id = BYTES("me"), .clean_start = true, .session_expiry = 5 });
    ssize_t got = recv(s.fd, bytes, sizeof bytes, 0);
    assert_int_equal(packet_decode(bytes_of(bytes, (size_t)got), VERSION_5_0, &packet, &why),
                     DECODE_DONE);
    assert_int_equal(packet.type, PACKET_CONNECT);
    assert_true(bytes_equal(packet.connect.client_id, BYTES("me")));
    assert_int_equal(packet.connect.properties.session_expiry_interval, 5);
    assert_int_equal(s.peer.state, PEER_OPENING);
    assert_int_equal(s.loop.opening, 1);

    assert_true(send(s.fd, bytes, encode(&answer, bytes), 0) > 0);
    turn_until(&s, s.seen.opened == 1);
    assert_int_equal(s.peer.state, PEER_OPEN);
    assert_int_equal(s.loop.opening, 0);
    assert_int_equal(s.loop.open, 1);
    assert_int_equal(s.peer.receive_max, 10);
    assert_int_equal(s.peer.packet_size_max, 1000);
    assert_int_equal(s.peer.qos_max, 1);
    scene_fini(&s);
}

/* CONNACK, and messages of many sizes, larger than what is read at once, too. */
static size_t a_long_story(uint8_t *out, size_t *payload_bytes, uint32_t *packets)
{
    static const size_t sizes[] = { 0, 1, 100, 127, 128, 16384, 3, 700000, 5, 5, 300000, 9 };
    static uint8_t payload[700000];
    struct packet packet = connack();
    size_t size = encode(&packet, out);
    *payload_bytes = 0;
    *packets = sizeof sizes / sizeof sizes[0];
    for (size_t i = 0; i < *packets; i++) {
        packet = (struct packet){ .type = PACKET_PUBLISH };
        packet.publish.topic = BYTES("t");
        packet.publish.payload = bytes_of(payload, sizes[i]);
        size += encode(&packet, out + size);
        *payload_bytes += sizes[i];
    }
    return size;
}

static void any_chopping_gives_the_same_packets(void **state)
{
    static const size_t chops[] = { 1, 2, 3, 7, 100, 4095, 65536, 100000 };
    size_t payload_bytes;
    uint32_t packets;
    uint8_t *story = memory_alloc(2000000);
    size_t size = a_long_story(story, &payload_bytes, &packets);
    for (size_t i = 0; i < sizeof chops / sizeof chops[0]; i++) {
        struct scene s;
        scene_init(&s, false);
        open_peer(&s, &(struct peer_connect){ .clean_start = true });
        for (size_t at = 0; at < size;) {
            /* The start byte by byte or so, the bulk in larger pieces. */
            size_t chop = at < 20000 || chops[i] > 60000 ? chops[i] : 30000 + chops[i];
            chop = size - at < chop ? size - at : chop;
            ssize_t sent = send(s.fd, story + at, chop, MSG_DONTWAIT);
            at += sent > 0 ? (size_t)sent : 0;
            loop_turn(&s.loop, 0);
        }
        turn_until(&s, s.seen.packets == packets);
        assert_int_equal(s.seen.payload_bytes, payload_bytes);
        assert_int_equal(s.peer.in.size, 0);
        scene_fini(&s);
    }
    memory_free(story);
}

static void nothing_comes_after_the_end(void **state)
{
    static const uint8_t acks[] = { 0x40, 2, 0, 1, 0x40, 2, 0, 7, 0x40, 2, 0, 1 };
    struct scene s;
    uint8_t bytes[256];
    struct packet answer = connack();
    scene_init(&s, false);
    open_peer(&s, &(struct peer_connect){ .clean_start = true });
    assert_true(recv(s.fd, bytes, sizeof bytes, 0) > 0);
    size_t size = encode(&answer, bytes);
    memcpy(bytes + size, acks, sizeof acks);
    assert_true(send(s.fd, bytes, size + sizeof acks, 0) > 0);
    turn_until(&s, s.peer.state == PEER_CLOSED);
    assert_int_equal(s.seen.packets, 2); /* at the second it left */
    assert_int_equal(s.seen.closed, 0);  /* only the other side's doing counts */
    assert_int_equal(recv(s.fd, bytes, sizeof bytes, 0), 2);
    assert_memory_equal(bytes, ((uint8_t[]){ 0xe0, 0 }), 2);
    assert_int_equal(recv(s.fd, bytes, sizeof bytes, 0), 0);
    scene_fini(&s);
}

static void the_other_side_may_close_where_that_is_expected(void **state)
{
    struct scene s;
    uint8_t bytes[64];
    struct packet answer = connack();
    scene_init(&s, false);
    open_peer(&s, &(struct peer_connect){ .clean_start = true });
    assert_true(recv(s.fd, bytes, sizeof bytes, 0) > 0);
    assert_true(send(s.fd, bytes, encode(&answer, bytes), 0) > 0);
    turn_until(&s, s.seen.opened == 1);
    (void)close(s.fd);
    turn_until(&s, s.seen.closed == 1);
    assert_int_equal(s.loop.open, 0);
    open_peer(&s, &(struct peer_connect){ .clean_start = true }); /* and come again */
    assert_int_equal(s.loop.opening, 1);
    scene_fini(&s);
}

/* More than a socket takes: the rest goes out when there is room. */
static void what_the_socket_does_not_take_waits(void **state)
{
    enum { SIZE = 8 * 1024 * 1024 };
    struct scene s;
    uint8_t *out, bytes[65536];
    scene_init(&s, true);
    open_peer(&s, &(struct peer_connect){ .relay_line = "P 0 0\n" });
    assert_int_equal(recv(s.fd, bytes, sizeof bytes, 0), 6);
    assert_int_equal(send(s.fd, "\n", 1, 0), 1);
    turn_until(&s, s.seen.opened == 1);
    out = peer_room(&s.peer, SIZE);
    for (size_t i = 0; i < SIZE; i++)
        out[i] = (uint8_t)(i % 251);
    loop_turn(&s.loop, 0);
    assert_true(s.peer.waits_for_room);
    for (size_t at = 0; at < SIZE;) {
        ssize_t got = recv(s.fd, bytes, sizeof bytes, MSG_DONTWAIT);
        for (ssize_t i = 0; i < got; i++)
            assert_int_equal(bytes[i], (at + (size_t)i) % 251);
        at += got > 0 ? (size_t)got : 0;
        loop_turn(&s.loop, 0);
    }
    assert_false(s.peer.waits_for_room);
    assert_int_equal(s.peer.out.size, 0);
    scene_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connack_says_what_the_broker_takes),
        cmocka_unit_test(any_chopping_gives_the_same_packets),
        cmocka_unit_test(nothing_comes_after_the_end),
        cmocka_unit_test(the_other_side_may_close_where_that_is_expected),
        cmocka_unit_test(what_the_socket_does_not_take_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
