/* sim/judge.c: see judge.h.
 *
 * A PUBLISH of QoS > 0 is either one that the client knows and the broker has not heard about, sent
 * again: same Packet Identifier, DUP, once per connection, in the old order; or one that is
 * expected and nothing of its kind before it has been left out:
 *
 *     expected    m3  m5  m6  m8         m5 arrives: m3 must be lost for a reason, or have arrived
 *                 ^publisher and QoS the same */
#include "sim/judge.h"
#include "mqtt/property.h"
#include "session/session.h"
#include "sim/groups.h"

#define SECOND_NS INT64_C(1000000000)

#define JUDGE_FAIL(m, c, format, ...)                                                              \
    MODEL_FAIL(m, "#%u (c%u): " format, (c)->number, (c)->actor_index, __VA_ARGS__)

/* A PUBLISH as it was understood. */
struct arrival {
    const struct publish *publish;
    const struct sim_message *message; /* NULL: an empty payload, of whomever */
    unsigned topic;
    int64_t sent_ns;
    uint32_t ids[IDS_MAX];
    size_t id_count;
};

/* ------------------------------------------------------------------------------ the packet ---- */

static bool check_alias(struct model *m, struct conn *c, const struct publish *p, int *topic)
{
    *topic = p->topic.size > 0 ? story_topic_index(p->topic) : -1;
    if (p->topic.size > 0 && *topic < 0)
        JUDGE_FAIL(m, c, "a topic that nobody published: %.*s", (int)p->topic.size,
                   (const char *)p->topic.data);
    if (c->greeting.version != VERSION_5_0 ||
        !properties_have(&p->properties, PROPERTY_TOPIC_ALIAS))
        return *topic >= 0;
    unsigned alias = p->properties.topic_alias;
    if (alias == 0 || alias > c->greeting.alias_max) { /* [MQTT-3.1.2-26] [MQTT-3.3.2-8] */
        JUDGE_FAIL(m, c, "Topic Alias %u, at most %u were allowed", alias, c->greeting.alias_max);
        return false;
    }
    assert(alias <= ALIASES_MAX);
    if (*topic >= 0)
        c->aliases_in[alias - 1] = (int8_t)*topic;
    else
        *topic = c->aliases_in[alias - 1];
    if (*topic < 0)
        JUDGE_FAIL(m, c, "Topic Alias %u was never given a topic", alias);
    return *topic >= 0;
}

static bool check_payload(struct model *m, struct conn *c, struct arrival *a)
{
    struct bytes payload = a->publish->payload;
    a->message = NULL;
    if (payload.size == 0)
        return true;
    const struct sim_message *message = model_message(m, story_payload_index(payload));
    if (message == NULL || !bytes_equal(payload, message->payload) || message->topic != a->topic) {
        JUDGE_FAIL(m, c, "a payload on %s that nobody wrote: \"%.*s\"", story_topics[a->topic].name,
                   payload.size > 60 ? 60 : (int)payload.size, (const char *)payload.data);
        return false;
    }
    a->message = message;
    return true;
}

/* When the broker sent it. */
static int64_t next_publish_time(const struct model *m, struct conn *c)
{
    const int64_t *times = (void *)c->publish_times.data;
    if (c->publish_times_read * sizeof *times >= c->publish_times.size)
        return m->world->now_ns;
    return times[c->publish_times_read++];
}

static void read_ids(struct arrival *a)
{
    struct bytes rest = a->publish->properties.raw;
    struct property p;
    a->id_count = 0;
    while (property_next(&rest, &p) && a->id_count < IDS_MAX) {
        if (p.id != PROPERTY_SUBSCRIPTION_IDENTIFIER)
            continue;
        size_t at = a->id_count++;
        for (; at > 0 && a->ids[at - 1] > p.number; at--)
            a->ids[at] = a->ids[at - 1];
        a->ids[at] = p.number;
    }
}

/* ---------------------------------------------------------------------------- the first time -- */

static bool is_same_message(const struct expected *e, const struct arrival *a)
{
    if (a->message != NULL)
        return e->message == a->message;
    return e->message->payload.size == 0 && e->message->topic == a->topic;
}

