/*
 * filter: MLflow 3.17.2's search_utils.py over the trees of filter_split.
 *
 * Three steps, as there. The tokens of the statement must be comparisons, blanks and AND, once IN, IS
 * NULL and NOT IN are joined (filter_join). Each comparison then names something
 * (filter_identifier) and gives a value of the kind that this takes (filter_value). filter_check
 * comes last and looks at the comparators, which differ in one more way: runs and the registry
 * compare them in upper case, experiments as they stand.
 *
 * Where MLflow prints a Python set, whose order changes from process to process, the order here is
 * one of those possible. Where the registry's parser falls over (an HTML page with status 500),
 * this answers ERR_BAD_PARAM: IS NULL, lists that are no literals.
 */
#include "gateway/search/filter.h"

#include <string.h>

#include "base/json.h"
#include "gateway/say.h"
#include "gateway/search/filter_join.h"
#include "gateway/search/filter_split.h"
#include "gateway/search/literal.h"
#include "ingest/names.h"
#include "ingest/python.h"
#include "schema/errors.h"
#include "schema/limits.h"

#define BIG_INTEGER STR("9223372036854775808") /* out of range for int4 and int8 */

static const char metric_comparators[] = "{'>', '>=', '!=', '=', '<', '<='}";
static const char null_comparators[] = "{'!=', '=', 'LIKE', 'ILIKE', 'IS NULL', 'IS NOT NULL'}";
static const char list_comparators[] = "{'!=', '=', 'LIKE', 'ILIKE', 'IN', 'NOT IN'}";

/* What a dialect knows. Lists end with NULL. */
struct dialect {
    const char *filter_keys; /* as a Python set */
    const char *order_keys;
    const char *const *filter_names;
    const char *const *order_names;
    const char *const *numeric_names;
    const char *const *list_names; /* compared with lists */
    const char *list_text;
};

static const char *const run_names[] = {
    "artifact_uri", "end_time", "run_id",   "run_name", "start_time", "status", "user_id",
    "created",      "Created",  "run name", "Run name", "Run Name",   NULL};
static const char *const run_order_names[] = {"artifact_uri", "end_time", "run_id",  "run_name",
                                              "start_time",   "status",   "user_id", "created",
                                              "Created",      NULL};
static const char *const run_numbers[] = {"start_time", "end_time", "created", "Created", NULL};
static const char *const run_lists[] = {"run_id", NULL};
static const char *const experiment_names[] = {"name", "experiment_id", "creation_time",
                                               "last_update_time", NULL};
static const char *const experiment_numbers[] = {"creation_time", "last_update_time", NULL};
static const char *const experiment_lists[] = {"experiment_id", NULL};
static const char *const model_names[] = {"name", NULL};
static const char *const model_order_names[] = {"name", "timestamp", "last_updated_timestamp",
                                                NULL};
static const char *const version_names[] = {"name", "version_number", "run_id", "source_path",
                                            NULL};
static const char *const version_order_names[] = {"name", "version_number", "creation_timestamp",
                                                  "last_updated_timestamp", NULL};
static const char *const version_numbers[] = {"version_number", NULL};
static const char *const version_lists[] = {"name", "run_id", NULL};
static const char *const dataset_names[] = {"name", "digest", "context", NULL};
static const char *const no_names[] = {NULL};

static const struct dialect dialects[] = {
    [FILTER_RUNS] = {"{'artifact_uri', 'end_time', 'run_id', 'run_name', 'start_time', 'status', "
                     "'user_id', 'created', 'Created', 'run name', 'Run name', 'Run Name'}",
                     "{'artifact_uri', 'end_time', 'run_id', 'run_name', 'start_time', 'status', "
                     "'user_id', 'created', 'Created'}",
                     run_names, run_order_names, run_numbers, run_lists, "['run_id']"},
    [FILTER_EXPERIMENTS] = {"{'name', 'experiment_id', 'creation_time', 'last_update_time'}",
                            "{'name', 'experiment_id', 'creation_time', 'last_update_time'}",
                            experiment_names, experiment_names, experiment_numbers,
                            experiment_lists, "['experiment_id']"},
    [FILTER_MODELS] = {"{'name'}", "{'name', 'timestamp'}", model_names, model_order_names,
                       no_names, model_names, "['name']"},
    [FILTER_VERSIONS] = {"{'name', 'version_number', 'run_id', 'source_path'}",
                         "{'name', 'version_number', 'creation_timestamp', "
                         "'last_updated_timestamp'}",
                         version_names, version_order_names, version_numbers, version_lists,
                         "['name', 'run_id']"},
};

