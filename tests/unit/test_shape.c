/* shape: what is written reads back as the call's points, in JSON and in msgpack. */
#include "loadtest/shape.c"

#include <math.h>
#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <yyjson.h>

static struct plan *plan;
static struct arena arena;
static struct target target;
static struct ledger ledger;
static struct shape shape;
static struct buf out;

static int setup(void **state)
{
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    plan = plan_new();
    arena_init(&arena, 1024);
    buf_init(&out);
    assert_int_equal(target_open(&target, STR("http://127.0.0.1:1"), &arena, &f), OK);
    ledger_init(&ledger, 2, 7, 1000, 3, 0.3);
    strcpy(ledger.runs[1].id, "0123456789abcdef0123456789abcdef");
    shape_init(&shape, plan, &target, &ledger);
    strcpy(shape.experiment, "12");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shape_fini(&shape);
    ledger_fini(&ledger);
    buf_fini(&out);
    arena_fini(&arena);
    plan_free(plan);
    return 0;
}

/* What follows needle in text; NULL when it is not there. */
static const char *behind(struct str text, const char *needle)
{
    size_t n = strlen(needle);

    for (size_t i = 0; i + n <= text.n; i++) {
        if (memcmp(text.p + i, needle, n) == 0)
            return text.p + i + n;
    }
    return NULL;
}

/* The body of the request that c makes, whose length must be the one announced. */
static struct str body_of(struct call c, const char *line)
{
    struct str text;
    const char *at;

    shape_request(&shape, &c, &out);
    text = buf_str(&out);
    if (!str_starts(text, str_of(line)))
        fail_msg("want %s, have %.*s", line, STR_ARG(str_head(text, 80)));
    at = behind(text, "\r\n\r\n");
    assert_non_null(at);
    text = str_skip(text, (size_t)(at - text.p));
    if (behind(buf_str(&out), "Content-Length: "))
        assert_int_equal(strtoul(behind(buf_str(&out), "Content-Length: "), NULL, 10), text.n);
    return text;
}

static void is_point(yyjson_val *m, uint64_t index)
{
    struct point p = ledger_point(&ledger, 1, index);
    yyjson_val *value = yyjson_obj_get(m, "value");
    char key[32];

    snprintf(key, sizeof(key), "load/m%u", p.key);
    assert_string_equal(yyjson_get_str(yyjson_obj_get(m, "key")), key);
    assert_true(yyjson_get_sint(yyjson_obj_get(m, "step")) == p.step);
    assert_true(yyjson_get_sint(yyjson_obj_get(m, "timestamp")) == p.timestamp);
    switch (p.class) {
    case POINT_NAN: assert_true(yyjson_equals_str(value, "NaN")); break;
    case POINT_INF: assert_true(yyjson_equals_str(value, "Infinity")); break;
    case POINT_MINUS_INF: assert_true(yyjson_equals_str(value, "-Infinity")); break;
    default: {
        double have = yyjson_get_num(value);
        double want = point_stored(&p);

        assert_memory_equal(&have, &want, 8); /* to the last bit */
        break;
    }
    }
}

static void test_log_metric(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 300; i++) {
        struct str body = body_of((struct call){CALL_LOG_METRIC, 1, 1, i},
                                  "POST /api/2.0/mlflow/runs/log-metric HTTP/1.1\r\n");
        yyjson_doc *doc = yyjson_read(body.p, body.n, 0);
        yyjson_val *root = yyjson_doc_get_root(doc);

        assert_non_null(doc);
        is_point(root, i);
        assert_string_equal(yyjson_get_str(yyjson_obj_get(root, "run_id")), ledger.runs[1].id);
        assert_string_equal(yyjson_get_str(yyjson_obj_get(root, "run_uuid")), ledger.runs[1].id);
        yyjson_doc_free(doc);
    }
}

static void test_log_batch(void **state)
{
    struct str body;
    yyjson_doc *doc;
    yyjson_val *root;
    yyjson_val *m;
    size_t i;
    size_t n;

    (void)state;
    plan->batch_params = 3;
    plan->batch_tags = 2;
    body = body_of((struct call){CALL_LOG_BATCH, 1, 600, 9000},
                   "POST /api/2.0/mlflow/runs/log-batch HTTP/1.1\r\n");
    doc = yyjson_read(body.p, body.n, 0);
    root = yyjson_doc_get_root(doc);
    assert_non_null(doc);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(root, "metrics")), 600);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(root, "params")), 3);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(root, "tags")), 2);
    yyjson_arr_foreach(yyjson_obj_get(root, "metrics"), i, n, m) {
        is_point(m, 9000 + i);
    }
    yyjson_doc_free(doc);
}

