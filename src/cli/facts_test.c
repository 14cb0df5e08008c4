#include "cli/facts.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void check(struct facts *f, const char *wanted)
{
    assert_int_equal(f->error, 0);
    assert_int_equal(buffer_append(&f->out, BYTES("\0")), 0);
    assert_string_equal((const char *)f->out.data, wanted);
    facts_fini(f);
}

static void tell_all(struct facts *f)
{
    facts_begin(f);
    facts_word(f, "type", "put");
    facts_number(f, "session", UINT64_MAX);
    facts_flag(f, "retain", true);
    facts_flag(f, "dup", false);
    facts_never(f, "expires");
    facts_time(f, "since", INT64_C(1767225600123456789));
    facts_open(f, "entries", '[');
    for (uint64_t i = 1; i <= 2; i++) {
        facts_open(f, NULL, '{');
        facts_number(f, "seq", i);
        facts_close(f, '}');
    }
    facts_close(f, ']');
    facts_open(f, "ids", '[');
    facts_number(f, NULL, 7);
    facts_number(f, NULL, 8);
    facts_close(f, ']');
    facts_text(f, "what", "it \"is\"");
    facts_end(f);
}

static void the_same_facts_in_both_styles(void **state)
{
    struct facts f;
    facts_init(&f, FACTS_TEXT);
    tell_all(&f);
    check(&f,
          "put session=18446744073709551615 retain expires=never since=2026-01-01T00:00:00.123Z "
          "entries=[{seq=1} {seq=2}] ids=[7 8] what=\"it \\\"is\\\"\"\n");
    facts_init(&f, FACTS_JSON);
    tell_all(&f);
    check(&f, "{\"type\":\"put\",\"session\":18446744073709551615,\"retain\":true,\"dup\":false,"
              "\"expires\":null,\"since\":\"2026-01-01T00:00:00.123Z\",\"entries\":[{\"seq\":1},"
              "{\"seq\":2}],\"ids\":[7,8],\"what\":\"it \\\"is\\\"\"}\n");
}

static void bytes_are_text_or_hexadecimal(void **state)
{
    static const struct {
        const char *bytes;
        size_t size, most;
        const char *text, *json;
    } rows[] = {
        { "hello", 5, 10, "p=\"hello\"", "{\"p\":\"hello\"}" },
        { "", 0, 10, "p=\"\"", "{\"p\":\"\"}" },
        { "a\tb\n", 4, 10, "p=\"a\\tb\\n\"", "{\"p\":\"a\\tb\\n\"}" },
        { "hello", 5, 4, "p=\"hell\"...", "{\"p\":\"hell\",\"p_is_cut\":true}" },
        /* no character in halves */
        { "a\xc3\xa4", 3, 2, "p=\"a\"...", "{\"p\":\"a\",\"p_is_cut\":true}" },
        { "\x00\xff", 2, 10, "p=0x00ff", "{\"p_hex\":\"00ff\"}" },
        { "\x00\xff\x01", 3, 1, "p=0x00...", "{\"p_hex\":\"00\",\"p_is_cut\":true}" },
        /* what a terminal would obey */
        { "\x1b[2J", 4, 10, "p=0x1b5b324a", "{\"p_hex\":\"1b5b324a\"}" },
        { "\xc2\x9b", 2, 10, "p=0xc29b", "{\"p_hex\":\"c29b\"}" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct facts f;
        char text[64];
        struct bytes bytes = bytes_of(rows[i].bytes, rows[i].size);
        (void)snprintf(text, sizeof text, "%s\n", rows[i].text);
        facts_init(&f, FACTS_TEXT);
        facts_begin(&f);
        facts_bytes(&f, "p", bytes, rows[i].most);
        facts_end(&f);
        check(&f, text);
        (void)snprintf(text, sizeof text, "%s\n", rows[i].json);
        facts_init(&f, FACTS_JSON);
        facts_begin(&f);
        facts_bytes(&f, "p", bytes, rows[i].most);
        facts_end(&f);
        check(&f, text);
    }
}

static void times_before_1970_and_impossible_ones(void **state)
{
    struct facts f;
    facts_init(&f, FACTS_TEXT);
    facts_begin(&f);
    facts_time(&f, "t", -1);
    facts_time(&f, "t", INT64_MIN);
    facts_time(&f, "t", INT64_MAX);
    facts_end(&f);
    check(&f, "t=1969-12-31T23:59:59.999Z t=1677-09-21T00:12:43.145Z t=2262-04-11T23:47:16.854Z\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_facts_in_both_styles),
        cmocka_unit_test(bytes_are_text_or_hexadecimal),
        cmocka_unit_test(times_before_1970_and_impossible_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
