/* experiment_tag: what MLflow refuses, in its words. */
#include "ingest/experiment_tag.c"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena arena;

#define OBJECT "Trace archival config must be encoded as a JSON object."
#define FORM                                                                                      \
    "Trace archival retention must be in the form `<int><unit>`, where unit is one of 'm', 'h', " \
    "or"                                                                                          \
    " 'd'."

static void test_archival_values_have_a_form(void **state)
{
    static const struct {
        const char *key, *value, *text; /* NULL = good */
    } rows[] = {
        {"mlflow.trace.archivalRetention", "{\"type\": \"duration\", \"value\": \"30d\"}", NULL},
        {"mlflow.trace.archivalRetention", "{\"type\":\"duration\",\"value\":\" 1m \"}", NULL},
        {"mlflow.trace.archivalRetention", "30d", OBJECT},
        {"mlflow.trace.archivalRetention", "[]", OBJECT},
        {"mlflow.trace.archivalRetention", "", OBJECT},
        {"mlflow.trace.archivalRetention", "{}", "Trace archival config must use type 'duration'."},
        {"mlflow.trace.archivalRetention", "{\"type\": \"duration\"}", FORM},
        {"mlflow.trace.archivalRetention", "{\"type\": \"duration\", \"value\": 30}", FORM},
        {"mlflow.trace.archivalRetention", "{\"type\": \"duration\", \"value\": \"0d\"}", FORM},
        {"mlflow.trace.archivalRetention", "{\"type\": \"duration\", \"value\": \"3w\"}", FORM},
        {"mlflow.trace.archivalRetention", "{\"type\": \"duration\", \"value\": \"d\"}", FORM},
        {"mlflow.trace.archivalRetention",
         "{\"type\": \"duration\", \"value\": \"111111111111111111111111111111111d\"}",
         "Trace archival duration must be at most 32 characters."},
        {"mlflow.trace.archiveNow", "{}", NULL},
        {"mlflow.trace.archiveNow", "{\"older_than\": null}", NULL},
        {"mlflow.trace.archiveNow", "{\"older_than\": \"12h\"}", NULL},
        {"mlflow.trace.archiveNow", "{\"older_than\": \"12\"}", FORM},
        {"mlflow.trace.archiveNow", "x", OBJECT},
        {"mlflow.trace.other", "x", NULL},
    };
    struct fail f;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        err_t e;

        fail_init(&f, &arena);
        e = experiment_tag_check(&arena, str_of(rows[i].key), str_of(rows[i].value), &f);
        if ((e == OK) != !rows[i].text || (e && !str_eq(f.text, str_of(rows[i].text))))
            fail_msg("%s=%s: %.*s", rows[i].key, rows[i].value, STR_ARG(f.text));
    }
}

static void test_long_values_are_refused_not_cut(void **state)
{
    static char value[LIMIT_EXPERIMENT_TAG + 1];
    struct fail f;

    (void)state;
    memset(value, 'x', sizeof(value));
    fail_init(&f, &arena);
    assert_int_equal(
        experiment_tag_check(&arena, STR("k"), (struct str){value, LIMIT_EXPERIMENT_TAG}, &f), OK);
    assert_int_equal(experiment_tag_check(&arena, STR("k"), (struct str){value, sizeof(value)}, &f),
                     ERR_BAD_PARAM);
    assert_true(str_eq(f.text, STR("'value' exceeds the maximum length of 20000 characters")));
    assert_int_equal(experiment_tag_check(&arena, STR("a//b"), STR(""), &f), ERR_BAD_PARAM);
}

static void test_views_are_told_by_their_prefix(void **state)
{
    struct fail f;

    (void)state;
    fail_init(&f, &arena);
    assert_true(experiment_tag_is_view(STR("mlflow.customView.view.v1.x")));
    assert_false(experiment_tag_is_view(STR("mlflow.customView")));
    assert_int_equal(experiment_tag_too_many_views(STR("7"), &f), ERR_BAD_PARAM);
    assert_true(str_starts(f.text, STR("Unable to create another custom view for experiment 7; the"
                                       " maximum number of custom views per experiment is 50.")));
    assert_int_equal(experiment_tag_too_many_views(STR(""), &f), ERR_BAD_PARAM);
    assert_true(str_starts(f.text, STR("Unable to create another custom view; the")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_archival_values_have_a_form),
        cmocka_unit_test(test_long_values_are_refused_not_cut),
        cmocka_unit_test(test_views_are_told_by_their_prefix),
    };
    int failed;

    arena_init(&arena, 65536);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&arena);
    return failed;
}
