/*
 * workspace_delete: MLflow's three modes.
 *
 *   RESTRICT      refuses when a table of ROOTS holds a row of it, in their order
 *   SET_DEFAULT   gives the rows to `default`, and refuses when a name is there already
 *   CASCADE       deletes the rows and what belongs to them, runs and points too; files stay
 *
 * Two round trips: a look, whose answer refuses in MLflow's words, then one transaction that takes nothing
 * for granted: each statement holds only while the workspace exists. What comes in between, or cannot be,
 * PostgreSQL refuses, and then nothing has changed. Its roles go in the same transaction where the users
 * are in the same database: who had one must not find himself in the next workspace of that name. MLflow's
 * own mapping deletes the same rows one by one.
 */
#include "gateway/auth/workspace_delete.h"

#include <string.h>

#include "gateway/auth/grant_write.h"
#include "gateway/auth/workspace.h"
#include "gateway/peers/news.h"
#include "gateway/req_user.h"
#include "gateway/worker.h"
#include "schema/errors.h"

/* The tables whose rows are in a workspace by themselves, in MLflow's order; those with names that are
 * unique in it. */
#define ROOTS(ROOT, NAMED)     \
    NAMED(registered_models)   \
    NAMED(experiments)         \
    NAMED(evaluation_datasets) \
    NAMED(webhooks)            \
    ROOT(secrets)              \
    NAMED(endpoints)           \
    NAMED(model_definitions)   \
    ROOT(budget_policies)      \
    NAMED(guardrails)          \
    ROOT(jobs)                 \
    NAMED(mcp_servers)

#define COUNT(t)                                                                               \
    " UNION ALL SELECT '" #t "', count(*)::text FROM " #t " WHERE workspace = $1::text HAVING" \
    " count(*) > 0"
#define CLASH(t)                                                                         \
    " UNION ALL (SELECT '" #t "', a.name FROM " #t " a WHERE a.workspace = $1::text AND" \
    " a.name IN (SELECT b.name FROM " #t " b WHERE b.workspace = 'default'))"
#define NOTHING(t)
#define IN_IT   " = (SELECT w.name FROM workspaces w WHERE w.name = $1::text)"
#define MOVE(t) #t "_moved AS (UPDATE " #t " SET workspace = 'default' WHERE workspace" IN_IT "), "
#define DROP(t) #t "_gone AS (DELETE FROM " #t " WHERE workspace" IN_IT "), "

/* The first row is the workspace's own. The rows behind it are of tables that are named in $1's stead. */
static const struct stmt LOOK_COUNT = {
    "workspace_look_count",
    SCOPE_FOUND "SELECT name, NULL FROM workspaces WHERE name = $1::text" ROOTS(COUNT, COUNT)};
static const struct stmt LOOK_CLASH = {
    "workspace_look_clash",
    SCOPE_FOUND "SELECT name, NULL FROM workspaces WHERE name = $1::text" ROOTS(NOTHING, CLASH)};
static const struct stmt LOCK = {"workspace_lock",
                                 "SELECT 1 FROM workspaces WHERE name = $1::text FOR UPDATE"};
static const struct stmt DELETE = {"workspace_drop",
                                   "DELETE FROM workspaces WHERE name = $1::text"};
static const struct stmt MOVE_ALL = {"workspace_move",
                                     SCOPE_FOUND "WITH " ROOTS(MOVE, MOVE) "done AS (SELECT 1)"
                                                                           " SELECT 1 FROM done"};

#define EXPERIMENTS "(SELECT experiment_id FROM experiments WHERE workspace" IN_IT ")"
#define RUNS        "(SELECT run_uuid FROM runs WHERE experiment_id IN " EXPERIMENTS ")"
#define OF_RUNS(t)  #t "_gone AS (DELETE FROM " #t " WHERE run_uuid IN " RUNS "), "
#define OF_EXPERIMENTS(t) \
#t "_gone AS (DELETE FROM " #t " WHERE experiment_id IN " EXPERIMENTS "), "
#define OF_MODELS(t) #t "_gone AS (DELETE FROM " #t " WHERE workspace" IN_IT "), "

