/*
 * fail: why a call failed, in words for the person who sent the request.
 *
 * A function that can fail returns err_t; when somebody may need to know why, its last parameter
 * is a struct fail *, and it says `return fail(f, ERR_X, "text", ...)`. The values of err_t come
 * from schema/errors.def; 0 is OK. The middle of the program passes both up unchanged, only the
 * edges translate. One owner, one thread; f may be NULL where nobody wants the words.
 */
#ifndef BASE_FAIL_H
#define BASE_FAIL_H

#include "base/arena.h"
#include "base/check.h"
#include "base/str.h"

typedef int err_t;

enum { OK = 0 };

struct fail {
    struct arena *arena; /* where long texts go; NULL: they are cut to fit small */
    err_t err;           /* OK until fail() was called */
    struct str text;     /* lives as long as the arena, or as this struct */
    char small[240];
};

/* arena may be NULL. */
void fail_init(struct fail *f, struct arena *arena);
/* Notes code and text, and returns code. A later call replaces an earlier one. */
err_t fail(struct fail *f, err_t err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));
/* Like fail() with a text that is already made and outlives f. */
err_t fail_str(struct fail *f, err_t err, struct str text);

#endif
