#include "base/hash.h"
#include "base/memory.h"
#include "router/share.h"
#include "router/subscriber.h"
#include "router/test_random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct message *make_message(const char *topic, uint32_t number, uint8_t qos,
                                    int64_t expires_ns)
{
    struct publish p = { .qos = qos, .payload = bytes_of(&number, sizeof(number)) };
    struct message *m = message_create(bytes_of_string(topic), &p, 0, expires_ns);
    assert_non_null(m);
    return m;
}

static uint32_t message_number(const struct message *m)
{
    uint32_t number;
    assert_int_equal(m->payload.size, sizeof(number));
    memcpy(&number, m->payload.data, sizeof(number));
    return number;
}

static enum share_push push_to(struct share_group *g, const char *topic, uint32_t number,
                               uint8_t qos)
{
    struct message *m = make_message(topic, number, qos, MESSAGE_NEVER);
    enum share_push result = share_group_push(g, m, number);
    message_unref(m);
    share_group_check(g);
    return result;
}

static enum share_push push(struct share_group *g, uint32_t number, uint8_t qos)
{
    return push_to(g, "t", number, qos);
}

static struct share_group *make_group(struct share_group_options o)
{
    struct share_group *g = share_group_create(&o);
    assert_non_null(g);
    return g;
}

static void set_member(struct share_group *g, uint64_t handle, uint16_t window, bool online)
{
    struct share_member_options m = { handle, 2, 0, window, online };
    assert_int_equal(share_group_set_member(g, &m), 0);
    share_group_check(g);
}

static struct share_handover next(struct share_group *g)
{
    struct share_handover h = { 0 };
    if (share_group_next(g, 0, &h))
        share_group_check(g);
    return h;
}

/* The next hand-over is this one.  Returns its ticket. */
static uint64_t expect_next(struct share_group *g, uint64_t handle, uint32_t number)
{
    struct share_handover h = next(g);
    assert_int_equal(h.handle, handle);
    assert_int_equal(message_number(h.message), number);
    message_unref(h.message);
    return h.ticket;
}

static void expect_none(struct share_group *g)
{
    assert_int_equal(next(g).handle, 0);
}

/* --------------------------------------------------------------------------------- examples ----
 */

static void round_robin_takes_turns(void **state)
{
    struct share_group *g = make_group((struct share_group_options){ 0 });
    uint64_t tickets[7];
    for (uint64_t m = 1; m <= 3; m++)
        set_member(g, m, 2, true);
    assert_int_equal(share_group_member_count(g), 3);
    for (uint32_t i = 0; i < 7; i++)
        assert_int_equal(push(g, i, 1), SHARE_PUSHED);
    for (uint32_t i = 0; i < 6; i++)
        tickets[i] = expect_next(g, 1 + i % 3, i);
    expect_none(g); /* no credit left */
    assert_int_equal(share_group_waiting_count(g), 1);
    share_group_finish(g, 2, tickets[0]); /* another member's ticket: ignored */
    share_group_finish(g, 9, tickets[0]); /* nobody: ignored */
    expect_none(g);
    share_group_finish(g, 2, tickets[1]);
    tickets[6] = expect_next(g, 2, 6);
    share_group_finish(g, 2, tickets[1]); /* twice: ignored */
    share_group_check(g);
    assert_int_equal(push(g, 7, 0), SHARE_PUSHED); /* QoS 0 needs no credit */
    assert_int_equal(expect_next(g, 1, 7), 0);
    share_group_destroy(g);
    share_group_destroy(NULL);
}

static void least_inflight_evens_out(void **state)
{
    struct share_group *g =
        make_group((struct share_group_options){ .choice = SHARE_CHOOSE_LEAST_INFLIGHT });
    set_member(g, 1, 100, true);
    for (uint32_t i = 0; i < 5; i++) {
        (void)push(g, i, 1);
        (void)expect_next(g, 1, i);
    }
    set_member(g, 2, 100, true);
    for (uint32_t i = 5; i < 10; i++) {
        (void)push(g, i, 2);
        (void)expect_next(g, 2, i);
    }
    share_group_destroy(g);
}

