#include "sim/net.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { CAPACITY = 1000, MANY = 2000 };

#define MS_NS INT64_C(1000000)

/* A network with one listener, as a broker sees it. */
struct place {
    struct world world;
    struct net net;
    struct stream *listener;
    struct poller *poller;
    unsigned closed; /* how often the broker closed a connection */
};

static void on_close(void *context, struct link *l)
{
    ((struct place *)context)->closed++;
}

static void place_open(struct place *p, struct net_faults faults)
{
    const struct listen_options o = { .port = 1883 };
    const char *why;
    *p = (struct place){ 0 };
    world_init(&p->world, 1);
    net_init(&p->net, &p->world, 2);
    p->net.faults = faults;
    p->net.on_close = on_close;
    p->net.context = p;
    const struct network *door = p->world.env.network;
    assert_int_equal(door->listen(door, &o, &p->listener, 1, &why), 1);
    p->poller = door->poller_create(door);
    assert_int_equal(door->watch(p->poller, p->listener, NET_READ, p), 0);
}

static void place_close(struct place *p)
{
    const struct network *door = p->world.env.network;
    door->unwatch(p->poller, p->listener);
    p->listener->ops->close(p->listener);
    door->poller_destroy(p->poller);
    net_fini(&p->net);
}

static struct stream *accept_one(struct place *p)
{
    struct stream *s = NULL;
    assert_int_equal(p->listener->ops->accept(p->listener, &s), 0);
    return s;
}

static ssize_t send_text(struct stream *s, const char *text)
{
    struct iovec part = { (void *)text, strlen(text) };
    return s->ops->send(s, &part, 1);
}

static unsigned ready(struct place *p)
{
    struct net_event events[8];
    int count = p->world.env.network->poller_wait(p->poller, events, 8, INT64_MAX);
    return count == 0 ? 0 : events[0].ready;
}

static void pass_ms(struct place *p, int64_t ms)
{
    p->world.now_ns += ms * MS_NS;
}

/* --------------------------------------------------------------------------------- both ways -- */

static void test_bytes_go_both_ways(void **state)
{
    struct place p;
    char got[32];
    place_open(&p, (struct net_faults){ 0 });
    struct link *l = link_open(&p.net, 0, CAPACITY);
    assert_int_equal(ready(&p), NET_READ);
    struct stream *s = accept_one(&p);
    assert_string_equal(stream_peer(s).text, "192.0.2.1:1");
    assert_ptr_equal(link_of_stream(s), l);

    link_write(l, BYTES("hello"));
    assert_int_equal(s->ops->recv(s, got, sizeof got), 5);
    assert_memory_equal(got, "hello", 5);
    assert_int_equal(s->ops->recv(s, got, sizeof got), -EAGAIN);
    assert_int_equal(send_text(s, "good day"), 8);
    assert_int_equal(link_read(l, got, 4), 4);
    assert_int_equal(link_read(l, got + 4, sizeof got - 4), 4);
    assert_memory_equal(got, "good day", 8);

    s->ops->close(s);
    assert_int_equal(p.closed, 1);
    assert_true(link_is_over(l));
    place_close(&p);
}

/* Whatever the chopping and the delays, the same bytes come out in the same order. */
static void test_chopping_changes_nothing(void **state)
{
    struct place p;
    uint8_t sent[MANY], middle[MANY], got[MANY];
    size_t up = 0, back = 0, down = 0;
    place_open(&p, (struct net_faults){ .recv_chops = 900,
                                        .send_chops = 900,
                                        .nothing_now = 300,
                                        .delay_max_ns = 50 * MS_NS });
    struct link *l = link_open(&p.net, 0, 64);
    pass_ms(&p, 50);
    struct stream *s = accept_one(&p);
    for (size_t i = 0; i < MANY; i++)
        sent[i] = (uint8_t)(i * 7);
    for (size_t at = 0; at < MANY; at += 100)
        link_write(l, bytes_of(sent + at, 100));
    while (down < MANY) {
        ssize_t count = up < MANY ? s->ops->recv(s, middle + up, MANY - up) : 0;
        assert_true(count >= 0 || count == -EAGAIN);
        up += count > 0 ? (size_t)count : 0;
        struct iovec part = { middle + back, up - back };
        ssize_t taken = up > back ? s->ops->send(s, &part, 1) : 0;
        assert_true(taken >= 0 || taken == -EAGAIN);
        back += taken > 0 ? (size_t)taken : 0;
        pass_ms(&p, 1);
        down += link_read(l, got + down, MANY - down);
    }
    assert_memory_equal(got, sent, MANY);
    s->ops->close(s);
    place_close(&p);
}

