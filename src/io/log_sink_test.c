/* io/log_sink_test.c: lines in their formats, to a file; a writer that is kept from writing. */
#include "base/memory.h"
#include "io/log_sink.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define WALL_NS (INT64_C(1700000000) * 1000000000 + 123456789) /* 2023-11-14 22:13:20 UTC */

static int64_t wall_ns(const struct clock *clock)
{
    return WALL_NS;
}

static const struct clock still = { .wall_ns = wall_ns };

struct world {
    char folder[32], path[64];
    struct log_sink *sink;
    struct log *log;
    struct log_sink_options options;
};

static void world_open(struct world *w)
{
    *w = (struct world){ .folder = "/tmp/chappe-log-XXXXXX" };
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->path, sizeof w->path, "%s/log", w->folder);
    w->sink = log_sink_create(&still);
    assert_non_null(w->sink);
    w->log = log_sink_log(w->sink);
    w->options = (struct log_sink_options){ .types = LOG_TYPE_ALL,
                                            .destinations = LOG_SINK_FILE,
                                            .file = w->path };
    assert_int_equal(log_sink_configure(w->sink, &w->options), 0);
}

static void world_close(struct world *w)
{
    log_sink_destroy(w->sink);
    unlink(w->path);
    rmdir(w->folder);
}

/* The file's text; the caller frees it. */
static char *read_file(const char *path)
{
    enum { SIZE = 4 * 1024 * 1024 };
    char *text = malloc(SIZE + 1);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t size = fread(text, 1, SIZE, file);
    assert_true(size < SIZE);
    fclose(file);
    text[size] = '\0';
    return text;
}

static void assert_file(const char *path, const char *expected)
{
    char *text = read_file(path);
    assert_string_equal(text, expected);
    free(text);
}

/* ---------------------------------------------------------------------------------- formats --- */

static void test_formats(void **state)
{
    static const struct {
        bool json, timestamp;
        const char *format, *line, *expected;
    } rows[] = {
        { false, false, NULL, "hello", "hello\n" },
        { false, false, "%Y", "hello", "hello\n" },
        { false, true, NULL, "hello", "1700000000: hello\n" },
        { false, true, "%Y-%m-%dT%H:%M:%S", "hello", "2023-11-14T22:13:20: hello\n" },
        { false, true, "", "hello", ": hello\n" },
        { true, false, NULL, "hello",
          "{\"time\":\"2023-11-14T22:13:20.123456Z\",\"type\":\"notice\",\"text\":\"hello\"}\n" },
        { true, true, "%Y", "say \"a\\b\"", /* has a time of its own already */
          "{\"time\":\"2023-11-14T22:13:20.123456Z\",\"type\":\"notice\","
          "\"text\":\"say \\\"a\\\\b\\\"\"}\n" },
        { true, false, NULL, "\tfilter\x1f (QoS 1)",
          "{\"time\":\"2023-11-14T22:13:20.123456Z\",\"type\":\"notice\","
          "\"text\":\"\\u0009filter\\u001f (QoS 1)\"}\n" },
    };
    setenv("TZ", "UTC", 1);
    tzset();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        world_open(&w);
        w.options.json = rows[i].json;
        w.options.timestamp = rows[i].timestamp;
        w.options.timestamp_format = rows[i].format;
        assert_int_equal(log_sink_configure(w.sink, &w.options), 0);
        log_line(w.log, LOG_TYPE_NOTICE, "%s", rows[i].line);
        assert_file(w.path, rows[i].expected);
        world_close(&w);
    }
}

/* Whatever the line, a JSON string must end before the buffer does. */
static void test_longest_json_line(void **state)
{
    char line[1100];
    struct world w;
    world_open(&w);
    w.options.json = true;
    assert_int_equal(log_sink_configure(w.sink, &w.options), 0);
    memset(line, '\x01', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    log_line(w.log, LOG_TYPE_NOTICE, "%s", line);
    char *text = read_file(w.path);
    assert_int_equal(strlen(text) > 6 * 1000, true);
    assert_string_equal(text + strlen(text) - 9, "\\u0001\"}\n");
    free(text);
    world_close(&w);
}

static void test_types_by_name(void **state)
{
    static const char *const names[] = { "information", "notice",     "warning",
                                         "error",       "debug",      "subscribe",
                                         "unsubscribe", "websockets", "internal" };
    struct world w;
    world_open(&w);
    w.options.json = true;
    assert_int_equal(log_sink_configure(w.sink, &w.options), 0);
    for (int i = 0; i < 9; i++)
        log_line(w.log, (enum log_type)(1 << i), "x");
    char *text = read_file(w.path);
    const char *at = text;
    for (int i = 0; i < 9; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "\"type\":\"%s\"", names[i]);
        at = strstr(at, expected);
        assert_non_null(at);
    }
    free(text);
    world_close(&w);
}

static void test_types_filter(void **state)
{
    struct world w;
    world_open(&w);
    w.options.types = LOG_TYPE_ERROR | LOG_TYPE_WARNING;
    assert_int_equal(log_sink_configure(w.sink, &w.options), 0);
    log_line(w.log, LOG_TYPE_NOTICE, "no");
    log_line(w.log, LOG_TYPE_ERROR, "yes");
    assert_file(w.path, "yes\n");
    world_close(&w);
}

/* ------------------------------------------------------------------------------------ files --- */

static void test_reopen_after_rotation(void **state)
{
    struct world w;
    char moved[96];
    world_open(&w);
    snprintf(moved, sizeof moved, "%s.1", w.path);
    log_line(w.log, LOG_TYPE_NOTICE, "one");
    assert_int_equal(rename(w.path, moved), 0);
    log_line(w.log, LOG_TYPE_NOTICE, "two");
    assert_int_equal(log_sink_reopen(w.sink), 0);
    log_line(w.log, LOG_TYPE_NOTICE, "three");
    assert_file(moved, "one\ntwo\n");
    assert_file(w.path, "three\n");
    unlink(moved);
    world_close(&w);
}

