/* bench/process.h: what another process has used of the machine: the broker, named by its pid. */
#pragma once

#include <stdint.h>

struct process_cpu {
    int64_t total_ns;                  /* of all threads, those that ended included */
    uint64_t user_ticks, system_ticks; /* the same, coarsely: for the proportion of the two */
};

/* 0, or a negative errno: -ESRCH (there is no such process), -EACCES (it is somebody else's). */
int process_cpu_read(int pid, struct process_cpu *out);

/* What it used from one reading to the next. */
void process_cpu_between(const struct process_cpu *before, const struct process_cpu *after,
                         double *user_s, double *system_s);

/* Bytes of its memory that no other process shares.  Results as above. */
int process_private_memory(int pid, int64_t *bytes);
