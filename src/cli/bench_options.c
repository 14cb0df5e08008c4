/* cli/bench_options.c: words that are scenarios, options about the broker, and changes.
 *
 *     chappe bench p2p-qos0 fan-in -p 1884 -s 1024     two rows of the table, larger payloads
 *
 * A change that means nothing to one of the scenarios is refused: nobody shall read a figure and
 * believe that it is about something else. */
#include "cli/bench_options.h"
#include "base/memory.h"
#include "bench/scenarios.h"
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    OF_MESSAGES = 1 << BENCH_MESSAGES,
    OF_CONNECT = 1 << BENCH_CONNECT,
    OF_IDLE = 1 << BENCH_IDLE,
    OF_RETAINED = 1 << BENCH_RETAINED,
    OF_DRAIN = 1 << BENCH_DRAIN,
};

enum kind { FLAG, TEXT, INTEGER, SECONDS, VERSION };

#define FIELD(name) offsetof(struct bench_options, name)

static const struct option {
    const char *letter, *word; /* letter may be NULL */
    enum kind kind;
    size_t offset;      /* of its field */
    double least, most; /* INTEGER, SECONDS */
} options[] = {
    { "-h", "--host", TEXT, FIELD(target.host) },
    { "-p", "--port", INTEGER, FIELD(target.port), 1, UINT16_MAX },
    { "-V", "--protocol-version", VERSION, FIELD(target.version) },
    { "-u", "--username", TEXT, FIELD(target.username) },
    { "-P", "--pw", TEXT, FIELD(target.password) },
    { NULL, "--relay", FLAG, FIELD(target.is_relay) },
    { NULL, "--pid", INTEGER, FIELD(target.pid), 1, INT_MAX },
    { "-t", "--seconds", SECONDS, FIELD(seconds), 0.01, BENCH_SECONDS_MAX },
    { NULL, "--warm-up", SECONDS, FIELD(warm_up), 0, BENCH_SECONDS_MAX },
    { NULL, "--json", FLAG, FIELD(json) },
    { NULL, "--quiet", FLAG, FIELD(quiet) },
};

static const struct change_option {
    const char *letter, *word; /* letter may be NULL */
    int64_t least, most;
    unsigned kinds; /* to which it means something */
} change_options[BENCH_CHANGES] = {
    [CHANGE_QOS] = { "-q", "--qos", 0, 2, OF_MESSAGES | OF_IDLE | OF_RETAINED },
    [CHANGE_SIZE] = { "-s", "--size", 0, 16777216, OF_MESSAGES | OF_RETAINED | OF_DRAIN },
    [CHANGE_WINDOW] = { "-w", "--window", 1, UINT16_MAX,
                        OF_MESSAGES | OF_CONNECT | OF_RETAINED | OF_DRAIN },
    [CHANGE_RATE] = { NULL, "--rate", 1, 100000000, OF_MESSAGES },
    [CHANGE_PUBLISHERS] = { NULL, "--publishers", 1, 1000000, OF_MESSAGES },
    [CHANGE_SUBSCRIBERS] = { NULL, "--subscribers", 1, 1000000,
                             OF_MESSAGES | OF_IDLE | OF_RETAINED | OF_DRAIN },
    [CHANGE_TOPICS] = { NULL, "--topics", 1, 10000000, OF_MESSAGES | OF_RETAINED },
    [CHANGE_QUEUED] = { NULL, "--queued", 1, 10000000, OF_DRAIN },
    [CHANGE_MESSAGES] = { "-m", "--messages", 1, INT64_MAX, OF_MESSAGES | OF_DRAIN },
};

struct parser {
    struct bench_options *o;
    struct buffer *error;
    char **next, **end; /* arguments not yet taken */
};

/* Says what is wrong.  Always false, as "not parsed". */
__attribute__((format(printf, 2, 3))) static bool fault(struct buffer *error, const char *format,
                                                        ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)buffer_append(error, bytes_of_string(text)); /* without memory: less to read */
    return false;
}

/* ----------------------------------------------------------------------------------- values --- */

static bool parse_integer(const char *text, int64_t least, int64_t most, int64_t *out)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < least || number > most)
        return false;
    *out = number;
    return true;
}

static bool parse_seconds(const char *text, double least, double most, double *out)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= least && seconds <= most))
        return false;
    *out = seconds;
    return true;
}

static bool parse_version(const char *text, enum version *out)
{
    static const struct {
        const char *name;
        enum version version;
    } names[] = {
        { "mqttv311", VERSION_3_1_1 },
        { "311", VERSION_3_1_1 },
        { "mqttv5", VERSION_5_0 },
        { "5", VERSION_5_0 },
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i].name) == 0) {
            *out = names[i].version;
            return true;
        }
    }
    return false;
}

