/* graphql_check and what goes with it, _usage, _limit, _plan and _input: the words of a stock server
 * row by row (graphql_rows.def), plans, and the work that hostile documents make. */
#include "gateway/graphql/graphql_check.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "gateway/graphql/graphql_input.h"
#include "gateway/graphql/graphql_lex.h"
#include "gateway/graphql/graphql_limit.h"
#include "gateway/graphql/graphql_plan.h"
#include "ingest/document.h"

struct row {
    struct str document;
    struct str variables; /* "" = none */
    struct str errors;
};

#define ROW(document, variables, errors) \
    {STR_INIT(document), STR_INIT(variables), STR_INIT(errors)},
static const struct row rows[] = {
#include "tests/unit/graphql_rows.def"
};

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 4096);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

/* All that the handler asks before it answers; the plan of the first operation. */
static const struct graphql_plan *judge(struct str text, struct str variables,
                                        struct graphql_errors *errors)
{
    const struct graphql_plan *plan = NULL;
    struct graphql_document doc;
    struct graphql_bindings bindings;
    struct document_error why;

    graphql_errors_init(errors, &arena, 100);
    assert_int_equal(graphql_parse(&arena, text, &doc, NULL), OK);
    graphql_limit(&doc, errors);
    if (errors->n == 0)
        graphql_check(&doc, errors);
    for (struct graphql_definition *d = doc.definitions; d && errors->n == 0; d = d->next)
        if (d->kind != DEFINE_FRAGMENT && plan == NULL)
            plan = graphql_plan(&doc, d, errors);
    if (errors->n == 0)
        graphql_bind(&arena, doc.definitions,
                     variables.n ? document_read(&arena, variables, &why) : NULL, &bindings,
                     errors);
    return plan;
}

static struct str joined(const struct graphql_errors *errors)
{
    struct str text;
    struct buf out;

    buf_init(&out);
    for (size_t i = 0; i < errors->n; i++) {
        if (i > 0)
            buf_add_byte(&out, '\n');
        buf_add_str(&out, errors->items[i].text);
    }
    text = arena_dup(&arena, buf_str(&out));
    buf_fini(&out);
    return text;
}

static void test_errors_are_stocks(void **state)
{
    struct graphql_errors errors;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str want = rows[i].errors, got;

        (void)judge(rows[i].document, rows[i].variables, &errors);
        got = joined(&errors);
        if (errors.is_full)
            want = str_head(want, got.n); /* the handler adds that there are more */
        if (!str_eq(got, want))
            print_error("%.*s %.*s\n", STR_ARG(rows[i].document), STR_ARG(rows[i].variables));
        assert_string_equal(arena_cstr(&arena, got), arena_cstr(&arena, want));
    }
}

/* -- plans ----------------------------------------------------------------------------------- */

static void show_plan(struct buf *out, const struct graphql_plan *plan)
{
    if (plan->key.p)
        buf_printf(out, "%.*s=%s", STR_ARG(plan->key),
                   plan->field ? arena_cstr(&arena, plan->field->name) : "__typename");
    if (plan->nitems == 0)
        return;
    buf_add_byte(out, '{');
    for (size_t i = 0; i < plan->nitems; i++) {
        if (i > 0)
            buf_add_byte(out, ' ');
        show_plan(out, &plan->items[i]);
    }
    buf_add_byte(out, '}');
}

