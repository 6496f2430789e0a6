/*
 * version_tag: the tag in which a logged model keeps the registered versions made from it.
 *
 * Pure function over the caller's arena; any thread.
 */
#ifndef GATEWAY_VERSION_TAG_H
#define GATEWAY_VERSION_TAG_H

#include <stdint.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

#define VERSION_TAG "mlflow.modelVersions"

/* The tag's value with the version in it; before.p NULL = there is no tag yet. ERR_INTERNAL when
 * the tag is not a JSON list. */
must_check err_t version_tag_add(struct arena *a, struct str before, struct str name,
                                 int64_t version, struct str *out, struct fail *f);

#endif
