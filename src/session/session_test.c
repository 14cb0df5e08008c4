#include "session/session.h"
#include "session/test_sink.h"

#include "mqtt/reason.h"

/* ------------------------------------------------------------------------------------ stories -
 *
 * A story is told in lines: what is done to the session, and what the session does.
 *
 *     attach MAX | detach | pump | room PACKETS | flood 0|1 | large EVERY | time NS | reload MAX
 *     qos0 N | qos1 N | qos2 N               message number N
 *     group0 N | group1 N | group2 N         the same from group 7
 *     short1 N                               QoS 1, expires at time 100
 *     puback ID REASON | pubrec ID REASON | pubcomp ID       REASON in hex, 0: success
 *     adopt GROUP | end
 *     durable 0|1 | restore FIRST COUNT | released SEQ       COUNT in hex
 *     unsafe1 SEQ | unsafe2 SEQ              stored, on its way to the disk
 *     safe1 SEQ | until1 SEQ | until2 SEQ    stored, on the disk; until sent
 *     stored SEQ | begin | load1 SEQ | load2 SEQ | loadx1 SEQ (expires at 100) | skip SEQ
 *     loaded IS_LAST
 *
 * Packet Identifiers begin with 1, so in a short story they are easy to foresee; those of stored
 * messages are one more than their seq. */

struct line {
    const char *does, *causes;
};

struct story {
    struct test_sink sink;
    struct session_options options;
    struct session *session;
    int64_t now_ns;
};

static void story_deliver(struct story *t, unsigned number, unsigned qos, uint64_t group)
{
    struct delivery d = test_delivery(number, qos, group);
    session_deliver(t->session, &d, t->now_ns);
}

static void story_deliver_short(struct story *t, unsigned number)
{
    struct delivery d = { .message = test_message(number, 10, 100), .qos = 1 };
    session_deliver(t->session, &d, t->now_ns);
}

static const char *known(bool is_known)
{
    return is_known ? "" : "unknown";
}

static void story_deliver_stored(struct story *t, unsigned seq, unsigned qos, unsigned flags)
{
    struct delivery d = test_stored(seq, qos, flags);
    session_deliver(t->session, &d, t->now_ns);
}

static void story_load(struct story *t, unsigned seq, unsigned qos, int64_t expires_ns)
{
    struct delivery d = { .message = test_message(seq, 10, expires_ns), .seq = seq };
    d.qos = qos & 3u;
    session_load(t->session, &d);
}

static const char *story_begin_load(struct story *t)
{
    static const char *const answers[] = { "from 0", "from 1", "from 2", "from 3", "from 4",
                                           "from 5", "from 6", "from 7", "from 8", "from 9" };
    uint64_t from;
    if (!session_begin_load(t->session, &from))
        return "not now";
    assert_true(from < sizeof answers / sizeof answers[0]);
    return answers[from];
}

/* What has to do with stored ones.  NULL: no such word. */
static const char *perform_stored(struct story *t, const char *word, unsigned n, unsigned count)
{
    unsigned qos = (unsigned)(word[strlen(word) - 1] - '0');
    if (strcmp(word, "begin") == 0)
        return story_begin_load(t);
    if (strcmp(word, "durable") == 0)
        assert_int_equal(session_set_durable(t->session, n != 0), 0);
    else if (strcmp(word, "restore") == 0)
        session_restore_queue(t->session, n, count, n + count + 1); /* with one gap */
    else if (strcmp(word, "released") == 0)
        return session_restore_released(t->session, n) == 0 ? "" : "in use";
    else if (strncmp(word, "unsafe", 6) == 0)
        story_deliver_stored(t, n, qos, DELIVERY_UNSAFE);
    else if (strcmp(word, "safe1") == 0)
        story_deliver_stored(t, n, qos, 0);
    else if (strncmp(word, "until", 5) == 0)
        story_deliver_stored(t, n, qos, DELIVERY_UNTIL_SENT);
    else if (strcmp(word, "stored") == 0)
        session_on_stored(t->session, n, t->now_ns);
    else if (strcmp(word, "load1") == 0 || strcmp(word, "load2") == 0)
        story_load(t, n, qos, MESSAGE_NEVER);
    else if (strcmp(word, "loadx1") == 0)
        story_load(t, n, qos, 100);
    else if (strcmp(word, "skip") == 0)
        session_skip(t->session, n);
    else if (strcmp(word, "loaded") == 0)
        session_on_loaded(t->session, n != 0, t->now_ns);
    else
        return NULL;
    return "";
}

/* The answer of those that have one. */
static const char *perform(struct story *t, const char *word, unsigned n, enum reason reason)
{
    uint16_t id = (uint16_t)n;
    if (strcmp(word, "puback") == 0)
        return known(session_on_puback(t->session, id, reason, t->now_ns));
    if (strcmp(word, "pubrec") == 0)
        return known(session_on_pubrec(t->session, id, reason, t->now_ns));
    if (strcmp(word, "pubcomp") == 0)
        return known(session_on_pubcomp(t->session, id, t->now_ns));
    if (strcmp(word, "attach") == 0) {
        session_attach(t->session, id);
        session_pump(t->session, t->now_ns);
    } else if (strcmp(word, "detach") == 0) {
        session_detach(t->session);
    } else if (strcmp(word, "pump") == 0) {
        session_pump(t->session, t->now_ns);
    } else if (strcmp(word, "room") == 0) {
        t->sink.room = n;
    } else if (strcmp(word, "flood") == 0) {
        t->sink.is_flooded = n != 0;
    } else if (strcmp(word, "large") == 0) {
        t->sink.large_every = n;
    } else if (strcmp(word, "time") == 0) {
        t->now_ns = n;
    } else if (strcmp(word, "reload") == 0) {
        t->options.inflight_max = id;
    } else if (strncmp(word, "qos", 3) == 0) {
        story_deliver(t, n, (unsigned)(word[3] - '0'), 0);
    } else if (strncmp(word, "group", 5) == 0) {
        story_deliver(t, n, (unsigned)(word[5] - '0'), 7);
    } else if (strcmp(word, "short1") == 0) {
        story_deliver_short(t, n);
    } else if (strcmp(word, "adopt") == 0) {
        session_adopt(t->session, n);
    } else if (strcmp(word, "end") == 0) {
        session_destroy(t->session);
        t->session = NULL;
    } else {
        const char *answer = perform_stored(t, word, n, (unsigned)reason);
        if (answer == NULL)
            fail_msg("no such word: %s", word);
        return answer;
    }
    return "";
}

