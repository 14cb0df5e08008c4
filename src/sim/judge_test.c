#include "sim/groups.h"
#include "sim/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECOND_NS INT64_C(1000000000)

enum { ALICE, BOB, CAROL, T_A = 3, S_A = 8, W_A = 10 };

/* A broker that exists on paper only: the tests say what it takes and sends. */
struct scene {
    struct arena arena;
    struct world world;
    struct trace trace;
    struct config *config;
    struct model model;
    uint16_t next_id;
    uint32_t connections;
};

static void scene_open(struct scene *s, const char *options)
{
    struct config_error error;
    char text[200] = "listener 1883\nallow_anonymous true\n";
    *s = (struct scene){ .next_id = 1 };
    strncat(text, options, sizeof text - strlen(text) - 1);
    arena_init(&s->arena);
    world_init(&s->world, 1);
    trace_init(&s->trace, s->world.now_ns, false);
    assert_int_equal(
        config_parse(&s->world.env, bytes_of_string(text), "test", NULL, NULL, &s->config, &error),
        0);
    model_init(&s->model, &s->arena, &s->world, &s->trace, s->config);
}

/* failure: part of what must have been found; NULL: nothing. */
static void scene_close(struct scene *s, const char *failure)
{
    if (failure == NULL)
        assert_string_equal(s->trace.failure, "");
    else if (strstr(s->trace.failure, failure) == NULL)
        fail_msg("\"%s\" instead of \"%s\"", s->trace.failure, failure);
    model_fini(&s->model);
    config_destroy(s->config);
    arena_fini(&s->arena);
}

/* ------------------------------------------------------------------------- what clients do ---- */

static struct sent *new_sent(struct scene *s, struct conn *c, enum packet_type type, uint16_t id)
{
    struct sent *sent = story_alloc(&s->arena, sizeof *sent);
    sent->type = type;
    sent->packet_id = id;
    list_init(&sent->link);
    list_push_back(&c->sent, &sent->link);
    return sent;
}

/* The broker takes the packet that was sent last. */
static void take(struct scene *s, struct conn *c, enum packet_type type, uint16_t id)
{
    struct packet p = { .type = type };
    if (type == PACKET_PUBLISH)
        p.publish.packet_id = id;
    else if (type == PACKET_SUBSCRIBE || type == PACKET_UNSUBSCRIBE)
        p.subscribe.packet_id = id;
    else if (type != PACKET_CONNECT && type != PACKET_DISCONNECT)
        p.ack.packet_id = id;
    model_on_taken(&s->model, c, &p);
}

static struct conn *join_as(struct scene *s, uint8_t actor, struct greeting greeting)
{
    struct conn *c = story_alloc(&s->arena, sizeof *c);
    c->number = ++s->connections;
    c->actor_index = actor;
    c->greeting = greeting;
    c->broker_receive_max = 20;
    c->broker_alias_max = 10;
    c->opened_ns = c->taken_ns = c->read_ns = s->world.now_ns;
    c->left_ns = INT64_MAX;
    memset(c->aliases_in, -1, sizeof c->aliases_in);
    list_init(&c->sent);
    list_init(&c->due);
    new_sent(s, c, PACKET_CONNECT, 0);
    take(s, c, PACKET_CONNECT, 0);
    struct packet p = { .type = PACKET_CONNACK };
    p.connack.session_present = s->model.by_actor[actor] != NULL && !greeting.clean_start;
    model_on_connack(&s->model, c, &p.connack);
    judge_received(&s->model, c, &p, 5);
    c->has_connack = true;
    return c;
}

static struct conn *join(struct scene *s, uint8_t actor)
{
    return join_as(
        s, actor,
        (struct greeting){ .version = VERSION_5_0, .expiry_s = 100, .receive_max = UINT16_MAX });
}

static void part(struct scene *s, struct conn *c)
{
    s->world.now_ns += SECOND_NS;
    model_on_closed(&s->model, c, true);
}

static unsigned filter_named(const char *text)
{
    unsigned f = 0;
    while (strcmp(story_filters[f].text, text) != 0)
        f++;
    return f;
}

