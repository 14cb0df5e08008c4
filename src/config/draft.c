/* config/draft.c: from defaults to a finished configuration.
 *
 *     draft_create        every option at its default, no listener
 *         |  lines: option_apply writes into the draft
 *     draft_finish        local-only mode, inherited values, checks
 *         |
 *     struct config       one block; its strings stay in the arena that moves along
 */
#include "config/draft.h"
#include "base/memory.h"
#include "config/options.h"
#include "mqtt/version.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <syslog.h>

/* What config_destroy finds around the struct config it is given. */
struct config_block {
    struct config config;
    struct arena strings;
    struct listener_config listeners[];
};

enum {
    PORT_DEFAULT = 1883,
    ALL_VERSIONS = 1 << VERSION_3_1 | 1 << VERSION_3_1_1 | 1 << VERSION_5_0,
};

struct draft *draft_create(struct log *log, struct config_error *error)
{
    struct draft *d = memory_alloc_zero(sizeof *d);
    if (d == NULL)
        return NULL;
    arena_init(&d->strings);
    d->log = log;
    d->error = error;
    d->path = "";
    d->is_local_only = true;
    d->allow_anonymous = DRAFT_UNSET;
    d->config.persistent_client_expiration_s = -1;
    d->config.log_facility = LOG_DAEMON;
    options_init_global(d);
    return d;
}

void draft_destroy(struct draft *d)
{
    if (d == NULL)
        return;
    arena_fini(&d->strings);
    memory_free(d);
}

/* ---------------------------------------------------------------------- telling what is wrong - */

int draft_fail(struct draft *d, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(d->error->text, sizeof d->error->text, format, arguments); /* cut if longer */
    va_end(arguments);
    (void)snprintf(d->error->path, sizeof d->error->path, "%s", d->path); /* likewise */
    d->error->line = d->line;
    return -EINVAL;
}

int draft_fail_memory(struct draft *d)
{
    (void)draft_fail(d, "Error: Out of memory.");
    return -ENOMEM;
}

void draft_warn(struct draft *d, const char *format, ...)
{
    if (!log_wants(d->log, LOG_TYPE_WARNING))
        return;
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments); /* cut if longer */
    va_end(arguments);
    if (d->path[0] == '\0')
        log_line(d->log, LOG_TYPE_WARNING, "Warning: %s", text);
    else
        log_line(d->log, LOG_TYPE_WARNING, "Warning: %s (%s:%d)", text, d->path, d->line);
}

const char *draft_string(struct draft *d, struct bytes text)
{
    char *copy = arena_alloc(&d->strings, text.size + 1);
    if (copy == NULL)
        return NULL;
    if (text.size > 0)
        memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return copy;
}

/* ------------------------------------------------------------------------------- persistence -- */

/* The array doubles whenever its count is a power of two.  What it leaves behind in the arena is
 * never more than what it has. */
int draft_persistence_rule(struct draft *d, struct persistence_rule rule)
{
    struct config *c = &d->config;
    size_t count = c->persistence_rule_count;
    if ((count & (count - 1)) == 0) {
        size_t room = count == 0 ? 1 : 2 * count; /* each has a line in memory: no overflow */
        struct persistence_rule *rules = arena_alloc(&d->strings, room * sizeof *rules);
        if (rules == NULL)
            return draft_fail_memory(d);
        if (count > 0)
            memcpy(rules, c->persistence_rules, count * sizeof *rules);
        c->persistence_rules = rules;
    }
    c->persistence_rules[c->persistence_rule_count++] = rule;
    return 0;
}

static int resolve_persistence(struct draft *d, const struct config_overrides *overrides)
{
    struct config *c = &d->config;
    const char *folder = overrides == NULL ? NULL : overrides->persistence_location;
    if (folder != NULL && folder[0] != '\0') {
        c->persistence_location = draft_string(d, bytes_of_string(folder));
        if (c->persistence_location == NULL)
            return draft_fail_memory(d);
    }
    if (!c->persistence && c->persistence_rule_count > 0)
        draft_warn(d, "The 'persistence_mode' option has no effect without 'persistence true'.");
    if (d->has_autosave)
        log_line(d->log, LOG_TYPE_INFORMATION,
                 "The 'autosave_interval' and 'autosave_on_changes' options have no effect: what "
                 "is kept on the disk is written before it is acknowledged.");
    return 0;
}