static void tell(struct session_options options, const struct line *lines, size_t count)
{
    struct story t = { .sink = test_sink_make(), .options = options };
    t.session = session_create(&t.options, &t.sink.sink);
    assert_non_null(t.session);
    for (size_t i = 0; i < count; i++) {
        char word[16] = "", events[1024];
        unsigned n = 0, reason = 0;
        assert_true(sscanf(lines[i].does, "%15s %u %x", word, &n, &reason) >= 1);
        const char *answer = perform(&t, word, n, (enum reason)reason);
        test_events_take(&t.sink, events, sizeof events);
        if (strcmp(events[0] != '\0' ? events : answer, lines[i].causes) != 0)
            fail_msg("line %zu, \"%s\", caused \"%s%s\" and not \"%s\"", i, lines[i].does, events,
                     answer, lines[i].causes);
        if (t.session != NULL)
            session_check(t.session);
    }
    session_destroy(t.session);
}

#define TELL(options, ...)                                                                         \
    tell(options, (const struct line[]){ __VA_ARGS__ },                                            \
         sizeof((const struct line[]){ __VA_ARGS__ }) / sizeof(struct line))

static const struct session_options usual = { .inflight_max = 20, .queued_messages_max = 100 };

static void the_receive_maximum_holds_back(void **state) /* [MQTT-3.3.4-9] */
{
    TELL(usual, { "attach 2", "" }, { "qos1 1", "publish 1 #1" }, { "qos2 2", "publish 2 #2" },
         { "qos1 3", "" }, { "qos0 4", "publish 0 #4" }, /* does not count */
         { "puback 1", "publish 3 #3" }, { "qos1 5", "" },
         { "pubrec 2", "pubrel 2" }, /* the place is free only after PUBCOMP */
         { "pubcomp 2", "publish 4 #5" });
}

static void our_own_limit_may_be_smaller(void **state)
{
    struct session_options one = { .inflight_max = 1 };
    TELL(one, { "attach 10", "" }, { "qos1 1", "publish 1 #1" }, { "qos1 2", "" },
         { "reload 2", "" }, { "pump", "" }, /* counts from the next connection on */
         { "detach", "" }, { "attach 10", "again 1 #1, publish 2 #2" });
}

static void a_new_connection_repeats_in_order(void **state) /* [MQTT-4.4.0-1] [MQTT-4.6.0-1] */
{
    TELL(usual, { "attach 4", "" }, { "qos1 1", "publish 1 #1" }, { "qos2 2", "publish 2 #2" },
         { "qos1 3", "publish 3 #3" }, { "qos2 4", "publish 4 #4" }, { "qos1 5", "" },
         { "pubrec 2", "pubrel 2" }, { "detach", "" }, { "pump", "" }, /* nobody is there */
         { "attach 4", "again 1 #1, pubrel 2, again 3 #3, again 4 #4" },
         { "puback 1", "publish 5 #5" });
}

static void a_smaller_receive_maximum_repeats_by_and_by(void **state)
{
    TELL(usual, { "attach 4", "" }, { "qos1 1", "publish 1 #1" }, { "qos1 2", "publish 2 #2" },
         { "qos2 3", "publish 3 #3" }, { "pubrec 3", "pubrel 3" }, { "qos1 4", "publish 4 #4" },
         { "detach", "" }, { "qos1 5", "" }, { "attach 1", "again 1 #1" }, { "qos1 6", "" },
         { "puback 1", "again 2 #2, pubrel 3" }, /* a PUBREL needs no place, */
         { "puback 2", "" },                     /* but what it belongs to holds one */
         { "pubcomp 3", "again 4 #4" }, { "puback 4", "publish 5 #5" },
         { "puback 5", "publish 6 #6" });
}

/* What was acknowledged at the last moment of the old connection may be known before its turn. */
static void acknowledged_before_it_is_repeated(void **state)
{
    TELL(usual, { "attach 3", "" }, { "qos1 1", "publish 1 #1" }, { "qos1 2", "publish 2 #2" },
         { "qos2 3", "publish 3 #3" }, { "detach", "" }, { "attach 1", "again 1 #1" },
         { "puback 2", "" }, { "pubrec 3", "pubrel 3" }, { "puback 1", "pubrel 3" },
         { "pubcomp 3", "" }, { "qos1 4", "publish 4 #4" });
}

static void refused_by_the_client(void **state) /* [MQTT-4.4.0-2] [MQTT-4.3.3-4] */
{
    TELL(usual, { "attach 1", "" }, { "qos1 1", "publish 1 #1" }, { "qos2 2", "" },
         { "qos2 3", "" }, { "puback 1 97", "dropped #1 refused, publish 2 #2" },
         { "pubrec 2 80", "dropped #2 refused, publish 3 #3" },
         { "pubrec 3 10", "pubrel 3" }, /* No matching subscribers is a success */
         { "pubcomp 3 92", "" }, { "qos2 4", "publish 4 #4" });
}

static void acknowledgements_that_do_not_fit(void **state)
{
    TELL(usual, { "puback 1", "unknown" }, { "attach 5", "" }, { "qos1 1", "publish 1 #1" },
         { "qos2 2", "publish 2 #2" }, { "puback 0", "unknown" }, { "puback 2", "unknown" },
         { "pubrec 1", "unknown" }, { "pubcomp 2", "unknown" }, { "puback 9", "unknown" },
         { "pubrec 2", "pubrel 2" }, { "pubrec 2", "pubrel 2" }, /* asked twice, told twice */
         { "pubcomp 2", "" }, { "pubcomp 2", "unknown" }, { "puback 1", "" });
}

