/*
 * result: the figures of a load test, and the conditions on them; the rows stand in results.def.
 *
 * A value, made once at the end.
 */
#ifndef LOADTEST_RESULT_H
#define LOADTEST_RESULT_H

#include "base/buf.h"
#include "base/fail.h"
#include "loadtest/storm.h"
#include "loadtest/verify.h"

struct result {
#define RESULT(name, unit, help) double name;
#include "loadtest/results.def"
#undef RESULT
};

/* v may be NULL: nothing was verified. */
void result_make(struct result *r, const struct storm *s, const struct verdict *v);
/* Are the lines of fail_if conditions such as 'p99 > 5ms'? */
must_check err_t result_check_conditions(const char *conditions, struct fail *f);
/* How many of them hold; a line of text for each goes to out. */
unsigned result_judge(const struct result *r, const char *conditions, struct buf *out);
/* The value of figure i with its unit, and its name. */
enum { RESULT_TEXT_MAX = 48 };
void result_show(const struct result *r, size_t i, char out[RESULT_TEXT_MAX]);
const char *result_name(size_t i);
double result_value(const struct result *r, size_t i);
size_t result_count(void);
/* The names that fail_if knows, for --help. */
void result_help(struct buf *out);

#endif
