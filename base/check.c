/*
 * check: the last words of a program that found itself wrong.
 *
 * No allocation, no stdio and no locks of ours: the heap or the log may be what is broken. The
 * line goes out as one write, then abort() leaves a core.
 */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void check_failed(const char *expr, const char *file, int line)
{
    char text[512];
    int n = snprintf(text, sizeof(text), "check failed: %s at %s:%d\n", expr, file, line);

    if (n >= (int)sizeof(text))
        n = (int)sizeof(text) - 1;
    if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0)
        abort(); /* nobody listens; the core says the rest */
    abort();
}
