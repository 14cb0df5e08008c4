#include "bench/pace.h"
#include "bench/window.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A slot of a window of four, from the PUBLISH to the moment when it is free again. */
static void a_slot_is_free_when_all_copies_and_answers_have_come(void **state)
{
    enum step { COPY = AWAITS_PUBCOMP + 1 };
    static const struct {
        uint8_t qos;
        uint32_t copies;
        int steps[5]; /* in this order; 0: no more */
    } rows[] = {
        { 0, 1, { COPY } },
        { 0, 3, { COPY, COPY, COPY } },
        { 1, 1, { AWAITS_PUBACK, COPY } }, /* whichever is first */
        { 1, 2, { COPY, AWAITS_PUBACK, COPY } },
        { 2, 1, { AWAITS_PUBREC, COPY, AWAITS_PUBCOMP } },
        { 2, 2, { COPY, COPY, AWAITS_PUBREC, AWAITS_PUBCOMP } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slot slots[4] = { { 0 } };
        struct window w = { slots, 4 };
        struct slot *s = window_slot(&w, 6);
        assert_ptr_equal(s, &slots[2]);
        assert_true(slot_is_free(s));
        slot_take(s, rows[i].qos, rows[i].copies, 5);
        for (const int *step = rows[i].steps; *step != 0; step++) {
            assert_false(slot_is_free(s));
            if (*step == COPY) {
                s->missing--;
                continue;
            }
            assert_ptr_equal(window_answer(&w, window_packet_id(&w, s), (enum awaits) * step), s);
            s->awaits = *step == AWAITS_PUBREC ? AWAITS_PUBCOMP : AWAITS_NOTHING;
        }
        assert_true(slot_is_free(s));
    }
}

static void an_answer_must_be_the_one_that_is_due(void **state)
{
    struct slot slots[4] = { { 0 } };
    const struct window w = { slots, 4 };
    slot_take(&slots[0], 0, 1, 0);
    slot_take(&slots[1], 1, 1, 0);
    slot_take(&slots[2], 2, 1, 0);
    static const struct {
        uint16_t packet_id;
        enum awaits due;
        bool is_right;
    } rows[] = {
        { 0, AWAITS_PUBACK, false },     { 1, AWAITS_PUBACK, false }, /* QoS 0 awaits nothing */
        { 2, AWAITS_PUBACK, true },      { 2, AWAITS_PUBREC, false },  { 3, AWAITS_PUBACK, false },
        { 3, AWAITS_PUBREC, true },      { 3, AWAITS_PUBCOMP, false }, { 4, AWAITS_PUBACK, false },
        { 5, AWAITS_PUBACK, false }, /* outside */
        { 65535, AWAITS_PUBACK, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(window_answer(&w, rows[i].packet_id, rows[i].due) != NULL,
                         rows[i].is_right);
}

static void numbers_beyond_32_bits_go_round(void **state)
{
    struct slot slots[3] = { { 0 } };
    const struct window w = { slots, 3 };
    for (uint64_t number = UINT32_MAX - UINT64_C(5); number < UINT32_MAX + UINT64_C(5); number++)
        assert_ptr_equal(window_slot(&w, number), &slots[number % 3]);
}

static void messages_are_due_at_even_distances_for_ever(void **state)
{
    static const struct {
        uint32_t rate;
        uint64_t number;
        int64_t due_ns;
    } rows[] = {
        { 1, 0, 0 },
        { 1, 7, 7000000000 },
        { 3, 1, 333333333 }, /* rounded down, but never more than a nanosecond off */
        { 3, 3, 1000000000 },
        { 5000, 1, 200000 },
        { 7, 7 * UINT64_C(86400), 86400 * INT64_C(1000000000) },
        { 10000000, 10000000 * UINT64_C(86400) + 1, 86400 * INT64_C(1000000000) + 100 },
        { UINT32_MAX, UINT32_MAX - UINT64_C(1), 999999999 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct pace pace = { .start_ns = 17, .rate = rows[i].rate, .next = rows[i].number };
        assert_int_equal(pace_due(&pace), 17 + rows[i].due_ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_is_free_when_all_copies_and_answers_have_come),
        cmocka_unit_test(an_answer_must_be_the_one_that_is_due),
        cmocka_unit_test(numbers_beyond_32_bits_go_round),
        cmocka_unit_test(messages_are_due_at_even_distances_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
