/* filter: MLflow 3.17.2's verdict on filters; the examples that were tried on it, and more. */
#include "gateway/search/filter.c"

#include "tests/unit/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#define RUN_KEYS                                                                             \
    "{'artifact_uri', 'end_time', 'run_id', 'run_name', 'start_time', 'status', 'user_id', " \
    "'created', 'Created', 'run name', 'Run name', 'Run Name'}"
#define RUN_ENTITIES "Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']"
#define ENTITIES     "Valid entity types are ('attribute', 'tag', 'tags')"
#define NULLS        "'{'!=', '=', 'LIKE', 'ILIKE', 'IS NULL', 'IS NOT NULL'}"
#define LISTS        "'{'!=', '=', 'LIKE', 'ILIKE', 'IN', 'NOT IN'}"

static const struct verdict rows[] = {
    YES(RUNS, "", ""),
    YES(RUNS, "AND", ""),
    YES(RUNS, "metrics.acc > 0.1", "metric acc > 0.1"),
    YES(RUNS, "metric.loss <= 1e-3", "metric loss <= 0.001"),
    YES(RUNS, "metrics.loss = -5", "metric loss = -5.0"),
    YES(RUNS, "metrics.`m-1` = 1", "metric m-1 = 1.0"),
    YES(RUNS, "metrics.\"a/b\" = 7", "metric a/b = 7.0"),
    YES(RUNS, "`metrics`.acc = 0.5", "metric acc = 0.5"),
    YES(RUNS, "metrics. acc > 0.1", "metric  acc > 0.1"),
    YES(RUNS, "metrics.acc < 1e400", "metric acc < inf"),
    YES(RUNS, "params.lr = \"0.01\"", "parameter lr = '0.01'"),
    YES(RUNS, "params.lr like '0.01\\%'", "parameter lr LIKE '0.01\\%'"),
    YES(RUNS, "params.lr is not null", "parameter lr IS NOT NULL"),
    YES(RUNS, "params.order = 'x'", "parameter order = 'x'"),
    YES(RUNS, "tags.t.dot = 'd'", "tag t.dot = 'd'"),
    YES(RUNS, "tags.`qu'ote` = \"it's\"", "tag qu'ote = 'it's'"),
    YES(RUNS, "tags.`qu'ote` = 'it''s'", "tag qu'ote = 'it''s'"),
    YES(RUNS, "tags.k1 = 'v1' tags.t.dot = 'd'", "tag k1 = 'v1'; tag t.dot = 'd'"),
    YES(RUNS, "run_id IN ('a', 'x')", "attribute run_id IN ('a', 'x')"),
    YES(RUNS, "run_id not in ('a')", "attribute run_id NOT IN ('a')"),
    YES(RUNS, "attr.status != 'FINISHED'", "attribute status != 'FINISHED'"),
    YES(RUNS, "attributes.`Run name` = 'beta'", "attribute run_name = 'beta'"),
    YES(RUNS, "created > 2000.5", "attribute start_time > 2000.5"),
    YES(RUNS, "start_time >= 2500", "attribute start_time >= 2500"),
    YES(RUNS, "end_time > 9223372036854775808", "attribute end_time > big"),
    YES(RUNS, "datasets.digest IN ('d9', 'zz')", "dataset digest IN ('d9', 'zz')"),
    NO(RUNS, "  ", "Invalid filter '  '. Could not be parsed."),
    NO(RUNS, "metrics.loss = - 5",
       "Invalid clause(s) in filter string: 'metrics.loss', '=', '-', '5'"),
    NO(RUNS, "metrics.loss > 1e+2", "Expected numeric value type for metric. Found 1e+2"),
    NO(RUNS, "metrics.acc LIKE 1",
       "Invalid comparator 'LIKE' not one of '{'>', '>=', '!=', '=', '<', '<='}"),
    NO(RUNS, "metrics.m-1 = 1", "Invalid clause(s) in filter string: 'metrics.m'"),
    NO(RUNS, "Metrics.acc > 1", "Invalid entity type 'Metrics'. " RUN_ENTITIES),
    NO(RUNS, "params.lr = 0.01",
       "Expected a quoted string value for parameter (e.g. 'my-value'). Got value 0.01"),
    NO(RUNS, "params.lr > '0'", "Invalid comparator '>' not one of " NULLS "'"),
    NO(RUNS, "tags.lr > '0'", "Invalid comparator '>' not one of " NULLS),
    NO(RUNS, "status > '0'", "Invalid comparator '>' not one of " LISTS "'"),
    NO(RUNS, "start_time like 1", "Invalid comparator 'LIKE' not one of " LISTS),
    NO(RUNS, "dataset.name > 'a'", "Invalid comparator '>' not one of " LISTS),
    NO(RUNS, "params.lr IS NOT  NULL",
       "Invalid clause(s) in filter string: 'params.lr', 'IS', 'NOT  NULL'"),
    NO(RUNS, "params.in = 'x'", "Invalid clause(s) in filter string: 'params.', 'in', '=', ''x''"),
    NO(RUNS, "tags.k1 = v1",
       "Parameter value is either not quoted or unidentified quote types used for string value v1. "
       "Use either single or double quotes."),
    NO(RUNS, "tags.k1 = 'v1' OR tags.k1 = 'V1'", "Invalid clause(s) in filter string: 'OR'"),
    NO(RUNS, "(tags.k1 = 'v1')", "Invalid clause(s) in filter string: '(tags.k1 = 'v1')'"),
    NO(RUNS, "tags.k1 = 'v1';", "Invalid clause(s) in filter string: ';'"),
    NO(RUNS, "tags.k1 = 'v1'; tags.k1 = 'V1'",
       "Search filter contained multiple expression \"tags.k1 = 'v1'; tags.k1 = 'V1'\". Provide "
       "AND-ed expression list."),
    NO(RUNS, "tags.k1 = 'v1' /* c */ AND", "Invalid comparison clause. Expected 3 tokens found 4"),
    NO(RUNS, "1 = 1", "Invalid comparison clause. Expected 'Identifier' found '1'"),
    NO(RUNS, "run_id IN (x)",
       "malformed node or string on line 1: <ast.Name object at 0x7f0000000000>"),
    NO(RUNS, "status IN ('FINISHED')",
       "Only ['run_id'] attributes support comparison with a list of quoted string values."),
    NO(RUNS, "start_time > '2000'",
       "Expected numeric value type for numeric attribute: start_time. Found '2000'"),
    NO(RUNS, "end_time IS NULL",
       "IS NULL / IS NOT NULL is only supported for tags and params, not for 'attribute' "
       "'end_time'"),
    NO(RUNS, "experiment_id = '1'",
       "Invalid attribute key 'experiment_id' specified. Valid keys are '" RUN_KEYS "'"),
    NO(RUNS, "dataset.x = '1'",
       "Invalid dataset key 'x' specified. Valid keys are '{'name', 'digest', 'context'}'"),
    NO(RUNS, "dataset.name = 1",
       "Expected a quoted string value for dataset attributes. Got value 1"),
    NO(RUNS, "status = NULL", "Expected a quoted string value for attributes. Got value NULL"),
    /* A bad value anywhere comes before a bad comparator. */
    NO(RUNS, "params.lr > '0' AND params.lr = 1",
       "Expected a quoted string value for parameter (e.g. 'my-value'). Got value 1"),

    YES(EXPERIMENTS, "name ILIKE 'NM'", "attribute name ILIKE 'NM'"),
    YES(EXPERIMENTS, "`name` = 'NM'", "attribute name = 'NM'"),
    YES(EXPERIMENTS, "experiment_id = ' 1_0 '", "attribute experiment_id = '10'"),
    YES(EXPERIMENTS, "experiment_id not in ('07')", "attribute experiment_id NOT IN ('7')"),
    YES(EXPERIMENTS, "creation_time > 0", "attribute creation_time > 0"),
    YES(EXPERIMENTS, "tags.team is not null", "tag team IS NOT NULL"),
    NO(EXPERIMENTS, "name like 'NM'", "Invalid comparator 'like' not one of " LISTS "'"),
    NO(EXPERIMENTS, "attributes.name = 'NM'", "Invalid entity type 'attributes'. " ENTITIES),
    NO(EXPERIMENTS, "name IN ('NM')",
       "Only ['experiment_id'] attributes support comparison with a list of quoted string "
       "values."),
    NO(EXPERIMENTS, "experiment_id = 5",
       "Expected a quoted string value for attributes. Got value 5"),
    NO(EXPERIMENTS, "experiment_id in ('1')", "Invalid comparator for experiment_id: in"),
    NO(EXPERIMENTS, "experiment_id = 'x'",
       "Invalid experiment ID 'x'. Experiment ID must be a valid integer."),
    NO(EXPERIMENTS, "creation_time > 1.5",
       "Invalid value for numeric attribute 'creation_time': '1.5'"),
    NO(EXPERIMENTS, "tags.team ilike 'A'", "Invalid comparator for tag: ilike"),
    NO(EXPERIMENTS, "name IS NULL",
       "IS NULL / IS NOT NULL is only supported for tags, not for attribute 'name'"),
    NO(EXPERIMENTS, "x OR y", "Invalid clause(s) in filter string: x, OR, y"),

    YES(MODELS, "name not in ('m1') AND name LIKE '%'",
        "attribute name NOT IN ('m1'); attribute name LIKE '%'"),
    YES(MODELS, "tags.`mlflow.prompt.is_prompt` = 'true'", "tag mlflow.prompt.is_prompt = 'true'"),
    NO(MODELS, "name > 'a'", "Invalid comparator for attribute: >"),
    NO(MODELS, "name = 1",
       "Expected a quoted string value or a list of quoted string values for attributes. Got value "
       "1"),
    NO(MODELS, "`name` = 'm1'",
       "Invalid attribute key '`name`' specified. Valid keys are '{'name'}'"),
    NO(MODELS, "attributes.name = 'm1'", "Invalid entity type 'attributes'. " ENTITIES),
    NO(MODELS, "tags.a IS NULL",
       "IS NULL / IS NOT NULL is not supported for registered models and model versions"),

    YES(VERSIONS, "version_number = ' 2 ' and version_number > 1",
        "attribute version_number = 2; attribute version_number > 1"),
    YES(VERSIONS, "run_id IN ('r1', 'r2')", "attribute run_id IN ('r1', 'r2')"),
    NO(VERSIONS, "source = 's3://b/1'",
       "Invalid clause(s) in filter string: source, =, 's3://b/1'"),
    NO(VERSIONS, "version_number = 1.0",
       "Invalid value for numeric attribute 'version_number': 1.0"),
    NO(VERSIONS, "version_number = 'x'",
       "Invalid value for numeric attribute 'version_number': 'x'"),
    NO(VERSIONS, "version_number like 1", "Invalid comparator for attribute version_number: LIKE"),
    NO(VERSIONS, "name = 1",
       "Only the '{'version_number', 'creation_timestamp', 'last_updated_timestamp'}' attributes "
       "support comparison with numeric values."),
    NO(VERSIONS, "source_path IN ('x')",
       "Only ['name', 'run_id'] attributes support comparison with a list of quoted string "
       "values."),
};

