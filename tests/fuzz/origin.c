/*
 * origin: what a peer says of where it comes from: Origin, X-Forwarded-For; and the lists that judge it.
 *
 * Input: a list of hosts or origins, a line; an Origin, a line; a network, a line; X-Forwarded-For.
 */
#include "gateway/http/forwarded.c"
#include "gateway/http/guard.c"

#include "base/glob.h"
#include "tests/fuzz/fuzz.h"

enum { SLOW_BYTES = 20, SLOW_STARS = 4 }; /* what the plain matcher is given */

/* One element of a pattern at a time, with every choice of a star. Sets are left to glob.c. */
static bool plain_matches(struct str p, struct str t)
{
    if (p.n == 0)
        return t.n == 0;
    if (p.p[0] == '*')
        return plain_matches(str_skip(p, 1), t) || (t.n && plain_matches(p, str_skip(t, 1)));
    return t.n && (p.p[0] == '?' || p.p[0] == t.p[0]) &&
           plain_matches(str_skip(p, 1), str_skip(t, 1));
}

static void check_glob(struct str pattern, struct str text)
{
    size_t stars = 0;

    for (size_t i = 0; i < pattern.n; i++)
        stars += pattern.p[i] == '*';
    if (str_find(pattern, '[') < pattern.n || pattern.n > SLOW_BYTES || text.n > SLOW_BYTES ||
        stars > SLOW_STARS)
        (void)glob_matches(pattern, text);
    else
        check(glob_matches(pattern, text) == plain_matches(pattern, text));
}

/* A host lies in its origin, behind the slashes, and holds nothing that ends one. */
static void check_origin(struct str origin)
{
    struct str host = guard_origin_host(origin);

    if (host.n == 0)
        return;
    check(host.p >= origin.p + 2 && host.p + host.n <= origin.p + origin.n);
    for (size_t i = 0; i < host.n; i++)
        check(strchr("/?#@[]", host.p[i]) == NULL || host.p[i] == '\0');
    if (guard_origin_is_plain_localhost(origin))
        check(guard_is_localhost(host));
}

static void check_network(struct str text)
{
    struct net n;

    if (!net_parse(text, &n))
        return;
    check(n.bits <= NET_BYTES * 8 && net_has(&n, n.address));
}

/* Who trusts nobody believes the last entry; who trusts all, the first. */
static void check_client(struct str list)
{
    struct policy nobody = {0}, all = {.trusts_all = true};
    struct http_head head = {.forwarded_for = {list}, .forwarded_for_count = 1};
    uint8_t got[NET_BYTES], want[NET_BYTES];
    struct str rest = list, first = str_trim(str_cut(&rest, ',')), last = first;

    while (rest.n)
        last = str_trim(str_cut(&rest, ','));
    if (list.n && list.p[list.n - 1] == ',')
        last = STR("");
    check(forwarded_find_client(&nobody, &head, got) ==
          net_parse_address(forwarded_host_part(last), want));
    if (net_parse_address(forwarded_host_part(last), want))
        check(memcmp(got, want, NET_BYTES) == 0);
    if (net_parse_address(forwarded_host_part(first), want)) {
        check(forwarded_find_client(&all, &head, got));
        check(memcmp(got, want, NET_BYTES) == 0);
    }
}

static void fuzz_one(struct arena *a, struct str in)
{
    struct str list = fuzz_line(&in), origin = fuzz_line(&in), network = fuzz_line(&in);

    (void)a;
    check_glob(list, origin);
    check_origin(origin);
    check_network(network);
    check_client(in);
    if (policy_list_names(list, origin) && str_find(origin, '*') == origin.n)
        check(policy_list_has(list, origin));
}
