/*
 * doctor_users: with auth = basic, what a server would find: the file, its database, its admin.
 *
 * One connection of its own, because the users may stand in another database.
 */
#define _GNU_SOURCE /* environ */
#include <string.h>
#include <unistd.h>

#include "gateway/auth/auth_config.h"
#include "gateway/auth/htpasswd.h"
#include "gateway/command/doctor.h"
#include "schema/errors.h"
#include "schema/migrate.h"

static enum verdict users_say(struct doctor *d, enum verdict v, struct str saw, const char *remedy)
{
    buf_add_str(&d->saw, saw);
    buf_add_str(&d->remedy, str_of(remedy));
    return v;
}

/* How many users there are, and how many admins. */
static enum verdict users_count(struct doctor *d, PGconn *c)
{
    PGresult *r = PQexec(c, "SELECT count(*), count(*) FILTER (WHERE is_admin) FROM users");
    enum verdict v = DOCTOR_OK;

    if (PQresultStatus(r) != PGRES_TUPLES_OK) {
        v = users_say(d, DOCTOR_FAIL, str_trim(str_of(PQerrorMessage(c))),
                      "the role must read and write MLflow's tables of users");
    } else {
        buf_printf(&d->saw, "%s users, %s of them admins, revision %s", PQgetvalue(r, 0, 0),
                   PQgetvalue(r, 0, 1), MIGRATE_AUTH_HEAD);
        if (strcmp(PQgetvalue(r, 0, 1), "0") == 0) {
            v = DOCTOR_WARN;
            buf_add_str(&d->remedy,
                        STR("nobody may make users: the next start creates admin_username"));
        }
    }
    PQclear(r);
    return v;
}

static enum verdict users_look(struct doctor *d, PGconn *c)
{
    struct migrate_report report;
    struct fail f;

    fail_init(&f, NULL);
    if (migrate_look_auth(c, &report, &f))
        return users_say(d, DOCTOR_FAIL, f.text, "");
    if (report.state == MIGRATE_EMPTY)
        return users_say(d, DOCTOR_WARN, STR("the database holds no tables of users"),
                         "`sluice serve` makes them");
    if (report.state != MIGRATE_READY) {
        buf_printf(&d->saw, "tables of users at revision %s, first one missing: %s",
                   report.head[0] ? report.head : "none",
                   report.missing[0] ? report.missing : "none");
        buf_add_str(&d->remedy,
                    STR("`python -m mlflow.server.auth db upgrade`, or another auth_pg_uri"));
        return DOCTOR_FAIL;
    }
    return users_count(d, c);
}

static enum verdict users_connect(struct doctor *d, const char *uri)
{
    static const char *const names[] = {"connect_timeout", "application_name", "dbname", NULL};
    const char *values[] = {"5", "sluice doctor", uri, NULL};
    PGconn *c = PQconnectdbParams(names, values, 1);
    struct str said = str_trim(str_of(PQerrorMessage(c)));
    enum verdict v;

    if (c && PQstatus(c) == CONNECTION_OK)
        v = users_look(d, c);
    else
        v = users_say(
            d, DOCTOR_FAIL, str_cut(&said, '\n'),
            "the database of the users: is auth_pg_uri, or the file's database_uri, right?");
    PQfinish(c);
    return v;
}

enum verdict doctor_users(struct doctor *d)
{
    const struct settings *s = d->settings;
    struct auth_config config;
    struct htpasswd *file;
    enum verdict v = DOCTOR_OK;
    struct arena a;
    struct fail f;

    if (strcmp(s->auth, "none") == 0)
        return users_say(d, DOCTOR_OK, STR("auth = none: whoever reaches listen may do everything"),
                         "");
    arena_init(&a, 4096);
    fail_init(&f, &a);
    if (auth_config_load(s, environ, &a, &config, &f) ||
        (*s->auth_htpasswd && htpasswd_open(s->auth_htpasswd, &file, &f))) {
        v = users_say(d, DOCTOR_FAIL, f.text, "");
    } else {
        if (*s->auth_htpasswd)
            htpasswd_close(file);
        if (*s->auth_secret_key == '\0')
            v = users_say(d, DOCTOR_FAIL, STR("auth_secret_key is not set"),
                          "set MLFLOW_FLASK_SERVER_SECRET_KEY, the same on all replicas");
        else if (d->db.uri == NULL || !d->db.is_running)
            v = users_say(d, DOCTOR_WARN, STR("not looked at: the private cluster does not run"),
                          "");
        else
            v = users_connect(d, auth_config_pg_uri(&config, s, d->db.uri, &a));
    }
    arena_fini(&a);
    return v;
}
