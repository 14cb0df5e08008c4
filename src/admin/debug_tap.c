/* admin/debug_tap.c: packets to text.  Scripts that read Mosquitto's debug log read this one. */
#include "admin/debug_tap.h"
#include "base/memory.h"
#include "broker/client.h"
#include "broker/connection.h"
#include <stdio.h>

struct debug_tap {
    struct tap tap;
    struct server *server;
};

static const char *client_text(const struct connection *c, struct log_text *buffer)
{
    if (c->client == NULL)
        snprintf(buffer->text, sizeof buffer->text, "%s", stream_peer(c->stream).text);
    else
        *buffer = log_escape(client_id_of(c->client));
    return buffer->text;
}

static void log_publish(struct log *log, const char *verb, const char *who, const struct publish *p)
{
    log_line(log, LOG_TYPE_DEBUG, "%s %s (d%d, q%d, r%d, m%d, '%s', ... (%zu bytes))", verb, who,
             p->dup, p->qos, p->retain, p->packet_id, LOG_TEXT(p->topic), p->payload.size);
}

static void log_ack(struct log *log, const char *verb, const char *who, const struct packet *p)
{
    log_line(log, LOG_TYPE_DEBUG, "%s %s (m%d, rc%d)", verb, who, p->ack.packet_id, p->ack.reason);
}

static void log_filters(struct log *log, const struct packet *p)
{
    struct bytes rest = p->subscribe.filters, filter;
    uint8_t options;
    while (subscribe_next(&rest, &filter, &options))
        log_line(log, LOG_TYPE_DEBUG, "\t%s (QoS %d)", LOG_TEXT(filter), options & SUBSCRIBE_QOS);
}

static void on_packet(struct tap *tap, const struct connection *c, enum tap_direction direction,
                      const struct packet *p)
{
    struct log *log = container_of(tap, struct debug_tap, tap)->server->log;
    bool received = direction == TAP_RECEIVED;
    struct log_text buffer;
    const char *who = client_text(c, &buffer);
    char verb[40];
    snprintf(verb, sizeof verb, "%s %s %s", received ? "Received" : "Sending",
             packet_type_name(p->type), received ? "from" : "to");
    switch (p->type) {
    case PACKET_PUBLISH:
        log_publish(log, verb, who, &p->publish);
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        log_ack(log, verb, who, p);
        break;
    case PACKET_CONNACK:
        log_line(log, LOG_TYPE_DEBUG, "%s %s (%d, %d)", verb, who, p->connack.session_present,
                 p->connack.reason);
        break;
    case PACKET_SUBSCRIBE:
        log_line(log, LOG_TYPE_DEBUG, "%s %s", verb, who);
        log_filters(log, p);
        break;
    default:
        log_line(log, LOG_TYPE_DEBUG, "%s %s", verb, who);
        break;
    }
}

struct debug_tap *debug_tap_create(struct server *server)
{
    struct debug_tap *t = memory_alloc_zero(sizeof *t);
    if (t == NULL)
        return NULL;
    t->server = server;
    t->tap.on_packet = on_packet;
    return t;
}

void debug_tap_destroy(struct debug_tap *t)
{
    memory_free(t);
}

void debug_tap_enable(struct debug_tap *t, bool on)
{
    server_set_taps(t->server, on ? &t->tap : NULL);
}
