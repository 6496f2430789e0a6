/*
 * graphql_check: graphql-core's validation of a document, as far as MLflow's types go.
 *
 * All of its rules are here but the one on fields that do not merge (graphql_plan.c), each where the
 * walk meets what it is about; the order of messages is that of the document, as there. MLflow's
 * schema knows one directive, @component on operations, and neither @include nor @skip; no interface
 * and no union, so a fragment fits only its own type; no input that must be given; and arguments that
 * are a String or an input object with fields that are scalars, enums or lists of String.
 *
 *   walk          what
 *   definitions   names twice, anonymous among others, types of fragments and variables
 *   selections    fields, arguments, directives, spreads; of fragments once, where they are defined
 *   values        literals against the type of their place
 *
 * These are linear in the document; what goes from an operation through its fragments is
 * graphql_usage.c's. No walk goes on when the list of errors is full.
 */
#include "gateway/graphql/graphql_check.h"

#include <string.h>

#include "base/idmap.h"
#include "gateway/graphql/graphql_usage.h"
#include "ingest/names.h"

enum { PRINT_BYTES_MAX = 4096 };

struct check {
    struct arena *a;
    struct graphql_document *doc;
    struct graphql_errors *errors;
};

static const struct str COMPONENT = STR_INIT("component");
static const struct graphql_slot UNKNOWN = {TYPE_NONE, false, false};
static const struct graphql_slot COMPONENT_NAME = {TYPE_String, false, true};

/* -- what messages show ------------------------------------------------------------------------ */

static void print_string(struct buf *out, struct str s)
{
    static const char plain[] = "\b\t\n\f\r\"\\", letter[] = "btnfr\"\\";

    buf_add_byte(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        const char *found = c ? strchr(plain, c) : NULL;

        if (found)
            buf_printf(out, "\\%c", letter[found - plain]);
        else if (c < 0x20 || c == 0x7F)
            buf_printf(out, "\\u%04X", c);
        else if (c == 0xC2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xA0)
            buf_printf(out, "\\u%04X", (unsigned char)s.p[++i]); /* controls above ASCII */
        else
            buf_add_byte(out, (char)c);
    }
    buf_add_byte(out, '"');
}

static void print_value(struct buf *out, const struct graphql_value *v)
{
    bool is_list = v->kind == LITERAL_LIST;

    if (v->kind == LITERAL_STRING) {
        print_string(out, names_cut(v->text, PRINT_BYTES_MAX));
        return;
    }
    if (v->kind == LITERAL_VARIABLE)
        buf_add_byte(out, '$');
    if (v->kind != LITERAL_LIST && v->kind != LITERAL_OBJECT) {
        buf_add_str(out, v->text);
        return;
    }
    buf_add_byte(out, is_list ? '[' : '{');
    for (const struct graphql_value *item = v->items; item; item = item->next) {
        if (buf_len(out) > PRINT_BYTES_MAX)
            break;
        if (!is_list)
            buf_printf(out, "%.*s: ", STR_ARG(item->name));
        print_value(out, item);
        if (item->next)
            buf_add_str(out, STR(", "));
    }
    buf_add_byte(out, is_list ? ']' : '}');
}

struct str graphql_print(struct arena *a, const struct graphql_value *v)
{
    struct str text;
    struct buf out;

    buf_init(&out);
    print_value(&out, v);
    text = arena_dup(a, buf_str(&out));
    buf_fini(&out);
    return text;
}

struct str graphql_print_type(struct arena *a, const struct graphql_type *t)
{
    struct str inner = t->of ? graphql_print_type(a, t->of) : t->name;

    return SAY_TEXT(a, t->of ? STR("[") : STR(""), inner, t->of ? STR("]") : STR(""),
                    t->is_required ? STR("!") : STR(""));
}

static struct str slot_text(struct arena *a, struct graphql_slot slot)
{
    return SAY_TEXT(a, slot.is_list ? STR("[") : STR(""), graphql_type(slot.type)->name,
                    slot.is_list ? STR("]") : STR(""), slot.is_required ? STR("!") : STR(""));
}

struct graphql_slot graphql_slot_of(const struct graphql_field *field)
{
    return (struct graphql_slot){field->type, field->shape == SHAPE_LIST_OF_NULLABLE, false};
}

