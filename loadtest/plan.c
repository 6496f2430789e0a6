/*
 * plan: rows of settings.def as data, one value at a time, and the rules between them.
 *
 * The same pattern as schema/settings, smaller: no environment but MLFLOW_TRACKING_URI, no secrets,
 * no reload. A refusal is one line that names the setting and ends with the row's help.
 */
#include "loadtest/plan.h"

#include <stddef.h>
#include <stdio.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "schema/errors.h"

enum { PLAN_FILE_MAX = 1 << 16 };

enum plan_type { IS_TIME, IS_COUNT, IS_BOOL, IS_NUMBER, IS_SHARE, IS_TEXT, IS_LIST };

static const struct plan_row {
    const char *name;
    enum plan_type type;
    const char *def;
    const char *min; /* for texts: the words allowed, divided by '|' */
    const char *max;
    const char *help;
    size_t offset;
} plan_rows[PLAN_COUNT] = {
#define PLAN(type, name, def, min, max, help) \
    {#name, IS_##type, def, min, max, help, offsetof(struct plan, name)},
#include "loadtest/settings.def"
#undef PLAN
};

static const char *const call_words[CALL_COUNT] = {
#define CALL(name, word, is_write) word,
#include "loadtest/calls.def"
#undef CALL
};

/* --- one value -------------------------------------------------------------------------------- */

static const struct plan_row *plan_find(struct str name)
{
    for (size_t i = 0; i < PLAN_COUNT; i++) {
        if (conf_is_name(name, str_of(plan_rows[i].name)))
            return &plan_rows[i];
    }
    return NULL;
}

/* A decimal number that is finite and not negative; "30%" is 0.3. */
static bool plan_number(struct str text, double *value)
{
    char copy[64];
    char *end;
    bool is_percent = str_ends(text, STR("%"));

    if (is_percent)
        text.n--;
    if (text.n == 0 || text.n >= sizeof(copy) || text.p[0] < '.' || text.p[0] > '9')
        return false;
    str_to_cstr(text, copy, sizeof(copy));
    *value = strtod(copy, &end);
    if (is_percent)
        *value /= 100;
    return *end == '\0' && isfinite(*value);
}

static err_t plan_refuse(const struct plan_row *row, struct str value, const char *want,
                         struct fail *f)
{
    return fail(f, ERR_SETTING, "setting %s = \"%.*s\": must be %s%s%s%s%s. %s", row->name,
                STR_ARG(str_head(value, 80)), want, *row->min ? ", from " : "", row->min,
                *row->max ? " to " : "", row->max, row->help);
}

static bool plan_integer(const struct plan_row *row, struct str text, uint64_t *value)
{
    return row->type == IS_TIME ? conf_time(text, value) : conf_count(text, value);
}

static err_t plan_set_integer(struct plan *p, const struct plan_row *row, struct str text,
                              struct fail *f)
{
    uint64_t value;
    uint64_t bound;

    if (!plan_integer(row, text, &value) ||
        (*row->min && plan_integer(row, str_of(row->min), &bound) && value < bound) ||
        (*row->max && plan_integer(row, str_of(row->max), &bound) && value > bound))
        return plan_refuse(row, text,
                           row->type == IS_TIME ? "a time such as 200ms" : "a whole number", f);
    memcpy((char *)p + row->offset, &value, sizeof(value));
    return OK;
}

static err_t plan_set_real(struct plan *p, const struct plan_row *row, struct str text,
                           struct fail *f)
{
    double value;

    if (!plan_number(text, &value) || (row->type == IS_SHARE && value > 1))
        return plan_refuse(row, text, row->type == IS_SHARE ? "a share such as 30%" : "a number",
                           f);
    memcpy((char *)p + row->offset, &value, sizeof(value));
    return OK;
}

static err_t plan_set_text(struct plan *p, const struct plan_row *row, struct str text,
                           struct fail *f)
{
    struct str words = str_of(row->min);
    bool is_allowed = words.n == 0;
    const char *value;

    while (words.n && !is_allowed)
        is_allowed = str_eq(text, str_cut(&words, '|'));
    if (!is_allowed || str_find(text, '\0') < text.n)
        return fail(f, ERR_SETTING, "setting %s = \"%.*s\": must be one of %s. %s", row->name,
                    STR_ARG(str_head(text, 80)), row->min, row->help);
    value = arena_cstr(&p->arena, text);
    if (row->type == IS_LIST && p->is_set[row - plan_rows]) {
        const char *old;

        memcpy(&old, (const char *)p + row->offset, sizeof(old));
        value = arena_printf(&p->arena, "%s\n%s", old, value).p;
    }
    memcpy((char *)p + row->offset, &value, sizeof(value));
    return OK;
}

static err_t plan_set_row(struct plan *p, const struct plan_row *row, struct str value,
                          struct fail *f)
{
    bool is_on;
    err_t e = OK;

    switch (row->type) {
    case IS_TIME:
    case IS_COUNT: e = plan_set_integer(p, row, value, f); break;
    case IS_NUMBER:
    case IS_SHARE: e = plan_set_real(p, row, value, f); break;
    case IS_BOOL:
        if (!conf_bool(value, &is_on))
            return plan_refuse(row, value, "true or false", f);
        memcpy((char *)p + row->offset, &is_on, sizeof(is_on));
        break;
    default: e = plan_set_text(p, row, value, f); break;
    }
    if (e == OK)
        p->is_set[row - plan_rows] = true;
    return e;
}

err_t plan_set(struct plan *p, struct str name, struct str value, struct fail *f)
{
    const struct plan_row *row = plan_find(name);

    if (row == NULL)
        return fail(f, ERR_SETTING, "unknown setting \"%.*s\"; --help lists them",
                    STR_ARG(str_head(name, 60)));
    return plan_set_row(p, row, value, f);
}

struct plan *plan_new(void)
{
    struct plan *p = calloc(1, sizeof(*p));

    check(p != NULL);
    arena_init(&p->arena, 4096);
    for (size_t i = 0; i < PLAN_COUNT; i++)
        check(plan_set_row(p, &plan_rows[i], str_of(plan_rows[i].def), NULL) == OK);
    memset(p->is_set, 0, sizeof(p->is_set));
    return p;
}

void plan_free(struct plan *p)
{
    if (p)
        arena_fini(&p->arena);
    free(p);
}

bool plan_is_set(const struct plan *p, enum plan_id id)
{
    return p->is_set[id];
}

const char *plan_name(enum plan_id id)
{
    return plan_rows[id].name;
}

/* --- where values come from ------------------------------------------------------------------- */

static err_t plan_line(struct plan *p, struct str line, struct fail *f)
{
    struct str name;

    for (size_t i = 0; i < line.n; i++) {
        if (line.p[i] == '#' && (i == 0 || line.p[i - 1] == ' ' || line.p[i - 1] == '\t'))
            line.n = i;
    }
    line = str_trim(line);
    if (line.n == 0)
        return OK;
    if (str_find(line, '=') == line.n)
        return fail(f, ERR_SETTING, "want a line such as name = value");
    name = str_trim(str_cut(&line, '='));
    return plan_set(p, name, str_trim(line), f);
}

err_t plan_load_file(struct plan *p, const char *path, struct fail *f)
{
    FILE *file = fopen(path, "re");
    struct str text;
    char *bytes;
    err_t e = OK;

    if (file == NULL)
        return fail(f, ERR_SETTING, "cannot read the scenario %s: %s", path, strerror(errno));
    bytes = arena_alloc(&p->arena, PLAN_FILE_MAX);
    text = (struct str){bytes, fread(bytes, 1, PLAN_FILE_MAX, file)};
    if (ferror(file) || text.n == PLAN_FILE_MAX)
        e = fail(f, ERR_SETTING, "cannot read the scenario %s: %s", path,
                 text.n == PLAN_FILE_MAX ? "too long" : "not a file");
    fclose(file);
    for (int number = 1; e == OK && text.n; number++) {
        if ((e = plan_line(p, str_cut(&text, '\n'), f)) && f) {
            struct str why = arena_dup(&p->arena, f->text);

            return fail(f, e, "%s:%d: %.*s", path, number, STR_ARG(why));
        }
    }
    return e;
}

/* The flag at argv[*at], which moves behind it. */
static err_t plan_flag(struct plan *p, int argc, char **argv, int *at, struct fail *f)
{
    struct str value = str_skip(str_of(argv[(*at)++]), 2);
    bool has_value = str_find(value, '=') < value.n;
    struct str name = str_cut(&value, '=');
    const struct plan_row *row = plan_find(name);

    if (row == NULL && !has_value && str_starts(name, STR("no-"))) {
        row = plan_find(str_skip(name, 3));
        if (row && row->type == IS_BOOL)
            return plan_set_row(p, row, STR("false"), f);
        row = NULL;
    }
    if (row == NULL)
        return plan_set(p, name, value, f); /* says that it is unknown */
    if (has_value)
        return plan_set_row(p, row, value, f);
    if (row->type == IS_BOOL)
        return plan_set_row(p, row, STR("true"), f);
    if (*at >= argc)
        return fail(f, ERR_SETTING, "--%.*s wants a value", STR_ARG(name));
    return plan_set_row(p, row, str_of(argv[(*at)++]), f);
}

/* Does the flag take the argument that follows it? */
static bool takes_next(const char *flag)
{
    struct str name = str_skip(str_of(flag), 2);
    const struct plan_row *row = plan_find(name);

    return row && row->type != IS_BOOL;
}

err_t plan_load(struct plan *p, int argc, char **argv, struct fail *f)
{
    const char *uri = getenv("MLFLOW_TRACKING_URI");
    err_t e;

    if (uri && *uri && (e = plan_set(p, STR("url"), str_of(uri), f)))
        return e;
    for (int i = 1; i < argc; i++) {
        if (!str_starts(str_of(argv[i]), STR("--"))) {
            if ((e = plan_load_file(p, argv[i], f)))
                return e;
        } else if (takes_next(argv[i])) {
            i++;
        }
    }
    for (int i = 1; i < argc;) {
        if (!str_starts(str_of(argv[i]), STR("--")))
            i++;
        else if ((e = plan_flag(p, argc, argv, &i, f)))
            return e;
    }
    return plan_check(p, f);
}

/* --- rules between settings ------------------------------------------------------------------- */

static err_t plan_mix(struct plan *p, struct fail *f)
{
    struct str rest = str_of(p->mix);
    double sum = 0;

    memset(p->weights, 0, sizeof(p->weights));
    while (rest.n) {
        struct str weight = str_trim(str_cut(&rest, ','));
        struct str word = str_trim(str_cut(&weight, '='));
        size_t kind = 0;

        weight = str_trim(weight);
        while (kind < CALL_COUNT && !str_eq(word, str_of(call_words[kind])))
            kind++;
        if (kind == CALL_COUNT)
            return fail(f, ERR_SETTING, "setting mix: there is no call \"%.*s\"", STR_ARG(word));
        if (!plan_number(weight, &p->weights[kind]))
            return fail(f, ERR_SETTING, "setting mix: want %s=NUMBER", call_words[kind]);
        sum += p->weights[kind];
    }
    if (sum <= 0)
        return fail(f, ERR_SETTING, "setting mix: no call has a weight");
    for (size_t kind = 0; kind < CALL_COUNT; kind++)
        p->weights[kind] /= sum;
    return OK;
}

err_t plan_check(struct plan *p, struct fail *f)
{
    if (p->verify && *p->pg_uri == '\0')
        return fail(f, ERR_SETTING, "setting verify needs pg_uri");
    if (p->jobs * p->runs > 10000000 || p->jobs * p->connections > 1000000)
        return fail(f, ERR_SETTING,
                    "settings jobs, runs, connections: more than ten million runs or a million "
                    "connections");
    if (p->warmup >= p->duration)
        return fail(f, ERR_SETTING, "settings warmup and duration: nothing is left to measure");
    return plan_mix(p, f);
}

/* --- as text ---------------------------------------------------------------------------------- */

void plan_show(const struct plan *p, enum plan_id id, struct buf *out)
{
    const struct plan_row *row = &plan_rows[id];
    const char *field = (const char *)p + row->offset;
    const char *text;
    uint64_t number;
    double real;
    bool is_on;
    char space[32];

    switch (row->type) {
    case IS_TIME:
        memcpy(&number, field, sizeof(number));
        conf_show_time(number, space);
        buf_add_str(out, str_of(space));
        return;
    case IS_COUNT:
        memcpy(&number, field, sizeof(number));
        buf_printf(out, "%llu", (unsigned long long)number);
        return;
    case IS_BOOL:
        memcpy(&is_on, field, sizeof(is_on));
        buf_add_str(out, is_on ? STR("true") : STR("false"));
        return;
    case IS_NUMBER:
    case IS_SHARE:
        memcpy(&real, field, sizeof(real));
        buf_printf(out, "%g", real);
        return;
    default:
        memcpy(&text, field, sizeof(text));
        buf_add_str(out, str_of(text));
        return;
    }
}

void plan_help(struct buf *out)
{
    static const char *const values[] = {
        [IS_TIME] = " TIME",   [IS_COUNT] = " N",   [IS_BOOL] = "",         [IS_NUMBER] = " X",
        [IS_SHARE] = " SHARE", [IS_TEXT] = " TEXT", [IS_LIST] = " 'X > Y'",
    };

    buf_add_str(out, STR("usage: sluice-loadtest [SCENARIO.conf] [--name value]...\n\n"));
    for (size_t i = 0; i < PLAN_COUNT; i++) {
        const struct plan_row *row = &plan_rows[i];

        buf_add_str(out, STR("  --"));
        for (const char *c = row->name; *c; c++)
            buf_add_byte(out, *c == '_' ? '-' : *c);
        buf_printf(out, "%s\n      %s Default: %s.\n", values[row->type], row->help,
                   *row->def ? row->def : "empty");
    }
}
