/*
 * s3_url: the address of an object, and one that is signed for whoever gets it.
 *
 * Pure functions over the caller's arena; any thread.
 */
#ifndef GATEWAY_S3_URL_H
#define GATEWAY_S3_URL_H

#include <stdint.h>

#include "gateway/s3/s3_conf.h"

/* A parameter of the query; names that begin with an upper-case letter come before the others. */
struct s3_param {
    struct str name, value; /* not encoded */
};

/* Bucket and key are what they are, not encoded. key empty = the bucket itself. params are in the
 * order of their names. */
struct str s3_url(struct arena *a, const struct s3_conf *c, struct str bucket, struct str key,
                  const struct s3_param *params, size_t n);
/* What a URL is signed for. */
struct s3_grant {
    const char *method;
    struct str bucket, key;
    const struct s3_param *params; /* as above */
    size_t param_count;
    const struct s3_header *headers; /* that its holder must send: small letters, sorted, no host */
    size_t header_count;
    uint64_t now_s, seconds; /* from when on, for how long */
};

/* The URL with an AWS signature 4 in its query; without credentials it is not signed. */
struct str s3_url_presign(struct arena *a, const struct s3_conf *c, const struct s3_grant *g);
/* May a bucket have this name? Then it cannot change where a URL leads. */
bool s3_url_is_bucket(struct str name);

#endif
