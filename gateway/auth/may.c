/*
 * may: from who sends a request, and what it asks for, to a verdict.
 *
 *   path > rule > ask: what is it about? > run table > look-ups > grants > settle: what does it need?
 *
 * Each step is skipped where there is nothing for it, so a metric write of a known run by a known user
 * costs three look-ups in memory and no SQL. The grants of a user are one statement, remembered for
 * auth_ttl (grant_ask.c); what an id belongs to is another. An admin may do everything.
 *
 * When the users' database gives no answer, what was known of a user counts for auth_grace more, as his
 * password does (grant_ask.c); of others nothing is known, and they are answered 503.
 *
 * With SLUICE_TEST_VERDICTS=1 an allowed call is answered 418 and not carried out: the permission matrix
 * (tests/matrix) compares verdicts, and asks all of them about the same few things.
 */
#include "gateway/auth/may.h"

#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "gateway/api/entity.h"
#include "gateway/auth/auth_config.h"
#include "gateway/auth/grant_ask.h"
#include "gateway/auth/may_find.h"
#include "gateway/auth/may_input.h"
#include "gateway/auth/may_rule.h"
#include "gateway/http/conn.h"
#include "gateway/http/conn_io.h"
#include "gateway/http/reply.h"
#include "gateway/proxy/proxy_head.h"
#include "gateway/req_user.h"
#include "gateway/server.h"
#include "gateway/worker.h"
#include "schema/errors.h"

static bool only_verdicts;

/* The workspaces that somebody is chief of, or has a role in; that of a role. */
#define CHIEF_OF(user)                                                                          \
    "SELECT 'chief', r.workspace FROM user_role_assignments a JOIN roles r ON r.id = a.role_id" \
    " JOIN role_permissions p ON p.role_id = r.id WHERE a.user_id = " user                      \
    " AND p.resource_type = 'workspace' AND p.resource_pattern = '*' AND p.permission = 'MANAGE'"
static const struct stmt PEOPLE = {
    "may_people",
    CHIEF_OF(
        "$1::int4") " UNION SELECT 'present', r.workspace FROM user_role_assignments a"
                    " JOIN roles r ON r.id = a.role_id WHERE a.user_id = $1::int4"
                    " UNION SELECT 'role', r.workspace FROM roles r WHERE r.id = $2::int8"
                    " UNION SELECT 'role', r.workspace FROM roles r JOIN role_permissions p ON "
                    "p.role_id = r.id"
                    " WHERE p.id = $3::int8"
                    " UNION SELECT 'user', '' FROM users u WHERE u.username = $4::text"
                    " UNION SELECT 'target', r.workspace FROM users u JOIN user_role_assignments a"
                    " ON a.user_id = u.id JOIN roles r ON r.id = a.role_id WHERE u.username = "
                    "$4::text"};

void may_init(void)
{
    may_path_init();
    only_verdicts = fault_switch("SLUICE_TEST_VERDICTS");
}

bool may_only_says(void)
{
    return only_verdicts;
}

struct str may_user(const struct may *m)
{
    return m->r->user->name;
}

/* As it was sent; the first of that name. */
struct str may_header(const struct may *m, const char *name)
{
    struct str lines = http_head_text(m->r->conn->x->http), field, value;

    (void)str_cut(&lines, '\n'); /* the request line */
    while (proxy_next_line(&lines, &field, &value)) {
        if (str_ieq(field, str_of(name)))
            return arena_dup(&m->r->arena, value);
    }
    return STR("");
}

/* -- verdicts ---------------------------------------------------------------------------------- */

static err_t may_allow(struct req *r, req_step next)
{
    if (only_verdicts)
        return reply_text(r, 418, "text/plain; charset=utf-8", STR("reached"));
    return next(r, r->fail);
}

static struct str may_bare_path(const struct req *r)
{
    struct str prefix = str_of(r->worker->settings->static_prefix), path = r->head->path;

    return prefix.n && str_starts(path, prefix) ? str_skip(path, prefix.n) : path;
}

bool may_is_native(const struct req *r)
{
    return may_path_is_native(r->head->method, may_bare_path(r));
}

bool may_reads_body(const struct req *r)
{
    struct may_path found;

    may_path_find(r->head->method, may_bare_path(r), &found);
    return may_path_reads_body(&found);
}

static err_t may_forbid(struct may *m)
{
    stat_add(m->r->worker->stats, may_refused, 1);
    return reply_text(
        m->r, 403, may_is_native(m->r) ? "text/plain; charset=utf-8" : "text/html; charset=utf-8",
        STR("Permission denied"));
}

