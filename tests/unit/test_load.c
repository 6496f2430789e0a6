/* load: every kind of refusal ends in rows, letters and positions that fit each other. */
#include "flush/load.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/flushtest.h"

static struct link link_;
static struct load load;
static char letter[256];

static int group_setup(void **state)
{
    (void)state;
    pgtest_start();
    return 0;
}

static int setup(void **state)
{
    (void)state;
    flushtest_begin();
    assert_int_equal(link_init(&link_, pgtest_terms(flushtest.uri), queue_id(flushtest.queue), 0, 1,
                               "flusher=0", flushtest.stats, NULL),
                     OK);
    assert_int_equal(link_ready(&link_), OK);
    assert_int_equal(
        load_init(&load, &link_, flushtest.queue, flushtest.dir, 0, flushtest.stats, NULL), OK);
    return queue_reader_open(flushtest.queue, link_.session.mask, link_.session.positions,
                             &flushtest.reader, NULL);
}

static int teardown(void **state)
{
    (void)state;
    load_fini(&load);
    link_fini(&link_);
    flushtest_end();
    return 0;
}

/* One take of all that is durable. */
static void apply(void)
{
    pos_t end = queue_durable(flushtest.queue);
    struct take take;

    assert_int_equal(queue_take(flushtest.reader, take_until(1000000, clock_us()), &take, NULL), OK);
    assert_int_equal(load_apply(&load, flushtest.reader, &take), OK);
    assert_int_equal(queue_committed_all(flushtest.queue), end);
    assert_int_equal(pgtest_number("SELECT min(position) FROM sluice.positions"), end);
    assert_int_equal(queue_backlog_points(flushtest.queue), 0);
}

static void assert_rows(long rows)
{
    assert_int_equal(pgtest_number("SELECT count(*) FROM metrics"), rows);
    /* latest_metrics is always what metrics says. */
    assert_int_equal(
        pgtest_number("SELECT count(*) FROM (SELECT DISTINCT ON (run_uuid, key) run_uuid, key,"
                      " step, timestamp, value FROM metrics ORDER BY run_uuid, key, step DESC,"
                      " timestamp DESC, value DESC) m FULL JOIN latest_metrics l"
                      " USING (run_uuid, key, step, timestamp, value)"
                      " WHERE m.run_uuid IS NULL OR l.run_uuid IS NULL OR m.key IS NULL"),
        0);
}

static uint64_t counted(const _Atomic uint64_t *counter)
{
    return atomic_load(counter);
}

static void test_a_take_becomes_rows(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++)
        flushtest_point(i % 2 ? "run01" : "run02", "loss", i, i);
    flushtest_point("run01", "loss", 1, 1); /* a repeat in the same window */
    apply();
    assert_rows(50);
    assert_int_equal(counted(&flushtest.stats->windows), 1);
    assert_int_equal(counted(&flushtest.stats->applied_points), 51);
    assert_int_equal(counted(&flushtest.stats->repeated_points), 1);
    assert_int_equal(flushtest_letters(letter), 0);
}

static void test_repeats_choose_the_staged_path_until_they_cease(void **state)
{
    int step = 0;

    (void)state;
    flushtest_point("run01", "k", 1, step);
    apply();
    assert_int_equal(counted(&flushtest.stats->windows_staged), 0);
    flushtest_point("run01", "k", 1, step++);
    flushtest_point("run01", "k", 1, step++);
    apply();
    assert_int_equal(counted(&flushtest.stats->windows_staged), 1);
    assert_int_equal(counted(&flushtest.stats->repeated_points), 1);
    assert_int_equal(counted(&flushtest.stats->window_retries), 0); /* redone at once */
    for (int i = 0; i < LOAD_CLEAN; i++) {
        flushtest_point("run01", "k", 1, step++);
        apply();
    }
    assert_int_equal(counted(&flushtest.stats->windows_staged), 1 + LOAD_CLEAN);
    flushtest_point("run01", "k", 1, step++);
    apply();
    assert_int_equal(counted(&flushtest.stats->windows_staged), 1 + LOAD_CLEAN);
    assert_rows(step);
}

