/*
 * beneath: opens what lies below a directory, and nothing else.
 *
 * Paths are relative, of the form that artifact_path_norm gives; "" is the directory itself. What
 * leads out of it, by a symbolic link say, gives -EXDEV or -ELOOP. All calls may wait for the disk,
 * and return a descriptor (close-on-exec), or an errno value negated. Any thread.
 */
#ifndef GATEWAY_BENEATH_H
#define GATEWAY_BENEATH_H

#include "base/check.h"
#include "base/str.h"

/* The directory itself, whose own path may hold links: it is the operator's. */
must_check int beneath_root(const char *path);
/* What stands at path, with the flags of open(2). */
must_check int beneath_open(int root, struct str path, int flags);
/* The directory at path, made with those above it where they are not there. What was made is durable. */
must_check int beneath_make(int root, struct str path);

#endif
