/* cli/message_format.c: a format is text with three kinds of holes.
 *
 *     %[-|0][width][.precision[separator]]LETTER   a part of the message
 *     @LETTER                                      a part of the time, as strftime has it; @N: ns
 *     \LETTER                                      a control character
 *
 * The letters and what the flags do to each follow mosquitto_sub 2.1: flags it ignores are ignored
 * here, for formats in use were written by trying them out. */
#include "cli/message_format.h"
#include "cli/json_text.h"
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>

struct hole {
    char letter;
    bool is_left;     /* '-' */
    char pad;         /* ' ' or, with '0', a zero */
    size_t width;     /* 0: none */
    size_t precision; /* SIZE_MAX: none */
    char separator;   /* x and X: between groups; '\0': none */
};

enum { FIELD_MAX = 10000 }; /* nobody wants a field wider than this; it bounds what we append */

/* ------------------------------------------------------------------------------- parsing ------ */

static bool is_letter(char c)
{
    return c != '\0' && strchr("%ACDEFIJPRSUXdfjlmpqrtx", c) != NULL;
}

static const char *parse_number(const char *at, size_t *out)
{
    size_t value = 0;
    for (; isdigit((unsigned char)*at); at++)
        value = value * 10 + (size_t)(*at - '0') < FIELD_MAX ? value * 10 + (size_t)(*at - '0')
                                                             : FIELD_MAX;
    *out = value;
    return at;
}

/* A hole after its '%'.  The character after it; NULL: bad, and h->letter is the culprit. */
static const char *parse_hole(const char *at, struct hole *h)
{
    *h = (struct hole){ .pad = ' ', .precision = SIZE_MAX };
    if (*at == '-' || *at == '0') {
        h->is_left = *at == '-';
        h->pad = *at == '0' ? '0' : ' ';
        at++;
    }
    at = parse_number(at, &h->width);
    bool has_precision = *at == '.';
    if (has_precision)
        at = parse_number(at + 1, &h->precision);
    if (has_precision && *at != '\0' && (at[1] == 'x' || at[1] == 'X') && !is_letter(*at))
        h->separator = *at++;
    h->letter = *at;
    return is_letter(*at) ? at + 1 : NULL;
}

static const char escapes[] = "0\0a\ae\033n\nr\rt\tv\v\\\\";

/* What stands for \c, or -1. */
static int escape_value(char c)
{
    for (size_t i = 0; i + 1 < sizeof escapes - 1; i += 2) {
        if (escapes[i] == c)
            return (unsigned char)escapes[i + 1];
    }
    return -1;
}

enum format_fault message_format_check(const char *format, char *culprit)
{
    struct hole hole;
    for (const char *at = format; *at != '\0';) {
        if (*at == '%') {
            at = parse_hole(at + 1, &hole);
            *culprit = hole.letter;
            if (at == NULL)
                return *culprit == '\0' ? FORMAT_INCOMPLETE : FORMAT_BAD_SPECIFIER;
        } else if (*at == '@') {
            if (at[1] == '\0')
                return FORMAT_INCOMPLETE;
            at += 2;
        } else if (*at == '\\') {
            *culprit = at[1];
            if (*culprit == '\0')
                return FORMAT_INCOMPLETE_ESCAPE;
            if (escape_value(*culprit) < 0)
                return FORMAT_BAD_ESCAPE;
            at += 2;
        } else {
            at++;
        }
    }
    return FORMAT_FINE;
}

/* -------------------------------------------------------------------------------- fields ------ */

static int append_pad(struct buffer *out, char pad, size_t count)
{
    uint8_t *at = buffer_reserve(out, count);
    if (at == NULL)
        return -ENOMEM;
    memset(at, pad, count);
    buffer_commit(out, count);
    return 0;
}

/* Cut to the precision, brought to the width. */
static int append_field(struct buffer *out, const struct hole *h, struct bytes text, char pad)
{
    if (text.size > h->precision)
        text.size = h->precision;
    size_t missing = text.size < h->width ? h->width - text.size : 0;
    int failure = h->is_left ? 0 : append_pad(out, pad, missing);
    if (failure == 0)
        failure = buffer_append(out, text);
    return failure == 0 && h->is_left ? append_pad(out, pad, missing) : failure;
}

