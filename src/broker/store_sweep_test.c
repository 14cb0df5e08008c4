/* broker/store_sweep_test.c: a durable server in trouble, at every place there is.
 *
 * Each scenario is played again and again; the first time the first allocation fails, then the
 * second, until it passes without a failure; then the same with the calls of the disk.  Each time
 * every request is answered or its connection closed; then power is lost, and a new server has to
 * know all that clients had been told.  After a write or a sync that failed, the broker ends, and
 * acknowledges nothing more. */
#include "base/memory.h"
#include "broker/server.h"
#include "broker/store_stage.h"
#include "broker/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NTH_MAX = 30000 };

#define CONFIG                                                                                     \
    "listener 1883\nallow_anonymous true\nsys_interval 0\npersistence true\n"                      \
    "persistence_location .\npersistence_reserve 1048576\n"

struct scenario {
    const char *name;
    void (*prepare)(struct stage *s); /* all goes well; NULL: nothing to prepare */
    void (*act)(struct stage *s);     /* here something fails */
    bool starts;                      /* the server starts in trouble, too: after a power loss */
};

/* ------------------------------------------------------------------------------ scenarios ----- */

static unsigned last_worker(const struct stage *s)
{
    return s->workers - 1;
}

static void come(struct stage *s)
{
    (void)stage_connect(&s->publisher, false, 0);
    (void)stage_connect(&s->reader, false, last_worker(s));
}

static void come_and_subscribe(struct stage *s)
{
    come(s);
    (void)stage_subscribe(&s->reader, "t/+", "t/1");
    (void)stage_subscribe(&s->reader, "w/x", "w/x");
}

static void subscribe_and_go(struct stage *s)
{
    come_and_subscribe(s);
    stage_drop(&s->reader);
}

static void resubscribe(struct stage *s)
{
    (void)stage_subscribe(&s->reader, "t/+", "t/1");
    (void)stage_subscribe(&s->reader, "u/#", "u/1");
}

static void unsubscribe(struct stage *s)
{
    (void)stage_unsubscribe(&s->reader, "t/+");
}

static void publish_few(struct stage *s)
{
    (void)stage_publish(&s->publisher, "t/1", 1);
    (void)stage_publish(&s->publisher, "t/1", 2);
    (void)stage_publish(&s->publisher, "t/1", 1);
}

static void publish_and_return(struct stage *s)
{
    publish_few(s);
    (void)stage_connect(&s->reader, false, 0);
    stage_pass(s, 200);
}

static void publish_unacknowledged(struct stage *s)
{
    s->reader.holds_acks = true;
    publish_few(s);
    stage_pass(s, 200);
    stage_acknowledge(&s->reader);
    stage_pass(s, 200);
}

static void hold_some(struct stage *s)
{
    come_and_subscribe(s);
    s->reader.holds_acks = true;
    publish_few(s);
    stage_pass(s, 200);
}

static void acknowledge(struct stage *s)
{
    stage_acknowledge(&s->reader);
    stage_pass(s, 200);
    publish_few(s);
}

static void retain_one(struct stage *s)
{
    come(s);
    (void)stage_retain(&s->publisher, false, 1);
}

static void retain_and_clear(struct stage *s)
{
    (void)stage_retain(&s->publisher, false, 1);
    (void)stage_retain(&s->publisher, true, 1);
    (void)stage_retain(&s->publisher, false, 2);
}

static void clear(struct stage *s)
{
    (void)stage_retain(&s->publisher, true, 2);
}

static void die(struct stage *s)
{
    s->mortal.has_will = true;
    (void)stage_connect(&s->mortal, false, 0);
    stage_drop(&s->mortal);
    stage_pass(s, 1000);
}

static void die_and_wait(struct stage *s)
{
    die(s);
    stage_pass(s, 6000);
}

static void come_with_will(struct stage *s)
{
    subscribe_and_go(s);
    s->mortal.has_will = true;
    (void)stage_connect(&s->mortal, false, 0);
}

static void wait_for_will(struct stage *s)
{
    (void)stage_connect(&s->reader, false, 0);
    stage_pass(s, 6000);
}

static void start_clean(struct stage *s)
{
    (void)stage_connect(&s->reader, true, 0);
    stage_drop(&s->reader);
    publish_few(s);
}

static void end_session(struct stage *s)
{
    stage_leave(&s->reader, true);
    stage_pass(s, 200);
    (void)stage_connect(&s->reader, false, 0);
}

static void queue_many(struct stage *s)
{
    subscribe_and_go(s);
    for (int i = 0; i < 30; i++)
        (void)stage_publish(&s->publisher, "t/1", i % 2 == 0 ? 1 : 2);
}

static void drain(struct stage *s)
{
    (void)stage_connect(&s->reader, false, last_worker(s));
    stage_pass(s, 500);
}

static void return_and_drain(struct stage *s)
{
    come(s);
    stage_pass(s, 500);
    publish_few(s);
}

static void take_over(struct stage *s)
{
    struct fuzz_link *old = s->reader.link;
    s->reader.link = NULL;
    (void)stage_connect(&s->reader, false, 0);
    publish_few(s);
    fuzz_link_forget(old);
}

