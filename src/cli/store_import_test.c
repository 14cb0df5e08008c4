#include "base/buffer.h"
#include "base/memory.h"
#include "cli/mosquitto_db_make.h"
#include "cli/store_import.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NOW INT64_C(1767225600) /* 2026 */
static const uint32_t FOR_EVER = UINT32_MAX;

/* ------------------------------------------------------------------------- a sink of words ---- */

struct words {
    struct import_sink sink;
    struct buffer text;
    int calls_left; /* then it fails; -1: never */
};

static int counted(struct import_sink *sink)
{
    struct words *w = (struct words *)sink;
    if (w->calls_left == 0)
        return -EIO;
    w->calls_left -= w->calls_left > 0;
    return 0;
}

static struct buffer *text_of(struct import_sink *sink)
{
    return &((struct words *)sink)->text;
}

static void say_time(struct buffer *out, int64_t time_s)
{
    if (time_s != IMPORT_NEVER)
        assert_int_equal(buffer_printf(out, " until +%d", (int)(time_s - NOW)), 0);
}

static int say_session(struct import_sink *sink, const struct import_session *s)
{
    struct buffer *out = text_of(sink);
    assert_int_equal(buffer_printf(out, "session %.*s last %u", (int)s->client_id.size,
                                   (const char *)s->client_id.data, s->last_packet_id),
                     0);
    if (s->expiry_s != FOR_EVER)
        assert_int_equal(buffer_printf(out, " for %u", s->expiry_s), 0);
    say_time(out, s->expires_at_s);
    assert_int_equal(buffer_append(out, BYTES("\n")), 0);
    return counted(sink);
}

static int say_subscription(struct import_sink *sink, uint32_t session,
                            const struct import_subscription *s)
{
    assert_int_equal(buffer_printf(text_of(sink), "%u: %.*s %#x id %u\n", session,
                                   (int)s->filter.size, (const char *)s->filter.data, s->options,
                                   s->subscription_id),
                     0);
    return counted(sink);
}

static int say_received(struct import_sink *sink, uint32_t session, uint16_t packet_id)
{
    assert_int_equal(buffer_printf(text_of(sink), "%u: received %u\n", session, packet_id), 0);
    return counted(sink);
}

static void say_message(struct buffer *out, const struct import_message *m)
{
    assert_int_equal(buffer_printf(out, "%.*s=%.*s qos %u%s from %.*s%s", (int)m->topic.size,
                                   (const char *)m->topic.data, (int)m->payload.size,
                                   (const char *)m->payload.data, m->qos,
                                   m->retain ? " retain" : "", (int)m->client_id.size,
                                   (const char *)m->client_id.data,
                                   m->properties.size > 0 ? " with properties" : ""),
                     0);
    say_time(out, m->expires_at_s);
}

static int say_queued(struct import_sink *sink, const struct import_message *m,
                      const struct import_entry *entries, size_t count)
{
    static const char *const states[] = { "waits", "PUBACK", "PUBREC", "PUBCOMP" };
    struct buffer *out = text_of(sink);
    if (m != NULL)
        say_message(out, m);
    for (size_t i = 0; i < count; i++) {
        const struct import_entry *e = &entries[i];
        assert_int_equal(buffer_printf(out, " | %u.%u %s qos %u packet %u id %u%s", e->session,
                                       e->place, states[e->state], e->qos, e->packet_id,
                                       e->subscription_id, e->retain ? " retain" : ""),
                         0);
    }
    assert_int_equal(buffer_append(out, BYTES("\n")), 0);
    return counted(sink);
}

static int say_retained(struct import_sink *sink, const struct import_message *m)
{
    assert_int_equal(buffer_append(text_of(sink), BYTES("retained ")), 0);
    say_message(text_of(sink), m);
    assert_int_equal(buffer_append(text_of(sink), BYTES("\n")), 0);
    return counted(sink);
}

static const struct import_sink_ops words_ops = { say_session, say_subscription, say_received,
                                                  say_queued, say_retained };

static struct store_import *import(const struct made *made)
{
    struct store_import_options o = { .now_s = NOW, .seed = 1 };
    struct store_import *s = NULL;
    struct mosquitto_db_fault fault = { 0 };
    assert_int_equal(store_import_create(made_bytes(made), &o, &s, &fault), 0);
    return s;
}

