/* broker/metrics.h: the one table of what is counted.
 *
 * Each worker counts for itself, without locks; whoever reads sums over the workers.  The table
 * feeds $SYS today and whatever else wants figures tomorrow. */
#pragma once

#include "session/drop.h"
#include <stdatomic.h>
#include <stdint.h>

enum metric_kind {
    METRIC_COUNTER, /* only rises */
    METRIC_GAUGE,   /* rises and falls */
};

/* METRIC(name, KIND, "topic below $SYS/broker/", "in words") */
#define METRIC_TABLE(METRIC)                                                                       \
    METRIC(packets_received, COUNTER, "messages/received", "Control Packets received")             \
    METRIC(packets_sent, COUNTER, "messages/sent", "Control Packets sent")                         \
    METRIC(publish_received, COUNTER, "publish/messages/received", "PUBLISH packets received")     \
    METRIC(publish_sent, COUNTER, "publish/messages/sent", "PUBLISH packets sent")                 \
    METRIC(publish_dropped, COUNTER, "publish/messages/dropped",                                   \
           "messages dropped at the limits of queues and output buffers")                          \
    METRIC(publish_refused, COUNTER, "publish/messages/refused",                                   \
           "PUBLISH packets received and not taken")                                               \
    METRIC(publish_bytes_received, COUNTER, "publish/bytes/received", "payload bytes received")    \
    METRIC(publish_bytes_sent, COUNTER, "publish/bytes/sent", "payload bytes sent")                \
    METRIC(bytes_received, COUNTER, "bytes/received", "bytes received from sockets")               \
    METRIC(bytes_sent, COUNTER, "bytes/sent", "bytes sent to sockets")                             \
    METRIC(sockets_accepted, COUNTER, "connections/socket/count", "sockets accepted")              \
    METRIC(connections_accepted, COUNTER, "connections/accepted", "CONNECTs accepted")             \
    METRIC(connections_refused, COUNTER, "connections/refused", "CONNECTs and sockets refused")    \
    METRIC(clients_total, GAUGE, "clients/total", "Sessions, connected or not")                    \
    METRIC(clients_connected, GAUGE, "clients/connected", "Clients connected")                     \
    METRIC(clients_expired, COUNTER, "clients/expired", "Sessions ended by their expiry")          \
    METRIC(takeovers, COUNTER, "clients/takeovers", "Sessions taken over by a new connection")     \
    METRIC(queued_messages, GAUGE, "queues/messages", "messages in queues and in flight")          \
    METRIC(queued_bytes, GAUGE, "queues/bytes", "their bytes")                                     \
    METRIC(acks_unknown, COUNTER, "acks/unknown", "acknowledgements that fitted no message")       \
    METRIC(protocol_errors, COUNTER, "errors/protocol", "connections closed for bad packets")      \
    METRIC(reads_paused, COUNTER, "back-pressure/pauses", "times a publisher was paused")          \
    METRIC(wills_published, COUNTER, "wills/published", "Will Messages published")

enum metric {
#define METRIC(name, kind, topic, text) METRIC_##name,
    METRIC_TABLE(METRIC)
#undef METRIC
        METRIC_COUNT
};

/* One worker's share.  Only the worker writes. */
struct metrics {
    _Atomic int64_t values[METRIC_COUNT];
    _Atomic int64_t drops[DROP_COUNT];
    _Atomic int64_t received[16], sent[16]; /* by enum packet_type */
};

static inline void metric_bump(_Atomic int64_t *value, int64_t by)
{
    int64_t now = atomic_load_explicit(value, memory_order_relaxed);
    atomic_store_explicit(value, now + by, memory_order_relaxed);
}

static inline void metrics_add(struct metrics *m, enum metric which, int64_t by)
{
    metric_bump(&m->values[which], by);
}
