/*
 * cmd_journal: `sluice journal`, a look at the journal's files.
 *
 * Main thread; reads files only and takes no lock, so the server may run meanwhile.
 */
#ifndef GATEWAY_CMD_JOURNAL_H
#define GATEWAY_CMD_JOURNAL_H

#include "schema/settings.h"

/* argv[0] is the word after `journal`. Returns the exit code: 0, 1 when there is damage or
 * something could not be read, 2 when the words make no sense. */
int cmd_journal(int argc, char **argv, const struct settings *s);

#endif
