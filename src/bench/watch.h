/* bench/watch.h: whoever looks on while a benchmark runs.
 *
 *     clients_ready      begin                                  end
 *           |              |                                     |
 *     ------+===warm-up====+==========counted time===============+---> pings, goodbye
 *                     progress, about four times a second
 *
 * Counted time may come in pieces, each with a begin and an end. */
#pragma once

#include <signal.h>
#include <stdint.h>

/* Any of them may be NULL. */
struct bench_watch {
    void (*clients_ready)(void *context, uint32_t connections); /* all open, nothing published */
    void (*begin)(void *context);                               /* counting starts */
    void (*end)(void *context); /* counting has ended: the last message has arrived */
    void (*progress)(void *context, double seconds, uint64_t published, uint64_t delivered);
    void *context;
    const volatile sig_atomic_t *stop; /* not 0: publish no more, come to an end */
};
