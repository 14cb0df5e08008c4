/* sim/actor_send.c: see actor_send.h.
 *
 * Every packet is written down twice: as bytes for the broker, and as a struct sent for the model,
 * which learns what it means from there when the broker has taken it. */
#include "sim/actor_send.h"
#include "base/memory.h"
#include "mqtt/packet.h"
#include "sim/judge.h"

enum { FLOOD_MOST = 40, OUTS_AT_ONCE = 30, CLEARERS = 3, FILTERS_AT_ONCE = 3 };

static struct sent *new_sent(struct actor *a, enum packet_type type, uint16_t packet_id)
{
    struct sent *s = story_alloc(a->stage->arena, sizeof *s);
    s->type = type;
    s->packet_id = packet_id;
    list_init(&s->link);
    return s;
}

static void trace_sent(const struct actor *a, const struct sent *sent, const struct packet *p)
{
    struct trace_event e = { .kind = TRACE_SENT,
                             .now_ns = a->stage->world->now_ns,
                             .actor = a->index,
                             .connection = a->conn->number };
    if (p != NULL)
        trace_describe(&e, p);
    if (sent->message != NULL) {
        e.message = sent->message->index;
        e.text = story_topics[sent->message->topic].name;
    }
    if (sent->filter_count > 0)
        e.text = story_filters[sent->filters[0]].text;
    trace_add(a->stage->trace, &e);
}

static void send(struct actor *a, struct sent *sent, const struct packet *p)
{
    struct conn *c = a->conn;
    size_t size = packet_size(p, a->version);
    uint8_t *bytes = story_alloc(a->stage->arena, size);
    packet_encode(p, a->version, bytes);
    list_push_back(&c->sent, &sent->link);
    c->sent_ns = a->stage->world->now_ns;
    trace_sent(a, sent, p);
    link_write(c->link, bytes_of(bytes, size));
}

static bool is_waiting(const struct list *packets, uint16_t packet_id)
{
    for (struct list *l = packets->next; l != packets; l = l->next) {
        const struct sent *s = container_of(l, struct sent, link);
        if (s->packet_id == packet_id &&
            (s->type == PACKET_SUBSCRIBE || s->type == PACKET_UNSUBSCRIBE))
            return true;
    }
    return false;
}

static uint16_t new_packet_id(struct actor *a)
{
    for (;;) {
        uint16_t id = a->next_id;
        bool is_used = is_waiting(&a->conn->sent, id) || is_waiting(&a->conn->due, id);
        a->next_id = id == UINT16_MAX ? 1 : (uint16_t)(id + 1);
        for (unsigned i = 0; i < a->out_count; i++)
            is_used |= a->outs[i].packet_id == id;
        if (!is_used)
            return id;
    }
}

/* --------------------------------------------------------------------------------- messages --- */

static size_t payload_size(struct dice *d)
{
    uint32_t what = dice_below(d, 100);
    return what < 90 ? dice_below(d, 60) : what < 97 ? 600 + dice_below(d, 400) : 5000;
}

static unsigned choose_topic(struct dice *d, bool is_will)
{
    bool is_shared = !is_will && dice_permille(d, 350);
    for (;;) {
        unsigned t = dice_below(d, TOPIC_COUNT);
        if (story_topics[t].is_will == is_will && story_topics[t].is_shared == is_shared)
            return t;
    }
}

static struct sim_message *new_message(struct actor *a, bool is_will)
{
    struct dice *d = &a->dice;
    struct sim_message *m = model_new_message(a->stage->model);
    m->publisher = a->index;
    m->topic = (uint8_t)choose_topic(d, is_will);
    m->qos = (uint8_t)dice_below(d, 3);
    m->retain = dice_permille(d, 200);
    m->is_will = is_will;
    if (a->version == VERSION_5_0 && dice_permille(d, 150)) {
        m->has_expiry = true;
        m->expiry_s = 1 + dice_below(d, 20);
    }
    /* One actor per topic, and no Will: an empty payload does not say whose it is. */
    bool clears = m->retain && !is_will && !m->has_expiry && !story_topics[m->topic].is_shared &&
                  m->topic % CLEARERS == a->index && dice_permille(d, 500);
    if (!clears)
        m->payload = story_payload(a->stage->arena, m, payload_size(d));
    return m;
}

