/*
 * verify: is what the server stores what it acked, and nothing else?
 *
 * Reads every row of the ledger's runs by SQL, run by run, and a sample of them through the API.
 * Called once, after the storm; blocks.
 */
#ifndef LOADTEST_VERIFY_H
#define LOADTEST_VERIFY_H

#include "loadtest/storm.h"

struct verdict {
    uint64_t rows;
    uint64_t lost;
    uint64_t invented;
    uint64_t doubled;
    uint64_t latest_wrong;
    uint64_t api_points;
    uint64_t api_wrong;
    double seconds;
    char first[200]; /* the first thing found wrong, in words; "" when nothing is */
};

/* An error when it could not be found out; what is wrong stands in v. */
must_check err_t verify_all(struct storm *s, struct verdict *v, struct fail *f);
bool verdict_is_clean(const struct verdict *v);

#endif
