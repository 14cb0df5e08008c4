/* broker/recovery.c: see recovery.h.
 *
 *     s  Sessions       -> clients, spread over the workers; Wills and expiry run from their times
 *     f  subscriptions  -> router, groups
 *     q  p              -> Packet Identifiers of QoS 2, both ways
 *     r                 -> Retained Messages
 *     g                 -> groups, with what waits for them
 *     queues            -> counts only
 *
 * What belongs to a Session that is not there is removed. */
#include "broker/recovery.h"
#include "base/memory.h"
#include "broker/client.h"
#include "broker/directory.h"
#include "broker/durable.h"
#include "broker/durable_records.h"
#include "broker/server.h"
#include "broker/shares.h"
#include "broker/storage.h"
#include "broker/worker.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define SECOND_NS INT64_C(1000000000)

/* Which Session has this key. */
struct by_key {
    uint64_t key;
    struct client *client;
};

struct recovery {
    struct store_sink sink;
    struct server *server;
    struct store *store;
    struct by_key *sessions; /* sorted once all are there */
    size_t session_count, session_capacity;
    uint64_t key_max;
    int64_t clock_ns, now_ns;
    unsigned next_worker;
    struct buffer removals; /* records: what is in nobody's possession */
    size_t subscriptions, retained, expired;
    int error;
};

/* --------------------------------------------------------------------------------- finding ---- */

static int by_key(const void *left, const void *right)
{
    const struct by_key *a = left, *b = right;
    return a->key < b->key ? -1 : a->key > b->key;
}

static struct client *find(const struct recovery *r, uint64_t key)
{
    struct by_key wanted = { .key = key };
    const struct by_key *found =
        r->session_count == 0
            ? NULL
            : bsearch(&wanted, r->sessions, r->session_count, sizeof wanted, by_key);
    return found == NULL ? NULL : found->client;
}

static int remember(struct recovery *r, uint64_t key, struct client *c)
{
    if (r->session_count == r->session_capacity) {
        size_t capacity = r->session_capacity == 0 ? 1024 : 2 * r->session_capacity;
        struct by_key *bigger = memory_resize(r->sessions, capacity * sizeof *bigger);
        if (bigger == NULL)
            return -ENOMEM;
        r->sessions = bigger;
        r->session_capacity = capacity;
    }
    r->sessions[r->session_count++] = (struct by_key){ key, c };
    return 0;
}

static bool fail(struct recovery *r, int error)
{
    if (r->error == 0)
        r->error = error;
    return false;
}

static bool remove_key(struct recovery *r, struct bytes key)
{
    return record_remove(&r->removals, key) == 0 || fail(r, -ENOMEM);
}

/* -------------------------------------------------------------------------------- Sessions ---- */

static int restore_will(struct client *c, const struct stored_session *s, int64_t clock_ns)
{
    bool no_memory;
    if (s->will.data == NULL)
        return 0;
    struct message *message = stored_message_read(s->will, clock_ns, &no_memory);
    if (message == NULL)
        return no_memory ? -ENOMEM : -EBADMSG;
    message->origin = c->handle;
    int result = client_set_will(c, message, s->will_delay_s, s->will_lifetime_ns);
    if (result != 0)
        message_unref(message);
    return result;
}

/* A Session that was connected when the broker ended has lost its connection now; another one when
 * it was written down. */
static void restore_timers(struct recovery *r, struct client *c, const struct stored_session *s)
{
    struct worker *w = c->worker;
    int64_t since_ns = s->is_connected ? r->now_ns : s->since_ns - r->clock_ns;
    if (c->will != NULL)
        timers_set(w->timers, &c->will->delay_timer,
                   since_ns + (int64_t)c->will->delay_s * SECOND_NS);
    if (s->expiry_s != UINT32_MAX)
        timers_set(w->timers, &c->expiry->timer, since_ns + (int64_t)s->expiry_s * SECOND_NS);
}

/* The end of the older one was not written down, for want of memory; that a newer one began was. */
static int remove_session(struct recovery *r, uint64_t number)
{
    struct buffer key = { 0 };
    struct durable_key k = { .kind = KEY_SESSION, .session = number };
    int result = durable_key_write(&key, &k);
    if (result == 0)
        result = record_remove(&r->removals, buffer_bytes(&key));
    buffer_fini(&key); /* what it had goes with the other strays */
    return result;
}

