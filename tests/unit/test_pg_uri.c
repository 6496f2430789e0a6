/* pg_uri: what MLflow's users write, as libpq must see it. */
#include "schema/pg_uri.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* cmocka has a macro of that name */

static void check_uri(const char *from, const char *expected)
{
    struct arena a;
    struct str got;

    arena_init(&a, 256);
    got = pg_uri_from_sqlalchemy(str_of(from), &a);
    assert_string_equal(got.p, expected);
    assert_true(pg_uri_is_valid(got.p));
    arena_fini(&a);
}

static void test_schemes(void **state)
{
    (void)state;
    assert_true(pg_uri_is_postgresql(STR("postgresql://h/d")));
    assert_true(pg_uri_is_postgresql(STR("postgres://h/d")));
    assert_true(pg_uri_is_postgresql(STR("postgresql+psycopg2://h/d")));
    assert_false(pg_uri_is_postgresql(STR("sqlite:///mlflow.db")));
    assert_false(pg_uri_is_postgresql(STR("postgresqlx://h/d")));
    assert_false(pg_uri_is_postgresql(STR("host=h dbname=d")));
    assert_false(pg_uri_is_postgresql(STR("postgresql")));
    assert_false(pg_uri_is_postgresql(STR("")));
    assert_true(pg_uri_has_driver(STR("postgresql+psycopg://h/d")));
    assert_false(pg_uri_has_driver(STR("postgresql://u+x:p@h/d")));
    assert_false(pg_uri_has_driver(STR("mysql+pymysql://h/d")));
}

static void test_driver_is_dropped(void **state)
{
    (void)state;
    check_uri("postgresql+psycopg2://mlflow:secret@db:5433/mlflow",
              "postgresql://mlflow:secret@db:5433/mlflow");
    check_uri("postgresql://db/mlflow", "postgresql://db/mlflow");
    check_uri("postgresql+psycopg://", "postgresql://");
    check_uri("postgresql+psycopg:///mlflow?host=/run/postgresql",
              "postgresql:///mlflow?host=/run/postgresql");
    check_uri("postgresql://u@[::1]:5432/d", "postgresql://u@[::1]:5432/d");
}

static void test_passwords_that_would_mislead_libpq(void **state)
{
    (void)state;
    check_uri("postgresql://u:a/b?c#d@h/db", "postgresql://u:a%2Fb%3Fc%23d@h/db");
    check_uri("postgresql://u:a:b@h/db", "postgresql://u:a%3Ab@h/db");
    check_uri("postgresql://u:a%40b%25@h/db", "postgresql://u:a%40b%25@h/db");
    check_uri("postgresql://u:@h/db", "postgresql://u:@h/db");
}

static void test_query_keeps_what_libpq_knows(void **state)
{
    (void)state;
    check_uri("postgresql+psycopg2://h/db?sslmode=require&prepare_threshold=0&connect_timeout=5",
              "postgresql://h/db?sslmode=require&connect_timeout=5");
    check_uri("postgresql://h/db?nonsense=1", "postgresql://h/db");
    check_uri("postgresql://h/db?options=-c+search_path%3Dml",
              "postgresql://h/db?options=-c%20search_path%3Dml");
    check_uri("postgresql://h/db?application_name=a@b", "postgresql://h/db?application_name=a@b");
    check_uri("postgresql://h/db?", "postgresql://h/db");
    check_uri("postgresql://h/db?&&=", "postgresql://h/db");
}

static void test_validity_is_libpqs(void **state)
{
    (void)state;
    assert_true(pg_uri_is_valid("postgresql://u:p@h1:1,h2:2/db"));
    assert_true(pg_uri_is_valid("host=h dbname=d"));
    assert_false(pg_uri_is_valid("***"));
    assert_false(pg_uri_is_valid("postgresql://h/db?nonsense=1"));
    assert_false(pg_uri_is_valid("postgresql://[h/db"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schemes),
        cmocka_unit_test(test_driver_is_dropped),
        cmocka_unit_test(test_passwords_that_would_mislead_libpq),
        cmocka_unit_test(test_query_keeps_what_libpq_knows),
        cmocka_unit_test(test_validity_is_libpqs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
