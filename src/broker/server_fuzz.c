/* broker/server_fuzz.c: a whole server and three clients that do what the input says.
 *
 *     input   settings, then commands
 *     command [ kind 3 bits | client 2 bits | turns 3 bits ] argument, bytes for SAY
 *
 * What the server sends is decoded: it must be packets of the client's version.  Clients that were
 * told to acknowledge do so, which leads deeper than guessed Packet Identifiers would.  Invariants
 * are walked after each command; at the end the server stops gracefully, and whatever it leaked
 * shows. */
#include "base/memory.h"
#include "broker/connection.h"
#include "broker/fuzz_world.h"
#include "broker/server.h"
#include "broker/worker.h"
#include "mqtt/packet.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    CLIENTS = 3,
    IN_SIZE = 128 * 1024,
    COMMANDS_MAX = 300,
    WORKERS = 0x01,
    CONFIG = 0x0e,
    TAPPED = 0x10
};

enum command_kind {
    SAY,     /* argument: how many bytes; they follow */
    PASS,    /* argument: 2^argument milliseconds */
    OPEN,    /* a new connection; the client's old one ends.  argument: which worker accepts it */
    END,     /* argument: reset, or the end of what the client says */
    HABITS,  /* argument: see set_habits */
    FAIL,    /* argument: the nth allocation, watch or accept from now on fails */
    PUBLISH, /* a well-formed message, to save the fuzzer some luck.  argument: see publish */
    RELOAD,  /* argument: which configuration */
};

enum turns { /* what follows a command */
             TURNS_UNTIL_REST = 0,
             TURN_OF_WORKER_0 = 5,
             TURN_OF_WORKER_1 = 6,
             NO_TURN = 7, /* any other value: until rest */
};

#define COMMON "listener 1883\nallow_anonymous true\nsys_interval 0\n"

static const char *const configs[8] = {
    COMMON "max_topic_alias 4\nmax_topic_alias_broker 2\n",
    COMMON "allow_duplicate_messages false\nmax_inflight_messages 2\nmax_queued_messages 3\n"
           "queue_qos0_messages true\nqueue_policy drop-oldest\nreason_strings true\n"
           "shared_subscription_strategy hash-topic\nmax_topic_alias_broker 2\n",
    COMMON "queue_policy refuse-publisher\nmax_queued_messages 2\nmax_inflight_messages 1\n"
           "shared_subscription_strategy least-inflight\n",
    COMMON "max_packet_size 200\nmessage_size_limit 20\nmax_retained_messages 2\n"
           "max_subscriptions_per_client 2\nmax_queued_bytes 50\nmax_inflight_bytes 20\n"
           "shared_subscription_strategy hash-client-id\nresponse_information r\n",
    COMMON "max_qos 1\nretain_available false\nupgrade_outgoing_qos true\nmax_keepalive 20\n"
           "receive_maximum 2\npersistent_client_expiration 1h\nserver_reference other\n",
    COMMON "global_max_clients 2\nglobal_max_connections 3\nmax_connections 2\n"
           "allow_zero_length_clientid false\nconnect_timeout 5\npacket_timeout 5\n",
    COMMON "retain_expiry_interval 1\nqueue_policy refuse-publisher\nmax_queued_bytes 30\n"
           "allow_duplicate_messages false\nqueue_qos0_messages true\n",
    COMMON "memory_limit 1\nauto_id_prefix auto-\nconnection_messages false\n",
};

struct client {
    struct fuzz_link *link; /* NULL: none */
    unsigned version;       /* 0: not known */
    bool acknowledges, reads;
    size_t in_size;
    uint8_t in[IN_SIZE]; /* what was read and is not a whole packet yet */
};

struct play {
    struct fuzz_world *world;
    struct tap tap;
    unsigned workers;
    struct client clients[CLIENTS];
};

/* The commands that are left. */
struct script {
    const uint8_t *next, *end;
};

static uint8_t take(struct script *s)
{
    return s->next == s->end ? 0 : *s->next++;
}

/* -------------------------------------------------------------------------------- listening --- */

static void say(struct client *c, struct bytes bytes)
{
    if (c->link != NULL)
        (void)fuzz_link_write(c->link, bytes);
}

