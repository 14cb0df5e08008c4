/* router/index.c: filters without wildcards in one flat set, the others in a trie of their levels.
 *
 *     exact   { "fleet/07/dev1/temp", "fleet/07/dev2/temp", ... }
 *
 *     wild    root --- "fleet" --- '+' --- "dev1" --- "chan"      fleet/+/dev1/chan
 *                         |
 *                         '------ "07" --- "dev2" --- many        fleet/07/dev2/#
 *
 * A match looks up the whole topic once, then walks the trie along the topic's levels.  In every
 * node there are three ways on: the child named as the level, the child '+', and the list `many` of
 * filters that end in '#' here.  Only '+' forks the way, and the fork waits on a stack while the
 * named child is followed to the end:
 *
 *     depth      0        1        2        3           pending forks, deepest on top
 *     topic    fleet / 07     / dev2   / chan
 *                        '+'                            at most one per depth: the fork of a depth
 *                                 '+'                   is taken before another node one level
 *                                          '+'          higher is looked at
 *
 * so TOPIC_LEVELS_MAX places are enough and nothing recurses.
 *
 * A node is there for its subscribers or for nodes below it; when it has neither it is unlinked and
 * retired.  New nodes are built out of sight, the new subscriber already in, and then linked with
 * one store: a filter appears whole, and a failed allocation leaves no trace.
 *
 * Rejected: one trie for everything (four times slower when cold), numbers for level names (one
 * more dependent access per level), a cache of topics (any SUBSCRIBE empties it). */
#include "router/index.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/uninitialized.h"
#include "mqtt/topic.h"

#include <assert.h>
#include <errno.h>

struct exact_node {
    struct subscriber_list list; /* its `retired` is the node's */
    struct key topic;
};

struct wild_node {
    struct subscriber_list list; /* filters that end here; its `retired` is the node's */
    struct key_set children;     /* by level name */
    _Atomic(struct wild_node *) plus;
    _Atomic(struct subscriber_list *) many; /* filters that go on with '#'; a block of its own */
    struct wild_node *parent;               /* writer; NULL in the root */
    struct key level;
};

static bool level_is(struct bytes level, char wildcard)
{
    return level.size == 1 && level.data[0] == wildcard;
}

static uint64_t index_hash(const struct index *ix, struct bytes text)
{
    return hash_bytes(ix->seed, text);
}

/* ----------------------------------------------------------------------------------- nodes ---- */

/* An object of `size` that ends in a key at `offset`, zero but for the key. */
static void *node_alloc(size_t size, size_t offset, struct bytes text)
{
    assert(text.size <= UINT16_MAX);
    size_t needed = offset + sizeof(struct key) + text.size;
    void *node = memory_alloc_zero(needed > size ? needed : size);
    if (node == NULL)
        return NULL;
    struct key *k = (struct key *)(void *)((char *)node + offset);
    k->size = (uint16_t)text.size;
    if (text.size > 0)
        memcpy(k->text, text.data, text.size);
    return node;
}

static struct exact_node *exact_of(struct key *k)
{
    return k == NULL ? NULL : container_of(k, struct exact_node, topic);
}

static struct wild_node *wild_of(struct key *k)
{
    return k == NULL ? NULL : container_of(k, struct wild_node, level);
}

static struct exact_node *exact_create(struct bytes topic)
{
    return node_alloc(sizeof(struct exact_node), offsetof(struct exact_node, topic), topic);
}

static struct wild_node *wild_create(struct bytes level)
{
    return node_alloc(sizeof(struct wild_node), offsetof(struct wild_node, level), level);
}

static void exact_destroy(struct retired *r)
{
    memory_free(container_of(r, struct exact_node, list.retired));
}

static void wild_destroy(struct retired *r)
{
    memory_free(container_of(r, struct wild_node, list.retired));
}

static void many_destroy(struct retired *r)
{
    memory_free(container_of(r, struct subscriber_list, retired));
}

static struct wild_node *plus_of(const struct wild_node *n) /* writer */
{
    return atomic_load_explicit(&n->plus, memory_order_relaxed);
}

static struct subscriber_list *many_of(const struct wild_node *n) /* writer */
{
    return atomic_load_explicit(&n->many, memory_order_relaxed);
}

