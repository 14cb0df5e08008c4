/* io/send_ring.h: many sends in one system call, where the kernel has io_uring and we may use it.
 */
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

struct send_ring;

/* NULL: no memory, or io_uring is missing, forbidden, or left out of this build. */
struct send_ring *send_ring_create(void);
void send_ring_destroy(struct send_ring *r); /* any thread, after the last run */

/* Adds one: what sendmsg on fd would do, without waiting.  The parts and *result must stay until
 * the next run is over; by then *result is what sendmsg would return, or a negative errno. */
void send_ring_add(struct send_ring *r, int fd, const struct iovec *parts, int count,
                   ssize_t *result);

/* Does them all.  Nothing is under way any more when it returns. */
void send_ring_run(struct send_ring *r);
