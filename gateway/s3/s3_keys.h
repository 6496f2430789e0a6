/*
 * s3_keys: the keys below a path of a bucket, asked for page by page, and deleted by the thousand.
 *
 * Pure functions over the caller's arena, but that a list of keys to delete grows in a buf; any thread.
 */
#ifndef GATEWAY_S3_KEYS_H
#define GATEWAY_S3_KEYS_H

#include "base/buf.h"
#include "gateway/s3/s3_request.h"

enum { S3_KEYS_PARAMS = 5, S3_KEYS_MAX = 1000 /* in one request, of either kind */ };

/* Which page of which keys; token empty = the first page. */
struct s3_keys {
    struct str prefix, token;
    bool is_flat;     /* not only those without a further slash */
    const char *most; /* NULL = a whole page */
};

/* Makes *q the question; params are the caller's as long as *q. */
void s3_keys_ask(const struct s3_keys *k, struct str bucket, struct s3_param params[S3_KEYS_PARAMS],
                 struct s3_request *q);
/* The token of the next page; empty when this was the last. */
struct str s3_keys_next(struct arena *a, struct str answer);
/* Is key the path, or below it? "foobar" is not below "foo", and nothing is below "". */
bool s3_keys_is_within(struct str key, struct str path);
/* One more key of those to delete. */
void s3_keys_add(struct buf *objects, struct arena *a, struct str key);
/* Makes *q the request to delete them; headers are the caller's as long as *q. */
void s3_keys_delete(struct arena *a, struct str objects, struct str bucket,
                    struct s3_header headers[2], struct s3_request *q);
/* OK when its answer says that all are gone. */
must_check err_t s3_keys_deleted(struct arena *a, int status, struct str answer, struct fail *f);

#endif
