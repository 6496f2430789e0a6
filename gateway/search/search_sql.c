/*
 * search_sql: searches of MLflow 3.17.2 as SQL without its joins.
 *
 * MLflow joins one subquery per clause and order key, and makes the result DISTINCT. Here a clause
 * on a metric, param, tag or dataset is an EXISTS over the index on the run's id, and an order key
 * is a LEFT JOIN on the primary key (key, run_uuid), of which there is at most one row. Both mean
 * the same:
 *
 *     metric    a NaN is stored as 0 with is_nan; it satisfies no comparison but !=
 *     run_name  the tag mlflow.runName, not the column; ordered by the column
 *     dataset   some input of the run satisfies it, != too; each clause may mean another input
 *     missing   no comparison holds, != neither
 *
 * Order of runs: for each key a rank (0 there, 1 NULL or NaN, 2 no such metric) that ignores the
 * direction, then the value; then start_time DESC unless it was given; then run_uuid. Experiments
 * and the registry order by plain columns, PostgreSQL's NULLs last when ascending and first
 * otherwise.
 *
 * The registry: clauses on the same tag key must hold for one tag row together. Prompts are left
 * out unless the first clause on their tag asks for them; when it does not, all clauses on that tag
 * are dropped.
 *
 * PostgreSQL plans joins in time exponential in their number, so only the first JOINS_MAX clauses
 * and order keys may become joins; the rest are looked up row by row. 300 metric clauses on six
 * runs: 109 s without that rule, 0.06 s with it. Each look-up is a plan of its own, so an order key
 * makes do with one, for rank and value together.
 *
 * The rank, and the run that has no such metric, keep PostgreSQL from walking an index of values in
 * order and stopping when the page is full. So there is a second statement for runs (search_runs_top)
 * that asks only for those with rank 0, by an inner join and without the rank. They come first; when
 * they fill the page, they are the page. Without the indexes of `sluice schema tune` it gains nothing.
 *
 * A list with a comparator for single values is what the driver makes of a tuple: the text of a
 * row, ('a','b') being (a,b).
 */
#include "gateway/search/search_sql.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/sql/sql.h"
#include "ingest/python.h"
#include "schema/errors.h"
#include "schema/tune.h"

#define PROMPT_TAG STR("mlflow.prompt.is_prompt")

enum { JOINS_MAX = 6 }; /* of each kind: clauses, order keys */
/* Clauses and order keys of a search that is worth a second statement: of more, planning is what takes
 * the time. */
enum { TOP_PARTS_MAX = 20 };

static const char *const op_texts[] = {
    [OP_EQ] = " = ",      [OP_NE] = " <> ",         [OP_LT] = " < ",      [OP_LE] = " <= ",
    [OP_GT] = " > ",      [OP_GE] = " >= ",         [OP_LIKE] = " LIKE ", [OP_ILIKE] = " ILIKE ",
    [OP_IN] = " = ANY (", [OP_NOT_IN] = " <> ALL ("};

/* -- values ----------------------------------------------------------------------------------- */

static struct str search_row_text(struct arena *a, const struct clause *c)
{
    return sql_text_row(a, c->list, c->list_count);
}

/* column op value, of text. */
static void search_text(struct query *q, const char *column, const struct clause *c)
{
    query_text(q, column);
    query_text(q, op_texts[c->op]);
    if (c->op == OP_IN || c->op == OP_NOT_IN) {
        query_bind_texts(q, c->list, c->list_count);
        query_text(q, ")");
    } else {
        query_bind_text(q, c->kind == VALUE_LIST ? search_row_text(q->arena, c) : c->text);
    }
}

/* A number that no column holds. As at MLflow the cast is PostgreSQL's to refuse, and it does not look at
 * what stands behind a FALSE. */
static void search_big(struct query *q, struct str text, const char *type)
{
    query_bind_as(q, text, "numeric");
    query_text(q, "::");
    query_text(q, type);
}