static void test_entries_of_missing_runs_become_letters(void **state)
{
    (void)state;
    flushtest_point("run01", "k", 1, 1);
    flushtest_point("gone", "k", 1, 1);
    flushtest_point("run02", "k", 1, 1);
    flushtest_point("gone", "other", 1, 2);
    apply();
    assert_rows(2);
    assert_int_equal(flushtest_letters(letter), 2);
    assert_string_equal(letter, "gone 23503 1 other");
    assert_int_equal(counted(&flushtest.stats->deadletter_points), 2);
    assert_int_equal(counted(&flushtest.stats->applied_points), 2);
}

static void test_a_poison_entry_is_found_and_the_rest_lands(void **state)
{
    char run[8];

    (void)state;
    for (int i = 0; i < 37; i++) {
        snprintf(run, sizeof(run), "run%02d", i + 1);
        flushtest_point(run, i == 23 ? "bad\xff" : "good", i, i);
    }
    apply();
    assert_rows(36);
    assert_int_equal(flushtest_letters(letter), 1);
    assert_string_equal(letter, "run24 22021 1 bad\xff");
    assert_int_equal(counted(&flushtest.stats->applied_points), 36);
    assert_true(counted(&flushtest.stats->windows) <= 8); /* log2 of 37, not 37 */
}

static void test_poison_points_are_found_inside_an_entry(void **state)
{
    struct point points[100];
    char longest[300];

    (void)state;
    memset(longest, 'x', sizeof(longest));
    for (int i = 0; i < 100; i++)
        points[i] = (struct point){.key = STR("good"), .value = i, .step = i};
    points[17].key = STR("bad\xff");
    points[56].key = (struct str)STR_INIT("nul\0byte");
    points[99].key = (struct str){longest, sizeof(longest)};
    flushtest_point("run02", "before", 1, 1);
    flushtest_append("run01", points, 100);
    flushtest_point("run03", "after", 1, 1);
    apply();
    assert_rows(99);
    assert_int_equal(flushtest_letters(letter), 1);
    assert_memory_equal(letter, "run01 22001 3 bad\xff nul", 21); /* the rest is behind the NUL */
    assert_int_equal(counted(&flushtest.stats->deadletter_points), 3);
    assert_int_equal(counted(&flushtest.stats->applied_points), 99);
}

/* The search for them is bounded; what it has not reached is kept, not lost. */
static void test_many_poison_points_are_not_looked_for_one_by_one(void **state)
{
    static struct point points[1000];

    (void)state;
    for (int i = 0; i < 1000; i++)
        points[i] = (struct point){.key = i < 10 ? STR("good") : STR("bad\xff"), .step = i};
    flushtest_append("run01", points, 1000);
    flushtest_point("run02", "good", 1, 1);
    apply();
    assert_true(load.trials <= LOAD_TRIALS);
    assert_rows(10 + 1);
    assert_int_equal(flushtest_letters(letter), 1);
    assert_memory_equal(letter, "run01 22021 990 bad", 19);
}

static void test_an_entry_refused_as_a_whole_becomes_a_letter(void **state)
{
    struct point points[2] = {{.key = STR_INIT("a"), .step = 1}, {.key = STR_INIT("b"), .step = 2}};

    (void)state;
    /* Each point alone passes, both together do not. */
    pgtest_sql("CREATE FUNCTION two() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
               " IF (SELECT count(*) FROM metrics WHERE run_uuid = 'run01') > 1 THEN"
               " RAISE EXCEPTION 'two are too many'; END IF; RETURN NULL; END $$;"
               "CREATE TRIGGER two AFTER INSERT ON metrics EXECUTE FUNCTION two();"
               "ALTER TABLE metrics ENABLE ALWAYS TRIGGER two");
    flushtest_append("run01", points, 2);
    flushtest_point("run02", "k", 1, 1);
    apply();
    assert_rows(1);
    assert_int_equal(flushtest_letters(letter), 1);
    assert_string_equal(letter, "run01 P0001 2 a b");
}

