/* mqtt/utf8_test.c */
#include "mqtt/utf8.h"
#include "mqtt/utf8_naive.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    const char *text;
    size_t size;
    bool valid, printable;
} rows[] = {
#define ROW(text, valid, printable)                                                                \
    {                                                                                              \
        text, sizeof(text) - 1, valid, printable                                                   \
    }
    ROW("", true, true),
    ROW("plain", true, true),
    ROW("exactly8", true, true),
    ROW("more than eight bytes", true, true),
    ROW("\0", false, false),               /* [MQTT-1.5.4-2] */
    ROW("seven b\0", false, false),        /* the last byte of a word */
    ROW("eight by\0", false, false),       /* the first one after a word */
    ROW("\xc3\xa9t\xc3\xa9", true, true),  /* two bytes each */
    ROW("\xe2\x82\xac", true, true),       /* three */
    ROW("A\xf0\xaa\x9b\x94", true, true),  /* four: U+2A6D4, the standard's example */
    ROW("\xef\xbb\xbf", true, true),       /* U+FEFF is a character [MQTT-1.5.4-3] */
    ROW("\xed\x9f\xbf", true, true),       /* U+D7FF */
    ROW("\xed\xa0\x80", false, false),     /* U+D800, a surrogate [MQTT-1.5.4-1] */
    ROW("\xed\xbf\xbf", false, false),     /* U+DFFF */
    ROW("\xee\x80\x80", true, true),       /* U+E000 */
    ROW("\xef\xbf\xbf", true, true),       /* U+FFFF: a non-character may be refused, need not */
    ROW("\xf4\x8f\xbf\xbf", true, true),   /* U+10FFFF */
    ROW("\xf4\x90\x80\x80", false, false), /* beyond */
    ROW("\xf5\x80\x80\x80", false, false),
    ROW("\xc0\x80", false, false), /* overlong U+0000 */
    ROW("\xc1\xbf", false, false),
    ROW("\xe0\x9f\xbf", false, false),     /* overlong U+07FF */
    ROW("\xf0\x8f\xbf\xbf", false, false), /* overlong U+FFFF */
    ROW("\x80", false, false),             /* trailing byte alone */
    ROW("\xc3", false, false),             /* cut */
    ROW("\xe2\x82", false, false),
    ROW("\xf0\xaa\x9b", false, false),
    ROW("seven b\xc3", false, false),            /* cut at the end of a word */
    ROW("seven b\xc3\xa9 and more", true, true), /* across two words */
    ROW("\xff", false, false),
    ROW("tab\t", true, false), /* valid, but not for a log or an identifier */
    ROW("\x7f", true, false),
    ROW("\xc2\x80", true, false), /* U+0080 */
    ROW("\xc2\x9f", true, false), /* U+009F */
    ROW("\xc2\xa0", true, true),  /* U+00A0 */
#undef ROW
};

static void test_rows(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bytes text = bytes_of(rows[i].text, rows[i].size);
        if (utf8_is_valid(text) != rows[i].valid || utf8_is_printable(text) != rows[i].printable)
            fail_msg("row %zu", i);
    }
    assert_true(utf8_is_valid((struct bytes){ NULL, 0 }));
    assert_true(utf8_is_printable((struct bytes){ NULL, 0 }));
}

/* Bytes on both sides of every border in the table of utf8.c. */
static const uint8_t edges[] = {
    0x00, 0x01, 0x1f, 0x20, 0x41, 0x7e, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2,
    0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf8, 0xfe, 0xff,
};
enum { EDGES = sizeof edges };

/* All strings of one to four such bytes, alone and pushed across a word's border. */
static void test_edges_agree_with_the_naive_reference(void **state)
{
    uint8_t text[16];
    memset(text, 'x', sizeof text);
    for (size_t lead = 0; lead <= 7; lead += 7) {
        for (uint32_t n = 0; n < EDGES * EDGES * EDGES * EDGES; n++) {
            uint32_t left = n;
            for (int i = 0; i < 4; i++, left /= EDGES)
                text[lead + (size_t)i] = edges[left % EDGES];
            for (size_t size = 1; size <= 4; size++) {
                struct bytes all = { text, lead + size };
                if (utf8_is_valid(all) != utf8_naive_is_valid(all))
                    fail_msg("lead %zu, number %u, size %zu", lead, n, size);
            }
        }
    }
}

static void test_every_code_point(void **state)
{
    for (uint32_t point = 0; point < 0x110000; point++) {
        uint8_t text[4];
        struct bytes all = { text, utf8_naive_encode(point, text) };
        bool valid = point != 0 && (point < 0xd800 || point > 0xdfff);
        bool control = point < 0x20 || (point >= 0x7f && point < 0xa0);
        if (utf8_is_valid(all) != valid || utf8_is_printable(all) != (valid && !control))
            fail_msg("U+%04X", point);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_edges_agree_with_the_naive_reference),
        cmocka_unit_test(test_every_code_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
