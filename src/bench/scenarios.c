/* bench/scenarios.c: see scenarios.h.
 *
 * Windows are as large as it takes to keep a broker busy, and small enough that no more than some
 * megabytes are under way: a benchmark of the kernel's memory would be another one.  They decide
 * how many messages share a system call, so what is compared has the same one: 50 per publisher
 * for a stream of small messages, one for devices. */
#include "bench/scenarios.h"
#include "bench/flow.h"
#include "bench/peer.h"
#include "bench/store_loads.h"
#include <stdarg.h>
#include <stdio.h>

/* What most rows have. */
#define MESSAGES(wired, from, to)                                                                  \
    .kind = BENCH_MESSAGES, .wiring = wired, .publishers = from, .subscribers = to,                \
    .warm_up = 0.5, .seconds = 5

static const struct bench_spec rows[] = {
    {
        .name = "p2p-qos0",
        .about = "100 pairs, each as fast as it can, QoS 0",
        MESSAGES(WIRING_PAIRS, 100, 100),
        .payload_size = 64,
        .window = 50,
    },
    {
        .name = "p2p-qos1",
        .about = "100 pairs, each as fast as it can, QoS 1",
        MESSAGES(WIRING_PAIRS, 100, 100),
        .qos = 1,
        .payload_size = 64,
        .window = 50,
    },
    {
        .name = "p2p-qos2",
        .about = "100 pairs, each as fast as it can, QoS 2",
        MESSAGES(WIRING_PAIRS, 100, 100),
        .qos = 2,
        .payload_size = 64,
        .window = 50,
    },
    {
        .name = "p2p-1k",
        .about = "100 pairs, 1 KiB of payload",
        MESSAGES(WIRING_PAIRS, 100, 100),
        .payload_size = 1024,
        .window = 50,
    },
    {
        .name = "p2p-64k",
        .about = "16 pairs, 64 KiB of payload",
        MESSAGES(WIRING_PAIRS, 16, 16),
        .payload_size = 65536,
        .window = 4,
    },
    {
        .name = "device-qos0",
        .about = "500 pairs with one message under way each, QoS 0: what devices do",
        MESSAGES(WIRING_PAIRS, 500, 500),
        .payload_size = 64,
        .window = 1,
    },
    {
        .name = "device-qos1",
        .about = "the same at QoS 1",
        MESSAGES(WIRING_PAIRS, 500, 500),
        .qos = 1,
        .payload_size = 64,
        .window = 1,
    },
    {
        .name = "open-p2p",
        .about = "5,000 messages/s from 500 publishers to a subscriber each, come what may",
        MESSAGES(WIRING_PAIRS, 500, 500),
        .payload_size = 64,
        .rate = 5000,
    },
    {
        .name = "open-fan-out",
        .about = "40 messages/s to 500 subscribers each, come what may",
        MESSAGES(WIRING_FANOUT, 1, 500),
        .payload_size = 64,
        .rate = 40,
    },
    {
        .name = "fan-in",
        .about = "200 publishers to one subscriber",
        MESSAGES(WIRING_FANIN, 200, 1),
        .payload_size = 64,
        .window = 20,
    },
    {
        .name = "fan-out-500",
        .about = "one publisher to 500 subscribers",
        MESSAGES(WIRING_FANOUT, 1, 500),
        .payload_size = 64,
        .window = 20,
    },
    {
        .name = "fan-out-500-1k",
        .about = "the same with 1 KiB of payload",
        MESSAGES(WIRING_FANOUT, 1, 500),
        .payload_size = 1024,
        .window = 20,
    },
    {
        .name = "fan-out-1000",
        .about = "one publisher to 1,000 subscribers",
        MESSAGES(WIRING_FANOUT, 1, 1000),
        .payload_size = 64,
        .window = 20,
    },
    {
        .name = "fan-out-10000",
        .about = "one publisher to 10,000 subscribers",
        MESSAGES(WIRING_FANOUT, 1, 10000),
        .payload_size = 64,
        .window = 4,
    },
    {
        .name = "wildcard",
        .about = "100 clients with 100,000 wildcard subscriptions to 100,000 topics",
        MESSAGES(WIRING_SPREAD, 100, 100),
        .payload_size = 64,
        .window = 50,
        .topics = 100000,
        .with_wildcards = true,
    },
    {
        .name = "shared",
        .about = "50 publishers to a group of 20 subscribers",
        MESSAGES(WIRING_SHARED, 50, 20),
        .payload_size = 64,
        .window = 50,
    },
    {
        .name = "new-topics",
        .about = "100 pairs, each message on a topic that was never used before",
        MESSAGES(WIRING_PAIRS, 100, 100),
        .payload_size = 64,
        .window = 50,
        .with_new_topics = true,
    },
    {
        .name = "churn",
        .about = "100 pairs, while another client subscribes and unsubscribes all the time",
        MESSAGES(WIRING_PAIRS, 100, 100),
        .payload_size = 64,
        .window = 50,
        .churn = 100,
    },
    {
        .name = "connect",
        .about = "50 clients at a time connect and disconnect, again and again",
        .kind = BENCH_CONNECT,
        .window = 50,
        .warm_up = 0.5,
        .seconds = 5,
    },
    {
        .name = "idle",
        .about = "10,000 connections with a subscription each, that do nothing: memory",
        .kind = BENCH_IDLE,
        .subscribers = 10000,
        .seconds = 1,
    },
    {
        .name = "retained",
        .about = "100,000 retained messages replayed to a new subscription, again and again",
        .kind = BENCH_RETAINED,
        .subscribers = 1,
        .qos = 1,
        .payload_size = 64,
        .window = 100,
        .topics = 100000,
        .warm_up = 0.5,
        .seconds = 5,
    },
    {
        .name = "drain",
        .about = "100 persistent sessions come back to 1,000 queued messages each",
        .kind = BENCH_DRAIN,
        .subscribers = 100,
        .qos = 1,
        .payload_size = 64,
        .window = 100,
        .queued = 1000,
        .warm_up = 0.5,
        .seconds = 5,
    },
    {
        .name = "durable-offline",
        .about = "100 publishers to 10 persistent sessions that are away, QoS 1",
        .kind = BENCH_MESSAGES,
        .wiring = WIRING_SPREAD,
        .publishers = 100,
        .subscribers = 10,
        .sessions = SESSIONS_AWAY,
        .qos = 1,
        .payload_size = 200,
        .window = 50,
        .topics = 10,
        .warm_up = 0.5,
        .seconds = 2, /* nobody takes what piles up meanwhile */
    },
    {
        .name = "durable-offline-paced",
        .about = "2,000 messages/s to 10 persistent sessions that are away, come what may",
        MESSAGES(WIRING_SPREAD, 100, 10),
        .sessions = SESSIONS_AWAY,
        .qos = 1,
        .payload_size = 200,
        .rate = 2000,
        .topics = 10,
    },
    {
        .name = "durable-connected",
        .about = "p2p-qos1 with subscribers whose sessions are persistent",
        MESSAGES(WIRING_PAIRS, 100, 100),
        .sessions = SESSIONS_DURABLE,
        .qos = 1,
        .payload_size = 64,
        .window = 50,
    },
    {
        .name = "durable-qos2",
        .about = "p2p-qos2 with subscribers whose sessions are persistent",
        MESSAGES(WIRING_PAIRS, 100, 100),
        .sessions = SESSIONS_DURABLE,
        .qos = 2,
        .payload_size = 64,
        .window = 50,
    },
    {
        .name = "durable-queue-drain",
        .about = "10 persistent sessions come back to 10,000 queued messages each",
        .kind = BENCH_DRAIN,
        .subscribers = 10,
        .qos = 1,
        .payload_size = 200,
        .window = 1000,
        .queued = 10000,
        .warm_up = 0.5,
        .seconds = 5,
    },
};

