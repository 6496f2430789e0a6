/* search_sql: the statement and the values of a search. */
#include "gateway/search/search_sql.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "gateway/say.h"
#include "unscoped.h"

struct row {
    enum filter_dialect dialect;
    const char *filter;
    const char *orders; /* separated by | */
    const char *sql;
    const char *values; /* separated by | */
};

#define RUNS_WHERE "WHERE r.experiment_id = ANY ($1::int4[]) AND r.lifecycle_stage = 'active'"
#define RUNS_FROM  "SELECT r.run_uuid FROM runs r " RUNS_WHERE
#define RUNS_END   " ORDER BY r.start_time DESC, r.run_uuid LIMIT "
#define NO_PROMPTS(tags)                                                  \
    " AND NOT EXISTS (SELECT 1 FROM " tags                                \
    " v WHERE v.workspace = m.workspace AND v.name = m.name AND v.key = " \
    "'mlflow.prompt.is_prompt' AND v.value = 'true')"

static const struct row rows[] = {
    {FILTER_RUNS, "", "", RUNS_FROM RUNS_END "$2::int8 OFFSET $3::int8", "{1,2}|11|20"},
    {FILTER_RUNS, "metrics.acc > 0.5", "",
     RUNS_FROM " AND EXISTS (SELECT 1 FROM latest_metrics v WHERE v.run_uuid = r.run_uuid AND "
               "v.key = $2::text AND NOT v.is_nan AND v.value > $3::float8)" RUNS_END
               "$4::int8 OFFSET $5::int8",
     "{1,2}|acc|0.5|11|20"},
    {FILTER_RUNS, "metrics.acc != 0", "",
     RUNS_FROM " AND EXISTS (SELECT 1 FROM latest_metrics v WHERE v.run_uuid = r.run_uuid AND "
               "v.key = $2::text AND (v.is_nan OR v.value <> $3::float8))" RUNS_END
               "$4::int8 OFFSET $5::int8",
     "{1,2}|acc|0.0|11|20"},
    {FILTER_RUNS, "params.a IS NULL", "",
     RUNS_FROM " AND NOT EXISTS (SELECT 1 FROM params v WHERE v.run_uuid = r.run_uuid AND v.key = "
               "$2::text)" RUNS_END "$3::int8 OFFSET $4::int8",
     "{1,2}|a|11|20"},
    {FILTER_RUNS, "run_name ILIKE 'x%'", "",
     RUNS_FROM " AND EXISTS (SELECT 1 FROM tags v WHERE v.run_uuid = r.run_uuid AND v.key = "
               "$2::text AND v.value ILIKE $3::text)" RUNS_END "$4::int8 OFFSET $5::int8",
     "{1,2}|mlflow.runName|x%|11|20"},
    {FILTER_RUNS, "dataset.context NOT IN ('a')", "",
     RUNS_FROM " AND EXISTS (SELECT 1 FROM inputs i JOIN datasets d ON d.dataset_uuid = "
               "i.source_id JOIN input_tags t ON t.input_uuid = i.input_uuid AND t.name = "
               "'mlflow.data.context' WHERE i.destination_type = 'RUN' AND i.destination_id = "
               "r.run_uuid AND i.source_type = 'DATASET' AND t.value <> ALL ($2::text[]))" RUNS_END
               "$3::int8 OFFSET $4::int8",
     "{1,2}|{\"a\"}|11|20"},
    {FILTER_RUNS, "created > 5 AND end_time < 1.5 AND end_time > 99999999999999999999", "",
     RUNS_FROM " AND r.start_time > $2::int8 AND r.end_time < $3::float8 AND r.end_time > "
               "$4::numeric::int8" RUNS_END "$5::int8 OFFSET $6::int8",
     "{1,2}|5|1.5|9223372036854775808|11|20"},
    {FILTER_RUNS, "run_id = ('a', 'b c', '', '\"')", "",
     RUNS_FROM " AND r.run_uuid = $2::text" RUNS_END "$3::int8 OFFSET $4::int8",
     "{1,2}|(a,\"b c\",\"\",\"\"\"\")|11|20"},
    {FILTER_RUNS, "", "metrics.acc DESC|start_time",
     "SELECT r.run_uuid FROM runs r LEFT JOIN latest_metrics o0 ON o0.run_uuid = r.run_uuid AND "
     "o0.key = $1::text WHERE r.experiment_id = ANY ($2::int4[]) AND r.lifecycle_stage = 'active' "
     "ORDER BY CASE WHEN o0.is_nan THEN 1 WHEN o0.value IS NULL THEN 2 ELSE 0 END, o0.value DESC, "
     "CASE WHEN r.start_time IS NULL THEN 1 ELSE 0 END, r.start_time, r.run_uuid LIMIT $3::int8 "
     "OFFSET $4::int8",
     "acc|{1,2}|11|20"},
    {FILTER_EXPERIMENTS, "experiment_id IN ('1', '2') AND tags.a = 'b'", "",
     "SELECT e.experiment_id FROM experiments e WHERE e.lifecycle_stage = 'active' AND "
     "e.experiment_id = ANY ($1::int4[]) AND EXISTS (SELECT 1 FROM experiment_tags v WHERE "
     "v.experiment_id = e.experiment_id AND v.key = $2::text AND v.value = $3::text) ORDER BY "
     "e.creation_time DESC, e.experiment_id LIMIT $4::int8 OFFSET $5::int8",
     "{\"1\",\"2\"}|a|b|11|20"},
    {FILTER_EXPERIMENTS, "creation_time > 5", "name|name desc",
     "SELECT e.experiment_id FROM experiments e WHERE e.lifecycle_stage = 'active' AND "
     "e.creation_time > $1::int8 ORDER BY e.name, e.name DESC, e.experiment_id DESC LIMIT $2::int8 "
     "OFFSET $3::int8",
     "5|11|20"},
    {FILTER_MODELS, "tags.a = '1' AND tags.b = '2' AND tags.a != '3'", "",
     "SELECT m.workspace, m.name FROM registered_models m WHERE m.workspace = 'default' AND "
     "EXISTS (SELECT 1 FROM "
     "registered_model_tags v WHERE v.workspace = m.workspace AND v.name = m.name AND v.key = "
     "$1::text AND v.value = $2::text AND v.value <> $3::text) AND EXISTS (SELECT 1 FROM "
     "registered_model_tags v WHERE v.workspace = m.workspace AND v.name = m.name AND v.key = "
     "$4::text AND v.value = $5::text)" NO_PROMPTS(
         "registered_model_tags") " ORDER BY m.name, m.workspace LIMIT $6::int8 OFFSET $7::int8",
     "a|1|3|b|2|11|20"},
    {FILTER_MODELS, "tags.`mlflow.prompt.is_prompt` = 'TRUE'", "timestamp desc",
     "SELECT m.workspace, m.name FROM registered_models m WHERE m.workspace = 'default' AND "
     "EXISTS (SELECT 1 FROM "
     "registered_model_tags v WHERE v.workspace = m.workspace AND v.name = m.name AND v.key = "
     "$1::text AND v.value = $2::text) ORDER BY m.last_updated_time DESC, m.name, m.workspace "
     "LIMIT "
     "$3::int8 OFFSET $4::int8",
     "mlflow.prompt.is_prompt|TRUE|11|20"},
    {FILTER_MODELS, "tags.`mlflow.prompt.is_prompt` = 'x'", "name desc",
     "SELECT m.workspace, m.name FROM registered_models m WHERE m.workspace = 'default'" NO_PROMPTS(
         "registered_model_tags") " ORDER BY m.name DESC, m.workspace LIMIT $1::int8 OFFSET "
                                  "$2::int8",
     "11|20"},
    {FILTER_MODELS, "name LIKE 'm%' AND tags.a = '1'", "name",
     "SELECT m.workspace, m.name FROM registered_models m WHERE m.workspace = 'default' AND "
     "m.name LIKE $1::text AND EXISTS (SELECT 1 FROM "
     "registered_model_tags v WHERE v.workspace = m.workspace AND v.name = m.name AND v.key = "
     "$2::text AND v.name LIKE $3::text AND v.value = $4::text)" NO_PROMPTS(
         "registered_model_tags") " ORDER BY m.name, m.workspace LIMIT $5::int8 OFFSET $6::int8",
     "m%|a|m%|1|11|20"},
    {FILTER_VERSIONS, "version_number > 1", "",
     "SELECT m.workspace, m.name, m.version FROM model_versions m WHERE m.workspace = 'default' "
     "AND m.current_stage <> 'Deleted_Internal' AND m.version > $1::int4" NO_PROMPTS(
         "model_version_tags") " ORDER BY m.last_updated_time DESC, m.name, m.version DESC, "
                               "m.workspace LIMIT $2::int8 OFFSET "
                               "$3::int8",
     "1|11|20"},
    {FILTER_VERSIONS, "source_path LIKE '%'", "creation_timestamp",
     "SELECT m.workspace, m.name, m.version FROM model_versions m WHERE m.workspace = 'default' "
     "AND m.current_stage <> 'Deleted_Internal' AND m.source LIKE $1::text" NO_PROMPTS(
         "model_version_tags") " ORDER BY m.creation_time, m.name, m.workspace, m.version DESC "
                               "LIMIT $2::int8 OFFSET "
                               "$3::int8",
     "%|11|20"},
};

