/*
 * settings_load: where values come from.
 *
 *   defaults < file (--config or SLUICE_CONFIG) < environment < flags        later wins
 *
 * A refusal says where the value stood: "sluice.conf:12: setting ...", "SLUICE_WORKERS: setting
 * ...". Variables that begin with SLUICE_ must be settings, so that a typing error does not pass
 * in silence; excepted are SLUICE_CONFIG, SLUICE_TEST_* (the tests' own), and what Kubernetes
 * puts into every pod beside a service named "sluice" (SLUICE_SERVICE_*, SLUICE_PORT*).
 *
 * MLflow's variables are read for settings that neither file nor SLUICE_ variables have set, so
 * that a pod made for the stock server works unchanged; an empty pg_uri counts as not set.
 */
#include "schema/settings.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "schema/errors.h"
#include "schema/pg_uri.h"
#include "schema/settings_rows.h"

enum { SETTINGS_FILE_MAX = 1 << 20 };

const struct setting_fallback setting_fallbacks[] = {
    {"MLFLOW_BACKEND_STORE_URI", SETTING_pg_uri},
    {"MLFLOW_DEFAULT_ARTIFACT_ROOT", SETTING_default_artifact_root},
    {"MLFLOW_SERVE_ARTIFACTS", SETTING_serve_artifacts},
    {"MLFLOW_ARTIFACTS_DESTINATION", SETTING_artifacts_destination},
    {"MLFLOW_ARTIFACTS_ONLY", SETTING_artifacts_only},
    {"MLFLOW_STATIC_PREFIX", SETTING_static_prefix},
    {"MLFLOW_ENABLE_WORKSPACES", SETTING_enable_workspaces},
    {"MLFLOW_SERVER_ALLOWED_HOSTS", SETTING_allowed_hosts},
    {"MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", SETTING_cors_allowed_origins},
    {"MLFLOW_SERVER_X_FRAME_OPTIONS", SETTING_x_frame_options},
    {"MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", SETTING_disable_security_middleware},
    /* uvicorn's own, MLflow's server being that */
    {"FORWARDED_ALLOW_IPS", SETTING_trusted_proxies},
    {"MLFLOW_TRUNCATE_LONG_VALUES", SETTING_truncate_long_values},
    {"MLFLOW_AUTH_CONFIG_PATH", SETTING_auth_config},
    {"MLFLOW_FLASK_SERVER_SECRET_KEY", SETTING_auth_secret_key},
    {"OTEL_EXPORTER_OTLP_ENDPOINT", SETTING_otlp_endpoint}, /* what every OpenTelemetry SDK reads */
};
const size_t setting_fallback_count = array_len(setting_fallbacks);

/* Puts "where: " before a refusal. */
static err_t refuse_at(err_t e, struct str where, struct fail *f)
{
    if (f == NULL)
        return e;
    return fail(f, e, "%.*s: %.*s", STR_ARG(where), STR_ARG(f->text));
}

/* --- the file --------------------------------------------------------------------------------- */

/* The whole file, into s' arena. */
static err_t read_file(struct settings *s, const char *path, struct str *text, struct fail *f)
{
    FILE *file = fopen(path, "re");
    int why = 0;
    char *bytes;
    size_t n;

    if (file == NULL)
        return fail(f, ERR_SETTING, "cannot read the settings file %s: %s", path, strerror(errno));
    bytes = arena_alloc(&s->arena, SETTINGS_FILE_MAX);
    n = fread(bytes, 1, SETTINGS_FILE_MAX, file);
    if (ferror(file))
        why = errno;
    else if (n == SETTINGS_FILE_MAX)
        why = EFBIG;
    fclose(file);
    if (why)
        return fail(f, ERR_SETTING, "cannot read the settings file %s: %s", path, strerror(why));
    *text = (struct str){bytes, n};
    return OK;
}

/* line without its comment: from a # that begins the line or follows a blank. */
static struct str drop_comment(struct str line)
{
    for (size_t i = 0; i < line.n; i++) {
        if (line.p[i] == '#' && (i == 0 || line.p[i - 1] == ' ' || line.p[i - 1] == '\t'))
            return str_head(line, i);
    }
    return line;
}

