/* store/record.h: records as bytes: docs/formats/store.md, "A record".
 *
 * Whoever wants something stored writes records to a buffer, on his own thread; the store numbers,
 * sums and writes them.  Pure. */
#pragma once

#include "base/buffer.h"
#include "base/bytes.h"

enum record_type {
    RECORD_PUT = 1,
    RECORD_REMOVE,
    RECORD_APPEND,
    RECORD_FINISH,
    RECORD_DROP,
};

enum { RECORD_HEADER_SIZE = 24, RECORD_ENTRY_SIZE = 20 /* without its data */ };

struct record_entry {
    uint64_t queue, seq;
    struct bytes data;
};

/* Appends a record.  0, or -ENOMEM or -EMSGSIZE (over UINT32_MAX) and nothing is appended. */
int record_put(struct buffer *out, struct bytes key, struct bytes value);
int record_remove(struct buffer *out, struct bytes key);
int record_finish(struct buffer *out, uint64_t queue, uint64_t seq);
int record_drop(struct buffer *out, uint64_t queue);

/* The body in parts, so that a message need not be put together first. */
int record_append(struct buffer *out, const struct record_entry *entries, size_t count,
                  const struct bytes *parts, size_t part_count);

/* ------------------------------------------------------------------------------ reading ------- */

struct record {
    enum record_type type;
    uint32_t count;
    size_t size;        /* with padding: where the next one begins */
    struct bytes key;   /* put, remove */
    struct bytes value; /* put: value; append: body */
    struct bytes list;  /* append, finish, drop: entries, pairs, queues; known to be whole */
};

/* The record at the front.  The sum is not looked at.  0; -EBADMSG: no record stands here. */
int record_read(struct bytes bytes, struct record *out);

/* The next of list; false: no more.  Of a pair or a queue the rest is zero. */
bool record_next(enum record_type type, struct bytes *list, struct record_entry *out);

/* The sum that its header should have, and setting it. */
uint64_t record_sum(struct bytes record, uint64_t seed);
void record_set_sum(uint8_t *record, uint64_t seed);
