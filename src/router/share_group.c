/* router/share_group.c: messages in lanes, members in rings.
 *
 *     lane k1  [ m9 m4 ]  given 0       ready   ---> k3 ---> k1          may hand over: look at it
 *     lane k2  [ m7 ]     given 2       blocked ---> k2 (by member B)    its member has no credit
 *     lane k3  [ m8 m6 ]  given 0       moving  --->                     the old member is not done
 *                                       stalled --->                     nobody can take anything
 *
 * A lane is a queue whose head goes first.  The hash strategies have one lane per key, made when a
 * message of the key comes and gone when none is left; the others have two lanes for good, one for
 * QoS 0 and one for the rest.  A lane with waiting messages is in exactly one of the four lists, an
 * empty one in none, and share_group_next looks at ready lanes only.  So its work does not grow
 * with what cannot move: a finished message makes one blocked lane ready, and only a change of the
 * members has all lanes looked at again.
 *
 *     online   ---> A ---> B ---> C      who may get QoS 0
 *     able     ---> C ---> A             who may get the rest: online, and has credit or needs none
 *
 * Round robin takes the first of a ring and puts it last.  Least in flight takes the best of the
 * first eight: exact for small groups, and for large ones as even as anybody will notice.
 *
 * What a member holds unfinished is in its slots.  A ticket names the slot and carries a serial
 * number, so finishing is one look, and a ticket from a former life finds nothing.
 *
 * A message is in order by its arrival number.  Within a key whatever was given is older than what
 * waits, for one member at a time has unfinished messages of it; so what a leaving member hands
 * back goes to the front of its lane.  In the lanes without a key it is merged in, past older ones
 * that came back before. */
#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"
#include "base/memory.h"
#include "router/share.h"
#include "router/subscriber.h"

#include <assert.h>
#include <errno.h>

enum {
    LOOK_AT_MAX = 8, /* members compared by SHARE_CHOOSE_LEAST_INFLIGHT */
    SLOT_CAPACITY_MIN = 4,
    SLOT_BITS = 16, /* of a ticket; windows are 16-bit */
};

struct item {               /* one message */
    struct list in_lane;    /* of its lane while it waits, of member->given after that */
    struct list in_waiting; /* of group->waiting while it waits */
    struct message *message;
    struct block *claim; /* goes with the item; NULL: none */
    struct lane *lane;
    uint64_t arrival;
    uint64_t ticket; /* 0 while it waits */
    uint8_t qos;     /* as given */
};

struct lane {
    struct list link; /* ready, blocked, moving or stalled; linked exactly while not empty */
    struct list items;
    uint64_t key;
    uint32_t given;        /* unfinished messages of this lane */
    struct member *holder; /* by key: who has them; NULL when given is 0 */
    struct member *chosen; /* by key: whose key it is; good while epoch is the group's */
    uint64_t epoch;
};

struct slot {
    struct item *item;  /* NULL: free */
    uint32_t next_free; /* while free */
};

struct member {
    struct share_member_options options;
    struct list in_online, in_able;
    struct list blocked; /* lanes that wait for its credit */
    struct list given;   /* items, first given first */
    struct slot *slots;
    uint32_t slot_count, free_slot; /* free_slot == slot_count: none */
    uint32_t unfinished;
};

struct share_group {
    struct share_group_options options;
    struct map members;       /* by handle */
    struct map lanes;         /* by key; only with the hash strategies */
    struct lane qos0, others; /* only without */
    struct list ready, moving, stalled;
    struct list online, able;
    struct list waiting; /* all items that wait, oldest first */
    size_t waiting_count, waiting_bytes;
    uint64_t arrivals, serial;
    uint64_t epoch; /* rises when the members change */
    size_t expired_count;
};

static bool by_key(const struct share_group *g)
{
    return g->options.choice == SHARE_CHOOSE_HASH_CLIENT_ID ||
           g->options.choice == SHARE_CHOOSE_HASH_TOPIC;
}

static struct item *item_of(struct list *in_lane)
{
    return container_of(in_lane, struct item, in_lane);
}

