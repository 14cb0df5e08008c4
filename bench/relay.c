/* bench/relay.c: the floor: what passing bytes on costs, when nobody looks at them.
 *
 *     P 3 94 --\                 /--> S 3 0      what a P says goes to every S of its stream,
 *     P 3 94 ---+-- stream 3 ---+               and what an S says to every P
 *
 * A client's first line says what it is, P or S, its stream, and the size of its messages; the
 * relay answers with an empty line.  From then on its bytes are bytes.  A size other than 0 keeps
 * messages whole, which matters when several speak to one: the rest of the last one waits.
 *
 * The loop is a broker's at its best: one read per event, everything that is to be sent to a client
 * in a turn goes out in one send at the turn's end.  No limit on what waits for a slow reader: this
 * is a measuring stick for programs that bound what is under way. */
#include "base/buffer.h"
#include "base/list.h"
#include "base/memory.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_SIZE = 256 * 1024,
    EVENTS_PER_TURN = 128,
    STREAMS_MAX = 20000,
    LINE_MAX_SIZE = 32,
};

struct client {
    struct list link;       /* in its stream's writers or readers */
    struct list dirty_link; /* has something to send */
    struct list *others;    /* who gets what it says; NULL: its line has not come yet */
    uint32_t message_size;
    int fd;
    bool waits_for_room;
    struct buffer in; /* its line, or the beginning of a message */
    struct buffer out;
    size_t out_sent;
};

struct stream {
    struct list writers, readers;
};

struct relay {
    int listen_fd, epoll_fd;
    struct stream streams[STREAMS_MAX];
    struct list dirty;
    uint8_t read_buffer[READ_SIZE];
};

static void __attribute__((noreturn)) die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(struct relay *r, struct client *c, int operation, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = c };
    if (epoll_ctl(r->epoll_fd, operation, c->fd, &event) != 0)
        die("epoll_ctl");
}

static void client_destroy(struct client *c)
{
    if (c->others != NULL)
        list_remove(&c->link);
    list_remove(&c->dirty_link);
    close(c->fd);
    buffer_fini(&c->in);
    buffer_fini(&c->out);
    memory_free(c);
}

static void say(struct relay *r, struct client *c, struct bytes bytes)
{
    if (buffer_append(&c->out, bytes) != 0)
        die("memory");
    if (list_is_empty(&c->dirty_link))
        list_push_back(&r->dirty, &c->dirty_link);
}

static void flush(struct relay *r, struct client *c)
{
    size_t size = c->out.size - c->out_sent;
    ssize_t sent = send(c->fd, c->out.data + c->out_sent, size, MSG_NOSIGNAL);
    c->out_sent += sent > 0 ? (size_t)sent : 0;
    bool is_done = c->out_sent == c->out.size;
    if (is_done)
        c->out.size = c->out_sent = 0;
    if (is_done == c->waits_for_room)
        watch(r, c, EPOLL_CTL_MOD, is_done ? EPOLLIN : EPOLLIN | EPOLLOUT);
    c->waits_for_room = !is_done;
}

/* "P 3 94\n" or "S 3 0\n": its place.  False: that was no such line. */
static bool on_line(struct relay *r, struct client *c, char *line)
{
    char role;
    unsigned stream, size;
    if (sscanf(line, "%c %u %u", &role, &stream, &size) != 3 || stream >= STREAMS_MAX)
        return false;
    struct stream *s = &r->streams[stream];
    list_push_back(role == 'P' ? &s->writers : &s->readers, &c->link);
    c->others = role == 'P' ? &s->readers : &s->writers;
    c->message_size = size;
    say(r, c, bytes_of_string("\n"));
    return true;
}

/* How much of this a client has now said for good. */
static size_t pass_on(struct relay *r, struct client *c, struct bytes in)
{
    size_t whole = c->message_size == 0 ? in.size : in.size - in.size % c->message_size;
    for (struct list *l = c->others->next; whole > 0 && l != c->others; l = l->next)
        say(r, container_of(l, struct client, link), (struct bytes){ in.data, whole });
    return whole;
}

static void on_readable(struct relay *r, struct client *c)
{
    size_t kept = c->in.size;
    if (kept > 0)
        memcpy(r->read_buffer, c->in.data, kept);
    ssize_t got = recv(c->fd, r->read_buffer + kept, READ_SIZE - kept, 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            client_destroy(c);
        return;
    }
    struct bytes in = { r->read_buffer, kept + (size_t)got };
    if (c->others == NULL) {
        char *end = memchr(r->read_buffer, '\n', in.size);
        if ((end == NULL && in.size >= LINE_MAX_SIZE) ||
            (end != NULL && !on_line(r, c, (char *)r->read_buffer))) {
            client_destroy(c);
            return;
        }
        in = end == NULL ? in : bytes_after(in, (size_t)(end + 1 - (char *)r->read_buffer));
    }
    if (c->others != NULL)
        in = bytes_after(in, pass_on(r, c, in));
    c->in.size = 0;
    if (buffer_append(&c->in, in) != 0)
        die("memory");
}

static void on_listener(struct relay *r)
{
    int fd, on = 1;
    while ((fd = accept4(r->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *c = memory_alloc_zero(sizeof *c);
        if (c == NULL || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
            die("accept");
        c->fd = fd;
        list_init(&c->link);
        list_init(&c->dirty_link);
        watch(r, c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void turn(struct relay *r)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int count = epoll_wait(r->epoll_fd, events, EVENTS_PER_TURN, -1);
    for (int i = 0; i < count; i++) {
        struct client *c = events[i].data.ptr;
        if (c == NULL)
            on_listener(r);
        else if ((events[i].events & EPOLLOUT) != 0 && list_is_empty(&c->dirty_link))
            list_push_back(&r->dirty, &c->dirty_link);
        if (c != NULL && (events[i].events & ~(uint32_t)EPOLLOUT) != 0)
            on_readable(r, c);
    }
    for (struct list *l; (l = list_pop_front(&r->dirty)) != NULL;)
        flush(r, container_of(l, struct client, dirty_link));
}

static void listen_on(struct relay *r, uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct epoll_event event = { .events = EPOLLIN };
    int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    r->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (r->listen_fd < 0 || r->epoll_fd < 0 ||
        setsockopt(r->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(r->listen_fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(r->listen_fd, SOMAXCONN) != 0 ||
        epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, r->listen_fd, &event) != 0)
        die("listen");
}

int main(int argc, char **argv)
{
    struct rlimit files;
    struct relay *r = memory_alloc_zero(sizeof *r);
    int port = argc == 3 && strcmp(argv[1], "-p") == 0 ? atoi(argv[2]) : 0;
    if (r == NULL || port <= 0 || port > 65535) {
        fputs("Usage: relay -p PORT\n", stderr);
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* accept will tell */
    }
    list_init(&r->dirty);
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        list_init(&r->streams[i].writers);
        list_init(&r->streams[i].readers);
    }
    listen_on(r, (uint16_t)port);
    for (;;)
        turn(r);
}
