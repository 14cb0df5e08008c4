/* broker/shares.c: groups at home, and the notes to and from them.
 *
 *     publisher's worker --DELIVER--> home --HANDOVER, REFUSED--> member's worker
 *                                      ^------FINISH, RETURN, MEMBER, LEAVE-----'
 *
 * Members speak to a home by notes only, to one on their own worker as well: all that one of them
 * says comes in its order, and a session that says something in the middle of what it does is not
 * met by the group's answer.  The last member to leave says how many there were; when as many have
 * left, the group is over. */
#include "broker/shares.h"
#include "base/hash.h"
#include "base/memory.h"
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/deposit.h"
#include "broker/full_sessions.h"
#include "broker/server.h"
#include "broker/share_store.h"
#include "broker/worker.h"
#include <errno.h>

struct share_home {
    uint64_t handle; /* the key of worker->groups */
    struct share_group *group;
    bool is_full;        /* registered in server->full */
    size_t left, joined; /* members that have left, and how many will have; 0: not known yet */
};

static struct bytes handle_key(const void *home)
{
    return bytes_of(&((const struct share_home *)home)->handle, sizeof(uint64_t));
}

void shares_init(struct worker *w)
{
    map_init(&w->groups, w->server->seed, handle_key);
}

unsigned shares_home_for(const struct worker *w, struct bytes name, struct bytes filter)
{
    uint64_t hash = hash_bytes(hash_bytes(w->server->seed, name), filter);
    return (unsigned)((hash >> 32) % w->server->worker_count);
}

/* ---------------------------------------------------------------------------------- at home --- */

static struct share_home *find_home(const struct worker *w, uint64_t handle)
{
    return map_find(&w->groups, bytes_of(&handle, sizeof handle));
}

static struct share_group_options group_options(const struct worker *w)
{
    const struct config *config = w->config;
    bool refuses = config->queue_policy == QUEUE_REFUSE_PUBLISHER; /* then it never drops */
    return (struct share_group_options){
        .choice = (enum share_choice)config->shared_subscription_strategy,
        .queued_messages_max = refuses ? 0 : config->max_queued_messages,
        .queued_bytes_max = refuses ? 0 : config->max_queued_bytes,
        .queue_qos0 = config->queue_qos0_messages,
        .drop_oldest = config->queue_policy == QUEUE_DROP_OLDEST,
        .seed = w->server->seed,
    };
}

static struct share_home *need_home(struct worker *w, uint64_t handle)
{
    struct share_home *h = find_home(w, handle);
    if (h != NULL || (h = memory_alloc(sizeof *h)) == NULL)
        return h;
    h->handle = handle;
    h->is_full = false;
    h->left = h->joined = 0;
    struct share_group_options options = group_options(w);
    h->group = share_group_create(&options);
    if (h->group != NULL && map_add(&w->groups, h) == 0)
        return h;
    share_group_destroy(h->group);
    memory_free(h);
    return NULL;
}

/* queue_policy refuse-publisher: publishers everywhere see whether there is room. */
static void tell_fullness(struct worker *w, struct share_home *h)
{
    const struct config *config = w->config;
    bool is_full = (config->max_queued_messages > 0 &&
                    share_group_waiting_count(h->group) >= config->max_queued_messages) ||
                   (config->max_queued_bytes > 0 &&
                    share_group_waiting_bytes(h->group) >= config->max_queued_bytes);
    if (config->queue_policy != QUEUE_REFUSE_PUBLISHER)
        is_full = false;
    if (is_full && !h->is_full)
        h->is_full = full_sessions_add(w->server->full, full_key_of_group(h->handle)) == 0;
    else if (!is_full && h->is_full) {
        full_sessions_remove(w->server->full, full_key_of_group(h->handle));
        h->is_full = false;
    }
}

void shares_take_config(struct worker *w)
{
    struct share_group_options options = group_options(w);
    size_t cursor = 0;
    for (struct share_home *h; (h = map_next(&w->groups, &cursor)) != NULL;) {
        share_group_set_limits(h->group, &options);
        tell_fullness(w, h);
    }
}

