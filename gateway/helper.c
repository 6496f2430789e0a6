/*
 * helper: jobs in the order in which they were posted, one at a time.
 *
 * They wait in the helper's own inbox, which is bounded, so there is no second queue: a post that
 * does not fit is refused, and the worker answers 429. One whose turn comes too late is answered
 * without its work, so that a queue of them is over at once. An answer goes to the worker's inbox; that
 * one is emptied in every turn of its loop, so when it is full the helper waits a moment.
 */
#define _GNU_SOURCE /* pthread_setname_np */
#include "gateway/helper.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"

enum helper_note { HELPER_JOB, HELPER_END };

enum { FULL_WAIT_US = 500 };
#define IDLE_US 60000000u

struct helper {
    struct inbox inbox;
    pthread_t thread;
    int niceness;
};

static void helper_do(struct helper_job *job)
{
    struct inbox *answer_to = job->answer_to;
    struct note answer = job->answer;

    job->is_late = job->until_us && clock_us() > job->until_us;
    if (!job->is_late)
        job->work(job->arg);
    while (!inbox_send(answer_to, &answer)) /* from here on the job is the worker's again */
        usleep(FULL_WAIT_US);
}

static void *helper_main(void *arg)
{
    struct helper *h = arg;
    struct note n;

    if (h->niceness)
        (void)setpriority(PRIO_PROCESS, (id_t)gettid(), h->niceness);
    for (;;) {
        (void)inbox_wait(&h->inbox, clock_us() + IDLE_US);
        while (inbox_take(&h->inbox, &n)) {
            if (n.kind == HELPER_END)
                return NULL;
            helper_do((struct helper_job *)(uintptr_t)n.ref);
        }
    }
}

struct helper *helper_start_as(const char *name, int niceness)
{
    struct helper *h = calloc(1, sizeof(*h));

    check(h != NULL && inbox_init(&h->inbox) == 0);
    h->niceness = niceness;
    check(pthread_create(&h->thread, NULL, helper_main, h) == 0);
    pthread_setname_np(h->thread, name);
    return h;
}

struct helper *helper_start(void)
{
    return helper_start_as("helper", 0);
}

bool helper_post(struct helper *h, struct helper_job *job)
{
    struct note n = {.kind = HELPER_JOB, .ref = (uintptr_t)job};

    return inbox_send(&h->inbox, &n);
}

void helper_stop(struct helper *h)
{
    struct note n = {.kind = HELPER_END};

    if (h == NULL)
        return;
    check(inbox_send(&h->inbox, &n)); /* it is empty by now */
    pthread_join(h->thread, NULL);
    inbox_fini(&h->inbox);
    free(h);
}
