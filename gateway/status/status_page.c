/*
 * status_page: the page is a source file of its own, taken in as base/text_file.h says.
 *
 * One style and one script stand in it. The policy names both by their SHA-256, so that whatever else came
 * to stand in the page, by whatever mistake, would not run; and it allows nothing else but to ask the
 * server itself for JSON.
 */
#include "gateway/status/status_page.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/text_file.h"

TEXT_FILE(status_html, "gateway/status/status.html");

enum { HASH_BYTES = 32, HASH_TEXT = 4 * ((HASH_BYTES + 2) / 3) + 1 };

static char policy[512];

struct str status_page(void)
{
    return str_of(status_html);
}

const char *status_page_policy(void)
{
    return policy;
}

/* Base64 of the SHA-256 of what stands between two tags. */
static void hash_between(const char *open, const char *close, char out[HASH_TEXT])
{
    const char *begin = strstr(status_html, open), *end;
    unsigned char hash[HASH_BYTES];

    check(begin != NULL);
    begin += strlen(open);
    end = strstr(begin, close);
    check(end != NULL && strstr(end, open) == NULL); /* there is one */
    check(EVP_Digest(begin, (size_t)(end - begin), hash, NULL, EVP_sha256(), NULL) == 1);
    EVP_EncodeBlock((unsigned char *)out, hash, HASH_BYTES);
}

void status_page_init(void)
{
    char style[HASH_TEXT], script[HASH_TEXT];
    int n;

    hash_between("<style>", "</style>", style);
    hash_between("<script>", "</script>", script);
    n = snprintf(policy, sizeof(policy),
                 "default-src 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'; "
                 "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                 "frame-ancestors 'none'; require-trusted-types-for 'script'",
                 style, script);
    check(n > 0 && (size_t)n < sizeof(policy));
}
