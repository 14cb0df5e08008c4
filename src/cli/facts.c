/* cli/facts.c: see facts.h. */
#include "cli/facts.h"
#include "cli/json_text.h"
#include "mqtt/utf8.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define SECOND_NS INT64_C(1000000000)

void facts_init(struct facts *f, enum facts_style style)
{
    *f = (struct facts){ .style = style, .is_first = true };
}

void facts_fini(struct facts *f)
{
    buffer_fini(&f->out);
}

static void put(struct facts *f, struct bytes bytes)
{
    if (f->error == 0)
        f->error = buffer_append(&f->out, bytes);
}

static void put_string(struct facts *f, const char *text)
{
    put(f, bytes_of_string(text));
}

static void put_quoted(struct facts *f, struct bytes text)
{
    if (f->error == 0)
        f->error = json_append_string(&f->out, text);
}

static void put_number(struct facts *f, uint64_t number)
{
    char digits[24];
    (void)snprintf(digits, sizeof digits, "%" PRIu64, number); /* 20 at most */
    put_string(f, digits);
}

/* What parts a fact from the one before it. */
static void part(struct facts *f)
{
    if (!f->is_first)
        put_string(f, f->style == FACTS_JSON ? "," : " ");
    f->is_first = false;
}

/* "NAME=" or "\"NAMEsuffix\":". */
static void begin_fact(struct facts *f, const char *name, const char *suffix)
{
    part(f);
    if (name == NULL)
        return;
    put_string(f, f->style == FACTS_JSON ? "\"" : "");
    put_string(f, name);
    put_string(f, f->style == FACTS_JSON ? suffix : "");
    put_string(f, f->style == FACTS_JSON ? "\":" : "=");
}

void facts_begin(struct facts *f)
{
    put_string(f, f->style == FACTS_JSON ? "{" : "");
    f->is_first = true;
}

void facts_end(struct facts *f)
{
    put_string(f, f->style == FACTS_JSON ? "}\n" : "\n");
    f->is_first = true;
}

void facts_open(struct facts *f, const char *name, char bracket)
{
    begin_fact(f, name, "");
    put(f, bytes_of(&bracket, 1));
    f->is_first = true;
}

void facts_close(struct facts *f, char bracket)
{
    put(f, bytes_of(&bracket, 1));
    f->is_first = false;
}

void facts_word(struct facts *f, const char *name, const char *word)
{
    if (f->style == FACTS_JSON) {
        facts_text(f, name, word);
        return;
    }
    part(f);
    put_string(f, word);
}

void facts_text(struct facts *f, const char *name, const char *text)
{
    begin_fact(f, name, "");
    put_quoted(f, bytes_of_string(text));
}

void facts_flag(struct facts *f, const char *name, bool is_so)
{
    if (f->style == FACTS_JSON) {
        begin_fact(f, name, "");
        put_string(f, is_so ? "true" : "false");
    } else if (is_so) {
        part(f);
        put_string(f, name);
    }
}

void facts_number(struct facts *f, const char *name, uint64_t number)
{
    begin_fact(f, name, "");
    put_number(f, number);
}

void facts_never(struct facts *f, const char *name)
{
    begin_fact(f, name, "");
    put_string(f, f->style == FACTS_JSON ? "null" : "never");
}

void facts_time(struct facts *f, const char *name, int64_t wall_ns)
{
    int64_t fraction = wall_ns % SECOND_NS;
    time_t seconds = wall_ns / SECOND_NS;
    if (fraction < 0) {
        fraction += SECOND_NS;
        seconds--;
    }
    struct tm tm;
    char date[40], text[64];
    if (gmtime_r(&seconds, &tm) == NULL || strftime(date, sizeof date, "%FT%T", &tm) == 0) {
        facts_never(f, name); /* 292 years from 1970 it is not */
        return;
    }
    (void)snprintf(text, sizeof text, "%s.%03dZ", date, (int)(fraction / 1000000));
    begin_fact(f, name, "");
    put_string(f, f->style == FACTS_JSON ? "\"" : "");
    put_string(f, text);
    put_string(f, f->style == FACTS_JSON ? "\"" : "");
}

/* ----------------------------------------------------------------------------------- bytes ---- */

/* UTF-8 that does nothing to a terminal once the ends of lines and tabs are escaped. */
static bool is_printable(struct bytes text)
{
    while (text.size > 0) {
        size_t run = 0;
        while (run < text.size && memchr("\t\n\r", text.data[run], 3) == NULL)
            run++;
        if (run > 0 && !utf8_is_printable(bytes_of(text.data, run)))
            return false;
        text = bytes_after(text, run < text.size ? run + 1 : run);
    }
    return true;
}

/* At most so many bytes, and no character in halves. */
static struct bytes cut_text(struct bytes text, size_t most)
{
    if (text.size <= most)
        return text;
    while (most > 0 && (text.data[most] & 0xc0) == 0x80)
        most--;
    return bytes_of(text.data, most);
}

static void put_hex(struct facts *f, struct bytes bytes)
{
    static const char digits[] = "0123456789abcdef";
    put_string(f, f->style == FACTS_JSON ? "\"" : "0x");
    for (size_t i = 0; i < bytes.size; i++) {
        char pair[] = { digits[bytes.data[i] >> 4], digits[bytes.data[i] & 15] };
        put(f, bytes_of(pair, sizeof pair));
    }
    put_string(f, f->style == FACTS_JSON ? "\"" : "");
}

void facts_bytes(struct facts *f, const char *name, struct bytes bytes, size_t most)
{
    bool is_text = is_printable(bytes);
    struct bytes shown = is_text             ? cut_text(bytes, most)
                         : bytes.size > most ? bytes_of(bytes.data, most)
                                             : bytes;
    begin_fact(f, name, is_text ? "" : "_hex");
    if (is_text)
        put_quoted(f, shown);
    else
        put_hex(f, shown);
    if (shown.size == bytes.size)
        return;
    if (f->style == FACTS_JSON) {
        begin_fact(f, name, "_is_cut");
        put_string(f, "true");
    } else {
        put_string(f, "...");
    }
}
