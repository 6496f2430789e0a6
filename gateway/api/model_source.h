/*
 * model_source: may a version of a registered model come from there?
 *
 * A caller asks model_source_parse, which says whether another version is meant, and with the
 * source that is to be stored model_source_check, which wants to know who owns it when
 * model_source_needs_owner says so. MLflow's rules in MLflow's order and words. Over the caller's
 * arena; pure but for local paths (gateway/artifact/local_path.h); any thread.
 */
#ifndef GATEWAY_MODEL_SOURCE_H
#define GATEWAY_MODEL_SOURCE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

/* What a source of the scheme models: names. */
enum model_ref {
    REF_NONE,     /* another scheme */
    REF_MODEL_ID, /* a logged model */
    REF_VERSION,  /* the others: a version of a registered model */
    REF_LATEST,
    REF_STAGE,
    REF_ALIAS
};

struct model_source {
    enum model_ref ref;
    struct str name;   /* of the registered model; id of the logged one */
    struct str suffix; /* the version, stage or alias */
};

/* The run or logged model that the request says the source belongs to. */
struct model_owner {
    bool is_model;
    struct str id; /* empty = none is named */
    bool is_found;
    struct str root; /* its artifact location */
};

/* A prompt's source is a placeholder. ERR_BAD_PARAM. */
must_check err_t model_source_check_prompt(struct str source, struct fail *f);
must_check err_t model_source_parse(struct arena *a, struct str source, struct model_source *out,
                                    struct fail *f);
/* Does the answer of model_source_check depend on is_found and root? */
bool model_source_needs_owner(struct arena *a, struct str source);
/* ERR_BAD_PARAM; ERR_INTERNAL for what MLflow answers with 500. */
must_check err_t model_source_check(struct arena *a, struct str source,
                                    const struct model_owner *owner, struct fail *f);

#endif
