/* broker/staging.c: see staging.h. */
#include "broker/staging.h"
#include "base/memory.h"
#include "broker/answers.h"
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/deposit.h"
#include "broker/directory.h"
#include "broker/server.h"
#include "broker/storage.h"
#include "broker/worker.h"
#include <errno.h>

enum {
    BUDGET_BYTES = 8 * 1024 * 1024,
    FULL_BYTES = 4 * 1024 * 1024, /* so much is not kept waiting for acknowledgements */
};

#define MILLISECOND_NS INT64_C(1000000)
#define WINDOW_NS      (5 * MILLISECOND_NS)   /* in which subscribers acknowledge, mostly */
#define LAZY_NS        (100 * MILLISECOND_NS) /* after a crash so much comes a second time */

void staging_init(struct worker *w)
{
    struct staging *s = &w->staging;
    list_init(&s->deposits);
    s->since_ns = s->lazy_since_ns = INT64_MAX;
}

static void forget_deposits(struct list *deposits)
{
    for (struct list *l; (l = list_pop_front(deposits)) != NULL;) {
        struct deposit *d = container_of(l, struct deposit, link);
        if (d->answer != NULL)
            answer_forget(d->answer);
        deposit_unref(d);
    }
}

static void release_claims(struct store_request *r)
{
    struct directory_entry *const *claims = (const void *)r->claims.data;
    for (size_t i = 0; i < r->claims.size / sizeof *claims; i++)
        directory_release(r->worker->server->directory, claims[i]);
    r->claims.size = 0;
}

void staging_forget(struct store_request *r)
{
    release_claims(r);
    forget_deposits(&r->deposits);
    for (struct answer *a = r->waiting, *next; a != NULL; a = next) {
        next = a->next_waiting;
        answer_forget(a);
    }
    r->waiting = NULL;
}

void staging_fini(struct worker *w)
{
    struct staging *s = &w->staging;
    forget_deposits(&s->deposits);
    store_request_destroy(s->next);
    s->next = NULL;
    buffer_fini(&s->key);
}

bool staging_is_on(const struct worker *w)
{
    return w->server->storage != NULL && !w->staging.is_closed;
}

/* --------------------------------------------------------------------------------- staging ---- */

/* NULL: no memory. */
static struct store_request *next_request(struct worker *w)
{
    struct staging *s = &w->staging;
    if (s->next == NULL)
        s->next = store_request_create(w);
    return s->next;
}

/* Something that may wait. */
static void note_lazy(struct worker *w)
{
    if (w->staging.lazy_since_ns == INT64_MAX)
        w->staging.lazy_since_ns = w->now_ns;
}

/* For a change that nobody waits for yet.  NULL: no memory, or nothing is stored. */
static struct store_request *lazy_request(struct worker *w)
{
    struct store_request *r = staging_is_on(w) ? next_request(w) : NULL;
    if (r != NULL)
        note_lazy(w);
    return r;
}

enum change { CHANGE_PUT, CHANGE_REMOVE };

static int change_key(struct worker *w, enum change what, const struct durable_key *key,
                      struct bytes value)
{
    struct buffer *k = &w->staging.key;
    if (!staging_is_on(w))
        return 0;
    struct store_request *r = lazy_request(w);
    k->size = 0;
    if (r == NULL || durable_key_write(k, key) != 0)
        return -ENOMEM;
    return what == CHANGE_PUT ? record_put(&r->records, buffer_bytes(k), value)
                              : record_remove(&r->records, buffer_bytes(k));
}

int staging_put(struct worker *w, const struct durable_key *key, struct bytes value)
{
    return change_key(w, CHANGE_PUT, key, value);
}

int staging_remove(struct worker *w, const struct durable_key *key)
{
    return change_key(w, CHANGE_REMOVE, key, (struct bytes){ 0 });
}

