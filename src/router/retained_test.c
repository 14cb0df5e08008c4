#include "base/memory.h"
#include "router/retained.h"
#include "router/test_random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SEED = 3, TOPICS = 500, CURSORS = 12, STEPS = 60000 };

#define NO_LIMITS ((struct retained_limits){ 0 })

static struct message *make_message(struct bytes topic, const char *payload, int64_t expires_ns)
{
    struct publish p = { .payload = bytes_of_string(payload), .retain = true };
    struct message *m = message_create(topic, &p, 0, expires_ns);
    assert_non_null(m);
    return m;
}

static int set(struct retained *r, const char *topic, const char *payload)
{
    struct message *m = make_message(bytes_of_string(topic), payload, MESSAGE_NEVER);
    int result = retained_set(r, m);
    message_unref(m);
    return result;
}

static struct retained *make_retained(struct retained_limits limits)
{
    struct retained *r = retained_create(SEED, limits);
    assert_non_null(r);
    return r;
}

/* How many messages match; one node at a time. */
static size_t count_matches(struct retained *r, const char *filter)
{
    struct retained_cursor *c = retained_open(r, bytes_of_string(filter));
    size_t count = 0;
    bool done = false;
    while (!done) {
        struct message *found[2];
        size_t n = retained_next(c, found, 2, 1, &done);
        for (size_t i = 0; i < n; i++) {
            assert_true(topic_filter_matches(bytes_of_string(filter), found[i]->topic));
            message_unref(found[i]);
        }
        count += n;
    }
    retained_close(c);
    return count;
}

static void last_message_of_each_topic(void **state)
{
    struct retained *r = make_retained(NO_LIMITS);
    assert_int_equal(set(r, "a/b", "1"), 0);
    assert_int_equal(set(r, "a", "22"), 0);
    assert_int_equal(set(r, "a/b", "333"), 0); /* replaces [MQTT-3.3.1-5] */
    assert_int_equal(retained_count(r), 2);
    assert_int_equal(retained_bytes(r), 1 + 2 + 3 + 3);

    struct message *m = retained_find(r, BYTES("a/b"));
    assert_true(bytes_equal(m->payload, BYTES("333")));
    message_unref(m);
    assert_null(retained_find(r, BYTES("a/c")));
    assert_null(retained_find(r, BYTES("a/b/c")));

    assert_int_equal(set(r, "a", ""), 0); /* clears [MQTT-3.3.1-6] */
    assert_int_equal(set(r, "x/y", ""), 0);
    retained_check(r);
    assert_null(retained_find(r, BYTES("a")));
    assert_int_equal(retained_count(r), 1);
    assert_int_equal(set(r, "a/b", ""), 0);
    assert_int_equal(retained_bytes(r), 0);
    retained_check(r);
    retained_destroy(r);
    retained_destroy(NULL);
}

static void walks_match_as_the_standard_says(void **state)
{
    static const char *const topics[] = { "a",  "a/b", "a/b/c", "a//c",     "/",
                                          "/a", "//",  "$SYS",  "$SYS/x/y", "$SYS/z",
                                          "b",  "b/",  "a/$x",  "ab/cd",    "a/b/d" };
    static const struct {
        const char *filter;
        size_t matches;
    } rows[] = {
        { "#", 12 },      { "+", 2 },         { "+/+", 6 },  { "a/#", 6 },    { "a/+/c", 2 },
        { "a/b", 1 },     { "a/b/#", 3 },     { "/", 1 },    { "/#", 3 },     { "//", 1 },
        { "+/+/+", 4 },   { "$SYS/#", 3 },    { "$SYS", 1 }, { "$SYS/+", 1 }, { "+/x/y", 0 },
        { "nothing", 0 }, { "a/b/c/d/#", 0 }, { "b/+", 1 },  { "b/#", 2 },    { "a/+", 2 },
    };
    struct retained *r = make_retained(NO_LIMITS);
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++)
        assert_int_equal(set(r, topics[i], "x"), 0);
    retained_check(r);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(count_matches(r, rows[i].filter), rows[i].matches);
    retained_destroy(r);
}

