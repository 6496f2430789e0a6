/* ledger: bits, points that follow from numbers, what is dealt out and to whom. */
#include "loadtest/ledger.c"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_bits(void **state)
{
    struct bits b = {0};

    (void)state;
    assert_false(bits_get(&b, 0));
    assert_int_equal(bits_set(&b, 3, 2), 2);
    assert_int_equal(bits_set(&b, 4, 2), 1);
    assert_false(bits_get(&b, 2));
    assert_true(bits_get(&b, 3));
    assert_true(bits_get(&b, 5));
    assert_false(bits_get(&b, 6));
    assert_int_equal(bits_set(&b, 5000, 100), 100);
    assert_true(bits_get(&b, 5099));
    assert_false(bits_get(&b, 4999));
    assert_false(bits_get(&b, 1 << 30));
    assert_int_equal(bits_count(&b), 103);
    bits_fini(&b);
    assert_false(bits_get(&b, 3));
}

static void test_points_follow_from_their_numbers(void **state)
{
    struct ledger l;
    unsigned special = 0;

    (void)state;
    ledger_init(&l, 2, 10, 5, 42, 0.5);
    for (uint64_t i = 0; i < 1000; i++) {
        struct point p = ledger_point(&l, 0, i);
        struct point q = ledger_point(&l, 0, i);

        assert_int_equal(p.micro, q.micro);
        assert_int_equal(p.class, q.class);
        assert_int_equal((uint64_t)p.step * 10 + p.key, i);
        assert_int_equal(p.timestamp, l.epoch_ms + p.step * 1000);
        assert_in_range(p.micro + 1000000, 0, 2000000);
        assert_true(isfinite(point_stored(&p)));
        special += p.class != POINT_PLAIN;
    }
    assert_in_range(special, 400, 600);
    assert_int_not_equal(ledger_point(&l, 0, 7).micro, ledger_point(&l, 1, 7).micro);
    assert_int_not_equal(ledger_point(&l, 0, 7).micro, ledger_point(&l, 0, 17).micro);
    ledger_fini(&l);
}

static void test_names_of_keys(void **state)
{
    static const char *const wrong[] = {"load/m10", "load/m",    "load/m+1", "load/m01",
                                        "load/m1/", "load/m1/x", "other",    ""};
    struct ledger l;
    char name[KEY_MAX];
    uint32_t number;

    (void)state;
    ledger_init(&l, 1, 10, 5, 1, 0);
    for (unsigned bytes = 0; bytes <= KEY_MAX; bytes += 25) {
        l.key_bytes = bytes;
        for (uint32_t key = 0; key < 10; key++) {
            size_t n = ledger_key(&l, key, name);

            assert_int_equal(n, bytes > 7 ? bytes : 7);
            assert_true(ledger_key_number(&l, (struct str){name, n}, &number));
            assert_int_equal(number, key);
            assert_false(ledger_key_number(&l, (struct str){name, n - 1}, &number));
        }
    }
    l.key_bytes = 0;
    for (size_t i = 0; i < array_len(wrong); i++)
        assert_false(ledger_key_number(&l, str_of(wrong[i]), &number));
    ledger_fini(&l);
}

static void test_values_as_stored(void **state)
{
    struct point p = {.micro = -123456};

    (void)state;
    assert_true(fabs(point_stored(&p) - -0.123456) < 1e-300);
    p.class = POINT_NAN;
    assert_true(fabs(point_stored(&p)) < 1e-300);
    p.class = POINT_INF;
    assert_true(point_stored(&p) >= DBL_MAX);
    p.class = POINT_MINUS_INF;
    assert_true(point_stored(&p) <= -DBL_MAX);
}

static void test_sent_and_acked(void **state)
{
    struct ledger l;
    struct call c = {.run = 1, .count = 5};

    (void)state;
    ledger_init(&l, 2, 10, 5, 1, 0);
    c.first = ledger_take(&l, 1, 5);
    assert_int_equal(c.first, 0);
    assert_int_equal(ledger_take(&l, 1, 1), 5);
    assert_int_equal(ledger_take(&l, 0, 1), 0);
    ledger_sent(&l, &c);
    assert_int_equal(bits_count(&l.runs[1].sent), 5);
    assert_int_equal(ledger_acked_count(&l), 0);
    assert_int_equal(ledger_acked(&l, &c), 5);
    assert_int_equal(ledger_acked(&l, &c), 0);
    assert_int_equal(ledger_acked_count(&l), 5);
    ledger_fini(&l);
}

static void test_shuffled_batches_come_once_and_out_of_order(void **state)
{
    struct ledger l;
    struct bits met = {0};
    bool is_ordered = true;
    uint64_t last = 0;

    (void)state;
    ledger_init(&l, 1, 10, 5, 1, 0);
    for (unsigned i = 0; i < 3 * BLOCK; i++) {
        uint64_t first = ledger_take_shuffled(&l, 0, mix64(i));

        assert_int_equal(first % 5, 0);
        assert_int_equal(bits_set(&met, first, 5), 5);
        is_ordered = is_ordered && first >= last;
        last = first;
    }
    assert_false(is_ordered);
    assert_int_equal(bits_count(&met), 3 * BLOCK * 5);
    assert_false(bits_get(&met, 3 * BLOCK * 5));
    assert_int_equal(ledger_take(&l, 0, 1), 3 * BLOCK * 5);
    bits_fini(&met);
    ledger_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_points_follow_from_their_numbers),
        cmocka_unit_test(test_names_of_keys),
        cmocka_unit_test(test_values_as_stored),
        cmocka_unit_test(test_sent_and_acked),
        cmocka_unit_test(test_shuffled_batches_come_once_and_out_of_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
