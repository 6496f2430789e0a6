/*
 * may_people: who may call what about users, roles and permissions.
 *
 * Roles belong to a workspace, and its chief manages them: whoever holds (workspace, *, MANAGE) there.
 * Everybody sees himself. What the questions turn on stands in the users' database, so it is asked for
 * together with the grants (may.c): which workspaces the caller is chief of, where he has any role, and
 * the workspace of the role that the request names.
 */
#include "gateway/auth/may_input.h"
#include "gateway/auth/may_rule.h"

#include "ingest/document.h"
#include "schema/errors.h"
#include "yyjson.h"

err_t may_ask_user(struct may *m, struct fail *f)
{
    return may_param(m, "username", &m->name, f);
}

err_t may_settle_user_self(struct may *m, struct fail *f)
{
    (void)f;
    if (!str_eq(m->name, may_user(m)))
        may_refuse(m);
    return OK;
}

/* -- roles ------------------------------------------------------------------------------------------- */

err_t may_ask_people(struct may *m, struct fail *f)
{
    (void)f;
    m->asks_people = true;
    return OK;
}

static bool people_say(const struct may *m, const char *kind, struct str value)
{
    for (size_t i = 0; i < m->npeople; i++) {
        if (str_eq(m->people[i].name, str_of(kind)) &&
            (value.p == NULL || str_eq(m->people[i].value, value)))
            return true;
    }
    return false;
}

/* Is there a workspace of which both say so? */
static bool people_share(const struct may *m, const char *mine, const char *theirs)
{
    for (size_t i = 0; i < m->npeople; i++) {
        if (str_eq(m->people[i].name, str_of(theirs)) && people_say(m, mine, m->people[i].value))
            return true;
    }
    return false;
}

/* A parameter in the query of a GET or of a DELETE without JSON, else in the body; as it stands there. */
static bool people_param(struct may *m, const char *name, struct str *out, yyjson_val **value)
{
    *value = NULL;
    if (m->is_get || (m->r->head->method == HTTP_M_DELETE && !m->has_json))
        return may_query(m, name, out);
    *value = m->body ? document_get(m->body, str_of(name)) : NULL;
    *out = may_text(m, *value);
    return *value != NULL;
}

/* A whole number, as Python's int() takes it; NULL there when it is none. */
static err_t people_int(struct may *m, const char *name, struct str text, yyjson_val *value,
                        struct str *out, struct fail *f)
{
    struct buf shown;
    int64_t id;

    if (bind_python_int(text, &id)) {
        *out = sql_i64(&m->r->arena, id);
        return OK;
    }
    buf_init(&shown);
    if (value)
        document_repr(&m->r->arena, &shown, value, 200);
    else
        buf_printf(&shown, "'%.*s'", STR_ARG(text));
    (void)fail(f, ERR_BAD_PARAM, "Parameter '%s' must be an integer. Got: %.*s", name,
               STR_ARG(buf_str(&shown)));
    buf_fini(&shown);
    return ERR_BAD_PARAM;
}

/* The role, permission or workspace that the request names. */
err_t may_people_ask(struct may *m, struct str values[3], struct fail *f)
{
    yyjson_val *value;
    struct str text;
    err_t e;

    values[0] = values[1] = sql_null();
    values[2] = sql_null();
    if (people_param(m, "username", &text, &value))
        values[2] = sql_text(&m->r->arena, text);
    if (people_param(m, "role_id", &text, &value) &&
        (m->path.rule == MAY_RULE_ROLE_MANAGE || m->path.rule == MAY_RULE_ROLE_VIEW)) {
        if ((e = people_int(m, "role_id", text, value, &values[0], f)))
            return e;
    } else if (people_param(m, "role_permission_id", &text, &value) &&
               m->path.rule == MAY_RULE_ROLE_MANAGE) {
        if ((e = people_int(m, "role_permission_id", text, value, &values[1], f)))
            return e;
    }
    return OK;
}

/* A role, a permission and a workspace in one request may lie in different places, and which of
 * them the call takes is its handler's affair: whoever names two is refused. */
static void role_judge_names(struct may *m)
{
    static const char *const names[] = {"role_id", "role_permission_id", "workspace"};
    unsigned n = 0;

    for (size_t i = 0; i < array_len(names); i++) {
        yyjson_val *value;
        struct str text;

        n += people_param(m, names[i], &text, &value);
    }
    if (n > 1)
        may_refuse(m);
}

/* The workspace that the request is about; p NULL: of a role that does not exist. */
static err_t role_workspace(struct may *m, struct str *out, struct fail *f)
{
    yyjson_val *value;
    struct str text;

    *out = sql_null();
    if (people_param(m, "role_id", &text, &value) ||
        people_param(m, "role_permission_id", &text, &value)) {
        for (size_t i = 0; i < m->npeople; i++) {
            if (str_eq(m->people[i].name, STR("role")))
                *out = m->people[i].value;
        }
        return OK;
    }
    if (!people_param(m, "workspace", &text, &value))
        return fail(f, ERR_BAD_PARAM,
                    "Request must include one of: role_id, role_permission_id, workspace.");
    if ((value && !yyjson_is_str(value)) || str_trim(text).n == 0)
        return fail(f, ERR_BAD_PARAM, "Parameter 'workspace' must be a non-empty string.");
    *out = text;
    return OK;
}

