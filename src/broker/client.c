/* broker/client.c: a Client's life: it comes, is away, comes back, expires.
 *
 *     create -> connected -> away -> connected -> ... -> destroyed
 *                  |           `- session expiry, or a new start (Clean Start)
 *                  `- Will, at once or after its delay, unless DISCONNECT was clean */
#include "broker/client.h"
#include "base/hash.h"
#include "base/memory.h"
#include "broker/connection.h"
#include "broker/delivery_out.h"
#include "broker/directory.h"
#include "broker/full_sessions.h"
#include "broker/replay.h"
#include "broker/server.h"
#include "broker/shares.h"
#include <errno.h>

#define SECOND_NS INT64_C(1000000000)

static struct bytes subscription_key(const void *subscription)
{
    return client_subscription_filter(subscription);
}

struct session_options client_session_options(const struct config *config)
{
    return (struct session_options){
        .inflight_max =
            config->max_inflight_messages == 0 ? UINT16_MAX : config->max_inflight_messages,
        .inflight_bytes_max = config->max_inflight_bytes,
        .queued_messages_max = config->max_queued_messages,
        .queued_bytes_max = config->max_queued_bytes,
        .policy = (enum session_queue_policy)config->queue_policy,
        .queue_qos0 = config->queue_qos0_messages,
    };
}

uint16_t client_window(const struct client *c)
{
    uint16_t ours = client_session_options(c->worker->config).inflight_max;
    uint16_t theirs = c->connection == NULL ? ours : c->connection->client_receive_max;
    return theirs < ours ? theirs : ours;
}

static void count_client(struct worker *w, int by)
{
    metrics_add(&w->metrics, METRIC_clients_total, by);
    atomic_fetch_add_explicit(&w->server->session_count, by, memory_order_relaxed);
}

struct client *client_create(struct worker *w, struct bytes client_id)
{
    uint32_t slot, generation;
    struct client *c = slab_alloc(w->clients, &slot, &generation);
    if (c == NULL)
        return NULL;
    uint8_t *id = memory_copy(client_id.data, client_id.size);
    c->worker = w;
    c->handle = handle_make(w->index, generation, slot);
    c->client_id = bytes_of(id, client_id.size);
    c->publisher_hash = hash_bytes(w->server->seed, client_id);
    client_init_sink(c);
    c->session = session_create(&w->session_options, &c->sink);
    map_init(&c->subscriptions, w->server->seed, subscription_key);
    timer_init(&c->expiry_timer, TIMER_SESSION_EXPIRY);
    if (id == NULL || c->session == NULL || map_add(&w->clients_by_id, c) != 0) {
        session_destroy(c->session);
        memory_free(id);
        slab_free(w->clients, slot);
        return NULL;
    }
    count_client(w, 1);
    return c;
}

static void end_subscriptions(struct client *c)
{
    size_t cursor = 0;
    for (struct client_subscription *s; (s = map_next(&c->subscriptions, &cursor)) != NULL;) {
        client_end_subscription(c, s, SHARE_LEAVE_SESSION_ENDED);
        memory_free(s);
    }
    map_fini(&c->subscriptions);
}

void client_destroy(struct client *c)
{
    struct worker *w = c->worker;
    assert(c->connection == NULL);
    client_publish_will(c); /* a Will that waited: the Session ends first [MQTT-3.1.3-9] */
    replay_stop(c);
    session_detach(c->session); /* what groups gave goes back before we leave them */
    end_subscriptions(c);
    session_destroy(c->session);
    client_leave_full(c);
    client_count_held(c, 0, 0);
    timers_cancel(w->timers, &c->expiry_timer);
    map_remove(&w->clients_by_id, c);
    directory_release(w->server->directory, c->client_id);
    count_client(w, -1);
    memory_free((void *)c->client_id.data);
    memory_free((void *)c->username.data);
    memory_free(c->trouble);
    slab_free(w->clients, handle_slot(c->handle));
}

int client_set_username(struct client *c, struct bytes username)
{
    uint8_t *copy = NULL;
    if (username.data != NULL && (copy = memory_copy(username.data, username.size)) == NULL)
        return -ENOMEM;
    memory_free((void *)c->username.data);
    c->username = bytes_of(copy, username.size);
    return 0;
}

