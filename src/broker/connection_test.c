/* broker/connection_test.c: how a connection begins, what ends it: the peer's limits, and ours; and
 * what large packets cost. */
#include "base/memory.h"
#include "broker/connection.h"
#include "broker/test_client.h"

static struct test_client client, publisher;

/* -------------------------------------------------------------------------------- beginning --- */

/* Each call of the network door is a system call. */
static void test_calls_to_begin(void **state)
{
    static const struct {
        const char *say;
        unsigned calls;
    } rows[] = {
        { "", 4 },                                      /* wait, accept, recv, watch */
        { "10 { s'MQTT' 04 02 0000 s'c' }", 5 },        /* ... and send */
        { "10 { s'MQTT' 04 02 0000 s'c' } e0 { }", 5 }, /* close, nothing to be watched */
        { "10 { s'MQTT' 04 00 0000 s'' }", 5 },         /* refused: likewise */
        { "c0 { }", 4 },                                /* refused without a word */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fuzz_world *w = test_world(TEST_CONFIG, 1);
        struct notation n;
        test_open(&client, w, 0);
        fuzz_link_write(client.link, notation_read(&n, rows[i].say));
        uint64_t before = w->door_calls;
        fuzz_world_turn(w, 0);
        assert_int_equal(w->door_calls - before, rows[i].calls);
        test_world_end(w);
    }
}

/* What comes alone is taken alone; a crowd in growing steps, that others may have their turns. */
static void test_crowd(void **state)
{
    enum { CROWD = 1000, STEP_MAX = 64, TURNS_MAX = 40 };
    static const struct fuzz_room room = { CROWD, 64, 64 };
    struct fuzz_world *w = fuzz_world_create_large(1, room);
    fuzz_world_configure(w, TEST_CONFIG);
    assert_int_equal(fuzz_world_start(w, 1), 0);
    unsigned listeners = w->stream_count;
    for (unsigned i = 0; i < CROWD; i++)
        assert_non_null(fuzz_link_open(w, 0));
    for (unsigned turns = 0, before = 0; before < CROWD; turns++) {
        fuzz_world_turn(w, 0);
        unsigned now = w->stream_count - listeners;
        assert_true(now > before && now - before <= (turns == 0 ? 1 : STEP_MAX));
        assert_true(turns < TURNS_MAX);
        before = now;
    }
    test_world_end(w);
}

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

/* As far as somebody takes them. */
static void say_to_whoever_listens(struct test_client *c, struct bytes bytes)
{
    for (size_t taken; (taken = fuzz_link_write(c->link, bytes)) > 0;) {
        bytes = bytes_after(bytes, taken);
        fuzz_world_settle(c->world);
    }
}

/* The nth allocation fails while a message of QoS 0 is sent: with a payload by copy or by
 * reference, with one identifier or several; one that is read in pieces, expected or not.  Whoever
 * does not get it whole is disconnected, at once, or the drop is counted. */
