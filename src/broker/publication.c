/* broker/publication.c: from one publisher to everybody.
 *
 *     router_match ->  local session      client_deliver
 *                      session elsewhere  a note in the letter for its worker
 *                      group              its home: directly, or by a note
 *
 * A message for many sessions of one other worker is in its letter once, with a list of them. */
#include "broker/publication.h"
#include "base/uninitialized.h"
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/deposit.h"
#include "broker/durable.h"
#include "broker/full_sessions.h"
#include "broker/server.h"
#include "broker/shares.h"
#include "broker/storage.h"
#include "broker/worker.h"
#include "io/received.h"
#include <errno.h>
#include <stdlib.h>

struct message *publication_keep(struct publication *p)
{
    if (!p->is_counted) {
        const struct message *view = p->message;
        const struct arrival *a = p->arrival;
        bool refers = a != NULL && received_is_worth(a->in, view->payload.size);
        struct message *kept = refers ? message_refer(view, &a->in->block) : message_copy(view);
        if (kept == NULL)
            return NULL;
        p->message = kept;
        p->is_counted = true;
    }
    return (struct message *)p->message; /* a real block: only its count will change */
}

void publication_fini(struct publication *p)
{
    if (p->is_counted)
        message_unref((struct message *)p->message); /* as above */
    p->is_counted = false;
    deposit_unref(p->deposit);
    p->deposit = NULL;
}

/* --------------------------------------------------------------------------------- routing ---- */

/* What goes on while the router reports subscribers. */
struct route {
    struct match_sink sink;
    struct worker *worker;
    struct publication *publication;
    size_t matched;
    bool is_short_of_memory;
    uint64_t last_letters[WORKERS_MAX]; /* which have this message, by number: one may be posted,
                                           read and written anew meanwhile */

    struct stored_target *stored; /* durable Sessions, to which it goes by way of a deposit */
    size_t stored_count, stored_capacity;
    bool knows_mode;
    enum persistence_mode mode; /* of the topic */

    struct merged *merged; /* allow_duplicate_messages false: one entry per session */
    size_t merged_count, merged_capacity;
};

static bool is_own(const struct publication *p, struct subscriber who)
{
    return (who.options & SUBSCRIBER_NO_LOCAL) != 0 && (who.options & SUBSCRIBER_GROUP) == 0 &&
           who.handle == p->message->origin;
}

static void send_note(struct route *r, struct subscriber who, uint32_t *many_ids)
{
    uint64_t *in_letter = &r->last_letters[handle_worker(who.handle)];
    if (post_message(r->worker, r->publication, who, many_ids, in_letter) != 0) {
        r->is_short_of_memory = true;
        memory_free(many_ids);
    }
}

struct stored_target {
    struct subscriber who;
    uint32_t *many_ids;
};

static enum persistence_mode mode_of(const struct config *config, struct bytes topic)
{
    for (size_t i = 0; i < config->persistence_rule_count; i++)
        if (topic_filter_matches(bytes_of_string(config->persistence_rules[i].filter), topic))
            return config->persistence_rules[i].mode;
    return config->persistence_default;
}

/* Does what goes to this subscriber have to be stored? */
static bool is_to_be_stored(struct route *r, struct subscriber who)
{
    const struct worker *w = r->worker;
    const struct message *m = r->publication->message;
    bool is_qos0 =
        (who.options & SUBSCRIBER_QOS) == 0 || (m->qos == 0 && !w->config->upgrade_outgoing_qos);
    if (is_qos0 || !staging_is_on(w))
        return false;
    if (!r->knows_mode) {
        r->mode = mode_of(w->config, m->topic);
        r->knows_mode = true;
    }
    return r->mode != PERSISTENCE_NONE;
}

/* For deliver_stored; takes over many_ids. */
static void collect_stored(struct route *r, struct subscriber who, uint32_t *many_ids)
{
    if (r->stored_count == r->stored_capacity) {
        size_t capacity = r->stored_capacity == 0 ? 16 : r->stored_capacity * 2;
        struct stored_target *bigger = arena_alloc(&r->worker->scratch, capacity * sizeof *bigger);
        if (bigger == NULL) {
            r->is_short_of_memory = true;
            memory_free(many_ids);
            return;
        }
        if (r->stored_count > 0)
            memcpy(bigger, r->stored, r->stored_count * sizeof *bigger);
        r->stored = bigger;
        r->stored_capacity = capacity;
    }
    r->stored[r->stored_count++] = (struct stored_target){ who, many_ids };
}

