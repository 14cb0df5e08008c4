/* sim/sim.c: the scheduler.
 *
 *     wild     a worker's turn | a client acts | a client reads | time passes      by the dice
 *     calm     the same, without faults, until nothing moves: has everything arrived?
 *     later    the clock runs on for a while: Wills that waited, Sessions that expire
 *     stop     in good order, and everything is given back
 *
 * A worker whose turn has left nothing to do sleeps, as its thread would: until its time comes,
 * something happens at its poller, or another worker wakes it.  So a wake-up or an interest that
 * the broker forgets shows as a message that does not arrive. */
#include "sim/sim.h"
#include "base/memory.h"
#include "broker/server.h"
#include "broker/worker.h"
#include "sim/actor.h"
#include "sim/peek.h"
#include <stdio.h>

#define MS_NS        INT64_C(1000000)
#define SECOND_NS    INT64_C(1000000000)
#define QUIET_MAX_NS (120 * SECOND_NS)

enum {
    ACTORS_MIN = 3,
    CHECK_INTERVAL = 100,
    LAST_WORDS = 10,
    CONFIG_TEXT_SIZE = 600,
};

struct bed { /* where a worker sleeps */
    bool is_asleep;
    int64_t until_ns;
};

struct sim {
    const struct sim_options *options;
    struct dice dice;
    struct arena arena;
    struct world world;
    struct net net;
    struct model model;
    struct plant plant;
    struct stage stage;
    struct trace *trace;
    struct log log;
    struct config *config;
    struct server *server;
    struct tap tap;
    struct bed beds[SIM_WORKERS_MAX];
    unsigned worker_count;
    struct actor actors[ACTORS_MAX];
    unsigned actor_count;
    uint64_t step;
};

/* ---------------------------------------------------------------------------------- set-up ---- */

static void write_log(struct log *log, enum log_type type, const char *line)
{
    fprintf(stderr, "                        broker: %s\n", line);
}

static void on_packet(struct tap *tap, const struct connection *c, enum tap_direction direction,
                      const struct packet *p)
{
    struct sim *s = container_of(tap, struct sim, tap);
    struct stream *stream = peek_stream(c);
    struct conn *conn = stream == NULL ? NULL : link_owner(link_of_stream(stream));
    if (conn == NULL || s->model.is_blind)
        return;
    if (direction == TAP_RECEIVED) {
        plant_on_taken(&s->plant, c, p);
        model_on_taken(&s->model, conn, p);
    } else if (p->type == PACKET_CONNACK) {
        plant_on_connack(&s->plant, c);
        model_on_connack(&s->model, conn, &p->connack);
    } else if (p->type == PACKET_PUBLISH && conn->link != NULL) {
        int result =
            buffer_append(&conn->publish_times, bytes_of(&s->world.now_ns, sizeof s->world.now_ns));
        assert(result == 0);
    }
}

static void on_close(void *context, struct link *l)
{
    struct sim *s = context;
    struct conn *c = link_owner(l);
    model_on_time(&s->model, s->server);
    trace_note(s->trace, s->world.now_ns, c->actor_index, c->number, "the broker closes it", 0);
    model_on_closed(&s->model, c, link_fault_was_seen(l));
}

static bool flip(struct sim *s, uint32_t permille)
{
    return dice_permille(&s->dice, permille);
}

static struct config *draw_config(struct sim *s)
{
    static const char *const strategies[] = { "round-robin", "least-inflight", "hash-client-id",
                                              "hash-topic" };
    static const unsigned windows[] = { 20, 20, 1, 3, 8 };
    char text[CONFIG_TEXT_SIZE];
    unsigned queued_max = flip(s, 100) ? 1 + dice_below(&s->dice, 10) : 0;
    struct config *config = NULL;
    struct config_error error;
    int length = snprintf(text, sizeof text,
                          "listener 1883\nallow_anonymous true\nmax_inflight_messages %u\n"
                          "shared_subscription_strategy %s\nallow_duplicate_messages %s\n"
                          "queue_qos0_messages %s\nupgrade_outgoing_qos %s\n"
                          "max_topic_alias %u\nmax_topic_alias_broker %u\n"
                          "max_queued_messages %u\nqueue_policy %s\n",
                          windows[dice_below(&s->dice, 5)], strategies[dice_below(&s->dice, 4)],
                          flip(s, 700) ? "true" : "false", flip(s, 300) ? "true" : "false",
                          flip(s, 100) ? "true" : "false", dice_below(&s->dice, 12),
                          dice_below(&s->dice, 12), queued_max,
                          flip(s, 500) ? "drop-newest" : "drop-oldest");
    assert(length > 0 && (size_t)length < sizeof text);
    int result =
        config_parse(&s->world.env, bytes_of_string(text), "drawn", NULL, NULL, &config, &error);
    if (result != 0)
        trace_fail(s->trace, "the configuration is refused: %s", error.text);
    return config;
}

