/* bench/peer.h: one client of a benchmark: a socket and its packets, and nothing of their meaning.
 *
 *     scenario --peer_send--> out --(end of the turn)--> socket --> in --> packets --on_packet-->
 *
 * A loop plays all peers in one thread: sockets are non-blocking, what peers send in a turn goes
 * out at its end in one send each, as from a busy gateway.  Whatever is wrong with a socket or with
 * the bytes on it ends the program (bench/fail.h), except where a peer expects to be closed. */
#pragma once

#include "base/buffer.h"
#include "base/list.h"
#include "bench/bench.h"
#include "mqtt/packet.h"
#include <sys/socket.h>

struct peer;

/* A callback may open, close and mark any peer, but must not turn the loop. */
struct peer_ops {
    void (*on_packet)(struct peer *, const struct packet *); /* but for CONNACK, see peer_open */
    void (*on_open)(struct peer *);   /* connected and accepted; a relay: said its line */
    void (*on_dirty)(struct peer *);  /* its turn to send, after peer_mark_dirty; may be NULL */
    void (*on_closed)(struct peer *); /* the other side closed; NULL: that is a failure */
};

enum peer_state { PEER_CLOSED, PEER_OPENING, PEER_OPEN };

enum { OPENING_MAX = 64 }; /* connections on their way at a time: backlogs are short */

struct loop;

struct peer {
    struct loop *loop;
    const struct peer_ops *ops;
    uint32_t index; /* names it in messages */
    int fd;
    enum peer_state state;
    uint32_t life;     /* how often it was closed */
    struct buffer in;  /* the unfinished packet */
    size_t in_missing; /* bytes to its end; 0: none begun, or not known yet */
    struct buffer out;
    size_t out_sent;
    bool waits_for_room;
    int send_error; /* errno of a send that failed: to be told when there is nothing to read */
    struct list dirty_link;

    /* What CONNACK said. */
    bool session_present;
    uint8_t qos_max;
    uint16_t receive_max;
    uint32_t packet_size_max;
};

struct loop {
    const struct bench_target *target;
    enum version version; /* of all packets; a relay: 3.1.1 */
    int epoll_fd;
    struct list dirty;
    uint32_t opening; /* peers on their way to PEER_OPEN */
    uint32_t open;    /* peers in PEER_OPEN */
    int64_t now_ns;   /* CLOCK_MONOTONIC when the bytes being handled arrived; see loop_now */
    bool is_handling; /* inside a callback */
    uint8_t *read_buffer;
    struct sockaddr_storage address;
    socklen_t address_size;
    void *owner; /* the scenario's */
};

/* Looks the host up, too. */
void loop_init(struct loop *, const struct bench_target *, void *owner);
void loop_fini(struct loop *); /* after its peers */

/* One turn: sends what is to be sent, waits for sockets, but not beyond until_ns (INT64_MAX: until
 * something happens, which must be within 30 s), and handles what came. */
void loop_turn(struct loop *, int64_t until_ns);

int64_t loop_now(struct loop *); /* the clock, and now_ns from here on */

struct peer_connect {
    struct bytes client_id;
    bool clean_start;
    uint32_t session_expiry; /* MQTT 5.0; with 3.1.1 a Session stays iff !clean_start */
    const char *relay_line;  /* for a relay, instead of CONNECT: see bench/relay.c */
};

void peer_init(struct peer *, struct loop *, const struct peer_ops *, uint32_t index);
void peer_fini(struct peer *); /* closes, too */

/* Begins to connect; on_open tells when CONNACK has come.  Not more than OPENING_MAX at a time:
 * turns the loop until there is room, which must not be necessary in a callback. */
void peer_open(struct peer *, const struct peer_connect *);

void peer_send(struct peer *, const struct packet *); /* any packet, copied */
void peer_subscribe(struct peer *, uint16_t packet_id, const char *const *filters, uint32_t count,
                    uint8_t qos);
void peer_unsubscribe(struct peer *, uint16_t packet_id, const char *const *filters,
                      uint32_t count);
void peer_ack(struct peer *, enum packet_type, uint16_t packet_id);
uint8_t *peer_room(struct peer *, size_t size); /* counts as sent: to be filled in at once */
void peer_mark_dirty(struct peer *); /* on_dirty will be called, before this turn's sends */
void peer_disconnect(struct peer *); /* DISCONNECT, sent at once, and closed */
void peer_close(struct peer *);      /* without a word */
