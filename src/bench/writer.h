/* bench/writer.h: a client that publishes a number of messages at QoS 1 and then knows that the
 * broker has them. */
#pragma once

#include "bench/load.h"

struct writer;

/* Fills in topic, payload and flags of message `number`; w->topic and w->payload are there to hold
 * them. */
typedef void writer_compose(struct writer *w, uint64_t number, struct publish *out);

struct writer {
    struct peer peer;
    struct load *load;
    bool *awaits_puback; /* by Packet Identifier - 1, which is number % window */
    uint64_t count;      /* to publish */
    uint64_t published, acknowledged;
    writer_compose *compose;
    char topic[48];
    uint8_t *payload; /* as large as the spec says */
    char id[CLIENT_ID_SIZE];
};

void writer_init(struct writer *, struct load *, uint32_t index); /* connects, too */
void writer_fini(struct writer *);                                /* disconnects, too */

enum writer_manner { WRITER_MAY_STOP, WRITER_PERSISTS }; /* when somebody wishes an end */

/* Publishes messages 0 to count - 1, `window` under way, and waits until the broker has all that
 * were published. */
void writer_publish(struct writer *, uint64_t count, writer_compose *, enum writer_manner);
