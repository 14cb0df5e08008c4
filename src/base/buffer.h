/* base/buffer.h: bytes that grow at the end.  One thread. */
#pragma once

#include "base/bytes.h"

struct buffer {
    uint8_t *data;
    size_t size, capacity;
};

static inline struct bytes buffer_bytes(const struct buffer *b)
{
    return (struct bytes){ b->data, b->size };
}

/* All zero is an empty buffer; init says so, fini frees. */
void buffer_init(struct buffer *b);
void buffer_fini(struct buffer *b);

/* Room for `size` more bytes at the returned address; NULL: no memory and nothing changed.
 * Capacity doubles, so that n appends cost O(n).  Committing counts them in. */
uint8_t *buffer_reserve(struct buffer *b, size_t size);
void buffer_commit(struct buffer *b, size_t size);

int buffer_append(struct buffer *b, struct bytes bytes); /* 0 or -ENOMEM */
int buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
