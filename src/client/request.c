/* client/request.c: what the application asks for, checked and put into packets. */
#include "base/memory.h"
#include "client/state.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"
#include <errno.h>

enum {
    STRING_SIZE_MAX = 65535,
    OUTPUT_BYTES_MAX = 1024 * 1024, /* QoS > 0 stays in its queue while so much is unsent */
};

static int send_limited(struct chappe_client *c, const struct packet *p)
{
    if (packet_size(p, client_version(c)) > c->limits.packet_size_max)
        return -EMSGSIZE; /* [MQTT-3.2.2-15] */
    return client_send(c, p);
}

/* ------------------------------------------------------------------------------- PUBLISH ------ */

enum reason client_may_publish(const struct chappe_client *c, const struct publish *p)
{
    if (p->qos > c->limits.qos_max)
        return REASON_QOS_NOT_SUPPORTED; /* [MQTT-3.2.2-11] */
    if (p->retain && !c->limits.retain_available)
        return REASON_RETAIN_NOT_SUPPORTED; /* [MQTT-3.2.2-14] */
    size_t size = publish_head_size(p, client_version(c)) + p->payload.size;
    if (size > c->limits.packet_size_max)
        return REASON_PACKET_TOO_LARGE; /* [MQTT-3.2.2-15] */
    return REASON_SUCCESS;
}

/* An alias may save the topic.  Where the application brings its own, ours stay out of its way. */
int client_send_publish(struct chappe_client *c, const struct publish *p)
{
    struct packet packet = { .type = PACKET_PUBLISH, .publish = *p };
    struct publish *to_send = &packet.publish;
    bool is_new;
    uint16_t alias = aliases_out_find(&c->aliases_out, p->topic, &is_new);
    if (alias != 0) {
        to_send->properties.topic_alias = alias;
        properties_add(&to_send->properties, PROPERTY_TOPIC_ALIAS);
        if (!is_new)
            to_send->topic = BYTES("");
        if (is_new &&
            publish_head_size(to_send, VERSION_5_0) + p->payload.size > c->limits.packet_size_max)
            to_send->properties.present =
                0; /* three bytes too many; the Server never hears of it */
    }
    return client_send(c, &packet);
}

static struct publish publish_of(const struct outgoing *m)
{
    return (struct publish){
        .dup = m->was_sent,
        .retain = m->retain,
        .qos = m->qos,
        .packet_id = m->packet_id,
        .topic = m->topic,
        .payload = m->payload,
        .properties.raw = m->properties,
    };
}

/* The window: what we allow ourselves and what the Server takes [MQTT-3.3.4-9].  PUBREL counts as
 * well, so that a Server which counts strictly is never given one too many. */
static bool window_is_open(const struct chappe_client *c)
{
    size_t max = c->settings.inflight_max < c->limits.receive_max ? c->settings.inflight_max
                                                                  : c->limits.receive_max;
    return c->outbox.inflight_count < max && c->out.size - c->out_used < OUTPUT_BYTES_MAX;
}

void client_send_waiting(struct chappe_client *c)
{
    struct outgoing *m;
    while (window_is_open(c) && (m = outbox_first_waiting(&c->outbox)) != NULL) {
        struct publish p = publish_of(m);
        enum reason why = client_may_publish(c, &p);
        if (why != REASON_SUCCESS) {
            outbox_drop(&c->outbox, m, 0, (uint8_t)why);
            continue;
        }
        if (client_send_publish(c, &p) != 0)
            return; /* no memory now: it goes on waiting */
        outbox_mark_sent(&c->outbox, m);
    }
}

static int publish_at_once(struct chappe_client *c, const struct publish *p)
{
    if (c->state != CHAPPE_CONNECTED)
        return -ENOTCONN;
    enum reason why = client_may_publish(c, p);
    if (why != REASON_SUCCESS)
        return why == REASON_PACKET_TOO_LARGE ? -EMSGSIZE : -ENOTSUP;
    size_t unsent = c->out.size - c->out_used;
    if (unsent > 0 && unsent + p->payload.size > c->settings.queue_bytes_max)
        return -ENOBUFS;
    return client_send_publish(c, p);
}

