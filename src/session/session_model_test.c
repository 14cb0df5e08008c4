/* session/session_model_test.c: random scripts, played to a session and to a naive model of it.
 *
 *     one step -> session -> what the sink noted  --.
 *              -> model   -> what it expected    ---- the same, in the same order?
 *
 * The model keeps two arrays, the queue and the window, and moves elements by hand.  Packet
 * Identifiers are the session's choice; the model only holds it to the rules.  Beyond comparing,
 * the test watches the promises that a Client relies on: expect_promises. */
#include "session/test_sink.h"

#include "mqtt/reason.h"

enum { ITEMS_MAX = 300, STEPS = 4000, SEEDS = 12, GROUPS = 3, IDS = 9, RECEIVED_MAX = 5 };

struct item {
    uint64_t number;
    unsigned qos;
    size_t size;
    int64_t expires_ns;
    uint64_t group;
    enum delivery_state state;
    uint16_t id;         /* 0: not known yet */
    bool is_unsent;      /* in the window, not yet sent in this connection */
    bool is_outstanding; /* its PUBLISH was sent in this connection */
};

struct items {
    struct item at[ITEMS_MAX];
    size_t count;
};

struct model {
    struct session_options options;
    struct items queue, window;
    bool is_attached, is_flooded;
    uint16_t window_max;
    uint32_t room;
    uint64_t large_every;
    int64_t now_ns;
    bool received[IDS + 1];
    struct test_event expected[TEST_EVENTS_MAX];
    size_t expected_count;
    uint64_t newest_sent[2]; /* of QoS 0, of the others: first sendings go upwards */
};

/* ----------------------------------------------------------------------------------- items ---- */

static struct item *append(struct items *all, const struct item *it)
{
    assert_true(all->count < ITEMS_MAX);
    all->at[all->count] = *it;
    return &all->at[all->count++];
}

static struct item take(struct items *all, size_t index)
{
    struct item it = all->at[index];
    assert_true(index < all->count);
    all->count--;
    memmove(all->at + index, all->at + index + 1, (all->count - index) * sizeof it);
    return it;
}

static size_t bytes_held(const struct items *all)
{
    size_t bytes = 0;
    for (size_t i = 0; i < all->count; i++)
        bytes += all->at[i].state == DELIVERY_AWAITS_PUBCOMP ? 0 : all->at[i].size;
    return bytes;
}

static size_t qos0_count(const struct items *all)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++)
        count += all->at[i].qos == 0;
    return count;
}

static size_t unsent_count(const struct items *all)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++)
        count += all->at[i].is_unsent;
    return count;
}

static struct item *find_number(struct items *all, uint64_t number)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->at[i].number == number)
            return &all->at[i];
    return NULL;
}

static size_t find_id(const struct items *all, uint16_t id) /* count: none */
{
    size_t i = 0;
    while (i < all->count && all->at[i].id != id)
        i++;
    return i;
}

/* -------------------------------------------------------------------- the model: sending ------ */

static void expect(struct model *m, struct test_event event)
{
    assert_true(m->expected_count < TEST_EVENTS_MAX);
    m->expected[m->expected_count++] = event;
}

static void expect_finished(struct model *m, const struct item *it)
{
    if (it->group != 0)
        expect(m, (struct test_event){ TEST_FINISHED, it->number });
}

static void expect_dropped(struct model *m, const struct item *it, enum drop cause)
{
    expect(m, (struct test_event){ TEST_DROPPED, it->number, .cause = cause });
}

static void model_drop(struct model *m, const struct item *it, enum drop cause)
{
    expect_finished(m, it);
    expect_dropped(m, it, cause);
}

static bool is_too_large(const struct model *m, const struct item *it)
{
    return m->large_every != 0 && it->number % m->large_every == 0;
}

static void expect_packet(struct model *m, struct test_event event)
{
    m->room -= m->room > 0 && m->room != TEST_NO_LIMIT;
    expect(m, event);
}

/* From the window. */
static void model_send(struct model *m, size_t index, bool again)
{
    struct item *it = &m->window.at[index];
    it->is_unsent = false;
    if (it->state == DELIVERY_AWAITS_PUBCOMP) {
        expect_packet(m, (struct test_event){ TEST_PUBREL, .id = it->id });
    } else if (is_too_large(m, it)) {
        expect_dropped(m, it, DROP_TOO_LARGE);
        expect_finished(m, it);
        take(&m->window, index);
    } else {
        expect_packet(m, (struct test_event){ again ? TEST_AGAIN : TEST_PUBLISH, it->number });
        it->is_outstanding = true;
    }
}

