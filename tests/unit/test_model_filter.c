/* model_filter: MLflow 3.17.2's verdict on filters of logged models; each row was tried on it. */
#include "gateway/search/model_filter.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/json.h"

#define LIST_SYNTAX(filter)                                                                 \
    "Invalid filter string: " filter ". Expected a list of comparisons separated by 'AND' " \
    "(e.g. 'metrics.loss > 0.1 AND params.lr = 0.01')."
#define OPERATOR(what, op, numeric) \
    "Invalid comparison operator for " what ": " op ". Expected one of " numeric "."
#define NUMERIC           "('<', '<=', '>', '>=', '=', '!=')"
#define STRINGS           "('=', '!=', 'LIKE', 'ILIKE', 'IN', 'NOT IN')"
#define NO_ATTRIBUTE(key) "type object 'SqlLoggedModel' has no attribute '" key "'"
#define TYPES(left, right) \
    "(psycopg.errors.UndefinedFunction) operator does not exist: " left " = " right

static const struct {
    const char *filter;
    const char *clauses; /* NULL: refused */
    err_t err;
    const char *error;
} rows[] = {
    /* names */
    {"name = 'A'", "attributes.name 0 A", 0, NULL},
    {"attributes.name = 'A'", "attributes.name 0 A", 0, NULL},
    {"attributes.`name` = 'A'", "attributes.name 0 A", 0, NULL},
    {"`name` = 'A'", "attributes.name 0 A", 0, NULL},
    {"params.`p q` = 'z'", "params.p q 0 z", 0, NULL},
    {"params.\"p q\" = 'z'", "params.\"p q\" 0 z", 0, NULL},
    {"metrics.'acc' > 0.8", "metrics.'acc' 4 0.8", 0, NULL},
    {"metrics.acc.x > 1", "metrics.acc.x 4 1.0", 0, NULL},
    {"metrics. acc > 1", "metrics. acc 4 1.0", 0, NULL},
    {"creation_time > 1", "attributes.creation_timestamp_ms 4 1.0", 0, NULL},
    {"last_updated_timestamp <= 1", "attributes.last_updated_timestamp_ms 3 1.0", 0, NULL},
    {"attribute.name = 'A'", NULL, ERR_BAD_PARAM,
     "Invalid entity type: 'attribute'. Expected one of ['attributes', 'metrics', 'params', "
     "'tags']."},
    {"a.b.c = 'x'", NULL, ERR_BAD_PARAM,
     "Invalid entity type: 'a'. Expected one of ['attributes', 'metrics', 'params', 'tags']."},
    {"Attributes.name = 'A'", NULL, ERR_INTERNAL, NO_ATTRIBUTE("Attributes.name")},
    {"attributes.creation_timestamp > 1", NULL, ERR_INTERNAL, NO_ATTRIBUTE("creation_timestamp")},
    {"bogus = 'x'", NULL, ERR_INTERNAL, NO_ATTRIBUTE("bogus")},
    {"'A' = name", NULL, ERR_INTERNAL, NO_ATTRIBUTE("'A'")},
    {"1 = 1", NULL, ERR_INTERNAL, NO_ATTRIBUTE("1")},
    {"f(name) = 'A'", NULL, ERR_INTERNAL, NO_ATTRIBUTE("f(name)")},
    {"metrics > 1", NULL, ERR_BAD_PARAM, OPERATOR("attributes.metrics", "'>'", STRINGS)},
    {"metrics. > 1", NULL, ERR_BAD_PARAM, OPERATOR("attributes.metrics.", "'>'", STRINGS)},
    {"metrics.acc > 1 AND bogus = 1 AND metric.x > 1", NULL, ERR_BAD_PARAM,
     "Invalid entity type: 'metric'. Expected one of ['attributes', 'metrics', 'params', "
     "'tags']."},
    /* comparators */
    {"name like 'A'", "attributes.name 6 A", 0, NULL},
    {"tags.k iLike 'V'", "tags.k 7 V", 0, NULL},
    {"name not in ('A', 'B')", "attributes.name 9 texts A B", 0, NULL},
    {"params.lr > 0.15", NULL, ERR_BAD_PARAM, OPERATOR("params.lr", "'>'", STRINGS)},
    {"metrics.acc IN (1)", NULL, ERR_BAD_PARAM, OPERATOR("metrics.acc", "'IN'", NUMERIC)},
    {"creation_timestamp LIKE 1", NULL, ERR_BAD_PARAM,
     OPERATOR("attributes.creation_timestamp_ms", "'LIKE'", NUMERIC)},
    {"name <> 'A'", NULL, ERR_BAD_PARAM, OPERATOR("attributes.name", "'<>'", STRINGS)},
    {"name not like 'A'", NULL, ERR_BAD_PARAM, OPERATOR("attributes.name", "'NOT LIKE'", STRINGS)},
    {"tags.k IS NULL", NULL, ERR_BAD_PARAM,
     "Invalid comparison: tags.kIS NULL. Expected a comparison with 3 tokens."},
    {"tags.k is not null", NULL, ERR_BAD_PARAM,
     "Invalid comparison: tags.kIS NOT NULL. Expected a comparison with 3 tokens."},
    /* numbers */
    {"metrics.acc >= -1", "metrics.acc 5 -1.0", 0, NULL},
    {"metrics.acc > 1_0", "metrics.acc 4 10.0", 0, NULL},
    {"metrics.acc > inf", "metrics.acc 4 inf", 0, NULL},
    {"metrics.acc != NaN", "metrics.acc 1 nan", 0, NULL},
    {"creation_timestamp > 1.5", "attributes.creation_timestamp_ms 4 1.5", 0, NULL},
    {"metrics.acc > '1'", NULL, ERR_INTERNAL, "could not convert string to float: \"'1'\""},
    {"metrics.acc > abc", NULL, ERR_INTERNAL, "could not convert string to float: 'abc'"},
    {"creation_timestamp > (1)", NULL, ERR_INTERNAL, "could not convert string to float: '(1)'"},
    /* texts */
    {"name = A", "attributes.name 0 A", 0, NULL},
    {"name = \"A\"", "attributes.name 0 \"A\"", 0, NULL},
    {"name = 'it''s'", "attributes.name 0 it''s", 0, NULL},
    {"name = NULL", "attributes.name 0 NULL", 0, NULL},
    {"name = -5", "attributes.name 0 -5", 0, NULL},
    {"params.lr = 0.1", "params.lr 0 0.1", 0, NULL},
    {"params.lr = ''", "params.lr 0 ", 0, NULL},
    {"status = 1", NULL, ERR_BAD_REQUEST, TYPES("integer", "character varying")},
    /* literals */
    {"name IN ('A')", "attributes.name 8 texts A", 0, NULL},
    {"name IN (('A',), 'B')", "attributes.name 8 texts B", 0, NULL},
    {"name IN ({'A': 1, 'B': 2})", "attributes.name 8 texts A B", 0, NULL},
    {"name IN ()", "attributes.name 8 texts", 0, NULL},
    {"status NOT IN ()", "attributes.status 9 ints", 0, NULL},
    {"name IN ('A', None, 1, -1.5, True)", "attributes.name 8 texts A NULL 1 -1.5 true", 0, NULL},
    {"name NOT IN (None, 1)", "attributes.name 9 texts NULL 1", 0, NULL},
    {"status IN (1, 2.5, None, '3')", "attributes.status 8 ints 1 2 NULL 3", 0, NULL},
    {"status IN (1.0, 2)", "attributes.status 8 floats 1 2", 0, NULL},
    {"status IN (None, 1)", "attributes.status 8 ints NULL 1", 0, NULL},
    {"status = (1)", "attributes.status 0 1.0", 0, NULL},
    {"name = ('A')", "attributes.name 0 (A)", 0, NULL},
    {"name = ('a b', '', None, 1)", "attributes.name 0 (\"a b\",\"\",,1)", 0, NULL},
    {"name = (['A'])", "attributes.name 0 {\"A\"}", 0, NULL},
    {"status_message != (None)", "attributes.status_message 1 null", 0, NULL},
    {"name IN (A)", NULL, ERR_INTERNAL,
     "malformed node or string on line 1: <ast.Name object at 0x7f0000000000>"},
    {"name IN (1+)", NULL, ERR_INTERNAL, "invalid syntax (<unknown>, line 1)"},
    {"name IN (1)", NULL, ERR_BAD_REQUEST,
     "IN expression list, SELECT construct, or bound parameter object expected, got 1."},
    {"name IN (None)", NULL, ERR_BAD_REQUEST,
     "IN expression list, SELECT construct, or bound parameter object expected, got None."},
    {"name IN (b'A')", NULL, ERR_BAD_REQUEST,
     "IN expression list, SELECT construct, or bound parameter object expected, got b'A'."},
    {"name IN (1.0)", NULL, ERR_BAD_REQUEST,
     "IN expression list, SELECT construct, or bound parameter object expected, got 1.0."},
    {"name IN (1, 2)", NULL, ERR_BAD_REQUEST, TYPES("character varying", "integer")},
    {"tags.k IN (1.5, 2)", NULL, ERR_BAD_REQUEST, TYPES("character varying", "double precision")},
    {"status IN ('1', '2')", NULL, ERR_BAD_REQUEST, TYPES("integer", "character varying")},
    {"name = (True)", NULL, ERR_BAD_REQUEST, TYPES("character varying", "boolean")},
    {"name = ({'A'})", NULL, ERR_BAD_REQUEST,
     "(psycopg.ProgrammingError) cannot adapt type 'set' using placeholder '%s' (format: AUTO)"},
    {"name LIKE (None)", NULL, ERR_BAD_REQUEST,
     "Only '=', '!=', 'is_()', 'is_not()', 'is_distinct_from()', 'is_not_distinct_from()' "
     "operators can be used with None/True/False"},
    {"status LIKE (1)", NULL, ERR_BAD_REQUEST,
     "(psycopg.errors.UndefinedFunction) operator does not exist: integer ~~ integer"},
    /* statements */
    {"", "", 0, NULL},
    {"AND", "", 0, NULL},
    {"AND name = 'A' and", "attributes.name 0 A", 0, NULL},
    {"name = 'A' name = 'B'", "attributes.name 0 A|attributes.name 0 B", 0, NULL},
    {"metrics.a = 1\n", "metrics.a 0 1.0", 0, NULL},
    {" ", NULL, ERR_BAD_PARAM, "Invalid filter string: ' '. Expected a single SQL expression."},
    {"name = 'A'; name = 'B'", NULL, ERR_BAD_PARAM,
     "Invalid filter string: \"name = 'A'; name = 'B'\". Expected a single SQL expression."},
    {"name = 'A' OR name = 'B'", NULL, ERR_BAD_PARAM, LIST_SYNTAX("\"name = 'A' OR name = 'B'\"")},
    {"name", NULL, ERR_BAD_PARAM, LIST_SYNTAX("'name'")},
    {"name = 'A';", NULL, ERR_BAD_PARAM, LIST_SYNTAX("\"name = 'A';\"")},
    {"(name = 'A')", NULL, ERR_BAD_PARAM, LIST_SYNTAX("\"(name = 'A')\"")},
    {"name IN 'A'", NULL, ERR_BAD_PARAM, LIST_SYNTAX("\"name IN 'A'\"")},
    {"name = /* c */ 'A'", NULL, ERR_BAD_PARAM, LIST_SYNTAX("\"name = /* c */ 'A'\"")},
};