static void test_nothing_arrives_before_its_time(void **state)
{
    struct place p;
    char got[8];
    place_open(&p, (struct net_faults){ .delay_max_ns = 1000 * MS_NS });
    struct link *l = link_open(&p.net, 0, CAPACITY);
    assert_int_equal(ready(&p), 0);
    p.world.now_ns = net_next_arrival_ns(&p.net);
    assert_int_equal(ready(&p), NET_READ);
    struct stream *s = accept_one(&p);
    link_write(l, BYTES("x"));
    int64_t arrival_ns = net_next_arrival_ns(&p.net);
    assert_true(arrival_ns > p.world.now_ns);
    p.world.now_ns = arrival_ns - 1;
    assert_int_equal(s->ops->recv(s, got, sizeof got), -EAGAIN);
    p.world.now_ns = arrival_ns;
    assert_int_equal(s->ops->recv(s, got, sizeof got), 1);
    assert_true(net_next_arrival_ns(&p.net) == INT64_MAX);
    s->ops->close(s);
    place_close(&p);
}

static void test_a_full_pipe_takes_nothing(void **state)
{
    struct place p;
    char got[8];
    place_open(&p, (struct net_faults){ 0 });
    struct link *l = link_open(&p.net, 0, 10);
    struct stream *s = accept_one(&p);
    const struct network *door = p.world.env.network;
    assert_int_equal(send_text(s, "0123456"), 7);
    assert_int_equal(send_text(s, "789abc"), 3);
    assert_int_equal(send_text(s, "abc"), -EAGAIN);
    assert_int_equal(door->watch(p.poller, s, NET_READ | NET_WRITE, s), 0);
    assert_int_equal(ready(&p), 0);
    assert_int_equal(link_read(l, got, 1), 1);
    assert_int_equal(ready(&p), NET_WRITE);
    assert_int_equal(send_text(s, "abc"), 1);
    door->unwatch(p.poller, s);
    s->ops->close(s);
    place_close(&p);
}

/* ---------------------------------------------------------------------------------- the end --- */

static void test_how_clients_leave(void **state)
{
    static const struct {
        void (*leave)(struct link *);
        ssize_t first, second; /* what recv says */
        bool is_told;
        unsigned ready;
    } rows[] = {
        { link_close, 5, 0, true, NET_READ }, /* the bytes, then the end */
        { link_reset, -ECONNRESET, -ECONNRESET, true, NET_READ | NET_HANGUP }, /* no bytes */
        { link_vanish, 5, -EAGAIN, false, 0 },                                 /* silence */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct place p;
        char got[8];
        place_open(&p, (struct net_faults){ 0 });
        struct link *l = link_open(&p.net, 0, CAPACITY);
        struct stream *s = accept_one(&p);
        const struct network *door = p.world.env.network;
        assert_int_equal(door->watch(p.poller, s, NET_READ, s), 0);
        link_write(l, BYTES("hello"));
        rows[i].leave(l);
        assert_int_equal(s->ops->recv(s, got, sizeof got), rows[i].first);
        assert_int_equal(ready(&p), rows[i].ready);
        assert_int_equal(s->ops->recv(s, got, sizeof got), rows[i].second);
        assert_int_equal(link_fault_was_seen(l), rows[i].is_told);
        link_forget(l);
        door->unwatch(p.poller, s);
        s->ops->close(s);
        place_close(&p);
    }
}

