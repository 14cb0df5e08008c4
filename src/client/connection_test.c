/* CONNECT to the end of the connection, keep alive, and Servers that misbehave. */
#include "client/test_peer.h"

/* --------------------------------------------------------------------------- CONNECT ------ */

static const struct chappe_message last_words = {
    { (const uint8_t *)"w", 1 }, { (const uint8_t *)"gone", 4 }, 1, true, false, { NULL, 0 }
};

static const struct {
    const char *what;
    struct chappe_client_options options;
    const char *hex;
} connects[] = {
    { "3.1 says MQIsdp",
      { .version = CHAPPE_MQTT_3_1, .client_id = "a", .clean_start = true, .keep_alive_s = 60 },
      "10 0f 0006 4d5149736470 03 02 003c 0001 61" },
    { "3.1.1 without an identifier",
      { .version = CHAPPE_MQTT_3_1_1, .clean_start = true },
      "10 0c 0004 4d515454 04 02 0000 0000" },
    { "3.1.1 with a will, user name and password",
      { .version = CHAPPE_MQTT_3_1_1,
        .client_id = "a",
        .username = "u",
        .password = { (const uint8_t *)"p", 1 },
        .will = &last_words },
      "10 1c 0004 4d515454 04 ec 0000 0001 61 0001 77 0004 676f6e65 0001 75 0001 70" },
    { "5.0 has properties, also in the will",
      { .client_id = "a", .keep_alive_s = 1, .will = &last_words },
      "10 18 0004 4d515454 05 2c 0001 00 0001 61 00 0001 77 0004 676f6e65" },
    { "5.0 may have a password without a user name",
      { .client_id = "a", .clean_start = true, .password = { (const uint8_t *)"", 0 } },
      "10 10 0004 4d515454 05 42 0000 00 0001 61 0000" },
    { "5.0 properties as they are given",
      { .clean_start = true,
        .properties = { (const uint8_t *)"\x21\x00\x05\x11\x00\x00\x00\x3c", 8 } },
      "10 15 0004 4d515454 05 02 0000 08 21 0005 11 0000003c 0000" },
};

static void connect_says_what_the_options_say(void **state)
{
    for (size_t i = 0; i < sizeof connects / sizeof connects[0]; i++) {
        struct peer p;
        peer_start(&p, &connects[i].options);
        assert_int_equal(chappe_client_state(p.client), CHAPPE_OFFLINE);
        assert_int_equal(chappe_client_connect(p.client, p.now_ns), 0);
        peer_hears(&p, connects[i].hex);
        assert_int_equal(chappe_client_state(p.client), CHAPPE_CONNECTING);
        assert_int_equal(chappe_client_connect(p.client, p.now_ns), -EISCONN);
        peer_end(&p);
    }
}

static const struct chappe_client_options bad_options[] = {
    { .version = 7 },
    { .version = CHAPPE_MQTT_3_1, .clean_start = true }, /* needs an identifier */
    { .version = CHAPPE_MQTT_3_1_1 },                    /* [MQTT3-3.1.3-7] */
    { .client_id = "\xff" },                             /* [MQTT-1.5.4-1] */
    { .version = CHAPPE_MQTT_3_1_1,
      .clean_start = true,
      .password = { (const uint8_t *)"p", 1 } }, /* [MQTT3-3.1.2-22] */
    { .version = CHAPPE_MQTT_3_1_1,
      .clean_start = true,
      .properties = { (const uint8_t *)"\x21\x00\x05", 3 } }, /* 3.x has no properties */
    { .properties = { (const uint8_t *)"\x21\x00\x00", 3 } }, /* Receive Maximum 0 */
    { .properties = { (const uint8_t *)"\x01\x00", 2 } },     /* not in CONNECT */
    { .will = &(struct chappe_message){ .topic = { (const uint8_t *)"a/#", 3 } } },
    { .will = &(struct chappe_message){ .topic = { (const uint8_t *)"a", 1 }, .qos = 3 } },
};

