/* record: what goes in comes out, is small, and hostile bytes are refused without harm. */
#include "schema/record.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <msgpack.h>

#define HEX_ID "0123456789abcdef0123456789abcdef"

static struct arena arena;
static struct fail failure;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 4096);
    fail_init(&failure, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static struct batch batch_of(const char *id, struct point *points, uint32_t n)
{
    struct batch b = {.experiment_id = 7, .npoints = n, .points = points};

    assert_true(run_id_set(&b.run, str_of(id)));
    return b;
}

/* Encodes into memory of exactly the bound, so that ASan sees a bound that is too low. */
static struct str encode(const struct batch *b)
{
    size_t bound = record_bound(b);
    char *exact = malloc(bound);
    size_t n = record_encode(b, exact);

    assert_true(n <= bound);
    struct str s = arena_dup(&arena, (struct str){exact, n});
    free(exact);
    return s;
}

static void assert_str(struct str a, struct str b)
{
    assert_int_equal(a.n, b.n);
    if (a.n > 0)
        assert_memory_equal(a.p, b.p, a.n);
}

static void assert_round_trip(const struct batch *in)
{
    struct batch out;
    struct str bytes = encode(in);

    assert_int_equal(record_decode(bytes, RECORD_VERSION, &arena, &out, &failure), OK);
    assert_int_equal(record_points(bytes, RECORD_VERSION), in->npoints);
    assert_str(run_id_str(&out.run), run_id_str(&in->run));
    assert_int_equal(out.experiment_id, in->experiment_id);
    assert_int_equal(out.npoints, in->npoints);
    for (uint32_t i = 0; i < in->npoints; i++) {
        const struct point *p = &in->points[i];
        const struct point *q = &out.points[i];

        assert_str(q->key, p->key);
        assert_memory_equal(&q->value, &p->value, sizeof(p->value));
        assert_int_equal(q->is_nan, p->is_nan);
        assert_true(q->timestamp == p->timestamp && q->step == p->step);
        assert_str(q->model_id, p->model_id);
        assert_str(q->dataset_name, p->dataset_name);
        assert_str(q->dataset_digest, p->dataset_digest);
    }
}

static void test_every_field_survives(void **state)
{
    (void)state;
    struct point points[] = {
        {.key = STR("loss"), .value = 0.1, .timestamp = 1700000000000, .step = 3},
        {.key = STR("loss"), .value = -1.7976931348623157e308, .timestamp = 1700000000000},
        {.key = STR("loss"), .is_nan = true, .timestamp = -1, .step = -1},
        {.key = STR("acc/val \xc3\xa9"), .value = -0.0, .timestamp = INT64_MAX, .step = INT64_MIN},
        {.key = STR(""), .value = 5e-324, .timestamp = INT64_MIN, .step = INT64_MAX},
        {.key = STR("m"),
         .value = 1,
         .model_id = STR("m-1"),
         .dataset_name = STR("d"),
         .dataset_digest = STR("x")},
        {.key = STR("m"), .value = 1, .dataset_name = STR("only a dataset")},
        {.key = STR("m"), .value = 1},
    };
    struct batch b = batch_of(HEX_ID, points, array_len(points));

    assert_round_trip(&b);
    b.experiment_id = INT32_MAX;
    assert_round_trip(&b);
    b.experiment_id = INT32_MIN;
    assert_round_trip(&b);
}

static void test_ints_of_every_width_survive(void **state)
{
    (void)state;
    for (int shift = 0; shift < 63; shift++) {
        int64_t edge = (int64_t)1 << shift;
        struct point points[] = {
            {.key = STR("k"), .timestamp = edge, .step = edge - 1},
            {.key = STR("k"), .timestamp = -edge, .step = -edge - 1},
        };
        struct batch b = batch_of(HEX_ID, points, 2);

        assert_round_trip(&b);
    }
}

static void test_keys_of_every_head_survive(void **state)
{
    (void)state;
    static char long_key[70000];
    const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536, sizeof(long_key)};

    memset(long_key, 'k', sizeof(long_key));
    for (size_t i = 0; i < array_len(lengths); i++) {
        struct point p = {.key = {long_key, lengths[i]}, .value = 2};
        struct batch b = batch_of(HEX_ID, &p, 1);

        assert_round_trip(&b);
    }
}

