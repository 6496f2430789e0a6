/*
 * query: what holds for every statement that was put together from a client's texts.
 */
#ifndef TESTS_FUZZ_QUERY_H
#define TESTS_FUZZ_QUERY_H

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "gateway/search/query.h"

/* $1 ... $n, each once and in order; no more quotes than pair up. */
static inline void fuzz_check_query(const struct query *q)
{
    unsigned quotes = 0, depth = 0;
    size_t n = 0;

    check(strlen(q->text) == q->len);
    for (const char *p = q->text; *p; p++) {
        quotes += *p == '\'';
        depth += *p == '(';
        check(*p != ')' || depth-- > 0);
        check((*p >= ' ' && *p < 0x7f) || *p == '\n');
        check(*p != ';' && *p != '\\' && !(p[0] == '-' && p[1] == '-'));
        if (*p == '$')
            check(strtoull(p + 1, NULL, 10) == ++n);
    }
    check(quotes % 2 == 0 && depth == 0);
    check(n == q->nvalues);
    for (size_t i = 0; i < q->nvalues; i++)
        check(q->values[i].p == NULL || q->values[i].p[q->values[i].n] == '\0');
}

#endif
