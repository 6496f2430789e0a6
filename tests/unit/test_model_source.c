/* model_source: the rules one by one, answered as a stock server of MLflow 3.17.2 does. */
#include "gateway/api/model_source.c"

#include "tests/unit/arena_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

/* What the message ends with. */
#define GOOD      ""
#define NO_PATH   "Please provide an absolute path."
#define LOCAL_RUN "the artifact directory of the run specified by the run_id."
#define LOCAL_ID  "the artifact directory of the run specified by the model_id."
#define OF        " request parameter must identify the resource that contains the source."
#define OF_RUN    "The run_id" OF
#define OF_ID     "The model_id" OF

struct row {
    const char *source;
    const char *id;   /* "" = none */
    const char *root; /* NULL = there is no such run or model */
    const char *want;
};

static void assert_rows(const struct row *rows, size_t n, bool is_model)
{
    for (size_t i = 0; i < n; i++) {
        struct model_owner owner = {is_model, str_of(rows[i].id), rows[i].root != NULL,
                                    str_of(rows[i].root)};
        err_t e;

        fail_init(&why, &arena);
        e = model_source_check(&arena, str_of(rows[i].source), &owner, &why);
        if ((e == OK) != (rows[i].want[0] == 0) || !str_ends(why.text, str_of(rows[i].want)))
            fail_msg("%s of '%s': %d %.*s", rows[i].source, rows[i].id, e, STR_ARG(why.text));
    }
}

static void test_paths(void **state)
{
    static const struct row rows[] = {
        {"s3://b/p", "", NULL, GOOD},
        {"s3://b/p/", "", NULL, GOOD},
        {"s3://b//p", "", NULL, GOOD},
        {"s3:/b/p", "", NULL, GOOD},
        {"gs://b/p", "", NULL, GOOD},
        {"dbfs:/a/b", "x", NULL, GOOD},
        {"foo://x/y", "", NULL, GOOD},
        {"s3://b/p#f", "", NULL, GOOD},
        {"s3://b/p%20q", "", NULL, GOOD},
        {"s3://b/...", "", NULL, GOOD},
        {"s3://b/lib/x", "", NULL, GOOD},
        {"s3://b", "", NULL, NO_PATH},
        {"s3://b/", "", NULL, NO_PATH},
        {"s3:b/p", "", NULL, NO_PATH},
        {"foo:bar", "", NULL, NO_PATH},
        {"s3://b/p/../q", "", NULL, NO_PATH},
        {"s3://b/./q", "", NULL, NO_PATH},
        {"s3://b/..%2fq", "", NULL, NO_PATH},
        {"s3://b/%252e%252e/x", "", NULL, NO_PATH},
        {"s3://b/p?x=/../y", "", NULL, NO_PATH},
        {"s3://b/p%00", "", NULL, NO_PATH},
        {"hdl:/a;b", "", NULL, GOOD},
        {"hdl:/.;b", "", NULL, NO_PATH},
        {"databricks", "", NULL, NO_PATH},
        {"s3://[b/p", "", NULL, NO_PATH},
    };

    (void)state;
    assert_rows(rows, array_len(rows), false);
    assert_rows(rows, array_len(rows), true);
}

static void test_run(void **state)
{
    static const char root[] = "mlflow-artifacts:/1/R/artifacts";
    static const struct row rows[] = {
        {"mlflow-artifacts:/1/R/artifacts/m", "", NULL, OF_RUN},
        {"mlflow-artifacts:/1/R/artifacts/m", "R", root, GOOD},
        {"mlflow-artifacts:/1/%52/artifacts", "R", root, GOOD},
        {"mlflow-artifacts:/1/R/artifacts/m", "R", NULL, OF_RUN},
        {"mlflow-artifacts:/1/R/artifactsX", "R", root, OF_RUN},
        {"mlflow-artifacts://h/1/R/artifacts/m", "R", root, OF_RUN},
        {"mlflow-artifacts:/1/R/artifacts/../x", "R", root, NO_PATH},
        {"mlflow-artifacts:/1/R", "R", "mlflow-artifacts:/", OF_RUN},
        {"http://h/api/2.0/mlflow-artifacts/artifacts/x", "", NULL, OF_RUN},
        {"http://h/z/api//2%2e0/mlflow-artifacts/artifacts", "", NULL, OF_RUN},
        {"http://h/api/2.0/mlflow-artifacts/x", "", NULL, GOOD},
        {"runs:/R/m", "", NULL, OF_RUN},
        {"runs:/R/m", "R", NULL, GOOD},
        {"runs:/R", "R", NULL, GOOD},
        {"runs:/R/m", "R2", NULL, OF_RUN},
        {"runs://h/R/m", "R", NULL, OF_RUN},
        {"runs:////R/m", "R", NULL, "'runs:/<run_id>/run-relative/path/to/artifact'"},
        {"runs:%2FR/m", "R", NULL, "'runs:/<run_id>/run-relative/path/to/artifact'"},
        {"models:/m/1", "R", NULL, GOOD},
        {"models:/M", "R", NULL, OF_ID},
        {"/a", "", NULL, LOCAL_RUN},
        {"a", "", NULL, LOCAL_RUN},
        {"file:///a", "", NULL, LOCAL_RUN},
        {"/a", "R", NULL, OF_RUN},
        {"/nope/R/m", "R", "/nope/R", GOOD},
        {"/nope/R/m", "R", "file:///nope/R", GOOD},
        {"/nope/R/../R/m", "R", "/nope/R", GOOD},
        {"/nope/R/../x", "R", "/nope/R", LOCAL_RUN},
        {"/nope/Rx", "R", "/nope/R", LOCAL_RUN},
        {"/nope/R/m", "R", root, LOCAL_RUN},
        {"file://h/a", "R", NULL, "(e.g. smb://<hostname>/<path>)."},
    };

    (void)state;
    assert_rows(rows, array_len(rows), false);
}

