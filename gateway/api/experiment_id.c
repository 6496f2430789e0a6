/*
 * experiment_id: int(text), then PostgreSQL's integer.
 *
 * MLflow takes whatever Python's int() takes, so " 1 " and "1_0" are ids; what is no integer is a bad
 * parameter, and what is one but does not fit the column is PostgreSQL's error, a bad request.
 */
#include "gateway/api/experiment_id.h"

#include <stdio.h>

#include "gateway/say.h"
#include "ingest/names.h"
#include "ingest/python.h"
#include "schema/errors.h"
#include "schema/limits.h"

/* The text may hold a NUL, which a format would be cut at. */
static err_t experiment_id_refuse(struct str text, struct fail *f)
{
    const char *rest = "'. Experiment ID must be a valid integer.";

    if (f == NULL || f->arena == NULL)
        return fail(f, ERR_BAD_PARAM, "Invalid experiment ID '%.*s%s", STR_ARG(text), rest);
    return SAY(f->arena, f, ERR_BAD_PARAM, STR("Invalid experiment ID '"), text, str_of(rest));
}

err_t experiment_id_parse(struct str text, int32_t *out, struct fail *f)
{
    int64_t id = 0;
    enum python_int kind = text.n > LIMIT_NUMBER ? PYTHON_NOT_INT : python_int(text, &id);

    if (kind == PYTHON_NOT_INT)
        return experiment_id_refuse(str_head(text, NAMES_QUOTE_MAX), f);
    if (kind == PYTHON_BIG_INT || id < INT32_MIN || id > INT32_MAX)
        return fail(f, ERR_BAD_REQUEST,
                    "(psycopg.errors.NumericValueOutOfRange) integer out of range");
    *out = (int32_t)id;
    return OK;
}

struct str experiment_id_settle(struct str text, char room[EXPERIMENT_ID_ROOM])
{
    int64_t id = 0;

    if (text.n > LIMIT_NUMBER || python_int(text, &id) != PYTHON_INT || id < INT32_MIN ||
        id > INT32_MAX)
        return text;
    return (struct str){room, (size_t)snprintf(room, EXPERIMENT_ID_ROOM, "%d", (int)id)};
}

err_t experiment_id_unknown(int32_t id, struct fail *f)
{
    return fail(f, ERR_NOT_FOUND, "No Experiment with id=%d exists", id);
}
