#include "session/seq_set.h"
#include "session/test_sink.h"

#include <errno.h>

enum { STEPS = 60000, SEQS = 60000 };

/* The naive set: a flag for each.  They come nearly in order, and go nearly in order. */
static void agrees_with_flags(void **state)
{
    static bool has[SEQS];
    struct seq_set s = { 0 };
    uint64_t random = 7, next = 0, first = 0;
    size_t count = 0;
    for (int step = 0; step < STEPS; step++) {
        uint64_t spread = step / 4000 % 3 == 0 ? 3 : 400;
        bool adds = test_random(&random) % 100 < (step / 2000 % 2 == 0 ? 60u : 45u);
        uint64_t near = (adds ? next : first) + test_random(&random) % spread;
        uint64_t seq = adds && test_random(&random) % 8 > 0 ? next : near;
        if (seq >= SEQS)
            break;
        if (adds) {
            assert_int_equal(seq_set_add(&s, seq), 0);
            count += !has[seq];
            has[seq] = true;
            next = seq >= next ? seq + 1 : next;
        } else {
            assert_int_equal(seq_set_remove(&s, seq), has[seq]);
            count -= has[seq];
            has[seq] = false;
        }
        for (first = count == 0 ? next : 0; count > 0 && !has[first];)
            first++;
        assert_int_equal(s.count, count);
        assert_true(seq_set_first(&s) == (count == 0 ? UINT64_MAX : first));
        if (step % 50 == 0)
            seq_set_check(&s);
    }
    assert_true(next > STEPS / 4);
    seq_set_fini(&s);
}

static void without_memory_nothing_changes(void **state)
{
    struct seq_set s = { 0 };
    for (uint64_t seq = 1; seq <= 200; seq++) {
        memory_fail_at(1);
        int result = seq_set_add(&s, seq * 7 % 211);
        bool asked = memory_fail_at(0) > 0;
        assert_int_equal(result, asked ? -ENOMEM : 0);
        if (asked)
            assert_int_equal(seq_set_add(&s, seq * 7 % 211), 0);
        seq_set_check(&s);
        assert_int_equal(s.count, seq);
    }
    assert_int_equal(seq_set_reserve(&s, 1000), 0);
    memory_fail_at(1);
    for (uint64_t seq = 1001; seq <= 2000; seq++)
        assert_int_equal(seq_set_add(&s, seq), 0);
    memory_fail_at(0);
    assert_int_equal(seq_set_reserve(&s, SIZE_MAX / 4), -ENOMEM);
    seq_set_fini(&s);
    assert_true(seq_set_first(&s) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_flags),
        cmocka_unit_test(without_memory_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