static void test_a_refusal_that_has_passed_costs_nothing(void **state)
{
    struct point points[2] = {{.key = STR_INIT("a"), .step = 1}, {.key = STR_INIT("b"), .step = 2}};

    (void)state;
    /* A sequence is not rolled back: the first transaction is refused, and none after it. */
    pgtest_sql("CREATE SEQUENCE once;"
               "CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
               " IF nextval('once') = 1 THEN RAISE EXCEPTION 'not now'; END IF;"
               " RETURN NULL; END $$;"
               "CREATE TRIGGER once AFTER INSERT ON metrics EXECUTE FUNCTION once();"
               "ALTER TABLE metrics ENABLE ALWAYS TRIGGER once");
    flushtest_append("run01", points, 2);
    apply();
    assert_rows(2);
    assert_int_equal(flushtest_letters(letter), 0);
}

/* An upgrade lands between two windows of one connection, and its schema refuses every row: that is
 * no letter, it waits for whoever brings the upgrade to its end. */
static void test_what_an_unknown_schema_refuses_is_held(void **state)
{
    struct point points[2] = {{.key = STR_INIT("a"), .step = 1}, {.key = STR_INIT("b"), .step = 2}};
    struct take take;

    (void)state;
    flushtest_append("run01", points, 2);
    flushtest_point("run02", "k", 1, 1);
    pgtest_sql("BEGIN; ALTER TABLE metrics ADD COLUMN later int NOT NULL;"
               "UPDATE alembic_version SET version_num = 'future'; COMMIT");
    assert_int_equal(queue_take(flushtest.reader, take_until(100, clock_us()), &take, NULL), OK);
    atomic_store(&link_.halt.is_asked, true); /* one look, no wait */
    assert_int_equal(load_apply(&load, flushtest.reader, &take), ERR_CLOSING);
    assert_int_equal(counted(&flushtest.stats->flusher_held), 1);
    assert_int_equal(flushtest_letters(letter), 0);
    atomic_store(&link_.halt.is_asked, false);
    pgtest_sql("ALTER TABLE metrics DROP COLUMN later;"
               "UPDATE alembic_version SET version_num = 'dc11669786a5'");
    assert_int_equal(link_ready(&link_), OK);
    assert_int_equal(load_apply(&load, flushtest.reader, &take), OK);
    assert_rows(3);
    assert_int_equal(flushtest_letters(letter), 0);
}

/* Somebody with a copy of the journal moves the positions while points are looked for one by one:
 * that they lie before the position then does not mean that they are stored. */
static void test_positions_that_move_during_the_search_are_judged(void **state)
{
    static const struct reason why = {"22021", "refused"};
    struct point points[2] = {{.key = STR_INIT("a"), .step = 1}, {.key = STR_INIT("b"), .step = 2}};
    struct take take;

    (void)state;
    flushtest_append("run01", points, 2);
    assert_int_equal(queue_take(flushtest.reader, take_until(100, clock_us()), &take, NULL), OK);
    assert_int_equal(load_apply(&load, flushtest.reader, &take), OK);
    flushtest_append("run01", points, 2);
    link_.newest = queue_appended(flushtest.queue);
    pgtest_sql("UPDATE sluice.positions SET position = position * 2");
    assert_int_equal(queue_take(flushtest.reader, take_until(100, clock_us()), &take, NULL), OK);
    load.take = take;
    atomic_store(&link_.halt.is_asked, true); /* one look, no wait */
    assert_int_equal(load_isolate(&load, 0, &why), ERR_CLOSING);
    assert_int_equal(counted(&flushtest.stats->flusher_held), 1);
}

static void test_a_unique_index_of_the_operators_ends_in_letters(void **state)
{
    (void)state;
    pgtest_sql("CREATE UNIQUE INDEX mine ON latest_metrics (key)");
    flushtest_point("run01", "k", 1, 1);
    flushtest_point("run02", "k", 1, 1);
    apply();
    assert_rows(1);
    assert_int_equal(flushtest_letters(letter), 1);
    assert_string_equal(letter, "run02 23505 1 k");
}