/* A durable Session's Packet Identifiers tell whether a delivery is stored, and where. */
static bool fits_packet_id(const struct conn *c, const struct expected *e, const struct publish *p)
{
    if (c->session->key == 0 || p->qos == 0)
        return true;
    return e->seq > 0 ? p->packet_id == e->seq % SESSION_STORED_IDS + 1
                      : e->is_stored == (p->packet_id <= SESSION_STORED_IDS);
}

static bool is_it(const struct conn *c, const struct expected *e, const struct arrival *a)
{
    if (!fits_packet_id(c, e, a->publish) || e->state != EXPECTED_WAITS || !is_same_message(e, a) ||
        e->qos != a->publish->qos || e->retain != a->publish->retain)
        return false;
    if (c->greeting.version != VERSION_5_0)
        return true;
    return e->id_count == a->id_count &&
           memcmp(e->ids, a->ids, a->id_count * sizeof *a->ids) == 0; /* [MQTT-3.3.4-3] */
}

/* [MQTT-4.6.0-5]: this one goes before that one, unless it is another copy of the same. */
static bool goes_before(const struct expected *this, const struct expected *that)
{
    return this->state == EXPECTED_WAITS && this->qos == that->qos && !this->is_retained &&
           !that->is_retained && this->message->publisher == that->message->publisher &&
           this->message != that->message && this->is_stored == that->is_stored;
}

static void check_overtaken(struct model *m, struct conn *c, struct expected *arrived,
                            int64_t sent_ns)
{
    struct list *next;
    for (struct list *l = c->session->expected.next; l != &arrived->link; l = next) {
        struct expected *e = container_of(l, struct expected, link);
        next = l->next;
        if (!goes_before(e, arrived) || (e->qos == 0 && (e->has_twin || arrived->has_twin)))
            continue;
        bool may_be = expected_may_be_lost(m, e, c->greeting.max_packet_size, sent_ns) ||
                      (e->qos == 0 && e->online_on != c->number);
        if (!may_be)
            JUDGE_FAIL(m, c, "m%u arrived before m%u", arrived->message->index, e->message->index);
        e->state = EXPECTED_DROPPED;
        e->done_ns = m->world->now_ns;
        list_remove(&e->link);
        if (e->is_stored)
            list_push_back(&c->session->done, &e->link);
    }
}

/* Of several equal copies (a message is published again when its acknowledgement was lost), the
 * first that is not too old. */
static struct expected *find_own(const struct conn *c, const struct arrival *a)
{
    struct expected *found = NULL;
    for (struct list *l = c->session->expected.next; l != &c->session->expected; l = l->next) {
        struct expected *e = container_of(l, struct expected, link);
        if (!is_it(c, e, a))
            continue;
        if (expected_fits_time(c->session, e, a->publish, a->sent_ns))
            return e;
        if (found == NULL)
            found = e;
    }
    return found;
}

static struct expected *find_expected(struct model *m, struct conn *c, const struct arrival *a)
{
    struct expected *e = find_own(c, a);
    if (e != NULL) {
        check_overtaken(m, c, e, a->sent_ns);
        return e;
    }
    if (a->message == NULL || a->id_count > 1)
        return NULL;
    return groups_find(m, c->session, a->publish, a->message, a->id_count == 1 ? a->ids[0] : 0,
                       a->sent_ns, c->greeting.version);
}

/* Published more than once for a group: which of them a member got cannot always be told. */
static bool is_vague(const struct expected *e)
{
    return e->is_vague || e->has_twin || (e->group != NULL && e->message->taken > 1);
}

/* A put-off walk may meet a Retained Message that was set after the SUBSCRIBE. */
static bool is_late_retained(const struct model *m, const struct arrival *a)
{
    return m->has_had_walks && a->publish->retain && a->message != NULL && a->message->retain;
}

