#include "base/memory.h"
#include "store/ledger.h"
#include "store/test_random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { KEYS = 30, QUEUES = 5, SEQS = 100, SEGMENTS_MAX = 400, FILE_SIZE = 10000 };

/* What it should know, in arrays. */
struct naive {
    uint64_t keys[KEYS];
    uint64_t entries[QUEUES][SEQS];
};

struct world {
    struct ledger ledger;
    struct naive naive;
    struct buffer records;
    uint64_t segment, offset; /* where the next record stands */
    uint64_t random;
};

static unsigned roll(struct world *w, unsigned sides)
{
    return next_random(&w->random) % sides;
}

static struct bytes key_of(size_t index, char out[16])
{
    int size = snprintf(out, 16, "%c%zu", "sfr"[index % 3], index);
    return bytes_of(out, (size_t)size);
}

static void begin_segment(struct world *w)
{
    assert_int_equal(ledger_reserve(&w->ledger, 0, 0), 0);
    ledger_begin_segment(&w->ledger, ++w->segment, FILE_SIZE);
    w->offset = 4096;
}

static void start(struct world *w, uint64_t seed)
{
    *w = (struct world){ .random = seed, .segment = 6 };
    ledger_init(&w->ledger, seed * 77);
    begin_segment(w);
}

static void stop(struct world *w)
{
    ledger_fini(&w->ledger);
    buffer_fini(&w->records);
}

/* The record in w->records: given to the ledger at the next place, which is returned. */
static uint64_t apply(struct world *w)
{
    struct record r;
    assert_int_equal(record_read(buffer_bytes(&w->records), &r), 0);
    w->records.size = 0;
    uint64_t position = position_make(w->segment, w->offset);
    size_t appends = r.type == RECORD_APPEND ? r.count : 0;
    assert_int_equal(ledger_reserve(&w->ledger, r.type == RECORD_PUT, appends), 0);
    ledger_use(&w->ledger, r.size);
    ledger_apply(&w->ledger, &r, position);
    w->offset += r.size;
    return position;
}

static void put(struct world *w, size_t index)
{
    char key[16];
    record_put(&w->records, key_of(index, key), BYTES("value"));
    w->naive.keys[index] = apply(w);
}

static void remove_key(struct world *w, size_t index)
{
    char key[16];
    record_remove(&w->records, key_of(index, key));
    apply(w);
    w->naive.keys[index] = 0;
}

static void append(struct world *w, uint64_t seq)
{
    struct record_entry entries[QUEUES];
    size_t count = 1 + roll(w, QUEUES), first = roll(w, QUEUES);
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct record_entry){ .queue = (first + i) % QUEUES, .seq = seq };
    record_append(&w->records, entries, count, &BYTES("body"), 1);
    uint64_t position = apply(w);
    for (size_t i = 0; i < count; i++)
        w->naive.entries[entries[i].queue][seq] = position;
}

static void finish(struct world *w, uint64_t queue, uint64_t seq)
{
    record_finish(&w->records, queue, seq);
    apply(w);
    w->naive.entries[queue][seq] = 0;
}

static void drop(struct world *w, uint64_t queue)
{
    record_drop(&w->records, queue);
    apply(w);
    memset(w->naive.entries[queue], 0, sizeof(w->naive.entries[queue]));
}

static void step(struct world *w)
{
    switch (roll(w, 16)) {
    case 0:
    case 1:
        put(w, roll(w, KEYS));
        break;
    case 2:
        remove_key(w, roll(w, KEYS));
        break;
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
        append(w, roll(w, SEQS));
        break;
    case 8:
        begin_segment(w);
        break;
    case 9:
        if (roll(w, 8) == 0)
            drop(w, roll(w, QUEUES));
        break;
    default:
        finish(w, roll(w, QUEUES), roll(w, SEQS));
    }
    while (w->ledger.dead_count > 0 && roll(w, 2) == 0)
        ledger_forget_segment(&w->ledger);
}

