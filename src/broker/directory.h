/* broker/directory.h: which worker has the Session of this Client Identifier?
 *
 * 64 shards with a lock each; one look-up per CONNECT, none per message.  An entry lives as long as
 * somebody holds a claim on it: the Session does, and so does every CONNECT on its way to the
 * Session's worker.  So two CONNECTs with one Client Identifier always meet at one worker, and no
 * Session can exist twice.  Any worker. */
#pragma once

#include "base/bytes.h"

struct directory;

struct directory *directory_create(uint64_t seed); /* NULL: no memory */
void directory_destroy(struct directory *d);       /* NULL is fine; no claim may be left */

/* Takes a claim.  *worker is the owner: the one that others' claims name, or `preferred` if this
 * is the first.  0 or -ENOMEM. */
int directory_claim(struct directory *d, struct bytes client_id, unsigned preferred,
                    unsigned *worker);
void directory_release(struct directory *d, struct bytes client_id); /* gives one claim back */

size_t directory_count(struct directory *d); /* entries */
