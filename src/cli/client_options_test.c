/* The command line of pub and sub. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/client_options.h"
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 64 };

/* Splits at blanks; 'quotes' are not known.  *copy is to be freed. */
static int split(const char *line, char **words, char **copy)
{
    int count = 0;
    words[count++] = (char *)"tool";
    *copy = strdup(line);
    for (char *at = strtok(*copy, " "); at != NULL; at = strtok(NULL, " ")) {
        assert_true(count < WORDS_MAX);
        words[count++] = at;
    }
    words[count] = NULL;
    return count;
}

struct fixture {
    struct client_options o;
    struct buffer error;
    char *copy;
};

static enum options_result parse(struct fixture *f, enum client_tool tool, const char *line)
{
    char *words[WORDS_MAX + 1];
    memset(f, 0, sizeof *f);
    client_options_init(&f->o, tool, "tool");
    int count = split(line, words, &f->copy);
    enum options_result result = client_options_parse(&f->o, count, words, &f->error);
    return result == OPTIONS_RUN ? client_options_finish(&f->o, &f->error) : result;
}

static void end(struct fixture *f)
{
    client_options_fini(&f->o);
    buffer_fini(&f->error);
    free(f->copy);
}

static void pub_options_are_stored(void **state)
{
    struct fixture f;
    assert_int_equal(parse(&f, TOOL_PUB,
                           "-h example.org -p 1884 -t a/b -m text -q 2 -r -i me -u user -P secret "
                           "-k 30 -V 31 -M 5 --repeat 3 --repeat-delay 0.5 -A 127.0.0.1 --nodelay "
                           "--will-topic w --will-payload gone --will-qos 1 --will-retain -d "
                           "--quiet -c"),
                     OPTIONS_RUN);
    assert_string_equal(f.o.host, "example.org");
    assert_int_equal(f.o.port, 1884);
    assert_int_equal(f.o.topics.count, 1);
    assert_string_equal(f.o.topics.items[0], "a/b");
    assert_int_equal(f.o.source, PAYLOAD_TEXT);
    assert_string_equal(f.o.text, "text");
    assert_int_equal(f.o.qos, 2);
    assert_string_equal(f.o.client_id, "me");
    assert_string_equal(f.o.username, "user");
    assert_string_equal(f.o.password, "secret");
    assert_int_equal(f.o.keep_alive_s, 30);
    assert_int_equal(f.o.version, CHAPPE_MQTT_3_1);
    assert_int_equal(f.o.max_inflight, 5);
    assert_int_equal(f.o.repeat, 3);
    assert_int_equal(f.o.repeat_delay_ns, 500000000);
    assert_string_equal(f.o.bind_address, "127.0.0.1");
    assert_string_equal(f.o.will_topic, "w");
    assert_string_equal(f.o.will_payload, "gone");
    assert_int_equal(f.o.will_qos, 1);
    assert_true(f.o.retain && f.o.nodelay && f.o.will_retain && f.o.debug && f.o.quiet &&
                f.o.keep_session);
    end(&f);
}

static void sub_options_are_stored(void **state)
{
    struct fixture f;
    assert_int_equal(parse(&f, TOOL_SUB,
                           "-t a -t b/# -T c -U d -C 3 -W 9 -E -F %t --pretty -N -v -V mqttv5 -R "
                           "--retain-as-published --retain-handling new --random-filter 12.5 "
                           "--remove-retained -w --message-rate --topic e"),
                     OPTIONS_RUN);
    assert_int_equal(f.o.topics.count, 3);
    assert_string_equal(f.o.filter_outs.items[0], "c");
    assert_string_equal(f.o.unsubscribes.items[0], "d");
    assert_int_equal(f.o.count_max, 3);
    assert_int_equal(f.o.timeout_s, 9);
    assert_string_equal(f.o.format, "%t");
    assert_int_equal(f.o.retain_handling, CHAPPE_RETAIN_SEND_IF_NEW);
    assert_true(f.o.random_percent == 12.5);
    assert_true(f.o.exit_after_sub && f.o.pretty && f.o.no_newline && f.o.verbose &&
                f.o.no_retained && f.o.retain_as_published && f.o.remove_retained && f.o.watch &&
                f.o.message_rate);
    assert_int_equal(f.o.port, 1883); /* the default */
    end(&f);
}

