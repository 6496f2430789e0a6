/*
 * s3_conf: the variables of MLflow's S3 artifact store, and of boto3 where MLflow leaves it to boto3.
 *
 * Credentials: s3_source.h says from where; what does not expire is here, the rest comes by s3_credentials.h. The profile
 * is AWS_PROFILE, else "default".
 *
 * Style: virtual hosts only where nobody named an endpoint, or by MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE.
 */
#include "gateway/s3/s3_conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/artifact/uri.h"
#include "ingest/document.h"
#include "schema/errors.h"

enum { FILE_MAX = 1 << 20 };

static struct str variable(const char *name)
{
    return str_of(getenv(name));
}

/* The first of them that is set to something. */
static struct str first_of(const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (variable(names[i]).n)
            return variable(names[i]);
    return STR("");
}

#define FIRST_OF(...)                            \
    first_of((const char *const[]){__VA_ARGS__}, \
             sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static bool is_true(struct str s)
{
    return str_ieq(s, STR("true")) || str_eq(s, STR("1"));
}

/* -- files -------------------------------------------------------------------------------------- */

struct str s3_conf_ini(struct str text, struct str section, struct str key)
{
    bool is_there = false;

    while (text.n) {
        struct str line = str_cut(&text, '\n');
        bool is_indented = line.n && (line.p[0] == ' ' || line.p[0] == '\t');
        struct str name;

        line = str_trim(line);
        if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';')
            continue;
        if (line.p[0] == '[') {
            name = str_trim(str_head(str_skip(line, 1), str_find(line, ']') - 1));
            is_there = str_eq(name, section);
            continue;
        }
        name = str_trim(str_head(line, str_find(line, '=')));
        if (is_there && !is_indented && name.n < line.n && str_ieq(name, key))
            return str_trim(str_skip(line, str_find(line, '=') + 1));
    }
    return STR("");
}

/* The file that a variable names, or that stands in ~/.aws; empty when it cannot be read. */
static struct str read_file(struct arena *a, const char *name, const char *usual)
{
    struct str path = variable(name), home = variable("HOME");
    FILE *file;
    char *bytes;
    size_t n;

    if (str_starts(path, STR("~/")))
        path = arena_printf(a, "%.*s%.*s", STR_ARG(home), STR_ARG(str_skip(path, 1)));
    if (path.n == 0)
        path = arena_printf(a, "%.*s/.aws/%s", STR_ARG(home), usual);
    file = fopen(arena_cstr(a, path), "re");
    if (file == NULL)
        return STR("");
    bytes = arena_alloc(a, FILE_MAX);
    n = fread(bytes, 1, FILE_MAX, file);
    fclose(file);
    return (struct str){bytes, n};
}

/* -- MLFLOW_S3_UPLOAD_EXTRA_ARGS ------------------------------------------------------------------ */

/* boto3's names of what goes with a put, and S3's. */
static const struct {
    const char *argument, *header;
} upload_headers[] = {
    {"ACL", "x-amz-acl"},
    {"CacheControl", "Cache-Control"},
    {"ContentDisposition", "Content-Disposition"},
    {"ContentEncoding", "Content-Encoding"},
    {"ContentLanguage", "Content-Language"},
    {"ContentType", "Content-Type"},
    {"Expires", "Expires"},
    {"GrantFullControl", "x-amz-grant-full-control"},
    {"GrantRead", "x-amz-grant-read"},
    {"GrantReadACP", "x-amz-grant-read-acp"},
    {"GrantWriteACP", "x-amz-grant-write-acp"},
    {"ObjectLockLegalHoldStatus", "x-amz-object-lock-legal-hold"},
    {"ObjectLockMode", "x-amz-object-lock-mode"},
    {"ObjectLockRetainUntilDate", "x-amz-object-lock-retain-until-date"},
    {"RequestPayer", "x-amz-request-payer"},
    {"SSECustomerAlgorithm", "x-amz-server-side-encryption-customer-algorithm"},
    {"SSECustomerKey", "x-amz-server-side-encryption-customer-key"},
    {"SSECustomerKeyMD5", "x-amz-server-side-encryption-customer-key-MD5"},
    {"SSEKMSEncryptionContext", "x-amz-server-side-encryption-context"},
    {"SSEKMSKeyId", "x-amz-server-side-encryption-aws-kms-key-id"},
    {"ServerSideEncryption", "x-amz-server-side-encryption"},
    {"StorageClass", "x-amz-storage-class"},
    {"Tagging", "x-amz-tagging"},
    {"WebsiteRedirectLocation", "x-amz-website-redirect-location"},
};

