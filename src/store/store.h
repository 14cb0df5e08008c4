/* store/store.h: what survives: an append-only log, and what follows from it.
 *
 *     records -> store_add -> [ batch ] -> store_commit -> the disk
 *                    `-> ledger: where each live thing is
 *
 * Two kinds of things: keys with a value, and queues of entries that share bodies.  Both are bytes
 * to the store.  All of it is read at open; after that only queues are read again.  Format:
 * docs/formats/store.md.
 *
 * One thread.  No clock, no randomness but what the caller gives; the disk only through the door.
 * After a failed write or sync the store is broken: every later call says so (-EIO), and only
 * opening it anew tells what is on the disk. */
#pragma once

#include "base/env.h"
#include "store/record.h"

struct store;

/* What is wrong, where: for people. */
struct store_fault {
    char text[400];
    char path[256];
    uint64_t offset;
};

struct store_options {
    const struct files *files;
    const char *folder;
    uint64_t id;           /* of a new store: random */
    uint64_t segment_size; /* 0: 16 MiB */
    uint64_t reserve;      /* bytes kept for what makes room: finishing, removing, cleaning */
    bool is_read_only;     /* takes no lock, writes nothing, for tools */
    /* Called now and then while segments are read; NULL: nobody asks. */
    void (*on_progress)(void *context, uint64_t bytes_read, uint64_t bytes_in_all);
    void *context;
};

/* Opens it, or makes a new one where there is none.  0, or a negative errno with *fault filled in:
 * -EAGAIN: somebody else has it open; -EBADMSG: damaged; -EPROTONOSUPPORT: of another version or
 * byte order.  On failure nothing in the folder has been changed, but that `lock` may be there. */
int store_open(const struct store_options *o, struct store **out, struct store_fault *fault);
void store_close(struct store *s); /* what was not committed is lost.  NULL is fine */

/* Whole records (record.h; sums are set here, so it writes to them) become part of the batch.  They
 * count at once for whatever is asked below.  0, -ENOMEM and nothing has changed, -EIO: broken;
 * -EBADMSG: these are no records. */
int store_add(struct store *s, uint8_t *records, size_t size);

/* Finishes the first entry of a queue with at least this seq, whichever it is.  As store_add;
 * -ENOENT: there is none. */
int store_finish_first(struct store *s, uint64_t queue, uint64_t from);

/* Writes the batch and waits until it is on the disk; does nothing if there is none.  0, or the
 * errno for which it broke.  -ENOSPC: not even the reserve was enough, and it is broken. */
int store_commit(struct store *s);
/* The same in two halves, where the operator accepts to lose the last moments: written is safe from
 * a crash of the broker, synced from one of the machine. */
int store_write(struct store *s);
int store_sync(struct store *s);

size_t store_batch_size(const struct store *s); /* bytes, 0: nothing to commit */

/* Bytes that may be added before the reserve is touched, by a look at the disk. */
uint64_t store_room(struct store *s);

/* Copies up to so many bytes out of the oldest segment, into the batch, if the log is larger than
 * it should be; gives segments back that have become empty and whose copies are committed.  1:
 * there is more to do (is_short: there is no room, so it should be as small as can be); 0; or a
 * negative errno as store_commit.  Not broken, and what could not be copied stays where it is:
 * -ENOMEM; -EBADMSG or another errno: it cannot be read. */
int store_clean(struct store *s, size_t bytes_max, bool is_short);

/* ------------------------------------------------------------------------------ reading ------- */

/* While a sink or a reader is called, the store must not be changed. */

struct store_sink {
    /* False: stop.  The bytes are good until it returns. */
    bool (*on_key)(struct store_sink *, struct bytes key, struct bytes value);
};

/* All keys that begin with this byte, in the order of their places in the log.  0, or a negative
 * errno with *fault. */
int store_walk(struct store *s, uint8_t first, struct store_sink *sink, struct store_fault *fault);

struct store_queue {
    uint64_t first, last; /* seq of the oldest and of the newest entry; 0 0: it is empty */
    uint64_t count;
};
struct store_queue store_queue(const struct store *s, uint64_t queue);
/* All queues that have entries: start with *cursor 0; false at the end. */
bool store_next_queue(const struct store *s, uint64_t *cursor, uint64_t *queue);

struct store_reader {
    /* data and body are good until it returns.  False: stop after this one. */
    bool (*on_entry)(struct store_reader *, uint64_t seq, struct bytes data, struct bytes body);
    /* This one cannot be read; what it is worth is the caller's decision.  -EBADMSG: it is damaged;
     * another errno: the disk did not give it this time. */
    void (*on_damaged)(struct store_reader *, uint64_t seq, int error,
                       const struct store_fault *fault);
};

/* Committed entries of a queue, in the order of seq, from the first with at least this one.  0 or
 * -ENOMEM. */
int store_read_queue(struct store *s, uint64_t queue, uint64_t from, struct store_reader *reader);

struct store_stats {
    uint64_t segments, bytes; /* bytes: of the batches in them */
    uint64_t live_bytes;      /* about */
    uint64_t keys, queues, entries;
    uint64_t sequence;                                     /* of the last batch */
    uint64_t batches_written, bytes_written, bytes_copied; /* since it was opened */
    uint64_t segments_recycled;
};
struct store_stats store_stats(const struct store *s);

void store_check(const struct store *s); /* invariants; asserts */
