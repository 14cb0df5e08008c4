/* broker/storage.h: the thread that owns the store, and what workers ask of it.
 *
 *     worker A  -> request: records, loads ->  [ all requests there are ]  one write, one sync
 *     worker B  -> request                     '-> each request goes back to its worker
 *
 * A request goes there and comes back as mail.  Once it is back without an error, everything in it
 * is on the disk.  While the disk works the next requests gather: the slower it is, the more goes
 * with one sync.  A storage_turn runs on a thread, or step by step in the simulator. */
#pragma once

#include "base/buffer.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "store/store.h"

struct answer;
struct message;
struct server;
struct storage;
struct worker;

/* One delivery read back from a Session's queue. */
struct loaded {
    uint64_t seq;
    struct message *message; /* a reference; NULL: damaged */
    uint32_t *ids;           /* owned; ids[0] of them follow; NULL: none */
    uint8_t qos;
    bool retain, until_sent;
    bool is_unread; /* the disk did not give it: it stays where it is */
};

struct store_load {
    struct store_load *next;
    uint64_t handle, key, from; /* whose, and from which seq on */
    struct loaded *entries;     /* the answer */
    size_t count;
    bool is_last; /* no more are on the disk right now */
    bool expires; /* nothing is loaded: the first ones that have expired are finished */
};

struct drop_first { /* the first entry of a queue from this seq on is to go */
    uint64_t key, from;
};

struct store_request {
    struct mail mail; /* both ways */
    struct worker *worker;
    uint64_t number;
    struct buffer records;
    struct buffer drop_firsts; /* struct drop_first */
    struct buffer claims;      /* struct directory_entry *: of Sessions whose end is in here */
    struct store_load *loads;
    struct store_load **loads_end;

    int error; /* when it is back: 0, or the store is broken */

    /* The worker's own, not for the storage thread. */
    struct list deposits;   /* struct deposit: those whose records are in here */
    struct answer *waiting; /* they are safe when it is back */
    size_t bytes;           /* of the messages in it */
};

struct store_request *store_request_create(struct worker *w); /* NULL: no memory */
void store_request_destroy(struct store_request *r); /* drops what it still holds; NULL is fine */

/* Opens the store of the server's configuration.  0, or a negative errno; the log says why. */
int storage_open(struct server *s, struct storage **out);

/* Takes over r.  Any worker. */
void storage_post(struct storage *st, struct store_request *r);

/* One turn: takes what is there, and works it off.  False: there was nothing to do. */
bool storage_turn(struct storage *st);

/* How long until it has to turn though nobody asks; INT64_MAX: for ever. */
int64_t storage_wait_ns(const struct storage *st);

int storage_start(struct storage *st);  /* on a thread; 0 or a negative errno */
void storage_stop(struct storage *st);  /* everything posted is done first.  NULL is fine */
void storage_close(struct storage *st); /* not running; NULL is fine */

struct store *storage_store(struct storage *st); /* before it starts, or by its own thread */

/* May a message of so many bytes be stored?  Else the disk is (nearly) full; somebody looks again
 * every now and then.  Any thread. */
bool storage_has_room(struct storage *st, size_t bytes);
bool storage_is_full(const struct storage *st);

/* So many bytes of messages are on their way to it, or (below 0) are there or not any more.  Any
 * thread. */
void storage_promise(struct storage *st, int64_t bytes);

struct store_stats storage_stats(struct storage *st); /* of a moment ago.  Any thread */
