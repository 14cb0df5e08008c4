/* store/ledger.h: what is live, and where it stands: what the records in a log come to.
 *
 * Told of every record in the order of the log, it knows for each key and each entry of a queue the
 * place of the record that counts, and for each segment about how much of it is live.  It holds no
 * bytes of keys, values or bodies.  Pure.  Private to src/store.  One thread. */
#pragma once

#include "store/seq_map.h"
#include "store/store.h"
#include "store/table.h"

#include <assert.h>

/* ---------------------------------------------------------------------------- positions ------- */

/* Where a record stands: segment number and offset in one number, which rises with the log.  0 is
 * nowhere: offsets in a segment are not below its header. */
enum { POSITION_OFFSET_BITS = 32 };

static const uint64_t position_segment_max = UINT32_MAX;
static const uint64_t position_offset_max = (uint64_t)UINT32_MAX * 8;

static inline uint64_t position_make(uint64_t segment, uint64_t offset)
{
    assert(segment <= position_segment_max && offset <= position_offset_max && offset % 8 == 0);
    return segment << POSITION_OFFSET_BITS | offset / 8;
}

static inline uint64_t position_segment(uint64_t position)
{
    return position >> POSITION_OFFSET_BITS;
}

static inline uint64_t position_offset(uint64_t position)
{
    return (position & UINT32_MAX) * 8;
}

/* ------------------------------------------------------------------------------- ledger ------- */

struct ledger_segment {
    uint64_t file_size;
    uint64_t used;       /* bytes of its batches */
    uint64_t ever, live; /* things that were put or appended in it, and those that still count */
    uint64_t each;       /* bytes per thing; 0 as long as it is the last segment */
};

struct ledger_queue;

struct ledger {
    uint64_t seed;
    struct table keys;   /* hash -> position */
    struct table queues; /* number -> struct ledger_queue, which has entries */
    uint64_t entries;

    struct seq_pool chunks; /* memory for what is to come */
    struct ledger_queue *free_queues;
    size_t free_queue_count;

    struct ledger_segment *segments; /* of consecutive numbers; the last one is written to */
    size_t segment_count, segment_capacity;
    uint64_t first_segment; /* its number */
    size_t dead_count;      /* segments at the front of which nothing is live */

    /* Sums over segments: */
    uint64_t used;        /* all */
    uint64_t closed_size; /* file sizes of those that are neither dead at the front nor the last */
    uint64_t closed_live; /* live * each of those with `each` */
};

/* The seed keys the hashes: nobody outside may know it. */
void ledger_init(struct ledger *l, uint64_t seed);
void ledger_fini(struct ledger *l);

/* The next segment; of the first one any number, then rising by one (asserted).  Memory for it was
 * reserved (asserted). */
void ledger_begin_segment(struct ledger *l, uint64_t number, uint64_t file_size);
void ledger_use(struct ledger *l, uint64_t bytes); /* of the last segment, for batches */
void ledger_forget_segment(struct ledger *l);      /* the first one; nothing in it is live */

/* Memory for one more segment, and for records that put so many keys and append so many entries: 0
 * or -ENOMEM. */
int ledger_reserve(struct ledger *l, size_t puts, size_t appends);
/* What the record says, which stands in the last segment.  Memory was reserved (asserted).
 * Finishing, removing or dropping what is not there is fine. */
void ledger_apply(struct ledger *l, const struct record *record, uint64_t position);

uint64_t ledger_key(const struct ledger *l, struct bytes key); /* its position; 0: none */
uint64_t ledger_entry(const struct ledger *l, uint64_t queue, uint64_t seq);
/* The first entry with at least this seq; false: none. */
bool ledger_next_entry(const struct ledger *l, uint64_t queue, uint64_t from, uint64_t *seq,
                       uint64_t *position);
struct store_queue ledger_queue(const struct ledger *l, uint64_t queue);

/* All, in no particular order, as long as nothing changes: start with *cursor 0.  Keys: those that
 * begin with this byte, by their positions (and maybe an empty key). */
bool ledger_next_queue(const struct ledger *l, uint64_t *cursor, uint64_t *queue);
bool ledger_next_key(const struct ledger *l, uint64_t *cursor, uint8_t first, uint64_t *position);

uint64_t ledger_last_segment(const struct ledger *l); /* its number; there must be one */
const struct ledger_segment *ledger_segment(const struct ledger *l, uint64_t number);
/* About how many bytes of batches are live; at most what is used. */
uint64_t ledger_live_bytes(const struct ledger *l);
/* Bytes of the log without what is dead at its front. */
uint64_t ledger_log_bytes(const struct ledger *l);

void ledger_check(const struct ledger *l); /* invariants; asserts */
