/* broker/staging.h: what a worker wants stored, from the moment it is decided until it is on the
 * disk.
 *
 *     changes, deposits -> staged -> (end of a turn) request -> storage thread -> back: all safe
 *
 * At most one request of a worker is under way; what is staged meanwhile goes with the next one.
 * Something that somebody waits for goes at the end of the turn.  A message that is with connected
 * subscribers already waits for a moment: mostly they acknowledge it first, and nothing is written.
 * What nobody waits for at all (that a message is finished) waits longer.
 *
 * All of it does nothing in a worker whose server has no store. */
#pragma once

#include "base/bytes.h"
#include "base/list.h"
#include "broker/durable_records.h"

struct answer;
struct deposit;
struct directory_entry;
struct store_request;
struct worker;

struct staging {
    struct store_request *next;      /* being filled; NULL: nothing is staged */
    struct store_request *under_way; /* NULL: none */
    struct list deposits;            /* struct deposit, in the order of publishing */
    struct buffer key;               /* of one change; its memory is used again */
    size_t bytes;                    /* of messages staged or under way */
    int64_t since_ns;      /* when the first deposit was staged; INT64_MAX: there is none */
    int64_t lazy_since_ns; /* likewise for what nobody waits for */
    bool is_urgent;        /* somebody waits */
    bool has_failed;       /* so has the store: nothing is safe any more */
    bool is_closed;        /* the worker has stopped: nothing is staged any more */
};

void staging_init(struct worker *w);
void staging_fini(struct worker *w);

bool staging_is_on(const struct worker *w); /* there is a store, and the worker has not stopped */

/* A key's new value, or its end.  0 or -ENOMEM. */
int staging_put(struct worker *w, const struct durable_key *key, struct bytes value);
int staging_remove(struct worker *w, const struct durable_key *key);

/* Of stored queues.  For want of memory the entry stays, and comes again after a restart. */
void staging_finish(struct worker *w, uint64_t key, uint64_t seq);
void staging_drop_queue(struct worker *w, uint64_t key);
void staging_drop_first(struct worker *w, uint64_t key, uint64_t from); /* seq of the first */

/* Reads entries of a Session's queue back; the answer comes to client_on_loaded.  0 or -ENOMEM. */
int staging_load(struct worker *w, uint64_t handle, uint64_t key, uint64_t from);

/* Finishes what has expired at the front of its queue; the answer comes to client_on_loaded. */
int staging_expire(struct worker *w, uint64_t handle, uint64_t key, uint64_t from);

/* Takes over a reference.  is_urgent: no subscriber is about to acknowledge it. */
void staging_deposit(struct worker *w, struct deposit *d, bool is_urgent);
/* There will be a request, even if nothing is in it: what is stored besides goes with it.  0 or
 * -ENOMEM. */
int staging_begin(struct worker *w);

/* A Session has ended.  Its claim on the Client Identifier is given back once that is on the disk:
 * so whoever comes with it comes here, and waits (staging_has_ended) until then. */
void staging_keep_claim(struct worker *w, struct directory_entry *claim);
bool staging_has_ended(const struct worker *w);

void staging_hurry(struct worker *w); /* what is staged had better go soon */

/* Every subscriber has finished it before it was written. */
void staging_settle(struct worker *w, struct deposit *d);

/* a is safe when everything that is staged now is on the disk: perhaps at once. */
void staging_answer(struct worker *w, struct answer *a);
bool staging_is_safe(const struct worker *w); /* it would be at once */

void staging_turn(struct worker *w);            /* the end of a turn: hands over what is due */
int64_t staging_due_ns(const struct worker *w); /* when staging_turn has to be called again */
void staging_on_reply(struct worker *w, struct store_request *r); /* takes it over */
void staging_close(struct worker *w); /* the worker stops: everything goes, nobody waits */

bool staging_is_over_budget(const struct worker *w); /* publishers had better wait */
bool staging_is_within_half_budget(const struct worker *w);

void staging_forget(struct store_request *r); /* what is in a request that is destroyed */
