/* config/option_parse.c: from the text behind a name to a value in its field.
 *
 *     "max_qos 1 # note"      the row's type says how the text is read, its offset where it goes
 *
 * Numbers, bools and words take the next word and ignore what follows; strings take the rest of
 * the line.  What fits no type has a function of its own.  Wording of errors is Mosquitto's where
 * it has any. */
#include "config/option_parse.h"
#include "config/draft.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <syslog.h>

enum { STRING_MAX = 65535 }; /* as a UTF-8 Encoded String */
#define SECONDS_MAX (INT64_MAX / 4)

/* ------------------------------------------------------------------------------- reading words -
 */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 16;
}

bool option_word(struct bytes *rest, struct bytes *word)
{
    size_t start = 0;
    while (start < rest->size && rest->data[start] == ' ')
        start++;
    size_t end = start;
    while (end < rest->size && rest->data[end] != ' ')
        end++;
    *word = bytes_of(rest->data + start, end - start);
    *rest = bytes_after(*rest, end);
    return word->size > 0;
}

/* Digits at the start of text; too large a number ends at INT64_MAX.  How many were read. */
static size_t read_digits(struct bytes text, int base, int64_t *value)
{
    size_t i = 0;
    *value = 0;
    for (; i < text.size && hex_digit(text.data[i]) < base; i++) {
        if (__builtin_mul_overflow(*value, base, value) ||
            __builtin_add_overflow(*value, hex_digit(text.data[i]), value))
            *value = INT64_MAX;
    }
    return i;
}

/* A whole number with nothing left over: 10, -10, 0x0a, 012. */
static bool read_integer(struct bytes word, int64_t *value)
{
    bool is_negative = word.size > 0 && word.data[0] == '-';
    if (is_negative || (word.size > 0 && word.data[0] == '+'))
        word = bytes_after(word, 1);
    int base = 10;
    if (word.size > 2 && word.data[0] == '0' && (word.data[1] | 0x20) == 'x') {
        base = 16;
        word = bytes_after(word, 2);
    } else if (word.size > 1 && word.data[0] == '0') {
        base = 8;
    }
    size_t digits = read_digits(word, base, value);
    if (is_negative)
        *value = -*value;
    return digits > 0 && digits == word.size;
}

