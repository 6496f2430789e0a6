/*
 * may_gateway: who may call what about MLflow's AI gateway, its jobs and its MCP servers.
 *
 * None of these is answered here. What MLflow takes out of lists and answers behind its checks is taken
 * out as they pass (show.c), so anybody may ask for them.
 */
#define _GNU_SOURCE /* memmem */
#include "gateway/auth/may_find.h"
#include "gateway/auth/may_input.h"
#include "gateway/auth/may_rule.h"

#include <string.h>

#include "ingest/document.h"
#include "schema/errors.h"
#include "yyjson.h"

static err_t ask_id(struct may *m, const char *name)
{
    (void)may_field(m, name, &m->id);
    return OK;
}

err_t may_ask_secret(struct may *m, struct fail *f)
{
    (void)f;
    return ask_id(m, "secret_id");
}

err_t may_ask_definition(struct may *m, struct fail *f)
{
    (void)f;
    return ask_id(m, "model_definition_id");
}

err_t may_ask_endpoint(struct may *m, struct fail *f)
{
    (void)f;
    return ask_id(m, "endpoint_id");
}

/* -- secrets and definitions ------------------------------------------------------------------------ */

err_t may_settle_secret_create(struct may *m, struct fail *f)
{
    (void)f;
    may_need(m, GRANT_GATEWAY_SECRET, STR(""), DO_NOT_DENIED);
    may_need_place(m);
    return OK;
}

err_t may_settle_definitions_list(struct may *m, struct fail *f)
{
    struct str secret;

    (void)f;
    if (may_field(m, "secret_id", &secret) && secret.n)
        may_need(m, GRANT_GATEWAY_SECRET, secret, DO_NOT_DENIED);
    return OK;
}

static void need_secret(struct may *m)
{
    struct str secret;

    if (may_field(m, "secret_id", &secret) && secret.n)
        may_need(m, GRANT_GATEWAY_SECRET, secret, DO_USE);
}

err_t may_settle_definition_create(struct may *m, struct fail *f)
{
    (void)f;
    may_need(m, GRANT_GATEWAY_MODEL_DEFINITION, STR(""), DO_NOT_DENIED);
    need_secret(m);
    return OK;
}

err_t may_settle_definition_update(struct may *m, struct fail *f)
{
    (void)f;
    may_need_rows(m);
    need_secret(m);
    return OK;
}

/* -- endpoints ---------------------------------------------------------------------------------------- */

static size_t need_definitions(struct may *m)
{
    yyjson_val *list = may_value(m, "model_configs"), *item;
    size_t i, max, n = 0;

    if (!yyjson_is_arr(list))
        return 0;
    yyjson_arr_foreach(list, i, max, item) {
        struct str id = may_text(m, may_member(m, item, "model_definition_id"));

        if (id.n == 0)
            continue;
        may_need(m, GRANT_GATEWAY_MODEL_DEFINITION, id, DO_USE);
        n++;
    }
    return n;
}

err_t may_settle_endpoint_create(struct may *m, struct fail *f)
{
    struct str experiment;
    bool tracks;

    (void)f;
    (void)need_definitions(m);
    may_need(m, GRANT_GATEWAY_ENDPOINT, STR(""), DO_NOT_DENIED);
    (void)may_field(m, "experiment_id", &experiment);
    if (!may_flag(m, "usage_tracking", &tracks))
        tracks = true;
    if (experiment.n || tracks)
        may_need(m, GRANT_EXPERIMENT, experiment, DO_NOT_DENIED);
    return OK;
}

err_t may_ask_endpoint_read(struct may *m, struct fail *f)
{
    struct str name;

    (void)f;
    (void)may_field(m, "endpoint_id", &m->id);
    if (m->id.n == 0 && may_field(m, "name", &name) && name.n)
        (void)may_find(m, FIND_ENDPOINT_NAME, name);
    return OK;
}

