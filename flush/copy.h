/*
 * copy: rows as PostgreSQL's binary COPY bytes, and columns as binary array parameters.
 *
 * Pure functions over a buf; any thread. The wire layout stands in copy.c.
 */
#ifndef FLUSH_COPY_H
#define FLUSH_COPY_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "flush/window.h"
#include "schema/tables.h"

/* What a COPY stream begins and ends with. */
void copy_begin(struct buf *out);
void copy_end(struct buf *out);
/* Appends rows of w from *next on, in the columns of table_metrics, until about bytes are there;
 * moves *next. */
void copy_rows(struct buf *out, const struct window *w, size_t *next, size_t bytes);

/* An array of count elements follows, by as many calls below. */
void copy_array(struct buf *out, enum column_type type, size_t count);
void copy_text(struct buf *out, struct str text);
void copy_float8(struct buf *out, double v);
void copy_int8(struct buf *out, int64_t v);
void copy_int4(struct buf *out, int32_t v);
void copy_bool(struct buf *out, bool v);
void copy_null(struct buf *out);

#endif
