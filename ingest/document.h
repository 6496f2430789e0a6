/*
 * document: a JSON text as Python's json.loads reads it.
 *
 * json.loads takes more than JSON: UTF-16, UTF-32 and a byte order mark, NaN and Infinity,
 * integers of any length, lone surrogates, and of equal keys the last one. The values are
 * yyjson's, in the arena; what yyjson has no type for is told apart here: a number that fits
 * neither 64 bits nor a double is a YYJSON_TYPE_RAW, equal keys are all there. Pure functions; any
 * thread.
 */
#ifndef INGEST_DOCUMENT_H
#define INGEST_DOCUMENT_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "yyjson.h"

/* Why a text is no document, for its sender. */
struct document_error {
    const char *text; /* static */
    size_t at;        /* byte of the text */
};

/* A text that was read before somebody asks for it. */
struct document_ahead {
    yyjson_val *root; /* NULL: why */
    bool is_plain;    /* document_read_plain gives the same */
    struct document_error why;
    yyjson_val *inner; /* of a string: the document in it, or NULL: inner_why */
    struct document_error inner_why;
};

/* A member of an object as a Python dict holds it. */
struct document_pair {
    struct str key;
    yyjson_val *value; /* of the last equal key */
    size_t place;      /* of the first one */
};

/* json.loads(bytes); NULL for its ValueError, for nesting deeper than LIMIT_JSON_DEPTH, and for more
 * than LIMIT_JSON_VALUES values. */
yyjson_val *document_read(struct arena *a, struct str bytes, struct document_error *why);
/* The same, for input.c to find; any thread that has the arena to itself. */
void document_read_ahead(struct arena *a, struct str bytes, struct document_ahead *out);
/* json.loads(str) */
yyjson_val *document_read_text(struct arena *a, struct str text, struct document_error *why);
/* The strict subset only, and of any depth: NULL means document_read decides. For hot paths. */
yyjson_val *document_read_plain(struct arena *a, struct str bytes, struct document_error *why);

/* The text of a string value. */
struct str document_str(const yyjson_val *v);
/* obj[key], NULL when there is none. */
yyjson_val *document_get(yyjson_val *obj, struct str key);
/* The name of Python's type: "str", "int", "float", "bool", "list", "dict", "NoneType". */
const char *document_type(const yyjson_val *v);
/* A RAW value that is an integer; the others are infinities. */
bool document_is_big_int(const yyjson_val *v);
/* The members of obj in the order of a Python dict. */
struct document_pair *document_pairs(struct arena *a, yyjson_val *obj, size_t *n);
/* Appends json.dumps(v, sort_keys=True, separators=(",", ":")), cut after max bytes; v may be
 * NULL, which is None. */
void document_dump(struct arena *a, struct buf *out, yyjson_val *v, size_t max);
/* Appends json.dumps(v). */
void document_dump_line(struct arena *a, struct buf *out, yyjson_val *v);
/* Appends Python's repr(v), cut likewise. */
void document_repr(struct arena *a, struct buf *out, yyjson_val *v, size_t max);

#endif