static void handed_back_messages_come_first_and_in_order(void **state)
{
    struct share_group *g = make_group((struct share_group_options){ 0 });
    set_member(g, 1, 10, true);
    set_member(g, 2, 10, true);
    for (uint32_t i = 0; i < 10; i++)
        (void)push(g, i, 1);
    for (uint32_t i = 0; i < 10; i++)
        (void)expect_next(g, 1 + i % 2, i);
    (void)push(g, 10, 1);
    set_member(g, 1, 10, false);
    set_member(g, 2, 10, false);
    expect_none(g);
    share_group_leave(g, 1, SHARE_LEAVE_SESSION_ENDED);
    share_group_check(g);
    share_group_leave(g, 2, SHARE_LEAVE_SESSION_ENDED);
    share_group_leave(g, 2, SHARE_LEAVE_SESSION_ENDED); /* unknown: ignored */
    share_group_check(g);
    assert_int_equal(share_group_member_count(g), 0);
    assert_int_equal(share_group_waiting_count(g), 11);
    set_member(g, 3, 100, true);
    for (uint32_t i = 0; i < 11; i++)
        (void)expect_next(g, 3, i);
    share_group_destroy(g);
}

/* QoS 0 takes its turn with the others, but only while nothing of its kind waits. */
static void passing_on_keeps_order(void **state)
{
    struct share_group *g = make_group((struct share_group_options){ .queue_qos0 = true });
    struct message *m = make_message("t", 1, 0, MESSAGE_NEVER);
    struct message *m1 = make_message("t", 1, 1, MESSAGE_NEVER);
    struct share_handover h;
    assert_false(share_group_pass(g, m, 0, 0, &h)); /* nobody there */
    assert_int_equal(push(g, 0, 0), SHARE_PUSHED);
    set_member(g, 1, 10, true);
    set_member(g, 2, 10, true);
    assert_false(share_group_pass(g, m, 0, 0, &h)); /* one waits */
    assert_int_equal(expect_next(g, 1, 0), 0);
    assert_true(share_group_pass(g, m, 0, 0, &h));
    assert_true(h.handle == 2 && h.message == NULL && h.ticket == 0 && h.qos == 0);
    assert_true(share_group_pass(g, m, 0, 0, &h));
    assert_int_equal(h.handle, 1);
    assert_false(share_group_pass(g, m1, 0, 0, &h)); /* QoS 1 needs a ticket */
    share_group_check(g);
    message_unref(m);
    message_unref(m1);
    share_group_destroy(g);
}

/* [MQTT-4.8.2-4] [MQTT-4.8.2-5] */
static void qos_2_is_never_given_to_another(void **state)
{
    struct share_group *g = make_group((struct share_group_options){ 0 });
    struct share_member_options granted_1 = { 1, 1, 0, 10, true };
    set_member(g, 2, 10, true);
    (void)push(g, 1, 2);
    (void)push(g, 2, 1);
    (void)expect_next(g, 2, 1);
    (void)expect_next(g, 2, 2);
    share_group_leave(g, 2, SHARE_LEAVE_SESSION_ENDED);
    share_group_check(g);
    assert_int_equal(share_group_set_member(g, &granted_1), 0);
    uint64_t ticket = expect_next(g, 1, 2);
    expect_none(g);
    share_group_finish(g, 1, ticket);

    (void)push(g, 3, 2); /* published at 2, granted 1: given at 1, so it may go on */
    struct share_handover h = next(g);
    assert_int_equal(h.qos, 1); /* [MQTT-4.8.2-3] */
    message_unref(h.message);
    share_group_leave(g, 1, SHARE_LEAVE_SESSION_ENDED);
    set_member(g, 3, 1, true);
    (void)expect_next(g, 3, 3);
    share_group_destroy(g);
}

/* Its session lives on and completes what it was given [MQTT-3.10.4-3]. */
static void unsubscribing_gives_nothing_back(void **state)
{
    struct share_group *g = make_group((struct share_group_options){ 0 });
    set_member(g, 1, 10, true);
    (void)push(g, 1, 1);
    (void)push(g, 2, 2);
    (void)expect_next(g, 1, 1);
    (void)expect_next(g, 1, 2);
    share_group_leave(g, 1, SHARE_LEAVE_UNSUBSCRIBED);
    share_group_check(g);
    set_member(g, 2, 10, true);
    expect_none(g);
    share_group_destroy(g);
}

