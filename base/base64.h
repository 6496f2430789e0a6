/*
 * base64: as Python's base64 module writes and reads it.
 *
 * Pure functions over the caller's arena; any thread.
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"

/* b64encode: the usual alphabet, padded. */
struct str base64_encode(struct arena *a, struct str bytes);
/* b64decode(bytes), which is not strict: whatever is not of the alphabet is skipped, only the padding
 * must be right. */
must_check bool base64_decode(struct arena *a, struct str text, struct str *out);

#endif