static struct net_faults draw_faults(struct sim *s)
{
    struct net_faults f = { .delay_max_ns = dice_time_ns(&s->dice, 200 * MS_NS) };
    if (flip(s, 250))
        return f;
    f.recv_chops = dice_below(&s->dice, 600);
    f.send_chops = dice_below(&s->dice, 600);
    f.nothing_now = dice_below(&s->dice, 200);
    f.farewell_lost = dice_below(&s->dice, 500);
    f.accept_fails = flip(s, 500) ? dice_below(&s->dice, 100) : 0;
    f.watch_fails = flip(s, 300) ? dice_below(&s->dice, 10) : 0;
    return f;
}

static bool open_broker(struct sim *s)
{
    static const unsigned counts[] = { 1, 2, 3, 8 };
    unsigned drawn = counts[dice_below(&s->dice, 4)];
    s->worker_count = s->options->workers > 0 ? s->options->workers : drawn;
    s->config = draw_config(s);
    if (s->config == NULL)
        return false;
    model_init(&s->model, &s->arena, &s->world, s->trace, s->config);
    s->model.drops = s->config->max_queued_messages > 0;
    s->model.is_blind = flip(s, 100);
    s->log = (struct log){ s->options->is_verbose ? LOG_TYPE_ALL : 0, write_log };
    s->server = server_create(&s->world.env, s->config, &s->log, s->worker_count);
    assert(s->server != NULL);
    s->tap.on_packet = on_packet;
    server_set_taps(s->server, &s->tap);
    if (server_listen(s->server) != 0)
        trace_fail(s->trace, "the broker does not listen");
    return true;
}

static void open_stage(struct sim *s)
{
    s->stage = (struct stage){ &s->world, &s->net,   &s->model,      s->trace,
                               &s->arena, &s->plant, s->worker_count };
    s->net.on_close = on_close;
    s->net.context = s;
    s->net.faults = draw_faults(s);
    s->actor_count = ACTORS_MIN + dice_below(&s->dice, ACTORS_MAX - ACTORS_MIN + 1);
    for (unsigned i = 0; i < s->actor_count; i++)
        actor_init(&s->actors[i], &s->stage, (uint8_t)i, dice_next(&s->dice));
}

/* ------------------------------------------------------------------------------------- time --- */

static int64_t next_event_ns(const struct sim *s)
{
    int64_t next = net_next_arrival_ns(&s->net);
    for (unsigned i = 0; i < s->actor_count; i++) {
        int64_t at = actor_next_ns(&s->actors[i]);
        next = at < next ? at : next;
    }
    for (unsigned i = 0; i < s->worker_count; i++)
        next = s->beds[i].until_ns < next ? s->beds[i].until_ns : next;
    return next;
}

/* To the next moment at which something happens.  False: nothing ever will. */
static bool pass_time(struct sim *s)
{
    int64_t next = next_event_ns(s);
    if (next == INT64_MAX)
        return false;
    if (next > s->world.now_ns)
        s->world.now_ns = next;
    return true;
}

static void disturb_time(struct sim *s)
{
    if (flip(s, 300))
        s->world.now_ns += dice_time_ns(&s->dice, MS_NS);
    if (dice_below(&s->dice, 4000) == 0) { /* the machine stands still */
        s->world.now_ns += dice_time_ns(&s->dice, 4 * SECOND_NS);
        trace_note(s->trace, s->world.now_ns, 0, 0, "a stall", 0);
    }
    if (flip(s, 1)) /* somebody sets the clock */
        s->world.wall_offset_ns += dice_between(&s->dice, -1000, 1000) * SECOND_NS;
}

