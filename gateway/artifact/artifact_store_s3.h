/*
 * artifact_store_s3: what the two files of the S3 store share: artifact_store_s3.c and
 * artifact_upload_s3.c. The worker's thread.
 */
#ifndef GATEWAY_ARTIFACT_STORE_S3_H
#define GATEWAY_ARTIFACT_STORE_S3_H

#include "gateway/artifact/artifact_store.h"
#include "gateway/s3/s3.h"

struct str artifact_s3_bucket(const struct artifact_place *at);
/* Of the artifact itself. */
struct str artifact_s3_key(struct arena *a, const struct artifact_place *at);

/* artifact_upload_s3.c: fields of struct artifact_ops */
err_t artifact_s3_begin(struct req *r, uint64_t length, req_step next);
err_t artifact_s3_write(struct req *r, struct str bytes, req_step next);
err_t artifact_s3_publish(struct req *r, req_step next);
void artifact_s3_over(struct req *r);
err_t artifact_s3_parts_create(struct req *r, req_step next);
err_t artifact_s3_parts_complete(struct req *r, struct str id, const struct artifact_part *parts,
                                 size_t n, req_step next);
err_t artifact_s3_parts_abort(struct req *r, struct str id, req_step next);
struct str artifact_s3_parts_url(struct req *r, struct str id, int64_t number);
err_t artifact_s3_presign_put(struct req *r, struct str type, uint64_t seconds, req_step next);

#endif
