/* session: which databases it will write to, and what it makes of them. */
#define _GNU_SOURCE /* memmem */

#include "flush/session.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tests/unit/pgtest.h"

static struct pg_halt halt;
static const char *uri;

static int group_setup(void **state)
{
    (void)state;
    pgtest_start();
    return pg_halt_init(&halt);
}

static int setup(void **state)
{
    (void)state;
    uri = pgtest_database();
    return 0;
}

static struct session fresh(void)
{
    return (struct session){.queue_id = "0123456789abcdef0123456789abcdef",
                            .mask = session_mask(0, 1)};
}

static void assert_refused(const char *sql, err_t wanted, const char *words)
{
    struct session s = fresh();
    struct fail f;

    fail_init(&f, NULL);
    pgtest_sql(sql);
    assert_int_equal(session_open(&s, pgtest_terms(uri), 0, &halt, &f), wanted);
    assert_false(pg_is_open(&s.pg));
    if (!memmem(f.text.p, f.text.n, words, strlen(words)))
        fail_msg("said: %.*s", STR_ARG(f.text));
}

static void test_partitions_are_dealt_out_once(void **state)
{
    (void)state;
    assert_int_equal(session_mask(0, 1), 0xffff);
    for (unsigned count = 1; count <= QUEUE_PARTITIONS; count++) {
        uint64_t all = 0;

        for (unsigned i = 0; i < count; i++) {
            assert_int_equal(all & session_mask(i, count), 0);
            all |= session_mask(i, count);
        }
        assert_int_equal(all, 0xffff);
    }
}

static void test_it_opens_with_its_settings_and_positions(void **state)
{
    struct session s = fresh();

    (void)state;
    pgtest_sql("INSERT INTO sluice.positions VALUES"
               " ('0123456789abcdef0123456789abcdef', 3, 4711), ('other', 4, 1)");
    s.mask = session_mask(1, 2);
    assert_int_equal(session_open(&s, pgtest_terms(uri), 1, &halt, NULL), OK);
    assert_true(s.is_trusted);
    assert_int_equal(s.positions[3], 4711);
    assert_int_equal(s.positions[5], 0);
    assert_int_equal(pgtest_number("SELECT count(*) FROM sluice.positions"), 9);
    assert_int_equal(pgtest_number("SELECT count(*) FROM pg_stat_activity"
                                   " WHERE application_name = 'sluice flusher 1'"),
                     1);
    assert_int_equal(pg_run(&s.pg,
                            "SELECT 1/(current_setting('session_replication_role') = 'replica'"
                            " AND current_setting('statement_timeout') = '30s')::int",
                            NULL),
                     OK);
    /* Again: the rows are there, and what others moved is seen. */
    pgtest_sql("UPDATE sluice.positions SET position = 5000 WHERE partition = 5");
    assert_int_equal(session_open(&s, pgtest_terms(uri), 1, &halt, NULL), OK);
    assert_int_equal(s.positions[5], 5000);
    session_close(&s);
}

static void test_synchronous_commit_is_raised_from_off_only(void **state)
{
    struct session s = fresh();
    static const char check[] = "SELECT 1/(current_setting('synchronous_commit') = '%s')::int";
    char sql[128];

    (void)state;
    pgtest_sql("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database()"
               " || ' SET synchronous_commit = off'; END $$");
    assert_int_equal(session_open(&s, pgtest_terms(uri), 0, &halt, NULL), OK);
    snprintf(sql, sizeof(sql), check, "on");
    assert_int_equal(pg_run(&s.pg, sql, NULL), OK);
    pgtest_sql("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database()"
               " || ' SET synchronous_commit = remote_apply'; END $$");
    assert_int_equal(session_open(&s, pgtest_terms(uri), 0, &halt, NULL), OK);
    snprintf(sql, sizeof(sql), check, "remote_apply");
    assert_int_equal(pg_run(&s.pg, sql, NULL), OK);
    session_close(&s);
}

