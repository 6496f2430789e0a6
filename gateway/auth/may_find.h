/*
 * may_find: the things that a question is about, looked up.
 */
#ifndef GATEWAY_MAY_FIND_H
#define GATEWAY_MAY_FIND_H

#include "gateway/auth/may_rule.h"

/* Fills steps with what is still to be looked up, one a kind; their number. */
unsigned may_find_steps(struct may *m, struct sql_step steps[SQL_STEPS_MAX],
                        enum may_find_kind kinds[SQL_STEPS_MAX]);
/* How many rows were found of what was asked for. */
size_t may_find_count(const struct may_find *find);
/* Takes the rows of one. */
void may_find_take(struct may *m, enum may_find_kind kind, const PGresult *res);

#endif
