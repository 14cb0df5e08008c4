/* cli/client_run.c: from options to a connection. */
#include "cli/client_run.h"
#include "mqtt/reason.h"
#include <errno.h>
#include <stdarg.h>
#include <sys/random.h>
#include <unistd.h>

void complain(const struct client_options *o, const char *format, ...)
{
    if (o->quiet)
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
}

static void print_line(void *context, const char *line)
{
    printf("%s\n", line);
}

/* MQTT 3.1 wants an identifier of 1 to 23 characters; this one is ours alone. */
static void make_up_id(char *out, size_t size)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    uint8_t dice[18] = { 0 };
    (void)!getrandom(dice, sizeof dice, 0); /* cannot fail for so few bytes */
    char id[sizeof dice + 1] = "";
    for (size_t i = 0; i < sizeof dice; i++)
        id[i] = letters[dice[i] % (sizeof letters - 1)];
    (void)snprintf(out, size, "mosq-%s", id);
}

static const char *choose_id(struct client_run *r)
{
    const struct client_options *o = r->o;
    if (o->id_prefix != NULL) {
        (void)snprintf(r->client_id, sizeof r->client_id, "%.40s%d", o->id_prefix, (int)getpid());
        return r->client_id;
    }
    bool has_id = o->client_id != NULL && o->client_id[0] != '\0';
    if (!has_id && o->version == CHAPPE_MQTT_3_1) {
        make_up_id(r->client_id, sizeof r->client_id);
        return r->client_id;
    }
    return o->client_id;
}

struct chappe_bytes properties_for(const struct client_options *o, enum property_command command)
{
    return chappe_property_list_bytes(&o->properties[command]);
}

static int create_client(struct client_run *r)
{
    const struct client_options *o = r->o;
    struct chappe_message will = { .topic = chappe_string(o->will_topic),
                                   .payload = chappe_string(o->will_payload),
                                   .qos = o->will_qos,
                                   .retain = o->will_retain };
    if (o->version == CHAPPE_MQTT_5_0)
        will.properties = properties_for(o, FOR_WILL);
    struct chappe_client_options options = {
        .version = o->version,
        .client_id = choose_id(r),
        .clean_start = !o->keep_session,
        .keep_alive_s = (uint16_t)o->keep_alive_s,
        .username = o->username,
        .password = chappe_string(o->password),
        .will = o->will_topic != NULL ? &will : NULL,
        .inflight_max = (uint16_t)o->max_inflight,
        .trace = o->debug ? print_line : NULL,
    };
    if (o->version == CHAPPE_MQTT_5_0)
        options.properties = properties_for(o, FOR_CONNECT);
    return chappe_client_create(&options, &r->client);
}

static int create_loop(struct client_run *r, uint32_t reconnect_ms)
{
    struct chappe_loop_options options = {
        .host = r->o->host,
        .port = (uint16_t)r->o->port,
        .unix_path = r->o->unix_path,
        .bind_address = r->o->bind_address,
        .nodelay = r->o->nodelay,
        .reconnect_min_ms = reconnect_ms,
        .reconnect_max_ms = reconnect_ms,
    };
    return chappe_loop_create(r->client, &options, &r->loop);
}

int client_run_command(const struct client_command *command, int argc, char **argv)
{
    struct client_options o;
    const char *slash = strrchr(argv[0], '/');
    const char *called = slash == NULL ? argv[0] : slash + 1;
    bool as_mosquitto = strcmp(called, command->mosquitto_name) == 0;
    client_options_init(&o, command->tool, as_mosquitto ? called : command->name);
    int status = STATUS_FAILED;
    switch (client_options_load(&o, argc, argv)) {
    case OPTIONS_RUN:
        status = command->run(&o);
        break;
    case OPTIONS_HELP:
        command->print_help(o.name);
        status = STATUS_OK;
        break;
    case OPTIONS_VERSION:
        printf("%s version %s\n", o.name, chappe_version_text());
        status = STATUS_OK;
        break;
    case OPTIONS_BAD:
        break;
    }
    client_options_fini(&o);
    return status;
}

int client_run_open(struct client_run *r, const struct client_options *o, uint32_t reconnect_ms)
{
    *r = (struct client_run){ .o = o };
    int failure = create_client(r);
    if (failure == 0)
        failure = create_loop(r, reconnect_ms);
    if (failure != 0) {
        complain(o, failure == -EINVAL ? "Error: The client id, username, password or will is not "
                                         "valid for this version of MQTT."
                                       : "Error: Out of memory.");
        return STATUS_FAILED;
    }
    failure = chappe_loop_connect(r->loop);
    if (failure == -ENODATA || failure == -EAGAIN)
        complain(o, "Unable to connect (Lookup error.).");
    else if (failure != 0)
        complain(o, "Error: %s", chappe_error_text(failure));
    return failure == 0 ? STATUS_OK : STATUS_FAILED;
}