static void add_expiry(struct properties *p, const struct sim_message *m)
{
    if (!m->has_expiry)
        return;
    p->message_expiry_interval = m->expiry_s;
    properties_add(p, PROPERTY_MESSAGE_EXPIRY_INTERVAL);
}

/* An alias for the topic, perhaps with the topic itself. */
static void add_alias(struct actor *a, struct publish *p, unsigned topic)
{
    struct conn *c = a->conn;
    if (a->version != VERSION_5_0 || c->broker_alias_max == 0 || dice_permille(&a->dice, 500))
        return;
    unsigned most = c->broker_alias_max < ALIASES_MAX ? c->broker_alias_max : ALIASES_MAX;
    unsigned alias = 1 + dice_below(&a->dice, most);
    if (c->aliases_out[alias - 1] == (int)topic)
        p->topic = (struct bytes){ 0 };
    c->aliases_out[alias - 1] = (int8_t)topic;
    p->properties.topic_alias = (uint16_t)alias;
    properties_add(&p->properties, PROPERTY_TOPIC_ALIAS);
}

static void send_publish(struct actor *a, struct sim_message *m, uint16_t packet_id, bool dup)
{
    struct packet p = { .type = PACKET_PUBLISH };
    struct sent *sent = new_sent(a, PACKET_PUBLISH, packet_id);
    sent->message = m;
    sent->dup = dup;
    p.publish = (struct publish){ .dup = dup,
                                  .retain = m->retain,
                                  .qos = m->qos,
                                  .packet_id = packet_id,
                                  .topic = bytes_of_string(story_topics[m->topic].name),
                                  .payload = m->payload };
    add_expiry(&p.publish.properties, m);
    add_alias(a, &p.publish, m->topic);
    send(a, sent, &p);
}

static void remember_out(struct actor *a, struct sim_message *m, uint16_t packet_id)
{
    assert(a->out_count < OUTS_MAX);
    a->outs[a->out_count++] = (struct out){ m, packet_id, false, a->conn->number };
}

void actor_publish(struct actor *a)
{
    struct sim_message *m = new_message(a, false);
    unsigned most =
        a->conn->broker_receive_max < OUTS_AT_ONCE ? a->conn->broker_receive_max : OUTS_AT_ONCE;
    if (m->qos > 0 && a->out_count >= most) {
        actor_acknowledge(a, ACKS_MAX); /* m is never sent */
        return;
    }
    uint16_t id = m->qos == 0 ? 0 : new_packet_id(a);
    send_publish(a, m, id, false);
    if (m->qos > 0)
        remember_out(a, m, id);
    if (m->qos == 1 && plant_answers(a->stage->plant)) { /* the packet is lost, too */
        struct packet answer = { .type = PACKET_PUBACK, .ack.packet_id = id };
        judge_received(a->stage->model, a->conn, &answer, packet_size(&answer, a->version));
    }
}

static void send_ack(struct actor *a, const struct owed *ack)
{
    struct packet p = { .type = ack->type,
                        .ack = { .packet_id = ack->packet_id, .reason = ack->reason } };
    struct sent *sent = new_sent(a, ack->type, ack->packet_id);
    sent->reason = ack->reason;
    send(a, sent, &p);
    if (ack->type == PACKET_PUBACK || ack->type == PACKET_PUBCOMP ||
        (ack->type == PACKET_PUBREC && reason_is_error(ack->reason)))
        judge_on_finished(a->conn, ack->packet_id);
}

void actor_acknowledge(struct actor *a, unsigned most)
{
    while (most-- > 0 && a->ack_count > 0) {
        if (!a->is_calm && dice_permille(&a->dice, a->slackness))
            return;
        unsigned at = !a->is_calm && dice_permille(&a->dice, a->disorder)
                          ? dice_below(&a->dice, a->ack_count)
                          : 0;
        struct owed ack = a->acks[at];
        a->ack_count--;
        for (; at < a->ack_count; at++)
            a->acks[at] = a->acks[at + 1];
        send_ack(a, &ack);
    }
}