static void check_words(const struct made *made, const char *wanted)
{
    struct words w = { { &words_ops }, { 0 }, -1 };
    struct store_import *s = import(made);
    assert_int_equal(store_import_emit(s, &w.sink), 0);
    assert_int_equal(buffer_append(&w.text, BYTES("\0")), 0);
    assert_string_equal((const char *)w.text.data, wanted);
    buffer_fini(&w.text);
    store_import_destroy(s);
}

/* ---------------------------------------------------------------------------- what is taken --- */

static void make_sessions(struct made *m)
{
    make_client(m, "three", FOR_EVER, 0, 5);
    make_client(m, "five", 3600, NOW + 60, 0);
    make_client(m, "online", 100, 0, 0); /* was connected: its time begins now */
    make_subscription(m, "five", "a/+", 2 | 4 | 8, 7);
    make_subscription(m, "three", "a/#", 1, 0);
    make_subscription(m, "five", "$share/g/b", 1, 0);
}

static void sessions_and_subscriptions(void **state)
{
    static struct made made;
    make_file(&made, 6, MAKE_LITTLE);
    make_config(&made, 1, true);
    make_sessions(&made);
    check_words(&made, "session three last 5\n"
                       "0: a/# 0x1 id 0\n"
                       "session five last 0 for 3600 until +60\n"
                       "1: a/+ 0xe id 7\n"
                       "1: $share/g/b 0x1 id 0\n"
                       "session online last 0 for 100 until +100\n");
    make_file(&made, 4, MAKE_LITTLE); /* no expiry before format 5 */
    make_client(&made, "three", 0, 0, 5);
    check_words(&made, "session three last 5\n");
}

static void queue(struct made *m, const char *client, uint64_t message, uint16_t packet_id,
                  uint8_t qos, uint8_t state, bool dup)
{
    make_queued(m, (struct make_queued){ client, message, packet_id, qos, state, dup });
}

/* Those in flight come first, whatever the file says: [MQTT-4.6.0-1]. */
static void queues_keep_their_order(void **state)
{
    static struct made made;
    make_file(&made, 6, MAKE_BIG);
    for (uint64_t id = 8; id > 0; id--) {
        char topic[] = { 't', (char)('0' + id), '\0' };
        make_message(&made, (struct make_message){ .id = id, .topic = topic, .qos = 2 });
    }
    make_client(&made, "c", FOR_EVER, 0, 8);
    queue(&made, "c", 1, 0, 1, MOSQUITTO_WAITS, false);
    queue(&made, "c", 2, 2, 1, MOSQUITTO_AWAITS_PUBACK, true);
    queue(&made, "c", 3, 3, 2, MOSQUITTO_AWAITS_PUBREC, true);
    queue(&made, "c", 4, 4, 2, MOSQUITTO_AWAITS_PUBCOMP, true);
    queue(&made, "c", 5, 5, 1, MOSQUITTO_PUBLISH_QOS1, false); /* never sent */
    queue(&made, "c", 6, 6, 2, MOSQUITTO_PUBLISH_QOS2, true);  /* to be sent again */
    make_queued(&made, (struct make_queued){ .client = "c",
                                             .message = 7,
                                             .packet_id = 7,
                                             .qos = 1,
                                             .state = MOSQUITTO_WAITS,
                                             .retain = true,
                                             .properties = "\x02\x0b\x2a" });
    queue(&made, "c", 99, 8, 2, MOSQUITTO_RESEND_PUBREL, true); /* its message is long gone */
    check_words(&made, "session c last 8\n"
                       "t2= qos 2 from  | 0.1 PUBACK qos 1 packet 2 id 0\n"
                       "t3= qos 2 from  | 0.2 PUBREC qos 2 packet 3 id 0\n"
                       " | 0.3 PUBCOMP qos 2 packet 4 id 0\n"
                       "t6= qos 2 from  | 0.4 PUBREC qos 2 packet 6 id 0\n"
                       " | 0.5 PUBCOMP qos 2 packet 8 id 0\n"
                       "t1= qos 2 from  | 0.6 waits qos 1 packet 0 id 0\n"
                       "t5= qos 2 from  | 0.7 waits qos 1 packet 0 id 0\n"
                       "t7= qos 2 from  | 0.8 waits qos 1 packet 0 id 42 retain\n");
}

