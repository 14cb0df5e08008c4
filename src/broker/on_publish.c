/* broker/on_publish.c: PUBLISH (MQTT 5.0, section 3.3; 3.1.1, section 3.3).
 *
 *     alias -> topic -> may it? -> (QoS 2: is it new?) -> route -> acknowledge
 *
 * The message stays a view into the receive buffer until somebody has to keep it. */
#include "auth/auth.h"
#include "base/hash.h"
#include "base/uninitialized.h"
#include "broker/answers.h"
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/deposit.h"
#include "broker/durable.h"
#include "broker/on.h"
#include "broker/server.h"
#include "mqtt/utf8.h"

#define SECOND_NS INT64_C(1000000000)

/* PUBACK or PUBREC.  Versions without reason codes get a plain one, whatever became of it
 * [MQTT3-3.3.5-2]. */
static void acknowledge(struct connection *c, uint8_t qos, uint16_t packet_id, enum reason reason)
{
    enum packet_type type = qos == 1 ? PACKET_PUBACK : PACKET_PUBREC;
    struct answer *a;
    if (reason == REASON_PACKET_TOO_LARGE) /* no reason of these packets */
        reason = REASON_QUOTA_EXCEEDED;
    if (qos == 0)
        return;
    if (c->answers == NULL)
        connection_send_ack(c, type, packet_id, reason);
    else if ((a = answer_ack(c, type, packet_id, reason)) != NULL)
        answer_safe(a); /* in its turn */
}

/* The same once what it promises is on the disk, or nobody needs it there any more. */
static void acknowledge_later(struct connection *c, const struct publish *p,
                              const struct publication *publication, enum reason reason)
{
    struct worker *w = c->worker;
    struct deposit *d = publication->deposit;
    if (p->qos == 0 || c->state != CONNECTION_OPEN)
        return;
    if (!publication->waits && (d == NULL || d->is_settled)) {
        acknowledge(c, p->qos, p->packet_id, reason);
        return;
    }
    struct answer *a =
        answer_ack(c, p->qos == 1 ? PACKET_PUBACK : PACKET_PUBREC, p->packet_id, reason);
    if (a == NULL)
        return;
    if (publication->waits)
        staging_answer(w, a);
    else
        d->answer = a;
}

/* Versions without reason codes can only say that all is well.  For what we may not take from this
 * Client that is the custom; but a message that we had no room for, it must be able to send again.
 */
static bool is_unsayable(const struct connection *c, uint8_t qos, enum reason reason)
{
    return reason == REASON_QUOTA_EXCEEDED && qos > 0 && !version_has_reason_codes(c->version);
}

void on_publish_refused(struct connection *c, uint8_t qos, uint16_t packet_id, enum reason reason)
{
    if (version_has_reason_codes(c->version) && qos > 0 && packet_id != 0)
        acknowledge(c, qos, packet_id, reason);
    else
        connection_fail(c, reason, "protocol error");
}

/* What this Client may not do at all.  SUCCESS, or why the connection ends. */
static enum reason check_limits(const struct connection *c, const struct publish *p)
{
    const struct config *config = c->worker->config;
    if (p->qos > config->listeners[c->listener].max_qos) /* [MQTT-3.2.2-11] */
        return REASON_QOS_NOT_SUPPORTED;
    if (p->retain && !config->retain_available) /* [MQTT-3.2.2-14] */
        return REASON_RETAIN_NOT_SUPPORTED;
    if (version_has_properties(c->version) && p->properties.subscription_id_count > 0)
        return REASON_PROTOCOL_ERROR; /* [MQTT-3.3.4-6] */
    return REASON_SUCCESS;
}

/* The Topic Name that is meant, by name or by alias (section 3.3.2.3.4). */
static enum reason resolve_topic(struct connection *c, const struct publish *p, struct bytes *topic)
{
    bool has_alias =
        version_has_properties(c->version) && properties_have(&p->properties, PROPERTY_TOPIC_ALIAS);
    uint16_t alias = has_alias ? p->properties.topic_alias : 0;
    *topic = p->topic;
    if (!has_alias)
        return p->topic.size > 0 ? REASON_SUCCESS : REASON_PROTOCOL_ERROR;
    if (alias == 0 || alias > c->alias_in_max) /* [MQTT-3.3.2-8] [MQTT-3.3.2-9] */
        return REASON_TOPIC_ALIAS_INVALID;
    struct connection_aliases *aliases = connection_aliases(c);
    if (aliases == NULL)
        return REASON_QUOTA_EXCEEDED;
    if (p->topic.size == 0)
        return alias_in_find(&aliases->in, alias, topic) ? REASON_SUCCESS : REASON_PROTOCOL_ERROR;
    return alias_in_set(&aliases->in, alias, p->topic) == 0 ? REASON_SUCCESS
                                                            : REASON_QUOTA_EXCEEDED;
}

