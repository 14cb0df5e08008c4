/* session/test_sink.h: what the tests of this folder share: messages with numbers, and a sink that
 * writes down what a session does. */
#pragma once

#include "session/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static inline uint32_t test_random(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33);
}

/* ------------------------------------------------------------------------------ deliveries ---- */

/* A message of `size` bytes; its number hides in a field that sessions do not look at. */
static inline struct message *test_message(uint64_t number, size_t size, int64_t expires_ns)
{
    static const uint8_t zeros[4096];
    struct publish p = { .payload = { zeros, size - 1 } };
    assert_true(size >= 1 && size <= sizeof zeros);
    struct message *m = message_create(BYTES("t"), &p, number, expires_ns);
    assert_non_null(m);
    return m;
}

/* From a group it carries its number as the ticket: the message may be gone before the end. */
static inline struct delivery test_delivery(uint64_t number, unsigned qos, uint64_t group)
{
    struct delivery d = { .message = test_message(number, 10, MESSAGE_NEVER) };
    d.qos = qos & 3u;
    d.group = group;
    d.ticket = group != 0 ? number : 0;
    return d;
}

/* A stored one, whose number is its seq. */
static inline struct delivery test_stored(uint64_t seq, unsigned qos, unsigned flags)
{
    struct delivery d = test_delivery(seq, qos, 0);
    d.seq = seq;
    d.flags = (uint8_t)flags;
    return d;
}

static inline uint64_t test_number(const struct delivery *d)
{
    if (d->message != NULL)
        return d->message->origin;
    return d->seq != 0 ? d->seq : d->ticket;
}

/* ------------------------------------------------------------------------------------ sink ---- */

enum test_event_kind {
    TEST_PUBLISH,
    TEST_AGAIN, /* with DUP */
    TEST_PUBREL,
    TEST_FINISHED,
    TEST_RETURNED,
    TEST_RECEIVED,
    TEST_DROP_FIRST, /* its number: at or behind which seq */
    TEST_DROPPED,
};

struct test_event {
    enum test_event_kind kind;
    uint64_t number; /* of the message; 0 for PUBREL */
    uint16_t id;     /* of packets */
    enum drop cause; /* of drops */
};

enum { TEST_EVENTS_MAX = 512 };
#define TEST_NO_LIMIT UINT32_MAX

struct test_sink {
    struct delivery_sink sink;
    struct test_event events[TEST_EVENTS_MAX];
    size_t count;
    uint32_t room; /* so many packets, and it is congested; TEST_NO_LIMIT: never */
    bool is_flooded;
    uint64_t large_every; /* messages whose number it divides are too large; 0: none */
};

static inline void test_note(struct delivery_sink *sink, struct test_event event)
{
    struct test_sink *t = (struct test_sink *)sink;
    assert_true(t->count < TEST_EVENTS_MAX);
    t->events[t->count++] = event;
}

static inline void test_use_room(struct test_sink *t)
{
    if (t->room > 0 && t->room != TEST_NO_LIMIT)
        t->room--;
}

static inline enum drop test_send_publish(struct delivery_sink *sink, const struct delivery *d,
                                          bool dup)
{
    struct test_sink *t = (struct test_sink *)sink;
    uint64_t number = test_number(d);
    assert_non_null(d->message);
    if (t->large_every != 0 && number % t->large_every == 0)
        return DROP_TOO_LARGE;
    test_use_room(t);
    test_note(sink, (struct test_event){ dup ? TEST_AGAIN : TEST_PUBLISH, number, d->packet_id });
    return DROP_NONE;
}

static inline void test_send_pubrel(struct delivery_sink *sink, uint16_t packet_id)
{
    test_use_room((struct test_sink *)sink);
    test_note(sink, (struct test_event){ TEST_PUBREL, .id = packet_id });
}

static inline bool test_is_congested(struct delivery_sink *sink)
{
    return ((struct test_sink *)sink)->room == 0;
}

static inline bool test_is_flooded(struct delivery_sink *sink)
{
    return ((struct test_sink *)sink)->is_flooded;
}

static inline void test_on_finished(struct delivery_sink *sink, const struct delivery *d)
{
    assert_true(d->group != 0 || d->seq != 0);
    assert_false(d->flags & DELIVERY_STORE_FINISHED);
    test_note(sink, (struct test_event){ TEST_FINISHED, test_number(d) });
}

static inline void test_on_returned(struct delivery_sink *sink, const struct delivery *d)
{
    assert_true(d->group != 0);
    test_note(sink, (struct test_event){ TEST_RETURNED, test_number(d) });
}

static inline void test_on_received(struct delivery_sink *sink, const struct delivery *d)
{
    assert_true(d->seq != 0 && d->message != NULL);
    test_note(sink, (struct test_event){ TEST_RECEIVED, test_number(d) });
}

static inline void test_drop_first_on_disk(struct delivery_sink *sink, uint64_t from)
{
    test_note(sink, (struct test_event){ TEST_DROP_FIRST, from });
}

static inline void test_on_dropped(struct delivery_sink *sink, const struct delivery *d,
                                   enum drop cause)
{
    test_note(sink, (struct test_event){ TEST_DROPPED, test_number(d), .cause = cause });
}

static inline struct test_sink test_sink_make(void)
{
    static const struct delivery_sink_ops ops = {
        test_send_publish, test_send_pubrel,        test_is_congested,
        test_is_flooded,   test_on_finished,        test_on_returned,
        test_on_received,  test_drop_first_on_disk, test_on_dropped,
    };
    return (struct test_sink){
        .sink = { &ops },
        .room = TEST_NO_LIMIT,
    };
}

/* ---------------------------------------------------------------------------------- events ---- */

static inline const char *test_drop_name(enum drop cause)
{
    static const char *const names[] = {
#define DROP(name, topic, text) topic,
        DROP_TABLE(DROP)
#undef DROP
    };
    return names[cause];
}

static inline int test_event_format(const struct test_event *e, char *out, size_t size)
{
    switch (e->kind) {
    case TEST_PUBLISH:
        return snprintf(out, size, "publish %u #%lu", e->id, (unsigned long)e->number);
    case TEST_AGAIN:
        return snprintf(out, size, "again %u #%lu", e->id, (unsigned long)e->number);
    case TEST_PUBREL:
        return snprintf(out, size, "pubrel %u", e->id);
    case TEST_FINISHED:
        return snprintf(out, size, "finished #%lu", (unsigned long)e->number);
    case TEST_RETURNED:
        return snprintf(out, size, "returned #%lu", (unsigned long)e->number);
    case TEST_RECEIVED:
        return snprintf(out, size, "received #%lu", (unsigned long)e->number);
    case TEST_DROP_FIRST:
        return snprintf(out, size, "drop-first %lu", (unsigned long)e->number);
    case TEST_DROPPED:
        return snprintf(out, size, "dropped #%lu %s", (unsigned long)e->number,
                        test_drop_name(e->cause));
    }
    return 0;
}

/* All that was noted, as one line: "publish 1 #7, again 2 #8".  The next note begins a new one. */
static inline void test_events_take(struct test_sink *t, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < t->count; i++) {
        used += (size_t)snprintf(out + used, size - used, i == 0 ? "" : ", ");
        used += (size_t)test_event_format(&t->events[i], out + used, size - used);
        assert_true(used < size);
    }
    t->count = 0;
}
