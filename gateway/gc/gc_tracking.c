/*
 * gc_tracking: the DELETE that MLflow's HttpArtifactRepository sends: with the credentials of
 * MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, else the bearer of MLFLOW_TRACKING_TOKEN, over
 * TLS as MLFLOW_TRACKING_SERVER_CERT_PATH and MLFLOW_TRACKING_INSECURE_TLS say. What is not there is 200
 * from such a server, so a removal may be repeated; 400 refuses this path; every other status
 * is an error that stops gc.
 */
#include "gateway/gc/gc_tracking.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "gateway/say.h"
#include "schema/errors.h"

enum { ANSWER_MAX = 64 << 10, QUOTE_MAX = 200 };

bool gc_tracking_is_server(struct str uri)
{
    return str_starts(uri, STR("http://")) || str_starts(uri, STR("https://"));
}

void gc_tracking_open(struct gc_tracking *t, struct str uri, uint64_t timeout_us)
{
    *t = (struct gc_tracking){.base = uri, .timeout_us = timeout_us};
    while (str_ends(t->base, STR("/")))
        t->base.n--;
    check(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    check((t->easy = curl_easy_init()) != NULL);
}

void gc_tracking_close(struct gc_tracking *t)
{
    if (t->easy)
        curl_easy_cleanup(t->easy);
    t->easy = NULL;
}

static size_t take_bytes(char *p, size_t size, size_t n, void *arg)
{
    struct buf *answer = arg;

    n *= size;
    if (buf_len(answer) + n <= ANSWER_MAX)
        buf_add(answer, p, n);
    return n;
}

static const char *get(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] ? value : NULL;
}

static void set_credentials(CURL *easy)
{
    if (get("MLFLOW_TRACKING_USERNAME")) {
        const char *password = get("MLFLOW_TRACKING_PASSWORD");

        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(easy, CURLOPT_USERNAME, get("MLFLOW_TRACKING_USERNAME"));
        curl_easy_setopt(easy, CURLOPT_PASSWORD, password ? password : "");
    } else if (get("MLFLOW_TRACKING_TOKEN")) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
        curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, get("MLFLOW_TRACKING_TOKEN"));
    }
}

static void set_tls(CURL *easy)
{
    const char *insecure = get("MLFLOW_TRACKING_INSECURE_TLS");

    if (insecure && (strcasecmp(insecure, "true") == 0 || strcmp(insecure, "1") == 0)) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (get("MLFLOW_TRACKING_SERVER_CERT_PATH"))
        curl_easy_setopt(easy, CURLOPT_CAINFO, get("MLFLOW_TRACKING_SERVER_CERT_PATH"));
}

/* The path with everything encoded that a URL's path cannot hold. */
static struct str encoded(struct arena *a, struct str path)
{
    static const char plain[] = "-_.~/";
    struct buf out;
    struct str text;

    buf_init(&out);
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            (c && strchr(plain, c)))
            buf_add_byte(&out, c);
        else
            buf_printf(&out, "%%%02X", (unsigned)(unsigned char)c);
    }
    text = arena_dup(a, buf_str(&out));
    buf_fini(&out);
    return text;
}

/* The base may hold a password: what is said shows the path alone. */
static err_t answered(CURL *easy, struct arena *a, struct str path, CURLcode code,
                      const struct buf *answer, bool *is_unresolvable, struct fail *f)
{
    long status = 0;

    *is_unresolvable = code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL;
    if (*is_unresolvable)
        return OK;
    if (code != CURLE_OK)
        return SAY(a, f, ERR_UPSTREAM, STR("The tracking server gave no answer to DELETE "), path,
                   STR(": "), str_of(curl_easy_strerror(code)));
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status < 300)
        return OK;
    return SAY(a, f, status == 400 ? ERR_BAD_PARAM : ERR_UPSTREAM, arena_printf(a, "%ld", status),
               STR(" from the tracking server for DELETE "), path, STR(": "),
               arena_dup(a, str_head(str_trim(buf_str(answer)), QUOTE_MAX)));
}

err_t gc_tracking_remove(struct gc_tracking *t, struct arena *a, struct str path,
                         bool *is_unresolvable, struct fail *f)
{
    struct str url = SAY_TEXT(a, t->base, STR("/api/2.0/mlflow-artifacts/artifacts/"),
                              encoded(a, path), str_ends(path, STR("/")) ? STR("") : STR("/"));
    struct curl_slist *lines = NULL;
    struct buf answer;
    CURLcode code;
    err_t e;

    buf_init(&answer);
    curl_easy_reset(t->easy);
    curl_easy_setopt(t->easy, CURLOPT_URL, arena_cstr(a, url));
    curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, "DELETE");
    curl_easy_setopt(t->easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, (long)(t->timeout_us / 1000));
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, &answer);
    set_credentials(t->easy);
    set_tls(t->easy);
    if (t->workspace.n) {
        lines = curl_slist_append(
            NULL, arena_cstr(a, SAY_TEXT(a, STR("X-MLFLOW-WORKSPACE: "), t->workspace)));
        curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, lines);
    }
    code = curl_easy_perform(t->easy);
    e = answered(t->easy, a, path, code, &answer, is_unresolvable, f);
    curl_slist_free_all(lines);
    buf_fini(&answer);
    return e;
}
