/* cli/bench.c: the load generator: which scenarios, and what they found.
 *
 *     stdout   what runs, what was found          for each scenario; or JSON, a line each
 *     stderr   how far it is, if that is a terminal */
#include "base/memory.h"
#include "bench/fail.h"
#include "bench/process.h"
#include "bench/report.h"
#include "bench/scenarios.h"
#include "bench/watch.h"
#include "cli/bench_options.h"
#include "cli/commands.h"
#include "cli/process.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum status { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_INTERRUPTED = 130 };

enum { OTHER_DESCRIPTORS = 16 }; /* that are open besides connections */

/* The one thing that a signal handler can reach. */
static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int signal_number)
{
    is_interrupted = 1;
}

/* A second one ends the program, as if nothing had been said. */
static void listen_to_interrupts(void)
{
    struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL); /* a signal that can be caught */
}

/* A line on stderr; the status of what cannot be done. */
__attribute__((format(printf, 1, 2))) static int refuse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)fputs("bench: ", stderr);
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    va_end(arguments);
    return STATUS_FAILED;
}

/* --------------------------------------------------------------------------------- progress --- */

/* One line, written again and again.  The cursor waits below it, so that whatever else is said in
 * the meantime has a line of its own. */
struct progress {
    const struct bench_spec *spec;
    bool is_shown; /* there is a line */
};

#define LINE_UP "\033[1A\r\033[K"

static void progress_hide(struct progress *p)
{
    if (p->is_shown)
        (void)fputs(LINE_UP, stderr);
    p->is_shown = false;
}

static void on_progress(void *context, double seconds, uint64_t published, uint64_t delivered)
{
    struct progress *p = context;
    progress_hide(p);
    report_progress(stderr, p->spec, seconds, published, delivered);
    (void)fputc('\n', stderr);
    p->is_shown = true;
}

/* ------------------------------------------------------------------------------------ before -- */

static int check_descriptors(const struct bench_spec *s)
{
    struct rlimit limit;
    uint32_t connections = scenario_connections(s);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        limit.rlim_cur >= (rlim_t)connections + OTHER_DESCRIPTORS)
        return STATUS_OK;
    return refuse("%s needs %u connections, but this process may have only %llu files open; raise "
                  "the limit (ulimit -n), or ask for fewer clients",
                  s->name, connections, (unsigned long long)limit.rlim_cur);
}

static int check_pid(int pid)
{
    struct process_cpu cpu;
    int64_t bytes;
    int failure = process_cpu_read(pid, &cpu);
    if (failure == 0)
        failure = process_private_memory(pid, &bytes);
    if (failure == 0)
        return STATUS_OK;
    if (failure == -ESRCH)
        return refuse("--pid %d: there is no such process", pid);
    return refuse("--pid %d: its use of CPU and memory cannot be read: %s%s", pid,
                  strerror(-failure), failure == -EACCES ? "; run as its user, or as root" : "");
}

static int check_all(const struct bench_options *o)
{
    int status = o->target.pid == 0 ? STATUS_OK : check_pid(o->target.pid);
    for (size_t i = 0; status == STATUS_OK && i < o->spec_count; i++)
        status = check_descriptors(&o->specs[i]);
    return status;
}

/* ------------------------------------------------------------------------------------ the run - */

static void run_one(const struct bench_options *o, struct bench_spec *spec,
                    struct bench_result *result)
{
    struct progress progress = { .spec = spec };
    struct bench_watch watch = { .context = &progress, .stop = &is_interrupted };
    if (!o->quiet && isatty(STDERR_FILENO) == 1)
        watch.progress = on_progress;
    spec->watch = &watch;
    if (!o->json)
        report_spec(stdout, spec);
    (void)fflush(stdout); /* before what may take long; looked at in the end */
    bench_run(spec, result);
    spec->watch = NULL;
    progress_hide(&progress);
    if (o->json)
        report_json(stdout, spec, result);
    else
        report_text(stdout, spec, result);
    (void)fflush(stdout);
}

