/*
 * may: may this user do what the request asks for?
 *
 * The step between auth_admit and the handler, on the worker's thread. r->user is NULL when nobody was
 * asked who it is (auth = none, or an open path): then everything is allowed.
 */
#ifndef GATEWAY_MAY_H
#define GATEWAY_MAY_H

#include "gateway/req.h"

/* next follows when it is allowed; else the answer is MLflow's 403. */
must_check err_t may_check(struct req *r, req_step next);

#endif
