/* broker/worker.c: the turn of the loop.
 *
 *     1  how long may we wait: not at all if work is left
 *     2  wait for sockets and wake-ups
 *     3  now: read the clocks once (from here on, an online reader of the router)
 *     4  mail of other workers, jobs, walks: bounded
 *     5  sockets: accept, read, handle
 *     6  timers, back-pressure, the steps of a stop
 *     7  post letters, and then flush what is to be sent; hand over what is to be stored
 *     8  destroy what was closed; quiescent
 *
 * Letters go out before bytes do: whoever sees an acknowledgement and acts on it comes after the
 * message that it acknowledges.  (A connection that sends so much in one turn that it is flushed at
 * once posts first, too.) */
#include "broker/worker.h"
#include "base/grace.h"
#include "base/memory.h"
#include "base/uninitialized.h"
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/deposit.h"
#include "broker/replay.h"
#include "broker/server.h"
#include "broker/shares.h"
#include "broker/storage.h"
#include "broker/worker_stop.h"
#include <errno.h>

enum {
    EVENTS_PER_TURN = 128,
    LETTERS_PER_TURN = 64,
    ACCEPTS_PER_EVENT = 64,
    TURNS_FULL = 3, /* of a listener, until it is asked for more */
    TIMERS_PER_TURN = 1000,
    SWEEP_NODES = 1000,     /* a million Retained Messages in under two minutes */
    FLUSHES_PER_TURN = 512, /* so that one message to many does not keep others waiting */
};

#define SECOND_NS         INT64_C(1000000000)
#define STALL_NS          (SECOND_NS / 4) /* a gap beyond what was asked for: we were stopped */
#define STALL_LOG_NS      (2 * SECOND_NS) /* worth a line */
#define ACCEPT_PAUSE_NS   (SECOND_NS / 10)
#define PAUSE_STEP_NS     (SECOND_NS / 100)
#define SHED_STEP_NS      (SECOND_NS / 10)
#define STOP_STEP_NS      (SECOND_NS / 200)
#define SWEEP_INTERVAL_NS (SECOND_NS / 10)
#define TRIM_INTERVAL_NS  (SECOND_NS / 10)

struct worker *worker_create(struct server *server, unsigned index)
{
    struct worker *w = memory_alloc_zero(sizeof *w);
    if (w == NULL)
        return NULL;
    w->server = server;
    w->index = index;
    w->env = server->env;
    w->config = atomic_load(&server->config);
    w->session_options = client_session_options(w->config);
    w->log = server->log;
    w->now_ns = env_monotonic_ns(w->env);
    w->next_job_ns = w->next_sweep_ns = w->now_ns;
    mailbox_init(&w->mailbox);
    arena_init(&w->scratch);
    chunk_pool_init(&w->chunks);
    batch_init(&w->batch);
    w->ahead = router_ahead_create();
    shares_init(w);
    staging_init(w);
    list_init(&w->connections);
    list_init(&w->dirty);
    list_init(&w->closed);
    list_init(&w->paused);
    list_init(&w->replays);
    list_init(&w->full_clients);
    timer_init(&w->listeners_timer, TIMER_LISTENERS);
    timer_init(&w->chunks_timer, TIMER_CHUNKS);
    w->poller = w->env->network->poller_create(w->env->network);
    w->timers = timers_create(w->now_ns);
    w->clients = slab_create(sizeof(struct client));
    w->input = received_create(INPUT_SIZE);
    if (w->poller == NULL || w->timers == NULL || w->ahead == NULL || w->clients == NULL ||
        w->input == NULL) {
        worker_destroy(w);
        return NULL;
    }
    return w;
}

/* ----------------------------------------------------------------------------------- ending --- */

static void destroy_closed(struct worker *w)
{
    for (struct list *l; (l = w->closed.next) != &w->closed;)
        connection_destroy(container_of(l, struct connection, link)); /* unlinks itself */
}

