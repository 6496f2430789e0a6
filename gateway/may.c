/*
 * may: every user may do everything.
 */
#include "gateway/may.h"

err_t may_check(struct req *r, req_step next)
{
    return next(r, r->fail);
}
