/*
 * guard: MLflow 3.17's security middleware, rule by rule.
 *
 *   1. Host must match the list (fnmatch on the raw field, port included, when an entry holds a
 *      '*', else the same bytes); /health and /version are exempt. 403.
 *   2. A CORS preflight is answered here: 200 OK for an origin that is allowed, else 400.
 *   3. Any Origin gets the CORS headers of a simple answer.
 *   4. A changing method on an API path with a foreign Origin: 403.
 *   5. A workspace header that is not blank: 500 FEATURE_DISABLED, server-info excepted.
 *
 * The list holds globs, so matching it costs as much as parsing the request; the last Host that
 * passed is remembered by the worker, and nearly every request has the same one.
 */
#include "gateway/guard.h"

#include <fnmatch.h>
#include <string.h>

#include "gateway/conn.h"
#include "gateway/reply.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"

#define TEXT_PLAIN "text/plain"
#define DEFAULT_HOSTS                                                                              \
    "localhost,127.0.0.1,[::1],0.0.0.0,localhost:*,127.0.0.1:*,[[]::1]:*,0.0.0.0:*,192.168.*,10.*" \
    ","                                                                                            \
    "172.16.*,172.17.*,172.18.*,172.19.*,172.20.*,172.21.*,172.22.*,172.23.*,172.24.*,172.25.*,"   \
    "172.26.*,172.27.*,172.28.*,172.29.*,172.30.*,172.31.*,fc00:*,fd00:*"
#define CORS_METHODS     "GET, POST, PUT, DELETE, OPTIONS, PATCH"
#define CHANGING_METHODS (HTTP_M_POST | HTTP_M_PUT | HTTP_M_DELETE | HTTP_M_PATCH)

enum { MATCH_GLOBS, MATCH_EXACT };

/* -- lists ----------------------------------------------------------------------------------- */

/* Does value match an entry of the comma list? "*" alone matches all. */
static bool guard_list_has(struct str list, struct str value, int how)
{
    char text[512], glob[512];

    if (value.n >= sizeof(text))
        return false;
    str_to_cstr(value, text, sizeof(text));
    while (list.n) {
        struct str entry = str_trim(str_cut(&list, ','));

        if (str_eq(entry, STR("*")) || str_eq(entry, value))
            return true;
        if (how == MATCH_EXACT || entry.n >= sizeof(glob) || str_find(entry, '*') == entry.n)
            continue;
        str_to_cstr(entry, glob, sizeof(glob));
        if (fnmatch(glob, text, FNM_NOESCAPE) == 0)
            return true;
    }
    return false;
}

/* Is "*" itself an entry? */
static bool guard_list_is_open(struct str list)
{
    while (list.n) {
        if (str_eq(str_trim(str_cut(&list, ',')), STR("*")))
            return true;
    }
    return false;
}

/* -- paths ----------------------------------------------------------------------------------- */

static bool guard_path_is(const struct req *r, const char *path)
{
    struct str prefix = str_of(r->worker->settings->static_prefix);
    struct str p = r->head->path;

    return str_starts(p, prefix) && str_eq(str_skip(p, prefix.n), str_of(path));
}

static bool guard_is_api(const struct req *r)
{
    struct str prefix = str_of(r->worker->settings->static_prefix);
    struct str p = r->head->path;

    if (str_starts(p, STR("/api/2.0/mlflow-artifacts/artifacts")) ||
        str_starts(p, STR("/ajax-api/2.0/mlflow-artifacts/artifacts")))
        return true;
    if (!str_starts(p, prefix))
        return false;
    p = str_skip(p, prefix.n);
    return str_starts(p, STR("/api/")) || str_starts(p, STR("/ajax-api/"));
}

/* -- host ------------------------------------------------------------------------------------ */