static int publish_later(struct chappe_client *c, const struct publish *p, uint16_t *packet_id)
{
    if (c->outbox.count > 0 && c->outbox.bytes + p->payload.size > c->settings.queue_bytes_max)
        return -ENOBUFS;
    uint16_t id = packet_ids_take(&c->ids);
    if (id == 0)
        return -ENOBUFS;
    struct outgoing *m = outbox_add(&c->outbox, p->topic, p->payload, p->properties.raw);
    if (m == NULL) {
        packet_ids_give_back(&c->ids, id);
        return -ENOMEM;
    }
    m->packet_id = id;
    m->qos = p->qos;
    m->retain = p->retain;
    if (packet_id != NULL)
        *packet_id = id;
    if (c->state == CHAPPE_CONNECTED)
        client_send_waiting(c);
    return 0;
}

int chappe_client_publish(struct chappe_client *c, const struct chappe_message *message,
                          uint16_t *packet_id)
{
    struct properties decoded;
    if (!message_is_valid(message, PACKET_PUBLISH, client_version(c), &decoded))
        return -EINVAL;
    struct publish p = {
        .retain = message->retain,
        .qos = (uint8_t)message->qos,
        .topic = bytes_in(message->topic),
        .payload = bytes_in(message->payload),
        .properties.raw = bytes_in(message->properties),
    };
    return p.qos == 0 ? publish_at_once(c, &p) : publish_later(c, &p, packet_id);
}

/* ------------------------------------------------------------- SUBSCRIBE, UNSUBSCRIBE ------ */

static bool filter_is_valid(struct bytes filter, bool *is_shared)
{
    struct bytes share, rest;
    enum share_syntax syntax = topic_filter_split_share(filter, &share, &rest);
    *is_shared = syntax == SHARE_VALID;
    return syntax != SHARE_INVALID && filter.size <= STRING_SIZE_MAX &&
           topic_filter_is_valid(rest, NULL) && utf8_is_valid(filter);
}

static bool subscription_is_valid(const struct chappe_subscription *s, enum version version)
{
    bool is_shared;
    if (!filter_is_valid(bytes_in(s->filter), &is_shared))
        return false;
    if ((s->options & SUBSCRIBE_QOS) == 3 ||
        s->options > (2 | SUBSCRIBE_NO_LOCAL | SUBSCRIBE_RETAIN_AS_PUBLISHED | 0x20))
        return false; /* [MQTT-3.8.3-5] */
    if ((s->options & SUBSCRIBE_RETAIN_HANDLING) == SUBSCRIBE_RETAIN_HANDLING)
        return false;
    if (is_shared && (s->options & SUBSCRIBE_NO_LOCAL) != 0)
        return false; /* [MQTT-3.8.3-4] */
    return version == VERSION_5_0 || s->options <= 2;
}

static int append_filter(struct buffer *list, struct bytes filter)
{
    uint8_t *at = buffer_reserve(list, 2 + filter.size);
    if (at == NULL)
        return -ENOMEM;
    at[0] = (uint8_t)(filter.size >> 8);
    at[1] = (uint8_t)filter.size;
    memcpy(at + 2, filter.data, filter.size);
    buffer_commit(list, 2 + filter.size);
    return 0;
}

/* Sends the packet and remembers that an answer is due. */
static int send_request(struct chappe_client *c, struct packet *p, uint16_t *packet_id)
{
    struct request *r = memory_alloc_zero(sizeof *r);
    if (r == NULL)
        return -ENOMEM;
    list_init(&r->link);
    r->type = p->type;
    r->count = p->subscribe.count;
    r->packet_id = p->subscribe.packet_id = packet_ids_take(&c->ids);
    if (r->packet_id == 0) {
        memory_free(r);
        return -ENOBUFS;
    }
    list_push_back(&c->requests, &r->link);
    int failure = send_limited(c, p);
    if (failure != 0)
        client_forget_request(c, r);
    else if (packet_id != NULL)
        *packet_id = r->packet_id;
    return failure;
}

static int request(struct chappe_client *c, struct packet *p, const struct buffer *filters,
                   int failure, uint16_t *packet_id)
{
    if (failure != 0)
        return failure;
    p->subscribe.filters = buffer_bytes(filters);
    return send_request(c, p, packet_id);
}

