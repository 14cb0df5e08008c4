/* cli/client_options.c: a table of options; most of them only store their value somewhere.
 *
 *     { "-p", "--port", "port", BOTH, INTEGER, offsetof(port), 1, 65535, "Invalid port given: %s" }
 *
 * The rest have a function.  Options that Mosquitto has and this build has not are in a table of
 * their own: they are refused, for a connection that silently lacks its encryption is worse than
 * none. */
#include "cli/client_options.h"
#include "base/memory.h"
#include "cli/message_format.h"
#include "cli/property_option.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

enum {
    BOTH = TOOL_PUB | TOOL_SUB,
    PASSWORD_SIZE_MAX = 65535,
    OPTIONS_FILE_SIZE_MAX = 1024 * 1024,
    TLS_PORT = 8883,
    INCLUDE_DEPTH_MAX = 8, /* of -o in files named by -o */
};

struct parser {
    struct client_options *o;
    struct buffer *error;
    const char *const *next, *const *end; /* arguments not yet taken */
    int depth;                            /* of -o */
};

enum kind { FLAG, TEXT, INTEGER, SPECIAL };

struct option {
    const char *letter, *word; /* letter may be NULL */
    const char *noun;          /* of its value; NULL: it takes none */
    unsigned tools;
    enum kind kind;
    size_t offset;                                    /* of its field */
    int least, most;                                  /* INTEGER */
    const char *range_fault;                          /* INTEGER: with one %s, the value */
    bool (*set)(struct parser *p, const char *value); /* SPECIAL */
};

/* Says what is wrong.  Always false, as "not parsed". */
__attribute__((format(printf, 2, 3))) static bool fault(struct parser *p, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)buffer_append(p->error, bytes_of_string(text)); /* without memory: less to read */
    return false;
}

static bool parse_integer(const char *text, long long *out)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return end != text && *end == '\0' && errno == 0;
}

/* ----------------------------------------------------------------------- special values ------ */

static bool list_add(struct parser *p, struct text_list *list, const char *text)
{
    const char **items = memory_resize(list->items, (list->count + 1) * sizeof *items);
    if (items == NULL)
        return fault(p, "Out of memory.");
    items[list->count++] = text;
    list->items = items;
    return true;
}

static bool filter_is_valid(const char *text)
{
    struct bytes share, rest, filter = bytes_of_string(text);
    return topic_filter_split_share(filter, &share, &rest) != SHARE_INVALID &&
           topic_filter_is_valid(rest, NULL);
}

static bool name_is_valid(const char *text)
{
    return topic_name_is_valid(bytes_of_string(text));
}

static bool set_topic(struct parser *p, const char *value)
{
    if (!utf8_is_valid(bytes_of_string(value)))
        return fault(p, "Malformed UTF-8 in -t argument.");
    if (p->o->tool == TOOL_PUB && !name_is_valid(value))
        return fault(p, "Invalid publish topic '%s', does it contain '+' or '#'?", value);
    if (p->o->tool == TOOL_SUB && !filter_is_valid(value))
        return fault(p, "Invalid subscription topic '%s', are all '+' and '#' wildcards correct?",
                     value);
    return list_add(p, &p->o->topics, value);
}

static bool set_filter_out(struct parser *p, const char *value)
{
    if (!utf8_is_valid(bytes_of_string(value)))
        return fault(p, "Malformed UTF-8 in -T argument.");
    if (!filter_is_valid(value))
        return fault(p, "Invalid filter topic '%s', are all '+' and '#' wildcards correct?", value);
    return list_add(p, &p->o->filter_outs, value);
}

static bool set_unsubscribe(struct parser *p, const char *value)
{
    if (!utf8_is_valid(bytes_of_string(value)))
        return fault(p, "Malformed UTF-8 in -U argument.");
    if (!filter_is_valid(value))
        return fault(p, "Invalid unsubscribe topic '%s', are all '+' and '#' wildcards correct?",
                     value);
    return list_add(p, &p->o->unsubscribes, value);
}