enum graphql_type_id graphql_root_type(const struct graphql_definition *d)
{
    switch (d->kind) {
    case DEFINE_QUERY: return TYPE_Query;
    case DEFINE_MUTATION: return TYPE_Mutation;
    case DEFINE_SUBSCRIPTION: return TYPE_NONE;
    case DEFINE_FRAGMENT: return graphql_type_find(d->condition);
    }
    return TYPE_NONE;
}

/* -- values ---------------------------------------------------------------------------------- */

static bool is_int32(struct str text)
{
    int64_t v;

    return str_to_i64(text, &v) && v >= INT32_MIN && v <= INT32_MAX;
}

static void check_enum(struct check *c, enum graphql_type_id type, const struct graphql_value *v)
{
    struct str name = graphql_type(type)->name, shown = graphql_print(c->a, v);
    struct str hint = graphql_suggest_field(c->a, type, shown, "the enum value ");

    if (v->kind != LITERAL_ENUM)
        GRAPHQL_SAY(c->errors, v->at, STR("Enum '"), name,
                    STR("' cannot represent non-enum value: "), shown, STR("."), hint);
    else if (graphql_field_find(type, v->text) == NULL)
        GRAPHQL_SAY(c->errors, v->at, STR("Value '"), v->text, STR("' does not exist in '"), name,
                    STR("' enum."), hint);
}

/* A literal that is no null and no variable where a scalar, an enum, or nothing like it is due. */
static void check_leaf(struct check *c, struct graphql_slot slot, const struct graphql_value *v)
{
    struct str shown;

    if (slot.type == TYPE_NONE || slot.type == TYPE_LongString)
        return; /* MLflow reads what is no integer as null */
    if (graphql_type(slot.type)->kind == KIND_ENUM) {
        check_enum(c, slot.type, v);
        return;
    }
    shown = graphql_print(c->a, v);
    if (graphql_type(slot.type)->kind != KIND_SCALAR)
        GRAPHQL_SAY(c->errors, v->at, STR("Expected value of type '"), slot_text(c->a, slot),
                    STR("', found "), shown, STR("."));
    else if (slot.type == TYPE_Int && v->kind != LITERAL_INT)
        GRAPHQL_SAY(c->errors, v->at, STR("Int cannot represent non-integer value: "), shown);
    else if (slot.type == TYPE_Int && !is_int32(v->text))
        GRAPHQL_SAY(c->errors, v->at, STR("Int cannot represent non 32-bit signed integer value: "),
                    shown);
    else if (slot.type == TYPE_String && v->kind != LITERAL_STRING)
        GRAPHQL_SAY(c->errors, v->at, STR("String cannot represent a non string value: "), shown);
}

/* "There can be only one <what> named 'x'." for each name that stands there before. */
static void check_unique(struct check *c, const struct graphql_value *v, struct str what)
{
    struct idmap seen;
    bool is_new;

    if (v == NULL || v->next == NULL)
        return;
    idmap_init(&seen);
    for (; v; v = v->next) {
        uint64_t *times = idmap_put(&seen, v->name, &is_new);

        if (++*times == 2)
            GRAPHQL_SAY(c->errors, v->at, STR("There can be only one "), what, STR(" named '"),
                        v->name, STR("'."));
    }
    idmap_fini(&seen);
}

static void check_value(struct check *c, struct graphql_slot slot, const struct graphql_value *v);

static void check_object(struct check *c, enum graphql_type_id type, const struct graphql_value *v)
{
    bool is_known = type != TYPE_NONE, is_new;
    struct idmap seen;

    idmap_init(&seen);
    for (const struct graphql_value *item = v->items; item; item = item->next) {
        const struct graphql_field *field = graphql_field_find(type, item->name);

        if (is_known && field == NULL)
            GRAPHQL_SAY(c->errors, item->at, STR("Field '"), item->name,
                        STR("' is not defined by type '"), graphql_type(type)->name, STR("'."),
                        graphql_suggest_field(c->a, type, item->name, ""));
        ++*idmap_put(&seen, item->name, &is_new);
        if (!is_new)
            GRAPHQL_SAY(c->errors, item->at, STR("There can be only one input field named '"),
                        item->name, STR("'."));
        check_value(c, field ? graphql_slot_of(field) : UNKNOWN, item);
    }
    idmap_fini(&seen);
}

