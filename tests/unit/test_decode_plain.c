/* decode_plain: whatever the plain path takes, bind.c reads the same way. */
#include "ingest/decode_plain.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ingest/input.h"

/* The bodies of test_decode's rows. */
#define ROW(call, body, want)  STR_INIT(body),
#define OURS(call, body, want) STR_INIT(body),
static const struct str row_bodies[] = {
#include "tests/unit/decode_rows.def"
};

static const struct str plain_bodies[] = {
    STR_INIT("{\"run_id\":\"r\"}"),
    STR_INIT("{\"run_id\":\"r\",\"metrics\":[],\"params\":[],\"tags\":[]}"),
    STR_INIT(
        "{\"run_id\":\"r\",\"metrics\":[{\"key\":\"k\",\"value\":1.5,\"timestamp\":1,\"step\":-2},"
        "{\"step\":\"7\",\"timestamp\":\"1700000000000\",\"value\":\"NaN\",\"key\":\"a/b\"}]}"),
    STR_INIT("{\"metrics\":[{\"key\":\"\\u00e9\\ud83d\\ude00\",\"value\":-0.0,\"timestamp\":0},"
             "{\"key\":\"k\",\"value\":\"-Infinity\",\"timestamp\":9223372036854775807}],"
             "\"run_id\":\"r\"}"),
    STR_INIT(
        "{\"run_id\":\"r\",\"metrics\":[{\"key\":\"k\",\"value\":18446744073709551615,"
        "\"timestamp\":1,\"model_id\":\"m\",\"dataset_name\":\"d\",\"dataset_digest\":\"g\","
        "\"run_id\":\"x\"},{\"key\":\"k\",\"value\":-1,\"timestamp\":\"000\",\"model_id\":null,"
        "\"dataset_name\":null,\"dataset_digest\":\"\",\"run_id\":null}]}"),
    STR_INIT("{\"params\":[{\"key\":\"p\",\"value\":\"v\"},{\"key\":\"q\"},{\"value\":null,"
             "\"key\":\"s\"}],\"tags\":[{\"key\":\"t\",\"value\":\"\"}],\"run_id\":\"r\"}"),
};

static const struct str metric_bodies[] = {
    STR_INIT("{\"run_uuid\":\"u\",\"run_id\":\"r\",\"key\":\"k\",\"value\":0.5,\"timestamp\":1,"
             "\"step\":3}"),
    STR_INIT("{\"step\":\"7\",\"timestamp\":\"1700000000000\",\"value\":\"NaN\",\"key\":\"a/b\","
             "\"run_id\":\"r\"}"),
    STR_INIT(
        "{\"run_id\":\"r\",\"key\":\"\\u00e9\",\"value\":18446744073709551615,\"timestamp\":-1,"
        "\"model_id\":\"m\",\"dataset_name\":\"d\",\"dataset_digest\":\"g\"}"),
    STR_INIT(
        "{\"run_id\":\"r\",\"key\":\"k\",\"value\":\"-Infinity\",\"timestamp\":0,\"model_id\":null,"
        "\"dataset_name\":null,\"dataset_digest\":\"\",\"run_uuid\":null}"),
};

static void assert_text(struct str plain, struct opt_str bound)
{
    assert_true(str_eq(plain, bound.s));
}

static void assert_pairs(const struct pair *pairs, size_t n, const struct msg_item *items,
                         size_t nitems)
{
    assert_int_equal(n, nitems);
    for (size_t i = 0; i < n; i++) {
        assert_text(pairs[i].key, items[i].key);
        assert_text(pairs[i].value, items[i].value);
    }
}

/* Bit for bit, but that one NaN is as good as another. */
static void assert_value(double plain, double bound)
{
    assert_true((isnan(plain) && isnan(bound)) || memcmp(&plain, &bound, sizeof(plain)) == 0);
}

static void assert_same(const struct decoded *plain, const struct msg_log_batch *bound)
{
    const struct batch *b = &plain->batch;

    assert_text(plain->run_id, bound->run_id);
    assert_int_equal(b->npoints, bound->metrics.n);
    for (size_t i = 0; i < b->npoints; i++) {
        const struct msg_metric *m = &bound->metrics.items[i];

        assert_text(b->points[i].key, m->key);
        assert_value(b->points[i].value, m->value.v);
        assert_true(b->points[i].timestamp == m->timestamp.v);
        assert_true(b->points[i].step == m->step.v);
        assert_text(b->points[i].model_id, m->model_id);
        assert_text(b->points[i].dataset_name, m->dataset_name);
        assert_text(b->points[i].dataset_digest, m->dataset_digest);
    }
    assert_pairs(b->params, b->nparams, bound->params.items, bound->params.n);
    assert_pairs(b->tags, b->ntags, bound->tags.items, bound->tags.n);
}

