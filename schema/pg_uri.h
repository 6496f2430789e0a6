/*
 * pg_uri: connection strings, from what MLflow takes to what libpq takes.
 *
 * MLflow's are SQLAlchemy URLs: a driver in the scheme, a password that may hold slashes, query
 * parameters meant for the driver. Pure functions; any thread.
 */
#ifndef SCHEMA_PG_URI_H
#define SCHEMA_PG_URI_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"

/* Does it begin with postgresql:// or postgres://, a +driver allowed? */
bool pg_uri_is_postgresql(struct str text);
/* Another store of MLflow's, which this program does not speak: sqlite, mysql, mssql, a +driver allowed? */
bool pg_uri_is_foreign(struct str text);
/* Has the scheme a +driver? */
bool pg_uri_has_driver(struct str text);
/* A SQLAlchemy URL of PostgreSQL as a libpq URI; parameters unknown to libpq are dropped. */
struct str pg_uri_from_sqlalchemy(struct str text, struct arena *a);
/* Would libpq parse it? Says nothing about a server. */
must_check bool pg_uri_is_valid(const char *text);

#endif
