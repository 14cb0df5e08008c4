/* auth/auth.c: the rules that hold before any source of rights is asked. */
#include "auth/auth.h"
#include "mqtt/topic.h"

enum reason auth_login(const struct connect *connect, bool allow_anonymous)
{
    return allow_anonymous ? REASON_SUCCESS : REASON_NOT_AUTHORIZED;
}

static bool is_under(struct bytes topic, struct bytes root)
{
    return bytes_start_with(topic, root) &&
           (topic.size == root.size || topic.data[root.size] == '/');
}

/* $SYS, $CONTROL and $share are the broker's own.  A bridge of another broker reports its state in
 * one corner of $SYS. */
static bool may_publish(struct bytes topic)
{
    if (topic.size == 0 || topic.data[0] != '$')
        return true;
    if (is_under(topic, BYTES("$SYS")))
        return topic_filter_matches(BYTES("$SYS/broker/connection/+/state"), topic);
    return !is_under(topic, BYTES("$CONTROL")) && !is_under(topic, BYTES("$share"));
}

bool auth_permits(struct bytes client_id, struct bytes username, enum auth_access access,
                  struct bytes topic)
{
    return access != AUTH_PUBLISH || may_publish(topic);
}
