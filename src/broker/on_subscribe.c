/* broker/on_subscribe.c: SUBSCRIBE and UNSUBSCRIBE (MQTT 5.0, sections 3.8 and 3.10).
 *
 * Each Topic Filter is judged for itself and answered with its own code; a bad one costs the others
 * nothing.  SUBACK is queued before the Retained Messages. */
#include "auth/auth.h"
#include "broker/answers.h"
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/on.h"
#include "broker/replay.h"
#include "broker/server.h"
#include <errno.h>

enum { /* Retain Handling, as it stands in the options byte */
       RETAIN_SEND = 0x00,
       RETAIN_SEND_IF_NEW = 0x10,
};

struct request { /* one filter of a SUBSCRIBE */
    struct bytes filter;
    struct bytes name_filter; /* without $share/NAME/ */
    uint8_t options;
    uint32_t id;
};

/* Sets name_filter and is_shared.  SUCCESS, or why not. */
static enum reason check_filter(struct request *r)
{
    struct bytes name;
    switch (topic_filter_split_share(r->filter, &name, &r->name_filter)) {
    case SHARE_INVALID:
        return REASON_TOPIC_FILTER_INVALID;
    case SHARE_NONE:
        r->name_filter = r->filter;
        break;
    case SHARE_VALID:
        break;
    }
    return topic_filter_is_valid(r->name_filter, NULL) ? REASON_SUCCESS
                                                       : REASON_TOPIC_FILTER_INVALID;
}

/* SUCCESS, or why this one is refused. */
static enum reason check_request(const struct connection *c, struct request *r)
{
    const struct client *client = c->client;
    uint32_t max = c->worker->config->max_subscriptions_per_client;
    enum reason why = check_filter(r);
    if (why != REASON_SUCCESS)
        return why;
    if (!auth_permits(client_id_of(client), client_username(client), AUTH_SUBSCRIBE,
                      r->name_filter))
        return REASON_NOT_AUTHORIZED;
    if (client->durable != NULL && !client_may_be_stored(c->worker, client, true))
        return REASON_QUOTA_EXCEEDED; /* the disk is full */
    if (max > 0 && few_count(&client->subscriptions) >= max &&
        client_find_subscription(client, r->filter) == NULL)
        return REASON_QUOTA_EXCEEDED;
    return REASON_SUCCESS;
}

/* The code for SUBACK: the granted QoS or an error.  *is_new: it did not exist before. */
static uint8_t subscribe(struct connection *c, struct request *r, bool *is_new)
{
    const struct worker *w = c->worker;
    uint8_t max_qos = w->config->listeners[c->listener].max_qos;
    enum reason why = check_request(c, r);
    if (why != REASON_SUCCESS)
        return (uint8_t)why;
    uint8_t qos = r->options & SUBSCRIBE_QOS;
    uint8_t granted = qos < max_qos ? qos : max_qos;
    uint32_t options = (uint32_t)((r->options & ~SUBSCRIBE_QOS) | granted);
    if (client_subscribe(c->client, r->filter, options, r->id, is_new) != 0)
        return REASON_QUOTA_EXCEEDED;
    log_line(w->log, LOG_TYPE_SUBSCRIBE, "%s %d %s", LOG_TEXT(client_id_of(c->client)), granted,
             LOG_TEXT(r->filter));
    return granted;
}

/* Codes as the version has them.  3.1 has none for failure, but the truth is still the best answer.
 */
static uint8_t code_for(enum version version, uint8_t code)
{
    return version_has_reason_codes(version) || code < 0x80 ? code : 0x80;
}

/* No Local on a Shared Subscription ends the connection [MQTT-3.8.3-4]. */
static bool has_forbidden_option(const struct subscribe *p)
{
    struct bytes rest = p->filters, filter;
    uint8_t options;
    while (subscribe_next(&rest, &filter, &options))
        if ((options & SUBSCRIBE_NO_LOCAL) != 0 && bytes_start_with(filter, BYTES("$share/")))
            return true;
    return false;
}

static void replay(struct connection *c, const struct request *r, bool is_new)
{
    uint8_t handling = r->options & SUBSCRIBE_RETAIN_HANDLING;
    bool wanted = handling == RETAIN_SEND || (handling == RETAIN_SEND_IF_NEW && is_new);
    struct client_subscription *s = client_find_subscription(c->client, r->filter);
    /* [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]; not for shared ones */
    if (wanted && s != NULL && !s->is_shared)
        replay_start(c->client, s);
}

