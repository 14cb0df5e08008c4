/* bench/store_loads.c: see store_loads.h.
 *
 *     retained   publish all | SUBSCRIBE -> <- all  UNSUBSCRIBE ->, again and again | remove all
 *
 *     drain      Sessions come and subscribe and go |
 *                publish for each, CONNECT -> <- all, and gone, again and again | remove Sessions
 *
 * Messages are numbered in payload and topic, and must come once each: retained ones in any order,
 * queued ones in theirs.  After the last one an UNSUBACK or PINGRESP tells that the broker has seen
 * all acknowledgements; only then the counted time is over. */
#include "bench/store_loads.h"
#include "base/memory.h"
#include "bench/fail.h"
#include "bench/writer.h"
#include <stdio.h>
#include <unistd.h>

static void write_number(uint8_t *out, uint64_t number)
{
    for (int i = STORE_PAYLOAD_MIN; i-- > 0; number >>= 8)
        out[i] = (uint8_t)number;
}

static uint64_t read_number(const uint8_t *in)
{
    uint64_t number = 0;
    for (int i = 0; i < STORE_PAYLOAD_MIN; i++)
        number = number << 8 | in[i];
    return number;
}

/* The number, and the same bytes behind it whoever sends it. */
static void compose_payload(struct writer *w, uint64_t number, struct publish *out)
{
    uint32_t size = w->load->spec->payload_size;
    write_number(w->payload, number);
    for (uint32_t i = STORE_PAYLOAD_MIN; number == 0 && i < size; i++)
        w->payload[i] = (uint8_t)i;
    out->payload = bytes_of(w->payload, size);
}

/* The number of a message that is as it was sent, but for its topic, which is the caller's. */
static uint64_t check_payload(const struct peer *p, const struct writer *w, const struct publish *m)
{
    uint32_t size = w->load->spec->payload_size;
    if (m->payload.size != size)
        bench_fail("client %u: a payload of %zu bytes", p->index, m->payload.size);
    if (memcmp(m->payload.data + STORE_PAYLOAD_MIN, w->payload + STORE_PAYLOAD_MIN,
               size - STORE_PAYLOAD_MIN) != 0)
        bench_fail("client %u: a payload was changed", p->index);
    return read_number(m->payload.data);
}

static void check_suback(const struct peer *p, const struct suback *suback, uint8_t qos)
{
    if (suback->reasons.size != 1 || suback->reasons.data[0] != qos)
        bench_fail("client %u: the subscription was not granted", p->index);
}

/* Rounds begin until the time is over or there were messages enough; the last one goes on to its
 * end. */
static bool round_begins(const struct load *l, int64_t since_ns, double seconds)
{
    uint64_t most = l->spec->messages;
    bool has_all = most > 0 && l->result->published >= most;
    return !load_is_stopped(l) && !has_all && (double)(l->loop.now_ns - since_ns) < seconds * 1e9;
}

/* --------------------------------------------------------------------------------- retained --- */

struct retained {
    struct load load;
    struct writer writer;
    struct reader *readers;
    uint32_t round;      /* rises from 1 */
    uint32_t unfinished; /* readers that have not heard everything */
    char filter[48];
};

struct reader {
    struct peer peer;
    int64_t since_ns;  /* SUBSCRIBE */
    uint32_t missing;  /* messages, in this round */
    uint32_t *seen_in; /* for each message: the last round in which it came */
    char id[CLIENT_ID_SIZE];
};

static void compose_retained(struct writer *w, uint64_t number, struct publish *out)
{
    int size = snprintf(w->topic, sizeof w->topic, "bench/%d/retained/%06u", (int)getpid(),
                        (unsigned)number);
    out->topic = bytes_of(w->topic, (size_t)size);
    out->retain = true;
    compose_payload(w, number, out);
}

static void compose_removal(struct writer *w, uint64_t number, struct publish *out)
{
    compose_retained(w, number, out);
    out->payload = bytes_of(NULL, 0); /* [MQTT-3.3.1-6] */
}

