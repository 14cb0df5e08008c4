/* broker/connection_send.c: Control Packets -> bytes -> socket.
 *
 * Packets are encoded straight into the transmit queue and flushed at the end of the turn, so that
 * all packets of a turn share one system call; a queue that grows past a mark is flushed at once.
 */
#include "base/uninitialized.h"
#include "broker/client.h"
#include "broker/connection.h"
#include <errno.h>

enum {
    CONGESTED_SIZE = 64 * 1024,  /* then the session's queue keeps the rest */
    FLOODED_SIZE = 1024 * 1024,  /* then QoS 0 is dropped */
    FLUSH_AT_SIZE = 64 * 1024,   /* then the turn's end is not waited for */
    REFER_FROM_SIZE = 4 * 1024,  /* payloads from this size are not copied */
    PARTS_MAX = 64,
    SHARED_FROM_COPIES = 2, /* the third connection that gets the same packet shares it */
    FLUSH_PARTS = 4, /* of each, when many are flushed at once */
};

bool connection_is_congested(const struct connection *c)
{
    return c->tx.size > CONGESTED_SIZE;
}

bool connection_is_flooded(const struct connection *c)
{
    return c->tx.size > FLOODED_SIZE;
}

static void tap(struct connection *c, const struct packet *p)
{
    for (struct tap *t = c->worker->taps; t != NULL; t = t->next)
        t->on_packet(t, c, TAP_SENT, p);
}

static void make_dirty(struct connection *c)
{
    if (list_is_empty(&c->dirty_link))
        list_push_back(&c->worker->dirty, &c->dirty_link);
}

/* The connection cannot go on: the Client would miss something.  It ends at the end of the turn,
 * when no caller is in the middle of something. */
static void give_up(struct connection *c)
{
    c->is_broken = true;
    make_dirty(c); /* or nobody would look at it again */
}

/* Room for one packet. */
static uint8_t *reserve(struct connection *c, size_t size)
{
    uint8_t *room = sendq_reserve(&c->tx, &c->worker->chunks, size);
    if (room == NULL)
        give_up(c);
    make_dirty(c);
    return room;
}

static void sent(struct connection *c, enum packet_type type, size_t before)
{
    struct worker *w = c->worker;
    metrics_add(&w->metrics, METRIC_packets_sent, 1);
    metric_bump(&w->metrics.sent[type], 1);
    if (before == 0)
        c->tx_progress_ns = worker_live_ns(w);
    if (c->tx.size > FLUSH_AT_SIZE && (c->watched & NET_WRITE) == 0)
        connection_flush_now(c);
}

/* Drops Reason String and User Properties. */
static void strip(struct properties *p)
{
    p->present &= ~((uint64_t)1 << PROPERTY_REASON_STRING | (uint64_t)1 << PROPERTY_USER_PROPERTY);
    p->raw = (struct bytes){ 0 };
}

static struct properties *properties_of(struct packet *p)
{
    switch (p->type) {
    case PACKET_CONNACK:
        return &p->connack.properties;
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
        return &p->suback.properties;
    case PACKET_DISCONNECT:
    case PACKET_AUTH:
        return &p->disconnect.properties;
    default:
        return &p->ack.properties;
    }
}

static enum reason reason_in(const struct packet *p)
{
    switch (p->type) {
    case PACKET_CONNACK:
        return p->connack.reason;
    case PACKET_SUBACK:
    case PACKET_UNSUBACK: /* the first that failed */
        for (size_t i = 0; i < p->suback.reasons.size; i++)
            if (p->suback.reasons.data[i] >= 0x80)
                return p->suback.reasons.data[i];
        return REASON_SUCCESS;
    case PACKET_DISCONNECT:
        return p->disconnect.reason;
    case PACKET_PINGRESP:
        return REASON_SUCCESS;
    default:
        return p->ack.reason;
    }
}

/* Says a failure in words, if the operator chose so and the Client did not ask us not to
 * [MQTT-3.1.2-29]. */
