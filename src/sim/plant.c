/* sim/plant.c: see plant.h. */
#include "sim/plant.h"
#include "base/memory.h"
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/server.h"
#include "sim/conn.h"

static const char *const names[PLANT_COUNT] = {
    [PLANT_NONE] = "none",
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

static void spoil_publish(struct plant *plant, struct publish *p)
{
    if (plant->kind == PLANT_FORGET_DUP)
        p->dup = false;
    if (plant->kind == PLANT_KEEP_RETAIN)
        p->retain = true;
}

enum plant_verdict plant_on_arrival(struct plant *plant, const struct conn *c, struct packet *p)
{
    if (p->type == PACKET_PUBLISH)
        spoil_publish(plant, &p->publish);
    if (plant->kind == PLANT_WRONG_PRESENT && p->type == PACKET_CONNACK)
        p->connack.session_present = !p->connack.session_present;
    bool fills = p->type == PACKET_PUBLISH && p->publish.qos > 0 && !p->publish.dup &&
                 c->greeting.receive_max == c->open_count + 1u;
    return plant->kind == PLANT_LOSE_ON_FULL_WINDOW && fills ? PLANT_DROP : PLANT_PASS;
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

static void lose(struct delivery_sink *sink, const struct delivery *d)
{
}

static void plant_sink(struct plant *plant, struct client *client)
{
    plant->sink_ops = *client->sink.ops;
    plant->sink_ops.on_returned = lose;
    client->sink.ops = &plant->sink_ops;
}

void plant_on_connack(struct plant *plant, const struct connection *c)
{
    if (plant->kind == PLANT_LOSE_RETURNED && c->client != NULL)
        plant_sink(plant, c->client);
    if (plant->kind == PLANT_LEAK && plant->seen++ == 0)
        (void)!memory_alloc(1);
}

void plant_on_turn(struct plant *plant, const struct server *server)
{
    for (unsigned i = 0; plant->kind == PLANT_EARLY_WILL && i < server->worker_count; i++) {
        struct worker *w = server->workers[i];
        uint32_t cursor = 0;
        for (struct client *c; (c = slab_next(w->clients, &cursor)) != NULL;)
            if (timer_is_set(&c->will_timer))
                timers_set(w->timers, &c->will_timer, w->now_ns);
    }
}

static void do_not_wake(struct poller *p)
{
}

void plant_on_network(struct plant *plant, struct network *door)
{
    if (plant->kind == PLANT_LOSE_WAKE)
        door->poller_wake = do_not_wake;
}
