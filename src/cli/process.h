/* cli/process.h: what the broker does with its process: user, limits, signals, background. */
#pragma once

#include "base/log.h"
#include <signal.h>
#include <stdbool.h>

int process_usable_cpus(void); /* at least 1 */

/* SIGPIPE is ignored; *signals is the set that the control thread waits for, now blocked in every
 * thread. */
void process_block_signals(sigset_t *signals);

void process_raise_descriptor_limit(void); /* to what the system allows */

/* Writes to stdout, and gives up when it takes nothing for a second: the caller has other signals
 * to attend to.  False: not all was written. */
bool process_print(struct bytes text);

int process_daemonise(void);             /* 0, or -1 and errno */
int process_write_pid(const char *path); /* decimal, without a newline; 0, or -1 and errno */

/* As root: becomes user (NULL: chappe, mosquitto or nobody, whichever exists first); "root" stays,
 * with a warning.  PUID and PGID in the environment win.  Afterwards no way leads back.
 * 0, or -1 after saying why. */
int process_drop_privileges(const char *user, struct log *log);