static void test_missing_models_cost_the_model_rows_only(void **state)
{
    struct point points[3] = {{.key = STR_INIT("a"), .step = 1, .model_id = STR_INIT("m-1")},
                              {.key = STR_INIT("b"), .step = 1, .model_id = STR_INIT("m-absent")},
                              {.key = STR_INIT("c"), .step = 1}};

    (void)state;
    pgtest_sql("INSERT INTO logged_models (model_id, experiment_id, name, artifact_location,"
               " creation_timestamp_ms, last_updated_timestamp_ms, status)"
               " VALUES ('m-1', 0, 'n', 'x', 0, 0, 1)");
    flushtest_append("run01", points, 3);
    flushtest_append("run02", points, 1);
    apply();
    assert_rows(4);
    assert_int_equal(pgtest_number("SELECT count(*) FROM logged_model_metrics"), 2);
    assert_int_equal(flushtest_letters(letter), 1);
    assert_string_equal(letter, "run01 23503 1 b");
    assert_int_equal(counted(&flushtest.stats->applied_points), 4);
}

static void test_everything_at_once(void **state)
{
    struct point points[3] = {{.key = STR_INIT("a"), .step = 1},
                              {.key = STR_INIT("bad\xff"), .step = 1},
                              {.key = STR_INIT("b"), .step = 1, .model_id = STR_INIT("m-absent")}};

    (void)state;
    flushtest_append("run03", points, 1);
    apply();
    for (int i = 0; i < 10; i++) {
        flushtest_append("run01", points, 3);
        flushtest_append("gone", points, 3);
        flushtest_append("run03", points, 1); /* repeats */
        flushtest_point("run02", "k", i, i);
    }
    apply();
    assert_rows(1 + 2 + 10);
    /* Ten entries of run01: ten letters for the bad point, ten for the model; ten entries of gone. */
    assert_int_equal(flushtest_letters(letter), 30);
    assert_int_equal(counted(&flushtest.stats->deadletter_points), 10 + 10 + 30);
}

/* COMMIT went through but its answer was lost: the entries are left out the second time. */
static void test_what_is_applied_already_is_not_applied_again(void **state)
{
    char sql[128];
    pos_t end;

    (void)state;
    flushtest_point("run01", "k", 1, 1);
    end = flushtest_point("run02", "k", 1, 1);
    snprintf(sql, sizeof(sql), "UPDATE sluice.positions SET position = %llu",
             (unsigned long long)end);
    pgtest_sql(sql);
    apply();
    assert_rows(0);
    assert_int_equal(counted(&flushtest.stats->windows), 0);
}

static void test_a_part_that_is_applied_already_is_left_out(void **state)
{
    char sql[160];
    pos_t end;

    (void)state;
    end = flushtest_point("run01", "k", 1, 1);
    flushtest_point("run01", "k", 2, 2);
    snprintf(sql, sizeof(sql), "UPDATE sluice.positions SET position = %llu WHERE partition = %u",
             (unsigned long long)end, queue_partition(STR("run01")));
    pgtest_sql(sql);
    apply();
    assert_rows(1);
    assert_int_equal(pgtest_number("SELECT step FROM metrics"), 2);
}

static void test_a_lost_connection_is_made_again(void **state)
{
    (void)state;
    flushtest_point("run01", "k", 1, 1);
    pgtest_sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
               " WHERE application_name LIKE 'sluice flusher%'");
    apply();
    assert_rows(1);
    assert_true(counted(&flushtest.stats->window_retries) > 0);
}

static void test_unreadable_records_become_letters(void **state)
{
    struct entry entries[2] = {{.pos = 64, .end = 128, .version = 99, .payload = STR("?")},
                               {.pos = 128, .end = 192, .version = 1, .payload = STR("?")}};
    struct take take = {.entries = entries, .count = 2, .cursor = 192};

    (void)state;
    assert_int_equal(load_apply(&load, flushtest.reader, &take), OK);
    assert_int_equal(flushtest_letters(letter), 2);
    assert_rows(0);
    assert_int_equal(pgtest_number("SELECT min(position) FROM sluice.positions"), 192);
}

