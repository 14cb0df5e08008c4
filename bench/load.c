/* bench/load.c: many clients in one thread, and a check of everything that arrives.
 *
 *     flow 0   publisher --- topic 0 ---> [ broker ] ---> subscriber     pairs: one each
 *     flow 1   publisher --- topic 1 --->                                fanout: one flow, to many
 *     ...                                                                fanin: many flows, to one
 *
 * A flow is what one publisher sends: messages with rising numbers, at most `window` of them under
 * way.  Message n lives in slot n % window, and its Packet Identifier is that slot plus one.  The
 * slot is free again when every subscriber has the message and the broker has acknowledged it; so
 * the window is closed by whichever is slower.
 *
 *     slots   [ 8: free | 9: free | 6: 1 copy missing | 7: awaits PUBACK ]    next to publish: 8
 *
 * Each subscriber knows which number of each flow comes next.  A gap, a repetition, a changed byte,
 * an acknowledgement of nothing, or no progress for a while ends the program with status 1.
 *
 * What clients send in a turn goes out at its end in one send per client, as from a busy gateway.
 * Memory is not freed: the process ends when its work is done. */
#include "base/buffer.h"
#include "base/list.h"
#include "base/memory.h"
#include "mqtt/packet.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_SIZE = 256 * 1024,
    EVENTS_PER_TURN = 128,
    OPENING_MAX = 64, /* connections on their way at a time: backlogs are short */
    STALL_MS = 30 * 1000,
    STAMP_SIZE = 12, /* at the start of a payload: the flow, the message's number */
    TOPIC_SIZE = 22,
};

enum mode { MODE_PAIRS, MODE_FANOUT, MODE_FANIN, MODE_IDLE };
static const char *const mode_names[] = { "pairs", "fanout", "fanin", "idle" };

struct options {
    enum mode mode;
    struct sockaddr_in address;
    enum version version;
    uint32_t count; /* pairs; subscribers; publishers; connections */
    uint8_t qos;
    uint32_t payload_size;
    uint32_t window;
    uint64_t messages; /* published by all together, at most */
    double seconds;    /* of publishing, at most */
    bool is_gated;
};

enum awaits { AWAITS_NOTHING, AWAITS_PUBACK, AWAITS_PUBREC, AWAITS_PUBCOMP };

struct slot {
    uint32_t missing; /* copies that have not arrived */
    enum awaits awaits;
};

struct flow {
    struct peer *publisher;
    uint64_t published;
    uint32_t subscribers;
    struct slot *slots;    /* `window` of them */
    struct packet publish; /* the next one */
    uint8_t *payload;      /* its payload */
    char topic[TOPIC_SIZE + 1];
};

enum peer_state { PEER_AWAITS_CONNACK, PEER_AWAITS_SUBACK, PEER_READY };

/* One client. */
struct peer {
    struct load *load;
    int fd;
    uint32_t index;
    enum peer_state state;
    struct flow *publishes; /* NULL: only subscribes */
    const char *filter;     /* NULL: only publishes */
    struct flow *first_flow;
    uint64_t *next_numbers; /* of each flow from first_flow on; NULL: nothing will come */
    uint32_t flow_count;
    struct buffer in; /* the unfinished packet */
    struct buffer out;
    size_t out_sent;
    bool waits_for_room;
    struct list dirty_link; /* something to publish or to send */
};

struct load {
    struct options options;
    int epoll_fd;
    struct list dirty;
    struct peer *peers;
    uint32_t peer_count, ready_count;
    struct flow *flows;
    uint32_t flow_count;
    uint8_t *read_buffer;
    bool is_publishing;
    uint64_t published, delivered; /* of all flows */
    uint64_t missing;              /* copies under way */
    uint64_t handshakes;           /* of QoS 1 and 2, on either side, that are not finished */
    uint64_t pings;                /* unanswered */
};

