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
#include "broker/durable.h"
#include "broker/durable_records.h"
#include "broker/full_sessions.h"
#include "broker/replay.h"
#include "broker/server.h"
#include "broker/share_store.h"
#include "broker/shares.h"
#include "broker/storage.h"
#include <errno.h>

#define SECOND_NS INT64_C(1000000000)

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

struct client *client_create(struct worker *w, struct directory_entry *claim)
{
    uint32_t slot, generation;
    assert(claim->worker == w->index && claim->client == NULL);
    struct client *c = slab_alloc(w->clients, &slot, &generation);
    if (c == NULL)
        return NULL;
    c->worker = w;
    c->handle = handle_make(w->index, generation, slot);
    c->entry = claim;
    c->publisher_hash = (uint32_t)hash_bytes(w->server->seed, client_id_of(c));
    client_init_sink(c);
    c->session = session_create(&w->session_options, &c->sink);
    if (c->session == NULL) {
        slab_free(w->clients, slot);
        return NULL;
    }
    claim->client = c;
    count_client(w, 1);
    return c;
}

/* Nothing of it is to come back. */
static void forget_durable(struct client *c)
{
    struct worker *w = c->worker;
    if (c->durable == NULL)
        return;
    uint64_t key = atomic_load(&c->durable->key);
    size_t cursor = 0;
    for (struct client_subscription *s; (s = few_next(&c->subscriptions, &cursor)) != NULL;)
        (void)staging_remove(w, &(struct durable_key){ .kind = KEY_SUBSCRIPTION,
                                                       .session = key,
                                                       .filter = client_subscription_filter(s) });
    uint32_t at = 0;
    uint16_t packet_id;
    while (session_next_received(c->session, &at, &packet_id))
        (void)staging_remove(
            w, &(struct durable_key){ .kind = KEY_RECEIVED, .session = key, .number = packet_id });
    at = 0;
    uint64_t seq;
    while (session_next_released(c->session, &at, &seq))
        (void)staging_remove(
            w, &(struct durable_key){ .kind = KEY_RELEASED, .session = key, .number = seq });
    (void)staging_remove(w, &(struct durable_key){ .kind = KEY_SESSION, .session = key });
    staging_drop_queue(w, key);
    durable_remove(w->server->durables, c->handle);
    c->durable = NULL;
}

static void end_subscriptions(struct client *c)
{
    size_t cursor = 0;
    for (struct client_subscription *s; (s = few_next(&c->subscriptions, &cursor)) != NULL;) {
        client_end_subscription(c, s, SHARE_LEAVE_SESSION_ENDED);
        memory_free(s);
    }
    few_fini(&c->subscriptions);
}

static void stop_expiry(struct client *c)
{
    if (c->expiry != NULL)
        timers_cancel(c->worker->timers, &c->expiry->timer);
}

void client_destroy(struct client *c)
{
    struct worker *w = c->worker;
    assert(c->connection == NULL);
    (void)client_publish_will(c); /* one that waited: the Session ends first [MQTT-3.1.3-9] */
    client_drop_will(c);
    bool was_durable = c->durable != NULL;
    forget_durable(c);
    replay_stop(c);
    session_detach(c->session); /* what groups gave goes back before we leave them */
    end_subscriptions(c);
    session_destroy(c->session);
    client_leave_full(c);
    client_count_held(c, 0, 0);
    stop_expiry(c);
    c->entry->client = NULL;
    if (was_durable)
        staging_keep_claim(w, c->entry);
    else
        directory_release(w->server->directory, c->entry);
    count_client(w, -1);
    memory_free(c->expiry);
    memory_free(c->username);
    memory_free(c->trouble);
    slab_free(w->clients, handle_slot(c->handle));
}

int client_set_username(struct client *c, struct bytes username)
{
    struct client_username *copy = NULL;
    if (username.data != NULL) {
        assert(username.size <= UINT16_MAX);
        copy = memory_alloc(sizeof *copy + username.size);
        if (copy == NULL)
            return -ENOMEM;
        copy->size = (uint16_t)username.size;
        memcpy(copy->text, username.data, username.size);
    }
    memory_free(c->username);
    c->username = copy;
    return 0;
}

