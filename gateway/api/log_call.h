/*
 * log_call: one batch on its way into a run, as log-batch and log-batches have it.
 *
 * r->data is the call while it goes on. log_begin walks admit > models > params > points and ends with
 * appended, its points handed to the queue but perhaps not durable; log_put_tags ends with tagged. An
 * error of either is the batch's. The worker's thread.
 */
#ifndef GATEWAY_LOG_CALL_H
#define GATEWAY_LOG_CALL_H

#include "gateway/req.h"
#include "ingest/decode.h"

struct log_call {
    struct decoded d;
    bool truncate; /* long values, as the settings say */
    unsigned param_attempts;
    struct str values[4];
    pos_t end;         /* of its points in the queue; 0 = none were appended */
    req_step appended; /* goes on behind log_begin */
    req_step tagged;   /* goes on behind log_put_tags */
};

/* run NULL = there is no such run. */
must_check err_t log_begin(struct req *r, const struct run *run, struct fail *f);
/* Also with no tag to write: then it only asks for the run. */
must_check err_t log_put_tags(struct req *r);
/* Counts the points of a batch that has become durable. */
void log_count(struct req *r, const struct log_call *c);

#endif
