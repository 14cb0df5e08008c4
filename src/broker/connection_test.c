/* broker/connection_test.c: what ends a connection: the peer's limits, and ours. */
#include "base/memory.h"
#include "broker/connection.h"
#include "broker/test_client.h"

static struct test_client client, publisher;

/* ------------------------------------------------------------------- Maximum Packet Size ------ */

/* An answer larger than the Client takes is not sent [MQTT-3.1.2-24]: Reason Strings are left out
 * first; an answer that is too large even so ends the connection. */
#define CONNACK "20 { 00 00 { 27 001e8480 } } "
#define FIVE    "s'a' 00 s'b' 00 s'c' 00 s'd' 00 s'e' 00 "

static void test_answers_too_large(void **state)
{
    static const struct {
        unsigned maximum;
        const char *say, *heard;
        bool is_over;
    } rows[] = {
        { 9, "c0 { }", "", true }, /* CONNACK has ten bytes */
        { 10, "c0 { }", CONNACK "d0 { }", false },
        { 10, "82 { 0001 { } " FIVE "}", CONNACK "90 { 0001 { } 0000000000 }", false },
        { 10, "82 { 0001 { } " FIVE "s'f' 00 }", CONNACK, true },
        { 11, "82 { 0001 { } " FIVE "s'f' 00 }", CONNACK "90 { 0001 { } 000000000000 }", false },
        { 10, "82 { 0001 { } s'#/a' 00 }", CONNACK "90 { 0001 { } 8f }", false }, /* no words */
        { 50, "82 { 0001 { } s'#/a' 00 }", CONNACK "90 { 0001 { 1f s'Topic Filter invalid' } 8f }",
          false },
        { 10, "30 { s'a' { 23 ffff } }", CONNACK "e0 { 94 }", true },
        { 50, "30 { s'a' { 23 ffff } }", CONNACK "e0 { 94 { 1f s'Topic Alias invalid' } }", true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fuzz_world *w = test_world(
            TEST_CONFIG "reason_strings true\nmax_topic_alias 0\nreceive_maximum 65535\n", 1);
        char text[240];
        test_open(&client, w, 0);
        snprintf(text, sizeof text, "10 { s'MQTT' 05 02 0000 { 27 %08x } s'c' } %s",
                 rows[i].maximum, rows[i].say);
        test_say(&client, text);
        test_hear(&client, rows[i].heard);
        test_hear_nothing(&client);
        assert_int_equal(fuzz_link_is_over(client.link), rows[i].is_over);
        test_world_end(w);
    }
}

/* A message larger than the Client takes is dropped, and everything goes on [MQTT-3.1.2-25]. */
static void test_message_too_large(void **state)
{
    struct fuzz_world *w = test_world(TEST_CONFIG "max_topic_alias_broker 5\n", 1);
    struct packet p;
    test_open(&client, w, 0);
    test_say(&client, "10 { s'MQTT' 05 02 0000 { 27 00000020 22 0005 21 0001 } s'c' }");
    assert_true(test_hear_any(&client, VERSION_5_0, &p) && p.type == PACKET_CONNACK);
    test_say(&client, "82 { 0001 { } s'#' 01 }");
    test_hear(&client, "90 { 0001 { } 01 }");
    test_connect(&publisher, w, 0, VERSION_3_1_1, "publisher");
    test_say(&publisher, "32 { s'a' 0001 'much more than thirty-two bytes of payload' }"
                         "32 { s'b' 0002 'small' }");
    test_hear(&publisher, "40 { 0001 } 40 { 0002 }");
    /* the window has room again, and the alias was not spent */
    test_hear(&client, "32 { s'b' 0002 { 23 0001 } 'small' }");
    test_hear_nothing(&client);
    assert_int_equal(server_drops(w->server, DROP_TOO_LARGE), 1);
    test_world_end(w);
}

/* -------------------------------------------------------------------------------- no memory --- */

static bool is_heard_whole(struct test_client *c)
{
    struct packet p;
    while (test_hear_any(c, VERSION_5_0, &p))
        if (p.type == PACKET_PUBLISH)
            return true;
    return false;
}

/* The nth allocation fails while a message of QoS 0 is sent: with a payload by copy or by
 * reference, with one identifier or several.  Whoever does not get it whole is disconnected, at
 * once, or the drop is counted. */
static void test_no_memory_to_send(void **state)
{
    static const size_t sizes[] = { 10, 10 * 1000 };
    static uint8_t packet[11 * 1000];
    for (size_t i = 0; i < 2; i++) {
        bool was_reached = true;
        for (uint64_t nth = 1; was_reached; nth++) {
            struct fuzz_world *w = test_world(TEST_CONFIG "allow_duplicate_messages false\n", 1);
            test_connect(&client, w, 0, VERSION_5_0, "c");
            test_connect(&publisher, w, 0, VERSION_3_1_1, "publisher");
            test_say(&client, "82 { 0001 { 0b01 } s'a' 00 } 82 { 0002 { 0b02 } s'+' 00 }");
            test_hear(&client, "90 { 0001 { } 00 } 90 { 0002 { } 00 }");

            packet[0] = 0x30;
            uint8_t *at = write_varint(packet + 1, (uint32_t)(3 + sizes[i]));
            at = write_bytes(write_u16(at, 1), BYTES("a"));
            (void)memory_fail_at(nth);
            test_say_bytes(&publisher, bytes_of(packet, (size_t)(at - packet) + sizes[i]));
            was_reached = memory_fail_at(0) >= nth;
            bool arrived = is_heard_whole(&client);
            bool is_over = fuzz_link_is_over(client.link);
            bool publisher_is_over = fuzz_link_is_over(publisher.link);
            assert_true(arrived || is_over || publisher_is_over ||
                        server_drops(w->server, DROP_NO_MEMORY) > 0);
            if (!was_reached)
                assert_true(arrived && !is_over);
            test_world_end(w);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_too_large),
        cmocka_unit_test(test_message_too_large),
        cmocka_unit_test(test_no_memory_to_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
