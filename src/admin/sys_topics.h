/* admin/sys_topics.h: the $SYS topics: the table of metrics, published as Mosquitto does.
 *
 * All are retained, QoS 2, decimal text, and published only when they changed, at multiples of
 * sys_interval on the wall clock and once at the start.  Runs as a job of worker 0. */
#pragma once

#include "broker/server.h"

struct sys_topics;

/* Registers the job with the server.  With sys_interval 0 it publishes log lines only.  NULL: no
 * memory. */
struct sys_topics *sys_topics_create(struct server *server);
void sys_topics_destroy(struct sys_topics *t); /* after the workers have ended; NULL is fine */

/* A log line as a message below $SYS/broker/log, for log_dest topic.  Any thread. */
void sys_topics_log(struct sys_topics *t, enum log_type type, const char *line);
