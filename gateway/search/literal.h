/*
 * literal: the lists of filters, which MLflow reads with Python's ast.literal_eval.
 *
 * So escapes are processed, neighbouring strings join, line ends and comments may stand anywhere,
 * and what is no list of strings is refused in one of several ways. Items live in the arena. Pure;
 * any thread.
 */
#ifndef GATEWAY_LITERAL_H
#define GATEWAY_LITERAL_H

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

struct literal;

/* text is "( ... )": its strings. ERR_BAD_PARAM with MLflow's words for an empty or ill-formed list
 * and for other literals in it; ERR_INTERNAL with Python's for what is no literal. */
must_check err_t literal_list(struct arena *a, struct str text, struct str **items, size_t *count,
                              struct fail *f);

/* ast.literal_eval(text): the tree of literal_parse.h. ERR_INTERNAL with Python's words for what is
 * no literal; of a SyntaxError, with the commonest. */
must_check err_t literal_eval(struct arena *a, struct str text, struct literal **out,
                              struct fail *f);
/* repr() of a literal that literal_eval gave. */
struct str literal_show(struct arena *a, const struct literal *n);

#endif
