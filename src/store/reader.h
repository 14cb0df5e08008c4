/* store/reader.h: records read back from segments that were written before.
 *
 * A few files stay open, and one stretch of a file stays in memory, so that who reads forward asks
 * the disk once for many records.  Private to src/store.  One thread. */
#pragma once

#include "base/env.h"
#include "store/record.h"

enum { READER_FILES = 8 };

struct reader_file {
    uint64_t segment; /* 0: free */
    struct file *file;
    uint64_t used; /* when, by the count of uses */
};

struct reader {
    const struct files *files;
    const char *folder; /* the caller's */
    uint64_t store_id;
    struct reader_file open[READER_FILES];
    uint64_t uses;
    struct buffer chunk; /* of chunk_segment, from chunk_offset on */
    uint64_t chunk_segment, chunk_offset;
};

void reader_init(struct reader *r, const struct files *files, const char *folder);
void reader_fini(struct reader *r);

/* Could the record there be read without the disk?  If it is not very large. */
bool reader_has(const struct reader *r, uint64_t segment, uint64_t offset);

/* Bytes of a segment, good until the next call.  `ahead`: as many are read at once as are there,
 * but nothing from `end` on.  0; -EBADMSG: the file ends before; -ENOMEM; or another negative
 * errno. */
int reader_bytes(struct reader *r, uint64_t segment, uint64_t offset, size_t size, size_t ahead,
                 uint64_t end, struct bytes *out);
/* The record there, with the sum that it should have; as reader_bytes.  -EBADMSG, too: it has not,
 * or it does not end before `end`. */
int reader_record(struct reader *r, uint64_t segment, uint64_t offset, size_t ahead, uint64_t end,
                  struct record *out, struct bytes *raw);

/* The file of this segment will be another one's. */
void reader_forget(struct reader *r, uint64_t segment);
