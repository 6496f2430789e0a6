/*
 * Tests of gateway/artifact/letter_choice.c: which letters go, and that no slip of the keyboard
 * takes all of them.
 */
#include "gateway/artifact/letter_choice.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { WORDS_MAX = 12 };

static const int64_t now_ms = 1800000000000; /* 2027-01-15T08:00:00Z */
static char *words[WORDS_MAX];
static struct fail f;

static struct deadletter letter(const char *run, const char *sqlstate, const char *reason,
                                int64_t time_ms)
{
    return (struct deadletter){.time_ms = time_ms,
                               .queue_id = STR("q"),
                               .pos = 7,
                               .run_id = str_of(run),
                               .sqlstate = str_of(sqlstate),
                               .reason = str_of(reason),
                               .record = STR("record")};
}

static err_t parse(struct letter_choice *c, const char *const *given)
{
    int n = 0;

    for (; given[n]; n++)
        words[n] = (char *)(uintptr_t)given[n];
    fail_init(&f, NULL);
    return letter_choice_parse(c, n, words, now_ms, &f);
}

#define PARSE(c, ...) parse((c), (const char *const[]){__VA_ARGS__, NULL})

static void test_words_in_any_order(void **state)
{
    struct letter_choice c;

    (void)state;
    assert_int_equal(PARSE(&c, "--run", "r1", "0123456789abcdef", "--yes", "--reason", "--all",
                           "ffffffffffffffff", "--since", "2h"),
                     OK);
    assert_string_equal(c.run, "r1");
    assert_string_equal(c.reason, "--all"); /* it is the value of --reason */
    assert_false(c.is_all);
    assert_true(c.is_sure);
    assert_int_equal(c.id_count, 2);
    assert_string_equal(c.ids[0], "0123456789abcdef");
    assert_string_equal(c.ids[1], "ffffffffffffffff");
    assert_int_equal(c.since_ms, now_ms - 2 * 3600 * 1000);
}

static void test_a_choice_names_something(void **state)
{
    struct letter_choice c;

    (void)state;
    assert_int_equal(PARSE(&c, NULL), OK);
    assert_false(letter_choice_is_made(&c));
    assert_int_equal(PARSE(&c, "--yes"), OK);
    assert_false(letter_choice_is_made(&c));
    assert_int_equal(PARSE(&c, "--all"), OK);
    assert_true(letter_choice_is_made(&c));
    assert_int_equal(PARSE(&c, "--since", "0"), OK);
    assert_true(letter_choice_is_made(&c));
    assert_int_equal(PARSE(&c, "--run", "r"), OK);
    assert_true(letter_choice_is_made(&c));
    assert_int_equal(PARSE(&c, "0123456789abcdef"), OK);
    assert_true(letter_choice_is_made(&c));
}

static void test_words_that_are_refused(void **state)
{
    static const char *const rows[] = {
        "0123456789abcde",
        "0123456789abcdef0",
        "0123456789ABCDEF",
        "0123456789abcdeg",
        "0x23456789abcdef0",
        "",
        "--run",
        "--reason",
        "--since",
        "--every",
        "-1",
        "--all=1",
    };
    struct letter_choice c;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        assert_int_equal(PARSE(&c, rows[i]), ERR_SETTING);
        assert_non_null(strstr(f.text.p, "is not the id of a letter"));
    }
    assert_int_equal(PARSE(&c, "--yes", "--reason", ""), ERR_SETTING);
    assert_string_equal(f.text.p, "--reason: want words of the reason, or a SQLSTATE");
}

