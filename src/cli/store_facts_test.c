/* Records as a broker writes them, and as one would not: what is told of them. */
#include "cli/store_facts.h"
#include "cli/store_flaw.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NOW INT64_C(1767225600000000000) /* 2026 */

static struct bytes text_of(const char *text)
{
    return bytes_of_string(text);
}

/* ------------------------------------------------------------------------ things to write ----- */

static void write_key(struct buffer *out, uint8_t kind, uint64_t session, uint64_t number,
                      const char *filter)
{
    struct durable_key k = {
        .kind = kind, .session = session, .number = number, .filter = text_of(filter)
    };
    assert_int_equal(durable_key_write(out, &k), 0);
}

static void write_message(struct buffer *out, const char *topic, struct bytes properties,
                          const char *payload)
{
    struct message m = { .topic = text_of(topic),
                         .properties = properties,
                         .payload = text_of(payload),
                         .qos = 1,
                         .retain = true,
                         .expires_ns = NOW };
    assert_int_equal(stored_message_write(out, &m, 0), 0);
}

static void write_session(struct buffer *out, const char *client_id, struct bytes will)
{
    struct stored_session s = { .client_id = text_of(client_id),
                                .username = BYTES("alice"),
                                .expiry_s = 60,
                                .is_connected = true,
                                .since_ns = NOW,
                                .will = will,
                                .will_delay_s = 5,
                                .will_lifetime_ns = INT64_C(9000000000) };
    assert_int_equal(stored_session_write(out, &s), 0);
}

static void write_subscription(struct buffer *out, uint32_t options, uint32_t id)
{
    uint8_t value[STORED_SUBSCRIPTION_SIZE];
    stored_subscription_write(&(struct stored_subscription){ options, id }, value);
    assert_int_equal(buffer_append(out, bytes_of(value, sizeof value)), 0);
}

/* -------------------------------------------------------------------------------- telling ----- */

static void check_told(struct buffer *record, const char *wanted, const char *flaw)
{
    struct record r;
    struct facts f;
    assert_int_equal(record_read(buffer_bytes(record), &r), 0);
    if (flaw == NULL)
        assert_null(record_flaw(&r));
    else
        assert_string_equal(record_flaw(&r), flaw);
    facts_init(&f, FACTS_TEXT);
    facts_record(&f, &r, 8);
    assert_int_equal(f.error, 0);
    assert_int_equal(buffer_append(&f.out, BYTES("\0")), 0);
    if (wanted != NULL)
        assert_string_equal((const char *)f.out.data, wanted);
    facts_fini(&f);
    buffer_fini(record);
}

static void check_put(struct buffer *key, struct buffer *value, const char *wanted,
                      const char *flaw)
{
    struct buffer record = { 0 };
    assert_int_equal(record_put(&record, buffer_bytes(key), buffer_bytes(value)), 0);
    buffer_fini(key);
    buffer_fini(value);
    check_told(&record, wanted, flaw);
}

static void sessions(void **state)
{
    struct buffer key = { 0 }, value = { 0 }, will = { 0 };
    write_key(&key, KEY_SESSION, 7, 0, "");
    write_session(&value, "c", (struct bytes){ 0 });
    check_put(&key, &value,
              "put session session=7 client_id=\"c\" username=\"alice\" connected "
              "since=2026-01-01T00:00:00.000Z expiry_s=60",
              NULL);
    write_key(&key, KEY_SESSION, 7, 0, "");
    write_message(&will, "w", (struct bytes){ 0 }, "gone");
    write_session(&value, "c", buffer_bytes(&will));
    check_put(&key, &value,
              "put session session=7 client_id=\"c\" username=\"alice\" connected "
              "since=2026-01-01T00:00:00.000Z expiry_s=60 will={delay_s=5 lifetime_s=9 topic=\"w\" "
              "published_qos=1 published_retain expires=2026-01-01T00:00:00.000Z payload_size=4 "
              "payload=\"gone\"}",
              NULL);
    buffer_fini(&will);
}

static void subscriptions_and_packet_ids(void **state)
{
    struct buffer key = { 0 }, value = { 0 }, record = { 0 };
    write_key(&key, KEY_SUBSCRIPTION, 7, 0, "$share/g/a/#");
    write_subscription(&value, 2 | 8 | 1 << 4, 3);
    check_put(&key, &value,
              "put subscription session=7 filter=\"$share/g/a/#\" qos=2 retain_as_published "
              "retain_handling=1 subscription_id=3",
              NULL);
    write_key(&key, KEY_RECEIVED, 7, 12, "");
    check_put(&key, &value, "put received session=7 packet_id=12", NULL);
    write_key(&key, KEY_RELEASED, 7, 70000, "");
    check_put(&key, &value, "put released session=7 seq=70000", NULL);
    write_key(&key, KEY_RETAINED, 0, 0, "t");
    assert_int_equal(record_remove(&record, buffer_bytes(&key)), 0);
    buffer_fini(&key);
    check_told(&record, "remove retained topic=\"t\"", NULL);
}

