/* cli/commands.h: what the program can be told to do; one file per command.
 *
 * Each takes the arguments of its own command, argv[0] being the name it was called by, and returns
 * the exit status.  They run once, in the main thread. */
#pragma once

int cli_broker(int argc, char **argv); /* as mosquitto(8) */
int cli_pub(int argc, char **argv);    /* as mosquitto_pub(1) */
int cli_sub(int argc, char **argv);    /* as mosquitto_sub(1) */
int cli_bench(int argc, char **argv);  /* loads a broker, and measures */
int cli_store(int argc, char **argv);  /* looks at what a broker keeps on disk */
