/* tag_swap: on a real PostgreSQL, with somebody who writes between the read and the write. */
#include "gateway/api/tag_swap.c"

#include <event2/event.h>

#include "tests/unit/pgtest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "gateway/http/conn.h"
#include "gateway/req_aside.h"
#include "gateway/req_drive.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"

enum { PATIENCE_US = 20 * 1000 * 1000 };

static const struct stmt READ = {"swap_read", "SELECT id, tag FROM owners WHERE id = $1::text"};
static const struct stmt WRITE = {"swap_write",
                                  "UPDATE owners SET tag = $2::text WHERE id = $1::text"
                                  " AND tag IS NOT DISTINCT FROM $3::text RETURNING 1"};

static struct worker worker;
static struct worker_net net;
static struct settings *settings;
static struct exchange exchange;
static struct conn conn;

/* What the request of a test is about, and what came of it. */
struct swap_test {
    struct tag_swap tag; /* first, so that r->data is either */
    unsigned others;     /* so many writes of others come between */
    unsigned changes;
    bool is_done;
    err_t err;
    char why[128];
};

static err_t stay(struct req *r, struct fail *f)
{
    (void)f;
    return req_pause(r, stay); /* nobody looks at its worker's lists any more */
}

static err_t written(struct req *r, struct fail *f)
{
    struct swap_test *t = r->data;

    t->is_done = true;
    return stay(r, f);
}

static err_t refused(struct req *r, err_t e, struct fail *f)
{
    struct swap_test *t = r->data;

    t->err = e;
    str_to_cstr(f->text, t->why, sizeof(t->why));
    return written(r, f);
}

/* Appends an x; somebody else is quicker with an o. */
static err_t change(struct req *r, struct str before, struct str *after, struct fail *f)
{
    struct swap_test *t = r->data;

    if (PQntuples(r->sql.results[0]) == 0)
        return fail_str(f, ERR_NOT_FOUND, STR("No owner."));
    if (t->changes++ < t->others)
        pgtest_sql("UPDATE owners SET tag = coalesce(tag, '') || 'o'");
    *after = arena_printf(&r->arena, "%.*sx", STR_ARG(before));
    return OK;
}

static err_t begin(struct req *r, struct fail *f)
{
    (void)f;
    r->caught = refused;
    return tag_swap(r);
}

static void swap(struct swap_test *t, const char *id)
{
    static const struct route route = {.handler = begin};
    struct req *r = &exchange.req;
    uint64_t deadline = clock_us() + PATIENCE_US;

    t->tag = (struct tag_swap){.key = "the.tag",
                               .read = &READ,
                               .write = &WRITE,
                               .column = 1,
                               .change = change,
                               .written = written,
                               .values = {str_of(id)}};
    r->route = &route;
    r->data = t;
    req_start(r);
    while (!t->is_done && clock_us() < deadline)
        event_base_loop(worker.base, EVLOOP_ONCE);
    assert_true(t->is_done);
}

static int set_up(void **state)
{
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    settings = settings_new();
    net = (struct worker_net){.worker_count = 1};
    worker = (struct worker){
        .stats = stats_new(), .net = &net, .settings = settings, .base = event_base_new()};
    conn = (struct conn){.worker = &worker, .x = &exchange, .fd = -1};
    assert_int_equal(inbox_init(&worker.inbox), 0);
    req_init(&exchange.req, &worker, &conn);
    pgtest_database();
    pgtest_sql("CREATE TABLE owners (id text PRIMARY KEY, tag text);"
               "INSERT INTO owners VALUES ('a', NULL)");
    assert_int_equal(
        sql_pool_open(worker.base, settings, pgtest.uri, worker.stats, &worker.sql, &f), OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sql_pool_close(worker.sql);
    req_fini(&exchange.req);
    inbox_fini(&worker.inbox);
    event_base_free(worker.base);
    stats_free(worker.stats);
    settings_free(settings);
    return 0;
}

static void test_nobody_s_entry_is_lost(void **state)
{
    struct swap_test t = {.others = 3};

    (void)state;
    swap(&t, "a");
    assert_int_equal(t.err, OK);
    assert_int_equal(t.changes, 4);
    assert_string_equal(pgtest_text("SELECT tag FROM owners"), "ooox");
}

static void test_it_gives_up_in_the_end(void **state)
{
    struct swap_test t = {.others = ATTEMPTS_MAX};

    (void)state;
    swap(&t, "a");
    assert_int_equal(t.err, ERR_UNAVAILABLE);
    assert_string_equal(t.why, "The tag the.tag is changed by others all the time.");
    assert_int_equal(t.changes, ATTEMPTS_MAX);
    assert_string_equal(pgtest_text("SELECT tag FROM owners"), "oooooooooooooooooooo");
}

static void test_what_change_refuses_is_the_answer(void **state)
{
    struct swap_test t = {.others = 0};

    (void)state;
    swap(&t, "nobody");
    assert_int_equal(t.err, ERR_NOT_FOUND);
    assert_string_equal(t.why, "No owner.");
    assert_string_equal(pgtest_text("SELECT coalesce(tag, 'none') FROM owners"), "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nobody_s_entry_is_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_gives_up_in_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_change_refuses_is_the_answer, set_up, tear_down),
    };

    pgtest_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