static const struct {
    enum client_tool tool;
    const char *line, *error;
} faults[] = {
    { TOOL_PUB, "", "Both topic and message must be supplied." },
    { TOOL_PUB, "-t a", "Both topic and message must be supplied." },
    { TOOL_SUB, "", "You must specify a topic to subscribe to." },
    { TOOL_PUB, "-t", "-t argument given but no topic specified." },
    { TOOL_PUB, "--topic", "-t argument given but no topic specified." },
    { TOOL_PUB, "--foo", "Unknown option '--foo'." },
    { TOOL_PUB, "-C 3", "Unknown option '-C'." }, /* sub's */
    { TOOL_SUB, "-m x", "Unknown option '-m'." }, /* pub's */
    { TOOL_PUB, "-q 3", "Invalid QoS given: 3" },
    { TOOL_PUB, "-q x", "Invalid QoS given: x" },
    { TOOL_PUB, "-p 70000", "Invalid port given: 70000" },
    { TOOL_PUB, "-k 3", "Invalid keepalive given, it must be between 5 and 65535 inclusive." },
    { TOOL_PUB, "-V 6", "Invalid protocol version argument given." },
    { TOOL_PUB, "-m x -n", "Only one type of message can be sent at once." },
    { TOOL_PUB, "--repeat 0", "--repeat argument must be >0." },
    { TOOL_PUB, "--repeat-delay -1", "--repeat-delay argument must be >=0.0." },
    { TOOL_PUB, "--repeat-delay nan", "--repeat-delay argument must be >=0.0." },
    { TOOL_PUB, "-t a/+", "Invalid publish topic 'a/+', does it contain '+' or '#'?" },
    { TOOL_PUB, "-t \xff", "Malformed UTF-8 in -t argument." },
    { TOOL_SUB, "-t a#",
      "Invalid subscription topic 'a#', are all '+' and '#' wildcards correct?" },
    { TOOL_SUB, "-t $share/g",
      "Invalid subscription topic '$share/g', are all '+' and '#' wildcards correct?" },
    { TOOL_SUB, "-T a#", "Invalid filter topic 'a#', are all '+' and '#' wildcards correct?" },
    { TOOL_SUB, "-C 0", "Invalid message count \"0\"." },
    { TOOL_SUB, "-W 0", "Invalid timeout \"0\"." },
    { TOOL_SUB, "-F %y", "Invalid format specifier 'y'." },
    { TOOL_SUB, "-F %", "Incomplete format specifier." },
    { TOOL_SUB, "--random-filter 0", "--random-filter chance must be between 0.1-100.0" },
    { TOOL_SUB, "-t a -R --retained-only", "Combining '-R' and '--retained-only' makes no sense." },
    { TOOL_PUB, "-t a -m x -i a -I b", "-i and -I argument cannot be used together." },
    { TOOL_PUB, "-t a -m x -c", "You must provide a client id if you are using the -c option." },
    { TOOL_PUB, "-t a -m x -V 5 -x -1",
      "You must provide a client id if you are using an infinite session expiry interval." },
    { TOOL_PUB, "-x 4294967296", "session-expiry-interval out of range." },
    { TOOL_PUB, "-x abc", "session-expiry-interval not a number." },
    { TOOL_PUB, "-t a -m x --will-payload p", "Will payload given, but no will topic given." },
    { TOOL_PUB, "--will-topic #", "Invalid will topic '#', does it contain '+' or '#'?" },
    { TOOL_PUB, "-t a -m x -P p", "A password needs a username (-u)." },

    /* What this build cannot do is refused, not forgotten. */
    { TOOL_PUB, "--cafile ca.pem", "TLS is not available in this build yet: --cafile is refused." },
    { TOOL_SUB, "--insecure", "TLS is not available in this build yet: --insecure is refused." },
    { TOOL_SUB, "--psk 00", "TLS is not available in this build yet: --psk is refused." },
    { TOOL_SUB, "--ws", "WebSocket is not available in this build yet: --ws is refused." },
    { TOOL_SUB, "-L mqtts://h/t",
      "TLS is not available in this build yet: mqtts:// URLs are refused." },
    { TOOL_SUB, "-t a -p 8883",
      "TLS is not available in this build yet: port 8883 is refused without --no-tls." },

    { TOOL_SUB, "-L http://h/t", "unsupported URL scheme." },
    { TOOL_SUB, "-L mqtt://h", "Invalid URL for -L argument specified - topic missing." },
    { TOOL_SUB, "-L mqtt://h:0/t", "Invalid port given: 0" },

    { TOOL_PUB, "-D", "--property argument given but not enough arguments specified." },
    { TOOL_PUB, "-D publish user-property k",
      "--property argument given but not enough arguments specified." },
    { TOOL_PUB, "-D foo topic-alias 1", "Invalid command given in --property argument." },
    { TOOL_PUB, "-D publish foo 1", "Invalid property name given in --property argument." },
    { TOOL_PUB, "-D publish session-expiry-interval 1",
      "session-expiry-interval property not allowed for publish in --property argument." },
    { TOOL_PUB, "-D puback reason-string x",
      "reason-string property not supported for puback in --property argument." },
    { TOOL_PUB, "-D publish topic-alias 70000",
      "Property value (70000) out of range for property topic-alias." },
    { TOOL_PUB, "-t a -m x -D publish content-type a -D publish content-type b",
      "PUBLISH properties: one of them twice, with a forbidden value, or without another that it "
      "needs (Protocol Error)." },
};

static void faults_are_named(void **state)
{
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct fixture f;
        assert_int_equal(parse(&f, faults[i].tool, faults[i].line), OPTIONS_BAD);
        if (!bytes_equal(buffer_bytes(&f.error), bytes_of_string(faults[i].error)))
            fail_msg("%s: %.*s", faults[i].line, (int)f.error.size, (const char *)f.error.data);
        end(&f);
    }
}

