/*
 * model_search: MLflow 3.17.2's search of logged models without its joins.
 *
 * MLflow joins one subquery per clause on a metric, param or tag, and one per metric to order by. Here
 * a clause is an EXISTS over the primary key, which begins with the model's id, and an order key a
 * scalar subquery, read once per model. Both mean the same:
 *
 *     metric    any logged row of that name satisfies it, not the latest; NaN is stored as 0
 *     datasets  a row counts for a metric clause only when it was logged on one of them; without
 *               a metric clause the model needs some row on one of them
 *     order     of a metric, the row with the greatest (timestamp, step), then the smallest run id,
 *               on the entry's dataset; what is missing comes last in both directions
 *
 * Then come creation_timestamp_ms DESC and model_id, unless they were named.
 *
 * PostgreSQL plans joins in time exponential in their number and makes a join of an EXISTS, so only
 * the first JOINS_MAX clauses may become one (search_sql.c).
 */
#include "gateway/search/model_search.h"

#include "gateway/say.h"
#include "gateway/search/search_sql.h"
#include "gateway/sql/sql.h"
#include "schema/errors.h"

enum { JOINS_MAX = 6 };

#define METRIC_PREFIX STR("metrics.")

static const char *const op_texts[] = {
    [OP_EQ] = " = ",      [OP_NE] = " <> ",         [OP_LT] = " < ",      [OP_LE] = " <= ",
    [OP_GT] = " > ",      [OP_GE] = " >= ",         [OP_LIKE] = " LIKE ", [OP_ILIKE] = " ILIKE ",
    [OP_IN] = " = ANY (", [OP_NOT_IN] = " <> ALL ("};

/* -- filter ----------------------------------------------------------------------------------- */

static void model_list(struct query *q, const struct model_clause *c)
{
    const char *type = c->kind == MODEL_TEXTS  ? "text[]"
                       : c->kind == MODEL_INTS ? "int4[]"
                                               : "float8[]";
    bool is_plain = c->kind == MODEL_TEXTS;

    for (size_t i = 0; i < c->list_count; i++)
        is_plain = is_plain && c->list[i].p;
    query_text(q, op_texts[c->op]);
    if (is_plain)
        query_bind_texts(q, c->list, c->list_count);
    else
        query_bind_as(q, sql_text_array_nulls(q->arena, c->list, c->list_count), type);
    query_text(q, ")");
}

/* column op value */
static void model_compare(struct query *q, const char *column, const struct model_clause *c)
{
    query_text(q, column);
    if (c->kind == MODEL_NULL) {
        query_text(q, c->op == OP_EQ ? " IS NULL" : " IS NOT NULL");
    } else if (c->op == OP_IN || c->op == OP_NOT_IN) {
        model_list(q, c);
    } else {
        query_text(q, op_texts[c->op]);
        if (c->kind == MODEL_NUMBER)
            query_bind_f64(q, c->number);
        else
            query_bind_text(q, c->text);
    }
}

/* The datasets of the request, bound once. */
static void model_datasets(struct query *q, const struct model_search *s)
{
    query_text(q, "WITH sets AS (SELECT name, digest FROM unnest(");
    query_bind_texts(q, s->dataset_names, s->datasets_count);
    query_text(q, ", ");
    query_bind_as(q, sql_text_array_nulls(q->arena, s->dataset_digests, s->datasets_count),
                  "text[]");
    query_text(q, ") AS t(name, digest)) ");
}

static void model_on_datasets(struct query *q)
{
    query_text(q, " AND EXISTS (SELECT 1 FROM sets WHERE sets.name = v.dataset_name"
                  " AND sets.digest IS NOT DISTINCT FROM v.dataset_digest)");
}

/* A row of the model in one of its tables. */
static void model_clause_rows(struct query *q, const struct model_search *s, size_t place)
{
    static const struct {
        const char *head, *value;
    } tables[] = {
        [ENTITY_METRIC] = {"EXISTS (SELECT 1 FROM logged_model_metrics v"
                           " WHERE v.model_id = m.model_id AND v.metric_name = ",
                           "v.metric_value"},
        [ENTITY_PARAM] = {"EXISTS (SELECT 1 FROM logged_model_params v"
                          " WHERE v.model_id = m.model_id AND v.param_key = ",
                          "v.param_value"},
        [ENTITY_TAG] = {"EXISTS (SELECT 1 FROM logged_model_tags v"
                        " WHERE v.model_id = m.model_id AND v.tag_key = ",
                        "v.tag_value"},
    };
    const struct model_clause *c = &s->clauses[place];

    query_text(q, tables[c->entity].head);
    query_bind_text(q, c->key);
    query_text(q, " AND ");
    model_compare(q, tables[c->entity].value, c);
    if (c->entity == ENTITY_METRIC && s->datasets_count)
        model_on_datasets(q);
    query_text(q, place < JOINS_MAX ? ")" : " OFFSET 0)");
}

