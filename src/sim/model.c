/* sim/model.c: see model.h.
 *
 * Naive on purpose: every list is walked, every filter asked with topic_filter_matches.  What the
 * broker is free to do is marked soft; everything else is a duty.  Soft are: QoS 0 for a Session
 * that is away, and a Client's own Retained Message under No Local, where the standard can be read
 * both ways. */
#include "sim/model.h"
#include "base/memory.h"
#include "mqtt/topic.h"
#include "sim/actor.h"
#include "sim/groups.h"
#include "sim/peek.h"
#include <stdlib.h>

#define SECOND_NS INT64_C(1000000000)
#define LATE_NS   (12 * SECOND_NS) /* by how much a deadline may be missed, stalls included */

void model_init(struct model *m, struct arena *a, struct world *world, struct trace *trace,
                const struct config *config)
{
    *m = (struct model){ .arena = a, .world = world, .trace = trace, .config = config };
    list_init(&m->sessions);
    list_init(&m->groups);
    list_init(&m->all_groups);
    list_init(&m->all_sessions);
    for (unsigned t = 0; t < TOPIC_COUNT; t++)
        list_init(&m->retained_changes[t]);
}

void model_fini(struct model *m)
{
    buffer_fini(&m->messages);
}

struct sim_message *model_new_message(struct model *m)
{
    struct sim_message *message = story_alloc(m->arena, sizeof *message);
    int result = buffer_append(&m->messages, bytes_of(&message, sizeof message));
    assert(result == 0);
    message->index = (uint32_t)(m->messages.size / sizeof message);
    return message;
}

struct sim_message *model_message(const struct model *m, uint32_t index)
{
    struct sim_message *const *all = (void *)m->messages.data;
    return index == 0 || index > m->messages.size / sizeof *all ? NULL : all[index - 1];
}

struct promise *model_new_promise(struct model *m, uint32_t conn)
{
    struct promise *p = story_alloc(m->arena, sizeof *p);
    p->conn = conn;
    return p;
}

enum persistence_mode model_mode(const struct model *m, unsigned topic)
{
    const struct config *config = m->config;
    struct bytes name = bytes_of_string(story_topics[topic].name);
    if (!config->persistence)
        return PERSISTENCE_NONE;
    for (size_t i = 0; i < config->persistence_rule_count; i++)
        if (topic_filter_matches(bytes_of_string(config->persistence_rules[i].filter), name))
            return config->persistence_rules[i].mode;
    return config->persistence_default;
}

/* --------------------------------------------------------------------------- expectations ----- */

uint8_t model_granted_qos(const struct model *m, const struct sim_message *message, uint8_t options)
{
    uint8_t granted = options & SUBSCRIBE_QOS;
    return message->qos < granted && !m->config->upgrade_outgoing_qos ? message->qos : granted;
}

bool expected_may_be_lost(const struct model *m, const struct expected *e, uint32_t max_packet_size,
                          int64_t now_ns)
{
    enum { HEAD_MOST = 80 };
    return e->is_soft || e->expires_ns <= now_ns || m->drops ||
           (max_packet_size > 0 && e->message->payload.size + HEAD_MOST > max_packet_size);
}

uint32_t expected_expiry_s(const struct expected *e, int64_t sent_ns)
{
    int64_t left_ns = e->expires_ns - sent_ns;
    return left_ns <= 0 ? 1 : (uint32_t)((left_ns + SECOND_NS - 1) / SECOND_NS);
}

bool expected_fits_time(const struct sim_session *s, const struct expected *e,
                        const struct publish *p, int64_t sent_ns)
{
    if (p->dup ? e->taken_ns > s->parted_ns : e->expires_ns <= sent_ns)
        return false;
    return !properties_have(&p->properties, PROPERTY_MESSAGE_EXPIRY_INTERVAL) ||
           p->properties.message_expiry_interval == expected_expiry_s(e, sent_ns);
}

