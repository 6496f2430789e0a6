/*
 * s3_wait: a call to an S3 server that waits for its answer, for commands, which have no loop.
 *
 * One owner, one thread, which the call holds. Order of calls: s3_wait_open, calls, s3_wait_close.
 */
#ifndef GATEWAY_S3_WAIT_H
#define GATEWAY_S3_WAIT_H

#include "base/buf.h"
#include "gateway/s3/s3_credentials.h"
#include "gateway/s3/s3_request.h"

struct s3_wait {
    uint64_t timeout_us; /* longest time of one call */
    int status;          /* of the last answer */
    struct buf answer;   /* its body, until the next call */
    /* private */
    struct s3_conf conf; /* the caller's, with the keys that are good now */
    struct s3_credentials *keys;
    void *easy;
};

void s3_wait_open(struct s3_wait *w, const struct s3_conf *conf, uint64_t timeout_us);
/* OK when there was an answer, whatever it says. a: for the time of the call. */
must_check err_t s3_wait_call(struct s3_wait *w, struct arena *a, const struct s3_request *q,
                              struct fail *f);
/* Also of a zeroed one. */
void s3_wait_close(struct s3_wait *w);

#endif
