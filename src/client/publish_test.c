/* PUBLISH in both directions: the flows of QoS 0, 1 and 2, windows, aliases, lost connections. */
#include "base/memory.h"
#include "client/test_peer.h"

static const struct chappe_client_options plain_4 = { .version = CHAPPE_MQTT_3_1_1,
                                                      .client_id = "a" };
static const struct chappe_client_options plain_5 = { .client_id = "a" };

#define CONNACK_4         "20 02 00 00"
#define CONNACK_4_PRESENT "20 02 01 00"
#define CONNACK_5         "20 03 00 00 00"
#define CONNACK_5_PRESENT "20 03 01 00 00"

static struct chappe_message message(const char *topic, const char *payload, int qos)
{
    return (struct chappe_message){ .topic = chappe_string(topic),
                                    .payload = chappe_string(payload),
                                    .qos = qos };
}

static uint16_t publish(struct peer *p, const char *topic, const char *payload, int qos)
{
    struct chappe_message m = message(topic, payload, qos);
    uint16_t packet_id = 0;
    assert_int_equal(chappe_client_publish(p->client, &m, &packet_id), 0);
    return packet_id;
}

static void assert_published(struct peer *p, uint16_t packet_id, int reason, int error)
{
    assert_int_equal(peer_next(p), CHAPPE_EVENT_PUBLISHED);
    assert_int_equal(p->event.packet_id, packet_id);
    assert_int_equal(p->event.reason, reason);
    assert_int_equal(p->event.error, error);
}

/* -------------------------------------------------------------------------- to the Server ------
 */

static void qos_0_goes_at_once_or_not_at_all(void **state)
{
    struct peer p;
    peer_start(&p, &plain_4);
    struct chappe_message m = message("t", "x", 0);
    assert_int_equal(chappe_client_publish(p.client, &m, NULL), -ENOTCONN);
    peer_connect(&p, CONNACK_4);
    m.retain = true;
    assert_int_equal(chappe_client_publish(p.client, &m, NULL), 0);
    peer_hears(&p, "31 04 0001 74 78");
    assert_int_equal(chappe_client_queued(p.client), 0);
    peer_end(&p);
}

static void qos_1_is_done_with_puback(void **state)
{
    struct peer p;
    peer_start(&p, &plain_5);
    peer_connect(&p, CONNACK_5);
    uint16_t id = publish(&p, "t", "x", 1);
    peer_hears(&p, "32 07 0001 74 0001 00 78");
    assert_int_equal(chappe_client_queued(p.client), 1);
    peer_says(&p, "40 03 0001 10"); /* no matching subscribers */
    assert_published(&p, id, CHAPPE_NO_MATCHING_SUBSCRIBERS, 0);
    assert_int_equal(chappe_client_queued(p.client), 0);
    peer_says(&p, "40 02 0001"); /* nobody knows it any more: no harm */
    assert_int_equal(peer_next(&p), 0);
    peer_end(&p);
}

static void qos_2_is_done_with_pubcomp(void **state)
{
    struct peer p;
    peer_start(&p, &plain_4);
    peer_connect(&p, CONNACK_4);
    uint16_t id = publish(&p, "t", "x", 2);
    peer_hears(&p, "34 06 0001 74 0001 78");
    peer_says(&p, "50 02 0001");
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "62 02 0001");
    peer_says(&p, "50 02 0001"); /* again: the same answer */
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "62 02 0001");
    peer_says(&p, "70 02 0001");
    assert_published(&p, id, CHAPPE_SUCCESS, 0);
    peer_end(&p);
}

static void a_pubrec_may_refuse(void **state)
{
    struct peer p;
    peer_start(&p, &plain_5);
    peer_connect(&p, CONNACK_5);
    uint16_t id = publish(&p, "t", "x", 2);
    peer_ignores(&p);
    peer_says(&p, "50 09 0001 87 05 1f 0002 6e6f");
    assert_published(&p, id, CHAPPE_NOT_AUTHORIZED, 0); /* no PUBREL [MQTT-4.3.3-4] */
    struct chappe_property property;
    assert_true(chappe_property_find(p.event.properties, CHAPPE_REASON_STRING, &property));
    assert_text(property.value, "no");
    peer_hears(&p, "");
    peer_says(&p, "50 02 0001"); /* unknown now: 5.0 says so [MQTT-3.6.2-1] */
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "62 03 0001 92");
    peer_end(&p);
}

