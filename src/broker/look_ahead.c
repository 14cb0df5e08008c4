/* broker/look_ahead.c: PUBLISH packets that were read together.
 *
 *     rest   [ PUBLISH t1 | PUBLISH t2 | PUBLISH t3 | SUBSCRIBE ... ]
 *               '------------'------------'--> router_look_ahead
 *
 * Other packets are where it ends: a SUBSCRIBE must be seen by the PUBLISH behind it.  Nothing is
 * checked here: packets that turn out to be wrong, or to have a Topic Alias, never ask for what was
 * looked up for them.  With few subscriptions all of the index is in the cache, and there is
 * nothing to wait for. */
#include "broker/look_ahead.h"
#include "broker/server.h"
#include "broker/worker.h"
#include "mqtt/packet.h"

enum { SUBSCRIPTIONS_MIN = 1000 };

/* Takes a whole PUBLISH off the rest. */
static bool next_topic(struct bytes *rest, struct bytes *topic)
{
    struct frame frame;
    if (frame_decode(*rest, &frame) != DECODE_DONE || frame.type != PACKET_PUBLISH)
        return false;
    struct bytes body = bytes_after(bytes_of(rest->data, frame.size), frame.header_size);
    *rest = bytes_after(*rest, frame.size);
    if (body.size < 2)
        return false;
    size_t size = (size_t)body.data[0] << 8 | body.data[1];
    *topic = bytes_of(body.data + 2, size);
    return size <= body.size - 2;
}

unsigned look_ahead(struct worker *w, struct bytes rest)
{
    if (router_subscription_count(w->server->router) < SUBSCRIPTIONS_MIN)
        return UINT32_MAX;
    struct bytes topics[ROUTER_AHEAD_MAX];
    unsigned packets = 0, count = 0;
    while (packets < ROUTER_AHEAD_MAX && next_topic(&rest, &topics[count])) {
        packets++;
        count += topics[count].size > 0;
    }
    if (count > 1)
        router_look_ahead(w->server->router, w->ahead, topics, count);
    return packets > 0 ? packets : 1;
}

void look_ahead_end(struct worker *w)
{
    router_ahead_forget(w->ahead);
}
