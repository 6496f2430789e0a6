/* copy: the bytes are those that PostgreSQL's own documentation lists. */
#include "flush/copy.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_a_stream_byte_for_byte(void **state)
{
    static const unsigned char wanted[] = {
        'P',  'G',  'C', 'O', 'P',  'Y',  '\n', 0xff, '\r', '\n', 0,       /* magic */
        0,    0,    0,   0,   0,    0,    0,    0,                         /* flags, extensions */
        0,    6,                                                           /* fields */
        0,    0,    0,   4,   'l',  'o',  's',  's',                       /* key */
        0,    0,    0,   8,   0xbf, 0xf8, 0,    0,    0,    0,    0,    0, /* value -1.5 */
        0,    0,    0,   8,   0,    0,    0,    0,    0,    0,    1,    2, /* timestamp 258 */
        0,    0,    0,   1,   'r',                                         /* run */
        0,    0,    0,   8,   0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, /* step -2 */
        0,    0,    0,   1,   1,                                              /* is_nan */
        0xff, 0xff,                                                           /* end */
    };
    struct point p = {
        .key = STR("loss"), .value = -1.5, .timestamp = 258, .step = -2, .is_nan = true};
    struct batch b = {.points = &p, .npoints = 1};
    struct window w;
    struct buf out;
    size_t next = 0;

    (void)state;
    assert_true(run_id_set(&b.run, STR("r")));
    window_init(&w);
    window_add(&w, &b, 0, NULL);
    window_close(&w);
    buf_init(&out);
    copy_begin(&out);
    copy_rows(&out, &w, &next, 1000);
    copy_end(&out);
    assert_int_equal(next, 1);
    assert_int_equal(buf_len(&out), sizeof(wanted));
    assert_memory_equal(buf_str(&out).p, wanted, sizeof(wanted));
    buf_fini(&out);
    window_fini(&w);
}

static void test_rows_come_in_pieces(void **state)
{
    enum { COUNT = 100 };
    struct point points[COUNT];
    struct batch b = {.points = points, .npoints = COUNT};
    size_t next = 0, total = 0, pieces = 0;
    struct window w;
    struct buf out;

    (void)state;
    for (unsigned i = 0; i < COUNT; i++)
        points[i] = (struct point){.key = STR("k"), .step = i};
    assert_true(run_id_set(&b.run, STR("r")));
    window_init(&w);
    window_add(&w, &b, 0, NULL);
    window_close(&w);
    buf_init(&out);
    for (; next < w.count; pieces++) {
        buf_reset(&out);
        copy_rows(&out, &w, &next, 200);
        assert_true(buf_len(&out) >= 200 || next == w.count);
        assert_true(buf_len(&out) < 300);
        total += buf_len(&out);
    }
    assert_int_equal(total, COUNT * (COPY_ROW_FIXED + 2));
    assert_true(pieces > 10);
    buf_fini(&out);
    window_fini(&w);
}

static void test_an_array_byte_for_byte(void **state)
{
    static const unsigned char wanted[] = {
        0, 0,  0, 1, 0,   0,   0,    1,    0,    0,
        0, 25, 0, 0, 0,   2,   0,    0,    0,    1,    /* 1 dimension of 2 texts */
        0, 0,  0, 2, 'a', 'b', 0xff, 0xff, 0xff, 0xff, /* "ab", NULL */
    };
    struct buf out;

    (void)state;
    buf_init(&out);
    copy_array(&out, COLUMN_TEXT, 2);
    copy_text(&out, STR("ab"));
    copy_null(&out);
    assert_int_equal(buf_len(&out), sizeof(wanted));
    assert_memory_equal(buf_str(&out).p, wanted, sizeof(wanted));
    buf_reset(&out);
    copy_array(&out, COLUMN_INT8, 0);
    assert_int_equal(buf_len(&out), 12);
    buf_fini(&out);
}

static void test_fields_of_each_type(void **state)
{
    static const unsigned char wanted[] = {
        0, 0, 0, 8, 0x3f, 0xf0, 0,    0,    0, 0, 0, 0, /* 1.0 */
        0, 0, 0, 8, 0,    0,    0,    0,    0, 0, 0, 5, /* int8 5 */
        0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff,             /* int4 -1 */
        0, 0, 0, 1, 1,                                  /* true */
    };
    struct buf out;

    (void)state;
    buf_init(&out);
    copy_float8(&out, 1.0);
    copy_int8(&out, 5);
    copy_int4(&out, -1);
    copy_bool(&out, true);
    assert_int_equal(buf_len(&out), sizeof(wanted));
    assert_memory_equal(buf_str(&out).p, wanted, sizeof(wanted));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stream_byte_for_byte),
        cmocka_unit_test(test_rows_come_in_pieces),
        cmocka_unit_test(test_an_array_byte_for_byte),
        cmocka_unit_test(test_fields_of_each_type),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
