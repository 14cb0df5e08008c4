/* broker/worker.h: one event-loop thread and everything it owns.
 *
 *     turn:  wait -> now -> mail -> readable connections -> jobs -> post -> flush -> timers
 *
 * A connection and its session belong to one worker for life; only its thread touches them.  Other
 * workers send notes.  The same turn runs on a thread, and step by step in the simulator.
 * This header is for broker/ and for admin/; everything in it is for the worker's own thread unless
 * a line says otherwise. */
#pragma once

#include "base/arena.h"
#include "base/env.h"
#include "base/log.h"
#include "base/mailbox.h"
#include "base/map.h"
#include "base/slab.h"
#include "base/timers.h"
#include "broker/metrics.h"
#include "broker/post.h"
#include "broker/staging.h"
#include "broker/tap.h"
#include "config/config.h"
#include "io/batch.h"
#include "io/received.h"
#include "io/sendq.h"
#include "session/session.h"
#include <stdatomic.h>

struct client;
struct deposit;
struct handoff;
struct server;

enum { WORKERS_MAX = 64, INPUT_SIZE = 256 * 1024 };

enum timer_kind { /* which object a timer is part of */
                  TIMER_CONNECTION,
                  TIMER_SESSION_EXPIRY,
                  TIMER_WILL_DELAY,
                  TIMER_LISTENERS, /* accepting goes on after a pause */
                  TIMER_CHUNKS,    /* a burst is over */
};

enum mail_kind { MAIL_LETTER, MAIL_STORAGE };

/* What an event of the poller is about: first member of each thing that is watched. */
enum source_kind { SOURCE_LISTENER, SOURCE_CONNECTION };
struct source {
    uint8_t kind;
};

struct listener {
    struct source source;
    struct stream *stream;
    unsigned index;      /* in config->listeners */
    unsigned expected;   /* how many connections are taken at once: it follows those that come */
    unsigned turns_full; /* in succession after the first, there were that many */
    uint64_t turn;       /* the last one in which there were any */
};

/* The graceful stop, step by step: broker/worker_stop.c. */
enum worker_phase {
    WORKER_RUNS,
    WORKER_DRAINS,       /* nothing is accepted or read; what workers posted is delivered */
    WORKER_SAYS_GOODBYE, /* DISCONNECT, and the sockets take what waits */
    WORKER_STOPPED,
};

struct worker {
    struct server *server;
    unsigned index;
    const struct env *env;
    const struct config *config;            /* the current one; taken anew each turn */
    struct session_options session_options; /* from the configuration, for all Sessions */
    struct log *log;

    struct poller *poller;
    struct mailbox mailbox;
    struct outbox outboxes[WORKERS_MAX];
    struct letter *spare_letter; /* for what must not be lost, when there is no memory */
    uint64_t letters_begun;
    bool has_letters;           /* in some outbox */
    struct letter *letter_pool; /* to be written */
    unsigned letter_pool_count;
    _Atomic(struct letter *) returned_letters; /* ours, read by others; any thread adds */
    _Atomic int64_t unread_bytes[WORKERS_MAX]; /* posted to us by each worker; any thread */
    bool is_over_budget;                       /* what we posted was; perhaps it is not any more */

    struct timers *timers;
    struct timer listeners_timer;
    struct arena scratch; /* one turn */
    struct chunk_pool chunks;
    struct timer chunks_timer;  /* runs while there are more than the pool keeps */
    struct batch batch;         /* packets for many connections */
    struct router_ahead *ahead; /* of the packets that are being handled: look_ahead.h */
    struct received *input;     /* connections are read into it, unless they have their own */
    struct received *reading;   /* where the packet that is being handled is; NULL: none is */

    struct staging staging;        /* what is to be stored */
    uint64_t hurried[WORKERS_MAX]; /* in which turn each was last told to hurry */
    struct slab *clients;          /* struct client */
    struct map groups;             /* struct share_home: Shared Subscriptions at home here */
    struct list connections;       /* those that are read */
    struct list dirty;             /* those with bytes to flush */
    struct handoff *arriving;      /* whose CONNECT is being handled; NULL: none */
    struct list closed;            /* to be destroyed at the end of the turn */
    struct list paused;            /* not read, because of back-pressure */
    struct list full_clients;      /* whose queue is full, and whose publishers are refused */
    struct list replays;           /* walks over Retained Messages that go on */
    struct listener *listeners;
    size_t listener_count;
    bool is_accepting;
    enum worker_phase phase;
    int64_t drain_until_ns, farewell_until_ns;

    int64_t now_ns;     /* monotonic, once per turn */
    int64_t stalled_ns; /* how long this thread was kept from running, in all: Keep Alive and other
                           deadlines for peers are measured without it */
    int64_t next_job_ns, next_sweep_ns, next_shed_ns, next_full_ns;
    int64_t accept_error_logged_ns;
    struct mail *unread;              /* taken from the mailbox, not read yet */
    bool has_work;                    /* the next turn must not wait */
    _Atomic uint64_t turns;           /* for whoever watches over us; any thread reads */
    uint64_t turns_seen;              /* his, at his last look */
    _Atomic int64_t connection_count; /* read by any thread for placement */
    struct tap *taps;
    struct metrics metrics;
};

/* Timers and time as peers' deadlines see it: a stopped process does not disconnect everybody. */
static inline int64_t worker_live_ns(const struct worker *w)
{
    return w->now_ns - w->stalled_ns;
}

/* To be added to a monotonic time to get the wall time. */
static inline int64_t worker_clock_ns(const struct worker *w)
{
    return env_wall_ns(w->env) - env_monotonic_ns(w->env);
}

struct worker *worker_create(struct server *server, unsigned index); /* NULL: no memory */
void worker_destroy(struct worker *w);                               /* any thread, after the end */

/* One turn, waiting at most max_wait_ns for something to happen. */
void worker_turn(struct worker *w, int64_t max_wait_ns);

/* How long nothing needs to be done unless something happens; INT64_MAX: for ever. */
int64_t worker_wait_ns(const struct worker *w);

/* Nothing posted, nothing read and not handled, nothing to flush? */
bool worker_is_idle(const struct worker *w);

int worker_add_listener(struct worker *w, unsigned index, struct stream *stream); /* 0, -ENOMEM */
void worker_watch_listeners(struct worker *w, bool on);
void worker_end_sessions(struct worker *w); /* after the end: no connection is left */
void worker_drop_mail(struct worker *w);    /* after the end: what nobody will read */

bool worker_is_short_of_memory(const struct worker *w); /* memory_limit is near */
bool worker_is_out_of_memory(const struct worker *w);   /* it is all but reached */

struct client *worker_find_client(const struct worker *w, uint64_t handle); /* NULL: gone */

/* To all of a deposit's Sessions and groups that live here. */
void worker_deliver_stored(struct worker *w, struct deposit *d);

/* Walks the invariants of everything the worker owns; for tests and the simulator.  Asserts. */
void worker_check(const struct worker *w);
