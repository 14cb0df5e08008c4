/* sim/aftermath.c: see aftermath.h.
 *
 *     old Session (in memory, before)     found Session (on the disk)
 *         expected, in flight, done   <->     entries of its queue
 *         subscriptions and changes   <->     subscriptions
 *         ...                                 ...
 *                            `-> new Session <-'
 *
 * Sessions are known by their key.  An entry of a queue belongs to the first expectation that it
 * fits; those that have to be there come before those that may. */
#include "sim/aftermath.h"
#include "session/session.h"
#include "sim/actor.h"
#include "sim/groups.h"
#include "sim/peek.h"
#include "sim/promises.h"

#define SECOND_NS INT64_C(1000000000)
#define LAZY_NS   (12 * SECOND_NS) /* by then everything is on the disk, stalls included */

struct aftermath {
    struct model *model;
    const struct fall *fall;
    const struct found *found;
    int64_t now_ns;
    bool is_connecting[ACTORS_MAX]; /* when it died, somebody waited for CONNACK */
};

static bool was_lately(const struct aftermath *a, int64_t ns)
{
    return a->model->fell_ns - ns <= LAZY_NS;
}

/* ---------------------------------------------------------------------------------- Retained -- */

static bool is_same_retained(const struct aftermath *a, const struct retained_model *was,
                             const struct retained_model *is)
{
    if (is->message == NULL)
        return was->message == NULL || was->expires_ns <= a->now_ns || a->fall->has_unseen;
    if (a->fall->has_unseen && is->message != a->model->retained[is->message->topic].message)
        return true;
    return was->message == is->message && was->expires_ns == is->expires_ns;
}

static void check_retained(struct aftermath *a, unsigned topic)
{
    struct model *m = a->model;
    const struct retained_model *is = &a->found->retained[topic];
    bool fits = is_same_retained(a, &m->settled_retained[topic], is);
    for (struct list *l = m->retained_changes[topic].next; l != &m->retained_changes[topic];
         l = l->next)
        fits |= is_same_retained(a, &container_of(l, struct retained_change, link)->to, is);
    if (fits || a->fall->loses_window)
        return;
    const struct sim_message *last = m->settled_retained[topic].message;
    MODEL_FAIL(m, "after the restart the Retained Message of %s is m%u; m%u was promised",
               story_topics[topic].name, is->message == NULL ? 0 : is->message->index,
               last == NULL ? 0 : last->index);
}

static void take_retained(struct aftermath *a)
{
    struct model *m = a->model;
    for (unsigned t = 0; t < TOPIC_COUNT; t++) {
        if (m->config->persistence)
            check_retained(a, t);
        m->retained[t] = m->settled_retained[t] = a->found->retained[t];
        list_init(&m->retained_changes[t]);
    }
}

/* --------------------------------------------------------------------------------- Sessions --- */

static struct sim_session *find_old(const struct model *m, uint64_t key)
{
    for (struct list *l = m->all_sessions.next; l != &m->all_sessions; l = l->next) {
        struct sim_session *s = container_of(l, struct sim_session, in_all);
        if (s->key == key)
            return s;
    }
    return NULL;
}

static const struct found_session *find_found(const struct aftermath *a, uint64_t key)
{
    for (unsigned i = 0; i < a->found->session_count; i++)
        if (a->found->sessions[i].key == key)
            return &a->found->sessions[i];
    return NULL;
}

static void check_may_be(struct aftermath *a, const struct found_session *f,
                         const struct sim_session *old)
{
    struct model *m = a->model;
    if (a->fall->loses_window || a->is_connecting[f->actor])
        return;
    if (old == NULL)
        MODEL_FAIL(m, "the store has a Session of c%u that was never made", f->actor);
    else if (!old->is_alive && (old->is_buried || !was_lately(a, old->ended_ns)))
        MODEL_FAIL(m, "a Session of c%u that had ended is back", f->actor);
    else if (old->is_alive && f->expiry_s != old->expiry_s && f->expiry_s != old->connack_expiry_s)
        MODEL_FAIL(m, "the Session of c%u expires after %u s, not %u s", f->actor, f->expiry_s,
                   old->expiry_s);
}

