/* broker/on_ack.c: PUBACK, PUBREC, PUBREL, PUBCOMP (MQTT 5.0, sections 3.4 to 3.7).
 *
 * Acknowledgements of deliveries go to the session, which then sends what they made room for.  One
 * that fits no message answers a delivery we gave up on: counted, not punished. */
#include "broker/answers.h"
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/durable.h"
#include "broker/durable_records.h"
#include "broker/on.h"

static void count_unknown(struct connection *c, bool known)
{
    if (!known)
        metrics_add(&c->worker->metrics, METRIC_acks_unknown, 1);
}

void on_puback(struct connection *c, const struct ack *p)
{
    struct client *client = c->client;
    count_unknown(c,
                  session_on_puback(client->session, p->packet_id, p->reason, c->worker->now_ns));
    client_after_session(client);
}

void on_pubrec(struct connection *c, const struct ack *p)
{
    struct client *client = c->client;
    bool known = session_on_pubrec(client->session, p->packet_id, p->reason, c->worker->now_ns);
    count_unknown(c, known);
    if (!known && !reason_is_error(p->reason)) { /* let the Client forget it, too */
        struct packet answer = { .type = PACKET_PUBREL,
                                 .ack = { .packet_id = p->packet_id,
                                          .reason = REASON_PACKET_IDENTIFIER_NOT_FOUND } };
        connection_send(c, &answer);
    }
    client_after_session(client);
}

void on_pubrel(struct connection *c, const struct ack *p)
{
    struct client *client = c->client;
    bool known = session_on_pubrel(client->session, p->packet_id);
    enum reason why = known ? REASON_SUCCESS : REASON_PACKET_IDENTIFIER_NOT_FOUND;
    if (client->durable == NULL || !staging_is_on(c->worker)) {
        connection_send_ack(c, PACKET_PUBCOMP, p->packet_id, why); /* [MQTT-4.3.3-11] */
        return;
    }
    /* Only when it is on the disk that the Packet Identifier is free: else the next message with it
     * would be taken for a repetition after a crash. */
    struct durable_key key = { .kind = KEY_RECEIVED,
                               .session = atomic_load(&client->durable->key),
                               .number = p->packet_id };
    struct answer *a = NULL;
    if (known && staging_remove(c->worker, &key) != 0)
        connection_fail(c, REASON_QUOTA_EXCEEDED, "out of memory");
    else
        a = answer_ack(c, PACKET_PUBCOMP, p->packet_id, why);
    if (a != NULL)
        staging_answer(c->worker, a);
}

void on_pubcomp(struct connection *c, const struct ack *p)
{
    struct client *client = c->client;
    count_unknown(c, session_on_pubcomp(client->session, p->packet_id, c->worker->now_ns));
    client_after_session(client);
}
