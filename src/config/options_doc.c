/* config/options_doc.c: one walk over the table, three ways to write.
 *
 *     option_table --> heading per group, entry per option --> Markdown, troff, example file
 *     foreign_table -> one list of names
 *
 * What an entry says besides its help (values, default, scope, reload) is put into sentences once,
 * so that the three cannot disagree. */
#include "config/options_doc.h"
#include "config/options.h"
#include <errno.h>
#include <inttypes.h>

static const char *const group_titles[OPTION_GROUP_COUNT] = {
    [OPTION_GROUP_LISTENERS] = "Listeners",
    [OPTION_GROUP_ACCESS] = "Who may connect",
    [OPTION_GROUP_LIMITS] = "Limits",
    [OPTION_GROUP_DELIVERY] = "Sessions and delivery",
    [OPTION_GROUP_RETAINED] = "Retained messages",
    [OPTION_GROUP_PERSISTENCE] = "Persistence",
    [OPTION_GROUP_LOGGING] = "Logging",
    [OPTION_GROUP_PROCESS] = "Process",
};

/* One way to write.  Texts are plain; each writer escapes them for itself. */
struct writer {
    int (*group)(struct buffer *out, const char *title);
    int (*entry)(struct buffer *out, const struct option *o, const char *syntax, const char *facts);
    /* NULL: not in this format */
    int (*foreign)(struct buffer *out, const char *title, const char *text, const char *names);
};

/* -------------------------------------------------------------------- an option in sentences -- */

static int add(struct buffer *out, const char *text)
{
    return buffer_append(out, bytes_of_string(text));
}

static int add_end(struct buffer *out)
{
    return buffer_append(out, bytes_of("", 1));
}

static int add_words(struct buffer *out, const char *const *words)
{
    int rc = 0;
    for (size_t i = 0; words[i] != NULL && rc == 0; i++)
        rc = buffer_printf(out, "%s%s", i > 0 ? "|" : "", words[i]);
    return rc;
}

/* What follows the name: "true|false", "N", "PORT [HOST]". */
static int add_syntax(struct buffer *out, const struct option *o)
{
    if (o->arguments != NULL)
        return add(out, o->arguments);
    switch (o->type) {
    case OPTION_BOOL:
        return add(out, "true|false");
    case OPTION_ENUM:
        return add_words(out, o->words);
    case OPTION_SIZE:
        return add(out, "BYTES");
    case OPTION_STRING:
        return add(out, "TEXT");
    case OPTION_INT:
    case OPTION_INT64:
    case OPTION_OTHER:
        break;
    }
    return add(out, "N");
}

static int add_range(struct buffer *out, const struct option *o)
{
    bool is_number = o->type == OPTION_INT || o->type == OPTION_INT64 || o->type == OPTION_SIZE;
    if (!is_number || o->has_no_limit)
        return 0;
    if (o->max == INT32_MAX || o->max == OPTION_BYTES_MAX)
        return buffer_printf(out, "At least %" PRId64 ". ", o->min);
    return buffer_printf(out, "From %" PRId64 " to %" PRId64 ". ", o->min, o->max);
}

static const char *default_of(const struct option *o)
{
    return o->default_text != NULL ? o->default_text : o->initial;
}

static const char *scope_of(const struct option *o)
{
    switch (o->scope) {
    case OPTION_GLOBAL:
        return "";
    case OPTION_OF_DEFAULT_LISTENER:
        return " Belongs to the default listener.";
    case OPTION_LISTENER_OR_DEFAULT:
        return " Belongs to the latest listener, before any to the default listener.";
    case OPTION_LISTENER:
    case OPTION_EXPLICIT_LISTENER:
        break;
    }
    return " Belongs to the latest listener.";
}

/* "From 0 to 65535. Default: 10. Belongs to the latest listener." */
static int add_facts(struct buffer *out, const struct option *o)
{
    int rc = add_range(out, o);
    if (rc == 0)
        rc = buffer_printf(out, "Default: %s.%s%s", default_of(o), scope_of(o),
                           o->needs_restart ? " A change needs a restart." : "");
    if (rc == 0 && o->alias != NULL)
        rc = buffer_printf(out, " Also spelled %s.", o->alias);
    return rc;
}