static void test_run_ids_that_are_not_hex_survive(void **state)
{
    (void)state;
    const char *ids[] = {"",
                         "r",
                         "0123456789ABCDEF0123456789ABCDEF",
                         "0123456789abcdef0123456789abcde",
                         "0123456789abcdef0123456789abcdeg",
                         "g123456789abcdef0123456789abcdef"};
    struct point p = {.key = STR("k"), .value = 2};

    for (size_t i = 0; i < array_len(ids); i++) {
        struct batch b = batch_of(ids[i], &p, 1);

        assert_round_trip(&b);
    }
}

static void test_no_points_is_a_record(void **state)
{
    (void)state;
    struct batch b = batch_of(HEX_ID, NULL, 0);

    assert_round_trip(&b);
}

/* A batch as training jobs send it: keys in rotation, one timestamp a step. */
static struct batch typical(struct point *points, uint32_t n)
{
    static const struct str keys[] = {STR_INIT("train/loss"), STR_INIT("train/accuracy"),
                                      STR_INIT("val/loss"),   STR_INIT("val/accuracy"),
                                      STR_INIT("lr"),         STR_INIT("grad_norm"),
                                      STR_INIT("epoch"),      STR_INIT("gpu/0/util"),
                                      STR_INIT("gpu/0/mem"),  STR_INIT("throughput")};

    memset(points, 0, n * sizeof(*points));
    for (uint32_t i = 0; i < n; i++) {
        points[i].key = keys[i % array_len(keys)];
        points[i].value = 1.0 / (i + 1);
        points[i].step = i / array_len(keys);
        points[i].timestamp = 1700000000000 + points[i].step * 1000;
    }
    return batch_of(HEX_ID, points, n);
}

static void test_a_typical_point_is_small(void **state)
{
    (void)state;
    static struct point points[1000];
    struct batch b = typical(points, 1000);

    assert_round_trip(&b);
    assert_true(encode(&b).n < 1000 * 30);
    b.npoints = 1;
    assert_true(encode(&b).n < 64);
}

static void test_other_versions_are_refused(void **state)
{
    (void)state;
    struct batch b = batch_of(HEX_ID, NULL, 0);
    struct str bytes = encode(&b);

    assert_int_equal(record_decode(bytes, 2, &arena, &b, &failure), ERR_CORRUPT);
    assert_int_equal(record_decode(bytes, 0, &arena, &b, &failure), ERR_CORRUPT);
    assert_int_equal(record_points(bytes, 2), 0);
}

/* Every prefix and every changed byte: an answer, and no read outside (ASan looks on). */
static void test_damaged_bytes_do_no_harm(void **state)
{
    (void)state;
    struct point points[30];
    struct batch b = typical(points, 30);
    struct str good;
    struct batch out;

    points[7].model_id = STR("m-1");
    points[9].is_nan = true;
    points[9].value = 0;
    good = encode(&b);
    good.p = memcpy(malloc(good.n), good.p, good.n);
    for (size_t cut = 0; cut < good.n; cut++) {
        char *exact = malloc(cut + (cut == 0));

        memcpy(exact, good.p, cut);
        assert_int_equal(
            record_decode((struct str){exact, cut}, RECORD_VERSION, &arena, &out, &failure),
            ERR_CORRUPT);
        free(exact);
    }
    char *changed = malloc(good.n);
    for (size_t i = 0; i < good.n; i++) {
        for (unsigned value = 0; value < 256; value++) {
            struct str bytes = {changed, good.n};

            memcpy(changed, good.p, good.n);
            changed[i] = (char)value;
            arena_reset(&arena);
            if (record_decode(bytes, RECORD_VERSION, &arena, &out, &failure) == OK)
                assert_true(out.npoints <= good.n);
        }
    }
    free(changed);
    free((void *)(uintptr_t)good.p);
}

#define BYTES(lit) ((struct str){"" lit, sizeof(lit) - 1})