static const struct {
    int qos;
    const char *says;
} wrong_acks[] = {
    { 1, "50 02 0001" }, /* PUBREC for QoS 1 */
    { 1, "70 02 0001" }, /* PUBCOMP for QoS 1 */
    { 2, "40 02 0001" }, /* PUBACK for QoS 2 */
    { 2, "70 02 0001" }, /* PUBCOMP before PUBREL */
};

static void the_wrong_acknowledgement_is_a_breach(void **state)
{
    for (size_t i = 0; i < sizeof wrong_acks / sizeof wrong_acks[0]; i++) {
        struct peer p;
        peer_start(&p, &plain_5);
        peer_connect(&p, CONNACK_5);
        publish(&p, "t", "x", wrong_acks[i].qos);
        peer_ignores(&p);
        peer_says(&p, wrong_acks[i].says);
        assert_int_equal(peer_next(&p), CHAPPE_EVENT_DISCONNECTED);
        assert_int_equal(p.event.reason, CHAPPE_PROTOCOL_ERROR);
        peer_hears(&p, "e0 01 82");
        assert_int_equal(chappe_client_queued(p.client), 1); /* still owed */
        peer_end(&p);
    }
}

static void the_window_is_the_smaller_of_both_limits(void **state)
{
    struct peer p;
    struct chappe_client_options options = plain_5;
    options.inflight_max = 3;
    peer_start(&p, &options);
    for (int i = 0; i < 4; i++)
        publish(&p, "t", "x", 1);               /* before the connection: they wait */
    peer_connect(&p, "20 06 00 00 03 21 0002"); /* Receive Maximum 2 */
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "32 07 0001 74 0001 00 78 32 07 0001 74 0002 00 78");
    peer_says(&p, "40 02 0002");
    assert_published(&p, 2, CHAPPE_SUCCESS, 0);
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "32 07 0001 74 0003 00 78");

    /* Without the Server's limit it is ours. */
    peer_breaks(&p);
    peer_connect(&p, CONNACK_5_PRESENT);
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "3a 07 0001 74 0001 00 78 3a 07 0001 74 0003 00 78 32 07 0001 74 0004 00 78");
    peer_end(&p);
}

static void what_was_not_acknowledged_is_sent_again(void **state)
{
    struct peer p;
    peer_start(&p, &plain_4);
    peer_connect(&p, CONNACK_4);
    publish(&p, "a", "", 1);
    publish(&p, "b", "", 2);
    publish(&p, "c", "", 2);
    peer_ignores(&p);
    peer_says(&p, "50 02 0002");
    assert_int_equal(peer_next(&p), 0);
    peer_ignores(&p);
    peer_breaks(&p);

    /* PUBREL for what has got so far, PUBLISH with DUP for the rest [MQTT3-4.4.0-1]. */
    peer_connect(&p, CONNACK_4_PRESENT);
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "62 02 0002  3a 05 0001 61 0001  3c 05 0001 63 0003");
    peer_says(&p, "70 02 0002");
    assert_published(&p, 2, CHAPPE_SUCCESS, 0);
    peer_end(&p);
}

static void without_the_session_each_qos_keeps_its_promise(void **state)
{
    struct peer p;
    peer_start(&p, &plain_4);
    peer_connect(&p, CONNACK_4);
    publish(&p, "a", "", 1); /* at least once: again, as if new */
    publish(&p, "b", "", 2); /* PUBREC came: the Server has it */
    publish(&p, "c", "", 2); /* nobody knows */
    peer_ignores(&p);
    peer_says(&p, "50 02 0002");
    assert_int_equal(peer_next(&p), 0);
    peer_breaks(&p);
    publish(&p, "d", "", 2); /* never sent: goes on waiting */

    peer_connect(&p, CONNACK_4);
    assert_published(&p, 3, CHAPPE_SUCCESS, -ESTALE);
    assert_published(&p, 2, CHAPPE_SUCCESS, 0);
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "32 05 0001 61 0001  34 05 0001 64 0004");
    assert_int_equal(chappe_client_queued(p.client), 2);
    peer_end(&p);
}

