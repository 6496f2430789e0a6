/*
 * glob: does a text match a shell pattern, by the rules of Python's fnmatch.
 *
 * No state; any thread.
 */
#ifndef BASE_GLOB_H
#define BASE_GLOB_H

#include <stdbool.h>

#include "base/str.h"

/* Does all of the text match? `*` stands for any bytes, `?` for one, `[a-z]` for one of a set,
 * `[!a-z]` for one of any other. */
bool glob_matches(struct str pattern, struct str text);

#endif
