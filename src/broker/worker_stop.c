/* broker/worker_stop.c: see worker_stop.h. */
#include "broker/worker_stop.h"
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/server.h"

#define DRAIN_NS   (INT64_C(3) * 1000000000)
#define GOODBYE_NS (INT64_C(5) * 1000000000)

static void publish_wills(struct worker *w)
{
    uint32_t cursor = 0;
    for (struct client *c; (c = slab_next(w->clients, &cursor)) != NULL;) {
        if (c->will == NULL || !client_publish_will(c))
            continue;
        /* Together with the message: else the Will comes again after the start. */
        (void)client_store_session(c, c->connection != NULL);
    }
}

static void begin_draining(struct worker *w)
{
    w->phase = WORKER_DRAINS;
    w->drain_until_ns = w->now_ns + DRAIN_NS;
    worker_watch_listeners(w, false);
    for (struct connection *c = connection_next(w, NULL), *next; c != NULL; c = next) {
        next = connection_next(w, c); /* watching may fail, and close it */
        connection_watch(c, c->watched & ~(unsigned)NET_READ);
    }
    publish_wills(w);
    atomic_fetch_add(&w->server->draining_workers, 1);
}

static bool is_drained(const struct worker *w)
{
    struct server *s = w->server;
    if (atomic_load(&s->is_drained)) /* what is posted while saying goodbye reaches nobody */
        return true;
    if (atomic_load(&s->draining_workers) < s->worker_count)
        return false;
    int64_t read = atomic_load(&s->read_letters); /* first: it never overtakes posted */
    if (read == atomic_load(&s->posted_letters))
        atomic_store(&s->is_drained, true);
    return atomic_load(&s->is_drained);
}

static void say_goodbye(struct connection *c)
{
    const char *reference = c->worker->config->server_reference;
    struct packet p = { .type = PACKET_DISCONNECT,
                        .disconnect.reason = REASON_SERVER_SHUTTING_DOWN };
    if (!connection_may_disconnect(c) || !version_has_reason_codes(c->version))
        return;
    if (reference != NULL) {
        p.disconnect.reason = REASON_USE_ANOTHER_SERVER;
        p.disconnect.properties.server_reference = bytes_of_string(reference);
        properties_add(&p.disconnect.properties, PROPERTY_SERVER_REFERENCE);
    }
    connection_send(c, &p);
}

static void begin_goodbye(struct worker *w)
{
    w->phase = WORKER_SAYS_GOODBYE;
    w->farewell_until_ns = w->now_ns + GOODBYE_NS;
    for (struct connection *c = NULL; (c = connection_next(w, c)) != NULL;)
        say_goodbye(c);
}

/* Closes those whose bytes are gone, or all when time is up. */
static void close_connections(struct worker *w, bool all)
{
    for (struct connection *c = connection_next(w, NULL), *next; c != NULL; c = next) {
        next = connection_next(w, c);
        if (all || c->tx.size == 0)
            connection_close(c, false, "server shutting down");
    }
}

bool worker_stop_step(struct worker *w)
{
    struct server *s = w->server;
    bool now = atomic_load(&s->must_stop_now);
    switch (w->phase) {
    case WORKER_RUNS:
        if (!atomic_load(&s->is_stopping))
            return false;
        begin_draining(w);
        return true;
    case WORKER_DRAINS:
        if (!now && !is_drained(w) && w->now_ns < w->drain_until_ns)
            return false;
        begin_goodbye(w);
        return true;
    case WORKER_SAYS_GOODBYE:
        close_connections(w, now || w->now_ns >= w->farewell_until_ns);
        if (connection_next(w, NULL) != NULL)
            return false;
        w->phase = WORKER_STOPPED;
        staging_close(w);
        atomic_fetch_add(&s->stopped_workers, 1);
        return false;
    case WORKER_STOPPED:
        break;
    }
    return false;
}
