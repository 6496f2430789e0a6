/*
 * s3_request: one set of options for whoever drives the handle, a worker's loop (s3.c) or a command that
 * waits (s3_wait.c).
 *
 * Signatures. libcurl signs (CURLOPT_AWS_SIGV4) with the header fields given here, among them
 * x-amz-content-sha256, which 7.88 does not add by itself and takes over when it is there. URLs are
 * canonical already (s3_url.c). Expect, which libcurl adds to a long body, cannot be taken out with an
 * empty field: 7.88 would sign that. So a server that does not answer it costs
 * CONTINUE_MS. Bodies that are streamed are not signed, those in memory are.
 */
#include "gateway/s3/s3_request.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "gateway/s3/s3_xml.h"
#include "gateway/say.h"
#include "schema/errors.h"

enum {
    BUFFER_BYTES = 256 << 10,
    CONNECT_MS = 10000,
    CONTINUE_MS = 100 /* for servers that do not know it */
};

static void add_header(void **lines, struct arena *a, struct str name, struct str value)
{
    struct str line = SAY_TEXT(a, name, STR(": "), value);
    struct curl_slist *more = curl_slist_append(*lines, arena_cstr(a, line));

    check(more != NULL);
    *lines = more;
}

/* Hexadecimal SHA-256 of a body in memory. */
static struct str hash_of(struct arena *a, struct str body)
{
    unsigned char digest[32];
    char text[65];

    check(EVP_Digest(body.p, body.n, digest, NULL, EVP_sha256(), NULL) == 1);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return arena_dup(a, str_of(text));
}

static void set_headers(const struct s3_request *q, const struct s3_conf *conf, struct arena *a,
                        void **lines)
{
    for (size_t i = 0; i < q->header_count; i++)
        add_header(lines, a, q->headers[i].name, q->headers[i].value);
    if (conf->bucket_owner.n)
        add_header(lines, a, STR("x-amz-expected-bucket-owner"), conf->bucket_owner);
    add_header(lines, a, STR("x-amz-content-sha256"),
               q->body_bytes == S3_NO_BODY || q->body.n ? hash_of(a, q->body)
                                                        : STR("UNSIGNED-PAYLOAD"));
}

bool s3_request_has_body(const struct s3_request *q, uint64_t *bytes)
{
    *bytes = q->body.n ? q->body.n : q->body_bytes;
    return q->body.n > 0 || q->body_bytes != S3_NO_BODY;
}

static void set_method(const struct s3_request *q, CURL *easy)
{
    uint64_t n;

    if (s3_request_has_body(q, &n)) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)n);
    } else if (strcmp(q->method, "POST") == 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L);
    }
    if (strcmp(q->method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, q->method);
}

static void set_peer(const struct s3_conf *conf, struct arena *a, CURL *easy, struct str url)
{
    curl_easy_setopt(easy, CURLOPT_URL, arena_cstr(a, url));
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_EXPECT_100_TIMEOUT_MS, (long)CONTINUE_MS);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, conf->verifies_tls ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, conf->verifies_tls ? 2L : 0L);
    if (conf->ca_bundle.n)
        curl_easy_setopt(easy, CURLOPT_CAINFO, arena_cstr(a, conf->ca_bundle));
}

void s3_request_set(const struct s3_request *q, const struct s3_conf *conf, struct arena *a,
                    void *easy, void **lines)
{
    set_peer(conf, a, easy, s3_url(a, conf, q->bucket, q->key, q->params, q->param_count));
    set_headers(q, conf, a, lines);
    set_method(q, easy);
}

static void set_text(CURL *easy, CURLoption option, struct arena *a, struct str text)
{
    curl_easy_setopt(easy, option, arena_cstr(a, text)); /* libcurl copies it */
}

void s3_request_sign(const struct s3_conf *conf, void *easy, void **lines)
{
    struct arena a;

    arena_init(&a, 4096);
    if (!conf->is_unsigned && conf->secret_key.n) {
        if (conf->session_token.n)
            add_header(lines, &a, STR("x-amz-security-token"), conf->session_token);
        set_text(easy, CURLOPT_USERNAME, &a, conf->access_key);
        set_text(easy, CURLOPT_PASSWORD, &a, conf->secret_key);
        set_text(easy, CURLOPT_AWS_SIGV4, &a,
                 SAY_TEXT(&a, STR("aws:amz:"), conf->region, STR(":s3")));
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, *lines);
    arena_fini(&a);
}

/* -- errors ------------------------------------------------------------------------------------- */

static const struct {
    const char *code;
    err_t err;
} errors[] = {
    {"AccessDenied", ERR_DENIED},
    {"NoSuchBucket", ERR_NOT_FOUND},
    {"NoSuchKey", ERR_NOT_FOUND},
    {"NoSuchUpload", ERR_NOT_FOUND},
    {"InvalidAccessKeyId", ERR_UNAUTHENTICATED},
    {"SignatureDoesNotMatch", ERR_UNAUTHENTICATED},
};

static err_t err_of(int status, struct str code)
{
    for (size_t i = 0; i < array_len(errors); i++)
        if (str_eq(code, str_of(errors[i].code)))
            return errors[i].err;
    return status == 403   ? ERR_DENIED
           : status == 404 ? ERR_NOT_FOUND
           : status >= 500 ? ERR_STORAGE
                           : ERR_INTERNAL;
}

err_t s3_request_refused(struct arena *a, int status, struct str answer, struct str what,
                         struct fail *f)
{
    struct str code = s3_xml_find(a, answer, "Error/Code");
    struct str words = s3_xml_find(a, answer, "Error/Message");

    if (words.n == 0)
        words = status == 404   ? STR("Not Found")
                : status == 403 ? STR("Forbidden")
                                : arena_printf(a, "S3 answered %d", status);
    return SAY(a, f, err_of(status, code), what, words);
}
