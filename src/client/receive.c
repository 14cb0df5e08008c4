/* client/receive.c: one function per Control Packet from the Server.
 *
 * Each returns whether it has filled in an event.  A Server that breaks the protocol is treated as
 * the standard treats a Client that does: it is told why and left alone; nothing it sends can do
 * more harm than that. */
#include "base/memory.h"
#include "client/state.h"
#include <assert.h>
#include <errno.h>

/* ------------------------------------------------------------------------------- CONNACK ------ */

static void learn_limits(struct chappe_client *c, const struct properties *p)
{
    uint16_t alias_max = 0; /* until the Server names one [MQTT-3.2.2-18] */
    if (properties_have(p, PROPERTY_RECEIVE_MAXIMUM))
        c->limits.receive_max = p->receive_maximum;
    if (properties_have(p, PROPERTY_MAXIMUM_QOS))
        c->limits.qos_max = p->maximum_qos;
    if (properties_have(p, PROPERTY_RETAIN_AVAILABLE))
        c->limits.retain_available = p->retain_available != 0;
    if (properties_have(p, PROPERTY_MAXIMUM_PACKET_SIZE) &&
        p->maximum_packet_size < c->limits.packet_size_max)
        c->limits.packet_size_max = p->maximum_packet_size;
    if (properties_have(p, PROPERTY_SERVER_KEEP_ALIVE))
        c->keep_alive_ns = p->server_keep_alive * INT64_C(1000000000); /* [MQTT-3.2.2-21] */
    if (properties_have(p, PROPERTY_TOPIC_ALIAS_MAXIMUM))
        alias_max = p->topic_alias_maximum;
    if (alias_max > c->settings.topic_aliases_out_max)
        alias_max = c->settings.topic_aliases_out_max;
    aliases_out_init(&c->aliases_out, alias_max);
}

static bool learn_client_id(struct chappe_client *c, const struct properties *p)
{
    if (!properties_have(p, PROPERTY_ASSIGNED_CLIENT_IDENTIFIER))
        return true;
    struct bytes id = p->assigned_client_identifier;
    char *copy = memory_alloc(id.size + 1);
    if (copy == NULL)
        return false;
    memcpy(copy, id.data, id.size);
    copy[id.size] = '\0';
    memory_free(c->assigned_id);
    c->assigned_id = copy;
    return true;
}

/* Says PUBREL again for what has got so far [MQTT-4.4.0-1]; PUBLISH follows from the waiting. */
static bool repeat_pubrels(struct chappe_client *c, struct chappe_event *event)
{
    for (struct outgoing *m = NULL; (m = outbox_next_inflight(&c->outbox, m)) != NULL;) {
        assert(m->awaits == AWAITS_PUBCOMP);
        struct packet p = { .type = PACKET_PUBREL, .ack.packet_id = m->packet_id };
        if (client_answer(c, &p, event))
            return true;
    }
    return false;
}

static bool on_accepted(struct chappe_client *c, const struct connack *p,
                        struct chappe_event *event)
{
    learn_limits(c, &p->properties);
    if (!p->session_present)
        arrivals_forget_all(&c->arrivals); /* [MQTT-3.2.2-5] */
    outbox_restart(&c->outbox, p->session_present);
    c->had_session = true;
    c->state = CHAPPE_CONNECTED;
    if (repeat_pubrels(c, event))
        return true;
    event->type = CHAPPE_EVENT_CONNECTED;
    event->session_present = p->session_present;
    event->properties = bytes_out(p->properties.raw);
    return true;
}

static bool on_connack(struct chappe_client *c, const struct packet *p, struct chappe_event *event)
{
    const struct connack *connack = &p->connack;
    if (c->state != CHAPPE_CONNECTING)
        return client_breach(c, REASON_PROTOCOL_ERROR, event);
    if (connack->session_present && c->said_clean)
        return client_breach(c, REASON_PROTOCOL_ERROR, event); /* [MQTT-3.2.2-2] */
    if (!reason_is_error(connack->reason))
        return on_accepted(c, connack, event);
    client_start_closing(c);
    c->end_told = true;
    event->type = CHAPPE_EVENT_REFUSED;
    event->reason = (enum chappe_reason)connack->reason;
    event->properties = bytes_out(connack->properties.raw);
    return true;
}

