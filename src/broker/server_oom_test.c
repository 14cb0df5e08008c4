/* broker/server_oom_test.c: no memory, once, at every place there is (fault F1).
 *
 * One scene with two clients is played again and again; the first time the first allocation fails,
 * then the second, until it passes without a failure.  Each time the server has to stay in good
 * order: every request is answered or its connection closed, what was acknowledged has been
 * delivered or is counted as dropped, a client that comes later is served, nothing leaks. */
#include "base/memory.h"
#include "broker/fuzz_world.h"
#include "broker/server.h"
#include "broker/worker.h"
#include "mqtt/notation.h"
#include "mqtt/packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { IN_SIZE = 64 * 1024, LARGE_SIZE = 5000, NTH_MAX = 5000, EACH_MAX = 40 };

#define CONFIG "listener 1883\nallow_anonymous true\nsys_interval 0\n"

struct actor {
    struct fuzz_link *link; /* NULL: never came, or has left */
    enum version version;
    size_t in_size;
    uint8_t in[IN_SIZE];
    unsigned heard[16];      /* packets, by type */
    enum reason reasons[16]; /* of the last one of each type; SUBACK: of its first filter */
};

struct scene {
    struct fuzz_world *world;
    struct actor a, b; /* of 5.0 and of 3.1.1 */
    uint64_t each;     /* in whatever is said, the allocation that fails; 0: only one in all */
    unsigned refusals; /* requests that were not answered with success */
};

/* --------------------------------------------------------------------- speaking, listening ---- */

static void ack(struct actor *a, uint8_t first, uint16_t packet_id)
{
    uint8_t bytes[] = { first, 2, (uint8_t)(packet_id >> 8), (uint8_t)packet_id };
    (void)fuzz_link_write(a->link, bytes_of(bytes, sizeof bytes));
}

static void on_packet(struct actor *a, const struct packet *p)
{
    a->heard[p->type]++;
    switch (p->type) {
    case PACKET_CONNACK:
        a->reasons[p->type] = p->connack.reason;
        break;
    case PACKET_SUBACK:
        a->reasons[p->type] = p->suback.reasons.data[0];
        break;
    case PACKET_PUBLISH:
        if (p->publish.qos > 0)
            ack(a, p->publish.qos == 1 ? 0x40 : 0x50, p->publish.packet_id);
        break;
    case PACKET_PUBREL:
        ack(a, 0x70, p->ack.packet_id);
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
        a->reasons[p->type] = p->ack.reason;
        break;
    default:
        break;
    }
}

/* How many bytes were heard. */
static size_t listen(struct actor *a)
{
    size_t got =
        a->link == NULL ? 0 : fuzz_link_read(a->link, a->in + a->in_size, IN_SIZE - a->in_size);
    a->in_size += got;
    struct bytes rest = bytes_of(a->in, a->in_size);
    struct frame frame;
    while (frame_decode(rest, &frame) == DECODE_DONE) {
        struct packet p;
        enum reason why;
        assert_int_equal(packet_decode(bytes_of(rest.data, frame.size), a->version, &p, &why),
                         DECODE_DONE);
        on_packet(a, &p);
        rest = bytes_after(rest, frame.size);
    }
    memmove(a->in, rest.data, rest.size);
    a->in_size = rest.size;
    return got;
}

/* Until all is said and heard. */
static void go_on(struct scene *s)
{
    size_t moved;
    do {
        fuzz_world_settle(s->world);
        moved = listen(&s->a) + listen(&s->b);
    } while (moved > 0);
}

static bool is_there(const struct actor *a)
{
    return a->link != NULL && !fuzz_link_is_over(a->link);
}

static void say(struct scene *s, struct actor *a, const char *text)
{
    struct notation n;
    if (s->each != 0)
        memory_fail_at(s->each);
    if (is_there(a))
        (void)fuzz_link_write(a->link, notation_read(&n, text));
    go_on(s);
}

static void hang_up(struct scene *s, struct actor *a, bool resets)
{
    if (a->link == NULL)
        return;
    if (resets)
        fuzz_link_reset(a->link);
    fuzz_link_forget(a->link);
    a->link = NULL;
    a->in_size = 0;
    go_on(s);
}

/* Says something that has an answer.  True: it came, and says yes; else it says no, or the
 * connection is closed. */
static bool ask(struct scene *s, struct actor *a, const char *text, enum packet_type answer)
{
    unsigned before = a->heard[answer];
    say(s, a, text);
    if (a->heard[answer] == before && is_there(a)) {
        print_error("no answer to: %s\n", text);
        fail();
    }
    bool is_yes = a->heard[answer] > before && !reason_is_error(a->reasons[answer]);
    s->refusals += !is_yes;
    return is_yes;
}

static bool come(struct scene *s, struct actor *a, unsigned worker, enum version version,
                 const char *connect)
{
    hang_up(s, a, false);
    a->version = version;
    a->link = fuzz_link_open(s->world, worker);
    assert_non_null(a->link);
    fuzz_world_settle(s->world);
    if (a->link->is_waiting) /* the server takes a short rest when it could not accept one */
        fuzz_world_pass(s->world, INT64_C(200000000));
    return ask(s, a, connect, PACKET_CONNACK);
}

