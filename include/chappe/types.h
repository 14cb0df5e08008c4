/* chappe/types.h: the small vocabulary that all headers of libchappe share.
 *
 * Failures come in two kinds that are never mixed in one variable: what the world did (disk,
 * network, memory, a wrong argument) is 0 or a negative errno, what the peer said is a Reason Code.
 */
#ifndef CHAPPE_TYPES_H
#define CHAPPE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define CHAPPE_API __attribute__((visibility("default")))
#else
#define CHAPPE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A borrowed view of bytes: owns nothing, passed by value, not ended by '\0'. */
struct chappe_bytes {
    const uint8_t *data; /* may be NULL when size is 0 */
    size_t size;
};

/* A view of a C string; NULL gives an empty view. */
static inline struct chappe_bytes chappe_string(const char *text)
{
    struct chappe_bytes bytes = { (const uint8_t *)text, text == NULL ? 0 : strlen(text) };
    return bytes;
}

static inline struct chappe_bytes chappe_bytes(const void *data, size_t size)
{
    struct chappe_bytes bytes = { (const uint8_t *)data, size };
    return bytes;
}

/* The protocol versions; the values are the Protocol Levels of CONNECT. */
enum chappe_version {
    CHAPPE_MQTT_3_1 = 3,
    CHAPPE_MQTT_3_1_1 = 4,
    CHAPPE_MQTT_5_0 = 5,
};

/* Reason Codes (MQTT 5.0, section 2.4).  The return codes of older versions are translated: a
 * CONNACK of 3.1.1 with code 5 is CHAPPE_NOT_AUTHORIZED, a SUBACK with 0x80 is
 * CHAPPE_UNSPECIFIED_ERROR.  Values of 0x80 and more are errors. */
enum chappe_reason {
    CHAPPE_SUCCESS = 0x00,
    CHAPPE_GRANTED_QOS_1 = 0x01,
    CHAPPE_GRANTED_QOS_2 = 0x02,
    CHAPPE_DISCONNECT_WITH_WILL = 0x04,
    CHAPPE_NO_MATCHING_SUBSCRIBERS = 0x10,
    CHAPPE_NO_SUBSCRIPTION_EXISTED = 0x11,
    CHAPPE_CONTINUE_AUTHENTICATION = 0x18,
    CHAPPE_REAUTHENTICATE = 0x19,
    CHAPPE_UNSPECIFIED_ERROR = 0x80,
    CHAPPE_MALFORMED_PACKET = 0x81,
    CHAPPE_PROTOCOL_ERROR = 0x82,
    CHAPPE_IMPLEMENTATION_SPECIFIC_ERROR = 0x83,
    CHAPPE_UNSUPPORTED_PROTOCOL_VERSION = 0x84,
    CHAPPE_CLIENT_IDENTIFIER_NOT_VALID = 0x85,
    CHAPPE_BAD_USER_NAME_OR_PASSWORD = 0x86,
    CHAPPE_NOT_AUTHORIZED = 0x87,
    CHAPPE_SERVER_UNAVAILABLE = 0x88,
    CHAPPE_SERVER_BUSY = 0x89,
    CHAPPE_BANNED = 0x8A,
    CHAPPE_SERVER_SHUTTING_DOWN = 0x8B,
    CHAPPE_BAD_AUTHENTICATION_METHOD = 0x8C,
    CHAPPE_KEEP_ALIVE_TIMEOUT = 0x8D,
    CHAPPE_SESSION_TAKEN_OVER = 0x8E,
    CHAPPE_TOPIC_FILTER_INVALID = 0x8F,
    CHAPPE_TOPIC_NAME_INVALID = 0x90,
    CHAPPE_PACKET_IDENTIFIER_IN_USE = 0x91,
    CHAPPE_PACKET_IDENTIFIER_NOT_FOUND = 0x92,
    CHAPPE_RECEIVE_MAXIMUM_EXCEEDED = 0x93,
    CHAPPE_TOPIC_ALIAS_INVALID = 0x94,
    CHAPPE_PACKET_TOO_LARGE = 0x95,
    CHAPPE_MESSAGE_RATE_TOO_HIGH = 0x96,
    CHAPPE_QUOTA_EXCEEDED = 0x97,
    CHAPPE_ADMINISTRATIVE_ACTION = 0x98,
    CHAPPE_PAYLOAD_FORMAT_INVALID = 0x99,
    CHAPPE_RETAIN_NOT_SUPPORTED = 0x9A,
    CHAPPE_QOS_NOT_SUPPORTED = 0x9B,
    CHAPPE_USE_ANOTHER_SERVER = 0x9C,
    CHAPPE_SERVER_MOVED = 0x9D,
    CHAPPE_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E,
    CHAPPE_CONNECTION_RATE_EXCEEDED = 0x9F,
    CHAPPE_MAXIMUM_CONNECT_TIME = 0xA0,
    CHAPPE_SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1,
    CHAPPE_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2,
};

/* Both kinds of failure in words: a negative errno, or a Reason Code.  Never NULL.  The text of an
 * errno is good until the calling thread's next call.  Any thread. */
CHAPPE_API const char *chappe_error_text(int code);

/* The version of the library, "1.2.3".  Static.  Any thread. */
CHAPPE_API const char *chappe_version_text(void);

#ifdef __cplusplus
}
#endif
#endif
