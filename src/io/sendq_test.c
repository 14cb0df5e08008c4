/* io/sendq_test.c: random operations on a send queue, against a plain row of bytes. */
#include "base/memory.h"
#include "io/batch.h"
#include "io/sendq.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { STEPS = 30000, MODEL_SIZE = 4 * 1024 * 1024, PARTS_MAX = 64, LARGE = 40 * 1024 };

struct world {
    struct chunk_pool pool;
    struct batch batch;
    struct sendq q;
    uint64_t random;
    uint8_t *model; /* all bytes ever queued; start is what was sent of them */
    size_t start, end;
    uint8_t next; /* the next byte to queue */
};

static uint32_t next_random(struct world *w)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->random >> 33);
}

static void world_open(struct world *w)
{
    *w = (struct world){ .random = 1, .model = memory_alloc(MODEL_SIZE) };
    assert_non_null(w->model);
    chunk_pool_init(&w->pool);
    batch_init(&w->batch);
    sendq_init(&w->q);
}

static void world_close(struct world *w)
{
    sendq_fini(&w->q, &w->pool);
    assert_int_equal(w->q.size, 0);
    chunk_pool_fini(&w->pool);
    batch_fini(&w->batch);
    memory_free(w->model);
}

/* ---------------------------------------------------------------------------- operations ------ */

static struct bytes make_bytes(struct world *w, size_t size)
{
    struct bytes made = { w->model + w->end, size };
    for (size_t i = 0; i < size; i++)
        w->model[w->end++] = w->next++;
    return made;
}

static size_t random_size(struct world *w)
{
    switch (next_random(w) % 8) {
    case 0:
        return next_random(w) % LARGE;
    case 1:
        return 0;
    default:
        return next_random(w) % 300;
    }
}

static void put(struct world *w, size_t size)
{
    uint8_t *room = sendq_reserve(&w->q, &w->pool, size);
    assert_non_null(room);
    struct bytes bytes = make_bytes(w, size);
    if (size > 0)
        memcpy(room, bytes.data, size);
    sendq_commit(&w->q, size);
}

struct payload {
    struct block block;
    uint8_t bytes[];
};

static unsigned payloads; /* that exist */

static void payload_destroy(struct block *b)
{
    payloads--;
    memory_free(b);
}

static void refer(struct world *w, size_t size)
{
    struct payload *p = memory_alloc(sizeof *p + size);
    assert_non_null(p);
    block_init(&p->block, payload_destroy);
    payloads++;
    struct bytes bytes = make_bytes(w, size);
    if (size > 0)
        memcpy(p->bytes, bytes.data, size);
    assert_int_equal(sendq_refer(&w->q, &w->pool, &p->block, bytes_of(p->bytes, size)), 0);
    block_unref(&p->block); /* the queue has its own */
}

static struct block *borrow(struct world *w, size_t size)
{
    struct block *owner;
    uint8_t *room = batch_reserve(&w->batch, size, &owner);
    assert_non_null(room);
    struct bytes bytes = make_bytes(w, size);
    if (size > 0)
        memcpy(room, bytes.data, size);
    assert_int_equal(sendq_borrow(&w->q, &w->pool, owner, bytes_of(room, size)), 0);
    return owner;
}

/* Looks at what is offered to a socket that takes `most` bytes. */
static void take(struct world *w, size_t most)
{
    struct iovec parts[PARTS_MAX];
    int count = sendq_parts(&w->q, parts, 1 + (int)(next_random(w) % PARTS_MAX));
    size_t taken = 0;
    for (int i = 0; i < count; i++) {
        size_t size = parts[i].iov_len < most - taken ? parts[i].iov_len : most - taken;
        assert_true(parts[i].iov_len > 0);
        assert_memory_equal(parts[i].iov_base, w->model + w->start + taken, size);
        taken += size;
    }
    assert_int_equal(count == 0, w->start == w->end);
    sendq_sent(&w->q, &w->pool, taken);
    w->start += taken;
}

static void check(struct world *w)
{
    sendq_check(&w->q);
    assert_int_equal(w->q.size, w->end - w->start);
    if (w->end > MODEL_SIZE - 2 * LARGE) { /* make room in the model */
        memmove(w->model, w->model + w->start, w->end - w->start);
        w->end -= w->start;
        w->start = 0;
    }
}

/* ---------------------------------------------------------------------------------- tests ----- */

static void test_random(void **state)
{
    struct world w;
    world_open(&w);
    for (int i = 0; i < STEPS; i++) {
        uint32_t what = next_random(&w) % 12;
        if (what < 3)
            put(&w, random_size(&w));
        else if (what == 3)
            refer(&w, random_size(&w));
        else if (what == 5 || what == 6)
            borrow(&w, random_size(&w));
        else if (what == 7)
            sendq_own(&w.q, &w.pool);
        else if (what == 8)
            batch_turn(&w.batch);
        else
            take(&w, what == 4 ? SIZE_MAX : random_size(&w));
        if (w.q.size > 1024 * 1024)
            while (w.q.size > 0)
                take(&w, SIZE_MAX);
        check(&w);
    }
    world_close(&w);
    assert_int_equal(payloads, 0);
}

/* Whatever is still queued goes with it, references, too. */
static void test_fini_drops_all(void **state)
{
    struct world w;
    world_open(&w);
    put(&w, 100);
    refer(&w, 5000);
    refer(&w, 5000);
    put(&w, LARGE);
    take(&w, 3000);
    check(&w);
    world_close(&w);
    assert_int_equal(payloads, 0);
}

