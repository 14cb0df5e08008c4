/* bench/storms.c: see storms.h.
 *
 *     connect   CONNECT -> <- CONNACK  DISCONNECT -> <- closed, and again
 *     idle      CONNECT -> <- CONNACK  SUBSCRIBE -> <- SUBACK, and nothing more
 *
 * After DISCONNECT it is the broker that closes [MQTT-3.14.4-1].  That leaves the port of the
 * closed connection to the broker's side; if we closed first, there would soon be no port left to
 * connect from. */
#include "bench/storms.h"
#include "base/memory.h"
#include "bench/fail.h"
#include "bench/load.h"
#include <stdio.h>

struct client {
    struct peer peer;
    int64_t since_ns; /* when it began to connect */
    char id[CLIENT_ID_SIZE];
};

struct storm {
    struct load load;
    struct client *clients;
    uint32_t count;
    bool is_ending;
    uint32_t subscribed; /* idle */
};

static struct client *client_of(struct peer *p)
{
    return container_of(p, struct client, peer);
}

static struct storm *storm_of(const struct peer *p)
{
    return container_of((struct load *)p->loop->owner, struct storm, load);
}

static void storm_init(struct storm *s, const struct bench_spec *spec, struct bench_result *result,
                       const struct bench_watch *watch, const struct peer_ops *ops, uint32_t count)
{
    *s = (struct storm){ .count = count, .clients = bench_alloc(count, sizeof *s->clients) };
    load_init(&s->load, spec, result, watch);
    for (uint32_t i = 0; i < count; i++)
        peer_init(&s->clients[i].peer, &s->load.loop, ops, i);
}

static void storm_fini(struct storm *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        peer_fini(&s->clients[i].peer);
    load_fini(&s->load);
    memory_free(s->clients);
}

static void client_open(struct client *c)
{
    struct peer_connect connect = { .clean_start = true };
    connect.client_id = load_client_id(c->id, c->peer.index);
    c->since_ns = loop_now(c->peer.loop);
    peer_open(&c->peer, &connect);
}

static void on_nothing_expected(struct peer *p, const struct packet *packet)
{
    bench_fail("client %u: unexpected %s", p->index, packet_type_name(packet->type));
}

/* ---------------------------------------------------------------------------------- connect --- */

static void on_connected(struct peer *p)
{
    struct packet goodbye = { .type = PACKET_DISCONNECT };
    load_count(&storm_of(p)->load, client_of(p)->since_ns);
    peer_send(p, &goodbye);
}

static void on_closed(struct peer *p)
{
    struct storm *s = storm_of(p);
    s->load.result->published += s->load.is_counting;
    if (!s->is_ending)
        client_open(client_of(p));
}

void storm_connect(const struct bench_spec *spec, struct bench_result *result,
                   const struct bench_watch *watch)
{
    static const struct peer_ops ops = { .on_packet = on_nothing_expected,
                                         .on_open = on_connected,
                                         .on_closed = on_closed };
    static const char wanted[] = "CONNACK, or for the broker to close after DISCONNECT";
    struct storm s;
    assert(spec->window <= OPENING_MAX); /* on_closed must not have to wait */
    storm_init(&s, spec, result, watch, &ops, spec->window);
    for (uint32_t i = 0; i < s.count; i++)
        client_open(&s.clients[i]);
    load_ready(&s.load, s.count);
    load_run(&s.load, spec->warm_up, wanted);
    load_begin(&s.load);
    load_run(&s.load, spec->seconds, wanted);
    load_end(&s.load);
    s.is_ending = true;
    while (s.load.loop.opening + s.load.loop.open > 0)
        load_turn(&s.load, INT64_MAX, wanted);
    storm_fini(&s);
}

/* ------------------------------------------------------------------------------------- idle --- */

/* Nobody publishes to it. */
static void on_idle_connected(struct peer *p)
{
    struct storm *s = storm_of(p);
    char filter[32];
    const char *filters = filter;
    load_count(&s->load, client_of(p)->since_ns);
    (void)snprintf(filter, sizeof filter, "bench/idle/client/%05u", p->index); /* fits */
    peer_subscribe(p, 1, &filters, 1, s->load.spec->qos);
}

static void on_idle_packet(struct peer *p, const struct packet *packet)
{
    struct storm *s = storm_of(p);
    if (packet->type != PACKET_SUBACK)
        on_nothing_expected(p, packet);
    if (packet->suback.reasons.size != 1 || packet->suback.reasons.data[0] != s->load.spec->qos)
        bench_fail("client %u: the subscription was not granted", p->index);
    s->subscribed++;
    s->load.heard_ns = s->load.loop.now_ns;
}

static uint32_t open_idle(struct storm *s)
{
    uint32_t opened = 0;
    while (opened < s->count && !load_is_stopped(&s->load)) {
        client_open(&s->clients[opened]);
        s->load.result->published = ++opened;
        while (s->load.loop.opening == OPENING_MAX)
            load_turn(&s->load, INT64_MAX, "CONNACK");
    }
    while (s->subscribed < opened)
        load_turn(&s->load, INT64_MAX, "CONNACK and SUBACK");
    return opened;
}

/* What was idle has nothing to wait for. */
static void stay_idle(struct storm *s)
{
    int64_t until_ns = loop_now(&s->load.loop) + (int64_t)(s->load.spec->seconds * 1e9);
    while (s->load.loop.now_ns < until_ns && !load_is_stopped(&s->load)) {
        s->load.heard_ns = s->load.loop.now_ns;
        load_turn(&s->load, until_ns, "nothing");
    }
}

void storm_idle(const struct bench_spec *spec, struct bench_result *result,
                const struct bench_watch *watch)
{
    static const struct peer_ops ops = { .on_packet = on_idle_packet,
                                         .on_open = on_idle_connected };
    struct storm s;
    storm_init(&s, spec, result, watch, &ops, spec->subscribers);
    load_begin(&s.load);
    uint32_t opened = open_idle(&s);
    load_end(&s.load);
    stay_idle(&s);
    load_ready(&s.load, opened);
    for (uint32_t i = 0; i < opened; i++)
        peer_disconnect(&s.clients[i].peer);
    storm_fini(&s);
}
