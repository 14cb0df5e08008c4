/* config/config_test.c: texts, and what becomes of them. */
#include "base/memory.h"
#include "config/config.h"
#include "mqtt/version.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <syslog.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* ------------------------------------------------------------------ a world of a few files ---- */

struct memory_file {
    const char *folder, *name, *text;
};

struct memory_files {
    struct files files;
    const struct memory_file *list; /* a NULL folder ends */
};

static int memory_read(const struct files *f, const char *path, struct buffer *out)
{
    const struct memory_files *m = (const struct memory_files *)f;
    for (const struct memory_file *file = m->list; file->folder != NULL; file++) {
        char name[256];
        snprintf(name, sizeof name, "%s/%s", file->folder, file->name);
        if (strcmp(path, file->folder) == 0)
            return -EISDIR;
        if (strcmp(path, name) == 0)
            return buffer_append(out, bytes_of_string(file->text));
    }
    return -ENOENT;
}

static int memory_list(const struct files *f, const char *path, struct buffer *out)
{
    const struct memory_files *m = (const struct memory_files *)f;
    int rc = -ENOENT;
    for (const struct memory_file *file = m->list; file->folder != NULL; file++) {
        if (strcmp(path, file->folder) != 0)
            continue;
        rc = buffer_append(out, bytes_of(file->name, strlen(file->name) + 1));
        if (rc != 0)
            return rc;
    }
    return rc;
}

/* Everything a test needs: files, a log that remembers its lines, and the outcome. */
struct world {
    struct log log;
    char lines[4096];
    struct memory_files files;
    struct env env;
    struct config_overrides overrides;
    struct config *config;
    struct config_error error;
};

static void remember_line(struct log *l, enum log_type type, const char *line)
{
    struct world *w = (struct world *)l;
    size_t used = strlen(w->lines);
    snprintf(w->lines + used, sizeof w->lines - used, "%s\n", line);
}

static const struct memory_file no_files[] = { { NULL, NULL, NULL } };

static void world_init(struct world *w, const struct memory_file *files)
{
    *w = (struct world){ .log = { LOG_TYPE_ALL, remember_line },
                         .files = { { memory_read, memory_list }, files } };
    w->env.files = &w->files.files;
}

static int parse(struct world *w, const char *text)
{
    return config_parse(&w->env, bytes_of_string(text), "main.conf", &w->overrides, &w->log,
                        &w->config, &w->error);
}

static void world_fini(struct world *w)
{
    config_destroy(w->config);
    w->config = NULL;
}

/* -------------------------------------------------------------------------------------- errors -
 */

