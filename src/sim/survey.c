/* sim/survey.c: see survey.h. */
#include "sim/survey.h"
#include "broker/durable_records.h"
#include "broker/server.h"
#include "broker/storage.h"
#include "sim/actor.h"

struct walk {
    struct store_sink sink;
    struct store_reader reader;
    struct model *model;
    struct found *found;
    struct buffer *entries; /* of the queue that is read */
    int64_t clock_ns;       /* to be added to the world's time to get the wall's */
};

static bool fail(const struct walk *w, const char *what)
{
    MODEL_FAIL(w->model, "the store: %s makes no sense", what);
    return false;
}

static void append(struct buffer *b, const void *data, size_t size)
{
    int result = buffer_append(b, bytes_of(data, size));
    assert(result == 0);
}

/* One of the clients' messages; the last one of those that are empty.  NULL: nobody wrote it. */
static struct sim_message *find_message(const struct model *m, struct bytes topic,
                                        struct bytes payload)
{
    int t = story_topic_index(topic);
    if (payload.size > 0) {
        struct sim_message *message = model_message(m, story_payload_index(payload));
        bool is_it =
            message != NULL && message->topic == t && bytes_equal(message->payload, payload);
        return is_it ? message : NULL;
    }
    struct sim_message *message = NULL, *last = NULL;
    for (uint32_t i = 1; (message = model_message(m, i)) != NULL; i++)
        if (message->topic == t && message->payload.size == 0)
            last = message;
    return last;
}

/* A stored message.  NULL: it is none. */
static struct sim_message *read_message(const struct walk *w, struct bytes stored,
                                        int64_t *expires_ns)
{
    bool no_memory;
    struct message *m = stored_message_read(stored, w->clock_ns, &no_memory);
    if (m == NULL)
        return NULL;
    struct sim_message *message = find_message(w->model, m->topic, m->payload);
    *expires_ns = m->expires_ns == MESSAGE_NEVER ? INT64_MAX : m->expires_ns;
    message_unref(m);
    return message;
}

static int actor_of(struct bytes client_id)
{
    for (unsigned i = 0; i < ACTORS_MAX; i++)
        if (bytes_equal(client_id, actor_client_id(i)))
            return (int)i;
    return -1;
}

static struct found_session *find(const struct walk *w, uint64_t key)
{
    for (unsigned i = 0; i < w->found->session_count; i++)
        if (w->found->sessions[i].key == key)
            return &w->found->sessions[i];
    return NULL;
}

static bool on_session(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct walk *w = container_of(sink, struct walk, sink);
    struct durable_key k;
    struct stored_session s;
    int64_t expires_ns;
    if (!durable_key_read(key, &k) || !stored_session_read(value, &s) ||
        actor_of(s.client_id) < 0 || w->found->session_count == FOUND_SESSIONS_MAX)
        return fail(w, "a Session");
    struct found_session *f = &w->found->sessions[w->found->session_count++];
    *f = (struct found_session){ .key = k.session,
                                 .actor = (uint8_t)actor_of(s.client_id),
                                 .expiry_s = s.expiry_s,
                                 .is_connected = s.is_connected,
                                 .since_ns = s.since_ns - w->clock_ns,
                                 .will_delay_s = s.will_delay_s };
    if (s.will.data != NULL && (f->will = read_message(w, s.will, &expires_ns)) == NULL)
        return fail(w, "a Will");
    return true;
}

static int filter_of(struct bytes text)
{
    for (int f = 0; f < FILTER_COUNT; f++)
        if (bytes_equal(text, bytes_of_string(story_filters[f].text)))
            return f;
    return -1;
}

static bool on_subscription(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct walk *w = container_of(sink, struct walk, sink);
    struct durable_key k;
    struct stored_subscription s;
    if (!durable_key_read(key, &k) || !stored_subscription_read(value, &s) ||
        filter_of(k.filter) < 0)
        return fail(w, "a subscription");
    struct found_session *f = find(w, k.session);
    if (f == NULL)
        return fail(w, "a subscription of nobody");
    f->subscriptions[filter_of(k.filter)] =
        (struct sim_subscription){ .exists = true, .options = (uint8_t)s.options, .id = s.id };
    return true;
}

static bool on_received(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct walk *w = container_of(sink, struct walk, sink);
    struct durable_key k;
    struct found_session *f = durable_key_read(key, &k) ? find(w, k.session) : NULL;
    if (f == NULL)
        return fail(w, "a Packet Identifier");
    uint16_t packet_id = (uint16_t)k.number;
    append(&f->received, &packet_id, sizeof packet_id);
    return true;
}

