/* router/retained.c: a tree of topic levels with Retained Messages on some of its nodes.
 *
 *     root --- "fleet" --- "07" --- "dev1" --- "temp" *          parent, first child, siblings
 *                            |        '------- "cmd"  *          * has a message
 *                            '----- "dev2" --- "temp" *
 *
 *     hash of the path  ->  node                                 one table for all edges
 *
 * The hash of a node's path is the hash of its level, keyed with the hash of its parent's path: one
 * table finds any child of any node, and a topic costs one look-up per level.  Walks go down by
 * first child, on by next sibling, up by parent; they need no stack.
 *
 * A cursor stands on one node and pins it.  A node stays linked while it has a message, a child or
 * a pin, so whatever changes, a cursor finds its way on; new nodes become first children, behind
 * every cursor that is already among their siblings, and nothing else ever moves.  That is why an
 * untouched message is seen exactly once.
 *
 * Invariant: every node but the root has a message, a child or a pin.
 *
 * Rejected: one table per node (a wildcard walk wants the siblings in a stable order, which a table
 * that grows does not keep), and keeping replaced tables for the sake of open cursors. */
#include "router/retained.h"
#include "base/hash.h"
#include "base/memory.h"
#include "mqtt/topic.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>

enum { BUCKETS_MIN = 64 };

struct node {
    struct node *parent, *first_child;
    struct node *next, *prev;    /* siblings */
    struct node *next_in_bucket; /* of the table of edges */
    struct message *message;     /* NULL: none; we hold a reference */
    uint64_t hash;               /* of the path */
    uint32_t pins;
    uint16_t depth; /* levels from the root, which has 0 */
    uint16_t size;
    uint8_t level[];
};

struct retained {
    pthread_mutex_t lock; /* guards everything below */
    struct retained_limits limits;
    struct node *root;
    struct node *sweep_at; /* pinned; where the last sweep stopped */
    struct node **buckets;
    size_t bucket_count;         /* a power of two */
    size_t node_count;           /* without the root */
    _Atomic size_t count, bytes; /* of messages; read without the lock */
    bool notes_updates;
    struct retained_update *updates, **updates_end; /* not taken yet, oldest first */
};

struct retained_cursor {
    struct retained *retained;
    struct node *at; /* pinned; the last node visited; NULL: the walk is over */
    bool has_many;   /* the filter ends in '#', which is no level here */
    bool hides;      /* topics that start with '$' [MQTT-4.7.2-1] */
    unsigned level_count;
    struct bytes levels[]; /* into the copy of the filter behind them */
};

static void lock(struct retained *r)
{
    int result = pthread_mutex_lock(&r->lock);
    assert(result == 0);
}

static void unlock(struct retained *r)
{
    int result = pthread_mutex_unlock(&r->lock);
    assert(result == 0);
}

/* ----------------------------------------------------------------------------------- edges ---- */

static struct bytes node_level(const struct node *n)
{
    return (struct bytes){ n->level, n->size };
}

static struct node *edge_find(const struct retained *r, const struct node *parent,
                              struct bytes level)
{
    uint64_t hash = hash_bytes(parent->hash, level);
    struct node *n = r->buckets[hash & (r->bucket_count - 1)];
    while (n != NULL &&
           (n->hash != hash || n->parent != parent || !bytes_equal(node_level(n), level)))
        n = n->next_in_bucket;
    return n;
}

static void edge_put(struct node **buckets, size_t bucket_count, struct node *n)
{
    struct node **bucket = &buckets[n->hash & (bucket_count - 1)];
    n->next_in_bucket = *bucket;
    *bucket = n;
}