int chappe_client_subscribe(struct chappe_client *c,
                            const struct chappe_subscription *subscriptions, size_t count,
                            struct chappe_bytes properties, uint16_t *packet_id)
{
    struct properties decoded;
    if (c->state != CHAPPE_CONNECTED)
        return -ENOTCONN;
    if (count == 0 || count > UINT32_MAX ||
        !list_is_valid(bytes_in(properties), PACKET_SUBSCRIBE, client_version(c), &decoded))
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        if (!subscription_is_valid(&subscriptions[i], client_version(c)))
            return -EINVAL;
    }

    struct buffer list = { 0 };
    int failure = 0;
    for (size_t i = 0; i < count && failure == 0; i++) {
        failure = append_filter(&list, bytes_in(subscriptions[i].filter));
        if (failure == 0)
            failure = buffer_append(&list, bytes_of(&subscriptions[i].options, 1));
    }
    struct packet p = { .type = PACKET_SUBSCRIBE };
    p.subscribe.count = (uint32_t)count;
    p.subscribe.properties.raw = bytes_in(properties);
    failure = request(c, &p, &list, failure, packet_id);
    buffer_fini(&list);
    return failure;
}

int chappe_client_unsubscribe(struct chappe_client *c, const struct chappe_bytes *filters,
                              size_t count, struct chappe_bytes properties, uint16_t *packet_id)
{
    struct properties decoded;
    bool is_shared;
    if (c->state != CHAPPE_CONNECTED)
        return -ENOTCONN;
    if (count == 0 || count > UINT32_MAX ||
        !list_is_valid(bytes_in(properties), PACKET_UNSUBSCRIBE, client_version(c), &decoded))
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        if (!filter_is_valid(bytes_in(filters[i]), &is_shared))
            return -EINVAL;
    }

    struct buffer list = { 0 };
    int failure = 0;
    for (size_t i = 0; i < count && failure == 0; i++)
        failure = append_filter(&list, bytes_in(filters[i]));
    struct packet p = { .type = PACKET_UNSUBSCRIBE };
    p.subscribe.count = (uint32_t)count;
    p.subscribe.properties.raw = bytes_in(properties);
    failure = request(c, &p, &list, failure, packet_id);
    buffer_fini(&list);
    return failure;
}

/* ------------------------------------------------------------- PUBACK, PUBREC, AUTH, end ------ */

int client_acknowledge(struct chappe_client *c, uint16_t packet_id, enum reason reason,
                       struct bytes properties)
{
    enum arrival state = arrivals_at(&c->arrivals, packet_id);
    if (state != ARRIVAL_QOS_1 && state != ARRIVAL_QOS_2)
        return -ENOENT;
    struct packet p = { .type = state == ARRIVAL_QOS_1 ? PACKET_PUBACK : PACKET_PUBREC };
    p.ack.packet_id = packet_id;
    p.ack.reason = reason;
    p.ack.properties.raw = properties;
    int failure = send_limited(c, &p);
    if (failure != 0)
        return failure;
    /* A PUBREC that refuses ends the exchange [MQTT-4.3.3-4]. */
    bool awaits_pubrel = state == ARRIVAL_QOS_2 && !reason_is_error(reason);
    arrivals_set(&c->arrivals, packet_id, awaits_pubrel ? ARRIVAL_RECEIVED : ARRIVAL_NONE);
    return 0;
}

int chappe_client_acknowledge(struct chappe_client *c, uint16_t packet_id,
                              enum chappe_reason reason, struct chappe_bytes properties)
{
    struct properties decoded;
    if (c->state != CHAPPE_CONNECTED)
        return -ENOTCONN;
    if (!list_is_valid(bytes_in(properties), PACKET_PUBACK, client_version(c), &decoded))
        return -EINVAL;
    bool is_known =
        (unsigned)reason <= UINT8_MAX && reason_is_allowed((uint8_t)reason, PACKET_PUBACK);
    if (!is_known || (reason != CHAPPE_SUCCESS && !version_has_reason_codes(client_version(c))))
        return -EINVAL;
    if (packet_id == c->handed_id)
        c->handed_id = 0;
    return client_acknowledge(c, packet_id, (enum reason)reason, bytes_in(properties));
}

