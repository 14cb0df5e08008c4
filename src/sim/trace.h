/* sim/trace.h: what happened, for people and for comparing two runs.
 *
 * The last events are kept as numbers and become text only when somebody wants to read them.  All
 * events go into a hash: two runs of one seed must have the same.  A trace holds no pointer to
 * memory of its run, so it can lie in memory shared with the process that watches. */
#pragma once

#include "mqtt/packet.h"

enum { TRACE_EVENTS = 60, TRACE_TEXT_SIZE = 400 };

enum trace_kind {
    TRACE_SENT,  /* client -> */
    TRACE_TAKEN, /*           -> broker */
    TRACE_GOT,   /*           <- broker, arrived at the client */
    TRACE_NOTE,  /* anything else */
};

struct trace_event {
    enum trace_kind kind;
    int64_t now_ns;
    uint32_t actor;
    uint32_t connection; /* 0: none */
    uint8_t type;        /* of a packet; 0: bytes that are none */
    uint8_t qos, flags;
    uint8_t reason;
    uint16_t packet_id;
    uint32_t message; /* 0: none */
    uint32_t number;  /* a note's */
    const char *text; /* static */
};

enum { TRACE_DUP = 1, TRACE_RETAIN = 2, TRACE_PRESENT = 4, TRACE_HAS_REASON = 8 };

struct trace {
    uint64_t hash;
    uint64_t count;
    int64_t start_ns;
    bool is_verbose; /* print each event as it happens */
    bool has_failed;
    char failure[TRACE_TEXT_SIZE];
    struct trace_event events[TRACE_EVENTS]; /* a ring */
};

void trace_init(struct trace *t, int64_t start_ns, bool is_verbose);
void trace_add(struct trace *t, const struct trace_event *e);
void trace_mix(struct trace *t, uint64_t number); /* into the hash only */

/* An event without a packet.  text is static and may hold one %u for the number. */
void trace_note(struct trace *t, int64_t now_ns, uint32_t actor, uint32_t connection,
                const char *text, uint32_t number);

/* The first failure counts; whatever comes after it is a consequence. */
void trace_fail(struct trace *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

void trace_print(const struct trace *t); /* the last events, and the failure, to stderr */

/* Fills in what a packet says. */
void trace_describe(struct trace_event *e, const struct packet *p);
