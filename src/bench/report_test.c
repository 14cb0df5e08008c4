#include "bench/report.h"
#include "bench/scenarios.h"
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* What was written to it, until it is freed. */
struct page {
    FILE *out;
    char *text;
    size_t size;
};

static FILE *page_open(struct page *p)
{
    p->out = open_memstream(&p->text, &p->size);
    assert_non_null(p->out);
    return p->out;
}

static const char *page_close(struct page *p)
{
    fclose(p->out);
    return p->text;
}

/* A scenario of the table, with a window of its own: the table's is a matter of taste. */
static struct bench_spec some_spec(const char *name)
{
    struct bench_spec s = *scenario_find(name);
    if (s.kind == BENCH_MESSAGES && s.rate == 0)
        s.window = 1000;
    return s;
}

static void test_what_runs_is_told_in_one_line(void **state)
{
    static const struct {
        const char *name, *line;
    } rows[] = {
        { "p2p-qos0", "p2p-qos0: 100 publishers, a subscriber each; QoS 0, 64 bytes, 1,000 under "
                      "way each; MQTT 3.1.1; 5 s\n" },
        { "open-fan-out", "open-fan-out: 1 publisher to 500 subscribers; QoS 0, 64 bytes, 40 "
                          "messages/s; MQTT 3.1.1; 5 s\n" },
        { "wildcard",
          "wildcard: 100 publishers, 100,000 topics, a wildcard subscription of one of "
          "100 clients to each; QoS 0, 64 bytes, 1,000 under way each; MQTT 3.1.1; 5 s\n" },
        { "churn", "churn: 100 publishers, a subscriber each, 100 SUBSCRIBE and UNSUBSCRIBE under "
                   "way beside them; QoS 0, 64 bytes, 1,000 under way each; MQTT 3.1.1; 5 s\n" },
        { "connect", "connect: 50 clients at a time connect and disconnect; MQTT 3.1.1; 5 s\n" },
        { "durable-offline",
          "durable-offline: 100 publishers, 10 topics, a subscription of one of 10 clients to "
          "each, persistent sessions that are away; QoS 1, 200 bytes, 1,000 under way each; MQTT "
          "3.1.1; 2 s\n" },
        { "durable-qos2", "durable-qos2: 100 publishers, a subscriber each, persistent sessions; "
                          "QoS 2, 64 bytes, 1,000 under way each; MQTT 3.1.1; 5 s\n" },
        { "drain", "drain: 100 sessions with 1,000 queued messages each; QoS 1, 64 bytes; MQTT "
                   "3.1.1; 5 s\n" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct page p;
        struct bench_spec spec = some_spec(rows[i].name);
        report_spec(page_open(&p), &spec);
        assert_string_equal(page_close(&p), rows[i].line);
        free(p.text);
    }
}

/* Two seconds, four million messages, and a broker that is known. */
static struct bench_result some_result(void)
{
    struct bench_result r = { .published = 4000000, .delivered = 4000000, .seconds = 2 };
    r.cpu_user_s = 0.1;
    r.cpu_system_s = 0.3;
    r.clients_cpu_s = 1;
    r.memory_before = 1000;
    r.memory_begin = 2000;
    r.memory_after = 21 * 1024 * 1024;
    r.connections = 200;
    histogram_add(&r.latency, 800, 1);
    histogram_add(&r.latency, 15000000, 1);
    return r;
}

static void test_text_is_for_people(void **state)
{
    struct page p;
    struct bench_result r = some_result();
    report_text(page_open(&p), scenario_find("p2p-qos0"), &r);
    assert_string_equal(page_close(&p),
                        "  published         4,000,000      2,000,000/s\n"
                        "  delivered         4,000,000      2,000,000/s\n"
                        "  latency      p50 0.807 us   p99 15.0 ms   p99.9 15.0 ms   max 15.0 ms\n"
                        "  broker CPU   0.100 us per message (user 0.025, system 0.075), 20 % of a "
                        "CPU\n"
                        "  memory       21.0 MiB, 21.0 MiB more than before\n"
                        "  clients' CPU 0.250 us per message, 50 % of a CPU\n");
    free(p.text);
}

/* Who is away gets nothing: what counts is when the broker has it. */
static void test_messages_for_who_is_away_are_acknowledged(void **state)
{
    static const struct {
        uint8_t qos;
        const char *line;
    } rows[] = {
        { 1, "  PUBACK       p50 800 us   p99 800 us   p99.9 800 us   max 800 us\n" },
        { 2, "  PUBREC       p50 800 us   p99 800 us   p99.9 800 us   max 800 us\n" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct page p;
        struct bench_spec spec = some_spec("durable-offline");
        struct bench_result r = { .published = 1000, .delivered = 1000, .seconds = 1 };
        spec.qos = rows[i].qos;
        histogram_add(&r.answer, 800000, 1);
        report_text(page_open(&p), &spec, &r);
        const char *text = page_close(&p);
        assert_non_null(strstr(text, "  acknowledged          1,000          1,000/s\n"));
        assert_non_null(strstr(text, rows[i].line));
        assert_null(strstr(text, "latency"));
        free(p.text);
    }
}

static void test_warnings(void **state)
{
    static const struct {
        const char *scenario;
        struct bench_result result;
        const char *warning; /* NULL: none */
    } rows[] = {
        { "p2p-qos0", { .seconds = 2, .clients_cpu_s = 1.89 }, NULL },
        { "p2p-qos0", { .seconds = 2, .clients_cpu_s = 1.91 }, "the clients used a whole CPU" },
        { "open-p2p", { .seconds = 2, .published = 9600 }, NULL },
        { "open-p2p", { .seconds = 2, .published = 9400 }, "it was 4,700/s" },
        { "p2p-qos0", { .seconds = 2, .delivered = 1, .is_partial = true }, "interrupted: " },
        { "p2p-qos0", { .seconds = 2, .is_partial = true }, "interrupted before anything" },
        { "open-p2p", { .seconds = 2, .published = 10000, .lost = 7 }, "lost" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct page p;
        struct bench_result r = rows[i].result;
        report_text(page_open(&p), scenario_find(rows[i].scenario), &r);
        const char *text = page_close(&p);
        if (rows[i].warning != NULL)
            assert_non_null(strstr(text, rows[i].warning));
        else
            assert_null(strstr(text, "warning"));
        free(p.text);
    }
}

static void test_memory_is_divided_where_that_means_something(void **state)
{
    static const struct {
        const char *scenario;
        int64_t before, after;
        const char *line;
    } rows[] = {
        { "idle", 1000, 9001000,
          "  memory       8.58 MiB, 8.58 MiB more than before: 900 bytes per "
          "connection\n" },
        { "fan-in", 3000, 2000, "  memory       2,000 bytes, 1,000 bytes less than before\n" },
        { "drain", 3000, 2000,
          "  memory       2,000 bytes, 1,000 bytes less than before; 9.00 MiB with all queues "
          "full\n" },
        { "fan-in", -1, -1, NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct page p;
        struct bench_result r = some_result();
        r.memory_before = rows[i].before;
        r.memory_after = rows[i].after;
        r.memory_begin = 9 * 1024 * 1024;
        r.connections = 10000;
        report_text(page_open(&p), scenario_find(rows[i].scenario), &r);
        const char *text = page_close(&p), *line = strstr(text, "  memory");
        if (rows[i].line != NULL)
            assert_memory_equal(line, rows[i].line, strlen(rows[i].line));
        else
            assert_null(line);
        free(p.text);
    }
}

static void test_json_is_for_programs(void **state)
{
    struct page p;
    struct bench_result r = some_result();
    struct bench_spec spec = some_spec("p2p-qos0");
    histogram_add(&r.answer, 2000, 1);
    report_json(page_open(&p), &spec, &r);
    assert_string_equal(
        page_close(&p),
        "{\"scenario\":\"p2p-qos0\",\"protocol\":\"3.1.1\",\"publishers\":100,\"subscribers\":100,"
        "\"qos\":0,\"payload_size\":64,\"window\":1000,\"rate\":0,\"topics\":0,\"queued\":0,"
        "\"churn\":0,\"seconds\":2,\"published\":4000000,\"delivered\":4000000,\"lost\":0,"
        "\"churned\":0,\"published_per_s\":2000000,\"delivered_per_s\":2000000,"
        "\"latency_p50_us\":0.807,\"latency_p99_us\":15000,\"latency_p99_9_us\":15000,"
        "\"latency_max_us\":15000,\"latency_mean_us\":7500.4,\"answer_p50_us\":2,"
        "\"answer_p99_us\":2,\"answer_p99_9_us\":2,\"answer_max_us\":2,\"answer_mean_us\":2,"
        "\"cpu_us_per_message\":0.1,"
        "\"cpu_user_us_per_message\":0.025,\"cpu_system_us_per_message\":0.075,\"cpu_user_s\":0.1,"
        "\"cpu_system_s\":0.3,\"clients_cpu_s\":1,\"clients_cpu_us_per_message\":0.25,"
        "\"memory_before\":1000,\"memory_begin\":2000,\"memory_after\":22020096,"
        "\"memory_per_connection\":110095.48,"
        "\"connections\":200,\"interrupted\":false}\n");
    free(p.text);
}

static void test_json_of_what_is_unknown_is_null(void **state)
{
    static const char *const nulls[] = {
        "\"cpu_us_per_message\":null", "\"cpu_user_s\":null",     "\"memory_before\":null",
        "\"memory_after\":null",       "\"latency_p50_us\":null", "\"memory_per_connection\":null",
        "\"memory_begin\":null",       "\"answer_p99_us\":null",
    };
    struct page p;
    struct bench_result r = {
        .cpu_user_s = -1,
        .cpu_system_s = -1,
        .memory_before = -1,
        .memory_begin = -1,
        .memory_after = -1,
    };
    report_json(page_open(&p), scenario_find("p2p-qos0"), &r);
    const char *text = page_close(&p);
    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++)
        assert_non_null(strstr(text, nulls[i]));
    assert_null(strstr(text, "nan")); /* nothing was divided by nothing */
    free(p.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_runs_is_told_in_one_line),
        cmocka_unit_test(test_text_is_for_people),
        cmocka_unit_test(test_messages_for_who_is_away_are_acknowledged),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_memory_is_divided_where_that_means_something),
        cmocka_unit_test(test_json_is_for_programs),
        cmocka_unit_test(test_json_of_what_is_unknown_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
