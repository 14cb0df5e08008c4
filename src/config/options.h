/* config/options.h: the options, each known in one place.  Pure data; any thread.
 *
 * Parser, man page, reference and example file are made from this table. */
#pragma once

#include "base/bytes.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct draft;
struct listener_draft;

#define OPTION_BYTES_MAX (PTRDIFF_MAX / 2) /* far beyond any machine: documented as no maximum */

/* Headings of the documentation, in this order. */
enum option_group {
    OPTION_GROUP_LISTENERS,
    OPTION_GROUP_ACCESS,
    OPTION_GROUP_LIMITS,
    OPTION_GROUP_DELIVERY,
    OPTION_GROUP_RETAINED,
    OPTION_GROUP_PERSISTENCE,
    OPTION_GROUP_LOGGING,
    OPTION_GROUP_PROCESS,
    OPTION_GROUP_COUNT,
};

/* What an option is about, and what happens when there is no such thing. */
enum option_scope {
    OPTION_GLOBAL,
    OPTION_OF_DEFAULT_LISTENER, /* always the default listener, made when needed */
    OPTION_LISTENER_OR_DEFAULT, /* the current listener; without one, the default listener */
    OPTION_LISTENER,            /* the current listener; without one, an error */
    OPTION_EXPLICIT_LISTENER,   /* the current one, and a `listener` line must have made it */
};

enum option_type {
    OPTION_BOOL,   /* true, false, 1, 0 */
    OPTION_INT,    /* 32 bits; decimal, 0x hexadecimal or 0 octal */
    OPTION_INT64,  /* the same with more bits */
    OPTION_SIZE,   /* decimal, what follows the digits is ignored (with a warning) */
    OPTION_STRING, /* the rest of the line, UTF-8 */
    OPTION_ENUM,   /* one of words */
    OPTION_OTHER,  /* whatever parse makes of the rest of the line */
};

struct option {
    const char *name;
    const char *alias; /* another spelling; NULL: none */
    enum option_group group;
    enum option_scope scope;
    enum option_type type;

    int64_t min, max;         /* of the value; of a string, max bytes */
    int scale;                /* what is stored is value * scale; 0: as it is */
    const char *const *words; /* OPTION_ENUM, and parse if it likes: the index is the value; NULL
                                 ends */
    bool has_no_limit;        /* zero and less mean no limit, stored as -1 */
    bool may_repeat;          /* a string given twice: the later one counts, else an error */
    bool needs_restart;       /* a reload does not apply it */

    size_t offset, size; /* of the field, in struct draft or struct listener_draft */
    int (*parse)(struct draft *, const struct option *, void *owner, struct bytes rest);

    const char *arguments;    /* as documented; NULL: from the type */
    const char *initial;      /* the default, in the file's own words; NULL: zero or nothing */
    const char *default_text; /* the default as documented, where initial does not say it */
    const char *example;      /* a value to show; NULL: initial */
    const char *range_error;  /* Mosquitto's words for a value out of range; NULL: the usual */
    const char *advice;       /* logged when used; NULL: none */
    const char *help;
};

extern const struct option option_table[];
extern const size_t option_count;

const struct option *option_find(struct bytes name); /* by name or alias; NULL: not an option */

/* Gives an option its value: the text after its name.  0, or an error that draft_fail has told. */
int option_apply(struct draft *d, const struct option *o, struct bytes rest);

/* Gives the options of one owner their defaults: all global ones, or all of a listener. */
void options_init_global(struct draft *d);
void options_init_listener(struct draft *d, struct listener_draft *l);

/* --------------------------------------------------------- what Mosquitto has and we do not --- */

enum foreign_kind {
    FOREIGN_LATER,   /* refused by name */
    FOREIGN_OFF,     /* a bool: false is what we do anyway, true is refused by name */
    FOREIGN_IDLE,    /* accepted with a warning: there is nothing here to tune */
    FOREIGN_REMOVED, /* accepted with a warning: Mosquitto has removed it, too */
};

struct foreign_option {
    const char *name; /* a prefix where it ends with '_' */
    enum foreign_kind kind;
};

extern const struct foreign_option foreign_table[];
extern const size_t foreign_count;

const struct foreign_option *foreign_find(struct bytes name);
int foreign_apply(struct draft *d, const struct foreign_option *f, struct bytes name,
                  struct bytes rest);
