/* bench/report.c: see report.h.
 *
 * Three digits are all that such measurements are good for; counts are exact. */
#include "bench/report.h"
#include <inttypes.h>
#include <string.h>

static const double busy_clients = 0.95; /* of a CPU: from here on they are the limit */
static const double rate_kept = 0.95;    /* of what the open loop should do */

/* What things are called in this kind of benchmark. */
static const struct wording {
    const char *published, *delivered, *unit;
} wordings[] = {
    [BENCH_MESSAGES] = { "published", "delivered", "message" },
    [BENCH_CONNECT] = { "closed", "connected", "connection" },
    [BENCH_IDLE] = { NULL, "connected", "connection" },
    [BENCH_RETAINED] = { "subscribed", "replayed", "message" },
    [BENCH_DRAIN] = { "queued", "drained", "message" },
};
static const struct wording away = { "published", "acknowledged", "message" };

static const struct wording *wording_of(const struct bench_spec *s)
{
    return s->sessions == SESSIONS_AWAY ? &away : &wordings[s->kind];
}

/* ------------------------------------------------------------------------ numbers as text ----- */

struct text {
    char s[40];
};

static struct text count_text(uint64_t count)
{
    char digits[24];
    struct text t;
    size_t size = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, count), out = 0;
    for (size_t i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            t.s[out++] = ',';
        t.s[out++] = digits[i];
    }
    t.s[out] = '\0';
    return t;
}

static struct text number_text(double value, const char *unit)
{
    struct text t;
    int decimals = value >= 99.95 ? 0 : value >= 9.995 ? 1 : value >= 0.9995 ? 2 : 3;
    (void)snprintf(t.s, sizeof t.s, "%.*f%s", decimals, value, unit); /* fits */
    return t;
}

static struct text time_text(uint64_t ns)
{
    if (ns < 1000000)
        return number_text((double)ns / 1e3, " us");
    if (ns < 1000000000)
        return number_text((double)ns / 1e6, " ms");
    return number_text((double)ns / 1e9, " s");
}

static struct text size_text(int64_t bytes)
{
    enum { KIB = 1024, MIB = 1024 * 1024 };
    if (bytes >= MIB)
        return number_text((double)bytes / MIB, " MiB");
    if (bytes >= 10 * KIB)
        return number_text((double)bytes / KIB, " KiB");
    struct text t = count_text((uint64_t)bytes);
    (void)strncat(t.s, " bytes", sizeof t.s - strlen(t.s) - 1);
    return t;
}

static double per(double amount, double of)
{
    return of > 0 ? amount / of : 0;
}

static const char *plural(uint32_t count)
{
    return count == 1 ? "" : "s";
}

/* -------------------------------------------------------------------------------- what runs --- */

static void print_wiring(FILE *out, const struct bench_spec *s)
{
    struct text from = count_text(s->publishers), to = count_text(s->subscribers);
    switch (s->wiring) {
    case WIRING_PAIRS:
        fprintf(out, "%s publisher%s, a subscriber each", from.s, plural(s->publishers));
        return;
    case WIRING_FANOUT:
        fprintf(out, "%s publisher%s to %s subscriber%s%s", from.s, plural(s->publishers), to.s,
                plural(s->subscribers), s->publishers > 1 ? " each" : "");
        return;
    case WIRING_FANIN:
        fprintf(out, "%s publisher%s to %s subscriber%s", from.s, plural(s->publishers), to.s,
                plural(s->subscribers));
        return;
    case WIRING_SPREAD:
        fprintf(out, "%s publisher%s, %s topics, a %ssubscription of one of %s clients to each",
                from.s, plural(s->publishers), count_text(s->topics).s,
                s->with_wildcards ? "wildcard " : "", to.s);
        return;
    case WIRING_SHARED:
        fprintf(out, "%s publisher%s to a group of %s subscriber%s", from.s, plural(s->publishers),
                to.s, plural(s->subscribers));
        return;
    }
}