static void expired_messages_are_not_sent(void **state) /* [MQTT-3.3.2-5] */
{
    TELL(usual, { "time 100", "" }, { "short1 1", "dropped #1 expired" }, { "time 0", "" },
         { "short1 2", "" }, { "attach 1", "publish 1 #2" }, { "short1 3", "" }, { "qos1 4", "" },
         { "time 100", "" }, { "puback 1", "dropped #3 expired, publish 2 #4" }, { "time 0", "" },
         { "puback 2", "" }, { "short1 5", "publish 3 #5" }, { "time 200", "" }, { "detach", "" },
         { "attach 1", "again 3 #5" }); /* its delivery had begun */
}

static void a_full_queue_drops_what_is_new(void **state)
{
    struct session_options two = { .inflight_max = 1, .queued_messages_max = 2 };
    TELL(two, { "short1 1", "" }, { "qos1 2", "" }, { "qos1 3", "dropped #3 queue-full" },
         { "time 100", "" }, { "qos1 4", "dropped #1 expired" }, { "attach 1", "publish 1 #2" },
         { "qos1 5", "" }, { "qos2 6", "dropped #6 queue-full" });
}

static void a_full_queue_drops_what_is_old(void **state)
{
    struct session_options two = { .inflight_max = 1,
                                   .queued_messages_max = 2,
                                   .policy = SESSION_DROP_OLDEST };
    TELL(two, { "qos1 1", "" }, { "qos1 2", "" }, { "group1 3", "dropped #1 queue-full" },
         { "qos1 4", "dropped #2 queue-full" }, { "qos1 5", "finished #3, dropped #3 queue-full" },
         { "attach 1", "publish 1 #4" });
}

static void one_that_fits_into_no_queue_pushes_nobody_out(void **state)
{
    struct session_options small = { .inflight_max = 1,
                                     .queued_bytes_max = 25,
                                     .policy = SESSION_DROP_OLDEST };
    struct test_sink sink = test_sink_make();
    char events[256];
    struct session *s = session_create(&small, &sink.sink);
    for (unsigned n = 1; n <= 3; n++) {
        struct delivery d = { .message = test_message(n, n == 3 ? 26 : 10, MESSAGE_NEVER),
                              .qos = 1 };
        session_deliver(s, &d, 0);
    }
    test_events_take(&sink, events, sizeof events);
    assert_string_equal(events, "dropped #3 queue-full");
    session_destroy(s);
}

/* Who asks is refused; what was on its way already has been acknowledged, and is kept. */
static void a_full_queue_keeps_what_was_promised(void **state)
{
    struct session_options two = { .inflight_max = 1,
                                   .queued_messages_max = 2,
                                   .queue_qos0 = true,
                                   .policy = SESSION_REFUSE_PUBLISHER };
    struct test_sink sink = test_sink_make();
    struct session *s = session_create(&two, &sink.sink);
    assert_false(session_is_full(s, 10));
    session_destroy(s);
    TELL(two, { "qos1 1", "" }, { "qos2 2", "" }, { "qos1 3", "" }, { "qos2 4", "" },
         { "qos0 5", "dropped #5 queue-full" }, /* nobody was told anything about it */
         { "attach 9", "publish 1 #1" }, { "puback 1", "publish 2 #2" });
}