static int end_older(struct recovery *r, struct client *older)
{
    uint64_t number = atomic_load(&older->durable->key);
    for (size_t i = 0; i < r->session_count; i++)
        if (r->sessions[i].key == number)
            r->sessions[i] = r->sessions[--r->session_count]; /* not sorted yet */
    client_drop_will(older);
    client_destroy(older);
    return remove_session(r, number);
}

static int restore_session(struct recovery *r, uint64_t key, const struct stored_session *s)
{
    struct server *server = r->server;
    struct store_queue queue = store_queue(r->store, key);
    struct worker *w = server->workers[r->next_worker++ % server->worker_count];
    struct directory_entry *other = directory_find(server->directory, s->client_id);
    if (other != NULL && atomic_load(&other->client->durable->key) > key)
        return remove_session(r, key);
    if (other != NULL && end_older(r, other->client) != 0)
        return -ENOMEM;
    struct directory_entry *claim = directory_claim(server->directory, s->client_id, w->index);
    struct client *c = NULL;
    if (claim != NULL && claim->client == NULL && claim->worker == w->index)
        c = client_create(w, claim);
    if (c == NULL) {
        if (claim != NULL)
            directory_release(server->directory, claim);
        return -ENOMEM;
    }
    /* Behind all that was sent, for what is new must not look as if it had been. */
    uint64_t next_seq = s->sent_end > queue.last ? s->sent_end : queue.last + 1;
    /* One that was to end with its connection has ended: at once, when the worker runs. */
    int result = client_set_expiry(c, s->expiry_s == 0 ? 1 : s->expiry_s);
    c->session_expiry_s = s->expiry_s;
    if (result == 0)
        result = client_set_username(c, s->username);
    if (result == 0)
        result = restore_will(c, s, r->clock_ns);
    if (result == 0)
        result = client_restore_durable(c, key, next_seq);
    if (result == 0)
        result = remember(r, key, c);
    if (result != 0)
        return result;
    session_restore_queue(c->session, queue.first, queue.count,
                          s->is_connected ? queue.last + 1 : s->sent_end);
    restore_timers(r, c, s);
    return 0;
}

static bool on_session(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct recovery *r = container_of(sink, struct recovery, sink);
    struct durable_key k;
    struct stored_session s;
    if (!durable_key_read(key, &k) || !stored_session_read(value, &s))
        return fail(r, -EBADMSG);
    if (k.session > r->key_max)
        r->key_max = k.session;
    int result = restore_session(r, k.session, &s);
    return result == 0 || fail(r, result);
}

/* --------------------------------------------------------------------- what Sessions have ----- */

static bool is_filter(struct bytes whole)
{
    struct bytes name, filter = whole;
    return topic_filter_split_share(whole, &name, &filter) != SHARE_INVALID &&
           topic_filter_is_valid(filter, NULL);
}

static bool on_subscription(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct recovery *r = container_of(sink, struct recovery, sink);
    struct durable_key k;
    struct stored_subscription s;
    bool is_new;
    if (!durable_key_read(key, &k) || !stored_subscription_read(value, &s) || !is_filter(k.filter))
        return fail(r, -EBADMSG);
    struct client *c = find(r, k.session);
    if (c == NULL)
        return remove_key(r, key);
    r->subscriptions++;
    return client_subscribe(c, k.filter, s.options, s.id, &is_new) == 0 || fail(r, -ENOMEM);
}

static bool on_received(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct recovery *r = container_of(sink, struct recovery, sink);
    struct durable_key k;
    if (!durable_key_read(key, &k) || value.size != 0 || k.number == 0)
        return fail(r, -EBADMSG);
    struct client *c = find(r, k.session);
    if (c == NULL)
        return remove_key(r, key);
    return session_restore_received(c->session, (uint16_t)k.number) == 0 || fail(r, -ENOMEM);
}

static bool on_released(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct recovery *r = container_of(sink, struct recovery, sink);
    struct durable_key k;
    if (!durable_key_read(key, &k) || value.size != 0)
        return fail(r, -EBADMSG);
    struct client *c = find(r, k.session);
    if (c == NULL)
        return remove_key(r, key);
    uint64_t next = atomic_load(&c->durable->next_seq);
    if (k.number >= next)
        atomic_store(&c->durable->next_seq, k.number + 1);
    return session_restore_released(c->session, k.number) == 0 || fail(r, -ENOMEM);
}

