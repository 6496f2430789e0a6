/*
 * Tests of gateway/auth/may_artifact.c: whose an artifact is, by every spelling of its path.
 */
#include "gateway/auth/may_artifact.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define RUN "0123456789abcdef0123456789abcdef"

/* path -> experiment ("-" = refused, "" = none), the kinds for reading and for deleting: r, t, l */
static const char *const rows[][4] = {
    {"7/" RUN "/artifacts/model/x", "7", "r", "r"},
    {"7/" RUN, "7", "r", "r"},
    {"7/models/m-1/artifacts/x", "7", "l", "l"},
    {"7/traces/tr-1/artifacts/x", "7", "t", "t"},
    {"7/notes.txt", "7", "", "r"},
    {"7/whatever/artifacts", "7", "r", "r"},
    {"7", "7", "", "rtl"},
    {"7/", "7", "", "rtl"},
    {"7//models/x", "7", "l", "l"},
    {"workspaces/w/7/" RUN "/artifacts/x", "7", "r", "r"},
    {"%37/models/x", "7", "l", "l"},
    {"%2537/models/x", "7", "l", "l"},
    {"models/7/x", "", "", ""},
    {"x7/models/x", "", "", ""},
    {"", "", "", ""},
    {"7/../8/x", "-", "", ""},
    {"7/%2e%2e/8/x", "-", "", ""},
    {"7/%252e%252e/8/x", "-", "", ""},
    {"/7/x", "-", "", ""},
    {"%2f7/x", "-", "", ""},
    {"7/x%23y", "-", "", ""},
    {"7\\..\\8", "-", "", ""},
    {"file:///7/x", "-", "", ""},
    {"7/x%00", "-", "", ""},
    {"./7/models/x", "7", "l", "l"},
    {"%252e/7/models/x", "7", "l", "l"},
    {" 7/models/x", "7", "l", "l"},
    {"%097/models/x", "7", "l", "l"},
    {"7%09/models/x", "7", "l", "l"},
    {"workspaces//w/./7/models/x", "7", "l", "l"},
    {"FILE:7/models/x", "-", "", ""},
};

static void kinds_of(struct str rest, bool is_delete, char out[4])
{
    enum grant_type kinds[3];
    size_t n = path_kinds(rest, is_delete, kinds);

    for (size_t i = 0; i < n; i++)
        out[i] = kinds[i] == GRANT_RUN ? 'r' : kinds[i] == GRANT_TRACE ? 't' : 'l';
    out[n] = '\0';
}

static void test_paths(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 1024);
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str path = str_of(rows[i][0]), experiment;
        char kinds[4];

        if (!path_settle(&a, &path)) {
            assert_string_equal(rows[i][1], "-");
            continue;
        }
        experiment = path_experiment(&path);
        if (!str_eq(experiment, str_of(rows[i][1])))
            fail_msg("%s is of \"%.*s\"", rows[i][0], STR_ARG(experiment));
        if (experiment.n == 0)
            continue;
        kinds_of(path, false, kinds);
        assert_string_equal(kinds, rows[i][2]);
        kinds_of(path, true, kinds);
        assert_string_equal(kinds, rows[i][3]);
    }
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_paths)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