static void is_full_as_the_limits_say(void **state)
{
    static const struct {
        size_t messages_max, bytes_max, queued, size;
        bool is_full;
    } rows[] = {
        { 0, 0, 50, 1000, false }, { 3, 0, 2, 1000, false }, { 3, 0, 3, 1, true },
        { 0, 100, 9, 10, false },  { 0, 100, 9, 11, true },  { 0, 100, 10, 0, false },
        { 0, 100, 10, 1, true },   { 3, 100, 3, 1, true },   { 3, 100, 2, 81, true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct session_options o = { .inflight_max = 1,
                                     .queued_messages_max = rows[i].messages_max,
                                     .queued_bytes_max = rows[i].bytes_max };
        struct test_sink sink = test_sink_make();
        struct session *s = session_create(&o, &sink.sink);
        for (size_t n = 1; n <= rows[i].queued; n++) {
            struct delivery d = test_delivery(n, 1, 0);
            session_deliver(s, &d, 0);
        }
        assert_int_equal(session_stats(s).queued_count, rows[i].queued);
        assert_int_equal(session_is_full(s, rows[i].size), rows[i].is_full);
        session_destroy(s);
    }
}

static void groups_get_back_what_was_not_started(void **state) /* [MQTT-4.8.2-5] */
{
    TELL(usual, { "attach 2", "" }, { "group1 1", "publish 1 #1" }, { "group2 2", "publish 2 #2" },
         { "group1 3", "" }, { "qos1 4", "" }, { "group2 5", "" }, { "pubrec 2", "pubrel 2" },
         { "detach", "returned #3, returned #5" }, { "attach 1", "again 1 #1, pubrel 2" },
         { "puback 1", "finished #1" }, { "pubcomp 2", "finished #2, publish 3 #4" });
}

static void groups_hear_of_every_end(void **state)
{
    TELL(usual, { "large 5", "" }, { "attach 3", "" }, { "group0 1", "publish 0 #1, finished #1" },
         { "group1 5", "dropped #5 too-large, finished #5" },
         { "group0 10", "dropped #10 too-large, finished #10" }, { "group1 2", "publish 2 #2" },
         { "puback 2 80", "dropped #2 refused, finished #2" }, { "group1 3", "publish 3 #3" },
         { "group1 4", "publish 4 #4" }, { "group1 6", "publish 5 #6" }, { "group1 7", "" },
         { "qos1 8", "" }, { "end", "returned #7, dropped #8 session-ended" });
}

static void an_adopted_message_is_the_clients_own(void **state) /* [MQTT-3.10.4-3] */
{
    TELL(usual, { "attach 1", "" }, { "group1 1", "publish 1 #1" }, { "group1 2", "" },
         { "adopt 6", "" }, /* another group */
         { "adopt 7", "" }, { "group1 3", "" }, { "detach", "returned #3" },
         { "attach 1", "again 1 #1" }, { "puback 1", "publish 2 #2" }, { "puback 2", "" });
}

static void qos_0_while_away(void **state)
{
    struct session_options keeps = { .inflight_max = 1, .queue_qos0 = true };
    TELL(usual, { "qos0 1", "dropped #1 offline" }, { "attach 1", "" },
         { "qos0 2", "publish 0 #2" }, { "flood 1", "" }, { "qos0 3", "dropped #3 slow" });
    TELL(keeps, { "qos0 1", "" }, { "qos1 2", "" }, { "qos0 3", "" }, { "qos1 4", "" },
         { "qos0 5", "" }, { "room 2", "" }, { "attach 1", "publish 0 #1, publish 1 #2" },
         { "qos0 6", "" }, /* not before 3 and 5 */
         { "room 9", "" }, { "pump", "publish 0 #3" }, { "qos0 7", "" },
         { "puback 1", "publish 2 #4, publish 0 #5, publish 0 #6, publish 0 #7" },
         { "qos0 8", "publish 0 #8" });
}

static void bytes_in_flight_are_limited(void **state)
{
    struct session_options o = { .inflight_max = 9, .inflight_bytes_max = 25 };
    struct session_options tiny = { .inflight_max = 9, .inflight_bytes_max = 1 };
    TELL(o, { "attach 9", "" }, { "qos1 1", "publish 1 #1" }, { "qos2 2", "publish 2 #2" },
         { "qos1 3", "" }, { "pubrec 2", "pubrel 2" }, /* its message is no longer held, */
         { "qos1 4", "publish 3 #3" },                 /* which is noticed at the next chance */
         { "puback 1", "publish 4 #4" });
    TELL(tiny, { "attach 9", "" }, { "qos1 1", "publish 1 #1" }, /* one always may go */
         { "qos1 2", "" }, { "puback 1", "publish 2 #2" });
}

static void a_congested_connection_is_spared(void **state)
{
    TELL(usual, { "room 1", "" }, { "attach 9", "" }, { "qos1 1", "publish 1 #1" },
         { "qos1 2", "" }, { "qos2 3", "" }, { "pump", "" }, { "room 1", "" },
         { "pump", "publish 2 #2" }, { "detach", "" }, { "room 1", "" },
         { "attach 9", "again 1 #1" }, { "qos0 4", "publish 0 #4" }, { "room 2", "" },
         { "pump", "again 2 #2, publish 3 #3" });
}

static void what_is_too_large_does_not_stop_the_others(void **state) /* [MQTT-3.1.2-25] */
{
    TELL(usual, { "large 2", "" }, { "qos1 1", "" }, { "qos1 2", "" }, { "qos2 4", "" },
         { "qos1 3", "" },
         { "attach 2", "publish 1 #1, dropped #2 too-large, dropped #4 too-large, publish 4 #3" },
         { "large 3", "" }, { "detach", "" }, { "attach 2", "again 1 #1, dropped #3 too-large" },
         { "qos0 6", "dropped #6 too-large" }, { "qos1 5", "publish 5 #5" });
}

/* -------------------------------------------------------------------------- stored deliveries - */

static void qos_2_waits_until_it_is_on_the_disk(void **state)
{
    TELL(usual, { "durable 1", "" }, { "attach 9", "" }, { "unsafe1 1", "publish 2 #1" },
         { "unsafe2 2", "" }, { "unsafe1 3", "" }, /* not past it */
         { "stored 1", "" }, { "stored 2", "publish 3 #2, publish 4 #3" }, { "stored 3", "" },
         { "puback 2", "finished #1" }, { "pubrec 3", "received #2, pubrel 3" },
         { "pubrec 3", "pubrel 3" }, { "pubcomp 3", "finished #2" },
         { "puback 4 97", "dropped #3 refused, finished #3" });
}

static void identifiers_follow_from_the_seq(void **state)
{
    TELL(usual, { "qos1 1", "" }, { "attach 9", "publish 1 #1" }, { "durable 1", "" },
         { "qos1 2", "publish 32768 #2" }, { "unsafe1 32766", "publish 32767 #32766" },
         { "unsafe1 32767", "" }, /* 1 is in use */
         { "qos1 3", "" },
         { "puback 1", "publish 1 #32767, publish 32770 #3" }, /* 32769: same slot */
         { "unsafe1 32768", "publish 2 #32768" }, { "unsafe1 65534", "" },
         { "puback 1", "finished #32767, publish 1 #65534" });
}

static void until_sent_is_finished_early(void **state)
{
    TELL(usual, { "durable 1", "" }, { "large 9", "" }, { "attach 9", "" },
         { "until1 1", "publish 2 #1, finished #1" }, { "until2 2", "publish 3 #2, finished #2" },
         { "puback 2", "" }, { "pubrec 3", "pubrel 3" }, { "detach", "" },
         { "attach 9", "pubrel 3" }, { "pubcomp 3", "" },
         { "until1 9", "dropped #9 too-large, finished #9" }); /* once */
}

static void nobody_there_so_it_is_left_on_the_disk(void **state)
{
    TELL(usual, { "durable 1", "" }, { "safe1 1", "" }, { "safe1 2", "" }, { "begin", "not now" },
         { "attach 9", "" }, { "begin", "from 1" }, { "safe1 3", "" }, /* behind the others */
         { "begin", "not now" }, { "load1 1", "" }, { "load1 2", "" },
         { "safe1 4", "publish 2 #1, publish 3 #2" }, { "loaded 0", "" }, { "begin", "from 3" },
         { "load1 3", "" }, { "load1 4", "" }, { "loaded 1", "publish 4 #3, publish 5 #4" },
         { "begin", "not now" }, { "safe1 5", "publish 6 #5" });
}

/* What is in memory and not started goes back to the disk, if loading can tell it from what is not
 * there. */
static void leaving_gives_back_what_was_not_started(void **state)
{
    TELL(usual, { "durable 1", "" }, { "attach 1", "" }, { "safe1 2", "publish 3 #2" },
         { "safe1 3", "" }, { "qos1 9", "" }, { "safe1 5", "" }, { "safe1 4", "" },
         { "safe1 1", "" }, { "detach", "" }, { "safe1 6", "" },
         { "attach 9", "again 3 #2, publish 32768 #9, publish 2 #1" }, { "begin", "from 3" },
         { "load1 3", "" }, { "load1 4", "" }, { "loaded 0", "publish 4 #3, publish 5 #4" },
         { "end", "" });
}

/* Two publishers on different threads: what comes late may be left only behind what is there. */
static void late_ones_go_into_memory(void **state)
{
    TELL(usual, { "durable 1", "" }, { "safe1 3", "" }, { "safe1 2", "" }, /* in memory */
         { "safe1 4", "" }, { "attach 9", "publish 3 #2" }, { "safe1 1", "publish 2 #1" },
         { "begin", "from 3" }, { "load1 3", "" }, { "load1 4", "" },
         { "loaded 1", "publish 4 #3, publish 5 #4" });
}

/* The store keeps what the session forgets. */
static void the_end_finishes_nothing(void **state)
{
    TELL(usual, { "durable 1", "" }, { "attach 1", "" }, { "safe1 3", "publish 4 #3" },
         { "safe1 4", "" }, { "safe1 2", "" }, { "qos1 9", "" }, { "detach", "" },
         { "end", "dropped #9 session-ended" });
}

static void a_load_for_a_connection_that_has_ended(void **state)
{
    TELL(usual, { "durable 1", "" }, { "safe1 1", "" }, { "safe1 2", "" }, { "attach 1", "" },
         { "begin", "from 1" }, { "load1 1", "" }, { "detach", "" }, { "load1 2", "" },
         { "attach 1", "" }, { "begin", "not now" }, /* the old one is not over */
         { "load1 2", "" }, { "loaded 1", "" }, { "begin", "from 1" }, { "detach", "" },
         { "attach 1", "" }, { "load1 1", "" }, { "loaded 1", "" }, { "begin", "from 1" },
         { "load1 1", "" }, { "load1 2", "" }, { "loaded 1", "publish 2 #1" });
}

static void a_load_that_found_nothing_waits(void **state)
{
    TELL(usual, { "durable 1", "" }, { "safe1 1", "" }, { "attach 1", "" }, { "begin", "from 1" },
         { "loaded 1", "" }, { "begin", "not now" }, /* the store knows nothing of it */
         { "stored 9", "" }, { "begin", "from 1" }, { "stored 9", "" }, /* while it looked */
         { "loaded 1", "" }, { "begin", "from 1" }, { "loaded 1", "" }, { "begin", "not now" },
         { "detach", "" }, { "attach 1", "" }, { "begin", "from 1" },
         { "loaded 0", "" }, /* it could not look */
         { "begin", "from 1" }, { "load1 1", "" }, { "loaded 1", "publish 2 #1" });
}

/* What is on its way to the disk is not found by a load that finds newer ones. */
static void loading_ends_before_what_is_on_its_way(void **state)
{
    TELL(usual, { "durable 1", "" }, { "safe1 1", "" }, { "unsafe1 3", "" }, { "safe1 5", "" },
         { "attach 9", "" }, { "begin", "from 1" }, { "load1 1", "" }, { "load1 5", "" },
         { "loaded 1", "publish 2 #1" }, { "begin", "from 2" }, { "load1 5", "" },
         { "loaded 0", "" }, /* not what was wanted: as if there had been nothing */
         { "begin", "not now" }, { "unsafe1 6", "" }, { "stored 3", "" }, { "begin", "from 2" },
         { "unsafe1 4", "" }, /* too late for it */
         { "load1 3", "" }, { "load1 5", "" }, { "loaded 1", "publish 4 #3" },
         { "begin", "not now" }, { "stored 6", "" }, { "begin", "not now" }, { "stored 4", "" },
         { "begin", "from 4" }, { "load1 4", "" }, { "load1 5", "" }, { "load1 6", "" },
         { "loaded 1", "publish 5 #4, publish 6 #5, publish 7 #6" }, { "begin", "not now" });
}

static void the_limit_counts_what_is_on_the_disk(void **state)
{
    struct session_options two = { .inflight_max = 1, .queued_messages_max = 2 };
    struct session_options oldest = two;
    oldest.policy = SESSION_DROP_OLDEST;
    TELL(two, { "durable 1", "" }, { "safe1 1", "" }, { "qos1 9", "" },
         { "safe1 2", "finished #2, dropped #2 queue-full" },
         { "qos1 8", "dropped #8 queue-full" });
    TELL(oldest, { "durable 1", "" }, { "safe1 1", "" }, { "safe1 2", "" },
         { "safe1 3", "drop-first 1" }, { "qos1 9", "drop-first 1" },
         { "safe1 4", "dropped #9 queue-full" }, { "attach 1", "" }, { "begin", "from 1" },
         { "safe1 5", "" }, /* which one is the oldest is not known before the load has ended */
         { "load1 3", "" }, { "load1 4", "" },
         { "loaded 0", "finished #3, dropped #3 queue-full, publish 5 #4" });
}

/* A limit in bytes is one of the memory. */
static void the_disk_is_limited_by_messages_only(void **state)
{
    struct session_options small = { .inflight_max = 1, .queued_bytes_max = 5 };
    struct session_options oldest = { .inflight_max = 3,
                                      .queued_messages_max = 3,
                                      .queued_bytes_max = 5,
                                      .policy = SESSION_DROP_OLDEST };
    TELL(small, { "durable 1", "" }, { "safe1 1", "" }, { "safe1 2", "" },
         { "qos1 9", "dropped #9 queue-full" }, { "attach 1", "" }, { "begin", "from 1" },
         { "load1 1", "" }, { "load1 2", "" }, { "loaded 0", "publish 2 #1" },
         { "puback 2", "finished #1, publish 3 #2" });
    TELL(oldest, { "durable 1", "" }, { "restore 1 3", "" }, { "safe1 4", "drop-first 1" },
         { "attach 9", "" }, { "begin", "from 1" }, { "load1 2", "" }, { "load1 3", "" },
         { "load1 4", "" }, { "loaded 1", "again 3 #2, again 4 #3, again 5 #4" });
}

static void after_a_restart(void **state)
{
    struct session_options two = { .inflight_max = 2 };
    TELL(two, { "durable 1", "" }, { "released 2", "" }, { "released 32769", "in use" },
         { "restore 1 3", "" }, { "safe1 7", "" }, { "attach 9", "pubrel 3" },
         { "begin", "from 1" }, { "loadx1 1", "" }, { "loadx1 3", "" }, { "loadx1 4", "" },
         { "load1 7", "" }, { "time 100", "" },
         { "loaded 1", "again 2 #1" }, /* expired, but the Client may have it already */
         { "pubcomp 3", "finished #2, again 4 #3, finished #4, dropped #4 expired" },
         { "puback 2", "finished #1, publish 8 #7" });
}

static void a_released_one_is_not_sent_again(void **state)
{
    TELL(usual, { "durable 1", "" }, { "released 1", "" }, { "restore 1 2", "" },
         { "attach 9", "pubrel 2" }, { "begin", "from 1" }, { "load2 1", "" }, { "load2 2", "" },
         { "loaded 1", "again 3 #2" }, { "begin", "not now" });
}

static void what_cannot_be_read_back_is_passed_over(void **state)
{
    TELL(usual, { "durable 1", "" }, { "skip 1", "" }, { "safe1 1", "" }, { "safe1 2", "" },
         { "safe1 3", "" }, { "attach 9", "" }, { "begin", "from 1" }, { "skip 1", "" },
         { "load1 2", "" }, { "skip 3", "" }, { "loaded 1", "publish 3 #2" },
         { "begin", "not now" }, { "safe1 4", "publish 5 #4" });
}

static void tells_what_the_store_keeps_of_qos_2(void **state)
{
    struct test_sink sink = test_sink_make();
    struct session *s = session_create(&usual, &sink.sink);
    uint32_t cursor = 0;
    uint16_t id;
    uint64_t seq;
    assert_int_equal(session_set_durable(s, true), 0);
    assert_false(session_next_received(s, &cursor, &id));
    assert_false(session_next_released(s, &cursor, &seq));
    for (seq = 1; seq <= 3; seq++)
        assert_int_equal(session_restore_released(s, seq * 5), 0);
    for (id = 7; id >= 5; id--)
        assert_int_equal(session_restore_received(s, id), 0);
    assert_int_equal(session_restore_received(s, 6), 0); /* known */
    struct delivery d = test_stored(20, 2, 0);
    session_attach(s, 9);
    session_pump(s, 0);
    session_deliver(s, &d, 0); /* not released yet */

    for (uint16_t i = 5; i <= 7; i++)
        assert_true(session_next_received(s, &cursor, &id) && id == i);
    assert_false(session_next_received(s, &cursor, &id));
    cursor = 0;
    for (uint64_t i = 1; i <= 3; i++)
        assert_true(session_next_released(s, &cursor, &seq) && seq == i * 5);
    assert_false(session_next_released(s, &cursor, &seq));
    session_destroy(s);
}

static void durable_no_more(void **state)
{
    TELL(usual, { "durable 1", "" }, { "safe1 1", "" }, { "attach 9", "" }, { "durable 0", "" },
         { "begin", "from 1" }, /* what there is stays what it is */
         { "load1 1", "" }, { "loaded 1", "publish 2 #1" }, { "durable 0", "" },
         { "qos1 9", "publish 32768 #9" }, { "puback 2", "finished #1" }, { "durable 0", "" },
         { "qos1 8", "publish 32769 #8" },
         { "unsafe2 3", "publish 32770 #3" }, /* was on its way already; nothing to wait for */
         { "pubrec 32770", "received #3, pubrel 32770" }, { "pubcomp 32770", "finished #3" });
}

static void durable_again(void **state)
{
    TELL(usual, { "safe1 5", "" }, { "durable 1", "" }, { "safe1 4", "" }, { "safe1 6", "" },
         { "attach 9", "publish 6 #5, publish 5 #4" }, { "begin", "from 6" }, { "load1 6", "" },
         { "loaded 1", "publish 7 #6" });
}

/* With many waiting even a Session that is attached leaves them on the disk, until half of those in
 * memory have gone. */
static void memory_holds_only_what_is_sent_soon(void **state)
{
    static const struct {
        size_t size, in_memory;
    } rows[] = { { 10, SESSION_LOAD_COUNT }, { 4096, SESSION_LOAD_BYTES / 4096 } };
    struct session_options unlimited = { .inflight_max = 1 };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct test_sink sink = test_sink_make();
        struct session *s = session_create(&unlimited, &sink.sink);
        uint64_t from;
        assert_int_equal(session_set_durable(s, true), 0);
        session_attach(s, 1);
        for (uint64_t seq = 1; seq <= 1000; seq++) {
            struct delivery d = { .message = test_message(seq, rows[row].size, MESSAGE_NEVER) };
            d.qos = 1;
            d.seq = seq;
            session_deliver(s, &d, 0);
        }
        assert_int_equal(session_stats(s).queued_count, 999);
        assert_int_equal(session_stats(s).disk_count, 999 - rows[row].in_memory);
        for (uint16_t id = 2; id <= 2 + rows[row].in_memory / 2; id++) {
            assert_false(session_begin_load(s, &from));
            assert_true(session_on_puback(s, id, REASON_SUCCESS, 0));
        }
        assert_true(session_begin_load(s, &from));
        assert_int_equal(from, 2 + rows[row].in_memory);
        session_check(s);
        session_detach(s);
        assert_int_equal(session_stats(s).queued_count, session_stats(s).disk_count);
        assert_true(session_waits(s));
        session_destroy(s);
    }
}

