#include "base/memory.h"
#include "router/router.h"
#include "router/test_random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SEED = 42, SUBSCRIPTIONS = 400, STEPS = 60000, MANY = 100000 };

struct world {
    struct grace *grace;
    struct router *router;
    struct router_ahead *ahead;
};

static struct world world_open(void)
{
    struct world w = { .grace = grace_create(1) };
    assert_non_null(w.grace);
    w.router = router_create(w.grace, SEED);
    assert_non_null(w.router);
    w.ahead = router_ahead_create();
    assert_non_null(w.ahead);
    grace_online(w.grace, 0);
    return w;
}

static void world_rest(struct world *w)
{
    grace_quiescent(w->grace, 0);
    grace_collect(w->grace);
}

static void world_close(struct world *w)
{
    router_check(w->router);
    grace_offline(w->grace, 0);
    router_ahead_destroy(w->ahead);
    router_destroy(w->router);
    grace_destroy(w->grace);
}

/* ------------------------------------------------------------------------------- collecting ----
 */

struct collector {
    struct match_sink sink;
    struct subscriber *found;
    size_t count, max;
};

static void collect(struct match_sink *sink, struct subscriber who)
{
    struct collector *c = (struct collector *)sink;
    assert_true(c->count < c->max);
    c->found[c->count++] = who;
}

static size_t match(struct world *w, struct bytes topic, struct subscriber *found, size_t max)
{
    struct collector c = { { collect }, found, 0, max };
    router_match(w->router, topic, &c.sink);
    return c.count;
}

static size_t match_ahead(struct world *w, struct bytes topic, struct subscriber *found, size_t max)
{
    struct collector c = { { collect }, found, 0, max };
    router_match_ahead(w->router, w->ahead, topic, &c.sink);
    return c.count;
}

static size_t match_count(struct world *w, const char *topic)
{
    struct subscriber found[64];
    return match(w, bytes_of_string(topic), found, 64);
}

static void subscribe(struct world *w, const char *filter, uint64_t handle, struct subscription *s)
{
    struct subscriber who = { handle, 1, (uint32_t)handle };
    assert_int_equal(router_subscribe(w->router, bytes_of_string(filter), who, s), 0);
}

/* ----------------------------------------------------------------------------------- tables ----
 */

