/* model_tag: what a stock server's tag holds after runs/log-model, byte for byte. */
#include "gateway/api/model_tag.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define NOW 1700000000123

static struct arena arena;
static struct fail why;

static err_t entry_of(const char *model_json, struct str *entry)
{
    fail_init(&why, &arena);
    return model_tag_entry(&arena, str_of(model_json), NOW, entry, &why);
}

static void assert_entry(const char *model_json, const char *want)
{
    struct str entry;

    assert_int_equal(entry_of(model_json, &entry), OK);
    assert_string_equal(entry.p, want);
}

static void assert_refused(const char *model_json, const char *want)
{
    struct str entry;

    assert_int_equal(entry_of(model_json, &entry), ERR_BAD_PARAM);
    assert_string_equal(arena_cstr(&arena, why.text), want);
}

static void test_an_entry_keeps_five_things_in_their_order(void **state)
{
    (void)state;
    assert_entry("{\"flavors\":{\"f\":{\"z\":1,\"config\":{\"a\":2},\"a\":[1,2.0]},\"g\":null},"
                 "\"mlflow_version\":\"2.0\",\"model_uuid\":\"u\",\"artifact_path\":\"model\","
                 "\"utc_time_created\":\"2020-01-01\",\"run_id\":\"r\"}",
                 "{\"run_id\": \"r\", \"artifact_path\": \"model\","
                 " \"utc_time_created\": \"2020-01-01\", \"model_uuid\": \"u\","
                 " \"flavors\": {\"f\": {\"z\": 1, \"a\": [1, 2.0]}, \"g\": null}}");
}

static void test_nulls_and_repeated_keys(void **state)
{
    (void)state;
    assert_entry("{\"flavors\":null,\"artifact_path\":null,\"utc_time_created\":\"t\","
                 "\"run_id\":null}",
                 "{\"utc_time_created\": \"t\", \"model_uuid\": null, \"flavors\": {}}");
    assert_entry("{\"flavors\":{\"x\":{\"config\":1,\"k\":1},\"x\":{\"k\":2,\"k\":3}},"
                 "\"artifact_path\":\"a\",\"utc_time_created\":\"t\",\"run_id\":\"r\","
                 "\"artifact_path\":\"b\"}",
                 "{\"run_id\": \"r\", \"artifact_path\": \"b\", \"utc_time_created\": \"t\","
                 " \"model_uuid\": null, \"flavors\": {\"x\": {\"k\": 3}}}");
}

static void test_times_are_what_str_makes_of_them(void **state)
{
    static const struct {
        const char *time, *want;
    } rows[] = {
        {"5", "5"},
        {"true", "True"},
        {"[1,\"a\",null]", "[1, 'a', None]"},
        {"\"\"", "2023-11-14 22:13:20.123000"},
        {"0.0", "2023-11-14 22:13:20.123000"},
        {"false", "2023-11-14 22:13:20.123000"},
        {"{}", "2023-11-14 22:13:20.123000"},
        {"null", "2023-11-14 22:13:20.123000"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++)
        assert_entry(arena_printf(&arena,
                                  "{\"flavors\":{},\"artifact_path\":\"a\",\"run_id\":\"r\","
                                  "\"utc_time_created\":%s}",
                                  rows[i].time)
                         .p,
                     arena_printf(&arena,
                                  "{\"run_id\": \"r\", \"artifact_path\": \"a\","
                                  " \"utc_time_created\": \"%s\", \"model_uuid\": null,"
                                  " \"flavors\": {}}",
                                  rows[i].want)
                         .p);
}

static void test_refusals(void **state)
{
    (void)state;
    assert_refused("{", "Malformed model info. \n { \n is not a valid JSON.");
    assert_refused("[]", "Model json must be a JSON object. Got a list.");
    assert_refused("{\"flavors\":{}}",
                   "Model json is missing mandatory fields: {'artifact_path', 'run_id',"
                   " 'utc_time_created'}");
    assert_refused("{\"flavors\":[],\"artifact_path\":1,\"run_id\":1,\"utc_time_created\":1}",
                   "The flavors of a model must be a JSON object. Got a list.");
}

static void test_a_malformed_text_is_quoted_with_its_nul(void **state)
{
    struct str entry;

    (void)state;
    fail_init(&why, &arena);
    assert_int_equal(model_tag_entry(&arena, STR("a\0b"), NOW, &entry, &why), ERR_BAD_PARAM);
    assert_true(str_eq(why.text, STR("Malformed model info. \n a\0b \n is not a valid JSON.")));
}

static void test_appending_writes_the_list_anew(void **state)
{
    struct str out;

    (void)state;
    fail_init(&why, &arena);
    assert_int_equal(model_tag_append(&arena, (struct str){NULL, 0}, STR("{}"), &out, &why), OK);
    assert_string_equal(out.p, "[{}]");
    assert_int_equal(
        model_tag_append(&arena, STR("[{ \"b\":1,\"a\" : [ ] }]"), STR("{}"), &out, &why), OK);
    assert_string_equal(out.p, "[{\"b\": 1, \"a\": []}, {}]");
    assert_int_equal(model_tag_append(&arena, STR("{}"), STR("{}"), &out, &why), ERR_INTERNAL);
    assert_int_equal(model_tag_append(&arena, STR(""), STR("{}"), &out, &why), ERR_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_entry_keeps_five_things_in_their_order),
        cmocka_unit_test(test_nulls_and_repeated_keys),
        cmocka_unit_test(test_times_are_what_str_makes_of_them),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_a_malformed_text_is_quoted_with_its_nul),
        cmocka_unit_test(test_appending_writes_the_list_anew),
    };
    int failed;

    arena_init(&arena, 4096);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&arena);
    return failed;
}
