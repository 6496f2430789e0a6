/* order_by: clauses of attributes to SQL; what is none is refused, and never gets into the text. */
#include "gateway/order_by.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena arena;

static void assert_order(err_t (*order)(struct arena *, const struct str *, size_t, struct str *,
                                        struct fail *),
                         const char *one, const char *two, const char *want)
{
    struct str clauses[2] = {str_of(one), str_of(two)};
    struct str got;
    struct fail f;

    fail_init(&f, &arena);
    if (order(&arena, clauses, two ? 2 : one ? 1 : 0, &got, &f))
        fail_msg("%s: %.*s", one, STR_ARG(f.text));
    if (!str_eq(got, str_of(want)))
        fail_msg("%s gave %.*s", one, STR_ARG(got));
}

static void test_runs(void **state)
{
    (void)state;
    assert_order(order_by_runs, NULL, NULL, "r.start_time DESC, r.run_uuid");
    assert_order(order_by_runs, "attributes.start_time DESC", NULL,
                 "r.start_time DESC NULLS LAST, r.run_uuid");
    assert_order(order_by_runs, "created", NULL, "r.start_time ASC NULLS LAST, r.run_uuid");
    assert_order(order_by_runs, "status", "attr.`end_time`  desc",
                 "r.status ASC NULLS LAST, r.end_time DESC NULLS LAST, r.start_time DESC,"
                 " r.run_uuid");
    assert_order(order_by_runs, "run.run_name asc", NULL,
                 "r.name ASC NULLS LAST, r.start_time DESC, r.run_uuid");
}

static void test_experiments(void **state)
{
    (void)state;
    assert_order(order_by_experiments, NULL, NULL, "e.creation_time DESC, e.experiment_id ASC");
    assert_order(order_by_experiments, "name", NULL, "e.name ASC, e.experiment_id DESC");
    assert_order(order_by_experiments, "attribute.experiment_id ASC", "last_update_time DESC",
                 "e.experiment_id ASC, e.last_update_time DESC");
}

static void test_what_is_no_attribute_is_refused(void **state)
{
    static const char *const bad[] = {"metrics.m",    "start_time; DROP TABLE runs", "",
                                      "name",         "start_time sideways",         "attributes.",
                                      "experiment_id"};
    struct str got;
    struct fail f;

    (void)state;
    for (size_t i = 0; i < array_len(bad); i++) {
        struct str clause = str_of(bad[i]);

        fail_init(&f, &arena);
        assert_int_equal(order_by_runs(&arena, &clause, 1, &got, &f), ERR_NOT_IMPLEMENTED);
    }
}

static void test_a_field_named_twice_is_mlflows_500(void **state)
{
    const struct str clauses[] = {STR_INIT("created"), STR_INIT("start_time")};
    struct str got;
    struct fail f;

    (void)state;
    fail_init(&f, &arena);
    assert_int_equal(order_by_runs(&arena, clauses, 2, &got, &f), ERR_INTERNAL);
    assert_true(
        str_eq(f.text, STR("`order_by` contains duplicate fields: ['created', 'start_time']")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_experiments),
        cmocka_unit_test(test_what_is_no_attribute_is_refused),
        cmocka_unit_test(test_a_field_named_twice_is_mlflows_500),
    };
    int failed;

    arena_init(&arena, 4096);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&arena);
    return failed;
}