static err_t load_line(struct settings *s, struct str line, struct fail *f)
{
    struct str name;

    line = str_trim(drop_comment(line));
    if (line.n == 0)
        return OK;
    if (str_find(line, '=') == line.n)
        return fail(f, ERR_SETTING, "want a line such as name = value");
    name = str_trim(str_cut(&line, '='));
    return settings_set(s, name, str_trim(line), f);
}

err_t settings_load_file(struct settings *s, const char *path, struct fail *f)
{
    struct str text;
    err_t e;

    if ((e = read_file(s, path, &text, f)))
        return e;
    for (int number = 1; text.n; number++) {
        if ((e = load_line(s, str_cut(&text, '\n'), f)))
            return refuse_at(e, arena_printf(&s->arena, "%s:%d", path, number), f);
    }
    return OK;
}

unsigned settings_try_file(struct settings *s, const char *path, struct buf *out)
{
    unsigned count = 0;
    struct str text;
    struct fail f;

    fail_init(&f, &s->arena);
    if (read_file(s, path, &text, &f)) {
        buf_printf(out, "%.*s\n", STR_ARG(f.text));
        return 1;
    }
    for (int number = 1; text.n; number++) {
        if (load_line(s, str_cut(&text, '\n'), &f) == OK)
            continue;
        buf_printf(out, "%s:%d: %.*s\n", path, number, STR_ARG(f.text));
        count++;
    }
    return count;
}

/* --- the environment -------------------------------------------------------------------------- */

static bool is_foreign_variable(struct str name)
{
    return str_eq(name, STR("SLUICE_CONFIG")) || str_starts(name, STR("SLUICE_TEST_")) ||
           str_starts(name, STR("SLUICE_SERVICE_")) || str_eq(name, STR("SLUICE_PORT")) ||
           str_starts(name, STR("SLUICE_PORT_"));
}

static struct str find_variable(char **envp, struct str name)
{
    for (; *envp; envp++) {
        struct str value = str_of(*envp);

        if (str_eq(str_cut(&value, '='), name))
            return value;
    }
    return STR("");
}

/* SLUICE_RING_BYTES to ring_bytes; SLUICE_KAFKA_SASL_USERNAME to kafka.sasl.username. */
static struct str setting_of_variable(struct str variable, char space[SETTING_NAME_MAX])
{
    struct str name = str_skip(variable, sizeof("SLUICE_") - 1);
    bool is_file;

    str_to_cstr(name, space, SETTING_NAME_MAX);
    for (char *c = space; *c; c++) {
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    }
    if (str_starts(str_of(space), STR("kafka_")) && !setting_find(str_of(space), &is_file)) {
        for (char *c = space; *c; c++)
            *c = *c == '_' ? '.' : *c;
        if (str_ends(str_of(space), STR(".file"))) /* kafka.sasl.password_file */
            space[strlen(space) - sizeof("file")] = '_';
    }
    return str_of(space);
}

static err_t load_fallback(struct settings *s, const struct setting_fallback *from, char **envp,
                           struct fail *f)
{
    struct str value = find_variable(envp, str_of(from->variable));
    err_t e;

    if (value.n == 0)
        return OK;
    if (from->id == SETTING_pg_uri) {
        if (*s->pg_uri)
            return OK;
        if (!pg_uri_is_postgresql(value) && !pg_uri_is_foreign(value)) {
            log_warn("", "store is no database, variable ignored", "variable=%s", from->variable);
            return OK;
        }
        if (pg_uri_is_postgresql(value))
            value = pg_uri_from_sqlalchemy(value, &s->arena);
    } else if (from->id == SETTING_disable_security_middleware && !str_eq(value, STR("true"))) {
        return OK; /* "1" and "True" switch nothing off in MLflow either */
    } else if (s->is_set[from->id]) {
        return OK;
    }
    if ((e = settings_set(s, str_of(setting_rows[from->id].name), value, f)))
        return refuse_at(e, str_of(from->variable), f);
    return OK;
}

