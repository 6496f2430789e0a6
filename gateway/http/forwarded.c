/*
 * forwarded: uvicorn's rules, which are stock MLflow's (proxy_headers, --forwarded-allow-ips).
 *
 *   For     All fields together are one list; each proxy adds the address that it saw at the end. Read from there, the
 *           first address that is no trusted proxy is the client; when all are trusted, the first
 *           of all is. With trusted_proxies = * that is the first too, which the client may have
 *           written: such a listener must be out of clients' reach. An address may have a port.
 *   Proto   "http" or "https"; the last field counts, anything else is passed over.
 *
 * uvicorn looks at no other. For the URL of a redirect we also take
 *
 *   Host    what the client called the proxy, when it can be a host
 *   Prefix  what the proxy has cut off the path, when it is a plain path
 *
 * Neither has a say in which requests are let in: allowed_hosts is about the Host field, as in stock.
 *
 * Where uvicorn takes any text for a client ("unknown", "_hidden"), the peer's own address stands here:
 * limits go by it, and a text that the client chooses would be a way around them.
 */
#include "gateway/http/forwarded.h"

#include <string.h>

#include "gateway/auth/policy.h"
#include "gateway/http/conn.h"
#include "gateway/http/tls_io.h"
#include "gateway/worker.h"

/* The host of "1.2.3.4", "1.2.3.4:80", "[::1]:80", "::1"; as it is when it is none of these. */
static struct str forwarded_host_part(struct str text)
{
    size_t colon = str_find(text, ':');
    uint64_t port;

    if (text.n && text.p[0] == '[') {
        size_t end = str_find(text, ']');
        struct str rest = str_skip(text, end + 1);

        if (end == text.n || (rest.n && rest.p[0] != ':'))
            return text;
        return str_head(str_skip(text, 1), end - 1);
    }
    if (colon < text.n && str_find(str_skip(text, colon + 1), ':') == text.n - colon - 1 &&
        str_to_u64(str_skip(text, colon + 1), &port))
        return str_head(text, colon);
    return text;
}

/* The last entry of *list, which is cut off. */
static struct str forwarded_cut_last(struct str *list)
{
    size_t at = list->n;
    struct str last;

    while (at > 0 && list->p[at - 1] != ',')
        at--;
    last = str_skip(*list, at);
    *list = str_head(*list, at ? at - 1 : 0);
    return str_trim(last);
}

/* The entry that names the client; false when it is no address. */
static bool forwarded_find_client(const struct policy *p, const struct http_head *d,
                                  uint8_t out[NET_BYTES])
{
    bool is_address = false;

    for (unsigned i = d->forwarded_for_count; i-- > 0;) {
        struct str list = d->forwarded_for[i];

        do {
            struct str host = forwarded_host_part(forwarded_cut_last(&list));

            is_address = net_parse_address(host, out);
            if (!p->trusts_all && !(is_address && policy_trusts(p, out)))
                return is_address;
        } while (list.n);
    }
    return is_address;
}

/* Is the peer a proxy that may speak for others? */
static bool forwarded_is_trusted(const struct req *r)
{
    const struct policy *p = r->worker->policy;
    uint8_t peer[NET_BYTES];

    return p->trusts_all ||
           (p->proxies_count && conn_peer(r->conn, peer) && policy_trusts(p, peer));
}

bool forwarded_client(const struct req *r, uint8_t out[NET_BYTES])
{
    const struct policy *p = r->worker->policy;
    uint8_t client[NET_BYTES];

    if (!conn_peer(r->conn, out))
        return false;
    if (r->head->forwarded_for_count && policy_trusts(p, out) &&
        forwarded_find_client(p, r->head, client))
        memcpy(out, client, NET_BYTES);
    return true;
}

bool forwarded_is_https(const struct req *r)
{
    struct str proto = r->head->forwarded_proto;

    if (proto.n && forwarded_is_trusted(r)) {
        if (str_eq(proto, STR("https")) || str_eq(proto, STR("wss")))
            return true;
        if (str_eq(proto, STR("http")) || str_eq(proto, STR("ws")))
            return false;
    }
    return tls_is_on(r->conn);
}

/* A path of plain bytes, so that it can stand in a Location as it is: "/" and more, no end slash. */
static bool forwarded_is_prefix(struct str s)
{
    if (s.n < 2 || s.p[0] != '/' || s.p[1] == '/' || s.p[s.n - 1] == '/')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f || strchr("\"#<>?\\^`{|}", s.p[i]))
            return false;
    }
    return true;
}

struct str forwarded_url(struct req *r, struct str path)
{
    const struct http_head *d = r->head;
    bool is_trusted = forwarded_is_trusted(r);
    struct str host = is_trusted && d->forwarded_host.n ? d->forwarded_host : d->host;
    struct str prefix =
        is_trusted && forwarded_is_prefix(d->forwarded_prefix) ? d->forwarded_prefix : STR("");

    if (!http_is_authority(host))
        host = d->host;
    return arena_printf(&r->arena, "%s://%.*s%.*s%.*s", forwarded_is_https(r) ? "https" : "http",
                        STR_ARG(host), STR_ARG(prefix), STR_ARG(path));
}
