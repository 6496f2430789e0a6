/* report: the JSON is JSON and holds every figure; no password, no curve is lost. */
#include "loadtest/report.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <yyjson.h>

static struct storm s;
static struct plan *plan;
static struct result r;
static struct buf out;

static int setup(void **state)
{
    (void)state;
    memset(&s, 0, sizeof(s));
    memset(&r, 0, sizeof(r));
    plan = plan_new();
    plan->pg_uri = "postgresql://me:secret@/x";
    plan->admin_url = "http://me:secret@host:6";
    s.plan = plan;
    tally_init(&s.tally);
    buf_init(&out);
    s.tally.statuses[200] = 12;
    s.tally.statuses[429] = 3;
    s.tally.kinds[CALL_LOG_BATCH] = 12;
    for (unsigned i = 1; i <= 1000; i++) {
        spread_note(&s.tally.latency, i);
        spread_note(&s.tally.latencies[CALL_LOG_BATCH], i);
    }
    s.tally.now.done = 5;
    tally_cut(&s.tally, 1);
    s.tally.now.done = 7;
    tally_cut(&s.tally, 2);
    r.p99 = 0.25;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tally_fini(&s.tally);
    buf_fini(&out);
    plan_free(plan);
    return 0;
}

static bool has(const char *text)
{
    size_t n = strlen(text);
    struct str all = buf_str(&out);

    for (size_t i = 0; i + n <= all.n; i++) {
        if (memcmp(all.p + i, text, n) == 0)
            return true;
    }
    return false;
}

static void test_json(void **state)
{
    struct verdict v = {.first = "run \"x\": lost"};
    yyjson_doc *doc;
    yyjson_val *root;
    yyjson_val *at;

    (void)state;
    report_json(&s, &r, &v, &out);
    doc = yyjson_read(buf_str(&out).p, buf_len(&out), 0);
    root = yyjson_doc_get_root(doc);
    assert_non_null(doc);
    at = yyjson_obj_get(root, "figures");
    assert_int_equal(yyjson_obj_size(at), result_count());
    assert_true(yyjson_get_real(yyjson_obj_get(at, "p99")) > 0.2499);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(root, "samples")), 2);
    at = yyjson_arr_get(yyjson_obj_get(root, "samples"), 1);
    assert_int_equal((int)yyjson_get_num(yyjson_obj_get(at, "done")), 7);
    at = yyjson_arr_get(yyjson_obj_get(root, "spectrum"), 5);
    assert_int_equal((int)(yyjson_get_num(yyjson_arr_get(at, 0)) * 100), 50);
    assert_in_range(yyjson_get_int(yyjson_arr_get(at, 2)), 500, 504);
    at = yyjson_obj_get(yyjson_obj_get(root, "latencies"), "log-batch");
    assert_int_equal((int)(1e6 * yyjson_get_num(yyjson_obj_get(at, "max")) + 0.5), 1000);
    assert_int_equal(yyjson_get_int(yyjson_obj_get(yyjson_obj_get(root, "statuses"), "429")), 3);
    assert_true(yyjson_get_bool(yyjson_obj_get(root, "is_verified")));
    assert_string_equal(yyjson_get_str(yyjson_obj_get(root, "first_problem")), v.first);
    assert_false(has("secret"));
    yyjson_doc_free(doc);
}

static void test_text(void **state)
{
    struct verdict v = {.first = "run x: lost"};

    (void)state;
    report_text(&s, &r, NULL, &out);
    assert_true(has("log-batch"));
    assert_true(has("200: 12"));
    assert_true(has("max        1.00 ms"));
    assert_false(has("verify"));
    assert_false(has("rss"));
    report_text(&s, &r, &v, &out);
    assert_true(has("the first: run x: lost"));
}

static void test_times(void **state)
{
    char space[32];

    (void)state;
    assert_string_equal(report_time(999, space), "999 us");
    assert_string_equal(report_time(1500, space), "1.50 ms");
    assert_string_equal(report_time(2500000, space), "2.500 s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_text, setup, teardown),
        cmocka_unit_test(test_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
