/* client/text.c: failures in words. */
#include "chappe/types.h"
#include "mqtt/reason.h"
#include <errno.h>
#include <string.h>

/* Where the library's use of an errno says more than the system's text for it. */
static const char *own_text(int error)
{
    switch (error) {
    case ENODATA:
        return "The host name has no address";
    case ENOBUFS:
        return "The queue is full";
    case EPROTO:
        return "The server broke the protocol";
    case ESTALE:
        return "The server lost the session";
    }
    return NULL;
}

const char *chappe_error_text(int code)
{
    if (code >= 0)
        return reason_text((enum reason)code);
    const char *text = own_text(-code);
    return text != NULL ? text : strerror(-code); /* per thread since glibc 2.32; static in musl */
}

const char *chappe_version_text(void)
{
    return CHAPPE_VERSION;
}
