/* store/seq_map.c: chunks of 27 neighbours in a treap.
 *
 *     chunk 4      seq 108 ... 134    live 0..........1111      first --> chunk 4
 *     chunk 5      seq 135 ... 161    live 111111111111111
 *     chunk 90000  seq 2430000 ...    live 1..............      last  --> chunk 90000
 *
 * A queue grows at its end and shrinks at its front: both chunks are at hand, and one touches the
 * tree only once in 27 entries.  The tree is for everything else: entries that are done with out of
 * turn, and the log read back after it has been cleaned, when old entries come after new ones.
 *
 * A ring indexed by seq is simpler and takes 8 bytes instead of 9.5.  But how far numbers may lie
 * apart then decides how much it takes, and no bound on that is right: of a queue of ten millions
 * all but the first may have expired, and a log that was cleaned goes from seq 1 to ten millions in
 * one step.  A ring of that size would also be copied, and held twice, whenever it grows.
 *
 * A treap is a search tree by number and a heap by priority; a priority is the number, stirred: the
 * tree has the shape of one that was filled in random order.  Invariants: no chunk is empty; `live`
 * tells which of its positions mean anything. */
#include "store/seq_map.h"
#include "base/memory.h"

#include <assert.h>
#include <errno.h>

enum { CHUNK_ENTRIES = 27 }; /* so that a chunk has 256 bytes */

struct seq_chunk {
    struct seq_chunk *parent, *child[2]; /* lower numbers, higher numbers; pool: child[0] is next */
    uint64_t number;                     /* seq / CHUNK_ENTRIES */
    uint32_t live;                       /* one bit per position */
    uint32_t priority;
    uint64_t at[CHUNK_ENTRIES];
};

static_assert(sizeof(struct seq_chunk) == 256, "a size that allocators have");

/* --------------------------------------------------------------------------------- pool ------- */

int seq_pool_reserve(struct seq_pool *p, size_t sets)
{
    while (p->count < sets) {
        struct seq_chunk *chunk = memory_alloc(sizeof(*chunk));
        if (chunk == NULL)
            return -ENOMEM;
        chunk->child[0] = p->free;
        p->free = chunk;
        p->count++;
    }
    return 0;
}

static struct seq_chunk *pool_take(struct seq_pool *p)
{
    struct seq_chunk *chunk = p->free;
    assert(chunk != NULL); /* was reserved */
    p->free = chunk->child[0];
    p->count--;
    return chunk;
}

static void pool_give(struct seq_pool *p, struct seq_chunk *chunk)
{
    chunk->child[0] = p->free;
    p->free = chunk;
    p->count++;
}

void seq_pool_trim(struct seq_pool *p, size_t chunks_max)
{
    while (p->count > chunks_max)
        memory_free(pool_take(p));
}

/* --------------------------------------------------------------------------------- tree ------- */

static uint32_t priority_of(uint64_t number)
{
    number *= 0x9e3779b97f4a7c15u;
    number ^= number >> 29;
    return (uint32_t)(number * 0xbf58476d1ce4e5b9u >> 32);
}

static int side_of(const struct seq_chunk *child)
{
    return child->parent->child[1] == child;
}

/* Puts `chunk`, which may be NULL, where `old` hangs. */
static void hang(struct seq_map *m, const struct seq_chunk *old, struct seq_chunk *chunk)
{
    if (chunk != NULL)
        chunk->parent = old->parent;
    if (old->parent == NULL)
        m->root = chunk;
    else
        old->parent->child[side_of(old)] = chunk;
}

/*        above                chunk
 *        /   \                /   \
 *    chunk    c     -->      a    above
 *    /   \                        /   \
 *   a     b                      b     c       or the other way round */
static void rotate_up(struct seq_map *m, struct seq_chunk *chunk)
{
    struct seq_chunk *above = chunk->parent;
    int side = side_of(chunk);
    struct seq_chunk *between = chunk->child[!side];
    hang(m, above, chunk);
    above->child[side] = between;
    if (between != NULL)
        between->parent = above;
    chunk->child[!side] = above;
    above->parent = chunk;
}

/* The next one upwards (1) or downwards (0); NULL: none. */
static struct seq_chunk *neighbour(const struct seq_chunk *chunk, int side)
{
    struct seq_chunk *next = chunk->child[side];
    if (next != NULL) {
        while (next->child[!side] != NULL)
            next = next->child[!side];
        return next;
    }
    while (chunk->parent != NULL && side_of(chunk) == side)
        chunk = chunk->parent;
    return chunk->parent;
}

/* The chunk of this number; or NULL, and *parent is below which a new one belongs. */
static struct seq_chunk *find_chunk(const struct seq_map *m, uint64_t number,
                                    struct seq_chunk **parent)
{
    *parent = m->last; /* nothing is to the right of it */
    if (m->last == NULL || number > m->last->number)
        return NULL;
    if (number == m->last->number)
        return m->last;
    if (number == m->first->number)
        return m->first;
    struct seq_chunk *chunk = m->root;
    while (chunk != NULL && chunk->number != number) {
        *parent = chunk;
        chunk = chunk->child[number > chunk->number];
    }
    return chunk;
}

