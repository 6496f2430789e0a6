/*
 * decode: writes row by row against a stock MLflow's answers (decode_rows.def), and the limits.
 */
#include "ingest/decode.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"

static const struct str json_type = STR_INIT("application/json");

static err_t call_log_batch(struct arena *a, const struct bind_input *in, struct decoded *out,
                            struct fail *f)
{
    return decode_log_batch(a, in, true, out, f);
}

static err_t call_log_batch_whole(struct arena *a, const struct bind_input *in, struct decoded *out,
                                  struct fail *f)
{
    return decode_log_batch(a, in, false, out, f);
}

static err_t call_log_metric(struct arena *a, const struct bind_input *in, struct decoded *out,
                             struct fail *f)
{
    return decode_log_metric(a, in, out, f);
}

static err_t call_log_parameter(struct arena *a, const struct bind_input *in, struct decoded *out,
                                struct fail *f)
{
    return decode_log_parameter(a, in, true, out, f);
}

static err_t call_set_tag(struct arena *a, const struct bind_input *in, struct decoded *out,
                          struct fail *f)
{
    return decode_set_tag(a, in, true, out, f);
}

struct row {
    err_t (*call)(struct arena *a, const struct bind_input *in, struct decoded *out,
                  struct fail *f);
    struct str body;
    struct str want;
};

#define ROW(call, body, want)  {call_##call, STR_INIT(body), STR_INIT(want)},
#define OURS(call, body, want) ROW(call, body, want)
static const struct row rows[] = {
#include "tests/unit/decode_rows.def"
};

static struct bind_input input_of(struct str body)
{
    return (struct bind_input){.has_content_type = true, .content_type = json_type, .body = body};
}

static void show_pairs(struct json *j, const char *key, const struct pair *pairs, size_t n)
{
    json_key(j, key);
    json_open_list(j);
    for (size_t i = 0; i < n; i++) {
        json_open_list(j);
        json_str(j, pairs[i].key);
        json_str(j, pairs[i].value);
        json_close_list(j);
    }
    json_close_list(j);
}

static void show_decoded(struct buf *out, const struct decoded *d)
{
    struct json j;

    json_init(&j, out, JSON_LINE);
    json_open(&j);
    json_pair_str(&j, "run_id", d->run_id);
    json_key(&j, "metrics");
    json_open_list(&j);
    for (size_t i = 0; i < d->batch.npoints; i++) {
        const struct point *p = &d->batch.points[i];
        char repr[JSON_DOUBLE_MAX];

        json_open_list(&j);
        json_str(&j, p->key);
        json_str(&j, (struct str){repr, json_repr_double(p->value, repr)});
        json_i64(&j, p->timestamp);
        json_i64(&j, p->step);
        json_bool(&j, p->is_nan);
        json_str(&j, p->model_id);
        json_str(&j, p->dataset_name);
        json_str(&j, p->dataset_digest);
        json_close_list(&j);
    }
    json_close_list(&j);
    show_pairs(&j, "params", d->batch.params, d->batch.nparams);
    show_pairs(&j, "tags", d->batch.tags, d->batch.ntags);
    json_close(&j);
}

static void test_rows_of_a_stock_server(void **state)
{
    unsigned wrong = 0;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct bind_input in = input_of(rows[i].body);
        struct decoded d;
        struct arena a;
        struct fail f;
        struct buf got;

        arena_init(&a, 256);
        fail_init(&f, &a);
        buf_init(&got);
        if (rows[i].call(&a, &in, &d, &f))
            buf_add_str(&got, f.text);
        else
            show_decoded(&got, &d);
        if (!str_eq(buf_str(&got), rows[i].want)) {
            wrong++;
            print_error("%.*s\n  got  %.*s\n  want %.*s\n", STR_ARG(rows[i].body),
                        STR_ARG(buf_str(&got)), STR_ARG(rows[i].want));
        }
        buf_fini(&got);
        arena_fini(&a);
    }
    assert_int_equal(wrong, 0);
    assert_true(array_len(rows) > 100);
}