static void print_messages(FILE *out, const struct bench_spec *s)
{
    print_wiring(out, s);
    if (s->sessions != SESSIONS_CLEAN)
        fprintf(out, ", persistent sessions%s",
                s->sessions == SESSIONS_AWAY ? " that are away" : "");
    if (s->with_new_topics)
        fprintf(out, ", a new topic for every message");
    if (s->churn > 0)
        fprintf(out, ", %u SUBSCRIBE and UNSUBSCRIBE under way beside them", s->churn);
    fprintf(out, "; QoS %u, %s bytes, ", s->qos, count_text(s->payload_size).s);
    if (s->rate > 0)
        fprintf(out, "%s messages/s", count_text(s->rate).s);
    else
        fprintf(out, "%s under way%s", count_text(s->window).s, s->publishers > 1 ? " each" : "");
}

static void print_load(FILE *out, const struct bench_spec *s)
{
    struct text clients = count_text(s->subscribers), topics = count_text(s->topics);
    struct text queued = count_text(s->queued), size = count_text(s->payload_size);
    switch (s->kind) {
    case BENCH_MESSAGES:
        print_messages(out, s);
        return;
    case BENCH_CONNECT:
        fprintf(out, "%u client%s at a time connect and disconnect", s->window, plural(s->window));
        return;
    case BENCH_IDLE:
        fprintf(out, "%s connection%s with a subscription each", clients.s, plural(s->subscribers));
        return;
    case BENCH_RETAINED:
        fprintf(out, "%s retained message%s to %s new subscription%s; QoS %u, %s bytes", topics.s,
                plural(s->topics), clients.s, plural(s->subscribers), s->qos, size.s);
        return;
    case BENCH_DRAIN:
        fprintf(out, "%s session%s with %s queued message%s each; QoS %u, %s bytes", clients.s,
                plural(s->subscribers), queued.s, plural(s->queued), s->qos, size.s);
        return;
    }
}

static const char *protocol(const struct bench_target *t)
{
    return t->is_relay ? "relay" : t->version == VERSION_5_0 ? "5.0" : "3.1.1";
}

void report_spec(FILE *out, const struct bench_spec *s)
{
    fprintf(out, "%s: ", s->name);
    print_load(out, s);
    fprintf(out, "; %s%s; ", s->target.is_relay ? "" : "MQTT ", protocol(&s->target));
    if (s->messages > 0)
        fprintf(out, "%s message%s", count_text(s->messages).s, s->messages == 1 ? "" : "s");
    if (s->messages > 0 && s->seconds < BENCH_SECONDS_MAX)
        fprintf(out, " in at most ");
    if (s->seconds < BENCH_SECONDS_MAX)
        fprintf(out, "%g s", s->seconds);
    fputc('\n', out);
}

void report_progress(FILE *out, const struct bench_spec *s, double seconds, uint64_t published,
                     uint64_t delivered)
{
    const struct wording *w = wording_of(s);
    uint64_t rate = (uint64_t)per((double)delivered, seconds);
    if (seconds <= 0)
        fprintf(out, "  preparing");
    else if (w->published != NULL)
        fprintf(out, "  %5.1f s  %s %s, %s %s, %s/s", seconds, count_text(published).s,
                w->published, count_text(delivered).s, w->delivered, count_text(rate).s);
    else
        fprintf(out, "  %5.1f s  %s %s, %s/s", seconds, count_text(delivered).s, w->delivered,
                count_text(rate).s);
}

/* ------------------------------------------------------------------------------- for people --- */

static void print_count(FILE *out, const char *label, uint64_t count, double seconds)
{
    fprintf(out, "  %-12s %14s %14s/s\n", label, count_text(count).s,
            count_text((uint64_t)per((double)count, seconds)).s);
}

static void print_counts(FILE *out, const struct bench_spec *s, const struct bench_result *r)
{
    const struct wording *w = wording_of(s);
    if (w->published != NULL)
        print_count(out, w->published, r->published, r->seconds);
    print_count(out, w->delivered, r->delivered, r->seconds);
    if (s->churn > 0)
        print_count(out, "churned", r->churned, r->seconds);
    if (r->lost > 0)
        fprintf(out, "  %-12s %14s\n", "lost", count_text(r->lost).s);
}

