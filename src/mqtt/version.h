/* mqtt/version.h: the three protocol versions and the few questions in which they differ. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum version { /* the Protocol Level in CONNECT */
    VERSION_UNKNOWN = 0, /* before CONNECT */
    VERSION_3_1 = 3,
    VERSION_3_1_1 = 4,
    VERSION_5_0 = 5,
};

static inline bool version_has_properties(enum version v)
{
    return v == VERSION_5_0;
}

/* Reason Codes in acknowledgements, and a DISCONNECT from the Server. */
static inline bool version_has_reason_codes(enum version v)
{
    return v == VERSION_5_0;
}
