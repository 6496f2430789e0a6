/* sql: calls against a real PostgreSQL that errs, stalls, drops connections and goes away. */
#include "gateway/sql/sql.c"
#include "gateway/sql/sql_conn.c"

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

/* A call and what became of it; texts are copied because results go when done returns. */
struct asked {
    struct sql_call call;
    struct str values[SQL_STEPS_MAX][4];
    bool is_done;
    unsigned times;
    char text[SQL_STEPS_MAX][256];
    char message[256];
    struct asked *then; /* asked from within done */
};

static void asked_on_done(struct sql_call *call)
{
    struct asked *a = call->owner;

    a->is_done = true;
    a->times++;
    snprintf(a->message, sizeof(a->message), "%.*s", STR_ARG(call->message));
    for (unsigned i = 0; i < call->nsteps; i++)
        if (call->results[i] && PQntuples(call->results[i]) > 0)
            snprintf(a->text[i], sizeof(a->text[i]), "%s", PQgetvalue(call->results[i], 0, 0));
    if (a->then)
        sql_call(pool, &a->then->call);
}

static struct asked *asked_new(void)
{
    struct asked *a = calloc(1, sizeof(*a));

    check(a);
    a->call.done = asked_on_done;
    a->call.owner = a;
    return a;
}

static void asked_add(struct asked *a, const struct stmt *stmt, const char *value)
{
    struct sql_step *step = &a->call.steps[a->call.nsteps];

    a->values[a->call.nsteps][0] = (struct str){value, value ? strlen(value) : 0};
    *step = (struct sql_step){stmt, a->values[a->call.nsteps], 1};
    if (!strchr(stmt->text, '$'))
        step->nvalues = 0;
    a->call.nsteps++;
}

static void loop_until(const bool *flag)
{
    uint64_t deadline = clock_us() + PATIENCE_US;

    while (!*flag && clock_us() < deadline)
        event_base_loop(base, EVLOOP_ONCE);
    assert_true(*flag);
}

static struct asked *ask(const struct stmt *stmt, const char *value)
{
    struct asked *a = asked_new();

    asked_add(a, stmt, value);
    sql_call(pool, &a->call);
    assert_false(a->is_done); /* never from within sql_call */
    return a;
}

static struct asked *ask_and_wait(const struct stmt *stmt, const char *value)
{
    struct asked *a = ask(stmt, value);

    loop_until(&a->is_done);
    return a;
}

static const struct stmt ECHO = {"echo", "SELECT $1::text"};
static const struct stmt ONE = {"one", "SELECT 1"};
static const struct stmt PID = {"pid", "SELECT pg_backend_pid()"};
static const struct stmt NAP = {"nap", "SELECT pg_sleep($1::float8)"};
static const struct stmt DIVIDE = {"divide", "SELECT 1 / $1::int"};
static const struct stmt NO_TABLE = {"no_table", "SELECT * FROM there_is_no_such_table"};
static const struct stmt PUT = {"put", "INSERT INTO kept (v) VALUES ($1::text)"};
static const struct stmt COUNT = {"count", "SELECT count(*) FROM kept WHERE v = $1::text"};
static const struct stmt UNPREPARED = {NULL, "SELECT 'unprepared ' || $1::text"};