int index_init(struct index *ix, struct grace *g, uint64_t seed)
{
    *ix =
        (struct index){ .grace = g, .seed = seed, .wild = wild_create((struct bytes){ NULL, 0 }) };
    return ix->wild != NULL ? 0 : -ENOMEM;
}

void index_fini(struct index *ix)
{
    if (ix->wild != NULL) { /* no subscriber left, hence no node */
        assert(key_set_is_empty(&ix->exact) && key_set_is_empty(&ix->wild->children));
        assert(plus_of(ix->wild) == NULL && many_of(ix->wild) == NULL);
    }
    memory_free(ix->wild);
    ix->wild = NULL;
}

struct subscriber_list *index_list(struct index_spot spot)
{
    if (spot.kind == INDEX_EXACT)
        return &((struct exact_node *)spot.node)->list;
    if (spot.kind == INDEX_WILD)
        return &((struct wild_node *)spot.node)->list;
    assert(spot.kind == INDEX_WILD_MANY);
    return many_of(spot.node);
}

struct bytes index_exact_filter(struct index_spot spot)
{
    assert(spot.kind == INDEX_EXACT);
    return key_bytes(&((struct exact_node *)spot.node)->topic);
}

/* ------------------------------------------------------------------------------------- add ---- */

/* The first subscriber of a list that no reader sees yet. */
static void list_start(struct index *ix, struct subscriber_list *l, struct subscriber who,
                       uint32_t *list_index)
{
    int result = subscriber_list_add(l, ix->grace, who, list_index);
    assert(result == 0);
}

static int exact_add(struct index *ix, struct bytes filter, struct subscriber who,
                     uint32_t *list_index, struct index_spot *spot)
{
    struct exact_node *n = exact_of(key_set_find(&ix->exact, index_hash(ix, filter), filter));
    if (n != NULL) {
        *spot = (struct index_spot){ n, INDEX_EXACT };
        return subscriber_list_add(&n->list, ix->grace, who, list_index);
    }

    n = exact_create(filter);
    if (n == NULL)
        return -ENOMEM;
    list_start(ix, &n->list, who, list_index);
    int result = key_set_add(&ix->exact, ix->grace, ix->seed, &n->topic);
    if (result != 0) {
        memory_free(n);
        return result;
    }
    *spot = (struct index_spot){ n, INDEX_EXACT };
    return 0;
}

static struct wild_node *wild_child(const struct index *ix, const struct wild_node *n,
                                    struct bytes level)
{
    if (level_is(level, '+'))
        return plus_of(n);
    return wild_of(key_set_find(&n->children, index_hash(ix, level), level));
}

/* Publishes n below parent. */
static int wild_link(struct index *ix, struct wild_node *parent, struct wild_node *n)
{
    n->parent = parent;
    if (!level_is(key_bytes(&n->level), '+'))
        return key_set_add(&parent->children, ix->grace, ix->seed, &n->level);
    assert(plus_of(parent) == NULL);
    atomic_store_explicit(&parent->plus, n, memory_order_release);
    return 0;
}

static int many_add(struct index *ix, struct wild_node *n, struct subscriber who,
                    uint32_t *list_index)
{
    struct subscriber_list *many = many_of(n);
    if (many != NULL)
        return subscriber_list_add(many, ix->grace, who, list_index);
    many = memory_alloc_zero(sizeof(*many));
    if (many == NULL)
        return -ENOMEM;
    list_start(ix, many, who, list_index);
    atomic_store_explicit(&n->many, many, memory_order_release);
    return 0;
}

/* A chain that no reader has seen: every node has one child at most, and only the last one may
 * have a list. */
static void chain_destroy(struct wild_node *top)
{
    while (top != NULL) {
        size_t cursor = 0;
        struct wild_node *next = plus_of(top);
        if (next == NULL)
            next = wild_of(key_set_next(&top->children, &cursor));
        memory_free(many_of(top));
        memory_free(top);
        top = next;
    }
}

