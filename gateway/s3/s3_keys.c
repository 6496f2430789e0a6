/*
 * s3_keys: ListObjectsV2 and DeleteObjects.
 *
 * S3 has no folders: what lies below "foo" is every key that begins with "foo/". Asked for is every key
 * that begins with "foo", in one walk with the key "foo" itself, and those that only look alike are left
 * out (s3_keys_is_within). A key that is not there counts as deleted, so a request may be repeated.
 *
 * DeleteObjects wants an MD5 of its body, and in its quiet form answers with the keys that stayed.
 */
#include "gateway/s3/s3_keys.h"

#include <openssl/evp.h>

#include "base/base64.h"
#include "gateway/s3/s3_xml.h"
#include "gateway/say.h"
#include "schema/errors.h"

void s3_keys_ask(const struct s3_keys *k, struct str bucket, struct s3_param params[S3_KEYS_PARAMS],
                 struct s3_request *q)
{
    size_t n = 0;

    if (k->token.n)
        params[n++] = (struct s3_param){STR("continuation-token"), k->token};
    if (!k->is_flat)
        params[n++] = (struct s3_param){STR("delimiter"), STR("/")};
    params[n++] = (struct s3_param){STR("list-type"), STR("2")};
    if (k->most)
        params[n++] = (struct s3_param){STR("max-keys"), str_of(k->most)};
    params[n++] = (struct s3_param){STR("prefix"), k->prefix};
    *q = (struct s3_request){.method = "GET",
                             .bucket = bucket,
                             .params = params,
                             .param_count = n,
                             .body_bytes = S3_NO_BODY};
}

struct str s3_keys_next(struct arena *a, struct str answer)
{
    if (!str_eq(s3_xml_find(a, answer, "IsTruncated"), STR("true")))
        return STR("");
    return s3_xml_find(a, answer, "NextContinuationToken");
}

bool s3_keys_is_within(struct str key, struct str path)
{
    return str_eq(key, path) ||
           (path.n > 0 && str_starts(key, path) && key.n > path.n && key.p[path.n] == '/');
}

void s3_keys_add(struct buf *objects, struct arena *a, struct str key)
{
    buf_add_str(objects, STR("<Object><Key>"));
    buf_add_str(objects, s3_xml_escape(a, key));
    buf_add_str(objects, STR("</Key></Object>"));
}

static struct str md5_of(struct arena *a, struct str text)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n;

    check(EVP_Digest(text.p, text.n, digest, &n, EVP_md5(), NULL) == 1);
    return base64_encode(a, (struct str){(char *)digest, n});
}

void s3_keys_delete(struct arena *a, struct str objects, struct str bucket,
                    struct s3_header headers[2], struct s3_request *q)
{
    static const struct s3_param params[] = {{STR_INIT("delete"), STR_INIT("")}};
    struct str body = SAY_TEXT(a, STR("<Delete><Quiet>true</Quiet>"), objects, STR("</Delete>"));

    headers[0] = (struct s3_header){STR("content-md5"), md5_of(a, body)};
    headers[1] = (struct s3_header){STR("content-type"), STR("application/xml")};
    *q = (struct s3_request){.method = "POST",
                             .bucket = bucket,
                             .params = params,
                             .param_count = 1,
                             .headers = headers,
                             .header_count = 2,
                             .body_bytes = S3_NO_BODY,
                             .body = body};
}

err_t s3_keys_deleted(struct arena *a, int status, struct str answer, struct fail *f)
{
    if (status != 200)
        return s3_request_refused(a, status, answer, STR("Failed to delete artifacts: "), f);
    if (s3_xml_find(a, answer, "Error/Key").n)
        return SAY(a, f, ERR_STORAGE, STR("Failed to delete artifacts: "),
                   s3_xml_find(a, answer, "Error/Message"));
    return OK;
}