static void __attribute__((format(printf, 1, 2), noreturn)) fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void *allocate(size_t count, size_t size)
{
    void *block = count > SIZE_MAX / size ? NULL : memory_alloc_zero(count * size);
    if (block == NULL)
        fail("out of memory");
    return block;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---------------------------------------------------------------------------------- sending --- */

static void mark_dirty(struct peer *p)
{
    if (list_is_empty(&p->dirty_link))
        list_push_back(&p->load->dirty, &p->dirty_link);
}

static void peer_send(struct peer *p, const struct packet *packet)
{
    enum version version = p->load->options.version;
    size_t size = packet_size(packet, version);
    uint8_t *room = buffer_reserve(&p->out, size);
    if (room == NULL)
        fail("out of memory");
    packet_encode(packet, version, room);
    buffer_commit(&p->out, size);
    mark_dirty(p);
}

static void send_ack(struct peer *p, enum packet_type type, uint16_t packet_id)
{
    struct packet packet = { .type = type };
    packet.ack.packet_id = packet_id;
    peer_send(p, &packet);
}

static void watch(struct peer *p, int how, bool waits_for_room)
{
    struct epoll_event event = { .data.ptr = p };
    event.events = EPOLLIN | (waits_for_room ? EPOLLOUT : 0u);
    if (epoll_ctl(p->load->epoll_fd, how, p->fd, &event) != 0)
        fail("epoll_ctl: %s", strerror(errno));
    p->waits_for_room = waits_for_room;
}

static void flush(struct peer *p)
{
    while (p->out_sent < p->out.size) {
        ssize_t sent =
            send(p->fd, p->out.data + p->out_sent, p->out.size - p->out_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0)
            fail("client %u: send: %s", p->index, strerror(errno));
        p->out_sent += (size_t)sent;
    }
    bool is_done = p->out_sent == p->out.size;
    if (is_done)
        p->out.size = p->out_sent = 0;
    if (p->waits_for_room == is_done)
        watch(p, EPOLL_CTL_MOD, !is_done);
}

/* ------------------------------------------------------------------------------- publishing --- */

static void write_number(uint8_t *out, uint64_t number, int size)
{
    for (int i = size; i-- > 0; number >>= 8)
        out[i] = (uint8_t)number;
}

static uint64_t read_number(const uint8_t *in, int size)
{
    uint64_t number = 0;
    for (int i = 0; i < size; i++)
        number = number << 8 | in[i];
    return number;
}

static void publish_one(struct flow *f, struct slot *slot)
{
    static const enum awaits first[] = { AWAITS_NOTHING, AWAITS_PUBACK, AWAITS_PUBREC };
    struct load *l = f->publisher->load;
    uint8_t qos = l->options.qos;
    slot->missing = f->subscribers;
    slot->awaits = first[qos];
    write_number(f->payload + 4, f->published, 8);
    if (qos > 0)
        f->publish.publish.packet_id = (uint16_t)(slot - f->slots + 1);
    peer_send(f->publisher, &f->publish);
    f->published++;
    l->published++;
    l->missing += slot->missing;
    l->handshakes += qos > 0;
}

static void fill_window(struct flow *f)
{
    struct load *l = f->publisher->load;
    while (l->is_publishing && l->published < l->options.messages) {
        struct slot *slot = &f->slots[f->published % l->options.window];
        if (slot->missing > 0 || slot->awaits != AWAITS_NOTHING)
            return;
        publish_one(f, slot);
    }
}

/* Fills windows first: what clients have to say goes out in one send. */
static void flush_dirty(struct load *l)
{
    for (struct list *link; (link = l->dirty.next) != &l->dirty;) {
        struct peer *p = container_of(link, struct peer, dirty_link);
        if (p->publishes != NULL)
            fill_window(p->publishes);
        list_remove(link);
        flush(p);
    }
}

/* -------------------------------------------------------------------------------- receiving --- */

static void on_connack(struct peer *p, const struct connack *connack)
{
    const struct options *o = &p->load->options;
    if (connack->reason != REASON_SUCCESS)
        fail("client %u: refused: %s", p->index, reason_text(connack->reason));
    if (o->version == VERSION_5_0 && o->qos > 0 &&
        properties_have(&connack->properties, PROPERTY_RECEIVE_MAXIMUM) &&
        connack->properties.receive_maximum < o->window)
        fail("a window of %u is above the broker's Receive Maximum of %u", o->window,
             connack->properties.receive_maximum);
    p->state = p->filter == NULL ? PEER_READY : PEER_AWAITS_SUBACK;
    p->load->ready_count += p->state == PEER_READY;
}

static void on_suback(struct peer *p, const struct suback *suback)
{
    if (p->state != PEER_AWAITS_SUBACK || suback->reasons.size != 1 ||
        suback->reasons.data[0] != p->load->options.qos)
        fail("client %u: the subscription was not granted", p->index);
    p->state = PEER_READY;
    p->load->ready_count++;
}

/* The flow it belongs to; everything about the message must be right. */
static struct flow *check_message(struct peer *p, const struct publish *m, uint64_t *number)
{
    const struct options *o = &p->load->options;
    if (p->next_numbers == NULL)
        fail("client %u: a message that it did not subscribe to", p->index);
    if (m->payload.size != o->payload_size)
        fail("client %u: a payload of %zu bytes", p->index, m->payload.size);
    uint64_t flow = read_number(m->payload.data, 4) - (uint64_t)(p->first_flow - p->load->flows);
    *number = read_number(m->payload.data + 4, 8);
    if (flow >= p->flow_count)
        fail("client %u: a message of somebody else's flow", p->index);
    struct flow *f = &p->first_flow[flow];
    if (m->qos != o->qos || m->retain || m->dup ||
        !bytes_equal(m->topic, bytes_of_string(f->topic)) ||
        memcmp(m->payload.data + STAMP_SIZE, f->payload + STAMP_SIZE,
               o->payload_size - STAMP_SIZE) != 0)
        fail("client %u: message %llu of flow %llu was changed", p->index,
             (unsigned long long)*number, (unsigned long long)flow);
    if (*number != p->next_numbers[flow])
        fail("client %u: message %llu of flow %llu came instead of %llu: lost, twice, or out of "
             "order",
             p->index, (unsigned long long)*number, (unsigned long long)flow,
             (unsigned long long)p->next_numbers[flow]);
    p->next_numbers[flow]++;
    return f;
}

static void on_publish(struct peer *p, const struct publish *m)
{
    struct load *l = p->load;
    uint64_t number;
    struct flow *f = check_message(p, m, &number);
    struct slot *slot = &f->slots[number % l->options.window];
    assert(slot->missing > 0); /* else the number was not next */
    slot->missing--;
    l->missing--;
    l->delivered++;
    if (slot->missing == 0)
        mark_dirty(f->publisher);
    if (m->qos == 1)
        send_ack(p, PACKET_PUBACK, m->packet_id);
    if (m->qos == 2) {
        send_ack(p, PACKET_PUBREC, m->packet_id);
        l->handshakes++;
    }
}

/* The answer to a PUBLISH or PUBREL of ours: it must be the one that is due. */
static void on_answer(struct peer *p, const struct ack *ack, enum awaits due, enum awaits next)
{
    struct flow *f = p->publishes;
    uint32_t window = p->load->options.window;
    if (f == NULL || ack->packet_id == 0 || ack->packet_id > window ||
        f->slots[ack->packet_id - 1].awaits != due)
        fail("client %u: an acknowledgement of nothing, packet id %u", p->index, ack->packet_id);
    if (reason_is_error(ack->reason))
        fail("client %u: a message was refused: %s", p->index, reason_text(ack->reason));
    f->slots[ack->packet_id - 1].awaits = next;
    if (next == AWAITS_PUBCOMP) {
        send_ack(p, PACKET_PUBREL, ack->packet_id);
        return;
    }
    p->load->handshakes--;
    mark_dirty(p);
}

static void on_packet(struct peer *p, const struct packet *packet)
{
    struct load *l = p->load;
    if ((packet->type == PACKET_CONNACK) != (p->state == PEER_AWAITS_CONNACK))
        fail("client %u: unexpected %s", p->index, packet_type_name(packet->type));
    switch (packet->type) {
    case PACKET_CONNACK:
        on_connack(p, &packet->connack);
        return;
    case PACKET_SUBACK:
        on_suback(p, &packet->suback);
        return;
    case PACKET_PUBLISH:
        on_publish(p, &packet->publish);
        return;
    case PACKET_PUBACK:
        on_answer(p, &packet->ack, AWAITS_PUBACK, AWAITS_NOTHING);
        return;
    case PACKET_PUBREC:
        on_answer(p, &packet->ack, AWAITS_PUBREC, AWAITS_PUBCOMP);
        return;
    case PACKET_PUBCOMP:
        on_answer(p, &packet->ack, AWAITS_PUBCOMP, AWAITS_NOTHING);
        return;
    case PACKET_PUBREL: /* of a message that we received */
        if (l->handshakes == 0)
            fail("client %u: a PUBREL too many", p->index);
        l->handshakes--;
        send_ack(p, PACKET_PUBCOMP, packet->ack.packet_id);
        return;
    case PACKET_PINGRESP:
        if (l->pings == 0)
            fail("client %u: a PINGRESP too many", p->index);
        l->pings--;
        return;
    default:
        fail("client %u: unexpected %s", p->index, packet_type_name(packet->type));
    }
}

/* Handles all complete packets; returns how many bytes they had. */
static size_t decode(struct peer *p, struct bytes in)
{
    struct bytes rest = in;
    struct packet packet;
    for (;;) {
        struct frame frame;
        enum reason why = REASON_SUCCESS;
        enum decode_result result = frame_decode(rest, &frame);
        if (result == DECODE_MORE)
            return in.size - rest.size;
        if (result == DECODE_DONE)
            result = packet_decode((struct bytes){ rest.data, frame.size },
                                   p->load->options.version, &packet, &why);
        if (result != DECODE_DONE)
            fail("client %u: a packet that cannot be decoded", p->index);
        on_packet(p, &packet);
        rest = bytes_after(rest, frame.size);
    }
}

static void receive(struct peer *p)
{
    uint8_t *buffer = p->load->read_buffer;
    size_t tail = p->in.size;
    if (tail >= READ_SIZE / 2)
        fail("client %u: a packet of more than %u bytes", p->index, READ_SIZE / 2);
    if (tail > 0)
        memcpy(buffer, p->in.data, tail);
    ssize_t got = recv(p->fd, buffer + tail, READ_SIZE - tail, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        fail("client %u: %s", p->index, got == 0 ? "the broker hung up" : strerror(errno));
    struct bytes in = { buffer, tail + (size_t)got };
    p->in.size = 0;
    if (buffer_append(&p->in, bytes_after(in, decode(p, in))) != 0)
        fail("out of memory");
}

/* --------------------------------------------------------------------------------- the turn --- */

static void turn(struct load *l)
{
    struct epoll_event events[EVENTS_PER_TURN];
    flush_dirty(l);
    int count = epoll_wait(l->epoll_fd, events, EVENTS_PER_TURN, STALL_MS);
    if (count < 0 && errno != EINTR)
        fail("epoll_wait: %s", strerror(errno));
    if (count == 0)
        fail("nothing happened for %d s: %u of %u clients ready, %llu messages published, "
             "%llu deliveries missing, %llu handshakes and %llu pings open",
             STALL_MS / 1000, l->ready_count, l->peer_count, (unsigned long long)l->published,
             (unsigned long long)l->missing, (unsigned long long)l->handshakes,
             (unsigned long long)l->pings);
    for (int i = 0; i < count; i++) {
        struct peer *p = events[i].data.ptr;
        if ((events[i].events & EPOLLOUT) != 0)
            mark_dirty(p);
        if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0)
            receive(p);
    }
}

/* ----------------------------------------------------------------------------------- set-up --- */

static void send_connect(struct peer *p)
{
    char id[32];
    snprintf(id, sizeof id, "load-%u", p->index);
    struct packet packet = { .type = PACKET_CONNECT };
    packet.connect = (struct connect){
        .version = p->load->options.version,
        .clean_start = true,
        .client_id = bytes_of_string(id),
    };
    peer_send(p, &packet);
}

static void send_subscribe(struct peer *p)
{
    uint8_t filters[2 + TOPIC_SIZE + 1];
    size_t size = strlen(p->filter);
    write_number(filters, size, 2);
    memcpy(filters + 2, p->filter, size);
    filters[2 + size] = p->load->options.qos;
    struct packet packet = { .type = PACKET_SUBSCRIBE };
    packet.subscribe =
        (struct subscribe){ .packet_id = 1, .count = 1, .filters = { filters, 2 + size + 1 } };
    peer_send(p, &packet);
}

static void peer_open(struct peer *p)
{
    const struct sockaddr_in *address = &p->load->options.address;
    int on = 1;
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->fd < 0 || connect(p->fd, (const struct sockaddr *)address, sizeof *address) != 0)
        fail("client %u: cannot connect: %s", p->index, strerror(errno));
    if (fcntl(p->fd, F_SETFL, O_NONBLOCK) != 0 ||
        setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        fail("client %u: cannot prepare the socket: %s", p->index, strerror(errno));
    watch(p, EPOLL_CTL_ADD, false);
    send_connect(p);
    if (p->filter != NULL)
        send_subscribe(p); /* may follow CONNECT at once */
}

static void open_all(struct load *l)
{
    for (uint32_t i = 0; i < l->peer_count; i++) {
        peer_open(&l->peers[i]);
        while (i + 1 - l->ready_count >= OPENING_MAX)
            turn(l);
    }
    while (l->ready_count < l->peer_count)
        turn(l);
}

static void flow_init(struct flow *f, struct load *l, uint32_t index, uint32_t subscribers)
{
    const struct options *o = &l->options;
    f->subscribers = subscribers;
    f->slots = allocate(o->window, sizeof *f->slots);
    f->payload = allocate(1, o->payload_size);
    for (uint32_t i = STAMP_SIZE; i < o->payload_size; i++)
        f->payload[i] = (uint8_t)(index + i);
    write_number(f->payload, index, 4);
    snprintf(f->topic, sizeof f->topic, "bench/load/topic/%05u", index % 100000);
    f->publish.type = PACKET_PUBLISH;
    f->publish.publish.qos = o->qos;
    f->publish.publish.topic = bytes_of_string(f->topic);
    f->publish.publish.payload = (struct bytes){ f->payload, o->payload_size };
}

static struct peer *add_peer(struct load *l)
{
    struct peer *p = &l->peers[l->peer_count];
    p->load = l;
    p->index = l->peer_count++;
    list_init(&p->dirty_link);
    return p;
}

static void add_subscriber(struct load *l, const char *filter, uint32_t first_flow, uint32_t count)
{
    struct peer *p = add_peer(l);
    p->filter = filter;
    p->first_flow = &l->flows[first_flow];
    p->flow_count = count;
    p->next_numbers = allocate(count, sizeof *p->next_numbers);
}

/* Clients and flows, as the mode wants them. */
static void load_init(struct load *l)
{
    const struct options *o = &l->options;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0)
        fail("epoll_create1: %s", strerror(errno));
    list_init(&l->dirty);
    l->read_buffer = allocate(1, READ_SIZE);
    l->flow_count = o->mode == MODE_FANOUT ? 1 : o->count;
    l->flows = allocate(l->flow_count, sizeof *l->flows);
    l->peers = allocate((size_t)o->count * 2 + 1, sizeof *l->peers);
    for (uint32_t i = 0; i < l->flow_count; i++) {
        flow_init(&l->flows[i], l, i, o->mode == MODE_FANOUT ? o->count : 1);
        if (o->mode == MODE_IDLE)
            continue;
        l->flows[i].publisher = add_peer(l);
        l->flows[i].publisher->publishes = &l->flows[i];
    }
    if (o->mode == MODE_FANIN)
        add_subscriber(l, "bench/load/topic/+", 0, l->flow_count);
    for (uint32_t i = 0; o->mode != MODE_FANIN && i < o->count; i++) {
        uint32_t flow = o->mode == MODE_FANOUT ? 0 : i;
        add_subscriber(l, l->flows[flow].topic, flow, 1);
    }
}

