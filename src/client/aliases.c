/* client/aliases.c: incoming aliases index an array; outgoing topics are found in a map. */
#include "client/aliases.h"
#include "base/memory.h"
#include <errno.h>

void aliases_in_init(struct aliases_in *a, uint16_t max)
{
    a->topics = NULL;
    a->max = max;
}

void aliases_in_fini(struct aliases_in *a)
{
    for (size_t i = 1; a->topics != NULL && i <= a->max; i++)
        memory_free((void *)a->topics[i].data);
    memory_free(a->topics);
    aliases_in_init(a, 0);
}

int aliases_in_set(struct aliases_in *a, uint16_t alias, struct bytes topic)
{
    if (alias == 0 || alias > a->max)
        return -EINVAL;
    if (a->topics == NULL)
        a->topics = memory_alloc_zero(((size_t)a->max + 1) * sizeof *a->topics);
    if (a->topics == NULL)
        return -ENOMEM;
    if (bytes_equal(a->topics[alias], topic))
        return 0;
    void *copy = memory_copy(topic.data, topic.size);
    if (copy == NULL)
        return -ENOMEM;
    memory_free((void *)a->topics[alias].data);
    a->topics[alias] = bytes_of(copy, topic.size);
    return 0;
}

struct bytes aliases_in_topic(const struct aliases_in *a, uint16_t alias)
{
    if (a->topics == NULL || alias > a->max)
        return (struct bytes){ NULL, 0 };
    return a->topics[alias];
}

struct topic_with_alias {
    uint16_t alias;
    size_t size;
    uint8_t topic[];
};

static struct bytes key_of(const void *object)
{
    const struct topic_with_alias *entry = object;
    return bytes_of(entry->topic, entry->size);
}

void aliases_out_init(struct aliases_out *a, uint16_t max)
{
    map_init(&a->topics, 0, key_of); /* no seed: the topics are the application's own */
    a->max = max;
}

void aliases_out_fini(struct aliases_out *a)
{
    size_t cursor = 0;
    for (void *entry; (entry = map_next(&a->topics, &cursor)) != NULL;)
        memory_free(entry);
    map_fini(&a->topics);
    aliases_out_init(a, 0);
}

uint16_t aliases_out_find(struct aliases_out *a, struct bytes topic, bool *is_new)
{
    *is_new = false;
    if (a->max == 0)
        return 0;
    struct topic_with_alias *entry = map_find(&a->topics, topic);
    if (entry != NULL)
        return entry->alias;
    if (a->topics.count >= a->max)
        return 0;
    entry = memory_alloc(sizeof *entry + topic.size);
    if (entry == NULL)
        return 0;
    entry->alias = (uint16_t)(a->topics.count + 1);
    entry->size = topic.size;
    memcpy(entry->topic, topic.data, topic.size);
    if (map_add(&a->topics, entry) != 0) {
        memory_free(entry);
        return 0;
    }
    *is_new = true;
    return entry->alias;
}
