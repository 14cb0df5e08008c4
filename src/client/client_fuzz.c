/* client/client_fuzz.c: a client against a hostile Server.  The first byte of the input picks
 * version and habits; the rest is what the Server says, in pieces, with time passing and the
 * connection breaking now and then. */
#include "chappe/client.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VERSION = 0x03, MANUAL = 0x04, KEEPS_SESSION = 0x08, PIECE = 0x30 };

/* Looks at every byte an event points to: a view that leads nowhere shows under the sanitizer. */
static unsigned look(struct chappe_bytes bytes)
{
    unsigned sum = 0;
    for (size_t i = 0; i < bytes.size; i++)
        sum += bytes.data[i];
    return sum;
}

static unsigned look_at_event(const struct chappe_event *event)
{
    unsigned sum = look(event->message.topic) + look(event->message.payload) + look(event->reasons);
    struct chappe_bytes rest = event->properties;
    for (struct chappe_property p; chappe_property_next(&rest, &p);)
        sum += look(p.name) + look(p.value);
    assert(event->type >= CHAPPE_EVENT_CONNECTED && event->type <= CHAPPE_EVENT_AUTH);
    assert(event->error <= 0);
    return sum;
}

static void ask(struct chappe_client *c)
{
    struct chappe_subscription s = { chappe_string("a/#"), 2 };
    struct chappe_bytes filter = chappe_string("b");
    struct chappe_message m = { .topic = chappe_string("a/b"), .payload = chappe_string("x") };
    (void)chappe_client_subscribe(c, &s, 1, chappe_bytes(NULL, 0), NULL);
    (void)chappe_client_unsubscribe(c, &filter, 1, chappe_bytes(NULL, 0), NULL);
    for (m.qos = 0; m.qos <= 2; m.qos++)
        (void)chappe_client_publish(c, &m, NULL);
}

static unsigned take_events(struct chappe_client *c, int64_t now_ns)
{
    struct chappe_event event;
    unsigned sum = 0;
    while (chappe_client_next(c, now_ns, &event)) {
        sum += look_at_event(&event);
        if (event.type == CHAPPE_EVENT_CONNECTED)
            ask(c);
        if (event.type == CHAPPE_EVENT_MESSAGE && (event.packet_id & 1) != 0)
            (void)chappe_client_acknowledge(c, event.packet_id, CHAPPE_SUCCESS,
                                            chappe_bytes(NULL, 0));
    }
    chappe_client_sent(c, chappe_client_output(c).size, now_ns);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum chappe_version versions[] = { 0, CHAPPE_MQTT_3_1, CHAPPE_MQTT_3_1_1,
                                                    CHAPPE_MQTT_5_0 };
    static const uint8_t properties[] = "\x21\x00\x05\x22\x00\x03\x11\x00\x00\x00\x3c\x15\x00\x01x";
    if (size < 1)
        return 0;
    struct chappe_client_options options = {
        .version = versions[data[0] & VERSION],
        .client_id = "fuzz",
        .clean_start = (data[0] & KEEPS_SESSION) == 0,
        .keep_alive_s = 10,
        .packet_size_max = 10000,
        .topic_aliases_max = 2,
        .manual_acks = (data[0] & MANUAL) != 0,
    };
    if ((data[0] & VERSION) == 3)
        options.properties = chappe_bytes(properties, sizeof properties - 1);
    struct chappe_client *c;
    if (chappe_client_create(&options, &c) != 0)
        return 0;

    static const size_t pieces[] = { SIZE_MAX, 1, 7, 100 };
    size_t piece = pieces[(data[0] & PIECE) >> 4];
    int64_t now_ns = 0;
    for (size_t at = 1; at < size;) {
        size_t now = size - at < piece ? size - at : piece;
        if (chappe_client_state(c) == CHAPPE_OFFLINE && chappe_client_connect(c, now_ns) != 0)
            break;
        if (chappe_client_receive(c, chappe_bytes(data + at, now), now_ns) != 0)
            break;
        take_events(c, now_ns);
        if (chappe_client_state(c) == CHAPPE_CLOSING)
            chappe_client_closed(c, 0);
        take_events(c, now_ns);
        now_ns += 1000000000;
        at += now;
    }
    chappe_client_closed(c, 0);
    take_events(c, now_ns + (INT64_C(1) << 40));
    chappe_client_destroy(c);
    return 0;
}
