/* admin/sys_topics_test.c: the $SYS topics as a subscriber sees them, while time goes by. */
#include "admin/sys_topics.h"
#include "base/memory.h"
#include "broker/test_client.h"

#define CONFIG "listener 1883\nallow_anonymous true\n"

enum { FIGURES_MAX = 256, TOPIC_SIZE = 100, TEXT_SIZE = 80 };

static struct test_client watcher, other;

struct world {
    struct fuzz_world *fuzz;
    struct sys_topics *topics;
};

/* What the watcher has heard: the last value of each topic, and how often it came. */
struct figure {
    char topic[TOPIC_SIZE], text[TEXT_SIZE];
    int count;
};
static struct figure figures[FIGURES_MAX];
static size_t figure_count;

static void world_open(struct world *w, const char *config)
{
    w->fuzz = test_world(config, 2);
    w->topics = sys_topics_create(w->fuzz->server);
    assert_non_null(w->topics);
    figure_count = 0;
    test_connect(&watcher, w->fuzz, 1, VERSION_5_0, "watcher");
}

static void world_close(struct world *w)
{
    fuzz_world_stop(w->fuzz);
    sys_topics_destroy(w->topics);
    fuzz_world_destroy(w->fuzz);
}

static struct figure *find(const char *topic)
{
    for (size_t i = 0; i < figure_count; i++)
        if (strcmp(figures[i].topic, topic) == 0)
            return &figures[i];
    return NULL;
}

static void note(const struct publish *p)
{
    char topic[TOPIC_SIZE];
    snprintf(topic, sizeof topic, "%.*s", (int)p->topic.size, (const char *)p->topic.data);
    struct figure *f = find(topic);
    if (f == NULL) {
        assert_true(figure_count < FIGURES_MAX);
        f = &figures[figure_count++];
        *f = (struct figure){ 0 };
        memcpy(f->topic, topic, sizeof topic);
    }
    snprintf(f->text, sizeof f->text, "%.*s", (int)p->payload.size, (const char *)p->payload.data);
    f->count++;
}

/* Hears what there is; how many messages. */
static int hear_figures(void)
{
    struct packet p;
    int count = 0;
    for (size_t i = 0; i < figure_count; i++)
        figures[i].count = 0;
    while (test_hear_any(&watcher, VERSION_5_0, &p)) {
        if (p.type != PACKET_PUBLISH)
            continue;
        note(&p.publish);
        count++;
    }
    return count;
}

static void assert_figure(const char *topic, const char *text)
{
    struct figure *f = find(topic);
    if (f == NULL || strcmp(f->text, text) != 0)
        print_error("%s: %s, wanted %s\n", topic, f == NULL ? "not there" : f->text, text);
    assert_true(f != NULL && strcmp(f->text, text) == 0);
}

/* ----------------------------------------------------------------------------------- tests ---- */

static void test_first_figures(void **state)
{
    static const struct {
        const char *topic, *text;
    } rows[] = {
        { "$SYS/broker/version",
          "mosquitto version " CHAPPE_MOSQUITTO_VERSION " (chappe " CHAPPE_VERSION ")" },
        { "$SYS/broker/clients/total", "1" },
        { "$SYS/broker/clients/connected", "1" },
        { "$SYS/broker/clients/active", "1" },
        { "$SYS/broker/clients/disconnected", "0" },
        { "$SYS/broker/clients/inactive", "0" },
        { "$SYS/broker/clients/maximum", "1" },
        { "$SYS/broker/clients/expired", "0" },
        { "$SYS/broker/subscriptions/count", "0" },
        { "$SYS/broker/shared_subscriptions/count", "0" },
        { "$SYS/broker/publish/messages/dropped", "0" },
        { "$SYS/broker/drops/queue-full", "0" },
        { "$SYS/broker/drops/not-authorized", "0" },
        { "$SYS/broker/mqtt/connect/received", "1" },
        { "$SYS/broker/mqtt/connack/sent", "1" },
        { "$SYS/broker/mqtt/auth/received", "0" },
        { "$SYS/broker/load/messages/received/1min", NULL },
        { "$SYS/broker/load/bytes/sent/15min", NULL },
        { "$SYS/broker/heap/current", NULL },
        { "$SYS/broker/uptime", NULL },
    };
    struct world w;
    world_open(&w, CONFIG "sys_interval 10\n");
    fuzz_world_pass(w.fuzz, 10 * SECOND_NS);
    test_say(&watcher, "82 { 0001 { } s'$SYS/#' 00 }"); /* they are retained */
    (void)hear_figures();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_non_null(find(rows[i].topic));
        if (rows[i].text != NULL && strncmp(rows[i].topic, "$SYS/broker/cl", 14) != 0)
            assert_figure(rows[i].topic, rows[i].text);
    }
    fuzz_world_pass(w.fuzz, 10 * SECOND_NS);
    (void)hear_figures();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].text != NULL && strncmp(rows[i].topic, "$SYS/broker/cl", 14) == 0)
            assert_figure(rows[i].topic, rows[i].text);
    world_close(&w);
}

/* Each metric and each cause of a drop has a topic of its own, and no topic comes twice. */
static void test_whole_table(void **state)
{
    static const char *const topics[] = {
#define METRIC(name, kind, topic, text) "$SYS/broker/" topic,
        METRIC_TABLE(METRIC)
#undef METRIC
#define DROP(name, topic, text) "$SYS/broker/drops/" topic,
            DROP_TABLE(DROP)
#undef DROP
    };
    struct world w;
    world_open(&w, CONFIG "sys_interval 10\n");
    test_say(&watcher, "82 { 0001 { } s'$SYS/#' 00 }");
    fuzz_world_pass(w.fuzz, 10 * SECOND_NS);
    (void)hear_figures();
    fuzz_world_pass(w.fuzz, 10 * SECOND_NS);
    (void)hear_figures(); /* one run of the job: each at most once */
    for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++)
        assert_non_null(find(topics[i]));
    for (size_t i = 0; i < figure_count; i++)
        assert_true(figures[i].count <= 1);
    world_close(&w);
}

