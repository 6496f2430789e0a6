/*
 * line: one line of key=value pairs, as logfmt or as a JSON object.
 *
 * On the stack of whoever makes it; fixed size, no allocation. Order of calls: line_init, any
 * number of line_pair*, line_end. What does not fit is left out, pair by pair.
 */
#ifndef BASE_LINE_H
#define BASE_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum { LINE_BYTES = 8192, LINE_VALUE_MAX = 1024 };

struct line {
    /* private */
    size_t n;
    bool is_json;
    bool is_full; /* the pair being put did not fit */
    char text[LINE_BYTES];
};

void line_init(struct line *l, bool is_json);
/* One pair, all of it or nothing; a value beyond LINE_VALUE_MAX bytes is cut and ends in "...". */
void line_pair(struct line *l, struct str key, struct str value);
void line_pair_z(struct line *l, const char *key, const char *value);
/* The pairs of "a=1 b=2", taken apart at blanks; a word without '=' gets the key "note". */
void line_pairs(struct line *l, struct str text);
/* Closes the line; the text, line end included, lives as long as l. */
struct str line_end(struct line *l);

#endif