/* column op value, of numbers; type is the column's. */
static void search_number(struct query *q, const char *column, const char *type,
                          const struct clause *c)
{
    query_text(q, column);
    query_text(q, op_texts[c->op]);
    if (c->kind == VALUE_F64)
        query_bind_f64(q, c->f64);
    else if (c->kind == VALUE_BIG)
        search_big(q, c->text, type);
    else
        query_bind_as(q, sql_i64(q->arena, c->i64), type);
}

static void search_page(struct query *q, const struct search *s)
{
    query_text(q, " LIMIT ");
    query_bind_i64(q, s->limit);
    query_text(q, " OFFSET ");
    query_bind_i64(q, s->offset);
}

static void search_stages(struct query *q, const char *column, enum search_view view)
{
    query_text(q, column);
    query_text(q, view == VIEW_ALL            ? " IN ('active', 'deleted')"
                  : view == VIEW_DELETED_ONLY ? " = 'deleted'"
                                              : " = 'active'");
}

/* Python's words for a str that has no UTF-8. */
static err_t search_refuse_surrogate(struct str s, struct fail *f)
{
    size_t first = 0, count = 0;
    uint32_t cp = 0;

    for (; s.n && count == 0; first += count == 0) {
        cp = python_next(&s);
        count = cp >= 0xD800 && cp < 0xE000;
    }
    if (s.n && python_has_surrogate(str_head(s, 3))) {
        for (uint32_t next; s.n && (next = python_next(&s)) >= 0xD800 && next < 0xE000;)
            count++;
        return fail(f, ERR_INTERNAL,
                    "'utf-8' codec can't encode characters in position %zu-%zu: surrogates not "
                    "allowed",
                    first, first + count - 1);
    }
    return fail(f, ERR_INTERNAL,
                "'utf-8' codec can't encode character '\\u%04x' in position %zu: surrogates not "
                "allowed",
                cp, first);
}

err_t search_finish(const struct query *q, struct fail *f)
{
    if (q->lone.p)
        return search_refuse_surrogate(q->lone, f);
    if (q->has_nul)
        return fail_str(f, ERR_BAD_REQUEST,
                        STR("(psycopg.DataError) PostgreSQL text fields cannot contain NUL (0x00) "
                            "bytes"));
    return OK;
}

/* Ends an EXISTS. Only so many become joins of the plan; planning takes exponentially long in their
 * number, and OFFSET keeps the planner from seeing one. */
static void search_end_exists(struct query *q, size_t place)
{
    query_text(q, place < JOINS_MAX ? ")" : " OFFSET 0)");
}

/* -- runs ------------------------------------------------------------------------------------- */

/* A row of table that belongs to the run and has the key. */
static void runs_key(struct query *q, const char *table, struct str key)
{
    query_text(q, "EXISTS (SELECT 1 FROM ");
    query_text(q, table);
    query_text(q, " v WHERE v.run_uuid = r.run_uuid AND v.key = ");
    query_bind_text(q, key);
}

static void runs_metric(struct query *q, const struct clause *c, size_t place)
{
    runs_key(q, "latest_metrics", c->key);
    if (c->op == OP_NE) {
        query_text(q, " AND (v.is_nan OR ");
        search_number(q, "v.value", "float8", c);
        query_text(q, ")");
    } else {
        query_text(q, " AND NOT v.is_nan AND ");
        search_number(q, "v.value", "float8", c);
    }
    search_end_exists(q, place);
}

/* Is every value that satisfies the clause short enough to be in the index of values? */
static bool runs_is_indexed(const struct clause *c)
{
    if (c->op != OP_EQ && c->op != OP_IN)
        return false;
    if (c->op == OP_EQ)
        return c->kind == VALUE_TEXT && c->text.n <= TUNE_VALUE_BYTES;
    for (size_t i = 0; i < c->list_count; i++) {
        if (c->list[i].n > TUNE_VALUE_BYTES)
            return false;
    }
    return true;
}

