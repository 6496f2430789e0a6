/*
 * cmd_adopt: `sluice journal adopt`: the journal of a pod that is gone, into PostgreSQL.
 *
 * Main thread; starts the queue of that directory and flushers, and ends them again. Other servers
 * may run meanwhile, the directory's own may not.
 */
#ifndef GATEWAY_CMD_ADOPT_H
#define GATEWAY_CMD_ADOPT_H

#include "schema/settings.h"

/* What follows `journal adopt`. Returns the exit code: 0 all of it is in PostgreSQL (or would be asked
 * for, with --dry-run); 1 it is not, nothing is lost, say it again; 2 the words make no sense; 3 all
 * that can be is, and the directory holds something that a person must look at. */
int cmd_adopt(int argc, char **argv, const struct settings *s);

#endif
