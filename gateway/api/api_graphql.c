/*
 * api_graphql: POST /graphql, which MLflow's pages ask for runs, experiments and charts.
 *
 *   body > document (graphql_lex, _parse) > limits (_limit) > types (_check, _usage) > plan (_plan)
 *        > variables (_input) > root fields, one after the other (graphql_roots.c, graphql_runs.c)
 *
 * What is wrong before anything is answered gives {"data": null, "errors": [...]}; what goes wrong
 * in a root field makes it null and adds a text. Both are 200, as MLflow does it. A request that is
 * no GraphQL at all is a 400, where MLflow breaks with 500. When PostgreSQL is away, the whole
 * answer is a 503, so that the page asks again.
 *
 * The answer is Flask's jsonify: keys sorted, no blanks, a line feed at the end. As keys are
 * sorted, root fields are answered in that order too; they only read, so nobody can tell.
 */
#include "gateway/api/api.h"

#include "gateway/graphql/graphql_call.h"
#include "gateway/graphql/graphql_limit.h"
#include "gateway/http/reply.h"
#include "ingest/input.h"
#include "schema/errors.h"

enum { CHECK_ERRORS_MAX = 100, BIND_ERRORS_MAX = 50 };

static err_t roots_next(struct req *r, struct fail *f);

/* -- the end --------------------------------------------------------------------------------- */

static err_t graphql_reply(struct req *r)
{
    struct graphql_call *c = r->data;

    json_key(&c->json, "errors");
    graphql_errors_write(&c->errors, &c->json);
    json_close(&c->json);
    buf_add_byte(&r->reply.body, '\n');
    return reply_ok(r);
}

/* {"data": null, "errors": [...]} */
static err_t graphql_refuse(struct req *r, const char *when_full)
{
    struct graphql_call *c = r->data;

    if (c->errors.is_full) {
        c->errors.most++;
        graphql_errors_add(&c->errors, 0, str_of(when_full));
    }
    reply_json_as(r, &c->json, JSON_COMPACT);
    json_open(&c->json);
    json_key(&c->json, "data");
    json_null(&c->json);
    return graphql_reply(r);
}

/* -- root fields ----------------------------------------------------------------------------- */

/* Is it about what was asked, and not about the server? */
static bool is_clients(err_t e)
{
    return e == ERR_BAD_PARAM || e == ERR_BAD_REQUEST || e == ERR_NOT_FOUND ||
           e == ERR_NOT_IMPLEMENTED;
}

err_t graphql_end(struct req *r, err_t e, struct fail *f)
{
    struct graphql_call *c = r->data;

    if (e && !is_clients(e))
        return e;
    if (e) {
        check(f->err == e);
        graphql_errors_add(&c->errors, c->root->selection->at, arena_dup(&r->arena, f->text));
        json_null(&c->json);
    }
    return r->state == REQ_WAITING || c->is_looping ? OK : roots_next(r, f);
}

static err_t roots_next(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;
    err_t e;

    c->is_looping = true;
    while (c->next < c->plan->nitems) {
        const struct graphql_plan *root = &c->plan->items[c->next++];

        json_key_str(&c->json, root->key);
        if (root->field == NULL) {
            graphql_write_typename(&c->json, root);
            continue;
        }
        c->root = root;
        graphql_argument(&r->arena, root, &c->bindings, &c->argument);
        if ((e = graphql_answer(r, f)))
            return e;
        if (r->state == REQ_WAITING) {
            c->is_looping = false;
            return OK;
        }
    }
    json_close(&c->json);
    graphql_errors_sort(&c->errors);
    return graphql_reply(r);
}

/* -- the document ---------------------------------------------------------------------------- */