static bool guard_host_is_good(const struct req *r)
{
    struct worker_net *net = r->worker->net;
    struct str list = str_of(r->worker->settings->allowed_hosts);
    struct str host = r->head->host;

    if (host.n && host.n == net->good_host_len && memcmp(host.p, net->good_host, host.n) == 0)
        return true;
    if (guard_path_is(r, "/health") || guard_path_is(r, "/version") || guard_list_is_open(list))
        return true;
    if (host.n == 0 || !guard_list_has(list.n ? list : STR(DEFAULT_HOSTS), host, MATCH_GLOBS))
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

/* The host of an origin, as Python's urlparse finds it; empty when there is none. */
static struct str guard_origin_host(struct str origin)
{
    struct str s = origin;
    size_t n = str_find(s, ':');

    if (!str_starts(s, STR("//")))
        s = str_skip(s, n + 1);
    if (!str_starts(s, STR("//")))
        return STR("");
    s = str_skip(s, 2);
    for (n = 0; n < s.n && s.p[n] != '/' && s.p[n] != '?' && s.p[n] != '#'; n++)
        ;
    s = str_head(s, n);
    while (str_find(s, '@') < s.n)
        str_cut(&s, '@');
    if (s.n && s.p[0] == '[')
        return str_head(str_skip(s, 1), str_find(str_skip(s, 1), ']'));
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
    struct str list = str_of(r->worker->settings->cors_allowed_origins);

    return guard_origin_is_plain_localhost(r->head->origin) ||
           guard_list_has(list, r->head->origin, MATCH_EXACT);
}

/* May a page of that origin write? */
static bool guard_origin_may_write(const struct req *r)
{
    struct str list = str_of(r->worker->settings->cors_allowed_origins);

    return r->head->origin.n == 0 || guard_is_localhost(guard_origin_host(r->head->origin)) ||
           guard_list_has(list, r->head->origin, MATCH_GLOBS);
}

static void guard_add_origin(struct req *r, bool is_open)
{
    if (is_open)
        reply_header(r, "access-control-allow-origin", "*");
    else if (guard_origin_is_echoed(r))
        reply_header(r, "access-control-allow-origin", "%.*s", STR_ARG(r->head->origin));
}

static bool guard_method_is_shared(struct str method)
{
    struct str list = STR(CORS_METHODS);

    while (list.n) {
        if (str_eq(str_trim(str_cut(&list, ',')), method))
            return true;
    }
    return false;
}

static void guard_answer_preflight(struct req *r, bool is_open)
{
    bool is_origin_good = is_open || guard_origin_is_echoed(r);
    bool is_method_good = guard_method_is_shared(r->head->preflight_method);
    const char *text = is_origin_good   ? "Disallowed CORS method"
                       : is_method_good ? "Disallowed CORS origin"
                                        : "Disallowed CORS origin, method";

    guard_add_origin(r, is_open);
    reply_header(r, "access-control-allow-methods", CORS_METHODS);
    reply_header(r, "access-control-max-age", "600");
    if (!is_open)
        reply_header(r, "access-control-allow-credentials", "true");
    if (r->head->preflight_headers.n)
        reply_header(r, "access-control-allow-headers", "%.*s",
                     STR_ARG(r->head->preflight_headers));
    if (is_origin_good && is_method_good)
        (void)reply_text(r, 200, TEXT_PLAIN, STR("OK"));
    else
        (void)reply_text(r, 400, TEXT_PLAIN, str_of(text));
}

/* -- all of it ------------------------------------------------------------------------------- */

static bool guard_admits_origin(struct req *r)
{
    bool is_open = guard_list_is_open(str_of(r->worker->settings->cors_allowed_origins));

    if (r->head->method == HTTP_M_OPTIONS && r->head->preflight_method.n) {
        guard_answer_preflight(r, is_open);
        return false;
    }
    if (!is_open)
        reply_header(r, "access-control-allow-credentials", "true");
    reply_header(r, "access-control-expose-headers", "*");
    guard_add_origin(r, is_open);
    if (!is_open && (r->head->method & CHANGING_METHODS) && guard_is_api(r) &&
        !guard_origin_may_write(r)) {
        (void)reply_text(r, 403, TEXT_PLAIN, STR("Cross-origin request blocked"));
        return false;
    }
    return true;
}

bool guard_admits(struct req *r)
{
    if (r->conn->where == ON_ADMIN)
        return true; /* probes and scrapers come with any name; nothing there can be changed */
    if (!guard_host_is_good(r)) {
        (void)reply_text(r, 403, TEXT_PLAIN,
                         STR("Invalid Host header - possible DNS rebinding attack detected"));
        return false;
    }
    if (r->head->has_origin && !guard_admits_origin(r))
        return false;
    if (str_trim(r->head->workspace).n && !str_ends(r->head->path, STR("/mlflow/server-info"))) {
        (void)reply_text(
            r, 500, "application/json",
            STR("{\"error_code\":\"FEATURE_DISABLED\",\"message\":\"Workspace APIs are "
                "not available: workspaces are not enabled on this server\","
                "\"sqlstate\":\"KAM00\",\"error_class\":\"FEATURE_DISABLED\"}"));
        return false;
    }
    return true;
}