/* As many buckets as nodes.  Without memory chains grow longer, which is slower, but not wrong. */
static void edges_grow(struct retained *r)
{
    size_t count = r->bucket_count * 2;
    struct node **buckets = memory_alloc_zero(count * sizeof(struct node *));
    if (buckets == NULL)
        return;
    for (size_t i = 0; i < r->bucket_count; i++) {
        for (struct node *n = r->buckets[i], *next; n != NULL; n = next) {
            next = n->next_in_bucket;
            edge_put(buckets, count, n);
        }
    }
    memory_free(r->buckets);
    r->buckets = buckets;
    r->bucket_count = count;
}

static void edge_remove(struct retained *r, struct node *n)
{
    struct node **place = &r->buckets[n->hash & (r->bucket_count - 1)];
    while (*place != n)
        place = &(*place)->next_in_bucket;
    *place = n->next_in_bucket;
}

/* ----------------------------------------------------------------------------------- nodes ---- */

static struct node *node_alloc(struct bytes level)
{
    assert(level.size <= UINT16_MAX);
    struct node *n = memory_alloc_zero(sizeof(struct node) + level.size);
    if (n == NULL)
        return NULL;
    n->size = (uint16_t)level.size;
    if (level.size > 0)
        memcpy(n->level, level.data, level.size);
    return n;
}

/* A new child, the first of its siblings.  NULL: no memory. */
static struct node *node_add(struct retained *r, struct node *parent, struct bytes level)
{
    struct node *n = node_alloc(level);
    if (n == NULL)
        return NULL;
    n->parent = parent;
    n->depth = (uint16_t)(parent->depth + 1);
    n->hash = hash_bytes(parent->hash, level);
    n->next = parent->first_child;
    if (n->next != NULL)
        n->next->prev = n;
    parent->first_child = n;

    if (r->node_count >= r->bucket_count)
        edges_grow(r);
    edge_put(r->buckets, r->bucket_count, n);
    r->node_count++;
    return n;
}

static void node_remove(struct retained *r, struct node *n)
{
    edge_remove(r, n);
    if (n->prev != NULL)
        n->prev->next = n->next;
    else
        n->parent->first_child = n->next;
    if (n->next != NULL)
        n->next->prev = n->prev;
    r->node_count--;
    memory_free(n);
}

/* Removes n and what is above it, as far as nothing needs it. */
static void node_prune(struct retained *r, struct node *n)
{
    while (n != r->root && n->message == NULL && n->first_child == NULL && n->pins == 0) {
        struct node *parent = n->parent;
        node_remove(r, n);
        n = parent;
    }
}

static void node_unpin(struct retained *r, struct node *n)
{
    assert(n->pins > 0);
    n->pins--;
    node_prune(r, n);
}

static struct node *node_find(const struct retained *r, struct bytes topic)
{
    struct node *n = r->root;
    struct bytes level;
    while (n != NULL && topic_next_level(&topic, &level))
        n = edge_find(r, n, level);
    return n;
}

/* The node of a topic, made if need be.  NULL: no memory and nothing changed. */
static struct node *node_make(struct retained *r, struct bytes topic)
{
    struct node *n = r->root;
    struct bytes level;
    while (topic_next_level(&topic, &level)) {
        struct node *child = edge_find(r, n, level);
        if (child == NULL)
            child = node_add(r, n, level);
        if (child == NULL) {
            node_prune(r, n);
            return NULL;
        }
        n = child;
    }
    return n;
}

/* ------------------------------------------------------------------------------------- life --- */

struct retained *retained_create(uint64_t seed, struct retained_limits limits)
{
    struct retained *r = memory_alloc_zero(sizeof(*r));
    if (r == NULL)
        return NULL;
    if (pthread_mutex_init(&r->lock, NULL) != 0) {
        memory_free(r);
        return NULL;
    }
    r->limits = limits;
    r->updates_end = &r->updates;
    r->bucket_count = BUCKETS_MIN;
    r->buckets = memory_alloc_zero(BUCKETS_MIN * sizeof(struct node *));
    r->root = node_alloc((struct bytes){ NULL, 0 });
    if (r->buckets == NULL || r->root == NULL) {
        retained_destroy(r);
        return NULL;
    }
    r->root->hash = seed;
    r->root->pins = 1; /* the sweep's */
    r->sweep_at = r->root;
    return r;
}

