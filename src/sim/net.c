/* sim/net.c: pipes of bytes with a place for each fault that TCP can show.
 *
 *     pipe   read          arrived           written        positions since the pipe was made
 *              v              v                 v
 *     bytes  . [ to be read   |   in transit    ]  end?      end: in order, or broken, or not yet
 *
 * Bytes become readable when the clock reaches their segment's time; segments arrive in order.  The
 * end of a pipe arrives after its last segment.  A broken pipe forgets what was not read. */
#include "sim/net.h"
#include "base/memory.h"
#include <errno.h>
#include <stdio.h>

enum { READY_MAX = 128, BIG_CHUNK = 16 };

enum pipe_end { PIPE_OPEN, PIPE_FINISHED, PIPE_BROKEN };

struct segment {
    uint64_t until; /* position */
    int64_t at_ns;
};

struct pipe {
    struct buffer bytes;    /* [read, written) */
    struct buffer segments; /* struct segment, those that have not arrived */
    size_t first_segment;
    uint64_t read, arrived, written;
    enum pipe_end end;
    int64_t end_ns, last_ns;
};

struct poller {
    struct net *net;
    struct list streams; /* watched */
    bool is_woken;
};

/* What the broker holds of a link, or of a listener. */
struct sim_stream {
    struct stream stream;
    struct list in_poller; /* linked: watched */
    unsigned interest;
    void *tag;
    struct net *net;
    struct link *link;             /* NULL: a listener */
    struct sim_listener *listener; /* NULL: a connection */
};

struct sim_listener {
    struct sim_stream held;
    struct list backlog; /* links, by in_backlog */
    size_t index;
};

enum link_left { CLIENT_IS_THERE, CLIENT_HAS_CLOSED, CLIENT_HAS_RESET, CLIENT_HAS_VANISHED };

struct link {
    struct list in_net, in_backlog;
    struct net *net;
    struct sim_stream held;
    uint32_t number;
    size_t capacity;
    int64_t connect_ns;
    struct pipe up, down; /* to and from the broker */
    enum link_left left;
    bool is_held;      /* by the broker */
    bool was_closed;   /* by the broker, or refused */
    bool is_forgotten; /* by the client */
    bool fault_was_seen;
    void *owner;
};

/* ------------------------------------------------------------------------------------ pipes --- */

/* The make-believe world may not run out of memory: its own failures would only hide others'. */
static void *must(void *block)
{
    assert(block != NULL);
    return block;
}

static int64_t arrival_ns(struct net *n, const struct pipe *p)
{
    int64_t at = n->world->now_ns;
    if (n->faults.delay_max_ns > 0)
        at += dice_time_ns(&n->dice, n->faults.delay_max_ns);
    return at > p->last_ns ? at : p->last_ns;
}

static void pipe_write(struct net *n, struct pipe *p, const void *data, size_t size)
{
    if (size == 0)
        return;
    memcpy(must(buffer_reserve(&p->bytes, size)), data, size);
    buffer_commit(&p->bytes, size);
    p->written += size;
    p->last_ns = arrival_ns(n, p);
    struct segment s = { p->written, p->last_ns };
    int result = buffer_append(&p->segments, bytes_of(&s, sizeof s));
    assert(result == 0);
}

static const struct segment *next_segment(const struct pipe *p)
{
    const struct segment *all = (const void *)p->segments.data;
    return p->first_segment * sizeof *all == p->segments.size ? NULL : &all[p->first_segment];
}

/* The clock has moved. */
static void pipe_update(struct pipe *p, int64_t now_ns)
{
    const struct segment *s;
    while ((s = next_segment(p)) != NULL && s->at_ns <= now_ns) {
        p->arrived = s->until;
        p->first_segment++;
    }
    if (s == NULL)
        p->segments.size = p->first_segment = 0;
}

static enum pipe_end pipe_end_now(const struct pipe *p, int64_t now_ns)
{
    return p->end_ns <= now_ns && next_segment(p) == NULL ? p->end : PIPE_OPEN;
}

static size_t pipe_readable(const struct pipe *p)
{
    return (size_t)(p->arrived - p->read);
}

static void pipe_read(struct pipe *p, void *out, size_t size)
{
    assert(size <= pipe_readable(p));
    if (size == 0)
        return;
    size_t before = p->bytes.size - (size_t)(p->written - p->read);
    memcpy(out, p->bytes.data + before, size);
    p->read += size;
    if (p->read == p->written)
        p->bytes.size = 0;
}

