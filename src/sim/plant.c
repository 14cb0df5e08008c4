/* sim/plant.c: see plant.h. */
#include "sim/plant.h"
#include "base/memory.h"
#include "broker/answers.h"
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/deposit.h"
#include "broker/server.h"
#include "broker/storage.h"

static const char *const names[PLANT_COUNT] = { [PLANT_NONE] = "none",
#define PLANT(name, text, words) [PLANT_##name] = text,
                                                PLANT_TABLE(PLANT)
#undef PLANT
};

enum plant_kind plant_from_name(const char *name)
{
    int kind = PLANT_COUNT - 1;
    while (kind > PLANT_NONE && strcmp(names[kind], name) != 0)
        kind--;
    return (enum plant_kind)kind;
}

const char *plant_name(enum plant_kind kind)
{
    return names[kind];
}

/* -------------------------------------------------------------------- at the client's door ---- */

void plant_on_arrival(struct plant *plant, struct packet *p)
{
    if (plant->kind == PLANT_KEEP_RETAIN && p->type == PACKET_PUBLISH)
        p->publish.retain = true;
    if (plant->kind == PLANT_WRONG_PRESENT && p->type == PACKET_CONNACK)
        p->connack.session_present = !p->connack.session_present;
}

bool plant_swaps(struct plant *plant, const struct packet *p)
{
    return plant->kind == PLANT_SWAP && p->type == PACKET_PUBLISH && plant->seen++ % 10 == 9;
}

bool plant_answers(struct plant *plant)
{
    return plant->kind == PLANT_ACK_BEFORE_ROUTE && plant->seen++ % 20 == 19;
}

/* ---------------------------------------------------------------------- inside the broker ----- */

void plant_on_taken(struct plant *plant, const struct connection *c, const struct packet *p)
{
    if (plant->kind == PLANT_DUPLICATE_QOS2 && p->type == PACKET_PUBLISH && p->publish.dup &&
        p->publish.qos == 2)
        (void)session_on_pubrel(c->client->session, p->publish.packet_id);
}

/* In place of the broker's own function, between a Session and its connection. */
static enum drop send_wrongly(struct delivery_sink *sink, const struct delivery *d, bool dup)
{
    const struct client *c = container_of(sink, struct client, sink);
    const struct plant *plant = container_of(sink->ops, struct plant, sink_ops);
    bool is_full = session_stats(c->session).inflight_count == client_window(c);
    if (plant->kind == PLANT_LOSE_ON_FULL_WINDOW && is_full && d->qos > 0 && !dup)
        return DROP_NONE;
    return plant->broker_ops->send_publish(sink, d, dup && plant->kind != PLANT_FORGET_DUP);
}

static void do_nothing(struct delivery_sink *sink, const struct delivery *d) {}

static void spoil_sink(struct plant *plant, struct delivery_sink *sink)
{
    if (plant->broker_ops == NULL)
        plant->broker_ops = sink->ops;
    plant->sink_ops = *plant->broker_ops;
    if (plant->kind == PLANT_LOSE_RETURNED)
        plant->sink_ops.on_returned = do_nothing;
    else if (plant->kind == PLANT_FORGET_PUBREC)
        plant->sink_ops.on_received = do_nothing;
    else
        plant->sink_ops.send_publish = send_wrongly;
    sink->ops = &plant->sink_ops;
}

void plant_on_connack(struct plant *plant, const struct connection *c)
{
    bool is_in_sink = plant->kind == PLANT_LOSE_RETURNED ||
                      plant->kind == PLANT_LOSE_ON_FULL_WINDOW || plant->kind == PLANT_FORGET_DUP ||
                      plant->kind == PLANT_FORGET_PUBREC;
    if (is_in_sink && c->client != NULL)
        spoil_sink(plant, &c->client->sink);
    if (plant->kind == PLANT_LEAK && plant->seen++ == 0)
        (void)!memory_alloc(1);
}

static void hurry_wills(struct worker *w)
{
    uint32_t cursor = 0;
    for (struct client *c; (c = slab_next(w->clients, &cursor)) != NULL;)
        if (c->will != NULL && timer_is_set(&c->will->delay_timer))
            timers_set(w->timers, &c->will->delay_timer, w->now_ns);
}

/* What waits for a request that is on its way to the disk, if it is of this type, waits no more. */
static void answer_early(struct store_request *r, enum packet_type type)
{
    struct answer **at = &r->waiting;
    while (*at != NULL) {
        struct answer *a = *at;
        if (a->type == type) {
            *at = a->next_waiting;
            answer_safe(a);
        } else {
            at = &a->next_waiting;
        }
    }
}

static void answer_deposits_early(struct store_request *r)
{
    for (struct list *l = r->deposits.next; l != &r->deposits; l = l->next) {
        struct deposit *d = container_of(l, struct deposit, link);
        struct answer *a = d->answer;
        d->answer = NULL;
        if (a != NULL)
            answer_safe(a);
    }
}

void plant_on_turn(struct plant *plant, const struct server *server)
{
    for (unsigned i = 0; i < server->worker_count; i++) {
        struct worker *w = server->workers[i];
        struct store_request *r = w->staging.under_way;
        if (plant->kind == PLANT_EARLY_WILL)
            hurry_wills(w);
        if (plant->kind == PLANT_ACK_BEFORE_DISK && r != NULL) {
            answer_deposits_early(r);
            answer_early(r, PACKET_PUBACK);
            answer_early(r, PACKET_PUBREC);
        }
    }
}

static void do_not_wake(struct poller *p) {}

void plant_on_network(struct plant *plant, struct network *door)
{
    if (plant->kind == PLANT_LOSE_WAKE)
        door->poller_wake = do_not_wake;
}
