/* cli/store_import.c: the file is walked several times, and each walk knows what the former found.
 *
 *     count          how many of each: the tables get their size, and a damaged file is refused
 *     names          messages and Clients, found by id from now on
 *     subscriptions  joined to their Sessions
 *     in flight      entries of queues, joined to Session and message
 *     waiting        the same; behind those in flight, whatever their order in the file
 *     received       messages on their way in
 *
 *     sessions [ s0 | s1 | .. ]  <- by Client Identifier
 *                 `-> its subscriptions, a chain of indices
 *     messages [ m0 | m1 | .. ]  <- by id
 *                 `-> its entries, a chain of indices through all the queues it stands in
 *
 * Mosquitto hands a message of QoS 2 to its subscribers when PUBREL comes, Chappe when PUBLISH
 * comes [MQTT-4.3.3-8].  So a message that Mosquitto has acknowledged with PUBREC, and holds, is
 * handed on here, to the subscriptions of the file; its Packet Identifier is kept, and the PUBREL
 * that is still to come only ends it.  Whatever arrives in such a way stands last in its queue.
 *
 * No user names are taken over: see mosquitto_db.h. */
#include "cli/store_import.h"
#include "base/map.h"
#include "base/memory.h"
#include "mqtt/packet.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"
#include "session/packet_id_set.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>

enum { STRING_SIZE_MAX = 65535 };
static const uint32_t NONE = UINT32_MAX; /* the end of a chain; no such index */
static const uint32_t SUBSCRIPTION_ID_MAX = 268435455;

struct message {
    uint64_t id;
    struct import_message view;
    uint32_t first, last; /* entries */
    uint32_t count;
    bool is_valid;
};

struct session {
    struct import_session view;
    uint32_t index;       /* as the sink counts; NONE: it is left out */
    uint32_t first, last; /* subscriptions */
    uint32_t places;      /* given so far */
    uint16_t renamed;     /* no Packet Identifier up to this one is free for another message */
    struct packet_id_set sent, received;
};

struct subscription {
    struct import_subscription view;
    struct bytes filter; /* without $share/NAME/ */
    uint32_t session;
    uint32_t next;         /* of the same Session */
    bool is_shared_before; /* an earlier one of the file is in the same group */
};

struct entry {
    struct import_entry view; /* its session is a row of `sessions` here */
    uint32_t message;         /* NONE: it is done with */
    uint32_t next;            /* of the same message */
};

struct store_import {
    const struct store_import_options *o;
    struct import_report report;
    struct message *messages;
    struct session *sessions;
    struct subscription *subscriptions;
    struct entry *entries;
    uint32_t *retained; /* messages, in the order in which they came to be */
    uint32_t message_count, session_count, subscription_count, entry_count, retained_count;
    uint32_t entry_capacity, retained_capacity;
    uint32_t index_count; /* Sessions taken */
    struct map by_id, by_client, by_group;
    uint64_t counts[MOSQUITTO_KINDS];
};

/* ------------------------------------------------------------------------------- reasons ------ */

const char *import_kind_name(enum import_kind kind)
{
    static const char *const names[IMPORT_KINDS] = {
        "sessions", "subscriptions", "queued messages", "received packet ids", "retained messages",
    };
    return names[kind];
}

const char *import_reason_text(enum import_reason reason)
{
    static const char *const texts[IMPORT_REASONS] = {
        [IMPORT_EXPIRED] = "expired",
        [IMPORT_ENDED] = "ended with the connection",
        [IMPORT_WITH_SESSION] = "of a session that is left out",
        [IMPORT_NO_SESSION] = "of a client that is not in the file",
        [IMPORT_NO_MESSAGE] = "of a message that is not in the file",
        [IMPORT_SYS] = "$SYS, which a broker makes itself",
        [IMPORT_EMPTY] = "without payload",
        [IMPORT_QOS0] = "QoS 0, of which a store keeps none",
        [IMPORT_PACKET_ID] = "received by the client, with a packet id above 32767",
        [IMPORT_UNACKNOWLEDGED] = "not acknowledged, so the client will send it again",
        [IMPORT_TWICE] = "twice in the file",
        [IMPORT_INVALID] = "not valid in MQTT",
    };
    return texts[reason];
}

