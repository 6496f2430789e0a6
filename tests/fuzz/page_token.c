/*
 * page_token: a token that is taken says an offset, and the token of that offset says the same.
 *
 * Input: the token. As a second text, what would stand inside one.
 */
#include "ingest/bind.h"

#include "schema/errors.h"
#include "tests/fuzz/fuzz.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* base64.b64encode(s) */
static struct str encode(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, (s.n + 2) / 3 * 4);
    size_t n = 0;

    for (size_t i = 0; i < s.n; i += 3) {
        size_t left = s.n - i;
        unsigned bits = (unsigned)(unsigned char)s.p[i] << 16;

        bits |= left > 1 ? (unsigned)(unsigned char)s.p[i + 1] << 8 : 0;
        bits |= left > 2 ? (unsigned char)s.p[i + 2] : 0;
        out[n++] = alphabet[bits >> 18];
        out[n++] = alphabet[bits >> 12 & 63];
        out[n++] = left > 1 ? alphabet[bits >> 6 & 63] : '=';
        out[n++] = left > 2 ? alphabet[bits & 63] : '=';
    }
    return (struct str){out, n};
}

static void check_token(struct arena *a, struct str token)
{
    int64_t offset = -1, again = -1;
    struct fail f;
    err_t e;

    fail_init(&f, a);
    if ((e = bind_page_token(a, token, &offset, &f))) {
        fuzz_check_refusal(e, &f);
        return;
    }
    check(offset >= 0);
    token = bind_make_page_token(a, offset);
    e = bind_page_token(a, token, &again, &f);
    /* 0 is no offset of a token: MLflow takes it for a missing one. */
    check(offset == 0 ? e == ERR_BAD_PARAM : e == OK && again == offset);
}

static void fuzz_one(struct arena *a, struct str in)
{
    check_token(a, in);
    check_token(a, encode(a, in));
}
