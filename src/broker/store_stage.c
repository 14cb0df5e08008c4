/* broker/store_stage.c: see store_stage.h.
 *
 * A message's payload is its number, so that whatever comes can be looked up. */
#include "broker/store_stage.h"
#include "base/memory.h"
#include "broker/server.h"
#include "broker/storage.h"
#include "broker/worker.h"
#include "mqtt/notation.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MILLISECOND_NS INT64_C(1000000)
#define RETAINED_TOPIC "r/x"

enum { NOT_PERHAPS = -2, NO_MESSAGE = -1 };

int64_t stage_acks(const struct stage *s)
{
    static const int types[] = { PACKET_CONNACK, PACKET_PUBACK, PACKET_PUBREC,  PACKET_PUBREL,
                                 PACKET_PUBCOMP, PACKET_SUBACK, PACKET_UNSUBACK };
    int64_t sum = 0;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        sum += server_packets(s->world->server, types[i], true);
    return sum;
}

/* --------------------------------------------------------------------------------- speaking --- */

static bool is_there(const struct stage_client *c)
{
    return c->link != NULL && !fuzz_link_is_over(c->link);
}

static void say(struct stage_client *c, const char *text)
{
    struct notation n;
    if (is_there(c))
        (void)fuzz_link_write(c->link, notation_read(&n, text));
}

static void say_ack(struct stage_client *c, uint8_t first, uint16_t packet_id)
{
    char text[16];
    snprintf(text, sizeof text, "%02x 02 %04x", first, packet_id);
    say(c, text);
}

static void say_publish(struct stage_client *c, const struct stage_out *o, bool dup)
{
    const struct stage_message *m = &c->stage->messages[o->message];
    char text[128], payload[16] = "";
    if (!m->clears)
        snprintf(payload, sizeof payload, "'%d'", o->message);
    snprintf(text, sizeof text, "%02x { s'%s' %04x %s %s }",
             0x30 | (dup ? 8 : 0) | m->qos << 1 | (m->retain ? 1 : 0), m->topic, o->packet_id,
             version_has_properties(c->version) ? "{ }" : "", payload);
    say(c, text);
}

/* -------------------------------------------------------------------------------- listening --- */

static uint16_t *find_received(struct stage_client *c, uint16_t packet_id)
{
    for (size_t i = 0; i < STAGE_IDS_MAX; i++)
        if (c->received[i] == packet_id)
            return &c->received[i];
    return NULL;
}

static void acknowledge(struct stage_client *c, uint16_t packet_id, uint8_t qos)
{
    if (qos == 2 && find_received(c, packet_id) == NULL) {
        uint16_t *room = find_received(c, 0);
        assert_non_null(room);
        *room = packet_id;
    }
    say_ack(c, qos == 1 ? 0x40 : 0x50, packet_id);
}

/* Which of the messages it is. */
static int number_of(const struct stage *s, const struct publish *p)
{
    char text[16];
    size_t size = p->payload.size < sizeof text ? p->payload.size : sizeof text - 1;
    memcpy(text, p->payload.data, size);
    text[size] = '\0';
    int number = atoi(text);
    assert_true(size > 0 && number >= 0 && number < s->message_count);
    assert_true(bytes_equal(p->topic, bytes_of_string(s->messages[number].topic)));
    return number;
}

static void take_message(struct stage_client *c, int message, uint16_t packet_id, uint8_t qos)
{
    bool is_known = qos == 2 && find_received(c, packet_id) != NULL;
    if (!is_known) {
        c->last = message;
        c->stage->messages[message].came += c == &c->stage->reader;
    }
    if (qos > 0)
        acknowledge(c, packet_id, qos);
}

static void on_publish(struct stage_client *c, const struct publish *p)
{
    int message = number_of(c->stage, p);
    if (!c->holds_acks || p->qos == 0) {
        take_message(c, message, p->packet_id, p->qos);
        return;
    }
    assert_true(c->held_count < STAGE_IDS_MAX);
    c->held[c->held_count++] = (struct stage_held){ p->packet_id, p->qos, message };
}

