/*
 * Tests of gateway/api/model_value.c: Python literals as values of SQL, by the first item of a
 * list.
 */
#include "gateway/api/model_value.c"
#include "tests/unit/arena_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static const char *const kinds[] = {
    [MODEL_TEXT] = "text",      [MODEL_NUMBER] = "number", [MODEL_NULL] = "null",
    [MODEL_TEXTS] = "texts",    [MODEL_INTS] = "ints",     [MODEL_FLOATS] = "floats",
    [MODEL_REFUSED] = "refused"};

/* "kind value", a list as its items with a blank before each. */
static const char *shown(const char *text, enum filter_op op, bool is_integer_column)
{
    struct model_clause c = {.op = op};
    struct str out;

    fail_init(&why, &arena);
    if (model_value_literal(&arena, str_of(text), is_integer_column, &c, &why))
        return "(no literal)";
    out = str_of(kinds[c.kind]);
    if (c.kind == MODEL_NUMBER)
        out = arena_printf(&arena, "%.*s %.17g", STR_ARG(out), c.number);
    else if (c.kind == MODEL_TEXT || c.kind == MODEL_REFUSED)
        out = SAY_TEXT(&arena, out, STR(" "), c.text);
    for (size_t i = 0; i < c.list_count; i++)
        out = SAY_TEXT(&arena, out, STR(" "), c.list[i].p ? c.list[i] : STR("NULL"));
    return arena_cstr(&arena, out);
}

static void test_single_values(void **state)
{
    static const char *const rows[][2] = {
        {"('a')", "text (a)"},
        {"('a', 'b')", "text (a,b)"},
        {"('a',)", "text (a)"},
        {"['a', 'b']", "text {\"a\",\"b\"}"},
        {"['a', None]", "text {\"a\",NULL}"},
        {"(1, -2.0, True)", "text (1,-2,true)"},
        {"(5)", "number 5"},
        {"(-5)", "number -5"},
        {"(0x10)", "number 16"},
        {"(1_000)", "number 1000"},
        {"(-1.5e3)", "number -1500"},
        {"(None)", "null"},
        {"(True)", "refused (psycopg.errors.UndefinedFunction) operator does not exist: character "
                   "varying = boolean"},
        {"({'a': 1})", "refused (psycopg.ProgrammingError) cannot adapt type 'dict' using "
                       "placeholder '%s' (format: AUTO)"},
        {"(b'a')", "refused (psycopg.ProgrammingError) cannot adapt type 'bytes' using placeholder "
                   "'%s' (format: AUTO)"},
        {"({'a'})", "refused (psycopg.ProgrammingError) cannot adapt type 'set' using placeholder "
                    "'%s' (format: AUTO)"},
        {"(1+2j)", "refused (psycopg.ProgrammingError) cannot adapt type 'complex' using "
                   "placeholder '%s' (format: AUTO)"},
        {"('a', ('b',))", NULL},
        {"(a)", "(no literal)"},
        {"(", "(no literal)"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        const char *got = shown(rows[i][0], OP_EQ, false);

        if (rows[i][1] && strcmp(got, rows[i][1]) != 0)
            print_message("%s: %s\n", rows[i][0], got);
        if (rows[i][1])
            assert_string_equal(got, rows[i][1]);
        else
            assert_memory_equal(got, "refused", 7);
    }
}

static void test_the_first_item_decides(void **state)
{
    static const struct {
        const char *text;
        bool is_integer_column;
        const char *want;
    } rows[] = {
        {"('a', 'b')", false, "texts a b"},
        {"('a')", false, "texts a"},
        {"['a', 1, -2.50, True, None]", false, "texts a 1 -2.5 true NULL"},
        {"['a', ('b',), 'c']", false, "texts a c"},
        {"{'a': 'b', 'c': 'd'}", false, "texts a c"},
        {"()", false, "texts"},
        {"()", true, "ints"},
        {"(None, 'a')", true, "ints NULL a"},
        {"(None, 'a')", false, "texts NULL a"},
        {"(1, 2.5, 3.5, True, False)", false, "ints 1 2 4 1 0"},
        {"(1, 'x')", false, "ints 1 x"},
        {"(1, -99999999999999999999)", false, "ints 1 -99999999999999999999"},
        {"(1.5, 2, None)", false, "floats 1.5 2 NULL"},
        {"(1, 3000000000.5)", false, "ints 1 3000000000.5"},
        {"(1, -2147483648.0)", false, "ints 1 -2147483648"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        const char *got = shown(rows[i].text, OP_IN, rows[i].is_integer_column);

        if (strcmp(got, rows[i].want) != 0)
            print_message("%s: %s\n", rows[i].text, got);
        assert_string_equal(got, rows[i].want);
    }
}

static void test_lists_that_no_driver_takes(void **state)
{
    static const char *const rows[] = {"(5)",         "(None)",      "(1.5, 'a')",
                                       "(1.5, True)", "(True, 'a')", "({'a': 1}, 1)",
                                       "(b'a', 'b')", "('a', b'b')", "(1, {'a'})"};

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        const char *got = shown(rows[i], OP_NOT_IN, false);

        if (strncmp(got, "refused ", 8) != 0)
            print_message("%s: %s\n", rows[i], got);
        assert_memory_equal(got, "refused ", 8);
    }
    assert_string_equal(shown("(5)", OP_IN, true),
                        "refused IN expression list, SELECT construct, or bound parameter object "
                        "expected, got 5.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_values),
        cmocka_unit_test(test_the_first_item_decides),
        cmocka_unit_test(test_lists_that_no_driver_takes),
    };

    return cmocka_run_group_tests(tests, arena_begin, arena_end);
}
