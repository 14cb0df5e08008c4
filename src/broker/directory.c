/* broker/directory.c: see directory.h. */
#include "broker/directory.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/memory.h"
#include <assert.h>
#include <pthread.h>

enum { SHARDS = 64 };

struct shard {
    pthread_mutex_t lock; /* guards entries and what they point at */
    struct map entries;
};

struct directory {
    uint64_t seed;
    struct shard shards[SHARDS];
};

static struct bytes key_of(const void *entry)
{
    return directory_client_id(entry);
}

struct directory *directory_create(uint64_t seed)
{
    struct directory *d = memory_alloc(sizeof *d);
    if (d == NULL)
        return NULL;
    d->seed = seed;
    for (int i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&d->shards[i].lock, NULL);
        map_init(&d->shards[i].entries, seed, key_of);
    }
    return d;
}

void directory_destroy(struct directory *d)
{
    if (d == NULL)
        return;
    for (int i = 0; i < SHARDS; i++) {
        assert(d->shards[i].entries.count == 0);
        map_fini(&d->shards[i].entries);
        pthread_mutex_destroy(&d->shards[i].lock);
    }
    memory_free(d);
}

static struct shard *lock_shard(struct directory *d, struct bytes client_id)
{
    struct shard *s = &d->shards[hash_bytes(d->seed, client_id) >> 32 & (SHARDS - 1)];
    pthread_mutex_lock(&s->lock);
    return s;
}

static struct directory_entry *add_entry(struct map *entries, struct bytes client_id,
                                         unsigned worker)
{
    assert(worker <= UINT16_MAX && client_id.size <= UINT16_MAX);
    struct directory_entry *e = memory_alloc(sizeof *e + client_id.size);
    if (e == NULL)
        return NULL;
    *e = (struct directory_entry){ .worker = (uint16_t)worker, .size = (uint16_t)client_id.size };
    memcpy(e->client_id, client_id.data, client_id.size);
    if (map_add(entries, e) == 0)
        return e;
    memory_free(e);
    return NULL;
}

struct directory_entry *directory_claim(struct directory *d, struct bytes client_id,
                                        unsigned preferred)
{
    struct shard *s = lock_shard(d, client_id);
    struct directory_entry *e = map_find(&s->entries, client_id);
    if (e == NULL)
        e = add_entry(&s->entries, client_id, preferred);
    if (e != NULL)
        e->claims++;
    pthread_mutex_unlock(&s->lock);
    return e;
}

void directory_release(struct directory *d, struct directory_entry *e)
{
    struct shard *s = lock_shard(d, directory_client_id(e));
    assert(e->claims > 0);
    if (--e->claims == 0) {
        assert(e->client == NULL);
        map_remove(&s->entries, e);
        memory_free(e);
    }
    pthread_mutex_unlock(&s->lock);
}

struct directory_entry *directory_find(struct directory *d, struct bytes client_id)
{
    struct shard *s = lock_shard(d, client_id);
    struct directory_entry *e = map_find(&s->entries, client_id);
    pthread_mutex_unlock(&s->lock);
    return e;
}

size_t directory_count(struct directory *d)
{
    size_t count = 0;
    for (int i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&d->shards[i].lock);
        count += d->shards[i].entries.count;
        pthread_mutex_unlock(&d->shards[i].lock);
    }
    return count;
}
