/* cli/sub.c: subscribes and prints what arrives, until it has seen enough.
 *
 *     a message -> is it wanted? (-R, --retained-only, -T, --random-filter) -> printed -> counted
 * (-C)
 *
 * A lost connection is made again, and the subscriptions with it.  SIGINT and SIGTERM say
 * DISCONNECT first: they arrive as a descriptor among others. */
#include "base/memory.h"
#include "cli/client_run.h"
#include "cli/commands.h"
#include "cli/message_format.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { RECONNECT_MS = 1000 };

struct sub {
    struct client_run run;
    struct client_options *o;
    struct buffer line; /* what is printed next */
    int count;          /* messages printed */
    size_t removals;    /* of --remove-retained, not yet acknowledged */
    bool is_ending;     /* DISCONNECT as soon as the removals are done */
    bool has_disconnected;
    int64_t deadline_ns; /* of -W */
    int64_t rate_ns;     /* when --message-rate speaks next */
    unsigned rate_count;
    struct text_list watched; /* -w: topics, by their line on the screen */
    struct arena arena;       /* of their names */
    int signals;              /* signalfd */
    int status;
};

/* --------------------------------------------------------------------------- subscribing ------ */

static uint8_t subscription_options(const struct client_options *o)
{
    unsigned options = (unsigned)o->qos;
    if (o->version != CHAPPE_MQTT_5_0)
        return (uint8_t)options;
    options |= o->retain_handling;
    if (o->no_retained && o->retain_handling == 0)
        options |= CHAPPE_RETAIN_DO_NOT_SEND;
    if (o->retain_as_published)
        options |= CHAPPE_RETAIN_AS_PUBLISHED;
    return (uint8_t)options;
}

static int subscribe(struct sub *s)
{
    const struct text_list *topics = &s->o->topics;
    struct chappe_subscription *list = memory_alloc(topics->count * sizeof *list);
    if (list == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < topics->count; i++)
        list[i] = (struct chappe_subscription){ chappe_string(topics->items[i]),
                                                subscription_options(s->o) };
    struct chappe_bytes properties = { NULL, 0 };
    if (s->o->version == CHAPPE_MQTT_5_0)
        properties = properties_for(s->o, FOR_SUBSCRIBE);
    int failure = chappe_client_subscribe(s->run.client, list, topics->count, properties, NULL);
    memory_free(list);
    return failure;
}

static int unsubscribe(struct sub *s)
{
    int failure = 0;
    struct chappe_bytes properties = { NULL, 0 };
    if (s->o->version == CHAPPE_MQTT_5_0)
        properties = properties_for(s->o, FOR_UNSUBSCRIBE);
    for (size_t i = 0; i < s->o->unsubscribes.count && failure == 0; i++) {
        struct chappe_bytes filter = chappe_string(s->o->unsubscribes.items[i]);
        failure = chappe_client_unsubscribe(s->run.client, &filter, 1, properties, NULL);
    }
    return failure;
}

/* Ends as soon as it can. */
static void finish(struct sub *s)
{
    s->is_ending = true;
    if (s->removals == 0 && !s->has_disconnected) {
        s->has_disconnected = true;
        client_run_disconnect(&s->run);
    }
}

static void on_connected(struct sub *s)
{
    int failure = subscribe(s);
    if (failure == 0)
        failure = unsubscribe(s);
    if (failure != 0) {
        complain(s->o, "Error: %s.", chappe_error_text(failure));
        s->status = STATUS_FAILED;
        finish(s);
    }
}

static void on_subscribed(struct sub *s, const struct chappe_event *event)
{
    bool is_any_allowed = false;
    if (s->o->debug)
        printf("Subscribed (mid: %u): ", event->packet_id);
    for (size_t i = 0; i < event->reasons.size; i++) {
        is_any_allowed |= event->reasons.data[i] < 0x80;
        if (s->o->debug)
            printf("%s%u", i == 0 ? "" : ", ", event->reasons.data[i]);
    }
    if (s->o->debug)
        printf("\n");
    if (!is_any_allowed)
        complain(s->o, "All subscription requests were denied.");
    if (!is_any_allowed || s->o->exit_after_sub)
        finish(s);
}