static void matches_as_the_standard_says(void **state)
{
    static const struct {
        const char *filter, *name;
        bool match;
    } rows[] = {
        { "sport/tennis/player1/#", "sport/tennis/player1", true },
        { "sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true },
        { "sport/#", "sport", true }, /* '#' includes the parent level */
        { "sport/#", "sports", false },
        { "#", "a/b/c", true },
        { "#", "/", true },
        { "sport/+", "sport", false },
        { "sport/+", "sport/", true },
        { "sport/+", "sport/a/b", false },
        { "+/+", "/finance", true }, /* an empty level is a level */
        { "/+", "/finance", true },
        { "+", "/finance", false },
        { "+/tennis/#", "sport/tennis", true },
        { "a//b", "a//b", true },
        { "a/+/b", "a//b", true },
        { "a/b", "a/b/", false },
        { "#", "$SYS/monitor", false },         /* [MQTT-4.7.2-1] */
        { "+/monitor", "$SYS/monitor", false }, /* [MQTT-4.7.2-1] */
        { "$SYS/#", "$SYS/monitor", true },
        { "$SYS/+", "$SYS/monitor", true },
        { "a/+", "a/$b", true }, /* only a first '$' is special */
        { "a/#", "a/$b/c", true },
        { "ACCOUNTS", "Accounts", false },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world w = world_open();
        struct subscription s;
        subscribe(&w, rows[i].filter, 7, &s);
        assert_true(bytes_equal(router_subscription_filter(&s), bytes_of_string(rows[i].filter)));
        router_check(w.router);
        assert_int_equal(match_count(&w, rows[i].name), rows[i].match);
        router_unsubscribe(w.router, &s);
        assert_int_equal(match_count(&w, rows[i].name), 0);
        world_close(&w);
    }
}

static void reports_in_order_of_subscribing(void **state)
{
    struct world w = world_open();
    struct subscription s[20];
    for (uint64_t i = 0; i < 20; i++)
        subscribe(&w, "a/+", i + 1, &s[i]);
    for (int i = 0; i < 20; i += 3)
        router_unsubscribe(w.router, &s[i]);
    struct subscriber found[20];
    size_t count = match(&w, BYTES("a/b"), found, 20);
    assert_int_equal(count, 13);
    for (size_t i = 1; i < count; i++)
        assert_true(found[i - 1].handle < found[i].handle);
    for (int i = 0; i < 20; i++)
        if (i % 3 != 0)
            router_unsubscribe(w.router, &s[i]);
    world_close(&w);
}

/* Every level forks, so the stack of pending ways is as deep as it gets. */
static void deepest_topics(void **state)
{
    struct world w = world_open();
    char text[TOPIC_LEVELS_MAX * 2];
    struct subscription s[TOPIC_LEVELS_MAX];
    for (int i = 0; i < TOPIC_LEVELS_MAX; i++) { /* 'a' up to level i, then '+' */
        for (int level = 0; level < TOPIC_LEVELS_MAX; level++)
            memcpy(text + level * 2, level < i ? "a/" : "+/", 2);
        text[sizeof(text) - 1] = '\0';
        subscribe(&w, text, (uint64_t)i + 1, &s[i]);
    }
    router_check(w.router);
    for (int level = 0; level < TOPIC_LEVELS_MAX; level++)
        memcpy(text + level * 2, "a/", 2);
    struct subscriber found[TOPIC_LEVELS_MAX];
    size_t size = sizeof(text) - 1;
    assert_int_equal(match(&w, bytes_of(text, size), found, TOPIC_LEVELS_MAX), TOPIC_LEVELS_MAX);
    assert_int_equal(match(&w, bytes_of(text, size - 2), found, TOPIC_LEVELS_MAX), 0);
    struct bytes topic = bytes_of(text, size);
    router_look_ahead(w.router, w.ahead, &topic, 1); /* gives up, and looks again */
    assert_int_equal(match_ahead(&w, topic, found, TOPIC_LEVELS_MAX), TOPIC_LEVELS_MAX);
    for (int i = 0; i < TOPIC_LEVELS_MAX; i++)
        router_unsubscribe(w.router, &s[i]);
    world_close(&w);
}

/* ------------------------------------------------------------------------------------ model ----
 */

struct model { /* a subscription as the naive matcher sees it */
    struct test_topic filter;
    struct subscriber who;
    struct subscription subscription;
};

static bool is_subscribed(const struct model *m)
{
    return m->subscription.leaf != NULL;
}

static void expect_found(const struct model *models, struct bytes topic,
                         const struct subscriber *found, size_t count)
{
    size_t expected = 0;
    for (size_t i = 0; i < SUBSCRIPTIONS; i++)
        expected += is_subscribed(&models[i]) &&
                    topic_filter_matches(test_topic_bytes(&models[i].filter), topic);
    assert_int_equal(count, expected);
    bool seen[SUBSCRIPTIONS + 1] = { false };
    for (size_t i = 0; i < count; i++) {
        uint32_t slot = handle_slot(found[i].handle);
        const struct model *m = &models[slot];
        assert_false(seen[slot]);
        seen[slot] = true;
        assert_true(is_subscribed(m));
        assert_true(topic_filter_matches(test_topic_bytes(&m->filter), topic));
        assert_memory_equal(&m->who, &found[i], sizeof(m->who));
    }
}

static void expect_match(struct world *w, const struct model *models, struct bytes topic)
{
    struct subscriber found[SUBSCRIPTIONS];
    expect_found(models, topic, found, match(w, topic, found, SUBSCRIPTIONS));
}

/* Some topics together; each third one is not asked for, and one is that was not looked for. */
static void expect_match_ahead(struct world *w, const struct model *models, uint64_t *random)
{
    struct test_topic names[ROUTER_AHEAD_MAX], other = test_random_name(random);
    struct bytes topics[ROUTER_AHEAD_MAX];
    struct subscriber found[SUBSCRIPTIONS];
    unsigned count = 1 + next_random(random) % ROUTER_AHEAD_MAX;
    for (unsigned i = 0; i < count; i++) {
        names[i] = test_random_name(random);
        if (i > 0 && next_random(random) % 4 == 0)
            names[i] = names[i - 1];
        topics[i] = test_topic_bytes(&names[i]);
    }
    router_look_ahead(w->router, w->ahead, topics, count);
    for (unsigned i = 0; i < count; i++)
        if (next_random(random) % 3 != 0)
            expect_found(models, topics[i], found, match_ahead(w, topics[i], found, SUBSCRIPTIONS));
    expect_found(models, test_topic_bytes(&other), found,
                 match_ahead(w, test_topic_bytes(&other), found, SUBSCRIPTIONS));
    router_ahead_forget(w->ahead);
}

static void model_subscribe(struct world *w, struct model *m, uint32_t slot, uint64_t *random)
{
    m->filter = test_random_filter(random);
    m->who = (struct subscriber){ handle_make(3, 1 + next_random(random) % 99, slot),
                                  next_random(random) % 16, next_random(random) };
    assert_int_equal(
        router_subscribe(w->router, test_topic_bytes(&m->filter), m->who, &m->subscription), 0);
}

static void model_unsubscribe(struct world *w, struct model *m)
{
    assert_true(
        bytes_equal(router_subscription_filter(&m->subscription), test_topic_bytes(&m->filter)));
    router_unsubscribe(w->router, &m->subscription);
    assert_false(is_subscribed(m));
}

static void model_update(struct world *w, struct model *m, uint64_t *random)
{
    m->who.options = next_random(random) % 16;
    m->who.id = next_random(random);
    router_subscription_update(w->router, &m->subscription, m->who.options, m->who.id);
    struct subscriber who = router_subscription_subscriber(w->router, &m->subscription);
    assert_memory_equal(&who, &m->who, sizeof(who));
}

static void agrees_with_the_naive_matcher(void **state)
{
    static struct model models[SUBSCRIPTIONS];
    struct world w = world_open();
    uint64_t random = 1;
    size_t live = 0;
    memset(models, 0, sizeof(models));
    for (int step = 0; step < STEPS; step++) {
        /* Long tides, so that everything is empty and crowded now and then. */
        bool flood = step / 3000 % 2 == 0;
        uint32_t slot = next_random(&random) % SUBSCRIPTIONS, what = next_random(&random) % 100;
        struct model *m = &models[slot];
        if (what < 20) {
            struct test_topic topic = test_random_name(&random);
            expect_match(&w, models, test_topic_bytes(&topic));
            if (what < 4)
                expect_match_ahead(&w, models, &random);
        } else if (!is_subscribed(m)) {
            if (what < (flood ? 90 : 30)) {
                model_subscribe(&w, m, slot, &random);
                live++;
            }
        } else if (what < 35) {
            model_update(&w, m, &random);
        } else if (what > (flood ? 90 : 40)) {
            model_unsubscribe(&w, m);
            live--;
        }
        assert_int_equal(router_subscription_count(w.router), live);
        if (step % 16 == 0)
            world_rest(&w);
        if (step % 500 == 0)
            router_check(w.router);
    }
    for (size_t i = 0; i < SUBSCRIPTIONS; i++)
        if (is_subscribed(&models[i]))
            model_unsubscribe(&w, &models[i]);
    world_close(&w);
}

/* ------------------------------------------------------------------------------- look ahead ----
 */

/* What was found stays so, but for subscriptions that end meanwhile. */
static void looking_ahead_is_matching_early(void **state)
{
    struct world w = world_open();
    struct subscription s[4];
    struct subscriber found[8];
    struct bytes topics[] = { BYTES("a/b"), BYTES("a/c"), BYTES("a/b") };
    subscribe(&w, "a/b", 1, &s[0]);
    subscribe(&w, "a/+", 2, &s[1]);
    subscribe(&w, "+/b", 3, &s[2]);
    router_look_ahead(w.router, w.ahead, topics, 3);
    router_unsubscribe(w.router, &s[1]); /* the last one of its filter */
    subscribe(&w, "a/#", 4, &s[3]);
    assert_int_equal(match_ahead(&w, topics[0], found, 8), 2);
    assert_int_equal(match_ahead(&w, topics[1], found, 8), 0);
    router_ahead_forget(w.ahead);
    assert_int_equal(match_ahead(&w, topics[2], found, 8), 3); /* now */
    router_unsubscribe(w.router, &s[0]);
    router_unsubscribe(w.router, &s[2]);
    router_unsubscribe(w.router, &s[3]);
    world_close(&w);
}

/* Who looks ahead has not checked them. */
static void looking_ahead_takes_any_topic(void **state)
{
    static const char *const filters[] = { "a/+", "+/#", "a/+/b/#", "+/+/+" };
    static const char *const topics[] = { "a/+", "+", "#", "a/#", "+/+/b/+", "/", "$", "a/b#" };
    enum {
        FILTERS = sizeof filters / sizeof filters[0],
        TOPICS = sizeof topics / sizeof topics[0]
    };
    struct world w = world_open();
    struct subscription s[FILTERS];
    char deep[TOPIC_LEVELS_MAX * 4];
    struct bytes some[TOPICS + 1];
    for (uint64_t i = 0; i < FILTERS; i++)
        subscribe(&w, filters[i], i + 1, &s[i]);
    for (size_t i = 0; i < TOPICS; i++)
        some[i] = bytes_of_string(topics[i]);
    memset(deep, '/', sizeof deep);
    some[TOPICS] = bytes_of(deep, sizeof deep);
    router_look_ahead(w.router, w.ahead, some, TOPICS + 1);
    router_ahead_forget(w.ahead);
    for (size_t i = 0; i < FILTERS; i++)
        router_unsubscribe(w.router, &s[i]);
    world_close(&w);
}

/* -------------------------------------------------------------------------------- one filter ----
 */

struct tally {
    struct match_sink sink;
    size_t count;
    uint64_t sum; /* of handles */
};

static void count_one(struct match_sink *sink, struct subscriber who)
{
    struct tally *t = (struct tally *)sink;
    t->count++;
    t->sum += who.handle;
}

static void expect_tally(struct world *w, const char *topic, size_t count, uint64_t sum)
{
    struct tally t = { { count_one }, 0, 0 };
    router_match(w->router, bytes_of_string(topic), &t.sink);
    assert_int_equal(t.count, count);
    assert_int_equal(t.sum, sum);
}

static void many_subscribers_on_one_filter(void **state)
{
    static struct subscription s[MANY];
    static const char *const filters[] = { "news", "ne/+", "ne/#" };
    for (size_t f = 0; f < 3; f++) {
        struct world w = world_open();
        const char *topic = f == 0 ? "news" : "ne/ws";
        uint64_t sum = 0, random = 5;
        for (uint64_t i = 0; i < MANY; i++) {
            subscribe(&w, filters[f], i + 1, &s[i]);
            sum += i + 1;
        }
        router_check(w.router);
        expect_tally(&w, topic, MANY, sum);
        for (int i = 0; i < 3 * MANY; i++) { /* churn at full size */
            uint32_t any = next_random(&random) % MANY;
            router_unsubscribe(w.router, &s[any]);
            subscribe(&w, filters[f], any + 1, &s[any]);
            if (i % 1024 == 0)
                world_rest(&w);
        }
        expect_tally(&w, topic, MANY, sum);
        for (uint64_t i = 0; i < MANY; i++) { /* from both ends to the middle */
            uint64_t at = i % 2 == 0 ? i / 2 : MANY - 1 - i / 2;
            router_unsubscribe(w.router, &s[at]);
            sum -= at + 1;
            if (i % 30000 == 0) {
                expect_tally(&w, topic, MANY - i - 1, sum);
                router_check(w.router);
            }
        }
        expect_tally(&w, topic, 0, 0);
        world_close(&w);
    }
}

/* --------------------------------------------------------------------------- failure sweeps ----
 */

/* For each n: the nth allocation of the call fails and nothing has changed. */
static void subscribe_survives_lack_of_memory(void **state)
{
    static const char *const topics[] = { "a", "a/b", "a/b/c", "/", "x/y/z", "b/b" };
    struct world w = world_open();
    static struct model models[SUBSCRIPTIONS];
    uint64_t random = 77;
    memset(models, 0, sizeof(models));
    for (uint32_t i = 0; i < SUBSCRIPTIONS; i++) {
        struct model *m = &models[i];
        m->filter = test_random_filter(&random);
        m->who = (struct subscriber){ handle_make(0, 1, i), 1, i };
        int result = -ENOMEM;
        for (uint64_t nth = 1; result != 0; nth++) {
            assert_true(nth < 20);
            memory_fail_at(nth);
            result =
                router_subscribe(w.router, test_topic_bytes(&m->filter), m->who, &m->subscription);
            memory_fail_at(0);
            if (result != 0) {
                assert_int_equal(result, -ENOMEM);
                assert_false(is_subscribed(m));
                assert_int_equal(router_subscription_count(w.router), i);
                if (i % 10 == 0)
                    router_check(w.router);
                expect_match(&w, models, bytes_of_string(topics[nth % 6]));
            }
        }
        world_rest(&w);
    }
    for (uint32_t i = 0; i < SUBSCRIPTIONS; i++) { /* ending one never fails */
        memory_fail_at(1);
        model_unsubscribe(&w, &models[(i * 7) % SUBSCRIPTIONS]);
        memory_fail_at(0);
        expect_match(&w, models, bytes_of_string(topics[i % 6]));
        if (i % 20 == 0)
            router_check(w.router);
    }
    world_close(&w);
}

static void create_survives_lack_of_memory(void **state)
{
    struct grace *g = grace_create(1);
    struct router *r = NULL;
    for (uint64_t nth = 1; r == NULL; nth++) {
        assert_true(nth < 10);
        memory_fail_at(nth);
        r = router_create(g, SEED);
        memory_fail_at(0);
    }
    router_destroy(r);
    router_destroy(NULL);
    grace_destroy(g);
}

/* ------------------------------------------------------------------------------------- walk ----
 */

struct tree { /* what a walk told, as "FILTER (N)" */
    char lines[16][TOPIC_LEVELS_MAX * 2 + 16];
    size_t count;
};

static void note_filter(void *context, struct bytes filter, size_t subscribers)
{
    struct tree *t = context;
    assert_true(t->count < 16);
    snprintf(t->lines[t->count++], sizeof t->lines[0], "%.*s (%zu)", (int)filter.size,
             (const char *)filter.data, subscribers);
}

static void expect_told(const struct tree *t, const char *line)
{
    size_t times = 0;
    for (size_t i = 0; i < t->count; i++)
        times += strcmp(t->lines[i], line) == 0;
    assert_int_equal(times, 1);
}

static void walk_tells_each_filter_and_its_subscribers(void **state)
{
    static const struct {
        const char *filter;
        unsigned subscribers;
        const char *line;
    } rows[] = {
        { "#", 1, "# (1)" },
        { "+", 1, "+ (1)" },
        { "/", 2, "/ (2)" },
        { "/+", 1, "/+ (1)" }, /* the first level is empty */
        { "+/", 1, "+/ (1)" }, /* the last one is */
        { "/#", 1, "/# (1)" },
        { "a//+", 1, "a//+ (1)" },
        { "a/b", 3, "a/b (3)" },
        { "a/+", 5, "a/+ (5)" },
        { "a/#", 4, "a/# (4)" },
        { "a/+/#", 1, "a/+/# (1)" },
        { "a/+/c/d", 1, "a/+/c/d (1)" }, /* "a/+/c" has a node and no subscriber */
        { "$SYS/#", 1, "$SYS/# (1)" },
    };
    struct world w = world_open();
    struct subscription all[64];
    size_t count = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (unsigned n = 0; n < rows[i].subscribers; n++) {
            subscribe(&w, rows[i].filter, count + 1, &all[count]);
            count++;
        }
    struct tree told = { 0 };
    router_walk(w.router, note_filter, &told);
    assert_int_equal(told.count, sizeof rows / sizeof rows[0]);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_told(&told, rows[i].line);

    while (count > 0)
        router_unsubscribe(w.router, &all[--count]);
    told.count = 0;
    router_walk(w.router, note_filter, &told);
    assert_int_equal(told.count, 0);
    world_close(&w);
}

static void walk_counts_a_group_once(void **state)
{
    struct world w = world_open();
    struct share_options o = { BYTES("g"), BYTES("a/+"), 0 };
    struct share *share;
    bool is_new;
    for (int i = 0; i < 3; i++)
        assert_int_equal(router_share_join(w.router, &o, &share, &is_new), 0);
    struct subscription s;
    subscribe(&w, "a/+", 1, &s);
    struct tree told = { 0 };
    router_walk(w.router, note_filter, &told);
    assert_int_equal(told.count, 1);
    expect_told(&told, "a/+ (2)");
    router_unsubscribe(w.router, &s);
    for (int i = 0; i < 3; i++)
        assert_int_equal(router_share_leave(w.router, share), i == 2 ? 3 : 0);
    world_close(&w);
}

static void walk_reaches_the_deepest_level(void **state)
{
    struct world w = world_open();
    char filter[TOPIC_LEVELS_MAX * 2], line[sizeof filter + 16];
    for (size_t i = 0; i < sizeof filter; i++)
        filter[i] = i % 2 == 1 ? '/' : '+';
    filter[sizeof filter - 1] = '\0';
    struct subscription s;
    subscribe(&w, filter, 1, &s);
    struct tree told = { 0 };
    router_walk(w.router, note_filter, &told);
    assert_int_equal(told.count, 1);
    snprintf(line, sizeof line, "%s (1)", filter);
    expect_told(&told, line);
    router_unsubscribe(w.router, &s);
    world_close(&w);
}

/* Against the naive model: each filter once, and the numbers add up. */
struct census {
    const struct model *models;
    struct test_topic seen[SUBSCRIPTIONS];
    size_t seen_count, subscribers;
};

static void census_count(void *context, struct bytes filter, size_t subscribers)
{
    struct census *c = context;
    size_t expected = 0;
    for (size_t i = 0; i < SUBSCRIPTIONS; i++)
        expected += is_subscribed(&c->models[i]) &&
                    bytes_equal(test_topic_bytes(&c->models[i].filter), filter);
    assert_true(expected > 0);
    assert_int_equal(subscribers, expected);
    for (size_t i = 0; i < c->seen_count; i++)
        assert_false(bytes_equal(test_topic_bytes(&c->seen[i]), filter));
    struct test_topic *seen = &c->seen[c->seen_count++];
    seen->size = filter.size;
    memcpy(seen->text, filter.data, filter.size);
    c->subscribers += subscribers;
}

static void walk_agrees_with_the_naive_model(void **state)
{
    static struct model models[SUBSCRIPTIONS];
    static struct census census;
    struct world w = world_open();
    uint64_t random = 9;
    memset(models, 0, sizeof(models));
    for (int step = 0; step < 4000; step++) {
        uint32_t slot = next_random(&random) % SUBSCRIPTIONS;
        if (!is_subscribed(&models[slot]))
            model_subscribe(&w, &models[slot], slot, &random);
        else
            model_unsubscribe(&w, &models[slot]);
        if (step % 16 == 0)
            world_rest(&w);
        if (step % 100 == 0) {
            census = (struct census){ .models = models };
            router_walk(w.router, census_count, &census);
            assert_int_equal(census.subscribers, router_subscription_count(w.router));
        }
    }
    for (size_t i = 0; i < SUBSCRIPTIONS; i++)
        if (is_subscribed(&models[i]))
            model_unsubscribe(&w, &models[i]);
    world_close(&w);
}

/* --------------------------------------------------------------------- shared subscriptions ----
 */

static struct share_options share_options_of(const char *name, const char *filter)
{
    return (struct share_options){ bytes_of_string(name), bytes_of_string(filter), 2 };
}

static void share_exists_while_it_has_members(void **state)
{
    struct world w = world_open();
    struct share_options o = share_options_of("g", "a/+"), other = share_options_of("h", "a/+");
    struct share *first, *again, *third;
    bool is_new;
    assert_int_equal(router_share_join(w.router, &o, &first, &is_new), 0);
    assert_true(is_new);
    assert_int_equal(router_share_join(w.router, &o, &again, &is_new), 0);
    assert_false(is_new);
    assert_ptr_equal(first, again);
    assert_int_equal(router_share_join(w.router, &other, &third, &is_new), 0);
    assert_true(is_new);
    assert_int_equal(router_share_count(w.router), 2);
    router_check(w.router);

    struct subscriber found[4];
    assert_int_equal(match(&w, BYTES("a/b"), found, 4), 2); /* one entry per group */
    assert_int_equal(found[0].handle, router_share_handle(first));
    assert_true(bytes_equal(router_share_filter(first), BYTES("$share/g/a/+")));
    assert_int_equal(handle_worker(found[0].handle), 2);
    assert_true((found[0].options & SUBSCRIBER_GROUP) != 0);
    assert_true(found[0].handle != found[1].handle);

    uint64_t old_handle = router_share_handle(first);
    assert_false(router_share_leave(w.router, first));
    assert_true(router_share_leave(w.router, first));
    assert_int_equal(match(&w, BYTES("a/b"), found, 4), 1);
    assert_int_equal(router_share_join(w.router, &o, &first, &is_new), 0);
    assert_true(is_new && router_share_handle(first) != old_handle);
    assert_true(router_share_leave(w.router, first));
    assert_true(router_share_leave(w.router, third));
    assert_int_equal(router_share_count(w.router), 0);
    world_close(&w);
}

static void share_join_survives_lack_of_memory(void **state)
{
    struct world w = world_open();
    struct share *shares[50];
    for (int i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof(name), "g%d", i);
        struct share_options o = share_options_of(name, i % 2 == 0 ? "a/+/#" : "a");
        int result = -ENOMEM;
        bool is_new = false;
        for (uint64_t nth = 1; result != 0; nth++) {
            assert_true(nth < 20);
            memory_fail_at(nth);
            result = router_share_join(w.router, &o, &shares[i], &is_new);
            memory_fail_at(0);
            router_check(w.router);
            assert_int_equal(router_share_count(w.router), i + (result == 0));
        }
        assert_true(is_new);
    }
    for (int i = 0; i < 50; i++)
        assert_true(router_share_leave(w.router, shares[i]));
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_as_the_standard_says),
        cmocka_unit_test(reports_in_order_of_subscribing),
        cmocka_unit_test(deepest_topics),
        cmocka_unit_test(agrees_with_the_naive_matcher),
        cmocka_unit_test(looking_ahead_is_matching_early),
        cmocka_unit_test(looking_ahead_takes_any_topic),
        cmocka_unit_test(many_subscribers_on_one_filter),
        cmocka_unit_test(subscribe_survives_lack_of_memory),
        cmocka_unit_test(create_survives_lack_of_memory),
        cmocka_unit_test(walk_tells_each_filter_and_its_subscribers),
        cmocka_unit_test(walk_counts_a_group_once),
        cmocka_unit_test(walk_reaches_the_deepest_level),
        cmocka_unit_test(walk_agrees_with_the_naive_model),
        cmocka_unit_test(share_exists_while_it_has_members),
        cmocka_unit_test(share_join_survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
