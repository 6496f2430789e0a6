/*
 * json_error: why Python's json.loads refuses a text, in its words.
 *
 * For the few messages that quote them. Pure; any thread. Time and memory are linear in the text.
 */
#ifndef INGEST_JSON_ERROR_H
#define INGEST_JSON_ERROR_H

#include "base/arena.h"
#include "base/str.h"

/* str() of the JSONDecodeError that json.loads(text) raises, text being UTF-8; empty when it raises
 * none. */
struct str json_error(struct arena *a, struct str text);

#endif
