/*
 * A private cluster lives as long as the program that started it, so what works on its rows while
 * no server runs must bring it up, and take it down again. When a server runs, the cluster does
 * too, and it is used as anybody else's would be.
 */
#include "gateway/sql/database.h"

#include "schema/errors.h"

void database_find(const struct settings *s, struct database *d)
{
    *d = (struct database){.uri = s->pg_uri, .is_running = true};
    if (s->pg_uri[0])
        return;
    d->is_private = true;
    d->uri = NULL;
    d->is_running = false;
    if (cluster_locate(s->data_dir, &d->at, NULL))
        return;
    d->uri = d->at.uri;
    d->is_running = d->at.pid != 0;
}

err_t database_open(const struct settings *s, struct database *d, struct fail *f)
{
    err_t e;

    if (settings_passes_all(s))
        return fail(f, ERR_SETTING, "pg_uri names a store that is not PostgreSQL");
    database_find(s, d);
    if (d->is_running)
        return OK;
    if (d->uri == NULL)
        return fail(f, ERR_SETTING,
                    "there is no database yet: pg_uri is not set, and %s holds no "
                    "private cluster",
                    s->data_dir);
    if ((e = cluster_open(s->data_dir, s->pg_bin_dir, &d->started, f)))
        return e;
    d->uri = cluster_uri(d->started);
    d->is_running = true;
    return OK;
}

void database_close(struct database *d)
{
    if (d->started)
        cluster_close(d->started);
    d->started = NULL;
}
