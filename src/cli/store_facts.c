/* cli/store_facts.c: see store_facts.h. */
#include "cli/store_facts.h"
#include "cli/store_flaw.h"
#include "mqtt/property.h"

enum { PUBLISH_PACKET = 3 };

/* -------------------------------------------------------------------------------- messages ---- */

static void facts_property(struct facts *f, const struct property *p)
{
    const char *name = property_name(p->id);
    facts_open(f, NULL, '{');
    if (p->id == PROPERTY_USER_PROPERTY) {
        facts_bytes(f, name, p->name, SIZE_MAX);
        facts_bytes(f, "value", p->value, SIZE_MAX);
    } else if (p->value.data != NULL) {
        facts_bytes(f, name, p->value, SIZE_MAX);
    } else {
        facts_number(f, name, p->number);
    }
    facts_close(f, '}');
}

static void facts_properties(struct facts *f, struct bytes list)
{
    struct properties checked;
    struct property p;
    if (list.size == 0)
        return;
    if (properties_decode(list, PUBLISH_PACKET, &checked) != REASON_SUCCESS) {
        facts_bytes(f, "properties_invalid", list, SIZE_MAX);
        return;
    }
    facts_open(f, "properties", '[');
    for (p = (struct property){ 0 }; property_next(&list, &p); p = (struct property){ 0 })
        facts_property(f, &p);
    facts_close(f, ']');
}

void facts_message(struct facts *f, struct bytes body, size_t payload_max)
{
    bool no_memory;
    struct message *m = stored_message_read(body, 0, &no_memory);
    if (m == NULL) {
        facts_bytes(f, "message_invalid", body, payload_max);
        return;
    }
    facts_bytes(f, "topic", m->topic, SIZE_MAX);
    facts_number(f, "published_qos", m->qos);
    facts_flag(f, "published_retain", m->retain);
    if (m->expires_ns != MESSAGE_NEVER)
        facts_time(f, "expires", m->expires_ns);
    facts_properties(f, m->properties);
    facts_number(f, "payload_size", m->payload.size);
    if (payload_max > 0)
        facts_bytes(f, "payload", m->payload, payload_max);
    message_unref(m);
}

/* -------------------------------------------------------------------------------- Sessions ---- */

static void facts_will(struct facts *f, const struct stored_session *s, size_t payload_max)
{
    facts_open(f, "will", '{');
    facts_number(f, "delay_s", s->will_delay_s);
    if (s->will_lifetime_ns != MESSAGE_NEVER)
        facts_number(f, "lifetime_s", (uint64_t)s->will_lifetime_ns / 1000000000);
    facts_message(f, s->will, payload_max);
    facts_close(f, '}');
}

void facts_session(struct facts *f, const struct stored_session *s, size_t payload_max)
{
    facts_bytes(f, "client_id", s->client_id, SIZE_MAX);
    if (s->username.data != NULL)
        facts_bytes(f, "username", s->username, SIZE_MAX);
    facts_flag(f, "connected", s->is_connected);
    facts_time(f, "since", s->since_ns);
    if (s->expiry_s == UINT32_MAX)
        facts_never(f, "expiry_s");
    else
        facts_number(f, "expiry_s", s->expiry_s);
    if (s->will.data != NULL)
        facts_will(f, s, payload_max);
}

void facts_subscription(struct facts *f, const struct stored_subscription *s)
{
    facts_number(f, "qos", s->options & 3);
    facts_flag(f, "no_local", (s->options & 4) != 0);
    facts_flag(f, "retain_as_published", (s->options & 8) != 0);
    facts_number(f, "retain_handling", s->options >> 4 & 3);
    if (s->id != 0)
        facts_number(f, "subscription_id", s->id);
}

void facts_delivery(struct facts *f, const struct stored_delivery *d)
{
    facts_number(f, "qos", d->qos);
    facts_flag(f, "retain", d->retain);
    facts_flag(f, "until_sent", d->until_sent);
    if (d->ids.size == 0)
        return;
    facts_open(f, "subscription_ids", '[');
    for (size_t i = 0; i < d->ids.size / 4; i++)
        facts_number(f, NULL, stored_delivery_id(d, i));
    facts_close(f, ']');
}

/* ----------------------------------------------------------------------------- keys, values --- */

