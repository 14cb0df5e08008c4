#include "bench/scenarios.h"
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_every_row_can_be_run_and_found(void **state)
{
    const struct bench_spec *row;
    size_t count = 0;
    for (; (row = scenario_at(count)) != NULL; count++) {
        struct buffer error = { 0 };
        assert_true(scenario_check(row, &error));
        assert_int_equal(error.size, 0);
        assert_ptr_equal(scenario_find(row->name), row); /* so the name is there once only */
        assert_true(strlen(row->name) < 22 && strlen(row->about) < 78); /* a line of the list */
        assert_true(row->seconds > 0);
        assert_true(row->kind == BENCH_IDLE || row->window > 0 || row->rate > 0);
        assert_true(scenario_connections(row) > 0);
    }
    assert_true(count > 20);
    assert_null(scenario_find("p2p"));
}

static void test_what_cannot_be_run(void **state)
{
    enum { NO_QOS = 100 }; /* 0, which would be no change */
    static const struct {
        const char *base, *reason; /* NULL: it can */
        struct bench_spec change;  /* what is not 0 in it */
    } rows[] = {
        { "p2p-qos0", "needs payloads of at least 20 bytes", { .payload_size = 19 } },
        { "p2p-qos0", NULL, { .payload_size = 20 } },
        { "p2p-qos0", "is made of pairs", { .subscribers = 99 } },
        { "fan-in", NULL, { .subscribers = 99 } },
        { "drain", "needs payloads of at least 8 bytes", { .payload_size = 7 } },
        { "durable-offline", "needs QoS 1 or 2", { .qos = NO_QOS } },
        { "durable-offline", NULL, { .qos = 2, .subscribers = 9 } },
        { "durable-connected", NULL, { .qos = NO_QOS } },
        { "durable-connected", "knows no Sessions", { .target.is_relay = true } },
        { "connect", "at most 64 connections", { .window = 65 } },
        { "retained", "QoS 0 and 1 only", { .qos = 2 } },
        { "wildcard", "a topic for each subscriber", { .topics = 99 } },
        { "p2p-64k", "too much", { .window = 1000 } },      /* for one publisher */
        { "fan-out-500", "too much", { .window = 65535 } }, /* with all copies */
        { "p2p-qos2", NULL, { .target.is_relay = true } },
        { "fan-in", NULL, { .target.is_relay = true } },
        { "fan-in", "a relay can only do pairs", { .qos = 1, .target.is_relay = true } },
        { "shared", "knows no subscriptions", { .target.is_relay = true } },
        { "churn", "knows no subscriptions", { .target.is_relay = true } },
        { "idle", "knows no MQTT", { .target.is_relay = true } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct bench_spec *change = &rows[i].change;
        struct bench_spec s = *scenario_find(rows[i].base);
        struct buffer error = { 0 };
        s.payload_size = change->payload_size > 0 ? change->payload_size : s.payload_size;
        s.subscribers = change->subscribers > 0 ? change->subscribers : s.subscribers;
        s.window = change->window > 0 ? change->window : s.window;
        s.topics = change->topics > 0 ? change->topics : s.topics;
        s.qos = change->qos == NO_QOS ? 0 : change->qos > 0 ? change->qos : s.qos;
        s.target.is_relay = change->target.is_relay;
        assert_int_equal(scenario_check(&s, &error), rows[i].reason == NULL);
        assert_int_equal(buffer_append(&error, bytes_of("", 1)), 0);
        if (rows[i].reason != NULL)
            assert_non_null(strstr((const char *)error.data, rows[i].reason));
        buffer_fini(&error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_can_be_run_and_found),
        cmocka_unit_test(test_what_cannot_be_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