void actor_send_again(struct actor *a)
{
    for (unsigned i = 0; i < a->out_count; i++) {
        const struct out *out = &a->outs[i];
        struct owed release = { PACKET_PUBREL, out->packet_id, REASON_SUCCESS };
        if (out->first_on == a->conn->number)
            continue;
        if (out->is_released)
            send_ack(a, &release);
        else
            send_publish(a, out->message, out->packet_id, true); /* [MQTT-4.4.0-1] */
    }
}

/* ---------------------------------------------------------------------------- subscriptions --- */

static bool may_use(const struct actor *a, unsigned filter)
{
    if (story_filters[filter].is_shared)
        return (int)filter == a->shared_filter;
    return a->shared_filter < 0 || !story_filters[filter].overlaps_shared;
}

static uint8_t choose_options(struct actor *a, unsigned filter)
{
    struct dice *d = &a->dice;
    bool is_shared = story_filters[filter].is_shared;
    uint8_t qos = (uint8_t)dice_below(d, 3);
    if (is_shared && qos == 0 && dice_permille(d, 900))
        qos = 1; /* at QoS 0 all may get lost, and there is little to see */
    if (a->version != VERSION_5_0)
        return qos;
    return (uint8_t)(qos | (!is_shared && dice_permille(d, 150) ? SUBSCRIBE_NO_LOCAL : 0) |
                     (dice_permille(d, 400) ? SUBSCRIBE_RETAIN_AS_PUBLISHED : 0) |
                     dice_below(d, 3) << 4);
}

static bool is_chosen(const struct sent *sent, unsigned filter)
{
    return memchr(sent->filters, (int)filter, sent->filter_count) != NULL;
}

static void add_filter(struct actor *a, struct sent *sent, unsigned filter)
{
    if (!may_use(a, filter) || is_chosen(sent, filter))
        return;
    sent->options[sent->filter_count] = choose_options(a, filter);
    sent->filters[sent->filter_count++] = (uint8_t)filter;
}

/* Some filters, each once; often the group's. */
static void choose_filters(struct actor *a, struct sent *sent)
{
    unsigned wanted = 1 + dice_below(&a->dice, FILTERS_AT_ONCE);
    if (a->shared_filter >= 0 && dice_permille(&a->dice, 400))
        add_filter(a, sent, (unsigned)a->shared_filter);
    while (sent->filter_count < wanted)
        add_filter(a, sent, dice_below(&a->dice, FILTER_COUNT));
}

static void send_subscribe(struct actor *a, enum packet_type type)
{
    struct packet p = { .type = type, .subscribe.packet_id = new_packet_id(a) };
    struct sent *sent = new_sent(a, type, p.subscribe.packet_id);
    struct buffer list = { 0 };
    choose_filters(a, sent);
    for (unsigned i = 0; i < sent->filter_count; i++) {
        struct bytes text = bytes_of_string(story_filters[sent->filters[i]].text);
        uint8_t head[2] = { (uint8_t)(text.size >> 8), (uint8_t)text.size };
        int failed = buffer_append(&list, bytes_of(head, 2)) | buffer_append(&list, text);
        if (type == PACKET_SUBSCRIBE)
            failed |= buffer_append(&list, bytes_of(&sent->options[i], 1));
        assert(failed == 0);
    }
    p.subscribe.count = sent->filter_count;
    p.subscribe.filters = buffer_bytes(&list);
    if (type == PACKET_SUBSCRIBE && a->version == VERSION_5_0 && dice_permille(&a->dice, 500)) {
        sent->subscription_id = p.subscribe.properties.subscription_identifier =
            1 + dice_below(&a->dice, 200);
        properties_add(&p.subscribe.properties, PROPERTY_SUBSCRIPTION_IDENTIFIER);
    }
    send(a, sent, &p);
    buffer_fini(&list);
}

