#include "session/inflight.h"
#include "session/test_sink.h"

enum { STEPS = 40000, MODEL_MAX = 600, ALL_IDS = 65535 };

/* The naive window: who is in flight, the oldest first. */
struct model {
    struct {
        uint64_t number;
        uint16_t id;
        bool has_message;
    } rows[MODEL_MAX];
    size_t count;
};

static void expect_same(const struct inflight *w, const struct model *m)
{
    const struct delivery *d = NULL;
    size_t held = 0;
    inflight_check(w);
    assert_int_equal(inflight_count(w), m->count);
    for (size_t i = 0; i < m->count; i++) {
        d = inflight_next(w, d);
        assert_non_null(d);
        assert_int_equal(d->packet_id, m->rows[i].id);
        assert_ptr_equal(inflight_find(w, m->rows[i].id), d);
        assert_int_equal(d->message != NULL, m->rows[i].has_message);
        if (m->rows[i].has_message)
            assert_int_equal(test_number(d), m->rows[i].number);
        held += m->rows[i].has_message;
    }
    assert_null(inflight_next(w, d));
    assert_int_equal(inflight_bytes(w), 10 * held);
}

static void model_add(struct model *m, struct inflight *w, uint64_t number, unsigned qos)
{
    struct delivery d = test_delivery(number, qos, 0), *stored = inflight_add(w, &d);
    assert_non_null(stored);
    assert_int_equal(stored->state, qos == 1 ? DELIVERY_AWAITS_PUBACK : DELIVERY_AWAITS_PUBREC);
    assert_true(stored->packet_id != 0); /* [MQTT-2.2.1-3] */
    for (size_t i = 0; i < m->count; i++)
        assert_int_not_equal(m->rows[i].id, stored->packet_id); /* [MQTT-2.2.1-4] */
    m->rows[m->count].number = number;
    m->rows[m->count].id = stored->packet_id;
    m->rows[m->count++].has_message = true;
}

/* With an identifier of the caller's choice, if it is free. */
static void model_add_as(struct model *m, struct inflight *w, uint64_t number, uint16_t id)
{
    struct delivery d = test_delivery(number, 1, 0), *stored = inflight_add_as(w, &d, id);
    bool is_used = false;
    for (size_t i = 0; i < m->count; i++)
        is_used |= m->rows[i].id == id;
    assert_int_equal(stored == NULL, is_used);
    if (is_used) {
        delivery_fini(&d);
        return;
    }
    assert_int_equal(stored->packet_id, id);
    m->rows[m->count].number = number;
    m->rows[m->count].id = id;
    m->rows[m->count++].has_message = true;
}

static void model_remove(struct model *m, struct inflight *w, size_t at)
{
    inflight_remove(w, inflight_find(w, m->rows[at].id));
    assert_null(inflight_find(w, m->rows[at].id));
    m->count--;
    memmove(m->rows + at, m->rows + at + 1, (m->count - at) * sizeof m->rows[0]);
}

static void agrees_with_an_array(void **state)
{
    static struct model m;
    struct inflight w;
    uint64_t random = 5, number = 0;
    inflight_init(&w);
    m.count = 0;
    for (int step = 0; step < STEPS; step++) {
        uint32_t what = test_random(&random) % 100, adds = step / 1500 % 2 == 0 ? 60 : 30;
        /* Mostly the oldest is acknowledged, sometimes any. */
        size_t at = m.count == 0 || what % 3 != 0 ? 0 : test_random(&random) % m.count;
        if (what < adds && what % 5 == 0 && m.count < MODEL_MAX) {
            number++;
            model_add_as(&m, &w, number, (uint16_t)(number % 997 + 1));
        } else if (what < adds && m.count < MODEL_MAX) {
            model_add(&m, &w, ++number, 1 + what % 2);
        } else if (m.count == 0) {
            inflight_trim(&w);
        } else if (what < 90) {
            model_remove(&m, &w, at);
        } else if (m.rows[at].has_message) {
            struct delivery *d = inflight_find(&w, m.rows[at].id);
            inflight_drop_message(&w, d);
            d->state = DELIVERY_AWAITS_PUBCOMP;
            m.rows[at].has_message = false;
        }
        if (step % 20 == 0)
            expect_same(&w, &m);
    }
    expect_same(&w, &m);
    inflight_fini(&w);
}

static void finds_only_what_is_there(void **state)
{
    struct inflight w;
    inflight_init(&w);
    assert_null(inflight_find(&w, 1)); /* no slots yet */
    struct delivery d = test_delivery(1, 1, 0);
    assert_int_equal(inflight_add(&w, &d)->packet_id, 1);
    static const struct {
        uint16_t id;
        bool is_found;
    } rows[] = { { 1, true }, { 0, false }, { 2, false }, { 9, false }, { 65529, false } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) /* 9 and 65529: the same slot */
        assert_int_equal(inflight_find(&w, rows[i].id) != NULL, rows[i].is_found);
    inflight_fini(&w);
}