static void help_and_version_come_first(void **state)
{
    struct fixture f;
    assert_int_equal(parse(&f, TOOL_SUB, "--help --nonsense"), OPTIONS_HELP);
    end(&f);
    assert_int_equal(parse(&f, TOOL_PUB, "--version"), OPTIONS_VERSION);
    end(&f);
}

static const struct {
    const char *url, *host, *username, *password, *topic;
    int port;
} urls[] = {
    { "mqtt://h/t", "h", NULL, NULL, "t", 1883 },
    { "MQTT://h:1884/a/b", "h", NULL, NULL, "a/b", 1884 },
    { "mqtt://u@h/t", "h", "u", NULL, "t", 1883 },
    { "mqtt://u:p@h:1885/t", "h", "u", "p", "t", 1885 },
    { "mqtt://u:p@ss:word@h/t@x:1", "h", "u", "p@ss:word", "t@x:1", 1883 },
    { "mqtt://[::1]:1886/t", "::1", NULL, NULL, "t", 1886 },
    { "mqtt://[fe80::1]/t", "fe80::1", NULL, NULL, "t", 1883 },
};

static void assert_same(const char *got, const char *wanted)
{
    assert_int_equal(got == NULL, wanted == NULL);
    if (wanted != NULL)
        assert_string_equal(got, wanted);
}

static void urls_are_taken_apart(void **state)
{
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        char line[100];
        struct fixture f;
        (void)snprintf(line, sizeof line, "-L %s", urls[i].url);
        assert_int_equal(parse(&f, TOOL_SUB, line), OPTIONS_RUN);
        assert_same(f.o.host, urls[i].host);
        assert_same(f.o.username, urls[i].username);
        assert_same(f.o.password, urls[i].password);
        assert_same(f.o.topics.items[0], urls[i].topic);
        assert_int_equal(f.o.port, urls[i].port);
        end(&f);
    }
}

static void assert_list(const struct chappe_property_list *list, const char *bytes, size_t size)
{
    assert_int_equal(list->size, size);
    assert_memory_equal(list->data, bytes, size);
}

static void properties_go_to_their_packets(void **state)
{
    struct fixture f;
    assert_int_equal(parse(&f, TOOL_PUB,
                           "-t a -m x -D Connect Receive-Maximum 5 -D publish user-property k v -D "
                           "publish content-type c -D will will-delay-interval 2 -D disconnect "
                           "session-expiry-interval 1 -x 60"),
                     OPTIONS_RUN);
    assert_int_equal(f.o.version, CHAPPE_MQTT_5_0); /* implied */
    assert_list(&f.o.properties[FOR_CONNECT], "\x21\x00\x05\x11\x00\x00\x00\x3c", 8);
    assert_list(&f.o.properties[FOR_PUBLISH],
                "\x26\x00\x01k\x00\x01v\x03\x00\x01"
                "c",
                11);
    assert_list(&f.o.properties[FOR_WILL], "\x18\x00\x00\x00\x02", 5);
    assert_list(&f.o.properties[FOR_DISCONNECT], "\x11\x00\x00\x00\x01", 5);
    end(&f);

    assert_int_equal(parse(&f, TOOL_SUB, "-t a -V 5 -c -i me"), OPTIONS_RUN);
    assert_list(&f.o.properties[FOR_CONNECT], "\x11\xff\xff\xff\xff", 5); /* -c: never expires */
    end(&f);
}

static void an_options_file_has_one_option_per_line(void **state)
{
    static const char text[] = "# a comment\n"
                               "-h example.org\r\n"
                               "\n"
                               "-t a topic with blanks\n"
                               "-d\n"
                               "-D subscribe user-property key a value with blanks\n"
                               "-q 1";
    struct client_options o;
    struct buffer error = { 0 };
    client_options_init(&o, TOOL_SUB, "tool");
    assert_int_equal(client_options_parse_text(&o, bytes_of(text, sizeof text - 1), &error),
                     OPTIONS_RUN);
    assert_int_equal(client_options_finish(&o, &error), OPTIONS_RUN);
    assert_string_equal(o.host, "example.org");
    assert_string_equal(o.topics.items[0], "a topic with blanks");
    assert_true(o.debug);
    assert_int_equal(o.qos, 1);
    assert_list(&o.properties[FOR_SUBSCRIBE],
                "\x26\x00\x03key\x00\x13"
                "a value with blanks",
                27);
    assert_int_equal(client_options_parse_text(&o, BYTES("-q 7"), &error), OPTIONS_BAD);
    client_options_fini(&o);
    buffer_fini(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pub_options_are_stored),
        cmocka_unit_test(sub_options_are_stored),
        cmocka_unit_test(faults_are_named),
        cmocka_unit_test(help_and_version_come_first),
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(properties_go_to_their_packets),
        cmocka_unit_test(an_options_file_has_one_option_per_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
