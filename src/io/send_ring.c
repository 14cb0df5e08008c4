/* io/send_ring.c: an io_uring that only sends.
 *
 *     add, add, add ...   one entry each; nothing happens yet
 *     run                 one io_uring_enter does them all, in order, and their results are read
 *
 * No send ever waits (MSG_DONTWAIT), so each one is over when the call returns, and short sends and
 * -EAGAIN mean what they mean for sendmsg.  Nothing of the ring outlives a run: sockets are closed,
 * queues are freed without asking it. */
#include "io/send_ring.h"
#include "base/memory.h"
#include <assert.h>
#include <errno.h>
#include <liburing.h>

enum { ENTRIES = 128 };

struct send_ring {
    struct io_uring ring;
    unsigned count; /* added since the last run */
    ssize_t *results[ENTRIES];
    struct msghdr messages[ENTRIES]; /* of sends with several parts */
};

struct send_ring *send_ring_create(void)
{
    struct send_ring *r = memory_alloc(sizeof *r);
    if (r == NULL)
        return NULL;
    if (io_uring_queue_init(ENTRIES, &r->ring, 0) != 0) {
        memory_free(r);
        return NULL;
    }
    (void)io_uring_register_ring_fd(&r->ring); /* without it, it is a little slower */
    r->count = 0;
    return r;
}

void send_ring_destroy(struct send_ring *r)
{
    if (r == NULL)
        return;
    io_uring_queue_exit(&r->ring);
    memory_free(r);
}

void send_ring_add(struct send_ring *r, int fd, const struct iovec *parts, int count,
                   ssize_t *result)
{
    if (r->count == ENTRIES)
        send_ring_run(r);
    struct io_uring_sqe *entry = io_uring_get_sqe(&r->ring);
    unsigned index = r->count++;
    assert(entry != NULL); /* all are free after a run */
    if (count == 1) {
        io_uring_prep_send(entry, fd, parts[0].iov_base, parts[0].iov_len,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
        r->messages[index] =
            (struct msghdr){ .msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count };
        io_uring_prep_sendmsg(entry, fd, &r->messages[index], MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    io_uring_sqe_set_data64(entry, index);
    r->results[index] = result;
}

/* Results into their places.  How many. */
static unsigned read_results(struct send_ring *r)
{
    struct io_uring_cqe *done;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&r->ring, head, done)
    {
        *r->results[done->user_data] = done->res;
        count++;
    }
    io_uring_cq_advance(&r->ring, count);
    return count;
}

/* Once, but for signals and moments without kernel memory. */
void send_ring_run(struct send_ring *r)
{
    while (r->count > 0) {
        int taken = io_uring_submit_and_wait(&r->ring, r->count);
        assert(taken >= 0 || taken == -EINTR || taken == -EAGAIN || taken == -EBUSY);
        r->count -= read_results(r);
    }
}
