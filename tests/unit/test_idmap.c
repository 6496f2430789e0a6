/* idmap: against a plain array that knows what should be there. */
#include "base/idmap.c"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct str key_of(char text[16], unsigned i)
{
    return (struct str){text, (size_t)snprintf(text, 16, "key-%u", i)};
}

static void test_empty_map(void **state)
{
    struct idmap m;

    (void)state;
    idmap_init(&m);
    assert_null(idmap_get(&m, STR("x")));
    assert_false(idmap_remove(&m, STR("x")));
    idmap_reset(&m);
    assert_int_equal(idmap_count(&m), 0);
    idmap_fini(&m);
}

static void test_put_says_whether_it_is_new(void **state)
{
    struct idmap m;
    bool is_new;

    (void)state;
    idmap_init(&m);
    *idmap_put(&m, STR("a"), &is_new) = 5;
    assert_true(is_new);
    assert_int_equal(*idmap_put(&m, STR("a"), &is_new), 5);
    assert_false(is_new);
    assert_int_equal(*idmap_put(&m, STR("b"), &is_new), 0);
    assert_true(is_new);
    assert_int_equal(idmap_count(&m), 2);
    idmap_fini(&m);
}

static void test_keys_with_zero_bytes_and_no_bytes(void **state)
{
    struct idmap m;
    bool is_new;

    (void)state;
    idmap_init(&m);
    *idmap_put(&m, (struct str){NULL, 0}, &is_new) = 1;
    assert_true(is_new);
    *idmap_put(&m, STR("a\0b"), &is_new) = 2;
    assert_true(is_new);
    *idmap_put(&m, STR("a\0c"), &is_new) = 3;
    assert_true(is_new);
    assert_int_equal(*idmap_get(&m, STR("")), 1);
    assert_int_equal(*idmap_get(&m, STR("a\0b")), 2);
    assert_null(idmap_get(&m, STR("a")));
    idmap_fini(&m);
}

static void test_random_puts_and_removes_match_a_model(void **state)
{
    enum { KEYS = 5000, STEPS = 200000 };
    static char text[KEYS][16];
    static uint64_t model[KEYS]; /* 0 = absent */
    struct idmap m;
    size_t count = 0;
    uint32_t seed = 42;

    (void)state;
    idmap_init(&m);
    for (uint32_t step = 1; step <= STEPS; step++) {
        unsigned i;
        struct str key;
        bool is_new;

        seed = seed * 1664525 + 1013904223;
        i = (seed >> 8) % KEYS;
        key = key_of(text[i], i);
        if (seed >> 31) {
            *idmap_put(&m, key, &is_new) = step;
            assert_int_equal(is_new, model[i] == 0);
            count += is_new;
            model[i] = step;
        } else {
            assert_int_equal(idmap_remove(&m, key), model[i] != 0);
            count -= model[i] != 0;
            model[i] = 0;
        }
        assert_int_equal(idmap_count(&m), count);
    }
    for (unsigned i = 0; i < KEYS; i++) {
        uint64_t *value = idmap_get(&m, key_of(text[i], i));

        assert_int_equal(value ? *value : 0, model[i]);
    }
    idmap_fini(&m);
}

static void test_reset_keeps_memory_and_forgets_keys(void **state)
{
    static char text[1000][16];
    struct idmap m;
    bool is_new;
    size_t cap;

    (void)state;
    idmap_init(&m);
    for (unsigned i = 0; i < 1000; i++)
        (void)idmap_put(&m, key_of(text[i], i), &is_new);
    cap = m.cap;
    idmap_reset(&m);
    assert_int_equal(idmap_count(&m), 0);
    assert_int_equal(m.cap, cap);
    assert_null(idmap_get(&m, key_of(text[3], 3)));
    (void)idmap_put(&m, key_of(text[3], 3), &is_new);
    assert_true(is_new);
    idmap_fini(&m);
}

static void test_load_stays_below_three_quarters(void **state)
{
    static char text[20000][16];
    struct idmap m;
    bool is_new;

    (void)state;
    idmap_init(&m);
    for (unsigned i = 0; i < 20000; i++) {
        (void)idmap_put(&m, key_of(text[i], i), &is_new);
        assert_true(m.count * 4 <= m.cap * 3);
    }
    idmap_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_map),
        cmocka_unit_test(test_put_says_whether_it_is_new),
        cmocka_unit_test(test_keys_with_zero_bytes_and_no_bytes),
        cmocka_unit_test(test_random_puts_and_removes_match_a_model),
        cmocka_unit_test(test_reset_keeps_memory_and_forgets_keys),
        cmocka_unit_test(test_load_stays_below_three_quarters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
