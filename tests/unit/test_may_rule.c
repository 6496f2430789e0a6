/*
 * Tests of gateway/auth/may_rule.c: what rows ask for, and that a call about nothing is nobody's.
 */
#include "gateway/auth/may_rule.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static struct req req;
static struct may m;
static struct may_rule_row rule;

static int setup(void **state)
{
    (void)state;
    memset(&req, 0, sizeof(req));
    memset(&m, 0, sizeof(m));
    memset(&rule, 0, sizeof(rule));
    arena_init(&req.arena, 256);
    m.r = &req;
    m.last_find = &m.finds;
    m.rule = &rule;
    m.container = GRANT_REGISTERED_MODEL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&req.arena);
    return 0;
}

static void test_the_table_is_whole(void **state)
{
    (void)state;
    for (size_t i = 1; i < MAY_RULES; i++) {
        bool is_over = false;

        assert_non_null(may_rules[i].ask);
        assert_non_null(may_rules[i].settle);
        for (size_t k = 0; k < MAY_TEMPLATES; k++) {
            const struct may_template *row = &may_rules[i].rows[k];

            assert_true(row->what <= IT_DEFINITION && row->otherwise <= IT_DEFINITION);
            is_over |= row->what == IT_NOTHING;
            assert_true(!is_over || row->what == IT_NOTHING); /* none behind a gap */
        }
    }
}

static void test_experiments_are_kept_once_each(void **state)
{
    char text[12];

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 33; i++) {
            snprintf(text, sizeof(text), "%d", i);
            may_about(&m, arena_dup(&req.arena, str_of(text)));
        }
    }
    assert_int_equal(m.nexperiments, 33);
    for (int i = 0; i < 33; i++) {
        snprintf(text, sizeof(text), "%d", i);
        assert_true(str_eq(m.experiments[i], str_of(text)));
    }
    may_about(&m, ((struct str){"1\0", 2})); /* its end counts */
    assert_int_equal(m.nexperiments, 34);
}

static void test_things_are_looked_up_once_each(void **state)
{
    struct may_find *run = may_find(&m, FIND_RUN, STR("a"));

    (void)state;
    assert_ptr_equal(may_find(&m, FIND_RUN, STR("a")), run);
    assert_ptr_not_equal(may_find(&m, FIND_TRACE, STR("a")), run);
    assert_ptr_not_equal(may_find(&m, FIND_RUN, STR("")), run);
    assert_ptr_equal(m.finds, run);
    assert_null(run->next->next->next);
}

static void test_what_was_not_found_refuses(void **state)
{
    struct may_find second = {.experiment = STR("8")};
    struct may_find *found = may_find(&m, FIND_DATASET, STR("d"));

    (void)state;
    found->is_found = true;
    found->experiment = STR("7");
    found->more = &second;
    may_found(&m);
    assert_false(m.is_refused);
    assert_int_equal(m.nexperiments, 2);
    may_find(&m, FIND_RUN, STR("gone"))->experiment = STR("9");
    may_found(&m);
    assert_true(m.is_refused);
    assert_int_equal(m.nexperiments, 2);
}

static void test_a_prompt_is_told_by_its_row(void **state)
{
    struct may_find *model;

    (void)state;
    m.name = STR("p");
    assert_false(may_container(&m));
    assert_int_equal(m.container, GRANT_REGISTERED_MODEL);
    (void)may_find(&m, FIND_MODEL, STR("other"));
    (void)may_find(&m, FIND_RUN, STR("p"));
    assert_false(may_container(&m));
    model = may_find(&m, FIND_MODEL, STR("p"));
    model->extra[0] = STR("t");
    assert_false(may_container(&m)); /* nobody has found it */
    assert_int_equal(m.container, GRANT_REGISTERED_MODEL);
    model->is_found = true;
    assert_true(may_container(&m));
    assert_int_equal(m.container, GRANT_PROMPT);
    model->extra[0] = STR("f");
    assert_true(may_container(&m));
    assert_int_equal(m.container, GRANT_REGISTERED_MODEL);
}

