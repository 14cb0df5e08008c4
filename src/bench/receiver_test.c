#include "bench/receiver.h"

#include "base/memory.h"
#include "mqtt/topic.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { FLOWS = 3, WINDOW = 4, FRAME_MAX = 256 };

/* Publishers with a window each, and one who receives. */
struct scene {
    struct flow_plan plan;
    struct flow flows[FLOWS];
    struct slot slots[FLOWS][WINDOW];
    struct receiver receiver;
};

static void scene_init(struct scene *s, struct flow_plan plan)
{
    *s = (struct scene){ .plan = plan };
    for (uint32_t i = 0; i < FLOWS; i++) {
        flow_init(&s->flows[i], &s->plan, i);
        s->flows[i].window = (struct window){ s->slots[i], WINDOW };
    }
    receiver_init(&s->receiver, s->flows, 0, FLOWS);
}

static void scene_fini(struct scene *s)
{
    receiver_fini(&s->receiver);
    for (uint32_t i = 0; i < FLOWS; i++) {
        s->flows[i].window.slots = NULL; /* ours */
        flow_fini(&s->flows[i]);
    }
}

static int64_t time_of(uint64_t number)
{
    return 1000000007 * ((int64_t)number + 1);
}

/* The next message of a flow, for so many receivers. */
static void publish(struct flow *f, uint32_t copies, uint8_t *out)
{
    struct slot *slot = window_slot(&f->window, f->published);
    slot_take(slot, f->plan->qos, copies, time_of(f->published));
    flow_encode(f, f->published, window_packet_id(&f->window, slot), slot->time_ns, out);
    f->published++;
}

/* What the receiver says to these bytes; "cannot be decoded" if the codec says it first. */
static const char *judge(struct scene *s, const uint8_t *frame, size_t size)
{
    struct packet packet;
    struct arrival arrival;
    enum reason why;
    if (packet_decode(bytes_of(frame, size), s->plan.version, &packet, &why) != DECODE_DONE ||
        packet.type != PACKET_PUBLISH)
        return "cannot be decoded";
    return receiver_take(&s->receiver, &packet.publish, &arrival);
}

static const struct flow_plan plans[] = {
    { VERSION_3_1_1, 0, STAMP_SIZE, TOPIC_OF_FLOW, 0, 0xbeef },
    { VERSION_3_1_1, 1, 64, TOPIC_OF_FLOW, 0, 0 },
    { VERSION_3_1_1, 2, 130, TOPIC_OF_MESSAGE, 0, 0xffff },
    { VERSION_3_1_1, 1, 21, TOPIC_IN_TURN, 10, 1 },
    { VERSION_5_0, 0, 33, TOPIC_OF_MESSAGE, 0, 2 },
    { VERSION_5_0, 1, 64, TOPIC_IN_TURN, 1000, 3 },
    { VERSION_5_0, 2, 64, TOPIC_OF_FLOW, 0, 4 },
};
enum { PLANS = sizeof plans / sizeof plans[0] };

static void what_was_published_is_right(void **state)
{
    for (size_t i = 0; i < PLANS; i++) {
        struct scene s;
        uint8_t frame[FRAME_MAX];
        scene_init(&s, plans[i]);
        for (uint32_t n = 0; n < 30; n++) {
            struct flow *f = &s.flows[n % FLOWS];
            publish(f, 1, frame);
            assert_int_equal(f->frame_size, s.flows[0].frame_size);
            assert_null(judge(&s, frame, f->frame_size));
            assert_int_equal(window_slot(&f->window, f->published - 1)->missing, 0);
        }
        scene_fini(&s);
    }
}

