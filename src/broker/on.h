/* broker/on.h: one handler per Control Packet that a Client may send.
 *
 * Each lives in on_NAME.c and follows the paragraphs of its section in the standard.  The packet's
 * bytes are valid during the call only.  A handler may close or fail the connection. */
#pragma once

#include "mqtt/packet.h"

struct connection;

/* whole: the packet's bytes, and those that were read behind it: they travel with the connection if
 * its Session lives on another worker. */
void on_connect(struct connection *c, const struct connect *p, struct bytes whole);
/* Its CONNACK waited for the disk and has been sent now. */
void on_connack_sent(struct connection *c);
/* whole: the packet's bytes, for receivers who get the same. */
void on_publish(struct connection *c, const struct publish *p, struct bytes whole);
/* A PUBLISH that is decodable but for its Topic Name (wildcard): refused without closing, if the
 * version can say so. */
void on_publish_refused(struct connection *c, uint8_t qos, uint16_t packet_id, enum reason reason);
void on_puback(struct connection *c, const struct ack *p);
void on_pubrec(struct connection *c, const struct ack *p);
void on_pubrel(struct connection *c, const struct ack *p);
void on_pubcomp(struct connection *c, const struct ack *p);
void on_subscribe(struct connection *c, const struct subscribe *p);
void on_unsubscribe(struct connection *c, const struct subscribe *p);
void on_pingreq(struct connection *c);
void on_disconnect(struct connection *c, const struct disconnect *p);
void on_auth(struct connection *c, const struct disconnect *p);
