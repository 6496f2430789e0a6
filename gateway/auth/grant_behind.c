/*
 * grant_behind: what MLflow's hooks do to permissions behind calls that are not answered here.
 *
 * Who makes a scorer, a secret, an endpoint, a model definition or an MCP server may manage it; when one is
 * deleted the grants of single users go. Of scorers and servers the request says which one it is; of the others
 * the id is the upstream's, so its answer, which is small, is held until it has been read there.
 *
 * The order is MLflow's: the thing, the grant, the answer. Between the first two the thing is nobody's, and it
 * stays so when this process dies there, or its client goes: the thing was made by another process, in a
 * transaction of its own, and no later request tells that it belongs to this one. An admin can grant it; a
 * scorer is its maker's when he registers it again. Grants written beforehand would be worse: they would
 * lie in wait for whoever makes a thing of that name later.
 *
 * A version of an MCP server that is not there brings the server along, without a word about it. It was looked
 * for when the call was judged; afterwards it says who made it, or nothing, where the upstream knows no users:
 * then the first one to be granted it has made it.
 */
#include "gateway/auth/grant_behind.h"

#include <string.h>

#include "base/log.h"
#include "gateway/auth/grant_write.h"
#include "gateway/auth/may_input.h"
#include "gateway/auth/may_rule.h"
#include "gateway/worker.h"
#include "ingest/document.h"
#include "yyjson.h"

enum behind_what {
    BEHIND_MADE,       /* by any user: the id is in the answer */
    BEHIND_REGISTERED, /* by any user: the request names it */
    BEHIND_CREATED,    /* MLflow asks for no grant where the maker is an admin */
    BEHIND_BROUGHT,    /* the same, with its first version */
    BEHIND_GONE
};

struct behind_row {
    enum may_rule rule;
    enum behind_what what;
    enum grant_type type;
    const char *object, *id; /* of the answer */
};

static const struct behind_row rows[] = {
    {MAY_RULE_SECRET_CREATE, BEHIND_MADE, GRANT_GATEWAY_SECRET, "secret", "secret_id"},
    {MAY_RULE_ENDPOINT_CREATE, BEHIND_MADE, GRANT_GATEWAY_ENDPOINT, "endpoint", "endpoint_id"},
    {MAY_RULE_DEFINITION_CREATE, BEHIND_MADE, GRANT_GATEWAY_MODEL_DEFINITION, "model_definition",
     "model_definition_id"},
    {MAY_RULE_SCORER_REGISTER, BEHIND_REGISTERED, GRANT_SCORER, NULL, NULL},
    {MAY_RULE_SCORER_DELETE, BEHIND_GONE, GRANT_SCORER, NULL, NULL},
    {MAY_RULE_SECRET_DELETE, BEHIND_GONE, GRANT_GATEWAY_SECRET, NULL, NULL},
    {MAY_RULE_ENDPOINT_DELETE, BEHIND_GONE, GRANT_GATEWAY_ENDPOINT, NULL, NULL},
    {MAY_RULE_DEFINITION_DELETE, BEHIND_GONE, GRANT_GATEWAY_MODEL_DEFINITION, NULL, NULL},
};
static const struct behind_row server_created = {MAY_RULE_MCP_ROOT, BEHIND_CREATED,
                                                 GRANT_MCP_SERVER, NULL, NULL};
static const struct behind_row server_brought = {MAY_RULE_MCP_SERVER, BEHIND_BROUGHT,
                                                 GRANT_MCP_SERVER, NULL, NULL};
static const struct behind_row server_gone = {MAY_RULE_MCP_SERVER, BEHIND_GONE, GRANT_MCP_SERVER,
                                              NULL, NULL};

struct grant_behind {
    const struct behind_row *row;
    struct str id; /* empty: it stands in the answer */
    req_step next;
};

/* -- what it will be about ------------------------------------------------------------------------ */

/* Nobody has asked what an admin's call is about. */
static void behind_ask(struct may *m)
{
    struct fail f;

    if (m->rule)
        return;
    fail_init(&f, &m->r->arena);
    m->rule = &may_rules[m->path.rule];
    may_input(m);
    if (m->rule->ask(m, &f))
        m->id = m->scorer = STR("");
}

static const struct behind_row *behind_server(const struct may *m)
{
    unsigned method = m->r->head->method;
    bool is_new = m->finds && m->finds->kind == FIND_SERVER && !m->finds->is_found;
    struct mcp_path at;

    may_mcp_path(m, &at);
    if (m->path.rule == MAY_RULE_MCP_ROOT)
        return method == HTTP_M_POST ? &server_created : NULL;
    if (at.server.n == 0)
        return NULL;
    if (method == HTTP_M_DELETE && at.part.n == 0)
        return &server_gone;
    return method == HTTP_M_POST && is_new && str_eq(at.part, STR("versions")) && at.rest.n == 0
               ? &server_brought
               : NULL;
}