/* Params and tags. What the index of values leaves out has to be left out by the clause as well, or
 * PostgreSQL does not use it; untuned nobody knows how few that are, and the guess spoils the plan. */
static void runs_pair(struct query *q, const struct search *s, const char *table, struct str key,
                      const struct clause *c, size_t place)
{
    if (c->op == OP_IS_NULL)
        query_text(q, "NOT ");
    runs_key(q, table, key);
    if (c->op != OP_IS_NULL && c->op != OP_IS_NOT_NULL) {
        query_text(q, " AND ");
        search_text(q, "v.value", c);
        if (s->is_tuned && runs_is_indexed(c))
            query_text(q, " AND octet_length(v.value) <= " TUNE_VALUE_TEXT);
    }
    search_end_exists(q, place);
}

static void runs_dataset(struct query *q, const struct clause *c, size_t place)
{
    bool is_context = str_eq(c->key, STR("context"));

    query_text(q,
               "EXISTS (SELECT 1 FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id ");
    if (is_context)
        query_text(q, "JOIN input_tags t ON t.input_uuid = i.input_uuid "
                      "AND t.name = 'mlflow.data.context' ");
    query_text(q, "WHERE i.destination_type = 'RUN' AND i.destination_id = r.run_uuid "
                  "AND i.source_type = 'DATASET' AND ");
    search_text(q, is_context ? "t.value" : str_eq(c->key, STR("name")) ? "d.name" : "d.digest", c);
    search_end_exists(q, place);
}

/* The column of an attribute. */
static const char *runs_column(struct str key)
{
    static const struct {
        const char *key, *column;
    } rows[] = {{"run_id", "r.run_uuid"},
                {"run_name", "r.name"},
                {"status", "r.status"},
                {"user_id", "r.user_id"},
                {"artifact_uri", "r.artifact_uri"},
                {"start_time", "r.start_time"},
                {"end_time", "r.end_time"}};

    for (size_t i = 0; i < array_len(rows); i++) {
        if (str_eq(key, str_of(rows[i].key)))
            return rows[i].column;
    }
    check(!"an attribute that filter.c knows");
    return NULL;
}

static void runs_attribute(struct query *q, const struct search *s, const struct clause *c,
                           size_t place)
{
    if (str_eq(c->key, STR("run_name")))
        runs_pair(q, s, "tags", STR("mlflow.runName"), c, place);
    else if (str_eq(c->key, STR("start_time")) || str_eq(c->key, STR("end_time")))
        search_number(q, runs_column(c->key), "int8", c);
    else
        search_text(q, runs_column(c->key), c);
}

static void runs_clause(struct query *q, const struct search *s, const struct clause *c,
                        size_t place)
{
    switch (c->entity) {
    case ENTITY_METRIC: runs_metric(q, c, place); break;
    case ENTITY_PARAM: runs_pair(q, s, "params", c->key, c, place); break;
    case ENTITY_TAG: runs_pair(q, s, "tags", c->key, c, place); break;
    case ENTITY_DATASET: runs_dataset(q, c, place); break;
    default: runs_attribute(q, s, c, place); break;
    }
}

static const char *runs_table(enum filter_entity entity)
{
    return entity == ENTITY_METRIC ? "latest_metrics" : entity == ENTITY_PARAM ? "params" : "tags";
}

/* The tables that the first order keys are in: o0, o1, ... by place in the list. A run without a row
 * in the very first is left out when is_top. */
static void runs_order_joins(struct query *q, const struct search *s, bool is_top)
{
    for (size_t i = 0; i < s->orders_count && i < JOINS_MAX; i++) {
        const struct order *o = &s->orders[i];

        if (o->entity == ENTITY_ATTRIBUTE)
            continue;
        query_text(q, is_top && i == 0 ? " JOIN " : " LEFT JOIN ");
        query_text(q, runs_table(o->entity));
        query_text(q, " o");
        query_number(q, i);
        query_text(q, " ON o");
        query_number(q, i);
        query_text(q, ".run_uuid = r.run_uuid AND o");
        query_number(q, i);
        query_text(q, ".key = ");
        query_bind_text(q, o->key);
    }
}

