/* admin/sys_topics.c: figures to text to topics.
 *
 * A value has a slot with its topic and the text it had last.  Four kinds of source fill slots: the
 * broker's metrics, drops by cause, packets by type, and a few that are computed here.  Load
 * figures are moving averages per minute: new = r + e^(-dt/T) (old - r), T of 1, 5 and 15 minutes.
 */
#include "admin/sys_topics.h"
#include "base/memory.h"
#include "broker/publication.h"
#include "broker/storage.h"
#include "broker/worker.h"
#include <math.h>
#include <pthread.h>
#include <stdio.h>

enum { TOPIC_SIZE = 96, TEXT_SIZE = 64, SLOTS_MAX = 192, LOG_LINES_MAX = 64, LOG_LINE_SIZE = 512 };

#define SECOND_NS INT64_C(1000000000)

struct slot {
    char topic[TOPIC_SIZE];
    char text[TEXT_SIZE];
};

/* What has a moving average. */
enum load {
    LOAD_MESSAGES_RECEIVED,
    LOAD_MESSAGES_SENT,
    LOAD_PUBLISH_RECEIVED,
    LOAD_PUBLISH_SENT,
    LOAD_PUBLISH_DROPPED,
    LOAD_BYTES_RECEIVED,
    LOAD_BYTES_SENT,
    LOAD_SOCKETS,
    LOAD_CONNECTIONS,
    LOAD_COUNT
};

static const struct {
    const char *topic;
    enum metric metric;
} loads[LOAD_COUNT] = {
    [LOAD_MESSAGES_RECEIVED] = { "messages/received", METRIC_packets_received },
    [LOAD_MESSAGES_SENT] = { "messages/sent", METRIC_packets_sent },
    [LOAD_PUBLISH_RECEIVED] = { "publish/received", METRIC_publish_received },
    [LOAD_PUBLISH_SENT] = { "publish/sent", METRIC_publish_sent },
    [LOAD_PUBLISH_DROPPED] = { "publish/dropped", METRIC_publish_dropped },
    [LOAD_BYTES_RECEIVED] = { "bytes/received", METRIC_bytes_received },
    [LOAD_BYTES_SENT] = { "bytes/sent", METRIC_bytes_sent },
    [LOAD_SOCKETS] = { "sockets", METRIC_sockets_accepted },
    [LOAD_CONNECTIONS] = { "connections", METRIC_connections_accepted },
};

static const struct {
    const char *name;
    double minutes;
} spans[] = { { "1min", 1 }, { "5min", 5 }, { "15min", 15 } };

enum { SPANS = sizeof spans / sizeof spans[0] };

struct sys_topics {
    struct server_job job;
    struct server *server;
    struct slot slots[SLOTS_MAX];
    size_t slot_at; /* during a run: the slot that the next value goes to */
    int64_t next_figures_ns;
    int64_t last_ns;
    int64_t counters[LOAD_COUNT];
    double averages[LOAD_COUNT][SPANS];
    int64_t clients_max;

    pthread_mutex_t lock; /* guards the lines */
    struct {
        enum log_type type;
        char text[LOG_LINE_SIZE];
    } lines[LOG_LINES_MAX];
    size_t line_count;
};

/* ------------------------------------------------------------------------------ publishing ---- */

static void publish(struct worker *w, const char *topic, const char *text, bool retain,
                    int64_t expires_ns)
{
    struct publish p = { .qos = 2, .retain = retain, .payload = bytes_of_string(text) };
    struct message *m = message_create(bytes_of_string(topic), &p, 0, expires_ns);
    if (m != NULL) /* else the figure is missing once */
        worker_publish(w, m, 0);
}

/* The values come in the same order each time, so the nth value has the nth slot. */
static void put_text(struct sys_topics *t, struct worker *w, const char *topic, const char *text)
{
    assert(t->slot_at < SLOTS_MAX);
    struct slot *s = &t->slots[t->slot_at++];
    if (strcmp(s->text, text) == 0)
        return;
    snprintf(s->topic, sizeof s->topic, "$SYS/broker/%s", topic);
    snprintf(s->text, sizeof s->text, "%s", text);
    publish(w, s->topic, s->text, true, MESSAGE_NEVER);
}

static void put(struct sys_topics *t, struct worker *w, const char *topic, int64_t value)
{
    char text[TEXT_SIZE];
    snprintf(text, sizeof text, "%lld", (long long)value);
    put_text(t, w, topic, text);
}