/* A publisher's message was taken, or refused for good. */
static void on_taken(struct stage_client *c, struct stage_out *o, bool is_success)
{
    struct stage *s = c->stage;
    struct stage_message *m = &s->messages[o->message];
    if (!is_success) {
        s->refusals++;
        o->packet_id = 0;
        return;
    }
    m->is_taken = true;
    m->is_owed = m->is_reader_sure;
    if (m->retain) {
        s->retained = m->clears ? NO_MESSAGE : o->message;
        s->retained_perhaps = NOT_PERHAPS;
    }
    if (m->qos == 1)
        o->packet_id = 0;
}

static void on_ack(struct stage_client *c, enum packet_type type, const struct ack *a)
{
    struct stage_out *o = c->out;
    while (o < c->out + STAGE_OUT_MAX && o->packet_id != a->packet_id)
        o++;
    if (o == c->out + STAGE_OUT_MAX)
        return;
    if (type == PACKET_PUBACK || (type == PACKET_PUBREC && !o->is_received))
        on_taken(c, o, !reason_is_error(a->reason));
    if (type == PACKET_PUBREC && o->packet_id != 0) {
        o->is_received = true;
        say_ack(c, 0x62, a->packet_id);
    } else if (type == PACKET_PUBCOMP && o->is_received) {
        *o = (struct stage_out){ 0 };
    }
}

static void on_packet(struct stage_client *c, const struct packet *p)
{
    uint16_t *received;
    c->heard[p->type]++;
    switch (p->type) {
    case PACKET_CONNACK:
        c->reasons[p->type] = p->connack.reason;
        c->session_present = p->connack.session_present;
        break;
    case PACKET_SUBACK:
        c->reasons[p->type] = p->suback.reasons.data[0];
        break;
    case PACKET_UNSUBACK:
        c->reasons[p->type] = p->suback.reasons.size > 0 ? p->suback.reasons.data[0] : 0;
        break;
    case PACKET_PUBLISH:
        on_publish(c, &p->publish);
        break;
    case PACKET_PUBREL:
        if ((received = find_received(c, p->ack.packet_id)) != NULL)
            *received = 0;
        say_ack(c, 0x70, p->ack.packet_id);
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBCOMP:
        c->reasons[p->type] = p->ack.reason;
        on_ack(c, p->type, &p->ack);
        break;
    default:
        break;
    }
}

/* How many bytes were heard. */
static size_t listen_to(struct stage_client *c)
{
    if (c->link == NULL)
        return 0;
    size_t got = fuzz_link_read(c->link, c->in + c->in_size, sizeof c->in - c->in_size);
    c->in_size += got;
    struct bytes rest = bytes_of(c->in, c->in_size);
    struct frame frame;
    while (frame_decode(rest, &frame) == DECODE_DONE) {
        struct packet p;
        enum reason why;
        struct bytes whole = bytes_of(rest.data, frame.size);
        if (frame.type != PACKET_DISCONNECT) { /* of a server: not for this decoder */
            assert_int_equal(packet_decode(whole, c->version, &p, &why), DECODE_DONE);
            on_packet(c, &p);
        }
        rest = bytes_after(rest, frame.size);
    }
    memmove(c->in, rest.data, rest.size);
    c->in_size = rest.size;
    return got;
}

static void forget_link(struct stage_client *c)
{
    if (c->link != NULL)
        fuzz_link_forget(c->link);
    c->link = NULL;
    c->in_size = 0;
    c->is_connected = false;
}

/* A failed write counts from the moment at which it was answered. */
static void watch_failure(struct stage *s)
{
    if (s->disk.has_failed_writing && s->acks_at_failure < 0)
        s->acks_at_failure = stage_acks(s);
}

