/* scope: what becomes of marks, and statements that have none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "gateway/auth/scope.c"

static struct buf out;

static void expect_texts(const char *text, const char *off, const char *on)
{
    int place = 3;

    assert_string_equal(scope_text(&out, text, NULL), off);
    assert_string_equal(scope_text(&out, text, &place), on);
}

static void test_marks_become_what_they_stand_for(void **state)
{
    (void)state;
    expect_texts("SELECT '{a,b}' FROM t", "SELECT '{a,b}' FROM t", "SELECT '{a,b}' FROM t");
    expect_texts("a = " SCOPE_NAME " AND b", "a = 'default' AND b", "a = $3::text AND b");
    expect_texts("a" SCOPE_ON(" + b") " + c", "a + c", "a + b + c");
    expect_texts("e WHERE true" SCOPE_EXPERIMENT("e"), "e WHERE true",
                 "e WHERE true AND e.workspace = $3::text");
    expect_texts("r WHERE x" SCOPE_OF("r") " LIMIT 1", "r WHERE x LIMIT 1",
                 "r WHERE x AND EXISTS (SELECT 1 FROM experiments ws WHERE ws.experiment_id = "
                 "r.experiment_id AND ws.workspace = $3::text) LIMIT 1");
    expect_texts("x = " SCOPE_ID_BEGIN "$1" SCOPE_ID_END, "x = $1",
                 "x = (SELECT ws.experiment_id FROM experiments ws WHERE ws.experiment_id = $1 AND "
                 "ws.workspace = $3::text)");
    expect_texts(
        "x = ANY (" SCOPE_IDS_BEGIN "$1" SCOPE_IDS_END ")", "x = ANY ($1)",
        "x = ANY (ARRAY(SELECT ws.experiment_id FROM experiments ws WHERE ws.experiment_id "
        "= ANY($1) AND ws.workspace = $3::text))");
    expect_texts("t" SCOPE_FOUND " WHERE '{' = '}'", "t WHERE '{' = '}'", "t WHERE '{' = '}'");
}

static void test_only_a_name_is_bound(void **state)
{
    (void)state;
    assert_true(scope_is_bound("a" SCOPE_EXPERIMENT("e")));
    assert_false(scope_is_bound("a" SCOPE_ON(" JOIN b") SCOPE_FOUND));
}

static void test_a_statement_without_a_mark_is_found(void **state)
{
    static const char *const forgotten[] = {
        "SELECT 1 FROM runs",
        "WITH x AS (SELECT 1) SELECT 1 FROM x JOIN\n experiments e ON true",
        "INSERT INTO model_versions (name) VALUES ($1)",
        "UPDATE logged_models SET x = 1",
        "DELETE FROM a USING registered_model_tags t",
    };
    static const char *const fine[] = {
        "SELECT 1 FROM workspaces",
        "SELECT 1 FROM alembic_version",
        "SELECT 1 FROM runs_of_mine",
        "SELECT runs FROM x",
        "SELECT 1 FROM users",
        "SELECT 1 FROM sluice.positions",
        "SELECT 1 FROM runs" SCOPE_FOUND,
        "SELECT 1 FROM runs r WHERE true" SCOPE_OF("r"),
        "SELECT 1 FROM registered_models WHERE workspace = " SCOPE_NAME,
    };

    (void)state;
    for (size_t i = 0; i < array_len(forgotten); i++)
        assert_non_null(scope_forgotten(forgotten[i]));
    for (size_t i = 0; i < array_len(fine); i++)
        assert_null(scope_forgotten(fine[i]));
}

static void test_names_have_marks_of_their_own(void **state)
{
    (void)state;
    assert_true(scope_mark("a") == scope_mark("a"));
    assert_true(scope_mark("a") != scope_mark("b"));
    assert_true(scope_mark("") != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marks_become_what_they_stand_for),
        cmocka_unit_test(test_only_a_name_is_bound),
        cmocka_unit_test(test_a_statement_without_a_mark_is_found),
        cmocka_unit_test(test_names_have_marks_of_their_own),
    };
    int failed;

    buf_init(&out);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_fini(&out);
    return failed;
}
