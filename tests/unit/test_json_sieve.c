/*
 * Tests of auth/json_sieve.c: what goes, that what stays is the same, in pieces of any length.
 */
#include "gateway/auth/json_sieve.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

static const struct sieve_rule SOURCE = {{"trace", "trace_metadata", "mlflow.sourceRun", NULL},
                                         NULL};
static const struct sieve_rule MODEL = {{"trace", "trace_metadata", "mlflow.modelId", NULL}, NULL};
static const struct sieve_rule SAID = {{"traces", "*", "assessments", NULL}, NULL};
static const struct sieve_rule OLD = {
    {"traces", "*", "request_metadata", "=mlflow.sourceRun", NULL}, NULL};
static const struct sieve_rule TOP = {{"secret", NULL}, NULL};
static const struct sieve_rule *const rules[] = {&SOURCE, &MODEL, &SAID, &OLD, &TOP, NULL};

/* The text in pieces of so many bytes. */
static bool sift(const char *text, size_t piece, struct buf *out)
{
    struct json_sieve s;
    struct str rest = str_of(text);
    bool is_good = true;

    buf_reset(out);
    sieve_init(&s, rules, NULL);
    while (rest.n && is_good) {
        is_good = sieve_feed(&s, str_head(rest, piece), out);
        rest = str_skip(rest, piece < rest.n ? piece : rest.n);
    }
    sieve_fini(&s);
    return is_good;
}

static void gives(const char *text, const char *want)
{
    struct buf out;

    buf_init(&out);
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        assert_true(sift(text, piece, &out));
        assert_int_equal(buf_len(&out), strlen(want));
        assert_memory_equal(buf_str(&out).p, want, strlen(want));
    }
    buf_fini(&out);
}

static void test_members_go(void **state)
{
    (void)state;
    gives("{\"trace\": {\"trace_metadata\": {\"a\": \"1\", \"mlflow.sourceRun\": \"r\"}}, \"b\": "
          "[1, 2]}",
          "{\"trace\":{\"trace_metadata\":{\"a\":\"1\"}},\"b\":[1, 2]}");
    gives("{\"trace\":{\"trace_metadata\":{\"mlflow.sourceRun\":\"r\",\"a\":\"1\"}}}",
          "{\"trace\":{\"trace_metadata\":{\"a\":\"1\"}}}");
    gives("{\"trace\":{\"trace_metadata\":{\"mlflow.sourceRun\":\"r\",\"mlflow.modelId\":\"m\"}}}",
          "{\"trace\":{\"trace_metadata\":{}}}");
    gives("{\"secret\":{\"a\":[{}, \"}\"]},\"b\":true}", "{\"b\":true}");
    gives("{\"secret\":-1.5e3}", "{}");
    gives("{\"secret\":\"\\\"}\\\\\"}", "{}");
    gives(" {\n \"secret\" : null , \"b\" : 1 }\n", "{\"b\":1}");
}

/* A reader of the answer has them as the same names. */
static void test_escaped_names_are_those_of_rules(void **state)
{
    (void)state;
    gives("{\"\\u0073ecret\":1,\"s\\u0065\\u0063ret\":{\"x\":[]},\"b\":2}", "{\"b\":2}");
    gives("{\"tr\\u0061ces\":[{\"\\u0061ssessments\":[1],\"id\":\"1\"}]}",
          "{\"tr\\u0061ces\":[{\"id\":\"1\"}]}");
    gives("{\"\\\\u0073ecret\":1,\"secret\\\"\":2,\"\\ud800\":3}",
          "{\"\\\\u0073ecret\":1,\"secret\\\"\":2,\"\\ud800\":3}");
}

static void test_elements_are_looked_into(void **state)
{
    (void)state;
    gives("{\"traces\":[{\"assessments\":[{\"x\":1}],\"id\":\"1\"},{\"id\":\"2\"},7,[],{}]}",
          "{\"traces\":[{\"id\":\"1\"},{\"id\":\"2\"},7,[],{}]}");
    gives("{\"traces\":[]}", "{\"traces\":[]}");
}

