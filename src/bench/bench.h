/* bench/bench.h: what a benchmark is told to do, and what it found.
 *
 *     scenario (a row of a table) --> struct bench_spec --> bench_run --> struct bench_result
 *           name, or options                                              --> report: table or JSON
 *
 * A benchmark is one process with one thread that plays all clients against a broker it knows
 * nothing about.  It checks all that arrives; what is wrong ends the program with status 1 and one
 * line that says what (bench/fail.h). */
#pragma once

#include "bench/histogram.h"
#include "mqtt/version.h"
#include <stdbool.h>
#include <stdint.h>

struct bench_watch;

enum bench_kind {
    BENCH_MESSAGES, /* publishers and subscribers: closed or open loop */
    BENCH_CONNECT,  /* connect and disconnect, again and again */
    BENCH_IDLE,     /* connections that do nothing: memory */
    BENCH_RETAINED, /* many Retained Messages replayed to a new subscription */
    BENCH_DRAIN,    /* Sessions that come back to a queue of messages */
};

enum { BENCH_SECONDS_MAX = 86400 }; /* as good as no limit */

/* Who gets what a publisher sends. */
enum bench_wiring {
    WIRING_PAIRS,  /* publisher n to subscriber n */
    WIRING_FANOUT, /* each publisher to all subscribers */
    WIRING_FANIN,  /* all publishers to each subscriber (mostly one), by a wildcard */
    WIRING_SPREAD, /* subscriptions of many topics dealt out to all subscribers; publishers take
                      the topics in turn, in an order that jumps about */
    WIRING_SHARED, /* all publishers to one group of subscribers */
};

/* What becomes of the subscribers' Sessions. */
enum bench_sessions {
    SESSIONS_CLEAN,   /* they end with their connections */
    SESSIONS_DURABLE, /* they could outlive them: a broker that keeps things has something to keep
                       */
    SESSIONS_AWAY,    /* the same, and nobody is there while messages are published */
};

struct bench_target {
    const char *host; /* name or address */
    int port;
    enum version version;
    const char *username, *password; /* NULL: none */
    bool is_relay;                   /* bench/relay instead of a broker: no MQTT handshake */
    int pid;                         /* of the broker, for its CPU time and memory; 0: unknown */
};

struct bench_spec {
    const char *name;  /* of the scenario */
    const char *about; /* one line for people */
    enum bench_kind kind;
    enum bench_wiring wiring;
    enum bench_sessions sessions;     /* MESSAGES */
    uint32_t publishers, subscribers; /* IDLE, RETAINED, DRAIN: subscribers only; CONNECT: none */
    uint8_t qos;                      /* of publishing and of subscribing */
    uint32_t payload_size;
    uint32_t window;      /* closed loop: messages under way per publisher; CONNECT: clients */
    uint32_t rate;        /* open loop: messages published per second by all; 0: closed loop */
    uint32_t topics;      /* SPREAD: how many; RETAINED: how many Retained Messages */
    bool with_wildcards;  /* SPREAD: each filter has a '+' in it */
    bool with_new_topics; /* each message on a topic that was never used before */
    uint32_t churn;       /* SUBSCRIBE + UNSUBSCRIBE pairs under way by a client beside the load */
    uint32_t queued;      /* DRAIN: messages for each Session */
    double warm_up, seconds; /* of publishing: first uncounted, then counted */
    uint64_t messages;       /* published at most; 0: no limit.  DRAIN: whole rounds */
    struct bench_target target;
    const struct bench_watch *watch; /* who looks on (bench/watch.h); NULL: nobody */
};

struct bench_result {
    uint64_t published;       /* in the counted time; CONNECT: connections */
    uint64_t delivered;       /* in the counted time; the unit of the CPU figure (CONNECT, IDLE:
                                 connections; RETAINED, DRAIN: messages that were replayed;
                                 SESSIONS_AWAY: messages that the broker has acknowledged) */
    uint64_t lost;            /* open loop at QoS 0: copies that never came.  Elsewhere a failure */
    uint64_t churned;         /* churn: SUBSCRIBE + UNSUBSCRIBE pairs in the counted time */
    double seconds;           /* the counted time */
    struct histogram latency; /* nanoseconds.  Closed loop: from the send; open loop: from when it
                                 should have been sent; CONNECT: until CONNACK.  None with
                                 SESSIONS_AWAY */
    struct histogram answer;  /* MESSAGES at QoS 1 and 2: likewise, until PUBACK or PUBREC */
    double cpu_user_s, cpu_system_s; /* of the broker, in the counted time; < 0: unknown */
    int64_t memory_before; /* private bytes of the broker before the clients came; < 0: unknown */
    int64_t memory_begin;  /* when the counted time last began; DRAIN: with all queues full */
    int64_t memory_after;  /* and with all of them there, after the load; SESSIONS_AWAY: with all
                              queues full */
    uint32_t connections;  /* open when memory_after was read */
    double clients_cpu_s;  /* our own, in the counted time */
    bool is_partial;       /* whoever looks on wished an end before its time */
};

/* Runs it; does not return when something is wrong. */
void bench_run(const struct bench_spec *, struct bench_result *);