/* What each filter came to: codes for SUBACK, and whether it was new. */
struct outcome {
    uint8_t code;
    bool is_new;
};

static void subscribe_all(struct connection *c, const struct subscribe *p, uint32_t id,
                          struct outcome *outcomes)
{
    struct request r = { .id = id };
    struct bytes rest = p->filters;
    for (size_t i = 0; subscribe_next(&rest, &r.filter, &r.options); i++) {
        outcomes[i].is_new = false;
        outcomes[i].code = subscribe(c, &r, &outcomes[i].is_new);
    }
}

static void replay_all(struct connection *c, const struct subscribe *p,
                       const struct outcome *outcomes)
{
    struct request r = { 0 };
    struct bytes rest = p->filters;
    for (size_t i = 0; subscribe_next(&rest, &r.filter, &r.options); i++)
        if (outcomes[i].code < 0x80)
            replay(c, &r, outcomes[i].is_new);
}

static void send_suback(struct connection *c, enum packet_type type, uint16_t packet_id,
                        uint8_t *codes, size_t count)
{
    struct packet answer = { .type = type, .suback.packet_id = packet_id };
    answer.suback.reasons = bytes_of(codes, count); /* [MQTT-3.8.4-6] [MQTT-3.11.3-1] */
    if (c->client->durable == NULL || staging_is_safe(c->worker)) {
        connection_send(c, &answer);
        return;
    }
    struct answer *a = answer_packet(c, ANSWER_PACKET, &answer); /* once it is on the disk */
    if (a != NULL)
        staging_answer(c->worker, a);
}

void on_subscribe(struct connection *c, const struct subscribe *p)
{
    struct outcome *outcomes = arena_alloc(&c->worker->scratch, p->count * sizeof *outcomes);
    uint8_t *codes = arena_alloc(&c->worker->scratch, p->count);
    if (outcomes == NULL || codes == NULL) {
        connection_fail(c, REASON_QUOTA_EXCEEDED, "out of memory");
        return;
    }
    if (has_forbidden_option(p)) {
        connection_fail(c, REASON_PROTOCOL_ERROR, "protocol error");
        return;
    }
    uint32_t id = 0;
    if (version_has_properties(c->version) &&
        properties_have(&p->properties, PROPERTY_SUBSCRIPTION_IDENTIFIER))
        id = p->properties.subscription_identifier;

    subscribe_all(c, p, id, outcomes);
    for (size_t i = 0; i < p->count; i++)
        codes[i] = code_for(c->version, outcomes[i].code);
    send_suback(c, PACKET_SUBACK, p->packet_id, codes, p->count); /* [MQTT-3.8.4-1] */
    if (c->state == CONNECTION_OPEN)
        replay_all(c, p, outcomes);
}

static uint8_t unsubscribe(struct connection *c, struct bytes filter)
{
    struct request r = { .filter = filter };
    if (check_filter(&r) != REASON_SUCCESS)
        return REASON_TOPIC_FILTER_INVALID;
    log_line(c->worker->log, LOG_TYPE_UNSUBSCRIBE, "%s %s", LOG_TEXT(client_id_of(c->client)),
             LOG_TEXT(filter));
    int result = client_unsubscribe(c->client, filter);
    return result == 0         ? REASON_SUCCESS
           : result == -ENOENT ? REASON_NO_SUBSCRIPTION_EXISTED
                               : REASON_UNSPECIFIED_ERROR;
}

void on_unsubscribe(struct connection *c, const struct subscribe *p)
{
    uint8_t *codes = arena_alloc(&c->worker->scratch, p->count);
    struct bytes rest = p->filters, filter;
    if (codes == NULL) {
        connection_fail(c, REASON_QUOTA_EXCEEDED, "out of memory");
        return;
    }
    for (size_t i = 0; unsubscribe_next(&rest, &filter); i++)
        codes[i] = unsubscribe(c, filter);
    send_suback(c, PACKET_UNSUBACK, p->packet_id, codes, p->count); /* [MQTT-3.10.4-4] */
}