static void test_hostile_records_are_refused(void **state)
{
    (void)state;
    const struct str hostile[] = {
        BYTES("\x93\xa1r\x01\xdd\xff\xff\xff\xff"),                          /* 4 G points */
        BYTES("\x93\xa1r\x01\x91\x94\xc0\xc0\x01\x01"),                      /* first key absent */
        BYTES("\x93\xa1r\x01\x91\x94\xa1k\xc0\xc0\x01"),                     /* first time absent */
        BYTES("\x93\xa1r\x01\x91\x95\xa1k\xc0\x01\x01\x01"),                 /* 5 fields */
        BYTES("\x93\xa1r\x01\x91\x94\xa1k\xcb\x7f\xf0\0\0\0\0\0\0\x01\x01"), /* infinite */
        BYTES("\x93\xa1r\x01\x91\x94\xa1k\xcb\x7f\xf8\0\0\0\0\0\0\x01\x01"), /* NaN in the open */
        BYTES("\x93\xa1r\x01\x91\x94\xa1k\xc0\xcf\xff\0\0\0\0\0\0\0\x01"),   /* above int64 */
        BYTES("\x93\xa1r\xcf\0\0\0\x01\0\0\0\0\x90"),                        /* experiment 2^32 */
        BYTES("\x93\xd9\x21ggggggggggggggggggggggggggggggggg\x01\x90"),      /* run id of 33 */
        BYTES("\x93\xc4\x0f\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x90"),         /* 15 bytes of id */
        BYTES("\x93\xa1r\x01\x90\x00"),                                      /* one byte more */
        BYTES("\x92\xa1r\x01"),
        BYTES(""),
    };
    struct batch out;

    for (size_t i = 0; i < array_len(hostile); i++) {
        err_t e = record_decode(hostile[i], RECORD_VERSION, &arena, &out, &failure);

        assert_int_equal(e, ERR_CORRUPT);
        assert_true(failure.text.n > 0);
    }
}

/* Every head and length, cut anywhere, in memory that ends there. */
static void test_nothing_behind_the_bytes_is_read(void **state)
{
    (void)state;
    const struct str heads[] = {
        BYTES("\xdc\0\x03\xa1r\x01\x90"),
        BYTES("\xdd\0\0\0\x03\xa1r\x01\x90"),
        BYTES("\x93\xd9\x01r\x01\xdc\0\x01\x94\xda\0\x01k\xc0\xcc\x01\xd3\0\0\0\0\0\0\0\x01"),
        BYTES("\x93\xdb\0\0\0\x01r\xce\0\0\0\x01\x91\x97\xa1k\xcb\0\0\0\0\0\0\0\0\x01\x01"
              "\xa1m\xa1n\xa1"
              "d"),
    };
    struct batch out;

    for (size_t i = 0; i < array_len(heads); i++) {
        for (size_t n = 0; n <= heads[i].n; n++) {
            char *exact = malloc(n + 1); /* not n: there is nothing of size 0 */

            memcpy(exact + 1, heads[i].p, n);
            err_t e =
                record_decode((struct str){exact + 1, n}, RECORD_VERSION, &arena, &out, &failure);
            assert_int_equal(e, n == heads[i].n ? OK : ERR_CORRUPT);
            free(exact);
        }
    }
}

static void test_any_int_encoding_is_read(void **state)
{
    (void)state;
    const struct str same[] = {
        BYTES("\x93\xa1r\x01\x91\x94\xa1k\xc0\x05\x05"),
        BYTES("\x93\xd9\x01r\xcc\x01\xdc\0\x01\xdc\0\x04\xda\0\x01k\xc0\xcd\0\x05\xd0\x05"),
        BYTES("\x93\xdb\0\0\0\x01r\xd2\0\0\0\x01\xdd\0\0\0\x01\xdd\0\0\0\x04\xdb\0\0\0\x01k\xc0"
              "\xce\0\0\0\x05\xd3\0\0\0\0\0\0\0\x05"),
        BYTES("\x93\xa1r\xd1\0\x01\x91\x94\xa1k\xc0\xcf\0\0\0\0\0\0\0\x05\x05"),
    };
    struct batch out;

    for (size_t i = 0; i < array_len(same); i++) {
        assert_int_equal(record_decode(same[i], RECORD_VERSION, &arena, &out, &failure), OK);
        assert_int_equal(out.experiment_id, 1);
        assert_int_equal(out.npoints, 1);
        assert_str(out.points[0].key, STR("k"));
        assert_true(out.points[0].is_nan);
        assert_true(out.points[0].timestamp == 5 && out.points[0].step == 5);
    }
}