static void drop_mail(struct worker *w, struct mail *m)
{
    if (m->kind == MAIL_STORAGE)
        store_request_destroy(container_of(m, struct store_request, mail));
    else
        letter_destroy(w, container_of(m, struct letter, mail));
}

void worker_drop_mail(struct worker *w)
{
    for (struct mail *m = mailbox_take(&w->mailbox), *next; m != NULL; m = next) {
        next = m->next;
        drop_mail(w, m);
    }
    while (w->unread != NULL) {
        struct mail *m = w->unread;
        w->unread = m->next;
        drop_mail(w, m);
    }
    for (unsigned to = 0; to < WORKERS_MAX; to++) {
        struct outbox *box = &w->outboxes[to];
        while (box->first != NULL) {
            struct letter *l = box->first;
            box->first = l->next;
            letter_destroy(w, l);
        }
        box->last = NULL;
    }
}

void worker_end_sessions(struct worker *w)
{
    uint32_t cursor = 0;
    replay_stop_all(w);
    for (struct client *c; (c = slab_next(w->clients, &cursor)) != NULL;)
        client_drop_will(c);
    for (struct connection *c; (c = connection_next(w, NULL)) != NULL;)
        connection_close(c, true, NULL);
    cursor = 0;
    for (struct client *c; (c = slab_next(w->clients, &cursor)) != NULL;)
        client_destroy(c);
    shares_destroy_all(w); /* lets go of deposits, perhaps by letter */
}

void worker_destroy(struct worker *w)
{
    if (w == NULL)
        return;
    worker_drop_mail(w);
    destroy_closed(w);
    assert(w->clients == NULL || slab_count(w->clients) == 0);
    if (w->is_accepting) /* destroyed without having been stopped */
        worker_watch_listeners(w, false);
    for (size_t i = 0; i < w->listener_count; i++)
        w->listeners[i].stream->ops->close(w->listeners[i].stream);
    memory_free(w->listeners);
    shares_destroy_all(w);
    staging_fini(w);
    slab_destroy(w->clients);
    timers_destroy(w->timers);
    if (w->poller != NULL)
        w->env->network->poller_destroy(w->poller);
    received_unref(w->input);
    post_fini(w);
    chunk_pool_fini(&w->chunks);
    batch_fini(&w->batch);
    router_ahead_destroy(w->ahead);
    arena_fini(&w->scratch);
    memory_free(w);
}

/* -------------------------------------------------------------------------------- listeners --- */

/* Looks again in a moment. */
static void accept_later(struct worker *w)
{
    timers_set(w->timers, &w->listeners_timer, w->now_ns + ACCEPT_PAUSE_NS);
}

static void log_accept_error(struct worker *w, int error)
{
    if (w->accept_error_logged_ns == 0 || w->now_ns - w->accept_error_logged_ns > 60 * SECOND_NS)
        log_line(w->log, LOG_TYPE_WARNING,
                 "Warning: Unable to accept new connections: %s. Pausing.", strerror(-error));
    w->accept_error_logged_ns = w->now_ns;
}

void worker_watch_listeners(struct worker *w, bool on)
{
    const struct network *network = w->env->network;
    int failed = 0;
    for (size_t i = 0; i < w->listener_count; i++) {
        struct listener *l = &w->listeners[i];
        if (!on)
            network->unwatch(w->poller, l->stream);
        else if (failed == 0)
            failed = network->watch(w->poller, l->stream, NET_READ, l);
    }
    w->is_accepting = on;
    if (failed != 0) {
        log_accept_error(w, failed);
        accept_later(w);
    }
}

int worker_add_listener(struct worker *w, unsigned index, struct stream *stream)
{
    struct listener *bigger =
        memory_resize(w->listeners, (w->listener_count + 1) * sizeof *w->listeners);
    if (bigger == NULL)
        return -ENOMEM;
    w->listeners = bigger;
    w->listeners[w->listener_count++] = (struct listener){
        .source.kind = SOURCE_LISTENER, .stream = stream, .index = index, .expected = 1
    };
    return 0;
}