static struct expected *new_expected(struct model *m, const struct sim_message *message,
                                     int64_t expires_ns)
{
    struct expected *e = story_alloc(m->arena, sizeof *e);
    list_init(&e->link);
    e->message = message;
    e->expires_ns = expires_ns;
    e->taken_ns = m->world->now_ns;
    e->serial = ++m->serials;
    return e;
}

/* Messages that look alike: the same one, or two that are empty. */
bool model_look_alike(const struct sim_message *a, const struct sim_message *b)
{
    return a == b || (a->topic == b->topic && a->payload.size == 0 && b->payload.size == 0);
}

/* A message that is published again, or retained and sent again, looks like the first one. */
static void find_twins(struct sim_session *s, struct expected *e)
{
    for (struct list *l = s->expected.next; l != &s->expected; l = l->next) {
        struct expected *other = container_of(l, struct expected, link);
        bool is_of_same = other->taken_ns == e->taken_ns && other->online_on == e->online_on;
        if (model_look_alike(other->message, e->message) && !is_of_same)
            other->has_twin = e->has_twin = true;
    }
}

void model_expect_again(struct sim_session *s, struct expected *e)
{
    find_twins(s, e);
    list_push_back(&s->expected, &e->link);
}

static void expect(struct model *m, struct sim_session *s, struct expected *e)
{
    enum persistence_mode mode = model_mode(m, e->message->topic);
    e->online_on = s->conn == NULL ? 0 : s->conn->number;
    e->is_stored = s->key != 0 && e->qos > 0 && !e->is_retained && mode != PERSISTENCE_NONE;
    e->until_sent = mode == PERSISTENCE_QUEUED;
    find_twins(s, e);
    if (e->qos == 0)
        e->is_soft |= s->conn == NULL || e->has_twin;
    list_push_back(&s->expected, &e->link);
}

struct flight *session_flight(const struct sim_session *s, uint16_t packet_id)
{
    for (struct list *l = s->flights.next; l != &s->flights; l = l->next) {
        struct flight *f = container_of(l, struct flight, link);
        if (f->id == packet_id)
            return f;
    }
    return NULL;
}

/* -------------------------------------------------------------------------------- routing ----- */

/* Adds one subscription to the copy for its Session. */
static void add_subscription(struct model *m, struct expected *e, const struct sim_subscription *s)
{
    uint8_t qos = model_granted_qos(m, e->message, s->options);
    bool retain = (s->options & SUBSCRIBE_RETAIN_AS_PUBLISHED) != 0 && e->message->retain;
    if (qos > e->qos)
        e->qos = qos;
    e->retain |= retain;
    if (s->id == 0)
        return;
    unsigned at = e->id_count++;
    for (; at > 0 && e->ids[at - 1] > s->id; at--)
        e->ids[at] = e->ids[at - 1];
    e->ids[at] = s->id;
}

/* One copy for each subscription, or one for all.  How many copies. */
static size_t route_to_session(struct model *m, struct sim_session *s,
                               const struct sim_message *message, int64_t expires_ns,
                               const struct sim_session *publisher, const struct promise *promise)
{
    struct expected *merged = NULL;
    size_t count = 0;
    for (unsigned f = 0; f < FILTER_COUNT; f++) {
        const struct sim_subscription *subscription = &s->subscriptions[f];
        bool is_own = (subscription->options & SUBSCRIBE_NO_LOCAL) != 0;
        if (!subscription->exists || story_filters[f].is_shared ||
            !story_matches(f, message->topic) || (is_own && s == publisher)) /* [MQTT-3.8.3-3] */
            continue;
        struct expected *e = merged;
        if (e == NULL) {
            e = new_expected(m, message, expires_ns);
            e->promise = promise;
            count++;
        }
        add_subscription(m, e, subscription);
        if (!m->config->allow_duplicate_messages)
            merged = e;
        else
            expect(m, s, e);
    }
    if (merged != NULL)
        expect(m, s, merged);
    return count;
}