static void model_filter(struct query *q, const struct model_search *s)
{
    bool has_metric = false;

    for (size_t i = 0; i < s->clauses_count; i++) {
        const struct model_clause *c = &s->clauses[i];

        query_text(q, " AND ");
        if (c->entity != ENTITY_ATTRIBUTE) {
            model_clause_rows(q, s, i);
        } else {
            query_text(q, "m.");
            model_compare(q, model_filter_column(c->key), c);
        }
        has_metric = has_metric || c->entity == ENTITY_METRIC;
    }
    if (s->datasets_count && !has_metric) {
        query_text(q, " AND EXISTS (SELECT 1 FROM logged_model_metrics v"
                      " WHERE v.model_id = m.model_id");
        model_on_datasets(q);
        query_text(q, ")");
    }
}

/* -- order ------------------------------------------------------------------------------------ */

err_t model_search_check_order(struct arena *a, const struct model_order *orders, size_t count,
                               struct fail *f)
{
    if (count > MODEL_ORDER_MAX)
        return fail_str(f, ERR_INTERNAL, STR("maximum recursion depth exceeded"));
    for (size_t i = 0; i < count; i++) {
        struct str field = orders[i].field;

        if (str_starts(field, METRIC_PREFIX))
            continue;
        if (str_find(field, '.') < field.n)
            return SAY(a, f, ERR_BAD_PARAM, STR("Invalid order by field name: "), field,
                       STR(". Only metrics are supported."));
        if (!model_filter_column(model_filter_alias(field)))
            return SAY(a, f, ERR_NO_ATTRIBUTE, STR("Invalid order by field name: "), field);
    }
    return OK;
}

/* The value of a metric that a model is ordered by. */
static void model_order_metric(struct query *q, const struct model_order *o)
{
    query_text(q, "(SELECT v.metric_value FROM logged_model_metrics v"
                  " WHERE v.model_id = m.model_id AND v.metric_name = ");
    query_bind_text(q, str_skip(o->field, METRIC_PREFIX.n));
    if (o->dataset_name.n) {
        query_text(q, " AND v.dataset_name = ");
        query_bind_text(q, o->dataset_name);
    }
    if (o->dataset_digest.n) {
        query_text(q, " AND v.dataset_digest = ");
        query_bind_text(q, o->dataset_digest);
    }
    query_text(q, " ORDER BY v.metric_timestamp_ms DESC, v.metric_step DESC, v.run_id LIMIT 1)");
}

static void model_order(struct query *q, const struct model_search *s)
{
    bool has_created = false, has_id = false;
    const char *before = " ORDER BY ";

    for (size_t i = 0; i < s->orders_count; i++) {
        const struct model_order *o = &s->orders[i];
        struct str key = model_filter_alias(o->field);

        query_text(q, before);
        before = ", ";
        if (str_starts(o->field, METRIC_PREFIX)) {
            model_order_metric(q, o);
        } else {
            query_text(q, "m.");
            query_text(q, model_filter_column(key));
        }
        query_text(q, o->is_descending ? " DESC NULLS LAST" : " NULLS LAST");
        has_created = has_created || str_eq(key, STR("creation_timestamp_ms"));
        has_id = has_id || str_eq(key, STR("model_id"));
    }
    if (!has_created) {
        query_text(q, before);
        query_text(q, "m.creation_timestamp_ms DESC");
        before = ", ";
    }
    if (!has_id) {
        query_text(q, before);
        query_text(q, "m.model_id");
    }
}

err_t model_search_query(struct arena *a, const struct model_search *s, struct query *out,
                         struct fail *f)
{
    struct query *q = out;

    query_init(q, a);
    if (s->datasets_count)
        model_datasets(q, s);
    query_text(
        q, "SELECT m.model_id FROM logged_models m WHERE m.experiment_id = ANY (" SCOPE_IDS_BEGIN);
    query_bind_ids(q, s->experiment_ids, s->ids_count);
    query_text(q, SCOPE_IDS_END ") AND m.lifecycle_stage <> 'deleted'");
    model_filter(q, s);
    model_order(q, s);
    query_text(q, " LIMIT ");
    query_bind_i64(q, s->limit);
    query_text(q, " OFFSET ");
    query_bind_i64(q, s->offset);
    return search_finish(q, f);
}
