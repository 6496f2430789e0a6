/*
 * s3_credentials: the three protocols by which AWS gives credentials to programs, each a few requests of which the last
 * answers with keys, a session token and their end.
 *
 *   web identity   POST AssumeRoleWithWebIdentity to STS, with the token of the file, which is read each time
 *                  because its owner replaces it; XML
 *   container      GET the address, with the authorization token of a file or a variable; JSON
 *   instance       PUT for a session token, GET the name of the role, GET its keys; JSON (IMDSv2, and no
 *                  fall-back to version 1, which needs no token and so serves whoever can make a server ask)
 *
 * FETCHING -keys-> GOOD -a quarter of their life is left, 15 min at most-> FETCHING with the old ones in use
 * FETCHING -failure-> the old ones, to within a minute of their end, else none; PAUSE_MS until the next attempt
 *
 * Each worker fetches for itself: nothing is shared. Neither tokens nor keys are logged, nor an answer's text.
 */
#include "gateway/s3/s3_credentials.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "gateway/s3/s3_xml.h"
#include "gateway/say.h"
#include "ingest/document.h"

enum {
    ANSWER_MAX = 64 << 10,
    TOKEN_MAX = 32 << 10,
    CONNECT_MS = 2000,
    WHOLE_MS = 10000,
    PAUSE_MS = 1000,
    EARLY_MS = 15 * 60 * 1000, /* before their end, at most, they are fetched anew */
    LAST_MS = 60 * 1000        /* before their end, at most, they are not used any more */
};

enum step { STEP_TOKEN, STEP_ROLE, STEP_KEYS };

struct s3_credentials {
    struct curl_loop *loop;
    struct s3_conf *conf;
    void (*came)(void *owner);
    void *owner;
    struct arena kept; /* what conf points to */
    int64_t refresh_ms, end_ms, pause_ms;

    /* the fetch under way */
    struct arena work;
    CURL *easy; /* NULL = none */
    struct curl_slist *headers;
    struct curl_job job;
    struct buf answer;
    enum step step;
    struct str session; /* of the metadata service */
    char why[160];
};

static void keys_ask(struct s3_credentials *k, const char *method, struct str path,
                     struct str form);
static void keys_on_done(void *owner, const char *why);

/* -- the end of a fetch --------------------------------------------------------------------------- */

static void keys_drop_request(struct s3_credentials *k)
{
    curl_easy_cleanup(k->easy);
    curl_slist_free_all(k->headers);
    k->easy = NULL;
    k->headers = NULL;
}

static void keys_failed(struct s3_credentials *k, const char *what, const char *why)
{
    snprintf(k->why, sizeof(k->why), "no credentials for S3: %s: %s", what, why);
    log_warn("", "no credentials for S3", "what=%s why=%s", what, why);
    k->pause_ms = clock_wall_ms() + PAUSE_MS;
    buf_reset(&k->answer);
    k->came(k->owner);
}

