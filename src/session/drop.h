/* session/drop.h: why a message that matched a subscription did not reach the subscriber.
 *
 * The one table of causes: each drop anywhere is counted under one of them, per Client and in all,
 * and shows up as $SYS/broker/drops/<topic>. */
#pragma once

/* DROP(NAME, "topic", "in words") */
#define DROP_TABLE(DROP)                                                                           \
    DROP(NOT_AUTHORIZED, "not-authorized", "the Client may not read the topic")                    \
    DROP(NO_LOCAL, "no-local", "published by the subscriber itself, with No Local")                \
    DROP(EXPIRED, "expired", "the Message Expiry Interval had passed")                             \
    DROP(TOO_LARGE, "too-large", "larger than the Client's Maximum Packet Size")                   \
    DROP(QUEUE_FULL, "queue-full", "max_queued_messages or max_queued_bytes was reached")          \
    DROP(SLOW, "slow", "QoS 0, and too many bytes wait for the Client already")                    \
    DROP(OFFLINE, "offline", "QoS 0, and the Client is not connected")                             \
    DROP(NO_MEMORY, "no-memory", "the broker had no memory for it")                                \
    DROP(DAMAGED, "damaged", "it could not be read back from the disk")                            \
    DROP(REFUSED, "refused", "the Client answered with an error")                                  \
    DROP(SESSION_ENDED, "session-ended", "it still waited when the Session ended")

enum drop {
#define DROP(name, topic, text) DROP_##name,
    DROP_TABLE(DROP)
#undef DROP
        DROP_COUNT,
    DROP_NONE = DROP_COUNT, /* it was not dropped */
};