/* A Retained Message replaces or clears the one of its topic. */
static void retain(struct model *m, struct sim_message *message, int64_t expires_ns,
                   const struct promise *promise)
{
    struct retained_change *change = story_alloc(m->arena, sizeof *change);
    change->to = (struct retained_model){ message->payload.size == 0 ? NULL : message,
                                          expires_ns /* [MQTT-3.3.1-6] */ };
    change->promise = promise;
    list_init(&change->link);
    list_push_back(&m->retained_changes[message->topic], &change->link);
    m->retained[message->topic] = change->to;
}

static bool needs_store(const struct model *m, const struct sim_message *message)
{
    if (message->retain && message->payload.size > 0)
        return true;
    for (struct list *l = m->sessions.next; l != &m->sessions; l = l->next) {
        const struct sim_session *s = container_of(l, struct sim_session, link);
        for (unsigned f = 0; s->key != 0 && f < FILTER_COUNT; f++)
            if (s->subscriptions[f].exists && !story_filters[f].is_shared &&
                story_matches(f, message->topic))
                return true;
    }
    return groups_need_store(m, message->topic);
}

static bool is_full(const struct model *m)
{
    return m->is_full != NULL && m->is_full(m->context);
}

/* The disk is full, and it would have to be stored. */
static bool has_no_room(const struct model *m, const struct sim_message *message)
{
    size_t size = strlen(story_topics[message->topic].name) + message->payload.size;
    return m->has_room != NULL && (message->qos > 0 || message->retain) &&
           needs_store(m, message) && !m->has_room(m->context, size);
}

/* To everybody who has a matching subscription at this moment.  How many copies that makes. */
static size_t route(struct model *m, struct sim_message *message, struct sim_session *publisher,
                    const struct promise *promise)
{
    int64_t expires_ns =
        message->has_expiry ? m->world->now_ns + (int64_t)message->expiry_s * SECOND_NS : INT64_MAX;
    size_t count = 0;
    message->taken++;
    if (message->retain)
        retain(m, message, expires_ns, promise);
    for (struct list *l = m->sessions.next; l != &m->sessions; l = l->next)
        count += route_to_session(m, container_of(l, struct sim_session, link), message, expires_ns,
                                  publisher, promise);
    return count + groups_route(m, message, expires_ns, promise);
}

/* --------------------------------------------------------------------------------- Sessions --- */

struct sim_session *model_new_session(struct model *m, uint8_t actor)
{
    struct sim_session *s = story_alloc(m->arena, sizeof *s);
    s->actor = actor;
    s->is_alive = true;
    s->expires_ns = s->will_ns = INT64_MAX;
    s->parted_ns = INT64_MIN;
    list_init(&s->link);
    list_init(&s->memberships);
    list_init(&s->expected);
    list_init(&s->flights);
    list_init(&s->done);
    list_init(&s->changes);
    list_init(&s->in_all);
    list_push_back(&m->sessions, &s->link);
    list_push_back(&m->all_sessions, &s->in_all);
    m->by_actor[actor] = s;
    return s;
}

/* It is not to be published any more, or has been. */
static struct sim_message *take_will(struct model *m, struct sim_session *s)
{
    struct sim_message *will = s->will;
    s->will = NULL;
    s->will_ns = INT64_MAX;
    if (will != NULL) {
        s->old_will = will;
        s->old_will_ns = m->world->now_ns;
        s->will_promise = NULL;
    }
    return will;
}

static void publish_will(struct model *m, struct sim_session *s)
{
    struct sim_message *will = take_will(m, s);
    if (will == NULL || has_no_room(m, will))
        return;
    s->will_promise = model_new_promise(m, 0);
    trace_note(m->trace, m->world->now_ns, s->actor, 0, "will published: m%u", will->index);
    (void)route(m, will, s, s->will_promise);
}

/* A Will that waits does so no longer than the Session [MQTT-3.1.3-9]. */
static void end_session(struct model *m, struct sim_session *s)
{
    assert(s->conn == NULL);
    publish_will(m, s);
    groups_on_session_end(m, s);
    s->is_alive = false;
    s->ended_ns = m->world->now_ns;
    list_remove(&s->link);
    m->by_actor[s->actor] = NULL;
}

