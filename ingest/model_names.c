/*
 * model_names: MLflow's rules on names, tags, aliases, versions and stages of the model registry.
 *
 * Lengths of names and descriptions are the columns' to refuse; only tags and aliases have a rule
 * of MLflow's. Python's \w is a letter, digit or number of any script, or "_"; its $ lets one line
 * feed follow. Words that are compared in any case are ASCII, and no other character's lower case
 * is: so str_ieq is Python's lower().
 */
#include "ingest/model_names.h"

#include "base/buf.h"
#include "ingest/names.h"
#include "ingest/python.h"
#include "schema/errors.h"
#include "schema/limits.h"

#define PROMPT_TEXT "mlflow.prompt.text"

/* before, text and behind in one; text may hold a NUL, at which printf would stop. */
static err_t refuse(const char *before, struct str text, const char *behind, struct fail *f)
{
    struct buf said;
    struct str whole;

    buf_init(&said);
    buf_add_str(&said, str_of(before));
    buf_add_str(&said, names_cut(text, NAMES_QUOTE_MAX));
    buf_add_str(&said, str_of(behind));
    whole = f && f->arena ? arena_dup(f->arena, buf_str(&said)) : str_of(before);
    buf_fini(&said);
    return fail_str(f, ERR_BAD_PARAM, whole);
}

/* str.strip() leaves nothing. */
static bool is_blank(struct str s)
{
    while (s.n)
        if (!python_is_space(python_next(&s)))
            return false;
    return true;
}

err_t model_names_check(struct str name, struct fail *f)
{
    if (is_blank(name))
        return fail_str(f, ERR_BAD_PARAM, STR("Missing value for required parameter 'name'."));
    if (str_find(name, '/') < name.n || str_find(name, ':') < name.n)
        return refuse("Invalid model name '", name, "'. Names cannot contain '/' or ':'.", f);
    return names_check_path(name, "name", f);
}

err_t model_names_check_new(struct str new_name, struct fail *f)
{
    if (is_blank(new_name))
        return fail_str(f, ERR_BAD_PARAM, STR("Missing value for required parameter 'new_name'."));
    return model_names_check(new_name, f);
}

/* -- tags ------------------------------------------------------------------------------------ */

static err_t check_tag_key(struct str key, struct fail *f)
{
    err_t e;

    if ((e = names_check_key(key, "key", f)))
        return e;
    return names_check_length(key, LIMIT_KEY, "key", f);
}

err_t model_names_check_tag(struct str key, struct str value, struct fail *f)
{
    err_t e;

    if ((e = check_tag_key(key, f)))
        return e;
    return names_check_length(value, LIMIT_REGISTRY_TAG, "value", f);
}

err_t model_names_check_version_tag(struct str key, struct str value, struct fail *f)
{
    err_t e;

    if ((e = check_tag_key(key, f)))
        return e;
    if (str_eq(key, STR(PROMPT_TEXT)) && names_length(value) > LIMIT_REGISTRY_TAG)
        return fail(f, ERR_BAD_PARAM, "Prompt text exceeds max length of %d characters.",
                    LIMIT_REGISTRY_TAG);
    return names_check_length(value, LIMIT_REGISTRY_TAG, "value", f);
}

/* -- aliases --------------------------------------------------------------------------------- */

/* ^[\w\-]*$ */
static bool is_alias(struct str s)
{
    while (s.n) {
        uint32_t cp = python_next(&s);

        if (cp == '\n' && s.n == 0)
            return true;
        if (!python_is_alnum(cp) && cp != '_' && cp != '-')
            return false;
    }
    return true;
}

/* ^[vV]\d+$ */
static bool is_version_alias(struct str s)
{
    size_t digits = 0;

    if (s.n == 0 || (s.p[0] | 0x20) != 'v')
        return false;
    s = str_skip(s, 1);
    while (s.n) {
        uint32_t cp = python_next(&s);

        if (cp == '\n' && s.n == 0)
            break;
        if (!python_is_decimal(cp))
            return false;
        digits++;
    }
    return digits > 0;
}

err_t model_names_check_alias(struct str alias, struct fail *f)
{
    if (alias.n == 0)
        return fail_str(f, ERR_BAD_PARAM, STR("Registered model alias name cannot be empty."));
    if (!is_alias(alias))
        return refuse("Invalid alias name: '", alias,
                      "'. Names may only contain alphanumerics, underscores (_), and dashes (-).",
                      f);
    return names_check_length(alias, LIMIT_MODEL_ALIAS, "Registered model alias name", f);
}

err_t model_names_check_new_alias(struct str alias, struct fail *f)
{
    err_t e;

    if ((e = model_names_check_alias(alias, f)))
        return e;
    if (str_ieq(alias, STR("latest")))
        return fail_str(f, ERR_BAD_PARAM,
                        STR("'latest' alias name (case insensitive) is reserved."));
    if (is_version_alias(alias))
        return fail(f, ERR_BAD_PARAM, "Version alias name '%.*s' is reserved.", STR_ARG(alias));
    return OK;
}

/* -- versions -------------------------------------------------------------------------------- */

err_t model_names_version(struct str text, int32_t *version, struct fail *f)
{
    int64_t n = 0;
    enum python_int kind = python_int(text, &n);

    if (kind == PYTHON_NOT_INT)
        return refuse("Parameter 'version' must be an integer, got '", text, "'.", f);
    if (kind == PYTHON_BIG_INT || n < INT32_MIN || n > INT32_MAX)
        return fail_str(f, ERR_BAD_REQUEST,
                        STR("(psycopg.errors.NumericValueOutOfRange) integer out of range"));
    *version = (int32_t)n;
    return OK;
}

err_t model_names_stage(struct str text, struct str *stage, struct fail *f)
{
    static const struct str stages[] = {STR_INIT("None"), STR_INIT("Staging"),
                                        STR_INIT("Production"), STR_INIT("Archived")};

    for (size_t i = 0; i < array_len(stages); i++) {
        if (str_ieq(text, stages[i])) {
            *stage = stages[i];
            return OK;
        }
    }
    return refuse("Invalid Model Version stage: ", text,
                  ". Value must be one of None, Staging, Production, Archived.", f);
}
