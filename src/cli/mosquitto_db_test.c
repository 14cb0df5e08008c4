#include "cli/mosquitto_db.h"
#include "cli/mosquitto_db_make.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const int64_t NEW_YEAR = 1767225600; /* 2026 */

/* One of each kind. */
static void make_one_of_each(struct made *m)
{
    bool is_v5 = m->version >= 5;
    make_config(m, 0x0123456789abcdef, true);
    make_message(m, (struct make_message){ .id = 9,
                                           .expires_at_s = NEW_YEAR,
                                           .topic = "a/b",
                                           .payload = "hello",
                                           .from = "pub",
                                           .properties = is_v5 ? "\x02\x01\x01" : NULL,
                                           .qos = 2,
                                           .retain = 1 });
    make_client(m, "client", 3600, NEW_YEAR, 500);
    make_queued(m, (struct make_queued){ .client = "client",
                                         .message = 9,
                                         .packet_id = 499,
                                         .qos = 2,
                                         .state = 5,
                                         .dup = true,
                                         .properties = is_v5 ? "\x02\x0b\x07" : NULL });
    make_subscription(m, "client", "a/#", is_v5 ? 2 | 4 | 8 : 2, 7);
    make_retained(m, 9);
}

static void check_text(struct bytes actual, const char *wanted)
{
    assert_int_equal(actual.size, strlen(wanted));
    assert_memory_equal(actual.data, wanted, actual.size);
}

static void next(struct mosquitto_db *db, enum mosquitto_kind kind, struct mosquitto_record *out)
{
    struct mosquitto_db_fault fault = { 0 };
    assert_int_equal(mosquitto_db_next(db, out, &fault), 1);
    assert_int_equal(out->kind, kind);
}

static void check_message(const struct mosquitto_message *m, uint32_t version)
{
    check_text(m->topic, "a/b");
    check_text(m->payload, "hello");
    check_text(m->client_id, "pub");
    check_text(m->username, version >= 4 ? "alice" : "");
    assert_int_equal(m->listener_port, version >= 4 ? 1883 : 0);
    assert_int_equal(m->qos, 2);
    assert_true(m->retain);
    assert_int_equal(m->expires_at_s, version >= 5 ? NEW_YEAR : 0);
}

static void check_client(const struct mosquitto_client *c, uint32_t version)
{
    check_text(c->client_id, "client");
    check_text(c->username, version == 6 ? "bob" : "");
    assert_int_equal(c->listener_port, version == 6 ? 1883 : 0);
    assert_int_equal(c->has_expiry, version >= 5);
    assert_int_equal(c->expiry_s, version >= 5 ? 3600 : 0);
    assert_int_equal(c->expires_at_s, version >= 5 ? NEW_YEAR : 0);
    assert_int_equal(c->last_packet_id, 500);
}

static void check_queued(const struct mosquitto_queued *q, uint64_t message, uint32_t version)
{
    check_text(q->client_id, "client");
    assert_int_equal(q->message, message);
    assert_int_equal(q->packet_id, 499);
    assert_int_equal(q->qos, 2);
    assert_int_equal(q->state, MOSQUITTO_AWAITS_PUBREC);
    assert_true(q->is_dup);
    assert_false(q->retain);
    assert_false(q->is_from_client);
    check_text(q->properties, version >= 5 ? "\x0b\x07" : "");
}

static void check_one_of_each(const struct made *made)
{
    struct mosquitto_db db;
    struct mosquitto_db_fault fault = { 0 };
    struct mosquitto_record r;
    uint32_t version = made->version;
    assert_int_equal(mosquitto_db_open(made_bytes(made), &db, &fault), 0);
    assert_int_equal(db.version, version);

    next(&db, MOSQUITTO_CONFIG, &r);
    assert_true(r.config.is_stopped);
    assert_int_equal(r.offset, 23);
    next(&db, MOSQUITTO_MESSAGE, &r);
    uint64_t id = r.message.id;
    check_message(&r.message, version);
    assert_int_equal(r.message.properties.size, version >= 5 ? 2 : 0);
    next(&db, MOSQUITTO_CLIENT, &r);
    check_client(&r.client, version);
    next(&db, MOSQUITTO_QUEUED, &r);
    check_queued(&r.queued, id, version);
    next(&db, MOSQUITTO_SUBSCRIPTION, &r);
    check_text(r.subscription.client_id, "client");
    check_text(r.subscription.filter, "a/#");
    assert_int_equal(r.subscription.options, version >= 5 ? 2 | 4 | 8 : 2);
    assert_int_equal(r.subscription.subscription_id, version >= 5 ? 7 : 0);
    next(&db, MOSQUITTO_RETAINED, &r);
    assert_int_equal(r.retained, id);
    assert_int_equal(mosquitto_db_next(&db, &r, &fault), 0);
}

static void every_format_of_every_machine(void **state)
{
    static struct made made;
    for (uint32_t version = 2; version <= 6; version++) {
        for (int machine = 0; machine < 4; machine++) {
            made.is_i386 = machine >= 2;
            make_file(&made, version, machine % 2 == 0 ? MAKE_LITTLE : MAKE_BIG);
            make_one_of_each(&made);
            check_one_of_each(&made);
        }
    }
}