static void part(struct model *m, struct conn *c)
{
    struct sim_session *s = c->session;
    assert(s->conn == c);
    s->conn = NULL;
    s->parted_ns = m->world->now_ns;
    if (c->disconnect_taken && c->disconnect_reason == REASON_SUCCESS)
        (void)take_will(m, s); /* [MQTT-3.14.4-3] */
    if (s->will != NULL && s->will_delay_s > 0 && s->expiry_s > 0)
        s->will_ns = m->world->now_ns + (int64_t)s->will_delay_s * SECOND_NS;
    else
        publish_will(m, s);
    if (s->expiry_s == 0)
        end_session(m, s);
    else if (s->expiry_s != UINT32_MAX)
        s->expires_ns = m->world->now_ns + (int64_t)s->expiry_s * SECOND_NS;
}

/* ---------------------------------------------------------------------------- connections ----- */

static struct sent *first_sent(const struct conn *c)
{
    return list_is_empty(&c->sent) ? NULL : container_of(c->sent.next, struct sent, link);
}

static void no_longer_connecting(struct model *m, struct conn *c)
{
    m->connecting[c->actor_index] -= c->is_connecting;
    c->is_connecting = false;
}

/* The Session is this connection's from now on. */
static void attach(struct model *m, struct conn *c)
{
    struct sim_session *s = m->by_actor[c->actor_index];
    /* Whose time is over may have ended in this very moment. */
    bool has_expired = s != NULL && m->world->now_ns >= s->expires_ns && s->handle != c->handle;
    if (s != NULL && (c->greeting.clean_start || has_expired)) {
        end_session(m, s);
        s = NULL;
    }
    c->connack_present = s != NULL;
    if (s == NULL)
        s = model_new_session(m, c->actor_index);
    s->conn = c;
    s->handle = c->handle;
    s->key = c->key;
    s->expiry_s = s->connack_expiry_s = c->greeting.expiry_s;
    s->expires_ns = s->will_ns = INT64_MAX;
    (void)take_will(m, s);
    s->will = c->greeting.will;
    s->will_delay_s = c->greeting.will_delay_s;
    s->max_packet_size = c->greeting.max_packet_size;
    c->session = s;
    c->is_attached = true;
}

/* What came before this Session is gone for good. */
static void bury(struct model *m, const struct sim_session *s)
{
    for (struct list *l = m->all_sessions.next; l != &m->all_sessions; l = l->next) {
        struct sim_session *other = container_of(l, struct sim_session, in_all);
        if (other->actor == s->actor && other != s)
            other->is_buried = true;
    }
}

void model_on_lost_connack(struct model *m, struct conn *c)
{
    struct sim_session *s = m->by_actor[c->actor_index];
    if (m->is_over || m->is_blind || (s != NULL && s->conn != NULL))
        return;
    no_longer_connecting(m, c);
    attach(m, c);
}

void model_on_connack(struct model *m, struct conn *c, const struct connack *p)
{
    struct sent *sent = first_sent(c);
    struct sim_session *s = m->by_actor[c->actor_index];
    if (m->is_over || m->is_blind)
        return;
    if (sent == NULL || sent->type != PACKET_CONNECT) {
        MODEL_FAIL(m, "#%u: a CONNACK without a CONNECT", c->number);
        return;
    }
    list_remove(&sent->link);
    no_longer_connecting(m, c);
    if (p->reason == REASON_QUOTA_EXCEEDED && is_full(m) && c->greeting.expiry_s > 0) {
        c->is_refused = true;
        c->must_fail = p->reason;
        return;
    }
    if (p->reason != REASON_SUCCESS) {
        MODEL_FAIL(m, "#%u: CONNECT was refused: 0x%02x", c->number, p->reason);
        return;
    }
    if (s != NULL && s->conn != NULL) { /* [MQTT-3.1.4-3] */
        MODEL_FAIL(m, "#%u: c%u is still connected by #%u", c->number, s->actor, s->conn->number);
        return;
    }
    attach(m, c);
    c->session->is_promised = true;
    bury(m, c->session);
}

