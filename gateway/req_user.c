/*
 * req_user: the list of requests that wait until it is known who sent them, and the users' database.
 *
 * Several wait for one question; whoever is woken looks again, and may wait once more.
 */
#include "gateway/req_user.h"

#include "gateway/req_park.h"
#include "gateway/req_steps.h"
#include "gateway/worker.h"

void req_wait_user(struct req *r, uint64_t question, uint64_t until_us, req_step next)
{
    req_park(r, PARK_USER, until_us, next);
    r->wait_question = question;
}

void req_wake_user(struct worker *w, uint64_t question)
{
    struct parked_walk walk = req_walk(&w->users_asked);
    struct req *r;

    while ((r = req_walk_next(&walk))) {
        if (r->wait_question == question)
            req_wake(r);
    }
}

void req_expire_users(struct worker *w)
{
    struct parked_walk walk = req_walk(&w->users_asked);
    struct req *r;

    while ((r = req_walk_next(&walk))) {
        if (r->wait_until_us <= w->now_us)
            req_wake(r);
    }
}

err_t req_users_sql(struct req *r, const struct sql_step *steps, unsigned n, req_step next)
{
    return req_sql_start(r, r->worker->users_sql, steps, n, false, next);
}

err_t req_users_sql_try(struct req *r, const struct sql_step *steps, unsigned n, req_step next)
{
    return req_sql_start(r, r->worker->users_sql, steps, n, true, next);
}

bool req_users_are_here(const struct req *r)
{
    return r->worker->users_sql == r->worker->sql;
}
