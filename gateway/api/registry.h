/*
 * registry: what the calls of the model registry have in common.
 *
 * Pure functions over the caller's arena; any thread.
 */
#ifndef GATEWAY_REGISTRY_H
#define GATEWAY_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"
#include "ingest/messages.h"

/* The tag that makes a model a prompt, whatever its value. */
#define REGISTRY_PROMPT_TAG "mlflow.prompt.is_prompt"

/* Tags as a Python dict holds them: a repeated key stands at its first place, with its last
 * value. */
struct registry_tags {
    struct str *keys;
    struct str *values; /* never NULL */
    size_t n;
};

void registry_tags(struct arena *a, const struct msg_registry_tag *items, size_t n,
                   struct registry_tags *out);
bool registry_has_tag(const struct registry_tags *tags, struct str key);
/* ERR_BAD_REQUEST when a key or value holds a NUL, which PostgreSQL takes none of. */
must_check err_t registry_tags_check_nul(const struct registry_tags *tags, struct fail *f);

/* ERR_NOT_FOUND in MLflow's words. */
err_t registry_no_model(struct str name, struct fail *f);
err_t registry_no_version(struct str name, int32_t version, struct fail *f);

#endif
