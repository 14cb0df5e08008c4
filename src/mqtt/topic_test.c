/* mqtt/topic_test.c */
#include "mqtt/topic.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct bytes of(const char *text)
{
    return bytes_of_string(text);
}

/* ------------------------------------------------------------------------------- validity ----- */

static const struct {
    const char *name;
    bool valid;
} names[] = {
    { "a", true },
    { "/", true }, /* two empty levels */
    { "sport/tennis/player1", true },
    { "spaces are fine/ ", true },
    { "$SYS/monitor", true },
    { "\xc3\xa9t\xc3\xa9/\xe2\x82\xac", true },
    { "", false },  /* [MQTT-4.7.3-1] */
    { "+", false }, /* [MQTT-4.7.0-1] [MQTT-3.3.2-2] */
    { "#", false },
    { "a/+/b", false },
    { "a/#", false },
    { "a+", false },
    { "1234567+", false },  /* the last byte of a word */
    { "12345678#", false }, /* the first one after it */
    { "#2345678", false },
    { "12345+7890123", false }, /* in both of two overlapping words */
    { "1234567890123", true },
};

static void test_names(void **state)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (topic_name_is_valid(of(names[i].name)) != names[i].valid)
            fail_msg("name '%s'", names[i].name);
    }
}

/* Whole words of each byte: only wildcards spoil a name, and only '/' makes levels. */
static void test_every_byte_in_a_name(void **state)
{
    uint8_t text[(TOPIC_LEVELS_MAX / 8 + 1) * 8];
    for (int byte = 1; byte < 256; byte++) {
        memset(text, byte, sizeof text);
        bool valid = topic_name_is_valid(bytes_of(text, sizeof text));
        assert_int_equal(valid, byte != '+' && byte != '#' && byte != '/');
    }
}

enum { NOT_SPOILT = -1 };

static const struct {
    const char *filter;
    int spoilt_at;
} filters[] = {
    { "a", NOT_SPOILT },
    { "/", NOT_SPOILT },
    { "#", NOT_SPOILT },
    { "+", NOT_SPOILT },
    { "/#", NOT_SPOILT },
    { "/+", NOT_SPOILT },
    { "+/+", NOT_SPOILT },
    { "sport/tennis/#", NOT_SPOILT },
    { "+/tennis/#", NOT_SPOILT },
    { "sport/+/player1", NOT_SPOILT },
    { "$SYS/#", NOT_SPOILT },
    { "", 0 },                        /* [MQTT-4.7.3-1] */
    { "sport/tennis#", 12 },          /* [MQTT-4.7.1-1]: not a level of its own */
    { "sport/tennis/#/ranking", 13 }, /* [MQTT-4.7.1-1]: not the last */
    { "#/", 0 },
    { "##", 0 },
    { "sport+", 5 }, /* [MQTT-4.7.1-2] */
    { "+sport", 0 },
    { "a/+b", 2 },
    { "a/b+/c", 3 },
    { "+#", 0 },
    { "++", 0 },
};

static void test_filters(void **state)
{
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        size_t offset = 4711;
        bool valid = topic_filter_is_valid(of(filters[i].filter), &offset);
        size_t expected = filters[i].spoilt_at == NOT_SPOILT ? 4711 : (size_t)filters[i].spoilt_at;
        if (valid != (filters[i].spoilt_at == NOT_SPOILT) || offset != expected)
            fail_msg("filter '%s': %d at %zu", filters[i].filter, valid, offset);
        assert_int_equal(topic_filter_is_valid(of(filters[i].filter), NULL), valid);
    }
}

/* [MQTT-4.7.3-3], and our own limit on levels. */
static void test_limits(void **state)
{
    static uint8_t text[65536];
    memset(text, 'a', sizeof text);
    size_t offset = 0;
    assert_true(topic_name_is_valid(bytes_of(text, 65535)));
    assert_true(topic_filter_is_valid(bytes_of(text, 65535), &offset));
    assert_false(topic_name_is_valid(bytes_of(text, 65536)));
    assert_false(topic_filter_is_valid(bytes_of(text, 65536), &offset));
    assert_int_equal(offset, 65535);

    memset(text, '/', TOPIC_LEVELS_MAX); /* one level more than separators */
    assert_true(topic_name_is_valid(bytes_of(text, TOPIC_LEVELS_MAX - 1)));
    assert_true(topic_filter_is_valid(bytes_of(text, TOPIC_LEVELS_MAX - 1), &offset));
    assert_false(topic_name_is_valid(bytes_of(text, TOPIC_LEVELS_MAX)));
    assert_false(topic_filter_is_valid(bytes_of(text, TOPIC_LEVELS_MAX), &offset));
    assert_int_equal(offset, TOPIC_LEVELS_MAX - 1);
}

static void test_has_wildcard(void **state)
{
    assert_false(topic_filter_has_wildcard(of("a/b")));
    assert_false(topic_filter_has_wildcard((struct bytes){ NULL, 0 }));
    assert_true(topic_filter_has_wildcard(of("a/+/b")));
    assert_true(topic_filter_has_wildcard(of("a/#")));
}