static void what_the_server_cannot_take_is_told(void **state)
{
    struct peer p;
    peer_start(&p, &plain_5);
    struct chappe_message m = message("t", "0123456789", 1);
    publish(&p, "t", "x", 2);
    assert_int_equal(chappe_client_publish(p.client, &m, NULL), 0);
    m.payload = chappe_string("x");
    m.retain = true;
    assert_int_equal(chappe_client_publish(p.client, &m, NULL), 0);
    peer_connect(&p, "20 0c 00 00 09 24 01 25 00 27 0000000c"); /* QoS 1, no retain, 12 bytes */
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_PUBLISHED);
    assert_int_equal(p.event.reason, CHAPPE_QOS_NOT_SUPPORTED); /* [MQTT-3.2.2-11] */
    assert_published(&p, 2, CHAPPE_PACKET_TOO_LARGE, 0);
    assert_published(&p, 3, CHAPPE_RETAIN_NOT_SUPPORTED, 0);
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "");
    m.qos = 0;
    assert_int_equal(chappe_client_publish(p.client, &m, NULL), -ENOTSUP);
    m = message("t", "0123456789", 0);
    assert_int_equal(chappe_client_publish(p.client, &m, NULL), -EMSGSIZE);
    peer_end(&p);
}

static const struct {
    const char *topic;
    int qos;
    struct chappe_bytes properties;
} bad_messages[] = {
    { "", 0, { NULL, 0 } },
    { "a/+", 0, { NULL, 0 } },
    { "\xff", 0, { NULL, 0 } },
    { "a", 3, { NULL, 0 } },
    { "a", -1, { NULL, 0 } },
    { "a", 0, { (const uint8_t *)"\x0b\x01", 2 } },     /* Subscription Identifier [MQTT-3.3.4-6] */
    { "a", 0, { (const uint8_t *)"\x23\x00\x00", 3 } }, /* alias 0 [MQTT-3.3.2-8] */
    { "", 1, { (const uint8_t *)"\x23\x00\x01", 3 } },  /* could not be sent again */
    { "a", 0, { (const uint8_t *)"\x01", 1 } },         /* half a property */
};

static void bad_messages_are_refused(void **state)
{
    struct peer p;
    peer_start(&p, &plain_5);
    peer_connect(&p, CONNACK_5);
    for (size_t i = 0; i < sizeof bad_messages / sizeof bad_messages[0]; i++) {
        struct chappe_message m = message(bad_messages[i].topic, "", bad_messages[i].qos);
        m.properties = bad_messages[i].properties;
        assert_int_equal(chappe_client_publish(p.client, &m, NULL), -EINVAL);
    }
    peer_hears(&p, "");
    peer_end(&p);
}

static void the_queue_has_an_end(void **state)
{
    struct peer p;
    struct chappe_client_options options = plain_5;
    options.queue_bytes_max = 1000;
    peer_start(&p, &options);
    static uint8_t big[2000];
    struct chappe_message m = message("t", "", 1);
    m.payload = chappe_bytes(big, sizeof big);
    assert_int_equal(chappe_client_publish(p.client, &m, NULL), 0); /* alone it may be larger */
    m.payload = chappe_string("x");
    assert_int_equal(chappe_client_publish(p.client, &m, NULL), -ENOBUFS);
    peer_end(&p);
}

