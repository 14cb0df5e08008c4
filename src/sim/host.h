/* sim/host.h: the machine that the broker runs on: beds for its workers, a thread for its store,
 * and an end without warning.
 *
 *     boot -> worker and storage turns -> [ kill | power loss | stop ] -> down -> boot on the same
 * disk
 *
 * A worker whose turn has left nothing to do sleeps, as its thread would: until its time comes,
 * something happens at its poller, or another thread wakes it.  So a wake-up or an interest that
 * the broker forgets shows as a message that does not arrive.  The storage thread wakes up some
 * time after something was given to it. */
#pragma once

#include "broker/server.h"
#include "sim/aftermath.h"
#include "sim/net.h"
#include "sim/plant.h"

enum { HOST_WORKERS_MAX = 8 };

struct bed { /* where a worker sleeps */
    bool is_asleep;
    int64_t until_ns;
};

struct host {
    struct world *world;
    struct net *net;
    struct model *model;
    struct plant *plant;
    struct trace *trace;
    const struct config *config;
    struct log *log;
    struct tap *tap;
    unsigned worker_count;
    struct dice dice;
    int64_t
        laziness_ns; /* after this time at the latest the storage thread takes what it was given */

    struct server *server; /* NULL: it is down */
    struct bed beds[HOST_WORKERS_MAX];
    int64_t storage_ns; /* when the storage thread turns; INT64_MAX: nothing to do */
};

/* A new broker, on the disk as it is.  False: it did not come up, and the run has failed. */
bool host_boot(struct host *h);

/* What is left of it goes, without a word on the network.  The disk must have been told. */
void host_shut(struct host *h);

bool host_worker_is_awake(const struct host *h, unsigned i);
void host_worker_turn(struct host *h, unsigned i, uint64_t fail_at); /* that allocation fails */
bool host_storage_is_due(const struct host *h);
void host_storage_turn(struct host *h);

bool host_is_storing(const struct host *h); /* or is about to */

int64_t host_next_ns(const struct host *h); /* when something wants to turn */
void host_check(const struct host *h);      /* the broker's invariants */
