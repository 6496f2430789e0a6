/* upstream_address: connections spread, and those that fail are passed over. */
#include "gateway/proxy/upstream_address.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct upstream_addresses x;

/* The last number of the address that is next; 0 = none. */
static int next(struct upstream_tries *tried, uint64_t now_us)
{
    if (!upstream_address_next(&x, tried, now_us))
        return 0;
    return (int)(ntohl(((struct sockaddr_in *)&tried->last.to)->sin_addr.s_addr) & 0xff);
}

static int next_alone(uint64_t now_us)
{
    struct upstream_tries tried = {.count = 0};

    return next(&tried, now_us);
}

static int set_up(void **state)
{
    (void)state;
    memset(&x, 0, sizeof(x));
    upstream_address_set(&x, STR("10.0.0.1,10.0.0.2, 10.0.0.3"), 80);
    return 0;
}

static void test_connections_go_to_all_in_turn(void **state)
{
    (void)state;
    for (int i = 0; i < 9; i++)
        assert_int_equal(next_alone(1), i % 3 + 1);
}

static void test_each_is_tried_once(void **state)
{
    struct upstream_tries tried = {.count = 0};

    (void)state;
    (void)next_alone(1);
    assert_int_equal(next(&tried, 1), 2);
    assert_int_equal(next(&tried, 1), 3);
    assert_int_equal(next(&tried, 1), 1);
    assert_int_equal(next(&tried, 1), 0);
}

static void test_a_bad_one_comes_last_until_its_time(void **state)
{
    struct upstream_tries tried = {.count = 0};

    (void)state;
    x.at[1].bad_until_us = 100;
    for (int i = 0; i < 4; i++)
        assert_int_not_equal(next_alone(99), 2);
    assert_int_not_equal(next(&tried, 99), 2);
    assert_int_not_equal(next(&tried, 99), 2);
    assert_int_equal(next(&tried, 99), 2);
    for (int i = 0; i < 3; i++)
        if (next_alone(100) == 2)
            return;
    fail_msg("its time is over, and it is not asked");
}

static void test_a_new_list_keeps_what_is_known(void **state)
{
    (void)state;
    x.at[0].bad_until_us = 100;
    upstream_address_set(&x, STR("10.0.0.9,10.0.0.1"), 80);
    assert_int_equal(x.count, 2);
    assert_int_equal(x.at[0].bad_until_us, 0);
    assert_int_equal(x.at[1].bad_until_us, 100);
    upstream_address_set(&x, STR("10.0.0.1"), 81);
    assert_int_equal(x.at[0].bad_until_us, 0); /* another server */
}

/* Names are looked up anew while a connection tries: it goes on, and it ends. */
static void test_a_new_list_meanwhile(void **state)
{
    struct upstream_tries tried = {.count = 0};
    unsigned count = 0;

    (void)state;
    assert_int_equal(next(&tried, 1), 1);
    upstream_address_set(&x, STR("10.0.0.7,10.0.0.1"), 80);
    upstream_address_bad(&x, &tried, 100); /* the one that was tried, wherever it stands now */
    assert_int_equal(x.at[0].bad_until_us, 0);
    assert_int_equal(x.at[1].bad_until_us, 100);
    assert_int_equal(next(&tried, 1), 7);
    do {
        upstream_address_set(&x, STR("10.0.0.7"), 80);
        count++;
    } while (next(&tried, 1) && count < 100);
    assert_true(count < UPSTREAM_ADDRESSES_MAX);
}

static void test_a_list_may_hold_anything(void **state)
{
    (void)state;
    upstream_address_set(&x, STR("::1,name,,1.2.3,10.0.0.1"), 80);
    assert_int_equal(x.count, 2);
    assert_int_equal(x.at[0].to.ss_family, AF_INET6);
    upstream_address_set(&x,
                         STR("1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8,"
                             "1.1.1.9"),
                         80);
    assert_int_equal(x.count, UPSTREAM_ADDRESSES_MAX);
    upstream_address_set(&x, STR(""), 80);
    assert_int_equal(next_alone(1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_connections_go_to_all_in_turn, set_up),
        cmocka_unit_test_setup(test_each_is_tried_once, set_up),
        cmocka_unit_test_setup(test_a_bad_one_comes_last_until_its_time, set_up),
        cmocka_unit_test_setup(test_a_new_list_keeps_what_is_known, set_up),
        cmocka_unit_test_setup(test_a_new_list_meanwhile, set_up),
        cmocka_unit_test_setup(test_a_list_may_hold_anything, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
