/* broker/replay.c: see replay.h. */
#include "broker/replay.h"
#include "base/memory.h"
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/server.h"
#include "router/retained.h"

enum {
    NODES_PER_STEP = 1000,
    MESSAGES_PER_STEP = 128,
    QUEUE_MARK = 1000, /* messages that wait for the Client: then the walk waits, too */
};

struct replay {
    struct list link;
    struct client *client;
    struct retained_cursor *cursor;
    uint32_t options, id;
};

static void destroy(struct replay *r)
{
    list_remove(&r->link);
    retained_close(r->cursor);
    memory_free(r);
}

/* How many more messages the Client can take now: while it is connected and has enough to do, more
 * would only fill memory, or be dropped at a limit. */
static size_t room_of(const struct client *c)
{
    size_t limit = c->worker->config->max_queued_messages;
    size_t mark = limit > 0 && limit < QUEUE_MARK ? limit : QUEUE_MARK;
    size_t queued = session_stats(c->session).queued_count;
    if (c->connection == NULL)
        return MESSAGES_PER_STEP;
    if (connection_is_congested(c->connection) || queued >= mark)
        return 0;
    return mark - queued < MESSAGES_PER_STEP ? mark - queued : MESSAGES_PER_STEP;
}

/* True: the walk is over. */
static bool step(struct replay *r)
{
    struct message *found[MESSAGES_PER_STEP];
    struct client *c = r->client;
    bool done = false;
    size_t count = retained_next(r->cursor, found, room_of(c), NODES_PER_STEP, &done);
    for (size_t i = 0; i < count; i++) {
        struct publication p = { found[i], true, 0 };
        if (!message_is_expired(found[i], c->worker->now_ns)) /* else the sweep will come by */
            client_deliver(c, &p, r->options, r->id, NULL, true);
        publication_fini(&p);
    }
    return done;
}

void replay_start(struct client *c, struct bytes filter, uint32_t options, uint32_t id)
{
    struct worker *w = c->worker;
    if (retained_count(w->server->retained) == 0)
        return;
    struct replay *r = memory_alloc(sizeof *r);
    struct retained_cursor *cursor = retained_open(w->server->retained, filter);
    if (r == NULL || cursor == NULL) {
        log_line(w->log, LOG_TYPE_ERROR,
                 "Error: Out of memory: no retained messages for client %s.",
                 LOG_TEXT(c->client_id));
        retained_close(cursor);
        memory_free(r);
        return;
    }
    *r = (struct replay){ .client = c, .cursor = cursor, .options = options, .id = id };
    list_init(&r->link);
    list_push_back(&w->replays, &r->link);
    if (step(r))
        destroy(r);
}

void replay_run(struct worker *w)
{
    struct list later;
    list_init(&later);
    for (struct list *l; (l = list_pop_front(&w->replays)) != NULL;) {
        struct replay *r = container_of(l, struct replay, link);
        if (room_of(r->client) == 0) {
            list_push_back(&later, &r->link);
            continue;
        }
        if (step(r))
            destroy(r);
        else
            list_push_back(&later, &r->link);
        break; /* one step a turn; the next walk's turn is the next one */
    }
    while (!list_is_empty(&later))
        list_push_back(&w->replays, list_pop_front(&later));
}

bool replay_is_ready(const struct worker *w)
{
    for (const struct list *l = w->replays.next; l != &w->replays; l = l->next)
        if (room_of(container_of(l, struct replay, link)->client) > 0)
            return true;
    return false;
}

void replay_stop(struct client *c)
{
    struct list *next;
    for (struct list *l = c->worker->replays.next; l != &c->worker->replays; l = next) {
        struct replay *r = container_of(l, struct replay, link);
        next = l->next;
        if (r->client == c)
            destroy(r);
    }
}

void replay_stop_all(struct worker *w)
{
    while (!list_is_empty(&w->replays))
        destroy(container_of(w->replays.next, struct replay, link));
}