static void a_message_for_many_comes_once(void **state)
{
    static struct made made;
    make_file(&made, 6, MAKE_LITTLE);
    make_message(&made, (struct make_message){ 1, NOW + 9, "t", "x", "pub", "\x02\x01\x01", 1, 1 });
    make_client(&made, "a", FOR_EVER, 0, 0);
    queue(&made, "a", 1, 1, 1, MOSQUITTO_WAITS, false);
    make_client(&made, "b", FOR_EVER, 0, 0);
    queue(&made, "b", 1, 1, 1, MOSQUITTO_AWAITS_PUBACK, true);
    make_retained(&made, 1);
    check_words(&made, "session a last 0\nsession b last 0\n"
                       "t=x qos 1 retain from pub with properties until +9"
                       " | 1.1 PUBACK qos 1 packet 1 id 0 | 0.1 waits qos 1 packet 0 id 0\n"
                       "retained t=x qos 1 retain from pub with properties until +9\n");
}

/* What has begun goes on [MQTT-3.3.2-5]. */
static void expiry_spares_what_was_sent(void **state)
{
    static struct made made;
    make_file(&made, 6, MAKE_LITTLE);
    make_message(&made, (struct make_message){ 1, NOW, "t", "x", "", NULL, 1, 0 });
    make_client(&made, "a", FOR_EVER, 0, 0);
    queue(&made, "a", 1, 1, 1, MOSQUITTO_AWAITS_PUBACK, true);
    queue(&made, "a", 1, 2, 1, MOSQUITTO_WAITS, false);
    check_words(&made, "session a last 0\n"
                       "t=x qos 1 from  until +0 | 0.1 PUBACK qos 1 packet 1 id 0\n");
}

/* A stored delivery has none above 32767. */
static void high_packet_ids_are_changed(void **state)
{
    static struct made made;
    make_file(&made, 6, MAKE_LITTLE);
    make_message(&made, (struct make_message){ 1, 0, "t", "x", "", NULL, 2, 0 });
    make_client(&made, "c", FOR_EVER, 0, 0);
    queue(&made, "c", 1, 65535, 1, MOSQUITTO_AWAITS_PUBACK, true);
    queue(&made, "c", 1, 32768, 2, MOSQUITTO_AWAITS_PUBREC, true);
    queue(&made, "c", 1, 1, 1, MOSQUITTO_AWAITS_PUBACK, true);
    queue(&made, "c", 1, 3, 2, MOSQUITTO_AWAITS_PUBREC, true);
    check_words(&made, "session c last 0\n"
                       "t=x qos 2 from  | 0.1 PUBACK qos 1 packet 2 id 0"
                       " | 0.2 PUBREC qos 2 packet 4 id 0"
                       " | 0.3 PUBACK qos 1 packet 1 id 0"
                       " | 0.4 PUBREC qos 2 packet 3 id 0\n");
    struct store_import *s = import(&made);
    assert_int_equal(store_import_report(s)->renamed, 2);
    assert_int_equal(store_import_report(s)->renamed_qos2, 1);
    store_import_destroy(s);
}

/* Messages that Mosquitto has acknowledged with PUBREC, and handed to nobody yet. */
static void received_messages_are_handed_on(void **state)
{
    static struct made made;
    make_file(&made, 6, MAKE_LITTLE);
    make_message(&made, (struct make_message){ 1, 0, "in/1", "x", "pub", NULL, 2, 1 });
    make_message(&made, (struct make_message){ 2, 0, "out", "y", "", NULL, 1, 0 });
    make_message(&made, (struct make_message){ 3, NOW - 1, "in/3", "z", "pub", NULL, 2, 0 });
    make_client(&made, "pub", FOR_EVER, 0, 0);
    make_queued(&made,
                (struct make_queued){ "pub", 1, 11, 2, MOSQUITTO_AWAITS_PUBREL, .in = true });
    make_queued(&made, (struct make_queued){ "pub", 3, 12, 2, MOSQUITTO_SEND_PUBREC, .in = true });
    make_client(&made, "sub", FOR_EVER, 0, 0);
    queue(&made, "sub", 2, 1, 1, MOSQUITTO_WAITS, false);
    make_client(&made, "other", FOR_EVER, 0, 0);
    make_subscription(&made, "pub", "in/+", 2 | 4, 0); /* No Local */
    make_subscription(&made, "pub", "#", 1 | 8, 0);    /* Retain As Published */
    make_subscription(&made, "sub", "in/#", 2, 9);
    make_subscription(&made, "sub", "$share/g/in/1", 1, 0);
    make_subscription(&made, "other", "$share/g/in/1", 1, 0);
    make_subscription(&made, "other", "in/1", 0, 0);
    make_subscription(&made, "other", "in/2", 2, 0);
    check_words(
        &made, "session pub last 0\n0: in/+ 0x6 id 0\n0: # 0x9 id 0\n"
               "0: received 11\n0: received 12\n"
               "session sub last 0\n1: in/# 0x2 id 9\n1: $share/g/in/1 0x1 id 0\n"
               "session other last 0\n2: $share/g/in/1 0x1 id 0\n2: in/1 0 id 0\n2: in/2 0x2 id 0\n"
               "out=y qos 1 from  | 1.1 waits qos 1 packet 0 id 0\n"
               "in/1=x qos 2 retain from pub | 0.1 waits qos 1 packet 0 id 0 retain"
               " | 1.2 waits qos 2 packet 0 id 9 | 1.3 waits qos 1 packet 0 id 0\n"
               "retained in/1=x qos 2 retain from pub\n");
}