static void explain(const struct connection *c, struct packet *p)
{
    enum reason reason = reason_in(p);
    bool is_last_word = p->type == PACKET_CONNACK || p->type == PACKET_DISCONNECT;
    if (!c->worker->config->reason_strings || !reason_is_error(reason) ||
        !version_has_reason_codes(c->version) || !(is_last_word || c->wants_problem_information))
        return;
    struct properties *properties = properties_of(p);
    properties->reason_string = bytes_of_string(reason_text(reason));
    properties_add(properties, PROPERTY_REASON_STRING);
}

void connection_send(struct connection *c, struct packet *p)
{
    if (c->state == CONNECTION_CLOSED || c->is_broken)
        return;
    explain(c, p);
    size_t size = packet_size(p, c->version), before = c->tx.size;
    if (size > c->max_packet_size && p->type != PACKET_PINGRESP) {
        strip(properties_of(p));
        size = packet_size(p, c->version);
    }
    if (size > c->max_packet_size) { /* [MQTT-3.1.2-24]: it ends without a word */
        connection_flush_now(c);
        if (p->type != PACKET_DISCONNECT)
            give_up(c);
        return;
    }
    uint8_t *room = reserve(c, size);
    if (room == NULL)
        return;
    packet_encode(p, c->version, room);
    sendq_commit(&c->tx, size);
    if (c->worker->taps != NULL)
        tap(c, p);
    sent(c, p->type, before);
}

/* There are as many of these as messages, and most have nothing to say. */
static void send_plain_ack(struct connection *c, enum packet_type type, uint16_t packet_id)
{
    size_t before = c->tx.size;
    uint8_t *room = reserve(c, ACK_PLAIN_SIZE);
    if (room == NULL)
        return;
    ack_plain_encode(type, packet_id, room);
    sendq_commit(&c->tx, ACK_PLAIN_SIZE);
    sent(c, type, before);
}

void connection_send_ack(struct connection *c, enum packet_type type, uint16_t packet_id,
                         enum reason reason)
{
    if (c->state == CONNECTION_CLOSED || c->is_broken)
        return;
    if (reason == REASON_SUCCESS && c->worker->taps == NULL &&
        c->max_packet_size >= ACK_PLAIN_SIZE) {
        send_plain_ack(c, type, packet_id);
        return;
    }
    struct packet p UNINITIALIZED; /* what an acknowledgement does not have stays unwritten */
    p.type = type;
    p.ack.packet_id = packet_id;
    p.ack.reason = reason;
    p.ack.properties.present = 0;
    p.ack.properties.raw = (struct bytes){ 0 };
    connection_send(c, &p);
}

/* ---------------------------------------------------------------------------------- PUBLISH --- */

/* Several Subscription Identifiers and the message's own properties in one list, in the turn's
 * scratch memory.  False: no memory. */
static bool list_ids(struct connection *c, const struct message *m, const struct sending *how,
                     struct bytes *out)
{
    uint8_t *list = arena_alloc(&c->worker->scratch, how->id_count * 5 + m->properties.size);
    if (list == NULL)
        return false;
    uint8_t *end = list;
    for (size_t i = 0; i < how->id_count; i++) {
        struct properties one = { .subscription_identifier = how->ids[i] };
        properties_add(&one, PROPERTY_SUBSCRIPTION_IDENTIFIER);
        end = properties_encode(&one, end);
    }
    if (m->properties.size > 0)
        memcpy(end, m->properties.data, m->properties.size);
    *out = bytes_of(list, (size_t)(end - list) + m->properties.size);
    return true;
}

static bool add_ids(struct connection *c, const struct message *m, const struct sending *how,
                    struct properties *p)
{
    p->raw = m->properties;
    if (how->id_count > 1)
        return list_ids(c, m, how, &p->raw);
    if (how->id_count == 1) {
        properties_add(p, PROPERTY_SUBSCRIPTION_IDENTIFIER);
        p->subscription_identifier = how->ids[0];
    }
    return true;
}