/* ---------------------------------------------------------------------------------- the run --- */

/* Tells whoever started us how far we are, and waits until they are, too. */
static void gate(const struct load *l, const char *word)
{
    char line[16];
    if (!l->options.is_gated)
        return;
    puts(word);
    fflush(stdout);
    (void)!fgets(line, sizeof line, stdin); /* the end of the input is a "go on", too */
}

static double run_messages(struct load *l)
{
    double start = now_s();
    l->is_publishing = true;
    for (uint32_t i = 0; i < l->flow_count; i++)
        mark_dirty(l->flows[i].publisher);
    do {
        turn(l);
        if (l->published == l->options.messages || now_s() - start >= l->options.seconds)
            l->is_publishing = false;
    } while (l->is_publishing || l->missing > 0 || l->handshakes > 0);
    return now_s() - start;
}

/* Whatever was sent to a client before its PINGRESP has come: a message twice would show. */
static void ping_all(struct load *l)
{
    struct packet ping = { .type = PACKET_PINGREQ };
    for (uint32_t i = 0; i < l->peer_count; i++, l->pings++)
        peer_send(&l->peers[i], &ping);
    while (l->pings > 0)
        turn(l);
}

static void say_goodbye(struct load *l)
{
    struct packet goodbye = { .type = PACKET_DISCONNECT };
    for (uint32_t i = 0; i < l->peer_count; i++)
        peer_send(&l->peers[i], &goodbye);
    flush_dirty(l);
}

