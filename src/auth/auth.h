/* auth/auth.h: who may connect, and who may read or write what.
 *
 * One door for every way a message can take: live, retained, queued, will, shared, by alias.  So
 * far the rules are those that hold without any configured source of users and rights: anonymous
 * access by listener, and the topics that belong to the broker.  Pure; any thread. */
#pragma once

#include "base/bytes.h"
#include "mqtt/packet.h"
#include <stdbool.h>

/* May this Client come in?  SUCCESS or NOT_AUTHORIZED.  Without a source that knows users, a name
 * and password are not checked: anonymous access decides for everybody. */
enum reason auth_login(const struct connect *connect, bool allow_anonymous);

enum auth_access { AUTH_PUBLISH, AUTH_SUBSCRIBE, AUTH_RECEIVE };

/* topic: a Topic Name; for AUTH_SUBSCRIBE a Topic Filter without its $share/ prefix. */
bool auth_permits(struct bytes client_id, struct bytes username, enum auth_access access,
                  struct bytes topic);
