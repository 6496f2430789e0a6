/*
 * show: MLflow's hooks that judge an answer row by row, for answers that stream by.
 *
 * Behind a list MLflow drops each row that the caller may not read, and clears fields of the others that
 * name something denied: the secret of a model definition, the definition of an endpoint, the scorer of a
 * guardrail, the version of an MCP server. A judge does so with one row, which is all of the answer that is
 * in memory; what it goes by are the grants that the verdict was made of.
 *
 * What a hook asks its store for is in the rows themselves, with two exceptions. A list of models has the
 * endpoints' names while grants are on their ids: may_gateway.c has looked those up. And MLflow fills a page
 * of MCP servers up from its store; here it stays as short as the judge leaves it, with the token behind it.
 */
#include "gateway/auth/show.h"

#include "gateway/auth/may.h"
#include "gateway/auth/may_rule.h"
#include "yyjson.h"

/* -- values ------------------------------------------------------------------------------------- */

/* Of two members of one name the last one, as their readers take it. */
static yyjson_mut_val *show_get(yyjson_mut_val *obj, const char *name)
{
    yyjson_mut_val *key, *value, *found = NULL;
    size_t i, max;

    yyjson_mut_obj_foreach(obj, i, max, key, value) {
        if (yyjson_mut_equals_str(key, name))
            found = value;
    }
    return found;
}

/* A text or number; empty = there is none. */
static struct str show_text(yyjson_mut_val *obj, const char *name)
{
    yyjson_mut_val *v = show_get(obj, name);

    if (yyjson_mut_is_str(v))
        return (struct str){yyjson_mut_get_str(v), yyjson_mut_get_len(v)};
    if (yyjson_mut_is_raw(v))
        return (struct str){yyjson_mut_get_raw(v), yyjson_mut_get_len(v)};
    return STR("");
}

static bool show_clear(yyjson_mut_val *obj, const char *name)
{
    return yyjson_mut_obj_remove_key(obj, name) != NULL;
}

static bool not_denied(struct req *r, enum grant_type type, struct str id)
{
    return may_meets(r, &(struct need){.type = type, .id = id, .action = DO_NOT_DENIED});
}

static enum sieve_verdict changed(bool is_changed)
{
    return is_changed ? SIEVE_CHANGED : SIEVE_STAYS;
}

bool show_when_always(struct req *r)
{
    (void)r;
    return true;
}

/* -- scorers and guardrails ---------------------------------------------------------------------- */

static bool shows_scorer(struct req *r, yyjson_mut_val *scorer)
{
    struct str experiment = show_text(scorer, "experiment_id");
    struct str name = show_text(scorer, "scorer_name");
    struct arena own; /* a list may be long, and the request's arena lasts as long as it */
    bool shows;

    arena_init(&own, 256);
    shows = !may_denies(r, GRANT_SCORER_VERSION) && may_lists(r, GRANT_EXPERIMENT, experiment) &&
            may_lists(r, GRANT_SCORER, may_scorer(&own, experiment, name));
    arena_fini(&own);
    return shows;
}

enum sieve_verdict show_scorer(void *about, yyjson_mut_doc *doc)
{
    return shows_scorer(about, yyjson_mut_doc_get_root(doc)) ? SIEVE_STAYS : SIEVE_GOES;
}

enum sieve_verdict show_guardrail(void *about, yyjson_mut_doc *doc)
{
    yyjson_mut_val *rail = show_get(yyjson_mut_doc_get_root(doc), "guardrail");
    yyjson_mut_val *scorer = show_get(rail, "scorer");

    return changed(scorer && !shows_scorer(about, scorer) && show_clear(rail, "scorer"));
}

/* -- the AI gateway ------------------------------------------------------------------------------ */

enum sieve_verdict show_secret(void *about, yyjson_mut_doc *doc)
{
    struct str id = show_text(yyjson_mut_doc_get_root(doc), "secret_id");

    return may_lists(about, GRANT_GATEWAY_SECRET, id) ? SIEVE_STAYS : SIEVE_GOES;
}

/* What names the secret of a definition. */
static bool clear_secret(struct req *r, yyjson_mut_val *definition)
{
    struct str secret = show_text(definition, "secret_id");
    bool is_cleared;

    if (secret.n == 0 || not_denied(r, GRANT_GATEWAY_SECRET, secret))
        return false;
    is_cleared = show_clear(definition, "secret_id");
    return show_clear(definition, "secret_name") || is_cleared;
}

