/*
 * filter: what a search filter asks for.
 *
 * One grammar for runs, experiments, registered models and model versions; the dialect says which
 * names and values there are. filter_parse gives the clauses, all of which must hold, or refuses in
 * MLflow's words; filter_check then refuses comparators that a name does not take. MLflow reports
 * what filter_check finds later than other errors of the request, so the caller places the two
 * calls:
 *
 *     runs         filter_parse, order_parse, filter_check, page token, experiment ids
 *     experiments  filter_parse, filter_check, order_parse, page token
 *     models       filter_parse, order_parse, page token, filter_check
 *     versions     filter_parse, filter_check, order_parse, page token
 *
 * Texts point into the filter or the arena. Values go into SQL by binding only (search_sql). Pure;
 * any thread. Time is about linear in the text.
 */
#ifndef GATEWAY_FILTER_H
#define GATEWAY_FILTER_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

enum filter_dialect { FILTER_RUNS, FILTER_EXPERIMENTS, FILTER_MODELS, FILTER_VERSIONS };

enum filter_entity { ENTITY_ATTRIBUTE, ENTITY_METRIC, ENTITY_PARAM, ENTITY_TAG, ENTITY_DATASET };

enum filter_op {
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_LIKE,
    OP_ILIKE,
    OP_IN,
    OP_NOT_IN,
    OP_IS_NULL,
    OP_IS_NOT_NULL,
    OP_OTHER /* lexes as a comparator; filter_check refuses it */
};

enum filter_kind {
    VALUE_NONE, /* IS NULL */
    VALUE_TEXT, /* text */
    VALUE_I64,  /* i64 */
    VALUE_BIG,  /* an integer that int64 does not hold; text is one that PostgreSQL refuses too */
    VALUE_F64,  /* f64 */
    VALUE_LIST  /* list: texts */
};

struct clause {
    enum filter_entity entity;
    struct str key; /* aliases of attributes are resolved */
    enum filter_op op;
    struct str op_text; /* as the messages show it */
    enum filter_kind kind;
    struct str text;
    int64_t i64;
    double f64;
    struct str *list;
    size_t list_count;
};

/* The clauses of text; an empty text has none, one longer than LIMIT_FILTER is none. ERR_BAD_PARAM, ERR_INTERNAL. */
must_check err_t filter_parse(struct arena *a, enum filter_dialect d, struct str text,
                              struct clause **out, size_t *count, struct fail *f);
/* Refuses comparators; turns texts that are compared with integer columns into integers. */
must_check err_t filter_check(struct arena *a, enum filter_dialect d, struct clause *clauses,
                              size_t count, struct fail *f);

/* What an identifier names: shared with order.c. is_order picks the names that may be ordered
 * by. */
must_check err_t filter_identifier(struct arena *a, enum filter_dialect d, bool is_order,
                                   struct str text, enum filter_entity *entity, struct str *key,
                                   struct fail *f);
/* The attribute that a run's alias stands for: created is start_time. */
struct str filter_canonical(struct str key);

#endif