static void subscribe(struct scene *s, struct conn *c, const char *filter, uint8_t options)
{
    uint16_t id = s->next_id++;
    struct sent *sent = new_sent(s, c, PACKET_SUBSCRIBE, id);
    sent->filter_count = 1;
    sent->filters[0] = (uint8_t)filter_named(filter);
    sent->options[0] = options;
    take(s, c, PACKET_SUBSCRIBE, id);
    uint8_t code = options & SUBSCRIBE_QOS;
    struct packet p = { .type = PACKET_SUBACK,
                        .suback = { .packet_id = id, .reasons = { &code, 1 } } };
    judge_received(&s->model, c, &p, 6);
}

static void unsubscribe(struct scene *s, struct conn *c, const char *filter)
{
    uint16_t id = s->next_id++;
    struct sent *sent = new_sent(s, c, PACKET_UNSUBSCRIBE, id);
    sent->filter_count = 1;
    sent->filters[0] = (uint8_t)filter_named(filter);
    take(s, c, PACKET_UNSUBSCRIBE, id);
    uint8_t code = REASON_SUCCESS;
    struct packet p = { .type = PACKET_UNSUBACK,
                        .suback = { .packet_id = id, .reasons = { &code, 1 } } };
    judge_received(&s->model, c, &p, 6);
}

static struct sim_message *message(struct scene *s, const struct conn *c, unsigned topic,
                                   uint8_t qos)
{
    struct sim_message *m = model_new_message(&s->model);
    m->publisher = c->actor_index;
    m->topic = (uint8_t)topic;
    m->qos = qos;
    m->payload = story_payload(&s->arena, m, 0);
    return m;
}

static void publish_message(struct scene *s, struct conn *c, struct sim_message *m)
{
    uint16_t id = m->qos == 0 ? 0 : s->next_id++;
    new_sent(s, c, PACKET_PUBLISH, id)->message = m;
    take(s, c, PACKET_PUBLISH, id);
}

static struct sim_message *publish(struct scene *s, struct conn *c, unsigned topic, uint8_t qos)
{
    struct sim_message *m = message(s, c, topic, qos);
    publish_message(s, c, m);
    return m;
}

static void ack(struct scene *s, struct conn *c, enum packet_type type, uint16_t id)
{
    new_sent(s, c, type, id);
    if (type != PACKET_PUBREC)
        judge_on_finished(c, id);
    take(s, c, type, id);
}

/* ---------------------------------------------------------------------- what the broker sends - */

enum { DUP = 1, RETAIN = 2 };

static void get(struct scene *s, struct conn *c, const struct sim_message *m, uint8_t qos,
                uint16_t id, int flags)
{
    struct packet p = { .type = PACKET_PUBLISH };
    p.publish = (struct publish){ .dup = (flags & DUP) != 0,
                                  .retain = (flags & RETAIN) != 0,
                                  .qos = qos,
                                  .packet_id = id,
                                  .topic = bytes_of_string(story_topics[m->topic].name),
                                  .payload = m->payload };
    judge_received(&s->model, c, &p, 100);
}

static void get_answer(struct scene *s, struct conn *c, enum packet_type type, uint16_t id,
                       enum reason reason)
{
    struct packet p = { .type = type, .ack = { .packet_id = id, .reason = reason } };
    judge_received(&s->model, c, &p, 4);
}

/* ------------------------------------------------------------------------------ deliveries ---- */

