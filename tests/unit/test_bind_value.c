/* bind_value: one value at a time; whole requests are in test_bind. */
#include "ingest/bind_value.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static yyjson_val *value_of(struct arena *a, const char *text)
{
    struct document_error why;
    yyjson_val *v = document_read(a, str_of(text), &why);

    assert_non_null(v);
    return v;
}

static void test_integers(void **state)
{
    static const struct {
        const char *text;
        enum bound want;
        int64_t v;
    } rows[] = {
        {"2147483647", BOUND, INT32_MAX},
        {"-2147483648", BOUND, INT32_MIN},
        {"2147483648", ENDED, 0},
        {"-2147483649", ENDED, 0},
        {"1e3", BOUND, 1000},
        {"-0.0", BOUND, 0},
        {"1e10", ENDED, 0},
        {"\"1_0\"", BOUND, 10},
        {"\"10.0\"", BOUND, 10},
        {"\"1 0\"", ENDED, 0},
        {"\"\"", ENDED, 0},
        {"99999999999999999999", ENDED, 0},
        {"true", ENDED, 0},
        {"NaN", ENDED, 0},
        {"[1]", ENDED, 0},
        {"18446744073709551615", ENDED, 0},
    };
    struct arena a;

    (void)state;
    arena_init(&a, 1024);
    for (size_t i = 0; i < array_len(rows); i++) {
        int64_t v = 77;

        assert_int_equal(bind_value_integer(value_of(&a, rows[i].text), INT32_MIN, INT32_MAX, &v),
                         rows[i].want);
        assert_true(v == (rows[i].want == BOUND ? rows[i].v : 77));
    }
    arena_fini(&a);
}

/* 10^exponent written out */
static yyjson_val *power_of_ten(struct arena *a, size_t exponent)
{
    char *text = arena_alloc(a, exponent + 2);

    memset(text, '0', exponent + 1);
    text[0] = '1';
    text[exponent + 1] = '\0';
    return value_of(a, text);
}

static void test_doubles_beyond_their_range(void **state)
{
    struct arena a;
    double v = 77;

    (void)state;
    arena_init(&a, 1024);
    assert_int_equal(bind_value_double(power_of_ten(&a, 308), &v), BOUND);
    assert_true(v == 1e308);
    assert_int_equal(bind_value_double(power_of_ten(&a, 309), &v), BROKEN);
    assert_int_equal(bind_value_double(value_of(&a, "1e999"), &v), ENDED);
    assert_true(v == 1e308);
    arena_fini(&a);
}

static void test_texts_without_utf8_end_the_binding(void **state)
{
    struct list_str list = {NULL, 0, false};
    struct str s = STR("untouched");
    struct arena a;
    int64_t v;

    (void)state;
    arena_init(&a, 1024);
    assert_int_equal(bind_value_string(value_of(&a, "\"\\ud800\""), &s), ENDED);
    assert_true(str_eq(s, STR("untouched")));
    assert_int_equal(bind_value_status(value_of(&a, "\"\\ud800\""), &v), BROKEN);
    assert_int_equal(bind_value_strings(&a, value_of(&a, "[\"a\",\"b\",5,\"c\"]"), &list), ENDED);
    assert_true(list.is_set && list.n == 2);
    arena_fini(&a);
}

static void test_states_of_models_begin_at_0(void **state)
{
    static const struct {
        const char *json;
        enum bound bound;
        int64_t v;
    } rows[] = {
        {"\"LOGGED_MODEL_STATUS_UNSPECIFIED\"", BOUND, 0},
        {"\"LOGGED_MODEL_UPLOAD_FAILED\"", BOUND, 3},
        {"\" 2\"", BOUND, 2},
        {"\"READY\"", SKIPPED, 0},
        {"0", BOUND, 0},
        {"3", BOUND, 3},
        {"1.5", BOUND, 1},
        {"-0.5", BOUND, 0},
        {"true", BOUND, 1},
        {"false", BOUND, 0},
        {"4", ENDED, 0},
        {"-1", ENDED, 0},
        {"[]", ENDED, 0},
        {"{}", ENDED, 0},
    };
    struct arena a;

    (void)state;
    arena_init(&a, 1024);
    for (size_t i = 0; i < array_len(rows); i++) {
        int64_t v = 0;

        assert_int_equal(bind_value_model_status(value_of(&a, rows[i].json), &v), rows[i].bound);
        assert_int_equal(v, rows[i].v);
    }
    arena_fini(&a);
}

static void test_validators_ask_python(void **state)
{
    static const struct {
        const char *text;
        bool is_intlike, is_floatlike, is_page;
    } rows[] = {
        {"5", true, true, true},
        {"\"5\"", true, true, true},
        {"\"5.5\"", false, true, false},
        {"5.5", true, true, true},
        {"true", true, true, true},
        {"null", false, false, false},
        {"[]", false, false, false},
        {"\"x\"", false, false, false},
        {"NaN", false, true, false},
        {"1e400", false, true, false},
        {"50000", true, true, true},
        {"50000.9", true, true, true},
        {"50001", true, true, false},
        {"\"50001\"", true, true, false},
        {"-99999999999999999999", true, true, true},
        {"99999999999999999999", true, true, false},
        {"\"-99999999999999999999\"", true, true, true},
    };
    struct arena a;

    (void)state;
    arena_init(&a, 1024);
    for (size_t i = 0; i < array_len(rows); i++) {
        yyjson_val *v = value_of(&a, rows[i].text);

        assert_int_equal(bind_value_is_intlike(v), rows[i].is_intlike);
        assert_int_equal(bind_value_is_floatlike(v), rows[i].is_floatlike);
        assert_int_equal(bind_value_is_page(v, 50000), rows[i].is_page);
    }
    assert_false(bind_value_is_intlike(NULL) || bind_value_is_floatlike(NULL));
    assert_false(bind_value_is_list_of_strings(NULL));
    arena_fini(&a);
}

static void test_pythons_int_is_cut_off_at_both_ends(void **state)
{
    static const struct {
        const char *text;
        bool is_int;
        int64_t want;
    } rows[] = {
        {"5", true, 5},
        {"-5", true, -5},
        {"true", true, 1},
        {"2500.9", true, 2500},
        {"-0.5", true, 0},
        {"\" 1_0 \"", true, 10},
        {"\"1e1\"", false, 0},
        {"\"\"", false, 0},
        {"null", false, 0},
        {"[1]", false, 0},
        {"18446744073709551615", true, INT64_MAX},
        {"1e300", true, INT64_MAX},
        {"-1e300", true, INT64_MIN},
        {"99999999999999999999", true, INT64_MAX},
        {"-99999999999999999999", true, INT64_MIN},
        {"\"-99999999999999999999\"", true, INT64_MIN},
    };
    struct arena a;

    (void)state;
    arena_init(&a, 1024);
    for (size_t i = 0; i < array_len(rows); i++) {
        int64_t got = 0;

        assert_int_equal(bind_value_python_int(value_of(&a, rows[i].text), &got), rows[i].is_int);
        if (rows[i].is_int)
            assert_int_equal(got, rows[i].want);
    }
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_doubles_beyond_their_range),
        cmocka_unit_test(test_texts_without_utf8_end_the_binding),
        cmocka_unit_test(test_states_of_models_begin_at_0),
        cmocka_unit_test(test_validators_ask_python),
        cmocka_unit_test(test_pythons_int_is_cut_off_at_both_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
