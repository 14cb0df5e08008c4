/* broker/delivery_out.c: the last steps before the session.
 *
 * QoS 0 to a connected Client, which is most traffic, is encoded right away from wherever the
 * message is.  Everything else becomes a delivery and goes through the session. */
#include "broker/delivery_out.h"
#include "auth/auth.h"
#include "broker/answers.h"
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/deposit.h"
#include "broker/durable.h"
#include "broker/durable_records.h"
#include "broker/full_sessions.h"
#include "broker/server.h"
#include "broker/shares.h"
#include "broker/storage.h"

#define DROP_LOG_INTERVAL_NS (INT64_C(60) * 1000000000)

/* --------------------------------------------------------------------------------- dropping --- */

static const char *const drop_texts[] = {
#define DROP(name, topic, text) [DROP_##name] = text,
    DROP_TABLE(DROP)
#undef DROP
};

/* Limits of ours, which an operator should hear about; the others are as the Client wanted it. */
static bool is_at_limit(enum drop cause)
{
    return cause == DROP_QUEUE_FULL || cause == DROP_SLOW || cause == DROP_NO_MEMORY;
}

void client_on_drop(struct client *c, enum drop cause)
{
    struct worker *w = c->worker;
    metric_bump(&w->metrics.drops[cause], 1);
    if (is_at_limit(cause))
        metrics_add(&w->metrics, METRIC_publish_dropped, 1);
    struct client_trouble *t = client_trouble(c);
    if (t == NULL) /* the metrics have it */
        return;
    t->drops[cause]++;
    if (!is_at_limit(cause) ||
        (t->drop_logged_ns != 0 && w->now_ns - t->drop_logged_ns < DROP_LOG_INTERVAL_NS))
        return;
    t->drop_logged_ns = w->now_ns;
    log_line(w->log, LOG_TYPE_NOTICE,
             "Outgoing messages are being dropped for client %s. (%s; %u so far)",
             LOG_TEXT(client_id_of(c)), drop_texts[cause], t->drops[cause]);
}

/* ------------------------------------------------------------------------- the session's sink - */

static struct client *client_of(struct delivery_sink *sink)
{
    return container_of(sink, struct client, sink);
}

static enum drop send_publish(struct delivery_sink *sink, const struct delivery *d, bool dup)
{
    struct client *c = client_of(sink);
    struct publication p = { .message = d->message, .is_counted = true };
    struct sending how = { .qos = d->qos,
                           .retain = (d->flags & DELIVERY_RETAIN) != 0,
                           .dup = dup,
                           .packet_id = d->packet_id };
    how.id_count = delivery_ids(d, &how.ids);
    if (!auth_permits(client_id_of(c), client_username(c), AUTH_RECEIVE, d->message->topic))
        return DROP_NOT_AUTHORIZED;
    return connection_send_publish(c->connection, &p, &how) ? DROP_NONE : DROP_TOO_LARGE;
}

/* A durable Session's PUBREL waits until it is on the disk that the PUBREC has come. */
static void send_pubrel(struct delivery_sink *sink, uint16_t packet_id)
{
    struct client *c = client_of(sink);
    struct answer *a;
    if (c->durable == NULL || staging_is_safe(c->worker))
        connection_send_ack(c->connection, PACKET_PUBREL, packet_id, REASON_SUCCESS);
    else if ((a = answer_ack(c->connection, PACKET_PUBREL, packet_id, REASON_SUCCESS)) != NULL)
        staging_answer(c->worker, a);
}

static bool is_congested(struct delivery_sink *sink)
{
    return connection_is_congested(client_of(sink)->connection);
}

static bool is_flooded(struct delivery_sink *sink)
{
    return connection_is_flooded(client_of(sink)->connection);
}

static struct deposit *deposit_of(const struct delivery *d)
{
    return container_of(d->deposit, struct deposit, block);
}

static struct durable_key released_key(const struct client *c, const struct delivery *d)
{
    return (struct durable_key){ .kind = KEY_RELEASED,
                                 .session = atomic_load(&c->durable->key),
                                 .number = d->seq };
}