/* What was not started comes back, of any QoS, to its old place. */
static void returned_messages_keep_their_place(void **state)
{
    struct share_group *g = make_group((struct share_group_options){ 0 });
    uint64_t tickets[3];
    set_member(g, 1, 3, true);
    for (uint32_t i = 0; i < 5; i++)
        (void)push(g, i, i % 2 == 0 ? 1 : 2);
    for (uint32_t i = 0; i < 3; i++)
        tickets[i] = expect_next(g, 1, i);
    expect_none(g);
    set_member(g, 1, 3, false);
    share_group_return(g, 1, tickets[1]);
    share_group_return(g, 1, tickets[2]);
    share_group_return(g, 1, tickets[2]); /* used up: ignored */
    share_group_return(g, 9, tickets[0]); /* not a member: ignored */
    share_group_check(g);
    set_member(g, 2, 10, true);
    for (uint32_t i = 1; i < 5; i++)
        (void)expect_next(g, 2, i);
    share_group_finish(g, 1, tickets[0]);
    share_group_check(g);
    share_group_destroy(g);
}

static void limits_hold(void **state)
{
    struct share_group *g = make_group((struct share_group_options){ .queued_messages_max = 2 });
    assert_int_equal(push(g, 0, 0), SHARE_DROPPED_NOBODY);
    assert_int_equal(push(g, 1, 1), SHARE_PUSHED);
    assert_int_equal(push(g, 2, 1), SHARE_PUSHED);
    assert_int_equal(push(g, 3, 1), SHARE_DROPPED_QUEUE_FULL);
    set_member(g, 1, 5, true);
    (void)expect_next(g, 1, 1);
    (void)expect_next(g, 1, 2);
    expect_none(g);
    share_group_destroy(g);

    g = make_group((struct share_group_options){
        .queued_messages_max = 2, .drop_oldest = true, .queue_qos0 = true });
    assert_int_equal(push(g, 1, 0), SHARE_PUSHED);
    assert_int_equal(push(g, 2, 1), SHARE_PUSHED);
    assert_int_equal(push(g, 3, 1), SHARE_DROPPED_QUEUE_FULL);
    assert_int_equal(push(g, 4, 1), SHARE_DROPPED_QUEUE_FULL);
    assert_int_equal(share_group_waiting_count(g), 2);
    set_member(g, 1, 5, true);
    (void)expect_next(g, 1, 3);
    (void)expect_next(g, 1, 4);
    expect_none(g);
    share_group_destroy(g);

    /* Each weighs 5 bytes, the long one 14. */
    g = make_group((struct share_group_options){ .queued_bytes_max = 12, .drop_oldest = true });
    assert_int_equal(push(g, 1, 1), SHARE_PUSHED);
    assert_int_equal(push(g, 2, 1), SHARE_PUSHED);
    assert_int_equal(push_to(g, "long/topic", 3, 1), SHARE_DROPPED_QUEUE_FULL);
    assert_int_equal(share_group_waiting_count(g), 2);
    assert_int_equal(push_to(g, "topic/8b", 4, 1), SHARE_DROPPED_QUEUE_FULL);
    assert_int_equal(share_group_waiting_count(g), 1);
    set_member(g, 1, 5, true);
    (void)expect_next(g, 1, 4);
    share_group_destroy(g);
}

static void expired_messages_are_skipped(void **state)
{
    struct share_group *g = make_group((struct share_group_options){ 0 });
    for (uint32_t i = 0; i < 6; i++) {
        struct message *m = make_message("t", i, 1, i % 2 == 0 ? 100 : MESSAGE_NEVER);
        assert_int_equal(share_group_push(g, m, 0), SHARE_PUSHED);
        message_unref(m);
    }
    set_member(g, 1, 5, true);
    struct share_handover h;
    for (uint32_t i = 1; i < 6; i += 2) {
        assert_true(share_group_next(g, 100, &h));
        assert_int_equal(message_number(h.message), i);
        message_unref(h.message);
    }
    assert_false(share_group_next(g, 100, &h));
    assert_int_equal(share_group_expired_count(g), 3);
    assert_int_equal(share_group_expired_count(g), 0);
    share_group_destroy(g);
}

static void push_expiring(struct share_group *g, const char *topic, uint32_t number,
                          int64_t expires_ns)
{
    struct message *m = make_message(topic, number, 1, expires_ns);
    assert_int_equal(share_group_push(g, m, 0), SHARE_PUSHED);
    message_unref(m);
}

