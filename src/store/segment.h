/* store/segment.h: what is around records: the names of segments, their headers, and the headers of
 * batches: docs/formats/store.md.  Private to src/store.  Pure, but for segment_list. */
#pragma once

#include "base/env.h"

enum {
    STORE_VERSION = 1,
    SEGMENT_HEADER_SIZE = 48,
    SEGMENT_FIRST_BATCH = 4096,
    BATCH_HEADER_SIZE = 40,
    BATCH_ALIGNMENT = 8,
};

/* ------------------------------------------------------------------------------ segments ------ */

struct segment_header {
    uint64_t number; /* as in the name; from 1 */
    uint64_t store_id;
    uint64_t first_sequence; /* of the first batch that may stand in it */
};

/* Of the sums of everything in it. */
static inline uint64_t segment_seed(uint64_t store_id, uint64_t number)
{
    return store_id ^ number;
}

/* With the zeros behind it. */
void segment_header_encode(const struct segment_header *h, uint8_t out[SEGMENT_FIRST_BATCH]);
/* 0; -EBADMSG: no header; -EPROTONOSUPPORT: a whole one, of another version or byte order. */
int segment_header_decode(struct bytes bytes, struct segment_header *out);

/* What stands in the field, whether the header is good or not; 0 if it is too short. */
uint64_t segment_header_raw_id(struct bytes bytes);

enum segment_kind { SEGMENT_LOG, SEGMENT_SPARE };

enum { SEGMENT_NAME_SIZE = 24 };

/* "0000000000000001.log", and back: false: it is not a name of that kind. */
void segment_name(uint64_t number, enum segment_kind kind, char out[SEGMENT_NAME_SIZE]);
bool segment_name_parse(const char *name, enum segment_kind kind, uint64_t *number);
/* FOLDER/NAME.  0 or -ENAMETOOLONG. */
int segment_path(const char *folder, uint64_t number, enum segment_kind kind, char *out,
                 size_t size);

/* The numbers of a folder's files of that kind, rising.  0 or a negative errno.  The caller frees
 * *numbers (memory_free), which is NULL if there are none. */
int segment_list(const struct files *files, const char *folder, enum segment_kind kind,
                 uint64_t **numbers, size_t *count);

/* ------------------------------------------------------------------------------- batches ------ */

struct batch_header {
    uint32_t records;  /* at least one */
    uint64_t sequence; /* from 1; never UINT64_MAX, which has no next one */
    uint64_t size;     /* of the records, with their padding */
    uint64_t unsynced; /* how many batches directly before it were not known to be on the disk when
                        * it was written: 0 where each is synced before the next */
};

void batch_header_encode(const struct batch_header *h, uint64_t seed,
                         uint8_t out[BATCH_HEADER_SIZE]);
/* 0, or -EBADMSG: no header stands there.  Whether there is room for `size` is not looked at. */
int batch_header_decode(struct bytes bytes, uint64_t seed, struct batch_header *out);

/* The records behind a header: 0; or -EBADMSG: one is not whole or its sum is not right, or they do
 * not add up.  `records` is exactly h->size bytes. */
int batch_check(const struct batch_header *h, struct bytes records, uint64_t seed);