static void model_send_first(struct model *m, const struct item *it)
{
    if (it->qos > 0) {
        struct item *sent = append(&m->window, it);
        sent->state = it->qos == 1 ? DELIVERY_AWAITS_PUBACK : DELIVERY_AWAITS_PUBREC;
        model_send(m, m->window.count - 1, false);
        return;
    }
    if (is_too_large(m, it))
        expect_dropped(m, it, DROP_TOO_LARGE);
    else
        expect_packet(m, (struct test_event){ TEST_PUBLISH, it->number });
    expect_finished(m, it);
}

static bool model_has_room(const struct model *m, const struct item *it)
{
    size_t max = m->options.inflight_bytes_max, held = bytes_held(&m->window);
    if (it->qos == 0)
        return true;
    if (max > 0 && m->window.count > 0 && held + it->size > max)
        return false;
    return m->window.count - unsent_count(&m->window) < m->window_max;
}

static bool model_send_again(struct model *m)
{
    size_t i = 0, sent = m->window.count - unsent_count(&m->window);
    while (!m->window.at[i].is_unsent)
        i++;
    if (m->window.at[i].state != DELIVERY_AWAITS_PUBCOMP && sent >= m->window_max)
        return false;
    model_send(m, i, true);
    return true;
}

static bool model_send_queued(struct model *m)
{
    if (m->queue.at[0].expires_ns <= m->now_ns) {
        struct item it = take(&m->queue, 0);
        model_drop(m, &it, DROP_EXPIRED);
        return true;
    }
    if (!model_has_room(m, &m->queue.at[0]))
        return false;
    struct item it = take(&m->queue, 0);
    model_send_first(m, &it);
    return true;
}

static void model_pump(struct model *m)
{
    bool goes_on = true;
    while (goes_on && m->is_attached && m->room > 0) {
        if (unsent_count(&m->window) > 0)
            goes_on = model_send_again(m);
        else
            goes_on = m->queue.count > 0 && model_send_queued(m);
    }
}

/* ------------------------------------------------------------------- the model: queueing ------ */

static bool model_is_full(const struct model *m, size_t size)
{
    size_t count_max = m->options.queued_messages_max, bytes_max = m->options.queued_bytes_max;
    return (count_max > 0 && m->queue.count >= count_max) ||
           (bytes_max > 0 && bytes_held(&m->queue) + size > bytes_max);
}

static void model_drop_expired(struct model *m)
{
    while (m->queue.count > 0 && m->queue.at[0].expires_ns <= m->now_ns) {
        struct item it = take(&m->queue, 0);
        model_drop(m, &it, DROP_EXPIRED);
    }
}

static void model_enqueue(struct model *m, const struct item *it)
{
    size_t bytes_max = m->options.queued_bytes_max;
    bool fits = bytes_max == 0 || it->size <= bytes_max;
    bool is_promised = m->options.policy == SESSION_REFUSE_PUBLISHER && it->qos > 0;
    if (model_is_full(m, it->size))
        model_drop_expired(m);
    while (m->options.policy == SESSION_DROP_OLDEST && fits && model_is_full(m, it->size)) {
        struct item oldest = take(&m->queue, 0);
        model_drop(m, &oldest, DROP_QUEUE_FULL);
    }
    if (model_is_full(m, it->size) && !is_promised)
        model_drop(m, it, DROP_QUEUE_FULL);
    else
        append(&m->queue, it);
}

static void model_deliver_qos0(struct model *m, const struct item *it)
{
    if (m->is_attached && m->is_flooded) {
        model_drop(m, it, DROP_SLOW);
    } else if (m->is_attached && qos0_count(&m->queue) == 0) {
        model_send_first(m, it);
    } else if (m->is_attached || m->options.queue_qos0) {
        model_enqueue(m, it);
        model_pump(m);
    } else {
        model_drop(m, it, DROP_OFFLINE);
    }
}

static void model_deliver(struct model *m, const struct item *it)
{
    bool is_first = m->queue.count == 0 && unsent_count(&m->window) == 0;
    if (it->expires_ns <= m->now_ns) {
        model_drop(m, it, DROP_EXPIRED);
    } else if (it->qos == 0) {
        model_deliver_qos0(m, it);
    } else if (m->is_attached && is_first && m->room > 0 && model_has_room(m, it)) {
        model_send_first(m, it);
    } else {
        model_enqueue(m, it);
        model_pump(m);
    }
}

