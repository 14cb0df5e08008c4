/* sim/actor.c: see actor.h. */
#include "sim/actor.h"
#include "base/memory.h"
#include "sim/actor_send.h"
#include "sim/judge.h"

#define MS_NS     INT64_C(1000000)
#define SECOND_NS INT64_C(1000000000)

struct bytes actor_client_id(unsigned index)
{
    static const char *const ids[ACTORS_MAX] = { "c0",  "c1",  "c2",  "c3", "c4",  "c5",
                                                 "c6",  "c7",  "c8",  "c9", "c10", "c11",
                                                 "c12", "c13", "c14", "c15" };
    assert(index < ACTORS_MAX);
    return bytes_of_string(ids[index]);
}

static int first_shared_filter(void)
{
    int f = 0;
    while (!story_filters[f].is_shared)
        f++;
    return f;
}

void actor_init(struct actor *a, struct stage *stage, uint8_t index, uint64_t seed)
{
    static const uint16_t receive_maxima[] = { 1, 2, 5, 20, UINT16_MAX };
    *a = (struct actor){ .stage = stage, .dice = { seed }, .index = index, .next_id = 1 };
    struct dice *d = &a->dice;
    bool is_5 = dice_permille(d, 600);
    a->version = is_5 ? VERSION_5_0 : VERSION_3_1_1;
    int shared = first_shared_filter();
    a->shared_filter =
        dice_permille(d, 450) ? shared + (int)dice_below(d, (uint32_t)(FILTER_COUNT - shared)) : -1;
    a->receive_max = is_5 ? receive_maxima[dice_below(d, 5)] : UINT16_MAX;
    a->alias_max = is_5 && dice_permille(d, 500) ? (uint16_t)(1 + dice_below(d, ALIASES_MAX)) : 0;
    a->max_packet_size = is_5 && dice_permille(d, 200) ? 300 : 0;
    a->slackness = dice_permille(d, 300) ? 900 : 200;
    a->disorder = dice_permille(d, 300) ? 500 : 0;
    a->slowness = dice_permille(d, 200) ? 200 : 10;
    a->act_ns = stage->world->now_ns + dice_time_ns(d, SECOND_NS);
    list_init(&a->ghosts);
}

static void drop_conn(struct conn *c)
{
    list_remove(&c->in_actor);
    link_forget(c->link);
    c->link = NULL;
    buffer_fini(&c->rx);
    buffer_fini(&c->publish_times);
    c->publish_times_read = 0;
}

static struct conn *ghost_at(const struct list *l)
{
    return container_of(l, struct conn, in_actor);
}

void actor_fini(struct actor *a)
{
    if (a->conn != NULL) {
        link_vanish(a->conn->link);
        drop_conn(a->conn);
        a->conn = NULL;
    }
    while (!list_is_empty(&a->ghosts)) {
        struct conn *c = ghost_at(a->ghosts.next);
        link_vanish(c->link);
        drop_conn(c);
    }
}

/* ---------------------------------------------------------------------------------- leaving --- */

enum parting { PART_CLOSE, PART_RESET, PART_VANISH };

static void note(const struct actor *a, const struct conn *c, const char *text)
{
    trace_note(a->stage->trace, a->stage->world->now_ns, a->index, c->number, text, 0);
}

/* The connection is gone for the client; the broker may learn it now, later, or by silence. */
static void leave(struct actor *a, enum parting how)
{
    struct conn *c = a->conn;
    c->left_ns = a->stage->world->now_ns;
    if (how == PART_CLOSE)
        link_close(c->link);
    else if (how == PART_RESET)
        link_reset(c->link);
    else
        link_vanish(c->link);
    drop_conn(c);
    a->conn = NULL;
    a->ack_count = 0;
}

static void cut(struct actor *a)
{
    enum parting how = (enum parting)dice_below(&a->dice, 3);
    note(a, a->conn,
         how == PART_CLOSE   ? "closes without a word"
         : how == PART_RESET ? "is cut off"
                             : "vanishes");
    leave(a, how);
}

