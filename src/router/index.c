/* router/index.c: filters without wildcards in one flat set, the others in a trie of their levels.
 *
 *     exact   { "fleet/07/dev1/temp", "fleet/07/dev2/temp", ... }
 *
 *     root --- "fleet" --- '+' ------ "fleet/+/dev1" --- "chan" --> [ fleet/+/dev1/chan ]
 *                 |                                '------ '#' ---> [ fleet/+/dev1/# ]
 *                 '-------------------------------------- "07" ---> [ fleet/07/dev2/# ]
 *
 * A leaf [ ] is a filter with its whole text and its subscribers, alike in both.  The trie has only
 * the branches that it takes to tell leaves apart: every one but the root has two members at least.
 * The levels between a branch and what is below it are compared on arrival.  So most filters cost a
 * leaf and a slot, and finding one of very many touches two places in memory that are not in the
 * cache.
 *
 * Leaves and branches never change their text and never move.  Each has all its levels from the
 * first, and the path of a branch is the beginning of every text below it, so a reader goes on
 * comparing where it has come to, whatever branches came to be or went above.  When a filter comes
 * that shares some more levels with a member, a branch for these is built out of sight, both in it,
 * and one store puts it where the member was; when only one member is left, it takes the place of
 * the branch.
 *
 * Rejected: one trie for everything (four times slower when cold), numbers for level names (one
 * more dependent access per level), a cache of topics (any SUBSCRIBE empties it), a flat set of
 * filters that is asked for every combination of wildcards in use (who subscribes to a thousand
 * different ones makes every message pay for them). */
#include "router/index.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/uninitialized.h"

#include <assert.h>
#include <errno.h>

static bool level_is(struct bytes level, char wildcard)
{
    return level.size == 1 && level.data[0] == wildcard;
}

static uintptr_t load(const _Atomic uintptr_t *place) /* writer */
{
    return atomic_load_explicit(place, memory_order_relaxed);
}

/* ---------------------------------------------------------------------- leaves and branches ----
 */

/* An object of `size` that ends in a key at `offset`, zero but for the key. */
static void *node_alloc(size_t size, size_t offset, struct bytes text)
{
    assert(text.size <= UINT16_MAX);
    size_t needed = offset + offsetof(struct key, text) + text.size;
    void *node = memory_alloc_zero(needed > size ? needed : size);
    if (node == NULL)
        return NULL;
    struct key *k = (struct key *)(void *)((char *)node + offset);
    k->size = (uint16_t)text.size;
    if (text.size > 0)
        memcpy(k->text, text.data, text.size);
    return node;
}

/* With its first subscriber. */
static struct leaf *leaf_create(struct index *ix, struct bytes filter, struct subscriber who,
                                uint32_t *list_index)
{
    struct leaf *leaf = node_alloc(sizeof(*leaf), offsetof(struct leaf, filter), filter);
    if (leaf == NULL)
        return NULL;
    int result = subscriber_list_add(&leaf->list, ix->grace, who, list_index);
    assert(result == 0);
    return leaf;
}

static struct branch *branch_create(struct bytes path)
{
    struct branch *b = node_alloc(sizeof(struct branch), offsetof(struct branch, path), path);
    if (b != NULL)
        b->end = (uint32_t)path.size + 1;
    return b;
}

static uintptr_t branch_member(struct branch *b)
{
    return (uintptr_t)b | BRANCH_MARK;
}

/* Walks all that goes on from here: start with *cursor = 0; 0 at the end. */
static uintptr_t branch_next(const struct branch *b, size_t *cursor)
{
    const _Atomic uintptr_t *const others[] = { &b->plus, &b->many, &b->here };
    enum { OTHERS = sizeof others / sizeof others[0] };
    while (*cursor < OTHERS) {
        uintptr_t member = load(others[(*cursor)++]);
        if (member != 0)
            return member;
    }
    size_t child = *cursor - OTHERS;
    uintptr_t member = key_set_next(&b->children, &child);
    *cursor = child + OTHERS;
    return member;
}

int index_init(struct index *ix, struct grace *g, uint64_t seed)
{
    *ix = (struct index){ .grace = g, .seed = seed, .root = branch_create(BYTES("")) };
    if (ix->root == NULL)
        return -ENOMEM;
    ix->root->end = 0;
    return 0;
}

void index_fini(struct index *ix)
{
    size_t cursor = 0;
    if (ix->root != NULL) /* no subscriber left, hence nothing else */
        assert(key_set_is_empty(&ix->exact) && branch_next(ix->root, &cursor) == 0);
    memory_free(ix->root);
    ix->root = NULL;
}