static void say_ack(struct client *c, uint8_t first, uint16_t packet_id)
{
    uint8_t ack[] = { first, 2, (uint8_t)(packet_id >> 8), (uint8_t)packet_id };
    say(c, bytes_of(ack, sizeof ack));
}

static void answer(struct client *c, const struct packet *p)
{
    switch (p->type) {
    case PACKET_PUBLISH:
        if (p->publish.qos > 0)
            say_ack(c, p->publish.qos == 1 ? 0x40 : 0x50, p->publish.packet_id);
        break;
    case PACKET_PUBREC:
        if (!reason_is_error(p->ack.reason))
            say_ack(c, 0x62, p->ack.packet_id);
        break;
    case PACKET_PUBREL:
        say_ack(c, 0x70, p->ack.packet_id);
        break;
    default:
        break;
    }
}

/* A connection that was refused has told nobody its version: then any will do. */
static bool decodes(const struct client *c, struct bytes whole, struct packet *p)
{
    static const enum version versions[] = { VERSION_3_1_1, VERSION_5_0, VERSION_3_1 };
    enum reason why;
    for (size_t i = 0; i < 3; i++)
        if ((c->version == 0 || c->version == versions[i]) &&
            packet_decode(whole, versions[i], p, &why) == DECODE_DONE)
            return true;
    return false;
}

/* Handles whole packets, keeps the rest. */
static void understand(struct client *c)
{
    struct bytes rest = bytes_of(c->in, c->in_size);
    struct frame frame;
    struct packet p;
    while (frame_decode(rest, &frame) == DECODE_DONE) {
        bool is_good = decodes(c, bytes_of(rest.data, frame.size), &p);
        assert(is_good);
        if (c->acknowledges)
            answer(c, &p);
        rest = bytes_after(rest, frame.size);
    }
    memmove(c->in, rest.data, rest.size);
    c->in_size = rest.size;
}

static void listen(struct client *c)
{
    size_t got;
    if (c->link == NULL || !c->reads)
        return;
    while ((got = fuzz_link_read(c->link, c->in + c->in_size, IN_SIZE - c->in_size)) > 0) {
        c->in_size += got;
        understand(c);
        assert(c->in_size < IN_SIZE); /* inputs are too short for packets of that size */
    }
}

/* What version did the server and this client agree on? */
static void learn_version(const struct fuzz_world *w, struct client *c)
{
    for (unsigned i = 0; i < w->server->worker_count; i++) {
        const struct worker *worker = w->server->workers[i];
        for (const struct connection *connection = NULL;
             (connection = connection_next(worker, connection)) != NULL;) {
            if (c->link != NULL && connection->state == CONNECTION_OPEN &&
                fuzz_link_is_held_by(c->link, connection->stream))
                c->version = connection->version;
        }
    }
}

static void listen_all(struct play *p)
{
    for (int i = 0; i < CLIENTS; i++) {
        learn_version(p->world, &p->clients[i]);
        listen(&p->clients[i]);
    }
}

static void look(struct tap *tap, const struct connection *c, enum tap_direction direction,
                 const struct packet *p)
{
    assert(strcmp(packet_type_name(p->type), "RESERVED") != 0);
    assert(direction == TAP_SENT || p->type == PACKET_CONNECT || c->state == CONNECTION_OPEN);
}

/* --------------------------------------------------------------------------------- commands --- */

static void end(struct client *c)
{
    if (c->link != NULL)
        fuzz_link_forget(c->link);
    c->link = NULL;
    c->version = 0;
    c->in_size = 0;
}

static void open(struct play *p, struct client *c, uint8_t argument)
{
    end(c);
    c->link = fuzz_link_open(p->world, argument % p->workers);
}

static void set_habits(struct client *c, uint8_t argument)
{
    static const size_t windows[] = { SIZE_MAX, 0, 10, 1000 }, chops[] = { 0, 1, 7, 100 };
    c->acknowledges = (argument & 0x01) == 0;
    c->reads = (argument & 0x02) == 0;
    if (c->link == NULL)
        return;
    c->link->window = windows[argument >> 2 & 3];
    c->link->recv_max = chops[argument >> 4 & 3];
}

