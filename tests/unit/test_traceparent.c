/* traceparent: what the standard calls valid is read, and written back as it was. */
#include "gateway/trace/traceparent.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define GOOD "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static void test_a_valid_one_comes_back(void **state)
{
    char text[TRACEPARENT_BYTES + 1];
    struct traceparent t;

    (void)state;
    assert_true(traceparent_parse(STR(GOOD), &t));
    assert_int_equal(t.trace[0], 0x0af7651916cd43dd);
    assert_int_equal(t.trace[1], 0x8448eb211c80319c);
    assert_int_equal(t.span, 0xb7ad6b7169203331);
    assert_int_equal(t.flags, TRACE_SAMPLED);
    traceparent_write(&t, text);
    assert_string_equal(text, GOOD);
}

static void test_what_is_none(void **state)
{
    static const char *const bad[] = {
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333g-01",
        "0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
    };
    struct traceparent t;

    (void)state;
    for (size_t i = 0; i < array_len(bad); i++)
        assert_false(traceparent_parse(str_of(bad[i]), &t));
}

static void test_a_new_one_is_valid_and_not_the_last(void **state)
{
    struct traceparent a = traceparent_new(), b = traceparent_new(), read;
    char text[TRACEPARENT_BYTES + 1];

    (void)state;
    traceparent_write(&a, text);
    assert_true(traceparent_parse(str_of(text), &read));
    assert_int_equal(read.flags, 0); /* nobody has decided to sample it */
    assert_true(a.trace[0] != b.trace[0] && a.span != b.span);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_valid_one_comes_back),
        cmocka_unit_test(test_what_is_none),
        cmocka_unit_test(test_a_new_one_is_valid_and_not_the_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
