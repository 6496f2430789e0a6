/*
 * Tests of gateway/search/filter_join.c: IN, IS NULL and the like joined as MLflow joins them.
 */
#include "gateway/search/filter_join.c"
#include "tests/unit/arena_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "gateway/search/filter_split.h"

static struct str part(struct str text, const struct filter_node *n)
{
    return n ? filter_node_text(text, n) : STR("-");
}

/* Comparisons as <left|op|right>, what stands for itself as it is. */
static const char *joined(const char *sent)
{
    struct str text = str_of(sent);
    struct filter_node *statement;
    struct joined *out;
    struct buf shown;
    size_t count;
    const char *copy;

    assert_true(filter_split(&arena, text, &statement, &count));
    assert_int_equal(count, 1);
    out = arena_array(&arena, statement->count, sizeof(*out)); /* as much room as is promised */
    count = filter_join(&arena, text, statement, out);
    assert_true(count <= statement->count);
    buf_init(&shown);
    for (size_t i = 0; i < count; i++) {
        const struct compared *c = &out[i].parts;
        struct str left = part(text, out[i].node ? out[i].node : c->left);

        buf_printf(&shown, i ? " %s%.*s" : "%s%.*s", out[i].node ? "" : "<", STR_ARG(left));
        if (!out[i].node)
            buf_printf(&shown, "|%.*s|%.*s>", STR_ARG(c->op), STR_ARG(part(text, c->right)));
    }
    copy = arena_cstr(&arena, buf_str(&shown));
    buf_fini(&shown);
    return copy;
}

static const char *const rows[][2] = {
    {"a = 1", "<a|=|1>"},
    {"a  =\t1  ", "<a|=|1>"},
    {"a = 1 and b != 'x'", "<a|=|1> and <b|!=|'x'>"},
    {"a in ('x')", "<a|in|('x')>"},
    {"a NOT IN ('x')", "<a|NOT IN|('x')>"},
    {"a  not  in  ('x')", "<a|NOT IN|('x')>"},
    {"a is null", "<a|IS NULL|->"},
    {"a IS NOT NULL", "<a|IS NOT NULL|->"},
    {"a is null and b in ('x', 'y')", "<a|IS NULL|-> and <b|in|('x', 'y')>"},
    {"b in ('x') and a is not null", "<b|in|('x')> and <a|IS NOT NULL|->"},
    {"a in 'x'", "a in 'x'"},
    {"a not", "a not"},
    {"a not in", "a not in"},
    {"a is", "a is"},
    {"a is 'x'", "a is 'x'"},
    {"a", "a"},
    {"in ('x')", "in ('x')"},
};

static void test_tokens_are_joined(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        const char *got = joined(rows[i][0]);

        if (strcmp(got, rows[i][1]) != 0)
            print_message("%s: %s\n", rows[i][0], got);
        assert_string_equal(got, rows[i][1]);
    }
}

/* Four tokens that are no join are passed over together: what begins within them is not found. */
static void test_what_is_no_join_hides_what_follows(void **state)
{
    (void)state;
    assert_string_equal(joined("a and b is null"), "a and b is null");
    assert_string_equal(joined("'x' and b is null"), "'x' and <b|IS NULL|->");
}

static void test_comparators(void **state)
{
    static const struct {
        const char *text;
        enum filter_op op;
    } ops[] = {
        {"=", OP_EQ},
        {"!=", OP_NE},
        {"<", OP_LT},
        {"<=", OP_LE},
        {">", OP_GT},
        {">=", OP_GE},
        {"LIKE", OP_LIKE},
        {"ILIKE", OP_ILIKE},
        {"IN", OP_IN},
        {"NOT IN", OP_NOT_IN},
        {"IS NULL", OP_IS_NULL},
        {"IS NOT NULL", OP_IS_NOT_NULL},
        {"like", OP_OTHER},
        {"", OP_OTHER},
        {"<>", OP_OTHER},
        {"IN ", OP_OTHER},
    };

    (void)state;
    for (size_t i = 0; i < array_len(ops); i++)
        assert_int_equal(filter_op_of(str_of(ops[i].text)), ops[i].op);
    assert_int_equal(filter_op_of((struct str){NULL, 0}), OP_OTHER);
    assert_int_equal(filter_op_of((struct str){"=\0", 2}), OP_OTHER);
}

static void test_upper_case_as_pythons(void **state)
{
    static const struct {
        struct str text, want;
    } words[] = {
        {STR_INIT("ilike"), STR_INIT("ILIKE")},
        {STR_INIT("\xC4\xB1n"), STR_INIT("IN")},
        {STR_INIT("i\xC5\xBF"), STR_INIT("IS")},
        {STR_INIT("\xC4"), STR_INIT("\xC4")}, /* cut short: nothing behind it is read */
        {STR_INIT("\xC5\xBE"), STR_INIT("\xC5\xBE")},
        {STR_INIT("`az{@AZ["), STR_INIT("`AZ{@AZ[")},
        {{NULL, 0}, {NULL, 0}},
    };

    (void)state;
    for (size_t i = 0; i < array_len(words); i++)
        assert_true(str_eq(filter_upper(&arena, words[i].text), words[i].want));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens_are_joined),
        cmocka_unit_test(test_what_is_no_join_hides_what_follows),
        cmocka_unit_test(test_comparators),
        cmocka_unit_test(test_upper_case_as_pythons),
    };

    return cmocka_run_group_tests(tests, arena_begin, arena_end);
}
