/* broker/on_connect.c: CONNECT (MQTT 5.0, section 3.1; 3.1.1, section 3.1).
 *
 *     is it acceptable -> which worker has the Session -> (hand over, and begin again there)
 *     -> end the other connection of this Client -> Session new or resumed -> CONNACK -> go on
 *
 * The checks that need no Session run where the socket was accepted and again where the Session
 * lives; they are cheap, and the second time they cannot fail. */
#include "auth/auth.h"
#include "base/hash.h"
#include "base/memory.h"
#include "broker/answers.h"
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/directory.h"
#include "broker/on.h"
#include "broker/server.h"
#include "mqtt/utf8.h"
#include <stdio.h>

enum { TAKEOVERS_PER_MINUTE_MAX = 300 };

#define SECOND_NS INT64_C(1000000000)

static const struct listener_config *listener_of(const struct connection *c)
{
    return &c->worker->config->listeners[c->listener];
}

/* ------------------------------------------------------------------------------- refusing ----- */

/* Mosquitto's words for why a Client was turned away. */
static const char *refusal_text(enum reason why)
{
    switch (why) {
    case REASON_NOT_AUTHORIZED:
    case REASON_BAD_USER_NAME_OR_PASSWORD:
        return "not authorised";
    case REASON_CLIENT_IDENTIFIER_NOT_VALID:
        return "client identifier not valid";
    case REASON_UNSUPPORTED_PROTOCOL_VERSION:
        return "unsupported protocol version";
    case REASON_SERVER_BUSY:
    case REASON_USE_ANOTHER_SERVER:
        return "server busy";
    default:
        return reason_text(why);
    }
}

static void refuse(struct connection *c, const struct connect *p, enum reason why)
{
    struct worker *w = c->worker;
    struct packet answer = { .type = PACKET_CONNACK, .connack.reason = why };
    const char *reference = w->config->server_reference;
    if (why == REASON_SERVER_BUSY && reference != NULL) {
        answer.connack.reason = why = REASON_USE_ANOTHER_SERVER;
        answer.connack.properties.server_reference = bytes_of_string(reference);
        properties_add(&answer.connack.properties, PROPERTY_SERVER_REFERENCE);
    }
    /* A 3.x Client over a limit gets no CONNACK, as with Mosquitto: no code says "busy" there. */
    if (version_has_reason_codes(p->version) || why != REASON_SERVER_BUSY)
        connection_send(c, &answer); /* [MQTT-3.1.4-2] [MQTT-3.2.2-7] */
    metrics_add(&w->metrics, METRIC_connections_refused, 1);
    if (w->config->connection_messages)
        log_line(w->log, LOG_TYPE_NOTICE, "Client %s [%s] disconnected: %s.",
                 p->client_id.size == 0 ? "<unknown>" : LOG_TEXT(p->client_id),
                 stream_peer(c->stream).text, refusal_text(why));
    connection_close(c, true, NULL);
}

/* -------------------------------------------------------------------------------- checking ---- */

static enum reason check_client_id(const struct connection *c, const struct connect *p)
{
    if (p->client_id.size > 0)
        return utf8_is_printable(p->client_id) ? REASON_SUCCESS
                                               : REASON_CLIENT_IDENTIFIER_NOT_VALID;
    if (p->version == VERSION_3_1 || !listener_of(c)->allow_zero_length_clientid)
        return REASON_CLIENT_IDENTIFIER_NOT_VALID;
    if (p->version == VERSION_3_1_1 && !p->clean_start) /* [MQTT3-3.1.3-8] */
        return REASON_CLIENT_IDENTIFIER_NOT_VALID;
    return REASON_SUCCESS;
}

static enum reason check_will(const struct connection *c, const struct connect *p)
{
    if (!p->has_will)
        return REASON_SUCCESS;
    if (!auth_permits(p->client_id, p->username, AUTH_PUBLISH, p->will.topic))
        return REASON_NOT_AUTHORIZED;
    if (p->will.qos > listener_of(c)->max_qos) /* [MQTT-3.2.2-12] */
        return REASON_QOS_NOT_SUPPORTED;
    if (p->will.retain && !c->worker->config->retain_available) /* [MQTT-3.2.2-13] */
        return REASON_RETAIN_NOT_SUPPORTED;
    if (version_has_properties(p->version) &&
        properties_have(&p->will.properties, PROPERTY_RESPONSE_TOPIC) &&
        !topic_name_is_valid(p->will.properties.response_topic)) /* [MQTT-3.3.2-14] */
        return REASON_TOPIC_NAME_INVALID;
    return REASON_SUCCESS;
}