static void leave(struct store_import *s, enum import_kind kind, enum import_reason reason,
                  uint64_t offset, struct bytes name)
{
    s->report.left[kind][reason]++;
    struct import_left left = { kind, reason, offset, name };
    if (s->o->on_left != NULL)
        s->o->on_left(s->o->context, &left);
}

/* -------------------------------------------------------------------------------- tables ------ */

static struct bytes id_of(const void *object)
{
    const struct message *m = object;
    return bytes_of(&m->id, sizeof m->id);
}

static struct bytes client_of(const void *object)
{
    return ((const struct session *)object)->view.client_id;
}

static struct bytes group_of(const void *object) /* $share/NAME/FILTER */
{
    return ((const struct subscription *)object)->view.filter;
}

static uint32_t find_message(const struct store_import *s, uint64_t id)
{
    const struct message *m = map_find(&s->by_id, bytes_of(&id, sizeof id));
    return m == NULL ? NONE : (uint32_t)(m - s->messages);
}

/* The Session of this Client, if it is taken; else NULL, and the thing that belongs to it is left.
 */
static struct session *find_session(struct store_import *s, struct bytes client_id,
                                    enum import_kind kind, uint64_t offset)
{
    struct session *session = map_find(&s->by_client, client_id);
    if (session != NULL && session->index != NONE)
        return session;
    leave(s, kind, session == NULL ? IMPORT_NO_SESSION : IMPORT_WITH_SESSION, offset, client_id);
    return NULL;
}

static void *grow(void *table, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return table;
    if (count >= NONE / 2)
        return NULL;
    uint32_t larger = count < 16 ? 32 : count * 2;
    void *grown = memory_resize(table, larger * size);
    if (grown != NULL)
        *capacity = larger;
    return grown;
}

/* --------------------------------------------------------------------------------- count ------ */

static int count_record(struct store_import *s, const struct mosquitto_record *r)
{
    s->counts[r->kind]++;
    if (r->kind == MOSQUITTO_CONFIG)
        s->report.is_stopped = r->config.is_stopped;
    return 0;
}

static void *table(uint64_t count, size_t size)
{
    return count >= NONE / 2 ? NULL : memory_alloc_zero((size_t)count * size);
}

static int make_tables(struct store_import *s)
{
    s->messages = table(s->counts[MOSQUITTO_MESSAGE], sizeof *s->messages);
    s->sessions = table(s->counts[MOSQUITTO_CLIENT], sizeof *s->sessions);
    s->subscriptions = table(s->counts[MOSQUITTO_SUBSCRIPTION], sizeof *s->subscriptions);
    s->entries = table(s->counts[MOSQUITTO_QUEUED], sizeof *s->entries);
    s->retained = table(s->counts[MOSQUITTO_RETAINED], sizeof *s->retained);
    if (s->messages == NULL || s->sessions == NULL || s->subscriptions == NULL ||
        s->entries == NULL || s->retained == NULL)
        return -ENOMEM;
    s->entry_capacity = (uint32_t)s->counts[MOSQUITTO_QUEUED];
    s->retained_capacity = (uint32_t)s->counts[MOSQUITTO_RETAINED];
    return 0;
}

/* ------------------------------------------------------------------------- names: messages ---- */

static bool message_is_valid(const struct mosquitto_message *m)
{
    struct properties properties = { 0 };
    if (m->qos > 2 || !utf8_is_valid(m->topic) || !topic_name_is_valid(m->topic))
        return false;
    if (properties_decode(m->properties, PACKET_PUBLISH, &properties) != REASON_SUCCESS)
        return false;
    return m->payload.size < (size_t)PACKET_SIZE_MAX - m->topic.size - m->properties.size - 16;
}