/* ---------------------------------------------------------------------------------- receiving - */

static void qos_2_is_taken_once(void **state) /* [MQTT-4.3.3-10] [MQTT-3.3.4-7] */
{
    static const struct {
        bool is_pubrel;
        uint16_t id;
        int answer; /* of a PUBLISH: enum session_receipt; of a PUBREL: was it there? */
    } rows[] = {
        { false, 5, RECEIPT_NEW },
        { false, 5, RECEIPT_REPEAT },
        { false, 9, RECEIPT_NEW },
        { true, 7, false },
        { false, 7, RECEIPT_OVER_MAX },
        { false, 9, RECEIPT_REPEAT },
        { true, 5, true },
        { true, 5, false },
        { false, 7, RECEIPT_NEW },
        { false, 5, RECEIPT_OVER_MAX },
        { true, 9, true },
        { false, 5, RECEIPT_NEW },
    };
    struct test_sink sink = test_sink_make();
    struct session *s = session_create(&usual, &sink.sink);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].is_pubrel)
            assert_int_equal(session_on_pubrel(s, rows[i].id), rows[i].answer);
        else
            assert_int_equal(session_on_publish_qos2(s, rows[i].id, 2), rows[i].answer);
        session_check(s);
    }
    assert_int_equal(session_stats(s).received_count, 2);
    session_destroy(s);
}