/* Did one more message come, or was one counted as dropped?  What waits for memory goes out when
 * the client is heard of next. */
static bool is_accounted_for(struct scene *s, struct actor *to, unsigned heard, int64_t drops)
{
    if (to->heard[PACKET_PUBLISH] == heard)
        (void)ask(s, to, "c0 00", PACKET_PINGRESP);
    return to->heard[PACKET_PUBLISH] > heard || !is_there(to) ||
           server_drops(s->world->server, DROP_NO_MEMORY) > drops;
}

/* `from` publishes; if it is acknowledged, and `to` is sure to get it, that is checked. */
static void send(struct scene *s, struct actor *from, const char *text, enum packet_type answer,
                 struct actor *to, bool is_sure)
{
    unsigned heard = to->heard[PACKET_PUBLISH];
    int64_t drops = server_drops(s->world->server, DROP_NO_MEMORY);
    bool is_taken = ask(s, from, text, answer);
    if (is_taken && is_sure && !is_accounted_for(s, to, heard, drops)) {
        print_error("acknowledged and lost: %s\n", text);
        fail();
    }
    if (is_taken && answer == PACKET_PUBREC)
        (void)ask(s, from, "62 { 0002 }", PACKET_PUBCOMP);
}

/* The same to a group, of which both may be members. */
static void send_to_group(struct scene *s, bool a_shares, bool b_shares)
{
    unsigned a = s->a.heard[PACKET_PUBLISH], b = s->b.heard[PACKET_PUBLISH];
    int64_t drops = server_drops(s->world->server, DROP_NO_MEMORY);
    bool is_sure = (a_shares && is_there(&s->a)) || (b_shares && is_there(&s->b));
    bool is_taken = ask(s, &s->b, "32 { s's' 0001 'shared' }", PACKET_PUBACK);
    if (is_taken && is_sure && !is_accounted_for(s, &s->a, a, drops) &&
        !is_accounted_for(s, &s->b, b, drops)) {
        print_error("acknowledged and lost in a group\n");
        fail();
    }
}

/* As notation cannot: a payload that is sent by reference. */
static void send_large(struct scene *s, struct actor *from)
{
    static uint8_t payload[LARGE_SIZE];
    uint8_t out[LARGE_SIZE + 64];
    struct packet p = { .type = PACKET_PUBLISH };
    p.publish.topic = BYTES("t/large");
    p.publish.payload = bytes_of(payload, sizeof payload);
    packet_encode(&p, from->version, out);
    if (is_there(from))
        (void)fuzz_link_write(from->link, bytes_of(out, packet_size(&p, from->version)));
    go_on(s);
}

/* ------------------------------------------------------------------------------- the scene ---- */

#define CONNECT_A                                                                                  \
    "10 { s'MQTT' 05 24 0000 { 11 0000003c 22 0002 } s'a' { 18 00000001 02 0000003c } s'will/a'"   \
    " s'gone' }"
#define CONNECT_B "10 { s'MQTT' 04 0c 003c s'b' s'will/b' s'gone' }"

static void play(struct scene *s)
{
    unsigned last = s->world->server->worker_count - 1;
    struct actor *a = &s->a, *b = &s->b;
    (void)come(s, a, 0, VERSION_5_0, CONNECT_A);
    (void)come(s, b, last, VERSION_3_1_1, CONNECT_B);
    bool a_has = ask(s, a, "82 { 0001 { 0b 07 } s't/exact' 02 }", PACKET_SUBACK);
    bool a_has_wild = ask(s, a, "82 { 0002 { 0b 08 } s't/+' 01 s'will/#' 02 }", PACKET_SUBACK);
    bool a_shares = ask(s, a, "82 { 0003 { } s'$share/g/s' 02 }", PACKET_SUBACK);
    bool b_has = ask(s, b, "82 { 0001 s'u/#' 02 }", PACKET_SUBACK);
    send_to_group(s, a_shares, false);
    bool b_shares = ask(s, b, "82 { 0002 s'$share/g/s' 01 }", PACKET_SUBACK);

    send(s, b, "33 { s't/kept' 0002 'kept' }", PACKET_PUBACK, a, a_has_wild);
    send(s, b, "34 { s't/exact' 0002 'twice' }", PACKET_PUBREC, a, a_has || a_has_wild);
    send(s, a, "32 { s'u/1' 0001 { 23 0001 02 0000003c 26 s'k' s'v' } 'one' }", PACKET_PUBACK, b,
         b_has);
    send(s, a, "34 { s'' 0002 { 23 0001 } 'two' }", PACKET_PUBREC, b, b_has);
    send_large(s, b);
    for (int i = 0; i < 3; i++)
        send_to_group(s, a_shares, b_shares);
    (void)ask(s, a, "82 { 0004 { } s't/kept' 00 }", PACKET_SUBACK); /* with its Retained Message */
    (void)ask(s, a, "a2 { 0005 { } s't/exact' }", PACKET_UNSUBACK);
    (void)ask(s, b, "c0 00", PACKET_PINGRESP);

    hang_up(s, b, true); /* its Will goes out, its Session stays */
    for (int i = 0; i < 10; i++)
        send(s, a, "32 { s'u/2' 0003 { } 'queued' }", PACKET_PUBACK, a, false);
    struct fuzz_link *old = a->link;
    a->link = NULL;
    (void)come(s, a, last, VERSION_5_0, CONNECT_A); /* takes over */
    fuzz_link_forget(old);
    (void)come(s, b, 0, VERSION_3_1_1, CONNECT_B); /* resumes, and gets what waited */
    say(s, a, "e0 { 04 { } }");                    /* with the Will, which waits */
    fuzz_world_pass(s->world, INT64_C(3000000000));
    say(s, b, "e0 00");
    fuzz_world_pass(s->world, INT64_C(70000000000)); /* the Session of a expires */
}

