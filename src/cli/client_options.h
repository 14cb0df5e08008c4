/* cli/client_options.h: the command line of pub and sub, with the names of mosquitto_pub and
 * mosquitto_sub.  Strings point into argv or, from files, into the options' own arena. */
#pragma once

#include "base/arena.h"
#include "base/buffer.h"
#include "chappe/client.h"
#include <stdio.h>

enum client_tool { TOOL_PUB = 1, TOOL_SUB = 2 };

/* What -D CMD may name; the packets that take properties from the user. */
enum property_command {
    FOR_CONNECT,
    FOR_PUBLISH,
    FOR_SUBSCRIBE,
    FOR_UNSUBSCRIBE,
    FOR_DISCONNECT,
    FOR_WILL,
    PROPERTY_COMMANDS,
};

enum payload_source {
    PAYLOAD_NONE,  /* nothing was said */
    PAYLOAD_TEXT,  /* -m */
    PAYLOAD_FILE,  /* -f */
    PAYLOAD_NULL,  /* -n */
    PAYLOAD_STDIN, /* -s: all of it */
    PAYLOAD_LINES, /* -l: a message per line */
};

struct text_list {
    const char **items;
    size_t count;
};

struct client_options {
    enum client_tool tool;
    const char *name; /* "mosquitto_pub", or "chappe pub" */
    struct arena arena;

    const char *host, *unix_path, *bind_address;
    int port; /* -1: not given */
    bool nodelay, no_tls;
    const char *client_id, *id_prefix, *username, *password, *password_file;
    bool keep_session;
    int keep_alive_s, max_inflight;
    enum chappe_version version;
    int64_t session_expiry_s; /* -1: not given */
    const char *will_topic, *will_payload;
    int will_qos;
    bool will_retain;
    struct chappe_property_list properties[PROPERTY_COMMANDS];
    bool debug, quiet;
    int qos;
    struct text_list topics;

    enum payload_source source; /* pub */
    const char *text, *file;
    bool retain;
    int repeat;
    int64_t repeat_delay_ns;

    struct text_list filter_outs, unsubscribes; /* sub */
    int count_max;                              /* 0: no end */
    int timeout_s;                              /* 0: none */
    bool exit_after_sub, no_retained, retained_only, remove_retained, retain_as_published;
    uint8_t retain_handling; /* CHAPPE_RETAIN_..., or 0 */
    bool no_newline, verbose, pretty, watch, message_rate;
    const char *format;    /* NULL: payload, or topic and payload */
    double random_percent; /* 100: all */
};

enum options_result { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION, OPTIONS_BAD };

void client_options_init(struct client_options *o, enum client_tool tool, const char *name);
void client_options_fini(struct client_options *o);

/* Each of these appends to *error what is wrong, as a line without its end, and says OPTIONS_BAD.
 */

/* A command line.  argv[0] is not looked at. */
enum options_result client_options_parse(struct client_options *o, int argc, char **argv,
                                         struct buffer *error);

/* The text of an options file: one option and its value per line, '#' starts a comment. */
enum options_result client_options_parse_text(struct client_options *o, struct bytes text,
                                              struct buffer *error);

/* After all sources: do the options make sense together?  Fills in what follows from them. */
enum options_result client_options_finish(struct client_options *o, struct buffer *error);

/* All of it, as the tools want it: the default options file of the user ($XDG_CONFIG_HOME or
 * ~/.config, named as the tool is), the command line, the password from file or environment.  Says
 * what is wrong on stderr. */
enum options_result client_options_load(struct client_options *o, int argc, char **argv);

/* The whole of a file, at most max bytes, appended to *out.  0 or a negative errno (-EFBIG). */
int file_read(FILE *file, size_t max, struct buffer *out);
