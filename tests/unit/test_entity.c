/* entity: rows of a real PostgreSQL to MLflow's JSON, byte for byte. */
#include "gateway/api/entity.c"

#include "tests/unit/pgtest.h"
#include "unscoped.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena arena;
static struct buf out;
static struct json json;

static PGresult *query(const char *text, const char *value)
{
    PGresult *res;

    pgtest_sql("SELECT 1"); /* connects */
    text = unscoped(&arena, text);
    res = PQexecParams(pgtest.conn, text, value ? 1 : 0, NULL, &value, NULL, NULL, 0);
    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", text, PQerrorMessage(pgtest.conn));
    return res;
}

static void begin(enum json_form form)
{
    buf_reset(&out);
    json_init(&json, &out, form);
}

static void assert_written(const char *want)
{
    struct str got = buf_str(&out);

    if (!str_eq(got, str_of(want)))
        fail_msg("wrote %.*s\nwanted %s", STR_ARG(got), want);
}

static void assert_double(double v)
{
    char sql[64], want[JSON_DOUBLE_MAX];
    size_t n = json_repr_double(v, want);
    PGresult *res;

    snprintf(sql, sizeof(sql), "SELECT %.17g::float8", v);
    if (signbit(v) && v == 0)
        snprintf(sql, sizeof(sql), "SELECT '-0'::float8");
    res = query(sql, NULL);
    begin(JSON_COMPACT);
    entity_double(&json, sql_get(res, 0, 0));
    want[n] = '\0';
    assert_written(want);
    PQclear(res);
}

static void test_doubles_look_like_pythons(void **state)
{
    static const double values[] = {
        0,
        -0.0,
        1,
        -1,
        0.5,
        0.1,
        1e-4,
        1e-5,
        1.5e-7,
        -2.5e-300,
        1e15,
        -1e15,
        1.5e15,
        1234567890123456.0,
        -9007199254740991.0,
        999999999999999.9,
        1e16,
        1.5e16,
        12345678901234567.0,
        1e22,
        1e100,
        1.7976931348623157e308,
        -1.7976931348623157e308,
        5e-324,
        123456.789,
        1e14,
        100000000000000.1,
        0.00012,
        3.141592653589793,
    };

    (void)state;
    for (size_t i = 0; i < array_len(values); i++)
        assert_double(values[i]);
    srand(7);
    for (int i = 0; i < 5000; i++) {
        double v =
            ldexp((double)rand() - RAND_MAX / 2.0 + 1.0 / (1 + rand() % 9), rand() % 160 - 90);

        assert_double(i % 3 ? v : floor(v));
    }
    begin(JSON_COMPACT);
    entity_double(&json, STR("Infinity"));
    assert_written("\"Infinity\"");
}

static void test_an_experiment(void **state)
{
    PGresult *rows, *tags;
    struct entity_group group;

    (void)state;
    pgtest_sql("INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage,"
               " creation_time, last_update_time) VALUES (5, 'n\xc3\xa4me', 's3://b/5', 'active', "
               "11, 12)");
    pgtest_sql("INSERT INTO experiment_tags (experiment_id, key, value) VALUES (5, 'k', 'v'),"
               " (5, 'none', NULL)");
    rows = query("SELECT " ENTITY_EXPERIMENT " FROM experiments e ORDER BY 1", NULL);
    tags = query(EXPERIMENT_TAGS.all.text, "{0,5}");
    entity_group(&arena, rows, PQntuples(rows), 0, tags, &group);
    begin(JSON_PRETTY);
    entity_experiment(&json, rows, 1, &group);
    assert_written("{\n  \"experiment_id\": \"5\",\n  \"name\": \"n\\u00e4me\",\n"
                   "  \"artifact_location\": \"s3://b/5\",\n  \"lifecycle_stage\": \"active\",\n"
                   "  \"last_update_time\": 12,\n  \"creation_time\": 11,\n  \"tags\": [\n    {\n"
                   "      \"key\": \"k\",\n      \"value\": \"v\"\n    },\n    {\n"
                   "      \"key\": \"none\"\n    }\n  ],\n  \"workspace\": \"default\"\n}");
    begin(JSON_COMPACT);
    entity_experiment(&json, rows, 0, &group); /* times NULL, no tags */
    assert_written("{\"experiment_id\":\"0\",\"name\":\"Default\",\"artifact_location\":\"x\","
                   "\"lifecycle_stage\":\"active\",\"workspace\":\"default\"}");
    PQclear(rows);
    PQclear(tags);
}