static void check_value(struct check *c, struct graphql_slot slot, const struct graphql_value *v)
{
    bool is_input = slot.type != TYPE_NONE && graphql_type(slot.type)->kind == KIND_INPUT;

    switch (v->kind) {
    case LITERAL_VARIABLE: return;
    case LITERAL_NULL:
        if (slot.is_required)
            GRAPHQL_SAY(c->errors, v->at, STR("Expected value of type '"), slot_text(c->a, slot),
                        STR("', found null."));
        return;
    case LITERAL_LIST:
        if (!slot.is_list && slot.type != TYPE_NONE) {
            check_leaf(c, slot, v);
            slot = UNKNOWN;
        }
        for (const struct graphql_value *item = v->items; item; item = item->next)
            check_value(c, (struct graphql_slot){slot.type, false, false}, item);
        return;
    case LITERAL_OBJECT:
        if (!is_input && slot.type != TYPE_NONE)
            check_leaf(c, slot, v);
        check_object(c, is_input ? slot.type : TYPE_NONE, v);
        return;
    default: check_leaf(c, slot, v);
    }
}

/* -- directives ------------------------------------------------------------------------------ */

static void check_directive(struct check *c, const struct graphql_directive *d, struct str place)
{
    bool is_known = str_eq(d->name, COMPONENT), has_name = false;

    if (!is_known)
        GRAPHQL_SAY(c->errors, d->at, STR("Unknown directive '@"), d->name, STR("'."));
    else if (!str_eq(place, STR("query")) && !str_eq(place, STR("mutation")))
        GRAPHQL_SAY(c->errors, d->at, STR("Directive '@component' may not be used on "), place,
                    STR("."));
    check_unique(c, d->arguments, STR("argument"));
    for (const struct graphql_value *v = d->arguments; v; v = v->next) {
        bool is_name = is_known && str_eq(v->name, STR("name"));

        has_name |= is_name;
        if (is_known && !is_name)
            GRAPHQL_SAY(c->errors, v->at, STR("Unknown argument '"), v->name,
                        STR("' on directive '@component'."),
                        graphql_suggest_one(c->a, STR("name"), v->name));
        check_value(c, is_name ? COMPONENT_NAME : UNKNOWN, v);
    }
    if (is_known && !has_name)
        GRAPHQL_SAY(c->errors, d->at,
                    STR("Directive '@component' argument 'name' of type 'String!' is required, but"
                        " it was not provided."));
}

/* A known directive stands at most once at one place: said before anything within that place. */
static void check_directives_once(struct check *c, const struct graphql_directive *d)
{
    size_t components = 0;

    for (; d; d = d->next)
        if (str_eq(d->name, COMPONENT) && components++ > 0)
            GRAPHQL_SAY(c->errors, d->at,
                        STR("The directive '@component' can only be used once at this location."));
}

static void check_directives(struct check *c, const struct graphql_directive *d, struct str place)
{
    for (; d; d = d->next)
        check_directive(c, d, place);
}

/* -- selections ------------------------------------------------------------------------------ */

static void check_selections(struct check *c, enum graphql_type_id parent,
                             const struct graphql_selection *s);

/* Does the field have a selection exactly when its type has fields? */
static void check_leafs(struct check *c, const struct graphql_selection *s, struct str type,
                        bool is_object)
{
    if (s->has_items && !is_object)
        GRAPHQL_SAY(c->errors, s->at, STR("Field '"), s->name,
                    STR("' must not have a selection since type '"), type,
                    STR("' has no subfields."));
    if (!s->has_items && is_object)
        GRAPHQL_SAY(c->errors, s->at, STR("Field '"), s->name, STR("' of type '"), type,
                    STR("' must have a selection of subfields. Did you mean '"), s->name,
                    STR(" { ... }'?"));
}

static void check_arguments(struct check *c, enum graphql_type_id parent,
                            const struct graphql_field *field, bool is_known,
                            const struct graphql_selection *s)
{
    struct str argument = field ? field->argument : STR("");

    check_unique(c, s->arguments, STR("argument"));
    for (const struct graphql_value *v = s->arguments; v; v = v->next) {
        bool is_it = argument.n && str_eq(v->name, argument);

        if (is_known && !is_it)
            GRAPHQL_SAY(c->errors, v->at, STR("Unknown argument '"), v->name, STR("' on field '"),
                        graphql_type(parent)->name, STR("."), s->name, STR("'."),
                        argument.n ? graphql_suggest_one(c->a, argument, v->name) : STR(""));
        check_value(c, is_it ? (struct graphql_slot){field->input, false, false} : UNKNOWN, v);
    }
}

