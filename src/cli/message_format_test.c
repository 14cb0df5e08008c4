/* The -F formats: every letter, every flag. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/message_format.h"
#include <errno.h>
#include <stdlib.h>

#define PROPERTIES                                                                                 \
    "\x01\x01"                                                                                     \
    "\x02\x00\x00\x00\x3c"                                                                         \
    "\x03\x00\x0atext/plain"                                                                       \
    "\x08\x00\x03r/t"                                                                              \
    "\x09\x00\x02"                                                                                 \
    "cd"                                                                                           \
    "\x0b\x07"                                                                                     \
    "\x23\x00\x05"                                                                                 \
    "\x26\x00\x01k\x00\x01v"                                                                       \
    "\x26\x00\x02k2\x00\x02v2"

static struct received full(void)
{
    return (struct received){
        .message = { .topic = chappe_string("f/topic"),
                     .payload = chappe_string("hello \xc3\xb6!"),
                     .qos = 1,
                     .retain = true,
                     .properties = chappe_bytes(PROPERTIES, sizeof PROPERTIES - 1) },
        .packet_id = 12,
        .wall = { 1700000000, 12345678 },
    };
}

static struct received bare(void)
{
    return (struct received){ .message = { .topic = chappe_string("t") },
                              .wall = { 1700000000, 0 } };
}

struct row {
    const char *format, *text;
};

/* Each of these was compared with mosquitto_sub 2.0.11, but for %f, %d, the separators of %x and
 * widths of %x and absent %R, which it lacks or gets wrong. */
static const struct row of_full[] = {
    { "", "" },
    { "plain", "plain" },
    { "%%", "%" },
    { "%A", "5" },
    { "%C", "text/plain" },
    { "%D", "cd" },
    { "%E", "60" },
    { "%F", "1" },
    { "%I", "2023-11-14T22:13:20+0000" },
    { "%l", "9" },
    { "%m", "12" },
    { "%P", "k:v k2:v2" },
    { "%p", "hello \xc3\xb6!" },
    { "%q", "1" },
    { "%R", "r/t" },
    { "%r", "1" },
    { "%S", "7" },
    { "%t", "f/topic" },
    { "%U", "1700000000.012345678" },
    { "%x", "68656c6c6f20c3b621" },
    { "%X", "68656C6C6F20C3B621" },
    { "%t|%p", "f/topic|hello \xc3\xb6!" },

    { "[%10t]", "[   f/topic]" },
    { "[%-10t]", "[f/topic   ]" },
    { "[%010t]", "[   f/topic]" }, /* text is not padded with zeros */
    { "[%.3t]", "[f/t]" },
    { "[%10.3t]", "[       f/t]" },
    { "[%-10.3t]", "[f/t       ]" },
    { "[%.4C]", "[text]" },
    { "[%-14C]", "[text/plain    ]" },
    { "[%5R]", "[  r/t]" },
    { "[%.2R]", "[r/]" },
    { "[%26I]", "[  2023-11-14T22:13:20+0000]" },
    { "[%.10I]", "[2023-11-14]" },
    { "[%5l]", "[    9]" },
    { "[%05l]", "[00009]" },
    { "[%-5l]", "[9    ]" },
    { "[%05m]", "[00012]" },
    { "[%05E]", "[00060]" },
    { "[%3F]", "[  1]" },
    { "[%-3S]", "[7  ]" },
    { "[%03A]", "[005]" },
    { "[%5q]", "[1]" }, /* these ignore a width */
    { "[%5r]", "[1]" },
    { "[%30U]", "[1700000000.012345678]" },
    { "[%10P]", "[k:v k2:v2]" },
    { "[%10D]", "[cd]" },
    { "%5%", "%" },
    { "[%5p]", "[hello]" }, /* a payload is cut to its width, too */
    { "[%11p]", "[  hello \xc3\xb6!]" },
    { "[%-11p]", "[hello \xc3\xb6!  ]" },
    { "[%.2p]", "[hello \xc3\xb6!]" },
    { "[%6x]", "[68656c]" },
    { "[%20x]", "[  68656c6c6f20c3b621]" },
    { "[%020X]", "[0068656C6C6F20C3B621]" },
    { "[%-20x]", "[68656c6c6f20c3b621  ]" },
    { "%.2x", "68656c6c6f20c3b621" },
    { "%.2:x", "68:65:6c:6c:6f:20:c3:b6:21" },
    { "%.4 X", "6865 6C6C 6F20 C3B6 21" },
    { "%.1-x", "6-8-6-5-6-c-6-c-6-f-2-0-c-3-b-6-2-1" },
    { "%.0:x", "68656c6c6f20c3b621" },

    { "@Y-@m-@d @H:@M:@S.@N", "2023-11-14 22:13:20.012345678" },
    { "a@@b", "a@b" },
    { "@%", "%" },
    { "\\a\\e\\n\\r\\t\\v\\\\", "\a\033\n\r\t\v\\" },

    { "%j", "{\"tst\":\"2023-11-14T22:13:20.012345Z+0000\",\"topic\":\"f/topic\",\"qos\":1,"
            "\"retain\":1,\"payloadlen\":9,\"mid\":12,\"properties\":{\"user-properties\":"
            "[{\"k\":\"v\"},{\"k2\":\"v2\"}],\"payload-format-indicator\":1,"
            "\"message-expiry-interval\":60,\"content-type\":\"text/plain\",\"response-topic\":"
            "\"r/t\",\"correlation-data\":\"cd\",\"subscription-identifier\":7,\"topic-alias\":5},"
            "\"payload\":\"hello \xc3\xb6!\"}" },
};