static void test_plans_are_merged_and_sorted(void **state)
{
    static const char text[] =
        "query{z:test(inputString:\"a\"){output} ...F ... on Query{z:test(inputString:\"a\")"
        "{__typename b:output ...T ...T}}}"
        "fragment F on Query{mlflowGetRun(input:{runId:\"r\",runUuid:\"u\"}){run{info{status}}}"
        "mlflowGetRun(input:{runUuid:\"u\",runId:\"r\"}){run{info{runId status}}}}"
        "fragment T on Test{a:output}";
    struct graphql_errors errors;
    const struct graphql_plan *plan = judge(str_of(text), STR(""), &errors);
    struct buf out;

    (void)state;
    assert_int_equal(errors.n, 0);
    buf_init(&out);
    show_plan(&out, plan);
    assert_string_equal(arena_cstr(&arena, buf_str(&out)),
                        "{mlflowGetRun=mlflowGetRun{run=run{info=info{runId=runId status=status}}}"
                        " z=test{__typename=__typename a=output b=output output=output}}");
    buf_fini(&out);
    assert_non_null(graphql_plan_find(&plan->items[0], STR("run")));
    assert_null(graphql_plan_find(&plan->items[0], STR("apiError")));
}

/* -- arguments ------------------------------------------------------------------------------- */

static void show_argument(struct buf *out, const struct graphql_argument *argument)
{
    for (size_t i = 0; i < argument->type->nfields; i++) {
        const struct graphql_input *in = &argument->fields[i];

        if (!in->is_set)
            continue;
        buf_printf(out, "%.*s=", STR_ARG(argument->type->fields[i].name));
        if (in->is_null)
            buf_add_str(out, STR("null"));
        for (size_t k = 0; k < in->n; k++)
            buf_printf(out, "[%.*s]", in->items[k].p ? (int)in->items[k].n : 4,
                       in->items[k].p ? in->items[k].p : "null");
        if (in->text.n)
            buf_add_str(out, in->text);
        if (in->number)
            buf_printf(out, "%lld", (long long)in->number);
        buf_add_byte(out, ' ');
    }
}

static const struct row arguments[] = {
    {STR_INIT("{mlflowSearchRuns(input:{experimentIds:[\"1\",null],maxResults:-5,filter:null,"
              "runViewType:ALL}){nextPageToken}}"),
     STR_INIT(""), STR_INIT("experimentIds=[1][null] filter=null runViewType=ALL maxResults=-5 ")},
    {STR_INIT("query($i:MlflowSearchRunsInput){mlflowSearchRuns(input:$i){nextPageToken}}"),
     STR_INIT("{\"i\":{\"experimentIds\":\"1\",\"maxResults\":3.0,\"orderBy\":[],\"pageToken\":"
              "\"p\",\"pageToken\":\"q\",\"runViewType\":\"ACTIVE_ONLY\"}}"),
     STR_INIT("experimentIds=[1] runViewType=ACTIVE_ONLY maxResults=3 orderBy= pageToken=q ")},
    {STR_INIT("query($f:String $o:[String]=[\"a\"] $n:Int=7 $e:String){mlflowSearchRuns(input:"
              "{filter:$f,orderBy:$o,maxResults:$n,experimentIds:[$f,$e]}){nextPageToken}}"),
     STR_INIT("{\"e\":\"x\",\"n\":8}"),
     STR_INIT("experimentIds=[null][x] maxResults=8 orderBy=[a] ")},
};

static void test_arguments_come_from_literals_and_variables(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(arguments); i++) {
        const struct row *row = &arguments[i];
        struct graphql_argument argument;
        struct graphql_bindings bindings;
        struct graphql_document doc;
        struct graphql_errors errors;
        struct document_error why;
        struct buf out;

        graphql_errors_init(&errors, &arena, 100);
        assert_int_equal(graphql_parse(&arena, row->document, &doc, NULL), OK);
        graphql_check(&doc, &errors);
        graphql_bind(&arena, doc.definitions,
                     row->variables.n ? document_read(&arena, row->variables, &why) : NULL,
                     &bindings, &errors);
        assert_string_equal(arena_cstr(&arena, joined(&errors)), "");
        graphql_argument(&arena, &graphql_plan(&doc, doc.definitions, &errors)->items[0], &bindings,
                         &argument);
        buf_init(&out);
        show_argument(&out, &argument);
        assert_string_equal(arena_cstr(&arena, buf_str(&out)), arena_cstr(&arena, row->errors));
        buf_fini(&out);
    }
}