static void print_result(const struct load *l, double seconds)
{
    const struct options *o = &l->options;
    printf("{\"mode\":\"%s\",\"version\":%d,\"clients\":%u,\"qos\":%u,\"payload\":%u,"
           "\"window\":%u,\"published\":%llu,\"messages\":%llu,\"seconds\":%.6f,\"rate\":%.0f}\n",
           mode_names[o->mode], o->version, l->peer_count, o->qos, o->payload_size, o->window,
           (unsigned long long)l->published, (unsigned long long)l->delivered, seconds,
           seconds > 0 ? (double)l->delivered / seconds : 0);
    fflush(stdout);
}

static void run(struct load *l)
{
    double start = now_s();
    load_init(l);
    open_all(l);
    double seconds = now_s() - start;
    gate(l, "ready");
    if (l->options.mode != MODE_IDLE)
        seconds = run_messages(l);
    gate(l, "done");
    ping_all(l);
    say_goodbye(l);
    print_result(l, seconds);
}

/* ------------------------------------------------------------------------------- arguments ---- */

static const char help[] =
    "Usage: load pairs|fanout|fanin|idle [OPTION]...\n"
    "\n"
    "  pairs    N publishers, each with a subscriber and a topic of its own\n"
    "  fanout   one publisher, N subscribers\n"
    "  fanin    N publishers, one subscriber with a wildcard\n"
    "  idle     N connections with one subscription each; \"seconds\" is how long they took\n"
    "\n"
    "  -h ADDRESS   IPv4 address of the broker (127.0.0.1)\n"
    "  -p PORT      its port (1883)\n"
    "  -5           MQTT 5.0 (3.1.1)\n"
    "  -n N         (50)\n"
    "  -q QOS       of publishing and of subscribing (0)\n"
    "  -s SIZE      bytes of payload (64)\n"
    "  -w WINDOW    messages under way per publisher (100)\n"
    "  -m MESSAGES  stop after publishing so many (no limit, unless -t is missing: 1000000)\n"
    "  -t SECONDS   stop publishing after so long\n"
    "  -g           gates: say \"ready\" and \"done\", and wait for a line after each\n";