/* ---------------------------------------------------------------- the model: the Client ------- */

static void model_attach(struct model *m, uint16_t receive_max)
{
    m->is_attached = true;
    m->window_max = receive_max < m->options.inflight_max ? receive_max : m->options.inflight_max;
    for (size_t i = 0; i < m->window.count; i++) {
        m->window.at[i].is_unsent = true;
        m->window.at[i].is_outstanding = false;
    }
}

static void model_return(struct model *m)
{
    for (size_t i = 0; i < m->queue.count;) {
        if (m->queue.at[i].group == 0) {
            i++;
            continue;
        }
        struct item it = take(&m->queue, i);
        expect(m, (struct test_event){ TEST_RETURNED, it.number });
    }
}

static void model_adopt(struct model *m, uint64_t group)
{
    for (size_t i = 0; i < m->queue.count; i++)
        if (m->queue.at[i].group == group)
            m->queue.at[i].group = 0;
    for (size_t i = 0; i < m->window.count; i++)
        if (m->window.at[i].group == group)
            m->window.at[i].group = 0;
}

static void model_finish(struct model *m, size_t index, bool is_refused)
{
    struct item it = take(&m->window, index);
    if (is_refused)
        expect_dropped(m, &it, DROP_REFUSED);
    expect_finished(m, &it);
    model_pump(m);
}

static bool model_puback(struct model *m, uint16_t id, bool is_error)
{
    size_t i = find_id(&m->window, id);
    if (i == m->window.count || m->window.at[i].state != DELIVERY_AWAITS_PUBACK)
        return false;
    model_finish(m, i, is_error);
    return true;
}

static bool model_pubrec(struct model *m, uint16_t id, bool is_error)
{
    size_t i = find_id(&m->window, id);
    if (i == m->window.count || m->window.at[i].state == DELIVERY_AWAITS_PUBACK)
        return false;
    if (is_error && m->window.at[i].state == DELIVERY_AWAITS_PUBREC) {
        model_finish(m, i, true); /* [MQTT-4.3.3-4] */
        return true;
    }
    m->window.at[i].state = DELIVERY_AWAITS_PUBCOMP;
    expect_packet(m, (struct test_event){ TEST_PUBREL, .id = id });
    return true;
}

static bool model_pubcomp(struct model *m, uint16_t id)
{
    size_t i = find_id(&m->window, id);
    if (i == m->window.count || m->window.at[i].state != DELIVERY_AWAITS_PUBCOMP)
        return false;
    model_finish(m, i, false);
    return true;
}

/* ------------------------------------------------------------------------------- comparing ---- */

struct world {
    struct model model;
    struct test_sink sink;
    struct session *session;
    uint64_t random, number;
    const struct session_options *options;
    uint16_t receive_max_max;
};

static uint32_t below(struct world *w, uint32_t end)
{
    return test_random(&w->random) % end;
}

/* The session has chosen an identifier. */
static void learn_id(struct model *m, const struct test_event *e)
{
    struct item *it = find_number(&m->window, e->number);
    unsigned is_acknowledged = e->id != 0;
    assert_true(e->number > m->newest_sent[is_acknowledged]); /* [MQTT-4.6.0-5] */
    m->newest_sent[is_acknowledged] = e->number;
    if (e->id == 0)
        return;
    assert_non_null(it);
    assert_int_equal(it->id, 0);
    assert_int_equal(find_id(&m->window, e->id), m->window.count); /* [MQTT-2.2.1-4] */
    it->id = e->id;
}

static void expect_event(struct model *m, const struct test_event *e, const struct test_event *want)
{
    char got_text[64], want_text[64];
    test_event_format(e, got_text, sizeof got_text);
    struct test_event full = *want;
    if (want->kind == TEST_PUBLISH)
        full.id = e->id;
    else if (want->kind == TEST_AGAIN)
        full.id = find_number(&m->window, want->number)->id;
    test_event_format(&full, want_text, sizeof want_text);
    assert_string_equal(got_text, want_text);
    if (want->kind == TEST_PUBLISH)
        learn_id(m, e);
}

