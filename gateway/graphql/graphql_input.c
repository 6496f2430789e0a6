/*
 * graphql_input: variables are judged first, all of them, then arguments are read.
 *
 * What a variable may be is small: usages are allowed only where MLflow takes an argument, so its type
 * is String, Int, LongString, an enum, a list of String, or an input object of these. Messages are
 * graphql-core's; they show the value as Python does, shortened: texts to 240 characters, collections
 * to ten items, and no deeper than two levels.
 *
 * A place in an argument takes its value from a literal or from a variable, and that from the JSON or
 * from the fallback in the document. A variable that was not given leaves an argument and a field of
 * an object unset; in a list it is null.
 */
#include "gateway/graphql/graphql_input.h"

#include <math.h>
#include <string.h>

#include "ingest/document.h"
#include "ingest/names.h"
#include "ingest/python.h"

enum {
    INSPECT_TEXT_MAX = 240,
    INSPECT_ITEMS_MAX = 10,
    INSPECT_DEPTH_MAX = 2,
    INSPECT_BYTES_MAX = 16 << 10,
    PATH_BYTES_MAX = 128
};

struct binder {
    struct arena *a;
    struct graphql_errors *errors;
    const struct graphql_variable *variable;
    size_t at;
    yyjson_val *shown;     /* the value that was shown last, and as what: an object may be */
    struct str shown_text; /* shown once for each field it should not have */
};

/* -- values in messages ------------------------------------------------------------------------ */

/* A repr of at most 240 characters, its middle left out. */
static void inspect_text(struct arena *a, struct buf *out, yyjson_val *v)
{
    struct buf whole;
    struct str text;
    size_t length;

    buf_init(&whole);
    document_repr(a, &whole, v, INSPECT_BYTES_MAX);
    text = buf_str(&whole);
    length = names_length(text);
    if (length > INSPECT_TEXT_MAX && !yyjson_is_real(v)) {
        size_t kept = INSPECT_TEXT_MAX - 3, first = kept / 2;

        buf_add_str(out, names_cut(text, first));
        buf_add_str(out, STR("..."));
        text = str_skip(text, names_cut(text, length - (kept - first)).n);
    }
    buf_add_str(out, text);
    buf_fini(&whole);
}

static void inspect(struct arena *a, struct buf *out, yyjson_val *v, unsigned depth);

static void inspect_object(struct arena *a, struct buf *out, yyjson_val *v, unsigned depth)
{
    size_t n;
    struct document_pair *pairs = document_pairs(a, v, &n);

    buf_add_byte(out, '{');
    for (size_t i = 0; i < n; i++) {
        struct buf key;

        if (i > 0)
            buf_add_str(out, STR(", "));
        if (n > INSPECT_ITEMS_MAX && i == INSPECT_ITEMS_MAX / 2) {
            buf_add_str(out, STR("..., "));
            i = n - (INSPECT_ITEMS_MAX / 2 - 1);
        }
        buf_init(&key);
        python_repr(&key, names_cut(pairs[i].key, INSPECT_TEXT_MAX));
        buf_add_str(out, buf_str(&key));
        buf_fini(&key);
        buf_add_str(out, STR(": "));
        inspect(a, out, pairs[i].value, depth + 1);
    }
    buf_add_byte(out, '}');
}

static void inspect_list(struct arena *a, struct buf *out, yyjson_val *v, unsigned depth)
{
    size_t n = yyjson_arr_size(v), i, max;
    yyjson_val *item;

    buf_add_byte(out, '[');
    yyjson_arr_foreach(v, i, max, item) {
        if (n > INSPECT_ITEMS_MAX && i >= INSPECT_ITEMS_MAX / 2 &&
            i < n - (INSPECT_ITEMS_MAX / 2 - 1)) {
            if (i == INSPECT_ITEMS_MAX / 2)
                buf_add_str(out, STR(", ..."));
            continue;
        }
        if (i > 0)
            buf_add_str(out, STR(", "));
        inspect(a, out, item, depth + 1);
    }
    buf_add_byte(out, ']');
}