static bool prepare(struct connection *c, const struct message *m, const struct sending *how,
                    struct publish *p, bool *is_new_alias)
{
    p->dup = how->dup;
    p->retain = how->retain;
    p->qos = how->qos;
    p->packet_id = how->packet_id;
    p->topic = m->topic;
    p->payload = m->payload;
    p->properties.present = 0;
    p->properties.raw = (struct bytes){ 0 };
    *is_new_alias = false;
    if (!version_has_properties(c->version))
        return true;
    if (m->expires_ns != MESSAGE_NEVER) { /* [MQTT-3.3.2-6] */
        properties_add(&p->properties, PROPERTY_MESSAGE_EXPIRY_INTERVAL);
        p->properties.message_expiry_interval = message_expiry_s(m, c->worker->now_ns);
    }
    if (c->alias_out_max > 0 && connection_aliases(c) != NULL) {
        uint16_t alias = alias_out_use(&c->aliases->out, m->topic, is_new_alias);
        if (alias > 0) {
            properties_add(&p->properties, PROPERTY_TOPIC_ALIAS);
            p->properties.topic_alias = alias;
            if (!*is_new_alias)
                p->topic = (struct bytes){ 0 };
        }
    }
    return add_ids(c, m, how, &p->properties);
}

/* Encodes the head, and the payload by copy or by reference.  -ENOMEM: not all of it is queued. */
static int enqueue(struct connection *c, struct publication *pub, const struct publish *p,
                   size_t head)
{
    size_t payload = p->payload.size;
    bool copies = payload < REFER_FROM_SIZE;
    struct message *kept = copies ? NULL : publication_keep(pub);
    if (!copies && kept == NULL)
        return -ENOMEM;
    struct bytes view = copies ? p->payload : kept->payload;

    uint8_t *room = reserve(c, copies ? head + payload : head);
    if (room == NULL)
        return -ENOMEM;
    publish_head_encode(p, c->version, head, room);
    if (copies && payload > 0)
        memcpy(room + head, view.data, payload);
    sendq_commit(&c->tx, copies ? head + payload : head);
    return copies ? 0 : sendq_refer(&c->tx, &c->worker->chunks, &kept->block, view);
}

static void tap_publish(struct connection *c, const struct publish *p)
{
    struct packet packet = { .type = PACKET_PUBLISH, .publish = *p };
    tap(c, &packet);
}

static void publish_sent(struct connection *c, size_t payload, size_t before)
{
    struct metrics *m = &c->worker->metrics;
    metrics_add(m, METRIC_publish_sent, 1);
    metrics_add(m, METRIC_publish_bytes_sent, (int64_t)payload);
    sent(c, PACKET_PUBLISH, before);
}

/* ------------------------------------------------------------------- the same bytes for many -- */

struct publication_forms {
    struct form {
        struct block *owner;
        struct bytes bytes; /* no data: not encoded yet */
    } forms[4];             /* with properties or not, with RETAIN or not */
};

/* Whatever makes a packet this connection's own, or worth looking at, is missing. */
static bool is_for_many(const struct connection *c, const struct publication *pub,
                        const struct sending *how)
{
    return pub->copies >= SHARED_FROM_COPIES && how->qos == 0 && how->id_count == 0 &&
           c->alias_out_max == 0 && (c->watched & NET_WRITE) == 0 && c->worker->taps == NULL &&
           pub->message->payload.size < REFER_FROM_SIZE;
}

/* NULL: no memory. */
static struct form *form_of(struct connection *c, struct publication *pub,
                            const struct sending *how)
{
    struct worker *w = c->worker;
    struct publication_forms *all = pub->forms;
    if (all == NULL) {
        all = arena_alloc(&w->scratch, sizeof *all);
        if (all == NULL)
            return NULL;
        *all = (struct publication_forms){ 0 };
        pub->forms = all;
    }
    struct form *f = &all->forms[version_has_properties(c->version) * 2 + how->retain];
    if (f->bytes.data != NULL)
        return f;
    struct publish p UNINITIALIZED;
    bool is_new_alias;
    (void)prepare(c, pub->message, how, &p, &is_new_alias); /* no identifiers: cannot fail */
    size_t head = publish_head_size(&p, c->version), size = head + p.payload.size;
    uint8_t *room = batch_reserve(&w->batch, size, &f->owner);
    if (room == NULL)
        return NULL;
    publish_head_encode(&p, c->version, head, room);
    if (p.payload.size > 0)
        memcpy(room + head, p.payload.data, p.payload.size);
    f->bytes = bytes_of(room, size);
    return f;
}

