/*
 * workspace_table: which workspaces were found in PostgreSQL, and when: one table for all workers.
 *
 * Bounded: a workspace takes the place of another one with the same slot. Else one stays, however old, until
 * it is not found any more or is in the news. Any thread; made before the workers start, freed when they
 * have ended. Workspaces are known by their marks (scope.h).
 */
#ifndef GATEWAY_WORKSPACE_TABLE_H
#define GATEWAY_WORKSPACE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct workspace_table;

struct workspace_table *workspace_table_new(void);
/* NULL is fine, as it is for those that forget: workspaces are off. */
void workspace_table_free(struct workspace_table *t);
/* When the newest question was asked that found it; 0 = it is not known. Takes no lock. */
uint64_t workspace_table_find(const struct workspace_table *t, uint64_t mark);
/* The answer to a question that was asked then. */
void workspace_table_note(struct workspace_table *t, uint64_t mark, uint64_t asked_us,
                          bool is_there);
/* Something became of it, or of any: no answer to a question asked until now counts. */
void workspace_table_forget(struct workspace_table *t, struct str name);
void workspace_table_forget_all(struct workspace_table *t);

#endif