static int setup(void **state)
{
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    base = event_base_new();
    settings = settings_new();
    settings->sql_connections = 2;
    stats = stats_new();
    pgtest_database();
    pgtest_sql("CREATE TABLE kept (v text)");
    assert_int_equal(sql_pool_open(base, settings, pgtest.uri, stats, &pool, &f), OK);
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

static void test_values_go_and_come_back(void **state)
{
    struct asked *a = ask_and_wait(&ECHO, "Größe \"x\" {,}");
    struct asked *null = ask_and_wait(&ECHO, NULL);
    struct asked *free_text = ask_and_wait(&UNPREPARED, "text");

    (void)state;
    assert_int_equal(a->call.err, OK);
    assert_string_equal(a->text[0], "Größe \"x\" {,}");
    assert_string_equal(null->text[0], "");
    assert_string_equal(free_text->text[0], "unprepared text");
    assert_true(sql_is_up(pool));
    free(a);
    free(null);
    free(free_text);
}

static void test_a_statement_is_prepared_once_for_each_connection(void **state)
{
    struct asked *twice = asked_new();
    struct asked *a;

    (void)state;
    asked_add(twice, &ECHO, "x");
    asked_add(twice, &ECHO, "y");
    sql_call(pool, &twice->call);
    loop_until(&twice->is_done);
    assert_int_equal(twice->call.err, OK);
    assert_int_equal(pool->live + pool->opening, 1); /* one call opens one connection */
    assert_string_equal(twice->text[0], "x");
    assert_string_equal(twice->text[1], "y");
    a = ask_and_wait(&ECHO, "z");
    assert_int_equal(pool->conns[0].nops, 1); /* no Parse this time */
    assert_int_equal(pool->conns[0].prepared_count, 1);
    free(twice);
    free(a);
}

static void test_many_statements_fit_the_set(void **state)
{
    static struct stmt many[200];
    static char names[200][16];

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        struct asked *a;

        snprintf(names[i], sizeof(names[i]), "many_%u", i);
        many[i] = (struct stmt){names[i], "SELECT 1"};
        a = ask_and_wait(&many[i], NULL);
        assert_int_equal(a->call.err, OK);
        free(a);
    }
    assert_int_equal(pool->conns[0].prepared_count, 200);
    for (unsigned i = 0; i < 200; i++)
        assert_true(prepared_has(&pool->conns[0], &many[i]));
}

static void test_steps_are_one_transaction(void **state)
{
    struct asked *a = asked_new();
    struct asked *b;

    (void)state;
    asked_add(a, &PUT, "gone");
    asked_add(a, &DIVIDE, "0");
    asked_add(a, &PUT, "never");
    sql_call(pool, &a->call);
    loop_until(&a->is_done);
    assert_int_equal(a->call.err, ERR_PG_ROW);
    assert_string_equal(a->call.sqlstate, "22012");
    assert_int_equal(a->call.failed_step, 1);
    assert_string_equal(a->message, "division by zero");
    assert_null(a->call.results[0]);
    assert_int_equal(pgtest_number("SELECT count(*) FROM kept"), 0);
    /* what was prepared on the way stays prepared, and the connection goes on */
    b = ask_and_wait(&PUT, "here");
    assert_int_equal(b->call.err, OK);
    assert_int_equal(pgtest_number("SELECT count(*) FROM kept"), 1);
    free(a);
    free(b);
}

static void test_a_failed_parse_is_tried_again_next_time(void **state)
{
    struct asked *a = ask_and_wait(&NO_TABLE, NULL);
    struct asked *b;

    (void)state;
    assert_int_equal(a->call.err, ERR_PG_ROW);
    assert_string_equal(a->call.sqlstate, "42P01");
    pgtest_sql("CREATE TABLE there_is_no_such_table (v text)");
    b = ask_and_wait(&NO_TABLE, NULL);
    assert_int_equal(b->call.err, OK);
    free(a);
    free(b);
}

/* Both connections of the pool know stmt: each is busy for a moment, so that one does not do all. */
static void warm_up(const struct stmt *stmt)
{
    struct asked *both[] = {asked_new(), asked_new()};

    for (size_t i = 0; i < array_len(both); i++) {
        asked_add(both[i], &NAP, "0.3");
        asked_add(both[i], stmt, NULL);
        sql_call(pool, &both[i]->call);
    }
    for (size_t i = 0; i < array_len(both); i++) {
        loop_until(&both[i]->is_done);
        assert_int_equal(both[i]->call.err, OK);
        free(both[i]);
    }
    assert_int_equal(pool->live, 2);
}

/* After ALTER TABLE a remembered plan is refused: nobody sees that. */
static void test_a_changed_table_is_not_felt(void **state)
{
    static const struct stmt all = {"all_kept", "SELECT * FROM kept"};
    struct asked *a;

    (void)state;
    warm_up(&all);
    pgtest_sql("ALTER TABLE kept ADD COLUMN w int");
    a = ask_and_wait(&all, NULL);
    assert_int_equal(a->call.err, OK);
    assert_int_equal(a->call.attempts, 2); /* the other connection is not tried */
    free(a);
}

