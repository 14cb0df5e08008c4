/* router/test_random.h: what the tests of this folder share: seeded randomness and random topics.
 */
#pragma once

#include "base/bytes.h"
#include "mqtt/topic.h"

#include <stdio.h>

enum { TEST_TOPIC_MAX = 64 };

struct test_topic {
    size_t size;
    char text[TEST_TOPIC_MAX];
};

static inline struct bytes test_topic_bytes(const struct test_topic *t)
{
    return bytes_of(t->text, t->size);
}

static inline uint32_t next_random(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33);
}

/* Few names and few levels, so that everything collides; "" makes empty levels, and two are longer
 * than the words they are compared in. */
static inline struct test_topic test_random_topic(uint64_t *random, const char *const *names,
                                                  unsigned name_count)
{
    struct test_topic t = { 0 };
    unsigned levels = 1 + next_random(random) % 4;
    for (unsigned i = 0; i < levels; i++)
        t.size += (size_t)snprintf(t.text + t.size, sizeof(t.text) - t.size, "%s%s",
                                   i == 0 ? "" : "/", names[next_random(random) % name_count]);
    return t;
}

static inline struct test_topic test_random_name(uint64_t *random)
{
    static const char *const names[] = { "", "a", "b", "ab", "$", "$a", "longer-a", "longer-b-1" };
    struct test_topic t;
    do {
        t = test_random_topic(random, names, 8);
    } while (!topic_name_is_valid(test_topic_bytes(&t)));
    return t;
}

static inline struct test_topic test_random_filter(uint64_t *random)
{
    static const char *const names[] = { "",         "a",          "b", "ab", "$", "$a",
                                         "longer-a", "longer-b-1", "+", "+",  "+", "#" };
    struct test_topic t;
    do {
        t = test_random_topic(random, names, 12);
    } while (!topic_filter_is_valid(test_topic_bytes(&t), NULL));
    return t;
}