/* From now on a statement that changes latest_metrics takes a minute when the rows in n are so. */
static void slow_when(const char *condition)
{
    char sql[600];

    snprintf(sql, sizeof(sql),
             "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
             " IF (SELECT %s FROM n) THEN PERFORM pg_sleep(60); END IF; RETURN NULL; END $$;"
             "CREATE TRIGGER slow AFTER INSERT ON latest_metrics REFERENCING NEW TABLE AS n"
             " FOR EACH STATEMENT EXECUTE FUNCTION slow();"
             "ALTER TABLE latest_metrics ENABLE ALWAYS TRIGGER slow",
             condition);
    pgtest_sql(sql);
    assert_int_equal(pg_run(&link_.session.pg, "SET statement_timeout = '300ms'", NULL), OK);
}

static void test_a_window_too_slow_is_halved(void **state)
{
    (void)state;
    slow_when("count(*) > 1");
    flushtest_point("run01", "k", 1, 1);
    flushtest_point("run02", "k", 1, 1);
    apply();
    assert_rows(2);
    assert_int_equal(counted(&flushtest.stats->windows), 2);
}

/* On a thread of its own: takes the cause away once somebody is told. */
static void *mend_when_told(void *arg)
{
    uint64_t deadline_us = clock_us() + FLUSHTEST_PATIENCE_US;
    struct inbox none;

    (void)arg;
    check(inbox_init(&none) == 0);
    while (counted(&flushtest.stats->flusher_overdue) == 0) {
        if (clock_us() > deadline_us)
            pgtest_die("waited in vain", "flusher_overdue");
        inbox_wait(&none, clock_us() + 2000);
    }
    inbox_fini(&none);
    pgtest_sql("DROP TRIGGER slow ON latest_metrics");
    return NULL;
}

static void test_an_entry_too_slow_alone_is_told_of_and_never_dropped(void **state)
{
    pthread_t mender;

    (void)state;
    slow_when("bool_or(key = 'slow')");
    flushtest_point("run01", "k", 1, 1);
    flushtest_point("run02", "slow", 1, 1);
    flushtest_point("run01", "k", 1, 2);
    assert_int_equal(pthread_create(&mender, NULL, mend_when_told, NULL), 0);
    apply(); /* comes back when it is mended */
    assert_int_equal(pthread_join(mender, NULL), 0);
    assert_rows(3);
    assert_int_equal(flushtest_letters(letter), 0);
    assert_true(counted(&flushtest.stats->window_retries) >= LOAD_SLOW);
    assert_int_equal(counted(&flushtest.stats->flusher_overdue), 0);
}

static void test_stopping_leaves_the_rest_for_the_next(void **state)
{
    struct take take;

    (void)state;
    flushtest_point("run01", "k", 1, 1);
    assert_int_equal(queue_take(flushtest.reader, take_until(100, clock_us()), &take, NULL), OK);
    atomic_store(&link_.halt.deadline_us, clock_us());
    atomic_store(&link_.halt.is_asked, true);
    assert_int_equal(load_apply(&load, flushtest.reader, &take), ERR_CLOSING);
    assert_rows(0);
    assert_int_equal(queue_backlog_points(flushtest.queue), 1);
}

/* The letters are full: the window waits, loses nothing, and ends with the flusher. */
static void test_no_room_for_letters_holds_the_window(void **state)
{
    struct take take;

    (void)state;
    load_limit(&load, 1);
    flushtest_point("gone", "k", 1, 1);
    apply(); /* into empty files any letter goes */
    assert_int_equal(flushtest_letters(letter), 1);
    flushtest_point("gone", "k", 2, 2);
    flushtest_point("run01", "k", 1, 1);
    assert_int_equal(queue_take(flushtest.reader, take_until(100, clock_us()), &take, NULL), OK);
    atomic_store(&link_.halt.is_asked, true); /* one look, no wait */
    assert_int_equal(load_apply(&load, flushtest.reader, &take), ERR_CLOSING);
    assert_int_equal(counted(&flushtest.stats->deadletter_held), 1);
    assert_int_equal(flushtest_letters(letter), 1);
    assert_rows(0);
    assert_int_equal(queue_backlog_points(flushtest.queue), 2);
    atomic_store(&link_.halt.is_asked, false);
    load_limit(&load, 1 << 20);
    assert_int_equal(load_apply(&load, flushtest.reader, &take), OK);
    assert_int_equal(counted(&flushtest.stats->deadletter_held), 0);
    assert_int_equal(flushtest_letters(letter), 2);
    assert_rows(1);
}

