/* broker/fuzz_world.c: four doors made of rings and counters.
 *
 * A link's slot is free again when both sides are done with it: the client has forgotten it, and
 * the server has closed its stream or never accepted it. */
#include "broker/fuzz_world.h"
#include "base/memory.h"
#include "broker/server.h"
#include "broker/storage.h"
#include "broker/worker.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct fuzz_room small_room = { 16, 16 * 1024, 64 * 1024 };

enum {
    ROUNDS_MAX = 500, /* of turns in which no byte moves; more than any honest work takes */
    STEPS_MAX = 300,  /* of time; a longer way ends with a leap */
    STORE_SEGMENT_SIZE = 64 * 1024, /* small, so that there are several */
};

#define MILLISECOND_NS INT64_C(1000000)
#define START_NS       (INT64_C(1000000) * MILLISECOND_NS)
#define START_WALL_NS  (INT64_C(1700000000000) * MILLISECOND_NS)

struct fuzz_stream {
    struct stream stream;
    struct fuzz_world *world;
    struct fuzz_link *link; /* NULL: a listener */
    unsigned listener;
    struct list in_poller; /* linked: watched */
    unsigned interest;
    void *tag;
};

struct poller {
    struct fuzz_world *world;
    struct list streams; /* watched */
    bool is_woken;
};

/* ------------------------------------------------------------------- clock, random, files ----- */

static int64_t monotonic_ns(const struct clock *clock)
{
    return container_of(clock, struct fuzz_world, clock)->now_ns;
}

static int64_t wall_ns(const struct clock *clock)
{
    return container_of(clock, struct fuzz_world, clock)->now_ns + START_WALL_NS;
}

/* The door is const; the state behind it is not. */
static void fill(const struct random *random, void *out, size_t size)
{
    struct fuzz_world *w = container_of(random, struct fuzz_world, random);
    for (size_t i = 0; i < size; i++) {
        w->random_state = w->random_state * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)out)[i] = (uint8_t)(w->random_state >> 56);
    }
}

static int no_file(const struct files *files, const char *path, struct buffer *out)
{
    return -ENOENT;
}

static void drop_line(struct log *log, enum log_type type, const char *line) {}

/* ------------------------------------------------------------------------------------ pipes --- */

static size_t pipe_write(struct fuzz_pipe *p, const void *data, size_t size)
{
    size_t room = p->capacity - p->size, end = (p->start + p->size) % p->capacity;
    if (size > room)
        size = room;
    size_t first = size < p->capacity - end ? size : p->capacity - end;
    if (size > 0) {
        memcpy(p->ring + end, data, first);
        memcpy(p->ring, (const uint8_t *)data + first, size - first);
    }
    p->size += size;
    return size;
}

static size_t pipe_read(struct fuzz_pipe *p, void *out, size_t size)
{
    if (size > p->size)
        size = p->size;
    size_t first = size < p->capacity - p->start ? size : p->capacity - p->start;
    if (size > 0) {
        memcpy(out, p->ring + p->start, first);
        memcpy((uint8_t *)out + first, p->ring, size - first);
    }
    p->start = (p->start + size) % p->capacity;
    p->size -= size;
    return size;
}

static void pipe_empty(struct fuzz_pipe *p)
{
    p->start = p->size = 0;
}

/* ------------------------------------------------------------------- the server's streams ----- */

static struct fuzz_stream *fuzz_stream(struct stream *stream)
{
    return container_of(stream, struct fuzz_stream, stream);
}

static size_t room_in(const struct fuzz_link *l)
{
    size_t window = l->window < l->down.capacity ? l->window : l->down.capacity;
    return l->down.size < window ? window - l->down.size : 0;
}

static ssize_t link_recv(struct stream *stream, void *out, size_t size)
{
    struct fuzz_link *l = fuzz_stream(stream)->link;
    l->world->door_calls++;
    if (l->is_reset)
        return -ECONNRESET;
    if (l->up.size == 0)
        return l->is_finished ? 0 : -EAGAIN;
    if (l->recv_max > 0 && size > l->recv_max)
        size = l->recv_max;
    size = pipe_read(&l->up, out, size);
    l->world->moved_bytes += size;
    return (ssize_t)size;
}

