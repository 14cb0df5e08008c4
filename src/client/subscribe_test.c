/* SUBSCRIBE, UNSUBSCRIBE and their answers. */
#include "client/test_peer.h"

static const struct chappe_client_options plain_4 = { .version = CHAPPE_MQTT_3_1_1,
                                                      .client_id = "a" };
static const struct chappe_client_options plain_5 = { .client_id = "a" };

static void every_filter_has_its_answer(void **state)
{
    struct peer p;
    peer_start(&p, &plain_5);
    struct chappe_subscription s[] = {
        { chappe_string("a/+"), 2 | CHAPPE_NO_LOCAL | CHAPPE_RETAIN_AS_PUBLISHED },
        { chappe_string("$share/g/#"), 1 | CHAPPE_RETAIN_DO_NOT_SEND },
    };
    struct chappe_property_list list = { 0 };
    assert_int_equal(chappe_property_add_number(&list, CHAPPE_SUBSCRIPTION_IDENTIFIER, 300), 0);
    struct chappe_bytes properties = chappe_property_list_bytes(&list);
    uint16_t id = 0;
    assert_int_equal(chappe_client_subscribe(p.client, s, 2, properties, &id), -ENOTCONN);
    peer_connect(&p, "20 03 00 00 00");
    assert_int_equal(chappe_client_subscribe(p.client, s, 2, properties, &id), 0);
    peer_hears(&p, "82 19 0001 03 0b ac02 0003 612f2b 0e 000a 24736861 72652f67 2f23 21");
    peer_says(&p, "90 05 0001 00 02 87");
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_SUBSCRIBED);
    assert_int_equal(p.event.packet_id, id);
    assert_int_equal(p.event.reasons.size, 2);
    assert_int_equal(p.event.reasons.data[0], CHAPPE_GRANTED_QOS_2);
    assert_int_equal(p.event.reasons.data[1], CHAPPE_NOT_AUTHORIZED);
    chappe_property_list_free(&list);

    struct chappe_bytes filters[] = { chappe_string("a/+"), chappe_string("x") };
    assert_int_equal(chappe_client_unsubscribe(p.client, filters, 2, NO_PROPERTIES, &id), 0);
    peer_hears(&p, "a2 0b 0002 00 0003 612f2b 0001 78");
    peer_says(&p, "b0 05 0002 00 00 11");
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_UNSUBSCRIBED);
    assert_int_equal(p.event.reasons.data[1], CHAPPE_NO_SUBSCRIPTION_EXISTED);
    peer_end(&p);
}

static void version_3_1_1_says_less(void **state)
{
    struct peer p;
    peer_start(&p, &plain_4);
    peer_connect(&p, "20 02 00 00");
    struct chappe_subscription s = { chappe_string("a"), 1 };
    struct chappe_bytes filter = chappe_string("a");
    assert_int_equal(chappe_client_subscribe(p.client, &s, 1, NO_PROPERTIES, NULL), 0);
    peer_hears(&p, "82 06 0001 0001 61 01");
    peer_says(&p, "90 03 0001 80");
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_SUBSCRIBED);
    assert_int_equal(p.event.reasons.data[0], CHAPPE_UNSPECIFIED_ERROR);
    assert_int_equal(chappe_client_unsubscribe(p.client, &filter, 1, NO_PROPERTIES, NULL), 0);
    peer_hears(&p, "a2 05 0002 0001 61");
    peer_says(&p, "b0 02 0002");
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_UNSUBSCRIBED);
    assert_int_equal(p.event.reasons.size, 0);
    peer_end(&p);
}

static const struct {
    const char *filter;
    uint8_t options;
    bool ok_4, ok_5;
} rows[] = {
    { "a/b", 2, true, true },
    { "#", 0, true, true },
    { "$share/g/a", 1, true, true },
    { "a", CHAPPE_NO_LOCAL, false, true }, /* bits that 3.1.1 reserves [MQTT3-3.8.3-4] */
    { "", 0, false, false },
    { "a#", 0, false, false },
    { "$share//a", 0, false, false },
    { "$share/g", 0, false, false },
    { "\xff", 0, false, false },
    { "a", 3, false, false },
    { "a", CHAPPE_RETAIN_SEND_IF_NEW | CHAPPE_RETAIN_DO_NOT_SEND, false, false },
    { "a", 0x40, false, false },
    { "$share/g/a", CHAPPE_NO_LOCAL, false, false }, /* [MQTT-3.8.3-4] */
};

