/* router/index.h: Topic Filters and who subscribed to them, without locks and lists of groups:
 * the data structure behind router.h.
 *
 * Readers (index_match) follow the rules of base/grace.h; writers take turns by the router's lock.
 */
#pragma once

#include "router/key_set.h"
#include "router/subscriber_list.h"

struct wild_node;

struct index {
    struct grace *grace;
    uint64_t seed;
    struct key_set exact;   /* of struct exact_node */
    struct wild_node *wild; /* the root: above the first level */
};

enum index_kind {
    INDEX_EXACT,     /* a filter without wildcards */
    INDEX_WILD,      /* one that ends in this node of the trie */
    INDEX_WILD_MANY, /* one that ends in '#' below it */
};

struct index_spot { /* where a subscriber is, together with its index in the list */
    void *node;
    enum index_kind kind;
};

int index_init(struct index *ix, struct grace *g, uint64_t seed); /* 0 or -ENOMEM */
void index_fini(struct index *ix); /* half-built is fine; must be empty of subscribers */

/* As router_subscribe.  *list_index is kept up to date until the subscriber is removed. */
int index_add(struct index *ix, struct bytes filter, struct subscriber who, uint32_t *list_index,
              struct index_spot *spot);
void index_remove(struct index *ix, struct index_spot spot, uint32_t list_index);

struct subscriber_list *index_list(struct index_spot spot);

/* The whole filter, as long as the subscriber is there; only for INDEX_EXACT. */
struct bytes index_exact_filter(struct index_spot spot);

void index_match(const struct index *ix, struct bytes topic, struct match_sink *sink);

/* As router_walk; a writer's turn. */
void index_walk(const struct index *ix,
                void (*visit)(void *context, struct bytes filter, size_t subscribers),
                void *context);

/* Walks everything; asserts.  Returns the number of subscribers. */
size_t index_check(const struct index *ix);
