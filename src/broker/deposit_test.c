/* broker/deposit_test.c: messages on their way to the disk, and how subscribers spare them it. */
#include "broker/connection.h"
#include "broker/test_store.h"

static struct watched_disk disk;
static struct test_client publisher, reader;

/* A publisher that is not durable, at worker 0, and a durable reader of "t" at the last one. */
static struct fuzz_world *world_of_two(unsigned workers)
{
    watched_disk_init(&disk, 1);
    struct fuzz_world *w = store_world(&disk, workers);
    test_connect(&publisher, w, 0, VERSION_3_1_1, "p");
    store_connect(&reader, w, workers - 1, "r", "t");
    assert_int_equal(handle_worker(store_client(w, "r")->handle), workers - 1);
    store_come_to_rest(w);
    return w;
}

/* Who acknowledges before the message was given away, spares it the disk. */
static void test_acknowledged_first(void **state)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct fuzz_world *w = world_of_two(workers);
        uint64_t before = store_written(w), writes = disk.write_count, syncs = disk.sync_count;
        for (int i = 0; i < 50; i++) {
            char ack[16];
            test_say(&publisher, "32 { s't' 0001 'x' }");
            struct packet p;
            assert_true(test_hear_any(&reader, VERSION_5_0, &p));
            assert_int_equal(p.type, PACKET_PUBLISH);
            test_hear_nothing(&publisher);
            snprintf(ack, sizeof ack, "40 02 %04x", p.publish.packet_id);
            test_say(&reader, ack);
            test_hear(&publisher, "40 02 0001");
        }
        store_come_to_rest(w);
        assert_int_equal(store_written(w), before);
        assert_int_equal(disk.write_count, writes);
        assert_int_equal(disk.sync_count, syncs);
        store_world_end(w, &disk);
    }
}

/* Who acknowledges while it is being written: it is finished after that. */
static void test_acknowledged_meanwhile(void **state)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct fuzz_world *w = world_of_two(workers);
        uint64_t key = store_key(w, "r");
        w->holds_storage = true;
        test_say(&publisher, "32 { s't' 0001 'x' }");
        test_hear(&reader, "32 { s't' 0002 { } 'x' }");
        fuzz_world_pass(w, 10 * MILLISECOND_NS); /* longer than it waits for acknowledgements */
        assert_non_null(w->server->workers[0]->staging.under_way);
        test_say(&reader, "40 02 0002");
        test_hear_nothing(&publisher);
        store_release(w);
        test_hear(&publisher, "40 02 0001");
        store_come_to_rest(w);
        assert_int_equal(store_queued(w, key), 0);
        w = store_world_again(w, &disk, workers);
        assert_int_equal(store_queued(w, key), 0);
        store_world_end(w, &disk);
    }
}

/* Nobody acknowledges: it goes to the disk after a moment, and stays there. */
static void test_not_acknowledged(void **state)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct fuzz_world *w = world_of_two(workers);
        uint64_t key = store_key(w, "r");
        test_say(&publisher, "32 { s't' 0001 'x' }");
        test_hear(&reader, "32 { s't' 0002 { } 'x' }");
        test_hear_nothing(&publisher);
        fuzz_world_pass(w, 10 * MILLISECOND_NS);
        test_hear(&publisher, "40 02 0001");
        w = store_world_again(w, &disk, workers);
        assert_int_equal(store_queued(w, key), 1);
        store_world_end(w, &disk);
    }
}

/* A message of QoS 2 is on the disk before anybody gets it. */
static void test_qos2_waits(void **state)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct fuzz_world *w = world_of_two(workers);
        w->holds_storage = true;
        test_say(&publisher, "34 { s't' 0001 'x' }");
        fuzz_world_pass(w, 50 * MILLISECOND_NS);
        test_hear_nothing(&reader);
        test_hear_nothing(&publisher);
        store_release(w);
        test_hear(&reader, "34 { s't' 0002 { } 'x' }");
        test_hear(&publisher, "50 02 0001");
        assert_int_equal(store_queued(w, store_key(w, "r")), 1);
        store_world_end(w, &disk);
    }
}