static void packet_identifiers_run_out_politely(void **state)
{
    struct peer p;
    peer_start(&p, &plain_5);
    for (int i = 0; i < UINT16_MAX; i++)
        assert_int_equal(publish(&p, "t", "", 1), i + 1);
    struct chappe_message m = message("t", "", 1);
    assert_int_equal(chappe_client_publish(p.client, &m, NULL), -ENOBUFS);
    peer_end(&p);
}

static void topic_aliases_save_the_topic(void **state)
{
    struct peer p;
    struct chappe_client_options options = plain_5;
    options.topic_aliases_max = 5;
    peer_start(&p, &options);
    peer_connect(&p, "20 06 00 00 03 22 0002"); /* the Server takes 2 */
    publish(&p, "a", "x", 0);
    publish(&p, "a", "y", 0);
    publish(&p, "b", "x", 0);
    publish(&p, "c", "x", 0);
    publish(&p, "b", "y", 1);
    peer_hears(&p, "30 08 0001 61 03 23 0001 78"
                   "30 07 0000    03 23 0001 79"
                   "30 08 0001 62 03 23 0002 78"
                   "30 05 0001 63 00 78"
                   "32 09 0000 0001 03 23 0002 79");

    /* Aliases end with the connection [MQTT-3.3.2-7]: the next one hears the topic. */
    peer_breaks(&p);
    peer_connect(&p, CONNACK_5_PRESENT);
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "3a 07 0001 62 0001 00 79");
    peer_end(&p);
}

/* ------------------------------------------------------------------------ from the Server ------
 */

static void received_messages_are_acknowledged_when_the_caller_returns(void **state)
{
    struct peer p;
    peer_start(&p, &plain_4);
    peer_connect(&p, CONNACK_4);
    peer_says(&p, "31 04 0001 74 78  32 06 0001 74 0005 79  3c 06 0001 74 0006 7a");
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_MESSAGE);
    assert_text(p.event.message.topic, "t");
    assert_text(p.event.message.payload, "x");
    assert_true(p.event.message.retain);
    assert_int_equal(p.event.packet_id, 0);
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_MESSAGE);
    assert_text(p.event.message.payload, "y");
    assert_int_equal(p.event.message.qos, 1);
    peer_hears(&p, "");
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_MESSAGE);
    assert_true(p.event.message.dup);
    assert_int_equal(p.event.message.qos, 2);
    peer_hears(&p, "40 02 0005");
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "50 02 0006");
    peer_says(&p, "3c 06 0001 74 0006 7a"); /* again: no second copy [MQTT3-4.3.3-2] */
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "50 02 0006");
    peer_says(&p, "62 02 0006");
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "70 02 0006");
    peer_end(&p);
}

static void qos_2_state_outlives_the_connection_with_its_session(void **state)
{
    struct peer p;
    peer_start(&p, &plain_5);
    peer_connect(&p, CONNACK_5);
    peer_says(&p, "34 06 0001 74 0001 00");
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_MESSAGE);
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "50 02 0001");
    peer_breaks(&p);
    peer_connect(&p, CONNACK_5_PRESENT);
    peer_says(&p, "3c 06 0001 74 0001 00");
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "50 02 0001");
    peer_breaks(&p);
    peer_connect(&p, CONNACK_5); /* a new Session: a new message */
    peer_says(&p, "34 06 0001 74 0001 00");
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_MESSAGE);
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "50 02 0001");
    peer_says(&p, "62 02 0002");
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "70 03 0002 92"); /* never heard of it [MQTT-3.7.2-1] */
    peer_end(&p);
}

static void the_server_keeps_to_our_receive_maximum(void **state)
{
    struct peer p;
    struct chappe_client_options options = plain_5;
    options.properties = chappe_bytes("\x21\x00\x02", 3);
    peer_start(&p, &options);
    peer_connect(&p, CONNACK_5);
    peer_says(&p, "34 06 0001 74 0001 00 34 06 0001 74 0002 00 34 06 0001 74 0003 00");
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_MESSAGE);
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_MESSAGE);
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_DISCONNECTED); /* [MQTT-3.3.4-7] */
    assert_int_equal(p.event.reason, CHAPPE_RECEIVE_MAXIMUM_EXCEEDED);
    peer_hears(&p, "50 02 0001 50 02 0002 e0 01 93");
    peer_end(&p);
}

