/* admit: MLflow's words on runs that do not take writes, and on params that would change. */
#include "ingest/admit.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena arena;

static void assert_says(const struct fail *f, const char *text)
{
    struct str want = str_of(text);

    if (!str_eq(f->text, want))
        fail_msg("%.*s", STR_ARG(f->text));
}

static void test_only_an_active_run_takes_a_batch(void **state)
{
    struct decoded d = {.run_id = STR("r1")};
    struct run run = {.is_active = false, .experiment_id = 7};
    struct fail f;

    (void)state;
    fail_init(&f, &arena);
    assert_int_equal(admit_batch(&d, NULL, &f), ERR_NOT_FOUND);
    assert_says(&f, "Run with id=r1 not found");
    assert_int_equal(admit_batch(&d, &run, &f), ERR_BAD_PARAM);
    assert_says(&f, "The run r1 must be in the 'active' state. Current state is deleted.");
    run.is_active = true;
    assert_int_equal(admit_batch(&d, &run, &f), OK);
    assert_int_equal(d.batch.experiment_id, 7);
}

static void test_conflicts_are_listed_as_python_prints_them(void **state)
{
    const struct param_conflict c[] = {
        {STR_INIT("pp"), STR_INIT(""), STR_INIT("x")},
        {STR_INIT("q"), STR_INIT("it's"), STR_INIT("a\n\"'")},
    };
    struct fail f;

    (void)state;
    fail_init(&f, &arena);
    assert_int_equal(admit_param_conflicts(&arena, STR("r1"), c, 2, &f), ERR_BAD_PARAM);
    assert_says(&f,
                "Changing param values is not allowed. Params were already logged='[{'key': 'pp',"
                " 'old_value': '', 'new_value': 'x'}, {'key': 'q', 'old_value': \"it's\","
                " 'new_value': 'a\\n\"\\''}]' for run ID='r1'.");
    assert_int_equal(admit_param_conflict(STR("r1"), &c[0], &f), ERR_BAD_PARAM);
    assert_says(&f,
                "Changing param values is not allowed. Param with key='pp' was already logged with"
                " value='' for run ID='r1'. Attempted logging new value 'x'.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_an_active_run_takes_a_batch),
        cmocka_unit_test(test_conflicts_are_listed_as_python_prints_them),
    };
    int failed;

    arena_init(&arena, 4096);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&arena);
    return failed;
}