/* No descriptors or no memory: the backlog would wake us for ever. */
static void pause_accepting(struct worker *w, int error)
{
    if (!w->is_accepting)
        return;
    worker_watch_listeners(w, false);
    accept_later(w);
    metrics_add(&w->metrics, METRIC_connections_refused, 1);
    log_accept_error(w, error);
}

/* False: nobody is there. */
static bool accept_one(struct worker *w, struct listener *l)
{
    struct stream *stream;
    int result = l->stream->ops->accept(l->stream, &stream);
    if (result == 0)
        connection_accept(w, l->index, stream);
    else if (result != -EAGAIN && result != -ECONNABORTED && result != -EINTR)
        pause_accepting(w, result);
    return result != -EAGAIN;
}

/* To ask once too often costs nearly as much as a connection: the kernel makes a socket before it
 * looks for one.  So we stop at as many as there were last time.  Are there more, the listener is
 * ready again in the next turn; if that goes on, more are expected. */
static void on_listener(struct worker *w, struct listener *l)
{
    unsigned count = 0;
    while (count < l->expected && w->is_accepting && accept_one(w, l))
        count++;
    bool is_full = count == l->expected;
    l->turns_full = is_full && l->turn == w->turns ? l->turns_full + 1 : 0;
    l->turn = w->turns + 1;
    if (!is_full) {
        l->expected = count > 0 ? count : 1;
    } else if (l->turns_full == TURNS_FULL && l->expected < ACCEPTS_PER_EVENT) {
        l->expected *= 2;
        l->turns_full = 0;
    }
}

/* ------------------------------------------------------------------------------------- mail --- */

static void deliver_to(struct worker *w, const struct subscriber *who, struct publication *p,
                       uint32_t *many_ids)
{
    if ((who->options & SUBSCRIBER_GROUP) != 0) {
        assert(many_ids == NULL);
        shares_on_deliver(w, who->handle, p);
        return;
    }
    struct client *c = worker_find_client(w, who->handle);
    if (c != NULL)
        client_deliver(c, p, who->options, who->id, many_ids, false);
    else
        memory_free(many_ids);
}

static void on_deliver(struct worker *w, struct note *n)
{
    size_t count;
    const struct subscriber *targets = note_targets(n, &count);
    struct publication p = { .message = n->deliver.message,
                             .is_counted = n->deliver.is_counted,
                             .publisher_hash = n->deliver.publisher_hash };
    for (size_t i = 0; i < count; i++)
        deliver_to(w, &targets[i], &p, n->deliver.many_ids);
    publication_fini(&p);
}

void worker_deliver_stored(struct worker *w, struct deposit *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        const struct deposit_entry *e = &d->entries[i];
        if (handle_worker(e->handle) != w->index)
            continue;
        if ((e->options & SUBSCRIBER_GROUP) != 0)
            shares_push_stored(w, d, i);
        else
            client_deliver_stored(w, d, i);
    }
}

static void on_note(struct worker *w, struct note *n)
{
    switch (n->kind) {
    case NOTE_DELIVER_STORED:
        worker_deliver_stored(w, n->deposit);
        deposit_unref(n->deposit);
        break;
    case NOTE_STORED:
        client_on_stored(w, n->handle, n->stored.key, n->stored.seq);
        break;
    case NOTE_HURRY:
        staging_hurry(w);
        break;
    case NOTE_SETTLED:
        staging_settle(w, n->settled);
        deposit_unref(n->settled);
        break;
    case NOTE_DELIVER:
        on_deliver(w, n);
        break;
    case NOTE_HANDOFF:
        connection_take(w, n->handoff);
        n->handoff = NULL;
        break;
    case NOTE_SHARE_HANDOVER:
        shares_on_handover(w, n);
        break;
    default:
        shares_on_note(w, n);
        break;
    }
}

/* Every note gives away what it owns, so nothing of it is left. */
static int on_letter(struct worker *w, struct letter *l)
{
    for (struct note *n = NULL; (n = letter_next(l, n)) != NULL;)
        on_note(w, n);
    atomic_fetch_sub_explicit(&w->unread_bytes[l->from], (int64_t)l->bytes, memory_order_relaxed);
    letter_return(w, l);
    return 1;
}

