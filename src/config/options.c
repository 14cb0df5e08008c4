/* config/options.c: the option table.
 *
 * A new option is a row here and a field in config.h; one that fits no type has a function in
 * option_parse.c as well.  Defaults take the same road as values from a file, so that the
 * documented default is the real one. */
#include "config/options.h"
#include "config/draft.h"
#include "config/option_parse.h"
#include <assert.h>

#define PAYLOAD_MAX     268435455 /* the largest Remaining Length */
#define TIMEOUT_MAX     65535
#define SYNC_WINDOW_MAX 60000 /* a minute: beyond, nobody means it */
#define RESERVE_MIN     (1024 * 1024)

/* --------------------------------------------------------------------------------- the table -- */

#define FIELD(owner, member) .offset = offsetof(owner, member), .size = sizeof(((owner *)0)->member)
#define CONFIG(member)       FIELD(struct draft, config.member)
#define DRAFT(member)        FIELD(struct draft, member)
#define LISTENER(member)     FIELD(struct listener_draft, config.member)
#define OWN(member)          FIELD(struct listener_draft, member) /* inherited when not said */
#define RANGE(least, most)   .min = (least), .max = (most)

static const char *const queue_policies[] = { [QUEUE_DROP_NEWEST] = "drop-newest",
                                              [QUEUE_DROP_OLDEST] = "drop-oldest",
                                              [QUEUE_REFUSE_PUBLISHER] = "refuse-publisher",
                                              NULL };
static const char *const share_strategies[] = { [SHARE_ROUND_ROBIN] = "round-robin",
                                                [SHARE_LEAST_INFLIGHT] = "least-inflight",
                                                [SHARE_HASH_CLIENT_ID] = "hash-client-id",
                                                [SHARE_HASH_TOPIC] = "hash-topic",
                                                NULL };
static const char *const persistence_modes[] = { [PERSISTENCE_NONE] = "none",
                                                 [PERSISTENCE_QUEUED] = "queued",
                                                 [PERSISTENCE_ACKNOWLEDGED] = "acknowledged",
                                                 NULL };
static const char *const log_formats[] = {
    [LOG_FORMAT_TEXT] = "text", [LOG_FORMAT_JSON] = "json", NULL
};