/* What the statements for a tuned database are made of. */
static bool is_tuned;
static bool is_top;

/* Everything a handler does before it asks PostgreSQL. */
static err_t build(struct arena *a, enum filter_dialect d, struct str filter, struct str *items,
                   size_t n, struct query *q, struct fail *f)
{
    static const int64_t ids[] = {1, 2};
    struct search s = {.limit = 11,
                       .offset = 20,
                       .experiment_ids = ids,
                       .ids_count = 2,
                       .view = VIEW_ACTIVE_ONLY,
                       .is_tuned = is_tuned};
    struct clause *clauses;
    struct order *orders;
    err_t e;

    if ((e = filter_parse(a, d, filter, &clauses, &s.clauses_count, f)) ||
        (e = filter_check(a, d, clauses, s.clauses_count, f)) ||
        (e = order_parse(a, d, items, n, &orders, &s.orders_count, f)))
        return e;
    s.clauses = clauses;
    s.orders = orders;
    switch (d) {
    case FILTER_RUNS:
        s.ids_count = is_top ? 1 : 2;
        return is_top ? search_runs_top(a, &s, q, f) : search_runs_query(a, &s, q, f);
    case FILTER_EXPERIMENTS: return search_experiments_query(a, &s, VIEW_ACTIVE_ONLY, q, f);
    case FILTER_MODELS: return search_models_query(a, &s, q, f);
    default: return search_versions_query(a, &s, q, f);
    }
}