/* Who has the letters' lock does not let go, because it was stopped: that is said, not waited for in
 * silence. */
static void test_a_lock_that_is_never_given_back_is_a_hold(void **state)
{
    struct take take;
    int lock;

    (void)state;
    flushtest_point("gone", "k", 1, 1);
    apply();
    assert_int_equal(letterbox_lock(load.quarantine.folder, &lock, NULL), OK);
    flushtest_point("gone", "k", 2, 2);
    assert_int_equal(queue_take(flushtest.reader, take_until(100, clock_us()), &take, NULL), OK);
    atomic_store(&link_.halt.deadline_us, clock_us() + FLUSHTEST_PATIENCE_US);
    atomic_store(&link_.halt.is_asked, true);
    assert_int_equal(load_apply(&load, flushtest.reader, &take), ERR_CLOSING);
    assert_int_equal(counted(&flushtest.stats->deadletter_held), 1);
    letterbox_unlock(lock);
    atomic_store(&link_.halt.is_asked, false);
    assert_int_equal(load_apply(&load, flushtest.reader, &take), OK);
    assert_int_equal(counted(&flushtest.stats->deadletter_held), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* A range of a take whose partitions have cursors ends, for each, at its next entry behind it. */
static void test_a_part_of_a_take_ends_at_each_partitions_next_entry(void **state)
{
    struct entry entries[] = {{.pos = 5, .partition = 1},
                              {.pos = 70, .partition = 2},
                              {.pos = 6, .partition = 1},
                              {.pos = 71, .partition = 2}};
    pos_t cursors[QUEUE_PARTITIONS_MAX] = {[1] = 7, [2] = 72, [3] = 9};
    struct load l = {.take = {.entries = entries, .count = 4, .cursors = cursors}};
    const pos_t *c;

    (void)state;
    c = load_cursors(&l, 4);
    assert_true(c[1] == 7 && c[2] == 72 && c[3] == 9);
    c = load_cursors(&l, 3);
    assert_true(c[1] == 7 && c[2] == 71 && c[3] == 9);
    c = load_cursors(&l, 1);
    assert_true(c[1] == 6 && c[2] == 70 && c[3] == 9);
    l.take.cursors = NULL;
    assert_null(load_cursors(&l, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_take_becomes_rows),
        TEST(test_a_part_of_a_take_ends_at_each_partitions_next_entry),
        TEST(test_repeats_choose_the_staged_path_until_they_cease),
        TEST(test_entries_of_missing_runs_become_letters),
        TEST(test_a_poison_entry_is_found_and_the_rest_lands),
        TEST(test_poison_points_are_found_inside_an_entry),
        TEST(test_many_poison_points_are_not_looked_for_one_by_one),
        TEST(test_an_entry_refused_as_a_whole_becomes_a_letter),
        TEST(test_a_refusal_that_has_passed_costs_nothing),
        TEST(test_what_an_unknown_schema_refuses_is_held),
        TEST(test_positions_that_move_during_the_search_are_judged),
        TEST(test_a_unique_index_of_the_operators_ends_in_letters),
        TEST(test_missing_models_cost_the_model_rows_only),
        TEST(test_everything_at_once),
        TEST(test_what_is_applied_already_is_not_applied_again),
        TEST(test_a_part_that_is_applied_already_is_left_out),
        TEST(test_a_lost_connection_is_made_again),
        TEST(test_unreadable_records_become_letters),
        TEST(test_a_window_too_slow_is_halved),
        TEST(test_an_entry_too_slow_alone_is_told_of_and_never_dropped),
        TEST(test_stopping_leaves_the_rest_for_the_next),
        TEST(test_no_room_for_letters_holds_the_window),
        TEST(test_a_lock_that_is_never_given_back_is_a_hold),
    };

    return cmocka_run_group_tests(tests, group_setup, NULL);
}