/* Whoever has closed answers with a reset. */
static void test_sending_to_one_who_has_closed(void **state)
{
    struct place p;
    place_open(&p, (struct net_faults){ 0 });
    struct link *l = link_open(&p.net, 0, CAPACITY);
    struct stream *s = accept_one(&p);
    link_close(l);
    assert_int_equal(send_text(s, "one"), 3);
    assert_true(send_text(s, "two") < 0);
    assert_true(link_fault_was_seen(l));
    s->ops->close(s);
    link_forget(l);
    place_close(&p);
}

/* What was sent last may be lost, but never its beginning alone kept out of order. */
static void test_a_lost_farewell_is_a_shorter_one(void **state)
{
    unsigned whole = 0, shorter = 0;
    for (int i = 0; i < 100; i++) {
        struct place p;
        char got[16];
        place_open(&p, (struct net_faults){ .farewell_lost = 500, .delay_max_ns = MS_NS });
        p.net.dice.state = (uint64_t)i;
        struct link *l = link_open(&p.net, 0, CAPACITY);
        pass_ms(&p, 1);
        struct stream *s = accept_one(&p);
        assert_int_equal(send_text(s, "0123456789"), 10);
        s->ops->close(s);
        pass_ms(&p, 2);
        size_t size = link_read(l, got, sizeof got);
        assert_memory_equal(got, "0123456789", size);
        assert_true(link_is_over(l));
        whole += size == 10;
        shorter += size < 10;
        place_close(&p);
    }
    assert_true(whole > 10 && shorter > 10);
}

/* -------------------------------------------------------------------------------- accepting --- */

static void test_accepting_fails_now_and_then(void **state)
{
    struct place p;
    unsigned accepted = 0, refused = 0;
    place_open(&p, (struct net_faults){ .accept_fails = 500 });
    for (int i = 0; i < 200; i++) {
        struct link *l = link_open(&p.net, 0, CAPACITY);
        struct stream *s = NULL;
        int result;
        do
            result = p.listener->ops->accept(p.listener, &s);
        while (result != 0 && !link_is_over(l));
        assert_true(result == 0 || result == -EMFILE || result == -ECONNABORTED);
        accepted += result == 0;
        refused += result != 0;
        if (result == 0)
            s->ops->close(s);
        link_close(l);
        link_forget(l);
    }
    assert_true(accepted > 20 && refused > 20);
    place_close(&p);
}

static void test_nobody_listens_any_more(void **state)
{
    struct place p;
    place_open(&p, (struct net_faults){ 0 });
    struct link *waits = link_open(&p.net, 0, CAPACITY);
    const struct network *door = p.world.env.network;
    door->unwatch(p.poller, p.listener);
    p.listener->ops->close(p.listener);
    assert_true(link_is_over(waits));
    assert_true(link_is_over(link_open(&p.net, 0, CAPACITY)));
    door->poller_destroy(p.poller);
    net_fini(&p.net);
}

static void test_a_wake_is_remembered_once(void **state)
{
    struct place p;
    place_open(&p, (struct net_faults){ 0 });
    assert_false(poller_is_ready(p.poller));
    p.world.env.network->poller_wake(p.poller);
    assert_true(poller_is_ready(p.poller));
    assert_int_equal(ready(&p), 0);
    assert_false(poller_is_ready(p.poller));
    place_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_go_both_ways),
        cmocka_unit_test(test_chopping_changes_nothing),
        cmocka_unit_test(test_nothing_arrives_before_its_time),
        cmocka_unit_test(test_a_full_pipe_takes_nothing),
        cmocka_unit_test(test_how_clients_leave),
        cmocka_unit_test(test_sending_to_one_who_has_closed),
        cmocka_unit_test(test_a_lost_farewell_is_a_shorter_one),
        cmocka_unit_test(test_accepting_fails_now_and_then),
        cmocka_unit_test(test_nobody_listens_any_more),
        cmocka_unit_test(test_a_wake_is_remembered_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
