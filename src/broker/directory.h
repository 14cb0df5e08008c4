/* broker/directory.h: which worker has the Session of this Client Identifier?
 *
 * 64 shards with a lock each; one look-up per CONNECT, none per message.  An entry lives as long as
 * somebody holds a claim on it: the Session does, and so does every CONNECT on its way to the
 * Session's worker.  So two CONNECTs with one Client Identifier always meet at one worker, and no
 * Session can exist twice.  Any worker. */
#pragma once

#include "base/bytes.h"

struct client;
struct directory;

/* A Client Identifier that is claimed.  Good as long as one holds a claim. */
struct directory_entry {
    struct client *client; /* the Session; NULL: none yet.  Only for the owner's own thread */
    uint32_t claims;       /* under the shard's lock */
    uint16_t worker;       /* the owner: does not change */
    uint16_t size;
    uint8_t client_id[];
};

static inline struct bytes directory_client_id(const struct directory_entry *e)
{
    return (struct bytes){ e->client_id, e->size };
}

struct directory *directory_create(uint64_t seed); /* NULL: no memory */
void directory_destroy(struct directory *d);       /* NULL is fine; no claim may be left */

/* Takes a claim.  The owner is the worker that others' claims name, or `preferred` if this is the
 * first.  NULL: no memory. */
struct directory_entry *directory_claim(struct directory *d, struct bytes client_id,
                                        unsigned preferred);
void directory_release(struct directory *d, struct directory_entry *e); /* gives one claim back */

/* Takes no claim: good while nobody else gives one back.  NULL: nobody has a claim. */
struct directory_entry *directory_find(struct directory *d, struct bytes client_id);

size_t directory_count(struct directory *d); /* entries */