static void bad_filters_and_options_are_refused(void **state)
{
    struct peer p4, p5;
    peer_start(&p4, &plain_4);
    peer_connect(&p4, "20 02 00 00");
    peer_start(&p5, &plain_5);
    peer_connect(&p5, "20 03 00 00 00");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct chappe_subscription s = { chappe_string(rows[i].filter), rows[i].options };
        assert_int_equal(chappe_client_subscribe(p4.client, &s, 1, NO_PROPERTIES, NULL),
                         rows[i].ok_4 ? 0 : -EINVAL);
        assert_int_equal(chappe_client_subscribe(p5.client, &s, 1, NO_PROPERTIES, NULL),
                         rows[i].ok_5 ? 0 : -EINVAL);
    }
    assert_int_equal(chappe_client_subscribe(p5.client, NULL, 0, NO_PROPERTIES, NULL), -EINVAL);
    peer_end(&p4);
    peer_end(&p5);
}

static const char *const bad_answers[] = {
    "90 05 0001 00 00 00", /* two answers to one filter [MQTT-3.8.4-5] */
    "b0 04 0001 00 00",    /* UNSUBACK to a SUBSCRIBE */
    "90 04 0001 00 03",    /* no such Reason Code */
};

static void a_bad_answer_is_a_breach(void **state)
{
    for (size_t i = 0; i < sizeof bad_answers / sizeof bad_answers[0]; i++) {
        struct peer p;
        peer_start(&p, &plain_5);
        peer_connect(&p, "20 03 00 00 00");
        struct chappe_subscription s = { chappe_string("a"), 0 };
        assert_int_equal(chappe_client_subscribe(p.client, &s, 1, NO_PROPERTIES, NULL), 0);
        peer_says(&p, "90 04 0009 00 00"); /* nobody asked: ignored */
        assert_int_equal(peer_next(&p), 0);
        peer_says(&p, bad_answers[i]);
        assert_int_equal(peer_next(&p), CHAPPE_EVENT_DISCONNECTED);
        assert_int_equal(p.event.reason, CHAPPE_PROTOCOL_ERROR);
        peer_end(&p);
    }
}

/* A lost connection takes its requests with it, and their identifiers are free again. */
static void requests_end_with_their_connection(void **state)
{
    struct peer p;
    peer_start(&p, &plain_4);
    peer_connect(&p, "20 02 00 00");
    struct chappe_subscription s = { chappe_string("a"), 0 };
    assert_int_equal(chappe_client_subscribe(p.client, &s, 1, NO_PROPERTIES, NULL), 0);
    peer_breaks(&p);
    peer_connect(&p, "20 02 00 00");
    peer_says(&p, "90 03 0001 00");
    assert_int_equal(peer_next(&p), 0);
    peer_end(&p);
}

static void topics_match_as_the_standard_says(void **state)
{
    assert_true(chappe_topic_matches(chappe_string("a/+/c"), chappe_string("a/b/c")));
    assert_true(chappe_topic_matches(chappe_string("$share/g/a/#"), chappe_string("a")));
    assert_false(chappe_topic_matches(chappe_string("#"), chappe_string("$SYS/x")));
    assert_false(chappe_topic_matches(chappe_string("a#"), chappe_string("a")));
    assert_false(chappe_topic_matches(chappe_string("#"), chappe_string("")));
    assert_false(chappe_topic_matches(chappe_string("$share//a"), chappe_string("a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_filter_has_its_answer),
        cmocka_unit_test(version_3_1_1_says_less),
        cmocka_unit_test(bad_filters_and_options_are_refused),
        cmocka_unit_test(a_bad_answer_is_a_breach),
        cmocka_unit_test(requests_end_with_their_connection),
        cmocka_unit_test(topics_match_as_the_standard_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
