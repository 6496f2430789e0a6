/* Tests of base/net.c: which texts are addresses and networks, and who is in one. */
#include "base/net.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void test_what_is_an_address(void **state)
{
    static const char *const good[] = {"10.0.0.7", "::1", "fd00::1", "::ffff:10.0.0.7", "0.0.0.0"};
    static const char *const bad[] = {"",      "10.0.0",   "10.0.0.07",    "10.0.0.256",
                                      "[::1]", "::1%eth0", "10.0.0.7:80",  " 10.0.0.7",
                                      "a.b",   "*",        "10.0.0.0/255", "0x0a000007"};
    uint8_t a[NET_BYTES], b[NET_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        assert_true(net_parse_address(str_of(good[i]), a));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        if (net_parse_address(str_of(bad[i]), a))
            fail_msg("<%s> is taken for an address", bad[i]);
    }
    assert_false(net_parse_address((struct str){"10.0.0.7\0x", 10}, a));
    assert_true(net_parse_address(str_of("10.0.0.7"), a));
    assert_true(net_parse_address(str_of("::ffff:10.0.0.7"), b));
    assert_memory_equal(a, b, NET_BYTES);
}

static bool has(const char *network, const char *address)
{
    uint8_t a[NET_BYTES];
    struct net n;

    assert_true(net_parse(str_of(network), &n) && net_parse_address(str_of(address), a));
    return net_has(&n, a);
}

static void test_who_is_in_a_network(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "10.255.0.1"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("172.16.0.0/12", "172.31.255.255"));
    assert_false(has("172.16.0.0/12", "172.32.0.0"));
    assert_true(has("0.0.0.0/0", "1.2.3.4"));
    assert_false(has("0.0.0.0/0", "::1"));
    assert_true(has("::/0", "1.2.3.4"));
    assert_true(has("fd00::/9", "fd7f::1"));
    assert_false(has("fd00::/9", "fd80::1"));
    assert_true(has("127.0.0.1", "127.0.0.1"));
    assert_false(has("127.0.0.1", "127.0.0.2"));
    assert_true(has("::1/128", "::1"));
}

static void test_what_is_no_network(void **state)
{
    static const char *const bad[] = {
        "10.0.0.7/8",         "10.0.0.0/33", "10.0.0.0/",   "/8",          "10.0.0.0/-1",
        "10.0.0.0/255.0.0.0", "fd00::/129",  "10.0.0.0/+8", "10.0.0.0/8/", "10.0.0.0/ 8"};
    struct net n;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        if (net_parse(str_of(bad[i]), &n))
            fail_msg("<%s> is taken for a network", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_an_address),
        cmocka_unit_test(test_who_is_in_a_network),
        cmocka_unit_test(test_what_is_no_network),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
