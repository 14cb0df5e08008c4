/* cli/store_job.c: see store_job.h. */
#include "cli/store_job.h"
#include "mqtt/topic.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TOP_DEFAULT = 10, TOP_MAX = 1000 };

/* ---------------------------------------------------------------------------- command line ---- */

enum kind { FLAG, TEXT, NUMBER };

static const struct option {
    const char *letter, *word;
    enum kind kind;
    size_t offset;
    unsigned words; /* of enum store_word, one of which the verb must take; 0: every verb does */
} options[] = {
#define FIELD(name) offsetof(struct store_job, name)
    { "-h", "--help", FLAG, FIELD(is_help), 0 },
    { "-c", "--config-file", TEXT, FIELD(config), 0 },
    { NULL, "--json", FLAG, FIELD(json), STORE_TAKES_JSON },
    { NULL, "--full", FLAG, FIELD(full), STORE_TAKES_CHOICE },
    { NULL, "--live", FLAG, FIELD(live), STORE_TAKES_CHOICE },
    { NULL, "--messages", FLAG, FIELD(messages), STORE_TAKES_CHOICE },
    { NULL, "--session", TEXT, FIELD(client_id), STORE_TAKES_CHOICE },
    { NULL, "--topic", TEXT, FIELD(filter), STORE_TAKES_CHOICE },
    { NULL, "--top", NUMBER, FIELD(top), STORE_TAKES_TOP },
#undef FIELD
};

__attribute__((format(printf, 2, 3))) static bool fault(struct buffer *error, const char *format,
                                                        ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments); /* what is too long is cut */
    va_end(arguments);
    (void)buffer_append(error, bytes_of_string(text)); /* without memory: less to read */
    return false;
}

static const struct option *option_find(const char *name, unsigned words)
{
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        const struct option *o = &options[i];
        bool is_named =
            strcmp(o->word, name) == 0 || (o->letter != NULL && strcmp(o->letter, name) == 0);
        if (is_named && (o->words == 0 || (o->words & words) != 0))
            return o;
    }
    return NULL;
}

static bool set_number(const char *name, const char *value, int64_t *out, struct buffer *error)
{
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || number < 0 || number > TOP_MAX)
        return fault(error, "%s takes a number from 0 to %d, not '%s'", name, TOP_MAX, value);
    *out = number;
    return true;
}

/* How many words it took, 0: it is wrong. */
static int take_option(struct store_job *j, unsigned words, int left, char **at,
                       struct buffer *error)
{
    const struct option *o = option_find(at[0], words);
    if (o == NULL) {
        fault(error, "there is no option '%s'", at[0]);
        return 0;
    }
    void *field = (char *)j + o->offset;
    if (o->kind == FLAG) {
        *(bool *)field = true;
        return 1;
    }
    if (left < 2) {
        fault(error, "%s needs a value", at[0]);
        return 0;
    }
    if (o->kind == TEXT)
        *(const char **)field = at[1];
    else if (!set_number(at[0], at[1], field, error))
        return 0;
    return 2;
}

static bool take_folders(struct store_job *j, unsigned words, const char **names, int count,
                         struct buffer *error)
{
    int wanted = (j->config == NULL) + ((words & STORE_TAKES_TARGET) != 0);
    if (count > wanted)
        return fault(error, "what is '%s'?%s", names[wanted],
                     j->config != NULL ? " The configuration says where the store is" : "");
    if (count < wanted && j->config == NULL && count == 0)
        return fault(error, "which store? Its folder, or the persistence_location, or -c FILE");
    if (count < wanted)
        return fault(error, "where to? A folder that is not there yet");
    int at = 0;
    if (j->config == NULL)
        j->place = names[at++];
    if ((words & STORE_TAKES_TARGET) != 0)
        j->to = names[at];
    return true;
}

static bool check_choice(const struct store_job *j, struct buffer *error)
{
    if (j->filter != NULL && !topic_filter_is_valid(bytes_of_string(j->filter), NULL))
        return fault(error, "'%s' is no Topic Filter", j->filter);
    if (j->messages && !j->live)
        return fault(error, "--messages belongs to --live: without it, all that was written is "
                            "shown");
    return true;
}

