/* store/ledger.c: two tables of positions, and a count for each segment.
 *
 *     keys      hash of "r/a/b"  -->  segment 7, offset 4136
 *     queues    42  -->  seq_map: 1000 -> 7, 4200   1001 -> 7, 4200   1002 -> 8, 9016
 *
 *     segments     7                8                9
 *                  used  15.9 MiB   used  16.0 MiB   used   3.1 MiB   <-- the log grows here
 *                  ever  50,000     ever  61,000     ever  12,000
 *                  live   1,200     live  60,990     live  12,000
 *
 * A thing is an entry in a queue or the value of a key.  It counts where its newest record stands:
 * replacing it, finishing it, or writing it again when its segment is emptied take it from the
 * count of one segment, and the latter add it to another's.  Things of a segment are taken to be of
 * one size: what is live in it is estimated as used * live / ever.  After a segment has been
 * emptied, its copies stand in one where nearly everything is live, so an estimate that is wrong
 * does not stay wrong.
 *
 * Of a key we keep 120 bits of hash and its first byte.  Two keys with the same are taken for one.
 * Among 10^9 keys that happens with a probability of about 10^18 / 2^121, less than 10^-18: less
 * than that the disk returns other bytes with the right sum.  The seed is the store's id, which is
 * random and never leaves the machine, so nobody can look for such keys beforehand. */
#include "store/ledger.h"
#include "base/memory.h"

#include <assert.h>
#include <errno.h>
#include <xxhash.h>

/* What is kept for the next records.  A batch of more entries than that allocates. */
enum { POOL_CHUNKS = 4096, POOL_QUEUES = 4096 };

struct ledger_queue {
    uint64_t number;
    struct seq_map entries; /* never empty */
    struct ledger_queue *next_free;
};

void ledger_init(struct ledger *l, uint64_t seed)
{
    *l = (struct ledger){ .seed = seed };
}

/* ------------------------------------------------------------------------------- queues ------- */

static struct table_key queue_key(const struct ledger *l, uint64_t number)
{
    uint64_t mixed = (number ^ l->seed) * 0x9e3779b97f4a7c15u;
    return (struct table_key){ mixed ^ mixed >> 32, number };
}

static struct ledger_queue *slot_queue(const struct table_slot *slot)
{
    return (struct ledger_queue *)(uintptr_t)slot->value;
}

static struct ledger_queue *find_queue(const struct ledger *l, uint64_t number)
{
    struct table_slot *slot = table_find(&l->queues, queue_key(l, number));
    return slot == NULL ? NULL : slot_queue(slot);
}

static struct ledger_queue *add_queue(struct ledger *l, uint64_t number)
{
    struct ledger_queue *q = l->free_queues;
    assert(q != NULL); /* was reserved */
    l->free_queues = q->next_free;
    l->free_queue_count--;
    *q = (struct ledger_queue){ .number = number };
    table_add(&l->queues, queue_key(l, number), (uintptr_t)q);
    return q;
}

static void give_queue(struct ledger *l, struct ledger_queue *q)
{
    q->next_free = l->free_queues;
    l->free_queues = q;
    l->free_queue_count++;
}

static void trim_pools(struct ledger *l, size_t queues_max, size_t chunks_max)
{
    while (l->free_queue_count > queues_max) {
        struct ledger_queue *q = l->free_queues;
        l->free_queues = q->next_free;
        l->free_queue_count--;
        memory_free(q);
    }
    seq_pool_trim(&l->chunks, chunks_max);
}

static int reserve_queues(struct ledger *l, size_t count)
{
    while (l->free_queue_count < count) {
        struct ledger_queue *q = memory_alloc(sizeof(*q));
        if (q == NULL)
            return -ENOMEM;
        give_queue(l, q);
    }
    return table_reserve(&l->queues, count);
}

