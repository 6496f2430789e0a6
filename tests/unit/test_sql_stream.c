/* sql_stream: cursors on a real PostgreSQL, their sessions, and what becomes of them. */
#include "gateway/sql/sql_stream.c"

#include "base/clock.h"
#include "gateway/sql/sql_pool.h"
#include "schema/errors.h"
#include "tests/unit/pgtest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { PATIENCE_US = 20 * 1000 * 1000 };

static struct event_base *base;
static struct settings *settings;
static struct stats *stats;
static struct sql_pool *pool;

/* A stream and what came of it. */
struct seen {
    struct sql_stream *stream;
    struct str value;
    unsigned batches;
    long rows;
    long last; /* value of the last row */
    bool has_come;
    bool is_last;
    err_t err;
    char message[256];
};

static void seen_take(struct seen *seen)
{
    const struct sql_stream *s = seen->stream;

    seen->has_come = true;
    seen->batches++;
    seen->is_last = s->is_last;
    seen->err = s->err;
    snprintf(seen->message, sizeof(seen->message), "%s", s->message);
    if (s->err)
        return;
    assert_true(s->is_last || PQntuples(s->rows) == SQL_STREAM_ROWS ||
                PQntuples(s->rows) == SQL_STREAM_WIDE_ROWS);
    for (int i = 0; i < PQntuples(s->rows); i++) {
        long v = sql_get_i64(s->rows, i, 0);

        assert_int_equal(v, seen->last + 1); /* all of them, once, in order */
        seen->last = v;
    }
    seen->rows += PQntuples(s->rows);
}

static void seen_on_rows(struct sql_stream *s)
{
    seen_take(s->owner);
}

static void loop_until(const bool *flag)
{
    uint64_t deadline = clock_us() + PATIENCE_US;

    while (!*flag && clock_us() < deadline)
        event_base_loop(base, EVLOOP_ONCE);
    assert_true(*flag);
}

/* Returns how often the loop turned. */
static unsigned loop_for(uint64_t us)
{
    uint64_t deadline = clock_us() + us;
    struct timeval tv = {.tv_usec = 10 * 1000};
    unsigned turns = 0;

    for (; clock_us() < deadline; turns++) {
        event_base_loopexit(base, &tv);
        event_base_loop(base, EVLOOP_ONCE);
    }
    return turns;
}

static const struct stmt COUNT_TO = {"count_to",
                                     SQL_STREAM "SELECT i FROM generate_series(1, $1::int) AS i"};
static const struct stmt COUNT_WIDE = {
    "count_wide", SQL_STREAM "SELECT i, repeat('x', 8000) FROM generate_series(1, $1::int) AS i"};
/* The row after the second batch cannot be computed. */
static const struct stmt BREAKS = {
    "breaks", SQL_STREAM "SELECT i + 0 * (1 / ($1::int - i)) FROM generate_series(1, 9000) AS i"};
static const struct stmt NO_TABLE = {"no_table", SQL_STREAM "SELECT i FROM no_such_table"};
/* Row 2001 takes its time. */
static const struct stmt SLOW = {
    "slow", SQL_STREAM "SELECT i + CASE WHEN i = 2001 THEN length(pg_sleep($1::float8)::text)"
                       " ELSE 0 END FROM generate_series(1, 9000) AS i"};

static struct seen *seen_open(const struct stmt *stmt, const char *value)
{
    struct seen *seen = calloc(1, sizeof(*seen));
    struct sql_step step = {stmt, &seen->value, strchr(stmt->text, '$') ? 1 : 0};

    check(seen);
    seen->value = str_of(value);
    seen->stream = sql_stream_open(pool, &step, NULL, NULL, seen_on_rows, seen);
    assert_false(seen->has_come); /* never from within sql_stream_open */
    return seen;
}

static void seen_wait(struct seen *seen)
{
    loop_until(&seen->has_come);
}

static void seen_next(struct seen *seen)
{
    seen->has_come = false;
    if (sql_stream_next(seen->stream))
        seen_take(seen);
    seen_wait(seen);
}

static void seen_close(struct seen *seen)
{
    sql_stream_close(seen->stream);
    free(seen);
}

