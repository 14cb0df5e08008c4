/* mqtt/message.c: one allocation, filled once, shared by everybody who keeps the message.  Only a
 * large payload stays in the block that it was received in.
 *
 * Properties stay encoded: most deliveries only copy them, and few read them. */
#include "mqtt/message.h"
#include "base/memory.h"
#include "mqtt/wire.h"

enum { NS_PER_S = 1000000000 };

/* These belong to the sender's side of the broker, or are said anew to each receiver. */
static bool stays_behind(enum property_id id)
{
    return id == PROPERTY_TOPIC_ALIAS || id == PROPERTY_SUBSCRIPTION_IDENTIFIER ||
           id == PROPERTY_MESSAGE_EXPIRY_INTERVAL || id == PROPERTY_WILL_DELAY_INTERVAL;
}

size_t message_properties_copy(struct bytes list, uint8_t *out)
{
    uint8_t *end = out;
    struct property p;
    while (property_next(&list, &p)) {
        if (!stays_behind(p.id))
            end = write_bytes(end, p.encoded);
    }
    return (size_t)(end - out);
}

static void message_destroy(struct block *block)
{
    memory_free(block); /* the first member: the same address */
}

static_assert(offsetof(struct message, block) == 0, "message_destroy counts on it");

struct message *message_create(struct bytes topic, const struct publish *p, uint64_t origin,
                               int64_t expires_ns)
{
    struct bytes list = p->properties.raw;
    struct message *m = memory_alloc(sizeof *m + topic.size + list.size + p->payload.size);
    if (m == NULL)
        return NULL;
    block_init(&m->block, message_destroy);
    m->expires_ns = expires_ns;
    m->origin = origin;
    m->qos = p->qos;
    m->retain = p->retain;

    uint8_t *out = (uint8_t *)(m + 1);
    m->topic = bytes_of(out, topic.size);
    out = write_bytes(out, topic);
    m->properties = bytes_of(out, message_properties_copy(list, out));
    out += m->properties.size;
    m->payload = bytes_of(out, p->payload.size);
    (void)write_bytes(out, p->payload);
    return m;
}

struct message *message_write(const struct message *view, void *at)
{
    struct message *m = at;
    *m = *view;
    uint8_t *out = (uint8_t *)(m + 1);
    m->topic = bytes_of(out, view->topic.size);
    out = write_bytes(out, view->topic);
    m->properties = bytes_of(out, view->properties.size);
    out = write_bytes(out, view->properties);
    m->payload = bytes_of(out, view->payload.size);
    (void)write_bytes(out, view->payload);
    return m;
}

struct message *message_copy(const struct message *view)
{
    struct message *m = memory_alloc(sizeof *m + message_size(view));
    if (m == NULL)
        return NULL;
    m = message_write(view, m);
    block_init(&m->block, message_destroy);
    return m;
}

/* [ struct referring: struct message | owner | topic | properties ]   payload: in owner */
struct referring {
    struct message message;
    struct block *owner;
};

static void referring_destroy(struct block *block)
{
    struct referring *r = (struct referring *)block; /* the first member of the first */
    block_unref(r->owner);
    memory_free(r);
}

struct message *message_refer(const struct message *view, struct block *owner)
{
    struct referring *r = memory_alloc(sizeof *r + view->topic.size + view->properties.size);
    if (r == NULL)
        return NULL;
    struct message *m = &r->message;
    *m = *view;
    block_init(&m->block, referring_destroy);
    r->owner = block_ref(owner);

    uint8_t *out = (uint8_t *)(r + 1);
    m->topic = bytes_of(out, view->topic.size);
    out = write_bytes(out, view->topic);
    m->properties = bytes_of(out, view->properties.size);
    (void)write_bytes(out, view->properties);
    return m;
}

uint32_t message_expiry_s(const struct message *m, int64_t now_ns)
{
    if (m->expires_ns <= now_ns)
        return 1;
    uint64_t left_ns = (uint64_t)m->expires_ns - (uint64_t)now_ns;
    uint64_t left_s = left_ns / NS_PER_S + (left_ns % NS_PER_S != 0);
    return left_s < UINT32_MAX ? (uint32_t)left_s : UINT32_MAX;
}