static int run_all(const struct bench_options *o)
{
    struct bench_result *result = bench_alloc(1, sizeof *result);
    for (size_t i = 0; i < o->spec_count && !is_interrupted; i++)
        run_one(o, &o->specs[i], result);
    memory_free(result);
    if (is_interrupted)
        return STATUS_INTERRUPTED;
    return ferror(stdout) ? refuse("the results could not be written") : STATUS_OK;
}

static int run(const struct bench_options *o)
{
    process_raise_descriptor_limit();
    int status = check_all(o);
    if (status != STATUS_OK)
        return status;
    listen_to_interrupts();
    return run_all(o);
}

/* ----------------------------------------------------------------------------------- the word - */

static int print_list(void)
{
    const struct bench_spec *row;
    for (size_t i = 0; (row = scenario_at(i)) != NULL; i++)
        printf("%-22s%s\n", row->name, row->about);
    return STATUS_OK;
}

static int print_help(void)
{
    printf(
        "chappe bench loads a broker with messages, checks that each arrives, and measures.\n\n"
        "Usage: chappe bench SCENARIO... [OPTION]...\n"
        "       chappe bench list      the scenarios\n"
        "       chappe bench all       every one, one after another\n\n"
        "The broker:\n"
        " -h, --host HOST           its name or address (localhost)\n"
        " -p, --port PORT           its port (1883)\n"
        " -V, --protocol-version V  311 (default) or 5, also mqttv311, mqttv5\n"
        " -u, --username USER       and the password: in the environment as CHAPPE_PASSWORD, or\n"
        " -P, --pw PASSWORD         for everybody to see in the list of processes\n"
        " --pid PID                 its process, if it is on this machine: measures its CPU time\n"
        "                           and memory\n"
        " --relay                   it is no broker but bench/relay, which passes bytes on\n"
        "How long:\n"
        " -t, --seconds SECONDS     publish for so long (5)\n"
        " --warm-up SECONDS         and before that so long without counting (0.5)\n"
        " -m, --messages N          publish so many messages; without -t however long it takes;\n"
        "                           drain: so many in all sessions, once\n"
        "Changes to the scenario:\n"
        " -q, --qos QOS             0, 1 or 2\n"
        " -s, --size BYTES          of each payload\n"
        " -w, --window N            closed loop: messages under way per publisher\n"
        " --rate N                  open loop: N messages per second by all publishers together,\n"
        "                           come what may\n"
        " --publishers N, --subscribers N, --topics N\n"
        " --queued N                drain: messages for each session\n"
        "Output:\n"
        " --json                    one JSON object per scenario and line\n"
        " --quiet                   no progress on a terminal\n"
        " --help, --version\n");
    return STATUS_OK;
}

static int parse_and_run(struct bench_options *o, int argc, char **argv, struct buffer *error)
{
    switch (bench_options_parse(o, argc, argv, error)) {
    case REQUEST_RUN:
        return run(o);
    case REQUEST_LIST:
        return print_list();
    case REQUEST_HELP:
        return print_help();
    case REQUEST_VERSION:
        printf("chappe bench version %s\n", CHAPPE_VERSION);
        return STATUS_OK;
    case REQUEST_BAD:
        break;
    }
    (void)refuse("%.*s", (int)error->size, (const char *)error->data);
    (void)fputs("Use 'chappe bench --help' to see how it is used.\n", stderr);
    return STATUS_USAGE;
}

int cli_bench(int argc, char **argv)
{
    struct bench_options o;
    struct buffer error = { 0 };
    bench_options_init(&o);
    o.default_password = getenv("CHAPPE_PASSWORD");
    int status = parse_and_run(&o, argc, argv, &error);
    bench_options_fini(&o);
    buffer_fini(&error);
    return status;
}
