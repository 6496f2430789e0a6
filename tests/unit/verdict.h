/*
 * verdict: what MLflow says of a filter or an order_by, for the tests of both.
 */
#ifndef TESTS_UNIT_VERDICT_H
#define TESTS_UNIT_VERDICT_H

#include "gateway/search/filter.h"

struct verdict {
    enum filter_dialect dialect;
    const char *text;
    const char *parsed; /* NULL: refused */
    const char *error;
};

#define YES(dialect, text, parsed)           \
    {                                        \
        FILTER_##dialect, text, parsed, NULL \
    }
#define NO(dialect, text, error)            \
    {                                       \
        FILTER_##dialect, text, NULL, error \
    }

#endif
