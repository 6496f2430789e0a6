/*
 * model_value: what SQLAlchemy and psycopg make of a Python value.
 *
 * For IN and NOT IN, a list: the type of the first item decides for all (None leaves it to the
 * column), the others are cast. Any sequence will do, a dict's keys too; tuples and lists within it
 * equal no text and are left out.
 *
 * For the other comparators, a single value. A tuple becomes the text of a row, ('a','b') being
 * (a,b), and a string between parentheses is a tuple of one: so "name = ('a')" finds nothing, as at
 * MLflow. None is NULL. What cannot be compared is MODEL_REFUSED with the driver's words.
 */
#include "gateway/api/model_value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "gateway/say.h"
#include "gateway/search/literal.h"
#include "gateway/search/literal_parse.h"
#include "gateway/sql/sql.h"
#include "schema/errors.h"

static bool is_none(const struct literal *n)
{
    return n->kind == LITERAL_CONSTANT && str_eq(n->text, STR("None"));
}

static bool is_bool(const struct literal *n)
{
    return n->kind == LITERAL_CONSTANT && !is_none(n);
}

static bool is_list(const struct literal *n)
{
    return n->kind == LITERAL_TUPLE || n->kind == LITERAL_LIST;
}

/* The number below a sign. */
static const struct literal *unsigned_number(const struct literal *n)
{
    return n->kind == LITERAL_SIGN ? n->items[0] : n;
}

static bool is_integer(const struct literal *n)
{
    return unsigned_number(n)->kind == LITERAL_INT;
}

static bool is_real(const struct literal *n)
{
    return unsigned_number(n)->kind == LITERAL_FLOAT;
}

static double number_of(struct arena *a, const struct literal *n)
{
    double v = strtod(arena_cstr(a, unsigned_number(n)->text), NULL);

    return n->kind == LITERAL_SIGN && n->sign == '-' ? -v : v;
}

/* As PostgreSQL writes it. */
static struct str number_text(struct arena *a, const struct literal *n)
{
    char repr[JSON_DOUBLE_MAX];
    struct str text;

    if (is_integer(n))
        return SAY_TEXT(a, n->kind == LITERAL_SIGN && n->sign == '-' ? STR("-") : STR(""),
                        unsigned_number(n)->text);
    text = arena_dup(a, (struct str){repr, json_repr_double(number_of(a, n), repr)});
    if (str_ends(text, STR(".0")))
        text.n -= 2;
    return text;
}

/* False when the driver has no text for it. */
static bool item_text(struct arena *a, const struct literal *n, struct str *out)
{
    if (n->kind == LITERAL_STR)
        *out = arena_dup(a, n->text); /* p is not NULL */
    else if (is_none(n))
        *out = sql_null();
    else if (is_bool(n))
        *out = str_eq(n->text, STR("True")) ? STR("true") : STR("false");
    else if (is_integer(n) || is_real(n))
        *out = number_text(a, n);
    else
        return false;
    return true;
}

static err_t refuse(struct model_clause *c, struct str why)
{
    c->kind = MODEL_REFUSED;
    c->text = why;
    return OK;
}

static err_t refuse_class(struct arena *a, struct model_clause *c, const struct literal *n)
{
    const char *class = n->kind == LITERAL_DICT    ? "dict"
                        : n->kind == LITERAL_SUM   ? "complex"
                        : n->kind == LITERAL_BYTES ? "bytes"
                                                   : "set";

    return refuse(c, arena_printf(a,
                                  "(psycopg.ProgrammingError) cannot adapt type '%s' using "
                                  "placeholder '%%s' (format: AUTO)",
                                  class));
}

/* -- single values ---------------------------------------------------------------------------- */

