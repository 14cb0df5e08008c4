/* The rings of the outbox, and what a new connection does to them. */
#include "client/test_peer.h"

#include "client/outbox.h"

static struct outgoing *add(struct outbox *box, uint16_t id, uint8_t qos)
{
    struct outgoing *m = outbox_add(box, BYTES("t"), BYTES("payload"), BYTES("p"));
    assert_non_null(m);
    m->packet_id = id;
    m->qos = qos;
    return m;
}

static void a_message_is_copied_whole(void **state)
{
    struct outbox box;
    outbox_init(&box);
    struct outgoing *m = add(&box, 1, 1);
    assert_true(bytes_equal(m->topic, BYTES("t")));
    assert_true(bytes_equal(m->payload, BYTES("payload")));
    assert_true(bytes_equal(m->properties, BYTES("p")));
    assert_int_equal(box.count, 1);
    assert_int_equal(box.bytes, sizeof *m + 9);
    outbox_remove(&box, m);
    assert_int_equal(box.count, 0);
    assert_int_equal(box.bytes, 0);
    outbox_fini(&box);
}

/* Identifiers in a ring, as a number read digit by digit. */
static unsigned order_of(const struct list *ring)
{
    unsigned order = 0;
    for (struct list *at = ring->next; at != ring; at = at->next)
        order = order * 10 + container_of(at, struct outgoing, link)->packet_id;
    return order;
}

static void send_all(struct outbox *box)
{
    for (struct outgoing *m; (m = outbox_first_waiting(box)) != NULL;)
        outbox_mark_sent(box, m);
}

static const struct {
    bool session_present;
    unsigned waiting, inflight, dropped;
} rows[] = {
    { true, 1346, 25, 0 },  /* order is kept; what awaits PUBCOMP stays in flight */
    { false, 146, 0, 325 }, /* QoS 1 anew; QoS 2 told: 3 was only published, 2 and 5 received */
};

static void a_restart_sorts_by_what_was_promised(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct outbox box;
        outbox_init(&box);
        static const uint8_t qos[] = { 0, 1, 2, 2, 1, 2 };
        for (uint16_t id = 1; id <= 5; id++)
            add(&box, id, qos[id]);
        send_all(&box);
        assert_int_equal(box.inflight_count, 5);
        outbox_find(&box, 2)->awaits = AWAITS_PUBCOMP;
        outbox_find(&box, 5)->awaits = AWAITS_PUBCOMP;
        add(&box, 6, 2); /* never sent */

        outbox_restart(&box, rows[i].session_present);
        assert_int_equal(order_of(&box.waiting), rows[i].waiting);
        assert_int_equal(order_of(&box.inflight), rows[i].inflight);
        assert_int_equal(order_of(&box.dropped), rows[i].dropped);
        assert_int_equal(box.inflight_count, rows[i].inflight == 0 ? 0 : 2);
        assert_int_equal(outbox_first_waiting(&box)->was_sent, rows[i].session_present);
        if (rows[i].dropped != 0)
            assert_int_equal(outbox_first_dropped(&box)->error, -ESTALE);
        assert_null(outbox_find(&box, 6)); /* not in flight */
        outbox_fini(&box);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_copied_whole),
        cmocka_unit_test(a_restart_sorts_by_what_was_promised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
