/* sim/host.c: see host.h. */
#include "sim/host.h"
#include "broker/storage.h"
#include "broker/worker.h"
#include "sim/peek.h"
#include <string.h>

enum { SEGMENT_SIZE = 64 * 1024 }; /* small, so that there are many */

bool host_boot(struct host *h)
{
    for (unsigned i = 0; i < h->worker_count; i++)
        h->beds[i] = (struct bed){ .until_ns = INT64_MAX };
    h->storage_ns = INT64_MAX;
    h->server = server_create(&h->world->env, h->config, h->log, h->worker_count);
    assert(h->server != NULL);
    h->server->store_segment_size = SEGMENT_SIZE;
    int result = server_open_store(h->server);
    if (result != 0) {
        trace_fail(h->trace, "the store does not open: %s", strerror(-result));
        return false;
    }
    server_set_taps(h->server, h->tap);
    if (server_listen(h->server) == 0)
        return true;
    trace_fail(h->trace, "the broker does not listen");
    return false;
}

void host_shut(struct host *h)
{
    server_destroy(h->server);
    h->server = NULL;
    net_mend(h->net);
}

bool host_worker_is_awake(const struct host *h, unsigned i)
{
    const struct bed *bed = &h->beds[i];
    if (h->server == NULL)
        return false;
    const struct worker *w = h->server->workers[i];
    return w->phase != WORKER_STOPPED &&
           (!bed->is_asleep || bed->until_ns <= h->world->now_ns || poller_is_ready(w->poller));
}

/* It wakes up for what it was given, and for its own work. */
static void set_storage_time(struct host *h)
{
    int64_t now = h->world->now_ns;
    if (h->server->storage == NULL)
        return;
    if (h->storage_ns == INT64_MAX && peek_storage_is_wanted(h->server))
        h->storage_ns = now + dice_time_ns(&h->dice, h->laziness_ns);
    int64_t wait_ns = storage_wait_ns(h->server->storage);
    if (wait_ns < INT64_MAX && now + wait_ns < h->storage_ns)
        h->storage_ns = now + wait_ns;
}

void host_worker_turn(struct host *h, unsigned i, uint64_t fail_at)
{
    struct worker *w = h->server->workers[i];
    struct bed *bed = &h->beds[i];
    world_fail_at(h->world, fail_at);
    worker_turn(w, 0);
    world_fail_at(h->world, 0);
    int64_t wait = worker_wait_ns(w);
    bed->is_asleep = wait > 0 && mailbox_sleep(&w->mailbox);
    bool has_deadline = bed->is_asleep && wait < INT64_MAX && w->phase != WORKER_STOPPED;
    bed->until_ns = has_deadline ? h->world->now_ns + wait : INT64_MAX;
    plant_on_turn(h->plant, h->server);
    set_storage_time(h);
}

bool host_storage_is_due(const struct host *h)
{
    return h->server != NULL && h->storage_ns <= h->world->now_ns;
}

void host_storage_turn(struct host *h)
{
    (void)storage_turn(h->server->storage);
    h->storage_ns = INT64_MAX;
    int64_t wait_ns = storage_wait_ns(h->server->storage);
    if (wait_ns < INT64_MAX)
        h->storage_ns = h->world->now_ns + (wait_ns > 0 ? wait_ns : 1);
}

bool host_is_storing(const struct host *h)
{
    return h->server != NULL && peek_is_storing(h->server);
}

int64_t host_next_ns(const struct host *h)
{
    int64_t next = INT64_MAX;
    if (h->server == NULL)
        return next;
    for (unsigned i = 0; i < h->worker_count; i++)
        next = h->beds[i].until_ns < next ? h->beds[i].until_ns : next;
    return h->storage_ns < next ? h->storage_ns : next;
}

void host_check(const struct host *h)
{
    if (h->server == NULL)
        return;
    for (unsigned i = 0; i < h->worker_count; i++)
        worker_check(h->server->workers[i]);
    router_check(h->server->router);
    retained_check(h->server->retained);
}
