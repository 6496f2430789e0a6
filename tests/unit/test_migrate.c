/*
 * migrate: what it says of every state a database can be in, and that what it makes is whole,
 * made once, and left alone afterwards. Against a real PostgreSQL, the private cluster.
 */
#include "schema/migrate.c"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#undef fail /* cmocka has a macro of that name */

#include "schema/cluster.h"

static char work_dir[] = "/tmp/sluice-migrate-XXXXXX";
static struct cluster *cluster;
static struct fail why;
static int database_count;

static PGconn *connect_to(const char *uri)
{
    PGconn *c = PQconnectdb(uri);

    assert_int_equal(PQstatus(c), CONNECTION_OK);
    return c;
}

static void run(PGconn *c, const char *sql)
{
    PGresult *r = PQexec(c, sql);
    ExecStatusType status = PQresultStatus(r);

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        print_error("%s: %s", sql, PQerrorMessage(c));
    assert_true(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK);
    PQclear(r);
}

/* The only value of a query, as text. */
static const char *value_of(PGconn *c, const char *sql)
{
    static char value[512];
    PGresult *r = PQexec(c, sql);

    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        print_error("%s: %s", sql, PQerrorMessage(c));
    assert_int_equal(PQntuples(r), 1);
    snprintf(value, sizeof(value), "%s", PQgetvalue(r, 0, 0));
    PQclear(r);
    return value;
}

static bool says(const char *part)
{
    char text[512];

    str_to_cstr(why.text, text, sizeof(text));
    return strstr(text, part) != NULL;
}

/* The cluster's connection string with another database. */
static void uri_of(const char *database, char *out, size_t cap)
{
    const char *slash = strstr(cluster_uri(cluster), "/sluice?");

    assert_non_null(slash);
    snprintf(out, cap, "%.*s/%s%s", (int)(slash - cluster_uri(cluster)), cluster_uri(cluster),
             database, slash + strlen("/sluice"));
}

static PGconn *open_database(const char *database)
{
    static char uri[CLUSTER_URI_MAX];

    uri_of(database, uri, sizeof(uri));
    return connect_to(uri);
}

/* A connection to a database of its own for each test: empty, or a copy of the prepared one. */
static PGconn *fresh_database(const char *template_name)
{
    PGconn *admin = open_database("postgres");
    char sql[128];
    char name[32];

    snprintf(name, sizeof(name), "t%d", ++database_count);
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s TEMPLATE %s", name, template_name);
    run(admin, sql);
    PQfinish(admin);
    fail_init(&why, NULL);
    return open_database(name);
}

static int start_cluster(void **state)
{
    PGconn *c;

    (void)state;
    assert_non_null(mkdtemp(work_dir));
    assert_int_equal(chmod(work_dir, 0755), 0);
    fail_init(&why, NULL);
    if (cluster_open(work_dir, getenv("SLUICE_PG_BIN_DIR"), &cluster, &why)) {
        print_error("%.*s\n", STR_ARG(why.text));
        return -1;
    }
    /* A database for each test means many files; what a power cut would leave is not the point. */
    c = open_database("postgres");
    run(c, "ALTER SYSTEM SET fsync = off");
    run(c, "SELECT pg_reload_conf()");
    PQfinish(c);
    c = fresh_database("template0"); /* t1: the prepared one */
    assert_int_equal(migrate_prepare(c, "/art", &why), OK);
    PQfinish(c);
    return 0;
}

static int stop_cluster(void **state)
{
    char command[64];

    (void)state;
    cluster_close(cluster);
    snprintf(command, sizeof(command), "rm -rf %s", work_dir);
    return system(command);
}

static void test_every_table_is_wanted(void **state)
{
    struct buf names;

    (void)state;
    buf_init(&names);
    assert_int_equal(migrate_wanted(&mlflow_set, &names), 65);
    assert_true(str_starts(buf_str(&names), STR("{alembic_version,workspaces,experiments,")));
    assert_non_null(strstr(buf_str(&names).p, ",webhook_events}"));
    buf_reset(&names);
    assert_true(migrate_wanted(&auth_set, &names) > 1);
    assert_true(str_starts(buf_str(&names), STR("{alembic_version_auth,")));
    buf_fini(&names);
}

static void test_empty_database_is_told_apart(void **state)
{
    PGconn *c = fresh_database("template0");
    struct migrate_report report;

    (void)state;
    assert_int_equal(migrate_look(c, &report, &why), OK);
    assert_int_equal(report.state, MIGRATE_EMPTY);
    assert_int_equal(report.missing_count, 65);
    assert_int_equal(migrate_check(c, &why), ERR_SCHEMA);
    assert_true(says("sluice schema create"));
    assert_int_equal(PQtransactionStatus(c), PQTRANS_IDLE);
    /* Tables of somebody else, those of MLflow's basic-auth application too, do not count. */
    run(c, "CREATE TABLE users (id int); CREATE TABLE alembic_version_auth (version_num text)");
    assert_int_equal(migrate_look(c, &report, &why), OK);
    assert_int_equal(report.state, MIGRATE_EMPTY);
    PQfinish(c);
}