/* Moves everything to the end of `to`. */
static void list_splice(struct list *from, struct list *to)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* ----------------------------------------------------------------------------------- group ---- */

static struct bytes member_key(const void *object)
{
    const struct member *m = object;
    return bytes_of(&m->options.handle, sizeof(m->options.handle));
}

static struct bytes lane_key(const void *object)
{
    const struct lane *lane = object;
    return bytes_of(&lane->key, sizeof(lane->key));
}

static void lane_init(struct lane *lane, uint64_t key)
{
    *lane = (struct lane){ .key = key };
    list_init(&lane->link);
    list_init(&lane->items);
}

struct share_group *share_group_create(const struct share_group_options *o)
{
    struct share_group *g = memory_alloc_zero(sizeof(*g));
    if (g == NULL)
        return NULL;
    g->options = *o;
    map_init(&g->members, o->seed, member_key);
    map_init(&g->lanes, o->seed, lane_key);
    lane_init(&g->qos0, 0);
    lane_init(&g->others, 0);
    list_init(&g->ready);
    list_init(&g->moving);
    list_init(&g->stalled);
    list_init(&g->online);
    list_init(&g->able);
    list_init(&g->waiting);
    g->epoch = 1;
    return g;
}

static void item_free(struct item *it)
{
    message_unref(it->message);
    block_unref(it->claim);
    memory_free(it);
}

static void free_items(struct list *items)
{
    for (struct list *l; (l = list_pop_front(items)) != NULL;)
        item_free(item_of(l));
}

static void member_free(struct member *m)
{
    free_items(&m->given);
    memory_free(m->slots);
    memory_free(m);
}

void share_group_set_limits(struct share_group *g, const struct share_group_options *o)
{
    enum share_choice choice = g->options.choice;
    uint64_t seed = g->options.seed;
    g->options = *o;
    g->options.choice = choice;
    g->options.seed = seed;
}

void share_group_destroy(struct share_group *g)
{
    if (g == NULL)
        return;
    size_t cursor = 0;
    for (struct lane *lane; (lane = map_next(&g->lanes, &cursor)) != NULL;) {
        free_items(&lane->items);
        memory_free(lane);
    }
    free_items(&g->qos0.items);
    free_items(&g->others.items);
    cursor = 0;
    for (struct member *m; (m = map_next(&g->members, &cursor)) != NULL;)
        member_free(m);
    map_fini(&g->lanes);
    map_fini(&g->members);
    memory_free(g);
}

/* --------------------------------------------------------------------------------- members ---- */

static struct member *member_find(const struct share_group *g, uint64_t handle)
{
    return map_find(&g->members, bytes_of(&handle, sizeof(handle)));
}

static uint8_t granted_qos(const struct member *m, const struct message *message)
{
    uint8_t granted = m->options.options & SUBSCRIBER_QOS;
    return message->qos < granted ? message->qos : granted; /* [MQTT-4.8.2-3] */
}

/* A member whose slots could not grow makes do with those it has. */
static bool has_credit(const struct member *m)
{
    return m->unfinished < m->options.window && m->unfinished < m->slot_count;
}

static bool can_take(const struct member *m, const struct message *message)
{
    return m->options.online && (granted_qos(m, message) == 0 || has_credit(m));
}

/* Could it take a message of QoS > 0? */
static bool is_able(const struct member *m)
{
    return m->options.online && (has_credit(m) || (m->options.options & SUBSCRIBER_QOS) == 0);
}

static void ring_keep(struct list *ring, struct list *link, bool belongs)
{
    bool is_in = !list_is_empty(link);
    if (belongs && !is_in)
        list_push_back(ring, link);
    else if (!belongs && is_in)
        list_remove(link);
}

/* After any change of the member: it is in the rings where it belongs, and whoever waits for it
 * gets a look.  One blocked lane is enough: share_group_next wakes the one after it. */
static void member_update(struct share_group *g, struct member *m)
{
    ring_keep(&g->online, &m->in_online, m->options.online);
    ring_keep(&g->able, &m->in_able, is_able(m));
    if (!is_able(m))
        return;
    struct list *lane = list_pop_front(&m->blocked);
    if (lane != NULL)
        list_push_back(&g->ready, lane);
    list_splice(&g->stalled, &g->ready);
}