/* As decode.c puts together what bind.c read. */
static void assert_same_metric(const struct decoded *plain, const struct msg_log_metric *bound)
{
    const struct point *p = plain->batch.points;

    assert_text(plain->run_id, bound->run_id.s.n ? bound->run_id : bound->run_uuid);
    assert_int_equal(plain->batch.npoints, 1);
    assert_text(p->key, bound->key);
    assert_value(p->value, bound->value.v);
    assert_true(p->timestamp == bound->timestamp.v && p->step == bound->step.v);
    assert_text(p->model_id, bound->model_id);
    assert_text(p->dataset_name, bound->dataset_name);
    assert_text(p->dataset_digest, bound->dataset_digest);
}

/* Reads a log-metric both ways; true when the plain path took it. */
static bool check_metric(struct str body)
{
    struct bind_input in = {
        .has_content_type = true, .content_type = STR("application/json"), .body = body};
    struct document_error why;
    struct msg_log_metric bound;
    struct decoded plain;
    struct arena a;
    struct fail f;
    yyjson_val *root;
    bool is_plain;

    arena_init(&a, 4096);
    fail_init(&f, &a);
    root = document_read_plain(&a, body, &why);
    is_plain = root && decode_plain_metric(&a, root, &plain);
    if (is_plain) {
        assert_int_equal(bind_request(&a, &in, &MSG_log_metric, &bound, &f), OK);
        assert_same_metric(&plain, &bound);
    }
    arena_fini(&a);
    return is_plain;
}

/* Reads body both ways; true when the plain path took it. */
static bool check_both(struct str body)
{
    struct document_error why;
    struct msg_log_batch bound;
    struct decoded plain;
    struct arena a;
    struct fail f;
    yyjson_val *root;
    bool is_plain;

    arena_init(&a, 4096);
    fail_init(&f, &a);
    root = document_read_plain(&a, body, &why);
    is_plain = root && decode_plain_batch(&a, root, &plain);
    if (is_plain) {
        struct bind_input in = {
            .has_content_type = true, .content_type = STR("application/json"), .body = body};

        assert_int_equal(bind_request(&a, &in, &MSG_log_batch, &bound, &f), OK);
        assert_same(&plain, &bound);
    }
    arena_fini(&a);
    return is_plain;
}

static void test_agrees_with_bind(void **state)
{
    size_t taken = 0;

    (void)state;
    for (size_t i = 0; i < array_len(plain_bodies); i++)
        assert_true(check_both(plain_bodies[i]));
    for (size_t i = 0; i < array_len(row_bodies); i++)
        taken += check_both(row_bodies[i]);
    assert_true(taken > 20 && taken < array_len(row_bodies));
}

static void test_log_metric_agrees_with_bind(void **state)
{
    size_t taken = 0;

    (void)state;
    for (size_t i = 0; i < array_len(metric_bodies); i++)
        assert_true(check_metric(metric_bodies[i]));
    for (size_t i = 0; i < array_len(row_bodies); i++)
        taken += check_metric(row_bodies[i]);
    assert_true(taken > 5 && taken < array_len(row_bodies));
}

/* Texts one or two bytes away from plain ones: some are plain still, and then mean the same. */
static void check_damaged(const struct str *bodies, size_t n, bool (*check_one)(struct str))
{
    static const char bytes[] = "\"{}[],:\\ \n-+.e019aknuIN_s\xc3\xa9";
    uint32_t random = 12345;
    size_t taken = 0;

    for (size_t round = 0; round < 30000; round++) {
        struct str body = bodies[round % n];
        char text[512];

        assert_true(body.n < sizeof(text));
        memcpy(text, body.p, body.n);
        for (size_t hits = 0; hits < 1 + round % 2; hits++) {
            random = random * 1664525 + 1013904223;
            text[(random >> 8) % body.n] = bytes[(random >> 3) % (sizeof(bytes) - 1)];
        }
        taken += check_one((struct str){text, body.n});
    }
    assert_true(taken > 1000);
}

