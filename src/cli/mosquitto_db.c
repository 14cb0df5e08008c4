/* cli/mosquitto_db.c: one chunk at a time, front to back.
 *
 *     00 B5 00 "mosquitto db" | crc, always 0 | version, big endian | chunk, chunk, ...
 *
 *     chunk, 5 and 6:    type 4 | length 4 | fields of fixed size | texts | payload | properties
 *     chunk, 2, 3 and 4: type 2 | length 4 | fields; a text has its length before it
 *
 * The fixed fields of 5 and 6 are C structs, written as they lie in memory, so their padding
 * depends on the machine: where a 64-bit integer needs no alignment of 8 (i386), a struct that
 * holds one may be four bytes shorter.  What a chunk's length leaves over tells.
 *
 * Numbers are big endian, but for those of 64 bits: they have the byte order of the machine.  Ids
 * are only ever compared, so theirs does not matter.  A time is read in the order in which it lies
 * in this age; no time of our lives does in both.  No other value depends on the order. */
#include "cli/mosquitto_db.h"
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum { MAGIC_SIZE = 15, HEADER_SIZE = MAGIC_SIZE + 4 + 4, ID_SIZE = 8 };
static const uint8_t magic[MAGIC_SIZE] = "\0\xb5\0mosquitto db";

static const uint64_t TIME_MIN = 1000000000;        /* 2001 */
static const uint64_t TIME_MAX = UINT64_C(1) << 36; /* the year 4147 */

__attribute__((format(printf, 4, 5))) static int fail(struct mosquitto_db_fault *fault, int error,
                                                      uint64_t offset, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(fault->text, sizeof fault->text, format, arguments);
    va_end(arguments);
    fault->offset = offset;
    return error;
}

/* -------------------------------------------------------------------------------- fields ------ */

/* What is left of a chunk.  Whoever takes more than there is gets zeros, and is found out at the
 * end: so the layouts below read like layouts. */
struct fields {
    const uint8_t *next, *end;
    bool is_short;
    bool is_wrong; /* a value that cannot be */
};

static size_t fields_left(const struct fields *f)
{
    return (size_t)(f->end - f->next);
}

static struct bytes take(struct fields *f, size_t size)
{
    if (fields_left(f) < size) {
        f->is_short = true;
        f->next = f->end;
        return (struct bytes){ 0 };
    }
    struct bytes taken = bytes_of(f->next, size);
    f->next += size;
    return taken;
}

static uint8_t take_u8(struct fields *f)
{
    struct bytes taken = take(f, 1);
    return taken.size == 0 ? 0 : taken.data[0];
}

static uint16_t take_u16(struct fields *f)
{
    struct bytes taken = take(f, 2);
    if (taken.size == 0)
        return 0;
    return (uint16_t)(taken.data[0] << 8 | taken.data[1]);
}

static uint32_t take_u32(struct fields *f)
{
    uint32_t high = take_u16(f);
    return high << 16 | take_u16(f);
}

static uint64_t take_id(struct fields *f)
{
    uint64_t id = 0;
    struct bytes taken = take(f, ID_SIZE);
    if (taken.size != 0)
        memcpy(&id, taken.data, ID_SIZE);
    return id;
}

/* A machine that did not know the time was in 1970: then the smaller reading is the right one. */
static int64_t take_time(struct fields *f)
{
    uint64_t raw = take_id(f), little = le64toh(raw), big = be64toh(raw);
    bool is_little = little >= TIME_MIN && little < TIME_MAX;
    bool is_big = big >= TIME_MIN && big < TIME_MAX;
    uint64_t time = is_little ? little : is_big ? big : little < big ? little : big;
    if (time >= TIME_MAX)
        f->is_wrong = true;
    return (int64_t)time;
}

static struct bytes take_text(struct fields *f)
{
    uint16_t size = take_u16(f);
    return take(f, size);
}

/* All the rest: a Variable Byte Integer, and so many bytes; or nothing. */
static struct bytes take_properties(struct fields *f)
{
    if (fields_left(f) == 0)
        return (struct bytes){ 0 };
    size_t size = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = take_u8(f);
        size |= (size_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
        if (shift == 21) { /* a fifth byte */
            f->is_wrong = true;
            break;
        }
    }
    return take(f, size);
}

/* ------------------------------------------------------------------------- formats 5, 6 ------ */

/* Steps over padding at the end of a struct with an integer of 64 bits; texts of this size follow.
 */
static void skip_padding(struct fields *f, size_t texts)
{
    if (fields_left(f) == texts + 4)
        (void)take(f, 4);
}