static ssize_t link_send(struct stream *stream, const struct iovec *parts, int count)
{
    struct fuzz_link *l = fuzz_stream(stream)->link;
    size_t sent = 0, room = room_in(l), offered = 0;
    l->world->door_calls++;
    if (l->is_reset)
        return -EPIPE;
    for (int i = 0; i < count; i++) {
        size_t now = parts[i].iov_len < room - sent ? parts[i].iov_len : room - sent;
        offered += parts[i].iov_len;
        /* whoever does not look any more does not mind what comes */
        sent += l->is_used ? pipe_write(&l->down, parts[i].iov_base, now) : now;
    }
    assert(offered > 0);
    l->world->moved_bytes += sent;
    return sent == 0 ? -EAGAIN : (ssize_t)sent;
}

static void stream_close(struct stream *stream)
{
    struct fuzz_stream *s = fuzz_stream(stream);
    list_remove(&s->in_poller);
    if (s->link != NULL)
        s->link->held = NULL;
    s->world->stream_count--;
    s->world->door_calls++;
    memory_free(s);
}

static ssize_t no_recv(struct stream *stream, void *out, size_t size)
{
    return -EINVAL;
}

static ssize_t no_send(struct stream *stream, const struct iovec *parts, int count)
{
    return -EINVAL;
}

static int no_accept(struct stream *stream, struct stream **out)
{
    return -EINVAL;
}

static struct fuzz_stream *stream_create(struct fuzz_world *w, const struct stream_ops *ops)
{
    struct fuzz_stream *s = memory_alloc_zero(sizeof *s);
    if (s == NULL)
        return NULL;
    s->stream.ops = ops;
    s->world = w;
    list_init(&s->in_poller);
    w->stream_count++;
    return s;
}

static bool fails_now(unsigned *countdown)
{
    return *countdown > 0 && --*countdown == 0;
}

static struct fuzz_link *first_waiting(struct fuzz_world *w, unsigned listener)
{
    for (unsigned i = 0; i < w->link_count; i++)
        if (w->links[i].is_waiting && w->links[i].listener == listener)
            return &w->links[i];
    return NULL;
}

static void stream_name(const struct stream *stream, struct peer_name *out)
{
    const struct fuzz_stream *s = (const struct fuzz_stream *)stream;
    if (s->link == NULL)
        snprintf(out->text, sizeof out->text, "ipv4");
    else
        snprintf(out->text, sizeof out->text, "192.0.2.1:%u",
                 40000 + (unsigned)(s->link - s->world->links));
}

static const struct stream_ops link_ops = { link_recv, link_send, no_accept, stream_name,
                                            stream_close };

static int link_accept(struct stream *stream, struct stream **out)
{
    struct fuzz_stream *listener = fuzz_stream(stream);
    struct fuzz_world *w = listener->world;
    struct fuzz_link *l = first_waiting(w, listener->listener);
    w->door_calls++;
    if (l == NULL)
        return -EAGAIN;
    if (fails_now(&w->accept_fails_in))
        return -EMFILE;
    l->is_waiting = false; /* if what follows fails, the connection is closed */
    struct fuzz_stream *s = stream_create(w, &link_ops);
    if (s == NULL)
        return -ENOMEM;
    s->link = l;
    l->held = s;
    *out = &s->stream;
    return 0;
}

static const struct stream_ops listener_ops = { no_recv, no_send, link_accept, stream_name,
                                                stream_close };

static int network_listen(const struct network *network, const struct listen_options *o,
                          struct stream **out, int max, const char **error_text)
{
    struct fuzz_world *w = container_of(network, struct fuzz_world, network);
    struct fuzz_stream *s = stream_create(w, &listener_ops);
    *error_text = "listen";
    if (s == NULL)
        return -ENOMEM;
    assert(w->listener_count < FUZZ_LISTENERS_MAX && max > 0);
    s->listener = w->listener_count++;
    *out = &s->stream;
    return 1;
}

