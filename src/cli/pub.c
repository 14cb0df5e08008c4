/* cli/pub.c: publishes, waits until the broker has it, and goes.
 *
 * One turn of the loop: what happened, then what is due.  A message is due when we are connected,
 * its time has come and there is room; when nothing is left to send and nothing is unanswered, it
 * ends. */
#include "cli/client_run.h"
#include "cli/commands.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    PAYLOAD_SIZE_MAX = 268435455,
    QUEUE_COUNT_MAX = 1000,         /* unanswered messages, before more is read */
    OUTPUT_BYTES_MAX = 1024 * 1024, /* the same for bytes not yet sent */
    FULL_WAIT_MS = 5,
    RECONNECT_MS = 1000,
};

struct pub {
    struct client_run run;
    struct client_options *o;
    struct buffer payload; /* the message; with -l: input not yet published */
    size_t used;           /* of the input, published already */
    int left;              /* repetitions */
    int64_t due_ns;        /* of the next one */
    bool is_input_over;    /* -l */
    bool is_connected, is_ending;
    int status;
};

/* ------------------------------------------------------------------------------- payload ------ */

static int fail_to_load(const struct pub *p, int failure)
{
    const char *name = p->o->source == PAYLOAD_FILE ? p->o->file : "stdin";
    if (failure == -EFBIG)
        complain(p->o, "Error: \"%s\" must be less than %d bytes.", name, PAYLOAD_SIZE_MAX);
    else
        complain(p->o, "Error: Unable to read \"%s\": %s.", name, strerror(-failure));
    return STATUS_FAILED;
}

static int load_file(struct pub *p)
{
    FILE *file = fopen(p->o->file, "rbe");
    if (file == NULL)
        return fail_to_load(p, -errno);
    int failure = file_read(file, PAYLOAD_SIZE_MAX, &p->payload);
    (void)fclose(file); /* it was only read */
    return failure == 0 ? STATUS_OK : fail_to_load(p, failure);
}

static int load_stdin(struct pub *p)
{
    int failure = file_read(stdin, PAYLOAD_SIZE_MAX, &p->payload);
    if (failure != 0)
        return fail_to_load(p, failure);
    if (p->payload.size > 0)
        return STATUS_OK;
    complain(p->o, "Error: Zero length input.");
    return STATUS_FAILED;
}

static int load_payload(struct pub *p)
{
    switch (p->o->source) {
    case PAYLOAD_TEXT:
        return buffer_append(&p->payload, bytes_of_string(p->o->text)) == 0 ? STATUS_OK
                                                                            : STATUS_FAILED;
    case PAYLOAD_FILE:
        return load_file(p);
    case PAYLOAD_STDIN:
        return load_stdin(p);
    case PAYLOAD_NULL:
    case PAYLOAD_LINES:
    case PAYLOAD_NONE:
        break;
    }
    return STATUS_OK;
}

/* ---------------------------------------------------------------------------- publishing ------ */

static bool is_full(const struct pub *p)
{
    return chappe_client_queued(p->run.client) >= QUEUE_COUNT_MAX ||
           chappe_client_output(p->run.client).size > OUTPUT_BYTES_MAX;
}

static void give_up(struct pub *p, int status)
{
    p->status = status;
    p->left = 0;
    p->is_input_over = true;
    p->used = p->payload.size;
}

/* To every topic given.  False: it cannot be. */
static bool publish(struct pub *p, struct bytes payload)
{
    for (size_t i = 0; i < p->o->topics.count; i++) {
        struct chappe_message message = { .topic = chappe_string(p->o->topics.items[i]),
                                          .payload = chappe_bytes(payload.data, payload.size),
                                          .qos = p->o->qos,
                                          .retain = p->o->retain };
        if (p->o->version == CHAPPE_MQTT_5_0)
            message.properties = properties_for(p->o, FOR_PUBLISH);
        int failure = chappe_client_publish(p->run.client, &message, NULL);
        if (failure != 0) {
            complain(p->o, "Error: %s.",
                     failure == -ENOTSUP    ? "The broker does not keep retained messages"
                     : failure == -EMSGSIZE ? "The message is larger than the broker allows"
                                            : chappe_error_text(failure));
            give_up(p, STATUS_FAILED);
            return false;
        }
    }
    return true;
}

static void publish_repetitions(struct pub *p)
{
    while (p->left > 0 && chappe_loop_now_ns() >= p->due_ns && !is_full(p)) {
        if (!publish(p, buffer_bytes(&p->payload)))
            return;
        p->left--;
        p->due_ns = chappe_loop_now_ns() + p->o->repeat_delay_ns;
    }
}

/* A whole line off the input, or what is left at its end. */
static bool take_line(struct pub *p, struct bytes *line)
{
    struct bytes rest = bytes_after(buffer_bytes(&p->payload), p->used);
    const uint8_t *end = rest.size == 0 ? NULL : memchr(rest.data, '\n', rest.size);
    if (end == NULL && (!p->is_input_over || rest.size == 0))
        return false;
    size_t size = end == NULL ? rest.size : (size_t)(end - rest.data);
    p->used += end == NULL ? size : size + 1;
    *line = bytes_of(rest.data, size);
    return true;
}

/* Lines that were taken need no room any more. */
static void compact_input(struct pub *p)
{
    size_t left = p->payload.size - p->used;
    if (p->used == 0)
        return;
    if (left > 0)
        memmove(p->payload.data, p->payload.data + p->used, left);
    p->payload.size = left;
    p->used = 0;
}

