/* router/router.c: the index, one lock for those who change it, and the registry of groups.
 *
 *     struct subscription --- leaf, list index ---> index --- handle ---> a session, or a group
 *                                                                          ^
 *     groups   map  "$share/name/filter" -> struct share { members, handle } '
 *
 * The lock is for changes only; router_match runs beside them (see index.h).  A group's key is the
 * filter as its members write it: a ShareName contains no slash [MQTT-4.8.2-2], so two groups never
 * share a key. */
#include "router/router.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/slab.h"
#include "router/index.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>

struct router {
    pthread_mutex_t lock; /* guards everything below against other writers */
    struct index index;
    struct map shares;        /* of struct share */
    struct slab *share_slots; /* where they live: slot and generation make the handle */
    atomic_size_t subscription_count, share_count; /* written under the lock, read without */
};

struct share {
    struct bytes key; /* "$share/name/filter"; we own it */
    uint64_t handle;
    size_t members, joined; /* now, and in all */
    struct subscription entry;
};

static struct bytes share_key(const void *share)
{
    return ((const struct share *)share)->key;
}

static void lock(const struct router *r)
{
    int result = pthread_mutex_lock((pthread_mutex_t *)&r->lock);
    assert(result == 0);
}

static void unlock(const struct router *r)
{
    int result = pthread_mutex_unlock((pthread_mutex_t *)&r->lock);
    assert(result == 0);
}

static void count_add(atomic_size_t *count, size_t more)
{
    atomic_fetch_add_explicit(count, more, memory_order_relaxed);
}

static void count_sub(atomic_size_t *count, size_t less)
{
    size_t before = atomic_fetch_sub_explicit(count, less, memory_order_relaxed);
    assert(before >= less);
}

struct router *router_create(struct grace *grace, uint64_t seed)
{
    struct router *r = memory_alloc_zero(sizeof(*r));
    if (r == NULL)
        return NULL;
    if (pthread_mutex_init(&r->lock, NULL) != 0) {
        memory_free(r);
        return NULL;
    }
    map_init(&r->shares, seed, share_key);
    r->share_slots = slab_create(sizeof(struct share));
    if (r->share_slots == NULL || index_init(&r->index, grace, seed) != 0) {
        router_destroy(r);
        return NULL;
    }
    return r;
}

void router_destroy(struct router *r)
{
    if (r == NULL)
        return;
    assert(router_subscription_count(r) == 0 && router_share_count(r) == 0);
    index_fini(&r->index);
    map_fini(&r->shares);
    slab_destroy(r->share_slots);
    (void)pthread_mutex_destroy(&r->lock); /* fails only if somebody holds it */
    memory_free(r);
}

/* --------------------------------------------------------------------------- subscriptions ---- */

static int subscribe_locked(struct router *r, struct bytes filter, struct subscriber who,
                            struct subscription *s)
{
    assert(filter.size > 0 && filter.size <= UINT16_MAX);
    struct leaf *leaf;
    int result = index_add(&r->index, filter, who, &s->list_index, &leaf);
    if (result != 0)
        return result;
    s->leaf = leaf;
    count_add(&r->subscription_count, 1);
    return 0;
}

static void unsubscribe_locked(struct router *r, struct subscription *s)
{
    assert(s->leaf != NULL);
    index_remove(&r->index, s->leaf, s->list_index);
    count_sub(&r->subscription_count, 1);
    s->leaf = NULL;
}

int router_subscribe(struct router *r, struct bytes filter, struct subscriber who,
                     struct subscription *s)
{
    lock(r);
    int result = subscribe_locked(r, filter, who, s);
    unlock(r);
    return result;
}

void router_unsubscribe(struct router *r, struct subscription *s)
{
    lock(r);
    unsubscribe_locked(r, s);
    unlock(r);
}

void router_subscription_update(struct router *r, struct subscription *s, uint32_t options,
                                uint32_t id)
{
    lock(r);
    subscriber_list_update(&s->leaf->list, s->list_index, options, id);
    unlock(r);
}

struct bytes router_subscription_filter(const struct subscription *s)
{
    return key_bytes(&s->leaf->filter);
}

struct subscriber router_subscription_subscriber(const struct router *r,
                                                 const struct subscription *s)
{
    lock(r); /* another writer may be packing the list */
    struct subscriber who = subscriber_list_at(&s->leaf->list, s->list_index);
    unlock(r);
    return who;
}

void router_match(const struct router *r, struct bytes topic, struct match_sink *sink)
{
    assert(topic.size > 0); /* [MQTT-4.7.3-1] */
    index_match(&r->index, topic, sink);
}

void router_look_ahead(const struct router *r, struct router_ahead *a, const struct bytes *topics,
                       unsigned count)
{
    index_look_ahead(&r->index, a, topics, count);
}

void router_match_ahead(const struct router *r, struct router_ahead *a, struct bytes topic,
                        struct match_sink *sink)
{
    assert(topic.size > 0);
    index_match_ahead(&r->index, a, topic, sink);
}

