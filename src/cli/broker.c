/* cli/broker.c: `chappe broker`: from a command line to a running server, and down again.
 *
 * The main thread is the control thread: it starts everything, waits for signals, and ends
 * everything.  Workers and the log have threads of their own.
 *
 *     arguments -> configuration -> privileges, log -> server: listen, start -> signals -> stop */
#include "admin/debug_tap.h"
#include "admin/sys_topics.h"
#include "base/buffer.h"
#include "broker/server.h"
#include "broker/worker.h"
#include "cli/commands.h"
#include "cli/process.h"
#include "config/config.h"
#include "io/env_real.h"
#include "io/log_sink.h"
#include "io/notify.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum exit_status { /* as Mosquitto's */
                   EXIT_STOPPED = 0,
                   EXIT_CANNOT_START = 1,
                   EXIT_BAD_CONFIG = 3,
                   EXIT_STORE_FAILED = 4,
};

struct arguments {
    const char *config_path;
    struct config_overrides overrides;
    bool daemonise, test_config;
};

static const char help[] =
    "Usage: chappe broker [-c FILE] [-p PORT] [-d] [-q] [-v] [--test-config]\n"
    "\n"
    "The MQTT broker.  Without a configuration it listens on the loopback addresses, port 1883,\n"
    "and lets everybody on this machine in.\n"
    "\n"
    "  -c, --config-file FILE  read the configuration from FILE (mosquitto.conf syntax)\n"
    "  -p, --port PORT         listen on PORT instead of 1883, when FILE has no listener;\n"
    "                          up to 10 times\n"
    "  -d, --daemon            run in the background\n"
    "  -q, --quiet             no log at all\n"
    "  -v, --verbose           log everything, whatever the configuration says\n"
    "      --test-config       check the configuration, and exit with 0 if it is good\n"
    "  -h, --help              this text\n"
    "      --version           the version\n"
    "\n"
    "Signals: HUP reads the configuration again, RTMIN opens the log file anew, USR2 prints the\n"
    "subscriptions, INT and TERM stop gracefully; the second one stops at once.\n";

/* ------------------------------------------------------------------------------- arguments ---- */

static int usage_error(const char *text, const char *word)
{
    fprintf(stderr, "Error: %s%s.\n\n%s", text, word, help);
    return EXIT_BAD_CONFIG;
}

static bool parse_port(const char *text, struct config_overrides *o)
{
    char *end;
    long port = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || port < 1 || port > 65535 ||
        o->port_count == sizeof o->ports / sizeof o->ports[0])
        return false;
    o->ports[o->port_count++] = (int)port;
    return true;
}

static bool is_option(const char *word, const char *letter, const char *name)
{
    return strcmp(word, letter) == 0 || strcmp(word, name) == 0;
}

/* -1: go on; else the exit status. */
static int parse_arguments(int argc, char **argv, struct arguments *out)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (is_option(word, "-h", "--help")) {
            fputs(help, stdout);
            return EXIT_STOPPED;
        } else if (strcmp(word, "--version") == 0) {
            puts("chappe version " CHAPPE_VERSION);
            return EXIT_STOPPED;
        } else if (is_option(word, "-d", "--daemon")) {
            out->daemonise = true;
        } else if (is_option(word, "-q", "--quiet")) {
            out->overrides.quiet = true;
        } else if (is_option(word, "-v", "--verbose")) {
            out->overrides.verbose = true;
        } else if (strcmp(word, "--test-config") == 0) {
            out->test_config = true;
        } else if (is_option(word, "-c", "--config-file")) {
            if (value == NULL)
                return usage_error("-c argument given, but no config file specified", "");
            out->config_path = argv[++i];
        } else if (is_option(word, "-p", "--port")) {
            if (value == NULL || !parse_port(value, &out->overrides))
                return usage_error("-p needs a port from 1 to 65535, at most 10 times", "");
            i++;
        } else {
            return usage_error("Unknown option ", word);
        }
    }
    return -1;
}

/* ------------------------------------------------------------------------------------- log ---- */