/* ------------------------------------------------------------------------------- PUBLISH ------ */

/* REASON_SUCCESS, and *topic is what the message is about; or how the Server broke the rules. */
static enum reason resolve_alias(struct chappe_client *c, const struct publish *p,
                                 struct bytes *topic, int *failure)
{
    *topic = p->topic;
    *failure = 0;
    if (!properties_have(&p->properties, PROPERTY_TOPIC_ALIAS))
        return REASON_SUCCESS;
    uint16_t alias = p->properties.topic_alias;
    if (alias > c->aliases_in.max)
        return REASON_TOPIC_ALIAS_INVALID; /* [MQTT-3.1.2-26] */
    if (topic->size > 0) {
        *failure = aliases_in_set(&c->aliases_in, alias, *topic);
        return REASON_SUCCESS;
    }
    *topic = aliases_in_topic(&c->aliases_in, alias);
    return topic->data == NULL ? REASON_PROTOCOL_ERROR : REASON_SUCCESS;
}

/* Is a QoS > 0 message what it claims to be, given what came before? */
static enum reason check_arrival(const struct chappe_client *c, const struct publish *p)
{
    switch (arrivals_at(&c->arrivals, p->packet_id)) {
    case ARRIVAL_NONE:
        if (c->arrivals.count >= c->settings.receive_max)
            return REASON_RECEIVE_MAXIMUM_EXCEEDED; /* [MQTT-3.3.4-7] */
        return REASON_SUCCESS;
    case ARRIVAL_QOS_1:
        return p->qos == 1 ? REASON_SUCCESS : REASON_PROTOCOL_ERROR;
    case ARRIVAL_QOS_2:
    case ARRIVAL_RECEIVED:
        return p->qos == 2 ? REASON_SUCCESS : REASON_PROTOCOL_ERROR;
    }
    return REASON_PROTOCOL_ERROR;
}

static bool hand_out(struct chappe_client *c, const struct publish *p, struct bytes topic,
                     struct chappe_event *event)
{
    if (p->qos > 0) {
        arrivals_set(&c->arrivals, p->packet_id, p->qos == 1 ? ARRIVAL_QOS_1 : ARRIVAL_QOS_2);
        if (!c->settings.manual_acks)
            c->handed_id = p->packet_id;
    }
    event->type = CHAPPE_EVENT_MESSAGE;
    event->packet_id = p->packet_id;
    event->properties = bytes_out(p->properties.raw);
    event->message = (struct chappe_message){
        .topic = bytes_out(topic),
        .payload = bytes_out(p->payload),
        .qos = p->qos,
        .retain = p->retain,
        .dup = p->dup,
        .properties = event->properties,
    };
    return true;
}

static bool on_publish(struct chappe_client *c, const struct packet *packet,
                       struct chappe_event *event)
{
    const struct publish *p = &packet->publish;
    struct bytes topic;
    int failure;
    enum reason why = resolve_alias(c, p, &topic, &failure);
    if (why == REASON_SUCCESS && p->qos > 0)
        why = check_arrival(c, p);
    if (why != REASON_SUCCESS)
        return client_breach(c, why, event);
    if (failure != 0)
        return client_fail(c, failure, REASON_SUCCESS, event);

    /* We have it since the first time: the same answer, no second copy [MQTT-4.3.3-10]. */
    if (p->qos == 2 && arrivals_at(&c->arrivals, p->packet_id) == ARRIVAL_RECEIVED) {
        struct packet pubrec = { .type = PACKET_PUBREC, .ack.packet_id = p->packet_id };
        return client_answer(c, &pubrec, event);
    }
    return hand_out(c, p, topic, event);
}

/* [MQTT-4.3.3-11]; for an identifier we do not know 5.0 has a word [MQTT-3.7.2-1]. */
static bool on_pubrel(struct chappe_client *c, const struct packet *p, struct chappe_event *event)
{
    struct packet pubcomp = { .type = PACKET_PUBCOMP, .ack.packet_id = p->ack.packet_id };
    enum arrival state = arrivals_at(&c->arrivals, p->ack.packet_id);
    if (state == ARRIVAL_QOS_1 || state == ARRIVAL_QOS_2)
        return client_breach(c, REASON_PROTOCOL_ERROR, event); /* before our PUBREC */
    if (state == ARRIVAL_RECEIVED)
        arrivals_set(&c->arrivals, p->ack.packet_id, ARRIVAL_NONE);
    else
        pubcomp.ack.reason = REASON_PACKET_IDENTIFIER_NOT_FOUND;
    return client_answer(c, &pubcomp, event);
}