static void expect_queue(const struct world *w, uint64_t queue, uint64_t *live)
{
    struct store_queue expected = { 0 };
    const uint64_t *entries = w->naive.entries[queue];
    for (uint64_t seq = 0; seq < SEQS; seq++) {
        assert_int_equal(ledger_entry(&w->ledger, queue, seq), entries[seq]);
        if (entries[seq] == 0)
            continue;
        live[position_segment(entries[seq])]++;
        expected.first = expected.count == 0 ? seq : expected.first;
        expected.last = seq;
        expected.count++;
    }
    struct store_queue q = ledger_queue(&w->ledger, queue);
    assert_memory_equal(&q, &expected, sizeof(q));
}

static void expect_equal(const struct world *w)
{
    uint64_t live[SEGMENTS_MAX] = { 0 };
    ledger_check(&w->ledger);
    for (size_t i = 0; i < KEYS; i++) {
        char key[16];
        assert_int_equal(ledger_key(&w->ledger, key_of(i, key)), w->naive.keys[i]);
        if (w->naive.keys[i] != 0)
            live[position_segment(w->naive.keys[i])]++;
    }
    for (uint64_t queue = 0; queue < QUEUES; queue++)
        expect_queue(w, queue, live);
    for (uint64_t n = w->ledger.first_segment; n <= w->segment; n++)
        assert_int_equal(ledger_segment(&w->ledger, n)->live, live[n]);
    for (uint64_t n = 0; n < w->ledger.first_segment; n++)
        assert_int_equal(live[n], 0); /* nothing that is needed has gone */
}

static void it_knows_what_naive_arrays_know(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world w;
        start(&w, seed);
        for (int i = 0; i < 3000; i++) {
            step(&w);
            if (i % 25 == 0)
                expect_equal(&w);
        }
        stop(&w);
    }
}

static void keys_are_found_by_their_first_byte(void **state)
{
    struct world w;
    start(&w, 1);
    for (size_t i = 0; i < KEYS; i++)
        put(&w, i);
    remove_key(&w, 3); /* an 's' */
    for (int i = 0; i < 3; i++) {
        uint64_t cursor = 0, position;
        size_t count = 0;
        while (ledger_next_key(&w.ledger, &cursor, (uint8_t) "sfr"[i], &position))
            count++;
        assert_int_equal(count, i == 0 ? KEYS / 3 - 1 : KEYS / 3);
    }
    stop(&w);
}

static void what_is_live_is_estimated_by_segment(void **state)
{
    struct world w;
    start(&w, 1);
    for (uint64_t seq = 0; seq < 10; seq++) {
        record_append(&w.records, &(struct record_entry){ .seq = seq }, 1, NULL, 0);
        apply(&w);
    }
    uint64_t used = w.ledger.used;
    assert_int_equal(ledger_live_bytes(&w.ledger), used);
    assert_int_equal(ledger_log_bytes(&w.ledger), used);
    begin_segment(&w);
    assert_int_equal(ledger_live_bytes(&w.ledger), used);
    assert_int_equal(ledger_log_bytes(&w.ledger), FILE_SIZE); /* it takes the whole file now */
    finish(&w, 0, 4);
    assert_int_equal(ledger_live_bytes(&w.ledger), used / 10 * 9);
    drop(&w, 0);
    assert_int_equal(ledger_live_bytes(&w.ledger), 0);
    assert_int_equal(w.ledger.dead_count, 1);
    assert_int_equal(ledger_log_bytes(&w.ledger), w.ledger.used - used); /* it is going */
    ledger_forget_segment(&w.ledger);
    assert_int_equal(w.ledger.first_segment, w.segment);
    ledger_check(&w.ledger);
    stop(&w);
}

static void no_memory_is_told_beforehand(void **state)
{
    uint64_t n = 0;
    for (int result = -ENOMEM; result < 0;) {
        struct world w;
        start(&w, 1);
        for (size_t i = 0; i < 7; i++)
            begin_segment(&w); /* eight of them: the array is full */
        memory_fail_at(++n);
        result = ledger_reserve(&w.ledger, 100, 100);
        memory_fail_at(0);
        assert_true(result == 0 || result == -ENOMEM);
        ledger_check(&w.ledger);
        stop(&w);
    }
    assert_true(n > 200); /* 100 queues, 100 chunks */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_knows_what_naive_arrays_know),
        cmocka_unit_test(keys_are_found_by_their_first_byte),
        cmocka_unit_test(what_is_live_is_estimated_by_segment),
        cmocka_unit_test(no_memory_is_told_beforehand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