void staging_finish(struct worker *w, uint64_t key, uint64_t seq)
{
    struct store_request *r = lazy_request(w);
    if (r != NULL)
        (void)record_finish(&r->records, key, seq);
}

void staging_drop_queue(struct worker *w, uint64_t key)
{
    struct store_request *r = lazy_request(w);
    if (r != NULL)
        (void)record_drop(&r->records, key);
}

void staging_drop_first(struct worker *w, uint64_t key, uint64_t from)
{
    struct drop_first what = { key, from };
    struct store_request *r = lazy_request(w);
    if (r != NULL)
        (void)buffer_append(&r->drop_firsts, bytes_of(&what, sizeof what));
}

static int add_load(struct worker *w, uint64_t handle, uint64_t key, uint64_t from, bool expires)
{
    struct store_request *r = staging_is_on(w) ? next_request(w) : NULL;
    struct store_load *l = r == NULL ? NULL : memory_alloc_zero(sizeof *l);
    if (l == NULL)
        return -ENOMEM;
    l->handle = handle;
    l->key = key;
    l->from = from;
    l->expires = expires;
    *r->loads_end = l;
    r->loads_end = &l->next;
    staging_hurry(w);
    return 0;
}

int staging_load(struct worker *w, uint64_t handle, uint64_t key, uint64_t from)
{
    return add_load(w, handle, key, from, false);
}

int staging_expire(struct worker *w, uint64_t handle, uint64_t key, uint64_t from)
{
    return add_load(w, handle, key, from, true);
}

void staging_deposit(struct worker *w, struct deposit *d, bool is_urgent)
{
    struct staging *s = &w->staging;
    list_push_back(&s->deposits, &d->link);
    s->bytes += message_size(d->message);
    storage_promise(w->server->storage, (int64_t)message_size(d->message));
    if (s->since_ns == INT64_MAX)
        s->since_ns = w->now_ns;
    if (is_urgent)
        staging_hurry(w);
}

void staging_keep_claim(struct worker *w, struct directory_entry *claim)
{
    struct store_request *r = staging_is_on(w) ? next_request(w) : NULL;
    if (r != NULL && buffer_append(&r->claims, bytes_of(&claim, sizeof claim)) == 0)
        staging_hurry(w);
    else
        directory_release(w->server->directory, claim);
}

bool staging_has_ended(const struct worker *w)
{
    const struct staging *s = &w->staging;
    return (s->next != NULL && s->next->claims.size > 0) ||
           (s->under_way != NULL && s->under_way->claims.size > 0);
}

int staging_begin(struct worker *w)
{
    if (next_request(w) == NULL)
        return -ENOMEM;
    staging_hurry(w);
    return 0;
}

void staging_hurry(struct worker *w)
{
    w->staging.is_urgent = true;
}

static void settle(struct deposit *d)
{
    struct answer *a = d->answer;
    d->is_settled = true;
    d->answer = NULL;
    if (a != NULL)
        answer_safe(a);
    deposit_unref(d);
}

/* Is it staged still?  (One that is under way settles when it is back.) */
void staging_settle(struct worker *w, struct deposit *d)
{
    struct staging *s = &w->staging;
    if (d->is_settled || d->is_under_way)
        return;
    list_remove(&d->link);
    s->bytes -= message_size(d->message);
    storage_promise(w->server->storage, -(int64_t)message_size(d->message));
    if (list_is_empty(&s->deposits))
        s->since_ns = INT64_MAX;
    settle(d);
}

static bool is_empty(const struct staging *s)
{
    return s->next == NULL && list_is_empty(&s->deposits);
}

bool staging_is_safe(const struct worker *w)
{
    return is_empty(&w->staging) && w->staging.under_way == NULL && !w->staging.has_failed;
}

static void wait_for(struct store_request *r, struct answer *a)
{
    a->next_waiting = r->waiting;
    r->waiting = a;
}

