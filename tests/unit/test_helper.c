/* helper: every job that was taken is worked once, on another thread, and answered. */
#include "gateway/helper.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { JOBS = 1000, KIND = 7 };

static struct inbox inbox;

struct task {
    struct helper_job job;
    pthread_t worked_by;
    unsigned times;
};

static void work(void *arg)
{
    struct task *t = arg;

    t->worked_by = pthread_self();
    t->times++;
}

/* Waits for the next answer: the task that it names. */
static struct task *await(void)
{
    struct note n;

    while (!inbox_take(&inbox, &n))
        assert_true(inbox_wait(&inbox, clock_us() + 20000000));
    assert_int_equal(n.kind, KIND);
    return (struct task *)(uintptr_t)n.ref;
}

static void test_every_job_is_answered_in_order(void **state)
{
    static struct task tasks[JOBS];
    struct helper *h = helper_start();
    unsigned posted = 0, answered = 0;

    (void)state;
    assert_int_equal(inbox_init(&inbox), 0);
    while (answered < JOBS) {
        struct task *t = &tasks[posted];

        if (posted < JOBS) {
            t->job = (struct helper_job){.work = work,
                                         .arg = t,
                                         .answer_to = &inbox,
                                         .answer = {.kind = KIND, .ref = (uintptr_t)t}};
            if (helper_post(h, &t->job)) {
                posted++;
                continue;
            }
        }
        t = await(); /* full, or all posted */
        assert_ptr_equal(t, &tasks[answered++]);
        assert_int_equal(t->times, 1);
        assert_false(pthread_equal(t->worked_by, pthread_self()));
    }
    helper_stop(h);
    inbox_fini(&inbox);
}

/* What comes too late is answered too, but costs nothing. */
static void test_a_late_job_is_not_worked(void **state)
{
    struct task late = {.job = {.work = work, .answer_to = &inbox, .until_us = 1}}, in_time = late;
    struct helper *h = helper_start();

    (void)state;
    assert_int_equal(inbox_init(&inbox), 0);
    late.job.arg = &late;
    late.job.answer = (struct note){.kind = KIND, .ref = (uintptr_t)&late};
    in_time.job.arg = &in_time;
    in_time.job.answer = (struct note){.kind = KIND, .ref = (uintptr_t)&in_time};
    in_time.job.until_us = clock_us() + 20000000;
    assert_true(helper_post(h, &late.job));
    assert_true(helper_post(h, &in_time.job));
    assert_ptr_equal(await(), &late);
    assert_true(late.job.is_late && late.times == 0);
    assert_ptr_equal(await(), &in_time);
    assert_true(!in_time.job.is_late && in_time.times == 1);
    helper_stop(h);
    inbox_fini(&inbox);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void wait_at_the_gate(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

static void test_jobs_beyond_the_bound_are_refused(void **state)
{
    static struct task tasks[INBOX_NOTES + 2];
    struct helper *h = helper_start();
    unsigned posted = 0;

    (void)state;
    assert_int_equal(inbox_init(&inbox), 0);
    pthread_mutex_lock(&gate);
    for (; posted < array_len(tasks); posted++) {
        struct task *t = &tasks[posted];

        t->job = (struct helper_job){.work = wait_at_the_gate,
                                     .answer_to = &inbox,
                                     .answer = {.kind = KIND, .ref = (uintptr_t)t}};
        if (!helper_post(h, &t->job))
            break;
    }
    assert_in_range(posted, INBOX_NOTES, INBOX_NOTES + 1); /* one may be at work already */
    pthread_mutex_unlock(&gate);
    for (unsigned i = 0; i < posted; i++)
        assert_ptr_equal(await(), &tasks[i]);
    helper_stop(h);
    inbox_fini(&inbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_job_is_answered_in_order),
        cmocka_unit_test(test_a_late_job_is_not_worked),
        cmocka_unit_test(test_jobs_beyond_the_bound_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