/* An id that comes twice would make queues ambiguous, and no Mosquitto writes it: -EBADMSG. */
static int add_message(struct store_import *s, const struct mosquitto_record *r)
{
    const struct mosquitto_message *m = &r->message;
    struct message *row = &s->messages[s->message_count];
    if (find_message(s, m->id) != NONE)
        return -EBADMSG;
    *row = (struct message){ .id = m->id, .first = NONE, .last = NONE };
    row->is_valid = message_is_valid(m);
    row->view = (struct import_message){
        .topic = m->topic,
        .payload = m->payload,
        .properties = m->properties,
        .client_id = m->client_id,
        .expires_at_s = m->expires_at_s == 0 ? IMPORT_NEVER : m->expires_at_s,
        .qos = m->qos,
        .retain = m->retain,
    };
    s->message_count++;
    return map_add(&s->by_id, row);
}

/* ------------------------------------------------------------------------- names: sessions ---- */

static int64_t session_end(const struct store_import *s, const struct mosquitto_client *c)
{
    if (!c->has_expiry || c->expiry_s == UINT32_MAX) /* [MQTT-3.1.2-23] */
        return IMPORT_NEVER;
    return c->expires_at_s != 0 ? c->expires_at_s : s->o->now_s + c->expiry_s;
}

static int add_session(struct store_import *s, const struct mosquitto_record *r)
{
    const struct mosquitto_client *c = &r->client;
    struct bytes id = c->client_id;
    if (id.size == 0 || !utf8_is_valid(id)) {
        leave(s, IMPORT_SESSIONS, IMPORT_INVALID, r->offset, id);
        return 0;
    }
    if (map_find(&s->by_client, id) != NULL) {
        leave(s, IMPORT_SESSIONS, IMPORT_TWICE, r->offset, id);
        return 0;
    }
    struct session *row = &s->sessions[s->session_count++];
    *row = (struct session){ .index = NONE, .first = NONE, .last = NONE };
    row->view = (struct import_session){ .client_id = id,
                                         .expiry_s = c->has_expiry ? c->expiry_s : UINT32_MAX,
                                         .expires_at_s = session_end(s, c),
                                         .last_packet_id = c->last_packet_id };
    if (row->view.expiry_s == 0)
        leave(s, IMPORT_SESSIONS, IMPORT_ENDED, r->offset, id);
    else if (row->view.expires_at_s <= s->o->now_s)
        leave(s, IMPORT_SESSIONS, IMPORT_EXPIRED, r->offset, id);
    else
        row->index = s->index_count++;
    return map_add(&s->by_client, row);
}

static int read_names(struct store_import *s, const struct mosquitto_record *r)
{
    if (r->kind == MOSQUITTO_MESSAGE)
        return add_message(s, r);
    return r->kind == MOSQUITTO_CLIENT ? add_session(s, r) : 0;
}

/* ------------------------------------------------------------------------- subscriptions ------ */

static bool options_are_valid(uint8_t options, bool is_shared)
{
    if ((options & 0xc0) != 0 || (options & SUBSCRIBE_QOS) > 2 ||
        (options & SUBSCRIBE_RETAIN_HANDLING) == SUBSCRIBE_RETAIN_HANDLING)
        return false;
    return !is_shared || (options & SUBSCRIBE_NO_LOCAL) == 0; /* [MQTT-3.8.3-4] */
}

/* *rest: the filter that is matched. */
static bool subscription_is_valid(const struct mosquitto_subscription *sub, bool *is_shared,
                                  struct bytes *rest)
{
    struct bytes name;
    if (!utf8_is_valid(sub->filter) || sub->subscription_id > SUBSCRIPTION_ID_MAX)
        return false;
    *rest = sub->filter;
    enum share_syntax share = topic_filter_split_share(sub->filter, &name, rest);
    *is_shared = share == SHARE_VALID;
    return share != SHARE_INVALID && topic_filter_is_valid(*rest, NULL) &&
           options_are_valid(sub->options, *is_shared);
}