static bool set_will_topic(struct parser *p, const char *value)
{
    if (!utf8_is_valid(bytes_of_string(value)))
        return fault(p, "Malformed UTF-8 in --will-topic argument.");
    if (!name_is_valid(value))
        return fault(p, "Invalid will topic '%s', does it contain '+' or '#'?", value);
    p->o->will_topic = value;
    return true;
}

static bool set_version(struct parser *p, const char *value)
{
    static const struct {
        const char *name;
        enum chappe_version version;
    } names[] = {
        { "mqttv31", CHAPPE_MQTT_3_1 },    { "31", CHAPPE_MQTT_3_1 },
        { "mqttv311", CHAPPE_MQTT_3_1_1 }, { "311", CHAPPE_MQTT_3_1_1 },
        { "mqttv5", CHAPPE_MQTT_5_0 },     { "5", CHAPPE_MQTT_5_0 },
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(value, names[i].name) == 0) {
            p->o->version = names[i].version;
            return true;
        }
    }
    return fault(p, "Invalid protocol version argument given.");
}

static bool set_session_expiry(struct parser *p, const char *value)
{
    long long seconds;
    if (strcmp(value, "\xe2\x88\x9e") == 0) { /* infinity */
        p->o->session_expiry_s = UINT32_MAX;
        return true;
    }
    if (!parse_integer(value, &seconds))
        return fault(p, "session-expiry-interval not a number.");
    if (seconds < -1 || seconds > UINT32_MAX)
        return fault(p, "session-expiry-interval out of range.");
    p->o->session_expiry_s = seconds == -1 ? UINT32_MAX : seconds;
    return true;
}

static bool set_source(struct parser *p, enum payload_source source)
{
    if (p->o->source != PAYLOAD_NONE)
        return fault(p, "Only one type of message can be sent at once.");
    p->o->source = source;
    return true;
}

static bool set_message(struct parser *p, const char *value)
{
    p->o->text = value;
    return set_source(p, PAYLOAD_TEXT);
}

static bool set_file(struct parser *p, const char *value)
{
    p->o->file = value;
    return set_source(p, PAYLOAD_FILE);
}

static bool set_null(struct parser *p, const char *value)
{
    return set_source(p, PAYLOAD_NULL);
}

static bool set_stdin(struct parser *p, const char *value)
{
    return set_source(p, PAYLOAD_STDIN);
}

static bool set_lines(struct parser *p, const char *value)
{
    return set_source(p, PAYLOAD_LINES);
}

static bool set_repeat_delay(struct parser *p, const char *value)
{
    char *end;
    double seconds = strtod(value, &end);
    if (end == value || *end != '\0' || !(seconds >= 0) || seconds > 1e9)
        return fault(p, "--repeat-delay argument must be >=0.0.");
    p->o->repeat_delay_ns = (int64_t)(seconds * 1e9);
    return true;
}

static bool set_random_filter(struct parser *p, const char *value)
{
    char *end;
    double percent = strtod(value, &end);
    if (end == value || *end != '\0' || !(percent >= 0.1 && percent <= 100))
        return fault(p, "--random-filter chance must be between 0.1-100.0");
    p->o->random_percent = percent;
    return true;
}

static bool set_retain_handling(struct parser *p, const char *value)
{
    static const struct {
        const char *name;
        uint8_t options;
    } names[] = {
        { "always", 0 },
        { "new", CHAPPE_RETAIN_SEND_IF_NEW },
        { "never", CHAPPE_RETAIN_DO_NOT_SEND },
    };
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(value, names[i].name) == 0) {
            p->o->retain_handling = names[i].options;
            return true;
        }
    }
    return fault(p, "Invalid --retain-handling '%s', it must be always, new or never.", value);
}