static unsigned destination_of(enum log_dest_kind kind)
{
    switch (kind) {
    case LOG_DEST_STDERR:
        return LOG_SINK_STDERR;
    case LOG_DEST_STDOUT:
        return LOG_SINK_STDOUT;
    case LOG_DEST_SYSLOG:
        return LOG_SINK_SYSLOG;
    case LOG_DEST_TOPIC:
        return LOG_SINK_TOPIC;
    case LOG_DEST_FILE:
        return LOG_SINK_FILE;
    }
    return 0;
}

static void publish_line(void *sys_topics, enum log_type type, const char *line)
{
    if (sys_topics != NULL)
        sys_topics_log(sys_topics, type, line);
}

static struct log_sink_options sink_options(const struct config *config, struct sys_topics *topics)
{
    struct log_sink_options o = { .types = config->log_types,
                                  .facility = config->log_facility,
                                  .timestamp = config->log_timestamp,
                                  .timestamp_format = config->log_timestamp_format,
                                  .json = config->log_format == LOG_FORMAT_JSON,
                                  .publish = topics == NULL ? NULL : publish_line,
                                  .context = topics };
    for (size_t i = 0; i < config->log_dest_count; i++) {
        o.destinations |= destination_of(config->log_dest[i].kind);
        if (config->log_dest[i].kind == LOG_DEST_FILE)
            o.file = config->log_dest[i].path;
    }
    return o;
}

/* --------------------------------------------------------------------------------- running ---- */

/* What the control thread holds. */
struct control {
    struct arguments arguments;
    const char *version; /* as scripts look for it in the log */
    struct log_sink *sink;
    struct log *log;
    struct config *config; /* in use */
    struct config **old;   /* replaced ones: workers may still look at them */
    size_t old_count;
    struct server *server;
    struct sys_topics *topics;
    struct debug_tap *tap;
};

static void log_config_error(struct log *log, const struct config_error *e)
{
    log_line(log, LOG_TYPE_ERROR, "%s", e->text);
    if (e->path[0] != '\0')
        log_line(log, LOG_TYPE_ERROR, "Error found at %s:%d.", e->path, e->line);
}

static int read_config(struct control *c, struct config **out)
{
    struct config_error error = { 0 };
    int result = config_read(&env_real, c->arguments.config_path, &c->arguments.overrides, c->log,
                             out, &error);
    if (result != 0)
        log_config_error(c->log, &error);
    return result;
}

/* A reload changes everything or nothing. */
static void reload(struct control *c)
{
    struct config *fresh;
    log_line(c->log, LOG_TYPE_INFORMATION, "Reloading config.");
    struct config **old = realloc(c->old, (c->old_count + 1) * sizeof *old);
    if (old != NULL)
        c->old = old;
    if (old == NULL || read_config(c, &fresh) != 0) {
        log_line(c->log, LOG_TYPE_ERROR, "Error: The configuration stays as it was.");
        return;
    }
    struct log_sink_options options = sink_options(fresh, c->topics);
    if (!config_listeners_equal(c->config, fresh)) {
        log_line(c->log, LOG_TYPE_ERROR,
                 "Error: Listeners cannot be changed while running. The configuration stays as it "
                 "was; restart to apply it.");
        config_destroy(fresh);
    } else if (log_sink_configure(c->sink, &options) != 0) {
        log_line(c->log, LOG_TYPE_ERROR,
                 "Error: Unable to open log file %s. The configuration stays as it was.",
                 options.file);
        config_destroy(fresh);
    } else {
        c->old[c->old_count++] = c->config;
        c->config = fresh;
        server_set_config(c->server, fresh);
        debug_tap_enable(c->tap, (fresh->log_types & LOG_TYPE_DEBUG) != 0);
        log_line(c->log, LOG_TYPE_INFORMATION, "Configuration reloaded.");
    }
}

/* What is to be printed, as long as there is memory for it. */
struct printout {
    struct buffer text;
    int result;
};