err_t may_settle_endpoint_read(struct may *m, struct fail *f)
{
    if (m->finds && !m->finds->is_found)
        return fail(f, ERR_NOT_FOUND, "GatewayEndpoint not found (name='%.*s')",
                    STR_ARG(m->finds->id));
    if (m->finds)
        m->id = m->finds->extra[0];
    may_need_rows(m);
    return OK;
}

err_t may_ask_endpoint_update(struct may *m, struct fail *f)
{
    err_t e = may_ask_endpoint(m, f);

    (void)may_find(m, FIND_ENDPOINT, m->id);
    return e;
}

/* Tracking that is switched on without an experiment makes one, unless there is one. */
err_t may_settle_endpoint_update(struct may *m, struct fail *f)
{
    struct str experiment;
    bool tracks;

    (void)f;
    may_need_rows(m);
    (void)need_definitions(m);
    (void)may_field(m, "experiment_id", &experiment);
    (void)may_flag(m, "usage_tracking", &tracks);
    if (experiment.n || (tracks && !(m->finds->is_found && m->finds->experiment.n)))
        may_need(m, GRANT_EXPERIMENT, experiment, DO_NOT_DENIED);
    return OK;
}

err_t may_settle_endpoint_attach(struct may *m, struct fail *f)
{
    struct str id = may_text(m, may_member(m, may_value(m, "model_config"), "model_definition_id"));

    (void)f;
    may_need_rows(m);
    if (id.n)
        may_need(m, GRANT_GATEWAY_MODEL_DEFINITION, id, DO_USE);
    return OK;
}

err_t may_settle_endpoint_detach(struct may *m, struct fail *f)
{
    struct str id;

    (void)f;
    may_need_rows(m);
    if (may_field(m, "model_definition_id", &id) && id.n)
        may_need(m, GRANT_GATEWAY_MODEL_DEFINITION, id, DO_NOT_DENIED);
    return OK;
}

/* Of all endpoints: admins only. */
err_t may_settle_bindings_list(struct may *m, struct fail *f)
{
    (void)f;
    if (m->id.n == 0)
        may_refuse(m);
    may_need_rows(m);
    return OK;
}

/* -- guardrails ----------------------------------------------------------------------------------------- */

err_t may_ask_guardrail(struct may *m, struct fail *f)
{
    struct str id;
    err_t e = may_ask_endpoint(m, f);

    (void)may_field(m, "guardrail_id", &id);
    (void)may_find(m, FIND_GUARDRAIL, id);
    return e;
}

err_t may_settle_guardrail_add(struct may *m, struct fail *f)
{
    const struct may_find *guardrail = m->finds;

    (void)f;
    may_need_rows(m);
    if (!guardrail->is_found)
        may_refuse(m);
    m->scorer = may_scorer(&m->r->arena, guardrail->experiment, guardrail->extra[0]);
    may_need(m, GRANT_SCORER, m->scorer, DO_NOT_DENIED);
    may_need_or(m, GRANT_SCORER_VERSION, DO_NOT_DENIED, GRANT_SCORER, m->scorer, DO_NOT_DENIED);
    return OK;
}

/* -- calls through the gateway ---------------------------------------------------------------------------- */

/* The endpoint that the path names, or the body's "model". */
static struct str endpoint_called(struct may *m, bool *is_in_body)
{
    static const struct str bodies[] = {
        STR_INIT("mlflow/v1/chat/completions"), STR_INIT("openai/v1/chat/completions"),
        STR_INIT("openai/v1/embeddings"), STR_INIT("openai/v1/responses"),
        STR_INIT("anthropic/v1/messages")};
    static const struct str gemini = STR_INIT("gemini/v1beta/models/");
    struct str rest = m->path.nargs ? m->path.values[0] : STR("");