static struct bytes trim(struct bytes text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = bytes_after(text, 1);
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

static bool says(struct bytes word, const char *text)
{
    return bytes_equal(word, bytes_of_string(text));
}

/* -------------------------------------------------------------------------------- complaints -- */

static int fail_empty(struct draft *d, const char *name)
{
    return draft_fail(d, "Error: Empty '%s' value in configuration.", name);
}

static int fail_invalid(struct draft *d, const char *name, struct bytes value)
{
    return draft_fail(d, "Error: Invalid '%s' value (%s).", name, LOG_TEXT(value));
}

static int fail_later(struct draft *d, const char *name, struct bytes value)
{
    return draft_fail(d, "Error: Option \"%s %s\" of Mosquitto is not available in Chappe yet.",
                      name, LOG_TEXT(value));
}

static int fail_range(struct draft *d, const struct option *o, struct bytes word, int64_t value)
{
    bool has_bits = value >= INT32_MIN && value <= INT32_MAX;
    if (o->range_error != NULL && has_bits) /* Mosquitto's words are about numbers it can read */
        return draft_fail(d, "%s", o->range_error);
    return draft_fail(
        d, "Error: Invalid '%s' value (%s). It must be between %" PRId64 " and %" PRId64 ".",
        o->name, LOG_TEXT(word), o->min, o->max);
}

static int fail_not_among(struct draft *d, const struct option *o, struct bytes word)
{
    char list[128] = "";
    size_t used = 0;
    for (const char *const *w = o->words; *w != NULL && used < sizeof list; w++) {
        int more = snprintf(list + used, sizeof list - used, "%s%s", used > 0 ? ", " : "", *w);
        used += (size_t)more;
    }
    return draft_fail(d, "Error: Invalid '%s' value (%s). It must be one of %s.", o->name,
                      LOG_TEXT(word), list);
}

/* ------------------------------------------------------------------------------ typed values -- */

static int bool_value(struct draft *d, const struct option *o, struct bytes word, int64_t *value)
{
    if (says(word, "true") || says(word, "1"))
        *value = 1;
    else if (says(word, "false") || says(word, "0"))
        *value = 0;
    else
        return fail_invalid(d, o->name, word);
    return 0;
}

static int integer_value(struct draft *d, const struct option *o, struct bytes word, int64_t *value)
{
    if (!read_integer(word, value))
        return draft_fail(d, "Error: '%s' value not a number.", o->name);
    if (*value < o->min || *value > o->max)
        return fail_range(d, o, word, *value);
    return 0;
}

static int size_value(struct draft *d, const struct option *o, struct bytes word, int64_t *value)
{
    size_t digits = read_digits(word, 10, value);
    if (digits == 0 || *value > o->max)
        return fail_invalid(d, o->name, word);
    if (*value < o->min)
        return draft_fail(d,
                          "Error: Invalid '%s' value (%s). It must be at least %" PRId64 " bytes.",
                          o->name, LOG_TEXT(word), o->min);
    if (digits < word.size)
        draft_warn(d, "Option '%s' is in bytes: \"%s\" is taken as %" PRId64 ".", o->name,
                   LOG_TEXT(word), *value);
    return 0;
}

static int enum_value(struct draft *d, const struct option *o, struct bytes word, int64_t *value)
{
    for (int i = 0; o->words[i] != NULL; i++) {
        if (says(word, o->words[i])) {
            *value = i;
            return 0;
        }
    }
    return fail_not_among(d, o, word);
}

static int typed_value(struct draft *d, const struct option *o, struct bytes word, int64_t *value)
{
    switch (o->type) {
    case OPTION_BOOL:
        return bool_value(d, o, word, value);
    case OPTION_SIZE:
        return size_value(d, o, word, value);
    case OPTION_ENUM:
        return enum_value(d, o, word, value);
    default:
        assert(o->type == OPTION_INT || o->type == OPTION_INT64);
        return integer_value(d, o, word, value);
    }
}

/* Numbers of any width and sign: ranges in the table see to it that they fit. */
static void store_number(const struct option *o, void *owner, int64_t value)
{
    if (o->has_no_limit && value <= 0)
        value = -1;
    if (o->scale > 1)
        value *= o->scale;
    void *field = (char *)owner + o->offset;
    switch (o->size) {
    case 1:
        *(uint8_t *)field = (uint8_t)value;
        break;
    case 2:
        *(uint16_t *)field = (uint16_t)value;
        break;
    case 4:
        *(uint32_t *)field = (uint32_t)value;
        break;
    default:
        assert(o->size == 8);
        *(uint64_t *)field = (uint64_t)value;
    }
}

/* A string that runs to the end of the line, checked. */
static int string_value(struct draft *d, const struct option *o, struct bytes rest,
                        const char **value)
{
    struct bytes text = trim(rest);
    int64_t max = o->max > 0 ? o->max : STRING_MAX;
    if (text.size == 0)
        return fail_empty(d, o->name);
    if (text.size > (size_t)max)
        return draft_fail(d, "Error: '%s' length must be <= %" PRId64 ".", o->name, max);
    if (!utf8_is_valid(text))
        return draft_fail(d, "Error: Malformed UTF-8 in '%s' value in configuration.", o->name);
    const char *copy = draft_string(d, text);
    if (copy == NULL)
        return draft_fail_memory(d);
    *value = copy;
    return 0;
}

int option_set_string(struct draft *d, const struct option *o, void *owner, struct bytes rest)
{
    const char **field = (const char **)(void *)((char *)owner + o->offset);
    const char *value;
    int rc = string_value(d, o, rest, &value);
    if (rc != 0)
        return rc;
    bool is_second = *field != NULL && *field != o->initial; /* defaults are not copied */
    if (is_second && !o->may_repeat)
        return draft_fail(d, "Error: Duplicate '%s' value in configuration.", o->name);
    *field = value;
    return 0;
}

int option_set_number(struct draft *d, const struct option *o, void *owner, struct bytes rest)
{
    struct bytes word;
    if (!option_word(&rest, &word))
        return fail_empty(d, o->name);
    int64_t value;
    int rc = typed_value(d, o, word, &value);
    if (rc == 0)
        store_number(o, owner, value);
    return rc;
}

/* ----------------------------------------------------------------- options with own functions - */

/* listener PORT [HOST]; a word that starts with '#' ends the line. */
int option_parse_listener(struct draft *d, const struct option *o, void *owner, struct bytes rest)
{
    struct bytes word, host;
    int64_t port;
    if (!option_word(&rest, &word))
        return fail_empty(d, "listener port");
    if (!read_integer(word, &port))
        return draft_fail(d, "Error: 'listener port' value not a number.");
    if (port < 0 || port > 65535)
        return fail_invalid(d, "port", word);
    bool has_host = option_word(&rest, &host) && host.data[0] != '#';
    if (port == 0 && !has_host)
        return draft_fail(d, "Error: A listener with port 0 must provide a Unix socket path.");
    if (port == 0)
        return fail_later(d, "listener 0", host);

    const char *host_text = NULL;
    int rc = has_host ? string_value(d, o, host, &host_text) : 0;
    if (rc == 0)
        rc = draft_listener(d, (int)port, &d->current);
    if (rc != 0)
        return rc;
    d->current->config.host = host_text;
    d->current->config.is_explicit = true;
    d->is_local_only = false;
    return 0;
}

int option_parse_socket_domain(struct draft *d, const struct option *o, void *owner,
                               struct bytes rest)
{
    struct listener_draft *l = owner;
    struct bytes word;
    if (!option_word(&rest, &word))
        return fail_empty(d, o->name);
    if (says(word, "ipv4"))
        l->config.family = AF_INET;
    else if (says(word, "ipv6"))
        l->config.family = AF_INET6;
    else
        return fail_invalid(d, o->name, word);
    return 0;
}

int option_parse_protocol(struct draft *d, const struct option *o, void *owner, struct bytes rest)
{
    struct bytes word;
    if (!option_word(&rest, &word))
        return fail_empty(d, o->name);
    if (says(word, "websockets") || says(word, "http_api"))
        return fail_later(d, o->name, word);
    if (!says(word, "mqtt"))
        return fail_invalid(d, o->name, word);
    return 0;
}

/* Versions separated by commas, spaces and tabs; numbers we have never heard of are passed over. */
int option_parse_versions(struct draft *d, const struct option *o, void *owner, struct bytes rest)
{
    struct listener_draft *l = owner;
    struct bytes text = trim(rest);
    if (text.size == 0)
        return fail_empty(d, o->name);
    unsigned versions = 0;
    for (size_t i = 0, start = 0; i <= text.size; i++) {
        if (i < text.size && memchr(", \t", text.data[i], 3) == NULL)
            continue;
        uint8_t digit = i - start == 1 ? text.data[start] : 0;
        if (digit == '3' || digit == '4' || digit == '5')
            versions |= 1U << (digit - '0');
        start = i + 1;
    }
    if (versions == 0)
        return fail_invalid(d, o->name, text); /* nobody could ever connect */
    l->config.accept_protocol_versions = versions;
    return 0;
}

/* N and a unit: hours, days, weeks, months of 30 days, years of 365. */
int option_parse_expiration(struct draft *d, const struct option *o, void *owner, struct bytes rest)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {
        { 's', 1 },      { 'h', 3600 },    { 'd', 86400 },
        { 'w', 604800 }, { 'm', 2592000 }, { 'y', 31536000 },
    };
    struct bytes word;
    if (!option_word(&rest, &word))
        return fail_empty(d, o->name);
    int64_t count;
    size_t digits = read_digits(word, 10, &count);
    if (digits == 0 || digits + 1 != word.size || count == 0)
        return fail_invalid(d, o->name, word);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (word.data[digits] != units[i].unit)
            continue;
        if (count > SECONDS_MAX / units[i].seconds)
            return fail_invalid(d, o->name, word);
        d->config.persistent_client_expiration_s = count * units[i].seconds;
        return 0;
    }
    return fail_invalid(d, o->name, word);
}