/* ------------------------------------------------------------------------------ exact ones ---- */

struct filter_hash {
    struct key_hash hash;
    uint64_t seed;
};

static uint64_t hash_of_filter(const struct key_hash *h, uintptr_t member)
{
    const struct filter_hash *f = container_of(h, struct filter_hash, hash);
    return hash_bytes(f->seed, key_bytes(&member_leaf(member)->filter));
}

static struct leaf *exact_find(const struct index *ix, uint64_t hash, struct bytes filter)
{
    struct key_view v = key_set_view(&ix->exact);
    uint64_t cursor = 0;
    for (uintptr_t m; (m = key_view_next(v, hash, &cursor)) != 0;)
        if (bytes_equal(key_bytes(&member_leaf(m)->filter), filter))
            return member_leaf(m);
    return NULL;
}

static int exact_add(struct index *ix, struct bytes filter, struct subscriber who,
                     uint32_t *list_index, struct leaf **out)
{
    const struct filter_hash h = { { hash_of_filter }, ix->seed };
    uint64_t hash = hash_bytes(ix->seed, filter);
    *out = exact_find(ix, hash, filter);
    if (*out != NULL)
        return subscriber_list_add(&(*out)->list, ix->grace, who, list_index);

    struct leaf *leaf = leaf_create(ix, filter, who, list_index);
    if (leaf == NULL)
        return -ENOMEM;
    int result = key_set_add(&ix->exact, ix->grace, &h.hash, hash, (uintptr_t)leaf);
    if (result != 0) {
        memory_free(leaf);
        return result;
    }
    *out = leaf;
    return 0;
}

static void exact_remove(struct index *ix, struct leaf *leaf)
{
    const struct filter_hash h = { { hash_of_filter }, ix->seed };
    uint64_t hash = hash_bytes(ix->seed, key_bytes(&leaf->filter));
    key_set_remove(&ix->exact, ix->grace, &h.hash, hash, (uintptr_t)leaf);
}

/* ----------------------------------------------------------------------------------- steps ---- */

static struct bytes member_text(uintptr_t member)
{
    const struct branch *b = member_branch(member);
    return b != NULL ? key_bytes(&b->path) : key_bytes(&member_leaf(member)->filter);
}

/* How a text goes on from a branch. */
struct step {
    enum { STEP_CHILD, STEP_PLUS, STEP_MANY, STEP_HERE } kind;
    struct bytes level; /* STEP_CHILD */
    uint64_t hash;      /* the same */
};

static struct bytes level_from(struct bytes text, size_t start)
{
    struct bytes rest = bytes_after(text, start);
    return bytes_of(rest.data, level_size(rest));
}

static struct step step_from(const struct index *ix, const struct branch *b, struct bytes text)
{
    if (b->end > text.size)
        return (struct step){ .kind = STEP_HERE };
    struct bytes level = level_from(text, b->end);
    if (level_is(level, '#'))
        return (struct step){ .kind = STEP_MANY };
    if (level_is(level, '+'))
        return (struct step){ .kind = STEP_PLUS };
    return (struct step){ STEP_CHILD, level, hash_bytes(ix->seed, level) };
}

struct level_hash {
    struct key_hash hash;
    uint64_t seed;
    size_t start; /* of the level, in the members' texts */
};

static uint64_t hash_of_level(const struct key_hash *h, uintptr_t member)
{
    const struct level_hash *l = container_of(h, struct level_hash, hash);
    return hash_bytes(l->seed, level_from(member_text(member), l->start));
}

static uintptr_t child_find(const struct branch *b, const struct step *s)
{
    struct key_view v = key_set_view(&b->children);
    uint64_t cursor = 0;
    for (uintptr_t m; (m = key_view_next(v, s->hash, &cursor)) != 0;)
        if (bytes_equal(level_from(member_text(m), b->end), s->level))
            return m;
    return 0;
}

static _Atomic uintptr_t *step_place(struct branch *b, const struct step *s)
{
    return s->kind == STEP_PLUS ? &b->plus : s->kind == STEP_MANY ? &b->many : &b->here;
}

/* Where the step leads; 0: nowhere. */
static uintptr_t step_take(struct branch *b, const struct step *s)
{
    return s->kind == STEP_CHILD ? child_find(b, s) : load(step_place(b, s));
}

/* Lets the step, which led to `old`, lead to `member`; 0 is nowhere.  -ENOMEM: nothing changed;
 * only when a second child or a later one is added. */
