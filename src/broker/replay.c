/* broker/replay.c: see replay.h.
 *
 *     worker->replays   -> replay of client A -> replay of client B
 *                          wanted [ s1 | s2 | s3 ]
 *                                   ^ next, with the cursor of its walk */
#include "broker/replay.h"
#include "base/memory.h"
#include "broker/answers.h"
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/server.h"
#include "router/retained.h"
#include <errno.h>

enum {
    NODES_PER_STEP = 1000,
    MESSAGES_PER_STEP = 128,
    QUEUE_MARK = 1000, /* messages that wait for the Client: then the walk waits, too */
    WANTED_FIRST = 4,
};

struct replay {
    struct list link; /* in worker->replays */
    struct client *client;
    struct client_subscription **wanted; /* NULL entries have ended */
    size_t next, count, capacity;
    struct retained_cursor *cursor; /* of wanted[next]; NULL: not begun */
};

static void destroy(struct replay *r)
{
    for (size_t i = r->next; i < r->count; i++)
        if (r->wanted[i] != NULL)
            r->wanted[i]->wants_retained = false;
    r->client->replay = NULL;
    list_remove(&r->link);
    retained_close(r->cursor);
    memory_free(r->wanted);
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
    if (answers_hold_packet(c->connection) || connection_is_congested(c->connection) ||
        queued >= mark)
        return 0;
    return mark - queued < MESSAGES_PER_STEP ? mark - queued : MESSAGES_PER_STEP;
}

/* Hands over what one step of the walk finds.  True: the walk is over. */
static bool walk(struct client *c, struct retained_cursor *cursor,
                 const struct client_subscription *s)
{
    struct message *found[MESSAGES_PER_STEP];
    struct subscriber who = router_subscription_subscriber(c->worker->server->router, &s->route);
    bool done = false;
    size_t count = retained_next(cursor, found, room_of(c), NODES_PER_STEP, &done);
    for (size_t i = 0; i < count; i++) {
        struct publication p = { found[i], true, 0 };
        if (!message_is_expired(found[i], c->worker->now_ns)) /* else the sweep will come by */
            client_deliver(c, &p, who.options, who.id, NULL, true);
        publication_fini(&p);
    }
    return done;
}

static void log_failure(const struct client *c)
{
    log_line(c->worker->log, LOG_TYPE_ERROR,
             "Error: Out of memory: no retained messages for client %s.",
             LOG_TEXT(client_id_of(c)));
}

/* One step; r is gone when nothing is left to do. */
static void step(struct replay *r)
{
    struct client_subscription *s = r->wanted[r->next];
    bool is_over = s == NULL;
    if (s != NULL && r->cursor == NULL)
        r->cursor =
            retained_open(r->client->worker->server->retained, client_subscription_filter(s));
    if (s != NULL && r->cursor == NULL)
        log_failure(r->client);
    if (s != NULL)
        is_over = r->cursor == NULL || walk(r->client, r->cursor, s);
    if (!is_over)
        return;
    retained_close(r->cursor);
    r->cursor = NULL;
    if (s != NULL)
        s->wants_retained = false;
    r->wanted[r->next++] = NULL;
    if (r->next == r->count)
        destroy(r);
}

static struct replay *create(struct client *c)
{
    struct replay *r = memory_alloc_zero(sizeof *r);
    if (r == NULL)
        return NULL;
    r->client = c;
    list_init(&r->link);
    list_push_back(&c->worker->replays, &r->link);
    c->replay = r;
    return r;
}

static int push(struct replay *r, struct client_subscription *s)
{
    if (r->count == r->capacity) {
        size_t capacity = r->capacity == 0 ? WANTED_FIRST : r->capacity * 2;
        void *wanted = memory_resize(r->wanted, capacity * sizeof *r->wanted);
        if (wanted == NULL)
            return -ENOMEM;
        r->wanted = wanted;
        r->capacity = capacity;
    }
    r->wanted[r->count++] = s;
    s->wants_retained = true;
    return 0;
}

void replay_start(struct client *c, struct client_subscription *s)
{
    struct replay *r = c->replay;
    if (s->wants_retained) { /* begin its walk anew, if it has begun */
        if (r->wanted[r->next] == s) {
            retained_close(r->cursor);
            r->cursor = NULL;
        }
        return;
    }
    if (retained_count(c->worker->server->retained) == 0)
        return;
    if ((r == NULL && (r = create(c)) == NULL) || push(r, s) != 0) {
        log_failure(c);
        if (r != NULL && r->count == 0)
            destroy(r);
        return;
    }
    if (r->next == r->count - 1) /* nobody waits before it */
        step(r);
}

void replay_forget(struct client *c, struct client_subscription *s)
{
    struct replay *r = c->replay;
    if (!s->wants_retained)
        return;
    size_t at = r->next;
    while (r->wanted[at] != s)
        at++;
    r->wanted[at] = NULL;
    s->wants_retained = false;
    if (at == r->next) {
        retained_close(r->cursor);
        r->cursor = NULL;
    }
}

void replay_stop(struct client *c)
{
    if (c->replay != NULL)
        destroy(c->replay);
}

static struct replay *first_ready(const struct worker *w)
{
    for (const struct list *l = w->replays.next; l != &w->replays; l = l->next) {
        struct replay *r = container_of(l, struct replay, link);
        if (room_of(r->client) > 0)
            return r;
    }
    return NULL;
}

void replay_run(struct worker *w)
{
    struct replay *r = first_ready(w);
    if (r == NULL)
        return;
    list_remove(&r->link); /* the next walk's turn is the next one */
    list_push_back(&w->replays, &r->link);
    step(r);
}

bool replay_is_ready(const struct worker *w)
{
    return first_ready(w) != NULL;
}

void replay_stop_all(struct worker *w)
{
    while (!list_is_empty(&w->replays))
        destroy(container_of(w->replays.next, struct replay, link));
}