enum { ROWS = sizeof rows / sizeof rows[0] };

const struct bench_spec *scenario_at(size_t index)
{
    return index < ROWS ? &rows[index] : NULL;
}

const struct bench_spec *scenario_find(const char *name)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    }
    return NULL;
}

uint32_t scenario_connections(const struct bench_spec *spec)
{
    switch (spec->kind) {
    case BENCH_MESSAGES:
        return spec->publishers + spec->subscribers + (spec->churn > 0);
    case BENCH_CONNECT:
        return spec->window;
    case BENCH_IDLE:
        return spec->subscribers;
    case BENCH_RETAINED:
    case BENCH_DRAIN:
        return spec->subscribers + 1; /* who publishes */
    }
    return 0;
}

/* ------------------------------------------------------------------------------------- check -- */

/* Always false, as "cannot be run". */
__attribute__((format(printf, 2, 3))) static bool fault(struct buffer *error, const char *format,
                                                        ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)buffer_append(error, bytes_of_string(text)); /* without memory: less to read */
    return false;
}

static uint32_t payload_min(const struct bench_spec *spec)
{
    switch (spec->kind) {
    case BENCH_MESSAGES:
        return STAMP_SIZE;
    case BENCH_RETAINED:
    case BENCH_DRAIN:
        return STORE_PAYLOAD_MIN;
    case BENCH_CONNECT:
    case BENCH_IDLE:
        break;
    }
    return 0;
}

