/* Two threads match while two change the index: what is there all the time is reported exactly
 * once, and no answer is a mixture.  Meant for ThreadSanitizer, right without it. */
#include "base/memory.h"
#include "router/router.h"
#include "router/test_random.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    READERS = 2,
    WRITERS = 2,
    STABLE = 60,
    CHURN = 150,
    MATCHES = 30000,
    CHANGES = 30000,
    CHURN_WORKER = 1
};

struct stable {
    struct test_topic filter;
    struct subscription subscription;
};

struct shared {
    struct grace *grace;
    struct router *router;
    struct stable stable[STABLE];
    atomic_int readers_left, changes;
};

struct job {
    struct shared *shared;
    size_t number;
    pthread_t thread;
};

/* options is a function of the others: a mixture of two subscribers or of two updates would show.
 */
static uint32_t options_for(uint64_t handle, uint32_t id)
{
    return ((handle_slot(handle) ^ id) * 2654435761u) >> 16 & 0xff;
}

static struct subscriber subscriber_for(uint64_t handle, uint32_t id)
{
    return (struct subscriber){ handle, options_for(handle, id), id };
}

struct seen {
    struct match_sink sink;
    unsigned stable[STABLE];
};

static void see(struct match_sink *sink, struct subscriber who)
{
    struct seen *s = (struct seen *)sink;
    if ((who.options & SUBSCRIBER_GROUP) != 0)
        return;
    assert(who.options == options_for(who.handle, who.id));
    if (handle_worker(who.handle) != CHURN_WORKER)
        s->stable[handle_slot(who.handle)]++;
}

static void *read_on(void *argument)
{
    struct job *job = argument;
    struct shared *sh = job->shared;
    uint64_t random = job->number + 100;
    struct router_ahead *ahead = router_ahead_create();
    assert(ahead != NULL);
    grace_online(sh->grace, job->number);
    for (int i = 0; i < MATCHES || atomic_load(&sh->changes) < CHANGES; i++) {
        struct test_topic topic = test_random_name(&random);
        struct seen seen = { { see }, { 0 } };
        struct bytes both[] = { BYTES("a/b"), test_topic_bytes(&topic) };
        if (i % 2 == 0)
            router_look_ahead(sh->router, ahead, both, 2);
        router_match_ahead(sh->router, ahead, both[1], &seen.sink);
        router_ahead_forget(ahead);
        for (unsigned k = 0; k < STABLE; k++)
            assert(seen.stable[k] == topic_filter_matches(test_topic_bytes(&sh->stable[k].filter),
                                                          test_topic_bytes(&topic)));
        grace_quiescent(sh->grace, job->number);
    }
    grace_offline(sh->grace, job->number);
    router_ahead_destroy(ahead);
    atomic_fetch_sub(&sh->readers_left, 1);
    return NULL;
}

static void churn_one(struct shared *sh, struct subscription *place, uint64_t *random)
{
    if (place->leaf != NULL) {
        router_unsubscribe(sh->router, place);
        return;
    }
    /* Often a filter of the stable ones, so that lists and nodes are shared with them. */
    struct test_topic filter = next_random(random) % 2 == 0
                                   ? sh->stable[next_random(random) % STABLE].filter
                                   : test_random_filter(random);
    struct subscriber who =
        subscriber_for(handle_make(CHURN_WORKER, 1, next_random(random)), next_random(random));
    int result = router_subscribe(sh->router, test_topic_bytes(&filter), who, place);
    assert(result == 0);
}

static void share_once(struct shared *sh, uint64_t *random)
{
    struct share_options o = { BYTES("g"), BYTES("a/+"), next_random(random) % 4 };
    struct share *s;
    bool is_new;
    int result = router_share_join(sh->router, &o, &s, &is_new);
    assert(result == 0 && handle_worker(router_share_handle(s)) < 4);
    (void)router_share_leave(sh->router, s);
}

static void *write_on(void *argument)
{
    struct job *job = argument;
    struct shared *sh = job->shared;
    struct subscription mine[CHURN] = { 0 };
    uint64_t random = job->number + 1000;
    while (atomic_load(&sh->readers_left) > 0) {
        churn_one(sh, &mine[next_random(&random) % CHURN], &random);
        uint32_t id = next_random(&random);
        uint32_t slot = next_random(&random) % STABLE;
        struct stable *any = &sh->stable[slot];
        router_subscription_update(sh->router, &any->subscription, options_for(slot, id), id);
        struct subscriber who = router_subscription_subscriber(sh->router, &any->subscription);
        assert(who.options == options_for(who.handle, who.id));
        if (next_random(&random) % 8 == 0)
            share_once(sh, &random);
        grace_collect(sh->grace);
        atomic_fetch_add(&sh->changes, 1);
    }
    for (size_t i = 0; i < CHURN; i++)
        if (mine[i].leaf != NULL)
            router_unsubscribe(sh->router, &mine[i]);
    return NULL;
}

static void stable_subscriptions_are_never_missed(void **state)
{
    static struct shared sh;
    sh.grace = grace_create(READERS);
    sh.router = router_create(sh.grace, 9);
    uint64_t random = 4;
    for (uint32_t i = 0; i < STABLE; i++) {
        sh.stable[i].filter = test_random_filter(&random);
        assert_int_equal(router_subscribe(sh.router, test_topic_bytes(&sh.stable[i].filter),
                                          subscriber_for(handle_make(0, 1, i), i),
                                          &sh.stable[i].subscription),
                         0);
    }
    atomic_store(&sh.readers_left, READERS);

    struct job jobs[READERS + WRITERS];
    for (size_t i = 0; i < READERS + WRITERS; i++) {
        jobs[i] = (struct job){ .shared = &sh, .number = i };
        assert_int_equal(
            pthread_create(&jobs[i].thread, NULL, i < READERS ? read_on : write_on, &jobs[i]), 0);
    }
    for (size_t i = 0; i < READERS + WRITERS; i++)
        assert_int_equal(pthread_join(jobs[i].thread, NULL), 0);

    router_check(sh.router);
    for (uint32_t i = 0; i < STABLE; i++)
        router_unsubscribe(sh.router, &sh.stable[i].subscription);
    router_check(sh.router);
    router_destroy(sh.router);
    grace_destroy(sh.grace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stable_subscriptions_are_never_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
