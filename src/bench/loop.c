/* bench/loop.c: the turn, and where the broker is.
 *
 *     dirty peers --> on_dirty, send --> wait --> readable peers --> on_packet --+
 *          ^                                                                     |
 *          +------------------------ what that gave them to say -----------------+
 *
 * Waiting is exact to some microseconds (epoll_pwait2, and no slack for this thread's timers), so
 * that a message of the open loop goes out when it should without anybody spinning: the broker
 * needs the processor, too. */
#include "bench/fail.h"
#include "bench/peer_io.h"

#include "base/memory.h"
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_PER_TURN = 128, STALL_S = 30 };

int64_t loop_now(struct loop *l)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* a clock that is always there */
    l->now_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    return l->now_ns;
}

/* Of several addresses the first at which somebody listens. */
static bool is_listening(const struct addrinfo *at)
{
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_there = fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) == 0;
    if (fd >= 0)
        (void)close(fd); /* nothing was sent */
    return is_there;
}

static void look_up(struct loop *l)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all;
    char port[12];
    (void)snprintf(port, sizeof port, "%d", l->target->port); /* fits */
    int why = getaddrinfo(l->target->host, port, &hints, &all);
    if (why != 0)
        bench_fail("%s: %s", l->target->host, gai_strerror(why));
    const struct addrinfo *at = all;
    while (at->ai_next != NULL && !is_listening(at))
        at = at->ai_next;
    memcpy(&l->address, at->ai_addr, at->ai_addrlen);
    l->address_size = at->ai_addrlen;
    freeaddrinfo(all);
}

void loop_init(struct loop *l, const struct bench_target *target, void *owner)
{
    *l = (struct loop){ .target = target, .owner = owner };
    l->version = target->is_relay ? VERSION_3_1_1 : target->version;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0)
        bench_fail("epoll_create1: %s", strerror(errno));
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* else waits are 50 us too long, no more */
    list_init(&l->dirty);
    l->read_buffer = bench_alloc(1, READ_HEADROOM + READ_SIZE);
    look_up(l);
    loop_now(l);
}

void loop_fini(struct loop *l)
{
    assert(l->opening == 0 && l->open == 0);
    (void)close(l->epoll_fd); /* nothing is in it */
    memory_free(l->read_buffer);
}

/* What peers have to say in this turn goes out in one send each. */
static void flush_dirty(struct loop *l)
{
    for (struct list *link; (link = l->dirty.next) != &l->dirty;) {
        struct peer *p = container_of(link, struct peer, dirty_link);
        if (p->ops->on_dirty != NULL && p->state == PEER_OPEN)
            p->ops->on_dirty(p);
        list_remove(link);
        peer_flush(p);
    }
}

static struct timespec time_left(struct loop *l, int64_t until_ns)
{
    if (until_ns == INT64_MAX)
        return (struct timespec){ .tv_sec = STALL_S };
    int64_t left = until_ns - loop_now(l);
    if (left < 0)
        left = 0;
    return (struct timespec){ .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };
}

void loop_turn(struct loop *l, int64_t until_ns)
{
    struct epoll_event events[EVENTS_PER_TURN];
    assert(!l->is_handling);
    l->is_handling = true;
    flush_dirty(l);
    struct timespec left = time_left(l, until_ns);
    int count = epoll_pwait2(l->epoll_fd, events, EVENTS_PER_TURN, &left, NULL);
    if (count < 0 && errno != EINTR)
        bench_fail("epoll_pwait2: %s", strerror(errno));
    if (count == 0 && until_ns == INT64_MAX)
        bench_fail("nothing happened for %d s", STALL_S);
    for (int i = 0; i < count; i++)
        peer_on_events(events[i].data.ptr, events[i].events);
    l->is_handling = false;
}
