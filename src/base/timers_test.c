#include "base/memory.h"
#include "base/timers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS     INT64_C(1000000)
#define SECOND (1000 * MS)
#define HOUR   (3600 * SECOND)
#define YEAR   (365 * 24 * HOUR)

enum { TIMERS = 400 };

/* The model: what was set, when, and when it must have fired at the latest. */
struct model {
    struct timer timer;
    bool set;
    bool overdue; /* was so already when it was set */
    int64_t latest_ns;
};

struct world {
    struct timers *timers;
    struct model models[TIMERS];
    int64_t now_ns;
    int64_t newest_fired_ns; /* among those that have fired at now_ns */
    uint64_t random;
};

static uint64_t next_random(struct world *w)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return w->random >> 20;
}

/* Any order of magnitude is as likely as any other. */
static int64_t random_span(struct world *w, int64_t max_ns)
{
    unsigned shift = (unsigned)(next_random(w) % 50);
    return (int64_t)(next_random(w) % (((uint64_t)max_ns >> shift) + 1));
}

static void world_init(struct world *w, uint64_t seed, int64_t now_ns)
{
    *w = (struct world){ .now_ns = now_ns, .random = seed };
    w->timers = timers_create(now_ns);
    assert_non_null(w->timers);
    for (uint32_t i = 0; i < TIMERS; i++)
        timer_init(&w->models[i].timer, i % TIMER_KINDS_MAX);
}

static void set(struct world *w, struct model *m, int64_t deadline_ns)
{
    timers_set(w->timers, &m->timer, deadline_ns);
    assert_true(timer_is_set(&m->timer));
    m->set = true;
    m->overdue = deadline_ns < w->now_ns;
    bool near = deadline_ns < w->now_ns + SECOND;
    int64_t from_ns = m->overdue ? w->now_ns : deadline_ns;
    int64_t late_ns = near ? 4 * MS : SECOND;
    m->latest_ns = from_ns > INT64_MAX - late_ns ? INT64_MAX : from_ns + late_ns;
}

static void expect_model(const struct world *w, bool drained)
{
    int64_t latest_ns = INT64_MAX;
    bool any = false;
    for (size_t i = 0; i < TIMERS; i++) {
        const struct model *m = &w->models[i];
        assert_true(timer_is_set(&m->timer) == m->set);
        if (!m->set)
            continue;
        any = true;
        if (drained)
            assert_true(m->latest_ns > w->now_ns); /* else it should have fired */
        if (m->latest_ns < latest_ns)
            latest_ns = m->latest_ns;
    }
    int64_t next_ns = timers_next_ns(w->timers);
    assert_true(next_ns <= latest_ns || next_ns <= w->now_ns);
    if (!any)
        assert_true(next_ns == INT64_MAX);
    if (drained)
        assert_true(next_ns > w->now_ns); /* no busy loop */
}

/* One timer fires.  False: no more are due. */
static bool fire(struct world *w)
{
    struct timer *timer = timers_expire(w->timers, w->now_ns);
    if (timer == NULL)
        return false;
    struct model *m = container_of(timer, struct model, timer);
    assert_true(m >= w->models && m < w->models + TIMERS);
    assert_int_equal(timer_kind(timer), (m - w->models) % TIMER_KINDS_MAX);
    assert_true(m->set);
    assert_false(timer_is_set(timer));
    assert_true(timer_deadline_ns(timer) <= w->now_ns); /* never early */
    if (!m->overdue) {                                  /* in order, as exactly as a slot is wide */
        assert_true(timer_deadline_ns(timer) > w->newest_fired_ns - SECOND);
        if (timer_deadline_ns(timer) > w->newest_fired_ns)
            w->newest_fired_ns = timer_deadline_ns(timer);
    }
    m->set = false;
    return true;
}