static struct str show_clause(struct arena *a, const struct clause *c)
{
    struct str value = STR("");
    char repr[JSON_DOUBLE_MAX];

    switch (c->kind) {
    case VALUE_TEXT: value = SAY_TEXT(a, STR(" '"), c->text, STR("'")); break;
    case VALUE_I64: value = arena_printf(a, " %lld", (long long)c->i64); break;
    case VALUE_BIG: value = STR(" big"); break;
    case VALUE_F64:
        value = SAY_TEXT(a, STR(" "), (struct str){repr, json_repr_double(c->f64, repr)});
        break;
    case VALUE_LIST:
        for (size_t i = 0; i < c->list_count; i++)
            value = SAY_TEXT(a, value, i ? STR(", '") : STR(" ('"), c->list[i], STR("'"));
        value = SAY_TEXT(a, value, STR(")"));
        break;
    default: break;
    }
    return SAY_TEXT(a, str_of(entity_names[c->entity]), STR(" "), c->key, STR(" "), c->op_text,
                    value);
}

static void test_verdicts_are_mlflows(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str text = str_of(rows[i].text);
        struct str got = STR("");
        struct clause *clauses;
        struct arena a;
        struct fail f;
        size_t count;
        err_t e;

        arena_init(&a, 4096);
        fail_init(&f, &a);
        e = filter_parse(&a, rows[i].dialect, text, &clauses, &count, &f);
        if (e == OK)
            e = filter_check(&a, rows[i].dialect, clauses, count, &f);
        for (size_t k = 0; e == OK && k < count; k++)
            got = SAY_TEXT(&a, got, k ? STR("; ") : STR(""), show_clause(&a, &clauses[k]));
        if (e)
            got = f.text;
        assert_int_equal(e == OK, rows[i].error == NULL);
        assert_string_equal(SAY_TEXT(&a, got).p, rows[i].error ? rows[i].error : rows[i].parsed);
        arena_fini(&a);
    }
}