/* ---------------------------------------------------------------------------------- values ---- */

static void put_metrics(struct sys_topics *t, struct worker *w)
{
#define METRIC(name, kind, topic, text) put(t, w, topic, server_metric(t->server, METRIC_##name));
    METRIC_TABLE(METRIC)
#undef METRIC
#define DROP(name, topic, text) put(t, w, "drops/" topic, server_drops(t->server, DROP_##name));
    DROP_TABLE(DROP)
#undef DROP
}

static void put_packets(struct sys_topics *t, struct worker *w)
{
    for (int type = PACKET_CONNECT; type <= PACKET_AUTH; type++) {
        char topic[TOPIC_SIZE], name[16];
        snprintf(name, sizeof name, "%s", packet_type_name(type));
        for (char *c = name; *c != '\0'; c++)
            *c = (char)(*c | 0x20); /* ASCII letters only: to lower case */
        snprintf(topic, sizeof topic, "mqtt/%s/received", name);
        put(t, w, topic, server_packets(t->server, type, false));
        snprintf(topic, sizeof topic, "mqtt/%s/sent", name);
        put(t, w, topic, server_packets(t->server, type, true));
    }
}

static void put_clients(struct sys_topics *t, struct worker *w)
{
    int64_t total = server_metric(t->server, METRIC_clients_total);
    int64_t connected = server_metric(t->server, METRIC_clients_connected);
    if (total > t->clients_max)
        t->clients_max = total;
    put(t, w, "clients/active", connected);
    put(t, w, "clients/disconnected", total - connected);
    put(t, w, "clients/inactive", total - connected);
    put(t, w, "clients/maximum", t->clients_max);
}

static void put_stores(struct sys_topics *t, struct worker *w)
{
    const struct server *s = t->server;
    int64_t count = (int64_t)retained_count(s->retained);
    int64_t bytes = (int64_t)retained_bytes(s->retained);
    count += server_metric(s, METRIC_queued_messages);
    bytes += server_metric(s, METRIC_queued_bytes);
    put(t, w, "messages/stored", count);
    put(t, w, "store/messages/count", count);
    put(t, w, "store/messages/bytes", bytes);
    put(t, w, "retained messages/count", (int64_t)retained_count(s->retained));
    put(t, w, "subscriptions/count", (int64_t)router_subscription_count(s->router));
    put(t, w, "shared_subscriptions/count", (int64_t)router_share_count(s->router));
    put(t, w, "heap/current", (int64_t)memory_used());
    put(t, w, "heap/maximum", (int64_t)memory_used_max());
}

/* The store's own figures, which exist with persistence only.  room/low is the alarm: messages that
 * would have to be stored are refused. */
static void put_persistence(struct sys_topics *t, struct worker *w)
{
    struct storage *storage = t->server->storage;
    if (storage == NULL)
        return;
    struct store_stats stats = storage_stats(storage);
    put(t, w, "persistence/bytes", (int64_t)stats.bytes);
    put(t, w, "persistence/bytes/live", (int64_t)stats.live_bytes);
    put(t, w, "persistence/bytes/written", (int64_t)stats.bytes_written);
    put(t, w, "persistence/segments", (int64_t)stats.segments);
    put(t, w, "persistence/commits", (int64_t)stats.batches_written);
    put(t, w, "persistence/queued messages", (int64_t)stats.entries);
    put(t, w, "persistence/room/low", storage_is_full(storage) ? 1 : 0);
}

static void put_loads(struct sys_topics *t, struct worker *w)
{
    double minutes = (double)(w->now_ns - t->last_ns) / (60.0 * (double)SECOND_NS);
    for (int i = 0; i < LOAD_COUNT; i++) {
        int64_t counter = server_metric(t->server, loads[i].metric);
        double rate = minutes > 0 ? (double)(counter - t->counters[i]) / minutes : 0;
        t->counters[i] = counter;
        for (size_t s = 0; s < SPANS; s++) {
            double *average = &t->averages[i][s];
            char topic[TOPIC_SIZE], text[TEXT_SIZE];
            *average = rate + exp(-minutes / spans[s].minutes) * (*average - rate);
            snprintf(topic, sizeof topic, "load/%s/%s", loads[i].topic, spans[s].name);
            snprintf(text, sizeof text, "%.2f", *average);
            put_text(t, w, topic, text);
        }
    }
    t->last_ns = w->now_ns;
}

