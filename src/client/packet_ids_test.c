/* Packet Identifiers, ours and the Server's. */
#include "client/test_peer.h"

#include "client/packet_ids.h"

static void identifiers_rise_and_skip_what_is_in_use(void **state)
{
    static struct packet_ids ids;
    assert_int_equal(packet_ids_take(&ids), 1);
    assert_int_equal(packet_ids_take(&ids), 2);
    packet_ids_give_back(&ids, 1);
    for (uint32_t id = 3; id <= UINT16_MAX; id++)
        assert_int_equal(packet_ids_take(&ids), id);
    assert_int_equal(packet_ids_take(&ids), 1); /* round, never 0 [MQTT-2.2.1-3] */
    assert_int_equal(packet_ids_take(&ids), 0); /* none left */
    packet_ids_give_back(&ids, 40000);
    assert_int_equal(packet_ids_take(&ids), 40000);
}

static void arrivals_keep_their_states_apart(void **state)
{
    static struct arrivals a;
    arrivals_set(&a, 1, ARRIVAL_QOS_1);
    arrivals_set(&a, 2, ARRIVAL_QOS_2);
    arrivals_set(&a, 3, ARRIVAL_RECEIVED);
    arrivals_set(&a, UINT16_MAX, ARRIVAL_RECEIVED);
    assert_int_equal(a.count, 4);
    assert_int_equal(arrivals_at(&a, 1), ARRIVAL_QOS_1);
    assert_int_equal(arrivals_at(&a, 2), ARRIVAL_QOS_2);
    assert_int_equal(arrivals_at(&a, 3), ARRIVAL_RECEIVED);
    assert_int_equal(arrivals_at(&a, 4), ARRIVAL_NONE);
    arrivals_forget_unacknowledged(&a);
    assert_int_equal(a.count, 2);
    assert_int_equal(arrivals_at(&a, 2), ARRIVAL_NONE);
    assert_int_equal(arrivals_at(&a, UINT16_MAX), ARRIVAL_RECEIVED);
    arrivals_set(&a, 3, ARRIVAL_NONE);
    arrivals_set(&a, 3, ARRIVAL_NONE);
    assert_int_equal(a.count, 1);
    arrivals_forget_all(&a);
    assert_int_equal(a.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identifiers_rise_and_skip_what_is_in_use),
        cmocka_unit_test(arrivals_keep_their_states_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