/* The properties of an AUTH: what the application gives, with the method of CONNECT in front unless
 * it names it itself.  They must make sense together [MQTT-4.12.0-5]. */
static int auth_properties(const struct chappe_client *c, struct bytes given, struct buffer *list)
{
    struct properties p = { .raw = given };
    p.authentication_method = c->settings.granted.authentication_method;
    struct chappe_property method;
    if (!chappe_property_find(bytes_out(given), CHAPPE_AUTHENTICATION_METHOD, &method))
        properties_add(&p, PROPERTY_AUTHENTICATION_METHOD);
    else if (!bytes_equal(bytes_in(method.value), p.authentication_method))
        return -EINVAL;

    size_t size = properties_size(&p);
    uint8_t *at = buffer_reserve(list, size);
    if (at == NULL)
        return -ENOMEM;
    (void)properties_encode(&p, at);
    buffer_commit(list, size);
    struct properties decoded;
    return list_is_valid(buffer_bytes(list), PACKET_AUTH, VERSION_5_0, &decoded) ? 0 : -EINVAL;
}

int chappe_client_authenticate(struct chappe_client *c, enum chappe_reason reason,
                               struct chappe_bytes properties)
{
    if (c->state != CHAPPE_CONNECTED && c->state != CHAPPE_CONNECTING)
        return -ENOTCONN;
    if (!properties_have(&c->settings.granted, PROPERTY_AUTHENTICATION_METHOD))
        return -EINVAL; /* [MQTT-4.12.0-7] */
    bool is_anew = reason == CHAPPE_REAUTHENTICATE && c->state == CHAPPE_CONNECTED;
    if (reason != CHAPPE_CONTINUE_AUTHENTICATION && !is_anew)
        return -EINVAL;

    struct buffer list = { 0 };
    int failure = auth_properties(c, bytes_in(properties), &list);
    if (failure == 0) {
        struct packet p = { .type = PACKET_AUTH };
        p.disconnect.reason = (enum reason)reason;
        p.disconnect.properties.raw = buffer_bytes(&list);
        failure = send_limited(c, &p);
    }
    buffer_fini(&list);
    return failure;
}

static bool disconnect_is_valid(const struct chappe_client *c, enum chappe_reason reason,
                                struct bytes properties)
{
    struct properties decoded;
    if (!list_is_valid(properties, PACKET_DISCONNECT, client_version(c), &decoded))
        return false;
    if (!version_has_reason_codes(client_version(c)))
        return reason == CHAPPE_SUCCESS;
    if (properties_have(&decoded, PROPERTY_SESSION_EXPIRY_INTERVAL) &&
        decoded.session_expiry_interval > 0 && c->settings.session_expiry_s == 0)
        return false; /* a Session that ends with its connection cannot be prolonged */
    return (unsigned)reason <= UINT8_MAX && reason_is_allowed((uint8_t)reason, PACKET_DISCONNECT) &&
           !properties_have(&decoded, PROPERTY_SERVER_REFERENCE);
}

/* The message the application has in hand, if there is one. */
static int acknowledge_handed(struct chappe_client *c)
{
    if (c->handed_id == 0)
        return 0;
    int failure = client_acknowledge(c, c->handed_id, REASON_SUCCESS, (struct bytes){ NULL, 0 });
    if (failure == 0)
        c->handed_id = 0;
    return failure;
}

int chappe_client_disconnect(struct chappe_client *c, enum chappe_reason reason,
                             struct chappe_bytes properties)
{
    if (c->state != CHAPPE_CONNECTED)
        return -ENOTCONN;
    if (!disconnect_is_valid(c, reason, bytes_in(properties)))
        return -EINVAL;
    struct packet p = { .type = PACKET_DISCONNECT };
    p.disconnect.reason = (enum reason)reason;
    p.disconnect.properties.raw = bytes_in(properties);
    int failure = acknowledge_handed(c);
    if (failure == 0)
        failure = send_limited(c, &p);
    if (failure != 0)
        return failure;
    c->said_disconnect = true;
    client_start_closing(c); /* nothing follows [MQTT-3.14.4-1] */
    return 0;
}
