/*
 * json: writes JSON text into a buf, in MLflow's two forms.
 *
 * PRETTY is what MLflow's proto-derived answers are: indent 2, ": ", a newline between items,
 * non-ASCII as \uXXXX, no trailing newline, an empty object or list as {} or []. COMPACT has no
 * blanks. LINE (Python's json.dumps default) has ", " and ": " on one line. Doubles are Python's
 * repr. One owner, one thread. Nesting is bounded by JSON_DEPTH.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum { JSON_DEPTH = 16, JSON_DOUBLE_MAX = 32 };

enum json_form { JSON_PRETTY, JSON_COMPACT, JSON_LINE };

struct json {
    unsigned hides; /* its writer's own: what is left out; 0 after json_init */

    /* private */
    struct buf *out;
    enum json_form form;
    unsigned depth;
    bool has_items[JSON_DEPTH];
    bool is_after_key;
};

/* Appends to out. */
void json_init(struct json *j, struct buf *out, enum json_form form);
void json_open(struct json *j);       /* { */
void json_close(struct json *j);      /* } */
void json_open_list(struct json *j);  /* [ */
void json_close_list(struct json *j); /* ] */
void json_key(struct json *j, const char *key);
void json_key_str(struct json *j, struct str key);
void json_str(struct json *j, struct str s);
void json_i64(struct json *j, int64_t v);
void json_u64(struct json *j, uint64_t v);
void json_bool(struct json *j, bool v);
void json_null(struct json *j);
/* NaN and infinities as the strings "NaN", "Infinity", "-Infinity". */
void json_double(struct json *j, double v);
/* Bytes that are JSON already. */
void json_raw(struct json *j, struct str text);
/* key and value in one call. */
void json_pair_str(struct json *j, const char *key, struct str v);
void json_pair_i64(struct json *j, const char *key, int64_t v);

/* The quoted, ASCII-escaped form of s; invalid UTF-8 becomes U+FFFD. */
void json_quote(struct buf *out, struct str s);
/* Python's repr of a float: shortest that reads back; "nan", "inf", "-inf". Returns the length. */
size_t json_repr_double(double v, char out[JSON_DOUBLE_MAX]);

#endif