static void check_expiry(struct model *m, struct conn *c, const struct expected *e,
                         const struct arrival *a, bool is_first)
{
    const struct properties *p = &a->publish->properties;
    bool has = properties_have(p, PROPERTY_MESSAGE_EXPIRY_INTERVAL);
    if (is_first && e->expires_ns <= a->sent_ns && !is_vague(e)) /* [MQTT-3.3.2-5] */
        JUDGE_FAIL(m, c, "m%u had expired when it was sent", e->message->index);
    if (c->greeting.version != VERSION_5_0)
        return;
    unsigned left_s = expected_expiry_s(e, a->sent_ns);
    if (has != (e->expires_ns != INT64_MAX))
        JUDGE_FAIL(m, c, "m%u %s a Message Expiry Interval", e->message->index,
                   has ? "came with" : "came without");
    else if (has && p->message_expiry_interval != left_s && !is_vague(e)) /* [MQTT-3.3.2-6] */
        JUDGE_FAIL(m, c, "m%u came with a Message Expiry Interval of %u s, not %u s",
                   e->message->index, p->message_expiry_interval, left_s);
}

/* ----------------------------------------------------------------------------- once again ----- */

static void check_resent(struct model *m, struct conn *c, struct flight *f, const struct arrival *a)
{
    const struct publish *p = a->publish;
    bool is_from_disk = f->expected->seq > 0;
    if (f->seen_on == c->number) /* [MQTT-2.2.1-3] [MQTT-4.4.0-1] */
        JUDGE_FAIL(m, c, "packet id %u is in use, or sent again without a reason", f->id);
    else if (!is_same_message(f->expected, a) || f->expected->qos != p->qos)
        JUDGE_FAIL(m, c, "packet id %u is still in use for m%u", f->id,
                   f->expected->message->index);
    else if (!p->dup) /* [MQTT-3.3.1-1] */
        JUDGE_FAIL(m, c, "packet id %u was sent again without DUP", f->id);
    else if (f->rec_taken) /* [MQTT-4.3.3-7] */
        JUDGE_FAIL(m, c, "packet id %u was sent again after its PUBREC", f->id);
    else if (f->order < c->resent_order[is_from_disk]) /* [MQTT-4.6.0-1] */
        JUDGE_FAIL(m, c, "packet id %u was sent again out of order", f->id);
    else if (c->has_seen_new && !is_from_disk)
        JUDGE_FAIL(m, c, "packet id %u was sent again after a new message", f->id);
    f->seen_on = c->number;
    c->resent_order[is_from_disk] = f->order;
    check_expiry(m, c, f->expected, a, false);
}

/* [MQTT-4.4.0-1]: what is open comes first. */
static void check_all_resent(struct model *m, struct conn *c, const struct expected *e)
{
    for (struct list *l = c->session->flights.next; l != &c->session->flights; l = l->next) {
        const struct flight *f = container_of(l, struct flight, link);
        /* What is not stored need not wait for what has to be read from the disk first. */
        bool is_elsewhere = f->expected->seq > 0 && (!e->is_stored || e->group != NULL || m->drops);
        if (f->seen_on != c->number && !f->rec_taken && !is_elsewhere)
            JUDGE_FAIL(m, c, "a new message before packet id %u was sent again", f->id);
    }
}

static void begin_flight(struct model *m, struct conn *c, struct expected *e, uint16_t id)
{
    struct sim_session *s = c->session;
    struct flight *f = story_alloc(m->arena, sizeof *f);
    *f = (struct flight){ .id = id, .expected = e, .seen_on = c->number };
    f->order = e->seq > 0 ? e->seq : ++s->orders;
    e->packet_id = id;
    list_init(&f->link);
    list_push_back(&s->flights, &f->link);
}

/* Received for the first time: with DUP, if it was lost on an earlier connection. */
static void check_flags(struct model *m, struct conn *c, const struct expected *e,
                        const struct publish *p)
{
    if (p->qos == 0) {
        if (p->dup) /* [MQTT-3.3.1-2] */
            JUDGE_FAIL(m, c, "m%u of QoS 0 came with DUP", e->message->index);
        return;
    }
    /* What comes from the disk may have been sent, as far as the broker can know. */
    if (p->dup && e->seq == 0 && e->taken_ns > c->session->parted_ns && !is_vague(e))
        JUDGE_FAIL(m, c, "m%u came with DUP the first time", e->message->index);
    if (p->dup && c->has_seen_new && e->seq == 0)
        JUDGE_FAIL(m, c, "m%u was sent again after a new message", e->message->index);
    if (!p->dup && e->was_seen && !is_vague(e)) /* [MQTT-3.3.1-1] */
        JUDGE_FAIL(m, c, "m%u, sent again after a restart, came without DUP", e->message->index);
    if (!p->dup) {
        check_all_resent(m, c, e);
        c->has_seen_new = true;
    }
}