static void bad_options_are_refused(void **state)
{
    struct chappe_client *client;
    for (size_t i = 0; i < sizeof bad_options / sizeof bad_options[0]; i++)
        assert_int_equal(chappe_client_create(&bad_options[i], &client), -EINVAL);
}

/* ------------------------------------------------------------------------------- CONNACK ------ */

static void connack_tells_the_session_and_the_identifier(void **state)
{
    struct peer p;
    peer_start(&p, &(struct chappe_client_options){ .clean_start = true });
    peer_connect(&p, "20 08 00 00 05 12 0002 7878"); /* Assigned Client Identifier "xx" */
    assert_false(p.event.session_present);
    assert_string_equal(chappe_client_id(p.client), "xx");
    assert_int_equal(chappe_client_state(p.client), CHAPPE_CONNECTED);
    struct chappe_property property;
    assert_true(
        chappe_property_find(p.event.properties, CHAPPE_ASSIGNED_CLIENT_IDENTIFIER, &property));
    assert_text(property.value, "xx");

    /* The next connection uses it. */
    peer_breaks(&p);
    assert_int_equal(chappe_client_connect(p.client, p.now_ns), 0);
    peer_hears(&p, "10 0f 0004 4d515454 05 02 0000 00 0002 7878");
    peer_end(&p);
}

static void a_session_that_outlives_its_connection_is_resumed(void **state)
{
    struct peer p;
    peer_start(&p, &(struct chappe_client_options){
                       .client_id = "a",
                       .clean_start = true,
                       .properties = { (const uint8_t *)"\x11\x00\x00\x00\x3c", 5 } });
    assert_int_equal(chappe_client_connect(p.client, p.now_ns), 0);
    peer_hears(&p, "10 13 0004 4d515454 05 02 0000 05 11 0000003c 0001 61");
    peer_says(&p, "20 03 00 00 00");
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_CONNECTED);
    peer_breaks(&p);
    assert_int_equal(chappe_client_connect(p.client, p.now_ns), 0);
    peer_hears(&p, "10 13 0004 4d515454 05 00 0000 05 11 0000003c 0001 61");
    peer_says(&p, "20 03 01 00 00");
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_CONNECTED);
    assert_true(p.event.session_present);
    peer_end(&p);
}

static const struct {
    enum chappe_version version;
    const char *connack;
    int reason;
} refusals[] = {
    { CHAPPE_MQTT_3_1, "20 02 00 02", CHAPPE_CLIENT_IDENTIFIER_NOT_VALID },
    { CHAPPE_MQTT_3_1_1, "20 02 00 05", CHAPPE_NOT_AUTHORIZED },
    { CHAPPE_MQTT_5_0, "20 02 00 01", CHAPPE_UNSUPPORTED_PROTOCOL_VERSION }, /* as 3.1.1 says it */
    { CHAPPE_MQTT_5_0, "20 03 00 86 00", CHAPPE_BAD_USER_NAME_OR_PASSWORD },
    { CHAPPE_MQTT_5_0, "20 08 00 97 05 1f 0002 6e6f", CHAPPE_QUOTA_EXCEEDED },
};

static void a_refusal_is_told_once(void **state)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct peer p;
        peer_start(&p, &(struct chappe_client_options){
                           .version = refusals[i].version, .client_id = "a", .clean_start = true });
        assert_int_equal(chappe_client_connect(p.client, p.now_ns), 0);
        peer_ignores(&p);
        peer_says(&p, refusals[i].connack);
        assert_int_equal(peer_next(&p), CHAPPE_EVENT_REFUSED);
        assert_int_equal(p.event.reason, refusals[i].reason);
        assert_int_equal(chappe_client_state(p.client), CHAPPE_CLOSING);
        peer_hears(&p, "");
        chappe_client_closed(p.client, 0);
        assert_int_equal(peer_next(&p), 0);
        assert_int_equal(chappe_client_state(p.client), CHAPPE_OFFLINE);
        peer_end(&p);
    }
}

