#include "bench/histogram.h"
#include <stdbool.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_quantiles_of_small_values_are_exact(void **state)
{
    static const struct {
        double fraction;
        uint64_t quantile;
    } rows[] = {
        { 0, 1 },     /* the least of all */
        { 0.01, 1 },  /* one of a hundred is it */
        { 0.011, 2 }, /* a little more than one is two */
        { 0.07, 7 },  /* 0.07 * 100 is a hair above 7 */
        { 0.29, 29 }, /* 0.29 * 100 is a hair below 29 */
        { 0.5, 50 },  { 0.999, 100 }, { 1, 100 },
    };
    struct histogram h = { 0 };
    for (uint64_t value = 1; value <= 100; value++)
        histogram_add(&h, value, 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(histogram_quantile(&h, rows[i].fraction), rows[i].quantile);
    assert_int_equal(h.sum, 5050);
}

static void test_a_quantile_is_the_end_of_its_bucket_but_never_above_the_maximum(void **state)
{
    static const struct {
        uint64_t value, end;
    } rows[] = {
        { 0, 0 },       { 63, 63 },     { 64, 64 },     { 127, 127 },
        { 128, 129 },   { 129, 129 }, /* from here on two share a bucket */
        { 1000, 1007 }, { 1007, 1007 }, { 1008, 1015 }, { UINT64_MAX - 1, UINT64_MAX },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct histogram h = { 0 };
        histogram_add(&h, rows[i].value, 3);
        assert_int_equal(histogram_quantile(&h, 0.5), rows[i].value); /* which is the maximum */
        histogram_add(&h, UINT64_MAX, 1);
        assert_int_equal(histogram_quantile(&h, 0.5), rows[i].end);
    }
}

/* Wherever a value lies: its quantile is not below it, and at most 1.6 % above. */
static void test_quantiles_are_right_to_within_a_sixtyfourth(void **state)
{
    for (unsigned bit = 0; bit < 63; bit++) {
        for (uint64_t step = 0; step < 8; step++) {
            uint64_t value = ((uint64_t)1 << bit) + (((uint64_t)1 << bit) / 8) * step;
            struct histogram h = { 0 };
            histogram_add(&h, value, 1);
            histogram_add(&h, UINT64_MAX, 1);
            uint64_t quantile = histogram_quantile(&h, 0.5);
            assert_true(quantile >= value);
            assert_true(quantile - value <= value / HISTOGRAM_STEPS);
        }
    }
}

static void test_nothing_has_no_quantile(void **state)
{
    struct histogram h = { 0 };
    assert_int_equal(histogram_quantile(&h, 0.5), 0);
}

static void test_a_streak_counts_as_its_values_one_by_one_would(void **state)
{
    static const uint64_t values[] = { 0, 0, 7, 7, 7, 0, 9 };
    static struct histogram h, same;
    struct histogram_streak streak = { .histogram = &h };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        histogram_streak_add(&streak, values[i]);
        histogram_add(&same, values[i], 1);
    }
    histogram_streak_end(&streak);
    histogram_streak_end(&streak); /* nothing is left to count */
    assert_memory_equal(&h, &same, sizeof h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantiles_of_small_values_are_exact),
        cmocka_unit_test(test_a_quantile_is_the_end_of_its_bucket_but_never_above_the_maximum),
        cmocka_unit_test(test_quantiles_are_right_to_within_a_sixtyfourth),
        cmocka_unit_test(test_nothing_has_no_quantile),
        cmocka_unit_test(test_a_streak_counts_as_its_values_one_by_one_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