/* {"run_id":"r","metrics":[...],"params":[...],"tags":[...]} with so many items. */
static err_t decode_counts(size_t metrics, size_t params, size_t tags, struct buf *message)
{
    struct bind_input in;
    struct decoded d;
    struct arena a;
    struct fail f;
    struct buf body;
    err_t e;

    buf_init(&body);
    arena_init(&a, 4096);
    fail_init(&f, &a);
    buf_add_str(&body, STR("{\"run_id\":\"r\",\"metrics\":["));
    for (size_t i = 0; i < metrics; i++)
        buf_printf(&body, "%s{\"key\":\"k%zu\",\"value\":%zu,\"timestamp\":1}", i ? "," : "", i, i);
    buf_add_str(&body, STR("],\"params\":["));
    for (size_t i = 0; i < params; i++)
        buf_printf(&body, "%s{\"key\":\"p%zu\",\"value\":\"v\"}", i ? "," : "", i);
    buf_add_str(&body, STR("],\"tags\":["));
    for (size_t i = 0; i < tags; i++)
        buf_printf(&body, "%s{\"key\":\"t%zu\",\"value\":\"v\"}", i ? "," : "", i);
    buf_add_str(&body, STR("]}"));
    in = input_of(buf_str(&body));
    e = decode_log_batch(&a, &in, true, &d, &f);
    buf_reset(message);
    if (e)
        buf_add_str(message, f.text);
    else
        assert_true(d.batch.npoints == metrics && d.batch.nparams == params &&
                    d.batch.ntags == tags);
    buf_fini(&body);
    arena_fini(&a);
    return e;
}

static void test_counts(void **state)
{
    static const struct {
        size_t metrics, params, tags;
        const char *want;
    } cases[] = {
        {1001, 101, 101,
         "A batch logging request can contain at most 1000 metrics. Got 1001 metrics. Please split "
         "up metrics across multiple requests and try again."},
        {1, 101, 101,
         "A batch logging request can contain at most 100 params. Got 101 params. Please split up "
         "params across multiple requests and try again."},
        {0, 0, 101,
         "A batch logging request can contain at most 100 tags. Got 101 tags. Please split up tags "
         "across multiple requests and try again."},
        {900, 51, 50,
         "A batch logging request can contain at most 1000 metrics, params, and tags. Got 1001 "
         "metrics, params, and tags. Please split up metrics, params, and tags across multiple "
         "requests and try again."},
    };
    struct buf message;

    (void)state;
    buf_init(&message);
    assert_int_equal(decode_counts(1000, 0, 0, &message), OK);
    assert_int_equal(decode_counts(800, 100, 100, &message), OK);
    for (size_t i = 0; i < array_len(cases); i++) {
        assert_int_equal(decode_counts(cases[i].metrics, cases[i].params, cases[i].tags, &message),
                         ERR_BAD_PARAM);
        assert_true(str_eq(buf_str(&message), str_of(cases[i].want)));
    }
    buf_fini(&message);
}

/* A text of n two-byte characters as the value of a param and of a tag. */
static void test_long_values_are_cut(void **state)
{
    struct buf body;
    struct bind_input in;
    struct decoded d;
    struct arena a;
    struct fail f;

    (void)state;
    buf_init(&body);
    arena_init(&a, 4096);
    fail_init(&f, &a);
    buf_add_str(&body, STR("{\"run_id\":\"r\",\"params\":[{\"key\":\"p\",\"value\":\""));
    for (int i = 0; i < 9000; i++)
        buf_add_str(&body, STR("\xc3\xa9"));
    buf_add_str(&body, STR("\"}],\"tags\":[{\"key\":\"t\",\"value\":\""));
    for (int i = 0; i < 9000; i++)
        buf_add_str(&body, STR("\xc3\xa9"));
    buf_add_str(&body, STR("\"}]}"));
    in = input_of(buf_str(&body));
    assert_int_equal(decode_log_batch(&a, &in, true, &d, &f), OK);
    assert_int_equal(d.batch.params[0].value.n, 2 * LIMIT_PARAM_VALUE);
    assert_int_equal(d.batch.tags[0].value.n, 2 * LIMIT_TAG_VALUE);
    assert_int_equal(decode_log_batch(&a, &in, false, &d, &f), ERR_BAD_PARAM);
    assert_true(str_eq(f.text, STR("'Param value' exceeds the maximum length of 6000 characters")));
    buf_fini(&body);
    arena_fini(&a);
}