/* The members have changed: every choice is open again. */
static void group_reconsider(struct share_group *g)
{
    g->epoch++;
    list_splice(&g->stalled, &g->ready);
    list_splice(&g->moving, &g->ready);
    size_t cursor = 0;
    for (struct member *m; (m = map_next(&g->members, &cursor)) != NULL;)
        list_splice(&m->blocked, &g->ready);
}

/* More slots, up to the window.  False: no memory and nothing changed.  The chain of free slots
 * ends with slot_count: when that rises, the old end names the first of the new ones. */
static bool slots_grow(struct member *m, uint32_t window)
{
    uint32_t count = m->slot_count == 0 ? SLOT_CAPACITY_MIN : m->slot_count * 2;
    if (count > window)
        count = window;
    if (count <= m->slot_count)
        return true;
    struct slot *slots = memory_resize(m->slots, count * sizeof(*slots));
    if (slots == NULL)
        return false;
    for (uint32_t i = m->slot_count; i < count; i++)
        slots[i] = (struct slot){ NULL, i + 1 };
    m->slots = slots;
    m->slot_count = count;
    return true;
}

static struct member *member_create(uint64_t handle)
{
    struct member *m = memory_alloc_zero(sizeof(*m));
    if (m == NULL)
        return NULL;
    m->options.handle = handle;
    list_init(&m->in_online);
    list_init(&m->in_able);
    list_init(&m->blocked);
    list_init(&m->given);
    return m;
}

static struct member *member_add(struct share_group *g, const struct share_member_options *o)
{
    struct member *m = member_create(o->handle);
    if (m == NULL)
        return NULL;
    if (!slots_grow(m, o->window) || map_add(&g->members, m) != 0) {
        member_free(m);
        return NULL;
    }
    return m;
}

int share_group_set_member(struct share_group *g, const struct share_member_options *o)
{
    assert(o->handle != 0 && o->window > 0);
    struct member *m = member_find(g, o->handle);
    if (m == NULL)
        m = member_add(g, o);
    if (m == NULL)
        return -ENOMEM;
    m->options = *o;
    if (m->unfinished == m->slot_count)
        (void)slots_grow(m, o->window); /* else later, when one is finished */
    group_reconsider(g);
    member_update(g, m);
    return 0;
}

size_t share_group_member_count(const struct share_group *g)
{
    return g->members.count;
}

size_t share_group_waiting_bytes(const struct share_group *g)
{
    return g->waiting_bytes;
}

size_t share_group_waiting_count(const struct share_group *g)
{
    return g->waiting_count;
}

/* ----------------------------------------------------------------------------------- lanes ---- */

/* By which the hash strategies choose. */
static uint64_t key_of(const struct share_group *g, const struct message *message,
                       uint64_t publisher_hash)
{
    bool by_topic = g->options.choice == SHARE_CHOOSE_HASH_TOPIC;
    return by_topic ? hash_bytes(g->options.seed, message->topic) : publisher_hash;
}

static struct lane *lane_for(struct share_group *g, const struct message *message,
                             uint64_t publisher_hash)
{
    if (!by_key(g))
        return message->qos == 0 ? &g->qos0 : &g->others;
    uint64_t key = key_of(g, message, publisher_hash);
    struct lane *lane = map_find(&g->lanes, bytes_of(&key, sizeof(key)));
    if (lane != NULL)
        return lane;
    lane = memory_alloc(sizeof(*lane));
    if (lane == NULL)
        return NULL;
    lane_init(lane, key);
    if (map_add(&g->lanes, lane) != 0) {
        memory_free(lane);
        return NULL;
    }
    return lane;
}

static bool lane_is_for_good(const struct share_group *g, const struct lane *lane)
{
    return lane == &g->qos0 || lane == &g->others;
}

static void lane_free_if_unused(struct share_group *g, struct lane *lane)
{
    if (lane_is_for_good(g, lane) || !list_is_empty(&lane->items) || lane->given > 0)
        return;
    assert(list_is_empty(&lane->link));
    map_remove(&g->lanes, lane);
    memory_free(lane);
}