static void deliver_now(struct route *r, struct subscriber who, uint32_t *many_ids)
{
    struct worker *w = r->worker;
    if (handle_worker(who.handle) != w->index) {
        send_note(r, who, many_ids);
    } else if ((who.options & SUBSCRIBER_GROUP) != 0) {
        assert(many_ids == NULL);
        shares_push(w, who.handle, r->publication);
    } else {
        struct client *c = worker_find_client(w, who.handle);
        if (c != NULL) /* else it ended a moment ago */
            client_deliver(c, r->publication, who.options, who.id, many_ids, false);
        else
            memory_free(many_ids);
    }
}

static void deliver(struct route *r, struct subscriber who, uint32_t *many_ids)
{
    if ((who.options & SUBSCRIBER_DURABLE) != 0 && is_to_be_stored(r, who)) {
        collect_stored(r, who, many_ids);
        return;
    }
    deliver_now(r, who, many_ids);
}

static void on_match(struct match_sink *sink, struct subscriber who)
{
    struct route *r = container_of(sink, struct route, sink);
    if (is_own(r->publication, who)) { /* [MQTT-3.8.3-3] */
        metric_bump(&r->worker->metrics.drops[DROP_NO_LOCAL], 1);
        return;
    }
    r->matched++;
    deliver(r, who, NULL);
}

/* ------------------------------------------------------------------------- by way of the disk - */

/* Its place in each queue is settled here and now.  Who is not durable after all gets it at once.
 * NULL: nobody is left, or no memory. */
static struct deposit *make_deposit(struct route *r)
{
    struct worker *w = r->worker;
    struct message *kept = publication_keep(r->publication);
    struct deposit *d =
        kept == NULL ? NULL : deposit_create(w->index, kept, (uint32_t)r->stored_count);
    if (d == NULL)
        r->is_short_of_memory = true;
    for (size_t i = 0; i < r->stored_count; i++) {
        struct stored_target *t = &r->stored[i];
        bool is_group = (t->who.options & SUBSCRIBER_GROUP) != 0;
        struct durable *durable =
            durable_find(is_group ? w->server->durable_groups : w->server->durables, t->who.handle);
        if (d == NULL) {
            memory_free(t->many_ids);
        } else if (durable == NULL) {
            deliver_now(r, t->who, t->many_ids);
        } else {
            struct deposit_entry *e = &d->entries[d->count++];
            *e = (struct deposit_entry){ .handle = t->who.handle,
                                         .key = atomic_load(&durable->key),
                                         .seq = atomic_fetch_add(&durable->next_seq, 1),
                                         .options = t->who.options,
                                         .id = t->who.id,
                                         .many_ids = t->many_ids };
        }
    }
    return d;
}

/* One note for each worker that has some of them. */
static void post_deposit(struct route *r, struct deposit *d)
{
    struct worker *w = r->worker;
    bool is_told[WORKERS_MAX] = { false };
    for (uint32_t i = 0; i < d->count; i++) {
        unsigned to = handle_worker(d->entries[i].handle);
        if (to == w->index || is_told[to])
            continue;
        struct note *n = post_note(w, to, NOTE_DELIVER_STORED, 0, message_size(d->message));
        if (n == NULL) { /* it will be found on the disk, some time */
            r->is_short_of_memory = true;
            continue;
        }
        n->deposit = deposit_ref(d);
        is_told[to] = true;
    }
}

static void deliver_stored(struct route *r)
{
    struct worker *w = r->worker;
    struct deposit *d = make_deposit(r);
    if (d == NULL)
        return;
    d->until_sent = r->mode == PERSISTENCE_QUEUED;
    d->publisher_hash = r->publication->publisher_hash;
    d->upgrades = w->config->upgrade_outgoing_qos;
    atomic_store(&d->open, d->count);
    if (d->count == 0) {
        deposit_unref(d);
        return;
    }
    r->publication->deposit = deposit_ref(d);
    staging_deposit(w, d, r->publication->message->qos == 2);
    post_deposit(r, d);
    worker_deliver_stored(w, d);
}