void staging_answer(struct worker *w, struct answer *a)
{
    struct staging *s = &w->staging;
    if (s->has_failed) {
        answer_forget(a);
    } else if (!staging_is_on(w) || staging_is_safe(w)) {
        answer_safe(a);
    } else if (is_empty(s)) {
        wait_for(s->under_way, a);
    } else if (next_request(w) != NULL) {
        wait_for(s->next, a);
        staging_hurry(w);
    } else {
        struct connection *c = a->connection;
        answer_forget(a);
        connection_fail(c, REASON_QUOTA_EXCEEDED, "out of memory");
    }
}

/* ------------------------------------------------------------------------------ handing over -- */

/* The ids of an entry, and how many. */
static size_t ids_of(const struct deposit_entry *e, const uint32_t **ids)
{
    if (e->many_ids != NULL) {
        *ids = e->many_ids + 1;
        return e->many_ids[0];
    }
    *ids = &e->id;
    return e->id != 0;
}

/* What the records of all staged deposits need, at most. */
struct need {
    size_t record_bytes, data_bytes;
    uint32_t entries; /* of the one that has most */
};

static struct need need_of(const struct staging *s)
{
    struct need need = { 0 };
    for (const struct list *l = s->deposits.next; l != &s->deposits; l = l->next) {
        const struct deposit *d = container_of(l, struct deposit, link);
        need.record_bytes += RECORD_HEADER_SIZE + d->count * RECORD_ENTRY_SIZE +
                             STORED_MESSAGE_HEAD + message_size(d->message) + 8;
        if (d->count > need.entries)
            need.entries = d->count;
        for (uint32_t i = 0; i < d->count; i++) {
            const uint32_t *ids;
            need.data_bytes += STORED_DELIVERY_HEAD + 4 * ids_of(&d->entries[i], &ids);
        }
    }
    need.record_bytes += need.data_bytes;
    return need;
}

/* The record of one deposit, without entries that are done.  There is memory for it. */
static void write_deposit(struct buffer *out, struct deposit *d, int64_t clock_ns,
                          struct record_entry *entries, uint8_t *data)
{
    uint8_t head[STORED_MESSAGE_HEAD];
    struct bytes parts[STORED_MESSAGE_PARTS];
    size_t count = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        struct deposit_entry *e = &d->entries[i];
        const uint32_t *ids;
        size_t id_count = ids_of(e, &ids);
        struct stored_delivery how = { .qos = deposit_entry_qos(d, e),
                                       .retain = deposit_entry_retain(d, e),
                                       .until_sent = d->until_sent };
        if (!deposit_journal(e))
            continue;
        size_t size = stored_delivery_write(&how, ids, id_count, data);
        entries[count++] = (struct record_entry){ e->key, e->seq, bytes_of(data, size) };
        data += size;
    }
    if (count == 0)
        return;
    stored_message_parts(d->message, clock_ns, head, parts);
    int result = record_append(out, entries, count, parts, STORED_MESSAGE_PARTS);
    assert(result == 0);
}

/* False: no memory, and nothing has changed. */
static bool write_deposits(struct worker *w, struct store_request *r)
{
    struct staging *s = &w->staging;
    struct need need = need_of(s);
    if (list_is_empty(&s->deposits))
        return true;
    int64_t clock_ns = worker_clock_ns(w);
    struct record_entry *entries = arena_alloc(&w->scratch, need.entries * sizeof *entries);
    uint8_t *data = arena_alloc(&w->scratch, need.data_bytes);
    if (entries == NULL || data == NULL || buffer_reserve(&r->records, need.record_bytes) == NULL)
        return false;
    for (struct list *l; (l = list_pop_front(&s->deposits)) != NULL;) {
        struct deposit *d = container_of(l, struct deposit, link);
        write_deposit(&r->records, d, clock_ns, entries, data);
        d->is_under_way = true;
        list_push_back(&r->deposits, l);
        r->bytes += message_size(d->message);
    }
    return true;
}