static void add_log_dest(struct draft *d, enum log_dest_kind kind, const char *path)
{
    struct config *c = &d->config;
    for (size_t i = 0; i < c->log_dest_count; i++) {
        if (c->log_dest[i].kind == kind)
            return;
    }
    assert(c->log_dest_count < CONFIG_LOG_DEST_MAX); /* there are fewer kinds */
    c->log_dest[c->log_dest_count].kind = kind;
    c->log_dest[c->log_dest_count++].path = path;
}

static int add_log_file(struct draft *d, const struct option *o, struct bytes rest)
{
    for (size_t i = 0; i < d->config.log_dest_count; i++) {
        if (d->config.log_dest[i].kind == LOG_DEST_FILE)
            return draft_fail(d, "Error: Duplicate 'log_dest file' value in configuration.");
    }
    const char *path;
    if (trim(rest).size == 0)
        return fail_empty(d, "log_dest file");
    int rc = string_value(d, o, rest, &path);
    if (rc == 0)
        add_log_dest(d, LOG_DEST_FILE, path);
    return rc;
}

/* Lines add up; `none` forgets those before it; the first one replaces the default. */
int option_parse_log_dest(struct draft *d, const struct option *o, void *owner, struct bytes rest)
{
    static const struct {
        const char *word;
        enum log_dest_kind kind;
    } kinds[] = {
        { "stderr", LOG_DEST_STDERR },
        { "stdout", LOG_DEST_STDOUT },
        { "syslog", LOG_DEST_SYSLOG },
        { "topic", LOG_DEST_TOPIC },
    };
    struct bytes word;
    if (!option_word(&rest, &word))
        return fail_empty(d, o->name);
    d->has_log_dest = true;
    if (says(word, "none")) {
        d->config.log_dest_count = 0;
        return 0;
    }
    if (says(word, "file"))
        return add_log_file(d, o, rest);
    if (says(word, "dlt") || says(word, "android"))
        return fail_later(d, o->name, word);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (says(word, kinds[i].word)) {
            add_log_dest(d, kinds[i].kind, NULL);
            return 0;
        }
    }
    return fail_invalid(d, o->name, word);
}

