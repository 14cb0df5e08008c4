/* chappe/properties.h: Properties (MQTT 5.0, section 2.2.2): reading and writing lists of them.
 *
 * A list of properties is plain bytes, encoded as the standard says, without the length in front.
 * The library hands out such lists with its events and takes them wherever a packet may carry
 * properties: one shape for every packet, and User Properties need no special case.
 *
 *     struct chappe_property_list list = { 0 };
 *     chappe_property_add_number(&list, CHAPPE_MESSAGE_EXPIRY_INTERVAL, 60);
 *     chappe_property_add_pair(&list, chappe_string("unit"), chappe_string("celsius"));
 *     message.properties = chappe_property_list_bytes(&list);
 *     ... publish ...
 *     chappe_property_list_free(&list);
 *
 * Functions of this header keep no state of their own; a list belongs to one thread at a time. */
#ifndef CHAPPE_PROPERTIES_H
#define CHAPPE_PROPERTIES_H

#include <chappe/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum chappe_property_id {                                      /* what it holds */
                          CHAPPE_PAYLOAD_FORMAT_INDICATOR = 1, /* number, 0 or 1 */
                          CHAPPE_MESSAGE_EXPIRY_INTERVAL = 2,  /* number, seconds */
                          CHAPPE_CONTENT_TYPE = 3,             /* text */
                          CHAPPE_RESPONSE_TOPIC = 8,           /* text */
                          CHAPPE_CORRELATION_DATA = 9,         /* bytes */
                          CHAPPE_SUBSCRIPTION_IDENTIFIER = 11, /* number, 1 to 268435455 */
                          CHAPPE_SESSION_EXPIRY_INTERVAL =
                              17, /* number, seconds; 0xffffffff: never */
                          CHAPPE_ASSIGNED_CLIENT_IDENTIFIER = 18,   /* text */
                          CHAPPE_SERVER_KEEP_ALIVE = 19,            /* number, seconds */
                          CHAPPE_AUTHENTICATION_METHOD = 21,        /* text */
                          CHAPPE_AUTHENTICATION_DATA = 22,          /* bytes */
                          CHAPPE_REQUEST_PROBLEM_INFORMATION = 23,  /* number, 0 or 1 */
                          CHAPPE_WILL_DELAY_INTERVAL = 24,          /* number, seconds */
                          CHAPPE_REQUEST_RESPONSE_INFORMATION = 25, /* number, 0 or 1 */
                          CHAPPE_RESPONSE_INFORMATION = 26,         /* text */
                          CHAPPE_SERVER_REFERENCE = 28,             /* text */
                          CHAPPE_REASON_STRING = 31,                /* text */
                          CHAPPE_RECEIVE_MAXIMUM = 33,              /* number, 1 to 65535 */
                          CHAPPE_TOPIC_ALIAS_MAXIMUM = 34,          /* number, to 65535 */
                          CHAPPE_TOPIC_ALIAS = 35,                  /* number, 1 to 65535 */
                          CHAPPE_MAXIMUM_QOS = 36,                  /* number, 0 or 1 */
                          CHAPPE_RETAIN_AVAILABLE = 37,             /* number, 0 or 1 */
                          CHAPPE_USER_PROPERTY = 38,                /* name and value, both text */
                          CHAPPE_MAXIMUM_PACKET_SIZE = 39,          /* number, bytes */
                          CHAPPE_WILDCARD_SUBSCRIPTION_AVAILABLE = 40,   /* number, 0 or 1 */
                          CHAPPE_SUBSCRIPTION_IDENTIFIER_AVAILABLE = 41, /* number, 0 or 1 */
                          CHAPPE_SHARED_SUBSCRIPTION_AVAILABLE = 42,     /* number, 0 or 1 */
};

/* One property, read from a list; the views point into the list. */
struct chappe_property {
    enum chappe_property_id id;
    uint32_t number;           /* where it holds a number */
    struct chappe_bytes name;  /* of a User Property */
    struct chappe_bytes value; /* where it holds text, bytes or a pair */
};

/* Walks a list from an event of this library: *rest starts as the list, and each call takes one
 * property off its front.  False at the end.  The order is the sender's [MQTT-3.1.3-10]. */
CHAPPE_API bool chappe_property_next(struct chappe_bytes *rest, struct chappe_property *property);

/* The first property of that kind in a list from an event of this library, or false. */
CHAPPE_API bool chappe_property_find(struct chappe_bytes list, enum chappe_property_id id,
                                     struct chappe_property *property);

/* The standard's name in Mosquitto's spelling, "content-type"; NULL: unknown.  Static. */
CHAPPE_API const char *chappe_property_name(int id);

/* A list in the making.  All zero is an empty one; free releases what it holds and empties it. */
struct chappe_property_list {
    uint8_t *data;
    size_t size, capacity;
};

CHAPPE_API void chappe_property_list_free(struct chappe_property_list *list);

/* Add a property at the end.  0; -EINVAL: unknown, of another type, number out of the type's range,
 * more than 65535 bytes, or text that is not UTF-8 [MQTT-1.5.4-1]; -ENOMEM.  After a failure the
 * list is as it was.  Whether a packet may carry a property is judged when it is sent. */
CHAPPE_API int chappe_property_add_number(struct chappe_property_list *list,
                                          enum chappe_property_id id, uint32_t number);
CHAPPE_API int chappe_property_add_bytes(struct chappe_property_list *list,
                                         enum chappe_property_id id, struct chappe_bytes value);
CHAPPE_API int chappe_property_add_pair(struct chappe_property_list *list, struct chappe_bytes name,
                                        struct chappe_bytes value);

/* The encoded list, good until the next addition. */
static inline struct chappe_bytes
chappe_property_list_bytes(const struct chappe_property_list *list)
{
    return chappe_bytes(list->data, list->size);
}

#ifdef __cplusplus
}
#endif
#endif