static void free_nodes(struct node *root)
{
    for (struct node *n = root; n != NULL;) {
        if (n->first_child != NULL) {
            n = n->first_child;
            continue;
        }
        struct node *parent = n->parent;
        if (parent != NULL)
            parent->first_child = n->next;
        message_unref(n->message);
        memory_free(n);
        n = parent;
    }
}

void retained_destroy(struct retained *r)
{
    if (r == NULL)
        return;
    free_nodes(r->root);
    for (struct retained_update *c = retained_take_updates(r), *next; c != NULL; c = next) {
        next = c->next;
        message_unref(c->message);
        memory_free(c);
    }
    memory_free(r->buckets);
    (void)pthread_mutex_destroy(&r->lock); /* fails only if somebody holds it */
    memory_free(r);
}

/* -------------------------------------------------------------------------------- messages ---- */

size_t retained_count(const struct retained *r)
{
    return atomic_load_explicit(&r->count, memory_order_relaxed);
}

size_t retained_bytes(const struct retained *r)
{
    return atomic_load_explicit(&r->bytes, memory_order_relaxed);
}

/* Replaces the message of a node by another (or NULL) and keeps count.  Returns the old one with
 * the reference that was ours. */
static struct message *node_exchange(struct retained *r, struct node *n, struct message *message)
{
    struct message *old = n->message;
    size_t count = retained_count(r), bytes = retained_bytes(r);
    if (old != NULL) {
        count--;
        bytes -= message_size(old);
    }
    if (message != NULL) {
        count++;
        bytes += message_size(message);
    }
    n->message = message;
    atomic_store_explicit(&r->count, count, memory_order_relaxed);
    atomic_store_explicit(&r->bytes, bytes, memory_order_relaxed);
    return old;
}

static bool limits_allow(const struct retained *r, const struct message *old,
                         const struct message *new)
{
    const struct retained_limits *limits = &r->limits;
    if (old == NULL && limits->messages != 0 && retained_count(r) >= limits->messages)
        return false;
    size_t old_size = old == NULL ? 0 : message_size(old), new_size = message_size(new);
    if (limits->bytes == 0 || new_size <= old_size)
        return true;
    size_t others = retained_bytes(r) - old_size;
    return others <= limits->bytes && new_size <= limits->bytes - others;
}

static int set_locked(struct retained *r, struct message *message, struct message **old)
{
    struct node *n = node_find(r, message->topic);
    if (!limits_allow(r, n == NULL ? NULL : n->message, message))
        return -ENOSPC;
    if (n == NULL)
        n = node_make(r, message->topic);
    if (n == NULL)
        return -ENOMEM;
    *old = node_exchange(r, n, message_ref(message));
    return 0;
}

static struct message *clear_locked(struct retained *r, struct bytes topic)
{
    struct node *n = node_find(r, topic);
    if (n == NULL)
        return NULL;
    struct message *old = node_exchange(r, n, NULL);
    node_prune(r, n);
    return old;
}

/* Takes over the reference. */
static void add_update(struct retained *r, struct retained_update *c, struct message *message)
{
    c->next = NULL;
    c->message = message;
    *r->updates_end = c;
    r->updates_end = &c->next;
}

static int set(struct retained *r, struct message *message, struct retained_update *update)
{
    struct message *old = NULL;
    int result = 0;
    lock(r);
    if (message->payload.size == 0)
        old = clear_locked(r, message->topic); /* [MQTT-3.3.1-6] [MQTT-3.3.1-7] */
    else
        result = set_locked(r, message, &old);
    if (result == 0 && update != NULL)
        add_update(r, update, message_ref(message));
    unlock(r);
    message_unref(old);
    return result;
}

int retained_set(struct retained *r, struct message *message)
{
    return set(r, message, NULL);
}

