/* broker/publication_test.c: from one publisher to everybody: which copies, at which QoS, with
 * which flags and identifiers, on the publisher's worker and on another one. */
#include "base/memory.h"
#include "broker/publication.h"
#include "broker/test_client.h"

static struct test_client publisher, subscriber, another;

/* --------------------------------------------------- subscriptions of one Client that overlap - */

static void test_overlapping(void **state)
{
    static const struct {
        bool duplicates;     /* allow_duplicate_messages */
        const char *filters; /* of SUBSCRIBE packets: each with an identifier of its own */
        const char *more, *third;
        const char *heard; /* by the subscriber, of a QoS 2 message to "a" */
    } rows[] = {
        /* one copy for each subscription */
        { true, "0b 01 } s'a' 00", "0b 02 } s'#' 00", NULL,
          "30 { s'a' { 0b01 } 'x' } 30 { s'a' { 0b02 } 'x' }" },
        /* one copy at the highest QoS [MQTT-3.3.4-2], with all identifiers [MQTT-3.3.4-4] */
        { false, "0b 01 } s'a' 00", "0b 02 } s'#' 00", NULL, "30 { s'a' { 0b01 0b02 } 'x' }" },
        { false, "0b 01 } s'a' 00", "0b 02 } s'#' 01", NULL, "32 { s'a' 0001 { 0b01 0b02 } 'x' }" },
        { false, "0b 01 } s'a' 02", "0b 02 } s'#' 01", "0b 03 } s'+' 00",
          "34 { s'a' 0001 { 0b01 0b02 0b03 } 'x' }" },
        { false, "} s'a' 00", "0b 02 } s'#' 00", NULL, "30 { s'a' { 0b02 } 'x' }" },
        { false, "} s'a' 00", "} s'#' 01", NULL, "32 { s'a' 0001 { } 'x' }" },
        { false, "0b ffff01 } s'a' 00", "0b 7f } s'+' 00", NULL,
          "30 { s'a' { 0bffff01 0b7f } 'x' }" },
        { false, "0b 01 } s'b' 00", "0b 02 } s'#' 00", NULL, "30 { s'a' { 0b02 } 'x' }" },
    };
    for (unsigned i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        unsigned row = i / 2, elsewhere = i % 2;
        char config[200], text[100];
        struct packet p;
        snprintf(config, sizeof config, TEST_CONFIG "allow_duplicate_messages %s\n",
                 rows[row].duplicates ? "true" : "false");
        struct fuzz_world *w = test_world(config, 2);
        test_connect(&publisher, w, 0, VERSION_5_0, "publisher");
        test_connect(&subscriber, w, 1, VERSION_5_0, "subscriber");
        const char *filters[] = { rows[row].filters, rows[row].more, rows[row].third };
        for (int f = 0; f < 3 && filters[f] != NULL; f++) {
            snprintf(text, sizeof text, "82 { 0001 { %s }", filters[f]);
            test_say(&subscriber, text);
            assert_true(test_hear_any(&subscriber, VERSION_5_0, &p) && p.type == PACKET_SUBACK);
        }
        /* by somebody on the same worker, and by somebody on the other one */
        struct test_client *from = &publisher;
        if (elsewhere == 0) {
            test_connect(&another, w, 1, VERSION_5_0, "another");
            from = &another;
        }
        test_say(from, "34 { s'a' 0001 { } 'x' }");
        test_hear(from, "50 { 0001 }");
        test_hear(&subscriber, rows[row].heard);
        test_hear_nothing(&subscriber);
        test_world_end(w);
    }
}

/* ------------------------------------------------------------------------ options of one ------ */