/* -------------------------------------------------------------------------------- identifiers - */

static void identifiers_wrap_around_one_that_is_stuck(void **state)
{
    enum { MESSAGES = 150000, STUCK = 3 };
    struct test_sink sink = test_sink_make();
    struct session *s = session_create(&usual, &sink.sink);
    struct message *m = test_message(1, 10, MESSAGE_NEVER);
    session_attach(s, 5);
    uint16_t last = 0;
    unsigned wraps = 0;
    for (int i = 1; i <= MESSAGES; i++) {
        struct delivery d = { .message = message_ref(m), .qos = 1 };
        session_deliver(s, &d, 0);
        assert_int_equal(sink.count, 1);
        assert_int_equal(sink.events[0].kind, TEST_PUBLISH);
        uint16_t id = sink.events[0].id;
        assert_true(id != 0 && (id != STUCK || i == STUCK));
        wraps += id < last;
        last = id;
        sink.count = 0;
        if (id != STUCK)
            assert_true(session_on_puback(s, id, REASON_SUCCESS, 0));
        session_check(s);
    }
    assert_int_equal(wraps, MESSAGES * 8 / 7 / 65535); /* with 8 slots, every eighth is skipped */
    session_detach(s);
    session_attach(s, 5);
    session_pump(s, 0);
    assert_int_equal(sink.count, 1);
    assert_int_equal(sink.events[0].kind, TEST_AGAIN);
    assert_int_equal(sink.events[0].id, STUCK);
    session_destroy(s);
    message_unref(m);
}

