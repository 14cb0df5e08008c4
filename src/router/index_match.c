/* router/index_match.c: topic -> leaves.
 *
 * A walk asks the exact set for the whole topic, and then goes down the trie along the topic's
 * levels.  From a branch there are three ways on: the child named as the next level, '+', and the
 * leaf `many` that ends in '#' here.  Only '+' forks the way, and the fork waits on a stack while
 * the named child is followed to the end:
 *
 *     topic    fleet / 07     / dev2   / chan           pending forks, deepest on top
 *                        '+'                            at most one per level: the fork of a level
 *                                 '+'                   is taken before another branch one level
 *                                          '+'          higher is looked at
 *
 * so one place per level is enough and nothing recurses.
 *
 * What costs time is memory that is not in the cache: a slot in a table, then a leaf or a branch.
 * So a walk goes in steps that end where one of these would be touched, after asking for it: of
 * several walks that take turns, each finds there what it waits for. */
#include "base/hash.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/uninitialized.h"
#include "router/index.h"

#include <assert.h>

/* How far a text and the topic have been compared: each is at the start of a level. */
struct place {
    uint32_t in_topic, in_text;
};

struct pending {
    const struct branch *branch;
    struct place place;
};

/* One walk.  Next it looks into a table, or at a branch, or takes a fork. */
struct walk {
    struct bytes topic;
    struct match_sink *sink;       /* NULL: a look ahead, which collects leaves */
    const struct key_table *table; /* to be searched for `hash`; NULL: none */
    const struct branch *branch;   /* to be visited; NULL: none */
    uint64_t hash;
    struct place place; /* what is found, or visited, may still differ from here on */
    bool is_too_deep;
    unsigned pending_count, pending_max;
    struct pending *pending;
};

/* --------------------------------------------------------------------------------- comparing ---
 */

/* Takes off both what is alike, '+' and any level too.  The topic has no wildcards, so bytes that
 * are equal are as they should be. */
static inline void skip_alike(struct bytes *text, struct bytes *topic)
{
    const uint8_t *a = text->data, *b = topic->data;
    size_t a_left = text->size, b_left = topic->size;
    for (;;) {
        size_t equal = equal_count(a, b, a_left < b_left ? a_left : b_left);
        a += equal;
        b += equal;
        a_left -= equal;
        b_left -= equal;
        if (a_left == 0 || *a != '+')
            break;
        size_t level = level_size(bytes_of(b, b_left));
        a++;
        a_left--;
        b += level;
        b_left -= level;
    }
    *text = bytes_of(a, a_left);
    *topic = bytes_of(b, b_left);
}

static bool leaf_matches(const struct leaf *leaf, struct bytes topic, struct place at)
{
    struct bytes filter = bytes_after(key_bytes(&leaf->filter), at.in_text);
    topic = bytes_after(topic, at.in_topic);
    skip_alike(&filter, &topic);
    if (filter.size == 0)
        return topic.size == 0;
    return filter.data[0] == '#' || /* "a/#" matches "a" too */
           (topic.size == 0 && bytes_equal(filter, BYTES("/#")));
}

/* Is the path like the start of the topic?  Then *at goes to the level after it, which there may
 * not be. */
static bool branch_matches(const struct branch *b, struct bytes topic, struct place *at)
{
    struct bytes path = bytes_after(key_bytes(&b->path), at->in_text);
    struct bytes rest = bytes_after(topic, at->in_topic);
    skip_alike(&path, &rest);
    if (path.size > 0 || (rest.size > 0 && rest.data[0] != '/'))
        return false;
    *at = (struct place){ (uint32_t)(topic.size - rest.size) + 1, b->end };
    return true;
}

/* ----------------------------------------------------------------------------------- walks ---- */

enum {
    LOOK_LEAVES_MAX = 6,   /* a topic with more of them is matched when its turn comes, */
    LOOK_PENDING_MAX = 12, /* and so is one with more forks, */
    LOOK_STEPS_MAX = 40,   /* and one that takes longer to look for */
};

/* What was found for one topic. */
struct look {
    struct walk walk;
    const struct look *same; /* the same topic was looked for a moment ago; else NULL */
    bool is_known;           /* the leaves are all there can be; they may be none of the topic's */
    unsigned found_count, step_count;
    struct {
        const struct leaf *leaf;
        struct place place;
    } found[LOOK_LEAVES_MAX];
    struct pending pending[LOOK_PENDING_MAX];
};

/* What is read of a leaf or a branch, if its text is not long: often it is in one line. */
static void prefetch(const void *object)
{
    __builtin_prefetch((const char *)object + sizeof(struct retired));
    __builtin_prefetch((const char *)object + sizeof(struct retired) + 48);
}