/* ------------------------------------------------------------------------- what is left out --- */

enum thing { CLIENT, SUBSCRIPTION, QUEUED, INCOMING, RETAINED };

/* Each is put into a file with the Client "c", and with "gone", whose time is over. */
static const struct {
    enum thing thing;
    enum import_kind kind;
    enum import_reason reason;
    const char *client, *topic, *payload; /* or filter; or NULL: as it should be */
    int64_t expires_at_s;
    uint32_t number; /* Session Expiry Interval, options, or state */
    uint16_t packet_id;
    uint8_t qos;
} left[] = {
    { CLIENT, IMPORT_SESSIONS, IMPORT_ENDED, .client = "x", .number = 0 },
    { CLIENT, IMPORT_SESSIONS, IMPORT_EXPIRED, .client = "x", .number = 9, .expires_at_s = NOW },
    { CLIENT, IMPORT_SESSIONS, IMPORT_TWICE, .client = "c", .number = 9 },
    { CLIENT, IMPORT_SESSIONS, IMPORT_INVALID, .client = "", .number = 9 },
    { CLIENT, IMPORT_SESSIONS, IMPORT_INVALID, .client = "\xff", .number = 9 },

    { SUBSCRIPTION, IMPORT_SUBSCRIPTIONS, IMPORT_NO_SESSION, .client = "x", .topic = "a" },
    { SUBSCRIPTION, IMPORT_SUBSCRIPTIONS, IMPORT_WITH_SESSION, .client = "gone", .topic = "a" },
    { SUBSCRIPTION, IMPORT_SUBSCRIPTIONS, IMPORT_INVALID, .topic = "a/#/b" },
    { SUBSCRIPTION, IMPORT_SUBSCRIPTIONS, IMPORT_INVALID, .topic = "" },
    { SUBSCRIPTION, IMPORT_SUBSCRIPTIONS, IMPORT_INVALID, .topic = "\xc0\x80" },
    { SUBSCRIPTION, IMPORT_SUBSCRIPTIONS, IMPORT_INVALID, .topic = "$share/g" },
    { SUBSCRIPTION, IMPORT_SUBSCRIPTIONS, IMPORT_INVALID, .topic = "a", .number = 3 },
    { SUBSCRIPTION, IMPORT_SUBSCRIPTIONS, IMPORT_INVALID, .topic = "a", .number = 0x40 },
    { SUBSCRIPTION, IMPORT_SUBSCRIPTIONS, IMPORT_INVALID, .topic = "a", .number = 0x30 },
    { SUBSCRIPTION, IMPORT_SUBSCRIPTIONS, IMPORT_INVALID, .topic = "$share/g/a", .number = 4 },

    { QUEUED, IMPORT_QUEUED, IMPORT_NO_SESSION, .client = "x", .topic = "t", .number = 11 },
    { QUEUED, IMPORT_QUEUED, IMPORT_WITH_SESSION, .client = "gone", .topic = "t", .number = 11 },
    { QUEUED, IMPORT_QUEUED, IMPORT_NO_MESSAGE, .number = 11 },
    { QUEUED, IMPORT_QUEUED, IMPORT_EXPIRED, .topic = "t", .number = 11, .expires_at_s = NOW - 1 },
    { QUEUED, IMPORT_QUEUED, IMPORT_QOS0, .topic = "t", .number = 11 },
    { QUEUED, IMPORT_QUEUED, IMPORT_QOS0, .topic = "t", .number = 1 },
    { QUEUED, IMPORT_QUEUED, IMPORT_PACKET_ID, .number = 9, .qos = 2, .packet_id = 32768 },
    { QUEUED, IMPORT_QUEUED, IMPORT_INVALID, .topic = "t/+", .number = 11 },
    { QUEUED, IMPORT_QUEUED, IMPORT_INVALID, .topic = "", .number = 11 },
    { QUEUED, IMPORT_QUEUED, IMPORT_INVALID, .topic = "t", .number = 11, .qos = 3 },
    { QUEUED, IMPORT_QUEUED, IMPORT_INVALID, .topic = "t", .number = 12, .qos = 1 },
    { QUEUED, IMPORT_QUEUED, IMPORT_INVALID, .topic = "t", .number = 7, .qos = 2 },
    { QUEUED, IMPORT_QUEUED, IMPORT_INVALID, .topic = "t", .number = 3, .qos = 2, .packet_id = 9 },
    { QUEUED, IMPORT_QUEUED, IMPORT_INVALID, .topic = "t", .number = 3, .qos = 1, .packet_id = 0 },
    { QUEUED, IMPORT_QUEUED, IMPORT_TWICE, .topic = "t", .number = 3, .qos = 1, .packet_id = 1 },

    { INCOMING, IMPORT_RECEIVED, IMPORT_NO_SESSION, .client = "x", .topic = "t", .number = 7 },
    { INCOMING, IMPORT_RECEIVED, IMPORT_UNACKNOWLEDGED, .topic = "t", .number = 11, .qos = 2 },
    { INCOMING, IMPORT_RECEIVED, IMPORT_INVALID, .topic = "t", .number = 7, .qos = 1 },
    { INCOMING, IMPORT_RECEIVED, IMPORT_INVALID, .topic = "t", .number = 7, .qos = 2 },
    { INCOMING, IMPORT_RECEIVED, IMPORT_TWICE, .topic = "t", .number = 7, .qos = 2,
      .packet_id = 1 },
    { INCOMING, IMPORT_QUEUED, IMPORT_NO_MESSAGE, .number = 7, .qos = 2, .packet_id = 9 },

    { RETAINED, IMPORT_RETAINED, IMPORT_NO_MESSAGE },
    { RETAINED, IMPORT_RETAINED, IMPORT_SYS, .topic = "$SYS/broker/uptime" },
    { RETAINED, IMPORT_RETAINED, IMPORT_EXPIRED, .topic = "t", .expires_at_s = NOW },
    { RETAINED, IMPORT_RETAINED, IMPORT_EMPTY, .topic = "t", .payload = "" },
    { RETAINED, IMPORT_RETAINED, IMPORT_INVALID, .topic = "#" },
};