/* What a key orders by: the run's column, or that column of the row it is joined with. */
static void runs_order_value(struct query *q, const struct order *o, size_t i, const char *column)
{
    if (o->entity == ENTITY_ATTRIBUTE) {
        query_text(q, runs_column(o->key));
        return;
    }
    query_text(q, "o");
    query_number(q, i);
    query_text(q, ".");
    query_text(q, column);
}

/* Rank and value of a key that is not joined, in one look-up. PostgreSQL's NaN is greater than any
 * number and NULL comes after it, which is the order of the ranks; so a metric that descends is
 * negated instead. */
static void runs_order_looked_up(struct query *q, const struct order *o)
{
    bool is_metric = o->entity == ENTITY_METRIC;

    query_text(q, "(SELECT ");
    query_text(q, !is_metric         ? "v.value"
                  : o->is_descending ? "CASE WHEN v.is_nan THEN 'NaN' ELSE -v.value END"
                                     : "CASE WHEN v.is_nan THEN 'NaN' ELSE v.value END");
    query_text(q, " FROM ");
    query_text(q, runs_table(o->entity));
    query_text(q, " v WHERE v.run_uuid = r.run_uuid AND v.key = ");
    query_bind_text(q, o->key);
    query_text(q, is_metric || !o->is_descending ? "), " : ") DESC NULLS LAST, ");
}

static bool runs_is_start(const struct order *o)
{
    return o->entity == ENTITY_ATTRIBUTE && str_eq(o->key, STR("start_time"));
}

/* The rank of a key: what lacks it comes last. */
static void runs_order_rank(struct query *q, const struct order *o, size_t i)
{
    query_text(q, "CASE WHEN ");
    if (o->entity == ENTITY_METRIC) {
        runs_order_value(q, o, i, "is_nan");
        query_text(q, " THEN 1 WHEN ");
    }
    runs_order_value(q, o, i, "value");
    query_text(q, o->entity == ENTITY_METRIC ? " IS NULL THEN 2 ELSE 0 END, "
                                             : " IS NULL THEN 1 ELSE 0 END, ");
}

/* When is_top, the first key is there in every row. */
static void runs_order(struct query *q, const struct search *s, bool is_top)
{
    bool has_start = false;

    query_text(q, " ORDER BY ");
    for (size_t i = 0; i < s->orders_count; i++) {
        const struct order *o = &s->orders[i];

        if (o->entity != ENTITY_ATTRIBUTE && i >= JOINS_MAX) {
            runs_order_looked_up(q, o);
            continue;
        }
        if (!is_top || i > 0)
            runs_order_rank(q, o, i);
        runs_order_value(q, o, i, "value");
        query_text(q, o->is_descending ? " DESC, " : ", ");
        has_start = has_start || runs_is_start(o);
    }
    query_text(q, has_start ? "r.run_uuid" : "r.start_time DESC, r.run_uuid");
}

/* With one experiment, which is what most ask for, an index on it gives its rows in order. */
static void runs_experiments(struct query *q, const struct search *s)
{
    if (s->ids_count == 0) {
        query_text(q, "FALSE");
    } else if (s->ids_count == 1) {
        query_text(q, "r.experiment_id = " SCOPE_ID_BEGIN);
        query_bind_as(q, sql_i64(q->arena, s->experiment_ids[0]), "int4");
        query_text(q, SCOPE_ID_END);
    } else {
        query_text(q, "r.experiment_id = ANY (" SCOPE_IDS_BEGIN);
        query_bind_ids(q, s->experiment_ids, s->ids_count);
        query_text(q, SCOPE_IDS_END ")");
    }
}

