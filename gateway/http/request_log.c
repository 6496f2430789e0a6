/*
 * request_log: which requests, and what of them.
 *
 *   ts=... level=info at=request_log.c:70 peer=10.0.0.7 msg=request method=POST path=/api/... status=200
 *   us=812 received=134 sent=2 user=alice trace=0af7651916cd43dd8448eb211c80319c
 *
 * The path is as it was sent, without its query: a query may name what nobody else should read. No
 * header, no body. Those of admin_listen, which are probes and scrapes, are left out. A line for each: they do
 * not collapse, and each is a write(2) on the worker's thread, so "all" is for looking into something.
 */
#include "gateway/http/request_log.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "gateway/http/forwarded.h"
#include "gateway/trace/trace.h"
#include "gateway/worker.h"

enum { PATH_MAX_SHOWN = 512, METHOD_MAX_SHOWN = 32 };

static bool request_is_due(const struct conn *c, uint64_t took_us)
{
    const struct settings *s = c->worker->settings;
    const char *which = s->log_requests;

    if (c->where == ON_ADMIN)
        return false;
    if (strcmp(which, "all") == 0 || c->x->req.reply.status >= 500)
        return true;
    return strcmp(which, "slow") == 0 && took_us >= s->slow_request;
}

static struct str request_path(const struct http_head *d)
{
    return str_head(d->target, str_find(d->target, '?'));
}

static void put_peer(struct req *r, char *out, size_t size)
{
    uint8_t address[16];
    char text[INET6_ADDRSTRLEN];

    if (!r->head || !forwarded_client(r, address) ||
        !inet_ntop(AF_INET6, address, text, sizeof(text))) {
        snprintf(out, size, "peer=-");
        return;
    }
    snprintf(out, size, "peer=%s", strncmp(text, "::ffff:", 7) == 0 ? text + 7 : text);
}

void request_log(struct conn *c, uint64_t took_us)
{
    struct req *r = &c->x->req;
    struct str path = r->head ? str_head(request_path(r->head), PATH_MAX_SHOWN) : STR("");
    struct str method = r->head ? str_head(r->head->method_text, METHOD_MAX_SHOWN) : STR("");
    struct str user = r->user ? r->user->name : STR("-");
    char peer[64], trace[40] = "-";

    if (!request_is_due(c, took_us))
        return;
    put_peer(r, peer, sizeof(peer));
    if (r->trace)
        snprintf(trace, sizeof(trace), "%016" PRIx64 "%016" PRIx64, r->trace->span.trace[0],
                 r->trace->span.trace[1]);
    log_each(LOG_INFO, peer, "request",
             "method=%.*s path=%.*s status=%d us=%" PRIu64
             " received=%zu sent=%zu user=%.*s trace=%s",
             STR_ARG(method), STR_ARG(path), r->reply.status, took_us, r->input.body.n,
             c->x->sent_bytes, STR_ARG(user), trace);
}
