/* storm: what is due is sent once, latencies begin when it was due, retries are MLflow's client's. */
#include "loadtest/storm.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/peer.h"

static struct storm storm;
static struct plan *plan;
static struct peer peer;
static struct fail f;
static int refusals; /* answers of 503 to come */
static const char *refusal;
static uint64_t stall_us;  /* the peer sleeps that long before its next answer */
static char seen[2][4096]; /* the last two requests */

static size_t mlflow(struct peer *p, const char *request, char *out)
{
    struct timespec stall = {(time_t)(stall_us / 1000000), (long)(stall_us % 1000000) * 1000};

    (void)p;
    memcpy(seen[0], seen[1], sizeof(seen[0]));
    snprintf(seen[1], sizeof(seen[1]), "%s", request);
    nanosleep(&stall, NULL); /* a server that does nothing else meanwhile is what is wanted */
    stall_us = 0;
    if (refusals > 0) {
        refusals--;
        strcpy(out, refusal);
        return strlen(out);
    }
    return peer_json(out, "{}");
}

/* A plan of its own, and a peer on the storm's loop. */
static void begin(const char *const *settings)
{
    plan = plan_new();
    plan->progress = false;
    for (; *settings; settings += 2)
        assert_int_equal(plan_set(plan, str_of(settings[0]), str_of(settings[1]), &f), OK);
    assert_int_equal(plan_check(plan, &f), OK);
    assert_int_equal(storm_init(&storm, plan, &f), OK);
    peer_open(&peer, storm.loop, mlflow);
    assert_int_equal(target_open(&storm.target, str_of(peer.url), &storm.arena, &f), OK);
    for (size_t i = 0; i < storm.ledger.count; i++)
        snprintf(storm.ledger.runs[i].id, sizeof(storm.ledger.runs[i].id), "run%zu", i);
}

static void end(void)
{
    peer_close(&peer);
    storm_fini(&storm);
    plan_free(plan);
}

static void test_open_loop_sends_what_is_due(void **state)
{
    const char *const settings[] = {"jobs",     "8",     "rate",     "400",
                                    "duration", "500ms", "arrivals", "constant",
                                    "batch",    "5",     "mix",      "log-batch=1,log-metric=1",
                                    NULL};

    (void)state;
    begin(settings);
    storm_run(&storm);
    /* 200 requests in half a second, as the plan says and not as fast as the peer answers. */
    assert_in_range(storm.tally.began + storm.tally.unsent, 190, 210);
    assert_int_equal(storm.tally.done, storm.tally.began);
    assert_int_equal(storm.tally.statuses[200], storm.tally.began);
    assert_int_equal(peer.requests, storm.tally.began);
    assert_int_equal(storm.tally.points_acked, ledger_acked_count(&storm.ledger));
    assert_int_equal(storm.tally.points_again, 0);
    assert_true(storm.tally.kinds[CALL_LOG_METRIC] > 50);
    assert_int_equal(storm.tally.abandoned, 0);
    end();
}

static void test_latency_is_from_when_it_was_due(void **state)
{
    const char *const settings[] = {"jobs",  "1",        "interval", "10ms", "duration",
                                    "500ms", "arrivals", "constant", NULL};

    (void)state;
    begin(settings);
    stall_us = 300000;
    storm_run(&storm);
    /* Some thirty requests were due while the one connection waited: each waited its part. */
    assert_true(spread_quantile(&storm.tally.latency, 0.7) > 100000);
    assert_true(spread_quantile(&storm.tally.service, 0.7) < 100000);
    assert_true(storm.tally.latency.max_us >= 300000);
    assert_in_range(storm.tally.began + storm.tally.unsent, 48, 51);
    end();
}

static void test_closed_loop_ends_after_so_many(void **state)
{
    const char *const settings[] = {"jobs",   "4",    "loop",  "closed",   "requests",
                                    "100",    "runs", "3",     "duration", "60s",
                                    "replay", "50%",  "batch", "2",        NULL};

    (void)state;
    begin(settings);
    storm_run(&storm);
    assert_in_range(storm.tally.began, 100, 100);
    assert_int_equal(storm.tally.done, 100);
    assert_in_range(storm.tally.replays, 25, 70);
    assert_int_equal(storm.tally.points_acked, 2 * (100 - storm.tally.replays));
    assert_int_equal(storm.tally.points_again, 2 * storm.tally.replays);
    for (size_t i = 0; i < storm.ledger.count; i++)
        assert_true(storm.ledger.runs[i].next > 0);
    end();
}

static void test_a_retry_is_the_same_bytes(void **state)
{
    const char *const settings[] = {"jobs", "1",        "loop", "closed", "requests",
                                    "3",    "duration", "60s",  NULL};

    (void)state;
    begin(settings);
    refusals = 1;
    refusal = "HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n";
    storm_run(&storm);
    assert_int_equal(storm.tally.done, 3);
    assert_int_equal(storm.tally.retries, 1);
    assert_int_equal(storm.tally.attempts, 4);
    assert_int_equal(storm.tally.statuses[503], 1);
    assert_int_equal(storm.tally.no_retry_after, 1);
    assert_int_equal(ledger_acked_count(&storm.ledger), 300);
    end();
}

static void test_retries_end(void **state)
{
    const char *const settings[] = {
        "jobs",      "1", "loop",          "closed", "requests",     "2",   "duration", "60s",
        "retry_max", "2", "retry_backoff", "1ms",    "retry_jitter", "1ms", NULL};

    (void)state;
    begin(settings);
    refusals = 3;
    refusal = "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n";
    storm_run(&storm);
    assert_int_equal(storm.tally.failed, 1);
    assert_int_equal(storm.tally.done, 1);
    assert_int_equal(storm.tally.statuses[500], 3);
    refusals = 0;
    end();
}

