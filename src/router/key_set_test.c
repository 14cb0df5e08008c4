#include "base/hash.h"
#include "base/list.h"
#include "base/memory.h"
#include "router/key_set.h"
#include "router/test_random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SEED = 8, KEYS = 600, STEPS = 100000 };

struct thing {
    bool in_set, seen; /* the model */
    uint8_t size;
    char text[8];
};

static struct bytes text_of(const struct thing *t)
{
    return bytes_of(t->text, t->size);
}

static uint64_t hash_of(const struct thing *t)
{
    return hash_bytes(SEED, text_of(t));
}

/* Every other thing has the owner's mark. */
static uintptr_t member_of(const struct thing *t)
{
    return (uintptr_t)t | (t->size % 2 == 0 ? 2 : 0);
}

static struct thing *thing_of(uintptr_t member)
{
    return (struct thing *)(member & ~(uintptr_t)2);
}

static uint64_t hash_again(const struct key_hash *h, uintptr_t member)
{
    return hash_of(thing_of(member));
}

static const struct key_hash hash = { hash_again };

static struct thing *find(const struct key_set *s, const struct thing *wanted)
{
    struct key_view v = key_set_view(s);
    uint64_t cursor = 0;
    for (uintptr_t m; (m = key_view_next(v, hash_of(wanted), &cursor)) != 0;)
        if (bytes_equal(text_of(thing_of(m)), text_of(wanted)))
            return thing_of(m);
    return NULL;
}

static void make_things(struct thing **things)
{
    for (unsigned i = 0; i < KEYS; i++) {
        struct thing *t = things[i] = memory_alloc_zero(sizeof(struct thing));
        assert_non_null(t);
        t->size = (uint8_t)(i == 0 ? 0 : snprintf(t->text, sizeof(t->text), "%x", i));
    }
}

static size_t expect_same(const struct key_set *s, struct thing **things)
{
    size_t count = 0, walked = 0, cursor = 0;
    key_set_check(s, &hash);
    for (int i = 0; i < KEYS; i++) {
        struct thing *t = things[i];
        assert_ptr_equal(find(s, t), t->in_set ? t : NULL);
        count += t->in_set;
        t->seen = false;
    }
    for (uintptr_t m; (m = key_set_next(s, &cursor)) != 0; walked++) {
        struct thing *t = thing_of(m);
        assert_true(t->in_set && !t->seen);
        t->seen = true;
    }
    assert_int_equal(walked, count);
    assert_int_equal(key_set_is_empty(s), count == 0);
    return count;
}

/* Tides: from nothing over one key to a crowd and back, with lack of memory now and then. */
static void agrees_with_a_plain_array(void **state)
{
    static struct thing *things[KEYS];
    struct key_set s = { 0 };
    struct grace *g = grace_create(1);
    uint64_t random = 2;
    size_t count_max = 0;
    make_things(things);
    for (int step = 0; step < STEPS; step++) {
        struct thing *t = things[next_random(&random) % KEYS];
        bool flood = step / 5000 % 2 == 0, wanted = next_random(&random) % 100 < (flood ? 90 : 1);
        if (next_random(&random) % 10 == 0)
            memory_fail_at(1);
        if (!t->in_set && wanted) {
            int result = key_set_add(&s, g, &hash, hash_of(t), member_of(t));
            assert_true(result == 0 || result == -ENOMEM);
            t->in_set = result == 0;
        } else if (t->in_set && !wanted) {
            key_set_remove(&s, g, &hash, hash_of(t), member_of(t));
            t->in_set = false;
        }
        memory_fail_at(0);
        if (step % 100 == 0) {
            size_t count = expect_same(&s, things);
            count_max = count > count_max ? count : count_max;
            grace_collect(g);
        }
    }
    assert_true(count_max > KEYS / 2);
    for (int i = 0; i < KEYS; i++) {
        if (things[i]->in_set)
            key_set_remove(&s, g, &hash, hash_of(things[i]), member_of(things[i]));
        memory_free(things[i]);
    }
    assert_true(key_set_is_empty(&s));
    key_set_fini(&s);
    grace_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_plain_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
