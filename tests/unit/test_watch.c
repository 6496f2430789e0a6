/* watch: a process of its own, a listener that speaks of a backlog, slopes. */
#include "loadtest/watch.c"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/peer.h"

static size_t metrics(struct peer *p, const char *request, char *out)
{
    (void)p;
    assert_non_null(strstr(request, "GET /metrics "));
    return peer_json(out, "# HELP sluice_backlog_points x\nsluice_backlog_points_total 9\n"
                          "sluice_backlog_points 1234\nsluice_open_connections 56\n");
}

static void test_looks_at_a_process_and_a_listener(void **state)
{
    struct event_base *loop = event_base_new();
    struct plan *plan = plan_new();
    struct sample row = {.backlog = -1, .rss_bytes = -1, .fds = -1};
    struct arena a;
    struct peer peer;
    struct watch w;
    struct fail f;
    double fds;
    int extra;

    (void)state;
    arena_init(&a, 1024);
    fail_init(&f, NULL);
    peer_open(&peer, loop, metrics);
    plan->pid = (uint64_t)getpid();
    plan->admin_url = peer.url;
    assert_int_equal(watch_init(&w, plan, loop, &row, &a, &f), OK);
    watch_look(&w);
    assert_true(row.rss_bytes > 1 << 20);
    assert_true(watch_peak_bytes(&w) >= row.rss_bytes / 2);
    fds = row.fds;
    assert_true(fds >= 3);
    while (row.backlog < 0)
        event_base_loop(loop, EVLOOP_ONCE);
    assert_int_equal((int)row.backlog, 1234);
    assert_int_equal((int)row.connections, 56);
    assert_int_equal((int)watch_backlog(&w), 1234);
    extra = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fds = proc_fds(plan->pid);
    close(extra);
    assert_int_equal((int)proc_fds(plan->pid), (int)fds - 1);
    watch_fini(&w);
    peer_close(&peer);
    plan_free(plan);
    arena_fini(&a);
    event_base_free(loop);
}

static void test_nothing_to_look_at(void **state)
{
    struct event_base *loop = event_base_new();
    struct plan *plan = plan_new();
    struct sample row = {.backlog = -1, .rss_bytes = -1, .fds = -1};
    struct arena a;
    struct watch w;

    (void)state;
    arena_init(&a, 1024);
    assert_int_equal(watch_init(&w, plan, loop, &row, &a, NULL), OK);
    watch_look(&w);
    assert_true(row.rss_bytes < 0 && row.backlog < 0 && row.fds < 0);
    assert_true(watch_peak_bytes(&w) <= 0);
    assert_true(watch_backlog(&w) < 0);
    watch_fini(&w);
    plan_free(plan);
    arena_fini(&a);
    event_base_free(loop);
    assert_true(proc_field(UINT64_C(1) << 40, "VmRSS:") < 0);
    assert_true(proc_fds(UINT64_C(1) << 40) < 0);
}

static void test_slopes(void **state)
{
    const double x[] = {1, 2, 3, 4};
    const double y[] = {10, 12.5, 14.5, 17};

    (void)state;
    assert_true(fabs(slope_of(x, y, 4) - 2.3) < 1e-9);
    assert_true(fabs(slope_of(x, y, 1)) < 1e-9);
    assert_true(fabs(slope_of(x, y, 0)) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_looks_at_a_process_and_a_listener),
        cmocka_unit_test(test_nothing_to_look_at),
        cmocka_unit_test(test_slopes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