static void check_is_there(struct aftermath *a, const struct sim_session *s)
{
    if (s->key == 0 || !s->is_promised || a->fall->loses_window || a->is_connecting[s->actor] ||
        find_found(a, s->key) != NULL)
        return;
    if (a->fall->has_unseen && (s->expiry_s == 0 || s->expires_ns <= a->now_ns))
        return;
    MODEL_FAIL(a->model, "the Session of c%u is lost", s->actor);
}

static bool is_same_subscription(const struct sim_subscription *was,
                                 const struct sim_subscription *is)
{
    if (!was->exists || !is->exists)
        return was->exists == is->exists;
    return was->options == is->options && was->id == is->id;
}

static void check_subscription(struct aftermath *a, const struct found_session *f,
                               const struct sim_session *old, unsigned filter)
{
    const struct sim_subscription *is = &f->subscriptions[filter];
    bool fits = is_same_subscription(&old->settled[filter], is);
    for (struct list *l = old->changes.next; l != &old->changes; l = l->next) {
        const struct subscription_change *c = container_of(l, struct subscription_change, link);
        fits |= c->filter == filter && is_same_subscription(&c->to, is);
    }
    if (!fits && !a->fall->loses_window && !a->fall->has_unseen)
        MODEL_FAIL(a->model, "after the restart, the subscription of c%u to %s is %s", f->actor,
                   story_filters[filter].text,
                   !is->exists                    ? "gone"
                   : !old->settled[filter].exists ? "back"
                                                  : "another");
}

static bool is_the_same_will(const struct sim_message *a, const struct sim_message *b)
{
    return a != NULL && b != NULL && model_look_alike(a, b);
}

/* A Will is either still to come or has gone out, and then its copies are promised. */
static void check_will(struct aftermath *a, const struct found_session *f, struct sim_session *old)
{
    struct model *m = a->model;
    if (a->is_connecting[old->actor] || a->fall->loses_window)
        return;
    if (f != NULL && is_the_same_will(f->will, old->old_will) &&
        !is_the_same_will(f->will, old->will)) {
        if (!was_lately(a, old->old_will_ns))
            MODEL_FAIL(m, "the Will of c%u, m%u, is back", old->actor, f->will->index);
        if (old->will_promise != NULL)
            old->will_promise->is_void = true;
        return;
    }
    promise_keep(m, old->will_promise);
    if (f == NULL || a->fall->has_unseen || (f->will == NULL && old->will == NULL))
        return;
    if (f->will == NULL)
        MODEL_FAIL(m, "the Will of c%u, m%u, is lost", old->actor, old->will->index);
    else if (!is_the_same_will(f->will, old->will))
        MODEL_FAIL(m, "the Will of c%u is m%u, which is another one", old->actor, f->will->index);
}

/* ------------------------------------------------------------- Packet Identifiers of clients -- */

static bool has_received(const struct found_session *f, uint16_t packet_id)
{
    const uint16_t *ids = (const void *)f->received.data;
    for (size_t i = 0; i < f->received.size / sizeof *ids; i++)
        if (ids[i] == packet_id)
            return true;
    return false;
}

/* One that is on the disk has its message there, too: both came with one write. */
static void check_received(struct aftermath *a, const struct found_session *f,
                           struct sim_session *old)
{
    const uint16_t *ids = (const void *)f->received.data;
    size_t count = f->received.size / sizeof *ids;
    for (unsigned i = 0; i < old->received_count; i++) {
        struct receipt *r = &old->received[i];
        bool is_there = has_received(f, r->id);
        if (is_there)
            promise_keep(a->model, r->promise);
        else if (r->promise->is_kept && !a->fall->loses_window)
            MODEL_FAIL(a->model, "packet id %u of c%u was received, and is forgotten", r->id,
                       f->actor);
    }
    for (size_t i = 0; i < count; i++) {
        bool is_known = false;
        for (unsigned k = 0; k < old->received_count; k++)
            is_known |= old->received[k].id == ids[i];
        for (unsigned k = 0; k < old->releasing_count; k++)
            is_known |= old->releasing[k] == ids[i];
        if (!is_known && !a->fall->loses_window && !a->fall->has_unseen)
            MODEL_FAIL(a->model, "packet id %u of c%u was released, and is in use again", ids[i],
                       f->actor);
    }
}

/* ----------------------------------------------------------------------------------- queues --- */

static bool fits(const struct expected *e, const struct found_entry *f)
{
    return e->is_stored && !e->is_matched && model_look_alike(e->message, f->message) &&
           e->qos == f->qos && e->retain == f->retain && e->id_count == f->id_count &&
           memcmp(e->ids, f->ids, e->id_count * sizeof *e->ids) == 0;
}