static void test_an_unknown_revision_is_refused(void **state)
{
    (void)state;
    assert_refused("UPDATE alembic_version SET version_num = 'ffffffffffff'", ERR_SCHEMA,
                   "ffffffffffff");
    assert_refused("INSERT INTO alembic_version VALUES ('dc11669786a5')", ERR_SCHEMA, "2 rows");
    assert_refused("DELETE FROM alembic_version", ERR_SCHEMA, "0 rows");
    assert_refused("DROP TABLE alembic_version", ERR_SCHEMA, "alembic_version");
}

static void test_missing_or_changed_columns_are_refused(void **state)
{
    (void)state;
    assert_refused("ALTER TABLE metrics ALTER timestamp TYPE numeric", ERR_SCHEMA,
                   "metrics.timestamp");
    assert_refused("ALTER TABLE metrics ALTER timestamp TYPE bigint;"
                   "ALTER TABLE metrics ADD owner text NOT NULL",
                   ERR_SCHEMA, "metrics.owner");
    assert_refused("ALTER TABLE metrics DROP owner; ALTER TABLE latest_metrics DROP is_nan",
                   ERR_SCHEMA, "latest_metrics: 5 of 6");
    assert_refused("DROP TABLE latest_metrics", ERR_SCHEMA, "latest_metrics: 0 of 6");
}

static void test_added_columns_with_defaults_are_taken(void **state)
{
    struct session s = fresh();

    (void)state;
    pgtest_sql("ALTER TABLE metrics ADD note text, ADD at timestamptz NOT NULL DEFAULT now(),"
               " ADD id bigint NOT NULL GENERATED ALWAYS AS IDENTITY");
    assert_int_equal(session_open(&s, pgtest_terms(uri), 0, &halt, NULL), OK);
    session_close(&s);
}

static void test_a_missing_schema_sluice_is_refused(void **state)
{
    (void)state;
    assert_refused("DROP SCHEMA sluice CASCADE", ERR_SCHEMA, "sluice.positions");
}

static void test_a_read_only_server_is_refused(void **state)
{
    (void)state;
    assert_refused("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database()"
                   " || ' SET default_transaction_read_only = on'; END $$",
                   ERR_SCHEMA, "read-only");
}

static void test_without_the_privilege_triggers_stay_on(void **state)
{
    struct session s = fresh();
    char plain[256];

    (void)state;
    pgtest_sql("DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN;"
               "GRANT USAGE ON SCHEMA sluice TO plain;"
               "GRANT ALL ON ALL TABLES IN SCHEMA public, sluice TO plain");
    snprintf(plain, sizeof(plain), "%s", uri);
    strcpy(strstr(plain, "user=postgres"), "user=plain");
    assert_int_equal(session_open(&s, pgtest_terms(plain), 0, &halt, NULL), OK);
    assert_false(s.is_trusted);
    pgtest_sql("GRANT SET ON PARAMETER session_replication_role TO plain");
    assert_int_equal(session_open(&s, pgtest_terms(plain), 0, &halt, NULL), OK);
    assert_true(s.is_trusted);
    session_close(&s);
    pgtest_sql("REVOKE SET ON PARAMETER session_replication_role FROM plain;"
               "DROP OWNED BY plain; DROP ROLE plain");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_partitions_are_dealt_out_once),
        cmocka_unit_test_setup(test_it_opens_with_its_settings_and_positions, setup),
        cmocka_unit_test_setup(test_synchronous_commit_is_raised_from_off_only, setup),
        cmocka_unit_test_setup(test_an_unknown_revision_is_refused, setup),
        cmocka_unit_test_setup(test_missing_or_changed_columns_are_refused, setup),
        cmocka_unit_test_setup(test_added_columns_with_defaults_are_taken, setup),
        cmocka_unit_test_setup(test_a_missing_schema_sluice_is_refused, setup),
        cmocka_unit_test_setup(test_a_read_only_server_is_refused, setup),
        cmocka_unit_test_setup(test_without_the_privilege_triggers_stay_on, setup),
    };

    return cmocka_run_group_tests(tests, group_setup, NULL);
}
