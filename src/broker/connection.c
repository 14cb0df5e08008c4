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
    list_init(&c->paused_link);
    buffer_init(&c->rx);
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

/* Watches the stream and starts the clock.  NULL: the stream is closed. */
static struct connection *begin(struct worker *w, unsigned listener, struct stream *stream,
                                int64_t opened_ns)
{
    struct connection *c = create(w, listener, stream);
    if (c == NULL || w->env->network->watch(w->poller, stream, NET_READ, c) != 0) {
        memory_free(c);
        stream->ops->close(stream);
        metrics_add(&w->metrics, METRIC_connections_refused, 1);
        return NULL;
    }
    c->watched = NET_READ;
    c->received_ns = opened_ns;
    list_push_back(&w->connections, &c->link);
    count_connection(w, listener, 1);
    timers_set(w->timers, &c->timer, w->now_ns + (int64_t)w->config->connect_timeout_s * SECOND_NS);
    return c;
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
static struct bytes address_of(const struct stream *stream)
{
    const char *colon = strrchr(stream->peer, ':');
    return bytes_of(stream->peer,
                    colon == NULL ? strlen(stream->peer) : (size_t)(colon - stream->peer));
}

void connection_accept(struct worker *w, unsigned listener, struct stream *stream)
{
    metrics_add(&w->metrics, METRIC_sockets_accepted, 1);
    if (is_over_limits(w, listener)) {
        struct bytes address = address_of(stream);
        log_line(w->log, LOG_TYPE_NOTICE,
                 "Client connection from %.*s denied: max_connections exceeded.", (int)address.size,
                 (const char *)address.data);
        metrics_add(&w->metrics, METRIC_connections_refused, 1);
        stream->ops->close(stream);
        return;
    }
    if (begin(w, listener, stream, worker_live_ns(w)) != NULL && w->config->connection_messages)
        log_line(w->log, LOG_TYPE_NOTICE, "New connection from %s on port %d.", stream->peer,
                 w->config->listeners[listener].port);
}

void handoff_destroy(struct worker *w, struct handoff *h)
{
    if (h == NULL)
        return;
    if (h->stream != NULL)
        h->stream->ops->close(h->stream);
    if (h->client_id.data != NULL)
        directory_release(w->server->directory, h->client_id);
    buffer_fini(&h->received);
    memory_free((void *)h->client_id.data);
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
        c->placed_id = h->client_id;
        c->has_assigned_id = h->has_assigned_id;
        c->rx = h->received;
        h->client_id = (struct bytes){ 0 };
        buffer_init(&h->received);
        connection_process(c); /* its CONNECT is complete: the claim is used now */
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
    list_remove(&c->paused_link);
    timers_cancel(c->worker->timers, &c->timer);
    buffer_fini(&c->rx);
    sendq_fini(&c->tx, &c->worker->chunks);
    if (c->aliases != NULL) {
        alias_in_fini(&c->aliases->in);
        alias_out_fini(&c->aliases->out);
    }
    memory_free(c->aliases);
    memory_free((void *)c->placed_id.data);
    memory_free(c);
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
                 LOG_TEXT(c->client->client_id), c->stream->peer, is_clean ? "" : ": ",
                 is_clean ? "" : text);
    else
        log_line(w->log, LOG_TYPE_NOTICE, "Client <unknown> [%s] disconnected: %s.",
                 c->stream->peer, text);
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
        w->env->network->unwatch(w->poller, c->stream);
        c->stream->ops->close(c->stream);
        c->stream = NULL;
    }
    c->state = CONNECTION_CLOSED;
    c->client = NULL;
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
    if (c->state == CONNECTION_OPEN && version_has_reason_codes(c->version)) {
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
    if (c->rx.size == 0 || c->paused != 0)
        return INT64_MAX;
    return c->rx_begun_ns + (int64_t)c->worker->config->packet_timeout_s * SECOND_NS;
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
    if (!timer_is_set(&c->timer) || deadline < c->timer.deadline_ns)
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
        list_push_back(&c->worker->paused, &c->paused_link);
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
    list_remove(&c->paused_link);
    if (c->worker->phase != WORKER_RUNS) /* nothing is read any more */
        return;
    c->received_ns = c->rx_begun_ns = worker_live_ns(c->worker);
    connection_watch(c, c->watched | NET_READ);
    connection_process(c);
    if (c->state != CONNECTION_CLOSED)
        connection_arm(c);
}

void connection_check(const struct connection *c)
{
    assert((c->state == CONNECTION_OPEN) == (c->client != NULL));
    assert(c->client == NULL || c->client->connection == c);
    assert((c->paused != 0) == !list_is_empty(&c->paused_link));
    assert(c->paused == 0 || (c->watched & NET_READ) == 0);
    sendq_check(&c->tx);
}
