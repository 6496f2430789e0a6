/*
 * bind: a request to a C struct, exactly as MLflow's handlers read it.
 *
 * MLflow decodes into protobuf and ignores the error of a value that does not convert: fields bound
 * before it stay, it and all later ones stay unset. Then validators look at the raw JSON. bind.c
 * tells the whole story; the messages stand in messages.def, one row per field, and give
 * struct msg_<name> and the table MSG_<name>. Pure functions over the caller's arena; any thread.
 */
#ifndef INGEST_BIND_H
#define INGEST_BIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"
#include "ingest/messages.h"

struct document_ahead;
struct yyjson_val;

/* What the front end knows of a request's parameters. */
struct bind_input {
    bool is_get;   /* GET or HEAD: the query counts when it has a parameter */
    bool any_type; /* PATCH or DELETE: the body counts whatever its Content-Type */
    bool has_content_type;
    struct str content_type;
    struct str query; /* after the '?', still percent-encoded */
    struct str body;
    const struct document_ahead *ahead; /* the body as a document; NULL = it has to be read */
};

/* Fills *out (a struct msg_x) from the request, then runs m's validators. Strings live in a or
 * point into the input, and hold no NUL but where the row says CHECK_NUL_LATER. ERR_BAD_PARAM with
 * MLflow's words. */
must_check err_t bind_request(struct arena *a, const struct bind_input *in,
                              const struct bind_message *m, void *out, struct fail *f);
/* The same from a document; root NULL = an empty object. */
must_check err_t bind_document(struct arena *a, struct yyjson_val *root,
                               const struct bind_message *m, void *out, struct fail *f);

/* Python's int(text) on an experiment id: blanks, signs and single underscores pass; false when
 * it is no integer or beyond int64. */
must_check bool bind_python_int(struct str text, int64_t *out);

/* The offset in MLflow's page token (base64 of {"offset": n}); empty token = 0. */
must_check err_t bind_page_token(struct arena *a, struct str token, int64_t *offset,
                                 struct fail *f);
/* The token that says offset. */
struct str bind_make_page_token(struct arena *a, int64_t offset);

#endif