/* An ordinary call; the text of its first field. */
struct asked {
    struct sql_call call;
    bool is_done;
    char text[64];
};

static void asked_on_done(struct sql_call *call)
{
    struct asked *a = call->owner;

    a->is_done = true;
    snprintf(a->text, sizeof(a->text), "%s",
             call->err ? "failed" : PQgetvalue(call->results[0], 0, 0));
}

static const char *ask(const struct stmt *stmt)
{
    static struct asked a;

    a = (struct asked){.call = {.nsteps = 1, .done = asked_on_done, .owner = &a}};
    a.call.steps[0] = (struct sql_step){stmt, NULL, 0};
    sql_call(pool, &a.call);
    loop_until(&a.is_done);
    return a.text;
}

static const struct stmt PID = {"pid", "SELECT pg_backend_pid()"};
/* 0 when the transaction of the last stream is over: its cursor is gone with it. */
static const struct stmt CURSORS = {"cursors",
                                    "SELECT count(*) FROM pg_cursors WHERE name = 'part'"};
static const struct stmt FORGET = {NULL, "DEALLOCATE ALL"};

static unsigned in_state(enum sql_state state)
{
    unsigned n = 0;

    for (unsigned i = 0; i < pool->nconns; i++)
        n += pool->conns[i].state == state;
    return n;
}

static void wait_for_idle(void)
{
    uint64_t deadline = clock_us() + PATIENCE_US;

    while (in_state(SQL_BUSY) + in_state(SQL_HELD) + in_state(SQL_ENDING) > 0) {
        assert_true(clock_us() < deadline);
        event_base_loop(base, EVLOOP_ONCE);
    }
    assert_int_equal(pool->holding, 0);
}

static void begin_pool(void)
{
    struct fail f;

    fail_init(&f, NULL);
    assert_int_equal(sql_pool_open(base, settings, pgtest.uri, stats, &pool, &f), OK);
}

static int setup(void **state)
{
    (void)state;
    base = event_base_new();
    settings = settings_new();
    settings->sql_connections = 2;
    stats = stats_new();
    pgtest_database();
    begin_pool();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sql_pool_close(pool);
    stats_free(stats);
    settings_free(settings);
    event_base_free(base);
    return 0;
}

static void test_rows_come_in_batches(void **state)
{
    static const struct {
        const char *rows;
        unsigned batches;
    } cases[] = {{"0", 1}, {"1", 1}, {"1999", 1}, {"2000", 2}, {"2001", 2}, {"7000", 4}};

    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        struct seen *seen = seen_open(&COUNT_TO, cases[i].rows);

        seen_wait(seen);
        while (!seen->is_last)
            seen_next(seen);
        assert_int_equal(seen->err, OK);
        assert_int_equal(seen->rows, strtol(cases[i].rows, NULL, 10));
        assert_int_equal(seen->batches, cases[i].batches);
        wait_for_idle(); /* the session went back with the last batch, before the close */
        seen_close(seen);
    }
    assert_string_equal(ask(&CURSORS), "0");
    assert_int_equal(pool->live, 1);
}

/* 2000 rows of 8000 characters are 16 MB; of what follows no batch is as large. */
static void test_long_rows_come_in_small_batches(void **state)
{
    static const struct {
        const char *rows;
        unsigned batches;
    } cases[] = {{"1999", 1}, {"2000", 2}, {"2050", 2}, {"2100", 3}, {"2350", 5}};

    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        struct seen *seen = seen_open(&COUNT_WIDE, cases[i].rows);

        seen_wait(seen);
        while (!seen->is_last) {
            seen_next(seen);
            assert_true(PQntuples(seen->stream->rows) <= SQL_STREAM_WIDE_ROWS);
        }
        assert_int_equal(seen->err, OK);
        assert_int_equal(seen->rows, strtol(cases[i].rows, NULL, 10));
        assert_int_equal(seen->batches, cases[i].batches);
        seen_close(seen);
        wait_for_idle();
    }
}