static void test_options(void **state)
{
    static const struct {
        const char *options, *publish, *heard; /* heard "": nothing */
    } rows[] = {
        { "00", "32 { s'a' 0009 { } 'x' }", "30 { s'a' { } 'x' }" }, /* the lower QoS of both */
        { "02", "32 { s'a' 0009 { } 'x' }", "32 { s'a' 0001 { } 'x' }" },
        { "01", "30 { s'a' { } 'x' }", "30 { s'a' { } 'x' }" },
        { "00", "31 { s'a' { } 'x' }", "30 { s'a' { } 'x' }" }, /* RETAIN is cleared */
        { "08", "31 { s'a' { } 'x' }", "31 { s'a' { } 'x' }" }, /* Retain As Published */
        { "08", "30 { s'a' { } 'x' }", "30 { s'a' { } 'x' }" },
        { "04", "30 { s'a' { } 'x' }", "" },                      /* No Local [MQTT-3.8.3-3] */
        { "00", "30 { s'a' { 01 01 26 s'k' s'v' 03 s't' } 'x' }", /* travel unaltered */
          "30 { s'a' { 01 01 26 s'k' s'v' 03 s't' } 'x' }" },
        { "00", "30 { s'a' { 02 0000000a } 'x' }", "30 { s'a' { 02 0000000a } 'x' }" },
        { "00", "30 { s'a' { 23 0001 } 'x' }", "30 { s'a' { } 'x' }" }, /* an alias does not */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fuzz_world *w = test_world(TEST_CONFIG, 1);
        char text[64];
        struct packet p;
        test_connect(&publisher, w, 0, VERSION_5_0, "publisher");
        snprintf(text, sizeof text, "82 { 0001 { } s'a' %s }", rows[i].options);
        test_say(&publisher, text);
        assert_true(test_hear_any(&publisher, VERSION_5_0, &p) && p.type == PACKET_SUBACK);
        test_say(&publisher, rows[i].publish);
        /* its own subscriber: what it gets comes before the answer */
        test_hear(&publisher, rows[i].heard);
        if (strncmp(rows[i].publish, "32", 2) == 0)
            test_hear(&publisher, "40 { 0009 }");
        test_hear_nothing(&publisher);
        test_world_end(w);
    }
}

/* --------------------------------------------------------------------------------- answers ---- */

static void test_nobody(void **state)
{
    struct fuzz_world *w = test_world(TEST_CONFIG, 1);
    test_connect(&publisher, w, 0, VERSION_5_0, "publisher");
    test_say(&publisher, "32 { s'a' 0001 { } 'x' }");
    test_hear(&publisher, "40 { 0001 10 }"); /* no matching subscribers */
    test_say(&publisher, "34 { s'a' 0002 { } 'x' }");
    test_hear(&publisher, "50 { 0002 10 }");
    test_hear_nothing(&publisher);
    test_world_end(w);
}

/* A full queue on any worker makes the publisher keep its message. */
static void test_refused(void **state)
{
    struct fuzz_world *w =
        test_world(TEST_CONFIG "queue_policy refuse-publisher\nmax_queued_messages 1\n"
                               "max_inflight_messages 1\n",
                   2);
    test_connect(&publisher, w, 0, VERSION_5_0, "publisher");
    test_connect(&subscriber, w, 1, VERSION_3_1_1, "subscriber");
    test_say(&subscriber, "82 { 0001 s'a' 01 }");
    test_hear(&subscriber, "90 { 0001 01 }");
    test_say(&publisher, "32 { s'a' 0001 { } '1' } 32 { s'a' 0002 { } '2' }");
    test_hear(&publisher, "40 { 0001 } 40 { 0002 }");
    test_hear(&subscriber, "32 { s'a' 0001 '1' }"); /* '2' fills the queue */
    test_say(&publisher, "32 { s'a' 0003 { } '3' }");
    test_hear(&publisher, "40 { 0003 97 }");
    test_say(&publisher, "30 { s'a' { } '0' }"); /* QoS 0 is not asked about */
    test_hear(&subscriber, "30 { s'a' '0' }");
    test_say(&subscriber, "40 { 0001 }");
    test_hear(&subscriber, "32 { s'a' 0002 '2' }");
    test_say(&publisher, "32 { s'a' 0004 { } '3' }"); /* there is room again */
    test_hear(&publisher, "40 { 0004 }");
    test_say(&subscriber, "40 { 0002 }");
    test_hear(&subscriber, "32 { s'a' 0003 '3' }");
    test_hear_nothing(&subscriber);
    test_world_end(w);
}