static void limits_hold(void **state)
{
    struct retained *r = make_retained((struct retained_limits){ .messages = 2, .bytes = 12 });
    assert_int_equal(set(r, "a", "123"), 0);
    assert_int_equal(set(r, "b", "123"), 0);
    assert_int_equal(set(r, "c", "1"), -ENOSPC);
    assert_null(retained_find(r, BYTES("c")));
    assert_int_equal(set(r, "b", "12345"), 0);   /* an update passes */
    assert_int_equal(set(r, "b", "1234567"), 0); /* exactly full */
    assert_int_equal(set(r, "b", "12345678"), -ENOSPC);
    assert_int_equal(set(r, "a", "321"), 0); /* no larger than before */
    assert_int_equal(retained_bytes(r), 12);
    assert_int_equal(set(r, "a", ""), 0);
    assert_int_equal(set(r, "c/d", "1"), 0);
    retained_check(r);
    retained_destroy(r);
}

static void survives_lack_of_memory(void **state)
{
    struct retained *r = NULL;
    for (uint64_t nth = 1; r == NULL; nth++) {
        assert_true(nth < 10);
        memory_fail_at(nth);
        r = retained_create(SEED, NO_LIMITS);
        memory_fail_at(0);
    }
    for (int i = 0; i < 200; i++) {
        char topic[32];
        snprintf(topic, sizeof(topic), "t/%d/x/%d", i / 3, i);
        struct message *m = make_message(bytes_of_string(topic), "p", MESSAGE_NEVER);
        int result = -ENOMEM;
        for (uint64_t nth = 1; result != 0; nth++) {
            assert_true(nth < 10);
            memory_fail_at(nth);
            result = retained_set(r, m);
            memory_fail_at(0);
            retained_check(r);
            assert_int_equal(retained_count(r), i + (result == 0));
        }
        message_unref(m);
    }
    memory_fail_at(1);
    assert_null(retained_open(r, BYTES("t/#")));
    memory_fail_at(0);
    retained_destroy(r);
}

static void sweep_removes_the_expired(void **state)
{
    struct retained *r = make_retained(NO_LIMITS);
    for (int i = 0; i < 300; i++) {
        char topic[32];
        snprintf(topic, sizeof(topic), "%s/%d", i % 7 == 0 ? "$x" : "a/b", i);
        struct message *m =
            make_message(bytes_of_string(topic), "p", i % 3 == 0 ? i : MESSAGE_NEVER);
        assert_int_equal(retained_set(r, m), 0);
        message_unref(m);
    }
    size_t removed = 0;
    for (int i = 0; i < 100; i++) { /* twice around in small steps */
        removed += retained_sweep(r, 150, 7);
        retained_check(r);
    }
    assert_int_equal(removed, 51); /* 0, 3 ... 150 */
    assert_int_equal(retained_count(r), 300 - 51);
    removed = retained_sweep(r, INT64_MAX - 1, 100000) + retained_sweep(r, INT64_MAX - 1, 100000);
    assert_int_equal(removed, 49);
    assert_int_equal(retained_sweep(r, 1, 0), 0);
    retained_check(r);
    retained_destroy(r);
}

/* ------------------------------------------------------------------------------------ model ----
 */

struct topic_model {
    struct test_topic name;
    bool set;
};

struct cursor_model {
    struct test_topic filter;
    struct retained_cursor *cursor; /* NULL: closed */
    struct {
        bool set_at_open, touched;
        unsigned seen;
    } topics[TOPICS];
};

struct model {
    struct retained *retained;
    struct topic_model topics[TOPICS];
    struct cursor_model cursors[CURSORS];
    size_t count;
    uint64_t random;
};

static uint32_t draw(struct model *w, uint32_t below)
{
    return next_random(&w->random) % below;
}

static void make_topics(struct model *w)
{
    for (size_t i = 0; i < TOPICS;) {
        w->topics[i].name = test_random_name(&w->random);
        bool is_new = true;
        for (size_t k = 0; k < i && is_new; k++)
            is_new = !bytes_equal(test_topic_bytes(&w->topics[k].name),
                                  test_topic_bytes(&w->topics[i].name));
        i += is_new;
    }
}

