/* cli/store_verbs.h: one function and one file for each verb of `chappe store`.
 *
 * Each takes a job as store_job.h describes it, and returns the exit status. */
#pragma once

#include "cli/store_job.h"

int store_check_run(const struct store_job *j);
int store_dump_run(const struct store_job *j); /* with --live: store_live_run */
int store_live_run(const struct store_job *j);
int store_stats_run(const struct store_job *j);
int store_backup_run(const struct store_job *j);
int store_repair_run(const struct store_job *j);