int retained_set_stored(struct retained *r, struct message *message)
{
    struct retained_update *update = memory_alloc(sizeof *update);
    int result = update == NULL ? -ENOMEM : set(r, message, update);
    if (result != 0)
        memory_free(update);
    return result;
}

void retained_note_updates(struct retained *r)
{
    lock(r);
    r->notes_updates = true;
    unlock(r);
}

struct retained_update *retained_take_updates(struct retained *r)
{
    lock(r);
    struct retained_update *first = r->updates;
    r->updates = NULL;
    r->updates_end = &r->updates;
    unlock(r);
    return first;
}

struct message *retained_find(struct retained *r, struct bytes topic)
{
    lock(r);
    const struct node *n = node_find(r, topic);
    struct message *found = n == NULL || n->message == NULL ? NULL : message_ref(n->message);
    unlock(r);
    return found;
}

/* ----------------------------------------------------------------------------------- sweep ---- */

/* The node after n in the walk over everything; NULL: n was the last one. */
static struct node *next_of_all(struct node *n)
{
    if (n->first_child != NULL)
        return n->first_child;
    while (n != NULL && n->next == NULL)
        n = n->parent;
    return n == NULL ? NULL : n->next;
}

static void sweep_move(struct retained *r, struct node *to)
{
    struct node *from = r->sweep_at;
    to->pins++;
    r->sweep_at = to;
    node_unpin(r, from);
}

/* An expired message goes.  False: for want of memory it has to stay a while. */
static bool sweep_away(struct retained *r, struct node *n)
{
    struct retained_update *update = NULL;
    struct message cleared = { .topic = n->message->topic };
    struct message *none = NULL;
    if (r->notes_updates) {
        update = memory_alloc(sizeof *update);
        none = message_copy(&cleared);
        if (update == NULL || none == NULL) {
            memory_free(update);
            message_unref(none);
            return false;
        }
        add_update(r, update, none);
    }
    message_unref(node_exchange(r, n, NULL)); /* the pin keeps n until we move on */
    return true;
}

size_t retained_sweep(struct retained *r, int64_t now_ns, size_t nodes)
{
    size_t removed = 0;
    lock(r);
    for (size_t visited = 0; visited < nodes; visited++) {
        struct node *n = next_of_all(r->sweep_at);
        if (n == NULL) { /* once around: the next call starts again */
            sweep_move(r, r->root);
            break;
        }
        sweep_move(r, n);
        if (n->message != NULL && message_is_expired(n->message, now_ns))
            removed += sweep_away(r, n);
    }
    unlock(r);
    return removed;
}

/* ----------------------------------------------------------------------------------- walks ---- */

static bool level_is(struct bytes level, char wildcard)
{
    return level.size == 1 && level.data[0] == wildcard;
}

static unsigned count_levels(struct bytes filter)
{
    unsigned count = 0;
    struct bytes level;
    while (topic_next_level(&filter, &level))
        count++;
    return count;
}

static void split_filter(struct retained_cursor *c, struct bytes filter)
{
    struct bytes level;
    while (topic_next_level(&filter, &level)) {
        if (level_is(level, '#'))
            c->has_many = true;
        else
            c->levels[c->level_count++] = level;
    }
    c->hides = c->level_count == 0 || level_is(c->levels[0], '+');
}

struct retained_cursor *retained_open(struct retained *r, struct bytes filter)
{
    size_t levels_size = count_levels(filter) * sizeof(struct bytes);
    struct retained_cursor *c = memory_alloc_zero(sizeof(*c) + levels_size + filter.size);
    if (c == NULL)
        return NULL;
    uint8_t *copy = (uint8_t *)c->levels + levels_size;
    memcpy(copy, filter.data, filter.size);
    split_filter(c, (struct bytes){ copy, filter.size });
    c->retained = r;
    lock(r);
    c->at = r->root;
    c->at->pins++;
    unlock(r);
    return c;
}

