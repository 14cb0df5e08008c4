#include "base/fake_disk.h"
#include "base/list.h"
#include "base/memory.h"
#include "broker/durable_records.h"
#include "cli/mosquitto_db_make.h"
#include "cli/store_import_fill.h"
#include "session/session.h"
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NOW       INT64_C(1767225600) /* 2026 */
#define SECOND_NS INT64_C(1000000000)
static const uint32_t FOR_EVER = UINT32_MAX;

/* ------------------------------------------------------------------------ a store in words ---- */

struct words {
    struct store_sink keys;
    struct store_reader entries;
    struct buffer text;
    uint64_t queue;
};

#define SAY(w, ...) assert_int_equal(buffer_printf(&(w)->text, __VA_ARGS__), 0)
#define TEXT(bytes) (int)(bytes).size, (const char *)(bytes).data

static void say_time(struct words *w, const char *word, int64_t time_ns)
{
    if (time_ns != MESSAGE_NEVER)
        SAY(w, " %s %+d", word, (int)(time_ns / SECOND_NS - NOW));
}

static void say_message(struct words *w, struct bytes body)
{
    bool no_memory;
    struct message *m = stored_message_read(body, 0, &no_memory);
    assert_non_null(m);
    SAY(w, " %.*s=%.*s qos %u%s", TEXT(m->topic), TEXT(m->payload), m->qos,
        m->retain ? " retain" : "");
    say_time(w, "until", m->expires_ns);
    if (m->properties.size > 0)
        SAY(w, " %zu bytes of properties", m->properties.size);
    message_unref(m);
}

static void say_session(struct words *w, struct bytes value)
{
    struct stored_session s;
    assert_true(stored_session_read(value, &s));
    assert_true(s.username.data == NULL && s.will.data == NULL && !s.is_connected);
    SAY(w, " %.*s", TEXT(s.client_id));
    if (s.expiry_s != FOR_EVER)
        SAY(w, " for %u", s.expiry_s);
    say_time(w, "since", s.since_ns);
    if (s.sent_end > 0)
        SAY(w, " sent");
}

static void say_subscription(struct words *w, struct bytes value)
{
    struct stored_subscription s;
    assert_true(stored_subscription_read(value, &s));
    SAY(w, " %#x id %u", s.options, s.id);
}

static bool say_key(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct words *w = container_of(sink, struct words, keys);
    struct durable_key k;
    assert_true(durable_key_read(key, &k));
    SAY(w, "%c", k.kind);
    if (k.kind != KEY_RETAINED)
        SAY(w, " %" PRIu64, k.session);
    if (k.kind == KEY_RECEIVED)
        SAY(w, " packet %" PRIu64, k.number);
    if (k.kind == KEY_RELEASED)
        SAY(w, " packet %" PRIu64, k.number % SESSION_STORED_IDS + 1);
    if (k.kind == KEY_SESSION)
        say_session(w, value);
    if (k.kind == KEY_GROUP)
        SAY(w, " %.*s", TEXT(value));
    if (k.kind == KEY_SUBSCRIPTION) {
        SAY(w, " %.*s", TEXT(k.filter));
        say_subscription(w, value);
    }
    if (k.kind == KEY_RETAINED)
        say_message(w, value);
    SAY(w, "\n");
    return true;
}

static bool say_entry(struct store_reader *reader, uint64_t seq, struct bytes data,
                      struct bytes body)
{
    struct words *w = container_of(reader, struct words, entries);
    struct stored_delivery d;
    assert_true(stored_delivery_read(data, &d));
    SAY(w, "queue %" PRIu64 " packet %" PRIu64 " qos %u%s", w->queue, seq % SESSION_STORED_IDS + 1,
        d.qos, d.retain ? " retain" : "");
    for (size_t i = 0; i < d.ids.size / 4; i++)
        SAY(w, " id %u", stored_delivery_id(&d, i));
    SAY(w, ":");
    say_message(w, body);
    SAY(w, "\n");
    return true;
}

