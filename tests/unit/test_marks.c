/* marks: a position only rises, and what is forgotten is unknown, not wrong. */
#include "gateway/peers/marks.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static void test_a_mark_only_rises(void **state)
{
    struct marks *m = marks_new();
    char name[] = "queue/3";

    (void)state;
    assert_int_equal(marks_get(m, STR("queue/3")), 0);
    marks_raise(m, str_of(name), 7);
    name[0] = 'x'; /* its name is kept, not borrowed */
    marks_raise(m, STR("queue/3"), 5);
    marks_raise(m, STR("queue/4"), 1);
    assert_int_equal(marks_get(m, STR("queue/3")), 7);
    assert_int_equal(marks_get(m, STR("queue/4")), 1);
    marks_free(m);
    marks_free(NULL);
}

static void test_a_full_table_forgets_and_goes_on(void **state)
{
    struct marks *m = marks_new();
    char name[32];

    (void)state;
    for (unsigned i = 0; i <= MARKS_MAX; i++) {
        int n = snprintf(name, sizeof(name), "queue/%u", i);

        marks_raise(m, (struct str){name, (size_t)n}, i + 1);
    }
    assert_int_equal(marks_get(m, STR("queue/0")), 0);
    assert_int_equal(marks_get(m, str_of(name)), MARKS_MAX + 1);
    assert_int_equal(idmap_count(&m->map), 1);
    marks_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_mark_only_rises),
        cmocka_unit_test(test_a_full_table_forgets_and_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