/* Until all is said and heard, and what waits for a moment has gone. */
static void go_on(struct stage *s)
{
    struct stage_client *all[] = { &s->publisher, &s->reader, &s->mortal };
    for (int round = 0; s->world != NULL && round < 3; round++) {
        size_t moved;
        do {
            moved = 0;
            fuzz_world_settle(s->world);
            watch_failure(s);
            for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
                moved += listen_to(all[i]);
        } while (moved > 0);
        fuzz_world_pass(s->world, 10 * MILLISECOND_NS);
        watch_failure(s);
    }
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i]->link != NULL && fuzz_link_is_over(all[i]->link))
            forget_link(all[i]);
}

void stage_pass(struct stage *s, int64_t ms)
{
    go_on(s);
    if (s->world != NULL)
        fuzz_world_pass(s->world, ms * MILLISECOND_NS);
    go_on(s);
}

/* Says something that has an answer.  True: it came, and says yes; else it says no, or the
 * connection is closed, or the broker ends. */
static bool ask(struct stage_client *c, const char *text, enum packet_type answer)
{
    struct stage *s = c->stage;
    unsigned before = c->heard[answer];
    say(c, text);
    go_on(s);
    bool has_failed = s->world == NULL || atomic_load(&s->world->server->has_failed);
    if (c->heard[answer] == before && is_there(c) && !has_failed) {
        print_error("no answer to: %s\n", text);
        fail();
    }
    bool is_yes = c->heard[answer] > before && !reason_is_error(c->reasons[answer]);
    s->refusals += !is_yes;
    return is_yes;
}

static int add_message(struct stage *s, const char *topic, uint8_t qos)
{
    assert_true(s->message_count < STAGE_MESSAGES_MAX);
    struct stage_message *m = &s->messages[s->message_count];
    *m = (struct stage_message){ .qos = qos };
    snprintf(m->topic, sizeof m->topic, "%s", topic);
    for (size_t i = 0; i < STAGE_FILTERS_MAX; i++) {
        const struct stage_filter *f = &s->reader.filters[i];
        if (f->filter != NULL && f->is_there == YES && s->reader.session == YES &&
            strcmp(f->topic, topic) == 0)
            m->is_reader_sure = true;
    }
    return s->message_count++;
}

/* ------------------------------------------------------------------------------ connecting ---- */

/* The server has nothing of it any more. */
static void forget_session(struct stage_client *c, enum truth session)
{
    struct stage *s = c->stage;
    enum truth filters = session == NO ? NO : MAYBE;
    c->session = session;
    for (size_t i = 0; i < STAGE_FILTERS_MAX; i++)
        if (c->filters[i].is_there > filters)
            c->filters[i].is_there = filters;
    if (c == &s->reader)
        for (int i = 0; i < s->message_count; i++)
            s->messages[i].is_reader_sure = s->messages[i].is_owed = false;
    if (session != NO)
        return;
    memset(c->received, 0, sizeof c->received);
    memset(c->out, 0, sizeof c->out);
}

static void send_again(struct stage_client *c)
{
    for (size_t i = 0; i < STAGE_OUT_MAX; i++) {
        if (c->out[i].packet_id == 0)
            continue;
        if (c->out[i].is_received)
            say_ack(c, 0x62, c->out[i].packet_id);
        else
            say_publish(c, &c->out[i], true);
    }
}

static void format_connect(const struct stage_client *c, bool clean_start, int will, char *out,
                           size_t size)
{
    char expiry[32] = "", will_text[64] = "";
    unsigned flags = (clean_start ? 0x02 : 0) | (will >= 0 ? 0x0c : 0);
    if (version_has_properties(c->version))
        snprintf(expiry, sizeof expiry, "{ 11 %08x }", (unsigned)c->expiry_s);
    if (will >= 0)
        snprintf(will_text, sizeof will_text, "{ 18 00000005 } s'w/x' s'%d'", will);
    snprintf(out, size, "10 { s'MQTT' %02x %02x 0000 %s s'%s' %s }", c->version, flags, expiry,
             c->id, will_text);
}

