/*
 * graphql_parse: recursive descent over the tokens, one function a rule of the grammar.
 *
 * What is read is the executable part of the language: operations and fragments. Definitions of
 * types, which MLflow's server parses and then refuses, are refused here.
 *
 *   definition   { ... } | (query|mutation|subscription) Name? (variables)? directives { ... }
 *                | fragment Name on Type directives { ... }
 *   selection    alias? Name (arguments)? directives { ... }?
 *                | ... Name directives | ... (on Type)? directives { ... }
 *   value        $Name Int Float String true false null Name [ ... ] { name: value }
 *
 * Depth, bytes, tokens and operations are bounded; time is linear. When all is read each
 * spread is joined to its fragment, of several with one name the last.
 */
#include "gateway/graphql/graphql_parse.h"

#include "base/idmap.h"
#include "gateway/graphql/graphql_lex.h"
#include "gateway/say.h"
#include "ingest/names.h"
#include "schema/errors.h"

struct parse {
    struct graphql_lex lex;
    struct graphql_token token; /* the next one */
    unsigned depth;
};

static err_t parse_next(struct parse *p, struct fail *f)
{
    return graphql_lex_next(&p->lex, &p->token, f);
}

/* "Expected <what>, found <token>" */
static err_t parse_fail(struct parse *p, struct str expected, struct fail *f)
{
    struct str found =
        p->token.kind == GRAPHQL_END ? STR("<EOF>") : names_cut(p->token.text, NAMES_QUOTE_MAX);
    struct arena *a = p->lex.arena;

    return graphql_lex_fail(
        a, p->lex.text, p->token.at,
        SAY_TEXT(a, STR("Expected "), expected, STR(", found '"), found, STR("'")), f);
}

static bool is_mark(const struct parse *p, struct str mark)
{
    return p->token.kind == GRAPHQL_MARK && str_eq(p->token.text, mark);
}

static bool is_word(const struct parse *p, struct str word)
{
    return p->token.kind == GRAPHQL_NAME && str_eq(p->token.text, word);
}

static err_t parse_mark(struct parse *p, struct str mark, struct fail *f)
{
    if (!is_mark(p, mark))
        return parse_fail(p, SAY_TEXT(p->lex.arena, STR("'"), mark, STR("'")), f);
    return parse_next(p, f);
}

static err_t parse_name(struct parse *p, struct str *out, struct fail *f)
{
    if (p->token.kind != GRAPHQL_NAME)
        return parse_fail(p, STR("Name"), f);
    *out = p->token.text;
    return parse_next(p, f);
}

static err_t parse_deeper(struct parse *p, struct fail *f)
{
    if (++p->depth > GRAPHQL_NESTING_MAX)
        return fail(f, ERR_BAD_PARAM, "The query is nested deeper than %d levels.",
                    GRAPHQL_NESTING_MAX);
    return OK;
}

/* -- values ---------------------------------------------------------------------------------- */

static err_t parse_value(struct parse *p, bool is_constant, struct graphql_value **out,
                         struct fail *f);

/* Members up to the closing mark: values of a list, or name: value. */
static err_t parse_members(struct parse *p, struct str close, bool are_named, bool is_constant,
                           struct graphql_value **last, struct fail *f)
{
    err_t e;

    while (!is_mark(p, close)) {
        struct str name = {0};
        size_t at = p->token.at;

        if (are_named && ((e = parse_name(p, &name, f)) || (e = parse_mark(p, STR(":"), f))))
            return e;
        if ((e = parse_value(p, is_constant, last, f)))
            return e;
        (*last)->name = name;
        if (are_named)
            (*last)->at = at;
        last = &(*last)->next;
    }
    return parse_next(p, f);
}

static err_t parse_word(struct parse *p, struct graphql_value *v, struct fail *f)
{
    v->kind = is_word(p, STR("true")) || is_word(p, STR("false")) ? LITERAL_BOOL
              : is_word(p, STR("null"))                           ? LITERAL_NULL
                                                                  : LITERAL_ENUM;
    return parse_next(p, f);
}

static err_t parse_value(struct parse *p, bool is_constant, struct graphql_value **out,
                         struct fail *f)
{
    struct graphql_value *v = *out = arena_zalloc(p->lex.arena, sizeof(*v));
    err_t e;