static int write_option(const struct writer *w, struct buffer *out, const struct option *o)
{
    struct buffer syntax, facts;
    buffer_init(&syntax);
    buffer_init(&facts);
    int rc = add_syntax(&syntax, o);
    if (rc == 0)
        rc = add_end(&syntax);
    if (rc == 0)
        rc = add_facts(&facts, o);
    if (rc == 0)
        rc = add_end(&facts);
    if (rc == 0)
        rc = w->entry(out, o, (const char *)syntax.data, (const char *)facts.data);
    buffer_fini(&facts);
    buffer_fini(&syntax);
    return rc;
}

/* ---------------------------------------------------------------------------------- Markdown -- */

static int markdown_group(struct buffer *out, const char *title)
{
    return buffer_printf(out, "\n## %s\n", title);
}

static int markdown_entry(struct buffer *out, const struct option *o, const char *syntax,
                          const char *facts)
{
    return buffer_printf(out, "\n### %s\n\n`%s %s`\n\n%s\n\n%s\n", o->name, o->name, syntax,
                         o->help, facts);
}

static int markdown_foreign(struct buffer *out, const char *title, const char *text,
                            const char *names)
{
    return buffer_printf(out, "\n## %s\n\n%s\n\n```\n%s\n```\n", title, text, names);
}

/* ------------------------------------------------------------------------------------- troff -- */

/* Hyphens that are meant to be typed, and characters that troff would take for itself. */
static int add_troff(struct buffer *out, const char *text)
{
    int rc = 0;
    for (const char *c = text; *c != '\0' && rc == 0; c++) {
        if (*c == '-')
            rc = add(out, "\\-");
        else if (*c == '\\')
            rc = add(out, "\\e");
        else if (*c == '\'')
            rc = add(out, "\\(aq");
        else if (*c == '|')
            rc = add(out, "|\\:"); /* a line may break here */
        else if (*c == '.' && c == text)
            rc = add(out, "\\&.");
        else
            rc = buffer_append(out, bytes_of(c, 1));
    }
    return rc;
}

static int troff_line(struct buffer *out, const char *macro, const char *text)
{
    int rc = add(out, macro);
    if (rc == 0)
        rc = add_troff(out, text);
    return rc == 0 ? add(out, "\n") : rc;
}

static int troff_group(struct buffer *out, const char *title)
{
    return troff_line(out, ".SS ", title);
}

static int troff_entry(struct buffer *out, const struct option *o, const char *syntax,
                       const char *facts)
{
    int rc = add(out, ".TP\n\\fB");
    if (rc == 0)
        rc = add_troff(out, o->name);
    if (rc == 0)
        rc = add(out, "\\fR ");
    if (rc == 0)
        rc = troff_line(out, "", syntax);
    if (rc == 0)
        rc = troff_line(out, "", o->help);
    if (rc == 0)
        rc = troff_line(out, ".br\n", facts);
    return rc;
}

static int troff_foreign(struct buffer *out, const char *title, const char *text, const char *names)
{
    int rc = troff_line(out, ".SS ", title);
    if (rc == 0)
        rc = troff_line(out, "", text);
    return rc == 0 ? troff_line(out, ".PP\n", names) : rc;
}

/* ------------------------------------------------------------------------------ example file -- */

enum { EXAMPLE_COLUMNS = 80 };

/* Text in comment lines, broken at spaces. */
static int add_comment(struct buffer *out, const char *text)
{
    int rc = 0;
    while (*text != '\0' && rc == 0) {
        size_t size = strlen(text), room = EXAMPLE_COLUMNS - 2;
        if (size > room) {
            size = room;
            while (size > 1 && text[size] != ' ')
                size--;
        }
        rc = buffer_printf(out, "# %.*s\n", (int)size, text);
        text += size;
        while (*text == ' ')
            text++;
    }
    return rc;
}

static int example_group(struct buffer *out, const char *title)
{
    return buffer_printf(out, "\n# ==== %s ====\n", title);
}