int client_set_expiry(struct client *c, uint32_t expiry_s)
{
    if (expiry_s != 0 && c->expiry == NULL) {
        c->expiry = memory_alloc(sizeof *c->expiry);
        if (c->expiry == NULL)
            return -ENOMEM;
        c->expiry->client = c;
        timer_init(&c->expiry->timer, TIMER_SESSION_EXPIRY);
    }
    c->session_expiry_s = expiry_s;
    return 0;
}

/* -------------------------------------------------------------------------------- durable ----- */

/* Publishers look at the options of a subscription to know what has to be stored. */
static int mark_subscriptions(struct client *c)
{
    struct router *router = c->worker->server->router;
    size_t cursor = 0;
    for (struct client_subscription *s; (s = few_next(&c->subscriptions, &cursor)) != NULL;) {
        if (s->is_shared && share_store_join(c, s->share) != 0)
            return -ENOMEM;
        if (s->is_shared)
            continue;
        struct subscriber who = router_subscription_subscriber(router, &s->route);
        router_subscription_update(router, &s->route, who.options | SUBSCRIBER_DURABLE, who.id);
    }
    return 0;
}

int client_restore_durable(struct client *c, uint64_t key, uint64_t next_seq)
{
    if (session_set_durable(c->session, true) != 0)
        return -ENOMEM;
    c->durable = durable_add(c->worker->server->durables, c->handle, key, next_seq);
    if (c->durable == NULL)
        return -ENOMEM;
    return mark_subscriptions(c);
}

/* 0 or -ENOMEM. */
static int store_subscription(struct client *c, const struct client_subscription *s)
{
    uint8_t value[STORED_SUBSCRIPTION_SIZE];
    if (c->durable == NULL)
        return 0;
    struct subscriber who = { .options = s->share_options, .id = s->share_id };
    if (!s->is_shared)
        who = router_subscription_subscriber(c->worker->server->router, &s->route);
    struct stored_subscription stored = { .options = who.options & 0xff, .id = who.id };
    struct durable_key key = { .kind = KEY_SUBSCRIPTION,
                               .session = atomic_load(&c->durable->key),
                               .filter = client_subscription_filter(s) };
    stored_subscription_write(&stored, value);
    return staging_put(c->worker, &key, bytes_of(value, sizeof value));
}

/* What was subscribed before, while it was not to be stored. */
static int store_subscriptions(struct client *c)
{
    size_t cursor = 0;
    for (struct client_subscription *s; (s = few_next(&c->subscriptions, &cursor)) != NULL;)
        if (store_subscription(c, s) != 0)
            return -ENOMEM;
    return 0;
}

int client_make_durable(struct client *c)
{
    struct worker *w = c->worker;
    if (!staging_is_on(w) || c->durable != NULL)
        return 0;
    uint64_t key = atomic_fetch_add(&w->server->next_key, 1);
    if (client_restore_durable(c, key, 1) != 0)
        return -ENOMEM;
    return store_subscriptions(c);
}

bool client_may_be_stored(const struct worker *w, const struct client *c, bool says_more)
{
    if (!staging_is_on(w) || !storage_is_full(w->server->storage))
        return true;
    return c != NULL && c->durable != NULL && !says_more;
}

