/* artifact_header: held against MLflow 3.17.2 on Python 3.11 and Starlette. */
#include "gateway/artifact/artifact_header.c"

#include "tests/unit/arena_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static bool same(const char *x, const char *y)
{
    return x == NULL || y == NULL ? x == y : strcmp(x, y) == 0;
}

static void test_types_are_those_of_python(void **state)
{
    static const struct {
        const char *name, *type, *guess, *encoding;
    } rows[] = {
        {"f.txt", "text/plain", "text/plain", NULL},
        {"MLmodel", "text/plain", NULL, NULL},
        {"a.tar.gz", "application/x-tar", "application/x-tar", "gzip"},
        {"a.tgz", "application/x-tar", "application/x-tar", "gzip"},
        {"x.svgz", "image/svg+xml", "image/svg+xml", "gzip"},
        {"A.PNG", "image/png", "image/png", NULL},
        {".hidden", "application/octet-stream", NULL, NULL},
        {"..png", "application/octet-stream", NULL, NULL},
        {"a.", "application/octet-stream", NULL, NULL},
        {"x.pkl", "application/octet-stream", NULL, NULL},
        {"m.html", "text/html", "text/html", NULL},
        {"a.JSON", "application/json", "application/json", NULL},
        {"a.json.gz", "application/json", "application/json", "gzip"},
        {"a.Z", "application/octet-stream", NULL, "compress"},
        {"noext", "application/octet-stream", NULL, NULL},
        {".txt", "application/octet-stream", NULL, NULL},
        {"x.csv.bz2", "text/csv", "text/csv", "bzip2"},
        {"a.b.pdf", "application/pdf", "application/pdf", NULL},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        const char *encoding;
        const char *guess = artifact_header_guess(&arena, str_of(rows[i].name), &encoding);
        const char *type = artifact_header_type(&arena, str_of(rows[i].name));

        if (!same(type, rows[i].type) || !same(guess, rows[i].guess) ||
            !same(encoding, rows[i].encoding))
            fail_msg("%s: %s, %s, %s", rows[i].name, type, guess, encoding);
    }
    for (size_t i = 1; i < array_len(types); i++)
        assert_true(strcmp(types[i - 1].ending, types[i].ending) < 0);
}

static void test_no_name_leaves_its_line(void **state)
{
    static const struct {
        const char *name, *value;
    } rows[] = {
        {"f.txt", "attachment; filename=f.txt"},
        {"a b.txt", "attachment; filename=\"a b.txt\""},
        {"a\"b\\c", "attachment; filename=\"a\\\"b\\\\c\""},
        {"a;b", "attachment; filename=\"a;b\""},
        {"a%00b", "attachment; filename=a%00b"},
        {"50%.txt", "attachment; filename=50%.txt"},
        {"it's(1).txt", "attachment; filename=\"it's(1).txt\""},
        {"\xe4\xbd\xa0.txt", "attachment; filename=.txt; filename*=UTF-8''%E4%BD%A0.txt"},
        {"\xe6\x97\xa5", "attachment; filename=download; filename*=UTF-8''%E6%97%A5"},
        {"a\r\nSet-Cookie: x", "attachment; filename=\"aSet-Cookie: x\"; "
                               "filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str value = artifact_header_disposition(&arena, str_of(rows[i].name));

        if (!str_eq(value, str_of(rows[i].value)))
            fail_msg("%s: %.*s", rows[i].name, STR_ARG(value));
    }
    assert_true(str_eq(artifact_header_date(&arena, 1795880174252139), STR("Sat, 28 Nov 2026 "
                                                                           "15:36:14 GMT")));
}

static void test_ranges_are_read_as_by_starlette(void **state)
{
    static const struct {
        const char *field;
        enum range_kind kind;
        uint64_t from, n;
    } rows[] = {
        {"bytes=0-1", RANGE_PART, 0, 2},
        {"bytes=1-", RANGE_PART, 1, 4},
        {"bytes=-2", RANGE_PART, 3, 2},
        {"bytes=5-", RANGE_BEYOND, 0, 0},
        {"bytes=4-100", RANGE_PART, 4, 1},
        {"bytes=3-1", RANGE_MALFORMED, 0, 0},
        {"bytes=a-b", RANGE_MALFORMED, 0, 0},
        {"chars=0-1", RANGE_MALFORMED, 0, 0},
        {"bytes=", RANGE_MALFORMED, 0, 0},
        {"bytes", RANGE_MALFORMED, 0, 0},
        {"bytes=-", RANGE_MALFORMED, 0, 0},
        {"bytes=-0", RANGE_BEYOND, 0, 0},
        {"bytes=0-99999999999999999999999", RANGE_PART, 0, 5},
        {"bytes=99999999999999999999999-", RANGE_BEYOND, 0, 0},
        {"bytes=-99999999999999999999999", RANGE_PART, 0, 5},
        {"bytes=0-1,0-1,0-1", RANGE_PART, 0, 2},
        {"bytes=0-1,2-3", RANGE_PART, 0, 4},
        {"bytes=0-0,2-3", RANGE_WHOLE, 0, 0},
        {"Bytes = 0-1", RANGE_PART, 0, 2},
        {"bytes= 0 - 1 ,", RANGE_PART, 0, 2},
        {"bytes=-99", RANGE_PART, 0, 5},
        {"bytes=0-1,99-", RANGE_BEYOND, 0, 0},
        {"bytes=x,0-1", RANGE_PART, 0, 2},
    };
    char many[600] = "bytes=";
    const char *words;
    uint64_t from, n;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        enum range_kind kind;

        from = n = 0;
        kind = artifact_header_range(str_of(rows[i].field), 5, &from, &n, &words);
        if (kind != rows[i].kind ||
            (kind == RANGE_PART && (from != rows[i].from || n != rows[i].n)))
            fail_msg("%s: %d, %llu, %llu", rows[i].field, kind, (unsigned long long)from,
                     (unsigned long long)n);
    }
    for (int i = 0; i < 101; i++)
        strcat(many, "0-0,");
    assert_int_equal(artifact_header_range(str_of(many), 5, &from, &n, &words), RANGE_WHOLE);
    assert_int_equal(artifact_header_range(STR("bytes=0-"), 0, &from, &n, &words), RANGE_BEYOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_are_those_of_python),
        cmocka_unit_test(test_no_name_leaves_its_line),
        cmocka_unit_test(test_ranges_are_read_as_by_starlette),
    };

    return cmocka_run_group_tests(tests, arena_begin, arena_end);
}
