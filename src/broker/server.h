/* broker/server.h: the process: what its workers share.
 *
 * A server is created from a configuration and the four doors, started, and then turns: on threads
 * of its own (server_run), or turn by turn by whoever holds it (the simulator).  Several servers in
 * one process do not notice each other. */
#pragma once

#include "base/env.h"
#include "base/grace.h"
#include "base/log.h"
#include "broker/metrics.h"
#include "broker/tap.h"
#include "config/config.h"
#include "router/retained.h"
#include "router/router.h"
#include <pthread.h>
#include <stdatomic.h>

struct directory;
struct durable_table;
struct full_sessions;
struct server;
struct storage;
struct worker;

/* Something that worker 0 does now and then ($SYS). */
struct server_job {
    struct server_job *next;
    void (*run)(struct server_job *, struct worker *);
    int64_t next_ns; /* when it wants to run again: set by run; INT64_MAX: after a reload */
};

struct server {
    const struct env *env;
    _Atomic(const struct config *) config; /* replaced as a whole; readers take it once per turn */
    _Atomic(struct tap *) taps;            /* a list; read once per turn */
    struct log *log;
    uint64_t seed;
    struct grace *grace; /* reader i is worker i */
    struct router *router;
    struct retained *retained;
    struct directory *directory;
    struct full_sessions *full;
    struct worker **workers;
    unsigned worker_count;
    pthread_t *threads;
    unsigned thread_count;
    struct server_job *jobs;
    int64_t started_ns;
    struct storage *storage;        /* NULL: nothing is stored */
    struct durable_table *durables; /* likewise */
    struct durable_table *durable_groups;
    pthread_mutex_t groups_lock;      /* for adding one */
    struct known_group *known_groups; /* while the store is read back; then NULL */
    _Atomic uint64_t next_key;        /* for the next durable Session */
    char *store_folder;
    uint64_t store_segment_size; /* 0: the usual one; set before server_open_store */
    atomic_bool has_failed;      /* the store: the broker ends */

    _Atomic int64_t connection_count; /* all listeners */
    _Atomic int64_t session_count;
    _Atomic int64_t listener_connection_counts[CONFIG_LISTENERS_MAX];
    atomic_bool is_stopping;
    atomic_bool must_stop_now;
    atomic_bool is_drained;
    atomic_uint draining_workers, stopped_workers; /* those that have come so far */
    _Atomic int64_t posted_letters, read_letters;  /* equal: nothing is on its way */
};

/* env, config and log must outlive the server (config: until server_destroy, unless replaced).
 * workers: how many, at least 1.  NULL: no memory. */
struct server *server_create(const struct env *env, const struct config *config, struct log *log,
                             unsigned workers);
void server_destroy(struct server *s); /* NULL is fine; the workers must not run */

/* A group that the store knows, while its members come back. */
struct known_group {
    struct known_group *next;
    uint64_t key, next_seq;
    uint64_t handle; /* 0: no durable member so far */
    uint16_t size;
    uint8_t name[];
};
struct known_group *server_known_group(struct server *s, struct bytes name); /* NULL: none */

/* With persistence true: opens the store, and brings everything in it back.  After server_create,
 * before anything else.  0, or a negative errno; the log says why. */
int server_open_store(struct server *s);

/* Opens the listeners.  0, or a negative errno; then nothing is open, and the log says which
 * listener failed and why. */
int server_listen(struct server *s);

/* Runs each worker on a thread.  0, or a negative errno; then stop and join what runs. */
int server_start(struct server *s);
void server_join(struct server *s); /* returns when a stop has done its work */

/* Begins a graceful stop (section 11 of docs/architecture.md); a second call ends it at once.  Any
 * thread. */
void server_stop(struct server *s);
/* The same because the store has failed: has_failed.  Any thread. */
void server_fail(struct server *s);
bool server_is_stopped(const struct server *s); /* every worker is done */

/* Has every worker taken a turn since the last call?  Wakes them, so that idle ones answer the next
 * one.  Only by the thread that watches over them. */
bool server_is_alive(struct server *s);

void server_add_job(struct server *s, struct server_job *job); /* before it runs */

/* A new configuration for whatever can change while running; the old one is the caller's to destroy
 * after server_destroy.  Any thread. */
void server_set_config(struct server *s, const struct config *config);

/* Hangs in a list of taps, or none (NULL).  One that was hung in must live until the workers have
 * ended.  Any thread. */
void server_set_taps(struct server *s, struct tap *taps);

/* The worker for a new Session: the one with the fewest connections, `here` if it is among them. */
unsigned server_place(const struct server *s, unsigned here);

/* Sums over the workers.  Any thread. */
int64_t server_metric(const struct server *s, enum metric which);
int64_t server_drops(const struct server *s, enum drop cause);
int64_t server_packets(const struct server *s, int packet_type, bool sent);