enum sieve_verdict show_definition(void *about, yyjson_mut_doc *doc)
{
    return changed(clear_secret(about, yyjson_mut_doc_get_root(doc)));
}

enum sieve_verdict show_definition_row(void *about, yyjson_mut_doc *doc)
{
    struct str id = show_text(yyjson_mut_doc_get_root(doc), "model_definition_id");

    return may_lists(about, GRANT_GATEWAY_MODEL_DEFINITION, id) ? show_definition(about, doc)
                                                                : SIEVE_GOES;
}

/* The definition that an endpoint uses. */
static bool clear_mapping(struct req *r, yyjson_mut_val *mapping)
{
    yyjson_mut_val *definition = show_get(mapping, "model_definition");
    struct str id = show_text(mapping, "model_definition_id");
    bool is_cleared;

    if (id.n == 0)
        id = show_text(definition, "model_definition_id");
    if (id.n == 0 || not_denied(r, GRANT_GATEWAY_MODEL_DEFINITION, id))
        return clear_secret(r, definition);
    is_cleared = show_clear(mapping, "model_definition");
    return show_clear(mapping, "model_definition_id") || is_cleared;
}

enum sieve_verdict show_mapping(void *about, yyjson_mut_doc *doc)
{
    return changed(clear_mapping(about, yyjson_mut_doc_get_root(doc)));
}

enum sieve_verdict show_endpoint(void *about, yyjson_mut_doc *doc)
{
    yyjson_mut_val *mappings = show_get(yyjson_mut_doc_get_root(doc), "model_mappings");
    yyjson_mut_val *mapping;
    size_t i, max;
    bool is_changed = false;

    yyjson_mut_arr_foreach(mappings, i, max, mapping) {
        is_changed |= clear_mapping(about, mapping);
    }
    return changed(is_changed);
}

enum sieve_verdict show_endpoint_row(void *about, yyjson_mut_doc *doc)
{
    struct str id = show_text(yyjson_mut_doc_get_root(doc), "endpoint_id");

    return may_lists(about, GRANT_GATEWAY_ENDPOINT, id) ? show_endpoint(about, doc) : SIEVE_GOES;
}

bool show_when_models(struct req *r)
{
    return r->may->finds && r->may->finds->kind == FIND_ENDPOINTS;
}

/* Its id is the name of an endpoint. */
enum sieve_verdict show_model(void *about, yyjson_mut_doc *doc)
{
    struct req *r = about;
    const struct may_find *find = r->may->finds;
    struct str name = show_text(yyjson_mut_doc_get_root(doc), "id");
    struct need use = {.type = GRANT_GATEWAY_ENDPOINT, .action = DO_USE};

    while (find && !(find->is_found && str_eq(find->experiment, name)))
        find = find->more;
    if (!find)
        return SIEVE_GOES;
    use.id = find->extra[0];
    return may_meets(r, &use) ? SIEVE_STAYS : SIEVE_GOES;
}

/* -- jobs and review queues ------------------------------------------------------------------------ */

/* Nobody's job but the caller's own, be he chief. */
enum sieve_verdict show_job(void *about, yyjson_mut_doc *doc)
{
    struct req *r = about;
    struct str creator = show_text(yyjson_mut_doc_get_root(doc), "creator");

    return creator.n && str_eq(creator, r->user->name) ? SIEVE_STAYS : SIEVE_GOES;
}

/* Editors see all of an experiment's. */
bool show_when_queues(struct req *r)
{
    return r->may->nexperiments && may_queue_level(r->may, r->may->experiments[0]) < LEVEL_EDIT;
}

/* Readers see those that they belong to. */
enum sieve_verdict show_queue(void *about, yyjson_mut_doc *doc)
{
    struct req *r = about;
    yyjson_mut_val *users = show_get(yyjson_mut_doc_get_root(doc), "users"), *user;
    struct arena own;
    struct str me;
    bool shows = false;
    size_t i, max;

    if (may_queue_level(r->may, r->may->experiments[0]) < LEVEL_READ)
        return SIEVE_GOES;
    arena_init(&own, 256);
    me = may_lowered(&own, r->user->name);
    yyjson_mut_arr_foreach(users, i, max, user) {
        shows |= yyjson_mut_equals_strn(user, me.p, me.n);
    }
    arena_fini(&own);
    return shows ? SIEVE_STAYS : SIEVE_GOES;
}

/* -- MCP servers ----------------------------------------------------------------------------------- */

