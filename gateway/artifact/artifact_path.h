/*
 * artifact_path: the paths of artifacts below a root, as MLflow checks and cuts them.
 *
 * What artifact_path_check lets through names nothing outside the root it is joined to, as long as
 * no symbolic link lies there; the stores look after those. Pure functions over the caller's arena;
 * any thread.
 */
#ifndef GATEWAY_ARTIFACT_PATH_H
#define GATEWAY_ARTIFACT_PATH_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

/* validate_path_is_safe: sent is what the HTTP layer decoded; *out is what all goes by from then on:
 * decoded until nothing changes, without control characters. ERR_BAD_PARAM "Invalid path". */
must_check err_t artifact_path_check(struct arena *a, struct str sent, struct str *out,
                                     struct fail *f);
/* posixpath.basename: what follows the last slash; empty when the path ends in one. */
struct str artifact_path_base(struct str path);
/* posixpath.dirname: what stands before the last slash, without slashes at its end. */
struct str artifact_path_dir(struct str path);
/* posixpath.join of two parts, where the second never counts as absolute. */
struct str artifact_path_join(struct arena *a, struct str head, struct str tail);
/* posixpath.normpath of a checked path; "" for what is the root itself. */
struct str artifact_path_norm(struct arena *a, struct str path);
/* Is it already what normpath makes of it? MLflow's words when it is not. */
must_check err_t artifact_path_check_unique(struct arena *a, struct str path, struct fail *f);

#endif
