/*
 * database: the PostgreSQL that a command works on: as chosen, else the private cluster.
 *
 * Main thread. Order of calls: database_find or database_open, then database_close.
 */
#ifndef GATEWAY_DATABASE_H
#define GATEWAY_DATABASE_H

#include <stdbool.h>

#include "base/fail.h"
#include "schema/cluster.h"
#include "schema/settings.h"

struct database {
    const char *uri; /* NULL: there is no cluster yet; as long as this struct and the settings */
    bool is_private;
    bool is_running;         /* of the private cluster; true for another's server */
    struct cluster_info at;  /* of the private cluster */
    struct cluster *started; /* by database_open */
};

/* Looks where it is, starts nothing. */
void database_find(const struct settings *s, struct database *d);
/* The same, and a private cluster that does not run is started until database_close. */
must_check err_t database_open(const struct settings *s, struct database *d, struct fail *f);
void database_close(struct database *d);

#endif