static void test_since(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } rows[] = {
        {"90s", 1800000000000 - 90000},
        {"1500us", 1800000000000 - 1},
        {"0", 1800000000000},
        {"18446744073709551615us", 1800000000000 - 18446744073709551},
        {"18446744073709551616us", -1},
        {"584942417y", -1},
        {"-2h", -1},
        {"2", -1},
        {"h", -1},
        {"", -1},
        {"1970-01-01", 0},
        {"1969-12-31", -1},
        {"26-01-31", -1},
        {"2026-01-31", 1769817600000},
        {"2026-01-31T12:00", 1769860800000},
        {"2026-01-31T12:00:01", 1769860801000},
        {"2026-01-31T12:00:01Z", 1769860801000},
        {"2024-02-29", 1709164800000},
        {"2026-02-29", -1},
        {"2026-02-31", -1},
        {"2026-04-31T12:00", -1},
        {"2026-12-31T23:59:60Z", 1798761600000}, /* a leap second */
        {"2026-13-01", -1},
        {"2026-00-01", -1},
        {"2026-01-00", -1},
        {"2026-01-31T24:00", -1},
        {"2026-01-31T12:00Z", -1},
        {"2026-01-31T12:00:00+02:00", -1},
        {"2026-01-31 12:00", -1},
        {"2026-01-31x", -1},
        {"2026-01", -1},
    };
    struct letter_choice c;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        err_t e = PARSE(&c, "--since", rows[i].text);

        assert_int_equal(e, rows[i].ms == -1 ? ERR_SETTING : OK);
        if (e == OK)
            assert_int_equal(c.since_ms, rows[i].ms);
    }
}

static void test_every_kind_of_condition_must_fit(void **state)
{
    struct deadletter d =
        letter("r1", "23503", "violates the Constraint \"runs_fk\"", now_ms - 1000);
    char id[LETTER_ID];
    struct letter_choice c;

    (void)state;
    letter_id_text(deadletter_id(&d), id);
    assert_int_equal(PARSE(&c, "--run", "r1", "--reason", "constraint", "--since", "1s", id), OK);
    assert_true(letter_choice_takes(&c, &d));
    assert_int_equal(PARSE(&c, "--run", "r1", "--reason", "constraint", "--since", "999ms", id),
                     OK);
    assert_false(letter_choice_takes(&c, &d));
    assert_int_equal(PARSE(&c, "--run", "r", "--reason", "constraint", id), OK);
    assert_false(letter_choice_takes(&c, &d));
    assert_int_equal(PARSE(&c, "--run", "r1", "--reason", "constraints", id), OK);
    assert_false(letter_choice_takes(&c, &d));
    assert_int_equal(PARSE(&c, "--run", "r1", "0123456789abcdef"), OK);
    assert_false(letter_choice_takes(&c, &d));
    assert_int_equal(PARSE(&c, "0123456789abcdef", id), OK);
    assert_true(letter_choice_takes(&c, &d));
    assert_int_equal(PARSE(&c, "--all"), OK);
    assert_true(letter_choice_takes(&c, &d));
}

static void test_words_of_the_reason(void **state)
{
    static const struct {
        const char *words, *sqlstate, *reason;
        bool takes;
    } rows[] = {
        {"last", "", "the last", true},       {"lastx", "", "the last", false},
        {"THE", "", "the last", true},        {"the last", "", "the last", true},
        {"the  last", "", "the last", false}, {"x", "", "", false},
        {"23503", "23503", "", true},         {"2350", "23503", "", false},
        {"23503", "", "code 23503", true},    {"abcdefghij", "", "abc", false},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct deadletter d = letter("r", rows[i].sqlstate, rows[i].reason, now_ms);
        struct letter_choice c;

        assert_int_equal(PARSE(&c, "--reason", rows[i].words), OK);
        assert_int_equal(letter_choice_takes(&c, &d), rows[i].takes);
    }
}

static void test_an_id_has_sixteen_digits(void **state)
{
    char text[LETTER_ID];

    (void)state;
    letter_id_text(0, text);
    assert_string_equal(text, "0000000000000000");
    letter_id_text(UINT64_MAX, text);
    assert_string_equal(text, "ffffffffffffffff");
    assert_true(choice_is_id(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_in_any_order),
        cmocka_unit_test(test_a_choice_names_something),
        cmocka_unit_test(test_words_that_are_refused),
        cmocka_unit_test(test_since),
        cmocka_unit_test(test_every_kind_of_condition_must_fit),
        cmocka_unit_test(test_words_of_the_reason),
        cmocka_unit_test(test_an_id_has_sixteen_digits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
