/*
 * Tests of gateway/search/search_page.c: where a page ends and the next one begins, at the edges of
 * max_results.
 */
#include "gateway/search/search_page.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/base64.h"
#include "tests/unit/rows.h"

static struct req req;
static struct fail f;

static int setup(void **state)
{
    (void)state;
    memset(&req, 0, sizeof(req));
    arena_init(&req.arena, 1024);
    buf_init(&req.reply.headers);
    buf_init(&req.reply.body);
    fail_init(&f, &req.arena);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_fini(&req.reply.body);
    buf_fini(&req.reply.headers);
    arena_fini(&req.arena);
    return 0;
}

static PGresult *keys(int n)
{
    const char *cells[64];

    for (int i = 0; i < n; i++)
        cells[i] = "key";
    return rows_of(1, cells, (size_t)n);
}

/* max_results, keys that came, keys that are shown, the next page's place behind offset 100; -1:
 * none */
static const int64_t pages[][4] = {
    {2, 0, 0, -1},  {2, 1, 1, -1}, {2, 2, 2, -1},  {2, 3, 2, 102}, {1, 1, 1, -1},
    {1, 2, 1, 101}, {0, 0, 0, -1}, {0, 1, 0, 100}, {-1, 0, 0, 99},
};

static void test_a_page_ends_before_the_key_too_many(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(pages); i++) {
        struct search_page p = {.max_results = pages[i][0]};
        struct str token = bind_make_page_token(&req.arena, 100);
        PGresult *res = keys((int)pages[i][1]);

        assert_int_equal(search_page_token(&req.arena, &p, token, &f), OK);
        assert_int_equal(p.search.offset, 100);
        assert_int_equal(p.search.limit, pages[i][0] + 1);
        assert_int_equal(search_page_take(&p, res), pages[i][2]);
        assert_int_equal(p.has_more, pages[i][3] != -1);
        if (p.has_more)
            assert_int_equal(p.search.offset + search_page_step(&p), pages[i][3]);
        PQclear(res);
    }
}

static void test_a_page_that_was_filled_from_several_goes_on_behind_them(void **state)
{
    struct search_page p = {.max_results = 10, .shown = 37};

    (void)state;
    assert_int_equal(search_page_step(&p), 37);
    p.shown = 0;
    assert_int_equal(search_page_step(&p), 10);
}

static const char *ended(struct search_page *p)
{
    struct json j;

    buf_reset(&req.reply.body);
    json_init(&j, &req.reply.body, JSON_COMPACT);
    json_open(&j);
    assert_int_equal(search_page_end(&req, p, &j), OK);
    assert_int_equal(req.reply.status, 200);
    return arena_cstr(&req.arena, buf_str(&req.reply.body));
}

static void test_the_token_at_the_end(void **state)
{
    struct search_page p = {.max_results = 5, .search.offset = 10};
    struct str want;

    (void)state;
    assert_string_equal(ended(&p), "{}");
    p.is_run_out = true;
    assert_string_equal(ended(&p), "{\"next_page_token\":\"\"}");
    p.has_more = true;
    want = arena_printf(&req.arena, "{\"next_page_token\":\"%.*s\"}",
                        STR_ARG(base64_encode(&req.arena, STR("{\"offset\": 15}"))));
    assert_string_equal(ended(&p), want.p);
}

static void test_tokens_that_are_none(void **state)
{
    struct str list = base64_encode(&req.arena, STR("[1]"));
    struct search_page p = {.max_results = 5};

    (void)state;
    assert_int_equal(search_page_token(&req.arena, &p, list, &f), ERR_INTERNAL);
    assert_string_equal(f.text.p, "'list' object has no attribute 'get'");
    assert_int_equal(search_page_registry_token(&req.arena, &p, list, &f), ERR_BAD_PARAM);
    assert_string_equal(f.text.p, "'list' object has no attribute 'get'");
    assert_int_equal(search_page_registry_token(&req.arena, &p, STR("!"), &f), ERR_BAD_PARAM);
    assert_int_equal(search_page_registry_token(&req.arena, &p, STR(""), &f), OK);
    assert_int_equal(p.search.offset, 0);
}

static void test_more_values_than_a_statement_takes(void **state)
{
    struct search_page p = {.max_results = 5};

    (void)state;
    p.query.nvalues = SQL_VALUES_MAX + 1;
    assert_int_equal(search_page_ask(&req, &p, NULL, &f), ERR_BAD_PARAM);
    assert_string_equal(f.text.p,
                        "The filter and order_by hold 8193 values; at most 8192 are taken.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_page_ends_before_the_key_too_many),
        cmocka_unit_test(test_a_page_that_was_filled_from_several_goes_on_behind_them),
        cmocka_unit_test(test_the_token_at_the_end),
        cmocka_unit_test(test_tokens_that_are_none),
        cmocka_unit_test(test_more_values_than_a_statement_takes),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
