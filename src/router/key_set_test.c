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
    struct key key;    /* its text behind it */
};

static struct key *find(const struct key_set *s, struct bytes text)
{
    return key_set_find(s, hash_bytes(SEED, text), text);
}

static void make_things(struct thing **things)
{
    for (unsigned i = 0; i < KEYS; i++) {
        char text[8] = "";
        int size = i == 0 ? 0 : snprintf(text, sizeof(text), "%x", i);
        things[i] = memory_alloc_zero(sizeof(struct thing) + sizeof(text));
        assert_non_null(things[i]);
        things[i]->key.size = (uint16_t)size;
        memcpy(things[i]->key.text, text, (size_t)size);
    }
}

static size_t expect_same(const struct key_set *s, struct thing **things)
{
    size_t count = 0, walked = 0, cursor = 0;
    key_set_check(s, SEED);
    for (int i = 0; i < KEYS; i++) {
        struct thing *t = things[i];
        assert_ptr_equal(find(s, key_bytes(&t->key)), t->in_set ? &t->key : NULL);
        count += t->in_set;
        t->seen = false;
    }
    for (struct key *k; (k = key_set_next(s, &cursor)) != NULL; walked++) {
        struct thing *t = container_of(k, struct thing, key);
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
            int result = key_set_add(&s, g, SEED, &t->key);
            assert_true(result == 0 || result == -ENOMEM);
            t->in_set = result == 0;
        } else if (t->in_set && !wanted) {
            key_set_remove(&s, g, SEED, &t->key);
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
            key_set_remove(&s, g, SEED, &things[i]->key);
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
