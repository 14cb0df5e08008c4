/* router/router.h: topic name -> who.  The subscription index (MQTT 5.0, section 4.7).
 *
 *     exact   hash  topic -> subscribers      filters without a wildcard
 *     wild    trie  level -> child, '+', '#'  only filters with wildcards
 *
 * Any worker may call anything.  Changes take one lock.  A match takes none: it reads what writers
 * publish, under the grace period rules of base/grace.h, so the caller must be an online reader,
 * and what it was told is good until its next quiescent state. */
#pragma once

#include "base/bytes.h"
#include "base/grace.h"
#include "router/subscriber.h"
#include <stdbool.h>

struct router;

/* One filter of one session, or of one group.  Its memory is the caller's, and stays where it is
 * while it is subscribed; what is in it is the router's. */
struct subscription {
    struct leaf *leaf; /* NULL: not subscribed */
    uint32_t list_index;
} __attribute__((packed, aligned(4))); /* 12 bytes: there are as many as Clients, or more */

/* seed keys the hashes.  grace outlives the router.  NULL: no memory. */
struct router *router_create(struct grace *grace, uint64_t seed);
void router_destroy(struct router *r); /* NULL is fine.  No subscription may be left. */

/* Adds a subscription for a valid filter (no $share/ prefix).  It matches as soon as this returns.
 * Adding the same filter for the same handle twice is the caller's mistake: see
 * router_subscription_update.  0 and *s, or -ENOMEM and nothing changed. */
int router_subscribe(struct router *r, struct bytes filter, struct subscriber who,
                     struct subscription *s);

/* New options and id in place: concurrent matches see the old or the new pair, never none and never
 * a mixture [MQTT-3.8.4-4]. */
void router_subscription_update(struct router *r, struct subscription *s, uint32_t options,
                                uint32_t id);

/* Ends it: no later match reports it. */
void router_unsubscribe(struct router *r, struct subscription *s);

struct bytes router_subscription_filter(const struct subscription *s);
struct subscriber router_subscription_subscriber(const struct router *r,
                                                 const struct subscription *s);

/* Calls sink->match once per matching subscription, in subscription order within a filter.
 * topic is a valid Topic Name.  A filter that starts with a wildcard does not match a name that
 * starts with '$' [MQTT-4.7.2-1].  Work is bounded by the nodes that match a prefix of the
 * topic. */
struct match_sink {
    void (*match)(struct match_sink *sink, struct subscriber who);
};
void router_match(const struct router *r, struct bytes topic, struct match_sink *sink);

/* Many topics at a time: what a match has to fetch from memory is fetched for all of them
 * together.  Who has several messages before him says so, and then matches each in its turn.
 *
 *     router_look_ahead(r, a, { t1, t2, t3 })     as if all had been matched now
 *     router_match_ahead(r, a, t1, sink)          reports; subscriptions that have ended since not
 *     ...
 *     router_ahead_forget(a)
 *
 * A topic is known by where it is: the bytes must stay until it is forgotten, and that must be
 * before the caller's next quiescent state.  Those that are looked for need not be valid, but not
 * be empty; they are asked for in the same order, some perhaps not at all; and for others, asked
 * for whenever, router_match_ahead is router_match. */
enum { ROUTER_AHEAD_MAX = 16 };

struct router_ahead;

struct router_ahead *router_ahead_create(void);    /* NULL: no memory */
void router_ahead_destroy(struct router_ahead *a); /* NULL is fine */
void router_look_ahead(const struct router *r, struct router_ahead *a, const struct bytes *topics,
                       unsigned count);
void router_match_ahead(const struct router *r, struct router_ahead *a, struct bytes topic,
                        struct match_sink *sink);
void router_ahead_forget(struct router_ahead *a);

size_t router_subscription_count(const struct router *r);

/* Calls visit for each filter, in no order, with the number of its subscribers; a group is one.
 * filter is good during the call.  Nobody can subscribe or unsubscribe meanwhile, visit neither:
 * it had better be quick.  Needs 64 KiB of stack, and no reader's place in the grace period. */
void router_walk(const struct router *r,
                 void (*visit)(void *context, struct bytes filter, size_t subscribers),
                 void *context);

/* Shared Subscriptions: which groups exist (section 4.8.2).
 *
 * A group has a home worker, where its queue lives (router/share.h); the index holds one entry for
 * it.  Members register here so that the group's entry exists exactly while it has members. */
struct share; /* one (name, filter) pair with at least one member */

struct share_options {
    struct bytes name;   /* ShareName */
    struct bytes filter; /* without the $share/ prefix */
    unsigned home;       /* worker to be home if the group is new */
};

/* Adds one member.  *out is the group, *is_new whether it was made by this call; the first member
 * makes the index entry.  0, or -ENOMEM and nothing changed. */
int router_share_join(struct router *r, const struct share_options *o, struct share **out,
                      bool *is_new);

/* SUBSCRIBER_DURABLE is among the options of its matches from now on. */
void router_share_set_durable(struct router *r, struct share *s);

/* Removes one member.  0: others are left.  Else it was the last one, the entry is gone and so is
 * s, and so many had joined in all: their home has to hear as many leave before it is all over. */
size_t router_share_leave(struct router *r, struct share *s);

uint64_t router_share_handle(const struct share *s); /* the group's handle; good while a member */
struct bytes router_share_filter(const struct share *s); /* "$share/NAME/FILTER"; likewise */
size_t router_share_count(const struct router *r);

/* Walks the invariants; for tests and the simulator.  Asserts. */
void router_check(const struct router *r);
