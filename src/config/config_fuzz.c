/* config/config_fuzz.c: any bytes as a configuration, also as the files it includes. */
#include "config/config.h"
#include "mqtt/topic.h"
#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    struct files files;
    struct bytes text;
};

static int read_again(const struct files *f, const char *path, struct buffer *out)
{
    const struct input *input = (const struct input *)f;
    return buffer_append(out, input->text);
}

static int list_two(const struct files *f, const char *path, struct buffer *out)
{
    return path[0] == '!' ? -ENOENT : buffer_append(out, BYTES("b.conf\0a.conf\0x"));
}

static void ignore_line(struct log *l, enum log_type type, const char *line)
{
    (void)line;
}

static void check_persistence(const struct config *c)
{
    assert((c->persistence_rule_count == 0) == (c->persistence_rules == NULL));
    for (size_t i = 0; i < c->persistence_rule_count; i++) {
        assert(topic_filter_is_valid(bytes_of_string(c->persistence_rules[i].filter), NULL));
        assert(c->persistence_rules[i].mode <= PERSISTENCE_ACKNOWLEDGED);
    }
    assert(c->persistence_default <= PERSISTENCE_ACKNOWLEDGED);
    assert(c->persistence_location == NULL || c->persistence_location[0] != '\0');
    assert(c->persistence_file[0] != '\0');
    assert(c->persistence_sync_window_ms <= 60000);
    assert(c->persistence_reserve >= 1024 * 1024);
}

static void check(const struct config *c)
{
    check_persistence(c);
    assert(c->listener_count > 0 && c->listener_count <= CONFIG_LISTENERS_MAX);
    for (size_t i = 0; i < c->listener_count; i++) {
        const struct listener_config *l = &c->listeners[i];
        assert(l->port >= 1 && l->port <= 65535);
        assert(l->max_qos <= 2);
        assert(l->accept_protocol_versions != 0);
        assert(l->max_connections == -1 || l->max_connections > 0);
        assert(strlen(l->auto_id_prefix) <= 50);
        assert(!c->is_local_only || (l->host != NULL && !l->is_explicit));
    }
    assert(c->log_dest_count <= CONFIG_LOG_DEST_MAX);
    assert(c->max_packet_size >= 20);
    assert(c->connect_timeout_s > 0 && c->packet_timeout_s > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { { read_again, list_two }, bytes_of(data, size) };
    struct env env = { .files = &input.files };
    struct log log = { LOG_TYPE_ALL, ignore_line };
    struct config *config = NULL;
    struct config_error error = { 0 };
    int rc = config_parse(&env, input.text, "main", NULL, &log, &config, &error);
    assert(rc <= 0);
    if (rc == 0)
        check(config);
    else
        assert(config == NULL && error.text[0] != '\0' && error.line >= 0);
    config_destroy(config);
    return 0;
}