static enum reason check_keep_alive(const struct connection *c, const struct connect *p)
{
    uint16_t max = c->worker->config->max_keepalive;
    bool is_over = max > 0 && (p->keep_alive_s == 0 || p->keep_alive_s > max);
    return is_over && p->version != VERSION_5_0 ? REASON_CLIENT_IDENTIFIER_NOT_VALID
                                                : REASON_SUCCESS;
}

static enum reason check(const struct connection *c, const struct connect *p)
{
    const struct listener_config *l = listener_of(c);
    enum reason why;
    if (worker_is_out_of_memory(c->worker))
        return REASON_QUOTA_EXCEEDED;
    if ((l->accept_protocol_versions >> p->version & 1) == 0)
        return REASON_UNSUPPORTED_PROTOCOL_VERSION;
    if (version_has_properties(p->version) &&
        properties_have(&p->properties, PROPERTY_AUTHENTICATION_METHOD))
        return REASON_BAD_AUTHENTICATION_METHOD; /* none exists yet [MQTT-4.12.0-1] */
    if ((why = check_client_id(c, p)) != REASON_SUCCESS ||
        (why = check_keep_alive(c, p)) != REASON_SUCCESS ||
        (why = auth_login(p, l->allow_anonymous)) != REASON_SUCCESS ||
        (why = check_will(c, p)) != REASON_SUCCESS)
        return why;
    return REASON_SUCCESS;
}

static bool is_over_session_limit(const struct worker *w)
{
    int64_t max = w->config->global_max_clients;
    return max > 0 && atomic_load_explicit(&w->server->session_count, memory_order_relaxed) >= max;
}

/* ------------------------------------------------------------------------------- placement ---- */

/* An identifier of our own: the prefix and a random UUID. */
static struct bytes make_client_id(const struct connection *c, char *out, size_t size)
{
    uint8_t r[16];
    env_random(c->worker->env, r, sizeof r);
    r[6] = (uint8_t)((r[6] & 0x0f) | 0x40); /* version 4 */
    r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
    const char *prefix = listener_of(c)->auto_id_prefix;
    int length = snprintf(out, size,
                          "%s%02X%02X%02X%02X-%02X%02X-%02X%02X-%02X%02X-%02X%02X%02X%02X%02X%02X",
                          prefix == NULL ? "" : prefix, r[0], r[1], r[2], r[3], r[4], r[5], r[6],
                          r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14], r[15]);
    return bytes_of(out, (size_t)length < size ? (size_t)length : size - 1);
}

/* Sends the connection to the worker that has the Session, with all bytes read so far. */
static void hand_over(struct connection *c, struct directory_entry *claim, struct bytes whole)
{
    struct worker *w = c->worker;
    struct handoff *h = memory_alloc_zero(sizeof *h);
    struct note *n = NULL;
    if (h != NULL)
        h->received = unfinished_create(whole);
    if (h != NULL && h->received != NULL)
        n = post_note(w, claim->worker, NOTE_HANDOFF, 0, whole.size);
    if (n == NULL) {
        directory_release(w->server->directory, claim);
        if (h != NULL)
            unfinished_destroy(h->received);
        memory_free(h);
        connection_close(c, false, "out of memory");
        return;
    }
    h->claim = claim;
    h->has_assigned_id = c->has_assigned_id;
    h->listener = c->listener;
    h->opened_ns = c->received_ns;
    h->stream = connection_give_up_stream(c);
    n->handoff = h;
}

/* ------------------------------------------------------------------------------ the Session --- */

/* A device that fights with another one for its name would keep us busy for ever. */
static bool is_fighting(struct client *client)
{
    int64_t now = client->worker->now_ns;
    struct client_trouble *t = client_trouble(client);
    if (t == NULL) /* not counted this time */
        return false;
    if (t->takeovers == 0 || now - t->takeovers_since_ns > 60 * SECOND_NS) {
        t->takeovers = 0;
        t->takeovers_since_ns = now;
    }
    if (t->takeovers <= TAKEOVERS_PER_MINUTE_MAX)
        t->takeovers++;
    return t->takeovers > TAKEOVERS_PER_MINUTE_MAX;
}

