/* bench/absence.c: subscribers that go, come back to their Sessions, and end them.
 *
 *     absence_begin     DISCONNECT -->  | the broker closes
 *     absence_end       CONNECT -->  <-- CONNACK, Session Present, and all that was kept meanwhile
 *     absence_forever   CONNECT, Clean Start -->  <-- CONNACK  DISCONNECT -->  | the broker closes
 *
 * Who goes waits until the broker has closed: what is published while it does not know yet that a
 * Client is gone it sends to nobody, and once more, with DUP, when the Client is back. */
#include "bench/fail.h"
#include "bench/flows_run.h"

static void say_disconnect(struct peer *p)
{
    struct packet goodbye = { .type = PACKET_DISCONNECT };
    peer_send(p, &goodbye);
}

static void on_gone(struct peer *p)
{
    flows_on_ready(p);
}

static void on_return(struct peer *p)
{
    if (!p->session_present)
        bench_fail("client %u: the broker has not kept the Session", p->index);
    flows_on_ready(p);
}

static const struct peer_ops going = { .on_packet = flows_on_other_packet, .on_closed = on_gone };
static const struct peer_ops returning = { .on_packet = subscriber_on_packet,
                                           .on_open = on_return };
static const struct peer_ops ending = { .on_packet = flows_on_other_packet,
                                        .on_open = say_disconnect,
                                        .on_closed = on_gone };

static void connect_all(struct flows *r, const struct peer_ops *ops, bool clean_start)
{
    for (uint32_t i = 0; i < r->spec->subscribers; i++) {
        char id[CLIENT_ID_SIZE];
        struct peer *p = &r->subscribers[i].peer;
        struct peer_connect how = { .clean_start = clean_start };
        how.client_id = load_client_id(id, p->index);
        how.session_expiry = clean_start ? 0 : SESSION_EXPIRY_S;
        p->ops = ops;
        peer_open(p, &how);
    }
}

static void wait_for_all(struct flows *r, const char *wanted)
{
    while (r->unready > 0)
        load_turn(&r->load, INT64_MAX, wanted);
}

void absence_begin(struct flows *r)
{
    r->unready = r->spec->subscribers;
    for (uint32_t i = 0; i < r->spec->subscribers; i++) {
        r->subscribers[i].peer.ops = &going;
        say_disconnect(&r->subscribers[i].peer);
    }
    wait_for_all(r, "the broker to close after DISCONNECT");
}

void absence_end(struct flows *r)
{
    r->unready = r->spec->subscribers;
    connect_all(r, &returning, false);
    wait_for_all(r, "CONNACK");
}

void absence_forever(struct flows *r)
{
    r->unready = r->spec->subscribers;
    connect_all(r, &ending, true);
    wait_for_all(r, "the broker to close after DISCONNECT");
}