/* ------------------------------------------------------------------------------ printing ------ */

/* Appends the payload, after its topic with -v.  Nothing at all for an empty message without -v. */
static int append_plain(struct buffer *line, const struct client_options *o,
                        const struct chappe_message *m, bool *is_nothing)
{
    bool is_empty = m->payload.size == 0;
    *is_nothing = is_empty && (!o->verbose || o->no_newline);
    int failure = 0;
    if (o->verbose)
        failure = buffer_printf(line, "%.*s ", (int)m->topic.size, (const char *)m->topic.data);
    if (failure == 0 && is_empty)
        return buffer_append(line, BYTES("(null)"));
    return failure != 0 ? failure : buffer_append(line, bytes_of(m->payload.data, m->payload.size));
}

static int append_formatted(struct sub *s, const struct chappe_event *event)
{
    struct received received = { .message = event->message, .packet_id = event->packet_id };
    (void)clock_gettime(CLOCK_REALTIME, &received.wall); /* a known clock: cannot fail */
    int failure = message_format(&s->line, s->o->format, &received, s->o->pretty);
    if (failure == -EINVAL) {
        complain(s->o, "Error: Message payload is not valid JSON on topic %.*s.",
                 (int)event->message.topic.size, (const char *)event->message.topic.data);
        s->line.size = 0; /* an empty line in its place */
        return 0;
    }
    return failure;
}

/* The line of the screen that belongs to a topic, from 1; 0: no memory. */
static size_t watched_line(struct sub *s, struct chappe_bytes topic)
{
    for (size_t i = 0; i < s->watched.count; i++) {
        const char *name = s->watched.items[i];
        if (strlen(name) == topic.size && memcmp(name, topic.data, topic.size) == 0)
            return i + 1;
    }
    char *copy = arena_alloc(&s->arena, topic.size + 1);
    const char **items =
        memory_resize(s->watched.items, (s->watched.count + 1) * sizeof *s->watched.items);
    if (items != NULL)
        s->watched.items = items;
    if (items == NULL || copy == NULL)
        return 0;
    memcpy(copy, topic.data, topic.size);
    copy[topic.size] = '\0';
    items[s->watched.count++] = copy;
    return s->watched.count;
}

/* What could move the cursor must not reach a screen that we are drawing. */
static void print_watched(struct sub *s, const struct chappe_event *event)
{
    size_t line = watched_line(s, event->message.topic);
    if (line == 0)
        return;
    if (line == 1 && s->watched.count == 1)
        printf("\033[2J");
    for (size_t i = 0; i < s->line.size; i++) {
        if (s->line.data[i] < 0x20 || s->line.data[i] == 0x7f)
            s->line.data[i] = ' ';
    }
    printf("\033[%zu;1H%.*s\033[K", line, (int)s->line.size, (const char *)s->line.data);
}

static void print_message(struct sub *s, const struct chappe_event *event)
{
    bool is_nothing = false;
    s->line.size = 0;
    int failure = s->o->format != NULL ? append_formatted(s, event)
                                       : append_plain(&s->line, s->o, &event->message, &is_nothing);
    if (failure == 0 && !is_nothing && !s->o->no_newline && !s->o->watch)
        failure = buffer_append(&s->line, BYTES("\n"));
    if (failure != 0) {
        complain(s->o, "Error: Out of memory.");
        s->status = STATUS_FAILED;
        finish(s);
    } else if (s->o->watch) {
        print_watched(s, event);
    } else if (!is_nothing) {
        (void)fwrite(s->line.data, 1, s->line.size, stdout); /* ferror is asked below */
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        s->status = STATUS_FAILED;
        finish(s);
    }
}

/* ------------------------------------------------------------------------------ messages ------ */

static bool is_skipped_by_chance(const struct client_options *o)
{
    uint32_t dice = 0;
    if (o->random_percent >= 100)
        return false;
    (void)!getrandom(&dice, sizeof dice, 0); /* cannot fail for so few bytes */
    return dice / 4294967296.0 * 100 >= o->random_percent;
}