static void show_value(struct buf *out, const struct model_clause *c)
{
    static const char *const names[] = {[MODEL_NULL] = "null",
                                        [MODEL_TEXTS] = "texts",
                                        [MODEL_INTS] = "ints",
                                        [MODEL_FLOATS] = "floats"};
    char repr[JSON_DOUBLE_MAX];

    if (c->kind == MODEL_TEXT) {
        buf_add_str(out, c->text);
    } else if (c->kind == MODEL_NUMBER) {
        buf_add(out, repr, json_repr_double(c->number, repr));
    } else {
        buf_printf(out, "%s", names[c->kind]);
        for (size_t i = 0; i < c->list_count; i++)
            buf_printf(out, " %.*s", STR_ARG(c->list[i].p ? c->list[i] : STR("NULL")));
    }
}

static struct str show_clauses(struct arena *a, const struct model_clause *c, size_t n)
{
    struct buf out;
    struct str text;

    buf_init(&out);
    for (size_t i = 0; i < n; i++) {
        buf_printf(&out, "%s%s.%.*s %d ", i ? "|" : "", entity_names[c[i].entity],
                   STR_ARG(c[i].key), (int)c[i].op);
        show_value(&out, &c[i]);
    }
    text = arena_dup(a, buf_str(&out));
    buf_fini(&out);
    return text;
}