void ledger_fini(struct ledger *l)
{
    uint64_t cursor = 0;
    for (const struct table_slot *slot; (slot = table_next(&l->queues, &cursor)) != NULL;) {
        struct ledger_queue *q = slot_queue(slot);
        while (q->entries.count > 0)
            seq_map_remove(&q->entries, &l->chunks, seq_map_first(&q->entries));
        give_queue(l, q);
        trim_pools(l, 0, 0);
    }
    trim_pools(l, 0, 0);
    table_fini(&l->queues);
    table_fini(&l->keys);
    memory_free(l->segments);
    *l = (struct ledger){ 0 };
}

/* ----------------------------------------------------------------------------- segments ------- */

static struct ledger_segment *last_segment(const struct ledger *l)
{
    assert(l->segment_count > 0);
    return &l->segments[l->segment_count - 1];
}

/* From the front, those in which nothing counts any more; never the last one. */
static void count_dead(struct ledger *l)
{
    while (l->dead_count + 1 < l->segment_count && l->segments[l->dead_count].live == 0) {
        l->closed_size -= l->segments[l->dead_count].file_size;
        l->dead_count++;
    }
}

static void close_segment(struct ledger *l)
{
    struct ledger_segment *g = last_segment(l);
    g->each = g->ever == 0 ? 0 : g->used / g->ever;
    l->closed_live += g->live * g->each;
    l->closed_size += g->file_size;
}

static int reserve_segment(struct ledger *l)
{
    if (l->segment_count < l->segment_capacity)
        return 0;
    size_t capacity = l->segment_capacity == 0 ? 8 : l->segment_capacity * 2;
    void *segments = memory_resize(l->segments, capacity * sizeof(*l->segments));
    if (segments == NULL)
        return -ENOMEM;
    l->segments = segments;
    l->segment_capacity = capacity;
    return 0;
}

int ledger_reserve(struct ledger *l, size_t puts, size_t appends)
{
    /* Most entries go to queues and chunks that are there.  Finding out which costs more than to
     * have memory at hand. */
    if (reserve_segment(l) < 0 || table_reserve(&l->keys, puts) < 0 ||
        reserve_queues(l, appends) < 0)
        return -ENOMEM;
    return seq_pool_reserve(&l->chunks, appends);
}

void ledger_begin_segment(struct ledger *l, uint64_t number, uint64_t file_size)
{
    assert(number > 0 && number <= position_segment_max);
    assert(l->segment_count == 0 || number == l->first_segment + l->segment_count);
    assert(l->segment_count < l->segment_capacity); /* was reserved */
    if (l->segment_count == 0)
        l->first_segment = number;
    else
        close_segment(l);
    l->segments[l->segment_count++] = (struct ledger_segment){ .file_size = file_size };
    count_dead(l);
}

void ledger_use(struct ledger *l, uint64_t bytes)
{
    last_segment(l)->used += bytes;
    l->used += bytes;
}

void ledger_forget_segment(struct ledger *l)
{
    assert(l->dead_count > 0);
    l->used -= l->segments[0].used;
    l->dead_count--;
    l->segment_count--;
    l->first_segment++;
    memmove(l->segments, l->segments + 1, l->segment_count * sizeof(*l->segments));
}

uint64_t ledger_last_segment(const struct ledger *l)
{
    assert(l->segment_count > 0);
    return l->first_segment + l->segment_count - 1;
}

const struct ledger_segment *ledger_segment(const struct ledger *l, uint64_t number)
{
    uint64_t index = number - l->first_segment;
    assert(index < l->segment_count);
    return &l->segments[index];
}

uint64_t ledger_live_bytes(const struct ledger *l)
{
    if (l->segment_count == 0)
        return 0;
    const struct ledger_segment *g = last_segment(l);
    return l->closed_live + (g->ever == 0 ? 0 : g->used / g->ever * g->live);
}

uint64_t ledger_log_bytes(const struct ledger *l)
{
    return l->segment_count == 0 ? 0 : l->closed_size + last_segment(l)->used;
}

static void count_new(struct ledger *l)
{
    struct ledger_segment *g = last_segment(l);
    g->ever++;
    g->live++;
}