/* The session is not used by others meanwhile, and stays the same afterwards. */
static void test_it_may_be_closed_early(void **state)
{
    struct seen *seen;
    char pid[64];

    (void)state;
    snprintf(pid, sizeof(pid), "%s", ask(&PID));
    seen = seen_open(&COUNT_TO, "1000000");
    seen_wait(seen);
    seen_next(seen);
    assert_int_equal(pool->holding, 1);
    assert_string_not_equal(ask(&PID), pid);
    seen_close(seen);
    wait_for_idle();
    assert_int_equal(pool->live, 2);
    assert_string_equal(ask(&PID), pid);
    assert_string_equal(ask(&CURSORS), "0");
}

static void test_it_may_be_closed_while_rows_are_fetched(void **state)
{
    struct seen *seen = seen_open(&SLOW, "0.3");

    (void)state;
    seen_wait(seen);
    seen_close(seen);
    assert_int_equal(pool->holding, 1);
    wait_for_idle();
    assert_string_equal(ask(&CURSORS), "0");
}

static void test_a_refused_statement_leaves_no_transaction(void **state)
{
    struct seen *seen = seen_open(&NO_TABLE, "");

    (void)state;
    seen_wait(seen);
    assert_int_equal(seen->err, ERR_PG_ROW);
    assert_true(seen->is_last);
    assert_string_equal(seen->message, "relation \"no_such_table\" does not exist");
    seen_close(seen);
    wait_for_idle();
    assert_string_equal(ask(&CURSORS), "0");
    assert_int_equal(pool->live, 1); /* and the session is still good */
}

static void test_an_error_in_the_middle_ends_it(void **state)
{
    struct seen *seen = seen_open(&BREAKS, "4500");

    (void)state;
    seen_wait(seen);
    seen_next(seen);
    assert_int_equal(seen->rows, 4000);
    assert_false(seen->is_last);
    seen_next(seen);
    assert_int_equal(seen->err, ERR_PG_ROW);
    assert_true(seen->is_last);
    assert_string_equal(seen->message, "division by zero");
    assert_string_equal(seen->stream->sqlstate, "22012");
    seen_close(seen);
    wait_for_idle();
    assert_string_equal(ask(&CURSORS), "0");
}

/* Half of the connections: the next long stream waits, a short one and an ordinary call do not. */
static void test_streams_leave_connections_to_others(void **state)
{
    struct seen *first = seen_open(&COUNT_TO, "9000");
    struct seen *second, *third;

    (void)state;
    seen_wait(first);
    second = seen_open(&COUNT_TO, "9000");
    third = seen_open(&COUNT_TO, "1999");
    seen_wait(third);
    assert_int_equal(third->rows, 1999);
    seen_close(third);
    assert_string_equal(ask(&CURSORS), "0");
    (void)loop_for(50 * 1000);
    assert_false(second->has_come);
    assert_int_equal(pool->holding, 1);
    seen_close(first);
    seen_wait(second);
    while (!second->is_last)
        seen_next(second);
    assert_int_equal(second->rows, 9000);
    seen_close(second);
}

/* While others work, too: the session in the first place need not be the one that is missing. */
static void test_a_failed_attempt_is_made_again(void **state)
{
    struct seen *held = seen_open(&COUNT_TO, "9000");

    (void)state;
    seen_wait(held);
    sql_pool_back_off(pool);
    assert_string_equal(ask(&CURSORS), "0");
    assert_int_equal(pool->failures, 0);
    assert_int_equal(pool->live, 2);
    seen_close(held);
}

/* Who waits for a place cannot use a new session: that is no reason to look for one. */
static void test_waiting_for_a_place_costs_no_turns(void **state)
{
    struct seen *held = seen_open(&COUNT_TO, "9000");
    struct seen *waiting;

    (void)state;
    seen_wait(held);
    waiting = seen_open(&COUNT_TO, "9000");
    while (!pool->holders.first)
        event_base_loop(base, EVLOOP_ONCE);
    sql_pool_back_off(pool);    /* as if an attempt to open a third one had failed */
    (void)loop_for(200 * 1000); /* now the next is due */
    assert_in_range(loop_for(100 * 1000), 1, 50);
    seen_close(held);
    seen_wait(waiting);
    assert_int_equal(waiting->err, OK);
    seen_close(waiting);
}

