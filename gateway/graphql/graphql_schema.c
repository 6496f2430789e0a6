/*
 * graphql_schema: the rows of graphql.def as tables, and what a misspelt name may have meant.
 *
 * The file is read three times: for the numbers of the types (in the header), for their fields, for
 * their rows. Names are looked for one by one: there are 40 types of at most 18 fields.
 *
 * Suggestions are those of graphql-core: the distance is the number of insertions, deletions,
 * substitutions and swaps of neighbours, where a name that differs in case only has distance 1.
 * Names no further away than 0.4 of what was sent, plus one, are named, the nearest five. A name whose
 * length alone rules it out is not measured, so a long one costs nothing.
 */
#include "gateway/graphql/graphql_schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum { SUGGESTIONS_MAX = 5, NAMES_MAX = 64, NAME_MAX_BYTES = 64 };

#define SCALAR(name)
#define ENUM(name)   static const struct graphql_field FIELDS_##name[] = {
#define INPUT(name)  static const struct graphql_field FIELDS_##name[] = {
#define OBJECT(name) static const struct graphql_field FIELDS_##name[] = {
#define VALUE(word)  {.name = STR_INIT(#word), .shape = SHAPE_VALUE},
#define FIELD(word, json, form, type_) \
    {.name = STR_INIT(#word), .key = STR_INIT(json), .shape = SHAPE_##form, .type = TYPE_##type_},
#define ROOT(word, type_, argument_, input_, root_, function_, parameter_) \
    {.name = STR_INIT(#word),                                              \
     .type = TYPE_##type_,                                                 \
     .argument = STR_INIT(#argument_),                                     \
     .input = TYPE_##input_,                                               \
     .root = ROOT_##root_,                                                 \
     .function = function_,                                                \
     .parameter = parameter_},
#define END_TYPE(name) \
    }                  \
    ;
#include "gateway/graphql/graphql.def"
#undef SCALAR
#undef ENUM
#undef INPUT
#undef OBJECT
#undef VALUE
#undef FIELD
#undef ROOT
#undef END_TYPE

#define TYPE_ROW(name, kind_) \
    [TYPE_##name] = {STR_INIT(#name), kind_, FIELDS_##name, array_len(FIELDS_##name)},

static const struct graphql_type_row types[TYPE_COUNT] = {
#define SCALAR(name) [TYPE_##name] = {STR_INIT(#name), KIND_SCALAR, NULL, 0},
#define ENUM(name)   TYPE_ROW(name, KIND_ENUM)
#define INPUT(name)  TYPE_ROW(name, KIND_INPUT)
#define OBJECT(name) TYPE_ROW(name, KIND_OBJECT)
#define VALUE(name)
#define FIELD(name, key, shape, type)
#define ROOT(name, type, argument, input, root, function, parameter)
#define END_TYPE(name)
#include "gateway/graphql/graphql.def"
};

const struct graphql_type_row *graphql_type(enum graphql_type_id id)
{
    check(id > TYPE_NONE && id < TYPE_COUNT);
    return &types[id];
}

enum graphql_type_id graphql_type_find(struct str name)
{
    for (int id = TYPE_NONE + 1; id < TYPE_COUNT; id++)
        if (str_eq(types[id].name, name))
            return (enum graphql_type_id)id;
    return TYPE_NONE;
}

const struct graphql_field *graphql_field_find(enum graphql_type_id type, struct str name)
{
    for (size_t i = 0; type != TYPE_NONE && i < types[type].nfields; i++)
        if (str_eq(types[type].fields[i].name, name))
            return &types[type].fields[i];
    return NULL;
}

struct str graphql_field_type(struct arena *a, const struct graphql_field *field)
{
    struct str name = graphql_type(field->type)->name;

    switch (field->shape) {
    case SHAPE_LIST: return arena_printf(a, "[%.*s!]", STR_ARG(name));
    case SHAPE_LIST_OF_NULLABLE: return arena_printf(a, "[%.*s]", STR_ARG(name));
    default: return name;
    }
}

/* -- suggestions ------------------------------------------------------------------------------- */

struct near {
    struct str name;
    size_t distance;
};

static int near_order(const void *a, const void *b)
{
    const struct near *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return str_cmp(x->name, y->name);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

/* Edits from a to b, letter case aside. */
static size_t distance_of(struct str a, struct str b)
{
    size_t rows[3][NAME_MAX_BYTES + 1];

    for (size_t j = 0; j <= b.n; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t *row = rows[i % 3], *up = rows[(i - 1) % 3], *above = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            int x = lower(a.p[i - 1]), y = lower(b.p[j - 1]);

            row[j] = least(least(up[j], row[j - 1]) + 1, up[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == lower(b.p[j - 2]) && lower(a.p[i - 2]) == y)
                row[j] = least(row[j], above[j - 2] + 1);
        }
    }
    return rows[a.n % 3][b.n];
}

static void consider(struct near *found, size_t *n, struct str name, struct str sent)
{
    size_t threshold = sent.n * 2 / 5 + 1, distance;

    if (sent.n > NAME_MAX_BYTES || name.n > NAME_MAX_BYTES ||
        (name.n > sent.n ? name.n - sent.n : sent.n - name.n) > threshold)
        return;
    distance = str_ieq(name, sent) ? !str_eq(name, sent) : distance_of(name, sent);
    if (distance <= threshold && *n < NAMES_MAX)
        found[(*n)++] = (struct near){name, distance};
}

static struct str suggestion(struct arena *a, struct near *found, size_t n, const char *what)
{
    struct buf out;
    struct str text;

    if (n == 0)
        return STR("");
    qsort(found, n, sizeof(*found), near_order);
    n = least(n, SUGGESTIONS_MAX);
    buf_init(&out);
    buf_printf(&out, " Did you mean %s", what);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_add_str(&out, n == 2 ? STR(" or ") : i + 1 < n ? STR(", ") : STR(", or "));
        buf_printf(&out, "'%.*s'", STR_ARG(found[i].name));
    }
    buf_add_byte(&out, '?');
    text = arena_dup(a, buf_str(&out));
    buf_fini(&out);
    return text;
}

struct str graphql_suggest_field(struct arena *a, enum graphql_type_id type, struct str sent,
                                 const char *what)
{
    struct near found[NAMES_MAX];
    size_t n = 0;

    for (size_t i = 0; i < types[type].nfields; i++)
        consider(found, &n, types[type].fields[i].name, sent);
    return suggestion(a, found, n, what);
}

struct str graphql_suggest_type(struct arena *a, struct str sent)
{
    struct near found[NAMES_MAX];
    size_t n = 0;

    for (int id = TYPE_NONE + 1; id < TYPE_COUNT; id++)
        consider(found, &n, types[id].name, sent);
    return suggestion(a, found, n, "");
}

struct str graphql_suggest_one(struct arena *a, struct str name, struct str sent)
{
    struct near found[1];
    size_t n = 0;

    consider(found, &n, name, sent);
    return suggestion(a, found, n, "");
}