static void lane_put_first(struct share_group *g, struct lane *lane) /* to be looked at soon */
{
    list_remove(&lane->link);
    list_push_front(&g->ready, &lane->link);
}

/* An empty lane.  If it was looked at because its member had credit, that credit may serve another
 * lane. */
static void lane_unlink(struct share_group *g, struct lane *lane)
{
    list_remove(&lane->link);
    if (lane->chosen != NULL && lane->epoch == g->epoch)
        member_update(g, lane->chosen);
}

/* Unlinks a waiting item from its lane and the group; the caller has it. */
static void item_take(struct share_group *g, struct item *it)
{
    assert(it->ticket == 0);
    list_remove(&it->in_lane);
    list_remove(&it->in_waiting);
    g->waiting_count--;
    g->waiting_bytes -= message_size(it->message);
    if (list_is_empty(&it->lane->items))
        lane_unlink(g, it->lane);
}

static void item_drop_waiting(struct share_group *g, struct item *it)
{
    struct lane *lane = it->lane;
    item_take(g, it);
    item_free(it);
    lane_free_if_unused(g, lane);
}

/* A given message of this lane is done or handed back. */
static void lane_one_less_given(struct share_group *g, struct lane *lane)
{
    assert(lane->given > 0);
    if (--lane->given > 0)
        return;
    lane->holder = NULL;
    if (!list_is_empty(&lane->items)) /* it may have been waiting for just that */
        lane_put_first(g, lane);
}

/* ------------------------------------------------------------------------------------ push ---- */

static bool fits(const struct share_group *g, size_t size)
{
    size_t count_max = g->options.queued_messages_max, bytes_max = g->options.queued_bytes_max;
    return (count_max == 0 || g->waiting_count < count_max) &&
           (bytes_max == 0 || (size <= bytes_max && g->waiting_bytes <= bytes_max - size));
}

/* Drops the oldest until one of this size, the newest, has paid for itself.  What members handed
 * back may be more than the limits allow; it does not have to go at once. */
static void drop_oldest_for(struct share_group *g, const struct item *newest)
{
    size_t size = message_size(newest->message), freed = 0;
    do {
        struct item *it = container_of(g->waiting.next, struct item, in_waiting);
        if (it == newest)
            return;
        freed += message_size(it->message);
        item_drop_waiting(g, it);
    } while (freed < size && g->options.queued_bytes_max != 0 &&
             g->waiting_bytes > g->options.queued_bytes_max);
}

static struct item *item_add(struct share_group *g, struct message *message,
                             uint64_t publisher_hash, struct block *claim)
{
    struct item *it = memory_alloc(sizeof(*it));
    if (it == NULL)
        return NULL;
    struct lane *lane = lane_for(g, message, publisher_hash);
    if (lane == NULL) {
        memory_free(it);
        return NULL;
    }
    *it = (struct item){ .message = message_ref(message), .lane = lane, .arrival = ++g->arrivals };
    it->claim = claim == NULL ? NULL : block_ref(claim);
    list_init(&it->in_lane);
    list_init(&it->in_waiting);
    if (list_is_empty(&lane->items))
        list_push_back(&g->ready, &lane->link);
    list_push_back(&lane->items, &it->in_lane);
    list_push_back(&g->waiting, &it->in_waiting);
    g->waiting_count++;
    g->waiting_bytes += message_size(message);
    return it;
}

enum share_push share_group_push(struct share_group *g, struct message *m, uint64_t publisher_hash)
{
    return share_group_push_claimed(g, m, publisher_hash, NULL);
}

enum share_push share_group_push_claimed(struct share_group *g, struct message *m,
                                         uint64_t publisher_hash, struct block *claim)
{
    if (m->qos == 0 && !g->options.queue_qos0 && list_is_empty(&g->online))
        return SHARE_DROPPED_NOBODY;
    size_t size = message_size(m), bytes_max = g->options.queued_bytes_max;
    bool full = !fits(g, size);
    if (full && (!g->options.drop_oldest || (bytes_max != 0 && size > bytes_max)))
        return SHARE_DROPPED_QUEUE_FULL;
    const struct item *it = item_add(g, m, publisher_hash, claim);
    if (it == NULL)
        return SHARE_DROPPED_NO_MEMORY;
    if (!full)
        return SHARE_PUSHED;
    drop_oldest_for(g, it);
    return SHARE_DROPPED_QUEUE_FULL;
}

