/* client/settings.c: what the application asks for, judged by the standard before it is copied. */
#include "client/settings.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"
#include <assert.h>
#include <errno.h>

enum {
    STRING_SIZE_MAX = 65535, /* section 1.5.4 */
    INFLIGHT_DEFAULT = 20,
    CONNECT_TIMEOUT_MS_DEFAULT = 30000,
    QUEUE_BYTES_DEFAULT = 64 * 1024 * 1024,
    PACKET_OVERHEAD_MAX = 16, /* fixed header, two lengths, packet id, a Topic Alias of ours */
};

bool list_is_valid(struct bytes list, int packet, enum version version, struct properties *decoded)
{
    if (list.size > 0 && !version_has_properties(version))
        return false;
    return properties_decode(list, packet, decoded) == REASON_SUCCESS;
}

bool message_is_valid(const struct chappe_message *m, int packet, enum version version,
                      struct properties *decoded)
{
    struct bytes topic = bytes_in(m->topic);
    if (m->qos < 0 || m->qos > 2)
        return false; /* [MQTT-3.3.1-4] */
    if (!list_is_valid(bytes_in(m->properties), packet, version, decoded))
        return false;
    if (properties_have(decoded, PROPERTY_SUBSCRIPTION_IDENTIFIER))
        return false; /* [MQTT-3.3.4-6] */
    if (m->payload.size >
        (size_t)PACKET_SIZE_MAX - PACKET_OVERHEAD_MAX - STRING_SIZE_MAX - m->properties.size)
        return false;

    /* An alias of the application's own may stand for the topic; but a message that may have to go
     * over another connection must say it. */
    if (topic.size == 0)
        return m->qos == 0 && packet == PACKET_PUBLISH &&
               properties_have(decoded, PROPERTY_TOPIC_ALIAS);
    return topic_name_is_valid(topic) && utf8_is_valid(topic);
}

static bool text_is_valid(const char *text)
{
    struct bytes bytes = bytes_of_string(text);
    return bytes.size <= STRING_SIZE_MAX && utf8_is_valid(bytes);
}

static bool client_id_is_valid(const struct chappe_client_options *o, enum version version)
{
    if (!text_is_valid(o->client_id))
        return false;
    if (o->client_id != NULL && o->client_id[0] != '\0')
        return true;
    if (version == VERSION_3_1)
        return false;
    return version == VERSION_5_0 || o->clean_start; /* [MQTT3-3.1.3-7] */
}

static bool credentials_are_valid(const struct chappe_client_options *o, enum version version)
{
    if (o->password.size > STRING_SIZE_MAX || !text_is_valid(o->username))
        return false;
    bool has_password = o->password.data != NULL;
    return !has_password || o->username != NULL || version == VERSION_5_0; /* [MQTT3-3.1.2-22] */
}

static bool options_are_valid(const struct chappe_client_options *o, enum version version)
{
    if (version != VERSION_3_1 && version != VERSION_3_1_1 && version != VERSION_5_0)
        return false;
    if (!client_id_is_valid(o, version) || !credentials_are_valid(o, version))
        return false;
    struct properties decoded;
    if (o->will != NULL && (!message_is_valid(o->will, 0, version, &decoded) ||
                            o->will->payload.size > STRING_SIZE_MAX))
        return false;
    return list_is_valid(bytes_in(o->properties), PACKET_CONNECT, version, &decoded);
}

/* Copies into the arena; *failed is set and stays set. */
static struct bytes keep(struct arena *arena, struct bytes bytes, bool *failed)
{
    if (bytes.data == NULL)
        return bytes;
    uint8_t *copy = arena_alloc(arena, bytes.size + 1);
    if (copy == NULL) {
        *failed = true;
        return (struct bytes){ NULL, 0 };
    }
    memcpy(copy, bytes.data, bytes.size);
    copy[bytes.size] = '\0'; /* the client identifier is handed out as a C string */
    return bytes_of(copy, bytes.size);
}

static bool copy_connect(struct settings *s, const struct chappe_client_options *o)
{
    struct connect *c = &s->connect;
    bool failed = false;
    c->clean_start = o->clean_start;
    c->keep_alive_s = o->keep_alive_s;
    c->client_id = keep(&s->arena, bytes_of_string(o->client_id), &failed);
    c->has_username = o->username != NULL;
    c->username = keep(&s->arena, bytes_of_string(o->username), &failed);
    c->has_password = o->password.data != NULL;
    c->password = keep(&s->arena, bytes_in(o->password), &failed);
    c->properties.raw = keep(&s->arena, bytes_in(o->properties), &failed);
    c->has_will = o->will != NULL;
    if (c->has_will) {
        c->will.qos = (uint8_t)o->will->qos;
        c->will.retain = o->will->retain;
        c->will.topic = keep(&s->arena, bytes_in(o->will->topic), &failed);
        c->will.payload = keep(&s->arena, bytes_in(o->will->payload), &failed);
        c->will.properties.raw = keep(&s->arena, bytes_in(o->will->properties), &failed);
    }
    return !failed;
}

/* The limits, each from its property if there is one. */
static void derive_limits(struct settings *s, const struct chappe_client_options *o)
{
    const struct properties *p = &s->granted;
    s->packet_size_max = o->packet_size_max == 0 ? PACKET_SIZE_MAX : o->packet_size_max;
    if (properties_have(p, PROPERTY_MAXIMUM_PACKET_SIZE) &&
        p->maximum_packet_size < s->packet_size_max)
        s->packet_size_max = p->maximum_packet_size;
    s->receive_max = properties_have(p, PROPERTY_RECEIVE_MAXIMUM) ? p->receive_maximum : UINT16_MAX;
    if (properties_have(p, PROPERTY_TOPIC_ALIAS_MAXIMUM))
        s->topic_alias_max = p->topic_alias_maximum;
    if (properties_have(p, PROPERTY_SESSION_EXPIRY_INTERVAL))
        s->session_expiry_s = p->session_expiry_interval;
}

int settings_init(struct settings *s, const struct chappe_client_options *o)
{
    enum version version = o->version == 0 ? VERSION_5_0 : (enum version)o->version;
    if (!options_are_valid(o, version))
        return -EINVAL;
    memset(s, 0, sizeof *s);
    arena_init(&s->arena);
    s->connect.version = version;
    if (!copy_connect(s, o)) {
        settings_fini(s);
        return -ENOMEM;
    }
    enum reason why = properties_decode(s->connect.properties.raw, PACKET_CONNECT, &s->granted);
    assert(why == REASON_SUCCESS); /* options_are_valid has seen it */
    derive_limits(s, o);
    s->topic_aliases_out_max = o->topic_aliases_max;
    s->inflight_max = o->inflight_max == 0 ? INFLIGHT_DEFAULT : o->inflight_max;
    s->queue_bytes_max = o->queue_bytes_max == 0 ? QUEUE_BYTES_DEFAULT : o->queue_bytes_max;
    uint32_t timeout_ms =
        o->connect_timeout_ms == 0 ? CONNECT_TIMEOUT_MS_DEFAULT : o->connect_timeout_ms;
    s->connect_timeout_ns = (int64_t)timeout_ms * 1000000;
    s->manual_acks = o->manual_acks;
    s->trace = o->trace;
    s->trace_context = o->trace_context;
    return 0;
}

void settings_fini(struct settings *s)
{
    arena_fini(&s->arena);
}