/* Nodes for `level` and all levels in rest, the subscriber at the end.  NULL: no memory. */
static struct wild_node *chain_create(struct index *ix, struct bytes level, struct bytes rest,
                                      struct subscriber who, uint32_t *list_index,
                                      struct index_spot *spot)
{
    struct wild_node *top = NULL, *last = NULL;
    do {
        if (level_is(level, '#')) {
            if (many_add(ix, last, who, list_index) != 0)
                goto undo;
            *spot = (struct index_spot){ last, INDEX_WILD_MANY };
            return top;
        }
        struct wild_node *n = wild_create(level);
        if (n == NULL)
            goto undo;
        if (top == NULL) {
            top = n;
        } else {
            int result = wild_link(ix, last, n); /* an only child needs no table */
            assert(result == 0);
        }
        last = n;
    } while (topic_next_level(&rest, &level));

    list_start(ix, &last->list, who, list_index);
    *spot = (struct index_spot){ last, INDEX_WILD };
    return top;

undo:
    chain_destroy(top);
    return NULL;
}

static int wild_add(struct index *ix, struct bytes filter, struct subscriber who,
                    uint32_t *list_index, struct index_spot *spot)
{
    struct wild_node *n = ix->wild;
    struct bytes rest = filter, level;
    bool more = topic_next_level(&rest, &level);
    while (more && !level_is(level, '#')) {
        struct wild_node *child = wild_child(ix, n, level);
        if (child == NULL)
            break;
        n = child;
        more = topic_next_level(&rest, &level);
    }

    if (!more) {
        *spot = (struct index_spot){ n, INDEX_WILD };
        return subscriber_list_add(&n->list, ix->grace, who, list_index);
    }
    if (level_is(level, '#')) {
        *spot = (struct index_spot){ n, INDEX_WILD_MANY };
        return many_add(ix, n, who, list_index);
    }
    struct wild_node *chain = chain_create(ix, level, rest, who, list_index, spot);
    if (chain == NULL)
        return -ENOMEM;
    int result = wild_link(ix, n, chain);
    if (result != 0)
        chain_destroy(chain);
    return result;
}

int index_add(struct index *ix, struct bytes filter, struct subscriber who, uint32_t *list_index,
              struct index_spot *spot)
{
    if (topic_filter_has_wildcard(filter))
        return wild_add(ix, filter, who, list_index, spot);
    return exact_add(ix, filter, who, list_index, spot);
}

/* ---------------------------------------------------------------------------------- remove ---- */

static bool wild_is_needed(const struct wild_node *n)
{
    return !subscriber_list_is_empty(&n->list) || !key_set_is_empty(&n->children) ||
           plus_of(n) != NULL || many_of(n) != NULL;
}

static void wild_unlink(struct index *ix, struct wild_node *n)
{
    if (plus_of(n->parent) == n)
        atomic_store_explicit(&n->parent->plus, NULL, memory_order_release);
    else
        key_set_remove(&n->parent->children, ix->grace, ix->seed, &n->level);
}

/* Removes n and what is above it, as far as nobody needs it. */
static void wild_prune(struct index *ix, struct wild_node *n)
{
    while (n->parent != NULL && !wild_is_needed(n)) {
        struct wild_node *parent = n->parent;
        wild_unlink(ix, n);
        subscriber_list_fini(&n->list, ix->grace);
        grace_retire(ix->grace, &n->list.retired, wild_destroy);
        n = parent;
    }
}

static void many_retire(struct index *ix, struct wild_node *n)
{
    struct subscriber_list *many = many_of(n);
    atomic_store_explicit(&n->many, NULL, memory_order_release);
    subscriber_list_fini(many, ix->grace);
    grace_retire(ix->grace, &many->retired, many_destroy);
}

void index_remove(struct index *ix, struct index_spot spot, uint32_t list_index)
{
    struct subscriber_list *l = index_list(spot);
    subscriber_list_remove(l, ix->grace, list_index);
    if (!subscriber_list_is_empty(l))
        return;

    if (spot.kind == INDEX_EXACT) {
        struct exact_node *n = spot.node;
        key_set_remove(&ix->exact, ix->grace, ix->seed, &n->topic);
        subscriber_list_fini(l, ix->grace);
        grace_retire(ix->grace, &l->retired, exact_destroy);
        return;
    }
    if (spot.kind == INDEX_WILD_MANY)
        many_retire(ix, spot.node);
    wild_prune(ix, spot.node);
}