static void on_finished(struct delivery_sink *sink, const struct delivery *d)
{
    struct client *c = client_of(sink);
    if (d->ticket != 0)
        shares_finish(c->worker, d->group, c->handle, d->ticket);
    if (d->seq == 0 || c->durable == NULL)
        return;
    struct durable_key released = released_key(c, d);
    if (d->state == DELIVERY_AWAITS_PUBCOMP)
        (void)staging_remove(c->worker, &released);
    else if (d->deposit != NULL)
        deposit_finish(c->worker, deposit_of(d), d->deposit_index);
    else
        staging_finish(c->worker, atomic_load(&c->durable->key), d->seq);
}

/* In place of the message, which is done with, the store keeps its number until PUBCOMP. */
static void on_received(struct delivery_sink *sink, const struct delivery *d)
{
    struct client *c = client_of(sink);
    if (c->durable == NULL || (d->flags & DELIVERY_STORE_FINISHED) != 0)
        return;
    struct durable_key key = released_key(c, d);
    (void)staging_put(c->worker, &key, (struct bytes){ 0 }); /* else PUBREL is not repeated */
    staging_finish(c->worker, key.session, d->seq);
}

static void drop_first_on_disk(struct delivery_sink *sink, uint64_t from)
{
    struct client *c = client_of(sink);
    if (c->durable != NULL)
        staging_drop_first(c->worker, atomic_load(&c->durable->key), from);
}

static void on_returned(struct delivery_sink *sink, const struct delivery *d)
{
    struct client *c = client_of(sink);
    if (d->ticket != 0)
        shares_return(c->worker, d->group, c->handle, d->ticket);
}

static void on_dropped(struct delivery_sink *sink, const struct delivery *d, enum drop cause)
{
    client_on_drop(client_of(sink), cause);
}

void client_init_sink(struct client *c)
{
    static const struct delivery_sink_ops ops = {
        .send_publish = send_publish,
        .send_pubrel = send_pubrel,
        .is_congested = is_congested,
        .is_flooded = is_flooded,
        .on_finished = on_finished,
        .on_returned = on_returned,
        .on_received = on_received,
        .drop_first_on_disk = drop_first_on_disk,
        .on_dropped = on_dropped,
    };
    c->sink.ops = &ops;
}

/* --------------------------------------------------------------------------------- deliver ---- */

/* Do publishers know that its queue is full? */
static bool is_told_full(const struct client *c)
{
    return c->trouble != NULL && !list_is_empty(&c->trouble->full_link);
}

void client_leave_full(struct client *c)
{
    if (!is_told_full(c))
        return;
    list_remove(&c->trouble->full_link);
    full_sessions_remove(c->worker->server->full, c->handle);
}

static void tell_fullness(struct client *c)
{
    struct worker *w = c->worker;
    bool refuses = w->config->queue_policy == QUEUE_REFUSE_PUBLISHER;
    bool was_full = is_told_full(c);
    if (!refuses && !was_full)
        return;
    bool is_full = refuses && session_is_full(c->session, 1);
    if (!is_full)
        client_leave_full(c);
    else if (!was_full && client_trouble(c) != NULL &&
             full_sessions_add(w->server->full, c->handle) == 0)
        list_push_back(&w->full_clients, &c->trouble->full_link);
}

void client_count_held(struct client *c, size_t count, size_t bytes)
{
    struct metrics *m = &c->worker->metrics;
    metrics_add(m, METRIC_queued_messages, (int64_t)count - (int64_t)c->held_count);
    metrics_add(m, METRIC_queued_bytes, (int64_t)bytes - (int64_t)c->held_bytes);
    c->held_count = (uint32_t)count;
    c->held_bytes = bytes;
}

/* Reads back what waits on the disk, when there is room for it. */
static void load_more(struct client *c)
{
    uint64_t from;
    if (!session_begin_load(c->session, &from))
        return;
    if (staging_load(c->worker, c->handle, atomic_load(&c->durable->key), from) != 0)
        session_on_loaded(c->session, false, c->worker->now_ns);
}

void client_after_session(struct client *c)
{
    struct session_stats stats = session_stats(c->session);
    client_count_held(c, stats.queued_count + stats.inflight_count,
                      stats.queued_bytes + stats.inflight_bytes);
    tell_fullness(c);
    if (c->durable != NULL)
        load_more(c);
}

