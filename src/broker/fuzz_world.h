/* broker/fuzz_world.h: a make-believe world with one server in it, for fuzzing and for tests.
 *
 *     client  -- link_write -->  [ up   ] -- recv -->  server
 *             <-- link_read  --  [ down ] <-- send --
 *
 * The clock moves when it is told to, chance follows a seed, there are no files unless somebody
 * brings a disk, and links carry bytes without delay.  The world itself allocates nothing through
 * base/memory.h but what the real doors allocate there (pollers and streams): so a failure sweep
 * meets exactly what can fail. Mistakes of the server (a leaked stream, a worker that never comes
 * to rest, a broken invariant) are asserted.  One thread. */
#pragma once

#include "base/env.h"
#include "base/list.h"
#include "base/log.h"
#include "config/config.h"

struct server;

enum { FUZZ_LISTENERS_MAX = 16, FUZZ_CONFIGS_MAX = 16 };

/* How large a world is. */
struct fuzz_room {
    unsigned links;            /* at one time */
    size_t up_size, down_size; /* bytes that one link holds on their way */
};

struct fuzz_pipe {
    uint8_t *ring;
    size_t capacity, start, size;
};

/* A client's end of a connection. */
struct fuzz_link {
    struct fuzz_world *world;
    struct fuzz_pipe up, down; /* to and from the server */
    struct fuzz_stream *held;  /* what the server has of it; NULL: nothing */
    unsigned listener;
    bool is_used;     /* by a client */
    bool is_waiting;  /* to be accepted */
    bool is_finished; /* the client sends no more */
    bool is_reset;
    size_t recv_max; /* recv returns at most so much; 0: no limit */
    size_t window;   /* the server may send so much that was not read */
};

struct fuzz_world {
    struct env env; /* what the server sees */
    struct clock clock;
    struct random random;
    struct files files;
    struct network network;
    struct log log; /* all types; lines are dropped unless somebody sets write */

    int64_t now_ns;
    uint64_t random_state;
    unsigned watch_fails_in;  /* the nth from now on says -ENOSPC; 0: none */
    unsigned accept_fails_in; /* the nth from now on says -EMFILE; 0: none */

    struct fuzz_link *links;
    unsigned link_count;
    uint8_t *rings;
    unsigned listener_count;
    unsigned stream_count, poller_count; /* that the server holds */
    uint64_t moved_bytes;                /* through all streams */
    uint64_t door_calls;                 /* of the network: what costs a system call elsewhere */

    int64_t storage_due_ns; /* when the storage thread has to turn though nobody asks */
    bool holds_storage;     /* it does not turn by itself: a slow disk */

    struct config *configs[FUZZ_CONFIGS_MAX]; /* until the end: workers may still look at them */
    unsigned config_count;
    struct server *server;
};

struct fuzz_world *fuzz_world_create(uint64_t seed); /* a small one, with 16 links */
struct fuzz_world *fuzz_world_create_large(uint64_t seed, struct fuzz_room room);

/* What the server will start with, or, when it runs, its new configuration.  The text must be valid
 * and have one listener.  Switches memory_fail_at off. */
void fuzz_world_configure(struct fuzz_world *w, const char *text);

/* With `persistence true` in the configuration, before it starts: where the store is.  The disk
 * outlives the world, and another world may go on with it. */
void fuzz_world_use_files(struct fuzz_world *w, const struct files *files);

/* A server with so many workers, its store opened, listening: worker N at listener N.  0 or a
 * negative errno. */
int fuzz_world_start(struct fuzz_world *w, unsigned workers);

void fuzz_world_turn(struct fuzz_world *w, unsigned worker); /* one turn */
void fuzz_world_turn_storage(struct fuzz_world *w);          /* likewise; nothing without a store */
void fuzz_world_run(struct fuzz_world *w);         /* turns of whoever has something left to do */
void fuzz_world_settle(struct fuzz_world *w);      /* a turn of each, then run, then check */
void fuzz_world_check(const struct fuzz_world *w); /* walks all invariants */

/* Time goes by, in steps of the server's own deadlines. */
void fuzz_world_pass(struct fuzz_world *w, int64_t ns);

/* Stops the server gracefully and destroys it.  (For a crash, let the disk have it first.) */
void fuzz_world_stop(struct fuzz_world *w);
void fuzz_world_destroy(struct fuzz_world *w); /* the server is stopped, or was never started */

/* A new connection to a listener; NULL: too many links. */
struct fuzz_link *fuzz_link_open(struct fuzz_world *w, unsigned listener);
size_t fuzz_link_write(struct fuzz_link *l, struct bytes bytes); /* how much was taken */
size_t fuzz_link_read(struct fuzz_link *l, void *out, size_t size);
bool fuzz_link_is_over(const struct fuzz_link *l); /* the server closed it, and all is read */
bool fuzz_link_is_held_by(const struct fuzz_link *l, const struct stream *stream);
void fuzz_link_finish(struct fuzz_link *l); /* the end of what the client sends */
void fuzz_link_reset(struct fuzz_link *l);
void fuzz_link_forget(struct fuzz_link *l); /* finishes it if need be; l is nobody's any more */