/* A random part of what is in transit will never arrive, and nothing after it. */
static void pipe_lose(struct net *n, struct pipe *p)
{
    pipe_update(p, n->world->now_ns);
    uint64_t in_transit = p->written - p->arrived;
    uint64_t lost = in_transit == 0 ? 0 : dice_next(&n->dice) % (in_transit + 1);
    if (dice_permille(&n->dice, 300))
        lost = in_transit;
    p->written -= lost;
    p->bytes.size -= lost;
    struct segment *all = (void *)p->segments.data;
    size_t count = p->segments.size / sizeof *all;
    while (count > p->first_segment && all[count - 1].until > p->written) {
        bool is_part = count - 1 == p->first_segment ? p->arrived < p->written
                                                     : all[count - 2].until < p->written;
        if (is_part)
            all[count - 1].until = p->written;
        else
            count--;
    }
    p->segments.size = count * sizeof *all;
}

static void pipe_end(struct net *n, struct pipe *p, enum pipe_end how)
{
    p->end = how;
    p->end_ns = p->last_ns = arrival_ns(n, p);
}

static void pipe_fini(struct pipe *p)
{
    buffer_fini(&p->bytes);
    buffer_fini(&p->segments);
}

/* ------------------------------------------------------------------------------------ links --- */

static void link_destroy(struct link *l)
{
    list_remove(&l->in_net);
    list_remove(&l->in_backlog);
    pipe_fini(&l->up);
    pipe_fini(&l->down);
    memory_free(l);
}

static void destroy_if_over(struct link *l)
{
    if (l->is_forgotten && l->was_closed)
        link_destroy(l);
}

static const struct stream_ops link_ops;

struct link *link_open(struct net *n, size_t listener, size_t capacity)
{
    assert(listener < NET_LISTENERS_MAX && capacity > 0);
    struct link *l = must(memory_alloc_zero(sizeof *l));
    l->net = n;
    l->number = ++n->link_count;
    l->capacity = capacity;
    l->held = (struct sim_stream){ .stream.ops = &link_ops, .net = n, .link = l };
    list_init(&l->held.in_poller);
    list_init(&l->in_net);
    list_init(&l->in_backlog);
    list_push_back(&n->links, &l->in_net);
    l->connect_ns = arrival_ns(n, &l->up);
    l->up.last_ns = l->connect_ns;
    if (n->listeners[listener] == NULL)
        l->was_closed = true; /* nobody listens any more, or just now */
    else
        list_push_back(&n->listeners[listener]->backlog, &l->in_backlog);
    return l;
}

uint32_t link_number(const struct link *l)
{
    return l->number;
}

void link_set_owner(struct link *l, void *owner)
{
    l->owner = owner;
}

void *link_owner(const struct link *l)
{
    return l->owner;
}

struct link *link_of_stream(const struct stream *s)
{
    return container_of(s, struct sim_stream, stream)->link;
}

struct stream *link_stream(struct link *l)
{
    return &l->held.stream;
}

void link_write(struct link *l, struct bytes bytes)
{
    assert(l->left == CLIENT_IS_THERE);
    if (!l->was_closed)
        pipe_write(l->net, &l->up, bytes.data, bytes.size);
}

size_t link_readable(const struct link *l)
{
    pipe_update(&((struct link *)l)->down, l->net->world->now_ns);
    return pipe_readable(&l->down);
}

size_t link_read(struct link *l, void *out, size_t size)
{
    size_t there = link_readable(l);
    if (size > there)
        size = there;
    pipe_read(&l->down, out, size);
    return size;
}

bool link_is_over(const struct link *l)
{
    return l->was_closed && link_readable(l) == 0 && next_segment(&l->down) == NULL &&
           l->down.end_ns <= l->net->world->now_ns;
}

bool link_is_held(const struct link *l)
{
    return l->is_held;
}

bool link_fault_was_seen(const struct link *l)
{
    return l->fault_was_seen;
}

static void leave(struct link *l, enum link_left how)
{
    assert(l->left == CLIENT_IS_THERE);
    l->left = how;
    if (how != CLIENT_HAS_CLOSED)
        pipe_lose(l->net, &l->up);
    if (how != CLIENT_HAS_VANISHED)
        pipe_end(l->net, &l->up, how == CLIENT_HAS_CLOSED ? PIPE_FINISHED : PIPE_BROKEN);
}

void link_close(struct link *l)
{
    leave(l, CLIENT_HAS_CLOSED);
}