static const char *const entity_names[] = {[ENTITY_ATTRIBUTE] = "attribute",
                                           [ENTITY_METRIC] = "metric",
                                           [ENTITY_PARAM] = "parameter",
                                           [ENTITY_TAG] = "tag",
                                           [ENTITY_DATASET] = "dataset"};

struct entity_word {
    const char *word;
    enum filter_entity entity;
};

static const struct entity_word entity_words[] = {
    {"metric", ENTITY_METRIC},
    {"metrics", ENTITY_METRIC},
    {"parameter", ENTITY_PARAM},
    {"parameters", ENTITY_PARAM},
    {"param", ENTITY_PARAM},
    {"params", ENTITY_PARAM},
    {"tag", ENTITY_TAG},
    {"tags", ENTITY_TAG},
    {"attribute", ENTITY_ATTRIBUTE},
    {"attributes", ENTITY_ATTRIBUTE},
    {"attr", ENTITY_ATTRIBUTE},
    {"run", ENTITY_ATTRIBUTE},
    {"dataset", ENTITY_DATASET},
    {"datasets", ENTITY_DATASET},
};

struct parse {
    struct arena *a;
    enum filter_dialect dialect;
    struct str text;
    struct fail *f;
};

static bool is_among(const char *const *names, struct str name)
{
    for (; *names; names++) {
        if (str_eq(name, str_of(*names)))
            return true;
    }
    return false;
}

static bool is_registry(enum filter_dialect d)
{
    return d == FILTER_MODELS || d == FILTER_VERSIONS;
}

/* -- names ------------------------------------------------------------------------------------ */

static bool is_quoted(struct str s, char quote)
{
    return s.n >= 2 && s.p[0] == quote && s.p[s.n - 1] == quote;
}

static struct str trim_ends(struct str s)
{
    return (struct str){s.p + 1, s.n - 2};
}

static struct str strip_backticks(struct str s)
{
    return is_quoted(s, '`') ? trim_ends(s) : s;
}

/* One pair of quotes, then one pair of backticks. */
static struct str strip_quotes(struct str s)
{
    if (is_quoted(s, '\'') || is_quoted(s, '"'))
        s = trim_ends(s);
    return strip_backticks(s);
}

static err_t filter_entity_of(struct arena *a, enum filter_dialect d, struct str word,
                              enum filter_entity *entity, struct fail *f)
{
    if (d != FILTER_RUNS) {
        if (!str_eq(word, STR("attribute")) && !str_eq(word, STR("tag")) &&
            !str_eq(word, STR("tags")))
            return SAY(a, f, ERR_BAD_PARAM, STR("Invalid entity type '"), word,
                       STR("'. Valid entity types are ('attribute', 'tag', 'tags')"));
        *entity = str_eq(word, STR("attribute")) ? ENTITY_ATTRIBUTE : ENTITY_TAG;
        return OK;
    }
    word = strip_backticks(word);
    for (size_t i = 0; i < array_len(entity_words); i++) {
        if (str_eq(word, str_of(entity_words[i].word))) {
            *entity = entity_words[i].entity;
            return OK;
        }
    }
    return SAY(a, f, ERR_BAD_PARAM, STR("Invalid entity type '"), word,
               STR("'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']"));
}

err_t filter_identifier(struct arena *a, enum filter_dialect d, bool is_order, struct str text,
                        enum filter_entity *entity, struct str *key, struct fail *f)
{
    const struct dialect *known = &dialects[d];
    size_t dot = str_find(text, '.');
    struct str name;
    err_t e;