static err_t runs_query(struct arena *a, const struct search *s, bool is_top, struct query *q,
                        struct fail *f)
{
    query_init(q, a);
    query_text(q, "SELECT r.run_uuid FROM runs r");
    runs_order_joins(q, s, is_top);
    query_text(q, " WHERE ");
    runs_experiments(q, s);
    query_text(q, " AND ");
    search_stages(q, "r.lifecycle_stage", s->view);
    if (is_top)
        query_text(q, s->orders[0].entity == ENTITY_METRIC ? " AND NOT o0.is_nan"
                                                           : " AND r.start_time IS NOT NULL");
    for (size_t i = 0; i < s->clauses_count; i++) {
        query_text(q, " AND ");
        runs_clause(q, s, &s->clauses[i], i);
    }
    runs_order(q, s, is_top);
    search_page(q, s);
    return search_finish(q, f);
}

err_t search_runs_query(struct arena *a, const struct search *s, struct query *out, struct fail *f)
{
    return runs_query(a, s, false, out, f);
}

bool search_runs_has_top(const struct search *s)
{
    return s->orders_count > 0 && s->clauses_count + s->orders_count <= TOP_PARTS_MAX &&
           (s->orders[0].entity == ENTITY_METRIC || runs_is_start(&s->orders[0]));
}

err_t search_runs_top(struct arena *a, const struct search *s, struct query *out, struct fail *f)
{
    check(search_runs_has_top(s));
    return runs_query(a, s, true, out, f);
}

/* -- experiments ------------------------------------------------------------------------------ */

static void experiments_tag(struct query *q, const struct clause *c, size_t place)
{
    if (c->op == OP_IS_NULL)
        query_text(q, "NOT ");
    query_text(q, "EXISTS (SELECT 1 FROM experiment_tags v "
                  "WHERE v.experiment_id = e.experiment_id AND v.key = ");
    query_bind_text(q, c->key);
    if (c->op != OP_IS_NULL && c->op != OP_IS_NOT_NULL) {
        query_text(q, " AND ");
        search_text(q, "v.value", c);
    }
    search_end_exists(q, place);
}

/* Single values and lists; a list with = is what int4 cannot read. */
static void experiments_id(struct query *q, const struct clause *c)
{
    query_text(q, "e.experiment_id");
    query_text(q, op_texts[c->op]);
    if (c->op == OP_IN || c->op == OP_NOT_IN) {
        query_bind_as(q, sql_text_array(q->arena, c->list, c->list_count), "int4[])");
    } else {
        query_bind_as(q, c->kind == VALUE_LIST ? search_row_text(q->arena, c) : c->text, "int4");
    }
}

static void experiments_clause(struct query *q, const struct clause *c, size_t place)
{
    if (c->entity == ENTITY_TAG)
        experiments_tag(q, c, place);
    else if (str_eq(c->key, STR("experiment_id")))
        experiments_id(q, c);
    else if (str_eq(c->key, STR("name")))
        search_text(q, "e.name", c);
    else
        search_number(
            q, str_eq(c->key, STR("creation_time")) ? "e.creation_time" : "e.last_update_time",
            "int8", c);
}

static const char *experiments_column(struct str key)
{
    return str_eq(key, STR("name"))            ? "e.name"
           : str_eq(key, STR("experiment_id")) ? "e.experiment_id"
           : str_eq(key, STR("creation_time")) ? "e.creation_time"
                                               : "e.last_update_time";
}

/* A column that is named twice counts where it comes first. */
static void experiments_order(struct query *q, const struct search *s)
{
    bool has_id = false;

    if (s->orders_count == 0) {
        query_text(q, " ORDER BY e.creation_time DESC, e.experiment_id");
        return;
    }
    query_text(q, " ORDER BY ");
    for (size_t i = 0; i < s->orders_count && !has_id; i++) {
        const struct order *o = &s->orders[i];

        query_text(q, i ? ", " : "");
        query_text(q, experiments_column(o->key));
        query_text(q, o->is_descending ? " DESC" : "");
        has_id = str_eq(o->key, STR("experiment_id"));
    }
    query_text(q, has_id ? "" : ", e.experiment_id DESC");
}

