/* broker/server.c: what the workers share, and how they are started and stopped. */
#include "broker/server.h"
#include "base/memory.h"
#include "broker/directory.h"
#include "broker/durable.h"
#include "broker/full_sessions.h"
#include "broker/recovery.h"
#include "broker/storage.h"
#include "broker/worker.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { SOCKETS_PER_LISTENER_MAX = 16 };

struct server *server_create(const struct env *env, const struct config *config, struct log *log,
                             unsigned workers)
{
    assert(workers > 0 && workers <= WORKERS_MAX);
    struct server *s = memory_alloc_zero(sizeof *s);
    if (s == NULL)
        return NULL;
    s->env = env;
    pthread_mutex_init(&s->groups_lock, NULL);
    atomic_init(&s->config, config);
    s->log = log;
    s->started_ns = env_monotonic_ns(env);
    env_random(env, &s->seed, sizeof s->seed);
    struct retained_limits limits = { config->max_retained_messages, config->max_retained_bytes };
    s->grace = grace_create(workers);
    s->router = s->grace == NULL ? NULL : router_create(s->grace, s->seed);
    s->retained = retained_create(s->seed, limits);
    s->directory = directory_create(s->seed);
    s->full = full_sessions_create();
    s->workers = memory_alloc_zero(workers * sizeof(struct worker *));
    bool is_complete = s->router != NULL && s->retained != NULL && s->directory != NULL &&
                       s->full != NULL && s->workers != NULL;
    for (unsigned i = 0; is_complete && i < workers; i++) {
        is_complete = (s->workers[i] = worker_create(s, i)) != NULL;
        s->worker_count += is_complete;
    }
    if (is_complete)
        return s;
    server_destroy(s);
    return NULL;
}

void server_destroy(struct server *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_end_sessions(s->workers[i]);
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_drop_mail(s->workers[i]);
    storage_close(s->storage);
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_destroy(s->workers[i]);
    memory_free(s->workers);
    durable_table_destroy(s->durables);
    durable_table_destroy(s->durable_groups);
    pthread_mutex_destroy(&s->groups_lock);
    memory_free(s->store_folder);
    full_sessions_destroy(s->full);
    directory_destroy(s->directory);
    retained_destroy(s->retained);
    router_destroy(s->router);
    if (s->grace != NULL)
        grace_destroy(s->grace);
    memory_free(s);
}

int server_open_store(struct server *s)
{
    const struct config *config = atomic_load(&s->config);
    if (!config->persistence)
        return 0;
    s->durables = durable_table_create(s->worker_count);
    s->durable_groups = durable_table_create(s->worker_count);
    if (s->durables == NULL || s->durable_groups == NULL)
        return -ENOMEM;
    struct storage *st;
    int64_t began_ns = env_monotonic_ns(s->env);
    int result = storage_open(s, &st);
    if (result != 0)
        return result;
    result = recover(s, storage_store(st), began_ns);
    if (result == 0)
        s->storage = st; /* from here on changes are stored */
    else
        storage_close(st);
    return result;
}

/* ------------------------------------------------------------------------------- listening ---- */

static void log_opened(struct server *s, const struct stream *stream, int port)
{
    log_line(s->log, LOG_TYPE_INFORMATION, "Opening %s listen socket on port %d.",
             stream_peer(stream).text, port);
}

static void log_failed(struct server *s, const struct listener_config *l, int error,
                       const char *step)
{
    log_line(s->log, LOG_TYPE_ERROR, "Error: Unable to open listener %d%s%s: %s: %s.", l->port,
             l->host == NULL ? "" : " ", l->host == NULL ? "" : l->host, step, strerror(-error));
}

/* One listener for one worker.  The number of sockets, or a negative errno. */
static int open_for_worker(struct server *s, struct worker *w, unsigned index,
                           const char **error_text)
{
    const struct config *config = atomic_load(&s->config);
    const struct listener_config *l = &config->listeners[index];
    struct listen_options o = { .host = l->host,
                                .interface = l->bind_interface,
                                .port = l->port,
                                .family = l->family,
                                .nodelay = config->set_tcp_nodelay,
                                .deferred = true,
                                .shared = s->worker_count > 1,
                                .probe = w->index == 0 };
    struct stream *streams[SOCKETS_PER_LISTENER_MAX];
    int count =
        s->env->network->listen(s->env->network, &o, streams, SOCKETS_PER_LISTENER_MAX, error_text);
    for (int i = 0; i < count; i++) {
        if (w->index == 0)
            log_opened(s, streams[i], l->port);
        if (worker_add_listener(w, index, streams[i]) != 0) {
            *error_text = "memory";
            for (; i < count; i++)
                streams[i]->ops->close(streams[i]);
            return -ENOMEM;
        }
    }
    return count;
}

