/* session/session.h: the message flows of one Session (MQTT 5.0, sections 4.3 to 4.6).
 *
 *      deliver -> [ queue ] -> [ in-flight window ] -> sink -> the Client
 *      the Client's PUBACK, PUBREC, PUBCOMP -> the window moves on
 *      the Client's PUBLISH of QoS 2, PUBREL -> the set of received Packet Identifiers
 *
 * Sans-I/O: time comes in as an argument, packets and drops go out through the sink.  A session
 * outlives its Network Connections; while attached to one it sends.  One thread.
 *
 * A durable Session's deliveries may be stored: they have a seq, and are on the disk or on their
 * way to it.  Of those the session holds in memory only what it is about to send:
 *
 *      [ in flight | queue ]      seq < disk_from     in memory, and in the store
 *      [ on the disk only  ]      seq >= disk_from    counted here, loaded when there is room
 *
 * Not attached, or with many waiting, it leaves new ones on the disk.  Those that are not stored do
 * not wait for those on the disk: they are of other topics.  A stored delivery's Packet
 * Identifier follows from its seq, so that it is the same after a crash; others of a durable
 * Session have identifiers above SESSION_STORED_IDS. */
#pragma once

#include "session/delivery.h"
#include "session/drop.h"

struct session;

enum session_queue_policy { /* values as enum queue_policy of the configuration */
                            SESSION_DROP_NEWEST,
                            SESSION_DROP_OLDEST,
                            SESSION_REFUSE_PUBLISHER, /* the caller asks session_is_full before it
                                                         takes a message; what comes is kept (QoS 0:
                                                         dropped) */
};

struct session_options {
    uint16_t inflight_max;      /* messages in flight towards the Client, at least 1 */
    size_t inflight_bytes_max;  /* 0: no limit */
    size_t queued_messages_max; /* 0: no limit */
    size_t queued_bytes_max;    /* 0: no limit */
    enum session_queue_policy policy;
    bool queue_qos0; /* keep QoS 0 messages while the Client is away */
};

/* What a session does to the world.  Filled in by the broker; all calls are made on the session's
 * thread, during calls of the functions below.  None may call back into the session. */
struct delivery_sink {
    const struct delivery_sink_ops *ops;
};

struct delivery_sink_ops {
    /* Sends a PUBLISH; dup as given.  DROP_NONE; or why the Client cannot have it (too large, not
     * authorized): the session goes on as if it had been sent [MQTT-3.1.2-25]. */
    enum drop (*send_publish)(struct delivery_sink *, const struct delivery *, bool dup);
    void (*send_pubrel)(struct delivery_sink *, uint16_t packet_id);
    /* So many bytes wait for the socket that the queue had better keep the rest? */
    bool (*is_congested)(struct delivery_sink *);
    /* So many that QoS 0 messages are dropped? */
    bool (*is_flooded)(struct delivery_sink *);
    /* A delivery that came from a group, or one that is stored, is finished (acknowledged, dropped,
     * refused for good; a stored one with DELIVERY_UNTIL_SENT: sent).  Once for each.  After PUBREC
     * it has no message any more. */
    void (*on_finished)(struct delivery_sink *, const struct delivery *);
    /* One that came from a group was not started and goes back to it. */
    void (*on_returned)(struct delivery_sink *, const struct delivery *);
    /* A stored delivery of QoS 2 that is not finished: its PUBREC has come.  send_pubrel follows.
     * Once, even if PUBREC comes again. */
    void (*on_received)(struct delivery_sink *, const struct delivery *);
    /* The oldest of those that are on the disk only is to be dropped (SESSION_DROP_OLDEST): the
     * first at `from` or behind it.  In front of it may be others, which are in flight. */
    void (*drop_first_on_disk)(struct delivery_sink *, uint64_t from);
    /* It will not reach the Client. */
    void (*on_dropped)(struct delivery_sink *, const struct delivery *, enum drop cause);
};

enum {
    SESSION_STORED_IDS = 32767, /* Packet Identifiers 1 to this: seq % SESSION_STORED_IDS + 1 */
    SESSION_LOAD_COUNT = 128,   /* as many are loaded at a time, at most */
    SESSION_LOAD_BYTES = 256 * 1024,
};

/* Options and sink must outlive the session; the options may change between calls
 * (inflight_max counts from the next attach on).  NULL: no
 * memory. */
struct session *session_create(const struct session_options *o, struct delivery_sink *sink);

/* Drops everything: queued deliveries as SESSION_ENDED, or returned if they came from a group.
 * Stored ones are only forgotten: what becomes of them in the store is the caller's decision.  NULL
 * is fine. */
void session_destroy(struct session *s);

/* A Network Connection begins: what is in flight is sent again, in order, with DUP, then the queue
 * follows [MQTT-4.4.0-1] [MQTT-4.4.0-2], never more at once than receive_max [MQTT-3.3.4-9].  Call
 * session_pump to start, after CONNACK is out. */
void session_attach(struct session *s, uint16_t receive_max);

/* It ended.  Deliveries from groups that were not started are returned; stored ones that were not
 * started are left to the disk. */
void session_detach(struct session *s);

/* The Client has left this group, which forgets what it gave: from now on it is the Client's own,
 * started or not [MQTT-3.10.4-3]. */
void session_adopt(struct session *s, uint64_t group);