static bool send_form(struct connection *c, struct publication *pub, const struct sending *how)
{
    size_t before = c->tx.size;
    const struct form *f = form_of(c, pub, how);
    if (f != NULL && f->bytes.size > c->max_packet_size) /* [MQTT-3.1.2-24] */
        return false;
    if (f == NULL || sendq_borrow(&c->tx, &c->worker->chunks, f->owner, f->bytes) != 0) {
        give_up(c);
        return true;
    }
    make_dirty(c);
    publish_sent(c, pub->message->payload.size, before);
    return true;
}

/* ------------------------------------------------------------------------------- as it came --- */

/* Would we write the very bytes that the publisher wrote? */
static bool goes_as_it_came(const struct connection *c, const struct publication *pub,
                            const struct sending *how)
{
    const struct arrival *a = pub->arrival;
    return a != NULL && a->is_for_everybody && a->packet.size <= c->max_packet_size &&
           how->qos == 0 && how->retain == pub->message->retain && how->id_count == 0 &&
           a->has_properties == version_has_properties(c->version) && c->alias_out_max == 0 &&
           c->worker->taps == NULL;
}

/* Refers to the packet where it was received: for as long as it takes if it is most of that block,
 * and else for this turn.  False: it has to be encoded. */
static bool send_as_it_came(struct connection *c, struct publication *pub,
                            const struct sending *how)
{
    size_t before = c->tx.size;
    struct chunk_pool *pool = &c->worker->chunks;
    const struct arrival *a = pub->arrival;
    bool may_stay = received_is_worth(a->in, a->packet.size);
    if (!may_stay && (pub->copies > 0 || (c->watched & NET_WRITE) != 0))
        return false;
    int result = may_stay ? sendq_refer(&c->tx, pool, &a->in->block, a->packet)
                          : sendq_borrow(&c->tx, pool, &a->in->block, a->packet);
    make_dirty(c);
    if (result != 0)
        give_up(c);
    else
        publish_sent(c, pub->message->payload.size, before);
    return true;
}

/* --------------------------------------------------------------------------------- PUBLISH ---- */

bool connection_send_publish(struct connection *c, struct publication *pub,
                             const struct sending *how)
{
    if (c->state == CONNECTION_CLOSED || c->is_broken)
        return true; /* as if lost on the wire */
    if (is_for_many(c, pub, how))
        return send_form(c, pub, how);
    if (goes_as_it_came(c, pub, how) && send_as_it_came(c, pub, how)) {
        pub->copies++;
        return true;
    }
    pub->copies++;
    struct publish p UNINITIALIZED;
    bool is_new_alias;
    size_t before = c->tx.size;
    if (!prepare(c, pub->message, how, &p, &is_new_alias)) {
        give_up(c);
        return true;
    }
    size_t head = publish_head_size(&p, c->version);
    size_t max = c->max_packet_size < PACKET_SIZE_MAX ? c->max_packet_size : PACKET_SIZE_MAX;
    if (head + p.payload.size > max) { /* [MQTT-3.1.2-24] [MQTT-3.1.2-25] */
        if (is_new_alias && properties_have(&p.properties, PROPERTY_TOPIC_ALIAS))
            alias_out_forget(&c->aliases->out, pub->message->topic);
        return false;
    }
    if (enqueue(c, pub, &p, head) != 0) {
        give_up(c);
        return true;
    }
    if (c->worker->taps != NULL)
        tap_publish(c, &p);
    publish_sent(c, p.payload.size, before);
    return true;
}

/* ------------------------------------------------------------------------------------ flush --- */

/* The socket took some of what it was offered.  False: not all of it. */
static bool took(struct connection *c, size_t offered, size_t sent_now)
{
    metrics_add(&c->worker->metrics, METRIC_bytes_sent, (int64_t)sent_now);
    c->tx_progress_ns = worker_live_ns(c->worker);
    sendq_sent(&c->tx, &c->worker->chunks, sent_now);
    return sent_now == offered;
}