static const char *kind_name(uint8_t kind)
{
    switch (kind) {
    case KEY_SESSION:
        return "session";
    case KEY_SUBSCRIPTION:
        return "subscription";
    case KEY_GROUP:
        return "group";
    case KEY_RETAINED:
        return "retained";
    case KEY_RECEIVED:
        return "received";
    case KEY_RELEASED:
        return "released";
    }
    return "unknown";
}

void facts_key(struct facts *f, const struct durable_key *k)
{
    facts_word(f, "kind", kind_name(k->kind));
    if (k->kind != KEY_RETAINED)
        facts_number(f, k->kind == KEY_GROUP ? "group" : "session", k->session);
    if (k->kind == KEY_SUBSCRIPTION)
        facts_bytes(f, "filter", k->filter, SIZE_MAX);
    else if (k->kind == KEY_RECEIVED)
        facts_number(f, "packet_id", k->number);
    else if (k->kind == KEY_RELEASED)
        facts_number(f, "seq", k->number);
}

void facts_owner(struct facts *f, uint64_t queue, const struct store_owner *owner)
{
    switch (owner->kind) {
    case KEY_SESSION:
        facts_number(f, "session", queue);
        facts_bytes(f, "client_id", owner->name, SIZE_MAX);
        break;
    case KEY_GROUP:
        facts_number(f, "group", queue);
        facts_bytes(f, "filter", owner->name, SIZE_MAX);
        break;
    default:
        facts_number(f, "queue", queue);
    }
}

static void facts_value(struct facts *f, const struct durable_key *k, struct bytes value,
                        size_t payload_max)
{
    struct stored_session session;
    struct stored_subscription subscription;
    if (k->kind == KEY_SESSION && stored_session_read(value, &session))
        facts_session(f, &session, payload_max);
    else if (k->kind == KEY_SUBSCRIPTION && stored_subscription_read(value, &subscription))
        facts_subscription(f, &subscription);
    else if (k->kind == KEY_GROUP)
        facts_bytes(f, "filter", value, SIZE_MAX);
    else if (k->kind == KEY_RETAINED)
        facts_message(f, value, payload_max);
    else if (value.size > 0)
        facts_bytes(f, "value", value, payload_max);
}

static void facts_keyed(struct facts *f, const struct record *r, size_t payload_max)
{
    struct durable_key k;
    if (!durable_key_read(r->key, &k)) {
        facts_bytes(f, "key", r->key, SIZE_MAX);
        if (r->type == RECORD_PUT)
            facts_bytes(f, "value", r->value, payload_max);
        return;
    }
    facts_key(f, &k);
    if (r->type == RECORD_PUT)
        facts_value(f, &k, r->value, payload_max);
    else if (k.kind == KEY_RETAINED)
        facts_bytes(f, "topic", k.filter, SIZE_MAX);
}

/* --------------------------------------------------------------------------------- entries ---- */

/* A record does not say whether the queue is a Session's or a group's. */
static void facts_entry(struct facts *f, enum record_type type, const struct record_entry *e)
{
    struct stored_delivery d;
    facts_open(f, NULL, '{');
    facts_number(f, "queue", e->queue);
    if (type != RECORD_DROP)
        facts_number(f, "seq", e->seq);
    if (type == RECORD_APPEND && stored_delivery_read(e->data, &d))
        facts_delivery(f, &d);
    else if (type == RECORD_APPEND)
        facts_bytes(f, "data", e->data, SIZE_MAX);
    facts_close(f, '}');
}

static void facts_entries(struct facts *f, const struct record *r)
{
    struct bytes list = r->list;
    struct record_entry e;
    facts_open(f, "entries", '[');
    while (record_next(r->type, &list, &e))
        facts_entry(f, r->type, &e);
    facts_close(f, ']');
}

static const char *type_name(enum record_type type)
{
    switch (type) {
    case RECORD_PUT:
        return "put";
    case RECORD_REMOVE:
        return "remove";
    case RECORD_APPEND:
        return "append";
    case RECORD_FINISH:
        return "finish";
    case RECORD_DROP:
        return "drop";
    }
    return "unknown"; /* no record_read returns such a one */
}

void facts_record(struct facts *f, const struct record *r, size_t payload_max)
{
    facts_word(f, "type", type_name(r->type));
    if (r->type == RECORD_PUT || r->type == RECORD_REMOVE)
        facts_keyed(f, r, payload_max);
    else
        facts_entries(f, r);
    if (r->type == RECORD_APPEND)
        facts_message(f, r->value, payload_max);
    const char *flaw = record_flaw(r);
    if (flaw != NULL)
        facts_text(f, "flaw", flaw);
}
