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
#include "broker/full_sessions.h"
#include "broker/server.h"
#include "broker/shares.h"
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

static void deliver(struct route *r, struct subscriber who, uint32_t *many_ids)
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
    int result = kept == NULL ? -ENOMEM : retained_set(w->server->retained, kept);
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
    r->merged = NULL;
    r->merged_count = r->merged_capacity = 0;
}

enum published publication_route(struct worker *w, struct publication *p)
{
    if (is_refused(w, p))
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
    if (r.is_short_of_memory)
        return PUBLISHED_NO_MEMORY;
    return r.matched == 0 ? PUBLISHED_TO_NOBODY : PUBLISHED;
}

void worker_publish(struct worker *w, struct message *message, uint64_t publisher_hash)
{
    struct publication p = { .message = message,
                             .is_counted = true,
                             .publisher_hash = publisher_hash };
    (void)publication_route(w, &p); /* nobody waits for an answer; drops are counted */
    publication_fini(&p);
}