static void report(const struct leaf *leaf, struct match_sink *sink)
{
    subscriber_list_report(&leaf->list, sink);
}

static void keep(struct walk *w, const struct leaf *leaf, struct place at)
{
    struct look *l = container_of(w, struct look, walk);
    prefetch(leaf);
    if (l->found_count < LOOK_LEAVES_MAX) {
        l->found[l->found_count].leaf = leaf;
        l->found[l->found_count].place = at;
    }
    l->found_count++;
}

/* A leaf that matches. */
static void on_leaf(struct walk *w, const struct leaf *leaf)
{
    if (w->sink != NULL)
        report(leaf, w->sink);
    else
        keep(w, leaf, (struct place){ 0, 0 });
}

/* One that may.  True: it does, and so no other member of its set. */
static bool on_candidate(struct walk *w, const struct leaf *leaf, struct place at)
{
    if (w->sink == NULL) {
        keep(w, leaf, at);
        return false; /* not known */
    }
    if (!leaf_matches(leaf, w->topic, at))
        return false;
    report(leaf, w->sink);
    return true;
}

static void add_pending(struct walk *w, const struct branch *b, struct place at)
{
    prefetch(b);
    if (w->pending_count == w->pending_max)
        w->is_too_deep = true;
    else
        w->pending[w->pending_count++] = (struct pending){ b, at };
}

/* Nothing more this way: the deepest fork is next. */
static void take_pending(struct walk *w)
{
    w->branch = NULL;
    if (w->pending_count == 0)
        return;
    w->pending_count--;
    w->branch = w->pending[w->pending_count].branch;
    w->place = w->pending[w->pending_count].place;
}

static void go_to(struct walk *w, const struct branch *b)
{
    if (b == NULL) {
        take_pending(w);
        return;
    }
    prefetch(b);
    w->branch = b;
}

/* A set's only member needs no search: what it is called is seen when it is looked at.  Such a
 * branch is returned: it is near the root, and at hand. */
static const struct branch *start_search(struct walk *w, const struct index *ix, struct key_view v,
                                         struct bytes name)
{
    const struct branch *only = member_branch(v.only);
    if (v.table != NULL) {
        w->hash = hash_bytes(ix->seed, name);
        key_table_prefetch(v.table, w->hash);
        w->table = v.table;
    } else if (only == NULL) {
        if (v.only != 0)
            (void)on_candidate(w, member_leaf(v.only), w->place);
        take_pending(w);
    }
    return only;
}

static void search(struct walk *w)
{
    const struct key_table *t = w->table;
    const struct branch *found = NULL;
    uint64_t cursor = 0;
    w->table = NULL;
    for (uintptr_t m; (m = key_table_next(t, w->hash, &cursor)) != 0;) {
        const struct branch *b = member_branch(m);
        struct place at = w->place;
        if (b == NULL && on_candidate(w, member_leaf(m), at))
            break;
        if (b != NULL && (found == NULL || !branch_matches(found, w->topic, &at)))
            found = b; /* two with one tag are too rare to wait for */
    }
    go_to(w, found);
}

/* Returns the next branch if it is at hand. */
static const struct branch *visit_one(struct walk *w, const struct index *ix,
                                      const struct branch *b)
{
    bool is_root = b == ix->root;
    bool wildcards = !is_root || w->topic.data[0] != '$'; /* [MQTT-4.7.2-1] */
    if (!is_root && !branch_matches(b, w->topic, &w->place)) {
        take_pending(w);
        return NULL;
    }
    uintptr_t many = atomic_load_explicit(&b->many, memory_order_acquire);
    if (many != 0 && wildcards)
        on_leaf(w, member_leaf(many)); /* "a/#" matches "a" too, hence before the end */
    if (w->place.in_topic > w->topic.size) {
        uintptr_t here = atomic_load_explicit(&b->here, memory_order_acquire);
        if (here != 0)
            on_leaf(w, member_leaf(here));
        take_pending(w);
        return NULL;
    }
    uintptr_t plus = atomic_load_explicit(&b->plus, memory_order_acquire);
    if (plus != 0 && wildcards) {
        if (member_branch(plus) != NULL)
            add_pending(w, member_branch(plus), w->place);
        else
            (void)on_candidate(w, member_leaf(plus), w->place);
    }
    struct bytes rest = bytes_after(w->topic, w->place.in_topic);
    return start_search(w, ix, key_set_view(&b->children), bytes_of(rest.data, level_size(rest)));
}

static void visit(struct walk *w, const struct index *ix)
{
    const struct branch *b = w->branch;
    w->branch = NULL;
    while (b != NULL)
        b = visit_one(w, ix, b);
}