static void test_no_memory_to_send(void **state)
{
    static const size_t sizes[] = { 10, 10 * 1000, 40 * 1000, 40 * 1000 };
    static uint8_t packet[41 * 1000];
    for (size_t i = 0; i < 4; i++) {
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
            struct bytes whole = bytes_of(packet, (size_t)(at - packet) + sizes[i]);
            if (i == 3) {
                test_say_bytes(&publisher, whole);
                assert_true(is_heard_whole(&client));
            }
            (void)memory_fail_at(nth);
            say_to_whoever_listens(&publisher, whole);
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

/* ---------------------------------------------------------------------------- large packets --- */

enum { LARGEST = 1200 * 1024, STREAM_SIZE = 2 * LARGEST };

/* A PUBLISH to "a", with a payload that tells one from another. */
static struct bytes large_publish(enum version version, unsigned qos, size_t size, unsigned seed)
{
    static uint8_t packet[LARGEST + 32];
    bool has_properties = version_has_properties(version);
    packet[0] = (uint8_t)(0x30 | qos << 1);
    uint32_t remaining = (uint32_t)(3 + (qos > 0 ? 2 : 0) + has_properties + size);
    uint8_t *at = write_bytes(write_u16(write_varint(packet + 1, remaining), 1), BYTES("a"));
    if (qos > 0)
        at = write_u16(at, (uint16_t)(seed + 1));
    if (has_properties)
        *at++ = 0;
    for (size_t i = 0; i < size; i++)
        *at++ = (uint8_t)(seed + i * 7 + i / 251);
    return bytes_of(packet, (size_t)(at - packet));
}

static uint8_t heard[STREAM_SIZE];
static size_t heard_size;

static void listen_long(struct fuzz_link *link)
{
    size_t got;
    while ((got = fuzz_link_read(link, heard + heard_size, STREAM_SIZE - heard_size)) > 0)
        heard_size += got;
}

static void pass_on(struct bytes packet)
{
    uint8_t answers[64];
    size_t before;
    do {
        size_t taken = fuzz_link_write(publisher.link, packet);
        before = heard_size;
        packet = bytes_after(packet, taken);
        fuzz_world_settle(publisher.world);
        listen_long(client.link);
        while (fuzz_link_read(publisher.link, answers, sizeof answers) > 0)
            ;
    } while (packet.size > 0 || heard_size != before);
}

static void hear_publish(enum version version, struct bytes payload)
{
    struct frame frame;
    struct packet p;
    enum reason why;
    assert_int_equal(frame_decode(bytes_of(heard, heard_size), &frame), DECODE_DONE);
    assert_int_equal(frame.size, heard_size); /* and nothing else */
    assert_int_equal(packet_decode(bytes_of(heard, heard_size), version, &p, &why), DECODE_DONE);
    assert_int_equal(p.type, PACKET_PUBLISH);
    assert_true(bytes_equal(p.publish.topic, BYTES("a")));
    assert_true(bytes_equal(p.publish.payload, payload));
    heard_size = 0;
    if (p.publish.qos > 0) {
        uint8_t ack[] = { 0x40, 2, (uint8_t)(p.publish.packet_id >> 8),
                          (uint8_t)p.publish.packet_id };
        assert_int_equal(fuzz_link_write(client.link, bytes_of(ack, sizeof ack)), sizeof ack);
    }
}

/* Whatever their sizes, whatever was expected, however they are chopped: they arrive as they were
 * sent. */
static void test_large_messages(void **state)
{
    static const size_t sizes[] = { 65536,  65536, 65536,   10,    65536, 30000, 3000, 3000,
                                    100000, 20,    LARGEST, 20000, 21000, 5000,  65530 };
    static const struct {
        enum version from, to;
        unsigned qos;
        size_t recv_max;
        const char *subscribe;
    } rows[] = {
        { VERSION_3_1_1, VERSION_3_1_1, 0, 0, "82 { 0001 s'a' 00 }" },
        { VERSION_3_1_1, VERSION_3_1_1, 0, 1448, "82 { 0001 s'a' 00 }" },
        { VERSION_3_1_1, VERSION_3_1_1, 0, 40000, "82 { 0001 s'a' 00 }" },
        { VERSION_3_1_1, VERSION_5_0, 0, 0, "82 { 0001 { } s'a' 00 }" },
        { VERSION_5_0, VERSION_5_0, 0, 30000, "82 { 0001 { } s'a' 00 }" },
        { VERSION_5_0, VERSION_5_0, 0, 0, "82 { 0001 { 0b07 } s'a' 00 }" },
        { VERSION_5_0, VERSION_3_1_1, 0, 65536, "82 { 0001 s'a' 00 }" },
        { VERSION_3_1_1, VERSION_3_1_1, 1, 0, "82 { 0001 s'a' 01 }" },
        { VERSION_5_0, VERSION_5_0, 1, 10000, "82 { 0001 { } s'a' 01 }" },
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct fuzz_room room = { 4, 400 * 1024, 400 * 1024 };
        struct fuzz_world *w = fuzz_world_create_large(1, room);
        fuzz_world_configure(w, TEST_CONFIG);
        assert_int_equal(fuzz_world_start(w, 1), 0);
        test_connect(&client, w, 0, rows[r].to, "c");
        test_connect(&publisher, w, 0, rows[r].from, "publisher");
        test_say(&client, rows[r].subscribe);
        struct packet p;
        assert_true(test_hear_any(&client, rows[r].to, &p) && p.type == PACKET_SUBACK);
        publisher.link->recv_max = rows[r].recv_max;
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct bytes packet = large_publish(rows[r].from, rows[r].qos, sizes[i], i);
            pass_on(packet);
            hear_publish(rows[r].to, bytes_after(packet, packet.size - sizes[i]));
        }
        test_world_end(w);
    }
}

/* Several in one read, and the start of another. */
static void test_messages_read_together(void **state)
{
    static uint8_t all[64 * 1024];
    struct fuzz_room room = { 4, 400 * 1024, 400 * 1024 };
    struct fuzz_world *w = fuzz_world_create_large(1, room);
    fuzz_world_configure(w, TEST_CONFIG);
    assert_int_equal(fuzz_world_start(w, 1), 0);
    test_connect(&client, w, 0, VERSION_3_1_1, "c");
    test_connect(&publisher, w, 0, VERSION_3_1_1, "publisher");
    test_say(&client, "82 { 0001 s'a' 00 }");
    test_hear(&client, "90 { 0001 00 }");
    for (size_t size = 500; size < 30000; size = size * 5 / 3) {
        size_t count = 0, used = 0;
        for (struct bytes p; p = large_publish(VERSION_3_1_1, 0, size, (unsigned)count),
                             sizeof all - used >= p.size;
             used += p.size, count++)
            memcpy(all + used, p.data, p.size);
        assert_int_equal(fuzz_link_write(publisher.link, bytes_of(all, used)), used);
        pass_on((struct bytes){ 0 });
        assert_true(bytes_equal(bytes_of(heard, heard_size), bytes_of(all, used)));
        heard_size = 0;
    }
    test_world_end(w);
}

/* Who does not read does not keep what was read for everybody: it is his own by the end of the
 * turn, and comes when he does. */
static void test_slow_reader(void **state)
{
    struct fuzz_world *w = test_world(TEST_CONFIG, 1);
    test_connect(&client, w, 0, VERSION_3_1_1, "c");
    test_connect(&publisher, w, 0, VERSION_3_1_1, "publisher");
    test_say(&client, "82 { 0001 s'a' 00 }");
    test_hear(&client, "90 { 0001 00 }");
    client.link->window = 5000;
    for (unsigned i = 0; i < 10; i++) {
        test_say_bytes(&publisher, large_publish(VERSION_3_1_1, 0, 2000, i));
        assert_true(block_is_unshared(&w->server->workers[0]->input->block));
    }
    client.link->window = SIZE_MAX;
    for (unsigned i = 0; i < 10; i++) {
        struct bytes expected = large_publish(VERSION_3_1_1, 0, 2000, i);
        test_listen(&client);
        assert_true(bytes_start_with(bytes_of(client.in, client.size), expected));
        test_forget(&client, expected.size);
    }
    test_hear_nothing(&client);
    test_world_end(w);
}

/* Several publishers are read in one turn, and nobody may send yet: what was read first stays as it
 * was until it has been copied. */
static void test_read_in_one_turn(void **state)
{
    enum { PUBLISHERS = 7, EACH = 28 };
    static struct test_client publishers[PUBLISHERS];
    struct fuzz_room room = { PUBLISHERS + 1, 100 * 1024, 1024 * 1024 };
    struct fuzz_world *w = fuzz_world_create_large(1, room);
    unsigned count = 0;
    fuzz_world_configure(w, TEST_CONFIG);
    assert_int_equal(fuzz_world_start(w, 1), 0);
    test_connect(&client, w, 0, VERSION_3_1_1, "c");
    test_say(&client, "82 { 0001 s'a' 00 }");
    test_hear(&client, "90 { 0001 00 }");
    client.link->window = 0;
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        char id[] = { (char)('1' + i), 0 };
        test_connect(&publishers[i], w, 0, VERSION_3_1_1, id);
    }
    for (unsigned i = 0; i < PUBLISHERS; i++)
        for (unsigned j = 0; j < EACH; j++) {
            struct bytes packet = large_publish(VERSION_3_1_1, 0, 2000, i * EACH + j);
            assert_int_equal(fuzz_link_write(publishers[i].link, packet), packet.size);
        }
    fuzz_world_settle(w);
    client.link->window = SIZE_MAX;
    fuzz_world_settle(w);
    listen_long(client.link);
    struct bytes rest = bytes_of(heard, heard_size);
    bool seen[PUBLISHERS * EACH] = { false };
    for (; rest.size > 0; count++) {
        uint8_t seed = rest.data[6]; /* the first byte of the payload */
        struct bytes expected = large_publish(VERSION_3_1_1, 0, 2000, seed);
        assert_false(seen[seed]);
        seen[seed] = true;
        assert_true(bytes_start_with(rest, expected));
        rest = bytes_after(rest, expected.size);
    }
    assert_int_equal(count, PUBLISHERS * EACH);
    heard_size = 0;
    test_world_end(w);
}