/* The connection is there, and with it the Will; the one before is not wanted any more. */
static void settle_will(struct stage_client *c, int will)
{
    struct stage *s = c->stage;
    if (c->will >= 0 && s->messages[c->will].came == 0)
        s->messages[c->will].is_owed = false;
    c->will = will;
    if (will >= 0)
        s->messages[will].is_owed = s->messages[will].is_reader_sure;
}

static void on_connected(struct stage_client *c, bool clean_start)
{
    if (clean_start || c->session == NO)
        assert_false(c->session_present);
    else if (c->session == YES)
        assert_true(c->session_present);
    if (!c->session_present)
        forget_session(c, NO);
    c->session = YES;
    c->is_connected = true;
    send_again(c);
    go_on(c->stage);
}

bool stage_connect(struct stage_client *c, bool clean_start, unsigned worker)
{
    char text[160];
    struct stage *s = c->stage;
    stage_drop(c);
    if (s->world == NULL || atomic_load(&s->world->server->has_failed))
        return false;
    c->held_count = 0;
    c->link = fuzz_link_open(s->world, worker);
    assert_non_null(c->link);
    go_on(s);
    if (c->link != NULL && c->link->is_waiting) /* it could not be accepted a moment ago */
        stage_pass(s, 200);
    int will = c->has_will ? add_message(s, "w/x", 1) : NO_MESSAGE;
    format_connect(c, clean_start, will, text, sizeof text);
    bool is_yes = ask(c, text, PACKET_CONNACK);
    if (is_yes) {
        settle_will(c, will);
        on_connected(c, clean_start);
    } else if (clean_start && c->session == YES) {
        forget_session(c, MAYBE);
    } else if (c->session == NO) {
        c->session = MAYBE;
    }
    return is_yes && is_there(c);
}

void stage_drop(struct stage_client *c)
{
    if (c->link == NULL)
        return;
    forget_link(c);
    go_on(c->stage);
}

void stage_leave(struct stage_client *c, bool ends_session)
{
    if (!c->is_connected)
        return;
    settle_will(c, NO_MESSAGE);
    say(c, ends_session ? "e0 { 00 { 11 00000000 } }" : "e0 00");
    if (ends_session)
        forget_session(c, MAYBE);
    go_on(c->stage);
    stage_drop(c);
}

/* ------------------------------------------------------------------------------- requests ----- */

static struct stage_filter *find_filter(struct stage_client *c, const char *filter)
{
    struct stage_filter *f = c->filters;
    while (f < c->filters + STAGE_FILTERS_MAX && f->filter != NULL &&
           strcmp(f->filter, filter) != 0)
        f++;
    assert_true(f < c->filters + STAGE_FILTERS_MAX);
    return f;
}

bool stage_subscribe(struct stage_client *c, const char *filter, const char *topic)
{
    char text[96];
    struct stage_filter *f = find_filter(c, filter);
    if (!c->is_connected)
        return false;
    f->filter = filter;
    f->topic = topic;
    snprintf(text, sizeof text, "82 { 0001 %s s'%s' 02 }",
             version_has_properties(c->version) ? "{ }" : "", filter);
    bool is_yes = ask(c, text, PACKET_SUBACK);
    if (is_yes)
        f->is_there = YES;
    else if (f->is_there == NO)
        f->is_there = MAYBE;
    return is_yes;
}

bool stage_unsubscribe(struct stage_client *c, const char *filter)
{
    char text[96];
    struct stage_filter *f = find_filter(c, filter);
    if (!c->is_connected)
        return false;
    snprintf(text, sizeof text, "a2 { 0002 %s s'%s' }",
             version_has_properties(c->version) ? "{ }" : "", filter);
    bool is_yes = ask(c, text, PACKET_UNSUBACK);
    f->is_there = is_yes ? NO : MAYBE;
    return is_yes;
}