static size_t size_of_parts(const struct iovec *parts, int count)
{
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    return size;
}

/* Sends until the socket takes no more.  0, or what the socket said. */
static ssize_t send_all(struct connection *c)
{
    while (c->tx.size > 0) {
        struct iovec parts[PARTS_MAX] UNINITIALIZED;
        int count = sendq_parts(&c->tx, parts, PARTS_MAX);
        ssize_t sent_now = c->stream->ops->send(c->stream, parts, count);
        if (sent_now < 0)
            return sent_now == -EAGAIN ? 0 : sent_now;
        if (!took(c, size_of_parts(parts, count), (size_t)sent_now))
            return 0;
    }
    return 0;
}

void connection_flush_now(struct connection *c)
{
    if (c->state == CONNECTION_CLOSED || c->is_broken)
        return;
    post_letters(c->worker); /* messages before what acknowledges them */
    if (send_all(c) < 0)
        c->is_broken = true; /* ended at the end of the turn */
}

void connection_flush_last(struct connection *c)
{
    post_letters(c->worker); /* as above */
    if (!c->is_broken && c->tx.size > 0)
        (void)send_all(c); /* whoever does not take it now will not get it */
}

/* What follows from a flush: it broke, or it waits for room, or there is room for more. */
static void after_flush(struct connection *c, bool was_congested)
{
    if (c->state == CONNECTION_CLOSED)
        return;
    if (c->is_broken) {
        connection_close(c, false, "connection error");
        return;
    }
    bool waits = c->tx.size > 0;
    if (waits)
        sendq_own(&c->tx, &c->worker->chunks);
    connection_watch(c, (c->watched & NET_READ) | (waits ? NET_WRITE : 0));
    if (waits)
        connection_arm(c);
    if (c->client != NULL && session_waits(c->client->session) && (was_congested || !waits) &&
        !connection_is_congested(c)) {
        session_pump(c->client->session, c->worker->now_ns);
        client_after_session(c->client);
    }
}

void connection_flush(struct connection *c)
{
    list_remove(&c->dirty_link);
    if (c->state == CONNECTION_CLOSED)
        return;
    bool was_congested = connection_is_congested(c);
    connection_flush_now(c);
    after_flush(c, was_congested);
}

/* ------------------------------------------------------------------------------- flush many --- */

static struct net_send offer(const struct connection *c, struct iovec *parts)
{
    struct net_send send = { .stream = c->stream, .parts = parts };
    if (c->state != CONNECTION_CLOSED && !c->is_broken)
        send.count = sendq_parts(&c->tx, parts, FLUSH_PARTS);
    return send;
}

static void on_sent(struct connection *c, const struct net_send *send)
{
    if (send->count == 0 || send->result == -EAGAIN)
        return;
    if (send->result < 0)
        c->is_broken = true;
    else if (took(c, size_of_parts(send->parts, send->count), (size_t)send->result) &&
             c->tx.size > 0 && send_all(c) < 0) /* more parts than were offered */
        c->is_broken = true;
}

/* Every send is over before the first consequence is drawn: a consequence may write to any of them.
 */
void connection_flush_many(struct worker *w, struct connection *const *these, int count)
{
    struct net_send sends[FLUSH_MANY_MAX] UNINITIALIZED;
    struct iovec parts[FLUSH_MANY_MAX][FLUSH_PARTS] UNINITIALIZED;
    bool were_congested[FLUSH_MANY_MAX] UNINITIALIZED;
    assert(count <= FLUSH_MANY_MAX);
    post_letters(w); /* messages before what acknowledges them */
    for (int i = 0; i < count; i++) {
        were_congested[i] = connection_is_congested(these[i]);
        sends[i] = offer(these[i], parts[i]);
    }
    w->env->network->send_many(w->poller, sends, count);
    for (int i = 0; i < count; i++)
        on_sent(these[i], &sends[i]);
    for (int i = 0; i < count; i++)
        after_flush(these[i], were_congested[i]);
}