static void test_nul_never_reaches_the_database(void **state)
{
    static const struct str refused[] = {
        STR_INIT("{\"run_id\":\"r\",\"params\":[{\"key\":\"p\",\"value\":\"a\\u0000\"}]}"),
        STR_INIT("{\"run_id\":\"r\",\"tags\":[{\"key\":\"t\",\"value\":\"\\u0000\"}]}"),
        STR_INIT("{\"run_id\":\"r\",\"metrics\":[{\"key\":\"k\",\"value\":1,\"timestamp\":1,"
                 "\"model_id\":\"m\\u0000\"}]}"),
        STR_INIT("{\"run_id\":\"r\",\"metrics\":[{\"key\":\"k\",\"value\":1,\"timestamp\":1,"
                 "\"model_id\":\"m\",\"dataset_name\":\"d\",\"dataset_digest\":\"g\\u0000\"}]}"),
    };
    struct bind_input in;
    struct decoded d;
    struct arena a;
    struct fail f;

    (void)state;
    arena_init(&a, 4096);
    fail_init(&f, &a);
    for (size_t i = 0; i < array_len(refused); i++) {
        in = input_of(refused[i]);
        assert_int_equal(decode_log_batch(&a, &in, true, &d, &f), ERR_BAD_REQUEST);
    }
    in = input_of(STR("{\"run_id\":\"r\\u0000\",\"key\":\"k\",\"value\":\"1\"}"));
    assert_int_equal(decode_set_tag(&a, &in, true, &d, &f), ERR_BAD_REQUEST);
    assert_int_equal(decode_log_parameter(&a, &in, true, &d, &f), ERR_BAD_REQUEST);
    in = input_of(STR("{\"run_id\":\"r\\u0000\",\"key\":\"k\",\"value\":1,\"timestamp\":1}"));
    assert_int_equal(decode_log_metric(&a, &in, &d, &f), ERR_BAD_REQUEST);
    arena_fini(&a);
}

/* An id that cannot be in the database is kept for the message only. */
static void test_run_ids(void **state)
{
    struct bind_input in;
    struct decoded d;
    struct arena a;
    struct fail f;

    (void)state;
    arena_init(&a, 4096);
    fail_init(&f, &a);
    in = input_of(STR("{\"run_id\":\"0123456789abcdef0123456789abcdef\"}"));
    assert_int_equal(decode_log_batch(&a, &in, true, &d, &f), OK);
    assert_int_equal(d.batch.run.n, 32);
    assert_memory_equal(d.batch.run.text, d.run_id.p, 32);
    in = input_of(STR("{\"run_id\":\"0123456789abcdef0123456789abcdefX\"}"));
    assert_int_equal(decode_log_batch(&a, &in, true, &d, &f), OK);
    assert_int_equal(d.batch.run.n, 0);
    assert_int_equal(d.run_id.n, 33);
    arena_fini(&a);
}

static void test_content_type(void **state)
{
    static const struct {
        bool has_type;
        struct str type;
        const char *want;
    } cases[] = {
        {true, STR_INIT("application/json"), NULL},
        {true, STR_INIT("application/json; charset=utf-8"), NULL},
        {true, STR_INIT("application/json;"), NULL},
        {false, STR_INIT(""), "Bad Request. Content-Type header is missing."},
        {true, STR_INIT("application/json ;x"),
         "Bad Request. Content-Type must be one of ['application/json']."},
        {true, STR_INIT("Application/JSON"),
         "Bad Request. Content-Type must be one of ['application/json']."},
        {true, STR_INIT("text/plain"),
         "Bad Request. Content-Type must be one of ['application/json']."},
        {true, STR_INIT(""), "Bad Request. Content-Type must be one of ['application/json']."},
    };
    struct arena a;
    struct fail f;

    (void)state;
    arena_init(&a, 4096);
    for (size_t i = 0; i < array_len(cases); i++) {
        struct bind_input in = input_of(STR("{\"run_id\":\"r\"}"));
        struct decoded d;
        err_t e;

        in.has_content_type = cases[i].has_type;
        in.content_type = cases[i].type;
        fail_init(&f, &a);
        e = decode_log_batch(&a, &in, true, &d, &f);
        assert_int_equal(e, cases[i].want ? ERR_BAD_PARAM : OK);
        if (e)
            assert_true(str_eq(f.text, str_of(cases[i].want)));
    }
    arena_fini(&a);
}

static void test_stored_values(void **state)
{
    struct point p;

    (void)state;
    decode_store_value(NAN, &p);
    assert_true(p.is_nan && p.value == 0);
    decode_store_value(INFINITY, &p);
    assert_true(!p.is_nan && p.value == DBL_MAX);
    decode_store_value(-INFINITY, &p);
    assert_true(!p.is_nan && p.value == -DBL_MAX);
    decode_store_value(-0.0, &p);
    assert_true(!p.is_nan && p.value == 0 && signbit(p.value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_of_a_stock_server),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_long_values_are_cut),
        cmocka_unit_test(test_nul_never_reaches_the_database),
        cmocka_unit_test(test_run_ids),
        cmocka_unit_test(test_content_type),
        cmocka_unit_test(test_stored_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
