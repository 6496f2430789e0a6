/*
 * input: where a request's parameters come from, the query or the body, made one document.
 *
 * Pure functions over the caller's arena; any thread.
 */
#ifndef INGEST_INPUT_H
#define INGEST_INPUT_H

#include "base/arena.h"
#include "base/fail.h"
#include "ingest/bind.h"
#include "ingest/document.h"

/* MLflow's rule on Content-Type; GET, PATCH and DELETE need none. */
must_check err_t input_check_type(const struct bind_input *in, struct fail *f);
/* application/msgpack, which log-batch takes instead of JSON. */
bool input_is_msgpack(const struct bind_input *in);
/* The parameters: an object in *root, or NULL there when the body says nothing (empty, null, or no
 * JSON, which *why explains). A GET query becomes an object with m's fields in their order. */
must_check err_t input_read(struct arena *a, const struct bind_input *in,
                            const struct bind_message *m, yyjson_val **root,
                            struct document_error *why, struct fail *f);

/* One name=value of the query, decoded. */
struct input_pair {
    struct str name;
    struct str value;
};
/* All of them in their order. */
struct input_pair *input_query(struct arena *a, struct str query, size_t *count);

#endif