/* Another connection with the same name, while this one is still open. */
static void become_two(struct actor *a)
{
    struct conn *old = a->conn;
    note(a, old, "is left open for a second connection");
    old->is_ghost = true;
    list_push_back(&a->ghosts, &old->in_actor);
    a->conn = NULL;
    a->ack_count = 0;
    actor_connect(a);
}

/* ----------------------------------------------------------------------------------- acting --- */

static void act_connected(struct actor *a)
{
    struct dice *d = &a->dice;
    uint32_t what = dice_below(d, 1000);
    if (what < 480)
        actor_publish(a);
    else if (what < 640)
        actor_subscribe(a);
    else if (what < 700)
        actor_unsubscribe(a);
    else if (what < 720)
        actor_ping(a);
    else if (what < 740) {
        actor_say_goodbye(a);
        leave(a, PART_CLOSE);
    } else if (what < 765)
        cut(a);
    else if (what < 780)
        become_two(a);
    else if (what < 783)
        actor_break_rules(a);
    else
        actor_acknowledge(a, ACKS_MAX);
}

static void act_while_connecting(struct actor *a)
{
    uint32_t what = dice_below(&a->dice, 100);
    if (what < 3)
        cut(a);
    else if (what < 5)
        become_two(a);
}

static bool needs_ping(const struct actor *a)
{
    int64_t quiet = a->stage->world->now_ns - a->conn->sent_ns;
    return a->conn->has_connack && a->conn->greeting.keep_alive_s > 0 &&
           quiet * 2 >= a->conn->greeting.keep_alive_s * SECOND_NS;
}

static void act_calmly(struct actor *a)
{
    bool has_session = a->stage->model->by_actor[a->index] != NULL;
    if (a->conn == NULL && has_session) {
        actor_connect(a);
    } else if (a->conn != NULL && a->conn->has_connack) {
        actor_acknowledge(a, ACKS_MAX);
        if (needs_ping(a))
            actor_ping(a);
    }
}

static void act_wildly(struct actor *a)
{
    if (a->conn == NULL)
        actor_connect(a);
    else if (!a->conn->has_connack)
        act_while_connecting(a);
    else if (needs_ping(a) && dice_permille(&a->dice, 900))
        actor_ping(a);
    else
        act_connected(a);
}

/* Mostly soon; now and then a pause that timers can fall into. */
static int64_t pause_ns(struct actor *a)
{
    struct dice *d = &a->dice;
    if (a->is_calm)
        return 20 * MS_NS;
    if (dice_permille(d, 20))
        return dice_between(d, 1, 12) * SECOND_NS;
    return dice_time_ns(d, 2 * SECOND_NS);
}

void actor_act(struct actor *a)
{
    if (a->is_calm)
        act_calmly(a);
    else
        act_wildly(a);
    a->act_ns = a->stage->world->now_ns + pause_ns(a);
}

bool actor_is_due(const struct actor *a)
{
    return a->act_ns <= a->stage->world->now_ns && !actor_is_settled(a);
}

int64_t actor_next_ns(const struct actor *a)
{
    bool waits_to_read =
        a->conn != NULL && a->read_ns > a->stage->world->now_ns && link_readable(a->conn->link) > 0;
    int64_t act = a->act_ns;
    if (actor_is_settled(a)) {
        bool pings = a->conn != NULL && a->conn->greeting.keep_alive_s > 0;
        act = pings ? a->conn->sent_ns + a->conn->greeting.keep_alive_s * SECOND_NS / 2 : INT64_MAX;
    }
    return waits_to_read && a->read_ns < act ? a->read_ns : act;
}

/* --------------------------------------------------------------------------------- reading ---- */

static void ack_later(struct actor *a, enum packet_type type, uint16_t packet_id,
                      enum reason reason)
{
    assert(a->ack_count < ACKS_MAX);
    a->acks[a->ack_count++] = (struct owed){ type, packet_id, reason };
}

/* Now and then a message is refused. */
static enum reason judgement(struct actor *a)
{
    bool refuses = a->version == VERSION_5_0 && !a->is_calm && dice_permille(&a->dice, 20);
    return refuses ? REASON_IMPLEMENTATION_SPECIFIC_ERROR : REASON_SUCCESS;
}

