/* tests/interop/paho_c/client_sync.c: client.h with MQTTClient, whose calls block by themselves. */
#include "client.h"

#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct client {
    MQTTClient handle;
    int version;
};

static void expect_success(int code, const char *what)
{
    if (code != MQTTCLIENT_SUCCESS)
        fail("%s: %d", what, code);
}

/* Takes the response. */
static int reason_of(MQTTResponse response, const char *what)
{
    int reason = (int)response.reasonCode;
    MQTTResponse_free(response);
    if (reason < 0 || reason >= 0x80)
        fail("%s: reason %d", what, reason);
    return reason;
}

static struct client *create(const struct connect_options *o)
{
    char uri[64];
    snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", o->port);
    MQTTClient_createOptions create_options = MQTTClient_createOptions_initializer;
    create_options.MQTTVersion = o->version;
    struct client *c = calloc(1, sizeof *c);
    if (c == NULL)
        fail("no memory");
    c->version = o->version;
    expect_success(MQTTClient_createWithOptions(&c->handle, uri, o->client_id,
                                                MQTTCLIENT_PERSISTENCE_NONE, NULL, &create_options),
                   "create");
    return c;
}

static void connect_5(struct client *c, MQTTClient_connectOptions *options,
                      const struct connect_options *o)
{
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty expiry = { .identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
                            .value.integer4 = o->keep_session ? 300 : 0 };
    MQTTProperties_add(&properties, &expiry);
    MQTTProperty receive_max = { .identifier = MQTTPROPERTY_CODE_RECEIVE_MAXIMUM,
                                 .value.integer2 = (unsigned short)o->receive_max };
    if (o->receive_max != 0)
        MQTTProperties_add(&properties, &receive_max);
    reason_of(MQTTClient_connect5(c->handle, options, &properties, NULL), "connect");
    MQTTProperties_free(&properties);
}

struct client *client_open(const struct connect_options *o, int *session_present)
{
    struct client *c = create(o);
    MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
    MQTTClient_connectOptions options5 = MQTTClient_connectOptions_initializer5;
    if (o->version == MQTT_5)
        options = options5;
    MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
    will.topicName = o->will_topic;
    will.message = o->will_payload;
    will.qos = o->will_qos;
    if (o->will_topic != NULL)
        options.will = &will;
    options.MQTTVersion = o->version;
    if (o->version == MQTT_5) {
        options.cleanstart = !o->keep_session;
        connect_5(c, &options, o);
    } else {
        options.cleansession = !o->keep_session;
        expect_success(MQTTClient_connect(c->handle, &options), "connect");
    }
    if (session_present != NULL)
        *session_present = o->version == MQTT_5 ? -1 : options.returned.sessionPresent;
    return c;
}

void client_close(struct client *c)
{
    if (c->version == MQTT_5)
        MQTTClient_disconnect5(c->handle, DEADLINE_MS, MQTTREASONCODE_SUCCESS, NULL);
    else
        MQTTClient_disconnect(c->handle, DEADLINE_MS);
    MQTTClient_destroy(&c->handle);
    free(c);
}

int client_subscribe(struct client *c, const char *topic_filter, int qos,
                     const MQTTSubscribe_options *options, const MQTTProperties *properties)
{
    if (c->version == MQTT_5)
        return reason_of(MQTTClient_subscribe5(c->handle, topic_filter, qos,
                                               (MQTTSubscribe_options *)options,
                                               (MQTTProperties *)properties),
                         "subscribe");
    expect_success(MQTTClient_subscribeMany(c->handle, 1, (char *const *)&topic_filter, &qos),
                   "subscribe");
    return qos;
}

void client_unsubscribe(struct client *c, const char *topic_filter)
{
    if (c->version == MQTT_5)
        reason_of(MQTTClient_unsubscribe5(c->handle, topic_filter, NULL), "unsubscribe");
    else
        expect_success(MQTTClient_unsubscribe(c->handle, topic_filter), "unsubscribe");
}

void client_publish(struct client *c, const char *topic, const void *payload, int size, int qos,
                    bool retained, const MQTTProperties *properties)
{
    MQTTClient_message message = MQTTClient_message_initializer;
    message.payload = (void *)payload;
    message.payloadlen = size;
    message.qos = qos;
    message.retained = retained;
    if (properties != NULL)
        message.properties = *properties;
    MQTTClient_deliveryToken token = 0;
    if (c->version == MQTT_5)
        reason_of(MQTTClient_publishMessage5(c->handle, topic, &message, &token), "publish");
    else
        expect_success(MQTTClient_publishMessage(c->handle, topic, &message, &token), "publish");
    expect_success(MQTTClient_waitForCompletion(c->handle, token, DEADLINE_MS), "publish");
}

struct message *client_receive_within(struct client *c, int milliseconds)
{
    char *topic = NULL;
    int topic_size = 0;
    MQTTClient_message *m = NULL;
    MQTTClient_receive(c->handle, &topic, &topic_size, &m, (unsigned long)milliseconds);
    if (m == NULL)
        return NULL;
    struct message *copy = message_create(topic, topic_size, m->payload, m->payloadlen, m->qos,
                                          m->retained, &m->properties);
    MQTTClient_freeMessage(&m);
    MQTTClient_free(topic);
    return copy;
}