/* Each row: Bob subscribes to t/# with QoS 2, Alice publishes two messages, and Bob gets these. */
static void test_deliveries(void **state)
{
    static const struct {
        uint8_t qos; /* as published */
        struct {
            int which; /* 1, 2; 0: nothing more */
            uint8_t qos;
            uint16_t id;
            int flags;
        } got[3];
        const char *failure;
    } rows[] = {
        { 1, { { 1, 1, 1, 0 }, { 2, 1, 2, 0 } }, NULL },
        { 1, { { 1, 1, 1, 0 } }, "was lost" },
        { 1, { { 2, 1, 1, 0 } }, "arrived before" },
        { 1, { { 1, 1, 1, 0 }, { 1, 1, 2, 0 } }, "not once more" },
        { 1, { { 1, 1, 1, 0 }, { 2, 1, 1, 0 } }, "is in use" },
        { 1, { { 1, 2, 1, 0 } }, "with another QoS" },
        { 1, { { 1, 1, 1, RETAIN } }, "with another RETAIN" },
        { 1, { { 1, 1, 1, DUP } }, "with DUP the first time" },
        { 2, { { 1, 2, 1, 0 }, { 2, 2, 2, 0 } }, NULL },
        { 2, { { 1, 2, 1, 0 }, { 1, 2, 1, DUP } }, "is in use" },
        { 2, { { 1, 2, 1, 0 }, { 1, 2, 2, 0 } }, "not once more" },
        { 0, { { 1, 0, 0, 0 }, { 2, 0, 0, 0 } }, NULL },
        { 0, { { 1, 0, 0, 0 }, { 1, 0, 0, 0 } }, "not once more" },
        { 0, { { 1, 0, 0, DUP } }, "with DUP" },
        { 0, { { 1, 0, 0, 0 } }, "was lost" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene s;
        scene_open(&s, "");
        struct conn *alice = join(&s, ALICE), *bob = join(&s, BOB);
        subscribe(&s, bob, "t/#", 2);
        const struct sim_message *sent[] = { publish(&s, alice, T_A, rows[i].qos),
                                             publish(&s, alice, T_A, rows[i].qos) };
        for (int k = 0; k < 3 && rows[i].got[k].which != 0; k++)
            get(&s, bob, sent[rows[i].got[k].which - 1], rows[i].got[k].qos, rows[i].got[k].id,
                rows[i].got[k].flags);
        while (s.model.by_actor[BOB]->flights.next != &s.model.by_actor[BOB]->flights)
            ack(&s, bob, PACKET_PUBCOMP,
                container_of(s.model.by_actor[BOB]->flights.next, struct flight, link)->id);
        list_init(&alice->due);
        model_check_quiet(&s.model);
        scene_close(&s, rows[i].failure);
    }
}

static void test_who_gets_it(void **state)
{
    static const struct {
        const char *filter;
        uint8_t options;
        bool unsubscribes;
        uint8_t qos; /* got; the message has QoS 2 */
        const char *failure;
    } rows[] = {
        { "t/a", 2, false, 2, NULL },
        { "t/#", 1, false, 1, NULL },
        { "+/+", 0, false, 0, NULL },
        { "t/b/1", 2, false, 2, "was not expected" }, /* another topic */
        { "t/#", 2, true, 2, "was not expected" },
        { "t/#", SUBSCRIBE_NO_LOCAL | 2, false, 2, NULL }, /* it is not his own */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene s;
        scene_open(&s, "");
        struct conn *alice = join(&s, ALICE), *bob = join(&s, BOB);
        subscribe(&s, bob, rows[i].filter, rows[i].options);
        if (rows[i].unsubscribes)
            unsubscribe(&s, bob, rows[i].filter);
        const struct sim_message *m = publish(&s, alice, T_A, 2);
        get(&s, bob, m, rows[i].qos, rows[i].qos == 0 ? 0 : 1, 0);
        scene_close(&s, rows[i].failure);
    }
}

static void test_no_local(void **state)
{
    struct scene s;
    scene_open(&s, "");
    struct conn *alice = join(&s, ALICE);
    subscribe(&s, alice, "t/#", SUBSCRIBE_NO_LOCAL | 1);
    get(&s, alice, publish(&s, alice, T_A, 1), 1, 1, 0);
    scene_close(&s, "was not expected");
}

/* Two subscriptions, one copy or two. */
static void test_overlapping_subscriptions(void **state)
{
    for (int one_copy = 0; one_copy <= 1; one_copy++) {
        struct scene s;
        scene_open(&s, one_copy ? "allow_duplicate_messages false\n" : "");
        struct conn *alice = join(&s, ALICE), *bob = join(&s, BOB);
        subscribe(&s, bob, "t/#", 1);
        subscribe(&s, bob, "t/a", 2);
        const struct sim_message *m = publish(&s, alice, T_A, 2);
        get(&s, bob, m, 2, 1, 0);
        if (!one_copy)
            get(&s, bob, m, 1, 2, 0);
        assert_false(s.trace.has_failed);
        get(&s, bob, m, 1, 3, 0);
        scene_close(&s, "not once more");
    }
}

static void test_window(void **state)
{
    struct scene s;
    scene_open(&s, "");
    struct conn *alice = join(&s, ALICE);
    struct conn *bob =
        join_as(&s, BOB, (struct greeting){ .version = VERSION_5_0, .receive_max = 2 });
    subscribe(&s, bob, "t/#", 1);
    for (uint16_t id = 1; id <= 3; id++)
        get(&s, bob, publish(&s, alice, T_A, 1), 1, id, 0);
    scene_close(&s, "more than 2 messages in flight");
}

static void test_expiry(void **state)
{
    static const struct {
        int64_t after_s;
        uint32_t interval; /* as it arrives; 0: none */
        const char *failure;
    } rows[] = {
        { 0, 5, NULL },
        { 2, 3, NULL },
        { 2, 5, "Message Expiry Interval of 5 s, not 3 s" },
        { 2, 0, "came without" },
        { 6, 1, "had expired" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene s;
        scene_open(&s, "");
        struct conn *alice = join(&s, ALICE), *bob = join(&s, BOB);
        subscribe(&s, bob, "t/#", 1);
        struct sim_message *m = message(&s, alice, T_A, 1);
        m->has_expiry = true;
        m->expiry_s = 5;
        publish_message(&s, alice, m);
        s.world.now_ns += rows[i].after_s * SECOND_NS;
        struct packet p = { .type = PACKET_PUBLISH };
        p.publish = (struct publish){ .qos = 1, .packet_id = 1, .payload = m->payload };
        p.publish.topic = bytes_of_string(story_topics[T_A].name);
        p.publish.properties.message_expiry_interval = rows[i].interval;
        if (rows[i].interval > 0)
            properties_add(&p.publish.properties, PROPERTY_MESSAGE_EXPIRY_INTERVAL);
        judge_received(&s.model, bob, &p, 100);
        scene_close(&s, rows[i].failure);
    }
}

/* ----------------------------------------------------------------------------- once again ----- */

/* Bob has got two messages, and acknowledged none, when his connection breaks. */
static void test_sending_again(void **state)
{
    static const struct {
        struct {
            int which; /* 1, 2 as before; 3 a new one; 0: nothing more */
            uint16_t id;
            int flags;
        } got[3];
        const char *failure;
    } rows[] = {
        { { { 1, 1, DUP }, { 2, 2, DUP }, { 3, 3, 0 } }, NULL },
        { { { 1, 1, 0 } }, "without DUP" },
        { { { 2, 2, DUP }, { 1, 1, DUP } }, "out of order" },
        { { { 3, 3, 0 } }, "a new message before" },
        { { { 1, 1, DUP }, { 3, 2, DUP } }, "still in use" },
        { { { 1, 3, DUP } }, "not once more" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene s;
        scene_open(&s, "");
        struct conn *alice = join(&s, ALICE), *bob = join(&s, BOB);
        subscribe(&s, bob, "t/#", 1);
        const struct sim_message *sent[3];
        for (uint16_t k = 0; k < 2; k++)
            get(&s, bob, sent[k] = publish(&s, alice, T_A, 1), 1, (uint16_t)(k + 1), 0);
        part(&s, bob);
        sent[2] = publish(&s, alice, T_A, 1);
        bob = join(&s, BOB);
        for (int k = 0; k < 3 && rows[i].got[k].which != 0; k++)
            get(&s, bob, sent[rows[i].got[k].which - 1], 1, rows[i].got[k].id,
                rows[i].got[k].flags);
        scene_close(&s, rows[i].failure);
    }
}

static void test_qos2_after_pubrec(void **state)
{
    struct scene s;
    scene_open(&s, "");
    struct conn *alice = join(&s, ALICE), *bob = join(&s, BOB);
    subscribe(&s, bob, "t/#", 2);
    const struct sim_message *m = publish(&s, alice, T_A, 2);
    get(&s, bob, m, 2, 1, 0);
    ack(&s, bob, PACKET_PUBREC, 1);
    get_answer(&s, bob, PACKET_PUBREL, 1, REASON_SUCCESS);
    part(&s, bob);
    bob = join(&s, BOB);
    get_answer(&s, bob, PACKET_PUBREL, 1, REASON_SUCCESS);
    assert_false(s.trace.has_failed);
    get(&s, bob, m, 2, 1, DUP);
    scene_close(&s, "again after its PUBREC");
}

/* A repeated PUBLISH of QoS 2 is not routed again; after PUBREL it is a new one. */
static void test_qos2_is_taken_once(void **state)
{
    struct scene s;
    scene_open(&s, "");
    struct conn *alice = join(&s, ALICE), *bob = join(&s, BOB);
    subscribe(&s, bob, "t/#", 2);
    struct sim_message *m = message(&s, alice, T_A, 2);
    for (int i = 0; i < 2; i++) {
        new_sent(&s, alice, PACKET_PUBLISH, 9)->message = m;
        take(&s, alice, PACKET_PUBLISH, 9);
        get_answer(&s, alice, PACKET_PUBREC, 9, REASON_SUCCESS);
    }
    assert_int_equal(m->taken, 1);
    new_sent(&s, alice, PACKET_PUBREL, 9);
    take(&s, alice, PACKET_PUBREL, 9);
    get_answer(&s, alice, PACKET_PUBCOMP, 9, REASON_SUCCESS);
    get(&s, bob, m, 2, 1, 0);
    assert_false(s.trace.has_failed);
    get(&s, bob, m, 2, 2, 0);
    scene_close(&s, "not once more");
}

/* -------------------------------------------------------------------------------- answers ----- */

static void test_answers(void **state)
{
    static const struct {
        enum packet_type type;
        uint16_t id;
        enum reason reason;
        const char *failure;
    } rows[] = {
        { PACKET_PUBACK, 1, REASON_NO_MATCHING_SUBSCRIBERS, NULL },
        { PACKET_PUBACK, 1, REASON_SUCCESS, "says 0x00, not 0x10" },
        { PACKET_PUBACK, 2, REASON_NO_MATCHING_SUBSCRIBERS, "not its turn" },
        { PACKET_PUBACK, 3, REASON_NO_MATCHING_SUBSCRIBERS, "was not taken" },
        { PACKET_PUBREC, 1, REASON_SUCCESS, "was not taken" },
        { PACKET_PUBREL, 1, REASON_SUCCESS, "without a PUBREC" },
        { PACKET_PINGRESP, 0, REASON_SUCCESS, "without a PINGREQ" },
        { PACKET_SUBSCRIBE, 1, REASON_SUCCESS, "from the broker" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene s;
        scene_open(&s, "");
        struct conn *alice = join(&s, ALICE);
        publish(&s, alice, T_A, 1);
        publish(&s, alice, T_A, 1);
        new_sent(&s, alice, PACKET_PUBLISH, 3)->message = message(&s, alice, T_A, 1);
        get_answer(&s, alice, rows[i].type, rows[i].id, rows[i].reason);
        scene_close(&s, rows[i].failure);
    }
}

static void test_session_present(void **state)
{
    struct scene s;
    scene_open(&s, "");
    struct conn *bob = join(&s, BOB);
    part(&s, bob);
    bob = join(&s, BOB);
    struct packet p = { .type = PACKET_CONNACK };
    bob->has_connack = false;
    judge_received(&s.model, bob, &p, 5);
    scene_close(&s, "Session Present is 0");
}

static void test_closing_wants_a_reason(void **state)
{
    for (int fault_was_seen = 0; fault_was_seen <= 1; fault_was_seen++) {
        struct scene s;
        scene_open(&s, "");
        model_on_closed(&s.model, join(&s, BOB), fault_was_seen);
        scene_close(&s, fault_was_seen ? NULL : "for no reason");
    }
}

/* ------------------------------------------------------------------------ retained, wills ----- */

static void test_retained(void **state)
{
    struct scene s;
    scene_open(&s, "");
    struct conn *alice = join(&s, ALICE), *bob = join(&s, BOB);
    struct sim_message *old = message(&s, alice, T_A, 1), *new = message(&s, alice, T_A, 1);
    old->retain = new->retain = true;
    publish_message(&s, alice, old);
    publish_message(&s, alice, new);
    subscribe(&s, bob, "t/#", 1);
    get(&s, bob, new, 1, 1, RETAIN);
    subscribe(&s, bob, "t/#", 0x10 | 1); /* only if it were new */
    assert_false(s.trace.has_failed);
    get(&s, bob, old, 1, 2, RETAIN);
    scene_close(&s, "was not expected");
}

/* At once, after a delay, never: by how Bob leaves. */
static void test_wills(void **state)
{
    static const struct {
        uint32_t delay_s;
        bool says_goodbye;
        bool comes_back;
        uint32_t taken; /* how often it was published by then */
    } rows[] = {
        { 0, false, false, 1 }, { 0, true, false, 0 }, { 5, false, false, 0 },
        { 5, false, true, 0 },  { 0, false, true, 1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene s;
        scene_open(&s, "");
        struct conn *alice = join(&s, ALICE);
        struct sim_message *will = message(&s, alice, W_A, 1);
        will->is_will = true;
        struct conn *bob = join_as(&s, BOB,
                                   (struct greeting){ .version = VERSION_5_0,
                                                      .expiry_s = 100,
                                                      .receive_max = UINT16_MAX,
                                                      .will = will,
                                                      .will_delay_s = rows[i].delay_s });
        if (rows[i].says_goodbye) {
            new_sent(&s, bob, PACKET_DISCONNECT, 0);
            take(&s, bob, PACKET_DISCONNECT, 0);
        }
        part(&s, bob);
        if (rows[i].comes_back)
            join(&s, BOB);
        assert_int_equal(will->taken, rows[i].taken);
        scene_close(&s, NULL);
    }
}

/* --------------------------------------------------------------------------------- groups ----- */

/* Bob and Carol share; Alice publishes one message. */
static void test_groups(void **state)
{
    static const struct {
        uint8_t qos;
        bool bob_gets_it, bob_acks, bob_ends, carol_gets_it;
        const char *failure;
    } rows[] = {
        { 1, true, true, false, false, NULL },
        { 1, false, false, false, true, NULL },
        { 1, false, false, false, false, "was lost in the group" },
        { 1, true, false, false, true, "not once more" },
        { 1, true, false, true, true, NULL },            /* it goes to another member */
        { 1, true, true, true, true, "not once more" },  /* it was acknowledged */
        { 2, true, false, true, true, "not once more" }, /* [MQTT-4.8.2-5] */
        { 2, false, false, true, false, NULL },          /* Bob may have been given it */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene s;
        scene_open(&s, "");
        struct conn *alice = join(&s, ALICE), *carol = join(&s, CAROL);
        struct conn *bob = join_as(
            &s, BOB, (struct greeting){ .version = VERSION_5_0, .receive_max = UINT16_MAX });
        subscribe(&s, bob, "$share/g0/s/#", 2);
        subscribe(&s, carol, "$share/g0/s/#", 2);
        const struct sim_message *m = publish(&s, alice, S_A, rows[i].qos);
        if (rows[i].bob_gets_it)
            get(&s, bob, m, rows[i].qos, 1, 0);
        if (rows[i].bob_acks)
            ack(&s, bob, PACKET_PUBACK, 1);
        if (rows[i].bob_ends)
            part(&s, bob);
        if (rows[i].carol_gets_it)
            get(&s, carol, m, rows[i].qos, 7, 0);
        groups_check_quiet(&s.model);
        scene_close(&s, rows[i].failure);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deliveries),
        cmocka_unit_test(test_who_gets_it),
        cmocka_unit_test(test_no_local),
        cmocka_unit_test(test_overlapping_subscriptions),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_sending_again),
        cmocka_unit_test(test_qos2_after_pubrec),
        cmocka_unit_test(test_qos2_is_taken_once),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_session_present),
        cmocka_unit_test(test_closing_wants_a_reason),
        cmocka_unit_test(test_retained),
        cmocka_unit_test(test_wills),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
