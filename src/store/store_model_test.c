/* store/store_model_test.c: random changes to a store and to a naive one; the broker or the machine
 * fails at any moment, every call of the disk fails once, and every allocation.
 *
 *     add    add    write    add    write    sync    add            what the naive one was after
 * each n1     n2      !       n3      !        !      n4
 *                    `- may be on the disk            `- not on the disk
 *                                    `- is on the disk, from the sync on
 *
 * After it is opened again, the store is what the naive one was at one of these moments, and never
 * at one before the last that is on the disk. */
#include "store/naive_store.h"

enum { STATES_MAX = 200, SEGMENT_SIZE = 8 * 1024 };

struct moment {
    struct naive state;
    bool may_be_on_disk;
};

struct world {
    struct fake_disk disk;
    struct store *store;
    struct moment moments[STATES_MAX]; /* [0] is on the disk */
    size_t count, written;             /* written: the newest that was */
    uint64_t random;
    uint32_t thing;
    uint64_t batches; /* that the store has written by itself or because we said so */
    struct buffer records;

    uint64_t alloc_in; /* the allocation of the store's that fails, counted down; 0: none */
};

static uint32_t dice(struct world *w, uint32_t sides)
{
    return next_random(&w->random) % sides;
}

static const struct naive *now(const struct world *w)
{
    return &w->moments[w->count - 1].state;
}

/* Around every call of the store: its allocations count, and not ours. */
static void begin_call(struct world *w)
{
    (void)memory_fail_at(w->alloc_in);
}

static int end_call(struct world *w, int result)
{
    uint64_t seen = memory_fail_at(0);
    if (w->alloc_in != 0)
        w->alloc_in = seen >= w->alloc_in ? 0 : w->alloc_in - seen;
    return result;
}

static int open_store(struct world *w)
{
    struct store_options o = {
        .files = &w->disk.files,
        .folder = "store",
        .id = 0x1122334455667788,
        .segment_size = SEGMENT_SIZE,
        .reserve = 20000,
    };
    struct store_fault fault;
    begin_call(w);
    int result = end_call(w, store_open(&o, &w->store, &fault));
    if (result < 0)
        w->store = NULL;
    assert_true(result == 0 || fault.text[0] != '\0');
    w->batches = 0;
    return result;
}

/* Everything up to the newest one that was written is on the disk. */
static void note_synced(struct world *w)
{
    memmove(w->moments, w->moments + w->written, (w->count - w->written) * sizeof(w->moments[0]));
    w->count -= w->written;
    w->written = 0;
    w->moments[0].may_be_on_disk = true;
}

static void note_written(struct world *w)
{
    w->written = w->count - 1;
    w->moments[w->written].may_be_on_disk = true;
}

static bool is_broken(const struct world *w)
{
    return store_add(w->store, NULL, 0) == -EIO;
}

/* The store commits by itself when a segment is full, what was there before. */
static void look_for_commit(struct world *w)
{
    uint64_t batches = store_stats(w->store).batches_written;
    if (batches == w->batches)
        return;
    w->batches = batches;
    note_written(w);
    if (!is_broken(w)) /* else it may have been the sync that failed */
        note_synced(w);
}

static void start(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->random = seed;
    w->count = 1;
    w->moments[0].may_be_on_disk = true;
    fake_disk_init(&w->disk, seed);
}

static void stop(struct world *w)
{
    store_close(w->store);
    buffer_fini(&w->records);
    fake_disk_check(&w->disk);
    fake_disk_fini(&w->disk);
}

/* --------------------------------------------------------------------------- opened anew ------ */

static void expect_allowed(struct world *w)
{
    struct naive found;
    assert_int_equal(naive_read(w->store, &found), 0);
    size_t i = 0;
    while (i < w->count && (!w->moments[i].may_be_on_disk ||
                            memcmp(&w->moments[i].state, &found, sizeof(found)) != 0))
        i++;
    assert_true(i < w->count);
    w->moments[0].state = found; /* opening made it firm */
    w->count = 1;
    w->written = 0;
    naive_expect_counts(w->store, now(w));
}

static void open_again(struct world *w)
{
    int result = open_store(w);
    if (result < 0) /* a fault was left; without one it must open */
        result = open_store(w);
    assert_int_equal(result, 0);
    expect_allowed(w);
}

/* Whatever is open is lost, and with the power what was not synced. */
static void fail_now(struct world *w)
{
    uint32_t how = dice(w, 3);
    if (how == 0)
        fake_disk_crash(&w->disk);
    else if (how == 1)
        fake_disk_power_loss(&w->disk, w->random);
    store_close(w->store); /* of the third kind: a clean stop */
    w->store = NULL;
}

/* A call said no: what it was doing may be on the disk. */
static void note_broken(struct world *w)
{
    w->moments[w->count - 1].may_be_on_disk = true;
    assert_true(is_broken(w));
    assert_true(store_commit(w->store) < 0);
    assert_true(store_clean(w->store, 1000, false) < 0);
    assert_int_equal(store_room(w->store), 0);
    store_check(w->store);
}

/* -------------------------------------------------------------------------------- steps ------- */