bool session_is_attached(const struct session *s);

/* Is there anything left to send? */
bool session_waits(const struct session *s);

/* Sends what may be sent now: after attach, and when congestion has ended. */
void session_pump(struct session *s, int64_t now_ns);

/* A message for the Client.  Takes over *d (its message and ids) whatever happens.  A stored one is
 * of QoS 1 or 2, comes from no group, and comes before anybody could load it or tell of it with
 * session_on_stored; those of one publisher come in the order of seq. */
void session_deliver(struct session *s, struct delivery *d, int64_t now_ns);

/* Do messages of QoS 0 wait, so that a new one may not be sent past them? */
bool session_has_queued_qos0(const struct session *s);

/* Is the queue at a limit, so that one more message would be dropped? */
bool session_is_full(const struct session *s, size_t message_size);

/* Drops messages at the front of the queue whose time is over. */
void session_drop_expired(struct session *s, int64_t now_ns);

/* Acknowledgements from the Client.  False: the Packet Identifier is not in that state (counted by
 * the caller, not punished).  After an error reason a message is done with. */
bool session_on_puback(struct session *s, uint16_t packet_id, enum reason reason, int64_t now_ns);
/* A PUBREL goes out whenever the Packet Identifier is in use with success. */
bool session_on_pubrec(struct session *s, uint16_t packet_id, enum reason reason, int64_t now_ns);
bool session_on_pubcomp(struct session *s, uint16_t packet_id, int64_t now_ns);

/* A PUBLISH of QoS 2 from the Client. */
enum session_receipt {
    RECEIPT_NEW,      /* take it, and answer PUBREC */
    RECEIPT_REPEAT,   /* it was taken before: only answer PUBREC [MQTT-4.3.3-10] */
    RECEIPT_OVER_MAX, /* more than receive_max of them are open */
    RECEIPT_NO_MEMORY,
};
enum session_receipt session_on_publish_qos2(struct session *s, uint16_t packet_id,
                                             uint16_t receive_max);
bool session_on_pubrel(struct session *s, uint16_t packet_id); /* false: not found */

/* ------------------------------------------------------------------------ stored deliveries --- */

/* From now on (or not any more) its deliveries may be stored.  Stored ones that it still has stay
 * what they are.  0 or -ENOMEM: nothing has changed. */
int session_set_durable(struct session *s, bool is_durable);

/* After a restart, right after session_set_durable: so many are on the disk, the first at seq
 * `first`.  Those before `sent_end` may have been sent before: with DUP. */
void session_restore_queue(struct session *s, uint64_t first, uint64_t count, uint64_t sent_end);
/* Likewise: a stored delivery of QoS 2 whose PUBREC had come, in the order of seq; it awaits
 * PUBCOMP, and is not one of the queue.  0, -ENOMEM, or -EEXIST: another one has its Packet
 * Identifier. */
int session_restore_released(struct session *s, uint64_t seq);
int session_restore_received(struct session *s, uint16_t packet_id); /* from the Client; -ENOMEM */

/* Behind the last stored delivery that was ever sent: for session_restore_queue. */
uint64_t session_sent_end(const struct session *s);

/* What the store keeps of QoS 2 besides the queue, to be forgotten with the Session: start with
 * *cursor 0; false at the end. */
bool session_next_received(const struct session *s, uint32_t *cursor, uint16_t *packet_id);
bool session_next_released(const struct session *s, uint32_t *cursor, uint64_t *seq);

/* This one is on the disk now.  To be told of every stored delivery that came with a deposit or
 * DELIVERY_UNSAFE and is not finished, in memory or not: a load takes nothing behind one of which
 * it was not told when it began. */
void session_on_stored(struct session *s, uint64_t seq, int64_t now_ns);

/* Should deliveries be loaded?  Attached, room in the queue, some on the disk, and not loading.
 * True: it counts as loading until session_on_loaded; *from is the first seq wanted.  Worth asking
 * after everything that may have moved the queue on. */
bool session_begin_load(struct session *s, uint64_t *from);
/* One that was loaded, in the order of seq, of QoS 1 or 2 and not DELIVERY_UNSAFE.  Takes over *d.
 * It is in the queue, not yet sent; or dropped here and still on the disk only, if the Network
 * Connection ended meanwhile. */
void session_load(struct session *s, struct delivery *d);
/* While it is not attached: the first of those on the disk only has expired and is finished in the
 * store.  False: it is not one that can be gone. */
bool session_drop_on_disk(struct session *s);
/* Where they begin; 0: there are none, or they are being loaded. */
uint64_t session_disk_from(const struct session *s);

/* One that could not be read back, in the same order: it is gone. */
void session_skip(struct session *s, uint64_t seq);
/* The end of a load, even of one that brought nothing; is_last: no more are on the disk right now,
 * though some may be on their way to it.  Pumps. */
void session_on_loaded(struct session *s, bool is_last, int64_t now_ns);

struct session_stats {
    size_t queued_count, queued_bytes;
    size_t inflight_count, inflight_bytes;
    size_t received_count; /* QoS 2 messages not yet released */
    size_t disk_count;     /* of the queued ones (queued_count includes them): on the disk only */
};
struct session_stats session_stats(const struct session *s);

void session_trim(struct session *s); /* gives spare memory back; the Client is idle */
void session_check(const struct session *s);
