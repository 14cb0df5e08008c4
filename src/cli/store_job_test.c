#include "cli/store_job.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { WORDS_MAX = 8 };

static bool parse(struct store_job *j, unsigned words, const char *const *argv, char *error,
                  size_t size)
{
    struct buffer text = { 0 };
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    *j = (struct store_job){ 0 };
    bool is_good = store_job_parse(j, words, argc, (char **)(uintptr_t)argv, &text);
    (void)snprintf(error, size, "%.*s", (int)text.size, (const char *)text.data);
    buffer_fini(&text);
    return is_good;
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        unsigned words;
        const char *argv[WORDS_MAX];
        const char *error; /* NULL: nothing is wrong */
    } rows[] = {
        { 0, { "check", "f" }, NULL },
        { 0, { "check", "-c", "x" }, NULL },
        { 0, { "check", "-h" }, NULL },
        { 0, { "check" }, "which store? Its folder, or the persistence_location, or -c FILE" },
        { 0, { "check", "f", "g" }, "what is 'g'?" },
        { 0,
          { "check", "-c", "x", "f" },
          "what is 'f'? The configuration says where the store is" },
        { 0, { "check", "-c" }, "-c needs a value" },
        { 0, { "check", "f", "--json" }, "there is no option '--json'" },
        { STORE_TAKES_TARGET, { "backup", "f", "t" }, NULL },
        { STORE_TAKES_TARGET, { "backup", "-c", "x", "t" }, NULL },
        { STORE_TAKES_TARGET, { "backup", "f" }, "where to? A folder that is not there yet" },
        { STORE_TAKES_TARGET, { "backup", "-c", "x" }, "where to? A folder that is not there yet" },
        { STORE_TAKES_TARGET, { "backup", "a", "b", "c", "d" }, "what is 'c'?" },
        { STORE_TAKES_TOP, { "stats", "f", "--top", "0" }, NULL },
        { STORE_TAKES_TOP,
          { "stats", "f", "--top", "x" },
          "--top takes a number from 0 to 1000, not 'x'" },
        { STORE_TAKES_TOP,
          { "stats", "f", "--top", "-1" },
          "--top takes a number from 0 to 1000, not '-1'" },
        { STORE_TAKES_CHOICE, { "dump", "--live", "--messages", "f" }, NULL },
        { STORE_TAKES_CHOICE,
          { "dump", "--messages", "f" },
          "--messages belongs to --live: without it, all that was written is shown" },
        { STORE_TAKES_CHOICE, { "dump", "f", "--topic", "a/#/b" }, "'a/#/b' is no Topic Filter" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct store_job j;
        char error[256];
        bool is_good = parse(&j, rows[i].words, rows[i].argv, error, sizeof error);
        assert_string_equal(error, rows[i].error == NULL ? "" : rows[i].error);
        assert_int_equal(is_good, rows[i].error == NULL);
    }
}

static void words_find_their_fields(void **state)
{
    static const char *const argv[] = { "dump",   "f",         "--live", "--full",
                                        "--json", "--session", "c",      NULL };
    struct store_job j;
    char error[256];
    assert_true(parse(&j, STORE_TAKES_CHOICE | STORE_TAKES_JSON, argv, error, sizeof error));
    assert_string_equal(j.verb, "dump");
    assert_string_equal(j.place, "f");
    assert_string_equal(j.client_id, "c");
    assert_true(j.live && j.full && j.json && !j.messages);
    assert_null(j.to);
    assert_int_equal(j.top, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(words_find_their_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