/* Somebody between us and PostgreSQL forgets what we prepared, or prepared the same before us. */
static void test_lost_and_taken_names_are_not_felt(void **state)
{
    static const struct stmt forget = {NULL, "DEALLOCATE ALL"};
    static const struct stmt take = {NULL, "PREPARE echo AS SELECT 1"};
    struct asked *a, *b;

    (void)state;
    warm_up(&ONE);
    a = ask_and_wait(&forget, NULL);
    b = ask_and_wait(&ONE, NULL);
    assert_string_equal(b->text[0], "1");
    assert_int_equal(b->call.attempts, 2);
    free(a);
    free(b);
    a = ask_and_wait(&take, NULL);
    b = ask_and_wait(&ECHO, "mine");
    assert_string_equal(b->text[0], "mine");
    assert_int_equal(b->call.attempts, 2);
    free(a);
    free(b);
}

/* statement_timeout is the session's: those that stand must not keep the old one. */
static void test_a_new_timeout_reaches_every_session(void **state)
{
    static const struct stmt shown = {"shown", "SHOW statement_timeout"};
    struct asked *nap, *a;

    (void)state;
    warm_up(&shown);
    nap = ask(&NAP, "0.05"); /* under way while the settings change */
    settings->sql_timeout = 7 * 1000 * 1000;
    sql_pool_reload(pool, settings);
    loop_until(&nap->is_done);
    assert_int_equal(nap->call.err, OK);
    for (int i = 0; i < 3; i++) {
        a = ask_and_wait(&shown, NULL);
        assert_string_equal(a->text[0], "7s");
        free(a);
    }
    free(nap);
}

static void test_calls_wait_their_turn_on_few_connections(void **state)
{
    struct asked *asked[100];
    char text[100][16];

    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(text[i], sizeof(text[i]), "%d", i);
        asked[i] = ask(&ECHO, text[i]);
    }
    for (int i = 0; i < 100; i++) {
        loop_until(&asked[i]->is_done);
        assert_int_equal(asked[i]->call.err, OK);
        assert_string_equal(asked[i]->text[0], text[i]);
        assert_int_equal(asked[i]->times, 1);
        free(asked[i]);
    }
    /* The first connection may have served all of them before the second was there. */
    assert_in_range(pool->live, 1, 2);
    assert_in_range(pgtest_number("SELECT count(*) FROM pg_stat_activity WHERE application_name ="
                                  " 'sluice worker' AND datname = current_database()"),
                    1, 2);
}

static void test_done_may_ask_again(void **state)
{
    struct asked *a = asked_new();

    (void)state;
    asked_add(a, &ECHO, "first");
    a->then = asked_new();
    asked_add(a->then, &ECHO, "second");
    sql_call(pool, &a->call);
    loop_until(&a->then->is_done);
    assert_string_equal(a->then->text[0], "second");
    free(a->then);
    free(a);
}

static void again_on_done(struct sql_call *call)
{
    unsigned *left = call->owner;

    check(call->err == OK && call->results[0]);
    if ((*left)-- > 0)
        sql_call(pool, call);
}

/* The same struct is handed in again from within its done, as a request's next step does. */
static void test_a_call_may_be_reused_within_done(void **state)
{
    unsigned left = 5;
    struct sql_call call = {.nsteps = 1, .done = again_on_done, .owner = &left};
    uint64_t deadline = clock_us() + PATIENCE_US;

    (void)state;
    call.steps[0] = (struct sql_step){&ONE, NULL, 0};
    sql_call(pool, &call);
    while (left != UINT32_MAX && clock_us() < deadline)
        event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(left, UINT32_MAX);
}

