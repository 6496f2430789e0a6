/* auth_gate: failing has a price by address and by name, being right has none. */
#include "gateway/auth/auth_gate.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { RATE = 16 };
#define SECOND 1000000u

static unsigned takes(struct auth_gate *g, struct auth_sender s, uint64_t now_us)
{
    unsigned n = 0;

    while (n < 10000 && auth_gate_take(g, &s, RATE, now_us))
        n++;
    return n;
}

static void test_a_name_at_an_address_is_bounded_first(void **state)
{
    struct auth_gate *g = auth_gate_new();
    struct auth_sender s = {.address = 100, .address_and_name = 200};

    (void)state;
    assert_int_equal(takes(g, s, SECOND), NAME_TOKENS);
    assert_int_equal(takes(g, s, 2 * SECOND), RATE / NAME_SHARE);
    assert_int_equal(takes(g, s, 2 * SECOND), 0);
    s.address_and_name = 300; /* another name, or the same at another address */
    assert_int_equal(takes(g, s, 2 * SECOND), NAME_TOKENS);
    auth_gate_free(g);
}

static void test_an_address_is_bounded_whatever_names_it_tries(void **state)
{
    struct auth_gate *g = auth_gate_new();
    struct auth_sender s = {.address = 100};
    unsigned n = 0, later = 0;

    (void)state;
    while (s.address_and_name += 2, n < 10000 && auth_gate_take(g, &s, RATE, SECOND))
        n++;
    assert_int_equal(n, RATE * ADDRESS_SECONDS);
    while (s.address_and_name += 2, later < 10000 && auth_gate_take(g, &s, RATE, 2 * SECOND))
        later++;
    assert_int_equal(later, RATE);
    s.address = 900;
    assert_true(auth_gate_take(g, &s, RATE, 2 * SECOND));
    auth_gate_free(g);
}

static void test_who_was_right_pays_nothing(void **state)
{
    struct auth_gate *g = auth_gate_new();
    struct auth_sender s = {.address = 100, .address_and_name = 200};

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(auth_gate_take(g, &s, RATE, SECOND));
        auth_gate_give_back(g, &s);
    }
    assert_int_equal(takes(g, s, SECOND), NAME_TOKENS);
    auth_gate_free(g);
}

/* Time that seems to go back, and a rate that is reloaded, make no tokens. */
static void test_nothing_comes_from_nowhere(void **state)
{
    struct auth_gate *g = auth_gate_new();
    struct auth_sender s = {.address = 100, .address_and_name = 200};

    (void)state;
    assert_int_equal(takes(g, s, 5 * SECOND), NAME_TOKENS);
    assert_int_equal(takes(g, s, SECOND), 0);
    assert_int_equal(takes(g, s, 5 * SECOND), 0);
    assert_false(auth_gate_take(g, &s, 1, 5 * SECOND));
    auth_gate_free(g);
}

static void test_a_flood_of_addresses_is_held_in_the_same_memory(void **state)
{
    struct auth_gate *g = auth_gate_new();
    struct auth_sender s = {0};

    (void)state;
    for (uint64_t i = 1; i < 100000; i++) {
        s.address = i * 0x9e3779b97f4a7c15u;
        s.address_and_name = s.address * 3;
        assert_true(auth_gate_take(g, &s, RATE, SECOND));
    }
    auth_gate_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_name_at_an_address_is_bounded_first),
        cmocka_unit_test(test_an_address_is_bounded_whatever_names_it_tries),
        cmocka_unit_test(test_who_was_right_pays_nothing),
        cmocka_unit_test(test_nothing_comes_from_nowhere),
        cmocka_unit_test(test_a_flood_of_addresses_is_held_in_the_same_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
