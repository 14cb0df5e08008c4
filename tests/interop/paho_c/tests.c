/* tests/interop/paho_c/tests.c: the tests, written once for both APIs of the Paho C library.
 *
 *     PROGRAM list            names the tests, one a line
 *     PROGRAM PORT NAME       runs one; exit status 0, or a line that says what was wrong */
#include "client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail("%s:%d: not so: %s", __FILE__, __LINE__, #condition);                             \
    } while (0)

static int port;

_Noreturn void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    _exit(1); /* the library's threads are of no interest any more */
}

struct message *message_create(const char *topic, int topic_size, const void *payload, int size,
                               int qos, int retained, const MQTTProperties *properties)
{
    struct message *m = calloc(1, sizeof *m);
    if (m == NULL || (m->payload = malloc((size_t)size + 1)) == NULL)
        fail("no memory");
    /* A size of 0 means that the topic ends with its NUL. */
    size_t length = topic_size > 0 ? (size_t)topic_size : strlen(topic);
    EXPECT(length < sizeof m->topic);
    memcpy(m->topic, topic, length);
    memcpy(m->payload, payload, (size_t)size);
    m->payload[size] = '\0';
    m->size = size;
    m->qos = qos;
    m->retained = retained;
    m->properties = MQTTProperties_copy(properties);
    return m;
}

void message_destroy(struct message *m)
{
    MQTTProperties_free(&m->properties);
    free(m->payload);
    free(m);
}

struct message *client_receive(struct client *c)
{
    struct message *m = client_receive_within(c, DEADLINE_MS);
    if (m == NULL)
        fail("no message");
    return m;
}

/* Topics and client ids are told apart by the process. */
static const char *unique(const char *word)
{
    static char texts[8][64];
    static unsigned count;
    char *text = texts[count++ % 8];
    snprintf(text, sizeof texts[0], "c/%s/%d", word, (int)getpid());
    return text;
}

static struct client *open_client(int version, const char *client_id, bool keep_session)
{
    static int count;
    char id[64];
    snprintf(id, sizeof id, "c-%d-%d", (int)getpid(), count++);
    struct connect_options o = { .port = port,
                                 .version = version,
                                 .client_id = client_id != NULL ? client_id : id,
                                 .keep_session = keep_session };
    return client_open(&o, NULL);
}

static void publish_text(struct client *c, const char *topic, const char *text, int qos,
                         bool retained)
{
    client_publish(c, topic, text, (int)strlen(text), qos, retained, NULL);
}

static void expect_text(struct client *c, const char *topic, const char *text, int qos,
                        bool retained)
{
    struct message *m = client_receive(c);
    if (strcmp(m->topic, topic) != 0 || strcmp(m->payload, text) != 0 || m->qos != qos ||
        m->retained != retained)
        fail("received %s \"%s\" QoS %d retained %d instead of %s \"%s\" QoS %d retained %d",
             m->topic, m->payload, m->qos, m->retained, topic, text, qos, retained);
    message_destroy(m);
}

static void test_qos(int version)
{
    const char *topic = unique("qos");
    struct client *publisher = open_client(version, NULL, false);
    for (int granted = 0; granted <= 2; granted++) {
        struct client *subscriber = open_client(version, NULL, false);
        EXPECT(client_subscribe(subscriber, topic, granted, NULL, NULL) == granted);
        for (int sent = 0; sent <= 2; sent++) {
            publish_text(publisher, topic, "x", sent, false);
            expect_text(subscriber, topic, "x", sent < granted ? sent : granted, false);
        }
        client_close(subscriber);
    }
    client_close(publisher);
}

static void test_retained(int version)
{
    const char *topic = unique("retained");
    struct client *publisher = open_client(version, NULL, false);
    publish_text(publisher, topic, "old", 1, true);
    publish_text(publisher, topic, "new", 2, true);
    struct client *subscriber = open_client(version, NULL, false);
    client_subscribe(subscriber, topic, 2, NULL, NULL);
    expect_text(subscriber, topic, "new", 2, true);
    publish_text(publisher, topic, "", 1, true);
    expect_text(subscriber, topic, "", 1, false);
    client_close(subscriber);
    client_close(publisher);
}

