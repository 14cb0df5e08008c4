/* broker/durable_records_test.c: what is written is read back; what is cut or odd is refused. */
#include "base/memory.h"
#include "broker/durable_records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_bytes(struct bytes a, struct bytes b)
{
    assert_int_equal(a.size, b.size);
    if (a.size > 0)
        assert_memory_equal(a.data, b.data, a.size);
}

static void keys_survive(void **state)
{
    static const struct durable_key keys[] = {
        { .kind = KEY_SESSION, .session = 1 },
        { .kind = KEY_SESSION, .session = UINT64_MAX },
        { .kind = KEY_SUBSCRIPTION, .session = 7, .filter = { (const uint8_t *)"a/+/#", 5 } },
        { .kind = KEY_RETAINED, .filter = { (const uint8_t *)"a/b", 3 } },
        { .kind = KEY_RECEIVED, .session = 7, .number = 65535 },
        { .kind = KEY_RELEASED, .session = 7, .number = UINT64_C(1) << 40 },
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct buffer b = { 0 };
        struct durable_key k;
        assert_int_equal(durable_key_write(&b, &keys[i]), 0);
        assert_true(durable_key_read(buffer_bytes(&b), &k));
        assert_int_equal(k.kind, keys[i].kind);
        assert_int_equal(k.session, keys[i].session);
        assert_int_equal(k.number, keys[i].number);
        assert_bytes(k.filter, keys[i].filter);
        size_t least = b.size - (k.filter.size > 0 ? k.filter.size - 1 : 0);
        for (size_t size = 0; size < least; size++)
            assert_false(durable_key_read(bytes_of(b.data, size), &k));
        buffer_fini(&b);
    }
    struct durable_key k;
    assert_false(durable_key_read(BYTES(""), &k));
    assert_false(durable_key_read(BYTES("x12345678"), &k));
    assert_false(durable_key_read(BYTES("s12345678 and more"), &k));
}

static void messages_survive(void **state)
{
    struct message view = { .expires_ns = 1000,
                            .topic = BYTES("a/b"),
                            .properties = BYTES("\x01\x01"),
                            .payload = BYTES("hello"),
                            .qos = 2,
                            .retain = true };
    for (int never = 0; never < 2; never++) {
        struct buffer b = { 0 };
        bool no_memory;
        view.expires_ns = never != 0 ? MESSAGE_NEVER : 1000;
        assert_int_equal(stored_message_write(&b, &view, 500), 0);
        struct message *m = stored_message_read(buffer_bytes(&b), 600, &no_memory);
        assert_non_null(m);
        assert_bytes(m->topic, view.topic);
        assert_bytes(m->properties, view.properties);
        assert_bytes(m->payload, view.payload);
        assert_int_equal(m->qos, 2);
        assert_true(m->retain);
        assert_int_equal(m->expires_ns, never != 0 ? MESSAGE_NEVER : 900);
        message_unref(m);
        for (size_t size = 0; size < STORED_MESSAGE_HEAD + 5; size++) {
            assert_null(stored_message_read(bytes_of(b.data, size), 0, &no_memory));
            assert_false(no_memory);
        }
        memory_fail_at(1);
        assert_null(stored_message_read(buffer_bytes(&b), 0, &no_memory));
        memory_fail_at(0);
        assert_true(no_memory);
        b.data[0] = 3; /* QoS 3 */
        assert_null(stored_message_read(buffer_bytes(&b), 0, &no_memory));
        buffer_fini(&b);
    }
}

static void deliveries_survive(void **state)
{
    static const uint32_t ids[] = { 1, 268435455, 7 };
    for (unsigned i = 0; i < 12; i++) {
        uint8_t bytes[STORED_DELIVERY_HEAD + sizeof ids];
        struct stored_delivery d = { .qos = (uint8_t)(i % 3),
                                     .retain = i % 2 != 0,
                                     .until_sent = i > 5 },
                               r;
        size_t count = i % 4;
        size_t size = stored_delivery_write(&d, ids, count, bytes);
        assert_int_equal(size, STORED_DELIVERY_HEAD + 4 * count);
        assert_true(stored_delivery_read(bytes_of(bytes, size), &r));
        assert_int_equal(r.qos, d.qos);
        assert_int_equal(r.retain, d.retain);
        assert_int_equal(r.until_sent, d.until_sent);
        assert_int_equal(r.ids.size, 4 * count);
        for (size_t j = 0; j < count; j++)
            assert_int_equal(stored_delivery_id(&r, j), ids[j]);
        assert_false(stored_delivery_read(bytes_of(bytes, size - 1), &r));
    }
}

static void sessions_survive(void **state)
{
    static const struct stored_session sessions[] = {
        { .client_id = { (const uint8_t *)"c", 1 }, .expiry_s = UINT32_MAX },
        { .client_id = { (const uint8_t *)"client", 6 },
          .username = { (const uint8_t *)"", 0 },
          .expiry_s = 5,
          .is_connected = true,
          .since_ns = -7,
          .will = { (const uint8_t *)"will", 4 },
          .will_delay_s = 9,
          .will_lifetime_ns = MESSAGE_NEVER,
          .sent_end = 20 },
    };
    for (size_t i = 0; i < 2; i++) {
        const struct stored_session *s = &sessions[i];
        struct buffer b = { 0 };
        struct stored_session r;
        assert_int_equal(stored_session_write(&b, s), 0);
        assert_true(stored_session_read(buffer_bytes(&b), &r));
        assert_bytes(r.client_id, s->client_id);
        assert_int_equal(r.username.data == NULL, s->username.data == NULL);
        assert_bytes(r.username, s->username);
        assert_int_equal(r.will.data == NULL, s->will.data == NULL);
        assert_bytes(r.will, s->will);
        assert_int_equal(r.expiry_s, s->expiry_s);
        assert_int_equal(r.is_connected, s->is_connected);
        assert_int_equal(r.since_ns, s->since_ns);
        assert_int_equal(r.will_delay_s, s->will_delay_s);
        assert_int_equal(r.will_lifetime_ns, s->will_lifetime_ns);
        assert_int_equal(r.sent_end, s->sent_end);
        for (size_t size = 0; size < b.size; size++)
            assert_false(stored_session_read(bytes_of(b.data, size), &r));
        buffer_fini(&b);
    }
}

static void subscriptions_survive(void **state)
{
    uint8_t bytes[STORED_SUBSCRIPTION_SIZE];
    struct stored_subscription s = { .options = 0x2e, .id = 77 }, r;
    stored_subscription_write(&s, bytes);
    assert_true(stored_subscription_read(bytes_of(bytes, sizeof bytes), &r));
    assert_int_equal(r.options, s.options);
    assert_int_equal(r.id, s.id);
    for (size_t size = 0; size < sizeof bytes; size++)
        assert_false(stored_subscription_read(bytes_of(bytes, size), &r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_survive),          cmocka_unit_test(messages_survive),
        cmocka_unit_test(deliveries_survive),    cmocka_unit_test(sessions_survive),
        cmocka_unit_test(subscriptions_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
