/* base/log.c: formatting and escaping; the sinks are elsewhere. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

enum { LINE_SIZE_MAX = 1023, TEXT_SIZE_MAX = 256 };

/* The size of the UTF-8 character at the start; 0 when there is no whole, proper one. */
static size_t character_size(const uint8_t *p, size_t size)
{
    /* The second byte's range keeps out overlong forms, surrogates and what is above U+10FFFF. */
    static const struct {
        uint8_t first, last, second_min, second_max, size;
    } rows[] = {
        { 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
        { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (p[0] < rows[i].first || p[0] > rows[i].last)
            continue;
        if (rows[i].size > size)
            return 0;
        if (rows[i].size > 1 && (p[1] < rows[i].second_min || p[1] > rows[i].second_max))
            return 0;
        for (size_t j = 2; j < rows[i].size; j++) {
            if ((p[j] & 0xc0) != 0x80)
                return 0;
        }
        return rows[i].size;
    }
    return 0;
}

/* C0, DEL and, as terminals obey them as well, C1. */
static bool is_control(const uint8_t *p, size_t size)
{
    return size == 1 ? p[0] < 0x20 || p[0] == 0x7f : size == 2 && p[0] == 0xc2 && p[1] < 0xa0;
}

static char *put_escaped(char *out, const uint8_t *p, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        *out++ = '\\';
        *out++ = 'x';
        *out++ = digits[p[i] >> 4];
        *out++ = digits[p[i] & 15];
    }
    return out;
}

struct log_text log_escape(struct bytes text)
{
    struct log_text escaped;
    char *out = escaped.text;
    size_t taken = 0;
    while (taken < text.size) {
        const uint8_t *p = text.data + taken;
        size_t size = character_size(p, text.size - taken);
        size_t step = size == 0 ? 1 : size;
        if (taken + step > TEXT_SIZE_MAX)
            break;
        if (size == 0 || is_control(p, size)) {
            out = put_escaped(out, p, step);
        } else {
            memcpy(out, p, step);
            out += step;
        }
        taken += step;
    }
    if (taken < text.size) {
        memcpy(out, "...", 3);
        out += 3;
    }
    *out = '\0';
    return escaped;
}

/* A line that was cut shall not end in half a character. */
static void trim_half_character(char *line, size_t size)
{
    size_t start = size;
    while (start > 0 && size - start < 3 && ((uint8_t)line[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0 || ((uint8_t)line[start - 1] & 0xc0) != 0xc0)
        return;
    start--;
    if (character_size((const uint8_t *)line + start, size - start) == 0)
        line[start] = '\0';
}

void log_print(struct log *l, enum log_type type, const char *format, ...)
{
    char line[LINE_SIZE_MAX + 1];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (size < 0)
        return; /* more than INT_MAX bytes: nothing one would want to read */
    if (size > LINE_SIZE_MAX)
        trim_half_character(line, LINE_SIZE_MAX);
    l->write(l, type, line);
}
