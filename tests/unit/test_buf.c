/* buf: what is added comes out in order, whatever moves or grows meanwhile. */
#include "base/buf.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_empty_buffer_has_no_memory(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b);
    assert_int_equal(buf_len(&b), 0);
    assert_int_equal(buf_str(&b).n, 0);
    assert_int_equal(buf_space(&b), 0);
    buf_add(&b, NULL, 0);
    buf_consume(&b, 0);
    assert_null(b.data);
    assert_non_null(buf_room(&b, 0));
    buf_fini(&b);
}

static void test_emptied_buffer_rewinds(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b);
    buf_add_str(&b, STR("hello"));
    buf_consume(&b, 2);
    assert_true(str_eq(buf_str(&b), STR("llo")));
    buf_consume(&b, 3);
    assert_int_equal(b.head, 0);
    assert_int_equal(b.tail, 0);
    buf_fini(&b);
}

static void test_stream_comes_out_as_it_went_in(void **state)
{
    struct buf b;
    uint32_t written = 0;
    uint32_t seen = 0;
    uint32_t seed = 1;

    (void)state;
    buf_init(&b);
    while (seen < 200000) {
        seed = seed * 1664525 + 1013904223;
        for (uint32_t n = seed >> 24; n > 0; n--, written++)
            buf_add(&b, &written, sizeof(written));
        seed = seed * 1664525 + 1013904223;
        for (uint32_t n = seed >> 24; n > 0 && buf_len(&b); n--, seen++) {
            uint32_t v;

            memcpy(&v, buf_str(&b).p, sizeof(v));
            assert_int_equal(v, seen);
            buf_consume(&b, sizeof(v));
        }
    }
    buf_fini(&b);
}

static void test_steady_stream_does_not_grow(void **state)
{
    char chunk[1000] = "";
    struct buf b;

    (void)state;
    buf_init(&b);
    buf_add(&b, chunk, 1); /* never quite empty, so it cannot rewind */
    for (int i = 0; i < 10000; i++) {
        buf_add(&b, chunk, sizeof(chunk));
        buf_consume(&b, sizeof(chunk));
    }
    assert_true(b.cap <= 4096);
    buf_fini(&b);
}

static void test_room_then_added(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b);
    memcpy(buf_room(&b, 100000), "abc", 3);
    assert_true(buf_space(&b) >= 100000);
    buf_added(&b, 3);
    assert_true(str_eq(buf_str(&b), STR("abc")));
    buf_fini(&b);
}

static void test_shrink_gives_back_large_memory_only(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b);
    buf_add_byte(&b, 'x');
    buf_shrink(&b, 4096);
    assert_non_null(b.data);
    assert_int_equal(buf_len(&b), 0);
    (void)buf_room(&b, 5000);
    buf_shrink(&b, 4096);
    assert_null(b.data);
    buf_fini(&b);
}

static void test_printf_of_any_length(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b);
    for (int n = 1; n < 2000; n++) {
        buf_printf(&b, "%0*d", n, 7);
        assert_int_equal(buf_len(&b), n);
        assert_int_equal(buf_str(&b).p[n - 1], '7');
        buf_reset(&b);
    }
    buf_printf(&b, "%s", "");
    assert_int_equal(buf_len(&b), 0);
    buf_fini(&b);
}

static void test_integers_are_big_endian(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b);
    buf_add_be16(&b, 0x0102);
    buf_add_be32(&b, 0x03040506);
    buf_add_be64(&b, 0x0708090a0b0c0d0e);
    assert_int_equal(buf_len(&b), 14);
    assert_memory_equal(buf_str(&b).p, "\1\2\3\4\5\6\7\10\11\12\13\14\15\16", 14);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_buffer_has_no_memory),
        cmocka_unit_test(test_emptied_buffer_rewinds),
        cmocka_unit_test(test_stream_comes_out_as_it_went_in),
        cmocka_unit_test(test_steady_stream_does_not_grow),
        cmocka_unit_test(test_room_then_added),
        cmocka_unit_test(test_shrink_gives_back_large_memory_only),
        cmocka_unit_test(test_printf_of_any_length),
        cmocka_unit_test(test_integers_are_big_endian),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
