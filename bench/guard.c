/* bench/guard.c: how many instructions does the broker take for a message?
 *
 *     stage    set up, and played until nothing is new to it     not counted
 *     steps    the same, so many times                           counted:
 *
 *         worker_turn -- broker, session, router, mqtt, malloc, memcpy ...   yes
 *              '-- the network door -- make-believe sockets                  no
 *         clients                                                            no
 *
 * One scenario, one process; bench/guard runs them all under callgrind, which counts, and compares.
 * The counter is switched on and off here; that it runs inside worker_turn and not inside the door
 * is said on callgrind's command line (--toggle-collect).  Without callgrind this is an ordinary
 * program: perf can look at it.
 *
 * malloc is glibc's.  A release may be linked with mimalloc, but that one looks at the clock and at
 * addresses, and is not installed everywhere. */
#include "guard_stage.h"
#include <assert.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <valgrind/callgrind.h>

struct scenario {
    const char *name, *text;
    unsigned workers;
    unsigned publishers, subscribers;
    const char *filter; /* with a number: which subscriber, or which of all filters */
    const char *topic;  /* with a number below topic_count, another one for each message */
    unsigned topic_count;
    uint8_t qos;
    enum version version;
    unsigned payload_size;
    unsigned burst;     /* messages of each publisher in one step */
    unsigned receivers; /* of each message */
    unsigned steps;
    void (*set_up)(struct stage *, const struct scenario *);
    void (*prepare)(struct stage *, const struct scenario *);  /* before each step, not counted */
    uint64_t (*step)(struct stage *, const struct scenario *); /* how many operations it was */
};

/* --------------------------------------------------------------------------------- playing ---- */

static struct peer *publisher(struct stage *s, unsigned index)
{
    return &s->peers[index];
}

static struct peer *subscriber(struct stage *s, const struct scenario *how, unsigned index)
{
    return &s->peers[how->publishers + index];
}

/* Each at the next worker: the first publisher and the first subscriber have different ones. */
static void connect_all(struct stage *s, const struct scenario *how)
{
    for (unsigned i = 0; i < s->peer_count; i++) {
        peer_connect(&s->peers[i], i % how->workers, how->version, true);
        stage_run(s);
    }
}

static void subscribe(struct peer *p, const struct scenario *how, unsigned number)
{
    char filter[64];
    int size = snprintf(filter, sizeof filter, how->filter, number);
    peer_subscribe(p, bytes_of(filter, (size_t)size), how->qos);
}

static void set_up(struct stage *s, const struct scenario *how)
{
    connect_all(s, how);
    for (unsigned i = 0; i < how->subscribers; i++)
        subscribe(subscriber(s, how, i), how, i);
    stage_run(s);
}

static void publish(struct peer *p, const struct scenario *how, unsigned number, bool retain)
{
    static const uint8_t payload[64 * 1024];
    char topic[64];
    /* jumps from topic to topic, through all of them: the factor is a prime */
    number = (unsigned)(number * UINT64_C(7919) % how->topic_count);
    int size = snprintf(topic, sizeof topic, how->topic, number);
    struct publish message = { .qos = how->qos, .retain = retain };
    message.topic = bytes_of(topic, (size_t)size);
    message.payload = bytes_of(payload, how->payload_size);
    peer_publish(p, message);
}

static void publish_all(struct stage *s, const struct scenario *how)
{
    static unsigned number;
    uint64_t completed = s->completed;
    uint64_t count = (uint64_t)how->publishers * how->burst;
    for (unsigned i = 0; i < how->publishers; i++)
        for (unsigned k = 0; k < how->burst; k++)
            publish(publisher(s, i), how, number++, false);
    stage_run(s);
    assert(s->completed - completed == (how->qos > 0 ? count : 0));
}

/* Per delivered message. */
static uint64_t deliver_all(struct stage *s, const struct scenario *how)
{
    uint64_t heard = s->heard;
    publish_all(s, how);
    heard = s->heard - heard;
    assert(heard == (uint64_t)how->publishers * how->burst * how->receivers);
    return heard;
}

/* -------------------------------------------------------------------------------- the scenes -- */

enum { FILTERS_EACH = 10000 };

static void set_up_wildcards(struct stage *s, const struct scenario *how)
{
    connect_all(s, how);
    for (unsigned i = 0; i < how->subscribers; i++) {
        for (unsigned k = 0; k < FILTERS_EACH; k++)
            subscribe(subscriber(s, how, i), how, i * FILTERS_EACH + k);
        stage_run(s);
    }
}

static void set_up_retained(struct stage *s, const struct scenario *how)
{
    connect_all(s, how);
    for (unsigned i = 0; i < how->topic_count; i++) {
        publish(publisher(s, 0), how, i, true);
        if (i % 1000 == 999)
            stage_run(s);
    }
    stage_run(s);
}

