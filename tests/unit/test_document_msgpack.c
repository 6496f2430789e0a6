/* document_msgpack: what msgpack-c writes reads as the JSON of the same values; hostile bytes end. */
#include "ingest/document_msgpack.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <math.h>
#include <msgpack.h>

#include "base/buf.h"

static struct arena arena;

static yyjson_val *read_bytes(struct str bytes, size_t *rest, struct document_error *why)
{
    size_t budget = LIMIT_STREAM_VALUES;
    yyjson_val *v = document_read_msgpack(&arena, &bytes, &budget, why);

    if (rest)
        *rest = bytes.n;
    return v;
}

/* The JSON of the document that the bytes hold. */
static void assert_json(struct str bytes, const char *want)
{
    struct document_error why = {NULL, 0};
    struct buf out;
    size_t rest;
    yyjson_val *v = read_bytes(bytes, &rest, &why);

    if (v == NULL)
        fail_msg("%s: %s at %zu", want, why.text, why.at);
    buf_init(&out);
    document_dump_line(&arena, &out, v);
    if (!str_eq(buf_str(&out), str_of(want)))
        fail_msg("%s: got %.*s", want, STR_ARG(buf_str(&out)));
    assert_int_equal(rest, 0);
    buf_fini(&out);
}

#define BYTES(text) ((struct str){text, sizeof(text) - 1})