/* The credit that made one key ready is not lost when that key has nothing left to give. */
static void credit_passes_to_the_next_key(void **state)
{
    struct share_group *g =
        make_group((struct share_group_options){ .choice = SHARE_CHOOSE_HASH_TOPIC });
    set_member(g, 1, 1, true);
    push_expiring(g, "c", 1, MESSAGE_NEVER);
    uint64_t ticket = expect_next(g, 1, 1);
    push_expiring(g, "a", 2, 100);
    push_expiring(g, "b", 3, MESSAGE_NEVER);
    expect_none(g);
    share_group_finish(g, 1, ticket);
    struct share_handover h;
    assert_true(share_group_next(g, 200, &h));
    assert_int_equal(message_number(h.message), 3);
    message_unref(h.message);
    share_group_check(g);
    share_group_destroy(g);
}

static void survives_lack_of_memory(void **state)
{
    struct share_group_options o = { .choice = SHARE_CHOOSE_HASH_TOPIC };
    memory_fail_at(1);
    assert_null(share_group_create(&o));
    memory_fail_at(0);
    struct share_group *g = make_group(o);
    struct share_member_options member = { 1, 2, 0, 100, true };
    int result = -ENOMEM;
    for (uint64_t nth = 1; result != 0; nth++) {
        memory_fail_at(nth);
        result = share_group_set_member(g, &member);
        memory_fail_at(0);
        share_group_check(g);
        assert_int_equal(share_group_member_count(g), result == 0);
    }
    for (uint32_t i = 0; i < 20; i++) {
        char topic[16];
        snprintf(topic, sizeof(topic), "t%u", i);
        struct message *m = make_message(topic, i, 1, MESSAGE_NEVER);
        enum share_push pushed = SHARE_DROPPED_NO_MEMORY;
        for (uint64_t nth = 1; pushed != SHARE_PUSHED; nth++) {
            memory_fail_at(nth);
            pushed = share_group_push(g, m, 0);
            memory_fail_at(0);
            share_group_check(g);
            assert_int_equal(share_group_waiting_count(g), i + (pushed == SHARE_PUSHED));
        }
        message_unref(m);
    }
    /* Without memory for more slots the window is smaller; it never stands still. */
    for (uint32_t done = 0; done < 20;) {
        struct share_handover h[20];
        uint32_t count = 0;
        memory_fail_at(1);
        while (share_group_next(g, 0, &h[count])) {
            memory_fail_at(1);
            count++;
        }
        memory_fail_at(0);
        assert_true(count > 0);
        for (uint32_t i = 0; i < count; i++) {
            message_unref(h[i].message);
            memory_fail_at(1);
            share_group_finish(g, 1, h[i].ticket);
            memory_fail_at(0);
            share_group_check(g);
        }
        done += count;
    }
    assert_int_equal(share_group_waiting_count(g), 0);
    share_group_destroy(g);
}

/* ------------------------------------------------------------------------------------ model ----
 */

enum { MEMBERS = 6, KEYS = 9, MESSAGES = 12000, STEPS = 25000, NOBODY = MEMBERS };

enum message_state { NOT_THERE, WAITING, GIVEN, GONE };

struct message_model {
    enum message_state state;
    uint32_t key; /* of the strategy; without keys: 0 for QoS 0, else 1 */
    uint8_t qos, given_qos;
    int64_t expires_ns;
    uint32_t member;
    uint64_t ticket;
};

struct member_model {
    bool in_group;
    struct share_member_options options;
    unsigned unfinished;
};

struct key_model {
    uint32_t owner;      /* who was given the last one; NOBODY: unknown */
    uint32_t came_since; /* members, as bits, that came online after that */
};

struct model {
    struct share_group *group;
    enum share_choice choice;
    bool with_expiry;
    struct message_model messages[MESSAGES];
    uint32_t message_count, first_alive; /* all before it are GONE or NOT_THERE */
    struct member_model members[MEMBERS];
    struct key_model keys[KEYS];
    int64_t now_ns;
    size_t expired_count;
    uint64_t random;
};

static uint32_t draw(struct model *w, uint32_t below)
{
    return next_random(&w->random) % below;
}

