/*
 * csrf: what Flask-WTF does, without state.
 *
 *   session   NONCE.MAC(s, NONCE)             32 and 32 hex digits
 *   token     NONCE.TIME.MAC(t, NONCE.TIME)   16 hex digits of seconds between
 *
 * MAC is the first half of an HMAC-SHA256 under auth_secret_key, so every pod with that key takes the forms of the
 * others. It is no session of MLflow's: its pages' forms go to it, and ours to us.
 */
#include "gateway/auth/csrf.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

enum { NONCE = 32, TIME = 16, MAC = 32, SESSION = NONCE + 1 + MAC, HOUR_S = 3600 };

static void csrf_hex(const unsigned char *bytes, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* kind: what the text is, so that one is never taken for the other. */
static void csrf_mac(struct str secret, char kind, struct str text, char out[MAC + 1])
{
    unsigned char digest[EVP_MAX_MD_SIZE], message[1 + NONCE + 1 + TIME];

    check(text.n < sizeof(message) && secret.n <= INT32_MAX);
    message[0] = (unsigned char)kind;
    memcpy(message + 1, text.p, text.n);
    check(HMAC(EVP_sha256(), secret.p, (int)secret.n, message, 1 + text.n, digest, NULL) != NULL);
    csrf_hex(digest, MAC / 2, out);
}

/* Is text.mac what we have written? */
static bool csrf_is_ours(struct str secret, char kind, struct str signed_text, size_t n)
{
    char mac[MAC + 1];

    if (signed_text.n != n + 1 + MAC || signed_text.p[n] != '.')
        return false;
    csrf_mac(secret, kind, str_head(signed_text, n), mac);
    return CRYPTO_memcmp(mac, signed_text.p + n + 1, MAC) == 0;
}

/* The session in a Cookie field; empty when it is none of ours. */
static struct str csrf_session(struct str secret, struct str cookies)
{
    while (cookies.n) {
        struct str cookie = str_trim(str_cut(&cookies, ';'));

        if (str_starts(cookie, STR("session=")) &&
            csrf_is_ours(secret, 's', str_skip(cookie, strlen("session=")), NONCE))
            return str_skip(cookie, strlen("session="));
    }
    return STR("");
}

bool csrf_make(struct arena *a, struct str secret, struct str cookies, uint64_t now_s,
               struct csrf *out)
{
    unsigned char bytes[NONCE / 2];
    char nonce[NONCE + 1], mac[MAC + 1];
    struct str text;

    out->session = csrf_session(secret, cookies);
    if (out->session.n == 0) {
        if (RAND_bytes(bytes, sizeof(bytes)) != 1)
            return false;
        csrf_hex(bytes, sizeof(bytes), nonce);
        csrf_mac(secret, 's', str_of(nonce), mac);
        out->session = arena_printf(a, "%s.%s", nonce, mac);
    }
    text = arena_printf(a, "%.*s.%016llx", NONCE, out->session.p, (unsigned long long)now_s);
    csrf_mac(secret, 't', text, mac);
    out->token = arena_printf(a, "%.*s.%s", STR_ARG(text), mac);
    return true;
}

static uint64_t csrf_time(struct str hex)
{
    uint64_t t = 0;

    for (size_t i = 0; i < hex.n; i++)
        t = t << 4 | (uint64_t)(hex.p[i] <= '9' ? hex.p[i] - '0' : hex.p[i] - 'a' + 10);
    return t;
}

const char *csrf_refusal(struct str secret, struct str cookies, struct str token, uint64_t now_s)
{
    struct str session = csrf_session(secret, cookies);
    uint64_t then_s;

    if (token.n == 0)
        return "The CSRF token is missing.";
    if (session.n == 0)
        return "The CSRF session token is missing.";
    if (!csrf_is_ours(secret, 't', token, NONCE + 1 + TIME))
        return "The CSRF token is invalid.";
    then_s = csrf_time(str_head(str_skip(token, NONCE + 1), TIME));
    if (now_s > then_s + HOUR_S)
        return "The CSRF token has expired.";
    if (!str_eq(str_head(token, NONCE), str_head(session, NONCE)))
        return "The CSRF tokens do not match.";
    return NULL;
}
