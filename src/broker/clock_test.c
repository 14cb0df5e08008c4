/* broker/clock_test.c: time that jumps and time that flows (faults F5 and F6).
 *
 * The wall clock may be set to anything; what expires, expires by the monotonic clock. */
#include "broker/test_client.h"

static int64_t in_a_year(const struct clock *clock)
{
    return INT64_C(1900000000) * SECOND_NS;
}

static int64_t in_1970(const struct clock *clock)
{
    return 0;
}

/* CONNECT without Clean Start, to a Session that lives 100 s; is it there? */
static bool comes_back(struct test_client *c, struct fuzz_world *w)
{
    struct packet p;
    test_open(c, w, 0);
    test_say(c, "10 { s'MQTT' 05 00 0000 { 11 00000064 } s'id' }");
    assert_true(test_hear_any(c, VERSION_5_0, &p));
    assert_int_equal(p.type, PACKET_CONNACK);
    assert_int_equal(p.connack.reason, REASON_SUCCESS);
    return p.connack.session_present;
}

static void test_a_session_expires_by_the_time_that_flows(void **state)
{
    static struct test_client c;
    struct fuzz_world *w = test_world(TEST_CONFIG, 1);
    assert_false(comes_back(&c, w));
    test_close(&c);

    w->clock.wall_ns = in_a_year; /* somebody sets the clock */
    fuzz_world_pass(w, 60 * SECOND_NS);
    assert_true(comes_back(&c, w));
    test_close(&c);

    w->clock.wall_ns = in_1970;
    fuzz_world_pass(w, 99 * SECOND_NS);
    assert_true(comes_back(&c, w));
    test_close(&c);

    fuzz_world_pass(w, 102 * SECOND_NS);
    assert_false(comes_back(&c, w));
    test_world_end(w);
}

static void test_a_keep_alive_ends_by_the_time_that_flows(void **state)
{
    static struct test_client c;
    struct fuzz_world *w = test_world(TEST_CONFIG, 1);
    test_open(&c, w, 0);
    test_say(&c, "10 { s'MQTT' 04 02 000a s'id' }"); /* 10 s: the end comes after 15 */
    test_hear(&c, "20 { 00 00 }");
    w->clock.wall_ns = in_a_year;
    fuzz_world_pass(w, 14 * SECOND_NS);
    assert_false(fuzz_link_is_over(c.link));
    w->clock.wall_ns = in_1970;
    fuzz_world_pass(w, 3 * SECOND_NS);
    test_hear_nothing(&c);
    assert_true(fuzz_link_is_over(c.link));
    test_close(&c);
    test_world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_expires_by_the_time_that_flows),
        cmocka_unit_test(test_a_keep_alive_ends_by_the_time_that_flows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