static struct expected *find_in(const struct list *all, const struct found_entry *f)
{
    for (const struct list *l = all->next; l != all; l = l->next) {
        struct expected *e = container_of(l, struct expected, link);
        if (fits(e, f))
            return e;
    }
    return NULL;
}

static struct flight *find_flight(const struct sim_session *old, const struct found_entry *f)
{
    uint16_t packet_id = (uint16_t)(f->seq % SESSION_STORED_IDS + 1);
    for (struct list *l = old->flights.next; l != &old->flights; l = l->next) {
        struct flight *flight = container_of(l, struct flight, link);
        if (flight->id == packet_id && fits(flight->expected, f))
            return flight;
    }
    return NULL;
}

static uint64_t last_seq(const struct found_session *f)
{
    const struct found_entry *entries = (const void *)f->entries.data;
    const uint64_t *released = (const void *)f->released.data;
    size_t count = f->entries.size / sizeof *entries;
    uint64_t last = count == 0 ? 0 : entries[count - 1].seq;
    for (size_t i = 0; i < f->released.size / sizeof *released; i++)
        last = released[i] > last ? released[i] : last;
    return last;
}

/* The client has it already, and the broker will send it again, or PUBREL. */
static struct flight *fly_on(struct aftermath *a, struct sim_session *s, struct expected *e,
                             uint64_t seq, bool rec_taken)
{
    struct flight *f = story_alloc(a->model->arena, sizeof *f);
    e->state = EXPECTED_RECEIVED;
    e->seq = seq;
    e->is_matched = true;
    *f = (struct flight){ .id = (uint16_t)(seq % SESSION_STORED_IDS + 1),
                          .expected = e,
                          .order = seq,
                          .rec_taken = rec_taken };
    list_init(&f->link);
    list_push_back(&s->flights, &f->link);
    return f;
}

static void expect_once_more(struct sim_session *s, struct expected *e, uint64_t seq)
{
    list_remove(&e->link);
    e->is_matched = true;
    e->was_seen |= e->state == EXPECTED_RECEIVED || (e->state == EXPECTED_DONE && !e->is_refused);
    e->state = EXPECTED_WAITS;
    e->online_on = 0;
    e->seq = seq;
    model_expect_again(s, e);
}

/* Taken, or published as a Will, while the broker stopped: nobody has seen that. */
static struct expected *new_expected(struct aftermath *a, const struct found_entry *f)
{
    struct expected *e = story_alloc(a->model->arena, sizeof *e);
    *e = (struct expected){ .message = f->message,
                            .expires_ns = f->expires_ns,
                            .taken_ns = a->now_ns,
                            .qos = f->qos,
                            .retain = f->retain,
                            .id_count = f->id_count,
                            .is_stored = true,
                            .until_sent =
                                model_mode(a->model, f->message->topic) == PERSISTENCE_QUEUED,
                            .is_vague = true,
                            .serial = ++a->model->serials };
    memcpy(e->ids, f->ids, sizeof e->ids);
    list_init(&e->link);
    return e;
}

static void check_entry(struct aftermath *a, const struct found_session *f,
                        const struct found_entry *entry, const struct expected *e)
{
    bool is_done = e->state == EXPECTED_DONE || e->state == EXPECTED_DROPPED;
    if (a->fall->loses_window)
        return;
    if (is_done && !was_lately(a, e->done_ns))
        MODEL_FAIL(a->model, "m%u was finished long ago, and is in the queue of c%u again",
                   e->message->index, f->actor);
    else if (e->state == EXPECTED_DONE && e->qos == 2 && !e->is_refused && !e->has_twin)
        MODEL_FAIL(a->model, "m%u of QoS 2 was finished, and is in the queue of c%u again",
                   e->message->index, f->actor);
    else if (e->promise != NULL && e->promise->is_void)
        MODEL_FAIL(a->model, "the Will m%u is in the queue of c%u and still to be published",
                   e->message->index, f->actor);
    else if (e->expires_ns != entry->expires_ns && !e->is_vague && !e->has_twin)
        MODEL_FAIL(a->model, "m%u in the queue of c%u expires at another time", e->message->index,
                   f->actor);
}