/* Had the broker a reason to close it? */
static bool has_reason_to_close(const struct model *m, const struct conn *c)
{
    int64_t now = m->world->now_ns;
    const struct sent *next = first_sent(c);
    int64_t silent = now - c->taken_ns;
    bool is_replaced = m->connecting[c->actor_index] > c->is_connecting; /* by another */
    bool is_silent = c->greeting.keep_alive_s > 0 &&
                     silent * 2 >= (int64_t)c->greeting.keep_alive_s * SECOND_NS * 3;
    return c->disconnect_taken || c->must_fail != REASON_SUCCESS || is_replaced || is_silent ||
           (next != NULL && next->type == 0) ||
           (!c->is_attached && now - c->opened_ns >= 10 * SECOND_NS) ||
           (c->left_ns != INT64_MAX && now - c->left_ns >= 30 * SECOND_NS) ||
           now - c->read_ns >= 60 * SECOND_NS;
}

void model_on_closed(struct model *m, struct conn *c, bool fault_was_seen)
{
    c->is_closed = true;
    if (m->is_over || m->is_blind)
        return;
    if (!fault_was_seen && !has_reason_to_close(m, c))
        MODEL_FAIL(m, "#%u (c%u) was closed for no reason", c->number, c->actor_index);
    no_longer_connecting(m, c);
    if (c->is_attached)
        part(m, c);
    c->is_attached = false;
}

/* ------------------------------------------------------------------- packets the broker takes - */

static unsigned find_received(const struct sim_session *s, uint16_t packet_id)
{
    unsigned i = 0;
    while (i < s->received_count && s->received[i].id != packet_id)
        i++;
    return i;
}

static bool forget_received(struct sim_session *s, uint16_t packet_id)
{
    unsigned at = find_received(s, packet_id);
    if (at == s->received_count)
        return false;
    s->received[at] = s->received[--s->received_count];
    for (unsigned i = 0; i < s->releasing_count; i++)
        if (s->releasing[i] == packet_id)
            return true;
    assert(s->releasing_count < RECEIVED_MAX);
    s->releasing[s->releasing_count++] = packet_id;
    return true;
}

static unsigned receive_max(const struct model *m, const struct conn *c)
{
    unsigned ours = m->config->receive_maximum > 0 ? m->config->receive_maximum
                                                   : m->config->max_inflight_messages;
    return c->greeting.version != VERSION_5_0 || ours == 0 ? UINT16_MAX : ours;
}

static void publish_taken(struct model *m, struct conn *c, struct sent *sent)
{
    struct sim_session *s = c->session;
    sent->answer = REASON_SUCCESS;
    if (sent->message->qos == 2) {
        unsigned at = find_received(s, sent->packet_id);
        if (at < s->received_count) { /* [MQTT-4.3.3-10]: not again */
            sent->promise = s->received[at].promise;
            return;
        }
        if (s->received_count >= receive_max(m, c)) {
            c->must_fail = REASON_RECEIVE_MAXIMUM_EXCEEDED;
            return;
        }
    }
    bool needs_place = sent->message->qos == 2 && s->key != 0; /* for its Packet Identifier */
    if ((needs_place && is_full(m)) || has_no_room(m, sent->message)) {
        sent->answer = REASON_QUOTA_EXCEEDED;
        if (sent->message->qos > 0 && c->greeting.version != VERSION_5_0)
            c->must_fail = REASON_QUOTA_EXCEEDED;
        return;
    }
    sent->promise = model_new_promise(m, c->number);
    if (sent->message->qos == 2) {
        assert(s->received_count < RECEIVED_MAX);
        s->received[s->received_count++] = (struct receipt){ sent->packet_id, sent->promise };
    }
    if (route(m, sent->message, s, sent->promise) == 0)
        sent->answer = REASON_NO_MATCHING_SUBSCRIBERS;
}