static uint64_t number_of(const char *text, char option, uint64_t min, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || number < min || number > max)
        fail("-%c takes a number from %llu to %llu", option, (unsigned long long)min,
             (unsigned long long)max);
    return number;
}

static enum mode mode_of(const char *word)
{
    for (size_t i = 0; i < sizeof mode_names / sizeof mode_names[0]; i++)
        if (strcmp(word, mode_names[i]) == 0)
            return (enum mode)i;
    fputs(help, stderr);
    exit(2);
}

static struct options parse_options(int argc, char **argv)
{
    struct options o = { .address = { .sin_family = AF_INET, .sin_port = htons(1883) },
                         .version = VERSION_3_1_1,
                         .count = 50,
                         .payload_size = 64,
                         .window = 100 };
    uint64_t seconds = 0;
    o.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int c; (c = getopt(argc, argv, "h:p:5n:q:s:w:m:t:g")) != -1;) {
        if (c == 'h' && inet_pton(AF_INET, optarg, &o.address.sin_addr) != 1)
            fail("%s is no IPv4 address", optarg);
        else if (c == 'p')
            o.address.sin_port = htons((uint16_t)number_of(optarg, 'p', 1, 65535));
        else if (c == '5')
            o.version = VERSION_5_0;
        else if (c == 'n')
            o.count = (uint32_t)number_of(optarg, 'n', 1, 100000);
        else if (c == 'q')
            o.qos = (uint8_t)number_of(optarg, 'q', 0, 2);
        else if (c == 's')
            o.payload_size = (uint32_t)number_of(optarg, 's', STAMP_SIZE, 65536);
        else if (c == 'w')
            o.window = (uint32_t)number_of(optarg, 'w', 1, 65535);
        else if (c == 'm')
            o.messages = number_of(optarg, 'm', 1, UINT64_MAX);
        else if (c == 't')
            seconds = number_of(optarg, 't', 1, 86400);
        else if (c == 'g')
            o.is_gated = true;
        else if (c == '?')
            mode_of(""); /* the help */
    }
    o.mode = mode_of(optind + 1 == argc ? argv[optind] : "");
    if (o.messages == 0)
        o.messages = seconds > 0 ? UINT64_MAX : 1000000;
    o.seconds = seconds > 0 ? (double)seconds : 86400;
    return o;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    struct load load = { .options = parse_options(argc, argv) };
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* a socket that cannot be opened will tell */
    }
    (void)signal(SIGPIPE, SIG_IGN); /* a valid signal: cannot fail */
    run(&load);
    return 0;
}