static void test_wildcards(int version)
{
    static const char *const matching[] = { "a/x", "deep", "deep/1/2", "/x" };
    char topic[128], filter[128];
    const char *root = unique("wild");
    struct client *c = open_client(version, NULL, false);
    snprintf(filter, sizeof filter, "%s/+/x", root);
    client_subscribe(c, filter, 1, NULL, NULL);
    snprintf(topic, sizeof topic, "%s/deep/#", root);
    client_subscribe(c, topic, 1, NULL, NULL);
    for (size_t i = 0; i < sizeof matching / sizeof matching[0]; i++) {
        snprintf(topic, sizeof topic, "%s/other", root);
        publish_text(c, topic, "no", 1, false);
        snprintf(topic, sizeof topic, "%s/%s", root, matching[i]);
        publish_text(c, topic, "yes", 1, false);
        expect_text(c, topic, "yes", 1, false);
    }
    client_unsubscribe(c, filter);
    snprintf(topic, sizeof topic, "%s/a/x", root);
    publish_text(c, topic, "no", 1, false);
    snprintf(topic, sizeof topic, "%s/deep/end", root);
    publish_text(c, topic, "yes", 1, false);
    expect_text(c, topic, "yes", 1, false);
    client_close(c);
}

/* In a process of its own, forked before the library has threads here: it connects, says so, and
 * is gone without a DISCONNECT when we say so. */
struct dying {
    pid_t pid;
    int is_connected[2], may_die[2];
};

static struct dying dying_client(const struct connect_options *o)
{
    struct dying d;
    char byte = 0;
    if (pipe(d.is_connected) != 0 || pipe(d.may_die) != 0 || (d.pid = fork()) < 0)
        fail("no process");
    if (d.pid == 0) {
        close(d.may_die[1]); /* else its end would never be seen */
        client_open(o, NULL);
        if (write(d.is_connected[1], &byte, 1) == 1 && read(d.may_die[0], &byte, 1) >= 0)
            _exit(0);
        _exit(1);
    }
    close(d.is_connected[1]);
    close(d.may_die[0]);
    return d;
}

static void let_die(struct dying *d)
{
    char byte;
    EXPECT(read(d->is_connected[0], &byte, 1) == 1);
    close(d->may_die[1]);
    int status;
    EXPECT(waitpid(d->pid, &status, 0) == d->pid && status == 0);
    close(d->is_connected[0]);
}

static void test_will(int version)
{
    const char *topic = unique("will");
    struct connect_options o = { .port = port,
                                 .version = version,
                                 .client_id = unique("dying"),
                                 .will_topic = topic,
                                 .will_payload = "last words",
                                 .will_qos = 1 };
    struct dying d = dying_client(&o);
    struct client *c = open_client(version, NULL, false);
    client_subscribe(c, topic, 2, NULL, NULL);
    o.client_id = unique("polite");
    o.will_payload = "never";
    client_close(client_open(&o, NULL));
    let_die(&d);
    expect_text(c, topic, "last words", 1, false);
    client_close(c);
}

static void test_large(int version)
{
    enum { SIZE = 10 * 1000 * 1000 };
    const char *topic = unique("large");
    char *payload = malloc(SIZE);
    if (payload == NULL)
        fail("no memory");
    unsigned state = 1;
    for (int i = 0; i < SIZE; i++) {
        state = state * 1664525u + 1013904223u;
        payload[i] = (char)(state >> 24);
    }
    struct client *c = open_client(version, NULL, false);
    client_subscribe(c, topic, 1, NULL, NULL);
    client_publish(c, topic, payload, SIZE, 1, false, NULL);
    struct message *m = client_receive(c);
    EXPECT(m->size == SIZE);
    EXPECT(memcmp(m->payload, payload, SIZE) == 0);
    message_destroy(m);
    client_close(c);
    free(payload);
}

static void test_session(int version)
{
    const char *topic = unique("session"), *client_id = unique("keeps");
    struct connect_options o = {
        .port = port, .version = version, .client_id = client_id, .keep_session = true
    };
    int present;
    struct client *first = client_open(&o, &present);
    EXPECT(present != 1);
    client_subscribe(first, topic, 2, NULL, NULL);
    client_close(first);

    struct client *publisher = open_client(version, NULL, false);
    publish_text(publisher, topic, "one", 1, false);
    publish_text(publisher, topic, "two", 2, false);
    client_close(publisher);

    struct client *second = client_open(&o, &present);
    EXPECT(version == MQTT_3_1 || present != 0); /* 3.1 has no such flag */
    expect_text(second, topic, "one", 1, false);
    expect_text(second, topic, "two", 2, false);
    client_close(second);
    client_close(open_client(version, client_id, false)); /* ends the session */
}