static void test_every_encoding_reads_as_its_json(void **state)
{
    static const struct {
        struct str bytes;
        const char *json;
    } rows[] = {
        {STR_INIT("\xc0"), "null"},
        {STR_INIT("\xc2"), "false"},
        {STR_INIT("\xc3"), "true"},
        {STR_INIT("\x7f"), "127"},
        {STR_INIT("\xe0"), "-32"},
        {STR_INIT("\xcc\xff"), "255"},
        {STR_INIT("\xcd\xff\xff"), "65535"},
        {STR_INIT("\xce\xff\xff\xff\xff"), "4294967295"},
        {STR_INIT("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "18446744073709551615"},
        {STR_INIT("\xd0\x80"), "-128"},
        {STR_INIT("\xd0\x7f"), "127"},
        {STR_INIT("\xd1\x80\x00"), "-32768"},
        {STR_INIT("\xd2\x80\x00\x00\x00"), "-2147483648"},
        {STR_INIT("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), "-9223372036854775808"},
        {STR_INIT("\xd3\x7f\xff\xff\xff\xff\xff\xff\xff"), "9223372036854775807"},
        {STR_INIT("\xca\x3f\x00\x00\x00"), "0.5"},
        {STR_INIT("\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00"), "1.0"},
        {STR_INIT("\xca\x7f\xc0\x00\x00"), "NaN"},
        {STR_INIT("\xcb\xff\xf0\x00\x00\x00\x00\x00\x00"), "-Infinity"},
        {STR_INIT("\xa0"), "\"\""},
        {STR_INIT("\xa3"
                  "a\xc3\xa9"),
         "\"a\\u00e9\""},
        {STR_INIT("\xd9\x02hi"), "\"hi\""},
        {STR_INIT("\xda\x00\x02hi"), "\"hi\""},
        {STR_INIT("\xdb\x00\x00\x00\x02hi"), "\"hi\""},
        {STR_INIT("\x90"), "[]"},
        {STR_INIT("\x80"), "{}"},
        {STR_INIT("\x93\x01\x92\x02\x90\x03"), "[1, [2, []], 3]"},
        {STR_INIT("\xdc\x00\x01\x05"), "[5]"},
        {STR_INIT("\xdd\x00\x00\x00\x01\x05"), "[5]"},
        {STR_INIT("\xde\x00\x01\xa1k\x05"), "{\"k\": 5}"},
        {STR_INIT("\xdf\x00\x00\x00\x01\xa1k\x81\xa1l\xc0"), "{\"k\": {\"l\": null}}"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++)
        assert_json(rows[i].bytes, rows[i].json);
}

static void test_what_is_no_document_says_why(void **state)
{
    static const struct {
        struct str bytes;
        const char *why;
    } rows[] = {
        {STR_INIT(""), "it ends too early"},
        {STR_INIT("\xcd\x01"), "it ends within a number"},
        {STR_INIT("\xcb\x01"), "it ends within a number"},
        {STR_INIT("\xd3\x01"), "it ends within a number"},
        {STR_INIT("\xa5"
                  "abc"),
         "it ends within a string"},
        {STR_INIT("\xdb\xff\xff\xff\xff"
                  "abc"),
         "it ends within a string"},
        {STR_INIT("\xda\x01"), "it ends within a length"},
        {STR_INIT("\xdd\xff\xff\xff\xff"), "it ends within a list or map"},
        {STR_INIT("\xdf\x00\x00\x00\x02\xa1k\x01"), "it ends within a list or map"},
        {STR_INIT("\x92\x01"), "it ends within a list or map"},
        {STR_INIT("\x92\xa1"
                  "a"),
         "it ends too early"},
        {STR_INIT("\x81\x01\x02"), "a key is no string"},
        {STR_INIT("\x81\x90\x02"), "a key is no string"},
        {STR_INIT("\xc1"), "binary and extension types have no place in it"},
        {STR_INIT("\xc4\x01"
                  "a"),
         "binary and extension types have no place in it"},
        {STR_INIT("\xd6\xff\x00\x00\x00\x00"), "binary and extension types have no place in it"},
        {STR_INIT("\xa1\xff"), "a string is no UTF-8"},
        {STR_INIT("\xa3\xed\xa0\x80"), "a string is no UTF-8"},
        {STR_INIT("\xa2\xc0\x80"), "a string is no UTF-8"},
        {STR_INIT("\xa9"
                  "12345678\xff"),
         "a string is no UTF-8"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct document_error why = {NULL, 0};

        assert_null(read_bytes(rows[i].bytes, NULL, &why));
        assert_string_equal(why.text, rows[i].why);
        assert_true(why.at <= rows[i].bytes.n);
    }
}

static void test_depth_and_count_are_bounded(void **state)
{
    struct document_error why = {NULL, 0};
    size_t n = (size_t)LIMIT_STREAM_VALUES + 8;
    char *bytes = malloc(n);

    (void)state;
    memset(bytes, 0x91, LIMIT_JSON_DEPTH);
    bytes[LIMIT_JSON_DEPTH] = 0x01;
    assert_non_null(read_bytes((struct str){bytes, LIMIT_JSON_DEPTH + 1}, NULL, &why));
    memset(bytes, 0x91, LIMIT_JSON_DEPTH + 1);
    bytes[LIMIT_JSON_DEPTH + 1] = 0x01;
    assert_null(read_bytes((struct str){bytes, LIMIT_JSON_DEPTH + 2}, NULL, &why));
    assert_string_equal(why.text, "it nests too deep");
    memset(bytes, 0x01, n);
    memcpy(bytes, "\xdd\x00\x04\x00\x00", 5); /* 2^18 items and the list itself */
    assert_null(read_bytes((struct str){bytes, n}, NULL, &why));
    assert_string_equal(why.text, "it holds too many values");
    free(bytes);
}

/* Written by msgpack-c, cut at every byte: a prefix is refused, the whole is read, the rest stays. */
static void test_every_prefix_of_a_batch_is_refused(void **state)
{
    msgpack_sbuffer out;
    msgpack_packer pk;
    struct document_error why;
    size_t rest;

    (void)state;
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&pk, &out, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, 2);
    msgpack_pack_str_with_body(&pk, "run_id", 6);
    msgpack_pack_str_with_body(&pk, "abc", 3);
    msgpack_pack_str_with_body(&pk, "metrics", 7);
    msgpack_pack_array(&pk, 3);
    for (int i = 0; i < 3; i++) {
        msgpack_pack_map(&pk, 3);
        msgpack_pack_str_with_body(&pk, "key", 3);
        msgpack_pack_str_with_body(&pk, "loss", 4);
        msgpack_pack_str_with_body(&pk, "value", 5);
        msgpack_pack_double(&pk, i + 0.5);
        msgpack_pack_str_with_body(&pk, "timestamp", 9);
        msgpack_pack_int64(&pk, -70000 * i);
    }
    for (size_t n = 0; n < out.size; n++) {
        char *copy = malloc(n ? n : 1); /* so that a read beyond it is seen */

        memcpy(copy, out.data, n);
        assert_null(read_bytes((struct str){copy, n}, NULL, &why));
        free(copy);
    }
    assert_json((struct str){out.data, out.size},
                "{\"run_id\": \"abc\", \"metrics\": ["
                "{\"key\": \"loss\", \"value\": 0.5, \"timestamp\": 0}, "
                "{\"key\": \"loss\", \"value\": 1.5, \"timestamp\": -70000}, "
                "{\"key\": \"loss\", \"value\": 2.5, \"timestamp\": -140000}]}");
    msgpack_sbuffer_write(&out, "\xc0\xc0", 2);
    assert_non_null(read_bytes((struct str){out.data, out.size}, &rest, &why));
    assert_int_equal(rest, 2);
    msgpack_sbuffer_destroy(&out);
}

/* The budget is one for all documents of a stream. */
static void test_the_budget_is_used_up(void **state)
{
    struct str bytes = BYTES("\x92\x01\x02\x92\x01\x02");
    struct document_error why;
    size_t budget = 5;

    (void)state;
    assert_non_null(document_read_msgpack(&arena, &bytes, &budget, &why));
    assert_int_equal(budget, 2);
    assert_null(document_read_msgpack(&arena, &bytes, &budget, &why));
    assert_string_equal(why.text, "it holds too many values");
}

/* What a batch takes does not depend on how much is behind it. */
static void test_a_stream_of_small_batches_takes_little(void **state)
{
    enum { BATCHES = 1000 };
    static char stream[3 * BATCHES];
    struct str bytes = {stream, sizeof(stream)};
    struct document_error why;
    size_t budget = LIMIT_STREAM_VALUES;

    (void)state;
    for (size_t i = 0; i < BATCHES; i++)
        memcpy(stream + 3 * i, "\x92\x01\x02", 3);
    for (size_t i = 0; i < BATCHES; i++)
        assert_non_null(document_read_msgpack(&arena, &bytes, &budget, &why));
    assert_int_equal(bytes.n, 0);
    assert_in_range(arena_used(&arena), 0, BATCHES * GUESS_MAX * sizeof(yyjson_val));
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 4096);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_encoding_reads_as_its_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_no_document_says_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_depth_and_count_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_prefix_of_a_batch_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_budget_is_used_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_stream_of_small_batches_takes_little, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
