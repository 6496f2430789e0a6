/*
 * manual: the manual pages and the settings file to begin with, from the rows of commands and settings.
 *
 * Text in the man macros of groff, without a date, so that two builds give the same bytes. Any thread.
 */
#ifndef SCHEMA_MANUAL_H
#define SCHEMA_MANUAL_H

#include "base/buf.h"

/* One row of gateway/command/commands.def. */
struct manual_command {
    const char *name;
    const char *words;
    const char *flags;
    const char *help;
};

void manual_program(struct buf *out, const struct manual_command *commands, size_t count);
void manual_settings(struct buf *out);
/* A settings file in which everything is a comment but the data directory of an installed service. */
void manual_sample(struct buf *out);

#endif
