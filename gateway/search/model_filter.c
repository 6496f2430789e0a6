/*
 * model_filter: MLflow 3.17.2's search_logged_model_utils.py over the trees of filter_split.
 *
 * The tokens of the statement must be comparisons and AND, which may be missing or stand at the
 * ends. A comparison has three parts: a name, a comparator in any case, a value.
 *
 *     name    <entity>.<key>, the entity in small letters and in the plural; everything else is an
 *             attribute. Backticks go off the key, all of them at both ends; other quotes stay.
 *     value   of a metric or a timestamp: Python's float(). Else, between parentheses, a Python
 *             literal; else the text without its single quotes, which may be missing.
 *
 * What a Python value becomes in SQL is decided by SQLAlchemy and the driver, from the type of the
 * value and not of the column (model_value.c): text against an integer column and the other way
 * round are PostgreSQL's error. Attributes of the Python class that are no columns ("metadata")
 * count as unknown here.
 */
#include "gateway/search/model_filter.h"

#include <string.h>

#include "gateway/api/model_value.h"
#include "gateway/say.h"
#include "gateway/search/filter_join.h"
#include "gateway/search/filter_split.h"
#include "ingest/python.h"
#include "schema/errors.h"

struct column {
    const char *name;
    bool is_integer;
    bool is_number; /* compared by size */
};

static const struct column columns[] = {
    {"model_id", false, false},
    {"experiment_id", true, false},
    {"name", false, false},
    {"artifact_location", false, false},
    {"creation_timestamp_ms", true, true},
    {"last_updated_timestamp_ms", true, true},
    {"status", true, false},
    {"lifecycle_stage", false, false},
    {"model_type", false, false},
    {"source_run_id", false, false},
    {"status_message", false, false},
};

static const struct column *column_of(struct str key)
{
    for (size_t i = 0; i < array_len(columns); i++) {
        if (str_eq(key, str_of(columns[i].name)))
            return &columns[i];
    }
    return NULL;
}

const char *model_filter_column(struct str key)
{
    const struct column *column = column_of(key);

    return column ? column->name : NULL;
}

struct str model_filter_alias(struct str key)
{
    if (str_eq(key, STR("creation_time")) || str_eq(key, STR("creation_timestamp")))
        return STR("creation_timestamp_ms");
    if (str_eq(key, STR("last_updated_timestamp")))
        return STR("last_updated_timestamp_ms");
    return key;
}

/* -- names ------------------------------------------------------------------------------------ */

static const char *const entity_names[] = {[ENTITY_ATTRIBUTE] = "attributes",
                                           [ENTITY_METRIC] = "metrics",
                                           [ENTITY_PARAM] = "params",
                                           [ENTITY_TAG] = "tags"};

/* str.strip(c) */
static struct str strip(struct str s, char c)
{
    while (s.n && s.p[0] == c)
        s = str_skip(s, 1);
    while (s.n && s.p[s.n - 1] == c)
        s.n--;
    return s;
}

/* ^([a-z]+)\.(.+)$, in which a dot is no line feed but one may end the text. */
static bool is_qualified(struct str text, struct str *entity, struct str *key)
{
    struct str rest = text;
    size_t feed;

    *entity = str_cut(&rest, '.');
    if (entity->n == 0 || entity->n == text.n)
        return false;
    for (size_t i = 0; i < entity->n; i++) {
        if (entity->p[i] < 'a' || entity->p[i] > 'z')
            return false;
    }
    feed = str_find(rest, '\n');
    if (feed + 1 < rest.n || feed == 0)
        return false;
    *key = str_head(rest, feed);
    return key->n > 0;
}

static err_t model_name(struct arena *a, struct str text, struct model_clause *c, struct fail *f)
{
    struct str entity, key;

    c->entity = ENTITY_ATTRIBUTE;
    if (!is_qualified(text, &entity, &key)) {
        c->key = strip(model_filter_alias(text), '`');
        return OK;
    }
    c->key = strip(key, '`');
    for (size_t i = 0; i < array_len(entity_names); i++) {
        if (str_eq(entity, str_of(entity_names[i]))) {
            c->entity = (enum filter_entity)i;
            return OK;
        }
    }
    return SAY(a, f, ERR_BAD_PARAM, STR("Invalid entity type: "), say_repr(a, entity),
               STR(". Expected one of ['attributes', 'metrics', 'params', 'tags']."));
}