/* Per Retained Message. */
static uint64_t replay(struct stage *s, const struct scenario *how)
{
    uint64_t heard = s->heard;
    subscribe(subscriber(s, how, 0), how, 0);
    stage_run(s);
    assert(s->heard - heard == how->topic_count);
    return s->heard - heard;
}

static void set_up_queue(struct stage *s, const struct scenario *how)
{
    connect_all(s, how);
    peer_disconnect(subscriber(s, how, 0));
    peer_connect(subscriber(s, how, 0), 0, how->version, false);
    subscribe(subscriber(s, how, 0), how, 0);
    stage_run(s);
}

static void leave(struct stage *s, const struct scenario *how)
{
    peer_disconnect(subscriber(s, how, 0));
}

static void come_back(struct stage *s, const struct scenario *how)
{
    peer_connect(subscriber(s, how, 0), 0, how->version, false);
    stage_run(s);
}

static void come_and_leave(struct stage *s, const struct scenario *how)
{
    if (subscriber(s, how, 0)->link == NULL)
        come_back(s, how);
    leave(s, how);
}

static void leave_and_miss(struct stage *s, const struct scenario *how)
{
    leave(s, how);
    publish_all(s, how);
}

/* Per message that waits. */
static uint64_t queue(struct stage *s, const struct scenario *how)
{
    publish_all(s, how);
    return how->burst;
}

static uint64_t drain(struct stage *s, const struct scenario *how)
{
    uint64_t heard = s->heard;
    come_back(s, how);
    assert(s->heard - heard == how->burst);
    return how->burst;
}

static void set_up_nothing(struct stage *s, const struct scenario *how) {}

/* Per Network Connection. */
static uint64_t visit(struct stage *s, const struct scenario *how)
{
    for (unsigned i = 0; i < how->burst; i++) {
        peer_connect(subscriber(s, how, 0), 0, how->version, true);
        stage_run(s);
        subscribe(subscriber(s, how, 0), how, 0);
        stage_run(s);
        peer_disconnect(subscriber(s, how, 0));
    }
    return how->burst;
}

static const struct scenario scenarios[] = {
    { "qos0-alone", "QoS 0, one message in a turn", .burst = 1, .steps = 200 },
    { "qos0", "QoS 0, 100 in a turn", .burst = 100, .steps = 10 },
    { "qos0-1k", "QoS 0, 1 KB, 50 in a turn", .payload_size = 1024, .burst = 50, .steps = 10 },
    { "qos0-64k", "QoS 0, 64 KB", .payload_size = 64 * 1024, .burst = 1, .steps = 20 },
    { "qos1-alone", "QoS 1, one in flight", .qos = 1, .burst = 1, .steps = 200 },
    { "qos1", "QoS 1, 20 in flight", .qos = 1, .burst = 20, .steps = 20 },
    { "qos1-5.0", "the same in MQTT 5.0", .version = VERSION_5_0, .qos = 1, .burst = 20,
      .steps = 20 },
    { "qos2", "QoS 2, 20 in flight", .qos = 2, .burst = 20, .steps = 20 },
    { "pairs", "QoS 0, 100 pairs, one in flight each", .publishers = 100, .subscribers = 100,
      .filter = "device/%u/state", .topic_count = 100, .burst = 1, .steps = 10 },
    { "pairs-qos1", "QoS 1, 100 pairs, one in flight each", .publishers = 100, .subscribers = 100,
      .filter = "device/%u/state", .topic_count = 100, .qos = 1, .burst = 1, .steps = 10 },
    { "new-topics", "QoS 0, 100 in a turn, each with a topic of its own", .filter = "device/#",
      .topic_count = 1000000, .burst = 100, .steps = 10 },
    { "fan-out", "one message to 500", .subscribers = 500, .receivers = 500, .burst = 1,
      .steps = 5 },
    { "fan-out-qos1", "QoS 1, one message to 500", .subscribers = 500, .receivers = 500, .qos = 1,
      .burst = 1, .steps = 5 },
    { "fan-in", "200 publishers, 5 in a turn each", .publishers = 200, .burst = 5, .steps = 3 },
    { "wildcard", "100,000 filters with a \"+\", jumping from one to the other", .subscribers = 10,
      .filter = "device/%u/+/state", .topic = "device/%u/a/state", .topic_count = 10 * FILTERS_EACH,
      .burst = 100, .steps = 10, .set_up = set_up_wildcards },
    { "shared", "a group of 20", .subscribers = 20, .filter = "$share/g/device/+/state",
      .burst = 100, .steps = 10 },
    { "two-workers", "QoS 0 from one worker to another, 100 in a turn", .workers = 2, .burst = 100,
      .steps = 10 },
    { "two-workers-qos1", "QoS 1 from one worker to another, 20 in flight", .workers = 2, .qos = 1,
      .burst = 20, .steps = 20 },
    { "retained", "10,000 Retained Messages to a new subscription", .filter = "device/#",
      .topic_count = 10000, .steps = 1, .set_up = set_up_retained, .step = replay },
    { "queue", "QoS 1, 1,000 messages for an absent Client", .qos = 1, .burst = 1000, .steps = 1,
      .set_up = set_up_queue, .prepare = come_and_leave, .step = queue },
    { "drain", "QoS 1, the same when it comes back", .qos = 1, .burst = 1000, .steps = 1,
      .set_up = set_up_queue, .prepare = leave_and_miss, .step = drain },
    { "connect", "CONNECT, SUBSCRIBE, DISCONNECT", .burst = 50, .steps = 1,
      .set_up = set_up_nothing, .step = visit },
};

