/* sim/judge.h: a packet has reached a client: was it right? */
#pragma once

#include "sim/model.h"

/* size: of the whole packet.  Faults go to the model's trace. */
void judge_received(struct model *m, struct conn *c, const struct packet *p, size_t size);

/* The client is done with what came under this Packet Identifier. */
void judge_on_finished(struct conn *c, uint16_t packet_id);

/* Is this the type of packet that answers it? */
bool sent_is_answered_by(const struct sent *sent, enum packet_type answer);
