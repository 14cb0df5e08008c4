/* broker/durable_records.c: see durable_records.h.  Little endian throughout. */
#include "broker/durable_records.h"
#include "base/little_endian.h"
#include <errno.h>
#include <string.h>

/* ------------------------------------------------------------------------- writing, reading --- */

static uint8_t *put_u16(uint8_t *out, uint16_t value)
{
    save_u16(out, value);
    return out + sizeof value;
}

static uint8_t *put_u32(uint8_t *out, uint32_t value)
{
    save_u32(out, value);
    return out + sizeof value;
}

static uint8_t *put_u64(uint8_t *out, uint64_t value)
{
    save_u64(out, value);
    return out + sizeof value;
}

static uint8_t *put_bytes(uint8_t *out, struct bytes bytes)
{
    if (bytes.size > 0)
        memcpy(out, bytes.data, bytes.size);
    return out + bytes.size;
}

/* Takes bytes from the front.  False: there are not so many. */
static bool take(struct bytes *from, size_t size, struct bytes *out)
{
    if (from->size < size)
        return false;
    *out = bytes_of(from->data, size);
    *from = bytes_after(*from, size);
    return true;
}

static bool take_u16(struct bytes *from, uint16_t *out)
{
    struct bytes field;
    if (!take(from, sizeof *out, &field))
        return false;
    *out = load_u16(field.data);
    return true;
}

static bool take_u32(struct bytes *from, uint32_t *out)
{
    struct bytes field;
    if (!take(from, sizeof *out, &field))
        return false;
    *out = load_u32(field.data);
    return true;
}

static bool take_u64(struct bytes *from, uint64_t *out)
{
    struct bytes field;
    if (!take(from, sizeof *out, &field))
        return false;
    *out = load_u64(field.data);
    return true;
}

/* ------------------------------------------------------------------------------------ keys ---- */

int durable_key_write(struct buffer *out, const struct durable_key *k)
{
    uint8_t *start = buffer_reserve(out, 1 + 8 + 8 + k->filter.size), *end = start;
    if (start == NULL)
        return -ENOMEM;
    *end++ = k->kind;
    if (k->kind != KEY_RETAINED)
        end = put_u64(end, k->session);
    if (k->kind == KEY_RECEIVED)
        end = put_u16(end, (uint16_t)k->number);
    else if (k->kind == KEY_RELEASED)
        end = put_u64(end, k->number);
    else
        end = put_bytes(end, k->filter);
    buffer_commit(out, (size_t)(end - start));
    return 0;
}

bool durable_key_read(struct bytes bytes, struct durable_key *out)
{
    struct bytes kind;
    uint16_t packet_id;
    *out = (struct durable_key){ 0 };
    if (!take(&bytes, 1, &kind))
        return false;
    out->kind = kind.data[0];
    if (out->kind != KEY_RETAINED && !take_u64(&bytes, &out->session))
        return false;
    switch (out->kind) {
    case KEY_SESSION:
    case KEY_GROUP:
        return bytes.size == 0;
    case KEY_SUBSCRIPTION:
    case KEY_RETAINED:
        out->filter = bytes;
        return bytes.size > 0;
    case KEY_RECEIVED:
        if (!take_u16(&bytes, &packet_id))
            return false;
        out->number = packet_id;
        return bytes.size == 0;
    case KEY_RELEASED:
        return take_u64(&bytes, &out->number) && bytes.size == 0;
    default:
        return false;
    }
}

/* -------------------------------------------------------------------------------- messages ---- */

void stored_message_parts(const struct message *m, int64_t clock_ns,
                          uint8_t head[STORED_MESSAGE_HEAD], struct bytes parts[4])
{
    bool expires = m->expires_ns != MESSAGE_NEVER;
    head[0] = (uint8_t)(m->qos | (m->retain ? 4 : 0));
    head[1] = 0;
    put_u16(head + 2, (uint16_t)m->topic.size);
    put_u32(head + 4, (uint32_t)m->properties.size);
    put_u64(head + 8, (uint64_t)(expires ? m->expires_ns + clock_ns : MESSAGE_NEVER));
    parts[0] = bytes_of(head, STORED_MESSAGE_HEAD);
    parts[1] = m->topic;
    parts[2] = m->properties;
    parts[3] = m->payload;
}

int stored_message_write(struct buffer *out, const struct message *m, int64_t clock_ns)
{
    uint8_t head[STORED_MESSAGE_HEAD];
    struct bytes parts[STORED_MESSAGE_PARTS];
    stored_message_parts(m, clock_ns, head, parts);
    uint8_t *end = buffer_reserve(out, STORED_MESSAGE_HEAD + message_size(m));
    if (end == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < STORED_MESSAGE_PARTS; i++)
        end = put_bytes(end, parts[i]);
    buffer_commit(out, STORED_MESSAGE_HEAD + message_size(m));
    return 0;
}

