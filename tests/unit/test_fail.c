/* fail: code and text arrive, long texts too, and may quote the text before. */
#include "base/fail.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* cmocka has a macro of that name */

static void test_nobody_listens(void **state)
{
    (void)state;
    assert_int_equal(fail(NULL, 5, "x %d", 1), 5);
    assert_int_equal(fail_str(NULL, 6, STR("x")), 6);
}

static void test_code_and_text(void **state)
{
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(f.err, OK);
    assert_int_equal(f.text.n, 0);
    assert_int_equal(fail(&f, 5, "metrics[%d]", 3), 5);
    assert_int_equal(f.err, 5);
    assert_true(str_eq(f.text, STR("metrics[3]")));
    fail_str(&f, 6, STR("later"));
    assert_int_equal(f.err, 6);
    assert_true(str_eq(f.text, STR("later")));
}

static void test_new_text_may_quote_the_old_one(void **state)
{
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    fail(&f, 5, "inner %d", 1);
    fail(&f, 6, "outer: %.*s", STR_ARG(f.text));
    assert_true(str_eq(f.text, STR("outer: inner 1")));
}

static void test_long_text_goes_to_the_arena(void **state)
{
    struct arena a;
    struct fail f;

    (void)state;
    arena_init(&a, 64);
    fail_init(&f, &a);
    fail(&f, 5, "%0*d", 1000, 7);
    assert_int_equal(f.text.n, 1000);
    fail(&f, 5, "again %.*s", STR_ARG(f.text));
    assert_int_equal(f.text.n, 1006);
    arena_fini(&a);
}

static void test_long_text_without_arena_is_cut_between_characters(void **state)
{
    struct fail f;

    (void)state;
    /* a 3-byte character lies across the end, at each of its places */
    for (int lead = 234; lead < 240; lead++) {
        fail_init(&f, NULL);
        fail(&f, 5, "%0*d\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", lead, 1);
        assert_true(f.text.n < sizeof(f.small));
        assert_true(f.text.n >= sizeof(f.small) - 5);
        if (f.text.n > (size_t)lead)
            assert_int_equal((f.text.n - (size_t)lead) % 3, 0);
        assert_int_equal(f.small[f.text.n], '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_code_and_text),
        cmocka_unit_test(test_new_text_may_quote_the_old_one),
        cmocka_unit_test(test_long_text_goes_to_the_arena),
        cmocka_unit_test(test_long_text_without_arena_is_cut_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
