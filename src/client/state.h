/* client/state.h: the inside of a client.  Private to this folder.
 *
 *     OFFLINE --connect--> CONNECTING --CONNACK--> CONNECTED
 *        ^                     |                       |   DISCONNECT of either side,
 *        |                     +-----------+-----------+   a broken rule, a deadline
 *        +------- closed ------------- CLOSING
 *
 * client.c    the connection: input, output, deadlines, its end
 * receive.c   one function per Control Packet from the Server
 * request.c   what the application asks for */
#pragma once

#include "base/buffer.h"
#include "base/list.h"
#include "chappe/client.h"
#include "client/aliases.h"
#include "client/outbox.h"
#include "client/packet_ids.h"
#include "client/settings.h"
#include "client/trace.h"

/* What the Server said in CONNACK; the standard's defaults where it said nothing. */
struct server_limits {
    uint16_t receive_max;
    uint8_t qos_max;
    bool retain_available;
    uint32_t packet_size_max;
};

/* A SUBSCRIBE or UNSUBSCRIBE without its answer. */
struct request {
    struct list link;
    uint16_t packet_id;
    enum packet_type type;
    size_t count; /* filters, each of which is owed a Reason Code */
};

struct chappe_client {
    struct settings settings;
    enum chappe_client_state state;
    char *assigned_id; /* Assigned Client Identifier; NULL: none */
    bool had_session;  /* a Server has accepted us once */

    struct buffer in, out;
    size_t in_used, out_used; /* read already, sent already */

    /* Session State (section 4.1) and what goes with it. */
    struct outbox outbox;
    struct packet_ids ids;
    struct arrivals arrivals;

    /* As long as the connection. */
    struct server_limits limits;
    struct aliases_in aliases_in;
    struct aliases_out aliases_out;
    struct list requests;
    uint16_t handed_id;   /* of the QoS > 0 message the application looks at, to be
                             acknowledged when it comes back; 0: none */
    bool said_clean;      /* Clean Start, in this connection's CONNECT */
    bool said_disconnect; /* the end is our wish */
    bool end_told;        /* the application has had its REFUSED or DISCONNECTED */
    bool end_pending;     /* closed, and still to be told */
    int end_error;
    bool ping_pending;

    int64_t now_ns; /* the latest the caller has told us */
    int64_t connect_ns, closing_ns, sent_ns, received_ns, ping_ns;
    int64_t keep_alive_ns; /* 0: off */
};

static inline enum version client_version(const struct chappe_client *c)
{
    return c->settings.connect.version;
}

struct tracer client_tracer(const struct chappe_client *c);

/* Appends a packet to the output.  0 or -ENOMEM. */
int client_send(struct chappe_client *c, const struct packet *p);

/* As above; without memory the connection is given up: true, and *event says so. */
bool client_answer(struct chappe_client *c, const struct packet *p, struct chappe_event *event);

/* The connection cannot go on: DISCONNECT where the version has it, CLOSING, and *event tells.
 * Always true, as "there is an event". */
bool client_fail(struct chappe_client *c, int error, enum reason why, struct chappe_event *event);
bool client_breach(struct chappe_client *c, enum reason why, struct chappe_event *event);
void client_start_closing(struct chappe_client *c);

/* Publishes what waits, as far as the window allows. */
void client_send_waiting(struct chappe_client *c);

/* May the Server be sent this?  REASON_SUCCESS, or why not. */
enum reason client_may_publish(const struct chappe_client *c, const struct publish *p);

/* One PUBLISH with a Topic Alias if there is one for it.  0 or -ENOMEM. */
int client_send_publish(struct chappe_client *c, const struct publish *p);

/* PUBACK or PUBREC.  0, -ENOENT, -EMSGSIZE, -ENOMEM. */
int client_acknowledge(struct chappe_client *c, uint16_t packet_id, enum reason reason,
                       struct bytes properties);

void client_forget_request(struct chappe_client *c, struct request *r);

/* Handles one whole packet from the Server.  True: *event is filled in. */
bool client_on_packet(struct chappe_client *c, struct bytes whole, enum packet_type type,
                      struct chappe_event *event);
