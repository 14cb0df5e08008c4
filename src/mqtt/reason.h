/* mqtt/reason.h: Reason Codes (MQTT 5.0, section 2.4), the protocol's vocabulary of outcomes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* REASON(value, NAME, "the standard's words") */
#define REASON_TABLE(REASON)                                                                       \
    REASON(0x00, SUCCESS, "Success")                                                               \
    REASON(0x01, GRANTED_QOS_1, "Granted QoS 1")                                                   \
    REASON(0x02, GRANTED_QOS_2, "Granted QoS 2")                                                   \
    REASON(0x04, DISCONNECT_WITH_WILL, "Disconnect with Will Message")                             \
    REASON(0x10, NO_MATCHING_SUBSCRIBERS, "No matching subscribers")                               \
    REASON(0x11, NO_SUBSCRIPTION_EXISTED, "No subscription existed")                               \
    REASON(0x18, CONTINUE_AUTHENTICATION, "Continue authentication")                               \
    REASON(0x19, REAUTHENTICATE, "Re-authenticate")                                                \
    REASON(0x80, UNSPECIFIED_ERROR, "Unspecified error")                                           \
    REASON(0x81, MALFORMED_PACKET, "Malformed Packet")                                             \
    REASON(0x82, PROTOCOL_ERROR, "Protocol Error")                                                 \
    REASON(0x83, IMPLEMENTATION_SPECIFIC_ERROR, "Implementation specific error")                   \
    REASON(0x84, UNSUPPORTED_PROTOCOL_VERSION, "Unsupported Protocol Version")                     \
    REASON(0x85, CLIENT_IDENTIFIER_NOT_VALID, "Client Identifier not valid")                       \
    REASON(0x86, BAD_USER_NAME_OR_PASSWORD, "Bad User Name or Password")                           \
    REASON(0x87, NOT_AUTHORIZED, "Not authorized")                                                 \
    REASON(0x88, SERVER_UNAVAILABLE, "Server unavailable")                                         \
    REASON(0x89, SERVER_BUSY, "Server busy")                                                       \
    REASON(0x8A, BANNED, "Banned")                                                                 \
    REASON(0x8B, SERVER_SHUTTING_DOWN, "Server shutting down")                                     \
    REASON(0x8C, BAD_AUTHENTICATION_METHOD, "Bad authentication method")                           \
    REASON(0x8D, KEEP_ALIVE_TIMEOUT, "Keep Alive timeout")                                         \
    REASON(0x8E, SESSION_TAKEN_OVER, "Session taken over")                                         \
    REASON(0x8F, TOPIC_FILTER_INVALID, "Topic Filter invalid")                                     \
    REASON(0x90, TOPIC_NAME_INVALID, "Topic Name invalid")                                         \
    REASON(0x91, PACKET_IDENTIFIER_IN_USE, "Packet Identifier in use")                             \
    REASON(0x92, PACKET_IDENTIFIER_NOT_FOUND, "Packet Identifier not found")                       \
    REASON(0x93, RECEIVE_MAXIMUM_EXCEEDED, "Receive Maximum exceeded")                             \
    REASON(0x94, TOPIC_ALIAS_INVALID, "Topic Alias invalid")                                       \
    REASON(0x95, PACKET_TOO_LARGE, "Packet too large")                                             \
    REASON(0x96, MESSAGE_RATE_TOO_HIGH, "Message rate too high")                                   \
    REASON(0x97, QUOTA_EXCEEDED, "Quota exceeded")                                                 \
    REASON(0x98, ADMINISTRATIVE_ACTION, "Administrative action")                                   \
    REASON(0x99, PAYLOAD_FORMAT_INVALID, "Payload format invalid")                                 \
    REASON(0x9A, RETAIN_NOT_SUPPORTED, "Retain not supported")                                     \
    REASON(0x9B, QOS_NOT_SUPPORTED, "QoS not supported")                                           \
    REASON(0x9C, USE_ANOTHER_SERVER, "Use another server")                                         \
    REASON(0x9D, SERVER_MOVED, "Server moved")                                                     \
    REASON(0x9E, SHARED_SUBSCRIPTIONS_NOT_SUPPORTED, "Shared Subscriptions not supported")         \
    REASON(0x9F, CONNECTION_RATE_EXCEEDED, "Connection rate exceeded")                             \
    REASON(0xA0, MAXIMUM_CONNECT_TIME, "Maximum connect time")                                     \
    REASON(0xA1, SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED, "Subscription Identifiers not supported") \
    REASON(0xA2, WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED, "Wildcard Subscriptions not supported")

enum reason {
#define REASON(value, name, text) REASON_##name = value,
    REASON_TABLE(REASON)
#undef REASON
};

static inline bool reason_is_error(enum reason r)
{
    return r >= 0x80;
}

/* The standard's words; "Unknown reason" for a value it does not name.  Static. */
const char *reason_text(enum reason r);

/* May this value stand in this packet?  packet_type as in mqtt/packet.h.  [MQTT-3.4.2-1] and its
 * siblings for the other packets. */
bool reason_is_allowed(uint8_t value, int packet_type);

/* The return code of a 3.1 or 3.1.1 CONNACK (0 to 5) for a 5.0 reason, and back. */
uint8_t reason_to_connack_3(enum reason r);
enum reason reason_from_connack_3(uint8_t code);
