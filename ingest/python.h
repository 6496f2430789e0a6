/*
 * python: what Python makes of a text: int(), float(), repr() and the classes of characters.
 *
 * MLflow is written in Python and its rules and messages are Python's; here they are once, for
 * whoever needs them. Text is UTF-8, in which a lone surrogate may stand as three bytes, as it may
 * in a Python str. Pure functions; any thread.
 */
#ifndef INGEST_PYTHON_H
#define INGEST_PYTHON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

enum python_int {
    PYTHON_NOT_INT, /* ValueError */
    PYTHON_INT,     /* fits int64 */
    PYTHON_BIG_INT  /* an integer, but a longer one */
};

/* int(s); *out is set when it fits. */
must_check enum python_int python_int(struct str s, int64_t *out);
/* float(s), false for a ValueError. Never overflows: "1e999" is inf. */
must_check bool python_float(struct str s, double *out);
/* A number as JSON writes it, of any length, to the nearest double. */
double python_strtod(struct str s);
/* Takes the first code point off *s, which is not empty. */
uint32_t python_next(struct str *s);
/* str.isalnum of one character. */
bool python_is_alnum(uint32_t cp);
/* str.isspace, str.isdecimal of one character. */
bool python_is_space(uint32_t cp);
bool python_is_decimal(uint32_t cp);
/* Appends repr(s) of a str, of a bytes. */
void python_repr(struct buf *out, struct str s);
void python_repr_bytes(struct buf *out, struct str s);
/* bytes.decode("utf-8", "replace"): bytes themselves when they are UTF-8. */
struct str python_decode(struct arena *a, struct str bytes);
/* Does s hold a lone surrogate? Such a str has no UTF-8. */
bool python_has_surrogate(struct str s);
/* The bytes of the UTF-8 character at p, n > 0 bytes of text; 0 when there is none: a surrogate is
 * none either. */
size_t python_utf8(const unsigned char *p, size_t n);
/* Is all of s UTF-8, without surrogates? */
bool python_is_utf8(struct str s);

#endif