/* What stands there does not count any more.  0: nothing stood there. */
static void count_gone(struct ledger *l, uint64_t position)
{
    if (position == 0)
        return;
    uint64_t index = position_segment(position) - l->first_segment;
    assert(index < l->segment_count);
    struct ledger_segment *g = &l->segments[index];
    assert(g->live > 0);
    g->live--;
    l->closed_live -= g->each;
    if (g->live == 0 && index == l->dead_count)
        count_dead(l);
}

/* -------------------------------------------------------------------------------- keys -------- */

static uint8_t first_byte(struct bytes key)
{
    return key.size == 0 ? 0 : key.data[0];
}

static struct table_key hash_key(const struct ledger *l, struct bytes key)
{
    XXH128_hash_t hash = XXH3_128bits_withSeed(key.data, key.size, l->seed);
    return (struct table_key){ hash.low64, (hash.high64 & ~(uint64_t)0xff) | first_byte(key) };
}

static void put_key(struct ledger *l, struct bytes key, uint64_t position)
{
    struct table_key hash = hash_key(l, key);
    struct table_slot *slot = table_find(&l->keys, hash);
    count_new(l); /* first, so that no segment looks dead between the two */
    if (slot == NULL) {
        table_add(&l->keys, hash, position);
        return;
    }
    uint64_t before = slot->value;
    slot->value = position;
    count_gone(l, before);
}

static void remove_key(struct ledger *l, struct bytes key)
{
    struct table_slot *slot = table_find(&l->keys, hash_key(l, key));
    if (slot == NULL)
        return;
    uint64_t before = slot->value;
    table_remove(&l->keys, slot);
    count_gone(l, before);
}

uint64_t ledger_key(const struct ledger *l, struct bytes key)
{
    const struct table_slot *slot = table_find(&l->keys, hash_key(l, key));
    return slot == NULL ? 0 : slot->value;
}

bool ledger_next_key(const struct ledger *l, uint64_t *cursor, uint8_t first, uint64_t *position)
{
    for (const struct table_slot *slot; (slot = table_next(&l->keys, cursor)) != NULL;)
        if ((slot->key.high & 0xff) == first) {
            *position = slot->value;
            return true;
        }
    return false;
}

/* ------------------------------------------------------------------------------ entries ------- */

static void append_entry(struct ledger *l, uint64_t queue, uint64_t seq, uint64_t position)
{
    struct ledger_queue *q = find_queue(l, queue);
    if (q == NULL)
        q = add_queue(l, queue);
    count_new(l);
    uint64_t before = seq_map_set(&q->entries, &l->chunks, seq, position);
    l->entries += before == 0;
    count_gone(l, before);
}

static void finish_entry(struct ledger *l, uint64_t queue, uint64_t seq)
{
    struct table_slot *slot = table_find(&l->queues, queue_key(l, queue));
    if (slot == NULL)
        return;
    struct ledger_queue *q = slot_queue(slot);
    uint64_t before = seq_map_remove(&q->entries, &l->chunks, seq);
    if (before == 0)
        return;
    l->entries--;
    count_gone(l, before);
    if (q->entries.count == 0) {
        table_remove(&l->queues, slot);
        give_queue(l, q);
    }
}

static void drop_queue(struct ledger *l, uint64_t queue)
{
    struct ledger_queue *q = find_queue(l, queue);
    for (uint64_t left = q == NULL ? 0 : q->entries.count; left > 0; left--) /* then q is gone */
        finish_entry(l, queue, seq_map_first(&q->entries));
}

void ledger_apply(struct ledger *l, const struct record *record, uint64_t position)
{
    assert(position_segment(position) == ledger_last_segment(l));
    struct bytes list = record->list;
    struct record_entry e;
    switch (record->type) {
    case RECORD_PUT:
        put_key(l, record->key, position);
        break;
    case RECORD_REMOVE:
        remove_key(l, record->key);
        break;
    case RECORD_APPEND:
        while (record_next(RECORD_APPEND, &list, &e))
            append_entry(l, e.queue, e.seq, position);
        break;
    case RECORD_FINISH:
        while (record_next(RECORD_FINISH, &list, &e))
            finish_entry(l, e.queue, e.seq);
        break;
    case RECORD_DROP:
        while (record_next(RECORD_DROP, &list, &e))
            drop_queue(l, e.queue);
        break;
    }
    trim_pools(l, POOL_QUEUES, POOL_CHUNKS);
}

