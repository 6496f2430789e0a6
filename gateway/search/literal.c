/*
 * literal: ast.literal_eval, and what MLflow makes of its result.
 *
 * literal_check walks the tree as literal_eval converts it, so that the first node it would refuse
 * is the one that is named; literal_repr prints what it accepted. MLflow then wants a tuple, not
 * empty, of str only; a value that is no tuple counts as a tuple of one.
 *
 * Not as in CPython: the order of a set's items and the address of an object (both differ from run
 * to run there), repeated keys of a dict, unhashable keys, the repr of negative complex numbers.
 */
#include "gateway/search/literal.h"

#include "base/buf.h"
#include "gateway/say.h"
#include "gateway/search/literal_parse.h"
#include "ingest/python.h"
#include "schema/errors.h"

static bool is_sequence(const struct literal *n)
{
    return n->kind >= LITERAL_TUPLE && n->kind <= LITERAL_DICT;
}

static bool is_number(const struct literal *n)
{
    return n->kind >= LITERAL_INT && n->kind <= LITERAL_IMAGINARY;
}

static bool is_real(const struct literal *n)
{
    return n->kind == LITERAL_INT || n->kind == LITERAL_FLOAT ||
           (n->kind == LITERAL_SIGN && n->items[0]->kind != LITERAL_IMAGINARY);
}

/* The node that literal_eval calls malformed, if there is one among a number and its sign. */
static const struct literal *literal_bad_number(const struct literal *n)
{
    if (n->kind == LITERAL_SIGN)
        n = n->items[0];
    return is_number(n) ? NULL : n;
}

static const struct literal *literal_bad_sum(const struct literal *n)
{
    const struct literal *bad = literal_bad_number(n->items[0]);

    if (bad == NULL && !is_number(n->items[1]))
        bad = n->items[1];
    if (bad == NULL && !(is_real(n->items[0]) && n->items[1]->kind == LITERAL_IMAGINARY))
        bad = n;
    return bad;
}

/* The first malformed node of a tree of bounded depth. */
static const struct literal *literal_bad(const struct literal *n)
{
    if (n->kind == LITERAL_OTHER)
        return n;
    if (n->kind == LITERAL_SIGN)
        return literal_bad_number(n);
    if (n->kind == LITERAL_SUM)
        return literal_bad_sum(n);
    for (size_t i = 0; is_sequence(n) && i < n->count; i++) {
        const struct literal *bad = literal_bad(n->items[i]);

        if (bad)
            return bad;
    }
    return NULL;
}

static void literal_repr(struct buf *out, const struct literal *n)
{
    static const char open[] = "([{{", close[] = ")]}}";

    if (n->kind == LITERAL_STR) {
        python_repr(out, n->text);
    } else if (n->kind == LITERAL_BYTES) {
        python_repr_bytes(out, n->text);
    } else if (n->kind == LITERAL_SIGN) {
        if (n->sign == '-' && !str_eq(n->items[0]->text, STR("0")))
            buf_add_byte(out, '-');
        buf_add_str(out, n->items[0]->text);
    } else if (n->kind == LITERAL_SUM) {
        buf_add_byte(out, '(');
        literal_repr(out, n->items[0]);
        buf_add_byte(out, n->sign);
        literal_repr(out, n->items[1]);
        buf_add_byte(out, ')');
    } else if (is_sequence(n)) {
        buf_add_byte(out, open[n->kind - LITERAL_TUPLE]);
        for (size_t i = 0; i < n->count; i++) {
            if (i)
                buf_add(out, n->kind == LITERAL_DICT && i % 2 ? ": " : ", ", 2);
            literal_repr(out, n->items[i]);
        }
        if (n->kind == LITERAL_TUPLE && n->count == 1)
            buf_add_byte(out, ',');
        buf_add_byte(out, close[n->kind - LITERAL_TUPLE]);
    } else {
        buf_add_str(out, n->text);
    }
}

struct str literal_show(struct arena *a, const struct literal *n)
{
    struct buf repr;
    struct str text;

    buf_init(&repr);
    literal_repr(&repr, n);
    text = arena_dup(a, buf_str(&repr));
    buf_fini(&repr);
    return text;
}

static err_t literal_refuse(struct arena *a, const struct literal *tuple, struct fail *f)
{
    return SAY(a, f, ERR_BAD_PARAM,
               STR("While parsing a list in the query, expected string value, punctuation, or "
                   "whitespace, but got different type in list: "),
               literal_show(a, tuple));
}

static err_t literal_malformed(const struct literal *bad, struct fail *f)
{
    return fail(f, ERR_INTERNAL,
                "malformed node or string on line %u: <ast.%s object at 0x7f0000000000>", bad->line,
                bad->class);
}

err_t literal_eval(struct arena *a, struct str text, struct literal **out, struct fail *f)
{
    const struct literal *bad;

    *out = literal_parse(a, text);
    if (*out == NULL)
        return fail_str(f, ERR_INTERNAL, STR("invalid syntax (<unknown>, line 1)"));
    bad = literal_bad(*out);
    return bad ? literal_malformed(bad, f) : OK;
}

err_t literal_list(struct arena *a, struct str text, struct str **items, size_t *count,
                   struct fail *f)
{
    struct literal *n = literal_parse(a, text);
    struct literal one = {.kind = LITERAL_TUPLE, .items = &n, .count = 1};
    const struct literal *bad, *tuple;

    if (n == NULL)
        return fail_str(f, ERR_BAD_PARAM,
                        STR("While parsing a list in the query, expected a non-empty list of "
                            "string values, but got ill-formed list."));
    if ((bad = literal_bad(n)) != NULL)
        return literal_malformed(bad, f);
    tuple = n->kind == LITERAL_TUPLE ? n : &one;
    if (tuple->count == 0)
        return fail_str(f, ERR_BAD_PARAM,
                        STR("While parsing a list in the query, expected a non-empty list of "
                            "string values, but got empty list"));
    *items = arena_array(a, tuple->count, sizeof((*items)[0]));
    *count = tuple->count;
    for (size_t i = 0; i < tuple->count; i++) {
        if (tuple->items[i]->kind != LITERAL_STR)
            return literal_refuse(a, tuple, f);
        (*items)[i] = tuple->items[i]->text;
    }
    return OK;
}