static void end_home(struct worker *w, struct share_home *h)
{
    if (h->is_full)
        full_sessions_remove(w->server->full, full_key_of_group(h->handle));
    map_remove(&w->groups, h);
    share_group_destroy(h->group);
    memory_free(h);
}

void shares_destroy_all(struct worker *w)
{
    size_t cursor = 0;
    for (struct share_home *h; (h = map_next(&w->groups, &cursor)) != NULL;) {
        if (h->is_full)
            full_sessions_remove(w->server->full, full_key_of_group(h->handle));
        share_group_destroy(h->group);
        memory_free(h);
    }
    map_fini(&w->groups);
}

static void drop_in_group(struct worker *w, enum drop cause, size_t count)
{
    if (count > 0)
        metric_bump(&w->metrics.drops[cause], (int64_t)count);
}

/* Takes over the message.  False: no memory for the note; it waits on, at the front. */
static bool hand_over(struct worker *w, const struct share_home *h, struct share_handover *given)
{
    unsigned to = handle_worker(given->handle);
    struct note local, *n = &local;
    if (to != w->index)
        n = post_note(w, to, NOTE_SHARE_HANDOVER, given->handle, message_size(given->message));
    if (n == NULL) {
        if (given->ticket == 0) /* QoS 0 does not come back */
            drop_in_group(w, DROP_NO_MEMORY, 1);
        share_group_return(h->group, given->handle, given->ticket);
        message_unref(given->message);
        return false;
    }
    n->handover.message = given->message;
    n->handover.group = h->handle;
    n->handover.ticket = given->ticket;
    n->handover.options = given->options;
    n->handover.id = given->id;
    n->handover.qos = given->qos;
    if (to == w->index) {
        local.kind = NOTE_SHARE_HANDOVER;
        local.handle = given->handle;
        shares_on_handover(w, &local);
    }
    return true;
}

/* Hands out what can be handed out. */
static void pump(struct worker *w, struct share_home *h)
{
    struct share_handover given;
    while (share_group_next(h->group, w->now_ns, &given) && hand_over(w, h, &given)) {
    }
    drop_in_group(w, DROP_EXPIRED, share_group_expired_count(h->group));
    tell_fullness(w, h);
}

/* QoS 0, and nothing of the group's waits: it goes on as if the member alone had subscribed.  The
 * group remembers nothing of it.  False: it has to wait. */
static bool pass_on(struct worker *w, const struct share_home *h, struct publication *p)
{
    struct share_handover to;
    uint64_t in_letter = 0;
    if (!share_group_pass(h->group, p->message, p->publisher_hash, w->now_ns, &to))
        return false;
    struct subscriber who = { to.handle, to.options & ~(uint32_t)SUBSCRIBER_QOS, to.id };
    if (handle_worker(to.handle) != w->index) {
        if (post_message(w, p, who, NULL, &in_letter) != 0)
            drop_in_group(w, DROP_NO_MEMORY, 1);
        return true;
    }
    struct client *c = worker_find_client(w, to.handle);
    if (c != NULL)
        client_deliver(c, p, who.options, who.id, NULL, false);
    else
        drop_in_group(w, DROP_OFFLINE, 1);
    return true;
}

static void push_claimed(struct worker *w, struct share_home *h, struct message *m,
                         uint64_t publisher_hash, struct block *claim)
{
    switch (share_group_push_claimed(h->group, m, publisher_hash, claim)) {
    case SHARE_PUSHED:
        break;
    case SHARE_DROPPED_QUEUE_FULL:
        drop_in_group(w, DROP_QUEUE_FULL, 1);
        metrics_add(&w->metrics, METRIC_publish_dropped, 1);
        break;
    case SHARE_DROPPED_NOBODY:
        drop_in_group(w, DROP_OFFLINE, 1);
        break;
    case SHARE_DROPPED_NO_MEMORY:
        drop_in_group(w, DROP_NO_MEMORY, 1);
        break;
    }
    pump(w, h);
}