/* What all publishers may have under way must not be more than clients and broker can hold. */
static bool check_window(const struct bench_spec *s, struct buffer *error)
{
    const uint64_t each_max = UINT64_C(32) << 20, all_max = UINT64_C(1) << 30;
    if (s->kind != BENCH_MESSAGES || s->rate > 0)
        return true;
    bool is_copied = s->wiring == WIRING_FANOUT || s->wiring == WIRING_FANIN;
    uint64_t each = (uint64_t)s->window * s->payload_size;
    uint64_t all = each * s->publishers * (is_copied ? s->subscribers : 1);
    if (each <= each_max && all <= all_max)
        return true;
    return fault(error,
                 "%s would have %u messages of %u bytes under way per publisher, %llu MiB with all "
                 "copies: too much; ask for less with --window",
                 s->name, s->window, s->payload_size, (unsigned long long)(all >> 20));
}

/* It joins streams of bytes; and acknowledgements of many to one would be too many. */
static bool check_relay(const struct bench_spec *s, struct buffer *error)
{
    bool is_plain =
        s->wiring == WIRING_PAIRS || s->wiring == WIRING_FANOUT || s->wiring == WIRING_FANIN;
    if (s->kind != BENCH_MESSAGES || !is_plain || s->churn > 0)
        return fault(error, "%s needs a broker: a relay knows no %s", s->name,
                     s->kind == BENCH_MESSAGES ? "subscriptions" : "MQTT");
    if (s->sessions != SESSIONS_CLEAN)
        return fault(error, "%s needs a broker: a relay knows no Sessions", s->name);
    if (s->wiring != WIRING_PAIRS && s->qos > 0)
        return fault(error, "%s at QoS %u needs a broker: a relay can only do pairs", s->name,
                     s->qos);
    return true;
}

bool scenario_check(const struct bench_spec *s, struct buffer *error)
{
    if (s->kind == BENCH_MESSAGES && s->wiring == WIRING_PAIRS && s->publishers != s->subscribers)
        return fault(error, "%s is made of pairs: %u publishers need as many subscribers, not %u",
                     s->name, s->publishers, s->subscribers);
    if (s->payload_size < payload_min(s))
        return fault(error, "%s needs payloads of at least %u bytes, to tell messages apart",
                     s->name, payload_min(s));
    if (s->sessions == SESSIONS_AWAY && s->qos == 0)
        return fault(error, "%s needs QoS 1 or 2: nobody has to keep messages of QoS 0", s->name);
    if (s->kind == BENCH_CONNECT && s->window > OPENING_MAX)
        return fault(error, "%s can have at most %u connections under way", s->name, OPENING_MAX);
    if (s->kind == BENCH_RETAINED && s->qos > 1)
        return fault(error, "%s can be subscribed to at QoS 0 and 1 only", s->name);
    if (s->wiring == WIRING_SPREAD && s->topics < s->subscribers)
        return fault(error, "%s needs a topic for each subscriber: at least %u", s->name,
                     s->subscribers);
    return check_window(s, error) && (!s->target.is_relay || check_relay(s, error));
}
