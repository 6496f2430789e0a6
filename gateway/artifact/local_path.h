/*
 * local_path: URIs that name files of this machine, and the paths they name.
 *
 * local_path_resolve looks at the file system, without waiting for anything but the disk: for calls
 * that are rare. Over the caller's arena; any thread.
 */
#ifndef GATEWAY_LOCAL_PATH_H
#define GATEWAY_LOCAL_PATH_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

/* Is it a path or a file: URI? ERR_INTERNAL, as MLflow, for a file: URI of another machine. */
must_check err_t local_path_is_local(struct arena *a, struct str uri, bool *is_local,
                                     struct fail *f);
/* Where a local URI points: absolute, without "." and "..", symbolic links followed as far as they
 * are there. */
struct str local_path_resolve(struct arena *a, struct str uri);
/* Is path the folder, or in it? Both are resolved. */
bool local_path_is_within(struct str path, struct str folder);

#endif