static void on_retained(struct retained *r, struct reader *c, const struct publish *m)
{
    const struct bench_spec *spec = r->load.spec;
    uint64_t number = check_payload(&c->peer, &r->writer, m);
    if (number >= spec->topics || !m->retain || m->qos != spec->qos)
        bench_fail("client %u: not one of the Retained Messages", c->peer.index);
    if (c->seen_in[number] == r->round)
        bench_fail("client %u: Retained Message %u came twice", c->peer.index, (unsigned)number);
    c->seen_in[number] = r->round;
    c->missing--;
    if (m->qos == 1)
        peer_ack(&c->peer, PACKET_PUBACK, m->packet_id);
    load_count(&r->load, c->since_ns);
    if (c->missing == 0) {
        const char *filters = r->filter;
        peer_unsubscribe(&c->peer, 2, &filters, 1);
    }
}

static void on_reader_packet(struct peer *p, const struct packet *packet)
{
    struct reader *c = container_of(p, struct reader, peer);
    struct retained *r = container_of((struct load *)p->loop->owner, struct retained, load);
    if (packet->type == PACKET_SUBACK)
        check_suback(p, &packet->suback, r->load.spec->qos);
    else if (packet->type == PACKET_PUBLISH && c->missing > 0)
        on_retained(r, c, &packet->publish);
    else if (packet->type == PACKET_UNSUBACK && c->missing == 0)
        r->unfinished--;
    else
        bench_fail("client %u: unexpected %s", p->index, packet_type_name(packet->type));
}

static void open_readers(struct retained *r)
{
    static const struct peer_ops ops = { .on_packet = on_reader_packet };
    const struct bench_spec *spec = r->load.spec;
    r->readers = bench_alloc(spec->subscribers, sizeof *r->readers);
    for (uint32_t i = 0; i < spec->subscribers; i++) {
        struct reader *c = &r->readers[i];
        struct peer_connect connect = { .clean_start = true };
        c->seen_in = bench_alloc(spec->topics, sizeof *c->seen_in);
        peer_init(&c->peer, &r->load.loop, &ops, i + 1);
        connect.client_id = load_client_id(c->id, i + 1);
        peer_open(&c->peer, &connect);
    }
    while (r->load.loop.opening > 0)
        load_turn(&r->load, INT64_MAX, "CONNACK");
}

static void close_readers(struct retained *r)
{
    for (uint32_t i = 0; i < r->load.spec->subscribers; i++) {
        peer_disconnect(&r->readers[i].peer);
        peer_fini(&r->readers[i].peer);
        memory_free(r->readers[i].seen_in);
    }
    memory_free(r->readers);
}

static void replay_all(struct retained *r)
{
    const struct bench_spec *spec = r->load.spec;
    const char *filters = r->filter;
    r->round++;
    r->unfinished = spec->subscribers;
    r->load.result->published += r->load.is_counting ? spec->subscribers : 0;
    for (uint32_t i = 0; i < spec->subscribers; i++) {
        struct reader *c = &r->readers[i];
        c->missing = spec->topics;
        c->since_ns = r->load.heard_ns = loop_now(&r->load.loop);
        peer_subscribe(&c->peer, 1, &filters, 1, spec->qos);
    }
    while (r->unfinished > 0 && !load_is_stopped(&r->load))
        load_turn(&r->load, INT64_MAX, "Retained Messages or UNSUBACK");
}

void store_retained(const struct bench_spec *spec, struct bench_result *result,
                    const struct bench_watch *watch)
{
    struct retained r = { 0 };
    load_init(&r.load, spec, result, watch);
    (void)snprintf(r.filter, sizeof r.filter, "bench/%d/retained/#", (int)getpid()); /* fits */
    writer_init(&r.writer, &r.load, 0);
    open_readers(&r);
    load_ready(&r.load, spec->subscribers + 1);
    writer_publish(&r.writer, spec->topics, compose_retained, WRITER_MAY_STOP);
    for (int64_t since_ns = r.load.loop.now_ns; round_begins(&r.load, since_ns, spec->warm_up);)
        replay_all(&r);
    load_begin(&r.load);
    for (int64_t since_ns = r.load.loop.now_ns; round_begins(&r.load, since_ns, spec->seconds);)
        replay_all(&r);
    load_end(&r.load);
    close_readers(&r);
    writer_publish(&r.writer, spec->topics, compose_removal, WRITER_PERSISTS);
    writer_fini(&r.writer);
    load_fini(&r.load);
}

