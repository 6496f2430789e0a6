/*
 * guard: MLflow 3.17's security middleware, rule by rule, in the order of its layers.
 *
 *   1. A workspace header that workspaces are off for, or that is no name (workspace.c).
 *   2. Host must match the list (policy.c); /health and /version are exempt, and so are /livez and
 *      /readyz, which MLflow has not: a load balancer asks by address, or names nobody. 403.
 *   3. A CORS preflight is answered here: 200 OK for an origin that is allowed, else 400.
 *   4. Any Origin gets the CORS headers of a simple answer.
 *   5. A changing method on an API path with a foreign Origin: 403.
 *   6. What is answered further in carries nosniff and X-Frame-Options; what a layer before that
 *      has refused does not.
 *
 * disable_security_middleware takes 2 to 6 away. Paths are those behind static_prefix, but for the
 * artifacts', which stock serves without it as well. One with two slashes in front is judged like
 * the one that is served.
 *
 * The list holds globs, so matching it costs as much as parsing the request; the last Host that
 * passed is remembered by the worker, and nearly every request has the same one.
 */
#include "gateway/http/guard.h"

#include <string.h>

#include "gateway/auth/policy.h"
#include "gateway/auth/workspace.h"
#include "gateway/http/conn.h"
#include "gateway/http/reply.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"

#define TEXT_PLAIN       "text/plain"
#define CORS_METHODS     "GET, POST, PUT, DELETE, OPTIONS, PATCH"
#define CORS_ALL_METHODS "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY"
#define CHANGING_METHODS (HTTP_M_POST | HTTP_M_PUT | HTTP_M_DELETE | HTTP_M_PATCH)
#define FRAMEABLE_PATH   "/static-files/lib/notebook-trace-renderer"

static const struct policy *guard_policy(const struct req *r)
{
    return r->worker->policy;
}

/* -- paths ----------------------------------------------------------------------------------- */

static bool guard_path_is(const struct req *r, const char *path)
{
    struct str prefix = guard_policy(r)->prefix;
    struct str p = r->head->path;

    return str_starts(p, prefix) && str_eq(str_skip(p, prefix.n), str_of(path));
}

bool guard_is_api(const struct req *r)
{
    struct str prefix = guard_policy(r)->prefix;
    struct str p = r->head->path;

    if (str_starts(p, STR("/api/2.0/mlflow-artifacts/artifacts")) ||
        str_starts(p, STR("/ajax-api/2.0/mlflow-artifacts/artifacts")))
        return true;
    if (!str_starts(p, prefix) || str_eq(p, STR("/api/test")))
        return false;
    p = str_skip(p, prefix.n);
    return str_starts(p, STR("/api/")) || str_starts(p, STR("/ajax-api/"));
}

/* -- host ------------------------------------------------------------------------------------ */

/* Probes; ours do not stand below the prefix. */
static bool guard_is_for_any_host(const struct req *r)
{
    struct str path = r->head->path;

    return guard_path_is(r, "/health") || guard_path_is(r, "/version") ||
           str_eq(path, STR("/livez")) || str_eq(path, STR("/readyz"));
}

static bool guard_host_is_good(const struct req *r)
{
    struct worker_net *net = r->worker->net;
    const struct policy *p = guard_policy(r);
    struct str host = r->head->host;

    if (host.n && host.n == net->good_host_len && memcmp(host.p, net->good_host, host.n) == 0)
        return true;
    if (p->is_any_host || guard_is_for_any_host(r))
        return true;
    if (host.n == 0 || !policy_list_has(p->hosts, host))
        return false;
    if (host.n <= sizeof(net->good_host)) {
        memcpy(net->good_host, host.p, host.n);
        net->good_host_len = host.n;
    }
    return true;
}

/* -- origin ---------------------------------------------------------------------------------- */

static bool guard_is_localhost(struct str host)
{
    return str_ieq(host, STR("localhost")) || str_eq(host, STR("127.0.0.1")) ||
           str_eq(host, STR("::1"));
}

/* Cuts "scheme:" off, where one stands there. */
static struct str guard_skip_scheme(struct str s)
{
    size_t n = str_find(s, ':');

    for (size_t i = 0; i < n; i++) {
        bool is_letter = (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z');
        bool is_other = (s.p[i] >= '0' && s.p[i] <= '9') || strchr("+-.", s.p[i]);

        if (!is_letter && (i == 0 || !is_other))
            return s;
    }
    return n ? str_skip(s, n + 1) : s;
}

/* The host of an origin, as Python's urlparse finds it; empty when there is none. Where brackets stand
 * otherwise than around all of a host, none is found: "http://[::1]evil.example" is no local page,
 * though Python before 3.11.4 has it for one. */
static struct str guard_origin_host(struct str origin)
{
    struct str s = guard_skip_scheme(origin);
    size_t n;