static bool set_format(struct parser *p, const char *value)
{
    char culprit = '\0';
    p->o->format = value;
    switch (message_format_check(value, &culprit)) {
    case FORMAT_INCOMPLETE:
        return fault(p, "Incomplete format specifier.");
    case FORMAT_BAD_SPECIFIER:
        return fault(p, "Invalid format specifier '%c'.", culprit);
    case FORMAT_INCOMPLETE_ESCAPE:
        return fault(p, "Incomplete escape specifier.");
    case FORMAT_BAD_ESCAPE:
        return fault(p, "Invalid escape specifier '%c'.", culprit);
    case FORMAT_FINE:
        break;
    }
    return true;
}

static const char *take_argument(struct parser *p)
{
    return p->next < p->end ? *p->next++ : NULL;
}

/* The value is the first of three or four arguments. */
static bool set_property(struct parser *p, const char *command)
{
    const char *name = take_argument(p), *second = NULL;
    if (name == NULL)
        return fault(p, "--property argument given but not enough arguments specified.");
    int values = property_option_values(command, name, p->error);
    if (values == 0)
        return false;
    const char *first = take_argument(p);
    if (values == 2)
        second = take_argument(p);
    if (first == NULL || (values == 2 && second == NULL))
        return fault(p, "--property argument given but not enough arguments specified.");
    return property_option_add(p->o, command, name, first, second, p->error);
}

/* ------------------------------------------------------------------------------------ -L ------ */

static const char *keep_text(struct parser *p, const char *start, size_t size)
{
    char *copy = arena_alloc(&p->o->arena, size + 1);
    if (copy == NULL) {
        (void)fault(p, "Out of memory.");
        return NULL;
    }
    memcpy(copy, start, size);
    copy[size] = '\0';
    return copy;
}

/* username[:password]@ */
static bool set_url_user(struct parser *p, const char *start, const char *end)
{
    const char *colon = memchr(start, ':', (size_t)(end - start));
    p->o->username = keep_text(p, start, (size_t)((colon == NULL ? end : colon) - start));
    if (colon != NULL)
        p->o->password = keep_text(p, colon + 1, (size_t)(end - colon - 1));
    return p->o->username != NULL && (colon == NULL || p->o->password != NULL);
}

/* host[:port], where a host with colons of its own stands in brackets */
static bool set_url_host(struct parser *p, const char *start, const char *end)
{
    const char *close = *start == '[' ? memchr(start, ']', (size_t)(end - start)) : NULL;
    const char *search = close == NULL ? start : close;
    const char *colon = memchr(search, ':', (size_t)(end - search));
    const char *host_end = colon == NULL ? end : colon;
    if (close != NULL)
        p->o->host = keep_text(p, start + 1, (size_t)(close - start - 1));
    else
        p->o->host = keep_text(p, start, (size_t)(host_end - start));
    if (p->o->host == NULL || colon == NULL)
        return p->o->host != NULL;

    long long port;
    const char *text = keep_text(p, colon + 1, (size_t)(end - colon - 1));
    if (text == NULL)
        return false;
    if (!parse_integer(text, &port) || port < 1 || port > UINT16_MAX)
        return fault(p, "Invalid port given: %s", text);
    p->o->port = (int)port;
    return true;
}

static bool set_url(struct parser *p, const char *value)
{
    static const char *const absent[] = { "mqtts://", "wss://", "ws://" };
    for (size_t i = 0; i < 3; i++) {
        if (strncasecmp(value, absent[i], strlen(absent[i])) == 0)
            return fault(p, "%s is not available in this build yet: %s URLs are refused.",
                         i < 2 ? "TLS" : "WebSocket", absent[i]);
    }
    if (strncasecmp(value, "mqtt://", 7) != 0)
        return fault(p, "unsupported URL scheme.");
    const char *start = value + 7;
    const char *slash = strchr(start, '/');
    if (slash == NULL)
        return fault(p, "Invalid URL for -L argument specified - topic missing.");
    const char *at = memrchr(start, '@', (size_t)(slash - start));
    if (at != NULL && !set_url_user(p, start, at))
        return false;
    return set_url_host(p, at == NULL ? start : at + 1, slash) && set_topic(p, slash + 1);
}