static void set_or_cancel(struct world *w, int64_t ahead_max_ns)
{
    struct model *m = &w->models[next_random(w) % TIMERS];
    switch (next_random(w) % 10) {
    case 0:
    case 1:
        timers_cancel(w->timers, &m->timer);
        m->set = false;
        break;
    case 2:
        set(w, m, w->now_ns - random_span(w, 10 * SECOND));
        break;
    case 3:
        set(w, m, next_random(w) % 20 == 0 ? INT64_MAX : w->now_ns);
        break;
    default:
        set(w, m, w->now_ns + random_span(w, ahead_max_ns));
    }
}

/* Sometimes an owner stops half-way, and changes timers between two that fire. */
static void drain(struct world *w, int64_t ahead_max_ns)
{
    bool changes = next_random(w) % 2 == 0;
    while (fire(w)) {
        if (changes)
            set_or_cancel(w, ahead_max_ns);
        if (changes && next_random(w) % 50 == 0) {
            expect_model(w, false);
            return;
        }
    }
    expect_model(w, true);
}

static void agrees_with_model(void **state)
{
    static const struct {
        int64_t start_ns, step_max_ns, ahead_max_ns;
        int steps;
    } rows[] = {
        { 0, 4 * MS, 3 * SECOND, 20000 },
        { 12345678, 100 * MS, 100 * SECOND, 20000 },
        { 999999999, 2 * SECOND, 3000 * SECOND, 20000 },
        { 5 * HOUR, 10 * SECOND, 100 * SECOND, 20000 },
        { 5 * HOUR + 1, 3000 * SECOND, 5000 * SECOND, 20000 },
        { 1, 24 * HOUR, 100 * HOUR, 5000 },
        { YEAR, YEAR / 100, YEAR, 5000 },
        { -10 * SECOND, 50 * MS, 20 * SECOND, 5000 },
        { -3 * HOUR, 2000 * SECOND, HOUR, 5000 },
    };
    static struct world w;
    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        world_init(&w, row + 1, rows[row].start_ns);
        for (int step = 0; step < rows[row].steps; step++) {
            for (uint64_t n = next_random(&w) % 8; n > 0; n--)
                set_or_cancel(&w, rows[row].ahead_max_ns);
            int64_t span = random_span(&w, rows[row].step_max_ns);
            if (next_random(&w) % 4 == 0 && timers_next_ns(w.timers) < w.now_ns + span)
                span = timers_next_ns(w.timers) - w.now_ns; /* as a loop would sleep */
            w.now_ns += span > 0 ? span : 0;
            w.newest_fired_ns = INT64_MIN + SECOND;
            drain(&w, rows[row].ahead_max_ns);
        }
        timers_destroy(w.timers);
    }
}

/* Set at 0, when does it fire in a loop that sleeps exactly as long as it is told? */
static void fires_when_promised(void **state)
{
    static const struct {
        int64_t deadline_ns, fires_ns;
    } rows[] = {
        { -5 * SECOND, 4 * MS },
        { 0, 4 * MS },
        { 1, 4 * MS },
        { 4 * MS, 4 * MS },
        { 4 * MS + 1, 8 * MS },
        { SECOND - 1, SECOND },
        { SECOND, SECOND },
        { 1500 * MS, 2 * SECOND },
        { 60 * SECOND, 60 * SECOND },
        { 1023 * SECOND, 1023 * SECOND },
        { 1024 * SECOND, 1024 * SECOND },
        { 1025 * SECOND, 1025 * SECOND },
        { 5000 * SECOND + 1, 5001 * SECOND },
        { 10 * YEAR, 10 * YEAR },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct timers *t = timers_create(0);
        struct timer timer;
        timer_init(&timer, 7);
        timers_set(t, &timer, rows[i].deadline_ns);
        int64_t now_ns;
        do {
            now_ns = timers_next_ns(t);
            assert_true(now_ns != INT64_MAX);
        } while (timers_expire(t, now_ns) == NULL);
        assert_int_equal(now_ns, rows[i].fires_ns);
        assert_int_equal(timers_next_ns(t), INT64_MAX);
        timers_destroy(t);
    }
}

