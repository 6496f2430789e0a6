/*
 * errors: the rows of errors.def as an array indexed by enum err, and the page made of them.
 *
 * Row 0 stands for OK, so that code which reports a result can look it up without a question.
 */
#include "schema/errors.h"

#define LATER true
#define NEVER false

static const struct error_row rows[ERR_COUNT] = {
    [ERR_NONE] = {"OK", 200, "OK", "", "", false, "No error."},
#define ERR(name, status, code, sqlstate, cls, retry, help) \
    [ERR_##name] = {#name, status, code, sqlstate, cls, retry, help},
#include "schema/errors.def"
#undef ERR
};

const struct error_row *error_row(err_t err)
{
    check(err >= 0 && err < ERR_COUNT);
    return &rows[err];
}

/* An empty cell is easy to overlook in a table. */
static const char *or_dash(const char *text)
{
    return *text ? text : "-";
}

void errors_doc(struct buf *out)
{
    buf_add_str(out, STR("# Errors\n\n"
                         "Generated from `schema/errors.def` by `make docs`.\n\n"
                         "A failed call answers with MLflow's JSON: `error_code` and `message`, "
                         "and `sqlstate` and\n`error_class` where the table has them. \"Later\" "
                         "means that the same request may succeed unchanged\nafter a while: the "
                         "answer then carries `Retry-After`.\n\n"
                         "| error | HTTP | error_code | sqlstate | error_class | again | meaning "
                         "|\n|---|---|---|---|---|---|---|\n"));
    for (int i = ERR_NONE + 1; i < ERR_COUNT; i++) {
        const struct error_row *row = &rows[i];

        buf_printf(out, "| %s | %d | %s | %s | %s | %s | %s |\n", row->name, row->status, row->code,
                   or_dash(row->sqlstate), or_dash(row->cls), row->may_retry ? "later" : "never",
                   row->help);
    }
}