/* ---------------------------------------------------------------------------------- options --- */

static bool set_number(struct parser *p, const char *name, const char *value, int64_t least,
                       int64_t most, int64_t *out)
{
    if (parse_integer(value, least, most, out))
        return true;
    return fault(p->error, "%s takes a number from %lld to %lld, not '%s'", name, (long long)least,
                 (long long)most, value);
}

static bool set_option(struct parser *p, const struct option *option, const char *name,
                       const char *value)
{
    void *field = (char *)p->o + option->offset;
    int64_t number = 0;
    switch (option->kind) {
    case FLAG:
        *(bool *)field = true;
        return true;
    case TEXT:
        *(const char **)field = value;
        return true;
    case INTEGER:
        if (!set_number(p, name, value, (int64_t)option->least, (int64_t)option->most, &number))
            return false;
        *(int *)field = (int)number;
        return true;
    case SECONDS:
        if (parse_seconds(value, option->least, option->most, field))
            return true;
        return fault(p->error, "%s takes seconds from %g to %g, not '%s'", name, option->least,
                     option->most, value);
    case VERSION:
        if (parse_version(value, field))
            return true;
        return fault(p->error, "%s takes 311 or 5, not '%s'", name, value);
    }
    return false;
}

static bool is_named(const char *letter, const char *word, const char *name)
{
    return strcmp(word, name) == 0 || (letter != NULL && strcmp(letter, name) == 0);
}

static const struct option *option_find(const char *name)
{
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (is_named(options[i].letter, options[i].word, name))
            return &options[i];
    }
    return NULL;
}

static const struct change_option *change_find(const char *name)
{
    for (size_t i = 0; i < BENCH_CHANGES; i++) {
        if (is_named(change_options[i].letter, change_options[i].word, name))
            return &change_options[i];
    }
    return NULL;
}

/* One option and its value. */
static bool parse_option(struct parser *p, const char *name)
{
    const struct option *option = option_find(name);
    const struct change_option *change = change_find(name);
    if (option == NULL && change == NULL)
        return fault(p->error, "there is no option '%s'", name);
    if (option != NULL && option->kind == FLAG)
        return set_option(p, option, name, NULL);
    if (p->next == p->end)
        return fault(p->error, "%s needs a value", name);
    const char *value = *p->next++;
    if (option != NULL)
        return set_option(p, option, name, value);
    return set_number(p, name, value, change->least, change->most,
                      &p->o->changes[change - change_options]);
}

