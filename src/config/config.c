/* config/config.c: lines, files and included folders.
 *
 *     main file      listener 1883
 *                    include_dir DIR  ->  DIR/A.conf, DIR/a.conf, DIR/b.conf, each line by line
 *                    max_qos 1            (their listeners are not this file's current one)
 *
 * An included file cannot include, so that two loops are enough and nothing recurses. */
#include "config/config.h"
#include "base/memory.h"
#include "config/draft.h"
#include "config/option_parse.h"
#include <errno.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------------- lines -- */

/* The next line without its end, CR or LF or both; false: there is none. */
static bool next_line(struct bytes *text, struct bytes *line)
{
    if (text->size == 0)
        return false;
    const uint8_t *end = memchr(text->data, '\n', text->size);
    size_t size = end == NULL ? text->size : (size_t)(end - text->data);
    *line = bytes_of(text->data, size);
    *text = bytes_after(*text, end == NULL ? size : size + 1);
    while (line->size > 0 && line->data[line->size - 1] == '\r')
        line->size--;
    return true;
}

/* "NAME REST", with leading spaces or without; '#' in the very first column is a comment. */
static int read_line(struct draft *d, struct bytes line)
{
    struct bytes name;
    if (line.size == 0 || line.data[0] == '#')
        return 0;
    if (memchr(line.data, '\0', line.size) != NULL)
        return draft_fail(d, "Error: The line contains a NUL byte.");
    struct bytes rest = line;
    if (!option_word(&rest, &name))
        return 0; /* nothing but spaces */

    const struct option *option = option_find(name);
    if (option != NULL)
        return option_apply(d, option, rest);
    const struct foreign_option *foreign = foreign_find(name);
    if (foreign != NULL)
        return foreign_apply(d, foreign, name, rest);
    return draft_fail(d, "Error: Unknown configuration variable '%s'.", LOG_TEXT(name));
}

/* ---------------------------------------------------------------------------------- included -- */

static int fail_file(struct draft *d, int error, const char *path)
{
    (void)draft_fail(d, "Error: Unable to read '%s': %s.", LOG_TEXT(bytes_of_string(path)),
                     strerror(-error));
    return error;
}

