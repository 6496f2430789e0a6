/*
 * record: the points of a batch as msgpack bytes, versioned.
 *
 * What the journal and Kafka store. Only run, experiment and points travel; params and tags are
 * written by statement. The layout stands in record.c. Pure functions; any thread.
 */
#ifndef SCHEMA_RECORD_H
#define SCHEMA_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/fail.h"
#include "schema/batch.h"

enum { RECORD_VERSION = 1 };

/* Bytes that record_encode may need at most; cheap, so that room is judged before encoding. */
size_t record_bound(const struct batch *b);
/* Writes into out (at least record_bound bytes) and returns the length. */
size_t record_encode(const struct batch *b, void *out);
/* Slices of *b point into bytes or into a; ERR_CORRUPT when it is no record of a known version. */
must_check err_t record_decode(struct str bytes, unsigned version, struct arena *a, struct batch *b,
                               struct fail *f);
/* Points in an encoded record without decoding it whole; 0 when it is malformed. */
uint32_t record_points(struct str bytes, unsigned version);

#endif