static err_t set_single(struct arena *a, const struct literal *n, struct model_clause *c)
{
    const struct literal *const one[] = {n};
    const struct literal *const *items = is_list(n) ? (const struct literal *const *)n->items : one;
    size_t count = is_list(n) ? n->count : 1;
    struct str *texts;

    if (is_none(n)) {
        c->kind = MODEL_NULL;
        return OK;
    }
    if (is_bool(n))
        return refuse(c, STR("(psycopg.errors.UndefinedFunction) operator does not exist: "
                             "character varying = boolean"));
    if (is_integer(n) || is_real(n)) {
        c->kind = MODEL_NUMBER;
        c->number = number_of(a, n);
        return OK;
    }
    if (n->kind != LITERAL_STR && !is_list(n))
        return refuse_class(a, c, n);
    texts = arena_array(a, count, sizeof(texts[0]));
    for (size_t i = 0; i < count; i++) {
        if (!item_text(a, items[i], &texts[i]))
            return refuse_class(a, c, items[i]);
    }
    c->kind = MODEL_TEXT;
    c->text = n->kind == LITERAL_LIST ? sql_text_array_nulls(a, texts, count)
                                      : sql_text_row(a, texts, count);
    return OK;
}

/* -- lists ------------------------------------------------------------------------------------ */

/* The kind that the first item asks for. */
static enum model_value list_kind(const struct literal *first, bool is_integer_column)
{
    if (first == NULL || is_none(first) || is_list(first))
        return is_integer_column ? MODEL_INTS : MODEL_TEXTS;
    return first->kind == LITERAL_STR ? MODEL_TEXTS
           : is_integer(first)        ? MODEL_INTS
           : is_real(first)           ? MODEL_FLOATS
                                      : MODEL_REFUSED;
}

/* One item in a list of the kind; false when it cannot be cast. */
static bool list_item(struct arena *a, const struct literal *n, enum model_value kind,
                      struct str *out)
{
    if (!item_text(a, n, out))
        return false;
    if (kind == MODEL_FLOATS)
        return is_none(n) || is_integer(n) || is_real(n);
    if (kind == MODEL_INTS && is_real(n) && fabs(number_of(a, n)) < 0x1p31)
        *out = sql_i64(a, lrint(number_of(a, n)));
    else if (kind == MODEL_INTS && is_bool(n))
        *out = str_eq(n->text, STR("True")) ? STR("1") : STR("0");
    return true;
}

static err_t set_list(struct arena *a, const struct literal *n, bool is_integer_column,
                      struct model_clause *c)
{
    size_t step = n->kind == LITERAL_DICT ? 2 : 1;

    if (!is_list(n) && n->kind != LITERAL_SET && n->kind != LITERAL_DICT &&
        n->kind != LITERAL_EMPTY_SET)
        return refuse(c, SAY_TEXT(a,
                                  STR("IN expression list, SELECT construct, or bound parameter "
                                      "object expected, got "),
                                  literal_show(a, n), STR(".")));
    c->kind = list_kind(n->count ? n->items[0] : NULL, is_integer_column);
    if (c->kind == MODEL_REFUSED)
        return refuse_class(a, c, n->items[0]);
    c->list = arena_array(a, n->count, sizeof(c->list[0]));
    for (size_t i = 0; i < n->count; i += step) {
        if (is_list(n->items[i]) && c->kind == MODEL_TEXTS)
            continue;
        if (!list_item(a, n->items[i], c->kind, &c->list[c->list_count]))
            return refuse_class(a, c, n->items[i]);
        c->list_count++;
    }
    return OK;
}

err_t model_value_literal(struct arena *a, struct str text, bool is_integer_column,
                          struct model_clause *c, struct fail *f)
{
    struct literal *n, tuple = {.kind = LITERAL_TUPLE, .items = &n, .count = 1};
    err_t e;

    if ((e = literal_eval(a, text, &n, f)))
        return e;
    if (c->op == OP_IN || c->op == OP_NOT_IN)
        return set_list(a, n->kind == LITERAL_STR ? &tuple : n, is_integer_column, c);
    return set_single(a, n, c);
}
