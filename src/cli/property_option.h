/* cli/property_option.h: -D CMD NAME VALUE [VALUE2]. */
#pragma once

#include "cli/client_options.h"

/* How many values such a property takes, 1 or 2; or 0: *error says what is wrong with it. */
int property_option_values(const char *command, const char *name, struct buffer *error);

/* Adds it to the lists.  False: *error says why not. */
bool property_option_add(struct client_options *o, const char *command, const char *name,
                         const char *value, const char *value2, struct buffer *error);

/* Are the lists what their packets may carry?  False: *error says which is not. */
bool property_options_are_valid(const struct client_options *o, struct buffer *error);