static const struct row of_bare[] = {
    { "%C|%D|%E|%F|%P|%R|%S|%A|%p|%x", "|||||||||" },
    { "[%3C][%3R][%3E][%-3F][%03A][%3p][%3x]", "[   ][   ][   ][   ][000][   ][   ]" },
    { "%l %m %q %r", "0 0 0 0" },
    { "%f %d", "nan nan" },
    { "%J", "{\"tst\":\"2023-11-14T22:13:20.000000Z+0000\",\"topic\":\"t\",\"qos\":0,"
            "\"retain\":0,\"payloadlen\":0,\"payload\":null}" },
};

static void assert_format(const char *format, const struct received *r, bool pretty,
                          const char *text)
{
    struct buffer out = { 0 };
    char culprit;
    assert_int_equal(message_format_check(format, &culprit), FORMAT_FINE);
    assert_int_equal(message_format(&out, format, r, pretty), 0);
    if (!bytes_equal(buffer_bytes(&out), bytes_of_string(text)))
        fail_msg("%s gave %.*s, not %s", format, (int)out.size, (const char *)out.data, text);
    buffer_fini(&out);
}

static void every_letter_and_flag(void **state)
{
    struct received r = full();
    for (size_t i = 0; i < sizeof of_full / sizeof of_full[0]; i++)
        assert_format(of_full[i].format, &r, false, of_full[i].text);
    r = bare();
    for (size_t i = 0; i < sizeof of_bare / sizeof of_bare[0]; i++)
        assert_format(of_bare[i].format, &r, false, of_bare[i].text);
}

static void a_nul_can_be_said(void **state)
{
    struct received r = bare();
    struct buffer out = { 0 };
    assert_int_equal(message_format(&out, "a\\0b", &r, false), 0);
    assert_true(bytes_equal(buffer_bytes(&out), BYTES("a\0b")));
    buffer_fini(&out);
}

static void payloads_as_real_numbers(void **state)
{
    struct received r = bare();
    float single = 12.5f;
    double twice = -0.25;
    r.message.payload = chappe_bytes(&single, sizeof single);
    assert_format("%f", &r, false, "12.500000");
    assert_format("%.3f", &r, false, "12.500");
    assert_format("[%8.2f]", &r, false, "[   12.50]");
    assert_format("[%08.2f]", &r, false, "[00012.50]");
    assert_format("[%-8.2f]", &r, false, "[12.50   ]");
    assert_format("%d", &r, false, "nan"); /* four bytes are no double */
    r.message.payload = chappe_bytes(&twice, sizeof twice);
    assert_format("%d", &r, false, "-0.250000");
    assert_format("%.2d", &r, false, "-0.25");
}

static void payloads_as_json(void **state)
{
    struct received r = bare();
    r.message.payload = chappe_string("{\"a\": [1.50, true]}");
    assert_format("%J", &r, false,
                  "{\"tst\":\"2023-11-14T22:13:20.000000Z+0000\",\"topic\":\"t\",\"qos\":0,"
                  "\"retain\":0,\"payloadlen\":19,\"payload\":{\"a\":[1.50,true]}}");
    assert_format("%J", &r, true,
                  "{\n\t\"tst\":\t\"2023-11-14T22:13:20.000000Z+0000\",\n\t\"topic\":\t\"t\",\n"
                  "\t\"qos\":\t0,\n\t\"retain\":\t0,\n\t\"payloadlen\":\t19,\n\t\"payload\":\t{\n"
                  "\t\t\"a\":\t[1.50, true]\n\t}\n}");
    r.message.payload = chappe_string("{\"a\": ");
    struct buffer out = { 0 };
    assert_int_equal(message_format(&out, "%J", &r, false), -EINVAL);
    buffer_fini(&out);
}

static const struct {
    const char *format;
    enum format_fault fault;
    char culprit;
} bad_formats[] = {
    { "%", FORMAT_INCOMPLETE, 0 },
    { "a%5", FORMAT_INCOMPLETE, 0 },
    { "%-", FORMAT_INCOMPLETE, 0 },
    { "%.", FORMAT_INCOMPLETE, 0 },
    { "%.2:", FORMAT_BAD_SPECIFIER, ':' },
    { "@", FORMAT_INCOMPLETE, 0 },
    { "%y", FORMAT_BAD_SPECIFIER, 'y' },
    { "%+t", FORMAT_BAD_SPECIFIER, '+' },
    { "%-0t", FORMAT_FINE, 0 },
    { "%.2:t", FORMAT_BAD_SPECIFIER, ':' },
    { "\\", FORMAT_INCOMPLETE_ESCAPE, 0 },
    { "x\\q", FORMAT_BAD_ESCAPE, 'q' },
};

static void bad_formats_are_named(void **state)
{
    for (size_t i = 0; i < sizeof bad_formats / sizeof bad_formats[0]; i++) {
        char culprit = 0;
        assert_int_equal(message_format_check(bad_formats[i].format, &culprit),
                         bad_formats[i].fault);
        if (bad_formats[i].fault == FORMAT_BAD_SPECIFIER ||
            bad_formats[i].fault == FORMAT_BAD_ESCAPE)
            assert_int_equal(culprit, bad_formats[i].culprit);
    }
}

static void a_width_has_an_end(void **state)
{
    struct received r = bare();
    struct buffer out = { 0 };
    assert_int_equal(message_format(&out, "%99999999999999999999t", &r, false), 0);
    assert_int_equal(out.size, 10000);
    buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_letter_and_flag),    cmocka_unit_test(a_nul_can_be_said),
        cmocka_unit_test(payloads_as_real_numbers), cmocka_unit_test(payloads_as_json),
        cmocka_unit_test(bad_formats_are_named),    cmocka_unit_test(a_width_has_an_end),
    };
    (void)setenv("TZ", "UTC", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