/* -------------------------------------------------------------------------------- choosing ---- */

/* How much this member likes this key (rendezvous hashing). */
static uint64_t weight(const struct share_group *g, const struct lane *lane, const struct member *m)
{
    return hash_bytes(g->options.seed ^ lane->key, member_key(m));
}

static struct member *choose_by_key(const struct share_group *g, struct lane *lane)
{
    if (lane->epoch == g->epoch)
        return lane->chosen;
    struct member *best = NULL;
    uint64_t best_weight = 0;
    for (struct list *l = g->online.next; l != &g->online; l = l->next) {
        struct member *m = container_of(l, struct member, in_online);
        uint64_t w = weight(g, lane, m);
        if (best == NULL || w > best_weight) {
            best = m;
            best_weight = w;
        }
    }
    lane->chosen = best;
    lane->epoch = g->epoch;
    return best;
}

/* The first of the ring, or the one with the least unfinished of the first few; it goes last. */
static struct member *choose_in_turn(struct share_group *g, bool needs_credit)
{
    struct list *ring = needs_credit ? &g->able : &g->online;
    unsigned look_at = g->options.choice == SHARE_CHOOSE_LEAST_INFLIGHT ? LOOK_AT_MAX : 1;
    struct member *best = NULL;
    for (struct list *l = ring->next; l != ring && look_at > 0; l = l->next, look_at--) {
        struct member *m = needs_credit ? container_of(l, struct member, in_able)
                                        : container_of(l, struct member, in_online);
        if (best == NULL || m->unfinished < best->unfinished)
            best = m;
    }
    if (best != NULL) {
        struct list *link = needs_credit ? &best->in_able : &best->in_online;
        list_remove(link);
        list_push_back(ring, link);
    }
    return best;
}

/* Who gets the head of a ready lane?  NULL: nobody now; the lane has been put where it waits. */
static struct member *choose(struct share_group *g, struct lane *lane, const struct message *head)
{
    struct member *m = by_key(g) ? choose_by_key(g, lane) : choose_in_turn(g, head->qos > 0);
    struct list *waits_in = NULL;
    if (m == NULL)
        waits_in = &g->stalled;
    else if (lane->holder != NULL && lane->holder != m)
        waits_in = &g->moving;
    else if (!can_take(m, head))
        waits_in = &m->blocked;
    if (waits_in == NULL)
        return m;
    list_remove(&lane->link);
    list_push_back(waits_in, &lane->link);
    return NULL;
}

/* -------------------------------------------------------------------------- handing over ------ */

static void item_give(struct share_group *g, struct member *m, struct item *it, uint8_t qos)
{
    uint32_t slot = m->free_slot;
    assert(slot < m->slot_count && m->slots[slot].item == NULL);
    m->free_slot = m->slots[slot].next_free;
    m->slots[slot].item = it;
    m->unfinished++;
    it->ticket = ++g->serial << SLOT_BITS | slot;
    it->qos = qos;
    list_push_back(&m->given, &it->in_lane);
    it->lane->given++;
    it->lane->holder = by_key(g) ? m : NULL;
    if (m->unfinished == m->slot_count)
        (void)slots_grow(m, m->options.window); /* else its credit ends here for now */
}

static void hand_over(struct share_group *g, struct member *m, struct item *it,
                      struct share_handover *out)
{
    struct lane *lane = it->lane;
    uint8_t qos = granted_qos(m, it->message);
    item_take(g, it);
    *out = (struct share_handover){
        m->options.handle, message_ref(it->message), 0, m->options.options, m->options.id, qos
    };
    if (qos > 0) {
        item_give(g, m, it, qos);
        out->ticket = it->ticket;
    } else {
        item_free(it);
        lane_free_if_unused(g, lane);
    }
    member_update(g, m);
}

