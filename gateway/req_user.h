/*
 * req_user: how a request waits until it is known who sent it. The worker's thread.
 */
#ifndef GATEWAY_REQ_USER_H
#define GATEWAY_REQ_USER_H

#include "gateway/req.h"

/* The request waits for the question of that number; next follows once it is settled, or at until_us. */
void req_wait_user(struct req *r, uint64_t question, uint64_t until_us, req_step next);
/* Everybody who waits for it goes on. */
void req_wake_user(struct worker *w, uint64_t question);
/* The timer: those whose time is over look again, and find whether they have waited long enough. */
void req_expire_users(struct worker *w);
/* As req_sql and req_sql_try, in the database of the users. */
must_check err_t req_users_sql(struct req *r, const struct sql_step *steps, unsigned n,
                               req_step next);
must_check err_t req_users_sql_try(struct req *r, const struct sql_step *steps, unsigned n,
                                   req_step next);
/* Do the users stand in the database of the experiments? Then one transaction can write both. */
bool req_users_are_here(const struct req *r);

#endif
