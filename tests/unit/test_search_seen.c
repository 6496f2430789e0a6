/*
 * Tests of search/search_seen.c: which rows a page shows to somebody who may not see all, and where the next one
 * begins. Rows are letters: y shows, n does not.
 */
#include "gateway/search/search_seen.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/rows.h"

static struct req req;
static struct search_batch batch;
static bool is_started, asks_more, hides;

bool may_hides(const struct req *r)
{
    (void)r;
    return hides;
}

void reply_json(struct req *r, struct json *j)
{
    json_init(j, &r->reply.body, JSON_COMPACT);
}

err_t search_batch_start(struct req *r, struct fail *f)
{
    (void)r;
    (void)f;
    is_started = true;
    return OK;
}

err_t req_more_rows(struct req *r, req_step next)
{
    (void)r;
    (void)next;
    asks_more = true;
    return OK;
}

err_t req_rows(struct req *r, const struct sql_step *step, req_step next)
{
    (void)r;
    (void)next;
    assert_true(str_starts(str_of(step->stmt->text), STR(SQL_STREAM "before")));
    assert_true(str_ends(str_of(step->stmt->text), STR("behind")));
    return OK;
}

err_t search_page_ask(struct req *r, struct search_page *p, req_step next, struct fail *f)
{
    (void)r;
    (void)p;
    (void)next;
    (void)f;
    return OK;
}

int search_page_take(struct search_page *p, const PGresult *keys)
{
    int n = PQntuples(keys);

    p->has_more = n > p->max_results;
    return p->has_more ? (int)p->max_results : n;
}

static bool shows(const struct req *r, const PGresult *keys, int row)
{
    (void)r;
    return str_eq(sql_get(keys, row, 1), STR("y"));
}

static const struct search_list list = {.column = 0, .columns = 1};
static const struct search_seen filled = {"before", "behind", shows, true, false};
static const struct search_seen to_the_end = {"before", "behind", shows, true, true};
static const struct search_seen as_it_is = {"before", "behind", shows, false, false};

static PGresult *letters(const char *text, size_t from, size_t n)
{
    static char ids[256][8];
    static const char *cells[512];

    for (size_t i = 0; i < n; i++) {
        snprintf(ids[i], sizeof(ids[i]), "%zu", from + i);
        cells[2 * i] = ids[i];
        cells[2 * i + 1] = text[from + i] == 'y' ? "y" : "n";
    }
    return rows_of(2, cells, 2 * n);
}

static void begin(const struct search_seen *seen, int64_t most)
{
    static char text[] = "query";

    memset(&batch, 0, sizeof(batch));
    batch.list = &list;
    batch.page.max_results = most;
    batch.page.query.text = text;
    req.data = &batch;
    is_started = asks_more = false;
    assert_int_equal(search_seen_ask(&req, &batch, seen, NULL), OK);
}

/* Rows in batches of so many, until the scan has what it wants; the ids that show. */
static const char *scan(const struct search_seen *seen, const char *text, int64_t most,
                        size_t piece)
{
    static char kept[256];
    size_t all = strlen(text), at = 0, used = 0;

    begin(seen, most);
    do {
        size_t n = all - at < piece ? all - at : piece;
        PGresult *res = letters(text, at, n);

        at += n;
        req.rows = res;
        req.has_more_rows = at < all;
        asks_more = false;
        assert_int_equal(seen_rows(&req, NULL), OK);
        assert_true(is_started != asks_more);
        PQclear(res);
    } while (asks_more);
    kept[0] = '\0';
    for (size_t i = 0; i < batch.count; i++)
        used += (size_t)snprintf(kept + used, sizeof(kept) - used, "%.*s ", STR_ARG(batch.keys[i]));
    return kept;
}

static void test_pages_are_filled(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 8; piece++) {
        assert_string_equal(scan(&filled, "yyy", 2, piece), "0 1 ");
        assert_true(batch.page.has_more);
        assert_int_equal(batch.page.shown, 2);
        assert_string_equal(scan(&filled, "yy", 2, piece), "0 1 ");
        assert_false(batch.page.has_more); /* nothing was dropped, nothing follows */
        assert_string_equal(scan(&filled, "ynny", 2, piece), "0 3 ");
        assert_true(batch.page.has_more); /* whatever follows */
        assert_int_equal(batch.page.shown, 4);
        assert_string_equal(scan(&filled, "nnnyn", 2, piece), "3 ");
        assert_false(batch.page.has_more);
        assert_true(batch.page.is_run_out); /* there was a second page */
        assert_string_equal(scan(&filled, "ny", 2, piece), "1 ");
        assert_false(batch.page.is_run_out);
        assert_string_equal(scan(&filled, "", 2, piece), "");
        assert_false(batch.page.has_more || batch.page.is_run_out);
    }
}

static void test_some_pages_end_where_nothing_more_shows(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 8; piece++) {
        assert_string_equal(scan(&to_the_end, "nyyn", 2, piece), "1 2 ");
        assert_false(
            batch.page.has_more); /* the rest of the page that was looked at shows nothing */
        assert_string_equal(scan(&to_the_end, "nyyy", 2, piece), "1 2 ");
        assert_true(batch.page.has_more);
        assert_string_equal(scan(&to_the_end, "nyynn", 2, piece), "1 2 ");
        assert_true(batch.page.has_more); /* a page follows that nobody has looked at */
    }
}

/* Rows are missing, and the next page begins where it would for all. */
static void test_pages_that_are_not_filled(void **state)
{
    PGresult *res = letters("yny", 0, 3);

    (void)state;
    begin(&as_it_is, 2);
    req.sql.results[0] = res;
    assert_int_equal(seen_page(&req, NULL), OK);
    assert_int_equal(batch.count, 1);
    assert_true(batch.page.has_more);
    assert_int_equal(batch.page.shown, 2);
    assert_true(is_started);
    PQclear(res);
}

static void test_how_far_is_looked(void **state)
{
    struct search_page page = {.max_results = 5, .search.limit = 6};

    (void)state;
    hides = false;
    search_seen_open(&req, &filled, &page);
    assert_int_equal(page.search.limit, 6);
    hides = true;
    search_seen_open(&req, &as_it_is, &page);
    assert_int_equal(page.search.limit, 6);
    search_seen_open(&req, &filled, &page);
    assert_true(page.search.limit == INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_are_filled),
        cmocka_unit_test(test_some_pages_end_where_nothing_more_shows),
        cmocka_unit_test(test_pages_that_are_not_filled),
        cmocka_unit_test(test_how_far_is_looked),
    };
    int failed;

    arena_init(&req.arena, 4096);
    buf_init(&req.reply.body);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_fini(&req.reply.body);
    arena_fini(&req.arena);
    return failed;
}