err_t search_experiments_query(struct arena *a, const struct search *s, enum search_view view,
                               struct query *out, struct fail *f)
{
    struct query *q = out;

    query_init(q, a);
    query_text(q, "SELECT e.experiment_id FROM experiments e WHERE ");
    search_stages(q, "e.lifecycle_stage", view);
    query_text(q, SCOPE_EXPERIMENT("e"));
    for (size_t i = 0; i < s->clauses_count; i++) {
        query_text(q, " AND ");
        experiments_clause(q, &s->clauses[i], i);
    }
    experiments_order(q, s);
    search_page(q, s);
    return search_finish(q, f);
}

/* -- the registry ----------------------------------------------------------------------------- */

/* Models and versions differ in names only. */
struct registry {
    const char *select;
    const char *tags;    /* FROM and the condition that ties a tag row to its owner */
    const char *prompts; /* the same, by model name */
    const char *(*column)(struct str key);
};

static const char *models_column(struct str key)
{
    return str_eq(key, STR("name")) ? "m.name" : "m.last_updated_time";
}

static const char *versions_column(struct str key)
{
    static const struct {
        const char *key, *column;
    } rows[] = {{"name", "m.name"},
                {"run_id", "m.run_id"},
                {"source_path", "m.source"},
                {"version_number", "m.version"},
                {"creation_timestamp", "m.creation_time"},
                {"last_updated_timestamp", "m.last_updated_time"}};

    for (size_t i = 0; i < array_len(rows); i++) {
        if (str_eq(key, str_of(rows[i].key)))
            return rows[i].column;
    }
    check(!"an attribute that filter.c knows");
    return NULL;
}

static const struct registry registry_models = {
    "SELECT m.workspace, m.name FROM registered_models m WHERE m.workspace = " SCOPE_NAME,
    "registered_model_tags v WHERE v.workspace = m.workspace AND v.name = m.name",
    "registered_model_tags v WHERE v.workspace = m.workspace AND v.name = m.name",
    models_column,
};

static const struct registry registry_versions = {
    "SELECT m.workspace, m.name, m.version FROM model_versions m "
    "WHERE m.workspace = " SCOPE_NAME " AND m.current_stage <> 'Deleted_Internal'",
    "model_version_tags v WHERE v.workspace = m.workspace AND v.name = m.name "
    "AND v.version = m.version",
    "model_version_tags v WHERE v.workspace = m.workspace AND v.name = m.name",
    versions_column,
};

static bool is_prompt_clause(const struct clause *c)
{
    return c->entity == ENTITY_TAG && str_eq(c->key, PROMPT_TAG);
}

/* Does the first clause on the prompts' tag ask for prompts? */
static bool registry_wants_prompts(const struct search *s)
{
    for (size_t i = 0; i < s->clauses_count; i++) {
        const struct clause *c = &s->clauses[i];

        if (is_prompt_clause(c))
            return (c->op == OP_EQ && str_ieq(c->text, STR("true"))) ||
                   (c->op == OP_NE && str_ieq(c->text, STR("false")));
    }
    return false;
}

/* The first name LIKE, said of a tag's row as well: its name is the model's, which the planner knows
 * of = only. Without that, LIKE 'model 1%' with a tag reads the tags of all models: 3.2 ms for
 * 10 000 of them, against 0.7 ms by the primary key. */
static void registry_tag_name(struct query *q, const struct search *s)
{
    for (size_t i = 0; i < s->clauses_count; i++) {
        const struct clause *c = &s->clauses[i];

        if (c->entity != ENTITY_TAG && c->op == OP_LIKE && str_eq(c->key, STR("name"))) {
            query_text(q, " AND ");
            search_text(q, "v.name", c);
            return;
        }
    }
}