void retained_close(struct retained_cursor *c)
{
    if (c == NULL)
        return;
    lock(c->retained);
    if (c->at != NULL)
        node_unpin(c->retained, c->at);
    unlock(c->retained);
    memory_free(c);
}

/* May any level stand at this depth (the children of the root have 1)? */
static bool is_open(const struct retained_cursor *c, unsigned depth)
{
    return depth > c->level_count || level_is(c->levels[depth - 1], '+');
}

/* A node of the first level, and all below it, that the filter must not see. */
static bool is_hidden(const struct retained_cursor *c, const struct node *n)
{
    return c->hides && n->depth == 1 && n->size > 0 && n->level[0] == '$';
}

static struct node *walk_down(const struct retained_cursor *c, const struct node *n)
{
    unsigned depth = n->depth + 1u;
    if (is_hidden(c, n) || (depth > c->level_count && !c->has_many))
        return NULL;
    return is_open(c, depth) ? n->first_child : edge_find(c->retained, n, c->levels[depth - 1]);
}

/* The next node that matches the beginning of the filter; NULL: none is left.  Hidden nodes are
 * visited, but not entered: there may be many, and they count as work. */
static struct node *walk_next(const struct retained_cursor *c, const struct node *n)
{
    struct node *down = walk_down(c, n);
    if (down != NULL)
        return down;
    for (; n->parent != NULL; n = n->parent)
        if (n->next != NULL && is_open(c, n->depth))
            return n->next;
    return NULL;
}

static bool walk_matches(const struct retained_cursor *c, const struct node *n)
{
    return n->message != NULL && !is_hidden(c, n) &&
           (n->depth == c->level_count || (n->depth > c->level_count && c->has_many));
}

size_t retained_next(struct retained_cursor *c, struct message **out, size_t max, size_t nodes,
                     bool *done)
{
    struct retained *r = c->retained;
    size_t found = 0;
    lock(r);
    for (size_t visited = 0; c->at != NULL && found < max && visited < nodes; visited++) {
        struct node *from = c->at, *n = walk_next(c, from);
        if (n != NULL) {
            n->pins++;
            if (walk_matches(c, n))
                out[found++] = message_ref(n->message);
        }
        c->at = n;
        node_unpin(r, from);
    }
    *done = c->at == NULL;
    unlock(r);
    return found;
}

/* ----------------------------------------------------------------------------------- check ---- */

static void node_check(const struct retained *r, const struct node *n)
{
    assert(n->message != NULL || n->first_child != NULL || n->pins > 0);
    assert(n->depth == n->parent->depth + 1);
    assert(n->hash == hash_bytes(n->parent->hash, node_level(n)));
    assert(edge_find(r, n->parent, node_level(n)) == n);
    assert(n->prev == NULL ? n->parent->first_child == n : n->prev->next == n);
    if (n->message == NULL)
        return;
    const struct node *up = n;
    struct bytes topic = n->message->topic;
    for (; up->parent != NULL; up = up->parent) { /* the path is the topic, from its end */
        assert(topic.size >= up->size);
        topic.size -= up->size;
        assert(bytes_equal(bytes_of(topic.data + topic.size, up->size), node_level(up)));
        if (up->depth > 1)
            assert(topic.size > 0 && topic.data[--topic.size] == '/');
    }
    assert(topic.size == 0);
}

void retained_check(struct retained *r)
{
    size_t nodes = 0, count = 0, bytes = 0;
    lock(r);
    assert(r->root->message == NULL && r->sweep_at->pins > 0);
    for (struct node *n = next_of_all(r->root); n != NULL; n = next_of_all(n)) {
        node_check(r, n);
        nodes++;
        if (n->message != NULL) {
            count++;
            bytes += message_size(n->message);
        }
    }
    assert(nodes == r->node_count);
    assert(count == retained_count(r) && bytes == retained_bytes(r));
    unlock(r);
}