static void bad_configurations_name_word_and_line(void **state)
{
    static const struct {
        const char *text;
        int line;
        const char *error; /* it starts with this */
    } rows[] = {
        /* names */
        { "unknown_option unknown", 1, "Error: Unknown configuration variable 'unknown_option'." },
        { "\n# x\nxyz\n", 3, "Error: Unknown configuration variable 'xyz'." },
        { "Port 1883", 1, "Error: Unknown configuration variable 'Port'." },
        { "port\t1883", 1, "Error: Unknown configuration variable 'port\\x09" }, /* tab is no end */
        { " # no comment", 1, "Error: Unknown configuration variable '#'." },
        { "\t", 1, "Error: Unknown configuration variable '\\x09'." },
        { "max_qo\xff 1", 1, "Error: Unknown configuration variable 'max_qo\\xff'." },
        /* missing values */
        { "user", 1, "Error: Empty 'user' value in configuration." },
        { "user  ", 1, "Error: Empty 'user' value in configuration." },
        { "user \t ", 1, "Error: Empty 'user' value in configuration." },
        { "memory_limit", 1, "Error: Empty 'memory_limit' value in configuration." },
        { "allow_anonymous", 1, "Error: Empty 'allow_anonymous' value in configuration." },
        { "sys_interval \r\n", 1, "Error: Empty 'sys_interval' value in configuration." },
        { "listener", 1, "Error: Empty 'listener port' value in configuration." },
        { "protocol", 1, "Error: Empty 'protocol' value in configuration." },
        { "log_dest", 1, "Error: Empty 'log_dest' value in configuration." },
        { "log_type", 1, "Error: Empty 'log_type' value in configuration." },
        { "log_facility ", 1, "Error: Empty 'log_facility' value in configuration." },
        { "socket_domain", 1, "Error: Empty 'socket_domain' value in configuration." },
        { "log_dest file", 1, "Error: Empty 'log_dest file' value in configuration." },
        { "listener 1883\naccept_protocol_versions", 2,
          "Error: Empty 'accept_protocol_versions' value in configuration." },
        { "persistent_client_expiration ", 1,
          "Error: Empty 'persistent_client_expiration' value in configuration." },
        /* bools, numbers, sizes, words */
        { "allow_anonymous falst", 1, "Error: Invalid 'allow_anonymous' value (falst)." },
        { "allow_anonymous True", 1, "Error: Invalid 'allow_anonymous' value (True)." },
        { "allow_anonymous true\t# x", 1, "Error: Invalid 'allow_anonymous' value (true\\x09#)." },
        { "sys_interval string", 1, "Error: 'sys_interval' value not a number." },
        { "sys_interval 10s", 1, "Error: 'sys_interval' value not a number." },
        { "sys_interval 0x", 1, "Error: 'sys_interval' value not a number." },
        { "sys_interval 08", 1, "Error: 'sys_interval' value not a number." },
        { "sys_interval -", 1, "Error: 'sys_interval' value not a number." },
        { "sys_interval -1", 1, "Error: Invalid 'sys_interval' value (-1). It must be between 0 " },
        { "sys_interval 65536", 1, "Error: Invalid 'sys_interval' value (65536)." },
        { "max_keepalive 65536", 1, "Error: Invalid 'max_keepalive' value (65536)." },
        { "max_keepalive -1", 1, "Error: Invalid 'max_keepalive' value (-1)." },
        { "global_max_clients 2147483648", 1, "Error: Invalid 'global_max_clients' value" },
        { "global_max_clients 99999999999999999999", 1, "Error: Invalid 'global_max_clients'" },
        { "max_queued_bytes 99999999999999999999", 1, "Error: Invalid 'max_queued_bytes' value" },
        { "max_queued_bytes -1", 1,
          "Error: Invalid 'max_queued_bytes' value (-1). It must be between 0 and " },
        { "max_packet_size 3000000000", 1, "Error: Invalid 'max_packet_size' value (3000000000)." },
        { "memory_limit -1", 1, "Error: Invalid 'memory_limit' value (-1)." },
        { "memory_limit 99999999999999999999", 1, "Error: Invalid 'memory_limit' value (9999" },
        { "maximum_qos 3", 1, "Error: 'max_qos' must be between 0 and 2 inclusive." },
        { "max_qos -1", 1, "Error: 'max_qos' must be between 0 and 2 inclusive." },
        { "max_inflight_messages 65536", 1, "Error: 'max_inflight_messages' must be <= 65535." },
        { "max_packet_size 19", 1, "Error: 'max_packet_size' must be >= 20." },
        { "message_size_limit 556000000", 1,
          "Error: Invalid 'message_size_limit' value (556000000)." },
        { "listener 1\nmax_topic_alias 65536", 2,
          "Error: Invalid 'max_topic_alias' value in configuration." },
        { "listener 1\nmax_topic_alias_broker -1", 2,
          "Error: Invalid 'max_topic_alias_broker' value in configuration." },
        { "retain_expiry_interval 0", 1, "Error: Invalid 'retain_expiry_interval' value (0)." },
        { "queue_policy drop", 1,
          "Error: Invalid 'queue_policy' value (drop). It must be one of drop-newest, drop-oldest, "
          "refuse-publisher." },
        { "shared_subscription_strategy x", 1,
          "Error: Invalid 'shared_subscription_strategy' value (x). It must be one of "
          "round-robin, least-inflight, hash-client-id, hash-topic." },
        { "log_facility 8", 1, "Error: Invalid 'log_facility' value (8)." },
        { "log_type most", 1, "Error: Invalid 'log_type' value (most)." },
        { "log_dest printer", 1, "Error: Invalid 'log_dest' value (printer)." },
        { "socket_domain ipx", 1, "Error: Invalid 'socket_domain' value (ipx)." },
        { "protocol test", 1, "Error: Invalid 'protocol' value (test)." },
        { "persistent_client_expiration 1", 1,
          "Error: Invalid 'persistent_client_expiration' value (1)." },
        { "persistent_client_expiration 0d", 1, "Error: Invalid 'persistent_client_expiration'" },
        { "persistent_client_expiration -1d", 1, "Error: Invalid 'persistent_client_expiration'" },
        { "persistent_client_expiration 1x", 1, "Error: Invalid 'persistent_client_expiration'" },
        { "persistent_client_expiration 99999999999999999y", 1,
          "Error: Invalid 'persistent_client_expiration' value" },
        { "persistent_client_expiration 99999999999999999999999y", 1,
          "Error: Invalid 'persistent_client_expiration' value" },
        /* strings */
        { "pid_file /tmp/pid\npid_file /tmp/pid", 2,
          "Error: Duplicate 'pid_file' value in configuration." },
        { "auto_id_prefix a\nauto_id_prefix auto-", 2,
          "Error: Duplicate 'auto_id_prefix' value in configuration." },
        { "bind_interface a\nbind_interface b", 2,
          "Error: Duplicate 'bind_interface' value in configuration." },
        { "pid_file a\xff", 1, "Error: Malformed UTF-8 in 'pid_file' value in configuration." },
        { "auto_id_prefix 123456789.123456789.123456789.123456789.123456789.1", 1,
          "Error: 'auto_id_prefix' length must be <= 50." },
        { "log_dest file a\nlog_dest file b", 2,
          "Error: Duplicate 'log_dest file' value in configuration." },
        /* persistence */
        { "persistence yes", 1, "Error: Invalid 'persistence' value (yes)." },
        { "retained_persistence", 1, "Error: Empty 'persistence' value in configuration." },
        { "persistence_location", 1, "Error: Empty 'persistence_location' value" },
        { "persistence_location /a\npersistence_location /a", 2,
          "Error: Duplicate 'persistence_location' value in configuration." },
        { "persistence_file a.db\npersistence_file b.db", 2,
          "Error: Duplicate 'persistence_file' value in configuration." },
        { "persistence_mode", 1, "Error: Empty 'persistence_mode' value in configuration." },
        { "persistence_mode \t ", 1, "Error: Empty 'persistence_mode' value in configuration." },
        { "persistence_mode none", 1, "Error: Empty 'persistence_mode' value in configuration." },
        { "persistence_mode a/#", 1,
          "Error: Invalid 'persistence_mode' value (a/#). It must be one of none, queued, "
          "acknowledged." },
        { "persistence_mode a/# Queued", 1, "Error: Invalid 'persistence_mode' value (Queued)." },
        { "persistence_mode a/# none # x", 1, "Error: Invalid 'persistence_mode' value (x)." },
        { "persistence_mode a\tnone", 1, "Error: Invalid 'persistence_mode' value (a\\x09none)." },
        { "persistence_mode a/#/b none", 1,
          "Error: Invalid 'persistence_mode' value (a/#/b). It is no Topic Filter." },
        { "persistence_mode a+ none", 1, "Error: Invalid 'persistence_mode' value (a+)." },
        { "persistence_mode $share/g/a none", 1,
          "Error: Invalid 'persistence_mode' value ($share/g/a). It is no Topic Filter." },
        { "persistence_mode $share/ none", 1, "Error: Invalid 'persistence_mode' value ($share/" },
        { "persistence_mode a\xff none", 1, "Error: Malformed UTF-8 in 'persistence_mode' value" },
        { "persistence_default all", 1,
          "Error: Invalid 'persistence_default' value (all). It must be one of none, queued, "
          "acknowledged." },
        { "persistence_sync_window -1", 1,
          "Error: Invalid 'persistence_sync_window' value (-1). It must be between 0 and 60000." },
        { "persistence_sync_window 60001", 1, "Error: Invalid 'persistence_sync_window' value" },
        { "persistence_sync_window 10ms", 1, "Error: 'persistence_sync_window' value not a " },
        { "persistence_reserve 1048575", 1,
          "Error: Invalid 'persistence_reserve' value (1048575). It must be at least 1048576 " },
        { "persistence_reserve 64M", 1, "Error: Invalid 'persistence_reserve' value (64M). It " },
        { "persistence_reserve -1", 1, "Error: Invalid 'persistence_reserve' value (-1)." },
        { "persistence_reserve 99999999999999999999", 1, "Error: Invalid 'persistence_reserve'" },
        { "autosave_interval", 1, "Error: Empty 'autosave_interval' value in configuration." },
        { "autosave_interval 30m", 1, "Error: 'autosave_interval' value not a number." },
        { "autosave_interval 2147483648", 1, "Error: Invalid 'autosave_interval' value" },
        { "autosave_on_changes", 1, "Error: Empty 'autosave_on_changes' value" },
        { "autosave_on_changes 5", 1, "Error: Invalid 'autosave_on_changes' value (5)." },
        /* listeners */
        { "listener 100000", 1, "Error: Invalid 'port' value (100000)." },
        { "listener -1", 1, "Error: Invalid 'port' value (-1)." },
        { "listener mqtt", 1, "Error: 'listener port' value not a number." },
        { "port 0", 1, "Error: Invalid 'port' value (0)." },
        { "listener 0", 1, "Error: A listener with port 0 must provide a Unix socket path." },
        { "listener 0 # x", 1, "Error: A listener with port 0 must provide a Unix socket path." },
        { "listener 0 /tmp/x", 1,
          "Error: Option \"listener 0 /tmp/x\" of Mosquitto is not available in Chappe yet." },
        { "listener 1\nprotocol websockets", 2,
          "Error: Option \"protocol websockets\" of Mosquitto is not available in Chappe yet." },
        { "max_topic_alias 1", 1,
          "Error: The 'max_topic_alias' option requires a listener to be defined first." },
        { "listener_allow_anonymous true", 1,
          "Error: The 'listener_allow_anonymous' option requires a listener to be defined first." },
        { "accept_protocol_versions 3", 1,
          "Error: The 'accept_protocol_versions' option requires a listener to be defined first." },
        { "max_qos 1\naccept_protocol_versions 3", 2, /* the default listener is not explicit */
          "Error: The 'accept_protocol_versions' option requires a listener to be defined first." },
        { "listener 1\naccept_protocol_versions 2 6 33", 2,
          "Error: Invalid 'accept_protocol_versions' value (2 6 33)." },
        { "listener 1\n\nlistener 1", 3, "Error: Duplicate listener on port 1." },
        { "port 1\nlistener 1", 2, "Error: Duplicate listener on port 1." },
        { "listener 1 localhost\nlistener 1 localhost", 2, "Error: Duplicate listener on port 1." },
        { "listener 1\nsocket_domain ipv4\nlistener 1", 3, "Error: Duplicate listener on port 1." },
        /* Mosquitto's, but not ours */
        { "certfile x.pem", 1,
          "Error: Option \"certfile\" of Mosquitto is not available in Chappe yet." },
        { "plugin_opt_a b", 1,
          "Error: Option \"plugin_opt_a\" of Mosquitto is not available in Chappe yet." },
        { "per_listener_settings true", 1,
          "Error: Option \"per_listener_settings\" of Mosquitto is not available in Chappe yet." },
        { "log_dest dlt", 1,
          "Error: Option \"log_dest dlt\" of Mosquitto is not available in Chappe yet." },
        /* files */
        { "listener 1\ninclude_dir nowhere", 2,
          "Error: Unable to read 'nowhere': No such file or directory." },
        { "include_dir ", 1, "Error: Empty 'include_dir' value in configuration." },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        world_init(&w, no_files);
        int rc = parse(&w, rows[i].text);
        if (rc == 0 || strncmp(w.error.text, rows[i].error, strlen(rows[i].error)) != 0)
            print_error("\"%s\": %d %s\n", rows[i].text, rc, w.error.text);
        assert_true(rc < 0);
        assert_null(w.config);
        assert_memory_equal(w.error.text, rows[i].error, strlen(rows[i].error));
        assert_string_equal(w.error.path, "main.conf");
        assert_int_equal(w.error.line, rows[i].line);
    }
}

