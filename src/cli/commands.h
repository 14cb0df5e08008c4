/* cli/commands.h: the commands of the program.  Each gets its own arguments, argv[0] included, and
 * returns the exit status. */
#pragma once

int cli_broker(int argc, char **argv);