/* ----------------------------------------------------------------- one copy per session ------- */

struct merged {
    struct subscriber who; /* the highest QoS, Retain As Published if any has it */
    size_t order;          /* of the first match */
};

/* Collects; allocation comes from the turn's scratch memory. */
static void on_match_collect(struct match_sink *sink, struct subscriber who)
{
    struct route *r = container_of(sink, struct route, sink);
    if (is_own(r->publication, who)) {
        metric_bump(&r->worker->metrics.drops[DROP_NO_LOCAL], 1);
        return;
    }
    if (r->merged_count == r->merged_capacity) {
        size_t capacity = r->merged_capacity == 0 ? 64 : r->merged_capacity * 2;
        struct merged *bigger = arena_alloc(&r->worker->scratch, capacity * sizeof *bigger);
        if (bigger == NULL) {
            r->is_short_of_memory = true;
            return;
        }
        if (r->merged_count > 0)
            memcpy(bigger, r->merged, r->merged_count * sizeof *bigger);
        r->merged = bigger;
        r->merged_capacity = capacity;
    }
    r->merged[r->merged_count] = (struct merged){ who, r->merged_count };
    r->merged_count++;
}

static int by_handle(const void *left, const void *right)
{
    const struct merged *a = left, *b = right;
    unsigned group_a = a->who.options & SUBSCRIBER_GROUP;
    unsigned group_b = b->who.options & SUBSCRIBER_GROUP;
    if (group_a != group_b)
        return group_a < group_b ? -1 : 1;
    if (a->who.handle != b->who.handle)
        return a->who.handle < b->who.handle ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

/* A group's handle may be the same number as a session's. */
static bool is_same_target(const struct subscriber *a, const struct subscriber *b)
{
    return a->handle == b->handle && ((a->options ^ b->options) & SUBSCRIBER_GROUP) == 0;
}

/* The identifiers of `count` subscriptions of one session: NULL if there are fewer than two. */
static uint32_t *ids_of(const struct merged *first, size_t count, uint32_t *single)
{
    uint32_t *ids = NULL;
    size_t found = 0;
    *single = 0;
    for (size_t i = 0; i < count; i++) {
        if ((first[i].who.options & SUBSCRIBER_HAS_ID) == 0)
            continue;
        *single = first[i].who.id;
        found++;
    }
    if (found < 2 || (ids = memory_alloc((found + 1) * sizeof *ids)) == NULL)
        return NULL;
    ids[0] = 0;
    for (size_t i = 0; i < count; i++)
        if ((first[i].who.options & SUBSCRIBER_HAS_ID) != 0)
            ids[++ids[0]] = first[i].who.id;
    return ids;
}

/* [MQTT-3.3.4-2] [MQTT-3.3.4-4]: one copy, at the highest QoS, with all identifiers. */
static void deliver_merged(struct route *r)
{
    if (r->merged_count > 1)
        qsort(r->merged, r->merged_count, sizeof *r->merged, by_handle);
    for (size_t i = 0, next; i < r->merged_count; i = next) {
        struct subscriber who = r->merged[i].who;
        for (next = i + 1; next < r->merged_count; next++) {
            const struct subscriber *other = &r->merged[next].who;
            if (!is_same_target(other, &who))
                break;
            if ((other->options & SUBSCRIBER_QOS) > (who.options & SUBSCRIBER_QOS))
                who.options =
                    (who.options & ~(uint32_t)SUBSCRIBER_QOS) | (other->options & SUBSCRIBER_QOS);
            who.options |= other->options & (SUBSCRIBER_RETAIN_AS_PUBLISHED | SUBSCRIBER_HAS_ID);
        }
        uint32_t *ids = ids_of(&r->merged[i], next - i, &who.id);
        r->matched++;
        deliver(r, who, ids);
    }
}

/* ----------------------------------------------------------------------------- the whole way -- */

struct refusal {
    struct match_sink sink;
    struct full_sessions *full;
    bool found;
};

static void on_match_is_full(struct match_sink *sink, struct subscriber who)
{
    struct refusal *r = container_of(sink, struct refusal, sink);
    bool is_group = (who.options & SUBSCRIBER_GROUP) != 0;
    uint64_t key = is_group ? full_key_of_group(who.handle) : who.handle;
    r->found = r->found || full_sessions_has(r->full, key);
}

struct need_of_store {
    struct match_sink sink;
    bool found;
};

static void on_match_needs_store(struct match_sink *sink, struct subscriber who)
{
    struct need_of_store *n = container_of(sink, struct need_of_store, sink);
    n->found = n->found || (who.options & SUBSCRIBER_DURABLE) != 0;
}

/* The disk is full: what would have to be stored is not taken. */
static bool has_no_room(struct worker *w, const struct publication *p)
{
    if (w->server->storage == NULL || (p->message->qos == 0 && !p->message->retain) ||
        storage_has_room(w->server->storage, message_size(p->message)))
        return false;
    struct need_of_store n = { .sink.match = on_match_needs_store };
    if (p->message->retain && p->message->payload.size > 0)
        return true;
    router_match(w->server->router, p->message->topic, &n.sink);
    return n.found;
}

/* queue_policy refuse-publisher: nobody gets a message that somebody has no room for. */
static bool is_refused(struct worker *w, const struct publication *p)
{
    if (w->config->queue_policy != QUEUE_REFUSE_PUBLISHER || p->message->qos == 0 ||
        full_sessions_is_empty(w->server->full))
        return false;
    struct refusal r = { .sink.match = on_match_is_full, .full = w->server->full };
    router_match(w->server->router, p->message->topic, &r.sink);
    return r.found;
}

/* The RETAIN flag: the message replaces or clears the retained one of its topic. */
static enum published retain(struct worker *w, struct publication *p)
{
    struct message *kept = publication_keep(p);
    p->waits = staging_is_on(w) && !bytes_start_with(p->message->topic, BYTES("$SYS/"));
    if (p->waits && staging_begin(w) != 0)
        return PUBLISHED_NO_MEMORY;
    int result = kept == NULL ? -ENOMEM
                 : p->waits   ? retained_set_stored(w->server->retained, kept)
                              : retained_set(w->server->retained, kept);
    if (p->waits && result == 0)
        storage_promise(w->server->storage, (int64_t)message_size(kept));
    return result == 0         ? PUBLISHED
           : result == -ENOSPC ? PUBLISHED_NOT_RETAINED
                               : PUBLISHED_NO_MEMORY;
}

/* Only as many places for letters as there are workers. */
static void route_init(struct route *r, struct worker *w, struct publication *p)
{
    r->worker = w;
    r->publication = p;
    r->matched = 0;
    r->is_short_of_memory = false;
    for (unsigned i = 0; i < w->server->worker_count; i++)
        r->last_letters[i] = 0;
    r->stored = NULL;
    r->stored_count = r->stored_capacity = 0;
    r->knows_mode = false;
    r->merged = NULL;
    r->merged_count = r->merged_capacity = 0;
}

enum published publication_route(struct worker *w, struct publication *p)
{
    if (is_refused(w, p) || has_no_room(w, p))
        return PUBLISHED_REFUSED;
    if (p->message->retain) {
        enum published stored = retain(w, p);
        if (stored != PUBLISHED)
            return stored;
    }
    struct route r UNINITIALIZED;
    route_init(&r, w, p);
    bool merges = !w->config->allow_duplicate_messages;
    r.sink.match = merges ? on_match_collect : on_match;
    router_match_ahead(w->server->router, w->ahead, p->message->topic, &r.sink);
    if (merges)
        deliver_merged(&r);
    if (r.stored_count > 0)
        deliver_stored(&r);
    if (r.is_short_of_memory)
        return PUBLISHED_NO_MEMORY;
    return r.matched == 0 ? PUBLISHED_TO_NOBODY : PUBLISHED;
}

enum published worker_publish(struct worker *w, struct message *message, uint64_t publisher_hash)
{
    struct publication p = { .message = message,
                             .is_counted = true,
                             .publisher_hash = publisher_hash };
    enum published how = publication_route(w, &p); /* drops are counted */
    publication_fini(&p);
    return how;
}
