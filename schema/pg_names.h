/*
 * pg_names: the hosts of a connection string, looked up aside.
 *
 * libpq looks names up before it connects, and blocks meanwhile: a name server that does not answer
 * would hold a worker's loop, or a flusher that is to stop, for as long as the resolver tries (10 s
 * and more). So whoever must not wait asks here, waits for the descriptor as for any other, and
 * hands the answer to pg_connect_begin.
 *
 * Order of calls: pg_names_ask, pg_names_are_known when the descriptor is readable, the answer,
 * pg_names_drop, which may come at any time. One owner, one thread.
 */
#ifndef SCHEMA_PG_NAMES_H
#define SCHEMA_PG_NAMES_H

#include "base/str.h"

struct pg_names;

/* Begins to look up the hosts of a libpq connection string. NULL: there is nothing to look up. */
struct pg_names *pg_names_ask(const char *uri);
/* The same for one host of another kind of server: what the environment says of PostgreSQL's is not meant. */
struct pg_names *pg_names_ask_host(struct str host);
/* Readable from the moment when the answer is there. */
int pg_names_fd(const struct pg_names *n);
bool pg_names_are_known(const struct pg_names *n);
/* Of an answer: why no host has an address; NULL when one has. Lives until pg_names_drop. */
const char *pg_names_trouble(const struct pg_names *n);
/* Of an answer without trouble: libpq's parameters host, hostaddr and port, lists of equal length.
 * port is NULL when the connection string's holds for all. Live until pg_names_drop. */
const char *pg_names_host(const struct pg_names *n);
const char *pg_names_hostaddr(const struct pg_names *n);
const char *pg_names_port(const struct pg_names *n);
/* NULL is fine. A look-up that is still under way ends by itself, unheard. */
void pg_names_drop(struct pg_names *n);

#endif
