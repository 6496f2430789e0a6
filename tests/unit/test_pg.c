/* pg: a real server, and one that does not answer. */
#include "flush/pg.c"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/pgtest.h"

static struct pg_halt halt;
static const char *uri;

static uint64_t ms(uint64_t n)
{
    return n * 1000;
}

static void open_pg(struct pg *pg)
{
    struct fail f;

    fail_init(&f, NULL);
    if (pg_open(pg, pgtest_terms(uri), "sluice test", &halt, &f))
        fail_msg("%.*s", STR_ARG(f.text));
}

static int group_setup(void **state)
{
    (void)state;
    pgtest_start();
    uri = pgtest_database();
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return pg_halt_init(&halt);
}

static int teardown(void **state)
{
    (void)state;
    pg_halt_fini(&halt);
    return 0;
}

static void test_sqlstates_fall_into_classes(void **state)
{
    (void)state;
    assert_int_equal(pg_classify("23505"), ERR_PG_REPEAT);
    assert_int_equal(pg_classify("23503"), ERR_PG_ROW);
    assert_int_equal(pg_classify("22021"), ERR_PG_ROW);
    assert_int_equal(pg_classify("22P03"), ERR_SCHEMA);
    assert_int_equal(pg_classify("25006"), ERR_SCHEMA);
    assert_int_equal(pg_classify("42P01"), ERR_SCHEMA);
    assert_int_equal(pg_classify("42703"), ERR_SCHEMA);
    assert_int_equal(pg_classify("40P01"), ERR_PG);
    assert_int_equal(pg_classify("40001"), ERR_PG);
    assert_int_equal(pg_classify("53300"), ERR_PG);
    assert_int_equal(pg_classify("57P01"), ERR_PG);
    assert_int_equal(pg_classify("57014"), ERR_PG);
    assert_int_equal(pg_classify("08006"), ERR_PG);
    assert_int_equal(pg_classify(""), ERR_PG);
    assert_int_equal(pg_classify("57P03"), ERR_PG);
    assert_int_equal(pg_classify("53100"), ERR_PG);
    assert_int_equal(pg_classify("55P03"), ERR_PG);
    assert_int_equal(pg_classify("58030"), ERR_PG);
    assert_int_equal(pg_classify("54000"), ERR_PG_ROW);
    assert_int_equal(pg_classify("54001"), ERR_PG);
    assert_int_equal(pg_classify("21000"), ERR_PG_ROW);
    assert_int_equal(pg_classify("P0004"), ERR_PG_ROW);
    assert_int_equal(pg_classify("0A000"), ERR_SCHEMA);
    assert_int_equal(pg_classify("XX001"), ERR_SCHEMA);
}

static void test_a_batch_gives_binary_rows(void **state)
{
    struct pg_call calls[3] = {{.sql = "SELECT $1::int8 + 1, $2::text, 7::int4"},
                               {.sql = "CREATE TEMPORARY TABLE t (a int)"},
                               {.sql = "INSERT INTO t SELECT generate_series(1, 5)"}};
    const char forty_one[8] = {0, 0, 0, 0, 0, 0, 0, 41};
    struct pg pg = {0};

    (void)state;
    open_pg(&pg);
    pg_bind(&calls[0], 20, (struct str){forty_one, 8});
    pg_bind(&calls[0], 25, STR("text"));
    assert_int_equal(pg_batch(&pg, calls, 3, NULL), OK);
    assert_int_equal(PQntuples(calls[0].result), 1);
    assert_int_equal(pg_get_int8(calls[0].result, 0, 0), 42);
    assert_true(str_eq(pg_get_text(calls[0].result, 0, 1), STR("text")));
    assert_int_equal(pg_get_int4(calls[0].result, 0, 2), 7);
    assert_int_equal(pg_touched(calls[2].result), 5);
    pg_batch_clear(calls, 3);
    /* The connection is good for more. */
    assert_int_equal(pg_run(&pg, "SELECT 1; SELECT 2", NULL), OK);
    pg_close(&pg);
    assert_false(pg_is_open(&pg));
}