void link_reset(struct link *l)
{
    leave(l, CLIENT_HAS_RESET);
}

void link_vanish(struct link *l)
{
    leave(l, CLIENT_HAS_VANISHED);
}

void link_forget(struct link *l)
{
    assert(l->left != CLIENT_IS_THERE);
    l->is_forgotten = true;
    destroy_if_over(l);
}

/* ----------------------------------------------------------- the broker's end: connections ---- */

static ssize_t link_recv(struct stream *stream, void *out, size_t size)
{
    struct link *l = link_of_stream(stream);
    struct net *n = l->net;
    if (n->is_broken)
        return -ECONNRESET;
    pipe_update(&l->up, n->world->now_ns);
    enum pipe_end end = pipe_end_now(&l->up, n->world->now_ns);
    size_t there = pipe_readable(&l->up);
    if (end == PIPE_BROKEN) {
        l->fault_was_seen = true;
        return -ECONNRESET;
    }
    if (there == 0 && end == PIPE_FINISHED) {
        l->fault_was_seen = true;
        return 0;
    }
    if (there == 0 || n->is_deaf || dice_permille(&n->dice, n->faults.nothing_now))
        return -EAGAIN;
    if (size > there)
        size = there;
    if (dice_permille(&n->dice, n->faults.recv_chops)) {
        size_t most = dice_permille(&n->dice, 500) && size > BIG_CHUNK ? BIG_CHUNK : size;
        size = 1 + dice_below(&n->dice, (uint32_t)most);
    }
    pipe_read(&l->up, out, size);
    return (ssize_t)size;
}

static size_t room_in(const struct link *l)
{
    size_t waiting = (size_t)(l->down.written - l->down.read);
    return waiting >= l->capacity ? 0 : l->capacity - waiting;
}

static size_t take(struct link *l, const struct iovec *parts, int count, size_t most)
{
    size_t taken = 0;
    world_hold_failures(l->net->world);
    for (int i = 0; i < count && taken < most; i++) {
        size_t size = parts[i].iov_len < most - taken ? parts[i].iov_len : most - taken;
        pipe_write(l->net, &l->down, parts[i].iov_base, size);
        taken += size;
    }
    world_resume_failures(l->net->world);
    return taken;
}

static ssize_t link_send(struct stream *stream, const struct iovec *parts, int count)
{
    struct link *l = link_of_stream(stream);
    struct net *n = l->net;
    if (n->is_broken)
        return -ECONNRESET;
    pipe_update(&l->up, n->world->now_ns);
    enum pipe_end end = pipe_end_now(&l->up, n->world->now_ns);
    if (end == PIPE_BROKEN) {
        l->fault_was_seen = true;
        return dice_permille(&n->dice, 500) ? -EPIPE : -ECONNRESET;
    }
    if (end == PIPE_FINISHED) /* whoever has closed answers with a reset */
        pipe_end(n, &l->up, PIPE_BROKEN);
    size_t offered = 0, room = room_in(l);
    for (int i = 0; i < count; i++)
        offered += parts[i].iov_len;
    assert(offered > 0);
    if (room == 0 || dice_permille(&n->dice, n->faults.nothing_now))
        return -EAGAIN;
    size_t most = offered < room ? offered : room;
    if (dice_permille(&n->dice, n->faults.send_chops))
        most = 1 + dice_below(&n->dice, (uint32_t)most);
    return (ssize_t)take(l, parts, count, most);
}

/* The broker is done with it, or never had it. */
static void end_for_broker(struct link *l)
{
    struct net *n = l->net;
    l->is_held = false;
    l->was_closed = true;
    if (dice_permille(&n->dice, n->faults.farewell_lost))
        pipe_lose(n, &l->down);
    pipe_end(n, &l->down, PIPE_FINISHED);
    destroy_if_over(l);
}

static void close_link(struct stream *stream)
{
    struct link *l = link_of_stream(stream);
    struct net *n = l->net;
    assert(l->is_held && n->stream_count > 0);
    list_remove(&l->held.in_poller);
    n->stream_count--;
    if (n->on_close != NULL)
        n->on_close(n->context, l);
    end_for_broker(l);
}

static int no_accept(struct stream *stream, struct stream **out)
{
    return -EINVAL;
}

static void link_name(const struct stream *stream, struct peer_name *out)
{
    snprintf(out->text, sizeof out->text, "192.0.2.1:%u", link_of_stream(stream)->number);
}