/* --------------------------------------------------------------------------- keep alive ------ */

static void a_quiet_connection_is_pinged(void **state)
{
    struct peer p;
    peer_start(&p, &(struct chappe_client_options){ .clean_start = true, .keep_alive_s = 10 });
    peer_connect(&p, "20 03 00 00 00");
    assert_int_equal(chappe_client_deadline_ns(p.client), p.now_ns + 10 * SECOND);
    p.now_ns += 9 * SECOND;
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "");
    p.now_ns += 1 * SECOND;
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "c0 00");
    peer_says(&p, "d0 00");
    assert_int_equal(peer_next(&p), 0);
    assert_int_equal(chappe_client_deadline_ns(p.client), p.now_ns + 10 * SECOND);

    /* Sending alone does not show that the Server lives: it is asked. */
    p.now_ns += 8 * SECOND;
    struct chappe_message message = { .topic = chappe_string("t") };
    assert_int_equal(chappe_client_publish(p.client, &message, NULL), 0);
    peer_hears(&p, "30 04 0001 74 00");
    p.now_ns += 2 * SECOND;
    assert_int_equal(peer_next(&p), 0);
    peer_hears(&p, "c0 00");

    /* No answer. */
    p.now_ns += 10 * SECOND;
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_DISCONNECTED);
    assert_int_equal(p.event.error, -ETIMEDOUT);
    assert_int_equal(chappe_client_state(p.client), CHAPPE_CLOSING);
    peer_end(&p);
}

static void server_keep_alive_replaces_ours(void **state)
{
    struct peer p;
    peer_start(&p, &(struct chappe_client_options){ .clean_start = true, .keep_alive_s = 10 });
    peer_connect(&p, "20 06 00 00 03 13 0003"); /* [MQTT-3.2.2-21] */
    assert_int_equal(chappe_client_deadline_ns(p.client), p.now_ns + 3 * SECOND);
    peer_end(&p);

    peer_start(&p, &(struct chappe_client_options){ .clean_start = true });
    peer_connect(&p, "20 03 00 00 00");
    assert_int_equal(chappe_client_deadline_ns(p.client), CHAPPE_NEVER); /* off */
    peer_end(&p);
}

static void a_server_that_says_nothing_times_out(void **state)
{
    struct peer p;
    peer_start(&p,
               &(struct chappe_client_options){ .clean_start = true, .connect_timeout_ms = 5000 });
    assert_int_equal(chappe_client_connect(p.client, p.now_ns), 0);
    peer_ignores(&p);
    p.now_ns += 5 * SECOND - 1;
    assert_int_equal(peer_next(&p), 0);
    p.now_ns += 1;
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_DISCONNECTED);
    assert_int_equal(p.event.error, -ETIMEDOUT);
    peer_end(&p);
}

/* ------------------------------------------------------------------------------- the end ------ */

static void disconnect_says_why_and_nothing_follows(void **state)
{
    struct peer p;
    peer_start(&p, &(struct chappe_client_options){ .clean_start = true });
    assert_int_equal(chappe_client_disconnect(p.client, CHAPPE_SUCCESS, NO_PROPERTIES), -ENOTCONN);
    peer_connect(&p, "20 03 00 00 00");
    assert_int_equal(chappe_client_disconnect(p.client, CHAPPE_NOT_AUTHORIZED + 1, NO_PROPERTIES),
                     -EINVAL); /* 0x88 is for CONNACK alone */
    assert_int_equal(chappe_client_disconnect(p.client, CHAPPE_DISCONNECT_WITH_WILL, NO_PROPERTIES),
                     0);
    assert_int_equal(chappe_client_state(p.client), CHAPPE_CLOSING);
    peer_says(&p, "30 04 0001 74 00");
    assert_int_equal(peer_next(&p), 0);
    struct chappe_message message = { .topic = chappe_string("t") };
    assert_int_equal(chappe_client_publish(p.client, &message, NULL), -ENOTCONN);
    peer_hears(&p, "e0 01 04");
    chappe_client_closed(p.client, 0);
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_DISCONNECTED);
    assert_int_equal(p.event.error, 0);
    assert_int_equal(peer_next(&p), 0);
    peer_end(&p);
}

