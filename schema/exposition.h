/*
 * exposition: figures as Prometheus reads them, in the classic text format or as OpenMetrics.
 *
 * Order of calls: exposition_begin, then for each family exposition_family and its samples, then
 * exposition_end. The family's name is the one without "_total"; that comes with the samples of a
 * counter, and in the classic format with the head, too. The series beside those of stats.def stand in
 * series.def. One owner; any thread.
 */
#ifndef SCHEMA_EXPOSITION_H
#define SCHEMA_EXPOSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/exemplar.h"
#include "base/hist.h"

enum exposition_kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM, KIND_INFO };

enum series {
#define SERIES(id, kind, name, labels, help) SERIES_##id,
#include "schema/series.def"
#undef SERIES
    SERIES_COUNT
};

struct exposition {
    struct buf *out;
    bool is_open; /* OpenMetrics 1.0; false = the classic format 0.0.4 */
    /* private */
    const char *name; /* of the family that is being written */
    enum exposition_kind kind;
};

void exposition_begin(struct exposition *x, struct buf *out, bool is_open);
/* name and help are constants; a name that ends in _seconds or _bytes has that unit. */
void exposition_family(struct exposition *x, const char *name, enum exposition_kind kind,
                       const char *help);
/* The same of a row of series.def. */
void exposition_series(struct exposition *x, enum series series);
/* One sample; labels: "" or `a="b",c="d"`, escaped. */
void exposition_u64(struct exposition *x, const char *labels, uint64_t value);
void exposition_us(struct exposition *x, const char *labels, uint64_t us); /* as seconds */
/* The samples of a histogram; e: what OpenMetrics shows of its requests, NULL = nothing. bounds: bits
 * of those of hist_bounds_us that are shown. */
void exposition_hist(struct exposition *x, const char *labels, const struct hist_view *h,
                     const struct exemplar_view *e, uint64_t bounds);
#define EXPOSITION_ALL_BOUNDS UINT64_MAX
void exposition_end(struct exposition *x);
/* Media type of what was written. */
const char *exposition_type(bool is_open);
/* Does a client whose Accept header says this prefer OpenMetrics? */
bool exposition_is_wanted(struct str accept);
/* The rows of series.def as those of a table in docs/metrics.md. */
void exposition_doc(struct buf *out);

#endif
