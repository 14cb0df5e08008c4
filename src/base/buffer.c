/* base/buffer.c: a block that doubles.
 *
 *     data --> [ size bytes in use | spare                ]
 *                                  ^ buffer_reserve       ^ capacity */
#include "base/buffer.h"
#include "base/memory.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum { CAPACITY_MIN = 64 };

void buffer_init(struct buffer *b)
{
    *b = (struct buffer){ 0 };
}

void buffer_fini(struct buffer *b)
{
    if (b == NULL)
        return;
    memory_free(b->data);
    buffer_init(b);
}

static size_t capacity_for(const struct buffer *b, size_t needed)
{
    size_t capacity = b->capacity == 0 ? CAPACITY_MIN : b->capacity;
    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    return capacity;
}

uint8_t *buffer_reserve(struct buffer *b, size_t size)
{
    if (b->data != NULL && size <= b->capacity - b->size)
        return b->data + b->size;
    if (size > SIZE_MAX - b->size)
        return NULL;
    size_t capacity = capacity_for(b, b->size + size);
    uint8_t *data = memory_resize(b->data, capacity);
    if (data == NULL)
        return NULL;
    b->data = data;
    b->capacity = capacity;
    return data + b->size;
}

void buffer_commit(struct buffer *b, size_t size)
{
    assert(size <= b->capacity - b->size);
    b->size += size;
}

int buffer_append(struct buffer *b, struct bytes bytes)
{
    if (bytes.size == 0)
        return 0;
    uint8_t *out = buffer_reserve(b, bytes.size);
    if (out == NULL)
        return -ENOMEM;
    memcpy(out, bytes.data, bytes.size);
    buffer_commit(b, bytes.size);
    return 0;
}

static int append_formatted(struct buffer *b, size_t size, const char *format, va_list arguments)
{
    uint8_t *out = buffer_reserve(b, size + 1); /* vsnprintf ends with a zero byte */
    if (out == NULL)
        return -ENOMEM;
    (void)vsnprintf((char *)out, size + 1, format, arguments); /* the size is known to fit */
    buffer_commit(b, size);
    return 0;
}

int buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    /* A negative size means more than INT_MAX bytes: more than we would hold. */
    int result = size < 0 ? -ENOMEM : append_formatted(b, (size_t)size, format, again);
    va_end(again);
    va_end(arguments);
    return result;
}