static bool publish(struct stage_client *c, int message)
{
    struct stage *s = c->stage;
    struct stage_message *m = &s->messages[message];
    struct stage_out *o = c->out;
    while (o->packet_id != 0)
        o++;
    assert_true(o < c->out + STAGE_OUT_MAX);
    *o = (struct stage_out){ .packet_id = ++c->next_id, .message = message };
    if (m->retain)
        s->retained_perhaps = m->clears ? NO_MESSAGE : message;
    say_publish(c, o, false);
    go_on(s);
    bool has_failed = atomic_load(&s->world->server->has_failed);
    if (is_there(c) && !has_failed && !m->is_taken && o->packet_id == c->next_id) {
        print_error("no answer to message %d\n", message);
        fail();
    }
    s->refusals += !m->is_taken;
    return m->is_taken;
}

bool stage_publish(struct stage_client *c, const char *topic, uint8_t qos)
{
    return c->is_connected && publish(c, add_message(c->stage, topic, qos));
}

bool stage_retain(struct stage_client *c, bool clears, uint8_t qos)
{
    if (!c->is_connected)
        return false;
    int message = add_message(c->stage, RETAINED_TOPIC, qos);
    c->stage->messages[message].retain = true;
    c->stage->messages[message].clears = clears;
    return publish(c, message);
}

void stage_acknowledge(struct stage_client *c)
{
    c->holds_acks = false;
    for (unsigned i = 0; i < c->held_count; i++)
        take_message(c, c->held[i].message, c->held[i].packet_id, c->held[i].qos);
    c->held_count = 0;
    go_on(c->stage);
}

/* ------------------------------------------------------------------------------- its life ----- */

static void init_client(struct stage *s, struct stage_client *c, const char *id, uint32_t expiry_s)
{
    *c = (struct stage_client){ .stage = s,
                                .id = id,
                                .version = VERSION_5_0,
                                .expiry_s = expiry_s,
                                .will = NO_MESSAGE,
                                .last = NO_MESSAGE };
}

void stage_init(struct stage *s, const char *config, unsigned workers)
{
    *s = (struct stage){ .config = config, .workers = workers };
    watched_disk_init(&s->disk, 1);
    init_client(s, &s->publisher, "publisher", 3600);
    init_client(s, &s->reader, "reader", 3600);
    init_client(s, &s->mortal, "mortal", 3600);
    s->retained = NO_MESSAGE;
    s->retained_perhaps = NOT_PERHAPS;
    s->acks_at_failure = -1;
}

void stage_fini(struct stage *s)
{
    stage_stop(s);
    watched_disk_fini(&s->disk);
}

void stage_trouble(struct stage *s, enum stage_trouble what, uint64_t nth)
{
    s->trouble = what;
    s->trouble_nth = nth;
    s->calls_before = fake_disk_calls(&s->disk.disk);
    memory_fail_at(what == TROUBLE_MEMORY ? nth : 0);
    fake_disk_fail_at(&s->disk.disk, what >= TROUBLE_EIO ? nth : 0,
                      what == TROUBLE_ENOSPC ? ENOSPC : EIO);
}

bool stage_end_trouble(struct stage *s)
{
    uint64_t allocations = memory_fail_at(0);
    uint64_t calls = fake_disk_calls(&s->disk.disk) - s->calls_before;
    fake_disk_fail_at(&s->disk.disk, 0, EIO);
    return s->trouble != TROUBLE_NONE &&
           (s->trouble == TROUBLE_MEMORY ? allocations : calls) >= s->trouble_nth;
}