/* What is wrong with this one message: it is not delivered, the connection goes on.  That the topic
 * is a valid Topic Name is known: the codec refuses any other, an alias stands for one that it has
 * seen. */
static enum reason check_message(const struct connection *c, const struct publish *p,
                                 struct bytes topic)
{
    const struct client *client = c->client;
    uint32_t max = c->worker->config->message_size_limit;
    if (version_has_properties(c->version) &&
        properties_have(&p->properties, PROPERTY_RESPONSE_TOPIC) &&
        !topic_name_is_valid(p->properties.response_topic)) /* [MQTT-3.3.2-14] */
        return REASON_TOPIC_NAME_INVALID;
    if (max > 0 && p->payload.size > max)
        return REASON_PACKET_TOO_LARGE;
    if (!auth_permits(client_id_of(client), client_username(client), AUTH_PUBLISH, topic))
        return REASON_NOT_AUTHORIZED;
    return REASON_SUCCESS;
}

/* The properties that travel on.  Mostly the list as it came; else a copy in scratch memory. */
static bool forwarded_properties(struct connection *c, const struct publish *p, struct bytes *out)
{
    const struct properties *properties = &p->properties;
    *out = (struct bytes){ 0 };
    if (!version_has_properties(c->version) || properties->raw.size == 0)
        return true;
    if (!properties_have(properties, PROPERTY_TOPIC_ALIAS) &&
        !properties_have(properties, PROPERTY_MESSAGE_EXPIRY_INTERVAL)) {
        *out = properties->raw;
        return true;
    }
    uint8_t *copy = arena_alloc(&c->worker->scratch, properties->raw.size);
    if (copy == NULL)
        return false;
    *out = bytes_of(copy, message_properties_copy(properties->raw, copy));
    return true;
}

static int64_t expires_ns(const struct connection *c, const struct publish *p)
{
    const struct worker *w = c->worker;
    if (version_has_properties(c->version) &&
        properties_have(&p->properties, PROPERTY_MESSAGE_EXPIRY_INTERVAL))
        return w->now_ns + (int64_t)p->properties.message_expiry_interval * SECOND_NS;
    if (p->retain && w->config->retain_expiry_interval_s > 0)
        return w->now_ns + w->config->retain_expiry_interval_s * SECOND_NS;
    return MESSAGE_NEVER;
}

static enum reason reason_of(enum published how)
{
    switch (how) {
    case PUBLISHED:
        return REASON_SUCCESS;
    case PUBLISHED_TO_NOBODY:
        return REASON_NO_MATCHING_SUBSCRIBERS;
    case PUBLISHED_NOT_RETAINED:
    case PUBLISHED_REFUSED:
    case PUBLISHED_NO_MEMORY:
        break;
    }
    return REASON_QUOTA_EXCEEDED;
}

/* May the packet go to subscribers as it came?  Not if something in it is for us alone. */
static bool is_for_everybody(const struct connection *c, const struct publish *p,
                             const struct message *m)
{
    return p->qos == 0 && !p->dup && p->topic.size > 0 && m->expires_ns == MESSAGE_NEVER &&
           (!version_has_properties(c->version) || m->properties.size == p->properties.raw.size);
}

/* QoS 2 from a durable Session: that the Packet Identifier is in use becomes durable together with
 * the message.  0 or -ENOMEM. */
static int store_receipt(struct connection *c, const struct publish *p,
                         struct publication *publication)
{
    const struct client *client = c->client;
    if (p->qos != 2 || client->durable == NULL || !staging_is_on(c->worker))
        return 0;
    struct durable_key key = { .kind = KEY_RECEIVED,
                               .session = atomic_load(&client->durable->key),
                               .number = p->packet_id };
    publication->waits = true;
    staging_hurry(c->worker);
    return staging_put(c->worker, &key, (struct bytes){ 0 });
}

