/* broker/answers.c: see answers.h.
 *
 * connection->answers is the last one of a ring, whose next is the first. */
#include "broker/answers.h"
#include "base/memory.h"
#include "broker/connection.h"
#include "broker/on.h"
#include <assert.h>

static struct answer *push(struct connection *c, struct answer *a)
{
    a->connection = c;
    if (c->answers == NULL) {
        a->next = a;
    } else {
        a->next = c->answers->next;
        c->answers->next = a;
    }
    c->answers = a;
    return a;
}

static struct answer *create(struct connection *c, size_t behind)
{
    if (c->state == CONNECTION_CLOSED)
        return NULL;
    struct answer *a = memory_alloc(sizeof *a + behind);
    if (a == NULL) {
        connection_fail(c, REASON_QUOTA_EXCEEDED, "out of memory");
        return NULL;
    }
    *a = (struct answer){ 0 };
    return a;
}

struct answer *answer_ack(struct connection *c, enum packet_type type, uint16_t packet_id,
                          enum reason reason)
{
    struct answer *a = create(c, 0);
    if (a == NULL)
        return NULL;
    a->kind = ANSWER_ACK;
    a->type = type;
    a->packet_id = packet_id;
    a->reason = reason;
    return push(c, a);
}

struct answer *answer_packet(struct connection *c, enum answer_kind kind, const struct packet *p)
{
    bool has_reasons = p->type == PACKET_SUBACK || p->type == PACKET_UNSUBACK;
    size_t reasons = has_reasons ? p->suback.reasons.size : 0;
    struct answer *a = create(c, sizeof *p + reasons);
    if (a == NULL)
        return NULL;
    a->kind = (uint8_t)kind;
    a->type = p->type;
    a->packet = (struct packet *)(void *)(a + 1);
    *a->packet = *p;
    if (has_reasons) {
        uint8_t *copy = (uint8_t *)(a->packet + 1);
        memcpy(copy, p->suback.reasons.data, reasons);
        a->packet->suback.reasons = bytes_of(copy, reasons);
    }
    return push(c, a);
}

static void send(struct connection *c, struct answer *a)
{
    if (a->kind == ANSWER_ACK)
        connection_send_ack(c, a->type, a->packet_id, a->reason);
    else
        connection_send(c, a->packet);
    if (a->kind == ANSWER_CONNACK)
        on_connack_sent(c);
}

static void release(struct connection *c)
{
    while (c->answers != NULL && c->answers->next->is_safe) {
        struct answer *last = c->answers, *first = last->next;
        if (first == last)
            c->answers = NULL;
        else
            last->next = first->next;
        send(c, first);
        memory_free(first);
    }
}

void answer_safe(struct answer *a)
{
    assert(!a->is_safe);
    struct connection *c = a->connection;
    if (c == NULL) {
        memory_free(a);
        return;
    }
    a->is_safe = true;
    release(c);
}

void answer_forget(struct answer *a)
{
    if (a->connection == NULL)
        memory_free(a);
    else
        a->is_lost = true; /* it goes with its connection */
}

bool answers_hold_packet(const struct connection *c)
{
    const struct answer *a = c->answers;
    if (a == NULL)
        return false;
    do {
        if (a->kind != ANSWER_ACK)
            return true;
        a = a->next;
    } while (a != c->answers);
    return false;
}

void answers_drop(struct connection *c)
{
    struct answer *last = c->answers;
    if (last == NULL)
        return;
    c->answers = NULL;
    struct answer *a = last->next;
    last->next = NULL;
    while (a != NULL) {
        struct answer *next = a->next;
        if (a->is_safe || a->is_lost)
            memory_free(a);
        else
            a->connection = NULL; /* whoever it waits for frees it */
        a = next;
    }
}