void actor_subscribe(struct actor *a)
{
    send_subscribe(a, PACKET_SUBSCRIBE);
}

void actor_unsubscribe(struct actor *a)
{
    send_subscribe(a, PACKET_UNSUBSCRIBE);
}

/* ------------------------------------------------------------------------ coming and going ---- */

static uint32_t choose_expiry(struct actor *a, bool clean_start)
{
    struct dice *d = &a->dice;
    if (a->version != VERSION_5_0)
        return clean_start ? 0 : UINT32_MAX;
    if (a->is_calm)
        return 1000;
    uint32_t what = dice_below(d, 100);
    return what < 20 ? 0 : what < 80 ? 1 + dice_below(d, 15) : UINT32_MAX;
}

static void choose_will(struct actor *a, struct greeting *g)
{
    struct dice *d = &a->dice;
    if (a->is_calm || dice_permille(d, 500))
        return;
    g->will = new_message(a, true);
    if (a->version == VERSION_5_0 && dice_permille(d, 700))
        g->will_delay_s = 1 + dice_below(d, 8);
}

static struct greeting choose_greeting(struct actor *a)
{
    struct dice *d = &a->dice;
    struct greeting g = { .version = a->version,
                          .clean_start =
                              a->wants_new_session || (!a->is_calm && dice_permille(d, 200)),
                          .receive_max = a->receive_max,
                          .alias_max = a->alias_max,
                          .max_packet_size = a->max_packet_size };
    g.expiry_s = choose_expiry(a, g.clean_start);
    if (dice_permille(d, 500))
        g.keep_alive_s = (uint16_t)(3 + dice_below(d, 20));
    choose_will(a, &g);
    return g;
}

static void add_numbers(struct properties *p, const struct greeting *g)
{
    if (g->expiry_s != 0) {
        p->session_expiry_interval = g->expiry_s;
        properties_add(p, PROPERTY_SESSION_EXPIRY_INTERVAL);
    }
    if (g->receive_max != UINT16_MAX) {
        p->receive_maximum = g->receive_max;
        properties_add(p, PROPERTY_RECEIVE_MAXIMUM);
    }
    if (g->alias_max != 0) {
        p->topic_alias_maximum = g->alias_max;
        properties_add(p, PROPERTY_TOPIC_ALIAS_MAXIMUM);
    }
    if (g->max_packet_size != 0) {
        p->maximum_packet_size = g->max_packet_size;
        properties_add(p, PROPERTY_MAXIMUM_PACKET_SIZE);
    }
}

static void send_connect(struct actor *a)
{
    const struct greeting *g = &a->conn->greeting;
    struct packet p = { .type = PACKET_CONNECT };
    struct sent *sent = new_sent(a, PACKET_CONNECT, 0);
    p.connect = (struct connect){ .version = g->version,
                                  .clean_start = g->clean_start,
                                  .keep_alive_s = g->keep_alive_s,
                                  .client_id = actor_client_id(a->index) };
    if (g->version == VERSION_5_0)
        add_numbers(&p.connect.properties, g);
    if (g->will != NULL) {
        struct will *will = &p.connect.will;
        sent->message = g->will;
        p.connect.has_will = true;
        will->qos = g->will->qos;
        will->retain = g->will->retain;
        will->topic = bytes_of_string(story_topics[g->will->topic].name);
        will->payload = g->will->payload;
        add_expiry(&will->properties, g->will);
        if (g->will_delay_s > 0) {
            will->properties.will_delay_interval = g->will_delay_s;
            properties_add(&will->properties, PROPERTY_WILL_DELAY_INTERVAL);
        }
    }
    send(a, sent, &p);
}

