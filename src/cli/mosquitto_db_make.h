/* cli/mosquitto_db_make.h: the bytes of a mosquitto.db, for tests, as a machine of either byte
 * order would write them. */
#pragma once

#include "base/bytes.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

enum make_order { MAKE_LITTLE, MAKE_BIG };

struct made {
    uint8_t data[4096];
    size_t size;
    size_t chunk; /* where the length of the one that is being made stands */
    uint32_t version;
    enum make_order order;
    bool is_i386; /* integers of 64 bits are aligned to four bytes */
};

static inline struct bytes made_bytes(const struct made *m)
{
    return bytes_of(m->data, m->size);
}

static inline void make_raw(struct made *m, const void *data, size_t size)
{
    assert(m->size + size <= sizeof m->data);
    memcpy(m->data + m->size, data, size);
    m->size += size;
}

static inline void make_zeros(struct made *m, size_t size)
{
    static const uint8_t zeros[16];
    make_raw(m, zeros, size);
}

/* Of these many bytes, in network order. */
static inline void make_number(struct made *m, uint32_t value, size_t size)
{
    for (size_t i = size; i-- > 0;) {
        uint8_t byte = (uint8_t)(value >> (8 * i));
        make_raw(m, &byte, 1);
    }
}

static inline void make_host64(struct made *m, uint64_t value)
{
    for (size_t i = 0; i < 8; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * (m->order == MAKE_LITTLE ? i : 7 - i));
        make_raw(m, &byte, 1);
    }
}

static inline void make_plain(struct made *m, const char *text)
{
    make_raw(m, text, strlen(text));
}

static inline void make_text(struct made *m, const char *text) /* with its length */
{
    make_number(m, (uint32_t)strlen(text), 2);
    make_plain(m, text);
}

static inline void make_length(struct made *m, const char *text)
{
    make_number(m, (uint32_t)strlen(text), 2);
}

static inline void make_begin(struct made *m, uint32_t type)
{
    make_number(m, type, m->version >= 5 ? 4 : 2);
    m->chunk = m->size;
    make_number(m, 0, 4);
}

static inline void make_end(struct made *m)
{
    size_t end = m->size, size = end - m->chunk - 4;
    m->size = m->chunk;
    make_number(m, (uint32_t)size, 4);
    m->size = end;
}

static inline void make_padding(struct made *m)
{
    make_zeros(m, m->is_i386 ? 0 : 4);
}

static inline void make_file(struct made *m, uint32_t version, enum make_order order)
{
    m->size = 0;
    m->version = version;
    m->order = order;
    make_raw(m, "\0\xb5\0mosquitto db\0\0\0", 19);
    make_number(m, version, 4);
}

static inline void make_config(struct made *m, uint64_t last, bool is_stopped)
{
    make_begin(m, 1);
    if (m->version >= 5)
        make_host64(m, last);
    make_number(m, is_stopped, 1);
    make_number(m, 8, 1);
    if (m->version >= 5) {
        make_zeros(m, 2);
        make_padding(m);
    } else {
        make_host64(m, last);
    }
    make_end(m);
}

struct make_message {
    uint64_t id;
    int64_t expires_at_s;
    const char *topic, *payload, *from, *properties; /* properties: with their length */
    uint8_t qos, retain;
};

static inline const char *made_text(const char *text)
{
    return text == NULL ? "" : text;
}

static inline void make_message(struct made *m, struct make_message v)
{
    const char *payload = made_text(v.payload), *from = made_text(v.from);
    make_begin(m, 2);
    make_host64(m, v.id);
    if (m->version >= 5) {
        make_host64(m, (uint64_t)v.expires_at_s);
        make_number(m, (uint32_t)strlen(payload), 4);
        make_number(m, 77, 2);
        make_length(m, from);
        make_number(m, 5, 2); /* user name */
        make_length(m, v.topic);
        make_number(m, 1883, 2);
        make_number(m, v.qos, 1);
        make_number(m, v.retain, 1);
        make_plain(m, from);
        make_plain(m, "alice");
        make_plain(m, v.topic);
        make_plain(m, payload);
        make_plain(m, made_text(v.properties));
    } else {
        make_text(m, from);
        if (m->version == 4) {
            make_text(m, "alice");
            make_number(m, 1883, 2);
        }
        make_number(m, 77, 2);
        make_number(m, 78, 2);
        make_text(m, v.topic);
        make_number(m, v.qos, 1);
        make_number(m, v.retain, 1);
        make_number(m, (uint32_t)strlen(payload), 4);
        make_plain(m, payload);
    }
    make_end(m);
}

static inline void make_client(struct made *m, const char *id, uint32_t expiry_s,
                               int64_t expires_at_s, uint16_t last_packet_id)
{
    make_begin(m, 6);
    if (m->version >= 5) {
        make_host64(m, (uint64_t)expires_at_s);
        make_number(m, expiry_s, 4);
        make_number(m, last_packet_id, 2);
        make_length(m, id);
        if (m->version == 6) {
            make_number(m, 1883, 2);
            make_number(m, 3, 2);
            make_padding(m);
        }
        make_plain(m, id);
        if (m->version == 6)
            make_plain(m, "bob");
    } else {
        make_text(m, id);
        make_number(m, last_packet_id, 2);
        if (m->version >= 3)
            make_zeros(m, m->is_i386 ? 4 : 8);
    }
    make_end(m);
}

struct make_queued {
    const char *client;
    uint64_t message;
    uint16_t packet_id;
    uint8_t qos, state;
    bool dup, retain, in;
    const char *properties; /* with their length */
};

static inline void make_queued(struct made *m, struct make_queued v)
{
    make_begin(m, 3);
    if (m->version >= 5) {
        make_host64(m, v.message);
        make_number(m, v.packet_id, 2);
        make_length(m, v.client);
        make_number(m, v.qos, 1);
        make_number(m, v.state, 1);
        make_number(m, (uint32_t)(v.retain << 4 | v.dup), 1);
        make_number(m, !v.in, 1);
        make_plain(m, v.client);
        make_plain(m, made_text(v.properties));
    } else {
        make_text(m, v.client);
        make_host64(m, v.message);
        make_number(m, v.packet_id, 2);
        make_number(m, v.qos, 1);
        make_number(m, v.retain, 1);
        make_number(m, !v.in, 1);
        make_number(m, v.state, 1);
        make_number(m, v.dup, 1);
    }
    make_end(m);
}

static inline void make_retained(struct made *m, uint64_t message)
{
    make_begin(m, 4);
    make_host64(m, message);
    make_end(m);
}

static inline void make_subscription(struct made *m, const char *client, const char *filter,
                                     uint8_t options, uint32_t id)
{
    make_begin(m, 5);
    if (m->version >= 5) {
        make_number(m, id, 4);
        make_length(m, client);
        make_length(m, filter);
        make_number(m, options & 3, 1);
        make_number(m, options & ~3u, 1);
        make_zeros(m, 2);
        make_plain(m, client);
        make_plain(m, filter);
    } else {
        make_text(m, client);
        make_text(m, filter);
        make_number(m, options, 1);
    }
    make_end(m);
}
