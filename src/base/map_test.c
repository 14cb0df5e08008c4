#include "base/map.h"
#include "base/memory.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { KEYS = 500, STEPS = 200000 };

struct thing {
    char key[16];
    bool in_map; /* the model */
    bool seen;
};

static struct bytes thing_key(const void *object)
{
    return bytes_of_string(((const struct thing *)object)->key);
}

static uint32_t next_random(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33);
}

static void make_things(struct thing *things)
{
    for (int i = 0; i < KEYS; i++) {
        things[i] = (struct thing){ 0 };
        if (i > 0) /* the first has the empty key */
            snprintf(things[i].key, sizeof(things[i].key), "k%d", i);
    }
}

static void expect_same(const struct map *m, struct thing *things)
{
    size_t count = 0, walked = 0;
    for (int i = 0; i < KEYS; i++) {
        void *found = map_find(m, thing_key(&things[i]));
        assert_ptr_equal(found, things[i].in_map ? &things[i] : NULL);
        count += things[i].in_map;
        things[i].seen = false;
    }
    assert_int_equal(m->count, count);

    size_t cursor = 0;
    for (struct thing *thing; (thing = map_next(m, &cursor)) != NULL; walked++) {
        assert_true(thing->in_map);
        assert_false(thing->seen);
        thing->seen = true;
    }
    assert_int_equal(walked, count);
}

/* The map and a flag per object agree after any sequence of additions and removals.  With a seed
 * the hash is honest; the other rows show phases of growing and of emptying. */
static void agrees_with_model(void **state)
{
    static const struct {
        uint64_t seed;
        uint32_t add_percent;
    } rows[] = { { 1, 50 }, { 2, 90 }, { 3, 10 }, { 4, 50 } };
    static struct thing things[KEYS];

    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        struct map m;
        make_things(things);
        map_init(&m, rows[row].seed, thing_key);
        uint64_t random = rows[row].seed;
        for (int step = 0; step < STEPS; step++) {
            struct thing *thing = &things[next_random(&random) % KEYS];
            bool add = next_random(&random) % 100 < rows[row].add_percent;
            if (add && !thing->in_map) {
                assert_int_equal(map_add(&m, thing), 0);
                thing->in_map = true;
            } else if (!add && thing->in_map) {
                map_remove(&m, thing);
                thing->in_map = false;
            }
            if (step % 1000 == 0)
                expect_same(&m, things);
        }
        expect_same(&m, things);
        map_fini(&m);
    }
}

static void empty_map(void **state)
{
    struct map m;
    map_init(&m, 0, thing_key);
    size_t cursor = 0;
    assert_null(map_find(&m, BYTES("a")));
    assert_null(map_next(&m, &cursor));
    map_fini(&m);
    map_fini(NULL);
}

/* So many slots that a tag alone does not tell an object's home. */
static void more_than_tags_can_tell(void **state)
{
    enum { MANY = 60000 };
    struct thing *things = calloc(MANY, sizeof *things);
    struct map m;
    map_init(&m, 6, thing_key);
    for (int i = 0; i < MANY; i++) {
        snprintf(things[i].key, sizeof things[i].key, "k%d", i);
        assert_int_equal(map_add(&m, &things[i]), 0);
    }
    assert_true(m.capacity > 65536);
    for (int i = 0; i < MANY; i += 2)
        map_remove(&m, &things[i]);
    for (int i = 0; i < MANY; i++)
        assert_ptr_equal(map_find(&m, thing_key(&things[i])), i % 2 == 0 ? NULL : &things[i]);
    assert_int_equal(m.count, MANY / 2);
    map_fini(&m);
    free(things);
}

static void failure_changes_nothing(void **state)
{
    static struct thing things[KEYS];
    struct map m;
    make_things(things);
    map_init(&m, 5, thing_key);
    for (int i = 0; i < KEYS; i++) {
        memory_fail_at(1);
        int result = map_add(&m, &things[i]);
        if (result != 0) {
            assert_int_equal(result, -ENOMEM);
            expect_same(&m, things);
            assert_int_equal(map_add(&m, &things[i]), 0); /* only one attempt fails */
        }
        things[i].in_map = true;
    }
    memory_fail_at(0);
    expect_same(&m, things);
    map_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_model),
        cmocka_unit_test(empty_map),
        cmocka_unit_test(more_than_tags_can_tell),
        cmocka_unit_test(failure_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