static void test_create_makes_a_database_that_check_accepts(void **state)
{
    PGconn *c = fresh_database("template0");
    struct migrate_report report;

    (void)state;
    assert_int_equal(migrate_create(c, "s3://bucket/root/", &why), OK);
    assert_int_equal(migrate_look(c, &report, &why), OK);
    assert_int_equal(report.state, MIGRATE_READY);
    assert_int_equal(report.missing_count, 0);
    assert_string_equal(report.head, MIGRATE_HEAD);
    assert_int_equal(migrate_check(c, &why), OK);
    assert_string_equal(value_of(c, "SELECT concat_ws('|', experiment_id, name, artifact_location, "
                                    "lifecycle_stage, workspace, creation_time = last_update_time, "
                                    "abs(creation_time - extract(epoch FROM now()) * 1000) < 60000)"
                                    " FROM experiments"),
                        "0|Default|s3://bucket/root/0|active|default|t|t");
    assert_string_equal(value_of(c, "SELECT name || ': ' || description FROM workspaces"),
                        "default: Default workspace for legacy resources");
    /* Experiment 0 has not used up a number. */
    assert_string_equal(value_of(c, "INSERT INTO experiments (name) VALUES ('x') RETURNING "
                                    "experiment_id"),
                        "1");
    PQfinish(c);
}