/* Retained Messages that a new subscription brings [MQTT-3.3.1-9] [MQTT-3.3.1-10]. */
static void expect_retained(struct model *m, struct sim_session *s, unsigned filter)
{
    const struct sim_subscription *subscription = &s->subscriptions[filter];
    for (unsigned t = 0; t < TOPIC_COUNT; t++) {
        const struct retained_model *r = &m->retained[t];
        if (r->message == NULL || r->expires_ns <= m->world->now_ns || !story_matches(filter, t))
            continue;
        struct expected *e = new_expected(m, r->message, r->expires_ns);
        add_subscription(m, e, subscription);
        e->retain = e->is_retained = true; /* [MQTT-3.3.1-8] */
        e->is_soft =
            (subscription->options & SUBSCRIBE_NO_LOCAL) != 0 && r->message->publisher == s->actor;
        expect(m, s, e);
    }
}

static void note_change(struct model *m, struct sim_session *s, unsigned filter,
                        const struct sent *sent)
{
    struct subscription_change *change = story_alloc(m->arena, sizeof *change);
    *change = (struct subscription_change){ .sent = sent,
                                            .filter = filter,
                                            .to = s->subscriptions[filter] };
    list_init(&change->link);
    list_push_back(&s->changes, &change->link);
}

static void subscribe_taken(struct model *m, struct conn *c, struct sent *sent)
{
    struct sim_session *s = c->session;
    bool existed[SENT_FILTERS_MAX];
    if (s->key != 0 && is_full(m)) {
        memset(sent->codes,
               c->greeting.version == VERSION_5_0 ? REASON_QUOTA_EXCEEDED
                                                  : REASON_UNSPECIFIED_ERROR,
               sent->filter_count);
        return;
    }
    for (unsigned i = 0; i < sent->filter_count; i++) {
        unsigned f = sent->filters[i];
        struct sim_subscription *subscription = &s->subscriptions[f];
        existed[i] = subscription->exists;
        subscription->exists = true;
        subscription->options = sent->options[i];
        subscription->id = sent->subscription_id;
        sent->codes[i] = sent->options[i] & SUBSCRIBE_QOS;
        if (story_filters[f].is_shared)
            groups_join(m, s, f);
        note_change(m, s, f, sent);
    }
    for (unsigned i = 0; i < sent->filter_count; i++) {
        uint8_t handling = sent->options[i] & SUBSCRIBE_RETAIN_HANDLING;
        if (!story_filters[sent->filters[i]].is_shared &&
            (handling == 0 || (handling == 0x10 && !existed[i])))
            expect_retained(m, s, sent->filters[i]);
    }
}

static void unsubscribe_taken(struct model *m, struct conn *c, struct sent *sent)
{
    struct sim_session *s = c->session;
    for (unsigned i = 0; i < sent->filter_count; i++) {
        unsigned f = sent->filters[i];
        bool exists = s->subscriptions[f].exists;
        sent->codes[i] = exists ? REASON_SUCCESS : REASON_NO_SUBSCRIPTION_EXISTED;
        if (exists && story_filters[f].is_shared)
            groups_leave(m, s, f);
        s->subscriptions[f] = (struct sim_subscription){ 0 };
        note_change(m, s, f, sent);
    }
}

static void finish(struct model *m, struct sim_session *s, struct flight *f, bool is_refused)
{
    struct expected *e = f->expected;
    e->state = EXPECTED_DONE;
    e->done_ns = m->world->now_ns;
    e->is_refused = is_refused;
    list_remove(&e->link);
    list_remove(&f->link);
    if (e->group != NULL)
        groups_done(m, e);
    else if (e->is_stored)
        list_push_back(&s->done, &e->link);
}

