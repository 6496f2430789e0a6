/*
 * auth_header: an Authorization header as bytes of a peer.
 *
 * Input: the header's value. Credentials that are found, written as a header again, must be found again.
 */
#include "gateway/auth/auth_header.h"

#include "base/base64.h"
#include "tests/fuzz/fuzz.h"

static struct str fuzz_join(struct arena *a, struct str name, struct str password)
{
    char *p = arena_alloc(a, name.n + 1 + password.n);

    memcpy(p, name.p, name.n);
    p[name.n] = ':';
    if (password.n)
        memcpy(p + name.n + 1, password.p, password.n);
    return (struct str){p, name.n + 1 + password.n};
}

static void fuzz_one(struct arena *a, struct str in)
{
    static struct auth_credentials c, again;
    char *copy = fuzz_copy(in);
    struct str header = {copy, in.n}, text = {c.text, sizeof(c.text)};

    if (auth_header_read(header, &c)) {
        struct str joined, rewritten;

        check(auth_header_is_basic(header) && in.n <= AUTH_HEADER_MAX);
        check(fuzz_is_within(c.name, text) && fuzz_is_within(c.password, text));
        check(fuzz_is_utf8(c.name) && fuzz_is_utf8(c.password));
        check(str_find(c.name, ':') == c.name.n);
        joined = fuzz_join(a, c.name, c.password);
        rewritten = base64_encode(a, joined);
        rewritten = arena_printf(a, "basic %.*s", STR_ARG(rewritten));
        if (rewritten.n <= AUTH_HEADER_MAX) {
            check(auth_header_read(rewritten, &again));
            check(str_eq(again.name, c.name) && str_eq(again.password, c.password));
        }
    }
    free(copy);
}
