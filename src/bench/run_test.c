/* bench/run_test.c: every kind of benchmark, made small, against a broker in this process. */
#include "bench/scenarios.h"
#include "bench/watch.h"
#include "broker/server.h"
#include "io/env_real.h"

#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

struct house {
    int port;
    struct config *config;
    struct server *server;
};

/* --------------------------------------------------------------------------------- a broker --- */

/* One that nobody uses at the moment. */
static int free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    (void)close(fd); /* it never listened */
    return ntohs(address.sin_port);
}

/* False: somebody else was quicker with this port. */
static bool try_port(struct house *h)
{
    char text[160];
    struct config_error error = { 0 };
    snprintf(text, sizeof text,
             "listener %d 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 0\n"
             "max_queued_messages 0\n",
             h->port);
    assert_int_equal(
        config_parse(&env_real, bytes_of_string(text), "test.conf", NULL, NULL, &h->config, &error),
        0);
    h->server = server_create(&env_real, h->config, NULL, 1);
    assert_non_null(h->server);
    if (server_listen(h->server) == 0)
        return true;
    server_destroy(h->server);
    config_destroy(h->config);
    return false;
}

static int open_house(void **state)
{
    static struct house house;
    do
        house.port = free_port();
    while (!try_port(&house));
    assert_int_equal(server_start(house.server), 0);
    *state = &house;
    return 0;
}

static int close_house(void **state)
{
    struct house *h = *state;
    server_stop(h->server);
    server_join(h->server);
    server_destroy(h->server);
    config_destroy(h->config);
    return 0;
}

static struct bench_spec small(const struct house *h, const char *scenario, enum version version)
{
    struct bench_spec s = *scenario_find(scenario);
    s.target = (struct bench_target){ .host = "127.0.0.1", .port = h->port, .version = version };
    s.target.pid = getpid();
    s.publishers = s.publishers > 3 ? 3 : s.publishers;
    s.subscribers = s.subscribers > 3 ? 3 : s.subscribers;
    s.topics = s.topics > 50 ? 50 : s.topics;
    s.queued = s.queued > 20 ? 20 : s.queued;
    s.warm_up = s.warm_up > 0 ? 0.01 : 0;
    s.seconds = 0.05;
    return s;
}

/* A result is large: one for all. */
static struct bench_result result;

/* ------------------------------------------------------------------------------------- tests -- */

static void test_every_scenario_finds_what_it_looks_for(void **state)
{
    static const enum version versions[] = { VERSION_3_1_1, VERSION_5_0 };
    const struct bench_spec *row;
    for (size_t v = 0; v < 2; v++) {
        for (size_t i = 0; (row = scenario_at(i)) != NULL; i++) {
            struct bench_spec s = small(*state, row->name, versions[v]);
            bench_run(&s, &result);
            assert_true(result.delivered > 0 && result.seconds > 0);
            assert_true(result.latency.count <= result.delivered);
            assert_int_equal(result.latency.count > 0, s.sessions != SESSIONS_AWAY);
            assert_int_equal(result.answer.count > 0, s.kind == BENCH_MESSAGES && s.qos > 0);
            assert_true(result.connections > 0);
            assert_true(result.cpu_user_s >= 0 && result.cpu_system_s >= 0);
            assert_true(result.memory_before > 0 && result.memory_after > 0);
            assert_int_equal(result.lost, 0);
            assert_false(result.is_partial);
        }
    }
}

static void test_the_figures_of_each_kind(void **state)
{
    struct bench_spec s = small(*state, "idle", VERSION_5_0);
    bench_run(&s, &result);
    assert_int_equal(result.delivered, 3);
    assert_int_equal(result.connections, 3);

    s = small(*state, "retained", VERSION_5_0);
    bench_run(&s, &result);
    assert_int_equal(result.delivered, result.published * s.topics);

    s = small(*state, "drain", VERSION_5_0);
    bench_run(&s, &result);
    assert_int_equal(result.delivered, result.published);
    assert_int_equal(result.delivered % (s.subscribers * s.queued), 0);

    s.messages = s.subscribers * s.queued;
    s.seconds = 60;
    bench_run(&s, &result); /* one round */
    assert_int_equal(result.delivered, s.messages);
    assert_true(result.memory_begin > 0);

    s = small(*state, "durable-offline", VERSION_5_0);
    s.qos = 2;
    s.messages = 500;
    s.seconds = 60;
    s.warm_up = 0;
    bench_run(&s, &result);
    assert_int_equal(result.published, 500);
    assert_int_equal(result.delivered, 500); /* acknowledged */
    assert_int_equal(result.answer.count, 500);

    s = small(*state, "fan-in", VERSION_5_0);
    s.messages = 500;
    s.seconds = 60;
    bench_run(&s, &result);
    assert_int_equal(result.published, 500);
}

/* Neither connections nor Sessions; a client's end takes the broker a moment. */
static bool is_empty_soon(struct server *s)
{
    int64_t until_ns = env_monotonic_ns(&env_real) + 20 * INT64_C(1000000000);
    while (atomic_load(&s->connection_count) > 0 || atomic_load(&s->session_count) > 0) {
        if (env_monotonic_ns(&env_real) > until_ns)
            return false;
        sched_yield();
    }
    return true;
}

static void test_nothing_is_left_behind(void **state)
{
    static const char *const names[] = { "retained", "drain", "durable-offline", "durable-qos2" };
    const struct house *h = *state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct bench_spec s = small(h, names[i], VERSION_3_1_1);
        bench_run(&s, &result);
        assert_true(is_empty_soon(h->server));
        assert_int_equal(retained_count(h->server->retained), 0);
    }
}

struct impatience {
    volatile sig_atomic_t stop;
    unsigned begins, ends;
};

static void stop_after_some(void *context, double seconds, uint64_t published, uint64_t delivered)
{
    struct impatience *i = context;
    i->stop = seconds > 0;
}

static void count_begin(void *context)
{
    ((struct impatience *)context)->begins++;
}

static void count_end(void *context)
{
    ((struct impatience *)context)->ends++;
}

static void test_whoever_looks_on_may_end_it(void **state)
{
    static const char *const names[] = { "p2p-qos2", "open-p2p", "connect",
                                         "retained", "drain",    "durable-offline" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct impatience impatience = { 0 };
        struct bench_watch watch = { .begin = count_begin,
                                     .end = count_end,
                                     .progress = stop_after_some,
                                     .context = &impatience,
                                     .stop = &impatience.stop };
        struct bench_spec s = small(*state, names[i], VERSION_3_1_1);
        s.seconds = 3600;
        s.watch = &watch;
        bench_run(&s, &result);
        assert_true(result.is_partial && result.delivered > 0);
        assert_true(impatience.begins > 0);
        assert_int_equal(impatience.ends, impatience.begins);
    }
}

static void test_no_broker_is_a_failure(void **state)
{
    int status = 0;
    struct bench_spec s = small(*state, "p2p-qos0", VERSION_3_1_1);
    s.target.port = free_port();
    pid_t child = fork();
    if (child == 0) {
        (void)!freopen("/dev/null", "w", stderr);
        bench_run(&s, &result);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_scenario_finds_what_it_looks_for),
        cmocka_unit_test(test_the_figures_of_each_kind),
        cmocka_unit_test(test_nothing_is_left_behind),
        cmocka_unit_test(test_whoever_looks_on_may_end_it),
        cmocka_unit_test(test_no_broker_is_a_failure),
    };
    return cmocka_run_group_tests(tests, open_house, close_house);
}