static bool on_retained(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct recovery *r = container_of(sink, struct recovery, sink);
    bool no_memory;
    struct message *m = stored_message_read(value, r->clock_ns, &no_memory);
    if (m == NULL)
        return fail(r, no_memory ? -ENOMEM : -EBADMSG);
    if (message_is_expired(m, r->now_ns)) {
        message_unref(m);
        r->expired++;
        return remove_key(r, key);
    }
    int result = retained_set(r->server->retained, m);
    message_unref(m);
    r->retained += result == 0;
    if (result == -ENOSPC) { /* a limit was lowered: it stays on the disk for a better day */
        log_line(r->server->log, LOG_TYPE_WARNING,
                 "Warning: max_retained_messages or max_retained_bytes is too low for what is "
                 "stored.");
        return true;
    }
    return result == 0 || fail(r, result);
}

/* ---------------------------------------------------------------------------------- groups ---- */

static bool on_group(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct recovery *r = container_of(sink, struct recovery, sink);
    struct durable_key k;
    if (!durable_key_read(key, &k) || value.size > UINT16_MAX || !is_filter(value))
        return fail(r, -EBADMSG);
    if (k.session > r->key_max)
        r->key_max = k.session;
    struct known_group *g = memory_alloc(sizeof *g + value.size);
    if (g == NULL)
        return fail(r, -ENOMEM);
    struct store_queue queue = store_queue(r->store, k.session);
    *g = (struct known_group){ .next = r->server->known_groups,
                               .key = k.session,
                               .next_seq = queue.last + 1,
                               .size = (uint16_t)value.size };
    memcpy(g->name, value.data, value.size);
    r->server->known_groups = g;
    return true;
}

struct group_reader {
    struct store_reader reader;
    struct recovery *recovery;
    const struct known_group *group;
};

static bool on_group_message(struct store_reader *reader, uint64_t seq, struct bytes data,
                             struct bytes body)
{
    struct group_reader *g = container_of(reader, struct group_reader, reader);
    struct recovery *r = g->recovery;
    bool no_memory;
    struct message *m = stored_message_read(body, r->clock_ns, &no_memory);
    if (m == NULL)
        return fail(r, no_memory ? -ENOMEM : -EBADMSG);
    struct worker *home = r->server->workers[handle_worker(g->group->handle)];
    int result = shares_restore(home, g->group->handle, m, g->group->key, seq);
    message_unref(m);
    return result == 0 || fail(r, result);
}

static void on_damaged_message(struct store_reader *reader, uint64_t seq, int error,
                               const struct store_fault *fault)
{
    struct group_reader *g = container_of(reader, struct group_reader, reader);
    log_line(g->recovery->server->log, LOG_TYPE_ERROR,
             "Error: A message of a shared subscription is damaged and cannot be delivered: %s "
             "(%s, byte %" PRIu64 ").",
             fault->text, fault->path, fault->offset);
    if (error == -EBADMSG && record_finish(&g->recovery->removals, g->group->key, seq) != 0)
        (void)fail(g->recovery, -ENOMEM);
}

/* What waits for groups is in memory again, at their homes.  A group without a durable member has
 * ended. */
static void restore_groups(struct recovery *r)
{
    for (struct known_group *g = r->server->known_groups, *next; g != NULL; g = next) {
        struct group_reader reader = { { on_group_message, on_damaged_message }, r, g };
        next = g->next;
        if (r->error == 0 && g->handle != 0) {
            int result = store_read_queue(r->store, g->key, 0, &reader.reader);
            if (result != 0)
                (void)fail(r, result);
        } else if (r->error == 0) {
            struct buffer key = { 0 };
            struct durable_key k = { .kind = KEY_GROUP, .session = g->key };
            if (durable_key_write(&key, &k) != 0)
                (void)fail(r, -ENOMEM);
            else if (remove_key(r, buffer_bytes(&key)) && record_drop(&r->removals, g->key) != 0)
                (void)fail(r, -ENOMEM);
            buffer_fini(&key);
        }
    }
}

