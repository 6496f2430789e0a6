/*
 * page: the result as one HTML page that needs nothing else.
 *
 * Curves are SVG in the page; no script, nothing is fetched. Called by main alone.
 */
#ifndef LOADTEST_PAGE_H
#define LOADTEST_PAGE_H

#include "loadtest/result.h"

/* v may be NULL: nothing was verified. */
void page_write(const struct storm *s, const struct result *r, const struct verdict *v,
                struct buf *out);

#endif
