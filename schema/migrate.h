/*
 * migrate: is this a database we may work on, and if it is empty, make it one.
 *
 * Blocking libpq on a connection of the caller's, in autocommit, no transaction open; for the
 * main thread and the command line, before any other thread starts (migrate_check also for a
 * flusher that has just reconnected, on its own connection). Every call leaves the connection
 * outside a transaction and bounds its waits by statement_timeout and lock_timeout; a server that
 * does not answer at all is bounded by the connection's own TCP settings.
 *
 * `sluice serve` calls migrate_prepare; the command line calls the parts.
 */
#ifndef SCHEMA_MIGRATE_H
#define SCHEMA_MIGRATE_H

#include <stddef.h>

#include <libpq-fe.h>

#include "base/fail.h"

/* The Alembic revision of MLflow 3.17.2, the only one we write to. */
#define MIGRATE_HEAD "dc11669786a5"
/* The same for the tables of its basic-auth application. */
#define MIGRATE_AUTH_HEAD "f1a2b3c4d5e6"

enum migrate_state {
    MIGRATE_EMPTY,         /* no table of MLflow's: may be created */
    MIGRATE_READY,         /* every table, and exactly our revision */
    MIGRATE_OLD_HEAD,      /* another revision (older or newer), none, or several */
    MIGRATE_MISSING_TABLE, /* our revision or none can be read, but a table is missing */
};

/* What migrate_look found. */
struct migrate_report {
    enum migrate_state state;
    char head[64];        /* the revision found; "" = none; "several" = more than one row */
    char missing[64];     /* first missing table, in the order of mlflow.sql; "" = none */
    size_t missing_count; /* tables missing */
    size_t wanted_count;  /* tables that mlflow.sql declares */
};

/* Looks, changes nothing. Fails only when it cannot look: ERR_PG, ERR_SCHEMA (server too old). */
must_check err_t migrate_look(PGconn *c, struct migrate_report *report, struct fail *f);
/* OK when READY; otherwise ERR_SCHEMA with what was found and what to do about it. */
must_check err_t migrate_check(PGconn *c, struct fail *f);
/* Creates MLflow's tables and seeds experiment 0 when EMPTY; READY (perhaps just made by somebody
 * else) is fine too; anything else is ERR_SCHEMA. One transaction. */
must_check err_t migrate_create(PGconn *c, const char *default_artifact_root, struct fail *f);
/* Creates or upgrades schema sluice. */
must_check err_t migrate_own(PGconn *c, struct fail *f);
/* Inserts experiment 0, Default, unless it exists (deleted counts as existing). */
must_check err_t migrate_seed(PGconn *c, const char *default_artifact_root, struct fail *f);
/* All of it, in order: check or create, own, seed. */
must_check err_t migrate_prepare(PGconn *c, const char *default_artifact_root, struct fail *f);
/* The tables of users: looks, changes nothing, as migrate_look. */
must_check err_t migrate_look_auth(PGconn *c, struct migrate_report *report, struct fail *f);
/* The tables of users: creates them where there are none, else checks their revision. */
must_check err_t migrate_auth(PGconn *c, struct fail *f);

#endif