static void say_store(struct words *w, struct store *s)
{
    static const uint8_t kinds[] = { KEY_SESSION,  KEY_GROUP,    KEY_SUBSCRIPTION,
                                     KEY_RECEIVED, KEY_RELEASED, KEY_RETAINED };
    struct store_fault fault;
    *w = (struct words){ .keys = { say_key }, .entries = { .on_entry = say_entry } };
    for (size_t i = 0; i < sizeof kinds; i++)
        assert_int_equal(store_walk(s, kinds[i], &w->keys, &fault), 0);
    for (w->queue = 0; w->queue < 10; w->queue++)
        assert_int_equal(store_read_queue(s, w->queue, 0, &w->entries), 0);
    SAY(w, "%c", '\0');
}

/* ------------------------------------------------------------------------------- a world ------ */

struct world {
    struct fake_disk disk;
    struct store *store;
    struct store_import *import;
    uint64_t progress;
};

static int open_store(struct world *w)
{
    struct store_fault fault;
    struct store_options o = {
        .files = &w->disk.files, .folder = "store", .id = 7, .segment_size = 64 * 1024
    };
    return store_open(&o, &w->store, &fault);
}

static void start(struct world *w, const struct made *made)
{
    struct store_import_options o = { .now_s = NOW, .seed = 1 };
    struct mosquitto_db_fault fault = { 0 };
    *w = (struct world){ 0 };
    fake_disk_init(&w->disk, 1);
    assert_int_equal(open_store(w), 0);
    assert_int_equal(store_import_create(made_bytes(made), &o, &w->import, &fault), 0);
}

static void stop(struct world *w)
{
    store_import_destroy(w->import);
    store_close(w->store);
    fake_disk_fini(&w->disk);
}

static void on_progress(void *context, uint64_t bytes)
{
    struct world *w = context;
    assert_true(bytes > w->progress);
    w->progress = bytes;
}

static int fill(struct world *w)
{
    struct store_fill f = { w->store, NOW * SECOND_NS, on_progress, w };
    return store_import_fill(w->import, &f);
}

/* What is committed survives. */
static void check_store(const struct made *made, const char *wanted)
{
    struct world w;
    struct words words;
    start(&w, made);
    assert_int_equal(fill(&w), 0);
    assert_true(w.progress > 0 || wanted[0] == '\0');
    fake_disk_power_loss(&w.disk, 1);
    store_close(w.store);
    assert_int_equal(open_store(&w), 0);
    say_store(&words, w.store);
    assert_string_equal((const char *)words.text.data, wanted);
    buffer_fini(&words.text);
    stop(&w);
}

static void queue(struct made *m, const char *client, uint64_t message, uint16_t packet_id,
                  uint8_t qos, uint8_t state)
{
    make_queued(m, (struct make_queued){ client, message, packet_id, qos, state, .dup = true });
}

/* -------------------------------------------------------------------------------- tests ------- */

static void sessions_end_when_they_would_have_ended(void **state)
{
    static struct made made;
    make_file(&made, 6, MAKE_LITTLE);
    make_client(&made, "three", FOR_EVER, 0, 5);
    make_client(&made, "five", 3600, NOW + 60, 0);
    make_client(&made, "online", 100, 0, 0);
    make_client(&made, "late", 100, NOW + 5000, 0); /* by a clock that was wrong */
    make_subscription(&made, "five", "a/+", 2 | 4 | 8, 7);
    make_subscription(&made, "three", "$share/g/a/#", 1, 0);
    make_subscription(&made, "five", "$share/h/a/#", 1, 0);
    make_subscription(&made, "five", "$share/g/a/#", 2, 0);
    check_store(&made, "s 1 three since +0\n"
                       "s 2 five for 3600 since -3540\n"
                       "s 3 online for 100 since +0\n"
                       "s 4 late for 100 since +0\n"
                       "g 5 $share/g/a/#\n"
                       "g 6 $share/h/a/#\n"
                       "f 1 $share/g/a/# 0x1 id 0\n"
                       "f 2 a/+ 0xe id 7\n"
                       "f 2 $share/h/a/# 0x1 id 0\n"
                       "f 2 $share/g/a/# 0x2 id 0\n");
}