/* What the Client relies on, whatever the model thinks. */
static void expect_promises(const struct model *m)
{
    size_t outstanding = 0;
    for (size_t i = 0; i < m->window.count; i++)
        outstanding += m->window.at[i].is_outstanding;
    assert_true(!m->is_attached || outstanding <= m->window_max); /* [MQTT-3.3.4-9] */
}

static void expect_same(struct world *w)
{
    struct model *m = &w->model;
    for (size_t i = 0; i < w->sink.count && i < m->expected_count; i++)
        expect_event(m, &w->sink.events[i], &m->expected[i]);
    assert_int_equal(w->sink.count, m->expected_count);
    assert_int_equal(w->sink.room, m->room);
    w->sink.count = m->expected_count = 0;
    expect_promises(m);
    if (w->session == NULL)
        return;

    session_check(w->session);
    struct session_stats stats = session_stats(w->session);
    assert_int_equal(stats.queued_count, m->queue.count);
    assert_int_equal(stats.queued_bytes, bytes_held(&m->queue));
    assert_int_equal(stats.inflight_count, m->window.count);
    assert_int_equal(stats.inflight_bytes, bytes_held(&m->window));
    assert_int_equal(session_is_full(w->session, 10), model_is_full(m, 10));
    assert_int_equal(session_has_queued_qos0(w->session), qos0_count(&m->queue) > 0);
    assert_int_equal(session_is_attached(w->session), m->is_attached);
}

/* ----------------------------------------------------------------------------------- steps ---- */

static void step_deliver(struct world *w)
{
    struct item it = { .number = ++w->number, .qos = below(w, 3), .size = 1 + below(w, 100) };
    it.expires_ns = below(w, 4) == 0 ? w->model.now_ns + below(w, 60) : MESSAGE_NEVER;
    it.group = below(w, 4) == 0 ? 1 + below(w, GROUPS) : 0;
    if (w->model.options.policy == SESSION_REFUSE_PUBLISHER && below(w, 8) > 0 &&
        session_is_full(w->session, it.size))
        return; /* the publisher was refused; else, it was on its way already */

    struct delivery d = { .message = test_message(it.number, it.size, it.expires_ns) };
    d.qos = it.qos & 3u;
    d.group = it.group;
    d.ticket = it.group != 0 ? it.number : 0;
    session_deliver(w->session, &d, w->model.now_ns);
    model_deliver(&w->model, &it);
}

/* Mostly the acknowledgement that is due, sometimes any of any. */
static void step_acknowledge(struct world *w)
{
    struct model *m = &w->model;
    enum delivery_state state = (enum delivery_state)(1 + below(w, 3));
    uint16_t id = (uint16_t)below(w, 20);
    enum reason reason = below(w, 5) == 0 ? REASON_QUOTA_EXCEEDED : REASON_SUCCESS;
    if (!m->is_attached)
        return;
    if (m->window.count > 0 && below(w, 10) > 0) {
        uint32_t any = below(w, (uint32_t)m->window.count);
        const struct item *it = &m->window.at[below(w, 2) == 0 ? 0 : any];
        id = it->id;
        state = below(w, 10) > 0 ? it->state : state;
    }
    bool is_known, is_expected;
    switch (state) {
    case DELIVERY_AWAITS_PUBACK:
        is_known = session_on_puback(w->session, id, reason, m->now_ns);
        is_expected = model_puback(m, id, reason_is_error(reason));
        break;
    case DELIVERY_AWAITS_PUBREC:
        is_known = session_on_pubrec(w->session, id, reason, m->now_ns);
        is_expected = model_pubrec(m, id, reason_is_error(reason));
        break;
    default:
        is_known = session_on_pubcomp(w->session, id, m->now_ns);
        is_expected = model_pubcomp(m, id);
    }
    assert_int_equal(is_known, is_expected);
}

static void step_connection(struct world *w)
{
    if (w->model.is_attached) {
        session_detach(w->session);
        w->model.is_attached = false;
        model_return(&w->model);
        return;
    }
    uint16_t receive_max = (uint16_t)(1 + below(w, w->receive_max_max));
    session_attach(w->session, receive_max);
    model_attach(&w->model, receive_max);
    if (below(w, 8) == 0)
        return; /* CONNACK is not out yet */
    session_pump(w->session, w->model.now_ns);
    model_pump(&w->model);
}