static void on_publish(struct actor *a, const struct publish *p)
{
    if (p->qos == 0)
        return;
    bool is_known = p->dup; /* whoever has taken it once does not refuse it now */
    ack_later(a, p->qos == 1 ? PACKET_PUBACK : PACKET_PUBREC, p->packet_id,
              is_known ? REASON_SUCCESS : judgement(a));
}

static void read_limits(struct conn *c, const struct properties *p)
{
    c->broker_receive_max =
        properties_have(p, PROPERTY_RECEIVE_MAXIMUM) ? p->receive_maximum : UINT16_MAX;
    c->broker_alias_max =
        properties_have(p, PROPERTY_TOPIC_ALIAS_MAXIMUM) ? p->topic_alias_maximum : 0;
}

static void on_connack(struct actor *a, const struct connack *p)
{
    struct conn *c = a->conn;
    c->has_connack = true;
    if (c->greeting.clean_start)
        a->wants_new_session = false;
    unsigned kept = 0;
    for (unsigned i = 0; i < a->out_count; i++) /* a new Session knows nothing of the old ones */
        if (p->session_present || a->outs[i].first_on == c->number)
            a->outs[kept++] = a->outs[i];
    a->out_count = kept;
    actor_send_again(a);
}

static unsigned find_out(const struct actor *a, uint16_t packet_id)
{
    unsigned i = 0;
    while (i < a->out_count && a->outs[i].packet_id != packet_id)
        i++;
    return i;
}

static void remove_out(struct actor *a, uint16_t packet_id)
{
    unsigned at = find_out(a, packet_id);
    if (at == a->out_count)
        return;
    a->out_count--;
    for (; at < a->out_count; at++)
        a->outs[at] = a->outs[at + 1];
}

static void on_pubrec(struct actor *a, const struct ack *p)
{
    unsigned at = find_out(a, p->packet_id);
    if (reason_is_error(p->reason)) {
        remove_out(a, p->packet_id);
    } else if (at < a->out_count) {
        a->outs[at].is_released = true;
        ack_later(a, PACKET_PUBREL, p->packet_id, REASON_SUCCESS);
    }
}

/* What the client does about it. */
static void react(struct actor *a, const struct packet *p)
{
    switch (p->type) {
    case PACKET_CONNACK:
        if (!a->conn->has_connack)
            on_connack(a, &p->connack);
        break;
    case PACKET_PUBLISH:
        on_publish(a, &p->publish);
        break;
    case PACKET_PUBACK:
    case PACKET_PUBCOMP:
        remove_out(a, p->ack.packet_id);
        break;
    case PACKET_PUBREC:
        on_pubrec(a, &p->ack);
        break;
    case PACKET_PUBREL:
        ack_later(a, PACKET_PUBCOMP, p->ack.packet_id, REASON_SUCCESS);
        break;
    case PACKET_DISCONNECT:
        a->conn->was_told_goodbye = true;
        break;
    default:
        break;
    }
}

static void trace_arrival(const struct actor *a, const struct conn *c, const struct packet *p)
{
    struct trace_event e = { .kind = TRACE_GOT,
                             .now_ns = a->stage->world->now_ns,
                             .actor = a->index,
                             .connection = c->number };
    trace_describe(&e, p);
    if (p->type == PACKET_PUBLISH) {
        const struct sim_message *m =
            model_message(a->stage->model, story_payload_index(p->publish.payload));
        e.message = m == NULL ? 0 : m->index;
        e.text = m == NULL ? NULL : story_topics[m->topic].name;
    }
    trace_add(a->stage->trace, &e);
}

static void on_packet(struct actor *a, struct packet *p, size_t size)
{
    struct model *m = a->stage->model;
    trace_arrival(a, a->conn, p);
    if (p->type == PACKET_CONNACK && a->version == VERSION_5_0)
        read_limits(a->conn, &p->connack.properties);
    judge_received(m, a->conn, p, size);
    if (!m->trace->has_failed && !m->is_over)
        react(a, p);
}

/* Decodes the packet at the front, and shows it at the door where a bug may have been planted.  How
 * many bytes it has; 0: it is not complete, or the run has failed. */
