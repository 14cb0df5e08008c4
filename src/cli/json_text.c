/* cli/json_text.c: one pass, one bit of memory per level of nesting.
 *
 *     wants:  VALUE -> after a value: COMMA or the end of what is open -> ...
 *
 * The bits say whether a level is an object; that and what is wanted next is all there is to know.
 */
#include "cli/json_text.h"
#include "mqtt/utf8.h"
#include <ctype.h>
#include <errno.h>

enum { DEPTH_MAX = 1000 };

/* ------------------------------------------------------------------------------ strings ------ */

/* Bytes of the well-formed UTF-8 character at the front, 0: it is none. */
static size_t character_size(struct bytes text)
{
    for (size_t size = 1; size <= 4 && size <= text.size; size++) {
        if (utf8_is_valid(bytes_of(text.data, size)))
            return size;
    }
    return 0;
}

static int append_character(struct buffer *out, uint8_t byte, struct bytes character)
{
    switch (byte) {
    case '"':
        return buffer_append(out, BYTES("\\\""));
    case '\\':
        return buffer_append(out, BYTES("\\\\"));
    case '\b':
        return buffer_append(out, BYTES("\\b"));
    case '\f':
        return buffer_append(out, BYTES("\\f"));
    case '\n':
        return buffer_append(out, BYTES("\\n"));
    case '\r':
        return buffer_append(out, BYTES("\\r"));
    case '\t':
        return buffer_append(out, BYTES("\\t"));
    }
    if (byte < 0x20)
        return buffer_printf(out, "\\u%04x", byte);
    if (character.size == 0)
        return buffer_append(out, BYTES("\xef\xbf\xbd"));
    return buffer_append(out, character);
}

int json_append_string(struct buffer *out, struct bytes text)
{
    int failure = buffer_append(out, BYTES("\""));
    while (failure == 0 && text.size > 0) {
        size_t size = character_size(text);
        failure = append_character(out, text.data[0], bytes_of(text.data, size));
        text = bytes_after(text, size == 0 ? 1 : size);
    }
    return failure != 0 ? failure : buffer_append(out, BYTES("\""));
}

/* ------------------------------------------------------------------------------- scanning ------
 */

static struct bytes skip_blanks(struct bytes text)
{
    while (text.size > 0 && memchr(" \t\r\n", text.data[0], 4) != NULL)
        text = bytes_after(text, 1);
    return text;
}

static size_t escape_size(struct bytes text)
{
    if (text.size < 2)
        return 0;
    if (text.data[1] != 'u')
        return memchr("\"\\/bfnrt", text.data[1], 8) != NULL ? 2 : 0;
    for (size_t i = 2; i < 6; i++) {
        if (i >= text.size || !isxdigit(text.data[i]))
            return 0;
    }
    return 6;
}

/* Bytes of the string at the front, quotes included; 0: it is none. */
static size_t string_size(struct bytes text)
{
    size_t at = 1;
    while (at < text.size && text.data[at] != '"') {
        size_t size = 1;
        if (text.data[at] < 0x20)
            return 0;
        if (text.data[at] == '\\')
            size = escape_size(bytes_after(text, at));
        if (size == 0)
            return 0;
        at += size;
    }
    if (at >= text.size || !utf8_is_valid(bytes_of(text.data, at)))
        return 0;
    return at + 1;
}

static size_t digits_size(struct bytes text, size_t at)
{
    size_t start = at;
    while (at < text.size && isdigit(text.data[at]))
        at++;
    return at - start;
}

static size_t number_size(struct bytes text)
{
    size_t at = text.data[0] == '-';
    size_t digits = digits_size(text, at);
    if (digits == 0 || (digits > 1 && text.data[at] == '0'))
        return 0;
    at += digits;
    if (at < text.size && text.data[at] == '.') {
        digits = digits_size(text, at + 1);
        if (digits == 0)
            return 0;
        at += 1 + digits;
    }
    if (at < text.size && (text.data[at] | 0x20) == 'e') {
        at++;
        if (at < text.size && (text.data[at] == '+' || text.data[at] == '-'))
            at++;
        digits = digits_size(text, at);
        if (digits == 0)
            return 0;
        at += digits;
    }
    return at;
}

/* Bytes of the string, number or word at the front; 0: it is none. */
static size_t scalar_size(struct bytes text)
{
    static const char *const words[] = { "true", "false", "null" };
    if (text.data[0] == '"')
        return string_size(text);
    for (size_t i = 0; i < 3; i++) {
        struct bytes word = bytes_of_string(words[i]);
        if (bytes_start_with(text, word))
            return word.size;
    }
    return number_size(text);
}

/* ----------------------------------------------------------------------------- rewriting ------ */

enum wanted { WANT_VALUE, WANT_VALUE_OR_END, WANT_KEY, WANT_KEY_OR_END, WANT_COMMA_OR_END };

