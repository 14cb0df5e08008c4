/* admin/debug_tap_test.c: a conversation, and the lines it makes in the debug log. */
#include "admin/debug_tap.h"
#include "base/memory.h"
#include "broker/test_client.h"

enum { TEXT_SIZE = 8 * 1024 };

static struct test_client client;
static char lines[TEXT_SIZE]; /* of type debug, each with a newline */

static void write_line(struct log *log, enum log_type type, const char *line)
{
    size_t used = strlen(lines);
    if (type == LOG_TYPE_DEBUG)
        snprintf(lines + used, sizeof lines - used, "%s\n", line);
}

struct world {
    struct fuzz_world *fuzz;
    struct debug_tap *tap;
};

static void world_open(struct world *w)
{
    w->fuzz = test_world(TEST_CONFIG "receive_maximum 65535\nmax_topic_alias 0\n", 1);
    w->fuzz->log.write = write_line;
    w->tap = debug_tap_create(w->fuzz->server);
    assert_non_null(w->tap);
    lines[0] = '\0';
}

static void world_close(struct world *w)
{
    fuzz_world_stop(w->fuzz);
    debug_tap_destroy(w->tap);
    fuzz_world_destroy(w->fuzz);
}

static const struct {
    const char *say, *lines;
} rows[] = {
    { "10 { s'MQTT' 05 02 003c { } s'me' }", "Received CONNECT from 192.0.2.1:40000\n"
                                             "Sending CONNACK to me (0, 0)\n" },
    { "82 { 0001 { } s'a/#' 01 s'#/a' 02 }", "Received SUBSCRIBE from me\n"
                                             "\ta/# (QoS 1)\n"
                                             "\t#/a (QoS 2)\n"
                                             "Sending SUBACK to me\n" },
    { "3a { s'a/b' 0007 { } 'hello' }",
      "Received PUBLISH from me (d1, q1, r0, m7, 'a/b', ... (5 bytes))\n"
      "Sending PUBLISH to me (d0, q1, r0, m1, 'a/b', ... (5 bytes))\n"
      "Sending PUBACK to me (m7, rc0)\n" },
    { "40 { 0001 }", "Received PUBACK from me (m1, rc0)\n" },
    { "34 { s'b' 0008 { } }", "Received PUBLISH from me (d0, q2, r0, m8, 'b', ... (0 bytes))\n"
                              "Sending PUBREC to me (m8, rc16)\n" },
    { "62 { 0008 }", "Received PUBREL from me (m8, rc0)\nSending PUBCOMP to me (m8, rc0)\n" },
    { "30 { s'\x01' { } }", /* harmless for a terminal */
      "Received PUBLISH from me (d0, q0, r0, m0, '\\x01', ... (0 bytes))\n" },
    { "a2 { 0002 { } s'a/#' }", "Received UNSUBSCRIBE from me\nSending UNSUBACK to me\n" },
    { "c0 { }", "Received PINGREQ from me\nSending PINGRESP to me\n" },
    { "e0 { }", "Received DISCONNECT from me\n" },
};

static void test_conversation(void **state)
{
    struct world w;
    world_open(&w);
    debug_tap_enable(w.tap, true);
    test_open(&client, w.fuzz, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lines[0] = '\0';
        test_say(&client, rows[i].say);
        assert_string_equal(lines, rows[i].lines);
    }
    world_close(&w);
}

/* Nobody looks, nothing is written. */
static void test_off(void **state)
{
    struct world w;
    world_open(&w);
    test_connect(&client, w.fuzz, 0, VERSION_3_1_1, "me");
    assert_string_equal(lines, "");
    debug_tap_enable(w.tap, true);
    test_say(&client, "c0 { }");
    assert_string_equal(lines, "Received PINGREQ from me\nSending PINGRESP to me\n");
    debug_tap_enable(w.tap, false);
    test_say(&client, "c0 { }");
    assert_string_equal(lines, "Received PINGREQ from me\nSending PINGRESP to me\n");
    world_close(&w);
}

static void test_no_memory(void **state)
{
    struct fuzz_world *w = test_world(TEST_CONFIG, 1);
    (void)memory_fail_at(1);
    assert_null(debug_tap_create(w->server));
    (void)memory_fail_at(0);
    debug_tap_destroy(NULL);
    test_world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversation),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
