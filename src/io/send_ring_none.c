/* io/send_ring_none.c: a build without io_uring. */
#include "io/send_ring.h"
#include <assert.h>
#include <stddef.h>

struct send_ring *send_ring_create(void)
{
    return NULL;
}

void send_ring_destroy(struct send_ring *r)
{
    assert(r == NULL);
}

void send_ring_add(struct send_ring *r, int fd, const struct iovec *parts, int count,
                   ssize_t *result)
{
    assert(r != NULL); /* there is none */
}

void send_ring_run(struct send_ring *r)
{
    assert(r != NULL);
}