/* An entry of the queue finds its expectation, and the new Session has it. */
static void match_entry(struct aftermath *a, const struct found_session *f, struct sim_session *old,
                        struct sim_session *s, const struct found_entry *entry)
{
    struct flight *flight = old == NULL ? NULL : find_flight(old, entry);
    struct expected *e = flight != NULL ? flight->expected : NULL;
    if (flight != NULL)
        flight->is_matched = true;
    if (e == NULL && old != NULL)
        e = find_in(&old->expected, entry);
    if (e == NULL && old != NULL)
        e = find_in(&old->done, entry);
    if (e == NULL) {
        if (!a->fall->has_unseen)
            MODEL_FAIL(a->model, "m%u (QoS %u) is in the queue of c%u, and should not be",
                       entry->message->index, entry->qos, f->actor);
        expect_once_more(s, new_expected(a, entry), entry->seq);
        return;
    }
    check_entry(a, f, entry, e);
    if (flight != NULL && flight->rel_sent && e->qos == 2 && !a->fall->loses_window)
        MODEL_FAIL(a->model, "PUBREL was sent for packet id %u of c%u, and m%u is queued again",
                   flight->id, f->actor, e->message->index);
    if (flight != NULL && e->qos == 2)
        (void)fly_on(a, s, e, entry->seq, false);
    else
        expect_once_more(s, e, entry->seq);
}

static struct expected *find_done(const struct aftermath *a, const struct sim_session *old,
                                  uint16_t packet_id)
{
    for (struct list *l = old->done.next; l != &old->done; l = l->next) {
        struct expected *e = container_of(l, struct expected, link);
        if (e->packet_id == packet_id && e->qos == 2 && !e->is_matched &&
            (was_lately(a, e->done_ns) || a->fall->loses_window))
            return e;
    }
    return NULL;
}

/* PUBREC had come: PUBREL will be sent again. */
static void match_released(struct aftermath *a, const struct found_session *f,
                           struct sim_session *old, struct sim_session *s, uint64_t seq)
{
    uint16_t packet_id = (uint16_t)(seq % SESSION_STORED_IDS + 1);
    struct flight *flight = old == NULL ? NULL : session_flight(old, packet_id);
    struct expected *e = NULL;
    if (flight != NULL && flight->rec_taken) {
        flight->is_matched = true;
        e = flight->expected;
    } else if (old != NULL) {
        e = find_done(a, old, packet_id);
    }
    if (e == NULL) {
        MODEL_FAIL(a->model, "packet id %u of c%u is said to await PUBCOMP", packet_id, f->actor);
        return;
    }
    list_remove(&e->link);
    (void)fly_on(a, s, e, seq, true);
}

/* May it be missing? */
static bool may_be_lost(const struct aftermath *a, const struct sim_session *old,
                        const struct expected *e)
{
    bool was_online = old->conn != NULL || old->parted_ns >= e->taken_ns;
    return !e->is_stored || a->fall->loses_window || (e->until_sent && was_online) ||
           expected_may_be_lost(a->model, e, old->max_packet_size, a->now_ns);
}

static void check_missing(struct aftermath *a, const struct sim_session *old,
                          const struct expected *e)
{
    /* Of one that was published twice, before and after a crash, either may have expired. */
    bool has_gone = e->has_twin && e->message->has_expiry;
    if (!e->is_matched && !has_gone && e->promise != NULL && e->promise->is_kept &&
        !may_be_lost(a, old, e))
        MODEL_FAIL(a->model, "m%u of QoS %u (%s) was acknowledged, and lost for c%u",
                   e->message->index, e->qos, story_topics[e->message->topic].name, old->actor);
}

static void check_flight(struct aftermath *a, const struct sim_session *old, const struct flight *f)
{
    const struct expected *e = f->expected;
    if (f->is_matched || e->is_matched || e->group != NULL || may_be_lost(a, old, e))
        return;
    if (e->qos == 1)
        check_missing(a, old, e);
    else /* even if it was not acknowledged: its publisher will send it once more */
        MODEL_FAIL(a->model, "m%u of QoS 2 was sent to c%u with packet id %u, and is forgotten",
                   e->message->index, old->actor, f->id);
}