static void check_field(struct check *c, enum graphql_type_id parent,
                        const struct graphql_selection *s)
{
    const struct graphql_field *field = graphql_field_find(parent, s->name);
    bool is_typename = parent != TYPE_NONE && str_eq(s->name, STR("__typename"));
    bool is_object = field && graphql_type(field->type)->kind == KIND_OBJECT;

    if (is_typename)
        check_leafs(c, s, STR("String!"), false);
    else if (field)
        check_leafs(c, s, graphql_field_type(c->a, field), is_object);
    else if (parent == TYPE_Query &&
             (str_eq(s->name, STR("__schema")) || str_eq(s->name, STR("__type"))))
        GRAPHQL_SAY(c->errors, s->at, STR("Introspection ('"), s->name,
                    STR("') is not answered by this server."));
    else if (parent != TYPE_NONE)
        GRAPHQL_SAY(c->errors, s->at, STR("Cannot query field '"), s->name, STR("' on type '"),
                    graphql_type(parent)->name, STR("'."),
                    graphql_suggest_field(c->a, parent, s->name, ""));
    check_directives_once(c, s->directives);
    check_arguments(c, parent, field, field || is_typename, s);
    check_directives(c, s->directives, STR("field"));
    check_selections(c, is_object ? field->type : TYPE_NONE, s->items);
}

/* The type a fragment is for; TYPE_NONE when there is no such type or it has no fields. */
static enum graphql_type_id check_condition(struct check *c, struct str condition, struct str who,
                                            size_t at)
{
    enum graphql_type_id type = graphql_type_find(condition);

    if (type == TYPE_NONE || graphql_type(type)->kind == KIND_OBJECT)
        return type;
    GRAPHQL_SAY(c->errors, at, who, STR(" cannot condition on non composite type '"), condition,
                STR("'."));
    return TYPE_NONE;
}

static void check_known_type(struct check *c, struct str name, size_t at)
{
    if (graphql_type_find(name) == TYPE_NONE)
        GRAPHQL_SAY(c->errors, at, STR("Unknown type '"), name, STR("'."),
                    graphql_suggest_type(c->a, name));
}

/* MLflow's types overlap only where they are the same. */
static void check_fits(struct check *c, enum graphql_type_id parent, enum graphql_type_id type,
                       struct str who, size_t at)
{
    if (parent != TYPE_NONE && type != TYPE_NONE && parent != type)
        GRAPHQL_SAY(c->errors, at, who, STR(" cannot be spread here as objects of type '"),
                    graphql_type(parent)->name, STR("' can never be of type '"),
                    graphql_type(type)->name, STR("'."));
}

static void check_inline(struct check *c, enum graphql_type_id parent,
                         const struct graphql_selection *s)
{
    enum graphql_type_id type = parent;

    if (s->name.p) {
        type = check_condition(c, s->name, STR("Fragment"), s->at);
        check_fits(c, parent, type, STR("Fragment"), s->at);
    }
    check_directives_once(c, s->directives);
    if (s->name.p)
        check_known_type(c, s->name, s->at);
    check_directives(c, s->directives, STR("inline fragment"));
    check_selections(c, type, s->items);
}

static void check_spread(struct check *c, enum graphql_type_id parent,
                         const struct graphql_selection *s)
{
    enum graphql_type_id type;

    if (s->fragment == NULL) {
        GRAPHQL_SAY(c->errors, s->at, STR("Unknown fragment '"), s->name, STR("'."));
    } else {
        type = graphql_type_find(s->fragment->condition);
        if (type != TYPE_NONE && graphql_type(type)->kind == KIND_OBJECT)
            check_fits(c, parent, type, SAY_TEXT(c->a, STR("Fragment '"), s->name, STR("'")),
                       s->at);
    }
    check_directives_once(c, s->directives);
    check_directives(c, s->directives, STR("fragment spread"));
}