    v->at = p->token.at;
    v->text = p->token.text;
    switch (p->token.kind) {
    case GRAPHQL_INT: v->kind = LITERAL_INT; return parse_next(p, f);
    case GRAPHQL_FLOAT: v->kind = LITERAL_FLOAT; return parse_next(p, f);
    case GRAPHQL_NAME: return parse_word(p, v, f);
    case GRAPHQL_STRING:
        v->kind = LITERAL_STRING;
        v->text = p->token.value;
        return parse_next(p, f);
    default: break;
    }
    if (is_mark(p, STR("$")) && !is_constant) {
        v->kind = LITERAL_VARIABLE;
        return (e = parse_next(p, f)) ? e : parse_name(p, &v->text, f);
    }
    v->kind = is_mark(p, STR("{")) ? LITERAL_OBJECT : LITERAL_LIST;
    if (v->kind == LITERAL_LIST && !is_mark(p, STR("[")))
        return parse_fail(p, STR("a value"), f);
    if ((e = parse_deeper(p, f)) || (e = parse_next(p, f)) ||
        (e = parse_members(p, v->kind == LITERAL_LIST ? STR("]") : STR("}"),
                           v->kind == LITERAL_OBJECT, is_constant, &v->items, f)))
        return e;
    p->depth--;
    return OK;
}

static err_t parse_arguments(struct parse *p, bool are_constant, struct graphql_value **out,
                             struct fail *f)
{
    err_t e;

    if (!is_mark(p, STR("(")))
        return OK;
    if ((e = parse_next(p, f)))
        return e;
    if (is_mark(p, STR(")")))
        return parse_fail(p, STR("Name"), f);
    return parse_members(p, STR(")"), true, are_constant, out, f);
}

static err_t parse_directives(struct parse *p, bool are_constant, struct graphql_directive **last,
                              struct fail *f)
{
    err_t e;

    while (is_mark(p, STR("@"))) {
        struct graphql_directive *d = *last = arena_zalloc(p->lex.arena, sizeof(*d));

        d->at = p->token.at;
        if ((e = parse_next(p, f)) || (e = parse_name(p, &d->name, f)) ||
            (e = parse_arguments(p, are_constant, &d->arguments, f)))
            return e;
        last = &d->next;
    }
    return OK;
}

/* -- selections ------------------------------------------------------------------------------ */

static err_t parse_selections(struct parse *p, struct graphql_selection **last, struct fail *f);

static err_t parse_field(struct parse *p, struct graphql_selection *s, struct fail *f)
{
    err_t e;

    s->kind = SELECT_FIELD;
    if ((e = parse_name(p, &s->key, f)))
        return e;
    s->name = s->key;
    if (is_mark(p, STR(":"))) {
        s->has_alias = true;
        if ((e = parse_next(p, f)) || (e = parse_name(p, &s->name, f)))
            return e;
    }
    if ((e = parse_arguments(p, false, &s->arguments, f)) ||
        (e = parse_directives(p, false, &s->directives, f)))
        return e;
    s->has_items = is_mark(p, STR("{"));
    return s->has_items ? parse_selections(p, &s->items, f) : OK;
}

static err_t parse_fragment(struct parse *p, struct graphql_selection *s, struct fail *f)
{
    err_t e;

    if ((e = parse_next(p, f)))
        return e;
    s->kind =
        p->token.kind == GRAPHQL_NAME && !is_word(p, STR("on")) ? SELECT_SPREAD : SELECT_INLINE;
    if (s->kind == SELECT_SPREAD && (e = parse_name(p, &s->name, f)))
        return e;
    if (is_word(p, STR("on")) && s->kind == SELECT_INLINE &&
        ((e = parse_next(p, f)) || (e = parse_name(p, &s->name, f))))
        return e;
    if ((e = parse_directives(p, false, &s->directives, f)))
        return e;
    s->has_items = s->kind == SELECT_INLINE;
    return s->has_items ? parse_selections(p, &s->items, f) : OK;
}

static err_t parse_selections(struct parse *p, struct graphql_selection **last, struct fail *f)
{
    err_t e;

    if ((e = parse_mark(p, STR("{"), f)) || (e = parse_deeper(p, f)))
        return e;
    do {
        struct graphql_selection *s = *last = arena_zalloc(p->lex.arena, sizeof(*s));

        s->at = p->token.at;
        e = is_mark(p, STR("...")) ? parse_fragment(p, s, f) : parse_field(p, s, f);
        if (e)
            return e;
        last = &s->next;
    } while (!is_mark(p, STR("}")));
    p->depth--;
    return parse_next(p, f);
}

/* -- definitions ----------------------------------------------------------------------------- */

static err_t parse_type(struct parse *p, struct graphql_type **out, struct fail *f)
{
    struct graphql_type *t = *out = arena_zalloc(p->lex.arena, sizeof(*t));
    err_t e;

    if (is_mark(p, STR("["))) {
        if ((e = parse_deeper(p, f)) || (e = parse_next(p, f)) || (e = parse_type(p, &t->of, f)) ||
            (e = parse_mark(p, STR("]"), f)))
            return e;
        p->depth--;
    } else if ((e = parse_name(p, &t->name, f))) {
        return e;
    }
    t->is_required = is_mark(p, STR("!"));
    return t->is_required ? parse_next(p, f) : OK;
}