static void a_server_may_disconnect(void **state)
{
    struct peer p;
    peer_start(&p, &(struct chappe_client_options){ .clean_start = true });
    peer_connect(&p, "20 03 00 00 00");
    peer_says(&p, "e0 08 8b 06 1f 0003 627965");
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_DISCONNECTED);
    assert_int_equal(p.event.error, 0);
    assert_int_equal(p.event.reason, CHAPPE_SERVER_SHUTTING_DOWN);
    struct chappe_property property;
    assert_true(chappe_property_find(p.event.properties, CHAPPE_REASON_STRING, &property));
    assert_text(property.value, "bye");
    peer_hears(&p, ""); /* no answer */
    peer_end(&p);
}

/* A Server that does not read: the client waits for it, but not for ever. */
static void closing_does_not_wait_for_ever(void **state)
{
    struct peer p;
    peer_start(&p, &(struct chappe_client_options){ .clean_start = true });
    peer_connect(&p, "20 03 00 00 00");
    assert_int_equal(chappe_client_disconnect(p.client, CHAPPE_SUCCESS, NO_PROPERTIES), 0);
    assert_int_equal(chappe_client_deadline_ns(p.client), p.now_ns + 30 * SECOND);
    p.now_ns += 30 * SECOND;
    assert_int_equal(peer_next(&p), 0);
    assert_int_equal(chappe_client_output(p.client).size, 0);
    assert_int_equal(chappe_client_deadline_ns(p.client), CHAPPE_NEVER);
    peer_end(&p);
}

/* ----------------------------------------------------------------------- hostile Servers ------ */

static const struct {
    const char *what;
    enum chappe_version version;
    const char *says; /* after CONNACK, or instead of it where `first` */
    bool first;
    int reason;
    const char *answer;
} breaches[] = {
    { "something before CONNACK", 5, "d0 00", true, CHAPPE_PROTOCOL_ERROR, "" },
    { "a second CONNACK", 5, "20 03 00 00 00", false, CHAPPE_PROTOCOL_ERROR, "e0 01 82" },
    { "a session where none was wanted", 5, "20 03 01 00 00", true, CHAPPE_PROTOCOL_ERROR, "" },
    { "CONNECT", 5, "10 0d 0004 4d515454 05 02 0000 00 0000", false, CHAPPE_PROTOCOL_ERROR,
      "e0 01 82" },
    { "SUBSCRIBE", 5, "82 06 0001 00 0001 61 00", false, CHAPPE_PROTOCOL_ERROR, "e0 01 82" },
    { "PINGREQ", 4, "c0 00", false, CHAPPE_PROTOCOL_ERROR, "" },
    { "DISCONNECT before 5.0", 4, "e0 00", false, CHAPPE_PROTOCOL_ERROR, "" },
    { "AUTH that nobody asked for", 5, "f0 06 18 04 15 0001 78", false, CHAPPE_PROTOCOL_ERROR,
      "e0 01 82" },
    { "type 0", 5, "00 00", false, CHAPPE_MALFORMED_PACKET, "e0 01 81" },
    { "a length of five bytes", 5, "30 ff ff ff ff 01", false, CHAPPE_MALFORMED_PACKET,
      "e0 01 81" },
    { "larger than we take", 5, "30 e9 07", false, CHAPPE_PACKET_TOO_LARGE, "e0 01 95" },
    { "QoS 3", 4, "36 06 0001 74 0001 78", false, CHAPPE_MALFORMED_PACKET, "" },
    { "a wildcard in a Topic Name", 5, "30 04 0001 23 00", false, CHAPPE_TOPIC_NAME_INVALID,
      "e0 01 90" },
    { "no UTF-8", 4, "30 03 0001 ff", false, CHAPPE_MALFORMED_PACKET, "" },
    { "packet identifier 0", 4, "32 05 0001 74 0000", false, CHAPPE_PROTOCOL_ERROR, "" },
    { "an alias we did not grant", 5, "30 07 0001 74 03 23 0001", false, CHAPPE_TOPIC_ALIAS_INVALID,
      "e0 01 94" },
};