static const struct scenario scenarios[] = {
    { "a new store", NULL, come_and_subscribe, true },
    { "durable Sessions begin", NULL, come, false },
    { "subscribe", come, come_and_subscribe, false },
    { "subscribe again, and more", come_and_subscribe, resubscribe, false },
    { "unsubscribe", come_and_subscribe, unsubscribe, false },
    { "publish to a subscriber that is there", come_and_subscribe, publish_few, false },
    { "publish to one that acknowledges late", come_and_subscribe, publish_unacknowledged, false },
    { "acknowledge what is on the disk", hold_some, acknowledge, false },
    { "publish to one that is away", subscribe_and_go, publish_few, false },
    { "publish to one that comes back", subscribe_and_go, publish_and_return, false },
    { "retain", come, retain_one, false },
    { "retain and clear", come, retain_and_clear, false },
    { "clear", retain_one, clear, false },
    { "a Will waits", come_and_subscribe, die, false },
    { "a Will is due", subscribe_and_go, die_and_wait, false },
    { "a Will over a restart", come_with_will, wait_for_will, true },
    { "a clean start ends a Session", queue_many, start_clean, false },
    { "a Session ends with its connection", hold_some, end_session, false },
    { "a queue is loaded", queue_many, drain, false },
    { "restart and return", queue_many, return_and_drain, true },
    { "restart in the middle of QoS 2", hold_some, return_and_drain, true },
    { "a connection is taken over", hold_some, take_over, false },
};

/* ---------------------------------------------------------------------------------- sweeps ---- */

static struct {
    const char *name; /* NULL: all */
    uint64_t nth;
} only = { NULL, 1 };

static struct playing {
    const char *name;
    unsigned workers;
    enum stage_trouble what;
    uint64_t nth;
} now_playing;

static void prepare(struct stage *s, const struct scenario *scenario)
{
    if (scenario->prepare != NULL || !scenario->starts)
        assert_int_equal(stage_start(s, TROUBLE_NONE, 0), 0);
    if (scenario->prepare != NULL)
        scenario->prepare(s);
    assert_int_equal(s->refusals, 0);
    if (scenario->starts && s->world != NULL)
        stage_power_loss(s, 5);
}

/* After a write or a sync that failed. */
static void check_the_end(struct stage *s)
{
    if (s->world == NULL || !s->disk.has_failed_writing)
        return;
    assert_true(atomic_load(&s->world->server->has_failed));
    assert_true(s->acks_at_failure >= 0);
    stage_pass(s, 1000);
    assert_int_equal(stage_acks(s), s->acks_at_failure);
}

/* True: it has happened. */
static bool play(const struct scenario *scenario, unsigned workers, enum stage_trouble what,
                 uint64_t nth)
{
    struct stage s;
    stage_init(&s, CONFIG, workers);
    prepare(&s, scenario);
    int result = 0;
    if (scenario->starts)
        result = stage_start(&s, what, nth);
    else
        stage_trouble(&s, what, nth);
    if (result == 0)
        scenario->act(&s);
    bool has_happened = stage_end_trouble(&s);
    if (!has_happened)
        assert_int_equal(s.refusals, 0);
    check_the_end(&s);
    stage_power_loss(&s, nth);
    assert_int_equal(stage_start(&s, TROUBLE_NONE, 0), 0);
    stage_verify(&s);
    if (!has_happened)
        stage_verify_silence(&s);
    stage_fini(&s);
    return has_happened;
}

static void sweep(unsigned workers, enum stage_trouble what)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        size_t before = memory_used();
        uint64_t nth = only.nth;
        if (only.name != NULL && strcmp(only.name, scenarios[i].name) != 0)
            continue;
        do {
            now_playing = (struct playing){ scenarios[i].name, workers, what, nth };
            assert_true(nth < NTH_MAX);
            assert_int_equal(memory_used(), before);
        } while (play(&scenarios[i], workers, what, nth++));
        sum += nth - 1 - only.nth;
    }
    now_playing = (struct playing){ 0 };
    print_message("%u failures with %u workers\n", (unsigned)sum, workers);
}

/* Says what was played when something went wrong. */
static int tell(void **state)
{
    static const char *const what[] = { "nothing", "allocation", "EIO of call", "ENOSPC of call" };
    const struct playing *p = &now_playing;
    if (p->name != NULL)
        print_error("while playing '%s' with %u workers: %s %u\n", p->name, p->workers,
                    what[p->what], (unsigned)p->nth);
    now_playing = (struct playing){ 0 };
    return 0;
}

static void test_memory(void **state)
{
    sweep(1, TROUBLE_MEMORY);
}

static void test_memory_two_workers(void **state)
{
    sweep(2, TROUBLE_MEMORY);
}

static void test_eio(void **state)
{
    sweep(1, TROUBLE_EIO);
}

static void test_eio_two_workers(void **state)
{
    sweep(2, TROUBLE_EIO);
}

static void test_enospc(void **state)
{
    sweep(1, TROUBLE_ENOSPC);
}

static void test_enospc_two_workers(void **state)
{
    sweep(2, TROUBLE_ENOSPC);
}

/* store_sweep_test [SCENARIO [NTH]]: only this one, from the nth failure on. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_memory, tell),
        cmocka_unit_test_teardown(test_memory_two_workers, tell),
        cmocka_unit_test_teardown(test_eio, tell),
        cmocka_unit_test_teardown(test_eio_two_workers, tell),
        cmocka_unit_test_teardown(test_enospc, tell),
        cmocka_unit_test_teardown(test_enospc_two_workers, tell),
    };
    if (argc > 1)
        only.name = argv[1];
    if (argc > 2)
        only.nth = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