static const struct {
    int64_t time;
    const char *what;
} times[] = {
    { 0, "none" },
    { 1, "a machine without a clock" },
    { 86400, "the same, later" },
    { 1767225600, "2026" },
    { 0x69000000, "low bytes of zero" },
    { 0x100000000, "2106" },
    { 0x1ffffffff, "as far as an interval goes" },
};

static void times_are_told_by_their_age(void **state)
{
    static struct made made;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        for (int order = MAKE_LITTLE; order <= MAKE_BIG; order++) {
            struct mosquitto_db db;
            struct mosquitto_db_fault fault = { 0 };
            struct mosquitto_record r;
            made.is_i386 = false;
            make_file(&made, 6, (enum make_order)order);
            make_client(&made, "c", 5, times[i].time, 0);
            assert_int_equal(mosquitto_db_open(made_bytes(&made), &db, &fault), 0);
            next(&db, MOSQUITTO_CLIENT, &r);
            assert_int_equal(r.client.expires_at_s, times[i].time);
        }
    }
}

/* Reads until the end or a fault; what it said last. */
static int read_all(struct bytes file, struct mosquitto_db_fault *fault)
{
    struct mosquitto_db db;
    struct mosquitto_record r;
    int result = mosquitto_db_open(file, &db, fault);
    if (result != 0)
        return result;
    do {
        result = mosquitto_db_next(&db, &r, fault);
    } while (result == 1);
    return result;
}

static void cut_anywhere(void **state)
{
    static struct made made;
    for (uint32_t version = 2; version <= 6; version++) {
        make_file(&made, version, MAKE_LITTLE);
        make_one_of_each(&made);
        size_t whole = 0;
        for (size_t size = 0; size <= made.size; size++) {
            /* A copy of its own, so that a sanitizer sees the first byte too many. */
            uint8_t *copy = malloc(size + 1);
            memcpy(copy + 1, made.data, size);
            struct mosquitto_db_fault fault = { 0 };
            int result = read_all(bytes_of(copy + 1, size), &fault);
            whole += result == 0;
            assert_true(result == 0 || (result == -EBADMSG && fault.text[0] != '\0'));
            assert_true(result == 0 || fault.offset <= size);
            free(copy);
        }
        assert_int_equal(whole, 7); /* behind the header, and behind each chunk */
    }
}

static void any_byte_may_be_wrong(void **state)
{
    static struct made made;
    for (uint32_t version = 2; version <= 6; version++) {
        make_file(&made, version, MAKE_LITTLE);
        make_one_of_each(&made);
        for (size_t at = 0; at < made.size; at++) {
            for (int bit = 0; bit < 8; bit++) {
                struct mosquitto_db_fault fault = { 0 };
                made.data[at] ^= (uint8_t)(1 << bit);
                int result = read_all(made_bytes(&made), &fault);
                assert_true(result == 0 || fault.text[0] != '\0');
                made.data[at] ^= (uint8_t)(1 << bit);
            }
        }
    }
}

/* `size` bytes replace those at an offset of a file that has one of each. */
static const struct {
    size_t at;
    const char *bytes;
    size_t size;
    int error;
    uint64_t offset;
    const char *text;
} faults[] = {
    { 0, "x", 1, -EBADMSG, 0, "this is not a mosquitto.db" },
    { 22, "\7", 1, -EPROTONOSUPPORT, 19, "format 7: only 2 to 6 can be read" },
    { 22, "\1", 1, -EPROTONOSUPPORT, 19, "format 1: only 2 to 6 can be read" },
    { 26, "\x09", 1, -EBADMSG, 23, "a chunk of the unknown type 9" },
    { 26, "\0", 1, -EBADMSG, 23, "a chunk of the unknown type 0" },
    { 27, "\1", 1, -EBADMSG, 23,
      "configuration: the file ends before this chunk of 16777232 bytes" },
    { 30, "\x09", 1, -EBADMSG, 23, "configuration: longer than its chunk of 9 bytes" },
    { 30, "\x11", 1, -EBADMSG, 23, "configuration: 5 bytes too many in its chunk" },
    { 40, "\4", 1, -EBADMSG, 23, "configuration: a value that Mosquitto does not write" },
    { 63, "\1\2\3\4\5\6\7\x08", 8, -EBADMSG, 47, "message: a value that Mosquitto does not write" },
    { 74, "\xff", 1, -EBADMSG, 47, "message: longer than its chunk of 51 bytes" },
};

static void faults_are_named(void **state)
{
    static struct made made;
    made.is_i386 = false;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct mosquitto_db_fault fault = { 0 };
        make_file(&made, 6, MAKE_LITTLE);
        make_one_of_each(&made);
        memcpy(made.data + faults[i].at, faults[i].bytes, faults[i].size);
        assert_int_equal(read_all(made_bytes(&made), &fault), faults[i].error);
        assert_string_equal(fault.text, faults[i].text);
        assert_int_equal(fault.offset, faults[i].offset);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_of_every_machine),
        cmocka_unit_test(times_are_told_by_their_age),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(any_byte_may_be_wrong),
        cmocka_unit_test(faults_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
