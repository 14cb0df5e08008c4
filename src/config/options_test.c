/* config/options_test.c: the table itself, and the documentation made from it. */
#include "base/memory.h"
#include "config/config.h"
#include "config/options.h"
#include "config/options_doc.h"
#include <errno.h>
#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int no_read(const struct files *f, const char *path, struct buffer *out)
{
    return -ENOENT;
}

static int empty_folder(const struct files *f, const char *path, struct buffer *out)
{
    return 0;
}

static const struct files files = { no_read, empty_folder };
static const struct env env = { .files = &files };

static int parse(const char *text, struct config_error *error)
{
    struct config *config = NULL;
    int rc = config_parse(&env, bytes_of_string(text), "f", NULL, NULL, &config, error);
    config_destroy(config);
    return rc;
}

static bool contains(const struct buffer *b, const char *text)
{
    return memmem(b->data, b->size, text, strlen(text)) != NULL;
}

static void every_row_is_whole(void **state)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        assert_true(o->group < OPTION_GROUP_COUNT);
        assert_true(i == 0 || o->group >= option_table[i - 1].group);
        assert_non_null(o->help);
        assert_int_equal(o->help[strlen(o->help) - 1], '.');
        assert_true(o->initial != NULL || o->default_text != NULL);
        assert_true(o->initial != NULL || o->example != NULL);
        assert_true((o->type == OPTION_OTHER) == (o->parse != NULL));
        assert_true(o->type != OPTION_ENUM || o->words != NULL);
        assert_true(o->words == NULL || o->type == OPTION_ENUM || o->type == OPTION_OTHER);
        assert_true(o->type == OPTION_OTHER || o->size > 0);
    }
}

static void names_are_known_once(void **state)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        assert_ptr_equal(option_find(bytes_of_string(o->name)), o);
        assert_true(o->alias == NULL || option_find(bytes_of_string(o->alias)) == o);
        assert_null(foreign_find(bytes_of_string(o->name)));
    }
    for (size_t i = 0; i < foreign_count; i++) {
        const char *name = foreign_table[i].name;
        assert_ptr_equal(foreign_find(bytes_of_string(name)), &foreign_table[i]);
        assert_null(option_find(bytes_of_string(name)));
    }
}

/* The name and then a value in words of the table. */
static void every_option_takes_its_example_and_default(void **state)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        const char *values[] = { o->initial, o->example };
        for (size_t k = 0; k < 2; k++) {
            bool is_whole = o->type != OPTION_STRING || k == 1 || o->initial != NULL;
            if (values[k] == NULL || !is_whole)
                continue;
            char text[512];
            struct config_error error = { 0 };
            snprintf(text, sizeof text, "listener 1\n%s %s\n",
                     strcmp(o->name, "listener") == 0 ? "" : o->name,
                     strcmp(o->name, "listener") == 0 ? "" : values[k]);
            int rc = parse(text, &error);
            if (rc != 0)
                print_error("%s: %s\n", text, error.text);
            assert_int_equal(rc, 0);
        }
    }
}

static void every_foreign_option_is_named_or_harmless(void **state)
{
    for (size_t i = 0; i < foreign_count; i++) {
        const struct foreign_option *f = &foreign_table[i];
        char text[256], wanted[256];
        struct config_error error = { 0 };
        snprintf(text, sizeof text, "%s true", f->name);
        snprintf(wanted, sizeof wanted,
                 "Error: Option \"%s\" of Mosquitto is not available in Chappe yet.", f->name);
        bool is_harmless = f->kind == FOREIGN_IDLE || f->kind == FOREIGN_REMOVED;
        assert_int_equal(parse(text, &error), is_harmless ? 0 : -EINVAL);
        if (!is_harmless)
            assert_string_equal(error.text, wanted);
    }
}

static void every_option_is_documented(void **state)
{
    static const char *const entries[] = {
        [OPTIONS_DOC_MARKDOWN] = "\n### %s\n",
        [OPTIONS_DOC_MAN] = "\n.TP\n\\fB%s\\fR ",
        [OPTIONS_DOC_EXAMPLE] = "\n#%s ",
    };
    for (int format = OPTIONS_DOC_MARKDOWN; format <= OPTIONS_DOC_EXAMPLE; format++) {
        struct buffer doc;
        buffer_init(&doc);
        assert_int_equal(options_doc_print((enum options_doc_format)format, &doc), 0);
        for (size_t i = 0; i < option_count; i++) {
            char entry[128];
            const char *gap = strchr(entries[format], '%');
            snprintf(entry, sizeof entry, "%.*s%s%s", (int)(gap - entries[format]), entries[format],
                     option_table[i].name, gap + 2);
            assert_true(contains(&doc, entry));
        }
        buffer_fini(&doc);
    }
}

