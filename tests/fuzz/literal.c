/*
 * literal: a Python expression in brackets is a list of texts, or refused in words.
 *
 * Input: what stands between the brackets. What is accepted is written down again as Python would,
 * and must be the same list then.
 */
#include "gateway/search/literal.h"

#include "base/buf.h"
#include "ingest/python.h"
#include "schema/errors.h"
#include "tests/fuzz/fuzz.h"

static struct str *read_list(struct arena *a, struct str inner, size_t *count)
{
    struct str text = arena_printf(a, "(%.*s)", STR_ARG(inner));
    struct str *items = NULL;
    struct fail f;
    err_t e;

    if (text.n != inner.n + 2)
        return NULL; /* a NUL ended it */
    fail_init(&f, a);
    if ((e = literal_list(a, text, &items, count, &f)) == OK)
        return items;
    fuzz_check_refusal(e, &f);
    check(e == ERR_BAD_PARAM || e == ERR_INTERNAL);
    return NULL;
}

static void fuzz_one(struct arena *a, struct str in)
{
    size_t count = 0, again_count = 0;
    struct str *items = fuzz_is_utf8(in) ? read_list(a, in, &count) : NULL;
    struct str *again;
    struct buf text;

    if (items == NULL)
        return;
    check(count > 0);
    buf_init(&text);
    for (size_t i = 0; i < count; i++) {
        python_repr(&text, items[i]);
        buf_add_byte(&text, ',');
    }
    again = read_list(a, buf_str(&text), &again_count);
    check(again != NULL && again_count == count);
    for (size_t i = 0; i < count; i++)
        check(str_eq(items[i], again[i]));
    buf_fini(&text);
}