/* ------------------------------------------------------------------------------------- Will --- */

/* The Will is gone, its message the caller's.  NULL: there was none. */
static struct message *take_will(struct client *c)
{
    struct client_will *will = c->will;
    if (will == NULL)
        return NULL;
    struct message *message = will->message;
    timers_cancel(c->worker->timers, &will->delay_timer);
    c->will = NULL;
    memory_free(will);
    return message;
}

void client_drop_will(struct client *c)
{
    message_unref(take_will(c));
}

int client_set_will(struct client *c, struct message *message, uint32_t delay_s,
                    int64_t lifetime_ns)
{
    struct client_will *will = memory_alloc(sizeof *will);
    if (will == NULL)
        return -ENOMEM;
    *will = (struct client_will){ c, message, delay_s, lifetime_ns };
    timer_init(&will->delay_timer, TIMER_WILL_DELAY);
    client_drop_will(c);
    c->will = will;
    return 0;
}

void client_publish_will(struct client *c)
{
    int64_t lifetime_ns = c->will == NULL ? MESSAGE_NEVER : c->will->lifetime_ns;
    struct message *message = take_will(c); /* once [MQTT-3.1.2-10] */
    if (message == NULL)
        return;
    if (lifetime_ns != MESSAGE_NEVER)
        message->expires_ns = c->worker->now_ns + lifetime_ns;
    metrics_add(&c->worker->metrics, METRIC_wills_published, 1);
    worker_publish(c->worker, message, c->publisher_hash);
}

void client_on_will_delay(struct client *c)
{
    client_publish_will(c);
}

/* ----------------------------------------------------------------------- coming and going ----- */

void client_on_connected(struct client *c, struct connection *connection, uint16_t receive_max)
{
    assert(c->connection == NULL);
    c->connection = connection;
    timers_cancel(c->worker->timers, &c->expiry_timer);
    metrics_add(&c->worker->metrics, METRIC_clients_connected, 1);
    session_attach(c->session, receive_max);
    client_announce_to_groups(c);
}

/* The Will goes out now, or when its delay or the Session ends [MQTT-3.1.2-8]. */
static void part_with_will(struct client *c)
{
    if (c->will == NULL)
        return;
    if (c->will->delay_s == 0 || c->session_expiry_s == 0)
        client_publish_will(c);
    else
        timers_set(c->worker->timers, &c->will->delay_timer,
                   c->worker->now_ns + (int64_t)c->will->delay_s * SECOND_NS);
}

void client_on_disconnected(struct client *c, enum client_parting how)
{
    struct worker *w = c->worker;
    assert(c->connection != NULL);
    c->connection = NULL;
    metrics_add(&w->metrics, METRIC_clients_connected, -1);
    client_announce_to_groups(c); /* before it returns what they gave it */
    session_detach(c->session);
    client_after_session(c);
    if (how == PARTING_CLEAN) /* [MQTT-3.14.4-3] */
        client_drop_will(c);
    part_with_will(c);
    if (c->session_expiry_s == 0) {
        client_destroy(c);
        return;
    }
    if (c->session_expiry_s != UINT32_MAX)
        timers_set(w->timers, &c->expiry_timer,
                   w->now_ns + (int64_t)c->session_expiry_s * SECOND_NS);
}

void client_on_session_expiry(struct client *c)
{
    metrics_add(&c->worker->metrics, METRIC_clients_expired, 1);
    client_destroy(c);
}

/* --------------------------------------------------------------------------- subscriptions ---- */

struct client_subscription *client_find_subscription(const struct client *c, struct bytes filter)
{
    return map_find(&c->subscriptions, filter);
}

static struct subscriber subscriber_of(const struct client *c, uint32_t options, uint32_t id)
{
    if (id != 0)
        options |= SUBSCRIBER_HAS_ID;
    return (struct subscriber){ c->handle, options, id };
}

