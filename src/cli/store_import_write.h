/* cli/store_import_write.h: a mosquitto.db becomes the store of a broker. */
#pragma once

#include "cli/store_import.h"

/* As store_import_main wants it: the store of the broker with this persistence_location.  It is
 * there as a whole, or not at all; one that is there already must be empty. */
int store_import_write(const struct store_import *s, const char *location);