    *entity = ENTITY_ATTRIBUTE;
    *key = text;
    if (dot < text.n) {
        if ((e = filter_entity_of(a, d, str_head(text, dot), entity, f)))
            return e;
        *key = str_skip(text, dot + 1);
    }
    /* The registry's filters, and only they, look for the name with its quotes on. */
    name = *key;
    *key = strip_quotes(*key);
    if (is_order || !is_registry(d))
        name = *key;
    if (*entity == ENTITY_ATTRIBUTE &&
        !is_among(is_order ? known->order_names : known->filter_names, name))
        return SAY(a, f, ERR_BAD_PARAM, STR("Invalid attribute key '"), name,
                   STR("' specified. Valid keys are '"),
                   str_of(is_order ? known->order_keys : known->filter_keys), STR("'"));
    if (*entity == ENTITY_DATASET && !is_among(dataset_names, name))
        return SAY(a, f, ERR_BAD_PARAM, STR("Invalid dataset key '"), name,
                   STR("' specified. Valid keys are '{'name', 'digest', 'context'}'"));
    return OK;
}

struct str filter_canonical(struct str key)
{
    if (str_eq(key, STR("created")) || str_eq(key, STR("Created")))
        return STR("start_time");
    if (str_ieq(key, STR("run name")))
        return STR("run_name");
    return key;
}

/* -- values ----------------------------------------------------------------------------------- */

static bool is_literal_number(const struct filter_node *n)
{
    return n->type == LEX_INTEGER || n->type == LEX_FLOAT;
}

static bool is_string_like(const struct filter_node *n)
{
    return n->type == LEX_SINGLE || n->class == GROUP_IDENTIFIER;
}

static err_t filter_set_integer(struct parse *p, struct clause *c, struct str text)
{
    switch (python_int(text, &c->i64)) {
    case PYTHON_INT: c->kind = VALUE_I64; return OK;
    case PYTHON_BIG_INT:
        c->kind = VALUE_BIG;
        c->text = BIG_INTEGER;
        return OK;
    default:
        return fail(p->f, is_registry(p->dialect) ? ERR_BAD_PARAM : ERR_INTERNAL,
                    "Exceeds the limit (4300 digits) for integer string conversion: value has %zu "
                    "digits; use sys.set_int_max_str_digits() to increase the limit",
                    text.n - (text.p[0] == '-'));
    }
}

static err_t filter_set_number(struct parse *p, struct clause *c, const struct filter_node *n,
                               struct str text)
{
    bool is_float;

    if (n->type == LEX_INTEGER && c->entity != ENTITY_METRIC)
        return filter_set_integer(p, c, text);
    c->kind = VALUE_F64;
    is_float = python_float(text, &c->f64);
    check(is_float);
    return OK;
}

static err_t filter_set_text(struct parse *p, struct clause *c, struct str text)
{
    if (!is_quoted(text, '\'') && !is_quoted(text, '"'))
        return SAY(p->a, p->f, ERR_BAD_PARAM,
                   STR("Parameter value is either not quoted or unidentified quote types used for "
                       "string value "),
                   text, STR(". Use either single or double quotes."));
    c->kind = VALUE_TEXT;
    c->text = trim_ends(text);
    return OK;
}

static err_t filter_set_list(struct parse *p, struct clause *c, struct str text)
{
    err_t e = literal_list(p->a, text, &c->list, &c->list_count, p->f);

    c->kind = VALUE_LIST;
    if (e == ERR_INTERNAL && is_registry(p->dialect) && p->f)
        return fail_str(p->f, ERR_BAD_PARAM, p->f->text);
    return e;
}

/* A number against an attribute of model versions. */
static err_t filter_set_version_number(struct parse *p, struct clause *c,
                                       const struct filter_node *n, struct str text)
{
    if (!is_among(version_numbers, c->key))
        return fail_str(p->f, ERR_BAD_PARAM,
                        STR("Only the '{'version_number', 'creation_timestamp', "
                            "'last_updated_timestamp'}' attributes support comparison with numeric "
                            "values."));
    return filter_set_number(p, c, n, text);
}

static err_t filter_attribute_value(struct parse *p, struct clause *c, const struct filter_node *n,
                                    struct str text)
{
    const struct dialect *known = &dialects[p->dialect];

