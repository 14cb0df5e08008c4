/* broker/publication.h: one Application Message being published: the way from a publisher to all
 * who get it.
 *
 * The message may be a view into what a connection has received; a counted one, which refers to
 * that or is a copy, is made only when the first consumer has to keep it. */
#pragma once

#include "mqtt/message.h"

struct deposit;
struct received;
struct worker;

/* The PUBLISH packets of one message that several connections get alike, in the worker's batch. */
struct publication_forms;

/* How a message came that is large enough to leave it where it is. */
enum { ARRIVAL_SIZE_MIN = 1024 }; /* of the packet */
struct arrival {
    struct received *in; /* its bytes are there */
    struct bytes packet;
    bool has_properties;   /* the packet's version */
    bool is_for_everybody; /* the packet: QoS 0, and nothing in it is for us alone */
};

struct publication {
    const struct message *message;
    bool is_counted;               /* message is a real block, of which we hold a reference */
    uint32_t copies;               /* encoded so far, each for one connection */
    uint64_t publisher_hash;       /* of the publisher's Client Identifier */
    const struct arrival *arrival; /* NULL: the message is small, or came another way */
    struct deposit *deposit;       /* what of it goes to the disk: a reference; NULL: nothing */
    bool waits;                    /* for the disk, whatever subscribers do: it is retained there */
    struct publication_forms *forms; /* NULL: none yet; in the turn's scratch memory */
};

/* A counted message to keep (no new reference).  NULL: no memory. */
struct message *publication_keep(struct publication *p);
void publication_fini(struct publication *p); /* drops the reference, if any */

enum published {
    PUBLISHED,
    PUBLISHED_TO_NOBODY,
    PUBLISHED_NOT_RETAINED, /* the store of Retained Messages is full: quota exceeded */
    PUBLISHED_REFUSED,      /* a subscriber's queue is full, and the publisher is to know */
    PUBLISHED_NO_MEMORY,    /* the message could not be kept for somebody who needed it */
};

/* Stores it if it is to be retained, and delivers it to every subscriber of its topic on every
 * worker.  The right to publish has been checked. */
enum published publication_route(struct worker *w, struct publication *p);

/* Publishes a message of the broker's own, or a Will; drops the caller's reference. */
enum published worker_publish(struct worker *w, struct message *message, uint64_t publisher_hash);