/* --------------------------------------------------------------------------------- table ------ */

static bool include_file(struct parser *p, const char *path);

#define FIELD(name) offsetof(struct client_options, name)

static const struct option options[] = {
    { "-A", NULL, "address", BOTH, TEXT, FIELD(bind_address) },
    { "-c", "--disable-clean-session", NULL, BOTH, FLAG, FIELD(keep_session) },
    { "-d", "--debug", NULL, BOTH, FLAG, FIELD(debug) },
    { "-D", "--property", "property", BOTH, SPECIAL, .set = set_property },
    { "-h", "--host", "host", BOTH, TEXT, FIELD(host) },
    { "-i", "--id", "id", BOTH, TEXT, FIELD(client_id) },
    { "-I", "--id-prefix", "id prefix", BOTH, TEXT, FIELD(id_prefix) },
    { "-k", "--keepalive", "keepalive", BOTH, INTEGER, FIELD(keep_alive_s), 5, 65535,
      "Invalid keepalive given, it must be between 5 and 65535 inclusive." },
    { "-L", "--url", "URL", BOTH, SPECIAL, .set = set_url },
    { "-M", NULL, "max_inflight", BOTH, INTEGER, FIELD(max_inflight), 1, 65535,
      "Maximum inflight messages must be greater than 0, and less than 65536." },
    { NULL, "--no-tls", NULL, BOTH, FLAG, FIELD(no_tls) },
    { NULL, "--nodelay", NULL, BOTH, FLAG, FIELD(nodelay) },
    { "-o", NULL, "file", BOTH, SPECIAL, .set = include_file },
    { "-p", "--port", "port", BOTH, INTEGER, FIELD(port), 1, 65535, "Invalid port given: %s" },
    { "-P", "--pw", "password", BOTH, TEXT, FIELD(password) },
    { NULL, "--pw-file", "file", BOTH, TEXT, FIELD(password_file) },
    { "-q", "--qos", "QoS", BOTH, INTEGER, FIELD(qos), 0, 2, "Invalid QoS given: %s" },
    { NULL, "--quiet", NULL, BOTH, FLAG, FIELD(quiet) },
    { "-t", "--topic", "topic", BOTH, SPECIAL, .set = set_topic },
    { "-u", "--username", "username", BOTH, TEXT, FIELD(username) },
    { NULL, "--unix", "socket path", BOTH, TEXT, FIELD(unix_path) },
    { "-V", "--protocol-version", "version", BOTH, SPECIAL, .set = set_version },
    { NULL, "--will-payload", "will payload", BOTH, TEXT, FIELD(will_payload) },
    { NULL, "--will-qos", "will QoS", BOTH, INTEGER, FIELD(will_qos), 0, 2,
      "Invalid will QoS %s." },
    { NULL, "--will-retain", NULL, BOTH, FLAG, FIELD(will_retain) },
    { NULL, "--will-topic", "will topic", BOTH, SPECIAL, .set = set_will_topic },
    { "-x", "--session-expiry-interval", "session expiry interval", BOTH, SPECIAL,
      .set = set_session_expiry },

    { "-f", "--file", "file", TOOL_PUB, SPECIAL, .set = set_file },
    { "-l", "--stdin-line", NULL, TOOL_PUB, SPECIAL, .set = set_lines },
    { "-m", "--message", "message", TOOL_PUB, SPECIAL, .set = set_message },
    { "-n", "--null-message", NULL, TOOL_PUB, SPECIAL, .set = set_null },
    { "-r", "--retain", NULL, TOOL_PUB, FLAG, FIELD(retain) },
    { NULL, "--repeat", "count", TOOL_PUB, INTEGER, FIELD(repeat), 1, INT32_MAX,
      "--repeat argument must be >0." },
    { NULL, "--repeat-delay", "time", TOOL_PUB, SPECIAL, .set = set_repeat_delay },
    { "-s", "--stdin-file", NULL, TOOL_PUB, SPECIAL, .set = set_stdin },

    { "-C", NULL, "count", TOOL_SUB, INTEGER, FIELD(count_max), 1, INT32_MAX,
      "Invalid message count \"%s\"." },
    { "-E", NULL, NULL, TOOL_SUB, FLAG, FIELD(exit_after_sub) },
    { "-F", NULL, "format", TOOL_SUB, SPECIAL, .set = set_format },
    { NULL, "--message-rate", NULL, TOOL_SUB, FLAG, FIELD(message_rate) },
    { "-N", NULL, NULL, TOOL_SUB, FLAG, FIELD(no_newline) },
    { NULL, "--pretty", NULL, TOOL_SUB, FLAG, FIELD(pretty) },
    { "-R", NULL, NULL, TOOL_SUB, FLAG, FIELD(no_retained) },
    { NULL, "--random-filter", "chance", TOOL_SUB, SPECIAL, .set = set_random_filter },
    { NULL, "--remove-retained", NULL, TOOL_SUB, FLAG, FIELD(remove_retained) },
    { NULL, "--retain-as-published", NULL, TOOL_SUB, FLAG, FIELD(retain_as_published) },
    { NULL, "--retain-handling", "retain handling", TOOL_SUB, SPECIAL, .set = set_retain_handling },
    { NULL, "--retained-only", NULL, TOOL_SUB, FLAG, FIELD(retained_only) },
    { "-T", "--filter-out", "topic filter", TOOL_SUB, SPECIAL, .set = set_filter_out },
    { "-U", "--unsubscribe", "unsubscribe topic", TOOL_SUB, SPECIAL, .set = set_unsubscribe },
    { "-v", "--verbose", NULL, TOOL_SUB, FLAG, FIELD(verbose) },
    { "-W", NULL, "timeout", TOOL_SUB, INTEGER, FIELD(timeout_s), 1, INT32_MAX,
      "Invalid timeout \"%s\"." },
    { "-w", "--watch", NULL, TOOL_SUB, FLAG, FIELD(watch) },
};