static const msgpack_object *member(const msgpack_object *map, const char *key)
{
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object_kv *kv = &map->via.map.ptr[i];

        if (kv->key.via.str.size == strlen(key) &&
            memcmp(kv->key.via.str.ptr, key, strlen(key)) == 0)
            return &kv->val;
    }
    fail_msg("no %s", key);
    return NULL;
}

static void test_log_batch_as_msgpack(void **state)
{
    msgpack_unpacked u;
    const msgpack_object *list;
    struct str body;
    size_t used = 0;

    (void)state;
    plan->body = "msgpack";
    plan->batch_params = 40;
    msgpack_unpacked_init(&u);
    body = body_of((struct call){CALL_LOG_BATCH, 1, 500, 70},
                   "POST /api/2.0/mlflow/runs/log-batch HTTP/1.1\r\n");
    assert_non_null(behind(str_head(buf_str(&out), 400), "application/msgpack"));
    assert_int_equal(msgpack_unpack_next(&u, body.p, body.n, &used), MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(used, body.n);
    assert_int_equal(member(&u.data, "run_id")->via.str.size, 32);
    assert_int_equal(member(&u.data, "params")->via.array.size, 40);
    list = member(&u.data, "metrics");
    assert_int_equal(list->via.array.size, 500);
    for (uint32_t i = 0; i < 500; i++) {
        const msgpack_object *m = &list->via.array.ptr[i];
        struct point p = ledger_point(&ledger, 1, 70 + i);
        double have = member(m, "value")->via.f64;
        double want = point_stored(&p);

        assert_true(member(m, "step")->via.i64 == p.step);
        assert_true(member(m, "timestamp")->via.i64 == p.timestamp);
        if (p.class == POINT_PLAIN)
            assert_memory_equal(&have, &want, 8);
        else
            assert_true(p.class == POINT_NAN ? isnan(have) : isinf(have));
    }
    msgpack_unpacked_destroy(&u);
}

static void test_equal_calls_make_equal_bytes(void **state)
{
    struct buf first;

    (void)state;
    buf_init(&first);
    plan->batch_params = 1;
    for (int kind = 0; kind < CALL_COUNT; kind++) {
        struct call c = {(enum call_kind)kind, 1, call_is_write((enum call_kind)kind) ? 4 : 0, 55};

        buf_reset(&first);
        shape_request(&shape, &c, &first);
        shape_request(&shape, &c, &out);
        assert_true(str_eq(buf_str(&first), buf_str(&out)));
        c.first++;
        shape_request(&shape, &c, &out);
        if (c.kind <= CALL_SET_TAG)
            assert_false(str_eq(buf_str(&first), buf_str(&out)));
    }
    buf_fini(&first);
}

static void test_the_other_calls(void **state)
{
    static const struct {
        enum call_kind kind;
        const char *line;
    } rows[] = {
        {CALL_LOG_PARAM, "POST /api/2.0/mlflow/runs/log-parameter HTTP/1.1\r\n"},
        {CALL_SET_TAG, "POST /api/2.0/mlflow/runs/set-tag HTTP/1.1\r\n"},
        {CALL_CREATE_RUN, "POST /api/2.0/mlflow/runs/create HTTP/1.1\r\n"},
        {CALL_SEARCH_RUNS, "POST /api/2.0/mlflow/runs/search HTTP/1.1\r\n"},
        {CALL_GET_RUN, "GET /api/2.0/mlflow/runs/get?run_uuid=0123456789abcdef0123456789abcdef&"},
        {CALL_GET_HISTORY, "GET /api/2.0/mlflow/metrics/get-history?run_id=0123456789abcdef"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str body = body_of((struct call){rows[i].kind, 1, 0, 8}, rows[i].line);
        yyjson_doc *doc = yyjson_read(body.p, body.n, 0);

        if (rows[i].line[0] == 'P')
            assert_non_null(doc);
        yyjson_doc_free(doc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_log_metric, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_batch_as_msgpack, setup, teardown),
        cmocka_unit_test_setup_teardown(test_equal_calls_make_equal_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_other_calls, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
