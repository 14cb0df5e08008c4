/* bench/flow.c: the template of a flow, and what may differ from it.
 *
 * A topic is bench/TAG/A/B: A has seven digits (of the flow, or of the topic in turn), B is "value"
 * or ten digits (of the message).  So every packet of a run has the same size, which a relay needs
 * to know to keep them apart. */
#include "bench/flow.h"

#include "base/memory.h"
#include "bench/fail.h"
#include <assert.h>
#include <endian.h>
#include <stdio.h>

enum {
    A_AT = sizeof "bench/1f0a/" - 1,
    A_SIZE = 7,
    B_AT = A_AT + A_SIZE + 1,
    B_SIZE = 10,
    TOPIC_SIZE_MAX = B_AT + B_SIZE,
};

static_assert(FLOWS_MAX == 10000000, "A has room for them");

/* ----------------------------------------------------------------------------------- topics --- */

static void write_digits(uint8_t *out, uint64_t number, size_t count)
{
    for (size_t i = count; i-- > 0; number /= 10)
        out[i] = (uint8_t)('0' + number % 10);
}

/* Prime, and larger than any number of topics, so that all of them have their turn.  Flows start
 * apart from each other. */
uint32_t flow_topic_index(const struct flow *f, uint64_t number)
{
    uint32_t topics = f->plan->topics;
    uint64_t turn = (number + f->index * UINT64_C(7919)) % topics;
    return (uint32_t)(turn * 2654435761u % topics);
}

/* The part of the topic that is the message's own. */
static void patch_topic(const struct flow *f, uint64_t number, uint8_t *topic)
{
    if (f->plan->scheme == TOPIC_OF_MESSAGE)
        write_digits(topic + B_AT, number, B_SIZE);
    else if (f->plan->scheme == TOPIC_IN_TURN)
        write_digits(topic + A_AT, flow_topic_index(f, number), A_SIZE);
}

void flow_filter(const struct flow_plan *plan, uint32_t index, bool with_wildcard, char *out)
{
    bool any_b = with_wildcard || plan->scheme == TOPIC_OF_MESSAGE;
    (void)snprintf(out, FILTER_SIZE_MAX, "bench/%04x/%07u/%s", plan->tag, index % FLOWS_MAX,
                   any_b ? "+" : "value");
}

void flow_filter_all(const struct flow_plan *plan, bool is_shared, char *out)
{
    (void)snprintf(out, FILTER_SIZE_MAX, "%sbench/%04x/+/%s", is_shared ? "$share/bench/" : "",
                   plan->tag, plan->scheme == TOPIC_OF_MESSAGE ? "+" : "value");
}

/* --------------------------------------------------------------------------------- messages --- */

static void write_u32(uint8_t *out, uint32_t number)
{
    number = htobe32(number);
    memcpy(out, &number, sizeof number);
}

static void write_u64(uint8_t *out, uint64_t number)
{
    number = htobe64(number);
    memcpy(out, &number, sizeof number);
}

struct stamp stamp_read(const uint8_t *payload)
{
    uint32_t flow;
    uint64_t number, time_ns;
    memcpy(&flow, payload, 4);
    memcpy(&number, payload + 4, 8);
    memcpy(&time_ns, payload + 12, 8);
    return (struct stamp){ be32toh(flow), be64toh(number), (int64_t)be64toh(time_ns) };
}

void flow_init(struct flow *f, const struct flow_plan *plan, uint32_t index)
{
    assert(plan->payload_size >= STAMP_SIZE && index < FLOWS_MAX);
    char topic[FILTER_SIZE_MAX];
    (void)snprintf(topic, sizeof topic, "bench/%04x/%07u/%s", plan->tag, index,
                   plan->scheme == TOPIC_OF_MESSAGE ? "0000000000" : "value");
    uint8_t *payload = bench_alloc(1, plan->payload_size);
    struct packet packet = { .type = PACKET_PUBLISH };
    packet.publish = (struct publish){ .qos = plan->qos,
                                       .packet_id = plan->qos > 0,
                                       .topic = bytes_of_string(topic),
                                       .payload = bytes_of(payload, plan->payload_size) };
    write_u32(payload, index);
    for (uint32_t i = STAMP_SIZE; i < plan->payload_size; i++)
        payload[i] = (uint8_t)(index + i);

    *f = (struct flow){ .plan = plan, .index = index };
    f->frame_size = packet_size(&packet, plan->version);
    if (f->frame_size > PACKET_SIZE_MAX)
        bench_fail("a payload of %u bytes is more than a packet can have", plan->payload_size);
    f->frame = bench_alloc(1, f->frame_size);
    packet_encode(&packet, plan->version, f->frame);
    f->payload_at = f->frame_size - plan->payload_size;
    f->id_at = f->payload_at - (plan->version == VERSION_5_0) - (plan->qos > 0 ? 2 : 0);
    f->topic_at = f->id_at - packet.publish.topic.size;
    memory_free(payload);
}

void flow_fini(struct flow *f)
{
    memory_free(f->frame);
    memory_free(f->window.slots);
}

void flow_encode(const struct flow *f, uint64_t number, uint16_t packet_id, int64_t time_ns,
                 uint8_t *out)
{
    memcpy(out, f->frame, f->frame_size);
    patch_topic(f, number, out + f->topic_at);
    if (f->plan->qos > 0) {
        out[f->id_at] = (uint8_t)(packet_id >> 8);
        out[f->id_at + 1] = (uint8_t)packet_id;
    }
    write_u64(out + f->payload_at + 4, number);
    write_u64(out + f->payload_at + 12, (uint64_t)time_ns);
}

static bool topic_is_right(const struct flow *f, uint64_t number, struct bytes topic)
{
    uint8_t wanted[TOPIC_SIZE_MAX];
    size_t size = f->id_at - f->topic_at;
    if (topic.size != size)
        return false;
    if (f->plan->scheme == TOPIC_OF_FLOW)
        return memcmp(topic.data, f->frame + f->topic_at, size) == 0;
    memcpy(wanted, f->frame + f->topic_at, size);
    patch_topic(f, number, wanted);
    return memcmp(topic.data, wanted, size) == 0;
}

const char *flow_check(const struct flow *f, uint64_t number, const struct publish *m)
{
    const struct flow_plan *plan = f->plan;
    if (m->qos != plan->qos)
        return "has another QoS";
    if (m->retain || m->dup)
        return m->dup ? "has the DUP flag set" : "has the RETAIN flag set";
    if (m->payload.size != plan->payload_size)
        return "has a payload of another size";
    if (memcmp(m->payload.data + STAMP_SIZE, f->frame + f->payload_at + STAMP_SIZE,
               plan->payload_size - STAMP_SIZE) != 0)
        return "has another payload";
    if (!topic_is_right(f, number, m->topic))
        return "has another topic";
    return NULL;
}