/* One message for many sessions of another worker is referred to once, and reaches each. */
static void test_many_elsewhere(void **state)
{
    enum { MANY = 12 };
    static struct test_client many[MANY];
    struct fuzz_world *w = test_world(TEST_CONFIG, 2);
    test_connect(&publisher, w, 0, VERSION_3_1_1, "publisher");
    for (int i = 0; i < MANY; i++) {
        char id[24];
        snprintf(id, sizeof id, "many-%d", i);
        test_connect(&many[i], w, 1, VERSION_3_1_1, id);
        test_say(&many[i], "82 { 0001 s'a/+' 01 }");
        test_hear(&many[i], "90 { 0001 01 }");
    }
    test_say(&publisher, "32 { s'a/1' 0001 'one' } 32 { s'a/2' 0002 'two' }");
    test_hear(&publisher, "40 { 0001 } 40 { 0002 }");
    for (int i = 0; i < MANY; i++) {
        test_hear(&many[i], "32 { s'a/1' 0001 'one' } 32 { s'a/2' 0002 'two' }");
        test_hear_nothing(&many[i]);
    }
    test_world_end(w);
}

/* --------------------------------------------------------------------------------- no memory -- */

/* The payload of the next message that a Client hears; "": none. */
static const char *next_payload(struct test_client *c)
{
    static char text[8];
    struct packet p;
    text[0] = '\0';
    while (text[0] == '\0' && test_hear_any(c, VERSION_5_0, &p))
        if (p.type == PACKET_PUBLISH)
            snprintf(text, sizeof text, "%.*s", (int)p.publish.payload.size,
                     (const char *)p.publish.payload.data);
    return text;
}

static bool is_accepted(struct test_client *c)
{
    bool accepted = false;
    for (struct packet p; test_hear_any(c, VERSION_5_0, &p);)
        accepted = p.type == PACKET_PUBACK && !reason_is_error(p.ack.reason);
    return accepted;
}

/* The nth allocation fails while a QoS 1 message goes from worker 0 to worker 1.  An answer of
 * success is a promise: the message arrives, if only before the next one; or the subscriber's
 * connection ended, and its Session with it; or the broker counted a drop. */
static void test_sweep(void **state)
{
    for (uint64_t nth = 1;; nth++) {
        struct fuzz_world *w = test_world(TEST_CONFIG "allow_duplicate_messages false\n", 2);
        test_connect(&publisher, w, 0, VERSION_5_0, "publisher");
        test_connect(&subscriber, w, 1, VERSION_5_0, "subscriber");
        test_say(&subscriber, "82 { 0001 { 0b 01 } s'a/b' 01 } 82 { 0002 { 0b 02 } s'a/+' 01 }");
        test_hear(&subscriber, "90 { 0001 { } 01 } 90 { 0002 { } 01 }");
        (void)memory_fail_at(nth);
        test_say(&publisher, "33 { s'a/b' 0001 { } 'x' }");
        bool was_reached = memory_fail_at(0) >= nth;
        bool accepted = is_accepted(&publisher);
        bool arrived = strcmp(next_payload(&subscriber), "x") == 0;
        bool is_over = fuzz_link_is_over(subscriber.link);
        int64_t dropped = server_drops(w->server, DROP_NO_MEMORY);
        if (!was_reached)
            assert_true(accepted && arrived && !is_over && dropped == 0);
        if (accepted && !arrived && !is_over && dropped == 0) {
            test_say(&publisher, "32 { s'a/b' 0002 { } 'y' }");
            assert_string_equal(next_payload(&subscriber), "x");
            assert_string_equal(next_payload(&subscriber), "y");
        }
        test_world_end(w);
        if (!was_reached)
            return;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overlapping),    cmocka_unit_test(test_options),
        cmocka_unit_test(test_nobody),         cmocka_unit_test(test_refused),
        cmocka_unit_test(test_many_elsewhere), cmocka_unit_test(test_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
