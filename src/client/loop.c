/* client/loop.c: one socket, one poll.
 *
 *     poll( socket, the wake-up descriptor, the caller's descriptor )
 *       |
 *       +-- readable:  recv -> chappe_client_receive -> chappe_client_next until it is false
 *       +-- writable:  chappe_client_output -> send -> chappe_client_sent
 *
 * The wake-up descriptor is an eventfd: writing to it is all that chappe_loop_stop does, so a
 * signal handler may. */
#include "chappe/loop.h"
#include "base/memory.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    LINGER_MS = 1000, /* for the Server to close after we have said all */
    PORT_DEFAULT = 1883,
    CONNECT_TIMEOUT_MS_DEFAULT = 30000,
    READ_SIZE = 64 * 1024,
};

struct chappe_loop {
    struct chappe_client *client;
    char *host, *unix_path, *bind_address; /* ours; host is never NULL */
    uint16_t port;
    bool nodelay;
    uint32_t connect_timeout_ms, reconnect_min_ms, reconnect_max_ms;

    int socket; /* -1: none */
    int wake;
    int watched;       /* -1: none */
    bool is_lingering; /* all is said, the Server may close; at linger_ns we do */
    bool is_lost;      /* and to be connected again, at reconnect_ns */
    uint32_t delay_ms; /* of the next attempt but one */
    int64_t linger_ns, reconnect_ns;
    uint8_t read_buffer[READ_SIZE];
};

/* --------------------------------------------------------------------------------- life ------ */

int64_t chappe_loop_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now); /* a known clock: cannot fail */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static char *copy_text(const char *text)
{
    return memory_copy(text, strlen(text) + 1);
}

static bool copy_options(struct chappe_loop *l, const struct chappe_loop_options *o)
{
    l->port = o->port == 0 ? PORT_DEFAULT : o->port;
    l->nodelay = o->nodelay;
    l->connect_timeout_ms =
        o->connect_timeout_ms == 0 ? CONNECT_TIMEOUT_MS_DEFAULT : o->connect_timeout_ms;
    l->reconnect_min_ms = o->reconnect_min_ms == 0 ? 1000 : o->reconnect_min_ms;
    l->reconnect_max_ms = o->reconnect_max_ms;
    l->host = copy_text(o->host == NULL ? "localhost" : o->host);
    l->unix_path = o->unix_path == NULL ? NULL : copy_text(o->unix_path);
    l->bind_address = o->bind_address == NULL ? NULL : copy_text(o->bind_address);
    return l->host != NULL && (l->unix_path != NULL) == (o->unix_path != NULL) &&
           (l->bind_address != NULL) == (o->bind_address != NULL);
}

int chappe_loop_create(struct chappe_client *client, const struct chappe_loop_options *options,
                       struct chappe_loop **loop)
{
    struct chappe_loop *l = memory_alloc_zero(sizeof *l);
    if (l == NULL)
        return -ENOMEM;
    l->client = client;
    l->socket = l->wake = l->watched = -1;
    if (!copy_options(l, options)) {
        chappe_loop_destroy(l);
        return -ENOMEM;
    }
    l->delay_ms = l->reconnect_min_ms;
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake < 0) {
        int failure = -errno;
        chappe_loop_destroy(l);
        return failure;
    }
    *loop = l;
    return 0;
}

static void close_socket(struct chappe_loop *l)
{
    if (l->socket >= 0)
        (void)close(l->socket); /* nothing we could do about a failure */
    l->socket = -1;
}

void chappe_loop_destroy(struct chappe_loop *l)
{
    if (l == NULL)
        return;
    if (l->socket >= 0)
        chappe_client_closed(l->client, -ECANCELED);
    close_socket(l);
    if (l->wake >= 0)
        (void)close(l->wake); /* as above */
    memory_free(l->host);
    memory_free(l->unix_path);
    memory_free(l->bind_address);
    memory_free(l);
}