static void print_latency(FILE *out, const char *label, const struct histogram *h)
{
    if (h->count == 0)
        return;
    fprintf(out, "  %-12s p50 %s   p99 %s   p99.9 %s   max %s\n", label,
            time_text(histogram_quantile(h, 0.5)).s, time_text(histogram_quantile(h, 0.99)).s,
            time_text(histogram_quantile(h, 0.999)).s, time_text(h->max).s);
}

static double us_per_unit(double seconds, const struct bench_result *r)
{
    return per(seconds * 1e6, (double)r->delivered);
}

static void print_broker_cpu(FILE *out, const char *unit, const struct bench_result *r)
{
    if (r->cpu_user_s < 0)
        return;
    double total_s = r->cpu_user_s + r->cpu_system_s;
    fprintf(out, "  %-12s %s per %s (user %s, system %s), %.0f %% of a CPU\n", "broker CPU",
            number_text(us_per_unit(total_s, r), " us").s, unit,
            number_text(us_per_unit(r->cpu_user_s, r), "").s,
            number_text(us_per_unit(r->cpu_system_s, r), "").s, per(total_s, r->seconds) * 100);
}

static void print_memory(FILE *out, const struct bench_spec *s, const struct bench_result *r)
{
    if (r->memory_before < 0 || r->memory_after < 0)
        return;
    int64_t more = r->memory_after - r->memory_before;
    fprintf(out, "  %-12s %s, %s %s than before", "memory", size_text(r->memory_after).s,
            size_text(more < 0 ? -more : more).s, more < 0 ? "less" : "more");
    uint32_t parts = s->kind == BENCH_IDLE       ? r->connections
                     : s->kind == BENCH_RETAINED ? s->topics
                                                 : 0;
    if (parts > 0 && more > 0)
        fprintf(out, ": %s per %s", size_text(more / parts).s, wording_of(s)->unit);
    if (s->kind == BENCH_DRAIN)
        fprintf(out, "; %s with all queues full", size_text(r->memory_begin).s);
    fputc('\n', out);
}

static void print_warnings(FILE *out, const struct bench_spec *s, const struct bench_result *r)
{
    double rate = per((double)r->published, r->seconds);
    if (r->is_partial)
        fprintf(out, "  interrupted: these are the figures until then\n");
    if (per(r->clients_cpu_s, r->seconds) > busy_clients)
        fprintf(out, "  warning: the clients used a whole CPU; rates and latencies are theirs, "
                     "not the broker's\n");
    if (s->rate > 0 && r->seconds > 0 && rate < rate_kept * s->rate)
        fprintf(out,
                "  warning: %s messages/s are more than broker or clients can do: it was %s/s\n",
                count_text(s->rate).s, count_text((uint64_t)rate).s);
}

void report_text(FILE *out, const struct bench_spec *s, const struct bench_result *r)
{
    const char *unit = wording_of(s)->unit;
    if (r->is_partial && r->delivered == 0) {
        fprintf(out, "  interrupted before anything was measured\n");
        return;
    }
    print_counts(out, s, r);
    print_latency(out, "latency", &r->latency);
    print_latency(out, s->qos == 2 ? "PUBREC" : "PUBACK", &r->answer);
    print_broker_cpu(out, unit, r);
    print_memory(out, s, r);
    fprintf(out, "  %-12s %s per %s, %.0f %% of a CPU\n", "clients' CPU",
            number_text(us_per_unit(r->clients_cpu_s, r), " us").s, unit,
            per(r->clients_cpu_s, r->seconds) * 100);
    print_warnings(out, s, r);
}

/* ----------------------------------------------------------------------------- for programs --- */

/* A member of the object, and a comma.  No name or text here needs escaping. */
static void json_count(FILE *out, const char *name, uint64_t value)
{
    fprintf(out, "\"%s\":%" PRIu64 ",", name, value);
}