/* The same bytes through msgpack-c, which knows nothing of us. */
static void test_msgpack_c_reads_what_we_write(void **state)
{
    (void)state;
    struct point points[] = {
        {.key = STR("k"), .value = 0.5, .timestamp = 70000, .step = -200, .model_id = STR("m")},
        {.key = STR("k"), .is_nan = true, .timestamp = 70000, .step = INT64_MIN},
    };
    struct batch b = batch_of(HEX_ID, points, 2);
    struct str bytes = encode(&b);
    msgpack_unpacked unpacked;
    size_t used = 0;
    char text[256];

    msgpack_unpacked_init(&unpacked);
    assert_int_equal(msgpack_unpack_next(&unpacked, bytes.p, bytes.n, &used),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(used, bytes.n);
    assert_int_equal(unpacked.data.type, MSGPACK_OBJECT_ARRAY);
    assert_int_equal(unpacked.data.via.array.ptr[0].type, MSGPACK_OBJECT_BIN);
    msgpack_object_print_buffer(text, sizeof(text), unpacked.data.via.array.ptr[2]);
    assert_string_equal(text, "[[\"k\", 0.500000, 70000, -200, \"m\", \"\", \"\"], "
                              "[nil, nil, nil, -9223372036854775808]]");
    msgpack_unpacked_destroy(&unpacked);
}

static void pack_int_or_nil(msgpack_packer *pk, bool is_nil, int64_t v)
{
    if (is_nil)
        msgpack_pack_nil(pk);
    else
        msgpack_pack_int64(pk, v);
}

static void test_we_write_what_msgpack_c_writes(void **state)
{
    (void)state;
    struct point points[200];
    struct batch b = batch_of("not-hex", points, 200);
    msgpack_sbuffer buffer;
    msgpack_packer pk;

    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, 3);
    msgpack_pack_str_with_body(&pk, "not-hex", 7);
    msgpack_pack_int32(&pk, b.experiment_id);
    msgpack_pack_array(&pk, b.npoints);
    for (int i = 0; i < 200; i++) {
        int64_t edge = i % 2 ? INT64_C(1) << i % 63 : -(INT64_C(1) << i % 63);
        bool is_first = i == 0;

        points[i] = (struct point){.key = i < 100 ? STR("a key") : STR(HEX_ID HEX_ID),
                                   .value = (double)edge / 3,
                                   .timestamp = edge,
                                   .step = edge - 1};
        msgpack_pack_array(&pk, 4);
        if (is_first || i == 100)
            msgpack_pack_str_with_body(&pk, points[i].key.p, points[i].key.n);
        else
            msgpack_pack_nil(&pk);
        msgpack_pack_double(&pk, points[i].value);
        pack_int_or_nil(&pk, !is_first && edge == points[i - 1].timestamp, edge);
        pack_int_or_nil(&pk, !is_first && edge - 1 == points[i - 1].step, edge - 1);
    }
    assert_str(encode(&b), (struct str){buffer.data, buffer.size});
    msgpack_sbuffer_destroy(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_survives),
        cmocka_unit_test(test_ints_of_every_width_survive),
        cmocka_unit_test(test_keys_of_every_head_survive),
        cmocka_unit_test(test_run_ids_that_are_not_hex_survive),
        cmocka_unit_test(test_no_points_is_a_record),
        cmocka_unit_test(test_a_typical_point_is_small),
        cmocka_unit_test(test_other_versions_are_refused),
        cmocka_unit_test(test_damaged_bytes_do_no_harm),
        cmocka_unit_test(test_hostile_records_are_refused),
        cmocka_unit_test(test_nothing_behind_the_bytes_is_read),
        cmocka_unit_test(test_any_int_encoding_is_read),
        cmocka_unit_test(test_msgpack_c_reads_what_we_write),
        cmocka_unit_test(test_we_write_what_msgpack_c_writes),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
