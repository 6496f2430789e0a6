/*
 * graphql_usage: walks that follow spreads, from an operation or from a fragment.
 *
 * A walk takes a number and leaves it on the fragments it has been in, so it is in each once. An
 * operation is walked twice, as graphql-core's rules do it: for names (defined? used?), then for
 * types. Cycles are found depth first: a spread of a fragment that is on the path closes one.
 */
#include "gateway/graphql/graphql_usage.h"

#include "base/idmap.h"
#include "gateway/graphql/graphql_check.h"
#include "gateway/graphql/graphql_lex.h"

struct usage {
    struct graphql_document *doc;
    struct graphql_errors *errors;
    struct graphql_definition *operation;
    struct idmap variables; /* name to struct graphql_variable */
    unsigned mark;
    bool are_types; /* looked at in this walk, else names */
};

static void usage_selections(struct usage *u, enum graphql_type_id parent,
                             const struct graphql_selection *s);

/* -- variables ------------------------------------------------------------------------------- */

/* Does a variable of this type fit a place that takes slot? */
static bool type_fits(const struct graphql_variable *v, struct graphql_slot slot)
{
    const struct graphql_type *t = v->type;
    bool has_value = v->fallback && v->fallback->kind != LITERAL_NULL;

    if (slot.is_required && !t->is_required && !has_value)
        return false;
    if (slot.is_list != (t->of != NULL))
        return false;
    if (t->of)
        t = t->of;
    return t->of == NULL && graphql_type_find(t->name) == slot.type;
}

static void usage_of(struct usage *u, struct graphql_slot slot, const struct graphql_value *value)
{
    uint64_t *found = idmap_get(&u->variables, value->text);
    struct graphql_variable *v = found ? (struct graphql_variable *)(uintptr_t)*found : NULL;
    struct arena *a = u->errors->arena;
    const struct graphql_type *named;
    struct str type;

    if (!u->are_types) {
        if (v)
            v->is_used = true;
        else if (u->operation->name.p)
            GRAPHQL_SAY(u->errors, value->at, STR("Variable '$"), value->text,
                        STR("' is not defined by operation '"), u->operation->name, STR("'."));
        else
            GRAPHQL_SAY(u->errors, value->at, STR("Variable '$"), value->text,
                        STR("' is not defined."));
        return;
    }
    if (v == NULL || slot.type == TYPE_NONE || type_fits(v, slot))
        return;
    for (named = v->type; named->of;)
        named = named->of;
    if (graphql_type_find(named->name) == TYPE_NONE)
        return;
    type = graphql_type(slot.type)->name;
    GRAPHQL_SAY(u->errors, value->at, STR("Variable '$"), value->text, STR("' of type '"),
                graphql_print_type(a, v->type), STR("' used in position expecting type '"),
                slot.is_list ? STR("[") : STR(""), type, slot.is_list ? STR("]") : STR(""),
                slot.is_required ? STR("!") : STR(""), STR("'."));
}

static void usage_value(struct usage *u, struct graphql_slot slot, const struct graphql_value *v)
{
    if (v->kind == LITERAL_VARIABLE) {
        usage_of(u, slot, v);
        return;
    }
    for (const struct graphql_value *item = v->items; item; item = item->next) {
        const struct graphql_field *field =
            v->kind == LITERAL_OBJECT ? graphql_field_find(slot.type, item->name) : NULL;
        struct graphql_slot inner = {v->kind == LITERAL_LIST ? slot.type : TYPE_NONE, false, false};

        usage_value(u, field ? graphql_slot_of(field) : inner, item);
    }
}

static void usage_directives(struct usage *u, const struct graphql_directive *d)
{
    for (; d; d = d->next) {
        for (const struct graphql_value *v = d->arguments; v; v = v->next) {
            bool is_name = str_eq(d->name, STR("component")) && str_eq(v->name, STR("name"));

            usage_value(u, (struct graphql_slot){is_name ? TYPE_String : TYPE_NONE, false, is_name},
                        v);
        }
    }
}

static void usage_field(struct usage *u, enum graphql_type_id parent,
                        const struct graphql_selection *s)
{
    const struct graphql_field *field = graphql_field_find(parent, s->name);

    for (const struct graphql_value *v = s->arguments; v; v = v->next) {
        bool is_it = field && field->argument.n && str_eq(field->argument, v->name);

        usage_value(u, (struct graphql_slot){is_it ? field->input : TYPE_NONE, false, false}, v);
    }
    usage_selections(u, field ? field->type : TYPE_NONE, s->items);
}

