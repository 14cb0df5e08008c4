/* session/session.c: queue and window.
 *
 * `unacked` counts what this Network Connection owes us an answer for.  No PUBLISH goes out once it
 * has reached the window (the smaller of the Client's Receive Maximum and our own limit); a PUBREL
 * always may.  After a reconnection there are deliveries in flight that this connection has not
 * seen: `resend` is the first of them, and everything newer than it is one, too.
 *
 *      oldest                     newest
 *      [ 4  5  6 | 7  8  9 ]  <-  queue: a b c
 *        unacked   ^ resend
 *
 * So sending is one loop: first what is to be sent again, then the queue, as long as there is room.
 */
#include "session/session.h"
#include "session/inflight.h"
#include "session/packet_id_set.h"
#include "session/queue.h"
#include <errno.h>

struct session {
    const struct session_options *options;
    struct delivery_sink *sink;
    struct queue queue;
    struct packet_id_set received; /* QoS 2, PUBREC sent, PUBREL awaited */
    struct inflight inflight;
};

struct session *session_create(const struct session_options *o, struct delivery_sink *sink)
{
    assert(o->inflight_max > 0);
    struct session *s = memory_alloc_zero(sizeof *s);
    if (s == NULL)
        return NULL;
    s->options = o;
    s->sink = sink;
    queue_init(&s->queue);
    inflight_init(&s->inflight);
    return s;
}

bool session_is_attached(const struct session *s)
{
    return s->inflight.window > 0;
}

static void drop(struct session *s, struct delivery *d, enum drop cause)
{
    if (d->group != 0)
        s->sink->ops->on_finished(s->sink, d);
    s->sink->ops->on_dropped(s->sink, d, cause);
    delivery_fini(d);
}

void session_destroy(struct session *s)
{
    if (s == NULL)
        return;
    session_detach(s);
    while (queue_count(&s->queue) > 0) {
        struct delivery d;
        queue_pop(&s->queue, &d);
        drop(s, &d, DROP_SESSION_ENDED);
    }
    queue_fini(&s->queue);
    inflight_fini(&s->inflight);
    packet_id_set_fini(&s->received);
    memory_free(s);
}

/* ------------------------------------------------------------------------------ sending ------- */

static uint16_t id_newer_than(const struct session *s, const struct delivery *d)
{
    const struct delivery *newer = inflight_next(&s->inflight, d);
    return newer == NULL ? 0 : newer->packet_id;
}

static void finish(struct session *s, struct delivery *d)
{
    if (d->packet_id == s->inflight.resend)
        s->inflight.resend = id_newer_than(s, d);
    if ((d->flags & DELIVERY_UNSENT) == 0 && session_is_attached(s))
        s->inflight.unacked--;
    if (d->group != 0)
        s->sink->ops->on_finished(s->sink, d);
    inflight_remove(&s->inflight, d);
}

/* Sends what is in the window. */
static void send(struct session *s, struct delivery *d, bool dup)
{
    if (d->state == DELIVERY_AWAITS_PUBCOMP) {
        s->sink->ops->send_pubrel(s->sink, d->packet_id);
        return;
    }
    enum drop cause = s->sink->ops->send_publish(s->sink, d, dup);
    if (cause != DROP_NONE) {
        s->sink->ops->on_dropped(s->sink, d, cause);
        finish(s, d);
    }
}

/* One step of sending again.  False: the window is full.  A PUBREL needs no place in it. */
static bool send_again(struct session *s)
{
    struct delivery *d = inflight_find(&s->inflight, s->inflight.resend);
    assert(d != NULL && (d->flags & DELIVERY_UNSENT) != 0);
    if (d->state != DELIVERY_AWAITS_PUBCOMP && s->inflight.unacked >= s->inflight.window)
        return false;
    s->inflight.resend = id_newer_than(s, d);
    d->flags &= (uint8_t)~DELIVERY_UNSENT;
    s->inflight.unacked++;
    send(s, d, true); /* [MQTT-3.3.1-1] */
    return true;
}