    if (!is_registry(p->dialect) && is_among(known->numeric_names, c->key)) {
        if (is_literal_number(n))
            return filter_set_number(p, c, n, text);
        return SAY(p->a, p->f, ERR_BAD_PARAM,
                   STR("Expected numeric value type for numeric attribute: "), c->key,
                   STR(". Found "), text);
    }
    if (is_string_like(n))
        return filter_set_text(p, c, text);
    if (n->class == GROUP_PARENTHESIS) {
        if (is_among(known->list_names, c->key))
            return filter_set_list(p, c, text);
        return SAY(p->a, p->f, ERR_BAD_PARAM, STR("Only "), str_of(known->list_text),
                   STR(" attributes support comparison with a list of quoted string values."));
    }
    if (p->dialect == FILTER_VERSIONS && is_literal_number(n))
        return filter_set_version_number(p, c, n, text);
    return SAY(p->a, p->f, ERR_BAD_PARAM,
               is_registry(p->dialect)
                   ? STR("Expected a quoted string value or a list of quoted string values for "
                         "attributes. Got value ")
                   : STR("Expected a quoted string value for attributes. Got value "),
               text);
}

static err_t filter_value(struct parse *p, struct clause *c, const struct filter_node *n)
{
    struct str text = filter_node_text(p->text, n);

    switch (c->entity) {
    case ENTITY_METRIC:
        if (is_literal_number(n))
            return filter_set_number(p, c, n, text);
        return SAY(p->a, p->f, ERR_BAD_PARAM, STR("Expected numeric value type for metric. Found "),
                   text);
    case ENTITY_PARAM:
    case ENTITY_TAG:
        if (is_string_like(n))
            return filter_set_text(p, c, text);
        return SAY(p->a, p->f, ERR_BAD_PARAM, STR("Expected a quoted string value for "),
                   str_of(entity_names[c->entity]), STR(" (e.g. 'my-value'). Got value "), text);
    case ENTITY_DATASET:
        if (is_string_like(n))
            return filter_set_text(p, c, text);
        if (n->class == GROUP_PARENTHESIS)
            return filter_set_list(p, c, text);
        return SAY(p->a, p->f, ERR_BAD_PARAM,
                   STR("Expected a quoted string value for dataset attributes. Got value "), text);
    default: return filter_attribute_value(p, c, n, text);
    }
}

/* -- comparisons ------------------------------------------------------------------------------ */

static err_t filter_null_clause(struct parse *p, struct clause *c)
{
    c->kind = VALUE_NONE;
    if (is_registry(p->dialect))
        return fail_str(p->f, ERR_BAD_PARAM,
                        STR("IS NULL / IS NOT NULL is not supported for registered models and "
                            "model versions"));
    if (c->entity == ENTITY_TAG || (c->entity == ENTITY_PARAM && p->dialect == FILTER_RUNS))
        return OK;
    if (p->dialect == FILTER_EXPERIMENTS)
        return SAY(p->a, p->f, ERR_BAD_PARAM,
                   STR("IS NULL / IS NOT NULL is only supported for tags, not for attribute '"),
                   c->key, STR("'"));
    return SAY(p->a, p->f, ERR_BAD_PARAM,
               STR("IS NULL / IS NOT NULL is only supported for tags and params, not for '"),
               str_of(entity_names[c->entity]), STR("' '"), c->key, STR("'"));
}

static err_t filter_clause(struct parse *p, const struct compared *parts, struct clause *c)
{
    struct str left = filter_node_text(p->text, parts->left);
    err_t e;

    if (parts->count != 3)
        return fail(p->f, ERR_BAD_PARAM, "Invalid comparison clause. Expected 3 tokens found %zu",
                    parts->count);
    if (parts->left->class != GROUP_IDENTIFIER)
        return SAY(p->a, p->f, ERR_BAD_PARAM,
                   STR("Invalid comparison clause. Expected 'Identifier' found '"), left, STR("'"));
    if (parts->right == NULL && is_registry(p->dialect))
        return filter_null_clause(p, c);
    if ((e = filter_identifier(p->a, p->dialect, false, left, &c->entity, &c->key, p->f)))
        return e;
    c->op_text = p->dialect == FILTER_EXPERIMENTS ? parts->op : filter_upper(p->a, parts->op);
    c->op = filter_op_of(c->op_text);
    e = parts->right ? filter_value(p, c, parts->right) : filter_null_clause(p, c);
    if (p->dialect == FILTER_RUNS)
        c->key = c->entity == ENTITY_ATTRIBUTE ? filter_canonical(c->key) : c->key;
    return e;
}

/* -- statements ------------------------------------------------------------------------------- */