/* For want of memory the next turn tries again. */
static void hand_over(struct worker *w)
{
    struct staging *s = &w->staging;
    struct store_request *r = next_request(w);
    if (r == NULL || !write_deposits(w, r))
        return;
    s->next = NULL;
    s->is_urgent = false;
    s->since_ns = s->lazy_since_ns = INT64_MAX;
    s->under_way = r;
    storage_post(w->server->storage, r);
}

int64_t staging_due_ns(const struct worker *w)
{
    const struct staging *s = &w->staging;
    if (s->under_way != NULL || is_empty(s) || w->server->storage == NULL)
        return INT64_MAX;
    if (s->is_urgent || s->bytes >= FULL_BYTES)
        return w->now_ns;
    int64_t window = s->since_ns == INT64_MAX ? INT64_MAX : s->since_ns + WINDOW_NS;
    int64_t lazy = s->lazy_since_ns == INT64_MAX ? INT64_MAX : s->lazy_since_ns + LAZY_NS;
    return window < lazy ? window : lazy;
}

void staging_turn(struct worker *w)
{
    if (staging_due_ns(w) <= w->now_ns)
        hand_over(w);
}

void staging_close(struct worker *w)
{
    struct staging *s = &w->staging;
    if (w->server->storage == NULL || s->is_closed)
        return;
    if (!is_empty(s))
        hand_over(w);
    s->is_closed = true;
}

/* ----------------------------------------------------------------------------- coming back ---- */

/* The Session's worker hears that an entry is on the disk. */
static void tell_stored(struct worker *w, const struct deposit_entry *e)
{
    unsigned to = handle_worker(e->handle);
    if ((e->options & SUBSCRIBER_GROUP) != 0) /* its claim will find out */
        return;
    if (to == w->index) {
        client_on_stored(w, e->handle, e->key, e->seq);
        return;
    }
    struct note *n = post_note(w, to, NOTE_STORED, e->handle, 0);
    if (n == NULL)
        return;
    n->stored.key = e->key;
    n->stored.seq = e->seq;
}

static void on_stored(struct worker *w, struct deposit *d)
{
    storage_promise(w->server->storage, -(int64_t)message_size(d->message));
    for (uint32_t i = 0; i < d->count; i++) {
        struct deposit_entry *e = &d->entries[i];
        if (deposit_store(e))
            tell_stored(w, e);
        else if (atomic_load(&e->state) == DEPOSIT_FINISHED)
            staging_finish(w, e->key, e->seq);
    }
    settle(d);
}

static void on_loads(struct worker *w, struct store_request *r)
{
    for (struct store_load *l = r->loads; l != NULL; l = l->next)
        client_on_loaded(w, l);
}

void staging_on_reply(struct worker *w, struct store_request *r)
{
    struct staging *s = &w->staging;
    assert(s->under_way == r || s->is_closed);
    s->under_way = NULL;
    s->bytes -= r->bytes;
    s->has_failed = s->has_failed || r->error != 0;
    if (r->error == 0) {
        for (struct list *l; (l = list_pop_front(&r->deposits)) != NULL;)
            on_stored(w, container_of(l, struct deposit, link));
        struct answer *waiting = NULL;
        for (struct answer *a = r->waiting, *next; a != NULL; a = next) { /* oldest first */
            next = a->next_waiting;
            a->next_waiting = waiting;
            waiting = a;
        }
        r->waiting = NULL;
        for (struct answer *a = waiting, *next; a != NULL; a = next) {
            next = a->next_waiting;
            answer_safe(a);
        }
        on_loads(w, r);
    }
    store_request_destroy(r);
}

bool staging_is_over_budget(const struct worker *w)
{
    return w->staging.bytes > BUDGET_BYTES;
}

bool staging_is_within_half_budget(const struct worker *w)
{
    return w->staging.bytes <= BUDGET_BYTES / 2;
}