/* Routes and, if it was taken, acknowledges. */
static enum reason route(struct connection *c, const struct publish *p, struct bytes topic,
                         struct bytes whole)
{
    struct worker *w = c->worker;
    struct message view = { .expires_ns = expires_ns(c, p),
                            .origin = c->client->handle,
                            .topic = topic,
                            .payload = p->payload,
                            .qos = p->qos,
                            .retain = p->retain };
    struct publication publication = { .message = &view,
                                       .publisher_hash = c->client->publisher_hash };
    struct arrival arrival UNINITIALIZED;
    if (!forwarded_properties(c, p, &view.properties))
        return REASON_QUOTA_EXCEEDED;
    if (whole.size >= ARRIVAL_SIZE_MIN) {
        arrival.in = w->reading;
        arrival.packet = whole;
        arrival.has_properties = version_has_properties(c->version);
        arrival.is_for_everybody = is_for_everybody(c, p, &view);
        publication.arrival = &arrival;
    }
    enum reason why = reason_of(publication_route(w, &publication));
    if (!reason_is_error(why) && store_receipt(c, p, &publication) != 0)
        why = REASON_QUOTA_EXCEEDED;
    if (!reason_is_error(why))
        acknowledge_later(c, p, &publication, why);
    publication_fini(&publication);
    return why;
}

/* QoS 2, exactly once: SUCCESS with *is_new, or the reason to end the connection. */
static enum reason receive(struct connection *c, const struct publish *p, bool *is_new)
{
    *is_new = true;
    if (p->qos < 2)
        return REASON_SUCCESS;
    switch (session_on_publish_qos2(c->client->session, p->packet_id, c->receive_max)) {
    case RECEIPT_NEW:
        return REASON_SUCCESS;
    case RECEIPT_REPEAT:
        *is_new = false;
        return REASON_SUCCESS;
    case RECEIPT_OVER_MAX: /* [MQTT-3.3.4-7] */
        return REASON_RECEIVE_MAXIMUM_EXCEEDED;
    case RECEIPT_NO_MEMORY:
        break;
    }
    return REASON_QUOTA_EXCEEDED;
}

/* Publishers wait while others cannot keep up with them. */
static void apply_back_pressure(struct connection *c)
{
    struct worker *w = c->worker;
    if (post_is_over_budget(w))
        connection_pause(c, PAUSED_BY_MAIL);
    if (staging_is_over_budget(w))
        connection_pause(c, PAUSED_BY_STORE);
    if (worker_is_short_of_memory(w))
        connection_pause(c, PAUSED_BY_MEMORY);
}

/* The first PUBREC may still be waiting. */
static void repeat_receipt(struct connection *c, const struct publish *p)
{
    struct answer *a;
    if (!staging_is_on(c->worker) || staging_is_safe(c->worker))
        acknowledge(c, p->qos, p->packet_id, REASON_SUCCESS);
    else if ((a = answer_ack(c, PACKET_PUBREC, p->packet_id, REASON_SUCCESS)) != NULL)
        staging_answer(c->worker, a);
}

void on_publish(struct connection *c, const struct publish *p, struct bytes whole)
{
    struct worker *w = c->worker;
    struct bytes topic;
    bool is_new;
    metrics_add(&w->metrics, METRIC_publish_received, 1);
    metrics_add(&w->metrics, METRIC_publish_bytes_received, (int64_t)p->payload.size);

    enum reason why = check_limits(c, p);
    if (why == REASON_SUCCESS)
        why = resolve_topic(c, p, &topic);
    if (why == REASON_SUCCESS)
        why = receive(c, p, &is_new);
    if (why != REASON_SUCCESS) {
        connection_fail(c, why,
                        why == REASON_TOPIC_ALIAS_INVALID        ? "topic alias invalid"
                        : why == REASON_QOS_NOT_SUPPORTED        ? "QoS not supported"
                        : why == REASON_RETAIN_NOT_SUPPORTED     ? "retain not supported"
                        : why == REASON_RECEIVE_MAXIMUM_EXCEEDED ? "receive maximum exceeded"
                                                                 : "protocol error");
        return;
    }
    if (!is_new) { /* [MQTT-4.3.3-10] */
        repeat_receipt(c, p);
        return;
    }
    bool is_acknowledged = false;
    why = check_message(c, p, topic);
    if (why == REASON_SUCCESS && p->qos == 2 && c->client->durable != NULL &&
        !client_may_be_stored(w, NULL, true))
        why =
            REASON_QUOTA_EXCEEDED; /* the disk is full, and its Packet Identifier has to go there */
    if (why == REASON_SUCCESS) {
        why = route(c, p, topic, whole);
        is_acknowledged = !reason_is_error(why);
    }
    if (reason_is_error(why))
        metrics_add(&w->metrics, METRIC_publish_refused, 1);
    if (p->qos == 2 && reason_is_error(why)) /* the Packet Identifier is free again */
        (void)session_on_pubrel(c->client->session, p->packet_id);
    if (is_unsayable(c, p->qos, why)) { /* [MQTT3-4.8.0-2] */
        connection_fail(c, why, "message not taken");
        return;
    }
    if (!is_acknowledged)
        acknowledge(c, p->qos, p->packet_id, why);
    apply_back_pressure(c);
}