/* Registers it with the router, for itself or as a group's member.  0 or -ENOMEM. */
static int begin_subscription(struct client *c, struct client_subscription *s)
{
    struct worker *w = c->worker;
    struct bytes whole = client_subscription_filter(s), name, filter;
    bool is_new_group;
    if (topic_filter_split_share(whole, &name, &filter) != SHARE_VALID)
        return router_subscribe(w->server->router, whole, subscriber_of(c, s->options, s->id),
                                &s->route);
    struct share_options options = { name, filter, shares_home_for(w, name, filter) };
    return router_share_join(w->server->router, &options, &s->share, &is_new_group);
}

static struct client_subscription *add_subscription(struct client *c, struct bytes filter,
                                                    uint32_t options, uint32_t id)
{
    assert(filter.size <= UINT16_MAX);
    size_t size = offsetof(struct client_subscription, filter) + filter.size;
    struct client_subscription *s = memory_alloc_zero(size > sizeof *s ? size : sizeof *s);
    if (s == NULL)
        return NULL;
    s->options = options;
    s->id = id;
    s->filter_size = (uint16_t)filter.size;
    memcpy(s->filter, filter.data, filter.size);
    if (map_add(&c->subscriptions, s) != 0) {
        memory_free(s);
        return NULL;
    }
    if (begin_subscription(c, s) == 0)
        return s;
    map_remove(&c->subscriptions, s);
    memory_free(s);
    return NULL;
}

int client_subscribe(struct client *c, struct bytes filter, uint32_t options, uint32_t id,
                     bool *is_new)
{
    struct client_subscription *s = client_find_subscription(c, filter);
    bool existed = s != NULL;
    if (s == NULL && (s = add_subscription(c, filter, options, id)) == NULL)
        return -ENOMEM;
    s->options = options; /* [MQTT-3.8.4-3] */
    s->id = id;
    struct subscriber who = subscriber_of(c, options, id);
    if (s->share != NULL)
        shares_set_member(c, router_share_handle(s->share), who.options, who.id);
    else if (existed)
        router_subscription_update(c->worker->server->router, s->route, who.options, who.id);
    *is_new = !existed;
    return 0;
}

void client_end_subscription(struct client *c, struct client_subscription *s, enum share_leave why)
{
    struct router *router = c->worker->server->router;
    replay_forget(c, s);
    if (s->share == NULL) {
        router_unsubscribe(router, s->route);
        return;
    }
    uint64_t group = router_share_handle(s->share);
    shares_leave(c, group, why, router_share_leave(router, s->share));
}

bool client_unsubscribe(struct client *c, struct bytes filter)
{
    struct client_subscription *s = client_find_subscription(c, filter);
    if (s == NULL)
        return false;
    if (s->share != NULL) {
        session_adopt(c->session, router_share_handle(s->share));
        c->has_left_group = true;
    }
    client_end_subscription(c, s, SHARE_LEAVE_UNSUBSCRIBED);
    map_remove(&c->subscriptions, s);
    memory_free(s);
    return true;
}

void client_announce_to_groups(struct client *c)
{
    size_t cursor = 0;
    for (struct client_subscription *s; (s = map_next(&c->subscriptions, &cursor)) != NULL;) {
        struct subscriber who = subscriber_of(c, s->options, s->id);
        if (s->share != NULL)
            shares_set_member(c, router_share_handle(s->share), who.options, who.id);
    }
}

struct client_trouble *client_trouble(struct client *c)
{
    if (c->trouble == NULL && (c->trouble = memory_alloc_zero(sizeof *c->trouble)) != NULL) {
        c->trouble->client = c;
        list_init(&c->trouble->full_link);
    }
    return c->trouble;
}

void client_check(const struct client *c)
{
    struct session_stats stats = session_stats(c->session);
    session_check(c->session);
    assert(c->held_count == stats.queued_count + stats.inflight_count);
    assert(c->held_bytes == stats.queued_bytes + stats.inflight_bytes);
    assert(session_is_attached(c->session) == (c->connection != NULL));
    assert(c->connection == NULL || c->connection->client == c);
    assert(map_find(&c->worker->clients_by_id, c->client_id) == c);
    assert(!timer_is_set(&c->expiry_timer) || c->connection == NULL);
    assert(c->will == NULL || (c->will->client == c && c->will->message != NULL));
    assert(c->trouble == NULL || c->trouble->client == c);
}
