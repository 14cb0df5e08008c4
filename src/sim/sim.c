/* sim/sim.c: the scheduler.
 *
 *     wild     a worker's turn | the store's | a client acts | reads | time passes    by the dice;
 *              now and then the broker is killed, its machine loses power, its disk fails or is
 * full calm     the same, without faults, until nothing moves: has everything arrived? later    the
 * clock runs on for a while: Wills that waited, Sessions that expire stop     in good order, and
 * everything is given back */
#include "sim/sim.h"
#include "base/memory.h"
#include "broker/server.h"
#include "broker/worker.h"
#include "sim/actor.h"
#include "sim/host.h"
#include "sim/peek.h"
#include "sim/promises.h"
#include <errno.h>
#include <stdio.h>

#define MS_NS        INT64_C(1000000)
#define SECOND_NS    INT64_C(1000000000)
#define QUIET_MAX_NS (120 * SECOND_NS)

enum {
    ACTORS_MIN = 3,
    CHECK_INTERVAL = 100,
    LAST_WORDS = 10,
    CONFIG_TEXT_SIZE = 1200,
    TROUBLE_PERIOD = 100 * 1000, /* steps for which chances of trouble are given */
};

/* How often something happens to the machine, out of TROUBLE_PERIOD steps. */
struct troubles {
    uint32_t kills, power_losses, stops, disk_failures, full_disks;
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
    struct host host;
    bool disk_has_failed; /* since the broker was started */
    struct tap tap;
    struct troubles troubles;
    int64_t full_until_ns; /* the disk is full until then; 0: it is not */
    struct actor actors[ACTORS_MAX];
    unsigned actor_count;
    uint64_t step;
};

/* ---------------------------------------------------------------------------------- set-up ---- */

static void write_log(struct log *log, enum log_type type, const char *line)
{
    fprintf(stderr, "                        broker: %s\n", line);
}

static void identify(struct sim *s, struct conn *c)
{
    struct peek_identity who = peek_identity(s->host.server, actor_client_id(c->actor_index));
    c->handle = who.handle;
    c->key = who.key;
}

/* A Session that a CONNECT has ended, whose answer waits for the disk, has ended before the next
 * packet is taken. */
static void look_at_connecting(struct sim *s)
{
    for (unsigned i = 0; i < s->actor_count; i++) {
        if (s->model.connecting[i] > 0) {
            model_on_time(&s->model, s->host.server);
            return;
        }
    }
}

