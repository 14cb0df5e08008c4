/* session/seq_set.c: a sorted array.  What is removed is only marked, and goes when all before it
 * has gone:
 *
 *      rows  | . . . | 7  -8  -9  12 |        |       head at 7, tail behind 12; 8 and 9 removed
 *
 * So adding at the end and removing anywhere move nothing; a late one moves the few behind it. */
#include "session/seq_set.h"
#include "base/memory.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

enum { CAPACITY_FIRST = 8 };
#define REMOVED ((uint64_t)1 << 63)

void seq_set_fini(struct seq_set *s)
{
    memory_free(s->rows);
    *s = (struct seq_set){ 0 };
}

static size_t used(const struct seq_set *s)
{
    return s->tail - s->head;
}

static void move_to_front(struct seq_set *s)
{
    if (s->head == 0)
        return;
    memmove(s->rows, s->rows + s->head, used(s) * sizeof *s->rows);
    s->tail -= s->head;
    s->head = 0;
}

int seq_set_reserve(struct seq_set *s, size_t count)
{
    size_t capacity = s->capacity == 0 ? CAPACITY_FIRST : s->capacity, bytes;
    if (count <= s->capacity - s->tail)
        return 0;
    /* Moving is worth it only if it gives half of them; else each add might move them all. */
    if (count <= s->capacity - used(s) && s->head >= s->capacity / 2) {
        move_to_front(s);
        return 0;
    }
    while (capacity - used(s) < count || capacity == s->capacity)
        if (__builtin_mul_overflow(capacity, 2, &capacity))
            return -ENOMEM;
    if (__builtin_mul_overflow(capacity, sizeof *s->rows, &bytes))
        return -ENOMEM;
    uint64_t *rows = memory_resize(s->rows, bytes);
    if (rows == NULL)
        return -ENOMEM;
    s->rows = rows;
    s->capacity = capacity;
    move_to_front(s);
    return 0;
}

/* Index of the first row that is not below it. */
static size_t find(const struct seq_set *s, uint64_t seq)
{
    size_t low = s->head, high = s->tail;
    if (low < high && (s->rows[high - 1] & ~REMOVED) < seq)
        return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((s->rows[middle] & ~REMOVED) < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int seq_set_add(struct seq_set *s, uint64_t seq)
{
    assert(seq < REMOVED);
    if (seq_set_reserve(s, 1) != 0)
        return -ENOMEM;
    size_t i = find(s, seq);
    if (i < s->tail && s->rows[i] == seq)
        return 0;
    if (i == s->tail || s->rows[i] != (seq | REMOVED)) {
        memmove(s->rows + i + 1, s->rows + i, (s->tail - i) * sizeof *s->rows);
        s->tail++;
    }
    s->rows[i] = seq;
    s->count++;
    return 0;
}

bool seq_set_remove(struct seq_set *s, uint64_t seq)
{
    size_t i = find(s, seq);
    if (i == s->tail || s->rows[i] != seq)
        return false;
    s->rows[i] |= REMOVED;
    s->count--;
    while (s->head < s->tail && (s->rows[s->head] & REMOVED) != 0)
        s->head++;
    if (s->head == s->tail)
        seq_set_fini(s);
    return true;
}

uint64_t seq_set_first(const struct seq_set *s)
{
    return s->count == 0 ? UINT64_MAX : s->rows[s->head];
}

void seq_set_check(const struct seq_set *s)
{
    size_t count = 0;
    assert(s->head <= s->tail && s->tail <= s->capacity);
    for (size_t i = s->head; i < s->tail; i++) {
        assert(i == s->head || (s->rows[i - 1] & ~REMOVED) < (s->rows[i] & ~REMOVED));
        count += (s->rows[i] & REMOVED) == 0;
    }
    assert(count == s->count);
    assert(count == 0 || (s->rows[s->head] & REMOVED) == 0);
}