/* A request whose binding ended early has a source that is not bound. */
static void test_no_source_at_all(void **state)
{
    const struct model_owner none = {.is_model = false};
    const struct model_owner run = {false, STR_INIT("R"), true, STR_INIT("s3://b/R")};
    struct model_source parts;

    (void)state;
    assert_int_equal(model_source_parse(&arena, (struct str){0}, &parts, &why), OK);
    assert_true(model_source_needs_owner(&arena, (struct str){0}));
    assert_int_equal(model_source_check(&arena, (struct str){0}, &none, &why), ERR_BAD_PARAM);
    assert_int_equal(model_source_check(&arena, (struct str){0}, &run, &why), ERR_BAD_PARAM);
    assert_int_equal(model_source_check_prompt((struct str){0}, &why), ERR_BAD_PARAM);
}

static void test_logged_model(void **state)
{
    static const char root[] = "mlflow-artifacts:/1/models/M/artifacts";
    static const struct row rows[] = {
        {"models:/M", "M", NULL, GOOD},
        {"models:/M?x", "M", NULL, GOOD},
        {"models:/M", "N", root, OF_ID},
        {"models://h/M", "M", root, OF_ID},
        {"models:/M/", "M", root, OF_ID},
        {"runs:/R/m", "M", root, OF_ID},
        {"mlflow-artifacts:/1/models/M/artifacts/x", "M", root, GOOD},
        {"mlflow-artifacts:/1/models/M/x", "M", root, OF_ID},
        {"/nope/M/m", "M", "/nope/M", GOOD},
        {"/nope/m", "M", "/nope/M", LOCAL_ID},
        {"/nope/m", "M", NULL, OF_ID},
    };

    (void)state;
    assert_rows(rows, array_len(rows), true);
}

static void test_references(void **state)
{
    static const struct {
        const char *source;
        int ref; /* -1 = refused */
        const char *name, *suffix;
    } rows[] = {
        {"s3://b/p", REF_NONE, "", ""},
        {"models:/M", REF_MODEL_ID, "M", ""},
        {"models:/m/1", REF_VERSION, "m", "1"},
        {"models:///m/01", REF_VERSION, "m", "01"},
        {"MODELS:/m/1?x", REF_VERSION, "m", "1"},
        {"models:/m/1#x", REF_STAGE, "m", "1#x"},
        {"models:/m/LATEST", REF_LATEST, "m", "LATEST"},
        {"models:/m/Production", REF_STAGE, "m", "Production"},
        {"models:/m@a", REF_ALIAS, "m", "a"},
        {"models:/m@n@a", REF_ALIAS, "m@n", "a"},
        {"models:/@a", REF_ALIAS, "", "a"},
        {"models:/m@n/1", REF_VERSION, "m@n", "1"},
        {"models:/", -1, "", ""},
        {"models:m/1", -1, "", ""},
        {"models:/m/", -1, "", ""},
        {"models:/m/ ", -1, "", ""},
        {"models:/m/1/2", -1, "", ""},
        {"models:/m@", -1, "", ""},
        {"models://h/m/1", -1, "", ""},
    };
    struct model_source got;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        err_t e = model_source_parse(&arena, str_of(rows[i].source), &got, &why);

        if (e ? rows[i].ref >= 0
              : (int)got.ref != rows[i].ref || !str_eq(got.name, str_of(rows[i].name)) ||
                    !str_eq(got.suffix, str_of(rows[i].suffix)))
            fail_msg("%s", rows[i].source);
    }
    assert_true(str_ends(why.text, STR("must use the active model registry.")));
}

static void test_prompts(void **state)
{
    (void)state;
    assert_int_equal(model_source_check_prompt(STR("dummy-source"), &why), OK);
    assert_int_equal(model_source_check_prompt(STR("prompt-template"), &why), OK);
    assert_int_equal(model_source_check_prompt(STR("s3://b/p"), &why), ERR_BAD_PARAM);
    assert_true(str_eq(why.text, STR("Invalid prompt source: 's3://b/p'. Prompt sources must use"
                                     " an MLflow placeholder.")));
}

static void test_who_needs_the_owner(void **state)
{
    (void)state;
    assert_true(model_source_needs_owner(&arena, STR("/a")));
    assert_true(model_source_needs_owner(&arena, STR("file:/a")));
    assert_true(model_source_needs_owner(&arena, STR("mlflow-artifacts:/a")));
    assert_false(model_source_needs_owner(&arena, STR("s3://b/p")));
    assert_false(model_source_needs_owner(&arena, STR("runs:/R/m")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_paths, arena_begin, arena_end),
        cmocka_unit_test_setup_teardown(test_run, arena_begin, arena_end),
        cmocka_unit_test_setup_teardown(test_no_source_at_all, arena_begin, arena_end),
        cmocka_unit_test_setup_teardown(test_logged_model, arena_begin, arena_end),
        cmocka_unit_test_setup_teardown(test_references, arena_begin, arena_end),
        cmocka_unit_test_setup_teardown(test_prompts, arena_begin, arena_end),
        cmocka_unit_test_setup_teardown(test_who_needs_the_owner, arena_begin, arena_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