static bool is_wanted(struct sub *s, const struct chappe_message *m)
{
    if (s->o->retained_only && !m->retain) {
        finish(s); /* the retained ones come first: there are no more */
        return false;
    }
    if (s->o->no_retained && m->retain)
        return false;
    for (size_t i = 0; i < s->o->filter_outs.count; i++) {
        if (chappe_topic_matches(chappe_string(s->o->filter_outs.items[i]), m->topic))
            return false;
    }
    return !is_skipped_by_chance(s->o);
}

/* An empty retained message takes the place of the one we got. */
static void remove_retained(struct sub *s, const struct chappe_message *m)
{
    struct chappe_message removal = { .topic = m->topic, .qos = 1, .retain = true };
    int failure = chappe_client_publish(s->run.client, &removal, NULL);
    if (failure == 0)
        s->removals++;
    else
        complain(s->o, "Error: A retained message could not be removed: %s.",
                 chappe_error_text(failure));
}

static void on_message(struct sub *s, const struct chappe_event *event)
{
    const struct chappe_message *m = &event->message;
    if (s->is_ending || !is_wanted(s, m))
        return;
    if (s->o->remove_retained && m->retain)
        remove_retained(s, m);
    s->rate_count++;
    if (!s->o->message_rate)
        print_message(s, event);
    if (++s->count == s->o->count_max)
        finish(s);
}

static void on_published(struct sub *s, const struct chappe_event *event)
{
    if (event->error != 0 || event->reason >= 0x80)
        complain(s->o, "Error: A retained message could not be removed: %s.",
                 chappe_error_text(event->error != 0 ? event->error : (int)event->reason));
    if (s->removals > 0)
        s->removals--;
    if (s->is_ending)
        finish(s);
}

/* False: it is over. */
static bool on_event(struct sub *s, const struct chappe_event *event)
{
    switch (event->type) {
    case CHAPPE_EVENT_CONNECTED:
        on_connected(s);
        return true;
    case CHAPPE_EVENT_SUBSCRIBED:
        on_subscribed(s, event);
        return true;
    case CHAPPE_EVENT_MESSAGE:
        on_message(s, event);
        return true;
    case CHAPPE_EVENT_PUBLISHED:
        on_published(s, event);
        return true;
    case CHAPPE_EVENT_REFUSED:
        s->status = client_run_refused(&s->run, event);
        return false;
    case CHAPPE_EVENT_DISCONNECTED:
        if (s->is_ending)
            return false;
        if (event->error != 0 && event->error != -EPROTO)
            return true; /* the loop comes back */
        s->status = client_run_lost(&s->run, event);
        return false;
    default:
        return true;
    }
}

/* ---------------------------------------------------------------------------------- time ------ */

static void print_rate(struct sub *s)
{
    printf("%u messages/s\n", s->rate_count);
    (void)fflush(stdout); /* the next message notices */
    s->rate_count = 0;
    s->rate_ns += 1000000000;
}

/* Milliseconds until something of ours is due; -1: never. */
static int wait_ms(const struct sub *s)
{
    int64_t due_ns = s->is_ending ? CHAPPE_NEVER : s->deadline_ns;
    if (s->o->message_rate && s->rate_ns < due_ns)
        due_ns = s->rate_ns;
    if (due_ns == CHAPPE_NEVER)
        return -1;
    int64_t left_ms = (due_ns - chappe_loop_now_ns()) / 1000000 + 1;
    return left_ms < 0 ? 0 : left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
}

/* False: it is over, and there is no connection to say goodbye to. */
static bool on_time(struct sub *s)
{
    int64_t now_ns = chappe_loop_now_ns();
    struct signalfd_siginfo signal;
    bool is_stopped = read(s->signals, &signal, sizeof signal) == (ssize_t)sizeof signal;
    if (s->o->message_rate && now_ns >= s->rate_ns)
        print_rate(s);
    if (now_ns >= s->deadline_ns && !s->is_ending) {
        complain(s->o, "Timed out");
        s->status = STATUS_TIMEOUT;
        is_stopped = true;
    }
    if (is_stopped) {
        s->removals = 0; /* not waited for any longer */
        finish(s);
    }
    return !is_stopped || chappe_client_state(s->run.client) == CHAPPE_CLOSING;
}