static const struct stream_ops link_ops = { link_recv, link_send, no_accept, link_name,
                                            close_link };

static unsigned link_ready(struct link *l)
{
    int64_t now = l->net->world->now_ns;
    unsigned ready = 0;
    pipe_update(&l->up, now);
    enum pipe_end end = pipe_end_now(&l->up, now);
    if ((pipe_readable(&l->up) > 0 && !l->net->is_deaf) || end != PIPE_OPEN)
        ready |= NET_READ;
    if (room_in(l) > 0 || end == PIPE_BROKEN)
        ready |= NET_WRITE;
    ready &= l->held.interest;
    if (end == PIPE_BROKEN)
        ready |= NET_HANGUP;
    return ready;
}

/* ------------------------------------------------------------- the broker's end: listeners ---- */

static ssize_t no_recv(struct stream *stream, void *out, size_t size)
{
    return -EINVAL;
}

static ssize_t no_send(struct stream *stream, const struct iovec *parts, int count)
{
    return -EINVAL;
}

static struct link *first_in_backlog(const struct sim_listener *listener)
{
    for (struct list *i = listener->backlog.next; i != &listener->backlog; i = i->next) {
        struct link *l = container_of(i, struct link, in_backlog);
        if (l->connect_ns <= listener->held.net->world->now_ns)
            return l;
    }
    return NULL;
}

/* Out of descriptors: the door may refuse one of those who wait. */
static int fail_to_accept(struct net *n, struct link *l)
{
    static const int errors[] = { -EMFILE, -ECONNABORTED, -EINTR };
    int error = errors[dice_below(&n->dice, 3)];
    if (error == -EINTR || (error == -EMFILE && dice_permille(&n->dice, 500)))
        return error;
    list_remove(&l->in_backlog);
    end_for_broker(l);
    return error;
}

static int accept_link(struct stream *stream, struct stream **out)
{
    struct sim_stream *held = container_of(stream, struct sim_stream, stream);
    struct net *n = held->net;
    struct link *l = first_in_backlog(held->listener);
    if (l == NULL)
        return -EAGAIN;
    if (dice_permille(&n->dice, n->faults.accept_fails))
        return fail_to_accept(n, l);
    list_remove(&l->in_backlog);
    l->is_held = true;
    n->stream_count++;
    *out = &l->held.stream;
    return 0;
}

static void close_listener(struct stream *stream)
{
    struct sim_stream *held = container_of(stream, struct sim_stream, stream);
    struct sim_listener *listener = held->listener;
    list_remove(&held->in_poller);
    held->net->listeners[listener->index] = NULL;
    held->net->stream_count--;
    for (struct list *i; (i = list_pop_front(&listener->backlog)) != NULL;)
        end_for_broker(container_of(i, struct link, in_backlog));
    memory_free(listener);
}

static void listener_name(const struct stream *stream, struct peer_name *out)
{
    snprintf(out->text, sizeof out->text, "ipv4");
}

static const struct stream_ops listener_ops = { no_recv, no_send, accept_link, listener_name,
                                                close_listener };

static int listen_door(const struct network *door, const struct listen_options *o,
                       struct stream **out, int max, const char **error_text)
{
    struct net *n = container_of(door, struct net, network);
    assert(n->listener_count < NET_LISTENERS_MAX && max > 0);
    struct sim_listener *l = must(memory_alloc_zero(sizeof *l));
    l->held = (struct sim_stream){ .stream.ops = &listener_ops, .net = n, .listener = l };
    list_init(&l->held.in_poller);
    list_init(&l->backlog);
    l->index = n->listener_count;
    n->listeners[n->listener_count++] = l;
    n->stream_count++;
    *out = &l->held.stream;
    return 1;
}

/* ---------------------------------------------------------------------------------- pollers --- */

static struct poller *poller_create(const struct network *door)
{
    struct net *n = container_of(door, struct net, network);
    struct poller *p = must(memory_alloc(sizeof *p));
    *p = (struct poller){ .net = n };
    list_init(&p->streams);
    n->poller_count++;
    return p;
}

static void poller_destroy(struct poller *p)
{
    if (p == NULL)
        return;
    assert(list_is_empty(&p->streams));
    p->net->poller_count--;
    memory_free(p);
}

static unsigned stream_ready(struct sim_stream *s)
{
    if (s->link != NULL)
        return link_ready(s->link);
    return first_in_backlog(s->listener) != NULL ? s->interest & NET_READ : 0;
}

