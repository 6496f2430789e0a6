/* gzip: what goes in comes out of zlib's own reader, and only for those who asked. */
#include "gateway/http/gzip.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void check_round_trip(struct str text)
{
    struct buf packed;
    z_stream z = {0};
    char *back = malloc(text.n + 1);

    buf_init(&packed);
    buf_add_str(&packed, STR("before"));
    gzip_add(text, &packed);
    assert_memory_equal(buf_str(&packed).p, "before\x1f\x8b", 8);
    assert_int_equal(inflateInit2(&z, WINDOW_GZIP), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)(buf_str(&packed).p + 6);
    z.avail_in = (uInt)(buf_len(&packed) - 6);
    z.next_out = (Bytef *)back;
    z.avail_out = (uInt)text.n + 1;
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.total_out, text.n);
    assert_memory_equal(back, text.p, text.n);
    assert_int_equal(z.avail_in, 0);
    inflateEnd(&z);
    free(back);
    buf_fini(&packed);
}

static void test_text_comes_back(void **state)
{
    char noise[70000];
    uint32_t x = 1;

    (void)state;
    check_round_trip(STR(""));
    check_round_trip(STR("# HELP a b\n# TYPE a gauge\na 1\n"));
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
    check_round_trip((struct str){noise, sizeof(noise)});
}

static void test_who_wants_it(void **state)
{
    (void)state;
    assert_true(gzip_is_wanted(STR("gzip")));
    assert_true(gzip_is_wanted(STR("deflate, GZIP;q=0.5, br")));
    assert_true(gzip_is_wanted(STR("*")));
    assert_false(gzip_is_wanted(STR("")));
    assert_false(gzip_is_wanted(STR("identity, br")));
    assert_false(gzip_is_wanted(STR("gzip;q=0")));
    assert_false(gzip_is_wanted(STR("*, gzip; q=0.000")));
    assert_false(gzip_is_wanted(STR("*;q=0")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_comes_back),
        cmocka_unit_test(test_who_wants_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