/* -- hostile documents ----------------------------------------------------------------------- */

/* Fragments that each spread the next one twice: 2^n fields, were they written out. */
static void test_fragments_do_not_multiply(void **state)
{
    struct graphql_errors errors;
    struct buf out;

    (void)state;
    buf_init(&out);
    buf_add_str(&out, STR("{test(inputString:\"a\"){...F0}}"));
    for (int i = 0; i < 500; i++)
        buf_printf(&out, " fragment F%d on Test{...F%d ...F%d}", i, i + 1, i + 1);
    buf_add_str(&out, STR(" fragment F500 on Test{output}"));
    (void)judge(buf_str(&out), STR(""), &errors);
    assert_int_equal(errors.n, 0);
    buf_fini(&out);
}

/* A chain of fragments as long as the lexer lets through, from each of many operations. */
static void test_long_chains_are_walked(void **state)
{
    enum { LENGTH = GRAPHQL_TOKENS_MAX / 10 };
    struct graphql_errors errors;
    struct buf out;

    (void)state;
    buf_init(&out);
    for (int i = 0; i < 10; i++)
        buf_printf(&out, "query Q%d{...F0} ", i);
    for (int i = 0; i < LENGTH; i++)
        buf_printf(&out, "fragment F%d on Query{...F%d} ", i, i + 1);
    buf_printf(&out, "fragment F%d on Query{__typename}", LENGTH);
    (void)judge(buf_str(&out), STR(""), &errors);
    assert_int_equal(errors.n, 0);
    buf_fini(&out);
}

/* An object that is shown in fifty errors is put into words once. */
static void test_large_variables_are_shown_once(void **state)
{
    static const char document[] =
        "query($a:MlflowGetRunInput){mlflowGetRun(input:$a){run{info{runId}}}}";
    struct graphql_document doc;
    struct graphql_bindings bindings;
    struct graphql_errors errors;
    struct document_error why;
    struct buf out;

    (void)state;
    buf_init(&out);
    buf_add_byte(&out, '{');
    for (int i = 0; i < 60; i++)
        buf_printf(&out, "%s\"k%d\":%d", i ? "," : "", i, i);
    buf_add_byte(&out, '}');
    graphql_errors_init(&errors, &arena, 50);
    assert_int_equal(graphql_parse(&arena, str_of(document), &doc, NULL), OK);
    graphql_bind(
        &arena, doc.definitions,
        document_read(&arena, SAY_TEXT(&arena, STR("{\"a\":"), buf_str(&out), STR("}")), &why),
        &bindings, &errors);
    assert_int_equal(errors.n, 50);
    assert_true(errors.is_full);
    assert_string_equal(arena_cstr(&arena, errors.items[49].text),
                        "Variable '$a' got invalid value {'k0': 0, 'k1': 1, 'k2': 2, 'k3': 3,"
                        " 'k4': 4, ..., 'k56': 56, 'k57': 57, 'k58': 58, 'k59': 59}; Field 'k49'"
                        " is not defined by type 'MlflowGetRunInput'.");
    buf_fini(&out);
}

static void test_fragments_that_hold_each_other_end(void **state)
{
    struct graphql_errors errors;

    (void)state;
    (void)judge(STR("{...A} fragment A on Query{...B} fragment B on Query{...A ...B}"), STR(""),
                &errors);
    assert_string_equal(arena_cstr(&arena, joined(&errors)),
                        "Cannot spread fragment 'A' within itself via 'B'.\n"
                        "Cannot spread fragment 'B' within itself.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_are_stocks),
        cmocka_unit_test(test_plans_are_merged_and_sorted),
        cmocka_unit_test(test_arguments_come_from_literals_and_variables),
        cmocka_unit_test(test_fragments_do_not_multiply),
        cmocka_unit_test(test_long_chains_are_walked),
        cmocka_unit_test(test_large_variables_are_shown_once),
        cmocka_unit_test(test_fragments_that_hold_each_other_end),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