static void a_nul_byte_is_an_error(void **state)
{
    struct world w;
    world_init(&w, no_files);
    int rc = config_parse(&w.env, BYTES("listener 1\nuser a\0b\n"), "f", NULL, NULL, &w.config,
                          &w.error);
    assert_int_equal(rc, -EINVAL);
    assert_string_equal(w.error.text, "Error: The line contains a NUL byte.");
    assert_int_equal(w.error.line, 2);
}

static void strings_have_a_limit(void **state)
{
    enum { LIMIT = 65535 };
    for (size_t extra = 0; extra < 2; extra++) {
        struct world w;
        world_init(&w, no_files);
        char *text = test_calloc(1, LIMIT + 32);
        memcpy(text, "pid_file ", sizeof "pid_file ");
        memset(text + strlen(text), 'x', LIMIT + extra);
        assert_int_equal(parse(&w, text), extra == 0 ? 0 : -EINVAL);
        if (extra == 0)
            assert_int_equal(strlen(w.config->pid_file), LIMIT);
        else
            assert_string_equal(w.error.text, "Error: 'pid_file' length must be <= 65535.");
        test_free(text);
        world_fini(&w);
    }
}

/* -------------------------------------------------------------------------------------- values -
 */

#define OF_CONFIG(member)                                                                          \
    false, offsetof(struct config, member), sizeof(((struct config *)0)->member)
#define OF_LISTENER(member)                                                                        \
    true, offsetof(struct listener_config, member), sizeof(((struct listener_config *)0)->member)

static int64_t number_at(const void *base, size_t offset, size_t size)
{
    const char *field = (const char *)base + offset;
    switch (size) {
    case 1:
        return *(const uint8_t *)field;
    case 2:
        return *(const uint16_t *)field;
    case 4:
        return *(const int32_t *)field;
    default:
        return *(const int64_t *)field;
    }
}

