#include "sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { STEPS = 3000, SEEDS = 12, PLANT_SEEDS = 50 };

static uint64_t hash_of(uint64_t seed, unsigned workers)
{
    struct sim_options o = { .seed = seed, .workers = workers, .steps = STEPS };
    struct sim_result result;
    struct trace trace;
    bool passed = sim_run(&o, &trace, &result);
    if (!passed)
        trace_print(&trace);
    assert_true(passed);
    return trace.hash;
}

static void test_one_seed_is_one_story(void **state)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t first = hash_of(seed, 0);
        assert_int_equal(hash_of(seed, 0), first);
        assert_int_not_equal(hash_of(seed + SEEDS, 0), first);
    }
}

/* Looking closer must not change what is seen. */
static void test_checks_change_nothing(void **state)
{
    struct sim_options o = { .seed = 7, .steps = STEPS };
    struct sim_result result;
    struct trace often, now_and_then;
    assert_true(sim_run(&o, &now_and_then, &result));
    o.checks_all = true;
    assert_true(sim_run(&o, &often, &result));
    assert_int_equal(often.hash, now_and_then.hash);
}

static void test_any_number_of_workers(void **state)
{
    for (unsigned workers = 1; workers <= SIM_WORKERS_MAX; workers++)
        (void)hash_of(100 + workers, workers);
}

/* In a child: what is planted may well trip an assertion. */
static bool is_found(enum plant_kind plant, uint64_t seed)
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sim_options o = { .seed = seed, .steps = STEPS, .plant = plant };
        struct sim_result result;
        struct trace trace;
        _exit(sim_run(&o, &trace, &result) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status != 0;
}

static void test_plants_are_found(void **state)
{
    for (int plant = PLANT_NONE + 1; plant < PLANT_COUNT; plant++) {
        uint64_t seed = 1;
        while (seed <= PLANT_SEEDS && !is_found((enum plant_kind)plant, seed))
            seed++;
        if (seed > PLANT_SEEDS)
            fail_msg("%s was not found", plant_name((enum plant_kind)plant));
        print_message("%s: found by seed %u\n", plant_name((enum plant_kind)plant), (unsigned)seed);
    }
}

static void test_plants_have_names(void **state)
{
    for (int plant = PLANT_NONE + 1; plant < PLANT_COUNT; plant++)
        assert_int_equal(plant_from_name(plant_name((enum plant_kind)plant)), plant);
    assert_int_equal(plant_from_name("basil"), PLANT_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_seed_is_one_story), cmocka_unit_test(test_checks_change_nothing),
        cmocka_unit_test(test_any_number_of_workers), cmocka_unit_test(test_plants_are_found),
        cmocka_unit_test(test_plants_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