static void test_large_values_both_ways(void **state)
{
    size_t n = 8 << 20;
    char *big = malloc(n + 1);
    static const struct stmt length = {"length", "SELECT length($1::text), $1::text"};
    struct asked *a;

    (void)state;
    memset(big, 'x', n);
    big[n] = '\0';
    a = ask_and_wait(&length, big);
    assert_int_equal(a->call.err, OK);
    assert_string_equal(a->text[0], "8388608");
    free(a);
    free(big);
}

static void test_a_slow_statement_times_out_and_costs_only_itself(void **state)
{
    uint64_t before = clock_us();
    struct asked *slow, *quick;

    (void)state;
    settings->sql_timeout = 300 * 1000;
    sql_pool_reload(pool, settings);
    slow = ask(&NAP, "30");
    quick = ask(&ECHO, "meanwhile");
    loop_until(&quick->is_done);
    assert_int_equal(quick->call.err, OK);
    loop_until(&slow->is_done);
    assert_int_equal(slow->call.err, ERR_PG);
    assert_true(clock_us() - before < 5 * 1000 * 1000);
    free(slow);
    free(quick);
    quick = ask_and_wait(&ECHO, "after");
    assert_int_equal(quick->call.err, OK);
    free(quick);
}

static void test_a_dropped_idle_connection_is_replaced_unseen(void **state)
{
    struct asked *a = ask_and_wait(&PID, NULL);
    struct asked *b;
    char sql[320];

    (void)state;
    snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%s, 5000)", a->text[0]);
    pgtest_sql(sql);
    b = ask_and_wait(&PID, NULL); /* the loop has not run since */
    assert_int_equal(b->call.err, OK);
    assert_string_not_equal(a->text[0], b->text[0]);
    free(a);
    free(b);
}

/* Terminated in the middle, before every step was answered: it did not commit, so it is sent again. */
static void test_a_call_cut_off_by_a_shutdown_is_sent_again(void **state)
{
    struct asked *a = asked_new();
    struct asked *count;
    uint64_t deadline = clock_us() + PATIENCE_US;

    (void)state;
    asked_add(a, &PUT, "once");
    asked_add(a, &NAP, "0.5");
    sql_call(pool, &a->call);
    while (pgtest_number("SELECT count(*) FROM pg_stat_activity WHERE query LIKE"
                         " '%pg_sleep($1%' AND state = 'active' AND pid <> pg_backend_pid()") !=
               1 &&
           clock_us() < deadline)
        event_base_loop(base, EVLOOP_NONBLOCK);
    pgtest_sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE"
               " query LIKE '%pg_sleep($1%' AND state = 'active' AND pid <> pg_backend_pid()");
    loop_until(&a->is_done);
    assert_int_equal(a->call.err, OK);
    assert_int_equal(a->times, 1);
    assert_int_equal(a->call.attempts, 2);
    count = ask_and_wait(&COUNT, "once");
    assert_string_equal(count->text[0], "1");
    free(a);
    free(count);
}

static void test_a_full_queue_refuses_and_says_so(void **state)
{
    struct asked *asked[8];
    unsigned refused = 0;

    (void)state;
    settings->sql_queue = 3;
    sql_pool_reload(pool, settings);
    for (int i = 0; i < 8; i++)
        asked[i] = ask(&ONE, NULL);
    for (int i = 0; i < 8; i++) {
        loop_until(&asked[i]->is_done);
        if (asked[i]->call.err) {
            assert_int_equal(asked[i]->call.err, ERR_UNAVAILABLE);
            refused++;
        }
        free(asked[i]);
    }
    assert_int_equal(refused, 5); /* three wait for the first connections */
}

static void test_closing_ends_every_call(void **state)
{
    struct asked *busy = ask(&NAP, "30");
    struct asked *waiting[4];
    struct fail f;

    (void)state;
    for (int i = 0; i < 4; i++)
        waiting[i] = ask(&NAP, "30");
    event_base_loop(base, EVLOOP_NONBLOCK);
    sql_pool_close(pool);
    assert_int_equal(busy->call.err, ERR_CLOSING);
    assert_true(busy->is_done);
    for (int i = 0; i < 4; i++) {
        assert_true(waiting[i]->is_done);
        assert_int_equal(waiting[i]->times, 1);
        assert_int_equal(waiting[i]->call.err, ERR_CLOSING);
        free(waiting[i]);
    }
    free(busy);
    fail_init(&f, NULL);
    assert_int_equal(sql_pool_open(base, settings, pgtest.uri, stats, &pool, &f), OK);
}

