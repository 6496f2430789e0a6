/* errors: every row is complete, and codes agree with statuses. */
#include "schema/errors.c"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* cmocka has a macro of that name */

static void test_every_row_is_complete(void **state)
{
    (void)state;
    for (err_t e = ERR_NONE; e < ERR_COUNT; e++) {
        const struct error_row *row = error_row(e);

        assert_non_null(row->name);
        assert_true(*row->name && *row->code && *row->help);
        assert_true(row->status >= 200 && row->status < 600);
        assert_true(e == OK ? row->status == 200 : row->status >= 400);
        assert_int_equal(*row->sqlstate == '\0', *row->cls == '\0');
    }
}

static void test_names_are_unique(void **state)
{
    (void)state;
    for (err_t a = 0; a < ERR_COUNT; a++) {
        for (err_t b = a + 1; b < ERR_COUNT; b++)
            assert_string_not_equal(error_row(a)->name, error_row(b)->name);
    }
}

static void test_rows_that_clients_know(void **state)
{
    (void)state;
    assert_int_equal(error_row(ERR_BUSY)->status, 429);
    assert_string_equal(error_row(ERR_BUSY)->code, "REQUEST_LIMIT_EXCEEDED");
    assert_true(error_row(ERR_BUSY)->may_retry);
    assert_int_equal(error_row(ERR_NOT_FOUND)->status, 404);
    assert_string_equal(error_row(ERR_NOT_FOUND)->code, "RESOURCE_DOES_NOT_EXIST");
    assert_false(error_row(ERR_BAD_PARAM)->may_retry);
}

/* 4xx says that the request is wrong, so sending it again cannot help; 429 and 503 are for load. */
static void test_load_is_never_answered_500(void **state)
{
    (void)state;
    for (err_t e = ERR_NONE + 1; e < ERR_COUNT; e++) {
        const struct error_row *row = error_row(e);

        if (row->may_retry)
            assert_true(row->status == 429 || (row->status >= 502 && row->status <= 504));
        else
            assert_true(row->status != 429 && row->status != 503);
    }
}

static void test_page_has_a_line_for_each_row(void **state)
{
    struct buf out;
    size_t lines = 0;

    (void)state;
    buf_init(&out);
    errors_doc(&out);
    for (struct str text = buf_str(&out); text.n;)
        lines += str_starts(str_cut(&text, '\n'), STR("| ")) ? 1 : 0;
    assert_int_equal(lines, ERR_COUNT - 1 + 1); /* and the table's head */
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_complete),
        cmocka_unit_test(test_names_are_unique),
        cmocka_unit_test(test_rows_that_clients_know),
        cmocka_unit_test(test_load_is_never_answered_500),
        cmocka_unit_test(test_page_has_a_line_for_each_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
