/* Tests of ingest/model_names.c: each rule's two sides, and MLflow's words. */
#include "ingest/model_names.c"

#include "tests/unit/arena_fixture.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"

static void assert_refused(err_t e, err_t want, const char *message)
{
    assert_int_equal(e, want);
    if (!str_eq(why.text, str_of(message)))
        fail_msg("said %.*s\nwanted %s", STR_ARG(why.text), message);
}

/* n letters and what follows */
static struct str long_text(size_t n, const char *tail)
{
    char *text = arena_alloc(&arena, n + strlen(tail) + 1);

    memset(text, 'x', n);
    strcpy(text + n, tail);
    return str_of(text);
}

static void test_names(void **state)
{
    static const char *const good[] = {"m",    " m ",      "a.",   "a..b", "a%2Fb",
                                       "a\\b", "\xC3\xA9", "a\nb", ".x"};
    static const struct {
        const char *name, *message;
    } bad[] = {
        {"", "Missing value for required parameter 'name'."},
        {" \t\xC2\xA0", "Missing value for required parameter 'name'."},
        {"a/b", "Invalid model name 'a/b'. Names cannot contain '/' or ':'."},
        {":", "Invalid model name ':'. Names cannot contain '/' or ':'."},
        {".", "Invalid value \".\" for parameter 'name' supplied: Names may be treated as files in "
              "certain cases, and must not resolve to other names when treated as such. This name "
              "would resolve to '.'"},
        {"..x", "Invalid value \"..x\" for parameter 'name' supplied: Names may be treated as "
                "files in certain cases, and must not resolve to other names when treated as such. "
                "This name would resolve to '..x'"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(good); i++)
        assert_int_equal(model_names_check(str_of(good[i]), &why), OK);
    for (size_t i = 0; i < array_len(bad); i++)
        assert_refused(model_names_check(str_of(bad[i].name), &why), ERR_BAD_PARAM, bad[i].message);
    assert_refused(model_names_check_new(STR(" "), &why), ERR_BAD_PARAM,
                   "Missing value for required parameter 'new_name'.");
    assert_refused(model_names_check_new(STR("a:b"), &why), ERR_BAD_PARAM,
                   "Invalid model name 'a:b'. Names cannot contain '/' or ':'.");
}

static void test_tags(void **state)
{
    struct str most = long_text(LIMIT_REGISTRY_TAG, "");
    struct str more = long_text(LIMIT_REGISTRY_TAG, "\xC3\xA9");

    (void)state;
    assert_int_equal(model_names_check_tag(STR("a/b"), most, &why), OK);
    assert_int_equal(model_names_check_version_tag(STR(PROMPT_TEXT), most, &why), OK);
    assert_refused(model_names_check_tag(STR("k"), more, &why), ERR_BAD_PARAM,
                   "'value' exceeds the maximum length of 100000 characters");
    assert_refused(model_names_check_tag(STR(PROMPT_TEXT), more, &why), ERR_BAD_PARAM,
                   "'value' exceeds the maximum length of 100000 characters");
    assert_refused(model_names_check_version_tag(STR(PROMPT_TEXT), more, &why), ERR_BAD_PARAM,
                   "Prompt text exceeds max length of 100000 characters.");
    assert_refused(model_names_check_version_tag(STR("k"), more, &why), ERR_BAD_PARAM,
                   "'value' exceeds the maximum length of 100000 characters");
    assert_refused(model_names_check_tag(long_text(250, "k"), more, &why), ERR_BAD_PARAM,
                   "'key' exceeds the maximum length of 250 characters");
    assert_refused(model_names_check_tag(STR("k,"), more, &why), ERR_BAD_PARAM,
                   "Invalid value \"k,\" for parameter 'key' supplied: Names may only contain "
                   "alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) "
                   "and slashes (/).");
}

static void test_aliases(void **state)
{
    static const char *const good[] = {"a", "champion-1_b", "\xC3\xA9", "v", "v1x", "xv1", "a\n"};
    static const char *const reserved[] = {"v1", "V0", "v\xD9\xA3", "v12\n"};
    static const char *const bad[] = {"a b", "a.b", "a\n\n", "a/", "\n\n"};

    (void)state;
    for (size_t i = 0; i < array_len(good); i++)
        assert_int_equal(model_names_check_new_alias(str_of(good[i]), &why), OK);
    for (size_t i = 0; i < array_len(reserved); i++) {
        assert_int_equal(model_names_check_alias(str_of(reserved[i]), &why), OK);
        assert_refused(model_names_check_new_alias(str_of(reserved[i]), &why), ERR_BAD_PARAM,
                       arena_printf(&arena, "Version alias name '%s' is reserved.", reserved[i]).p);
    }
    for (size_t i = 0; i < array_len(bad); i++)
        assert_refused(model_names_check_alias(str_of(bad[i]), &why), ERR_BAD_PARAM,
                       arena_printf(&arena,
                                    "Invalid alias name: '%s'. Names may only contain "
                                    "alphanumerics, underscores (_), and dashes (-).",
                                    bad[i])
                           .p);
    assert_int_equal(model_names_check_alias(STR("LATEST"), &why), OK);
    assert_refused(model_names_check_new_alias(STR("LaTest"), &why), ERR_BAD_PARAM,
                   "'latest' alias name (case insensitive) is reserved.");
    assert_refused(model_names_check_alias(STR(""), &why), ERR_BAD_PARAM,
                   "Registered model alias name cannot be empty.");
    assert_int_equal(model_names_check_alias(long_text(254, "\xC3\xA9"), &why), OK);
    assert_refused(model_names_check_alias(long_text(255, "a"), &why), ERR_BAD_PARAM,
                   "'Registered model alias name' exceeds the maximum length of 255 characters");
}

static void test_versions(void **state)
{
    static const struct {
        const char *text;
        int32_t version;
    } good[] = {{"1", 1},   {" +07 ", 7},    {"1_0", 10},
                {"-2", -2}, {"\xD9\xA3", 3}, {"2147483647", INT32_MAX}};
    static const char *const bad[] = {"", "1.0", "x", "1 2", "0x1"};
    static const char *const beyond[] = {"2147483648", "-2147483649", "99999999999999999999"};
    int32_t version;

    (void)state;
    for (size_t i = 0; i < array_len(good); i++) {
        assert_int_equal(model_names_version(str_of(good[i].text), &version, &why), OK);
        assert_int_equal(version, good[i].version);
    }
    for (size_t i = 0; i < array_len(bad); i++)
        assert_refused(
            model_names_version(str_of(bad[i]), &version, &why), ERR_BAD_PARAM,
            arena_printf(&arena, "Parameter 'version' must be an integer, got '%s'.", bad[i]).p);
    for (size_t i = 0; i < array_len(beyond); i++)
        assert_int_equal(model_names_version(str_of(beyond[i]), &version, &why), ERR_BAD_REQUEST);
}

static void test_stages(void **state)
{
    struct str stage;

    (void)state;
    assert_int_equal(model_names_stage(STR("sTAGING"), &stage, &why), OK);
    assert_true(str_eq(stage, STR("Staging")));
    assert_int_equal(model_names_stage(STR("NONE"), &stage, &why), OK);
    assert_true(str_eq(stage, STR("None")));
    assert_refused(model_names_stage(STR(" Staging"), &stage, &why), ERR_BAD_PARAM,
                   "Invalid Model Version stage:  Staging. Value must be one of None, Staging, "
                   "Production, Archived.");
    assert_int_equal(model_names_stage(STR("Deleted_Internal"), &stage, &why), ERR_BAD_PARAM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, arena_begin, arena_end),
        cmocka_unit_test_setup_teardown(test_tags, arena_begin, arena_end),
        cmocka_unit_test_setup_teardown(test_aliases, arena_begin, arena_end),
        cmocka_unit_test_setup_teardown(test_versions, arena_begin, arena_end),
        cmocka_unit_test_setup_teardown(test_stages, arena_begin, arena_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