static void test_elements_go_by_their_key(void **state)
{
    (void)state;
    gives("{\"traces\":[{\"request_metadata\":[{\"key\":\"a\",\"value\":\"1\"},"
          "{\"key\": \"mlflow.sourceRun\", \"value\": \"r\"},{\"value\":\"2\", \"key\":\"b\"}]}]}",
          "{\"traces\":[{\"request_metadata\":[{\"key\":\"a\",\"value\":\"1\"},{\"value\":\"2\", "
          "\"key\":\"b\"}]}]}");
    gives("{\"traces\":[{\"request_metadata\":[{\"value\":\"r\",\"key\":\"mlflow.sourceRun\"}]}]}",
          "{\"traces\":[{\"request_metadata\":[]}]}");
    gives("{\"traces\":[{\"request_metadata\":[1,\"mlflow.sourceRun\",null]}]}",
          "{\"traces\":[{\"request_metadata\":[1,\"mlflow.sourceRun\",null]}]}");
}

/* The same names where no rule looks. */
static void test_the_rest_is_the_same(void **state)
{
    (void)state;
    gives("{\"mlflow.sourceRun\":{\"secret\":{\"assessments\":[ ]}}}",
          "{\"mlflow.sourceRun\":{\"secret\":{\"assessments\":[ ]}}}");
    gives("{\"trace\":[{\"trace_metadata\":{\"mlflow.sourceRun\":1}}]}",
          "{\"trace\":[{\"trace_metadata\":{\"mlflow.sourceRun\":1}}]}");
    gives("{\"trace\":{\"trace_metadata\":{\"\\\"mlflow.sourceRun\":1,\"mlflow.sourceRu\":2}}}",
          "{\"trace\":{\"trace_metadata\":{\"\\\"mlflow.sourceRun\":1,\"mlflow.sourceRu\":2}}}");
    gives("[{\"secret\":1}]", "[{\"secret\":1}]");
    gives("\"secret\"", "\"secret\"");
    gives("[[[[[[[[[[[[1]]]]]]]]]]]]", "[[[[[[[[[[[[1]]]]]]]]]]]]");
}

static void test_long_names_and_elements(void **state)
{
    struct buf text, out;
    struct str held;

    (void)state;
    buf_init(&text);
    buf_init(&out);
    buf_add_str(&text, STR("{\"a\":1,\""));
    for (int i = 0; i < 3 * NAME_MOST; i++)
        buf_add_byte(&text, 'x');
    buf_add_str(&text, STR("\":{\"secret\":2},\"secret\":3}"));
    buf_add_byte(&text, '\0');
    for (size_t piece = 1; piece < 1000; piece += 37) {
        assert_true(sift(buf_str(&text).p, piece, &out));
        assert_int_equal(buf_len(&out), buf_len(&text) - 1 - strlen(",\"secret\":3"));
    }
    /* An element that is too long to be judged goes, and what it held is bounded. */
    buf_reset(&text);
    buf_add_str(&text, STR("{\"traces\":[{\"request_metadata\":[{\"key\":\"a\",\"value\":\""));
    for (int i = 0; i < 2 * SIEVE_HELD; i++)
        buf_add_byte(&text, 'x');
    buf_add_str(&text, STR("\"},{\"key\":\"b\"}]}]}"));
    buf_add_byte(&text, '\0');
    assert_true(sift(buf_str(&text).p, 4096, &out));
    held = STR("{\"traces\":[{\"request_metadata\":[{\"key\":\"b\"}]}]}");
    assert_true(str_eq(buf_str(&out), held));
    buf_fini(&out);
    buf_fini(&text);
}

static void test_what_is_no_json_is_refused(void **state)
{
    static const char *const bad[] = {
        "}",     "{,}",  "{\"a\"}", "{\"a\" 1}",  "{\"a\":}", "{\"a\":1]", "{a:1}",
        "[1 2]", "[1,]", "{}{}",    "{\"a\":1,}", "<html>{}", "{\"a\"::1}"};
    struct buf out;

    (void)state;
    buf_init(&out);
    for (size_t i = 0; i < array_len(bad); i++) {
        bool is_good = sift(bad[i], 1, &out);

        /* Beside all rules only brackets are counted. */
        assert_true(!is_good || bad[i][0] == '[' || bad[i][0] == '<');
    }
    buf_fini(&out);
}

static unsigned judged;

