/* broker/replay_test.c: Retained Messages on their way to a new subscription. */
#include "broker/connection.h"
#include "broker/replay.h"
#include "broker/test_client.h"

static struct test_client publisher, subscriber;

static void publish_many(struct fuzz_world *w, int count, size_t size)
{
    static char payload[2048];
    assert_true(size < sizeof payload);
    memset(payload, 'x', size);
    payload[size] = '\0';
    test_connect(&publisher, w, 0, VERSION_3_1_1, "publisher");
    for (int i = 0; i < count; i++) {
        char text[2200];
        snprintf(text, sizeof text, "31 { s'r/%05d' '%s' }", i, payload);
        test_say(&publisher, text);
    }
    test_close(&publisher);
}

/* Hears what is left of the Retained Messages; how many. */
static int count_retained(struct test_client *c)
{
    struct packet p;
    int count = 0;
    while (test_hear_any(c, VERSION_3_1_1, &p)) {
        assert_int_equal(p.type, PACKET_PUBLISH);
        assert_true(p.publish.retain); /* [MQTT-3.3.1-8] */
        count++;
    }
    return count;
}

static void subscribe(struct fuzz_world *w, unsigned worker, const char *options)
{
    char text[64];
    test_connect(&subscriber, w, worker, VERSION_3_1_1, "subscriber");
    snprintf(text, sizeof text, "82 { 0001 s'r/+' %s }", options);
    test_say(&subscriber, text);
}

static void test_suback_comes_first(void **state)
{
    struct fuzz_world *w = test_world(TEST_CONFIG, 1);
    publish_many(w, 1, 1);
    subscribe(w, 0, "00");
    test_hear(&subscriber, "90 { 0001 00 } 31 { s'r/00000' 'x' }");
    test_hear_nothing(&subscriber);
    test_world_end(w);
}

/* More than one step of the walk, from another worker. */
static void test_many(void **state)
{
    enum { MANY = 1500 };
    struct fuzz_world *w = test_world(TEST_CONFIG, 2);
    publish_many(w, MANY, 1);
    subscribe(w, 1, "00");
    test_hear(&subscriber, "90 { 0001 00 }");
    assert_int_equal(count_retained(&subscriber), MANY);
    test_world_end(w);
}

static struct connection *connection_of(struct fuzz_world *w, const struct test_client *c)
{
    struct connection *found = NULL;
    while ((found = connection_next(w->server->workers[0], found)) != NULL &&
           !fuzz_link_is_held_by(c->link, found->stream)) {
    }
    return found;
}

/* The walk stops while the Client does not read, and goes on by itself when the socket has taken
 * what waited: nothing else needs to happen. */
static void test_waits_for_the_socket(void **state)
{
    enum { MANY = 300, SIZE = 1000 };
    struct fuzz_world *w = test_world(TEST_CONFIG, 1);
    publish_many(w, MANY, SIZE);
    test_connect(&subscriber, w, 0, VERSION_3_1_1, "subscriber");
    subscriber.link->window = 0;
    test_say(&subscriber, "82 { 0001 s'r/+' 00 }");
    struct connection *c = connection_of(w, &subscriber);
    assert_non_null(c);
    assert_true(connection_is_congested(c));
    size_t waiting = c->tx.size;
    assert_true(waiting < MANY / 2 * SIZE); /* and the rest is not in memory yet */

    subscriber.link->window = SIZE_MAX; /* the socket takes 64 KiB, which ends the congestion */
    fuzz_world_settle(w);
    assert_true(connection_is_congested(c)); /* by what the walk added */
    test_hear(&subscriber, "90 { 0001 00 }");
    assert_int_equal(count_retained(&subscriber), MANY);
    test_world_end(w);
}

/* A short queue is not overrun: the walk waits for acknowledgements. */
static void test_waits_for_the_queue(void **state)
{
    enum { MANY = 50 };
    struct fuzz_world *w =
        test_world(TEST_CONFIG "max_queued_messages 3\nmax_inflight_messages 2\n", 1);
    struct packet p;
    char text[48];
    int count = 0;
    test_connect(&publisher, w, 0, VERSION_3_1_1, "publisher");
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "33 { s'r/%d' 0001 'x' }", i);
        test_say(&publisher, text);
        test_hear(&publisher, "40 { 0001 }");
    }
    subscribe(w, 0, "01");
    test_hear(&subscriber, "90 { 0001 01 }");
    for (; test_hear_any(&subscriber, VERSION_3_1_1, &p); count++) {
        snprintf(text, sizeof text, "40 { %04x }", p.publish.packet_id);
        test_say(&subscriber, text);
    }
    assert_int_equal(count, MANY);
    assert_int_equal(server_drops(w->server, DROP_QUEUE_FULL), 0);
    test_world_end(w);
}

/* The Session ends in the middle of a walk. */
static void test_client_goes(void **state)
{
    struct fuzz_world *w = test_world(TEST_CONFIG, 1);
    publish_many(w, 300, 1000);
    test_connect(&subscriber, w, 0, VERSION_3_1_1, "subscriber");
    subscriber.link->window = 0;
    test_say(&subscriber, "82 { 0001 s'r/+' 00 }");
    assert_false(list_is_empty(&w->server->workers[0]->replays));
    test_close(&subscriber);
    assert_true(list_is_empty(&w->server->workers[0]->replays));
    test_world_end(w);
}

static void test_expired_is_not_sent(void **state)
{
    struct fuzz_world *w = test_world(TEST_CONFIG, 1);
    test_connect(&publisher, w, 0, VERSION_5_0, "publisher");
    test_say(&publisher, "31 { s'r/1' { 02 00000001 } 'x' } 31 { s'r/2' { 02 00000064 } 'x' }");
    fuzz_world_pass(w, 2 * SECOND_NS);
    subscribe(w, 0, "00");
    test_hear(&subscriber, "90 { 0001 00 } 31 { s'r/2' 'x' }");
    test_hear_nothing(&subscriber);
    test_world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suback_comes_first),   cmocka_unit_test(test_many),
        cmocka_unit_test(test_waits_for_the_socket), cmocka_unit_test(test_waits_for_the_queue),
        cmocka_unit_test(test_client_goes),          cmocka_unit_test(test_expired_is_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