static bool has_keys(const struct model *w)
{
    return w->choice == SHARE_CHOOSE_HASH_CLIENT_ID || w->choice == SHARE_CHOOSE_HASH_TOPIC;
}

static bool is_online(const struct model *w, uint32_t member)
{
    return w->members[member].in_group && w->members[member].options.online;
}

static uint8_t granted(const struct model *w, uint32_t member, uint8_t qos)
{
    uint8_t most = w->members[member].options.options & SUBSCRIBER_QOS;
    return qos < most ? qos : most;
}

static bool can_take(const struct model *w, uint32_t member, const struct message_model *m)
{
    const struct member_model *mm = &w->members[member];
    return is_online(w, member) &&
           (granted(w, member, m->qos) == 0 || mm->unfinished < mm->options.window);
}

static bool is_expired(const struct model *w, const struct message_model *m)
{
    return m->expires_ns <= w->now_ns;
}

/* Somebody else still has a message of this key. */
static bool key_is_held(const struct model *w, uint32_t key, uint32_t but_for)
{
    for (uint32_t i = w->first_alive; i < w->message_count; i++)
        if (w->messages[i].state == GIVEN && w->messages[i].key == key &&
            w->messages[i].member != but_for)
            return true;
    return false;
}

static void online_changed(struct model *w, uint32_t member, bool was)
{
    bool is = is_online(w, member);
    for (uint32_t k = 0; k < KEYS && was != is; k++) {
        if (is)
            w->keys[k].came_since |= 1u << member;
        else
            w->keys[k].came_since &= ~(1u << member);
        if (!is && w->keys[k].owner == member)
            w->keys[k].owner = NOBODY;
    }
}

/* A key moves only when its member has gone, or to one that has come. */
static void expect_owner(struct model *w, uint32_t key, uint32_t member)
{
    struct key_model *k = &w->keys[key];
    assert_true(k->owner == NOBODY || k->owner == member || (k->came_since >> member & 1) != 0);
    *k = (struct key_model){ member, 0 };
}

static void expect_handover(struct model *w, const struct share_handover *h)
{
    uint32_t number = message_number(h->message), member = handle_slot(h->handle);
    assert_true(number < w->message_count && member < MEMBERS);
    struct message_model *m = &w->messages[number];
    struct member_model *to = &w->members[member];
    assert_int_equal(m->state, WAITING);
    assert_false(is_expired(w, m));
    assert_int_equal(h->handle, to->options.handle);
    assert_true(can_take(w, member, m));
    assert_int_equal(h->qos, granted(w, member, m->qos));
    assert_true(h->options == to->options.options && h->id == to->options.id);
    assert_true((h->ticket != 0) == (h->qos > 0));
    for (uint32_t i = w->first_alive; i < number; i++) /* the oldest of its key */
        assert_false(w->messages[i].state == WAITING && w->messages[i].key == m->key &&
                     !is_expired(w, &w->messages[i]));
    if (has_keys(w)) {
        assert_false(key_is_held(w, m->key, member));
        expect_owner(w, m->key, member);
    }
    m->state = h->qos > 0 ? GIVEN : GONE;
    m->member = member;
    m->ticket = h->ticket;
    m->given_qos = h->qos;
    to->unfinished += h->qos > 0;
}

/* Is it right that this head of its key waits? */
static void expect_waits(const struct model *w, const struct message_model *m)
{
    unsigned online = 0, takers = 0;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        online += is_online(w, i);
        takers += can_take(w, i, m);
    }
    if (!has_keys(w)) {
        assert_int_equal(takers, 0);
        return;
    }
    const struct key_model *k = &w->keys[m->key];
    if (k->owner != NOBODY && k->came_since == 0)
        assert_true(!can_take(w, k->owner, m) || key_is_held(w, m->key, k->owner));
    else if (online > 0 && takers == online) /* whoever it is could take it */
        assert_true(key_is_held(w, m->key, NOBODY));
}

static void expect_nothing_left_to_do(struct model *w)
{
    bool seen[KEYS] = { false };
    size_t waiting = 0;
    for (uint32_t i = w->first_alive; i < w->message_count; i++) {
        const struct message_model *m = &w->messages[i];
        if (m->state != WAITING)
            continue;
        waiting++;
        if (!seen[m->key] && !is_expired(w, m)) /* what is behind an expired one may not know yet */
            expect_waits(w, m);
        seen[m->key] = true;
    }
    for (uint32_t i = 0; i < w->first_alive; i++) /* expired ones count as waiting for good */
        waiting += w->messages[i].state == WAITING;
    w->expired_count += share_group_expired_count(w->group);
    assert_int_equal(share_group_waiting_count(w->group), waiting - w->expired_count);
}