int server_listen(struct server *s)
{
    const struct config *config = atomic_load(&s->config);
    for (unsigned i = 0; i < s->worker_count; i++) {
        for (unsigned l = 0; l < config->listener_count; l++) {
            const char *step = "";
            int result = open_for_worker(s, s->workers[i], l, &step);
            if (result < 0) {
                log_failed(s, &config->listeners[l], result, step);
                return result; /* server_destroy closes those that are open */
            }
        }
    }
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_watch_listeners(s->workers[i], true);
    return 0;
}

/* --------------------------------------------------------------------------------- threads ---- */

static void *run_worker(void *argument)
{
    struct worker *w = argument;
    while (w->phase != WORKER_STOPPED)
        worker_turn(w, INT64_MAX);
    return NULL;
}

int server_start(struct server *s)
{
    sigset_t all, before;
    int result = 0;
    s->threads = memory_alloc(s->worker_count * sizeof *s->threads);
    if (s->threads == NULL)
        return -ENOMEM;
    sigfillset(&all); /* signals are the control thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (s->storage != NULL)
        result = storage_start(s->storage);
    while (result == 0 && s->thread_count < s->worker_count) {
        struct worker *w = s->workers[s->thread_count];
        result = -pthread_create(&s->threads[s->thread_count], NULL, run_worker, w);
        s->thread_count += result == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

void server_join(struct server *s)
{
    for (unsigned i = 0; i < s->thread_count; i++)
        pthread_join(s->threads[i], NULL);
    memory_free(s->threads);
    s->threads = NULL;
    s->thread_count = 0;
    storage_stop(s->storage); /* nobody posts any more */
}

static void wake_all(struct server *s)
{
    for (unsigned i = 0; i < s->worker_count; i++)
        s->env->network->poller_wake(s->workers[i]->poller);
}

void server_stop(struct server *s)
{
    if (atomic_exchange(&s->is_stopping, true))
        atomic_store(&s->must_stop_now, true);
    wake_all(s);
}

struct known_group *server_known_group(struct server *s, struct bytes name)
{
    struct known_group *g = s->known_groups;
    while (g != NULL && !bytes_equal(bytes_of(g->name, g->size), name))
        g = g->next;
    return g;
}

void server_fail(struct server *s)
{
    if (!atomic_exchange(&s->has_failed, true) && !atomic_load(&s->is_stopping))
        server_stop(s);
}

bool server_is_stopped(const struct server *s)
{
    return atomic_load(&((struct server *)s)->stopped_workers) == s->worker_count;
}

bool server_is_alive(struct server *s)
{
    bool alive = true;
    for (unsigned i = 0; i < s->worker_count; i++) {
        struct worker *w = s->workers[i];
        uint64_t turns = atomic_load_explicit(&w->turns, memory_order_relaxed);
        alive = alive && turns != w->turns_seen;
        w->turns_seen = turns;
    }
    wake_all(s);
    return alive;
}

void server_add_job(struct server *s, struct server_job *job)
{
    job->next = s->jobs;
    s->jobs = job;
}

void server_set_config(struct server *s, const struct config *config)
{
    atomic_store_explicit(&s->config, config, memory_order_release);
    wake_all(s);
}

void server_set_taps(struct server *s, struct tap *taps)
{
    atomic_store_explicit(&s->taps, taps, memory_order_release);
}

/* --------------------------------------------------------------------------------- metrics ---- */

int64_t server_metric(const struct server *s, enum metric which)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < s->worker_count; i++)
        sum += atomic_load_explicit(&s->workers[i]->metrics.values[which], memory_order_relaxed);
    return sum;
}

int64_t server_drops(const struct server *s, enum drop cause)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < s->worker_count; i++)
        sum += atomic_load_explicit(&s->workers[i]->metrics.drops[cause], memory_order_relaxed);
    return sum;
}

int64_t server_packets(const struct server *s, int packet_type, bool sent)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < s->worker_count; i++) {
        struct metrics *m = &s->workers[i]->metrics;
        sum += atomic_load_explicit(sent ? &m->sent[packet_type] : &m->received[packet_type],
                                    memory_order_relaxed);
    }
    return sum;
}

/* ------------------------------------------------------------------------------- placement ---- */

unsigned server_place(const struct server *s, unsigned here)
{
    unsigned best = here;
    int64_t least =
        atomic_load_explicit(&s->workers[here]->connection_count, memory_order_relaxed) -
        1; /* the one being placed */
    for (unsigned i = 0; i < s->worker_count; i++) {
        int64_t count =
            atomic_load_explicit(&s->workers[i]->connection_count, memory_order_relaxed);
        if (count < least) {
            least = count;
            best = i;
        }
    }
    return best;
}