/* Reads once; the loop has said that there is something. */
static void read_input(struct pub *p)
{
    enum { READ_SIZE = 65536 };
    compact_input(p);
    uint8_t *at = buffer_reserve(&p->payload, READ_SIZE);
    ssize_t got = at == NULL ? -1 : read(STDIN_FILENO, at, READ_SIZE);
    if (got < 0 && at != NULL && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0)
        buffer_commit(&p->payload, (size_t)got);
    if (got < 0)
        complain(p->o, "Error: stdin cannot be read.");
    p->is_input_over = got <= 0;
    if (p->payload.size > PAYLOAD_SIZE_MAX) {
        complain(p->o, "Error: A line of more than %d bytes.", PAYLOAD_SIZE_MAX);
        give_up(p, STATUS_FAILED);
    }
}

static void publish_lines(struct pub *p)
{
    struct bytes line;
    while (!is_full(p) && take_line(p, &line)) {
        if (!publish(p, line))
            return;
    }
}

static bool has_more(const struct pub *p)
{
    if (p->o->source == PAYLOAD_LINES)
        return !p->is_input_over || p->used < p->payload.size;
    return p->left > 0;
}

static void publish_due(struct pub *p)
{
    if (!p->is_connected || p->is_ending)
        return;
    if (p->o->source == PAYLOAD_LINES)
        publish_lines(p);
    else
        publish_repetitions(p);
    if (!has_more(p) && chappe_client_queued(p->run.client) == 0) {
        p->is_ending = true;
        client_run_disconnect(&p->run);
    }
}

/* -------------------------------------------------------------------------------- events ------ */

static void on_published(struct pub *p, const struct chappe_event *event)
{
    if (event->error != 0)
        complain(p->o, "Warning: Publish %u failed: %s.", event->packet_id,
                 chappe_error_text(event->error));
    else if (event->reason >= 0x80)
        complain(p->o, "Warning: Publish %u failed: %s.", event->packet_id,
                 chappe_error_text((int)event->reason));
}

/* False: it is over, p->status says how. */
static bool on_event(struct pub *p, const struct chappe_event *event)
{
    switch (event->type) {
    case CHAPPE_EVENT_CONNECTED:
        p->is_connected = true;
        return true;
    case CHAPPE_EVENT_PUBLISHED:
        on_published(p, event);
        return true;
    case CHAPPE_EVENT_REFUSED:
        p->status = client_run_refused(&p->run, event);
        complain(p->o, "Error: The connection was refused.");
        return false;
    case CHAPPE_EVENT_DISCONNECTED:
        p->is_connected = false;
        if (p->is_ending)
            return false;
        if (p->o->source == PAYLOAD_LINES && event->error != 0 && event->error != -EPROTO)
            return true; /* input goes on, so do we */
        p->status = client_run_lost(&p->run, event);
        if (p->status == STATUS_OK)
            p->status = STATUS_CONNECTION_LOST; /* not all was published */
        return false;
    default:
        return true;
    }
}

/* How long to wait for an event before something is due; -1: for ever. */
static int wait_ms(const struct pub *p)
{
    if (!p->is_connected || p->is_ending || !has_more(p))
        return -1;
    if (is_full(p))
        return FULL_WAIT_MS;
    if (p->o->source == PAYLOAD_LINES)
        return -1;
    int64_t left_ns = p->due_ns - chappe_loop_now_ns();
    return left_ns <= 0
               ? 0
               : (int)((left_ns < INT64_C(3600000000000) ? left_ns : INT64_C(3600000000000)) /
                       1000000) +
                     1;
}

static int run(struct pub *p)
{
    struct chappe_event event;
    for (;;) {
        bool reads =
            p->o->source == PAYLOAD_LINES && p->is_connected && !p->is_input_over && !is_full(p);
        chappe_loop_watch(p->run.loop, reads ? STDIN_FILENO : -1);
        int result = chappe_loop_next(p->run.loop, wait_ms(p), &event);
        if (result < 0)
            return p->status;
        if (result == 0 && reads)
            read_input(p);
        if (result > 0 && !on_event(p, &event))
            return p->status;
        publish_due(p);
    }
}

static void print_help(const char *name)
{
    printf("%s publishes messages to a broker.\n\n"
           "Usage: %s [OPTION]... -t TOPIC {-m TEXT | -f FILE | -n | -s | -l}\n\n"
           "What to publish:\n"
           " -t, --topic TOPIC         where to; may be repeated\n"
           " -m, --message TEXT        this text\n"
           " -f, --file FILE           what is in the file\n"
           " -n, --null-message        nothing: a message without payload\n"
           " -s, --stdin-file          all of the standard input, as one message\n"
           " -l, --stdin-line          every line of the standard input, as one message each\n"
           " -r, --retain              for the broker to keep\n"
           " --repeat N                N times\n"
           " --repeat-delay SECONDS    with so much time between two (0)\n",
           name, name);
    print_common_help();
}

static int pub(struct client_options *o)
{
    struct pub p = { .o = o, .left = o->repeat };
    int status = load_payload(&p);
    if (status == STATUS_OK) {
        status = client_run_open(&p.run, o, o->source == PAYLOAD_LINES ? RECONNECT_MS : 0);
        if (status == STATUS_OK)
            status = run(&p);
        client_run_close(&p.run);
    }
    buffer_fini(&p.payload);
    return status;
}

int cli_pub(int argc, char **argv)
{
    static const struct client_command command = { TOOL_PUB, "chappe pub", "mosquitto_pub",
                                                    print_help, pub };
    return client_run_command(&command, argc, argv);
}
