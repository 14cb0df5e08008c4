/* sim/net.h: the network of the make-believe world.
 *
 *     client  -- link_write -->  [ in transit | arrived ]  -- recv -->  broker
 *             <-- link_read  --  [ arrived | in transit ]  <-- send --
 *
 * The broker sees pollers, listeners and streams behind its network door; make-believe clients hold
 * the other end of a stream, a struct link.  Bytes take time; recv returns fewer bytes than there
 * are, send takes fewer than offered or none at all; links are cut, and accepting fails now and
 * then.  Nothing moves by itself: what has arrived depends on the world's clock.  One thread. */
#pragma once

#include "base/list.h"
#include "sim/world.h"

struct link;

enum { NET_LISTENERS_MAX = 64 };

/* Chances out of a thousand, and limits.  All zero: a network without faults or delay. */
struct net_faults {
    uint32_t recv_chops;    /* recv returns fewer bytes than have arrived */
    uint32_t send_chops;    /* send takes fewer bytes than there is room for */
    uint32_t nothing_now;   /* recv or send says -EAGAIN though it could */
    uint32_t accept_fails;  /* -EMFILE, -ECONNABORTED or -EINTR */
    uint32_t watch_fails;   /* -ENOMEM */
    uint32_t farewell_lost; /* what the broker sent last dies with the connection it closes */
    int64_t delay_max_ns;
};

struct net {
    struct network network; /* the door */
    struct world *world;
    struct dice dice;
    struct net_faults faults;
    struct list links;
    struct sim_listener *listeners[NET_LISTENERS_MAX];
    size_t listener_count;
    size_t stream_count; /* that the broker holds: leaks show here */
    size_t poller_count;
    uint32_t link_count; /* so far */
    bool is_deaf;        /* nothing reaches the broker any more: it is about to stop */
    bool is_broken;      /* the broker has died: nothing it does reaches anybody */

    /* Called when the broker closes a connection, before anything else happens. */
    void (*on_close)(void *context, struct link *);
    void *context;
};

void net_init(struct net *n, struct world *world, uint64_t seed);
void net_fini(struct net *n); /* drops the clients' ends; the broker must have closed its own */

/* The broker's machine, or its process, ends.  Of what it has sent, each client gets a part, at
 * once; the rest is lost.  Then the broker's own ends may be closed. */
void net_break(struct net *n);
void net_mend(struct net *n); /* a new broker may listen; the old one has closed everything */

/* The time of the next arrival; INT64_MAX: nothing is on its way. */
int64_t net_next_arrival_ns(const struct net *n);

/* ------------------------------------------------------------------------------- pollers ------ */

/* Would poller_wait return at once? */
bool poller_is_ready(const struct poller *p);

/* ------------------------------------------------------------------------- a client's end ----- */

enum { LINK_CAPACITY_MIN = 512, LINK_CAPACITY_MAX = 128 * 1024 };

/* A connection to the listener with this index; capacity: how many bytes the broker may send that
 * the client has not read. */
struct link *link_open(struct net *n, size_t listener, size_t capacity);
uint32_t link_number(const struct link *l); /* 1 for the first of this network */

void link_set_owner(struct link *l, void *owner);
void *link_owner(const struct link *l);

void link_write(struct link *l, struct bytes bytes);
size_t link_read(struct link *l, void *out, size_t size); /* what has arrived, at most size bytes */
size_t link_readable(const struct link *l);
bool link_is_over(const struct link *l); /* the broker has closed it, and all bytes are read */
bool link_is_held(const struct link *l); /* the broker has accepted and not closed it */

/* Has the broker been told, by recv, send or an event, that this client is gone? */
bool link_fault_was_seen(const struct link *l);

/* How a client leaves.  Each ends its side; link_forget must follow when it wants no more of it. */
void link_close(struct link *l);  /* in order: what was written arrives, then the end */
void link_reset(struct link *l);  /* what is in transit may be lost, then -ECONNRESET */
void link_vanish(struct link *l); /* what is in transit may be lost, and nobody is told */
void link_forget(struct link *l); /* the client looks at it no more; it must have left */

struct link *link_of_stream(const struct stream *s);
struct stream *link_stream(struct link *l);