struct message *stored_message_read(struct bytes body, int64_t clock_ns, bool *no_memory)
{
    struct message view = { 0 };
    struct bytes flags;
    uint16_t topic_size;
    uint32_t properties_size;
    uint64_t expires;
    *no_memory = false;
    if (!take(&body, 2, &flags) || !take_u16(&body, &topic_size) ||
        !take_u32(&body, &properties_size) || !take_u64(&body, &expires) ||
        !take(&body, topic_size, &view.topic) || !take(&body, properties_size, &view.properties) ||
        flags.data[0] > 7 || (flags.data[0] & 3) > 2 || flags.data[1] != 0 || topic_size == 0)
        return NULL;
    view.payload = body;
    view.qos = flags.data[0] & 3;
    view.retain = (flags.data[0] & 4) != 0;
    view.expires_ns =
        (int64_t)expires == MESSAGE_NEVER ? MESSAGE_NEVER : (int64_t)(expires - (uint64_t)clock_ns);
    struct message *m = message_copy(&view);
    *no_memory = m == NULL;
    return m;
}

enum { DELIVERY_BYTE_QOS = 3, DELIVERY_BYTE_RETAIN = 4, DELIVERY_BYTE_UNTIL_SENT = 8 };

size_t stored_delivery_write(const struct stored_delivery *d, const uint32_t *ids, size_t count,
                             uint8_t *out)
{
    uint8_t *end = put_u32(out, d->qos | (d->retain ? DELIVERY_BYTE_RETAIN : 0u) |
                                    (d->until_sent ? DELIVERY_BYTE_UNTIL_SENT : 0u));
    for (size_t i = 0; i < count; i++)
        end = put_u32(end, ids[i]);
    return (size_t)(end - out);
}

bool stored_delivery_read(struct bytes data, struct stored_delivery *out)
{
    uint32_t flags;
    if (!take_u32(&data, &flags) || flags > 15 || (flags & DELIVERY_BYTE_QOS) > 2 ||
        data.size % 4 != 0)
        return false;
    *out = (struct stored_delivery){ .qos = flags & DELIVERY_BYTE_QOS,
                                     .retain = (flags & DELIVERY_BYTE_RETAIN) != 0,
                                     .until_sent = (flags & DELIVERY_BYTE_UNTIL_SENT) != 0,
                                     .ids = data };
    return true;
}

uint32_t stored_delivery_id(const struct stored_delivery *d, size_t index)
{
    struct bytes rest = bytes_after(d->ids, index * 4);
    uint32_t id = 0;
    (void)take_u32(&rest, &id);
    return id;
}

/* -------------------------------------------------------------------------------- Sessions ---- */

enum { SESSION_HAS_USERNAME = 1, SESSION_HAS_WILL = 2, SESSION_IS_CONNECTED = 4 };

int stored_session_write(struct buffer *out, const struct stored_session *s)
{
    size_t size =
        4 + 4 + 8 + 2 + 2 + 4 + 4 + 8 + 8 + s->client_id.size + s->username.size + s->will.size;
    uint8_t *end = buffer_reserve(out, size);
    if (end == NULL)
        return -ENOMEM;
    end = put_u32(end, (s->username.data != NULL ? SESSION_HAS_USERNAME : 0u) |
                           (s->will.data != NULL ? SESSION_HAS_WILL : 0u) |
                           (s->is_connected ? SESSION_IS_CONNECTED : 0u));
    end = put_u32(end, s->expiry_s);
    end = put_u64(end, (uint64_t)s->since_ns);
    end = put_u16(end, (uint16_t)s->client_id.size);
    end = put_u16(end, (uint16_t)s->username.size);
    end = put_u32(end, (uint32_t)s->will.size);
    end = put_u32(end, s->will_delay_s);
    end = put_u64(end, (uint64_t)s->will_lifetime_ns);
    end = put_u64(end, s->sent_end);
    end = put_bytes(end, s->client_id);
    end = put_bytes(end, s->username);
    (void)put_bytes(end, s->will);
    buffer_commit(out, size);
    return 0;
}

bool stored_session_read(struct bytes value, struct stored_session *out)
{
    uint32_t flags, will_size;
    uint64_t since, lifetime;
    uint16_t id_size, username_size;
    *out = (struct stored_session){ 0 };
    if (!take_u32(&value, &flags) || !take_u32(&value, &out->expiry_s) ||
        !take_u64(&value, &since) || !take_u16(&value, &id_size) ||
        !take_u16(&value, &username_size) || !take_u32(&value, &will_size) ||
        !take_u32(&value, &out->will_delay_s) || !take_u64(&value, &lifetime) ||
        !take_u64(&value, &out->sent_end) || !take(&value, id_size, &out->client_id) ||
        !take(&value, username_size, &out->username) || !take(&value, will_size, &out->will) ||
        value.size != 0 || flags > 7 || id_size == 0)
        return false;
    if ((flags & SESSION_HAS_USERNAME) == 0)
        out->username = (struct bytes){ 0 };
    if ((flags & SESSION_HAS_WILL) == 0)
        out->will = (struct bytes){ 0 };
    out->is_connected = (flags & SESSION_IS_CONNECTED) != 0;
    out->since_ns = (int64_t)since;
    out->will_lifetime_ns = (int64_t)lifetime;
    return true;
}

void stored_subscription_write(const struct stored_subscription *s, uint8_t *out)
{
    put_u32(put_u32(out, s->options), s->id);
}

bool stored_subscription_read(struct bytes value, struct stored_subscription *out)
{
    return take_u32(&value, &out->options) && take_u32(&value, &out->id) && value.size == 0;
}