static void test_statements(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str rest = str_of(rows[i].orders);
        struct str values = STR("");
        struct str items[4];
        struct arena a;
        struct query q;
        struct fail f;
        size_t n = 0;

        arena_init(&a, 4096);
        fail_init(&f, &a);
        while (rest.n)
            items[n++] = str_cut(&rest, '|');
        assert_int_equal(build(&a, rows[i].dialect, str_of(rows[i].filter), items, n, &q, &f), OK);
        for (size_t k = 0; k < q.nvalues; k++)
            values = SAY_TEXT(&a, values, k ? STR("|") : STR(""), q.values[k]);
        assert_string_equal(unscoped(&a, q.text), rows[i].sql);
        assert_string_equal(SAY_TEXT(&a, values).p, rows[i].values);
        arena_fini(&a);
    }
}

static void test_views(void **state)
{
    static const char *const stages[] = {[VIEW_ACTIVE_ONLY] = " = 'active' ",
                                         [VIEW_DELETED_ONLY] = " = 'deleted' ",
                                         [VIEW_ALL] = " IN ('active', 'deleted') "};
    struct search s = {.limit = 1};
    struct arena a;
    struct fail f;

    (void)state;
    arena_init(&a, 4096);
    fail_init(&f, &a);
    for (int v = VIEW_ACTIVE_ONLY; v <= VIEW_ALL; v++) {
        struct query q;

        s.view = (enum search_view)v;
        assert_int_equal(search_runs_query(&a, &s, &q, &f), OK);
        assert_non_null(strstr(q.text, stages[v]));
        assert_non_null(strstr(q.text, " WHERE FALSE AND ")); /* of no experiment */
        assert_int_equal(search_experiments_query(&a, &s, (enum search_view)v, &q, &f), OK);
        assert_non_null(strstr(unscoped(&a, q.text), stages[v]));
    }
    arena_fini(&a);
}

/* Only what the index of values holds may be asked for in a way that means it. */
static void test_clauses_of_short_values_name_the_index(void **state)
{
    static const struct {
        const char *filter;
        bool is_named;
    } cases[] = {{"params.a = 'x'", true},     {"tags.a = 'x'", true},
                 {"run_name = 'x'", true},     {"params.a != 'x'", false},
                 {"params.a LIKE 'x'", false}, {"params.a IS NULL", false},
                 {"metrics.a = 1", false},     {"user_id = 'x'", false},
                 {"tags.a = 'LONG'", false},   {"run_id IN ('x')", false}};
    struct arena a;
    struct query q;
    struct fail f;

    (void)state;
    arena_init(&a, 4096);
    fail_init(&f, &a);
    is_tuned = true;
    for (size_t i = 0; i < array_len(cases); i++) {
        struct str filter = str_of(cases[i].filter);
        char text[TUNE_VALUE_BYTES + 64];

        if (strstr(cases[i].filter, "LONG")) { /* one byte more than the index takes */
            memset(text, 'y', sizeof(text));
            memcpy(text, "tags.a = '", 10);
            text[10 + TUNE_VALUE_BYTES + 1] = '\'';
            filter = (struct str){text, 10 + TUNE_VALUE_BYTES + 2};
        }
        assert_int_equal(build(&a, FILTER_RUNS, filter, NULL, 0, &q, &f), OK);
        assert_int_equal(strstr(q.text, " AND octet_length(v.value) <= 1000)") != NULL,
                         cases[i].is_named);
    }
    is_tuned = false;
    arena_fini(&a);
}