/* One message is one record, whoever waits for it. */
static void queues_keep_order_and_packet_ids(void **state)
{
    static struct made made;
    make_file(&made, 6, MAKE_LITTLE);
    for (uint64_t id = 1; id <= 6; id++) {
        char topic[] = { 't', (char)('0' + id), '\0' };
        make_message(&made, (struct make_message){ .id = id, .topic = topic, .qos = 2 });
    }
    make_client(&made, "a", FOR_EVER, 0, 9);
    queue(&made, "a", 1, 0, 2, MOSQUITTO_WAITS);
    queue(&made, "a", 2, 32767, 1, MOSQUITTO_AWAITS_PUBACK);
    queue(&made, "a", 3, 1, 2, MOSQUITTO_AWAITS_PUBREC);
    queue(&made, "a", 0, 2, 2, MOSQUITTO_AWAITS_PUBCOMP);
    make_client(&made, "b", FOR_EVER, 0, 9);
    queue(&made, "b", 5, 7, 1, MOSQUITTO_AWAITS_PUBACK);
    queue(&made, "b", 4, 6, 1, MOSQUITTO_AWAITS_PUBACK); /* and then one with a lower id */
    make_queued(&made, (struct make_queued){ .client = "b",
                                             .message = 2,
                                             .qos = 2,
                                             .state = MOSQUITTO_WAITS,
                                             .retain = true,
                                             .properties = "\x02\x0b\x2a" });
    queue(&made, "b", 1, 0, 1, MOSQUITTO_WAITS);
    check_store(&made, "s 1 a since +0 sent\ns 2 b since +0 sent\n"
                       "p 1 packet 2\n"
                       "queue 1 packet 32767 qos 1: t2= qos 2\n"
                       "queue 1 packet 1 qos 2: t3= qos 2\n"
                       "queue 1 packet 5 qos 2: t1= qos 2\n"
                       "queue 2 packet 7 qos 1: t5= qos 2\n"
                       "queue 2 packet 6 qos 1: t4= qos 2\n"
                       "queue 2 packet 4 qos 2 retain id 42: t2= qos 2\n"
                       "queue 2 packet 5 qos 1: t1= qos 2\n");
}

/* Those that a stored delivery cannot have give way, and take nobody's. */
static void high_packet_ids_give_way(void **state)
{
    static struct made made;
    make_file(&made, 6, MAKE_LITTLE);
    make_message(&made, (struct make_message){ .id = 1, .topic = "t", .qos = 2 });
    make_client(&made, "a", FOR_EVER, 0, 2);
    queue(&made, "a", 1, 65534, 1, MOSQUITTO_AWAITS_PUBACK);
    queue(&made, "a", 1, 65535, 2, MOSQUITTO_AWAITS_PUBREC);
    queue(&made, "a", 1, 1, 1, MOSQUITTO_AWAITS_PUBACK);
    queue(&made, "a", 1, 3, 2, MOSQUITTO_AWAITS_PUBREC);
    queue(&made, "a", 0, 32768, 2, MOSQUITTO_AWAITS_PUBCOMP); /* nobody can release it */
    check_store(&made, "s 1 a since +0 sent\n"
                       "queue 1 packet 2 qos 1: t= qos 2\n"
                       "queue 1 packet 4 qos 2: t= qos 2\n"
                       "queue 1 packet 1 qos 1: t= qos 2\n"
                       "queue 1 packet 3 qos 2: t= qos 2\n");
}