static void put_static(struct sys_topics *t, struct worker *w)
{
    char text[TEXT_SIZE];
    put_text(t, w, "version",
             "mosquitto version " CHAPPE_MOSQUITTO_VERSION " (chappe " CHAPPE_VERSION ")");
    snprintf(text, sizeof text, "%lld seconds",
             (long long)((w->now_ns - t->server->started_ns) / SECOND_NS));
    put_text(t, w, "uptime", text);
}

/* ------------------------------------------------------------------------------------ logs ---- */

static const char *log_topic(enum log_type type)
{
    switch (type) {
    case LOG_TYPE_ERROR:
        return "$SYS/broker/log/E";
    case LOG_TYPE_WARNING:
        return "$SYS/broker/log/W";
    case LOG_TYPE_NOTICE:
        return "$SYS/broker/log/N";
    case LOG_TYPE_INFORMATION:
        return "$SYS/broker/log/I";
    case LOG_TYPE_SUBSCRIBE:
        return "$SYS/broker/log/M/subscribe";
    case LOG_TYPE_UNSUBSCRIBE:
        return "$SYS/broker/log/M/unsubscribe";
    default:
        return NULL; /* debug is never sent: it would log itself */
    }
}

void sys_topics_log(struct sys_topics *t, enum log_type type, const char *line)
{
    if (log_topic(type) == NULL)
        return;
    pthread_mutex_lock(&t->lock);
    if (t->line_count < LOG_LINES_MAX) { /* else it is dropped: the log has other ways out */
        t->lines[t->line_count].type = type;
        snprintf(t->lines[t->line_count].text, LOG_LINE_SIZE, "%s", line);
        t->line_count++;
    }
    pthread_mutex_unlock(&t->lock);
}

/* Lines that came since the last turn, as messages that expire after 20 s. */
static void publish_lines(struct sys_topics *t, struct worker *w)
{
    pthread_mutex_lock(&t->lock);
    size_t count = t->line_count;
    pthread_mutex_unlock(&t->lock);
    for (size_t i = 0; i < count; i++)
        publish(w, log_topic(t->lines[i].type), t->lines[i].text, false,
                w->now_ns + 20 * SECOND_NS);
    pthread_mutex_lock(&t->lock);
    t->line_count -= count;
    memmove(t->lines, t->lines + count, t->line_count * sizeof t->lines[0]);
    pthread_mutex_unlock(&t->lock);
}

/* ------------------------------------------------------------------------------------- job ---- */

/* The next multiple of the interval on the wall clock, as monotonic time. */
static int64_t next_time(const struct sys_topics *t, const struct worker *w, int64_t interval_ns)
{
    int64_t wall = env_wall_ns(t->server->env);
    return w->now_ns + interval_ns - wall % interval_ns;
}

/* Lines come from other threads at any time: they are looked for each second. */
static bool has_lines(const struct config *config)
{
    for (size_t i = 0; i < config->log_dest_count; i++)
        if (config->log_dest[i].kind == LOG_DEST_TOPIC)
            return true;
    return false;
}

static void run(struct server_job *job, struct worker *w)
{
    struct sys_topics *t = container_of(job, struct sys_topics, job);
    int64_t interval_ns = (int64_t)w->config->sys_interval_s * SECOND_NS;
    if (t->next_figures_ns <= w->now_ns && interval_ns > 0) {
        t->slot_at = 0;
        put_static(t, w);
        put_metrics(t, w);
        put_clients(t, w);
        put_packets(t, w);
        put_stores(t, w);
    put_persistence(t, w);
        put_loads(t, w);
        t->next_figures_ns = next_time(t, w, interval_ns);
    }
    publish_lines(t, w);
    job->next_ns = has_lines(w->config) ? w->now_ns + SECOND_NS : INT64_MAX;
    if (t->next_figures_ns < job->next_ns && interval_ns > 0)
        job->next_ns = t->next_figures_ns;
}

struct sys_topics *sys_topics_create(struct server *server)
{
    struct sys_topics *t = memory_alloc_zero(sizeof *t);
    if (t == NULL)
        return NULL;
    t->server = server;
    t->last_ns = server->started_ns;
    pthread_mutex_init(&t->lock, NULL);
    t->job.run = run;
    server_add_job(server, &t->job);
    return t;
}

void sys_topics_destroy(struct sys_topics *t)
{
    if (t == NULL)
        return;
    pthread_mutex_destroy(&t->lock);
    memory_free(t);
}
