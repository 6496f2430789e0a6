/*
 * user: what MLflow 3.17.2 does before its first worker, word for word where it refuses.
 *
 * The admin is created when there is no user of that name; then a password is needed, of twelve characters
 * at least, and not the one that older versions shipped. An admin who still has that one gets the configured
 * password instead, once, since logins with the old one are refused. Several processes may start at the same
 * time: whoever comes second finds the row.
 */
#include "gateway/auth/user.h"

#include "base/log.h"
#include "gateway/auth/auth_hash.h"
#include "ingest/python.h"
#include "schema/errors.h"

enum { PASSWORD_LEAST = 12 };
#define LEGACY_PASSWORD "password1234"
#define ADVISORY        "https://github.com/advisories/GHSA-gq3w-7jj3-x7gr"
#define SET_THEM                                                                              \
    "MLFLOW_AUTH_ADMIN_PASSWORD or `admin_password` in the configuration file referenced by " \
    "MLFLOW_AUTH_CONFIG_PATH"

static const struct stmt USER_INSERT = {
    "user_insert", "INSERT INTO users (username, password_hash, is_admin) VALUES ($1, $2, $3::bool)"
                   " ON CONFLICT (username) DO NOTHING RETURNING id, is_admin, username"};

bool user_password_is_long(struct str password)
{
    size_t n = 0;

    while (password.n && n < PASSWORD_LEAST) {
        (void)python_next(&password);
        n++;
    }
    return n >= PASSWORD_LEAST;
}

err_t user_check_password(struct str password, struct fail *f)
{
    if (user_password_is_long(password))
        return OK;
    return fail(f, ERR_BAD_PARAM, "Password must be at least 12 characters.");
}

struct sql_step user_insert(struct arena *a, struct str name, struct str hash, bool is_admin)
{
    struct str *values = arena_array(a, 3, sizeof(*values));

    values[0] = sql_text(a, name);
    values[1] = sql_text(a, hash);
    values[2] = is_admin ? STR("t") : STR("f");
    return (struct sql_step){&USER_INSERT, values, 3};
}

/* -- the first admin --------------------------------------------------------------------------- */

static err_t bootstrap_query(PGconn *c, const char *sql, const char *const *values, int n,
                             PGresult **out, struct fail *f)
{
    err_t e = OK;

    *out = PQexecParams(c, sql, n, NULL, values, NULL, NULL, 0);
    if (PQresultStatus(*out) != PGRES_TUPLES_OK) {
        e = fail(f, ERR_PG, "looking at the users: %.*s",
                 STR_ARG(str_trim(str_of(PQerrorMessage(c)))));
        PQclear(*out);
        *out = NULL;
    }
    return e;
}

static err_t bootstrap_check(const struct auth_config *config, struct fail *f)
{
    struct str name = config->admin_username;

    if (config->admin_password.n == 0)
        return fail(
            f, ERR_SETTING,
            "MLflow Authentication needs a password to create the admin user '%.*s', but none "
            "is configured (or it is empty). MLflow ships no default admin password. Set "
            "the MLFLOW_AUTH_ADMIN_PASSWORD environment variable, or set `admin_password` "
            "in the configuration file referenced by MLFLOW_AUTH_CONFIG_PATH, and restart "
            "the server.",
            STR_ARG(name));
    if (str_eq(config->admin_password, STR(LEGACY_PASSWORD)))
        return fail(f, ERR_SETTING,
                    "Refusing to use the insecure default password that older MLflow versions "
                    "shipped in basic_auth.ini for the admin user '%.*s' (" ADVISORY
                    "). Set " SET_THEM " to a different password.",
                    STR_ARG(name));
    if (!user_password_is_long(config->admin_password))
        return fail(
            f, ERR_SETTING,
            "The configured password for the admin user '%.*s' is invalid: Password must be "
            "at least 12 characters. Set " SET_THEM " to a valid password.",
            STR_ARG(name));
    return OK;
}

/* Runs sql with the admin's name and a new hash of the configured password. */
static err_t bootstrap_write(PGconn *c, const struct auth_config *config, const char *sql,
                             struct fail *f)
{
    char hash[AUTH_HASH_BYTES + 1], name[1024];
    const char *values[2] = {name, hash};
    PGresult *res;
    err_t e;

    if ((e = bootstrap_check(config, f)))
        return e;
    str_to_cstr(config->admin_username, name, sizeof(name));
    if (!auth_hash_make(config->admin_password, hash))
        return fail(f, ERR_INTERNAL, "There are no random bytes for a salt.");
    if ((e = bootstrap_query(c, sql, values, 2, &res, f)) == OK)
        PQclear(res);
    return e;
}

static err_t bootstrap_warn(PGconn *c, const char *name, struct fail *f)
{
    const char *values[1] = {name};
    PGresult *res;
    err_t e = bootstrap_query(c,
                              "SELECT username, password_hash FROM users WHERE username IN ($1, "
                              "'admin')",
                              values, 1, &res, f);

    if (e)
        return e;
    for (int i = 0; i < PQntuples(res); i++) {
        if (auth_hash_matches(str_of(PQgetvalue(res, i, 1)), STR(LEGACY_PASSWORD)))
            log_each(LOG_WARN, "",
                     "a user still has the password that older MLflow versions shipped",
                     "user=%s advisory=%s remedy=%s", PQgetvalue(res, i, 0), ADVISORY,
                     "set MLFLOW_AUTH_ADMIN_PASSWORD and restart");
    }
    PQclear(res);
    return OK;
}

err_t user_bootstrap(PGconn *c, const struct auth_config *config, struct fail *f)
{
    char name[1024];
    const char *values[1] = {name};
    bool is_there, is_legacy;
    PGresult *res;
    err_t e;

    if (config->admin_username.n == 0)
        return fail(f, ERR_SETTING,
                    "MLflow Authentication needs a username for the admin user, but none is "
                    "configured (or it is empty). Set the MLFLOW_AUTH_ADMIN_USERNAME environment "
                    "variable, or set `admin_username` in the configuration file referenced by "
                    "MLFLOW_AUTH_CONFIG_PATH, and restart the server.");
    str_to_cstr(config->admin_username, name, sizeof(name));
    if ((e = bootstrap_query(c, "SELECT coalesce(password_hash, '') FROM users WHERE username = $1",
                             values, 1, &res, f)))
        return e;
    is_there = PQntuples(res) > 0;
    is_legacy = is_there && auth_hash_matches(str_of(PQgetvalue(res, 0, 0)), STR(LEGACY_PASSWORD));
    PQclear(res);
    if (!is_there) {
        log_info("", "creating the admin user", "user=%s", name);
        e = bootstrap_write(c, config,
                            "INSERT INTO users (username, password_hash, is_admin) VALUES ($1, $2, "
                            "true) ON CONFLICT (username) DO NOTHING RETURNING id",
                            f);
    } else if (is_legacy && config->admin_password.n &&
               !str_eq(config->admin_password, STR(LEGACY_PASSWORD))) {
        e = bootstrap_write(
            c, config, "UPDATE users SET password_hash = $2 WHERE username = $1 RETURNING id", f);
        if (e == OK)
            log_each(LOG_WARN, "", "replaced the password that older MLflow versions shipped",
                     "user=%s remedy=%s", name, "unset MLFLOW_AUTH_ADMIN_PASSWORD now");
    }
    return e ? e : bootstrap_warn(c, name, f);
}