/* ---------------------------------------------------------------------------------- pollers --- */

static struct poller *poller_create(const struct network *network)
{
    struct poller *p = memory_alloc(sizeof *p);
    if (p == NULL)
        return NULL;
    *p = (struct poller){ .world = container_of(network, struct fuzz_world, network) };
    list_init(&p->streams);
    p->world->poller_count++;
    return p;
}

static void poller_destroy(struct poller *p)
{
    if (p == NULL)
        return;
    assert(list_is_empty(&p->streams));
    p->world->poller_count--;
    memory_free(p);
}

static unsigned ready_of(struct fuzz_stream *s)
{
    const struct fuzz_link *l = s->link;
    unsigned ready = 0;
    if (l == NULL)
        return first_waiting(s->world, s->listener) != NULL ? s->interest & NET_READ : 0;
    if (l->up.size > 0 || l->is_finished || l->is_reset)
        ready |= NET_READ;
    if (room_in(l) > 0 || l->is_reset)
        ready |= NET_WRITE;
    return (ready & s->interest) | (l->is_reset ? NET_HANGUP : 0);
}

static int poller_wait(struct poller *p, struct net_event *events, int max, int64_t timeout_ns)
{
    int count = 0;
    p->is_woken = false;
    p->world->door_calls++;
    for (struct list *i = p->streams.next; i != &p->streams && count < max; i = i->next) {
        struct fuzz_stream *s = container_of(i, struct fuzz_stream, in_poller);
        unsigned ready = ready_of(s);
        if (ready != 0)
            events[count++] = (struct net_event){ s->tag, ready };
    }
    return count;
}

static void send_many(struct poller *p, struct net_send *sends, int count)
{
    net_send_each(sends, count);
}

static void poller_wake(struct poller *p)
{
    p->is_woken = true;
    p->world->door_calls++;
}

static int watch(struct poller *p, struct stream *stream, unsigned interest, void *tag)
{
    struct fuzz_stream *s = fuzz_stream(stream);
    p->world->door_calls++;
    if (fails_now(&p->world->watch_fails_in))
        return -ENOSPC;
    if (list_is_empty(&s->in_poller))
        list_push_back(&p->streams, &s->in_poller);
    s->interest = interest;
    s->tag = tag;
    return 0;
}

static void unwatch(struct poller *p, struct stream *stream)
{
    struct fuzz_stream *s = fuzz_stream(stream);
    p->world->door_calls += !list_is_empty(&s->in_poller);
    list_remove(&s->in_poller);
}

static bool is_ready(const struct poller *p)
{
    bool ready = p->is_woken;
    for (struct list *i = p->streams.next; i != &p->streams && !ready; i = i->next)
        ready = ready_of(container_of(i, struct fuzz_stream, in_poller)) != 0;
    return ready;
}

/* ------------------------------------------------------------------------ the clients' ends --- */

static bool is_free(const struct fuzz_link *l)
{
    return !l->is_used && l->held == NULL && !l->is_waiting;
}

struct fuzz_link *fuzz_link_open(struct fuzz_world *w, unsigned listener)
{
    struct fuzz_link *l = w->links;
    while (l < w->links + w->link_count && !is_free(l))
        l++;
    if (l == w->links + w->link_count)
        return NULL;
    pipe_empty(&l->up);
    pipe_empty(&l->down);
    l->listener = listener;
    l->is_used = l->is_waiting = true;
    l->is_finished = l->is_reset = false;
    l->recv_max = 0;
    l->window = SIZE_MAX;
    return l;
}

size_t fuzz_link_write(struct fuzz_link *l, struct bytes bytes)
{
    bool is_heard = (l->is_waiting || l->held != NULL) && !l->is_finished && !l->is_reset;
    return is_heard ? pipe_write(&l->up, bytes.data, bytes.size) : 0;
}

size_t fuzz_link_read(struct fuzz_link *l, void *out, size_t size)
{
    return pipe_read(&l->down, out, size);
}

