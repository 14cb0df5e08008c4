/* bench/guard_stage.h: a real server in a make-believe world, and clients that answer what they
 * hear.
 *
 * Nothing here asks the kernel for anything, and chance and time are always the same: a scene that
 * is played twice takes the same instructions twice.  What clients do is not counted, so they need
 * not be fast. */
#pragma once

#include "broker/fuzz_world.h"
#include "mqtt/packet.h"

struct peer {
    struct stage *stage;
    struct fuzz_link *link; /* NULL: away */
    unsigned number;
    enum version version;
    uint16_t packet_id; /* the last one of its own */
    size_t in_size;
    uint8_t *in; /* heard and not yet understood */
};

struct stage {
    struct fuzz_world *world;
    struct peer *peers;
    unsigned peer_count;
    uint64_t heard;     /* PUBLISH packets, by all */
    uint64_t completed; /* messages of theirs that were acknowledged to the end */
};

struct stage *stage_create(unsigned workers, unsigned peers);

/* Until nobody has anything left to do or to say. */
void stage_run(struct stage *s);

/* Each of these is said, and answered only when the stage runs. */
void peer_say(struct peer *p, const struct packet *packet);
void peer_connect(struct peer *p, unsigned worker, enum version version, bool clean);
void peer_disconnect(struct peer *p); /* runs the stage */
void peer_subscribe(struct peer *p, struct bytes filter, uint8_t qos);
void peer_publish(struct peer *p, struct publish message); /* the Packet Identifier is its own */