/* [MQTT-3.1.4-3]: the other connection of this Client ends first. */
static void take_over(struct client *client)
{
    metrics_add(&client->worker->metrics, METRIC_takeovers, 1);
    connection_fail(client->connection, REASON_SESSION_TAKEN_OVER, "session taken over");
}

static uint32_t session_expiry_s(const struct worker *w, const struct connect *p)
{
    int64_t cap = w->config->persistent_client_expiration_s;
    uint32_t asked;
    if (!version_has_properties(p->version))
        asked = p->clean_start ? 0 : UINT32_MAX;
    else if (properties_have(&p->properties, PROPERTY_SESSION_EXPIRY_INTERVAL))
        asked = p->properties.session_expiry_interval;
    else
        asked = 0; /* [MQTT-3.1.2-23] */
    return cap > 0 && asked > cap ? (uint32_t)cap : asked;
}

/* The Session for this CONNECT: a new one, or the one there is.  It takes over the claim.  NULL: no
 * memory; the claim is given back. */
static struct client *find_session(struct connection *c, const struct connect *p,
                                   struct directory_entry *claim, bool *is_present)
{
    struct worker *w = c->worker;
    struct client *client = claim->client;
    if (client != NULL && client->connection != NULL) {
        take_over(client);
        client = claim->client; /* it may have ended by that */
    }
    if (client != NULL && client_has_expired(client)) {
        client_on_session_expiry(client);
        client = NULL;
    }
    if (client != NULL && p->clean_start) { /* [MQTT-3.1.2-4] */
        client_destroy(client);
        client = NULL;
    }
    *is_present = client != NULL;
    if (client == NULL)
        client = client_create(w, claim);
    if (client == NULL || *is_present)
        directory_release(w->server->directory, claim); /* an old one has its own claim */
    return client;
}

static struct message *make_will(const struct connection *c, const struct connect *p)
{
    const struct will *will = &p->will;
    struct publish publish = { .qos = will->qos, .retain = will->retain, .payload = will->payload };
    publish.properties = will->properties;
    if (!version_has_properties(p->version))
        publish.properties = (struct properties){ 0 };
    return message_create(will->topic, &publish, 0, MESSAGE_NEVER);
}

/* The lifetime of a Will's message begins when it is published.  False: no memory. */
static bool set_will(struct client *client, const struct connection *c, const struct connect *p)
{
    const struct properties *properties = &p->will.properties;
    uint32_t delay_s = 0;
    int64_t lifetime_ns = MESSAGE_NEVER;
    if (!p->has_will) {
        client_drop_will(client);
        return true;
    }
    struct message *message = make_will(c, p);
    if (message == NULL)
        return false;
    message->origin = client->handle;
    if (version_has_properties(p->version)) {
        if (properties_have(properties, PROPERTY_WILL_DELAY_INTERVAL))
            delay_s = properties->will_delay_interval;
        if (properties_have(properties, PROPERTY_MESSAGE_EXPIRY_INTERVAL))
            lifetime_ns = properties->message_expiry_interval * SECOND_NS;
    }
    if (client_set_will(client, message, delay_s, lifetime_ns) == 0)
        return true;
    message_unref(message);
    return false;
}

/* -------------------------------------------------------------------------------- CONNACK ----- */

static void set_two(struct properties *p, enum property_id id, uint16_t *field, uint16_t value)
{
    *field = value;
    properties_add(p, id);
}

static void add_limits(struct connection *c, struct properties *p)
{
    const struct config *config = c->worker->config;
    const struct listener_config *l = listener_of(c);
    if (l->max_topic_alias > 0)
        set_two(p, PROPERTY_TOPIC_ALIAS_MAXIMUM, &p->topic_alias_maximum, l->max_topic_alias);
    if (l->max_qos < 2) {
        p->maximum_qos = l->max_qos;
        properties_add(p, PROPERTY_MAXIMUM_QOS);
    }
    if (!config->retain_available) {
        p->retain_available = 0;
        properties_add(p, PROPERTY_RETAIN_AVAILABLE);
    }
    if (config->max_packet_size > 0) {
        p->maximum_packet_size = config->max_packet_size;
        properties_add(p, PROPERTY_MAXIMUM_PACKET_SIZE);
    }
    if (c->receive_max < UINT16_MAX)
        set_two(p, PROPERTY_RECEIVE_MAXIMUM, &p->receive_maximum, c->receive_max);
}