/* Thousands of timers hours away: one wake-up per round of the wheel, not one per second. */
static void far_timers_let_us_sleep(void **state)
{
    enum { FAR = 5000 };
    static struct timer far[FAR];
    struct timers *t = timers_create(0);
    for (int i = 0; i < FAR; i++) {
        timer_init(&far[i], 0);
        timers_set(t, &far[i], 3 * HOUR + i * SECOND);
    }
    int wakes = 0;
    struct timer *first;
    do {
        wakes++;
        first = timers_expire(t, timers_next_ns(t));
    } while (first == NULL);
    assert_ptr_equal(first, &far[0]);
    assert_in_range(wakes, 1, 3 * 3600 / 1022 + 2);
    timers_destroy(t);
}

/* Due in different rounds, and fired in one go after a long sleep: in exact order. */
static void long_sleep_keeps_order(void **state)
{
    enum { COUNT = 3000 };
    static struct timer timers[COUNT];
    struct timers *t = timers_create(0);
    for (uint32_t i = 0; i < COUNT; i++) {
        timer_init(&timers[i], i % TIMER_KINDS_MAX);
        uint32_t shuffled = i * 1009 % COUNT;
        timers_set(t, &timers[i], (int64_t)shuffled * 7 * SECOND);
    }
    int64_t before_ns = -1;
    for (int i = 0; i < COUNT; i++) {
        struct timer *timer = timers_expire(t, 100 * YEAR);
        assert_non_null(timer);
        assert_true(timer_deadline_ns(timer) > before_ns);
        before_ns = timer_deadline_ns(timer);
    }
    assert_null(timers_expire(t, 100 * YEAR));
    timers_destroy(t);
}

/* A sleep of one round, nearly: the slot that is scanned first has a timer of the next round that
 * is due as well, and must wait for the one between. */
static void sleep_of_a_round_keeps_order(void **state)
{
    static const int64_t deadlines[] = { 500 * SECOND, 1024 * SECOND + 500 * MS };
    struct timers *t = timers_create(0);
    struct timer timers[2];
    for (uint32_t i = 0; i < 2; i++) {
        timer_init(&timers[i], i);
        timers_set(t, &timers[i], deadlines[i]);
    }
    assert_ptr_equal(timers_expire(t, 1024 * SECOND + 700 * MS), &timers[0]);
    assert_ptr_equal(timers_expire(t, 1025 * SECOND), &timers[1]);
    timers_destroy(t);
}

/* Cancelling leaves no alarm behind, whether other timers are set or not. */
static void cancelled_is_forgotten(void **state)
{
    static const int64_t deadlines[] = { -1, 0, 100 * MS, 10 * SECOND, 2000 * SECOND };
    struct timers *t = timers_create(0);
    struct timer timer, other;
    timer_init(&timer, 0);
    timer_init(&other, 1);
    timers_cancel(t, &timer); /* fine */
    for (size_t i = 0; i < 2 * sizeof(deadlines) / sizeof(deadlines[0]); i++) {
        int64_t next_ns = i % 2 == 0 ? INT64_MAX : 900 * SECOND;
        timers_set(t, &timer, deadlines[i / 2]);
        timers_cancel(t, &timer);
        assert_false(timer_is_set(&timer));
        assert_int_equal(timers_next_ns(t), next_ns);
        if (i % 2 == 0)
            timers_set(t, &other, 900 * SECOND);
        else
            timers_cancel(t, &other);
    }
    assert_int_equal(timers_next_ns(t), INT64_MAX);
    assert_null(timers_expire(t, HOUR));
    timers_destroy(t);
    timers_destroy(NULL);

    memory_fail_at(1);
    assert_null(timers_create(0));
    memory_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_model),
        cmocka_unit_test(fires_when_promised),
        cmocka_unit_test(far_timers_let_us_sleep),
        cmocka_unit_test(long_sleep_keeps_order),
        cmocka_unit_test(sleep_of_a_round_keeps_order),
        cmocka_unit_test(cancelled_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