static err_t filter_refuse_tokens(const struct parse *p, const struct joined *joined, size_t count)
{
    struct str quote = p->dialect == FILTER_RUNS ? STR("'") : STR("");
    struct str *pieces = arena_array(p->a, count * 4 + 1, sizeof(pieces[0]));
    size_t n = 0;

    pieces[n++] = STR("Invalid clause(s) in filter string: ");
    for (size_t i = 0; i < count; i++) {
        if (joined[i].node == NULL || filter_node_is(joined[i].node, WORD_AND))
            continue;
        if (n > 1)
            pieces[n++] = STR(", ");
        pieces[n++] = quote;
        pieces[n++] = filter_node_text(p->text, joined[i].node);
        pieces[n++] = quote;
    }
    return n > 1 ? say_fail(p->a, p->f, ERR_BAD_PARAM, pieces, n) : OK;
}

static err_t filter_statement(struct parse *p, const struct filter_node *statement,
                              struct clause **out, size_t *count)
{
    struct joined *joined = arena_array(p->a, statement->count, sizeof(joined[0]));
    size_t n = filter_join(p->a, p->text, statement, joined);
    err_t e;

    if ((e = filter_refuse_tokens(p, joined, n)))
        return e;
    *out = arena_zalloc(p->a, n * sizeof(**out));
    for (size_t i = 0; i < n; i++) {
        if (joined[i].node)
            continue;
        if ((e = filter_clause(p, &joined[i].parts, &(*out)[*count])))
            return e;
        (*count)++;
    }
    return OK;
}

err_t filter_parse(struct arena *a, enum filter_dialect d, struct str text, struct clause **out,
                   size_t *count, struct fail *f)
{
    struct parse p = {a, d, text, f};
    struct filter_node *statement;
    size_t statements;

    *out = NULL;
    *count = 0;
    if (text.n == 0)
        return OK;
    if (text.n > LIMIT_FILTER || !filter_split(a, text, &statement, &statements))
        return SAY(a, f, ERR_BAD_PARAM, STR("Error on parsing filter '"),
                   text.n > LIMIT_FILTER ? names_cut(text, NAMES_QUOTE_MAX) : text, STR("'"));
    if (statements == 0)
        return SAY(a, f, ERR_BAD_PARAM, STR("Invalid filter '"), text,
                   STR("'. Could not be parsed."));
    if (statements > 1)
        return SAY(a, f, ERR_BAD_PARAM, STR("Search filter contained multiple expression "),
                   say_repr(a, text), STR(". Provide AND-ed expression list."));
    return filter_statement(&p, statement, out, count);
}

/* -- comparators ------------------------------------------------------------------------------ */

static bool is_order_op(enum filter_op op)
{
    return op <= OP_GE;
}

static bool is_text_op(enum filter_op op)
{
    return op == OP_EQ || op == OP_NE || op == OP_LIKE || op == OP_ILIKE;
}

static bool is_list_op(enum filter_op op)
{
    return op == OP_IN || op == OP_NOT_IN;
}

static err_t check_refuse(struct arena *a, const struct clause *c, const char *set,
                          const char *close, struct fail *f)
{
    return SAY(a, f, ERR_BAD_PARAM, STR("Invalid comparator '"), c->op_text, STR("' not one of '"),
               str_of(set), str_of(close));
}

static err_t check_run(struct arena *a, const struct clause *c, struct fail *f)
{
    bool is_null_op = c->op == OP_IS_NULL || c->op == OP_IS_NOT_NULL;

    switch (c->entity) {
    case ENTITY_METRIC:
        return is_order_op(c->op) ? OK : check_refuse(a, c, metric_comparators, "", f);
    case ENTITY_PARAM:
        return is_text_op(c->op) || is_null_op ? OK : check_refuse(a, c, null_comparators, "'", f);
    case ENTITY_TAG:
        return is_text_op(c->op) || is_null_op ? OK : check_refuse(a, c, null_comparators, "", f);
    case ENTITY_DATASET:
        return is_text_op(c->op) || is_list_op(c->op) ? OK
                                                      : check_refuse(a, c, list_comparators, "", f);
    default: break;
    }
    if (is_among(run_numbers, c->key))
        return is_order_op(c->op) ? OK : check_refuse(a, c, list_comparators, "", f);
    return is_text_op(c->op) || is_list_op(c->op) ? OK
                                                  : check_refuse(a, c, list_comparators, "'", f);
}

