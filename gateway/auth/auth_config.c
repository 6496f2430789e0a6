/*
 * auth_config: read_auth_config() of MLflow 3.17.2.
 *
 * A variable that is set wins over the file even when it is empty, so that an empty secret is noticed at
 * the start and does not fall back to an old value. Without a file there is MLflow's own: READ, a SQLite
 * database, an admin without a password. Users are kept in PostgreSQL only: a database_uri of
 * another kind is passed over, and the database of the experiments holds them.
 */
#include "gateway/auth/auth_config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/conf.h"
#include "base/log.h"
#include "gateway/auth/ini.h"
#include "schema/errors.h"
#include "schema/pg_uri.h"

enum { FILE_MAX = 1 << 20 };

static const char package_ini[] = "[mlflow]\n"
                                  "default_permission = READ\n"
                                  "database_uri = sqlite:///basic_auth.db\n"
                                  "admin_username = admin\n"
                                  "authorization_function = " AUTH_FUNCTION_BASIC "\n"
                                  "grant_default_workspace_access = false\n";

/* The value behind NAME=, NULL when it is not set at all. */
static const char *auth_config_variable(char **envp, const char *name)
{
    size_t n = strlen(name);

    for (; *envp; envp++) {
        if (strncmp(*envp, name, n) == 0 && (*envp)[n] == '=')
            return *envp + n + 1;
    }
    return NULL;
}

static err_t auth_config_flag(char **envp, const char *name, bool *out, struct fail *f)
{
    const char *value = auth_config_variable(envp, name);
    struct str v = str_of(value);

    if (value == NULL)
        return OK;
    if (!str_ieq(v, STR("true")) && !str_ieq(v, STR("false")) && !str_eq(v, STR("1")) &&
        !str_eq(v, STR("0")))
        return fail(f, ERR_SETTING,
                    "%s value must be one of ['true', 'false', '1', '0'] (case-insensitive), "
                    "but got %.*s",
                    name, STR_ARG(str_head(v, 80)));
    *out = str_ieq(v, STR("true")) || str_eq(v, STR("1"));
    return OK;
}

static err_t auth_config_file(const char *path, struct arena *a, struct str *text, struct fail *f)
{
    FILE *file;
    char *bytes;
    size_t n;
    int why = 0;

    *text = str_of(package_ini);
    if (*path == '\0')
        return OK;
    if ((file = fopen(path, "re")) == NULL)
        return fail(f, ERR_SETTING, "auth_config: cannot read %s: %s", path, strerror(errno));
    bytes = arena_alloc(a, FILE_MAX);
    n = fread(bytes, 1, FILE_MAX, file);
    if (ferror(file))
        why = errno;
    else if (n == FILE_MAX)
        why = EFBIG;
    fclose(file);
    if (why)
        return fail(f, ERR_SETTING, "auth_config: cannot read %s: %s", path, strerror(why));
    *text = (struct str){bytes, n};
    return OK;
}

struct option {
    const char *name;
    const char *variable; /* NULL = none */
    struct str *out;
    bool is_required;
};

static err_t auth_config_option(const struct ini *ini, char **envp, const struct option *o,
                                struct fail *f)
{
    const char *set = o->variable ? auth_config_variable(envp, o->variable) : NULL;
    err_t e;

    if (set) {
        *o->out = str_of(set);
        return OK;
    }
    if ((e = ini_get(ini, STR("mlflow"), str_of(o->name), o->out, f)))
        return e;
    if (o->is_required && o->out->p == NULL)
        return fail(f, ERR_SETTING, "[mlflow] lacks %s", o->name);
    return OK;
}

static err_t auth_config_options(const struct ini *ini, char **envp, struct auth_config *c,
                                 struct fail *f)
{
    struct str grant;
    const struct option options[] = {
        {"default_permission", NULL, &c->default_permission, true},
        {"database_uri", NULL, &c->database_uri, true},
        {"admin_username", "MLFLOW_AUTH_ADMIN_USERNAME", &c->admin_username, false},
        {"admin_password", "MLFLOW_AUTH_ADMIN_PASSWORD", &c->admin_password, false},
        {"authorization_function", NULL, &c->authorization_function, false},
        {"grant_default_workspace_access", NULL, &grant, false},
    };
    err_t e;

    if (!ini_has_section(ini, STR("mlflow")))
        return fail(f, ERR_SETTING, "there is no section [mlflow]");
    for (size_t i = 0; i < array_len(options); i++) {
        if ((e = auth_config_option(ini, envp, &options[i], f)))
            return e;
    }
    if (c->admin_username.n == 0)
        c->admin_username.p = NULL;
    if (c->admin_password.n == 0)
        c->admin_password.p = NULL;
    if (c->authorization_function.p == NULL)
        c->authorization_function = STR(AUTH_FUNCTION_BASIC);
    if (grant.p && !conf_bool(grant, &c->grant_default_workspace_access))
        return fail(f, ERR_SETTING, "grant_default_workspace_access is no boolean: %.*s",
                    STR_ARG(str_head(grant, 80)));
    return OK;
}

err_t auth_config_load(const struct settings *s, char **envp, struct arena *a,
                       struct auth_config *out, struct fail *f)
{
    const char *where = *s->auth_config ? s->auth_config : "MLflow's basic_auth.ini";
    struct ini ini;
    struct str text;
    err_t e;

    *out = (struct auth_config){.fails_closed = true, .seeds_roles = true};
    if ((e = auth_config_file(s->auth_config, a, &text, f)))
        return e;
    if ((e = ini_read(&ini, text, a, f)) || (e = auth_config_options(&ini, envp, out, f)))
        return fail(f, e, "auth_config: %s: %.*s", where, STR_ARG(arena_dup(a, f->text)));
    if ((e = auth_config_flag(envp, "MLFLOW_BASIC_AUTH_FAIL_CLOSED", &out->fails_closed, f)))
        return e;
    return auth_config_flag(envp, "MLFLOW_RBAC_SEED_DEFAULT_ROLES", &out->seeds_roles, f);
}

const char *auth_config_pg_uri(const struct auth_config *c, const struct settings *s,
                               const char *pg_uri, struct arena *a)
{
    if (*s->auth_pg_uri)
        return s->auth_pg_uri;
    if (!pg_uri_is_postgresql(c->database_uri))
        return pg_uri;
    return pg_uri_from_sqlalchemy(c->database_uri, a).p;
}
