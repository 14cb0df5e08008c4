/* broker/share_store.c: see share_store.h. */
#include "broker/share_store.h"
#include "base/list.h"
#include "base/memory.h"
#include "broker/client.h"
#include "broker/deposit.h"
#include "broker/durable.h"
#include "broker/durable_records.h"
#include "broker/server.h"
#include "broker/worker.h"
#include <errno.h>

/* The group's row; made here if it has none yet.  Members on several workers may come together, so
 * this takes a lock. */
static struct durable *find_or_add(struct server *s, struct bytes name, uint64_t group,
                                   bool *is_new)
{
    pthread_mutex_lock(&s->groups_lock);
    struct durable *d = durable_find(s->durable_groups, group);
    *is_new = d == NULL;
    if (d == NULL) {
        struct known_group *known = server_known_group(s, name);
        uint64_t key = known != NULL ? known->key : atomic_fetch_add(&s->next_key, 1);
        d = durable_add(s->durable_groups, group, key, known != NULL ? known->next_seq : 1);
        if (known != NULL)
            known->handle = group;
    }
    pthread_mutex_unlock(&s->groups_lock);
    return d;
}

int share_store_join(struct client *c, struct share *share)
{
    struct server *s = c->worker->server;
    struct bytes name = router_share_filter(share);
    bool is_new;
    if (s->durable_groups == NULL)
        return 0;
    struct durable *d = find_or_add(s, name, router_share_handle(share), &is_new);
    if (d == NULL)
        return -ENOMEM;
    if (!is_new)
        return 0;
    router_share_set_durable(s->router, share);
    struct durable_key key = { .kind = KEY_GROUP, .session = atomic_load(&d->key) };
    return staging_put(c->worker, &key, name);
}

/* Under the lock, so that nobody gets the group's handle before its row is free. */
size_t share_store_leave(struct worker *w, struct share *share)
{
    struct server *s = w->server;
    uint64_t group = router_share_handle(share), key = 0;
    pthread_mutex_lock(&s->groups_lock);
    size_t joined = router_share_leave(s->router, share);
    const struct durable *d =
        joined == 0 || s->durable_groups == NULL ? NULL : durable_find(s->durable_groups, group);
    if (d != NULL) {
        key = atomic_load(&d->key);
        durable_remove(s->durable_groups, group);
    }
    pthread_mutex_unlock(&s->groups_lock);
    if (key != 0) {
        (void)staging_remove(w, &(struct durable_key){ .kind = KEY_GROUP, .session = key });
        staging_drop_queue(w, key);
    }
    return joined;
}

struct claim {
    struct block block;
    struct worker *home;
    struct deposit *deposit; /* NULL: it is in the store */
    uint32_t index;
    uint64_t key, seq;
};

static void destroy(struct block *block)
{
    struct claim *c = container_of(block, struct claim, block);
    if (c->deposit != NULL)
        deposit_finish(c->home, c->deposit, c->index);
    else
        staging_finish(c->home, c->key, c->seq);
    deposit_unref(c->deposit);
    memory_free(c);
}

struct block *share_claim_create(struct worker *w, struct deposit *d, uint32_t index, uint64_t key,
                                 uint64_t seq)
{
    struct claim *c = memory_alloc(sizeof *c);
    if (c == NULL)
        return NULL;
    *c = (struct claim){ .home = w, .index = index, .key = key, .seq = seq };
    block_init(&c->block, destroy);
    if (d != NULL)
        c->deposit = deposit_ref(d);
    return &c->block;
}
