/*
 * cmd_doctor: `sluice doctor`, one line for each thing that must be right for a server to run well.
 *
 * Main thread. Changes nothing; a server may run meanwhile.
 */
#ifndef GATEWAY_CMD_DOCTOR_H
#define GATEWAY_CMD_DOCTOR_H

#include "schema/settings.h"

/* argv: the words after `doctor`. The exit code: 0, 1 when a check fails, 2 when the words make no
 * sense. Warnings are no failures. */
int cmd_doctor(int argc, char **argv, const struct settings *s);

#endif
