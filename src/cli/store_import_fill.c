/* cli/store_import_fill.c: see store_import_fill.h.  The records: docs/formats/records.md.
 *
 * Sessions get the keys 1, 2, 3, ... in the order in which they come, groups of Shared
 * Subscriptions those behind them.  Entries of queues come in any order, each with its place, those
 * in flight first.  The Packet Identifier of a stored delivery follows from its seq, and what is in
 * flight has to keep its own.  So there is a row of seqs for each place in flight, of which one
 * gives the right identifier; what waits stands densely behind all of these rows:
 *
 *     seq    [ row 1   x    ][ row 2  x     ] ... [ row 65535 ][ 65536 * 32767 + place ...
 *            32767 of them                                       ^ waiting
 *
 * A Session that is away left when its time began to run: since_ns is its end less its interval,
 * so that it ends when it would have ended. */
#include "cli/store_import_fill.h"
#include "base/list.h"
#include "base/memory.h"
#include "broker/durable_records.h"
#include "session/session.h"
#include <assert.h>
#include <errno.h>

enum {
    BATCH_SIZE = 4 * 1024 * 1024, /* at least, before it is committed */
    IN_FLIGHT_MAX = 65535,
    ENTRY_SIZE = STORED_DELIVERY_HEAD + 4, /* its data, with one Subscription Identifier */
};

#define SECOND_NS INT64_C(1000000000)

static_assert(IMPORT_PACKET_ID_MAX == (int)SESSION_STORED_IDS, "each can be had");

struct filling {
    struct import_sink sink;
    const struct store_fill *f;
    uint64_t last_session, last_group; /* keys */
    struct buffer records;
    struct buffer key, value, properties; /* of one record; their memory is used again */
};

static struct filling *filling_of(struct import_sink *sink)
{
    return container_of(sink, struct filling, sink);
}

static int commit(struct filling *w)
{
    struct store *store = w->f->store;
    if (w->records.size == 0)
        return 0;
    int result = store_add(store, w->records.data, w->records.size);
    w->records.size = 0;
    if (result == 0 || result == -EIO) /* it is broken, and this says why */
        result = store_commit(store);
    if (result == 0 && w->f->on_progress != NULL)
        w->f->on_progress(w->f->context, store_stats(store).bytes_written);
    return result;
}

static int commit_if_large(struct filling *w)
{
    return w->records.size < BATCH_SIZE ? 0 : commit(w);
}

static int write_key(struct filling *w, const struct durable_key *k)
{
    w->key.size = 0;
    return durable_key_write(&w->key, k);
}

static int put(struct filling *w, const struct durable_key *k, struct bytes value)
{
    int result = write_key(w, k);
    if (result == 0)
        result = record_put(&w->records, buffer_bytes(&w->key), value);
    return result == 0 ? commit_if_large(w) : result;
}

static uint64_t key_of(uint32_t session)
{
    return (uint64_t)session + 1;
}

/* ------------------------------------------------------------------------------- Sessions ----- */

static int64_t since_ns(const struct filling *w, const struct import_session *s)
{
    int64_t now_s = w->f->now_ns / SECOND_NS;
    if (s->expires_at_s == IMPORT_NEVER || s->expires_at_s - s->expiry_s > now_s)
        return w->f->now_ns;
    return (s->expires_at_s - s->expiry_s) * SECOND_NS;
}

static int fill_session(struct import_sink *sink, const struct import_session *s)
{
    struct filling *w = filling_of(sink);
    struct durable_key key = { .kind = KEY_SESSION, .session = ++w->last_session };
    struct stored_session stored = {
        .client_id = s->client_id,
        .expiry_s = s->expiry_s,
        .since_ns = since_ns(w, s),
        .sent_end = s->sent == 0 ? 0 : (uint64_t)(IN_FLIGHT_MAX + 1) * SESSION_STORED_IDS,
        .will_lifetime_ns = MESSAGE_NEVER
    };
    w->value.size = 0;
    int result = stored_session_write(&w->value, &stored);
    return result == 0 ? put(w, &key, buffer_bytes(&w->value)) : result;
}

static int fill_group(struct filling *w, struct bytes filter)
{
    struct durable_key key = { .kind = KEY_GROUP, .session = ++w->last_group };
    return put(w, &key, filter);
}

static int fill_subscription(struct import_sink *sink, uint32_t session,
                             const struct import_subscription *s)
{
    struct durable_key key = { .kind = KEY_SUBSCRIPTION,
                               .session = key_of(session),
                               .filter = s->filter };
    struct stored_subscription stored = { .options = s->options, .id = s->subscription_id };
    struct filling *w = filling_of(sink);
    uint8_t value[STORED_SUBSCRIPTION_SIZE];
    stored_subscription_write(&stored, value);
    int result = put(w, &key, bytes_of(value, sizeof value));
    return result == 0 && s->begins_group ? fill_group(w, s->filter) : result;
}

static int fill_received(struct import_sink *sink, uint32_t session, uint16_t packet_id)
{
    struct durable_key key = { .kind = KEY_RECEIVED,
                               .session = key_of(session),
                               .number = packet_id };
    return put(filling_of(sink), &key, (struct bytes){ 0 });
}

