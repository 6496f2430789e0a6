/*
 * commands: what the program does when asked on the command line; the rows stand in commands.def.
 *
 *   sluice COMMAND [WORD...] [--flag value...]
 *
 * Main thread. Order of calls: commands_parse, then commands_run.
 */
#ifndef GATEWAY_COMMANDS_H
#define GATEWAY_COMMANDS_H

#include "base/fail.h"
#include "schema/settings.h"

enum { COMMAND_WORDS_MAX = 1024 };

/* A command line taken apart. */
struct command_line {
    int argc;
    char **argv;
    char *words[COMMAND_WORDS_MAX]; /* those that are no flags; the first is the command */
    int nwords;
};

/* Flags, environment and file into s; the rest into line->words. */
must_check err_t commands_parse(struct command_line *line, struct settings *s, struct fail *f);
/* Runs the command; the exit code. Takes s over. */
int commands_run(struct command_line *line, struct settings *s);
/* What there is, on standard output. */
void commands_help(void);

#endif