/* --------------------------------------------------------------------------------- listeners -- */

int draft_listener(struct draft *d, int port, struct listener_draft **out)
{
    if (d->listener_count == CONFIG_LISTENERS_MAX)
        return draft_fail(d, "Error: More than %d listeners.", CONFIG_LISTENERS_MAX);
    struct listener_draft *l = &d->listeners[d->listener_count++];
    *l =
        (struct listener_draft){ .allow_anonymous = DRAFT_UNSET, .path = d->path, .line = d->line };
    l->config.port = port;
    l->config.family = AF_UNSPEC;
    l->config.accept_protocol_versions = ALL_VERSIONS;
    options_init_listener(d, l);
    *out = l;
    return 0;
}

int draft_default_listener(struct draft *d, const char *option_name, struct listener_draft **out)
{
    if (d->default_listener == NULL) {
        int rc = draft_listener(d, PORT_DEFAULT, &d->default_listener);
        if (rc != 0)
            return rc;
        log_line(d->log, LOG_TYPE_INFORMATION,
                 "Creating the default listener for the '%s' option (%s:%d).", option_name, d->path,
                 d->line);
    }
    *out = d->default_listener;
    return 0;
}

/* One loopback listener; what was said about the default listener holds for it. */
static void add_local_listener(struct draft *d, const struct listener_draft *model, int port,
                               const char *host, int family)
{
    if (model->config.family != AF_UNSPEC && model->config.family != family)
        return; /* socket_domain asked for the other one only */
    assert(d->listener_count < CONFIG_LISTENERS_MAX);
    struct listener_draft *l = &d->listeners[d->listener_count++];
    *l = *model;
    l->config.port = port;
    l->config.host = host;
    l->config.bind_interface = NULL;
}

/* Nobody named a listener: loopback only, on port 1883 or those of the command line. */
static int make_local_listeners(struct draft *d, const struct config_overrides *overrides)
{
    static const int standard_port = PORT_DEFAULT;
    const int *ports = &standard_port;
    size_t port_count = 1;
    if (overrides != NULL && overrides->port_count > 0) {
        ports = overrides->ports;
        port_count = overrides->port_count;
    }
    if (d->default_listener == NULL) {
        int rc = draft_listener(d, PORT_DEFAULT, &d->default_listener);
        if (rc != 0)
            return rc;
    }
    struct listener_draft model = *d->default_listener;
    if (model.config.bind_interface != NULL)
        draft_warn(d, "The 'bind_interface' option has no effect without a listener.");

    d->default_listener = d->current = NULL;
    d->listener_count = 0;
    for (size_t i = 0; i < port_count; i++) {
        add_local_listener(d, &model, ports[i], "127.0.0.1", AF_INET);
        add_local_listener(d, &model, ports[i], "::1", AF_INET6);
    }
    return 0;
}

static void resolve_listener(const struct draft *d, struct listener_draft *l)
{
    int said = l->allow_anonymous != DRAFT_UNSET ? l->allow_anonymous : d->allow_anonymous;
    l->config.allow_anonymous = said != DRAFT_UNSET ? said == 1 : d->is_local_only;
    l->config.allow_zero_length_clientid = d->allow_zero_length_clientid;
    l->config.auto_id_prefix = l->auto_id_prefix != NULL ? l->auto_id_prefix : d->auto_id_prefix;
}

/* ------------------------------------------------------------------------------------ checks -- */

static bool strings_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool listeners_collide(const struct listener_config *a, const struct listener_config *b)
{
    bool share_family = a->family == AF_UNSPEC || b->family == AF_UNSPEC || a->family == b->family;
    return a->port == b->port && share_family && strings_equal(a->host, b->host) &&
           strings_equal(a->bind_interface, b->bind_interface);
}