static void ack_taken(struct model *m, struct conn *c, struct sent *sent)
{
    struct flight *f = session_flight(c->session, sent->packet_id);
    if (sent->type == PACKET_PUBREC) /* of one that was given up, the Client hears that */
        sent->answer = f == NULL ? REASON_PACKET_IDENTIFIER_NOT_FOUND : REASON_SUCCESS;
    if (f == NULL)
        return;
    if (sent->type != PACKET_PUBREC || reason_is_error(sent->reason))
        finish(m, c->session, f, reason_is_error(sent->reason));
    else
        f->rec_taken = true;
}

/* Does it get an answer? */
static bool wants_answer(const struct sent *sent)
{
    switch (sent->type) {
    case PACKET_PUBLISH:
        return sent->message->qos > 0;
    case PACKET_PUBREC:
        return !reason_is_error(sent->reason);
    case PACKET_PUBREL:
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE:
    case PACKET_PINGREQ:
        return true;
    default:
        return false;
    }
}

static void take(struct model *m, struct conn *c, struct sent *sent)
{
    struct sim_session *s = c->session;
    switch (sent->type) {
    case PACKET_PUBLISH:
        publish_taken(m, c, sent);
        break;
    case PACKET_PUBREL:
        sent->answer = forget_received(s, sent->packet_id) ? REASON_SUCCESS
                                                           : REASON_PACKET_IDENTIFIER_NOT_FOUND;
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBCOMP:
        ack_taken(m, c, sent);
        break;
    case PACKET_SUBSCRIBE:
        subscribe_taken(m, c, sent);
        break;
    case PACKET_UNSUBSCRIBE:
        unsubscribe_taken(m, c, sent);
        break;
    case PACKET_DISCONNECT:
        c->disconnect_taken = true;
        c->disconnect_reason = sent->reason;
        if (sent->has_expiry)
            s->expiry_s = sent->expiry_s;
        break;
    default:
        break;
    }
}

static bool is_what_was_sent(const struct sent *sent, const struct packet *p)
{
    struct trace_event read = { 0 };
    if (sent == NULL || sent->type != p->type)
        return false;
    trace_describe(&read, p);
    return read.packet_id == sent->packet_id;
}

void model_on_taken(struct model *m, struct conn *c, const struct packet *packet)
{
    struct sent *sent = first_sent(c);
    c->taken_ns = m->world->now_ns;
    if (m->is_over || m->is_blind)
        return;
    if (!is_what_was_sent(sent, packet)) {
        MODEL_FAIL(m, "#%u: the broker took a %s that was not sent", c->number,
                   packet_type_name(packet->type));
        return;
    }
    struct trace_event e = { .kind = TRACE_TAKEN,
                             .now_ns = m->world->now_ns,
                             .actor = c->actor_index,
                             .connection = c->number };
    e.message = sent->message == NULL ? 0 : sent->message->index;
    trace_describe(&e, packet);
    trace_add(m->trace, &e);
    if (packet->type ==
        PACKET_CONNECT) { /* counts when CONNACK is sent; it may change the worker */
        m->connecting[c->actor_index] += !c->is_connecting;
        c->is_connecting = true;
        return;
    }
    if (!c->is_attached) {
        MODEL_FAIL(m, "#%u: a packet was taken before CONNECT was answered", c->number);
        return;
    }
    list_remove(&sent->link);
    take(m, c, sent);
    if (wants_answer(sent) && c->must_fail == REASON_SUCCESS)
        list_push_back(&c->due, &sent->link);
}

/* ------------------------------------------------------------------------------------- time --- */