static int append_text(struct buffer *out, const struct hole *h, struct bytes text)
{
    return append_field(out, h, text, ' ');
}

static int append_number(struct buffer *out, const struct hole *h, uint64_t number)
{
    char digits[24];
    int size = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    struct hole without_precision = *h;
    without_precision.precision = SIZE_MAX;
    return append_field(out, &without_precision, bytes_of(digits, (size_t)size), h->pad);
}

static int append_number_property(struct buffer *out, const struct hole *h,
                                  const struct received *r, enum chappe_property_id id)
{
    struct chappe_property p;
    if (chappe_property_find(r->message.properties, id, &p))
        return append_number(out, h, p.number);
    struct hole empty = *h;
    empty.precision = 0;
    return append_field(out, &empty, (struct bytes){ NULL, 0 }, h->pad);
}

static int append_text_property(struct buffer *out, const struct hole *h, const struct received *r,
                                enum chappe_property_id id)
{
    struct chappe_property p = { .value = { NULL, 0 } };
    (void)chappe_property_find(r->message.properties, id, &p); /* absent: empty */
    return append_text(out, h, bytes_of(p.value.data, p.value.size));
}

static int append_user_properties(struct buffer *out, const struct received *r)
{
    struct chappe_bytes rest = r->message.properties;
    const char *separator = "";
    int failure = 0;
    for (struct chappe_property p; failure == 0 && chappe_property_next(&rest, &p);) {
        if (p.id != CHAPPE_USER_PROPERTY)
            continue;
        failure =
            buffer_printf(out, "%s%.*s:%.*s", separator, (int)p.name.size,
                          (const char *)p.name.data, (int)p.value.size, (const char *)p.value.data);
        separator = " ";
    }
    return failure;
}

static struct bytes payload_of(const struct received *r)
{
    return bytes_of(r->message.payload.data, r->message.payload.size);
}

/* %p: a width is exact, the payload is cut to it. */
static int append_payload(struct buffer *out, const struct hole *h, const struct received *r)
{
    struct hole exact = *h;
    exact.precision = h->width > 0 ? h->width : SIZE_MAX;
    return append_field(out, &exact, payload_of(r), h->pad);
}