/* A Client that never acknowledges one of its messages, for three rounds of all identifiers. */
static void identifiers_wrap_around_one_that_is_stuck(void **state)
{
    struct inflight w;
    struct message *m = test_message(1, 10, MESSAGE_NEVER);
    inflight_init(&w);
    for (uint16_t i = 1; i <= 4; i++) { /* 1 to 4 in flight, 3 stays */
        struct delivery d = { .message = message_ref(m), .qos = 1 };
        assert_int_equal(inflight_add(&w, &d)->packet_id, i);
    }
    for (uint16_t i = 1; i <= 4; i++)
        if (i != 3)
            inflight_remove(&w, inflight_find(&w, i));

    uint32_t last = 4, wraps = 0;
    for (uint32_t step = 0; step < 3 * ALL_IDS; step++) {
        struct delivery d = { .message = message_ref(m), .qos = 1 };
        uint16_t id = inflight_add(&w, &d)->packet_id;
        assert_true(id != 0 && id != 3);
        assert_true(id > last || (last >= ALL_IDS - 1 && id <= 2)); /* upwards, or around */
        assert_true(id < last || id - last <= 2); /* passes over one slot at most */
        wraps += id < last;
        last = id;
        if (step % 1000 == 0)
            inflight_check(&w);
        assert_non_null(inflight_find(&w, 3));
        inflight_remove(&w, inflight_find(&w, id));
    }
    assert_int_equal(wraps, 3);
    assert_int_equal(w.ring->capacity, 8); /* one stuck message costs no memory */
    inflight_fini(&w);
    message_unref(m);
}

static void all_identifiers_are_in_use(void **state)
{
    static bool seen[ALL_IDS + 1];
    struct inflight w;
    struct message *m = test_message(1, 10, MESSAGE_NEVER);
    memset(seen, 0, sizeof seen);
    inflight_init(&w);
    for (uint32_t i = 0; i < 5; i++) { /* start somewhere */
        struct delivery d = { .message = message_ref(m), .qos = 2 };
        inflight_remove(&w, inflight_add(&w, &d));
    }
    for (uint32_t i = 0; i < ALL_IDS; i++) {
        struct delivery d = { .message = message_ref(m), .qos = 2 };
        const struct delivery *stored = inflight_add(&w, &d);
        assert_non_null(stored);
        assert_true(stored->packet_id != 0 && !seen[stored->packet_id]);
        seen[stored->packet_id] = true;
    }
    inflight_check(&w);

    struct delivery late = test_delivery(2, 1, 0);
    assert_null(inflight_add(&w, &late)); /* and it is still ours */
    inflight_remove(&w, inflight_find(&w, 777));
    assert_int_equal(inflight_add(&w, &late)->packet_id, 777); /* the only free one */
    inflight_check(&w);
    inflight_trim(&w); /* gives nothing back that is in use */
    assert_int_equal(inflight_count(&w), ALL_IDS);
    inflight_fini(&w);
    assert_int_equal(m->block.refs, 1);
    message_unref(m);
}

static void identifiers_of_two_ranges(void **state)
{
    enum { FLOOR = 32767, ABOVE = ALL_IDS - FLOOR };
    struct inflight w;
    struct message *m = test_message(1, 10, MESSAGE_NEVER);
    inflight_init(&w);
    for (uint32_t i = 0; i < ABOVE; i++) {
        struct delivery d = { .message = message_ref(m), .qos = 1 };
        assert_int_equal(inflight_add_above(&w, &d, FLOOR)->packet_id, FLOOR + 1 + i);
    }
    struct delivery late = { .message = message_ref(m), .qos = 1 };
    assert_null(inflight_add_above(&w, &late, FLOOR)); /* and it is still ours */
    for (uint16_t id = 1; id <= FLOOR; id++) {
        struct delivery d = { .message = message_ref(m), .qos = 1 };
        assert_int_equal(inflight_add_as(&w, &d, id)->packet_id, id);
    }
    assert_null(inflight_add_as(&w, &late, 5));
    inflight_check(&w);
    inflight_remove(&w, inflight_find(&w, 40000));
    assert_int_equal(inflight_add_above(&w, &late, FLOOR)->packet_id, 40000);
    inflight_fini(&w);

    struct delivery released = { .qos = 2, .seq = 3 };
    assert_int_equal(inflight_add_as(&w, &released, 4)->state, DELIVERY_AWAITS_PUBCOMP);
    inflight_check(&w);
    inflight_fini(&w);
    message_unref(m);
}

static void adding_without_memory_changes_nothing(void **state)
{
    static struct model m;
    struct inflight w;
    inflight_init(&w);
    m.count = 0;
    for (uint64_t number = 1; number <= 200; number++) {
        struct delivery d = test_delivery(number, 1, 0);
        memory_fail_at(1);
        const struct delivery *stored = inflight_add(&w, &d);
        bool asked = memory_fail_at(0) > 0;
        assert_int_equal(stored == NULL, asked);
        if (stored == NULL) {
            expect_same(&w, &m);
            stored = inflight_add(&w, &d);
        }
        m.rows[m.count].number = number;
        m.rows[m.count].id = stored->packet_id;
        m.rows[m.count++].has_message = true;
        expect_same(&w, &m);
        if (number % 3 == 0)
            model_remove(&m, &w, number % m.count);
    }
    inflight_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_an_array),
        cmocka_unit_test(finds_only_what_is_there),
        cmocka_unit_test(identifiers_wrap_around_one_that_is_stuck),
        cmocka_unit_test(all_identifiers_are_in_use),
        cmocka_unit_test(identifiers_of_two_ranges),
        cmocka_unit_test(adding_without_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
