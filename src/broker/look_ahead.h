/* broker/look_ahead.h: the topics of the packets that come next, looked up together. */
#pragma once

#include "base/bytes.h"

struct worker;

/* `rest` is what was read and not handled yet.  Returns how many packets, at least 1, may be
 * handled until it is worth asking again.  Until look_ahead_end the bytes must stay. */
unsigned look_ahead(struct worker *w, struct bytes rest);
void look_ahead_end(struct worker *w);