static void chain_subscription(struct store_import *s, struct session *session, uint32_t index)
{
    if (session->last == NONE)
        session->first = index;
    else
        s->subscriptions[session->last].next = index;
    session->last = index;
}

static int read_subscription(struct store_import *s, const struct mosquitto_record *r)
{
    if (r->kind != MOSQUITTO_SUBSCRIPTION)
        return 0;
    const struct mosquitto_subscription *sub = &r->subscription;
    struct session *session = find_session(s, sub->client_id, IMPORT_SUBSCRIPTIONS, r->offset);
    if (session == NULL)
        return 0;
    bool is_shared = false;
    struct bytes rest;
    if (!subscription_is_valid(sub, &is_shared, &rest)) {
        leave(s, IMPORT_SUBSCRIPTIONS, IMPORT_INVALID, r->offset, sub->filter);
        return 0;
    }
    struct subscription *row = &s->subscriptions[s->subscription_count];
    *row = (struct subscription){ .view = { .filter = sub->filter,
                                            .options = sub->options,
                                            .subscription_id = sub->subscription_id },
                                  .filter = rest,
                                  .session = (uint32_t)(session - s->sessions),
                                  .next = NONE };
    chain_subscription(s, session, s->subscription_count++);
    if (!is_shared)
        return 0;
    row->is_shared_before = map_find(&s->by_group, sub->filter) != NULL;
    row->view.begins_group = !row->is_shared_before;
    return row->is_shared_before ? 0 : map_add(&s->by_group, row);
}

/* -------------------------------------------------------------------------------- queues ------ */

/* What the states of the file mean.  One that is to be sent again, or for the first time, is in
 * flight when it has been sent before. */
static enum import_state state_of(const struct mosquitto_queued *q)
{
    switch (q->state) {
    case MOSQUITTO_AWAITS_PUBACK:
        return IMPORT_AWAITS_PUBACK;
    case MOSQUITTO_AWAITS_PUBREC:
        return IMPORT_AWAITS_PUBREC;
    case MOSQUITTO_PUBLISH_QOS1:
        return q->is_dup ? IMPORT_AWAITS_PUBACK : IMPORT_WAITS;
    case MOSQUITTO_PUBLISH_QOS2:
        return q->is_dup ? IMPORT_AWAITS_PUBREC : IMPORT_WAITS;
    case MOSQUITTO_RESEND_PUBREL:
    case MOSQUITTO_AWAITS_PUBCOMP:
        return IMPORT_AWAITS_PUBCOMP;
    default:
        return IMPORT_WAITS;
    }
}

static bool state_fits_qos(const struct mosquitto_queued *q)
{
    switch (q->state) {
    case MOSQUITTO_WAITS:
        return q->qos <= 2;
    case MOSQUITTO_PUBLISH_QOS0:
        return q->qos == 0;
    case MOSQUITTO_PUBLISH_QOS1:
    case MOSQUITTO_AWAITS_PUBACK:
        return q->qos == 1;
    case MOSQUITTO_PUBLISH_QOS2:
    case MOSQUITTO_AWAITS_PUBREC:
    case MOSQUITTO_RESEND_PUBREL:
    case MOSQUITTO_AWAITS_PUBCOMP:
        return q->qos == 2;
    default:
        return false;
    }
}