/* Mail that was taken and not read yet waits in `unread`.  How many letters were read. */
static int64_t read_mail(struct worker *w)
{
    int64_t count = 0, letters = 0;
    struct mail *fresh = mailbox_take(&w->mailbox);
    struct mail **end = &w->unread;
    while (*end != NULL)
        end = &(*end)->next;
    *end = fresh;
    for (; count < LETTERS_PER_TURN && w->unread != NULL; count++) {
        struct mail *m = w->unread;
        w->unread = m->next;
        if (m->kind == MAIL_STORAGE)
            staging_on_reply(w, container_of(m, struct store_request, mail));
        else
            letters += on_letter(w, container_of(m, struct letter, mail));
    }
    return letters;
}

/* ----------------------------------------------------------------------------------- timers --- */

static void on_timer(struct worker *w, struct timer *t)
{
    switch ((enum timer_kind)timer_kind(t)) {
    case TIMER_CONNECTION:
        connection_on_timer(container_of(t, struct connection, timer));
        break;
    case TIMER_SESSION_EXPIRY:
        client_on_session_expiry(container_of(t, struct client_expiry, timer)->client);
        break;
    case TIMER_WILL_DELAY:
        client_on_will_delay(container_of(t, struct client_will, delay_timer)->client);
        break;
    case TIMER_LISTENERS:
        if (w->phase == WORKER_RUNS)
            worker_watch_listeners(w, true);
        break;
    case TIMER_CHUNKS:
        chunk_pool_trim(&w->chunks);
        break;
    }
}

/* False: more are due. */
static bool run_timers(struct worker *w)
{
    for (int i = 0; i < TIMERS_PER_TURN; i++) {
        struct timer *t = timers_expire(w->timers, w->now_ns);
        if (t == NULL)
            return true;
        on_timer(w, t);
    }
    return false;
}

/* ------------------------------------------------------------------------------------- jobs --- */

/* Worker 0 does what is to be done once: $SYS, and forgetting expired Retained Messages. */
static int64_t run_jobs(struct worker *w)
{
    int64_t next = INT64_MAX;
    if (w->index != 0 || w->phase != WORKER_RUNS)
        return INT64_MAX;
    for (struct server_job *j = w->server->jobs; j != NULL; j = j->next) {
        if (w->now_ns >= j->next_ns)
            j->run(j, w);
        if (j->next_ns < next)
            next = j->next_ns;
    }
    if (retained_count(w->server->retained) == 0)
        return next;
    if (w->now_ns >= w->next_sweep_ns) {
        retained_sweep(w->server->retained, w->now_ns, SWEEP_NODES);
        w->next_sweep_ns = w->now_ns + SWEEP_INTERVAL_NS;
    }
    return next < w->next_sweep_ns ? next : w->next_sweep_ns;
}

/* A new configuration: Sessions that exist get its limits, and jobs look at it. */
static void take_config(struct worker *w, const struct config *config)
{
    uint32_t cursor = 0;
    if (w->config == config)
        return;
    w->config = config;
    w->session_options = client_session_options(config);
    for (struct client *c; (c = slab_next(w->clients, &cursor)) != NULL;)
        client_after_session(c);
    shares_take_config(w);
    for (struct server_job *j = w->server->jobs; w->index == 0 && j != NULL; j = j->next)
        j->next_ns = w->now_ns;
}

/* ----------------------------------------------------------------------------- back-pressure -- */

static void resume_all(struct worker *w, unsigned why)
{
    struct list waiting;
    list_init(&waiting);
    for (struct list *l; (l = list_pop_front(&w->paused)) != NULL;)
        list_push_back(&waiting, l);
    for (struct list *l; (l = list_pop_front(&waiting)) != NULL;) {
        struct connection *c = container_of(l, struct connection, link);
        list_push_back(&w->paused, &c->link);
        connection_resume(c, why);
    }
}