    *is_in_body = false;
    for (size_t i = 0; i < array_len(bodies); i++) {
        if (str_eq(rest, bodies[i])) {
            *is_in_body = true;
            return may_text(m, m->body ? document_get(m->body, STR("model")) : NULL);
        }
    }
    if (str_starts(rest, gemini)) {
        struct str name;

        rest = str_skip(rest, gemini.n);
        name = str_cut(&rest, ':');
        return str_find(name, '/') == name.n && (str_eq(rest, STR("generateContent")) ||
                                                 str_eq(rest, STR("streamGenerateContent")))
                   ? name
                   : STR("");
    }
    if (str_starts(rest, STR("proxy/"))) {
        struct str name;

        rest = str_skip(rest, 6);
        if (str_find(rest, '/') == rest.n)
            return STR("");
        name = str_cut(&rest, '/');
        return name;
    }
    if (str_ends(rest, STR("/mlflow/invocations"))) {
        rest = str_head(rest, rest.n - STR("/mlflow/invocations").n);
        return str_find(rest, '/') == rest.n ? rest : STR("");
    }
    return STR("");
}

err_t may_ask_gateway_call(struct may *m, struct fail *f)
{
    struct str name;
    bool is_in_body;

    if (m->path.nargs && str_eq(m->path.values[0], STR("mlflow/v1/models"))) {
        (void)may_find(m, FIND_ENDPOINTS, STR("*"));
        return OK;
    }
    name = endpoint_called(m, &is_in_body);
    if (is_in_body && !m->body)
        return fail(f, ERR_BAD_REQUEST, "Invalid JSON payload");
    if (name.n == 0)
        return fail(f, ERR_BAD_REQUEST, "No endpoint name found");
    (void)may_find(m, FIND_ENDPOINT_NAME, name);
    return OK;
}

err_t may_settle_gateway_call(struct may *m, struct fail *f)
{
    (void)f;
    if (m->finds->kind == FIND_ENDPOINTS) {
        if (may_find_count(m->finds) > MAY_ENDPOINTS)
            may_refuse(m); /* which of them the caller may use is not known of all */
        return OK;
    }
    if (!m->finds->is_found)
        may_refuse(m);
    m->id = m->finds->extra[0];
    may_need_rows(m);
    return OK;
}

/* -- jobs -------------------------------------------------------------------------------------------------- */

err_t may_settle_job_owner(struct may *m, struct fail *f)
{
    (void)f;
    if (!m->finds->is_found || m->finds->extra[0].n == 0 ||
        !str_eq(m->finds->extra[0], may_user(m)))
        may_refuse(m);
    return OK;
}

err_t may_ask_optimize(struct may *m, struct fail *f)
{
    struct str id;

    (void)f;
    (void)may_field(m, "experiment_id", &id);
    may_about(m, id);
    return OK;
}

/* The worker behind it has nobody's rights and loads scorers, prompts and endpoints by names that stand in
 * free text: who is denied any of those may not start it. */
err_t may_settle_optimize(struct may *m, struct fail *f)
{
    static const enum grant_type loaded[] = {GRANT_SCORER, GRANT_PROMPT, GRANT_PROMPT_VERSION,
                                             GRANT_GATEWAY_ENDPOINT};

    (void)f;
    may_need_rows(m);
    for (size_t i = 0; i < array_len(loaded); i++) {
        if (!grants_is_chief(m->grants) && grants_any(m->grants, loaded[i], LEVEL_DENY))
            may_refuse(m);
    }
    return OK;
}

/* -- MCP servers -------------------------------------------------------------------------------------------- */

/* The next segment of a path behind "mcp-servers/". */
static struct str next_part(struct str *rest)
{
    return str_cut(rest, '/');
}

void may_mcp_path(const struct may *m, struct mcp_path *out)
{
    struct str rest = m->path.nargs ? m->path.values[0] : STR(""), space, slug;

    memset(out, 0, sizeof(*out));
    while (rest.n && rest.p[rest.n - 1] == '/')
        rest.n--;
    space = next_part(&rest);
    slug = next_part(&rest);
    if (slug.n == 0) {
        out->part = space;
        return;
    }
    out->server = (struct str){space.p, (size_t)(slug.p + slug.n - space.p)};
    out->part = next_part(&rest);
    out->rest = rest;
}