static void check_id_size(struct fields *f, uint8_t size)
{
    if (size != ID_SIZE)
        f->is_wrong = true;
}

static void config_v5(struct fields *f, struct mosquitto_config *c)
{
    c->last_message = take_id(f);
    c->is_stopped = take_u8(f) != 0;
    check_id_size(f, take_u8(f));
    (void)take(f, 2);
    skip_padding(f, 0);
}

static void message_v5(struct fields *f, struct mosquitto_message *m)
{
    m->id = take_id(f);
    m->expires_at_s = take_time(f);
    uint32_t payload_size = take_u32(f);
    (void)take_u16(f); /* Packet Identifier it came with */
    uint16_t client_id_size = take_u16(f), username_size = take_u16(f), topic_size = take_u16(f);
    m->listener_port = take_u16(f);
    m->qos = take_u8(f);
    m->retain = take_u8(f) != 0;

    m->client_id = take(f, client_id_size);
    m->username = take(f, username_size);
    m->topic = take(f, topic_size);
    m->payload = take(f, payload_size);
    m->properties = take_properties(f);
}

static void client_v5(struct fields *f, struct mosquitto_client *c)
{
    c->has_expiry = true;
    c->expires_at_s = take_time(f);
    c->expiry_s = take_u32(f);
    c->last_packet_id = take_u16(f);
    uint16_t client_id_size = take_u16(f);
    c->client_id = take(f, client_id_size);
}

static void client_v6(struct fields *f, struct mosquitto_client *c)
{
    c->has_expiry = true;
    c->expires_at_s = take_time(f);
    c->expiry_s = take_u32(f);
    c->last_packet_id = take_u16(f);
    uint16_t client_id_size = take_u16(f);
    c->listener_port = take_u16(f);
    uint16_t username_size = take_u16(f);
    skip_padding(f, (size_t)client_id_size + username_size);

    c->client_id = take(f, client_id_size);
    c->username = take(f, username_size);
}

static void queued_v5(struct fields *f, struct mosquitto_queued *q)
{
    q->message = take_id(f);
    q->packet_id = take_u16(f);
    uint16_t client_id_size = take_u16(f);
    q->qos = take_u8(f);
    q->state = take_u8(f);
    uint8_t flags = take_u8(f);
    q->retain = (flags & 0xf0) != 0;
    q->is_dup = (flags & 0x0f) != 0;
    q->is_from_client = take_u8(f) == 0;

    q->client_id = take(f, client_id_size);
    q->properties = take_properties(f);
}

static void subscription_v5(struct fields *f, struct mosquitto_subscription *s)
{
    s->subscription_id = take_u32(f);
    uint16_t client_id_size = take_u16(f), filter_size = take_u16(f);
    s->options = take_u8(f); /* the QoS; the rest comes apart */
    s->options |= take_u8(f);
    (void)take(f, 2);

    s->client_id = take(f, client_id_size);
    s->filter = take(f, filter_size);
}

/* ---------------------------------------------------------------------- formats 2, 3, 4 ------ */

static void config_v2(struct fields *f, struct mosquitto_config *c)
{
    c->is_stopped = take_u8(f) != 0;
    check_id_size(f, take_u8(f));
    c->last_message = take_id(f);
}

static void message_v2(struct fields *f, uint32_t version, struct mosquitto_message *m)
{
    m->id = take_id(f);
    m->client_id = take_text(f);
    if (version == 4) {
        m->username = take_text(f);
        m->listener_port = take_u16(f);
    }
    (void)take(f, 4); /* the Packet Identifiers that it came and left with */
    m->topic = take_text(f);
    m->qos = take_u8(f);
    m->retain = take_u8(f) != 0;
    uint32_t payload_size = take_u32(f);
    m->payload = take(f, payload_size);
}

static void client_v2(struct fields *f, uint32_t version, struct mosquitto_client *c)
{
    c->client_id = take_text(f);
    c->last_packet_id = take_u16(f);
    if (version >= 3) { /* a time_t: when it was last here */
        (void)take(f, 4);
        skip_padding(f, 0);
    }
}

static void queued_v2(struct fields *f, struct mosquitto_queued *q)
{
    q->client_id = take_text(f);
    q->message = take_id(f);
    q->packet_id = take_u16(f);
    q->qos = take_u8(f);
    q->retain = take_u8(f) != 0;
    q->is_from_client = take_u8(f) == 0;
    q->state = take_u8(f);
    q->is_dup = take_u8(f) != 0;
}

static void subscription_v2(struct fields *f, struct mosquitto_subscription *s)
{
    s->client_id = take_text(f);
    s->filter = take_text(f);
    s->options = take_u8(f);
}

