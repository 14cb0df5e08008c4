/* chappe/loop.h: a client's way to the network: one connection over TCP or a Unix socket, blocking.
 *
 *     chappe_loop_create(client, &(struct chappe_loop_options){ .host = "localhost" }, &loop);
 *     if (chappe_loop_connect(loop) == 0)
 *         while (chappe_loop_next(loop, -1, &event) > 0)
 *             ... look at the event, publish, subscribe ...
 *     chappe_loop_destroy(loop);
 *
 * A loop and its client belong to one thread; only chappe_loop_stop may be called by any thread,
 * and by a signal handler.  Errors: 0 or a negative errno. */
#ifndef CHAPPE_LOOP_H
#define CHAPPE_LOOP_H

#include <chappe/client.h>

#ifdef __cplusplus
extern "C" {
#endif

struct chappe_loop;

struct chappe_loop_options {
    const char *host;         /* name or address; NULL: "localhost" */
    const char *unix_path;    /* a Unix socket instead of host and port */
    const char *bind_address; /* local address or name; NULL: any */
    uint16_t port;            /* 0: 1883 */
    bool nodelay;             /* TCP_NODELAY: smaller delay, perhaps more packets */
    uint32_t connect_timeout_ms; /* of the TCP handshake, over all addresses of the name; 0: 30 s.
                                    Looking up the name takes as long as the resolver does. */
    uint32_t reconnect_min_ms; /* after a lost connection, wait this long before another attempt, */
    uint32_t reconnect_max_ms; /* then twice as long, up to this, each time with some jitter;
                                  0: do not reconnect */
};

/* A loop for this client, which must outlive it.  0, -ENOMEM, or -EMFILE and the like. */
CHAPPE_API int chappe_loop_create(struct chappe_client *client,
                                  const struct chappe_loop_options *options,
                                  struct chappe_loop **loop);

/* Closes the connection as it is.  NULL is fine. */
CHAPPE_API void chappe_loop_destroy(struct chappe_loop *loop);

/* Looks up the host, connects, and starts the client: its CONNECTED or REFUSED event comes from
 * chappe_loop_next.  -ENODATA: the name has no address; -EAGAIN: the name server did not answer;
 * -ETIMEDOUT; -EISCONN; other errno of socket, bind and connect. */
CHAPPE_API int chappe_loop_connect(struct chappe_loop *loop);

/* Waits for the next event, at most timeout_ms (-1: for ever), and sends and receives meanwhile.
 *   1            *event is the next event, borrowed until the next call on loop or client
 *   0            the time is over, or the descriptor of chappe_loop_watch is ready
 *   -ENOTCONN    not connected, and it does not reconnect
 *   -ECANCELED   chappe_loop_stop was called (told once)
 * With reconnecting, a failed attempt is a DISCONNECTED event with its error.  It stops after a
 * chappe_client_disconnect, and after a REFUSED that trying again would not help. */
CHAPPE_API int chappe_loop_next(struct chappe_loop *loop, int timeout_ms,
                                struct chappe_event *event);

/* Calls on_event for each event until it returns false (0), chappe_loop_stop (-ECANCELED), or the
 * connection is over and does not come back (-ENOTCONN). */
CHAPPE_API int chappe_loop_run(struct chappe_loop *loop,
                               bool (*on_event)(void *context, const struct chappe_event *event),
                               void *context);

/* Makes the running or next chappe_loop_next return -ECANCELED.  Any thread, any signal handler. */
CHAPPE_API void chappe_loop_stop(struct chappe_loop *loop);

/* Another descriptor to wait for: chappe_loop_next returns 0 when it can be read.  -1: none. */
CHAPPE_API void chappe_loop_watch(struct chappe_loop *loop, int fd);

/* The clock that the loop gives its client, nanoseconds.  Any thread. */
CHAPPE_API int64_t chappe_loop_now_ns(void);

#ifdef __cplusplus
}
#endif
#endif
