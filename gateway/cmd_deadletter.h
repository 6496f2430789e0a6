/*
 * cmd_deadletter: `sluice deadletter`, a look at the points that PostgreSQL refused.
 *
 * Main thread; reads files only, so the server may run meanwhile.
 */
#ifndef GATEWAY_CMD_DEADLETTER_H
#define GATEWAY_CMD_DEADLETTER_H

#include "schema/settings.h"

/* argv[0] is the word after `deadletter`. Returns the exit code: 0, 1 when something could not be
 * read or found, 2 when the words make no sense. */
int cmd_deadletter(int argc, char **argv, const struct settings *s);

#endif