static void test_a_nul_is_a_character(void **state)
{
    struct clause *clauses;
    struct arena a;
    struct fail f;
    size_t count;

    (void)state;
    arena_init(&a, 4096);
    fail_init(&f, &a);
    assert_int_equal(filter_parse(&a, FILTER_RUNS, STR("tags.a = 'x\0y'"), &clauses, &count, &f),
                     OK);
    assert_true(str_eq(clauses[0].text, STR("x\0y")));
    assert_int_equal(filter_parse(&a, FILTER_RUNS, STR("a\0b"), &clauses, &count, &f),
                     ERR_BAD_PARAM);
    assert_true(str_eq(f.text, STR("Invalid clause(s) in filter string: 'a', '\0', 'b'")));
    arena_fini(&a);
}

static void test_long_integers_are_refused(void **state)
{
    static char text[64 + 4301];
    struct clause *clauses;
    struct arena a;
    struct fail f;
    size_t count, n;

    (void)state;
    arena_init(&a, 4096);
    fail_init(&f, &a);
    n = (size_t)snprintf(text, sizeof(text), "start_time > ");
    memset(text + n, '1', 4301);
    assert_int_equal(
        filter_parse(&a, FILTER_RUNS, (struct str){text, n + 4301}, &clauses, &count, &f),
        ERR_INTERNAL);
    assert_true(str_starts(f.text, STR("Exceeds the limit (4300 digits) for integer string "
                                       "conversion: value has 4301 digits;")));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts_are_mlflows),
        cmocka_unit_test(test_a_nul_is_a_character),
        cmocka_unit_test(test_long_integers_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