/* -------------------------------------------------------------------------------- chunks ------ */

static const char *const kind_names[MOSQUITTO_KINDS] = {
    NULL, "configuration", "message", "queue entry", "Retained Message", "subscription", "Client",
};

static void read_v5(struct fields *f, uint32_t version, struct mosquitto_record *out)
{
    switch (out->kind) {
    case MOSQUITTO_CONFIG:
        config_v5(f, &out->config);
        break;
    case MOSQUITTO_MESSAGE:
        message_v5(f, &out->message);
        break;
    case MOSQUITTO_QUEUED:
        queued_v5(f, &out->queued);
        break;
    case MOSQUITTO_RETAINED:
        out->retained = take_id(f);
        break;
    case MOSQUITTO_SUBSCRIPTION:
        subscription_v5(f, &out->subscription);
        break;
    case MOSQUITTO_CLIENT:
        if (version == 5)
            client_v5(f, &out->client);
        else
            client_v6(f, &out->client);
        break;
    case MOSQUITTO_KINDS: /* is none: the caller has looked */
        break;
    }
}

static void read_v2(struct fields *f, uint32_t version, struct mosquitto_record *out)
{
    switch (out->kind) {
    case MOSQUITTO_CONFIG:
        config_v2(f, &out->config);
        break;
    case MOSQUITTO_MESSAGE:
        message_v2(f, version, &out->message);
        break;
    case MOSQUITTO_QUEUED:
        queued_v2(f, &out->queued);
        break;
    case MOSQUITTO_RETAINED:
        out->retained = take_id(f);
        break;
    case MOSQUITTO_SUBSCRIPTION:
        subscription_v2(f, &out->subscription);
        break;
    case MOSQUITTO_CLIENT:
        client_v2(f, version, &out->client);
        break;
    case MOSQUITTO_KINDS: /* is none: the caller has looked */
        break;
    }
}

int mosquitto_db_open(struct bytes file, struct mosquitto_db *out, struct mosquitto_db_fault *fault)
{
    struct bytes start = bytes_of(magic, MAGIC_SIZE);
    if (!bytes_start_with(file, start))
        return fail(fault, -EBADMSG, 0, "this is not a mosquitto.db");
    struct fields f = { file.data + MAGIC_SIZE, file.data + file.size };
    (void)take_u32(&f); /* crc: nobody ever computed one */
    uint32_t version = take_u32(&f);
    if (f.is_short)
        return fail(fault, -EBADMSG, file.size, "the file ends inside its header");
    if (version < 2 || version > 6)
        return fail(fault, -EPROTONOSUPPORT, MAGIC_SIZE + 4, "format %u: only 2 to 6 can be read",
                    (unsigned)version);
    *out = (struct mosquitto_db){ file, HEADER_SIZE, version };
    return 0;
}

int mosquitto_db_next(struct mosquitto_db *db, struct mosquitto_record *out,
                      struct mosquitto_db_fault *fault)
{
    struct bytes rest = bytes_after(db->bytes, db->at);
    if (rest.size == 0)
        return 0;
    bool is_v5 = db->version >= 5;
    struct fields f = { rest.data, rest.data + rest.size };
    uint32_t kind = is_v5 ? take_u32(&f) : take_u16(&f);
    uint32_t size = take_u32(&f);
    if (f.is_short)
        return fail(fault, -EBADMSG, db->at, "the file ends inside the head of a chunk");
    if (kind == 0 || kind >= MOSQUITTO_KINDS)
        return fail(fault, -EBADMSG, db->at, "a chunk of the unknown type %u", (unsigned)kind);
    const char *name = kind_names[kind];
    if (size > fields_left(&f))
        return fail(fault, -EBADMSG, db->at, "%s: the file ends before this chunk of %u bytes",
                    name, (unsigned)size);

    f.end = f.next + size;
    *out = (struct mosquitto_record){ .kind = (enum mosquitto_kind)kind, .offset = db->at };
    if (is_v5)
        read_v5(&f, db->version, out);
    else
        read_v2(&f, db->version, out);
    if (f.is_short)
        return fail(fault, -EBADMSG, db->at, "%s: longer than its chunk of %u bytes", name,
                    (unsigned)size);
    if (f.is_wrong)
        return fail(fault, -EBADMSG, db->at, "%s: a value that Mosquitto does not write", name);
    if (fields_left(&f) > 0)
        return fail(fault, -EBADMSG, db->at, "%s: %zu bytes too many in its chunk", name,
                    fields_left(&f));
    db->at = (size_t)(f.end - db->bytes.data);
    return 1;
}
