/* broker/connection.c: the life of a Network Connection, and its deadlines.
 *
 *     accepted -> AWAITS_CONNECT -> OPEN -> CLOSED -> (end of turn) destroyed
 *                       |
 *                       `-> handed to the worker of its Session
 *
 * One timer serves all deadlines.  It is armed for the nearest one and set lazily: activity only
 * stores the time; when the timer fires, the deadlines are computed anew. */
#include "broker/connection.h"
#include "base/memory.h"
#include "broker/answers.h"
#include "broker/client.h"
#include "broker/directory.h"
#include "broker/server.h"
#include <assert.h>

enum { STUCK_TIMEOUT_S = 60 };

#define SECOND_NS INT64_C(1000000000)

static struct connection *create(struct worker *w, unsigned listener, struct stream *stream)
{
    struct connection *c = memory_alloc_zero(sizeof *c);
    if (c == NULL)
        return NULL;
    c->source.kind = SOURCE_CONNECTION;
    c->state = CONNECTION_AWAITS_CONNECT;
    c->worker = w;
    c->stream = stream;
    c->listener = (uint8_t)listener;
    c->max_packet_size = UINT32_MAX;
    c->wants_problem_information = true;
    list_init(&c->link);
    list_init(&c->dirty_link);
    sendq_init(&c->tx);
    timer_init(&c->timer, TIMER_CONNECTION);
    return c;
}

static void count_connection(struct worker *w, unsigned listener, int by)
{
    atomic_fetch_add_explicit(&w->connection_count, by, memory_order_relaxed);
    atomic_fetch_add_explicit(&w->server->connection_count, by, memory_order_relaxed);
    atomic_fetch_add_explicit(&w->server->listener_connection_counts[listener], by,
                              memory_order_relaxed);
}

/* Starts the clock.  NULL: the stream is closed. */
static struct connection *begin(struct worker *w, unsigned listener, struct stream *stream,
                                int64_t opened_ns)
{
    struct connection *c = create(w, listener, stream);
    if (c == NULL) {
        stream->ops->close(stream);
        metrics_add(&w->metrics, METRIC_connections_refused, 1);
        return NULL;
    }
    c->received_ns = opened_ns;
    list_push_back(&w->connections, &c->link);
    count_connection(w, listener, 1);
    timers_set(w->timers, &c->timer, w->now_ns + (int64_t)w->config->connect_timeout_s * SECOND_NS);
    return c;
}

/* It has been read once. */
static void watch_first(struct connection *c)
{
    if (c->paused == 0)
        connection_watch(c, NET_READ);
}

static bool is_over_limits(const struct worker *w, unsigned listener)
{
    const struct config *config = w->config;
    int64_t max = config->listeners[listener].max_connections;
    int64_t count = atomic_load_explicit(&w->server->listener_connection_counts[listener],
                                         memory_order_relaxed);
    int64_t all = atomic_load_explicit(&w->server->connection_count, memory_order_relaxed);
    return (max > 0 && count >= max) ||
           (config->global_max_connections > 0 && all >= config->global_max_connections);
}

/* "192.0.2.7:40112" without the port. */
static struct bytes address_of(const struct peer_name *peer)
{
    const char *colon = strrchr(peer->text, ':');
    return bytes_of(peer->text, colon == NULL ? strlen(peer->text) : (size_t)(colon - peer->text));
}

void connection_accept(struct worker *w, unsigned listener, struct stream *stream)
{
    metrics_add(&w->metrics, METRIC_sockets_accepted, 1);
    if (is_over_limits(w, listener)) {
        struct peer_name peer = stream_peer(stream);
        struct bytes address = address_of(&peer);
        log_line(w->log, LOG_TYPE_NOTICE,
                 "Client connection from %.*s denied: max_connections exceeded.", (int)address.size,
                 (const char *)address.data);
        metrics_add(&w->metrics, METRIC_connections_refused, 1);
        stream->ops->close(stream);
        return;
    }
    struct connection *c = begin(w, listener, stream, worker_live_ns(w));
    if (c == NULL)
        return;
    if (w->config->connection_messages)
        log_line(w->log, LOG_TYPE_NOTICE, "New connection from %s on port %d.",
                 stream_peer(stream).text, w->config->listeners[listener].port);
    /* CONNECT is here already, mostly; and if the Session is another worker's, or the Client is
     * refused, there is nothing to watch. */
    connection_on_event(c, NET_READ);
    watch_first(c);
}

void handoff_destroy(struct worker *w, struct handoff *h)
{
    if (h == NULL)
        return;
    if (h->stream != NULL)
        h->stream->ops->close(h->stream);
    if (h->claim != NULL)
        directory_release(w->server->directory, h->claim);
    unfinished_destroy(h->received);
    memory_free(h);
}