/* The same for what is on the disk; the answer comes to client_on_loaded. */
static void expire_on_disk(struct client *c)
{
    uint64_t from = c->durable == NULL ? 0 : session_disk_from(c->session);
    if (from != 0 && !session_is_attached(c->session))
        (void)staging_expire(c->worker, c->handle, atomic_load(&c->durable->key), from);
}

void client_tick_full(struct worker *w)
{
    for (struct list *l = w->full_clients.next, *next; l != &w->full_clients; l = next) {
        struct client *c = container_of(l, struct client_trouble, full_link)->client;
        next = l->next;
        session_drop_expired(c->session, w->now_ns);
        expire_on_disk(c);
        client_after_session(c);
    }
}

static uint8_t granted_qos(const struct worker *w, const struct message *m, uint32_t options)
{
    uint8_t granted = options & SUBSCRIBER_QOS;
    return m->qos < granted && !w->config->upgrade_outgoing_qos ? m->qos : granted;
}

/* [MQTT-3.3.1-12] [MQTT-3.3.1-13]; for Retained Messages sent on SUBSCRIBE always set
 * [MQTT-3.3.1-8]. */
static bool retain_flag(const struct client *c, const struct message *m, uint32_t options,
                        bool is_retained)
{
    if (is_retained)
        return true;
    bool as_published = (options & SUBSCRIBER_RETAIN_AS_PUBLISHED) != 0 ||
                        (c->connection != NULL && c->connection->is_bridge);
    return as_published && m->retain;
}

/* The short way: encoded now, nothing kept. */
static void deliver_now(struct client *c, struct publication *p, bool retain, uint32_t id)
{
    struct sending how = { .retain = retain, .ids = &id, .id_count = id != 0 };
    if (connection_is_flooded(c->connection))
        client_on_drop(c, DROP_SLOW);
    else if (message_is_expired(p->message, c->worker->now_ns))
        client_on_drop(c, DROP_EXPIRED);
    else if (!connection_send_publish(c->connection, p, &how))
        client_on_drop(c, DROP_TOO_LARGE);
}

void client_deliver(struct client *c, struct publication *p, uint32_t options, uint32_t id,
                    uint32_t *many_ids, bool is_retained)
{
    const struct message *m = p->message;
    uint8_t qos = granted_qos(c->worker, m, options);
    bool retain = retain_flag(c, m, options, is_retained);

    if (!auth_permits(client_id_of(c), client_username(c), AUTH_RECEIVE, m->topic)) {
        client_on_drop(c, DROP_NOT_AUTHORIZED);
    } else if (qos == 0 && session_is_attached(c->session) && many_ids == NULL &&
               !session_has_queued_qos0(c->session)) {
        deliver_now(c, p, retain, id);
    } else {
        struct message *kept = publication_keep(p);
        if (kept == NULL) {
            client_on_drop(c, DROP_NO_MEMORY);
        } else {
            struct delivery d = { .message = message_ref(kept) };
            d.qos = qos & 3u;
            d.flags = (uint8_t)((retain ? DELIVERY_RETAIN : 0) |
                                (many_ids != NULL ? DELIVERY_MANY_IDS : 0));
            if (many_ids != NULL)
                d.ids.many = many_ids;
            else
                d.ids.one = id;
            session_deliver(c->session, &d, c->worker->now_ns);
            client_after_session(c);
            return; /* the delivery owns many_ids now */
        }
    }
    memory_free(many_ids);
}

void client_deliver_handover(struct client *c, const struct note *n)
{
    struct delivery d = { .message = message_ref(n->handover.message) };
    d.qos = n->handover.qos & 3u;
    d.ids.one = n->handover.id;
    d.group = n->handover.group;
    d.ticket = n->handover.ticket;
    if (retain_flag(c, d.message, n->handover.options, false))
        d.flags |= DELIVERY_RETAIN;
    session_deliver(c->session, &d, c->worker->now_ns);
    client_after_session(c);
}

/* --------------------------------------------------------------------------------- stored ----- */

/* Several Subscription Identifiers, for the delivery to own.  False: no memory. */
static bool copy_ids(struct delivery *d, const uint32_t *many)
{
    size_t size = (many[0] + 1) * sizeof *many;
    d->ids.many = memory_alloc(size);
    if (d->ids.many == NULL)
        return false;
    memcpy(d->ids.many, many, size);
    d->flags |= DELIVERY_MANY_IDS;
    return true;
}

