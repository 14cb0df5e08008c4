/* broker/on_disconnect.c: DISCONNECT, PINGREQ and AUTH (MQTT 5.0, sections 3.12 to 3.15). */
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/on.h"

void on_pingreq(struct connection *c)
{
    struct packet answer = { .type = PACKET_PINGRESP };
    session_trim(c->client->session); /* whoever pings has nothing else to say */
    connection_send(c, &answer);      /* [MQTT-3.12.4-1] */
}

/* A Session that was to end with its connection cannot be given a longer life now [MQTT-3.14.2-2].
 */
static bool may_set_expiry(const struct client *client, uint32_t wanted_s)
{
    return client->session_expiry_s != 0 || wanted_s == 0;
}

static bool set_expiry(struct connection *c, const struct properties *p)
{
    struct client *client = c->client;
    int64_t cap = c->worker->config->persistent_client_expiration_s;
    if (!properties_have(p, PROPERTY_SESSION_EXPIRY_INTERVAL))
        return true;
    if (!may_set_expiry(client, p->session_expiry_interval))
        return false;
    uint32_t wanted_s = p->session_expiry_interval;
    int result = client_set_expiry(client, cap > 0 && wanted_s > cap ? (uint32_t)cap : wanted_s);
    assert(result == 0); /* it was not 0 before, or it still is */
    return true;
}

void on_disconnect(struct connection *c, const struct disconnect *p)
{
    if (version_has_properties(c->version) && !set_expiry(c, &p->properties)) {
        connection_fail(c, REASON_PROTOCOL_ERROR, "protocol error");
        return;
    }
    if (p->reason == REASON_SUCCESS) /* [MQTT-3.14.4-3] */
        connection_close(c, true, "");
    else
        connection_close(c, false, reason_text(p->reason));
}

void on_auth(struct connection *c, const struct disconnect *p)
{
    connection_fail(c, REASON_PROTOCOL_ERROR, "protocol error"); /* no method was agreed on */
}