static void push(struct worker *w, struct share_home *h, struct publication *p)
{
    if (pass_on(w, h, p))
        return;
    struct message *kept = publication_keep(p);
    if (kept == NULL) {
        drop_in_group(w, DROP_NO_MEMORY, 1);
        return;
    }
    push_claimed(w, h, kept, p->publisher_hash, NULL);
}

static void set_member_at_home(struct worker *w, uint64_t group,
                               const struct share_member_options *o)
{
    struct share_home *h = need_home(w, group);
    bool is_set = h != NULL && share_group_set_member(h->group, o) == 0;
    if (!is_set && post_note(w, handle_worker(o->handle), NOTE_SHARE_REFUSED, o->handle, 0) == NULL)
        log_line(w->log, LOG_TYPE_ERROR,
                 "Error: Out of memory: a shared subscription gets no messages.");
    if (h != NULL)
        pump(w, h);
}

/* The group is in the index, so it has not ended; its first member's note may still be on its
 * way. */
void shares_push(struct worker *w, uint64_t group, struct publication *p)
{
    struct share_home *h = need_home(w, group);
    if (h == NULL)
        drop_in_group(w, DROP_NO_MEMORY, 1);
    else
        push(w, h, p);
}

/* The match was a while ago: what is not there has ended. */
void shares_on_deliver(struct worker *w, uint64_t group, struct publication *p)
{
    struct share_home *h = find_home(w, group);
    if (h == NULL)
        drop_in_group(w, DROP_SESSION_ENDED, 1);
    else
        push(w, h, p);
}

void shares_push_stored(struct worker *w, struct deposit *d, uint32_t index)
{
    uint64_t group = d->entries[index].handle;
    struct share_home *h = d->owner == w->index ? need_home(w, group) : find_home(w, group);
    struct block *claim = h == NULL ? NULL : share_claim_create(w, d, index, 0, 0);
    if (claim == NULL) {
        drop_in_group(w, h == NULL ? DROP_SESSION_ENDED : DROP_NO_MEMORY, 1);
        deposit_finish(w, d, index);
        return;
    }
    push_claimed(w, h, d->message, d->publisher_hash, claim);
    block_unref(claim);
    if (share_group_waiting_count(h->group) > 0)
        staging_hurry(w);
}

int shares_restore(struct worker *w, uint64_t group, struct message *m, uint64_t key, uint64_t seq)
{
    struct share_home *h = need_home(w, group);
    struct block *claim = h == NULL ? NULL : share_claim_create(w, NULL, 0, key, seq);
    if (claim == NULL)
        return -ENOMEM;
    push_claimed(w, h, m, 0, claim);
    block_unref(claim);
    return 0;
}

/* The last one to leave, as the router saw it, knows how many there were; its note may come before
 * those of others. */
static void leave_at_home(struct worker *w, const struct note *n)
{
    struct share_home *h = need_home(w, n->handle);
    if (h == NULL)
        return;
    h->left++;
    h->joined += n->leave.joined;
    share_group_leave(h->group, n->leave.member, n->leave.why);
    if (h->left != h->joined) {
        pump(w, h);
        return;
    }
    drop_in_group(w, DROP_SESSION_ENDED, share_group_waiting_count(h->group));
    end_home(w, h);
}

static void settle_at_home(struct worker *w, enum note_kind kind, uint64_t group, uint64_t member,
                           uint64_t ticket)
{
    struct share_home *h = find_home(w, group);
    if (h == NULL)
        return;
    if (kind == NOTE_SHARE_FINISH)
        share_group_finish(h->group, member, ticket);
    else
        share_group_return(h->group, member, ticket);
    pump(w, h);
}

void shares_check(const struct worker *w)
{
    size_t cursor = 0;
    for (const struct share_home *h; (h = map_next(&w->groups, &cursor)) != NULL;)
        share_group_check(h->group);
}

/* ------------------------------------------------------------------------- from members' side - */