static void inspect(struct arena *a, struct buf *out, yyjson_val *v, unsigned depth)
{
    if (!yyjson_is_ctn(v))
        inspect_text(a, out, v);
    else if (unsafe_yyjson_get_len(v) == 0)
        buf_add_str(out, yyjson_is_obj(v) ? STR("{}") : STR("[]"));
    else if (depth >= INSPECT_DEPTH_MAX)
        buf_add_str(out, yyjson_is_obj(v) ? STR("{...}") : STR("[...]"));
    else if (yyjson_is_obj(v))
        inspect_object(a, out, v, depth);
    else
        inspect_list(a, out, v, depth);
}

static struct str inspected(struct arena *a, yyjson_val *v)
{
    struct str text;
    struct buf out;

    buf_init(&out);
    inspect(a, &out, v, 0);
    text = arena_dup(a, buf_str(&out));
    buf_fini(&out);
    return text;
}

/* -- what was sent, judged ------------------------------------------------------------------- */

/* "Variable '$a' got invalid value 5 at 'a.runId'; <why>"; path is "" for the variable itself. */
static void bind_invalid(struct binder *b, const char *path, yyjson_val *v, struct str why)
{
    struct str name = b->variable->name;

    if (b->shown != v)
        b->shown_text = inspected(b->a, v);
    b->shown = v;
    GRAPHQL_SAY(b->errors, b->at, STR("Variable '$"), name, STR("' got invalid value "),
                b->shown_text, path[0] ? STR(" at '") : STR(""), path[0] ? name : STR(""),
                str_of(path), path[0] ? STR("'") : STR(""), STR("; "), why);
}

static bool is_whole(yyjson_val *v)
{
    double d = yyjson_is_real(v) ? unsafe_yyjson_get_real(v) : 0.5;

    return yyjson_is_int(v) || (yyjson_is_raw(v) && document_is_big_int(v)) || d == floor(d);
}

static bool is_32_bits(yyjson_val *v)
{
    if (yyjson_is_real(v))
        return fabs(unsafe_yyjson_get_real(v)) < 0x1p31;
    if (yyjson_is_uint(v))
        return unsafe_yyjson_get_uint(v) <= INT32_MAX;
    return yyjson_is_sint(v) && unsafe_yyjson_get_sint(v) >= INT32_MIN;
}

static void bind_enum(struct binder *b, const struct graphql_type_row *row, enum graphql_type_id id,
                      const char *path, yyjson_val *v)
{
    struct str shown = yyjson_is_str(v) ? document_str(v) : inspected(b->a, v);
    struct str hint = graphql_suggest_field(b->a, id, shown, "the enum value ");

    shown = names_cut(shown, NAMES_QUOTE_MAX);
    if (!yyjson_is_str(v))
        bind_invalid(b, path, v,
                     SAY_TEXT(b->a, STR("Enum '"), row->name,
                              STR("' cannot represent non-string value: "), shown, STR("."), hint));
    else if (graphql_field_find(id, document_str(v)) == NULL)
        bind_invalid(b, path, v,
                     SAY_TEXT(b->a, STR("Value '"), shown, STR("' does not exist in '"), row->name,
                              STR("' enum."), hint));
}

static void bind_scalar(struct binder *b, enum graphql_type_id type, const char *path,
                        yyjson_val *v)
{
    const struct graphql_type_row *row = graphql_type(type);
    int64_t number;

    if (yyjson_is_null(v))
        return;
    if (row->kind == KIND_ENUM)
        bind_enum(b, row, type, path, v);
    else if (type == TYPE_String && !yyjson_is_str(v))
        bind_invalid(b, path, v,
                     SAY_TEXT(b->a, STR("String cannot represent a non string value: "),
                              inspected(b->a, v)));
    else if (type == TYPE_Int && !is_whole(v))
        bind_invalid(
            b, path, v,
            SAY_TEXT(b->a, STR("Int cannot represent non-integer value: "), inspected(b->a, v)));
    else if (type == TYPE_Int && !is_32_bits(v))
        bind_invalid(b, path, v,
                     SAY_TEXT(b->a, STR("Int cannot represent non 32-bit signed integer value: "),
                              inspected(b->a, v)));
    else if (type == TYPE_LongString && yyjson_is_str(v) &&
             python_int(document_str(v), &number) == PYTHON_NOT_INT)
        bind_invalid(b, path, v,
                     SAY_TEXT(b->a,
                              STR("Expected type 'LongString'. invalid literal for int() with"
                                  " base 10: "),
                              inspected(b->a, v)));
}