static void make_left(struct made *m, size_t row)
{
    const char *client = left[row].client == NULL ? "c" : left[row].client;
    const char *payload = left[row].payload == NULL ? "x" : left[row].payload;
    uint8_t number = (uint8_t)left[row].number;
    struct make_queued entry = { client, 5, left[row].packet_id, left[row].qos, number };
    make_client(m, "c", FOR_EVER, 0, 1);
    make_client(m, "gone", 60, NOW - 1, 1);
    make_message(m, (struct make_message){ .id = 4, .topic = "first", .qos = 2 });
    queue(m, "c", 4, 1, 1, MOSQUITTO_AWAITS_PUBACK, true);
    make_queued(m, (struct make_queued){ "c", 4, 1, 2, MOSQUITTO_AWAITS_PUBREL, .in = true });
    if (left[row].topic != NULL && left[row].thing != SUBSCRIPTION)
        make_message(m, (struct make_message){ .id = 5,
                                               .expires_at_s = left[row].expires_at_s,
                                               .topic = left[row].topic,
                                               .payload = payload });
    switch (left[row].thing) {
    case CLIENT:
        make_client(m, client, left[row].number, left[row].expires_at_s, 0);
        break;
    case SUBSCRIPTION:
        make_subscription(m, client, left[row].topic, number, 0);
        break;
    case INCOMING:
        entry.in = true;
        make_queued(m, entry);
        break;
    case QUEUED:
        make_queued(m, entry);
        break;
    case RETAINED:
        make_retained(m, 5);
        break;
    }
}

static void count_left(void *context, const struct import_left *l)
{
    (*(uint64_t *)context)++;
    assert_true(l->offset > 0);
    assert_non_null(import_kind_name(l->kind));
    assert_non_null(import_reason_text(l->reason));
}

