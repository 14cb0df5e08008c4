/* session/disk_queue.c: see disk_queue.h.
 *
 * While there are none, `from` rises with what goes through memory, so that one rule serves
 * always: what is at or behind `from` is not in memory. */
#include "session/disk_queue.h"
#include <assert.h>
#include <errno.h>

void disk_queue_init(struct disk_queue *q, uint64_t from)
{
    *q = (struct disk_queue){ .from = from };
}

void disk_queue_fini(struct disk_queue *q)
{
    seq_set_fini(&q->unsafe);
}

void disk_queue_restore(struct disk_queue *q, uint64_t first, uint64_t count, uint64_t sent_end,
                        uint32_t under_way)
{
    assert(disk_queue_is_empty(q));
    q->sent_end = q->old_end = sent_end;
    if (count == 0)
        return;
    q->from = first;
    q->count = count;
    if (sent_end > first)
        q->repeat_left = count < under_way ? (uint32_t)count : under_way;
}

int disk_queue_leave(struct disk_queue *q, uint64_t seq, bool is_unsafe)
{
    assert(disk_queue_may_leave(q, seq));
    if (is_unsafe && seq_set_add(&q->unsafe, seq) != 0)
        return -ENOMEM;
    if (disk_queue_is_empty(q))
        q->from = seq;
    if (is_unsafe && seq < q->load_end)
        q->load_end = seq;
    q->count++;
    return 0;
}

void disk_queue_pass(struct disk_queue *q, uint64_t seq)
{
    if (seq < q->from)
        return;
    assert(disk_queue_is_empty(q));
    q->from = seq + 1;
}

int disk_queue_reserve(struct disk_queue *q, size_t unsafe_count)
{
    return unsafe_count == 0 ? 0 : seq_set_reserve(&q->unsafe, unsafe_count);
}

void disk_queue_put_back(struct disk_queue *q, uint64_t seq, bool is_unsafe)
{
    assert(!q->is_loading || q->is_stale);
    if (seq < q->from)
        q->from = seq;
    q->count++;
    if (is_unsafe) {
        int added = seq_set_add(&q->unsafe, seq); /* reserved */
        assert(added == 0);
    }
}

bool disk_queue_drop_first(struct disk_queue *q)
{
    if (q->is_loading || q->count <= q->unsafe.count)
        return false;
    q->count--;
    if (q->repeat_left > 0)
        q->repeat_left--;
    return true;
}

bool disk_queue_on_stored(struct disk_queue *q, uint64_t seq)
{
    q->is_waiting = false;
    q->has_changed = true;
    return seq_set_remove(&q->unsafe, seq) || seq >= q->from;
}

bool disk_queue_begin_load(struct disk_queue *q)
{
    uint64_t safe_end = seq_set_first(&q->unsafe);
    if (q->count == 0 || q->is_loading || q->is_waiting || q->from >= safe_end)
        return false;
    q->is_loading = true;
    q->is_stale = q->has_loaded = q->has_changed = false;
    q->load_end = safe_end;
    return true;
}

bool disk_queue_wants(const struct disk_queue *q, uint64_t seq)
{
    return q->is_loading && !q->is_stale && seq >= q->from && seq < q->load_end;
}

static void count_repeat(struct disk_queue *q, uint64_t seq)
{
    if (q->repeat_left == 0 || seq >= q->old_end || disk_queue_is_repeat(q, seq))
        return;
    q->repeat_left--;
    q->repeat_end = seq + 1;
}

void disk_queue_take(struct disk_queue *q, uint64_t seq)
{
    assert(disk_queue_wants(q, seq));
    count_repeat(q, seq);
    q->from = seq + 1;
    q->has_loaded = true;
    if (q->count > 0) /* how many there are is the store's word, and never worth a crash */
        q->count--;
}

void disk_queue_abandon_load(struct disk_queue *q)
{
    q->is_stale = q->is_loading;
    q->is_waiting = false;
}

void disk_queue_end_load(struct disk_queue *q, bool is_last)
{
    bool is_all = is_last || q->load_end != UINT64_MAX; /* there is nothing else to find now */
    q->is_waiting = is_all && !q->is_stale && !q->has_loaded && !q->has_changed;
    q->is_loading = q->is_stale = false;
}

void disk_queue_check(const struct disk_queue *q)
{
    seq_set_check(&q->unsafe);
    assert(q->from > 0);
    assert(q->is_loading || !q->is_stale);
}