/* What belongs to the rows of ROOTS and has no foreign key that takes it along. */
static const struct stmt DROP_POINTS = {
    "workspace_drop_points",
    SCOPE_FOUND "WITH " OF_RUNS(metrics) OF_RUNS(latest_metrics) OF_RUNS(params) OF_RUNS(tags)
        OF_EXPERIMENTS(logged_model_metrics) "done AS (SELECT 1) SELECT 1 FROM done"};
static const struct stmt DROP_PARTS = {
    "workspace_drop_parts",
    SCOPE_FOUND "WITH " OF_EXPERIMENTS(logged_model_params) OF_EXPERIMENTS(logged_model_tags)
        OF_EXPERIMENTS(online_scoring_configs) OF_EXPERIMENTS(spans) OF_EXPERIMENTS(experiment_tags)
            OF_MODELS(model_version_tags) "done AS (SELECT 1) SELECT 1 FROM done"};
static const struct stmt DROP_MIDDLE = {
    "workspace_drop_middle",
    SCOPE_FOUND "WITH " OF_EXPERIMENTS(logged_models) OF_MODELS(registered_model_tags)
        OF_MODELS(registered_model_aliases)
            OF_MODELS(guardrail_configs) "endpoint_model_mappings_gone AS (DELETE FROM "
                                         "endpoint_model_mappings WHERE"
                                         " endpoint_id IN (SELECT endpoint_id FROM endpoints WHERE "
                                         "workspace" IN_IT ")),"
                                         " done AS (SELECT 1) SELECT 1 FROM done"};
static const struct stmt DROP_RUNS = {
    "workspace_drop_runs", SCOPE_FOUND "WITH " OF_EXPERIMENTS(runs) OF_MODELS(model_versions)
                               OF_MODELS(guardrails) "done AS (SELECT 1) SELECT 1 FROM done"};
#define ROOT_DROP(t) DROP(t)
static const struct stmt DROP_ROOTS = {
    "workspace_drop_roots",
    SCOPE_FOUND "WITH " ROOTS(ROOT_DROP, ROOT_DROP) "done AS (SELECT 1) SELECT 1 FROM done"};

struct deletion {
    struct str name; /* also the statements' value */
    enum workspace_mode mode;
    req_step next;
};

static err_t not_found(struct str name, struct fail *f)
{
    return fail(f, ERR_NOT_FOUND, "Workspace '%.*s' not found", STR_ARG(name));
}

static err_t missing_now(struct req *r, struct fail *f)
{
    const struct deletion *d = r->asked;

    return not_found(d->name, f);
}

/* It is not there. Where the users are elsewhere its roles go in a second commit, and this process may have
 * ended before that one: who deletes it again brings it to its end. */
static err_t missing(struct req *r, const struct deletion *d, struct fail *f)
{
    if (!r->user || req_users_are_here(r))
        return not_found(d->name, f);
    return grant_workspace_gone(r, d->name, missing_now);
}

static err_t refused(struct req *r, const struct deletion *d, struct fail *f)
{
    static const char *const modes[] = {"RESTRICT", "SET_DEFAULT", "CASCADE"};

    if (d->mode == WORKSPACE_SET_DEFAULT)
        return fail(f, ERR_INVALID_STATE,
                    "Cannot delete workspace '%.*s': resources in this workspace conflict with"
                    " existing resources in the 'default' workspace. Resolve naming conflicts"
                    " before deleting. Error: %.*s",
                    STR_ARG(d->name), STR_ARG(r->sql.message));
    return fail(f, ERR_INVALID_STATE,
                "Cannot delete workspace '%.*s': deletion failed due to database integrity"
                " constraints while operating in '%s' mode. This often indicates that related"
                " resources still reference this workspace. Error: %.*s",
                STR_ARG(d->name), modes[d->mode], STR_ARG(r->sql.message));
}