static void add_answers(struct connection *c, const struct connect *p, const struct client *client,
                        struct properties *out)
{
    const char *response = c->worker->config->response_information;
    uint32_t asked_expiry = properties_have(&p->properties, PROPERTY_SESSION_EXPIRY_INTERVAL)
                                ? p->properties.session_expiry_interval
                                : 0;
    if (client->session_expiry_s != asked_expiry) {
        out->session_expiry_interval = client->session_expiry_s;
        properties_add(out, PROPERTY_SESSION_EXPIRY_INTERVAL);
    }
    if (c->has_assigned_id) { /* [MQTT-3.2.2-16] */
        out->assigned_client_identifier = client_id_of(client);
        properties_add(out, PROPERTY_ASSIGNED_CLIENT_IDENTIFIER);
    }
    if (c->keep_alive_s != p->keep_alive_s)
        set_two(out, PROPERTY_SERVER_KEEP_ALIVE, &out->server_keep_alive, c->keep_alive_s);
    if (response != NULL &&
        properties_have(&p->properties, PROPERTY_REQUEST_RESPONSE_INFORMATION) &&
        p->properties.request_response_information == 1) { /* [MQTT-3.1.2-28] */
        out->response_information = bytes_of_string(response);
        properties_add(out, PROPERTY_RESPONSE_INFORMATION);
    }
}

/* waits: for the disk, and then the connection is paused until it is sent. */
static void send_connack(struct connection *c, const struct connect *p, const struct client *client,
                         bool is_present, bool waits)
{
    struct packet answer = { .type = PACKET_CONNACK, .connack.reason = REASON_SUCCESS };
    /* 3.1 knows no Session Present; the byte is reserved there. */
    answer.connack.session_present = is_present && p->version != VERSION_3_1;
    if (version_has_properties(p->version)) {
        add_limits(c, &answer.connack.properties);
        add_answers(c, p, client, &answer.connack.properties);
    }
    if (!waits) {
        connection_send(c, &answer);
        return;
    }
    connection_pause(c, PAUSED_BY_CONNACK);
    struct answer *a = answer_packet(c, ANSWER_CONNACK, &answer);
    if (a != NULL)
        staging_answer(c->worker, a);
}

/* ------------------------------------------------------------------------------ connection ---- */

/* What the Client says about itself. */
static void take_properties(struct connection *c, const struct connect *p)
{
    const struct config *config = c->worker->config;
    const struct listener_config *l = listener_of(c);
    uint16_t max = config->max_keepalive;
    c->keep_alive_s = p->keep_alive_s;
    if (max > 0 && (c->keep_alive_s == 0 || c->keep_alive_s > max))
        c->keep_alive_s = max; /* [MQTT-3.2.2-21] */
    c->is_bridge = p->is_bridge;
    c->receive_max = UINT16_MAX;
    c->client_receive_max = UINT16_MAX;
    c->max_packet_size = UINT32_MAX;
    if (!version_has_properties(p->version))
        return;

    uint16_t ours =
        config->receive_maximum > 0 ? config->receive_maximum : config->max_inflight_messages;
    c->receive_max = ours == 0 ? UINT16_MAX : ours;
    if (properties_have(&p->properties, PROPERTY_RECEIVE_MAXIMUM))
        c->client_receive_max = p->properties.receive_maximum;
    if (properties_have(&p->properties, PROPERTY_MAXIMUM_PACKET_SIZE))
        c->max_packet_size = p->properties.maximum_packet_size;
    if (properties_have(&p->properties, PROPERTY_REQUEST_PROBLEM_INFORMATION))
        c->wants_problem_information = p->properties.request_problem_information != 0;
    c->alias_in_max = l->max_topic_alias;
    if (properties_have(&p->properties, PROPERTY_TOPIC_ALIAS_MAXIMUM)) {
        uint16_t theirs = p->properties.topic_alias_maximum;
        c->alias_out_max = theirs < l->max_topic_alias_broker ? theirs : l->max_topic_alias_broker;
    }
}

static void log_connected(const struct connection *c, const struct connect *p)
{
    const struct worker *w = c->worker;
    const struct client *client = c->client;
    if (!w->config->connection_messages)
        return;
    bool has_user = client->username != NULL;
    log_line(w->log, LOG_TYPE_NOTICE, "New client connected from %s as %s (p%d, c%d, k%d%s%s%s).",
             stream_peer(c->stream).text, LOG_TEXT(client_id_of(client)), p->version,
             p->clean_start, p->keep_alive_s, has_user ? ", u'" : "",
             has_user ? LOG_TEXT(client_username(client)) : "", has_user ? "'" : "");
}