static int run(struct sub *s)
{
    struct chappe_event event;
    int64_t now_ns = chappe_loop_now_ns();
    s->deadline_ns =
        s->o->timeout_s == 0 ? CHAPPE_NEVER : now_ns + s->o->timeout_s * INT64_C(1000000000);
    s->rate_ns = now_ns + 1000000000;
    chappe_loop_watch(s->run.loop, s->signals);
    int result;
    while ((result = chappe_loop_next(s->run.loop, wait_ms(s), &event)) >= 0) {
        if (result > 0 ? !on_event(s, &event) : !on_time(s))
            break;
        if (s->o->message_rate && result > 0 && chappe_loop_now_ns() >= s->rate_ns)
            print_rate(s);
        if (result > 0 && chappe_loop_now_ns() >= s->deadline_ns && !on_time(s))
            break; /* a flood of messages is no excuse */
    }
    return s->status;
}

static int open_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set); /* of known signals: these cannot fail */
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void print_help(const char *name)
{
    printf(
        "%s subscribes to topics and prints what arrives.\n\n"
        "Usage: %s [OPTION]... -t FILTER...\n\n"
        "What to receive:\n"
        " -t, --topic FILTER        topic filter to subscribe to; may be repeated\n"
        " -T, --filter-out FILTER   do not print what matches this; may be repeated\n"
        " -U, --unsubscribe FILTER  unsubscribe from it first; may be repeated\n"
        " -R                        no retained messages\n"
        " --retained-only           nothing but retained messages; ends with the first other\n"
        " --remove-retained         remove retained messages from the broker, as they arrive\n"
        " --retain-as-published     keep the retain flag as the publisher set it (MQTT 5)\n"
        " --retain-handling WHEN    retained messages: always, new or never (MQTT 5)\n"
        " --random-filter PERCENT   print only so many of the messages\n"
        "How to print it:\n"
        " -v, --verbose             topic and payload\n"
        " -F FORMAT                 as FORMAT says:\n"
        "      %%t topic  %%p payload  %%x %%X payload in hex  %%l its length  %%q QoS  %%r "
        "retain\n"
        "      %%m packet id  %%j %%J JSON, the payload as a string or as JSON itself\n"
        "      %%f %%d payload as a float of 4 or 8 bytes  %%I time  %%U Unix time  %%%% percent\n"
        "      %%A topic alias  %%C content type  %%D correlation data  %%E message expiry\n"
        "      %%F payload format  %%P user properties  %%R response topic  %%S subscription id\n"
        "      between %% and letter: - or 0, a width, and .N, a maximum\n"
        "      @X as strftime's %%X, @N nanoseconds, \\n \\t \\r \\a \\e \\v \\0 \\\\\n"
        " --pretty                  JSON for people\n"
        " -N                        no newline after each message\n"
        " -w, --watch               one line on the screen for each topic\n"
        " --message-rate            only how many messages arrive each second\n"
        "When to end:\n"
        " -C COUNT                  after so many messages\n"
        " -E                        when the broker has acknowledged the subscriptions\n"
        " -W SECONDS                after this time, with exit status 27\n",
        name, name);
    print_common_help();
}

static int sub(struct client_options *o)
{
    struct sub s = { .o = o, .signals = open_signals() };
    arena_init(&s.arena);
    int status = client_run_open(&s.run, o, RECONNECT_MS);
    if (status == STATUS_OK)
        status = run(&s);
    client_run_close(&s.run);
    buffer_fini(&s.line);
    memory_free(s.watched.items);
    arena_fini(&s.arena);
    if (s.signals >= 0)
        (void)close(s.signals); /* the process ends */
    return status;
}

int cli_sub(int argc, char **argv)
{
    static const struct client_command command = { TOOL_SUB, "chappe sub", "mosquitto_sub",
                                                    print_help, sub };
    return client_run_command(&command, argc, argv);
}
