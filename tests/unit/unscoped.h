/*
 * unscoped: the text of a statement as PostgreSQL gets it while workspaces are off.
 */
#ifndef TESTS_UNSCOPED_H
#define TESTS_UNSCOPED_H

#include "base/arena.h"
#include "gateway/auth/scope.h"

/* In the arena. */
static inline const char *unscoped(struct arena *a, const char *text)
{
    struct buf out;
    const char *copy;

    buf_init(&out);
    copy = arena_dup(a, str_of(scope_text(&out, text, NULL))).p;
    buf_fini(&out);
    return copy;
}

#endif