/* ----------------------------------------------------------------------------- failure sweep -- */

enum { SWEEP_MESSAGES = 60, SWEEP_RECEIVED = 20 };

/* Makes one allocation of all those within the session's calls fail. */
struct saboteur {
    uint64_t left; /* until the one that fails; 0: it has failed, or none shall */
    bool has_failed;
};

static void sabotage_begin(struct saboteur *b)
{
    memory_fail_at(b->left);
}

static void sabotage_end(struct saboteur *b)
{
    uint64_t seen = memory_fail_at(0);
    b->has_failed |= b->left > 0 && seen >= b->left;
    b->left = seen < b->left ? b->left - seen : 0;
}

struct sweep {
    struct saboteur saboteur;
    struct test_sink sink;
    struct session *session;
    unsigned ends[SWEEP_MESSAGES + 1]; /* how often each message came to an end */
    unsigned dropped;
};

/* Takes the events in, and acknowledges what was published. */
static void sweep_acknowledge(struct sweep *w)
{
    for (size_t i = 0; i < w->sink.count; i++) { /* grows on the way */
        struct test_event e = w->sink.events[i];
        sabotage_begin(&w->saboteur);
        if (e.kind == TEST_PUBLISH && e.number % 2 == 0)
            assert_true(session_on_pubrec(w->session, e.id, REASON_SUCCESS, 0));
        else if (e.kind == TEST_PUBLISH)
            assert_true(session_on_puback(w->session, e.id, REASON_SUCCESS, 0));
        else if (e.kind == TEST_PUBREL)
            assert_true(session_on_pubcomp(w->session, e.id, 0));
        sabotage_end(&w->saboteur);
        session_check(w->session);
        w->ends[e.number] += e.kind == TEST_PUBLISH || e.kind == TEST_DROPPED;
        w->dropped += e.kind == TEST_DROPPED;
        if (e.kind == TEST_DROPPED)
            assert_int_equal(e.cause, DROP_NO_MEMORY);
    }
    w->sink.count = 0;
}

static void sweep_receive(struct sweep *w)
{
    for (uint16_t id = 1; id <= SWEEP_RECEIVED; id++) {
        sabotage_begin(&w->saboteur);
        enum session_receipt receipt = session_on_publish_qos2(w->session, id, 100);
        sabotage_end(&w->saboteur);
        session_check(w->session);
        if (receipt == RECEIPT_NO_MEMORY) /* the Client is told, and comes again */
            receipt = session_on_publish_qos2(w->session, id, 100);
        assert_int_equal(receipt, RECEIPT_NEW);
        assert_int_equal(session_on_publish_qos2(w->session, id, 100), RECEIPT_REPEAT);
    }
}

static void sweep_deliver(struct sweep *w, uint64_t number)
{
    struct delivery d = test_delivery(number, number % 2 == 0 ? 2 : 1, 0);
    sabotage_begin(&w->saboteur);
    session_deliver(w->session, &d, 0);
    sabotage_end(&w->saboteur);
    session_check(w->session);
}

