/* client/properties.c: the codec's property lists, for the application.
 *
 * Reading is the codec's; writing appends one property at a time, by the type that the table gives
 * it.  Whether properties may stand together, and where, is judged when the packet is sent: there
 * is one judge, the codec's, for both directions. */
#include "chappe/properties.h"
#include "base/memory.h"
#include "mqtt/property.h"
#include "mqtt/utf8.h"
#include <assert.h>
#include <errno.h>

enum type { UNKNOWN, BYTE, TWO, FOUR, VARINT, STRING, BINARY, PAIR };

static const uint8_t types[] = {
#define PROPERTY(id, name, type, text, packets) [id] = type,
    PROPERTY_TABLE(PROPERTY)
#undef PROPERTY
};

#define PROPERTY(id, name, type, text, packets)                                                    \
    static_assert((int)CHAPPE_##name == id, "the public names are the standard's");
PROPERTY_TABLE(PROPERTY)
#undef PROPERTY

static struct bytes in(struct chappe_bytes b)
{
    return bytes_of(b.data, b.size);
}

static struct chappe_bytes out(struct bytes b)
{
    return chappe_bytes(b.data, b.size);
}

bool chappe_property_next(struct chappe_bytes *rest, struct chappe_property *property)
{
    struct bytes list = in(*rest);
    struct property p = { 0 };
    if (!property_next(&list, &p))
        return false;
    *rest = out(list);
    property->id = (enum chappe_property_id)p.id;
    property->number = p.number;
    property->name = out(p.name);
    property->value = out(p.value);
    return true;
}

bool chappe_property_find(struct chappe_bytes list, enum chappe_property_id id,
                          struct chappe_property *property)
{
    for (struct chappe_property p; chappe_property_next(&list, &p);) {
        if (p.id == id) {
            *property = p;
            return true;
        }
    }
    return false;
}

const char *chappe_property_name(int id)
{
    return property_name(id);
}

void chappe_property_list_free(struct chappe_property_list *list)
{
    memory_free(list->data);
    memset(list, 0, sizeof *list);
}

static enum type type_of(enum chappe_property_id id)
{
    size_t index = (size_t)id;
    return index < sizeof types ? (enum type)types[index] : UNKNOWN;
}

/* Room for `size` bytes at the end, counted in already; NULL: no memory. */
static uint8_t *extend(struct chappe_property_list *list, size_t size)
{
    if (list->size + size > list->capacity) {
        size_t capacity = 2 * (list->size + size);
        uint8_t *data = memory_resize(list->data, capacity);
        if (data == NULL)
            return NULL;
        list->data = data;
        list->capacity = capacity;
    }
    list->size += size;
    return list->data + list->size - size;
}

static size_t put_varint(uint8_t *at, uint32_t number)
{
    size_t size = 0;
    for (; number >= 0x80; number >>= 7)
        at[size++] = (uint8_t)(number | 0x80);
    at[size++] = (uint8_t)number;
    return size;
}

static size_t put_big_endian(uint8_t *at, uint32_t number, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(number >> 8 * (size - 1 - i));
    return size;
}

int chappe_property_add_number(struct chappe_property_list *list, enum chappe_property_id id,
                               uint32_t number)
{
    uint8_t encoded[5] = { (uint8_t)id };
    size_t size = 1;
    switch (type_of(id)) {
    case BYTE:
        if (number > UINT8_MAX)
            return -EINVAL;
        size += put_big_endian(encoded + 1, number, 1);
        break;
    case TWO:
        if (number > UINT16_MAX)
            return -EINVAL;
        size += put_big_endian(encoded + 1, number, 2);
        break;
    case FOUR:
        size += put_big_endian(encoded + 1, number, 4);
        break;
    case VARINT:
        if (number > 268435455)
            return -EINVAL;
        size += put_varint(encoded + 1, number);
        break;
    default:
        return -EINVAL;
    }
    uint8_t *at = extend(list, size);
    if (at == NULL)
        return -ENOMEM;
    memcpy(at, encoded, size);
    return 0;
}

static uint8_t *put_text(uint8_t *at, struct chappe_bytes text)
{
    at += put_big_endian(at, (uint32_t)text.size, 2);
    if (text.size > 0)
        memcpy(at, text.data, text.size);
    return at + text.size;
}

int chappe_property_add_bytes(struct chappe_property_list *list, enum chappe_property_id id,
                              struct chappe_bytes value)
{
    enum type type = type_of(id);
    if ((type != STRING && type != BINARY) || value.size > UINT16_MAX)
        return -EINVAL;
    if (type == STRING && !utf8_is_valid(in(value)))
        return -EINVAL;
    uint8_t *at = extend(list, 1 + 2 + value.size);
    if (at == NULL)
        return -ENOMEM;
    *at++ = (uint8_t)id;
    put_text(at, value);
    return 0;
}

int chappe_property_add_pair(struct chappe_property_list *list, struct chappe_bytes name,
                             struct chappe_bytes value)
{
    if (name.size > UINT16_MAX || value.size > UINT16_MAX || !utf8_is_valid(in(name)) ||
        !utf8_is_valid(in(value)))
        return -EINVAL;
    uint8_t *at = extend(list, 1 + 2 + name.size + 2 + value.size);
    if (at == NULL)
        return -ENOMEM;
    *at++ = CHAPPE_USER_PROPERTY;
    put_text(put_text(at, name), value);
    return 0;
}