static void a_breach_ends_the_connection(void **state)
{
    for (size_t i = 0; i < sizeof breaches / sizeof breaches[0]; i++) {
        struct peer p;
        peer_start(&p, &(struct chappe_client_options){ .version = breaches[i].version,
                                                        .clean_start = true,
                                                        .packet_size_max = 1000 });
        if (breaches[i].first) {
            assert_int_equal(chappe_client_connect(p.client, p.now_ns), 0);
            peer_ignores(&p);
        } else {
            peer_connect(&p, breaches[i].version == 5 ? "20 03 00 00 00" : "20 02 00 00");
        }
        peer_says(&p, breaches[i].says);
        assert_int_equal(peer_next(&p), CHAPPE_EVENT_DISCONNECTED);
        assert_int_equal(p.event.error, -EPROTO);
        assert_int_equal(p.event.reason, breaches[i].reason);
        peer_hears(&p, breaches[i].answer);
        assert_int_equal(chappe_client_state(p.client), CHAPPE_CLOSING);
        chappe_client_closed(p.client, 0);
        assert_int_equal(peer_next(&p), 0);
        peer_end(&p);
    }
}

/* ------------------------------------------------------------------------------------ AUTH ------
 */

static void authentication_goes_back_and_forth(void **state)
{
    struct peer p;
    peer_start(&p, &(struct chappe_client_options){
                       .clean_start = true,
                       .properties = { (const uint8_t *)"\x15\x00\x01x\x16\x00\x01?", 8 } });
    assert_int_equal(chappe_client_connect(p.client, p.now_ns), 0);
    peer_ignores(&p);
    peer_says(&p, "f0 0a 18 08 15 0001 78 16 0001 21");
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_AUTH);
    assert_int_equal(p.event.reason, CHAPPE_CONTINUE_AUTHENTICATION);
    struct chappe_property property;
    assert_true(chappe_property_find(p.event.properties, CHAPPE_AUTHENTICATION_DATA, &property));
    assert_text(property.value, "!");

    struct chappe_property_list list = { 0 };
    assert_int_equal(
        chappe_property_add_bytes(&list, CHAPPE_AUTHENTICATION_DATA, chappe_string("42")), 0);
    struct chappe_bytes bytes = chappe_property_list_bytes(&list);
    assert_int_equal(chappe_client_authenticate(p.client, CHAPPE_REAUTHENTICATE, bytes), -EINVAL);
    assert_int_equal(chappe_client_authenticate(p.client, CHAPPE_CONTINUE_AUTHENTICATION, bytes),
                     0);
    peer_hears(&p, "f0 0b 18 09 15 0001 78 16 0002 3432"); /* the method is added */
    peer_says(&p, "20 07 00 00 04 15 0001 78");
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_CONNECTED);
    assert_int_equal(chappe_client_authenticate(p.client, CHAPPE_REAUTHENTICATE, bytes), 0);
    peer_hears(&p, "f0 0b 19 09 15 0001 78 16 0002 3432");

    /* Another method than the one agreed on [MQTT-4.12.0-5]. */
    assert_int_equal(
        chappe_property_add_bytes(&list, CHAPPE_AUTHENTICATION_METHOD, chappe_string("y")), 0);
    assert_int_equal(chappe_client_authenticate(p.client, CHAPPE_REAUTHENTICATE,
                                                chappe_property_list_bytes(&list)),
                     -EINVAL);
    chappe_property_list_free(&list);
    peer_says(&p, "f0 06 18 04 15 0001 79");
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_DISCONNECTED);
    peer_end(&p);
}

