#include "base/memory.h"
#include "session/packet_id_set.h"
#include "session/test_sink.h"

#include <errno.h>

static void check(const struct packet_id_set *s, const bool *model, uint32_t count)
{
    assert_int_equal(packet_id_set_count(s), count);
    for (uint32_t i = 1; i < count; i++)
        assert_true(s->row->ids[i - 1] < s->row->ids[i]);
    for (uint32_t id = 1; id <= UINT16_MAX; id++)
        assert_int_equal(packet_id_set_has(s, (uint16_t)id), model[id]);
}

static void agrees_with_an_array_of_bools(void **state)
{
    static const struct {
        uint32_t ids, steps; /* drawn from 1 to `ids` */
    } rows[] = { { 4, 2000 }, { 60, 20000 }, { UINT16_MAX, 20000 } };
    static bool model[UINT16_MAX + 1];
    uint64_t random = 1;
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct packet_id_set s = { 0 };
        uint32_t count = 0;
        memset(model, 0, sizeof model);
        for (uint32_t step = 0; step < rows[row].steps; step++) {
            uint16_t id = (uint16_t)(1 + test_random(&random) % rows[row].ids);
            assert_int_equal(packet_id_set_has(&s, id), model[id]);
            if (!model[id] && step / 1000 % 2 == 0)
                assert_int_equal(packet_id_set_add(&s, id), 0);
            else if (model[id] || step / 1000 % 2 == 1)
                assert_int_equal(packet_id_set_remove(&s, id), model[id]);
            bool was_there = model[id];
            model[id] = packet_id_set_has(&s, id);
            count = count + model[id] - was_there;
            if (step % 500 == 0)
                check(&s, model, count);
        }
        check(&s, model, count);
        packet_id_set_fini(&s);
    }
}

static void holds_every_packet_identifier(void **state)
{
    struct packet_id_set s = { 0 };
    for (uint32_t i = 0; i < UINT16_MAX; i++) /* as a Client counts that is past the middle */
        assert_int_equal(packet_id_set_add(&s, (uint16_t)(1 + (i + 40000) % UINT16_MAX)), 0);
    assert_int_equal(packet_id_set_count(&s), UINT16_MAX);
    assert_false(packet_id_set_has(&s, 0));
    for (uint32_t i = 0; i < UINT16_MAX; i++) {
        packet_id_set_trim(&s); /* gives nothing back that is in use */
        assert_true(packet_id_set_remove(&s, (uint16_t)(UINT16_MAX - i)));
    }
    assert_false(packet_id_set_remove(&s, 1));
    packet_id_set_trim(&s);
    assert_null(s.row);
}

static void adding_without_memory_changes_nothing(void **state)
{
    struct packet_id_set s = { 0 };
    for (uint16_t id = 1; id <= 100; id++) {
        memory_fail_at(1);
        int result = packet_id_set_add(&s, id);
        bool asked = memory_fail_at(0) > 0;
        assert_int_equal(result, asked ? -ENOMEM : 0);
        assert_int_equal(packet_id_set_has(&s, id), !asked);
        assert_int_equal(packet_id_set_count(&s), asked ? id - 1 : id);
        if (asked)
            assert_int_equal(packet_id_set_add(&s, id), 0);
    }
    packet_id_set_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_an_array_of_bools),
        cmocka_unit_test(holds_every_packet_identifier),
        cmocka_unit_test(adding_without_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