/* Names that are no columns count: the alias of one is asked, so "attributes.creation_time" is a
 * number before it is found to be no column. */
static bool is_numeric(const struct model_clause *c)
{
    const struct column *column = column_of(model_filter_alias(c->key));

    return c->entity == ENTITY_METRIC ||
           (c->entity == ENTITY_ATTRIBUTE && column && column->is_number);
}

static bool is_integer(const struct model_clause *c)
{
    const struct column *column = column_of(c->key);

    return c->entity == ENTITY_ATTRIBUTE && column && column->is_integer;
}

/* -- comparisons ------------------------------------------------------------------------------ */

static err_t model_operator(struct arena *a, struct str text, struct model_clause *c,
                            struct fail *f)
{
    struct str op = filter_upper(a, text);
    bool is_number = is_numeric(c);

    c->op = filter_op_of(op);
    if (c->op == OP_EQ || c->op == OP_NE ||
        (is_number ? c->op <= OP_GE : c->op >= OP_LIKE && c->op <= OP_NOT_IN))
        return OK;
    return SAY(a, f, ERR_BAD_PARAM, STR("Invalid comparison operator for "),
               str_of(entity_names[c->entity]), STR("."), c->key, STR(": "), say_repr(a, op),
               STR(". Expected one of "),
               is_number ? STR("('<', '<=', '>', '>=', '=', '!=')")
                         : STR("('=', '!=', 'LIKE', 'ILIKE', 'IN', 'NOT IN')"),
               STR("."));
}

static err_t model_operand(struct arena *a, struct str text, struct model_clause *c, struct fail *f)
{
    if (is_numeric(c)) {
        c->kind = MODEL_NUMBER;
        if (python_float(text, &c->number))
            return OK;
        return SAY(a, f, ERR_INTERNAL, STR("could not convert string to float: "),
                   say_repr(a, text));
    }
    if (text.n >= 2 && text.p[0] == '(' && text.p[text.n - 1] == ')')
        return model_value_literal(a, text, is_integer(c), c, f);
    c->kind = MODEL_TEXT;
    c->text = strip(text, '\'');
    if (c->op == OP_IN || c->op == OP_NOT_IN) { /* like a list with a comment behind it */
        c->kind = MODEL_REFUSED;
        c->text = SAY_TEXT(a,
                           STR("IN expression list, SELECT construct, or bound parameter object "
                               "expected, got "),
                           say_repr(a, c->text), STR("."));
    }
    return OK;
}

static err_t model_comparison(struct arena *a, struct str text, const struct compared *parts,
                              struct model_clause *c, struct fail *f)
{
    struct str left = parts->left ? filter_node_text(text, parts->left) : STR("");
    err_t e;

    if (parts->whole && parts->count != 3)
        return SAY(a, f, ERR_BAD_PARAM, STR("Invalid comparison: "),
                   filter_node_text(text, parts->whole),
                   STR(". Expected a comparison with 3 tokens."));
    if (parts->right == NULL)
        return SAY(a, f, ERR_BAD_PARAM, STR("Invalid comparison: "), left, parts->op,
                   STR(". Expected a comparison with 3 tokens."));
    if ((e = model_name(a, left, c, f)) || (e = model_operator(a, parts->op, c, f)))
        return e;
    return model_operand(a, filter_node_text(text, parts->right), c, f);
}

static err_t refuse_filter(struct arena *a, struct str text, struct str why, struct fail *f)
{
    return SAY(a, f, ERR_BAD_PARAM, STR("Invalid filter string: "), say_repr(a, text), STR(". "),
               why);
}

/* Which of sqlparse's limits a text broke. */
static struct str limit_of(struct str text)
{
    struct filter_lex lex;
    struct filter_token t;
    size_t tokens = 0;

    filter_lex_init(&lex, text);
    while (filter_lex_next(&lex, &t) && tokens <= FILTER_TOKENS_MAX)
        tokens++;
    return tokens > FILTER_TOKENS_MAX
               ? STR("SQLParseError('Maximum number of tokens exceeded (10000).')")
               : STR("SQLParseError('Maximum grouping depth exceeded (100).')");
}