void chappe_loop_stop(struct chappe_loop *l)
{
    int saved = errno; /* a signal handler must leave no trace */
    uint64_t one = 1;
    (void)!write(l->wake, &one, sizeof one); /* full means that it is already written to */
    errno = saved;
}

void chappe_loop_watch(struct chappe_loop *l, int fd)
{
    l->watched = fd;
}

/* -------------------------------------------------------------------------- connecting ------ */

static int lookup_failure(int code)
{
    switch (code) {
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return -errno;
    }
    return -ENODATA;
}

static int lookup(const char *host, uint16_t port, int family, struct addrinfo **out)
{
    char service[8];
    struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
    (void)snprintf(service, sizeof service, "%u", (unsigned)port);
    int code = getaddrinfo(host, service, &hints, out);
    if (code != 0 && strcmp(host, "localhost") == 0) { /* a machine without /etc/hosts */
        hints.ai_flags = AI_NUMERICHOST;
        code = getaddrinfo(family == AF_INET6 ? "::1" : "127.0.0.1", service, &hints, out);
    }
    return code == 0 ? 0 : lookup_failure(code);
}

static int bind_to(int fd, const char *address, int family)
{
    struct addrinfo *locals;
    int failure = lookup(address, 0, family, &locals);
    if (failure != 0)
        return failure;
    if (bind(fd, locals->ai_addr, locals->ai_addrlen) != 0)
        failure = -errno;
    freeaddrinfo(locals);
    return failure;
}

/* Milliseconds until then, rounded up, as poll wants them; -1: for ever. */
static int until_ms(int64_t deadline_ns)
{
    if (deadline_ns == CHAPPE_NEVER)
        return -1;
    int64_t left_ns = deadline_ns - chappe_loop_now_ns();
    if (left_ns <= 0)
        return 0;
    int64_t left_ms = (left_ns - 1) / 1000000 + 1;
    return left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
}

static int wait_connected(int fd, int64_t deadline_ns)
{
    struct pollfd ready = { .fd = fd, .events = POLLOUT };
    int count;
    do
        count = poll(&ready, 1, until_ms(deadline_ns));
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return -errno;
    if (count == 0)
        return -ETIMEDOUT;
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        return -errno;
    return -error;
}

/* A connected, non-blocking socket, or a negative errno. */
static int connect_to(const struct chappe_loop *l, const struct sockaddr *address, socklen_t size,
                      int64_t deadline_ns)
{
    int family = address->sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int one = 1, failure = 0;
    if (l->bind_address != NULL && family != AF_UNIX)
        failure = bind_to(fd, l->bind_address, family);
    if (failure == 0 && l->nodelay && family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* works without, too */
    if (failure == 0 && connect(fd, address, size) != 0)
        failure = errno == EINPROGRESS ? wait_connected(fd, deadline_ns) : -errno;
    if (failure == 0)
        return fd;
    (void)close(fd); /* never was connected */
    return failure;
}

static int connect_unix(const struct chappe_loop *l, int64_t deadline_ns)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t size = strlen(l->unix_path);
    if (size >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, l->unix_path, size + 1);
    return connect_to(l, (struct sockaddr *)&address, sizeof address, deadline_ns);
}

/* The addresses of the name one after the other, until one answers. */
static int connect_host(const struct chappe_loop *l, int64_t deadline_ns)
{
    struct addrinfo *addresses;
    int result = lookup(l->host, l->port, AF_UNSPEC, &addresses);
    if (result != 0)
        return result;
    result = -ENODATA;
    for (struct addrinfo *a = addresses; a != NULL; a = a->ai_next) {
        result = connect_to(l, a->ai_addr, a->ai_addrlen, deadline_ns);
        if (result >= 0)
            break;
    }
    freeaddrinfo(addresses);
    return result;
}

