/* config/config.h: mosquitto.conf syntax -> one immutable struct.
 *
 * The option table (options.c) is the only place that knows an option: name, type, default, scope,
 * whether a reload applies it, one line of help.  Parser, man page and reference are made from it.
 * A config is built by one thread and never changes afterwards; replacing it is the server's
 * affair.  Sizes are bytes, times are seconds unless the name says otherwise. */
#pragma once

#include "base/env.h"
#include "base/log.h"
#include <stdbool.h>
#include <stdint.h>

enum { CONFIG_LISTENERS_MAX = 64, CONFIG_LOG_DEST_MAX = 8 };

enum queue_policy { /* at a session's queue limit */
                    QUEUE_DROP_NEWEST,
                    QUEUE_DROP_OLDEST,
                    QUEUE_REFUSE_PUBLISHER, /* 0x97 in the acknowledgement */
};

enum share_strategy { /* who of a Shared Subscription's members gets the next message */
                      SHARE_ROUND_ROBIN,
                      SHARE_LEAST_INFLIGHT,
                      SHARE_HASH_CLIENT_ID, /* by the publisher's client id */
                      SHARE_HASH_TOPIC,
};

/* What becomes of a message that waits for a durable Session, by its topic. */
enum persistence_mode {
    PERSISTENCE_NONE,         /* kept in memory only */
    PERSISTENCE_QUEUED,       /* on the disk until it is sent to the subscriber */
    PERSISTENCE_ACKNOWLEDGED, /* on the disk until the subscriber has acknowledged it */
};

struct persistence_rule {
    const char *filter; /* a Topic Filter */
    enum persistence_mode mode;
};

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

enum log_dest_kind {
    LOG_DEST_STDERR,
    LOG_DEST_STDOUT,
    LOG_DEST_SYSLOG,
    LOG_DEST_TOPIC,
    LOG_DEST_FILE,
};

struct listener_config {
    int port;
    const char *host;                  /* NULL: all addresses */
    const char *bind_interface;        /* NULL: any */
    int family;                        /* AF_UNSPEC, AF_INET (socket_domain ipv4), AF_INET6 */
    bool is_explicit;                  /* made by a `listener` line */
    int max_connections;               /* -1: no limit */
    unsigned accept_protocol_versions; /* set of 1 << enum version */
    uint8_t max_qos;
    uint16_t max_topic_alias;        /* aliases clients may use */
    uint16_t max_topic_alias_broker; /* aliases the broker creates */
    bool allow_anonymous;            /* resolved: the listener's own, or the global one */
    bool allow_zero_length_clientid;
    const char *auto_id_prefix;
};

struct config {
    struct listener_config *listeners;
    size_t listener_count;
    bool is_local_only; /* nothing configured: loopback, anonymous allowed */

    int workers;                    /* 0: one per usable CPU */
    int64_t global_max_clients;     /* sessions, connected or not; -1: no limit */
    int64_t global_max_connections; /* -1: no limit */
    uint16_t max_keepalive;         /* 0: no limit */
    uint32_t max_packet_size;       /* 0: what the protocol can say */
    uint32_t message_size_limit;    /* 0: off */
    size_t memory_limit;            /* 0: off */
    uint16_t max_inflight_messages; /* to a client; 0: 65535 */
    uint16_t receive_maximum;       /* from a client; 0: as max_inflight_messages */
    size_t max_inflight_bytes;      /* 0: off */
    size_t max_queued_messages;     /* 0: no limit */
    size_t max_queued_bytes;        /* 0: no limit */
    bool queue_qos0_messages;
    enum queue_policy queue_policy;
    enum share_strategy shared_subscription_strategy;
    int64_t persistent_client_expiration_s; /* -1: never */
    bool retain_available;
    int64_t retain_expiry_interval_s; /* 0: off */
    bool upgrade_outgoing_qos;
    bool allow_duplicate_messages;
    bool set_tcp_nodelay;
    bool reason_strings;              /* 5.0 Reason Strings with failures */
    const char *response_information; /* 5.0 Response Information; NULL: none */
    const char *server_reference;     /* sent with use_another_server / at shutdown; NULL: none */
    uint32_t max_retained_messages;   /* 0: no limit */
    size_t max_retained_bytes;        /* 0: no limit */
    uint32_t max_subscriptions_per_client; /* 0: no limit */
    uint32_t connect_timeout_s;            /* CONNECT must be complete by then */
    uint32_t packet_timeout_s;             /* and any packet, once begun */

    bool persistence;
    const char *persistence_location; /* folder; NULL: the one we were started in */
    const char *persistence_file;     /* Mosquitto's, not ours: looked for, to tell of the import */
    enum persistence_mode persistence_default;
    struct persistence_rule *persistence_rules; /* the first that matches decides */
    size_t persistence_rule_count;
    uint32_t persistence_sync_window_ms; /* 0: nothing is acknowledged before it is on the disk */
    size_t persistence_reserve;          /* bytes kept free for what makes room */

    unsigned log_types; /* enum log_type */
    struct {
        enum log_dest_kind kind;
        const char *path; /* LOG_DEST_FILE */
    } log_dest[CONFIG_LOG_DEST_MAX];
    size_t log_dest_count;
    int log_facility; /* syslog's LOG_DAEMON, LOG_LOCAL0… */
    bool log_timestamp;
    const char *log_timestamp_format; /* NULL: seconds since 1970 */
    enum log_format log_format;
    bool connection_messages;

    const char *pid_file;
    const char *user; /* NULL: the default choice */
    uint32_t sys_interval_s;
};

/* What was wrong, in Mosquitto's words, and where. */
struct config_error {
    char text[512]; /* "Error found at FILE:LINE." comes from path and line */
    char path[256]; /* empty: not in a file */
    int line;
};

/* Overrides from the command line and the environment. */
struct config_overrides {
    int ports[10]; /* -p, only effective in local-only mode */
    size_t port_count;
    bool verbose; /* -v: all log types */
    bool quiet;   /* -q: no log at all, wins */
    /* MOSQUITTO_PERSISTENCE_LOCATION, copied; NULL or empty: as the file says */
    const char *persistence_location;
};

/* Reads a configuration (path NULL: the defaults) and checks it.  *out is the caller's, to give to
 * config_destroy.  Warnings and informational lines go to log (may be NULL).
 * 0; -EINVAL: the configuration is wrong; another negative errno: a file could not be read.  On
 * failure *error says what and where and *out is untouched. */
int config_read(const struct env *env, const char *path, const struct config_overrides *overrides,
                struct log *log, struct config **out, struct config_error *error);

/* As config_read, from text at hand (for tests and fuzzing); path names it in errors. */
int config_parse(const struct env *env, struct bytes text, const char *path,
                 const struct config_overrides *overrides, struct log *log, struct config **out,
                 struct config_error *error);

void config_destroy(struct config *c); /* NULL is fine */

/* Do both name the same sockets (addresses, ports, devices), in the same order? */
bool config_listeners_equal(const struct config *a, const struct config *b);