static void fail(struct fuzz_world *w, uint8_t argument)
{
    if (argument < 0x80)
        memory_fail_at(argument + 1u);
    else if (argument < 0xc0)
        w->watch_fails_in = argument - 0x7fu;
    else
        w->accept_fails_in = argument - 0xbfu;
}

/* Topic a, or a/b; QoS and RETAIN as in the fixed header; sometimes large. */
static void publish(struct client *c, uint8_t argument)
{
    static uint8_t large[4500];
    bool is_large = (argument & 0x10) != 0;
    struct packet p = { .type = PACKET_PUBLISH };
    struct publish *m = &p.publish;
    uint8_t out[sizeof large + 100];
    m->qos = (argument >> 1 & 3) % 3;
    m->retain = (argument & 0x01) != 0;
    m->topic = (argument & 0x08) != 0 ? BYTES("a/b") : BYTES("a");
    m->packet_id = m->qos > 0 ? 1 + (argument >> 5) : 0;
    m->payload = is_large ? bytes_of(large, sizeof large) : BYTES("x");
    enum version version = c->version == 0 ? VERSION_3_1_1 : (enum version)c->version;
    size_t size = packet_size(&p, version);
    assert(size <= sizeof out);
    packet_encode(&p, version, out);
    say(c, bytes_of(out, size));
}

static void run(struct play *p, struct client *c, enum command_kind kind, struct script *s)
{
    uint8_t argument = take(s);
    size_t left = (size_t)(s->end - s->next), count = argument < left ? argument : left;
    switch (kind) {
    case SAY:
        say(c, bytes_of(s->next, count));
        s->next += count;
        break;
    case PASS:
        fuzz_world_pass(p->world, INT64_C(1000000) << argument % 32);
        break;
    case OPEN:
        open(p, c, argument);
        break;
    case END:
        if (c->link != NULL && (argument & 1) != 0)
            fuzz_link_reset(c->link);
        else if (c->link != NULL)
            fuzz_link_finish(c->link);
        break;
    case HABITS:
        set_habits(c, argument);
        break;
    case FAIL:
        fail(p->world, argument);
        break;
    case PUBLISH:
        publish(c, argument);
        break;
    case RELOAD:
        if (p->world->config_count < FUZZ_CONFIGS_MAX)
            fuzz_world_configure(p->world, configs[argument % 8]);
        break;
    }
}

static void turn(struct play *p, unsigned how)
{
    if (how == TURN_OF_WORKER_0 || (how == TURN_OF_WORKER_1 && p->workers > 1)) {
        fuzz_world_turn(p->world, how - TURN_OF_WORKER_0);
        fuzz_world_check(p->world);
    } else if (how != NO_TURN) {
        fuzz_world_settle(p->world);
    }
    listen_all(p);
}

static void play(struct play *p, struct script *s)
{
    for (int i = 0; i < COMMANDS_MAX && s->next < s->end; i++) {
        uint8_t command = take(s);
        run(p, &p->clients[(command >> 3 & 3) % CLIENTS], command & 7, s);
        turn(p, command >> 5);
    }
    for (int i = 0; i < CLIENTS; i++) {
        if (p->clients[i].link != NULL)
            p->clients[i].link->window = SIZE_MAX;
        p->clients[i].reads = true;
    }
    fuzz_world_settle(p->world);
    listen_all(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script s = { data, data + size };
    struct play *p = memory_alloc(sizeof *p);
    uint8_t settings = take(&s);
    if (p == NULL)
        return 0;
    p->workers = 1 + (settings & WORKERS);
    p->tap = (struct tap){ .on_packet = look };
    p->world = fuzz_world_create(settings);
    for (int i = 0; i < CLIENTS; i++) {
        p->clients[i].link = NULL;
        p->clients[i].acknowledges = p->clients[i].reads = true;
        end(&p->clients[i]);
    }
    fuzz_world_configure(p->world, configs[(settings & CONFIG) >> 1]);
    if (fuzz_world_start(p->world, p->workers) == 0) {
        server_set_taps(p->world->server, (settings & TAPPED) != 0 ? &p->tap : NULL);
        play(p, &s);
        fuzz_world_stop(p->world);
    }
    memory_fail_at(0);
    fuzz_world_destroy(p->world);
    memory_free(p);
    return 0;
}