bool fuzz_link_is_over(const struct fuzz_link *l)
{
    return l->held == NULL && !l->is_waiting && l->down.size == 0;
}

bool fuzz_link_is_held_by(const struct fuzz_link *l, const struct stream *stream)
{
    return l->held != NULL && &l->held->stream == stream;
}

void fuzz_link_finish(struct fuzz_link *l)
{
    l->is_finished = true;
}

void fuzz_link_reset(struct fuzz_link *l)
{
    l->is_reset = true;
    pipe_empty(&l->up);
    pipe_empty(&l->down);
}

void fuzz_link_forget(struct fuzz_link *l)
{
    l->is_finished = true;
    l->is_used = false;
    pipe_empty(&l->down);
}

/* ------------------------------------------------------------------------------- the world ---- */

struct fuzz_world *fuzz_world_create(uint64_t seed)
{
    return fuzz_world_create_large(seed, small_room);
}

struct fuzz_world *fuzz_world_create_large(uint64_t seed, struct fuzz_room room)
{
    /* malloc: not one of the allocations that a sweep counts, nor may it fail */
    struct fuzz_world *w = malloc(sizeof *w);
    size_t ring_size = room.up_size + room.down_size;
    assert(w != NULL);
    *w = (struct fuzz_world){
        .clock = { monotonic_ns, wall_ns },
        .random = { fill },
        .files = { no_file, no_file },
        .network = { poller_create, poller_destroy, poller_wait, poller_wake, watch, unwatch,
                     network_listen, send_many },
        .log = { LOG_TYPE_ALL, drop_line },
        .now_ns = START_NS,
        .storage_due_ns = INT64_MAX,
        .random_state = seed,
        .links = calloc(room.links, sizeof *w->links),
        .link_count = room.links,
        .rings = malloc(room.links * ring_size),
    };
    assert(w->links != NULL && w->rings != NULL);
    w->env = (struct env){ &w->clock, &w->random, &w->files, &w->network };
    for (size_t i = 0; i < room.links; i++) {
        uint8_t *ring = w->rings + i * ring_size;
        w->links[i].world = w;
        w->links[i].up = (struct fuzz_pipe){ .ring = ring, .capacity = room.up_size };
        w->links[i].down =
            (struct fuzz_pipe){ .ring = ring + room.up_size, .capacity = room.down_size };
    }
    return w;
}

void fuzz_world_configure(struct fuzz_world *w, const char *text)
{
    struct config_error error = { 0 };
    struct config **config = &w->configs[w->config_count];
    assert(w->config_count < FUZZ_CONFIGS_MAX);
    memory_fail_at(0);
    int result =
        config_parse(&w->env, bytes_of_string(text), "test.conf", NULL, NULL, config, &error);
    if (result != 0)
        fprintf(stderr, "test.conf:%d: %s\n", error.line, error.text);
    assert(result == 0 && (*config)->listener_count == 1);
    w->config_count++;
    if (w->server != NULL)
        server_set_config(w->server, *config);
}

void fuzz_world_use_files(struct fuzz_world *w, const struct files *files)
{
    w->env.files = files;
}

int fuzz_world_start(struct fuzz_world *w, unsigned workers)
{
    assert(w->config_count > 0);
    w->server = server_create(&w->env, w->configs[w->config_count - 1], &w->log, workers);
    if (w->server == NULL)
        return -ENOMEM;
    w->server->store_segment_size = STORE_SEGMENT_SIZE;
    int result = server_open_store(w->server);
    if (result == 0)
        result = server_listen(w->server);
    if (result == 0)
        return 0;
    server_destroy(w->server);
    w->server = NULL;
    return result;
}

/* --------------------------------------------------------------------------------- turning ---- */

void fuzz_world_turn(struct fuzz_world *w, unsigned worker)
{
    if (w->server->workers[worker]->phase != WORKER_STOPPED)
        worker_turn(w->server->workers[worker], 0);
}

static bool is_at_rest(const struct fuzz_world *w, unsigned index)
{
    const struct worker *worker = w->server->workers[index];
    return worker->phase == WORKER_STOPPED ||
           (worker_is_idle(worker) && !is_ready(worker->poller) &&
            staging_due_ns(worker) > worker->now_ns);
}

