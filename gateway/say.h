/*
 * say: error texts put together from pieces.
 *
 * What a client sent may hold any byte, a NUL too, and comes back in many of MLflow's messages;
 * printf would cut it. The pieces are copied into the arena. One owner, one thread.
 *
 *     return SAY(a, f, ERR_BAD_PARAM, STR("Invalid entity type '"), word, STR("'."));
 */
#ifndef GATEWAY_SAY_H
#define GATEWAY_SAY_H

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

/* The pieces as one text, followed by a NUL that is not counted. */
struct str say_join(struct arena *a, const struct str *pieces, size_t n);
/* repr(s) of a Python str, in the arena. */
struct str say_repr(struct arena *a, struct str s);
/* repr of a Python list of str. */
struct str say_repr_list(struct arena *a, const struct str *items, size_t n);
/* fail() with the joined pieces as its text. */
err_t say_fail(struct arena *a, struct fail *f, err_t err, const struct str *pieces, size_t n)
    __attribute__((cold));

#define SAY_PIECES(...)                \
    (const struct str[]){__VA_ARGS__}, \
        sizeof((const struct str[]){__VA_ARGS__}) / sizeof(struct str)
#define SAY(a, f, err, ...) say_fail((a), (f), (err), SAY_PIECES(__VA_ARGS__))
#define SAY_TEXT(a, ...)    say_join((a), SAY_PIECES(__VA_ARGS__))

#endif
