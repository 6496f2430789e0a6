/*
 * say: error texts put together from pieces.
 *
 * One allocation per text, of its exact length. repr() is ingest/python's; its buf lives for the
 * call only.
 */
#include "gateway/say.h"

#include <string.h>

#include "base/buf.h"
#include "ingest/python.h"

struct str say_join(struct arena *a, const struct str *pieces, size_t n)
{
    size_t bytes = 0;
    char *out, *p;

    for (size_t i = 0; i < n; i++)
        bytes += pieces[i].n;
    out = p = arena_alloc(a, bytes + 1);
    for (size_t i = 0; i < n; i++) {
        if (pieces[i].n)
            memcpy(p, pieces[i].p, pieces[i].n);
        p += pieces[i].n;
    }
    *p = '\0';
    return (struct str){out, bytes};
}

struct str say_repr(struct arena *a, struct str s)
{
    struct buf tmp;
    struct str out;

    buf_init(&tmp);
    python_repr(&tmp, s);
    out = arena_dup(a, buf_str(&tmp));
    buf_fini(&tmp);
    return out;
}

struct str say_repr_list(struct arena *a, const struct str *items, size_t n)
{
    struct buf tmp;
    struct str out;

    buf_init(&tmp);
    buf_add_byte(&tmp, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_add(&tmp, ", ", 2);
        python_repr(&tmp, items[i]);
    }
    buf_add_byte(&tmp, ']');
    out = arena_dup(a, buf_str(&tmp));
    buf_fini(&tmp);
    return out;
}

err_t say_fail(struct arena *a, struct fail *f, err_t err, const struct str *pieces, size_t n)
{
    return fail_str(f, err, say_join(a, pieces, n));
}