static void test_calls_survive_a_restart_and_fail_when_it_takes_long(void **state)
{
    struct asked *a = ask_and_wait(&ONE, NULL);
    struct asked *b;
    uint64_t since;

    (void)state;
    free(a);
    pgtest_server_down();
    since = clock_us();
    a = ask_and_wait(&ONE, NULL);
    assert_int_equal(a->call.err, ERR_PG);
    assert_string_equal(a->message, "PostgreSQL is not reachable");
    assert_in_range(clock_us() - since, AWAY_WAIT_US / 2, 2 * AWAY_WAIT_US);
    assert_false(sql_is_up(pool));
    free(a);
    a = ask(&ONE, NULL);
    event_base_loop(base, EVLOOP_NONBLOCK);
    pgtest_server_up();
    b = ask(&ECHO, "back");
    loop_until(&b->is_done);
    assert_int_equal(b->call.err, OK);
    assert_true(sql_is_up(pool));
    loop_until(&a->is_done);
    free(a);
    free(b);
}

static void test_it_learns_without_calls_that_the_server_is_back(void **state)
{
    uint64_t deadline = clock_us() + PATIENCE_US;

    (void)state;
    free(ask_and_wait(&ONE, NULL));
    pgtest_server_down();
    free(ask_and_wait(&ONE, NULL));
    assert_false(sql_is_up(pool));
    pgtest_server_up();
    while (!sql_is_up(pool) && clock_us() < deadline)
        event_base_loop(base, EVLOOP_ONCE);
    assert_true(sql_is_up(pool));
}

static void test_a_read_only_server_costs_its_sessions(void **state)
{
    static const struct stmt demote = {NULL, "SET default_transaction_read_only = on"};
    struct asked *a;

    (void)state;
    pgtest_sql("CREATE TABLE IF NOT EXISTS kept (v text)");
    free(ask_and_wait(&demote, NULL));
    a = ask_and_wait(&PUT, "x");
    assert_int_equal(a->call.err, ERR_PG);
    free(a);
    a = ask_and_wait(&PUT, "x");
    assert_int_equal(a->call.err, OK);
    free(a);
}

static void test_a_bad_uri_is_refused_without_its_words(void **state)
{
    struct sql_pool *none;
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(sql_pool_open(base, settings, "postgresql://u:secret@[", stats, &none, &f),
                     ERR_SETTING);
    assert_null(strstr(f.small, "secret"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_values_go_and_come_back),
        TEST(test_a_statement_is_prepared_once_for_each_connection),
        TEST(test_many_statements_fit_the_set),
        TEST(test_steps_are_one_transaction),
        TEST(test_a_failed_parse_is_tried_again_next_time),
        TEST(test_a_changed_table_is_not_felt),
        TEST(test_lost_and_taken_names_are_not_felt),
        TEST(test_a_new_timeout_reaches_every_session),
        TEST(test_calls_wait_their_turn_on_few_connections),
        TEST(test_done_may_ask_again),
        TEST(test_a_call_may_be_reused_within_done),
        TEST(test_large_values_both_ways),
        TEST(test_a_slow_statement_times_out_and_costs_only_itself),
        TEST(test_a_dropped_idle_connection_is_replaced_unseen),
        TEST(test_a_call_cut_off_by_a_shutdown_is_sent_again),
        TEST(test_a_full_queue_refuses_and_says_so),
        TEST(test_closing_ends_every_call),
        TEST(test_calls_survive_a_restart_and_fail_when_it_takes_long),
        TEST(test_it_learns_without_calls_that_the_server_is_back),
        TEST(test_a_read_only_server_costs_its_sessions),
        TEST(test_a_bad_uri_is_refused_without_its_words),
    };

    pgtest_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
