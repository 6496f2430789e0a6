/* plan: values, bounds, where they come from, and the mix. */
#include "loadtest/plan.c"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

static struct fail f;

static void refused(struct plan *p, const char *name, const char *value, const char *word)
{
    char text[256];

    assert_int_equal(plan_set(p, str_of(name), str_of(value), &f), ERR_SETTING);
    str_to_cstr(f.text, text, sizeof(text));
    if (strstr(text, word) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", text, word);
}

static void test_values_by_type(void **state)
{
    struct plan *p = plan_new();

    (void)state;
    assert_int_equal(p->jobs, 64);
    assert_false(plan_is_set(p, PLAN_jobs));
    assert_int_equal(plan_set(p, STR("jobs"), STR("7"), &f), OK);
    assert_int_equal(p->jobs, 7);
    assert_true(plan_is_set(p, PLAN_jobs));
    assert_int_equal(plan_set(p, STR("verify-wait"), STR("250ms"), &f), OK);
    assert_int_equal(p->verify_wait, 250000);
    assert_int_equal(plan_set(p, STR("replay"), STR("30%"), &f), OK);
    assert_true(p->replay > 0.299 && p->replay < 0.301);
    assert_int_equal(plan_set(p, STR("rate"), STR("1234.5"), &f), OK);
    assert_true(p->rate > 1234.4 && p->rate < 1234.6);
    assert_int_equal(plan_set(p, STR("loop"), STR("closed"), &f), OK);
    assert_string_equal(p->loop, "closed");
    assert_int_equal(plan_set(p, STR("retry"), STR("off"), &f), OK);
    assert_false(p->retry);
    plan_free(p);
}

static void test_lists_grow(void **state)
{
    struct plan *p = plan_new();

    (void)state;
    assert_string_equal(p->fail_if, "");
    assert_int_equal(plan_set(p, STR("fail_if"), STR("p99 > 5ms"), &f), OK);
    assert_int_equal(plan_set(p, STR("fail_if"), STR("errors > 0"), &f), OK);
    assert_string_equal(p->fail_if, "p99 > 5ms\nerrors > 0");
    plan_free(p);
}

static void test_refusals_say_what_is_wanted(void **state)
{
    struct plan *p = plan_new();

    (void)state;
    refused(p, "jobs", "0", "from 1 to 100000");
    refused(p, "jobs", "many", "whole number");
    refused(p, "duration", "10", "a time such as");
    refused(p, "replay", "130%", "a share");
    refused(p, "replay", "-0.1", "a share");
    refused(p, "rate", "inf", "a number");
    refused(p, "rate", "nan", "a number");
    refused(p, "rate", "", "a number");
    refused(p, "loop", "ajar", "open|closed");
    refused(p, "verify", "perhaps", "true or false");
    refused(p, "jobz", "1", "unknown setting");
    plan_free(p);
}

static void test_mix(void **state)
{
    struct plan *p = plan_new();

    (void)state;
    assert_int_equal(plan_set(p, STR("mix"), STR("log-metric=3, log-batch = 1"), &f), OK);
    assert_int_equal(plan_check(p, &f), OK);
    assert_true(p->weights[CALL_LOG_METRIC] > 0.74 && p->weights[CALL_LOG_METRIC] < 0.76);
    assert_true(p->weights[CALL_LOG_BATCH] > 0.24 && p->weights[CALL_LOG_BATCH] < 0.26);
    assert_true(p->weights[CALL_SEARCH_RUNS] <= 0);
    assert_int_equal(plan_set(p, STR("mix"), STR("log-all=1"), &f), OK);
    assert_int_equal(plan_check(p, &f), ERR_SETTING);
    assert_int_equal(plan_set(p, STR("mix"), STR("log-batch"), &f), OK);
    assert_int_equal(plan_check(p, &f), ERR_SETTING);
    assert_int_equal(plan_set(p, STR("mix"), STR("log-batch=0"), &f), OK);
    assert_int_equal(plan_check(p, &f), ERR_SETTING);
    plan_free(p);
}

static void test_rules_between_settings(void **state)
{
    struct plan *p = plan_new();

    (void)state;
    p->verify = true;
    assert_int_equal(plan_check(p, &f), ERR_SETTING);
    p->pg_uri = "postgresql://x";
    assert_int_equal(plan_check(p, &f), OK);
    p->warmup = p->duration;
    assert_int_equal(plan_check(p, &f), ERR_SETTING);
    p->warmup = 0;
    p->jobs = 100000;
    p->runs = 10000;
    assert_int_equal(plan_check(p, &f), ERR_SETTING);
    plan_free(p);
}

static char *scenario(const char *text)
{
    static char path[32];
    int fd;

    strcpy(path, "/tmp/planXXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static void test_flags_override_the_scenario_wherever_it_stands(void **state)
{
    struct plan *p = plan_new();
    char *path = scenario("# some\njobs = 3\nruns = 5 # five\n\nretry = on\n");
    char *argv[] = {strdup("x"),        strdup("--jobs"),     strdup("9"),
                    strdup(path),       strdup("--no-retry"), strdup("--batch=7"),
                    strdup("--verify"), strdup("--pg-uri"),   strdup("postgresql:///x")};

    (void)state;
    unsetenv("MLFLOW_TRACKING_URI");
    assert_int_equal(plan_load(p, 9, argv, &f), OK);
    assert_int_equal(p->jobs, 9);
    assert_int_equal(p->runs, 5);
    assert_int_equal(p->batch, 7);
    assert_false(p->retry);
    assert_true(p->verify);
    for (int i = 0; i < 9; i++)
        free(argv[i]);
    unlink(path);
    plan_free(p);
}

static void test_a_bad_line_is_named(void **state)
{
    struct plan *p = plan_new();
    char *path = scenario("jobs = 3\nruns 5\n");
    char text[256];

    (void)state;
    assert_int_equal(plan_load_file(p, path, &f), ERR_SETTING);
    str_to_cstr(f.text, text, sizeof(text));
    assert_non_null(strstr(text, ":2: want a line"));
    unlink(path);
    assert_int_equal(plan_load_file(p, path, &f), ERR_SETTING);
    plan_free(p);
}

static void test_a_flag_without_value(void **state)
{
    struct plan *p = plan_new();
    char *last[] = {strdup("x"), strdup("--jobs")};
    char *unknown[] = {strdup("x"), strdup("--no-jobs")};

    (void)state;
    assert_int_equal(plan_load(p, 2, last, &f), ERR_SETTING);
    assert_int_equal(plan_load(p, 2, unknown, &f), ERR_SETTING);
    free(last[0]);
    free(last[1]);
    free(unknown[0]);
    free(unknown[1]);
    plan_free(p);
}

static void test_help_and_show(void **state)
{
    struct plan *p = plan_new();
    struct buf out;

    (void)state;
    buf_init(&out);
    plan_help(&out);
    assert_true(buf_len(&out) > 2000);
    for (int id = 0; id < PLAN_COUNT; id++) {
        buf_reset(&out);
        plan_show(p, (enum plan_id)id, &out);
        if (id != PLAN_fail_if) /* a list has no empty member */
            assert_int_equal(plan_set(p, str_of(plan_name((enum plan_id)id)), buf_str(&out), &f),
                             OK);
    }
    buf_fini(&out);
    plan_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_by_type),
        cmocka_unit_test(test_lists_grow),
        cmocka_unit_test(test_refusals_say_what_is_wanted),
        cmocka_unit_test(test_mix),
        cmocka_unit_test(test_rules_between_settings),
        cmocka_unit_test(test_flags_override_the_scenario_wherever_it_stands),
        cmocka_unit_test(test_a_bad_line_is_named),
        cmocka_unit_test(test_a_flag_without_value),
        cmocka_unit_test(test_help_and_show),
    };

    fail_init(&f, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
