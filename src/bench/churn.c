/* bench/churn.c: a client whose subscriptions come and go while others work.
 *
 * Slot n has one subscription at a time, and n + 1 as its Packet Identifier:
 *
 *     SUBSCRIBE --> SUBACK --> UNSUBSCRIBE --> UNSUBACK --> another filter... */
#include "bench/flows_run.h"

#include "bench/fail.h"
#include <inttypes.h>
#include <stdio.h>

static struct churner *churner_of(struct peer *p)
{
    return container_of(p, struct churner, peer);
}

/* Each was never used before; every other one has a wildcard. */
static void format_filter(const struct churner *c, uint32_t index, char *out)
{
    uint64_t turn = c->slots[index].turn;
    (void)snprintf(out, FILTER_SIZE_MAX, "churn/%04x/%u/%" PRIu64 "/%s",
                   flows_of(&c->peer)->plan.tag, index, turn, turn % 2 == 0 ? "value" : "+");
}

static void subscribe(struct churner *c, uint32_t index)
{
    char text[FILTER_SIZE_MAX];
    const char *filter = text;
    c->slots[index].turn++;
    c->slots[index].awaits = PACKET_SUBACK;
    format_filter(c, index, text);
    peer_subscribe(&c->peer, (uint16_t)(index + 1), &filter, 1, flows_of(&c->peer)->spec->qos);
    c->under_way++;
}

static void unsubscribe(struct churner *c, uint32_t index)
{
    char text[FILTER_SIZE_MAX];
    const char *filter = text;
    c->slots[index].awaits = PACKET_UNSUBACK;
    format_filter(c, index, text);
    peer_unsubscribe(&c->peer, (uint16_t)(index + 1), &filter, 1);
}

void churner_start(struct churner *c)
{
    for (uint32_t i = 0; i < flows_of(&c->peer)->spec->churn; i++)
        subscribe(c, i);
}

static void on_answer(struct churner *c, const struct packet *packet)
{
    struct flows *r = flows_of(&c->peer);
    uint32_t index = packet->suback.packet_id - 1u;
    struct bytes reasons = packet->suback.reasons;
    if (index >= r->spec->churn || c->slots[index].awaits != packet->type)
        bench_fail("churner: a %s of nothing, Packet Identifier %u", packet_type_name(packet->type),
                   packet->suback.packet_id);
    if (reasons.size > 0 && reasons.data[0] > 2)
        bench_fail("churner: %s: %s", packet_type_name(packet->type), reason_text(reasons.data[0]));
    if (packet->type == PACKET_SUBACK) {
        unsubscribe(c, index);
        return;
    }
    c->slots[index].awaits = 0;
    c->under_way--;
    r->load.result->churned += r->load.is_counting;
    if (r->is_publishing)
        subscribe(c, index);
}

static void on_packet(struct peer *peer, const struct packet *packet)
{
    if (packet->type == PACKET_SUBACK || packet->type == PACKET_UNSUBACK)
        on_answer(churner_of(peer), packet);
    else
        flows_on_other_packet(peer, packet);
}

const struct peer_ops churner_ops = { .on_packet = on_packet, .on_open = flows_on_ready };
