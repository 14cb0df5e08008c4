/* mqtt/message_test.c */
#include "base/memory.h"
#include "mqtt/message.h"
#include "mqtt/notation.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct publish publish_with(struct notation *list, const char *properties)
{
    struct publish p = { .qos = 1, .retain = true, .packet_id = 7, .payload = BYTES("payload") };
    p.properties.raw = notation_read(list, properties);
    return p;
}

static void test_one_block_holds_all(void **state)
{
    struct notation list;
    struct publish p = publish_with(&list, "03 s'text'");
    struct message *m = message_create(BYTES("a/b"), &p, 42, MESSAGE_NEVER);
    assert_non_null(m);
    memset(&list, 0xff, sizeof list); /* the packet's bytes may go */
    assert_true(bytes_equal(m->topic, BYTES("a/b")));
    assert_true(bytes_equal(m->payload, BYTES("payload")));
    assert_true(bytes_equal(m->properties, BYTES("\3\0\4text")));
    assert_int_equal(message_size(m), 3 + 7 + 7);
    assert_int_equal(m->qos, 1);
    assert_true(m->retain);
    assert_int_equal(m->origin, 42);

    assert_ptr_equal(message_ref(m), m);
    message_unref(m);
    assert_true(bytes_equal(m->topic, BYTES("a/b"))); /* one reference left */
    message_unref(m);
    message_unref(NULL);
}

static void test_nothing_inside(void **state)
{
    struct publish p = { 0 };
    struct message *m = message_create(BYTES("t"), &p, 0, MESSAGE_NEVER);
    assert_non_null(m);
    assert_int_equal(m->properties.size + m->payload.size, 0);
    message_unref(m);
}

/* A block that counts its ends. */
struct counted {
    struct block block;
    int destroyed;
    uint8_t bytes[8];
};

static void count_destroyed(struct block *block)
{
    ((struct counted *)block)->destroyed++;
}

static void test_payload_stays_where_it_is(void **state)
{
    struct counted owner = { .bytes = "payload" };
    char topic[] = "a/b";
    struct message view = { .topic = bytes_of_string(topic),
                            .properties = BYTES("\1\1"),
                            .payload = bytes_of(owner.bytes, 7),
                            .expires_ns = MESSAGE_NEVER,
                            .origin = 42,
                            .qos = 1 };
    block_init(&owner.block, count_destroyed);
    struct message *m = message_refer(&view, &owner.block);
    assert_non_null(m);
    topic[0] = 'x'; /* only the owner's bytes have to stay */
    assert_true(bytes_equal(m->topic, BYTES("a/b")));
    assert_true(bytes_equal(m->properties, BYTES("\1\1")));
    assert_ptr_equal(m->payload.data, owner.bytes);
    assert_int_equal(message_size(m), 3 + 2 + 7);
    assert_int_equal(m->origin, 42);
    assert_int_equal(m->qos, 1);

    block_unref(&owner.block); /* the message has its own */
    message_unref(message_ref(m));
    assert_int_equal(owner.destroyed, 0);
    message_unref(m);
    assert_int_equal(owner.destroyed, 1);
}

static void test_no_memory(void **state)
{
    struct publish p = { 0 };
    struct message view = { .topic = BYTES("t") };
    struct counted owner = { .destroyed = 0 };
    block_init(&owner.block, count_destroyed);
    (void)memory_fail_at(1);
    assert_null(message_create(BYTES("t"), &p, 0, MESSAGE_NEVER));
    (void)memory_fail_at(1);
    assert_null(message_copy(&view));
    (void)memory_fail_at(1);
    assert_null(message_refer(&view, &owner.block));
    (void)memory_fail_at(0);
    assert_true(block_is_unshared(&owner.block));
}

/* What travels on, unaltered and in order: [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16]
 * [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20] [MQTT-3.1.3-10]. */
static const struct {
    const char *list, *travels;
} rows[] = {
    { "", "" },
    { "01 01", "01 01" },
    { "03 s'type' 08 s'answer/here' 09 s'data'", "03 s'type' 08 s'answer/here' 09 s'data'" },
    { "26 s'b' s'1' 26 s'a' s'2' 26 s'b' s'3'", "26 s'b' s'1' 26 s'a' s'2' 26 s'b' s'3'" },
    { "02 0000000a 01 01", "01 01" },                 /* said anew, with the time that is left */
    { "23 0001", "" },                                /* an alias is between two neighbours */
    { "0b 01 0b 8001 26 s'a' s'b'", "26 s'a' s'b'" }, /* another receiver, other identifiers */
    { "18 0000000a 03 s'type'", "03 s'type'" },       /* a Will's delay is over */
};

static void test_properties_that_travel(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct notation list, expected;
        uint8_t out[256];
        struct bytes all = notation_read(&list, rows[i].list);
        struct bytes copy = bytes_of(out, message_properties_copy(all, out));
        if (!bytes_equal(copy, notation_read(&expected, rows[i].travels)))
            fail_msg("list %s", rows[i].list);
    }
}

static void test_expiry(void **state)
{
    static const int64_t s = 1000000000;
    struct message m = { .expires_ns = 100 * s };
    assert_false(message_is_expired(&m, 100 * s - 1));
    assert_true(message_is_expired(&m, 100 * s));
    assert_int_equal(message_expiry_s(&m, 90 * s), 10); /* [MQTT-3.3.2-6] */
    assert_int_equal(message_expiry_s(&m, 90 * s + 1), 10);
    assert_int_equal(message_expiry_s(&m, 91 * s), 9);
    assert_int_equal(message_expiry_s(&m, 100 * s - 1), 1);
    assert_int_equal(message_expiry_s(&m, 101 * s), 1);
    m.expires_ns = MESSAGE_NEVER;
    assert_false(message_is_expired(&m, 1));
    assert_int_equal(message_expiry_s(&m, 0), UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_block_holds_all),       cmocka_unit_test(test_nothing_inside),
        cmocka_unit_test(test_payload_stays_where_it_is), cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_properties_that_travel),    cmocka_unit_test(test_expiry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