static void insert_runs(void)
{
    pgtest_sql("INSERT INTO runs (run_uuid, name, user_id, status, start_time, end_time,"
               " lifecycle_stage, artifact_uri, experiment_id) VALUES"
               " ('a', 'first', 'me', 'FINISHED', 100, 200, 'active', 'u/a', 0),"
               " ('b', '', '', 'RUNNING', 0, NULL, 'deleted', '', 0),"
               " ('c', NULL, '', 'RUNNING', 1, 0, 'active', NULL, 0)");
    pgtest_sql("INSERT INTO latest_metrics VALUES ('m', 0.5, 1000, -3, false, 'a'),"
               " ('nan', 0, 1, 0, true, 'a')");
    pgtest_sql("INSERT INTO params (key, value, run_uuid) VALUES ('p', '1', 'b'), ('q', '', 'a')");
    pgtest_sql(
        "INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.runName', 'from tag', 'b')");
    pgtest_sql("INSERT INTO datasets VALUES ('d1', 0, 'ds', 'x1', 'local', 'src', 'sch', NULL)");
    pgtest_sql("INSERT INTO inputs (input_uuid, source_type, source_id, destination_type,"
               " destination_id, step) VALUES ('i1', 'DATASET', 'd1', 'RUN', 'a', 0),"
               " ('i2', 'RUN_INPUT', 'a', 'MODEL_INPUT', 'm-1', 0),"
               " ('i3', 'RUN_OUTPUT', 'a', 'MODEL_OUTPUT', 'm-2', 7)");
    pgtest_sql("INSERT INTO input_tags VALUES ('i1', 'mlflow.data.context', 'train')");
}

static int count_rows(const struct stmt *stmt, struct str ids)
{
    PGresult *res = query(stmt->text, ids.p);
    int n = PQntuples(res);

    PQclear(res);
    return n;
}

/* What a batch of a search asks for ends soon after it was too much. */
static void test_some_of_what_belongs_to_runs(void **state)
{
    struct str ids = STR_INIT("{long,short}");
    struct sql_step all[DETAIL_COUNT], some[DETAIL_COUNT];

    (void)state;
    pgtest_sql("INSERT INTO runs (run_uuid, lifecycle_stage, experiment_id) VALUES"
               " ('long', 'active', 0), ('short', 'active', 0)");
    pgtest_sql("INSERT INTO params (key, value, run_uuid)"
               " SELECT 'k' || i, 'v', 'long' FROM generate_series(1, 3000) AS i");
    pgtest_sql("INSERT INTO tags (key, value, run_uuid)"
               " SELECT 'k' || i, 'v', 'short' FROM generate_series(1, 2048) AS i");
    pgtest_sql("INSERT INTO datasets SELECT 'w' || i, 0, 'w' || i, 'x', 'local', 'src',"
               " repeat('s', 1 << 19), repeat('p', 1 << 19) FROM generate_series(1, 9) AS i");
    pgtest_sql("INSERT INTO inputs (input_uuid, source_type, source_id, destination_type,"
               " destination_id, step) SELECT 'w' || i, 'DATASET', 'w' || i, 'RUN', 'long', 0"
               " FROM generate_series(1, 9) AS i");
    entity_run_steps(all, &ids, false);
    entity_run_steps(some, &ids, true);
    assert_int_equal(count_rows(all[DETAIL_PARAMS].stmt, ids), 3000);
    assert_int_equal(count_rows(some[DETAIL_PARAMS].stmt, ids), 1 + ENTITY_SOME_ROWS);
    assert_int_equal(count_rows(some[DETAIL_TAGS].stmt, ids), ENTITY_SOME_ROWS);
    assert_int_equal(count_rows(all[DETAIL_DATASETS].stmt, ids), 9);
    /* the fourth ends just beyond 4 MiB, as each has "src" as well */
    assert_int_equal(count_rows(some[DETAIL_DATASETS].stmt, ids), 4);
}