static void test_a_failed_batch_is_undone_and_rolled_back(void **state)
{
    struct pg_call calls[4] = {{.sql = "BEGIN"},
                               {.sql = "CREATE TABLE undone (a int)"},
                               {.sql = "SELECT 1/0"},
                               {.sql = "SELECT 1"}};
    struct fail f;
    struct pg pg = {0};

    (void)state;
    fail_init(&f, NULL);
    open_pg(&pg);
    assert_int_equal(pg_batch(&pg, calls, 4, &f), ERR_PG_ROW);
    assert_string_equal(pg.sqlstate, "22012");
    assert_true(str_eq(f.text, STR("division by zero")));
    pg_batch_clear(calls, 4);
    pg_rollback(&pg);
    assert_string_equal(pg.sqlstate, "22012"); /* still there to be told */
    assert_true(pg_is_open(&pg));
    assert_int_equal(PQtransactionStatus(pg.conn), PQTRANS_IDLE);
    assert_int_equal(pgtest_number("SELECT count(*) FROM pg_class WHERE relname = 'undone'"), 0);
    pg_close(&pg);
}

static void test_copy_begins_puts_and_finishes(void **state)
{
    struct fail f;
    struct pg pg = {0};

    (void)state;
    fail_init(&f, NULL);
    open_pg(&pg);
    assert_int_equal(pg_run(&pg, "CREATE TEMPORARY TABLE c (a int PRIMARY KEY)", NULL), OK);
    assert_int_equal(pg_copy_begin(&pg, "COPY c FROM STDIN", NULL), OK);
    assert_int_equal(pg_copy_put(&pg, STR("1\n2\n"), NULL), OK);
    assert_int_equal(pg_copy_put(&pg, STR("3\n"), NULL), OK);
    assert_int_equal(pg_copy_finish(&pg, NULL), OK);
    /* A refusal comes with the finish, and the connection stays usable. */
    assert_int_equal(pg_copy_begin(&pg, "COPY c FROM STDIN", NULL), OK);
    assert_int_equal(pg_copy_put(&pg, STR("4\n3\n"), NULL), OK);
    assert_int_equal(pg_copy_finish(&pg, &f), ERR_PG_REPEAT);
    assert_int_equal(pg_copy_begin(&pg, "COPY absent FROM STDIN", &f), ERR_SCHEMA);
    assert_string_equal(pg.sqlstate, "42P01");
    assert_int_equal(pg_run(&pg, "SELECT 1/(count(*)-4) FROM c", NULL), OK);
    pg_close(&pg);
}

static void test_a_large_copy_passes(void **state)
{
    static char piece[100000];
    struct pg pg = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(piece); i += 10)
        memcpy(piece + i, "123456789\n", 10);
    open_pg(&pg);
    assert_int_equal(pg_run(&pg, "CREATE TEMPORARY TABLE big (a int)", NULL), OK);
    assert_int_equal(pg_copy_begin(&pg, "COPY big FROM STDIN", NULL), OK);
    for (int i = 0; i < 50; i++)
        assert_int_equal(pg_copy_put(&pg, (struct str){piece, sizeof(piece)}, NULL), OK);
    assert_int_equal(pg_copy_finish(&pg, NULL), OK);
    assert_int_equal(pg_run(&pg, "SELECT 1/(count(*)-499999) FROM big", NULL), OK);
    pg_close(&pg);
}

static void test_an_answer_that_is_late_closes_the_connection(void **state)
{
    uint64_t before = clock_us();
    struct fail f;
    struct pg pg = {0};

    (void)state;
    fail_init(&f, NULL);
    open_pg(&pg);
    pg.patience_us = ms(50);
    assert_int_equal(pg_run(&pg, "SELECT pg_sleep(30)", &f), ERR_PG);
    assert_false(pg_is_open(&pg));
    assert_true(clock_us() - before < ms(10000));
}

static void *halt_soon(void *arg)
{
    const char *sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(31)'"
                           " AND state = 'active' AND pid <> pg_backend_pid()";

    (void)arg;
    while (pgtest_number(sleeping) == 0)
        sched_yield();
    atomic_store(&halt.deadline_us, clock_us() + ms(20));
    atomic_store(&halt.is_asked, true);
    inbox_ring(&halt.inbox);
    return NULL;
}

