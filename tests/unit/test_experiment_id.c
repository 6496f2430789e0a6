/* experiment_id: Python's integers within four bytes. */
#include "gateway/api/experiment_id.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_pythons_integers_are_ids(void **state)
{
    static const struct {
        const char *text;
        int32_t id;
    } good[] = {{"0", 0},  {"7", 7},   {" 7 ", 7}, {"1_0", 10},
                {"+5", 5}, {"-3", -3}, {"007", 7}, {"2147483647", INT32_MAX}};
    struct fail f;
    int32_t id;

    (void)state;
    fail_init(&f, NULL);
    for (size_t i = 0; i < array_len(good); i++) {
        assert_int_equal(experiment_id_parse(str_of(good[i].text), &id, &f), OK);
        assert_int_equal(id, good[i].id);
    }
}

static void test_others_are_bad_parameters_or_requests(void **state)
{
    struct fail f;
    int32_t id;

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(experiment_id_parse(STR("x"), &id, &f), ERR_BAD_PARAM);
    assert_true(str_eq(f.text, STR("Invalid experiment ID 'x'. Experiment ID must be a valid"
                                   " integer.")));
    assert_int_equal(experiment_id_parse(STR(""), &id, &f), ERR_BAD_PARAM);
    assert_int_equal(experiment_id_parse(STR("1.0"), &id, &f), ERR_BAD_PARAM);
    assert_int_equal(experiment_id_parse(STR("2147483648"), &id, &f), ERR_BAD_REQUEST);
    assert_int_equal(experiment_id_parse(STR("99999999999999999999"), &id, &f), ERR_BAD_REQUEST);
    assert_int_equal(experiment_id_unknown(7, &f), ERR_NOT_FOUND);
    assert_true(str_eq(f.text, STR("No Experiment with id=7 exists")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pythons_integers_are_ids),
        cmocka_unit_test(test_others_are_bad_parameters_or_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