bool share_group_next(struct share_group *g, int64_t now_ns, struct share_handover *out)
{
    while (!list_is_empty(&g->ready)) {
        struct lane *lane = container_of(g->ready.next, struct lane, link);
        struct item *head = item_of(lane->items.next);
        if (message_is_expired(head->message, now_ns)) {
            g->expired_count++;
            item_drop_waiting(g, head);
            continue;
        }
        struct member *m = choose(g, lane, head->message);
        if (m != NULL) {
            list_remove(&lane->link); /* lanes take turns */
            list_push_back(&g->ready, &lane->link);
            hand_over(g, m, head, out);
            return true;
        }
    }
    return false;
}

/* Does anything of the same lane wait, or is it with a member, so that a message must queue up? */
static bool lane_is_in_use(const struct share_group *g, uint64_t key)
{
    return by_key(g) ? map_find(&g->lanes, bytes_of(&key, sizeof(key))) != NULL
                     : !list_is_empty(&g->qos0.items);
}

bool share_group_pass(struct share_group *g, const struct message *m, uint64_t publisher_hash,
                      int64_t now_ns, struct share_handover *out)
{
    if (m->qos > 0 || list_is_empty(&g->online) || message_is_expired(m, now_ns))
        return false;
    struct lane lane = { .key = by_key(g) ? key_of(g, m, publisher_hash) : 0 };
    if (lane_is_in_use(g, lane.key))
        return false;
    const struct member *to = by_key(g) ? choose_by_key(g, &lane) : choose_in_turn(g, false);
    *out = (struct share_handover){ .handle = to->options.handle,
                                    .options = to->options.options,
                                    .id = to->options.id };
    return true;
}

size_t share_group_expired_count(struct share_group *g)
{
    size_t count = g->expired_count;
    g->expired_count = 0;
    return count;
}

/* --------------------------------------------------------------------- finishing, leaving ----- */

static struct item *item_by_ticket(const struct member *m, uint64_t ticket)
{
    uint32_t slot = ticket & ((1u << SLOT_BITS) - 1);
    if (slot >= m->slot_count || m->slots[slot].item == NULL)
        return NULL;
    struct item *it = m->slots[slot].item;
    return it->ticket == ticket ? it : NULL;
}

/* The ticket is used: its item is the member's no longer, and the credit is back. */
static struct item *item_take_back(struct member *m, uint64_t ticket)
{
    struct item *it = item_by_ticket(m, ticket);
    if (it == NULL)
        return NULL;
    uint32_t slot = ticket & ((1u << SLOT_BITS) - 1);
    m->slots[slot] = (struct slot){ NULL, m->free_slot };
    m->free_slot = slot;
    m->unfinished--;
    list_remove(&it->in_lane);
    return it;
}

void share_group_finish(struct share_group *g, uint64_t handle, uint64_t ticket)
{
    struct member *m = member_find(g, handle);
    struct item *it = m == NULL ? NULL : item_take_back(m, ticket);
    if (it == NULL)
        return;
    struct lane *lane = it->lane;
    item_free(it);
    lane_one_less_given(g, lane);
    lane_free_if_unused(g, lane);
    member_update(g, m);
}

/* Where a handed-back item belongs in its lane: before the first that came later.  Looking starts
 * at the last one handed back, for they come newest first. */
static struct list *place_in_lane(struct lane *lane, const struct item *it, struct item *last)
{
    struct list *at = last != NULL && last->lane == lane ? &last->in_lane : lane->items.next;
    while (at->prev != &lane->items && item_of(at->prev)->arrival > it->arrival)
        at = at->prev;
    while (at != &lane->items && item_of(at)->arrival < it->arrival)
        at = at->next;
    return at;
}

static void item_hand_back(struct share_group *g, struct item *it, struct item *last)
{
    struct lane *lane = it->lane;
    list_push_back(place_in_lane(lane, it, last), &it->in_lane);
    list_push_front(&g->waiting, &it->in_waiting);
    g->waiting_count++;
    g->waiting_bytes += message_size(it->message);
    it->ticket = 0;
    lane_put_first(g, lane);
    lane_one_less_given(g, lane);
}