/* Every "#name value" without its '#': the example file is a configuration one could use. */
static void the_example_file_can_be_used(void **state)
{
    struct buffer doc, text;
    buffer_init(&doc);
    buffer_init(&text);
    assert_int_equal(options_doc_print(OPTIONS_DOC_EXAMPLE, &doc), 0);
    for (size_t i = 0; i < doc.size; i++) {
        bool is_option = doc.data[i] == '#' && i + 1 < doc.size && doc.data[i + 1] != ' ' &&
                         i > 0 && doc.data[i - 1] == '\n';
        if (!is_option)
            assert_int_equal(buffer_append(&text, bytes_of(doc.data + i, 1)), 0);
    }
    /* The default listener has the same port as the first one; one of them has to go. */
    const char *port = "\nport 1883";
    char *at = memmem(text.data, text.size, port, strlen(port));
    assert_non_null(at);
    at[strlen(port) - 1] = '4';

    struct config *config = NULL;
    struct config_error error = { 0 };
    int rc = config_parse(&env, buffer_bytes(&text), "f", NULL, NULL, &config, &error);
    if (rc != 0)
        print_error("line %d: %s\n", error.line, error.text);
    assert_int_equal(rc, 0);
    config_destroy(config);
    buffer_fini(&text);
    buffer_fini(&doc);
}

static void splicing_keeps_the_frame(void **state)
{
    static const struct {
        const char *text, *before, *after;
    } rows[] = {
        { "a\n# options-doc: begin\nold\nold\n# options-doc: end\nb", "a\n# options-doc: begin\n",
          "# options-doc: end\nb" },
        { "options-doc: begin\noptions-doc: end", "options-doc: begin\n", "options-doc: end" },
        { "a\nb\n", NULL, NULL },
        { "options-doc: begin", NULL, NULL },
        { "options-doc: end\noptions-doc: begin\n", NULL, NULL },
        { "", NULL, NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buffer out, again, doc;
        buffer_init(&out);
        buffer_init(&again);
        buffer_init(&doc);
        int rc = options_doc_splice(OPTIONS_DOC_MAN, bytes_of_string(rows[i].text), &out);
        assert_int_equal(rc, rows[i].before != NULL ? 0 : -EINVAL);
        if (rc == 0) {
            assert_int_equal(buffer_append(&doc, bytes_of_string(rows[i].before)), 0);
            assert_int_equal(options_doc_print(OPTIONS_DOC_MAN, &doc), 0);
            assert_int_equal(buffer_append(&doc, bytes_of_string(rows[i].after)), 0);
            assert_true(bytes_equal(buffer_bytes(&out), buffer_bytes(&doc)));
            assert_int_equal(options_doc_splice(OPTIONS_DOC_MAN, buffer_bytes(&out), &again), 0);
            assert_true(bytes_equal(buffer_bytes(&out), buffer_bytes(&again)));
        }
        buffer_fini(&doc);
        buffer_fini(&again);
        buffer_fini(&out);
    }
}

static void printing_survives_lack_of_memory(void **state)
{
    for (int format = OPTIONS_DOC_MARKDOWN; format <= OPTIONS_DOC_EXAMPLE; format++) {
        for (uint64_t n = 1;; n++) {
            struct buffer out;
            buffer_init(&out);
            memory_fail_at(n);
            int rc = options_doc_print((enum options_doc_format)format, &out);
            memory_fail_at(0);
            buffer_fini(&out);
            if (rc == 0)
                break;
            assert_int_equal(rc, -ENOMEM);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_whole),
        cmocka_unit_test(names_are_known_once),
        cmocka_unit_test(every_option_takes_its_example_and_default),
        cmocka_unit_test(every_foreign_option_is_named_or_harmless),
        cmocka_unit_test(every_option_is_documented),
        cmocka_unit_test(the_example_file_can_be_used),
        cmocka_unit_test(splicing_keeps_the_frame),
        cmocka_unit_test(printing_survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
