/* broker/answers_test.c: acknowledgements that wait for the disk. */
#include "broker/test_store.h"

static struct watched_disk disk;
static struct test_client publisher, away, reader;

/* A publisher that is not durable; "away" gets "a" and is not there; "reader" gets "b". */
static struct fuzz_world *world_of_three(unsigned workers)
{
    watched_disk_init(&disk, 1);
    struct fuzz_world *w = store_world(&disk, workers);
    test_connect(&publisher, w, 0, VERSION_3_1_1, "p");
    store_connect(&away, w, workers - 1, "away", "a");
    store_connect(&reader, w, workers - 1, "reader", "b");
    test_close(&away);
    store_come_to_rest(w);
    return w;
}

/* One that could go waits behind those that cannot [MQTT-4.6.0-2]. */
static void test_order(void **state)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct fuzz_world *w = world_of_three(workers);
        w->holds_storage = true;
        test_say(&publisher, "32 { s'a' 0001 'x' }");
        test_say(&publisher, "32 { s'b' 0002 'x' }");
        test_say(&publisher, "32 { s'nobody' 0003 'x' }");
        test_say(&publisher, "c0 00");
        test_hear(&reader, "32 { s'b' 0002 { } 'x' }");
        test_say(&reader, "40 02 0002");
        test_hear(&publisher, "d0 00"); /* what is no acknowledgement passes them */
        test_hear_nothing(&publisher);
        store_release(w);
        fuzz_world_pass(w, 10 * MILLISECOND_NS);
        test_hear(&publisher, "40 02 0001 40 02 0002 40 02 0003");
        test_hear_nothing(&publisher);
        store_world_end(w, &disk);
    }
}

/* CONNACK says that there is a Session, SUBACK that there is a subscription. */
static void test_connack_and_suback_wait(void **state)
{
    struct fuzz_world *w = world_of_three(1);
    w->holds_storage = true;
    test_open(&away, w, 0);
    test_say(&away, "10 { s'MQTT' 05 00 0000 { 11 00000e10 } s'young' }");
    test_say(&away, "82 { 0001 { } s'c' 01 }");
    fuzz_world_pass(w, 50 * MILLISECOND_NS);
    test_hear_nothing(&away);
    fuzz_world_turn_storage(w);
    struct packet p;
    assert_true(test_hear_any(&away, VERSION_5_0, &p));
    assert_int_equal(p.type, PACKET_CONNACK);
    fuzz_world_pass(w, 50 * MILLISECOND_NS);
    test_hear_nothing(&away); /* it is read only now, and its SUBACK waits */
    fuzz_world_turn_storage(w);
    test_hear(&away, "90 { 0001 { } 01 }");
    test_say(&away, "a2 { 0002 { } s'c' }");
    test_hear_nothing(&away);
    fuzz_world_turn_storage(w);
    test_hear(&away, "b0 { 0002 { } 00 }");
    store_world_end(w, &disk);
}

/* PUBACK of a message that is only retained. */
static void test_retained_waits(void **state)
{
    struct fuzz_world *w = world_of_three(1);
    w->holds_storage = true;
    test_say(&publisher, "33 { s'kept' 0001 'x' }");
    test_hear_nothing(&publisher);
    store_release(w);
    test_hear(&publisher, "40 02 0001");
    w = store_world_again(w, &disk, 1);
    test_connect(&publisher, w, 0, VERSION_3_1_1, "p");
    test_say(&publisher, "82 { 0001 s'kept' 01 }");
    test_hear(&publisher, "90 { 0001 01 } 33 { s'kept' 0001 'x' }");
    store_world_end(w, &disk);
}

/* The connection goes while its answers wait: nobody minds, and what came is kept. */
static void test_connection_closes(void **state)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct fuzz_world *w = world_of_three(workers);
        w->holds_storage = true;
        test_say(&publisher, "32 { s'a' 0001 'x' } 32 { s'a' 0002 'y' } 34 { s'a' 0003 'z' }");
        fuzz_world_settle(w);
        test_close(&publisher);
        test_say(&reader, "82 { 0002 { } s'c' 01 }");
        fuzz_world_settle(w);
        test_close(&reader);
        store_release(w);
        store_come_to_rest(w);
        assert_int_equal(store_queued(w, store_key(w, "away")), 3);
        store_world_end(w, &disk);
    }
}

/* The write failed: the answer is not sent, not even when one behind it may be. */
static void test_failed(void **state)
{
    struct fuzz_world *w = world_of_three(1);
    w->holds_storage = true;
    test_say(&publisher, "32 { s'a' 0001 'x' }");
    test_say(&publisher, "32 { s'b' 0002 'x' }");
    test_hear(&reader, "32 { s'b' 0002 { } 'x' }");
    fake_disk_fail_at(&disk.disk, 1, EIO);
    struct notation ack; /* comes in the same turn as the bad news */
    (void)fuzz_link_write(reader.link, notation_read(&ack, "40 02 0002"));
    fuzz_world_turn_storage(w);
    assert_true(atomic_load(&w->server->has_failed));
    fuzz_world_pass(w, SECOND_NS);
    test_hear_nothing(&publisher);
    store_world_end(w, &disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),          cmocka_unit_test(test_connack_and_suback_wait),
        cmocka_unit_test(test_retained_waits), cmocka_unit_test(test_connection_closes),
        cmocka_unit_test(test_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
