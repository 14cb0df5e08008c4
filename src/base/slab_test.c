#include "base/memory.h"
#include "base/slab.h"
#include <stdbool.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { TENANTS = 3000, STEPS = 100000 };

struct tenant {
    uint8_t *object; /* NULL: none */
    uint32_t slot, generation;
    uint8_t mark;
};

static uint32_t next_random(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33);
}

static void expect_all_there(const struct slab *s, const struct tenant *tenants, size_t size)
{
    size_t count = 0, walked = 0;
    for (size_t i = 0; i < TENANTS; i++) {
        const struct tenant *t = &tenants[i];
        if (t->object == NULL)
            continue;
        count++;
        assert_ptr_equal(slab_find(s, t->slot, t->generation), t->object);
        assert_int_equal(t->object[0], t->mark);
        assert_int_equal(t->object[size - 1], t->mark);
    }
    uint32_t cursor = 0;
    while (slab_next(s, &cursor) != NULL)
        walked++;
    assert_int_equal(walked, count);
    assert_int_equal(slab_count(s), count);
}

static void move_in(struct slab *s, struct tenant *t, size_t size, uint8_t mark)
{
    t->object = slab_alloc(s, &t->slot, &t->generation);
    assert_non_null(t->object);
    assert_int_equal((uintptr_t)t->object % 8, 0);
    assert_in_range(t->generation, 1, (1 << SLAB_GENERATION_BITS) - 1);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(t->object[i], 0);
    memset(t->object, mark, size);
    t->mark = mark;
}

static void move_out(struct slab *s, struct tenant *t)
{
    slab_free(s, t->slot);
    assert_null(slab_find(s, t->slot, t->generation));
    assert_null(slab_find(s, t->slot, t->generation + 1)); /* the next one is not in yet */
    t->object = NULL;
}

/* Objects stay where they are and keep what they hold, whatever comes and goes around them. */
static void agrees_with_model(void **state)
{
    static const size_t sizes[] = { 1, 8, 9, 200, 5000 };
    static struct tenant tenants[TENANTS];
    for (size_t row = 0; row < sizeof(sizes) / sizeof(sizes[0]); row++) {
        struct slab *s = slab_create(sizes[row]);
        uint64_t random = row;
        memset(tenants, 0, sizeof(tenants));
        for (int step = 0; step < STEPS / (int)(sizes[row] / 50 + 1); step++) {
            struct tenant *t = &tenants[next_random(&random) % TENANTS];
            if (t->object == NULL)
                move_in(s, t, sizes[row], (uint8_t)step);
            else
                move_out(s, t);
        }
        expect_all_there(s, tenants, sizes[row]);
        slab_destroy(s);
    }
    slab_destroy(NULL);
}

/* One slot has all its tenants; no pair comes twice, and in the end the slot is left alone. */
static void generations_never_repeat(void **state)
{
    struct slab *s = slab_create(8);
    uint32_t first, slot, generation, before = 0;
    assert_non_null(slab_alloc(s, &first, &generation));
    slab_free(s, first);
    for (;;) {
        before = generation;
        assert_non_null(slab_alloc(s, &slot, &generation));
        if (slot != first)
            break;
        if (generation != before + 1)
            fail_msg("generation %u after %u", generation, before);
        slab_free(s, slot);
    }
    assert_int_equal(before, (1 << SLAB_GENERATION_BITS) - 1);
    assert_int_equal(generation, 1);
    assert_null(slab_find(s, first, 0));
    assert_null(slab_find(s, first, 1 << SLAB_GENERATION_BITS));
    slab_destroy(s);
}

static void strangers_find_nothing(void **state)
{
    struct slab *s = slab_create(64 * 1024);
    uint32_t slot, generation;
    assert_null(slab_find(s, 0, 0));
    assert_null(slab_find(s, 0, 1));
    assert_null(slab_find(s, UINT32_MAX, UINT32_MAX));
    assert_non_null(slab_alloc(s, &slot, &generation));
    assert_null(slab_find(s, slot, generation + 1));
    assert_null(slab_find(s, slot + 1, generation));
    slab_destroy(s);
}

/* Freeing the one just seen, or allocating, does not disturb a walk. */
static void walk_while_freeing(void **state)
{
    struct slab *s = slab_create(100);
    uint32_t slot, generation, cursor = 0;
    for (int i = 0; i < 1000; i++)
        assert_non_null(slab_alloc(s, &slot, &generation));
    while (slab_next(s, &cursor) != NULL)
        slab_free(s, cursor - 1);
    assert_int_equal(slab_count(s), 0);
    slab_destroy(s);
}

static void failure_sweep(void **state)
{
    for (uint64_t nth = 1;; nth++) {
        memory_fail_at(nth);
        struct slab *s = slab_create(30000);
        uint32_t slot, generation;
        size_t count = 0;
        bool failed = s == NULL;
        for (int i = 0; s != NULL && i < 40; i++) {
            if (slab_alloc(s, &slot, &generation) != NULL)
                count++;
            else
                failed = true;
        }
        if (s != NULL)
            assert_int_equal(slab_count(s), count);
        slab_destroy(s);
        if (!failed)
            break;
        assert_true(nth < 100);
    }
    memory_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_model),      cmocka_unit_test(generations_never_repeat),
        cmocka_unit_test(strangers_find_nothing), cmocka_unit_test(walk_while_freeing),
        cmocka_unit_test(failure_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
