/* mqtt/topic.c: a topic is its levels, separated by '/'.
 *
 *     sport / tennis / + / #         an empty level is a level: "/a" has two, "a//b" has three
 *
 * Names are checked for every PUBLISH, so that check takes many bytes at a time; filters are
 * checked once per subscription, byte by byte, because a refusal wants to know where. */
#include "mqtt/topic.h"
#include "mqtt/words.h"
#include <assert.h>

enum { TOPIC_SIZE_MAX = 65535 }; /* [MQTT-4.7.3-3] */

#define SHARE_PREFIX BYTES("$share/")

/* '#' is 0x23 and '+' is 0x2b: with this bit set, one comparison finds both. */
enum { WILDCARD_BIT = '#' ^ '+' };
static_assert(('#' | WILDCARD_BIT) == '+', "the two wildcards differ in one bit");

static bool is_wildcard(uint8_t byte)
{
    return (byte | WILDCARD_BIT) == '+';
}

/* The last step may overlap the one before it, so that no bytes are left over. */
static bool has_wildcard(struct bytes name)
{
    if (name.size < 8) {
        bool found = false;
        for (size_t i = 0; i < name.size; i++)
            found |= is_wildcard(name.data[i]);
        return found;
    }
    const uint8_t *at = name.data, *end = at + name.size;
    if (name.size < 16) {
        uint64_t first = word_load(at) | WORD_OF(WILDCARD_BIT);
        uint64_t last = word_load(end - 8) | WORD_OF(WILDCARD_BIT);
        return (word_find(first, '+') | word_find(last, '+')) != 0;
    }
    sixteen found = (sixteen_load(end - 16) | WILDCARD_BIT) == '+';
    for (; at < end - 16; at += 16)
        found |= (sixteen_load(at) | WILDCARD_BIT) == '+';
    return sixteen_any(found);
}

static unsigned count_separators(struct bytes name)
{
    unsigned separators = 0;
    size_t i = 0;
    for (; name.size - i >= 8; i += 8)
        separators += word_count(word_find(word_load(name.data + i), '/'));
    for (; i < name.size; i++)
        separators += name.data[i] == '/';
    return separators;
}

bool topic_name_is_valid(struct bytes name)
{
    if (name.size == 0 || name.size > TOPIC_SIZE_MAX)
        return false; /* [MQTT-4.7.3-1] [MQTT-4.7.3-3] */
    if (has_wildcard(name))
        return false; /* [MQTT-3.3.2-2] */
    /* Most names are too short to have too many levels. */
    return name.size < TOPIC_LEVELS_MAX || count_separators(name) < TOPIC_LEVELS_MAX;
}

/* Is the wildcard at `at` a level of its own, and a '#' the last one? */
static bool wildcard_is_placed_well(struct bytes filter, size_t at)
{
    bool starts_level = at == 0 || filter.data[at - 1] == '/';
    bool is_last = at + 1 == filter.size;
    if (filter.data[at] == '#')
        return starts_level && is_last;                             /* [MQTT-4.7.1-1] */
    return starts_level && (is_last || filter.data[at + 1] == '/'); /* [MQTT-4.7.1-2] */
}

/* The first byte that must not be there; filter.size if there is none. */
static size_t filter_spoilt_at(struct bytes filter)
{
    unsigned separators = 0;
    for (size_t i = 0; i < filter.size; i++) {
        if (i == TOPIC_SIZE_MAX)
            return i; /* [MQTT-4.7.3-3] */
        if (filter.data[i] == '/' && ++separators == TOPIC_LEVELS_MAX)
            return i;
        if (is_wildcard(filter.data[i]) && !wildcard_is_placed_well(filter, i))
            return i;
    }
    return filter.size;
}

bool topic_filter_is_valid(struct bytes filter, size_t *offset)
{
    size_t spoilt_at = filter_spoilt_at(filter);
    if (filter.size > 0 && spoilt_at == filter.size)
        return true;
    if (offset != NULL)
        *offset = spoilt_at;
    return false;
}

bool topic_filter_has_wildcard(struct bytes filter)
{
    for (size_t i = 0; i < filter.size; i++) {
        if (is_wildcard(filter.data[i]))
            return true;
    }
    return false;
}

bool topic_next_level(struct bytes *rest, struct bytes *level)
{
    if (rest->data == NULL)
        return false;
    const uint8_t *separator = rest->size == 0 ? NULL : memchr(rest->data, '/', rest->size);
    if (separator == NULL) {
        *level = *rest;
        *rest = (struct bytes){ NULL, 0 };
        return true;
    }
    *level = bytes_of(rest->data, (size_t)(separator - rest->data));
    *rest = bytes_after(*rest, level->size + 1);
    return true;
}

static bool level_is(struct bytes level, uint8_t wildcard)
{
    return level.size == 1 && level.data[0] == wildcard;
}

bool topic_filter_matches(struct bytes filter, struct bytes name)
{
    assert(filter.size > 0); /* [MQTT-4.7.3-1] */
    assert(name.size > 0);
    if (name.data[0] == '$' && filter.data[0] != '$')
        return false; /* [MQTT-4.7.2-1], which is about wildcards; without one, it differs anyway */

    struct bytes want, level;
    for (;;) {
        bool more_wants = topic_next_level(&filter, &want);
        if (more_wants && level_is(want, '#'))
            return true; /* before reading a level: "a/#" matches "a" too */
        bool more_levels = topic_next_level(&name, &level);
        if (!more_wants || !more_levels)
            return more_wants == more_levels;
        if (!level_is(want, '+') && !bytes_equal(want, level))
            return false;
    }
}

enum share_syntax topic_filter_split_share(struct bytes filter, struct bytes *name,
                                           struct bytes *rest)
{
    if (!bytes_start_with(filter, SHARE_PREFIX)) {
        *rest = filter;
        return SHARE_NONE;
    }
    struct bytes shared = bytes_after(filter, SHARE_PREFIX.size), share;
    (void)topic_next_level(&shared,
                           &share); /* cannot fail: one level is left even after "$share/" */
    if (share.size == 0 || topic_filter_has_wildcard(share))
        return SHARE_INVALID; /* [MQTT-4.8.2-1] */
    if (shared.size == 0)
        return SHARE_INVALID; /* no '/' after the name, or nothing after that [MQTT-4.8.2-2] */
    *name = share;
    *rest = shared;
    return SHARE_VALID;
}