int chappe_loop_connect(struct chappe_loop *l)
{
    if (l->socket >= 0)
        return -EISCONN;
    int64_t deadline_ns = chappe_loop_now_ns() + (int64_t)l->connect_timeout_ms * 1000000;
    int fd = l->unix_path != NULL ? connect_unix(l, deadline_ns) : connect_host(l, deadline_ns);
    if (fd < 0)
        return fd;
    int failure = chappe_client_connect(l->client, chappe_loop_now_ns());
    if (failure != 0) {
        (void)close(fd); /* nothing was sent */
        return failure;
    }
    l->socket = fd;
    l->is_lost = l->is_lingering = false;
    return 0;
}

/* ------------------------------------------------------------------------ reconnecting ------ */

/* Between half of the delay and all of it, so that a thousand clients do not return as one. */
static void schedule_attempt(struct chappe_loop *l)
{
    uint32_t dice = 0;
    (void)!getrandom(&dice, sizeof dice, GRND_NONBLOCK); /* without it: no jitter, no harm */
    uint32_t delay_ms = l->delay_ms / 2 + (uint32_t)((uint64_t)dice * (l->delay_ms / 2) >> 32);
    l->reconnect_ns = chappe_loop_now_ns() + (int64_t)delay_ms * 1000000;
    l->is_lost = true;
    l->delay_ms = l->delay_ms > l->reconnect_max_ms / 2 ? l->reconnect_max_ms : l->delay_ms * 2;
}

/* A refusal that will be the same next time. */
static bool is_final(enum chappe_reason reason)
{
    switch (reason) {
    case CHAPPE_SERVER_UNAVAILABLE:
    case CHAPPE_SERVER_BUSY:
    case CHAPPE_QUOTA_EXCEEDED:
    case CHAPPE_CONNECTION_RATE_EXCEEDED:
    case CHAPPE_UNSPECIFIED_ERROR:
    case CHAPPE_IMPLEMENTATION_SPECIFIC_ERROR:
        return false;
    default:
        return true;
    }
}

static void on_event(struct chappe_loop *l, const struct chappe_event *event)
{
    bool is_ours = event->type == CHAPPE_EVENT_DISCONNECTED && event->error == 0 &&
                   event->reason == CHAPPE_SUCCESS;
    bool is_refused = event->type == CHAPPE_EVENT_REFUSED;
    if (event->type == CHAPPE_EVENT_CONNECTED)
        l->delay_ms = l->reconnect_min_ms;
    if (event->type != CHAPPE_EVENT_DISCONNECTED && !is_refused)
        return;
    if (l->reconnect_max_ms > 0 && !is_ours && !(is_refused && is_final(event->reason)))
        schedule_attempt(l);
}

/* True: the attempt failed, and *event says so. */
static bool try_again(struct chappe_loop *l, struct chappe_event *event)
{
    if (!l->is_lost || l->socket >= 0 || chappe_loop_now_ns() < l->reconnect_ns)
        return false;
    int failure = chappe_loop_connect(l);
    if (failure == 0)
        return false;
    memset(event, 0, sizeof *event);
    event->type = CHAPPE_EVENT_DISCONNECTED;
    event->error = failure;
    schedule_attempt(l);
    return true;
}

/* -------------------------------------------------------------------------------- turns ------ */

static void lose(struct chappe_loop *l, int error)
{
    close_socket(l);
    chappe_client_closed(l->client, error);
}

static void read_socket(struct chappe_loop *l)
{
    ssize_t got = recv(l->socket, l->read_buffer, sizeof l->read_buffer, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        lose(l, got == 0 ? 0 : -errno);
        return;
    }
    int failure = chappe_client_receive(l->client, chappe_bytes(l->read_buffer, (size_t)got),
                                        chappe_loop_now_ns());
    if (failure != 0)
        lose(l, failure);
}

/* Closing with unread input resets the connection, and a reset may overtake our last words.  So we
 * only say that there is no more to come, and leave the closing to the Server for a while. */
