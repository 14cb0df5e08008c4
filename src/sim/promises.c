/* sim/promises.c: see promises.h. */
#include "sim/promises.h"
#include "sim/judge.h"

void promise_keep(struct model *m, struct promise *promise)
{
    if (promise == NULL || promise->is_kept)
        return;
    promise->is_kept = true;
    promise->kept_ns = m->world->now_ns;
    for (unsigned t = 0; t < TOPIC_COUNT; t++) {
        struct list *changes = &m->retained_changes[t];
        bool is_here = false;
        for (struct list *l = changes->next; l != changes; l = l->next)
            is_here |= container_of(l, struct retained_change, link)->promise == promise;
        while (is_here) { /* and those before it do not matter any more */
            const struct retained_change *c =
                container_of(list_pop_front(changes), struct retained_change, link);
            m->settled_retained[t] = c->to;
            is_here = c->promise != promise;
        }
    }
}

/* Answers come in the order of the packets: with this one, all before it are settled. */
static void settle_subscriptions(struct sim_session *s, const struct sent *sent)
{
    unsigned count = 0, settled = 0;
    for (struct list *l = s->changes.next; l != &s->changes; l = l->next) {
        count++;
        if (container_of(l, struct subscription_change, link)->sent == sent)
            settled = count;
    }
    while (settled-- > 0) {
        const struct subscription_change *c =
            container_of(list_pop_front(&s->changes), struct subscription_change, link);
        s->settled[c->filter] = c->to;
    }
}

static void forget_releasing(struct sim_session *s, uint16_t packet_id)
{
    for (unsigned i = 0; i < s->releasing_count; i++)
        if (s->releasing[i] == packet_id)
            s->releasing[i--] = s->releasing[--s->releasing_count];
}

static struct sent *find_due(const struct conn *c, const struct packet *p)
{
    bool is_list = p->type == PACKET_SUBACK || p->type == PACKET_UNSUBACK;
    uint16_t packet_id = is_list ? p->suback.packet_id : p->ack.packet_id;
    for (struct list *l = c->due.next; l != &c->due; l = l->next) {
        struct sent *sent = container_of(l, struct sent, link);
        if (!sent->is_answered && sent_is_answered_by(sent, p->type) &&
            sent->packet_id == packet_id)
            return sent;
    }
    return NULL;
}

/* PUBREL goes out without having been asked for, too, after a reconnection. */
static void note_pubrel(const struct conn *c, uint16_t packet_id)
{
    struct flight *f = c->session == NULL ? NULL : session_flight(c->session, packet_id);
    if (f != NULL)
        f->rel_sent = true;
}

void promises_on_sent(struct model *m, struct conn *c, const struct packet *p)
{
    switch (p->type) {
    case PACKET_PUBREL:
        note_pubrel(c, p->ack.packet_id);
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBCOMP:
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
        break;
    default:
        return;
    }
    struct sent *sent = find_due(c, p);
    if (sent == NULL) /* the judge has its own opinion when it arrives */
        return;
    sent->is_answered = true;
    trace_note(m->trace, m->world->now_ns, c->actor_index, c->number,
               "the answer to packet id %u is sent", sent->packet_id);
    if (p->type == PACKET_PUBACK || p->type == PACKET_PUBREC)
        promise_keep(m, reason_is_error(p->ack.reason) ? NULL : sent->promise);
    else if (p->type == PACKET_PUBCOMP)
        forget_releasing(c->session, sent->packet_id);
    else if (p->type != PACKET_PUBREL)
        settle_subscriptions(c->session, sent);
}
