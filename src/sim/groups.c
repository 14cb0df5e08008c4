/* sim/groups.c: see groups.h.
 *
 * The broker's groups live on one worker and hear of their members by letter, so the model cannot
 * know which member gets a message.  It knows that one gets it, and what follows from that:
 *
 *     WAITS  -- a member, or former one, receives it -->  RECEIVED  -- acknowledged -->  DONE
 *       ^                                                    |
 *       `------- its Session ends, QoS 1 --------------------'     (QoS 2: nobody may get it)
 *
 * A message of QoS 2 may have been on its way to a member whose Session ends, and is soft then. */
#include "sim/groups.h"

static struct sim_group *new_group(struct model *m, unsigned filter)
{
    struct sim_group *g = story_alloc(m->arena, sizeof *g);
    g->filter = filter;
    list_init(&g->link);
    list_init(&g->in_all);
    list_init(&g->members);
    list_init(&g->expected);
    list_init(&g->done);
    list_push_back(&m->groups, &g->link);
    list_push_back(&m->all_groups, &g->in_all);
    return g;
}

static struct sim_group *find_group(const struct model *m, unsigned filter)
{
    for (struct list *l = m->groups.next; l != &m->groups; l = l->next) {
        struct sim_group *g = container_of(l, struct sim_group, link);
        if (g->filter == filter)
            return g;
    }
    return NULL;
}

static struct expected *new_expected(struct model *m, struct sim_group *g,
                                     const struct sim_message *message, int64_t expires_ns)
{
    enum persistence_mode mode = model_mode(m, message->topic);
    struct expected *e = story_alloc(m->arena, sizeof *e);
    list_init(&e->link);
    e->message = message;
    e->expires_ns = expires_ns;
    e->taken_ns = m->world->now_ns;
    e->serial = ++m->serials;
    e->group = g;
    e->is_soft = message->qos == 0 || g->had_qos0;
    e->is_stored = g->is_durable && mode != PERSISTENCE_NONE &&
                   (message->qos > 0 || m->config->upgrade_outgoing_qos);
    e->until_sent = mode == PERSISTENCE_QUEUED;
    list_push_back(&g->expected, &e->link);
    return e;
}

size_t groups_route(struct model *m, const struct sim_message *message, int64_t expires_ns,
                    const struct promise *promise)
{
    size_t count = 0;
    for (struct list *l = m->groups.next; l != &m->groups; l = l->next) {
        struct sim_group *g = container_of(l, struct sim_group, link);
        if (!story_matches(g->filter, message->topic))
            continue;
        new_expected(m, g, message, expires_ns)->promise = promise;
        count++;
    }
    return count;
}

bool groups_need_store(const struct model *m, unsigned topic)
{
    for (struct list *l = m->groups.next; l != &m->groups; l = l->next) {
        const struct sim_group *g = container_of(l, struct sim_group, link);
        if (g->is_durable && story_matches(g->filter, topic))
            return true;
    }
    return false;
}

void groups_done(struct model *m, struct expected *e)
{
    e->done_ns = m->world->now_ns;
    if (e->is_stored)
        list_push_back(&e->group->done, &e->link);
}

bool groups_restore(struct model *m, unsigned filter, struct expected *e)
{
    struct sim_group *g = find_group(m, filter);
    if (g == NULL)
        return false;
    list_remove(&e->link);
    e->group = g;
    e->state = EXPECTED_WAITS;
    e->holder = NULL;
    list_push_back(&g->expected, &e->link);
    return true;
}

void groups_on_crash(struct model *m)
{
    for (struct list *l = m->all_groups.next; l != &m->all_groups; l = l->next) {
        struct sim_group *g = container_of(l, struct sim_group, in_all);
        while (list_pop_front(&g->expected) != NULL) {
        }
    }
    list_init(&m->groups);
    list_init(&m->all_groups);
}

