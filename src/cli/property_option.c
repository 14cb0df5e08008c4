/* cli/property_option.c: the table of the codec says what there is and where it may go; a few more
 * are refused because the library, not the user, says them. */
#include "cli/property_option.h"
#include "mqtt/packet.h"
#include "mqtt/property.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

enum type { UNKNOWN, BYTE, TWO, FOUR, VARINT, STRING, BINARY, PAIR };

static const struct {
    uint8_t type;
    uint16_t packets;
} kinds[] = {
#define PROPERTY(id, name, type, text, packets) [id] = { type, packets },
    PROPERTY_TABLE(PROPERTY)
#undef PROPERTY
};

static const struct {
    const char *name;
    int packet; /* its bit in PROPERTY_TABLE */
    int list;   /* enum property_command; -1: not ours to give */
    const char *title;
} commands[] = {
    { "connect", PACKET_CONNECT, FOR_CONNECT, "CONNECT" },
    { "publish", PACKET_PUBLISH, FOR_PUBLISH, "PUBLISH" },
    { "subscribe", PACKET_SUBSCRIBE, FOR_SUBSCRIBE, "SUBSCRIBE" },
    { "unsubscribe", PACKET_UNSUBSCRIBE, FOR_UNSUBSCRIBE, "UNSUBSCRIBE" },
    { "disconnect", PACKET_DISCONNECT, FOR_DISCONNECT, "DISCONNECT" },
    { "will", 0, FOR_WILL, "Will" },
    { "auth", PACKET_AUTH, -1, "AUTH" },
    { "puback", PACKET_PUBACK, -1, "PUBACK" },
    { "pubrec", PACKET_PUBREC, -1, "PUBREC" },
    { "pubcomp", PACKET_PUBCOMP, -1, "PUBCOMP" },
};

enum { COMMANDS = sizeof commands / sizeof commands[0], NAME_MAX_SIZE = 64 };

static int command_find(const char *name)
{
    for (int i = 0; i < COMMANDS; i++) {
        if (strcasecmp(commands[i].name, name) == 0)
            return i;
    }
    return -1;
}

static int property_find(const char *name)
{
    char lower[NAME_MAX_SIZE];
    size_t size = strlen(name);
    if (size >= sizeof lower)
        return 0;
    for (size_t i = 0; i <= size; i++)
        lower[i] = (char)tolower((unsigned char)name[i]);
    return property_from_name(bytes_of(lower, size));
}

/* The standard allows these two, and a Client has no business saying them. */
static bool is_supported(int command, int id)
{
    if (commands[command].list < 0)
        return false;
    if (commands[command].list == FOR_PUBLISH && id == PROPERTY_SUBSCRIPTION_IDENTIFIER)
        return false; /* [MQTT-3.3.4-6] */
    if (commands[command].list == FOR_DISCONNECT)
        return id == PROPERTY_SESSION_EXPIRY_INTERVAL || id == PROPERTY_USER_PROPERTY;
    return true;
}

/* Finds both; false: *error says what is wrong. */
static bool resolve(const char *command_name, const char *name, int *command, int *id,
                    struct buffer *error)
{
    *command = command_find(command_name);
    if (*command < 0) {
        (void)buffer_printf(error, "Invalid command given in --property argument.");
        return false;
    }
    *id = property_find(name);
    if (*id == 0) {
        (void)buffer_printf(error, "Invalid property name given in --property argument.");
        return false;
    }
    bool is_allowed = (kinds[*id].packets >> commands[*command].packet & 1) != 0;
    if (!is_allowed || !is_supported(*command, *id)) {
        (void)buffer_printf(error, "%s property not %s for %s in --property argument.",
                            property_name(*id), is_allowed ? "supported" : "allowed",
                            commands[*command].name);
        return false;
    }
    return true;
}

int property_option_values(const char *command_name, const char *name, struct buffer *error)
{
    int command, id;
    if (!resolve(command_name, name, &command, &id, error))
        return 0;
    return kinds[id].type == PAIR ? 2 : 1;
}

static bool add_number(struct chappe_property_list *list, int id, const char *text,
                       struct buffer *error)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0') {
        (void)buffer_printf(error, "Property value '%s' is not a number for property %s.", text,
                            property_name(id));
        return false;
    }
    if (errno == 0 && value >= 0 && value <= UINT32_MAX &&
        chappe_property_add_number(list, (enum chappe_property_id)id, (uint32_t)value) == 0)
        return true;
    (void)buffer_printf(error, "Property value (%s) out of range for property %s.", text,
                        property_name(id));
    return false;
}

static bool add_text(struct chappe_property_list *list, int id, const char *value,
                     const char *value2, struct buffer *error)
{
    struct chappe_bytes first = chappe_string(value), second = chappe_string(value2);
    int failure = id == PROPERTY_USER_PROPERTY
                      ? chappe_property_add_pair(list, first, second)
                      : chappe_property_add_bytes(list, (enum chappe_property_id)id, first);
    if (failure == 0)
        return true;
    bool is_long = first.size > UINT16_MAX || second.size > UINT16_MAX;
    (void)buffer_printf(error,
                        is_long ? "Property value too long for property %s."
                                : "Malformed UTF-8 in the value of property %s.",
                        property_name(id));
    return false;
}

bool property_option_add(struct client_options *o, const char *command_name, const char *name,
                         const char *value, const char *value2, struct buffer *error)
{
    int command, id;
    if (!resolve(command_name, name, &command, &id, error))
        return false;
    struct chappe_property_list *list = &o->properties[commands[command].list];
    o->version = CHAPPE_MQTT_5_0;
    switch (kinds[id].type) {
    case STRING:
    case BINARY:
    case PAIR:
        return add_text(list, id, value, value2, error);
    default:
        return add_number(list, id, value, error);
    }
}

bool property_options_are_valid(const struct client_options *o, struct buffer *error)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (commands[i].list < 0)
            continue;
        const struct chappe_property_list *list = &o->properties[commands[i].list];
        struct properties decoded;
        enum reason why =
            properties_decode(bytes_of(list->data, list->size), commands[i].packet, &decoded);
        if (why != REASON_SUCCESS) {
            (void)buffer_printf(error,
                                "%s properties: one of them twice, with a forbidden value, or "
                                "without another that it needs (%s).",
                                commands[i].title, reason_text(why));
            return false;
        }
    }
    return true;
}