/* ------------------------------------------------------------------------------- messages ----- */

static int64_t expires_ns(const struct import_message *m)
{
    /* Beyond what can be said in nanoseconds: the year 2262. */
    return m->expires_at_s > INT64_MAX / SECOND_NS ? MESSAGE_NEVER : m->expires_at_s * SECOND_NS;
}

/* A view with wall time, good until the next one. */
static int view_message(struct filling *w, const struct import_message *m, struct message *out)
{
    uint8_t *properties = buffer_reserve(&w->properties, m->properties.size);
    if (properties == NULL)
        return -ENOMEM;
    size_t size = message_properties_copy(m->properties, properties);
    *out = (struct message){ .expires_ns = expires_ns(m),
                             .topic = m->topic,
                             .properties = bytes_of(properties, size),
                             .payload = m->payload,
                             .qos = m->qos,
                             .retain = m->retain };
    return 0;
}

static uint64_t seq_of(const struct import_entry *e)
{
    if (e->packet_id == 0)
        return (uint64_t)(IN_FLIGHT_MAX + 1) * SESSION_STORED_IDS + e->place;
    assert(e->place <= IN_FLIGHT_MAX && e->packet_id <= SESSION_STORED_IDS);
    return (uint64_t)e->place * SESSION_STORED_IDS + e->packet_id - 1;
}

/* Its data go to `data`, of ENTRY_SIZE. */
static struct record_entry entry_of(const struct import_entry *e, uint8_t *data)
{
    struct stored_delivery d = { .qos = e->qos, .retain = e->retain };
    size_t size = stored_delivery_write(&d, &e->subscription_id, e->subscription_id != 0, data);
    assert(size <= ENTRY_SIZE);
    return (struct record_entry){ key_of(e->session), seq_of(e), bytes_of(data, size) };
}

/* One record: the message once, and its place in each queue. */
static int append(struct filling *w, const struct import_message *m, struct record_entry *entries,
                  size_t count)
{
    struct message view;
    uint8_t head[STORED_MESSAGE_HEAD];
    struct bytes parts[STORED_MESSAGE_PARTS];
    int result = view_message(w, m, &view);
    if (result != 0)
        return result;
    stored_message_parts(&view, 0, head, parts);
    result = record_append(&w->records, entries, count, parts, STORED_MESSAGE_PARTS);
    return result == 0 ? commit_if_large(w) : result;
}

static int fill_released(struct filling *w, const struct import_entry *e)
{
    struct durable_key key = { .kind = KEY_RELEASED,
                               .session = key_of(e->session),
                               .number = seq_of(e) };
    assert(e->state == IMPORT_AWAITS_PUBCOMP);
    return put(w, &key, (struct bytes){ 0 });
}

static int fill_queued(struct import_sink *sink, const struct import_message *m,
                       const struct import_entry *entries, size_t count)
{
    struct filling *w = filling_of(sink);
    if (m == NULL)
        return fill_released(w, entries);
    struct record_entry *rows = memory_alloc(count * (sizeof *rows + ENTRY_SIZE));
    if (rows == NULL)
        return -ENOMEM;
    uint8_t *data = (uint8_t *)(rows + count);
    for (size_t i = 0; i < count; i++)
        rows[i] = entry_of(&entries[i], data + i * ENTRY_SIZE);
    int result = append(w, m, rows, count);
    memory_free(rows);
    return result;
}

static int put_retained(struct filling *w, const struct import_message *m)
{
    struct durable_key key = { .kind = KEY_RETAINED, .filter = m->topic };
    struct message view;
    int result = view_message(w, m, &view);
    if (result != 0)
        return result;
    view.retain = true;
    w->value.size = 0;
    result = stored_message_write(&w->value, &view, 0);
    return result == 0 ? put(w, &key, buffer_bytes(&w->value)) : result;
}

static int clear_retained(struct filling *w, struct bytes topic)
{
    int result = write_key(w, &(struct durable_key){ .kind = KEY_RETAINED, .filter = topic });
    return result == 0 ? record_remove(&w->records, buffer_bytes(&w->key)) : result;
}

static int fill_retained(struct import_sink *sink, const struct import_message *m)
{
    struct filling *w = filling_of(sink);
    return m->payload.size == 0 ? clear_retained(w, m->topic) : put_retained(w, m);
}

int store_import_fill(const struct store_import *s, const struct store_fill *f)
{
    static const struct import_sink_ops ops = { fill_session, fill_subscription, fill_received,
                                                fill_queued, fill_retained };
    struct filling w = { .sink = { &ops },
                         .f = f,
                         .last_group = store_import_report(s)->taken[IMPORT_SESSIONS] };
    int result = store_import_emit(s, &w.sink);
    if (result == 0)
        result = commit(&w);
    buffer_fini(&w.records);
    buffer_fini(&w.key);
    buffer_fini(&w.value);
    buffer_fini(&w.properties);
    return result;
}