int stage_start(struct stage *s, enum stage_trouble what, uint64_t nth)
{
    assert_null(s->world);
    s->world = fuzz_world_create(7 + (uint64_t)s->now_ns);
    if (s->now_ns != 0)
        s->world->now_ns = s->now_ns + 50 * MILLISECOND_NS;
    fuzz_world_use_files(s->world, &s->disk.files);
    fuzz_world_configure(s->world, s->config);
    stage_trouble(s, what, nth);
    int result = fuzz_world_start(s->world, s->workers);
    if (result != 0)
        stage_stop(s);
    return result;
}

static void end_world(struct stage *s)
{
    forget_link(&s->publisher);
    forget_link(&s->reader);
    forget_link(&s->mortal);
    if (s->world->server != NULL)
        fuzz_world_stop(s->world);
    s->now_ns = s->world->now_ns;
    fuzz_world_destroy(s->world);
    s->world = NULL;
}

void stage_stop(struct stage *s)
{
    if (s->world != NULL)
        end_world(s);
}

void stage_power_loss(struct stage *s, uint64_t seed)
{
    fake_disk_power_loss(&s->disk.disk, seed);
    fake_disk_fail_at(&s->disk.disk, 0, EIO);
    stage_stop(s);
    s->disk.has_failed = s->disk.has_failed_writing = s->disk.has_failed_reading = false;
}

/* ------------------------------------------------------------------------------ afterwards ---- */

/* Is the reader subscribed to what it was told? */
static void verify_filters(struct stage *s)
{
    for (size_t i = 0; i < STAGE_FILTERS_MAX; i++) {
        const struct stage_filter *f = &s->reader.filters[i];
        if (f->filter == NULL)
            continue;
        int probe = s->message_count;
        assert_true(stage_publish(&s->publisher, f->topic, 1));
        bool came = s->messages[probe].came > 0;
        if (f->is_there != MAYBE && came != (f->is_there == YES)) {
            print_error("subscription to %s: was told %d, found %d\n", f->filter,
                        f->is_there == YES, came);
            fail();
        }
    }
}

static void verify_retained(struct stage *s)
{
    struct stage_client *c = &s->mortal;
    c->has_will = false;
    assert_true(stage_connect(c, true, 0));
    c->last = NO_MESSAGE;
    assert_true(stage_subscribe(c, RETAINED_TOPIC, RETAINED_TOPIC));
    stage_pass(s, 100);
    if (c->last != s->retained &&
        (s->retained_perhaps == NOT_PERHAPS || c->last != s->retained_perhaps)) {
        print_error("retained: %d, or perhaps %d; found %d\n", s->retained, s->retained_perhaps,
                    c->last);
        fail();
    }
}

static void verify_messages(const struct stage *s)
{
    for (int i = 0; i < s->message_count; i++) {
        const struct stage_message *m = &s->messages[i];
        bool is_lost = m->is_owed && m->came == 0, is_twice = m->qos == 2 && m->came > 1;
        if (is_lost || is_twice) {
            print_error("message %d to %s, QoS %d, came %u times\n", i, m->topic, m->qos, m->came);
            fail();
        }
    }
}

void stage_verify(struct stage *s)
{
    assert_non_null(s->world);
    s->reader.holds_acks = false;
    assert_true(stage_connect(&s->reader, false, 0));
    stage_pass(s, 1000);
    assert_true(stage_connect(&s->publisher, false, 0));
    stage_pass(s, 10000); /* Wills are due */
    verify_messages(s);
    verify_filters(s);
    verify_retained(s);
    verify_messages(s);
    store_check(storage_store(s->world->server->storage));
}

void stage_verify_silence(struct stage *s)
{
    stage_pass(s, 1000);
    unsigned heard = s->reader.heard[PACKET_PUBLISH];
    stage_power_loss(s, 99);
    assert_int_equal(stage_start(s, TROUBLE_NONE, 0), 0);
    assert_true(stage_connect(&s->reader, false, 0));
    stage_pass(s, 1000);
    assert_int_equal(s->reader.heard[PACKET_PUBLISH], heard);
}
