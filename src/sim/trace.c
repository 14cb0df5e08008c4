/* sim/trace.c: see trace.h. */
#include "sim/trace.h"
#include <stdarg.h>
#include <stdio.h>

void trace_init(struct trace *t, int64_t start_ns, bool is_verbose)
{
    *t = (struct trace){ .start_ns = start_ns, .is_verbose = is_verbose };
}

void trace_mix(struct trace *t, uint64_t number)
{
    uint64_t x = (t->hash ^ number) * UINT64_C(0x9e3779b97f4a7c15);
    t->hash = x ^ x >> 29;
}

/* ------------------------------------------------------------------------------------ text ---- */

static const char *arrow(enum trace_kind kind)
{
    switch (kind) {
    case TRACE_SENT:
        return "-->        ";
    case TRACE_TAKEN:
        return "   --> took";
    case TRACE_GOT:
        return "<--        ";
    case TRACE_NOTE:
        break;
    }
    return "  .        ";
}

static void print_packet(const struct trace_event *e)
{
    fprintf(stderr, "%s", e->type == 0 ? "(garbage)" : packet_type_name(e->type));
    if (e->packet_id != 0)
        fprintf(stderr, " id %u", e->packet_id);
    if (e->type == PACKET_PUBLISH)
        fprintf(stderr, " qos %u%s%s", e->qos, (e->flags & TRACE_DUP) != 0 ? " dup" : "",
                (e->flags & TRACE_RETAIN) != 0 ? " retain" : "");
    if ((e->flags & TRACE_PRESENT) != 0)
        fprintf(stderr, " session present");
    if ((e->flags & TRACE_HAS_REASON) != 0)
        fprintf(stderr, " 0x%02x", e->reason);
    if (e->message != 0)
        fprintf(stderr, " m%u", e->message);
}

static void print_text(const char *text, uint32_t number)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (c[0] == '%' && c[1] == 'u') {
            fprintf(stderr, "%u", number);
            c++;
        } else {
            fputc(*c, stderr);
        }
    }
}

static void print_event(const struct trace *t, const struct trace_event *e)
{
    fprintf(stderr, "%12.6f  c%-2u", (double)(e->now_ns - t->start_ns) / 1e9, e->actor);
    if (e->connection != 0)
        fprintf(stderr, " #%-4u %s ", e->connection, arrow(e->kind));
    else
        fprintf(stderr, "       %s ", arrow(e->kind));
    if (e->kind == TRACE_NOTE)
        print_text(e->text, e->number);
    else
        print_packet(e);
    if (e->kind != TRACE_NOTE && e->text != NULL)
        fprintf(stderr, " %s", e->text);
    fputc('\n', stderr);
}

void trace_print(const struct trace *t)
{
    uint64_t first = t->count > TRACE_EVENTS ? t->count - TRACE_EVENTS : 0;
    for (uint64_t i = first; !t->is_verbose && i < t->count; i++)
        print_event(t, &t->events[i % TRACE_EVENTS]);
    if (t->has_failed)
        fprintf(stderr, "FAILED: %s\n", t->failure);
}

/* --------------------------------------------------------------------------------- adding ----- */

void trace_add(struct trace *t, const struct trace_event *e)
{
    if (t->has_failed) /* the last events are those that led to it */
        return;
    trace_mix(t, (uint64_t)e->now_ns);
    trace_mix(t, (uint64_t)e->kind << 56 | (uint64_t)e->actor << 48 |
                     (uint64_t)e->connection << 16 | (uint64_t)e->type << 8 | e->flags);
    trace_mix(t, (uint64_t)e->message << 32 | (uint64_t)e->packet_id << 16 | (uint64_t)e->qos << 8 |
                     e->reason);
    trace_mix(t, e->number);
    t->events[t->count++ % TRACE_EVENTS] = *e;
    if (t->is_verbose)
        print_event(t, e);
}

void trace_note(struct trace *t, int64_t now_ns, uint32_t actor, uint32_t connection,
                const char *text, uint32_t number)
{
    trace_add(t, &(struct trace_event){ .kind = TRACE_NOTE,
                                        .now_ns = now_ns,
                                        .actor = actor,
                                        .connection = connection,
                                        .number = number,
                                        .text = text });
}

void trace_fail(struct trace *t, const char *format, ...)
{
    if (t->has_failed)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(t->failure, sizeof t->failure, format, arguments);
    va_end(arguments);
    t->has_failed = true;
}

static void describe_reason(struct trace_event *e, enum reason reason)
{
    e->reason = (uint8_t)reason;
    if (reason != REASON_SUCCESS)
        e->flags |= TRACE_HAS_REASON;
}

void trace_describe(struct trace_event *e, const struct packet *p)
{
    e->type = (uint8_t)p->type;
    switch (p->type) {
    case PACKET_CONNACK:
        e->flags |= p->connack.session_present ? TRACE_PRESENT : 0;
        describe_reason(e, p->connack.reason);
        break;
    case PACKET_PUBLISH:
        e->qos = p->publish.qos;
        e->packet_id = p->publish.packet_id;
        e->flags |=
            (uint8_t)((p->publish.dup ? TRACE_DUP : 0) | (p->publish.retain ? TRACE_RETAIN : 0));
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        e->packet_id = p->ack.packet_id;
        describe_reason(e, p->ack.reason);
        break;
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE:
        e->packet_id = p->subscribe.packet_id;
        break;
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
        e->packet_id = p->suback.packet_id;
        break;
    case PACKET_DISCONNECT:
        describe_reason(e, p->disconnect.reason);
        break;
    default:
        break;
    }
}
