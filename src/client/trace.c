/* client/trace.c: people search for these lines, and scripts cut them up: the words and the
 * punctuation are Mosquitto's, down to "Mid: 1" here and "m1" there. */
#include "client/trace.h"
#include "mqtt/reason.h"
#include <stdarg.h>
#include <stdio.h>

enum { LINE_SIZE = 2048 }; /* longer topics are cut */

/* A topic is the peer's: it must not speak to the terminal. */
static void replace_controls(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

__attribute__((format(printf, 2, 3))) static void say(const struct tracer *t, const char *format,
                                                      ...)
{
    char line[LINE_SIZE];
    int used = snprintf(line, sizeof line, "Client %.256s ",
                        t->client_id == NULL ? "(null)" : t->client_id);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line + used, sizeof line - (size_t)used, format, arguments);
    va_end(arguments);
    replace_controls(line);
    t->line(t->context, line);
}

static int cut(struct bytes text)
{
    return text.size < LINE_SIZE ? (int)text.size : LINE_SIZE;
}

static void say_publish(const struct tracer *t, const char *verb, const struct publish *p)
{
    say(t, "%s PUBLISH (d%d, q%d, r%d, m%d, '%.*s', ... (%zu bytes))", verb, p->dup, p->qos,
        p->retain, p->packet_id, cut(p->topic), (const char *)p->topic.data, p->payload.size);
}

static void say_filters(const struct tracer *t, const struct packet *p)
{
    struct bytes rest = p->subscribe.filters, filter;
    uint8_t options = 0;
    if (p->type == PACKET_UNSUBSCRIBE) {
        while (unsubscribe_next(&rest, &filter))
            say(t, "sending UNSUBSCRIBE (Mid: %d, Topic: %.*s)", p->subscribe.packet_id,
                cut(filter), (const char *)filter.data);
        return;
    }
    while (subscribe_next(&rest, &filter, &options))
        say(t, "sending SUBSCRIBE (Mid: %d, Topic: %.*s, QoS: %d, Options: 0x%02x)",
            p->subscribe.packet_id, cut(filter), (const char *)filter.data, options & SUBSCRIBE_QOS,
            options & ~SUBSCRIBE_QOS);
}

void trace_sent(const struct tracer *t, const struct packet *p)
{
    if (t->line == NULL)
        return;
    switch (p->type) {
    case PACKET_PUBLISH:
        say_publish(t, "sending", &p->publish);
        return;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
        say(t, "sending %s (m%d, rc%d)", packet_type_name(p->type), p->ack.packet_id,
            p->ack.reason);
        return;
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        say(t, "sending %s (m%d)", packet_type_name(p->type), p->ack.packet_id);
        return;
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE:
        say_filters(t, p);
        return;
    default:
        say(t, "sending %s", packet_type_name(p->type));
    }
}

/* The one line without a name in front. */
static void say_disconnected(const struct tracer *t, const struct disconnect *p)
{
    char line[64];
    (void)snprintf(line, sizeof line, "Received DISCONNECT (%d)", p->reason);
    t->line(t->context, line);
}

void trace_received(const struct tracer *t, const struct packet *p)
{
    if (t->line == NULL)
        return;
    switch (p->type) {
    case PACKET_PUBLISH:
        say_publish(t, "received", &p->publish);
        return;
    case PACKET_DISCONNECT:
        say_disconnected(t, &p->disconnect);
        return;
    case PACKET_CONNACK:
        say(t, "received CONNACK (%d)",
            version_has_reason_codes(t->version) ? p->connack.reason
                                                 : reason_to_connack_3(p->connack.reason));
        return;
    case PACKET_PUBACK:
    case PACKET_PUBCOMP:
        say(t, "received %s (Mid: %d, RC:%d)", packet_type_name(p->type), p->ack.packet_id,
            p->ack.reason);
        return;
    case PACKET_PUBREC:
    case PACKET_PUBREL:
        say(t, "received %s (Mid: %d)", packet_type_name(p->type), p->ack.packet_id);
        return;
    default:
        say(t, "received %s", packet_type_name(p->type));
    }
}
