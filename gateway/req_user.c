/*
 * req_user: the list of requests that wait until it is known who sent them, and the users' database.
 *
 * Several wait for one question; whoever is woken looks again, and may wait once more, at the end of the
 * list: so a walk goes as far as the list was long when it began.
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
    struct req *r = w->users_asked.first;

    for (unsigned n = w->users_asked.count; n > 0; n--) {
        struct req *after = r->list_next;

        if (r->wait_question == question)
            req_wake(r);
        r = after;
    }
}

void req_expire_users(struct worker *w)
{
    struct req *r = w->users_asked.first;

    for (unsigned n = w->users_asked.count; n > 0; n--) {
        struct req *after = r->list_next;

        if (r->wait_until_us <= w->now_us)
            req_wake(r);
        r = after;
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