static size_t next_packet(struct actor *a, struct bytes rest, struct packet *p)
{
    struct trace *trace = a->stage->trace;
    struct frame frame;
    enum reason why;
    enum decode_result result = frame_decode(rest, &frame);
    if (result == DECODE_MORE || trace->has_failed)
        return 0;
    if (result == DECODE_DONE)
        result = packet_decode(bytes_of(rest.data, frame.size), a->version, p, &why);
    if (result == DECODE_DONE)
        return frame.size;
    trace_fail(trace, "#%u (c%u): the broker sent what is no packet: %02x %02x ...",
               a->conn->number, a->index, rest.data[0], rest.data[1]);
    return 0;
}

static void on_arrival(struct actor *a, struct packet *p, size_t size)
{
    plant_on_arrival(a->stage->plant, p);
    on_packet(a, p, size);
}

static void decode(struct actor *a)
{
    struct conn *c = a->conn;
    struct bytes rest = buffer_bytes(&c->rx);
    struct packet p, next;
    for (size_t size; (size = next_packet(a, rest, &p)) > 0;) {
        rest = bytes_after(rest, size);
        size_t next_size = plant_swaps(a->stage->plant, &p) ? next_packet(a, rest, &next) : 0;
        if (next_size > 0)
            on_arrival(a, &next, next_size);
        on_arrival(a, &p, size);
        rest = bytes_after(rest, next_size);
    }
    if (rest.size > 0)
        memmove(c->rx.data, rest.data, rest.size);
    c->rx.size = rest.size;
}

static void read_some(struct actor *a)
{
    enum { READ_MOST = 4096 };
    struct conn *c = a->conn;
    size_t most = dice_permille(&a->dice, 200) ? 1 + dice_below(&a->dice, 40) : READ_MOST;
    uint8_t *room = buffer_reserve(&c->rx, most);
    assert(room != NULL);
    buffer_commit(&c->rx, link_read(c->link, room, most));
    c->read_ns = a->stage->world->now_ns;
    decode(a);
}

static void read_ghost(struct actor *a, struct conn *c)
{
    uint8_t ignored[1024];
    (void)link_read(c->link, ignored, sizeof ignored);
    c->read_ns = a->stage->world->now_ns;
    if (!link_is_over(c->link))
        return;
    c->left_ns = a->stage->world->now_ns;
    link_close(c->link);
    drop_conn(c);
}

static bool has_news(const struct conn *c)
{
    return link_readable(c->link) > 0 || link_is_over(c->link);
}

bool actor_can_read(const struct actor *a)
{
    if (a->conn != NULL && a->read_ns <= a->stage->world->now_ns && has_news(a->conn))
        return true;
    for (struct list *l = a->ghosts.next; l != &a->ghosts; l = l->next)
        if (has_news(ghost_at(l)))
            return true;
    return false;
}

void actor_read(struct actor *a)
{
    for (struct list *l = a->ghosts.next; l != &a->ghosts; l = l->next) {
        if (has_news(ghost_at(l))) {
            read_ghost(a, ghost_at(l));
            return;
        }
    }
    if (link_readable(a->conn->link) > 0)
        read_some(a);
    if (a->conn != NULL && link_is_over(a->conn->link)) {
        note(a, a->conn, "sees the end");
        leave(a, PART_CLOSE);
    }
    if (!a->is_calm && dice_permille(&a->dice, a->slowness))
        a->read_ns = a->stage->world->now_ns + dice_time_ns(&a->dice, 5 * SECOND_NS);
}

void actor_drain(struct actor *a)
{
    while (a->conn != NULL && link_readable(a->conn->link) > 0)
        read_some(a);
}

/* ------------------------------------------------------------------------------------- calm --- */

void actor_calm(struct actor *a)
{
    a->is_calm = true;
    a->act_ns = a->read_ns = a->stage->world->now_ns;
}

bool actor_is_settled(const struct actor *a)
{
    if (!a->is_calm || !list_is_empty(&a->ghosts))
        return false;
    if (a->conn == NULL)
        return a->stage->model->by_actor[a->index] == NULL;
    return a->conn->has_connack && a->conn->is_attached && a->ack_count == 0 && a->out_count == 0 &&
           list_is_empty(&a->conn->sent) && !needs_ping(a);
}
