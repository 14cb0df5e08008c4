/* cli/store_stats.c: `chappe store stats`: how much of everything is in it. */
#include "base/list.h"
#include "base/memory.h"
#include "cli/store_facts.h"
#include "cli/store_folder.h"
#include "cli/store_names.h"
#include "cli/store_verbs.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* One of the longest queues. */
struct top_queue {
    uint64_t queue, count, first_seq;
    struct store_owner owner; /* its name is in names */
    bool is_connected;        /* the Session that owns it */
    int64_t since_ns;
};

struct stats {
    struct store_sink sink;
    struct store_reader reader;
    const struct store_job *job;
    struct store *store;
    struct store_stats store_stats;
    struct store_folder_sizes sizes;
    struct store_names names;
    uint64_t sessions, connected, subscriptions, groups;
    uint64_t received, released, retained, retained_bytes;
    struct top_queue *top; /* job->top of them at most, the longest first */
    size_t top_count;
    struct facts facts; /* the oldest message of the queue that is looked at */
};

static struct stats *stats_of(struct store_sink *sink)
{
    return container_of(sink, struct stats, sink);
}

/* -------------------------------------------------------------------------------- counting ---- */

static bool on_session(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct stats *s = stats_of(sink);
    struct stored_session session;
    struct durable_key k;
    s->sessions++;
    if (!durable_key_read(key, &k) || !stored_session_read(value, &session))
        return true;
    s->connected += session.is_connected;
    for (size_t i = 0; i < s->top_count; i++) {
        if (s->top[i].queue == k.session) {
            s->top[i].is_connected = session.is_connected;
            s->top[i].since_ns = session.since_ns;
        }
    }
    return true;
}

static bool on_subscription(struct store_sink *sink, struct bytes key, struct bytes value)
{
    stats_of(sink)->subscriptions++;
    return true;
}

static bool on_group(struct store_sink *sink, struct bytes key, struct bytes value)
{
    stats_of(sink)->groups++;
    return true;
}

static bool on_received(struct store_sink *sink, struct bytes key, struct bytes value)
{
    stats_of(sink)->received++;
    return true;
}

static bool on_released(struct store_sink *sink, struct bytes key, struct bytes value)
{
    stats_of(sink)->released++;
    return true;
}

static bool on_retained(struct store_sink *sink, struct bytes key, struct bytes value)
{
    stats_of(sink)->retained++;
    stats_of(sink)->retained_bytes += value.size;
    return true;
}

static int count_keys(struct stats *s, struct store_fault *fault)
{
    static const struct {
        uint8_t kind;
        bool (*on_key)(struct store_sink *, struct bytes key, struct bytes value);
    } rows[] = {
        { KEY_SESSION, on_session },   { KEY_SUBSCRIPTION, on_subscription },
        { KEY_GROUP, on_group },       { KEY_RECEIVED, on_received },
        { KEY_RELEASED, on_released }, { KEY_RETAINED, on_retained },
    };
    int result = 0;
    for (size_t i = 0; result == 0 && i < sizeof rows / sizeof rows[0]; i++) {
        s->sink.on_key = rows[i].on_key;
        result = store_walk(s->store, rows[i].kind, &s->sink, fault);
    }
    return result;
}

/* Sorts it in where it belongs; the last one falls off when there are enough. */
static void rank_queue(struct stats *s, uint64_t queue)
{
    struct store_queue q = store_queue(s->store, queue);
    size_t most = (size_t)s->job->top, at = s->top_count;
    while (at > 0 && s->top[at - 1].count < q.count)
        at--;
    if (at == most)
        return;
    s->top_count += s->top_count < most;
    memmove(s->top + at + 1, s->top + at, (s->top_count - at - 1) * sizeof *s->top);
    s->top[at] = (struct top_queue){ .queue = queue,
                                     .count = q.count,
                                     .first_seq = q.first,
                                     .owner = store_names_find(&s->names, queue) };
}

static int rank_queues(struct stats *s)
{
    uint64_t cursor = 0, queue;
    if (s->job->top == 0)
        return 0;
    s->top = memory_alloc((size_t)s->job->top * sizeof *s->top);
    if (s->top == NULL)
        return -ENOMEM;
    while (store_next_queue(s->store, &cursor, &queue))
        rank_queue(s, queue);
    return 0;
}

static int gather(struct stats *s, struct store_fault *fault)
{
    struct store_progress progress = { .job = s->job, .what = "reading" };
    struct store_options o = { .files = s->job->env->files,
                               .folder = s->job->folder,
                               .is_read_only = true,
                               .on_progress = store_on_progress,
                               .context = &progress };
    int result = store_folder_measure(o.files, o.folder, &s->sizes);
    if (result == 0)
        result = store_open(&o, &s->store, fault);
    store_progress_end(&progress);
    if (result == 0)
        result = store_names_read(&s->names, s->store, fault);
    if (result == 0)
        result = rank_queues(s);
    if (result == 0)
        result = count_keys(s, fault);
    if (result == 0)
        s->store_stats = store_stats(s->store);
    return result;
}

/* ---------------------------------------------------------------------------- a queue's head -- */

/* When a message came is written nowhere, but the queue keeps their order. */
static bool on_oldest(struct store_reader *reader, uint64_t seq, struct bytes data,
                      struct bytes body)
{
    struct stats *s = container_of(reader, struct stats, reader);
    facts_message(&s->facts, body, 0);
    return false;
}

