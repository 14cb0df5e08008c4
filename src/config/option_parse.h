/* config/option_parse.h: the ways to read a value.  Private to this folder; one thread.
 *
 * rest is the line after the option's name, without its end.  All return 0, or a negative errno
 * that draft_fail has told. */
#pragma once

#include "config/options.h"

/* The next word of a line, words being separated by spaces only; false: there is none. */
bool option_word(struct bytes *rest, struct bytes *word);

/* By the option's type and field: everything but strings, and strings. */
int option_set_number(struct draft *d, const struct option *o, void *owner, struct bytes rest);
int option_set_string(struct draft *d, const struct option *o, void *owner, struct bytes rest);

/* Options that fit no type. */
int option_parse_listener(struct draft *d, const struct option *o, void *owner, struct bytes rest);
int option_parse_socket_domain(struct draft *d, const struct option *o, void *owner,
                               struct bytes rest);
int option_parse_protocol(struct draft *d, const struct option *o, void *owner, struct bytes rest);
int option_parse_versions(struct draft *d, const struct option *o, void *owner, struct bytes rest);
int option_parse_expiration(struct draft *d, const struct option *o, void *owner,
                            struct bytes rest);
int option_parse_persistence_mode(struct draft *d, const struct option *o, void *owner,
                                  struct bytes rest);
int option_parse_autosave_interval(struct draft *d, const struct option *o, void *owner,
                                   struct bytes rest);
int option_parse_autosave_on_changes(struct draft *d, const struct option *o, void *owner,
                                     struct bytes rest);
int option_parse_log_dest(struct draft *d, const struct option *o, void *owner, struct bytes rest);
int option_parse_log_type(struct draft *d, const struct option *o, void *owner, struct bytes rest);
int option_parse_log_facility(struct draft *d, const struct option *o, void *owner,
                              struct bytes rest);
int option_parse_include_dir(struct draft *d, const struct option *o, void *owner,
                             struct bytes rest);