static const struct behind_row *behind_row_of(const struct may *m)
{
    if (m->path.rule == MAY_RULE_MCP_ROOT || m->path.rule == MAY_RULE_MCP_SERVER)
        return behind_server(m);
    for (size_t i = 0; i < array_len(rows); i++) {
        if (rows[i].rule == m->path.rule)
            return &rows[i];
    }
    return NULL;
}

static struct str behind_id(struct may *m, const struct behind_row *row)
{
    if (row->type == GRANT_SCORER)
        return m->scorer;
    if (row == &server_created)
        return may_text(m, m->body ? document_get(m->body, STR("name")) : NULL);
    return m->id;
}

struct grant_behind *grant_behind_plan(struct req *r)
{
    const struct behind_row *row;
    struct grant_behind *b;
    struct may *m = r->may;

    if (!r->user || !m)
        return NULL;
    if (m->path.rule == MAY_RULE_NONE)
        may_find_path(m);
    row = behind_row_of(m);
    if (!row)
        return NULL;
    if (r->user->is_admin && (row->what == BEHIND_CREATED || row->what == BEHIND_BROUGHT))
        return NULL;
    behind_ask(m);
    b = arena_zalloc(&r->arena, sizeof(*b));
    b->row = row;
    b->id = row->what == BEHIND_MADE ? STR("") : behind_id(m, row);
    return row->what == BEHIND_MADE || b->id.n ? b : NULL;
}

bool grant_behind_reads(const struct grant_behind *b)
{
    return b->row->what == BEHIND_MADE;
}

/* -- and what is done ------------------------------------------------------------------------------ */

static void behind_nameless(const struct req *r, const struct grant_behind *b, const char *why)
{
    log_error("", "no permission could be written for what was made behind",
              "user=%.*s kind=%s why=%s remedy=%s", STR_ARG(str_head(r->user->name, 100)),
              grant_type_name(b->row->type), why, "grant it by hand");
}

/* "*" would be all of them, and PostgreSQL ends a text at its NUL. */
static bool names_one(struct str id)
{
    return !str_eq(id, STR("*")) && !(id.n && memchr(id.p, '\0', id.n));
}

/* The id that the upstream has given it; empty = none that can be read. */
static struct str behind_read(struct req *r, const struct behind_row *row, struct str answer)
{
    yyjson_doc *doc = answer.n <= GRANT_BEHIND_MOST ? yyjson_read(answer.p, answer.n, 0) : NULL;
    yyjson_val *id = yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(doc), row->object), row->id);
    struct str text = STR("");

    if (yyjson_is_str(id))
        text = arena_dup(&r->arena, (struct str){yyjson_get_str(id), yyjson_get_len(id)});
    yyjson_doc_free(doc);
    return names_one(text) ? text : STR("");
}

static const struct stmt MADE_BY = {"grant_made_by",
                                    "SELECT coalesce(created_by, '') FROM mcp_servers"
                                    " WHERE workspace = " SCOPE_NAME " AND name = $1::text"};

static err_t behind_brought(struct req *r, struct fail *f)
{
    struct grant_behind *b = r->may->behind;
    struct str by = STR("");

    if (r->sql.err) {
        behind_nameless(r, b, "the database does not say who made it");
        return b->next(r, f);
    }
    if (PQntuples(r->sql.results[0]) == 0)
        return b->next(r, f);
    by = sql_get(r->sql.results[0], 0, 0);
    if (by.n && !str_eq(by, r->user->name))
        return b->next(r, f);
    return grant_own_first(r, b->row->type, b->id, b->next);
}

err_t grant_behind_write(struct req *r, struct grant_behind *b, struct str answer, req_step next)
{
    struct str *value;

    if (b->row->what == BEHIND_GONE)
        return grant_gone(r, b->row->type, b->id, next);
    if (b->row->what == BEHIND_BROUGHT) {
        value = arena_alloc(&r->arena, sizeof(*value));
        *value = sql_text(&r->arena, b->id);
        b->next = next;
        r->may->behind = b;
        return req_sql_try(r, &(struct sql_step){&MADE_BY, value, 1}, 1, behind_brought);
    }
    if (b->row->what == BEHIND_MADE)
        b->id = behind_read(r, b->row, answer);
    if (b->id.n == 0) {
        behind_nameless(r, b, "its id is not in the answer");
        return next(r, r->fail);
    }
    return grant_own_now(r, b->row->type, b->id, next);
}
