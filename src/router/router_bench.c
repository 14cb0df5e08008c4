/* router/router_bench.c: a million filters.  Matching hot (1000 topics) and cold (all of them, at
 * random), the rate of changes, and bytes per subscription.
 *
 *     exact   fleet/RR/devNNNNNN/chan, one subscriber each
 *     mixed   one in ten a wildcard, half fleet/RR/devN/#, half fleet/+/devN/cmd
 *     wild    half fleet/+/devN/chan, half +/RR/devN/# */
#include "base/memory.h"
#include "router/router.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { FILTERS = 1000 * 1000, HOT = 1000, MATCHES = 1000 * 1000, TEXT_MAX = 40 };

static const char *const channels[] = { "temp", "volt", "gps", "cmd" };

struct name {
    char text[TEXT_MAX];
    uint8_t size;
};

struct bench {
    struct grace *grace;
    struct router *router;
    struct router_ahead *ahead;
    struct subscription *subscriptions;
    struct name *topics;
    uint64_t random;
};

struct counter {
    struct match_sink sink;
    uint64_t count;
};

static void count_match(struct match_sink *sink, struct subscriber who)
{
    ((struct counter *)sink)->count += who.handle != 0;
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* others may be running */
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint32_t draw(struct bench *b, uint32_t below)
{
    b->random = b->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(b->random >> 33) % below;
}

static struct name name_make(const char *first, const char *second, uint32_t device,
                             const char *last)
{
    struct name n;
    n.size =
        (uint8_t)snprintf(n.text, sizeof(n.text), "%s/%s/dev%06u/%s", first, second, device, last);
    return n;
}

static struct bytes name_bytes(const struct name *n)
{
    return bytes_of(n->text, n->size);
}

static struct name filter_for(int distribution, uint32_t i)
{
    char region[16];
    uint32_t device = i / 4;
    snprintf(region, sizeof(region), "%02u", device % 100);
    if (distribution == 2 && i % 10 == 0)
        return i % 20 == 0 ? name_make("fleet", region, i, "#") : name_make("fleet", "+", i, "cmd");
    if (distribution == 3)
        return i % 2 == 0 ? name_make("fleet", "+", device, channels[i % 4])
                          : name_make("+", region, i, "#");
    return name_make("fleet", region, device, channels[i % 4]);
}

static struct name topic_for(uint32_t i)
{
    return filter_for(1, i);
}

static void rest(struct bench *b)
{
    grace_quiescent(b->grace, 0);
    grace_collect(b->grace);
}

/* A call of grace_collect frees some; until nothing is left. */
static void rest_long(struct bench *b)
{
    size_t before;
    do {
        before = memory_used();
        for (int i = 0; i < 1000; i++)
            rest(b);
    } while (memory_used() < before);
}

static double time_subscribe(struct bench *b, int distribution)
{
    double start = now_ns();
    for (uint32_t i = 0; i < FILTERS; i++) {
        struct name filter = filter_for(distribution, i);
        struct subscriber who = { handle_make(0, 1, i), 1, 0 };
        if (router_subscribe(b->router, name_bytes(&filter), who, &b->subscriptions[i]) != 0)
            abort();
        if (i % 256 == 0)
            rest(b);
    }
    return (now_ns() - start) / FILTERS;
}

static double time_match(struct bench *b, uint32_t topics, uint64_t *matched)
{
    struct counter c = { { count_match }, 0 };
    double start = now_ns();
    for (uint32_t i = 0; i < MATCHES; i++) {
        const struct name *topic = &b->topics[draw(b, topics)];
        router_match(b->router, name_bytes(topic), &c.sink);
    }
    *matched = c.count;
    return (now_ns() - start) / MATCHES;
}

/* The same, as a worker does it that has read several messages. */
static double time_match_ahead(struct bench *b, uint32_t topics)
{
    struct counter c = { { count_match }, 0 };
    double start = now_ns();
    for (uint32_t i = 0; i < MATCHES; i += ROUTER_AHEAD_MAX) {
        struct bytes some[ROUTER_AHEAD_MAX];
        for (unsigned k = 0; k < ROUTER_AHEAD_MAX; k++)
            some[k] = name_bytes(&b->topics[draw(b, topics)]);
        router_look_ahead(b->router, b->ahead, some, ROUTER_AHEAD_MAX);
        for (unsigned k = 0; k < ROUTER_AHEAD_MAX; k++)
            router_match_ahead(b->router, b->ahead, some[k], &c.sink);
    }
    router_ahead_forget(b->ahead);
    return (now_ns() - start) / MATCHES;
}

/* One subscription ends and comes again, at random. */
static double time_churn(struct bench *b)
{
    double start = now_ns();
    for (uint32_t i = 0; i < MATCHES; i++) {
        struct subscription *s = &b->subscriptions[draw(b, FILTERS)];
        struct bytes filter = router_subscription_filter(s);
        char text[TEXT_MAX];
        memcpy(text, filter.data, filter.size);
        struct subscriber who = router_subscription_subscriber(b->router, s);
        router_unsubscribe(b->router, s);
        if (router_subscribe(b->router, bytes_of(text, filter.size), who, s) != 0)
            abort();
        if (i % 256 == 0)
            rest(b);
    }
    return (now_ns() - start) / MATCHES;
}

static void run(struct bench *b, const char *title, int distribution)
{
    uint64_t hot_count, cold_count;
    size_t before = memory_used();
    b->router = router_create(b->grace, 12345);
    if (b->router == NULL)
        abort();
    double subscribe = time_subscribe(b, distribution);
    rest_long(b);
    double per_filter = (double)(memory_used() - before) / FILTERS;
    (void)time_match(b, HOT, &hot_count);
    double hot = time_match(b, HOT, &hot_count), cold = time_match(b, FILTERS, &cold_count);
    double ahead_hot = time_match_ahead(b, HOT), ahead_cold = time_match_ahead(b, FILTERS);
    double churn = time_churn(b);
    printf("%-6s %4.0f B each   subscribe %4.0f   hot %4.0f (%.2f matches)   cold %4.0f (%.2f)   "
           "by %d: %4.0f, %4.0f   unsubscribe + subscribe %4.0f   ns\n",
           title, per_filter, subscribe, hot, (double)hot_count / MATCHES, cold,
           (double)cold_count / MATCHES, ROUTER_AHEAD_MAX, ahead_hot, ahead_cold, churn);
    for (uint32_t i = 0; i < FILTERS; i++)
        router_unsubscribe(b->router, &b->subscriptions[i]);
    router_destroy(b->router);
    rest_long(b);
}

static void run_one_filter(struct bench *b)
{
    enum { SUBSCRIBERS = 100 * 1000, ROUNDS = 100 };
    struct counter c = { { count_match }, 0 };
    b->router = router_create(b->grace, 12345);
    if (b->router == NULL)
        abort();
    for (uint32_t i = 0; i < SUBSCRIBERS; i++) {
        struct subscriber who = { handle_make(0, 1, i), 1, 0 };
        if (router_subscribe(b->router, BYTES("news"), who, &b->subscriptions[i]) != 0)
            abort();
    }
    double start = now_ns();
    for (int i = 0; i < ROUNDS; i++)
        router_match(b->router, BYTES("news"), &c.sink);
    printf("100 k subscribers on one filter: %.2f ns each to report\n",
           (now_ns() - start) / ROUNDS / SUBSCRIBERS);
    for (uint32_t i = 0; i < SUBSCRIBERS; i++)
        router_unsubscribe(b->router, &b->subscriptions[i]);
    router_destroy(b->router);
}

int main(void)
{
    struct bench b = { .grace = grace_create(1), .ahead = router_ahead_create(), .random = 1 };
    b.subscriptions = calloc(FILTERS, sizeof(*b.subscriptions));
    b.topics = calloc(FILTERS, sizeof(*b.topics));
    if (b.grace == NULL || b.ahead == NULL || b.subscriptions == NULL || b.topics == NULL)
        return 1;
    for (uint32_t i = 0; i < FILTERS; i++)
        b.topics[i] = topic_for(i);
    grace_online(b.grace, 0);
    run(&b, "exact", 1);
    run(&b, "mixed", 2);
    run(&b, "wild", 3);
    run_one_filter(&b);
    grace_offline(b.grace, 0);
    grace_destroy(b.grace);
    router_ahead_destroy(b.ahead);
    free(b.topics);
    free(b.subscriptions);
    return 0;
}