static bool has_room(const struct session *s, const struct delivery *d)
{
    assert(s->inflight.resend == 0 && s->inflight.unacked == inflight_count(&s->inflight));
    if (d->qos == 0)
        return true;
    size_t max = s->options->inflight_bytes_max;
    if (max > 0 && inflight_count(&s->inflight) > 0 &&
        inflight_bytes(&s->inflight) + delivery_size(d) > max)
        return false;
    return s->inflight.unacked < s->inflight.window;
}

/* Sends *d, for which there is room, and takes it over.  -ENOMEM: nothing happened. */
static int send_first_time(struct session *s, struct delivery *d)
{
    if (d->qos > 0) {
        struct delivery *stored = inflight_add(&s->inflight, d);
        if (stored == NULL)
            return -ENOMEM;
        s->inflight.unacked++;
        send(s, stored, false);
        return 0;
    }
    enum drop cause = s->sink->ops->send_publish(s->sink, d, false);
    if (cause != DROP_NONE)
        s->sink->ops->on_dropped(s->sink, d, cause);
    if (d->group != 0)
        s->sink->ops->on_finished(s->sink, d);
    delivery_fini(d);
    return 0;
}

/* One step of the queue.  False: nothing more can be sent now. */
static bool send_queued(struct session *s, int64_t now_ns)
{
    const struct delivery *first = queue_first(&s->queue);
    struct delivery d;
    if (message_is_expired(first->message, now_ns)) { /* [MQTT-3.3.2-5] */
        queue_pop(&s->queue, &d);
        drop(s, &d, DROP_EXPIRED);
        return true;
    }
    if (!has_room(s, first))
        return false;
    queue_pop(&s->queue, &d);
    if (send_first_time(s, &d) == 0)
        return true;
    queue_unpop(&s->queue, &d); /* no memory: the next acknowledgement tries again */
    return false;
}

bool session_waits(const struct session *s)
{
    return s->inflight.resend != 0 || queue_count(&s->queue) > 0;
}

void session_pump(struct session *s, int64_t now_ns)
{
    while (session_is_attached(s) && s->inflight.resend != 0 &&
           !s->sink->ops->is_congested(s->sink))
        if (!send_again(s))
            return;
    while (session_is_attached(s) && s->inflight.resend == 0 && queue_count(&s->queue) > 0 &&
           !s->sink->ops->is_congested(s->sink))
        if (!send_queued(s, now_ns))
            return;
}

void session_attach(struct session *s, uint16_t receive_max)
{
    assert(!session_is_attached(s) && receive_max > 0);
    s->inflight.window =
        receive_max < s->options->inflight_max ? receive_max : s->options->inflight_max;
    s->inflight.unacked = 0;
    s->inflight.resend = 0;
    for (struct delivery *d = NULL; (d = inflight_next(&s->inflight, d)) != NULL;) {
        d->flags |= DELIVERY_UNSENT;
        if (s->inflight.resend == 0)
            s->inflight.resend = d->packet_id;
    }
}

/* What a group gave us and we had not started goes back, so that another member can have it. */
static void return_to_groups(struct session *s)
{
    for (size_t left = queue_count(&s->queue); left > 0; left--) {
        struct delivery d;
        queue_pop(&s->queue, &d);
        if (d.group == 0) {
            int pushed = queue_push(&s->queue, &d); /* into the place that pop left */
            assert(pushed == 0);
        } else {
            s->sink->ops->on_returned(s->sink, &d);
            delivery_fini(&d);
        }
    }
}

void session_detach(struct session *s)
{
    s->inflight.window = 0;
    return_to_groups(s);
}

void session_adopt(struct session *s, uint64_t group)
{
    for (size_t i = 0; i < queue_count(&s->queue); i++) {
        struct delivery *d = queue_at(&s->queue, i);
        if (d->group == group)
            d->group = d->ticket = 0;
    }
    for (struct delivery *d = NULL; (d = inflight_next(&s->inflight, d)) != NULL;)
        if (d->group == group)
            d->group = d->ticket = 0;
}