static bool is_method(const struct req *r, unsigned methods)
{
    return (r->head->method & methods) != 0;
}

bool show_when_mcp_search(struct req *r)
{
    return is_method(r, HTTP_M_GET);
}

bool show_when_mcp_endpoints(struct req *r)
{
    struct mcp_path at;

    may_mcp_path(r->may, &at);
    return is_method(r, HTTP_M_GET) && at.server.n == 0 && str_eq(at.part, STR("endpoints"));
}

bool show_when_mcp_server(struct req *r)
{
    struct mcp_path at;

    may_mcp_path(r->may, &at);
    return is_method(r, HTTP_M_GET | HTTP_M_PATCH) && at.server.n && at.part.n == 0;
}

bool show_when_mcp_own_endpoints(struct req *r)
{
    struct mcp_path at;

    may_mcp_path(r->may, &at);
    return is_method(r, HTTP_M_GET) && at.server.n && str_eq(at.part, STR("endpoints")) &&
           at.rest.n == 0;
}

bool show_when_mcp_endpoint(struct req *r)
{
    struct mcp_path at;

    may_mcp_path(r->may, &at);
    return at.server.n && str_eq(at.part, STR("endpoints")) &&
           is_method(r, at.rest.n ? HTTP_M_GET | HTTP_M_PATCH : HTTP_M_POST);
}

static bool shows_version(struct req *r, struct str server)
{
    return may_reads(r, GRANT_MCP_SERVER, server) &&
           may_meets(r, &(struct need){GRANT_MCP_SERVER_VERSION, STR(""), DO_NOT_DENIED, true,
                                       GRANT_MCP_SERVER, server, DO_NOT_DENIED});
}

/* What an endpoint says of the version behind it; null, as MLflow clears it. */
static bool clear_version(struct req *r, yyjson_mut_val *endpoint)
{
    static const char *const fields[] = {"resolved_version", "tools", "server_version",
                                         "server_alias"};
    struct str server = show_text(endpoint, "server_name");
    bool is_changed = false;

    if (server.n == 0 || shows_version(r, server))
        return false;
    for (size_t i = 0; i < array_len(fields); i++) {
        yyjson_mut_val *v = show_get(endpoint, fields[i]);

        if (v && !yyjson_mut_is_null(v))
            is_changed |= yyjson_mut_set_null(v);
    }
    return is_changed;
}

enum sieve_verdict show_mcp_endpoint(void *about, yyjson_mut_doc *doc)
{
    return changed(clear_version(about, yyjson_mut_doc_get_root(doc)));
}

enum sieve_verdict show_mcp_endpoint_row(void *about, yyjson_mut_doc *doc)
{
    struct str server = show_text(yyjson_mut_doc_get_root(doc), "server_name");

    return may_lists(about, GRANT_MCP_SERVER, server) ? show_mcp_endpoint(about, doc) : SIEVE_GOES;
}

/* Every server says what the caller may do with it. */
enum sieve_verdict show_mcp_server(void *about, yyjson_mut_doc *doc)
{
    static const struct {
        enum grant_action action;
        const char *name;
    } actions[] = {
        {DO_USE, "USE"}, {DO_UPDATE, "UPDATE"}, {DO_DELETE, "DELETE"}, {DO_MANAGE, "MANAGE"}};
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc), *may, *endpoint;
    struct need need = {.type = GRANT_MCP_SERVER, .id = show_text(root, "name")};
    size_t i, max;

    if (need.id.n == 0)
        return SIEVE_STAYS; /* an error, or nothing that we know */
    may = yyjson_mut_arr(doc);
    for (i = 0; i < array_len(actions); i++) {
        need.action = actions[i].action;
        if (may_meets(about, &need))
            check(yyjson_mut_arr_add_str(doc, may, actions[i].name));
    }
    (void)show_clear(root, "allowed_actions");
    check(yyjson_mut_obj_add_val(doc, root, "allowed_actions", may));
    yyjson_mut_arr_foreach(show_get(root, "access_endpoints"), i, max, endpoint) {
        (void)clear_version(about, endpoint);
    }
    return SIEVE_CHANGED;
}

enum sieve_verdict show_mcp_server_row(void *about, yyjson_mut_doc *doc)
{
    struct str name = show_text(yyjson_mut_doc_get_root(doc), "name");

    return may_reads(about, GRANT_MCP_SERVER, name) ? show_mcp_server(about, doc) : SIEVE_GOES;
}