/* ------------------------------------------------------------------------------------ drain --- */

struct drain {
    struct load load;
    struct writer writer;
    struct session *sessions;
    uint32_t unfinished; /* Sessions that have not taken everything, or are not gone */
    bool is_draining;    /* else they come to subscribe, or to be removed */
    bool is_parting;     /* they have said DISCONNECT */
};

struct session {
    struct peer peer;
    int64_t since_ns; /* CONNECT */
    uint32_t next;    /* number of the message that comes next, in this round */
    char id[CLIENT_ID_SIZE];
};

static int session_topic(uint32_t index, char *out, size_t size)
{
    return snprintf(out, size, "bench/%d/session/%05u", (int)getpid(), index);
}

/* Message n is for Session n % subscribers. */
static void compose_queued(struct writer *w, uint64_t number, struct publish *out)
{
    uint32_t subscribers = w->load->spec->subscribers;
    int size = session_topic((uint32_t)(number % subscribers), w->topic, sizeof w->topic);
    out->topic = bytes_of(w->topic, (size_t)size);
    compose_payload(w, number, out);
}

static void on_queued(struct drain *d, struct session *s, const struct publish *m)
{
    const struct bench_spec *spec = d->load.spec;
    uint64_t due = (uint64_t)s->next * spec->subscribers + s->peer.index;
    uint64_t number = check_payload(&s->peer, &d->writer, m);
    if (number != due)
        bench_fail("client %u: queued message %u came instead of %u: lost, twice, or out of order",
                   s->peer.index, (unsigned)(number / spec->subscribers), s->next);
    if (m->qos != 1 || m->retain || m->dup)
        bench_fail("client %u: queued message %u was changed", s->peer.index, s->next);
    s->next++;
    peer_ack(&s->peer, PACKET_PUBACK, m->packet_id);
    load_count(&d->load, s->since_ns);
    if (s->next == spec->queued) {
        struct packet ping = { .type = PACKET_PINGREQ };
        peer_send(&s->peer, &ping);
    }
}

static struct drain *drain_of(const struct peer *p)
{
    return container_of((struct load *)p->loop->owner, struct drain, load);
}

static void on_session_packet(struct peer *p, const struct packet *packet)
{
    struct session *s = container_of(p, struct session, peer);
    struct drain *d = drain_of(p);
    bool has_all = s->next == d->load.spec->queued;
    if (d->is_parting) /* interrupted: the rest stays unread */
        return;
    if (packet->type == PACKET_PUBLISH && d->is_draining && !has_all) {
        on_queued(d, s, &packet->publish);
        return;
    }
    if (packet->type == PACKET_SUBACK && !d->is_draining)
        check_suback(p, &packet->suback, 1);
    else if (packet->type != PACKET_PINGRESP || !has_all)
        bench_fail("client %u: unexpected %s", p->index, packet_type_name(packet->type));
    d->unfinished--;
    d->load.heard_ns = d->load.loop.now_ns;
}

static void on_session_closed(struct peer *p)
{
    struct drain *d = drain_of(p);
    if (!d->is_parting)
        bench_fail("client %u: the broker hung up", p->index);
    d->unfinished--;
    d->load.heard_ns = d->load.loop.now_ns;
}

static void on_session_open(struct peer *p)
{
    struct drain *d = drain_of(p);
    d->load.heard_ns = d->load.loop.now_ns;
    if (d->is_draining && !p->session_present)
        bench_fail("client %u: the broker has not kept the Session", p->index);
}

static void session_open(struct session *s, bool clean_start)
{
    struct peer_connect connect = { .clean_start = clean_start };
    connect.client_id = load_client_id(s->id, s->peer.index);
    connect.session_expiry = clean_start ? 0 : SESSION_EXPIRY_S;
    s->next = 0;
    s->since_ns = loop_now(s->peer.loop);
    peer_open(&s->peer, &connect);
}