/* The operation to run; NULL with an error when that is not clear. */
static const struct graphql_definition *find_operation(struct graphql_call *c, yyjson_val *name)
{
    const struct graphql_definition *found = NULL;
    struct str text = yyjson_is_str(name) ? document_str(name) : STR("");

    for (const struct graphql_definition *d = c->document.definitions; d; d = d->next) {
        bool is_it = name == NULL || (d->name.p && str_eq(d->name, text));

        if (d->kind == DEFINE_FRAGMENT || !is_it)
            continue;
        if (found) {
            graphql_errors_add(&c->errors, 0,
                               STR("Must provide operation name if query contains multiple"
                                   " operations."));
            return NULL;
        }
        found = d;
    }
    if (found == NULL && name == NULL)
        graphql_errors_add(&c->errors, 0, STR("Must provide an operation."));
    else if (found == NULL)
        GRAPHQL_SAY(&c->errors, 0, STR("Unknown operation named '"), text, STR("'."));
    else if (found->kind == DEFINE_SUBSCRIPTION)
        graphql_errors_add(&c->errors, 0,
                           STR("Schema is not configured to execute subscription operation."));
    return found;
}

/* All that can be told of the document without variables. */
static void check_document(struct graphql_call *c)
{
    graphql_limit(&c->document, &c->errors);
    if (c->errors.n)
        return;
    graphql_check(&c->document, &c->errors);
    if (c->errors.n)
        return;
    for (const struct graphql_definition *d = c->document.definitions; d; d = d->next)
        if (d->kind != DEFINE_FRAGMENT)
            c->plan = graphql_plan(&c->document, d, &c->errors);
}

static err_t graphql_start(struct req *r, yyjson_val *name, yyjson_val *variables, struct fail *f)
{
    struct graphql_call *c = r->data;
    const struct graphql_definition *operation;

    check_document(c);
    if (c->errors.n)
        return graphql_refuse(
            r, "Too many validation errors, error limit reached. Validation aborted.");
    if (variables && !yyjson_is_obj(variables))
        return fail(f, ERR_BAD_PARAM, "The variables of a GraphQL request must be an object.");
    operation = find_operation(c, name);
    if (c->errors.n)
        return graphql_refuse(r, "");
    c->errors.most = BIND_ERRORS_MAX;
    graphql_bind(&r->arena, operation, variables, &c->bindings, &c->errors);
    if (c->errors.n)
        return graphql_refuse(r, "Too many errors processing variables, error limit reached."
                                 " Execution aborted.");
    c->errors.most = SIZE_MAX;
    c->plan = graphql_plan(&c->document, operation, &c->errors);
    reply_json_as(r, &c->json, JSON_COMPACT);
    json_open(&c->json);
    json_key(&c->json, "data");
    json_open(&c->json);
    return roots_next(r, f);
}

/* A member of the body; NULL when it is not there or null. */
static yyjson_val *body_member(yyjson_val *body, struct str name)
{
    yyjson_val *v = document_get(body, name);

    return yyjson_is_null(v) ? NULL : v;
}

err_t api_graphql(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));
    struct document_error why;
    yyjson_val *body, *query, *name;
    err_t e;

    if ((e = input_check_type(&r->input, f)))
        return e;
    body = r->input.ahead ? r->input.ahead->root : document_read(&r->arena, r->input.body, &why);
    if (!yyjson_is_obj(body))
        return fail(f, ERR_BAD_PARAM, "The body of a GraphQL request must be a JSON object.");
    query = body_member(body, STR("query"));
    name = body_member(body, STR("operationName"));
    if (!yyjson_is_str(query) || (name && !yyjson_is_str(name)))
        return fail(f, ERR_BAD_PARAM,
                    "A GraphQL request must have its document as text in 'query', and the name of"
                    " an operation, if any, as text in 'operationName'.");
    graphql_errors_init(&c->errors, &r->arena, CHECK_ERRORS_MAX);
    if ((e = graphql_parse(&r->arena, document_str(query), &c->document, f)))
        return e;
    return graphql_start(r, name, body_member(body, STR("variables")), f);
}
