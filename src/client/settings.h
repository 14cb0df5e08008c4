/* client/settings.h: the options of a client, checked and copied.  One thread. */
#pragma once

#include "base/arena.h"
#include "chappe/client.h"
#include "mqtt/packet.h"

struct settings {
    struct arena arena; /* everything below points into it */
    struct connect connect;
    struct properties granted; /* those of CONNECT that bind ourselves, decoded */
    uint32_t packet_size_max;
    uint32_t receive_max;
    uint32_t session_expiry_s;
    uint16_t topic_alias_max;
    uint16_t topic_aliases_out_max;
    uint16_t inflight_max;
    size_t queue_bytes_max;
    int64_t connect_timeout_ns;
    bool manual_acks;
    void (*trace)(void *context, const char *line);
    void *trace_context;
};

/* 0, -EINVAL or -ENOMEM; after a failure there is nothing to free. */
int settings_init(struct settings *s, const struct chappe_client_options *o);
void settings_fini(struct settings *s);

/* Public views and ours have the same shape. */
static inline struct bytes bytes_in(struct chappe_bytes b)
{
    return bytes_of(b.data, b.size);
}

static inline struct chappe_bytes bytes_out(struct bytes b)
{
    return chappe_bytes(b.data, b.size);
}

/* May a packet of this kind (bit number as in mqtt/property.h) of this version carry the list? */
bool list_is_valid(struct bytes list, int packet, enum version version, struct properties *decoded);

/* A message as the application may publish it: topic, QoS, sizes, properties? */
bool message_is_valid(const struct chappe_message *m, int packet, enum version version,
                      struct properties *decoded);