static int example_entry(struct buffer *out, const struct option *o, const char *syntax,
                         const char *facts)
{
    int rc = buffer_printf(out, "\n# %s %s\n", o->name, syntax);
    if (rc == 0)
        rc = add_comment(out, o->help);
    if (rc == 0)
        rc = add_comment(out, facts);
    if (rc == 0)
        rc = buffer_printf(out, "#%s %s\n", o->name, o->example != NULL ? o->example : o->initial);
    return rc;
}

/* -------------------------------------------------------------------------------------- walk -- */

static const struct writer writers[] = {
    [OPTIONS_DOC_MARKDOWN] = { markdown_group, markdown_entry, markdown_foreign },
    [OPTIONS_DOC_MAN] = { troff_group, troff_entry, troff_foreign },
    [OPTIONS_DOC_EXAMPLE] = { example_group, example_entry, NULL },
};

static int write_groups(const struct writer *w, struct buffer *out)
{
    int rc = 0;
    for (int group = 0; group < OPTION_GROUP_COUNT && rc == 0; group++) {
        rc = w->group(out, group_titles[group]);
        for (size_t i = 0; i < option_count && rc == 0; i++) {
            if ((int)option_table[i].group == group)
                rc = write_option(w, out, &option_table[i]);
        }
    }
    return rc;
}

static bool is_refused(const struct foreign_option *f)
{
    return f->kind == FOREIGN_LATER || f->kind == FOREIGN_OFF;
}

static int add_foreign_names(struct buffer *out, bool refused)
{
    int rc = 0;
    size_t before = out->size;
    for (size_t i = 0; i < foreign_count && rc == 0; i++) {
        const char *name = foreign_table[i].name;
        bool is_prefix = name[strlen(name) - 1] == '_';
        if (is_refused(&foreign_table[i]) == refused)
            rc = buffer_printf(out, "%s%s%s", out->size > before ? ",\n" : "", name,
                               is_prefix ? "*" : "");
    }
    return rc == 0 ? add_end(out) : rc;
}

static int write_foreign(const struct writer *w, struct buffer *out)
{
    static const struct {
        bool refused;
        const char *title, *text;
    } lists[] = {
        { true, "Mosquitto's options that are not available yet",
          "A configuration that asks for one of these is refused, and the message names it:" },
        { false, "Mosquitto's options that have no effect",
          "These are accepted with a warning, as there is nothing here that they could change:" },
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0] && rc == 0; i++) {
        struct buffer names;
        buffer_init(&names);
        rc = add_foreign_names(&names, lists[i].refused);
        if (rc == 0)
            rc = w->foreign(out, lists[i].title, lists[i].text, (const char *)names.data);
        buffer_fini(&names);
    }
    return rc;
}

int options_doc_print(enum options_doc_format format, struct buffer *out)
{
    const struct writer *w = &writers[format];
    int rc = write_groups(w, out);
    if (rc == 0 && w->foreign != NULL)
        rc = write_foreign(w, out);
    return rc;
}

/* Where the line after the one that contains mark starts; where that line itself starts, in
 * *line.  NULL: there is none. */
static const uint8_t *after_mark(struct bytes text, const char *mark, const uint8_t **line)
{
    const uint8_t *at = memmem(text.data, text.size, mark, strlen(mark));
    if (at == NULL)
        return NULL;
    const uint8_t *start = memrchr(text.data, '\n', (size_t)(at - text.data));
    *line = start == NULL ? text.data : start + 1;
    const uint8_t *end = memchr(at, '\n', (size_t)(text.data + text.size - at));
    return end == NULL ? text.data + text.size : end + 1;
}

int options_doc_splice(enum options_doc_format format, struct bytes text, struct buffer *out)
{
    const uint8_t *begin_line, *end_line;
    const uint8_t *begin = after_mark(text, "options-doc: begin", &begin_line);
    if (begin == NULL)
        return -EINVAL;
    struct bytes tail = bytes_after(text, (size_t)(begin - text.data));
    if (after_mark(tail, "options-doc: end", &end_line) == NULL)
        return -EINVAL;

    int rc = buffer_append(out, bytes_of(text.data, (size_t)(begin - text.data)));
    if (rc == 0)
        rc = options_doc_print(format, out);
    if (rc == 0)
        rc = buffer_append(out, bytes_after(text, (size_t)(end_line - text.data)));
    return rc;
}