/* Rows without a "show" go; what is secret is taken out of those that stay. */
static enum sieve_verdict judge_row(void *about, yyjson_mut_doc *doc)
{
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);

    assert_ptr_equal(about, &judged);
    judged++;
    if (!yyjson_mut_obj_get(root, "show"))
        return SIEVE_GOES;
    return yyjson_mut_obj_remove_key(root, "secret") ? SIEVE_CHANGED : SIEVE_STAYS;
}

static enum sieve_verdict judge_value(void *about, yyjson_mut_doc *doc)
{
    (void)about;
    return yyjson_mut_obj_remove_key(yyjson_mut_doc_get_root(doc), "secret") ? SIEVE_CHANGED
                                                                             : SIEVE_STAYS;
}

static const struct sieve_rule ROWS = {{"rows", "*", NULL}, judge_row};
static const struct sieve_rule VALUE = {{"value", NULL}, judge_value};
static const struct sieve_rule ROOT = {{NULL}, judge_value};

static void judges(const struct sieve_rule *const *by, const char *text, const char *want)
{
    struct buf out;
    struct json_sieve s;

    buf_init(&out);
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        struct str rest = str_of(text);

        buf_reset(&out);
        sieve_init(&s, by, &judged);
        for (; rest.n; rest = str_skip(rest, piece < rest.n ? piece : rest.n))
            assert_true(sieve_feed(&s, str_head(rest, piece), &out));
        sieve_fini(&s);
        buf_add_byte(&out, '\0');
        assert_string_equal(buf_str(&out).p, want);
    }
    buf_fini(&out);
}

static void test_rows_and_values_have_judges(void **state)
{
    static const struct sieve_rule *const rows[] = {&ROWS, &VALUE, NULL};
    static const struct sieve_rule *const root[] = {&ROOT, NULL};

    (void)state;
    judges(rows,
           "{\"rows\":[{\"a\":1},{\"show\":1.50},{\"b\":{}},{\"show\":[ 2 "
           "],\"secret\":\"x\"}],\"n\":1}",
           "{\"rows\":[{\"show\":1.50},{\"show\":[2]}],\"n\":1}");
    judges(rows, "{\"rows\":[{\"a\":1}, 7, \"show\"]}", "{\"rows\":[]}");
    judges(rows, "{\"value\":{\"secret\":1,\"n\":12345678901234567890.0},\"rows\":[]}",
           "{\"value\":{\"n\":12345678901234567890.0},\"rows\":[]}");
    judges(rows, "{\"value\": 7 ,\"rows\":{\"*\":{}}}", "{\"value\":7,\"rows\":{\"*\":{}}}");
    judges(root, "{\"secret\":{\"rows\":[]},\"rows\":[{}]}", "{\"rows\":[{}]}");
    judges(root, "7", "7");
    judges(root, "null", "null");
    judges(root, "[{\"secret\": 1}]", "[{\"secret\": 1}]");
    assert_true(judged > 0);
}

/* A row that is too long ends the text: it is neither shown unseen nor left out unsaid. */
static void test_a_row_too_long_to_be_judged_ends_it(void **state)
{
    static const struct sieve_rule *const rows[] = {&ROWS, NULL};
    struct json_sieve s;
    struct buf out, text;

    (void)state;
    buf_init(&out);
    buf_init(&text);
    sieve_init(&s, rows, &judged);
    assert_true(sieve_feed(&s, STR("{\"rows\":[{\"show\":1,\"x\":\""), &out));
    for (size_t n = 0; n < SIEVE_JUDGED / 2; n++)
        buf_add_byte(&text, 'x');
    assert_true(sieve_feed(&s, buf_str(&text), &out));
    assert_false(sieve_feed(&s, buf_str(&text), &out));
    assert_true(buf_len(&s.held) <= SIEVE_JUDGED);
    assert_int_equal(buf_len(&out), strlen("{\"rows\":["));
    sieve_fini(&s);
    buf_fini(&text);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_go),
        cmocka_unit_test(test_escaped_names_are_those_of_rules),
        cmocka_unit_test(test_elements_are_looked_into),
        cmocka_unit_test(test_elements_go_by_their_key),
        cmocka_unit_test(test_the_rest_is_the_same),
        cmocka_unit_test(test_long_names_and_elements),
        cmocka_unit_test(test_what_is_no_json_is_refused),
        cmocka_unit_test(test_rows_and_values_have_judges),
        cmocka_unit_test(test_a_row_too_long_to_be_judged_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
