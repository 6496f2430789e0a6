/* gc_options: ages and lists as `mlflow gc` reads them; the numbers are Python's. */
#include "gateway/gc/gc_options.c"

#include "tests/unit/arena_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#undef fail /* cmocka has a macro of that name */

static char space[8]; /* MLFLOW_WORKSPACE */

static char *get(const char *name)
{
    return strcmp(name, "MLFLOW_WORKSPACE") == 0 ? space : NULL;
}

static void test_ages_are_those_of_timedelta(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"", 0},
        {"30d", 2592000000},
        {"1d2h3m4s", 93784000},
        {"1.2d3h4m5s", 114725000},
        {"2m4s", 124000},
        {"0.5h", 1800000},
        {"1.001s", 1000}, /* 1.001 * 1000 is 1000.9999999999999 */
        {"0.0005s", 0},
        {".5s", 500},
        {"5.s", 5000},
        {"36500d", INT64_C(3153600000000)},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        int64_t ms = -1;

        assert_int_equal(gc_options_age(str_of(rows[i].text), &ms, NULL), OK);
        assert_int_equal(ms, rows[i].ms);
    }
}

static void test_what_is_no_age_is_said(void **state)
{
    static const char *const texts[] = {"30",     "d",  "1d 2h",  "2h1d",        "1d1d", "-1d",
                                        "1.2.3d", "1w", "3 days", "9999999999d", "1e3d", ".d"};

    (void)state;
    for (size_t i = 0; i < array_len(texts); i++) {
        struct fail f;
        int64_t ms;

        fail_init(&f, NULL);
        assert_int_equal(gc_options_age(str_of(texts[i]), &ms, &f), ERR_BAD_PARAM);
        assert_true(str_starts(f.text, STR("Could not parse any time information from '")));
    }
}

/* Words with one blank between them. */
static err_t parse(struct gc_options *o, const char *line)
{
    struct str rest = str_of(line);
    char *words[16];
    int count = 0;

    while (rest.n)
        words[count++] = arena_cstr(&arena, str_cut(&rest, ' '));
    return gc_options_parse(o, count, words, get, &arena, NULL);
}

static void test_lists_are_split_at_commas_and_empty_is_none(void **state)
{
    struct gc_options o;

    (void)state;
    space[0] = 0;
    assert_int_equal(parse(&o, "--run-ids a,,b --experiment-ids  --job-ids j"), OK);
    assert_int_equal(o.runs.n, 3);
    assert_true(str_eq(o.runs.items[1], STR("")));
    assert_true(str_eq(o.runs.items[2], STR("b")));
    assert_null(o.experiments.items);
    assert_null(o.models.items);
    assert_null(o.workspace);
    assert_true(o.with_jobs);
    assert_false(o.is_dry);
}

static void test_the_workspace_comes_from_the_environment_last(void **state)
{
    struct gc_options o;

    (void)state;
    memcpy(space, "env", 4);
    assert_int_equal(parse(&o, "--workspace w"), OK);
    assert_string_equal(o.workspace, "w");
    assert_int_equal(parse(&o, ""), OK);
    assert_string_equal(o.workspace, "env");
    assert_int_equal(parse(&o, "--all-workspaces"), OK);
    assert_null(o.workspace);
    assert_int_equal(parse(&o, "--all-workspaces --workspace w"), ERR_SETTING);
}

static void test_other_words_are_refused(void **state)
{
    struct gc_options o;

    (void)state;
    assert_int_equal(parse(&o, "now"), ERR_SETTING);
    assert_int_equal(parse(&o, "--run-ids"), ERR_SETTING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ages_are_those_of_timedelta),
        cmocka_unit_test(test_what_is_no_age_is_said),
        cmocka_unit_test(test_lists_are_split_at_commas_and_empty_is_none),
        cmocka_unit_test(test_the_workspace_comes_from_the_environment_last),
        cmocka_unit_test(test_other_words_are_refused),
    };

    return cmocka_run_group_tests(tests, arena_begin, arena_end);
}
