#include "base/grace.h"
#include "base/memory.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { READERS = 4, SWAPS = 20000, ALIVE = 0x600d };

struct thing {
    struct retired retired;
    int state;
};

static struct thing *thing_create(void)
{
    struct thing *t = memory_alloc_zero(sizeof(*t));
    t->state = ALIVE;
    return t;
}

/* How many things there are, of those created since `before` was in use; by one thread. */
static size_t thing_count(size_t before)
{
    size_t now = memory_used();
    struct thing *one = thing_create();
    size_t size = memory_used() - now;
    memory_free(one);
    return (now - before) / size;
}

/* A story about readers 0 and 1; after every step, how many things have been destroyed so far? */
static void story(void **state)
{
    enum step { ONLINE, QUIESCENT, OFFLINE, RETIRE };
    static const struct {
        enum step step;
        size_t reader;
        size_t destroyed;
    } rows[] = {
        { RETIRE, 0, 1 },                                              /* nobody reads */
        { ONLINE, 0, 1 },    { QUIESCENT, 0, 1 }, { RETIRE, 0, 1 },    /* reader 0 may hold it */
        { ONLINE, 1, 1 },                                              /* came later: cannot */
        { QUIESCENT, 0, 2 }, { RETIRE, 0, 2 },    { QUIESCENT, 0, 2 }, /* reader 1 may hold it */
        { RETIRE, 0, 2 },                         /* one waits already: this one comes after it */
        { QUIESCENT, 1, 3 }, { QUIESCENT, 0, 3 }, /* both have seen the one before the last */
        { QUIESCENT, 1, 4 }, { RETIRE, 0, 4 },    { OFFLINE, 0, 4 },   { OFFLINE, 1, 5 },
        { ONLINE, 1, 5 },    { RETIRE, 0, 5 },    { OFFLINE, 1, 6 },
    };
    struct grace *g = grace_create(2);
    assert_non_null(g);
    size_t before = memory_used(), retired = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        switch (rows[i].step) {
        case ONLINE:
            grace_online(g, rows[i].reader);
            break;
        case QUIESCENT:
            grace_quiescent(g, rows[i].reader);
            break;
        case OFFLINE:
            grace_offline(g, rows[i].reader);
            break;
        case RETIRE:
            grace_retire(g, &thing_create()->retired);
            retired++;
            break;
        }
        grace_collect(g);
        size_t destroyed = retired - thing_count(before);
        if (destroyed != rows[i].destroyed)
            fail_msg("row %zu: %zu destroyed", i, destroyed);
    }
    grace_destroy(g);
}

/* Much garbage is destroyed in turns that are not long; destroy takes what is left. */
static void collects_in_portions(void **state)
{
    struct grace *g = grace_create(0);
    size_t before = memory_used();
    for (int i = 0; i < 3000; i++)
        grace_retire(g, &thing_create()->retired);
    grace_collect(g);
    assert_int_equal(thing_count(before), 3000 - 1024);
    grace_retire(g, &thing_create()->retired);
    grace_collect(g);
    assert_int_equal(thing_count(before), 3001 - 2048);
    grace_destroy(g);
    assert_in_range(memory_used(), 0, before);
    grace_destroy(NULL);

    memory_fail_at(1);
    assert_null(grace_create(1));
    memory_fail_at(0);
    assert_null(grace_create(SIZE_MAX));
}

/* Readers follow a shared pointer without a lock while a writer keeps replacing what it points
 * at.  A premature destroy is a use after free, or a thing that is not alive. */
struct shared {
    struct grace *grace;
    _Atomic(struct thing *) thing;
    atomic_bool stop;
    atomic_size_t next_reader;
};

static void *read_all(void *argument)
{
    struct shared *s = argument;
    size_t reader = atomic_fetch_add(&s->next_reader, 1);
    size_t turns = 0, wrong = 0;
    grace_online(s->grace, reader);
    while (!atomic_load(&s->stop)) {
        for (int i = 0; i < 10; i++) {
            struct thing *t = atomic_load_explicit(&s->thing, memory_order_acquire);
            wrong += t->state != ALIVE;
        }
        if (++turns % 64 == 0) { /* as a worker that waits for events */
            grace_offline(s->grace, reader);
            sched_yield();
            grace_online(s->grace, reader);
        } else {
            grace_quiescent(s->grace, reader);
        }
        grace_collect(s->grace);
    }
    grace_offline(s->grace, reader);
    return (void *)wrong;
}

static void racing_readers(void **state)
{
    struct shared s = { .grace = grace_create(READERS) };
    atomic_store(&s.thing, thing_create());
    pthread_t threads[READERS];
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, &s), 0);

    for (int i = 0; i < SWAPS; i++) {
        struct thing *before = atomic_exchange(&s.thing, thing_create());
        grace_retire(s.grace, &before->retired);
        if (i % 16 == 0)
            sched_yield(); /* there may be fewer processors than threads */
    }
    atomic_store(&s.stop, true);
    for (size_t i = 0; i < READERS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    grace_destroy(s.grace);
    memory_free(atomic_load(&s.thing));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(story),
        cmocka_unit_test(collects_in_portions),
        cmocka_unit_test(racing_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