/* Does the call ask for a version of servers? MLflow parses the filter; here it is its word that counts. */
static bool selects_version(struct may *m)
{
    static const char *const names[] = {"server_version", "server_alias"};
    bool has_body = m->r->head->method & (HTTP_M_POST | HTTP_M_PATCH);
    struct str *values;
    size_t n;

    for (size_t i = 0; i < array_len(names); i++) {
        n = may_query_all(m, names[i], &values);
        while (n-- > 0) {
            if (values[n].n)
                return true;
        }
        if (has_body && m->body && may_text(m, document_get(m->body, str_of(names[i]))).n)
            return true;
    }
    n = may_query_all(m, "filter_string", &values);
    while (n-- > 0) {
        if (values[n].n && memmem(values[n].p, values[n].n, "status", 6))
            return true;
    }
    return false;
}

/* Of no single server. */
err_t may_settle_mcp_root(struct may *m, struct fail *f)
{
    bool is_create = m->r->head->method == HTTP_M_POST;
    struct str name = may_text(m, m->body ? document_get(m->body, STR("name")) : NULL);
    struct mcp_path at;

    (void)f;
    may_mcp_path(m, &at);
    if (is_create) {
        may_need(m, GRANT_MCP_SERVER, name, DO_NOT_DENIED);
        may_need_place(m);
    } else if (str_eq(at.part, STR("endpoints")) && selects_version(m)) {
        may_need(m, GRANT_MCP_SERVER_VERSION, STR(""), DO_NOT_DENIED);
    }
    return OK;
}

err_t may_ask_mcp_server(struct may *m, struct fail *f)
{
    struct mcp_path at;

    (void)f;
    may_mcp_path(m, &at);
    m->id = at.server;
    if (m->id.n)
        (void)may_find(m, FIND_SERVER, m->id);
    return OK;
}

static void need_server_version(struct may *m, enum grant_action action)
{
    may_need(m, GRANT_MCP_SERVER, m->id, DO_READ);
    may_need_or(m, GRANT_MCP_SERVER_VERSION, action, GRANT_MCP_SERVER, m->id, action);
}

/* A version, of a server that comes with it where there is none. */
static void need_version_create(struct may *m)
{
    may_need(m, GRANT_MCP_SERVER, m->id, m->finds->is_found ? DO_UPDATE : DO_NOT_DENIED);
    may_need(m, GRANT_MCP_SERVER_VERSION, STR(""), DO_NOT_DENIED);
    if (m->finds->is_found)
        return;
    may_need(m, GRANT_MCP_SERVER, STR(""), DO_NOT_DENIED);
    may_need_place(m);
}

err_t may_settle_mcp_server(struct may *m, struct fail *f)
{
    struct mcp_path at;
    enum grant_action action;

    if (m->id.n == 0)
        return may_settle_mcp_root(m, f);
    may_mcp_path(m, &at);
    switch (m->r->head->method) {
    case HTTP_M_GET: action = DO_READ; break;
    case HTTP_M_POST:
    case HTTP_M_PATCH: action = DO_UPDATE; break;
    case HTTP_M_DELETE: action = DO_DELETE; break;
    default: may_refuse(m); return OK;
    }
    if (str_eq(at.part, STR("versions"))) {
        if (m->r->head->method == HTTP_M_POST && at.rest.n == 0)
            need_version_create(m);
        else
            need_server_version(m, action);
        return OK;
    }
    may_need(m, GRANT_MCP_SERVER, m->id, action);
    if (str_eq(at.part, STR("aliases")))
        need_server_version(m, DO_READ);
    else if (str_eq(at.part, STR("endpoints")) && selects_version(m))
        need_server_version(m, DO_NOT_DENIED);
    else if (action == DO_DELETE)
        need_server_version(m, DO_DELETE);
    return OK;
}
