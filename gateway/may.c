/*
 * may: every user may do everything. What roles permit is not looked at here, and nobody is refused
 * whose name and password are right.
 */
#include "gateway/may.h"

err_t may_check(struct req *r, req_step next)
{
    return next(r, r->fail);
}