/* Packets for many: neighbours are one part, and whoever is slow copies what is left. */
static void test_borrowing(void **state)
{
    struct iovec parts[PARTS_MAX];
    struct world w;
    world_open(&w);
    struct block *owner = borrow(&w, 100);
    for (int i = 0; i < 9; i++)
        assert_ptr_equal(borrow(&w, 100), owner);
    assert_int_equal(sendq_parts(&w.q, parts, PARTS_MAX), 1);
    take(&w, 250);
    batch_turn(&w.batch); /* not begun anew: somebody reads */
    assert_ptr_equal(borrow(&w, 100), owner);
    assert_false(block_is_unshared(owner));

    sendq_own(&w.q, &w.pool);
    assert_true(block_is_unshared(owner));
    check(&w);
    put(&w, 10); /* goes on behind the copy */
    assert_int_equal(sendq_parts(&w.q, parts, PARTS_MAX), 1);
    take(&w, SIZE_MAX);
    world_close(&w);
}

/* What was given out in a turn stays where it is, even when its block is full and nobody has sent
 * a reference yet; a block that nobody reads is begun anew. */
static void test_batch_blocks(void **state)
{
    struct world w;
    struct block *first, *second, *third;
    world_open(&w);
    uint8_t *early = batch_reserve(&w.batch, 1000, &first);
    memset(early, 7, 1000);
    assert_non_null(batch_reserve(&w.batch, 100000, &second));
    assert_ptr_not_equal(first, second);
    assert_int_equal(early[999], 7);
    batch_turn(&w.batch);
    assert_non_null(batch_reserve(&w.batch, 100000, &third));
    assert_ptr_equal(second, third);
    (void)memory_fail_at(1);
    assert_null(batch_reserve(&w.batch, 1, &third));
    (void)memory_fail_at(0);
    world_close(&w);
}

/* An idle queue holds nothing, and chunks are used again. */
static void test_chunks_go_back(void **state)
{
    struct world w;
    world_open(&w);
    for (int i = 0; i < 10; i++) {
        put(&w, 1000);
        assert_int_equal(w.pool.count, 0);
        take(&w, SIZE_MAX);
        assert_null(w.q.first);
        assert_int_equal(w.pool.count, 1);
    }
    put(&w, LARGE); /* larger than a chunk: not for the pool */
    take(&w, SIZE_MAX);
    assert_int_equal(w.pool.count, 1);
    world_close(&w);
}

/* Many queues with one small packet each take no new chunks; where more packets come, all of them
 * are in one chunk, and are one part. */
static void test_small_packets(void **state)
{
    struct world w;
    struct iovec parts[PARTS_MAX];
    world_open(&w);
    put(&w, 100);
    put(&w, 100);
    take(&w, 30); /* the socket took no more */
    assert_int_equal(w.pool.small_count, 0);
    put(&w, 100);
    assert_int_equal(sendq_parts(&w.q, parts, PARTS_MAX), 1);
    check(&w);
    assert_int_equal(w.pool.small_count, 1);
    take(&w, SIZE_MAX);
    assert_int_equal(w.pool.count, 1);
    put(&w, 100); /* there is a chunk that costs nothing */
    assert_int_equal(w.pool.count, 0);
    assert_int_equal(w.pool.small_count, 1);
    world_close(&w);
}

/* After a burst the pool shrinks to what has been in use, and at last to a few. */
static void test_pool_shrinks(void **state)
{
    struct sendq queues[20];
    struct world w;
    world_open(&w);
    for (int i = 0; i < 20; i++) {
        sendq_init(&queues[i]);
        assert_non_null(sendq_reserve(&queues[i], &w.pool, 1000));
    }
    for (int i = 0; i < 20; i++)
        sendq_fini(&queues[i], &w.pool);
    chunk_pool_trim(&w.pool);
    assert_int_equal(w.pool.count, 20); /* all of them were needed */
    for (int i = 0; i < 7; i++)
        assert_non_null(sendq_reserve(&queues[i], &w.pool, 1000));
    for (int i = 0; i < 7; i++)
        sendq_fini(&queues[i], &w.pool);
    chunk_pool_trim(&w.pool);
    assert_int_equal(w.pool.count, 7);
    assert_false(chunk_pool_is_minimal(&w.pool));
    chunk_pool_trim(&w.pool);
    assert_int_equal(w.pool.count, CHUNK_POOL_MIN);
    assert_true(chunk_pool_is_minimal(&w.pool));
    world_close(&w);
}

static void test_no_memory(void **state)
{
    struct world w;
    struct payload *p = memory_alloc_zero(sizeof *p + 1);
    world_open(&w);
    block_init(&p->block, payload_destroy);
    payloads++;
    put(&w, 10);
    (void)memory_fail_at(1);
    assert_int_equal(sendq_refer(&w.q, &w.pool, &p->block, bytes_of(p->bytes, 1)), -ENOMEM);
    (void)memory_fail_at(1);
    assert_null(sendq_reserve(&w.q, &w.pool, LARGE));
    (void)memory_fail_at(0);
    check(&w);
    put(&w, 10); /* goes on as if nothing had been */
    check(&w);
    take(&w, SIZE_MAX);
    block_unref(&p->block);
    world_close(&w);
    assert_int_equal(payloads, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),         cmocka_unit_test(test_fini_drops_all),
        cmocka_unit_test(test_chunks_go_back), cmocka_unit_test(test_small_packets),
        cmocka_unit_test(test_pool_shrinks),   cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_borrowing),      cmocka_unit_test(test_batch_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
