/* io/sendq.c: a list of segments, each either a chunk of our own or a view into a block. */
#include "io/sendq.h"
#include "base/memory.h"
#include <assert.h>
#include <errno.h>

struct sendq_segment {
    struct sendq_segment *next;
    struct block *owner; /* NULL: the bytes are our own, behind this struct */
    const uint8_t *data;
    uint32_t sent, size, capacity;
    bool is_borrowed;
    uint8_t bytes[];
};

enum {
    CHUNK_SIZE = 16 * 1024 - sizeof(struct sendq_segment), /* a size that allocators like */
    SMALL_SIZE = 256,
    POOL_MAX = 256,
    VIEWS_MAX = 1024,
    SMALLS_MAX = 1024,
};

void chunk_pool_init(struct chunk_pool *p)
{
    *p = (struct chunk_pool){ 0 };
}

void chunk_pool_fini(struct chunk_pool *p)
{
    while (p->free != NULL) {
        struct sendq_segment *s = p->free;
        p->free = s->next;
        memory_free(s);
    }
    while (p->free_views != NULL) {
        struct sendq_segment *s = p->free_views;
        p->free_views = s->next;
        memory_free(s);
    }
    while (p->free_smalls != NULL) {
        struct sendq_segment *s = p->free_smalls;
        p->free_smalls = s->next;
        memory_free(s);
    }
    p->count = p->view_count = p->small_count = 0;
}

void chunk_pool_trim(struct chunk_pool *p)
{
    for (; p->unused > 0 && !chunk_pool_is_minimal(p); p->unused--) {
        struct sendq_segment *s = p->free;
        p->free = s->next;
        p->count--;
        memory_free(s);
    }
    p->unused = p->count;
}

static struct sendq_segment *segment_init(struct sendq_segment *s, size_t capacity)
{
    *s = (struct sendq_segment){ .data = s->bytes, .capacity = (uint32_t)capacity };
    return s;
}

static struct sendq_segment *segment_create(size_t capacity)
{
    struct sendq_segment *s = memory_alloc(sizeof *s + capacity);
    return s == NULL ? NULL : segment_init(s, capacity);
}

/* NULL: the pool is empty, or it is more than a chunk. */
static struct sendq_segment *chunk_pop(struct chunk_pool *pool, size_t size)
{
    struct sendq_segment *s = pool->free;
    if (s == NULL || size > CHUNK_SIZE)
        return NULL;
    pool->free = s->next;
    pool->count--;
    if (pool->count < pool->unused)
        pool->unused = pool->count;
    return segment_init(s, CHUNK_SIZE);
}

static struct sendq_segment *chunk_take(struct chunk_pool *pool, size_t size)
{
    struct sendq_segment *s = chunk_pop(pool, size);
    return s != NULL ? s : segment_create(size <= CHUNK_SIZE ? CHUNK_SIZE : size);
}

/* NULL: the pool is empty, or it is too much. */
static struct sendq_segment *small_pop(struct chunk_pool *pool, size_t size)
{
    struct sendq_segment *s = pool->free_smalls;
    if (s == NULL || size > SMALL_SIZE)
        return NULL;
    pool->free_smalls = s->next;
    pool->small_count--;
    return segment_init(s, SMALL_SIZE);
}

/* A new chunk would be wasted on the only packet of a turn, of which there may be one for each of
 * many thousand connections, and on the head of a packet between two references. */
static struct sendq_segment *small_take(struct chunk_pool *pool, size_t size)
{
    struct sendq_segment *s = small_pop(pool, size);
    if (s != NULL)
        return s;
    return size <= SMALL_SIZE ? segment_create(SMALL_SIZE) : chunk_take(pool, size);
}

/* NULL: no memory. */
static struct sendq_segment *view_take(struct chunk_pool *pool)
{
    struct sendq_segment *s = pool->free_views;
    if (s == NULL)
        return memory_alloc(sizeof *s);
    pool->free_views = s->next;
    pool->view_count--;
    return s;
}

static void give_back(struct sendq_segment *s, struct sendq_segment **pool, size_t *count,
                      size_t max)
{
    if (*count == max) {
        memory_free(s);
        return;
    }
    s->next = *pool;
    *pool = s;
    ++*count;
}

static void segment_drop(struct sendq_segment *s, struct chunk_pool *pool)
{
    if (s->owner != NULL) {
        block_unref(s->owner);
        give_back(s, &pool->free_views, &pool->view_count, VIEWS_MAX);
    } else if (s->capacity == SMALL_SIZE) {
        give_back(s, &pool->free_smalls, &pool->small_count, SMALLS_MAX);
    } else if (s->capacity == CHUNK_SIZE) {
        give_back(s, &pool->free, &pool->count, POOL_MAX);
    } else {
        memory_free(s);
    }
}

void sendq_init(struct sendq *q)
{
    *q = (struct sendq){ 0 };
}

void sendq_fini(struct sendq *q, struct chunk_pool *pool)
{
    while (q->first != NULL) {
        struct sendq_segment *s = q->first;
        q->first = s->next;
        segment_drop(s, pool);
    }
    sendq_init(q);
}

static void append(struct sendq *q, struct sendq_segment *s)
{
    if (q->last == NULL)
        q->first = s;
    else
        q->last->next = s;
    q->last = s;
}

/* There is more than one small packet after all: they go on in a chunk, so that one part is sent.
 * NULL: no memory. */