static void receive_first(struct model *m, struct conn *c, struct expected *e,
                          const struct arrival *a)
{
    const struct publish *p = a->publish;
    check_flags(m, c, e, p);
    check_expiry(m, c, e, a, !p->dup);
    m->delivered++;
    e->qos = p->qos;
    if (p->qos == 0) {
        e->state = EXPECTED_DONE;
        list_remove(&e->link);
        if (e->group != NULL)
            groups_done(m, e);
        return;
    }
    e->state = EXPECTED_RECEIVED;
    e->holder = c->session;
    if (e->group == NULL)
        list_remove(&e->link); /* held by its flight now */
    begin_flight(m, c, e, p->packet_id);
    if (p->dup && e->seq > 0)
        c->resent_order[1] = e->seq;
    else if (p->dup)
        c->resent_order[0] = c->session->orders;
}

/* The client's window [MQTT-3.3.4-9], and ours. */
static void count_open(struct model *m, struct conn *c, uint16_t packet_id)
{
    unsigned ours =
        m->config->max_inflight_messages == 0 ? UINT16_MAX : m->config->max_inflight_messages;
    unsigned most = c->greeting.receive_max < ours ? c->greeting.receive_max : ours;
    for (unsigned i = 0; i < c->open_count; i++)
        if (c->open[i] == packet_id)
            return;
    if (c->open_count >= most || c->open_count == OPEN_MAX) {
        JUDGE_FAIL(m, c, "more than %u messages in flight", most);
        return;
    }
    c->open[c->open_count++] = packet_id;
}

void judge_on_finished(struct conn *c, uint16_t packet_id)
{
    for (unsigned i = 0; i < c->open_count; i++)
        if (c->open[i] == packet_id)
            c->open[i--] = c->open[--c->open_count];
}

/* The Session has ended while this was on its way, and its group may have given it to another. */
static bool is_late_of_group(const struct conn *c, const struct expected *e,
                             const struct arrival *a)
{
    return !c->session->is_alive && story_topics[a->topic].is_shared &&
           (e == NULL || e->group != NULL);
}

/* What may arrive though the model cannot say so beforehand. */
static struct expected *improvise(struct model *m, const struct arrival *a, struct expected *taken)
{
    const struct publish *p = a->publish;
    struct expected *e = story_alloc(m->arena, sizeof *e);
    *e = (struct expected){
        .message = a->message, .qos = p->qos, .is_retained = true, .is_vague = true
    };
    e->expires_ns = properties_have(&p->properties, PROPERTY_MESSAGE_EXPIRY_INTERVAL)
                        ? a->sent_ns + p->properties.message_expiry_interval * SECOND_NS
                        : INT64_MAX;
    list_init(&e->link);
    if (taken != NULL && p->qos == 2) /* nobody else may get it [MQTT-4.8.2-5] */
        list_remove(&taken->link);
    return e;
}

/* Says also what would have been right, if anything. */
static void fail_unexpected(struct model *m, struct conn *c, const struct arrival *a)
{
    const struct publish *p = a->publish;
    const struct expected *e = NULL;
    for (struct list *l = c->session->expected.next; l != &c->session->expected; l = l->next) {
        const struct expected *other = container_of(l, struct expected, link);
        if (is_same_message(other, a) && (e == NULL || e->qos != p->qos))
            e = other;
    }
    JUDGE_FAIL(m, c,
               "m%u (%s, QoS %u%s, packet id %u, %zu ids) was not expected, or not once more%s",
               a->message == NULL ? 0 : a->message->index, story_topics[a->topic].name, p->qos,
               p->retain ? ", retain" : "", p->packet_id, a->id_count,
               e == NULL                ? ""
               : e->qos != p->qos       ? "; expected with another QoS"
               : e->retain == p->retain ? "; expected with other Subscription Identifiers"
                                        : "; expected with another RETAIN flag");
}

