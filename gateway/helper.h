/*
 * helper: the thread for what would hold a worker too long.
 *
 * One a process, and one for each thread that hashes (auth.c). A worker posts a job and goes on with other requests; the job's work runs on the
 * helper's thread, and then the worker's inbox gets the note that the job names. From helper_post
 * until that note the job, and all that its work touches, is the helper's.
 *
 * Order of calls: helper_start, helper_post from any thread, helper_stop when nobody posts any more
 * and every note has come.
 */
#ifndef GATEWAY_HELPER_H
#define GATEWAY_HELPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/inbox.h"

struct helper;

struct helper_job {
    void (*work)(void *arg); /* on the helper's thread */
    void *arg;
    struct inbox *answer_to;
    struct note answer;
    uint64_t until_us; /* its turn must have come by then; 0 = whenever */
    bool is_late;      /* it had not: work was not called */
};

/* Main thread. */
struct helper *helper_start(void);
/* Another one of that name, with that nice value, which every thread of Linux has for itself. */
struct helper *helper_start_as(const char *name, int niceness);
/* False when too many wait already; then nothing was taken over. */
must_check bool helper_post(struct helper *h, struct helper_job *job);
/* Ends and frees it; NULL is fine. Main thread. */
void helper_stop(struct helper *h);

#endif
