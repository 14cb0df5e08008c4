/* bench/fail.h: the end of a benchmark that cannot go on. */
#pragma once

#include <stddef.h>

/* Prints "bench: " and the text, and exits with status 1. */
void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

void *bench_alloc(size_t count, size_t size); /* zeroed; fails if there is no memory */
