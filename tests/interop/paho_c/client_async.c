/* tests/interop/paho_c/client_async.c: client.h with MQTTAsync.
 *
 * The library's threads call back; each call here waits until they said how it went:
 *
 *     caller       begin ── MQTTAsync_x() ────────────── wait_for_outcome
 *     their thread                      └─ on_success ─┘
 */
#include "client.h"

#include <MQTTAsync.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PENDING = -1000 };

struct client {
    MQTTAsync handle;
    int version;
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t changed;
    int outcome; /* PENDING, a failure below 0, else what the server granted */
    int session_present;
    struct message *first, **last;
};

static void settle(struct client *c, int outcome)
{
    pthread_mutex_lock(&c->lock);
    c->outcome = outcome;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void on_success(void *context, MQTTAsync_successData *data)
{
    (void)data;
    settle(context, 0);
}

static void on_success5(void *context, MQTTAsync_successData5 *data)
{
    settle(context, data == NULL ? 0 : (int)data->reasonCode);
}

static void on_subscribed(void *context, MQTTAsync_successData *data)
{
    settle(context, data->alt.qos);
}

static void on_connected(void *context, MQTTAsync_successData *data)
{
    struct client *c = context;
    c->session_present = data->alt.connect.sessionPresent;
    settle(c, 0);
}

static void on_connected5(void *context, MQTTAsync_successData5 *data)
{
    struct client *c = context;
    c->session_present = data->alt.connect.sessionPresent;
    settle(c, 0);
}

static void on_failure(void *context, MQTTAsync_failureData *data)
{
    settle(context, data != NULL && data->code < 0 ? data->code : -1);
}

static void on_failure5(void *context, MQTTAsync_failureData5 *data)
{
    settle(context, data == NULL || data->reasonCode == 0 ? -1 : -(int)data->reasonCode);
}

static int on_message(void *context, char *topic, int topic_size, MQTTAsync_message *m)
{
    struct client *c = context;
    struct message *copy = message_create(topic, topic_size, m->payload, m->payloadlen, m->qos,
                                          m->retained, &m->properties);
    MQTTAsync_freeMessage(&m);
    MQTTAsync_free(topic);
    pthread_mutex_lock(&c->lock);
    *c->last = copy;
    c->last = &copy->next;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    return 1; /* it is ours now */
}

static struct timespec time_in(int milliseconds)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += milliseconds / 1000;
    t.tv_nsec += milliseconds % 1000 * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000L;
    }
    return t;
}

static void begin(struct client *c)
{
    c->outcome = PENDING;
}

/* code: what the library said to the call itself. */
static int wait_for_outcome(struct client *c, int code, const char *what)
{
    if (code != MQTTASYNC_SUCCESS)
        fail("%s: %d", what, code);
    struct timespec until = time_in(DEADLINE_MS);
    pthread_mutex_lock(&c->lock);
    while (c->outcome == PENDING && pthread_cond_timedwait(&c->changed, &c->lock, &until) == 0)
        ;
    int outcome = c->outcome;
    pthread_mutex_unlock(&c->lock);
    if (outcome < 0 || outcome >= 0x80)
        fail("%s: %d", what, outcome);
    return outcome;
}

static MQTTAsync_responseOptions responses(struct client *c)
{
    MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
    r.context = c;
    if (c->version == MQTT_5) {
        r.onSuccess5 = on_success5;
        r.onFailure5 = on_failure5;
    } else {
        r.onSuccess = on_success;
        r.onFailure = on_failure;
    }
    return r;
}

static struct client *create(const struct connect_options *o)
{
    char uri[64];
    snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", o->port);
    MQTTAsync_createOptions create_options = MQTTAsync_createOptions_initializer;
    create_options.MQTTVersion = o->version;
    struct client *c = calloc(1, sizeof *c);
    if (c == NULL)
        fail("no memory");
    c->version = o->version;
    c->last = &c->first;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    if (MQTTAsync_createWithOptions(&c->handle, uri, o->client_id, MQTTCLIENT_PERSISTENCE_NONE,
                                    NULL, &create_options) != MQTTASYNC_SUCCESS ||
        MQTTAsync_setCallbacks(c->handle, c, NULL, on_message, NULL) != MQTTASYNC_SUCCESS)
        fail("create");
    return c;
}

