/*
 * api_unknown: the answer to a request for which there is no row: OPTIONS, 405 or 404.
 */
#include "gateway/api/api.h"
#include "gateway/http/conn.h"
#include "gateway/http/guard.h"
#include "gateway/http/reply.h"
#include "gateway/worker.h"
#include "schema/errors.h"

static err_t unknown_options(struct req *r, unsigned allowed)
{
    bool is_api = guard_is_api(r) || str_eq(r->head->path, STR("*"));

    if (r->worker->policy->is_off)
        is_api = false; /* the 204 is the middleware's */
    reply_allow(r, allowed);
    return reply_text(r, is_api ? 204 : 200, "text/html; charset=utf-8", STR(""));
}

err_t api_unknown(struct req *r, struct fail *f)
{
    const struct http_head *d = r->head;
    unsigned allowed;

    (void)route_find(d->method, d->path, r->conn->where, &allowed);
    if (d->method == HTTP_M_OPTIONS && str_eq(d->path, STR("*")))
        allowed = HTTP_M_GET | HTTP_M_HEAD | HTTP_M_OPTIONS | HTTP_M_POST;
    if (allowed && d->method == HTTP_M_OPTIONS)
        return unknown_options(r, allowed);
    if (allowed == 0)
        return fail(f, ERR_NO_ENDPOINT, "There is no endpoint at %.*s.",
                    STR_ARG(str_head(d->path, 200)));
    reply_allow(r, allowed);
    return fail(f, ERR_BAD_METHOD, "The method %.*s is not allowed for this path.",
                STR_ARG(d->method_text));
}
