/* store/store_state.h: a store, for the files that make it up.  Private to src/store. */
#pragma once

#include "store/journal.h"
#include "store/ledger.h"
#include "store/reader.h"
#include "store/segment.h"

struct store {
    const struct files *files;
    char *folder;
    uint64_t id, segment_size;
    bool is_read_only;
    int broken; /* 0, or the negative errno for which it is */
    struct file *lock;

    struct ledger ledger;   /* what is live and where */
    struct journal journal; /* where what is new goes; nothing in it of one that is only read */
    struct reader reader;   /* what was written, read back */
    struct buffer records;  /* made here: finishing, copies */

    /* Segments before this number hold nothing that is needed, by what had been written at the last
     * write, and at the last sync.  Only what is on the disk lets a segment go. */
    uint64_t dead_written, dead_synced;

    struct { /* how far the first segment that is not dead has been copied */
        uint64_t segment, offset, batch_end;
    } cleaning;
    struct buffer copied; /* of what is not written: position ranges of copies (two uint64_t) */
    uint64_t bytes_copied;
};

enum { READ_AHEAD = 64 * 1024 };

/* Remembers why; returns it. */
int store_break(struct store *s, int error);

/* Whole, valid records become part of the batch.  As store_add. */
int store_place(struct store *s, struct bytes records);
/* The next segment, with room for so many bytes of records. */
int store_roll(struct store *s, size_t size);

/* The record at a position, from the batch or from the disk.  As reader_record. */
int store_record_at(struct store *s, uint64_t position, size_t ahead, struct record *out,
                    struct bytes *raw);
/* Where the batches of a segment end, of those that were written. */
uint64_t store_written_end(const struct store *s, uint64_t segment);

void store_fault_say(struct store_fault *f, const char *path, uint64_t offset, const char *format,
                     ...) __attribute__((format(printf, 4, 5)));