static void on_packet(struct tap *tap, const struct connection *c, enum tap_direction direction,
                      const struct packet *p)
{
    struct sim *s = container_of(tap, struct sim, tap);
    struct stream *stream = peek_stream(c);
    struct conn *conn = stream == NULL ? NULL : link_owner(link_of_stream(stream));
    if (conn == NULL || s->model.is_blind || s->net.is_broken)
        return;
    if (direction == TAP_RECEIVED) {
        plant_on_taken(&s->plant, c, p);
        look_at_connecting(s);
        model_on_taken(&s->model, conn, p);
        return;
    }
    promises_on_sent(&s->model, conn, p);
    if (p->type == PACKET_CONNACK) {
        plant_on_connack(&s->plant, c);
        identify(s, conn);
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
    if (s->net.is_broken)
        return;
    model_on_time(&s->model, s->host.server);
    if (c->is_connecting &&
        peek_is_attached(s->host.server, actor_client_id(c->actor_index), link_stream(l))) {
        identify(s, c);
        model_on_lost_connack(&s->model, c);
    }
    trace_note(s->trace, s->world.now_ns, c->actor_index, c->number, "the broker closes it", 0);
    model_on_closed(&s->model, c, link_fault_was_seen(l));
}

static bool flip(struct sim *s, uint32_t permille)
{
    return dice_permille(&s->dice, permille);
}

static const char *draw_mode(struct sim *s)
{
    static const char *const modes[] = { "none", "queued", "acknowledged" };
    return modes[dice_below(&s->dice, 3)];
}

/* What is stored, and how.  Most runs keep everything, as a broker would by default. */
static int draw_persistence(struct sim *s, char *out, size_t size)
{
    if (flip(s, 330) || s->options->in_memory)
        return snprintf(out, size, "persistence false\n");
    int length = snprintf(out, size,
                          "persistence true\npersistence_location disk\n"
                          "persistence_reserve 1048576\n");
    if (flip(s, 250))
        length += snprintf(out + length, size - (size_t)length,
                           "persistence_mode t/a/# %s\npersistence_mode w/+ %s\n"
                           "persistence_default %s\n",
                           draw_mode(s), draw_mode(s), draw_mode(s));
    if (flip(s, 60))
        length += snprintf(out + length, size - (size_t)length, "persistence_sync_window %u\n",
                           1 + dice_below(&s->dice, 500));
    return length;
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
    length += draw_persistence(s, text + length, sizeof text - (size_t)length);
    assert((size_t)length < sizeof text);
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

static struct troubles draw_troubles(struct sim *s)
{
    struct troubles t = { 0 };
    if (flip(s, 250))
        return t;
    t.kills = dice_below(&s->dice, 60);
    t.power_losses = dice_below(&s->dice, 60);
    t.stops = flip(s, 300) ? dice_below(&s->dice, 30) : 0;
    if (!s->config->persistence)
        return t;
    t.disk_failures = flip(s, 200) ? dice_below(&s->dice, 60) : 0;
    t.full_disks = flip(s, 150) ? dice_below(&s->dice, 60) : 0;
    return t;
}

static bool has_room(void *context, size_t bytes)
{
    const struct sim *s = context;
    return peek_has_room(s->host.server, bytes);
}

static bool is_full(void *context)
{
    const struct sim *s = context;
    return peek_is_full(s->host.server);
}

static void open_disk(struct sim *s, uint64_t seed)
{
    world_add_disk(&s->world, seed);
    const struct files *files = &s->world.disk.files;
    int result = files->make_folder(files, "disk");
    if (result == 0)
        result = files->sync_folder(files, ".");
    assert(result == 0);
}

static bool open_broker(struct sim *s)
{
    static const unsigned counts[] = { 1, 2, 3, 8 };
    unsigned drawn = counts[dice_below(&s->dice, 4)];
    unsigned worker_count = s->options->workers > 0 ? s->options->workers : drawn;
    s->config = draw_config(s);
    if (s->config == NULL)
        return false;
    model_init(&s->model, &s->arena, &s->world, s->trace, s->config);
    s->model.drops = s->config->max_queued_messages > 0;
    s->model.is_blind = flip(s, 100);
    s->log = (struct log){ s->options->is_verbose ? LOG_TYPE_ALL : 0, write_log };
    s->model.has_room = has_room;
    s->model.is_full = is_full;
    s->model.context = s;
    s->tap.on_packet = on_packet;
    s->host = (struct host){ .world = &s->world,
                             .net = &s->net,
                             .model = &s->model,
                             .plant = &s->plant,
                             .trace = s->trace,
                             .config = s->config,
                             .log = &s->log,
                             .tap = &s->tap,
                             .worker_count = worker_count,
                             .dice = { dice_next(&s->dice) },
                             .laziness_ns = dice_time_ns(&s->dice, 400 * MS_NS) };
    s->troubles = draw_troubles(s);
    open_disk(s, dice_next(&s->dice));
    return host_boot(&s->host);
}

static void open_stage(struct sim *s)
{
    s->stage = (struct stage){ &s->world, &s->net,   &s->model,           s->trace,
                               &s->arena, &s->plant, s->host.worker_count };
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
    int64_t host = host_next_ns(&s->host);
    return host < next ? host : next;
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
    if (!s->config->persistence && flip(s, 1)) /* somebody sets the clock */
        s->world.wall_offset_ns += dice_between(&s->dice, -1000, 1000) * SECOND_NS;
}

/* ------------------------------------------------------------------------------------ steps --- */

static void turn(struct sim *s, unsigned i)
{
    uint64_t fail_at = 0;
    trace_mix(s->trace, i);
    if (s->model.is_blind && flip(s, 50))
        fail_at = 1 + dice_below(&s->dice, 30);
    host_worker_turn(&s->host, i, fail_at);
    s->model.drops |= server_drops(s->host.server, DROP_DAMAGED) > 0; /* they could not be read */
    model_on_turn_end(&s->model, s->host.server);
}

enum { MOVES_MAX = SIM_WORKERS_MAX + 1 + 2 * ACTORS_MAX };

enum move_kind { MOVE_TURN, MOVE_STORE, MOVE_ACT, MOVE_READ };

struct move {
    enum move_kind kind;
    unsigned index;
};

static unsigned list_moves(const struct sim *s, struct move *moves)
{
    unsigned count = 0;
    for (unsigned i = 0; i < s->host.worker_count; i++)
        if (host_worker_is_awake(&s->host, i))
            moves[count++] = (struct move){ MOVE_TURN, i };
    if (host_storage_is_due(&s->host))
        moves[count++] = (struct move){ MOVE_STORE, 0 };
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
    else if (m.kind == MOVE_STORE)
        host_storage_turn(&s->host);
    else if (m.kind == MOVE_ACT)
        actor_act(&s->actors[m.index]);
    else
        actor_read(&s->actors[m.index]);
    s->step++;
    if (s->options->checks_all || s->step % CHECK_INTERVAL == 0)
        host_check(&s->host);
    return true;
}

/* ---------------------------------------------------------------------------------- trouble --- */

static void run_for(struct sim *s, int64_t duration_ns)
{
    int64_t end = s->world.now_ns + duration_ns;
    while (s->world.now_ns < end && !s->trace->has_failed)
        if (!move(s) && (next_event_ns(s) > end || !pass_time(s)))
            s->world.now_ns = end;
}

static void note(struct sim *s, const char *text)
{
    trace_note(s->trace, s->world.now_ns, 0, 0, text, 0);
}

/* Clients get a part of what is on its way, and will hear no more; the disk keeps what it keeps. */
static void go_down(struct sim *s, enum downfall how)
{
    net_break(&s->net);
    for (unsigned i = 0; i < s->actor_count; i++)
        actor_drain(&s->actors[i]);
    model_on_fall(&s->model);
    fake_disk_fail_at(&s->world.disk, 0, 0);
    if (how == DOWNFALL_POWER)
        fake_disk_power_loss(&s->world.disk, dice_next(&s->dice));
    else if (how == DOWNFALL_KILL)
        fake_disk_crash(&s->world.disk);
    host_shut(&s->host);
}

/* Some time passes, mostly little. */
static void come_back(struct sim *s, enum downfall how, bool has_unseen)
{
    /* A sync that fails loses as much as a power failure. */
    bool loses_window =
        (how == DOWNFALL_POWER || s->disk_has_failed) && s->config->persistence_sync_window_ms > 0;
    s->disk_has_failed = false;
    struct fall fall = { how, loses_window, has_unseen };
    run_for(s, flip(s, 500) ? dice_time_ns(&s->dice, 20 * SECOND_NS) : MS_NS);
    if (how == DOWNFALL_POWER) /* the machine has started anew */
        s->world.boot_offset_ns = SECOND_NS - s->world.now_ns;
    if (s->trace->has_failed)
        return;
    note(s, "the broker is started");
    if (host_boot(&s->host))
        aftermath(&s->model, &fall, s->host.server);
}

static void fall(struct sim *s, enum downfall how)
{
    note(s, how == DOWNFALL_POWER ? "the power fails" : "the broker is killed");
    go_down(s, how);
    come_back(s, how, false);
}

/* Until all workers have stopped. */
static void run_to_stop(struct sim *s)
{
    int64_t end = s->world.now_ns + 60 * SECOND_NS;
    while (!server_is_stopped(s->host.server) && s->world.now_ns < end) {
        if (flip(s, 5))
            server_stop(s->host.server); /* at once */
        if (!move(s) && !pass_time(s))
            break;
    }
    if (!server_is_stopped(s->host.server))
        trace_fail(s->trace, "the broker does not stop");
    server_join(s->host.server);
}

static void stop_and_start(struct sim *s)
{
    note(s, "the broker is told to stop, and to start again");
    model_on_fall(&s->model);
    s->net.is_deaf = true;
    server_stop(s->host.server);
    run_to_stop(s);
    go_down(s, DOWNFALL_STOP);
    come_back(s, DOWNFALL_STOP, true);
}

/* The store has failed: the broker ends by itself, or is helped. */
static void end_failed(struct sim *s)
{
    enum downfall how = flip(s, 500) ? DOWNFALL_KILL : DOWNFALL_POWER;
    bool is_slow = flip(s, 500);
    note(s, "the disk has failed");
    s->disk_has_failed = true;
    if (is_slow) {
        model_on_fall(&s->model);
        s->net.is_deaf = true;
        run_to_stop(s);
    }
    go_down(s, how);
    come_back(s, how, is_slow);
}

/* As much room as the broker wants to keep for itself, and a little more. */
static void fill_disk(struct sim *s)
{
    enum { ROOM = 1300 * 1024 };
    struct fake_disk *d = &s->world.disk;
    uint64_t room = 0;
    bool is_network;
    int result = d->files.space(&d->files, "disk", &room, &is_network);
    if (result != 0) /* a failure that was to come */
        return;
    note(s, "the disk is full");
    fake_disk_set_capacity(d, FAKE_DISK_CAPACITY - room + ROOM);
    s->full_until_ns = s->world.now_ns + dice_time_ns(&s->dice, 10 * SECOND_NS);
}

static void empty_disk(struct sim *s)
{
    if (s->full_until_ns != 0)
        note(s, "the disk has room again");
    fake_disk_set_capacity(&s->world.disk, FAKE_DISK_CAPACITY);
    s->full_until_ns = 0;
}

static bool strikes(struct sim *s, uint32_t chance)
{
    return chance > 0 && dice_below(&s->dice, TROUBLE_PERIOD) < chance;
}

/* False: the broker is at its end for good. */
static bool have_trouble(struct sim *s)
{
    const struct troubles *t = &s->troubles;
    if (s->trace->has_failed)
        return false;
    if (s->model.is_blind)
        return !s->host.server->has_failed;
    if (s->full_until_ns != 0 && s->world.now_ns >= s->full_until_ns)
        empty_disk(s);
    if (s->host.server->has_failed)
        end_failed(s);
    else if (strikes(s, t->kills))
        fall(s, DOWNFALL_KILL);
    else if (strikes(s, t->power_losses))
        fall(s, DOWNFALL_POWER);
    else if (strikes(s, t->stops))
        stop_and_start(s);
    else if (strikes(s, t->disk_failures))
        fake_disk_fail_at(&s->world.disk, 1 + dice_below(&s->dice, 20), EIO);
    else if (s->full_until_ns == 0 && strikes(s, t->full_disks))
        fill_disk(s);
    return !s->trace->has_failed;
}

/* ----------------------------------------------------------------------------------- phases --- */

static void run_wild(struct sim *s)
{
    for (unsigned i = 0; i < s->options->steps && !s->trace->has_failed; i++) {
        disturb_time(s);
        if (flip(s, 2)) /* a poller may wake up for nothing */
            turn(s, dice_below(&s->dice, s->host.worker_count));
        if (!move(s) && !pass_time(s))
            trace_fail(s->trace, "nothing moves any more");
        if (!have_trouble(s))
            return;
    }
}

static bool all_are_settled(const struct sim *s)
{
    for (unsigned i = 0; i < s->actor_count; i++)
        if (!actor_is_settled(&s->actors[i]))
            return false;
    return net_next_arrival_ns(&s->net) == INT64_MAX && !host_is_storing(&s->host);
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
    fake_disk_fail_at(&s->world.disk, 0, 0);
    empty_disk(s);
    for (unsigned i = 0; i < s->actor_count; i++)
        actor_calm(&s->actors[i]);
    for (int round = 0; round < 2 && !s->trace->has_failed; round++) {
        run_until_quiet(s);
        if (!s->trace->has_failed)
            model_check_quiet(&s->model);
        run_for(s, 40 * SECOND_NS);
        run_until_quiet(s);
        if (!s->trace->has_failed && round == 0 && s->troubles.kills > 0 && flip(s, 500))
            fall(s, flip(s, 500) ? DOWNFALL_KILL : DOWNFALL_POWER);
    }
    run_last_words(s);
    if (!s->trace->has_failed && !peek_has_room(s->host.server, 0))
        trace_fail(s->trace, "the disk has room, and the broker does not know it");
    host_check(&s->host);
}

static void run_stop(struct sim *s)
{
    s->model.is_over = true;
    if (s->trace->has_failed || s->host.server == NULL || flip(s, 50))
        return; /* the end without a stop */
    note(s, "the broker is told to stop");
    server_stop(s->host.server);
    run_to_stop(s);
}

/* ------------------------------------------------------------------------------- everything --- */

static void finish(struct sim *s)
{
    s->model.is_over = true;
    server_destroy(s->host.server);
    for (unsigned i = 0; i < s->actor_count; i++)
        actor_fini(&s->actors[i]);
    if (s->net.stream_count > 0)
        trace_fail(s->trace, "%zu streams were not closed", s->net.stream_count);
    net_fini(&s->net);
    world_fini(&s->world);
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
        (struct sim_result){ s->host.worker_count, s->model.delivered, s->world.now_ns - start_ns };
    finish(s);
    memory_free(s);
    if (!trace->has_failed && memory_used() != used)
        trace_fail(trace, "%lld bytes of memory were not given back",
                   (long long)(memory_used() - used));
    return !trace->has_failed;
}