/* Known to Mosquitto, unknown to this build. */
static const struct {
    const char *name, *what;
} absent_options[] = {
    { "--cafile", "TLS" },       { "--capath", "TLS" },
    { "--cert", "TLS" },         { "--ciphers", "TLS" },
    { "--insecure", "TLS" },     { "--key", "TLS" },
    { "--keyform", "TLS" },      { "--psk", "TLS" },
    { "--psk-identity", "TLS" }, { "--tls-alpn", "TLS" },
    { "--tls-engine", "TLS" },   { "--tls-engine-kpass-sha1", "TLS" },
    { "--tls-keylog", "TLS" },   { "--tls-use-os-certs", "TLS" },
    { "--tls-version", "TLS" },  { "--proxy", "A SOCKS proxy" },
    { "--ws", "WebSocket" },     { "-S", "SRV lookup" },
};

static bool is_named(const struct option *o, const char *name)
{
    return (o->letter != NULL && strcmp(o->letter, name) == 0) ||
           (o->word != NULL && strcmp(o->word, name) == 0);
}

static const struct option *option_find(const struct parser *p, const char *name)
{
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if ((options[i].tools & p->o->tool) != 0 && is_named(&options[i], name))
            return &options[i];
    }
    return NULL;
}

/* ------------------------------------------------------------------------------- parsing ------ */

static bool refuse(struct parser *p, const char *name)
{
    for (size_t i = 0; i < sizeof absent_options / sizeof absent_options[0]; i++) {
        if (strcmp(absent_options[i].name, name) == 0)
            return fault(p, "%s is not available in this build yet: %s is refused.",
                         absent_options[i].what, name);
    }
    return fault(p, "Unknown option '%s'.", name);
}