static void what_is_left_out_is_counted(void **state)
{
    static struct made made;
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        uint64_t told = 0;
        struct store_import_options o = { NOW, 1, count_left, &told };
        struct mosquitto_db_fault fault = { 0 };
        struct store_import *s = NULL;
        make_file(&made, 6, MAKE_LITTLE);
        make_left(&made, i);
        assert_int_equal(store_import_create(made_bytes(&made), &o, &s, &fault), 0);
        const struct import_report *r = store_import_report(s);
        /* "gone" is left out in each. */
        uint64_t gone = left[i].kind == IMPORT_SESSIONS && left[i].reason == IMPORT_EXPIRED;
        if (r->left[left[i].kind][left[i].reason] != 1 + gone || told != 2)
            fail_msg("row %zu: %s, %s", i, import_kind_name(left[i].kind),
                     import_reason_text(left[i].reason));
        assert_int_equal(r->taken[IMPORT_SESSIONS], 1);
        assert_int_equal(r->taken[IMPORT_QUEUED], 1);
        assert_int_equal(r->taken[IMPORT_RETAINED], 0);
        store_import_destroy(s);
    }
}

static void a_damaged_file_is_refused(void **state)
{
    static struct made made;
    struct store_import_options o = { .now_s = NOW };
    struct mosquitto_db_fault fault = { 0 };
    struct store_import *s = NULL;
    make_file(&made, 6, MAKE_LITTLE);
    make_config(&made, 1, true);
    assert_int_equal(store_import_create(bytes_of(made.data, made.size - 1), &o, &s, &fault),
                     -EBADMSG);
    assert_int_equal(fault.offset, 23);
    make_message(&made, (struct make_message){ .id = 1, .topic = "t" });
    make_message(&made, (struct make_message){ .id = 1, .topic = "t" });
    assert_int_equal(store_import_create(made_bytes(&made), &o, &s, &fault), -EBADMSG);
    assert_string_equal(fault.text, "two messages with the same id");
    assert_int_equal(store_import_create((struct bytes){ 0 }, &o, &s, &fault), -EBADMSG);
    assert_null(s);
}

/* ------------------------------------------------------------------------------- failures ----- */

static void make_something_of_all(struct made *m)
{
    make_file(m, 6, MAKE_LITTLE);
    make_message(m, (struct make_message){ 1, 0, "a/1", "x", "three", NULL, 2, 1 });
    make_message(m, (struct make_message){ 2, 0, "a/2", "x", "three", NULL, 2, 1 });
    make_sessions(m);
    queue(m, "five", 1, 1, 1, MOSQUITTO_AWAITS_PUBACK, true);
    queue(m, "three", 1, 1, 1, MOSQUITTO_WAITS, false);
    make_queued(m, (struct make_queued){ "three", 2, 11, 2, MOSQUITTO_AWAITS_PUBREL, .in = true });
    make_retained(m, 1);
}

static void any_allocation_may_fail(void **state)
{
    static struct made made;
    make_something_of_all(&made);
    size_t before = memory_used();
    int failure = -ENOMEM;
    for (uint64_t nth = 1; failure == -ENOMEM; nth++) {
        struct store_import_options o = { .now_s = NOW };
        struct mosquitto_db_fault fault = { 0 };
        struct store_import *s = NULL;
        memory_fail_at(nth);
        failure = store_import_create(made_bytes(&made), &o, &s, &fault);
        memory_fail_at(0);
        assert_true(failure == -ENOMEM || (failure == 0 && nth > 10));
        store_import_destroy(s);
    }
    assert_int_equal(memory_used(), before);

    struct store_import *s = import(&made);
    struct words w = { { &words_ops }, { 0 }, -1 };
    memory_fail_at(1);
    assert_int_equal(store_import_emit(s, &w.sink), -ENOMEM);
    memory_fail_at(0);
    store_import_destroy(s);
}

static void the_sink_may_fail(void **state)
{
    static struct made made;
    make_something_of_all(&made);
    struct store_import *s = import(&made);
    int calls = 0;
    for (int failure = -EIO; failure != 0; calls++) {
        struct words w = { { &words_ops }, { 0 }, calls };
        failure = store_import_emit(s, &w.sink);
        assert_true(failure == 0 || failure == -EIO);
        buffer_fini(&w.text);
    }
    assert_int_equal(calls - 1, 3 + 3 + 1 + 2 + 2); /* in the order of the functions above */
    store_import_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_and_subscriptions),
        cmocka_unit_test(queues_keep_their_order),
        cmocka_unit_test(a_message_for_many_comes_once),
        cmocka_unit_test(expiry_spares_what_was_sent),
        cmocka_unit_test(high_packet_ids_are_changed),
        cmocka_unit_test(received_messages_are_handed_on),
        cmocka_unit_test(what_is_left_out_is_counted),
        cmocka_unit_test(a_damaged_file_is_refused),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(the_sink_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