/* CONNACK is out. */
static void go_on(struct connection *c)
{
    struct client *client = c->client;
    client_go_online(client, c->client_receive_max);
    connection_arm(c);
    session_pump(client->session, c->worker->now_ns);
    client_after_session(client);
}

void on_connack_sent(struct connection *c)
{
    if (c->state != CONNECTION_OPEN)
        return;
    c->paused &= (uint8_t)~PAUSED_BY_CONNACK; /* its Session is online before it is read */
    c->paused |= PAUSED_BY_STORE;
    go_on(c);
    if (c->state == CONNECTION_OPEN)
        connection_resume(c, PAUSED_BY_STORE);
}

/* Than what is stored of the Session? */
static bool says_more(const struct client *old, const struct worker *w, const struct connect *p)
{
    return p->has_will || old == NULL || old->session_expiry_s != session_expiry_s(w, p);
}

/* The claim is ours to use. */
static void attach(struct connection *c, const struct connect *p, struct directory_entry *claim)
{
    struct worker *w = c->worker;
    bool is_present;
    struct client *old = claim->client;
    bool was_durable = old != NULL && old->durable != NULL;
    enum reason why = REASON_SUCCESS;
    if (old != NULL && old->connection != NULL && is_fighting(old))
        why = REASON_CONNECTION_RATE_EXCEEDED;
    else if (old == NULL && is_over_session_limit(w))
        why = REASON_SERVER_BUSY;
    else if (session_expiry_s(w, p) != 0 &&
             !client_may_be_stored(w, p->clean_start ? NULL : old, says_more(old, w, p)))
        why = REASON_QUOTA_EXCEEDED; /* the disk is full */
    if (why != REASON_SUCCESS) {
        directory_release(w->server->directory, claim);
        refuse(c, p, why);
        return;
    }
    struct client *client = find_session(c, p, claim, &is_present);
    if (client == NULL) {
        refuse(c, p, REASON_QUOTA_EXCEEDED);
        return;
    }
    struct bytes username = p->has_username ? p->username : (struct bytes){ 0 };
    if (client_set_username(client, username) != 0 || !set_will(client, c, p) ||
        client_set_expiry(client, session_expiry_s(w, p)) != 0 ||
        (client->session_expiry_s != 0 && client_make_durable(client) != 0) ||
        client_store_session(client, true) != 0) {
        client_drop_will(client); /* it is not a Will of anybody who was connected */
        if (!is_present)
            client_destroy(client);
        refuse(c, p, REASON_QUOTA_EXCEEDED);
        return;
    }
    take_properties(c, p);
    c->state = CONNECTION_OPEN;
    c->client = client;
    log_connected(c, p);
    metrics_add(&w->metrics, METRIC_connections_accepted, 1);
    client_on_connected(client, c);
    bool is_stored = was_durable || client->durable != NULL || staging_has_ended(w);
    bool waits = is_stored && !staging_is_safe(w);
    send_connack(c, p, client, is_present, waits); /* [MQTT-3.2.0-1]: first */
    if (!waits)
        go_on(c);
}

void on_connect(struct connection *c, const struct connect *p, struct bytes whole)
{
    struct worker *w = c->worker;
    char own[128];
    struct bytes client_id = p->client_id;
    c->version = (uint8_t)p->version;

    enum reason why = check(c, p);
    if (why != REASON_SUCCESS && !c->is_placed) {
        refuse(c, p, why);
        return;
    }
    if (c->is_placed) { /* the worker that accepted it has checked, and taken the claim */
        struct directory_entry *arrived = w->arriving->claim;
        w->arriving->claim = NULL;
        attach(c, p, arrived);
        return;
    }
    if (client_id.size == 0) { /* [MQTT-3.1.3-6] */
        client_id = make_client_id(c, own, sizeof own);
        c->has_assigned_id = true;
    }
    struct directory_entry *claim =
        directory_claim(w->server->directory, client_id, server_place(w->server, w->index));
    if (claim == NULL)
        refuse(c, p, REASON_QUOTA_EXCEEDED);
    else if (claim->worker == w->index)
        attach(c, p, claim);
    else
        hand_over(c, claim, whole);
}