/* A Session whose Client is away, or has sent CONNECT and has no answer yet. */
static void check_absent(struct model *m, struct sim_session *s, const struct server *server)
{
    int64_t now = m->world->now_ns;
    struct bytes client_id = actor_client_id(s->actor);
    enum peek_session there = peek_session(server, client_id);
    if (m->connecting[s->actor] > 0 && there != PEEK_NO_SESSION) { /* its CONNACK waits */
        if (peek_identity(server, client_id).handle != s->handle)
            end_session(m, s); /* in favour of a new one */
        return;
    }
    if (there == PEEK_NO_SESSION) {
        if (now < s->expires_ns)
            MODEL_FAIL(m, "the Session of c%u has ended before its time", s->actor);
        trace_note(m->trace, now, s->actor, 0, "session expired", 0);
        end_session(m, s);
        return;
    }
    if (s->expires_ns != INT64_MAX && now - s->expires_ns > LATE_NS)
        MODEL_FAIL(m, "the Session of c%u has not ended in time", s->actor);
    if (s->will == NULL)
        return;
    if (there == PEEK_SESSION) {
        if (now < s->will_ns)
            MODEL_FAIL(m, "the Will of c%u was published before its time", s->actor);
        publish_will(m, s);
    } else if (s->will_ns != INT64_MAX && now - s->will_ns > LATE_NS) {
        MODEL_FAIL(m, "the Will of c%u was not published in time", s->actor);
    }
}

static void soften_retained(struct sim_session *s)
{
    for (struct list *l = s->expected.next; l != &s->expected; l = l->next) {
        struct expected *e = container_of(l, struct expected, link);
        e->is_soft |= e->is_retained; /* it may be replaced before it is sent */
        e->is_vague |= e->is_retained;
    }
}

void model_on_time(struct model *m, const struct server *server)
{
    struct list *next;
    if (m->is_over || m->is_blind)
        return;
    for (struct list *l = m->sessions.next; l != &m->sessions; l = next) {
        struct sim_session *s = container_of(l, struct sim_session, link);
        next = l->next;
        if (s->conn == NULL)
            check_absent(m, s, server);
    }
}

void model_on_turn_end(struct model *m, const struct server *server)
{
    if (m->is_over || m->is_blind)
        return;
    bool walks = peek_has_walks(server);
    for (struct list *l = m->sessions.next; walks && l != &m->sessions; l = l->next)
        soften_retained(container_of(l, struct sim_session, link));
    m->has_had_walks |= walks;
    model_on_time(m, server);
}

void model_on_fall(struct model *m)
{
    m->is_over = true;
    m->fell_ns = m->world->now_ns;
}

/* ------------------------------------------------------------------------------------ quiet --- */

static void check_arrived(struct model *m, const struct sim_session *s, const struct expected *e)
{
    if (e->state != EXPECTED_WAITS ||
        expected_may_be_lost(m, e, s->max_packet_size, m->world->now_ns) ||
        (e->qos == 0 && e->online_on != s->conn->number))
        return;
    MODEL_FAIL(m, "m%u of QoS %u (%s) was lost on its way to c%u", e->message->index, e->qos,
               story_topics[e->message->topic].name, s->actor);
}

static void check_session(struct model *m, const struct sim_session *s)
{
    if (s->conn == NULL) {
        MODEL_FAIL(m, "c%u did not come back", s->actor);
        return;
    }
    for (struct list *l = s->expected.next; l != &s->expected; l = l->next)
        check_arrived(m, s, container_of(l, struct expected, link));
    for (struct list *l = s->flights.next; l != &s->flights; l = l->next) {
        const struct flight *f = container_of(l, struct flight, link);
        bool was_dropped = m->drops && f->expected->seq > 0; /* at a limit, after a restart */
        if (!was_dropped)
            MODEL_FAIL(m, "c%u has acknowledged everything, but packet id %u is still open",
                       s->actor, f->id);
    }
    if (!list_is_empty(&s->conn->due)) {
        const struct sent *due = container_of(s->conn->due.next, struct sent, link);
        MODEL_FAIL(m, "#%u (c%u): the %s with packet id %u was never answered", s->conn->number,
                   s->actor, packet_type_name(due->type), due->packet_id);
    }
}

void model_check_quiet(struct model *m)
{
    for (struct list *l = m->sessions.next; l != &m->sessions; l = l->next)
        check_session(m, container_of(l, struct sim_session, link));
    groups_check_quiet(m);
}