static void test_waiting_for_a_session_ends_by_sql_timeout(void **state)
{
    struct seen *first = seen_open(&COUNT_TO, "9000");
    struct seen *second;

    (void)state;
    seen_wait(first);
    settings->sql_timeout = 200 * 1000;
    sql_pool_reload(pool, settings);
    second = seen_open(&COUNT_TO, "9000");
    seen_wait(second);
    assert_int_equal(second->err, ERR_PG);
    assert_string_equal(second->message, "no PostgreSQL connection became free in time");
    seen_close(second);
    /* A pause of its owner does not count, and the session was renewed only when it was free. */
    while (!first->is_last)
        seen_next(first);
    assert_int_equal(first->rows, 9000);
    seen_close(first);
    wait_for_idle();
    assert_int_equal(pool->live, 1); /* the one that second was tried on */
}

static void test_a_slow_batch_times_out(void **state)
{
    struct seen *seen;

    (void)state;
    settings->sql_timeout = 300 * 1000;
    sql_pool_reload(pool, settings);
    seen = seen_open(&SLOW, "30");
    seen_wait(seen);
    assert_int_equal(seen->err, OK);
    seen_next(seen);
    assert_int_equal(seen->err, ERR_PG);
    seen_close(seen);
    wait_for_idle();
}

/* What was handed over cannot be taken back, so it is not begun again. */
static void test_a_lost_session_ends_it(void **state)
{
    struct seen *seen = seen_open(&COUNT_TO, "9000");

    (void)state;
    seen_wait(seen);
    (void)loop_for(50 * 1000); /* the second batch is here: the session waits */
    assert_int_equal(in_state(SQL_HELD), 1);
    pgtest_sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
               " WHERE application_name = 'sluice worker'");
    (void)loop_for(50 * 1000);
    assert_int_equal(pool->holding, 0);
    seen_next(seen);
    assert_int_equal(seen->rows, 4000);
    seen_next(seen);
    assert_int_equal(seen->err, ERR_PG);
    assert_string_equal(seen->message, "PostgreSQL closed the connection");
    seen_close(seen);
    seen = seen_open(&COUNT_TO, "3");
    seen_wait(seen);
    assert_int_equal(seen->rows, 3);
    seen_close(seen);
}

/* The first call is tried again like any other, in a transaction that is not the failed one. */
static void test_a_forgotten_statement_is_not_felt(void **state)
{
    struct seen *seen = seen_open(&COUNT_TO, "3");

    (void)state;
    seen_wait(seen);
    seen_close(seen);
    wait_for_idle();
    (void)ask(&FORGET);
    seen = seen_open(&COUNT_TO, "5000");
    seen_wait(seen);
    assert_int_equal(seen->err, OK);
    while (!seen->is_last)
        seen_next(seen);
    assert_int_equal(seen->rows, 5000);
    seen_close(seen);
}

static void test_closing_the_pool_ends_streams(void **state)
{
    struct seen *held = seen_open(&COUNT_TO, "9000");
    struct seen *waiting;

    (void)state;
    seen_wait(held);
    waiting = seen_open(&COUNT_TO, "9000");
    while (!pool->holders.first)
        event_base_loop(base, EVLOOP_ONCE);
    sql_pool_close(pool);
    assert_true(waiting->has_come);
    assert_int_equal(waiting->err, ERR_CLOSING);
    seen_close(waiting);
    seen_close(held); /* the pool is gone: nothing is touched */
    begin_pool();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_rows_come_in_batches),
        TEST(test_long_rows_come_in_small_batches),
        TEST(test_it_may_be_closed_early),
        TEST(test_it_may_be_closed_while_rows_are_fetched),
        TEST(test_a_refused_statement_leaves_no_transaction),
        TEST(test_an_error_in_the_middle_ends_it),
        TEST(test_streams_leave_connections_to_others),
        TEST(test_a_failed_attempt_is_made_again),
        TEST(test_waiting_for_a_place_costs_no_turns),
        TEST(test_waiting_for_a_session_ends_by_sql_timeout),
        TEST(test_a_slow_batch_times_out),
        TEST(test_a_lost_session_ends_it),
        TEST(test_a_forgotten_statement_is_not_felt),
        TEST(test_closing_the_pool_ends_streams),
    };

    pgtest_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