/* Until the broker has closed: what is published while it does not know yet that a Client is gone,
 * it sends to nobody, and once more, with DUP, when the Client is back. */
static void disconnect_all(struct drain *d)
{
    struct packet goodbye = { .type = PACKET_DISCONNECT };
    while (d->load.loop.opening > 0)
        load_turn(&d->load, INT64_MAX, "CONNACK");
    d->is_parting = true;
    d->unfinished = d->load.spec->subscribers;
    for (uint32_t i = 0; i < d->load.spec->subscribers; i++)
        peer_send(&d->sessions[i].peer, &goodbye);
    while (d->unfinished > 0)
        load_turn(&d->load, INT64_MAX, "for the broker to close after DISCONNECT");
    d->is_parting = false;
}

static void make_sessions(struct drain *d)
{
    static const struct peer_ops ops = { .on_packet = on_session_packet,
                                         .on_open = on_session_open,
                                         .on_closed = on_session_closed };
    const struct bench_spec *spec = d->load.spec;
    d->sessions = bench_alloc(spec->subscribers, sizeof *d->sessions);
    d->unfinished = spec->subscribers;
    for (uint32_t i = 0; i < spec->subscribers; i++) {
        struct session *s = &d->sessions[i];
        char topic[sizeof d->writer.topic];
        const char *filters = topic;
        peer_init(&s->peer, &d->load.loop, &ops, i);
        session_open(s, false);
        (void)session_topic(i, topic, sizeof topic); /* fits */
        peer_subscribe(&s->peer, 1, &filters, 1, 1); /* may follow CONNECT at once */
    }
    while (d->unfinished > 0)
        load_turn(&d->load, INT64_MAX, "SUBACK");
}

static void remove_sessions(struct drain *d)
{
    d->is_draining = false;
    for (uint32_t i = 0; i < d->load.spec->subscribers; i++)
        session_open(&d->sessions[i], true);
    disconnect_all(d);
    for (uint32_t i = 0; i < d->load.spec->subscribers; i++)
        peer_fini(&d->sessions[i].peer);
    memory_free(d->sessions);
}

static void take_all(struct drain *d)
{
    d->is_draining = true;
    d->unfinished = d->load.spec->subscribers;
    for (uint32_t i = 0; i < d->load.spec->subscribers; i++)
        session_open(&d->sessions[i], false);
    while (d->unfinished > 0 && !load_is_stopped(&d->load))
        load_turn(&d->load, INT64_MAX,
                  "queued messages; does the broker limit its queues "
                  "(max_queued_messages, max_queued_bytes)?");
}

enum counting { UNCOUNTED, COUNTED };

static void fill_and_drain(struct drain *d, enum counting counting)
{
    uint64_t count = (uint64_t)d->load.spec->subscribers * d->load.spec->queued;
    writer_publish(&d->writer, count, compose_queued, WRITER_MAY_STOP);
    if (load_is_stopped(&d->load))
        return;
    if (counting == COUNTED) {
        load_begin(&d->load);
        d->load.result->published += count;
    }
    take_all(d);
    load_end(&d->load);
    disconnect_all(d);
}

void store_drain(const struct bench_spec *spec, struct bench_result *result,
                 const struct bench_watch *watch)
{
    struct drain d = { 0 };
    load_init(&d.load, spec, result, watch);
    writer_init(&d.writer, &d.load, spec->subscribers);
    make_sessions(&d);
    load_ready(&d.load, spec->subscribers + 1);
    disconnect_all(&d);
    for (int64_t since_ns = d.load.loop.now_ns; round_begins(&d.load, since_ns, spec->warm_up);)
        fill_and_drain(&d, UNCOUNTED);
    for (int64_t since_ns = d.load.loop.now_ns; round_begins(&d.load, since_ns, spec->seconds);)
        fill_and_drain(&d, COUNTED);
    remove_sessions(&d);
    writer_fini(&d.writer);
    load_fini(&d.load);
}