bool poller_is_ready(const struct poller *p)
{
    if (p->is_woken)
        return true;
    for (struct list *i = p->streams.next; i != &p->streams; i = i->next)
        if (stream_ready(container_of(i, struct sim_stream, in_poller)) != 0)
            return true;
    return false;
}

/* In an order of its own each time, and not always all of them. */
static int poller_wait(struct poller *p, struct net_event *events, int max, int64_t timeout_ns)
{
    struct net_event ready[READY_MAX];
    struct dice *dice = &p->net->dice;
    uint32_t count = 0;
    p->is_woken = false;
    for (struct list *i = p->streams.next; i != &p->streams && count < READY_MAX; i = i->next) {
        struct sim_stream *s = container_of(i, struct sim_stream, in_poller);
        unsigned set = stream_ready(s);
        if ((set & NET_HANGUP) != 0)
            s->link->fault_was_seen = true;
        if (set != 0)
            ready[count++] = (struct net_event){ s->tag, set };
    }
    if (count > (uint32_t)max)
        count = (uint32_t)max;
    uint32_t wanted = count > 1 && dice_permille(dice, 300) ? 1 + dice_below(dice, count) : count;
    for (uint32_t i = 0; i < wanted; i++) {
        uint32_t other = i + dice_below(dice, count - i);
        events[i] = ready[other];
        ready[other] = ready[i];
    }
    return (int)wanted;
}

static void send_many(struct poller *p, struct net_send *sends, int count)
{
    net_send_each(sends, count);
}

static void poller_wake(struct poller *p)
{
    p->is_woken = true;
}

static int watch(struct poller *p, struct stream *stream, unsigned interest, void *tag)
{
    struct sim_stream *s = container_of(stream, struct sim_stream, stream);
    if (s->link != NULL && dice_permille(&p->net->dice, p->net->faults.watch_fails)) {
        s->link->fault_was_seen = true;
        return -ENOMEM;
    }
    if (list_is_empty(&s->in_poller))
        list_push_back(&p->streams, &s->in_poller);
    s->interest = interest;
    s->tag = tag;
    return 0;
}

static void unwatch(struct poller *p, struct stream *stream)
{
    list_remove(&container_of(stream, struct sim_stream, stream)->in_poller);
}

/* --------------------------------------------------------------------------------- the net ---- */

void net_init(struct net *n, struct world *world, uint64_t seed)
{
    *n = (struct net){
        .network = { poller_create, poller_destroy, poller_wait, poller_wake, watch, unwatch,
                     listen_door, send_many },
        .world = world,
        .dice = { seed },
    };
    list_init(&n->links);
    world->env.network = &n->network;
}

void net_fini(struct net *n)
{
    assert(n->stream_count == 0 && n->poller_count == 0);
    for (struct list *i, *next = n->links.next; (i = next) != &n->links;) {
        next = i->next;
        link_destroy(container_of(i, struct link, in_net));
    }
}

/* What is left after pipe_lose arrives now. */
static void hasten(struct net *n, struct pipe *p)
{
    pipe_lose(n, p);
    p->arrived = p->written;
    p->segments.size = p->first_segment = 0;
    p->last_ns = n->world->now_ns;
}

void net_break(struct net *n)
{
    n->is_broken = true;
    for (struct list *i = n->links.next; i != &n->links; i = i->next) {
        hasten(n, &container_of(i, struct link, in_net)->down);
    }
}

void net_mend(struct net *n)
{
    assert(n->stream_count == 0 && n->poller_count == 0);
    n->is_broken = n->is_deaf = false;
    n->listener_count = 0;
}

static int64_t pipe_next_ns(const struct pipe *p, int64_t now_ns)
{
    const struct segment *s = next_segment(p);
    if (s != NULL && s->at_ns > now_ns)
        return s->at_ns;
    return p->end != PIPE_OPEN && p->end_ns > now_ns ? p->end_ns : INT64_MAX;
}

int64_t net_next_arrival_ns(const struct net *n)
{
    int64_t now = n->world->now_ns, next = INT64_MAX;
    for (struct list *i = n->links.next; i != &n->links; i = i->next) {
        struct link *l = container_of(i, struct link, in_net);
        int64_t times[] = { pipe_next_ns(&l->up, now), pipe_next_ns(&l->down, now),
                            l->connect_ns > now ? l->connect_ns : INT64_MAX };
        for (int t = 0; t < 3; t++)
            if (times[t] < next && !(t == 0 && l->was_closed))
                next = times[t];
    }
    return next;
}
