/*
 * gc_options: MLflow's flags, with MLflow's meaning of what is empty: --run-ids "" is as if it had not
 * been given, --older-than "" is no limit.
 *
 * An age is a sum of Python floats kept to the microsecond (timedelta), then cut to milliseconds; so it
 * is here, because the age decides what goes. What Python would raise ValueError for, "1.2.3d", is said
 * to be no time.
 *
 * MLFLOW_WORKSPACE stands for --workspace, and gives way to --all-workspaces.
 */
#include "gateway/gc/gc_options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema/errors.h"

enum { AGE_TEXT_MAX = 64, AGE_DAYS_MAX = 999999999 /* timedelta's */ };

static const struct {
    char letter;
    double seconds;
} units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};

static err_t no_age(struct str text, struct fail *f)
{
    return fail(
        f, ERR_BAD_PARAM,
        "Could not parse any time information from '%.*s'. Examples of valid strings: '8h', "
        "'2d8h5m20s', '2m4s'",
        STR_ARG(text));
}

/* The digits and dots at the front of *rest as a number. */
static bool take_number(struct str *rest, double *out)
{
    char text[AGE_TEXT_MAX], *end;
    size_t n = 0;

    while (n < rest->n && ((rest->p[n] >= '0' && rest->p[n] <= '9') || rest->p[n] == '.'))
        n++;
    if (n == 0 || n >= sizeof(text))
        return false;
    str_to_cstr(str_head(*rest, n), text, sizeof(text));
    *rest = str_skip(*rest, n);
    *out = strtod(text, &end);
    return *end == 0;
}

err_t gc_options_age(struct str text, int64_t *out_ms, struct fail *f)
{
    struct str rest = text;
    double us = 0, number;

    for (size_t unit = 0; rest.n; unit++) {
        if (!take_number(&rest, &number) || rest.n == 0)
            return no_age(text, f);
        while (unit < array_len(units) && units[unit].letter != rest.p[0])
            unit++;
        if (unit == array_len(units))
            return no_age(text, f);
        us += number * units[unit].seconds * 1e6;
        rest = str_skip(rest, 1);
    }
    if (us > (double)AGE_DAYS_MAX * 86400e6)
        return no_age(text, f);
    *out_ms = (int64_t)(rint(us) / 1e6 * 1000);
    return OK;
}

static struct gc_ids split_ids(struct arena *a, const char *list)
{
    struct gc_ids ids = {NULL, 0};
    struct str rest = str_of(list);
    size_t n = 1;

    if (rest.n == 0)
        return ids;
    for (size_t i = 0; i < rest.n; i++)
        n += rest.p[i] == ',';
    ids.items = arena_array(a, n, sizeof(*ids.items));
    for (ids.n = 0; ids.n < n; ids.n++)
        ids.items[ids.n] = str_cut(&rest, ',');
    return ids;
}

/* The values of flags, as written. */
struct texts {
    const char *runs, *experiments, *models, *jobs, *workspace;
};

static const char **text_of(struct gc_options *o, struct texts *t, const char *flag)
{
    const struct {
        const char *name;
        const char **value;
    } flags[] = {
        {"--older-than", &o->older_than},
        {"--backend-store-uri", &o->store_uri},
        {"--tracking-uri", &o->tracking_uri},
        {"--run-ids", &t->runs},
        {"--experiment-ids", &t->experiments},
        {"--logged-model-ids", &t->models},
        {"--job-ids", &t->jobs},
        {"--workspace", &t->workspace},
    };

    for (size_t i = 0; i < array_len(flags); i++)
        if (strcmp(flag, flags[i].name) == 0)
            return flags[i].value;
    return NULL;
}

static err_t take_words(struct gc_options *o, struct texts *t, int count, char **words,
                        struct fail *f)
{
    for (int i = 0; i < count; i++) {
        const char **value = text_of(o, t, words[i]);

        if (value && i + 1 < count)
            *value = words[++i];
        else if (strcmp(words[i], "--jobs") == 0)
            o->with_jobs = true;
        else if (strcmp(words[i], "--all-workspaces") == 0)
            o->all_workspaces = true;
        else if (strcmp(words[i], "--dry-run") == 0)
            o->is_dry = true;
        else
            return fail(f, ERR_SETTING, "gc takes no %s", words[i]);
    }
    return OK;
}

err_t gc_options_parse(struct gc_options *o, int count, char **words,
                       char *(*get)(const char *name), struct arena *a, struct fail *f)
{
    struct texts t = {0};
    err_t e;

    *o = (struct gc_options){0};
    if ((e = take_words(o, &t, count, words, f)))
        return e;
    if (o->all_workspaces && t.workspace)
        return fail(f, ERR_SETTING, "Cannot use --workspace and --all-workspaces together.");
    if (o->older_than && (e = gc_options_age(str_of(o->older_than), &o->age_ms, f)))
        return e;
    o->runs = split_ids(a, t.runs);
    o->experiments = split_ids(a, t.experiments);
    o->models = split_ids(a, t.models);
    o->jobs = split_ids(a, t.jobs);
    o->with_jobs = o->with_jobs || o->jobs.items;
    if (t.workspace == NULL && !o->all_workspaces)
        t.workspace = get("MLFLOW_WORKSPACE");
    o->workspace = t.workspace && t.workspace[0] ? t.workspace : NULL;
    return OK;
}
