/*
 * cmd_deadletter: `sluice deadletter`: the points that PostgreSQL refused, looked at, tried again,
 * thrown away.
 *
 * Main thread; a server may run meanwhile.
 */
#ifndef GATEWAY_CMD_DEADLETTER_H
#define GATEWAY_CMD_DEADLETTER_H

#include "schema/settings.h"

/* argv[0] is the word after `deadletter`; argv gets sorted. Returns the exit code: 0, 1 when
 * something could not be read, found or applied, 2 when the words make no sense. */
int cmd_deadletter(int argc, char **argv, const struct settings *s);

#endif