/* ------------------------------------------------------------------------------ queueing ------ */

bool session_has_queued_qos0(const struct session *s)
{
    return queue_qos0_count(&s->queue) > 0;
}

bool session_is_full(const struct session *s, size_t message_size)
{
    const struct session_options *o = s->options;
    return (o->queued_messages_max > 0 && queue_count(&s->queue) >= o->queued_messages_max) ||
           (o->queued_bytes_max > 0 && queue_bytes(&s->queue) + message_size > o->queued_bytes_max);
}

/* With SESSION_REFUSE_PUBLISHER the limit was asked about before the publisher got its answer; what
 * comes all the same was on its way from another thread by then, and has been acknowledged. */
static bool is_promised(const struct session *s, const struct delivery *d)
{
    return s->options->policy == SESSION_REFUSE_PUBLISHER && d->qos > 0;
}

void session_drop_expired(struct session *s, int64_t now_ns)
{
    struct delivery d;
    while (queue_count(&s->queue) > 0 &&
           message_is_expired(queue_first(&s->queue)->message, now_ns)) {
        queue_pop(&s->queue, &d);
        drop(s, &d, DROP_EXPIRED);
    }
}

/* Dropping others cannot help one that is larger than the whole queue. */
static bool could_fit(const struct session *s, const struct delivery *d)
{
    size_t max = s->options->queued_bytes_max;
    return max == 0 || delivery_size(d) <= max;
}

static void enqueue(struct session *s, struct delivery *d, int64_t now_ns)
{
    if (session_is_full(s, delivery_size(d)))
        session_drop_expired(s, now_ns);
    while (session_is_full(s, delivery_size(d)) && !is_promised(s, d)) {
        struct delivery oldest;
        if (s->options->policy != SESSION_DROP_OLDEST || !could_fit(s, d)) {
            drop(s, d, DROP_QUEUE_FULL);
            return;
        }
        queue_pop(&s->queue, &oldest);
        drop(s, &oldest, DROP_QUEUE_FULL);
    }
    if (queue_push(&s->queue, d) != 0)
        drop(s, d, DROP_NO_MEMORY);
}

/* QoS 0 has an order of its own and no need to wait behind the others; but what was queued while
 * the Client was away goes first [MQTT-4.6.0-5]. */
static void deliver_qos0(struct session *s, struct delivery *d, int64_t now_ns)
{
    if (!session_is_attached(s) && s->options->queue_qos0) {
        enqueue(s, d, now_ns);
    } else if (!session_is_attached(s)) {
        drop(s, d, DROP_OFFLINE);
    } else if (s->sink->ops->is_flooded(s->sink)) {
        drop(s, d, DROP_SLOW);
    } else if (session_has_queued_qos0(s)) {
        enqueue(s, d, now_ns);
        session_pump(s, now_ns);
    } else {
        (void)send_first_time(s, d); /* cannot fail for QoS 0 */
    }
}

void session_deliver(struct session *s, struct delivery *d, int64_t now_ns)
{
    if (message_is_expired(d->message, now_ns)) {
        drop(s, d, DROP_EXPIRED);
    } else if (d->qos == 0) {
        deliver_qos0(s, d, now_ns);
    } else if (session_is_attached(s) && s->inflight.resend == 0 && queue_count(&s->queue) == 0 &&
               has_room(s, d) && !s->sink->ops->is_congested(s->sink)) {
        if (send_first_time(s, d) != 0)
            enqueue(s, d, now_ns);
    } else {
        enqueue(s, d, now_ns);
        session_pump(s, now_ns); /* a queue that waited for memory moves on */
    }
}

/* ------------------------------------------------------------------------ acknowledgements ---- */