static int add_entry(struct store_import *s, struct session *session, uint32_t message,
                     const struct import_entry *view)
{
    struct entry *entries = grow(s->entries, s->entry_count, &s->entry_capacity, sizeof *entries);
    if (entries == NULL)
        return -ENOMEM;
    s->entries = entries;
    uint32_t index = s->entry_count++;
    entries[index] = (struct entry){ *view, message, NONE };
    entries[index].view.session = (uint32_t)(session - s->sessions);
    entries[index].view.place = ++session->places;
    session->view.sent +=
        view->state == IMPORT_AWAITS_PUBACK || view->state == IMPORT_AWAITS_PUBREC;
    if (message == NONE)
        return 0;

    struct message *m = &s->messages[message];
    if (m->count++ == 0)
        m->first = index;
    else
        entries[m->last].next = index;
    m->last = index;
    return 0;
}

/* Why it cannot be delivered; IMPORT_REASONS: it can. */
static enum import_reason why_not_queued(const struct store_import *s,
                                         const struct mosquitto_queued *q, uint32_t message,
                                         uint32_t *subscription_id)
{
    struct properties ids = { 0 };
    enum import_state state = state_of(q);
    if (!state_fits_qos(q) || (state != IMPORT_WAITS && q->packet_id == 0) ||
        properties_decode(q->properties, PACKET_PUBLISH, &ids) != REASON_SUCCESS)
        return IMPORT_INVALID;
    if (properties_have(&ids, PROPERTY_SUBSCRIPTION_IDENTIFIER))
        *subscription_id = ids.subscription_identifier;
    if (state == IMPORT_AWAITS_PUBCOMP) /* its message is of no account any more */
        return q->packet_id > IMPORT_PACKET_ID_MAX ? IMPORT_PACKET_ID : IMPORT_REASONS;
    if (message == NONE)
        return IMPORT_NO_MESSAGE;
    if (!s->messages[message].is_valid)
        return IMPORT_INVALID;
    /* One that has been sent goes on [MQTT-3.3.2-5]. */
    if (state == IMPORT_WAITS && s->messages[message].view.expires_at_s <= s->o->now_s)
        return IMPORT_EXPIRED;
    return q->qos == 0 ? IMPORT_QOS0 : IMPORT_REASONS;
}

static int read_queued(struct store_import *s, const struct mosquitto_record *r)
{
    const struct mosquitto_queued *q = &r->queued;
    struct session *session = find_session(s, q->client_id, IMPORT_QUEUED, r->offset);
    if (session == NULL)
        return 0;
    uint32_t message = find_message(s, q->message);
    struct import_entry entry = { .state = state_of(q), .qos = q->qos, .retain = q->retain };
    enum import_reason why = why_not_queued(s, q, message, &entry.subscription_id);
    if (entry.state != IMPORT_WAITS) {
        entry.packet_id = q->packet_id;
        if (why == IMPORT_REASONS && packet_id_set_has(&session->sent, q->packet_id))
            why = IMPORT_TWICE;
    }
    if (why != IMPORT_REASONS) {
        leave(s, IMPORT_QUEUED, why, r->offset,
              message == NONE ? q->client_id : s->messages[message].view.topic);
        return 0;
    }
    if (entry.packet_id != 0 && packet_id_set_add(&session->sent, entry.packet_id) < 0)
        return -ENOMEM;
    return add_entry(s, session, entry.state == IMPORT_AWAITS_PUBCOMP ? NONE : message, &entry);
}

static int read_in_flight(struct store_import *s, const struct mosquitto_record *r)
{
    bool is_one = r->kind == MOSQUITTO_QUEUED && !r->queued.is_from_client;
    return is_one && state_of(&r->queued) != IMPORT_WAITS ? read_queued(s, r) : 0;
}

/* One that no stored delivery can have gives way to the lowest that is free.  If there is none, the
 * message waits for its turn anew. */
