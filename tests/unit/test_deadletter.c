/* deadletter: letters come back as they were, whatever lies between them. */
#include "schema/deadletter.c"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct deadletter example = {
    .time_ms = 1700000000123,
    .queue_id = STR_INIT("0123456789abcdef0123456789abcdef"),
    .pos = 4096,
    .partition = 7,
    .points = 3,
    .window_from = 4032,
    .window_end = UINT64_MAX,
    .run_id = STR_INIT("0123456789abcdef0123456789abcdee"),
    .sqlstate = STR_INIT("22021"),
    .reason = STR_INIT("invalid byte sequence"),
    .client = STR_INIT("10.0.0.7"),
    .version = 1,
    .record = STR_INIT("SLDL\0\xff is not a frame"),
};

static void assert_same(const struct deadletter *a, const struct deadletter *b)
{
    assert_int_equal(a->time_ms, b->time_ms);
    assert_int_equal(a->pos, b->pos);
    assert_int_equal(a->partition, b->partition);
    assert_int_equal(a->points, b->points);
    assert_int_equal(a->version, b->version);
    assert_true(str_eq(a->queue_id, b->queue_id));
    assert_true(str_eq(a->run_id, b->run_id));
    assert_true(str_eq(a->sqlstate, b->sqlstate));
    assert_int_equal(a->window_from, b->window_from);
    assert_int_equal(a->window_end, b->window_end);
    assert_true(str_eq(a->reason, b->reason));
    assert_true(str_eq(a->client, b->client));
    assert_true(str_eq(a->record, b->record));
}

static void test_letters_come_back_in_order(void **state)
{
    struct deadletter second = example, d;
    size_t skipped = 0;
    struct str bytes;
    struct buf out;

    (void)state;
    second.run_id = second.sqlstate = STR("");
    second.pos = UINT64_MAX;
    buf_init(&out);
    deadletter_write(&example, &out);
    deadletter_write(&second, &out);
    bytes = buf_str(&out);
    assert_true(deadletter_read(&bytes, &d, &skipped));
    assert_same(&d, &example);
    assert_true(deadletter_read(&bytes, &d, &skipped));
    assert_same(&d, &second);
    assert_false(deadletter_read(&bytes, &d, &skipped));
    assert_int_equal(skipped, 0);
    buf_fini(&out);
}

static void test_a_letter_after_any_torn_one_is_found(void **state)
{
    struct buf whole, out;
    size_t length;

    (void)state;
    buf_init(&whole);
    buf_init(&out);
    deadletter_write(&example, &whole);
    length = buf_len(&whole);
    for (size_t cut = 0; cut < length; cut++) {
        size_t skipped = 0;
        struct deadletter d;
        struct str bytes;

        buf_reset(&out);
        buf_add(&out, buf_str(&whole).p, cut);
        deadletter_write(&example, &out);
        bytes = buf_str(&out);
        assert_true(deadletter_read(&bytes, &d, &skipped));
        assert_same(&d, &example);
        assert_int_equal(skipped, cut);
        assert_false(deadletter_read(&bytes, &d, &skipped));
        /* And the torn one alone is nothing. */
        bytes = str_head(buf_str(&whole), cut);
        assert_false(deadletter_read(&bytes, &d, &skipped));
    }
    buf_fini(&whole);
    buf_fini(&out);
}

static void test_a_flipped_bit_anywhere_is_noticed(void **state)
{
    struct buf whole;
    size_t length;
    char *copy;

    (void)state;
    buf_init(&whole);
    deadletter_write(&example, &whole);
    length = buf_len(&whole);
    copy = malloc(length);
    for (size_t bit = 0; bit < length * 8; bit++) {
        size_t skipped = 0;
        struct deadletter d;
        struct str bytes = {copy, length};

        memcpy(copy, buf_str(&whole).p, length);
        copy[bit / 8] ^= (char)(1 << bit % 8);
        assert_false(deadletter_read(&bytes, &d, &skipped));
        assert_int_equal(skipped, length);
    }
    free(copy);
    buf_fini(&whole);
}

static void test_the_id_leaves_out_the_time_only(void **state)
{
    struct deadletter d = example;

    (void)state;
    d.time_ms++;
    assert_int_equal(deadletter_id(&d), deadletter_id(&example));
    d.pos++;
    assert_int_not_equal(deadletter_id(&d), deadletter_id(&example));
    d = example;
    d.record = STR("other");
    assert_int_not_equal(deadletter_id(&d), deadletter_id(&example));
    d = example;
    d.queue_id = STR("");
    assert_int_not_equal(deadletter_id(&d), deadletter_id(&example));
}

/* A frame as the first format had it. */
static void write_first(const struct deadletter *d, struct buf *out)
{
    struct buf payload;
    uint64_t sum;

    buf_init(&payload);
    put_u64(&payload, (uint64_t)d->time_ms);
    put_u64(&payload, d->pos);
    put_u32(&payload, d->partition);
    put_u32(&payload, d->points);
    put_u32(&payload, d->version);
    put_str(&payload, d->queue_id);
    put_str(&payload, d->run_id);
    put_str(&payload, d->sqlstate);
    put_str(&payload, d->reason);
    put_str(&payload, d->record);
    sum = XXH3_64bits(buf_str(&payload).p, buf_len(&payload));
    buf_add(out, "SLDL", 4);
    put_u32(out, (uint32_t)buf_len(&payload));
    put_u64(out, sum);
    buf_add_str(out, buf_str(&payload));
    buf_fini(&payload);
}

static void test_letters_of_the_first_format_are_read(void **state)
{
    struct deadletter want = example, d;
    size_t skipped = 0;
    struct str bytes;
    struct buf out;

    (void)state;
    want.window_from = want.window_end = 0;
    want.client = STR("");
    buf_init(&out);
    write_first(&want, &out);
    deadletter_write(&example, &out);
    write_first(&want, &out);
    bytes = buf_str(&out);
    assert_true(deadletter_read(&bytes, &d, &skipped));
    assert_same(&d, &want);
    assert_int_equal(deadletter_id(&d), deadletter_id(&example)); /* a letter keeps its name */
    assert_true(deadletter_read(&bytes, &d, &skipped));
    assert_same(&d, &example);
    assert_true(deadletter_read(&bytes, &d, &skipped));
    assert_same(&d, &want);
    assert_int_equal(skipped, 0);
    buf_fini(&out);
}

/* The bytes of one format must not pass for the other. */
static void test_a_format_is_not_taken_for_the_other(void **state)
{
    static const char *const magics[] = {"SLDL", "SLD2"};
    struct deadletter d;
    struct buf out;

    (void)state;
    buf_init(&out);
    for (int is_first = 0; is_first < 2; is_first++) {
        size_t skipped = 0;
        struct str bytes;
        char *copy;

        buf_reset(&out);
        if (is_first)
            write_first(&example, &out);
        else
            deadletter_write(&example, &out);
        copy = malloc(buf_len(&out));
        memcpy(copy, buf_str(&out).p, buf_len(&out));
        memcpy(copy, magics[is_first], 4);
        bytes = (struct str){copy, buf_len(&out)};
        assert_false(deadletter_read(&bytes, &d, &skipped));
        free(copy);
    }
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_letters_of_the_first_format_are_read),
        cmocka_unit_test(test_a_format_is_not_taken_for_the_other),
        cmocka_unit_test(test_letters_come_back_in_order),
        cmocka_unit_test(test_a_letter_after_any_torn_one_is_found),
        cmocka_unit_test(test_a_flipped_bit_anywhere_is_noticed),
        cmocka_unit_test(test_the_id_leaves_out_the_time_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
