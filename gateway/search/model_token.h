/*
 * model_token: page tokens of logged-models/search.
 *
 * A token says the search it belongs to, and is refused with another one. Pure; any thread.
 */
#ifndef GATEWAY_MODEL_TOKEN_H
#define GATEWAY_MODEL_TOKEN_H

#include <stdint.h>

#include "base/arena.h"
#include "base/fail.h"
#include "gateway/search/model_search.h"

/* What a token and a request must agree on. */
struct model_token {
    const struct str *experiment_ids; /* as they were sent */
    size_t ids_count;
    struct str filter;                /* empty = none */
    const struct model_order *orders; /* none = none */
    size_t orders_count;
};

/* The token of the page that begins at offset. */
struct str model_token_make(struct arena *a, const struct model_token *t, int64_t offset);
/* The offset in a token; an empty one is 0. ERR_BAD_PARAM in MLflow's words when it is none, or of
 * another search; ERR_INTERNAL and ERR_BAD_REQUEST for an offset that is no number. */
must_check err_t model_token_read(struct arena *a, struct str text, const struct model_token *t,
                                  int64_t *offset, struct fail *f);

#endif
