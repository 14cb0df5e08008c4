/* session/disk_queue.h: what a durable Session knows of that part of its queue which is on the disk
 * only, or on its way there: how many, from which place on, and how loading goes.  Nothing here
 * reads a disk.
 *
 *      in memory | on the disk only: count of them ...
 *                ^ from
 *
 * They get onto the disk in any order.  One that is still on its way (unsafe) would not be found by
 * a load that finds newer ones, and nobody would look for it again.  So nothing is taken from a
 * load behind the first that was unsafe when it began.
 *
 * One thread. */
#pragma once

#include "session/seq_set.h"

struct disk_queue {
    uint64_t from; /* every stored delivery in memory is before this place */
    uint64_t count;
    struct seq_set unsafe;

    uint64_t sent_end;    /* all that were ever sent are before this place */
    uint64_t old_end;     /* so it was at the last restart */
    uint64_t repeat_end;  /* places before this one may have been sent before a restart */
    uint32_t repeat_left; /* so many of the next ones, too, as they come */

    bool is_loading;
    bool is_stale;     /* what the load under way brings is not wanted any more */
    bool has_loaded;   /* it has brought something */
    bool has_changed;  /* something got onto the disk since it was asked for */
    bool is_waiting;   /* the last load found nothing: until something gets onto the disk */
    uint64_t load_end; /* it is good up to here */
};

void disk_queue_init(struct disk_queue *q, uint64_t from);
void disk_queue_fini(struct disk_queue *q);

/* After a restart; of those before sent_end, so many at most were under way. */
void disk_queue_restore(struct disk_queue *q, uint64_t first, uint64_t count, uint64_t sent_end,
                        uint32_t under_way);

static inline bool disk_queue_is_empty(const struct disk_queue *q)
{
    return q->count == 0;
}

/* May it have been under way before a restart? */
static inline bool disk_queue_is_repeat(const struct disk_queue *q, uint64_t seq)
{
    return seq < q->repeat_end;
}

/* One that arrives may be left on the disk if nothing in memory is newer; else loading from there
 * would bring again what is in memory.  Leaving it: 0 or -ENOMEM. */
static inline bool disk_queue_may_leave(const struct disk_queue *q, uint64_t seq)
{
    return seq >= q->from;
}
int disk_queue_leave(struct disk_queue *q, uint64_t seq, bool is_unsafe);

/* One that arrives goes into memory. */
void disk_queue_pass(struct disk_queue *q, uint64_t seq);

/* Some leave memory, where nothing newer stays, and no load is under way.  So many of them are
 * unsafe; then each of them. */
int disk_queue_reserve(struct disk_queue *q, size_t unsafe_count); /* 0 or -ENOMEM */
void disk_queue_put_back(struct disk_queue *q, uint64_t seq, bool is_unsafe);

/* Drops the first one that can be found from `from` on; false: perhaps none can be found now. */
bool disk_queue_drop_first(struct disk_queue *q);

/* True: it is not one of those in memory. */
bool disk_queue_on_stored(struct disk_queue *q, uint64_t seq);

/* Loading: begin; wants and take for each; end.  In between it may be abandoned. */
bool disk_queue_begin_load(struct disk_queue *q); /* false: none there, or not now */
bool disk_queue_wants(const struct disk_queue *q, uint64_t seq);
void disk_queue_take(struct disk_queue *q, uint64_t seq);
void disk_queue_abandon_load(struct disk_queue *q); /* fine if there is none */
void disk_queue_end_load(struct disk_queue *q, bool is_last);

void disk_queue_check(const struct disk_queue *q);
