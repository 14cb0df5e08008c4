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
 *
 * A durable Session has a disk_queue behind its queue: how many there are, never what they are.
 * They come into the queue when it runs low, and go back when the Client has gone.  Other Sessions
 * pay one NULL for it. */
#include "session/session.h"
#include "session/disk_queue.h"
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
    struct disk_queue *disk; /* NULL: not durable */
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

/* Does the store still count on it? */
static bool is_kept_in_store(const struct delivery *d)
{
    return d->seq != 0 && (d->flags & DELIVERY_STORE_FINISHED) == 0;
}

static __attribute__((noinline)) void tell_finished(struct session *s, const struct delivery *d)
{
    if (d->group != 0 || is_kept_in_store(d))
        s->sink->ops->on_finished(s->sink, d);
}

static void drop(struct session *s, struct delivery *d, enum drop cause)
{
    tell_finished(s, d);
    s->sink->ops->on_dropped(s->sink, d, cause);
    delivery_fini(d);
}

static void forget_disk(struct session *s)
{
    if (s->disk == NULL)
        return;
    disk_queue_fini(s->disk);
    memory_free(s->disk);
    s->disk = NULL;
}

void session_destroy(struct session *s)
{
    if (s == NULL)
        return;
    session_detach(s);
    while (queue_count(&s->queue) > 0) {
        struct delivery d;
        queue_pop(&s->queue, &d);
        if (d.seq != 0)
            delivery_fini(&d);
        else
            drop(s, &d, DROP_SESSION_ENDED);
    }
    queue_fini(&s->queue);
    inflight_fini(&s->inflight);
    packet_id_set_fini(&s->received);
    forget_disk(s);
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
    if ((d->group | d->seq) != 0)
        tell_finished(s, d);
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
    if ((d->flags & DELIVERY_UNSAFE) != 0 && d->qos == 2 && s->disk != NULL)
        return false; /* after a crash the Client would know its Packet Identifier, and we not */
    size_t max = s->options->inflight_bytes_max;
    if (max > 0 && inflight_count(&s->inflight) > 0 &&
        inflight_bytes(&s->inflight) + delivery_size(d) > max)
        return false;
    return s->inflight.unacked < s->inflight.window;
}

static uint16_t stored_id(uint64_t seq)
{
    return (uint16_t)(seq % SESSION_STORED_IDS + 1);
}

/* Is it one that may have been sent before a restart? */
static bool was_sent(const struct session *s, const struct delivery *d)
{
    return s->disk != NULL && d->seq != 0 && d->seq < s->disk->old_end;
}

/* Its Client may be halfway through it. */
static bool is_repeat(const struct session *s, const struct delivery *d)
{
    return s->disk != NULL && d->seq != 0 && disk_queue_is_repeat(s->disk, d->seq);
}

/* Persistence mode queued: the store's duty ends here. */
static void finish_for_store(struct session *s, struct delivery *d)
{
    if (d == NULL || (d->flags & DELIVERY_UNTIL_SENT) == 0 || !is_kept_in_store(d))
        return;
    s->sink->ops->on_finished(s->sink, d);
    d->flags |= DELIVERY_STORE_FINISHED;
}

/* As send_first_time, in a durable Session; -ENOMEM also when its Packet Identifier is in use. Kept
 * apart, so that the others need not save its registers. */
static __attribute__((noinline)) int send_first_time_durable(struct session *s, struct delivery *d)
{
    struct delivery *sent = d->seq != 0 ? inflight_add_as(&s->inflight, d, stored_id(d->seq))
                                        : inflight_add_above(&s->inflight, d, SESSION_STORED_IDS);
    if (sent == NULL)
        return -ENOMEM;
    uint16_t id = sent->packet_id;
    if (sent->seq != 0)
        disk_queue_pass(s->disk, sent->seq);
    s->inflight.unacked++;
    bool dup = was_sent(s, sent);
    if (s->disk != NULL && sent->seq >= s->disk->sent_end)
        s->disk->sent_end = sent->seq + 1;
    send(s, sent, dup);
    finish_for_store(s, inflight_find(&s->inflight, id)); /* unless it was refused */
    return 0;
}