static void test_what_is_not_retried(void **state)
{
    const char *const settings[] = {"jobs",     "1",   "loop",  "closed", "requests", "4",
                                    "duration", "60s", "retry", "off",    NULL};

    (void)state;
    assert_true(is_retried(0) && is_retried(429) && is_retried(504));
    assert_false(is_retried(400) || is_retried(404) || is_retried(501));
    begin(settings);
    refusals = 2;
    refusal = "HTTP/1.1 429 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    storm_run(&storm);
    assert_int_equal(storm.tally.refused, 2);
    assert_int_equal(storm.tally.done, 2);
    assert_int_equal(storm.tally.retries, 0);
    assert_int_equal(storm.tally.refusal.count, 2);
    end();
}

static void test_backoff_is_that_of_the_client(void **state)
{
    const char *const settings[] = {"jobs", "1", "retry_jitter", "0s", NULL};
    struct answer a = {.status = 503};
    struct slot *slot;

    (void)state;
    begin(settings);
    slot = &storm.slots[0];
    slot->attempts = 1;
    assert_int_equal(slot_backoff_us(slot, &a), 0);
    slot->attempts = 2;
    assert_int_equal(slot_backoff_us(slot, &a), 4000000);
    slot->attempts = 3;
    assert_int_equal(slot_backoff_us(slot, &a), 8000000);
    slot->attempts = 30;
    assert_int_equal(slot_backoff_us(slot, &a), 120000000);
    a.has_retry_after = true;
    a.retry_after_us = 7;
    assert_int_equal(slot_backoff_us(slot, &a), 7);
    a.status = 500;
    assert_int_equal(slot_backoff_us(slot, &a), 120000000);
    end();
}

static void test_all_is_repeated_when_the_server_is_back(void **state)
{
    const char *const settings[] = {"jobs",     "1",        "loop",
                                    "closed",   "requests", "30",
                                    "duration", "60s",      "replay_after_break",
                                    "4",        "batch",    "1",
                                    NULL};

    (void)state;
    begin(settings);
    refusals = 1;
    refusal = "HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n";
    storm_run(&storm);
    assert_int_equal(storm.tally.replays, 1); /* there was only one to repeat */
    assert_int_equal(storm.tally.done, 30);
    end();
}

static void test_nobody_listens(void **state)
{
    const char *const settings[] = {"jobs",  "4",        "loop",  "closed", "retry",
                                    "false", "duration", "100ms", NULL};

    (void)state;
    begin(settings);
    event_del(peer.accepting);
    shutdown(peer.fd, SHUT_RDWR); /* connections are refused at once */
    storm_run(&storm);
    assert_true(storm.tally.failed >= 4);
    assert_true(storm.tally.failed <= 4 * 200); /* each a millisecond apart, at least */
    assert_int_equal(storm.tally.broken, storm.tally.failed);
    assert_int_equal(storm.tally.done, 0);
    end();
}

static void test_arrivals_do_not_depend_on_answers(void **state)
{
    const char *const settings[] = {"jobs",          "3",   "rate", "300", "duration", "200ms",
                                    "retry_backoff", "1ms", NULL};
    double due[2][3];

    (void)state;
    for (int pass = 0; pass < 2; pass++) {
        begin(settings);
        refusals = pass ? 20 : 0;
        refusal = "HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n";
        storm_run(&storm);
        for (int i = 0; i < 3; i++) {
            double begun = (double)storm.begin_us;

            /* The first that is due after the end: the sum of all gaps before it. */
            due[pass][i] = storm.jobs[i].due_us - begun;
        }
        end();
    }
    refusals = 0;
    for (int i = 0; i < 3; i++)
        assert_true(fabs(due[0][i] - due[1][i]) < 1);
}

static void test_waves(void **state)
{
    const char *const settings[] = {"jobs", "10",       "rate", "100", "wave",
                                    "10s",  "wave_low", "50%",  NULL};

    (void)state;
    begin(settings);
    assert_int_equal((int)storm_gap_us(&storm, 0), 200000);
    assert_int_equal((int)(storm_gap_us(&storm, 5e6) + 0.5), 100000);
    assert_in_range((int)storm_gap_us(&storm, 2.5e6), 133000, 134000);
    end();
}

static void test_what_does_not_end_is_abandoned(void **state)
{
    const char *const settings[] = {"jobs",  "2",     "loop", "closed",        "duration",
                                    "100ms", "drain", "50ms", "retry_backoff", "60s",
                                    "batch", "3",     NULL};

    (void)state;
    begin(settings);
    refusals = 1000000;
    refusal = "HTTP/1.1 503 Away\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n";
    storm_run(&storm);
    assert_int_equal(storm.tally.abandoned, 2);
    assert_int_equal(storm.tally.done, 0);
    assert_int_equal(bits_count(&storm.ledger.runs[0].sent), 3);
    assert_int_equal(ledger_acked_count(&storm.ledger), 0);
    refusals = 0;
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_loop_sends_what_is_due),
        cmocka_unit_test(test_latency_is_from_when_it_was_due),
        cmocka_unit_test(test_closed_loop_ends_after_so_many),
        cmocka_unit_test(test_a_retry_is_the_same_bytes),
        cmocka_unit_test(test_retries_end),
        cmocka_unit_test(test_what_is_not_retried),
        cmocka_unit_test(test_backoff_is_that_of_the_client),
        cmocka_unit_test(test_all_is_repeated_when_the_server_is_back),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_arrivals_do_not_depend_on_answers),
        cmocka_unit_test(test_waves),
        cmocka_unit_test(test_what_does_not_end_is_abandoned),
    };

    fail_init(&f, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