static int rename_entry(struct store_import *s, struct import_entry *entry)
{
    struct session *session = &s->sessions[entry->session];
    uint16_t id = session->renamed;
    if (entry->packet_id <= IMPORT_PACKET_ID_MAX)
        return 0;
    do
        id++;
    while (id <= IMPORT_PACKET_ID_MAX && packet_id_set_has(&session->sent, id));
    s->report.renamed++;
    s->report.renamed_qos2 += entry->qos == 2;
    if (id > IMPORT_PACKET_ID_MAX) {
        session->renamed = IMPORT_PACKET_ID_MAX;
        session->view.sent--;
        entry->packet_id = 0;
        entry->state = IMPORT_WAITS;
        return 0;
    }
    entry->packet_id = session->renamed = id;
    return packet_id_set_add(&session->sent, id);
}

/* Once all that is in flight is known. */
static int rename_in_flight(struct store_import *s)
{
    int failure = 0;
    for (uint32_t i = 0; failure == 0 && i < s->entry_count; i++)
        failure = rename_entry(s, &s->entries[i].view);
    return failure;
}

/* ------------------------------------------------------------------------------ retained ------ */

static int add_retained(struct store_import *s, uint32_t message)
{
    uint32_t *grown =
        grow(s->retained, s->retained_count, &s->retained_capacity, sizeof *s->retained);
    if (grown == NULL)
        return -ENOMEM;
    s->retained = grown;
    grown[s->retained_count++] = message;
    return 0;
}

/* Why a message cannot be retained; IMPORT_REASONS: it can. */
static enum import_reason why_not_retained(const struct store_import *s, uint32_t message)
{
    if (message == NONE)
        return IMPORT_NO_MESSAGE;
    const struct message *m = &s->messages[message];
    if (!m->is_valid)
        return IMPORT_INVALID;
    if (bytes_start_with(m->view.topic, BYTES("$SYS")))
        return IMPORT_SYS;
    if (m->view.expires_at_s <= s->o->now_s)
        return IMPORT_EXPIRED;
    return m->view.payload.size == 0 ? IMPORT_EMPTY : IMPORT_REASONS;
}

static int read_retained(struct store_import *s, const struct mosquitto_record *r)
{
    uint32_t message = find_message(s, r->retained);
    enum import_reason why = why_not_retained(s, message);
    if (why == IMPORT_REASONS)
        return add_retained(s, message);
    leave(s, IMPORT_RETAINED, why, r->offset,
          message == NONE ? BYTES("") : s->messages[message].view.topic);
    return 0;
}

static int read_waiting(struct store_import *s, const struct mosquitto_record *r)
{
    if (r->kind == MOSQUITTO_RETAINED)
        return read_retained(s, r);
    bool is_one = r->kind == MOSQUITTO_QUEUED && !r->queued.is_from_client;
    return is_one && state_of(&r->queued) == IMPORT_WAITS ? read_queued(s, r) : 0;
}

/* ------------------------------------------------------------------------------ received ------ */

/* Of a Shared Subscription's Clients one gets it [MQTT-4.8.2-4]; who is away does not get QoS 0. */
static bool subscription_takes(const struct subscription *sub, const struct message *m,
                               const struct session *publisher, const struct session *subscriber)
{
    return !sub->is_shared_before && (sub->view.options & SUBSCRIBE_QOS) > 0 &&
           !(subscriber == publisher && (sub->view.options & SUBSCRIBE_NO_LOCAL) != 0) &&
           topic_filter_matches(sub->filter, m->view.topic);
}

static int hand_on(struct store_import *s, uint32_t message, const struct session *publisher)
{
    const struct message *m = &s->messages[message];
    for (uint32_t i = 0; i < s->subscription_count; i++) {
        const struct subscription *sub = &s->subscriptions[i];
        struct session *session = &s->sessions[sub->session];
        if (!subscription_takes(sub, m, publisher, session))
            continue;
        uint8_t options = sub->view.options;
        struct import_entry entry = {
            .state = IMPORT_WAITS,
            .qos = options & SUBSCRIBE_QOS,
            .retain = m->view.retain && (options & SUBSCRIBE_RETAIN_AS_PUBLISHED) != 0,
            .subscription_id = sub->view.subscription_id,
        };
        int failure = add_entry(s, session, message, &entry);
        if (failure != 0)
            return failure;
    }
    s->report.released++;
    return m->view.retain ? add_retained(s, message) : 0;
}