static void sweep_run(struct sweep *w, uint64_t nth)
{
    *w = (struct sweep){ .sink = test_sink_make(), .saboteur = { .left = nth } };
    sabotage_begin(&w->saboteur);
    w->session = session_create(&usual, &w->sink.sink);
    sabotage_end(&w->saboteur);
    if (w->session == NULL)
        return;
    sweep_receive(w);
    for (uint64_t number = 1; number <= SWEEP_MESSAGES / 2; number++)
        sweep_deliver(w, number);
    session_attach(w->session, 20);
    sabotage_begin(&w->saboteur);
    session_pump(w->session, 0); /* 20 go out, the others wait */
    sabotage_end(&w->saboteur);
    session_check(w->session);
    for (uint64_t number = SWEEP_MESSAGES / 2 + 1; number <= SWEEP_MESSAGES; number++)
        sweep_deliver(w, number);
    sweep_acknowledge(w);
    session_pump(w->session, 0);
    sweep_acknowledge(w);

    for (uint64_t number = 1; number <= SWEEP_MESSAGES; number++)
        assert_int_equal(w->ends[number], 1);
    assert_true(w->dropped <= 1);
    struct session_stats stats = session_stats(w->session);
    assert_int_equal(stats.queued_count + stats.inflight_count, 0);
    assert_int_equal(stats.received_count, SWEEP_RECEIVED);
    session_trim(w->session);
    session_check(w->session);
    session_destroy(w->session);
}

static void the_nth_allocation_fails(void **state)
{
    static struct sweep w;
    uint64_t nth = 1;
    for (w.saboteur.has_failed = true; w.saboteur.has_failed; nth++) {
        assert_true(nth < 100);
        sweep_run(&w, nth);
    }
    assert_true(nth > 6); /* the session, the window, the queue and the set, which grow */
    session_destroy(NULL);
}

/* What is on its way to the disk has to be noted down. */
static void without_memory_stored_ones_stay_in_it(void **state)
{
    struct session_options one = { .inflight_max = 1 };
    struct test_sink sink = test_sink_make();
    char events[256];
    struct session *s = session_create(&one, &sink.sink);
    assert_int_equal(session_set_durable(s, true), 0);
    session_attach(s, 1);
    for (uint64_t seq = 1; seq <= 20; seq++) {
        struct delivery d = test_stored(seq, 1, DELIVERY_UNSAFE);
        session_deliver(s, &d, 0);
    }
    memory_fail_at(1);
    session_detach(s);
    memory_fail_at(0);
    session_check(s);
    assert_int_equal(session_stats(s).queued_count, 19);
    assert_int_equal(session_stats(s).disk_count, 0);

    struct delivery d = test_stored(21, 1, DELIVERY_UNSAFE);
    test_events_take(&sink, events, sizeof events);
    memory_fail_at(1);
    session_deliver(s, &d, 0);
    memory_fail_at(0);
    test_events_take(&sink, events, sizeof events);
    assert_string_equal(events, "dropped #21 no-memory"); /* it is in the store still */
    session_attach(s, 1);
    session_detach(s);
    assert_int_equal(session_stats(s).disk_count, 19);
    session_check(s);
    session_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_receive_maximum_holds_back),
        cmocka_unit_test(our_own_limit_may_be_smaller),
        cmocka_unit_test(a_new_connection_repeats_in_order),
        cmocka_unit_test(a_smaller_receive_maximum_repeats_by_and_by),
        cmocka_unit_test(acknowledged_before_it_is_repeated),
        cmocka_unit_test(refused_by_the_client),
        cmocka_unit_test(acknowledgements_that_do_not_fit),
        cmocka_unit_test(expired_messages_are_not_sent),
        cmocka_unit_test(a_full_queue_drops_what_is_new),
        cmocka_unit_test(a_full_queue_drops_what_is_old),
        cmocka_unit_test(one_that_fits_into_no_queue_pushes_nobody_out),
        cmocka_unit_test(a_full_queue_keeps_what_was_promised),
        cmocka_unit_test(is_full_as_the_limits_say),
        cmocka_unit_test(groups_get_back_what_was_not_started),
        cmocka_unit_test(groups_hear_of_every_end),
        cmocka_unit_test(an_adopted_message_is_the_clients_own),
        cmocka_unit_test(qos_0_while_away),
        cmocka_unit_test(bytes_in_flight_are_limited),
        cmocka_unit_test(a_congested_connection_is_spared),
        cmocka_unit_test(what_is_too_large_does_not_stop_the_others),
        cmocka_unit_test(qos_2_waits_until_it_is_on_the_disk),
        cmocka_unit_test(identifiers_follow_from_the_seq),
        cmocka_unit_test(until_sent_is_finished_early),
        cmocka_unit_test(nobody_there_so_it_is_left_on_the_disk),
        cmocka_unit_test(leaving_gives_back_what_was_not_started),
        cmocka_unit_test(late_ones_go_into_memory),
        cmocka_unit_test(the_end_finishes_nothing),
        cmocka_unit_test(a_load_for_a_connection_that_has_ended),
        cmocka_unit_test(a_load_that_found_nothing_waits),
        cmocka_unit_test(loading_ends_before_what_is_on_its_way),
        cmocka_unit_test(the_limit_counts_what_is_on_the_disk),
        cmocka_unit_test(the_disk_is_limited_by_messages_only),
        cmocka_unit_test(after_a_restart),
        cmocka_unit_test(a_released_one_is_not_sent_again),
        cmocka_unit_test(what_cannot_be_read_back_is_passed_over),
        cmocka_unit_test(tells_what_the_store_keeps_of_qos_2),
        cmocka_unit_test(durable_no_more),
        cmocka_unit_test(durable_again),
        cmocka_unit_test(memory_holds_only_what_is_sent_soon),
        cmocka_unit_test(qos_2_is_taken_once),
        cmocka_unit_test(identifiers_wrap_around_one_that_is_stuck),
        cmocka_unit_test(the_nth_allocation_fails),
        cmocka_unit_test(without_memory_stored_ones_stay_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
