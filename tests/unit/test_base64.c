/* base64: both ways, and Python's lenience; each reading was tried on it. */
#include "base/base64.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_bytes_come_back(void **state)
{
    static const struct str texts[] = {STR_INIT(""),    STR_INIT("a"),      STR_INIT("ab"),
                                       STR_INIT("abc"), STR_INIT("\0\xff"), STR_INIT("{\"a\": 1}")};
    struct arena a;
    struct str got;

    (void)state;
    arena_init(&a, 256);
    assert_true(str_eq(base64_encode(&a, STR("ab")), STR("YWI=")));
    assert_true(str_eq(base64_encode(&a, STR("\xfb\xff\xfe")), STR("+//+")));
    for (size_t i = 0; i < array_len(texts); i++) {
        assert_true(base64_decode(&a, base64_encode(&a, texts[i]), &got));
        assert_true(str_eq(got, texts[i]));
    }
    arena_fini(&a);
}

static void test_foreign_letters_are_passed_over(void **state)
{
    static const struct {
        struct str text, bytes;
    } rows[] = {
        {STR_INIT("Y W\nI="), STR_INIT("ab")},       {STR_INIT("!!!"), STR_INIT("")},
        {STR_INIT("=YWI="), STR_INIT("ab")},         {STR_INIT("YWI=x"), STR_INIT("ab")},
        {STR_INIT("YW\0JjAA=="), STR_INIT("abc\0")}, {STR_INIT("\xc3\xa9YWJj"), STR_INIT("abc")},
    };
    struct arena a;
    struct str got;

    (void)state;
    arena_init(&a, 256);
    for (size_t i = 0; i < array_len(rows); i++) {
        assert_true(base64_decode(&a, rows[i].text, &got));
        assert_true(str_eq(got, rows[i].bytes));
    }
    arena_fini(&a);
}

static void test_padding_must_be_right(void **state)
{
    static const struct str texts[] = {STR_INIT("Y"), STR_INIT("YW"), STR_INIT("YWI"),
                                       STR_INIT("YW="), STR_INIT("YWJjY===")};
    struct arena a;
    struct str got;

    (void)state;
    arena_init(&a, 256);
    for (size_t i = 0; i < array_len(texts); i++)
        assert_false(base64_decode(&a, texts[i], &got));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_come_back),
        cmocka_unit_test(test_foreign_letters_are_passed_over),
        cmocka_unit_test(test_padding_must_be_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
