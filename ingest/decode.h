/*
 * decode: a write request to a struct batch, checked as MLflow checks it.
 *
 * The order of checks and the words of the messages are MLflow's (decode.c quotes the table).
 * Whether the run exists is not asked here: that is admit's. Strings point into the body or the
 * arena. Pure functions; any thread.
 */
#ifndef INGEST_DECODE_H
#define INGEST_DECODE_H

#include "base/arena.h"
#include "base/fail.h"
#include "ingest/bind.h"
#include "schema/batch.h"

/* The ids as the client spelt them: batch.run holds at most 32 bytes, messages quote this one. */
struct decoded {
    struct batch batch;
    struct str run_id;
    bool has_models; /* some point carries a model id */
};

/* POST runs/log-metric: one point. */
must_check err_t decode_log_metric(struct arena *a, const struct bind_input *in,
                                   struct decoded *out, struct fail *f);
/* POST runs/log-batch: points, params, tags; values are cut to MLflow's lengths when truncate, else
 * refused. The body is JSON, or msgpack with Content-Type application/msgpack. */
must_check err_t decode_log_batch(struct arena *a, const struct bind_input *in, bool truncate,
                                  struct decoded *out, struct fail *f);
/* The same of a document that was read. */
must_check err_t decode_log_batch_document(struct arena *a, struct yyjson_val *root, bool truncate,
                                           struct decoded *out, struct fail *f);
/* POST runs/log-parameter: a batch with one param. */
must_check err_t decode_log_parameter(struct arena *a, const struct bind_input *in, bool truncate,
                                      struct decoded *out, struct fail *f);
/* POST runs/set-tag: a batch with one tag. */
must_check err_t decode_set_tag(struct arena *a, const struct bind_input *in, bool truncate,
                                struct decoded *out, struct fail *f);
/* value as it is stored: NaN -> 0 with is_nan, infinities clamped to the largest double. */
void decode_store_value(double value, struct point *p);

#endif
