/*
 * grant_ask: the question for a user's grants that no request owns.
 *
 *   asked for within half of auth_ttl     nothing happens
 *   within auth_ttl                       the same; they are asked for once more meanwhile
 *   longer ago                            the request waits for that, PATIENCE_US at most
 *   no answer, or none in time            they count for auth_grace, as the password does (auth.c)
 *
 * One question of a user is under way at a time, and everybody waits for it in the list of those who wait
 * for users. After one that failed nobody asks for AWAY_US, so a database that is away, or holds its
 * connections and says nothing, costs a request PATIENCE_US at most, not sql_timeout.
 *
 * What was said to have changed (grants_changed) is not known any more, and has no grace: who would rather
 * not be answered than with rights that were taken away is asked about anew.
 */
#include "gateway/auth/grant_ask.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "gateway/auth/auth.h"
#include "gateway/auth/workspace.h"
#include "gateway/peers/news.h"
#include "gateway/req_user.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"

#define PATIENCE_US 200000u
#define AWAY_US     200000u

const struct stmt grant_ask_stmt = {
    "may_grants",
    "SELECT p.resource_type, p.resource_pattern, p.permission FROM user_role_assignments a"
    " JOIN roles r ON r.id = a.role_id JOIN role_permissions p ON p.role_id = r.id"
    " WHERE a.user_id = $1::int4 AND r.workspace = " SCOPE_NAME};

struct grant_ask {
    struct sql_call call;
    struct str value;
    char text[24];
    struct worker *worker;
    int64_t user_id;
    uint64_t mark;
    char workspace[WORKSPACE_NAME_MAX + 1];
    struct grant_stamp stamp;
    uint64_t question;
};

struct grants *grant_ask_take(struct worker *w, int64_t user_id, uint64_t mark,
                              const struct grant_stamp *stamp, const PGresult *res)
{
    int n = PQntuples(res);
    struct grants *grants;
    struct grant_row *rows;
    struct arena memory;

    arena_init(&memory, 1024);
    rows = arena_array(&memory, (size_t)n, sizeof(*rows));
    for (int i = 0; i < n; i++)
        rows[i] = (struct grant_row){sql_get(res, i, 0), sql_get(res, i, 1), sql_get(res, i, 2)};
    grants = grants_new(rows, (size_t)n);
    arena_fini(&memory);
    grant_cache_put(w->grants, user_id, mark, stamp, grants);
    return grants;
}

static void grant_ask_done(struct sql_call *call)
{
    struct grant_ask *a = call->owner;
    struct worker *w = a->worker;
    struct grant_again *again;

    worker_touch(w);
    if (!call->err)
        grants_put(grant_ask_take(w, a->user_id, a->mark, &a->stamp, call->results[0]));
    again = grant_cache_again(w->grants, a->user_id, a->mark);
    if (again && again->question == a->question)
        again->is_under_way = false;
    req_wake_user(w, a->question);
    free(a);
}

/* again: of what is known; NULL = nothing is. */
static void grant_ask_begin(struct worker *w, int64_t user_id, const struct scope *scope,
                            struct grant_again *again)
{
    struct grant_ask *a = calloc(1, sizeof(*a));

    check(a != NULL);
    a->worker = w;
    a->user_id = user_id;
    a->mark = scope->mark;
    str_to_cstr(str_of(scope->workspace), a->workspace, sizeof(a->workspace));
    a->stamp = grant_stamp_now(user_id, w->now_us);
    a->question = auth_question(w);
    a->value.p = a->text;
    a->value.n = (size_t)snprintf(a->text, sizeof(a->text), "%lld", (long long)user_id);
    a->call = (struct sql_call){
        .nsteps = 1, .done = grant_ask_done, .owner = a, .workspace = a->workspace};
    a->call.steps[0] = (struct sql_step){&grant_ask_stmt, &a->value, 1};
    if (again) {
        again->question = a->question;
        again->asked_us = w->now_us;
        again->is_under_way = true;
    }
    sql_call(w->users_sql, &a->call);
}

/* -- changes ----------------------------------------------------------------------------------- */

/* News of one user or of all have moved the counters already, for the whole process. */
static void grant_ask_on_news(void *arg, struct str name)
{
    const struct worker *w = arg;

    if (name.p == NULL && w->now_us > w->settings->auth_ttl)
        grant_cache_doubt(w->grants, w->now_us, w->now_us - w->settings->auth_ttl);
}

void grant_ask_hear(struct worker *w)
{
    news_hear(w, NEWS_GRANTS, grant_ask_on_news, w);
}

void grant_tell(struct worker *w, int64_t user_id)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%lld", (long long)user_id);

    grants_changed(user_id);
    news_tell(w, NEWS_GRANTS, (struct str){text, (size_t)n});
}

void grant_tell_all(struct worker *w)
{
    grants_changed_all();
    news_tell(w, NEWS_GRANTS, STR(""));
}

/* -- who asks ---------------------------------------------------------------------------------- */

void grant_ask_early(struct worker *w, int64_t user_id)
{
    static const struct scope all = {SCOPE_DEFAULT, 0};

    /* With workspaces it is not known yet in which one the user will ask for something. */
    if (w->users_sql && !w->workspaces && !grant_cache_again(w->grants, user_id, 0))
        grant_ask_begin(w, user_id, &all, NULL);
}

struct grants *grant_ask_stale(struct req *r)
{
    const struct settings *s = r->worker->settings;

    return grant_cache_recall(r->worker->grants, r->user->id, r->scope.mark, r->worker->now_us,
                              s->auth_ttl + s->auth_grace);
}

struct grants *grant_ask_known(struct req *r, req_step next, bool *waits)
{
    struct worker *w = r->worker;
    struct grants *known = grant_ask_stale(r);
    struct grant_again *again;
    uint64_t age_us;
    bool is_fresh;

    *waits = false;
    if (!known)
        return NULL;
    again = grant_cache_again(w->grants, r->user->id, r->scope.mark);
    age_us = w->now_us - again->seen_us;
    is_fresh = again->seen_us >= r->started_us || age_us < w->settings->auth_ttl;
    if (again->seen_us < r->started_us && age_us >= w->settings->auth_ttl / 2 &&
        !again->is_under_way && w->users_sql && w->now_us - again->asked_us >= AWAY_US)
        grant_ask_begin(w, r->user->id, &r->scope, again);
    *waits = !is_fresh && again->is_under_way && w->now_us - again->asked_us < PATIENCE_US &&
             w->users_sql && sql_is_up(w->users_sql);
    if (!*waits)
        return known;
    req_wait_user(r, again->question, again->asked_us + PATIENCE_US, next);
    return NULL;
}