static void test_rows_count_for_each_experiment(void **state)
{
    (void)state;
    rule.rows[0] = (struct may_template){IT_EXPERIMENT, DO_READ, IT_NOTHING, DO_READ};
    rule.rows[1] = (struct may_template){IT_RUN, DO_UPDATE, IT_EXPERIMENT, DO_UPDATE};
    rule.rows[2] = (struct may_template){IT_ASSESSMENT, DO_NOT_DENIED, IT_NOTHING, DO_READ};
    may_about(&m, STR("7"));
    may_about(&m, STR("8"));
    may_need_rows(&m);
    assert_false(m.is_refused);
    assert_int_equal(m.nneeds, 5);
    assert_int_equal(m.needs[1].type, GRANT_EXPERIMENT);
    assert_true(str_eq(m.needs[1].id, STR("8")));
    assert_false(m.needs[1].has_otherwise);
    assert_int_equal(m.needs[3].type, GRANT_RUN);
    assert_int_equal(m.needs[3].id.n, 0);
    assert_true(m.needs[3].has_otherwise);
    assert_int_equal(m.needs[3].otherwise, GRANT_EXPERIMENT);
    assert_true(str_eq(m.needs[3].otherwise_id, STR("8")));
    assert_int_equal(m.needs[4].type, GRANT_ASSESSMENT);
}

static void test_a_call_about_no_experiment_is_nobodys(void **state)
{
    (void)state;
    rule.rows[0] = (struct may_template){IT_ASSESSMENT, DO_NOT_DENIED, IT_NOTHING, DO_READ};
    may_need_rows(&m);
    assert_false(m.is_refused);
    rule.rows[1] = (struct may_template){IT_RUN, DO_READ, IT_EXPERIMENT, DO_READ};
    may_need_rows(&m);
    assert_true(m.is_refused);
}

static void test_a_version_is_of_its_containers_kind(void **state)
{
    (void)state;
    m.name = STR("p");
    rule.rows[0] = (struct may_template){IT_VERSION, DO_DELETE, IT_MODEL, DO_DELETE};
    may_need_rows(&m);
    m.container = GRANT_PROMPT;
    may_need_rows(&m);
    assert_int_equal(m.needs[0].type, GRANT_REGISTERED_MODEL_VERSION);
    assert_int_equal(m.needs[0].otherwise, GRANT_REGISTERED_MODEL);
    assert_int_equal(m.needs[1].type, GRANT_PROMPT_VERSION);
    assert_int_equal(m.needs[1].otherwise, GRANT_PROMPT);
    assert_true(str_eq(m.needs[1].otherwise_id, STR("p")));
}

static void test_needs_grow(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        may_need(&m, GRANT_EXPERIMENT, arena_printf(&req.arena, "%d", i), DO_READ);
    assert_int_equal(m.nneeds, 100);
    for (int i = 0; i < 100; i++)
        assert_true(str_eq(m.needs[i].id, arena_printf(&req.arena, "%d", i)));
}

static void test_scorers_as_their_grants_name_them(void **state)
{
    static const struct {
        struct str experiment, name;
        const char *want;
    } rows[] = {
        {STR_INIT("7"), STR_INIT("azAZ09_.-~"), "7/azAZ09_.-~"},
        {STR_INIT(" 0_7 "), STR_INIT("a"), "7/a"},
        {STR_INIT("x"), STR_INIT("a/b"), "x/a%2Fb"},
        {STR_INIT("7"), STR_INIT("@[`{/:"), "7/%40%5B%60%7B%2F%3A"},
        {STR_INIT("7"), STR_INIT("\xC3\xA9 \0%"), "7/%C3%A9%20%00%25"},
        {STR_INIT("7"), STR_INIT("\xC1\xDA\x01\x1A"), "7/%C1%DA%01%1A"}, /* letters but for a bit */
        {{NULL, 0}, {NULL, 0}, "/"},
        {STR_INIT("99999999999"), STR_INIT(""), "99999999999/"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++)
        assert_true(
            str_eq(may_scorer(&req.arena, rows[i].experiment, rows[i].name), str_of(rows[i].want)));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_table_is_whole),
        TEST(test_experiments_are_kept_once_each),
        TEST(test_things_are_looked_up_once_each),
        TEST(test_what_was_not_found_refuses),
        TEST(test_a_prompt_is_told_by_its_row),
        TEST(test_rows_count_for_each_experiment),
        TEST(test_a_call_about_no_experiment_is_nobodys),
        TEST(test_a_version_is_of_its_containers_kind),
        TEST(test_needs_grow),
        TEST(test_scorers_as_their_grants_name_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