/* Why the Packet Identifier is not taken over; IMPORT_REASONS: it is. */
static enum import_reason why_not_received(const struct session *session,
                                           const struct mosquitto_queued *q)
{
    if (q->state == MOSQUITTO_WAITS)
        return IMPORT_UNACKNOWLEDGED;
    bool is_received = q->state == MOSQUITTO_AWAITS_PUBREL || q->state == MOSQUITTO_SEND_PUBREC;
    if (!is_received || q->qos != 2 || q->packet_id == 0)
        return IMPORT_INVALID;
    return packet_id_set_has(&session->received, q->packet_id) ? IMPORT_TWICE : IMPORT_REASONS;
}

static int read_received(struct store_import *s, const struct mosquitto_record *r)
{
    const struct mosquitto_queued *q = &r->queued;
    if (r->kind != MOSQUITTO_QUEUED || !q->is_from_client)
        return 0;
    struct session *session = find_session(s, q->client_id, IMPORT_RECEIVED, r->offset);
    if (session == NULL)
        return 0;
    enum import_reason why = why_not_received(session, q);
    if (why != IMPORT_REASONS) {
        leave(s, IMPORT_RECEIVED, why, r->offset, q->client_id);
        return 0;
    }
    if (packet_id_set_add(&session->received, q->packet_id) < 0)
        return -ENOMEM;
    s->report.taken[IMPORT_RECEIVED]++;

    uint32_t message = find_message(s, q->message);
    if (message == NONE || !s->messages[message].is_valid) {
        leave(s, IMPORT_QUEUED, message == NONE ? IMPORT_NO_MESSAGE : IMPORT_INVALID, r->offset,
              q->client_id);
        return 0;
    }
    bool is_expired = s->messages[message].view.expires_at_s <= s->o->now_s;
    return is_expired ? 0 : hand_on(s, message, session);
}

/* ------------------------------------------------------------------------------ creation ------ */

static int walk(struct store_import *s, struct mosquitto_db db,
                int (*read)(struct store_import *, const struct mosquitto_record *),
                struct mosquitto_db_fault *fault)
{
    struct mosquitto_record r;
    for (;;) {
        int result = mosquitto_db_next(&db, &r, fault);
        if (result <= 0)
            return result;
        result = read(s, &r);
        if (result == -EBADMSG) {
            fault->offset = r.offset;
            (void)snprintf(fault->text, sizeof fault->text, "two messages with the same id");
        }
        if (result != 0)
            return result;
    }
}

static int read_all(struct store_import *s, struct mosquitto_db db,
                    struct mosquitto_db_fault *fault)
{
    int failure = walk(s, db, count_record, fault);
    if (failure == 0)
        failure = make_tables(s);
    if (failure == 0)
        failure = walk(s, db, read_names, fault);
    if (failure == 0)
        failure = walk(s, db, read_subscription, fault);
    if (failure == 0)
        failure = walk(s, db, read_in_flight, fault);
    if (failure == 0)
        failure = rename_in_flight(s);
    if (failure == 0)
        failure = walk(s, db, read_waiting, fault);
    if (failure == 0)
        failure = walk(s, db, read_received, fault);
    return failure;
}

