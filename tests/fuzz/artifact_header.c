/*
 * artifact_header: no name and no range makes a field that is more than one, or reads beyond a file.
 *
 * Input: a Range field, a line; a name.
 */
#include "gateway/artifact/artifact_header.c"

#include "tests/fuzz/fuzz.h"

static void fuzz_one(struct arena *a, struct str in)
{
    struct str field = fuzz_line(&in), value = artifact_header_disposition(a, in);
    uint64_t sizes[] = {0, 1, 1000, UINT64_MAX / 4}, from = 0, n = 0;
    const char *why, *encoding;

    for (size_t i = 0; i < value.n; i++)
        check(is_printable(value.p[i]));
    check(strlen(artifact_header_type(a, in)) > 0);
    (void)artifact_header_guess(a, in, &encoding);
    for (size_t i = 0; i < array_len(sizes); i++)
        if (artifact_header_range(field, sizes[i], &from, &n, &why) == RANGE_PART)
            check(n > 0 && from < sizes[i] && n <= sizes[i] - from);
}
