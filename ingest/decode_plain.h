/*
 * decode_plain: a log-metric, or the lists of a log-batch, that holds nothing unusual, in one walk. For decode.c.
 * Pure functions over the caller's arena; any thread.
 */
#ifndef INGEST_DECODE_PLAIN_H
#define INGEST_DECODE_PLAIN_H

#include <stdbool.h>

#include "base/arena.h"
#include "ingest/decode.h"
#include "ingest/document.h"

/* Fills run_id and the lists from what document_read_plain gave; point values are as sent. False
 * when something is unusual: *out then means nothing, and bind.c is to read the body. */
must_check bool decode_plain_batch(struct arena *a, yyjson_val *root, struct decoded *out);
/* The same of the one point of a log-metric, and its run. */
must_check bool decode_plain_metric(struct arena *a, yyjson_val *root, struct decoded *out);

#endif