static void groups(void **state)
{
    struct buffer key = { 0 }, value = { 0 }, record = { 0 };
    write_key(&key, KEY_GROUP, 7, 0, "");
    assert_int_equal(buffer_append(&value, BYTES("$share/g/a/#")), 0);
    check_put(&key, &value, "put group group=7 filter=\"$share/g/a/#\"", NULL);
    write_key(&key, KEY_GROUP, 7, 0, "");
    assert_int_equal(record_remove(&record, buffer_bytes(&key)), 0);
    buffer_fini(&key);
    check_told(&record, "remove group group=7", NULL);
}

static void retained_messages(void **state)
{
    struct buffer key = { 0 }, value = { 0 };
    write_key(&key, KEY_RETAINED, 0, 0, "t");
    write_message(&value, "t", BYTES("\x03\x00\x01x\x26\x00\x01k\x00\x01v"), "a long payload");
    check_put(&key, &value,
              "put retained topic=\"t\" published_qos=1 published_retain "
              "expires=2026-01-01T00:00:00.000Z properties=[{content-type=\"x\"} "
              "{user-property=\"k\" value=\"v\"}] payload_size=14 payload=\"a long p\"...",
              NULL);
}

static void append(struct buffer *record, const struct record_entry *entries, size_t count)
{
    struct buffer body = { 0 };
    write_message(&body, "t", (struct bytes){ 0 }, "x");
    struct bytes part = buffer_bytes(&body);
    assert_int_equal(record_append(record, entries, count, &part, 1), 0);
    buffer_fini(&body);
}

static void queues(void **state)
{
    uint8_t one[12], other[4];
    uint32_t ids[] = { 5, 6 };
    struct stored_delivery first = { .qos = 2, .retain = true },
                           second = { .qos = 1, .until_sent = true };
    struct record_entry entries[] = {
        { 7, 1, bytes_of(one, stored_delivery_write(&first, ids, 2, one)) },
        { 8, 9, bytes_of(other, stored_delivery_write(&second, NULL, 0, other)) },
    };
    struct buffer record = { 0 };
    append(&record, entries, 2);
    check_told(&record,
               "append entries=[{queue=7 seq=1 qos=2 retain subscription_ids=[5 6]} {queue=8 "
               "seq=9 qos=1 until_sent}] topic=\"t\" published_qos=1 published_retain "
               "expires=2026-01-01T00:00:00.000Z payload_size=1 payload=\"x\"",
               NULL);
    assert_int_equal(record_finish(&record, 7, 1), 0);
    check_told(&record, "finish entries=[{queue=7 seq=1}]", NULL);
    assert_int_equal(record_drop(&record, 7), 0);
    check_told(&record, "drop entries=[{queue=7}]", NULL);
}

/* --------------------------------------------------------------------------------- flaws ------ */

static void keys_that_make_no_sense(void **state)
{
    static const struct bytes keys[] = {
        { (const uint8_t *)"", 0 },          { (const uint8_t *)"s1234567", 8 },
        { (const uint8_t *)"x12345678", 9 }, { (const uint8_t *)"s123456789", 10 },
        { (const uint8_t *)"r", 1 },         { (const uint8_t *)"q123456781", 10 },
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct buffer record = { 0 };
        assert_int_equal(record_put(&record, keys[i], BYTES("v")), 0);
        check_told(&record, NULL, "its key is none that a broker writes");
    }
}

static void groups_that_make_no_sense(void **state)
{
    static const char *const filters[] = {
        "",           "a",           "$share/g",   "$share/g/", "$share//a",
        "$share/+/a", "$share/g/a#", "$SHARE/g/a", "$share",    "$share/g/\xff"
    };
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        struct buffer key = { 0 }, value = { 0 };
        write_key(&key, KEY_GROUP, 7, 0, "");
        assert_int_equal(buffer_append(&value, text_of(filters[i])), 0);
        check_put(&key, &value, NULL, "it is no group of a Shared Subscription");
    }
}