static void step_congestion(struct world *w)
{
    w->model.room = w->sink.room = below(w, 3) == 0 ? below(w, 6) : TEST_NO_LIMIT;
    w->model.is_flooded = w->sink.is_flooded = below(w, 5) == 0;
    session_pump(w->session, w->model.now_ns);
    model_pump(&w->model);
}

static void step_receive(struct world *w)
{
    struct model *m = &w->model;
    uint16_t id = (uint16_t)(1 + below(w, IDS));
    size_t count = 0;
    for (size_t i = 1; i <= IDS; i++)
        count += m->received[i];
    assert_int_equal(session_stats(w->session).received_count, count);
    if (below(w, 2) == 0) {
        assert_int_equal(session_on_pubrel(w->session, id), m->received[id]);
        m->received[id] = false;
        return;
    }
    enum session_receipt expected = m->received[id]         ? RECEIPT_REPEAT
                                    : count == RECEIVED_MAX ? RECEIPT_OVER_MAX
                                                            : RECEIPT_NEW;
    assert_int_equal(session_on_publish_qos2(w->session, id, RECEIVED_MAX), expected);
    m->received[id] |= expected == RECEIPT_NEW;
}

static void step_seldom(struct world *w)
{
    switch (below(w, 5)) {
    case 0:
        session_drop_expired(w->session, w->model.now_ns);
        model_drop_expired(&w->model);
        break;
    case 1: { /* a reload: half of the limits, or what they were */
        struct session_options o = *w->options;
        if (below(w, 2) == 0) {
            o.queued_messages_max = o.queued_messages_max / 2 + 1;
            o.inflight_max = o.inflight_max / 2 + 1;
        }
        w->model.options = o; /* the session looks at the same */
        break;
    }
    case 2: {
        uint64_t group = 1 + below(w, GROUPS);
        session_adopt(w->session, group);
        model_adopt(&w->model, group);
        break;
    }
    case 3:
        w->sink.large_every = w->model.large_every = below(w, 2) == 0 ? 7 : 0;
        break;
    case 4:
        session_trim(w->session);
        break;
    }
}

static void step(struct world *w)
{
    uint32_t what = below(w, 100);
    w->model.now_ns += below(w, 3);
    if (what < 42)
        step_deliver(w);
    else if (what < 82)
        step_acknowledge(w);
    else if (what < 86)
        step_connection(w);
    else if (what < 90)
        step_congestion(w);
    else if (what < 97)
        step_receive(w);
    else
        step_seldom(w);
}

static void play(const struct session_options *options, uint16_t receive_max_max, uint64_t seed)
{
    static struct world w;
    w = (struct world){ .random = seed,
                        .sink = test_sink_make(),
                        .options = options,
                        .receive_max_max = receive_max_max,
                        .model = { .options = *options, .room = TEST_NO_LIMIT } };
    w.session = session_create(&w.model.options, &w.sink.sink);
    assert_non_null(w.session);
    for (int i = 0; i < STEPS; i++) {
        step(&w);
        expect_same(&w);
    }

    session_destroy(w.session);
    w.session = NULL;
    w.model.is_attached = false;
    model_return(&w.model);
    while (w.model.queue.count > 0) {
        struct item it = take(&w.model.queue, 0);
        model_drop(&w.model, &it, DROP_SESSION_ENDED);
    }
    expect_same(&w);
}

static void agrees_with_the_naive_model(void **state)
{
    static const struct {
        uint16_t receive_max_max;
        struct session_options options;
    } rows[] = {
        { 1, { 1, 0, 5, 0, SESSION_DROP_NEWEST, false } },
        { 8, { 20, 0, 30, 0, SESSION_DROP_NEWEST, true } },
        { 8, { 5, 0, 30, 0, SESSION_DROP_OLDEST, true } },
        { 8, { 20, 150, 30, 0, SESSION_DROP_NEWEST, false } }, /* max_inflight_bytes */
        { 8, { 20, 1, 0, 400, SESSION_DROP_OLDEST, true } },   /* one at a time */
        { 8, { 20, 0, 30, 80, SESSION_DROP_OLDEST, true } },   /* some fit into no queue */
        { 8, { 20, 0, 10, 500, SESSION_REFUSE_PUBLISHER, true } },
        { 4, { 3, 120, 10, 500, SESSION_REFUSE_PUBLISHER, false } },
        { 60, { 60, 0, 60, 0, SESSION_DROP_NEWEST, true } },
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++)
            play(&rows[row].options, rows[row].receive_max_max, seed * 1000 + row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_naive_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