static bool is_of_group(const struct recovery *r, uint64_t queue)
{
    const struct known_group *g = r->server->known_groups;
    while (g != NULL && (g->key != queue || g->handle == 0))
        g = g->next;
    return g != NULL;
}

static void forget_groups(struct server *s)
{
    for (struct known_group *g = s->known_groups, *next; g != NULL; g = next) {
        next = g->next;
        memory_free(g);
    }
    s->known_groups = NULL;
}

/* From here on new keys are new. */
static void know_keys(struct recovery *r)
{
    uint64_t cursor = 0, queue;
    while (store_next_queue(r->store, &cursor, &queue))
        if (queue > r->key_max)
            r->key_max = queue;
    atomic_store(&r->server->next_key, r->key_max + 1);
}

/* Queues of Sessions and groups that are not there. */
static void drop_strays(struct recovery *r)
{
    uint64_t cursor = 0, queue;
    while (store_next_queue(r->store, &cursor, &queue)) {
        if (find(r, queue) == NULL && !is_of_group(r, queue) &&
            record_drop(&r->removals, queue) != 0)
            (void)fail(r, -ENOMEM);
    }
}

/* ------------------------------------------------------------------------------ the whole way --
 */

static int walk(struct recovery *r, uint8_t kind,
                bool (*on_key)(struct store_sink *, struct bytes, struct bytes))
{
    struct store_fault fault = { 0 };
    if (r->error != 0)
        return r->error;
    r->sink.on_key = on_key;
    int result = store_walk(r->store, kind, &r->sink, &fault);
    if (result != 0 && r->error == 0) {
        r->error = result;
        log_line(r->server->log, LOG_TYPE_ERROR,
                 "Error: The store cannot be read: %s (%s, byte %" PRIu64 ").", fault.text,
                 fault.path, fault.offset);
    }
    return r->error;
}

static void count_all(const struct recovery *r)
{
    for (size_t i = 0; i < r->session_count; i++)
        client_after_session(r->sessions[i].client);
}

static int remove_strays(struct recovery *r)
{
    if (r->error == 0 && r->removals.size > 0)
        r->error = store_add(r->store, r->removals.data, r->removals.size);
    if (r->error == 0)
        r->error = store_commit(r->store);
    return r->error;
}

static void log_outcome(const struct recovery *r, int64_t began_ns)
{
    struct store_stats stats = store_stats(r->store);
    int64_t took_ms = (env_monotonic_ns(r->server->env) - began_ns) / 1000000;
    log_line(r->server->log, LOG_TYPE_INFORMATION,
             "Store %s: %zu sessions, %zu subscriptions, %zu retained messages, %" PRIu64
             " queued messages, %" PRIu64 " MB; restored in %lld ms.",
             r->server->store_folder, r->session_count, r->subscriptions, r->retained,
             stats.entries, stats.bytes >> 20, (long long)took_ms);
}

int recover(struct server *s, struct store *store, int64_t began_ns)
{
    struct recovery r = { .server = s, .store = store, .now_ns = env_monotonic_ns(s->env) };
    r.clock_ns = env_wall_ns(s->env) - r.now_ns;
    if (walk(&r, KEY_SESSION, on_session) == 0 && r.session_count > 0)
        qsort(r.sessions, r.session_count, sizeof *r.sessions, by_key);
    (void)walk(&r, KEY_GROUP, on_group);
    know_keys(&r); /* subscriptions may need new ones */
    (void)walk(&r, KEY_SUBSCRIPTION, on_subscription);
    (void)walk(&r, KEY_RECEIVED, on_received);
    (void)walk(&r, KEY_RELEASED, on_released);
    (void)walk(&r, KEY_RETAINED, on_retained);
    restore_groups(&r);
    drop_strays(&r);
    forget_groups(s);
    if (remove_strays(&r) == 0) {
        count_all(&r);
        retained_note_updates(s->retained);
        log_outcome(&r, began_ns);
    } else {
        log_line(s->log, LOG_TYPE_ERROR, "Error: The store in %s could not be restored: %s.",
                 s->store_folder,
                 r.error == -EBADMSG ? "what is in it makes no sense" : strerror(-r.error));
    }
    memory_free(r.sessions);
    buffer_fini(&r.removals);
    return r.error;
}
