/*
 * pg_pooler: is there a connection pooler between us and PostgreSQL?
 *
 * A pooler that hands a session of the server to another client after each transaction (PgBouncer with
 * pool_mode = transaction) keeps nothing of what a session remembers: settings made with SET would be
 * gone for us and stay behind for a stranger, whose foreign keys would go unchecked; prepared
 * statements and temporary tables would be somewhere else. So with a pooler in between, whatever
 * its mode, everything of that kind is done inside of the transaction that needs it: settings with
 * is_local, statements without names, temporary tables ON COMMIT DROP. It costs a statement for
 * each transaction, so without one it is done once for each session.
 *
 * How it is known: a session is told its process id when it begins, for cancel requests. A pooler tells a key of its
 * own (PgBouncer: random bits), so what libpq was told is not what the server says. It needs no
 * setting, which somebody would forget, and is asked once for each connection.
 *
 * An SQL expression; id: the parameter that holds PQbackendPID().
 */
#ifndef SCHEMA_PG_POOLER_H
#define SCHEMA_PG_POOLER_H

#define PG_IS_POOLED(id) "(pg_catalog.pg_backend_pid() <> " id "::int4)"

#endif
