#include "base/memory.h"
#include "store/seq_map.h"
#include "store/test_random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A naive one: all seqs that are used, rising, each with its position. */
enum { CLUSTERS = 4, CLUSTER_SIZE = 300, PLACES = CLUSTERS * CLUSTER_SIZE };

static const uint64_t cluster_starts[CLUSTERS] = { 0, 27000, (uint64_t)1 << 40,
                                                   UINT64_MAX - CLUSTER_SIZE + 1 };

struct naive {
    uint64_t positions[PLACES];
    uint64_t count;
};

static uint64_t seq_of(size_t place)
{
    return cluster_starts[place / CLUSTER_SIZE] + place % CLUSTER_SIZE;
}

static void set(struct seq_map *m, struct seq_pool *p, uint64_t seq, uint64_t position)
{
    assert_int_equal(seq_pool_reserve(p, 1), 0);
    seq_map_set(m, p, seq, position);
}

static void clear(struct seq_map *m, struct seq_pool *p)
{
    while (m->count > 0)
        assert_int_not_equal(seq_map_remove(m, p, seq_map_last(m)), 0);
    seq_map_check(m);
    seq_pool_trim(p, 0);
    assert_null(p->free);
}

static void expect_next(const struct seq_map *m, const struct naive *n, size_t from)
{
    size_t place = from;
    while (place < PLACES && n->positions[place] == 0)
        place++;
    uint64_t seq, position;
    assert_int_equal(seq_map_next(m, seq_of(from), &seq, &position), place < PLACES);
    if (place == PLACES)
        return;
    assert_int_equal(seq, seq_of(place));
    assert_int_equal(position, n->positions[place]);
}

static void expect_equal(const struct seq_map *m, const struct naive *n)
{
    seq_map_check(m);
    assert_int_equal(m->count, n->count);
    for (size_t i = 0; i < PLACES; i++) {
        assert_int_equal(seq_map_find(m, seq_of(i)), n->positions[i]);
        expect_next(m, n, i);
    }
    if (n->count == 0)
        return;
    size_t first = 0, last = PLACES - 1;
    while (n->positions[first] == 0)
        first++;
    while (n->positions[last] == 0)
        last--;
    assert_int_equal(seq_map_first(m), seq_of(first));
    assert_int_equal(seq_map_last(m), seq_of(last));
}

static void it_is_what_a_naive_one_is(void **state)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct seq_map m = { 0 };
        struct seq_pool p = { 0 };
        struct naive n = { 0 };
        uint64_t random = seed;
        for (uint64_t step = 1; step <= 6000; step++) {
            size_t place = next_random(&random) % PLACES;
            bool grows = step / 1000 % 2 == 0;
            uint64_t before = n.positions[place];
            assert_int_equal(seq_pool_reserve(&p, 1), 0);
            if (next_random(&random) % 8 < (grows ? 7 : 1)) {
                assert_int_equal(seq_map_set(&m, &p, seq_of(place), step), before);
                n.positions[place] = step;
                n.count += before == 0;
            } else {
                assert_int_equal(seq_map_remove(&m, &p, seq_of(place)), before);
                n.positions[place] = 0;
                n.count -= before != 0;
            }
            if (step % 500 == 0)
                expect_equal(&m, &n);
        }
        clear(&m, &p);
    }
}

/* As a log that was cleaned is read back: the old entries after the new ones. */
static void old_entries_come_after_new_ones(void **state)
{
    enum { COUNT = 100000, SPLIT = 90000 };
    struct seq_map m = { 0 };
    struct seq_pool p = { 0 };
    for (uint64_t i = 0; i < COUNT; i++)
        set(&m, &p, (i + SPLIT) % COUNT, i + 1);
    seq_map_check(&m);
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_int_equal(seq_map_first(&m), i);
        assert_int_not_equal(seq_map_remove(&m, &p, i), 0);
    }
    clear(&m, &p);
}

static void memory_follows_the_number_of_entries(void **state)
{
    struct seq_map m = { 0 };
    struct seq_pool p = { 0 };
    size_t before = memory_used();
    for (uint64_t i = 0; i < 200000; i++)
        set(&m, &p, 1000000 + i, i + 1);
    assert_true(memory_used() - before < 200000 * 12);
    for (uint64_t i = 0; i < 200000; i++) /* all but one of them go */
        if (i != 77)
            seq_map_remove(&m, &p, 1000000 + i);
    seq_pool_trim(&p, 0);
    set(&m, &p, UINT64_MAX, 1); /* and numbers far apart cost nothing */
    assert_true(memory_used() - before < 200000);
    clear(&m, &p);
}

static void no_memory_is_told_beforehand(void **state)
{
    struct seq_pool p = { 0 };
    memory_fail_at(3);
    assert_int_equal(seq_pool_reserve(&p, 5), -ENOMEM);
    memory_fail_at(0);
    assert_int_equal(seq_pool_reserve(&p, 5), 0);
    assert_int_equal(p.count, 5);
    seq_pool_trim(&p, 2);
    assert_int_equal(p.count, 2);
    seq_pool_trim(&p, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_what_a_naive_one_is),
        cmocka_unit_test(old_entries_come_after_new_ones),
        cmocka_unit_test(memory_follows_the_number_of_entries),
        cmocka_unit_test(no_memory_is_told_beforehand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