/* clang-format off */
const struct option option_table[] = {
    /* ---- listeners ---- */
    { .name = "listener", .group = OPTION_GROUP_LISTENERS, .type = OPTION_OTHER,
      .parse = option_parse_listener, .arguments = "PORT [HOST]", .example = "1883",
      .default_text = "port 1883 on loopback, where nothing opens a listener",
      .help = "Opens a listener on PORT (1 to 65535), on HOST only or else on all IPv4 and IPv6 "
              "addresses. Listener options on the lines that follow belong to it. May be given "
              "many times." },
    { .name = "port", .group = OPTION_GROUP_LISTENERS, .scope = OPTION_OF_DEFAULT_LISTENER,
      .type = OPTION_INT, RANGE(1, 65535), LISTENER(port), .arguments = "PORT",
      .default_text = "1883", .example = "1883",
      .advice = "It is recommended to replace 'port' with 'listener'.",
      .help = "The port of the default listener. Deprecated: use listener." },
    { .name = "bind_address", .group = OPTION_GROUP_LISTENERS, .scope = OPTION_OF_DEFAULT_LISTENER,
      .type = OPTION_STRING, LISTENER(host), .arguments = "HOST",
      .default_text = "all addresses", .example = "192.0.2.1",
      .advice = "It is recommended to replace 'bind_address' with 'listener'.",
      .help = "The address or host name of the default listener. Deprecated: use listener." },
    { .name = "bind_interface", .group = OPTION_GROUP_LISTENERS,
      .scope = OPTION_LISTENER_OR_DEFAULT, .type = OPTION_STRING, LISTENER(bind_interface),
      .arguments = "DEVICE", .default_text = "any", .example = "eth0",
      .help = "Accepts connections that arrive on this network device only." },
    { .name = "socket_domain", .group = OPTION_GROUP_LISTENERS,
      .scope = OPTION_LISTENER_OR_DEFAULT, .type = OPTION_OTHER,
      .parse = option_parse_socket_domain, .arguments = "ipv4|ipv6", .default_text = "both",
      .example = "ipv4",
      .help = "Restricts a listener to one address family." },
    { .name = "protocol", .group = OPTION_GROUP_LISTENERS, .scope = OPTION_LISTENER_OR_DEFAULT,
      .type = OPTION_OTHER, .parse = option_parse_protocol, .arguments = "mqtt",
      .default_text = "mqtt", .example = "mqtt",
      .help = "What is spoken on the listener. Mosquitto's websockets and http_api are not "
              "available yet." },
    { .name = "accept_protocol_versions", .group = OPTION_GROUP_LISTENERS,
      .scope = OPTION_EXPLICIT_LISTENER, .type = OPTION_OTHER, .parse = option_parse_versions,
      .arguments = "VERSION[,VERSION...]", .default_text = "3,4,5", .example = "3,4,5",
      .help = "MQTT versions that may connect: 3 is MQTT 3.1, 4 is 3.1.1, 5 is 5.0. Numbers that "
              "are no version are ignored." },
    { .name = "max_connections", .group = OPTION_GROUP_LISTENERS,
      .scope = OPTION_LISTENER_OR_DEFAULT, .type = OPTION_INT, RANGE(INT32_MIN, INT32_MAX),
      LISTENER(max_connections), .has_no_limit = true, .initial = "-1",
      .help = "Connections at one time on the listener; zero or less means no limit." },
    { .name = "max_qos", .alias = "maximum_qos", .group = OPTION_GROUP_LISTENERS,
      .scope = OPTION_LISTENER_OR_DEFAULT, .type = OPTION_INT, RANGE(0, 2), LISTENER(max_qos),
      .initial = "2", .range_error = "Error: 'max_qos' must be between 0 and 2 inclusive.",
      .help = "The highest QoS on the listener: publishing above it ends a connection, "
              "subscriptions are granted at most this." },
    { .name = "max_topic_alias", .group = OPTION_GROUP_LISTENERS, .scope = OPTION_LISTENER,
      .type = OPTION_INT, RANGE(0, 65535), LISTENER(max_topic_alias), .initial = "10",
      .range_error = "Error: Invalid 'max_topic_alias' value in configuration.",
      .help = "How many topic aliases an MQTT 5.0 client may use towards the broker." },
    { .name = "max_topic_alias_broker", .group = OPTION_GROUP_LISTENERS, .scope = OPTION_LISTENER,
      .type = OPTION_INT, RANGE(0, 65535), LISTENER(max_topic_alias_broker), .initial = "10",
      .range_error = "Error: Invalid 'max_topic_alias_broker' value in configuration.",
      .help = "How many topic aliases the broker makes for an MQTT 5.0 client, if the client "
              "takes as many." },
    { .name = "set_tcp_nodelay", .group = OPTION_GROUP_LISTENERS, .type = OPTION_BOOL,
      CONFIG(set_tcp_nodelay), .initial = "true",
      .help = "Sends packets at once (TCP_NODELAY) instead of waiting for more to send. Chappe "
              "gathers what belongs together by itself; Mosquitto's default is false." },

    /* ---- who may connect ---- */
    { .name = "allow_anonymous", .group = OPTION_GROUP_ACCESS, .type = OPTION_BOOL,
      DRAFT(allow_anonymous), .default_text = "false; true when no listener is configured",
      .example = "true",
      .help = "Whether clients may connect without a user name." },
    { .name = "listener_allow_anonymous", .group = OPTION_GROUP_ACCESS, .scope = OPTION_LISTENER,
      .type = OPTION_BOOL, OWN(allow_anonymous), .default_text = "as allow_anonymous",
      .example = "true", .help = "allow_anonymous for one listener." },
    { .name = "allow_zero_length_clientid", .group = OPTION_GROUP_ACCESS, .type = OPTION_BOOL,
      DRAFT(allow_zero_length_clientid), .initial = "true",
      .help = "Whether clients may connect without a client id; the broker then makes one." },
    { .name = "auto_id_prefix", .group = OPTION_GROUP_ACCESS, .type = OPTION_STRING, RANGE(0, 50),
      DRAFT(auto_id_prefix), .arguments = "PREFIX", .initial = "auto-",
      .help = "What client ids made by the broker start with; at most 50 bytes." },
    { .name = "listener_auto_id_prefix", .group = OPTION_GROUP_ACCESS, .scope = OPTION_LISTENER,
      .type = OPTION_STRING, RANGE(0, 50), OWN(auto_id_prefix), .arguments = "PREFIX",
      .default_text = "as auto_id_prefix", .example = "auto-",
      .help = "auto_id_prefix for one listener." },

    /* ---- limits ---- */
    { .name = "global_max_clients", .group = OPTION_GROUP_LIMITS, .type = OPTION_INT,
      RANGE(INT32_MIN, INT32_MAX), CONFIG(global_max_clients), .has_no_limit = true,
      .initial = "-1",
      .help = "Sessions at one time, connected or not; zero or less means no limit." },
    { .name = "global_max_connections", .group = OPTION_GROUP_LIMITS, .type = OPTION_INT,
      RANGE(INT32_MIN, INT32_MAX), CONFIG(global_max_connections), .has_no_limit = true,
      .initial = "-1",
      .help = "Connections at one time on all listeners together; zero or less means no limit." },
    { .name = "connect_timeout", .group = OPTION_GROUP_LIMITS, .type = OPTION_INT,
      RANGE(1, TIMEOUT_MAX), CONFIG(connect_timeout_s), .initial = "10",
      .help = "Seconds a new connection has until its CONNECT packet is complete." },
    { .name = "packet_timeout", .group = OPTION_GROUP_LIMITS, .type = OPTION_INT,
      RANGE(1, TIMEOUT_MAX), CONFIG(packet_timeout_s), .initial = "30",
      .help = "Seconds an unfinished packet may take: one of up to 64 KiB from its first byte to "
              "its last, a larger one from each part to the next." },
    { .name = "max_keepalive", .group = OPTION_GROUP_LIMITS, .type = OPTION_INT,
      RANGE(0, 65535), CONFIG(max_keepalive), .initial = "0",
      .help = "The longest keep alive in seconds; 0 means no limit. MQTT 5.0 clients that ask for "
              "more (or for none) are told this value, older ones are refused." },
    { .name = "max_packet_size", .group = OPTION_GROUP_LIMITS, .type = OPTION_INT,
      RANGE(20, INT32_MAX), CONFIG(max_packet_size), .initial = "2000000",
      .range_error = "Error: 'max_packet_size' must be >= 20.",
      .help = "Bytes of the largest packet a client may send." },
    { .name = "message_size_limit", .group = OPTION_GROUP_LIMITS, .type = OPTION_INT,
      RANGE(0, PAYLOAD_MAX), CONFIG(message_size_limit), .initial = "0",
      .advice = "It is recommended to replace 'message_size_limit' with 'max_packet_size'.",
      .help = "Bytes of the largest payload; a message beyond is not delivered, but "
              "acknowledged (MQTT 5.0: with reason code 0x97). 0 means no limit. Deprecated: use "
              "max_packet_size." },
    { .name = "memory_limit", .group = OPTION_GROUP_LIMITS, .type = OPTION_SIZE,
      RANGE(0, OPTION_BYTES_MAX), CONFIG(memory_limit), .initial = "0",
      .help = "Bytes of memory the broker may use, in decimal; 0 means no limit." },
    { .name = "max_subscriptions_per_client", .group = OPTION_GROUP_LIMITS, .type = OPTION_INT,
      RANGE(0, INT32_MAX), CONFIG(max_subscriptions_per_client), .initial = "100000",
      .help = "Subscriptions one session may hold; 0 means no limit." },

    /* ---- sessions and delivery ---- */
    { .name = "max_inflight_messages", .group = OPTION_GROUP_DELIVERY, .type = OPTION_INT,
      RANGE(0, 65535), CONFIG(max_inflight_messages), .initial = "20",
      .range_error = "Error: 'max_inflight_messages' must be <= 65535.",
      .help = "QoS 1 and 2 messages on their way to one client at a time, 0 meaning 65535; also "
              "the Receive Maximum granted to MQTT 5.0 clients." },
    { .name = "receive_maximum", .group = OPTION_GROUP_DELIVERY, .type = OPTION_INT,
      RANGE(0, 65535), CONFIG(receive_maximum), .initial = "0",
      .default_text = "0, as max_inflight_messages",
      .help = "QoS 1 and 2 messages on their way from one client at a time." },
    { .name = "max_inflight_bytes", .group = OPTION_GROUP_DELIVERY, .type = OPTION_INT64,
      RANGE(0, OPTION_BYTES_MAX), CONFIG(max_inflight_bytes), .initial = "0",
      .help = "Bytes of payload on their way to one client at a time; 0 means no limit." },
    { .name = "max_queued_messages", .group = OPTION_GROUP_DELIVERY, .type = OPTION_INT,
      RANGE(0, INT32_MAX), CONFIG(max_queued_messages), .initial = "0",
      .help = "Messages that wait for one client beyond those on their way; 0 means no limit. "
              "Mosquitto's default is 1000." },
    { .name = "max_queued_bytes", .group = OPTION_GROUP_DELIVERY, .type = OPTION_INT64,
      RANGE(0, OPTION_BYTES_MAX), CONFIG(max_queued_bytes), .initial = "67108864",
      .help = "Bytes of payload that wait for one client; 0 means no limit. The limit reached "
              "first counts." },
    { .name = "queue_policy", .group = OPTION_GROUP_DELIVERY, .type = OPTION_ENUM,
      .words = queue_policies, CONFIG(queue_policy), .initial = "drop-newest",
      .help = "What happens to a message that a full queue has no room for: it is dropped, the "
              "oldest waiting one is dropped for it, or its publisher is told (reason code "
              "0x97)." },
    { .name = "queue_qos0_messages", .group = OPTION_GROUP_DELIVERY, .type = OPTION_BOOL,
      CONFIG(queue_qos0_messages), .initial = "false",
      .help = "Whether QoS 0 messages, too, wait for a client that is away." },
    { .name = "shared_subscription_strategy", .group = OPTION_GROUP_DELIVERY, .type = OPTION_ENUM,
      .words = share_strategies, CONFIG(shared_subscription_strategy), .initial = "round-robin",
      .help = "Which member of a shared subscription gets the next message: each in turn, the one "
              "with the fewest on their way, or one chosen by the publisher's client id or by the "
              "topic, so that equal ones stay together." },
    { .name = "persistent_client_expiration", .group = OPTION_GROUP_DELIVERY,
      .type = OPTION_OTHER, .parse = option_parse_expiration, .arguments = "N(s|h|d|w|m|y)",
      .default_text = "never", .example = "30d",
      .help = "How long the session of a client that is away is kept: N seconds, hours, days, "
              "weeks, months of 30 days or years of 365 days. It also bounds the Session Expiry "
              "Interval of MQTT 5.0." },
    { .name = "upgrade_outgoing_qos", .group = OPTION_GROUP_DELIVERY, .type = OPTION_BOOL,
      CONFIG(upgrade_outgoing_qos), .initial = "false",
      .help = "Delivers at the subscription's QoS even what was published at a lower one. The "
              "MQTT standard does not allow this." },
    { .name = "allow_duplicate_messages", .group = OPTION_GROUP_DELIVERY, .type = OPTION_BOOL,
      CONFIG(allow_duplicate_messages), .initial = "true",
      .help = "Whether a client gets a message once per matching subscription, or only once." },
    { .name = "reason_strings", .group = OPTION_GROUP_DELIVERY, .type = OPTION_BOOL,
      CONFIG(reason_strings), .initial = "false",
      .help = "Whether MQTT 5.0 clients are told in words, too, why something failed (Reason "
              "String), as far as they want to hear it." },
    { .name = "response_information", .group = OPTION_GROUP_DELIVERY, .type = OPTION_STRING,
      CONFIG(response_information), .arguments = "TEXT", .default_text = "none",
      .example = "reply/",
      .help = "Sent to MQTT 5.0 clients that request Response Information; often the start of a "
              "topic for replies." },
    { .name = "server_reference", .group = OPTION_GROUP_DELIVERY, .type = OPTION_STRING,
      CONFIG(server_reference), .arguments = "TEXT", .default_text = "none",
      .example = "other.example.org:1883",
      .help = "Where MQTT 5.0 clients are sent when this broker shuts down, or has as many "
              "sessions as it may have." },

    /* ---- retained messages ---- */
    { .name = "retain_available", .group = OPTION_GROUP_RETAINED, .type = OPTION_BOOL,
      CONFIG(retain_available), .initial = "true",
      .help = "Whether messages can be retained; if not, publishing one ends a connection." },
    { .name = "retain_expiry_interval", .group = OPTION_GROUP_RETAINED, .type = OPTION_INT,
      RANGE(1, 10000000), CONFIG(retain_expiry_interval_s), .scale = 60, .arguments = "MINUTES",
      .default_text = "never", .example = "1440",
      .help = "Retained messages without an expiry of their own are removed after so many "
              "minutes." },
    { .name = "max_retained_messages", .group = OPTION_GROUP_RETAINED, .type = OPTION_INT,
      RANGE(0, INT32_MAX), CONFIG(max_retained_messages), .initial = "1000000",
      .help = "Topics that can have a retained message; 0 means no limit. Beyond, a new one is "
              "refused (reason code 0x97), known ones can still change." },
    { .name = "max_retained_bytes", .group = OPTION_GROUP_RETAINED, .type = OPTION_INT64,
      RANGE(0, OPTION_BYTES_MAX), CONFIG(max_retained_bytes), .initial = "1073741824",
      .help = "Bytes of all retained messages together; 0 means no limit." },

    /* ---- persistence ---- */
    { .name = "persistence", .alias = "retained_persistence", .group = OPTION_GROUP_PERSISTENCE,
      .type = OPTION_BOOL, CONFIG(persistence), .initial = "false", .needs_restart = true,
      .help = "Keeps sessions with their subscriptions and wills, retained messages, and messages "
              "that wait for a session on the disk. Unless persistence_mode, persistence_default "
              "or persistence_sync_window say otherwise, nothing of this is acknowledged before "
              "it is there: what was acknowledged survives a crash and a power cut." },
    { .name = "persistence_location", .group = OPTION_GROUP_PERSISTENCE, .type = OPTION_STRING,
      CONFIG(persistence_location), .needs_restart = true, .arguments = "FOLDER",
      .default_text = "the folder that the broker was started in", .example = "/var/lib/chappe",
      .help = "Where the store is. The environment variable MOSQUITTO_PERSISTENCE_LOCATION "
              "overrides it." },
    { .name = "persistence_file", .group = OPTION_GROUP_PERSISTENCE, .type = OPTION_STRING,
      CONFIG(persistence_file), .needs_restart = true, .arguments = "NAME",
      .initial = "mosquitto.db",
      .help = "The file in persistence_location that Mosquitto kept its state in. Chappe only "
              "looks whether it is there; chappe store import takes over what is in it." },
    { .name = "persistence_mode", .group = OPTION_GROUP_PERSISTENCE, .type = OPTION_OTHER,
      .parse = option_parse_persistence_mode, .words = persistence_modes,
      .arguments = "FILTER none|queued|acknowledged", .default_text = "as persistence_default",
      .example = "sensors/# queued",
      .help = "How messages of QoS 1 and 2 wait for a session, if FILTER matches their topic: in "
              "memory only (none), on the disk until they are sent to the client (queued), or on "
              "the disk until the client has acknowledged them (acknowledged). May be given many "
              "times, and the first filter that matches decides. The last word of the line is the "
              "mode; the filter may contain spaces." },
    { .name = "persistence_default", .group = OPTION_GROUP_PERSISTENCE, .type = OPTION_ENUM,
      .words = persistence_modes, CONFIG(persistence_default), .initial = "acknowledged",
      .help = "How messages wait that no persistence_mode matches." },
    { .name = "persistence_sync_window", .group = OPTION_GROUP_PERSISTENCE, .type = OPTION_INT,
      RANGE(0, SYNC_WINDOW_MAX), CONFIG(persistence_sync_window_ms), .arguments = "MS",
      .initial = "0", .needs_restart = true,
      .help = "How many milliseconds what is written may wait until the disk is told to keep it. "
              "With 0, nothing is acknowledged before it is on the disk. Otherwise, after a power "
              "cut or a crash of the machine, up to MS milliseconds of acknowledged messages may "
              "be missing; a crash of the broker alone loses nothing." },
    { .name = "persistence_reserve", .group = OPTION_GROUP_PERSISTENCE, .type = OPTION_SIZE,
      RANGE(RESERVE_MIN, OPTION_BYTES_MAX), CONFIG(persistence_reserve), .initial = "67108864",
      .needs_restart = true,
      .help = "Bytes of the disk that are kept for what makes room. When no more are free, a "
              "message that would have to be stored is refused (reason code 0x97), and clients "
              "still get and acknowledge what waits for them." },
    { .name = "autosave_interval", .group = OPTION_GROUP_PERSISTENCE, .type = OPTION_OTHER,
      .parse = option_parse_autosave_interval, RANGE(INT32_MIN, INT32_MAX),
      .arguments = "SECONDS", .default_text = "no effect", .example = "1800",
      .help = "When Mosquitto saves its state. Accepted without effect: nothing waits to be saved "
              "here." },
    { .name = "autosave_on_changes", .group = OPTION_GROUP_PERSISTENCE, .type = OPTION_OTHER,
      .parse = option_parse_autosave_on_changes, .arguments = "true|false",
      .default_text = "no effect", .example = "false",
      .help = "Whether Mosquitto's autosave_interval counts changes instead of seconds. Accepted "
              "without effect." },

    /* ---- logging ---- */
    { .name = "log_dest", .group = OPTION_GROUP_LOGGING, .type = OPTION_OTHER,
      .parse = option_parse_log_dest, .arguments = "stderr|stdout|syslog|topic|none|file PATH",
      .default_text = "stderr", .example = "stderr",
      .help = "Where the log goes. May be given many times, each adding a place; none forgets "
              "those before it. topic publishes under $SYS/broker/log." },
    { .name = "log_type", .group = OPTION_GROUP_LOGGING, .type = OPTION_OTHER,
      .parse = option_parse_log_type,
      .arguments = "error|warning|notice|information|debug|subscribe|unsubscribe|internal|"
                   "websockets|all|none",
      .default_text = "error, warning, notice and information", .example = "all",
      .help = "What is logged. May be given many times, each adding a type." },
    { .name = "log_format", .group = OPTION_GROUP_LOGGING, .type = OPTION_ENUM,
      .words = log_formats, CONFIG(log_format), .initial = "text",
      .help = "Lines as Mosquitto writes them, or one JSON object per line." },
    { .name = "log_timestamp", .group = OPTION_GROUP_LOGGING, .type = OPTION_BOOL,
      CONFIG(log_timestamp), .initial = "true", .help = "Whether lines start with the time." },
    { .name = "log_timestamp_format", .group = OPTION_GROUP_LOGGING, .type = OPTION_STRING,
      CONFIG(log_timestamp_format), .arguments = "FORMAT",
      .default_text = "seconds since 1970", .example = "%Y-%m-%dT%H:%M:%S",
      .help = "How the time is written, as for strftime(3)." },
    { .name = "log_facility", .group = OPTION_GROUP_LOGGING, .type = OPTION_OTHER,
      .parse = option_parse_log_facility, RANGE(0, 7), .arguments = "N", .default_text = "daemon",
      .example = "0",
      .help = "Writes to syslog's facility local0 to local7 instead of daemon." },
    { .name = "connection_messages", .group = OPTION_GROUP_LOGGING, .type = OPTION_BOOL,
      CONFIG(connection_messages), .initial = "true",
      .help = "Whether clients that connect and disconnect are logged." },

    /* ---- process ---- */
    { .name = "workers", .group = OPTION_GROUP_PROCESS, .type = OPTION_INT, RANGE(0, 255),
      CONFIG(workers), .initial = "0", .default_text = "0, one per usable CPU",
      .needs_restart = true, .help = "Threads that serve clients." },
    { .name = "user", .group = OPTION_GROUP_PROCESS, .type = OPTION_STRING, CONFIG(user),
      .may_repeat = true, .needs_restart = true, .arguments = "NAME",
      .default_text = "the first that exists of chappe, mosquitto and nobody", .example = "chappe",
      .help = "Whom the broker becomes when started as root." },
    { .name = "pid_file", .group = OPTION_GROUP_PROCESS, .type = OPTION_STRING, CONFIG(pid_file),
      .needs_restart = true, .arguments = "PATH", .default_text = "none",
      .example = "/run/chappe/chappe.pid",
      .help = "A file that holds the process id while the broker runs." },
    { .name = "sys_interval", .group = OPTION_GROUP_PROCESS, .type = OPTION_INT, RANGE(0, 65535),
      CONFIG(sys_interval_s), .initial = "10",
      .help = "Seconds between updates of the $SYS topics; 0 means that there are none." },
    { .name = "include_dir", .group = OPTION_GROUP_PROCESS, .type = OPTION_OTHER,
      .parse = option_parse_include_dir, .arguments = "FOLDER", .default_text = "none",
      .example = "/etc/chappe/conf.d",
      .help = "Reads every file in FOLDER whose name ends in .conf at this point, sorted with "
              "upper case before the lower case of the same letter. Only in the main file." },
};
/* clang-format on */