static void test_create_refuses_half_a_database(void **state)
{
    PGconn *c = fresh_database("template0");

    (void)state;
    run(c, "CREATE TABLE runs (run_uuid text)");
    assert_int_equal(migrate_create(c, "/art", &why), ERR_SCHEMA);
    assert_true(says("alembic_version"));
    assert_true(says("64 of MLflow's 65"));
    assert_string_equal(value_of(c, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
                        "1");
    PQfinish(c);
}

static void test_check_names_the_first_missing_table(void **state)
{
    PGconn *c = fresh_database("t1");
    struct migrate_report report;

    (void)state;
    run(c, "DROP TABLE job_locks; DROP TABLE latest_metrics");
    assert_int_equal(migrate_look(c, &report, &why), OK);
    assert_int_equal(report.state, MIGRATE_MISSING_TABLE);
    assert_string_equal(report.missing, "latest_metrics");
    assert_int_equal(report.missing_count, 2);
    assert_int_equal(migrate_prepare(c, "/art", &why), ERR_SCHEMA);
    assert_true(says("Table latest_metrics is missing"));
    PQfinish(c);
}

static void test_check_refuses_every_other_head(void **state)
{
    PGconn *c = fresh_database("t1");
    struct migrate_report report;

    (void)state;
    /* The tables of another revision differ too: the revision is what one must be told. */
    run(c, "DROP TABLE job_locks; UPDATE alembic_version SET version_num = '75868b020152'");
    assert_int_equal(migrate_look(c, &report, &why), OK);
    assert_int_equal(report.state, MIGRATE_OLD_HEAD);
    assert_int_equal(migrate_prepare(c, "/art", &why), ERR_SCHEMA);
    assert_true(says("75868b020152") && says(MIGRATE_HEAD) && says("mlflow db upgrade"));
    run(c, "DELETE FROM alembic_version");
    assert_int_equal(migrate_check(c, &why), ERR_SCHEMA);
    assert_true(says("revision none"));
    run(c, "INSERT INTO alembic_version VALUES ('" MIGRATE_HEAD "'), ('75868b020152')");
    assert_int_equal(migrate_check(c, &why), ERR_SCHEMA);
    assert_true(says("more than one row"));
    PQfinish(c);
}

static void test_tables_are_found_where_mlflow_puts_them(void **state)
{
    PGconn *c = fresh_database("template0");

    (void)state;
    run(c, "CREATE SCHEMA tracking; SET search_path = tracking, public");
    assert_int_equal(migrate_prepare(c, "/art", &why), OK);
    assert_string_equal(value_of(c, "SELECT count(*) FROM pg_tables WHERE schemaname = 'tracking'"),
                        "65");
    run(c, "SET search_path = public");
    assert_int_equal(migrate_check(c, &why), ERR_SCHEMA);
    PQfinish(c);
}

static void test_prepare_again_changes_nothing(void **state)
{
    PGconn *c = fresh_database("t1");
    char before[512];

    (void)state;
    snprintf(before, sizeof(before), "%s",
             value_of(c, "SELECT (SELECT count(*) FROM pg_class) || ' ' || experiments::text "
                         "FROM experiments"));
    assert_int_equal(migrate_prepare(c, "/elsewhere", &why), OK);
    assert_string_equal(value_of(c, "SELECT (SELECT count(*) FROM pg_class) || ' ' || "
                                    "experiments::text FROM experiments"),
                        before);
    assert_string_equal(value_of(c, "SELECT string_agg(number || name, ',') FROM "
                                    "sluice.migrations"),
                        "1positions");
    PQfinish(c);
}

static void test_deleted_default_experiment_stays_deleted(void **state)
{
    PGconn *c = fresh_database("t1");

    (void)state;
    run(c, "UPDATE experiments SET lifecycle_stage = 'deleted'");
    assert_int_equal(migrate_seed(c, "/art", &why), OK);
    assert_string_equal(value_of(c, "SELECT lifecycle_stage FROM experiments"), "deleted");
    /* Another experiment may hold the name. */
    run(c, "UPDATE experiments SET experiment_id = 7");
    assert_int_equal(migrate_seed(c, "/art", &why), OK);
    assert_string_equal(value_of(c, "SELECT experiment_id FROM experiments"), "7");
    PQfinish(c);
}

static void test_own_schema_may_be_given_by_an_administrator(void **state)
{
    PGconn *c = fresh_database("template0");

    (void)state;
    run(c, "CREATE ROLE narrow; CREATE SCHEMA sluice AUTHORIZATION narrow; SET ROLE narrow");
    assert_int_equal(migrate_own(c, &why), OK);
    assert_string_equal(value_of(c, "SELECT count(*) FROM sluice.positions"), "0");
    PQfinish(c);
}

static void test_own_refuses_a_newer_schema(void **state)
{
    PGconn *c = fresh_database("t1");

    (void)state;
    run(c, "INSERT INTO sluice.migrations VALUES (99, 'future')");
    assert_int_equal(migrate_own(c, &why), ERR_SCHEMA);
    assert_true(says("at migration 99"));
    PQfinish(c);
}

/* A role named sluice with PostgreSQL's default search_path: MLflow would look into our schema. */
static void test_own_refuses_to_stand_in_mlflows_way(void **state)
{
    PGconn *c = fresh_database("template0");

    (void)state;
    run(c, "SET search_path = \"$user\", public");
    assert_int_equal(migrate_own(c, &why), ERR_SCHEMA);
    assert_true(says("ALTER ROLE sluice IN DATABASE"));
    assert_string_equal(value_of(c, "SELECT count(*) FROM pg_namespace WHERE nspname = 'sluice'"),
                        "0");
    run(c, "SET search_path = public");
    assert_int_equal(migrate_own(c, &why), OK);
    run(c, "SET search_path = \"$user\", public");
    assert_int_equal(migrate_own(c, &why), ERR_SCHEMA); /* also when it is there already */
    PQfinish(c);
}

struct starter {
    pthread_t thread;
    PGconn *c;
    err_t err;
};

static void *starter_main(void *arg)
{
    struct starter *s = arg;
    struct fail f;

    fail_init(&f, NULL);
    s->err = migrate_prepare(s->c, "/art", &f);
    return NULL;
}

static void test_starts_at_once_create_once(void **state)
{
    enum { STARTERS = 4 };
    struct starter starters[STARTERS];
    char name[32];

    (void)state;
    starters[0].c = fresh_database("template0");
    snprintf(name, sizeof(name), "t%d", database_count);
    for (int i = 1; i < STARTERS; i++)
        starters[i].c = open_database(name);
    for (int i = 0; i < STARTERS; i++)
        pthread_create(&starters[i].thread, NULL, starter_main, &starters[i]);
    for (int i = 0; i < STARTERS; i++) {
        pthread_join(starters[i].thread, NULL);
        assert_int_equal(starters[i].err, OK);
    }
    assert_string_equal(value_of(starters[0].c, "SELECT count(*) FROM experiments"), "1");
    for (int i = 0; i < STARTERS; i++)
        PQfinish(starters[i].c);
}

static void test_broken_connection_is_not_a_broken_schema(void **state)
{
    PGconn *c = PQconnectdb("host=/nonexistent");

    (void)state;
    fail_init(&why, NULL);
    assert_int_equal(migrate_check(c, &why), ERR_PG);
    assert_int_equal(migrate_prepare(c, "/art", &why), ERR_PG);
    PQfinish(c);
    c = fresh_database("t1");
    PQclear(PQexec(c, "SELECT pg_terminate_backend(pg_backend_pid())"));
    assert_int_equal(migrate_check(c, &why), ERR_PG);
    PQfinish(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_table_is_wanted),
        cmocka_unit_test(test_empty_database_is_told_apart),
        cmocka_unit_test(test_create_makes_a_database_that_check_accepts),
        cmocka_unit_test(test_create_refuses_half_a_database),
        cmocka_unit_test(test_check_names_the_first_missing_table),
        cmocka_unit_test(test_check_refuses_every_other_head),
        cmocka_unit_test(test_tables_are_found_where_mlflow_puts_them),
        cmocka_unit_test(test_prepare_again_changes_nothing),
        cmocka_unit_test(test_deleted_default_experiment_stays_deleted),
        cmocka_unit_test(test_own_schema_may_be_given_by_an_administrator),
        cmocka_unit_test(test_own_refuses_a_newer_schema),
        cmocka_unit_test(test_own_refuses_to_stand_in_mlflows_way),
        cmocka_unit_test(test_starts_at_once_create_once),
        cmocka_unit_test(test_broken_connection_is_not_a_broken_schema),
    };

    return cmocka_run_group_tests(tests, start_cluster, stop_cluster);
}
