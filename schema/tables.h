/*
 * tables: the columns of MLflow's tables that points go to, by order and type.
 *
 * What COPY names, in the order in which the rows' bytes stand, and what a database must have for
 * that to be right. Constants and pure functions; any thread.
 */
#ifndef SCHEMA_TABLES_H
#define SCHEMA_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum column_type { COLUMN_TEXT, COLUMN_FLOAT8, COLUMN_INT8, COLUMN_INT4, COLUMN_BOOL };

struct column {
    const char *name;
    enum column_type type;
};

struct table {
    const char *name;
    const struct column *columns;
    size_t count;
};

extern const struct table table_metrics;
extern const struct table table_latest_metrics;
extern const struct table table_logged_model_metrics;

/* The oid under which a value of the type is sent, as a parameter or an array's element. */
uint32_t column_oid(enum column_type type);
/* May a column of the database's type oid take what is sent as type? (text and varchar are one.) */
bool column_takes(enum column_type type, uint32_t oid);
/* The column of that name, or NULL. */
const struct column *table_column(const struct table *t, struct str name);
/* "key, value, ..." with prefix before each name. */
void table_list(const struct table *t, const char *prefix, struct buf *out);
/* COPY into (t itself when NULL; else a table with the same columns) in binary, from us. */
void table_copy(const struct table *t, const char *into, struct buf *out);

#endif