static err_t may_fail(struct may *m, err_t e, const struct fail *f)
{
    if (e && may_is_native(m->r) && f->err == e)
        return reply_text(m->r, error_row(e)->status, "text/plain; charset=utf-8", f->text);
    return e;
}

static err_t may_decide(struct may *m, struct fail *f)
{
    err_t e = m->rule->settle(m, f);

    if (e)
        return may_fail(m, e, f);
    for (const struct may_find *find = m->finds; find; find = find->next)
        m->is_refused |= find->kind == FIND_EXPERIMENT && !find->is_found;
    for (size_t i = 0; i < m->nneeds && !m->is_refused; i++)
        m->is_refused = !grants_meet(m->grants, &m->needs[i], m->fallback, m->absent);
    return m->is_refused ? may_forbid(m) : may_allow(m->r, m->next);
}

/* -- grants ------------------------------------------------------------------------------------- */

static struct may *may_of(const struct req *r)
{
    return r->may;
}

/* They stay while the request does. */
static void may_hold(struct may *m, struct grants *grants)
{
    m->grants = grants_take(grants);
}

static err_t may_on_grants(struct req *r, struct fail *f)
{
    struct may *m = may_of(r);
    struct grants *grants;

    if (r->sql.err) {
        grants = grant_ask_stale(r);
        if (!grants || m->asks_people)
            return req_sql_fail(r, f);
        may_hold(m, grants);
        return may_decide(m, f);
    }
    m->grants = grant_ask_take(r->worker, r->user->id, r->scope.mark, &m->stamp, r->sql.results[0]);
    if (m->asks_people) {
        const PGresult *res = r->sql.results[1];

        m->npeople = (size_t)PQntuples(res);
        m->people = arena_array(&r->arena, m->npeople, sizeof(*m->people));
        for (size_t i = 0; i < m->npeople; i++) {
            m->people[i].name = arena_dup(&r->arena, sql_get(res, (int)i, 0));
            m->people[i].value = arena_dup(&r->arena, sql_get(res, (int)i, 1));
        }
    }
    return may_decide(m, f);
}

static err_t may_ask_grants(struct may *m, struct fail *f);

static err_t may_on_asked(struct req *r, struct fail *f)
{
    return may_ask_grants(may_of(r), f);
}

static err_t may_ask_grants(struct may *m, struct fail *f)
{
    struct req *r = m->r;
    struct worker *w = r->worker;
    bool waits = false;
    struct grants *known = m->asks_people ? NULL : grant_ask_known(r, may_on_asked, &waits);
    struct str *values = arena_array(&r->arena, 4, sizeof(*values));
    struct sql_step steps[2] = {{&grant_ask_stmt, values, 1}, {&PEOPLE, values, 4}};
    err_t e;

    if (waits)
        return OK;
    if (known) {
        stat_add(w->stats, may_hits, 1);
        may_hold(m, known);
        return may_decide(m, f);
    }
    values[0] = sql_i64(&r->arena, r->user->id);
    if (m->asks_people && (e = may_people_ask(m, values + 1, f)))
        return e;
    m->stamp = grant_stamp_now(r->user->id, w->now_us);
    stat_add(w->stats, may_misses, 1);
    return req_users_sql_try(r, steps, m->asks_people ? 2 : 1, may_on_grants);
}

/* -- what it is about ----------------------------------------------------------------------------- */

static err_t may_on_found(struct req *r, struct fail *f)
{
    struct may *m = may_of(r);

    for (unsigned i = 0; i < m->nkinds; i++)
        may_find_take(m, m->kinds[i], r->sql.results[i]);
    return may_ask_grants(m, f);
}

/* What the run table did not have. A single run that it looked for in vain is not there. */
static err_t may_look_up(struct may *m, struct fail *f)
{
    struct sql_step steps[SQL_STEPS_MAX];

    m->nkinds = may_find_steps(m, steps, m->kinds);
    if (m->nkinds == 0)
        return may_ask_grants(m, f);
    return req_sql(m->r, steps, m->nkinds, may_on_found);
}

static err_t may_on_run(struct req *r, struct fail *f)
{
    struct may *m = may_of(r);
    struct may_find *run = m->only_run;

    run->is_looked_up = true;
    if (r->has_run) {
        run->is_found = true;
        run->experiment = sql_i64(&r->arena, r->run.experiment_id);
    }
    return may_look_up(m, f);
}

/* The one run that the question is about; NULL = none, or several. */
static struct may_find *may_single_run(const struct may *m)
{
    struct may_find *run = NULL;

    for (struct may_find *find = m->finds; find; find = find->next) {
        if (find->kind != FIND_RUN)
            continue;
        if (run)
            return NULL;
        run = find;
    }
    return run;
}