/* ------------------------------------------------------------------------------- matching ----- */

static const struct {
    const char *filter, *name;
    bool match;
} matches[] = {
    { "a/b", "a/b", true },
    { "a/b", "a/B", false }, /* case counts */
    { "a/b", "a/b/c", false },
    { "a/b/c", "a/b", false },
    { "/finance", "finance", false }, /* an empty level is a level */
    { "/+", "/finance", true },
    { "+/+", "/finance", true },
    { "+", "/finance", false },
    { "sport/#", "sport", true }, /* '#' includes the parent level */
    { "sport/#", "sport/", true },
    { "sport/#", "sport/tennis/player1", true },
    { "sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true },
    { "sport/+", "sport", false },
    { "sport/+", "sport/", true },
    { "sport/tennis/+", "sport/tennis/player1", true },
    { "sport/tennis/+", "sport/tennis/player1/ranking", false },
    { "sport/+/player1", "sport/tennis/player1", true },
    { "#", "a/b", true },
    { "#", "/", true },
    { "+/#", "a", true },
    { "+/+/#", "a", false },
    { "#", "$SYS/monitor", false },                         /* [MQTT-4.7.2-1] */
    { "+/monitor/Clients", "$SYS/monitor/Clients", false }, /* [MQTT-4.7.2-1] */
    { "$SYS/#", "$SYS/monitor", true },
    { "$SYS/monitor/+", "$SYS/monitor/Clients", true },
    { "a/#", "a/$b", true }, /* only the first level is special */
    { "+", "$", false },
    { "e\xcc\x81", "\xc3\xa9", false }, /* no normalization [MQTT-4.7.3-4] */
};

static void test_matches(void **state)
{
    for (size_t i = 0; i < sizeof matches / sizeof matches[0]; i++) {
        if (topic_filter_matches(of(matches[i].filter), of(matches[i].name)) != matches[i].match)
            fail_msg("'%s' and '%s'", matches[i].filter, matches[i].name);
    }
}

/* ------------------------------------------------------------------------- levels, shares ----- */

static void test_levels(void **state)
{
    static const struct {
        const char *topic, *levels; /* with '|' after each */
    } rows[] = {
        { "a", "a|" }, { "a//b", "a||b|" }, { "/", "||" }, { "a/", "a||" }, { "", "|" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[32] = "";
        size_t size = 0;
        struct bytes rest = of(rows[i].topic), level;
        while (topic_next_level(&rest, &level))
            size += (size_t)snprintf(text + size, sizeof text - size, "%.*s|", (int)level.size,
                                     (const char *)level.data);
        assert_string_equal(text, rows[i].levels);
        assert_null(rest.data);
    }
}

static const struct {
    const char *filter;
    enum share_syntax syntax;
    const char *name, *rest;
} shares[] = {
    { "a/b", SHARE_NONE, NULL, "a/b" },
    { "$share", SHARE_NONE, NULL, "$share" }, /* a topic like any other that starts with '$' */
    { "$shared/a", SHARE_NONE, NULL, "$shared/a" },
    { "$share/g/a/b", SHARE_VALID, "g", "a/b" }, /* [MQTT-4.8.2-1] */
    { "$share/g/+/#", SHARE_VALID, "g", "+/#" },
    { "$share/g//a", SHARE_VALID, "g", "/a" },
    { "$share/g/a+", SHARE_VALID, "g", "a+" }, /* the rest is not judged here */
    { "$share/$share/a", SHARE_VALID, "$share", "a" },
    { "$share/", SHARE_INVALID, NULL, NULL },
    { "$share//a", SHARE_INVALID, NULL, NULL },   /* [MQTT-4.8.2-1]: no name */
    { "$share/g", SHARE_INVALID, NULL, NULL },    /* [MQTT-4.8.2-2]: no '/' after it */
    { "$share/g/", SHARE_INVALID, NULL, NULL },   /* [MQTT-4.8.2-2]: no filter after that */
    { "$share/g+/a", SHARE_INVALID, NULL, NULL }, /* [MQTT-4.8.2-2] */
    { "$share/#/a", SHARE_INVALID, NULL, NULL },  /* [MQTT-4.8.2-2] */
};

static void test_shares(void **state)
{
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        struct bytes name = { NULL, 0 }, rest = { NULL, 0 };
        enum share_syntax syntax = topic_filter_split_share(of(shares[i].filter), &name, &rest);
        if (syntax != shares[i].syntax || !bytes_equal(name, of(shares[i].name)) ||
            !bytes_equal(rest, of(shares[i].rest)))
            fail_msg("filter '%s'", shares[i].filter);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),        cmocka_unit_test(test_every_byte_in_a_name),
        cmocka_unit_test(test_filters),      cmocka_unit_test(test_limits),
        cmocka_unit_test(test_has_wildcard), cmocka_unit_test(test_matches),
        cmocka_unit_test(test_levels),       cmocka_unit_test(test_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
