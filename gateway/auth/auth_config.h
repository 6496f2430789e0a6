/*
 * auth_config: MLflow's basic_auth.ini, as Python's configparser reads it, and its environment.
 *
 * Read once, at the start; constant afterwards.
 */
#ifndef GATEWAY_AUTH_CONFIG_H
#define GATEWAY_AUTH_CONFIG_H

#include "base/arena.h"
#include "base/fail.h"
#include "schema/settings.h"

#define AUTH_FUNCTION_BASIC "mlflow.server.auth:authenticate_request_basic_auth"

struct auth_config {
    struct str default_permission; /* as written; MLflow looks at it when it is needed */
    struct str database_uri;       /* as written: SQLAlchemy's form */
    struct str admin_username;     /* p NULL = none, or empty */
    struct str admin_password;     /* likewise */
    struct str authorization_function;
    bool grant_default_workspace_access;
    bool fails_closed; /* MLFLOW_BASIC_AUTH_FAIL_CLOSED */
    bool seeds_roles;  /* MLFLOW_RBAC_SEED_DEFAULT_ROLES */
};

/* From the file that auth_config names, else MLflow's own; then the environment. Texts live in a. */
must_check err_t auth_config_load(const struct settings *s, char **envp, struct arena *a,
                                  struct auth_config *out, struct fail *f);
/* The database of users as a libpq URI: auth_pg_uri, else the file's if that is PostgreSQL, else pg_uri. */
const char *auth_config_pg_uri(const struct auth_config *c, const struct settings *s,
                               const char *pg_uri, struct arena *a);

#endif