/* PUBREL goes out when the disk knows that PUBREC has come. */
static void test_pubrel_waits(void **state)
{
    struct fuzz_world *w = world_of_two(1);
    test_say(&publisher, "34 { s't' 0001 'x' }");
    test_hear(&reader, "34 { s't' 0002 { } 'x' }");
    w->holds_storage = true;
    test_say(&reader, "50 02 0002");
    fuzz_world_pass(w, 200 * MILLISECOND_NS);
    test_hear_nothing(&reader);
    store_release(w);
    test_hear(&reader, "62 02 0002");
    w = store_world_again(w, &disk, 1);
    store_connect(&reader, w, 0, "r", NULL);
    test_hear(&reader, "62 02 0002");
    test_say(&reader, "70 02 0002");
    store_come_to_rest(w);
    test_hear_nothing(&reader);
    store_world_end(w, &disk);
}

/* The Session ends while messages for it are staged, or with the storage thread. */
static void test_session_ends(void **state)
{
    static const int64_t waits_ms[] = { 0, 10 };
    for (unsigned workers = 1; workers <= 2; workers++) {
        for (size_t i = 0; i < 4; i++) {
            struct fuzz_world *w = world_of_two(workers);
            uint64_t key = store_key(w, "r");
            w->holds_storage = true;
            test_say(&publisher, "32 { s't' 0001 'x' }");
            test_hear(&reader, "32 { s't' 0002 { } 'x' }");
            fuzz_world_pass(w, waits_ms[i % 2] * MILLISECOND_NS);
            test_say(&reader, "e0 { 00 { 11 00000000 } }");
            fuzz_world_pass(w, 10 * MILLISECOND_NS);
            assert_null(store_client(w, "r"));
            store_release(w);
            fuzz_world_pass(w, 10 * MILLISECOND_NS);
            test_hear(&publisher, "40 02 0001");
            if (i >= 2)
                store_come_to_rest(w);
            w = store_world_again(w, &disk, workers);
            assert_int_equal(store_queued(w, key), store_client(w, "r") == NULL ? 0 : 1);
            if (i >= 2)
                assert_null(store_client(w, "r"));
            store_world_end(w, &disk);
        }
    }
}

/* More than the disk keeps up with: the publisher is not read until some of it is there. */
static void test_budget(void **state)
{
    enum { SIZE = 512 * 1024, MESSAGES_MAX = 40 };
    static uint8_t payload[SIZE], packet[SIZE + 64];
    struct fuzz_world *w = world_of_two(1);
    test_close(&reader);
    const struct worker *worker = w->server->workers[0];
    const struct connection *c = store_client(w, "p")->connection;
    struct packet p = { .type = PACKET_PUBLISH };
    p.publish =
        (struct publish){ .qos = 1, .topic = BYTES("t"), .payload = bytes_of(payload, SIZE) };
    w->holds_storage = true;
    int sent = 0;
    for (; c->paused == 0; sent++) {
        assert_true(sent < MESSAGES_MAX);
        p.publish.packet_id = (uint16_t)(sent + 1);
        packet_encode(&p, VERSION_3_1_1, packet);
        test_say_bytes(&publisher, bytes_of(packet, packet_size(&p, VERSION_3_1_1)));
        fuzz_world_settle(w);
    }
    assert_int_equal(c->paused, PAUSED_BY_STORE);
    assert_true(staging_is_over_budget(worker));
    fuzz_world_pass(w, SECOND_NS);
    assert_int_equal(c->paused, PAUSED_BY_STORE);
    test_hear_nothing(&publisher);
    store_release(w);
    fuzz_world_pass(w, SECOND_NS);
    assert_int_equal(c->paused, 0);
    assert_int_equal(worker->staging.bytes, 0);
    for (int i = 0; i < sent; i++) {
        char text[16];
        snprintf(text, sizeof text, "40 02 %04x", (unsigned)i + 1);
        test_hear(&publisher, text);
    }
    test_hear_nothing(&publisher);
    assert_int_equal(store_queued(w, store_key(w, "r")), sent);
    store_world_end(w, &disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acknowledged_first),
        cmocka_unit_test(test_acknowledged_meanwhile),
        cmocka_unit_test(test_not_acknowledged),
        cmocka_unit_test(test_qos2_waits),
        cmocka_unit_test(test_pubrel_waits),
        cmocka_unit_test(test_session_ends),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
