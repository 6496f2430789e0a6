/*
 * rows: results of statements made by hand, for tests of what reads them.
 *
 * rows_of(columns, cells, n): n cells row by row, NULL for SQL's NULL; the caller clears it.
 */
#ifndef TESTS_UNIT_ROWS_H
#define TESTS_UNIT_ROWS_H

#include <stdio.h>
#include <string.h>

#include <libpq-fe.h>

#include "base/check.h"

static inline PGresult *rows_of(int columns, const char *const *cells, size_t n)
{
    PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PGresAttDesc names[16];

    check(res && columns <= 16 && n % (size_t)columns == 0);
    memset(names, 0, sizeof(names));
    for (int i = 0; i < columns; i++)
        names[i].name = (char *)(uintptr_t) "column";
    check(PQsetResultAttrs(res, columns, names));
    for (size_t i = 0; i < n; i++)
        check(PQsetvalue(res, (int)(i / (size_t)columns), (int)(i % (size_t)columns),
                         (char *)(uintptr_t)cells[i], cells[i] ? (int)strlen(cells[i]) : -1));
    return res;
}

#define ROWS(columns, ...)                                 \
    rows_of((columns), (const char *const[]){__VA_ARGS__}, \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))
#define NO_ROWS(columns) rows_of((columns), NULL, 0)

#endif
