/* cli/store_flaw.h: what the broker would not have written: records of the store that are whole,
 * and make no sense. */
#pragma once

#include "store/record.h"

/* What is wrong with it, for people; NULL: nothing.  Static text. */
const char *record_flaw(const struct record *r);

/* The same of a message as it is stored. */
const char *stored_message_flaw(struct bytes body);

/* And of the value of a group's key. */
const char *stored_group_flaw(struct bytes value);