/* ------------------------------------------------------------------------------------ trace ------
 */

static void note(void *context, const char *line)
{
    char *text = context;
    size_t used = strlen(text);
    snprintf(text + used, 1000 - used, "%s\n", line);
}

static void trace_speaks_as_mosquitto_does(void **state)
{
    char text[1000] = "";
    struct peer p;
    peer_start(&p, &(struct chappe_client_options){ .version = CHAPPE_MQTT_3_1_1,
                                                    .clean_start = true,
                                                    .trace = note,
                                                    .trace_context = text });
    peer_connect(&p, "20 02 00 00");
    struct chappe_subscription s = { chappe_string("a/#"), 2 };
    assert_int_equal(chappe_client_subscribe(p.client, &s, 1, NO_PROPERTIES, NULL), 0);
    peer_says(&p, "90 03 0001 02  34 09 0003 61 0a 62 0001 6869");
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_SUBSCRIBED);
    assert_int_equal(peer_next(&p), CHAPPE_EVENT_MESSAGE);
    peer_says(&p, "62 02 0001");
    assert_int_equal(peer_next(&p), 0);
    assert_int_equal(chappe_client_disconnect(p.client, CHAPPE_SUCCESS, NO_PROPERTIES), 0);
    assert_string_equal(text,
                        "Client (null) sending CONNECT\n"
                        "Client (null) received CONNACK (0)\n"
                        "Client (null) sending SUBSCRIBE (Mid: 1, Topic: a/#, QoS: 2, Options: "
                        "0x00)\n"
                        "Client (null) received SUBACK\n"
                        "Client (null) received PUBLISH (d0, q2, r0, m1, 'a?b', ... (2 bytes))\n"
                        "Client (null) sending PUBREC (m1, rc0)\n"
                        "Client (null) received PUBREL (Mid: 1)\n"
                        "Client (null) sending PUBCOMP (m1)\n"
                        "Client (null) sending DISCONNECT\n");
    peer_end(&p);
}

static void options_may_change_between_connections(void **state)
{
    struct peer p;
    peer_start(&p, &(struct chappe_client_options){ .client_id = "a", .clean_start = true });
    peer_connect(&p, "20 03 00 00 00");
    struct chappe_client_options other = { .client_id = "b", .clean_start = true };
    assert_int_equal(chappe_client_configure(p.client, &other), -EISCONN);
    peer_breaks(&p);
    assert_int_equal(chappe_client_configure(p.client, &bad_options[0]), -EINVAL);
    assert_int_equal(chappe_client_configure(p.client, &other), 0);
    assert_string_equal(chappe_client_id(p.client), "b");
    peer_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connect_says_what_the_options_say),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(connack_tells_the_session_and_the_identifier),
        cmocka_unit_test(a_session_that_outlives_its_connection_is_resumed),
        cmocka_unit_test(a_refusal_is_told_once),
        cmocka_unit_test(a_quiet_connection_is_pinged),
        cmocka_unit_test(server_keep_alive_replaces_ours),
        cmocka_unit_test(a_server_that_says_nothing_times_out),
        cmocka_unit_test(disconnect_says_why_and_nothing_follows),
        cmocka_unit_test(a_server_may_disconnect),
        cmocka_unit_test(closing_does_not_wait_for_ever),
        cmocka_unit_test(a_breach_ends_the_connection),
        cmocka_unit_test(authentication_goes_back_and_forth),
        cmocka_unit_test(trace_speaks_as_mosquitto_does),
        cmocka_unit_test(options_may_change_between_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
