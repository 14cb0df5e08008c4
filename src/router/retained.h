/* router/retained.h: topic name -> its Retained Message (MQTT 5.0, section 3.3.1.3).
 *
 * A tree of levels, so that a wildcard filter visits only what it can match.  One lock; walks are
 * cut into steps, so nobody holds it long.  Any worker. */
#pragma once

#include "base/bytes.h"
#include "mqtt/message.h"

struct retained;

struct retained_limits {
    size_t messages; /* 0: no limit */
    size_t bytes;    /* of message_size(); 0: no limit */
};

/* NULL: no memory. */
struct retained *retained_create(uint64_t seed, struct retained_limits limits);
void retained_destroy(struct retained *r); /* NULL is fine; no cursor may be open */

/* Sets the Retained Message of message->topic (takes a reference of its own).  An empty payload
 * clears it instead [MQTT-3.3.1-6] [MQTT-3.3.1-7].  0; -ENOMEM; -ENOSPC: a limit; nothing changed
 * on failure.  Updating or clearing an existing topic passes when the number of messages is at its
 * limit. */
int retained_set(struct retained *r, struct message *message);

/* The same, and the change is noted for whoever stores it.  With -ENOMEM, too, nothing changed. */
int retained_set_stored(struct retained *r, struct message *message);

/* From now on sweeping notes what it removes, too. */
void retained_note_updates(struct retained *r);

/* The changes since the last call, in the order in which they happened.  The caller's: each with
 * its reference (an empty payload: the topic has none any more). */
struct retained_update {
    struct retained_update *next;
    struct message *message;
};
struct retained_update *retained_take_updates(struct retained *r);

/* The message of exactly this topic, with a reference; NULL: none. */
struct message *retained_find(struct retained *r, struct bytes topic);

size_t retained_count(const struct retained *r);
size_t retained_bytes(const struct retained *r);

/* Removes messages that are expired at now_ns, visiting at most `nodes` nodes and going on where
 * the last call stopped.  How many were removed. */
size_t retained_sweep(struct retained *r, int64_t now_ns, size_t nodes);

/* A walk over all messages that match a filter; survives any change of the tree meanwhile (a
 * message set or cleared behind or before the cursor may or may not be seen, every untouched one
 * is seen exactly once).  filter is copied.  A filter starting with a wildcard does not match
 * topics that start with '$'. */
struct retained_cursor;
/* NULL: no memory. */
struct retained_cursor *retained_open(struct retained *r, struct bytes filter);
void retained_close(struct retained_cursor *c); /* NULL is fine */

/* Visits at most `nodes` nodes.  Up to max matching messages, each with a reference, go to out;
 * returns how many.  *done: the walk is over.  (0, not done) means: nothing found in this step. */
size_t retained_next(struct retained_cursor *c, struct message **out, size_t max, size_t nodes,
                     bool *done);

void retained_check(struct retained *r); /* walks the invariants; asserts */