static void the_caller_may_acknowledge_itself(void **state)
{
    struct peer p;
    struct chappe_client_options options = plain_5;
    options.manual_acks = true;
    peer_start(&p, &options);
    peer_connect(&p, CONNACK_5);
    peer_says(&p, "32 06 0001 74 0001 00 34 06 0001 74 0002 00 34 06 0001 74 0003 00");
    for (int i = 0; i < 3; i++)
        assert_int_equal(peer_next(&p), CHAPPE_EVENT_MESSAGE);
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "");
    assert_int_equal(chappe_client_acknowledge(p.client, 1, CHAPPE_SUCCESS, NO_PROPERTIES), 0);
    assert_int_equal(chappe_client_acknowledge(p.client, 1, CHAPPE_SUCCESS, NO_PROPERTIES),
                     -ENOENT);
    assert_int_equal(chappe_client_acknowledge(p.client, 2, CHAPPE_PACKET_TOO_LARGE, NO_PROPERTIES),
                     -EINVAL);
    assert_int_equal(chappe_client_acknowledge(p.client, 2, CHAPPE_QUOTA_EXCEEDED, NO_PROPERTIES),
                     0);
    peer_hears(&p, "40 02 0001 50 03 0002 97");
    peer_says(&p, "62 02 0002"); /* refused: the exchange is over, there is nothing to release */
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "70 03 0002 92");
    peer_says(&p, "62 02 0003"); /* before our PUBREC */
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_DISCONNECTED);
    assert_int_equal(p.event.reason, CHAPPE_PROTOCOL_ERROR);
    peer_end(&p);
}

static void incoming_aliases_are_resolved(void **state)
{
    struct peer p;
    struct chappe_client_options options = plain_5;
    options.properties = chappe_bytes("\x22\x00\x02", 3);
    peer_start(&p, &options);
    peer_connect(&p, CONNACK_5);
    peer_says(&p, "30 08 0001 61 03 23 0002 78   30 07 0000 03 23 0002 79"
                  "30 08 0001 62 03 23 0002 78   30 07 0000 03 23 0002 79");
    const char *topics[] = { "a", "a", "b", "b" };
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(peer_next(&p), CHAPPE_EVENT_MESSAGE);
        assert_text(p.event.message.topic, topics[i]);
    }
    peer_says(&p, "30 07 0000 03 23 0001 79"); /* stands for nothing */
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_DISCONNECTED);
    assert_int_equal(p.event.reason, CHAPPE_PROTOCOL_ERROR);
    peer_end(&p);
}

static void disconnect_acknowledges_what_is_in_hand(void **state)
{
    struct peer p;
    peer_start(&p, &plain_4);
    peer_connect(&p, CONNACK_4);
    peer_says(&p, "32 06 0001 74 0005 79 32 06 0001 74 0006 79");
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_MESSAGE);
    assert_int_equal(chappe_client_disconnect(p.client, CHAPPE_SUCCESS, NO_PROPERTIES), 0);
    assert_int_equal(peer_next(&p), 0); /* the second one stays the Server's */
    peer_hears(&p, "40 02 0005 e0 00");
    peer_end(&p);
}

/* A law: how the bytes are cut into reads changes nothing. */
static void any_chopping_gives_the_same_events(void **state)
{
    for (size_t piece = 1; piece < 12; piece++) {
        struct peer p;
        peer_start(&p, &plain_5);
        peer_connect(&p, CONNACK_5);
        p.chop = piece;
        peer_says(&p, "32 16 0003 612f62 0007 07 01 01 03 0002 612f 6865 6c6c 6f21 3f");
        assert_int_equal(peer_next(&p), CHAPPE_EVENT_MESSAGE);
        assert_text(p.event.message.topic, "a/b");
        assert_text(p.event.message.payload, "hello!?");
        struct chappe_property property;
        assert_true(
            chappe_property_find(p.event.message.properties, CHAPPE_CONTENT_TYPE, &property));
        assert_text(property.value, "a/");
        assert_int_equal(peer_next(&p), 0);
        peer_hears(&p, "40 02 0007");
        peer_end(&p);
    }
}