/* A note that must not be lost.  Without memory it is: the group then counts a
 * message as unfinished until its member leaves. */
static struct note *tell(struct worker *w, uint64_t group, enum note_kind kind)
{
    struct note *n = post_note(w, handle_worker(group), kind, group, 0);
    if (n == NULL)
        log_line(w->log, LOG_TYPE_ERROR,
                 "Error: Out of memory: a shared subscription is not told.");
    return n;
}

void shares_set_member(struct client *c, uint64_t group, uint32_t options, uint32_t id)
{
    struct worker *w = c->worker;
    struct share_member_options o = {
        .handle = c->handle,
        .options = options,
        .id = id,
        .window = client_window(c),
        .online = c->connection != NULL,
    };
    struct note *n = tell(w, group, NOTE_SHARE_MEMBER);
    if (n != NULL)
        n->member.options = o;
}

void shares_leave(struct client *c, uint64_t group, enum share_leave why, size_t joined)
{
    struct note *n = tell(c->worker, group, NOTE_SHARE_LEAVE);
    if (n != NULL) {
        n->leave.member = c->handle;
        n->leave.why = why;
        n->leave.joined = joined;
    }
}

static void settle(struct worker *w, enum note_kind kind, uint64_t group, uint64_t member,
                   uint64_t ticket)
{
    struct note *n = tell(w, group, kind);
    if (n != NULL) {
        n->settle.member = member;
        n->settle.ticket = ticket;
    }
}

void shares_finish(struct worker *w, uint64_t group, uint64_t member, uint64_t ticket)
{
    settle(w, NOTE_SHARE_FINISH, group, member, ticket);
}

void shares_return(struct worker *w, uint64_t group, uint64_t member, uint64_t ticket)
{
    settle(w, NOTE_SHARE_RETURN, group, member, ticket);
}

/* -------------------------------------------------------------------------------- by note ----- */

static bool is_member(const struct client *c, uint64_t group)
{
    size_t cursor = 0;
    for (const struct client_subscription *s; (s = few_next(&c->subscriptions, &cursor)) != NULL;)
        if (s->is_shared && router_share_handle(s->share) == group)
            return true;
    return false;
}

/* A member that has gone meanwhile gives its message back; one that is offline, too, because its
 * session returns what it cannot start.  From one that has unsubscribed the group takes nothing
 * back: it is the Client's own. */
void shares_on_handover(struct worker *w, struct note *n)
{
    struct client *c = worker_find_client(w, n->handle);
    if (c != NULL && c->has_left_group && !is_member(c, n->handover.group))
        n->handover.group = n->handover.ticket = 0;
    if (c != NULL && (c->connection != NULL || n->handover.ticket == 0))
        client_deliver_handover(c, n);
    else if (n->handover.ticket != 0)
        shares_return(w, n->handover.group, n->handle, n->handover.ticket);
    else
        drop_in_group(w, DROP_OFFLINE, 1);
    message_unref(n->handover.message);
    n->handover.message = NULL;
}

/* SUBACK has said yes already.  The Client can try again: by subscribing, or, if its Session stays,
 * by coming back. */
static void on_refused(struct worker *w, uint64_t handle)
{
    struct client *c = worker_find_client(w, handle);
    if (c != NULL && c->connection != NULL)
        connection_fail(c->connection, REASON_QUOTA_EXCEEDED, "out of memory");
}

void shares_on_note(struct worker *w, struct note *n)
{
    switch (n->kind) {
    case NOTE_SHARE_MEMBER:
        set_member_at_home(w, n->handle, &n->member.options);
        break;
    case NOTE_SHARE_LEAVE:
        leave_at_home(w, n);
        break;
    case NOTE_SHARE_FINISH:
    case NOTE_SHARE_RETURN:
        settle_at_home(w, n->kind, n->handle, n->settle.member, n->settle.ticket);
        break;
    case NOTE_SHARE_REFUSED:
        on_refused(w, n->handle);
        break;
    default:
        assert(false && "a note for a group");
    }
}