static void soften(struct sim_group *g, unsigned qos_least)
{
    for (struct list *l = g->expected.next; l != &g->expected; l = l->next) {
        struct expected *e = container_of(l, struct expected, link);
        e->is_soft |= e->message->qos >= qos_least;
    }
}

static bool has_left(const struct sim_session *s, const struct sim_group *g)
{
    for (struct list *l = s->memberships.next; l != &s->memberships; l = l->next) {
        const struct membership *ms = container_of(l, struct membership, in_session);
        if (ms->group == g && !ms->is_member)
            return true;
    }
    return false;
}

void groups_join(struct model *m, struct sim_session *s, unsigned filter)
{
    struct sim_subscription *subscription = &s->subscriptions[filter];
    struct membership *ms = subscription->membership;
    if (ms == NULL) {
        ms = story_alloc(m->arena, sizeof *ms);
        ms->session = s;
        ms->group = find_group(m, filter);
        if (ms->group == NULL)
            ms->group = new_group(m, filter);
        ms->is_member = true;
        ms->group->is_durable |= s->key != 0;
        ms->left_ns = INT64_MAX;
        if (has_left(s, ms->group)) /* a message on its way to it finds another membership */
            soften(ms->group, 0);
        ms->group->member_count++;
        list_init(&ms->in_session);
        list_init(&ms->in_group);
        list_push_back(&s->memberships, &ms->in_session);
        list_push_back(&ms->group->members, &ms->in_group);
        subscription->membership = ms;
    }
    assert(subscription->id < 256);
    ms->options_used |= UINT64_C(1) << subscription->options;
    ms->ids_used[subscription->id / 64] |= UINT64_C(1) << subscription->id % 64;
    if ((subscription->options & SUBSCRIBE_QOS) == 0) {
        ms->group->had_qos0 = true; /* who is given it at QoS 0 may lose it */
        soften(ms->group, 0);
    }
}

/* What was given to it is its own now, and not on the disk any more; nobody knows what that is. */
static void unstore(struct sim_group *g)
{
    for (struct list *l = g->expected.next; l != &g->expected; l = l->next)
        container_of(l, struct expected, link)->until_sent = true;
}

static void leave(const struct model *m, struct membership *ms)
{
    unstore(ms->group);
    ms->is_member = false;
    ms->left_ns = m->world->now_ns;
    if (--ms->group->member_count > 0)
        return;
    list_remove(&ms->group->link);
    soften(ms->group, 0); /* what waited is dropped; what somebody was given may still come */
}

void groups_leave(struct model *m, struct sim_session *s, unsigned filter)
{
    leave(m, s->subscriptions[filter].membership);
}

/* What it has received and not acknowledged.  Who has left and come back has some of it from its
 * first time, some from its second: the former is lost [MQTT-3.10.4-3]. */
static void give_back(struct model *m, struct sim_session *s, const struct membership *ms)
{
    struct list *next;
    bool left = has_left(s, ms->group);
    for (struct list *l = ms->group->expected.next; l != &ms->group->expected; l = next) {
        struct expected *e = container_of(l, struct expected, link);
        next = l->next;
        if (e->holder != s || e->state != EXPECTED_RECEIVED)
            continue;
        e->is_soft |= left;
        if (e->qos == 1 && (ms->is_member || left)) {
            e->state = EXPECTED_WAITS;
        } else { /* [MQTT-4.8.2-5] */
            e->state = EXPECTED_DONE;
            list_remove(&e->link);
            groups_done(m, e);
        }
        e->holder = NULL;
    }
}

void groups_on_session_end(struct model *m, struct sim_session *s)
{
    for (struct list *l = s->memberships.next; l != &s->memberships; l = l->next) {
        struct membership *ms = container_of(l, struct membership, in_session);
        give_back(m, s, ms);
        soften(ms->group, ms->is_member ? 2 : 0);
        if (ms->is_member)
            leave(m, ms);
    }
}

