#include "base/few.h"
#include "base/memory.h"
#include <errno.h>
#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { THINGS = 20, STEPS = 20000 };

struct thing {
    char key[16];
    bool is_in; /* the model */
    bool is_seen;
};

static struct bytes thing_key(const void *object)
{
    return bytes_of_string(((const struct thing *)object)->key);
}

static const struct few_kind kind = { thing_key, 7 };

static void make_things(struct thing *things)
{
    for (int i = 0; i < THINGS; i++) {
        things[i] = (struct thing){ 0 };
        if (i > 0) /* the first has the empty key */
            snprintf(things[i].key, sizeof things[i].key, "k%d", i);
    }
}

static void expect_same(const struct few *f, struct thing *things)
{
    size_t count = 0, walked = 0, cursor = 0;
    for (int i = 0; i < THINGS; i++) {
        void *found = few_find(f, &kind, thing_key(&things[i]));
        assert_ptr_equal(found, things[i].is_in ? &things[i] : NULL);
        count += things[i].is_in;
        things[i].is_seen = false;
    }
    assert_int_equal(few_count(f), count);
    for (struct thing *thing; (thing = few_next(f, &cursor)) != NULL; walked++) {
        assert_true(thing->is_in && !thing->is_seen);
        thing->is_seen = true;
    }
    assert_int_equal(walked, count);
}

/* It agrees with a flag per object after any sequence of additions and removals, however few. */
static void agrees_with_model(void **state)
{
    static const uint32_t rows[] = { 1, 2, 3, THINGS }; /* how many objects take part */
    static struct thing things[THINGS];
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct few f = { 0 };
        uint64_t random = row;
        make_things(things);
        for (int step = 0; step < STEPS; step++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            struct thing *thing = &things[(random >> 33) % rows[row]];
            if (thing->is_in)
                few_remove(&f, thing);
            else
                assert_int_equal(few_add(&f, &kind, thing), 0);
            thing->is_in = !thing->is_in;
            if (step % 8 == 0)
                expect_same(&f, things);
        }
        few_fini(&f);
        assert_int_equal(few_count(&f), 0);
    }
}

static void one_object_takes_no_memory(void **state)
{
    static struct thing things[THINGS];
    struct few f = { 0 };
    size_t before = memory_used();
    make_things(things);
    assert_int_equal(few_add(&f, &kind, &things[1]), 0);
    assert_int_equal(memory_used(), before);
    assert_int_equal(few_add(&f, &kind, &things[2]), 0);
    few_remove(&f, &things[1]);
    few_remove(&f, &things[2]);
    assert_int_equal(memory_used(), before); /* nor an empty one */
}

static void survives_lack_of_memory(void **state)
{
    static struct thing things[THINGS];
    struct few f = { 0 };
    make_things(things);
    for (int i = 0; i < THINGS; i++) {
        int result = -ENOMEM;
        for (uint64_t nth = 1; result != 0; nth++) {
            assert_true(nth < 5);
            memory_fail_at(nth);
            result = few_add(&f, &kind, &things[i]);
            memory_fail_at(0);
            things[i].is_in = result == 0;
            expect_same(&f, things);
        }
    }
    few_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_model),
        cmocka_unit_test(one_object_takes_no_memory),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