static size_t topic_index(const struct model *w, struct bytes name)
{
    size_t i = 0;
    while (!bytes_equal(test_topic_bytes(&w->topics[i].name), name))
        assert_true(++i < TOPICS);
    return i;
}

static void touch(struct model *w, size_t topic, bool to)
{
    struct topic_model *t = &w->topics[topic];
    struct message *m = make_message(test_topic_bytes(&t->name), to ? "x" : "", MESSAGE_NEVER);
    assert_int_equal(retained_set(w->retained, m), 0);
    message_unref(m);
    w->count = w->count + to - t->set;
    t->set = to;
    for (size_t i = 0; i < CURSORS; i++)
        w->cursors[i].topics[topic].touched = true;
}

static void open_cursor(struct model *w, struct cursor_model *c)
{
    memset(c, 0, sizeof(*c));
    c->filter = test_random_filter(&w->random);
    c->cursor = retained_open(w->retained, test_topic_bytes(&c->filter));
    assert_non_null(c->cursor);
    for (size_t i = 0; i < TOPICS; i++)
        c->topics[i].set_at_open = w->topics[i].set;
}

static void close_cursor(struct model *w, struct cursor_model *c)
{
    retained_close(c->cursor);
    c->cursor = NULL;
}

static void expect_all_seen(struct model *w, struct cursor_model *c)
{
    for (size_t i = 0; i < TOPICS; i++) {
        bool matches = topic_filter_matches(test_topic_bytes(&c->filter),
                                            test_topic_bytes(&w->topics[i].name));
        if (!c->topics[i].touched)
            assert_int_equal(c->topics[i].seen, matches && c->topics[i].set_at_open);
        else
            assert_true(matches || c->topics[i].seen == 0);
    }
}

static void step_cursor(struct model *w, struct cursor_model *c)
{
    struct message *found[8];
    bool done;
    size_t max = 1 + draw(w, 8), n = retained_next(c->cursor, found, max, 1 + draw(w, 10), &done);
    assert_true(n <= max);
    for (size_t i = 0; i < n; i++) {
        size_t topic = topic_index(w, found[i]->topic);
        assert_true(w->topics[topic].set);
        c->topics[topic].seen++;
        message_unref(found[i]);
    }
    if (done) {
        expect_all_seen(w, c);
        close_cursor(w, c);
    }
}

static void open_cursors_survive_any_change(void **state)
{
    static struct model w;
    w = (struct model){ .retained = make_retained(NO_LIMITS), .random = 11 };
    make_topics(&w);
    for (int step = 0; step < STEPS; step++) {
        bool flood = step / 4000 % 2 == 0;
        struct cursor_model *c = &w.cursors[draw(&w, CURSORS)];
        uint32_t what = draw(&w, 10);
        if (what < 4)
            touch(&w, draw(&w, TOPICS), draw(&w, 10) < (flood ? 8 : 2));
        else if (c->cursor == NULL)
            open_cursor(&w, c);
        else if (draw(&w, 200) == 0)
            close_cursor(&w, c);
        else
            step_cursor(&w, c);
        if (what == 9)
            assert_int_equal(retained_sweep(w.retained, 0, draw(&w, 20)), 0);
        assert_int_equal(retained_count(w.retained), w.count);
        if (step % 200 == 0)
            retained_check(w.retained);
    }
    for (size_t i = 0; i < TOPICS; i++) {
        struct message *m = retained_find(w.retained, test_topic_bytes(&w.topics[i].name));
        assert_int_equal(m != NULL, w.topics[i].set);
        message_unref(m);
        touch(&w, i, false);
    }
    for (size_t i = 0; i < CURSORS; i++)
        close_cursor(&w, &w.cursors[i]);
    retained_check(w.retained);
    retained_destroy(w.retained);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(last_message_of_each_topic),
        cmocka_unit_test(walks_match_as_the_standard_says),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(survives_lack_of_memory),
        cmocka_unit_test(sweep_removes_the_expired),
        cmocka_unit_test(open_cursors_survive_any_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