/* What ends with the reception of a message does not go into the store; times are of the wall. */
static void messages_keep_what_travels_on(void **state)
{
    static struct made made;
    make_file(&made, 6, MAKE_LITTLE);
    make_message(&made, (struct make_message){ .id = 1,
                                               .expires_at_s = NOW + 9,
                                               .topic = "a",
                                               .payload = "x",
                                               .properties = "\x07\x02\x01\x01\x01\x01\x01\x01",
                                               .qos = 1 });
    make_message(&made, (struct make_message){ 2, 0, "b", "old", "", NULL, 2, 1 });
    make_message(&made, (struct make_message){ 3, 0, "b", "new", "", NULL, 0, 0 });
    make_message(&made, (struct make_message){ 4, 0, "c", "y", "", NULL, 2, 1 });
    make_message(&made, (struct make_message){ 5, 0, "c", "", "", NULL, 2, 1 });
    make_client(&made, "a", FOR_EVER, 0, 0);
    queue(&made, "a", 1, 0, 1, MOSQUITTO_WAITS);
    make_queued(&made, (struct make_queued){ "a", 5, 11, 2, MOSQUITTO_AWAITS_PUBREL, .in = true });
    for (uint64_t id = 1; id <= 4; id++)
        make_retained(&made, id);
    check_store(&made, "s 1 a since +0\n"
                       "q 1 packet 11\n"
                       "r a=x qos 1 retain until +9 2 bytes of properties\n"
                       "r b=new qos 0 retain\n"
                       "queue 1 packet 2 qos 1: a=x qos 1 until +9 2 bytes of properties\n");
}

static void nothing_makes_nothing(void **state)
{
    static struct made made;
    make_file(&made, 6, MAKE_LITTLE);
    make_config(&made, 1, true);
    check_store(&made, "");
}

/* ------------------------------------------------------------------------------ failures ------ */

static void make_something_of_all(struct made *m)
{
    make_file(m, 6, MAKE_LITTLE);
    make_message(m, (struct make_message){ 1, 0, "a/1", "x", "a", "\x02\x01\x01", 2, 1 });
    make_message(m, (struct make_message){ 2, 0, "a/2", "x", "a", NULL, 2, 1 });
    make_client(m, "a", FOR_EVER, 0, 5);
    make_subscription(m, "a", "a/+", 1, 0);
    queue(m, "a", 1, 1, 1, MOSQUITTO_AWAITS_PUBACK);
    queue(m, "a", 1, 2, 2, MOSQUITTO_AWAITS_PUBCOMP);
    make_queued(m, (struct make_queued){ "a", 2, 11, 2, MOSQUITTO_AWAITS_PUBREL, .in = true });
    make_retained(m, 1);
}

static void any_allocation_may_fail(void **state)
{
    static struct made made;
    make_something_of_all(&made);
    int result = -ENOMEM;
    for (uint64_t nth = 1; result != 0; nth++) {
        struct world w;
        start(&w, &made);
        memory_fail_at(nth);
        result = fill(&w);
        memory_fail_at(0);
        assert_true(result == -ENOMEM || (result == 0 && nth > 5));
        stop(&w);
    }
}

static void any_call_of_the_disk_may_fail(void **state)
{
    static struct made made;
    make_something_of_all(&made);
    int result = -EIO;
    for (uint64_t nth = 1; result != 0; nth++) {
        struct world w;
        start(&w, &made);
        fake_disk_fail_at(&w.disk, nth, EIO);
        result = fill(&w);
        assert_true(result == -EIO || (result == 0 && nth > 2));
        stop(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_end_when_they_would_have_ended),
        cmocka_unit_test(queues_keep_order_and_packet_ids),
        cmocka_unit_test(high_packet_ids_give_way),
        cmocka_unit_test(messages_keep_what_travels_on),
        cmocka_unit_test(nothing_makes_nothing),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(any_call_of_the_disk_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