/* ------------------------------------------------------------------------------------ steps --- */

static bool worker_is_awake(const struct sim *s, unsigned i)
{
    const struct bed *bed = &s->beds[i];
    const struct worker *w = s->server->workers[i];
    return w->phase != WORKER_STOPPED &&
           (!bed->is_asleep || bed->until_ns <= s->world.now_ns || poller_is_ready(w->poller));
}

static void check_broker(struct sim *s)
{
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_check(s->server->workers[i]);
    router_check(s->server->router);
    retained_check(s->server->retained);
}

static void turn(struct sim *s, unsigned i)
{
    struct worker *w = s->server->workers[i];
    struct bed *bed = &s->beds[i];
    trace_mix(s->trace, i);
    if (s->model.is_blind && flip(s, 50))
        world_fail_at(&s->world, 1 + dice_below(&s->dice, 30));
    worker_turn(w, 0);
    world_fail_at(&s->world, 0);
    int64_t wait = worker_wait_ns(w);
    bed->is_asleep = wait > 0 && mailbox_sleep(&w->mailbox);
    bool has_deadline = bed->is_asleep && wait < INT64_MAX && w->phase != WORKER_STOPPED;
    bed->until_ns = has_deadline ? s->world.now_ns + wait : INT64_MAX;
    plant_on_turn(&s->plant, s->server);
    model_on_turn_end(&s->model, s->server);
}

enum { MOVES_MAX = SIM_WORKERS_MAX + 2 * ACTORS_MAX };

enum move_kind { MOVE_TURN, MOVE_ACT, MOVE_READ };

struct move {
    enum move_kind kind;
    unsigned index;
};

static unsigned list_moves(const struct sim *s, struct move *moves)
{
    unsigned count = 0;
    for (unsigned i = 0; i < s->worker_count; i++)
        if (worker_is_awake(s, i))
            moves[count++] = (struct move){ MOVE_TURN, i };
    for (unsigned i = 0; i < s->actor_count; i++) {
        if (actor_is_due(&s->actors[i]))
            moves[count++] = (struct move){ MOVE_ACT, i };
        if (actor_can_read(&s->actors[i]))
            moves[count++] = (struct move){ MOVE_READ, i };
    }
    return count;
}

/* False: nothing can move at this moment. */
static bool move(struct sim *s)
{
    struct move moves[MOVES_MAX];
    unsigned count = list_moves(s, moves);
    if (count == 0)
        return false;
    struct move m = moves[dice_below(&s->dice, count)];
    if (m.kind == MOVE_TURN)
        turn(s, m.index);
    else if (m.kind == MOVE_ACT)
        actor_act(&s->actors[m.index]);
    else
        actor_read(&s->actors[m.index]);
    s->step++;
    if (s->options->checks_all || s->step % CHECK_INTERVAL == 0)
        check_broker(s);
    return true;
}

/* ----------------------------------------------------------------------------------- phases --- */

static void run_wild(struct sim *s)
{
    for (unsigned i = 0; i < s->options->steps && !s->trace->has_failed; i++) {
        disturb_time(s);
        if (flip(s, 2)) /* a poller may wake up for nothing */
            turn(s, dice_below(&s->dice, s->worker_count));
        if (!move(s) && !pass_time(s))
            trace_fail(s->trace, "nothing moves any more");
    }
}

static bool all_are_settled(const struct sim *s)
{
    for (unsigned i = 0; i < s->actor_count; i++)
        if (!actor_is_settled(&s->actors[i]))
            return false;
    return net_next_arrival_ns(&s->net) == INT64_MAX;
}

/* Until everything is done that can be done. */
static void run_until_quiet(struct sim *s)
{
    int64_t end = s->world.now_ns + QUIET_MAX_NS;
    while (s->world.now_ns < end && !s->trace->has_failed) {
        if (move(s))
            continue;
        if (all_are_settled(s))
            return;
        if (!pass_time(s))
            break;
    }
    trace_fail(s->trace, "it never becomes quiet");
}