void connection_take(struct worker *w, struct handoff *h)
{
    struct connection *c = NULL;
    if (w->phase == WORKER_RUNS) {
        c = begin(w, h->listener, h->stream, h->opened_ns);
        h->stream = NULL;
    }
    if (c != NULL) {
        c->is_placed = true;
        c->has_assigned_id = h->has_assigned_id;
        c->rx = h->received;
        h->received = NULL;
        w->arriving = h;
        connection_process(c); /* its CONNECT is complete: the claim is used now */
        w->arriving = NULL;
        watch_first(c);
    }
    handoff_destroy(w, h);
}

struct connection_aliases *connection_aliases(struct connection *c)
{
    if (c->aliases == NULL && (c->aliases = memory_alloc(sizeof *c->aliases)) != NULL) {
        alias_in_init(&c->aliases->in, c->alias_in_max);
        alias_out_init(&c->aliases->out, c->alias_out_max, c->worker->server->seed);
    }
    return c->aliases;
}

struct stream *connection_give_up_stream(struct connection *c)
{
    struct stream *stream = c->stream;
    assert(c->state == CONNECTION_AWAITS_CONNECT && c->tx.size == 0);
    c->worker->env->network->unwatch(c->worker->poller, stream);
    c->stream = NULL;
    connection_close(c, true, NULL);
    return stream;
}

void connection_destroy(struct connection *c)
{
    assert(c->state == CONNECTION_CLOSED && c->client == NULL && c->stream == NULL);
    list_remove(&c->link);
    list_remove(&c->dirty_link);
    timers_cancel(c->worker->timers, &c->timer);
    unfinished_destroy(c->rx);
    sendq_fini(&c->tx, &c->worker->chunks);
    if (c->aliases != NULL) {
        alias_in_fini(&c->aliases->in);
        alias_out_fini(&c->aliases->out);
    }
    memory_free(c->aliases);
    memory_free(c);
}

struct connection *connection_next(const struct worker *w, const struct connection *after)
{
    const struct list *next = after == NULL ? w->connections.next : after->link.next;
    if (next == &w->connections)
        next = w->paused.next;
    return next == &w->paused ? NULL : container_of(next, struct connection, link);
}

/* ------------------------------------------------------------------------------------ ending -- */

/* Log shippers and ban lists read these lines. */
static void log_end(const struct connection *c, bool is_clean, const char *text)
{
    const struct worker *w = c->worker;
    if (!w->config->connection_messages || text == NULL)
        return;
    if (c->client != NULL)
        log_line(w->log, LOG_TYPE_NOTICE, "Client %s [%s] disconnected%s%s.",
                 LOG_TEXT(client_id_of(c->client)), stream_peer(c->stream).text,
                 is_clean ? "" : ": ", is_clean ? "" : text);
    else
        log_line(w->log, LOG_TYPE_NOTICE, "Client <unknown> [%s] disconnected: %s.",
                 stream_peer(c->stream).text, text);
}

void connection_close(struct connection *c, bool is_clean, const char *text)
{
    if (c->state == CONNECTION_CLOSED)
        return;
    struct worker *w = c->worker;
    struct client *client = c->client;

    if (c->stream != NULL) {
        log_end(c, is_clean, text);
        connection_flush_last(c);
        c->stream->ops->close(c->stream);
        c->stream = NULL;
    }
    c->state = CONNECTION_CLOSED;
    c->client = NULL;
    answers_drop(c);
    count_connection(w, c->listener, -1);
    list_remove(&c->link);
    list_push_back(&w->closed, &c->link);
    if (client != NULL)
        client_on_disconnected(client, is_clean ? PARTING_CLEAN : PARTING_WITH_WILL);
}

void connection_fail(struct connection *c, enum reason reason, const char *text)
{
    if (c->state == CONNECTION_CLOSED)
        return;
    if (connection_may_disconnect(c) && version_has_reason_codes(c->version)) {
        struct packet p = { .type = PACKET_DISCONNECT, .disconnect.reason = reason };
        connection_send(c, &p);
    }
    if (reason == REASON_MALFORMED_PACKET || reason == REASON_PROTOCOL_ERROR)
        metrics_add(&c->worker->metrics, METRIC_protocol_errors, 1);
    connection_close(c, false, text);
}

/* --------------------------------------------------------------------------------- deadlines -- */