/* ------------------------------------------------------------- PUBACK, PUBREC, PUBCOMP ------ */

static bool on_done(struct chappe_client *c, struct outgoing *m, const struct ack *ack,
                    struct chappe_event *event)
{
    event->type = CHAPPE_EVENT_PUBLISHED;
    event->packet_id = m->packet_id;
    event->reason = (enum chappe_reason)ack->reason;
    event->properties = bytes_out(ack->properties.raw);
    packet_ids_give_back(&c->ids, m->packet_id);
    outbox_remove(&c->outbox, m);
    return true;
}

/* An identifier nobody knows belongs to a message we gave up with its Session: no harm done. */
static bool on_puback(struct chappe_client *c, const struct packet *p, struct chappe_event *event)
{
    struct outgoing *m = outbox_find(&c->outbox, p->ack.packet_id);
    if (m == NULL)
        return false;
    if (m->awaits != AWAITS_PUBACK)
        return client_breach(c, REASON_PROTOCOL_ERROR, event);
    return on_done(c, m, &p->ack, event);
}

static bool on_pubrec(struct chappe_client *c, const struct packet *p, struct chappe_event *event)
{
    struct packet pubrel = { .type = PACKET_PUBREL, .ack.packet_id = p->ack.packet_id };
    struct outgoing *m = outbox_find(&c->outbox, p->ack.packet_id);
    if (m != NULL && m->awaits == AWAITS_PUBACK)
        return client_breach(c, REASON_PROTOCOL_ERROR, event);
    if (m != NULL && reason_is_error(p->ack.reason))
        return on_done(c, m, &p->ack, event); /* refused: no PUBREL [MQTT-4.3.3-4] */
    if (m == NULL)
        pubrel.ack.reason = REASON_PACKET_IDENTIFIER_NOT_FOUND;
    else
        m->awaits = AWAITS_PUBCOMP;
    return client_answer(c, &pubrel, event);
}

static bool on_pubcomp(struct chappe_client *c, const struct packet *p, struct chappe_event *event)
{
    struct outgoing *m = outbox_find(&c->outbox, p->ack.packet_id);
    if (m == NULL)
        return false;
    if (m->awaits != AWAITS_PUBCOMP)
        return client_breach(c, REASON_PROTOCOL_ERROR, event);
    return on_done(c, m, &p->ack, event);
}

/* -------------------------------------------------------------------- SUBACK, UNSUBACK ------ */

void client_forget_request(struct chappe_client *c, struct request *r)
{
    packet_ids_give_back(&c->ids, r->packet_id);
    list_remove(&r->link);
    memory_free(r);
}

static struct request *request_find(const struct chappe_client *c, uint16_t packet_id)
{
    for (struct list *at = c->requests.next; at != &c->requests; at = at->next) {
        struct request *r = container_of(at, struct request, link);
        if (r->packet_id == packet_id)
            return r;
    }
    return NULL;
}

/* An answer for each filter [MQTT-3.8.4-5] [MQTT-3.10.4-5]; an UNSUBACK of 3.x has none at all. */
static bool on_suback(struct chappe_client *c, const struct packet *p, struct chappe_event *event)
{
    bool is_suback = p->type == PACKET_SUBACK;
    struct request *r = request_find(c, p->suback.packet_id);
    if (r == NULL)
        return false;
    if (r->type != (is_suback ? PACKET_SUBSCRIBE : PACKET_UNSUBSCRIBE))
        return client_breach(c, REASON_PROTOCOL_ERROR, event);
    bool has_reasons = is_suback || version_has_reason_codes(client_version(c));
    if (has_reasons && p->suback.reasons.size != r->count)
        return client_breach(c, REASON_PROTOCOL_ERROR, event);

    event->type = is_suback ? CHAPPE_EVENT_SUBSCRIBED : CHAPPE_EVENT_UNSUBSCRIBED;
    event->packet_id = p->suback.packet_id;
    event->reasons = bytes_out(p->suback.reasons);
    event->properties = bytes_out(p->suback.properties.raw);
    client_forget_request(c, r);
    return true;
}