static bool set_integer(struct parser *p, const struct option *option, const char *value)
{
    long long number;
    if (parse_integer(value, &number) && number >= option->least && number <= option->most) {
        *(int *)((char *)p->o + option->offset) = (int)number;
        return true;
    }
    /* The fault has one %s or none. */
    const char *hole = strstr(option->range_fault, "%s");
    if (hole == NULL)
        return fault(p, "%s", option->range_fault);
    return fault(p, "%.*s%s%s", (int)(hole - option->range_fault), option->range_fault, value,
                 hole + 2);
}

static bool set_option(struct parser *p, const struct option *option, const char *value)
{
    void *field = (char *)p->o + option->offset;
    switch (option->kind) {
    case FLAG:
        *(bool *)field = true;
        return true;
    case TEXT:
        *(const char **)field = value;
        return true;
    case INTEGER:
        return set_integer(p, option, value);
    case SPECIAL:
        break;
    }
    return option->set(p, value);
}

/* One option and its values. */
static bool parse_option(struct parser *p, const char *name)
{
    const struct option *option = option_find(p, name);
    if (option == NULL)
        return refuse(p, name);
    const char *value = NULL;
    if (option->noun != NULL) {
        const char *canonical = option->letter != NULL ? option->letter : option->word;
        value = take_argument(p);
        if (value == NULL && option->set == set_property)
            return fault(p, "--property argument given but not enough arguments specified.");
        if (value == NULL)
            return fault(p, "%s argument given but no %s specified.", canonical, option->noun);
    }
    return set_option(p, option, value);
}

static enum options_result parse_all(struct parser *p)
{
    for (const char *name; (name = take_argument(p)) != NULL;) {
        if (strcmp(name, "--help") == 0)
            return OPTIONS_HELP;
        if (strcmp(name, "--version") == 0)
            return OPTIONS_VERSION;
        if (!parse_option(p, name))
            return OPTIONS_BAD;
    }
    return OPTIONS_RUN;
}

enum options_result client_options_parse(struct client_options *o, int argc, char **argv,
                                         struct buffer *error)
{
    const char *const *arguments = (const char *const *)argv;
    struct parser p = { o, error, arguments, arguments + argc, 0 };
    (void)take_argument(&p); /* the name we were called by */
    return parse_all(&p);
}

/* A line is an option and the rest of the line, which is its value; only -D takes several words. */
static enum options_result parse_line(struct parser *p, char *line)
{
    const char *words[8];
    size_t count = 0;
    char *rest = line;
    size_t words_max = 2;
    while (count < words_max && rest != NULL && *rest != '\0') {
        char *space = count + 1 < words_max ? strchr(rest, ' ') : NULL;
        words[count++] = rest;
        if (space != NULL)
            *space = '\0';
        rest = space == NULL ? NULL : space + 1;
        if (count == 1 && (strcmp(line, "-D") == 0 || strcmp(line, "--property") == 0))
            words_max = rest != NULL && strstr(rest, "user-property ") != NULL ? 5 : 4;
    }
    struct parser of_line = { p->o, p->error, words, words + count, p->depth };
    return parse_all(&of_line);
}

static enum options_result parse_text(struct parser *p, struct bytes text)
{
    while (text.size > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end == NULL ? text.size : (size_t)(end - text.data);
        size_t used = end == NULL ? size : size + 1;
        if (size > 0 && text.data[size - 1] == '\r')
            size--;
        if (size > 0 && text.data[0] != '#') {
            char *line = (char *)keep_text(p, (const char *)text.data, size);
            enum options_result result = line == NULL ? OPTIONS_BAD : parse_line(p, line);
            if (result != OPTIONS_RUN)
                return result;
        }
        text = bytes_after(text, used);
    }
    return OPTIONS_RUN;
}