static err_t parse(struct arena *a, struct str filter, struct model_clause **c, size_t *n,
                   struct fail *f)
{
    err_t e = model_filter_parse(a, filter, c, n, f);

    if (!e)
        e = model_filter_check(a, *c, *n, f);
    return e ? e : model_filter_fits(*c, *n, f);
}

static void test_verdicts_are_mlflows(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct model_clause *c;
        struct arena a;
        struct fail f;
        size_t n;
        err_t e;

        arena_init(&a, 4096);
        fail_init(&f, &a);
        e = parse(&a, str_of(rows[i].filter), &c, &n, &f);
        if (rows[i].clauses) {
            assert_int_equal(e, OK);
            assert_string_equal(show_clauses(&a, c, n).p, rows[i].clauses);
        } else {
            assert_string_equal(arena_cstr(&a, f.text), rows[i].error);
            assert_int_equal(e, rows[i].err);
        }
        arena_fini(&a);
    }
}

/* The limit that was broken is named. */
static void test_limits_are_sqlparses(void **state)
{
    struct model_clause *c;
    struct arena a;
    struct fail f;
    char *text;
    size_t n;

    (void)state;
    arena_init(&a, 4096);
    fail_init(&f, &a);
    text = arena_alloc(&a, 30000);
    memset(text, '(', 150);
    memset(text + 150, ')', 150);
    assert_int_equal(parse(&a, (struct str){text, 300}, &c, &n, &f), ERR_BAD_PARAM);
    assert_true(str_ends(f.text, STR(". SQLParseError('Maximum grouping depth exceeded (100).')")));
    for (size_t i = 0; i < 10000; i++)
        memcpy(text + 2 * i, "a ", 2);
    assert_int_equal(parse(&a, (struct str){text, 20000}, &c, &n, &f), ERR_BAD_PARAM);
    assert_true(
        str_ends(f.text, STR(". SQLParseError('Maximum number of tokens exceeded (10000).')")));
    arena_fini(&a);
}

static void test_a_nul_is_a_byte_like_others(void **state)
{
    struct model_clause *c;
    struct arena a;
    struct fail f;
    size_t n;

    (void)state;
    arena_init(&a, 4096);
    fail_init(&f, &a);
    assert_int_equal(parse(&a, STR("name = 'a\0b'"), &c, &n, &f), OK);
    assert_true(n == 1 && str_eq(c[0].text, STR("a\0b")));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts_are_mlflows),
        cmocka_unit_test(test_limits_are_sqlparses),
        cmocka_unit_test(test_a_nul_is_a_byte_like_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