void share_group_return(struct share_group *g, uint64_t handle, uint64_t ticket)
{
    struct member *m = member_find(g, handle);
    struct item *it = m == NULL ? NULL : item_take_back(m, ticket);
    if (it == NULL)
        return;
    item_hand_back(g, it, NULL);
    member_update(g, m);
}

/* A member that unsubscribed has a session that finishes what it was given [MQTT-3.10.4-3].  When
 * the session has ended, QoS 1 goes to another member, QoS 2 to nobody [MQTT-4.8.2-5]. */
static void hand_back_given(struct share_group *g, struct member *m, enum share_leave why)
{
    struct item *last = NULL;
    while (!list_is_empty(&m->given)) {
        struct item *it = item_of(m->given.prev); /* the newest first */
        list_remove(&it->in_lane);
        if (it->qos < 2 && why == SHARE_LEAVE_SESSION_ENDED) {
            item_hand_back(g, it, last);
            last = it;
        } else {
            struct lane *lane = it->lane;
            item_free(it);
            lane_one_less_given(g, lane);
            lane_free_if_unused(g, lane);
        }
    }
}

void share_group_leave(struct share_group *g, uint64_t handle, enum share_leave why)
{
    struct member *m = member_find(g, handle);
    if (m == NULL)
        return;
    map_remove(&g->members, m);
    list_remove(&m->in_online);
    list_remove(&m->in_able);
    list_splice(&m->blocked, &g->ready);
    group_reconsider(g); /* before lanes are touched: none may think of m any more */
    hand_back_given(g, m, why);
    member_free(m);
}

/* ----------------------------------------------------------------------------------- check ---- */

static void lane_check(const struct share_group *g, const struct lane *lane, size_t *waiting,
                       size_t *bytes)
{
    uint64_t arrival = 0;
    for (struct list *l = lane->items.next; l != &lane->items; l = l->next) {
        const struct item *it = item_of(l);
        assert(it->lane == lane && it->ticket == 0 && it->arrival > arrival);
        arrival = it->arrival;
        *waiting += 1;
        *bytes += message_size(it->message);
    }
    assert(list_is_empty(&lane->link) == list_is_empty(&lane->items));
    assert((lane->holder != NULL) == (by_key(g) && lane->given > 0));
    assert(lane_is_for_good(g, lane) || lane->given > 0 || !list_is_empty(&lane->items));
}

static size_t member_check(const struct share_group *g, const struct member *m)
{
    size_t given = 0, slots = 0;
    for (struct list *l = m->given.next; l != &m->given; l = l->next, given++) {
        const struct item *it = item_of(l);
        assert(it->ticket != 0 && it->qos > 0 && item_by_ticket(m, it->ticket) == it);
        assert(!by_key(g) || it->lane->holder == m);
    }
    for (uint32_t i = m->free_slot; i != m->slot_count; i = m->slots[i].next_free, slots++)
        assert(i < m->slot_count && m->slots[i].item == NULL);
    assert(given == m->unfinished && slots + given == m->slot_count);
    assert(list_is_empty(&m->in_online) == !m->options.online);
    assert(list_is_empty(&m->in_able) == !is_able(m));
    return given;
}

void share_group_check(const struct share_group *g)
{
    size_t waiting = 0, bytes = 0, lane_given = g->qos0.given + g->others.given, given = 0;
    size_t cursor = 0;
    lane_check(g, &g->qos0, &waiting, &bytes);
    lane_check(g, &g->others, &waiting, &bytes);
    for (const struct lane *lane; (lane = map_next(&g->lanes, &cursor)) != NULL;) {
        lane_check(g, lane, &waiting, &bytes);
        lane_given += lane->given;
    }
    cursor = 0;
    for (const struct member *m; (m = map_next(&g->members, &cursor)) != NULL;)
        given += member_check(g, m);
    assert(given == lane_given);
    assert(waiting == g->waiting_count && bytes == g->waiting_bytes);
    size_t in_order = 0;
    for (struct list *l = g->waiting.next; l != &g->waiting; l = l->next)
        in_order++;
    assert(in_order == waiting);
}
