/* redelivery: letters become rows once, however often and beside whomever they are applied. */
#include "flush/redelivery.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/pgtest.h"

static struct redelivery redelivery;
static char records[64][512];
static struct redelivery_item items[64];

static int group_setup(void **state)
{
    (void)state;
    pgtest_start();
    return 0;
}

static int setup(void **state)
{
    struct fail f;

    (void)state;
    pgtest_database();
    pgtest_sql("INSERT INTO runs (run_uuid, experiment_id, status, lifecycle_stage, start_time)"
               " SELECT 'run' || to_char(i, 'FM00'), 0, 'RUNNING', 'active', 0"
               " FROM generate_series(1, 9) i");
    fail_init(&f, NULL);
    memset(items, 0, sizeof(items));
    if (redelivery_open(&redelivery, pgtest_terms(pgtest.uri), &f))
        pgtest_die("redelivery_open", f.small);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    redelivery_close(&redelivery);
    return 0;
}

/* Letter number i: two points of one run. */
static void letter(int i, const char *run, const char *key, const char *model)
{
    struct point points[2] = {{.key = str_of(key), .value = 1, .timestamp = 1, .step = i},
                              {.key = str_of(key), .value = 2, .timestamp = 2, .step = i}};
    struct batch b = {.npoints = 2, .points = points};

    points[1].model_id = str_of(model);
    assert_true(run_id_set(&b.run, str_of(run)));
    assert_true(record_bound(&b) <= sizeof(records[i]));
    items[i] =
        (struct redelivery_item){.letter = {.points = 2,
                                            .pos = 8 * (uint64_t)i,
                                            .version = RECORD_VERSION,
                                            .record = {records[i], record_encode(&b, records[i])}}};
}

static void apply(size_t count)
{
    struct fail f;

    fail_init(&f, NULL);
    assert_int_equal(redelivery_apply(&redelivery, items, count, &f), OK);
    for (size_t i = 0; i < count; i++)
        assert_true(items[i].is_applied == (items[i].reason[0] == 0));
}

static void assert_rows(long rows)
{
    assert_int_equal(pgtest_number("SELECT count(*) FROM metrics"), rows);
    assert_int_equal(
        pgtest_number("SELECT count(*) FROM (SELECT DISTINCT ON (run_uuid, key) run_uuid, key,"
                      " step, timestamp, value FROM metrics ORDER BY run_uuid, key, step DESC,"
                      " timestamp DESC, value DESC) m FULL JOIN latest_metrics l"
                      " USING (run_uuid, key, step, timestamp, value)"
                      " WHERE m.run_uuid IS NULL OR l.run_uuid IS NULL OR m.key IS NULL"),
        0);
}

static void test_twice_is_once(void **state)
{
    (void)state;
    letter(0, "run01", "k", "");
    letter(1, "run02", "k", "");
    apply(2);
    assert_rows(4);
    letter(0, "run01", "k", "");
    letter(1, "run02", "k", "");
    letter(2, "run01", "k", ""); /* newer than what is there: latest_metrics moves */
    apply(3);
    assert_rows(6);
    assert_int_equal(pgtest_number("SELECT count(*) FROM sluice.positions"), 0);
}

static void test_an_old_letter_leaves_the_latest_alone(void **state)
{
    (void)state;
    letter(5, "run01", "k", "");
    items[0] = items[5];
    apply(1);
    letter(1, "run01", "k", "");
    items[0] = items[1];
    apply(1);
    assert_rows(4);
    assert_int_equal(pgtest_number("SELECT step FROM latest_metrics"), 5);
}

static void test_the_refused_among_many_is_found(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++)
        letter(i, "run03", i == 17 ? "bad\xff" : "k", "");
    letter(20, "gone", "k", "");
    letter(30, "run04", "k", "m-absent");
    items[35].letter.version = 99;
    apply(40);
    assert_string_equal(items[17].sqlstate, "22021");
    assert_string_equal(items[20].reason, "the run does not exist");
    assert_string_equal(items[30].reason, "the logged model does not exist");
    assert_string_equal(items[35].sqlstate, "");
    assert_rows(2 * 36);
}

static void test_what_has_come_meanwhile_is_found(void **state)
{
    (void)state;
    letter(0, "late", "k", "m-1");
    apply(1);
    assert_string_equal(items[0].sqlstate, "23503");
    pgtest_sql("INSERT INTO runs (run_uuid, experiment_id, status, lifecycle_stage, start_time)"
               " VALUES ('late', 0, 'RUNNING', 'active', 0)");
    letter(0, "late", "k", "m-1");
    apply(1);
    assert_false(items[0].is_applied);
    pgtest_sql("INSERT INTO logged_models (model_id, experiment_id, name, artifact_location,"
               " creation_timestamp_ms, last_updated_timestamp_ms, status)"
               " VALUES ('m-1', 0, 'n', 'x', 0, 0, 1)");
    letter(0, "late", "k", "m-1");
    apply(1);
    assert_true(items[0].is_applied);
    assert_rows(2);
    assert_int_equal(pgtest_number("SELECT count(*) FROM logged_model_metrics"), 1);
}

static void test_a_lost_connection_is_made_again(void **state)
{
    (void)state;
    letter(0, "run01", "k", "");
    pgtest_sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
               " WHERE application_name = 'sluice deadletter retry'");
    apply(1);
    assert_rows(2);
}

static void test_another_schema_is_left_alone(void **state)
{
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    letter(0, "run01", "k", "");
    pgtest_sql("UPDATE alembic_version SET version_num = 'other'");
    session_close(&redelivery.session);
    assert_int_equal(redelivery_apply(&redelivery, items, 1, &f), ERR_SCHEMA);
    assert_false(items[0].is_applied);
    assert_string_equal(items[0].reason, "");
    assert_rows(0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_twice_is_once),
        TEST(test_an_old_letter_leaves_the_latest_alone),
        TEST(test_the_refused_among_many_is_found),
        TEST(test_what_has_come_meanwhile_is_found),
        TEST(test_a_lost_connection_is_made_again),
        TEST(test_another_schema_is_left_alone),
    };

    return cmocka_run_group_tests(tests, group_setup, NULL);
}
