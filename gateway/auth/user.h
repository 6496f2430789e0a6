/*
 * user: MLflow's rules on users, and how one is written, for the calls and for the first admin.
 *
 * Pure functions, but for user_bootstrap, which is the main thread's: it waits for PostgreSQL.
 */
#ifndef GATEWAY_USER_H
#define GATEWAY_USER_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "gateway/auth/auth_config.h"
#include "gateway/sql/sql.h"

/* Twelve characters. */
bool user_password_is_long(struct str password);
must_check err_t user_check_password(struct str password, struct fail *f);
/* Inserts a user; the row (id, is_admin, username), or none when the name is taken. */
struct sql_step user_insert(struct arena *a, struct str name, struct str hash, bool is_admin);
/* MLflow's create_admin_user: the admin that config names, unless there is one. */
must_check err_t user_bootstrap(PGconn *c, const struct auth_config *config, struct fail *f);

#endif