/* When the peer has to have done something, as worker_live_ns; INT64_MAX: never. */
static int64_t keep_alive_deadline(const struct connection *c)
{
    if (c->keep_alive_s == 0 || c->paused != 0) /* whom we do not read cannot be late */
        return INT64_MAX;
    return c->received_ns + (int64_t)c->keep_alive_s * SECOND_NS * 3 / 2; /* [MQTT-3.1.2-22] */
}

static int64_t connect_deadline(const struct connection *c)
{
    return c->received_ns + (int64_t)c->worker->config->connect_timeout_s * SECOND_NS;
}

static int64_t packet_deadline(const struct connection *c)
{
    if (c->rx == NULL || c->rx->in == NULL || c->paused != 0)
        return INT64_MAX;
    return c->rx->begun_ns + (int64_t)c->worker->config->packet_timeout_s * SECOND_NS;
}

static int64_t stuck_deadline(const struct connection *c)
{
    return c->tx.size == 0 ? INT64_MAX : c->tx_progress_ns + STUCK_TIMEOUT_S * SECOND_NS;
}

static int64_t nearest_deadline(const struct connection *c)
{
    if (c->state == CONNECTION_AWAITS_CONNECT)
        return connect_deadline(c);
    int64_t nearest = keep_alive_deadline(c);
    if (packet_deadline(c) < nearest)
        nearest = packet_deadline(c);
    if (stuck_deadline(c) < nearest)
        nearest = stuck_deadline(c);
    return nearest;
}

void connection_arm(struct connection *c)
{
    int64_t deadline = nearest_deadline(c);
    if (deadline == INT64_MAX)
        return;
    deadline += c->worker->stalled_ns; /* back to the timers' clock */
    if (!timer_is_set(&c->timer) || deadline < timer_deadline_ns(&c->timer))
        timers_set(c->worker->timers, &c->timer, deadline);
}

void connection_on_timer(struct connection *c)
{
    if (c->state == CONNECTION_CLOSED)
        return;
    int64_t now = worker_live_ns(c->worker);
    if (c->state == CONNECTION_AWAITS_CONNECT) {
        if (now >= connect_deadline(c))
            connection_close(c, false, "no CONNECT in time");
    } else if (now >= keep_alive_deadline(c)) {
        connection_fail(c, REASON_KEEP_ALIVE_TIMEOUT, "exceeded timeout");
    } else if (now >= packet_deadline(c)) {
        connection_fail(c, REASON_PROTOCOL_ERROR, "packet not complete in time");
    } else if (now >= stuck_deadline(c)) {
        connection_fail(c, REASON_QUOTA_EXCEEDED, "does not read");
    }
    if (c->state != CONNECTION_CLOSED)
        connection_arm(c);
}

/* ------------------------------------------------------------------------------ back-pressure - */

void connection_watch(struct connection *c, unsigned interest)
{
    if (c->state == CONNECTION_CLOSED || c->watched == interest)
        return;
    struct worker *w = c->worker;
    if (w->env->network->watch(w->poller, c->stream, interest, c) == 0)
        c->watched = (uint8_t)interest;
    else
        connection_close(c, false, "out of resources");
}

void connection_pause(struct connection *c, unsigned why)
{
    if (c->state == CONNECTION_CLOSED)
        return;
    if (c->paused == 0) {
        list_remove(&c->link);
        list_push_back(&c->worker->paused, &c->link);
        metrics_add(&c->worker->metrics, METRIC_reads_paused, 1);
    }
    c->paused |= (uint8_t)why;
    connection_watch(c, c->watched & ~(unsigned)NET_READ);
}

void connection_resume(struct connection *c, unsigned why)
{
    c->paused &= (uint8_t)~why;
    if (c->state == CONNECTION_CLOSED || c->paused != 0)
        return;
    list_remove(&c->link);
    list_push_back(&c->worker->connections, &c->link);
    if (c->worker->phase != WORKER_RUNS) /* nothing is read any more */
        return;
    c->received_ns = worker_live_ns(c->worker);
    if (c->rx != NULL)
        c->rx->begun_ns = c->received_ns;
    connection_watch(c, c->watched | NET_READ);
    connection_process(c);
    if (c->state != CONNECTION_CLOSED)
        connection_arm(c);
}

void connection_check(const struct connection *c)
{
    assert((c->state == CONNECTION_OPEN) == (c->client != NULL));
    assert(c->client == NULL || c->client->connection == c);
    assert(c->rx == NULL || (c->rx->in == NULL ? c->rx->packet_size > 0 : c->rx->in->size > 0));
    assert(c->rx == NULL || c->rx->in == NULL || block_is_unshared(&c->rx->in->block));
    assert(c->paused == 0 || (c->watched & NET_READ) == 0);
    sendq_check(&c->tx);
}
