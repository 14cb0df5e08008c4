/* auth/auth_test.c: the rules that hold without any source of users and rights. */
#include "auth/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
    enum auth_access access;
    const char *topic;
    bool permitted;
} rows[] = {
    { AUTH_PUBLISH, "a", true },
    { AUTH_PUBLISH, "a/$SYS", true }, /* only the first level makes it the broker's */
    { AUTH_PUBLISH, "/$SYS/a", true },
    { AUTH_PUBLISH, "", true }, /* an alias stands for it */
    { AUTH_PUBLISH, "$SYS", false },
    { AUTH_PUBLISH, "$SYS/", false },
    { AUTH_PUBLISH, "$SYS/broker/version", false },
    { AUTH_PUBLISH, "$SYSTEM", true },                         /* another word */
    { AUTH_PUBLISH, "$SYS/broker/connection/b1/state", true }, /* a bridge's own corner */
    { AUTH_PUBLISH, "$SYS/broker/connection/b1/b2/state", false },
    { AUTH_PUBLISH, "$SYS/broker/connection/b1/state/x", false },
    { AUTH_PUBLISH, "$SYS/broker/connection/state", false },
    { AUTH_PUBLISH, "$CONTROL", false },
    { AUTH_PUBLISH, "$CONTROL/dynamic-security/v1", false },
    { AUTH_PUBLISH, "$CONTROLS/a", true },
    { AUTH_PUBLISH, "$share/g/a", false },
    { AUTH_PUBLISH, "$shared/a", true },
    { AUTH_PUBLISH, "$", true },
    { AUTH_SUBSCRIBE, "$SYS/#", true },
    { AUTH_SUBSCRIBE, "#", true },
    { AUTH_RECEIVE, "$SYS/broker/version", true },
    { AUTH_RECEIVE, "a", true },
};

static void test_permits(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool permitted = auth_permits(BYTES("client"), BYTES("user"), rows[i].access,
                                      bytes_of_string(rows[i].topic));
        if (permitted != rows[i].permitted)
            print_error("row %zu: %s\n", i, rows[i].topic);
        assert_int_equal(permitted, rows[i].permitted);
    }
}

/* Anonymous access decides for everybody, whatever name they come with. */
static void test_login(void **state)
{
    struct connect named = { .has_username = true, .username = BYTES("u") }, nameless = { 0 };
    assert_int_equal(auth_login(&named, true), REASON_SUCCESS);
    assert_int_equal(auth_login(&nameless, true), REASON_SUCCESS);
    assert_int_equal(auth_login(&named, false), REASON_NOT_AUTHORIZED);
    assert_int_equal(auth_login(&nameless, false), REASON_NOT_AUTHORIZED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_permits),
        cmocka_unit_test(test_login),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