/* What one connection has published comes in its order, or from some point on not at all. */
static void check_order(struct aftermath *a, const struct sim_session *old,
                        const struct sim_session *s)
{
    for (struct list *l = old->expected.next; l != &old->expected; l = l->next) {
        const struct expected *lost = container_of(l, struct expected, link);
        if (lost->promise == NULL || lost->promise->conn == 0 || may_be_lost(a, old, lost))
            continue;
        for (struct list *k = s->expected.next; k != &s->expected; k = k->next) {
            const struct expected *e = container_of(k, struct expected, link);
            if (e->promise != NULL && e->promise->conn == lost->promise->conn &&
                e->serial > lost->serial && e->qos == lost->qos &&
                e->message->topic == lost->message->topic && !e->has_twin)
                MODEL_FAIL(a->model, "m%u is in the queue of c%u, and m%u, before it, is not",
                           e->message->index, s->actor, lost->message->index);
        }
    }
    const struct expected *last = NULL;
    for (struct list *k = s->expected.next; k != &s->expected; k = k->next) {
        const struct expected *e = container_of(k, struct expected, link);
        if (last != NULL && last->message->publisher == e->message->publisher &&
            last->message != e->message && last->qos == e->qos && last->serial > e->serial &&
            !e->has_twin && !last->has_twin)
            MODEL_FAIL(a->model, "m%u is in the queue of c%u behind m%u", e->message->index,
                       s->actor, last->message->index);
        last = e;
    }
}

/* ----------------------------------------------------------------------------------- groups --- */

/* Whether a group has ended is known a little later to its members than to the others. */
static bool fits_group(const struct aftermath *a, const struct expected *e,
                       const struct found_entry *f, bool is_done)
{
    return e->is_stored && !e->is_matched && model_look_alike(e->message, f->message) &&
           (!is_done || was_lately(a, e->done_ns) || a->fall->loses_window);
}

static struct expected *find_of_group(const struct aftermath *a, unsigned filter,
                                      const struct found_entry *f)
{
    struct expected *found = NULL;
    for (struct list *l = a->model->all_groups.next; l != &a->model->all_groups; l = l->next) {
        struct sim_group *g = container_of(l, struct sim_group, in_all);
        for (struct list *k = g->expected.next; g->filter == filter && k != &g->expected;
             k = k->next) {
            struct expected *e = container_of(k, struct expected, link);
            if (fits_group(a, e, f, false))
                return e;
        }
        for (struct list *k = g->done.next; g->filter == filter && k != &g->done; k = k->next) {
            struct expected *e = container_of(k, struct expected, link);
            if (fits_group(a, e, f, true))
                found = e;
        }
    }
    return found;
}

/* The group goes on as long as a durable Session is in it. */
static bool has_durable_member(const struct aftermath *a, unsigned filter)
{
    for (unsigned i = 0; i < a->found->session_count; i++)
        if (a->found->sessions[i].subscriptions[filter].exists)
            return true;
    return false;
}

static void check_lost_of_group(const struct aftermath *a, const struct sim_group *g,
                                const struct expected *e)
{
    /* A member whose Session ends with the stop takes along what it was given at QoS 2
     * [MQTT-4.8.2-5]. */
    bool is_taken_along = e->message->qos == 2 && a->fall->how == DOWNFALL_STOP;
    bool may_be = is_taken_along || !e->is_stored || e->until_sent || a->fall->loses_window ||
                  !has_durable_member(a, g->filter) || e->message->taken > 1 ||
                  (e->state == EXPECTED_RECEIVED && e->message->qos == 2) ||
                  expected_may_be_lost(a->model, e, group_max_packet_size(g), a->now_ns);
    if (!e->is_matched && e->promise != NULL && e->promise->is_kept && !may_be)
        MODEL_FAIL(a->model, "m%u (%s) was acknowledged, and lost for the group %s",
                   e->message->index, story_topics[e->message->topic].name,
                   story_filters[g->filter].text);
}

/* What is found for groups, in matches: struct expected *, one for each entry of each. */
static void check_groups(struct aftermath *a, struct buffer *matches)
{
    for (unsigned i = 0; i < a->found->group_count; i++) {
        const struct found_group *f = &a->found->groups[i];
        const struct found_entry *entries = (const void *)f->entries.data;
        for (size_t k = 0; k < f->entries.size / sizeof *entries; k++) {
            struct expected *e = find_of_group(a, f->filter, &entries[k]);
            if (e == NULL && !a->fall->has_unseen)
                MODEL_FAIL(a->model, "m%u is with the group %s, and should not be",
                           entries[k].message->index, story_filters[f->filter].text);
            if (e == NULL)
                e = new_expected(a, &entries[k]);
            e->is_matched = true;
            int result = buffer_append(matches, bytes_of(&e, sizeof e));
            assert(result == 0);
        }
    }
    for (struct list *l = a->model->groups.next; l != &a->model->groups; l = l->next) {
        const struct sim_group *g = container_of(l, struct sim_group, link);
        for (struct list *k = g->expected.next; k != &g->expected; k = k->next)
            check_lost_of_group(a, g, container_of(k, struct expected, link));
    }
}