static void test_runs_with_the_first_key_are_asked_for_without_its_rank(void **state)
{
    static const struct {
        const char *order;
        const char *sql;
    } cases[] = {
        {"metrics.acc DESC",
         "SELECT r.run_uuid FROM runs r JOIN latest_metrics o0 ON o0.run_uuid = r.run_uuid AND "
         "o0.key = $1::text WHERE r.experiment_id = $2::int4 AND r.lifecycle_stage = 'active' AND "
         "NOT o0.is_nan ORDER BY o0.value DESC, CASE WHEN r.name IS NULL THEN 1 ELSE 0 END, "
         "r.name, r.start_time DESC, r.run_uuid LIMIT $3::int8 OFFSET $4::int8"},
        {"start_time DESC",
         "SELECT r.run_uuid FROM runs r WHERE r.experiment_id = $1::int4 AND r.lifecycle_stage = "
         "'active' AND r.start_time IS NOT NULL ORDER BY r.start_time DESC, CASE WHEN r.name IS "
         "NULL THEN 1 ELSE 0 END, r.name, r.run_uuid LIMIT $2::int8 OFFSET $3::int8"}};
    struct arena a;
    struct fail f;

    (void)state;
    arena_init(&a, 4096);
    fail_init(&f, &a);
    is_top = true;
    for (size_t i = 0; i < array_len(cases); i++) {
        struct str items[] = {str_of(cases[i].order), STR("run_name")};
        struct query q;

        assert_int_equal(build(&a, FILTER_RUNS, STR(""), items, 2, &q, &f), OK);
        assert_string_equal(unscoped(&a, q.text), cases[i].sql);
    }
    is_top = false;
    arena_fini(&a);
}

static size_t occurrences(const char *text, const char *what)
{
    size_t n = 0;

    for (; (text = strstr(text, what)) != NULL; text++)
        n++;
    return n;
}

static void test_only_so_many_joins(void **state)
{
    struct str items[20];
    struct str filter = STR("");
    struct arena a;
    struct query q;
    struct fail f;

    (void)state;
    arena_init(&a, 4096);
    fail_init(&f, &a);
    for (size_t i = 0; i < array_len(items); i++) {
        items[i] = arena_printf(&a, i % 2 ? "params.p%zu DESC" : "metrics.m%zu DESC", i);
        filter = SAY_TEXT(&a, filter, STR(" params.p = 'x' AND"));
    }
    assert_int_equal(build(&a, FILTER_RUNS, filter, items, array_len(items), &q, &f), OK);
    assert_int_equal(occurrences(q.text, "LEFT JOIN"), JOINS_MAX);
    /* one look-up for each of the others */
    assert_int_equal(occurrences(q.text, "(SELECT v.value FROM params"), (20 - JOINS_MAX) / 2);
    assert_int_equal(occurrences(q.text, "(SELECT CASE WHEN v.is_nan THEN 'NaN' ELSE -v.value END"),
                     (20 - JOINS_MAX) / 2);
    assert_int_equal(occurrences(q.text, " v WHERE v.run_uuid = r.run_uuid"), 20 + 20 - JOINS_MAX);
    assert_int_equal(occurrences(q.text, " OFFSET 0)"), 20 - JOINS_MAX);
    arena_fini(&a);
}

static void test_texts_postgresql_cannot_hold_are_refused(void **state)
{
    struct arena a;
    struct query q;
    struct fail f;

    (void)state;
    arena_init(&a, 4096);
    fail_init(&f, &a);
    assert_int_equal(build(&a, FILTER_RUNS, STR("tags.a = '\0'"), NULL, 0, &q, &f),
                     ERR_BAD_REQUEST);
    assert_int_equal(build(&a, FILTER_RUNS, STR("run_id IN ('a', 'b\\ud800')"), NULL, 0, &q, &f),
                     ERR_INTERNAL);
    assert_true(str_eq(f.text, STR("'utf-8' codec can't encode character '\\ud800' in position 1: "
                                   "surrogates not allowed")));
    assert_int_equal(build(&a, FILTER_RUNS, STR("run_id IN ('\\ud800\\udfff')"), NULL, 0, &q, &f),
                     ERR_INTERNAL);
    assert_true(str_eq(f.text, STR("'utf-8' codec can't encode characters in position 0-1: "
                                   "surrogates not allowed")));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statements),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_clauses_of_short_values_name_the_index),
        cmocka_unit_test(test_runs_with_the_first_key_are_asked_for_without_its_rank),
        cmocka_unit_test(test_only_so_many_joins),
        cmocka_unit_test(test_texts_postgresql_cannot_hold_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