static void check_selections(struct check *c, enum graphql_type_id parent,
                             const struct graphql_selection *s)
{
    for (; s && !c->errors->is_full; s = s->next) {
        switch (s->kind) {
        case SELECT_FIELD: check_field(c, parent, s); break;
        case SELECT_INLINE: check_inline(c, parent, s); break;
        case SELECT_SPREAD: check_spread(c, parent, s); break;
        }
    }
}

/* -- definitions ----------------------------------------------------------------------------- */

static void check_variable(struct check *c, const struct graphql_variable *v, size_t at)
{
    const struct graphql_type *named = v->type;
    struct graphql_slot slot = {TYPE_NONE, v->type->of != NULL, v->type->is_required};
    enum graphql_type_id type;

    while (named->of)
        named = named->of;
    type = graphql_type_find(named->name);
    if (type != TYPE_NONE && graphql_type(type)->kind == KIND_OBJECT)
        GRAPHQL_SAY(c->errors, at, STR("Variable '$"), v->name, STR("' cannot be non-input type '"),
                    graphql_print_type(c->a, v->type), STR("'."));
    else if (v->type->of == NULL || v->type->of == named)
        slot.type = type;
    check_directives_once(c, v->directives);
    check_known_type(c, named->name, at);
    if (v->fallback)
        check_value(c, slot, v->fallback);
    check_directives(c, v->directives, STR("variable definition"));
}

static void check_operation(struct check *c, struct graphql_definition *d)
{
    static const struct str places[] = {
        [DEFINE_QUERY] = STR_INIT("query"),
        [DEFINE_MUTATION] = STR_INIT("mutation"),
        [DEFINE_SUBSCRIPTION] = STR_INIT("subscription"),
    };
    struct idmap seen;
    bool is_new;

    check_directives_once(c, d->directives);
    idmap_init(&seen);
    for (struct graphql_variable *v = d->variables; v; v = v->next) {
        uint64_t *times = idmap_put(&seen, v->name, &is_new);

        v->is_repeat = !is_new;
        if (++*times == 2)
            GRAPHQL_SAY(c->errors, d->items->at, STR("There can be only one variable named '$"),
                        v->name, STR("'."));
    }
    idmap_fini(&seen);
    for (struct graphql_variable *v = d->variables; v && !c->errors->is_full; v = v->next)
        check_variable(c, v, d->items->at);
    check_directives(c, d->directives, places[d->kind]);
    check_selections(c, graphql_root_type(d), d->items);
    graphql_usage_variables(c->doc, d, c->errors);
}

static void check_fragment(struct check *c, struct graphql_definition *d)
{
    struct str who = SAY_TEXT(c->a, STR("Fragment '"), d->name, STR("'"));
    enum graphql_type_id type = check_condition(c, d->condition, who, d->items->at);

    graphql_usage_cycles(c->doc, d, c->errors);
    check_directives_once(c, d->directives);
    check_known_type(c, d->condition, d->items->at);
    check_directives(c, d->directives, STR("fragment definition"));
    check_selections(c, type, d->items);
}

/* "There can be only one operation named 'A'." */
static void check_name(struct check *c, struct idmap *seen, const struct graphql_definition *d,
                       struct str what)
{
    bool is_new;

    if (d->name.p && ++*idmap_put(seen, d->name, &is_new) == 2)
        GRAPHQL_SAY(c->errors, d->items->at, STR("There can be only one "), what, STR(" named '"),
                    d->name, STR("'."));
}

void graphql_check(struct graphql_document *doc, struct graphql_errors *errors)
{
    struct check c = {errors->arena, doc, errors};
    struct idmap operations, fragments;
    size_t noperations = 0;

    idmap_init(&operations);
    idmap_init(&fragments);
    for (struct graphql_definition *d = doc->definitions; d; d = d->next)
        noperations += d->kind != DEFINE_FRAGMENT;
    for (struct graphql_definition *d = doc->definitions; d && !errors->is_full; d = d->next) {
        if (d->kind == DEFINE_FRAGMENT) {
            check_name(&c, &fragments, d, STR("fragment"));
            check_fragment(&c, d);
            continue;
        }
        check_name(&c, &operations, d, STR("operation"));
        if (d->name.p == NULL && noperations > 1)
            graphql_errors_add(errors, d->items->at,
                               STR("This anonymous operation must be the only defined"
                                   " operation."));
        check_operation(&c, d);
    }
    graphql_usage_fragments(doc, errors);
    idmap_fini(&operations);
    idmap_fini(&fragments);
}
