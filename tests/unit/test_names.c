/* names: MLflow's rules; the messages are what MLflow 3.17.2 answered. */
#include "ingest/names.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

static const char bad_characters[] =
    "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), "
    "colon(:) and slashes (/).";

static void assert_fails(err_t e, const struct fail *f, const char *want)
{
    assert_int_equal(e, ERR_BAD_PARAM);
    if (!str_eq(f->text, str_of(want)))
        fail_msg("got  %.*s\nwant %s", STR_ARG(f->text), want);
}

static void test_good_keys(void **state)
{
    static const struct str good[] = {
        STR_INIT("loss"),         STR_INIT("a/b/c"), STR_INIT(".a"),
        STR_INIT("a.."),          STR_INIT(" "),     STR_INIT("a b:c-d_"),
        STR_INIT("a/.b"),         STR_INIT("x\n"),   STR_INIT("\n"),
        STR_INIT(".\n"),          STR_INIT("a/..b"), STR_INIT("\xc3\xa9t\xc3\xa9"),
        STR_INIT("\xe2\x85\xa7"),
    };

    (void)state;
    for (size_t i = 0; i < array_len(good); i++) {
        struct fail f;

        fail_init(&f, NULL);
        assert_int_equal(names_check_key(good[i], "name", &f), OK);
    }
}

static void test_bad_characters(void **state)
{
    static const struct {
        struct str key;
        const char *quoted;
    } bad[] = {
        {STR_INIT("a@b"), "\"a@b\""},
        {STR_INIT("a\n\n"), "\"a\\n\\n\""},
        {STR_INIT("\na"), "\"\\na\""},
        {STR_INIT("a\0"), "\"a\\u0000\""},
        {STR_INIT("e\xcc\x81"), "\"e\\u0301\""},
        {STR_INIT("\xf0\x9f\x98\x80"), "\"\\ud83d\\ude00\""},
    };
    struct arena a;

    (void)state;
    arena_init(&a, 1024);
    for (size_t i = 0; i < array_len(bad); i++) {
        struct fail f;
        struct str want = arena_printf(&a,
                                       "Invalid value %s for parameter 'metrics[2].name' "
                                       "supplied: %s",
                                       bad[i].quoted, bad_characters);

        fail_init(&f, &a);
        assert_fails(names_check_key(bad[i].key, "metrics[2].name", &f), &f, want.p);
    }
    arena_fini(&a);
}

static void test_bad_paths(void **state)
{
    static const struct {
        struct str key;
        const char *normal;
    } bad[] = {
        {STR_INIT(""), "."},
        {STR_INIT("."), "."},
        {STR_INIT("a/"), "a"},
        {STR_INIT("a//b"), "a/b"},
        {STR_INIT("./a"), "a"},
        {STR_INIT("a/./b"), "a/b"},
        {STR_INIT(".."), ".."},
        {STR_INIT("..a"), "..a"},
        {STR_INIT("..."), "..."},
        {STR_INIT("/a"), "/a"},
        {STR_INIT("//a"), "//a"},
        {STR_INIT("///a"), "/a"},
        {STR_INIT("a/.."), "."},
        {STR_INIT("a/../b"), "b"},
        {STR_INIT("a/../.."), ".."},
        {STR_INIT("/.."), "/"},
        {STR_INIT("../../a"), "../../a"},
        {STR_INIT("a/b/../../c"), "c"},
    };
    struct arena a;

    (void)state;
    arena_init(&a, 1024);
    for (size_t i = 0; i < array_len(bad); i++) {
        struct fail f;
        struct str want = arena_printf(
            &a,
            "Invalid value \"%s\" for parameter 'key' supplied: Names may be treated as files in "
            "certain cases, and must not resolve to other names when treated as such. This name "
            "would resolve to '%s'",
            bad[i].key.p, bad[i].normal);

        fail_init(&f, &a);
        assert_fails(names_check_key(bad[i].key, "key", &f), &f, want.p);
        assert_false(names_is_plain(bad[i].key));
    }
    arena_fini(&a);
}

/* Whatever is plain passes the whole rule: all names of up to 5 of these characters. */
static void test_plain_names_are_good(void **state)
{
    static const char set[] = "a./ @:\n";
    size_t plain = 0;

    (void)state;
    for (unsigned code = 0; code < 7 * 7 * 7 * 7 * 7; code++) {
        char key[5];
        unsigned rest = code;

        for (size_t i = 0; i < 5; i++, rest /= 7)
            key[i] = set[rest % 7];
        for (size_t n = 1; n <= 5; n++) {
            struct str s = {key, n};
            struct fail f;

            fail_init(&f, NULL);
            if (names_is_plain(s)) {
                plain++;
                assert_int_equal(names_check_key(s, "key", &f), OK);
            }
        }
    }
    assert_true(plain > 1000);
    assert_true(names_is_plain(STR("train/loss_1")));
}

