#include "base/log.h"
#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct capture {
    struct log log;
    enum log_type type;
    unsigned lines;
    char line[2000];
};

static void capture_write(struct log *l, enum log_type type, const char *line)
{
    struct capture *c = (struct capture *)l;
    c->type = type;
    c->lines++;
    snprintf(c->line, sizeof(c->line), "%s", line);
}

static void filters_by_type(void **state)
{
    struct capture c = { .log = { LOG_TYPE_DEFAULT, capture_write } };
    log_line(&c.log, LOG_TYPE_DEBUG, "not wanted");
    assert_int_equal(c.lines, 0);
    log_line(&c.log, LOG_TYPE_ERROR, "%s %d", "wanted", 1);
    assert_int_equal(c.lines, 1);
    assert_int_equal(c.type, LOG_TYPE_ERROR);
    assert_string_equal(c.line, "wanted 1");
    log_line(NULL, LOG_TYPE_ERROR, "nobody listens");
    assert_false(log_wants(NULL, LOG_TYPE_ERROR));
}

static void long_lines_are_cut(void **state)
{
    static const struct {
        const char *text; /* after this many x */
        int before;
        size_t size;
    } rows[] = {
        { "", 1023, 1023 },
        { "y", 1023, 1023 },
        { "\u00fc", 1022, 1022 }, /* no half characters */
        { "\u00fc", 1021, 1023 },
        { "\U0001F600", 1020, 1020 },
        { "\U0001F600z", 1019, 1023 },
    };
    char xs[1100];
    memset(xs, 'x', sizeof(xs));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct capture c = { .log = { LOG_TYPE_ALL, capture_write } };
        log_line(&c.log, LOG_TYPE_NOTICE, "%.*s%s", rows[i].before, xs, rows[i].text);
        assert_int_equal(strlen(c.line), rows[i].size);
    }
}

static void escapes(void **state)
{
    static const struct {
        struct bytes in;
        const char *out;
    } rows[] = {
        { { NULL, 0 }, "" },
        { BYTES("client-1"), "client-1" },
        { BYTES("a\\b %s"), "a\\b %s" },
        { BYTES("a\nb\r\t\0c\x7f"), "a\\x0ab\\x0d\\x09\\x00c\\x7f" },
        { BYTES("\x1b[31m"), "\\x1b[31m" },
        { BYTES("\u00e9\u20ac\U0001F600"), "\u00e9\u20ac\U0001F600" },
        { BYTES("\xc2\x9b"), "\\xc2\\x9b" },                   /* C1: control sequence introducer */
        { BYTES("\xc0\xaf"), "\\xc0\\xaf" },                   /* overlong */
        { BYTES("\xe0\x80\x80"), "\\xe0\\x80\\x80" },          /* overlong */
        { BYTES("\xed\xa0\x80"), "\\xed\\xa0\\x80" },          /* a surrogate */
        { BYTES("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80" }, /* above U+10FFFF */
        { BYTES("\xe2\x82"), "\\xe2\\x82" },                   /* cut short */
        { BYTES("\xff"
                "a"),
          "\\xffa" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(LOG_TEXT(rows[i].in), rows[i].out);
}

static void long_text_is_cut(void **state)
{
    char text[1000];
    memset(text, 1, sizeof(text));
    assert_int_equal(strlen(LOG_TEXT(bytes_of(text, 256))), 256 * 4);
    assert_int_equal(strlen(LOG_TEXT(bytes_of(text, 257))), 256 * 4 + 3);

    memset(text, 'x', sizeof(text));
    memcpy(text + 255, "\u00e9", 2); /* would be bytes 256 and 257 */
    struct log_text escaped = log_escape(bytes_of(text, 300));
    assert_int_equal(strlen(escaped.text), 255 + 3);
    assert_string_equal(escaped.text + 254, "x...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_by_type),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(escapes),
        cmocka_unit_test(long_text_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
