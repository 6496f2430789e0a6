/*
 * target: an URL taken apart, resolved once.
 *
 * The headers are those of MLflow's Python client as far as a server may look at them.
 */
#include "loadtest/target.h"

#include <netdb.h>
#include <string.h>

#include "base/base64.h"
#include "schema/errors.h"

static err_t target_resolve(struct target *t, struct str host, struct str port, struct fail *f)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char name[256];
    char service[16];
    int e;

    str_to_cstr(host, name, sizeof(name));
    str_to_cstr(port, service, sizeof(service));
    e = getaddrinfo(name, service, &hints, &found);
    if (e)
        return fail(f, ERR_SETTING, "cannot resolve %s:%s: %s", name, service, gai_strerror(e));
    memcpy(&t->address, found->ai_addr, found->ai_addrlen);
    t->address_len = found->ai_addrlen;
    freeaddrinfo(found);
    return OK;
}

/* The place of the last colon that divides host and port, or host.n. */
static size_t port_at(struct str host)
{
    for (size_t i = host.n; i > 0 && host.p[i - 1] != ']'; i--) {
        if (host.p[i - 1] == ':')
            return i - 1;
    }
    return host.n;
}

err_t target_open(struct target *t, struct str url, struct arena *a, struct fail *f)
{
    struct str rest = url;
    struct str host;
    struct str login = STR("");
    struct str port;
    size_t slash;

    *t = (struct target){.is_secure = str_starts(url, STR("https://"))};
    if (!t->is_secure && !str_starts(url, STR("http://")))
        return fail(f, ERR_SETTING, "setting url = \"%.*s\": must begin with http:// or https://",
                    STR_ARG(url));
    port = t->is_secure ? STR("443") : STR("80");
    rest = str_skip(rest, t->is_secure ? sizeof("https://") - 1 : sizeof("http://") - 1);
    slash = str_find(rest, '/');
    host = str_head(rest, slash);
    t->prefix = str_skip(rest, slash);
    while (str_ends(t->prefix, STR("/")))
        t->prefix.n--;
    t->prefix = arena_dup(a, t->prefix);
    if (str_find(host, '@') < host.n)
        login = str_cut(&host, '@');
    t->common = arena_printf(a,
                             "Host: %.*s\r\nUser-Agent: sluice-loadtest\r\n"
                             "X-MLflow-Client-Version: 3.17.2\r\nAccept: */*\r\n",
                             STR_ARG(host));
    if (login.n)
        t->common = arena_printf(a, "%.*sAuthorization: Basic %.*s\r\n", STR_ARG(t->common),
                                 STR_ARG(base64_encode(a, login)));
    if (port_at(host) < host.n) {
        port = str_skip(host, port_at(host) + 1);
        host.n = port_at(host);
    }
    if (str_starts(host, STR("[")) && str_ends(host, STR("]")))
        host = str_head(str_skip(host, 1), host.n - 2);
    t->host = arena_cstr(a, host);
    return target_resolve(t, host, port, f);
}

void target_head(const struct target *t, struct buf *out, struct str method, struct str path,
                 struct str type, size_t body_len)
{
    char digits[24];
    size_t at = sizeof(digits);

    buf_add_str(out, method);
    buf_add_byte(out, ' ');
    buf_add_str(out, t->prefix);
    buf_add_str(out, path);
    buf_add_str(out, STR(" HTTP/1.1\r\n"));
    buf_add_str(out, t->common);
    if (type.n) {
        do {
            digits[--at] = (char)('0' + body_len % 10);
            body_len /= 10;
        } while (body_len);
        buf_add_str(out, STR("Content-Type: "));
        buf_add_str(out, type);
        buf_add_str(out, STR("\r\nContent-Length: "));
        buf_add(out, digits + at, sizeof(digits) - at);
        buf_add_str(out, STR("\r\n"));
    }
    buf_add_str(out, STR("\r\n"));
}