/* A file that cannot be opened changes nothing. */
static void test_configure_fails(void **state)
{
    struct world w;
    world_open(&w);
    struct log_sink_options bad = w.options;
    bad.file = "/nonexistent-folder/log";
    bad.types = LOG_TYPE_ERROR;
    assert_true(log_sink_configure(w.sink, &bad) < 0);
    log_line(w.log, LOG_TYPE_NOTICE, "still here");
    assert_file(w.path, "still here\n");
    world_close(&w);
}

static void test_file_is_appended_to(void **state)
{
    struct world w;
    world_open(&w);
    log_line(w.log, LOG_TYPE_NOTICE, "one");
    assert_int_equal(log_sink_configure(w.sink, &w.options), 0);
    log_line(w.log, LOG_TYPE_NOTICE, "two");
    assert_file(w.path, "one\ntwo\n");
    world_close(&w);
}

/* ----------------------------------------------------------------------------------- topics --- */

struct published {
    int count;
    enum log_type type;
    char line[64];
};

static void publish(void *context, enum log_type type, const char *line)
{
    struct published *p = context;
    p->count++;
    p->type = type;
    snprintf(p->line, sizeof p->line, "%s", line);
}

static void test_topic(void **state)
{
    struct world w;
    struct published p = { 0 };
    world_open(&w);
    w.options.destinations |= LOG_SINK_TOPIC;
    w.options.timestamp = true;
    w.options.publish = publish;
    w.options.context = &p;
    assert_int_equal(log_sink_configure(w.sink, &w.options), 0);
    log_line(w.log, LOG_TYPE_WARNING, "hear");
    assert_int_equal(p.count, 1);
    assert_int_equal(p.type, LOG_TYPE_WARNING);
    assert_string_equal(p.line, "hear"); /* without a time */
    world_close(&w);
}

/* ----------------------------------------------------------------------------------- thread --- */

static void test_thread_writes_in_order(void **state)
{
    enum { LINES = 500 };
    struct world w;
    world_open(&w);
    assert_int_equal(log_sink_start(w.sink), 0);
    for (int i = 0; i < LINES; i++)
        log_line(w.log, LOG_TYPE_NOTICE, "%d", i);
    log_sink_stop(w.sink); /* writes what waits */
    log_line(w.log, LOG_TYPE_NOTICE, "at once");
    char *text = read_file(w.path), *at = text;
    for (int i = 0; i < LINES; i++)
        assert_int_equal(strtol(at, &at, 10), i);
    assert_string_equal(at, "\nat once\n");
    free(text);

    assert_int_equal(log_sink_start(w.sink), 0); /* once more */
    log_line(w.log, LOG_TYPE_NOTICE, "again");
    world_close(&w); /* destroy stops it */
}

/* A destination that holds up the writer, until the test lets it go. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_entered, is_open;
};

static void wait_at_gate(void *context, enum log_type type, const char *line)
{
    struct gate *g = context;
    pthread_mutex_lock(&g->lock);
    g->is_entered = true;
    pthread_cond_broadcast(&g->changed);
    while (!g->is_open)
        pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

/* Who logs never waits: what does not fit is dropped, and its number is told. */
static void test_full_ring(void **state)
{
    enum { LINES = 5000, RING = 1024 };
    struct world w;
    struct gate g = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false };
    world_open(&w);
    w.options.destinations |= LOG_SINK_TOPIC;
    w.options.publish = wait_at_gate;
    w.options.context = &g;
    assert_int_equal(log_sink_configure(w.sink, &w.options), 0);
    assert_int_equal(log_sink_start(w.sink), 0);
    log_line(w.log, LOG_TYPE_NOTICE, "first");
    pthread_mutex_lock(&g.lock);
    while (!g.is_entered)
        pthread_cond_wait(&g.changed, &g.lock);
    pthread_mutex_unlock(&g.lock);

    for (int i = 0; i < LINES; i++)
        log_line(w.log, LOG_TYPE_NOTICE, "line");
    pthread_mutex_lock(&g.lock);
    g.is_open = true;
    pthread_cond_broadcast(&g.changed);
    pthread_mutex_unlock(&g.lock);
    log_sink_stop(w.sink);

    char *text = read_file(w.path), expected[80];
    int lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    assert_int_equal(lines, 1 + RING + 1);
    snprintf(expected, sizeof expected, "Warning: %d log lines were dropped", LINES - RING);
    assert_non_null(strstr(text, expected));
    free(text);
    world_close(&w);
}

static void test_no_memory(void **state)
{
    (void)memory_fail_at(1);
    assert_null(log_sink_create(&still));
    (void)memory_fail_at(0);
    log_sink_destroy(NULL);

    struct world w;
    world_open(&w);
    (void)memory_fail_at(1);
    assert_true(log_sink_start(w.sink) < 0);
    (void)memory_fail_at(0);
    log_line(w.log, LOG_TYPE_NOTICE, "at once"); /* still works as before */
    assert_file(w.path, "at once\n");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_longest_json_line),
        cmocka_unit_test(test_types_by_name),
        cmocka_unit_test(test_types_filter),
        cmocka_unit_test(test_reopen_after_rotation),
        cmocka_unit_test(test_configure_fails),
        cmocka_unit_test(test_file_is_appended_to),
        cmocka_unit_test(test_topic),
        cmocka_unit_test(test_thread_writes_in_order),
        cmocka_unit_test(test_full_ring),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