enum {                             /* of memory_limit */
       MEMORY_RESUME_PERCENT = 75, /* publishers are read again */
       MEMORY_PAUSE_PERCENT = 80,  /* they are not read */
       MEMORY_SHED_PERCENT = 95,   /* nobody new, and who holds most is let go */
};

enum { SHED_SIZE_MIN = 64 * 1024 };

static bool is_memory_above(const struct worker *w, unsigned percent)
{
    size_t limit = w->config->memory_limit;
    return limit > 0 && memory_used() > limit / 100 * percent;
}

bool worker_is_short_of_memory(const struct worker *w)
{
    return is_memory_above(w, MEMORY_PAUSE_PERCENT);
}

bool worker_is_out_of_memory(const struct worker *w)
{
    return is_memory_above(w, MEMORY_SHED_PERCENT);
}

/* The Client for which most bytes wait: it does not read, and everybody else pays for it. */
static void shed_slowest(struct worker *w)
{
    struct connection *slowest = NULL;
    for (struct connection *c = NULL; (c = connection_next(w, c)) != NULL;)
        if (c->tx.size >= SHED_SIZE_MIN && (slowest == NULL || c->tx.size > slowest->tx.size))
            slowest = c;
    if (slowest != NULL)
        connection_fail(slowest, REASON_QUOTA_EXCEEDED, "memory limit reached");
}

static void ease_back_pressure(struct worker *w)
{
    if (!list_is_empty(&w->full_clients) && w->now_ns >= w->next_full_ns) {
        client_tick_full(w);
        w->next_full_ns = w->now_ns + SECOND_NS;
    }
    if (worker_is_out_of_memory(w) && w->now_ns >= w->next_shed_ns) {
        w->next_shed_ns = w->now_ns + SHED_STEP_NS;
        shed_slowest(w);
    }
    if (list_is_empty(&w->paused) && !w->is_over_budget)
        return;
    if (post_is_within_half_budget(w))
        resume_all(w, PAUSED_BY_MAIL);
    if (staging_is_within_half_budget(w))
        resume_all(w, PAUSED_BY_STORE);
    if (!is_memory_above(w, MEMORY_RESUME_PERCENT))
        resume_all(w, PAUSED_BY_MEMORY);
}

/* --------------------------------------------------------------------------------- the turn --- */

/* Takes the first ones off the list. */
static int take_dirty(struct worker *w, struct connection **out, int max)
{
    int count = 0;
    for (struct list *l; count < max && (l = list_pop_front(&w->dirty)) != NULL;)
        out[count++] = container_of(l, struct connection, dirty_link);
    return count;
}

/* Those that become dirty meanwhile are at the end, and come next turn if not now. */
static void flush_dirty(struct worker *w)
{
    struct connection *these[FLUSH_MANY_MAX] UNINITIALIZED;
    for (int done = 0, count; done < FLUSHES_PER_TURN; done += count) {
        count = take_dirty(w, these, FLUSH_MANY_MAX);
        if (count == 0)
            return;
        connection_flush_many(w, these, count);
    }
}

/* Chunks that a burst has left behind go back, unless another one needs them soon. */
static void watch_chunks(struct worker *w)
{
    if (!chunk_pool_is_minimal(&w->chunks) && !timer_is_set(&w->chunks_timer))
        timers_set(w->timers, &w->chunks_timer, w->now_ns + TRIM_INTERVAL_NS);
}

/* Were we stopped, or starved?  Then the time since the last turn does not count for peers: they
 * may have spoken meanwhile. */
static void note_stall(struct worker *w, int64_t last_ns, int64_t expected_ns)
{
    int64_t gap = w->now_ns - last_ns;
    if (expected_ns == INT64_MAX || w->now_ns - expected_ns <= STALL_NS)
        return;
    w->stalled_ns += gap;
    if (gap >= STALL_LOG_NS)
        log_line(w->log, LOG_TYPE_WARNING,
                 "Warning: The broker did not run for %lld s; deadlines of clients are extended.",
                 (long long)(gap / SECOND_NS));
}

