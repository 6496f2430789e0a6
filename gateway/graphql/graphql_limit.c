/*
 * graphql_limit: fields counted as if every fragment were written out where it is spread.
 *
 * A level is a selection set with the fragments that are spread in it, each once; a field's own
 * selection set is the next level, where they count again. So fragments that hold each other end at
 * the limit on depth, and the number of fields bounds all later work on the document. What is not
 * counted are spreads and inline fragments: the lexer's bound on tokens holds them.
 *
 * A level is gathered whole before the next ones are looked into, because a fragment's mark tells of
 * one level only.
 */
#include "gateway/graphql/graphql_limit.h"

struct limit {
    struct graphql_document *doc;
    size_t roots;
    size_t aliases; /* the most on one level */
    bool is_deep;
    size_t nfields;
    const struct graphql_selection *fields[GRAPHQL_SELECTIONS_MAX + 1];
};

static bool is_over(const struct limit *l)
{
    return l->is_deep || l->nfields > GRAPHQL_SELECTIONS_MAX;
}

/* The fields of a selection set, spread out; returns how many have an alias. */
static size_t limit_gather(struct limit *l, unsigned mark, const struct graphql_selection *s)
{
    size_t aliases = 0;

    for (; s && !is_over(l); s = s->next) {
        if (s->kind == SELECT_INLINE) {
            aliases += limit_gather(l, mark, s->items);
        } else if (s->kind == SELECT_FIELD) {
            l->fields[l->nfields++] = s;
            aliases += s->has_alias;
        } else if (s->fragment && s->fragment->mark != mark) {
            s->fragment->mark = mark;
            aliases += limit_gather(l, mark, s->fragment->items);
        }
    }
    return aliases;
}

static void limit_level(struct limit *l, size_t depth, const struct graphql_selection *items)
{
    size_t begin = l->nfields, end, aliases;

    if (depth > GRAPHQL_DEPTH_MAX) {
        l->is_deep = true;
        return;
    }
    aliases = limit_gather(l, ++l->doc->marks, items);
    if (aliases > l->aliases)
        l->aliases = aliases;
    end = l->nfields;
    if (depth == 1)
        l->roots += end - begin;
    for (size_t i = begin; i < end && !is_over(l); i++)
        if (l->fields[i]->has_items)
            limit_level(l, depth + 1, l->fields[i]->items);
}

static void limit_say(struct graphql_errors *errors, size_t most, const char *what, size_t got,
                      const char *variable)
{
    graphql_errors_add(errors, 0,
                       arena_printf(errors->arena,
                                    "GraphQL queries should have at most %zu %s, got %zu %s. To"
                                    " increase the limit, set the %s environment variable.",
                                    most, what, got, what, variable));
}

void graphql_limit(struct graphql_document *doc, struct graphql_errors *errors)
{
    struct limit *l = arena_zalloc(errors->arena, sizeof(*l));

    l->doc = doc;
    for (struct graphql_definition *d = doc->definitions; d && !is_over(l); d = d->next)
        if (d->kind != DEFINE_FRAGMENT)
            limit_level(l, 1, d->items);
    if (l->is_deep)
        graphql_errors_add(
            errors, 0,
            arena_printf(errors->arena, "Query exceeds maximum depth of %d", GRAPHQL_DEPTH_MAX));
    else if (is_over(l))
        graphql_errors_add(errors, 0,
                           arena_printf(errors->arena,
                                        "Query exceeds maximum total selections of %d",
                                        GRAPHQL_SELECTIONS_MAX));
    else if (l->roots > GRAPHQL_ROOTS_MAX)
        limit_say(errors, GRAPHQL_ROOTS_MAX, "root fields", l->roots,
                  "MLFLOW_SERVER_GRAPHQL_MAX_ROOT_FIELDS");
    else if (l->aliases > GRAPHQL_ALIASES_MAX)
        limit_say(errors, GRAPHQL_ALIASES_MAX, "aliases", l->aliases,
                  "MLFLOW_SERVER_GRAPHQL_MAX_ALIASES");
}
