/* mqtt/property_fuzz.c: a list that decodes says the same again when it is encoded.
 *
 * Input: one byte for the packet, then the list. */
#include "mqtt/message.h"
#include "mqtt/property.h"
#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The fields without what is raw, encoded into a block of their own. */
static struct bytes encode_fields(const struct properties *p)
{
    struct properties fields = *p;
    fields.raw = (struct bytes){ NULL, 0 };
    size_t size = properties_size(&fields);
    uint8_t *out = malloc(size + 1);
    assert(out != NULL);
    assert(properties_encode(&fields, out) == out + size);
    return bytes_of(out, size);
}

static void check_walk(struct bytes list, const struct properties *p)
{
    uint32_t user_count = 0, subscription_id_count = 0;
    struct property property;
    while (property_next(&list, &property)) {
        assert(properties_have(p, property.id));
        const char *name = property_name(property.id);
        assert(property_from_name(bytes_of_string(name)) == (int)property.id);
        user_count += property.id == PROPERTY_USER_PROPERTY;
        subscription_id_count += property.id == PROPERTY_SUBSCRIPTION_IDENTIFIER;
    }
    assert(list.size == 0);
    assert(user_count == p->user_count);
    assert(subscription_id_count == p->subscription_id_count);
}

static void check_fields(const struct properties *p, int packet)
{
    struct properties again;
    struct bytes first = encode_fields(p);
    assert(properties_decode(first, packet, &again) == REASON_SUCCESS);
    assert((again.present | (uint64_t)1 << PROPERTY_USER_PROPERTY) ==
           (p->present | (uint64_t)1 << PROPERTY_USER_PROPERTY));
    struct bytes second = encode_fields(&again);
    assert(bytes_equal(first, second));
    free((void *)first.data);
    free((void *)second.data);
}

/* What travels on may stand in a PUBLISH. */
static void check_message_properties(struct bytes list)
{
    struct properties travelling;
    uint8_t *out = malloc(list.size + 1);
    assert(out != NULL);
    size_t size = message_properties_copy(list, out);
    assert(size <= list.size);
    assert(properties_decode(bytes_of(out, size), PACKET_PUBLISH, &travelling) == REASON_SUCCESS);
    assert(travelling.subscription_id_count == 0);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    int packet = data[0] & 0x0f;
    struct bytes list = { data + 1, size - 1 };
    struct properties p;
    if (properties_decode(list, packet, &p) != REASON_SUCCESS)
        return 0;
    check_walk(list, &p);
    check_fields(&p, packet);
    if (packet == PACKET_PUBLISH || packet == 0)
        check_message_properties(list);
    return 0;
}