static void judge_publish(struct model *m, struct conn *c, const struct publish *p)
{
    struct arrival a = { .publish = p, .sent_ns = next_publish_time(m, c) };
    int topic;
    if (!check_alias(m, c, p, &topic))
        return;
    a.topic = (unsigned)topic;
    if (!check_payload(m, c, &a))
        return;
    if (c->greeting.version == VERSION_5_0)
        read_ids(&a);
    if (p->qos > 0)
        count_open(m, c, p->packet_id);
    struct flight *f = p->qos == 0 ? NULL : session_flight(c->session, p->packet_id);
    if (f != NULL) {
        bool is_given_away = !c->session->is_alive && f->expected->group != NULL;
        if (is_given_away) /* it came too late, and somebody else has it now */
            f->seen_on = c->number;
        else
            check_resent(m, c, f, &a);
        return;
    }
    struct expected *e = find_expected(m, c, &a);
    if ((e == NULL && is_late_retained(m, &a)) || is_late_of_group(c, e, &a))
        e = improvise(m, &a, e);
    if (e != NULL)
        receive_first(m, c, e, &a);
    else
        fail_unexpected(m, c, &a);
}

/* -------------------------------------------------------------------------------- answers ----- */

/* What the packet was that this is the answer to. */
bool sent_is_answered_by(const struct sent *sent, enum packet_type answer)
{
    switch (sent->type) {
    case PACKET_PUBLISH:
        return answer == (sent->message->qos == 1 ? PACKET_PUBACK : PACKET_PUBREC);
    case PACKET_PUBREC:
        return answer == PACKET_PUBREL;
    case PACKET_PUBREL:
        return answer == PACKET_PUBCOMP;
    case PACKET_SUBSCRIBE:
        return answer == PACKET_SUBACK;
    case PACKET_UNSUBSCRIBE:
        return answer == PACKET_UNSUBACK;
    case PACKET_PINGREQ:
        return answer == PACKET_PINGRESP;
    default:
        return false;
    }
}

/* The first of its kind that waits for an answer [MQTT-4.6.0-2] and its siblings; NULL: none. */
static struct sent *take_due(struct conn *c, enum packet_type answer, uint16_t packet_id)
{
    for (struct list *l = c->due.next; l != &c->due; l = l->next) {
        struct sent *sent = container_of(l, struct sent, link);
        if (!sent_is_answered_by(sent, answer))
            continue;
        if (sent->packet_id != packet_id)
            return NULL;
        list_remove(l);
        return sent;
    }
    return NULL;
}

static void judge_ack(struct model *m, struct conn *c, const struct packet *p)
{
    struct sent *sent = take_due(c, p->type, p->ack.packet_id);
    if (sent == NULL) {
        JUDGE_FAIL(m, c, "%s for packet id %u, which is not its turn, or was not taken",
                   packet_type_name(p->type), p->ack.packet_id);
        return;
    }
    if (c->greeting.version == VERSION_5_0 && p->ack.reason != sent->answer)
        JUDGE_FAIL(m, c, "%s for packet id %u says 0x%02x, not 0x%02x", packet_type_name(p->type),
                   p->ack.packet_id, p->ack.reason, sent->answer);
}

/* An answer to PUBREC; or, after a reconnection, what was left to say. */
static void judge_pubrel(struct model *m, struct conn *c, const struct packet *p)
{
    struct sent *sent = take_due(c, PACKET_PUBREL, p->ack.packet_id);
    const struct flight *f = session_flight(c->session, p->ack.packet_id);
    if (sent == NULL && (f == NULL || !f->rec_taken))
        JUDGE_FAIL(m, c, "PUBREL for packet id %u without a PUBREC", p->ack.packet_id);
    else if (sent != NULL && c->greeting.version == VERSION_5_0 && p->ack.reason != sent->answer)
        JUDGE_FAIL(m, c, "PUBREL for packet id %u says 0x%02x, not 0x%02x", p->ack.packet_id,
                   p->ack.reason, sent->answer);
}

