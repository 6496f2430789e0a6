/*
 * report: the result in words, as JSON, and the line that moves while it lasts.
 *
 * Called by main alone.
 */
#ifndef LOADTEST_REPORT_H
#define LOADTEST_REPORT_H

#include "loadtest/result.h"

/* The table for people. v may be NULL. */
void report_text(const struct storm *s, const struct result *r, const struct verdict *v,
                 struct buf *out);
/* Plan, figures, percentiles, statuses and curves as one JSON object. v may be NULL. */
void report_json(const struct storm *s, const struct result *r, const struct verdict *v,
                 struct buf *out);
/* How it stands, after a row of the curves; on a terminal in place of the last such line. */
void report_progress(const struct storm *s);
/* May this setting hold a password? Then no result shows it. */
bool report_hides(const struct plan *p, enum plan_id id);
/* The percentiles that are shown, as shares; 0 ends them. */
extern const double report_quantiles[];

#endif