static int read_included_text(struct draft *d, struct bytes text)
{
    struct bytes line;
    for (d->line = 1; next_line(&text, &line); d->line++) {
        int rc = read_line(d, line);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* One file of an include_dir, with a context of its own.  On success the draft is as before; on
 * failure it stays where the trouble is. */
static int read_included_file(struct draft *d, const struct files *files, const char *path)
{
    struct buffer text;
    buffer_init(&text);
    int rc = files->read(files, path, &text);
    if (rc != 0) {
        rc = fail_file(d, rc, path);
    } else {
        const char *outer_path = d->path;
        int outer_line = d->line;
        struct listener_draft *outer_current = d->current;
        log_line(d->log, LOG_TYPE_INFORMATION, "Loading config file %s",
                 LOG_TEXT(bytes_of_string(path)));
        d->path = path;
        d->current = NULL;
        d->is_included = true;
        rc = read_included_text(d, buffer_bytes(&text));
        if (rc == 0) {
            d->path = outer_path;
            d->line = outer_line;
            d->current = outer_current;
            d->is_included = false;
        }
    }
    buffer_fini(&text);
    return rc;
}

/* Letters in the order A a B b; everything else by its code. */
static int letter_rank(char c)
{
    bool is_lower = c >= 'a' && c <= 'z';
    int upper = is_lower ? c - 'a' + 'A' : (unsigned char)c;
    return upper * 2 + is_lower;
}

static int compare_names(const void *left, const void *right)
{
    const char *a = *(const char *const *)left, *b = *(const char *const *)right;
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return letter_rank(*a) - letter_rank(*b);
}

static bool is_conf_name(const char *name, size_t size)
{
    return size > 5 && memcmp(name + size - 5, ".conf", 5) == 0;
}

/* The names worth reading, sorted, in a block for memory_free; they point into list. */
static const char **sort_names(const struct buffer *list, size_t *count)
{
    size_t all = 0;
    for (size_t i = 0; i < list->size; i++)
        all += list->data[i] == '\0';
    const char **names = memory_alloc((all + 1) * sizeof *names);
    if (names == NULL)
        return NULL;
    *count = 0;
    for (size_t start = 0, i = 0; i < list->size; i++) {
        if (list->data[i] != '\0')
            continue;
        const char *name = (const char *)list->data + start;
        if (is_conf_name(name, i - start))
            names[(*count)++] = name;
        start = i + 1;
    }
    qsort(names, *count, sizeof *names, compare_names);
    return names;
}

static const char *join_path(struct draft *d, const char *folder, const char *name)
{
    struct buffer path;
    buffer_init(&path);
    const char *joined = NULL;
    if (buffer_printf(&path, "%s/%s", folder, name) == 0)
        joined = draft_string(d, buffer_bytes(&path));
    buffer_fini(&path);
    return joined;
}

static int read_names(struct draft *d, const struct files *files, const char *folder,
                      const char **names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *path = join_path(d, folder, names[i]);
        if (path == NULL)
            return draft_fail_memory(d);
        int rc = read_included_file(d, files, path);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int read_folder(struct draft *d, const struct files *files, const char *folder)
{
    struct buffer list;
    buffer_init(&list);
    int rc = files->list(files, folder, &list);
    if (rc != 0) {
        rc = fail_file(d, rc, folder);
    } else {
        size_t count;
        const char **names = sort_names(&list, &count);
        rc = names == NULL ? draft_fail_memory(d) : read_names(d, files, folder, names, count);
        memory_free(names);
    }
    buffer_fini(&list);
    return rc;
}

/* --------------------------------------------------------------------------------- main file -- */

static int read_main_text(struct draft *d, const struct files *files, struct bytes text)
{
    struct bytes line;
    for (d->line = 1; next_line(&text, &line); d->line++) {
        int rc = read_line(d, line);
        if (rc == 0 && d->include_dir != NULL) {
            const char *folder = d->include_dir;
            d->include_dir = NULL;
            rc = read_folder(d, files, folder);
        }
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int parse_text(struct draft *d, const struct env *env, struct bytes text, const char *path,
                      const struct config_overrides *overrides, struct config **out)
{
    d->path = path == NULL ? "" : path;
    int rc = read_main_text(d, env->files, text);
    return rc == 0 ? draft_finish(d, overrides, out) : rc;
}

/* As draft_create, having told the error. */
static struct draft *open_draft(struct log *log, struct config_error *error)
{
    struct draft *d = draft_create(log, error);
    if (d == NULL)
        *error = (struct config_error){ .text = "Error: Out of memory." };
    return d;
}

int config_parse(const struct env *env, struct bytes text, const char *path,
                 const struct config_overrides *overrides, struct log *log, struct config **out,
                 struct config_error *error)
{
    struct draft *d = open_draft(log, error);
    if (d == NULL)
        return -ENOMEM;
    int rc = parse_text(d, env, text, path, overrides, out);
    draft_destroy(d);
    return rc;
}

int config_read(const struct env *env, const char *path, const struct config_overrides *overrides,
                struct log *log, struct config **out, struct config_error *error)
{
    struct draft *d = open_draft(log, error);
    if (d == NULL)
        return -ENOMEM;
    struct buffer text;
    buffer_init(&text);
    int rc = path == NULL ? 0 : env->files->read(env->files, path, &text);
    if (rc == 0)
        rc = parse_text(d, env, buffer_bytes(&text), path, overrides, out);
    else
        rc = fail_file(d, rc, path);
    buffer_fini(&text);
    draft_destroy(d);
    return rc;
}