static void on_damaged(struct store_reader *reader, uint64_t seq, int error,
                       const struct store_fault *fault)
{
    struct stats *s = container_of(reader, struct stats, reader);
    facts_text(&s->facts, "flaw", fault->text);
}

static void facts_top(struct stats *s, const struct top_queue *q)
{
    struct facts *f = &s->facts;
    facts_number(f, "queued", q->count);
    facts_owner(f, q->queue, &q->owner);
    if (q->owner.kind == KEY_SESSION) {
        facts_flag(f, "connected", q->is_connected);
        facts_time(f, "since", q->since_ns);
    }
    facts_open(f, "oldest", '{');
    if (store_read_queue(s->store, q->queue, q->first_seq, &s->reader) < 0)
        f->error = -ENOMEM; /* all that it can be */
    facts_close(f, '}');
}

/* --------------------------------------------------------------------------------- report ----- */

static uint64_t dead_bytes(const struct store_stats *s)
{
    return s->bytes > s->live_bytes ? s->bytes - s->live_bytes : 0; /* live is about */
}

static void json_numbers(struct stats *s)
{
    const struct store_stats *st = &s->store_stats;
    const struct {
        const char *name;
        uint64_t number;
    } rows[] = {
        { "segments", s->sizes.segments },
        { "segment_bytes", s->sizes.segment_bytes },
        { "spares", s->sizes.spares },
        { "spare_bytes", s->sizes.spare_bytes },
        { "batch_bytes", st->bytes },
        { "live_bytes", st->live_bytes },
        { "dead_bytes", dead_bytes(st) },
        { "last_batch", st->sequence },
        { "sessions", s->sessions },
        { "connected", s->connected },
        { "subscriptions", s->subscriptions },
        { "groups", s->groups },
        { "received_packet_ids", s->received },
        { "released_packet_ids", s->released },
        { "retained", s->retained },
        { "retained_bytes", s->retained_bytes },
        { "queued", st->entries },
        { "queues", st->queues },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        facts_number(&s->facts, rows[i].name, rows[i].number);
}

static bool print_json(struct stats *s)
{
    struct facts *f = &s->facts;
    facts_begin(f);
    facts_text(f, "store", s->job->folder);
    json_numbers(s);
    facts_open(f, "longest_queues", '[');
    for (size_t i = 0; i < s->top_count; i++) {
        facts_open(f, NULL, '{');
        facts_top(s, &s->top[i]);
        facts_close(f, '}');
    }
    facts_close(f, ']');
    facts_end(f);
    return store_print(s->job, f);
}

struct size_text {
    char text[32];
};

static struct size_text size_text(uint64_t bytes)
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
    struct size_text out;
    double size = (double)bytes / 1024;
    size_t unit = 0;
    for (; size >= 1024 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        size /= 1024;
    (void)snprintf(out.text, sizeof out.text, "%.1f %s", size, units[unit]); /* it fits */
    return out;
}

static bool print_text(struct stats *s)
{
    const struct store_stats *st = &s->store_stats;
    printf("%s\n", s->job->folder);
    printf("files          %" PRIu64 " segments, %s, and %" PRIu64 " spare ones, %s\n",
           s->sizes.segments, size_text(s->sizes.segment_bytes).text, s->sizes.spares,
           size_text(s->sizes.spare_bytes).text);
    printf("written        %s, of which about %s are live and %s are not\n",
           size_text(st->bytes).text, size_text(st->live_bytes).text,
           size_text(dead_bytes(st)).text);
    printf("last batch     %" PRIu64 "\n"
           "sessions       %" PRIu64 ", %" PRIu64 " of them connected (when this was written)\n"
           "subscriptions  %" PRIu64 ", shared ones in %" PRIu64 " groups\n"
           "QoS 2          %" PRIu64 " received and %" PRIu64 " sent messages under way\n",
           st->sequence, s->sessions, s->connected, s->subscriptions, s->groups, s->received,
           s->released);
    printf("retained       %" PRIu64 " messages, %s\n"
           "queued         %" PRIu64 " messages, in %" PRIu64 " queues\n",
           s->retained, size_text(s->retained_bytes).text, st->entries, st->queues);
    if (s->top_count > 0)
        printf("\nThe longest queues, each with its oldest message:\n");
    for (size_t i = 0; i < s->top_count; i++) {
        facts_begin(&s->facts);
        facts_top(s, &s->top[i]);
        facts_end(&s->facts);
    }
    return store_print(s->job, &s->facts);
}

static bool print(struct stats *s)
{
    return s->job->json ? print_json(s) : print_text(s);
}

int store_stats_run(const struct store_job *j)
{
    struct stats s = { .reader = { on_oldest, on_damaged }, .job = j };
    struct store_fault fault = { 0 };
    struct file *keep;
    facts_init(&s.facts, j->json ? FACTS_JSON : FACTS_TEXT);
    int result = store_folder_keep(j->env->files, j->folder, &keep);
    if (result == 0)
        result = gather(&s, &fault);
    int status =
        result < 0 ? store_say_fault(j, result, &fault) : (print(&s) ? STORE_FINE : STORE_FAILED);
    store_close(s.store);
    store_names_fini(&s.names);
    memory_free(s.top);
    facts_fini(&s.facts);
    if (keep != NULL)
        keep->ops->close(keep);
    return status;
}