static struct seq_chunk *add_chunk(struct seq_map *m, struct seq_pool *p, uint64_t number,
                                   struct seq_chunk *parent)
{
    struct seq_chunk *chunk = pool_take(p);
    chunk->parent = parent;
    chunk->child[0] = chunk->child[1] = NULL;
    chunk->number = number;
    chunk->live = 0;
    chunk->priority = priority_of(number);
    if (parent == NULL)
        m->root = chunk;
    else
        parent->child[number > parent->number] = chunk;
    if (m->first == NULL || number < m->first->number)
        m->first = chunk;
    if (m->last == NULL || number > m->last->number)
        m->last = chunk;
    while (chunk->parent != NULL && chunk->priority > chunk->parent->priority)
        rotate_up(m, chunk);
    return chunk;
}

static void remove_chunk(struct seq_map *m, struct seq_pool *p, struct seq_chunk *chunk)
{
    if (chunk == m->first)
        m->first = neighbour(chunk, 1);
    if (chunk == m->last)
        m->last = neighbour(chunk, 0);
    struct seq_chunk **child = chunk->child;
    while (child[0] != NULL && child[1] != NULL)
        rotate_up(m, child[child[1]->priority > child[0]->priority]);
    hang(m, chunk, child[child[0] == NULL]);
    pool_give(p, chunk);
}

/* ------------------------------------------------------------------------------ entries ------- */

static unsigned index_of(uint64_t seq)
{
    return (unsigned)(seq % CHUNK_ENTRIES);
}

uint64_t seq_map_set(struct seq_map *m, struct seq_pool *p, uint64_t seq, uint64_t position)
{
    assert(position != 0);
    uint64_t number = seq / CHUNK_ENTRIES;
    unsigned index = index_of(seq);
    struct seq_chunk *parent, *chunk = find_chunk(m, number, &parent);
    if (chunk == NULL)
        chunk = add_chunk(m, p, number, parent);
    uint64_t before = (chunk->live >> index & 1) != 0 ? chunk->at[index] : 0;
    chunk->at[index] = position;
    chunk->live |= 1u << index;
    m->count += before == 0;
    return before;
}

uint64_t seq_map_remove(struct seq_map *m, struct seq_pool *p, uint64_t seq)
{
    unsigned index = index_of(seq);
    struct seq_chunk *parent, *chunk = find_chunk(m, seq / CHUNK_ENTRIES, &parent);
    if (chunk == NULL || (chunk->live >> index & 1) == 0)
        return 0;
    uint64_t before = chunk->at[index];
    chunk->live &= ~(1u << index);
    m->count--;
    if (chunk->live == 0)
        remove_chunk(m, p, chunk);
    return before;
}

uint64_t seq_map_find(const struct seq_map *m, uint64_t seq)
{
    unsigned index = index_of(seq);
    struct seq_chunk *parent, *chunk = find_chunk(m, seq / CHUNK_ENTRIES, &parent);
    return chunk == NULL || (chunk->live >> index & 1) == 0 ? 0 : chunk->at[index];
}

static uint64_t first_of(const struct seq_chunk *chunk, uint32_t live)
{
    return chunk->number * CHUNK_ENTRIES + (unsigned)__builtin_ctz(live);
}

bool seq_map_next(const struct seq_map *m, uint64_t from, uint64_t *seq, uint64_t *position)
{
    if (m->count == 0)
        return false;
    uint64_t number = from / CHUNK_ENTRIES;
    struct seq_chunk *parent, *chunk = find_chunk(m, number, &parent);
    if (chunk == NULL) /* below its parent it would be the nearest, on one side or the other */
        chunk = parent->number > number ? parent : neighbour(parent, 1);
    uint32_t live = chunk == NULL ? 0 : chunk->live;
    if (chunk != NULL && chunk->number == number)
        live &= UINT32_MAX << index_of(from);
    if (chunk != NULL && live == 0) { /* all of this chunk are before `from` */
        chunk = neighbour(chunk, 1);
        live = chunk == NULL ? 0 : chunk->live;
    }
    if (chunk == NULL)
        return false;
    *seq = first_of(chunk, live);
    *position = chunk->at[index_of(*seq)];
    return true;
}

uint64_t seq_map_first(const struct seq_map *m)
{
    return first_of(m->first, m->first->live);
}

uint64_t seq_map_last(const struct seq_map *m)
{
    return m->last->number * CHUNK_ENTRIES + (31u - (unsigned)__builtin_clz(m->last->live));
}

/* ------------------------------------------------------------------------------- checks ------- */

static void check_chunk(const struct seq_map *m, const struct seq_chunk *chunk)
{
    assert(chunk->live != 0);
    assert(chunk->live >> CHUNK_ENTRIES == 0);
    assert(chunk->priority == priority_of(chunk->number));
    assert(chunk->parent != NULL || chunk == m->root);
    assert(chunk->parent == NULL || chunk->parent->priority >= chunk->priority);
    for (int side = 0; side < 2; side++)
        assert(chunk->child[side] == NULL || chunk->child[side]->parent == chunk);
    for (unsigned i = 0; i < CHUNK_ENTRIES; i++)
        assert((chunk->live >> i & 1) == 0 || chunk->at[i] != 0);
}

void seq_map_check(const struct seq_map *m)
{
    uint64_t count = 0;
    const struct seq_chunk *before = NULL;
    for (const struct seq_chunk *c = m->first; c != NULL; before = c, c = neighbour(c, 1)) {
        check_chunk(m, c);
        assert(before == NULL || before->number < c->number);
        count += (unsigned)__builtin_popcount(c->live);
    }
    assert(before == m->last);
    assert(count == m->count);
    assert((m->root == NULL) == (count == 0));
    assert(m->first == NULL || m->first->child[0] == NULL);
    assert(m->last == NULL || m->last->child[1] == NULL);
}