/* Sends *d, for which there is room, and takes it over.  -ENOMEM: nothing happened. */
static int send_first_time(struct session *s, struct delivery *d)
{
    if (d->qos > 0 && s->disk != NULL)
        return send_first_time_durable(s, d);
    if (d->qos > 0) {
        struct delivery *sent = inflight_add(&s->inflight, d);
        if (sent == NULL)
            return -ENOMEM;
        s->inflight.unacked++;
        send(s, sent, false);
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

/* Not if its delivery may have begun: the Client may await the rest of it. */
static bool is_expired(const struct session *s, const struct delivery *d, int64_t now_ns)
{
    return message_is_expired(d->message, now_ns) && !is_repeat(s, d); /* [MQTT-3.3.2-5] */
}

/* One step of the queue.  False: nothing more can be sent now. */
static bool send_queued(struct session *s, int64_t now_ns)
{
    const struct delivery *first = queue_first(&s->queue);
    struct delivery d;
    if (is_expired(s, first, now_ns)) {
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

static uint64_t disk_count(const struct session *s)
{
    return s->disk == NULL ? 0 : s->disk->count;
}

bool session_waits(const struct session *s)
{
    return s->inflight.resend != 0 || queue_count(&s->queue) > 0 || disk_count(s) > 0;
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

/* Of those in flight; 0: none of them is stored. */
static uint64_t newest_seq_in_flight(const struct session *s)
{
    uint64_t newest = 0;
    for (const struct delivery *d = NULL; (d = inflight_next(&s->inflight, d)) != NULL;)
        newest = d->seq > newest ? d->seq : newest;
    return newest;
}

/* Is it still on its way to the disk? */
static bool is_unsafe(const struct delivery *d)
{
    return d->deposit != NULL || (d->flags & DELIVERY_UNSAFE) != 0;
}

/* What is stored and was not started need not be held in memory until the Client comes back; but
 * for those that an arrival in front of its turn has overtaken: see disk_queue_may_leave. */
static void put_back_on_disk(struct session *s)
{
    uint64_t in_flight = newest_seq_in_flight(s);
    size_t unsafe_count = 0;
    for (size_t i = 0; i < queue_count(&s->queue); i++)
        unsafe_count += is_unsafe(queue_at(&s->queue, i));
    disk_queue_abandon_load(s->disk);
    if (disk_queue_reserve(s->disk, unsafe_count) != 0)
        return; /* they stay where they are */

    for (size_t left = queue_count(&s->queue); left > 0; left--) {
        struct delivery d;
        queue_pop(&s->queue, &d);
        if (d.seq <= in_flight) {
            int pushed = queue_push(&s->queue, &d); /* into the place that pop left */
            assert(pushed == 0);
        } else {
            disk_queue_put_back(s->disk, d.seq, is_unsafe(&d));
            delivery_fini(&d);
        }
    }
}

void session_detach(struct session *s)
{
    s->inflight.window = 0;
    return_to_groups(s);
    if (s->disk != NULL)
        put_back_on_disk(s);
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

static bool has_messages_max(const struct session *s)
{
    size_t max = s->options->queued_messages_max;
    return max > 0 && queue_count(&s->queue) + disk_count(s) >= max;
}

bool session_is_full(const struct session *s, size_t message_size)
{
    size_t bytes_max = s->options->queued_bytes_max;
    return has_messages_max(s) ||
           (bytes_max > 0 && queue_bytes(&s->queue) + message_size > bytes_max);
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
    while (queue_count(&s->queue) > 0 && is_expired(s, queue_first(&s->queue), now_ns)) {
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

/* False: all that could go is on its way, to the disk or from there.  What is too much goes with
 * the next chance. */
static bool drop_oldest(struct session *s)
{
    if (queue_count(&s->queue) > 0) {
        struct delivery oldest;
        queue_pop(&s->queue, &oldest);
        drop(s, &oldest, DROP_QUEUE_FULL);
        return true;
    }
    if (!disk_queue_drop_first(s->disk))
        return false;
    s->sink->ops->drop_first_on_disk(s->sink, s->disk->from);
    return true;
}

enum place { IN_MEMORY, ON_DISK };

static bool is_full_for(const struct session *s, const struct delivery *d, enum place place)
{
    return place == ON_DISK ? has_messages_max(s) : session_is_full(s, delivery_size(d));
}

/* False: there is no place for it. */
static bool make_room(struct session *s, const struct delivery *d, enum place place, int64_t now_ns)
{
    bool may_drop =
        s->options->policy == SESSION_DROP_OLDEST && (place == ON_DISK || could_fit(s, d));
    if (is_full_for(s, d, place))
        session_drop_expired(s, now_ns);
    while (is_full_for(s, d, place) && !is_promised(s, d)) {
        if (!may_drop)
            return false;
        if (!drop_oldest(s))
            return true;
    }
    return true;
}

static bool may_leave_on_disk(const struct session *s, const struct delivery *d)
{
    return s->disk != NULL && d->seq != 0 && disk_queue_may_leave(s->disk, d->seq);
}

static bool belongs_on_disk(const struct session *s, const struct delivery *d)
{
    return may_leave_on_disk(s, d) && (!session_is_attached(s) || !disk_queue_is_empty(s->disk) ||
                                       queue_count(&s->queue) >= SESSION_LOAD_COUNT ||
                                       queue_bytes(&s->queue) >= SESSION_LOAD_BYTES);
}

static void enqueue(struct session *s, struct delivery *d, int64_t now_ns)
{
    enum place place = belongs_on_disk(s, d) ? ON_DISK : IN_MEMORY;
    if (!make_room(s, d, place, now_ns)) {
        drop(s, d, DROP_QUEUE_FULL);
    } else if (place == IN_MEMORY && queue_push(&s->queue, d) == 0) {
        if (s->disk != NULL && d->seq != 0)
            disk_queue_pass(s->disk, d->seq);
    } else if (may_leave_on_disk(s, d) && disk_queue_leave(s->disk, d->seq, is_unsafe(d)) == 0) {
        delivery_fini(d);
    } else if (d->seq != 0) { /* it stays in the store, where it may be found some time */
        s->sink->ops->on_dropped(s->sink, d, DROP_NO_MEMORY);
        delivery_fini(d);
    } else {
        drop(s, d, DROP_NO_MEMORY);
    }
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
               (s->disk == NULL || !belongs_on_disk(s, d)) && has_room(s, d) &&
               !s->sink->ops->is_congested(s->sink)) {
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
        if (is_kept_in_store(d))
            s->sink->ops->on_received(s->sink, d);
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

/* ------------------------------------------------------------------------ stored deliveries --- */

/* Of those in memory; 0: none of them is stored. */
static uint64_t newest_seq(const struct session *s)
{
    uint64_t newest = newest_seq_in_flight(s);
    for (size_t i = 0; i < queue_count(&s->queue); i++)
        newest = queue_at(&s->queue, i)->seq > newest ? queue_at(&s->queue, i)->seq : newest;
    return newest;
}

int session_set_durable(struct session *s, bool is_durable)
{
    if (is_durable == (s->disk != NULL))
        return 0;
    if (!is_durable) {
        if (disk_queue_is_empty(s->disk) && newest_seq(s) == 0)
            forget_disk(s);
        return 0;
    }
    s->disk = memory_alloc(sizeof *s->disk);
    if (s->disk == NULL)
        return -ENOMEM;
    disk_queue_init(s->disk, newest_seq(s) + 1);
    return 0;
}

void session_restore_queue(struct session *s, uint64_t first, uint64_t count, uint64_t sent_end)
{
    assert(s->disk != NULL && queue_count(&s->queue) == 0);
    disk_queue_restore(s->disk, first, count, sent_end, s->options->inflight_max);
}

uint64_t session_sent_end(const struct session *s)
{
    return s->disk == NULL ? 0 : s->disk->sent_end;
}

int session_restore_released(struct session *s, uint64_t seq)
{
    struct delivery d = { .seq = seq, .qos = 2 };
    assert(s->disk != NULL && !session_is_attached(s));
    if (inflight_find(&s->inflight, stored_id(seq)) != NULL)
        return -EEXIST;
    return inflight_add_as(&s->inflight, &d, stored_id(seq)) == NULL ? -ENOMEM : 0;
}

int session_restore_received(struct session *s, uint16_t packet_id)
{
    if (packet_id_set_has(&s->received, packet_id))
        return 0;
    return packet_id_set_add(&s->received, packet_id);
}

bool session_next_received(const struct session *s, uint32_t *cursor, uint16_t *packet_id)
{
    if (*cursor >= packet_id_set_count(&s->received))
        return false;
    *packet_id = s->received.row->ids[(*cursor)++];
    return true;
}

/* The cursor is the Packet Identifier of the one before. */
bool session_next_released(const struct session *s, uint32_t *cursor, uint64_t *seq)
{
    const struct delivery *d = *cursor == 0 ? NULL : inflight_find(&s->inflight, (uint16_t)*cursor);
    while ((d = inflight_next(&s->inflight, d)) != NULL) {
        if (d->seq == 0 || d->state != DELIVERY_AWAITS_PUBCOMP)
            continue;
        *cursor = d->packet_id;
        *seq = d->seq;
        return true;
    }
    return false;
}

/* NULL: it is not in flight. */
static struct delivery *find_stored_in_flight(const struct session *s, uint64_t seq)
{
    struct delivery *d = inflight_find(&s->inflight, stored_id(seq));
    return d != NULL && d->seq == seq ? d : NULL;
}

/* NULL: it is not in memory. */
static struct delivery *find_stored(const struct session *s, uint64_t seq)
{
    struct delivery *d = find_stored_in_flight(s, seq);
    for (size_t i = 0; d == NULL && i < queue_count(&s->queue); i++)
        if (queue_at(&s->queue, i)->seq == seq)
            d = queue_at(&s->queue, i);
    return d;
}

void session_on_stored(struct session *s, uint64_t seq, int64_t now_ns)
{
    if (s->disk != NULL && disk_queue_on_stored(s->disk, seq))
        return;
    struct delivery *d = find_stored(s, seq);
    if (d == NULL)
        return;
    d->flags &= (uint8_t)~DELIVERY_UNSAFE;
    block_unref(d->deposit);
    d->deposit = NULL;
    session_pump(s, now_ns);
}

bool session_begin_load(struct session *s, uint64_t *from)
{
    if (s->disk == NULL || !session_is_attached(s) ||
        queue_count(&s->queue) >= SESSION_LOAD_COUNT / 2 ||
        queue_bytes(&s->queue) >= SESSION_LOAD_BYTES / 2 || !disk_queue_begin_load(s->disk))
        return false;
    *from = s->disk->from;
    return true;
}

void session_load(struct session *s, struct delivery *d)
{
    assert(d->seq != 0 && d->qos > 0 && d->message != NULL);
    if (s->disk == NULL || !disk_queue_wants(s->disk, d->seq)) {
        delivery_fini(d);
    } else if (find_stored_in_flight(s, d->seq) != NULL) { /* restored as released */
        disk_queue_take(s->disk, d->seq);
        delivery_fini(d);
    } else if (queue_push(&s->queue, d) == 0) {
        disk_queue_take(s->disk, d->seq);
    } else { /* no memory: it stays on the disk, and so do those behind it */
        disk_queue_abandon_load(s->disk);
        delivery_fini(d);
    }
}

bool session_drop_on_disk(struct session *s)
{
    return s->disk != NULL && disk_queue_drop_first(s->disk);
}

uint64_t session_disk_from(const struct session *s)
{
    return s->disk == NULL || s->disk->count == 0 || s->disk->is_loading ? 0 : s->disk->from;
}

void session_skip(struct session *s, uint64_t seq)
{
    if (s->disk != NULL && disk_queue_wants(s->disk, seq))
        disk_queue_take(s->disk, seq);
}

void session_on_loaded(struct session *s, bool is_last, int64_t now_ns)
{
    const struct session_options *o = s->options;
    if (s->disk == NULL)
        return;
    disk_queue_end_load(s->disk, is_last);
    while (o->policy == SESSION_DROP_OLDEST && o->queued_messages_max > 0 &&
           queue_count(&s->queue) + disk_count(s) > o->queued_messages_max && drop_oldest(s))
        ;
    session_pump(s, now_ns);
}

/* ------------------------------------------------------------------------------- the rest ----- */

struct session_stats session_stats(const struct session *s)
{
    return (struct session_stats){
        .queued_count = queue_count(&s->queue) + disk_count(s),
        .queued_bytes = queue_bytes(&s->queue),
        .inflight_count = inflight_count(&s->inflight),
        .inflight_bytes = inflight_bytes(&s->inflight),
        .received_count = packet_id_set_count(&s->received),
        .disk_count = disk_count(s),
    };
}

void session_trim(struct session *s)
{
    queue_trim(&s->queue);
    inflight_trim(&s->inflight);
    packet_id_set_trim(&s->received);
}

/* What is on the disk only is behind all that is in memory.  Released ones are in the store as
 * something else, and not loaded. */
static void check_disk(const struct session *s)
{
    disk_queue_check(s->disk);
    for (size_t i = 0; i < queue_count(&s->queue); i++) {
        const struct delivery *d = queue_at(&s->queue, i);
        assert(d->seq < s->disk->from);
        assert(d->seq == 0 || (d->qos > 0 && d->group == 0));
    }
    for (const struct delivery *d = NULL; (d = inflight_next(&s->inflight, d)) != NULL;)
        assert(d->seq < s->disk->from || d->state == DELIVERY_AWAITS_PUBCOMP);
}

void session_check(const struct session *s)
{
    uint32_t unacked = 0;
    if (s->disk != NULL)
        check_disk(s);
    queue_check(&s->queue);
    inflight_check(&s->inflight);
    for (const struct delivery *d = NULL; (d = inflight_next(&s->inflight, d)) != NULL;)
        unacked += (d->flags & DELIVERY_UNSENT) == 0;
    if (!session_is_attached(s))
        return;
    assert(unacked == s->inflight.unacked);
    assert((s->inflight.resend == 0) == (unacked == inflight_count(&s->inflight)));
}
