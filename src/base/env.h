/* base/env.h: the four doors to the world: clock, random, files, network.
 *
 * The broker asks for time, randomness, files and sockets only through these tables.  The program
 * passes the real ones (io/), the simulator its own.  All of them may be called by any thread
 * unless a line says otherwise. */
#pragma once

#include "base/buffer.h"
#include "base/bytes.h"
#include <sys/uio.h>

struct clock {
    int64_t (*monotonic_ns)(const struct clock *); /* never goes back; runs on during suspend */
    int64_t (*wall_ns)(const struct clock *);      /* nanoseconds since 1970, UTC */
};

struct random {
    void (*fill)(const struct random *, void *out, size_t size); /* unpredictable bytes */
};

enum file_open {
    FILE_READ,  /* read only; it must be there */
    FILE_WRITE, /* it must be there */
    FILE_CREATE /* made if it is not there, kept if it is */
};

enum file_lock { FILE_LOCK_SHARED, FILE_LOCK_EXCLUSIVE };

/* A file that the store has open.  One thread at a time. */
struct file {
    const struct file_ops *ops;
};

struct file_ops {
    /* Fills out from offset on: how many bytes, fewer only at the end of the file; or a negative
     * errno. */
    ssize_t (*read_at)(struct file *, void *out, size_t size, uint64_t offset);
    /* Writes everything: 0 or a negative errno; then some of it may have been written. */
    int (*write_at)(struct file *, struct bytes bytes, uint64_t offset);
    /* What was written is on the disk when this returns 0.  After a failure nothing is known, and
     * a later success would prove nothing. */
    int (*sync)(struct file *);
    /* Makes it at least this long, with room on the disk for all of it (zeros): 0, or a negative
     * errno (-ENOSPC, -EDQUOT: nothing has changed). */
    int (*reserve)(struct file *, uint64_t size);
    int64_t (*size)(struct file *); /* or a negative errno */
    /* Takes a lock that ends with close, or with the process: 0, -EAGAIN: another one has it. */
    int (*lock)(struct file *, enum file_lock);
    void (*close)(struct file *);
};

struct files {
    /* The whole file, appended to *out.  0 or a negative errno. */
    int (*read)(const struct files *, const char *path, struct buffer *out);
    /* The names in a folder, each ended by '\0', in no order, appended to *out. */
    int (*list)(const struct files *, const char *path, struct buffer *out);

    /* For the store.  Files are made 0600, folders 0700.  0 or a negative errno. */
    int (*open)(const struct files *, const char *path, enum file_open how, struct file **out);
    int (*make_folder)(const struct files *, const char *path); /* -EEXIST: it is there */
    int (*rename)(const struct files *, const char *from, const char *to); /* replaces `to` */
    int (*remove)(const struct files *, const char *path);
    /* New names, renames and removals in this folder are on the disk. */
    int (*sync_folder)(const struct files *, const char *path);
    /* How many bytes are free where `path` is.  *is_network: others may write there, too. */
    int (*space)(const struct files *, const char *path, uint64_t *free, bool *is_network);
};

/* ------------------------------------------------------------------------------- network ------ */

struct poller; /* one per worker: waits for sockets and for wake-ups */

/* A socket: a Network Connection's bytes, or a listener.  Whoever opened or accepted it owns it. */
struct stream {
    const struct stream_ops *ops;
};

struct peer_name { /* "ADDRESS:PORT" as Mosquitto prints it; a listener: "ipv4" or "ipv6" */
    char text[56];
};

struct stream_ops {
    /* Bytes received, 0 at the end of the stream, or a negative errno (-EAGAIN: none now). */
    ssize_t (*recv)(struct stream *, void *out, size_t size);
    /* Bytes taken (maybe fewer than offered), or a negative errno (-EAGAIN: none now). */
    ssize_t (*send)(struct stream *, const struct iovec *parts, int count);
    /* A new connection on a listener in *out: 0 or a negative errno. */
    int (*accept)(struct stream *, struct stream **out);
    /* Also when the peer has gone.  Made when it is asked for: there may be a million. */
    void (*name)(const struct stream *, struct peer_name *out);
    /* Closes and frees.  If it was watched, it is not any more. */
    void (*close)(struct stream *);
};

static inline struct peer_name stream_peer(const struct stream *s)
{
    struct peer_name name;
    s->ops->name(s, &name);
    return name;
}

/* One send of many: as stream_ops.send, with the answer in result. */
struct net_send {
    struct stream *stream;
    const struct iovec *parts;
    int count; /* 0: nothing to send */
    ssize_t result;
};

enum { NET_READ = 1, NET_WRITE = 2, NET_HANGUP = 4 };

struct net_event {
    void *tag;      /* as given to watch */
    unsigned ready; /* NET_READ | NET_WRITE | NET_HANGUP */
};

struct listen_options {
    const char *host;      /* NULL: all addresses */
    const char *interface; /* bind to this device; NULL: any */
    int port;
    int family;    /* AF_INET, AF_INET6, or AF_UNSPEC for both */
    bool nodelay;  /* TCP_NODELAY on accepted connections */
    bool deferred; /* peers speak first: who says nothing may be accepted a little late */
    bool shared;   /* several sockets on one port: every worker opens its own */
    bool probe;    /* fail if another process listens there already */
};

struct network {
    struct poller *(*poller_create)(const struct network *); /* NULL: no memory or descriptors */
    void (*poller_destroy)(struct poller *);
    /* Waits at most timeout_ns (0: not at all, INT64_MAX: for ever).  The number of events.
     * Only by the poller's owner. */
    int (*poller_wait)(struct poller *, struct net_event *events, int max, int64_t timeout_ns);
    void (*poller_wake)(struct poller *); /* any thread: makes poller_wait return */

    /* Level triggered.  interest is a set of NET_READ and NET_WRITE; hang-ups are always told.
     * Calling it again changes interest and tag.  0 or a negative errno. */
    int (*watch)(struct poller *, struct stream *, unsigned interest, void *tag);
    void (*unwatch)(struct poller *, struct stream *);

    /* Opens the sockets of one listener (several when a name has several addresses), at most max,
     * into out.  The number of sockets (> 0), or a negative errno; then *error_text (static) says
     * which step failed. */
    int (*listen)(const struct network *, const struct listen_options *, struct stream **out,
                  int max, const char **error_text);

    /* Does all these sends, of different streams, with fewer system calls where the system can.
     * Only by the poller's owner. */
    void (*send_many)(struct poller *, struct net_send *sends, int count);
};

struct env {
    const struct clock *clock;
    const struct random *random;
    const struct files *files;
    const struct network *network;
};

/* send_many for networks that know no better. */
static inline void net_send_each(struct net_send *sends, int count)
{
    for (int i = 0; i < count; i++)
        if (sends[i].count > 0)
            sends[i].result =
                sends[i].stream->ops->send(sends[i].stream, sends[i].parts, sends[i].count);
}

static inline int64_t env_monotonic_ns(const struct env *e)
{
    return e->clock->monotonic_ns(e->clock);
}

static inline int64_t env_wall_ns(const struct env *e)
{
    return e->clock->wall_ns(e->clock);
}

static inline void env_random(const struct env *e, void *out, size_t size)
{
    e->random->fill(e->random, out, size);
}