/* Clauses by tag key, so that the ones on a key become one EXISTS. */
struct tag_clause {
    const struct clause *clause;
    size_t place;
};

static int tag_clause_compare(const void *a, const void *b)
{
    const struct tag_clause *x = a, *y = b;
    int order = str_cmp(x->clause->key, y->clause->key);

    return order ? order : (x->place > y->place) - (x->place < y->place);
}

static void registry_tags(struct query *q, const struct registry *r, const struct search *s,
                          bool wants_prompts)
{
    struct tag_clause *tags = arena_array(q->arena, s->clauses_count, sizeof(tags[0]));
    size_t n = 0, keys = 0;

    for (size_t i = 0; i < s->clauses_count; i++) {
        const struct clause *c = &s->clauses[i];

        if (c->entity == ENTITY_TAG && (wants_prompts || !is_prompt_clause(c)))
            tags[n++] = (struct tag_clause){c, i};
    }
    qsort(tags, n, sizeof(tags[0]), tag_clause_compare);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !str_eq(tags[i].clause->key, tags[i - 1].clause->key)) {
            if (i)
                search_end_exists(q, keys++);
            query_text(q, " AND EXISTS (SELECT 1 FROM ");
            query_text(q, r->tags);
            query_text(q, " AND v.key = ");
            query_bind_text(q, tags[i].clause->key);
            if (keys < JOINS_MAX)
                registry_tag_name(q, s);
        }
        query_text(q, " AND ");
        search_text(q, "v.value", tags[i].clause);
    }
    if (n)
        search_end_exists(q, keys);
}

static void registry_where(struct query *q, const struct registry *r, const struct search *s)
{
    bool wants_prompts = registry_wants_prompts(s);

    for (size_t i = 0; i < s->clauses_count; i++) {
        const struct clause *c = &s->clauses[i];

        if (c->entity == ENTITY_TAG)
            continue;
        query_text(q, " AND ");
        if (str_eq(c->key, STR("version_number")))
            search_number(q, "m.version", "int4", c);
        else
            search_text(q, r->column(c->key), c);
    }
    registry_tags(q, r, s, wants_prompts);
    if (!wants_prompts) {
        query_text(q, " AND NOT EXISTS (SELECT 1 FROM ");
        query_text(q, r->prompts);
        query_text(q, " AND v.key = 'mlflow.prompt.is_prompt' AND v.value = 'true')");
    }
}

/* The keys that were asked for, then the tie-breaks that are not among them. */
static void registry_order(struct query *q, const struct registry *r, const struct search *s,
                           bool has_version)
{
    bool has_name = false;

    query_text(q, " ORDER BY ");
    for (size_t i = 0; i < s->orders_count; i++) {
        const struct order *o = &s->orders[i];

        query_text(q, r->column(o->key));
        query_text(q, o->is_descending ? " DESC, " : ", ");
        has_name = has_name || str_eq(o->key, STR("name"));
        has_version = has_version && !str_eq(o->key, STR("version_number"));
    }
    query_text(q, has_name ? "m.workspace" : "m.name, m.workspace");
    query_text(q, has_version ? ", m.version DESC" : "");
}

static err_t registry_query(struct arena *a, const struct registry *r, const struct search *s,
                            bool has_version, struct query *q, struct fail *f)
{
    query_init(q, a);
    query_text(q, r->select);
    registry_where(q, r, s);
    if (has_version && s->orders_count == 0)
        query_text(q, " ORDER BY m.last_updated_time DESC, m.name, m.version DESC, m.workspace");
    else
        registry_order(q, r, s, has_version);
    search_page(q, s);
    return search_finish(q, f);
}

err_t search_models_query(struct arena *a, const struct search *s, struct query *out,
                          struct fail *f)
{
    return registry_query(a, &registry_models, s, false, out, f);
}

err_t search_versions_query(struct arena *a, const struct search *s, struct query *out,
                            struct fail *f)
{
    return registry_query(a, &registry_versions, s, true, out, f);
}