err_t model_filter_parse(struct arena *a, struct str text, struct model_clause **out, size_t *count,
                         struct fail *f)
{
    struct filter_node *statement;
    struct joined *joined;
    size_t statements, n;
    err_t e;

    *out = NULL;
    *count = 0;
    if (text.n == 0)
        return OK;
    if (!filter_split(a, text, &statement, &statements))
        return refuse_filter(a, text, limit_of(text), f);
    if (statements != 1)
        return refuse_filter(a, text, STR("Expected a single SQL expression."), f);
    joined = arena_array(a, statement->count, sizeof(joined[0]));
    n = filter_join(a, text, statement, joined);
    *out = arena_zalloc(a, n * sizeof(**out));
    for (size_t i = 0; i < n; i++) {
        if (joined[i].node == NULL) {
            if ((e = model_comparison(a, text, &joined[i].parts, &(*out)[*count], f)))
                return e;
            (*count)++;
        } else if (!str_ieq(str_trim(filter_node_text(text, joined[i].node)), STR("AND"))) {
            return refuse_filter(a, text,
                                 STR("Expected a list of comparisons separated by 'AND' (e.g. "
                                     "'metrics.loss > 0.1 AND params.lr = 0.01')."),
                                 f);
        }
    }
    return OK;
}

/* -- columns ---------------------------------------------------------------------------------- */

static err_t refuse_types(const char *left, const char *right, struct fail *f)
{
    return fail(f, ERR_BAD_REQUEST,
                "(psycopg.errors.UndefinedFunction) operator does not exist: %s = %s", left, right);
}

/* Values against a text column: texts, or NULL. */
static err_t check_text(const struct model_clause *c, struct fail *f)
{
    static const char text[] = "character varying";

    switch (c->kind) {
    case MODEL_NUMBER: return refuse_types(text, "double precision", f);
    case MODEL_INTS: return refuse_types(text, "integer", f);
    case MODEL_FLOATS: return refuse_types(text, "double precision", f);
    default: return OK;
    }
}

/* Against an integer column: numbers, by = and in lists. */
static err_t check_integer(const struct model_clause *c, struct fail *f)
{
    if (c->kind == MODEL_TEXT || c->kind == MODEL_TEXTS)
        return refuse_types("integer", "character varying", f);
    if (c->op == OP_LIKE || c->op == OP_ILIKE)
        return fail(f, ERR_BAD_REQUEST,
                    "(psycopg.errors.UndefinedFunction) operator does not exist: integer ~~ "
                    "integer");
    return OK;
}

err_t model_filter_check(struct arena *a, const struct model_clause *clauses, size_t count,
                         struct fail *f)
{
    for (size_t i = 0; i < count; i++) {
        const struct model_clause *c = &clauses[i];

        if (c->entity == ENTITY_ATTRIBUTE && column_of(c->key) == NULL)
            return SAY(a, f, ERR_INTERNAL, STR("type object 'SqlLoggedModel' has no attribute '"),
                       c->key, STR("'"));
        if (c->kind == MODEL_REFUSED && !str_starts(c->text, STR("(psycopg")))
            return fail_str(f, ERR_BAD_REQUEST, c->text);
        if (c->kind == MODEL_NULL && c->op != OP_EQ && c->op != OP_NE)
            return fail_str(f, ERR_BAD_REQUEST,
                            STR("Only '=', '!=', 'is_()', 'is_not()', 'is_distinct_from()', "
                                "'is_not_distinct_from()' operators can be used with "
                                "None/True/False"));
    }
    return OK;
}

err_t model_filter_fits(const struct model_clause *clauses, size_t count, struct fail *f)
{
    err_t e = OK;

    for (size_t i = 0; i < count && !e; i++) {
        const struct model_clause *c = &clauses[i];
        const struct column *column = column_of(c->key);
        bool is_attribute = c->entity == ENTITY_ATTRIBUTE;

        if (c->kind == MODEL_REFUSED)
            return fail_str(f, ERR_BAD_REQUEST, c->text);
        if (c->entity == ENTITY_METRIC || (is_attribute && column->is_number))
            continue;
        e = is_integer(c) ? check_integer(c, f) : check_text(c, f);
    }
    return e;
}