/* Items of a list of T! are not null. */
static void bind_item(struct binder *b, struct graphql_slot slot, const char *path, yyjson_val *v)
{
    if (!slot.is_required || !yyjson_is_null(v))
        bind_scalar(b, slot.type, path, v);
    else
        bind_invalid(b, path, v,
                     SAY_TEXT(b->a, STR("Expected non-nullable type '"),
                              graphql_type(slot.type)->name, STR("!' not to be None.")));
}

/* slot.is_required: of the items. */
static void bind_value(struct binder *b, struct graphql_slot slot, const char *path, yyjson_val *v)
{
    char inner[PATH_BYTES_MAX];
    yyjson_val *item;
    size_t i, max;

    if (!slot.is_list || !yyjson_is_arr(v)) {
        bind_scalar(b, slot.type, path, v);
        return;
    }
    yyjson_arr_foreach(v, i, max, item) {
        if (b->errors->is_full)
            return;
        snprintf(inner, sizeof(inner), "%s[%zu]", path, i);
        bind_item(b, slot, inner, item);
    }
}

static void bind_object(struct binder *b, enum graphql_type_id type, yyjson_val *v)
{
    const struct graphql_type_row *row = graphql_type(type);
    struct document_pair *pairs;
    char path[PATH_BYTES_MAX];
    size_t n;

    if (yyjson_is_null(v))
        return;
    if (!yyjson_is_obj(v)) {
        bind_invalid(b, "", v,
                     SAY_TEXT(b->a, STR("Expected type '"), row->name, STR("' to be a mapping.")));
        return;
    }
    for (size_t i = 0; i < row->nfields; i++) {
        const struct graphql_field *field = &row->fields[i];
        yyjson_val *value = document_get(v, field->name);

        snprintf(path, sizeof(path), ".%.*s", STR_ARG(field->name));
        if (value)
            bind_value(b, graphql_slot_of(field), path, value);
    }
    pairs = document_pairs(b->a, v, &n);
    for (size_t i = 0; i < n && !b->errors->is_full; i++)
        if (graphql_field_find(type, pairs[i].key) == NULL)
            bind_invalid(b, "", v,
                         SAY_TEXT(b->a, STR("Field '"), names_cut(pairs[i].key, NAMES_QUOTE_MAX),
                                  STR("' is not defined by type '"), row->name, STR("'."),
                                  graphql_suggest_field(b->a, type, pairs[i].key, "")));
}

static void bind_variable(struct binder *b, yyjson_val *v)
{
    const struct graphql_type *t = b->variable->type;
    enum graphql_type_id type = graphql_type_find(t->of ? t->of->name : t->name);
    struct str shown = graphql_print_type(b->a, t);

    if (v == NULL) {
        if (t->is_required && b->variable->fallback == NULL)
            GRAPHQL_SAY(b->errors, b->at, STR("Variable '$"), b->variable->name,
                        STR("' of required type '"), shown, STR("' was not provided."));
    } else if (t->is_required && yyjson_is_null(v)) {
        GRAPHQL_SAY(b->errors, b->at, STR("Variable '$"), b->variable->name,
                    STR("' of non-null type '"), shown, STR("' must not be null."));
    } else if (graphql_type(type)->kind == KIND_INPUT) {
        bind_object(b, type, v);
    } else {
        bind_value(b, (struct graphql_slot){type, t->of != NULL, t->of && t->of->is_required}, "",
                   v);
    }
}

void graphql_bind(struct arena *a, const struct graphql_definition *operation, yyjson_val *values,
                  struct graphql_bindings *out, struct graphql_errors *errors)
{
    struct binder b = {.a = a, .errors = errors, .at = operation->items->at};
    size_t n = 0;

    for (const struct graphql_variable *v = operation->variables; v; v = v->next)
        n++;
    *out = (struct graphql_bindings){arena_array(a, n, sizeof(*out->items)), n};
    n = 0;
    for (const struct graphql_variable *v = operation->variables; v; v = v->next) {
        yyjson_val *value = values ? document_get(values, v->name) : NULL;

        out->items[n++] = (struct graphql_binding){v, value};
        b.variable = v;
        bind_variable(&b, value);
    }
}

/* -- arguments ------------------------------------------------------------------------------- */

/* Where a value comes from: exactly one of the two, or none. */
struct source {
    const struct graphql_value *literal;
    yyjson_val *json;
};