static int step_change(struct index *ix, struct branch *b, const struct step *s, uintptr_t old,
                       uintptr_t member)
{
    const struct level_hash h = { { hash_of_level }, ix->seed, b->end };
    if (s->kind != STEP_CHILD)
        atomic_store_explicit(step_place(b, s), member, memory_order_release);
    else if (old == 0)
        return key_set_add(&b->children, ix->grace, &h.hash, s->hash, member);
    else if (member == 0)
        key_set_remove(&b->children, ix->grace, &h.hash, s->hash, old);
    else
        key_set_replace(&b->children, s->hash, old, member);
    return 0;
}

/* ------------------------------------------------------------------------------------- add ---- */

/* The levels at the start of both texts that are the same, without the '/' after them. */
static struct bytes common_levels(struct bytes a, struct bytes b)
{
    size_t end = equal_count(a.data, b.data, a.size < b.size ? a.size : b.size);
    bool a_ends = end == a.size || a.data[end] == '/';
    bool b_ends = end == b.size || b.data[end] == '/';
    if (!a_ends || !b_ends) /* in the middle of a level */
        while (end > 0 && a.data[--end] != '/') {
        }
    return bytes_of(a.data, end);
}

static int put(struct index *ix, struct branch *b, uintptr_t member)
{
    struct step s = step_from(ix, b, member_text(member));
    return step_change(ix, b, &s, 0, member);
}

/* A branch for what a member and a new leaf share takes the member's place below b. */
static int fork_member(struct index *ix, struct branch *b, const struct step *s, uintptr_t member,
                       struct bytes path, struct leaf *leaf)
{
    struct branch *fork = branch_create(path);
    if (fork == NULL)
        return -ENOMEM;
    int result = put(ix, fork, member);
    assert(result == 0);
    result = put(ix, fork, (uintptr_t)leaf);
    if (result != 0) {
        memory_free(fork);
        return result;
    }
    return step_change(ix, b, s, member, branch_member(fork));
}

static int wild_add(struct index *ix, struct bytes filter, struct subscriber who,
                    uint32_t *list_index, struct leaf **out)
{
    struct branch *b = ix->root;
    struct bytes common = BYTES("");
    struct step s;
    uintptr_t member;
    for (;;) {
        s = step_from(ix, b, filter);
        member = step_take(b, &s);
        if (member == 0)
            break;
        common = common_levels(filter, member_text(member));
        struct branch *next = member_branch(member);
        if (next == NULL || common.size < next->path.size)
            break;
        b = next;
    }

    bool is_known = member != 0 && bytes_equal(member_text(member), filter);
    if (is_known) { /* not a branch: one whose path is the filter has been entered */
        *out = member_leaf(member);
        return subscriber_list_add(&(*out)->list, ix->grace, who, list_index);
    }
    struct leaf *leaf = leaf_create(ix, filter, who, list_index);
    if (leaf == NULL)
        return -ENOMEM;
    int result = member == 0 ? step_change(ix, b, &s, 0, (uintptr_t)leaf)
                             : fork_member(ix, b, &s, member, common, leaf);
    if (result != 0) {
        memory_free(leaf);
        return result;
    }
    *out = leaf;
    return 0;
}

int index_add(struct index *ix, struct bytes filter, struct subscriber who, uint32_t *list_index,
              struct leaf **leaf)
{
    if (topic_filter_has_wildcard(filter))
        return wild_add(ix, filter, who, list_index, leaf);
    return exact_add(ix, filter, who, list_index, leaf);
}

/* ---------------------------------------------------------------------------------- remove ---- */

/* Has it one member or none?  *only is that one, or 0. */
static bool branch_is_spare(const struct branch *b, uintptr_t *only)
{
    size_t cursor = 0;
    *only = branch_next(b, &cursor);
    return *only == 0 || branch_next(b, &cursor) == 0;
}

/* Takes the leaf out, and the branch that it has left with one member. */
static void wild_remove(struct index *ix, struct leaf *leaf)
{
    struct branch *b = ix->root, *above = NULL;
    struct bytes filter = key_bytes(&leaf->filter);
    struct step s = step_from(ix, b, filter), step_above = s;
    for (uintptr_t member; (member = step_take(b, &s)) != (uintptr_t)leaf;) {
        above = b;
        step_above = s;
        b = member_branch(member);
        assert(b != NULL);
        s = step_from(ix, b, filter);
    }
    int result = step_change(ix, b, &s, (uintptr_t)leaf, 0);
    assert(result == 0);

    uintptr_t only;
    if (above == NULL || !branch_is_spare(b, &only))
        return;
    assert(only != 0); /* there were two */
    result = step_change(ix, above, &step_above, branch_member(b), only);
    assert(result == 0);
    grace_retire(ix->grace, &b->retired); /* as it is: readers may be there */
}