/* After all that. */
static void serve_newcomers(struct scene *s)
{
    for (unsigned worker = 0; worker < s->world->server->worker_count; worker++) {
        struct actor *a = &s->a;
        assert_true(come(s, a, worker, VERSION_5_0, "10 { s'MQTT' 05 02 0000 { } s'new' }"));
        assert_true(ask(s, a, "82 { 0001 { } s'n/+' 02 s'$share/n/m' 01 }", PACKET_SUBACK));
        unsigned before = a->heard[PACKET_PUBLISH];
        assert_true(ask(s, a, "35 { s'n/1' 0001 { } 'x' }", PACKET_PUBREC));
        assert_true(ask(s, a, "62 { 0001 }", PACKET_PUBCOMP));
        assert_true(ask(s, a, "32 { s'm' 0002 { } 'y' }", PACKET_PUBACK));
        assert_int_equal(a->heard[PACKET_PUBLISH], before + 2);
    }
}

/* Whoever is still there when the server stops. */
static void fill_the_house(struct scene *s)
{
    (void)come(s, &s->a, 0, VERSION_5_0, CONNECT_A);
    (void)come(s, &s->b, 0, VERSION_3_1_1, CONNECT_B);
    (void)ask(s, &s->a, "82 { 0001 { } s'will/#' 02 }", PACKET_SUBACK);
}

static void end(struct scene *s, size_t used_before)
{
    memory_fail_at(0);
    assert_int_equal(memory_used(), used_before);
    fuzz_world_destroy(s->world);
}

/* True: the nth allocation has failed. */
static bool play_with_failure(const char *config, unsigned workers, unsigned refusals, uint64_t nth)
{
    struct scene s = { .world = fuzz_world_create(7) };
    fuzz_world_configure(s.world, config);
    size_t before = memory_used();
    uint64_t seen = 0;
    memory_fail_at(nth);
    if (fuzz_world_start(s.world, workers) == 0) {
        play(&s);
        seen = memory_fail_at(0);
        if (seen >= nth) {
            serve_newcomers(&s);
        } else {
            assert_int_equal(s.refusals, refusals); /* it is a scene in which all goes well */
            assert_true(s.a.heard[PACKET_PUBLISH] > 4 && s.b.heard[PACKET_PUBLISH] > 4);
            memory_fail_at(nth - seen);
        }
        fill_the_house(&s);
        fuzz_world_stop(s.world);
        seen += memory_fail_at(0);
    } else {
        seen = nth;
    }
    end(&s, before);
    return seen >= nth;
}

/* refusals: how many there are even with memory. */
static void sweep(const char *config, unsigned workers, unsigned refusals)
{
    uint64_t nth = 1;
    while (play_with_failure(config, workers, refusals, nth)) {
        nth++;
        assert_true(nth < NTH_MAX);
    }
    print_message("%u allocations with %u workers\n", (unsigned)nth - 1, workers);
    assert_true(nth > 100); /* the scene is a scene */
}

static void test_one_worker(void **state)
{
    sweep(CONFIG, 1, 0);
}

static void test_two_workers(void **state)
{
    sweep(CONFIG, 2, 0);
}

static void test_other_policies(void **state)
{
    sweep(CONFIG "allow_duplicate_messages false\nqueue_policy refuse-publisher\n"
                 "max_queued_messages 4\nmax_inflight_messages 2\nreason_strings true\n"
                 "max_topic_alias_broker 2\nshared_subscription_strategy hash-topic\n",
          2, 6); /* of ten messages, four have room */
}

/* Trouble that does not pass: something fails in whatever is said. */
static void test_again_and_again(void **state)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        for (uint64_t each = 1; each <= EACH_MAX; each++) {
            struct scene s = { .world = fuzz_world_create(7), .each = each };
            fuzz_world_configure(s.world, CONFIG);
            size_t before = memory_used();
            assert_int_equal(fuzz_world_start(s.world, workers), 0);
            play(&s);
            s.each = 0;
            memory_fail_at(0);
            serve_newcomers(&s);
            fuzz_world_stop(s.world);
            end(&s, before);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_worker),
        cmocka_unit_test(test_two_workers),
        cmocka_unit_test(test_other_policies),
        cmocka_unit_test(test_again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
