/*
 * rate: how many points a user, or an experiment, may send a second: a token bucket.
 *
 * The bucket is one for all pods while Redis is good, else one for each process. A request is let through
 * while its bucket is not empty, and is then charged for all its points, so a batch larger than the bucket
 * is possible and makes those behind it wait.
 *
 * rate_check on a worker's thread; what it shares is behind a mutex. Order: rate_new, rate_check, rate_free.
 */
#ifndef GATEWAY_RATE_H
#define GATEWAY_RATE_H

#include "gateway/req.h"

struct rate;

struct rate *rate_new(void);
void rate_free(struct rate *t);
/* Goes on with next when the request may pass, at once when there is no limit; else ERR_RATE (429). */
must_check err_t rate_check(struct req *r, int32_t experiment_id, uint64_t points, req_step next);

#endif
