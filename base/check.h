/*
 * Checks that stay on in release builds.
 *
 * check(x) aborts with file, line and the expression: it is for what cannot happen unless the
 * program is wrong, and is cheap enough for hot paths. heavy_check(x) exists in debug builds
 * (-DHEAVY_CHECKS) only. Neither is for input, disks, networks or databases: those are errors.
 * Any thread.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

/* Prints the failed expression and aborts. */
void check_failed(const char *expr, const char *file, int line) __attribute__((noreturn, cold));

#define check(x) (__builtin_expect(!!(x), 1) ? (void)0 : check_failed(#x, __FILE__, __LINE__))

#ifdef HEAVY_CHECKS
#define heavy_check(x) check(x)
#else
#define heavy_check(x) ((void)0)
#endif

#define must_check __attribute__((warn_unused_result))

#define array_len(a) (sizeof(a) / sizeof((a)[0]))

#endif