/* What counts where nothing is granted: in a workspace that is not open to everybody, nothing. */
static enum grant_level may_absent(const struct req *r, const struct auth_config *config,
                                   enum grant_level fallback)
{
    bool is_open = !r->scope.mark || (config->grant_default_workspace_access &&
                                      strcmp(r->scope.workspace, SCOPE_DEFAULT) == 0);

    return is_open ? fallback : LEVEL_NONE;
}

/* Experiments that the request names must be in its workspace: grants do not say where a thing is. */
static void may_anchor(struct may *m)
{
    for (size_t i = 0; m->r->scope.mark && i < m->nexperiments; i++)
        (void)may_find(m, FIND_EXPERIMENT, m->experiments[i]);
}

static err_t may_begin(struct may *m, struct fail *f)
{
    struct req *r = m->r;
    const struct auth_config *config = server_auth_config(r->worker->server);
    err_t e;

    if (!grant_level_of(config->default_permission, &m->fallback))
        return fail(f, ERR_INTERNAL, "default_permission is none of MLflow's.");
    m->absent = may_absent(r, config, m->fallback);
    may_input(m);
    if ((e = m->rule->ask(m, f)))
        return may_fail(m, e, f);
    may_anchor(m);
    m->only_run = may_single_run(m);
    if (m->only_run)
        return req_find_run(r, m->only_run->id, may_on_run);
    return may_look_up(m, f);
}

void may_find_path(struct may *m)
{
    may_path_find(m->r->head->method, may_bare_path(m->r), &m->path);
}

err_t may_check(struct req *r, req_step next)
{
    struct may *m;

    if (!r->user)
        return next(r, r->fail);
    m = r->may = arena_zalloc(&r->arena, sizeof(*m));
    m->r = r;
    m->next = next;
    m->last_find = &m->finds;
    if (r->user->is_admin)
        return may_allow(r, next);
    may_find_path(m);
    switch (m->path.rule) {
    case MAY_RULE_NONE:
        return server_auth_config(r->worker->server)->fails_closed ? may_forbid(m)
                                                                   : may_allow(r, next);
    case MAY_RULE_ANY:
    case MAY_RULE_NATIVE_ANY: return may_allow(r, next);
    default: break;
    }
    m->rule = &may_rules[m->path.rule];
    return may_begin(m, r->fail);
}

void may_end(struct req *r)
{
    if (r->may)
        grants_put(r->may->grants);
    r->may = NULL;
}

/* -- for handlers ------------------------------------------------------------------------------------ */

bool may_hides(const struct req *r)
{
    return r->may && r->may->grants && !grants_is_chief(r->may->grants);
}

bool may_meets(const struct req *r, const struct need *need)
{
    const struct may *m = r->may;

    return !may_hides(r) || grants_meet(m->grants, need, m->fallback, m->absent);
}

bool may_lists(const struct req *r, enum grant_type type, struct str id)
{
    return may_meets(r, &(struct need){type, id, DO_READ, true, GRANT_WORKSPACE, STR(""), DO_READ});
}

bool may_denies(const struct req *r, enum grant_type type)
{
    return !may_meets(r, &(struct need){.type = type, .action = DO_NOT_DENIED});
}

unsigned may_hidden(const struct req *r)
{
    if (!may_hides(r))
        return 0;
    return (may_denies(r, GRANT_RUN) ? HIDE_RUNS : 0) |
           (may_denies(r, GRANT_LOGGED_MODEL) ? HIDE_LOGGED : 0) |
           (may_denies(r, GRANT_REGISTERED_MODEL_VERSION) ? HIDE_MODEL_VERSIONS : 0) |
           (may_denies(r, GRANT_PROMPT_VERSION) ? HIDE_PROMPT_VERSIONS : 0) |
           (grants_at(r->may->grants, GRANT_ASSESSMENT, STR("")) == LEVEL_DENY ? HIDE_ASSESSMENTS
                                                                               : 0);
}

bool may_reads(const struct req *r, enum grant_type type, struct str id)
{
    return may_meets(r, &(struct need){.type = type, .id = id, .action = DO_READ});
}

static bool may_on_run_of(const struct req *r, struct str experiment, enum grant_action action)
{
    return may_reads(r, GRANT_EXPERIMENT, experiment) &&
           may_meets(r, &(struct need){GRANT_RUN, STR(""), action, true, GRANT_EXPERIMENT,
                                       experiment, action});
}

bool may_reads_run(const struct req *r, struct str experiment)
{
    return may_on_run_of(r, experiment, DO_READ);
}

bool may_updates_run_of(const struct req *r, int32_t experiment_id)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%d", experiment_id);

    return may_on_run_of(r, (struct str){text, (size_t)n}, DO_UPDATE);
}