static bool on_released(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct walk *w = container_of(sink, struct walk, sink);
    struct durable_key k;
    struct found_session *f = durable_key_read(key, &k) ? find(w, k.session) : NULL;
    if (f == NULL)
        return fail(w, "a number of what was released");
    append(&f->released, &k.number, sizeof k.number);
    return true;
}

static bool on_retained(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct walk *w = container_of(sink, struct walk, sink);
    struct durable_key k;
    int64_t expires_ns;
    struct sim_message *message = read_message(w, value, &expires_ns);
    if (!durable_key_read(key, &k) || message == NULL ||
        message->topic != story_topic_index(k.filter) || message->payload.size == 0)
        return fail(w, "a Retained Message");
    w->found->retained[message->topic] = (struct retained_model){ message, expires_ns };
    return true;
}

static bool on_group(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct walk *w = container_of(sink, struct walk, sink);
    struct durable_key k;
    if (!durable_key_read(key, &k) || filter_of(value) < 0 || w->found->group_count == FILTER_COUNT)
        return fail(w, "a group");
    w->found->groups[w->found->group_count++] =
        (struct found_group){ .key = k.session, .filter = (unsigned)filter_of(value) };
    return true;
}

static bool on_entry(struct store_reader *reader, uint64_t seq, struct bytes data,
                     struct bytes body)
{
    struct walk *w = container_of(reader, struct walk, reader);
    struct stored_delivery d;
    struct found_entry e = { .seq = seq };
    if (!stored_delivery_read(data, &d) || d.ids.size / 4 > IDS_MAX ||
        (e.message = read_message(w, body, &e.expires_ns)) == NULL)
        return fail(w, "an entry of a queue");
    e.qos = d.qos;
    e.retain = d.retain;
    for (; e.id_count < d.ids.size / 4; e.id_count++) {
        uint32_t id = stored_delivery_id(&d, e.id_count);
        unsigned at = e.id_count;
        for (; at > 0 && e.ids[at - 1] > id; at--)
            e.ids[at] = e.ids[at - 1];
        e.ids[at] = id;
    }
    append(w->entries, &e, sizeof e);
    return true;
}

static void on_damaged(struct store_reader *reader, uint64_t seq, int error,
                       const struct store_fault *fault)
{
    const struct walk *w = container_of(reader, struct walk, reader);
    MODEL_FAIL(w->model, "the store: entry %llu of a queue is damaged: %s", (unsigned long long)seq,
               fault->text);
}

static void walk(struct walk *w, struct store *store, uint8_t kind,
                 bool (*on_key)(struct store_sink *, struct bytes, struct bytes))
{
    struct store_fault fault = { 0 };
    w->sink.on_key = on_key;
    if (store_walk(store, kind, &w->sink, &fault) != 0)
        MODEL_FAIL(w->model, "the store cannot be read: %s", fault.text);
}

static void read_queue(struct walk *w, struct store *store, uint64_t key, struct buffer *entries)
{
    w->entries = entries;
    int result = store_read_queue(store, key, 0, &w->reader);
    assert(result == 0);
}

void survey(struct model *m, const struct server *server, struct found *out)
{
    struct walk w = { .reader = { on_entry, on_damaged },
                      .model = m,
                      .found = out,
                      .clock_ns = m->world->wall_offset_ns };
    *out = (struct found){ 0 };
    if (server->storage == NULL)
        return;
    struct store *store = storage_store(server->storage);
    walk(&w, store, KEY_SESSION, on_session);
    walk(&w, store, KEY_SUBSCRIPTION, on_subscription);
    walk(&w, store, KEY_RECEIVED, on_received);
    walk(&w, store, KEY_RELEASED, on_released);
    walk(&w, store, KEY_RETAINED, on_retained);
    walk(&w, store, KEY_GROUP, on_group);
    for (unsigned i = 0; i < out->session_count; i++)
        read_queue(&w, store, out->sessions[i].key, &out->sessions[i].entries);
    for (unsigned i = 0; i < out->group_count; i++)
        read_queue(&w, store, out->groups[i].key, &out->groups[i].entries);
}

void survey_fini(struct found *f)
{
    for (unsigned i = 0; i < f->session_count; i++) {
        buffer_fini(&f->sessions[i].received);
        buffer_fini(&f->sessions[i].released);
        buffer_fini(&f->sessions[i].entries);
    }
    for (unsigned i = 0; i < f->group_count; i++)
        buffer_fini(&f->groups[i].entries);
}