/* A broker refuses one whose size it could not keep. */
static void a_group_with_a_long_filter(void **state)
{
    for (size_t extra = 0; extra < 2; extra++) {
        struct buffer key = { 0 }, value = { 0 };
        write_key(&key, KEY_GROUP, 7, 0, "");
        assert_int_equal(buffer_append(&value, BYTES("$share/g/")), 0);
        size_t rest = UINT16_MAX - value.size + extra;
        uint8_t *room = buffer_reserve(&value, rest);
        assert_non_null(room);
        memset(room, 'a', rest);
        buffer_commit(&value, rest);
        check_put(&key, &value, NULL,
                  extra == 0 ? NULL : "it is no group of a Shared Subscription");
    }
}

static void subscriptions_that_make_no_sense(void **state)
{
    static const struct {
        const char *filter;
        uint32_t options, id;
        const char *flaw;
    } rows[] = {
        { "a/#/b", 1, 0, "the subscription's filter is no Topic Filter" },
        { "$share/g", 1, 0, "the subscription's filter is no Topic Filter" },
        { "\xff", 1, 0, "the subscription's filter is no Topic Filter" },
        { "a", 3, 0, "the subscription's options make no sense" },
        { "a", 0x30, 0, "the subscription's options make no sense" },
        { "a", 0x40, 0, "the subscription's options make no sense" },
        { "a", 1, 268435456, "there is no such Subscription Identifier" },
        { "a", 1, 268435455, NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buffer key = { 0 }, value = { 0 };
        write_key(&key, KEY_SUBSCRIPTION, 7, 0, rows[i].filter);
        write_subscription(&value, rows[i].options, rows[i].id);
        check_put(&key, &value, NULL, rows[i].flaw);
    }
}

static void messages_that_make_no_sense(void **state)
{
    static const struct {
        const char *key, *topic;
        struct bytes properties;
        const char *flaw;
    } rows[] = {
        { "t",
          "t",
          { (const uint8_t *)"\x03\x00\x05x", 4 },
          "the message's properties make no sense" },
        { "t", "#", { 0 }, "the message's topic is no Topic Name" },
        { "t", "u", { 0 }, "the Retained Message has another topic than its key" },
        { "t", "", { 0 }, "it is no message" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buffer key = { 0 }, value = { 0 };
        write_key(&key, KEY_RETAINED, 0, 0, rows[i].key);
        write_message(&value, rows[i].topic, rows[i].properties, "x");
        check_put(&key, &value, NULL, rows[i].flaw);
    }
}

static void values_that_make_no_sense(void **state)
{
    static const struct {
        uint8_t kind;
        uint64_t number;
        struct bytes value;
        const char *flaw;
    } rows[] = {
        { KEY_SESSION, 0, { (const uint8_t *)"short", 5 }, "it is no Session" },
        { KEY_RECEIVED, 0, { 0 }, "0 is no Packet Identifier" },
        { KEY_RECEIVED, 1, { (const uint8_t *)"v", 1 }, "a Packet Identifier has no value" },
        { KEY_RELEASED, 1, { (const uint8_t *)"v", 1 }, "a Packet Identifier has no value" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buffer key = { 0 }, value = { 0 };
        write_key(&key, rows[i].kind, 7, rows[i].number, "");
        assert_int_equal(buffer_append(&value, rows[i].value), 0);
        check_put(&key, &value, NULL, rows[i].flaw);
    }
}

static void entries_that_make_no_sense(void **state)
{
    static const struct {
        struct bytes data;
        const char *flaw;
    } rows[] = {
        { { (const uint8_t *)"\x03\0\0\0", 4 },
          "an entry of a queue says nothing that makes sense" },
        { { (const uint8_t *)"\x01\0\0", 3 }, "an entry of a queue says nothing that makes sense" },
        { { (const uint8_t *)"\x01\0\0\0\0\0\0\0", 8 },
          "an entry of a queue has an impossible Subscription Identifier" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct record_entry entry = { 7, 1, rows[i].data };
        struct buffer record = { 0 };
        append(&record, &entry, 1);
        check_told(&record, NULL, rows[i].flaw);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions),
        cmocka_unit_test(subscriptions_and_packet_ids),
        cmocka_unit_test(groups),
        cmocka_unit_test(retained_messages),
        cmocka_unit_test(queues),
        cmocka_unit_test(keys_that_make_no_sense),
        cmocka_unit_test(groups_that_make_no_sense),
        cmocka_unit_test(a_group_with_a_long_filter),
        cmocka_unit_test(subscriptions_that_make_no_sense),
        cmocka_unit_test(messages_that_make_no_sense),
        cmocka_unit_test(values_that_make_no_sense),
        cmocka_unit_test(entries_that_make_no_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