static void test_runs_with_all_that_belongs_to_them(void **state)
{
    struct str ids = STR_INIT("{a,b,c}");
    struct sql_step steps[DETAIL_COUNT];
    PGresult *results[DETAIL_COUNT], *runs;
    struct entity_details d;

    (void)state;
    insert_runs();
    runs = query("SELECT " ENTITY_RUN " FROM runs r ORDER BY run_uuid", NULL);
    assert_int_equal(PQnfields(runs), ENTITY_RUN_COLUMNS);
    entity_run_steps(steps, &ids, false);
    for (int i = 0; i < DETAIL_COUNT; i++)
        results[i] = query(steps[i].stmt->text, ids.p);
    entity_details(&arena, runs, 3, results, &d);
    d.has_model_inputs = true;
    begin(JSON_COMPACT);
    entity_run(&json, runs, 0, &d);
    assert_written(
        "{\"info\":{\"run_uuid\":\"a\",\"experiment_id\":\"0\",\"run_name\":\"first\","
        "\"user_id\":\"me\",\"status\":\"FINISHED\",\"start_time\":100,\"end_time\":200,"
        "\"artifact_uri\":\"u/a\",\"lifecycle_stage\":\"active\",\"run_id\":\"a\"},"
        "\"data\":{\"metrics\":[{\"key\":\"m\",\"value\":0.5,\"timestamp\":1000,\"step\":-3},"
        "{\"key\":\"nan\",\"value\":\"NaN\",\"timestamp\":1,\"step\":0}],"
        "\"params\":[{\"key\":\"q\",\"value\":\"\"}]},"
        "\"inputs\":{\"dataset_inputs\":[{\"tags\":[{\"key\":\"mlflow.data.context\","
        "\"value\":\"train\"}],\"dataset\":{\"name\":\"ds\",\"digest\":\"x1\","
        "\"source_type\":\"local\",\"source\":\"src\",\"schema\":\"sch\"}}],"
        "\"model_inputs\":[{\"model_id\":\"m-1\"}]},"
        "\"outputs\":{\"model_outputs\":[{\"model_id\":\"m-2\",\"step\":7}]}}");
    d.has_model_inputs = false;
    begin(JSON_COMPACT);
    entity_run(&json, runs, 1, &d);
    assert_written(
        "{\"info\":{\"run_uuid\":\"b\",\"experiment_id\":\"0\",\"run_name\":\"from tag\","
        "\"user_id\":\"\",\"status\":\"RUNNING\",\"start_time\":0,\"lifecycle_stage\":\"deleted\","
        "\"run_id\":\"b\"},\"data\":{\"params\":[{\"key\":\"p\",\"value\":\"1\"}],"
        "\"tags\":[{\"key\":\"mlflow.runName\",\"value\":\"from tag\"}]},"
        "\"inputs\":{},\"outputs\":{}}");
    begin(JSON_PRETTY);
    entity_run(&json, runs, 2, &d);
    assert_written("{\n  \"info\": {\n    \"run_uuid\": \"c\",\n    \"experiment_id\": \"0\",\n"
                   "    \"user_id\": \"\",\n    \"status\": \"RUNNING\",\n    \"start_time\": 1,\n"
                   "    \"lifecycle_stage\": \"active\",\n    \"run_id\": \"c\"\n  },\n"
                   "  \"data\": {},\n  \"inputs\": {},\n  \"outputs\": {}\n}");
    for (int i = 0; i < DETAIL_COUNT; i++)
        PQclear(results[i]);
    PQclear(runs);
}

static void test_grouping_keeps_order_and_drops_strangers(void **state)
{
    PGresult *owners = query("SELECT * FROM (VALUES ('x'), ('y'), ('z')) v", NULL);
    PGresult *rows = query("SELECT * FROM (VALUES ('y', '1'), ('x', '2'), ('q', '3'), ('y', '4'),"
                           " ('x', '5'), ('y', '6')) v",
                           NULL);
    struct entity_group g;

    (void)state;
    entity_group(&arena, owners, 3, 0, rows, &g);
    assert_int_equal(g.first[0], 1);
    assert_int_equal(g.next[1], 4);
    assert_int_equal(g.next[4], -1);
    assert_int_equal(g.first[1], 0);
    assert_int_equal(g.next[0], 3);
    assert_int_equal(g.next[3], 5);
    assert_int_equal(g.next[5], -1);
    assert_int_equal(g.first[2], -1);
    PQclear(rows);
    rows = query("SELECT 'x' WHERE false", NULL);
    entity_group(&arena, owners, 3, 0, rows, &g);
    assert_int_equal(g.first[0], -1);
    PQclear(rows);
    PQclear(owners);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_doubles_look_like_pythons),
        cmocka_unit_test(test_an_experiment),
        cmocka_unit_test(test_some_of_what_belongs_to_runs),
        cmocka_unit_test(test_runs_with_all_that_belongs_to_them),
        cmocka_unit_test(test_grouping_keeps_order_and_drops_strangers),
    };
    int failed;

    pgtest_start();
    pgtest_database();
    arena_init(&arena, 65536);
    buf_init(&out);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    PQfinish(pgtest.conn);
    pgtest.conn = NULL;
    buf_fini(&out);
    arena_fini(&arena);
    return failed;
}