static err_t settle_role(struct may *m, const char *kind, struct fail *f)
{
    struct str workspace;
    err_t e = role_workspace(m, &workspace, f);

    if (e)
        return e;
    role_judge_names(m);
    if (workspace.p == NULL || !people_say(m, kind, workspace))
        may_refuse(m);
    return OK;
}

err_t may_settle_role_manage(struct may *m, struct fail *f)
{
    return settle_role(m, "chief", f);
}

err_t may_settle_role_view(struct may *m, struct fail *f)
{
    return settle_role(m, "present", f);
}

err_t may_settle_roles_list(struct may *m, struct fail *f)
{
    struct str *names;
    size_t n = may_query_all(m, "workspace", &names), asked = 0;

    (void)f;
    for (size_t i = 0; i < n; i++) {
        struct str name = str_trim(names[i]);

        if (name.n == 0)
            continue;
        asked++;
        if (!people_say(m, "present", name))
            may_refuse(m);
    }
    if (asked == 0)
        may_refuse(m);
    return OK;
}

/* -- users --------------------------------------------------------------------------------------------- */

/* Who is in the workspace may know who else there is. */
err_t may_settle_users_list(struct may *m, struct fail *f)
{
    (void)f;
    may_need_place(m);
    return OK;
}

err_t may_settle_user_create(struct may *m, struct fail *f)
{
    (void)f;
    if (!people_say(m, "chief", sql_null()))
        may_refuse(m);
    return OK;
}

err_t may_settle_user_view(struct may *m, struct fail *f)
{
    err_t e = may_param(m, "username", &m->name, f);

    if (e)
        return e;
    if (!str_eq(m->name, may_user(m)) && !people_share(m, "chief", "target"))
        may_refuse(m);
    return OK;
}

/* -- permissions ------------------------------------------------------------------------------------------ */

err_t may_no_workspace(struct str type, struct fail *f)
{
    if (!str_eq(type, STR("workspace")))
        return OK;
    return fail(f, ERR_BAD_PARAM,
                "resource_type 'workspace' is not supported by the per-user permission convenience"
                " APIs. Use set_workspace_permission / delete_workspace_permission for"
                " workspace-wide grants.");
}

err_t may_type_check(struct str text, enum grant_type *type, struct fail *f)
{
    struct buf names;
    err_t e;

    if (grant_type_of(text, type))
        return OK;
    buf_init(&names);
    for (int i = 0; i < GRANT_TYPES; i++)
        buf_printf(&names, "%s'%s'", i ? ", " : "", grant_type_name((enum grant_type)i));
    e = fail(f, ERR_BAD_PARAM, "Invalid resource type '%.*s'. Valid resource types are: (%.*s)",
             STR_ARG(text), STR_ARG(buf_str(&names)));
    buf_fini(&names);
    return e;
}

/* Has the type things that one by one can be spoken of in these calls? */
err_t may_type_single(enum grant_type type, struct str id, struct fail *f)
{
    if (!grant_type_has_ids(type) || type == GRANT_PROMPT)
        return fail(f, ERR_BAD_PARAM,
                    "resource_type '%s' is not supported by the per-user permission convenience"
                    " APIs.",
                    grant_type_name(type));
    if (type == GRANT_SCORER && str_find(id, '/') == id.n)
        return fail(f, ERR_BAD_PARAM,
                    "Invalid scorer resource_id. Expected '<experiment_id>/<scorer_name>'.");
    return OK;
}

err_t may_settle_permission_get(struct may *m, struct fail *f)
{
    struct str type, id;
    err_t e;

    if ((e = may_param(m, "resource_type", &type, f)) || (e = may_no_workspace(type, f)) ||
        (e = may_param(m, "username", &m->name, f)))
        return e;
    if (str_eq(m->name, may_user(m)))
        return OK;
    if (!people_say(m, "user", sql_null())) {
        may_refuse(m);
        return OK;
    }
    if ((e = may_param(m, "resource_id", &id, f)))
        return e;
    if (!people_say(m, "chief", str_of(m->r->scope.workspace)))
        may_refuse(m);
    return OK;
}

err_t may_settle_permission_grant(struct may *m, struct fail *f)
{
    struct str type, id;
    enum grant_type kind;
    err_t e;

    if ((e = may_param(m, "resource_type", &type, f)) ||
        (e = may_param(m, "resource_id", &id, f)) || (e = may_no_workspace(type, f)) ||
        (e = may_type_check(type, &kind, f)))
        return e;
    if (str_eq(id, STR("*"))) {
        if (!people_say(m, "chief", str_of(m->r->scope.workspace)))
            may_refuse(m);
        return OK;
    }
    if ((e = may_type_single(kind, id, f)))
        return e;
    may_need(m, kind, id, DO_MANAGE);
    return OK;
}
