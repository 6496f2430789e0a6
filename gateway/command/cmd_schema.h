/*
 * cmd_schema: `sluice schema`, a look at the database's tables, and what may be done to them.
 *
 * Main thread; one connection of its own. Servers may run meanwhile.
 */
#ifndef GATEWAY_CMD_SCHEMA_H
#define GATEWAY_CMD_SCHEMA_H

#include "schema/settings.h"

/* argv[0] is the word after `schema`. Returns the exit code: 0, or 1 with words on standard error. */
int cmd_schema(int argc, char **argv, struct settings *s, const char *uri);

#endif