static struct sendq_segment *small_to_chunk(struct sendq *q, struct chunk_pool *pool, size_t size)
{
    struct sendq_segment *small = q->first;
    size_t waiting = small->size - small->sent;
    struct sendq_segment *chunk = chunk_take(pool, waiting + size);
    if (chunk == NULL)
        return NULL;
    memcpy(chunk->bytes, small->bytes + small->sent, waiting);
    chunk->size = (uint32_t)waiting;
    q->first = q->last = chunk;
    segment_drop(small, pool);
    return chunk;
}

/* The last one has no room: a new one at the end.  NULL: no memory.  (Not inline: the way by which
 * nearly all packets go would have to save registers for it.) */
static __attribute__((noinline)) struct sendq_segment *
add_segment(struct sendq *q, struct chunk_pool *pool, size_t size)
{
    struct sendq_segment *last = q->last;
    bool is_own = last != NULL && last->owner == NULL;
    if (is_own && last == q->first && last->capacity == SMALL_SIZE)
        return small_to_chunk(q, pool, size);
    struct sendq_segment *s = is_own ? chunk_take(pool, size) : small_take(pool, size);
    if (s != NULL)
        append(q, s);
    return s;
}

/* The first segment, if the pool has one.  NULL: it has none. */
static struct sendq_segment *pop_first(struct chunk_pool *pool, size_t size)
{
    struct sendq_segment *s = chunk_pop(pool, size);
    return s != NULL ? s : small_pop(pool, size);
}

uint8_t *sendq_reserve(struct sendq *q, struct chunk_pool *pool, size_t size)
{
    struct sendq_segment *s = q->last;
    if (s == NULL && (s = pop_first(pool, size)) != NULL) {
        q->first = q->last = s;
    } else if (s == NULL || s->owner != NULL || s->capacity - s->size < size) {
        s = add_segment(q, pool, size);
        if (s == NULL)
            return NULL;
    }
    return s->bytes + s->size;
}

/* Where the next packet goes is asked for now: when many queues are filled in turn, it is in no
 * cache otherwise.  (Beyond the end there may be nothing; that is no harm.) */
static void prefetch_tail(const struct sendq_segment *s)
{
    enum { LINE = 64 };
    __builtin_prefetch(s->bytes + s->size + LINE - 1, 1);
    __builtin_prefetch(s->bytes + s->size + 2 * LINE - 1, 1);
}

void sendq_commit(struct sendq *q, size_t size)
{
    assert(q->last->owner == NULL && size <= q->last->capacity - q->last->size);
    q->last->size += (uint32_t)size;
    q->size += size;
    prefetch_tail(q->last);
}

static struct sendq_segment *refer(struct sendq *q, struct chunk_pool *pool, struct block *owner,
                                   struct bytes bytes)
{
    struct sendq_segment *s = view_take(pool);
    if (s == NULL)
        return NULL;
    *s = (struct sendq_segment){ .owner = block_ref(owner),
                                 .data = bytes.data,
                                 .size = (uint32_t)bytes.size };
    append(q, s);
    q->size += bytes.size;
    return s;
}

int sendq_refer(struct sendq *q, struct chunk_pool *pool, struct block *owner, struct bytes bytes)
{
    return refer(q, pool, owner, bytes) == NULL ? -ENOMEM : 0;
}

int sendq_borrow(struct sendq *q, struct chunk_pool *pool, struct block *owner, struct bytes bytes)
{
    struct sendq_segment *s = q->last;
    if (s != NULL && s->is_borrowed && s->owner == owner && s->data + s->size == bytes.data) {
        s->size += (uint32_t)bytes.size;
        q->size += bytes.size;
        return 0;
    }
    s = refer(q, pool, owner, bytes);
    if (s == NULL)
        return -ENOMEM;
    s->is_borrowed = true;
    return 0;
}

/* NULL: no memory. */
static struct sendq_segment *copy_of(const struct sendq_segment *s, struct chunk_pool *pool)
{
    uint32_t size = s->size - s->sent;
    struct sendq_segment *copy = chunk_take(pool, size);
    if (copy != NULL) {
        memcpy(copy->bytes, s->data + s->sent, size);
        copy->size = size;
        copy->next = s->next;
    }
    return copy;
}

void sendq_own(struct sendq *q, struct chunk_pool *pool)
{
    for (struct sendq_segment **at = &q->first; *at != NULL; at = &(*at)->next) {
        struct sendq_segment *lent = *at, *copy;
        if (!lent->is_borrowed || (copy = copy_of(lent, pool)) == NULL)
            continue;
        *at = copy;
        if (q->last == lent)
            q->last = copy;
        segment_drop(lent, pool);
    }
}

int sendq_parts(const struct sendq *q, struct iovec *parts, int max)
{
    int count = 0;
    for (const struct sendq_segment *s = q->first; s != NULL && count < max; s = s->next)
        if (s->size > s->sent)
            parts[count++] = (struct iovec){ (void *)(s->data + s->sent), s->size - s->sent };
    return count;
}

void sendq_sent(struct sendq *q, struct chunk_pool *pool, size_t size)
{
    assert(size <= q->size);
    q->size -= size;
    while (q->first != NULL) {
        struct sendq_segment *s = q->first;
        size_t left = s->size - s->sent, now = left < size ? left : size;
        s->sent += (uint32_t)now;
        size -= now;
        if (s->sent < s->size)
            break;
        q->first = s->next;
        segment_drop(s, pool);
    }
    if (q->first == NULL)
        q->last = NULL;
    assert(size == 0);
}

void sendq_check(const struct sendq *q)
{
    size_t size = 0;
    for (const struct sendq_segment *s = q->first; s != NULL; s = s->next) {
        assert(s->sent <= s->size && (s->owner != NULL || s->size <= s->capacity));
        assert((s->next == NULL) == (s == q->last));
        size += s->size - s->sent;
    }
    assert(size == q->size);
}
