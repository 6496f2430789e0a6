/* conf: units, limits, and that what is shown reads back. */
#include "base/conf.c"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_sizes(void **state)
{
    uint64_t v;

    (void)state;
    assert_true(conf_size(STR("64MiB"), &v));
    assert_int_equal(v, 64 << 20);
    assert_true(conf_size(STR("12"), &v));
    assert_int_equal(v, 12);
    assert_true(conf_size(STR("0B"), &v));
    assert_int_equal(v, 0);
    assert_true(conf_size(STR("1kib"), &v));
    assert_int_equal(v, 1024);
    assert_true(conf_size(STR("16777215TiB"), &v));
    assert_false(conf_size(STR("16777216TiB"), &v)); /* 2^64 */
    assert_false(conf_size(STR("1MB"), &v));
    assert_false(conf_size(STR("1.5MiB"), &v));
    assert_false(conf_size(STR("-1"), &v));
    assert_false(conf_size(STR("MiB"), &v));
    assert_false(conf_size(STR("1 MiB"), &v));
    assert_false(conf_size(STR(""), &v));
}

static void test_times(void **state)
{
    uint64_t v;

    (void)state;
    assert_true(conf_time(STR("250ms"), &v));
    assert_int_equal(v, 250000);
    assert_true(conf_time(STR("7us"), &v));
    assert_int_equal(v, 7);
    assert_true(conf_time(STR("2m"), &v));
    assert_int_equal(v, 120000000);
    assert_true(conf_time(STR("1h"), &v));
    assert_int_equal(v, 3600000000);
    assert_true(conf_time(STR("0"), &v));
    assert_int_equal(v, 0);
    assert_false(conf_time(STR("5"), &v));
    assert_false(conf_time(STR("5x"), &v));
    assert_false(conf_time(STR("99999999999999999h"), &v));
}

static void test_counts_and_bools(void **state)
{
    uint64_t v;
    bool b;

    (void)state;
    assert_true(conf_count(STR("16"), &v));
    assert_int_equal(v, 16);
    assert_false(conf_count(STR("+16"), &v));
    assert_false(conf_count(STR("16k"), &v));
    assert_false(conf_count(STR(""), &v));
    assert_true(conf_bool(STR("Yes"), &b) && b);
    assert_true(conf_bool(STR("on"), &b) && b);
    assert_true(conf_bool(STR("1"), &b) && b);
    assert_true(conf_bool(STR("TRUE"), &b) && b);
    assert_true(conf_bool(STR("off"), &b) && !b);
    assert_true(conf_bool(STR("no"), &b) && !b);
    assert_false(conf_bool(STR(""), &b));
    assert_false(conf_bool(STR("2"), &b));
}

static void check_size(uint64_t bytes, const char *shown)
{
    char out[32];
    uint64_t back;

    conf_show_size(bytes, out);
    assert_string_equal(out, shown);
    assert_true(conf_size(str_of(out), &back));
    assert_true(back == bytes);
}

static void check_time(uint64_t us, const char *shown)
{
    char out[32];
    uint64_t back;

    conf_show_time(us, out);
    assert_string_equal(out, shown);
    assert_true(conf_time(str_of(out), &back));
    assert_true(back == us);
}

static void test_shown_values_read_back(void **state)
{
    (void)state;
    check_size(0, "0");
    check_size(1, "1");
    check_size(1000, "1000");
    check_size(1024, "1KiB");
    check_size(1536, "1536");
    check_size(UINT64_C(8) << 30, "8GiB");
    check_size(UINT64_MAX, "18446744073709551615");
    check_time(0, "0s");
    check_time(1, "1us");
    check_time(1500, "1500us");
    check_time(200000, "200ms");
    check_time(75000000, "75s");
    check_time(60000000, "1m");
    check_time(3600000000, "1h");
    check_time(UINT64_MAX, "18446744073709551615us");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_counts_and_bools),
        cmocka_unit_test(test_shown_values_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