static struct delivery *find_in_state(struct session *s, uint16_t packet_id,
                                      enum delivery_state state)
{
    struct delivery *d = inflight_find(&s->inflight, packet_id);
    return d != NULL && d->state == state ? d : NULL;
}

/* Done with, by an acknowledgement; the place in the window goes to the next. */
static void finish_acknowledged(struct session *s, struct delivery *d, enum reason reason,
                                int64_t now_ns)
{
    if (reason_is_error(reason)) /* it is not sent again [MQTT-4.4.0-2] [MQTT-4.8.2-6] */
        s->sink->ops->on_dropped(s->sink, d, DROP_REFUSED);
    finish(s, d);
    session_pump(s, now_ns);
}

bool session_on_puback(struct session *s, uint16_t packet_id, enum reason reason, int64_t now_ns)
{
    struct delivery *d = find_in_state(s, packet_id, DELIVERY_AWAITS_PUBACK);
    if (d == NULL)
        return false;
    finish_acknowledged(s, d, reason, now_ns);
    return true;
}

bool session_on_pubrec(struct session *s, uint16_t packet_id, enum reason reason, int64_t now_ns)
{
    struct delivery *d = inflight_find(&s->inflight, packet_id);
    if (d == NULL || d->state == DELIVERY_AWAITS_PUBACK)
        return false;
    if (d->state == DELIVERY_AWAITS_PUBREC && reason_is_error(reason)) {
        finish_acknowledged(s, d, reason, now_ns); /* the quota comes back [MQTT-4.3.3-4] */
        return true;
    }
    if (d->state == DELIVERY_AWAITS_PUBREC) {
        inflight_drop_message(&s->inflight, d);
        d->state = DELIVERY_AWAITS_PUBCOMP;
    }
    s->sink->ops->send_pubrel(s->sink, packet_id);
    return true;
}

bool session_on_pubcomp(struct session *s, uint16_t packet_id, int64_t now_ns)
{
    struct delivery *d = find_in_state(s, packet_id, DELIVERY_AWAITS_PUBCOMP);
    if (d == NULL)
        return false;
    finish(s, d);
    session_pump(s, now_ns);
    return true;
}

/* -------------------------------------------------------------------------------- receiving --- */

enum session_receipt session_on_publish_qos2(struct session *s, uint16_t packet_id,
                                             uint16_t receive_max)
{
    if (packet_id_set_has(&s->received, packet_id))
        return RECEIPT_REPEAT;
    if (packet_id_set_count(&s->received) >= receive_max) /* [MQTT-3.3.4-7] */
        return RECEIPT_OVER_MAX;
    return packet_id_set_add(&s->received, packet_id) == 0 ? RECEIPT_NEW : RECEIPT_NO_MEMORY;
}

bool session_on_pubrel(struct session *s, uint16_t packet_id)
{
    return packet_id_set_remove(&s->received, packet_id);
}

/* ------------------------------------------------------------------------------- the rest ----- */

struct session_stats session_stats(const struct session *s)
{
    return (struct session_stats){
        .queued_count = queue_count(&s->queue),
        .queued_bytes = queue_bytes(&s->queue),
        .inflight_count = inflight_count(&s->inflight),
        .inflight_bytes = inflight_bytes(&s->inflight),
        .received_count = packet_id_set_count(&s->received),
    };
}

void session_trim(struct session *s)
{
    queue_trim(&s->queue);
    inflight_trim(&s->inflight);
    packet_id_set_trim(&s->received);
}

void session_check(const struct session *s)
{
    uint32_t unacked = 0;
    queue_check(&s->queue);
    inflight_check(&s->inflight);
    for (const struct delivery *d = NULL; (d = inflight_next(&s->inflight, d)) != NULL;)
        unacked += (d->flags & DELIVERY_UNSENT) == 0;
    if (!session_is_attached(s))
        return;
    assert(unacked == s->inflight.unacked);
    assert((s->inflight.resend == 0) == (unacked == inflight_count(&s->inflight)));
}