enum options_result client_options_parse_text(struct client_options *o, struct bytes text,
                                              struct buffer *error)
{
    struct parser p = { o, error, NULL, NULL, 0 };
    return parse_text(&p, text);
}

/* --------------------------------------------------------------------------------- files ------ */

int file_read(FILE *file, size_t max, struct buffer *out)
{
    for (size_t start = out->size;;) {
        uint8_t *at = buffer_reserve(out, 65536);
        if (at == NULL)
            return -ENOMEM;
        size_t got = fread(at, 1, 65536, file);
        buffer_commit(out, got);
        if (out->size - start > max)
            return -EFBIG;
        if (got == 0)
            return ferror(file) ? -EIO : 0;
    }
}

static int path_read(const char *path, size_t max, struct buffer *out)
{
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return -errno;
    int failure = file_read(file, max, out);
    (void)fclose(file); /* it was only read */
    return failure;
}

static bool include_file(struct parser *p, const char *path)
{
    struct buffer text = { 0 };
    struct parser of_file = { p->o, p->error, NULL, NULL, p->depth + 1 };
    if (p->depth == INCLUDE_DEPTH_MAX)
        return fault(p, "Options file \"%s\": too many files within files.", path);
    int failure = path_read(path, OPTIONS_FILE_SIZE_MAX, &text);
    bool ok = failure == 0;
    if (ok)
        ok = parse_text(&of_file, buffer_bytes(&text)) == OPTIONS_RUN;
    else
        (void)fault(p, "Unable to open options file \"%s\": %s.", path, strerror(-failure));
    buffer_fini(&text);
    return ok;
}

/* ------------------------------------------------------------------------------ together ------ */

void client_options_init(struct client_options *o, enum client_tool tool, const char *name)
{
    memset(o, 0, sizeof *o);
    arena_init(&o->arena);
    o->tool = tool;
    o->name = name;
    o->host = "localhost";
    o->port = -1;
    o->keep_alive_s = 60;
    o->max_inflight = 20;
    o->version = CHAPPE_MQTT_3_1_1;
    o->session_expiry_s = -1;
    o->repeat = 1;
    o->random_percent = 100;
}

void client_options_fini(struct client_options *o)
{
    for (size_t i = 0; i < PROPERTY_COMMANDS; i++)
        chappe_property_list_free(&o->properties[i]);
    memory_free(o->topics.items);
    memory_free(o->filter_outs.items);
    memory_free(o->unsubscribes.items);
    arena_fini(&o->arena);
}

/* What is wrong with the combination, or NULL. */
static const char *combination_fault(const struct client_options *o)
{
    bool has_id = (o->client_id != NULL && o->client_id[0] != '\0') || o->id_prefix != NULL;
    bool expires_never = o->version == CHAPPE_MQTT_5_0 && o->session_expiry_s == UINT32_MAX;
    if (o->client_id != NULL && o->id_prefix != NULL)
        return "-i and -I argument cannot be used together.";
    if (o->port == TLS_PORT && !o->no_tls && o->unix_path == NULL)
        return "TLS is not available in this build yet: port 8883 is refused without --no-tls.";
    if (o->will_payload != NULL && o->will_topic == NULL)
        return "Will payload given, but no will topic given.";
    if (o->will_retain && o->will_topic == NULL)
        return "Will retain given, but no will topic given.";
    if (expires_never && !has_id)
        return "You must provide a client id if you are using an infinite session expiry interval.";
    if (o->keep_session && !has_id)
        return "You must provide a client id if you are using the -c option.";
    if (o->password != NULL && o->username == NULL && o->version != CHAPPE_MQTT_5_0)
        return "A password needs a username (-u).";
    if (o->tool == TOOL_SUB && o->topics.count == 0)
        return "You must specify a topic to subscribe to.";
    if (o->tool == TOOL_PUB && (o->topics.count == 0 || o->source == PAYLOAD_NONE))
        return "Both topic and message must be supplied.";
    if (o->no_retained && o->retained_only)
        return "Combining '-R' and '--retained-only' makes no sense.";
    return NULL;
}