/* ----------------------------------------------------------- PINGRESP, DISCONNECT, AUTH ------ */

static bool on_pingresp(struct chappe_client *c, const struct packet *p, struct chappe_event *event)
{
    c->ping_pending = false;
    return false;
}

/* The Server of a 3.x connection has no DISCONNECT to send [MQTT3-3.14]. */
static bool on_disconnect(struct chappe_client *c, const struct packet *p,
                          struct chappe_event *event)
{
    if (!version_has_reason_codes(client_version(c)))
        return client_breach(c, REASON_PROTOCOL_ERROR, event);
    client_start_closing(c);
    c->end_told = true;
    event->type = CHAPPE_EVENT_DISCONNECTED;
    event->reason = (enum chappe_reason)p->disconnect.reason;
    event->properties = bytes_out(p->disconnect.properties.raw);
    return true;
}

/* Only in answer to a method that we named, and naming the same [MQTT-4.12.0-5]
 * [MQTT-4.12.0-6]. */
static bool on_auth(struct chappe_client *c, const struct packet *p, struct chappe_event *event)
{
    const struct properties *said = &p->disconnect.properties, *ours = &c->settings.granted;
    if (!properties_have(ours, PROPERTY_AUTHENTICATION_METHOD))
        return client_breach(c, REASON_PROTOCOL_ERROR, event);
    if (properties_have(said, PROPERTY_AUTHENTICATION_METHOD) &&
        !bytes_equal(said->authentication_method, ours->authentication_method))
        return client_breach(c, REASON_PROTOCOL_ERROR, event);
    event->type = CHAPPE_EVENT_AUTH;
    event->reason = (enum chappe_reason)p->disconnect.reason;
    event->properties = bytes_out(said->raw);
    return true;
}

/* ------------------------------------------------------------------------------ dispatch ------ */

typedef bool packet_handler(struct chappe_client *c, const struct packet *p,
                            struct chappe_event *event);

/* What a Server may send; the other types have no handler. */
static packet_handler *const handlers[16] = {
    [PACKET_CONNACK] = on_connack,   [PACKET_PUBLISH] = on_publish,
    [PACKET_PUBACK] = on_puback,     [PACKET_PUBREC] = on_pubrec,
    [PACKET_PUBREL] = on_pubrel,     [PACKET_PUBCOMP] = on_pubcomp,
    [PACKET_SUBACK] = on_suback,     [PACKET_UNSUBACK] = on_suback,
    [PACKET_PINGRESP] = on_pingresp, [PACKET_DISCONNECT] = on_disconnect,
    [PACKET_AUTH] = on_auth,
};

/* CONNACK comes first [MQTT-3.2.0-1]; before it 5.0 may authenticate, or say why it will not go
 * on. */
static bool may_come_now(const struct chappe_client *c, enum packet_type type)
{
    if (c->state == CHAPPE_CONNECTED || type == PACKET_CONNACK)
        return true;
    return client_version(c) == VERSION_5_0 && (type == PACKET_AUTH || type == PACKET_DISCONNECT);
}

/* A Server that knows only 3.1.1 refuses 5.0 in its own words: return code 1. */
static bool is_old_refusal(const struct chappe_client *c, struct bytes whole)
{
    return c->state == CHAPPE_CONNECTING && client_version(c) == VERSION_5_0 &&
           bytes_equal(whole, BYTES("\x20\x02\x00\x01"));
}

bool client_on_packet(struct chappe_client *c, struct bytes whole, enum packet_type type,
                      struct chappe_event *event)
{
    if (is_old_refusal(c, whole))
        whole = BYTES("\x20\x03\x00\x84\x00");
    if (handlers[type] == NULL || !may_come_now(c, type))
        return client_breach(c, REASON_PROTOCOL_ERROR, event);
    struct packet p;
    enum reason why;
    if (packet_decode(whole, client_version(c), &p, &why) != DECODE_DONE)
        return client_breach(c, why, event);
    if (p.type == PACKET_CONNACK && !reason_is_error(p.connack.reason) &&
        !learn_client_id(c, &p.connack.properties))
        return client_fail(c, -ENOMEM, REASON_SUCCESS, event);
    struct tracer tracer = client_tracer(c);
    trace_received(&tracer, &p);
    return handlers[type](c, &p, event);
}