/* It will not be delivered. */
static void refuse_stored(struct client *c, struct deposit *d, uint32_t index, enum drop cause)
{
    client_on_drop(c, cause);
    deposit_finish(c->worker, d, index);
}

/* Once in a turn. */
static void hurry(struct worker *w, unsigned owner)
{
    if (owner == w->index) {
        staging_hurry(w);
    } else if (w->hurried[owner] != w->turns + 1) {
        w->hurried[owner] = w->turns + 1;
        (void)post_note(w, owner, NOTE_HURRY, 0, 0); /* else it waits a little longer */
    }
}

void client_deliver_stored(struct worker *w, struct deposit *deposit, uint32_t index)
{
    const struct deposit_entry *e = &deposit->entries[index];
    struct client *c = worker_find_client(w, e->handle);
    struct message *m = deposit->message;
    if (c == NULL || c->durable == NULL) { /* it ended a moment ago */
        deposit_finish(w, deposit, index);
        return;
    }
    if (!auth_permits(client_id_of(c), client_username(c), AUTH_RECEIVE, m->topic)) {
        refuse_stored(c, deposit, index, DROP_NOT_AUTHORIZED);
        return;
    }
    struct delivery d = { .seq = e->seq, .deposit_index = index, .ids.one = e->id };
    d.qos = deposit_entry_qos(deposit, e) & 3u;
    d.flags = (uint8_t)((deposit_entry_retain(deposit, e) ? DELIVERY_RETAIN : 0) |
                        (deposit->until_sent ? DELIVERY_UNTIL_SENT : 0) |
                        (d.qos == 2 ? DELIVERY_UNSAFE : 0));
    if (e->many_ids != NULL && !copy_ids(&d, e->many_ids)) {
        refuse_stored(c, deposit, index, DROP_NO_MEMORY);
        return;
    }
    d.message = message_ref(m);
    d.deposit = block_ref(&deposit->block);
    session_deliver(c->session, &d, w->now_ns);
    client_after_session(c);
    if (session_waits(c->session)) /* nobody acknowledges it now */
        hurry(w, deposit->owner);
}

void client_on_stored(struct worker *w, uint64_t handle, uint64_t key, uint64_t seq)
{
    struct client *c = worker_find_client(w, handle);
    if (c == NULL || c->durable == NULL) { /* it came into a queue that nobody has any more */
        staging_finish(w, key, seq);
        return;
    }
    session_on_stored(c->session, seq, w->now_ns);
    client_after_session(c);
}

/* Takes what is in *l. */
static void take_loaded(struct client *c, struct loaded *l)
{
    struct delivery d = { .message = l->message, .seq = l->seq };
    d.qos = l->qos & 3u;
    d.flags =
        (uint8_t)((l->retain ? DELIVERY_RETAIN : 0) | (l->until_sent ? DELIVERY_UNTIL_SENT : 0));
    if (l->ids != NULL && l->ids[0] == 1) {
        d.ids.one = l->ids[1];
        memory_free(l->ids);
    } else if (l->ids != NULL) {
        d.ids.many = l->ids;
        d.flags |= DELIVERY_MANY_IDS;
    }
    l->message = NULL;
    l->ids = NULL;
    session_load(c->session, &d);
}

void client_on_loaded(struct worker *w, struct store_load *l)
{
    struct client *c = worker_find_client(w, l->handle);
    if (c == NULL || c->durable == NULL)
        return;
    if (l->expires) {
        for (size_t i = 0; i < l->count && session_drop_on_disk(c->session); i++)
            client_on_drop(c, DROP_EXPIRED);
        client_after_session(c);
        return;
    }
    for (size_t i = 0; i < l->count; i++) {
        if (l->entries[i].message != NULL) {
            take_loaded(c, &l->entries[i]);
        } else {
            client_on_drop(c, DROP_DAMAGED);
            if (!l->entries[i].is_unread)
                staging_finish(w, l->key, l->entries[i].seq);
            session_skip(c->session, l->entries[i].seq);
        }
    }
    session_on_loaded(c->session, l->is_last, w->now_ns);
    client_after_session(c);
}
