/* sim/story.c: see story.h. */
#include "sim/story.h"
#include "mqtt/topic.h"
#include <assert.h>
#include <stdio.h>

const struct story_topic story_topics[TOPIC_COUNT] = {
    { "t/a/1", false, false }, { "t/a/2", false, false }, { "t/b/1", false, false },
    { "t/a", false, false },   { "t/b", false, false },   { "$odd/a", false, false },
    { "/t", false, false },    { "t//1", false, false },  { "s/a", true, false },
    { "s/b", true, false },    { "w/a", false, true },    { "w/b", false, true },
};

const struct story_filter story_filters[FILTER_COUNT] = {
    { "t/a/1", "t/a/1", false, false },
    { "t/b/1", "t/b/1", false, false },
    { "t/a", "t/a", false, false },
    { "t/+/1", "t/+/1", false, false },
    { "t/a/+", "t/a/+", false, false },
    { "t/#", "t/#", false, false },
    { "t/a/#", "t/a/#", false, false },
    { "+/a/+", "+/a/+", false, false },
    { "+/+/1", "+/+/1", false, false },
    { "+/b", "+/b", false, true },
    { "+/+", "+/+", false, true },
    { "#", "#", false, true },
    { "$odd/+", "$odd/+", false, false },
    { "$odd/#", "$odd/#", false, false },
    { "/+", "/+", false, false },
    { "/#", "/#", false, false },
    { "w/a", "w/a", false, false },
    { "w/+", "w/+", false, false },
    { "w/#", "w/#", false, false },
    { "s/a", "s/a", false, true },
    { "s/#", "s/#", false, true },
    { "$share/g0/s/#", "s/#", true, false },
    { "$share/g1/s/#", "s/#", true, false },
    { "$share/g0/s/a", "s/a", true, false },
    { "$share/g2/s/+", "s/+", true, false },
};

bool story_matches(unsigned filter, unsigned topic)
{
    assert(filter < FILTER_COUNT && topic < TOPIC_COUNT);
    return topic_filter_matches(bytes_of_string(story_filters[filter].plain),
                                bytes_of_string(story_topics[topic].name));
}

int story_topic_index(struct bytes name)
{
    for (int i = 0; i < TOPIC_COUNT; i++)
        if (bytes_equal(name, bytes_of_string(story_topics[i].name)))
            return i;
    return -1;
}

void *story_alloc(struct arena *a, size_t size)
{
    void *block = arena_alloc(a, size);
    assert(block != NULL); /* its own failures would only hide those of the broker */
    memset(block, 0, size);
    return block;
}

struct bytes story_payload(struct arena *a, const struct sim_message *m, size_t size)
{
    char head[96];
    int length = snprintf(head, sizeof head, "m%u c%u %s qos %u%s ", m->index, m->publisher,
                          story_topics[m->topic].name, m->qos, m->retain ? " retain" : "");
    size_t head_size = (size_t)length;
    assert(head_size < sizeof head);
    if (size < head_size)
        size = head_size;
    uint8_t *out = story_alloc(a, size);
    memcpy(out, head, head_size);
    for (size_t i = head_size; i < size; i++)
        out[i] = (uint8_t)('a' + (m->index + i) % 26);
    return bytes_of(out, size);
}

uint32_t story_payload_index(struct bytes payload)
{
    uint64_t index = 0;
    size_t at = 1;
    if (payload.size < 2 || payload.data[0] != 'm')
        return 0;
    for (; at < payload.size && payload.data[at] >= '0' && payload.data[at] <= '9'; at++)
        if ((index = index * 10 + (payload.data[at] - '0')) > UINT32_MAX)
            return 0;
    return at < payload.size && payload.data[at] == ' ' ? (uint32_t)index : 0;
}