static err_t deleted(struct req *r, struct fail *f)
{
    const struct deletion *d = r->asked;

    if (strncmp(r->sql.sqlstate, "23", 2) == 0)
        return refused(r, d, f);
    if (r->sql.err)
        return req_sql_fail(r, f);
    if (PQntuples(r->sql.results[0]) == 0)
        return missing(r, d, f);
    workspace_changed(r->worker, d->name);
    runs_forget_all(r->worker->runs);
    news_tell(r->worker, NEWS_RUNS, d->name);
    return d->next(r, f);
}

static err_t delete_now(struct req *r, struct deletion *d)
{
    struct sql_step steps[SQL_STEPS_MAX];
    unsigned n = 0;

    steps[n++].stmt = &LOCK;
    if (d->mode == WORKSPACE_SET_DEFAULT)
        steps[n++].stmt = &MOVE_ALL;
    if (d->mode == WORKSPACE_CASCADE) {
        steps[n++].stmt = &DROP_POINTS;
        steps[n++].stmt = &DROP_PARTS;
        steps[n++].stmt = &DROP_MIDDLE;
        steps[n++].stmt = &DROP_RUNS;
        steps[n++].stmt = &DROP_ROOTS;
    }
    n += grant_workspace_gone_step(r, d->name, &steps[n]);
    steps[n++].stmt = &DELETE;
    for (unsigned i = 0; i < n; i++) {
        steps[i].values = &d->name;
        steps[i].nvalues = 1;
    }
    return req_sql_try(r, steps, n, deleted);
}

/* '  - table: 'name'' a line, as Python's repr has it for names like these. */
static err_t clashes(struct req *r, const struct deletion *d, struct fail *f)
{
    const PGresult *res = r->sql.results[0];
    struct buf lines;
    err_t e;

    buf_init(&lines);
    for (int i = 1; i < PQntuples(res); i++)
        buf_printf(&lines, "  - %s: '%s'\n", PQgetvalue(res, i, 0), PQgetvalue(res, i, 1));
    e = fail(f, ERR_INVALID_STATE,
             "Cannot reassign resources from workspace '%.*s' to 'default': the following names"
             " already exist in the default workspace and would cause conflicts:\n%.*sRename or"
             " remove the conflicting resources before retrying.",
             STR_ARG(d->name), STR_ARG(buf_str(&lines)));
    buf_fini(&lines);
    return e;
}

static err_t looked(struct req *r, struct fail *f)
{
    struct deletion *d = r->asked;
    const PGresult *res = r->sql.results[0];

    if (PQntuples(res) == 0 || !sql_is_null(res, 0, 1))
        return missing(r, d, f);
    if (PQntuples(res) == 1 || d->mode == WORKSPACE_CASCADE)
        return delete_now(r, d);
    if (d->mode == WORKSPACE_SET_DEFAULT)
        return clashes(r, d, f);
    return fail(f, ERR_INVALID_STATE,
                "Cannot delete workspace '%.*s': table '%s' still contains %s resource(s). Remove"
                " or reassign them before deleting the workspace.",
                STR_ARG(d->name), PQgetvalue(res, 1, 0), PQgetvalue(res, 1, 1));
}

err_t workspace_delete(struct req *r, struct str name, enum workspace_mode mode, req_step next)
{
    struct deletion *d = r->asked = arena_zalloc(&r->arena, sizeof(*d));
    const struct stmt *look = mode == WORKSPACE_SET_DEFAULT ? &LOOK_CLASH : &LOOK_COUNT;

    *d = (struct deletion){sql_text(&r->arena, name), mode, next};
    return req_sql(r, &(struct sql_step){look, &d->name, 1}, 1, looked);
}
