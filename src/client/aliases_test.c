/* Topic Aliases, both ways. */
#include "client/test_peer.h"

#include "client/aliases.h"

static void incoming_aliases_stand_for_what_came_last(void **state)
{
    struct aliases_in a;
    aliases_in_init(&a, 2);
    assert_null(aliases_in_topic(&a, 1).data);
    assert_int_equal(aliases_in_set(&a, 0, BYTES("x")), -EINVAL);
    assert_int_equal(aliases_in_set(&a, 3, BYTES("x")), -EINVAL);
    assert_int_equal(aliases_in_set(&a, 2, BYTES("x")), 0);
    assert_true(bytes_equal(aliases_in_topic(&a, 2), BYTES("x")));
    assert_int_equal(aliases_in_set(&a, 2, BYTES("y/z")), 0);
    assert_true(bytes_equal(aliases_in_topic(&a, 2), BYTES("y/z")));
    assert_null(aliases_in_topic(&a, 1).data);
    assert_null(aliases_in_topic(&a, 3).data);
    aliases_in_fini(&a);
    assert_null(aliases_in_topic(&a, 2).data);
}

static void outgoing_aliases_go_to_the_first_topics(void **state)
{
    struct aliases_out a;
    bool is_new;
    aliases_out_init(&a, 2);
    assert_int_equal(aliases_out_find(&a, BYTES("x"), &is_new), 1);
    assert_true(is_new);
    assert_int_equal(aliases_out_find(&a, BYTES("y"), &is_new), 2);
    assert_int_equal(aliases_out_find(&a, BYTES("z"), &is_new), 0);
    assert_int_equal(aliases_out_find(&a, BYTES("x"), &is_new), 1);
    assert_false(is_new);
    aliases_out_fini(&a);
    assert_int_equal(aliases_out_find(&a, BYTES("x"), &is_new), 0); /* none allowed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(incoming_aliases_stand_for_what_came_last),
        cmocka_unit_test(outgoing_aliases_go_to_the_first_topics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
