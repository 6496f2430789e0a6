/*
 * s3_request: what S3 is asked, told to a handle of libcurl's, and what its refusal means.
 *
 * Pure functions over the caller's arena and handle; any thread.
 */
#ifndef GATEWAY_S3_REQUEST_H
#define GATEWAY_S3_REQUEST_H

#include "gateway/s3/s3_url.h"

#define S3_NO_BODY UINT64_MAX

struct s3_request {
    const char *method;
    struct str bucket, key;
    const struct s3_param *params; /* sorted by name */
    size_t param_count;
    const struct s3_header *headers;
    size_t header_count;
    uint64_t body_bytes; /* that s3_feed will bring; S3_NO_BODY */
    struct str body;     /* in place of that: all of it */
};

/* Peer, header fields and method of a CURL *; *lines is the curl_slist that the caller frees behind it. The
 * bytes of a body are the caller's to bring. */
void s3_request_set(const struct s3_request *q, const struct s3_conf *conf, struct arena *a,
                    void *easy, void **lines);
/* What is left: the signature, with conf's keys of now. Copied by libcurl, but for *lines. */
void s3_request_sign(const struct s3_conf *conf, void *easy, void **lines);
/* Has it a body? *bytes: how long. */
bool s3_request_has_body(const struct s3_request *q, uint64_t *bytes);
/* An answer that is no success as an error; what: "Failed to ...: ", or "". */
err_t s3_request_refused(struct arena *a, int status, struct str answer, struct str what,
                         struct fail *f);

#endif