/* "2026-11-28T20:00:00Z", with or without a fraction, or in another zone; 0 = cannot be read. */
static int64_t parse_time(struct arena *a, struct str s)
{
    struct tm tm = {0}, zone = {0};
    const char *end = strptime(arena_cstr(a, s), "%Y-%m-%dT%H:%M:%S", &tm);

    if (end && *end == '.')
        end += 1 + strspn(end + 1, "0123456789");
    end = end ? strptime(end, "%z", &zone) : NULL;
    return end && *end == '\0' ? ((int64_t)timegm(&tm) - zone.tm_gmtoff) * 1000 : 0;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void keys_take(struct s3_credentials *k, struct str id, struct str secret, struct str token,
                      struct str end)
{
    int64_t now_ms = clock_wall_ms(), end_ms = parse_time(&k->work, end), life_ms;

    if (id.n == 0 || secret.n == 0 || end_ms <= now_ms || str_find(id, '\n') < id.n ||
        str_find(token, '\n') < token.n) {
        keys_failed(k, "the answer", "it holds none that are good for a while");
        return;
    }
    life_ms = end_ms - now_ms;
    k->refresh_ms = end_ms - least(EARLY_MS, life_ms / 4);
    k->end_ms = end_ms - least(LAST_MS, life_ms / 8);
    arena_reset(&k->kept);
    k->conf->access_key = arena_dup(&k->kept, id);
    k->conf->secret_key = arena_dup(&k->kept, secret);
    k->conf->session_token = arena_dup(&k->kept, token);
    log_info("", "credentials for S3 fetched", "good_for_s=%lld", (long long)(life_ms / 1000));
    buf_reset(&k->answer);
    k->came(k->owner);
}

static struct str text_of(yyjson_val *root, const char *name)
{
    yyjson_val *v = document_get(root, str_of(name));

    return yyjson_is_str(v) ? document_str(v) : STR("");
}

static void keys_from_json(struct s3_credentials *k)
{
    struct document_error why;
    yyjson_val *root = document_read(&k->work, buf_str(&k->answer), &why);

    if (!yyjson_is_obj(root)) {
        keys_failed(k, "the answer", "it is no JSON object");
        return;
    }
    keys_take(k, text_of(root, "AccessKeyId"), text_of(root, "SecretAccessKey"),
              text_of(root, "Token"), text_of(root, "Expiration"));
}

static void keys_from_xml(struct s3_credentials *k)
{
    static const char *const paths[] = {
        "Credentials/AccessKeyId",
        "Credentials/SecretAccessKey",
        "Credentials/SessionToken",
        "Credentials/Expiration",
    };
    struct str found[array_len(paths)];

    for (size_t i = 0; i < array_len(paths); i++)
        found[i] = s3_xml_find(&k->work, buf_str(&k->answer), paths[i]);
    keys_take(k, found[0], found[1], found[2], found[3]);
}

/* -- answers -------------------------------------------------------------------------------------- */

static void keys_answered(struct s3_credentials *k)
{
    struct str answer = str_trim(buf_str(&k->answer)), role;

    if (k->step == STEP_KEYS) {
        if (k->conf->source.kind == S3_SOURCE_WEB_IDENTITY)
            keys_from_xml(k);
        else
            keys_from_json(k);
        return;
    }
    role = str_cut(&answer, '\n');
    if (role.n == 0 || role.n > 512 || str_find(role, ' ') < role.n) {
        keys_failed(k, "the metadata service", "it names no role");
        return;
    }
    role = arena_dup(&k->work, role);
    if (k->step == STEP_TOKEN) {
        k->session = role;
        k->step = STEP_ROLE;
        keys_ask(k, "GET", STR("/latest/meta-data/iam/security-credentials/"), STR(""));
    } else {
        k->step = STEP_KEYS;
        keys_ask(k, "GET",
                 SAY_TEXT(&k->work, STR("/latest/meta-data/iam/security-credentials/"), role),
                 STR(""));
    }
}

/* The error code of STS, which is no secret; else the status. */
static void keys_refused(struct s3_credentials *k, long status)
{
    struct str code = STR("");
    char why[100];

    if (k->conf->source.kind == S3_SOURCE_WEB_IDENTITY)
        code = s3_xml_find(&k->work, buf_str(&k->answer), "Error/Code");
    snprintf(why, sizeof(why), "status %ld%s%.*s", status, code.n ? " " : "",
             (int)(code.n < 60 ? code.n : 60), code.p);
    keys_failed(k, "refused", why);
}

static void keys_on_done(void *owner, const char *why)
{
    struct s3_credentials *k = owner;
    long status = 0;

    curl_easy_getinfo(k->easy, CURLINFO_RESPONSE_CODE, &status);
    keys_drop_request(k);
    if (why)
        keys_failed(k, "no answer", why);
    else if (status != 200)
        keys_refused(k, status);
    else
        keys_answered(k);
}

static size_t keys_on_bytes(char *p, size_t size, size_t n, void *arg)
{
    struct s3_credentials *k = arg;

    if (buf_len(&k->answer) + size * n > ANSWER_MAX)
        return 0;
    buf_add(&k->answer, p, size * n);
    return size * n;
}

/* -- requests ------------------------------------------------------------------------------------- */

static void keys_header(struct s3_credentials *k, const char *name, struct str value)
{
    struct str line = SAY_TEXT(&k->work, str_of(name), STR(": "), value);

    check((k->headers = curl_slist_append(k->headers, arena_cstr(&k->work, line))) != NULL);
}

static void keys_ask(struct s3_credentials *k, const char *method, struct str path, struct str form)
{
    const struct s3_source *s = &k->conf->source;
    struct str url = SAY_TEXT(&k->work, s->url, path);

    buf_reset(&k->answer);
    check((k->easy = curl_easy_init()) != NULL);
    if (k->session.n)
        keys_header(k, "X-aws-ec2-metadata-token", k->session);
    else if (s->kind == S3_SOURCE_INSTANCE)
        keys_header(k, "X-aws-ec2-metadata-token-ttl-seconds", STR("21600"));
    else if (s->kind == S3_SOURCE_CONTAINER && k->conf->source.token.n)
        keys_header(k, "Authorization", k->conf->source.token);
    curl_easy_setopt(k->easy, CURLOPT_URL, arena_cstr(&k->work, url));
    curl_easy_setopt(k->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(k->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(k->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(k->easy, CURLOPT_TIMEOUT_MS, (long)WHOLE_MS);
    if (s->kind != S3_SOURCE_WEB_IDENTITY)
        curl_easy_setopt(k->easy, CURLOPT_NOPROXY, "*"); /* they are next to us */
    if (k->conf->ca_bundle.n)
        curl_easy_setopt(k->easy, CURLOPT_CAINFO, arena_cstr(&k->work, k->conf->ca_bundle));
    if (form.n) {
        curl_easy_setopt(k->easy, CURLOPT_POSTFIELDSIZE, (long)form.n);
        curl_easy_setopt(k->easy, CURLOPT_COPYPOSTFIELDS, form.p);
    }
    curl_easy_setopt(k->easy, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(k->easy, CURLOPT_HTTPHEADER, k->headers);
    curl_easy_setopt(k->easy, CURLOPT_WRITEFUNCTION, keys_on_bytes);
    curl_easy_setopt(k->easy, CURLOPT_WRITEDATA, k);
    if (k->loop) {
        curl_loop_add(k->loop, k->easy, &k->job);
    } else {
        CURLcode code = curl_easy_perform(k->easy);

        keys_on_done(k, code == CURLE_OK ? NULL : curl_easy_strerror(code));
    }
}

/* What a token's file holds; empty = nothing that is one. It is a file of the node's memory: no disk waits. */
static struct str read_token(struct arena *a, struct str path)
{
    int fd = open(arena_cstr(a, path), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *bytes = arena_alloc(a, TOKEN_MAX);
    ssize_t n = fd >= 0 ? read(fd, bytes, TOKEN_MAX) : -1;
    struct str token;

    if (fd >= 0)
        close(fd);
    token = str_trim((struct str){bytes, n > 0 ? (size_t)n : 0});
    for (size_t i = 0; i < token.n; i++)
        if ((unsigned char)token.p[i] < ' ' || token.p[i] == 0x7f)
            return STR("");
    return (size_t)n < TOKEN_MAX ? token : STR("");
}

static void add_field(struct buf *out, const char *name, struct str value)
{
    buf_printf(out, "&%s=", name);
    for (size_t i = 0; i < value.n; i++)
        buf_printf(out, "%%%02X", (unsigned)(unsigned char)value.p[i]);
}

static void keys_ask_sts(struct s3_credentials *k)
{
    const struct s3_source *s = &k->conf->source;
    struct str token = read_token(&k->work, s->token_file), form;
    struct buf out;

    if (token.n == 0) {
        keys_failed(k, "the token's file", "it holds none");
        return;
    }
    buf_init(&out);
    buf_add_str(&out, STR("Action=AssumeRoleWithWebIdentity&Version=2011-06-15"));
    add_field(&out, "RoleArn", s->role);
    add_field(&out, "RoleSessionName", s->session_name);
    add_field(&out, "WebIdentityToken", token);
    form = arena_dup(&k->work, buf_str(&out));
    buf_fini(&out);
    k->step = STEP_KEYS;
    keys_ask(k, "POST", STR("/"), form);
}

static void keys_ask_container(struct s3_credentials *k)
{
    struct s3_source *s = &k->conf->source;

    if (s->token_file.n) {
        s->token = read_token(&k->work, s->token_file);
        if (s->token.n == 0) {
            keys_failed(k, "the token's file", "it holds none");
            return;
        }
    }
    k->step = STEP_KEYS;
    keys_ask(k, "GET", STR(""), STR(""));
}

static void keys_fetch(struct s3_credentials *k)
{
    arena_reset(&k->work);
    k->session = STR("");
    switch (k->conf->source.kind) {
    case S3_SOURCE_WEB_IDENTITY: keys_ask_sts(k); break;
    case S3_SOURCE_CONTAINER: keys_ask_container(k); break;
    case S3_SOURCE_INSTANCE:
        k->step = STEP_TOKEN;
        keys_ask(k, "PUT", STR("/latest/api/token"), STR(""));
        break;
    default: keys_failed(k, "the environment", "it names nobody who has some"); break;
    }
}

/* -- life ----------------------------------------------------------------------------------------- */

struct s3_credentials *s3_credentials_open(struct curl_loop *loop, struct s3_conf *conf,
                                           void (*came)(void *owner), void *owner)
{
    struct s3_credentials *k = calloc(1, sizeof(*k));

    check(k != NULL);
    k->loop = loop;
    k->conf = conf;
    k->came = came;
    k->owner = owner;
    k->job = (struct curl_job){k, keys_on_done};
    arena_init(&k->kept, 4096);
    arena_init(&k->work, 4096);
    buf_init(&k->answer);
    return k;
}

void s3_credentials_close(struct s3_credentials *k)
{
    if (k->easy) {
        curl_loop_drop(k->loop, k->easy);
        keys_drop_request(k);
    }
    buf_fini(&k->answer);
    arena_fini(&k->work);
    arena_fini(&k->kept);
    free(k);
}

enum s3_credentials_answer s3_credentials_ask(struct s3_credentials *k)
{
    int64_t now_ms;

    if (k->conf->source.kind == S3_SOURCE_GIVEN)
        return S3_CREDENTIALS_GOOD;
    now_ms = clock_wall_ms();
    if (now_ms >= k->refresh_ms && k->easy == NULL && now_ms >= k->pause_ms)
        keys_fetch(k);
    if (now_ms < k->end_ms)
        return S3_CREDENTIALS_GOOD;
    return k->easy ? S3_CREDENTIALS_COMING : S3_CREDENTIALS_NONE;
}

const char *s3_credentials_why(const struct s3_credentials *k)
{
    return k->why;
}