static void usage_selections(struct usage *u, enum graphql_type_id parent,
                             const struct graphql_selection *s)
{
    for (; s && !u->errors->is_full; s = s->next) {
        struct graphql_definition *fragment = s->fragment;

        usage_directives(u, s->directives);
        if (s->kind == SELECT_FIELD)
            usage_field(u, parent, s);
        else if (s->kind == SELECT_INLINE)
            usage_selections(u, s->name.p ? graphql_type_find(s->name) : parent, s->items);
        if (fragment == NULL || fragment->mark == u->mark)
            continue;
        fragment->mark = u->mark;
        fragment->is_used = true;
        usage_directives(u, fragment->directives);
        usage_selections(u, graphql_root_type(fragment), fragment->items);
    }
}

static void usage_walk(struct usage *u)
{
    struct graphql_definition *d = u->operation;

    u->mark = ++u->doc->marks;
    usage_directives(u, d->directives);
    usage_selections(u, graphql_root_type(d), d->items);
}

void graphql_usage_variables(struct graphql_document *doc, struct graphql_definition *operation,
                             struct graphql_errors *errors)
{
    struct usage u = {.doc = doc, .errors = errors, .operation = operation};
    bool is_new;

    idmap_init(&u.variables);
    for (struct graphql_variable *v = operation->variables; v; v = v->next)
        *idmap_put(&u.variables, v->name, &is_new) = (uint64_t)(uintptr_t)v;
    usage_walk(&u);
    for (struct graphql_variable *v = operation->variables; v; v = v->next) {
        if (v->is_used || *idmap_get(&u.variables, v->name) != (uint64_t)(uintptr_t)v)
            continue;
        if (operation->name.p)
            GRAPHQL_SAY(errors, operation->items->at, STR("Variable '$"), v->name,
                        STR("' is never used in operation '"), operation->name, STR("'."));
        else
            GRAPHQL_SAY(errors, operation->items->at, STR("Variable '$"), v->name,
                        STR("' is never used."));
    }
    u.are_types = true;
    usage_walk(&u);
    idmap_fini(&u.variables);
}

/* -- fragments ------------------------------------------------------------------------------- */

/* The fragments on the way to the one that is looked into, each with the spread that led on. */
struct path {
    struct graphql_errors *errors;
    const struct graphql_selection **spreads;
    size_t n;
};

static void cycles_from(struct path *p, struct graphql_definition *fragment);

/* The spread at the end of the path leads back to the fragment at place index. */
static void cycle_say(struct path *p, size_t index)
{
    const struct graphql_selection *last = p->spreads[p->n - 1];
    struct str text, via;
    struct buf out;

    buf_init(&out);
    for (size_t i = index; i + 1 < p->n; i++) {
        buf_add_str(&out, i > index ? STR(", '") : STR(" via '"));
        buf_add_str(&out, p->spreads[i]->name);
        buf_add_byte(&out, '\'');
    }
    via = buf_str(&out);
    text = SAY_TEXT(p->errors->arena, STR("Cannot spread fragment '"), last->name,
                    STR("' within itself"), via, STR("."));
    buf_fini(&out);
    graphql_errors_add(p->errors, last->at, text);
}

static void cycles_in(struct path *p, const struct graphql_selection *s)
{
    for (; s && !p->errors->is_full; s = s->next) {
        struct graphql_definition *fragment = s->fragment;

        cycles_in(p, s->items);
        if (fragment == NULL)
            continue;
        p->spreads[p->n++] = s;
        if (fragment->is_on_path)
            cycle_say(p, fragment->path_index);
        else
            cycles_from(p, fragment);
        p->n--;
    }
}

static void cycles_from(struct path *p, struct graphql_definition *fragment)
{
    if (fragment->was_on_path)
        return;
    fragment->was_on_path = fragment->is_on_path = true;
    fragment->path_index = p->n;
    cycles_in(p, fragment->items);
    fragment->is_on_path = false;
}

void graphql_usage_cycles(struct graphql_document *doc, struct graphql_definition *fragment,
                          struct graphql_errors *errors)
{
    struct path p = {.errors = errors};
    size_t nfragments = 0;

    if (doc->path == NULL) {
        for (const struct graphql_definition *d = doc->definitions; d; d = d->next)
            nfragments += d->kind == DEFINE_FRAGMENT;
        doc->path = arena_array(errors->arena, nfragments + 1, sizeof(struct graphql_selection *));
    }
    p.spreads = doc->path;
    cycles_from(&p, fragment);
}

void graphql_usage_fragments(struct graphql_document *doc, struct graphql_errors *errors)
{
    struct idmap used; /* names: of fragments with one name the last is the one that is used */
    bool is_new;

    idmap_init(&used);
    for (const struct graphql_definition *d = doc->definitions; d; d = d->next)
        if (d->kind == DEFINE_FRAGMENT && d->is_used)
            idmap_put(&used, d->name, &is_new);
    for (const struct graphql_definition *d = doc->definitions; d; d = d->next)
        if (d->kind == DEFINE_FRAGMENT && idmap_get(&used, d->name) == NULL)
            GRAPHQL_SAY(errors, d->items->at, STR("Fragment '"), d->name, STR("' is never used."));
    idmap_fini(&used);
}