static bool turn_storage(struct fuzz_world *w)
{
    struct storage *st = w->server->storage;
    if (st == NULL)
        return false;
    bool had_work = storage_turn(st);
    int64_t wait_ns = storage_wait_ns(st);
    w->storage_due_ns = wait_ns == INT64_MAX ? INT64_MAX : w->now_ns + wait_ns;
    return had_work;
}

void fuzz_world_turn_storage(struct fuzz_world *w)
{
    (void)turn_storage(w);
}

/* Only if its thread would wake up: another turn could bring to the disk what waits for nobody. */
static bool storage_is_wanted(const struct fuzz_world *w)
{
    bool wanted = w->now_ns >= w->storage_due_ns;
    for (unsigned i = 0; i < w->server->worker_count; i++)
        wanted = wanted || w->server->workers[i]->staging.under_way != NULL;
    return wanted && !w->holds_storage;
}

/* How many had something to do. */
static unsigned turn_busy(struct fuzz_world *w)
{
    unsigned count = 0;
    for (unsigned i = 0; i < w->server->worker_count; i++) {
        if (!is_at_rest(w, i)) {
            fuzz_world_turn(w, i);
            count++;
        }
    }
    if (storage_is_wanted(w))
        count += turn_storage(w);
    return count;
}

void fuzz_world_run(struct fuzz_world *w)
{
    int rounds = 0;
    for (uint64_t before = w->moved_bytes; turn_busy(w) > 0; before = w->moved_bytes) {
        rounds = w->moved_bytes == before ? rounds + 1 : 0;
        assert(rounds < ROUNDS_MAX); /* else they keep each other busy with nothing */
    }
}

void fuzz_world_settle(struct fuzz_world *w)
{
    for (unsigned i = 0; i < w->server->worker_count; i++)
        fuzz_world_turn(w, i);
    fuzz_world_run(w);
    fuzz_world_check(w);
}

void fuzz_world_check(const struct fuzz_world *w)
{
    for (unsigned i = 0; i < w->server->worker_count; i++)
        worker_check(w->server->workers[i]);
    router_check(w->server->router);
}

static int64_t wait_of_all(const struct fuzz_world *w)
{
    int64_t least = INT64_MAX;
    if (w->storage_due_ns != INT64_MAX && !w->holds_storage)
        least = w->storage_due_ns - w->now_ns;
    for (unsigned i = 0; i < w->server->worker_count; i++) {
        const struct worker *worker = w->server->workers[i];
        int64_t wait = worker->phase == WORKER_STOPPED ? INT64_MAX : worker_wait_ns(worker);
        if (wait < least)
            least = wait;
    }
    return least;
}

void fuzz_world_pass(struct fuzz_world *w, int64_t ns)
{
    for (int steps = 0; ns > 0; steps++) {
        int64_t step = wait_of_all(w);
        if (step < MILLISECOND_NS)
            step = MILLISECOND_NS;
        if (step > ns || steps == STEPS_MAX)
            step = ns;
        w->now_ns += step;
        ns -= step;
        fuzz_world_settle(w);
    }
}

void fuzz_world_stop(struct fuzz_world *w)
{
    server_stop(w->server);
    fuzz_world_settle(w);
    for (int steps = 0; !server_is_stopped(w->server); steps++) {
        assert(steps < STEPS_MAX);
        w->now_ns += (steps < 10 ? 5 : 100) * MILLISECOND_NS;
        fuzz_world_settle(w);
    }
    storage_stop(w->server->storage);
    server_destroy(w->server);
    w->server = NULL;
    w->storage_due_ns = INT64_MAX;
}

void fuzz_world_destroy(struct fuzz_world *w)
{
    assert(w->server == NULL && w->stream_count == 0 && w->poller_count == 0);
    for (unsigned i = 0; i < w->config_count; i++)
        config_destroy(w->configs[i]);
    free(w->rings);
    free(w->links);
    free(w);
}
