/* mqtt/utf8.h: UTF-8 Encoded Strings (MQTT 5.0, section 1.5.4).  Pure; any thread. */
#pragma once

#include "base/bytes.h"

/* Well-formed UTF-8 (no overlong forms, no surrogates, at most U+10FFFF) without U+0000?
 * [MQTT-1.5.4-1] [MQTT-1.5.4-2]  U+FEFF is a character like any other [MQTT-1.5.4-3]. */
bool utf8_is_valid(struct bytes text);

/* As above, and without control characters (U+0001..U+001F, U+007F..U+009F)? */
bool utf8_is_printable(struct bytes text);