void client_run_close(struct client_run *r)
{
    chappe_loop_destroy(r->loop);
    chappe_client_destroy(r->client);
}

void client_run_disconnect(struct client_run *r)
{
    struct chappe_bytes properties = { NULL, 0 };
    if (r->o->version == CHAPPE_MQTT_5_0)
        properties = properties_for(r->o, FOR_DISCONNECT);
    int failure = chappe_client_disconnect(r->client, CHAPPE_SUCCESS, properties);
    if (failure == -EINVAL || failure == -EMSGSIZE) { /* properties that do not fit: go without */
        complain(r->o, "Warning: The properties given for DISCONNECT do not fit this connection.");
        (void)chappe_client_disconnect(r->client, CHAPPE_SUCCESS, chappe_bytes(NULL, 0));
    }
}

int client_run_refused(const struct client_run *r, const struct chappe_event *event)
{
    static const char *const texts[] = {
        "not accepted",
        "Connection Refused: unacceptable protocol version.",
        "Connection Refused: identifier rejected.",
        "Connection Refused: broker unavailable.",
        "Connection Refused: bad user name or password.",
        "Connection Refused: not authorised.",
    };
    if (r->o->version != CHAPPE_MQTT_5_0) {
        int code = reason_to_connack_3((enum reason)event->reason);
        complain(r->o, "Connection error: %s", texts[code]);
        return code;
    }
    complain(r->o, "Connection error: %s%s", chappe_error_text((int)event->reason),
             event->reason == CHAPPE_UNSUPPORTED_PROTOCOL_VERSION
                 ? ". Try connecting to an MQTT v5 broker, or use MQTT v3.x mode."
                 : "");
    return (int)event->reason;
}

int client_run_lost(const struct client_run *r, const struct chappe_event *event)
{
    if (event->error == 0) {
        complain(r->o, "The broker closed the connection: %s.",
                 chappe_error_text((int)event->reason));
        return STATUS_OK; /* as mosquitto_sub has it */
    }
    if (event->error == -EPROTO) {
        complain(r->o, "Error: A network protocol error occurred when communicating with the "
                       "broker.");
        return STATUS_PROTOCOL;
    }
    complain(r->o, "Error: The connection was lost.");
    return STATUS_CONNECTION_LOST;
}

void print_common_help(void)
{
    printf(
        "Connecting:\n"
        " -h, --host HOST           the broker's name or address (localhost)\n"
        " -p, --port PORT           its port (1883)\n"
        " --unix PATH               a Unix socket instead\n"
        " -L, --url URL             mqtt://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC\n"
        " -A ADDRESS                connect from this local address\n"
        " --nodelay                 send at once, with perhaps more packets\n"
        " --no-tls                  allow port 8883 without TLS, which this build does not have "
        "yet\n"
        " -V, --protocol-version V  31, 311 (default) or 5, also mqttv31, mqttv311, mqttv5\n"
        " -i, --id ID               client id; without one the broker chooses\n"
        " -I, --id-prefix PREFIX    client id: this prefix and the process id\n"
        " -k, --keepalive SECONDS   5 to 65535 (60)\n"
        " -c, --disable-clean-session\n"
        "                           go on with an earlier session and keep it; needs -i\n"
        " -x SECONDS                session expiry interval (MQTT 5); -1: never\n"
        " -u, --username USER       and its password: in the environment as CHAPPE_PASSWORD, in\n"
        " --pw-file FILE            the first line of a file, or\n"
        " -P, --pw PASSWORD         for everybody to see in the list of processes\n"
        " --will-topic TOPIC        the will, sent by the broker when we are lost, with\n"
        " --will-payload TEXT, --will-qos QOS, --will-retain\n"
        " -D, --property COMMAND NAME VALUE [VALUE]\n"
        "                           an MQTT 5 property, for instance: -D connect "
        "receive-maximum 5;\n"
        "                           COMMAND is connect, publish, subscribe, unsubscribe, will or\n"
        "                           disconnect; a user-property has two values; implies -V 5\n"
        "Both tools:\n"
        " -q, --qos QOS             quality of service, 0 (default), 1 or 2\n"
        " -M NUMBER                 QoS 1 and 2 messages under way at once (20)\n"
        " -o FILE                   read options from a file, one per line\n"
        " -d, --debug               print each packet that is sent or received\n"
        " --quiet                   print no error messages\n"
        " --help, --version\n");
}