struct writer {
    struct buffer *out;
    enum json_layout layout;
    unsigned depth;
    uint8_t is_object[DEPTH_MAX / 8 + 1]; /* one bit for each level */
    enum wanted wanted;
};

static bool in_object(const struct writer *w)
{
    return (w->is_object[w->depth / 8] >> (w->depth % 8) & 1) != 0;
}

static int append_line(struct writer *w)
{
    int failure = buffer_append(w->out, BYTES("\n"));
    for (unsigned i = 0; i < w->depth && failure == 0; i++)
        failure = buffer_append(w->out, BYTES("\t"));
    return failure;
}

static int open_level(struct writer *w, bool is_object)
{
    if (w->depth == DEPTH_MAX)
        return -EINVAL;
    w->depth++;
    uint8_t bit = (uint8_t)(1u << (w->depth % 8));
    uint8_t *bits = &w->is_object[w->depth / 8];
    *bits = (uint8_t)(is_object ? *bits | bit : *bits & ~bit);
    w->wanted = is_object ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
    int failure = buffer_append(w->out, is_object ? BYTES("{") : BYTES("["));
    return failure == 0 && is_object && w->layout == JSON_PRETTY ? append_line(w) : failure;
}

static int close_level(struct writer *w, uint8_t bracket)
{
    bool is_object = bracket == '}';
    bool may_end = w->wanted == WANT_COMMA_OR_END ||
                   w->wanted == (is_object ? WANT_KEY_OR_END : WANT_VALUE_OR_END);
    if (w->depth == 0 || !may_end || in_object(w) != is_object)
        return -EINVAL;
    w->depth--;
    int failure = 0;
    if (is_object && w->layout == JSON_PRETTY)
        failure = append_line(w);
    w->wanted = WANT_COMMA_OR_END;
    return failure != 0 ? failure : buffer_append(w->out, bytes_of(&bracket, 1));
}

static int append_comma(struct writer *w)
{
    if (w->depth == 0 || w->wanted != WANT_COMMA_OR_END)
        return -EINVAL;
    bool is_object = in_object(w);
    w->wanted = is_object ? WANT_KEY : WANT_VALUE;
    int failure = buffer_append(w->out, BYTES(","));
    if (failure != 0 || w->layout == JSON_COMPACT)
        return failure;
    return is_object ? append_line(w) : buffer_append(w->out, BYTES(" "));
}

/* A key with its colon; *text moves behind it. */
static int append_key(struct writer *w, struct bytes *text)
{
    size_t size = text->data[0] == '"' ? string_size(*text) : 0;
    if (size == 0)
        return -EINVAL;
    int failure = buffer_append(w->out, bytes_of(text->data, size));
    *text = skip_blanks(bytes_after(*text, size));
    if (text->size == 0 || text->data[0] != ':')
        return -EINVAL;
    *text = bytes_after(*text, 1);
    w->wanted = WANT_VALUE;
    if (failure == 0)
        failure = buffer_append(w->out, w->layout == JSON_PRETTY ? BYTES(":\t") : BYTES(":"));
    return failure;
}

static int append_scalar(struct writer *w, struct bytes *text)
{
    if (w->wanted != WANT_VALUE && w->wanted != WANT_VALUE_OR_END)
        return -EINVAL;
    size_t size = scalar_size(*text);
    if (size == 0)
        return -EINVAL;
    int failure = buffer_append(w->out, bytes_of(text->data, size));
    *text = bytes_after(*text, size);
    w->wanted = WANT_COMMA_OR_END;
    return failure;
}

/* Takes one token off the front. */
static int take_token(struct writer *w, struct bytes *text)
{
    uint8_t first = text->data[0];
    bool wants_value = w->wanted == WANT_VALUE || w->wanted == WANT_VALUE_OR_END;
    if (first == '}' || first == ']' || first == ',') {
        *text = bytes_after(*text, 1);
        return first == ',' ? append_comma(w) : close_level(w, first);
    }
    if (w->wanted == WANT_KEY || w->wanted == WANT_KEY_OR_END)
        return append_key(w, text);
    if (first == '{' || first == '[') {
        *text = bytes_after(*text, 1);
        return wants_value ? open_level(w, first == '{') : -EINVAL;
    }
    return append_scalar(w, text);
}

int json_rewrite(struct buffer *out, struct bytes text, enum json_layout layout)
{
    struct writer w = { .out = out, .layout = layout, .wanted = WANT_VALUE };
    while ((text = skip_blanks(text)).size > 0) {
        int failure = take_token(&w, &text);
        if (failure != 0)
            return failure;
    }
    return w.depth == 0 && w.wanted == WANT_COMMA_OR_END ? 0 : -EINVAL;
}