/* ----------------------------------------------------------------------------------- match ---- */

/* The topic's levels, taken apart and hashed as far as the trie has asked for them. */
struct topic_levels {
    struct bytes rest;
    unsigned count;
    bool hashed[TOPIC_LEVELS_MAX];
    struct bytes text[TOPIC_LEVELS_MAX];
    uint64_t hash[TOPIC_LEVELS_MAX];
};

/* Is there a level of this depth?  Depths are asked for in order, without a gap. */
static bool levels_reach(struct topic_levels *t, unsigned depth)
{
    if (depth < t->count)
        return true;
    assert(depth == t->count);
    struct bytes level;
    if (!topic_next_level(&t->rest, &level))
        return false;
    assert(depth < TOPIC_LEVELS_MAX); /* a valid Topic Name has no more */
    t->text[depth] = level;
    t->hashed[depth] = false;
    t->count++;
    return true;
}

static struct wild_node *child_for(const struct index *ix, const struct wild_node *n,
                                   struct topic_levels *t, unsigned depth)
{
    if (key_set_is_empty(&n->children))
        return NULL;
    if (!t->hashed[depth]) {
        t->hash[depth] = index_hash(ix, t->text[depth]);
        t->hashed[depth] = true;
    }
    return wild_of(key_set_find(&n->children, t->hash[depth], t->text[depth]));
}

static void wild_match(const struct index *ix, struct bytes topic, struct match_sink *sink)
{
    struct topic_levels levels UNINITIALIZED;
    levels.rest = topic;
    levels.count = 0;
    struct {
        const struct wild_node *node;
        unsigned depth;
    } pending[TOPIC_LEVELS_MAX] UNINITIALIZED;
    unsigned pending_count = 0, depth = 0;
    bool hidden = topic.data[0] == '$'; /* from filters that start with a wildcard [MQTT-4.7.2-1] */

    for (const struct wild_node *n = ix->wild; n != NULL;) {
        bool wildcards = depth > 0 || !hidden;
        const struct subscriber_list *many = atomic_load_explicit(&n->many, memory_order_acquire);
        if (many != NULL && wildcards)
            subscriber_list_report(many, sink); /* "a/#" matches "a" too, hence before the end */

        const struct wild_node *next = NULL;
        if (levels_reach(&levels, depth)) {
            const struct wild_node *plus = atomic_load_explicit(&n->plus, memory_order_acquire);
            next = child_for(ix, n, &levels, depth);
            if (plus != NULL && wildcards) {
                assert(pending_count < TOPIC_LEVELS_MAX);
                pending[pending_count].node = plus;
                pending[pending_count++].depth = depth + 1;
            }
            depth++;
        } else {
            subscriber_list_report(&n->list, sink);
        }
        if (next == NULL && pending_count > 0) {
            next = pending[--pending_count].node;
            depth = pending[pending_count].depth;
        }
        n = next;
    }
}

/* Is there any filter with a wildcard at all? */
static bool wild_is_in_use(const struct index *ix)
{
    const struct wild_node *root = ix->wild;
    return !key_set_is_empty(&root->children) ||
           atomic_load_explicit(&root->plus, memory_order_relaxed) != NULL ||
           atomic_load_explicit(&root->many, memory_order_relaxed) != NULL;
}

void index_match(const struct index *ix, struct bytes topic, struct match_sink *sink)
{
    if (!key_set_is_empty(&ix->exact)) {
        const struct exact_node *n =
            exact_of(key_set_find(&ix->exact, index_hash(ix, topic), topic));
        if (n != NULL)
            subscriber_list_report(&n->list, sink);
    }
    if (wild_is_in_use(ix))
        wild_match(ix, topic, sink);
}

/* ------------------------------------------------------------------------------------ walk ---- */

/* The trie, each node before those below it. */
struct wild_walk {
    const struct wild_node *node; /* the root at first */
    unsigned depth;
    size_t cursors[TOPIC_LEVELS_MAX + 1]; /* of the children, at each depth */
};