/* With some option that this member has had? */
static bool fits(const struct membership *ms, const struct expected *e, const struct publish *p,
                 uint32_t id, enum version version)
{
    if (version == VERSION_5_0 && (id >= 256 || (ms->ids_used[id / 64] >> id % 64 & 1) == 0))
        return false;
    for (uint8_t options = 0; options < 64; options++) {
        bool retain = (options & SUBSCRIBE_RETAIN_AS_PUBLISHED) != 0 && e->message->retain;
        if ((ms->options_used >> options & 1) != 0 && retain == p->retain) {
            uint8_t granted = options & SUBSCRIBE_QOS;
            uint8_t qos = e->message->qos < granted ? e->message->qos : granted;
            if (qos == p->qos) /* [MQTT-4.8.2-3] */
                return true;
        }
    }
    return false;
}

/* A message that was published again has copies in a group, and perhaps in former groups of the
 * same name: they cannot be told apart, but there are only so many. */
static struct expected *find_any_copy(const struct model *m, const struct sim_session *s,
                                      const struct sim_message *message)
{
    for (struct list *l = m->all_groups.next; l != &m->all_groups; l = l->next) {
        struct sim_group *g = container_of(l, struct sim_group, in_all);
        bool was_in_it = false;
        for (struct list *k = s->memberships.next; k != &s->memberships; k = k->next)
            was_in_it |= container_of(k, struct membership, in_session)->group->filter == g->filter;
        for (struct list *k = g->expected.next; was_in_it && k != &g->expected; k = k->next) {
            struct expected *e = container_of(k, struct expected, link);
            if (e->message == message && e->state == EXPECTED_WAITS)
                return e;
        }
    }
    return NULL;
}

static struct expected *find_fitting(const struct sim_session *s, const struct publish *p,
                                     const struct sim_message *message, uint32_t id,
                                     int64_t sent_ns, enum version version)
{
    struct expected *found = NULL;
    int best = -1; /* copies of a message that was published again cannot always be told apart */
    for (struct list *l = s->memberships.next; l != &s->memberships; l = l->next) {
        const struct membership *ms = container_of(l, struct membership, in_session);
        for (struct list *k = ms->group->expected.next; k != &ms->group->expected; k = k->next) {
            struct expected *e = container_of(k, struct expected, link);
            if (e->message != message || e->state != EXPECTED_WAITS || !fits(ms, e, p, id, version))
                continue;
            int rank = 4 * (e->taken_ns <= ms->left_ns) + 2 * expected_fits_time(s, e, p, sent_ns) +
                       !e->is_soft;
            if (rank > best) {
                best = rank;
                found = e;
            }
        }
    }
    return found;
}

struct expected *groups_find(const struct model *m, const struct sim_session *s,
                             const struct publish *p, const struct sim_message *message,
                             uint32_t id, int64_t sent_ns, enum version version)
{
    struct expected *e = find_fitting(s, p, message, id, sent_ns, version);
    return e == NULL && message->taken > 1 ? find_any_copy(m, s, message) : e;
}

uint32_t group_max_packet_size(const struct sim_group *g)
{
    uint32_t least = 0;
    for (struct list *l = g->members.next; l != &g->members; l = l->next) {
        const struct sim_session *s = container_of(l, struct membership, in_group)->session;
        uint32_t size = s->max_packet_size;
        if (size > 0 && (least == 0 || size < least))
            least = size;
    }
    return least;
}

void groups_check_quiet(struct model *m)
{
    for (struct list *l = m->groups.next; l != &m->groups; l = l->next) {
        const struct sim_group *g = container_of(l, struct sim_group, link);
        uint32_t size = group_max_packet_size(g);
        for (struct list *k = g->expected.next; k != &g->expected; k = k->next) {
            const struct expected *e = container_of(k, struct expected, link);
            if (e->state == EXPECTED_WAITS && !expected_may_be_lost(m, e, size, m->world->now_ns))
                MODEL_FAIL(m, "m%u (%s) was lost in the group %s", e->message->index,
                           story_topics[e->message->topic].name, story_filters[g->filter].text);
        }
    }
}