/* Python's int() of an experiment id, as decimal text. */
static err_t check_experiment_id(struct arena *a, struct str *id, struct fail *f)
{
    int64_t v;

    switch (python_int(*id, &v)) {
    case PYTHON_INT: *id = arena_printf(a, "%lld", (long long)v); return OK;
    case PYTHON_BIG_INT: *id = BIG_INTEGER; return OK;
    default:
        return SAY(a, f, ERR_BAD_PARAM, STR("Invalid experiment ID '"), *id,
                   STR("'. Experiment ID must be a valid integer."));
    }
}

static err_t check_experiment_number(struct arena *a, const struct clause *c, struct fail *f)
{
    char repr[JSON_DOUBLE_MAX];

    if (!is_order_op(c->op))
        return check_refuse(a, c, list_comparators, "", f);
    if (c->kind != VALUE_F64)
        return OK;
    return SAY(a, f, ERR_BAD_PARAM, STR("Invalid value for numeric attribute '"), c->key,
               STR("': '"), ((struct str){repr, json_repr_double(c->f64, repr)}), STR("'"));
}

static err_t check_experiment(struct arena *a, struct clause *c, struct fail *f)
{
    if (c->entity == ENTITY_TAG) {
        if (is_text_op(c->op) || c->op == OP_IS_NULL || c->op == OP_IS_NOT_NULL)
            return OK;
        return SAY(a, f, ERR_BAD_PARAM, STR("Invalid comparator for tag: "), c->op_text);
    }
    if (is_among(experiment_numbers, c->key))
        return check_experiment_number(a, c, f);
    if (str_eq(c->key, STR("name")))
        return is_text_op(c->op) ? OK : check_refuse(a, c, list_comparators, "'", f);
    if (c->op != OP_EQ && c->op != OP_NE && !is_list_op(c->op))
        return SAY(a, f, ERR_BAD_PARAM, STR("Invalid comparator for experiment_id: "), c->op_text);
    for (size_t i = 0; i < c->list_count; i++) {
        err_t e = check_experiment_id(a, &c->list[i], f);

        if (e)
            return e;
    }
    return c->kind == VALUE_TEXT ? check_experiment_id(a, &c->text, f) : OK;
}

static err_t check_version_number(struct arena *a, struct clause *c, struct fail *f)
{
    char repr[JSON_DOUBLE_MAX];
    struct str found = say_repr(a, c->text);

    if (!is_order_op(c->op))
        return SAY(a, f, ERR_BAD_PARAM, STR("Invalid comparator for attribute version_number: "),
                   c->op_text);
    if (c->kind == VALUE_I64 || c->kind == VALUE_BIG)
        return OK;
    if (c->kind == VALUE_TEXT) {
        enum python_int kind = python_int(c->text, &c->i64);

        c->kind = kind == PYTHON_INT ? VALUE_I64 : VALUE_BIG;
        c->text = BIG_INTEGER;
        if (kind != PYTHON_NOT_INT)
            return OK;
    } else {
        found = (struct str){repr, json_repr_double(c->f64, repr)};
    }
    return SAY(a, f, ERR_BAD_PARAM, STR("Invalid value for numeric attribute 'version_number': "),
               found);
}

static err_t check_registry(struct arena *a, struct clause *c, struct fail *f)
{
    bool may_list = str_eq(c->key, STR("name")) || str_eq(c->key, STR("run_id"));

    if (c->entity == ENTITY_TAG) {
        if (is_text_op(c->op))
            return OK;
        return SAY(a, f, ERR_BAD_PARAM, STR("Invalid comparator for tag: "), c->op_text);
    }
    if (is_among(version_numbers, c->key))
        return check_version_number(a, c, f);
    if (is_text_op(c->op) || (is_list_op(c->op) && may_list))
        return OK;
    return SAY(a, f, ERR_BAD_PARAM, STR("Invalid comparator for attribute: "), c->op_text);
}

err_t filter_check(struct arena *a, enum filter_dialect d, struct clause *clauses, size_t count,
                   struct fail *f)
{
    for (size_t i = 0; i < count; i++) {
        struct clause *c = &clauses[i];
        err_t e = d == FILTER_RUNS          ? check_run(a, c, f)
                  : d == FILTER_EXPERIMENTS ? check_experiment(a, c, f)
                                            : check_registry(a, c, f);

        if (e)
            return e;
    }
    return OK;
}