static MQTTProperties connect_properties(const struct connect_options *o)
{
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty expiry = { .identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
                            .value.integer4 = o->keep_session ? 300 : 0 };
    MQTTProperties_add(&properties, &expiry);
    MQTTProperty receive_max = { .identifier = MQTTPROPERTY_CODE_RECEIVE_MAXIMUM,
                                 .value.integer2 = (unsigned short)o->receive_max };
    if (o->receive_max != 0)
        MQTTProperties_add(&properties, &receive_max);
    return properties;
}

struct client *client_open(const struct connect_options *o, int *session_present)
{
    struct client *c = create(o);
    MQTTAsync_connectOptions options3 = MQTTAsync_connectOptions_initializer;
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer5;
    MQTTProperties properties = connect_properties(o);
    if (o->version == MQTT_5) {
        options.cleanstart = !o->keep_session;
        options.connectProperties = &properties;
        options.onSuccess5 = on_connected5;
        options.onFailure5 = on_failure5;
    } else {
        options = options3;
        options.MQTTVersion = o->version;
        options.cleansession = !o->keep_session;
        options.onSuccess = on_connected;
        options.onFailure = on_failure;
    }
    MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
    will.topicName = o->will_topic;
    will.message = o->will_payload;
    will.qos = o->will_qos;
    if (o->will_topic != NULL)
        options.will = &will;
    options.context = c;
    begin(c);
    wait_for_outcome(c, MQTTAsync_connect(c->handle, &options), "connect");
    MQTTProperties_free(&properties);
    if (session_present != NULL)
        *session_present = c->session_present;
    return c;
}

void client_close(struct client *c)
{
    MQTTAsync_disconnectOptions options3 = MQTTAsync_disconnectOptions_initializer;
    MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer5;
    if (c->version != MQTT_5)
        options = options3;
    options.timeout = DEADLINE_MS;
    options.context = c;
    if (c->version == MQTT_5)
        options.onSuccess5 = on_success5;
    else
        options.onSuccess = on_success;
    begin(c);
    wait_for_outcome(c, MQTTAsync_disconnect(c->handle, &options), "disconnect");
    MQTTAsync_destroy(&c->handle);
    for (struct message *m; (m = c->first) != NULL;) {
        c->first = m->next;
        message_destroy(m);
    }
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

int client_subscribe(struct client *c, const char *topic_filter, int qos,
                     const MQTTSubscribe_options *options, const MQTTProperties *properties)
{
    MQTTAsync_responseOptions r = responses(c);
    if (c->version != MQTT_5)
        r.onSuccess = on_subscribed;
    if (options != NULL)
        r.subscribeOptions = *options;
    if (properties != NULL)
        r.properties = *properties;
    begin(c);
    return wait_for_outcome(c, MQTTAsync_subscribe(c->handle, topic_filter, qos, &r), "subscribe");
}

void client_unsubscribe(struct client *c, const char *topic_filter)
{
    MQTTAsync_responseOptions r = responses(c);
    begin(c);
    wait_for_outcome(c, MQTTAsync_unsubscribe(c->handle, topic_filter, &r), "unsubscribe");
}

void client_publish(struct client *c, const char *topic, const void *payload, int size, int qos,
                    bool retained, const MQTTProperties *properties)
{
    MQTTAsync_message message = MQTTAsync_message_initializer;
    message.payload = (void *)payload;
    message.payloadlen = size;
    message.qos = qos;
    message.retained = retained;
    if (properties != NULL)
        message.properties = *properties;
    MQTTAsync_responseOptions r = responses(c);
    begin(c);
    wait_for_outcome(c, MQTTAsync_sendMessage(c->handle, topic, &message, &r), "publish");
}

struct message *client_receive_within(struct client *c, int milliseconds)
{
    struct timespec until = time_in(milliseconds);
    pthread_mutex_lock(&c->lock);
    while (c->first == NULL && pthread_cond_timedwait(&c->changed, &c->lock, &until) == 0)
        ;
    struct message *m = c->first;
    if (m != NULL)
        c->first = m->next;
    if (c->first == NULL)
        c->last = &c->first;
    pthread_mutex_unlock(&c->lock);
    return m;
}