static int append_hex_digits(struct buffer *out, const struct hole *h, struct bytes payload)
{
    const char *digits = h->letter == 'x' ? "0123456789abcdef" : "0123456789ABCDEF";
    size_t group = h->separator == '\0' || h->precision == 0 ? SIZE_MAX : h->precision;
    int failure = 0;
    for (size_t i = 0; i < payload.size * 2 && failure == 0; i++) {
        unsigned nibble = payload.data[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15u;
        if (i > 0 && group != SIZE_MAX && i % group == 0)
            failure = buffer_append(out, bytes_of(&h->separator, 1));
        if (failure == 0)
            failure = buffer_append(out, bytes_of(&digits[nibble], 1));
    }
    return failure;
}

/* %x, %X: the width counts digits and is exact, as with %p; separators come on top of it. */
static int append_hex(struct buffer *out, const struct hole *h, const struct received *r)
{
    struct bytes payload = payload_of(r);
    if (h->width > 0 && payload.size > h->width / 2)
        payload.size = h->width / 2;
    size_t missing = h->width > payload.size * 2 ? h->width - payload.size * 2 : 0;
    int failure = h->is_left ? 0 : append_pad(out, h->pad, missing);
    if (failure == 0)
        failure = append_hex_digits(out, h, payload);
    return failure == 0 && h->is_left ? append_pad(out, h->pad, missing) : failure;
}

/* %f, %d: the payload as a float or a double of this machine; "nan" if it has another size. */
static int append_real(struct buffer *out, const struct hole *h, const struct received *r)
{
    struct bytes payload = payload_of(r);
    double value = NAN;
    float single;
    if (h->letter == 'f' && payload.size == sizeof single) {
        memcpy(&single, payload.data, sizeof single);
        value = (double)single;
    } else if (h->letter == 'd' && payload.size == sizeof value) {
        memcpy(&value, payload.data, sizeof value);
    }
    char digits[FIELD_MAX + 400];
    int precision = h->precision == SIZE_MAX ? 6 : (int)h->precision;
    int size = snprintf(digits, sizeof digits, "%.*f", precision, value);
    struct hole uncut = *h;
    uncut.precision = SIZE_MAX;
    return append_field(out, &uncut, bytes_of(digits, (size_t)size), h->pad);
}

/* ---------------------------------------------------------------------------------- time ------ */

/* strftime of a format of our own making; empty results stay empty. */
static int append_time(struct buffer *out, const struct hole *h, const struct received *r,
                       const char *format)
{
    char text[200];
    struct tm local;
    if (localtime_r(&r->wall.tv_sec, &local) == NULL)
        return 0;
    size_t size = strftime(text, sizeof text, format, &local);
    return append_text(out, h, bytes_of(text, size));
}

static int append_time_part(struct buffer *out, const struct received *r, char letter)
{
    static const struct hole plain = { .pad = ' ', .precision = SIZE_MAX };
    char format[] = { '%', letter, '\0' };
    if (letter == '@')
        return buffer_append(out, BYTES("@"));
    if (letter == 'N')
        return buffer_printf(out, "%09ld", r->wall.tv_nsec);
    return append_time(out, &plain, r, format);
}

static int append_unix_time(struct buffer *out, const struct received *r)
{
    return buffer_printf(out, "%lld.%09ld", (long long)r->wall.tv_sec, r->wall.tv_nsec);
}

/* ---------------------------------------------------------------------------------- JSON ------ */

static int append_json_string(struct buffer *out, struct chappe_bytes text)
{
    return json_append_string(out, bytes_of(text.data, text.size));
}

static int append_json_user_properties(struct buffer *out, struct chappe_bytes rest)
{
    int failure = buffer_append(out, BYTES("\"user-properties\":["));
    const char *separator = "";
    for (struct chappe_property p; failure == 0 && chappe_property_next(&rest, &p);) {
        if (p.id != CHAPPE_USER_PROPERTY)
            continue;
        failure = buffer_printf(out, "%s{", separator);
        if (failure == 0)
            failure = append_json_string(out, p.name);
        if (failure == 0)
            failure = buffer_append(out, BYTES(":"));
        if (failure == 0)
            failure = append_json_string(out, p.value);
        if (failure == 0)
            failure = buffer_append(out, BYTES("}"));
        separator = ",";
    }
    return failure != 0 ? failure : buffer_append(out, BYTES("]"));
}

static int append_json_property(struct buffer *out, const struct chappe_property *p)
{
    switch (p->id) {
    case CHAPPE_CONTENT_TYPE:
    case CHAPPE_RESPONSE_TOPIC:
    case CHAPPE_CORRELATION_DATA: {
        int failure = buffer_printf(out, "\"%s\":", chappe_property_name(p->id));
        return failure != 0 ? failure : append_json_string(out, p->value);
    }
    default:
        return buffer_printf(out, "\"%s\":%u", chappe_property_name(p->id), p->number);
    }
}

static int append_json_properties(struct buffer *out, struct chappe_bytes list)
{
    struct chappe_property p;
    const char *separator = "";
    if (list.size == 0)
        return 0;
    int failure = buffer_append(out, BYTES("\"properties\":{"));
    if (failure == 0 && chappe_property_find(list, CHAPPE_USER_PROPERTY, &p)) {
        failure = append_json_user_properties(out, list);
        separator = ",";
    }
    for (struct chappe_bytes rest = list; failure == 0 && chappe_property_next(&rest, &p);) {
        if (p.id == CHAPPE_USER_PROPERTY)
            continue;
        failure = buffer_append(out, bytes_of_string(separator));
        if (failure == 0)
            failure = append_json_property(out, &p);
        separator = ",";
    }
    return failure != 0 ? failure : buffer_append(out, BYTES("},"));
}

/* A payload of no bytes is null in both; otherwise %j quotes it and %J takes it as JSON. */
static int append_json_payload(struct buffer *out, const struct hole *h, const struct received *r)
{
    struct bytes payload = payload_of(r);
    if (payload.size == 0)
        return buffer_append(out, BYTES("null"));
    return h->letter == 'j' ? json_append_string(out, payload)
                            : json_rewrite(out, payload, JSON_COMPACT);
}

static int append_json_head(struct buffer *out, const struct received *r)
{
    char before[64] = "", after[16] = "";
    struct tm local;
    if (localtime_r(&r->wall.tv_sec, &local) != NULL) {
        (void)strftime(before, sizeof before, "%Y-%m-%dT%H:%M:%S", &local);
        (void)strftime(after, sizeof after, "%z", &local);
    }
    int failure = buffer_printf(out, "{\"tst\":\"%s.%06ldZ%s\",\"topic\":", before,
                                r->wall.tv_nsec / 1000, after);
    if (failure == 0)
        failure = append_json_string(out, r->message.topic);
    if (failure == 0)
        failure = buffer_printf(out, ",\"qos\":%d,\"retain\":%d,\"payloadlen\":%zu,",
                                r->message.qos, r->message.retain, r->message.payload.size);
    if (failure == 0 && r->message.qos > 0)
        failure = buffer_printf(out, "\"mid\":%u,", r->packet_id);
    return failure;
}

static int append_json(struct buffer *out, const struct hole *h, const struct received *r,
                       bool pretty)
{
    struct buffer json = { 0 };
    int failure = append_json_head(&json, r);
    if (failure == 0)
        failure = append_json_properties(&json, r->message.properties);
    if (failure == 0)
        failure = buffer_append(&json, BYTES("\"payload\":"));
    if (failure == 0)
        failure = append_json_payload(&json, h, r);
    if (failure == 0)
        failure = buffer_append(&json, BYTES("}"));
    if (failure == 0)
        failure = json_rewrite(out, buffer_bytes(&json), pretty ? JSON_PRETTY : JSON_COMPACT);
    buffer_fini(&json);
    return failure;
}

/* ------------------------------------------------------------------------------ the whole ------
 */

static int append_hole(struct buffer *out, const struct hole *h, const struct received *r,
                       bool pretty)
{
    switch (h->letter) {
    case '%':
        return buffer_append(out, BYTES("%"));
    case 'A':
        return append_number_property(out, h, r, CHAPPE_TOPIC_ALIAS);
    case 'C':
        return append_text_property(out, h, r, CHAPPE_CONTENT_TYPE);
    case 'D': {
        struct chappe_property p = { .value = { NULL, 0 } };
        (void)chappe_property_find(r->message.properties, CHAPPE_CORRELATION_DATA, &p);
        return buffer_append(out, bytes_of(p.value.data, p.value.size));
    }
    case 'E':
        return append_number_property(out, h, r, CHAPPE_MESSAGE_EXPIRY_INTERVAL);
    case 'F':
        return append_number_property(out, h, r, CHAPPE_PAYLOAD_FORMAT_INDICATOR);
    case 'I':
        return append_time(out, h, r, "%Y-%m-%dT%H:%M:%S%z");
    case 'j':
    case 'J':
        return append_json(out, h, r, pretty);
    case 'l':
        return append_number(out, h, r->message.payload.size);
    case 'm':
        return append_number(out, h, r->packet_id);
    case 'P':
        return append_user_properties(out, r);
    case 'p':
        return append_payload(out, h, r);
    case 'q':
        return buffer_printf(out, "%d", r->message.qos);
    case 'R':
        return append_text_property(out, h, r, CHAPPE_RESPONSE_TOPIC);
    case 'r':
        return buffer_printf(out, "%d", r->message.retain);
    case 'S':
        return append_number_property(out, h, r, CHAPPE_SUBSCRIPTION_IDENTIFIER);
    case 't':
        return append_text(out, h, bytes_of(r->message.topic.data, r->message.topic.size));
    case 'U':
        return append_unix_time(out, r);
    case 'x':
    case 'X':
        return append_hex(out, h, r);
    default:
        return append_real(out, h, r);
    }
}

int message_format(struct buffer *out, const char *format, const struct received *r, bool pretty)
{
    struct hole hole;
    uint8_t byte;
    int failure = 0;
    for (const char *at = format; *at != '\0' && failure == 0;) {
        switch (*at) {
        case '%':
            at = parse_hole(at + 1, &hole);
            assert(at != NULL); /* the format was checked */
            failure = append_hole(out, &hole, r, pretty);
            break;
        case '@':
            failure = append_time_part(out, r, at[1]);
            at += 2;
            break;
        case '\\':
            byte = (uint8_t)escape_value(at[1]);
            failure = buffer_append(out, bytes_of(&byte, 1));
            at += 2;
            break;
        default: {
            size_t size = strcspn(at, "%@\\");
            failure = buffer_append(out, bytes_of(at, size));
            at += size;
        }
        }
    }
    return failure;
}