static void drain(struct model *w, uint32_t max)
{
    struct share_handover h;
    while (share_group_next(w->group, w->now_ns, &h)) {
        expect_handover(w, &h);
        message_unref(h.message);
        if (--max == 0)
            return;
    }
    expect_nothing_left_to_do(w);
    while (w->first_alive < w->message_count) {
        const struct message_model *m = &w->messages[w->first_alive];
        if (m->state == GIVEN || (m->state == WAITING && !is_expired(w, m)))
            break;
        w->first_alive++;
    }
}

/* The short way must be open whenever nothing of the key is there and somebody is. */
static bool model_pass(struct model *w, struct message *message, uint64_t publisher_hash)
{
    struct message_model *m = &w->messages[w->message_count - 1];
    struct share_handover h;
    if (!share_group_pass(w->group, message, publisher_hash, w->now_ns, &h)) {
        bool is_open = m->qos == 0 && !w->with_expiry;
        for (uint32_t i = w->first_alive; i < w->message_count - 1; i++)
            is_open =
                is_open && (w->messages[i].key != m->key ||
                            (w->messages[i].state != WAITING && w->messages[i].state != GIVEN));
        for (uint32_t i = 0; i < MEMBERS && is_open; i++)
            assert_false(is_online(w, i));
        return false;
    }
    assert_null(h.message);
    h.message = message;
    m->state = WAITING;
    expect_handover(w, &h);
    return true;
}

static void model_push(struct model *w)
{
    if (w->message_count == MESSAGES)
        return;
    struct message_model *m = &w->messages[w->message_count];
    uint32_t topic_number = draw(w, KEYS), publisher = draw(w, KEYS);
    char topic[16];
    snprintf(topic, sizeof(topic), "topic/%u", topic_number);
    *m = (struct message_model){ .qos = (uint8_t)draw(w, 3),
                                 .expires_ns = w->with_expiry && draw(w, 10) == 0
                                                   ? w->now_ns + draw(w, 300)
                                                   : MESSAGE_NEVER };
    m->key = w->choice == SHARE_CHOOSE_HASH_TOPIC       ? topic_number
             : w->choice == SHARE_CHOOSE_HASH_CLIENT_ID ? publisher
                                                        : m->qos > 0;
    struct message *message = make_message(topic, w->message_count++, m->qos, m->expires_ns);
    if (draw(w, 2) == 0 && model_pass(w, message, hash_bytes(5, bytes_of(&publisher, 4)))) {
        message_unref(message);
        return;
    }
    if (draw(w, 20) == 0)
        memory_fail_at(1 + draw(w, 3));
    enum share_push result =
        share_group_push(w->group, message, hash_bytes(5, bytes_of(&publisher, 4)));
    memory_fail_at(0);
    message_unref(message);
    if (result == SHARE_PUSHED)
        m->state = WAITING;
    else
        assert_int_equal(result, SHARE_DROPPED_NO_MEMORY);
}

static void model_set_member(struct model *w, uint32_t member, bool online, uint16_t window)
{
    struct member_model *m = &w->members[member];
    bool was = is_online(w, member);
    if (!m->in_group)
        m->options.handle = handle_make(0, handle_generation(m->options.handle) + 1, member);
    m->options.online = online;
    m->options.window = window;
    m->options.id = draw(w, 1000);
    m->options.options = draw(w, 8) == 0 ? 0 : 1 + draw(w, 2);
    m->in_group = true;
    assert_int_equal(share_group_set_member(w->group, &m->options), 0);
    online_changed(w, member, was);
}

