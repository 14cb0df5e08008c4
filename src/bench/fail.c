/* bench/fail.c: one line on standard error, and the end. */
#include "bench/fail.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void bench_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

void *bench_alloc(size_t count, size_t size)
{
    void *block = size > 0 && count > SIZE_MAX / size ? NULL : memory_alloc_zero(count * size);
    if (block == NULL)
        bench_fail("out of memory");
    return block;
}