static void judge_suback(struct model *m, struct conn *c, const struct packet *p)
{
    struct sent *sent = take_due(c, p->type, p->suback.packet_id);
    if (sent == NULL) {
        JUDGE_FAIL(m, c, "%s for packet id %u, which is not its turn, or was not taken",
                   packet_type_name(p->type), p->suback.packet_id);
        return;
    }
    if (p->type == PACKET_UNSUBACK && c->greeting.version != VERSION_5_0)
        return; /* it says nothing more there */
    if (!bytes_equal(p->suback.reasons, bytes_of(sent->codes, sent->filter_count)))
        JUDGE_FAIL(m, c, "%s for packet id %u has other codes than expected",
                   packet_type_name(p->type), p->suback.packet_id);
}

static void judge_connack(struct model *m, struct conn *c, const struct connack *p)
{
    const struct config *config = m->config;
    unsigned ours =
        config->receive_maximum > 0 ? config->receive_maximum : config->max_inflight_messages;
    if (c->is_refused)
        return;
    if (!c->is_attached && !c->is_closed) {
        JUDGE_FAIL(m, c, "a CONNACK (0x%02x) that was not sent", p->reason);
        return;
    }
    if (p->reason != REASON_SUCCESS)
        JUDGE_FAIL(m, c, "refused: 0x%02x", p->reason);
    if (p->session_present != c->connack_present) /* [MQTT-3.2.2-2] [MQTT-3.2.2-3] */
        JUDGE_FAIL(m, c, "Session Present is %d", p->session_present);
    if (c->greeting.version != VERSION_5_0)
        return;
    if (c->broker_receive_max != (ours == 0 ? UINT16_MAX : ours))
        JUDGE_FAIL(m, c, "Receive Maximum %u", c->broker_receive_max);
    if (c->broker_alias_max != config->listeners[0].max_topic_alias)
        JUDGE_FAIL(m, c, "Topic Alias Maximum %u", c->broker_alias_max);
}

static void judge_by_type(struct model *m, struct conn *c, const struct packet *p)
{
    switch (p->type) {
    case PACKET_CONNACK:
        JUDGE_FAIL(m, c, "a second CONNACK (0x%02x)", p->connack.reason);
        break;
    case PACKET_PUBLISH:
        judge_publish(m, c, &p->publish);
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBCOMP:
        judge_ack(m, c, p);
        break;
    case PACKET_PUBREL:
        judge_pubrel(m, c, p);
        break;
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
        judge_suback(m, c, p);
        break;
    case PACKET_PINGRESP:
        if (take_due(c, PACKET_PINGRESP, 0) == NULL)
            JUDGE_FAIL(m, c, "%s without a PINGREQ", packet_type_name(p->type));
        break;
    default:
        JUDGE_FAIL(m, c, "a %s from the broker", packet_type_name(p->type));
        break;
    }
}

void judge_received(struct model *m, struct conn *c, const struct packet *p, size_t size)
{
    if (m->is_over || m->is_blind)
        return;
    if (c->greeting.max_packet_size > 0 && size > c->greeting.max_packet_size) /* [MQTT-3.1.2-24] */
        JUDGE_FAIL(m, c, "%s of %zu bytes", packet_type_name(p->type), size);
    if (c->was_told_goodbye)
        JUDGE_FAIL(m, c, "%s after DISCONNECT", packet_type_name(p->type));
    if (!c->has_connack && p->type == PACKET_CONNACK) {
        judge_connack(m, c, &p->connack);
    } else if (!c->has_connack) { /* [MQTT-3.2.0-1] */
        JUDGE_FAIL(m, c, "%s before CONNACK", packet_type_name(p->type));
    } else if (p->type == PACKET_DISCONNECT) {
        if (c->greeting.version != VERSION_5_0)
            JUDGE_FAIL(m, c, "DISCONNECT (0x%02x) to a 3.x client", p->disconnect.reason);
        c->goodbye = p->disconnect.reason;
    } else {
        judge_by_type(m, c, p);
    }
}