static void test_a_halt_ends_a_wait_at_its_deadline(void **state)
{
    uint64_t before = clock_us();
    pthread_t thread;
    struct pg pg = {0};

    (void)state;
    open_pg(&pg);
    assert_int_equal(pthread_create(&thread, NULL, halt_soon, NULL), 0);
    assert_int_equal(pg_run(&pg, "SELECT pg_sleep(31)", NULL), ERR_CLOSING);
    assert_false(pg_is_open(&pg));
    assert_true(clock_us() - before < ms(10000));
    pthread_join(thread, NULL);
}

/* A server whose kernel accepts and which says nothing. */
static void test_connecting_ends_when_halted(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char conninfo[128];
    struct pg pg = {0};

    (void)state;
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/.s.PGSQL.77", pgtest.dir);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 1), 0);
    snprintf(conninfo, sizeof(conninfo), "host=%s port=77 dbname=x user=x", pgtest.dir);
    atomic_store(&halt.is_asked, true);
    assert_int_equal(pg_open(&pg, pgtest_terms(conninfo), "sluice test", &halt, NULL), ERR_CLOSING);
    assert_false(pg_is_open(&pg));
    atomic_store(&halt.is_asked, false);
    atomic_store(&halt.deadline_us, clock_us() + ms(30));
    assert_int_equal(pg_open(&pg, pgtest_terms(conninfo), "sluice test", &halt, NULL), ERR_CLOSING);
    assert_false(pg_is_open(&pg));
    close(fd);
}

static void test_no_server_is_an_error_with_words(void **state)
{
    struct fail f;
    struct pg pg = {0};

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(pg_open(&pg, pgtest_terms("host=/nonexistent dbname=x"), "x", &halt, &f),
                     ERR_PG);
    assert_true(f.text.n > 10);
    assert_false(pg_is_open(&pg));
    assert_int_equal(pg_open(&pg, pgtest_terms("nonsense without sense"), "x", &halt, &f), ERR_PG);
    assert_false(pg_is_open(&pg));
}

static void test_a_killed_backend_is_noticed(void **state)
{
    struct pg_call call = {.sql = "SELECT 1"};
    char sql[128];
    struct pg pg = {0};
    err_t e = OK;

    (void)state;
    open_pg(&pg);
    snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%d, 5000)", PQbackendPID(pg.conn));
    pgtest_sql(sql);
    assert_int_equal(pg_look(&pg, NULL), ERR_PG);
    assert_false(pg_is_open(&pg));

    open_pg(&pg);
    assert_int_equal(pg_look(&pg, NULL), OK);
    snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%d, 5000)", PQbackendPID(pg.conn));
    pgtest_sql(sql);
    e = pg_batch(&pg, &call, 1, NULL);
    assert_int_equal(e, ERR_PG);
    pg_batch_clear(&call, 1);
    pg_rollback(&pg);
    assert_false(pg_is_open(&pg));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* The server bounds each statement of a batch by itself: what is slow twice is not a dead peer. */
static void test_each_statement_of_a_batch_may_take_its_time(void **state)
{
    struct pg_call calls[2] = {{.sql = "SELECT 1 FROM pg_sleep(1.2)"},
                               {.sql = "SELECT 1 FROM pg_sleep(1.2)"}};
    struct pg pg = {0};

    (void)state;
    open_pg(&pg);
    pg.patience_us = ms(2000);
    assert_int_equal(pg_batch(&pg, calls, 2, NULL), OK);
    pg_batch_clear(calls, 2);
    pg_close(&pg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sqlstates_fall_into_classes),
        TEST(test_a_batch_gives_binary_rows),
        TEST(test_a_failed_batch_is_undone_and_rolled_back),
        TEST(test_copy_begins_puts_and_finishes),
        TEST(test_a_large_copy_passes),
        TEST(test_an_answer_that_is_late_closes_the_connection),
        TEST(test_each_statement_of_a_batch_may_take_its_time),
        TEST(test_a_halt_ends_a_wait_at_its_deadline),
        TEST(test_connecting_ends_when_halted),
        TEST(test_no_server_is_an_error_with_words),
        TEST(test_a_killed_backend_is_noticed),
    };

    return cmocka_run_group_tests(tests, group_setup, NULL);
}