const size_t option_count = sizeof option_table / sizeof option_table[0];

/* --------------------------------------------------------------------------------- using it --- */

const struct option *option_find(struct bytes name)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        if (bytes_equal(name, bytes_of_string(o->name)) ||
            (o->alias != NULL && bytes_equal(name, bytes_of_string(o->alias))))
            return o;
    }
    return NULL;
}

/* The listener that a listener option is about; made or refused as its scope says. */
static int find_listener(struct draft *d, const struct option *o, struct listener_draft **out)
{
    struct listener_draft *l = d->current;
    if (o->scope == OPTION_OF_DEFAULT_LISTENER)
        return draft_default_listener(d, o->name, out);
    if (o->scope == OPTION_LISTENER_OR_DEFAULT && l == NULL) {
        int rc = draft_default_listener(d, o->name, &d->current);
        *out = d->current;
        return rc;
    }
    if (l == NULL || (o->scope == OPTION_EXPLICIT_LISTENER && !l->config.is_explicit))
        return draft_fail(d, "Error: The '%s' option requires a listener to be defined first.",
                          o->name);
    *out = l;
    return 0;
}

int option_apply(struct draft *d, const struct option *o, struct bytes rest)
{
    void *owner = d;
    int rc = 0;
    if (o->scope != OPTION_GLOBAL) {
        struct listener_draft *l = NULL;
        rc = find_listener(d, o, &l);
        owner = l;
    }
    if (rc != 0)
        return rc;
    if (o->type == OPTION_OTHER)
        rc = o->parse(d, o, owner, rest);
    else if (o->type == OPTION_STRING)
        rc = option_set_string(d, o, owner, rest);
    else
        rc = option_set_number(d, o, owner, rest);
    if (rc != 0)
        return rc;
    if (o->scope == OPTION_OF_DEFAULT_LISTENER)
        d->is_local_only = false;
    if (o->advice != NULL)
        log_line(d->log, LOG_TYPE_NOTICE, "Note: %s", o->advice);
    return 0;
}

static void set_initial(struct draft *d, const struct option *o, void *owner)
{
    if (o->initial == NULL)
        return;
    if (o->type == OPTION_STRING) {
        *(const char **)(void *)((char *)owner + o->offset) = o->initial;
        return;
    }
    int rc = option_set_number(d, o, owner, bytes_of_string(o->initial));
    assert(rc == 0); /* the table's own text */
    (void)rc;
}

void options_init_global(struct draft *d)
{
    for (size_t i = 0; i < option_count; i++) {
        if (option_table[i].scope == OPTION_GLOBAL)
            set_initial(d, &option_table[i], d);
    }
}

void options_init_listener(struct draft *d, struct listener_draft *l)
{
    for (size_t i = 0; i < option_count; i++) {
        if (option_table[i].scope != OPTION_GLOBAL)
            set_initial(d, &option_table[i], l);
    }
}