int64_t worker_wait_ns(const struct worker *w)
{
    int64_t until = timers_next_ns(w->timers);
    if (w->has_work)
        return 0;
    if (w->next_job_ns < until)
        until = w->next_job_ns;
    if (staging_due_ns(w) < until)
        until = staging_due_ns(w);
    if (!list_is_empty(&w->paused) && w->now_ns + PAUSE_STEP_NS < until)
        until = w->now_ns + PAUSE_STEP_NS; /* look whether they may go on */
    if (!list_is_empty(&w->full_clients) && w->next_full_ns < until)
        until = w->next_full_ns;
    if (w->phase != WORKER_RUNS && w->now_ns + STOP_STEP_NS < until)
        until = w->now_ns + STOP_STEP_NS; /* the others' progress decides */
    if (until == INT64_MAX)
        return INT64_MAX;
    return until > w->now_ns ? until - w->now_ns : 0;
}

static void on_events(struct worker *w, const struct net_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        struct source *source = events[i].tag;
        if (source->kind == SOURCE_LISTENER)
            on_listener(w, container_of(source, struct listener, source));
        else
            connection_on_event(container_of(source, struct connection, source), events[i].ready);
    }
}

void worker_turn(struct worker *w, int64_t max_wait_ns)
{
    struct net_event events[EVENTS_PER_TURN] UNINITIALIZED;
    struct grace *grace = w->server->grace;
    int64_t last_ns = w->now_ns, wait = worker_wait_ns(w);
    int64_t expected_ns = wait == INT64_MAX ? INT64_MAX : last_ns + wait;
    if (wait > max_wait_ns)
        wait = max_wait_ns;
    if (wait > 0 && !mailbox_sleep(&w->mailbox))
        wait = 0;
    int count = w->env->network->poller_wait(w->poller, events, EVENTS_PER_TURN, wait);
    mailbox_awake(&w->mailbox);

    grace_online(grace, w->index);
    w->now_ns = env_monotonic_ns(w->env);
    take_config(w, atomic_load_explicit(&w->server->config, memory_order_acquire));
    w->taps = atomic_load_explicit(&w->server->taps, memory_order_acquire);
    note_stall(w, last_ns, expected_ns);

    int64_t letters = read_mail(w);
    w->next_job_ns = run_jobs(w);
    replay_run(w);
    on_events(w, events, count);
    bool timers_done = run_timers(w);
    ease_back_pressure(w);
    bool stops = worker_stop_step(w);
    post_letters(w);
    flush_dirty(w);
    post_letters(w); /* a connection that broke has had its Will sent */
    staging_turn(w); /* after the letters: who is told that something is stored has heard of it */
    watch_chunks(w);
    if (letters > 0) /* a cache line of all workers */
        atomic_fetch_add(&w->server->read_letters, letters);
    destroy_closed(w);
    bool walks = replay_is_ready(w); /* acknowledgements and flushes may have made room */
    w->has_work = walks || stops || !timers_done || w->unread != NULL ||
                  !list_is_empty(&w->dirty) || !list_is_empty(&w->closed);
    atomic_fetch_add_explicit(&w->turns, 1, memory_order_relaxed);
    batch_turn(&w->batch);
    arena_reset(&w->scratch);
    grace_offline(grace, w->index);
    grace_collect(grace);
}

bool worker_is_idle(const struct worker *w)
{
    return !w->has_work && w->unread == NULL &&
           atomic_load(&((struct worker *)w)->mailbox.newest) == NULL;
}

/* -------------------------------------------------------------------------------- the rest ---- */

struct client *worker_find_client(const struct worker *w, uint64_t handle)
{
    return slab_find(w->clients, handle_slot(handle), handle_generation(handle));
}

void worker_check(const struct worker *w)
{
    uint32_t cursor = 0;
    for (const struct client *c; (c = slab_next(w->clients, &cursor)) != NULL;)
        client_check(c);
    for (const struct connection *c = NULL; (c = connection_next(w, c)) != NULL;)
        connection_check(c);
    shares_check(w);
}