static int add(struct world *w)
{
    struct moment next = { .state = *now(w) };
    w->records.size = 0;
    naive_change(&next.state, &w->random, &w->thing, &w->records);
    begin_call(w);
    int result = end_call(w, store_add(w->store, w->records.data, w->records.size));
    if (result == -EIO)
        return result;
    look_for_commit(w);
    if (result == 0) {
        assert_true(w->count < STATES_MAX);
        w->moments[w->count++] = next;
    }
    return result;
}

static int finish_first(struct world *w)
{
    struct moment next = { .state = *now(w) };
    uint64_t queue = dice(w, NAIVE_QUEUES);
    uint64_t from = dice(w, 2) == 0 ? 0 : dice(w, NAIVE_SEQS), seq = from;
    while (seq < NAIVE_SEQS && next.state.entries[queue][seq] == 0)
        seq++;
    begin_call(w);
    int result = end_call(w, store_finish_first(w->store, queue, from));
    assert_int_equal(result == -ENOENT, seq == NAIVE_SEQS);
    if (result == -EIO || result == -ENOENT)
        return result == -EIO ? result : 0;
    look_for_commit(w);
    if (result == 0) {
        next.state.entries[queue][seq] = 0;
        w->moments[w->count++] = next;
    }
    return result;
}

static int write_batch(struct world *w)
{
    begin_call(w);
    int result = end_call(w, store_write(w->store));
    if (result == 0) {
        note_written(w);
        w->batches = store_stats(w->store).batches_written;
    }
    return result;
}

static int sync_batch(struct world *w)
{
    begin_call(w);
    int result = end_call(w, store_sync(w->store));
    if (result == 0)
        note_synced(w);
    return result;
}

static int commit(struct world *w)
{
    int result = write_batch(w);
    return result < 0 ? result : sync_batch(w);
}

static int clean(struct world *w)
{
    begin_call(w);
    int result = end_call(w, store_clean(w->store, 1 + dice(w, 20000), false));
    look_for_commit(w);
    assert_true(result <= 1);
    return result < 0 ? result : 0;
}

static int step(struct world *w)
{
    switch (dice(w, 16)) {
    case 0:
    case 1:
        return commit(w);
    case 2:
        return write_batch(w);
    case 3:
        return sync_batch(w);
    case 4:
    case 5:
        return clean(w);
    case 6:
        return finish_first(w);
    }
    return w->count > STATES_MAX - 2 ? commit(w) : add(w);
}

/* ---------------------------------------------------------------------------- the tests ------- */

static void it_is_what_a_naive_one_is(void **state)
{
    static struct world w;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        start(&w, seed);
        open_again(&w);
        for (int i = 0; i < 400; i++) {
            assert_int_equal(step(&w), 0);
            if (dice(&w, 10) == 0)
                naive_expect_counts(w.store, now(&w));
            if (dice(&w, 40) == 0) {
                fail_now(&w);
                open_again(&w);
            }
        }
        stop(&w);
    }
}

/* What is not written is not read, and a copy of what was is. */
static void what_is_read_was_written(void **state)
{
    static struct world w;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        start(&w, seed);
        open_again(&w);
        for (int i = 0; i < 200; i++) {
            assert_int_equal(step(&w), 0);
            struct naive found;
            naive_read(w.store, &found);
            const struct naive *newest = now(&w), *written = &w.moments[w.written].state;
            for (size_t q = 0; q < NAIVE_QUEUES; q++)
                for (size_t n = 0; n < NAIVE_SEQS; n++) {
                    uint32_t old = written->entries[q][n], new = newest->entries[q][n];
                    assert_int_equal(found.entries[q][n], old == new ? new : 0);
                }
        }
        stop(&w);
    }
}

enum { SCENARIO_STEPS = 250 };

/* Until something says no.  Out of memory and nothing changed: goes on. */
static int scenario(struct world *w)
{
    int result = open_store(w);
    for (int i = 0; i < SCENARIO_STEPS && result == 0; i++) {
        result = step(w);
        if (result == -ENOMEM && !is_broken(w)) {
            naive_expect_counts(w->store, now(w));
            result = 0;
        }
    }
    return result;
}

static void recover(struct world *w, int result)
{
    w->alloc_in = 0;
    fake_disk_fail_at(&w->disk, 0, 0);
    if (result < 0 && w->store != NULL && is_broken(w))
        note_broken(w);
    fail_now(w);
    open_again(w);
    for (int i = 0; i < 20; i++)
        assert_int_equal(step(w), 0);
    fail_now(w);
    open_again(w);
    stop(w);
}

static void each_call_of_the_disk_may_fail(void **state)
{
    static const int errors[] = { EIO, ENOSPC };
    static struct world w;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        bool is_reached = true;
        for (uint64_t n = 1; is_reached; n++) {
            start(&w, seed);
            fake_disk_fail_at(&w.disk, n, errors[seed % 2]);
            int result = scenario(&w);
            is_reached = fake_disk_calls(&w.disk) >= n;
            w.random += n;
            recover(&w, result);
        }
    }
}

static void each_allocation_may_fail(void **state)
{
    static struct world w;
    bool is_reached = true;
    for (uint64_t n = 1; is_reached; n++) {
        start(&w, 3);
        w.alloc_in = n;
        int result = scenario(&w);
        is_reached = w.alloc_in == 0;
        w.random += n;
        recover(&w, result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_what_a_naive_one_is),
        cmocka_unit_test(what_is_read_was_written),
        cmocka_unit_test(each_call_of_the_disk_may_fail),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