void index_remove(struct index *ix, struct leaf *leaf, uint32_t list_index)
{
    subscriber_list_remove(&leaf->list, ix->grace, list_index);
    if (!subscriber_list_is_empty(&leaf->list))
        return;
    if (topic_filter_has_wildcard(key_bytes(&leaf->filter)))
        wild_remove(ix, leaf);
    else
        exact_remove(ix, leaf);
    subscriber_list_fini(&leaf->list, ix->grace);
    grace_retire(ix->grace, &leaf->list.retired);
}

/* ------------------------------------------------------------------------------------ walk ---- */

/* The trie, each branch before what is below it. */
struct trie_walk {
    unsigned depth;
    struct {
        const struct branch *branch;
        size_t cursor;
    } path[TOPIC_LEVELS_MAX + 1];
};

static void trie_walk_start(struct trie_walk *w, const struct index *ix)
{
    w->depth = 0;
    w->path[0].branch = ix->root;
    w->path[0].cursor = 0;
}

/* The next member, w->depth branches below the root; 0: that was all. */
static uintptr_t trie_walk_next(struct trie_walk *w)
{
    for (;;) {
        uintptr_t member = branch_next(w->path[w->depth].branch, &w->path[w->depth].cursor);
        if (member == 0 && w->depth == 0)
            return 0;
        if (member == 0) {
            w->depth--;
            continue;
        }
        if (member_branch(member) != NULL) {
            assert(w->depth < TOPIC_LEVELS_MAX);
            w->depth++;
            w->path[w->depth].branch = member_branch(member);
            w->path[w->depth].cursor = 0;
        }
        return member;
    }
}

void index_walk(const struct index *ix,
                void (*visit)(void *context, struct bytes filter, size_t subscribers),
                void *context)
{
    size_t cursor = 0;
    for (uintptr_t m; (m = key_set_next(&ix->exact, &cursor)) != 0;)
        visit(context, key_bytes(&member_leaf(m)->filter), member_leaf(m)->list.count);

    struct trie_walk walk UNINITIALIZED;
    trie_walk_start(&walk, ix);
    for (uintptr_t m; (m = trie_walk_next(&walk)) != 0;)
        if (member_branch(m) == NULL)
            visit(context, key_bytes(&member_leaf(m)->filter), member_leaf(m)->list.count);
}

/* ----------------------------------------------------------------------------------- check ---- */

static size_t leaf_check(const struct leaf *leaf)
{
    assert(!subscriber_list_is_empty(&leaf->list));
    subscriber_list_check(&leaf->list);
    return leaf->list.count;
}

static size_t exact_check(const struct index *ix)
{
    const struct filter_hash h = { { hash_of_filter }, ix->seed };
    size_t subscribers = 0, cursor = 0;
    key_set_check(&ix->exact, &h.hash);
    for (uintptr_t m; (m = key_set_next(&ix->exact, &cursor)) != 0;) {
        assert(!topic_filter_has_wildcard(key_bytes(&member_leaf(m)->filter)));
        subscribers += leaf_check(member_leaf(m));
    }
    return subscribers;
}

/* Its members are where their texts lead, and those begin with its path. */
static void branch_check(const struct index *ix, struct branch *b)
{
    const struct level_hash h = { { hash_of_level }, ix->seed, b->end };
    size_t cursor = 0;
    uintptr_t only;
    assert(b == ix->root ? b->end == 0 : b->end == b->path.size + 1u);
    assert(b == ix->root || !branch_is_spare(b, &only));
    key_set_check(&b->children, &h.hash);
    for (uintptr_t m; (m = branch_next(b, &cursor)) != 0;) {
        struct bytes text = member_text(m);
        struct step s = step_from(ix, b, text);
        assert(step_take(b, &s) == m);
        assert(bytes_equal(common_levels(text, key_bytes(&b->path)), key_bytes(&b->path)));
    }
}

static size_t wild_check(const struct index *ix)
{
    size_t subscribers = 0;
    struct trie_walk walk UNINITIALIZED;
    trie_walk_start(&walk, ix);
    branch_check(ix, ix->root);
    for (uintptr_t m; (m = trie_walk_next(&walk)) != 0;) {
        if (member_branch(m) != NULL)
            branch_check(ix, member_branch(m));
        else
            subscribers += leaf_check(member_leaf(m));
    }
    return subscribers;
}

size_t index_check(const struct index *ix)
{
    return exact_check(ix) + wild_check(ix);
}