static bool parse_all(struct parser *p)
{
    while (p->next < p->end) {
        const char *word = *p->next++;
        if (word[0] != '-')
            p->o->names[p->o->name_count++] = word;
        else if (!parse_option(p, word))
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------------------------- specs ----- */

static void apply(struct bench_spec *s, enum bench_change change, int64_t value)
{
    switch (change) {
    case CHANGE_QOS:
        s->qos = (uint8_t)value;
        return;
    case CHANGE_SIZE:
        s->payload_size = (uint32_t)value;
        return;
    case CHANGE_WINDOW:
        s->window = (uint32_t)value;
        return;
    case CHANGE_RATE:
        s->rate = (uint32_t)value;
        s->window = 0;
        return;
    case CHANGE_PUBLISHERS:
        s->publishers = (uint32_t)value;
        return;
    case CHANGE_SUBSCRIBERS:
        s->subscribers = (uint32_t)value;
        return;
    case CHANGE_TOPICS:
        s->topics = (uint32_t)value;
        return;
    case CHANGE_QUEUED:
        s->queued = (uint32_t)value;
        return;
    case CHANGE_MESSAGES:
        s->messages = (uint64_t)value;
        return;
    case BENCH_CHANGES:
        return;
    }
}

static bool is_meaningful(const struct bench_spec *row, enum bench_change change)
{
    if ((change_options[change].kinds & 1u << row->kind) == 0)
        return false;
    return change != CHANGE_TOPICS || row->topics > 0;
}

/* One number is enough for pairs. */
static void complete_pairs(struct bench_spec *s, const struct bench_options *o)
{
    if (s->kind != BENCH_MESSAGES || s->wiring != WIRING_PAIRS)
        return;
    if (o->changes[CHANGE_SUBSCRIBERS] < 0)
        s->subscribers = s->publishers;
    else if (o->changes[CHANGE_PUBLISHERS] < 0)
        s->publishers = s->subscribers;
}

/* With a number of messages and no times, so many are published, and all of them count. */
static void set_times(struct bench_spec *s, const struct bench_options *o)
{
    if (o->seconds >= 0)
        s->seconds = o->seconds;
    else if (s->messages > 0)
        s->seconds = BENCH_SECONDS_MAX;
    if (o->warm_up >= 0)
        s->warm_up = o->warm_up;
    else if (s->messages > 0)
        s->warm_up = 0;
}

/* A number of messages in all is one round of draining them. */
static bool share_queued(struct bench_spec *s, const struct bench_options *o, struct buffer *error)
{
    enum { QUEUED_MAX = 10000000 }; /* as --queued */
    if (s->kind != BENCH_DRAIN || s->messages == 0)
        return true;
    if (o->changes[CHANGE_QUEUED] >= 0)
        return fault(error, "%s takes --queued or --messages, not both", s->name);
    if (s->messages % s->subscribers != 0 || s->messages / s->subscribers > QUEUED_MAX)
        return fault(error, "%s needs as many messages for each of %u sessions, at most %d",
                     s->name, s->subscribers, QUEUED_MAX);
    s->queued = (uint32_t)(s->messages / s->subscribers);
    return true;
}

static bool change_all(struct bench_spec *s, const struct bench_spec *row,
                       const struct bench_options *o, struct buffer *error)
{
    *s = *row;
    s->target = o->target;
    if (s->target.username != NULL && s->target.password == NULL)
        s->target.password = o->default_password;
    for (enum bench_change c = 0; c < BENCH_CHANGES; c++) {
        if (o->changes[c] < 0)
            continue;
        if (!is_meaningful(row, c))
            return fault(error, "%s means nothing to %s", change_options[c].word, row->name);
        apply(s, c, o->changes[c]);
    }
    if (s->rate > 0 && o->changes[CHANGE_WINDOW] >= 0)
        return fault(error, "%s is an open loop: it publishes at a rate and has no window",
                     row->name);
    complete_pairs(s, o);
    set_times(s, o);
    return share_queued(s, o, error) && scenario_check(s, error);
}

static bool add_spec(struct bench_options *o, const struct bench_spec *row, struct buffer *error)
{
    struct bench_spec *specs = memory_resize(o->specs, (o->spec_count + 1) * sizeof *specs);
    if (specs == NULL)
        return fault(error, "out of memory");
    o->specs = specs;
    return change_all(&specs[o->spec_count++], row, o, error);
}

static bool make_specs(struct bench_options *o, struct buffer *error)
{
    for (size_t i = 0; i < o->name_count; i++) {
        const struct bench_spec *row;
        bool is_all = strcmp(o->names[i], "all") == 0;
        for (size_t n = 0; is_all && (row = scenario_at(n)) != NULL; n++) {
            if (!add_spec(o, row, error))
                return false;
        }
        if (is_all)
            continue;
        row = scenario_find(o->names[i]);
        if (row == NULL)
            return fault(error, "there is no scenario '%s'; 'chappe bench list' shows them",
                         o->names[i]);
        if (!add_spec(o, row, error))
            return false;
    }
    return true;
}

/* -------------------------------------------------------------------------------- together ---- */

void bench_options_init(struct bench_options *o)
{
    *o = (struct bench_options){ .seconds = -1, .warm_up = -1 };
    o->target =
        (struct bench_target){ .host = "localhost", .port = 1883, .version = VERSION_3_1_1 };
    for (size_t i = 0; i < BENCH_CHANGES; i++)
        o->changes[i] = -1;
}

void bench_options_fini(struct bench_options *o)
{
    memory_free(o->names);
    memory_free(o->specs);
}

static bool has_word(int argc, char **argv, const char *word)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], word) == 0)
            return true;
    }
    return false;
}

enum bench_request bench_options_parse(struct bench_options *o, int argc, char **argv,
                                       struct buffer *error)
{
    struct parser p = { o, error, argv + 1, argv + argc };
    if (has_word(argc, argv, "--help"))
        return REQUEST_HELP;
    if (has_word(argc, argv, "--version"))
        return REQUEST_VERSION;
    o->names = memory_alloc_zero((size_t)argc * sizeof *o->names);
    if (o->names == NULL) {
        (void)fault(error, "out of memory");
        return REQUEST_BAD;
    }
    if (!parse_all(&p))
        return REQUEST_BAD;
    if (o->name_count == 1 && strcmp(o->names[0], "list") == 0)
        return REQUEST_LIST;
    if (o->name_count == 0)
        (void)fault(error, "which scenario? 'chappe bench list' shows them");
    else if (o->target.password != NULL && o->target.username == NULL)
        (void)fault(error, "-P needs a user name, -u");
    else if (make_specs(o, error))
        return REQUEST_RUN;
    return REQUEST_BAD;
}