static void take_groups(struct aftermath *a, const struct buffer *matches)
{
    struct expected *const *next = (void *)matches->data;
    for (unsigned i = 0; !a->model->trace->has_failed && i < a->found->group_count; i++) {
        const struct found_group *f = &a->found->groups[i];
        for (size_t k = 0; k < f->entries.size / sizeof(struct found_entry); k++) {
            struct expected *e = *next++;
            e->is_matched = false;
            if (!groups_restore(a->model, f->filter, e))
                MODEL_FAIL(a->model, "the group %s has nobody, but messages",
                           story_filters[f->filter].text);
        }
    }
}

/* ------------------------------------------------------------------------- the new Session ---- */

static void set_times(const struct aftermath *a, struct sim_session *s,
                      const struct found_session *f)
{
    int64_t since_ns = f->is_connected ? a->now_ns : f->since_ns;
    s->expires_ns =
        f->expiry_s == UINT32_MAX ? INT64_MAX : since_ns + (int64_t)f->expiry_s * SECOND_NS;
    s->will_ns = s->will == NULL ? INT64_MAX : since_ns + (int64_t)s->will_delay_s * SECOND_NS;
    if (s->expires_ns < a->now_ns) /* it passed while nobody was there to see it */
        s->expires_ns = a->now_ns;
    if (s->will_ns < a->now_ns)
        s->will_ns = a->now_ns;
}

static void take_subscriptions(struct aftermath *a, struct sim_session *s,
                               const struct found_session *f)
{
    for (unsigned filter = 0; filter < FILTER_COUNT; filter++) {
        s->subscriptions[filter] = f->subscriptions[filter];
        if (s->subscriptions[filter].exists && story_filters[filter].is_shared)
            groups_join(a->model, s, filter);
        s->settled[filter] = s->subscriptions[filter];
    }
}

static void take_received(struct aftermath *a, struct sim_session *s, const struct found_session *f,
                          const struct sim_session *old)
{
    const uint16_t *ids = (const void *)f->received.data;
    for (size_t i = 0; i < f->received.size / sizeof *ids; i++) {
        struct receipt r = { ids[i], NULL };
        for (unsigned k = 0; old != NULL && k < old->received_count; k++)
            if (old->received[k].id == ids[i])
                r.promise = old->received[k].promise;
        if (r.promise == NULL)
            r.promise = model_new_promise(a->model, 0);
        r.promise->is_kept = true;
        assert(s->received_count < RECEIVED_MAX);
        s->received[s->received_count++] = r;
    }
}

static void take_queue(struct aftermath *a, struct sim_session *s, const struct found_session *f,
                       struct sim_session *old)
{
    const uint64_t *released = (const void *)f->released.data;
    const struct found_entry *entries = (const void *)f->entries.data;
    s->orders = last_seq(f);
    for (size_t i = 0; i < f->released.size / sizeof *released; i++)
        match_released(a, f, old, s, released[i]);
    for (size_t i = 0; i < f->entries.size / sizeof *entries; i++)
        match_entry(a, f, old, s, &entries[i]);
}

/* From what was and what is found.  NULL: the run has failed. */
static struct sim_session *make_session(struct aftermath *a, const struct found_session *f,
                                        struct sim_session *old)
{
    struct model *m = a->model;
    if (m->by_actor[f->actor] != NULL) {
        MODEL_FAIL(m, "the store has two Sessions of c%u", f->actor);
        return NULL;
    }
    struct sim_session *s = model_new_session(m, f->actor);
    s->key = f->key;
    s->expiry_s = s->connack_expiry_s = f->expiry_s;
    s->is_promised = true;
    s->parted_ns = a->now_ns;
    s->will = f->will;
    s->will_delay_s = f->will_delay_s;
    s->max_packet_size = old == NULL ? 0 : old->max_packet_size;
    set_times(a, s, f);
    take_subscriptions(a, s, f);
    take_received(a, s, f, old);
    take_queue(a, s, f, old);
    return s;
}

