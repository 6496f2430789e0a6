/*
 * order_by: "attributes.start_time DESC" to SQL.
 *
 * A clause is an identifier, perhaps a blank and ASC or DESC. An identifier may carry an entity and
 * its key may stand in backticks or double quotes. Runs sort missing values last in both directions,
 * then by start_time (unless that was asked for) and id; experiments as PostgreSQL sorts NULL, then by
 * id.
 *
 * Metrics, params and tags as keys, and MLflow's errors for texts that are no clause, come with the
 * filter grammar; until then such a clause is answered 501.
 */
#include "gateway/order_by.h"

#include "base/buf.h"
#include "ingest/python.h"
#include "schema/errors.h"

enum { CLAUSES_MAX = 100 };

struct attribute {
    struct str name;
    struct str column;
};

static const struct attribute run_attributes[] = {
    {STR_INIT("start_time"), STR_INIT("r.start_time")},
    {STR_INIT("created"), STR_INIT("r.start_time")},
    {STR_INIT("Created"), STR_INIT("r.start_time")},
    {STR_INIT("end_time"), STR_INIT("r.end_time")},
    {STR_INIT("run_name"), STR_INIT("r.name")},
    {STR_INIT("run_id"), STR_INIT("r.run_uuid")},
    {STR_INIT("status"), STR_INIT("r.status")},
    {STR_INIT("user_id"), STR_INIT("r.user_id")},
    {STR_INIT("artifact_uri"), STR_INIT("r.artifact_uri")},
};
static const struct attribute experiment_attributes[] = {
    {STR_INIT("name"), STR_INIT("e.name")},
    {STR_INIT("experiment_id"), STR_INIT("e.experiment_id")},
    {STR_INIT("creation_time"), STR_INIT("e.creation_time")},
    {STR_INIT("last_update_time"), STR_INIT("e.last_update_time")},
};
static const struct str run_entities[] = {
    STR_INIT("attributes."),
    STR_INIT("attribute."),
    STR_INIT("attr."),
    STR_INIT("run."),
};
static const struct str experiment_entities[] = {STR_INIT("attribute.")};

struct grammar {
    const struct attribute *attributes;
    size_t nattributes;
    const struct str *entities;
    size_t nentities;
};

static const struct grammar runs_grammar = {run_attributes, array_len(run_attributes), run_entities,
                                            array_len(run_entities)};
static const struct grammar experiments_grammar = {
    experiment_attributes, array_len(experiment_attributes), experiment_entities,
    array_len(experiment_entities)};

/* The attribute that a clause names, NULL when it is none; *is_descending by its second word. */
static const struct attribute *clause_read(const struct grammar *g, struct str clause,
                                           bool *is_descending)
{
    struct str rest = clause;
    struct str key = str_cut(&rest, ' ');
    struct str word = str_trim(rest);

    *is_descending = str_ieq(word, STR("desc"));
    if (word.n && !*is_descending && !str_ieq(word, STR("asc")))
        return NULL;
    for (size_t i = 0; i < g->nentities; i++)
        if (str_starts(key, g->entities[i])) {
            key = str_skip(key, g->entities[i].n);
            break;
        }
    if (key.n > 2 && (key.p[0] == '`' || key.p[0] == '"') && key.p[key.n - 1] == key.p[0])
        key = (struct str){key.p + 1, key.n - 2};
    for (size_t i = 0; i < g->nattributes; i++)
        if (str_eq(key, g->attributes[i].name))
            return &g->attributes[i];
    return NULL;
}

static err_t not_supported(struct str clause, struct fail *f)
{
    return fail(f, ERR_NOT_IMPLEMENTED,
                "order_by '%.*s' is not supported yet: only attributes are.",
                STR_ARG(str_head(clause, 200)));
}

static err_t duplicate(struct arena *a, const struct str *clauses, size_t n, struct fail *f)
{
    struct buf list;
    struct str text;

    buf_init(&list);
    for (size_t i = 0; i < n; i++) {
        buf_add_str(&list, i ? STR(", ") : STR(""));
        python_repr(&list, clauses[i]);
    }
    text = arena_dup(a, buf_str(&list));
    buf_fini(&list);
    return fail(f, ERR_INTERNAL, "`order_by` contains duplicate fields: [%.*s]", STR_ARG(text));
}

err_t order_by_runs(struct arena *a, const struct str *clauses, size_t n, struct str *out,
                    struct fail *f)
{
    const struct attribute *seen[CLAUSES_MAX];
    bool has_start_time = false;

    if (n > CLAUSES_MAX)
        return fail(f, ERR_NOT_IMPLEMENTED, "more than %d order_by clauses", CLAUSES_MAX);
    *out = STR("");
    for (size_t i = 0; i < n; i++) {
        bool is_descending;

        seen[i] = clause_read(&runs_grammar, clauses[i], &is_descending);
        if (!seen[i])
            return not_supported(clauses[i], f);
        for (size_t k = 0; k < i; k++)
            if (str_eq(seen[k]->column, seen[i]->column))
                return duplicate(a, clauses, n, f);
        has_start_time |= str_eq(seen[i]->column, STR("r.start_time"));
        *out = arena_printf(a, "%.*s%.*s %s NULLS LAST, ", STR_ARG(*out), STR_ARG(seen[i]->column),
                            is_descending ? "DESC" : "ASC");
    }
    *out = arena_printf(a, "%.*s%sr.run_uuid", STR_ARG(*out),
                        has_start_time ? "" : "r.start_time DESC, ");
    return OK;
}

err_t order_by_experiments(struct arena *a, const struct str *clauses, size_t n, struct str *out,
                           struct fail *f)
{
    bool has_id = false;

    if (n > CLAUSES_MAX)
        return fail(f, ERR_NOT_IMPLEMENTED, "more than %d order_by clauses", CLAUSES_MAX);
    *out = n ? STR("") : STR("e.creation_time DESC, e.experiment_id ASC");
    for (size_t i = 0; i < n; i++) {
        bool is_descending;
        const struct attribute *key = clause_read(&experiments_grammar, clauses[i], &is_descending);

        if (!key)
            return not_supported(clauses[i], f);
        has_id |= str_eq(key->column, STR("e.experiment_id"));
        *out = arena_printf(a, "%.*s%s%.*s %s", STR_ARG(*out), i ? ", " : "", STR_ARG(key->column),
                            is_descending ? "DESC" : "ASC");
    }
    if (n && !has_id)
        *out = arena_printf(a, "%.*s, e.experiment_id DESC", STR_ARG(*out));
    return OK;
}
