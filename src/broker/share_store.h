/* broker/share_store.h: groups of Shared Subscriptions whose messages are stored.
 *
 * A group is durable from the moment that a durable Session joins it until it ends.  It has a key
 * and a queue in the store like a Session.  What waits in the group, or is with a member that has
 * not finished it, is in that queue; each such message has a claim, and when the group lets go of
 * it (finished, dropped, expired), the claim says so to the store. */
#pragma once

#include "base/block.h"
#include "base/bytes.h"
#include <stddef.h>

struct client;
struct deposit;
struct share;
struct worker;

/* The member's worker: it is durable, so the group is, too.  0 or -ENOMEM. */
int share_store_join(struct client *c, struct share *share);

/* A member leaves: router_share_leave; if it was the last one, the group's queue ends, too. */
size_t share_store_leave(struct worker *w, struct share *share);

/* At home, of one of the deposit's entries, or of what was found in the store (d NULL).  Holds a
 * reference to d.  NULL: no memory. */
struct block *share_claim_create(struct worker *w, struct deposit *d, uint32_t index, uint64_t key,
                                 uint64_t seq);
