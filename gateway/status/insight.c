/*
 * insight: on admin_listen everybody may, who can reach it. On listen those who are asked who they are
 * must be admins, as for a stock server's /metrics; and with status_on_listen = false nothing is there.
 */
#include "gateway/status/insight.h"

#include "gateway/http/conn.h"
#include "gateway/http/reply.h"
#include "gateway/worker.h"
#include "schema/errors.h"

bool insight_admits(struct req *r, err_t *e, struct fail *f)
{
    if (r->conn->where == ON_ADMIN)
        return true;
    if (!r->worker->settings->status_on_listen) {
        *e = fail(f, ERR_NO_ENDPOINT, "There is no endpoint at %.*s.",
                  STR_ARG(str_head(r->head->path, 200)));
        return false;
    }
    if (r->user == NULL || r->user->is_admin)
        return true;
    stat_add(r->worker->stats, may_refused, 1);
    *e = reply_text(r, 403, "text/html; charset=utf-8", STR("Permission denied"));
    return false;
}
