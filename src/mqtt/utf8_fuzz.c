/* mqtt/utf8_fuzz.c: does the fast validator agree with the naive one? */
#include "mqtt/utf8.h"
#include "mqtt/utf8_naive.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = { data, size };
    bool valid = utf8_is_valid(text);
    assert(valid == utf8_naive_is_valid(text));
    assert(valid || !utf8_is_printable(text));
    return 0;
}