static void json_number(FILE *out, const char *name, double value)
{
    fprintf(out, "\"%s\":%.9g,", name, value);
}

static void json_maybe(FILE *out, const char *name, bool is_known, double value)
{
    if (is_known)
        json_number(out, name, value);
    else
        fprintf(out, "\"%s\":null,", name);
}

static void json_bytes(FILE *out, const char *name, int64_t bytes)
{
    if (bytes >= 0)
        json_count(out, name, (uint64_t)bytes);
    else
        json_maybe(out, name, false, 0);
}

static void json_spec(FILE *out, const struct bench_spec *s)
{
    fprintf(out, "\"scenario\":\"%s\",\"protocol\":\"%s\",", s->name, protocol(&s->target));
    json_count(out, "publishers", s->publishers);
    json_count(out, "subscribers", s->subscribers);
    json_count(out, "qos", s->qos);
    json_count(out, "payload_size", s->payload_size);
    json_count(out, "window", s->window);
    json_count(out, "rate", s->rate);
    json_count(out, "topics", s->topics);
    json_count(out, "queued", s->queued);
    json_count(out, "churn", s->churn);
}

static void json_time(FILE *out, const char *name, const char *which, const struct histogram *h,
                      double ns)
{
    char both[40];
    (void)snprintf(both, sizeof both, "%s_%s_us", name, which); /* fits */
    json_maybe(out, both, h->count > 0, ns / 1e3);
}

static void json_latency(FILE *out, const char *name, const struct histogram *h)
{
    json_time(out, name, "p50", h, (double)histogram_quantile(h, 0.5));
    json_time(out, name, "p99", h, (double)histogram_quantile(h, 0.99));
    json_time(out, name, "p99_9", h, (double)histogram_quantile(h, 0.999));
    json_time(out, name, "max", h, (double)h->max);
    json_time(out, name, "mean", h, per((double)h->sum, (double)h->count));
}

static void json_cost(FILE *out, const struct bench_result *r)
{
    bool has_cpu = r->cpu_user_s >= 0 && r->delivered > 0;
    bool has_memory = r->memory_before >= 0 && r->memory_after >= 0;
    double more = (double)(r->memory_after - r->memory_before);
    json_maybe(out, "cpu_us_per_message", has_cpu, us_per_unit(r->cpu_user_s + r->cpu_system_s, r));
    json_maybe(out, "cpu_user_us_per_message", has_cpu, us_per_unit(r->cpu_user_s, r));
    json_maybe(out, "cpu_system_us_per_message", has_cpu, us_per_unit(r->cpu_system_s, r));
    json_maybe(out, "cpu_user_s", r->cpu_user_s >= 0, r->cpu_user_s);
    json_maybe(out, "cpu_system_s", r->cpu_system_s >= 0, r->cpu_system_s);
    json_number(out, "clients_cpu_s", r->clients_cpu_s);
    json_number(out, "clients_cpu_us_per_message", us_per_unit(r->clients_cpu_s, r));
    json_bytes(out, "memory_before", r->memory_before);
    json_bytes(out, "memory_begin", r->memory_begin);
    json_bytes(out, "memory_after", r->memory_after);
    json_maybe(out, "memory_per_connection", has_memory && r->connections > 0,
               per(more, r->connections));
}

void report_json(FILE *out, const struct bench_spec *s, const struct bench_result *r)
{
    fputc('{', out);
    json_spec(out, s);
    json_number(out, "seconds", r->seconds);
    json_count(out, "published", r->published);
    json_count(out, "delivered", r->delivered);
    json_count(out, "lost", r->lost);
    json_count(out, "churned", r->churned);
    json_number(out, "published_per_s", per((double)r->published, r->seconds));
    json_number(out, "delivered_per_s", per((double)r->delivered, r->seconds));
    json_latency(out, "latency", &r->latency);
    json_latency(out, "answer", &r->answer);
    json_cost(out, r);
    json_count(out, "connections", r->connections);
    fprintf(out, "\"interrupted\":%s}\n", r->is_partial ? "true" : "false");
}