size_t router_subscription_count(const struct router *r)
{
    return atomic_load_explicit(&r->subscription_count, memory_order_relaxed);
}

void router_walk(const struct router *r,
                 void (*visit)(void *context, struct bytes filter, size_t subscribers),
                 void *context)
{
    lock(r);
    index_walk(&r->index, visit, context);
    unlock(r);
}

/* --------------------------------------------------------------------- shared subscriptions ----
 */

static struct bytes share_key_create(struct bytes name, struct bytes filter)
{
    assert(name.size > 0 && memchr(name.data, '/', name.size) == NULL);
    struct bytes prefix = BYTES("$share/");
    size_t size = prefix.size + name.size + 1 + filter.size;
    uint8_t *key = memory_alloc(size);
    if (key == NULL)
        return (struct bytes){ NULL, 0 };
    uint8_t *end = mempcpy(key, prefix.data, prefix.size);
    end = mempcpy(end, name.data, name.size);
    *end++ = '/';
    memcpy(end, filter.data, filter.size);
    return (struct bytes){ key, size };
}

/* A group without members whose key is `key`, which it owns from now on.  NULL: no memory, and the
 * key is still the caller's. */
static struct share *share_create(struct router *r, struct bytes key, const struct share_options *o)
{
    uint32_t slot, generation;
    struct share *s = slab_alloc(r->share_slots, &slot, &generation);
    if (s == NULL)
        return NULL;
    s->key = key;
    s->handle = handle_make(o->home, generation, slot);
    if (map_add(&r->shares, s) != 0)
        goto free_slot;

    /* Each member's own granted QoS counts later, so the group's entry does not lower it. */
    struct subscriber who = { s->handle, SUBSCRIBER_GROUP | 2, 0 };
    if (subscribe_locked(r, o->filter, who, &s->entry) != 0)
        goto remove;
    count_add(&r->share_count, 1);
    return s;

remove:
    map_remove(&r->shares, s);
free_slot:
    slab_free(r->share_slots, slot);
    return NULL;
}

static void share_destroy(struct router *r, struct share *s)
{
    unsubscribe_locked(r, &s->entry);
    map_remove(&r->shares, s);
    count_sub(&r->share_count, 1);
    memory_free((void *)s->key.data);
    slab_free(r->share_slots, handle_slot(s->handle));
}

static int share_join_locked(struct router *r, const struct share_options *o, struct share **out,
                             bool *is_new)
{
    struct bytes key = share_key_create(o->name, o->filter);
    if (key.data == NULL)
        return -ENOMEM;
    struct share *s = map_find(&r->shares, key);
    bool is_known = s != NULL;
    if (!is_known)
        s = share_create(r, key, o);
    if (is_known || s == NULL)
        memory_free((void *)key.data);
    if (s == NULL)
        return -ENOMEM;
    s->members++;
    s->joined++;
    *out = s;
    *is_new = !is_known;
    return 0;
}

int router_share_join(struct router *r, const struct share_options *o, struct share **out,
                      bool *is_new)
{
    lock(r);
    int result = share_join_locked(r, o, out, is_new);
    unlock(r);
    return result;
}

void router_share_set_durable(struct router *r, struct share *s)
{
    router_subscription_update(r, &s->entry, SUBSCRIBER_GROUP | SUBSCRIBER_DURABLE | 2, 0);
}

size_t router_share_leave(struct router *r, struct share *s)
{
    lock(r);
    assert(s->members > 0);
    size_t joined = --s->members == 0 ? s->joined : 0;
    if (joined > 0)
        share_destroy(r, s);
    unlock(r);
    return joined;
}

uint64_t router_share_handle(const struct share *s)
{
    return s->handle;
}

struct bytes router_share_filter(const struct share *s)
{
    return s->key;
}

size_t router_share_count(const struct router *r)
{
    return atomic_load_explicit(&r->share_count, memory_order_relaxed);
}

/* ----------------------------------------------------------------------------------- check ---- */

static size_t shares_check(const struct router *r)
{
    size_t cursor = 0, count = 0;
    for (const struct share *s; (s = map_next(&r->shares, &cursor)) != NULL; count++) {
        assert(s->members > 0);
        assert(map_find(&r->shares, s->key) == s);
        struct bytes filter = router_subscription_filter(&s->entry);
        assert(bytes_equal(bytes_after(s->key, s->key.size - filter.size), filter));
        struct subscriber who = subscriber_list_at(&s->entry.leaf->list, s->entry.list_index);
        assert(who.handle == s->handle && (who.options & SUBSCRIBER_GROUP) != 0);
    }
    return count;
}

void router_check(const struct router *r)
{
    lock(r);
    assert(index_check(&r->index) == router_subscription_count(r));
    assert(shares_check(r) == router_share_count(r));
    assert(slab_count(r->share_slots) == router_share_count(r));
    unlock(r);
}