static bool is_one_line(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return true;
}

static err_t add_upload_header(struct s3_conf *c, struct arena *a, struct str name, yyjson_val *v,
                               struct fail *f)
{
    const char *header = NULL;

    for (size_t i = 0; i < array_len(upload_headers); i++)
        if (str_eq(name, str_of(upload_headers[i].argument)))
            header = upload_headers[i].header;
    if (header == NULL || !yyjson_is_str(v) || !is_one_line(document_str(v)))
        return fail(f, ERR_SETTING,
                    "MLFLOW_S3_UPLOAD_EXTRA_ARGS: %.*s is no argument known here with a text",
                    STR_ARG(name));
    c->upload_headers[c->upload_header_count++] =
        (struct s3_header){str_of(header), arena_dup(a, document_str(v))};
    return OK;
}

static err_t load_upload_headers(struct s3_conf *c, struct arena *a, struct fail *f)
{
    struct str text = variable("MLFLOW_S3_UPLOAD_EXTRA_ARGS");
    struct document_error why;
    yyjson_obj_iter iter;
    yyjson_val *root, *key;
    err_t e;

    if (text.n == 0)
        return OK;
    root = document_read(a, text, &why);
    if (!yyjson_is_obj(root))
        return fail(f, ERR_SETTING, "MLFLOW_S3_UPLOAD_EXTRA_ARGS is no JSON object");
    c->upload_headers = arena_array(a, yyjson_obj_size(root), sizeof(*c->upload_headers));
    iter = yyjson_obj_iter_with(root);
    while ((key = yyjson_obj_iter_next(&iter)))
        if ((e = add_upload_header(c, a, document_str(key), yyjson_obj_iter_get_val(key), f)))
            return e;
    return OK;
}

/* -- all of it ---------------------------------------------------------------------------------- */

static err_t load_endpoint(struct s3_conf *c, struct arena *a, struct fail *f)
{
    struct str style = variable("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE");
    struct uri u;

    c->endpoint = FIRST_OF("MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
    while (str_ends(c->endpoint, STR("/")))
        c->endpoint.n--;
    u = uri_parse(a, c->endpoint);
    if (c->endpoint.n &&
        ((!str_eq(u.scheme, STR("http")) && !str_eq(u.scheme, STR("https"))) || u.netloc.n == 0 ||
         u.path.n || u.query.n || u.fragment.n || !is_one_line(c->endpoint)))
        return fail(f, ERR_SETTING, "the S3 endpoint %.*s is no URL of a host",
                    STR_ARG(c->endpoint));
    c->is_path_style =
        str_eq(style, STR("path")) || (c->endpoint.n > 0 && !str_eq(style, STR("virtual")));
    return OK;
}

err_t s3_conf_load(struct s3_conf *c, struct arena *a, struct fail *f)
{
    struct str name = FIRST_OF("AWS_PROFILE", "AWS_DEFAULT_PROFILE");
    struct s3_profile profiles[2];
    err_t e;

    *c = (struct s3_conf){.verifies_tls = !is_true(variable("MLFLOW_S3_IGNORE_TLS"))};
    if (name.n == 0)
        name = STR("default");
    profiles[0] =
        (struct s3_profile){read_file(a, "AWS_SHARED_CREDENTIALS_FILE", "credentials"), name};
    profiles[1] = (struct s3_profile){
        read_file(a, "AWS_CONFIG_FILE", "config"),
        str_eq(name, STR("default")) ? name : arena_printf(a, "profile %.*s", STR_ARG(name))};
    c->region = FIRST_OF("AWS_DEFAULT_REGION", "AWS_REGION");
    if (c->region.n == 0)
        c->region = s3_conf_ini(profiles[1].text, profiles[1].section, STR("region"));
    if (c->region.n == 0)
        c->region = STR("us-east-1");
    if ((e = s3_source_load(&c->source, a, profiles, c->region, f)))
        return e;
    c->access_key = c->source.access_key;
    c->secret_key = c->source.secret_key;
    c->session_token = c->source.session_token;
    c->ca_bundle = variable("AWS_CA_BUNDLE");
    c->bucket_owner = variable("MLFLOW_S3_EXPECTED_BUCKET_OWNER");
    c->is_unsigned = str_ieq(variable("MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION"), STR("unsigned"));
    if (!is_one_line(c->region) || !is_one_line(c->bucket_owner))
        return fail(f, ERR_SETTING, "an AWS_ variable holds a control character");
    if ((e = load_endpoint(c, a, f)))
        return e;
    return load_upload_headers(c, a, f);
}
