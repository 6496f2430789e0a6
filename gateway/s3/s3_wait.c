/*
 * s3_wait: libcurl's easy interface. The handle keeps its connection from call to call. Bodies are in
 * memory (s3_request.body), and an answer of more than ANSWER_MAX ends its call.
 */
#include "gateway/s3/s3_wait.h"

#include <curl/curl.h>
#include <string.h>

#include "gateway/say.h"
#include "schema/errors.h"

enum { ANSWER_MAX = 8 << 20 };

static size_t take_bytes(char *p, size_t size, size_t n, void *arg)
{
    struct s3_wait *w = arg;

    n *= size;
    if (buf_len(&w->answer) + n > ANSWER_MAX)
        return 0;
    buf_add(&w->answer, p, n);
    return n;
}

static size_t give_bytes(char *p, size_t size, size_t n, void *arg)
{
    struct str *rest = arg;

    n *= size;
    if (n > rest->n)
        n = rest->n;
    memcpy(p, rest->p, n);
    *rest = str_skip(*rest, n);
    return n;
}

static void nobody_waits(void *owner)
{
    (void)owner;
}

void s3_wait_open(struct s3_wait *w, const struct s3_conf *conf, uint64_t timeout_us)
{
    *w = (struct s3_wait){.conf = *conf, .timeout_us = timeout_us};
    w->keys = s3_credentials_open(NULL, &w->conf, nobody_waits, NULL);
    buf_init(&w->answer);
    check(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    check((w->easy = curl_easy_init()) != NULL);
}

err_t s3_wait_call(struct s3_wait *w, struct arena *a, const struct s3_request *q, struct fail *f)
{
    struct str rest = q->body;
    void *lines = NULL;
    long status = 0;
    CURLcode code;

    if (!s3_url_is_bucket(q->bucket))
        return SAY(a, f, ERR_BAD_PARAM, STR("Invalid bucket name: '"), q->bucket, STR("'"));
    if (!w->conf.is_unsigned && s3_credentials_ask(w->keys) != S3_CREDENTIALS_GOOD)
        return SAY(a, f, ERR_STORAGE, STR("The artifact store gave no answer: "),
                   str_of(s3_credentials_why(w->keys)));
    buf_reset(&w->answer);
    curl_easy_reset(w->easy);
    s3_request_set(q, &w->conf, a, w->easy, &lines);
    s3_request_sign(&w->conf, w->easy, &lines);
    curl_easy_setopt(w->easy, CURLOPT_READFUNCTION, give_bytes);
    curl_easy_setopt(w->easy, CURLOPT_READDATA, &rest);
    curl_easy_setopt(w->easy, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(w->easy, CURLOPT_WRITEDATA, w);
    curl_easy_setopt(w->easy, CURLOPT_TIMEOUT_MS, (long)(w->timeout_us / 1000));
    code = curl_easy_perform(w->easy);
    curl_slist_free_all(lines);
    if (code != CURLE_OK)
        return SAY(a, f, ERR_STORAGE, STR("The artifact store gave no answer: "),
                   str_of(curl_easy_strerror(code)));
    curl_easy_getinfo(w->easy, CURLINFO_RESPONSE_CODE, &status);
    w->status = (int)status;
    return OK;
}

void s3_wait_close(struct s3_wait *w)
{
    if (w->easy == NULL)
        return;
    s3_credentials_close(w->keys);
    curl_easy_cleanup(w->easy);
    buf_fini(&w->answer);
    w->easy = NULL;
}