/* Lines add up; `all` and `none` say everything at once; the first one replaces the default. */
int option_parse_log_type(struct draft *d, const struct option *o, void *owner, struct bytes rest)
{
    static const struct {
        const char *word;
        unsigned type;
    } types[] = {
        { "debug", LOG_TYPE_DEBUG },
        { "error", LOG_TYPE_ERROR },
        { "warning", LOG_TYPE_WARNING },
        { "notice", LOG_TYPE_NOTICE },
        { "information", LOG_TYPE_INFORMATION },
        { "subscribe", LOG_TYPE_SUBSCRIBE },
        { "unsubscribe", LOG_TYPE_UNSUBSCRIBE },
        { "internal", LOG_TYPE_INTERNAL },
        { "websockets", LOG_TYPE_WEBSOCKETS },
        { "all", LOG_TYPE_ALL },
    };
    struct bytes word;
    if (!option_word(&rest, &word))
        return fail_empty(d, o->name);
    d->has_log_type = true;
    if (says(word, "none")) {
        d->config.log_types = 0;
        return 0;
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (says(word, types[i].word)) {
            d->config.log_types |= types[i].type;
            return 0;
        }
    }
    return fail_invalid(d, o->name, word);
}

int option_parse_log_facility(struct draft *d, const struct option *o, void *owner,
                              struct bytes rest)
{
    static const int facilities[] = { LOG_LOCAL0, LOG_LOCAL1, LOG_LOCAL2, LOG_LOCAL3,
                                      LOG_LOCAL4, LOG_LOCAL5, LOG_LOCAL6, LOG_LOCAL7 };
    struct bytes word;
    int64_t number;
    if (!option_word(&rest, &word))
        return fail_empty(d, o->name);
    int rc = integer_value(d, o, word, &number);
    if (rc == 0)
        d->config.log_facility = facilities[number];
    return rc;
}

/* Only noted: the reader of lines opens files, we do not. */
int option_parse_include_dir(struct draft *d, const struct option *o, void *owner,
                             struct bytes rest)
{
    if (d->is_included)
        return draft_fail(d, "Error: '%s' is only allowed in the main configuration file.",
                          o->name);
    return string_value(d, o, rest, &d->include_dir);
}

/* -------------------------------------------------------------------------------- persistence - */

/* Takes the last word off the end of text; empty: there was none. */
static struct bytes take_last_word(struct bytes *text)
{
    *text = trim(*text);
    size_t start = text->size;
    while (start > 0 && text->data[start - 1] != ' ')
        start--;
    struct bytes word = bytes_after(*text, start);
    text->size = start;
    return word;
}

/* Messages are what has a mode, and they have no share name. */
static bool is_plain_filter(struct bytes filter)
{
    struct bytes name, rest;
    return topic_filter_is_valid(filter, NULL) &&
           topic_filter_split_share(filter, &name, &rest) == SHARE_NONE;
}

/* FILTER MODE; the mode comes last, so that a filter may have spaces in it. */
int option_parse_persistence_mode(struct draft *d, const struct option *o, void *owner,
                                  struct bytes rest)
{
    struct bytes word = take_last_word(&rest);
    if (word.size == 0)
        return fail_empty(d, o->name);
    int64_t mode = PERSISTENCE_NONE; /* gcc does not see that an error ends this */
    int rc = enum_value(d, o, word, &mode);
    if (rc != 0)
        return rc;
    struct persistence_rule rule = { .mode = (enum persistence_mode)mode };
    rc = string_value(d, o, rest, &rule.filter);
    if (rc != 0)
        return rc;
    if (!is_plain_filter(bytes_of_string(rule.filter)))
        return draft_fail(d, "Error: Invalid '%s' value (%s). It is no Topic Filter.", o->name,
                          LOG_TEXT(bytes_of_string(rule.filter)));
    return draft_persistence_rule(d, rule);
}

/* What a line about autosave says changes nothing, but a slip in it does not go unnoticed. */
int option_parse_autosave_interval(struct draft *d, const struct option *o, void *owner,
                                   struct bytes rest)
{
    struct bytes word;
    int64_t seconds;
    d->has_autosave = true;
    return option_word(&rest, &word) ? integer_value(d, o, word, &seconds) : fail_empty(d, o->name);
}

int option_parse_autosave_on_changes(struct draft *d, const struct option *o, void *owner,
                                     struct bytes rest)
{
    struct bytes word;
    int64_t is_on;
    d->has_autosave = true;
    return option_word(&rest, &word) ? bool_value(d, o, word, &is_on) : fail_empty(d, o->name);
}