/* One publisher, one subscriber, 64 bytes, and what else a row does not say. */
static struct scenario filled_in(struct scenario s)
{
    s.workers = s.workers == 0 ? 1 : s.workers;
    s.publishers = s.publishers == 0 ? 1 : s.publishers;
    s.subscribers = s.subscribers == 0 ? 1 : s.subscribers;
    s.receivers = s.receivers == 0 ? 1 : s.receivers;
    s.topic = s.topic == NULL ? "device/%u/state" : s.topic;
    s.topic_count = s.topic_count == 0 ? 1 : s.topic_count;
    s.filter = s.filter == NULL ? "device/0/state" : s.filter;
    s.payload_size = s.payload_size == 0 ? 64 : s.payload_size;
    s.version = s.version == 0 ? VERSION_3_1_1 : s.version;
    s.set_up = s.set_up == NULL ? set_up : s.set_up;
    s.step = s.step == NULL ? deliver_all : s.step;
    return s;
}

/* ------------------------------------------------------------------------------- counting ----- */

struct count {
    uint64_t operations, calls;
};

static void play_step(struct stage *s, const struct scenario *how, struct count *sum)
{
    uint64_t before = s->world->door_calls;
    sum->operations += how->step(s, how);
    sum->calls += s->world->door_calls - before;
}

/* To start and to stop takes callgrind some milliseconds: only where something is not counted
 * between the steps is it done for each. */
static struct count play_counted(struct stage *s, const struct scenario *how)
{
    struct count sum = { 0 };
    if (how->prepare == NULL)
        CALLGRIND_START_INSTRUMENTATION;
    for (unsigned i = 0; i < how->steps; i++) {
        if (how->prepare != NULL) {
            how->prepare(s, how);
            CALLGRIND_START_INSTRUMENTATION;
        }
        play_step(s, how, &sum);
        if (how->prepare != NULL)
            CALLGRIND_STOP_INSTRUMENTATION;
    }
    if (how->prepare == NULL)
        CALLGRIND_STOP_INSTRUMENTATION;
    return sum;
}

static void play(struct scenario row)
{
    const struct scenario filled = filled_in(row), *how = &filled;
    struct stage *s = stage_create(how->workers, how->publishers + how->subscribers);
    how->set_up(s, how);
    for (unsigned i = 0; i < how->steps; i++) {
        if (how->prepare != NULL)
            how->prepare(s, how);
        (void)how->step(s, how);
    }
    struct count sum = play_counted(s, how);
    printf("{\"operations\": %llu, \"calls\": %llu}\n", (unsigned long long)sum.operations,
           (unsigned long long)sum.calls);
}

static void list_scenarios(void)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        printf("%-18s %s\n", scenarios[i].name, scenarios[i].text);
}

/* What the counts depend on, apart from the code. */
static void print_toolchain(void)
{
    struct utsname machine;
    int result = uname(&machine);
    assert(result == 0);
    bool is_gcc = __VERSION__[0] >= '0' && __VERSION__[0] <= '9'; /* others say their name */
    printf("%s%s, glibc %s, %s\n", is_gcc ? "gcc " : "", __VERSION__, gnu_get_libc_version(),
           machine.machine);
}

int main(int argc, char **argv)
{
    const char *name = argc == 2 ? argv[1] : "";
    if (strcmp(name, "--list") == 0) {
        list_scenarios();
        return 0;
    }
    if (strcmp(name, "--toolchain") == 0) {
        print_toolchain();
        return 0;
    }
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        if (strcmp(scenarios[i].name, name) == 0) {
            play(scenarios[i]);
            return 0;
        }
    }
    fprintf(stderr, "Usage: guard --list | --toolchain | SCENARIO\n");
    return 2;
}