bool store_job_parse(struct store_job *j, unsigned words, int argc, char **argv,
                     struct buffer *error)
{
    const char *names[3];
    int count = 0;
    j->verb = argv[0];
    j->top = TOP_DEFAULT;
    for (int i = 1; i < argc;) {
        int took = 1;
        if (argv[i][0] == '-')
            took = take_option(j, words, argc - i, argv + i, error);
        else if (count < (int)(sizeof names / sizeof names[0]))
            names[count++] = argv[i]; /* one too many is one that take_folders names */
        if (took == 0)
            return false;
        i += took;
    }
    if (j->is_help)
        return true;
    return take_folders(j, words, names, count, error) && check_choice(j, error);
}

/* -------------------------------------------------------------------------------- speaking ---- */

void store_say(const struct store_job *j, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)fprintf(stderr, "chappe store %s: ", j->verb);
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    va_end(arguments);
}

static const char *advice(int error)
{
    switch (error) {
    case -EBADMSG:
        return "\nWhat to do: put a backup in its place, or let 'chappe store repair' copy what is "
               "readable\nto a new folder. Leave this one as it is.";
    case -EPROTONOSUPPORT:
        return "\nWhat to do: use the version of Chappe, and a machine of the kind, that it was "
               "written with.";
    case -EACCES:
    case -EPERM:
        return "\nWhat to do: run this as the user of the broker, or as root.";
    }
    return "";
}

int store_say_fault(const struct store_job *j, int error, const struct store_fault *fault)
{
    const char *path = fault->path[0] == '\0' ? j->folder : fault->path;
    const char *text = fault->text[0] == '\0' ? strerror(-error) : fault->text;
    if (fault->offset == 0 && error != -EBADMSG)
        store_say(j, "%s: %s%s", path, text, advice(error));
    else
        store_say(j, "%s, byte %" PRIu64 ": %s%s", path, fault->offset, text, advice(error));
    return STORE_FAILED;
}

void store_say_target(const struct store_job *j, int error)
{
    if (error == -EEXIST)
        store_say(j, "%s is there already; give a name that is free", j->to);
    else if (error == -ENOENT)
        store_say(j, "%s cannot be made: the folder above it is not there", j->to);
    else
        store_say(j, "%s cannot be made: %s", j->to, strerror(-error));
}

bool store_print(const struct store_job *j, struct facts *f)
{
    if (f->error == 0 && f->out.size > 0)
        (void)fwrite(f->out.data, 1, f->out.size, stdout); /* looked at below */
    f->out.size = 0;
    if (f->error != 0)
        store_say(j, "not enough memory");
    else if (ferror(stdout))
        store_say(j, "the output cannot be written");
    return f->error == 0 && !ferror(stdout);
}

/* ------------------------------------------------------------------------------- progress ----- */

#define LINE_AGAIN      "\r\033[K"
#define SHOWN_EACH_NS   INT64_C(200000000)
#define SHOWN_MEBIBYTES (1 << 20)

void store_progress_show(struct store_progress *p, uint64_t bytes, uint64_t bytes_in_all)
{
    int64_t now_ns = env_monotonic_ns(p->job->env);
    if (p->shown_ns == 0)
        p->shown_ns = now_ns; /* what is quick shows nothing */
    if (now_ns - p->shown_ns < SHOWN_EACH_NS || isatty(STDERR_FILENO) != 1)
        return;
    p->shown_ns = now_ns;
    p->is_shown = true;
    (void)fprintf(stderr, LINE_AGAIN "%s: %" PRIu64 " MiB", p->what, bytes / SHOWN_MEBIBYTES);
    if (bytes_in_all >= bytes)
        (void)fprintf(stderr, " of %" PRIu64, bytes_in_all / SHOWN_MEBIBYTES);
    (void)fflush(stderr);
}

void store_progress_end(struct store_progress *p)
{
    if (p->is_shown)
        (void)fputs(LINE_AGAIN, stderr);
    p->is_shown = false;
}

void store_on_progress(void *progress, uint64_t bytes_read, uint64_t bytes_in_all)
{
    store_progress_show(progress, bytes_read, bytes_in_all);
}