static void model_leave(struct model *w, uint32_t member)
{
    struct member_model *m = &w->members[member];
    bool was = is_online(w, member);
    enum share_leave why = draw(w, 2) == 0 ? SHARE_LEAVE_SESSION_ENDED : SHARE_LEAVE_UNSUBSCRIBED;
    share_group_leave(w->group, m->options.handle, why);
    m->in_group = false;
    m->unfinished = 0;
    for (uint32_t i = w->first_alive; i < w->message_count; i++) {
        struct message_model *mm = &w->messages[i];
        if (mm->state == GIVEN && mm->member == member)
            mm->state = mm->given_qos == 1 && why == SHARE_LEAVE_SESSION_ENDED ? WAITING : GONE;
    }
    online_changed(w, member, was);
}

static void model_finish(struct model *w, uint32_t number)
{
    struct message_model *m = &w->messages[number];
    if (m->state == NOT_THERE || m->state == WAITING || m->ticket == 0)
        return;
    struct member_model *member = &w->members[m->member];
    share_group_finish(w->group, member->options.handle, m->ticket); /* ignored if not GIVEN */
    if (m->state == GIVEN) {
        m->state = GONE;
        member->unfinished--;
    }
}

static void model_return(struct model *w, uint32_t number)
{
    struct message_model *m = &w->messages[number];
    if (m->state != GIVEN)
        return;
    struct member_model *member = &w->members[m->member];
    share_group_return(w->group, member->options.handle, m->ticket);
    m->state = WAITING;
    member->unfinished--;
}

static void step(struct model *w)
{
    uint32_t what = draw(w, 100), member = draw(w, MEMBERS);
    w->now_ns += draw(w, 50) == 0 ? 100 : 1;
    if (what < 45)
        model_push(w);
    else if (what < 90 && w->message_count > w->first_alive)
        model_finish(w, w->first_alive + draw(w, w->message_count - w->first_alive));
    else if (what < 93 && w->message_count > w->first_alive)
        model_return(w, w->first_alive + draw(w, w->message_count - w->first_alive));
    else if (what < 97)
        model_set_member(w, member, draw(w, 3) > 0, (uint16_t)(1 + draw(w, 12)));
    else
        model_leave(w, member);
    share_group_check(w->group);
    drain(w, draw(w, 4) == 0 ? 1 : UINT32_MAX);
    share_group_check(w->group);
}

/* Everybody works with a will: nothing may be left over. */
static void finish_all(struct model *w)
{
    for (uint32_t member = 0; member < MEMBERS; member++)
        model_set_member(w, member, true, 50);
    for (bool more = true; more;) {
        drain(w, UINT32_MAX);
        more = false;
        for (uint32_t i = w->first_alive; i < w->message_count; i++) {
            more = more || w->messages[i].state == GIVEN;
            model_finish(w, i);
        }
    }
    assert_int_equal(w->first_alive, w->message_count);
    assert_int_equal(share_group_waiting_count(w->group), 0);
}

static void expect_agreement(enum share_choice choice, bool with_expiry)
{
    static struct model w;
    memset(&w, 0, sizeof(w));
    w.choice = choice;
    w.with_expiry = with_expiry;
    w.random = (uint64_t)choice + 21;
    w.group = make_group(
        (struct share_group_options){ .choice = choice, .queue_qos0 = true, .seed = 17 });
    for (uint32_t k = 0; k < KEYS; k++)
        w.keys[k].owner = NOBODY;
    for (int i = 0; i < STEPS; i++)
        step(&w);
    finish_all(&w);
    for (uint32_t i = 0; i < 300 && w.message_count < MESSAGES; i++)
        step(&w);
    share_group_destroy(w.group); /* with messages waiting and given */
}

static void agrees_with_the_naive_group(void **state)
{
    for (int choice = SHARE_CHOOSE_ROUND_ROBIN; choice <= SHARE_CHOOSE_HASH_TOPIC; choice++) {
        expect_agreement((enum share_choice)choice, false);
        expect_agreement((enum share_choice)choice, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_robin_takes_turns),
        cmocka_unit_test(least_inflight_evens_out),
        cmocka_unit_test(handed_back_messages_come_first_and_in_order),
        cmocka_unit_test(passing_on_keeps_order),
        cmocka_unit_test(qos_2_is_never_given_to_another),
        cmocka_unit_test(unsubscribing_gives_nothing_back),
        cmocka_unit_test(returned_messages_keep_their_place),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(expired_messages_are_skipped),
        cmocka_unit_test(credit_passes_to_the_next_key),
        cmocka_unit_test(survives_lack_of_memory),
        cmocka_unit_test(agrees_with_the_naive_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
