/* cli/store_flaw.c: see store_flaw.h.  Sums are right here; so what is wrong was written wrong. */
#include "cli/store_flaw.h"
#include "broker/durable_records.h"
#include "mqtt/property.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"

enum { SUBSCRIPTION_ID_MAX = 268435455, PUBLISH_PACKET = 3 };

static const char *message_view_flaw(const struct message *m)
{
    struct properties properties;
    if (!utf8_is_valid(m->topic) || !topic_name_is_valid(m->topic))
        return "the message's topic is no Topic Name";
    if (m->properties.size > 0 &&
        properties_decode(m->properties, PUBLISH_PACKET, &properties) != REASON_SUCCESS)
        return "the message's properties make no sense";
    return NULL;
}

const char *stored_message_flaw(struct bytes body)
{
    bool no_memory;
    struct message *m = stored_message_read(body, 0, &no_memory);
    if (m == NULL)
        return no_memory ? "there is not enough memory to look at it" : "it is no message";
    const char *flaw = message_view_flaw(m);
    message_unref(m);
    return flaw;
}

/* ----------------------------------------------------------------------------- keys, values --- */

static const char *session_flaw(struct bytes value)
{
    struct stored_session s;
    if (!stored_session_read(value, &s))
        return "it is no Session";
    if (!utf8_is_valid(s.client_id))
        return "the Client Identifier is no UTF-8";
    return s.will.data == NULL ? NULL : stored_message_flaw(s.will);
}

static const char *subscription_flaw(struct bytes whole, struct bytes value)
{
    struct stored_subscription s;
    struct bytes share, filter = whole;
    if (!stored_subscription_read(value, &s))
        return "it is no subscription";
    if (!utf8_is_valid(whole) ||
        topic_filter_split_share(whole, &share, &filter) == SHARE_INVALID ||
        !topic_filter_is_valid(filter, NULL))
        return "the subscription's filter is no Topic Filter";
    if ((s.options & 3) > 2 || (s.options >> 4 & 3) > 2 || s.options > 0x3f)
        return "the subscription's options make no sense";
    return s.id > SUBSCRIPTION_ID_MAX ? "there is no such Subscription Identifier" : NULL;
}

const char *stored_group_flaw(struct bytes value)
{
    struct bytes share, filter;
    if (value.size > UINT16_MAX || !utf8_is_valid(value) ||
        topic_filter_split_share(value, &share, &filter) != SHARE_VALID ||
        !topic_filter_is_valid(filter, NULL))
        return "it is no group of a Shared Subscription";
    return NULL;
}

static const char *retained_flaw(struct bytes topic, struct bytes value)
{
    bool no_memory;
    struct message *m = stored_message_read(value, 0, &no_memory);
    if (m == NULL)
        return no_memory ? "there is not enough memory to look at it" : "it is no message";
    const char *flaw = message_view_flaw(m);
    if (flaw == NULL && !bytes_equal(m->topic, topic))
        flaw = "the Retained Message has another topic than its key";
    message_unref(m);
    return flaw;
}

static const char *value_flaw(const struct durable_key *k, struct bytes value)
{
    switch (k->kind) {
    case KEY_SESSION:
        return session_flaw(value);
    case KEY_SUBSCRIPTION:
        return subscription_flaw(k->filter, value);
    case KEY_GROUP:
        return stored_group_flaw(value);
    case KEY_RETAINED:
        return retained_flaw(k->filter, value);
    case KEY_RECEIVED:
        if (k->number == 0)
            return "0 is no Packet Identifier";
        break;
    }
    return value.size == 0 ? NULL : "a Packet Identifier has no value";
}

/* --------------------------------------------------------------------------------- entries ---- */

static const char *entry_flaw(const struct record_entry *e)
{
    struct stored_delivery d;
    if (!stored_delivery_read(e->data, &d))
        return "an entry of a queue says nothing that makes sense";
    for (size_t i = 0; i < d.ids.size / 4; i++) {
        uint32_t id = stored_delivery_id(&d, i);
        if (id == 0 || id > SUBSCRIPTION_ID_MAX)
            return "an entry of a queue has an impossible Subscription Identifier";
    }
    return NULL;
}

static const char *append_flaw(const struct record *r)
{
    const char *flaw = stored_message_flaw(r->value);
    struct bytes list = r->list;
    struct record_entry e;
    while (flaw == NULL && record_next(RECORD_APPEND, &list, &e))
        flaw = entry_flaw(&e);
    return flaw;
}

const char *record_flaw(const struct record *r)
{
    struct durable_key k;
    switch (r->type) {
    case RECORD_PUT:
    case RECORD_REMOVE:
        if (!durable_key_read(r->key, &k))
            return "its key is none that a broker writes";
        return r->type == RECORD_PUT ? value_flaw(&k, r->value) : NULL;
    case RECORD_APPEND:
        return append_flaw(r);
    case RECORD_FINISH:
    case RECORD_DROP:
        break;
    }
    return NULL;
}