/* ----------------------------------------------------------------------- without memory ------ */

/* One exchange with everything in it; memory may run out at any point.  True: it went through. */
static bool exchange(struct chappe_client *client)
{
    static const char *const says[] = {
        "20 0a 01 00 07 12 0001 69 22 0002",
        "32 0a 0001 74 0001 03 23 0001 78   34 09 0000 0002 03 23 0001 78",
        "62 02 0002   90 04 0001 00 01   50 02 0003",
        "70 02 0003   40 02 0002",
    };
    struct peer p = { .client = client, .now_ns = SECOND };
    struct chappe_subscription s = { chappe_string("#"), 1 };
    if (chappe_client_connect(client, p.now_ns) != 0)
        return false;
    bool asked = false;
    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++) {
        uint8_t bytes[100];
        size_t size = peer_unhex(says[i], bytes, sizeof bytes);
        if (chappe_client_receive(client, chappe_bytes(bytes, size), p.now_ns) != 0)
            break;
        while (peer_next(&p) != 0) {
            struct chappe_message m = message("t", "x", 1);
            if (p.event.type != CHAPPE_EVENT_CONNECTED)
                continue;
            asked = chappe_client_subscribe(client, &s, 1, NO_PROPERTIES, NULL) == 0 &&
                    chappe_client_publish(client, &m, NULL) == 0;
            m.qos = 2;
            asked = asked && chappe_client_publish(client, &m, NULL) == 0;
        }
        peer_ignores(&p);
    }
    bool done = asked && chappe_client_state(client) == CHAPPE_CONNECTED &&
                chappe_client_queued(client) == 0;
    chappe_client_closed(client, 0);
    return done;
}

static void no_memory_is_survived_anywhere(void **state)
{
    struct chappe_client_options options = plain_5;
    options.client_id = NULL;
    options.properties = chappe_bytes("\x22\x00\x02", 3);
    options.topic_aliases_max = 2;
    bool done = false;
    for (uint64_t nth = 1; !done; nth++) {
        assert_true(nth < 1000);
        struct chappe_client *client = NULL;
        (void)memory_fail_at(nth);
        if (chappe_client_create(&options, &client) == 0)
            done = exchange(client);
        (void)memory_fail_at(0);
        chappe_client_destroy(client);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qos_0_goes_at_once_or_not_at_all),
        cmocka_unit_test(qos_1_is_done_with_puback),
        cmocka_unit_test(qos_2_is_done_with_pubcomp),
        cmocka_unit_test(a_pubrec_may_refuse),
        cmocka_unit_test(the_wrong_acknowledgement_is_a_breach),
        cmocka_unit_test(the_window_is_the_smaller_of_both_limits),
        cmocka_unit_test(what_was_not_acknowledged_is_sent_again),
        cmocka_unit_test(without_the_session_each_qos_keeps_its_promise),
        cmocka_unit_test(what_the_server_cannot_take_is_told),
        cmocka_unit_test(bad_messages_are_refused),
        cmocka_unit_test(the_queue_has_an_end),
        cmocka_unit_test(packet_identifiers_run_out_politely),
        cmocka_unit_test(topic_aliases_save_the_topic),
        cmocka_unit_test(received_messages_are_acknowledged_when_the_caller_returns),
        cmocka_unit_test(qos_2_state_outlives_the_connection_with_its_session),
        cmocka_unit_test(the_server_keeps_to_our_receive_maximum),
        cmocka_unit_test(the_caller_may_acknowledge_itself),
        cmocka_unit_test(incoming_aliases_are_resolved),
        cmocka_unit_test(disconnect_acknowledges_what_is_in_hand),
        cmocka_unit_test(any_chopping_gives_the_same_events),
        cmocka_unit_test(no_memory_is_survived_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