err_t settings_load_env(struct settings *s, char **envp, struct fail *f)
{
    char space[SETTING_NAME_MAX];
    err_t e;

    for (char **at = envp; *at; at++) {
        struct str value = str_of(*at);
        struct str variable = str_cut(&value, '=');

        if (!str_starts(variable, STR("SLUICE_")) || is_foreign_variable(variable))
            continue;
        if ((e = settings_set(s, setting_of_variable(variable, space), value, f)))
            return refuse_at(e, variable, f);
    }
    for (size_t i = 0; i < setting_fallback_count; i++) {
        if ((e = load_fallback(s, &setting_fallbacks[i], envp, f)))
            return e;
    }
    return OK;
}

/* --- flags ------------------------------------------------------------------------------------ */

struct flag {
    struct str name;
    struct str value;
    bool has_value;
};

/* May the argument after a boolean's flag be its value? Digits are left to whoever comes next. */
static bool is_bool_word(const char *arg)
{
    static const char *const words[] = {"true", "false", "on", "off", "yes", "no"};

    for (size_t i = 0; i < array_len(words); i++) {
        if (str_ieq(str_of(arg), str_of(words[i])))
            return true;
    }
    return false;
}

/* The flag at argv[*argi], which moves behind it. */
static err_t take_flag(int argc, char **argv, int *argi, struct flag *flag, struct fail *f)
{
    struct str text = str_skip(str_of(argv[(*argi)++]), 2);
    const char *next = *argi < argc ? argv[*argi] : NULL;
    const struct setting_row *row;
    bool is_negated;
    bool is_file;

    flag->has_value = str_find(text, '=') < text.n;
    flag->name = str_cut(&text, '=');
    flag->value = text;
    if (flag->has_value)
        return OK;
    row = setting_find(flag->name, &is_file);
    is_negated = row == NULL && str_starts(flag->name, STR("no-"));
    if (is_negated) {
        struct str name = str_skip(flag->name, 3);

        row = setting_find(name, &is_file);
        if (row == NULL || row->type != SETTING_IS_BOOL)
            return OK; /* settings_set says that it is unknown */
        flag->name = name;
    }
    if (row && row->type == SETTING_IS_BOOL) {
        flag->value = is_negated ? STR("false") : STR("true");
        if (!is_negated && next && is_bool_word(next))
            flag->value = str_of(argv[(*argi)++]);
    } else if (row || str_eq(flag->name, STR("config")) || setting_is_pass(flag->name)) {
        if (next == NULL || str_starts(str_of(next), STR("--")))
            return fail(f, ERR_SETTING, "--%.*s wants a value", STR_ARG(flag->name));
        flag->value = str_of(argv[(*argi)++]);
    }
    return OK;
}

/* Goes through the flags; sets them when s is not NULL, notes the last --config in *config. */
static err_t walk_flags(struct settings *s, int argc, char **argv, int *argi, struct str *config,
                        struct fail *f)
{
    err_t e;

    while (*argi < argc && str_starts(str_of(argv[*argi]), STR("--"))) {
        struct flag flag;

        if (strcmp(argv[*argi], "--") == 0) {
            (*argi)++;
            break;
        }
        if ((e = take_flag(argc, argv, argi, &flag, f)))
            return e;
        if (str_eq(flag.name, STR("config")))
            *config = flag.value;
        else if (s && (e = settings_set(s, flag.name, flag.value, f)))
            return e;
    }
    return OK;
}

err_t settings_load_args(struct settings *s, int argc, char **argv, int *argi, struct fail *f)
{
    struct str config;

    return walk_flags(s, argc, argv, argi, &config, f);
}

err_t settings_load(struct settings *s, int argc, char **argv, char **envp, int *argi,
                    struct fail *f)
{
    struct str config = find_variable(envp, STR("SLUICE_CONFIG"));
    int first = *argi;
    err_t e;

    if ((e = walk_flags(NULL, argc, argv, &first, &config, f)))
        return e;
    if (config.n && (e = settings_load_file(s, arena_cstr(&s->arena, config), f)))
        return e;
    if ((e = settings_load_env(s, envp, f)))
        return e;
    if ((e = settings_load_args(s, argc, argv, argi, f)))
        return e;
    return settings_check(s, f);
}