int client_store_session(struct client *c, bool is_connected)
{
    struct worker *w = c->worker;
    struct buffer will = { 0 }, value = { 0 };
    if (c->durable == NULL || !staging_is_on(w))
        return 0;
    if (is_connected && c->session_expiry_s != 0 && storage_is_full(w->server->storage))
        return 0; /* it is there, and will be written when it goes */
    struct durable_key key = { .kind = KEY_SESSION, .session = atomic_load(&c->durable->key) };
    struct stored_session s = { .client_id = client_id_of(c),
                                .username = client_username(c),
                                .expiry_s = c->session_expiry_s,
                                .is_connected = is_connected,
                                .since_ns = w->now_ns + worker_clock_ns(w),
                                .sent_end = is_connected ? 0 : session_sent_end(c->session) };
    int result = 0;
    if (c->will != NULL) {
        result = stored_message_write(&will, c->will->message, worker_clock_ns(w));
        s.will = buffer_bytes(&will);
        s.will_delay_s = c->will->delay_s;
        s.will_lifetime_ns = c->will->lifetime_ns;
    }
    if (result == 0)
        result = stored_session_write(&value, &s);
    if (result == 0)
        result = staging_put(w, &key, buffer_bytes(&value));
    buffer_fini(&will);
    buffer_fini(&value);
    return result;
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

bool client_publish_will(struct client *c)
{
    struct client_will *will = c->will;
    if (will == NULL)
        return true;
    if (will->lifetime_ns != MESSAGE_NEVER)
        will->message->expires_ns = c->worker->now_ns + will->lifetime_ns;
    enum published how = worker_publish(c->worker, message_ref(will->message), c->publisher_hash);
    if (how == PUBLISHED_REFUSED || how == PUBLISHED_NO_MEMORY)
        return false;
    client_drop_will(c); /* once [MQTT-3.1.2-10] */
    metrics_add(&c->worker->metrics, METRIC_wills_published, 1);
    return true;
}

static void publish_will_later(struct client *c, int64_t delay_s)
{
    timers_set(c->worker->timers, &c->will->delay_timer, c->worker->now_ns + delay_s * SECOND_NS);
}

void client_on_will_delay(struct client *c)
{
    if (!client_publish_will(c)) { /* it is due, and goes when it can */
        publish_will_later(c, 1);
        return;
    }
    (void)client_store_session(c, false); /* else the Will comes again after a restart */
}

/* ----------------------------------------------------------------------- coming and going ----- */

void client_on_connected(struct client *c, struct connection *connection)
{
    assert(c->connection == NULL);
    c->connection = connection;
    stop_expiry(c);
    metrics_add(&c->worker->metrics, METRIC_clients_connected, 1);
}

void client_go_online(struct client *c, uint16_t receive_max)
{
    session_attach(c->session, receive_max);
    client_announce_to_groups(c);
}

/* The Will goes out now, or when its delay or the Session ends [MQTT-3.1.2-8]. */
static void part_with_will(struct client *c)
{
    if (c->will == NULL)
        return;
    bool is_due = c->will->delay_s == 0 || c->session_expiry_s == 0;
    if (!is_due)
        publish_will_later(c, c->will->delay_s);
    else if (!client_publish_will(c))
        publish_will_later(c, 1);
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
    (void)client_store_session(c, false); /* else it ends later after a restart */
    staging_hurry(w);
    if (c->session_expiry_s != UINT32_MAX)
        timers_set(w->timers, &c->expiry->timer,
                   w->now_ns + (int64_t)c->session_expiry_s * SECOND_NS);
}

bool client_has_expired(const struct client *c)
{
    return c->connection == NULL && c->expiry != NULL && timer_is_set(&c->expiry->timer) &&
           timer_deadline_ns(&c->expiry->timer) <= c->worker->now_ns;
}

void client_on_session_expiry(struct client *c)
{
    metrics_add(&c->worker->metrics, METRIC_clients_expired, 1);
    client_destroy(c);
}

/* --------------------------------------------------------------------------- subscriptions ---- */

struct bytes client_subscription_filter(const struct client_subscription *s)
{
    return s->is_shared ? router_share_filter(s->share) : router_subscription_filter(&s->route);
}

static struct bytes subscription_key(const void *subscription)
{
    return client_subscription_filter(subscription);
}

static struct few_kind kind_of(const struct client *c)
{
    return (struct few_kind){ subscription_key, c->worker->server->seed };
}

struct client_subscription *client_find_subscription(const struct client *c, struct bytes filter)
{
    struct few_kind kind = kind_of(c);
    return few_find(&c->subscriptions, &kind, filter);
}

static struct subscriber subscriber_of(const struct client *c, uint32_t options, uint32_t id)
{
    if (id != 0)
        options |= SUBSCRIBER_HAS_ID;
    if (c->durable != NULL)
        options |= SUBSCRIBER_DURABLE;
    return (struct subscriber){ c->handle, options, id };
}

/* Registers it with the router, for itself or as a group's member.  0 or -ENOMEM. */
static int begin_subscription(struct client *c, struct client_subscription *s, struct bytes whole,
                              struct subscriber who)
{
    struct worker *w = c->worker;
    struct router *router = w->server->router;
    struct bytes name, filter;
    struct share *share;
    bool is_new_group;
    s->is_shared = topic_filter_split_share(whole, &name, &filter) == SHARE_VALID;
    if (!s->is_shared)
        return router_subscribe(router, whole, who, &s->route);
    struct share_options options = { name, filter, shares_home_for(w, name, filter) };
    pthread_mutex_lock(&w->server->groups_lock);
    int result = router_share_join(router, &options, &share, &is_new_group);
    pthread_mutex_unlock(&w->server->groups_lock);
    if (result == 0)
        s->share = share;
    return result;
}

static struct client_subscription *add_subscription(struct client *c, struct bytes filter,
                                                    struct subscriber who)
{
    struct few_kind kind = kind_of(c);
    struct client_subscription *s = memory_alloc_zero(sizeof *s);
    if (s == NULL)
        return NULL;
    if (begin_subscription(c, s, filter, who) != 0) {
        memory_free(s);
        return NULL;
    }
    if (few_add(&c->subscriptions, &kind, s) == 0) /* now that it has a filter */
        return s;
    client_end_subscription(c, s, SHARE_LEAVE_UNSUBSCRIBED);
    memory_free(s);
    return NULL;
}

int client_subscribe(struct client *c, struct bytes filter, uint32_t options, uint32_t id,
                     bool *is_new)
{
    struct client_subscription *s = client_find_subscription(c, filter);
    struct subscriber who = subscriber_of(c, options, id);
    bool existed = s != NULL;
    if (s == NULL && (s = add_subscription(c, filter, who)) == NULL)
        return -ENOMEM;
    if (s->is_shared) { /* [MQTT-3.8.4-3] */
        s->share_options = (uint16_t)who.options;
        s->share_id = id;
        if (c->durable != NULL && share_store_join(c, s->share) != 0)
            return -ENOMEM;
        shares_set_member(c, router_share_handle(s->share), who.options, id);
    } else if (existed) {
        router_subscription_update(c->worker->server->router, &s->route, who.options, id);
    }
    *is_new = !existed;
    if (store_subscription(c, s) == 0)
        return 0;
    if (!existed) { /* as if it had not been asked for */
        few_remove(&c->subscriptions, s);
        client_end_subscription(c, s, SHARE_LEAVE_UNSUBSCRIBED);
        memory_free(s);
    }
    return -ENOMEM;
}

void client_end_subscription(struct client *c, struct client_subscription *s, enum share_leave why)
{
    struct router *router = c->worker->server->router;
    replay_forget(c, s);
    if (!s->is_shared) {
        router_unsubscribe(router, &s->route);
        return;
    }
    uint64_t group = router_share_handle(s->share);
    shares_leave(c, group, why, share_store_leave(c->worker, s->share));
}

/* 0 or -ENOMEM. */
static int forget_subscription(struct client *c, const struct client_subscription *s)
{
    if (c->durable == NULL)
        return 0;
    struct durable_key key = { .kind = KEY_SUBSCRIPTION,
                               .session = atomic_load(&c->durable->key),
                               .filter = client_subscription_filter(s) };
    return staging_remove(c->worker, &key);
}

int client_unsubscribe(struct client *c, struct bytes filter)
{
    struct client_subscription *s = client_find_subscription(c, filter);
    if (s == NULL)
        return -ENOENT;
    if (forget_subscription(c, s) != 0)
        return -ENOMEM;
    if (s->is_shared) {
        session_adopt(c->session, router_share_handle(s->share));
        c->has_left_group = true;
    }
    few_remove(&c->subscriptions, s); /* while it has its filter */
    client_end_subscription(c, s, SHARE_LEAVE_UNSUBSCRIBED);
    memory_free(s);
    return 0;
}

void client_announce_to_groups(struct client *c)
{
    size_t cursor = 0;
    for (struct client_subscription *s; (s = few_next(&c->subscriptions, &cursor)) != NULL;)
        if (s->is_shared)
            shares_set_member(c, router_share_handle(s->share), s->share_options, s->share_id);
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
    assert(session_is_attached(c->session) ==
           (c->connection != NULL && (c->connection->paused & PAUSED_BY_CONNACK) == 0));
    assert(c->connection == NULL || c->connection->client == c);
    assert(c->entry->client == c);
    assert(c->session_expiry_s == 0 || c->expiry != NULL);
    assert(c->expiry == NULL || !timer_is_set(&c->expiry->timer) || c->connection == NULL);
    assert(c->will == NULL || (c->will->client == c && c->will->message != NULL));
    assert(c->trouble == NULL || c->trouble->client == c);
}
