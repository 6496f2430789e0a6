/*
 * graphql_plan: selections to a tree of keys.
 *
 * A level gathers the fields of one or more selection sets (those of the fields that were merged one
 * level up), fragments once each, and sorts them by key: what has one key must be the same field
 * with the same arguments, and their selection sets are gathered together on the next level. MLflow
 * sorts the keys of its answers too (Flask's jsonify), so the order of the document is needed only
 * to tell which of equal fields came first.
 *
 * A conflict is told where graphql-core tells it: in the selection set that holds both fields, or
 * one above it where two merged fields lead to them: "Fields 'a' conflict because subfields 'b'
 * conflict because ...". Each field is compared with the first of its key, so the work is linear in
 * the fields, which graphql_limit bounds.
 */
#include "gateway/graphql/graphql_plan.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/graphql/graphql_check.h"

struct entry {
    const struct graphql_selection *selection;
    const struct entry *parent; /* whose selection set holds it */
    size_t place;               /* among those gathered */
};

struct level {
    struct graphql_document *doc;
    struct graphql_errors *errors;
    struct entry *entries;
    size_t n;
    size_t capacity;
    unsigned mark;
};

static void plan_level(struct graphql_document *doc, struct graphql_errors *errors,
                       const struct entry *parents, size_t nparents, struct graphql_plan *out);

static void plan_add(struct level *l, struct entry entry)
{
    if (l->n == l->capacity) {
        size_t capacity = l->capacity ? l->capacity * 2 : 16;
        struct entry *entries = arena_array(l->errors->arena, capacity, sizeof(*entries));

        if (l->n)
            memcpy(entries, l->entries, l->n * sizeof(*entries));
        l->entries = entries;
        l->capacity = capacity;
    }
    l->entries[l->n++] = entry;
}

static void plan_gather(struct level *l, const struct entry *parent,
                        const struct graphql_selection *s)
{
    for (; s; s = s->next) {
        if (s->kind == SELECT_INLINE) {
            plan_gather(l, parent, s->items);
        } else if (s->kind == SELECT_FIELD) {
            plan_add(l, (struct entry){s, parent, l->n});
        } else if (s->fragment->mark != l->mark) {
            s->fragment->mark = l->mark;
            plan_gather(l, parent, s->fragment->items);
        }
    }
}

static int entry_order(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = str_cmp(x->selection->key, y->selection->key);

    return order ? order : x->place < y->place ? -1 : 1;
}

/* -- conflicts ------------------------------------------------------------------------------- */

static bool same_value(const struct graphql_value *a, const struct graphql_value *b);

static const struct graphql_value *value_named(const struct graphql_value *v, struct str name)
{
    while (v && !str_eq(v->name, name))
        v = v->next;
    return v;
}

/* The same members, whatever their order. */
static bool same_members(const struct graphql_value *a, const struct graphql_value *b)
{
    size_t n = 0;

    for (const struct graphql_value *v = b; v; v = v->next)
        n++;
    for (; a; a = a->next, n--) {
        const struct graphql_value *other = value_named(b, a->name);

        if (n == 0 || other == NULL || !same_value(a, other))
            return false;
    }
    return n == 0;
}

static bool same_value(const struct graphql_value *a, const struct graphql_value *b)
{
    const struct graphql_value *x = a->items, *y = b->items;

    if (a->kind != b->kind)
        return false;
    if (a->kind == LITERAL_OBJECT)
        return same_members(a->items, b->items);
    if (a->kind != LITERAL_LIST)
        return str_eq(a->text, b->text);
    while (x && y && same_value(x, y))
        x = x->next, y = y->next;
    return x == NULL && y == NULL;
}

static void plan_conflict(struct graphql_errors *errors, const struct entry *a,
                          const struct entry *b, struct str reason)
{
    struct arena *arena = errors->arena;

    while (a->parent != b->parent) {
        reason = SAY_TEXT(arena, STR("subfields '"), a->selection->key, STR("' conflict because "),
                          reason);
        a = a->parent;
        b = b->parent;
    }
    GRAPHQL_SAY(errors, a->selection->at, STR("Fields '"), a->selection->key,
                STR("' conflict because "), reason,
                STR(". Use different aliases on the fields to fetch both if this was"
                    " intentional."));
}

static bool plan_compare(struct graphql_errors *errors, const struct entry *a,
                         const struct entry *b)
{
    const struct graphql_selection *x = a->selection, *y = b->selection;

    if (!str_eq(x->name, y->name)) {
        plan_conflict(errors, a, b,
                      SAY_TEXT(errors->arena, STR("'"), x->name, STR("' and '"), y->name,
                               STR("' are different fields")));
        return false;
    }
    if (!same_members(x->arguments, y->arguments)) {
        plan_conflict(errors, a, b, STR("they have differing arguments"));
        return false;
    }
    return true;
}

/* -- levels ---------------------------------------------------------------------------------- */

/* The item for the n entries of one key. */
static void plan_item(struct level *l, const struct entry *entries, size_t n,
                      enum graphql_type_id parent, struct graphql_plan *out)
{
    const struct graphql_selection *first = entries->selection;
    bool is_same = true;

    *out = (struct graphql_plan){.key = first->key, .selection = first, .type = parent};
    out->field = graphql_field_find(parent, first->name);
    if (out->field)
        out->type = out->field->type;
    for (size_t i = 1; i < n && is_same; i++)
        is_same = plan_compare(l->errors, &entries[0], &entries[i]);
    if (is_same && first->has_items)
        plan_level(l->doc, l->errors, entries, n, out);
}

/* Fills in the items of out from the selection sets of parents. */
static void plan_level(struct graphql_document *doc, struct graphql_errors *errors,
                       const struct entry *parents, size_t nparents, struct graphql_plan *out)
{
    struct arena *a = errors->arena;
    struct level l = {.doc = doc, .errors = errors, .mark = ++doc->marks};
    struct graphql_plan *items;

    for (size_t i = 0; i < nparents; i++)
        plan_gather(&l, &parents[i], parents[i].selection->items);
    qsort(l.entries, l.n, sizeof(*l.entries), entry_order);
    items = arena_array(a, l.n, sizeof(*items));
    for (size_t i = 0, end; i < l.n; i = end) {
        for (end = i + 1;
             end < l.n && str_eq(l.entries[end].selection->key, l.entries[i].selection->key);)
            end++;
        plan_item(&l, l.entries + i, end - i, out->type, &items[out->nitems++]);
    }
    out->items = items;
}

const struct graphql_plan *graphql_plan(struct graphql_document *doc,
                                        const struct graphql_definition *operation,
                                        struct graphql_errors *errors)
{
    struct graphql_selection *whole = arena_zalloc(errors->arena, sizeof(*whole));
    struct entry *root = arena_zalloc(errors->arena, sizeof(*root));
    struct graphql_plan *plan = arena_zalloc(errors->arena, sizeof(*plan));

    whole->items = operation->items;
    root->selection = whole;
    plan->type = graphql_root_type(operation);
    plan_level(doc, errors, root, 1, plan);
    return plan;
}

const struct graphql_plan *graphql_plan_find(const struct graphql_plan *plan, struct str name)
{
    for (size_t i = 0; i < plan->nitems; i++)
        if (plan->items[i].field && str_eq(plan->items[i].field->name, name))
            return &plan->items[i];
    return NULL;
}