uint64_t ledger_entry(const struct ledger *l, uint64_t queue, uint64_t seq)
{
    const struct ledger_queue *q = find_queue(l, queue);
    return q == NULL ? 0 : seq_map_find(&q->entries, seq);
}

bool ledger_next_entry(const struct ledger *l, uint64_t queue, uint64_t from, uint64_t *seq,
                       uint64_t *position)
{
    const struct ledger_queue *q = find_queue(l, queue);
    return q != NULL && seq_map_next(&q->entries, from, seq, position);
}

struct store_queue ledger_queue(const struct ledger *l, uint64_t queue)
{
    const struct ledger_queue *q = find_queue(l, queue);
    if (q == NULL)
        return (struct store_queue){ 0 };
    return (struct store_queue){ seq_map_first(&q->entries), seq_map_last(&q->entries),
                                 q->entries.count };
}

bool ledger_next_queue(const struct ledger *l, uint64_t *cursor, uint64_t *queue)
{
    const struct table_slot *slot = table_next(&l->queues, cursor);
    if (slot == NULL)
        return false;
    *queue = slot_queue(slot)->number;
    return true;
}

/* ------------------------------------------------------------------------------- checks ------- */

static void check_sums(const struct ledger *l)
{
    uint64_t used = 0, live = 0, closed_size = 0, closed_live = 0;
    for (size_t i = 0; i < l->segment_count; i++) {
        const struct ledger_segment *g = &l->segments[i];
        bool is_last = i + 1 == l->segment_count;
        assert(g->live <= g->ever);
        assert(!is_last || g->each == 0);
        used += g->used;
        live += g->live;
        closed_live += g->live * g->each;
        closed_size += i < l->dead_count || is_last ? 0 : g->file_size;
        assert(i >= l->dead_count || g->live == 0);
        assert(i != l->dead_count || is_last || g->live > 0);
    }
    assert(l->segment_count == 0 || l->dead_count < l->segment_count);
    assert(used == l->used && closed_size == l->closed_size && closed_live == l->closed_live);
    assert(live == l->keys.count + l->entries);
    assert(ledger_live_bytes(l) <= used);
}

/* That each segment has as many things as point to it.  `left` starts as their counts. */
static void check_place(const struct ledger *l, uint64_t *left, uint64_t position)
{
    uint64_t index = position_segment(position) - l->first_segment;
    assert(index < l->segment_count && left[index] > 0);
    left[index]--;
}

void ledger_check(const struct ledger *l)
{
    table_check(&l->keys);
    table_check(&l->queues);
    check_sums(l);
    uint64_t *left = memory_alloc_zero((l->segment_count + 1) * sizeof(*left));
    if (left == NULL)
        return; /* then this was all that could be looked at */
    for (size_t i = 0; i < l->segment_count; i++)
        left[i] = l->segments[i].live;

    uint64_t cursor = 0, entries = 0;
    for (const struct table_slot *s; (s = table_next(&l->keys, &cursor)) != NULL;)
        check_place(l, left, s->value);
    cursor = 0;
    for (const struct table_slot *s; (s = table_next(&l->queues, &cursor)) != NULL;) {
        const struct ledger_queue *q = slot_queue(s);
        assert(q->entries.count > 0);
        assert(s->key.high == q->number);
        seq_map_check(&q->entries);
        entries += q->entries.count;
        uint64_t seq = 0, position;
        for (bool any = seq_map_next(&q->entries, 0, &seq, &position); any;
             any = seq < UINT64_MAX && seq_map_next(&q->entries, seq + 1, &seq, &position))
            check_place(l, left, position);
    }
    assert(entries == l->entries);
    memory_free(left); /* all zero: the sum of the counts is the number of things */
}
