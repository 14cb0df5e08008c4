/* store/journal.h: the end of the log: the batch that is being put together, the segment it goes
 * to, and the files that will be the next ones.
 *
 * After a failed call that writes or syncs nothing more may be asked of it but to end.  Private to
 * src/store.  One thread. */
#pragma once

#include "base/env.h"

struct journal_spare;

struct journal_counts {
    uint64_t batches_written, bytes_written, segments_recycled;
};

struct journal {
    const struct files *files;
    const char *folder; /* the caller's */
    uint64_t store_id;
    uint64_t segment_size;

    /* The segment that is written to; 0: none yet. */
    uint64_t segment, capacity;
    struct file *file;
    uint64_t written_to; /* from there on the disk has blocks that were never written */

    struct buffer batch; /* its header's place, then records; empty: there is none */
    uint64_t batch_at;   /* where it will stand */
    uint32_t batch_records;
    uint64_t sequence; /* of the last batch that was written */
    uint64_t unsynced; /* how many of the last ones are not known to be on the disk */

    /* Of the numbers behind the segment's. */
    struct journal_spare *spares;
    size_t spare_count, spares_wanted;

    struct journal_counts counts;
};

/* The reserve is how many bytes of spares there should be.  0 or -ENOMEM. */
int journal_init(struct journal *j, const struct files *files, const char *folder,
                 uint64_t segment_size, uint64_t reserve);
void journal_fini(struct journal *j);

/* ------------------------------------------------------------------------------ opening ------- */

/* Goes on in a segment that was read, whose batches end at `end`; the last of them, if there is
 * one, stands at last_batch.  What is not known to be on the disk is written again, and synced. */
int journal_continue(struct journal *j, uint64_t segment, uint64_t last_batch, uint64_t end);
/* Uses the spares that an earlier broker left, and removes those it cannot use. */
int journal_adopt_spares(struct journal *j);

/* ------------------------------------------------------------------------------ writing ------- */

/* Is there room in this segment for so many bytes of records more? */
bool journal_fits(const struct journal *j, size_t size);
/* Where the next record will stand in the segment. */
uint64_t journal_end(const struct journal *j);
/* Copies records to the batch, for which there must be room (asserted): the copies, to set their
 * sums in; NULL: no memory. */
uint8_t *journal_add(struct journal *j, struct bytes records, uint32_t count);
/* A record of the batch that is not written yet; its place in the segment. */
struct bytes journal_pending(const struct journal *j, uint64_t offset);

int journal_write(struct journal *j); /* the batch; there must be one */
int journal_sync(struct journal *j);
/* Begins the next segment, instead of a file that may have its name, in which a batch of so many
 * bytes of records has room.  The batch is empty and everything synced (asserted). */
int journal_roll(struct journal *j, size_t size);

/* ------------------------------------------------------------------------------- spares ------- */

/* Makes spares until there are as many as wanted: 0, or a negative errno and there are fewer. */
int journal_make_spares(struct journal *j);
/* Bytes that may be written before the spares that are wanted are touched. */
uint64_t journal_room(struct journal *j);
/* A segment of which nothing is needed becomes a spare or goes; its batches ended at `end`.  0;
 * -EAGAIN: somebody (a backup) wants it to stay for now; or another negative errno. */
int journal_give_back(struct journal *j, uint64_t segment, uint64_t end);

void journal_check(const struct journal *j); /* invariants; asserts */