/* ------------------------------------------------------------------------------ everything ---- */

static void check_found(struct aftermath *a, const struct found_session *f)
{
    struct sim_session *old = find_old(a->model, f->key);
    check_may_be(a, f, old);
    if (old == NULL)
        return;
    for (unsigned filter = 0; filter < FILTER_COUNT; filter++)
        check_subscription(a, f, old, filter);
    check_will(a, f, old);
    check_received(a, f, old);
}

/* What is not on the disk, of a Session that is. */
static void check_rest(struct aftermath *a, const struct sim_session *old,
                       const struct sim_session *s)
{
    for (struct list *l = old->expected.next; l != &old->expected; l = l->next)
        check_missing(a, old, container_of(l, struct expected, link));
    for (struct list *l = old->flights.next; l != &old->flights; l = l->next)
        check_flight(a, old, container_of(l, struct flight, link));
    check_order(a, old, s);
}

/* Before anything changes in the model. */
static void check_all(struct aftermath *a)
{
    struct model *m = a->model;
    for (struct list *l = m->sessions.next; l != &m->sessions; l = l->next)
        check_is_there(a, container_of(l, struct sim_session, link));
    for (unsigned i = 0; i < a->found->session_count; i++)
        check_found(a, &a->found->sessions[i]);
    for (struct list *l = m->all_sessions.next; l != &m->all_sessions; l = l->next) {
        struct sim_session *old = container_of(l, struct sim_session, in_all);
        if (old->key != 0 && find_found(a, old->key) == NULL)
            check_will(a, NULL, old);
    }
}

/* For the next time. */
static void forget_matches(struct sim_session *s)
{
    for (struct list *l = s->expected.next; l != &s->expected; l = l->next)
        container_of(l, struct expected, link)->is_matched = false;
    for (struct list *l = s->flights.next; l != &s->flights; l = l->next)
        container_of(l, struct flight, link)->expected->is_matched = false;
}

/* No Session that was is any more; those that are found come back as new ones. */
static void forget_all(struct model *m)
{
    for (struct list *l = m->sessions.next; l != &m->sessions; l = l->next) {
        struct sim_session *s = container_of(l, struct sim_session, link);
        if (s->conn != NULL)
            s->parted_ns = m->fell_ns;
        s->conn = NULL;
        s->is_alive = false;
        m->by_actor[s->actor] = NULL;
    }
    for (struct list *l = m->all_sessions.next; l != &m->all_sessions; l = l->next)
        container_of(l, struct sim_session, in_all)->is_buried = true;
    list_init(&m->sessions);
    memset(m->connecting, 0, sizeof m->connecting);
    m->has_had_walks = false;
}

static void take_all(struct aftermath *a, const struct server *server)
{
    for (unsigned i = 0; i < a->found->session_count; i++) {
        const struct found_session *f = &a->found->sessions[i];
        struct sim_session *old = find_old(a->model, f->key);
        struct sim_session *s = make_session(a, f, old);
        if (s == NULL)
            return;
        s->handle = peek_identity(server, actor_client_id(f->actor)).handle;
        if (old != NULL) {
            check_rest(a, old, s);
            old->key = 0; /* from here on it is the new one's */
        }
        forget_matches(s);
    }
}

/* A new broker may use them again. */
static void forget_keys(struct model *m)
{
    for (struct list *l = m->all_sessions.next; l != &m->all_sessions; l = l->next) {
        struct sim_session *s = container_of(l, struct sim_session, in_all);
        if (s->is_buried)
            s->key = 0;
    }
}

void aftermath(struct model *m, const struct fall *fall, const struct server *server)
{
    struct found *found = story_alloc(m->arena, sizeof *found);
    struct buffer matches = { 0 };
    struct aftermath a = { m, fall, found, m->world->now_ns, { false } };
    for (unsigned i = 0; i < ACTORS_MAX; i++)
        a.is_connecting[i] = m->connecting[i] > 0;
    survey(m, server, found);
    if (m->config->persistence)
        check_all(&a);
    take_retained(&a);
    check_groups(&a, &matches);
    groups_on_crash(m);
    forget_all(m);
    take_all(&a, server);
    take_groups(&a, &matches);
    forget_keys(m);
    buffer_fini(&matches);
    survey_fini(found);
    m->is_over = false;
}