/* But in a Packet Identifier, which is the broker's own. */
static void every_changed_bit_is_noticed(void **state)
{
    for (size_t i = 0; i < PLANS; i++) {
        struct scene s;
        uint8_t frame[FRAME_MAX];
        scene_init(&s, plans[i]);
        const struct flow *f = &s.flows[1];
        publish(&s.flows[0], 1, frame);
        publish(&s.flows[1], 1, frame);
        for (size_t bit = 0; bit < f->frame_size * 8; bit++) {
            bool is_id = plans[i].qos > 0 && (bit / 8 == f->id_at || bit / 8 == f->id_at + 1);
            frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (!is_id)
                assert_non_null(judge(&s, frame, f->frame_size));
            frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        assert_null(judge(&s, frame, f->frame_size));
        scene_fini(&s);
    }
}

static const char too_early[] = "came before an earlier one, which is late or lost";
static const char too_late[] = "came twice, or after a later one";
static const char too_often[] = "came once more than it should";

/* Four messages of one flow are published; this is what comes of them. */
static void order_and_number(void **state)
{
    static const struct {
        uint32_t copies;
        bool may_skip;
        struct {
            int number;
            const char *wrong;
        } arrivals[5];
    } rows[] = {
        { 1, false, { { 0 }, { 1 }, { 2 }, { 3 }, { 3, too_late } } },
        { 1, false, { { 0 }, { 0, too_late }, { 1 }, { 2 }, { 3 } } },
        { 1, false, { { 0 }, { 2, too_early }, { 1 }, { 2 }, { 3 } } },
        { 1, false, { { 1, too_early }, { 0 }, { 1 }, { 2 }, { 4, "was never published" } } },
        { 1, true, { { 1 }, { 0, too_late }, { 3 }, { 2, too_late }, { 3, too_late } } },
        { 2,
          true,
          { { 1 }, { 1, too_late }, { 3 }, { 3, too_late }, { 9, "was never published" } } },
        { 0,
          true,
          { { 1, too_often },
            { 0, too_often },
            { 3, too_often },
            { 2, too_often },
            { 7, "was never published" } } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scene s;
        uint8_t frame[FRAME_MAX];
        scene_init(&s, plans[1]);
        s.receiver.may_skip = rows[i].may_skip;
        struct flow *f = &s.flows[2];
        for (int n = 0; n < WINDOW; n++)
            publish(f, rows[i].copies, frame);
        for (int n = 0; n < 5; n++) {
            int number = rows[i].arrivals[n].number;
            const char *wanted = rows[i].arrivals[n].wrong;
            flow_encode(f, (uint64_t)number, 1, time_of((uint64_t)number), frame);
            const char *wrong = judge(&s, frame, f->frame_size);
            assert_string_equal(wrong == NULL ? "right" : wrong, wanted == NULL ? "right" : wanted);
        }
        scene_fini(&s);
    }
}

/* Two members of a group: the second must not get what the first has. */
static void once_for_a_group(void **state)
{
    struct scene s;
    struct receiver other;
    struct arrival arrival;
    struct packet packet;
    enum reason why;
    uint8_t frame[FRAME_MAX];
    scene_init(&s, plans[1]);
    receiver_init(&other, s.flows, 0, FLOWS);
    s.receiver.may_skip = other.may_skip = true;
    publish(&s.flows[0], 1, frame);
    assert_null(judge(&s, frame, s.flows[0].frame_size));
    assert_int_equal(
        packet_decode(bytes_of(frame, s.flows[0].frame_size), VERSION_3_1_1, &packet, &why),
        DECODE_DONE);
    assert_string_equal(receiver_take(&other, &packet.publish, &arrival), too_often);
    receiver_fini(&other);
    scene_fini(&s);
}

static void a_message_must_be_for_its_receiver(void **state)
{
    static const char not_mine[] = "was meant for somebody else";
    struct scene s;
    uint8_t frame[FRAME_MAX];
    scene_init(&s, plans[1]);
    s.receiver.first = 1; /* of flows 1 and 2 */
    s.receiver.count = 2;
    for (uint32_t i = 0; i < FLOWS; i++) {
        publish(&s.flows[i], 1, frame);
        const char *wrong = judge(&s, frame, s.flows[i].frame_size);
        assert_string_equal(wrong == NULL ? "right" : wrong, i == 0 ? not_mine : "right");
    }
    scene_fini(&s);

    scene_init(&s, plans[3]); /* ten topics, of which each third is its */
    s.receiver.may_skip = true;
    s.receiver.topics_mine = 1;
    s.receiver.topics_step = 3;
    for (uint64_t n = 0; n < 10; n++) {
        publish(&s.flows[0], 1, frame);
        bool is_mine = flow_topic_index(&s.flows[0], n) % 3 == 1;
        const char *wrong = judge(&s, frame, s.flows[0].frame_size);
        assert_string_equal(wrong == NULL ? "right" : wrong, is_mine ? "right" : not_mine);
    }
    scene_fini(&s);
}

/* Ten topics, of which each third is its; all were published before the first one comes. */
static void what_was_kept_comes_when_its_slots_have_gone_to_others(void **state)
{
    struct scene s;
    uint8_t frame[FRAME_MAX];
    scene_init(&s, plans[3]);
    s.receiver.is_late = true;
    s.receiver.topics_mine = 1;
    s.receiver.topics_step = 3;
    struct flow *f = &s.flows[0];
    uint64_t mine[20];
    size_t count = 0;
    for (uint64_t n = 0; n < 20; n++) {
        publish(f, 0, frame);
        if (flow_topic_index(f, n) % 3 == 1)
            mine[count++] = n;
    }
    for (size_t i = 0; i + 1 < count; i++) {
        static const struct {
            size_t ahead;
            const char *wrong;
        } rows[] = { { 1, too_early }, { 0, "right" }, { 0, too_late } };
        for (size_t row = 0; row < 3; row++) {
            uint64_t number = mine[i + rows[row].ahead];
            flow_encode(f, number, 1, time_of(number), frame);
            const char *wrong = judge(&s, frame, f->frame_size);
            assert_string_equal(wrong == NULL ? "right" : wrong, rows[row].wrong);
        }
    }
    scene_fini(&s);
}

static void each_topic_has_its_turn(void **state)
{
    static const uint32_t counts[] = { 1, 2, 7, 1000, 7919, 100000 };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct flow_plan plan = plans[3];
        plan.topics = counts[i];
        const struct flow f = { .plan = &plan, .index = 77 };
        uint8_t *turns = memory_alloc_zero(counts[i]);
        for (uint64_t n = 5; n < UINT64_C(5) + counts[i]; n++)
            turns[flow_topic_index(&f, n)]++;
        for (uint32_t topic = 0; topic < counts[i]; topic++)
            assert_int_equal(turns[topic], 1);
        memory_free(turns);
    }
}

static void filters_match_the_topics_they_are_for(void **state)
{
    for (size_t i = 0; i < PLANS; i++) {
        struct scene s;
        uint8_t frame[FRAME_MAX];
        char all[FILTER_SIZE_MAX], shared[FILTER_SIZE_MAX];
        scene_init(&s, plans[i]);
        const struct flow *f = &s.flows[1];
        flow_filter_all(&s.plan, false, all);
        flow_filter_all(&s.plan, true, shared);
        assert_string_equal(shared + sizeof "$share/bench/" - 1, all);
        for (uint64_t n = 0; n < 12; n++) {
            flow_encode(f, n, 1, 0, frame);
            struct bytes topic = bytes_of(frame + f->topic_at, f->id_at - f->topic_at);
            assert_true(topic_filter_matches(bytes_of_string(all), topic));
            bool in_turn = s.plan.scheme == TOPIC_IN_TURN;
            uint32_t index = in_turn ? flow_topic_index(f, n) : f->index;
            for (uint32_t other = 0; other < 12; other++) {
                char exact[FILTER_SIZE_MAX], wild[FILTER_SIZE_MAX];
                flow_filter(&s.plan, other, false, exact);
                flow_filter(&s.plan, other, true, wild);
                assert_true(topic_filter_has_wildcard(bytes_of_string(wild)));
                assert_int_equal(topic_filter_matches(bytes_of_string(exact), topic),
                                 other == index);
                assert_int_equal(topic_filter_matches(bytes_of_string(wild), topic),
                                 other == index);
            }
        }
        scene_fini(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_published_is_right),
        cmocka_unit_test(every_changed_bit_is_noticed),
        cmocka_unit_test(order_and_number),
        cmocka_unit_test(once_for_a_group),
        cmocka_unit_test(a_message_must_be_for_its_receiver),
        cmocka_unit_test(what_was_kept_comes_when_its_slots_have_gone_to_others),
        cmocka_unit_test(each_topic_has_its_turn),
        cmocka_unit_test(filters_match_the_topics_they_are_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