static void test_order(int version)
{
    enum { COUNT = 50 };
    const char *topic = unique("order");
    char text[16];
    struct client *subscriber = open_client(version, NULL, false);
    struct client *publisher = open_client(version, NULL, false);
    client_subscribe(subscriber, topic, 2, NULL, NULL);
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "%d", i);
        publish_text(publisher, topic, text, 1, false);
    }
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "%d", i);
        expect_text(subscriber, topic, text, 1, false);
    }
    client_close(publisher);
    client_close(subscriber);
}

static MQTTLenString text_of(const char *text)
{
    return (MQTTLenString){ .data = (char *)text, .len = (int)strlen(text) };
}

static void add_text(MQTTProperties *properties, enum MQTTPropertyCodes code, const char *text,
                     const char *value)
{
    MQTTProperty p = { .identifier = code };
    p.value.data = text_of(text);
    if (value != NULL)
        p.value.value = text_of(value);
    EXPECT(MQTTProperties_add(properties, &p) == 0);
}

static bool has_text(struct message *m, enum MQTTPropertyCodes code, const char *text)
{
    const MQTTProperty *p = MQTTProperties_getProperty(&m->properties, code);
    return p != NULL && p->value.data.len == (int)strlen(text) &&
           memcmp(p->value.data.data, text, strlen(text)) == 0;
}

static int number_of(struct message *m, enum MQTTPropertyCodes code)
{
    return MQTTProperties_getNumericValue(&m->properties, code);
}

static void test_properties(int version)
{
    const char *topic = unique("properties");
    MQTTProperties properties = MQTTProperties_initializer;
    add_text(&properties, MQTTPROPERTY_CODE_CONTENT_TYPE, "text/plain", NULL);
    add_text(&properties, MQTTPROPERTY_CODE_RESPONSE_TOPIC, "c/answers", NULL);
    add_text(&properties, MQTTPROPERTY_CODE_CORRELATION_DATA, "id 7", NULL);
    add_text(&properties, MQTTPROPERTY_CODE_USER_PROPERTY, "key", "1");
    add_text(&properties, MQTTPROPERTY_CODE_USER_PROPERTY, "key", "2");
    MQTTProperty expiry = { .identifier = MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL,
                            .value.integer4 = 500 };
    MQTTProperties_add(&properties, &expiry);
    MQTTProperty format = { .identifier = MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR,
                            .value.byte = 1 };
    MQTTProperties_add(&properties, &format);

    struct client *c = open_client(version, NULL, false);
    client_subscribe(c, topic, 1, NULL, NULL);
    client_publish(c, topic, "x", 1, 1, false, &properties);
    struct message *m = client_receive(c);
    EXPECT(has_text(m, MQTTPROPERTY_CODE_CONTENT_TYPE, "text/plain"));
    EXPECT(has_text(m, MQTTPROPERTY_CODE_RESPONSE_TOPIC, "c/answers"));
    EXPECT(has_text(m, MQTTPROPERTY_CODE_CORRELATION_DATA, "id 7"));
    EXPECT(MQTTProperties_propertyCount(&m->properties, MQTTPROPERTY_CODE_USER_PROPERTY) == 2);
    EXPECT(number_of(m, MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR) == 1);
    int left = number_of(m, MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL);
    EXPECT(left > 490 && left <= 500);
    message_destroy(m);
    client_close(c);
    MQTTProperties_free(&properties);
}

static void test_subscription_id(int version)
{
    const char *topic = unique("ids");
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty id = { .identifier = MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER,
                        .value.integer4 = 268435455 };
    MQTTProperties_add(&properties, &id);
    struct client *c = open_client(version, NULL, false);
    client_subscribe(c, topic, 1, NULL, &properties);
    publish_text(c, topic, "x", 1, false);
    struct message *m = client_receive(c);
    EXPECT(number_of(m, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER) == 268435455);
    message_destroy(m);
    client_close(c);
    MQTTProperties_free(&properties);
}

static void test_subscribe_options(int version)
{
    const char *topic = unique("options");
    struct client *c = open_client(version, NULL, false);
    struct client *other = open_client(version, NULL, false);
    publish_text(other, topic, "kept", 1, true);
    MQTTSubscribe_options options = MQTTSubscribe_options_initializer;
    options.noLocal = 1;
    options.retainAsPublished = 1;
    options.retainHandling = 2;
    client_subscribe(c, topic, 1, &options, NULL);
    publish_text(c, topic, "own", 1, false);
    publish_text(other, topic, "other", 1, true);
    expect_text(c, topic, "other", 1, true);
    publish_text(other, topic, "", 1, true);
    client_close(other);
    client_close(c);
}

