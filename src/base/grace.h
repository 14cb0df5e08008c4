/* base/grace.h: when may memory that readers might still see be freed?
 *
 * Quiescent-state based reclamation.  Readers (workers) look at shared structures without locks
 * and announce once per turn that they hold no pointer into them; a writer that unlinked something
 * retires it, and it is freed after every reader has announced a quiescent state or is offline.
 *
 *     epoch  1    2    3    4    5          x is retired, and the epoch raised to 4
 *     A ---------------q----------q         A saw 3, then 5: has forgotten x
 *     B ------------------q                 B saw 3: x must wait
 *     C ----- offline                       does not count
 *
 * Why not liburcu: its state is global to the process (two servers in one process would meet),
 * its callbacks run on threads of their own (a simulation could not replay them), and the version
 * at hand is opaque to ThreadSanitizer.  This is the same idea in a page. */
#pragma once

#include <stddef.h>

struct grace;

struct grace *grace_create(size_t readers); /* NULL: no memory.  All readers start offline. */

/* Frees everything that is retired.  No reader may be online. */
void grace_destroy(struct grace *g);

/* Reader `reader` (an index): only from its own thread. */
void grace_online(struct grace *g, size_t reader);
void grace_quiescent(struct grace *g, size_t reader); /* online, and holding nothing */
void grace_offline(struct grace *g, size_t reader);

/* Any thread.  The block from base/memory.h that begins with this is freed by some thread, after a
 * grace period.  Never fails, and is cheap for the block: a pointer that nobody else needs. */
struct retired {
    struct retired *next;
};
void grace_retire(struct grace *g, struct retired *r);

/* Frees what may be freed now, at most 1024 blocks so that no turn is long.  Any thread;
 * cheap when there is nothing to do. */
void grace_collect(struct grace *g);
