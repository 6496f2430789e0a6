/*
 * artifact_header: the header fields of a download, as MLflow's server writes and reads them.
 *
 * Pure functions over the caller's arena; any thread.
 */
#ifndef GATEWAY_ARTIFACT_HEADER_H
#define GATEWAY_ARTIFACT_HEADER_H

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

/* What a browser is told of a file of this name; texts of all kinds are text/plain. */
const char *artifact_header_type(struct arena *a, struct str name);
/* mimetypes.guess_type(name): NULL where Python has None. Also what an object store is told. */
const char *artifact_header_guess(struct arena *a, struct str name, const char **encoding);
/* The value of Content-Disposition; one line whatever the name holds. */
struct str artifact_header_disposition(struct arena *a, struct str name);
/* "Sat, 28 Nov 2026 15:36:14 GMT" */
struct str artifact_header_date(struct arena *a, int64_t us);

enum range_kind {
    RANGE_WHOLE,    /* not asked for, or several: the whole file is the answer */
    RANGE_PART,     /* [from, from + n) */
    RANGE_BEYOND,   /* 416 */
    RANGE_MALFORMED /* 400, with MLflow's words in *why */
};

/* What a Range field asks for, of a file of so many bytes. */
enum range_kind artifact_header_range(struct str field, uint64_t bytes, uint64_t *from, uint64_t *n,
                                      const char **why);

#endif
