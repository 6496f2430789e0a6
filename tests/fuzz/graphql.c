/*
 * graphql: a request from its document to the values of its arguments.
 *
 * Input: the variables as JSON, a line, empty for none; then the document. Whatever is refused is
 * refused in words; what is planned is as small as promised.
 */
#include "gateway/graphql/graphql_parse.h"

#include "gateway/graphql/graphql_check.h"
#include "gateway/graphql/graphql_input.h"
#include "gateway/graphql/graphql_lex.h"
#include "gateway/graphql/graphql_limit.h"
#include "gateway/graphql/graphql_plan.h"
#include "ingest/document.h"
#include "tests/fuzz/fuzz.h"

enum { ERRORS_MAX = 100 };

/* Tokens are in order, lie in the document and end. */
static void check_tokens(struct arena *a, struct str text)
{
    struct graphql_token t;
    struct graphql_lex l;
    struct fail f;
    size_t end = 0;

    fail_init(&f, a);
    graphql_lex_init(&l, a, text);
    while (graphql_lex_next(&l, &t, &f) == OK) {
        check(t.at >= end && t.at <= text.n);
        if (t.kind == GRAPHQL_END)
            return;
        check(t.text.n > 0 && fuzz_is_within(t.text, text));
        end = t.at + t.text.n;
    }
    fuzz_check_refusal(f.err, &f);
}

static size_t check_plan(const struct graphql_plan *plan, unsigned depth)
{
    size_t n = 1;

    check(depth <= GRAPHQL_DEPTH_MAX);
    for (size_t i = 0; i < plan->nitems; i++) {
        check(plan->items[i].key.n > 0 && plan->items[i].selection != NULL);
        check(i == 0 || str_cmp(plan->items[i - 1].key, plan->items[i].key) < 0);
        n += check_plan(&plan->items[i], depth + 1);
    }
    return n;
}

static void check_errors(const struct graphql_errors *errors)
{
    check(errors->n <= ERRORS_MAX);
    for (size_t i = 0; i < errors->n; i++)
        check(errors->items[i].text.n > 0);
}

static void answer(struct arena *a, struct graphql_document *doc,
                   const struct graphql_definition *operation, yyjson_val *variables)
{
    struct graphql_bindings bindings = {NULL, 0};
    const struct graphql_plan *plan;
    struct graphql_argument argument;
    struct graphql_errors errors;

    graphql_errors_init(&errors, a, ERRORS_MAX);
    plan = graphql_plan(doc, operation, &errors);
    graphql_bind(a, operation, variables, &bindings, &errors);
    check_errors(&errors);
    if (errors.n)
        return;
    check(check_plan(plan, 0) <= GRAPHQL_SELECTIONS_MAX + 1);
    for (size_t i = 0; i < plan->nitems; i++)
        if (plan->items[i].field)
            graphql_argument(a, &plan->items[i], &bindings, &argument);
}

static void fuzz_one(struct arena *a, struct str in)
{
    struct document_error why = {"", 0};
    struct str first = fuzz_line(&in);
    yyjson_val *variables = document_read(a, first, &why);
    struct graphql_document doc = {.definitions = NULL};
    struct graphql_errors errors;
    struct fail f;
    err_t e;

    if (!fuzz_is_utf8(in))
        return; /* it comes out of JSON */
    fail_init(&f, a);
    check_tokens(a, in);
    if ((e = graphql_parse(a, in, &doc, &f))) {
        fuzz_check_refusal(e, &f);
        return;
    }
    graphql_errors_init(&errors, a, ERRORS_MAX);
    graphql_limit(&doc, &errors);
    if (errors.n == 0)
        graphql_check(&doc, &errors);
    check_errors(&errors);
    if (errors.n)
        return;
    for (const struct graphql_definition *d = doc.definitions; d; d = d->next)
        if (d->kind == DEFINE_QUERY || d->kind == DEFINE_MUTATION)
            answer(a, &doc, d, yyjson_is_obj(variables) ? variables : NULL);
}