    if (!str_starts(s, STR("//")))
        return STR("");
    s = str_skip(s, 2);
    for (n = 0; n < s.n && s.p[n] != '/' && s.p[n] != '?' && s.p[n] != '#'; n++)
        ;
    s = str_head(s, n);
    while (str_find(s, '@') < s.n)
        str_cut(&s, '@');
    if (s.n && s.p[0] == '[') {
        n = str_find(s, ']');
        if (n == s.n || (n + 1 < s.n && s.p[n + 1] != ':'))
            return STR("");
        s = str_head(str_skip(s, 1), n - 1);
        return str_find(s, ':') < s.n ? s : STR(""); /* a name stands in no brackets */
    }
    if (str_find(s, '[') < s.n || str_find(s, ']') < s.n)
        return STR("");
    return str_head(s, str_find(s, ':'));
}

/* http://localhost, with or without a port: the only local origins that are echoed. */
static bool guard_origin_is_plain_localhost(struct str origin)
{
    static const struct str hosts[] = {STR_INIT("http://localhost"), STR_INIT("http://127.0.0.1"),
                                       STR_INIT("http://[::1]")};

    for (size_t i = 0; i < array_len(hosts); i++) {
        struct str port = str_skip(origin, hosts[i].n);

        if (!str_starts(origin, hosts[i]))
            continue;
        if (port.n == 0)
            return true;
        if (port.p[0] != ':' || port.n == 1)
            continue;
        while (port.n > 1 && port.p[port.n - 1] >= '0' && port.p[port.n - 1] <= '9')
            port.n--;
        if (port.n == 1)
            return true;
    }
    return false;
}

/* May a page of that origin read answers? Globs do not count here, as in MLflow. */
static bool guard_origin_is_echoed(const struct req *r)
{
    return guard_origin_is_plain_localhost(r->head->origin) ||
           policy_list_names(guard_policy(r)->origins, r->head->origin);
}

/* May a page of that origin write? */
static bool guard_origin_may_write(const struct req *r)
{
    return r->head->origin.n == 0 || guard_is_localhost(guard_origin_host(r->head->origin)) ||
           policy_list_has(guard_policy(r)->origins, r->head->origin);
}

static void guard_add_origin(struct req *r)
{
    if (guard_policy(r)->is_any_origin)
        reply_header(r, "access-control-allow-origin", "*");
    else if (guard_origin_is_echoed(r))
        reply_header(r, "access-control-allow-origin", "%.*s", STR_ARG(r->head->origin));
}

/* What a layer has refused or answered: without the lines of those behind it. */
static void guard_answer(struct req *r, enum policy_lines lines, int status, const char *type,
                         struct str body)
{
    r->reply.lines = lines;
    (void)reply_text(r, status, type, body);
}

static void guard_answer_preflight(struct req *r)
{
    bool is_open = guard_policy(r)->is_any_origin;
    struct str methods = is_open ? STR(CORS_ALL_METHODS) : STR(CORS_METHODS);
    char failed[64] = "";

    if (!is_open && !guard_origin_is_echoed(r))
        strcat(failed, ", origin");
    if (!policy_list_names(methods, r->head->preflight_method))
        strcat(failed, ", method");
    if (r->head->has_private_network)
        strcat(failed, ", private-network");
    reply_header(r, "vary",
                 "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, "
                 "Access-Control-Request-Private-Network");
    guard_add_origin(r);
    reply_header(r, "access-control-allow-methods", "%.*s", STR_ARG(methods));
    reply_header(r, "access-control-max-age", "600");
    if (!is_open)
        reply_header(r, "access-control-allow-credentials", "true");
    if (r->head->has_preflight_headers)
        reply_header(r, "access-control-allow-headers", "%.*s",
                     STR_ARG(r->head->preflight_headers));
    if (failed[0] == '\0') {
        guard_answer(r, LINES_BARE, 200, TEXT_PLAIN "; charset=utf-8", STR("OK"));
        return;
    }
    guard_answer(r, LINES_BARE, 400, TEXT_PLAIN "; charset=utf-8",
                 arena_printf(&r->arena, "Disallowed CORS %s", failed + 2));
}

static bool guard_admits_origin(struct req *r)
{
    bool is_open = guard_policy(r)->is_any_origin;

    if (r->head->method == HTTP_M_OPTIONS && r->head->has_preflight_method) {
        guard_answer_preflight(r);
        return false;
    }
    if (!is_open)
        reply_header(r, "access-control-allow-credentials", "true");
    reply_header(r, "access-control-expose-headers", "*");
    guard_add_origin(r);
    if (!is_open && (r->head->method & CHANGING_METHODS) && guard_is_api(r) &&
        !guard_origin_may_write(r)) {
        guard_answer(r, LINES_VARY, 403, TEXT_PLAIN, STR("Cross-origin request blocked"));
        return false;
    }
    return true;
}

/* -- all of it ------------------------------------------------------------------------------- */

bool guard_admits(struct req *r)
{
    if (r->conn->where == ON_ADMIN)
        return true; /* probes and scrapers come with any name; nothing there can be changed */
    if (!workspace_admits_head(r))
        return false;
    if (guard_policy(r)->is_off)
        return true;
    if (!guard_host_is_good(r)) {
        guard_answer(r, LINES_BARE, 403, TEXT_PLAIN,
                     STR("Invalid Host header - possible DNS rebinding attack detected"));
        return false;
    }
    if (r->head->has_origin && !guard_admits_origin(r))
        return false;
    if (str_starts(r->head->path, STR(FRAMEABLE_PATH)))
        r->reply.lines = LINES_FRAMEABLE;
    return true;
}