static struct conn *new_conn(struct actor *a)
{
    struct stage *stage = a->stage;
    struct dice *d = &a->dice;
    size_t capacity = LINK_CAPACITY_MIN + dice_below(d, LINK_CAPACITY_MAX >> dice_below(d, 8));
    struct conn *c = story_alloc(stage->arena, sizeof *c);
    c->link = link_open(stage->net, dice_below(d, stage->listeners), capacity);
    c->number = link_number(c->link);
    c->actor = a;
    c->actor_index = a->index;
    c->broker_receive_max =
        a->version == VERSION_5_0 ? 1 : UINT16_MAX; /* until CONNACK says more */
    c->opened_ns = c->taken_ns = c->read_ns = stage->world->now_ns;
    c->left_ns = INT64_MAX;
    memset(c->aliases_in, -1, sizeof c->aliases_in);
    memset(c->aliases_out, -1, sizeof c->aliases_out);
    list_init(&c->in_actor);
    list_init(&c->sent);
    list_init(&c->due);
    link_set_owner(c->link, c);
    return c;
}

void actor_connect(struct actor *a)
{
    a->conn = new_conn(a);
    a->conn->greeting = choose_greeting(a);
    send_connect(a);
    if (a->is_calm || a->out_count > 0 || dice_permille(&a->dice, 750))
        return;
    for (unsigned more = 1 + dice_below(&a->dice, 3); more > 0; more--) { /* [MQTT-3.1.4-5] */
        if (dice_permille(&a->dice, 500))
            actor_subscribe(a);
        else
            actor_publish(a);
    }
}

void actor_ping(struct actor *a)
{
    struct packet p = { .type = PACKET_PINGREQ };
    send(a, new_sent(a, PACKET_PINGREQ, 0), &p);
}

void actor_say_goodbye(struct actor *a)
{
    struct packet p = { .type = PACKET_DISCONNECT };
    struct sent *sent = new_sent(a, PACKET_DISCONNECT, 0);
    bool is_5 = a->version == VERSION_5_0;
    if (is_5 && dice_permille(&a->dice, 400))
        p.disconnect.reason = sent->reason = REASON_DISCONNECT_WITH_WILL;
    if (is_5 && a->conn->greeting.expiry_s > 0 && dice_permille(&a->dice, 300)) {
        sent->has_expiry = true;
        sent->expiry_s = dice_below(&a->dice, 10);
        p.disconnect.properties.session_expiry_interval = sent->expiry_s;
        properties_add(&p.disconnect.properties, PROPERTY_SESSION_EXPIRY_INTERVAL);
    }
    send(a, sent, &p);
}

/* -------------------------------------------------------------------------- breaking rules ---- */

static void send_garbage(struct actor *a)
{
    static const uint8_t bytes[][6] = {
        { 0x00, 0x00 },                         /* no such packet */
        { 0x30, 0xff, 0xff, 0xff, 0xff, 0x01 }, /* a Remaining Length of five bytes */
        { 0x66, 0x02, 0x00, 0x01 },             /* PUBREL with wrong flags */
        { 0x36, 0x04, 0x00, 0x01, 'a', 0x00 },  /* QoS 3 */
    };
    struct sent *sent = new_sent(a, (enum packet_type)0, 0);
    list_push_back(&a->conn->sent, &sent->link);
    trace_sent(a, sent, NULL);
    link_write(a->conn->link, bytes_of(bytes[dice_below(&a->dice, 4)], sizeof bytes[0]));
}

/* More of QoS 2 than the broker's Receive Maximum [MQTT-3.3.4-7]. */
static void send_flood(struct actor *a)
{
    unsigned count = a->conn->broker_receive_max + 1u;
    a->wants_new_session = true; /* what is open now cannot be sent again within the rules */
    a->out_count = 0;
    for (unsigned i = 0; i < count; i++) {
        struct sim_message *m = new_message(a, false);
        m->qos = 2;
        if (m->payload.size > 0)
            m->payload = story_payload(a->stage->arena, m, 0);
        send_publish(a, m, new_packet_id(a), false);
    }
}

void actor_break_rules(struct actor *a)
{
    if (a->version == VERSION_5_0 && a->conn->broker_receive_max <= FLOOD_MOST &&
        dice_permille(&a->dice, 500))
        send_flood(a);
    else
        send_garbage(a);
}