static bool set_default_expiry(struct client_options *o, struct parser *p)
{
    if (o->version != CHAPPE_MQTT_5_0)
        return true;
    if (o->keep_session && o->session_expiry_s == -1)
        o->session_expiry_s = UINT32_MAX;
    if (o->session_expiry_s == -1)
        return true;
    return chappe_property_add_number(&o->properties[FOR_CONNECT], CHAPPE_SESSION_EXPIRY_INTERVAL,
                                      (uint32_t)o->session_expiry_s) == 0
               ? true
               : fault(p, "Out of memory.");
}

enum options_result client_options_finish(struct client_options *o, struct buffer *error)
{
    struct parser p = { o, error, NULL, NULL, 0 };
    const char *wrong = combination_fault(o);
    if (wrong != NULL) {
        (void)fault(&p, "%s", wrong);
        return OPTIONS_BAD;
    }
    if (!set_default_expiry(o, &p) || !property_options_are_valid(o, error))
        return OPTIONS_BAD;
    if (o->port == -1)
        o->port = 1883;
    return OPTIONS_RUN;
}

/* The file of options that stand before the command line's; a tool has one for its name. */
static enum options_result load_default_file(struct client_options *o, struct buffer *error)
{
    char name[64], path[4096];
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    (void)snprintf(name, sizeof name, "%s", o->name);
    for (char *space = name; (space = strchr(space, ' ')) != NULL;)
        *space = '_';
    if (xdg == NULL && home == NULL)
        return OPTIONS_RUN;
    int size = snprintf(path, sizeof path, "%s%s/%s", xdg != NULL ? xdg : home,
                        xdg != NULL ? "" : "/.config", name);
    if (size >= (int)sizeof path || access(path, F_OK) != 0)
        return OPTIONS_RUN;
    struct parser p = { o, error, NULL, NULL, 0 };
    return include_file(&p, path) ? OPTIONS_RUN : OPTIONS_BAD;
}

/* The first line of --pw-file, or the environment: neither shows in the list of processes. */
static bool load_password(struct client_options *o, struct buffer *error)
{
    struct parser p = { o, error, NULL, NULL, 0 };
    const char *from_environment = getenv("CHAPPE_PASSWORD");
    if (o->password != NULL)
        return true;
    if (o->password_file == NULL) {
        if (o->username != NULL)
            o->password = from_environment;
        return true;
    }
    struct buffer text = { 0 };
    int failure = path_read(o->password_file, PASSWORD_SIZE_MAX + 2, &text);
    if (failure == 0) {
        size_t size = 0;
        while (size < text.size && text.data[size] != '\n' && text.data[size] != '\r')
            size++;
        o->password = keep_text(&p, (const char *)text.data, size);
    } else {
        (void)fault(&p, "Unable to read password file \"%s\": %s.", o->password_file,
                    strerror(-failure));
    }
    buffer_fini(&text);
    return o->password != NULL;
}

static enum options_result load(struct client_options *o, int argc, char **argv,
                                struct buffer *error)
{
    enum options_result result = load_default_file(o, error);
    if (result == OPTIONS_RUN)
        result = client_options_parse(o, argc, argv, error);
    if (result == OPTIONS_RUN && !load_password(o, error))
        result = OPTIONS_BAD;
    return result == OPTIONS_RUN ? client_options_finish(o, error) : result;
}

enum options_result client_options_load(struct client_options *o, int argc, char **argv)
{
    struct buffer error = { 0 };
    enum options_result result = load(o, argc, argv, &error);
    if (result == OPTIONS_BAD)
        fprintf(stderr, "Error: %.*s\n\nUse '%s --help' to see usage.\n", (int)error.size,
                (const char *)error.data, o->name);
    buffer_fini(&error);
    return result;
}