static void run_for(struct sim *s, int64_t duration_ns)
{
    int64_t end = s->world.now_ns + duration_ns;
    while (s->world.now_ns < end && !s->trace->has_failed)
        if (!move(s) && (next_event_ns(s) > end || !pass_time(s)))
            s->world.now_ns = end;
}

/* One message through a broker in which nothing else moves: nobody wakes up by accident. */
static void run_last_words(struct sim *s)
{
    for (int i = 0; i < LAST_WORDS && !s->trace->has_failed; i++) {
        struct actor *a = &s->actors[dice_below(&s->dice, s->actor_count)];
        if (a->conn == NULL)
            continue;
        actor_publish(a);
        run_until_quiet(s);
        if (!s->trace->has_failed)
            model_check_quiet(&s->model);
    }
}

static void run_calm(struct sim *s)
{
    trace_note(s->trace, s->world.now_ns, 0, 0, "calm from here on", 0);
    s->net.faults = (struct net_faults){ .delay_max_ns = MS_NS };
    for (unsigned i = 0; i < s->actor_count; i++)
        actor_calm(&s->actors[i]);
    for (int round = 0; round < 2 && !s->trace->has_failed; round++) {
        run_until_quiet(s);
        if (!s->trace->has_failed)
            model_check_quiet(&s->model);
        run_for(s, 40 * SECOND_NS);
        run_until_quiet(s);
    }
    run_last_words(s);
    check_broker(s);
}

static void run_stop(struct sim *s)
{
    int64_t end = s->world.now_ns + 60 * SECOND_NS;
    s->model.is_over = true;
    if (flip(s, 50))
        return; /* the end without a stop */
    trace_note(s->trace, s->world.now_ns, 0, 0, "the broker is told to stop", 0);
    server_stop(s->server);
    while (!server_is_stopped(s->server) && s->world.now_ns < end) {
        if (flip(s, 5))
            server_stop(s->server); /* at once */
        if (!move(s) && !pass_time(s))
            break;
    }
    if (!server_is_stopped(s->server))
        trace_fail(s->trace, "the broker does not stop");
}

/* ------------------------------------------------------------------------------- everything --- */

static void finish(struct sim *s)
{
    s->model.is_over = true;
    server_destroy(s->server);
    for (unsigned i = 0; i < s->actor_count; i++)
        actor_fini(&s->actors[i]);
    if (s->net.stream_count > 0)
        trace_fail(s->trace, "%zu streams were not closed", s->net.stream_count);
    net_fini(&s->net);
    model_fini(&s->model);
    config_destroy(s->config);
    arena_fini(&s->arena);
}

static void play(struct sim *s)
{
    if (!open_broker(s))
        return;
    open_stage(s);
    run_wild(s);
    if (!s->trace->has_failed && !s->model.is_blind && !flip(s, 150))
        run_calm(s);
    run_stop(s);
}

bool sim_run(const struct sim_options *o, struct trace *trace, struct sim_result *result)
{
    struct dice seeds = { o->seed };
    size_t used = memory_used();
    struct sim *s = memory_alloc_zero(sizeof *s);
    assert(s != NULL && o->workers <= SIM_WORKERS_MAX);
    s->options = o;
    s->trace = trace;
    s->dice.state = dice_next(&seeds);
    s->plant.kind = o->plant;
    arena_init(&s->arena);
    world_init(&s->world, dice_next(&seeds));
    net_init(&s->net, &s->world, dice_next(&seeds));
    plant_on_network(&s->plant, &s->net.network);
    trace_init(trace, s->world.now_ns, o->is_verbose);
    int64_t start_ns = s->world.now_ns;

    play(s);
    *result =
        (struct sim_result){ s->worker_count, s->model.delivered, s->world.now_ns - start_ns };
    finish(s);
    memory_free(s);
    if (!trace->has_failed && memory_used() != used)
        trace_fail(trace, "%lld bytes of memory were not given back",
                   (long long)(memory_used() - used));
    return !trace->has_failed;
}