static void linger(struct chappe_loop *l)
{
    if (!l->is_lingering && shutdown(l->socket, SHUT_WR) == 0) {
        l->is_lingering = true;
        l->linger_ns = chappe_loop_now_ns() + (int64_t)LINGER_MS * 1000000;
    }
    if (!l->is_lingering || chappe_loop_now_ns() >= l->linger_ns)
        lose(l, 0);
}

/* Sends what there is.  A peer that is gone shows in reading, after what it had to say. */
static void write_socket(struct chappe_loop *l)
{
    struct chappe_bytes output;
    while ((output = chappe_client_output(l->client)).size > 0) {
        ssize_t sent = send(l->socket, output.data, output.size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EPIPE || errno == ECONNRESET))
            return;
        if (sent < 0) {
            lose(l, -errno);
            return;
        }
        chappe_client_sent(l->client, (size_t)sent, chappe_loop_now_ns());
    }
    if (chappe_client_state(l->client) == CHAPPE_CLOSING)
        linger(l);
}

static bool was_stopped(struct chappe_loop *l)
{
    uint64_t count;
    return read(l->wake, &count, sizeof count) == (ssize_t)sizeof count;
}

enum { SOCKET, WAKE, WATCHED, DESCRIPTORS };

/* Waits until something is ready or it is time.  The set of what is ready, one bit each. */
static unsigned wait_ready(struct chappe_loop *l, int64_t deadline_ns)
{
    struct pollfd set[DESCRIPTORS] = {
        [SOCKET] = { .fd = l->socket, .events = POLLIN },
        [WAKE] = { .fd = l->wake, .events = POLLIN },
        [WATCHED] = { .fd = l->watched, .events = POLLIN },
    };
    if (chappe_client_output(l->client).size > 0)
        set[SOCKET].events |= POLLOUT;
    int64_t client_ns = chappe_client_deadline_ns(l->client);
    if (client_ns < deadline_ns)
        deadline_ns = client_ns;
    if (l->socket >= 0 && l->is_lingering && l->linger_ns < deadline_ns)
        deadline_ns = l->linger_ns;
    if (l->is_lost && l->socket < 0 && l->reconnect_ns < deadline_ns)
        deadline_ns = l->reconnect_ns;
    if (poll(set, DESCRIPTORS, until_ms(deadline_ns)) <= 0)
        return 0; /* a signal is a reason to look around as well */

    unsigned ready = 0;
    for (int i = 0; i < DESCRIPTORS; i++)
        ready |= (unsigned)(set[i].revents != 0) << i;
    return ready;
}

int chappe_loop_next(struct chappe_loop *l, int timeout_ms, struct chappe_event *event)
{
    int64_t deadline_ns =
        timeout_ms < 0 ? CHAPPE_NEVER : chappe_loop_now_ns() + (int64_t)timeout_ms * 1000000;
    for (;;) {
        if (was_stopped(l))
            return -ECANCELED;
        if (chappe_client_next(l->client, chappe_loop_now_ns(), event)) {
            on_event(l, event);
            return 1;
        }
        if (try_again(l, event))
            return 1;
        if (l->socket >= 0)
            write_socket(l); /* which may be the end of it */
        if (l->socket < 0 && chappe_client_next(l->client, chappe_loop_now_ns(), event)) {
            on_event(l, event);
            return 1;
        }
        if (l->socket < 0 && !l->is_lost)
            return -ENOTCONN;

        unsigned ready = wait_ready(l, deadline_ns);
        if ((ready >> SOCKET & 1) != 0)
            read_socket(l);
        if ((ready >> WATCHED & 1) != 0)
            return 0; /* also when the Server never stops talking */
        if ((ready >> SOCKET & 1) == 0 && chappe_loop_now_ns() >= deadline_ns)
            return 0;
    }
}

int chappe_loop_run(struct chappe_loop *l,
                    bool (*handle)(void *context, const struct chappe_event *event), void *context)
{
    struct chappe_event event;
    int result;
    while ((result = chappe_loop_next(l, -1, &event)) >= 0) {
        if (result > 0 && !handle(context, &event))
            return 0;
    }
    return result;
}
