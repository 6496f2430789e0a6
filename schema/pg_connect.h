/*
 * pg_connect: how a connection to PostgreSQL is begun, and what bounds its silence.
 *
 * All connections of the program begin here, so that none can wait for a dead peer for longer than
 * the settings say. Any thread; the connection belongs to whoever asked for it.
 */
#ifndef SCHEMA_PG_CONNECT_H
#define SCHEMA_PG_CONNECT_H

#include <libpq-fe.h>
#include <stdint.h>

#include "schema/pg_names.h"
#include "schema/settings.h"

struct pg_terms {
    const char *uri;     /* outlives whoever holds the terms */
    uint64_t connect_us; /* pg_connect_timeout */
    uint64_t silence_us; /* pg_user_timeout */
    uint64_t answer_us;  /* flush_timeout */
};

struct pg_terms pg_terms_of(const char *uri, const struct settings *s);
/* As PQconnectStartParams. names: the answer to pg_names_ask, or NULL when it had nothing to look
 * up; it may go afterwards. NULL: no memory. */
PGconn *pg_connect_begin(const struct pg_terms *t, const char *name, const struct pg_names *names);
/* As PQconnectdb: blocks, connect_us for each host at most. For commands and the start. */
PGconn *pg_connect_wait(const struct pg_terms *t, const char *name);

#endif
