/*
 * completion: what bash, zsh and fish offer behind `sluice`, from the rows of commands and settings.
 *
 * Each writes the text of one file. Any thread.
 */
#ifndef SCHEMA_COMPLETION_H
#define SCHEMA_COMPLETION_H

#include "schema/manual.h"

void completion_bash(struct buf *out, const struct manual_command *commands, size_t count);
void completion_zsh(struct buf *out, const struct manual_command *commands, size_t count);
void completion_fish(struct buf *out, const struct manual_command *commands, size_t count);

#endif