static struct source source_of(const struct graphql_bindings *b, const struct graphql_value *v)
{
    if (v == NULL || v->kind != LITERAL_VARIABLE)
        return (struct source){v, NULL};
    for (size_t i = 0; i < b->n; i++) {
        if (!str_eq(b->items[i].variable->name, v->text))
            continue;
        if (b->items[i].value)
            return (struct source){NULL, b->items[i].value};
        return (struct source){b->items[i].variable->fallback, NULL};
    }
    return (struct source){NULL, NULL};
}

static bool source_is_null(struct source s)
{
    return s.json ? yyjson_is_null(s.json) : s.literal == NULL || s.literal->kind == LITERAL_NULL;
}

static int64_t source_number(struct source s)
{
    int64_t v = 0;

    if (s.json == NULL)
        return str_to_i64(s.literal->text, &v) ? v : 0;
    return yyjson_is_real(s.json)  ? (int64_t)unsafe_yyjson_get_real(s.json)
           : yyjson_is_int(s.json) ? unsafe_yyjson_get_sint(s.json)
                                   : 0;
}

static struct str source_text(struct source s)
{
    if (source_is_null(s))
        return (struct str){NULL, 0};
    if (s.json)
        return yyjson_is_str(s.json) ? document_str(s.json) : STR("");
    return s.literal->text;
}

static void read_list(struct arena *a, const struct graphql_bindings *b, struct source s,
                      struct graphql_input *out)
{
    yyjson_val *item;
    size_t i, max;

    if (s.json ? !yyjson_is_arr(s.json) : s.literal->kind != LITERAL_LIST) {
        out->items = arena_array(a, 1, sizeof(*out->items));
        out->items[out->n++] = source_text(s);
        return;
    }
    if (s.json) {
        out->items = arena_array(a, yyjson_arr_size(s.json), sizeof(*out->items));
        yyjson_arr_foreach(s.json, i, max, item)
            out->items[out->n++] = source_text((struct source){NULL, item});
        return;
    }
    for (const struct graphql_value *v = s.literal->items; v; v = v->next)
        out->n++;
    out->items = arena_array(a, out->n, sizeof(*out->items));
    i = 0;
    for (const struct graphql_value *v = s.literal->items; v; v = v->next)
        out->items[i++] = source_text(source_of(b, v));
}

static void read_input(struct arena *a, const struct graphql_bindings *b, struct graphql_slot slot,
                       struct source s, struct graphql_input *out)
{
    out->is_set = s.json || s.literal;
    out->is_null = out->is_set && source_is_null(s);
    if (!out->is_set || out->is_null)
        return;
    if (slot.is_list)
        read_list(a, b, s, out);
    else if (slot.type == TYPE_Int)
        out->number = source_number(s);
    else
        out->text = source_text(s);
}

static const struct graphql_value *member(const struct graphql_value *v, struct str name)
{
    while (v && !str_eq(v->name, name))
        v = v->next;
    return v;
}

void graphql_argument(struct arena *a, const struct graphql_plan *plan,
                      const struct graphql_bindings *bindings, struct graphql_argument *out)
{
    const struct graphql_field *root = plan->field;
    struct source s = source_of(bindings, member(plan->selection->arguments, root->argument));

    *out = (struct graphql_argument){.type = graphql_type(root->input)};
    check(out->type->nfields <= GRAPHQL_INPUT_FIELDS_MAX);
    out->is_set = s.json || s.literal;
    out->is_null = out->is_set && source_is_null(s);
    if (!out->is_set || out->is_null)
        return;
    if (out->type->kind != KIND_INPUT) {
        read_input(a, bindings, (struct graphql_slot){root->input, false, false}, s,
                   &out->fields[0]);
        return;
    }
    for (size_t i = 0; i < out->type->nfields; i++) {
        const struct graphql_field *field = &out->type->fields[i];
        struct source inner = {NULL, NULL};

        if (s.json)
            inner.json = document_get(s.json, field->name);
        else
            inner = source_of(bindings, member(s.literal->items, field->name));
        read_input(a, bindings, graphql_slot_of(field), inner, &out->fields[i]);
    }
}

const struct graphql_input *graphql_argument_field(const struct graphql_argument *argument,
                                                   struct str name)
{
    for (size_t i = 0; i < argument->type->nfields; i++)
        if (str_eq(argument->type->fields[i].name, name))
            return &argument->fields[i];
    check(false);
    return NULL;
}
