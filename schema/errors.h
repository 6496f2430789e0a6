/*
 * errors: the values of err_t and what each means at the edge; the rows stand in errors.def.
 * Read-only tables; any thread.
 */
#ifndef SCHEMA_ERRORS_H
#define SCHEMA_ERRORS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/fail.h"

enum err {
    ERR_NONE = OK,
#define ERR(name, status, code, sqlstate, cls, retry, help) ERR_##name,
#include "schema/errors.def"
#undef ERR
    ERR_COUNT
};

struct error_row {
    const char *name;
    int status;           /* HTTP */
    const char *code;     /* MLflow error_code */
    const char *sqlstate; /* "" = key absent from the JSON */
    const char *cls;      /* error_class; "" = absent */
    bool may_retry;       /* the answer carries Retry-After */
    const char *help;
};

/* The row of err; err must be one of enum err. */
const struct error_row *error_row(err_t err);
/* docs/errors.md. */
void errors_doc(struct buf *out);

#endif
