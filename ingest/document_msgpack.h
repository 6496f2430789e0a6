/*
 * document_msgpack: msgpack bytes as the document that the same JSON would be.
 *
 * What comes out are yyjson's values, so binding, checks and messages are those of JSON. Strings point
 * into the bytes, values live in the arena. Pure functions; any thread.
 * Format: https://github.com/msgpack/msgpack/blob/master/spec.md
 */
#ifndef INGEST_DOCUMENT_MSGPACK_H
#define INGEST_DOCUMENT_MSGPACK_H

#include "base/arena.h"
#include "base/str.h"
#include "ingest/document.h"

/* Reads one object off the front of *bytes and counts its values against *budget. NULL, with *why,
 * for what is cut short, has no JSON (bin, ext, a key that is no string, text that is no UTF-8), nests
 * deeper than LIMIT_JSON_DEPTH or holds more values than the budget; why->at counts from the front. */
yyjson_val *document_read_msgpack(struct arena *a, struct str *bytes, size_t *budget,
                                  struct document_error *why);

#endif
