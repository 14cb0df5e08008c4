/* router/index.h: Topic Filters and who subscribed to them, without locks and lists of groups:
 * the data structure behind router.h.
 *
 * Readers (index_match) follow the rules of base/grace.h; writers take turns by the router's lock.
 */
#pragma once

#include "base/little_endian.h"
#include "mqtt/topic.h"
#include "router/key_set.h"
#include "router/subscriber_list.h"
#include <assert.h>


/* A text behind the struct that ends in it. */
struct key {
    uint16_t size;
    uint8_t text[];
};

static inline struct bytes key_bytes(const struct key *k)
{
    return (struct bytes){ k->text, k->size };
}

/* One filter.  A reader that looks for its subscribers finds them and the text side by side. */
struct leaf {
    struct subscriber_list list; /* its `retired` is the leaf's */
    struct key filter;
};

static_assert(offsetof(struct leaf, list.retired) == 0 && offsetof(struct leaf, filter) == 32,
              "a short filter and its subscriber share a cache line");

/* Where filters with wildcards that begin alike part: the path is the levels that they share. */
struct branch {
    struct retired retired;
    struct key_set children; /* by the name of the next level */
    _Atomic uintptr_t plus;  /* '+' is the next level */
    _Atomic uintptr_t many;  /* '#' is the next level: a leaf */
    _Atomic uintptr_t here;  /* there is no next level: a leaf */
    uint32_t end; /* where the next level begins, in the texts of members: path.size + 1; root 0 */
    struct key path;
};

/* What the sets and pointers above refer to, a member: a leaf, or a branch with the mark. */
#define BRANCH_MARK ((uintptr_t)2)

static inline struct branch *member_branch(uintptr_t member) /* NULL: it is a leaf, or nothing */
{
    return (member & BRANCH_MARK) != 0 ? (struct branch *)(member ^ BRANCH_MARK) : NULL;
}

static inline struct leaf *member_leaf(uintptr_t member)
{
    return (struct leaf *)member;
}

/* Where two words differ that were loaded with the lowest byte first. */
static inline size_t first_byte(uint64_t difference)
{
    return (unsigned)__builtin_ctzll(difference) / 8;
}

/* How many bytes at the start of both are equal, of size at most.  The last word may overlap the
 * one before it. */
static inline size_t equal_count(const uint8_t *a, const uint8_t *b, size_t size)
{
    size_t i = 0;
    uint64_t difference;
    for (; size - i >= 8; i += 8)
        if ((difference = load_u64(a + i) ^ load_u64(b + i)) != 0)
            return i + first_byte(difference);
    if (size - i >= 4) {
        if ((difference = load_u32(a + i) ^ load_u32(b + i)) != 0)
            return i + first_byte(difference);
        i = size - 4;
        difference = load_u32(a + i) ^ load_u32(b + i);
        return difference == 0 ? size : i + first_byte(difference);
    }
    while (i < size && a[i] == b[i])
        i++;
    return i;
}

/* The size of the level at the front: up to the first '/', or all there is. */
static inline size_t level_size(struct bytes text)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    size_t i = 0;
    for (; text.size - i >= 8; i += 8) {
        uint64_t word = load_u64(text.data + i) ^ ones * '/';
        uint64_t found = (word - ones) & ~word & ones * 0x80; /* the lowest bit is right */
        if (found != 0)
            return i + first_byte(found);
    }
    while (i < text.size && text.data[i] != '/')
        i++;
    return i;
}

struct index {
    struct grace *grace;
    uint64_t seed;
    struct key_set exact; /* leaves without wildcards */
    struct branch *root;  /* above the first level of all others */
};

int index_init(struct index *ix, struct grace *g, uint64_t seed); /* 0 or -ENOMEM */
void index_fini(struct index *ix); /* half-built is fine; must be empty of subscribers */

/* As router_subscribe.  *list_index is kept up to date until the subscriber is removed. */
int index_add(struct index *ix, struct bytes filter, struct subscriber who, uint32_t *list_index,
              struct leaf **leaf);
void index_remove(struct index *ix, struct leaf *leaf, uint32_t list_index);

/* As router_walk; a writer's turn. */
void index_walk(const struct index *ix,
                void (*visit)(void *context, struct bytes filter, size_t subscribers),
                void *context);

/* Walks everything; asserts.  Returns the number of subscribers. */
size_t index_check(const struct index *ix);

/* index_match.c: as router_match, and what router.h says of looking ahead. */
void index_match(const struct index *ix, struct bytes topic, struct match_sink *sink);
void index_look_ahead(const struct index *ix, struct router_ahead *a, const struct bytes *topics,
                      unsigned count);
void index_match_ahead(const struct index *ix, struct router_ahead *a, struct bytes topic,
                       struct match_sink *sink);
