/* cli/client_run.h: what pub and sub do alike: connect, complain, and name an exit status. */
#pragma once

#include "chappe/loop.h"
#include "cli/client_options.h"

enum status { /* exit statuses: libmosquitto's error numbers */
              STATUS_OK = 0,
              STATUS_FAILED = 1,
              STATUS_PROTOCOL = 2,
              STATUS_CONNECTION_LOST = 7,
              STATUS_TIMEOUT = 27,
};

struct client_run {
    const struct client_options *o;
    char client_id[64]; /* ours, where one had to be made up */
    struct chappe_client *client;
    struct chappe_loop *loop;
};

/* What pub and sub are besides what they do. */
struct client_command {
    enum client_tool tool;
    const char *name, *mosquitto_name; /* the second when called by it */
    void (*print_help)(const char *name);
    int (*run)(struct client_options *o); /* the exit status */
};

/* Reads the arguments, and runs the command or says what it was asked about.  The exit status. */
int client_run_command(const struct client_command *command, int argc, char **argv);

/* Connects as the options say; reconnect_ms: wait between later attempts, 0: none.  STATUS_OK, or a
 * status, and the reason is on stderr.  Close it in any case. */
int client_run_open(struct client_run *r, const struct client_options *o, uint32_t reconnect_ms);
void client_run_close(struct client_run *r);

/* A line on stderr, unless --quiet. */
__attribute__((format(printf, 2, 3))) void complain(const struct client_options *o,
                                                    const char *format, ...);

/* The properties that -D gave for such a packet. */
struct chappe_bytes properties_for(const struct client_options *o, enum property_command command);

/* DISCONNECT, with its properties.  A failure shows as an event. */
void client_run_disconnect(struct client_run *r);

/* Complains about a REFUSED event; the exit status is the return code of CONNACK. */
int client_run_refused(const struct client_run *r, const struct chappe_event *event);

/* Complains about a DISCONNECTED event that we did not wish for; the exit status. */
int client_run_lost(const struct client_run *r, const struct chappe_event *event);

/* The lines of --help about options that both tools have. */
void print_common_help(void);