/* Children in turn, '+' last; NULL: no more. */
static struct wild_node *next_child(const struct wild_node *n, size_t *cursor)
{
    if (*cursor == SIZE_MAX)
        return NULL;
    struct wild_node *child = wild_of(key_set_next(&n->children, cursor));
    if (child == NULL) {
        *cursor = SIZE_MAX;
        child = plus_of(n);
    }
    return child;
}

/* Goes to the next node; NULL: that was all. */
static const struct wild_node *wild_walk_next(struct wild_walk *w)
{
    for (;;) {
        const struct wild_node *child = next_child(w->node, &w->cursors[w->depth]);
        if (child != NULL) {
            assert(child->parent == w->node && w->depth < TOPIC_LEVELS_MAX);
            w->cursors[++w->depth] = 0;
            return w->node = child;
        }
        if (w->depth == 0)
            return NULL;
        w->node = w->node->parent;
        w->depth--;
    }
}

/* A filter, written from its last level to its first. */
struct filter_text {
    size_t start; /* the filter is what follows */
    uint8_t text[UINT16_MAX];
};

static void prepend(struct filter_text *t, struct bytes level)
{
    assert(level.size <= t->start);
    t->start -= level.size;
    if (level.size > 0)
        memcpy(t->text + t->start, level.data, level.size);
}

/* The levels down to n, and `last` below it unless it is empty. */
static struct bytes filter_of(struct filter_text *t, const struct wild_node *n, struct bytes last)
{
    t->start = sizeof t->text;
    prepend(t, last);
    for (bool is_last = last.size == 0; n->parent != NULL; n = n->parent, is_last = false) {
        if (!is_last)
            prepend(t, BYTES("/"));
        prepend(t, key_bytes(&n->level));
    }
    return bytes_of(t->text + t->start, sizeof t->text - t->start);
}

void index_walk(const struct index *ix,
                void (*visit)(void *context, struct bytes filter, size_t subscribers),
                void *context)
{
    size_t cursor = 0;
    for (struct key *k; (k = key_set_next(&ix->exact, &cursor)) != NULL;)
        visit(context, key_bytes(k), exact_of(k)->list.count);

    struct filter_text text;
    struct wild_walk walk = { .node = ix->wild };
    for (const struct wild_node *n = ix->wild; n != NULL; n = wild_walk_next(&walk)) {
        const struct subscriber_list *many = many_of(n);
        if (!subscriber_list_is_empty(&n->list))
            visit(context, filter_of(&text, n, BYTES("")), n->list.count);
        if (many != NULL)
            visit(context, filter_of(&text, n, BYTES("#")), many->count);
    }
}

/* ----------------------------------------------------------------------------------- check ---- */

static size_t exact_check(const struct index *ix)
{
    size_t subscribers = 0, cursor = 0;
    key_set_check(&ix->exact, ix->seed);
    for (struct key *k; (k = key_set_next(&ix->exact, &cursor)) != NULL;) {
        const struct exact_node *n = exact_of(k);
        assert(!subscriber_list_is_empty(&n->list));
        assert(!topic_filter_has_wildcard(key_bytes(k)));
        subscriber_list_check(&n->list);
        subscribers += n->list.count;
    }
    return subscribers;
}

static size_t wild_node_check(const struct index *ix, const struct wild_node *n)
{
    assert(n->parent == NULL ? n == ix->wild : wild_is_needed(n));
    assert(!level_is(key_bytes(&n->level), '#'));
    key_set_check(&n->children, ix->seed);
    subscriber_list_check(&n->list);
    size_t subscribers = n->list.count;
    const struct subscriber_list *many = many_of(n);
    if (many != NULL) {
        assert(!subscriber_list_is_empty(many));
        subscriber_list_check(many);
        subscribers += many->count;
    }
    return subscribers;
}

static size_t wild_check(const struct index *ix)
{
    struct wild_walk walk = { .node = ix->wild };
    size_t subscribers = 0;
    for (const struct wild_node *n = ix->wild; n != NULL; n = wild_walk_next(&walk))
        subscribers += wild_node_check(ix, n);
    return subscribers;
}

size_t index_check(const struct index *ix)
{
    return exact_check(ix) + wild_check(ix);
}