/* A packet may go to the next one as it came, but not if it would have been written differently. */
#define P100                                                                                       \
    "78797879787978797879787978797879787978797879787978797879787978797879787978797879787978797879" \
    "78"                                                                                           \
    "79787978797879787978797879787978797879787978797879787978797879787978797879787978797879787978" \
    "79 "
#define PAYLOAD P100 P100 P100 P100 P100 P100 P100 P100 P100 P100 P100 P100

static void test_as_it_came(void **state)
{
    static const struct {
        enum version from, to;
        const char *properties, *subscribe, *said, *heard;
    } rows[] = {
        { VERSION_3_1_1, VERSION_3_1_1, "", "82 { 0001 s'a' 00 }", "30 { s'a' " PAYLOAD "}",
          "30 { s'a' " PAYLOAD "}" },
        { VERSION_5_0, VERSION_5_0, "", "82 { 0001 { } s'a' 00 }",
          "30 { s'a' { 01 01 26 s'k' s'v' } " PAYLOAD "}",
          "30 { s'a' { 01 01 26 s'k' s'v' } " PAYLOAD "}" },
        /* other versions, another QoS, another RETAIN flag */
        { VERSION_5_0, VERSION_3_1_1, "", "82 { 0001 s'a' 00 }", "30 { s'a' { 01 01 } " PAYLOAD "}",
          "30 { s'a' " PAYLOAD "}" },
        { VERSION_3_1_1, VERSION_5_0, "", "82 { 0001 { } s'a' 00 }", "30 { s'a' " PAYLOAD "}",
          "30 { s'a' { } " PAYLOAD "}" },
        { VERSION_3_1_1, VERSION_3_1_1, "", "82 { 0001 s'a' 00 }", "32 { s'a' 0001 " PAYLOAD "}",
          "30 { s'a' " PAYLOAD "}" },
        { VERSION_3_1_1, VERSION_3_1_1, "", "82 { 0001 s'a' 00 }", "31 { s'a' " PAYLOAD "}",
          "30 { s'a' " PAYLOAD "}" },
        { VERSION_5_0, VERSION_5_0, "", "82 { 0001 { } s'a' 08 }", "31 { s'a' { } " PAYLOAD "}",
          "31 { s'a' { 02 0000003c } " PAYLOAD "}" },
        /* what is said to each receiver anew */
        { VERSION_5_0, VERSION_5_0, "", "82 { 0001 { 0b07 } s'a' 00 }",
          "30 { s'a' { } " PAYLOAD "}", "30 { s'a' { 0b07 } " PAYLOAD "}" },
        { VERSION_5_0, VERSION_5_0, "", "82 { 0001 { } s'a' 00 }",
          "30 { s'a' { 02 0000000a 01 01 } " PAYLOAD "}",
          "30 { s'a' { 02 0000000a 01 01 } " PAYLOAD "}" },
        { VERSION_5_0, VERSION_5_0, "", "82 { 0001 { } s'a' 00 }",
          "30 { s'a' { 23 0001 } " PAYLOAD "} 30 { s'' { 23 0001 } 'b' }",
          "30 { s'a' { } " PAYLOAD "} 30 { s'a' { } 'b' }" },
        { VERSION_5_0, VERSION_5_0, "22 0005", "82 { 0001 { } s'a' 00 }",
          "30 { s'a' { } " PAYLOAD "}", "30 { s'a' { 23 0001 } " PAYLOAD "}" },
        /* more than he takes */
        { VERSION_5_0, VERSION_5_0, "27 00000040", "82 { 0001 { } s'a' 00 }",
          "30 { s'a' { } " PAYLOAD "} 30 { s'a' { } 'b' }", "30 { s'a' { } 'b' }" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fuzz_world *w =
            test_world(TEST_CONFIG "max_topic_alias_broker 5\nretain_expiry_interval 1\n", 1);
        struct packet p;
        char connect[128];
        test_connect(&publisher, w, 0, rows[i].from, "publisher");
        test_open(&client, w, 0);
        snprintf(connect, sizeof connect,
                 rows[i].to == VERSION_5_0 ? "10 { s'MQTT' 05 02 0000 { %s } s'c' }"
                                           : "10 { s'MQTT' 04 02 0000 %s s'c' }",
                 rows[i].properties);
        test_say(&client, connect);
        assert_true(test_hear_any(&client, rows[i].to, &p) && p.type == PACKET_CONNACK);
        test_say(&client, rows[i].subscribe);
        assert_true(test_hear_any(&client, rows[i].to, &p) && p.type == PACKET_SUBACK);
        test_say(&publisher, rows[i].said);
        test_hear(&client, rows[i].heard);
        test_hear_nothing(&client);
        test_world_end(w);
    }
}

/* A header may promise what it likes, and a peer may have sent large packets before: what is kept
 * is at most four times what came, and nothing when the peer goes. */
static void test_promises_cost_nothing(void **state)
{
    enum { OF_ITS_OWN = 200 };
    static const size_t before[] = { 0, 65536, LARGEST }, came[] = { 1, 3, 10, 5000, 300000 };
    static uint8_t promise[300000] = { 0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'a' };
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 5; j++) {
            struct fuzz_world *w = test_world(TEST_CONFIG "max_packet_size 268435460\n", 1);
            test_connect(&client, w, 0, VERSION_3_1_1, "publisher"); /* pools are filled */
            fuzz_link_finish(client.link);
            fuzz_world_settle(w);
            size_t without = memory_used();
            test_connect(&publisher, w, 0, VERSION_3_1_1, "publisher");
            if (before[i] > 0)
                test_say_bytes(&publisher, large_publish(VERSION_3_1_1, 0, before[i], 0));
            size_t idle = memory_used();
            test_say_bytes(&publisher, bytes_of(promise, came[j]));
            assert_in_range(memory_used(), idle + 1, idle + came[j] * 4 + OF_ITS_OWN);
            fuzz_link_finish(publisher.link);
            fuzz_world_settle(w);
            assert_true(fuzz_link_is_over(publisher.link));
            assert_int_equal(memory_used(), without);
            test_world_end(w);
        }
    assert_in_range(memory_used_max(), 0, 16 * 1024 * 1024); /* nor for a moment */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_to_begin),         cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_answers_too_large),      cmocka_unit_test(test_message_too_large),
        cmocka_unit_test(test_no_memory_to_send),      cmocka_unit_test(test_large_messages),
        cmocka_unit_test(test_messages_read_together), cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_read_in_one_turn),       cmocka_unit_test(test_as_it_came),
        cmocka_unit_test(test_promises_cost_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