int store_import_create(struct bytes file, const struct store_import_options *o,
                        struct store_import **out, struct mosquitto_db_fault *fault)
{
    struct mosquitto_db db;
    int failure = mosquitto_db_open(file, &db, fault);
    if (failure != 0)
        return failure;
    struct store_import *s = memory_alloc_zero(sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->o = o;
    s->report.version = db.version;
    map_init(&s->by_id, o->seed, id_of);
    map_init(&s->by_client, o->seed, client_of);
    map_init(&s->by_group, o->seed, group_of);
    failure = read_all(s, db, fault);
    if (failure != 0) {
        store_import_destroy(s);
        return failure;
    }
    s->report.taken[IMPORT_SESSIONS] = s->index_count;
    s->report.taken[IMPORT_SUBSCRIPTIONS] = s->subscription_count;
    s->report.taken[IMPORT_QUEUED] = s->entry_count;
    s->report.taken[IMPORT_RETAINED] = s->retained_count;
    s->o = NULL; /* need not live longer */
    *out = s;
    return 0;
}

void store_import_destroy(struct store_import *s)
{
    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->session_count; i++) {
        packet_id_set_fini(&s->sessions[i].sent);
        packet_id_set_fini(&s->sessions[i].received);
    }
    map_fini(&s->by_id);
    map_fini(&s->by_client);
    map_fini(&s->by_group);
    memory_free(s->messages);
    memory_free(s->sessions);
    memory_free(s->subscriptions);
    memory_free(s->entries);
    memory_free(s->retained);
    memory_free(s);
}

const struct import_report *store_import_report(const struct store_import *s)
{
    return &s->report;
}

/* ------------------------------------------------------------------------------ emission ------ */

static int emit_session(const struct store_import *s, const struct session *session,
                        struct import_sink *sink)
{
    int failure = sink->ops->session(sink, &session->view);
    for (uint32_t i = session->first; failure == 0 && i != NONE; i = s->subscriptions[i].next)
        failure = sink->ops->subscription(sink, session->index, &s->subscriptions[i].view);
    uint32_t received = packet_id_set_count(&session->received);
    for (uint32_t i = 0; failure == 0 && i < received; i++)
        failure = sink->ops->received(sink, session->index, session->received.row->ids[i]);
    return failure;
}

static struct import_entry view_of(const struct store_import *s, uint32_t entry)
{
    struct import_entry view = s->entries[entry].view;
    view.session = s->sessions[view.session].index;
    return view;
}

static int emit_message(const struct store_import *s, const struct message *m,
                        struct import_entry *room, struct import_sink *sink)
{
    size_t count = 0;
    for (uint32_t i = m->first; i != NONE; i = s->entries[i].next)
        room[count++] = view_of(s, i);
    assert(count == m->count);
    return sink->ops->queued(sink, &m->view, room, count);
}

/* In the order of the entries, so that the places of a queue mostly rise. */
static int emit_queues(const struct store_import *s, struct import_entry *room,
                       struct import_sink *sink)
{
    for (uint32_t i = 0; i < s->entry_count; i++) {
        uint32_t message = s->entries[i].message;
        struct import_entry view = view_of(s, i);
        int failure = 0;
        if (message == NONE)
            failure = sink->ops->queued(sink, NULL, &view, 1);
        else if (s->messages[message].first == i)
            failure = emit_message(s, &s->messages[message], room, sink);
        if (failure != 0)
            return failure;
    }
    return 0;
}

static size_t queues_max(const struct store_import *s)
{
    size_t max = 0;
    for (uint32_t i = 0; i < s->message_count; i++)
        max = s->messages[i].count > max ? s->messages[i].count : max;
    return max;
}

int store_import_emit(const struct store_import *s, struct import_sink *sink)
{
    struct import_entry *room = memory_alloc(queues_max(s) * sizeof *room);
    if (room == NULL)
        return -ENOMEM;
    int failure = 0;
    for (uint32_t i = 0; failure == 0 && i < s->session_count; i++) {
        if (s->sessions[i].index != NONE)
            failure = emit_session(s, &s->sessions[i], sink);
    }
    if (failure == 0)
        failure = emit_queues(s, room, sink);
    for (uint32_t i = 0; failure == 0 && i < s->retained_count; i++)
        failure = sink->ops->retained(sink, &s->messages[s->retained[i]].view);
    memory_free(room);
    return failure;
}
