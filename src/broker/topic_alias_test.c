/* broker/topic_alias_test.c: Topic Aliases in both directions (section 3.3.2.3.4). */
#include "base/memory.h"
#include "broker/topic_alias.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SEED = 5 };

static void assert_alias(const struct alias_in *a, uint16_t alias, const char *topic)
{
    struct bytes found;
    bool is_known = alias_in_find(a, alias, &found);
    assert_int_equal(is_known, topic != NULL);
    if (is_known && topic != NULL)
        assert_true(bytes_equal(found, bytes_of_string(topic)));
}

static void test_in(void **state)
{
    struct alias_in a;
    alias_in_init(&a, 3);
    for (uint16_t alias = 0; alias < 5; alias++)
        assert_alias(&a, alias, NULL);
    assert_int_equal(alias_in_set(&a, 1, BYTES("first")), 0);
    assert_int_equal(alias_in_set(&a, 3, BYTES("last")), 0);
    assert_alias(&a, 0, NULL); /* is no alias [MQTT-3.3.2-8] */
    assert_alias(&a, 1, "first");
    assert_alias(&a, 2, NULL); /* never set */
    assert_alias(&a, 3, "last");
    assert_alias(&a, 4, NULL); /* above the maximum */
    assert_int_equal(alias_in_set(&a, 1, BYTES("another")), 0);
    assert_alias(&a, 1, "another");
    alias_in_fini(&a);
    alias_in_fini(&a); /* once more: it is empty */
}

/* The new topic may be a view into the one it replaces. */
static void test_in_replaces_by_itself(void **state)
{
    struct alias_in a;
    struct bytes topic;
    alias_in_init(&a, 1);
    assert_int_equal(alias_in_set(&a, 1, BYTES("a/b")), 0);
    assert_true(alias_in_find(&a, 1, &topic));
    assert_int_equal(alias_in_set(&a, 1, bytes_after(topic, 2)), 0);
    assert_alias(&a, 1, "b");
    alias_in_fini(&a);
}

static void test_in_without_memory(void **state)
{
    for (uint64_t nth = 1; nth <= 2; nth++) {
        struct alias_in a;
        alias_in_init(&a, 2);
        (void)memory_fail_at(nth);
        assert_int_equal(alias_in_set(&a, 1, BYTES("a")), -ENOMEM);
        (void)memory_fail_at(0);
        assert_alias(&a, 1, NULL);
        assert_int_equal(alias_in_set(&a, 1, BYTES("a")), 0);
        (void)memory_fail_at(1);
        assert_int_equal(alias_in_set(&a, 1, BYTES("b")), -ENOMEM);
        (void)memory_fail_at(0);
        assert_alias(&a, 1, "a"); /* the old one stays */
        alias_in_fini(&a);
    }
}

static void test_out(void **state)
{
    static const struct {
        const char *topic;
        uint16_t alias;
        bool is_new;
    } rows[] = {
        { "a", 1, true },  { "b", 2, true },  { "a", 1, false }, { "c", 0, true }, /* no more */
        { "b", 2, false }, { "a", 1, false }, { "c", 0, true },
    };
    struct alias_out a;
    alias_out_init(&a, 2, SEED);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool is_new = !rows[i].is_new;
        assert_int_equal(alias_out_use(&a, bytes_of_string(rows[i].topic), &is_new), rows[i].alias);
        assert_int_equal(is_new, rows[i].is_new);
    }
    alias_out_fini(&a);
}

static void test_out_is_off(void **state)
{
    struct alias_out a;
    bool is_new;
    alias_out_init(&a, 0, SEED);
    assert_int_equal(alias_out_use(&a, BYTES("a"), &is_new), 0);
    alias_out_fini(&a);
}

/* The packet that would have told it was not sent: the number is free again. */
static void test_out_forgets(void **state)
{
    struct alias_out a;
    bool is_new;
    alias_out_init(&a, 2, SEED);
    assert_int_equal(alias_out_use(&a, BYTES("a"), &is_new), 1);
    assert_int_equal(alias_out_use(&a, BYTES("b"), &is_new), 2);
    alias_out_forget(&a, BYTES("b"));
    assert_int_equal(alias_out_use(&a, BYTES("c"), &is_new), 2);
    assert_true(is_new);
    assert_int_equal(alias_out_use(&a, BYTES("a"), &is_new), 1);
    assert_false(is_new);
    alias_out_fini(&a);
}

/* Without memory the topic goes out in full. */
static void test_out_without_memory(void **state)
{
    for (uint64_t nth = 1; nth <= 2; nth++) {
        struct alias_out a;
        bool is_new;
        alias_out_init(&a, 2, SEED);
        (void)memory_fail_at(nth);
        assert_int_equal(alias_out_use(&a, BYTES("a"), &is_new), 0);
        (void)memory_fail_at(0);
        assert_int_equal(alias_out_use(&a, BYTES("a"), &is_new), 1);
        assert_true(is_new);
        alias_out_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in),
        cmocka_unit_test(test_in_replaces_by_itself),
        cmocka_unit_test(test_in_without_memory),
        cmocka_unit_test(test_out),
        cmocka_unit_test(test_out_is_off),
        cmocka_unit_test(test_out_forgets),
        cmocka_unit_test(test_out_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