static void put_filter(void *printout, struct bytes filter, size_t subscribers)
{
    struct printout *p = printout;
    if (p->result == 0)
        p->result = buffer_printf(&p->text, "%s (%zu)\n", LOG_TEXT(filter), subscribers);
}

/* Printed after the walk: whoever reads slowly must not keep Clients from subscribing. */
static void print_subscriptions(struct control *c)
{
    struct printout p = { 0 };
    router_walk(c->server->router, put_filter, &p);
    if (p.result != 0)
        log_line(c->log, LOG_TYPE_ERROR, "Error: Out of memory printing the subscriptions.");
    else if (!process_print(buffer_bytes(&p.text)))
        log_line(c->log, LOG_TYPE_WARNING,
                 "Warning: Nobody reads stdout; not all subscriptions were printed.");
    buffer_fini(&p.text);
}

/* Waits for signals and for the supervisor's rhythm, until the server has stopped. */
static void control_loop(struct control *c, const sigset_t *signals)
{
    int64_t watchdog_ns = notify_watchdog_ns();
    int64_t step_ns = watchdog_ns < INT64_C(1000000000) ? watchdog_ns : INT64_C(1000000000);
    int64_t beat_ns = 0;
    bool is_stopping = false;
    while (!server_is_stopped(c->server)) {
        if (is_stopping)
            step_ns = 20 * 1000 * 1000;
        struct timespec wait = { step_ns / 1000000000, step_ns % 1000000000 };
        int number = sigtimedwait(signals, NULL, &wait);
        int64_t now_ns = env_monotonic_ns(&env_real);
        if (now_ns >= beat_ns && watchdog_ns != INT64_MAX) {
            if (server_is_alive(c->server)) /* a worker that hangs is for the supervisor to end */
                notify_supervisor("WATCHDOG=1");
            beat_ns = now_ns + watchdog_ns;
        }
        if (number == SIGHUP) {
            reload(c);
        } else if (number == SIGUSR1) {
            log_line(c->log, LOG_TYPE_INFORMATION,
                     c->config->persistence
                         ? "SIGUSR1: nothing to save, what was acknowledged is on the disk."
                         : "SIGUSR1: nothing to save, the broker keeps everything in memory.");
        } else if (number == SIGUSR2) {
            print_subscriptions(c);
        } else if (number == SIGRTMIN) {
            (void)log_sink_reopen(c->sink); /* else it stays open as it is */
        } else if (number == SIGINT || number == SIGTERM) {
            notify_supervisor("STOPPING=1");
            server_stop(c->server);
            is_stopping = true;
        }
    }
}

static unsigned worker_count(const struct config *config)
{
    int wanted = config->workers > 0 ? config->workers : process_usable_cpus();
    return wanted < WORKERS_MAX ? (unsigned)wanted : WORKERS_MAX;
}

/* Listens and runs.  The exit status. */
static int serve(struct control *c)
{
    sigset_t signals;
    unsigned workers = worker_count(c->config);
    process_block_signals(&signals);
    c->server = server_create(&env_real, c->config, c->log, workers);
    if (c->server == NULL) {
        log_line(c->log, LOG_TYPE_ERROR, "Error: Out of memory or descriptors.");
        return EXIT_CANNOT_START;
    }
    if (server_open_store(c->server) != 0 || server_listen(c->server) != 0)
        return EXIT_CANNOT_START;
    c->topics = sys_topics_create(c->server);
    c->tap = debug_tap_create(c->server);
    if (c->topics == NULL || c->tap == NULL)
        return EXIT_CANNOT_START;
    debug_tap_enable(c->tap, (c->config->log_types & LOG_TYPE_DEBUG) != 0);

    struct log_sink_options options = sink_options(c->config, c->topics);
    (void)log_sink_configure(c->sink, &options); /* it opened the same file a moment ago */
    if (log_sink_start(c->sink) != 0 || server_start(c->server) != 0) {
        log_line(c->log, LOG_TYPE_ERROR, "Error: Unable to start threads.");
        server_stop(c->server);
        server_stop(c->server); /* at once: not every worker is there to agree */
        return EXIT_CANNOT_START;
    }
    log_line(c->log, LOG_TYPE_INFORMATION, "%s running", c->version);
    notify_supervisor("READY=1");
    control_loop(c, &signals);
    return atomic_load(&c->server->has_failed) ? EXIT_STORE_FAILED : EXIT_STOPPED;
}