static void test_agrees_with_bind_on_damaged_bodies(void **state)
{
    (void)state;
    check_damaged(plain_bodies, array_len(plain_bodies), check_both);
    check_damaged(metric_bodies, array_len(metric_bodies), check_metric);
}

/* A batch's item knows no run_uuid, a log-metric needs its run_id; nothing else of them differs. */
static void test_log_metric_gives_up_without_its_run(void **state)
{
    static const struct str unusual[] = {
        STR_INIT("[]"),
        STR_INIT("{\"run_uuid\":\"u\",\"key\":\"k\",\"value\":1,\"timestamp\":1}"),
        STR_INIT("{\"run_id\":null,\"run_uuid\":\"u\",\"key\":\"k\",\"value\":1,\"timestamp\":1}"),
        STR_INIT("{\"run_id\":\"r\",\"run_uuid\":5,\"key\":\"k\",\"value\":1,\"timestamp\":1}"),
        STR_INIT(
            "{\"run_id\":\"r\",\"run_uuid\":\"u\",\"run_uuid\":\"u\",\"key\":\"k\",\"value\":1,"
            "\"timestamp\":1}"),
        STR_INIT("{\"run_id\":\"r\",\"key\":\"k\",\"value\":1}"),
    };

    (void)state;
    assert_false(check_both(STR("{\"run_id\":\"r\",\"metrics\":[{\"run_uuid\":\"u\",\"key\":\"k\","
                                "\"value\":1,\"timestamp\":1}]}")));
    for (size_t i = 0; i < array_len(unusual); i++)
        assert_false(check_metric(unusual[i]));
}

/* Each of these is for bind.c to judge. */
static void test_gives_up_on_anything_unusual(void **state)
{
    static const struct str unusual[] = {
        STR_INIT("[]"),
        STR_INIT("{}"),
        STR_INIT("{\"run_id\":\"\"}"),
        STR_INIT("{\"run_id\":\"r\",\"run_id\":\"r\"}"),
        STR_INIT("{\"run_id\":\"r\",\"x\":[]}"),
        STR_INIT("{\"run_id\":\"r\",\"tags\":null}"),
        STR_INIT("{\"run_id\":\"r\",\"tags\":[5]}"),
        STR_INIT("{\"run_id\":\"r\",\"tags\":[{\"value\":\"v\"}]}"),
        STR_INIT("{\"run_id\":\"r\",\"metrics\":[{\"key\":\"k\",\"value\":1}]}"),
        STR_INIT(
            "{\"run_id\":\"r\",\"metrics\":[{\"key\":\"k\",\"value\":[1,2,3],\"timestamp\":1}]}"),
        STR_INIT(
            "{\"run_id\":\"r\",\"metrics\":[{\"key\":\"k\",\"value\":{\"a\":1},\"timestamp\":1}]}"),
        STR_INIT("{\"run_id\":\"r\",\"metrics\":[{\"key\":\"k\",\"value\":true,\"timestamp\":1}]}"),
        STR_INIT("{\"run_id\":\"r\",\"metrics\":[{\"key\":\"k\",\"value\":1,\"timestamp\":1.0}]}"),
        STR_INIT(
            "{\"run_id\":\"r\",\"metrics\":[{\"key\":\"k\",\"value\":1,\"timestamp\":\"-1\"}]}"),
        STR_INIT("{\"run_id\":\"r\",\"metrics\":[{\"key\":\"k\",\"value\":1,\"timestamp\":1,"
                 "\"step\":null}]}"),
        STR_INIT("{\"run_id\":\"r\",\"metrics\":[{\"key\":\"k\",\"value\":1,\"timestamp\":1,"
                 "\"modelId\":\"m\"}]}"),
        STR_INIT(
            "{\"run_id\":\"r\",\"metrics\":[{\"key\":\"k\",\"value\":1e400,\"timestamp\":1}]}"),
    };

    (void)state;
    for (size_t i = 0; i < array_len(unusual); i++) {
        struct document_error why;
        struct decoded d;
        struct arena a;
        yyjson_val *root;

        arena_init(&a, 1024);
        root = document_read_plain(&a, unusual[i], &why);
        assert_non_null(root);
        assert_false(decode_plain_batch(&a, root, &d));
        arena_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_bind),
        cmocka_unit_test(test_log_metric_agrees_with_bind),
        cmocka_unit_test(test_log_metric_gives_up_without_its_run),
        cmocka_unit_test(test_agrees_with_bind_on_damaged_bodies),
        cmocka_unit_test(test_gives_up_on_anything_unusual),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