static void values_arrive(void **state)
{
    static const struct {
        const char *text;
        bool is_listener; /* the first one */
        size_t offset, size;
        int64_t value;
    } rows[] = {
        /* the grammar */
        { "sys_interval 7", OF_CONFIG(sys_interval_s), 7 },
        { "   sys_interval   7   ", OF_CONFIG(sys_interval_s), 7 },
        { "sys_interval 7\r\n", OF_CONFIG(sys_interval_s), 7 },
        { "sys_interval 7\r\r\n", OF_CONFIG(sys_interval_s), 7 },
        { "sys_interval 7 # note", OF_CONFIG(sys_interval_s), 7 },
        { "sys_interval 0x10", OF_CONFIG(sys_interval_s), 16 },
        { "sys_interval 0XfF", OF_CONFIG(sys_interval_s), 255 },
        { "sys_interval 010", OF_CONFIG(sys_interval_s), 8 },
        { "sys_interval +3", OF_CONFIG(sys_interval_s), 3 },
        { "sys_interval 0", OF_CONFIG(sys_interval_s), 0 },
        { "#sys_interval 7", OF_CONFIG(sys_interval_s), 10 },
        { "\n\r\n   \n# x\n", OF_CONFIG(sys_interval_s), 10 },
        { "sys_interval 7\nsys_interval 8", OF_CONFIG(sys_interval_s), 8 },
        { "queue_qos0_messages true", OF_CONFIG(queue_qos0_messages), 1 },
        { "queue_qos0_messages 1", OF_CONFIG(queue_qos0_messages), 1 },
        { "retain_available 0 off", OF_CONFIG(retain_available), 0 },
        { "retain_available false", OF_CONFIG(retain_available), 0 },
        { "memory_limit 64M", OF_CONFIG(memory_limit), 64 }, /* with a warning */
        { "memory_limit 010", OF_CONFIG(memory_limit), 10 }, /* always decimal */
        { "memory_limit 8589934592", OF_CONFIG(memory_limit), 8589934592 },
        /* limits */
        { "global_max_clients 5", OF_CONFIG(global_max_clients), 5 },
        { "global_max_clients -7", OF_CONFIG(global_max_clients), -1 },
        { "global_max_connections 0", OF_CONFIG(global_max_connections), -1 },
        { "max_keepalive 65535", OF_CONFIG(max_keepalive), 65535 },
        { "max_packet_size 20", OF_CONFIG(max_packet_size), 20 },
        { "message_size_limit 268435455", OF_CONFIG(message_size_limit), 268435455 },
        { "max_inflight_messages 65535", OF_CONFIG(max_inflight_messages), 65535 },
        { "max_inflight_bytes 4294967296", OF_CONFIG(max_inflight_bytes), 4294967296 },
        { "receive_maximum 5", OF_CONFIG(receive_maximum), 5 },
        { "max_queued_messages 1000", OF_CONFIG(max_queued_messages), 1000 },
        { "max_queued_bytes 0", OF_CONFIG(max_queued_bytes), 0 },
        { "max_subscriptions_per_client 3", OF_CONFIG(max_subscriptions_per_client), 3 },
        { "max_retained_messages 0", OF_CONFIG(max_retained_messages), 0 },
        { "max_retained_bytes 4294967296", OF_CONFIG(max_retained_bytes), 4294967296 },
        { "connect_timeout 1", OF_CONFIG(connect_timeout_s), 1 },
        { "packet_timeout 2", OF_CONFIG(packet_timeout_s), 2 },
        { "workers 4", OF_CONFIG(workers), 4 },
        /* what happens to messages */
        { "queue_policy drop-newest", OF_CONFIG(queue_policy), QUEUE_DROP_NEWEST },
        { "queue_policy drop-oldest", OF_CONFIG(queue_policy), QUEUE_DROP_OLDEST },
        { "queue_policy refuse-publisher", OF_CONFIG(queue_policy), QUEUE_REFUSE_PUBLISHER },
        { "shared_subscription_strategy hash-topic", OF_CONFIG(shared_subscription_strategy),
          SHARE_HASH_TOPIC },
        { "shared_subscription_strategy least-inflight", OF_CONFIG(shared_subscription_strategy),
          SHARE_LEAST_INFLIGHT },
        { "upgrade_outgoing_qos true", OF_CONFIG(upgrade_outgoing_qos), 1 },
        { "allow_duplicate_messages false", OF_CONFIG(allow_duplicate_messages), 0 },
        { "set_tcp_nodelay false", OF_CONFIG(set_tcp_nodelay), 0 },
        { "persistent_client_expiration 5s", OF_CONFIG(persistent_client_expiration_s), 5 },
        { "persistent_client_expiration 2h", OF_CONFIG(persistent_client_expiration_s), 7200 },
        { "persistent_client_expiration 14d", OF_CONFIG(persistent_client_expiration_s), 1209600 },
        { "persistent_client_expiration 3w", OF_CONFIG(persistent_client_expiration_s), 1814400 },
        { "persistent_client_expiration 2m", OF_CONFIG(persistent_client_expiration_s), 5184000 },
        { "persistent_client_expiration 1y", OF_CONFIG(persistent_client_expiration_s), 31536000 },
        { "retain_expiry_interval 10000000", OF_CONFIG(retain_expiry_interval_s), 600000000 },
        /* persistence */
        { "persistence true", OF_CONFIG(persistence), 1 },
        { "retained_persistence 1", OF_CONFIG(persistence), 1 },
        { "persistence true\nretained_persistence false", OF_CONFIG(persistence), 0 },
        { "persistence_default none", OF_CONFIG(persistence_default), PERSISTENCE_NONE },
        { "persistence_default queued", OF_CONFIG(persistence_default), PERSISTENCE_QUEUED },
        { "persistence_default acknowledged", OF_CONFIG(persistence_default),
          PERSISTENCE_ACKNOWLEDGED },
        { "persistence_sync_window 60000", OF_CONFIG(persistence_sync_window_ms), 60000 },
        { "persistence_reserve 1048576", OF_CONFIG(persistence_reserve), 1048576 },
        { "persistence_reserve 8589934592", OF_CONFIG(persistence_reserve), 8589934592 },
        { "persistence_reserve 2000000B", OF_CONFIG(persistence_reserve), 2000000 },
        { "autosave_interval -1\nautosave_on_changes 1", OF_CONFIG(persistence), 0 },
        /* the log */
        { "log_format json", OF_CONFIG(log_format), LOG_FORMAT_JSON },
        { "log_timestamp false", OF_CONFIG(log_timestamp), 0 },
        { "connection_messages false", OF_CONFIG(connection_messages), 0 },
        { "log_facility 0", OF_CONFIG(log_facility), LOG_LOCAL0 },
        { "log_facility 7", OF_CONFIG(log_facility), LOG_LOCAL7 },
        { "log_type all", OF_CONFIG(log_types), LOG_TYPE_ALL },
        { "log_type debug", OF_CONFIG(log_types), LOG_TYPE_DEBUG },
        { "log_type error\nlog_type subscribe", OF_CONFIG(log_types),
          LOG_TYPE_ERROR | LOG_TYPE_SUBSCRIBE },
        { "log_type all\nlog_type none", OF_CONFIG(log_types), 0 },
        { "log_type none\nlog_type notice", OF_CONFIG(log_types), LOG_TYPE_NOTICE },
        { "log_dest none", OF_CONFIG(log_dest_count), 0 },
        { "log_dest stdout", OF_CONFIG(log_dest[0].kind), LOG_DEST_STDOUT },
        { "log_dest syslog\nlog_dest topic", OF_CONFIG(log_dest_count), 2 },
        { "log_dest syslog\nlog_dest topic", OF_CONFIG(log_dest[1].kind), LOG_DEST_TOPIC },
        { "log_dest stdout\nlog_dest stdout", OF_CONFIG(log_dest_count), 1 },
        { "log_dest file a\nlog_dest none\nlog_dest file b", OF_CONFIG(log_dest_count), 1 },
        /* listeners */
        { "listener 1884", OF_LISTENER(port), 1884 },
        { "listener 0x75b", OF_LISTENER(port), 1883 },
        { "listener 1884", OF_LISTENER(is_explicit), 1 },
        { "port 1884", OF_LISTENER(port), 1884 },
        { "port 1884", OF_LISTENER(is_explicit), 0 },
        { "port 1884", OF_CONFIG(is_local_only), 0 },
        { "bind_address localhost", OF_LISTENER(port), 1883 },
        { "bind_address localhost", OF_CONFIG(listener_count), 1 },
        { "listener 1\nsocket_domain ipv6", OF_LISTENER(family), AF_INET6 },
        { "listener 1\nprotocol mqtt", OF_LISTENER(port), 1 },
        { "listener 1\nmax_connections 5", OF_LISTENER(max_connections), 5 },
        { "listener 1\nmax_connections 0", OF_LISTENER(max_connections), -1 },
        { "listener 1\nmax_qos 1", OF_LISTENER(max_qos), 1 },
        { "listener 1\nmaximum_qos 0", OF_LISTENER(max_qos), 0 },
        { "listener 1\nmax_topic_alias 65535", OF_LISTENER(max_topic_alias), 65535 },
        { "listener 1\nmax_topic_alias_broker 0", OF_LISTENER(max_topic_alias_broker), 0 },
        { "max_qos 1\nmax_topic_alias 3", OF_LISTENER(max_topic_alias), 3 }, /* the default one */
        { "listener 1\naccept_protocol_versions 4,5", OF_LISTENER(accept_protocol_versions),
          1 << VERSION_3_1_1 | 1 << VERSION_5_0 },
        { "listener 1\naccept_protocol_versions  3 \t,9, x, 55,5 ",
          OF_LISTENER(accept_protocol_versions), 1 << VERSION_3_1 | 1 << VERSION_5_0 },
        /* who may connect: the listener's own, else the global, else by local-only mode */
        { "", OF_LISTENER(allow_anonymous), 1 },
        { "allow_anonymous false", OF_LISTENER(allow_anonymous), 0 },
        { "listener 1", OF_LISTENER(allow_anonymous), 0 },
        { "port 1", OF_LISTENER(allow_anonymous), 0 },
        { "listener 1\nallow_anonymous true", OF_LISTENER(allow_anonymous), 1 },
        { "allow_anonymous true\nlistener 1", OF_LISTENER(allow_anonymous), 1 },
        { "listener 1\nlistener_allow_anonymous true", OF_LISTENER(allow_anonymous), 1 },
        { "listener 1\nlistener_allow_anonymous false\nallow_anonymous true",
          OF_LISTENER(allow_anonymous), 0 },
        { "listener 1\nallow_zero_length_clientid false", OF_LISTENER(allow_zero_length_clientid),
          0 },
        /* harmless lines of Mosquitto */
        { "per_listener_settings 0", OF_CONFIG(is_local_only), 1 },
        { "retry_interval 20\npacket_buffer_size 4096", OF_CONFIG(is_local_only), 1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        world_init(&w, no_files);
        int rc = parse(&w, rows[i].text);
        if (rc != 0)
            print_error("\"%s\": %s\n", rows[i].text, w.error.text);
        assert_int_equal(rc, 0);
        const void *base = rows[i].is_listener ? (void *)&w.config->listeners[0] : w.config;
        int64_t value = number_at(base, rows[i].offset, rows[i].size);
        if (value != rows[i].value)
            print_error("\"%s\": %lld\n", rows[i].text, (long long)value);
        assert_true(value == rows[i].value);
        world_fini(&w);
    }
}

static void texts_arrive(void **state)
{
    static const struct {
        const char *text;
        bool is_listener;
        size_t offset, size;
        const char *value;
    } rows[] = {
        { "pid_file /run/x y.pid", OF_CONFIG(pid_file), "/run/x y.pid" },
        { "  pid_file \t  a b \t ", OF_CONFIG(pid_file), "a b" },
        { "pid_file a # b", OF_CONFIG(pid_file), "a # b" }, /* part of the text */
        { "user a\nuser b", OF_CONFIG(user), "b" },         /* the exception: replaced */
        { "user \xc3\xa4", OF_CONFIG(user), "\xc3\xa4" },
        { "", OF_CONFIG(user), NULL },
        { "log_timestamp_format %Y-%m-%d %H", OF_CONFIG(log_timestamp_format), "%Y-%m-%d %H" },
        { "response_information r/", OF_CONFIG(response_information), "r/" },
        { "server_reference other:1883", OF_CONFIG(server_reference), "other:1883" },
        { "", OF_CONFIG(persistence_location), NULL },
        { "persistence_location /var/lib/a b/", OF_CONFIG(persistence_location), "/var/lib/a b/" },
        { "", OF_CONFIG(persistence_file), "mosquitto.db" },
        { "persistence_file m.db", OF_CONFIG(persistence_file), "m.db" },
        { "log_dest file /a b", OF_CONFIG(log_dest[0].path), "/a b" },
        { "log_dest stdout", OF_CONFIG(log_dest[0].path), NULL },
        { "listener 1 192.0.2.1", OF_LISTENER(host), "192.0.2.1" },
        { "listener 1 ::1 # v6", OF_LISTENER(host), "::1" },
        { "listener 1 #localhost", OF_LISTENER(host), NULL },
        { "listener 1", OF_LISTENER(host), NULL },
        { "bind_address 192.0.2.1", OF_LISTENER(host), "192.0.2.1" },
        { "listener 1\nbind_interface eth0", OF_LISTENER(bind_interface), "eth0" },
        { "", OF_LISTENER(auto_id_prefix), "auto-" },
        { "auto_id_prefix a", OF_LISTENER(auto_id_prefix), "a" },
        { "listener 1\nlistener_auto_id_prefix b\nauto_id_prefix a", OF_LISTENER(auto_id_prefix),
          "b" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        world_init(&w, no_files);
        assert_int_equal(parse(&w, rows[i].text), 0);
        const char *base = rows[i].is_listener ? (char *)&w.config->listeners[0] : (char *)w.config;
        const char *value = *(const char *const *)(const void *)(base + rows[i].offset);
        if (rows[i].value == NULL)
            assert_null(value);
        else
            assert_string_equal(value, rows[i].value);
        world_fini(&w);
    }
}

static void nothing_said_means_defaults(void **state)
{
    struct world w;
    world_init(&w, no_files);
    assert_int_equal(config_read(&w.env, NULL, NULL, NULL, &w.config, &w.error), 0);
    const struct config *c = w.config;
    assert_int_equal(c->workers, 0);
    assert_int_equal(c->global_max_clients, -1);
    assert_int_equal(c->global_max_connections, -1);
    assert_int_equal(c->max_keepalive, 0);
    assert_int_equal(c->max_packet_size, 2000000);
    assert_int_equal(c->message_size_limit, 0);
    assert_int_equal(c->memory_limit, 0);
    assert_int_equal(c->max_inflight_messages, 20);
    assert_int_equal(c->receive_maximum, 0);
    assert_int_equal(c->max_inflight_bytes, 0);
    assert_int_equal(c->max_queued_messages, 0);
    assert_int_equal(c->max_queued_bytes, 64 * 1024 * 1024);
    assert_false(c->queue_qos0_messages);
    assert_int_equal(c->queue_policy, QUEUE_DROP_NEWEST);
    assert_int_equal(c->shared_subscription_strategy, SHARE_ROUND_ROBIN);
    assert_int_equal(c->persistent_client_expiration_s, -1);
    assert_true(c->retain_available);
    assert_int_equal(c->retain_expiry_interval_s, 0);
    assert_false(c->upgrade_outgoing_qos);
    assert_true(c->allow_duplicate_messages);
    assert_true(c->set_tcp_nodelay);
    assert_int_equal(c->max_retained_messages, 1000000);
    assert_int_equal(c->max_retained_bytes, 1024 * 1024 * 1024);
    assert_int_equal(c->max_subscriptions_per_client, 100000);
    assert_int_equal(c->connect_timeout_s, 10);
    assert_int_equal(c->packet_timeout_s, 30);
    assert_false(c->persistence);
    assert_int_equal(c->persistence_default, PERSISTENCE_ACKNOWLEDGED);
    assert_null(c->persistence_rules);
    assert_int_equal(c->persistence_rule_count, 0);
    assert_int_equal(c->persistence_sync_window_ms, 0);
    assert_int_equal(c->persistence_reserve, 64 * 1024 * 1024);
    assert_int_equal(c->log_types, LOG_TYPE_DEFAULT);
    assert_int_equal(c->log_dest_count, 1);
    assert_int_equal(c->log_dest[0].kind, LOG_DEST_STDERR);
    assert_int_equal(c->log_facility, LOG_DAEMON);
    assert_true(c->log_timestamp);
    assert_int_equal(c->log_format, LOG_FORMAT_TEXT);
    assert_true(c->connection_messages);
    assert_int_equal(c->sys_interval_s, 10);
    const struct listener_config *l = &c->listeners[0];
    assert_int_equal(l->family, AF_UNSPEC);
    assert_int_equal(l->max_connections, -1);
    assert_int_equal(l->accept_protocol_versions, 1 << 3 | 1 << 4 | 1 << 5);
    assert_int_equal(l->max_qos, 2);
    assert_int_equal(l->max_topic_alias, 10);
    assert_int_equal(l->max_topic_alias_broker, 10);
    assert_true(l->allow_zero_length_clientid);
    world_fini(&w);
}

/* --------------------------------------------------------------------------------- persistence -
 */

/* "FILTER=mode FILTER=mode", in the order of the configuration. */
static void rules_text(const struct config *c, char *text, size_t size)
{
    static const char *const modes[] = { "none", "queued", "acknowledged" };
    text[0] = '\0';
    for (size_t i = 0; i < c->persistence_rule_count; i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s=%s", i > 0 ? " " : "",
                 c->persistence_rules[i].filter, modes[c->persistence_rules[i].mode]);
    }
}

static void persistence_modes_keep_their_order(void **state)
{
    static const struct {
        const char *text, *rules;
    } rows[] = {
        { "", "" },
        { "persistence_mode # none", "#=none" },
        { "  persistence_mode   a/+/b   queued  \t\r\n", "a/+/b=queued" },
        { "persistence_mode two words queued", "two words=queued" }, /* a filter may have spaces */
        { "persistence_mode none none", "none=none" },
        { "persistence_mode $SYS/# none", "$SYS/#=none" },
        { "persistence_mode $share none", "$share=none" },
        { "persistence_mode a none\npersistence_mode a queued\npersistence_mode # acknowledged",
          "a=none a=queued #=acknowledged" },
        { "persistence_mode 1 none\npersistence_mode 2 queued\npersistence_mode 3 none\n"
          "persistence_mode 4 queued\npersistence_mode 5 none",
          "1=none 2=queued 3=none 4=queued 5=none" },
        { "include_dir /d\npersistence_mode b none", "a=queued b=none" },
    };
    static const struct memory_file files[] = { { "/d", "x.conf", "persistence_mode a queued" },
                                                { NULL, NULL, NULL } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        char text[256];
        world_init(&w, files);
        assert_int_equal(parse(&w, rows[i].text), 0);
        rules_text(w.config, text, sizeof text);
        assert_string_equal(text, rows[i].rules);
        world_fini(&w);
    }
}

static void there_may_be_many_persistence_modes(void **state)
{
    enum { RULES = 1000 };
    static char text[RULES * 32];
    size_t used = 0;
    for (int i = 0; i < RULES; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "persistence_mode t/%d %s\n", i,
                                 i % 2 == 0 ? "none" : "queued");
    struct world w;
    world_init(&w, no_files);
    assert_int_equal(parse(&w, text), 0);
    assert_int_equal(w.config->persistence_rule_count, RULES);
    for (int i = 0; i < RULES; i++) {
        char filter[32];
        snprintf(filter, sizeof filter, "t/%d", i);
        assert_string_equal(w.config->persistence_rules[i].filter, filter);
        assert_int_equal(w.config->persistence_rules[i].mode,
                         i % 2 == 0 ? PERSISTENCE_NONE : PERSISTENCE_QUEUED);
    }
    world_fini(&w);

    int rc = -ENOMEM; /* their array grows, and may find no memory any time */
    for (uint64_t n = 1; rc != 0; n++) {
        world_init(&w, no_files);
        memory_fail_at(n);
        rc = parse(&w, text);
        memory_fail_at(0);
        assert_true(rc == 0 || rc == -ENOMEM);
        assert_true((rc == 0) == (w.config != NULL));
        world_fini(&w);
    }
}

static void the_environment_names_the_folder(void **state)
{
    static const struct {
        const char *text, *environment, *location;
    } rows[] = {
        { "", NULL, NULL },
        { "", "", NULL },
        { "", "/env", "/env" },
        { "persistence_location /file", NULL, "/file" },
        { "persistence_location /file", "", "/file" },
        { "persistence_location /file", "/env", "/env" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        world_init(&w, no_files);
        char environment[8];
        if (rows[i].environment != NULL) {
            snprintf(environment, sizeof environment, "%s", rows[i].environment);
            w.overrides.persistence_location = environment;
        }
        assert_int_equal(parse(&w, rows[i].text), 0);
        environment[0] = 'x'; /* it is the caller's: the configuration has a copy */
        if (rows[i].location == NULL)
            assert_null(w.config->persistence_location);
        else
            assert_string_equal(w.config->persistence_location, rows[i].location);
        world_fini(&w);
    }
}

static void autosave_is_answered_once(void **state)
{
    struct world w;
    world_init(&w, no_files);
    assert_int_equal(parse(&w, "autosave_interval 60\nautosave_on_changes true\n"
                               "persistence true\nautosave_interval 0x10\n"),
                     0);
    assert_string_equal(w.lines,
                        "The 'autosave_interval' and 'autosave_on_changes' options have no effect: "
                        "what is kept on the disk is written before it is acknowledged.\n");
    world_fini(&w);
}

/* ----------------------------------------------------------------------------------- listeners -
 */

/* "HOST:PORT HOST:PORT", '*' for all addresses. */
static void listeners_text(const struct config *c, char *text, size_t size)
{
    text[0] = '\0';
    for (size_t i = 0; i < c->listener_count; i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s:%d", i > 0 ? " " : "",
                 c->listeners[i].host == NULL ? "*" : c->listeners[i].host, c->listeners[i].port);
    }
}

static void listeners_are_made(void **state)
{
    static const struct {
        const char *text;
        int ports[2];
        const char *listeners;
        bool is_local_only;
    } rows[] = {
        { "", { 0 }, "127.0.0.1:1883 ::1:1883", true },
        { "", { 1884, 1885 }, "127.0.0.1:1884 ::1:1884 127.0.0.1:1885 ::1:1885", true },
        { "max_connections 5", { 0 }, "127.0.0.1:1883 ::1:1883", true },
        { "max_connections 5", { 1884 }, "127.0.0.1:1884 ::1:1884", true },
        { "persistence true\npersistence_location /d\npersistence_mode # none",
          { 0 },
          "127.0.0.1:1883 ::1:1883",
          true },
        { "socket_domain ipv4", { 0 }, "127.0.0.1:1883", true },
        { "socket_domain ipv6", { 0 }, "::1:1883", true },
        { "bind_interface eth0", { 0 }, "127.0.0.1:1883 ::1:1883", true },
        { "listener 1", { 1884 }, "*:1", false }, /* -p has no effect any more */
        { "port 1", { 0 }, "*:1", false },
        { "bind_address h", { 0 }, "h:1883", false },
        { "bind_address h\nport 1", { 0 }, "h:1", false },
        { "listener 1\nlistener 2 h", { 0 }, "*:1 h:2", false },
        { "listener 1\nsocket_domain ipv4\nlistener 1\nsocket_domain ipv6",
          { 0 },
          "*:1 *:1",
          false },
        { "listener 1 a\nlistener 1 b", { 0 }, "a:1 b:1", false },
        { "max_qos 1\nlistener 1", { 0 }, "*:1883 *:1", false }, /* both, as Mosquitto */
        { "listener 1\nport 2\nmax_qos 1", { 0 }, "*:1 *:2", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        char text[256];
        world_init(&w, no_files);
        for (; w.overrides.port_count < 2 && rows[i].ports[w.overrides.port_count] != 0;
             w.overrides.port_count++)
            w.overrides.ports[w.overrides.port_count] = rows[i].ports[w.overrides.port_count];
        assert_int_equal(parse(&w, rows[i].text), 0);
        listeners_text(w.config, text, sizeof text);
        assert_string_equal(text, rows[i].listeners);
        assert_int_equal(w.config->is_local_only, rows[i].is_local_only);
        world_fini(&w);
    }
}

static void local_listeners_keep_what_was_said(void **state)
{
    struct world w;
    world_init(&w, no_files);
    assert_int_equal(parse(&w, "max_connections 5\nbind_interface eth0\nmax_qos 1"), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(w.config->listeners[i].max_connections, 5);
        assert_int_equal(w.config->listeners[i].max_qos, 1);
        assert_null(w.config->listeners[i].bind_interface); /* loopback is elsewhere */
    }
    assert_non_null(strstr(w.lines, "'bind_interface' option has no effect"));
    world_fini(&w);
}

static void options_belong_to_the_latest_listener(void **state)
{
    struct world w;
    world_init(&w, no_files);
    assert_int_equal(parse(&w, "max_qos 0\nlistener 1\nmax_qos 1\nlistener 2\nport 3\n"
                               "max_connections 5\n"),
                     0);
    const struct listener_config *l = w.config->listeners;
    assert_int_equal(w.config->listener_count, 3);
    assert_int_equal(l[0].port, 3); /* the default listener */
    assert_int_equal(l[0].max_qos, 0);
    assert_int_equal(l[1].max_qos, 1);
    assert_int_equal(l[2].max_qos, 2);
    assert_int_equal(l[2].max_connections, 5); /* port does not change which one is current */
    world_fini(&w);
}

static void there_is_a_limit_of_listeners(void **state)
{
    char text[CONFIG_LISTENERS_MAX * 16 + 64] = "";
    for (int i = 1; i <= CONFIG_LISTENERS_MAX; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "listener %d\n", i);
    struct world w;
    world_init(&w, no_files);
    assert_int_equal(parse(&w, text), 0);
    assert_int_equal(w.config->listener_count, CONFIG_LISTENERS_MAX);
    world_fini(&w);
    snprintf(text + strlen(text), sizeof text - strlen(text), "listener 1000\n");
    assert_int_equal(parse(&w, text), -EINVAL);
    assert_string_equal(w.error.text, "Error: More than 64 listeners.");
    assert_int_equal(w.error.line, CONFIG_LISTENERS_MAX + 1);
}

static void the_command_line_wins(void **state)
{
    static const struct {
        bool verbose, quiet;
        unsigned types;
        size_t dest_count;
    } rows[] = {
        { false, false, LOG_TYPE_ERROR, 1 },
        { true, false, LOG_TYPE_ALL, 1 },
        { false, true, 0, 0 },
        { true, true, 0, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        world_init(&w, no_files);
        w.overrides.verbose = rows[i].verbose;
        w.overrides.quiet = rows[i].quiet;
        assert_int_equal(parse(&w, "log_type error\nlog_dest stdout"), 0);
        assert_int_equal(w.config->log_types, rows[i].types);
        assert_int_equal(w.config->log_dest_count, rows[i].dest_count);
        world_fini(&w);
    }
}

/* --------------------------------------------------------------------------------------- files -
 */

static void included_files_come_in_order(void **state)
{
    static const struct memory_file files[] = {
        { "/d", "b.conf", "listener 6" },
        { "/d", "B.conf", "listener 5" },
        { "/d", "a.conf", "listener 4" },
        { "/d", "A.conf", "listener 3" },
        { "/d", "01.conf", "listener 2" },
        { "/d", "00.conf", "listener 1" },
        { "/d", "x.conf.old", "nonsense" },
        { "/d", ".conf", "nonsense" },
        { "/d", "conf", "nonsense" },
        { "/e", "0.conf", "listener 7\r\nmax_qos 1" },
        { NULL, NULL, NULL },
    };
    struct world w;
    char text[256];
    world_init(&w, files);
    assert_int_equal(parse(&w, "listener 100\ninclude_dir /d\nmax_qos 0\ninclude_dir /e\n"
                               "max_connections 7\n"),
                     0);
    listeners_text(w.config, text, sizeof text);
    assert_string_equal(text, "*:100 *:1 *:2 *:3 *:4 *:5 *:6 *:7");
    assert_int_equal(w.config->listeners[0].max_qos, 0); /* the main file's own context goes on */
    assert_int_equal(w.config->listeners[0].max_connections, 7);
    assert_int_equal(w.config->listeners[6].max_qos, 2);
    assert_int_equal(w.config->listeners[7].max_qos, 1);
    world_fini(&w);
}

static void errors_name_the_included_file(void **state)
{
    static const struct {
        struct memory_file files[3];
        const char *path;
        int line;
        const char *error;
    } rows[] = {
        { { { "/d", "a.conf", "\nlistener x" } },
          "/d/a.conf",
          2,
          "Error: 'listener port' value not a number." },
        /* each file starts without a current listener, the main file's and the one before */
        { { { "/d", "a.conf", "listener 2" }, { "/d", "b.conf", "max_topic_alias 1" } },
          "/d/b.conf",
          1,
          "Error: The 'max_topic_alias' option requires a listener to be defined first." },
        { { { "/d", "a.conf", "include_dir /d" } },
          "/d/a.conf",
          1,
          "Error: 'include_dir' is only allowed in the main configuration file." },
        { { { "/d", "a.conf", "sys_interval 1\nlistener 1" } },
          "/d/a.conf",
          2,
          "Error: Duplicate listener on port 1." },
        { { { "/d", "a.conf", "" }, { "/d/b.conf", "x", "" }, { "/d", "b.conf", "" } },
          "main.conf",
          3,
          "Error: Unable to read '/d/b.conf': Is a directory." },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct memory_file files[4] = { 0 };
        memcpy(files, rows[i].files, sizeof rows[i].files);
        struct world w;
        world_init(&w, files);
        assert_true(parse(&w, "\nlistener 1\ninclude_dir /d\n") < 0);
        assert_string_equal(w.error.text, rows[i].error);
        assert_string_equal(w.error.path, rows[i].path);
        assert_int_equal(w.error.line, rows[i].line);
    }
}

static void the_main_file_is_read(void **state)
{
    static const struct memory_file files[] = { { "/e", "m.conf", "listener 5\ninclude_dir /d" },
                                                { "/d", "x.conf", "max_packet_size 100" },
                                                { NULL, NULL, NULL } };
    struct world w;
    world_init(&w, files);
    assert_int_equal(config_read(&w.env, "/e/m.conf", NULL, NULL, &w.config, &w.error), 0);
    assert_int_equal(w.config->listeners[0].port, 5);
    assert_int_equal(w.config->max_packet_size, 100);
    world_fini(&w);

    assert_int_equal(config_read(&w.env, "/no", NULL, NULL, &w.config, &w.error), -ENOENT);
    assert_string_equal(w.error.text, "Error: Unable to read '/no': No such file or directory.");
    assert_string_equal(w.error.path, "");
    assert_int_equal(config_read(&w.env, "/d", NULL, NULL, &w.config, &w.error), -EISDIR);
    assert_null(w.config);
}

/* ----------------------------------------------------------------------------------------- log -
 */

static void things_worth_knowing_are_logged(void **state)
{
    static const struct {
        const char *text, *line;
    } rows[] = {
        { "max_qos 1", "Creating the default listener for the 'max_qos' option (main.conf:1).\n" },
        { "port 1", "Note: It is recommended to replace 'port' with 'listener'.\n" },
        { "message_size_limit 1", "Note: It is recommended to replace 'message_size_limit' with " },
        { "\nretry_interval 5", "Warning: The 'retry_interval' option is no longer available and "
                                "has no effect. (main.conf:2)\n" },
        { "packet_buffer_size 4096",
          "Warning: The 'packet_buffer_size' option has no effect in Chappe. (main.conf:1)\n" },
        { "memory_limit 64M", "Warning: Option 'memory_limit' is in bytes: \"64M\" is taken as "
                              "64. (main.conf:1)\n" },
        { "listener 1", "Warning: Option -p has no effect" },
        { "persistence true\npersistence_sync_window 200",
          "Note: a power cut or a crash of the machine may lose the last 200 ms of acknowledged " },
        { "persistence_mode # none",
          "Warning: The 'persistence_mode' option has no effect without 'persistence true'." },
        { "max_queued_messages 1000", "Note: messages beyond max_queued_messages (1000) are " },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        world_init(&w, no_files);
        w.overrides.ports[0] = 1884;
        w.overrides.port_count = 1;
        assert_int_equal(parse(&w, rows[i].text), 0);
        assert_non_null(strstr(w.lines, rows[i].line));
        world_fini(&w);
    }
    struct world w;
    world_init(&w, no_files);
    assert_int_equal(parse(&w, "listener 1\npersistence true\npersistence_mode # none"), 0);
    assert_string_equal(w.lines, "");
    world_fini(&w);
}

/* -------------------------------------------------------------------------------------- memory -
 */

static void every_allocation_may_fail(void **state)
{
    static const struct memory_file files[] = { { "/e", "m.conf",
                                                  "listener 5 localhost\nuser chappe\n"
                                                  "log_dest file /x\ninclude_dir /d\n" },
                                                { "/d", "x.conf", "listener 6\npid_file /pid" },
                                                { "/d", "y.conf", "persistence_mode # none" },
                                                { NULL, NULL, NULL } };
    unsigned failures = 0;
    for (uint64_t n = 1;; n++) {
        struct world w;
        world_init(&w, files);
        w.overrides.persistence_location = "/data";
        memory_fail_at(n);
        int rc = config_read(&w.env, "/e/m.conf", &w.overrides, NULL, &w.config, &w.error);
        memory_fail_at(0);
        if (rc == 0) {
            world_fini(&w);
            break;
        }
        failures++;
        assert_int_equal(rc, -ENOMEM);
        assert_null(w.config);
        assert_true(w.error.text[0] != '\0');
    }
    assert_true(failures >= 5);
    config_destroy(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_configurations_name_word_and_line),
        cmocka_unit_test(a_nul_byte_is_an_error),
        cmocka_unit_test(strings_have_a_limit),
        cmocka_unit_test(values_arrive),
        cmocka_unit_test(texts_arrive),
        cmocka_unit_test(nothing_said_means_defaults),
        cmocka_unit_test(persistence_modes_keep_their_order),
        cmocka_unit_test(there_may_be_many_persistence_modes),
        cmocka_unit_test(the_environment_names_the_folder),
        cmocka_unit_test(autosave_is_answered_once),
        cmocka_unit_test(listeners_are_made),
        cmocka_unit_test(local_listeners_keep_what_was_said),
        cmocka_unit_test(options_belong_to_the_latest_listener),
        cmocka_unit_test(there_is_a_limit_of_listeners),
        cmocka_unit_test(the_command_line_wins),
        cmocka_unit_test(included_files_come_in_order),
        cmocka_unit_test(errors_name_the_included_file),
        cmocka_unit_test(the_main_file_is_read),
        cmocka_unit_test(things_worth_knowing_are_logged),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
