/* pg_connect: the bounds reach libpq, and the connection string wins over them. */
#include "schema/pg_connect.c"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/pgtest.h"

static int group_setup(void **state)
{
    (void)state;
    pgtest_start();
    return 0;
}

static void assert_option(PGconn *c, const char *keyword, const char *wanted)
{
    PQconninfoOption *options = PQconninfo(c), *o = options;

    while (o->keyword && strcmp(o->keyword, keyword) != 0)
        o++;
    assert_non_null(o->keyword);
    assert_string_equal(o->val ? o->val : "", wanted);
    PQconninfoFree(options);
}

static void test_terms_come_from_the_settings(void **state)
{
    struct settings *s = settings_new();
    struct pg_terms t = pg_terms_of("host=x", s);

    (void)state;
    assert_int_equal(t.connect_us, s->pg_connect_timeout);
    assert_int_equal(t.silence_us, s->pg_user_timeout);
    assert_int_equal(t.answer_us, s->flush_timeout);
    settings_free(s);
}

static void test_bounds_reach_libpq(void **state)
{
    struct pg_terms t = {.uri = pgtest_database(), .connect_us = 2500000, .silence_us = 12000000};
    PGconn *c = pg_connect_wait(&t, "a name");

    (void)state;
    assert_int_equal(PQstatus(c), CONNECTION_OK);
    assert_option(c, "tcp_user_timeout", "12000");
    assert_option(c, "keepalives_idle", "6");
    assert_option(c, "keepalives_interval", "2");
    assert_option(c, "keepalives_count", "3");
    assert_option(c, "connect_timeout", "3");
    assert_option(c, "application_name", "a name");
    PQfinish(c);
}

static void test_bounds_are_never_zero(void **state)
{
    struct pg_terms t = {.uri = "host=/nonexistent", .connect_us = 1, .silence_us = 1000000};
    PGconn *c = pg_connect_begin(&t, "x", NULL);

    (void)state;
    assert_option(c, "tcp_user_timeout", "1000");
    assert_option(c, "keepalives_idle", "1");
    assert_option(c, "keepalives_interval", "1");
    PQfinish(c);
}

static void test_the_connection_string_wins(void **state)
{
    struct pg_terms t = {.uri = "host=/nonexistent tcp_user_timeout=77 keepalives_idle=78",
                         .connect_us = 1000000,
                         .silence_us = 8000000};
    PGconn *c = pg_connect_begin(&t, "x", NULL);

    (void)state;
    assert_option(c, "tcp_user_timeout", "77");
    assert_option(c, "keepalives_idle", "78");
    PQfinish(c);
}

static void test_looked_up_names_replace_the_hosts(void **state)
{
    struct pg_terms t = {
        .uri = "host=localhost,/run port=1,2", .connect_us = 1000000, .silence_us = 8000000};
    struct pg_names *names = pg_names_ask(t.uri);
    struct pollfd fd = {.fd = pg_names_fd(names), .events = POLLIN};
    PGconn *c;

    (void)state;
    assert_int_equal(poll(&fd, 1, 30000), 1);
    assert_true(pg_names_are_known(names));
    c = pg_connect_begin(&t, "x", names);
    assert_option(c, "host", pg_names_host(names));
    assert_option(c, "hostaddr", pg_names_hostaddr(names));
    assert_option(c, "port", pg_names_port(names));
    pg_names_drop(names);
    PQfinish(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terms_come_from_the_settings),
        cmocka_unit_test(test_bounds_reach_libpq),
        cmocka_unit_test(test_bounds_are_never_zero),
        cmocka_unit_test(test_the_connection_string_wins),
        cmocka_unit_test(test_looked_up_names_replace_the_hosts),
    };

    return cmocka_run_group_tests(tests, group_setup, NULL);
}
