/*
 * api_unrouted: what has no row: OPTIONS of a path, another method than it has, no such path.
 *
 * Where callers are asked who they are it is a handler like others, behind those questions: only an admin
 * learns which paths there are. Where nobody is asked it is called at the head, and no body is read.
 */
#include "gateway/api.h"

#include "gateway/conn.h"
#include "gateway/reply.h"
#include "gateway/route.h"
#include "gateway/worker.h"
#include "schema/errors.h"

static err_t unrouted_options(struct req *r, unsigned allowed)
{
    struct str prefix = str_of(r->worker->settings->static_prefix);
    struct str path = str_skip(r->head->path, prefix.n);
    bool is_api = str_starts(path, STR("/api/")) || str_starts(path, STR("/ajax-api/")) ||
                  str_eq(r->head->path, STR("*"));

    reply_allow(r, allowed);
    return reply_text(r, is_api ? 204 : 200, "text/html; charset=utf-8", STR(""));
}

err_t api_unrouted(struct req *r, struct fail *f)
{
    const struct http_head *d = r->head;
    unsigned allowed;

    (void)route_find(d->method, d->path, r->conn->where, &allowed);
    if (d->method == HTTP_M_OPTIONS && str_eq(d->path, STR("*")))
        allowed = HTTP_M_GET | HTTP_M_HEAD | HTTP_M_OPTIONS | HTTP_M_POST;
    if (allowed && d->method == HTTP_M_OPTIONS)
        return unrouted_options(r, allowed);
    if (!allowed)
        return fail(f, ERR_NO_ENDPOINT, "There is no endpoint at %.*s.",
                    STR_ARG(str_head(d->path, 200)));
    reply_allow(r, allowed);
    return fail(f, ERR_BAD_METHOD, "The method %.*s is not allowed for this path.",
                STR_ARG(d->method_text));
}
