/*
 * cmd_gc: `sluice gc`: what was deleted is removed for good, rows and artifacts.
 */
#ifndef GATEWAY_CMD_GC_H
#define GATEWAY_CMD_GC_H

#include "schema/settings.h"

/* words: those behind `gc`. 0: done; 1: not, or not all; 2: the words make no sense. */
int cmd_gc(int count, char **words, struct settings *s);

#endif