/* Is there any filter with a wildcard at all? */
static bool wild_is_in_use(const struct index *ix)
{
    const struct branch *root = ix->root;
    return !key_set_is_empty(&root->children) ||
           atomic_load_explicit(&root->plus, memory_order_relaxed) != 0 ||
           atomic_load_explicit(&root->many, memory_order_relaxed) != 0;
}

/* As walk_step. */
static bool walk_start(struct walk *w, const struct index *ix, struct bytes topic,
                       struct match_sink *sink)
{
    w->topic = topic;
    w->sink = sink;
    w->table = NULL;
    w->branch = NULL;
    w->place = (struct place){ 0, 0 };
    w->is_too_deep = false;
    w->pending_count = 0;
    if (wild_is_in_use(ix))
        add_pending(w, ix->root, w->place);
    (void)start_search(w, ix, key_set_view(&ix->exact), topic); /* it has leaves only */
    visit(w, ix);                                               /* nothing to search: the root */
    return w->table != NULL || w->branch != NULL;
}

/* False: that was all. */
static bool walk_step(struct walk *w, const struct index *ix)
{
    if (w->table != NULL)
        search(w);
    else
        visit(w, ix);
    return w->table != NULL || w->branch != NULL;
}

void index_match(const struct index *ix, struct bytes topic, struct match_sink *sink)
{
    struct pending pending[TOPIC_LEVELS_MAX + 1] UNINITIALIZED;
    struct walk w UNINITIALIZED;
    w.pending = pending;
    w.pending_max = TOPIC_LEVELS_MAX + 1;
    for (bool more = walk_start(&w, ix, topic, sink); more;)
        more = walk_step(&w, ix);
    assert(!w.is_too_deep);
}

/* ------------------------------------------------------------------------------ look ahead ---- */

struct router_ahead {
    unsigned count, next; /* looks, and the first that was not asked for */
    struct look looks[ROUTER_AHEAD_MAX];
};

struct router_ahead *router_ahead_create(void)
{
    return memory_alloc_zero(sizeof(struct router_ahead));
}

void router_ahead_destroy(struct router_ahead *a)
{
    memory_free(a);
}

void router_ahead_forget(struct router_ahead *a)
{
    a->count = a->next = 0;
}

/* Is there more to look for, and is it worth it? */
static bool look_goes_on(struct look *l, bool more)
{
    l->is_known = !l->walk.is_too_deep && l->found_count <= LOOK_LEAVES_MAX;
    if (++l->step_count > LOOK_STEPS_MAX)
        l->is_known = l->is_known && !more;
    return l->is_known && more;
}

static bool look_start(struct look *l, const struct index *ix, struct bytes topic)
{
    l->same = NULL;
    l->found_count = l->step_count = 0;
    l->walk.pending = l->pending;
    l->walk.pending_max = LOOK_PENDING_MAX;
    return look_goes_on(l, walk_start(&l->walk, ix, topic, NULL));
}

static bool look_step(struct look *l, const struct index *ix)
{
    return look_goes_on(l, walk_step(&l->walk, ix));
}

void index_look_ahead(const struct index *ix, struct router_ahead *a, const struct bytes *topics,
                      unsigned count)
{
    assert(count <= ROUTER_AHEAD_MAX);
    struct look *others[ROUTER_AHEAD_MAX] UNINITIALIZED;
    unsigned left = 0;
    a->count = count;
    a->next = 0;
    for (unsigned i = 0; i < count; i++) {
        struct look *l = &a->looks[i];
        if (i > 0 && bytes_equal(topics[i], l[-1].walk.topic)) {
            l->same = l[-1].same != NULL ? l[-1].same : l - 1;
            l->walk.topic = topics[i];
        } else if (look_start(l, ix, topics[i])) {
            others[left++] = l;
        }
    }
    while (left > 0) { /* each has its turn, until it needs no more */
        unsigned kept = 0;
        for (unsigned i = 0; i < left; i++)
            if (look_step(others[i], ix))
                others[kept++] = others[i];
        left = kept;
    }
}

/* The topic itself, not an equal one: a look is good for the bytes it was given. */
static const struct look *look_find(struct router_ahead *a, struct bytes topic)
{
    for (; a->next < a->count; a->next++) {
        const struct look *l = &a->looks[a->next];
        if (l->walk.topic.data == topic.data && l->walk.topic.size == topic.size)
            return l->same != NULL ? l->same : l;
    }
    return NULL;
}

void index_match_ahead(const struct index *ix, struct router_ahead *a, struct bytes topic,
                       struct match_sink *sink)
{
    const struct look *l = look_find(a, topic);
    if (l == NULL || !l->is_known) {
        index_match(ix, topic, sink);
        return;
    }
    for (unsigned i = 0; i < l->found_count; i++)
        if (leaf_matches(l->found[i].leaf, topic, l->found[i].place))
            report(l->found[i].leaf, sink);
}