static void test_topic_alias(int version)
{
    const char *topic = unique("alias");
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty alias = { .identifier = MQTTPROPERTY_CODE_TOPIC_ALIAS, .value.integer2 = 5 };
    MQTTProperties_add(&properties, &alias);
    struct client *subscriber = open_client(version, NULL, false);
    struct client *publisher = open_client(version, NULL, false);
    client_subscribe(subscriber, topic, 1, NULL, NULL);
    client_publish(publisher, topic, "1", 1, 1, false, &properties);
    client_publish(publisher, "", "2", 1, 1, false, &properties);
    expect_text(subscriber, topic, "1", 1, false);
    expect_text(subscriber, topic, "2", 1, false);
    client_close(publisher);
    client_close(subscriber);
    MQTTProperties_free(&properties);
}

/* Each message to one member, and each member gets some. */
static void test_shared(int version)
{
    enum { COUNT = 30 };
    const char *topic = unique("shared");
    char filter[128], text[16];
    snprintf(filter, sizeof filter, "$share/group/%s", topic);
    struct client *members[2], *publisher = open_client(version, NULL, false);
    for (int i = 0; i < 2; i++) {
        members[i] = open_client(version, NULL, false);
        client_subscribe(members[i], filter, 1, NULL, NULL);
    }
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "%d", i);
        publish_text(publisher, topic, text, 1, false);
    }
    int seen[COUNT] = { 0 }, got[2] = { 0 };
    for (int tries = 0; got[0] + got[1] < COUNT && tries < DEADLINE_MS / 10; tries++) {
        struct message *m = client_receive_within(members[tries % 2], 10);
        if (m == NULL)
            continue;
        seen[atoi(m->payload)]++;
        got[tries % 2]++;
        message_destroy(m);
    }
    for (int i = 0; i < COUNT; i++)
        EXPECT(seen[i] == 1);
    EXPECT(got[0] > 0 && got[1] > 0);
    client_close(members[0]);
    client_close(members[1]);
    client_close(publisher);
}

static void test_receive_max(int version)
{
    enum { COUNT = 50 };
    const char *topic = unique("receive");
    char text[16];
    struct connect_options o = {
        .port = port, .version = version, .client_id = unique("narrow"), .receive_max = 1
    };
    struct client *subscriber = client_open(&o, NULL);
    struct client *publisher = open_client(version, NULL, false);
    client_subscribe(subscriber, topic, 2, NULL, NULL);
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "%d", i);
        publish_text(publisher, topic, text, 2, false);
    }
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "%d", i);
        expect_text(subscriber, topic, text, 2, false);
    }
    client_close(publisher);
    client_close(subscriber);
}

static const struct {
    const char *name;
    void (*run)(int version);
    int since; /* the oldest version that has it */
} tests[] = {
    { "qos", test_qos, MQTT_3_1 },
    { "retained", test_retained, MQTT_3_1 },
    { "wildcards", test_wildcards, MQTT_3_1 },
    { "will", test_will, MQTT_3_1 },
    { "large", test_large, MQTT_3_1 },
    { "session", test_session, MQTT_3_1 },
    { "order", test_order, MQTT_3_1 },
    { "properties", test_properties, MQTT_5 },
    { "subscription_id", test_subscription_id, MQTT_5 },
    { "subscribe_options", test_subscribe_options, MQTT_5 },
    { "topic_alias", test_topic_alias, MQTT_5 },
    { "shared", test_shared, MQTT_5 },
    { "receive_max", test_receive_max, MQTT_5 },
};

static const struct {
    const char *name;
    int version;
} versions[] = { { "3.1", MQTT_3_1 }, { "3.1.1", MQTT_3_1_1 }, { "5", MQTT_5 } };

/* Calls each test's name, or runs the one that is asked for (NULL: none). */
static bool walk(const char *wanted)
{
    for (size_t v = 0; v < sizeof versions / sizeof versions[0]; v++) {
        for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
            char name[64];
            if (versions[v].version < tests[i].since)
                continue;
            snprintf(name, sizeof name, "%s %s", versions[v].name, tests[i].name);
            if (wanted == NULL) {
                puts(name);
            } else if (strcmp(wanted, name) == 0) {
                tests[i].run(versions[v].version);
                return true;
            }
        }
    }
    return wanted == NULL;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return walk(NULL) ? 0 : 1;
    if (argc != 3)
        fail("usage: %s list | PORT NAME", argv[0]);
    port = atoi(argv[1]);
    if (!walk(argv[2]))
        fail("no test has the name %s", argv[2]);
    return 0;
}
