/* config/draft.h: a configuration while it is being read.  Private to this folder; one thread.
 *
 * Lines write into the draft; what depends on lines still to come (allow_anonymous, the listeners
 * of local-only mode) is kept as it was said and resolved by draft_finish. */
#pragma once

#include "base/arena.h"
#include "config/config.h"

enum { DRAFT_UNSET = -1 }; /* of a bool that has not been said */

struct listener_draft {
    struct listener_config config;
    int allow_anonymous;        /* listener_allow_anonymous, or DRAFT_UNSET */
    const char *auto_id_prefix; /* listener_auto_id_prefix, or NULL */
    const char *path;           /* where it was made, for errors found later */
    int line;
};

struct draft {
    struct config config; /* its listeners are made by draft_finish */
    struct listener_draft listeners[CONFIG_LISTENERS_MAX];
    size_t listener_count;
    struct listener_draft *default_listener; /* in listeners, or NULL: nobody needed it */
    struct listener_draft *current;          /* in listeners, or NULL: none in this file yet */
    bool is_local_only;                      /* no listener, port or bind_address so far */
    int allow_anonymous;                     /* or DRAFT_UNSET */
    bool allow_zero_length_clientid;
    const char *auto_id_prefix;
    bool has_log_dest, has_log_type; /* a line replaces the default */
    bool has_autosave;               /* somebody expects autosave_* to do something */
    const char *include_dir;         /* to be read before the next line; NULL: nothing */

    const char *path; /* of the file at hand; empty: no file */
    int line;
    bool is_included; /* the file at hand came from include_dir */

    struct arena strings; /* every const char * above that is not a literal, and the rules */
    struct log *log;
    struct config_error *error;
};

/* All options at their defaults.  NULL: no memory. */
struct draft *draft_create(struct log *log, struct config_error *error);
void draft_destroy(struct draft *d); /* NULL is fine */

/* Fills in the error, at the line at hand; -EINVAL. */
int draft_fail(struct draft *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
int draft_fail_memory(struct draft *d); /* -ENOMEM */

/* A line at the log, with the place it is about. */
void draft_warn(struct draft *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A copy that lives as long as the configuration; NULL: no memory. */
const char *draft_string(struct draft *d, struct bytes text);

/* One more, behind those there are.  0, or an error that draft_fail has told. */
int draft_persistence_rule(struct draft *d, struct persistence_rule rule);

/* A new listener with all defaults, in *out.  0, or an error that draft_fail has told. */
int draft_listener(struct draft *d, int port, struct listener_draft **out);

/* The listener on port 1883 that some options bring about, made at first need. */
int draft_default_listener(struct draft *d, const char *option_name, struct listener_draft **out);

/* Resolves, checks, and hands everything over to *out.  0, or an error that draft_fail has told. */
int draft_finish(struct draft *d, const struct config_overrides *overrides, struct config **out);
