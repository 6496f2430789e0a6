/* news: every worker hears what one tells, here without Redis; and what other pods would have told. */
#include "gateway/peers/news.c"

#include "base/clock.h"
#include "gateway/auth/scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

enum { WORKERS = 3 };

static struct pod *pod;
static struct workspace_table *workspaces;
static struct worker workers[WORKERS];
static struct heard {
    unsigned count, any;
    char name[NEWS_NAME + 8];
} heard[WORKERS];

static void hear(void *arg, struct str name)
{
    struct heard *h = arg;

    h->count++;
    h->any += name.p == NULL;
    str_to_cstr(name, h->name, sizeof(h->name));
}

static int setup(void **state)
{
    (void)state;
    pod = calloc(1, sizeof(*pod));
    check(pod);
    snprintf(pod->id, sizeof(pod->id), "0123456789abcdef");
    pod->runs = runs_new(100);
    workspaces = workspace_table_new();
    memset(heard, 0, sizeof(heard));
    memset(workers, 0, sizeof(workers));
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].index = i;
        workers[i].pod = pod;
        workers[i].runs = pod->runs;
        workers[i].workspaces = workspaces;
        workers[i].stats = stats_new();
        assert_int_equal(inbox_init(&workers[i].inbox), 0);
        pod_join(pod, &workers[i].inbox);
        news_hear(&workers[i], NEWS_USER, hear, &heard[i]);
    }
    return 0;
}

/* As the worker does when its inbox rings. */
static void take(unsigned i)
{
    struct note n;

    while (inbox_take(&workers[i].inbox, &n))
        news_take(&workers[i], n.ref);
    news_take_missed(&workers[i]);
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORKERS; i++) {
        take(i);
        inbox_fini(&workers[i].inbox);
        stats_free(workers[i].stats);
    }
    runs_free(pod->runs);
    workspace_table_free(workspaces);
    free(pod);
    return 0;
}

static void test_every_worker_hears_once(void **state)
{
    (void)state;
    news_tell(&workers[1], NEWS_USER, STR("ann"));
    assert_int_equal(heard[1].count, 1); /* at once */
    assert_int_equal(heard[0].count, 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        take(i);
        assert_int_equal(heard[i].count, 1);
        assert_int_equal(heard[i].any, 0);
        assert_string_equal(heard[i].name, "ann");
    }
}

static void test_a_full_inbox_means_that_anything_may_have_changed(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= INBOX_NOTES; i++)
        news_tell(&workers[0], NEWS_USER, STR("ann"));
    take(1);
    assert_int_equal(heard[1].count, INBOX_NOTES + 1);
    assert_int_equal(heard[1].any, 1);
    take(1);
    assert_int_equal(heard[1].count, INBOX_NOTES + 1);
}

static void test_other_pods_are_heard_and_we_are_not(void **state)
{
    (void)state;
    news_on_message(&workers[0], STR("0123456789abcdef user ann"));
    take(1);
    assert_int_equal(heard[0].count + heard[1].count, 0);
    news_on_message(&workers[0], STR("ffffffffffffffff user a name"));
    for (unsigned i = 0; i < WORKERS; i++) {
        take(i);
        assert_string_equal(heard[i].name, "a name");
    }
    /* Of a newer version, and rubbish. */
    news_on_message(&workers[0], STR("ffffffffffffffff moon full"));
    news_on_message(&workers[0], STR(""));
    news_on_message(&workers[0], STR("ffffffffffffffff"));
    assert_int_equal(heard[0].count, 1);
    news_on_message(&workers[0], STR("ffffffffffffffff any "));
    for (unsigned i = 0; i < WORKERS; i++) {
        take(i);
        assert_int_equal(heard[i].any, 1);
    }
}

static bool is_known(const char *name)
{
    struct run run;
    struct run_id id;

    assert_true(run_id_set(&id, str_of(name)));
    return runs_get(pod->runs, &id, clock_us(), 1000000, &run);
}

/* What is forgotten now is as old as this microsecond. */
static void let_it_pass(void)
{
    uint64_t later_us = clock_us() + 2;

    while (clock_us() < later_us)
        continue;
}

static void know(const char *name)
{
    struct run run = {.is_active = true};
    struct run_id id;

    let_it_pass();
    assert_true(run_id_set(&id, str_of(name)));
    runs_put(pod->runs, &id, clock_us(), &run);
    assert_true(is_known(name));
}

static void test_runs_are_forgotten(void **state)
{
    (void)state;
    know("one");
    know("two");
    news_on_message(&workers[0], STR("ffffffffffffffff run one"));
    assert_false(is_known("one"));
    assert_true(is_known("two"));
    news_on_message(&workers[0], STR("ffffffffffffffff runs 7"));
    assert_false(is_known("two"));
    know("two");
    news_miss(&workers[0]);
    assert_false(is_known("two"));
}

static bool is_there(const char *name)
{
    return workspace_table_find(workspaces, scope_mark(name)) > 0;
}

static void find(const char *name)
{
    let_it_pass();
    workspace_table_note(workspaces, scope_mark(name), clock_us(), true);
    assert_true(is_there(name));
}

static void test_workspaces_are_forgotten(void **state)
{
    (void)state;
    find("team-a");
    find("team-b");
    news_tell(&workers[0], NEWS_WORKSPACE, STR("team-b")); /* who tells has forgotten it */
    take(1);
    news_on_message(&workers[0], STR("0123456789abcdef workspace team-a"));
    assert_true(is_there("team-a"));
    news_on_message(&workers[0], STR("ffffffffffffffff workspace team-a"));
    assert_false(is_there("team-a"));
    assert_true(is_there("team-b"));
    news_miss(&workers[0]);
    assert_false(is_there("team-b"));
    for (unsigned i = 0; i < WORKERS; i++)
        workers[i].workspaces = NULL; /* here they are off, in the pod that tells they are not */
    news_on_message(&workers[0], STR("ffffffffffffffff workspace team-a"));
    news_on_message(&workers[0], STR("ffffffffffffffff any "));
}

/* The counters are the process': one message of another pod moves them once, whatever workers there are. */
static void test_grants_of_other_pods_have_changed(void **state)
{
    struct grant_stamp before = grant_stamp_now(7, 0), now;

    (void)state;
    news_tell(&workers[0], NEWS_GRANTS, STR("7")); /* who tells has moved them */
    news_on_message(&workers[0], STR("0123456789abcdef grants 7"));
    now = grant_stamp_now(7, 0);
    assert_int_equal(now.user, before.user);
    news_on_message(&workers[0], STR("ffffffffffffffff grants 7"));
    now = grant_stamp_now(7, 0);
    assert_int_equal(now.user, before.user + 1);
    assert_int_equal(now.all, before.all);
    news_on_message(&workers[0], STR("ffffffffffffffff grants "));
    news_on_message(&workers[0], STR("ffffffffffffffff grants seven"));
    now = grant_stamp_now(7, 0);
    assert_int_equal(now.user, before.user + 1);
    assert_int_equal(now.all, before.all + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_worker_hears_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_inbox_means_that_anything_may_have_changed,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_pods_are_heard_and_we_are_not, setup, teardown),
        cmocka_unit_test_setup_teardown(test_runs_are_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_workspaces_are_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grants_of_other_pods_have_changed, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