static err_t parse_variables(struct parse *p, struct graphql_variable **last, struct fail *f)
{
    err_t e;

    if (!is_mark(p, STR("(")))
        return OK;
    if ((e = parse_next(p, f)))
        return e;
    do {
        struct graphql_variable *v = *last = arena_zalloc(p->lex.arena, sizeof(*v));

        if ((e = parse_mark(p, STR("$"), f)) || (e = parse_name(p, &v->name, f)) ||
            (e = parse_mark(p, STR(":"), f)) || (e = parse_type(p, &v->type, f)))
            return e;
        if (is_mark(p, STR("=")) &&
            ((e = parse_next(p, f)) || (e = parse_value(p, true, &v->fallback, f))))
            return e;
        if ((e = parse_directives(p, true, &v->directives, f)))
            return e;
        last = &v->next;
    } while (!is_mark(p, STR(")")));
    return parse_next(p, f);
}

static err_t parse_definition(struct parse *p, struct graphql_definition *d, struct fail *f)
{
    err_t e;

    if (is_mark(p, STR("{"))) {
        d->kind = DEFINE_QUERY;
        return parse_selections(p, &d->items, f);
    }
    if (is_word(p, STR("query")))
        d->kind = DEFINE_QUERY;
    else if (is_word(p, STR("mutation")))
        d->kind = DEFINE_MUTATION;
    else if (is_word(p, STR("subscription")))
        d->kind = DEFINE_SUBSCRIPTION;
    else if (is_word(p, STR("fragment")))
        d->kind = DEFINE_FRAGMENT;
    else
        return parse_fail(p, STR("an operation or a fragment"), f);
    if ((e = parse_next(p, f)))
        return e;
    if (d->kind == DEFINE_FRAGMENT) {
        if (is_word(p, STR("on")))
            return parse_fail(p, STR("the name of the fragment"), f);
        if ((e = parse_name(p, &d->name, f)))
            return e;
        if (!is_word(p, STR("on")))
            return parse_fail(p, STR("'on'"), f);
        if ((e = parse_next(p, f)) || (e = parse_name(p, &d->condition, f)))
            return e;
    } else if ((p->token.kind == GRAPHQL_NAME && (e = parse_name(p, &d->name, f))) ||
               (e = parse_variables(p, &d->variables, f))) {
        return e;
    }
    if ((e = parse_directives(p, false, &d->directives, f)))
        return e;
    return parse_selections(p, &d->items, f);
}

static void join_spreads(struct graphql_selection *s, const struct idmap *fragments)
{
    for (; s; s = s->next) {
        uint64_t *found = s->kind == SELECT_SPREAD ? idmap_get(fragments, s->name) : NULL;

        if (found)
            s->fragment = (struct graphql_definition *)(uintptr_t)*found;
        join_spreads(s->items, fragments);
    }
}

err_t graphql_parse(struct arena *a, struct str text, struct graphql_document *out, struct fail *f)
{
    struct graphql_definition **last = &out->definitions;
    struct parse p = {.depth = 0};
    unsigned noperations = 0;
    struct idmap fragments;
    bool is_new;
    err_t e;

    *out = (struct graphql_document){.marks = 0};
    if (text.n > GRAPHQL_BYTES_MAX)
        return fail(f, ERR_BAD_PARAM, "The query has more than %d bytes.", GRAPHQL_BYTES_MAX);
    graphql_lex_init(&p.lex, a, text);
    if ((e = parse_next(&p, f)))
        return e;
    do {
        *last = arena_zalloc(a, sizeof(**last));
        if ((e = parse_definition(&p, *last, f)))
            return e;
        if ((*last)->kind != DEFINE_FRAGMENT && ++noperations > GRAPHQL_OPERATIONS_MAX)
            return fail(f, ERR_BAD_PARAM, "The query has more than %d operations.",
                        GRAPHQL_OPERATIONS_MAX);
        last = &(*last)->next;
    } while (p.token.kind != GRAPHQL_END);
    idmap_init(&fragments);
    for (struct graphql_definition *d = out->definitions; d; d = d->next)
        if (d->kind == DEFINE_FRAGMENT)
            *idmap_put(&fragments, d->name, &is_new) = (uint64_t)(uintptr_t)d;
    for (struct graphql_definition *d = out->definitions; d; d = d->next)
        join_spreads(d->items, &fragments);
    idmap_fini(&fragments);
    return OK;
}
