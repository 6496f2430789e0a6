/* log: the form of a line, levels, and repeats. Standard error is a pipe meanwhile. */
#include "base/log.c"

#include "tests/unit/log_capture.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* The line from " level=" on, because the time differs; the time's form is checked here. */
static const char *logged_after_time(void)
{
    const char *text = logged();

    assert_int_equal(strncmp(text, "ts=2", 4), 0);
    assert_int_equal(text[13], 'T');
    assert_int_equal(text[22], '.');
    assert_int_equal(strncmp(text + 26, "Z level=", 8), 0);
    return text + 28;
}

static void test_the_documented_form(void **state)
{
    char expected[200];

    (void)state;
    log_warn("conn=2/117 peer=10.0.0.7", "body refused", "len=%d", 70000000);
    snprintf(expected, sizeof(expected),
             "level=warn at=test_log.c:%d conn=2/117 peer=10.0.0.7 msg=\"body refused\" "
             "len=70000000\n",
             __LINE__ - 4);
    assert_string_equal(logged_after_time(), expected);
}

static void test_every_kind_of_value(void **state)
{
    (void)state;
    log_info("", "x",
             "d=%d u=%u ld=%ld lu=%lu lld=%lld zu=%zu x=%#x c=%c f=%.2f s=%s cut=%.*s pct=%d%% "
             "wide=%05d hh=%hhu neg=%.*s",
             -1, 2u, -3L, 4ul, -5LL, (size_t)6, 255, 'q', 0.125, "two words", 3, "abcdef", 50, 42,
             (unsigned char)200, -1, "whole");
    assert_non_null(strstr(logged_after_time(),
                           " msg=x d=-1 u=2 ld=-3 lu=4 lld=-5 zu=6 x=0xff c=q f=0.12 "
                           "s=\"two words\" cut=abc pct=50% wide=00042 hh=200 neg=whole\n"));
}

static void test_errno_is_what_the_caller_left(void **state)
{
    (void)state;
    errno = ENOSPC;
    log_warn("", "x", "file=%s error=%m", "a b");
    assert_non_null(
        strstr(logged_after_time(), " msg=x file=\"a b\" error=\"No space left on device\"\n"));
}

static void test_values_cannot_forge_pairs_or_lines(void **state)
{
    (void)state;
    log_info("", "x", "path=%s len=%d", "a len=9\nts=1 level=error \"", 3);
    assert_non_null(
        strstr(logged_after_time(), " msg=x path=\"a len=9\\nts=1 level=error \\\"\" len=3\n"));
}

static void test_pairs_made_elsewhere(void **state)
{
    (void)state;
    log_info("", "none", "%s", "");
    assert_non_null(strstr(logged_after_time(), " msg=none\n"));
    log_info("", "some", "%s n=%d", "a=1 b=2", 3);
    assert_non_null(strstr(logged_after_time(), " msg=some a=1 b=2 n=3\n"));
}

static void test_long_values_are_cut_not_overrun(void **state)
{
    char *text = malloc(20001);
    const char *line;

    (void)state;
    memset(text, 'x', 20000);
    text[20000] = '\0';
    log_info("", "x", "a=%s b=%s%s c=%d", text, text, text, 7);
    line = logged();
    assert_true(strlen(line) < 3000);
    assert_non_null(strstr(line, "xxx...\" b=\"xxx"));
    assert_non_null(strstr(line, " c=7\n"));
    free(text);
}

static void test_json_lines(void **state)
{
    const char *line;

    (void)state;
    log_set_json(true);
    log_error("conn=1/2", "disk full", "path=%s errno=%d", "/a b", 28);
    line = logged();
    assert_int_equal(strncmp(line, "{\"ts\":\"2", 8), 0);
    assert_non_null(strstr(line, "\"level\":\"error\",\"at\":\"test_log.c:"));
    assert_non_null(
        strstr(line, "\"conn\":\"1/2\",\"msg\":\"disk full\",\"path\":\"/a b\",\"errno\":28}\n"));
}

static void test_levels(void **state)
{
    (void)state;
    log_debug("", "hidden", "%s", "");
    assert_string_equal(logged(), "");
    log_set_level(LOG_ERROR);
    log_info("", "hidden", "%s", "");
    log_warn("", "hidden", "%s", "");
    assert_string_equal(logged(), "");
    assert_true(log_is_on(LOG_ERROR));
    assert_false(log_is_on(LOG_WARN));
    log_error("", "shown", "%s", "");
    assert_non_null(strstr(logged(), "msg=shown"));
}

static void test_repeats_collapse_to_one_line_with_a_count(void **state)
{
    static struct log_site site = {.file = "x/conn.c", .line = 9, .level = LOG_WARN};
    const char *line;

    (void)state;
    for (int i = 0; i < 100; i++)
        log_line(&site, "", "repeat", "i=%d", i);
    line = logged();
    assert_non_null(strstr(line, "at=conn.c:9 msg=repeat i=0\n"));
    assert_null(strchr(line, '\n')[1] ? line : NULL);
    atomic_store(&site.next_us, clock_us()); /* the second is over */
    log_line(&site, "", "repeat", "i=%d", 100);
    assert_non_null(strstr(logged(), "msg=repeat suppressed=99 i=100\n"));
    assert_int_equal(site.suppressed, 0);
}

static void test_debug_lines_do_not_collapse(void **state)
{
    const char *line;

    (void)state;
    log_set_level(LOG_DEBUG);
    for (int i = 0; i < 3; i++)
        log_debug("", "each", "i=%d", i);
    line = logged();
    assert_non_null(strstr(line, "i=0\n"));
    assert_non_null(strstr(line, "i=1\n"));
    assert_non_null(strstr(line, "i=2\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_documented_form, log_capture_begin,
                                        log_capture_end),
        cmocka_unit_test_setup_teardown(test_every_kind_of_value, log_capture_begin,
                                        log_capture_end),
        cmocka_unit_test_setup_teardown(test_errno_is_what_the_caller_left, log_capture_begin,
                                        log_capture_end),
        cmocka_unit_test_setup_teardown(test_values_cannot_forge_pairs_or_lines, log_capture_begin,
                                        log_capture_end),
        cmocka_unit_test_setup_teardown(test_pairs_made_elsewhere, log_capture_begin,
                                        log_capture_end),
        cmocka_unit_test_setup_teardown(test_long_values_are_cut_not_overrun, log_capture_begin,
                                        log_capture_end),
        cmocka_unit_test_setup_teardown(test_json_lines, log_capture_begin, log_capture_end),
        cmocka_unit_test_setup_teardown(test_levels, log_capture_begin, log_capture_end),
        cmocka_unit_test_setup_teardown(test_repeats_collapse_to_one_line_with_a_count,
                                        log_capture_begin, log_capture_end),
        cmocka_unit_test_setup_teardown(test_debug_lines_do_not_collapse, log_capture_begin,
                                        log_capture_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
