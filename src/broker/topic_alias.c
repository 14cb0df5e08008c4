/* broker/topic_alias.c: see topic_alias.h. */
#include "broker/topic_alias.h"
#include "base/memory.h"
#include <assert.h>
#include <errno.h>

void alias_in_init(struct alias_in *a, uint16_t max)
{
    *a = (struct alias_in){ .max = max };
}

void alias_in_fini(struct alias_in *a)
{
    for (int i = 0; a->topics != NULL && i < a->max; i++)
        memory_free((void *)a->topics[i].data);
    memory_free(a->topics);
    alias_in_init(a, 0);
}

int alias_in_set(struct alias_in *a, uint16_t alias, struct bytes topic)
{
    assert(alias > 0 && alias <= a->max);
    if (a->topics == NULL)
        a->topics = memory_alloc_zero(a->max * sizeof *a->topics);
    uint8_t *copy = a->topics == NULL ? NULL : memory_copy(topic.data, topic.size);
    if (copy == NULL)
        return -ENOMEM;
    memory_free((void *)a->topics[alias - 1].data);
    a->topics[alias - 1] = bytes_of(copy, topic.size);
    return 0;
}

bool alias_in_find(const struct alias_in *a, uint16_t alias, struct bytes *topic)
{
    if (a->topics == NULL || alias == 0 || alias > a->max || a->topics[alias - 1].data == NULL)
        return false;
    *topic = a->topics[alias - 1];
    return true;
}

struct alias_entry {
    uint16_t alias;
    struct bytes topic;
    uint8_t text[];
};

static struct bytes topic_of(const void *entry)
{
    return ((const struct alias_entry *)entry)->topic;
}

void alias_out_init(struct alias_out *a, uint16_t max, uint64_t seed)
{
    map_init(&a->entries, seed, topic_of);
    a->max = max;
}

void alias_out_fini(struct alias_out *a)
{
    size_t cursor = 0;
    for (struct alias_entry *e; (e = map_next(&a->entries, &cursor)) != NULL;)
        memory_free(e);
    map_fini(&a->entries);
}

uint16_t alias_out_use(struct alias_out *a, struct bytes topic, bool *is_new)
{
    struct alias_entry *e = map_find(&a->entries, topic);
    *is_new = e == NULL;
    if (e != NULL)
        return e->alias;
    if (a->entries.count >= a->max)
        return 0;
    e = memory_alloc(sizeof *e + topic.size);
    if (e == NULL)
        return 0; /* the topic goes out in full */
    *e = (struct alias_entry){ .alias = (uint16_t)(a->entries.count + 1),
                               .topic = { e->text, topic.size } };
    memcpy(e->text, topic.data, topic.size);
    if (map_add(&a->entries, e) == 0)
        return e->alias;
    memory_free(e);
    return 0;
}

void alias_out_forget(struct alias_out *a, struct bytes topic)
{
    struct alias_entry *e = map_find(&a->entries, topic);
    assert(e != NULL && e->alias == a->entries.count); /* the newest */
    map_remove(&a->entries, e);
    memory_free(e);
}
