/* JSON: strings quoted, texts checked and laid out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/json_text.h"
#include <errno.h>

static const struct {
    const char *text, *json;
} strings[] = {
    { "", "\"\"" },
    { "a\"b\\c/d", "\"a\\\"b\\\\c/d\"" },
    { "\b\f\n\r\t\x01\x7f", "\"\\b\\f\\n\\r\\t\\u0001\x7f\"" },
    { "h\xc3\xb6\xf0\x9f\x98\x80", "\"h\xc3\xb6\xf0\x9f\x98\x80\"" },
    { "\xc3(\xff", "\"\xef\xbf\xbd(\xef\xbf\xbd\"" }, /* not UTF-8: replaced, byte by byte */
};

static void strings_are_quoted(void **state)
{
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        struct buffer out = { 0 };
        assert_int_equal(json_append_string(&out, bytes_of_string(strings[i].text)), 0);
        assert_true(bytes_equal(buffer_bytes(&out), bytes_of_string(strings[i].json)));
        buffer_fini(&out);
    }
    struct buffer out = { 0 };
    assert_int_equal(json_append_string(&out, BYTES("a\0b")), 0);
    assert_true(bytes_equal(buffer_bytes(&out), BYTES("\"a\\u0000b\"")));
    buffer_fini(&out);
}

static const struct {
    const char *text, *compact, *pretty;
} texts[] = {
    { " 1 ", "1", "1" },
    { "-0.50e+10", "-0.50e+10", "-0.50e+10" }, /* numbers stay as they are written */
    { "\"\\u00e9\\n\"", "\"\\u00e9\\n\"", "\"\\u00e9\\n\"" },
    { "[ ]", "[]", "[]" },
    { "{ }", "{}", "{\n\t\n}" },
    { "[true, false , null]", "[true,false,null]", "[true, false, null]" },
    { "{\"a\" : [1, {\"b\":2}], \"c\":\"d\"}", "{\"a\":[1,{\"b\":2}],\"c\":\"d\"}",
      "{\n\t\"a\":\t[1, {\n\t\t\t\"b\":\t2\n\t\t}],\n\t\"c\":\t\"d\"\n}" },
};

static void texts_are_laid_out(void **state)
{
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct buffer out = { 0 };
        struct bytes text = bytes_of_string(texts[i].text);
        assert_int_equal(json_rewrite(&out, text, JSON_COMPACT), 0);
        assert_true(bytes_equal(buffer_bytes(&out), bytes_of_string(texts[i].compact)));
        out.size = 0;
        assert_int_equal(json_rewrite(&out, text, JSON_PRETTY), 0);
        assert_true(bytes_equal(buffer_bytes(&out), bytes_of_string(texts[i].pretty)));
        buffer_fini(&out);
    }
}

static const char *const bad_texts[] = {
    "",
    " ",
    "x",
    "1 2",
    "[1",
    "[1,]",
    "[,1]",
    "]",
    "{",
    "{1:2}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "[}",
    "{]",
    "{\"a\" 1}",
    "01",
    "1.",
    ".5",
    "1e",
    "-",
    "+1",
    "nul",
    "\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\t\"",
    "\"\xff\"",
    "[1 2]",
    "truefalse",
    "{\"a\":1 \"b\":2}",
};

static void what_is_not_json_is_refused(void **state)
{
    for (size_t i = 0; i < sizeof bad_texts / sizeof bad_texts[0]; i++) {
        struct buffer out = { 0 };
        assert_int_equal(json_rewrite(&out, bytes_of_string(bad_texts[i]), JSON_COMPACT), -EINVAL);
        buffer_fini(&out);
    }
}

static void nesting_has_an_end(void **state)
{
    static uint8_t text[2002];
    struct buffer out = { 0 };
    memset(text, '[', 1001);
    memset(text + 1001, ']', 1001);
    assert_int_equal(json_rewrite(&out, bytes_of(text + 1, 2000), JSON_COMPACT), 0);
    assert_int_equal(json_rewrite(&out, bytes_of(text, 2002), JSON_COMPACT), -EINVAL);
    buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_quoted),
        cmocka_unit_test(texts_are_laid_out),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(nesting_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
