/* tests/interop/paho_c/client.h: a blocking client, the same over both APIs of the Paho C library.
 *
 * client_sync.c fills it in with MQTTClient, client_async.c with MQTTAsync; a program links one of
 * them.  Every call waits for the server's answer.  What goes wrong ends the program: see fail().
 */
#pragma once

#include <MQTTProperties.h>
#include <MQTTSubscribeOpts.h>
#include <stdbool.h>
#include <stddef.h>

enum { DEADLINE_MS = 30000, MQTT_3_1 = 3, MQTT_3_1_1 = 4, MQTT_5 = 5 };

struct connect_options {
    int port;
    int version;
    const char *client_id;
    bool keep_session;      /* Clean Session or Clean Start 0, and an expiry of five minutes */
    int receive_max;        /* 0: not sent */
    const char *will_topic; /* NULL: no will */
    const char *will_payload;
    int will_qos;
};

struct message {
    char topic[128];
    char *payload; /* with a NUL behind it */
    int size;
    int qos;
    bool retained;
    MQTTProperties properties;
    struct message *next;
};

struct client;

/* *session_present: 0, 1, or -1 where the API does not tell; may be NULL. */
struct client *client_open(const struct connect_options *o, int *session_present);
void client_close(struct client *c); /* with DISCONNECT */

/* The granted QoS.  options and properties only with 5, both may be NULL. */
int client_subscribe(struct client *c, const char *topic_filter, int qos,
                     const MQTTSubscribe_options *options, const MQTTProperties *properties);
void client_unsubscribe(struct client *c, const char *topic_filter);

/* Waits until the flow of the message is complete. */
void client_publish(struct client *c, const char *topic, const void *payload, int size, int qos,
                    bool retained, const MQTTProperties *properties);

/* The next message, to message_destroy; NULL if there is none in that time. */
struct message *client_receive_within(struct client *c, int milliseconds);

/* tests.c: */
struct message *client_receive(struct client *c); /* there must be one */
struct message *message_create(const char *topic, int topic_size, const void *payload, int size,
                               int qos, int retained, const MQTTProperties *properties);
void message_destroy(struct message *m);

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