/* Only what changed is published, at multiples of the interval on the wall clock. */
static void test_changes(void **state)
{
    struct world w;
    world_open(&w, CONFIG "sys_interval 10\n");
    test_say(&watcher, "82 { 0001 { } s'$SYS/broker/clients/#' 00 s'$SYS/broker/uptime' 00 }");
    fuzz_world_pass(w.fuzz, 20 * SECOND_NS);
    (void)hear_figures();
    fuzz_world_pass(w.fuzz, 10 * SECOND_NS);
    assert_int_equal(hear_figures(), 1); /* the uptime: nobody came or went */
    int64_t wall_ns = env_wall_ns(&w.fuzz->env);
    int64_t until_ns = 10 * SECOND_NS - wall_ns % (10 * SECOND_NS);
    test_connect(&other, w.fuzz, 0, VERSION_3_1_1, "other");
    fuzz_world_pass(w.fuzz, until_ns - SECOND_NS);
    assert_int_equal(hear_figures(), 0);
    fuzz_world_pass(w.fuzz, SECOND_NS + SECOND_NS / 100);
    assert_true(hear_figures() > 1);
    assert_figure("$SYS/broker/clients/total", "2");
    assert_figure("$SYS/broker/clients/maximum", "2");
    test_say(&other, "e0 { }");
    fuzz_world_pass(w.fuzz, 10 * SECOND_NS);
    (void)hear_figures();
    assert_figure("$SYS/broker/clients/total", "1");
    assert_figure("$SYS/broker/clients/maximum", "2");
    world_close(&w);
}

/* sys_interval 0 is off, and a reload may switch it on and off. */
static void test_reload(void **state)
{
    struct world w;
    world_open(&w, CONFIG "sys_interval 0\n");
    test_say(&watcher, "82 { 0001 { } s'$SYS/#' 00 }");
    fuzz_world_pass(w.fuzz, 100 * SECOND_NS);
    assert_int_equal(hear_figures(), 0);
    fuzz_world_configure(w.fuzz, CONFIG "sys_interval 5\n");
    fuzz_world_pass(w.fuzz, 6 * SECOND_NS);
    assert_true(hear_figures() > 50);
    fuzz_world_configure(w.fuzz, CONFIG "sys_interval 0\n");
    fuzz_world_pass(w.fuzz, 6 * SECOND_NS);
    (void)hear_figures();
    fuzz_world_pass(w.fuzz, 100 * SECOND_NS);
    assert_int_equal(hear_figures(), 0);
    world_close(&w);
}

/* Log lines are topics, even without figures; debug lines never. */
static void test_log_lines(void **state)
{
    static const struct {
        enum log_type type;
        const char *topic; /* NULL: none */
    } rows[] = {
        { LOG_TYPE_ERROR, "$SYS/broker/log/E" },
        { LOG_TYPE_WARNING, "$SYS/broker/log/W" },
        { LOG_TYPE_NOTICE, "$SYS/broker/log/N" },
        { LOG_TYPE_INFORMATION, "$SYS/broker/log/I" },
        { LOG_TYPE_SUBSCRIBE, "$SYS/broker/log/M/subscribe" },
        { LOG_TYPE_UNSUBSCRIBE, "$SYS/broker/log/M/unsubscribe" },
        { LOG_TYPE_DEBUG, NULL },
        { LOG_TYPE_INTERNAL, NULL },
    };
    struct world w;
    world_open(&w, CONFIG "sys_interval 0\nlog_dest topic\n");
    test_say(&watcher, "82 { 0001 { } s'$SYS/#' 00 }");
    (void)hear_figures();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        sys_topics_log(w.topics, rows[i].type, "a line");
        fuzz_world_pass(w.fuzz, 2 * SECOND_NS);
        assert_int_equal(hear_figures(), rows[i].topic != NULL);
        if (rows[i].topic != NULL)
            assert_figure(rows[i].topic, "a line");
    }
    world_close(&w);
}

/* More lines than there is room for: the rest is dropped. */
static void test_many_log_lines(void **state)
{
    struct world w;
    world_open(&w, CONFIG "sys_interval 0\nlog_dest topic\n");
    test_say(&watcher, "82 { 0001 { } s'$SYS/#' 00 }");
    (void)hear_figures();
    for (int i = 0; i < 1000; i++)
        sys_topics_log(w.topics, LOG_TYPE_NOTICE, "a line");
    fuzz_world_pass(w.fuzz, 2 * SECOND_NS);
    int heard = hear_figures();
    assert_true(heard > 0 && heard < 1000);
    fuzz_world_pass(w.fuzz, 2 * SECOND_NS);
    assert_int_equal(hear_figures(), 0);
    world_close(&w);
}

static void test_no_memory(void **state)
{
    struct fuzz_world *w = test_world(TEST_CONFIG, 1);
    (void)memory_fail_at(1);
    assert_null(sys_topics_create(w->server));
    (void)memory_fail_at(0);
    sys_topics_destroy(NULL);
    test_world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_figures), cmocka_unit_test(test_whole_table),
        cmocka_unit_test(test_changes),       cmocka_unit_test(test_reload),
        cmocka_unit_test(test_log_lines),     cmocka_unit_test(test_many_log_lines),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