static void end(struct control *c)
{
    if (c->server != NULL)
        server_join(c->server);
    log_sink_stop(c->sink);
    server_destroy(c->server); /* may log, and the log may go to topics: before they go */
    sys_topics_destroy(c->topics);
    debug_tap_destroy(c->tap);
    for (size_t i = 0; i < c->old_count; i++)
        config_destroy(c->old[i]);
    free(c->old);
}

/* Everything that needs the rights of the user who started us, before the sockets: as Mosquitto,
 * whose users expect files to be opened by the user they name. */
static int prepare(struct control *c)
{
    if (c->arguments.daemonise && process_daemonise() != 0) {
        log_line(c->log, LOG_TYPE_ERROR, "Error: Unable to daemonise: %s.", strerror(errno));
        return EXIT_CANNOT_START;
    }
    process_raise_descriptor_limit();
    if (process_drop_privileges(c->config->user, c->log) != 0)
        return EXIT_CANNOT_START;
    struct log_sink_options options = sink_options(c->config, NULL);
    if (log_sink_configure(c->sink, &options) != 0) {
        log_line(c->log, LOG_TYPE_ERROR, "Error: Unable to open log file %s for writing.",
                 options.file);
        return EXIT_CANNOT_START;
    }
    if (c->config->pid_file != NULL && process_write_pid(c->config->pid_file) != 0) {
        log_line(c->log, LOG_TYPE_ERROR, "Error: Unable to write pid file %s: %s.",
                 c->config->pid_file, strerror(errno));
        return EXIT_CANNOT_START;
    }
    return EXIT_STOPPED;
}

static int run(struct control *c)
{
    log_line(c->log, LOG_TYPE_INFORMATION, "%s starting", c->version);
    if (c->arguments.config_path != NULL)
        log_line(c->log, LOG_TYPE_INFORMATION, "Config loaded from %s.", c->arguments.config_path);
    else
        log_line(c->log, LOG_TYPE_INFORMATION, "Using default config.");
    int status = serve(c);
    log_line(c->log, LOG_TYPE_INFORMATION, "%s terminating", c->version);
    end(c);
    if (c->config->pid_file != NULL)
        (void)unlink(c->config->pid_file); /* somebody else removed it: fine */
    return status;
}

/* Called under Mosquitto's name, the lines of start and end are Mosquitto's as well. */
static const char *version_text(const char *program)
{
    const char *slash = strrchr(program, '/');
    bool as_mosquitto = strcmp(slash == NULL ? program : slash + 1, "mosquitto") == 0;
    return as_mosquitto ? "mosquitto version " CHAPPE_MOSQUITTO_VERSION
                        : "chappe version " CHAPPE_VERSION;
}

int cli_broker(int argc, char **argv)
{
    struct control c = { .version = version_text(argv[0]) };
    int status = parse_arguments(argc, argv, &c.arguments);
    if (status >= 0)
        return status;
    c.arguments.overrides.persistence_location = getenv("MOSQUITTO_PERSISTENCE_LOCATION");
    c.sink = log_sink_create(env_real.clock);
    if (c.sink == NULL)
        return EXIT_CANNOT_START;
    c.log = log_sink_log(c.sink);
    if (c.arguments.overrides.quiet)
        c.log->types = LOG_TYPE_ERROR;
    if (read_config(&c, &c.config) != 0)
        status = EXIT_BAD_CONFIG;
    else if (c.arguments.test_config)
        status = EXIT_STOPPED;
    else if ((status = prepare(&c)) == EXIT_STOPPED)
        status = run(&c);
    config_destroy(c.config);
    log_sink_destroy(c.sink);
    return status;
}