static void test_lengths_count_code_points(void **state)
{
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(names_length(STR("a\xc3\xa9\xf0\x9f\x98\x80")), 3);
    assert_int_equal(names_cut(STR("a\xc3\xa9\xf0\x9f\x98\x80"), 2).n, 3);
    assert_int_equal(names_cut(STR("abc"), 3).n, 3);
    assert_int_equal(names_cut(STR("\xc3\xa9\xc3\xa9"), 3).n, 4);
    assert_int_equal(names_cut(STR("abc"), 0).n, 0);
    assert_int_equal(names_check_length(STR("\xc3\xa9\xc3\xa9"), 2, "key", &f), OK);
    assert_fails(names_check_length(STR("abc"), 2, "Metric name", &f), &f,
                 "'Metric name' exceeds the maximum length of 2 characters");
}

static void test_long_names(void **state)
{
    static char text[3 * NAMES_QUOTE_MAX];
    struct arena a;
    struct fail f;

    (void)state;
    arena_init(&a, 1024);
    fail_init(&f, &a);
    memset(text, 'k', sizeof(text));
    assert_false(names_is_plain((struct str){text, LIMIT_KEY + 1}));
    assert_true(names_is_plain((struct str){text, LIMIT_KEY}));
    assert_int_equal(names_check_key((struct str){text, LIMIT_KEY + 1}, "key", &f), OK);
    text[0] = '@';
    assert_int_equal(names_check_key((struct str){text, sizeof(text)}, "key", &f), ERR_BAD_PARAM);
    assert_true(f.text.n < NAMES_QUOTE_MAX + 300);
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = "ab/../"[i % 6];
    assert_int_equal(names_check_key((struct str){text, sizeof(text)}, "key", &f), ERR_BAD_PARAM);
    arena_fini(&a);
}

static void test_run_ids(void **state)
{
    static char text[258];
    static const struct str good[] = {STR_INIT("a"), STR_INIT("0123456789abcdef"), STR_INIT("a-_Z"),
                                      STR_INIT("a\n"), STR_INIT("a\xc3\xa9")};
    static const struct str bad[] = {STR_INIT(""),     STR_INIT("\n"),       STR_INIT("-a"),
                                     STR_INIT("_a"),   STR_INIT("\xc3\xa9"), STR_INIT("a b"),
                                     STR_INIT("a\n\n")};
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    for (size_t i = 0; i < array_len(good); i++)
        assert_int_equal(names_check_run_id(good[i], &f), OK);
    for (size_t i = 0; i < array_len(bad); i++)
        assert_int_equal(names_check_run_id(bad[i], &f), ERR_BAD_PARAM);
    assert_fails(names_check_run_id(STR("no/pe"), &f), &f,
                 "Invalid value \"no/pe\" for parameter 'run_id' supplied.");
    assert_fails(names_check_run_id(STR(""), &f), &f,
                 "Invalid value \"\" for parameter 'run_id' supplied.");
    memset(text, 'a', sizeof(text));
    assert_int_equal(names_check_run_id((struct str){text, 256}, &f), OK);
    assert_int_equal(names_check_run_id((struct str){text, 257}, &f), ERR_BAD_PARAM);
}

static void test_timestamps(void **state)
{
    struct arena a;
    struct fail f;

    (void)state;
    arena_init(&a, 1024);
    fail_init(&f, &a);
    assert_int_equal(names_check_timestamp(0, 1, STR("k"), "timestamp", &f), OK);
    assert_fails(names_check_timestamp(-1, 1, STR("k"), "timestamp", &f), &f,
                 "Invalid value -1 for parameter 'timestamp' supplied: metric 'k' (value=1.0). "
                 "Timestamp must be a nonnegative long (64-bit integer) ");
    assert_fails(
        names_check_timestamp(INT64_MIN, -INFINITY, STR("\xc3\xa9"), "metrics[7].timestamp", &f),
        &f,
        "Invalid value -9223372036854775808 for parameter 'metrics[7].timestamp' supplied: "
        "metric '\xc3\xa9' (value=-inf). Timestamp must be a nonnegative long (64-bit "
        "integer) ");
    arena_fini(&a);
}

static void test_nul_is_refused(void **state)
{
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(names_check_nul((struct str){NULL, 0}, &f), OK);
    assert_int_equal(names_check_nul(STR("abc"), &f), OK);
    assert_int_equal(names_check_nul(STR("a\0c"), &f), ERR_BAD_REQUEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_keys),
        cmocka_unit_test(test_bad_characters),
        cmocka_unit_test(test_bad_paths),
        cmocka_unit_test(test_plain_names_are_good),
        cmocka_unit_test(test_lengths_count_code_points),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_run_ids),
        cmocka_unit_test(test_timestamps),
        cmocka_unit_test(test_nul_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
