/* pg_names: what is looked up, what is not, and that nobody has to wait for an answer. */
#include "schema/pg_names.c"

#include <poll.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct pg_names *answered(const char *uri)
{
    struct pg_names *n = pg_names_ask(uri);
    struct pollfd fd;

    assert_non_null(n);
    fd = (struct pollfd){.fd = pg_names_fd(n), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 30000), 1);
    assert_true(pg_names_are_known(n));
    return n;
}

static void test_what_is_no_name_is_not_looked_up(void **state)
{
    (void)state;
    assert_null(pg_names_ask("host=/run/postgresql dbname=x"));
    assert_null(pg_names_ask("host=@abstract dbname=x"));
    assert_null(pg_names_ask("postgresql://u@127.0.0.1/x"));
    assert_null(pg_names_ask("postgresql://u@[::1]:77,10.0.0.1/x"));
    assert_null(pg_names_ask("host=localhost hostaddr=127.0.0.1"));
    assert_null(pg_names_ask("service=mine host=localhost"));
    assert_null(pg_names_ask("dbname=x"));
    assert_null(pg_names_ask("no connection string"));
}

static void test_the_environment_is_of_postgresql_alone(void **state)
{
    struct pg_names *n;

    (void)state;
    assert_int_equal(setenv("PGHOSTADDR", "127.0.0.9", 1), 0);
    assert_null(pg_names_ask("host=localhost"));
    n = pg_names_ask_host(STR("localhost"));
    assert_non_null(n);
    pg_names_drop(n);
    assert_null(pg_names_ask_host(STR("127.0.0.1")));
    assert_int_equal(unsetenv("PGHOSTADDR"), 0);
}

static void test_every_address_becomes_an_item(void **state)
{
    struct pg_names *n = answered("postgresql://u@localhost/x");

    (void)state;
    assert_null(pg_names_trouble(n));
    assert_non_null(strstr(pg_names_hostaddr(n), "127.0.0.1"));
    assert_int_equal(strncmp(pg_names_host(n), "localhost", 9), 0);
    assert_null(pg_names_port(n));
    pg_names_drop(n);
}

static void test_ports_follow_their_hosts(void **state)
{
    struct pg_names *n = answered("host=/run,localhost,10.0.0.1 port=1,2,3");
    struct str host = str_of(pg_names_host(n)), address = str_of(pg_names_hostaddr(n));
    struct str port = str_of(pg_names_port(n));
    char last_host[64] = "", last_port[8] = "";

    (void)state;
    assert_true(str_eq(str_cut(&host, ','), STR("/run")));
    assert_true(str_eq(str_cut(&address, ','), STR("")));
    assert_true(str_eq(str_cut(&port, ','), STR("1")));
    while (host.n) {
        struct str name = str_cut(&host, ',');

        str_to_cstr(name, last_host, sizeof(last_host));
        str_to_cstr(str_cut(&port, ','), last_port, sizeof(last_port));
        str_cut(&address, ',');
        assert_string_equal(last_port, str_eq(name, STR("localhost")) ? "2" : "3");
    }
    assert_string_equal(last_host, "10.0.0.1");
    assert_int_equal(port.n, 0);
    assert_int_equal(address.n, 0);
    pg_names_drop(n);
}

static void test_a_host_without_an_address_is_left_out(void **state)
{
    /* A label of more than 63 bytes is no name anywhere: no server is asked. */
    const char *absent = "a123456789012345678901234567890123456789012345678901234567890123456789.x";
    char uri[256];
    struct pg_names *n;

    (void)state;
    snprintf(uri, sizeof(uri), "host=%s,127.0.0.1 port=1,2", absent);
    n = answered(uri);
    assert_null(pg_names_trouble(n));
    assert_string_equal(pg_names_host(n), "127.0.0.1");
    assert_string_equal(pg_names_port(n), "2");
    pg_names_drop(n);
    snprintf(uri, sizeof(uri), "host=%s", absent);
    n = answered(uri);
    assert_non_null(strstr(pg_names_trouble(n), absent));
    pg_names_drop(n);
}

/* Under AddressSanitizer: neither of the two owners frees what the other still uses. */
static void test_the_asker_may_go_at_any_time(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct pg_names *n = pg_names_ask("host=localhost");

        assert_non_null(n);
        if (i % 3 == 0)
            (void)pg_names_are_known(n);
        pg_names_drop(n);
    }
    pg_names_drop(answered("host=localhost"));
    pg_names_drop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_no_name_is_not_looked_up),
        cmocka_unit_test(test_the_environment_is_of_postgresql_alone),
        cmocka_unit_test(test_every_address_becomes_an_item),
        cmocka_unit_test(test_ports_follow_their_hosts),
        cmocka_unit_test(test_a_host_without_an_address_is_left_out),
        cmocka_unit_test(test_the_asker_may_go_at_any_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
