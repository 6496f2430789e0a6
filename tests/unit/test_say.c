/* say: texts with any bytes in them. */
#include "gateway/say.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "schema/errors.h"

static void test_pieces_keep_their_nuls(void **state)
{
    struct arena a;
    struct fail f;

    (void)state;
    arena_init(&a, 256);
    fail_init(&f, &a);
    assert_int_equal(SAY(&a, &f, ERR_BAD_PARAM, STR("got '"), STR("a\0b"), STR("'")),
                     ERR_BAD_PARAM);
    assert_true(str_eq(f.text, STR("got 'a\0b'")));
    assert_int_equal(f.text.p[f.text.n], '\0');
    assert_int_equal(SAY_TEXT(&a, STR(""), STR("")).n, 0);
    arena_fini(&a);
}

static void test_repr_is_pythons(void **state)
{
    const struct str items[] = {STR_INIT("created"), STR_INIT("it's")};
    struct arena a;

    (void)state;
    arena_init(&a, 256);
    assert_true(str_eq(say_repr(&a, STR("a'b\n")), STR("\"a'b\\n\"")));
    assert_true(str_eq(say_repr_list(&a, items, 2), STR("['created', \"it's\"]")));
    assert_true(str_eq(say_repr_list(&a, items, 0), STR("[]")));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_keep_their_nuls),
        cmocka_unit_test(test_repr_is_pythons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
