/* mqtt/topic_fuzz.c: two ways to judge and to match must agree.
 *
 * Input: a filter, a newline, a name.  The other way here splits a topic into an array of levels
 * first, and then looks at whole levels only. */
#include "mqtt/topic.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LEVELS_MAX = TOPIC_LEVELS_MAX + 1 };

struct levels {
    struct bytes level[LEVELS_MAX];
    size_t count; /* LEVELS_MAX: that many or more */
};

static void split(struct bytes topic, struct levels *out)
{
    size_t start = 0;
    out->count = 0;
    for (size_t i = 0; i <= topic.size && out->count < LEVELS_MAX; i++) {
        if (i < topic.size && topic.data[i] != '/')
            continue;
        out->level[out->count++] = bytes_of(topic.data + start, i - start);
        start = i + 1;
    }
}

static bool is(struct bytes level, char wildcard)
{
    return level.size == 1 && level.data[0] == (uint8_t)wildcard;
}

static bool has(struct bytes level, char byte)
{
    return level.size > 0 && memchr(level.data, byte, level.size) != NULL;
}

static bool fits(struct bytes topic, const struct levels *l)
{
    return topic.size > 0 && topic.size <= 65535 && l->count <= TOPIC_LEVELS_MAX;
}

static bool other_name_is_valid(struct bytes name, const struct levels *l)
{
    return fits(name, l) && !has(name, '+') && !has(name, '#');
}

static bool other_filter_is_valid(struct bytes filter, const struct levels *l)
{
    if (!fits(filter, l))
        return false;
    for (size_t i = 0; i < l->count; i++) {
        if (has(l->level[i], '+') && !is(l->level[i], '+'))
            return false;
        if (has(l->level[i], '#') && !(is(l->level[i], '#') && i + 1 == l->count))
            return false;
    }
    return true;
}

static bool other_matches(const struct levels *filter, const struct levels *name)
{
    struct bytes first = filter->level[0];
    if ((is(first, '+') || is(first, '#')) && name->level[0].size > 0 &&
        name->level[0].data[0] == '$')
        return false;
    bool open = is(filter->level[filter->count - 1], '#');
    size_t fixed = filter->count - (open ? 1 : 0);
    if (open ? name->count < fixed : name->count != fixed)
        return false;
    for (size_t i = 0; i < fixed; i++) {
        if (!is(filter->level[i], '+') && !bytes_equal(filter->level[i], name->level[i]))
            return false;
    }
    return true;
}

/* The parts of a shared filter, put together again, are the filter. */
static void check_share(struct bytes filter)
{
    struct bytes name = { NULL, 0 }, rest = { NULL, 0 };
    switch (topic_filter_split_share(filter, &name, &rest)) {
    case SHARE_NONE:
        assert(bytes_equal(rest, filter));
        break;
    case SHARE_VALID:
        assert(name.size > 0 && rest.size > 0);
        assert(name.data == filter.data + 7 && rest.data == name.data + name.size + 1);
        assert(rest.data + rest.size == filter.data + filter.size);
        assert(!has(name, '/') && !has(name, '+') && !has(name, '#'));
        break;
    case SHARE_INVALID:
        assert(filter.size >= 7 && memcmp(filter.data, "$share/", 7) == 0);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct levels of_filter, of_name;
    const uint8_t *newline = size == 0 ? NULL : memchr(data, '\n', size);
    if (newline == NULL)
        return 0;
    struct bytes filter = bytes_of(data, (size_t)(newline - data));
    struct bytes name = bytes_of(newline + 1, size - filter.size - 1);
    split(filter, &of_filter);
    split(name, &of_name);

    size_t offset;
    bool name_is_valid = topic_name_is_valid(name);
    bool filter_is_valid = topic_filter_is_valid(filter, &offset);
    assert(name_is_valid == other_name_is_valid(name, &of_name));
    assert(filter_is_valid == other_filter_is_valid(filter, &of_filter));
    assert(filter_is_valid || offset < filter.size || filter.size == 0);
    assert(topic_filter_has_wildcard(filter) == (has(filter, '+') || has(filter, '#')));
    check_share(filter);
    if (name_is_valid && filter_is_valid)
        assert(topic_filter_matches(filter, name) == other_matches(&of_filter, &of_name));
    return 0;
}
