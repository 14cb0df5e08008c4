/* Property lists: written, read, refused; and failures in words. */
#include "client/test_peer.h"

static void what_is_added_can_be_read(void **state)
{
    struct chappe_property_list list = { 0 };
    assert_int_equal(chappe_property_add_number(&list, CHAPPE_PAYLOAD_FORMAT_INDICATOR, 1), 0);
    assert_int_equal(chappe_property_add_number(&list, CHAPPE_TOPIC_ALIAS, 513), 0);
    assert_int_equal(chappe_property_add_number(&list, CHAPPE_MESSAGE_EXPIRY_INTERVAL, 0x01020304),
                     0);
    assert_int_equal(chappe_property_add_number(&list, CHAPPE_SUBSCRIPTION_IDENTIFIER, 268435455),
                     0);
    assert_int_equal(chappe_property_add_bytes(&list, CHAPPE_CONTENT_TYPE, chappe_string("text")),
                     0);
    assert_int_equal(
        chappe_property_add_bytes(&list, CHAPPE_CORRELATION_DATA, chappe_bytes("\x00\xff", 2)), 0);
    assert_int_equal(chappe_property_add_pair(&list, chappe_string("k"), chappe_string("v")), 0);
    assert_int_equal(chappe_property_add_pair(&list, chappe_string("k"), chappe_string("")), 0);

    struct chappe_bytes rest = chappe_property_list_bytes(&list);
    struct chappe_property p;
    static const uint32_t numbers[] = { 1, 513, 0x01020304, 268435455 };
    for (size_t i = 0; i < 4; i++) {
        assert_true(chappe_property_next(&rest, &p));
        assert_int_equal(p.number, numbers[i]);
    }
    assert_true(chappe_property_next(&rest, &p));
    assert_int_equal(p.id, CHAPPE_CONTENT_TYPE);
    assert_text(p.value, "text");
    assert_true(chappe_property_next(&rest, &p));
    assert_int_equal(p.value.size, 2);
    assert_true(chappe_property_next(&rest, &p));
    assert_text(p.name, "k");
    assert_text(p.value, "v");
    assert_true(chappe_property_next(&rest, &p));
    assert_text(p.value, "");
    assert_false(chappe_property_next(&rest, &p));
    assert_false(chappe_property_find(chappe_property_list_bytes(&list), CHAPPE_REASON_STRING, &p));
    chappe_property_list_free(&list);
    assert_int_equal(list.size, 0);
}

static void what_cannot_be_said_is_refused(void **state)
{
    struct chappe_property_list list = { 0 };
    static const uint8_t long_text[65536];
    struct chappe_bytes too_long = chappe_bytes(long_text, sizeof long_text);
    assert_int_equal(chappe_property_add_number(&list, (enum chappe_property_id)99, 1), -EINVAL);
    assert_int_equal(chappe_property_add_number(&list, (enum chappe_property_id) - 1, 1), -EINVAL);
    assert_int_equal(chappe_property_add_number(&list, CHAPPE_CONTENT_TYPE, 1), -EINVAL);
    assert_int_equal(chappe_property_add_number(&list, CHAPPE_PAYLOAD_FORMAT_INDICATOR, 256),
                     -EINVAL);
    assert_int_equal(chappe_property_add_number(&list, CHAPPE_TOPIC_ALIAS, 65536), -EINVAL);
    assert_int_equal(chappe_property_add_number(&list, CHAPPE_SUBSCRIPTION_IDENTIFIER, 268435456),
                     -EINVAL);
    assert_int_equal(chappe_property_add_bytes(&list, CHAPPE_TOPIC_ALIAS, chappe_string("x")),
                     -EINVAL);
    assert_int_equal(chappe_property_add_bytes(&list, CHAPPE_CONTENT_TYPE, chappe_string("\xff")),
                     -EINVAL);
    assert_int_equal(chappe_property_add_bytes(&list, CHAPPE_CORRELATION_DATA, too_long), -EINVAL);
    assert_int_equal(chappe_property_add_pair(&list, chappe_string("\xff"), chappe_string("")),
                     -EINVAL);
    assert_int_equal(chappe_property_add_pair(&list, chappe_string(""), too_long), -EINVAL);
    assert_int_equal(list.size, 0);
    chappe_property_list_free(&list);
}

static void names_and_texts(void **state)
{
    assert_string_equal(chappe_property_name(CHAPPE_USER_PROPERTY), "user-property");
    assert_null(chappe_property_name(4));
    assert_string_equal(chappe_error_text(CHAPPE_NOT_AUTHORIZED), "Not authorized");
    assert_string_equal(chappe_error_text(-ECONNREFUSED), "Connection refused");
    assert_string_equal(chappe_error_text(-ENODATA), "The host name has no address");
    assert_non_null(chappe_error_text(12345));
    assert_true(strlen(chappe_version_text()) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_can_be_read),
        cmocka_unit_test(what_cannot_be_said_is_refused),
        cmocka_unit_test(names_and_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
