/*
 * The tables of points.
 *
 * MLflow's migrations left different physical orders of columns in different databases, so every
 * statement names its columns and the order here is ours. Binary COPY and binary array parameters
 * carry no types: a column of another type than the one below would be read wrongly or refused for
 * every row. Hence a flusher compares the database's catalog with these lists before it writes
 * (column_takes), and holds when they differ.
 *
 * timestamp is the name of a column and of a type; PostgreSQL lets it stand unquoted as a column.
 */
#include "schema/tables.h"

static const struct column metrics_columns[] = {
    {"key", COLUMN_TEXT},      {"value", COLUMN_FLOAT8}, {"timestamp", COLUMN_INT8},
    {"run_uuid", COLUMN_TEXT}, {"step", COLUMN_INT8},    {"is_nan", COLUMN_BOOL},
};

static const struct column logged_model_metrics_columns[] = {
    {"model_id", COLUMN_TEXT},
    {"metric_name", COLUMN_TEXT},
    {"metric_timestamp_ms", COLUMN_INT8},
    {"metric_step", COLUMN_INT8},
    {"metric_value", COLUMN_FLOAT8},
    {"experiment_id", COLUMN_INT4},
    {"run_id", COLUMN_TEXT},
    {"dataset_name", COLUMN_TEXT},
    {"dataset_digest", COLUMN_TEXT},
};

const struct table table_metrics = {"metrics", metrics_columns, array_len(metrics_columns)};

/* The same six columns, the newest point of each (run, key). */
const struct table table_latest_metrics = {"latest_metrics", metrics_columns,
                                           array_len(metrics_columns)};

/* dataset_uuid is absent: MLflow writes it as NULL, always. */
const struct table table_logged_model_metrics = {
    "logged_model_metrics", logged_model_metrics_columns, array_len(logged_model_metrics_columns)};

/* From pg_type.h, which clients do not have. */
enum {
    OID_BOOL = 16,
    OID_INT8 = 20,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_FLOAT8 = 701,
    OID_VARCHAR = 1043
};

static const uint32_t column_oids[] = {
    [COLUMN_TEXT] = OID_TEXT, [COLUMN_FLOAT8] = OID_FLOAT8, [COLUMN_INT8] = OID_INT8,
    [COLUMN_INT4] = OID_INT4, [COLUMN_BOOL] = OID_BOOL,
};

uint32_t column_oid(enum column_type type)
{
    check((size_t)type < array_len(column_oids));
    return column_oids[type];
}

bool column_takes(enum column_type type, uint32_t oid)
{
    return oid == column_oid(type) || (type == COLUMN_TEXT && oid == OID_VARCHAR);
}

const struct column *table_column(const struct table *t, struct str name)
{
    for (size_t i = 0; i < t->count; i++) {
        if (str_eq(str_of(t->columns[i].name), name))
            return &t->columns[i];
    }
    return NULL;
}

void table_list(const struct table *t, const char *prefix, struct buf *out)
{
    for (size_t i = 0; i < t->count; i++)
        buf_printf(out, "%s%s%s", i ? ", " : "", prefix, t->columns[i].name);
}

void table_copy(const struct table *t, const char *into, struct buf *out)
{
    buf_printf(out, "COPY %s (", into ? into : t->name);
    table_list(t, "", out);
    buf_printf(out, ") FROM STDIN (FORMAT binary)");
}
