/* bench/flows_run.h: one run of flows.  Private to flows*.c, publisher.c, subscriber.c, absence.c
 * and churn.c.
 *
 *     publisher 0 --flow 0--> [ broker ] --> receiver of subscriber 0, ticks off in flow 0's window
 *     publisher 1 --flow 1-->            --> receiver of subscriber 1
 *     churner  --SUBSCRIBE, UNSUBSCRIBE-->
 *
 * Publisher n is client n, subscribers come after them, the churner is last. */
#pragma once

#include "bench/flow.h"
#include "bench/load.h"
#include "bench/pace.h"
#include "bench/peer.h"
#include "bench/receiver.h"

struct publisher {
    struct peer peer;
    struct flow *flow;
};

struct subscriber {
    struct peer peer;
    uint32_t index; /* among subscribers */
    struct receiver receiver;
    uint32_t asked, granted; /* filters */
    uint32_t unreleased;     /* QoS 2: messages whose PUBREL is to come */
};

struct churn_slot {
    uint64_t turn;
    enum packet_type awaits; /* SUBACK or UNSUBACK; 0: nothing */
};

/* Subscribes and unsubscribes beside the load, to filters that match nothing. */
struct churner {
    struct peer peer;
    struct churn_slot *slots; /* spec->churn */
    uint32_t under_way;
};

struct flows {
    struct load load; /* its result: counted time only */
    const struct bench_spec *spec;
    struct flow_plan plan;
    struct flow *flows; /* of each publisher */
    struct publisher *publishers;
    struct subscriber *subscribers;
    struct churner churner;
    uint32_t copies; /* of each message */
    bool is_lossy;   /* losing is allowed: open loop at QoS 0 */
    bool is_away;    /* subscribers are not there while messages are published */

    uint32_t unready; /* clients that are not as they should be: connected and subscribed, gone */
    bool is_publishing;
    struct pace pace;
    int64_t begin_ns;                        /* of the counted time; INT64_MAX before */
    struct histogram_streak latency, answer; /* into the result's */
    uint64_t published;                      /* in all */
    uint64_t publish_max;                    /* in all */
    uint64_t missing;                        /* copies under way, or kept for who is away */
    uint64_t handshakes; /* of QoS 1 and 2, on either side, that are not finished */
    uint64_t pings;      /* unanswered */
};

static inline struct flows *flows_of(const struct peer *p)
{
    return container_of((struct load *)p->loop->owner, struct flows, load);
}

/* Something that was waited for has happened. */
static inline void flows_on_progress(struct flows *r)
{
    r->load.heard_ns = r->load.loop.now_ns;
}

/* It took from then until now, if that counts already. */
static inline void flows_count_time(const struct flows *r, struct histogram_streak *streak,
                                    int64_t since_ns)
{
    int64_t took_ns = r->load.loop.now_ns - since_ns;
    if (since_ns >= r->begin_ns)
        histogram_streak_add(streak, took_ns > 0 ? (uint64_t)took_ns : 0);
}

extern const struct peer_ops publisher_ops, subscriber_ops, churner_ops;

void flows_init(struct flows *, const struct bench_spec *, struct bench_result *,
                const struct bench_watch *);
void flows_fini(struct flows *);

void publisher_publish(struct publisher *, int64_t time_ns); /* open loop */
void subscriber_init(struct subscriber *, struct flows *, uint32_t index);
void subscriber_on_packet(struct peer *, const struct packet *);
void churner_start(struct churner *);

/* All subscribers, whose Sessions stay or end; not from a callback. */
void absence_begin(struct flows *); /* gone when it returns, and the broker knows it */
void absence_end(struct flows *);   /* connected again, each to its Session */
void absence_forever(
    struct flows *); /* nothing is left of their Sessions.  Closed before, and after */

/* From any client: connected and subscribed; what nobody but PINGREQ may have asked for. */
void flows_on_ready(struct peer *);
void flows_on_other_packet(struct peer *, const struct packet *);