/* Workers share ports, so that the kernel would not notice what is plainly a mistake. */
static int check_listeners(struct draft *d)
{
    for (size_t i = 1; i < d->listener_count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (!listeners_collide(&d->listeners[i].config, &d->listeners[k].config))
                continue;
            d->path = d->listeners[i].path;
            d->line = d->listeners[i].line;
            return draft_fail(d, "Error: Duplicate listener on port %d.",
                              d->listeners[i].config.port);
        }
    }
    return 0;
}

/* -------------------------------------------------------------------------------- handing over -
 */

static void resolve_log(struct draft *d, const struct config_overrides *overrides)
{
    struct config *c = &d->config;
    if (!d->has_log_dest) {
        c->log_dest[0].kind = LOG_DEST_STDERR;
        c->log_dest_count = 1;
    }
    if (!d->has_log_type)
        c->log_types = LOG_TYPE_DEFAULT;
    if (overrides != NULL && overrides->verbose)
        c->log_types = LOG_TYPE_ALL;
    if (overrides != NULL && overrides->quiet) {
        c->log_types = 0;
        c->log_dest_count = 0;
    }
}

/* A chosen limit that can lose what was acknowledged to its publisher is named. */
static void note_losses(struct draft *d)
{
    const struct config *c = &d->config;
    if (c->max_queued_messages > 0 && c->queue_policy != QUEUE_REFUSE_PUBLISHER)
        log_line(d->log, LOG_TYPE_NOTICE,
                 "Note: messages beyond max_queued_messages (%zu) are dropped for a client.",
                 c->max_queued_messages);
    if (c->persistence && c->persistence_sync_window_ms > 0)
        log_line(d->log, LOG_TYPE_NOTICE,
                 "Note: a power cut or a crash of the machine may lose the last %" PRIu32
                 " ms of acknowledged messages (persistence_sync_window).",
                 c->persistence_sync_window_ms);
}

static struct config *hand_over(struct draft *d)
{
    size_t listeners_size = d->listener_count * sizeof(struct listener_config);
    struct config_block *block = memory_alloc_zero(sizeof *block + listeners_size);
    if (block == NULL)
        return NULL;
    block->config = d->config;
    for (size_t i = 0; i < d->listener_count; i++)
        block->listeners[i] = d->listeners[i].config;
    block->config.listeners = block->listeners;
    block->config.listener_count = d->listener_count;
    block->config.is_local_only = d->is_local_only;
    block->strings = d->strings; /* moves; the draft is left without */
    arena_init(&d->strings);
    return &block->config;
}

int draft_finish(struct draft *d, const struct config_overrides *overrides, struct config **out)
{
    d->line = 0; /* from here on, it is about the file as a whole */
    int rc = d->is_local_only ? make_local_listeners(d, overrides) : check_listeners(d);
    if (rc == 0)
        rc = resolve_persistence(d, overrides);
    if (rc != 0)
        return rc;
    if (!d->is_local_only && overrides != NULL && overrides->port_count > 0)
        draft_warn(d, "Option -p has no effect: the configuration names its listeners.");
    for (size_t i = 0; i < d->listener_count; i++)
        resolve_listener(d, &d->listeners[i]);
    resolve_log(d, overrides);
    note_losses(d);

    struct config *c = hand_over(d);
    if (c == NULL)
        return draft_fail_memory(d);
    assert(c->listener_count > 0 && c->listener_count <= CONFIG_LISTENERS_MAX);
    *out = c;
    return 0;
}

void config_destroy(struct config *c)
{
    if (c == NULL)
        return;
    struct config_block *block = (struct config_block *)c; /* its first member */
    arena_fini(&block->strings);
    memory_free(block);
}

static bool text_equal(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool config_listeners_equal(const struct config *a, const struct config *b)
{
    if (a->listener_count != b->listener_count)
        return false;
    for (size_t i = 0; i < a->listener_count; i++) {
        const struct listener_config *x = &a->listeners[i], *y = &b->listeners[i];
        if (x->port != y->port || x->family != y->family || !text_equal(x->host, y->host) ||
            !text_equal(x->bind_interface, y->bind_interface))
            return false;
    }
    return true;
}
