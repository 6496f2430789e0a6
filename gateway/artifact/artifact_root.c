/*
 * artifact_root: three look-ups. A run that is deleted still has its artifacts; a model that is deleted,
 * or a version, is not there.
 */
#include "gateway/artifact/artifact_root.h"

#include <string.h>

#include "gateway/api/registry.h"
#include "gateway/say.h"
#include "ingest/admit.h"
#include "ingest/model_names.h"
#include "ingest/names.h"
#include "schema/errors.h"

static const struct stmt RUN = {
    "artifact_run", "SELECT artifact_uri FROM runs WHERE run_uuid = $1::text" SCOPE_OF("runs")};
static const struct stmt MODEL = {
    "artifact_model", "SELECT artifact_location FROM logged_models WHERE model_id = $1::text"
                      " AND lifecycle_stage != 'deleted'" SCOPE_OF("logged_models")};
static const struct stmt VERSION = {
    "artifact_version",
    "SELECT coalesce(nullif(storage_location, ''), source) FROM model_versions"
    " WHERE workspace = " SCOPE_NAME
    " AND name = $1::text AND version = $2::int4 AND current_stage != 'Deleted_Internal'"};

struct look_up {
    struct str name; /* id, or name of the registered model */
    int32_t version;
    struct str values[2];
    struct str *uri;
    req_step next;
    err_t (*absent)(struct req *r, const struct look_up *u, struct fail *f);
};

static err_t no_run(struct req *r, const struct look_up *u, struct fail *f)
{
    (void)r;
    return admit_no_run(u->name, f);
}

static err_t no_model(struct req *r, const struct look_up *u, struct fail *f)
{
    return SAY(&r->arena, f, ERR_NOT_FOUND, STR("Logged model with ID '"), u->name,
               STR("' not found."));
}

static err_t no_version(struct req *r, const struct look_up *u, struct fail *f)
{
    (void)r;
    return registry_no_version(u->name, u->version, f);
}

static err_t found(struct req *r, struct fail *f)
{
    struct look_up *u = r->asked;
    const PGresult *rows = r->sql.results[0];

    r->asked = NULL;
    if (PQntuples(rows) == 0)
        return u->absent(r, u, f);
    *u->uri = arena_dup(&r->arena, sql_get(rows, 0, 0));
    return u->next(r, f);
}

static err_t look(struct req *r, struct look_up *u, const struct stmt *stmt, unsigned values)
{
    if (u->name.n && memchr(u->name.p, '\0', u->name.n))
        return u->absent(r, u, r->fail); /* PostgreSQL holds none */
    u->values[0] = sql_text(&r->arena, u->name);
    r->asked = u;
    return req_sql(r, &(struct sql_step){stmt, u->values, values}, 1, found);
}

static struct look_up *new_look_up(struct req *r, struct str name, struct str *uri, req_step next)
{
    struct look_up *u = arena_zalloc(&r->arena, sizeof(*u));

    u->name = name;
    u->uri = uri;
    u->next = next;
    return u;
}

err_t artifact_root_of_run(struct req *r, struct str id, struct str *uri, req_step next)
{
    struct look_up *u = new_look_up(r, id, uri, next);

    u->absent = no_run;
    return look(r, u, &RUN, 1);
}

err_t artifact_root_of_model(struct req *r, struct str id, struct str *uri, req_step next)
{
    struct look_up *u = new_look_up(r, id, uri, next);

    u->absent = no_model;
    return look(r, u, &MODEL, 1);
}

err_t artifact_root_of_version(struct req *r, struct str name, struct str version, struct str *uri,
                               req_step next)
{
    struct look_up *u = new_look_up(r, name, uri, next);
    err_t e;

    if ((e = model_names_check(name, r->fail)) ||
        (e = model_names_version(version, &u->version, r->fail)))
        return e;
    u->absent = no_version;
    u->values[1] = sql_i64(&r->arena, u->version);
    return look(r, u, &VERSION, 2);
}
