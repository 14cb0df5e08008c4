/* bench/peer_io.h: what the loop and the parts of a peer tell each other.  Private to loop.c and
 * peer*.c. */
#pragma once

#include "bench/peer.h"

enum { READ_SIZE = 256 * 1024, READ_HEADROOM = 8 }; /* of loop->read_buffer */

void peer_flush(struct peer *);                    /* its turn to send is over */
void peer_on_events(struct peer *, uint32_t bits); /* EPOLL...; hints only */

void peer_watch(struct peer *, int how, bool waits_for_room); /* EPOLL_CTL_... */

/* What comes while it opens: the bytes of a relay's answer that were taken; CONNACK. */
size_t peer_on_relay_answer(struct peer *, struct bytes in);
void peer_on_connack(struct peer *, const struct packet *);
void peer_on_hang_up(struct peer *, int error); /* errno, or 0: closed in good order */
